"""One sandbox for all tests that leave it as they found it: real processes, over a Valkey of its own."""

from collections.abc import Callable, Iterator

import pytest

from deploy.local.valkey import run_valkey
from switch.cli.sandbox import Sandbox, load_scenario
from tests.system.support import Provider, payments_in

MESSAGE_VALID_MS = 10_000  # longer than a rail is waited for: "never seen" is heard before it may be believed


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Started when first asked for, with signatures on; every part must end with 0."""
    directory = tmp_path_factory.mktemp("sandbox")
    with run_valkey(directory / "valkey") as server:
        environment = {"BAYSWITCH_REDIS_URL": server.url, "BAYSWITCH_RAIL_MESSAGE_VALID_MS": str(MESSAGE_VALID_MS)}
        sandbox = Sandbox(directory, environment)
        try:
            sandbox.start()
            sandbox.enrol(load_scenario())
            yield sandbox
        finally:
            ended = sandbox.stop()
    assert not any(ended.values()), ended


@pytest.fixture
def provider(running: Sandbox) -> Iterator[Callable[[str], Provider]]:
    """participant -> its client at the shared sandbox."""
    with payments_in(running) as providers:
        yield providers
