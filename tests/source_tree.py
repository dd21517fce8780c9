"""The project's own files, read as text and syntax trees, for the tests of its shape."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["ROOT", "Import", "code_of", "files", "functions", "imports", "module_of", "name_of", "rails", "tree_of"]

ROOT: Final = Path(__file__).parents[1]
_TOPS: Final = ("switch", "adapters", "loadtest", "deploy", "tests")
_GENERATED: Final = re.compile(r"__pycache__|/\.|/build/")
_CYTHON_IMPORT: Final = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\b|c?import\s+([\w.]+))")
_CYTHON_FUNCTION: Final = re.compile(r"^( *)(?:async )?(?:cpdef|cdef|def) [^=]*?(\w+)\(")


class Import(NamedTuple):
    """One import: `path` of the importing file (posix, from the root), its line, and the module it names."""

    path: str
    line: int
    module: str


@cache
def files(*suffixes: str, tops: tuple[str, ...] = _TOPS) -> tuple[Path, ...]:
    """Files of ours with one of these suffixes, in order."""
    found = (path for top in tops for path in (ROOT / top).rglob("*"))
    return tuple(sorted(path for path in found if path.suffix in suffixes and not _GENERATED.search(str(path))))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


@cache
def rails() -> tuple[str, ...]:
    """Folders of adapters that are rails: all but what rails share."""
    folders = (path.parent.name for path in (ROOT / "adapters").glob("*/__init__.py"))
    return tuple(sorted(set(folders) - {"kit", "wire"}))


def module_of(path: Path) -> str:
    """Dotted name of a file: switch/domain/money.py -> switch.domain.money."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[Import]:
    """Every import of a file, wherever it stands; those inside functions and TYPE_CHECKING too."""
    name = name_of(path)
    if path.suffix != ".py":
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if match := _CYTHON_IMPORT.match(line):
                yield Import(name, number, match[1] or match[2])
        return
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = module_of(path).split(".")[: -node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module in ("switch", "adapters"):  # from switch import errors: the names are what is imported
                yield from (Import(name, node.lineno, f"{module}.{alias.name}") for alias in node.names)
            else:
                yield Import(name, node.lineno, module)


def functions(path: Path) -> Iterator[tuple[str, int, int]]:
    """(name, line, length in lines) of every function of a file."""
    if path.suffix == ".py":
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                yield node.name, first, (node.end_lineno or first) - first + 1
        return
    lines = path.read_text("utf-8").splitlines()
    for number, line in enumerate(lines):
        if match := _CYTHON_FUNCTION.match(line):
            yield match[2], number + 1, _cython_length(lines[number:], len(match[1]))


def _cython_length(lines: list[str], indent: int) -> int:
    """Up to the last line that is deeper than the header; a header over several lines closes at its own depth."""
    last = 1
    for number, line in enumerate(lines[1:], 2):
        text = line.strip()
        if text and len(line) - len(line.lstrip()) <= indent and not text.startswith(")"):
            break
        if text:
            last = number
    return last


def code_of(path: Path) -> str:
    """The file without comments and docstrings: what is left is code."""
    if path.suffix == ".py":
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and body:
                first = body[0]
                if (
                    isinstance(first, ast.Expr)
                    and isinstance(first.value, ast.Constant)
                    and isinstance(first.value.value, str)
                ):
                    node.body = [*body[1:], ast.Pass()]
        return ast.unparse(tree)
    text = re.sub(r'"""(?:.|\n)*?"""', "", path.read_text("utf-8"))
    return re.sub(r"--.*" if path.suffix == ".lua" else r"#.*", "", text)
