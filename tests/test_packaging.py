"""What is no Python file and yet needed at run time must be in the wheel, and what builds it in the sdist."""

import tomllib
from fnmatch import fnmatch
from typing import Any

from tests.source_tree import ROOT

BUILT = (".so", ".c", ".html", ".pyc", "_pb2.pyi")  # made by the build, or left by it
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]


def data_files() -> set[str]:
    """Every file of a shipped package that is not Python and not built, from the root."""
    return {
        path.relative_to(ROOT).as_posix()
        for top in ("switch", "adapters", "proto/bayswitch", "deploy")
        for path in (ROOT / top).rglob("*")
        if path.is_file()
        and path.suffix != ".py"
        and not path.name.endswith(BUILT)
        and not {"libs", ".cache", "__pycache__"} & set(path.parts)
    }


def test_every_data_file_is_in_the_wheel() -> None:
    patterns = [
        f"{'proto/' if package == 'bayswitch' else ''}{package}/{pattern}"
        for package, rows in PROJECT["package-data"].items()
        for pattern in rows
    ]
    missing = {name for name in data_files() if not any(fnmatch(name, pattern) for pattern in patterns)}
    assert not missing, "add to [tool.setuptools.package-data]"
    unused = {pattern for pattern in patterns if not any(fnmatch(name, pattern) for name in data_files())}
    assert not unused


def test_every_data_file_is_in_the_sdist() -> None:
    taken: list[str] = []
    for line in (ROOT / "MANIFEST.in").read_text("utf-8").splitlines():
        command, _, rest = line.partition(" ")
        if command == "recursive-include":
            folder, *patterns = rest.split()
            taken += [f"{folder}/*{pattern.removeprefix('*')}" for pattern in patterns]
        elif command == "include":
            taken.append(rest)
    assert not {name for name in data_files() if not any(fnmatch(name, pattern) for pattern in taken)}
