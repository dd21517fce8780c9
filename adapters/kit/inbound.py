"""Payments that come from a rail: the client's desk that takes them, and the mock rail's side that pushes them."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from switch.domain.document import parse_document
from switch.domain.identifiers import parse_account
from switch.domain.instruction import Instruction
from switch.domain.party import Party
from switch.domain.payment import Payment
from switch.errors import BayswitchError, CodecError, InvalidValue
from switch.limits import RAIL_INBOUND_IN_FLIGHT_MAX
from switch.ports import InboundHandler

__all__ = ["InboundDesk", "Outgoing", "canonical"]

PUSH_REPEAT_MS = 500  # a payment of the rail's own that was not answered is sent again after this, doubling
PUSH_REPEAT_MS_MAX = 10_000

T = TypeVar("T")


def canonical(instruction: Instruction) -> Instruction:
    """What a rail brings, with addresses and papers in the one form the domain knows, as the api does for a provider.

    A limit counts a person by the text of the document: two ways to write it would be two persons.
    Raises CodecError: one breaks the rule of its kind; path and rule, never the value.
    """
    return instruction._replace(
        debtor=_canonical("Dbtr", instruction.debtor), creditor=_canonical("Cdtr", instruction.creditor)
    )


def _canonical(path: str, party: Party) -> Party:
    account, document = party.account, party.document
    try:
        account = account._replace(value=parse_account(account.scheme, account.value))
    except InvalidValue as broken:
        raise CodecError(f"{path}Acct", broken.rule) from None
    try:
        document = document and parse_document(document.type, document.number)
    except InvalidValue as broken:
        raise CodecError(f"{path}/Id", broken.rule) from None
    return party._replace(account=account, document=document)


class InboundDesk:
    """Runs the handler for each payment from the rail: once at a time per UETR, and bounded.

    No answer is given when the handler raises one of our errors, when the payment is not final yet, or when the desk
    is full: the rail asks again, and the engine answers a repeat with the first outcome.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._handler: InboundHandler | None = None
        self._running: dict[str, asyncio.Task[None]] = {}
        self.unanswered = 0  # payments that ended without an answer

    def listen(self, handler: InboundHandler) -> None:
        """Called once, before the rail starts."""
        assert self._handler is None
        self._handler = handler

    def take(self, instruction: Instruction, answer: Callable[[Payment], object]) -> None:
        """Run one payment; `answer` is called with it when it is final. A repeat while it runs is dropped."""
        uetr = instruction.uetr
        if self._handler is None or uetr in self._running or len(self._running) >= RAIL_INBOUND_IN_FLIGHT_MAX:
            self.unanswered += 1
            return
        task = asyncio.create_task(self._run(self._handler, instruction, answer), name=f"inbound:{self._name}")
        self._running[uetr] = task
        task.add_done_callback(lambda _: self._running.pop(uetr, None))

    async def close(self) -> None:
        """Stop what runs; the rail will ask again."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _run(
        self, handler: InboundHandler, instruction: Instruction, answer: Callable[[Payment], object]
    ) -> None:
        try:
            payment = await handler(instruction)
        except BayswitchError:
            self.unanswered += 1
            return
        if payment.state.final:
            answer(payment)
        else:
            self.unanswered += 1


class Outgoing(Generic[T]):
    """A mock rail's own payments: each is sent again and again, ever more rarely, until it is answered."""

    def __init__(self, send: Callable[[bytes], bool]) -> None:
        self._send = send
        self._open: dict[str, asyncio.Future[T]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def push(self, key: str, payload: bytes, budget_ms: int) -> T | None:
        """Begin, and wait at most `budget_ms` for the answer; None: not answered yet, and still being sent."""
        if key not in self._open:
            self._open[key] = asyncio.get_running_loop().create_future()
            task = asyncio.create_task(self._repeat(self._open[key], payload))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        done, _ = await asyncio.wait([self._open[key]], timeout=budget_ms / 1000)
        return done.pop().result() if done else None

    def answered(self, key: str, answer: T) -> bool:
        """The answer to one payment. False: nobody waits for it (a repeat, or unknown)."""
        future = self._open.pop(key, None)
        if future is None or future.done():
            return False
        future.set_result(answer)
        return True

    async def close(self) -> None:
        """Send nothing more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for future in self._open.values():
            future.cancel()
        self._open.clear()

    async def _repeat(self, answer: "asyncio.Future[T]", payload: bytes) -> None:
        wait_ms = PUSH_REPEAT_MS
        while not answer.done():
            self._send(payload)
            await asyncio.wait([answer], timeout=wait_ms / 1000)
            wait_ms = min(wait_ms * 2, PUSH_REPEAT_MS_MAX)
