"""What was said to a server is said again to another one, and the same is there afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.valkey import Valkey, run_valkey
from loadtest.recording import commands_of, recorder, say_again
from loadtest.store_bench import AGENT, hold_of, opened, pay

pytestmark = pytest.mark.usefixtures("patient_store")
COUNT = 300


@pytest.fixture
def another(tmp_path: Path) -> Iterator[Valkey]:
    with run_valkey(tmp_path / "another") as server:
        yield server


async def taken_down(server: Valkey) -> list[bytes]:
    async with recorder(server.port) as (url, written), opened(url) as store:
        await pay(store, [hold_of(number) for number in range(COUNT)])
    return commands_of(written.said, b"s0")


async def test_the_other_server_ends_the_same(own_valkey: Valkey, another: Valkey) -> None:
    commands = await taken_down(own_valkey)
    assert say_again(another.port, commands) > 0
    figures = ("HMGET", f"agent:{{s0}}:{AGENT}", "seq", "cap:HKD", "held:HKD", "spent:HKD")
    for command in (("XLEN", "outbox:{s0}"), figures, ("HGETALL", "books:{s0}")):
        assert another.command(*command) == own_valkey.command(*command)
    assert another.command("XLEN", "outbox:{s0}") == COUNT


async def test_a_refused_command_is_not_taken_for_an_answer(own_valkey: Valkey, another: Valkey) -> None:
    """A server that refuses everything would look fast."""
    commands = await taken_down(own_valkey)
    finishing = commands[-1]
    with pytest.raises(RuntimeError, match="no such payment"):
        say_again(another.port, [*(each for each in commands if b"LOAD" in each[:40]), finishing])
    with pytest.raises(RuntimeError, match="unknown command"):
        say_again(another.port, [b"*1\r\n$4\r\nNONO\r\n"])


def test_only_what_is_of_a_shard_is_said_to_it_and_every_script() -> None:
    def said(*words: bytes) -> bytes:
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)

    script = b"return 'a\r\nb'"
    first, second = said(b"EVAL", script, b"1", b"a:{s0}"), said(b"EVALSHA", b"0" * 40, b"1", b"a:{s1}")
    load = said(b"SCRIPT", b"LOAD", script)
    assert commands_of([first, said(b"PING"), second], b"s1") == [load, second]
    assert commands_of([first, said(b"PING"), second], b"s0") == [load, first]
