"""Two sandboxes for all tests that leave them as they found them: one over a Valkey of its own, one embedded."""

from collections.abc import Callable, Iterator

import pytest

from deploy.local.valkey import Valkey, run_valkey
from switch.cli.sandbox import Sandbox
from tests.system.support import SHORT_QUOTES, Provider, payments_in, started

# Longer than a rail is waited for: "never seen" is heard before it may be believed, however late a busy machine asks.
MESSAGE_VALID_MS = 20_000
QUOTE_MS = 20_000  # outlasts an outage between a quote and its payment


@pytest.fixture(scope="session")
def store_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """The server under `running`; who stops it, starts it again."""
    with run_valkey(tmp_path_factory.mktemp("system-valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory, store_server: Valkey) -> Iterator[Sandbox]:
    """Signatures on; a message of ours is valid for MESSAGE_VALID_MS, a quote for QUOTE_MS."""
    environment = {
        "BAYSWITCH_REDIS_URL": store_server.url,
        "BAYSWITCH_RAIL_MESSAGE_VALID_MS": str(MESSAGE_VALID_MS),
        "BAYSWITCH_QUOTE_MS": str(QUOTE_MS),
    }
    with started(Sandbox(tmp_path_factory.mktemp("sandbox"), environment)) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The default: the switch runs its own Valkey. Signatures off; unused quotes end soon."""
    with started(Sandbox(tmp_path_factory.mktemp("embedded-sandbox"), SHORT_QUOTES, signing=False)) as sandbox:
        yield sandbox


@pytest.fixture
def provider(running: Sandbox) -> Iterator[Callable[[str], Provider]]:
    """participant -> its client at the shared sandbox."""
    with payments_in(running) as providers:
        yield providers
