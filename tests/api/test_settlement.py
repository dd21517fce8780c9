"""SettlementService: every row of the contract, over the real flow and the fakes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from bayswitch.v1 import settlement_pb2 as pb

from switch.domain.money import Asset
from switch.domain.settlement import seal_of
from tests.api.support import Api, refusal, serving
from tests.fakes import NOON_MS, until
from tests.settlement_world import SettlementWorld

METHODS = {
    "ListArrangements": pb.ListArrangementsRequest(),
    "ListWindows": pb.ListWindowsRequest(),
    "GetWindow": pb.GetWindowRequest(window_id="hkd.1"),
    "CutWindow": pb.CutWindowRequest(window_id="hkd.1"),
    "CloseWindow": pb.CloseWindowRequest(window_id="hkd.1"),
    "ConfirmObligation": pb.ConfirmObligationRequest(
        window_id="hkd.1", participant="ALFA", asset="HKD", amount_minor=300, reference="R"
    ),
    "DeclareDefault": pb.DeclareDefaultRequest(window_id="hkd.1", participant="ALFA", reason="late"),
    "GetStatement": pb.GetStatementRequest(window_id="hkd.1"),
}
MOVING = ("CutWindow", "CloseWindow", "ConfirmObligation", "DeclareDefault")


class Settling(NamedTuple):
    """A server, and the world it settles."""

    api: Api
    world: SettlementWorld

    async def ask(self, method: str, caller: str = "OPERATOR", **fields: Any) -> Any:
        """The method's request with these fields, as this caller."""
        request = type(METHODS[method])()
        request.CopyFrom(METHODS[method])
        for name, value in fields.items():
            setattr(request, name, value)
        stubs = self.api.caller(caller)
        return await stubs.call(getattr(stubs.settlement, method), request)


@asynccontextmanager
async def settling() -> AsyncIterator[Settling]:
    world = SettlementWorld()
    await world.open()
    async with serving(settlement=world.settlement) as api:
        yield Settling(api, world)


# --- who, and whether at all -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", [*METHODS, "WatchWindows"])
async def test_without_a_broker_every_call_says_so(method: str) -> None:
    async with serving() as api:
        stubs = api.caller("OPERATOR")
        call = getattr(stubs.settlement, method)(
            METHODS.get(method, pb.WatchWindowsRequest()), metadata=stubs.metadata, timeout=60
        )
        refused = await refusal(call.read() if method == "WatchWindows" else call)
    assert (refused.code, refused.reason, refused.retry_after_ms) == ("UNAVAILABLE", "BROKER_UNAVAILABLE", 1_000)
    assert "set kafka_bootstrap" in refused.text


@pytest.mark.parametrize("method", MOVING)
@pytest.mark.parametrize("caller", ["ALFA", "SA_HKD"])
async def test_only_the_operator_moves_windows(method: str, caller: str) -> None:
    async with settling() as here:
        refused = await refusal(here.ask(method, caller))
        assert (refused.code, refused.reason) == ("PERMISSION_DENIED", "CALLER_NOT_PERMITTED")
        assert {each.state for each in (await here.ask("ListWindows")).windows} == {pb.WINDOW_STATE_OPEN}


async def test_a_participant_sees_windows_with_its_own_figures() -> None:
    async with settling() as here:
        await here.world.closed(("ALFA", "GW_NEAR", 300), ("BRAVO", "GW_NEAR", 1))
        seen = {
            caller: (await here.ask("GetWindow", caller)).window
            for caller in ("OPERATOR", "SA_HKD", "ALFA", "BRAVO", "FXONE", "SA_REST")
        }
        everybody = ["ALFA", "BRAVO", "GW_NEAR"]
        for caller, who in {
            "OPERATOR": everybody,
            "SA_HKD": everybody,
            "ALFA": ["ALFA"],
            "BRAVO": ["BRAVO"],
            "FXONE": [],
            "SA_REST": [],
        }.items():
            assert [each.participant for each in seen[caller].positions] == who
            assert [each.participant for each in seen[caller].obligations] == who
            assert seen[caller].seal == seen["OPERATOR"].seal
        listed = (await here.ask("ListWindows", "ALFA")).windows
        assert [(len(each.positions), len(each.obligations)) for each in listed] == [(0, 0)] * 3


async def test_a_statement_is_ones_own_or_the_operators() -> None:
    async with settling() as here:
        await here.world.closed(("ALFA", "GW_NEAR", 300))
        assert (await here.ask("GetStatement", "ALFA")).participant == "ALFA"
        assert (await here.ask("GetStatement", participant="ALFA")) == (await here.ask("GetStatement", "ALFA"))
        refused = await refusal(here.ask("GetStatement", "BRAVO", participant="ALFA"))
        assert (refused.code, refused.reason, refused.field) == (
            "PERMISSION_DENIED",
            "CALLER_NOT_PERMITTED",
            "participant",
        )


# --- what it answers -------------------------------------------------------------------------------------------------
async def test_arrangements() -> None:
    async with settling() as here:
        found = (await here.ask("ListArrangements", "ALFA")).arrangements
    assert [each.arrangement_id for each in found] == ["hkd", "rest"]
    assert found[0] == pb.Arrangement(
        arrangement_id="hkd",
        title="Hong Kong dollars",
        assets=["HKD"],
        settlement_agent="SA_HKD",
        cut_times=["12:00", "17:00"],
        calendars=["A"],
    )


async def test_the_life_of_a_window() -> None:
    async with settling() as here:
        world = here.world
        world.pay("ALFA", "GW_NEAR", 300)
        cut = (await here.ask("CutWindow")).window
        assert (cut.state, cut.cut_by, cut.filled) == (pb.WINDOW_STATE_CUT, "OPERATOR", False)
        assert not cut.HasField("close_time")
        assert sum(each.to_offset for each in cut.ranges) == 1
        await world.settle()
        closed = (await here.ask("CloseWindow")).window
        assert (closed.state, closed.payments, closed.window_id) == (pb.WINDOW_STATE_CLOSED, 1, "hkd.1")
        assert closed.seal == seal_of(await world.settlement.window("hkd.1"))
        assert closed.previous_seal == bytes(32)
        assert closed.close_time.ToMilliseconds() == NOON_MS
        assert [(each.participant, each.net_debit_minor) for each in closed.positions] == [
            ("ALFA", 300),
            ("GW_NEAR", -300),
        ]
        await here.ask("DeclareDefault")
        assert world.register.participants["ALFA"].suspended
        paid = (await here.ask("ConfirmObligation")).window
        assert paid.state == pb.WINDOW_STATE_PARTIALLY_SETTLED
        received: dict[str, Any] = {"participant": "GW_NEAR", "amount_minor": -300, "reference": "R2"}
        settled = (await here.ask("ConfirmObligation", **received)).window
        assert settled.state == pb.WINDOW_STATE_SETTLED
        assert [(each.reference, each.state) for each in settled.obligations] == [
            ("R", pb.OBLIGATION_STATE_CONFIRMED),
            ("R2", pb.OBLIGATION_STATE_CONFIRMED),
        ]
        assert settled.settled_time.ToMilliseconds() == NOON_MS


async def test_every_move_is_safe_to_repeat() -> None:
    async with settling() as here:
        here.world.pay("ALFA", "GW_NEAR", 300)
        await here.ask("CutWindow")
        await here.world.settle()
        await here.ask("CloseWindow")
        await here.ask("DeclareDefault")
        for method in ("DeclareDefault", "ConfirmObligation", "ConfirmObligation", "CutWindow", "CloseWindow"):
            await here.ask(method)
        assert here.world.store.totals["SA_HKD", Asset.HKD] == 300
        assert (await here.world.settlement.window("hkd.2")).state.name == "OPEN"
        assert len(await here.world.register.participant_changes("ALFA")) == 1


async def test_windows_newest_first_and_no_more_than_asked() -> None:
    async with settling() as here:
        for number in range(1, 4):
            here.world.clock.advance(1)
            await here.ask("CutWindow", window_id=f"hkd.{number}")

        async def ids(**query: Any) -> list[str]:
            return [each.window_id for each in (await here.ask("ListWindows", **query)).windows]

        assert await ids(arrangement_id="hkd") == ["hkd.4", "hkd.3", "hkd.2", "hkd.1"]
        assert await ids(page_size=2) == ["hkd.4", "hkd.3"]
        assert await ids(arrangement_id="rest") == ["rest.1"]


async def test_a_statement_in_pages() -> None:
    async with settling() as here:
        await here.world.closed(*[("ALFA", "GW_NEAR", each) for each in range(1, 6)])
        entries, token = [], ""
        while True:
            page = await here.ask("GetStatement", "ALFA", page_size=2, page_token=token)
            entries += page.entries
            assert page.balances[0].entries == len(page.entries)
            token = page.next_page_token
            if not token:
                break
        [balance] = page.balances
        assert (balance.opening_minor, balance.debits_minor, balance.closing_minor) == (0, 15, 15)
        assert [each.entry.amount_minor for each in entries] == [1, 2, 3, 4, 5]
        assert [each.end_to_end_id for each in entries] == [f"E2E-{each}" for each in range(1, 6)]
        assert (entries[0].rail, entries[0].rail_reference, entries[0].debtor_agent) == ("near", "REF1", "ALFA")
        other = await here.ask("GetStatement", "GW_NEAR")
        assert {each.end_to_end_id for each in other.entries} == {""}
        token = (await here.ask("GetStatement", "ALFA", page_size=2)).next_page_token
        for caller, fields in (("GW_NEAR", {}), ("OPERATOR", {"participant": "ALFA"})):
            refused = await refusal(here.ask("GetStatement", caller, page_token=token, **fields))
            assert (refused.reason, refused.field, refused.rule) == ("FIELD_INVALID", "page_token", "TOKEN")


# --- what it refuses -------------------------------------------------------------------------------------------------
# method | the field that is changed | field | code | reason
FIELDS = """
GetWindow         | {"window_id": ""}                | window_id    | INVALID_ARGUMENT    | FIELD_MISSING
GetWindow         | {"window_id": "hkd"}             | window_id    | INVALID_ARGUMENT    | FIELD_INVALID
GetWindow         | {"window_id": "hkd.0"}           | window_id    | INVALID_ARGUMENT    | FIELD_INVALID
GetWindow         | {"window_id": "hkd." + "9" * 99} | window_id    | INVALID_ARGUMENT    | FIELD_INVALID
GetWindow         | {"window_id": "hkd.9"}           | window_id    | NOT_FOUND           | WINDOW_UNKNOWN
CutWindow         | {"window_id": ""}                | window_id    | INVALID_ARGUMENT    | FIELD_MISSING
CutWindow         | {"window_id": "usd.1"}           | window_id    | NOT_FOUND           | WINDOW_UNKNOWN
CloseWindow       | {"window_id": "x"}               | window_id    | INVALID_ARGUMENT    | FIELD_INVALID
CloseWindow       | {"window_id": "hkd.3"}           | window_id    | NOT_FOUND           | WINDOW_UNKNOWN
CloseWindow       | {"window_id": "hkd.2"}           |              | FAILED_PRECONDITION | WINDOW_NOT_CUT
ListWindows       | {"arrangement_id": "usd"}        | arrangement_id | NOT_FOUND         | ARRANGEMENT_UNKNOWN
ListWindows       | {"page_size": 501}               | page_size    | INVALID_ARGUMENT    | FIELD_INVALID
ListWindows       | {"page_size": -1}                | page_size    | INVALID_ARGUMENT    | FIELD_INVALID
ConfirmObligation | {"window_id": ""}                | window_id    | INVALID_ARGUMENT    | FIELD_MISSING
ConfirmObligation | {"participant": ""}              | participant  | INVALID_ARGUMENT    | FIELD_MISSING
ConfirmObligation | {"participant": "alfa"}          | participant  | INVALID_ARGUMENT    | FIELD_INVALID
ConfirmObligation | {"asset": ""}                    | asset        | INVALID_ARGUMENT    | FIELD_MISSING
ConfirmObligation | {"asset": "USD"}                 | asset        | INVALID_ARGUMENT    | FIELD_INVALID
ConfirmObligation | {"amount_minor": 0}              | amount_minor | INVALID_ARGUMENT    | FIELD_MISSING
ConfirmObligation | {"reference": ""}                | reference    | INVALID_ARGUMENT    | FIELD_MISSING
ConfirmObligation | {"reference": "x" * 36}          | reference    | INVALID_ARGUMENT    | FIELD_INVALID
ConfirmObligation | {"window_id": "hkd.2"}           |              | FAILED_PRECONDITION | WINDOW_NOT_CLOSED
ConfirmObligation | {"participant": "BRAVO"}         |              | FAILED_PRECONDITION | OBLIGATION_UNKNOWN
ConfirmObligation | {"amount_minor": -300}           | amount_minor | FAILED_PRECONDITION | OBLIGATION_MISMATCH
DeclareDefault    | {"window_id": ""}                | window_id    | INVALID_ARGUMENT    | FIELD_MISSING
DeclareDefault    | {"participant": ""}              | participant  | INVALID_ARGUMENT    | FIELD_MISSING
DeclareDefault    | {"reason": " "}                  | reason       | INVALID_ARGUMENT    | FIELD_MISSING
DeclareDefault    | {"reason": "x" * 141}            | reason       | INVALID_ARGUMENT    | FIELD_INVALID
DeclareDefault    | {"window_id": "hkd.2"}           |              | FAILED_PRECONDITION | WINDOW_NOT_CLOSED
DeclareDefault    | {"participant": "GW_NEAR"}       |              | FAILED_PRECONDITION | OBLIGATION_UNKNOWN
GetStatement      | {"window_id": ""}                | window_id    | INVALID_ARGUMENT    | FIELD_MISSING
GetStatement      | {"window_id": "hkd.2"}           |              | FAILED_PRECONDITION | WINDOW_NOT_CLOSED
GetStatement      | {"participant": "a b"}           | participant  | INVALID_ARGUMENT    | FIELD_INVALID
GetStatement      | {"participant": "NOBODY"}        | participant  | FAILED_PRECONDITION | PARTICIPANT_UNKNOWN
GetStatement      | {"page_size": 501}               | page_size    | INVALID_ARGUMENT    | FIELD_INVALID
GetStatement      | {"page_token": "abc"}            | page_token   | INVALID_ARGUMENT    | FIELD_INVALID
"""


@pytest.mark.parametrize("row", FIELDS.strip().splitlines(), ids=lambda row: " ".join(row.split("|")[:2]).strip())
async def test_refusals(row: str) -> None:
    method, change, field, code, reason = (part.strip() for part in row.split("|"))
    async with settling() as here:
        await here.world.closed(("ALFA", "GW_NEAR", 300))
        before = await here.world.settlement.window("hkd.1")
        refused = await refusal(here.ask(method, **eval(change)))
        assert (refused.code, refused.reason, refused.field) == (code, reason, field)
        assert await here.world.settlement.window("hkd.1") == before
        assert not any(each.suspended for each in here.world.register.participants.values())


async def test_refusals_of_a_close_carry_what_to_look_at() -> None:
    async with settling() as here:
        here.world.pay("ALFA", "GW_NEAR", 300)
        here.world.skip("ALFA")
        here.world.pay("ALFA", "GW_NEAR", 300)
        await here.ask("CutWindow")
        unfilled = await refusal(here.ask("CloseWindow"))
        assert (unfilled.reason, unfilled.retry_after_ms) == ("WINDOW_NOT_FILLED", 500)
        await here.world.settle()
        gap = await refusal(here.ask("CloseWindow"))
        assert (gap.code, gap.reason) == ("FAILED_PRECONDITION", "SEQUENCE_GAP")
        assert gap.metadata == {"debtor_agent": "ALFA", "sequence": "2"}


async def test_a_mismatch_says_what_is_owed() -> None:
    async with settling() as here:
        await here.world.closed(("ALFA", "GW_NEAR", 300))
        amount = await refusal(here.ask("ConfirmObligation", amount_minor=299))
        assert amount.metadata == {"expected_minor": "300"}
        await here.ask("ConfirmObligation")
        reference = await refusal(here.ask("ConfirmObligation", reference="OTHER"))
        assert (reference.field, reference.metadata) == ("reference", {"confirmed_reference": "R"})


async def test_what_is_away_is_named_and_a_repeat_ends_it() -> None:
    async with settling() as here:
        here.world.log.down = True
        assert (await refusal(here.ask("CutWindow"))).reason == "BROKER_UNAVAILABLE"
        here.world.log.down = False
        await here.ask("CutWindow")
        here.world.archive.down = True
        away = await refusal(here.ask("CloseWindow"))
        assert (away.code, away.reason, away.retry_after_ms) == ("UNAVAILABLE", "ARCHIVE_UNAVAILABLE", 1_000)
        here.world.archive.down = False
        here.world.store.fail_next("close", done=True)
        assert (await refusal(here.ask("CloseWindow"))).reason == "STORE_UNAVAILABLE"
        assert (await here.ask("CloseWindow")).window.state == pb.WINDOW_STATE_SETTLED


# --- watching --------------------------------------------------------------------------------------------------------
def watch(here: Settling, caller: str = "OPERATOR") -> Any:
    stubs = here.api.caller(caller)
    return stubs.settlement.WatchWindows(pb.WatchWindowsRequest(), metadata=stubs.metadata, timeout=60)


async def test_watching_shows_every_move_with_what_the_caller_may_see() -> None:
    async with settling() as here:
        streams = {caller: watch(here, caller) for caller in ("OPERATOR", "ALFA", "FXONE")}
        for stream in streams.values():
            await stream.initial_metadata()
        await here.world.closed(("ALFA", "GW_NEAR", 300))
        figures = {"OPERATOR": 2, "ALFA": 1, "FXONE": 0}
        for caller, stream in streams.items():
            window = pb.Window()
            while window.state != pb.WINDOW_STATE_CLOSED:
                window = (await stream.read()).window
            assert (window.window_id, len(window.positions)) == ("hkd.1", figures[caller])
            stream.cancel()


async def test_a_drain_ends_the_watchers_and_says_where_to_go() -> None:
    async with settling() as here:
        stream = watch(here)
        await stream.initial_metadata()
        await here.api.server.stop(60_000)
        refused = await refusal(stream.read())
        assert (refused.code, refused.reason, refused.retry_after_ms) == ("UNAVAILABLE", "SHUTTING_DOWN", 200)


async def test_a_watcher_that_hangs_up_leaves_its_place() -> None:
    async with settling() as here:
        for _ in range(3):
            stream = watch(here)
            await stream.initial_metadata()
            stream.cancel()
            await until(lambda: not here.api.server.running)
        assert not here.world.settlement.watch._woken


async def test_watchers_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("switch.engine.window_watch.WATCHERS_MAX", 1)
    async with settling() as here:
        first = watch(here)
        await first.initial_metadata()
        refused = await refusal(watch(here).read())
        assert (refused.code, refused.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
        first.cancel()
