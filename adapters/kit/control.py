"""A mock rail's second port: faults on command, its books, and payments that it begins. JSON, one object per line.

    {"call": "fault", "fault": "slow:500", "count": 1, "per_mille": 1000, "seed": 0, "on": "prepare"}
    {"call": "faults"}      {"call": "clear"}      {"call": "health"}
    {"call": "books", "institution": "012", "number": "..."}         both optional
    {"call": "payments", "after": 0, "count": 1000}   -> {"payments": [[uetr, status, amount_minor, asset, code]], "after": n}
    {"call": "paid", "uetr": "..."}                   -> statement lines of one payment, for audits
    {"call": "twice"}                                 -> {uetr: times} of what was booked more than once, for audits
    {"call": "messages", "uetr": "..."}               -> {"messages": [{direction, text}]}: the bytes, as they were
    {"call": "statement", "date": "2026-11-25"}       -> {"files": [{"name", "base64"}], ...}: the rail's own end-of-day
                                                      statement in its own form; in pages: see statement_pages.py
    {"call": "inbound", ...}                          the rail pays us from one of its accounts; its fields are the rail's

An answer is {"ok": true, ...} or {"ok": false, "rule": ..., "message": ...}. For sandboxes and tests: loopback only.
"""

import asyncio
import contextlib
import inspect
import json
from collections.abc import Awaitable, Callable
from datetime import date
from functools import partial
from typing import Any

from adapters.kit.books import Books
from adapters.kit.faults import Fault, FaultRule, FaultTable, Operation
from adapters.kit.statement_pages import StatementPages, collect
from adapters.kit.trace import Trace
from switch.errors import BayswitchError, InvalidValue, RailUnavailable

__all__ = ["ControlServer", "control", "fetch_statement"]

LINE_BYTES_MAX = 4 << 20
PAGE_COUNT_MAX = 10_000
Inbound = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class ControlServer:
    """Serves one mock rail's faults and books. `inbound` begins a payment from the rail and returns how it ended.

    `statements` writes its end-of-day statements; a rail without them refuses that call.
    """

    def __init__(
        self,
        host: str,
        port: int,
        faults: FaultTable,
        books: Books,
        inbound: Inbound | None = None,
        trace: Trace | None = None,
        statements: StatementPages | None = None,
    ) -> None:
        self.port = port
        self._statements = statements
        self._trace = trace or Trace()
        self._host = host
        self._faults = faults
        self._books = books
        self._inbound = inbound
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Bind; `port` is the bound one afterwards."""
        self._server = await asyncio.start_server(self._client, self._host, self.port, limit=LINE_BYTES_MAX)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Hang up on everybody."""
        if self._server is None:
            return
        self._server.close()
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):  # gone, or a line over the limit
            return
        except asyncio.CancelledError:
            return  # close() asked; the stream server must not see a cancelled handler
        finally:
            self._clients.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise InvalidValue("CONTROL", "a call is one JSON object per line")
            call = request.pop("call", "")
            if call == "inbound" and self._inbound is not None:
                return {"ok": True, **await self._inbound(request)}
            known = getattr(self, f"_call_{call}", None) if isinstance(call, str) else None
            if known is None:
                raise InvalidValue(
                    "CONTROL",
                    "calls are fault, faults, clear, health, books, payments, paid, twice, messages, statement, inbound",
                )
            found = known(**request)
            return {"ok": True, **(await found if inspect.isawaitable(found) else found)}
        except InvalidValue as error:
            return {"ok": False, "rule": error.rule, "message": str(error)}
        except BayswitchError as error:
            return {"ok": False, "rule": type(error).__name__, "message": str(error)}
        except (TypeError, ValueError, KeyError) as error:  # a wrong parameter, or no JSON
            return {"ok": False, "rule": "CONTROL", "message": f"{type(error).__name__} in the call's parameters"}

    # --- the calls ---------------------------------------------------------------------------------------------------
    def _call_fault(
        self, *, fault: str, count: int = 0, per_mille: int = 1000, seed: int = 0, on: str = "prepare"
    ) -> dict[str, Any]:
        rule = FaultRule(Fault.parse(fault), count=count, per_mille=per_mille, seed=seed, on=Operation(on))
        self._faults.set(rule)
        return self._call_faults()

    def _call_faults(self) -> dict[str, Any]:
        return {"faults": self._faults.rules(), "supported": sorted(self._faults.supported)}

    def _call_clear(self) -> dict[str, Any]:
        self._faults.clear()
        return self._call_faults()

    def _call_health(self) -> dict[str, Any]:
        return {"serving": not self._faults.offline, "payments": len(self._books.payments)}

    def _call_books(self, *, institution: str = "", number: str = "") -> dict[str, Any]:
        chosen = (
            account
            for account in self._books.accounts.values()
            if institution in ("", account.institution) and number in ("", account.number)
        )
        return {
            "accounts": self._books.balances(account for account, _ in zip(chosen, range(PAGE_COUNT_MAX), strict=False))
        }

    def _call_payments(self, *, after: int = 0, count: int = 1000) -> dict[str, Any]:
        if after < 0 or not 0 < count <= PAGE_COUNT_MAX:
            raise InvalidValue("CONTROL", f"after >= 0 and 0 < count <= {PAGE_COUNT_MAX}")
        page = [
            [record.uetr, str(record.status), record.amount_minor, record.asset.name, record.code]
            for record in self._books.page(after, count)
        ]
        return {"payments": page, "after": after + len(page)}

    def _call_messages(self, *, uetr: str) -> dict[str, Any]:
        return {"messages": self._trace.find(uetr)}

    def _call_twice(self) -> dict[str, Any]:
        return {"twice": self._books.booked_twice()}

    async def _call_statement(self, *, date: str, snapshot: str = "", after: int = 0) -> dict[str, Any]:
        if self._statements is None:
            raise InvalidValue("CONTROL", "this rail has no statements")
        return await self._statements.page(date=date, snapshot=snapshot, after=after)

    def _call_paid(self, *, uetr: str) -> dict[str, Any]:
        return {"paid": [[line.amount_minor, line.asset.name, line.reference] for line in self._books.paid(uetr)]}


async def control(host: str, port: int, call: str, **parameters: Any) -> dict[str, Any]:
    """One call to a mock rail's control port, on a connection of its own.

    Raises:
        RailUnavailable: nothing listens there, or it hung up.
        InvalidValue: the rail refused the call; says why.
    """
    try:
        reader, writer = await asyncio.open_connection(host, port, limit=LINE_BYTES_MAX)
    except OSError as error:
        raise RailUnavailable(f"no mock rail's control port at {host}:{port}") from error
    try:
        writer.write(json.dumps({"call": call, **parameters}).encode() + b"\n")
        line = await reader.readline()
    except (ConnectionError, ValueError) as error:
        raise RailUnavailable(f"the control port at {host}:{port} hung up") from error
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    if not line:
        raise RailUnavailable(f"the control port at {host}:{port} hung up")
    answer: dict[str, Any] = json.loads(line)
    if not answer.pop("ok"):
        raise InvalidValue(answer["rule"], answer["message"])
    return answer


async def fetch_statement(host: str, port: int, day: date) -> dict[str, bytes]:
    """The files of a mock rail's statement of one day, as the rail wrote them. Raises as `control`, and CodecError."""
    return await collect(partial(control, host, port, "statement"), day)
