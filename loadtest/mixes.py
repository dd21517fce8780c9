"""Who pays whom how much: mixes/*.toml over people.toml. Pure data and dice; nothing here sends.

A mix says which corridors carry which share of the arrivals, how amounts are spread, and which kinds of user there are.
people.toml says for each corridor who its payers and payees are. Every person and number is made up.
"""

import math
import random
import tomllib
import uuid
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, NamedTuple

from bayswitch.v1 import common_pb2, payment_pb2

from switch.cli import values

__all__ = [
    "KINDS",
    "MIXES",
    "PEOPLE",
    "Amounts",
    "Drawn",
    "Mix",
    "Row",
    "Skew",
    "load_mix",
    "papers",
    "participants",
    "scenario_of",
]

MIXES: Final = Path(__file__).with_name("mixes")
PEOPLE: Final = Path(__file__).with_name("people.toml")
# Kinds of user, one class each in users/.
KINDS: Final = ("single", "batch", "quote", "check", "status", "watch", "replay", "cancel", "wrong")
PERSONS: Final = 900_000  # so many payers that a person's limits are met by accident only
_CAP_MINOR: Final = 9 * 10**14  # no run comes near it
_WEIGHTS_18: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


class Amounts(NamedTuple):
    """Minor units of the debit asset: a few fixed ones, or log-normal around a mean and cut off at both ends."""

    fixed: tuple[int, ...] = ()
    mean_minor: int = 0
    spread_percent: int = 0  # sigma of the logarithm
    min_minor: int = 100
    max_minor: int = 0

    def draw(self, dice: random.Random) -> int:
        if self.fixed:
            return dice.choice(self.fixed)
        sigma = self.spread_percent / 100
        drawn = round(dice.lognormvariate(math.log(self.mean_minor) - sigma * sigma / 2, sigma))
        return min(max(drawn, self.min_minor), self.max_minor)


class Row(NamedTuple):
    """One corridor of a mix."""

    corridor: str
    percent: int
    amounts: Amounts
    source: str
    people: Mapping[str, Any]


class Drawn(NamedTuple):
    """One payment to make: the instruction, without a quote where it needs one."""

    participant: str
    corridor: str
    request: Any
    credit_asset: str  # "" when it is the debit's


class Skew:
    """Ranks 0 .. count - 1, the first most often: the k-th has 1 / k^power of the first one's share."""

    def __init__(self, count: int, power_percent: int) -> None:
        self._ranks = range(count)
        self._sums = list(accumulate(1 / (rank + 1) ** (power_percent / 100) for rank in self._ranks))

    def draw(self, dice: random.Random) -> int:
        return dice.choices(self._ranks, cum_weights=self._sums)[0]


class Mix:
    """Draws payments. `institutions`: place -> how many participants pay there, some far more often than others."""

    def __init__(
        self, name: str, kinds: Mapping[str, int], rows: Sequence[Row], institutions: Mapping[str, int], skew: int
    ) -> None:
        self.name = name
        self.kinds = dict(kinds)
        self.rows = tuple(rows)
        self._plain = tuple(row for row in rows if "credit" not in row.people)
        self._priced = tuple(row for row in rows if "credit" in row.people)
        self._institutions = institutions
        self._payers = {place: Skew(count, skew) for place, count in institutions.items()}
        self._payees = {row.corridor: Skew(row.people["payee"]["count"], 100) for row in rows}

    def draw(self, dice: random.Random) -> Drawn:
        """The next payment, with ids of its own, from `dice` alone."""
        return self._drawn(self.rows, dice)

    def draw_plain(self, dice: random.Random) -> Drawn:
        """One that needs no quote: what goes into a file of payments."""
        return self._drawn(self._plain, dice)

    def draw_priced(self, dice: random.Random) -> Drawn:
        """One between two assets."""
        return self._drawn(self._priced, dice)

    def _drawn(self, rows: Sequence[Row], dice: random.Random) -> Drawn:
        row = dice.choices(rows, [row.percent for row in rows])[0]
        people = row.people
        place = people["debtor_place"]
        request = payment_pb2.SubmitPaymentRequest(
            request_id=_uuid(dice),
            uetr=_uuid(dice),
            end_to_end_id=f"LOAD-{dice.randrange(10**9)}",
            debit=common_pb2.Money(asset=people["debit"], amount_minor=row.amounts.draw(dice)),
            debtor=_payer(people, dice.randrange(PERSONS)),
            creditor=self._payee(row, dice),
            creditor_agent=people["payee"].get("agent", ""),
            purpose=people.get("purpose", ""),
        )
        rank = self._payers[place].draw(dice)
        return Drawn(participants(self._institutions)[place][rank], row.corridor, request, people.get("credit", ""))

    def _payee(self, row: Row, dice: random.Random) -> common_pb2.Party:
        payee = row.people["payee"]
        n = payee["first"] + self._payees[row.corridor].draw(dice)
        name, account = payee["name"].format(n=n), payee["account"].format(n=n)
        return values.party(name, row.people["creditor_place"], payee["scheme"], account)


def _payer(people: Mapping[str, Any], person: int) -> common_pb2.Party:
    place, kind = people["debtor_place"], people.get("papers", "")
    papers_text = f"{kind}:{papers(kind, person)}" if kind else ""
    return values.party(f"LOAD PAYER {person}", place, "ACCOUNT", f"{place}-LOAD-{person}", papers_text)


def participants(institutions: Mapping[str, int]) -> dict[str, list[str]]:
    """place -> ids of the participants that pay there; the first is the sandbox's own wallet."""
    return {
        place: [f"{place}WALLET", *(f"{place}WALLET_{number}" for number in range(2, count + 1))]
        for place, count in institutions.items()
    }


def scenario_of(institutions: Mapping[str, int], scenario: Mapping[str, Any]) -> dict[str, Any]:
    """The sandbox's scenario with the mix's participants and rates, all caps so high that no run comes near them."""
    known = {row["id"]: row for row in scenario["participant"]}
    rows = [*known.values()]
    for ids in participants(institutions).values():
        rows += [{**known[ids[0]], "id": each, "name": f"Load wallet {each}"} for each in ids[1:]]
    cap = f"{_CAP_MINOR // 100}.00"
    raised = [{**row, "caps": [f"{text.split()[0]} {cap}" for text in row["caps"]]} for row in rows]
    rates = tomllib.loads(Path(__file__).with_name("rates.toml").read_text("utf-8"))["rate"]
    return {**scenario, "participant": raised, "rate": [*scenario["rate"], *rates]}


def papers(kind: str, person: int) -> str:
    """The number of a document of a made-up person, with its check character (rails.md E1)."""
    return _PAPERS[kind](person)


def _hkid(person: int) -> str:
    """One letter and six digits: a letter per 100,000 persons."""
    letter, digits = chr(ord("A") + person // 100_000), f"{100_000 + person % 100_000}"
    total = 36 * 9 + (ord(letter) - 55) * 8
    total += sum(int(digit) * weight for digit, weight in zip(digits, range(7, 1, -1), strict=True))
    return f"{letter}{digits}({'0123456789A'[-total % 11]})"


def _mainland_id(person: int) -> str:
    """Born on one of the first 28 days of a month of 1970 to 1999, in a made-up order."""
    day, rest = person % 28 + 1, person // 28
    month, rest = rest % 12 + 1, rest // 12
    year, number = 1970 + rest % 30, rest // 30
    first = f"440305{year}{month:02d}{day:02d}{number:03d}"
    total = sum(int(digit) * weight for digit, weight in zip(first, _WEIGHTS_18, strict=True))
    return first + "10X98765432"[total % 11]


def _macau_bir(person: int) -> str:
    return f"1{person:06d}({person % 10})"


_PAPERS: Final = {"HKID": _hkid, "MAINLAND_ID": _mainland_id, "MACAU_BIR": _macau_bir}


def load_mix(path: Path, institutions: Mapping[str, int], skew: int = 100) -> Mix:
    """A file like those in mixes/. Raises ValueError: shares that are not 100 %, a kind or corridor that does not exist."""
    name, table = path.stem, tomllib.loads(path.read_text("utf-8"))
    people = tomllib.loads(PEOPLE.read_text("utf-8"))
    kinds: dict[str, int] = table["kinds"]
    if unknown := kinds.keys() - set(KINDS):
        raise ValueError(f"{name}: no kind of user {min(unknown)}; there are {', '.join(KINDS)}")
    rows = [_row(name, row, people) for row in table["corridor"]]
    for what, shares in (("kinds", kinds.values()), ("corridors", [row.percent for row in rows])):
        if sum(shares) != 100 or min(shares) <= 0:
            raise ValueError(f"{name}: the shares of {what} come to {sum(shares)} %")
    if "batch" in kinds and all("credit" in row.people for row in rows):
        raise ValueError(f"{name}: batches need a corridor within one asset")
    if "quote" in kinds and not any("credit" in row.people for row in rows):
        raise ValueError(f"{name}: quotes need a corridor between two assets")
    return Mix(name, kinds, rows, institutions, skew)


def _row(mix: str, row: Mapping[str, Any], people: Mapping[str, Any]) -> Row:
    given = dict(row)
    corridor, percent, source = given.pop("id"), given.pop("percent"), given.pop("source")
    if corridor not in people:
        raise ValueError(f"{mix}: people.toml knows nobody on {corridor}")
    amounts = Amounts(**{**given, "fixed": tuple(given.get("fixed", ()))})
    if not amounts.fixed and not 0 < amounts.min_minor <= amounts.mean_minor <= amounts.max_minor:
        raise ValueError(f"{mix}: {corridor}: min_minor <= mean_minor <= max_minor")
    return Row(corridor, percent, amounts, source, people[corridor])


def _uuid(dice: random.Random) -> str:
    return str(uuid.UUID(int=dice.getrandbits(128), version=4))
