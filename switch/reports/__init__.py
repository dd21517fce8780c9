"""Statements as files: one participant's window as JSON, CSV, camt.053 and camt.054. Pure, of the standard library only."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from switch.reports.account import Account, AccountBalance, AccountLine, misfits
from switch.reports.camt import to_camt053, to_camt054
from switch.reports.plain import to_csv, to_json

__all__ = ["FORMS", "Account", "AccountBalance", "AccountLine", "Form", "misfits"]


class Form(NamedTuple):
    """One way to write an account. Equal accounts give equal bytes, always."""

    suffix: str  # of its file's name
    write: Callable[[Account], bytes]


FORMS: Final[Mapping[str, Form]] = {
    "json": Form("json", to_json),
    "csv": Form("csv", to_csv),
    "camt.053": Form("camt053.xml", to_camt053),
    "camt.054": Form("camt054.xml", to_camt054),
}
