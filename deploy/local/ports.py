"""Ports for the local servers, chosen so that no two of them are given the same one, whoever starts them.

A server binds its port seconds after it was chosen, and again after it was killed and started anew. What was given is
therefore remembered for a while, in one small file for all processes of a user.
"""

import fcntl
import os
import secrets
import socket
import tempfile
import time
from pathlib import Path

__all__ = ["HOST", "TAKEN", "free_ports"]

HOST = "127.0.0.1"
TAKEN = "Address already in use"  # what a server's log says, whatever wrote it
# Under the ephemeral ports, which the system gives to outgoing connections; a restart must find its port free.
FIRST, LAST = 10_000, 19_999
BUS_ABOVE = 10_000  # Valkey's own rule: a cluster's nodes talk to each other on the port so far above
KEPT_SECONDS = 600.0  # how long a port that was given is given to nobody else
TRIES_MAX = 1_000


class NoPortFree(Exception):
    """Every port that was tried is taken or was given to somebody lately."""


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on and nobody was given lately, their cluster bus ports free, too.

    Raises:
        NoPortFree: TRIES_MAX tries were not enough.
    """
    memory = Path(tempfile.gettempdir()) / f"bayswitch-ports-{os.getuid()}"
    descriptor = os.open(memory, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        now = time.monotonic()
        lately = _given_lately(file.read(), now)
        chosen = _choose(count, lately)
        lately.update(dict.fromkeys(chosen, now))
        file.seek(0)
        file.truncate()
        file.writelines(f"{port} {since}\n" for port, since in lately.items())
    return chosen


def _given_lately(text: str, now: float) -> dict[int, float]:
    """Port and when it was given, of those that still count; before a restart of the machine is no time at all."""
    lines = [line.split() for line in text.splitlines()]
    given = {int(words[0]): float(words[1]) for words in lines if len(words) == 2}  # a killed writer leaves half a line
    return {port: since for port, since in given.items() if 0 <= now - since < KEPT_SECONDS}


def _choose(count: int, lately: dict[int, float]) -> list[int]:
    chosen: list[int] = []
    for _ in range(TRIES_MAX):
        if len(chosen) == count:
            return chosen
        port = FIRST + secrets.randbelow(LAST + 1 - FIRST)
        if port not in lately and port not in chosen and _free(port) and _free(port + BUS_ABOVE):
            chosen.append(port)
    raise NoPortFree(f"no {count} free ports between {FIRST} and {LAST}")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection that ended keeps nobody out
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
