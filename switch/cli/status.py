"""`bayswitch status`: what waits, how long, and what an operator has to look at."""

import sys
from typing import Any, Final

from switch.app import SystemClock, run
from switch.cli.options import ConfigFile, Json, settings_of
from switch.cli.output import print_json, table
from switch.cli.stores import opened_books
from switch.domain.settlement import WindowState
from switch.errors import ArchiveUnavailable, BrokerUnavailable
from switch.events.dead_letters import DeadLetters
from switch.events.log import KafkaLog
from switch.events.topics import topics_of
from switch.limits import WINDOWS_READ_MAX
from switch.settings import Settings
from switch.store import Store

__all__ = ["command"]

_UNSENT_MS_MAX: Final = 10_000  # an outbox that is older is not slow, it is stuck
_ATTENTION: Final = 1


def command(config: ConfigFile = None, json: Json = False) -> None:
    """What waits: the outbox and its oldest event, open payments, the settler's lag, windows, gaps, dead letters.

    Exit code: 0 all is well, 1 something is to be looked at.
    """
    settings = settings_of(config)
    rows = run(_rows(settings), settings)
    if json:
        print_json(rows)
    else:
        table(
            "status",
            ("what", "figure", "", "look"),
            [(row["what"], row["figure"], row["note"], "!" if row["look"] else "") for row in rows],
            right=("figure",),
        )
    sys.exit(_ATTENTION if any(row["look"] for row in rows) else 0)


def _row(what: str, figure: int | str, note: str = "", *, look: bool = False) -> dict[str, Any]:
    return {"what": what, "figure": figure, "note": note, "look": look}


async def _rows(settings: Settings) -> list[dict[str, Any]]:
    async with opened_books(settings) as (store, archive):
        rows = await _payments(store)
        if settings.kafka_bootstrap:
            rows += await _settlement(settings, store)
        try:
            await archive.start()
        except ArchiveUnavailable as error:
            return [*rows, _row("archive", "down", f"settlement waits: {error}", look=True)]
        return [*rows, _row("archive", "ok")]


async def _payments(store: Store) -> list[dict[str, Any]]:
    now_ms = SystemClock().now_ms()
    depth, oldest_ms = await store.payments.outbox_depth()
    unsent_ms = max(0, now_ms - oldest_ms) if oldest_ms else 0
    held, first_ms = await store.payments.holds()
    return [
        _row("events in the outbox", depth, f"oldest {unsent_ms} ms" if depth else "", look=unsent_ms > _UNSENT_MS_MAX),
        _row("open payments", held, f"oldest {now_ms - first_ms} ms; see `bayswitch recover`" if held else ""),
    ]


async def _settlement(settings: Settings, store: Store) -> list[dict[str, Any]]:
    progress, gaps = await store.settlements.progress(), await store.settlements.gaps()
    windows = await store.settlements.windows("", WINDOWS_READ_MAX)
    counts = {state: sum(1 for window in windows if window.state is state) for state in WindowState}
    unpaid = counts[WindowState.PARTIALLY_SETTLED]
    letters = DeadLetters(settings.kafka_bootstrap, topics_of(settings).dlq, create=False)
    try:
        ends = await KafkaLog(settings.kafka_bootstrap).ends()
        lag = sum(max(0, end - progress.offsets.get(partition, 0)) for partition, end in ends.items())
        rows = [_row("events not settled yet", lag)]
        dead = len(await letters.list())
        rows.append(_row("dead letters", dead, "see `bayswitch dlq list`" if dead else "", look=dead > 0))
    except BrokerUnavailable as error:
        rows = [_row("broker", "down", str(error), look=True)]
    finally:
        await letters.close()
    return [
        *rows,
        _row("missing events", len(gaps), "see `bayswitch windows gaps`" if gaps else "", look=bool(gaps)),
        *(_row(f"windows {state.name.lower().replace('_', ' ')}", counts[state]) for state in _SHOWN),
        _row("windows partially settled", unpaid, look=unpaid > 0),
    ]


_SHOWN: Final = (WindowState.OPEN, WindowState.CUT, WindowState.CLOSED)
