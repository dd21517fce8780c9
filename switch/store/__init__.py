"""The store: payments, positions, limits, quotes and participants in Redis or Valkey. Nothing else knows it."""

from switch.store.embedded import EmbeddedValkey
from switch.store.factory import Store, open_store

__all__ = ["EmbeddedValkey", "Store", "open_store"]
