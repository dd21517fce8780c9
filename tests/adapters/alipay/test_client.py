"""The rail over real HTTP on loopback: what is paid, what is refused, what is in doubt, and what is true afterwards."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from adapters.alipay import RAIL
from adapters.alipay.client import AlipayRail
from adapters.kit.faults import FaultKind, Operation
from adapters.kit.module import RailOptions
from switch.domain.money import Asset
from switch.domain.party import Scheme
from switch.errors import RailRejected, RailSilent, RailUnavailable
from switch.ports import Outcome
from tests.adapters.alipay.cases import BUDGET_MS, SHORT_MS, Running, hold_to, in_short, now_ms, running, until

UNANSWERED = ("silent", "silent_booked")

# scheme        address                name     yuan        our reason, or DONE
OUTCOMES = """
  ALIPAY_LOGIN  13800138000            测试甲        100.00  DONE
  ALIPAY_LOGIN  jia@example.com        测试甲        100.00  DONE
  ALIPAY_USER   2088000000000001       测试甲          0.01  DONE
  ALIPAY_USER   2088000000000002       TESTYI          0.01  DONE
  MOBILE        +86-13800138000        测试甲        100.00  DONE
  ALIPAY_LOGIN  13800138000            测试乙        100.00  CREDITOR_NAME_MISMATCH
  ALIPAY_LOGIN  13899999999            测试甲        100.00  PROXY_UNKNOWN
  ALIPAY_USER   2088999999999999       测试甲        100.00  CREDITOR_ACCOUNT_UNKNOWN
  ALIPAY_LOGIN  13800138003            测试丙        100.00  CREDITOR_ACCOUNT_CLOSED
  ALIPAY_LOGIN  13800138004            测试丁        100.00  CREDITOR_ACCOUNT_BLOCKED
  ALIPAY_LOGIN  13800138005            测试戊       1000.01  RAIL_AMOUNT_LIMIT
  ALIPAY_LOGIN  13800138005            测试戊       1000.01  RAIL_AMOUNT_LIMIT
  ALIPAY_LOGIN  13800138005            测试戊       1000.00  DONE
  ALIPAY_LOGIN  13800138005            测试戊          0.01  WALLET_BALANCE_LIMIT
  ALIPAY_LOGIN  13800138000            测试甲  100000000.01  RAIL_AMOUNT_LIMIT
  ALIPAY_LOGIN  1380013800             测试甲        100.00  PROXY_UNKNOWN
  MOBILE        +852-61234567          测试甲        100.00  PROXY_UNKNOWN
  ALIPAY_USER   2077000000000001       测试甲        100.00  CREDITOR_ACCOUNT_UNKNOWN
  PAYMENT_CODE  280000000000000001     Shop           50.00  DONE
  PAYMENT_CODE  280000000000000002     Shop           50.02  PAYER_FUNDS
  PAYMENT_CODE  280000000000000002     Shop           50.01  DONE
  PAYMENT_CODE  280000000000000002     Shop            0.01  PAYER_FUNDS
  PAYMENT_CODE  280000000000000099     Shop           50.00  PAYER_CODE_INVALID
  PAYMENT_CODE  310000000000000001     Shop           50.00  PAYER_CODE_INVALID
  PAYMENT_CODE  280000000000000003     Shop           50.00  CREDITOR_ACCOUNT_BLOCKED
  PAYMENT_CODE  280000000000000005     Shop         1000.01  RAIL_AMOUNT_LIMIT
  PAYMENT_CODE  280000000000000006     Shop           50.00  DONE
"""


async def test_outcomes(pair: Running) -> None:
    for line in OUTCOMES.strip().splitlines():
        scheme, value, name, yuan, expected = line.split()
        amount_minor = int(yuan.replace(".", ""))
        hold = hold_to(Scheme[scheme], value, amount_minor, name=name)
        try:
            ack = await pair.rail.prepare(hold, BUDGET_MS)
            said = "DONE"
            assert ack.rail_reference.isdigit()
            assert ack.rail_code in ("10000",)
        except RailRejected as refusal:
            said = refusal.reason.name
        assert said == expected, line
        sign = -1 if scheme == "PAYMENT_CODE" else 1
        assert pair.paid(hold) == ([sign * amount_minor] if expected == "DONE" else []), line


async def test_currency_of_another_rail_is_refused_before_anything_is_sent(pair: Running) -> None:
    with pytest.raises(RailRejected) as refusal:
        await pair.rail.prepare(hold_to(Scheme.ALIPAY_LOGIN, "13800138000", asset=Asset.CNH), BUDGET_MS)
    assert refusal.value.reason.name == "CURRENCY_NOT_ACCEPTED"


async def test_a_name_the_spec_does_not_take_is_refused_before_anything_is_sent(pair: Running) -> None:
    hold = hold_to(Scheme.ALIPAY_LOGIN, "13800138000", name="测" * 129)
    with pytest.raises(RailRejected) as refusal:
        await pair.rail.prepare(hold, BUDGET_MS)
    assert refusal.value.reason.name == "RAIL_FORMAT"
    assert (await pair.rail.enquire(hold, BUDGET_MS)).outcome is Outcome.NEVER_SEEN


# --- repeats ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("scheme", "value"), [("ALIPAY_LOGIN", "13800138000"), ("PAYMENT_CODE", "280000000000000001")])
async def test_a_repeat_gets_the_first_outcome(pair: Running, scheme: str, value: str) -> None:
    hold = hold_to(Scheme[scheme], value)
    acks = await asyncio.gather(*(pair.rail.prepare(hold, BUDGET_MS) for _ in range(20)))
    assert len(set(acks)) == 1
    assert len(pair.paid(hold)) == 1
    other = hold_to(Scheme[scheme], value, 7, uetr=hold.uetr)
    with pytest.raises(RailRejected) as refusal:
        await pair.rail.prepare(other, BUDGET_MS)
    assert refusal.value.reason.name == "RAIL_DUPLICATE"
    assert len(pair.paid(hold)) == 1


async def test_an_old_message_is_refused_and_a_repeat_of_a_paid_one_is_not(keys_dir: Path) -> None:
    async with running(keys_dir, message_valid_ms=40_000) as pair:
        paid = hold_to(Scheme.ALIPAY_LOGIN, "13800138000", prepared_time_ms=now_ms() - 3_000)
        first = await pair.rail.prepare(paid, BUDGET_MS)
        clock = pair.simulator.desk._now_ms
        pair.simulator._now_ms = lambda: clock() + 60_000
        assert await pair.rail.prepare(paid, BUDGET_MS) == first
        late = hold_to(Scheme.ALIPAY_LOGIN, "13800138000")
        with pytest.raises(RailRejected) as refusal:
            await pair.rail.prepare(late, BUDGET_MS)
        assert refusal.value.reason.name == "RAIL_EXPIRED"
        assert pair.paid(late) == []


# --- enquiry and abort -----------------------------------------------------------------------------------------------
# scheme        address             name    outcome     reason
ENQUIRIES = """
  ALIPAY_LOGIN  13800138000         测试甲  DONE        -
  ALIPAY_LOGIN  13800138000         测试乙  REFUSED     CREDITOR_NAME_MISMATCH
  PAYMENT_CODE  280000000000000001  Shop    DONE        -
  PAYMENT_CODE  280000000000000099  Shop    REFUSED     PAYER_CODE_INVALID
"""


@pytest.mark.parametrize("line", ENQUIRIES.strip().splitlines())
async def test_enquiry_and_abort_tell_what_is_true_and_change_nothing(pair: Running, line: str) -> None:
    scheme, value, name, outcome, reason = line.split()
    hold = hold_to(Scheme[scheme], value, name=name)
    assert (await pair.rail.enquire(hold, BUDGET_MS)).outcome is Outcome.NEVER_SEEN
    try:
        ack = await pair.rail.prepare(hold, BUDGET_MS)
    except RailRejected:
        ack = None
    for _ in range(2):
        for ask in (pair.rail.enquire, pair.rail.abort):
            found = await ask(hold, BUDGET_MS)
            assert found.outcome is Outcome[outcome]
            assert (found.reason or "-") == reason
            assert found.ack == ack
    assert len(pair.paid(hold)) == (1 if outcome == "DONE" else 0)


async def test_abort_of_a_code_that_never_came_closes_it(pair: Running) -> None:
    hold = hold_to(Scheme.PAYMENT_CODE, "280000000000000001")
    assert (await pair.rail.abort(hold, BUDGET_MS)).outcome is Outcome.NEVER_SEEN
    with pytest.raises(RailRejected):
        await pair.rail.prepare(hold, BUDGET_MS)  # a copy that was still under way
    assert (await pair.rail.abort(hold, BUDGET_MS)).outcome is Outcome.REFUSED
    assert pair.paid(hold) == []


async def test_abort_of_a_transfer_waits_until_its_message_is_too_old(pair: Running) -> None:
    young = hold_to(Scheme.ALIPAY_LOGIN, "13800138000")
    assert (await pair.rail.abort(young, BUDGET_MS)).outcome is Outcome.WORKING
    old = hold_to(Scheme.ALIPAY_LOGIN, "13800138000", prepared_time_ms=now_ms() - 36_000)
    assert (await pair.rail.abort(old, BUDGET_MS)).outcome is Outcome.NEVER_SEEN
    with pytest.raises(RailRejected) as refusal:
        await pair.rail.prepare(old, BUDGET_MS)
    assert refusal.value.reason.name == "RAIL_EXPIRED"


async def test_a_payer_who_does_not_confirm_leaves_doubt(pair: Running) -> None:
    hold = hold_to(Scheme.PAYMENT_CODE, "280000000000000007")
    with pytest.raises(RailSilent):
        await in_short(pair.rail.prepare, hold)
    assert (await pair.rail.enquire(hold, BUDGET_MS)).outcome is Outcome.WORKING
    assert (await pair.rail.abort(hold, BUDGET_MS)).outcome is Outcome.WORKING
    clock = pair.simulator.desk._now_ms
    pair.simulator.desk._now_ms = lambda: clock() + 60_000
    found = await pair.rail.enquire(hold, BUDGET_MS)
    assert (found.outcome, found.rail_code) == (Outcome.REFUSED, "ACQ.PAYER_TIME_OUT")


# --- faults ----------------------------------------------------------------------------------------------------------
# fault                          what prepare says    what is true afterwards   statement lines
FAULTS = """
  slow:150                       DONE                 DONE                      1
  silent                         RailSilent           NEVER_SEEN                0
  silent_booked                  RailSilent           DONE                      1
  silent_then_late:150           DONE                 DONE                      1
  twice                          DONE                 DONE                      1
  refuse:PAYEE_NOT_EXIST         PROXY_UNKNOWN        REFUSED                   0
  refuse:ACQ.SELLER_BEEN_BLOCKED RAIL_REFUSED         REFUSED                   0
  refuse:isv.invalid-signature   RAIL_SIGNATURE       NEVER_SEEN                0
  refuse:isv.app-call-limited    RAIL_UNAVAILABLE     NEVER_SEEN                0
  refuse:A_WORD_WE_DO_NOT_KNOW   RailSilent           REFUSED                   0
  refuse:20000                   RailSilent           NEVER_SEEN                0
  malformed                      RailSilent           DONE                      1
  bad_signature                  RailSilent           DONE                      1
  cut                            RailSilent           DONE                      1
  cut_before                     RailSilent           DONE                      1
  maintenance                    CREDITOR_AGENT_OFFLINE REFUSED                 0
"""


@pytest.mark.parametrize("address", ["ALIPAY_LOGIN 13800138000", "PAYMENT_CODE 280000000000000001"])
@pytest.mark.parametrize("line", FAULTS.strip().splitlines(), ids=lambda line: line.split()[0])
async def test_faults(pair: Running, line: str, address: str) -> None:
    fault, said, true, lines = line.split()
    scheme, value = address.split()
    hold = hold_to(Scheme[scheme], value)
    pair.fault(fault, count=1)
    try:
        await (in_short(pair.rail.prepare, hold) if fault in UNANSWERED else pair.rail.prepare(hold, BUDGET_MS))
        word = "DONE"
    except RailRejected as refusal:
        word = refusal.reason.name
    except RailSilent:
        word = "RailSilent"
    assert word == said
    assert (await pair.rail.enquire(hold, BUDGET_MS)).outcome is Outcome[true]
    assert len(pair.paid(hold)) == int(lines)
    after = hold_to(Scheme[scheme], value)  # the next payment is not touched by what went before
    await pair.rail.prepare(after, BUDGET_MS)
    assert len(pair.paid(after)) == 1


@pytest.mark.parametrize(
    "fault", ["silent", "silent_booked", "malformed", "bad_signature", "cut", "cut_before", "refuse:20000", "refuse:X"]
)
async def test_a_faulty_answer_to_an_enquiry_is_silence(pair: Running, fault: str) -> None:
    hold = hold_to(Scheme.ALIPAY_LOGIN, "13800138000")
    ack = await pair.rail.prepare(hold, BUDGET_MS)
    pair.fault(fault, count=1, on=Operation.ENQUIRE)
    with pytest.raises(RailSilent):
        await (in_short(pair.rail.enquire, hold) if fault in UNANSWERED else pair.rail.enquire(hold, BUDGET_MS))
    assert (await pair.rail.enquire(hold, BUDGET_MS)).ack == ack


@pytest.mark.parametrize("number", [*range(1, 13)])
async def test_marked_accounts_show_their_fault_and_can_be_ended(pair: Running, number: int) -> None:
    hold = hold_to(Scheme.ALIPAY_LOGIN, f"139000000{number:02d}", name=f"Fault {number:02d}")
    wallet = pair.simulator.desk.books.by_proxy("LOGON", hold.instruction.creditor.account.value)
    assert wallet is not None
    assert wallet.fault is not None
    if number == 1:
        assert wallet.fault.kind is FaultKind.SLOW
        wallet.fault = wallet.fault._replace(ms=60_000)  # still at it when we ask, though the machine stand still
    with pytest.raises((RailSilent, RailRejected)) if number != 5 else contextlib.nullcontext():
        await (in_short(pair.rail.prepare, hold) if number <= 4 else pair.rail.prepare(hold, BUDGET_MS))
    found = await pair.rail.enquire(hold, BUDGET_MS)
    expected = {1: Outcome.WORKING, 2: Outcome.NEVER_SEEN, 6: Outcome.REFUSED, 11: Outcome.REFUSED, 12: Outcome.REFUSED}
    assert found.outcome is expected.get(number, Outcome.DONE)


async def test_slow_work_ends_although_nobody_waits(pair: Running) -> None:
    for slow_ms in (700, 5_000, 20_000):  # a machine that stands still may see the work's end before it asks
        pair.fault(f"slow:{slow_ms}", count=1)
        hold = hold_to(Scheme.ALIPAY_LOGIN, "13800138000")
        with pytest.raises(RailSilent):
            await in_short(pair.rail.prepare, hold)
        found = await pair.rail.enquire(hold, BUDGET_MS)
        ack = await pair.rail.prepare(hold, BUDGET_MS)  # a repeat finds it under way and waits for it
        assert (await pair.rail.enquire(hold, BUDGET_MS)).ack == ack
        assert len(pair.paid(hold)) == 1
        if found.outcome is Outcome.WORKING:
            break
    assert found.outcome is Outcome.WORKING


async def test_offline_is_unavailable_and_ends(pair: Running) -> None:
    hold = hold_to(Scheme.ALIPAY_LOGIN, "13800138000")
    await pair.rail.prepare(hold_to(Scheme.ALIPAY_LOGIN, "13800138000"), BUDGET_MS)
    pair.fault("offline")
    assert pair.simulator._switching is not None
    await pair.simulator._switching
    with pytest.raises(RailUnavailable):
        await pair.rail.prepare(hold, BUDGET_MS)
    pair.simulator.faults.clear()
    await pair.simulator._switching
    assert (await pair.rail.enquire(hold, BUDGET_MS)).outcome is Outcome.NEVER_SEEN
    await pair.rail.prepare(hold, BUDGET_MS)
    assert len(pair.paid(hold)) == 1


# --- the link --------------------------------------------------------------------------------------------------------
async def test_nobody_listens(keys_dir: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound and not listening: the port is ours and refuses
        rail = AlipayRail(RailOptions("127.0.0.1", bound.getsockname()[1], RAIL.institution, keys_dir))
        await rail.start()
        with pytest.raises(RailUnavailable):
            await rail.prepare(hold_to(Scheme.ALIPAY_LOGIN, "13800138000"), BUDGET_MS)
        await rail.close()
        with pytest.raises(RailUnavailable):
            await rail.prepare(hold_to(Scheme.ALIPAY_LOGIN, "13800138000"), BUDGET_MS)


async def test_a_call_that_found_no_free_connection_sent_nothing(
    pair: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.alipay.client.SOCKETS_PER_CONNECTION", 1)
    options = RailOptions("127.0.0.1", pair.simulator.port, RAIL.institution, pair.rail._options.keys_dir, 1)
    rail = AlipayRail(options)
    await rail.start()
    pair.fault("silent", count=1)
    stuck = asyncio.create_task(rail.prepare(hold_to(Scheme.ALIPAY_LOGIN, "13800138000"), BUDGET_MS))
    await until(lambda: rail.in_flight == 1)
    waiting = hold_to(Scheme.ALIPAY_LOGIN, "13800138000")
    with pytest.raises(RailUnavailable):
        await rail.prepare(waiting, SHORT_MS)
    stuck.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stuck
    assert (await rail.enquire(waiting, BUDGET_MS)).outcome is Outcome.NEVER_SEEN
    await rail.close()


async def test_close_leaves_a_call_in_doubt(keys_dir: Path) -> None:
    async with running(keys_dir) as pair:
        pair.fault("silent")
        hold = hold_to(Scheme.ALIPAY_LOGIN, "13800138000")
        call = asyncio.create_task(pair.rail.prepare(hold, BUDGET_MS))
        await until(lambda: pair.rail.in_flight == 1)
        await pair.rail.close()
        with pytest.raises(RailSilent):
            await call


async def test_keys_that_differ_are_refused_as_signatures(keys_dir: Path, tmp_path: Path) -> None:
    async with running(keys_dir) as pair:
        (tmp_path / "rail_public.pem").write_bytes((keys_dir / "rail_public.pem").read_bytes())
        rail = AlipayRail(RailOptions("127.0.0.1", pair.simulator.port, RAIL.institution, tmp_path))
        await rail.start()
        with pytest.raises(RailRejected) as refusal:
            await rail.prepare(hold_to(Scheme.ALIPAY_LOGIN, "13800138000"), BUDGET_MS)
        assert refusal.value.reason.name == "RAIL_SIGNATURE"
        await rail.close()


async def test_an_app_the_rail_does_not_know(pair: Running) -> None:
    rail = AlipayRail(pair.rail._options._replace(institution="2021000000000009"))
    await rail.start()
    with pytest.raises(RailRejected) as refusal:
        await rail.prepare(hold_to(Scheme.ALIPAY_LOGIN, "13800138000"), BUDGET_MS)
    assert (refusal.value.reason.name, refusal.value.rail_code) == ("RAIL_REFUSED", "isv.invalid-app-id")
    await rail.close()


async def test_errors_hold_no_personal_value(pair: Running) -> None:
    pair.fault("malformed", count=1)
    hold = hold_to(Scheme.ALIPAY_LOGIN, "13800138000")
    with pytest.raises(RailSilent) as silence:
        await pair.rail.prepare(hold, BUDGET_MS)
    told = f"{silence.value} {silence.value.__cause__}"
    assert "13800138000" not in told
    assert "测试甲" not in told


async def test_too_many_calls_are_refused_before_anything_is_sent(
    pair: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.alipay.client.RAIL_IN_FLIGHT_MAX", 1)
    pair.fault("silent", count=1)
    stuck = asyncio.create_task(pair.rail.prepare(hold_to(Scheme.ALIPAY_LOGIN, "13800138000"), BUDGET_MS))
    await until(lambda: pair.rail.in_flight == 1)
    with pytest.raises(RailUnavailable, match="too many"):
        await pair.rail.prepare(hold_to(Scheme.ALIPAY_LOGIN, "13800138000"), BUDGET_MS)
    stuck.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stuck
    await pair.rail.prepare(hold_to(Scheme.ALIPAY_LOGIN, "13800138000"), BUDGET_MS)


# what an HTTP server that is not the rail may answer
STRANGERS = {
    "503": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
    "html": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
    "too long": b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99_999,
    "no http": b"hello\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "nothing": b"",
}


@pytest.mark.parametrize("answer", STRANGERS)
async def test_an_answer_that_is_not_the_rails_is_silence(keys_dir: Path, answer: str) -> None:
    async def stranger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(STRANGERS[answer])
        writer.close()

    server = await asyncio.start_server(stranger, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        rail = AlipayRail(RailOptions("127.0.0.1", port, RAIL.institution, keys_dir))
        await rail.start()
        with pytest.raises(RailSilent):
            await rail.prepare(hold_to(Scheme.ALIPAY_LOGIN, "13800138000"), BUDGET_MS)
        await rail.close()
