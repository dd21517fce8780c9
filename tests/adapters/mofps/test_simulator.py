"""The mock hub's own rules, its batched bank, and what client and hub make of messages that should not come."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from adapters.conformance import ended, hold_of
from adapters.kit.books import PaymentStatus
from adapters.kit.control import control
from adapters.kit.module import RailOptions, SimulatorOptions
from adapters.kit.promises import Inbox, until
from adapters.kit.push_codec import Told
from adapters.mofps import RAIL, codec, hub_codec, spec
from adapters.mofps.client import EasyTransferRail
from adapters.mofps.simulator import SEED, EasyTransferSimulator
from switch.domain.document import DocumentType
from switch.domain.identifiers import parse_account
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import Payment, State
from switch.errors import ConfigError, InvalidValue, RailRejected, RailSilent
from switch.limits import CLOCK_SKEW_MS_MAX, RAIL_MESSAGE_VALID_MS
from switch.ports import Outcome
from tests.adapters.mofps.cases import LEONG, instruction, now_ms, running
from tests.fakes import World
from tests.fakes import instruction as asked

NOON = 1_795_060_800_000  # in Macau
OURS = RAIL.institution
BATCHED = ("110", Scheme.ACCOUNT, "110-5550-000077", "LAO CHI KEONG")
INBOUND: dict[str, Any] = {
    "institution": "101", "number": LEONG[2], "amount_minor": 500_00, "asset": "MOP", "scheme": "MOBILE",
    "creditor": "+852-51234567", "name": "CHAN TAI MAN", "place": "HK", "purpose": "FAMILY_SUPPORT", "remark": "school",
}  # fmt: skip


def _hub(now: int = NOON, seed: Path | None = None) -> EasyTransferSimulator:
    return EasyTransferSimulator(SimulatorOptions("127.0.0.1", 0, 0, OURS, Path(), seed), now_ms=lambda: now)


def _ask(hub: EasyTransferSimulator, payload: bytes) -> spec.StatusReport:
    reply = hub._handle(payload)
    assert reply is not None
    return spec.report_codec.read(reply.answers[0])


def _pay(hub: EasyTransferSimulator, made: Instruction, prepared_ms: int = NOON) -> str:
    answer = _ask(hub, codec.encode_transfer(hold_of(RAIL.name, made, prepared_ms), OURS))
    return answer.reason or answer.status


RULES = """
# agent  scheme    address              name                asset  amount_minor  answer
  101    ACCOUNT   101-11-20-000123     LEONG KA MAN        MOP    1             ACSC
  101    ACCOUNT   101-11-20-000123     leong ka man        HKD    999999999     ACSC
  101    ACCOUNT   101-11-20-000123     ＬＥＯＮＧ KA MAN   MOP    1             ACSC
  101    ACCOUNT   101-11-20-000123     LEONG KA            MOP    1             BE01
  102    ACCOUNT   101-11-20-000123     LEONG KA MAN        MOP    1             AC01
  777    ACCOUNT   101-11-20-000123     LEONG KA MAN        MOP    1             AGNT
  -      ACCOUNT   101-11-20-000123     LEONG KA MAN        MOP    1             AC01
  -      MOBILE    +853-66123456        ANY NAME            MOP    1             ACSC
  -      MOBILE    +853-66123456        ANY NAME            HKD    1             ACSC
  102    MOBILE    +853-66123456        ANY NAME            MOP    1             ACSC
  149    MOBILE    +853-66123456        ANY NAME            MOP    1             BE23
  -      MOBILE    +853-65000000        ANY NAME            MOP    1             BE23
  -      MOBILE    +852-51234567        ANY NAME            MOP    1             BE23
  -      FPS_ID    8531234              ANY NAME            MOP    1             ACSC
  -      FPS_ID    853123456            ANY NAME            HKD    1             ACSC
  -      FPS_ID    7654321              ANY NAME            MOP    1             BE23
  -      MOBILE    +853-60000999        ANY NAME            MOP    1             ACSC
  101    ACCOUNT   101-11-20-000004     CHAN CLOSED         MOP    1             AC04
  101    ACCOUNT   101-11-20-000006     LEI BLOCKED         MOP    1             AC06
  -      MOBILE    +853-68887777        ANY NAME            HKD    1             AM03
  -      MOBILE    +853-68887777        ANY NAME            MOP    1000000       ACSC
  -      MOBILE    +853-68887777        ANY NAME            MOP    1000001       AM14
  -      MOBILE    +853-68887777        ANY NAME            MOP    2000001       AM02
  102    ACCOUNT   102-900-00045-6      CHEONG WAI LAM      MOP    10000001      AM02
  161    ACCOUNT   161-001-000001       NG OFFLINE          MOP    1             AB08
  -      MOBILE    +853-69000009        ANY NAME            MOP    1             RR04
"""


@pytest.mark.parametrize("row", [line for line in RULES.splitlines()[2:] if line.strip()])
def test_rules(row: str) -> None:
    agent, scheme, address, name, asset, amount, answer = re.split(r"\s{2,}", row.strip())
    made = instruction(agent.strip("-"), Scheme[scheme], address, name, amount_minor=int(amount), asset=Asset[asset])
    assert _pay(_hub(), made) == answer


def test_every_address_of_the_seed_is_one_the_switch_takes() -> None:
    books = _hub().books
    for account in books.accounts.values():
        parse_account(Scheme.ACCOUNT, account.number)
    for kind, value in books._default:
        parse_account({"MOBN": Scheme.MOBILE, "SVID": Scheme.FPS_ID}[kind], value)
        assert kind != "MOBN" or re.fullmatch(r"\+853-6[0-9]{7}", value)


AGES = [(0, "ACSC"), (RAIL_MESSAGE_VALID_MS, "ACSC"), (RAIL_MESSAGE_VALID_MS + 1, "AB03")]
AGES += [(-CLOCK_SKEW_MS_MAX, "ACSC"), (-CLOCK_SKEW_MS_MAX - 1, "FF01")]


@pytest.mark.parametrize(("age_ms", "answer"), AGES)
def test_age(age_ms: int, answer: str) -> None:
    assert _pay(_hub(), instruction(), NOON - age_ms) == answer


def test_a_first_outcome_outlives_the_age_of_its_message() -> None:
    clock = [NOON]
    hub = EasyTransferSimulator(SimulatorOptions("127.0.0.1", 0, 0, OURS, Path()), now_ms=lambda: clock[0])
    made = instruction()
    assert _pay(hub, made) == "ACSC"
    clock[0] += RAIL_MESSAGE_VALID_MS * 10
    assert _pay(hub, made) == "ACSC"
    assert len(hub.books.lines) == 1


def test_the_day_limit_of_an_account_counts_what_came_before() -> None:
    hub = _hub()
    for _ in range(2):
        assert _pay(hub, instruction("", Scheme.MOBILE, "+853-68887777", amount_minor=500_000)) == "ACSC"
    assert _pay(hub, instruction("", Scheme.MOBILE, "+853-68887777", amount_minor=1)) == "AM14"


@pytest.mark.parametrize(
    "break_it",
    [
        lambda payload: payload.replace(b"SLEV", b"DEBT"),
        lambda payload: payload.replace(b"<ChrgBr>SLEV</ChrgBr>", b""),
        lambda payload: payload[: payload.index(b"<ChrgBr>")],
        lambda payload: payload.replace(b"MOP", b"XYZ"),
        lambda payload: payload.replace(b"</CdtrAcct>", b"<Prxy><Id>1</Id></Prxy></CdtrAcct>"),
    ],
)
def test_a_transfer_that_breaks_the_format_is_refused_and_stays_refused(break_it: Any) -> None:
    hub, made = _hub(), instruction()
    payload = codec.encode_transfer(hold_of(RAIL.name, made, NOON), OURS)
    assert _ask(hub, break_it(payload)).reason == "FF01"
    assert _ask(hub, break_it(payload)).reason == "FF01"
    assert _ask(hub, payload).reason == "AM05"
    assert _ask(hub, codec.encode_request(made.uetr, OURS, "E1", NOON)).reason == "FF01"
    assert not hub.books.lines


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x00",
        b"<BizMsg/>",
        b"<MsgDefIdr>pacs.008.001.08</MsgDefIdr><UETR>7f3c2b1a-9d4e-1c6b-8a21-0f5e6d7c8b90</UETR>",
        b"<MsgDefIdr>pacs.028.001.03</MsgDefIdr>",
        b"<MsgDefIdr>pacs.002.001.10</MsgDefIdr>",
    ],
)
def test_what_is_no_message_gets_no_answer(payload: bytes) -> None:
    assert _hub()._handle(payload) is None


async def test_marked_accounts_show_their_fault() -> None:
    async with running() as (client, simulator):
        silent = hold_of(RAIL.name, instruction("", Scheme.MOBILE, "+853-69000001"))
        booked = hold_of(RAIL.name, instruction("", Scheme.MOBILE, "+853-69000002"))
        ends = await asyncio.gather(client.prepare(silent, 100), client.prepare(booked, 100), return_exceptions=True)
        assert [type(end).__name__ for end in ends] == ["RailSilent", "RailSilent"]
        assert (await client.enquire(silent, 5_000)).outcome is Outcome.NEVER_SEEN
        assert (await client.enquire(booked, 5_000)).outcome is Outcome.DONE
        assert len(simulator.books.paid(booked.uetr)) == 1


async def test_abort_waits_for_the_age_of_the_message() -> None:
    async with running() as (client, _):
        for age_ms, outcome in (
            (0, Outcome.WORKING),
            (RAIL_MESSAGE_VALID_MS + 1_000, Outcome.WORKING),  # the hub's clock may be behind ours
            (RAIL_MESSAGE_VALID_MS + CLOCK_SKEW_MS_MAX + 1_000, Outcome.NEVER_SEEN),
        ):
            hold = hold_of(RAIL.name, instruction(), now_ms() - age_ms)
            assert (await client.abort(hold, 5_000)).outcome is outcome


# --- a bank that credits in batches ----------------------------------------------------------------------------------
def _seed(tmp_path: Path, batch_ms: str, *, day_max_minor: int = 0) -> Path:
    """The rail's own seed with other batches, and a day limit on the account of BATCHED."""
    text = SEED.read_text("utf-8").replace("batch_ms = 3000", f"batch_ms = {batch_ms}")
    text = text.replace(f'number = "{BATCHED[2]}"', f'number = "{BATCHED[2]}"\nday_max_minor = {day_max_minor}')
    path = tmp_path / "seed.toml"
    path.write_text(text, "utf-8")
    return path


async def test_a_batched_bank_is_still_working_and_then_done(tmp_path: Path) -> None:
    async with running(seed=_seed(tmp_path, "60000")) as (client, simulator):
        hold = hold_of(RAIL.name, instruction(*BATCHED))
        with pytest.raises(RailSilent):  # at once: its ACSP is no end, and only an enquiry can tell
            await asyncio.wait_for(client.prepare(hold, 60_000), 10)
        assert client.link.in_flight == 0
        assert (await client.enquire(hold, 5_000)).outcome is Outcome.WORKING
        assert (await client.abort(hold, 5_000)).outcome is Outcome.WORKING
        with pytest.raises(RailSilent):  # a repeat is the same payment
            await client.prepare(hold, 5_000)
        assert simulator.books.paid(hold.uetr) == []
        simulator.run_batches()
        enquiry = await client.enquire(hold, 5_000)
        assert enquiry.outcome is Outcome.DONE
        assert await client.prepare(hold, 5_000) == enquiry.ack
        assert len(simulator.books.paid(hold.uetr)) == 1


async def test_the_engine_holds_a_payment_to_a_batched_bank_until_the_batch_has_run(tmp_path: Path) -> None:
    world = World()
    options = SimulatorOptions("127.0.0.1", 0, 0, OURS, Path(), _seed(tmp_path, "60000"))
    simulator = EasyTransferSimulator(options, world.clock.now_ms)
    await simulator.start()
    client = EasyTransferRail(RailOptions("127.0.0.1", simulator.port, OURS, Path()), world.clock.now_ms)
    await client.start()
    world.payments._rails = world.recovery._rails = {"near": client}
    to = Party("LAO CHI KEONG", Place.HK, Account(Scheme.MOBILE, "+853-66110110"))
    try:
        payment = (await world.payments.submit(asked(creditor=to), 15_000)).payment
        assert payment.state is State.IN_DOUBT
        world.clock.advance(10_001)  # overdue: recovery asks, and is told that the bank is at work
        for batch_ran, state in ((False, State.IN_DOUBT), (True, State.COMMITTED)):
            if batch_ran:
                simulator.run_batches()
                world.clock.advance(60_000)
            assert await world.recovery.look() == 1
            await until(lambda: not world.recovery._asking, "recovery has its answer")
            looked = await world.store.get(payment.hold.participant, payment.hold.uetr)
            assert looked is not None
            assert looked.state is state
    finally:
        await client.close()
        await simulator.close()


async def test_a_batched_bank_refuses_at_once_what_it_cannot_take() -> None:
    async with running() as (client, _):
        for made, reason in (
            (instruction("110", value="110-0000-000000"), "CREDITOR_ACCOUNT_UNKNOWN"),
            (instruction(*BATCHED[:3], "LAO CHI"), "CREDITOR_NAME_MISMATCH"),
        ):
            with pytest.raises(RailRejected) as refused:
                await client.prepare(hold_of(RAIL.name, made), 5_000)
            assert refused.value.reason.name == reason


async def test_a_batch_refuses_what_no_longer_fits(tmp_path: Path) -> None:
    """Both payments were taken while each alone fitted the account's day limit."""
    seed = _seed(tmp_path, "60000", day_max_minor=100_00)
    async with running(seed=seed) as (client, simulator):
        holds = [hold_of(RAIL.name, instruction(*BATCHED, amount_minor=60_00)) for _ in range(2)]
        for hold in holds:
            with pytest.raises(RailSilent):
                await client.prepare(hold, 5_000)
        simulator.run_batches()
        enquiries = [await client.enquire(hold, 5_000) for hold in holds]
        assert sorted(enquiry.outcome.name for enquiry in enquiries) == ["DONE", "REFUSED"]
        refused = next(enquiry for enquiry in enquiries if enquiry.outcome is Outcome.REFUSED)
        assert (refused.reason, refused.rail_code) == ("RAIL_AMOUNT_LIMIT", "AM14")
        assert len(simulator.books.lines) == 1


async def test_a_batch_and_a_fault_of_the_answer_come_together(tmp_path: Path) -> None:
    async with running(seed=_seed(tmp_path, "20")) as (client, simulator):
        await control("127.0.0.1", simulator.control_port, "fault", fault="twice", count=1)
        hold = hold_of(RAIL.name, instruction(*BATCHED))
        with pytest.raises(RailSilent):
            await client.prepare(hold, 5_000)
        await until(lambda: client.link.late == 1, "the second copy of the answer is nobody's")
        await until(lambda: bool(simulator.books.paid(hold.uetr)), "the batch runs")


async def test_batches_end_with_the_mock() -> None:
    async with running() as (client, simulator):
        with pytest.raises(RailSilent):
            await client.prepare(hold_of(RAIL.name, instruction(*BATCHED)), 5_000)
        ((_, batch),) = simulator._batches.values()
    assert batch.cancelled()
    assert simulator.books.lines == []


@pytest.mark.parametrize("batch_ms", ["-1", "120001", "1.5", "true", '"3000"', '"３"'])
def test_a_batch_that_is_no_time_is_refused_at_start(tmp_path: Path, batch_ms: str) -> None:
    with pytest.raises(ConfigError, match="batch_ms counts"):
        _hub(seed=_seed(tmp_path, batch_ms))


# --- payments from a bank in Macau -----------------------------------------------------------------------------------
async def test_an_inbound_payment_is_a_whole_instruction() -> None:
    inbox = Inbox("")
    async with running(inbox) as (_, simulator):
        outcome = await control("127.0.0.1", simulator.control_port, "inbound", **INBOUND)
        balance = simulator.books.accounts["101", LEONG[2]].balance_minor[Asset.MOP]
    made = inbox.taken[0]
    assert outcome == {"uetr": made.uetr, "outcome": "done", "code": "ACSC"}
    assert balance == 5_000_000_00 - 500_00
    assert (made.participant, made.request_id, made.creditor_agent) == ("101", made.uetr, "")
    assert made.debit == made.credit == Money(Asset.MOP, 500_00)
    assert (made.debtor.name, made.debtor.place, made.debtor.account.value) == (LEONG[3], Place.MO, LEONG[2])
    assert made.debtor.document is not None
    assert made.debtor.document.type is DocumentType.MACAU_BIR
    assert (made.creditor.place, made.creditor.account.scheme) == (Place.HK, Scheme.MOBILE)
    assert (made.purpose, made.remark, made.quote_id) == ("FAMILY_SUPPORT", "school", "")


async def test_an_inbound_payment_without_funds_is_not_sent() -> None:
    inbox = Inbox("")
    async with running(inbox) as (_, simulator):
        for change, code in (({"amount_minor": 5_000_000_01}, "AM04"), ({"asset": "CNY"}, "AM04")):
            outcome = await control("127.0.0.1", simulator.control_port, "inbound", **{**INBOUND, **change})
            assert (outcome["outcome"], outcome["code"]) == ("refused", code)
        with pytest.raises(InvalidValue):
            await control("127.0.0.1", simulator.control_port, "inbound", **{**INBOUND, "number": "none"})
        with pytest.raises(InvalidValue):
            await control("127.0.0.1", simulator.control_port, "inbound")
    assert inbox.taken == []


async def test_an_unanswered_inbound_payment_goes_on_and_holds_its_money() -> None:
    release = asyncio.Event()

    async def slow(made: Instruction) -> Payment:
        await release.wait()
        return ended(RAIL.name, made)

    async with running(slow) as (_, simulator):
        first = await control("127.0.0.1", simulator.control_port, "inbound", **INBOUND, budget_ms=50)
        account = simulator.books.accounts["101", LEONG[2]]
        assert first["outcome"] == "working"
        assert account.held_minor[Asset.MOP] == 500_00
        release.set()
        again = await control("127.0.0.1", simulator.control_port, "inbound", **INBOUND, uetr=first["uetr"])
        assert again["outcome"] == "done"
        assert account.held_minor[Asset.MOP] == 0
        assert len(simulator.books.paid(first["uetr"])) == 1
        late = hub_codec.tell_payer(Told(first["uetr"], PaymentStatus.REFUSED, "AC04", "", NOON), OURS)
        assert simulator._handle(late) is None
        assert simulator.books.payments[first["uetr"]].status is PaymentStatus.DONE


@pytest.mark.parametrize(
    ("change", "code"),
    [({"creditor_agent": "101"}, "AGNT"), ({"creditor_proxy_type": None}, "FF01")],
)
async def test_an_inbound_payment_that_is_not_for_us_is_refused(change: dict[str, Any], code: str) -> None:
    inbox = Inbox("")
    async with running(inbox) as (client, simulator):
        simulator._outbound = _changed(simulator._outbound, change)  # type: ignore[method-assign]
        outcome = await control("127.0.0.1", simulator.control_port, "inbound", **INBOUND)
        assert (outcome["outcome"], outcome["code"]) == ("refused", code)
        assert simulator._server.push(b"<MsgDefIdr>pacs.008.001.08</MsgDefIdr><BizSvc>EASYTRANSFER</BizSvc>")
        await until(lambda: client.link.dropped == 1, "an unreadable payment is counted")
    assert inbox.taken == []


def _changed(make: Any, change: dict[str, Any]) -> Any:
    return lambda *given: make(*given)._replace(**change)


async def test_no_personal_value_in_any_error() -> None:
    async with running() as (client, simulator):
        with pytest.raises(RailRejected) as refused:
            await client.prepare(hold_of(RAIL.name, instruction(name="LEONG SIU MAN")), 5_000)
        assert str(refused.value) == "CREDITOR_NAME_MISMATCH (BE01)"
        books = await control("127.0.0.1", simulator.control_port, "books", number=LEONG[2])
        assert "LEONG" not in str(books)
