"""What the tests of every rail's end-of-day statement are made of: statements at random, one of a day, and damage."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import pytest
from hypothesis import strategies as st

from adapters.kit.module import RailModule
from adapters.kit.statement import Statement, StatementLine, day_bounds
from switch.domain.reconciliation import LineStatus
from switch.errors import CodecError

__all__ = [
    "DAY",
    "UETRS",
    "assert_statement_golden",
    "at",
    "changed",
    "damage_of",
    "statements",
]

DAY = date(2026, 11, 25)
UETRS = [f"0f1e2d3c-4b5a-4697-8897-a6b5c4d3e2f{number:x}" for number in range(16)]
_BEGIN_MS, _END_MS = day_bounds(DAY)


def at(clock: str) -> int:
    """HH:MM:SS of DAY in Hong Kong -> Unix ms."""
    hours, minutes, seconds = map(int, clock.split(":"))
    return _BEGIN_MS + ((hours * 60 + minutes) * 60 + seconds) * 1000


@st.composite
def statements(
    draw: st.DrawFn, rail: RailModule, done: str, refused: Sequence[str], reference: str = r"[0-9A-Z]{1,35}"
) -> Statement:
    """A statement of `rail` for DAY: bookings both ways, reversals, and refusals where its form lists them."""
    statuses = [LineStatus.DONE, LineStatus.REVERSED] + [LineStatus.REFUSED] * rail.statement.refusals
    lines = []
    for second in sorted(draw(st.sets(st.integers(0, (_END_MS - _BEGIN_MS) // 1000 - 1), max_size=12))):
        status = draw(st.sampled_from(statuses))
        lines.append(
            StatementLine(
                str(draw(st.uuids(version=4))),
                draw(st.sampled_from(rail.assets)),
                draw(st.integers(1, 10**11)) * draw(st.sampled_from([1, -1])),
                status,
                draw(st.sampled_from(refused)) if status is LineStatus.REFUSED else done,
                draw(st.from_regex(reference, fullmatch=True)),
                _BEGIN_MS + second * 1000,
            )
        )
    opening = {asset: draw(st.integers(-(10**11), 10**11)) for asset in rail.assets}
    return Statement(rail.institution, DAY, tuple(lines), {asset: minor for asset, minor in opening.items() if minor})


def changed(files: Mapping[str, bytes], name: str, old: str, new: str, encoding: str = "utf-8") -> dict[str, bytes]:
    """One file with one text in it changed; the text must stand there."""
    before, after = old.encode(encoding), new.encode(encoding)
    assert before in files[name], old
    return {**files, name: files[name].replace(before, after, 1)}


def damage_of(rail: RailModule, files: Mapping[str, bytes], day: date = DAY, institution: str = "") -> str:
    """How damaged files are refused: path and rule."""
    with pytest.raises(CodecError) as refused:
        rail.statement.read(files, institution or rail.institution, day)
    return f"{refused.value.path} {refused.value.rule}"


def assert_statement_golden(folder: Path, files: Mapping[str, bytes]) -> None:
    """The files of a folder, and no others. XML is indented for people; the rail writes no space between elements."""
    assert {path.name for path in folder.iterdir()} == set(files)
    for name, data in files.items():
        kept = (folder / name).read_bytes()
        if name.endswith(".xml"):
            kept = re.sub(rb">\n\s*<", b"><", kept).strip()
        assert kept == data, name
