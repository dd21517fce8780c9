"""What the README shows is what is there."""

import re
from pathlib import Path

import pytest
import typer.main

from switch.cli import application

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_consumer_it_shows_is_the_one_that_is_tested() -> None:
    (shown,) = re.findall(r"```python\n(.+?)```", README, re.DOTALL)
    assert shown == (ROOT / "tests" / "events" / "example_consumer.py").read_text("utf-8")


def test_the_commands_it_names_are_commands() -> None:
    known = set(typer.main.get_command(application()).commands)  # type: ignore[attr-defined]
    named = set(re.findall(r"^bayswitch (?:--as \w+ )?([a-z-]+)|`bayswitch ([a-z-]+)", README, re.MULTILINE))
    words = {word for pair in named for word in pair if word}
    assert words
    assert words <= known, sorted(words - known)


@pytest.mark.parametrize("target", re.findall(r"`?make ([a-z]+)", README))
def test_the_targets_it_names_are_targets(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("path", re.findall(r"`((?:tests|switch|adapters|proto|loadtest|deploy)/[\w./-]+)`", README))
def test_the_paths_it_names_are_there(path: str) -> None:
    assert (ROOT / path).exists()
