"""Topics, events and dead letters at the command line, on a broker of the folder's own: the names are the real ones."""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from deploy.local import kafka
from switch.domain.money import Asset
from switch.domain.position import Entry
from switch.domain.settlement import LogRange, SettlementFact, Window, WindowState
from switch.events import encode, headers, topics
from switch.events.dead_letters import DeadLetters
from switch.events.fold import LogRecord, Poisoned
from switch.events.schema import key
from switch.events.topics import check, ensure
from switch.events.window_schema import announcement_headers, announcement_key, encode_announcement
from switch.events.writer import TopicWriter
from switch.ports import Announcement
from tests.cli.support import Cli
from tests.events.support import START_MS, fact

TOPICS = topics(3, 1, 1)


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with kafka.cluster(folder=tmp_path_factory.mktemp("kafka")) as running:
        yield running.bootstrap


@pytest.fixture
def cli(bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    return Cli({"BAYSWITCH_KAFKA_BOOTSTRAP": bootstrap, "BAYSWITCH_KAFKA_PARTITIONS": "3"})


def test_topics_are_made_and_then_right(cli: Cli) -> None:
    missing = cli("topics", "check")
    assert missing.code == 1
    assert "bayswitch.settlement.payment.v1: is missing\n    bayswitch topics ensure\n" in missing.out
    assert [row["what"] for row in cli("topics", "check", "--json").json] == ["is missing"] * 4
    made = cli("topics", "ensure")
    assert (made.code, made.out.count("  made\n")) == (0, 4)
    again = cli("topics", "ensure", "--json").json
    assert [(row["topic"], row["made"]) for row in again] == [(spec.name, False) for spec in TOPICS]
    assert again[0]["min.insync.replicas"] == "1"
    right = cli("topics", "check")
    assert (right.code, right.out) == (0, "the topics are right\n")
    assert cli("topics", "check", "--json").json == []
    other = cli("topics", "check", BAYSWITCH_KAFKA_PARTITIONS="5")
    assert other.code == 1
    assert "has 3 partitions and not 5" in other.out
    assert "BAYSWITCH_KAFKA_PARTITIONS=3" in other.out


def test_without_a_broker_it_says_so(cli: Cli) -> None:
    for command in (("topics", "check"), ("topics", "ensure"), ("dlq", "list"), ("events", "tail")):
        ran = cli(*command, BAYSWITCH_KAFKA_BOOTSTRAP="127.0.0.1:1")
        assert ran.code == 4, command
        assert "BrokerUnavailable" in ran.err


# --- events tail -----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def log(bootstrap: str) -> list[SettlementFact]:
    """Twenty events of two debtor agents, half of them e-CNY over another rail, and a window of the first ten offsets."""
    facts = [fact(agent, number) for number in range(1, 11) for agent in ("ALFA", "BRAVO")]
    facts = [_other(one) if one.sequence > 5 else one for one in facts]
    asyncio.run(_fill(bootstrap, facts))
    return facts


def _other(one: SettlementFact) -> SettlementFact:
    entries = tuple(Entry(entry.participant, Asset.ECNY, entry.amount_minor) for entry in one.entries)
    return one._replace(rail="ecny", entries=entries)


async def _fill(bootstrap: str, facts: Sequence[SettlementFact]) -> None:
    await ensure(bootstrap, TOPICS)
    assert await check(bootstrap, TOPICS) == []
    payments, windows = TopicWriter(bootstrap, TOPICS.payment), TopicWriter(bootstrap, TOPICS.window)
    await payments.write([(key(one), encode(one), headers(one)) for one in facts])
    ranges = tuple(LogRange(partition, 0, 7) for partition in range(3))
    moves = [
        Window("hkd-rtgs", 1, WindowState.OPEN, START_MS, tuple(each._replace(to_offset=0) for each in ranges)),
        Window("hkd-rtgs", 1, WindowState.CUT, START_MS, ranges),
        Window("hkd-rtgs", 2, WindowState.OPEN, START_MS, tuple(LogRange(each.partition, 7, 0) for each in ranges)),
    ]
    for sequence, window in enumerate(moves, 1):
        one = Announcement("", sequence, START_MS, window)
        await windows.write([(announcement_key(one), encode_announcement(one), announcement_headers(one))])
    for writer in (payments, windows):
        await writer.close()


def test_the_latest_events_one_a_line(cli: Cli, log: list[SettlementFact]) -> None:
    ran = cli("events", "tail", "--count", "4")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert [line.split()[1:3] for line in lines] == [["ALFA", "9"], ["BRAVO", "9"], ["ALFA", "10"], ["BRAVO", "10"]]
    one = log[-1]
    assert lines[-1].startswith("2026-11-23T06:00:00.050Z  BRAVO 10  COMMITTED  ecny  " + one.uetr)
    assert lines[-1].endswith("BRAVO ECNY 10.00, FPSGATE ECNY -10.00")
    aborted = next(line for line in cli("events", "tail", "--count", "20").out.splitlines() if "ALFA 7 " in line)
    assert aborted.endswith("  CREDITOR_ACCOUNT_CLOSED")


def test_events_as_before_and_as_data(cli: Cli, log: list[SettlementFact]) -> None:
    found = cli("events", "--topic", "--json").json
    assert {row["uetr"] for row in found} == {one.uetr for one in log}
    assert "note" not in found[0]
    lines = cli("events", "tail", "--json", "--count", "100").out.splitlines()
    assert sorted(map(json.loads, lines), key=str) == sorted(found, key=str)
    first = cli("events", "--topic", "--count", "3")
    assert (len(first.out.splitlines()), "there are more" in first.err) == (1 + 3, True)


def test_the_events_of_a_window_are_those_its_arrangement_takes(cli: Cli, log: list[SettlementFact]) -> None:
    """Seven of each agent are before the cut, five of them HKD."""
    found = [json.loads(line) for line in cli("events", "tail", "--window", "hkd-rtgs.1", "--json").out.splitlines()]
    assert {row["uetr"] for row in found} == {one.uetr for one in log if one.sequence <= 5}
    assert cli("events", "tail", "--window", "hkd-rtgs.2").out == "", "the others are e-CNY"
    followed = cli("events", "tail", "--window", "hkd-rtgs.1", "--follow")
    assert (followed.code, len(followed.out.splitlines())) == (0, 10), "a window that is cut has its last event"


@pytest.mark.parametrize(("window", "says"), [("hkd-rtgs.9", "no window hkd-rtgs.9"), ("hkd", "is no window")])
def test_a_window_that_never_was(cli: Cli, log: list[SettlementFact], window: str, says: str) -> None:
    ran = cli("events", "tail", "--window", window)
    assert ran.code == 2
    assert says in ran.err


def test_following_goes_on_with_what_comes_until_ctrl_c(cli: Cli, bootstrap: str, log: list[SettlementFact]) -> None:
    command = [sys.executable, "-m", "switch", "events", "tail", "--follow", "--count", "1", "--json"]
    environment = {**os.environ, **cli.environment}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as following:
        assert following.stdout is not None
        try:
            assert json.loads(following.stdout.readline())["sequence"] == 10
            asyncio.run(_put(bootstrap, fact("CHARLIE", 1)))
            assert json.loads(following.stdout.readline())["debtor_agent"] == "CHARLIE"
            following.send_signal(signal.SIGINT)
            assert following.wait(60) == 130
        finally:
            following.kill()


async def _put(bootstrap: str, one: SettlementFact) -> None:
    writer = TopicWriter(bootstrap, TOPICS.payment)
    await writer.write([(key(one), encode(one), headers(one))])
    await writer.close()


# --- dead letters ----------------------------------------------------------------------------------------------------
def test_dead_letters_are_listed_replayed_and_discarded(cli: Cli, bootstrap: str, log: list[SettlementFact]) -> None:
    late = fact("DELTA", 1)
    record = LogRecord(1, 500, b"DELTA", encode(late), headers(late))
    asyncio.run(_bury(bootstrap, [Poisoned(record, "NO_ARRANGEMENT", "none"), _broken(501), _broken(502)]))
    shown = cli("dlq", "list")
    assert shown.code == 0
    assert [line.split()[:2] for line in shown.out.splitlines()[1:]] == [
        ["0/0", "NO_ARRANGEMENT"], ["0/1", "MALFORMED"], ["0/2", "MALFORMED"],
    ]  # fmt: skip
    rows = cli("dlq", "list", "--json").json
    assert rows[0]["event_id"] == late.event_id
    assert (rows[1]["value_base64"], rows[2]["origin_offset"]) == (base64.b64encode(b"\xff").decode(), 502)
    assert cli("dlq", "replay", "0/0").out == f"0/0  replayed  {late.event_id}\n"
    assert cli("events", "--topic", "--json").json[-1]["debtor_agent"] in {"ALFA", "BRAVO", "CHARLIE", "DELTA"}
    assert late.uetr in cli("events", "--topic").out
    again = cli("dlq", "replay", "0/0")
    assert (again.code, "is no open dead letter" in again.err) == (2, True)
    gone = cli("dlq", "discard", "0/1", "--why", "a test record", "--as", "TREASURY", "--json").json
    assert (gone["dealt"], gone["code"]) == ("discarded", "MALFORMED")
    assert [row["place"] for row in cli("dlq", "list", "--json").json] == ["0/2"]
    every = cli("dlq", "list", "--all", "--json").json
    assert [(row["dealt"], row["dealt_by"], row["dealt_reason"]) for row in every] == [
        ("replayed", "OPERATOR", ""), ("discarded", "TREASURY", "a test record"), ("", "", ""),
    ]  # fmt: skip


def _broken(offset: int) -> Poisoned:
    return Poisoned(LogRecord(2, offset, b"ALFA", b"\xff", []), "MALFORMED", "ce_specversion: CloudEvents 1.0")


async def _bury(bootstrap: str, poisoned: Sequence[Poisoned]) -> None:
    letters = DeadLetters(bootstrap, TOPICS.dlq)
    await letters.bury(poisoned)
    await letters.close()
