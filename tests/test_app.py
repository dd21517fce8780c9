"""The composition root: what starts is closed again, also half-way; the rules change under a running switch."""

import asyncio
import fcntl
import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from switch import app
from switch import rules as switch_rules
from switch.app import Switch, check, connect_rails, identity_hash, serve
from switch.errors import ConfigError
from switch.limits import PACE_AHEAD_MS
from switch.settings import Settings, load_settings

pytestmark = pytest.mark.usefixtures("patient_store")
WAIT_S_MAX = 60
PERSONAL = "CHAN TAI MAN"


class FakeRail:
    """A rail that writes down what is done to it."""

    def __init__(self, name: str, did: list[str], trouble: BaseException | None = None, hangs: bool = False) -> None:
        self.name = name
        self._did = did
        self._trouble = trouble
        self._hangs = hangs
        self.starting = asyncio.Event()

    def listen(self, handler: object) -> None:
        self._did.append(f"{self.name} listen")

    async def start(self) -> None:
        self.starting.set()
        if self._hangs:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        if self._trouble is not None:
            raise self._trouble
        self._did.append(f"{self.name} start")

    async def close(self) -> None:
        self._did.append(f"{self.name} close")


def settings_of(directory: Path, **values: Any) -> Settings:
    plain: dict[str, Any] = {"data_dir": directory / "data", "demo_identity": True, "listen_port": 0, "drain_ms": 500}
    return load_settings({}, **{**plain, **values})[0]


def store_runs(directory: Path) -> bool:
    """Somebody holds the lock of the embedded store."""
    lock = os.open(directory / "data" / "valkey.lock", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


async def test_start_and_stop(tmp_path: Path) -> None:
    switch = Switch(settings_of(tmp_path))
    assert await switch.start() == switch.port > 0
    assert switch.durability is not None
    assert switch.durability.appendfsync == "always"
    assert store_runs(tmp_path)
    await switch.stop()
    await switch.stop()
    assert not store_runs(tmp_path)


async def test_a_start_that_fails_closes_what_had_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    did: list[str] = []
    rails = {"hkfps": FakeRail("one", did), "alipay": FakeRail("two", did, ConfigError("two: no"))}
    monkeypatch.setattr(app, "connect_rails", lambda _: rails)
    with pytest.raises(ConfigError, match="two: no"):
        await Switch(settings_of(tmp_path)).start()
    assert did == ["one listen", "two listen", "one start", "two close", "one close"]
    assert not store_runs(tmp_path)


async def test_a_closing_that_fails_does_not_keep_the_rest_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stuck(FakeRail):
        async def close(self) -> None:
            await super().close()
            raise ConnectionError("stuck")

    did: list[str] = []
    rails = {"hkfps": FakeRail("one", did), "alipay": Stuck("two", did)}
    monkeypatch.setattr(app, "connect_rails", lambda _: rails)
    switch = Switch(settings_of(tmp_path))
    await switch.start()
    with pytest.raises(ConnectionError, match="stuck"):
        await switch.stop()
    assert did[-2:] == ["two close", "one close"]
    assert not store_runs(tmp_path)


async def test_a_signal_ends_a_start_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    did: list[str] = []
    rail = FakeRail("one", did, hangs=True)
    monkeypatch.setattr(app, "connect_rails", lambda _: {"hkfps": rail})
    serving = asyncio.create_task(serve(settings_of(tmp_path), lambda _: did.append("ready")))
    await asyncio.wait_for(rail.starting.wait(), WAIT_S_MAX)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(serving, WAIT_S_MAX)
    assert did == ["one listen", "one close"]
    assert not store_runs(tmp_path)


async def test_serve_is_ready_once_and_ends_on_sigint(tmp_path: Path) -> None:
    ready: asyncio.Queue[Switch] = asyncio.Queue()
    serving = asyncio.create_task(serve(settings_of(tmp_path), ready.put_nowait))
    assert (await asyncio.wait_for(ready.get(), WAIT_S_MAX)).port
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.wait_for(serving, WAIT_S_MAX)
    assert ready.empty()
    assert not store_runs(tmp_path)


async def test_background_work_that_fails_is_started_again_and_its_text_is_not_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    runs: asyncio.Queue[int] = asyncio.Queue()
    monkeypatch.setattr(app, "BACKGROUND_RESTART_MS", 1)

    async def work() -> None:
        runs.put_nowait(1)
        raise RuntimeError(PERSONAL)

    task = asyncio.create_task(app._kept_running("recovery", work))
    for _ in range(3):
        await asyncio.wait_for(runs.get(), WAIT_S_MAX)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert "recovery stopped and is started again: RuntimeError" in caplog.text
    assert PERSONAL not in caplog.text


async def test_background_work_that_loses_a_cancel_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a library does whose answer comes together with the cancel."""
    monkeypatch.setattr(app, "BACKGROUND_END_MS", 10)
    lost = 0

    async def work() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if lost == 2:
                    raise
                lost += 1

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await app._end([task])
    assert task.cancelled()
    assert lost == 2


def test_rules_are_reloaded_as_a_whole_or_not_at_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    switch = Switch(settings_of(tmp_path, rules_dir=rules))
    before = dict(switch._fees)
    shipped = (Path(switch_rules.__file__).parent / "fees.toml").read_text("utf-8")
    (rules / "fees.toml").write_text(shipped + "\nnope = 1\n", "utf-8")
    switch.reload_rules()
    assert "rules not reloaded: fees.toml" in caplog.text
    assert switch._fees == before
    caplog.set_level(logging.INFO)
    (rules / "fees.toml").write_text("# nothing costs anything\n", "utf-8")
    pace = '[[pace]]\nparticipant = "HKWALLET"\nper_second = 1\nsource = "ours: a test"\ndate = 2026-11-26\n'
    (rules / "paces.toml").write_text(pace, "utf-8")
    switch.reload_rules()
    assert "rules reloaded" in caplog.text
    assert switch._fees == {}
    switch._paces.began("HKWALLET", 2, 0)
    assert switch._paces.wait_ms("HKWALLET", 0) == 2_000 - PACE_AHEAD_MS


def test_check_needs_every_rail_of_the_settings_to_have_a_gateway(tmp_path: Path) -> None:
    assert check(settings_of(tmp_path)).corridors
    with pytest.raises(ConfigError, match="rails: there is no rail nope"):
        check(settings_of(tmp_path, rails={"nope": "127.0.0.1:1"}))
    assert list(connect_rails(settings_of(tmp_path, rails={"hkfps": "127.0.0.1:1"}))) == ["hkfps"]


# the address of a rail -> taken?
ADDRESSES = """
127.0.0.1:7501   yes
rail.example:1   yes
[::1]:7501       yes
127.0.0.1        no
:7501            no
127.0.0.1:       no
127.0.0.1:x      no
127.0.0.1:0      no
127.0.0.1:65536  no
"""


@pytest.mark.parametrize("row", ADDRESSES.strip().splitlines())
def test_addresses_of_rails(row: str, tmp_path: Path) -> None:
    address, taken = row.split()
    settings = settings_of(tmp_path, rails={"hkfps": address})
    if taken == "yes":
        assert connect_rails(settings)
        return
    with pytest.raises(ConfigError, match="is not host:port"):
        connect_rails(settings)


def test_the_identity_key_is_made_once_and_kept(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    first = identity_hash(settings)("HKID:A123456(3)")
    assert identity_hash(settings)("HKID:A123456(3)") == first
    assert len(first) == 32
    key = tmp_path / "data" / "identity.key"
    assert (len(key.read_bytes()), key.stat().st_mode & 0o077) == (32, 0)
    given = identity_hash(settings_of(tmp_path, identity_key="shared"))("HKID:A123456(3)")
    assert given != first
    assert given == identity_hash(settings_of(tmp_path / "elsewhere", identity_key="shared"))("HKID:A123456(3)")


def test_an_identity_key_that_cannot_be_kept_is_a_setting_to_change(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a directory")
    with pytest.raises(ConfigError, match=r"data_dir: .*identity\.key cannot be kept"):
        identity_hash(settings_of(tmp_path))
