"""The mock Easy Transfer hub's own rules and its batched bank; the rest is in tests/adapters/test_push_simulator.py."""

import asyncio
import re
from pathlib import Path

import pytest

from adapters.kit.control import control
from adapters.kit.module import RailOptions, SimulatorOptions
from adapters.kit.promises import AMPLE_MS, until
from adapters.mofps import RAIL
from adapters.mofps.client import EasyTransferRail
from adapters.mofps.simulator import SEED, EasyTransferSimulator
from switch.domain.identifiers import parse_account
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import State
from switch.errors import ConfigError, RailRejected, RailSilent
from switch.ports import Outcome
from tests.adapters.mofps.cases import MOFPS, instruction, running
from tests.adapters.push_cases import rows_of
from tests.fakes import World
from tests.fakes import instruction as asked

BATCHED = ("110", Scheme.ACCOUNT, "110-5550-000077", "LAO CHI KEONG")

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


@pytest.mark.parametrize("row", rows_of(RULES), ids=" ".join)
def test_rules(row: list[str]) -> None:
    MOFPS.assert_rule(row)


def test_every_address_of_the_seed_is_one_the_switch_takes() -> None:
    books = MOFPS.hub().books
    for account in books.accounts.values():
        parse_account(Scheme.ACCOUNT, account.number)
    for kind, value in books._default:
        parse_account({"MOBN": Scheme.MOBILE, "SVID": Scheme.FPS_ID}[kind], value)
        assert kind != "MOBN" or re.fullmatch(r"\+853-6[0-9]{7}", value)


@pytest.mark.parametrize("message", ["pacs.008.001.08", "pacs.009.001.08"])
def test_a_transfer_under_no_uetr_gets_no_answer(message: str) -> None:
    payload = f"<MsgDefIdr>{message}</MsgDefIdr><UETR>7f3c2b1a-9d4e-1c6b-8a21-0f5e6d7c8b90</UETR>"  # version 1
    assert MOFPS.hub()._handle(payload.encode()) is None


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
        hold = MOFPS.hold(instruction(*BATCHED))
        with pytest.raises(RailSilent):  # at once: its ACSP is no end, and only an enquiry can tell
            await asyncio.wait_for(client.prepare(hold, 60_000), 30)
        assert client.link.in_flight == 0
        assert (await client.enquire(hold, AMPLE_MS)).outcome is Outcome.WORKING
        assert (await client.abort(hold, AMPLE_MS)).outcome is Outcome.WORKING
        with pytest.raises(RailSilent):  # a repeat is the same payment
            await client.prepare(hold, AMPLE_MS)
        assert simulator.books.paid(hold.uetr) == []
        simulator.run_batches()
        enquiry = await client.enquire(hold, AMPLE_MS)
        assert enquiry.outcome is Outcome.DONE
        assert await client.prepare(hold, AMPLE_MS) == enquiry.ack
        assert len(simulator.books.paid(hold.uetr)) == 1


async def test_the_engine_holds_a_payment_to_a_batched_bank_until_the_batch_has_run(tmp_path: Path) -> None:
    world = World()
    options = SimulatorOptions("127.0.0.1", 0, 0, RAIL.institution, Path(), _seed(tmp_path, "60000"))
    simulator = EasyTransferSimulator(options, world.clock.now_ms)
    await simulator.start()
    client = EasyTransferRail(RailOptions("127.0.0.1", simulator.port, RAIL.institution, Path()), world.clock.now_ms)
    await client.start()
    world.payments._path._rails = world.recovery._rails = {"near": client}
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
                await client.prepare(MOFPS.hold(made), AMPLE_MS)
            assert refused.value.reason.name == reason


async def test_a_batch_refuses_what_no_longer_fits(tmp_path: Path) -> None:
    """Both payments were taken while each alone fitted the account's day limit."""
    seed = _seed(tmp_path, "60000", day_max_minor=100_00)
    async with running(seed=seed) as (client, simulator):
        holds = [MOFPS.hold(instruction(*BATCHED, amount_minor=60_00)) for _ in range(2)]
        for hold in holds:
            with pytest.raises(RailSilent):
                await client.prepare(hold, AMPLE_MS)
        simulator.run_batches()
        enquiries = [await client.enquire(hold, AMPLE_MS) for hold in holds]
        assert sorted(enquiry.outcome.name for enquiry in enquiries) == ["DONE", "REFUSED"]
        refused = next(enquiry for enquiry in enquiries if enquiry.outcome is Outcome.REFUSED)
        assert (refused.reason, refused.rail_code) == ("RAIL_AMOUNT_LIMIT", "AM14")
        assert len(simulator.books.lines) == 1


async def test_a_batch_and_a_fault_of_the_answer_come_together(tmp_path: Path) -> None:
    async with running(seed=_seed(tmp_path, "20")) as (client, simulator):
        await control("127.0.0.1", simulator.control_port, "fault", fault="twice", count=1)
        hold = MOFPS.hold(instruction(*BATCHED))
        with pytest.raises(RailSilent):
            await client.prepare(hold, AMPLE_MS)
        await until(lambda: client.link.late == 1, "the second copy of the answer is nobody's")
        await until(lambda: bool(simulator.books.paid(hold.uetr)), "the batch runs")


async def test_batches_end_with_the_mock(tmp_path: Path) -> None:
    async with running(seed=_seed(tmp_path, "60000")) as (client, simulator):
        with pytest.raises(RailSilent):
            await client.prepare(MOFPS.hold(instruction(*BATCHED)), AMPLE_MS)
        ((_, batch),) = simulator._batches.values()
    assert batch.cancelled()
    assert simulator.books.lines == []


@pytest.mark.parametrize("batch_ms", ["-1", "120001", "1.5", "true", '"3000"', '"３"'])
def test_a_batch_that_is_no_time_is_refused_at_start(tmp_path: Path, batch_ms: str) -> None:
    with pytest.raises(ConfigError, match="batch_ms counts"):
        MOFPS.hub(seed=_seed(tmp_path, batch_ms))
