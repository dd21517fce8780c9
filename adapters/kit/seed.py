"""A seed file (TOML) -> books. Every person and number in a seed is made up.

[[institution]]  code, name, txn_max_minor?, batch_ms?, fault?
[[account]]      institution, number, holder, assets, balance_minor? {HKD = 1}, state?, tier?, document?, fault?,
                 txn_max_minor?, day_max_minor?, year_max_minor?, balance_max_minor?,
                 proxies? [{kind, value, default?}]
[[range]]        as an account, plus first and count: `number` and `holder` carry {n}, which runs from first
"""

import tomllib
from pathlib import Path
from typing import Any

from adapters.kit.books import Account, AccountState, Books, Institution
from adapters.kit.faults import Fault
from switch.domain.money import Asset
from switch.errors import ConfigError, InvalidValue

__all__ = ["load_seed"]

RANGE_COUNT_MAX = 200_000
_PLAIN = ("tier", "document", "txn_max_minor", "day_max_minor", "year_max_minor", "balance_max_minor")
_KNOWN = {*_PLAIN, "institution", "number", "holder", "assets", "balance_minor", "state", "fault", "proxies"}


def load_seed(path: Path) -> Books:
    """Raises ConfigError: the file cannot be read, or a row is wrong (names the table and its place)."""
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"seed {path.name} cannot be read: {type(error).__name__}") from error
    unknown = tables.keys() - {"institution", "account", "range"}
    if unknown:
        raise ConfigError(f"seed {path.name}: unknown table {min(unknown)}")
    books = Books()
    loaders = (("institution", _institution), ("account", _account), ("range", _range))
    for table, load in loaders:
        for place, row in enumerate(tables.get(table, ())):
            try:
                load(books, dict(row))
            except (KeyError, ValueError, TypeError, InvalidValue) as error:
                raise ConfigError(f"seed {path.name}: {table}[{place}]: {type(error).__name__} {error}") from error
    return books


def _institution(books: Books, row: dict[str, Any]) -> None:
    fault = _fault(row.pop("fault", ""))
    books.add_institution(Institution(**row, fault=fault))


def _range(books: Books, row: dict[str, Any]) -> None:
    first, count = row.pop("first"), row.pop("count")
    if not 0 < count <= RANGE_COUNT_MAX:
        raise InvalidValue("SEED", f"a range counts 1 to {RANGE_COUNT_MAX}")
    number, holder = row.pop("number"), row.pop("holder")
    proxies = row.pop("proxies", ())
    for n in range(first, first + count):
        named = [{**proxy, "value": proxy["value"].format(n=n)} for proxy in proxies]
        _account(books, {**row, "number": number.format(n=n), "holder": holder.format(n=n), "proxies": named})


def _account(books: Books, row: dict[str, Any]) -> None:
    unknown = row.keys() - _KNOWN
    if unknown:
        raise InvalidValue("SEED", f"unknown key {min(unknown)}")
    account = Account(
        institution=row["institution"],
        number=row["number"],
        holder=row["holder"],
        assets=frozenset(Asset[name] for name in row["assets"]),
        balance_minor={Asset[name]: minor for name, minor in row.get("balance_minor", {}).items()},
        state=AccountState(row.get("state", "open")),
        fault=_fault(row.get("fault", "")),
        **{key: row[key] for key in _PLAIN if key in row},
    )
    books.add_account(account)
    for proxy in row.get("proxies", ()):
        books.add_proxy(proxy["kind"], proxy["value"], account, default=proxy.get("default", True))


def _fault(text: str) -> Fault | None:
    return Fault.parse(text) if text else None
