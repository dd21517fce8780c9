"""The log's side of the store in memory: outbox and its lease, what retires into an archive, what comes back from the log."""

from collections import defaultdict
from collections.abc import Sequence

from switch.domain.instruction import Instruction
from switch.domain.money import Asset
from switch.domain.payment import Hold, Payment, State
from switch.domain.settlement import SettlementFact
from switch.errors import ConfigError, LeaseLost
from switch.ports import Archive, Change, Clock, OutboxEntry
from switch.store.notes import NOTE_KEY_BYTES, Notes
from tests.fake_register import FakeRegister

__all__ = ["FakeOutboxes"]


class FakeOutboxes(FakeRegister):
    """Payments that ended, on their way to the log and back. `archive` None: nothing ever retires."""

    def __init__(self, clock: Clock, archive: Archive | None) -> None:
        super().__init__()
        self._clock = clock
        self._archive = archive
        self._notes = Notes(bytes(NOTE_KEY_BYTES))
        self.payments: dict[str, Payment] = {}
        self._requests: dict[tuple[str, str], str] = {}
        self._gone: dict[str, State] = {}  # by UETR, what the archive answers for
        self._used: defaultdict[tuple[str, Asset], int] = defaultdict(int)
        self._net: defaultdict[tuple[str, Asset], int] = defaultdict(int)
        self._counters: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._changes: defaultdict[str, list[Change]] = defaultdict(list)
        self._outbox: list[OutboxEntry] = []
        self._sequence: defaultdict[str, int] = defaultdict(int)
        self._placed = 0
        self._lease = ("", 0, 0)  # holder, token, expiry

    def differing_field(self, earlier: Payment, instruction: Instruction) -> str:
        return self._notes.differing_field(earlier, instruction)

    def _change(self, payment: Payment) -> None:
        changes = self._changes[payment.hold.participant]
        changes.append(Change(f"{len(changes) + 1}-0", payment.hold.uetr, payment.state, payment.history[-1].time_ms))

    # --- outbox ------------------------------------------------------------------------------------------------------
    def _emit(self, payment: Payment) -> None:
        hold, last = payment.hold, payment.history[-1]
        self._sequence[hold.participant] += 1
        self._placed += 1
        fact = SettlementFact(
            hold.uetr, self._sequence[hold.participant], hold.uetr, hold.participant, last.state, last.reason, hold.rail,
            hold.corridor_id, last.rail_reference, payment.entries, hold.prepared_time_ms, last.time_ms,
            hold.instruction.request_id, self._notes.seal(payment),
        )  # fmt: skip
        self._outbox.append(OutboxEntry(0, f"{self._placed}-0", fact))

    async def outbox_lease(self, shard: int, holder: str, ttl_ms: int) -> int:
        await self._trip("outbox_lease")
        owner, token, expiry = self._lease
        now_ms = self._clock.now_ms()
        if owner != holder and expiry > now_ms:
            return 0
        if not ttl_ms:
            self._lease = (owner, token, 0 if owner == holder else expiry)
            return 0
        self._lease = (holder, token if owner == holder else token + 1, now_ms + ttl_ms)
        return self._lease[1]

    async def outbox_read(self, shard: int, count: int, after: str = "") -> list[OutboxEntry]:
        await self._trip("outbox_read")
        behind = int(after.partition("-")[0] or "0")
        return [entry for entry in self._outbox if int(entry.entry_id.partition("-")[0]) > behind][:count]

    async def outbox_delete(self, entries: Sequence[OutboxEntry], token: int) -> None:
        await self._trip("outbox_delete")
        if token != self._lease[1]:
            raise LeaseLost("scripted")
        self._outbox = [entry for entry in self._outbox if entry not in entries]

    async def outbox_depth(self) -> tuple[int, int]:
        await self._trip("outbox_depth")
        return len(self._outbox), self._outbox[0].fact.final_time_ms if self._outbox else 0

    # --- the archive and the log -------------------------------------------------------------------------------------
    async def retire(self, facts: Sequence[SettlementFact]) -> int:
        await self._trip("retire")
        if self._archive is None:
            raise ConfigError("archive: without one nothing leaves the store")
        waiting = {entry.fact.uetr for entry in self._outbox}
        gone = []
        for fact in facts:
            payment = self.payments.get(fact.uetr)
            if payment is not None and payment.state.final and fact.uetr not in waiting:
                self._gone[fact.uetr] = self.payments.pop(fact.uetr).state
            if fact.uetr in self._gone:
                gone.append(fact.uetr)
        await self._archive.retired(gone)
        return len(gone)

    def _state(self, uetr: str) -> State:
        return self._gone[uetr] if uetr in self._gone else self.payments[uetr].state

    async def _from_archive(self, participant: str, uetr: str) -> Payment | None:
        if self._archive is None or uetr not in self._gone:
            return None
        fact = await self._archive.get(participant, uetr)
        return None if fact is None else self._notes.open(uetr, fact.note)

    async def restore(self, facts: Sequence[SettlementFact]) -> int:
        await self._trip("restore")
        missing = [fact for fact in facts if fact.uetr not in self.payments and fact.uetr not in self._gone]
        for fact in missing:
            payment = self._notes.open(fact.uetr, fact.note)
            hold = payment.hold
            self.payments[fact.uetr] = payment
            self._requests[hold.participant, hold.instruction.request_id] = fact.uetr
            self._sequence[hold.participant] = max(self._sequence[hold.participant], fact.sequence)
            self._change(payment)
            if payment.state is State.COMMITTED:
                self._book(hold)
        return len(missing)

    def _book(self, hold: Hold) -> None:
        """What a committed payment leaves in a store that never reserved anything for it."""
        now_ms = self._clock.now_ms()
        for entry in hold.entries:
            self._net[entry.participant, entry.asset] += entry.amount_minor
            self._used[entry.participant, entry.asset] += max(0, entry.amount_minor)
        for charge in hold.charges:
            if charge.expiry_time_ms > now_ms:
                self._counters[charge.period_key, charge.counter] += charge.amount_minor
