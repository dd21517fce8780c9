"""Holds for the digital-currency rail, and a pair of client and simulator on loopback."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.ecny.client import EcnyRail
from adapters.ecny.rules import INSTITUTION
from adapters.ecny.simulator import EcnySimulator
from adapters.kit.module import RailOptions, SimulatorOptions
from deploy.local.ports import free_ports
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import Hold
from switch.ports import InboundHandler

NOW_MS = 1_779_867_015_678  # 2026-05-27T15:30:15.678 in Hong Kong
UETR = "0f1e2d3c-4b5a-4697-8897-a6b5c4d3e2f1"

LOTUS, PEARL, OFFLINE = "C9000100000011", "C9000200000019", "C9000900000017"
# name -> (operator, wallet, holder) of seed.toml
WALLETS = {
    "WL01": (LOTUS, "0011000000000001", "陈大文"),
    "WL02": (LOTUS, "0011000000000002", "李小明"),
    "WL03": (PEARL, "0021000000000003", "黄志强"),
    "WL04": (PEARL, "0021000000000004", "CHAN TAI MAN"),
    "full": (PEARL, "0021000000000005", "WONG SIU LING"),
    "closed": (LOTUS, "0011000000000006", "张三"),
    "blocked": (LOTUS, "0011000000000007", "李四"),
    "offline": (OFFLINE, "0091000000000008", "王五"),
    "unknown": (LOTUS, "0011999999999999", "无名"),
}


class Clock:
    """A wall clock that moves when told."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.now = now_ms

    def __call__(self) -> int:
        return self.now


def make_hold(
    wallet: str = "WL01",
    amount_minor: int = 100_00,
    *,
    uetr: str = "",
    name: str = "",
    operator: str | None = None,
    number: str = "",
    mobile: str = "",
    level: int = 0,
    prepared_time_ms: int = NOW_MS,
    debtor_name: str = "CHAN SIU MAN",
) -> Hold:
    """A hold that pays one of WALLETS; a mobile names no operator."""
    agent, value, holder = WALLETS[wallet]
    account = Account(Scheme.MOBILE, mobile) if mobile else Account(Scheme.WALLET_ID, number or value, level)
    money = Money(Asset.ECNY, amount_minor)
    instruction = Instruction(
        participant="ALFA",
        request_id="r-1",
        uetr=uetr or str(uuid.uuid4()),
        end_to_end_id="E2E-1",
        debit=Money(Asset.HKD, amount_minor),
        credit=money,
        debtor=Party(debtor_name, Place.HK, Account(Scheme.ACCOUNT, "0128750123456")),
        creditor=Party(name or holder, Place.CN, account),
        creditor_agent="" if mobile else (agent if operator is None else operator),
        purpose="FAMILY_SUPPORT",
        remark="",
        quote_id="",
    )
    return Hold(instruction, "hk-cn-ecny", "ecny", (), (), prepared_time_ms, prepared_time_ms + 10_000)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until `condition()`, for half a minute at least."""
    for _ in range(15_000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it did not come about")


@asynccontextmanager
async def rail_pair(
    keys_dir: Path, *, signing: bool, clock: Callable[[], int] | None = None, handler: InboundHandler | None = None
) -> AsyncIterator[tuple[EcnyRail, EcnySimulator]]:
    """A simulator and a client of it, both on one clock."""
    clock = clock or Clock()
    port = free_ports(1)[0]  # of its own: a centre that was offline binds it again, and nobody may have taken it
    options = SimulatorOptions("127.0.0.1", port, 0, INSTITUTION, keys_dir, signing=signing)
    simulator = EcnySimulator(options, now_ms=clock)
    await simulator.start()
    client = EcnyRail(RailOptions("127.0.0.1", simulator.port, INSTITUTION, keys_dir, signing=signing), now_ms=clock)
    if handler is not None:
        client.listen(handler)
    try:
        await client.start()
        yield client, simulator
    finally:
        await client.close()
        await simulator.close()
