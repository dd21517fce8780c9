"""A process that is killed at a chosen step: before it is done, or after, when nobody heard the answer."""

from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["Killed", "LastStep"]


class Killed(BaseException):
    """Nothing of the code under test may catch this: a killed process handles nothing."""


class LastStep:
    """Counts the calls that go through `counting`; the `at`-th is the last. 0: none is."""

    def __init__(self) -> None:
        self.count = 0
        self._at = 0
        self._after = False

    def choose(self, at: int, *, after: bool = False) -> None:
        """From now on; the count begins anew."""
        self.count, self._at, self._after = 0, at, after

    def counting(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def counted(*args: Any, **options: Any) -> Any:
            self.count += 1
            last = self.count == self._at
            if last and not self._after:
                raise Killed
            answer = await call(*args, **options)
            if last:
                raise Killed
            return answer

        return counted
