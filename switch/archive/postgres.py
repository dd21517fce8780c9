"""The PostgreSQL half: an engine whose connections let go of a server that is silent.

`statement_timeout` is the server's own; a server that is stopped or cut off does not keep it. So a connection of ours
also looks at the deadline of the call while it waits, and closes itself: its thread is free for the next call.
"""

from collections.abc import Generator
from typing import Any, Final, TypeVar

import psycopg
from sqlalchemy import URL, Engine, create_engine, event

from switch.archive.deadline import overdue

__all__ = ["POSTGRES_OPTIONS", "postgres_engine"]

_T = TypeVar("_T")

POSTGRES_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "read": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},  # several statements, one moment
    "write": {"isolation_level": "READ COMMITTED"},
}


class _Impatient(psycopg.Connection[Any]):
    """A connection that waits no longer than the call it works for."""

    def wait(self, gen: Generator[Any, Any, _T], *args: Any, **options: Any) -> _T:
        return super().wait(self._until_overdue(gen), *args, **options)

    def __del__(self, *_: object) -> None:
        """SQLAlchemy drops a connection whose very first questions fail, and does not close it; nobody else has it."""
        self.close()

    def _until_overdue(self, gen: Generator[Any, Any, _T]) -> Generator[Any, Any, _T]:
        """The driver's generator, which is resumed with 0 about every 100 ms while nothing comes."""
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and overdue():
                    self.close()
                    raise psycopg.OperationalError("the call is over")
                wanted = gen.send(ready)
        except StopIteration as end:
            answer: _T = end.value
            return answer


def postgres_engine(url: URL, call_ms: int, connections: int) -> Engine:
    """An engine that has not connected yet."""
    seconds = max(2, call_ms // 2_000)  # half of a call; libpq counts in seconds, 2 at least
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        hide_parameters=True,
        pool_size=connections,
        max_overflow=0,
        paramstyle="format",  # positional: rows are tuples
        connect_args={
            "application_name": "bayswitch",
            "connect_timeout": seconds,
            "keepalives_idle": seconds,
            "keepalives_interval": seconds,
            "keepalives_count": 2,
            "tcp_user_timeout": call_ms,
            "options": f"{_own_options(url)} -c statement_timeout={call_ms} -c lock_timeout={call_ms}",
        },
    )

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, words: Any, options: Any) -> psycopg.Connection[Any]:
        return _Impatient.connect(*words, **options)

    return engine


def _own_options(url: URL) -> str:
    """What the URL says itself, e.g. a search_path."""
    given = url.query.get("options", "")
    return given if isinstance(given, str) else " ".join(given)
