"""The store's better allocator: installed when it can be, said when not, and taken by every server we start."""

import os
from pathlib import Path

import pytest

from deploy.local import allocator
from deploy.local.valkey import run_valkey


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without jemalloc, seen as root; what a test writes into it is all there is on the path."""
    monkeypatch.setattr(allocator, "find_library", lambda _name: None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def _apt_get(bare: Path, text: str) -> None:
    (bare / "apt-get").write_text(f"#!/bin/sh\n{text}\n")
    (bare / "apt-get").chmod(0o755)


def test_what_is_there_is_left_alone(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "find_library", lambda name: f"lib{name}.so.2")
    assert allocator.ensure() == ""


def test_the_package_is_installed(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _apt_get(bare, f'echo "$DEBIAN_FRONTEND $*" >> "{bare}/said"')
    allocator.main()
    update, install = (bare / "said").read_text().splitlines()
    assert update == "noninteractive -q update"
    assert install.startswith("noninteractive -q install -y --no-install-recommends ")
    assert install.endswith(f" {allocator.PACKAGE}")
    assert capsys.readouterr().err == ""


def test_who_cannot_install_it_hears_how_and_goes_on(
    bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without = "the store works without jemalloc, and costs a quarter more"
    assert allocator.ensure() == f"{without}; root can `apt-get install libjemalloc2` on Debian", "no apt-get"
    _apt_get(bare, "echo no network; exit 100")
    allocator.main()
    said = capsys.readouterr().err
    assert said.startswith(f"{without}: apt-get update failed; install the package `libjemalloc2` yourself:")
    assert "no network" in said
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert allocator.ensure() == f"{without}; root can `apt-get install libjemalloc2` on Debian"


def test_a_server_has_it_where_the_machine_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And starts where the machine has not: the loader passes over what is missing."""
    with run_valkey(tmp_path / "ours") as server:
        maps = Path(f"/proc/{server.pid}/maps").read_text()
    assert ("libjemalloc" in maps) == allocator.installed()
    monkeypatch.setenv("LD_PRELOAD", "libsuch-as-nobody-has.so.9")
    with run_valkey(tmp_path / "theirs") as server:
        assert "libjemalloc" not in Path(f"/proc/{server.pid}/maps").read_text(), "what somebody chose is left alone"
