"""Our records of a day against a rail's own statement of it: what is the same, what differs, and what to do about it.

Amounts carry the rail's sign: > 0 was paid into an account there, < 0 was taken out of one. A payment belongs to the
day when either of us dates it there, so one near midnight is looked for on both sides of it. Nothing here changes a
record: what is wrong is put right by a new entry, never by another one's change.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import Enum, StrEnum
from typing import Final, NamedTuple, Protocol

from switch.domain.money import Asset, Money
from switch.domain.payment import State

__all__ = [
    "AssetTotal",
    "Booking",
    "LineStatus",
    "OurPayment",
    "Reconciliation",
    "Row",
    "Standing",
    "TheirPayment",
    "Verdict",
    "compare",
]


# --- what is compared ------------------------------------------------------------------------------------------------
class LineStatus(StrEnum):
    """What one line of a statement says became of a payment."""

    DONE = "done"
    REFUSED = "refused"  # for information: nothing was booked
    REVERSED = "reversed"  # a booking that takes an earlier one back, in whole or in part


class Booking(Protocol):
    """One line of a rail's statement."""

    @property
    def uetr(self) -> str: ...
    @property
    def asset(self) -> Asset: ...
    @property
    def amount_minor(self) -> int: ...
    @property
    def status(self) -> LineStatus: ...
    @property
    def code(self) -> str: ...
    @property
    def reference(self) -> str: ...
    @property
    def time_ms(self) -> int: ...


class OurPayment(NamedTuple):
    """Our record of one payment over the rail, in either direction."""

    uetr: str
    state: State
    rail: str
    asset: Asset  # what the rail books: the credit of a payment to it, the debit of one from it
    amount_minor: int  # as the rail would book it
    time_ms: int  # when it ended; of one that is still open, when it was prepared


class TheirPayment(NamedTuple):
    """Every line of one UETR, taken together."""

    uetr: str
    amounts: tuple[Money, ...]  # what is left of the bookings, by asset; () when nothing is
    status: LineStatus
    code: str  # of the last line
    reference: str
    time_ms: int  # of the first line


# --- what is found ---------------------------------------------------------------------------------------------------
class Verdict(Enum):
    """How two records of one payment stand to each other."""

    SAME = "same"
    OURS_ONLY = "ours only"
    THEIRS_ONLY = "theirs only"
    AMOUNT_DIFFERS = "amount differs"
    STATE_DIFFERS = "state differs"


class Row(NamedTuple):
    """One payment. `advice` is what the operator does; "" when it is the same."""

    verdict: Verdict
    uetr: str
    ours: OurPayment | None
    theirs: TheirPayment | None
    advice: str


class AssetTotal(NamedTuple):
    """Money of the compared payments of one asset. The rows that are not SAME explain the difference."""

    asset: Asset
    ours_minor: int
    theirs_minor: int

    @property
    def difference_minor(self) -> int:
        """> 0: the rail booked more into its accounts than we have paid."""
        return self.theirs_minor - self.ours_minor


class Reconciliation(NamedTuple):
    """Every payment of the day that both know or either paid, in order of time, and the sums of both sides."""

    rows: tuple[Row, ...]
    totals: tuple[AssetTotal, ...]

    @property
    def differences(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.verdict is not Verdict.SAME)

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """How many rows of each kind, zeros included."""
        found = Counter(row.verdict for row in self.rows)
        return {verdict: found[verdict] for verdict in Verdict}


# --- the table -------------------------------------------------------------------------------------------------------
class Standing(Enum):
    """What one side says of a payment."""

    ABSENT = "absent"
    OPEN = "open"  # ours alone: the rail has not told yet how it ended
    PAID = "paid"
    REFUSED = "refused"
    REVERSED = "reversed"  # theirs alone: booked, and taken back as a whole


_UNPAID: Final = (None, "")  # one side alone knows it, and no money moved: told and not recorded, or never sent
_SAME: Final = (Verdict.SAME, "")
_AMOUNT: Final = (
    Verdict.AMOUNT_DIFFERS,
    "both paid, not the same: pay nothing more; enquire at the rail with the UETR and its reference, agree the right "
    "amount, and correct the wrong side by a new entry",
)
_ENDS: Final = (
    "let recovery ask the rail (bayswitch recover --ask): only its answer ends the payment; then compare again"
)

# (ours, theirs) -> what it is, and what to do. Two sides that both paid are the same when the money is.
_JUDGED: Final[Mapping[tuple[Standing, Standing], tuple[Verdict | None, str]]] = {
    (Standing.ABSENT, Standing.PAID): (
        Verdict.THEIRS_ONLY,
        "the rail booked what we have no record of: do not pay it again; open an enquiry at the rail (who sent it?), "
        "hold the amount on a suspense position, and correct by a new entry",
    ),
    (Standing.ABSENT, Standing.REFUSED): _UNPAID,
    (Standing.ABSENT, Standing.REVERSED): (
        Verdict.THEIRS_ONLY,
        "the rail booked and took back what we have no record of: no money is due; open an enquiry (who sent it?)",
    ),
    (Standing.OPEN, Standing.ABSENT): (Verdict.OURS_ONLY, f"still open with us, not booked there: {_ENDS}"),
    (Standing.OPEN, Standing.PAID): (Verdict.STATE_DIFFERS, f"still open with us, paid there: {_ENDS}"),
    (Standing.OPEN, Standing.REFUSED): (Verdict.STATE_DIFFERS, f"still open with us, refused there: {_ENDS}"),
    (Standing.OPEN, Standing.REVERSED): (Verdict.STATE_DIFFERS, f"still open with us, taken back there: {_ENDS}"),
    (Standing.PAID, Standing.ABSENT): (
        Verdict.OURS_ONLY,
        "we hold it paid, the rail has no booking on this day or beside it: do not send it again; enquire by UETR; when "
        "the rail confirms that it was never paid, give the money back by a return, a new entry",
    ),
    (Standing.PAID, Standing.PAID): _SAME,
    (Standing.PAID, Standing.REFUSED): (
        Verdict.STATE_DIFFERS,
        "we hold it paid, the rail refused it: do not send it again; enquire by UETR; when the refusal stands, give the "
        "money back by a return, a new entry",
    ),
    (Standing.PAID, Standing.REVERSED): (
        Verdict.STATE_DIFFERS,
        "we hold it paid, the rail took its booking back: do not send it again; ask the rail why; then give the money "
        "back by a return, a new entry",
    ),
    (Standing.REFUSED, Standing.ABSENT): _UNPAID,
    (Standing.REFUSED, Standing.PAID): (
        Verdict.STATE_DIFFERS,
        "we ended it unpaid, the rail paid it: do not pay it again; enquire by UETR; ask for the money back (a return), or "
        "charge it by a new entry when it is to stand",
    ),
    (Standing.REFUSED, Standing.REFUSED): _SAME,
    (Standing.REFUSED, Standing.REVERSED): _SAME,
}
_OURS: Final[Mapping[State, Standing]] = {
    State.PREPARED: Standing.OPEN,
    State.IN_DOUBT: Standing.OPEN,
    State.COMMITTED: Standing.PAID,
    State.ABORTED: Standing.REFUSED,
}
_THEIRS: Final[Mapping[LineStatus, Standing]] = {
    LineStatus.DONE: Standing.PAID,
    LineStatus.REFUSED: Standing.REFUSED,
    LineStatus.REVERSED: Standing.REVERSED,
}


# --- comparing -------------------------------------------------------------------------------------------------------
def compare(ours: Iterable[OurPayment], theirs: Iterable[Booking], begin_ms: int, end_ms: int) -> Reconciliation:
    """Compare the day from `begin_ms` up to, not including, `end_ms`.

    Give both sides of the days beside it, too: what one side dates there is the other half of a payment of this day,
    and is compared; a payment that nobody dates on this day is left out.
    """
    records = {payment.uetr: payment for payment in ours}
    bookings = {payment.uetr: payment for payment in _gathered(theirs)}
    rows = []
    for uetr in records.keys() | bookings.keys():
        mine, yours = records.get(uetr), bookings.get(uetr)
        if any(begin_ms <= side.time_ms < end_ms for side in (mine, yours) if side is not None):
            row = _judged(uetr, mine, yours)
            rows += [row] if row else []
    rows.sort(key=_place)
    return Reconciliation(tuple(rows), _totals(rows))


def _gathered(lines: Iterable[Booking]) -> Iterable[TheirPayment]:
    """The lines of each UETR as one payment. A payment that was booked twice counts twice."""
    found: dict[str, list[Booking]] = {}
    for line in lines:
        found.setdefault(line.uetr, []).append(line)
    for uetr, bookings in found.items():
        bookings.sort(key=lambda line: line.time_ms)
        left: Counter[Asset] = Counter()
        for line in bookings:
            if line.status is not LineStatus.REFUSED:
                left[line.asset] += line.amount_minor
        amounts = tuple(Money(asset, minor) for asset, minor in sorted(left.items()) if minor)
        booked = LineStatus.REVERSED if left else LineStatus.REFUSED
        last = bookings[-1]
        status = LineStatus.DONE if amounts else booked
        yield TheirPayment(uetr, amounts, status, last.code, last.reference, bookings[0].time_ms)


def _judged(uetr: str, ours: OurPayment | None, theirs: TheirPayment | None) -> Row | None:
    """The row of one payment; None: one side alone knows it, and it is not paid."""
    standing = _OURS[ours.state] if ours else Standing.ABSENT
    verdict, advice = _JUDGED[standing, _THEIRS[theirs.status] if theirs else Standing.ABSENT]
    if verdict is None:
        return None
    both_paid = verdict is Verdict.SAME and standing is Standing.PAID
    if both_paid and ours and theirs and theirs.amounts != (Money(ours.asset, ours.amount_minor),):
        verdict, advice = _AMOUNT
    return Row(verdict, uetr, ours, theirs, advice)


def _place(row: Row) -> tuple[int, str]:
    """Where a row stands: by the earlier of its two times, then by UETR."""
    return min(side.time_ms for side in (row.ours, row.theirs) if side is not None), row.uetr


def _totals(rows: Iterable[Row]) -> tuple[AssetTotal, ...]:
    ours: Counter[Asset] = Counter()
    theirs: Counter[Asset] = Counter()
    for row in rows:
        if row.ours is not None and row.ours.state is State.COMMITTED:
            ours[row.ours.asset] += row.ours.amount_minor
        for money in row.theirs.amounts if row.theirs is not None else ():
            theirs[money.asset] += money.amount_minor
    return tuple(AssetTotal(asset, ours[asset], theirs[asset]) for asset in sorted(ours.keys() | theirs.keys()))
