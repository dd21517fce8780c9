"""The mock hub's own rules, and what client and hub make of messages that should not come."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from adapters.conformance import ended, hold_of
from adapters.hkfps import RAIL, codec, spec
from adapters.hkfps.simulator import FpsSimulator
from adapters.kit.control import control
from adapters.kit.module import SimulatorOptions
from adapters.kit.promises import Inbox, until
from adapters.kit.push_codec import DUPLICATE
from switch.domain.document import DocumentType
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Place, Scheme
from switch.domain.payment import Hold, Payment
from switch.errors import InvalidValue, RailRejected
from switch.limits import CLOCK_SKEW_MS_MAX, RAIL_MESSAGE_VALID_MS
from switch.ports import Outcome
from tests.adapters.hkfps.cases import CHAN, instruction, now_ms, running

NOON = 1_795_060_800_000  # in Hong Kong
OURS = RAIL.institution
INBOUND: dict[str, Any] = {
    "institution": "012", "number": CHAN[2], "amount_minor": 500_00, "asset": "HKD", "scheme": "MOBILE",
    "creditor": "+86-13800138000", "name": "LI SI", "place": "CN", "purpose": "FAMILY_SUPPORT", "remark": "school",
}  # fmt: skip


def _hub(now: int = NOON) -> FpsSimulator:
    return FpsSimulator(SimulatorOptions("127.0.0.1", 0, 0, OURS, Path()), now_ms=lambda: now)


def _ask(hub: FpsSimulator, payload: bytes) -> spec.StatusReport:
    reply = hub._handle(payload)
    assert reply is not None
    return spec.report_codec.read(reply.answers[0])


def _pay(hub: FpsSimulator, made: Instruction, prepared_ms: int = NOON) -> str:
    answer = _ask(hub, codec.encode_transfer(hold_of(RAIL.name, made, prepared_ms), OURS))
    return answer.reason or answer.status


RULES = """
# agent  scheme    address                  name           asset  amount_minor  answer
  012    ACCOUNT   012-875-0-123456-7       CHAN TAI MAN   HKD    1             ACSC
  012    ACCOUNT   012-875-0-123456-7       chan  tai man  CNH    999999999     ACSC
  012    ACCOUNT   012-875-0-123456-7       ＣＨＡＮ TAI MAN  HKD   1             ACSC
  012    ACCOUNT   012-875-0-123456-7       CHAN TAI       HKD    1             BE01
  004    ACCOUNT   012-875-0-123456-7       CHAN TAI MAN   HKD    1             AC01
  777    ACCOUNT   012-875-0-123456-7       CHAN TAI MAN   HKD    1             AGNT
  -      MOBILE    +852-51234567            ANY NAME       HKD    1             ACSC
  004    MOBILE    +852-51234567            ANY NAME       HKD    1             ACSC
  949    MOBILE    +852-51234567            ANY NAME       HKD    1             BE23
  -      MOBILE    +852-51230000            ANY NAME       HKD    1             BE23
  -      EMAIL     taiman.chan@example.hk   ANY NAME       CNH    1             ACSC
  -      EMAIL     nobody@example.hk        ANY NAME       CNH    1             BE23
  -      FPS_ID    1234567                  ANY NAME       HKD    1             ACSC
  -      FPS_ID    7654321                  ANY NAME       HKD    1             BE23
  012    ACCOUNT   012-875-0-000004-4       HO CLOSED      HKD    1             AC04
  012    ACCOUNT   012-875-0-000006-6       LAM BLOCKED    HKD    1             AC06
  -      MOBILE    +852-98887777            ANY NAME       CNH    1             AM03
  -      MOBILE    +852-98887777            ANY NAME       HKD    1000000       ACSC
  -      MOBILE    +852-98887777            ANY NAME       HKD    1000001       AM14
  -      MOBILE    +852-98887777            ANY NAME       HKD    5000001       AM02
  004    ACCOUNT   004-500-112233-838       WONG SIU MING  HKD    100000001     AM02
  061    ACCOUNT   061-001-000001-1         NG OFFLINE     HKD    1             AB08
  -      MOBILE    +852-59000009            ANY NAME       HKD    1             RR04
"""


@pytest.mark.parametrize("row", [line for line in RULES.splitlines()[2:] if line.strip()])
def test_rules(row: str) -> None:
    agent, scheme, address, name, asset, amount, answer = re.split(
        r"\s{2,}", row.replace("chan  tai", "chan tai").strip()
    )
    made = instruction(agent.strip("-"), Scheme[scheme], address, name, amount_minor=int(amount), asset=Asset[asset])
    assert _pay(_hub(), made) == answer


AGES = [(0, "ACSC"), (RAIL_MESSAGE_VALID_MS, "ACSC"), (RAIL_MESSAGE_VALID_MS + 1, "AB03")]
AGES += [(-CLOCK_SKEW_MS_MAX, "ACSC"), (-CLOCK_SKEW_MS_MAX - 1, "FF01")]


@pytest.mark.parametrize(("age_ms", "answer"), AGES)
def test_age(age_ms: int, answer: str) -> None:
    assert _pay(_hub(), instruction(), NOON - age_ms) == answer


def test_a_first_outcome_outlives_the_age_of_its_message() -> None:
    clock = [NOON]
    hub = FpsSimulator(SimulatorOptions("127.0.0.1", 0, 0, OURS, Path()), now_ms=lambda: clock[0])
    made = instruction()
    assert _pay(hub, made) == "ACSC"
    clock[0] += RAIL_MESSAGE_VALID_MS * 10
    assert _pay(hub, made) == "ACSC"
    assert len(hub.books.lines) == 1


def test_day_and_year_limits_of_an_account() -> None:
    hub = _hub()
    for _ in range(2):
        assert _pay(hub, instruction("", Scheme.MOBILE, "+852-98887777", amount_minor=500_000)) == "ACSC"
    assert _pay(hub, instruction("", Scheme.MOBILE, "+852-98887777", amount_minor=1)) == "AM14"


@pytest.mark.parametrize(
    ("break_it", "answer"),
    [
        (lambda payload: payload.replace(b"SLEV", b"DEBT"), "FF01"),
        (lambda payload: payload.replace(b"<ChrgBr>SLEV</ChrgBr>", b""), "FF01"),
        (lambda payload: payload[: payload.index(b"<ChrgBr>")], "FF01"),
        (lambda payload: payload.replace(b"HKD", b"XYZ"), "FF01"),
    ],
)
def test_a_transfer_that_breaks_the_format_is_refused_and_stays_refused(break_it: Any, answer: str) -> None:
    hub, made = _hub(), instruction()
    payload = codec.encode_transfer(hold_of(RAIL.name, made, NOON), OURS)
    assert _ask(hub, break_it(payload)).reason == answer
    assert _ask(hub, payload).reason == DUPLICATE
    assert _ask(hub, codec.encode_request(made.uetr, OURS, "E1", NOON)).reason == answer
    assert not hub.books.lines


def test_a_transfer_under_no_uetr_is_refused_and_nothing_is_kept() -> None:
    hub, made = _hub(), instruction(uetr="7f3c2b1a-9d4e-1c6b-8a21-0f5e6d7c8b90")  # version 1
    assert _pay(hub, made) == "FF01"
    assert not hub.books.payments


@pytest.mark.parametrize(
    "payload", [b"", b"\x00", b"<FpsMsg/>", b"<MsgDefIdr>pacs.028.001.01</MsgDefIdr>", b"<TxId>1</TxId>"]
)
def test_what_is_no_message_gets_no_answer(payload: bytes) -> None:
    assert _hub()._handle(payload) is None


async def test_marked_accounts_show_their_fault() -> None:
    async with running() as (client, simulator):
        silent = hold_of(RAIL.name, instruction("", Scheme.MOBILE, "+852-59000001"))
        booked = hold_of(RAIL.name, instruction("", Scheme.MOBILE, "+852-59000002"))
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


async def test_the_control_port_lists_payments_for_audits() -> None:
    async with running() as (client, simulator):
        holds = [hold_of(RAIL.name, instruction(amount_minor=100 + place)) for place in range(5)]
        for hold in holds:
            await client.prepare(hold, 5_000)
        first = await control("127.0.0.1", simulator.control_port, "payments", count=3)
        rest = await control("127.0.0.1", simulator.control_port, "payments", after=first["after"])
        assert [row[0] for row in first["payments"] + rest["payments"]] == [hold.uetr for hold in holds]
        assert first["payments"][0] == [holds[0].uetr, "done", 100, "HKD", "ACSC"]
        books = await control("127.0.0.1", simulator.control_port, "books", number=CHAN[2])
        assert books["accounts"][0]["balance_minor"]["HKD"] == 5_000_000_00 + 510
        assert "CHAN" not in str(books)


# --- payments from a bank on FPS -------------------------------------------------------------------------------------
async def test_an_inbound_payment_is_a_whole_instruction() -> None:
    inbox = Inbox("")
    async with running(inbox) as (_, simulator):
        outcome = await control("127.0.0.1", simulator.control_port, "inbound", **INBOUND)
        balance = simulator.books.accounts["012", CHAN[2]].balance_minor[Asset.HKD]
    made = inbox.taken[0]
    assert outcome == {"uetr": made.uetr, "outcome": "done", "code": "ACSC"}
    assert balance == 5_000_000_00 - 500_00
    assert (made.participant, made.request_id, made.creditor_agent) == ("012", made.uetr, "")
    assert made.debit == made.credit == Money(Asset.HKD, 500_00)
    assert (made.debtor.name, made.debtor.place, made.debtor.account.value) == ("CHAN TAI MAN", Place.HK, CHAN[2])
    assert made.debtor.document is not None
    assert made.debtor.document.type is DocumentType.HKID
    assert (made.creditor.place, made.creditor.account.scheme) == (Place.CN, Scheme.MOBILE)
    assert (made.purpose, made.remark, made.quote_id) == ("FAMILY_SUPPORT", "school", "")


async def test_an_inbound_payment_without_funds_is_not_sent() -> None:
    inbox = Inbox("")
    async with running(inbox) as (_, simulator):
        poor = {**INBOUND, "amount_minor": 5_000_000_01}
        assert (await control("127.0.0.1", simulator.control_port, "inbound", **poor))["code"] == "AM04"
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
        account = simulator.books.accounts["012", CHAN[2]]
        assert first["outcome"] == "working"
        assert account.held_minor[Asset.HKD] == 500_00
        release.set()
        again = await control("127.0.0.1", simulator.control_port, "inbound", **INBOUND, uetr=first["uetr"])
        assert again["outcome"] == "done"
        assert account.held_minor[Asset.HKD] == 0
        assert len(simulator.books.paid(first["uetr"])) == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [({"creditor_agent": "012"}, "AGNT"), ({"creditor_scheme": None, "creditor_account": None}, "FF01")],
)
async def test_an_inbound_payment_that_is_not_for_us_is_refused(change: dict[str, Any], code: str) -> None:
    inbox = Inbox("")
    async with running(inbox) as (client, simulator):
        simulator._outbound = _changed(simulator._outbound, change)  # type: ignore[method-assign]
        outcome = await control("127.0.0.1", simulator.control_port, "inbound", **INBOUND)
        assert (outcome["outcome"], outcome["code"]) == ("refused", code)
        assert simulator._server.push(b"<MsgDefIdr>pacs.008.001.06</MsgDefIdr><BizSvc>PAYC01</BizSvc>")
        await until(lambda: client.link.dropped == 1, "an unreadable payment is counted")
    assert inbox.taken == []


def _changed(make: Any, change: dict[str, Any]) -> Any:
    return lambda *given: make(*given)._replace(**change)


async def test_no_personal_value_in_any_error() -> None:
    async with running() as (client, _):
        hold: Hold = hold_of(RAIL.name, instruction(name="CHAN SIU MAN"))
        with pytest.raises(RailRejected) as refused:
            await client.prepare(hold, 5_000)
        assert str(refused.value) == "CREDITOR_NAME_MISMATCH (BE01)"
