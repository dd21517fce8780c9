"""A small settlement over the fakes: two arrangements, payments by number, and a log that is read when a test says so."""

import uuid
from collections import defaultdict
from collections.abc import Awaitable

import pytest

from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.position import Entry
from switch.domain.settlement import Arrangement, ObligationState, SettlementFact, Window
from switch.engine.settlement import Settlement
from switch.errors import Refused
from switch.ports import SettlementStore
from tests.fake_archive import FakeArchive
from tests.fake_log import FakeLog, settle
from tests.fake_settlement import FakeSettlement
from tests.fakes import PARTICIPANTS, FakeClock, FakeStore

__all__ = ["ARRANGEMENTS", "SettlementWorld", "fact", "owed", "refused"]

ARRANGEMENTS = {
    "hkd": Arrangement("hkd", "Hong Kong dollars", (Asset.HKD,), (), "SA_HKD", (12 * 60, 17 * 60), ("A",), "a test"),
    "rest": Arrangement(
        "rest",
        "Everything else",
        tuple(asset for asset in Asset if asset is not Asset.HKD),
        (),
        "SA_REST",
        (),
        ("A",),
        "a test",
    ),
}


def fact(debtor_agent: str, sequence: int, *entries: Entry, time_ms: int = 0, rail: str = "near") -> SettlementFact:
    """A final payment; without entries it was aborted."""
    uetr = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{debtor_agent}.{sequence}").hex)
    uetr = f"{uetr[:8]}-{uetr[8:12]}-4{uetr[13:16]}-a{uetr[17:20]}-{uetr[20:]}"
    state = State.COMMITTED if entries else State.ABORTED
    reason = "" if entries else "PROXY_UNKNOWN"
    reference = f"REF{sequence}" if entries else ""
    return SettlementFact(
        uetr, sequence, uetr, debtor_agent, state, reason, rail, "plain", reference, entries, time_ms, time_ms + 1
    )


class SettlementWorld:
    """The real flow over the fakes. `pay` puts a payment into the log, `settle` reads the log."""

    def __init__(self, store: SettlementStore | None = None) -> None:
        """`store`: another than the fake one, which then stays empty."""
        self.clock = FakeClock()
        self.store = FakeSettlement()
        self.books = store or self.store
        self.archive = FakeArchive()
        self.log = FakeLog()
        self.register = FakeStore(self.clock)
        self.register.participants.update({each.id: each for each in PARTICIPANTS})
        self.arrangements = dict(ARRANGEMENTS)
        self.settlement = Settlement(
            store=self.books,
            archive=self.archive,
            log=self.log,
            participants=self.register,
            arrangements=self.arrangements,
            clock=self.clock,
            end_to_end_id_of=lambda one: f"E2E-{one.sequence}",
        )
        self._sequences: defaultdict[str, int] = defaultdict(int)

    def pay(self, debtor_agent: str, creditor: str, amount_minor: int, asset: Asset = Asset.HKD) -> SettlementFact:
        """A committed payment, in the log and not read yet."""
        return self.append(
            debtor_agent, Entry(debtor_agent, asset, amount_minor), Entry(creditor, asset, -amount_minor)
        )

    def append(self, debtor_agent: str, *entries: Entry) -> SettlementFact:
        self._sequences[debtor_agent] += 1
        made = fact(debtor_agent, self._sequences[debtor_agent], *entries, time_ms=self.clock.now_ms())
        self.log.append(made)
        return made

    def skip(self, debtor_agent: str) -> None:
        """The next event of this agent never comes."""
        self._sequences[debtor_agent] += 1

    async def open(self) -> None:
        await self.books.open_windows(list(self.arrangements), self.clock.now_ms())

    async def settle(self) -> None:
        await settle(self.log, self.books, self.archive, self.arrangements)

    async def closed(self, *payments: tuple[str, str, int], arrangement_id: str = "hkd") -> Window:
        """Window of these payments, closed; the arrangements are opened when they are not."""
        await self.open()
        for debtor_agent, creditor, amount_minor in payments:
            self.pay(debtor_agent, creditor, amount_minor)
        number = (await self.books.windows(arrangement_id, 1))[0].number
        await self.settlement.cut(f"{arrangement_id}.{number}", "OPERATOR")
        await self.settle()
        return await self.settlement.close(f"{arrangement_id}.{number}")


async def refused(call: Awaitable[object]) -> Refused:
    """The call must be refused: with what."""
    with pytest.raises(Refused) as caught:
        await call
    return caught.value


def owed(window: Window) -> dict[str, tuple[int, ObligationState]]:
    return {each.participant: (each.amount_minor, each.state) for each in window.obligations}
