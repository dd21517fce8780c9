"""`bayswitch demo`: the main job, end to end, on real processes over real gRPC. Ends non-zero if any of it goes wrong."""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from bayswitch.v1 import participant_pb2, payment_pb2

from switch.cli import payments, values
from switch.cli.client import CallFailed, Client, Target, connect, new_id
from switch.cli.demo_settlement import reconcile_rails, settle
from switch.cli.output import NotAsItShouldBe, console, money_text, say, show_payment
from switch.cli.participants import show_positions
from switch.cli.sandbox import OPERATOR, Sandbox, load_scenario
from switch.errors import ConfigError

__all__ = ["DemoFailed", "command", "price", "request_of"]

_RESOLVE_SECONDS = 20


class DemoFailed(NotAsItShouldBe):
    """Something was not as the scenario says."""


def command(
    kafka: Annotated[bool, typer.Option(help="start a real Kafka where Java and Maven are there")] = True,
    keep: Annotated[Path | None, typer.Option(help="keep data and logs in this directory")] = None,
) -> None:
    """Start a Valkey, every mock rail, the switch and (with Java and Maven) Kafka; pay across the borders; stop it all."""
    begun = time.monotonic()
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise ConfigError(f"--keep: {keep} is not empty; the demo counts what it paid and needs a fresh directory")
    with tempfile.TemporaryDirectory(prefix="bayswitch-demo-") as scratch, _broker(kafka) as bootstrap:
        sandbox = Sandbox(keep or Path(scratch), {"BAYSWITCH_KAFKA_BOOTSTRAP": bootstrap} if bootstrap else {})
        try:
            sandbox.start()
            _heading("running")
            assert sandbox.switch is not None
            for key, value in sandbox.switch.ready.items():
                say(f"  {key:<9}{value}")
            scenario = load_scenario()
            sandbox.enrol(scenario)
            Demo(sandbox, scenario, bootstrap).run()
        finally:
            ended = sandbox.stop()
        failed = {name: status for name, status in ended.items() if status}
        if failed:
            raise DemoFailed(f"parts that did not end with 0: {failed}")
    _heading(f"all as it should be, {time.monotonic() - begun:.0f} s")


@contextmanager
def _broker(wanted: bool) -> Iterator[str]:
    """A real Kafka for the length of a `with`, "" where there is none to be had."""
    from deploy.local import kafka  # ships with the checkout and the wheel; needs Java and Maven on the machine

    if lacking := kafka.missing() if wanted else "not wanted":
        say(f"no Kafka: {lacking}; events stay in the outbox")
        yield ""
        return
    running = kafka.cluster(nodes=1)
    try:
        running.start()
    except kafka.KafkaFailed as error:
        raise DemoFailed(str(error)) from error
    try:
        yield running.bootstrap
    finally:
        running.stop()


class Demo:
    """Runs the steps of a scenario in order; each says what it expects."""

    def __init__(self, sandbox: Sandbox, scenario: Mapping[str, Any], bootstrap: str) -> None:
        self._sandbox = sandbox
        self._scenario = scenario
        self._bootstrap = bootstrap
        self._requests: dict[str, Any] = {}  # id of a step -> what it sent
        self._answers: dict[str, Any] = {}
        self._steps: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "pay": self._pay,
            "replay": self._replay,
            "mismatch": self._mismatch,
            "refused": self._refused,
            "silent": self._silent,
            "inbound": self._inbound,
            "bytes": self._bytes,
        }

    def run(self) -> None:
        for step in self._scenario["step"]:
            _heading(step["title"])
            self._steps[step["kind"]](step)
        _heading("positions per asset sum to zero")
        self._positions()
        _heading("events" + ("" if self._bootstrap else " (still in the outbox)"))
        self._events()
        if self._bootstrap:
            _heading("settlement: windows cut, closed, sealed, settled")
            settle(self._sandbox)
            _heading("positions once everything is settled")
            self._positions(settled=True)
        _heading("every rail's statement of the day against our books")
        reconcile_rails(self._sandbox)

    # --- the steps ---------------------------------------------------------------------------------------------------
    def _pay(self, step: Mapping[str, Any]) -> None:
        answer, replay = self._submit(step["as"], self._request(step))
        show_payment(answer.payment, replay)
        self._expect(values.state_name(answer.payment.state), step["expect"])
        self._expect(answer.payment.reason, step.get("reason", ""))
        self._answers[step["id"]] = answer

    def _replay(self, step: Mapping[str, Any]) -> None:
        """The same request again: the same bytes, and the switch says that it is a replay."""
        answer, replay = self._submit(step["as"], self._requests[step["of"]])
        show_payment(answer.payment, replay)
        first = self._answers[step["of"]].SerializeToString(deterministic=True)
        self._expect((replay, answer.SerializeToString(deterministic=True) == first), (True, True))

    def _mismatch(self, step: Mapping[str, Any]) -> None:
        """The same request_id with another body: refused, and the differing field named."""
        changed = payment_pb2.SubmitPaymentRequest()
        changed.CopyFrom(self._requests[step["of"]])
        changed.remark = "something else"
        failure = self._fails(step["as"], changed)
        self._expect((failure.reason, failure.field), (step["expect"], "remark"))

    def _refused(self, step: Mapping[str, Any]) -> None:
        failure = self._fails(step["as"], self._request(step))
        self._expect(failure.reason, step["expect"])

    def _silent(self, step: Mapping[str, Any]) -> None:
        """The rail says nothing: IN_DOUBT, the hold stays; the switch enquires, and only an answer ends it."""
        answer, _ = self._submit(step["as"], self._request(step))
        show_payment(answer.payment)
        self._expect(values.state_name(answer.payment.state), "IN_DOUBT")
        request = payment_pb2.WatchPaymentsRequest(resume_token="0")
        with connect(Target(self._sandbox.address, step["as"])) as client:
            for change in client.stream(client.payments.WatchPayments, request, _RESOLVE_SECONDS):
                if change.uetr == answer.payment.uetr:
                    say(f"  watch: {change.change_time.ToJsonString()} {values.state_name(change.state)}")
                    if values.state_name(change.state) in ("COMMITTED", "ABORTED"):
                        break
            query = payment_pb2.GetPaymentRequest(uetr=answer.payment.uetr)
            ended = client.call(client.payments.GetPayment, query).payment
        show_payment(ended)
        self._expect(values.state_name(ended.state), step["expect"])

    def _inbound(self, step: Mapping[str, Any]) -> None:
        """A payment that a rail pushes to us: it takes the same path."""
        answer = self._sandbox.control(step["rail"], "inbound", **step["call"])
        say(f"  the rail was told: {answer}")
        for key, value in step["expect"].items():
            self._expect(answer.get(key), value)

    def _bytes(self, step: Mapping[str, Any]) -> None:
        """What the rail saw on the wire for one payment, as it came."""
        payment = self._answers[step["of"]].payment
        answer = self._sandbox.control(payment.rail, "messages", uetr=payment.uetr)
        self._expect(bool(answer["messages"]), True)
        for message in answer["messages"]:
            say(f"  {message['direction']}, {len(message['text'].encode())} bytes:")
            say(message["text"])

    # --- what is true at the end -----------------------------------------------------------------------------------------
    def _positions(self, *, settled: bool = False) -> None:
        with connect(Target(self._sandbox.address, OPERATOR)) as client:
            found = client.call(client.participants.GetPositions, participant_pb2.GetPositionsRequest()).positions
        show_positions(found)
        sums: dict[str, int] = {}
        for position in found:
            sums[position.asset] = sums.get(position.asset, 0) + position.net_debit_minor
        self._expect({asset: total for asset, total in sums.items() if total}, {})
        if settled:
            self._expect([position.participant_id for position in found if position.net_debit_minor], [])

    def _events(self) -> None:
        """Every final payment, read back from where consumers read it."""
        facts = self._sandbox.events(self._bootstrap)
        for fact in facts:
            entries = ", ".join(
                f"{e['participant']} {money_text(e['asset'], e['amount_minor'])}" for e in fact["entries"]
            )
            line = f"  {fact['debtor_agent']:<10} #{fact['sequence']:<3} {fact['uetr']} {fact['state']:<9} {entries}"
            say(line)
        final = sum(len(self._finals(participant["id"])) for participant in self._scenario["participant"])
        self._expect(len({fact["event_id"] for fact in facts}), final)

    def _finals(self, participant: str) -> list[Any]:
        with connect(Target(self._sandbox.address, participant)) as client:
            request = payment_pb2.ListPaymentsRequest(page_size=500)
            return list(client.call(client.payments.ListPayments, request).payments)

    # --- helpers -------------------------------------------------------------------------------------------------------
    def _request(self, step: Mapping[str, Any]) -> Any:
        request = request_of(step)
        if step.get("credit", request.debit.asset) != request.debit.asset:
            with connect(Target(self._sandbox.address, step["as"])) as client:
                price(client, request, step["credit"])
        self._requests[step["id"]] = request
        return request

    def _submit(self, participant: str, request: Any) -> tuple[Any, bool]:
        with connect(Target(self._sandbox.address, participant)) as client:
            return client.call_with_replay(client.payments.SubmitPayment, request)

    def _fails(self, participant: str, request: Any) -> CallFailed:
        try:
            answer, _ = self._submit(participant, request)
        except CallFailed as failure:
            say(f"  {failure}")
            return failure
        raise DemoFailed(f"not refused: {values.state_name(answer.payment.state)}")

    @staticmethod
    def _expect(have: object, want: object) -> None:
        if have != want:
            raise DemoFailed(f"expected {want!r}, have {have!r}")


def request_of(step: Mapping[str, Any]) -> Any:
    """A step of a scenario -> the instruction, with new ids; the credit side is `price`'s business."""
    return payment_pb2.SubmitPaymentRequest(
        request_id=new_id(),
        uetr=new_id(),
        end_to_end_id=step["id"],
        debit=values.money_message(step["debit"]),
        debtor=_party(step["debtor"]),
        creditor=_party(step["creditor"]),
        creditor_agent=step.get("creditor_agent", ""),
        purpose=step.get("purpose", ""),
        remark=step.get("remark", ""),
    )


def price(client: Client, request: Any, credit_asset: str) -> None:
    """Lock a price for an instruction, fill it in, and say what the payer would see."""
    quoted = payments.price(client, request, credit_asset)
    say(f"  quote: {quoted.payer_text}")


def _party(row: Mapping[str, Any]) -> Any:
    return values.party(
        row["name"], row["place"], row["scheme"], row["account"], row.get("document", ""), row.get("level", 0)
    )


def _heading(text: str) -> None:
    console.print(f"\n== {text}", style="bold", markup=False)
    sys.stdout.flush()
