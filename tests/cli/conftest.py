"""One sandbox for the whole folder: every mock rail and a switch, as processes of their own."""

import json
from collections.abc import Iterator

import pytest

from switch.cli.sandbox import Sandbox
from tests.cli.support import Cli, enrol


@pytest.fixture(scope="package")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    running = Sandbox(tmp_path_factory.mktemp("sandbox"), signing=False)
    try:
        running.start()
        enrol(running)
        yield running
    finally:
        assert set(running.stop().values()) == {0}


@pytest.fixture(scope="package")
def cli(sandbox: Sandbox) -> Cli:
    """The command line of a person who works with the sandbox."""
    rails = {name: part.ready["address"] for name, part in sandbox.rails.items()}
    return Cli(
        {
            **sandbox.environment,
            "BAYSWITCH_SERVER": sandbox.address,
            "BAYSWITCH_RAILS": json.dumps(rails),
            "BAYSWITCH_RAIL_SIGNING": "false",
        }
    )
