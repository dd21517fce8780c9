"""Real Valkey servers for the tests, started when first asked for, stopped at the end."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.valkey import Cluster, Valkey, run_cluster, run_valkey
from switch.store import client, grouping

PATIENCE_MS = 60_000


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server: BAYSWITCH_REDIS_URL when set, else ours. Tests share it: each uses a namespace of its own."""
    if url := os.environ.get("BAYSWITCH_REDIS_URL"):
        yield url
        return
    with run_valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url


@pytest.fixture(scope="session")
def valkey_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three masters."""
    with run_cluster(tmp_path_factory.mktemp("valkey-cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def valkey_cluster_url(valkey_cluster: Cluster) -> str:
    return valkey_cluster.url


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A server of one test's own, to be paused and killed."""
    with run_valkey(tmp_path / "valkey") as server:
        yield server


@pytest.fixture
def patient_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store in this process waits for its server while the machine stands still, or its disk: no bound of its is tested."""
    monkeypatch.setattr(client, "_BUDGET_S", PATIENCE_MS / 1000)
    monkeypatch.setattr(grouping, "STORE_CALL_MS_MAX", PATIENCE_MS)


@pytest.fixture
def embedded_dir(tmp_path: Path) -> Path:
    """An empty data directory for an embedded store."""
    return tmp_path / "data"
