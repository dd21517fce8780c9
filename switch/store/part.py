"""What the parts of the payment store share: the link, the names of keys, the queues, the notes, the archive."""

from collections.abc import Sequence
from typing import Any

from switch.domain.instruction import Instruction
from switch.domain.payment import Payment
from switch.errors import StoreUnavailable
from switch.ports import Archive
from switch.store.client import Server
from switch.store.grouping import Item, Kind, Lane
from switch.store.keys import Keys
from switch.store.notes import Notes

__all__ = ["StorePart", "fault"]


class StorePart:
    """One part of ports.PaymentStore. `archive` is None where nothing ever leaves the store."""

    def __init__(
        self,
        server: Server,
        keys: Keys,
        lanes: Sequence[Lane],
        notes: Notes,
        archive: Archive | None,
        retention_ms: int,
    ) -> None:
        self._server = server
        self._keys = keys
        self._lanes = lanes
        self._notes = notes
        self._archive = archive
        self._retention_ms = retention_ms

    @property
    def shards(self) -> int:
        """How many shards there are; fixed when the store was first used."""
        return self._keys.shards

    @property
    def lanes(self) -> Sequence[Lane]:
        """The queues, one per shard."""
        return self._lanes

    def differing_field(self, earlier: Payment, instruction: Instruction) -> str:
        """Path of the first field in which `instruction` differs from what was first asked, "" when equal.

        `earlier` may be masked: then values are compared by their masks. Pure: nothing is read.
        """
        return self._notes.differing_field(earlier, instruction)

    def _lane(self, participant: str) -> Lane:
        return self._lanes[self._keys.shard_of(participant)]

    async def _value(self, participant: str, key: str) -> bytes | None:
        value: bytes | None = await self._lane(participant).call(Kind.READ, Item((key,), (), len(key)))
        return value


def fault(answer: Sequence[Any]) -> StoreUnavailable:
    """An item the script could not work on. Its text names types and our own rules, and is not for callers."""
    word = answer[1].split(b" ", 1)[0].decode("ascii", "replace")
    return StoreUnavailable(f"the store could not work on this payment: {word}")
