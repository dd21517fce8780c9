"""What the tests of this rail share: holds, a rail with its simulator on loopback, waiting without sleeping blind."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from adapters.alipay import RAIL, rules
from adapters.alipay.client import AlipayRail
from adapters.alipay.simulator import AlipaySimulator
from adapters.conformance import RailCase, hold_of
from adapters.kit.clock import wall_ms as now_ms
from adapters.kit.control import control
from adapters.kit.faults import Fault, FaultRule, Operation
from adapters.kit.module import RailOptions, SimulatorOptions
from deploy.local.ports import free_ports
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import Hold
from switch.errors import RailUnavailable
from switch.ports import InboundHandler

__all__ = ["BUDGET_MS", "SHORT_MS", "Running", "case_factory", "hold_to", "in_short", "now_ms", "running", "until"]

BUDGET_MS = 30_000  # no answer takes so long, though the machine stand still for seconds
SHORT_MS = 400  # waited out
T = TypeVar("T")


def hold_to(
    scheme: Scheme,
    value: str,
    amount_minor: int = 100_00,
    *,
    name: str = "测试甲",
    asset: Asset = Asset.CNY,
    remark: str = "",
    uetr: str = "",
    prepared_time_ms: int = 0,
) -> Hold:
    """A hold that pays `value`; a fresh UETR and the time of now unless given."""
    money = Money(asset, amount_minor)
    instruction = Instruction(
        participant="HKWALLET",
        request_id=str(uuid.uuid4()),
        uetr=uetr or str(uuid.uuid4()),
        end_to_end_id="E2E-1",
        debit=money,
        credit=money,
        debtor=Party("Debtor", Place.HK, Account(Scheme.ACCOUNT, "1")),
        creditor=Party(name, Place.CN, Account(scheme, value)),
        creditor_agent="",
        purpose="",
        remark=remark,
        quote_id="",
    )
    return hold_of("alipay", instruction, prepared_time_ms or now_ms())


class Running(NamedTuple):
    """A rail and its simulator, both up."""

    rail: AlipayRail
    simulator: AlipaySimulator

    def fault(self, text: str, *, count: int = 0, on: Operation = Operation.PREPARE) -> None:
        self.simulator.faults.set(FaultRule(Fault.parse(text), count=count, on=on))

    def paid(self, hold: Hold) -> list[int]:
        """The statement lines of a payment, in minor units."""
        return [line.amount_minor for line in self.simulator.desk.books.paid(hold.uetr)]


@asynccontextmanager
async def running(
    keys_dir: Path, handler: InboundHandler | None = None, *, signing: bool = True, message_valid_ms: int = 30_000
) -> AsyncIterator[Running]:
    """Both on free ports of the loopback."""
    port = free_ports(1)[0]  # of its own: a rail that was offline binds it again, and nobody may have taken it
    simulator = AlipaySimulator(
        SimulatorOptions(
            "127.0.0.1", port, 0, RAIL.institution, keys_dir, signing=signing, message_valid_ms=message_valid_ms
        )
    )
    await simulator.start()
    rail = AlipayRail(
        RailOptions(
            "127.0.0.1", simulator.port, RAIL.institution, keys_dir, signing=signing, message_valid_ms=message_valid_ms
        )
    )
    if handler is not None:
        rail.listen(handler)
    await rail.start()
    try:
        yield Running(rail, simulator)
    finally:
        await rail.close()
        await simulator.close()


# --- conformance -----------------------------------------------------------------------------------------------------
Payee = tuple[Scheme, str, str]  # scheme, address, name
JIA: Payee = (Scheme.ALIPAY_LOGIN, "13800138000", "测试甲")
CODE: Payee = (Scheme.PAYMENT_CODE, "280000000000000001", "Shop")

TRANSFER_REFUSALS: dict[str, tuple[Payee, int]] = {
    "PROXY_UNKNOWN": ((Scheme.MOBILE, "+86-13899999999", "测试甲"), 100),
    "CREDITOR_ACCOUNT_UNKNOWN": ((Scheme.ALIPAY_USER, "2088999999999999", "测试甲"), 100),
    "CREDITOR_ACCOUNT_CLOSED": ((Scheme.ALIPAY_LOGIN, "13800138003", "测试丙"), 100),
    "CREDITOR_ACCOUNT_BLOCKED": ((Scheme.ALIPAY_LOGIN, "13800138004", "测试丁"), 100),
    "CREDITOR_NAME_MISMATCH": ((Scheme.ALIPAY_LOGIN, "13800138000", "测试乙"), 100),
    "RAIL_AMOUNT_LIMIT": ((Scheme.ALIPAY_LOGIN, "13800138005", "测试戊"), 1_000_01),
}
CODE_REFUSALS: dict[str, tuple[Payee, int]] = {
    "PAYER_CODE_INVALID": ((Scheme.PAYMENT_CODE, "280000000000000099", "Shop"), 100),
    "PAYER_FUNDS": ((Scheme.PAYMENT_CODE, "280000000000000002", "Shop"), 50_01),
    "CREDITOR_ACCOUNT_BLOCKED": ((Scheme.PAYMENT_CODE, "280000000000000004", "Shop"), 100),
    "RAIL_AMOUNT_LIMIT": ((Scheme.PAYMENT_CODE, "280000000000000005", "Shop"), 1_000_01),
}


def case_factory(
    keys_dir: Path, payee: Payee, refusals: dict[str, tuple[Payee, int]], *, signing: bool
) -> Callable[[InboundHandler], AbstractAsyncContextManager[RailCase]]:
    """adapters.conformance over HTTP, paying `payee`."""

    def to(payee: Payee, amount_minor: int = 123_45, prepared_time_ms: int = 0, uetr: str = "") -> Hold:
        scheme, value, name = payee
        return hold_to(scheme, value, amount_minor, name=name, uetr=uetr, prepared_time_ms=prepared_time_ms)

    def refused(reason: str) -> Callable[[], Hold]:
        return lambda: to(*refusals[reason])

    @asynccontextmanager
    async def make_case(handler: InboundHandler) -> AsyncIterator[RailCase]:
        async with running(keys_dir, handler, signing=signing) as pair:
            yield RailCase(
                client=pair.rail,
                control=lambda call, **more: control("127.0.0.1", pair.simulator.control_port, call, **more),
                good=lambda: to(payee),
                aged=lambda age_ms: to(payee, prepared_time_ms=now_ms() - age_ms),
                altered=lambda hold: to(payee, 999_00, hold.prepared_time_ms, hold.uetr),
                refusals={reason: refused(reason) for reason in refusals},
                codes=rules.SUB_CODES,
                in_flight=lambda: pair.rail.in_flight,
                statement=RAIL.statement,
                institution=RAIL.institution,
                faults=pair.simulator.faults.supported,
            )

    return make_case


async def in_short(ask: Callable[[Hold, int], Awaitable[T]], hold: Hold) -> T:
    """What comes of `ask` in SHORT_MS; again, when they were over before anything was sent: the machine stood still."""
    for _ in range(20):
        with contextlib.suppress(RailUnavailable):
            return await ask(hold, SHORT_MS)
    raise AssertionError("nothing is ever sent")


async def until(condition: Callable[[], bool], budget_ms: int = BUDGET_MS) -> None:
    """Poll, bounded."""
    async with asyncio.timeout(budget_ms / 1000):
        while not condition():  # noqa: ASYNC110  what is waited for is another side's state
            await asyncio.sleep(0.005)
