"""Client against simulator, over loopback, in the rail's own bytes."""

import asyncio
import shutil
import uuid
from pathlib import Path

import pytest

from adapters.ecny import codec
from adapters.ecny.client import EcnyRail
from adapters.ecny.rules import CENTRE, CODE_OF, INSTITUTION
from adapters.ecny.signing import NoSigner, load_pair
from adapters.ecny.simulator import EcnySimulator
from adapters.kit.books import PaymentStatus, Record
from adapters.kit.faults import Fault, FaultKind, FaultRule, Operation
from adapters.kit.module import RailOptions, SimulatorOptions
from switch.domain.money import Asset, Money, parse_amount
from switch.errors import RailRejected, RailSilent, RailUnavailable
from switch.limits import CLOCK_SKEW_MS_MAX, RAIL_MESSAGE_VALID_MS
from switch.ports import Enquiry, Outcome, RailAck
from tests.adapters.ecny.builders import NOW_MS, WALLETS, Clock, make_hold, rail_pair, until
from tests.vectors import Vector, vectors

BUDGET_MS = 30_000  # no answer takes so long, though the machine stand still for seconds
SILENT_MS = 300  # waited out

# Refusals: the wallet of the seed, the amount in minor units, our reason, the rail's code.
REFUSALS = """
# wallet   amount      reason                    code
  WL04      2000_01    WALLET_TIER_LIMIT         R901
  WL03      5000_01    WALLET_TIER_LIMIT         R901
  WL02     50000_01    WALLET_TIER_LIMIT         R901
  full      1000_00    WALLET_BALANCE_LIMIT      R904
  closed       1_00    CREDITOR_ACCOUNT_CLOSED   R905
  blocked      1_00    CREDITOR_ACCOUNT_BLOCKED  R906
  offline      1_00    CREDITOR_AGENT_OFFLINE    R909
  unknown      1_00    CREDITOR_ACCOUNT_UNKNOWN  R021
"""


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines() if line.strip() and not line.lstrip().startswith("#")]


async def refusal(client: object, hold: object) -> tuple[str, str]:
    with pytest.raises(RailRejected) as caught:
        await client.prepare(hold, BUDGET_MS)  # type: ignore[attr-defined]
    return caught.value.reason.name, caught.value.rail_code


async def test_pays_and_tells(tmp_path: Path) -> None:
    async with rail_pair(tmp_path, signing=False) as (client, simulator):
        hold = make_hold("WL02", 123_45)
        ack = await client.prepare(hold, BUDGET_MS)
        assert ack == RailAck(ack.rail_reference, "PR00")
        assert await client.prepare(hold, BUDGET_MS) == ack  # a repeat gets the first outcome
        assert await client.enquire(hold, BUDGET_MS) == Enquiry(Outcome.DONE, ack)
        assert [line.amount_minor for line in simulator.books.paid(hold.uetr)] == [123_45]
        assert client.interim == 2  # a 902 came before each 226


@pytest.mark.parametrize("row", rows(REFUSALS), ids=lambda row: f"{row[0]}-{row[1]}")
async def test_refuses(tmp_path: Path, row: list[str]) -> None:
    wallet, amount, reason, code = row
    async with rail_pair(tmp_path, signing=False) as (client, simulator):
        hold = make_hold(wallet, int(amount))
        assert await refusal(client, hold) == (reason, code)
        assert await refusal(client, hold) == (reason, code)
        assert await client.enquire(hold, BUDGET_MS) == Enquiry(Outcome.REFUSED, reason=reason, rail_code=code)
        assert not simulator.books.lines


async def test_tier_limits_add_up(tmp_path: Path) -> None:
    """Tier 4 takes 2,000 a payment, 5,000 a day, 50,000 a year and holds 10,000; rails.md D1."""
    clock = Clock()
    async with rail_pair(tmp_path, signing=False, clock=clock) as (client, simulator):
        wallet = simulator.books.account(*WALLETS["WL04"][:2])
        assert wallet is not None

        async def pay(amount_minor: int) -> str:
            try:
                await client.prepare(make_hold("WL04", amount_minor, prepared_time_ms=clock.now), BUDGET_MS)
            except RailRejected as refused:
                return refused.rail_code
            return "paid"

        assert [await pay(amount) for amount in (2000_00, 2000_00, 1000_01, 1000_00, 1)] == [
            "paid", "paid", "R902", "paid", "R902",
        ]  # fmt: skip
        clock.now += 24 * 3_600_000  # the next day in Hong Kong
        assert [await pay(amount) for amount in (2000_00, 2000_00, 1000_00)] == ["paid", "paid", "paid"]
        clock.now += 24 * 3_600_000
        assert await pay(1) == "R904"  # 10,000 are in it
        for asset in wallet.balance_minor:
            wallet.balance_minor[asset] = 0  # spent
        for _ in range(8):
            assert [await pay(amount) for amount in (2000_00, 2000_00, 1000_00)] == ["paid", "paid", "paid"]
            clock.now += 24 * 3_600_000
            for asset in wallet.balance_minor:
                wallet.balance_minor[asset] = 0
        assert await pay(1) == "R903"  # 50,000 came this year


async def test_mobile_finds_the_wallet(tmp_path: Path) -> None:
    async with rail_pair(tmp_path, signing=False) as (client, simulator):
        hold = make_hold("WL04", 10_00, mobile="+852-61234567")
        await client.prepare(hold, BUDGET_MS)
        assert simulator.books.lines[0].account == WALLETS["WL04"][:2]
        assert await refusal(client, make_hold("WL04", 1, mobile="+852-69999999")) == ("PROXY_UNKNOWN", "R912")


async def test_names_and_operators(tmp_path: Path) -> None:
    async with rail_pair(tmp_path, signing=False) as (client, _):
        await client.prepare(make_hold("WL04", 1, name="chan  tai man"), BUDGET_MS)
        assert await refusal(client, make_hold("WL04", 1, name="CHAN TAI WAN")) == ("CREDITOR_NAME_MISMATCH", "R907")
        stranger = make_hold("WL04", 1, operator="C9999900000019")
        assert await refusal(client, stranger) == ("CREDITOR_AGENT_UNKNOWN", "R908")
        await client.prepare(make_hold("WL04", 1, operator=""), BUDGET_MS)  # the centre finds a wallet by its id
        long_name = make_hold("WL04", 1, debtor_name="X" * 61)
        assert (await refusal(client, long_name))[0] == "RAIL_FORMAT"


async def test_same_uetr_other_body(tmp_path: Path) -> None:
    async with rail_pair(tmp_path, signing=False) as (client, simulator):
        first = make_hold("WL02", 100)
        ack = await client.prepare(first, BUDGET_MS)
        assert await refusal(client, make_hold("WL02", 200, uetr=first.uetr)) == ("RAIL_DUPLICATE", "R914")
        assert await client.enquire(first, BUDGET_MS) == Enquiry(Outcome.DONE, ack)
        assert len(simulator.books.lines) == 1


async def test_age_keeps_a_message_out(tmp_path: Path) -> None:
    clock = Clock()
    async with rail_pair(tmp_path, signing=False, clock=clock) as (client, _):
        hold = make_hold()
        assert (await client.enquire(hold, BUDGET_MS)).outcome is Outcome.NEVER_SEEN
        assert (await client.abort(hold, BUDGET_MS)).outcome is Outcome.WORKING  # one under way could still be taken
        clock.now = NOW_MS + RAIL_MESSAGE_VALID_MS + CLOCK_SKEW_MS_MAX + 1_000  # the centre dates in whole seconds
        assert (await client.abort(hold, BUDGET_MS)).outcome is Outcome.NEVER_SEEN
        assert await refusal(client, hold) == ("RAIL_EXPIRED", "R915")
        future = make_hold(prepared_time_ms=clock.now + CLOCK_SKEW_MS_MAX + 1_000)
        assert await refusal(client, future) == ("RAIL_EXPIRED", "R915")


FAULTS = """
# fault                 told at once   booked   enquiry afterwards
  silent                silent         0        NEVER_SEEN
  silent_booked         silent         1        DONE
  cut                   silent         1        DONE
  cut_before            silent         1        DONE
  malformed             silent         1        DONE
  twice                 done           1        DONE
  slow:40               done           1        DONE
  silent_then_late:40   done           1        DONE
  refuse:R913           REGULATORY     0        REFUSED
  maintenance           CREDITOR_AGENT_OFFLINE  0  REFUSED
"""


@pytest.mark.parametrize("row", rows(FAULTS), ids=lambda row: row[0])
async def test_faults(tmp_path: Path, row: list[str]) -> None:
    fault, told, booked, after = row
    async with rail_pair(tmp_path, signing=False) as (client, simulator):
        simulator.faults.set(FaultRule(Fault.parse(fault), count=1))
        hold = make_hold()
        try:
            await client.prepare(hold, SILENT_MS if fault in ("silent", "silent_booked") else BUDGET_MS)
            outcome = "done"
        except RailSilent:
            outcome = "silent"
        except RailRejected as refused:
            outcome = refused.reason.name
        assert outcome == told
        assert len(simulator.books.paid(hold.uetr)) == int(booked)
        await until(lambda: client.link.up == 2)  # a cut connection comes back
        assert (await client.enquire(hold, BUDGET_MS)).outcome.name == after


async def test_slow_work_is_working_and_repeats_wait(tmp_path: Path) -> None:
    async with rail_pair(tmp_path, signing=False) as (client, simulator):
        for slow_ms in (150, 5_000, 20_000):  # a machine that stands still may see the work's end before it asks
            simulator.faults.set(FaultRule(Fault.parse(f"slow:{slow_ms}"), count=1))
            hold = make_hold()
            first = asyncio.create_task(client.prepare(hold, BUDGET_MS))
            await until(lambda uetr=hold.uetr: uetr in simulator.books.payments)  # type: ignore[misc]
            found = await client.enquire(hold, BUDGET_MS)
            repeat = await client.prepare(hold, BUDGET_MS)  # PR02 at once, then the notice
            assert await first == repeat
            assert simulator.books.payments[hold.uetr].status is PaymentStatus.DONE
            assert len(simulator.books.paid(hold.uetr)) == 1
            if found.outcome is Outcome.WORKING:
                break
        assert found.outcome is Outcome.WORKING


async def test_a_refused_question_is_no_answer(tmp_path: Path) -> None:
    async with rail_pair(tmp_path, signing=False) as (client, simulator):
        simulator.faults.set(FaultRule(Fault.parse(f"refuse:{CODE_OF['REGULATORY']}"), on=Operation.ENQUIRE))
        with pytest.raises(RailSilent):
            await client.enquire(make_hold(), BUDGET_MS)


async def test_nobody_there(tmp_path: Path) -> None:
    async with rail_pair(tmp_path, signing=False) as (client, simulator):
        await simulator.close()
        await until(lambda: not client.link.up)
        with pytest.raises(RailUnavailable):
            await client.prepare(make_hold(), BUDGET_MS)


async def test_a_wrong_key_is_told_by_the_centre(tmp_path: Path, keys_dir: Path) -> None:
    """The centre discards what another key signed, with a 911 that is its own: nothing was done."""
    load_pair(keys_dir, "centre")
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    shutil.copy(keys_dir / "centre.sm2", stranger / "centre.sm2")  # knows the centre, is not known to it
    async with rail_pair(keys_dir, signing=True) as (client, simulator):
        other = EcnyRail(RailOptions("127.0.0.1", simulator.port, INSTITUTION, stranger), now_ms=Clock())
        await other.start()
        hold = make_hold()
        assert await refusal(other, hold) == ("RAIL_SIGNATURE", "DCEPO0001")
        with pytest.raises(RailSilent):
            await other.enquire(hold, BUDGET_MS)  # a discarded question is no answer
        await other.close()
        assert (await client.enquire(hold, BUDGET_MS)).outcome is Outcome.NEVER_SEEN


async def test_signed_and_unsigned_ends_do_not_believe_each_other(keys_dir: Path) -> None:
    async with rail_pair(keys_dir, signing=True) as (_, simulator):
        plain = EcnyRail(RailOptions("127.0.0.1", simulator.port, INSTITUTION, keys_dir, signing=False), now_ms=Clock())
        await plain.start()
        hold = make_hold()
        assert await refusal(plain, hold) == ("RAIL_SIGNATURE", "DCEPO0001")
        await plain.close()
        assert not simulator.books.payments


async def test_the_centre_discards_ids_that_are_none(tmp_path: Path) -> None:
    async with rail_pair(tmp_path, signing=False) as (client, simulator):
        request = codec.convert_request(make_hold(), INSTITUTION)
        for wrong in (request._replace(batch_id="B202605272400"), request._replace(msg_id="1" * 31)):
            up = codec.Address(INSTITUTION, CENTRE, "U")
            payload = codec.write(wrong, up, wrong.msg_id, wrong.msg_id, NOW_MS, NoSigner())
            answer = codec.read(codec.split(await client.link.request(wrong.msg_id, payload, BUDGET_MS)), NoSigner())
            assert codec.outcome_of(answer, wrong).rail_code == "DCEPO9002"
        assert not simulator.books.payments


async def test_many_leave_together_and_each_has_its_own_end(tmp_path: Path) -> None:
    async with rail_pair(tmp_path, signing=False) as (client, simulator):
        good, closed, again = make_hold("WL02", 100), make_hold("closed", 100), make_hold("WL02", 200)
        unfit = make_hold("WL02", 1, debtor_name="X" * 61)
        dollars = good._replace(instruction=good.instruction._replace(credit=Money(Asset.HKD, 100)))
        holds = [good, unfit, closed, dollars, again]
        ends = {place: end async for wave in client.prepare_all(holds, BUDGET_MS) for place, end in wave}
        assert sorted(ends) == [0, 1, 2, 3, 4]
        assert [ends[place] for place in (0, 4)] == [await client.prepare(hold, BUDGET_MS) for hold in (good, again)]
        reasons = [end.reason.name for end in (ends[1], ends[2], ends[3]) if isinstance(end, RailRejected)]
        assert reasons == ["RAIL_FORMAT", "CREDITOR_ACCOUNT_CLOSED", "CURRENCY_NOT_ACCEPTED"]
        assert [line.amount_minor for line in simulator.books.lines] == [100, 200]
        simulator.faults.set(FaultRule(Fault.parse("silent"), count=1))
        waves = [wave async for wave in client.prepare_all([make_hold("WL02", 300)], 100)]
        assert [(place, type(end)) for wave in waves for place, end in wave] == [(0, RailSilent)]
        assert not [wave async for wave in client.prepare_all([], BUDGET_MS)]


async def test_another_asset_is_not_sent(tmp_path: Path) -> None:
    async with rail_pair(tmp_path, signing=False) as (client, simulator):
        hold = make_hold()
        dollars = hold._replace(instruction=hold.instruction._replace(credit=Money(Asset.HKD, 100)))
        assert (await refusal(client, dollars))[0] == "CURRENCY_NOT_ACCEPTED"
        assert not simulator.books.payments


async def test_marked_wallets_of_the_seed(tmp_path: Path) -> None:
    """Every fault a provider may want to see has a wallet of its own, and it strikes whoever pays it."""
    async with rail_pair(tmp_path, signing=False) as (client, simulator):
        marked = {wallet.fault.kind: wallet for wallet in simulator.books.accounts.values() if wallet.fault}
        by_control = {FaultKind.OFFLINE, FaultKind.BAD_SIGNATURE}
        assert set(marked) == set(FaultKind) - by_control
        wallet = marked[FaultKind.REFUSE]
        hold = make_hold(number=wallet.number, operator=wallet.institution, name=wallet.holder)
        assert (await refusal(client, hold))[1] == simulator.books.payments[hold.uetr].code


@pytest.mark.parametrize(
    "vector",
    [vector for vector in vectors("limit") if "ecny" in vector.input["rail"]],
    ids=lambda vector: vector.reason,
)
def test_limit_vectors(vector: Vector, tmp_path: Path) -> None:
    simulator = EcnySimulator(SimulatorOptions("127.0.0.1", 0, 0, INSTITUTION, tmp_path, signing=False))
    books, wallet = simulator.books, simulator.books.accounts[WALLETS["WL04"][:2]]
    figures = {name: vector.input[name] for name in ("amount", "day_used", "year_used", "balance")}
    minor = {name: parse_amount("CNY", text) if text != "0" else 0 for name, text in figures.items()}
    today, earlier = minor["day_used"], minor["year_used"] - minor["day_used"]
    for amount_minor, time_ms in ((earlier, NOW_MS - 24 * 3_600_000), (today, NOW_MS)):
        uetr = str(uuid.uuid4())
        done = PaymentStatus.DONE
        books.book(Record(uetr, b"", done, "PR00", "", wallet.key, Asset.ECNY, amount_minor, time_ms))
    wallet.balance_minor[Asset.ECNY] = minor["balance"]
    broken = books.breaks(wallet, Asset.ECNY, minor["amount"], NOW_MS)
    assert (f"{broken.name}_LIMIT" if broken else "OK") == vector.reason
