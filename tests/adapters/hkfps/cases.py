"""Holds and a running FPS for the tests of this folder."""

import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.conformance import RailCase, hold_of
from adapters.hkfps import RAIL
from adapters.hkfps.client import FpsRail
from adapters.hkfps.simulator import FpsSimulator
from adapters.kit.control import control
from adapters.kit.faults import FaultKind
from adapters.kit.module import RailOptions, SimulatorOptions
from adapters.kit.push_codec import ISO_REASONS
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import Hold
from switch.ports import InboundHandler

__all__ = ["CHAN", "instruction", "make_case", "now_ms", "running"]

CHAN = ("012", Scheme.ACCOUNT, "012-875-0-123456-7", "CHAN TAI MAN")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def instruction(
    agent: str = "012",
    scheme: Scheme = Scheme.ACCOUNT,
    value: str = CHAN[2],
    name: str = CHAN[3],
    *,
    amount_minor: int = 123_45,
    asset: Asset = Asset.HKD,
    uetr: str = "",
) -> Instruction:
    """A payment of a mainland wallet user (made up) to somebody on FPS."""
    uetr = uetr or str(uuid.uuid4())
    money = Money(asset, amount_minor)
    debtor = Party("ZHANG SAN", Place.CN, Account(Scheme.ALIPAY_USER, "2088000000000001"))
    creditor = Party(name, Place.HK, Account(scheme, value))
    return Instruction(
        "CNWALLET", f"r-{uetr}", uetr, "INV-0001", money, money, debtor, creditor, agent, "FAMILY_SUPPORT", "rent", ""
    )


REFUSALS: dict[str, Callable[[], Instruction]] = {
    "CREDITOR_AGENT_UNKNOWN": lambda: instruction("777"),
    "CREDITOR_AGENT_OFFLINE": lambda: instruction("061", value="061-001-000001-1", name="NG OFFLINE"),
    "PROXY_UNKNOWN": lambda: instruction("", Scheme.MOBILE, "+852-55555555"),
    "CREDITOR_ACCOUNT_UNKNOWN": lambda: instruction(value="012-000-0-000000-0"),
    "CREDITOR_ACCOUNT_CLOSED": lambda: instruction(value="012-875-0-000004-4", name="HO CLOSED"),
    "CREDITOR_ACCOUNT_BLOCKED": lambda: instruction(value="012-875-0-000006-6", name="LAM BLOCKED"),
    "CREDITOR_NAME_MISMATCH": lambda: instruction(name="CHAN SIU MAN"),
    "CURRENCY_NOT_ACCEPTED": lambda: instruction("949", value="949000000001", name="LEE KA YAN", asset=Asset.CNH),
    "RAIL_AMOUNT_LIMIT": lambda: instruction(value="012-875-0-000002-2", name="YIP SMALL LIMIT", amount_minor=100_01),
    "REGULATORY": lambda: instruction("", Scheme.MOBILE, "+852-59000009"),
}


def _hold(made: Instruction, age_ms: int = 0) -> Hold:
    return hold_of(RAIL.name, made, now_ms() - age_ms)


def _maker(make: Callable[[], Instruction]) -> Callable[[], Hold]:
    return lambda: _hold(make())


def _altered(hold: Hold) -> Hold:
    other = hold.instruction._replace(credit=Money(Asset.HKD, 999_00), debit=Money(Asset.HKD, 999_00))
    return hold._replace(instruction=other)


@asynccontextmanager
async def running(
    handler: InboundHandler | None = None, *, connections: int = 2
) -> AsyncIterator[tuple[FpsRail, FpsSimulator]]:
    """A mock FPS on free ports and a client connected to it."""
    simulator = FpsSimulator(SimulatorOptions("127.0.0.1", 0, 0, RAIL.institution, Path()))
    await simulator.start()
    client = FpsRail(RailOptions("127.0.0.1", simulator.port, RAIL.institution, Path(), connections))
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
                "institution": "012", "number": CHAN[2], "amount_minor": 500_00, "asset": "HKD", "scheme": "MOBILE",
                "creditor": "+86-13800138000", "name": "LI SI", "place": "CN", "purpose": "FAMILY_SUPPORT",
            },
            faults=frozenset(FaultKind) - {FaultKind.BAD_SIGNATURE},
        )  # fmt: skip
