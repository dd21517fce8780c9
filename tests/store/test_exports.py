"""What the package shows, and that it is what the engine asks for."""

import switch.store
from switch.ports import ParticipantStore, PaymentStore, QuoteStore
from switch.store import Store


def as_the_engine_sees_it(store: Store) -> tuple[PaymentStore, QuoteStore, ParticipantStore]:
    """Checked by mypy: the three protocols are met."""
    return store.payments, store.quotes, store.participants


def test_the_exported_names() -> None:
    assert switch.store.__all__ == ["EmbeddedValkey", "Store", "open_store"]


async def test_a_store_is_the_three_protocols(single: Store) -> None:
    payments, quotes, participants = as_the_engine_sees_it(single)
    assert await payments.get("ALFA", "none") is None
    assert await quotes.get_quote("ALFA", "none") is None
    assert await participants.get_participant("ALFA") is None
