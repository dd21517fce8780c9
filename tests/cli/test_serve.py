"""`bayswitch serve` as a process: how it ends, what a signal does, what a wrong rule file does not."""

import json
import threading
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from switch.cli.processes import NotReady, Part, start_part
from switch.cli.sandbox import Sandbox
from tests.cli.support import Cli, Ran, until
from tests.cli.test_payments import KNOWN

SIGHUP = 1
ROUTE = ("check-route", "HKD", "--scheme", "mobile", "--from-place", "HK", "--to-place", "HK", "--credit", "HKD")


@pytest.fixture
def own_switch(cli: Cli, tmp_path: Path) -> Iterator[Part]:
    """A switch of one test's own, with its own store and rules, on the sandbox's rails."""
    rules = tmp_path / "rules"
    rules.mkdir()
    shared = Path(cli.environment["BAYSWITCH_RULES_DIR"]) / "hours.toml"
    (rules / "hours.toml").write_text(shared.read_text("utf-8"), "utf-8")
    mine = {
        "BAYSWITCH_DATA_DIR": str(tmp_path / "data"),
        "BAYSWITCH_LISTEN_PORT": "0",
        "BAYSWITCH_RULES_DIR": str(rules),
    }
    part = start_part("switch", "serve", environment={**cli.environment, **mine}, directory=tmp_path)
    yield part
    part.stop()


@pytest.fixture
def wallet(cli: Cli, own_switch: Part) -> Cli:
    here = Cli({**cli.environment, "BAYSWITCH_SERVER": own_switch.ready["address"]})
    create = ("participants", "create", "HKWALLET", "A", "--place", "HK", "--cap", "HKD 100.00", "--why", "a test")
    gateway = ("participants", "create", "GW_HKFPS", "G", "--place", "HK", "--role", "gateway", "--cap", "HKD 1.00")
    assert here(*create).code == 0
    assert here(*gateway, "--why", "a test").code == 0
    return Cli({**here.environment, "BAYSWITCH_PARTICIPANT": "HKWALLET"})


def test_sigterm_lets_running_calls_end(wallet: Cli, own_switch: Part, sandbox: Sandbox) -> None:
    """NOT_SERVING for who balances load, the answer for who waits, 0 for who supervises."""
    sandbox.control("hkfps", "fault", fault="slow:1500", count=1)
    ended: list[Ran] = []
    uetr = str(uuid.uuid4())
    paying = threading.Thread(target=lambda: ended.append(wallet("pay", "HKD 1.00", *KNOWN, "--uetr", uetr)))
    with grpc.insecure_channel(own_switch.ready["address"]) as channel:
        watched = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""), timeout=60)
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        looking = Cli(wallet.environment)
        paying.start()
        until(lambda: bool(sandbox.control("hkfps", "messages", uetr=uetr)["messages"]), "the rail has the message")
        own_switch.process.terminate()
        assert next(watched).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watched.cancel()
    paying.join(60)
    assert ended[0].code == 0, ended
    assert own_switch.process.wait(60) == 0
    assert looking("payments").code == 4


def test_sighup_reads_the_rules_again_and_a_broken_file_changes_nothing(
    wallet: Cli, own_switch: Part, tmp_path: Path
) -> None:
    hours = tmp_path / "rules" / "hours.toml"
    kept = hours.read_text("utf-8")
    assert wallet(*ROUTE).code == 0
    hours.write_text(kept.replace('close = "24:00"', 'close = "soon"'), "utf-8")
    own_switch.process.send_signal(SIGHUP)
    until(lambda: "rules not reloaded: hours.toml" in own_switch.log.read_text(), "the fault is logged")
    assert wallet(*ROUTE).code == 0
    closed = kept.replace('open = "00:00"', 'open = "{0}"').replace('close = "24:00"', 'close = "{1}"')
    opens, closes = _not_now()
    hours.write_text(closed.format(opens, closes), "utf-8")
    own_switch.process.send_signal(SIGHUP)
    until(lambda: wallet(*ROUTE).code == 1, "the corridor is closed")
    assert "OUT_OF_HOURS" in wallet(*ROUTE).out
    hours.write_text(kept, "utf-8")
    own_switch.process.send_signal(SIGHUP)
    until(lambda: wallet(*ROUTE).code == 0, "the corridor is open again")


def test_a_taken_port_ends_with_2_and_leaves_nothing(cli: Cli, sandbox: Sandbox, tmp_path: Path) -> None:
    port = sandbox.address.rpartition(":")[2]
    mine = {"BAYSWITCH_DATA_DIR": str(tmp_path / "data"), "BAYSWITCH_LISTEN_PORT": port}
    with pytest.raises(NotReady, match=r"listen_port: .* cannot be bound"):
        start_part("switch", "serve", environment={**cli.environment, **mine}, directory=tmp_path)
    assert not (tmp_path / "data" / "valkey.pid").exists(), "its store is stopped"


def test_weaker_durability_is_refused(cli: Cli, tmp_path: Path) -> None:
    mine = {"BAYSWITCH_DATA_DIR": str(tmp_path / "data"), "BAYSWITCH_DURABILITY": "replica"}
    with pytest.raises(NotReady, match="durability=replica needs a replica"):
        start_part("switch", "serve", environment={**cli.environment, **mine}, directory=tmp_path)
    assert not (tmp_path / "data" / "valkey.pid").exists()


def test_looking_works_when_no_switch_serves(wallet: Cli, own_switch: Part, tmp_path: Path) -> None:
    assert wallet("pay", "HKD 1.00", *KNOWN).code == 0
    assert own_switch.stop() == 0
    here = {"BAYSWITCH_DATA_DIR": str(tmp_path / "data")}
    assert len(json.loads(wallet("events", "--json", **here).out)) == 1
    assert wallet("recover", "--ask", **here).code == 0
    assert not (tmp_path / "data" / "valkey.pid").exists(), "what was started to look is stopped again"


def _not_now() -> tuple[str, str]:
    """Two hours of a day in Hong Kong between which the present does not lie, not for the next hours either."""
    hour = datetime.now(timezone(timedelta(hours=8))).hour
    return ("00:00", "01:00") if 2 <= hour < 22 else ("10:00", "11:00")
