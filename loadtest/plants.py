"""Faults planted on purpose while the load runs: a gate that does not find them is worth nothing."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
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
    over, dropped = threading.Event(), threading.Event()

    def drop() -> None:
        try:
            while not (dropped.is_set() or over.wait(PAUSE_SECONDS)):
                entries: Any = store.command("XRANGE", OUTBOX, "-", "+", "COUNT", 1)
                if entries and store.command("XDEL", OUTBOX, entries[0][0]):
                    dropped.set()
        finally:
            for pid in relay:
                os.kill(pid, signal.SIGCONT)

    for pid in relay:
        pause(pid)
    hand = threading.Thread(target=drop, name="plant")
    hand.start()
    try:
        yield
    finally:
        over.set()
        hand.join()
    assert dropped.is_set(), "no event came that could be dropped"


@contextlib.contextmanager
def _stopped_switch(system: System) -> Iterator[None]:
    """The switch stands still for STOPPED_SECONDS, once: whoever is due then waits, and must be seen to have waited."""
    assert system.settlement is not None, "faults are planted in a system started here"
    store, switch, over = system.settlement.store, system.parts()["switch"], threading.Event()

    def stop() -> None:
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
            for pid in switch:
                os.kill(pid, signal.SIGCONT)

    hand = threading.Thread(target=stop, name="plant")
    hand.start()
    try:
        yield
    finally:
        over.set()
        hand.join()


PLANTS: Final[dict[str, Callable[[System], AbstractContextManager[None]]]] = {
    "slow-rail": _slow_rail,
    "lost-event": _lost_event,
    "stopped-switch": _stopped_switch,
}
