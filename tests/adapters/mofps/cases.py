"""Holds and a running Easy Transfer for the tests of this folder."""

import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.conformance import RailCase, hold_of
from adapters.kit.control import control
from adapters.kit.faults import FaultKind
from adapters.kit.module import RailOptions, SimulatorOptions
from adapters.kit.push_codec import ISO_REASONS
from adapters.mofps import RAIL
from adapters.mofps.client import EasyTransferRail
from adapters.mofps.simulator import EasyTransferSimulator
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import Hold
from switch.ports import InboundHandler

__all__ = ["LEONG", "instruction", "make_case", "now_ms", "running"]

LEONG = ("101", Scheme.ACCOUNT, "101-11-20-000123", "LEONG KA MAN")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def instruction(
    agent: str = "101",
    scheme: Scheme = Scheme.ACCOUNT,
    value: str = LEONG[2],
    name: str = LEONG[3],
    *,
    amount_minor: int = 123_45,
    asset: Asset = Asset.MOP,
    uetr: str = "",
) -> Instruction:
    """A payment of a Hong Kong wallet user (made up) to somebody on Easy Transfer."""
    uetr = uetr or str(uuid.uuid4())
    money = Money(asset, amount_minor)
    debtor = Party("CHAN TAI MAN", Place.HK, Account(Scheme.ACCOUNT, "949000000001"))
    creditor = Party(name, Place.MO, Account(scheme, value))
    return Instruction(
        "HKWALLET", f"r-{uetr}", uetr, "INV-0001", money, money, debtor, creditor, agent, "FAMILY_SUPPORT", "rent", ""
    )


REFUSALS: dict[str, Callable[[], Instruction]] = {
    "CREDITOR_AGENT_UNKNOWN": lambda: instruction("777"),
    "CREDITOR_AGENT_OFFLINE": lambda: instruction("161", value="161-001-000001", name="NG OFFLINE"),
    "PROXY_UNKNOWN": lambda: instruction("", Scheme.MOBILE, "+853-65555555"),
    "CREDITOR_ACCOUNT_UNKNOWN": lambda: instruction(value="101-00-00-000000"),
    "CREDITOR_ACCOUNT_CLOSED": lambda: instruction(value="101-11-20-000004", name="CHAN CLOSED"),
    "CREDITOR_ACCOUNT_BLOCKED": lambda: instruction(value="101-11-20-000006", name="LEI BLOCKED"),
    "CREDITOR_NAME_MISMATCH": lambda: instruction(name="LEONG SIU MAN"),
    "CURRENCY_NOT_ACCEPTED": lambda: instruction("149", value="149000000001", name="SOU IN", asset=Asset.HKD),
    "RAIL_AMOUNT_LIMIT": lambda: instruction(value="101-11-20-000002", name="VONG SMALL LIMIT", amount_minor=100_01),
    "REGULATORY": lambda: instruction("", Scheme.MOBILE, "+853-69000009"),
}


def _hold(made: Instruction, age_ms: int = 0) -> Hold:
    return hold_of(RAIL.name, made, now_ms() - age_ms)


def _maker(make: Callable[[], Instruction]) -> Callable[[], Hold]:
    return lambda: _hold(make())


def _altered(hold: Hold) -> Hold:
    other = hold.instruction._replace(credit=Money(Asset.MOP, 999_00), debit=Money(Asset.MOP, 999_00))
    return hold._replace(instruction=other)


@asynccontextmanager
async def running(
    handler: InboundHandler | None = None, *, seed: Path | None = None
) -> AsyncIterator[tuple[EasyTransferRail, EasyTransferSimulator]]:
    """A mock Easy Transfer on free ports and a client connected to it."""
    simulator = EasyTransferSimulator(SimulatorOptions("127.0.0.1", 0, 0, RAIL.institution, Path(), seed))
    await simulator.start()
    client = EasyTransferRail(RailOptions("127.0.0.1", simulator.port, RAIL.institution, Path()))
    if handler is not None:
        client.listen(handler)
    await client.start()
    try:
        yield client, simulator
    finally:
        await client.close()
        await simulator.close()


@asynccontextmanager
async def make_case(handler: InboundHandler) -> AsyncIterator[RailCase]:
    """adapters.conformance over TCP."""
    async with running(handler) as (client, simulator):
        yield RailCase(
            client=client,
            control=lambda call, **more: control("127.0.0.1", simulator.control_port, call, **more),
            good=lambda: _hold(instruction()),
            aged=lambda age_ms: _hold(instruction(), age_ms),
            altered=_altered,
            refusals={reason: _maker(make) for reason, make in REFUSALS.items()},
            codes=ISO_REASONS,
            in_flight=lambda: client.link.in_flight,
            inbound={
                "institution": "101", "number": LEONG[2], "amount_minor": 500_00, "asset": "MOP", "scheme": "MOBILE",
                "creditor": "+86-13800138000", "name": "LI SI", "place": "CN", "purpose": "FAMILY_SUPPORT",
            },
            faults=frozenset(FaultKind) - {FaultKind.BAD_SIGNATURE},
        )  # fmt: skip
