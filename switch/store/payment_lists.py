"""Lists of a participant's payments, a page at a time: what is in the store and what left it, each once, whatever leaves.

The order is that of (prepared_time_ms, uetr), which a payment keeps wherever it lies. The participant's stream of changes
has its payments nearly in that order: workers write a little after they prepare, one sooner than the other. A page token
says what was shown: of the payments that the stream began up to the place `read`, and of all that are elsewhere, those up
to `upto` in the order. So what begins behind `read` and belongs before `upto` is known to be late, and comes next: there
is never a hole before something that was shown.

A page reads the lists of the store first (the stream, and what came back from the log) and the archive's after: a payment
leaves the former only when the latter has it (retention.py). What is in both is one payment. What the stream began, the
store has not any more and the archive does not list yet is got from the archive by its UETR.

A payment that left the stream between two pages has nothing but its order. So the stream is read on, beyond what a page
shows, to payments that were prepared _LATE_MS later: behind those, nothing begins that belongs before.

A page costs reads of _CHANGES_MAX changes at most: of a thousand or two, unless there are hundreds of payments a second, or
few of the wanted state; and what is late is looked for no further. It costs the records of what it shows or looks through,
and, once anything has left the shard, one range of an index of the archive. Twice that when it would be empty otherwise.
"""

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from switch.domain.payment import Payment, State
from switch.domain.settlement import SettlementFact
from switch.errors import ArchiveUnavailable, Refused
from switch.limits import CLOCK_SKEW_MS_MAX, PAGE_SIZE_MAX, STORE_CALL_MS_MAX, STORE_READ_ROUNDS_MAX
from switch.ports import Archive
from switch.store.changes import ENTRIES_FIRST, Begun, Order, Place, before, begun_of, read_from
from switch.store.packing import unpack_payment
from switch.store.part import StorePart

__all__ = ["PaymentLists", "not_ours", "relisted_place"]

Records = dict[Order, bytes | None]  # None: it has left the store

_PLACE_MS_MAX: Final = 10**16 - 1
_START: Final = (0, 0, 0)  # before every place of a stream
_LATE_MS: Final = 2 * STORE_CALL_MS_MAX  # one for a step's way into the store, one for the clocks of two workers
_CHANGES_MAX: Final = STORE_READ_ROUNDS_MAX * PAGE_SIZE_MAX
_TRIES: Final = 2  # of an answer: what the archive may have before the stream is looked at by itself
_TOKEN: Final = re.compile(
    r"k(\d{1,18})-(\d{1,18})\.(\d{1,5}) (\d{1,18})-(\d{1,18})\.(\d{1,5}) (\d{1,16}) ([0-9a-f-]{0,36})", re.ASCII
)


class _Asked(NamedTuple):
    """What a page is of: [from, to) by preparation, one state or (None) all."""

    participant: str
    state: State | None
    from_time_ms: int
    to_time_ms: int
    page_size: int

    def takes(self, record: bytes | None) -> bool:
        """What has left (None) may have any state."""
        return self.state is None or record is None or record[-1:] == self.state.value.encode()


class _Shown(NamedTuple):
    """What the pages before have shown: see above. In the stream that is everything up to `first`."""

    first: Place
    read: Place
    upto: Order


class _Stream:
    """What is read of the stream for one page."""

    def __init__(self, asked: _Asked, shown: _Shown) -> None:
        self.asked = asked
        self.shown = shown
        self.read = shown.first  # up to this place
        self.entries = 0  # as many, and as many changes in them
        self.changes = 0
        self.newest_ms = 0  # prepared last of all that was read
        self.begun: list[Begun] = []  # as they began
        self.late: list[tuple[Place, Payment]] = []  # as they began: what belongs to an earlier page
        self.records: Records = {}
        self.upto: Order | None = None  # up to here in the order, `records` has all; None: there is no more

    @property
    def sure_ms(self) -> int:
        """Nothing comes behind that was prepared before this."""
        return self.newest_ms - _LATE_MS

    @property
    def as_far(self) -> bool:
        """As the pages before: what they have seen there, in its place in the order, is not taken for late."""
        return self.read >= self.shown.read

    def take(self, rows: Iterable[Any]) -> list[Begun]:
        """The next entries. Returns the late ones among what they began."""
        late, start_ms, end_ms = [], self.asked.from_time_ms, self.asked.to_time_ms
        for row in rows:
            number, begun, self.read = begun_of(row)
            self.entries, self.changes = self.entries + 1, self.changes + number
            for one in begun:
                if one.place <= self.shown.first:
                    continue
                time_ms = one.order[0]
                self.newest_ms = max(self.newest_ms, time_ms)
                if not start_ms <= time_ms < end_ms:
                    continue
                if one.order > self.shown.upto:
                    self.begun.append(one)
                elif one.place > self.shown.read:
                    late.append(one)
        return late

    def sure(self, ended: bool) -> list[Order]:
        """What has its place in the order for good."""
        return [one.order for one in self.begun if ended or one.order[0] < self.sure_ms]


class PaymentLists(StorePart):
    """The part of ports.PaymentStore that lists payments."""

    async def list_payments(
        self, participant: str, *, state: State | None, from_time_ms: int, to_time_ms: int, token: str, count: int
    ) -> tuple[list[Payment], str]:
        """Own payments in order of preparation, [from, to), at most `count`, and the token of the next page or "".

        What was there when the first page was read comes once, whatever leaves meanwhile. What begins meanwhile comes
        once or not at all, and none without those that began before it. A page may be short, even empty, and still have
        a next one: what one answer looks through is bounded.

        Raises:
            Refused: FIELD_INVALID: a token that is not ours, or of the kind that earlier versions gave.
            ArchiveUnavailable: payments of this shard have left, and the archive does not answer.
        """
        asked = _Asked(participant, state, from_time_ms, to_time_ms, count)
        shown: _Shown | None = _shown_of(token) if token else _Shown(_START, _START, (from_time_ms, ""))
        page: list[Payment] = []
        for _ in range(_TRIES):
            if page or shown is None:
                break
            page, shown = await self._page(asked, shown)
        return page, _token_of(shown) if shown is not None else ""

    async def _page(self, asked: _Asked, shown: _Shown) -> tuple[list[Payment], _Shown | None]:
        """The next payments, and what has been shown with them; None: everything."""
        stream = await self._read_stream(_Stream(asked, shown))
        late = [payment for _, payment in stream.late[: asked.page_size]]
        if len(stream.late) > asked.page_size:  # more than a page of them alone
            return late, shown._replace(read=stream.late[asked.page_size - 1][0])
        relisted, relisted_upto = await self._read_relisted(asked, shown.upto)
        records = stream.records | relisted
        archived, archived_upto = await self._read_archived(asked, shown.upto, None in records.values())
        ends = [end for end in (stream.upto, relisted_upto, archived_upto) if end is not None]
        wanted = archived.keys() | {order for order, record in records.items() if asked.takes(record)}
        found = sorted(order for order in wanted if not ends or order <= min(ends))
        room = asked.page_size - len(late)
        page = late + await self._opened(asked, found[:room], records, archived)
        if len(found) > room:
            upto = found[room - 1] if room else shown.upto
        elif ends:
            upto = max(shown.upto, min(ends))
        else:
            return page, None
        first = next((before(one.place) for one in stream.begun if one.order > upto), stream.read)
        return page, _Shown(first, max(shown.read, stream.read), upto)

    # --- what is in the store ----------------------------------------------------------------------------------------
    async def _read_stream(self, stream: _Stream) -> _Stream:
        """As far as a page needs, and to those prepared so much later that none behind them belongs before its end."""
        asked, entries, wanted = stream.asked, ENTRIES_FIRST, PAGE_SIZE_MAX
        # Places in the stream are the server's time, preparation is the caller's: look around the edges.
        edges_ms = (asked.from_time_ms - CLOCK_SKEW_MS_MAX, asked.to_time_ms + CLOCK_SKEW_MS_MAX)
        first, last = (str(max(0, edge_ms)) for edge_ms in edges_ms)
        key = self._keys.changes(asked.participant)
        while stream.changes < _CHANGES_MAX or not stream.as_far:
            start = first if stream.read == _START else read_from(stream.read)
            rows = await self._server.read("XRANGE", key, start, last, "COUNT", entries)
            await self._take_late(stream, stream.take(rows))
            ended = len(rows) < entries
            sure = stream.sure(ended)
            if ended or (stream.as_far and len(sure) > asked.page_size):
                stream.upto = await self._look(asked, sorted(sure), stream.records)
            if ended or stream.upto is not None or len(stream.late) > asked.page_size:
                return stream
            gap = wanted == PAGE_SIZE_MAX and not sure and stream.shown.upto[0] < stream.sure_ms
            if gap and stream.as_far and await self._any_left(asked.participant):
                stream.upto = (stream.sure_ms, "")  # before what the stream has, the archive may have much
                return stream
            # As many as will do, if they are like those that were read.
            entries = max(ENTRIES_FIRST, min(wanted, _CHANGES_MAX) * stream.entries // stream.changes)
            wanted *= 2
        orders = sorted(one.order for one in stream.begun)
        stream.upto = await self._look(asked, orders, stream.records) or (orders or [stream.shown.upto])[-1]
        return stream

    async def _take_late(self, stream: _Stream, late: Sequence[Begun]) -> None:
        """A late one that has left since was shown from the archive, in its order."""
        records = await self._records(stream.asked.participant, [one.order for one in late])
        for one in late:
            record = records[one.order]
            if record is not None and stream.asked.takes(record):
                stream.late.append((one.place, unpack_payment(record)))

    async def _look(self, asked: _Asked, orders: Sequence[Order], records: Records) -> Order | None:
        """Get the records of these, until there are more than a page takes; then, the last that was looked at."""
        step, found = asked.page_size + 1 if asked.state is None else PAGE_SIZE_MAX, 0
        for start in range(0, len(orders), step):
            some = orders[start : start + step]
            records |= await self._records(asked.participant, [order for order in some if order not in records])
            found += sum(asked.takes(records[order]) for order in some)
            if found > asked.page_size:
                return some[-1]
        return None

    async def _records(self, participant: str, orders: Sequence[Order]) -> Records:
        if not orders:
            return {}
        shard = self._keys.shard_of(participant)
        found = await self._server.read("MGET", *(self._keys.payment(shard, uetr) for _, uetr in orders))
        return dict(zip(orders, found, strict=True))

    async def _read_relisted(self, asked: _Asked, upto: Order) -> tuple[Records, Order | None]:
        """What came back from the log, behind `upto`; and up to where that is all."""
        start, end = f"({relisted_place(*upto)}", f"({relisted_place(asked.to_time_ms)}"
        window, most = (start, end, "LIMIT", 0), asked.page_size + 1 if asked.state is None else PAGE_SIZE_MAX
        names = await self._server.read("ZRANGEBYLEX", self._keys.relisted(asked.participant), *window, most)
        orders = [_order_of(name.decode()) for name in names]
        return await self._records(asked.participant, orders), orders[-1] if len(names) == most else None

    # --- what has left -----------------------------------------------------------------------------------------------
    async def _any_left(self, participant: str) -> bool:
        return bool(await self._server.read("EXISTS", self._keys.retired(self._keys.shard_of(participant))))

    async def _read_archived(
        self, asked: _Asked, upto: Order, some_left: bool
    ) -> tuple[dict[Order, SettlementFact], Order | None]:
        """What the archive lists, behind `upto`; and up to where that is all. Of every state when `some_left` of what
        the stream began: they are looked for here.
        """
        if not await self._any_left(asked.participant):
            return {}, None
        wide = some_left and asked.state is not None
        state, most = (None, PAGE_SIZE_MAX) if wide else (asked.state, asked.page_size + 1)
        facts = await self._archived_only().list_payments(
            asked.participant,
            state=state,
            from_time_ms=asked.from_time_ms,
            to_time_ms=asked.to_time_ms,
            after=upto,
            count=most,
        )
        found = {(fact.prepared_time_ms, fact.uetr): fact for fact in facts}
        return found, next(reversed(found)) if len(facts) == most else None

    async def _opened(
        self, asked: _Asked, orders: Sequence[Order], records: Records, archived: dict[Order, SettlementFact]
    ) -> list[Payment]:
        """The payments of a page: from the store where it had them, for it was asked first."""
        left = [order for order in orders if records.get(order) is None and order not in archived]
        got = await asyncio.gather(*(self._archived(asked.participant, UUID(uetr).bytes) for _, uetr in left))
        page = dict(zip(left, got, strict=True))
        for order in orders:
            record, fact = records.get(order), archived.get(order)
            if record is not None and (fact is None or asked.takes(record)):
                page[order] = unpack_payment(record)
            elif fact is not None:
                page[order] = self._notes.open(fact.uetr, fact.note)
        return [page[order] for order in orders if asked.state in (None, page[order].state)]

    async def _archived(self, participant: str, uetr_bytes: bytes) -> Payment:
        """A payment that left the store. Raises ArchiveUnavailable, too, when the archive does not have it (yet)."""
        uetr = str(UUID(bytes=uetr_bytes))
        fact = await self._archived_only().get(participant, uetr)
        if fact is None:
            raise ArchiveUnavailable(f"the archive does not have payment {uetr}, which has left the store")
        return self._notes.open(uetr, fact.note)

    def _archived_only(self) -> Archive:
        if self._archive is None:
            raise ArchiveUnavailable("payments have left this store, and it was opened without their archive")
        return self._archive


def not_ours(field: str) -> Refused:
    """Refused FIELD_INVALID (rule TOKEN): no token, or one of the kind that earlier versions gave."""
    words = "this token did not come from us, or from an earlier version: begin again"
    return Refused("FIELD_INVALID", words, field=field, figures={"rule": "TOKEN"})


def relisted_place(prepared_time_ms: int, uetr: str = "") -> str:
    """Where a payment that came back stands in its participant's list: names sort by time, then UETR."""
    return f"{min(max(0, prepared_time_ms), _PLACE_MS_MAX):016} {uetr}"


def _order_of(name: str) -> Order:
    time_ms, _, uetr = name.partition(" ")
    return int(time_ms), uetr


def _token_of(shown: _Shown) -> str:
    places = " ".join(f"{time_ms}-{number}.{passed}" for time_ms, number, passed in shown[:2])
    return f"k{places} {shown.upto[0]} {shown.upto[1]}"


def _shown_of(token: str) -> _Shown:
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise not_ours("page_token")
    *places, time_ms = map(int, match.groups()[:-1])
    return _Shown((places[0], places[1], places[2]), (places[3], places[4], places[5]), (time_ms, match[8]))
