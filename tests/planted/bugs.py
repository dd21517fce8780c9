"""The bugs that are planted: a table of exact replacements in shipped files, and the tests that must fail with each."""

import ast
import tomllib
from difflib import unified_diff
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["BUGS", "Bug", "Rotten", "bugs_of"]

_TABLE: Final = Path(__file__).with_name("bugs.toml")


class Rotten(Exception):
    """A row does not fit the code any more. The text names the bug and the file."""


class Bug(NamedTuple):
    """One row: in `file`, `text` becomes `becomes`, and each of `tests` fails."""

    kind: str  # the mistake, as people name it
    name: str
    file: str  # from the root of the checkout
    text: str
    becomes: str
    tests: tuple[str, ...]  # node ids of pytest

    def planted(self, source: str) -> str:
        """The file with the bug in it. Raises Rotten: the text is not there exactly once, or what comes is no Python."""
        found = source.count(self.text)
        if found != 1:
            raise Rotten(f"{self.name}: the text is in {self.file} {found} times, not once: mend its row in bugs.toml")
        changed = source.replace(self.text, self.becomes)
        if self.file.endswith(".py"):
            try:
                ast.parse(changed)
            except SyntaxError as error:
                raise Rotten(f"{self.name}: {self.file} with the bug is no Python: line {error.lineno}") from error
        return changed

    def difference(self, source: str) -> list[str]:
        """The lines that change: "- 12 text", with its number in the shipped file, and "+    text"."""
        shown, at = list[str](), 0
        for line in [*unified_diff(source.splitlines(), self.planted(source).splitlines(), lineterm="", n=0)][2:]:
            mark, text = line[0], line[1:]
            if mark == "@":
                at = int(text.split()[1].removeprefix("-").partition(",")[0])
            elif mark == "-":
                shown.append(f"- {at:>3} {text}")
                at += 1
            else:
                shown.append(f"+     {text}")
        return shown


def bugs_of(table: str) -> tuple[Bug, ...]:
    """Rows of a table in TOML, in order."""
    rows = tomllib.loads(table)["bug"]
    return tuple(Bug(**{**row, "tests": tuple(row["tests"])}) for row in rows)


BUGS: Final = bugs_of(_TABLE.read_text("utf-8"))
