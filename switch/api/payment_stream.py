"""SubmitPayments: batches come in, answers go out in the same order, and no more is read than may be worked on."""

import asyncio
from typing import Final

import grpc
from bayswitch.v1 import payment_pb2

from switch.api.call import budget_ms
from switch.api.fields import missing, wrong
from switch.api.payment_wire import count_items, read_batch, write_result, write_results
from switch.api.reading import instruction_from, message_from
from switch.api.status import refusal_of, status_of
from switch.domain.instruction import Instruction
from switch.engine import Payments, Running
from switch.errors import Refused
from switch.limits import BATCH_ITEMS_MAX, BATCHES_IN_FLIGHT_PER_STREAM
from switch.ports import UNMETERED, Meter, Stage

__all__ = ["BatchStream"]

_Answer = asyncio.Task[bytes]
_PARSE: Final = Stage.PARSE
_END: Final = None  # in the queue of answers: no further batch was read


class BatchStream:
    """One SubmitPayments stream.

    A batch holds one of BATCHES_IN_FLIGHT_PER_STREAM places from before it is read until its answer has been taken
    by the transport, so a reader that takes no answers stops being read: memory is bounded by places x message size.
    """

    def __init__(
        self, payments: Payments, participant: str, context: grpc.aio.ServicerContext, meter: Meter = UNMETERED
    ) -> None:
        self._payments = payments
        self._meter = meter
        self._participant = participant
        self._context = context
        self._places = asyncio.Semaphore(BATCHES_IN_FLIGHT_PER_STREAM)
        self._answers: asyncio.Queue[_Answer | None] = asyncio.Queue()  # bounded by the places
        self._reader: asyncio.Task[None] | None = None
        self._stopping = False

    def stop(self) -> None:
        """Read nothing more; what was read is answered, then the stream ends with SHUTTING_DOWN."""
        self._stopping = True
        if self._reader is not None:
            self._reader.cancel()

    async def run(self) -> None:
        """Until the caller has sent all and taken all. Cancelled: payments already begun run on in the engine.

        Raises:
            Refused: FIELD_MISSING, FIELD_INVALID for a batch that is empty or too long; SHUTTING_DOWN.
        """
        reader = self._reader = asyncio.get_running_loop().create_task(self._read())
        try:
            while (answer := await self._answers.get()) is not _END:
                await self._context.write(await answer)
                self._places.release()
        finally:
            reader.cancel()
            self._reader = None  # its cancel will know this stream, and a circle is found late
            self._drop_answers()
        if self._stopping:
            raise Refused("SHUTTING_DOWN")
        await reader  # a broken stream is the reader's error

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._places.acquire()
                request = await self._context.read()
                if request is grpc.aio.EOF:
                    return
                self._answers.put_nowait(loop.create_task(self._batch(request)))
        finally:
            self._answers.put_nowait(_END)

    def _drop_answers(self) -> None:
        while not self._answers.empty():
            if (answer := self._answers.get_nowait()) is not _END:
                answer.cancel()

    async def _batch(self, request: bytes) -> bytes:
        """All items at once, so that they share every round trip; each is answered for itself. Raises as `run`."""
        budget, parsed_ns = budget_ms(self._context), self._meter.now_ns()
        refused = self._payments.no_room(self._participant)
        if refused is not None:
            count = count_items(request)  # in an overload what is not let in is not read
            if count is not None and 0 < count <= BATCH_ITEMS_MAX:
                self._meter.refused(refused.reason.name, count)
                return write_results([_answer_to(0, refused)] * count)  # it names no item
        items = read_batch(self._participant, request)
        if items is None:
            message = message_from(payment_pb2.SubmitPaymentsRequest, request)
            items = [item.SerializeToString() for item in message.items]
        if not items:
            missing("items")
        if len(items) > BATCH_ITEMS_MAX:
            wrong("items", "LENGTH", f"at most {BATCH_ITEMS_MAX} items")
        read = [self._read_item(index, item) if isinstance(item, bytes) else item for index, item in enumerate(items)]
        self._meter.stage(_PARSE, parsed_ns, count=len(items))
        begun = self._payments.begin([each for each in read if isinstance(each, Instruction)])
        await self._payments.wait([each for each in begun if isinstance(each, Running)], budget)
        answers = iter(begun)
        results = [
            each if isinstance(each, bytes) else await self._result(index, next(answers))
            for index, each in enumerate(read)
        ]
        return write_results(results)

    # One item's trouble is that item's answer, never its neighbours'.
    def _read_item(self, index: int, item: bytes) -> Instruction | bytes:
        """An item that is not plain: its instruction after all, or the answer that says what is wrong."""
        try:
            return instruction_from(self._participant, item)
        except Exception as error:  # noqa: BLE001
            return self._failed(index, error)

    async def _result(self, index: int, running: Running | Refused) -> bytes:
        if isinstance(running, Refused):
            return self._failed(index, running)
        try:
            submitted = await self._payments.outcome(running)
            return write_result(submitted.payment, submitted.replay)
        except Exception as error:  # noqa: BLE001
            return _answer_to(index, refusal_of(error))

    def _failed(self, index: int, error: Exception) -> bytes:
        """The answer to an item that did not begin: nobody else counts it."""
        refusal = refusal_of(error)
        self._meter.refused(refusal.reason.name)
        return _answer_to(index, refusal)


def _answer_to(index: int, refusal: Refused) -> bytes:
    answer = payment_pb2.SubmitPaymentResult(error=status_of(refusal, f"items[{index}]."))
    return answer.SerializeToString()
