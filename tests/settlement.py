"""Arrangements, facts of the log and chunks for the tests of settlement; the same arguments give the same values."""

import uuid
from collections.abc import Mapping, Sequence

from switch.domain.money import Asset
from switch.domain.payment import State
from switch.domain.position import Entry
from switch.domain.settlement import Arrangement, SettlementFact, record_digest
from switch.events.schema import encode, headers, key
from switch.ports import ArchivedFact, Chunk, Net, WindowKey

START_MS = 1_795_413_600_000  # 2026-11-23T06:00:00Z
HKD = Arrangement("hkd", "Hong Kong dollars", (Asset.HKD,), (), "SA_HKD", (17 * 60,), ("HK",), "a test")
CNY = Arrangement("cny", "Onshore renminbi", (Asset.CNY,), (), "SA_CNY", (17 * 60,), ("CN",), "a test")
ARRANGEMENTS = (HKD, CNY)


def paid(agent: str, sequence: int, entries: Sequence[Entry] | None = None, *, rail: str = "hkfps") -> SettlementFact:
    """The `sequence`-th payment of `agent`, committed; every seventh aborted unless entries are given."""
    uetr = str(uuid.UUID(int=uuid.uuid5(uuid.NAMESPACE_OID, f"{agent}/{sequence}").int, version=4))
    aborted = entries is None and sequence % 7 == 0
    if entries is None:
        entries = () if aborted else across(agent, 100 + sequence)
    return SettlementFact(
        event_id=uetr,
        sequence=sequence,
        uetr=uetr,
        debtor_agent=agent,
        state=State.ABORTED if aborted else State.COMMITTED,
        reason="CREDITOR_ACCOUNT_CLOSED" if aborted else "",
        rail=rail,
        corridor_id="hk-cn.hkd-cny",
        rail_reference="" if aborted else f"R{sequence}",
        entries=tuple(entries),
        prepared_time_ms=START_MS + sequence,
        final_time_ms=START_MS + sequence + 40,
        request_id=f"r-{agent}-{sequence}",
        note=b"sealed",
    )


def across(agent: str, amount_minor: int) -> tuple[Entry, ...]:
    """HKD of the agent become CNY of a gateway by way of an FX bank: two assets, each sums to zero."""
    credit = amount_minor * 9 // 10
    return (
        Entry(agent, Asset.HKD, amount_minor),
        Entry("FXBANK", Asset.HKD, -amount_minor),
        Entry("FXBANK", Asset.CNY, credit),
        Entry("GATEWAY", Asset.CNY, -credit),
    )


def placed(fact: SettlementFact, offset: int, partition: int = 0) -> ArchivedFact:
    """The fact at its place in the log."""
    return ArchivedFact(fact, partition, offset, record_digest(key(fact), encode(fact), headers(fact)))


def chunk(
    from_offset: int,
    to_offset: int,
    nets: Mapping[WindowKey, Mapping[tuple[str, Asset], Net]] | None = None,
    *,
    partition: int = 0,
    epoch: int = 0,
    reached: tuple[WindowKey, ...] = (),
    sequences: Mapping[str, int] | None = None,
    missing: frozenset[tuple[str, int]] = frozenset(),
    found: frozenset[tuple[str, int]] = frozenset(),
) -> Chunk:
    """A chunk with a digest that names its end."""
    figures = dict(nets or {})
    return Chunk(
        epoch,
        partition,
        from_offset,
        to_offset,
        bytes([to_offset % 251]) * 32,
        dict(sequences or {}),
        missing,
        found,
        figures,
        dict.fromkeys(figures, 1),
        reached,
    )
