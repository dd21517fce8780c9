"""Patience with a broker, and of the broker, for tests whose subject is not how soon one is given up."""

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploy.local import node
from switch.events import KafkaSink
from switch.events.writer import TopicWriter

PATIENCE_MS = 60_000
SESSION = "broker.session.timeout.ms="


@pytest.fixture(scope="session")
def _long_session() -> Iterator[pytest.MonkeyPatch]:
    """A node that stood still for 3 s is fenced when it wakes, and for a moment there is no coordinator of any group."""
    assert node.PROPERTIES.count(f"{SESSION}3000") == 1
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(node, "PROPERTIES", node.PROPERTIES.replace(f"{SESSION}3000", f"{SESSION}{PATIENCE_MS}"))
        yield patched


@pytest.fixture(scope="session")
def kafka_bootstrap(_long_session: pytest.MonkeyPatch, kafka_bootstrap: str) -> str:
    """The one that nobody kills; brokers that are started after it are as they were."""
    _long_session.undo()
    return kafka_bootstrap


@pytest.fixture
def patient_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client in this process waits for its broker while the machine stands still. Limits that a test names stay."""
    modules = {
        name: importlib.import_module(f"switch.events.{name}") for name in ("broker", "log", "producer", "topics")
    }
    for module in modules.values():
        monkeypatch.setattr(module, "BROKER_ANSWER_MS_MAX", PATIENCE_MS)
    monkeypatch.setattr(modules["producer"], "SOCKETS_SECONDS_MAX", PATIENCE_MS / 1000)
    defaults: tuple[tuple[Callable[..., Any], str], ...] = (
        (TopicWriter.__init__, "stuck_ms"),
        (KafkaSink.__init__, "stuck_ms"),
        (modules["topics"].ensure, "budget_ms"),
        (modules["topics"].check, "budget_ms"),
    )
    for call, name in defaults:
        given = call.__kwdefaults__ or {}
        assert name in given
        monkeypatch.setitem(given, name, PATIENCE_MS)
