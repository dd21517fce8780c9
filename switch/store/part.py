"""What the parts of the payment store share: the link, the names of keys, the queues, the notes, the archive."""

from collections.abc import Sequence
from typing import Any

from switch.domain.instruction import Instruction
from switch.domain.payment import Payment
from switch.errors import StoreUnavailable
from switch.ports import Archive
from switch.store.client import Server
from switch.store.grouping import Item, Kind, Lane
from switch.store.keys import Keys, request_digest, uetr_digest
from switch.store.notes import Notes

__all__ = ["StorePart", "claim_item", "claimed", "fault"]


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

    async def _claim(self, uetr: str, participant: str, request_id: str) -> int:
        """Claim a UETR, on its own shard, for a request. 1: it is that request's, now or before; 0: it is another's;
        -1: it is that of a payment which left the store. Safe to repeat. Raises as Lane.call.
        """
        lane = self._lanes[self._keys.shard_of(uetr)]
        answer = await lane.call(Kind.CLAIM, claim_item(uetr, participant, request_id))
        return claimed(answer, participant, request_id)


def claim_item(uetr: str, participant: str, request_id: str) -> Item:
    """What claims a UETR, for the lane of its own shard."""
    packed = uetr.encode() + request_digest(participant, request_id) + uetr_digest(uetr)
    return Item((), (packed,), len(packed))


def claimed(answer: Any, participant: str, request_id: str) -> int:
    """What the answer to claim_item says: 1, 0 or -1."""
    if isinstance(answer, list):  # an earlier version claimed it, under the owner's name in full
        return int(answer[0] == f"{participant}/{request_id}".encode())
    return int(answer)


def fault(answer: Sequence[Any]) -> StoreUnavailable:
    """An item the script could not work on. Its text names types and our own rules, and is not for callers."""
    word = answer[1].split(b" ", 1)[0].decode("ascii", "replace")
    return StoreUnavailable(f"the store could not work on this payment: {word}")
