"""The last messages of a mock rail, in and out, as they were on the wire: for people who want to see the bytes."""

from collections import deque

__all__ = ["Trace"]

MESSAGES_KEPT_MAX = 1_024
MESSAGES_SHOWN_MAX = 8


class Trace:
    """Bounded: an old message makes room for a new one. Synthetic data only; a real rail would keep none of this."""

    def __init__(self) -> None:
        self._messages: deque[tuple[str, bytes]] = deque(maxlen=MESSAGES_KEPT_MAX)

    def came(self, payload: bytes) -> None:
        self._messages.append(("from the switch", payload))

    def went(self, payload: bytes) -> None:
        self._messages.append(("to the switch", payload))

    def find(self, uetr: str) -> list[dict[str, str]]:
        """Messages that carry this UETR, with or without hyphens, oldest first."""
        marks = (uetr.encode(), uetr.replace("-", "").encode())
        found = [
            {"direction": direction, "text": payload.decode("utf-8", "replace")}
            for direction, payload in self._messages
            if any(mark in payload for mark in marks)
        ]
        return found[:MESSAGES_SHOWN_MAX]
