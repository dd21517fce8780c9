"""A port is given once: to this process or to another, until it is forgotten."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.local import ports
from deploy.local.ports import NoPortFree, free_ports


@pytest.fixture(autouse=True)
def own_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def test_nobody_is_given_what_another_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "LAST", ports.FIRST + 39)
    narrow = f"from deploy.local import ports; ports.LAST = {ports.LAST}; print(*ports.free_ports(10))"
    asked = [subprocess.Popen([sys.executable, "-c", narrow], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [int(word) for process in asked for word in process.communicate()[0].split()]
    told += free_ports(10)
    assert len(told) == len(set(told)) == 30
    with pytest.raises(NoPortFree, match=f"no 11 free ports between {ports.FIRST} and {ports.LAST}"):
        free_ports(11)


def test_a_port_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "LAST", ports.FIRST + 19)
    free_ports(15)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + ports.KEPT_SECONDS + 1)
    assert len(free_ports(15)) == 15
    monkeypatch.setattr(time, "monotonic", lambda: 1.0)  # the machine was started anew
    assert len(free_ports(15)) == 15


def test_who_listens_keeps_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = free_ports(1)
    monkeypatch.setattr(ports, "FIRST", port)
    monkeypatch.setattr(ports, "LAST", port)
    monkeypatch.setattr(ports, "KEPT_SECONDS", 0.0)
    assert free_ports(1) == [port]
    for taken in (port, port + ports.BUS_ABOVE):
        # With the option that servers set: connections of the last one that had the port may linger.
        with socket.create_server((ports.HOST, taken)), pytest.raises(NoPortFree):
            free_ports(1)


def test_half_a_line_is_passed_over(own_memory: Path) -> None:
    free_ports(3)
    (memory,) = own_memory.glob("bayswitch-ports-*")
    memory.write_text(memory.read_text() + "123")
    assert len(free_ports(3)) == 3
