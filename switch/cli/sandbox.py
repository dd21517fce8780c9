"""A whole sandbox on loopback: every mock rail and the switch as processes of their own, participants and rates loaded.

`bayswitch demo` runs on it, and so do the tests that kill things.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any

from bayswitch.v1 import common_pb2, participant_pb2

from adapters import RAILS
from adapters.kit.control import control
from switch.cli import values
from switch.cli.client import Client, Target, connect
from switch.cli.processes import Part, start_part, uninterrupted

__all__ = ["OPERATOR", "Sandbox", "load_scenario"]

OPERATOR = "OPERATOR"
# Times short enough for a person who waits: a silent rail is asked after two seconds, "never seen" is final after five.
_ENVIRONMENT = {
    "BAYSWITCH_DEMO_IDENTITY": "true",
    "BAYSWITCH_HOLD_MS": "2000",
    "BAYSWITCH_ENQUIRY_FIRST_MS": "300",
    "BAYSWITCH_ENQUIRY_BACKOFF_MS_MAX": "1000",
    "BAYSWITCH_RAIL_MESSAGE_VALID_MS": "4000",
    "BAYSWITCH_CLOCK_SKEW_MS": "500",
    "BAYSWITCH_OPERATORS": json.dumps([OPERATOR]),
}


def load_scenario() -> dict[str, Any]:
    """Participants, rates and steps of the demo: data, made up from end to end."""
    return tomllib.loads(Path(__file__).with_name("demo.toml").read_text("utf-8"))


class Sandbox:
    """Starts in `start`, ends in `stop`; parts may be killed and started again in between."""

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str] | None = None,
        *,
        signing: bool = True,
        apart: bool = False,
    ) -> None:
        """`apart`: relay and settler are processes of their own, too."""
        self.directory = directory
        self.data_dir = directory / "data"
        self.rails: dict[str, Part] = {}
        self.switch: Part | None = None
        self.beside: dict[str, Part] = {}  # relay and settler, when they run apart
        self._port = 0
        self._signing = signing
        self._environment = {
            **_ENVIRONMENT,
            "BAYSWITCH_DATA_DIR": str(self.data_dir),
            "BAYSWITCH_RULES_DIR": str(_open_all_day(directory / "rules")),
            **({"BAYSWITCH_RUN_RELAY": "false", "BAYSWITCH_RUN_SETTLER": "false"} if apart else {}),
            **(environment or {}),
        }
        self._apart = apart

    def keep_port(self, port: int) -> None:
        """The switch takes this port, and again after every restart; before the first `start`."""
        self._port = port

    def start(self) -> None:
        """The rails side by side, then the switch. Raises NotReady with what a part printed."""
        with ThreadPoolExecutor(len(RAILS)) as pool:
            with uninterrupted():  # a thread that is interrupted while it is made is waited for by nobody
                begun = [pool.submit(self._start_rail, name) for name in RAILS]
            for one in begun:
                one.result()
        self.rails = {name: self.rails[name] for name in RAILS}
        self.start_switch()
        for name in ("relay", "settler") if self._apart else ():
            self.start_beside(name)

    def start_beside(self, name: str) -> None:
        """The relay or the settler."""
        self.beside[name] = start_part(name, name, environment=self._environment, directory=self.directory)

    def start_switch(self) -> None:
        """The switch, on the same port as before when it ran already."""
        environment = {
            **self._environment,
            "BAYSWITCH_LISTEN_PORT": str(self._port),
            "BAYSWITCH_RAIL_SIGNING": str(self._signing).lower(),
            "BAYSWITCH_RAILS": json.dumps({name: part.ready["address"] for name, part in self.rails.items()}),
        }
        self.switch = start_part("switch", "serve", environment=environment, directory=self.directory)
        self._port = int(self.address.rpartition(":")[2])

    def _start_rail(self, name: str) -> None:
        keys, valid_ms = self.data_dir / "keys", self._environment["BAYSWITCH_RAIL_MESSAGE_VALID_MS"]
        arguments = ("rail", "serve", name, "--keys-dir", str(keys), "--message-valid-ms", valid_ms)
        signing = "--signing" if self._signing else "--no-signing"
        # Kept as soon as it runs: `stop` ends it also when another part did not start.
        self.rails[name] = start_part(name, *arguments, signing, environment={}, directory=self.directory)

    @property
    def address(self) -> str:
        assert self.switch is not None
        return str(self.switch.ready["address"])

    @property
    def controls(self) -> dict[str, str]:
        """rail -> host:port of its control port."""
        return {name: part.ready["control"] for name, part in self.rails.items()}

    @property
    def environment(self) -> dict[str, str]:
        """What makes `bayswitch` on a shell see the same store and rails."""
        return dict(self._environment)

    def control(self, rail: str, call: str, **parameters: Any) -> dict[str, Any]:
        """One call to a rail's control port."""
        host, _, port = self.controls[rail].rpartition(":")
        return asyncio.run(control(host, int(port), call, **parameters))

    def events(self, bootstrap: str = "") -> list[dict[str, Any]]:
        """What `bayswitch events` shows: the topic once everything is published, or without a broker the outbox."""
        arguments = [sys.executable, "-m", "switch", "events", "--json", *(["--topic"] if bootstrap else [])]
        environment = {**os.environ, **self._environment}
        with tempfile.TemporaryFile() as printed:  # a thousand events are more than a pipe holds
            subprocess.run(arguments, stdout=printed, stderr=subprocess.PIPE, check=True, env=environment, timeout=60)
            printed.seek(0)
            return list(json.load(printed))

    def stop(self) -> dict[str, int]:
        """The switch first, so that what runs may end; exit status by part."""
        parts = {"switch": self.switch, **self.beside, **self.rails}
        return {name: part.stop() for name, part in parts.items() if part is not None and part.process.poll() is None}

    def enrol(self, scenario: Mapping[str, Any]) -> None:
        """Participants and rates of a scenario. Safe to repeat."""
        with connect(Target(self.address, OPERATOR)) as client:
            for row in scenario["participant"]:
                _create(client, row)
            for row in scenario["rate"]:
                rate = common_pb2.Rate(numerator=row["numerator"], denominator=row["denominator"])
                request = participant_pb2.SetRateRequest(
                    provider_id=row["provider"],
                    debit_asset=row["debit"],
                    credit_asset=row["credit"],
                    rate=rate,
                    reason=row["source"],
                )
                client.call(client.participants.SetRate, request)


def _open_all_day(folder: Path) -> Path:
    """Rules whose corridors never close, so that a sandbox shows the same at any time of the day. Hours only."""
    shipped = files("switch.rules").joinpath("hours.toml").read_text("utf-8")
    opened = re.sub("^open = .*$", 'open = "00:00"', shipped, flags=re.MULTILINE)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hours.toml").write_text(re.sub("^close = .*$", 'close = "24:00"', opened, flags=re.MULTILINE), "utf-8")
    return folder


def _create(client: Client, row: Mapping[str, Any]) -> None:
    record = participant_pb2.Participant(
        participant_id=row["id"],
        name=row["name"],
        place=values.place(row["place"]),
        roles=row["roles"],
        net_debit_caps=[values.money_message(cap) for cap in row["caps"]],
    )
    client.call(
        client.participants.CreateParticipant,
        participant_pb2.CreateParticipantRequest(participant=record, reason="sandbox"),
    )
