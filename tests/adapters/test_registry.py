"""The line that registers the rails, and what a folder must be to stand in it."""

import ast
from pathlib import Path

import pytest

import adapters
from adapters import RAILS, load
from adapters.kit.module import RailModule

ROOT = Path(adapters.__file__).parents[1]
FILES = ("__init__.py", "client.py", "codec.py", "rules.py", "seed.toml", "simulator.py", "spec.py", "statement.py")


@pytest.mark.parametrize("name", RAILS)
def test_a_rail_is_a_folder_with_the_same_files(name: str) -> None:
    rail = RAILS[name]
    assert isinstance(rail, RailModule)
    assert rail.name == name
    assert rail.assets
    assert rail.schemes
    assert rail.institution
    for file in FILES:
        assert (ROOT / "adapters" / name / file).is_file(), file


@pytest.mark.parametrize("name", RAILS)
def test_a_rail_is_named_in_one_line_of_shipped_code(name: str) -> None:
    """Outside its folder nothing names it but the registration: Python as text constants and imports, and nothing else."""
    named = []
    for top in ("adapters", "switch"):
        for path in (ROOT / top).rglob("*.py"):
            if (ROOT / "adapters" / name) in path.parents:
                continue
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                constant = isinstance(node, ast.Constant) and node.value == name
                imported = isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"adapters.{name}")
                if constant or imported:
                    named.append(f"{path.relative_to(ROOT)}")
    assert named == ["adapters/__init__.py"]


def test_the_registry_refuses_what_is_no_rail() -> None:
    with pytest.raises(KeyError):
        RAILS["nowhere"]
    with pytest.raises(ValueError, match="twice"):
        load("one", "one")
    with pytest.raises(ModuleNotFoundError):
        load("nowhere")["nowhere"]
    with pytest.raises((AttributeError, ValueError)):
        load("wire")["wire"]
