"""`bayswitch reconcile` against running rails: all is the same after payments both ways, and each difference is found."""

import asyncio
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from bayswitch.v1 import common_pb2, participant_pb2, participant_pb2_grpc, payment_pb2, payment_pb2_grpc

from adapters import RAILS
from adapters.conformance import hold_of
from adapters.kit.books import Books
from adapters.kit.clock import wall_ms
from adapters.kit.control import ControlServer, fetch_statement
from adapters.kit.faults import FaultTable
from adapters.kit.module import RailOptions
from adapters.kit.statement import Statement, StatementFormat, StatementLine, day_bounds, day_of
from adapters.kit.statement_pages import StatementPages
from switch.cli.processes import start_part
from switch.cli.sandbox import Sandbox
from switch.domain.money import Asset
from switch.domain.reconciliation import LineStatus
from tests.adapters.hkfps.cases import HKFPS
from tests.adapters.mofps.cases import MOFPS
from tests.cli.support import Cli, Ran, enrol, until
from tests.cli.test_payments import HK, KNOWN, MAINLAND
from tests.waiting import on_one_day

TURN_SECONDS = 60
TO_MACAU = (
    "+853-66123456", "--payee-name", "LEONG KA MAN", *HK, "--to-place", "MO", "--scheme", "mobile", "--credit", "MOP",
)  # fmt: skip
TO_ECNY = (
    "0021000000000004", "--payee-name", "CHAN TAI MAN", *HK, "--to-place", "CN", "--scheme", "wallet_id", "--level", "4",
    "--credit", "ECNY", "--purpose", "WALLET_TOP_UP",
)  # fmt: skip
CLOSED = (
    "012-875-0-000004-4",
    "--payee-name",
    "HO CLOSED",
    *HK,
    "--to-place",
    "HK",
    "--scheme",
    "account",
    "--agent",
    "012",
)

TO_ALIPAY = {"scheme": "ALIPAY_LOGIN", "creditor": "13800138000", "name": "测试甲", "place": "CN"}
INBOUND = {"hkfps": {**HKFPS.inbound, **TO_ALIPAY}, "mofps": dict(MOFPS.inbound)}


def pay(cli: Cli, amount: str, to: Sequence[str], *, code: int = 0, uetr: str = "") -> str:
    """One payment of the Hong Kong wallet; its UETR."""
    uetr = uetr or str(uuid.uuid4())
    ran = cli("--as", "HKWALLET", "pay", amount, *to, "--uetr", uetr)
    assert ran.code == code, ran
    return uetr


def reconcile(cli: Cli, rail: str, control: str, day: date, *more: str) -> Ran:
    return cli("reconcile", rail, "--date", day.isoformat(), "--control", control, *more)


def today() -> date:
    """The day in Hong Kong, on which all is that a test pays now."""
    on_one_day(TURN_SECONDS)
    return day_of(wall_ms())


def verdicts(ran: Ran) -> dict[str, str]:
    """UETR -> what it is, of everything that is not the same."""
    return {row["uetr"]: row["verdict"] for row in ran.json["differences"]}


# --- all is the same -------------------------------------------------------------------------------------------------
def test_after_payments_both_ways_every_rail_is_the_same(cli: Cli, sandbox: Sandbox) -> None:
    day = today()
    paid = {
        "hkfps": [pay(cli, "HKD 11.00", KNOWN)],
        "mofps": [pay(cli, "HKD 12.00", TO_MACAU)],
        "alipay": [pay(cli, "HKD 13.00", MAINLAND)],
        "ecny": [pay(cli, "HKD 14.00", TO_ECNY)],
    }
    refused = pay(cli, "HKD 15.00", CLOSED, code=1)
    for rail, call in INBOUND.items():
        outcome = sandbox.control(rail, "inbound", **call)
        assert outcome["outcome"] == "done", outcome
        paid[rail].append(outcome["uetr"])
    for rail, uetrs in paid.items():
        control = sandbox.controls[rail]
        # Others work in this sandbox too: what is still open of theirs ends.
        until(lambda rail=rail, control=control: reconcile(cli, rail, control, day).code == 0, f"{rail} is the same")  # type: ignore[misc]
        found = reconcile(cli, rail, control, day, "--json").json
        assert set(uetrs) <= set(found["same"])
        assert found["differences"] == []
        assert all(total["difference_minor"] == 0 for total in found["totals"])
        assert {total["asset"] for total in found["totals"]} <= {asset.name for asset in RAILS[rail].assets}
        text = reconcile(cli, rail, control, day, "--all").out
        assert text.startswith(f"{rail} {day}: {found['counts']['same']} same, 0 ours only, 0 theirs only, 0 amount")
        assert all(uetr in text for uetr in uetrs)
    assert refused in reconcile(cli, "hkfps", sandbox.controls["hkfps"], day, "--json").json["same"]


def test_a_day_without_payments_is_the_same(cli: Cli, sandbox: Sandbox) -> None:
    ran = reconcile(cli, "ecny", sandbox.controls["ecny"], date(2020, 2, 2))
    assert (ran.code, ran.out.count("\n")) == (0, 1)
    assert ran.out.startswith("ecny 2020-02-02: 0 same, ")


def test_near_midnight_the_day_beside_is_looked_at(cli: Cli, sandbox: Sandbox) -> None:
    """A rail that books what we paid just before midnight just after it: the same, on both days."""
    day = today()
    uetr = pay(cli, "HKD 16.00", KNOWN)
    lines = [line for line in real_lines(sandbox, "hkfps", day) if line.uetr == uetr]
    tomorrow = [line._replace(time_ms=line.time_ms + 86_400_000) for line in lines]
    with planted("hkfps", tomorrow) as control:
        for asked in (day, day + timedelta(days=1)):
            found = reconcile(cli, "hkfps", control, asked, "--json")
            assert uetr in found.json["same"]
            assert uetr not in verdicts(found)


# --- a planted difference --------------------------------------------------------------------------------------------
def real_lines(sandbox: Sandbox, rail: str, day: date) -> list[StatementLine]:
    """What the running rail says of the day and of the days beside it."""
    host, _, port = sandbox.controls[rail].rpartition(":")
    lines: list[StatementLine] = []
    for number in (-1, 0, 1):
        asked = day + timedelta(days=number)
        files = asyncio.run(fetch_statement(host, int(port), asked))
        lines += RAILS[rail].statement.read(files, RAILS[rail].institution, asked).lines
    return lines


@contextmanager
def planted(rail: str, lines: Sequence[StatementLine], damage: tuple[bytes, bytes] = (b"", b"")) -> Iterator[str]:
    """A control port that gives statements of these lines, in the rail's own form; with one text in them changed."""

    def write(statement: Statement) -> dict[str, bytes]:
        own = sorted((line for line in lines if day_of(line.time_ms) == statement.day), key=lambda line: line.time_ms)
        files = RAILS[rail].statement.write(statement._replace(lines=tuple(own)))
        return {name: data.replace(*damage) if damage[0] else data for name, data in files.items()}

    books = Books()
    pages = StatementPages(books, StatementFormat(write, RAILS[rail].statement.read), RAILS[rail].institution)
    server = ControlServer("127.0.0.1", 0, FaultTable(supported=()), books, statements=pages)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result()
        yield f"127.0.0.1:{server.port}"
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result()
        asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


ADVICE = {
    "ours only": "we hold it paid, the rail has no booking on this day or beside it: do not send it again",
    "theirs only": "the rail booked what we have no record of: do not pay it again",
    "amount differs": "both paid, not the same: pay nothing more",
    "state differs": "we hold it paid, the rail refused it: do not send it again",
}


def test_each_difference_is_found_named_and_advised(cli: Cli, sandbox: Sandbox) -> None:
    day = today()
    missing, less, refused, stranger = (
        *(pay(cli, f"HKD {amount}.00", KNOWN) for amount in (21, 22, 23)),
        str(uuid.uuid4()),
    )
    lines = {line.uetr: line for line in real_lines(sandbox, "hkfps", day)}
    lines.pop(missing)
    lines[less] = lines[less]._replace(amount_minor=21_99)
    lines[refused] = lines[refused]._replace(status=LineStatus.REFUSED, code="AC06", reference="")
    lines[stranger] = StatementLine(stranger, Asset.HKD, 24_00, LineStatus.DONE, "ACSC", "FPS999", lines[less].time_ms)
    wanted = {missing: "ours only", less: "amount differs", refused: "state differs", stranger: "theirs only"}
    with planted("hkfps", list(lines.values())) as control:
        until(lambda: verdicts(reconcile(cli, "hkfps", control, day, "--json")) == wanted, "what was planted is found")
        ran, text = reconcile(cli, "hkfps", control, day, "--json"), reconcile(cli, "hkfps", control, day)
    assert (ran.code, text.code) == (1, 1)
    for row in ran.json["differences"]:
        assert row["advice"].startswith(ADVICE[row["verdict"]])
    for uetr, verdict in wanted.items():
        (line,) = (line for line in text.out.splitlines() if uetr in line)
        assert line.startswith(verdict)
        assert ADVICE[verdict] in line
    sums = {total["asset"]: total["difference_minor"] for total in ran.json["totals"]}
    assert sums["HKD"] == -21_00 - 1 - 23_00 + 24_00
    assert ran.json["counts"] == {
        "same": ran.json["counts"]["same"], "ours only": 1, "theirs only": 1, "amount differs": 1, "state differs": 1,
    }  # fmt: skip
    assert " 1 ours only, 1 theirs only, 1 amount differs, 1 state differs" in text.out


def test_a_statement_that_does_not_add_up_is_not_used(cli: Cli) -> None:
    day = day_of(wall_ms())
    line = StatementLine(str(uuid.uuid4()), Asset.HKD, 25_00, LineStatus.DONE, "ACSC", "FPS1", wall_ms() // 1000 * 1000)
    with planted("hkfps", [line], (b"<NbOfNtries>1<", b"<NbOfNtries>2<")) as control:
        ran = reconcile(cli, "hkfps", control, day)
    assert (ran.code, ran.out) == (1, "")
    assert "TxsSummry/TtlNtries/NbOfNtries: MISMATCH; ask the rail to send it again" in ran.err
    assert ran.err.count("\n") == 1


# --- differences of running rails ------------------------------------------------------------------------------------
def test_a_rail_that_forgot_and_one_that_was_paid_behind_our_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing is planted in a file: another client pays on the rail, and the rail loses its books."""
    directory = tmp_path_factory.mktemp("reconcile")
    running = Sandbox(directory, signing=False)
    try:
        running.start()
        enrol(running)
        cli = Cli({**running.environment, "BAYSWITCH_SERVER": running.address})
        day = today()
        kept, changed = pay(cli, "HKD 31.00", KNOWN), pay(cli, "HKD 32.00", KNOWN)
        stranger, taken = str(uuid.uuid4()), str(uuid.uuid4())
        pay_directly(running.rails["hkfps"].ready["address"], stranger, 33_00)
        pay_directly(running.rails["hkfps"].ready["address"], taken, 34_00)
        pay(cli, "HKD 35.00", KNOWN, code=1, uetr=taken)  # its UETR is another payment there: refused
        found = reconcile(cli, "hkfps", running.controls["hkfps"], day, "--json")
        assert (found.code, verdicts(found)) == (1, {stranger: "theirs only", taken: "state differs"})
        assert {kept, changed} <= set(found.json["same"])

        assert running.rails["hkfps"].stop() == 0
        arguments = ("rail", "serve", "hkfps", "--keys-dir", str(directory / "keys"))
        running.rails["hkfps"] = start_part("hkfps", *arguments, environment={}, directory=directory)
        pay_directly(running.rails["hkfps"].ready["address"], changed, 31_99)
        found = reconcile(cli, "hkfps", running.controls["hkfps"], day, "--json")
        assert (found.code, verdicts(found)) == (1, {kept: "ours only", changed: "amount differs"})
    finally:
        ended = running.stop()
    assert set(ended.values()) == {0}


def pay_directly(address: str, uetr: str, amount_minor: int) -> None:
    """A payment over the rail that the switch knows nothing of."""

    async def run() -> None:
        host, _, port = address.rpartition(":")
        client = HKFPS.make_client(RailOptions(host, int(port), HKFPS.rail.institution, Path(), signing=False))
        await client.start()
        try:
            made = HKFPS.mobile("+852-51234567", name="CHAN TAI MAN", amount_minor=amount_minor, uetr=uetr)
            await client.prepare(hold_of("hkfps", made), 10_000)
        finally:
            await client.close()

    asyncio.run(run())


# --- many payments ---------------------------------------------------------------------------------------------------
class Register(participant_pb2_grpc.ParticipantServiceServicer):
    """Two participants: a wallet, and the gateway of the rail."""

    def ListParticipants(self, request: Any, context: Any) -> Any:
        names = [participant_pb2.Participant(participant_id=name) for name in ("WALLET", "GW_HKFPS")]
        return participant_pb2.ListParticipantsResponse(participants=names)


class Payments(payment_pb2_grpc.PaymentServiceServicer):
    """Payments by participant; every third page is short, every fifth is empty, as pages may be."""

    def __init__(self, payments: Mapping[str, list[Any]]) -> None:
        self._payments = payments
        self.pages = 0

    def ListPayments(self, request: Any, context: Any) -> Any:
        assert dict(context.invocation_metadata())["x-bayswitch-participant"] == "OPERATOR"
        own = self._payments[request.participant_id]
        self.pages += 1
        size = 0 if self.pages % 5 == 0 else 7 if self.pages % 3 == 0 else request.page_size
        begin = int(request.page_token or 0)
        end = begin + size
        return payment_pb2.ListPaymentsResponse(
            payments=own[begin:end], next_page_token=str(end) if end < len(own) else ""
        )


@contextmanager
def serving(payments: Payments) -> Iterator[Cli]:
    """The command line of a server that has these payments."""
    server = grpc.server(ThreadPoolExecutor(2))
    payment_pb2_grpc.add_PaymentServiceServicer_to_server(payments, server)
    participant_pb2_grpc.add_ParticipantServiceServicer_to_server(Register(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield Cli({"BAYSWITCH_SERVER": f"127.0.0.1:{port}"})
    finally:
        server.stop(None).wait()


def recorded(uetr: str, rail: str, debit: int, time_ms: int, *, payer: str = "WALLET", final: bool = True) -> Any:
    """A payment of `payer` to somebody on `rail`."""
    payment = payment_pb2.Payment(
        uetr=uetr,
        participant=payer,
        state=payment_pb2.PAYMENT_STATE_COMMITTED if final else payment_pb2.PAYMENT_STATE_IN_DOUBT,
        rail=rail,
        debit=common_pb2.Money(asset="HKD", amount_minor=debit),
        credit=common_pb2.Money(asset="HKD", amount_minor=debit - 1),  # less our fee
    )
    payment.prepared_time.FromMilliseconds(time_ms)
    if final:
        payment.final_time.FromMilliseconds(time_ms + 5)
    return payment


def test_many_payments_both_ways_page_by_page() -> None:
    day = date(2026, 11, 25)
    noon_ms = day_bounds(day)[0] + 43_200_000
    out, came = ([str(uuid.uuid4()) for _ in range(count)] for count in (2_000, 1_200))
    lines = [
        *(StatementLine(uetr, Asset.HKD, 99, LineStatus.DONE, "ACSC", "FPS1", noon_ms) for uetr in out),
        *(StatementLine(uetr, Asset.HKD, -100, LineStatus.DONE, "ACSC", "FPS1", noon_ms) for uetr in came),
    ]
    payments = Payments(
        {
            "WALLET": [
                *(recorded(uetr, "hkfps", 100, noon_ms) for uetr in out),
                recorded("other", "mofps", 5, noon_ms),
            ],
            "GW_HKFPS": [recorded(uetr, "alipay", 100, noon_ms, payer="GW_HKFPS") for uetr in came],
        }
    )
    with serving(payments) as cli, planted("hkfps", lines) as control:
        found = reconcile(cli, "hkfps", control, day, "--json")
        assert (found.code, found.err) == (0, "")
        assert found.json["counts"]["same"] == 3_200
        assert found.json["totals"] == [
            {"asset": "HKD", "ours_minor": 78_000, "theirs_minor": 78_000, "difference_minor": 0}
        ]
        assert payments.pages > 6
        open_now = recorded(out[0], "hkfps", 100, noon_ms, final=False)
        payments._payments["WALLET"][0].CopyFrom(open_now)
        assert verdicts(reconcile(cli, "hkfps", control, day, "--json")) == {out[0]: "state differs"}


# --- the command line ------------------------------------------------------------------------------------------------
USAGE: list[tuple[list[str], int, str]] = [
    (["nowhere", "--date", "2026-11-25", "--control", "127.0.0.1:1"], 2, "no rail 'nowhere'"),
    (["hkfps", "--date", "yesterday", "--control", "127.0.0.1:1"], 2, "a day is YYYY-MM-DD"),
    (["hkfps", "--date", "2026-11-25", "--control", "here"], 2, "--control is host:port"),
    (["hkfps", "--date", "2026-11-25", "--control", "127.0.0.1:1"], 4, "no mock rail's control port"),
    (["hkfps", "--date", "2026-11-25"], 2, "--control"),
]


@pytest.mark.parametrize(("arguments", "code", "said"), USAGE, ids=[str(place) for place in range(len(USAGE))])
def test_what_is_wrong_is_said_in_the_exit_code(cli: Cli, arguments: list[str], code: int, said: str) -> None:
    ran = cli("reconcile", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err


def test_only_the_operator_sees_everybodys_payments(cli: Cli, sandbox: Sandbox) -> None:
    asked = ("reconcile", "hkfps", "--date", "2026-11-25", "--control", sandbox.controls["hkfps"])
    assert "CALLER_NOT_PERMITTED" in cli("--as", "HKWALLET", *asked).err
    assert cli("--server", "127.0.0.1:1", *asked).code == 4
