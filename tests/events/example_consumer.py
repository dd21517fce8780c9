"""A settlement consumer with a database of its own: what a treasury at a participant would begin with.

python -m tests.events.example_consumer BOOTSTRAP DATABASE [TOPIC]
"""

import asyncio
import sqlite3
import sys

from switch.domain.settlement import SettlementFact
from switch.events import SETTLEMENT_TOPIC, SettlementConsumer

TABLE = """CREATE TABLE IF NOT EXISTS booked (
    event_id TEXT PRIMARY KEY, participant TEXT, asset TEXT, amount_minor INTEGER)"""


async def consume(bootstrap: str, database: str, topic: str = SETTLEMENT_TOPIC) -> None:
    """Book what the debtor agent owes. The primary key refuses what is booked already, whatever happened in between."""
    books = sqlite3.connect(database, isolation_level=None)
    books.execute(TABLE)

    async def seen(fact: SettlementFact) -> bool:
        return books.execute("SELECT 1 FROM booked WHERE event_id = ?", (fact.event_id,)).fetchone() is not None

    async def book(fact: SettlementFact) -> None:
        entry = next(iter(fact.entries), None)  # an aborted payment has none, and is noted all the same
        row = (entry.participant, entry.asset.name, entry.amount_minor) if entry else (fact.debtor_agent, "", 0)
        books.execute("INSERT INTO booked VALUES (?, ?, ?, ?)", (fact.event_id, *row))

    async with SettlementConsumer(bootstrap, "treasury", instance="treasury-1", topic=topic, seen=seen) as consumer:
        await consumer.run(book)


if __name__ == "__main__":
    asyncio.run(consume(*sys.argv[1:]))
