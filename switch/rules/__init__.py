"""Corridors, limits, hours, purposes, fees, paces, rates of reference, arrangements and calendars: rows with source and date.

The rows that ship are TOML files beside this module. An operator may give a folder of files of the same names: each
replaces ours as a whole. Anything unknown, missing, doubled or at odds is a ConfigError that names file, row and field.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from switch.domain.calendar import Calendar
from switch.domain.corridor import Corridor, Fee, Hours, LimitRow, Measure, Period, Subject
from switch.domain.document import DocumentType
from switch.domain.identifiers import parse_participant_id
from switch.domain.money import ISO_MINOR_DIGITS, Asset, Rate
from switch.domain.party import Place, Scheme
from switch.domain.settlement import Arrangement
from switch.errors import ConfigError, InvalidValue
from switch.limits import AMOUNT_MINOR_MAX, CORRIDORS_MAX, PACE_MAX, RATE_TERM_MAX, ROUTE_LIMITS_MAX
from switch.rules._rows import Row, read_tables
from switch.rules._settlement import read_arrangements, read_calendars

__all__ = ["FILES", "PACE_OF_ALL", "Gateway", "ReferenceRate", "Rules", "load_rules"]

FILES: Final = (
    "rates.toml",
    "limits.toml",
    "hours.toml",
    "purposes.toml",
    "corridors.toml",
    "fees.toml",
    "calendars.toml",
    "arrangements.toml",
    "paces.toml",
)
PACE_OF_ALL: Final = "default"  # a row of paces.toml; no participant's id, for those are upper case
_SHIPPED: Final = Path(__file__).parent
_BASIS_POINTS_MAX: Final = 10_000
_Value = TypeVar("_Value")


class Gateway(NamedTuple):
    """The participant through which a rail settles, and the place of its creditors."""

    participant: str
    place: Place
    source: str


class ReferenceRate(NamedTuple):
    """A dated ratio that only limits use; nothing is paid at it."""

    base: str  # ISO 4217
    quote: str  # ISO 4217
    rate: Rate  # minor units of `base` -> minor units of `quote`
    source: str


class Rules(NamedTuple):
    """Everything the files say, checked."""

    corridors: tuple[Corridor, ...]  # in the order of the file
    fees: Mapping[str, Fee]  # by corridor id; a corridor without a row is free
    limits: Mapping[str, tuple[LimitRow, ...]]  # by the name before the dot of their ids, in the order of the file
    hours: Mapping[str, Hours]
    purposes: Mapping[str, str]  # name -> title for people
    rates: Mapping[str, ReferenceRate]
    gateways: Mapping[str, Gateway]  # by rail
    arrangements: Mapping[str, Arrangement]  # every asset over every rail belongs to exactly one
    calendars: Mapping[str, Calendar]
    paces: Mapping[str, int]  # payments a second by participant, PACE_OF_ALL for those without a row; 0: not bounded


def load_rules(rules_dir: Path | None = None) -> Rules:
    """Read and check all rows. `rules_dir`: a folder whose files replace the shipped ones of the same name.

    Raises:
        ConfigError: with file, row and field. Nothing is kept of a faulty set.
    """
    paths = _paths(rules_dir)
    rates = _rates(paths["rates.toml"])
    limits, counted = _limits(paths["limits.toml"], rates)
    hours = _hours(paths["hours.toml"])
    purposes = _purposes(paths["purposes.toml"])
    gateways = _gateways(paths["corridors.toml"])
    corridors = _corridors(paths["corridors.toml"], _Known(limits, counted, hours, purposes, gateways))
    fees = _fees(paths["fees.toml"], {corridor.id: corridor for corridor in corridors})
    calendars = read_calendars(paths["calendars.toml"])
    agents = {rail: gateway.participant for rail, gateway in gateways.items()}
    arrangements = read_arrangements(paths["arrangements.toml"], calendars, agents)
    paces = _paces(paths["paces.toml"], agents.values())
    return Rules(corridors, fees, limits, hours, purposes, rates, gateways, arrangements, calendars, paces)


def _paths(rules_dir: Path | None) -> dict[str, Path]:
    if rules_dir is None:
        return {name: _SHIPPED / name for name in FILES}
    if not rules_dir.is_dir():
        raise ConfigError(f"rules_dir: {rules_dir} is not a folder")
    for found in sorted(rules_dir.glob("*.toml")):
        if found.name not in FILES:
            raise ConfigError(f"rules_dir: {found.name} is unknown; one of: {', '.join(FILES)}")
    return {name: rules_dir / name if (rules_dir / name).exists() else _SHIPPED / name for name in FILES}


def _rows(path: Path, kind: str, *others: str, key: str = "id") -> Iterator[Row]:
    for found, number, data in read_tables(path, kind, *others):
        if found == kind:
            yield Row(path.name, kind, number, data, key)


def _add(row: Row, field: str, name: str, value: _Value, into: dict[str, _Value]) -> None:
    if name in into:
        raise row.wrong(field, f"{name!r} stands in the file twice")
    into[name] = value


# --- one file each ---------------------------------------------------------------------------------------------------
def _rates(path: Path) -> dict[str, ReferenceRate]:
    rates: dict[str, ReferenceRate] = {}
    for row in _rows(path, "rate"):
        base = row.known("base", row.text("base"), ISO_MINOR_DIGITS)
        quote = row.known("quote", row.text("quote"), ISO_MINOR_DIGITS)
        rate = Rate(row.integer("numerator", 1, RATE_TERM_MAX), row.integer("denominator", 1, RATE_TERM_MAX))
        _add(row, "id", row.key, ReferenceRate(base, quote, rate, row.end()), rates)
    return rates


def _limits(path: Path, rates: Mapping[str, ReferenceRate]) -> tuple[dict[str, tuple[LimitRow, ...]], dict[str, str]]:
    """Limit rows by the name before the dot, and for each row the ISO currency of the amount it counts."""
    limits: dict[str, tuple[LimitRow, ...]] = {}
    counted: dict[str, str] = {}
    for row in _rows(path, "limit"):
        group = row.key.rpartition(".")[0]
        if not group:
            raise row.wrong("id", "must be group.period, e.g. payment_connect_north.day")
        currency = row.known("currency", row.text("currency"), ISO_MINOR_DIGITS)
        reference = row.text("reference", "")
        rate = rates[row.known("reference", reference, rates)] if reference else None
        if rate is not None and rate.quote != currency:
            raise row.wrong("reference", f"{reference!r} leads to {rate.quote}, the limit is in {currency}")
        limit = LimitRow(
            row.key,
            row.member("subject", Subject),
            row.member("period", Period),
            row.member("measure", Measure),
            currency,
            row.integer("max_minor", 1, AMOUNT_MINOR_MAX),
            rate.rate if rate else None,
            row.integer("wallet_level", 1, 4, 0),
            counter=row.text("counter", ""),
            source=row.end(),
        )
        _add(row, "id", row.key, rate.base if rate else currency, counted)
        _check_counter(row, limit, limits)
        limits[group] = (*limits.get(group, ()), limit)
    return limits, counted


def _check_counter(row: Row, limit: LimitRow, limits: Mapping[str, tuple[LimitRow, ...]]) -> None:
    """What is counted together must be one rule: same subject, period, currency and maximum."""
    if not limit.counter:
        return
    earlier = {other.id: other for group in limits.values() for other in group if not other.counter}
    other = earlier[row.known("counter", limit.counter, earlier)]
    for field in ("subject", "period", "currency", "max_minor"):
        if getattr(limit, field) != getattr(other, field):
            raise row.wrong(field, f"differs from {other.id!r}, with which it is counted")


def _hours(path: Path) -> dict[str, Hours]:
    hours: dict[str, Hours] = {}
    for row in _rows(path, "hours"):
        opens, closes = row.minute("open"), row.minute("close")
        if opens >= closes:
            raise row.wrong("close", "must be after open; hours do not pass midnight")
        row.end()
        _add(row, "id", row.key, Hours(opens, closes), hours)
    return hours


def _purposes(path: Path) -> dict[str, str]:
    purposes: dict[str, str] = {}
    for row in _rows(path, "purpose"):
        title = row.text("title")
        row.end()
        _add(row, "id", row.key, title, purposes)
    return purposes


def _gateways(path: Path) -> dict[str, Gateway]:
    gateways: dict[str, Gateway] = {}
    for row in _rows(path, "rail", "corridor"):
        try:
            participant = parse_participant_id(row.text("gateway"))
        except InvalidValue as error:
            raise row.wrong("gateway", str(error)) from error
        _add(row, "id", row.key, Gateway(participant, row.member("place", Place), row.end()), gateways)
    return gateways


def _fees(path: Path, corridors: Mapping[str, Corridor]) -> dict[str, Fee]:
    fees: dict[str, Fee] = {}
    for row in _rows(path, "fee", key="corridor"):
        row.known("corridor", row.key, corridors)
        fee = Fee(row.integer("fixed_minor", 0, AMOUNT_MINOR_MAX), row.integer("basis_points", 0, _BASIS_POINTS_MAX))
        row.end()
        _add(row, "corridor", row.key, fee, fees)
    return fees


def _paces(path: Path, gateways: Iterable[str]) -> dict[str, int]:
    paces: dict[str, int] = {}
    for row in _rows(path, "pace", key="participant"):
        if row.key != PACE_OF_ALL:
            try:
                parse_participant_id(row.key)
            except InvalidValue as error:
                raise row.wrong("participant", f"{error}, or {PACE_OF_ALL!r}") from error
        per_second = row.integer("per_second", 1, PACE_MAX)
        row.end()
        _add(row, "participant", row.key, per_second, paces)
    return {**dict.fromkeys(gateways, 0), **paces}


# --- corridors -------------------------------------------------------------------------------------------------------
class _Known(NamedTuple):
    """What a corridor may refer to."""

    limits: Mapping[str, tuple[LimitRow, ...]]
    counted: Mapping[str, str]
    hours: Mapping[str, Hours]
    purposes: Mapping[str, str]
    gateways: Mapping[str, Gateway]


def _corridors(path: Path, known: _Known) -> tuple[Corridor, ...]:
    corridors: dict[str, Corridor] = {}
    taken: dict[tuple[object, ...], str] = {}
    for row in _rows(path, "corridor", "rail"):
        corridor = _corridor(row, known)
        _add(row, "id", row.key, corridor, corridors)
        for scheme in corridor.schemes:
            match = (*corridor[1:5], scheme, corridor.creditor_agent)
            if match in taken:
                raise row.wrong("schemes", f"corridor {taken[match]!r} takes {scheme.name} of the same pair already")
            taken[match] = row.key
    if not 1 <= len(corridors) <= CORRIDORS_MAX:
        raise ConfigError(f"{path.name}: holds {len(corridors)} corridors; 1 to {CORRIDORS_MAX} are taken")
    return tuple(corridors.values())


def _corridor(row: Row, known: _Known) -> Corridor:
    debtor_place, creditor_place = row.member("debtor_place", Place), row.member("creditor_place", Place)
    debit_asset, credit_asset = row.member("debit_asset", Asset), row.member("credit_asset", Asset)
    rail = row.known("rail", row.text("rail"), known.gateways)
    gateway = known.gateways[rail]
    if gateway.place is not creditor_place:
        raise row.wrong("rail", f"{rail!r} pays creditors in {gateway.place.name}")
    schemes = row.members("schemes", Scheme)
    if not schemes:
        raise row.wrong("schemes", "is empty")
    hours = known.hours[row.known("hours", row.text("hours"), known.hours)]
    purposes = tuple(row.known("purposes", purpose, known.purposes) for purpose in row.names("purposes", []))
    return Corridor(
        row.key,
        debtor_place,
        creditor_place,
        debit_asset,
        credit_asset,
        schemes,
        row.text("creditor_agent", ""),
        rail,
        gateway.participant,
        row.members("papers", DocumentType),
        purposes,
        hours,
        _limits_of(row, known, debit_asset, credit_asset),
        *_source_and_papers_from(row, known, debtor_place),
    )


def _limits_of(row: Row, known: _Known, debit_asset: Asset, credit_asset: Asset) -> tuple[LimitRow, ...]:
    """The rows of the groups a corridor names; each must count a currency the corridor has on that side."""
    limits: list[LimitRow] = []
    for group in row.names("limits", []):
        for limit in known.limits[row.known("limits", group, known.limits)]:
            asset = debit_asset if limit.measure is Measure.DEBIT else credit_asset
            if known.counted[limit.id] != asset.iso:
                raise row.wrong(
                    "limits", f"{limit.id!r} counts {known.counted[limit.id]}, the corridor has {asset.iso}"
                )
            limits.append(limit)
    if len(limits) > ROUTE_LIMITS_MAX:
        raise row.wrong("limits", f"come to {len(limits)} rows; at most {ROUTE_LIMITS_MAX} are taken")
    return tuple(limits)


def _source_and_papers_from(row: Row, known: _Known, debtor_place: Place) -> tuple[str, tuple[str, ...]]:
    """`papers_from`: "debtor" asks everybody; "institution" spares what comes in over a rail of the debtor's place.

    The institution on that rail has seen the papers, and its rail carries none of them.
    """
    papers_from = row.known("papers_from", row.text("papers_from", "debtor"), {"debtor": 0, "institution": 0})
    gateways = [gateway.participant for gateway in known.gateways.values() if gateway.place is debtor_place]
    return row.end(), tuple(gateways) if papers_from == "institution" else ()
