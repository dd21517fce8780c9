"""Faults planted on purpose while the load runs: a gate that does not find them is worth nothing."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final

from deploy.local.standstill import pause
from loadtest.system import System

__all__ = ["PLANTS"]

SLOW_RAIL: Final = "hkfps"
SLOW_MS: Final = 50
OUTBOX: Final = "outbox:{s0}"
PAUSE_SECONDS: Final = 0.02
STOPPED_AFTER_SECONDS: Final = 1.5  # of load
STOPPED_SECONDS: Final = 2


@contextlib.contextmanager
def _hand(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """`work` runs in a thread of its own beside the block; it is given what is set when the block is over."""
    over = threading.Event()
    hand = threading.Thread(target=work, args=(over,), name="plant")
    hand.start()
    try:
        yield
    finally:
        over.set()
        hand.join()


def _go_on(pids: Iterable[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def _slow_rail(system: System) -> Iterator[None]:
    """Every message of one rail takes SLOW_MS longer."""
    assert system.sandbox is not None, "faults are planted in a system started here"
    system.sandbox.control(SLOW_RAIL, "fault", fault=f"slow:{SLOW_MS}")
    yield


@contextlib.contextmanager
def _lost_event(system: System) -> Iterator[None]:
    """One entry of the outbox is dropped before it is published. The relay holds still meanwhile.

    Raises AssertionError: no payment came, so there was nothing to drop.
    """
    assert system.settlement is not None, "faults are planted in a system started here"
    store, relay = system.settlement.store, system.parts()["relay"]
    dropped = threading.Event()

    def drop(over: threading.Event) -> None:
        try:
            while not (dropped.is_set() or over.wait(PAUSE_SECONDS)):
                entries: Any = store.command("XRANGE", OUTBOX, "-", "+", "COUNT", 1)
                if entries and store.command("XDEL", OUTBOX, entries[0][0]):
                    dropped.set()
        finally:
            _go_on(relay)

    for pid in relay:
        pause(pid)
    with _hand(drop):
        yield
    assert dropped.is_set(), "no event came that could be dropped"


@contextlib.contextmanager
def _stopped_switch(system: System) -> Iterator[None]:
    """The switch stands still for STOPPED_SECONDS, once: whoever is due then waits, and must be seen to have waited."""
    assert system.settlement is not None, "faults are planted in a system started here"
    store, switch = system.settlement.store, system.parts()["switch"]

    def stop(over: threading.Event) -> None:
        paid = False
        while not paid and not over.wait(PAUSE_SECONDS):
            paid = bool(store.command("XLEN", OUTBOX))
        if over.wait(STOPPED_AFTER_SECONDS):
            return
        try:
            for pid in switch:
                pause(pid)
            over.wait(STOPPED_SECONDS)
        finally:
            _go_on(switch)

    with _hand(stop):
        yield


PLANTS: Final[dict[str, Callable[[System], AbstractContextManager[None]]]] = {
    "slow-rail": _slow_rail,
    "lost-event": _lost_event,
    "stopped-switch": _stopped_switch,
}
