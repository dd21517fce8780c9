"""Reading rows of a TOML file: every field is asked for by name and kind, and nothing may be left over."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from switch.errors import ConfigError

__all__ = ["Row", "read_tables"]

_Member = TypeVar("_Member", bound=IntEnum)
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00", re.ASCII)
_REQUIRED: Final = object()


class Row:
    """One row. Each getter takes its field out; `end` refuses what nobody asked for."""

    def __init__(self, file: str, kind: str, number: int, data: Mapping[str, Any], key: str = "id") -> None:
        self._data = dict(data)
        self._where = f"{file}: {kind} {number}"
        self.key = self.name(key)
        self._where = f"{file}: {kind} {self.key!r}"

    def wrong(self, field: str, message: str) -> ConfigError:
        """The error to raise: file, row, field, and what to change."""
        return ConfigError(f"{self._where}: field {field!r}: {message}")

    def _take(self, field: str, kind: type, default: Any = _REQUIRED) -> Any:
        value = self._data.pop(field, default)
        if value is _REQUIRED:
            raise self.wrong(field, "is missing")
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.wrong(field, f"must be {_KIND_NAMES[kind]}")
        return value

    def text(self, field: str, default: Any = _REQUIRED) -> str:
        value: str = self._take(field, str, default)
        if default is _REQUIRED and not value.strip():
            raise self.wrong(field, "is empty")
        return value

    def name(self, field: str) -> str:
        value = self.text(field)
        if _NAME.fullmatch(value) is None:
            raise self.wrong(field, "must be 1 to 64 of A-Z a-z 0-9 _ . -")
        return value

    def names(self, field: str, default: Any = _REQUIRED) -> tuple[str, ...]:
        values: list[Any] = self._take(field, list, default)
        if not all(isinstance(value, str) for value in values):
            raise self.wrong(field, "must be a list of texts")
        if len(set(values)) != len(values):
            raise self.wrong(field, "names one thing twice")
        return tuple(values)

    def integer(self, field: str, least: int, most: int, default: Any = _REQUIRED) -> int:
        """A whole number in [least, most]; the default need not lie in it."""
        value: int = self._take(field, int, default)
        if value != default and not least <= value <= most:
            raise self.wrong(field, f"must be {least} to {most}")
        return value

    def minute(self, field: str) -> int:
        """A time HH:MM of the Hong Kong day, 24:00 its end -> minutes."""
        return self._minute(field, self.text(field))

    def minutes(self, field: str) -> tuple[int, ...]:
        return tuple(self._minute(field, text) for text in self.names(field))

    def _minute(self, field: str, text: str) -> int:
        match = _CLOCK.fullmatch(text)
        if match is None:
            raise self.wrong(field, "must be a time HH:MM, 00:00 to 24:00")
        return int(match[1]) * 60 + int(match[2]) if match[1] else 1440

    def dates(self, field: str) -> tuple[date, ...]:
        values: list[Any] = self._take(field, list)
        if not all(type(value) is date for value in values):
            raise self.wrong(field, "must be a list of dates, YYYY-MM-DD without quotes")
        if len(set(values)) != len(values):
            raise self.wrong(field, "names one day twice")
        return tuple(values)

    def member(self, field: str, kind: type[_Member]) -> _Member:
        return self._member(field, self.text(field), kind)

    def members(self, field: str, kind: type[_Member]) -> tuple[_Member, ...]:
        return tuple(self._member(field, name, kind) for name in self.names(field))

    def _member(self, field: str, name: str, kind: type[_Member]) -> _Member:
        return kind[self.known(field, name, kind.__members__)]

    def known(self, field: str, name: str, names: Mapping[str, Any]) -> str:
        """`name`, when it is one of `names`."""
        if name not in names:
            raise self.wrong(field, f"{name!r} is unknown; one of: {', '.join(sorted(names)) or 'none'}")
        return name

    def end(self) -> str:
        """The source, "where (date)"; every row says where it comes from and when that was read."""
        source, read = self.text("source"), self._take("date", date)
        if self._data:
            raise self.wrong(sorted(self._data)[0], "is unknown")
        return f"{source} ({read.isoformat()})"


_KIND_NAMES: Final = {str: "a text", int: "a whole number", list: "a list", date: "a date, YYYY-MM-DD without quotes"}


def read_tables(path: Path, *kinds: str) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    """(kind, number, fields) of every [[kind]] row of a file, in its order.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or holds another table.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path.name}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name}: is not TOML: {error}") from error
    for unknown in content.keys() - set(kinds):
        raise ConfigError(f"{path.name}: table {unknown!r} is unknown; one of: {', '.join(kinds)}")
    for kind in kinds:
        rows = content.get(kind, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ConfigError(f"{path.name}: {kind} must be rows, each headed [[{kind}]]")
        for number, row in enumerate(rows, 1):
            yield kind, number, row
