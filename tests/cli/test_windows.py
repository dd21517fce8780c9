"""`bayswitch windows` against the real service over the fakes, in a thread beside the command line."""

import asyncio
import io
import json
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from bayswitch.v1 import settlement_pb2 as pb
from pyiso20022.camt import camt_053_001_08, camt_054_001_08
from rich.console import Console

from switch.cli import window_picture
from switch.cli.window_picture import LINES, PLAIN, picture
from switch.domain.position import Entry
from tests.api.support import serving
from tests.cli.support import Cli, until
from tests.fakes import until as eventually
from tests.iso20022 import assert_valid
from tests.settlement_world import SettlementWorld


class Desk(NamedTuple):
    """The command line, the world behind it, and a way to do something there."""

    cli: Cli
    world: SettlementWorld
    loop: asyncio.AbstractEventLoop

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)


async def _serve(ready: threading.Event, box: dict[str, Any]) -> None:
    world = SettlementWorld()
    await world.open()
    async with serving(settlement=world.settlement) as api:
        box |= {"world": world, "port": api.server.port, "loop": asyncio.get_running_loop(), "stop": asyncio.Event()}
        ready.set()
        await box["stop"].wait()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.chdir(tmp_path)
    ready, box = threading.Event(), dict[str, Any]()
    thread = threading.Thread(target=asyncio.run, args=(_serve(ready, box),))
    thread.start()
    try:
        assert ready.wait(60)
        yield Desk(Cli({"BAYSWITCH_SERVER": f"127.0.0.1:{box['port']}"}), box["world"], box["loop"])
    finally:
        box["loop"].call_soon_threadsafe(box["stop"].set)
        thread.join(60)
        assert not thread.is_alive()


def closed(desk: Desk, *payments: tuple[str, str, int]) -> None:
    desk.do(desk.world.closed(*payments))


# --- the life of a window --------------------------------------------------------------------------------------------
def test_a_window_from_its_cut_to_its_end(desk: Desk) -> None:
    desk.world.pay("ALFA", "GW_NEAR", 30_000)
    assert "CUT, filling" in desk.cli("windows", "cut", "hkd.1").out
    early = desk.cli("windows", "close", "hkd.1", "--wait", "0")
    assert early.code == 3
    assert "WINDOW_NOT_FILLED" in early.err
    desk.do(desk.world.settle())
    sealed = desk.cli("windows", "close", "hkd.1").out
    assert sealed.startswith("hkd.1  CLOSED  1 payments\n")
    window = desk.do(desk.world.settlement.window("hkd.1"))
    assert f"seal    {window.seal.hex()}" in sealed
    wrong = desk.cli("windows", "confirm", "hkd.1", "ALFA", "HKD 299.00", "--reference", "CHATS-1")
    assert wrong.code == 3
    assert "OBLIGATION_MISMATCH" in wrong.err
    assert "expected_minor 30000" in wrong.err
    one = desk.cli("windows", "confirm", "hkd.1", "ALFA", "HKD 300.00", "--reference", "CHATS-1")
    assert (one.code, "CLOSED" in one.out) == (0, True)
    out = desk.cli("windows", "confirm", "hkd.1", "GW_NEAR", "HKD -300.00", "--reference", "CHATS-2", "--json")
    assert out.json["state"] == "WINDOW_STATE_SETTLED"
    listed = desk.cli("windows", "list", "--arrangement", "hkd").out.splitlines()
    assert [line.split()[:2] for line in listed[1:]] == [["hkd.2", "OPEN"], ["hkd.1", "SETTLED"]]


def test_close_waits_for_the_settler(desk: Desk) -> None:
    desk.world.pay("ALFA", "GW_NEAR", 30_000)
    desk.cli("windows", "cut", "hkd.1")

    async def settle_when_asked() -> None:
        await eventually(lambda: desk.world.store.calls["window"] > asked)  # after the first try
        await desk.world.settle()

    asked = desk.world.store.calls["window"]
    later = asyncio.run_coroutine_threadsafe(settle_when_asked(), desk.loop)
    ran = desk.cli("windows", "close", "hkd.1", "--wait", "60", "--json")
    later.result(60)
    assert ran.json["state"] == "WINDOW_STATE_CLOSED"


def test_all_open_obligations_in_one_go(desk: Desk) -> None:
    closed(desk, ("ALFA", "GW_NEAR", 200), ("BRAVO", "GW_NEAR", 105), ("FXONE", "GW_NEAR", 7))
    assert desk.cli("windows", "default", "hkd.1", "FXONE", "--why", "nothing came").code == 0
    assert desk.world.register.participants["FXONE"].suspended
    ran = desk.cli("windows", "confirm", "hkd.1", "--all", "--reference", "DAY-1", "--json")
    assert {each["participant"]: (each["state"], each["reference"]) for each in ran.json["obligations"]} == {
        "ALFA": ("OBLIGATION_STATE_CONFIRMED", "DAY-1"),
        "BRAVO": ("OBLIGATION_STATE_CONFIRMED", "DAY-1"),
        "FXONE": ("OBLIGATION_STATE_DEFAULTED", ""),
        "GW_NEAR": ("OBLIGATION_STATE_CONFIRMED", "DAY-1"),
    }
    again = desk.cli("windows", "confirm", "hkd.1", "--all", "--reference", "DAY-2", "--json")
    assert again.json == ran.json
    late = desk.cli("windows", "confirm", "hkd.1", "FXONE", "HKD 0.07", "--reference", "LATE", "--json")
    assert late.json["state"] == "WINDOW_STATE_SETTLED"


def test_watch_shows_moves_until_the_switch_goes(desk: Desk) -> None:
    ran: list[Any] = []
    thread = threading.Thread(target=lambda: ran.append(desk.cli("windows", "watch")))
    thread.start()
    until(lambda: bool(desk.world.settlement.watch._woken) and desk.world.settlement.watch._looks > 0, "a watcher")
    closed(desk, ("ALFA", "GW_NEAR", 300))
    desk.do(_confirm_all(desk.world))
    looks = desk.world.settlement.watch._looks
    # One may have begun before the last move; the one after it sees that, and what it saw was sent when a third is over.
    until(lambda: desk.world.settlement.watch._looks > looks + 2, "the last move to be seen and sent")
    desk.loop.call_soon_threadsafe(desk.world.settlement.watch.close)
    thread.join(60)
    [ended] = ran
    assert ended.code == 4
    assert "SHUTTING_DOWN" in ended.err
    assert ended.out.splitlines()[-1] == "hkd.1  SETTLED  1 payments  2 of 2 paid"


async def _confirm_all(world: SettlementWorld) -> None:
    for each in (await world.settlement.window("hkd.1")).obligations:
        await world.settlement.confirm("hkd.1", each.participant, each.asset, each.amount_minor, "R")


def test_who_may_not_is_told(desk: Desk) -> None:
    for command in (["cut", "hkd.1"], ["close", "hkd.1"], ["default", "hkd.1", "BRAVO", "--why", "no"]):
        ran = desk.cli("--as", "ALFA", "windows", *command)
        assert ran.code == 3
        assert "CALLER_NOT_PERMITTED" in ran.err
    assert desk.cli("windows", "get", "hkd.9").code == 3


def test_arrangements(desk: Desk) -> None:
    lines = desk.cli("--as", "ALFA", "windows", "arrangements").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["hkd", "rest"]
    assert "12:00 17:00" in lines[1]
    assert "by hand" in lines[2]
    assert [each["arrangement_id"] for each in desk.cli("windows", "arrangements", "--json").json] == ["hkd", "rest"]


# --- the picture -----------------------------------------------------------------------------------------------------
def owed(*rows: str) -> pb.Window:
    """Each: participant, asset, amount_minor, state."""
    cells = [row.split() for row in rows]
    return pb.Window(
        obligations=[
            pb.Obligation(participant=who, asset=asset, amount_minor=int(minor), state=f"OBLIGATION_STATE_{state}")
            for who, asset, minor, state in cells
        ]
    )


OWED = owed(
    "ALFA HKD 20000 OPEN", "BRAVO HKD 10500 CONFIRMED", "CHARLIE_BANK HKD 5 DEFAULTED", "GW_NEAR HKD -30505 OPEN"
)


def test_who_pays_whom_is_drawn() -> None:
    assert picture(OWED, "SA_HKD", LINES) == [
        "  payers                                ┌────────────┐     receivers",
        "  ALFA          HKD 200.00  open    ──▶ │ SA_HKD     │ ──▶ GW_NEAR  HKD 305.05  open",
        "  BRAVO         HKD 105.00  paid    ──▶ │ HKD 305.05 │",
        "  CHARLIE_BANK    HKD 0.05  DEFAULT ──▶ │            │",
        "                                        └────────────┘",
    ]


def test_in_a_pipe_it_is_ascii(desk: Desk) -> None:
    assert picture(OWED, "SA_HKD", PLAIN)[:2] == [
        "  payers                                +------------+     receivers",
        "  ALFA          HKD 200.00  open    --> | SA_HKD     | --> GW_NEAR  HKD 305.05  open",
    ]
    closed(desk, ("ALFA", "GW_NEAR", 300))
    shown = desk.cli("windows", "get", "hkd.1").out
    assert "--> | SA_HKD   | --> GW_NEAR  HKD 3.00  open" in shown
    assert shown.isascii()


def test_a_participant_sees_its_side_and_an_asset_follows_the_other() -> None:
    assert picture(owed("GW_NEAR EHKD -5 OPEN", "ALFA EMOP 7 OPEN"), "SA_SANDBOX", LINES) == [
        "  payers     ┌────────────┐     receivers",
        "             │ SA_SANDBOX │ ──▶ GW_NEAR  EHKD 0.05  open",
        "             │            │",
        "             └────────────┘",
        "  payers                    ┌────────────┐     receivers",
        "  ALFA  EMOP 0.07  open ──▶ │ SA_SANDBOX │",
        "                            │            │",
        "                            └────────────┘",
    ]


def test_nobody_owes() -> None:
    assert picture(pb.Window(), "SA_HKD", LINES) == []


def test_a_terminal_gets_lines_and_a_pipe_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert window_picture.strokes() == PLAIN
    for encoding, drawn_with in (("utf-8", LINES), ("ascii", PLAIN)):
        terminal = Console(force_terminal=True, file=io.TextIOWrapper(io.BytesIO(), encoding=encoding))
        monkeypatch.setattr(window_picture, "console", terminal)
        assert window_picture.strokes() == drawn_with


# --- statements ------------------------------------------------------------------------------------------------------
def test_statements_in_every_form(desk: Desk, tmp_path: Path) -> None:
    closed(desk, *[("ALFA", "GW_NEAR", each) for each in range(1, 8)], ("BRAVO", "ALFA", 10))
    people = desk.cli("--as", "ALFA", "windows", "statement", "hkd.1").out
    assert people.startswith("hkd.1  ALFA\n")
    assert "HKD 0.18" in people
    assert "E2E-7" in people
    plain = desk.cli("windows", "statement", "hkd.1", "--of", "ALFA", "--json")
    assert plain.json == desk.cli("windows", "statement", "hkd.1", "--of", "ALFA", "--format", "json").json
    assert [each["amount_minor"] for each in plain.json["entries"]].count(-10) == 1
    assert plain.json["balances"] == [
        {
            "asset": "HKD",
            "opening_minor": 0,
            "debits_minor": 28,
            "credits_minor": 10,
            "closing_minor": 18,
            "entries": 8,
        }
    ]
    for form, model in (("camt.053", camt_053_001_08.Document), ("camt.054", camt_054_001_08.Document)):
        assert_valid(desk.cli("windows", "statement", "hkd.1", "--of", "ALFA", "--format", form).out.encode(), model)
    ran = desk.cli("windows", "statement", "hkd.1", "--of", "ALFA", "--format", "csv", "--out", "statements/today")
    path = tmp_path / "statements" / "today" / "hkd.1.ALFA.csv"
    assert ran.out == "statements/today/hkd.1.ALFA.csv\n"
    assert path.read_bytes().count(b"\r\n") == 1 + 1 + 8 + 1


def test_a_statement_of_many_pages_is_whole(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("switch.cli.statements.PAGE_SIZE_MAX", 2)
    closed(desk, *[("ALFA", "GW_NEAR", each) for each in range(1, 8)])
    found = desk.cli("windows", "statement", "hkd.1", "--of", "GW_NEAR", "--json").json
    assert [each["amount_minor"] for each in found["entries"]] == [-each for each in range(1, 8)]


def test_a_participant_without_entries_has_an_empty_statement(desk: Desk) -> None:
    closed(desk, ("ALFA", "GW_NEAR", 1))
    found = desk.cli("--as", "BRAVO", "windows", "statement", "hkd.1", "--json").json
    assert (found["entries"], [each["closing_minor"] for each in found["balances"]]) == ([], [0])
    assert desk.cli("--as", "BRAVO", "windows", "statement", "hkd.1", "--of", "ALFA").code == 3


def test_a_statement_that_does_not_add_up_is_not_written(desk: Desk, tmp_path: Path) -> None:
    closed(desk, ("ALFA", "GW_NEAR", 300))
    [(event_id, one)] = desk.world.archive.kept.items()
    entries = tuple(Entry(each.participant, each.asset, 2 * each.amount_minor) for each in one.fact.entries)
    desk.world.archive.kept[event_id] = one._replace(fact=one.fact._replace(entries=entries))
    ran = desk.cli("windows", "statement", "hkd.1", "--of", "ALFA", "--format", "csv", "--out", ".")
    assert (ran.code, ran.out) == (1, "")
    assert "entries come to debits 600 and credits 0, the balance says 300 and 0" in ran.err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(desk: Desk, tmp_path: Path) -> None:
    closed(desk, ("ALFA", "GW_NEAR", 300))
    (tmp_path / "file").write_text("", "utf-8")
    ran = desk.cli("windows", "statement", "hkd.1", "--of", "ALFA", "--format", "csv", "--out", "file")
    assert ran.code == 2
    assert "--out: file/hkd.1.ALFA.csv cannot be written" in ran.err


def test_every_reading_command_prints_json(desk: Desk) -> None:
    closed(desk, ("ALFA", "GW_NEAR", 300))
    listed = {each["window_id"] for each in desk.cli("windows", "list", "--json").json}
    assert listed == {"hkd.1", "hkd.2", "rest.1"}
    assert json.loads(desk.cli("windows", "get", "hkd.1", "--json").out)["window_id"] == "hkd.1"
