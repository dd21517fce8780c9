"""The audit after a run: every answer a client got, against the switch's records, its positions and the rails' books.

It uses what anybody can use: the gRPC services and the mock rails' control ports.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
from bayswitch.v1 import (
    participant_pb2,
    participant_pb2_grpc,
    payment_pb2,
    payment_pb2_grpc,
    settlement_pb2,
    settlement_pb2_grpc,
)

from adapters.kit.control import control
from loadtest.provider import reason_of
from switch.errors import REASONS

__all__ = ["STATES", "Audit", "audit", "payments_of", "settled_of"]

STATES = {number: name.removeprefix("PAYMENT_STATE_") for name, number in payment_pb2.PaymentState.items()}
_PAGE_SIZE = 500
_PROBLEMS_SHOWN_MAX = 20


@dataclass
class Audit:
    """What was compared, and every difference. `clean` is the verdict."""

    states: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    booked_at_rails: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        states = ", ".join(f"{count} {state}" for state, count in sorted(self.states.items()))
        lines = [f"{self.answers} answers, records: {states or 'none'}; booked at the rails: {self.booked_at_rails}"]
        lines += self.problems[:_PROBLEMS_SHOWN_MAX]
        if len(self.problems) > _PROBLEMS_SHOWN_MAX:
            lines.append(f"… and {len(self.problems) - _PROBLEMS_SHOWN_MAX} more")
        return "\n".join(lines)


async def audit(
    address: str, operator: str, participants: Sequence[str], controls: Mapping[str, str], answers: Mapping[str, str]
) -> Audit:
    """Compare everything. `controls`: rail -> host:port of its control port; `answers`: UETR -> final state a client was told.

    Call it when the load has ended and nothing is open any more: what is still open is a problem, too.
    """
    found = Audit(answers=len(answers))
    async with grpc.aio.insecure_channel(address) as channel:
        records: dict[str, Any] = {}
        for participant in participants:
            async for payment in payments_of(channel, participant):
                if payment.uetr in records:
                    found.problems.append(f"{payment.uetr}: two records")
                records[payment.uetr] = payment
        settled = await settled_of(channel, operator)
        _check_positions(found, await _positions(channel, operator), records, settled)
    for uetr, payment in records.items():
        _check_record(found, uetr, payment)
    for uetr, told in answers.items():
        have = STATES[records[uetr].state] if uetr in records else "no record"
        if have != told:
            found.problems.append(f"{uetr}: a client was told {told}, the record says {have}")
    for rail, where in controls.items():
        await _check_rail(found, rail, where, records)
    return found


async def payments_of(channel: grpc.aio.Channel, participant: str) -> Any:
    stub, token = payment_pb2_grpc.PaymentServiceStub(channel), ""
    while True:
        request = payment_pb2.ListPaymentsRequest(page_size=_PAGE_SIZE, page_token=token)
        page = await stub.ListPayments(request, timeout=30, metadata=(("x-bayswitch-participant", participant),))
        for payment in page.payments:
            yield payment
        token = page.next_page_token
        if not token:
            return


async def _positions(channel: grpc.aio.Channel, operator: str) -> Any:
    stub = participant_pb2_grpc.ParticipantServiceStub(channel)
    metadata = (("x-bayswitch-participant", operator),)
    return (await stub.GetPositions(participant_pb2.GetPositionsRequest(), timeout=30, metadata=metadata)).positions


async def settled_of(channel: grpc.aio.Channel, operator: str) -> Counter[tuple[str, str]]:
    """What confirmed obligations moved, by participant and asset; nothing where nothing is settled for want of a broker."""
    stub = settlement_pb2_grpc.SettlementServiceStub(channel)
    options: dict[str, Any] = {"timeout": 30, "metadata": (("x-bayswitch-participant", operator),)}
    moved: Counter[tuple[str, str]] = Counter()
    try:
        listed = (await stub.ListArrangements(settlement_pb2.ListArrangementsRequest(), **options)).arrangements
    except grpc.aio.AioRpcError as error:
        if reason_of(error) == REASONS["BROKER_UNAVAILABLE"].name:
            return moved
        raise
    agents = {each.arrangement_id: each.settlement_agent for each in listed}
    windows = await stub.ListWindows(settlement_pb2.ListWindowsRequest(page_size=_PAGE_SIZE), **options)
    for each in windows.windows:
        whole = (await stub.GetWindow(settlement_pb2.GetWindowRequest(window_id=each.window_id), **options)).window
        for owed in whole.obligations:
            if owed.state == settlement_pb2.OBLIGATION_STATE_CONFIRMED:
                moved[owed.participant, owed.asset] -= owed.amount_minor
                moved[agents[whole.arrangement_id], owed.asset] += owed.amount_minor
    return moved


def _check_positions(
    found: Audit, positions: Any, records: Mapping[str, Any], settled: Mapping[tuple[str, str], int]
) -> None:
    """Per asset the positions sum to zero, nothing is reserved, and each is what the entries and the settlements say."""
    booked: Counter[tuple[str, str]] = Counter(settled)
    for payment in records.values():
        for entry in payment.entries:
            booked[entry.participant, entry.asset] += entry.amount_minor
    sums: Counter[str] = Counter()
    for position in positions:
        sums[position.asset] += position.net_debit_minor
        key = position.participant_id, position.asset
        if position.net_debit_minor != booked.pop(key, 0):
            found.problems.append(f"position of {key} is {position.net_debit_minor}, its entries say otherwise")
        if position.reserved_minor:
            found.problems.append(f"position of {key} still reserves {position.reserved_minor}")
    found.problems += [f"positions in {asset} sum to {total}" for asset, total in sums.items() if total]
    found.problems += [f"no position for {key}, whose entries sum to {total}" for key, total in booked.items() if total]


def _check_record(found: Audit, uetr: str, payment: Any) -> None:
    """Every payment is final; its entries sum to zero per asset, and are there only when it was paid."""
    state = STATES[payment.state]
    found.states[state] += 1
    if state not in ("COMMITTED", "ABORTED"):
        found.problems.append(f"{uetr}: still {state}")
    sums: Counter[str] = Counter()
    for entry in payment.entries:
        sums[entry.asset] += entry.amount_minor
    if any(sums.values()) or bool(payment.entries) != (state == "COMMITTED"):
        found.problems.append(f"{uetr}: {state} with entries that do not balance")


async def _check_rail(found: Audit, rail: str, where: str, records: Mapping[str, Any]) -> None:
    """What the rail paid is what we committed on it: the same payments, once each, the same amounts.

    A rail books what it pays into an account as positive. What it began itself it took from an account, negative: that
    is our record's debit, and the record names the rail it went out on. Anything else booked here is no payment of ours.
    """
    host, _, port = where.rpartition(":")
    paid: dict[str, int] = {}
    refused: set[str] = set()
    after, more = 0, True
    while more:
        page = await control(host, int(port), "payments", after=after, count=1000)
        for uetr, status, amount_minor, _asset, _code in page["payments"]:
            if status == "done":
                paid[uetr] = amount_minor
            elif status == "refused":
                refused.add(uetr)
        more, after = page["after"] > after, page["after"]
    twice = (await control(host, int(port), "twice"))["twice"]
    found.booked_at_rails += len(paid)
    found.problems += [f"{uetr}: {rail} booked it {count} times" for uetr, count in twice.items()]
    committed: dict[str, int] = {}
    for uetr, payment in records.items():
        if STATES[payment.state] != "COMMITTED":
            continue
        if payment.rail == rail:
            committed[uetr] = payment.credit.amount_minor
        elif paid.get(uetr, 0) < 0:
            committed[uetr] = payment.debit.amount_minor
    for uetr in sorted(paid.keys() | committed.keys()):
        have = abs(paid[uetr]) if uetr in paid else None
        if have != committed.get(uetr):
            found.problems.append(f"{uetr}: {rail} paid {have}, we committed {committed.get(uetr)}")
