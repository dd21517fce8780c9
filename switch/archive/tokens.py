"""Page tokens: the key of the last row that was given, behind a letter for the list it belongs to."""

import re
from typing import Final

from switch.errors import Refused

__all__ = ["listed_after", "listed_token", "statement_after", "statement_token"]

# Numbers of these lengths are 64-bit integers, which is what the database takes.
_LISTED: Final = re.compile(r"([lf])(\d{1,18})\.([!-~]{1,64})", re.ASCII)
_STATEMENT: Final = re.compile(r"s(\d{1,9})\.(\d{1,18})", re.ASCII)


def listed_token(kind: str, time_ms: int, uetr: str) -> str:
    """`kind`: l for a list by preparation, f for one by the time a payment became final."""
    return f"{kind}{time_ms}.{uetr}"


def listed_after(kind: str, token: str) -> tuple[int, str] | None:
    """Where to go on; None at the beginning. Raises Refused FIELD_INVALID for a token that is not of this list."""
    if not token:
        return None
    match = _LISTED.fullmatch(token)
    if match is None or match[1] != kind:
        raise _not_ours()
    return int(match[2]), match[3]


def statement_token(partition: int, offset: int) -> str:
    return f"s{partition}.{offset}"


def statement_after(token: str) -> tuple[int, int]:
    """The partition and the first offset that was not given; (0, 0) at the beginning. Raises as `listed_after`."""
    if not token:
        return 0, 0
    match = _STATEMENT.fullmatch(token)
    if match is None:
        raise _not_ours()
    return int(match[1]), int(match[2]) + 1


def _not_ours() -> Refused:
    return Refused("FIELD_INVALID", "FORMAT: this token did not come from us", field="page_token")
