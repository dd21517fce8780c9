"""A provider at a running sandbox: payments from a line of text, answers as plain values, and waiting with a bound."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, NamedTuple

import grpc
from bayswitch.v1 import participant_pb2, payment_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from deploy.local.ports import free_ports
from loadtest.audit import Audit, audit
from switch.cli.client import CallFailed, Client
from switch.cli.demo import price, request_of
from switch.cli.sandbox import OPERATOR, Sandbox, load_scenario
from switch.limits import PAGE_SIZE_MAX

__all__ = [
    "RESOLVE_SECONDS_MAX",
    "SHORT_QUOTES",
    "STATE",
    "Provider",
    "Trouble",
    "audited",
    "committed",
    "on_a_port_to_keep",
    "payments_in",
    "started",
    "step",
    "until",
]

STATE = {number: name.removeprefix("PAYMENT_STATE_") for name, number in payment_pb2.PaymentState.items()}
RESOLVE_SECONDS_MAX = 60
CALL_SECONDS_MAX = 60  # longer than the switch takes for any answer, however busy the machine is
SHORT_QUOTES = {"BAYSWITCH_QUOTE_MS": "5000"}  # an unused quote holds headroom until it expires: audits wait for it
_POLL_SECONDS = 0.05
_STEPS: Mapping[str, Any] = {row["id"]: row for row in load_scenario()["step"] if "id" in row}


class Trouble(NamedTuple):
    """How a call was refused: everything a caller may act on."""

    code: str
    reason: str
    field: str
    figures: dict[str, str]
    retry_ms: int  # of RetryInfo; -1 when there is none
    text: str

    @classmethod
    def of(cls, error: grpc.RpcError) -> "Trouble":
        """Read from the rich status, of a blocking or of an asynchronous call."""
        reason, field, figures, retry_ms = "", "", dict[str, str](), -1
        status = rpc_status.from_call(error)
        for detail in status.details if status else ():
            info, bad, retry = (
                error_details_pb2.ErrorInfo(),
                error_details_pb2.BadRequest(),
                error_details_pb2.RetryInfo(),
            )
            if detail.Unpack(info):
                assert info.domain == "bayswitch"
                reason, figures = info.reason, dict(info.metadata)
            elif detail.Unpack(bad):
                field = ",".join(violation.field for violation in bad.field_violations)
            elif detail.Unpack(retry):
                retry_ms = retry.retry_delay.ToMilliseconds()
        return cls(error.code().name, reason, field, figures, retry_ms, str(error))


class Provider(Client):
    """One participant on one channel of its own."""

    def submit(self, request: Any, seconds: float = CALL_SECONDS_MAX) -> Any:
        """The payment as it was answered. Raises grpc.RpcError."""
        return self.payments.SubmitPayment(request, timeout=seconds, metadata=self.metadata).payment

    def trouble(self, method: Any, request: Any, seconds: float = CALL_SECONDS_MAX) -> Trouble:
        """How a call is refused; it must be."""
        try:
            answer = method(request, timeout=seconds, metadata=self.metadata)
        except grpc.RpcError as error:
            return Trouble.of(error)
        raise AssertionError(f"not refused: {answer}")

    def get(self, uetr: str) -> Any:
        return self.call(self.payments.GetPayment, payment_pb2.GetPaymentRequest(uetr=uetr)).payment

    def listed(self) -> Iterator[Any]:
        """Every payment of this participant."""
        token = ""
        while True:
            page = self.call(
                self.payments.ListPayments, payment_pb2.ListPaymentsRequest(page_size=PAGE_SIZE_MAX, page_token=token)
            )
            yield from page.payments
            token = page.next_page_token
            if not token:
                return

    def ended(self, uetr: str, seconds: float = RESOLVE_SECONDS_MAX) -> Any:
        """The payment, once it is final."""
        found: list[Any] = []

        def final() -> bool:
            found.append(self.get(uetr))
            return STATE[found[-1].state] in ("COMMITTED", "ABORTED")

        until(final, f"{uetr} ends", seconds)
        return found[-1]

    def reserved(self) -> dict[str, int]:
        """What is reserved now, by asset."""
        mine = participant_pb2.GetPositionsRequest(participant_id=dict(self.metadata)["x-bayswitch-participant"])
        found = self.call(self.participants.GetPositions, mine).positions
        return {row.asset: row.reserved_minor for row in found if row.reserved_minor}

    def changes(self, uetr: str, seconds: int = RESOLVE_SECONDS_MAX) -> list[str]:
        """The states of one payment as WatchPayments tells them from the beginning, up to its end."""
        states: list[str] = []
        request = payment_pb2.WatchPaymentsRequest(resume_token="0")
        for change in self.stream(self.payments.WatchPayments, request, seconds):
            if change.uetr == uetr:
                states.append(STATE[change.state])
                if states[-1] in ("COMMITTED", "ABORTED"):
                    break
        return states

    def request(self, of: Mapping[str, Any]) -> Any:
        """A new request of a step, priced where two assets need it."""
        request = request_of(of)
        if of.get("credit", request.debit.asset) != request.debit.asset:
            price(self, request, of["credit"])
        return request


def on_a_port_to_keep(sandbox: Sandbox) -> Sandbox:
    """A switch that is ended and started again needs its port meanwhile: below those the system hands out it stays free."""
    sandbox.keep_port(free_ports(1)[0])
    return sandbox


@contextmanager
def started(sandbox: Sandbox) -> Iterator[Sandbox]:
    """Running, with participants and rates; at the end every part that still runs must end with 0."""
    try:
        on_a_port_to_keep(sandbox).start()
        sandbox.enrol(load_scenario())
        yield sandbox
    finally:
        ended = sandbox.stop()
    assert not any(ended.values()), ended


@contextmanager
def payments_in(sandbox: Sandbox) -> Iterator[Callable[[str], Provider]]:
    """participant -> its Provider, on channels that last as long as the `with`."""
    open_now: dict[str, tuple[grpc.Channel, Provider]] = {}

    def provider(name: str) -> Provider:
        if name not in open_now:
            # Reconnects quickly: the switch and its store are stopped under it.
            options = (("grpc.max_reconnect_backoff_ms", 200), ("grpc.use_local_subchannel_pool", 1))
            channel = grpc.insecure_channel(sandbox.address, options)
            open_now[name] = channel, Provider(channel, name)
        return open_now[name][1]

    try:
        yield provider
    finally:
        for channel, _ in open_now.values():
            channel.close()


def step(name: str, changes: str = "") -> dict[str, Any]:
    """A step of the demo with `path=value` changes, one space apart; "_" is a space, "-" alone takes the field away."""
    found: dict[str, Any] = deepcopy(_STEPS[name])
    for change in changes.split():
        path, _, value = change.partition("=")
        *parents, last = path.split(".")
        at = found
        for parent in parents:
            at = at[parent]
        if value == "-":
            del at[last]
        else:
            at[last] = (
                int(value) if last == "level" else value.replace("_", " ") if last in ("name", "debit") else value
            )
    return found


def committed(provider: Provider, of: Mapping[str, Any]) -> Any:
    """Pay a step; it must be COMMITTED."""
    payment = provider.submit(provider.request(of))
    assert STATE[payment.state] == "COMMITTED", payment
    return payment


def until(reached: Callable[[], bool], what: str, seconds: float = RESOLVE_SECONDS_MAX) -> None:
    """Poll until it is so; calls that fail meanwhile are asked again."""
    limit = time.monotonic() + seconds
    while True:
        try:
            if reached():
                return
        except (grpc.RpcError, CallFailed):
            if time.monotonic() > limit:
                raise
        assert time.monotonic() < limit, f"not in {seconds} s: {what}"
        time.sleep(_POLL_SECONDS)


def audited(sandbox: Sandbox, answers: Mapping[str, str] | None = None) -> Audit:
    """Wait until nothing is reserved, then the audit over records, positions and the rails' books; it must be clean."""
    with payments_in(sandbox) as provider:
        operator = provider(OPERATOR)

        def idle() -> bool:
            request = participant_pb2.GetPositionsRequest()
            rows = operator.call(operator.participants.GetPositions, request).positions
            return not any(row.reserved_minor for row in rows)

        until(idle, "nothing is reserved any more")
        listed = operator.call(operator.participants.ListParticipants, participant_pb2.ListParticipantsRequest())
        names = [row.participant_id for row in listed.participants]
    found: list[Audit] = []

    def looked() -> bool:
        found.append(asyncio.run(audit(sandbox.address, OPERATOR, names, sandbox.controls, answers or {})))
        return True

    until(looked, "the audit's calls are answered")
    assert found[0].clean, str(found[0])
    return found[0]
