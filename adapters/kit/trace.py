"""The last messages of a mock rail, in and out, as they were on the wire: for people who want to see the bytes."""

from collections import deque
from collections.abc import Callable

__all__ = ["Trace"]

MESSAGES_KEPT_MAX = 1_024
MESSAGES_SHOWN_MAX = 8


class Trace:
    """Bounded: an old message makes room for a new one. Synthetic data only; a real rail would keep none of this."""

    def __init__(self) -> None:
        # A message of the switch, or those that went to it together. Only kept here: it is done for every message.
        self._messages: deque[bytes | tuple[bytes, ...]] = deque(maxlen=MESSAGES_KEPT_MAX)
        self.came: Callable[[bytes], None] = self._messages.append
        self.went: Callable[[tuple[bytes, ...]], None] = self._messages.append

    def find(self, uetr: str) -> list[dict[str, str]]:
        """Messages that carry this UETR, with or without hyphens, oldest first."""
        marks = (uetr.encode(), uetr.replace("-", "").encode())
        found = [
            {
                "direction": f"{'to' if isinstance(kept, tuple) else 'from'} the switch",
                "text": payload.decode("utf-8", "replace"),
            }
            for kept in self._messages
            for payload in (kept if isinstance(kept, tuple) else (kept,))
            if any(mark in payload for mark in marks)
        ]
        return found[:MESSAGES_SHOWN_MAX]
