"""The audit finds what it is for: each planted fault is found, named, and nothing else is.

Goal: an audit that says "clean" can be believed. Method: a world in which everything is right (a fake switch on real
gRPC, fake control ports), and one fault at a time.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import pytest
from bayswitch.v1 import (
    common_pb2,
    participant_pb2,
    participant_pb2_grpc,
    payment_pb2,
    payment_pb2_grpc,
    settlement_pb2,
    settlement_pb2_grpc,
)

from loadtest.audit import Audit, audit

COMMITTED, ABORTED, IN_DOUBT = (
    payment_pb2.PAYMENT_STATE_COMMITTED,
    payment_pb2.PAYMENT_STATE_ABORTED,
    payment_pb2.PAYMENT_STATE_IN_DOUBT,
)

OPEN, CONFIRMED = settlement_pb2.OBLIGATION_STATE_OPEN, settlement_pb2.OBLIGATION_STATE_CONFIRMED


class World:
    """A switch, two rails and a client's memory. Right as made; a test spoils one thing."""

    def __init__(self) -> None:
        self.payments = {
            "WALLET": [
                self.paid("u-plain", "north", ("WALLET", "HKD", 500), ("GW_N", "HKD", -500)),
                self.paid(
                    "u-fx",
                    "south",
                    ("WALLET", "HKD", 100),
                    ("FX", "HKD", -100),
                    ("FX", "CNY", 91),
                    ("GW_S", "CNY", -91),
                    credit=("CNY", 91),
                ),
                payment_pb2.Payment(uetr="u-refused", state=ABORTED, rail="north", debit=money("HKD", 7)),
            ],
            # A bank on the north rail pays somebody on the south rail: both have it in their books.
            "GW_N": [self.paid("u-inbound", "south", ("GW_N", "CNY", 30), ("GW_S", "CNY", -30), credit=("CNY", 30))],
        }
        self.positions = {
            ("WALLET", "HKD"): 600,
            ("GW_N", "HKD"): -500,
            ("FX", "HKD"): -100,
            ("FX", "CNY"): 91,
            ("GW_S", "CNY"): -71,  # the settlement agent has paid it 50
            ("SA_CNY", "CNY"): -50,
            ("GW_N", "CNY"): 30,
        }
        self.obligations = [("GW_N", 50, OPEN), ("GW_S", -50, CONFIRMED)]  # of one window, in CNY
        self.reserved: dict[tuple[str, str], int] = {}
        self.books: dict[str, list[list[Any]]] = {
            "north": [
                ["u-plain", "done", 500, "HKD", "ACSC"],
                ["u-refused", "refused", 7, "HKD", "AC01"],
                ["u-inbound", "done", -30, "CNY", "ACSC"],
            ],
            "south": [["u-fx", "done", 91, "CNY", "10000"], ["u-inbound", "done", 30, "CNY", "10000"]],
        }
        self.twice: dict[str, dict[str, int]] = {"north": {}, "south": {}}
        self.answers = {"u-plain": "COMMITTED", "u-fx": "COMMITTED", "u-refused": "ABORTED"}

    @staticmethod
    def paid(uetr: str, rail: str, *entries: tuple[str, str, int], credit: tuple[str, int] | None = None) -> Any:
        _, asset, amount_minor = entries[0]
        return payment_pb2.Payment(
            uetr=uetr,
            state=COMMITTED,
            rail=rail,
            debit=money(asset, amount_minor),
            credit=money(*(credit or (asset, amount_minor))),
            entries=[
                payment_pb2.Entry(participant=who, asset=which, amount_minor=amount) for who, which, amount in entries
            ],
        )

    def record(self, uetr: str) -> Any:
        return next(payment for payments in self.payments.values() for payment in payments if payment.uetr == uetr)


def money(asset: str, amount_minor: int) -> common_pb2.Money:
    return common_pb2.Money(asset=asset, amount_minor=amount_minor)


class FakePayments(payment_pb2_grpc.PaymentServiceServicer):
    """Own payments, one to a page, with an empty page in front: pages may be short."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def ListPayments(self, request: Any, context: Any) -> Any:
        caller = dict(context.invocation_metadata())["x-bayswitch-participant"]
        own, page = self._world.payments.get(caller, []), int(request.page_token or 0)
        token = str(page + 1) if page < len(own) else ""
        return payment_pb2.ListPaymentsResponse(payments=own[page - 1 : page] if page else [], next_page_token=token)


class FakeParticipants(participant_pb2_grpc.ParticipantServiceServicer):
    def __init__(self, world: World) -> None:
        self._world = world

    async def GetPositions(self, request: Any, context: Any) -> Any:
        world = self._world
        rows = [
            participant_pb2.Position(
                participant_id=who, asset=asset, net_debit_minor=net, reserved_minor=world.reserved.get((who, asset), 0)
            )
            for (who, asset), net in world.positions.items()
        ]
        return participant_pb2.GetPositionsResponse(positions=rows)


class FakeSettlement(settlement_pb2_grpc.SettlementServiceServicer):
    """One window of one arrangement."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def ListArrangements(self, request: Any, context: Any) -> Any:
        cny = settlement_pb2.Arrangement(arrangement_id="cny", settlement_agent="SA_CNY")
        return settlement_pb2.ListArrangementsResponse(arrangements=[cny])

    async def ListWindows(self, request: Any, context: Any) -> Any:
        return settlement_pb2.ListWindowsResponse(windows=[settlement_pb2.Window(window_id="cny.1")])

    async def GetWindow(self, request: Any, context: Any) -> Any:
        obligations = [
            settlement_pb2.Obligation(participant=who, asset="CNY", amount_minor=amount_minor, state=state)
            for who, amount_minor, state in self._world.obligations
        ]
        window = settlement_pb2.Window(window_id=request.window_id, arrangement_id="cny", obligations=obligations)
        return settlement_pb2.GetWindowResponse(window=window)


@asynccontextmanager
async def fake_control(world: World, rail: str) -> AsyncIterator[str]:
    """A rail's control port: its payments, two to a page, and what it booked twice."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = json.loads(await reader.readline())
        if call["call"] == "twice":
            said: dict[str, Any] = {"twice": world.twice[rail]}
        else:
            page = world.books[rail][call["after"] : call["after"] + 2]
            said = {"payments": page, "after": call["after"] + len(page)}
        writer.write(json.dumps({"ok": True, **said}).encode() + b"\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def audited(world: World) -> Audit:
    server = grpc.aio.server()
    payment_pb2_grpc.add_PaymentServiceServicer_to_server(FakePayments(world), server)
    participant_pb2_grpc.add_ParticipantServiceServicer_to_server(FakeParticipants(world), server)
    settlement_pb2_grpc.add_SettlementServiceServicer_to_server(FakeSettlement(world), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with fake_control(world, "north") as north, fake_control(world, "south") as south:
            controls = {"north": north, "south": south}
            return await audit(f"127.0.0.1:{port}", "OPERATOR", list(world.payments), controls, world.answers)
    finally:
        await server.stop(None)


async def test_a_world_in_order_is_clean() -> None:
    found = await audited(World())
    assert found.clean, found
    assert (found.answers, dict(found.states), found.booked_at_rails) == (3, {"COMMITTED": 3, "ABORTED": 1}, 4)
    assert str(found) == "3 answers, records: 1 ABORTED, 3 COMMITTED; booked at the rails: 4"


def lost(world: World) -> None:
    world.answers["u-lost"] = "COMMITTED"


def told_otherwise(world: World) -> None:
    world.answers["u-refused"] = "COMMITTED"


def recorded_twice(world: World) -> None:
    world.payments["GW_N"].append(world.record("u-refused"))


def booked_twice(world: World) -> None:
    world.twice["north"] = {"u-plain": 2}


def paid_on_two_rails(world: World) -> None:
    world.books["south"].append(["u-plain", "done", 500, "HKD", "10000"])


def paid_and_aborted(world: World) -> None:
    world.books["north"][1][1] = "done"


def paid_without_record(world: World) -> None:
    world.books["south"].append(["u-nobody", "done", 5, "CNY", "10000"])


def committed_and_not_paid(world: World) -> None:
    del world.books["north"][0]


def paid_another_amount(world: World) -> None:
    world.books["south"][0][2] = 90


def unbalanced(world: World) -> None:
    world.record("u-plain").entries[1].amount_minor = -499
    world.positions["GW_N", "HKD"] = -499
    world.positions["FX", "HKD"] = -101
    world.record("u-fx").entries[1].amount_minor = -101


def aborted_with_entries(world: World) -> None:
    world.record("u-refused").entries.add(participant="WALLET", asset="HKD", amount_minor=7)
    world.record("u-refused").entries.add(participant="WALLET", asset="HKD", amount_minor=-7)


def committed_without_entries(world: World) -> None:
    del world.record("u-plain").entries[:]
    world.positions["WALLET", "HKD"], world.positions["GW_N", "HKD"] = 100, 0


def position_wrong(world: World) -> None:
    world.positions["WALLET", "HKD"] += 1


def position_missing(world: World) -> None:
    del world.positions["GW_S", "CNY"]


def settled_and_not_moved(world: World) -> None:
    world.obligations[0] = ("GW_N", 50, CONFIRMED)


def reserved_left(world: World) -> None:
    world.reserved["FX", "CNY"] = 12


def still_open(world: World) -> None:
    world.payments["WALLET"].append(payment_pb2.Payment(uetr="u-open", state=IN_DOUBT, rail="north"))


# The fault, and every line the audit then says.
FAULTS: list[tuple[Callable[[World], None], list[str]]] = [
    (lost, ["u-lost: a client was told COMMITTED, the record says no record"]),
    (told_otherwise, ["u-refused: a client was told COMMITTED, the record says ABORTED"]),
    (recorded_twice, ["u-refused: two records"]),
    (booked_twice, ["u-plain: north booked it 2 times"]),
    (paid_on_two_rails, ["u-plain: south paid 500, we committed None"]),
    (paid_and_aborted, ["u-refused: north paid 7, we committed None"]),
    (paid_without_record, ["u-nobody: south paid 5, we committed None"]),
    (committed_and_not_paid, ["u-plain: north paid None, we committed 500"]),
    (paid_another_amount, ["u-fx: south paid 90, we committed 91"]),
    (
        unbalanced,
        [
            "u-plain: COMMITTED with entries that do not balance",
            "u-fx: COMMITTED with entries that do not balance",
        ],
    ),
    (aborted_with_entries, ["u-refused: ABORTED with entries that do not balance"]),
    (committed_without_entries, ["u-plain: COMMITTED with entries that do not balance"]),
    (
        position_wrong,
        ["position of ('WALLET', 'HKD') is 601, its entries say otherwise", "positions in HKD sum to 1"],
    ),
    (
        position_missing,
        ["positions in CNY sum to 71", "no position for ('GW_S', 'CNY'), whose entries sum to -71"],
    ),
    (
        settled_and_not_moved,
        [
            "position of ('SA_CNY', 'CNY') is -50, its entries say otherwise",
            "position of ('GW_N', 'CNY') is 30, its entries say otherwise",
        ],
    ),
    (reserved_left, ["position of ('FX', 'CNY') still reserves 12"]),
    (still_open, ["u-open: still IN_DOUBT"]),
]


@pytest.mark.parametrize(("spoil", "says"), FAULTS, ids=[spoil.__name__ for spoil, _ in FAULTS])
async def test_a_planted_fault_is_found_and_named(spoil: Callable[[World], None], says: list[str]) -> None:
    world = World()
    spoil(world)
    found = await audited(world)
    assert not found.clean
    assert found.problems == says
    assert all(line in str(found) for line in says)


async def test_many_problems_are_counted_not_printed() -> None:
    world = World()
    world.answers.update({f"u-{number}": "COMMITTED" for number in range(50)})
    assert str(await audited(world)).endswith("… and 30 more")
