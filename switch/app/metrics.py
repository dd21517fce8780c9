"""The metrics half of the composition root: what an operator watches of one process, and where it is read from."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from adapters import wire
from switch import __version__, routing
from switch.api import Server
from switch.app.settlement import Settling
from switch.app.watching import Beside
from switch.domain.payment import State
from switch.errors import ConfigError
from switch.events import Relay
from switch.events.trouble import Trouble
from switch.metrics import (
    Admin,
    Ask,
    Buckets,
    Metric,
    PathMeter,
    Row,
    Scrape,
    Sizes,
    Source,
    call_families,
    loop_families,
    made,
    path_families,
    process_families,
    watch_loop,
)
from switch.ports import Clock, Meter
from switch.settings import Settings
from switch.store import Store

__all__ = ["Metrics", "first_free"]

_AGES_S: Final = (1, 10, 60, 600, 3_600)


class Metrics:
    """The admin port of one process and everything behind it. Reads parts when it is scraped, and changes none."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._path = PathMeter()
        self.meter: Meter = self._path
        self._settings = settings
        self._clock = clock
        self._delays = Buckets()
        self._admin: Admin | None = None
        self._watching: asyncio.Task[None] | None = None

    async def start(self, store: Store, settling: Settling, server: Server, ailment: Callable[[], str]) -> int:
        """Serve. Returns the bound port. Raises ConfigError: admin_host and admin_port cannot be bound."""
        meter = self._path
        sources: dict[str, Source] = {
            "calls": lambda: call_families(meter),
            "running": lambda: made("bayswitch_calls_running", _by_name(server.running_by_kind)),
            "path": lambda: path_families(meter),
            "queues": lambda: _queues(store),
        }
        asks: dict[str, Ask] = {
            "open payments": lambda: _open_payments(store, self._clock),
            "outbox": lambda: _outbox(store, self._clock),
            "caps": lambda: _caps(store),
        }
        return await self._serve(sources, asks, settling, ailment)

    async def start_beside(self, store: Store, works: Beside) -> int:
        """Serve for a relay or a settler in a process of its own: healthy while it runs, whatever it waits for."""
        asks: dict[str, Ask] = {"outbox": lambda: _outbox(store, self._clock)} if works.relay else {}
        return await self._serve({}, asks, works, lambda: "")

    async def _serve(
        self, sources: Mapping[str, Source], asks: Mapping[str, Ask], works: Beside, ailment: Callable[[], str]
    ) -> int:
        """With what every process has."""
        delays = self._delays
        common: dict[str, Source] = {
            "build": lambda: made("bayswitch_build_info", [((__version__, _twin(routing), _twin(wire)), 1)]),
            "process": process_families,
            "events": lambda: _events(works),
            "loop": lambda: loop_families(delays),
        }
        self._watching = asyncio.create_task(watch_loop(delays))
        self._admin = Admin(Scrape({**common, **sources}, asks), ailment)
        return await first_free(self._admin, self._settings)

    async def close(self) -> None:
        """Leave the port. Safe to repeat, and before `start`."""
        if self._admin is not None:
            await self._admin.close()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait((self._watching,))


async def first_free(admin: Admin, settings: Settings) -> int:
    """Workers have the same settings: each takes the first port that is free, of as many as they are and one to replace.

    Returns the bound port. Raises ConfigError: none is free.
    """
    port = settings.admin_port
    last = port if not port or settings.workers == 1 else min(port + settings.workers, 65_535)
    while True:
        try:
            return await admin.start(settings.admin_host, port)
        except ConfigError:
            if port == last:
                raise
        port += 1


def _twin(module: object) -> str:
    return "compiled" if getattr(module, "COMPILED", False) else "plain"


# --- from memory -----------------------------------------------------------------------------------------------------
def _queues(store: Store) -> Iterator[Metric]:
    now = store.figures.queues()
    yield from made("bayswitch_store_queue_items", _by_name(now.waiting))
    yield from made("bayswitch_store_queue_deepest_items", [((), now.deepest)])
    yield from made("bayswitch_store_groups_running", [((), now.groups_running)])
    sizes = [((kind,), Sizes(counts, now.items[kind])) for kind, counts in now.sizes.items() if any(counts)]
    yield from made("bayswitch_store_group_items", sizes)


def _events(works: Beside) -> Iterator[Metric]:
    """What runs in this process; a relay or settler of its own, or of another worker, has an admin port of its own."""
    relay, settler, announcer = works.relay, works.settler, works.announcer
    yield from made("bayswitch_relay_published_total", [((), relay.published_total)] if relay else [])
    yield from made("bayswitch_relay_shards_held", [((), sum(relay.held))] if relay else [])
    yield from made("bayswitch_settler_lag_records", [((), settler.lag)] if settler else [])
    records = (
        {"applied": settler.applied_total, "repeat": settler.repeats_total, "poisoned": settler.poisoned_total}
        if settler
        else {}
    )
    yield from made("bayswitch_settler_records_total", _by_name(records))
    announced = {"windows": announcer.windows_total, "positions": announcer.positions_total} if announcer else {}
    yield from made("bayswitch_announced_total", _by_name(announced))
    watched: dict[str, Relay | Trouble | None] = {
        "relay": relay,
        "settler": settler.trouble if settler else None,
        "announcer": announcer.trouble if announcer else None,
    }
    troubles = {work: each for work, each in watched.items() if each is not None}
    yield from made("bayswitch_trouble", _by_name({work: int(each.failing) for work, each in troubles.items()}))
    last = {work: each.last_error_time_ms / 1000 for work, each in troubles.items()}
    yield from made("bayswitch_trouble_last_time_seconds", _by_name(last))


def _by_name(numbers: Mapping[str, float]) -> list[Row]:
    return [((name,), number) for name, number in numbers.items()]


# --- from the store --------------------------------------------------------------------------------------------------
async def _open_payments(store: Store, clock: Clock) -> Sequence[Metric]:
    now_ms = clock.now_ms()
    found = await store.figures.open_payments(now_ms)
    ages_s = {
        state: [max(0, now_ms - prepared_ms) / 1000 for seen, prepared_ms in found.seen if seen is state]
        for state in (State.PREPARED, State.IN_DOUBT)
    }
    older = [
        ((state.name, str(least_s)), sum(age_s >= least_s for age_s in ages))
        for state, ages in ages_s.items()
        for least_s in _AGES_S
    ]
    oldest = [((state.name,), max(ages, default=0)) for state, ages in ages_s.items()]
    return [
        *made("bayswitch_open_payments", [((), found.number)]),
        *made("bayswitch_open_payments_overdue", [((), found.overdue)]),
        *made("bayswitch_open_payments_older", older),
        *made("bayswitch_open_payment_oldest_seconds", oldest),
    ]


async def _outbox(store: Store, clock: Clock) -> Sequence[Metric]:
    depth, oldest_ms = await store.payments.outbox_depth()
    waited_ms = max(0, clock.now_ms() - oldest_ms) if oldest_ms else 0
    return [
        *made("bayswitch_outbox_entries", [((), depth)]),
        *made("bayswitch_outbox_oldest_seconds", [((), waited_ms / 1000)]),
    ]


async def _caps(store: Store) -> Sequence[Metric]:
    use, left_out = await store.figures.cap_use()
    names = [(row.participant, row.asset.name) for row in use]
    return [
        *made("bayswitch_cap_used_minor", list(zip(names, [row.used_minor for row in use], strict=True))),
        *made("bayswitch_cap_minor", list(zip(names, [row.net_debit_cap_minor for row in use], strict=True))),
        *made("bayswitch_cap_participants_left_out", [((), left_out)]),
    ]
