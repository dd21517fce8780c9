"""Dead letters, as an operator deals with them: look, replay, discard."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

import typer

from switch.app import run
from switch.cli.options import ConfigFile, Json, settings_of
from switch.cli.output import print_json, say, table
from switch.cli.stores import broker_of
from switch.errors import InvalidValue
from switch.events.dead_letters import DeadLetter, DeadLetters
from switch.events.topics import topics_of
from switch.settings import Settings

__all__ = ["app"]

app = typer.Typer(help="Records of the log that could not be settled.", no_args_is_help=True)
_Result = TypeVar("_Result")
Place = Annotated[str, typer.Argument(help="which one: PARTITION/OFFSET, as `dlq list` shows it")]
Actor = Annotated[str, typer.Option("--as", envvar="BAYSWITCH_PARTICIPANT", help="who does it, for the record")]


@app.command("list")
def list_letters(
    config: ConfigFile = None,
    every: Annotated[bool, typer.Option("--all", help="those that are dealt with, too")] = False,
    json: Json = False,
) -> None:
    """Open dead letters, the oldest first: what could not be settled, and why. Reading removes nothing."""
    found = _with_letters(settings_of(config), lambda letters: letters.list(dealt=every))
    if json:
        print_json([_plain(letter) for letter in found])
        return
    table(
        "dead letters",
        ("place", "code", "event", "key", "origin", "tried", "dealt with", "why"),
        (
            (
                f"{letter.partition}/{letter.offset}",
                letter.code,
                _event_id(letter) or "-",
                _text(letter.record.key),
                f"{letter.record.partition}@{letter.record.offset}",
                letter.attempts,
                letter.dealt or "-",
                letter.dealt_reason or letter.text,
            )
            for letter in found
        ),
        right=("tried",),
        fold=("why",),
    )


@app.command()
def replay(place: Place, actor: Actor = "OPERATOR", config: ConfigFile = None, json: Json = False) -> None:
    """Put the record back on the log, to be settled once more: when what it lacked is there now.

    Key, value and headers as they were; after a kill it may come twice, with the id it had, and counts once.
    """
    partition, offset = _parsed(place)
    letter = _with_letters(settings_of(config), lambda letters: letters.replay(partition, offset, actor))
    _say(letter, "replayed", json)


@app.command()
def discard(
    place: Place,
    why: Annotated[str, typer.Option(help="for the record; 1 to 140 characters")],
    actor: Actor = "OPERATOR",
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Declare that the record is never settled. It stays where it is, and is no longer listed as open."""
    partition, offset = _parsed(place)
    letter = _with_letters(settings_of(config), lambda letters: letters.discard(partition, offset, why, actor))
    _say(letter, "discarded", json)


def _with_letters(settings: Settings, work: Callable[[DeadLetters], Awaitable[_Result]]) -> _Result:
    """Raises ConfigError without a broker, BrokerUnavailable when it does not answer or the topic is missing."""

    async def worked() -> _Result:
        async with _opened(settings) as letters:
            return await work(letters)

    return run(worked(), settings)


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[DeadLetters]:
    letters = DeadLetters(broker_of(settings), topics_of(settings).dlq, create=False)
    try:
        yield letters
    finally:
        await letters.close()


def _parsed(place: str) -> tuple[int, int]:
    partition, _, offset = place.partition("/")
    if not all(part.isascii() and part.isdigit() for part in (partition, offset)):
        raise InvalidValue("DEAD_LETTER", f"{place!r} is not PARTITION/OFFSET, e.g. 0/7")
    return int(partition), int(offset)


def _say(letter: DeadLetter, done: str, json: bool) -> None:
    if json:
        print_json(_plain(letter._replace(dealt=done)))
    else:
        say(f"{letter.partition}/{letter.offset}  {done}  {_event_id(letter) or letter.code}")


def _event_id(letter: DeadLetter) -> str:
    return _text(dict(letter.record.headers).get("ce_id", b""))


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("utf-8", "backslashreplace")


def _plain(letter: DeadLetter) -> dict[str, Any]:
    """As data; the value in base64, as it was."""
    record = letter.record
    return {
        "place": f"{letter.partition}/{letter.offset}",
        "time_ms": letter.time_ms,
        "code": letter.code,
        "text": letter.text,
        "event_id": _event_id(letter),
        "attempts": letter.attempts,
        "origin_topic": letter.origin_topic,
        "origin_partition": record.partition,
        "origin_offset": record.offset,
        "key": _text(record.key),
        "headers": [[name, _text(value)] for name, value in record.headers],
        "value_base64": None if record.value is None else base64.b64encode(record.value).decode("ascii"),
        "dealt": letter.dealt,
        "dealt_by": letter.dealt_by,
        "dealt_reason": letter.dealt_reason,
    }
