"""The hub of every push rail: its rules of age and repeats, faults, audits, and payments of the rail's own."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from adapters.conformance import ended
from adapters.kit.books import PaymentStatus
from adapters.kit.control import control
from adapters.kit.promises import AMPLE_MS, Inbox, until
from adapters.kit.push_codec import DUPLICATE, Told
from switch.domain.document import DocumentType
from switch.domain.instruction import Instruction
from switch.domain.money import Money
from switch.domain.party import Place, Scheme
from switch.domain.payment import Payment
from switch.errors import InvalidValue, RailRejected
from switch.limits import CLOCK_SKEW_MS_MAX, RAIL_MESSAGE_VALID_MS
from switch.ports import Outcome
from tests.adapters.push_cases import NOON, PushCases

OPENING_MINOR = 5_000_000_00  # of the payee, in the asset of its rail


# --- age, repeats, format --------------------------------------------------------------------------------------------
AGES = [(0, "ACSC"), (RAIL_MESSAGE_VALID_MS, "ACSC"), (RAIL_MESSAGE_VALID_MS + 1, "AB03")]
AGES += [(-CLOCK_SKEW_MS_MAX, "ACSC"), (-CLOCK_SKEW_MS_MAX - 1, "FF01")]


@pytest.mark.parametrize(("age_ms", "answer"), AGES)
def test_age(cases: PushCases, age_ms: int, answer: str) -> None:
    assert cases.pay(cases.hub(), cases.instruction(), NOON - age_ms) == answer


def test_a_first_outcome_outlives_the_age_of_its_message(cases: PushCases) -> None:
    clock = [NOON]
    hub, made = cases.hub(lambda: clock[0]), cases.instruction()
    assert cases.pay(hub, made) == "ACSC"
    clock[0] += RAIL_MESSAGE_VALID_MS * 10
    assert cases.pay(hub, made) == "ACSC"
    assert len(hub.books.lines) == 1


def test_the_day_limit_of_an_account_counts_what_came_before(cases: PushCases) -> None:
    hub = cases.hub()
    for _ in range(2):
        assert cases.pay(hub, cases.mobile(cases.limited, amount_minor=500_000)) == "ACSC"
    assert cases.pay(hub, cases.mobile(cases.limited, amount_minor=1)) == "AM14"


BREAKS: dict[str, Callable[[bytes, bytes], bytes]] = {
    "a constant is another": lambda payload, _: payload.replace(b"SLEV", b"DEBT"),
    "a constant is missing": lambda payload, _: payload.replace(b"<ChrgBr>SLEV</ChrgBr>", b""),
    "the end is missing": lambda payload, _: payload[: payload.index(b"<ChrgBr>")],
    "no such currency": lambda payload, currency: payload.replace(currency, b"XYZ"),
    "a group too many": lambda payload, _: payload.replace(b"</CdtrAcct>", b"<Prxy><Id>1</Id></Prxy></CdtrAcct>"),
}


@pytest.mark.parametrize("broken", BREAKS)
def test_a_transfer_that_breaks_the_format_is_refused_and_stays_refused(cases: PushCases, broken: str) -> None:
    hub, made = cases.hub(), cases.instruction()
    payload = cases.transfer(made)
    bad = BREAKS[broken](payload, cases.asset.iso.encode())
    assert bad != payload
    for _ in range(2):
        assert cases.ask(hub, bad).reason == "FF01"
    assert cases.ask(hub, payload).reason == DUPLICATE
    question = cases.codec.encode_request(made.uetr, cases.rail.institution, "E1", NOON)
    assert cases.ask(hub, question).reason == "FF01"
    assert not hub.books.lines


@pytest.mark.parametrize("payload", [b"", b"\x00", b"<TxId>1</TxId>"])
def test_what_is_no_message_gets_no_answer(cases: PushCases, payload: bytes) -> None:
    specs = (cases.spec.STATUS_REPORT, cases.spec.STATUS_REQUEST)
    named = [f"<MsgDefIdr>{spec.name}</MsgDefIdr>".encode() for spec in specs]
    for message in (payload, f"<{specs[0].root}/>".encode(), *named):
        assert cases.hub()._handle(message) is None


# --- faults, aborts, audits ------------------------------------------------------------------------------------------
async def test_marked_accounts_show_their_fault(cases: PushCases) -> None:
    async with cases.running() as (client, simulator):
        silent, booked = (cases.hold(cases.mobile(number)) for number in (cases.silent, cases.silent_booked))
        ends = await asyncio.gather(client.prepare(silent, 100), client.prepare(booked, 100), return_exceptions=True)
        assert [type(end).__name__ for end in ends] == ["RailSilent", "RailSilent"]
        assert (await client.enquire(silent, AMPLE_MS)).outcome is Outcome.NEVER_SEEN
        assert (await client.enquire(booked, AMPLE_MS)).outcome is Outcome.DONE
        assert len(simulator.books.paid(booked.uetr)) == 1


async def test_abort_waits_for_the_age_of_the_message(cases: PushCases) -> None:
    async with cases.running() as (client, _):
        for age_ms, outcome in (
            (0, Outcome.WORKING),
            (RAIL_MESSAGE_VALID_MS + 1_000, Outcome.WORKING),  # the hub's clock may be behind ours
            (RAIL_MESSAGE_VALID_MS + CLOCK_SKEW_MS_MAX + 1_000, Outcome.NEVER_SEEN),
        ):
            assert (await client.abort(cases.hold(age_ms=age_ms), AMPLE_MS)).outcome is outcome


async def test_the_control_port_lists_payments_for_audits(cases: PushCases) -> None:
    asset = cases.asset.name
    async with cases.running() as (client, simulator):
        holds = [cases.hold(cases.instruction(amount_minor=100 + place)) for place in range(5)]
        for hold in holds:
            await client.prepare(hold, AMPLE_MS)
        first = await control("127.0.0.1", simulator.control_port, "payments", count=3)
        rest = await control("127.0.0.1", simulator.control_port, "payments", after=first["after"])
        assert [row[0] for row in first["payments"] + rest["payments"]] == [hold.uetr for hold in holds]
        assert first["payments"][0] == [holds[0].uetr, "done", 100, asset, "ACSC"]
        books = await control("127.0.0.1", simulator.control_port, "books", number=cases.payee[2])
        assert books["accounts"][0]["balance_minor"][asset] == OPENING_MINOR + 510


async def test_no_personal_value_in_an_error_or_in_the_books(cases: PushCases) -> None:
    family, _, rest = cases.payee[3].partition(" ")
    async with cases.running() as (client, simulator):
        with pytest.raises(RailRejected) as refused:
            await client.prepare(cases.hold(cases.instruction(name=f"{family} SIU MAN")), AMPLE_MS)
        assert str(refused.value) == "CREDITOR_NAME_MISMATCH (BE01)"
        books = str(await control("127.0.0.1", simulator.control_port, "books", number=cases.payee[2]))
        assert family not in books
        assert rest not in books


# --- payments of the rail's own --------------------------------------------------------------------------------------
async def test_an_inbound_payment_is_a_whole_instruction(cases: PushCases) -> None:
    inbox, asked = Inbox(""), cases.inbound
    async with cases.running(inbox) as (_, simulator):
        outcome = await control("127.0.0.1", simulator.control_port, "inbound", **asked)
        balance = simulator.books.accounts[cases.payee[0], cases.payee[2]].balance_minor[cases.asset]
    made = inbox.taken[0]
    assert outcome == {"uetr": made.uetr, "outcome": "done", "code": "ACSC"}
    assert balance == OPENING_MINOR - 500_00
    assert (made.participant, made.request_id, made.creditor_agent) == (cases.payee[0], made.uetr, "")
    assert made.debit == made.credit == Money(cases.asset, 500_00)
    debtor, creditor = made.debtor, made.creditor
    assert (debtor.name, debtor.place, debtor.account.value) == (cases.payee[3], cases.rail.place, cases.payee[2])
    assert debtor.document is not None
    assert debtor.document.type is DocumentType[cases.payee_document]
    assert (creditor.name, creditor.place) == (asked["name"], Place[asked["place"]])
    assert (creditor.account.scheme, creditor.account.value) == (Scheme.MOBILE, asked["creditor"])
    assert (made.purpose, made.remark, made.quote_id) == ("FAMILY_SUPPORT", "school", "")


async def test_an_inbound_payment_without_funds_is_not_sent(cases: PushCases) -> None:
    inbox = Inbox("")
    async with cases.running(inbox) as (_, simulator):
        for change, code in (({"amount_minor": OPENING_MINOR + 1}, "AM04"), ({"asset": "CNY"}, "AM04")):
            outcome = await control("127.0.0.1", simulator.control_port, "inbound", **{**cases.inbound, **change})
            assert (outcome["outcome"], outcome["code"]) == ("refused", code)
        with pytest.raises(InvalidValue):
            await control("127.0.0.1", simulator.control_port, "inbound", **{**cases.inbound, "number": "none"})
        with pytest.raises(InvalidValue):
            await control("127.0.0.1", simulator.control_port, "inbound")
    assert inbox.taken == []


async def test_an_unanswered_inbound_payment_goes_on_and_holds_its_money(cases: PushCases) -> None:
    release = asyncio.Event()

    async def slow(made: Instruction) -> Payment:
        await release.wait()
        return ended(cases.rail.name, made)

    async with cases.running(slow) as (_, simulator):
        first = await control("127.0.0.1", simulator.control_port, "inbound", **cases.inbound, budget_ms=50)
        account = simulator.books.accounts[cases.payee[0], cases.payee[2]]
        assert first["outcome"] == "working"
        assert account.held_minor[cases.asset] == 500_00
        release.set()
        again = await control("127.0.0.1", simulator.control_port, "inbound", **cases.inbound, uetr=first["uetr"])
        assert again["outcome"] == "done"
        assert account.held_minor[cases.asset] == 0
        assert len(simulator.books.paid(first["uetr"])) == 1
        late = Told(first["uetr"], PaymentStatus.REFUSED, "AC04", "", NOON)
        assert simulator._handle(cases.hub_codec.tell_payer(late, cases.rail.institution)) is None
        assert simulator.books.payments[first["uetr"]].status is PaymentStatus.DONE


@pytest.mark.parametrize("code", ["AGNT", "FF01"])
async def test_an_inbound_payment_that_is_not_for_us_is_refused(cases: PushCases, code: str) -> None:
    change = {"AGNT": {"creditor_agent": cases.payee[0]}, "FF01": cases.no_instruction}[code]
    inbox = Inbox("")
    async with cases.running(inbox) as (client, simulator):
        simulator._outbound = _changed(simulator._outbound, change)  # type: ignore[method-assign]
        outcome = await control("127.0.0.1", simulator.control_port, "inbound", **cases.inbound)
        assert (outcome["outcome"], outcome["code"]) == ("refused", code)
        name, service = cases.spec.CREDIT_TRANSFER.name, cases.spec.PAYMENT_SERVICE
        assert simulator._server.push(f"<MsgDefIdr>{name}</MsgDefIdr><BizSvc>{service}</BizSvc>".encode())
        await until(lambda: client.link.dropped == 1, "an unreadable payment is counted")
    assert inbox.taken == []


def _changed(make: Any, change: Any) -> Any:
    return lambda *given: make(*given)._replace(**change)
