"""A look every so often, in a thread of its own, while a block runs."""

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

__all__ = ["Looks"]


class Looks(ABC):
    """Looks when the block begins, then every `period_seconds`, until it ends. Once only: a thread is not started again."""

    def __init__(self, name: str, period_seconds: float) -> None:
        self._period_seconds = period_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def look(self) -> None:
        """One look, now; it must not raise for what it looks at."""

    def _run(self) -> None:
        while not self._over.wait(self._period_seconds):
            self.look()

    def __enter__(self) -> Self:
        self.look()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
