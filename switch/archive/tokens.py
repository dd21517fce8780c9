"""Page tokens: the key of the last row that was given, behind a letter for the list it belongs to."""

import re
from typing import Final

from switch.errors import Refused

__all__ = ["final_after", "final_token", "statement_after", "statement_token"]

# Numbers of these lengths are 64-bit integers, which is what the database takes.
_FINAL: Final = re.compile(r"f(\d{1,18})\.([!-~]{1,64})", re.ASCII)
_STATEMENT: Final = re.compile(r"s(\d{1,9})\.(\d{1,18})", re.ASCII)


def final_token(final_time_ms: int, uetr: str) -> str:
    return f"f{final_time_ms}.{uetr}"


def final_after(token: str) -> tuple[int, str]:
    """Where to go on; (0, "") at the beginning. Raises Refused FIELD_INVALID for a token that is not of this list."""
    if not token:
        return 0, ""
    match = _FINAL.fullmatch(token)
    if match is None:
        raise _not_ours()
    return int(match[1]), match[2]


def statement_token(partition: int, offset: int) -> str:
    return f"s{partition}.{offset}"


def statement_after(token: str) -> tuple[int, int]:
    """The partition and the first offset that was not given; (0, 0) at the beginning. Raises as `final_after`."""
    if not token:
        return 0, 0
    match = _STATEMENT.fullmatch(token)
    if match is None:
        raise _not_ours()
    return int(match[1]), int(match[2]) + 1


def _not_ours() -> Refused:
    return Refused("FIELD_INVALID", "FORMAT: this token did not come from us", field="page_token")
