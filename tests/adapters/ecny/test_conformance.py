"""e-CNY keeps every promise of ports.Rail over TCP: all of them unsigned, and signed those that a signature could break."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from adapters.conformance import CHECKS, RailCase, run_check
from adapters.ecny import RAIL, rules
from adapters.kit.clock import wall_ms
from adapters.kit.control import control
from adapters.kit.faults import FaultKind
from switch.domain.money import Asset, Money
from switch.domain.payment import Hold
from switch.ports import InboundHandler
from tests.adapters.ecny.builders import make_hold, rail_pair

# SM2 takes some 60 ms a payment here: the checks with few messages, and the two that are about trust.
SIGNED = (
    "accepts", "repeat_is_safe", "other_body_is_refused", "never_seen", "silence_after_booking", "malformed_answer",
    "badly_signed_answer", "cancel_is_clean", "close_is_silence",
)  # fmt: skip


def _hold(wallet: str = "WL01", amount_minor: int = 100_00, *, age_ms: int = 0, **more: str) -> Hold:
    return make_hold(wallet, amount_minor, prepared_time_ms=wall_ms() - age_ms, **more)  # type: ignore[arg-type]


def _altered(hold: Hold) -> Hold:
    return hold._replace(instruction=hold.instruction._replace(credit=Money(Asset.ECNY, 1)))


REFUSALS: dict[str, Callable[[], Hold]] = {
    "CREDITOR_ACCOUNT_UNKNOWN": lambda: _hold("unknown"),
    "CREDITOR_ACCOUNT_CLOSED": lambda: _hold("closed"),
    "CREDITOR_ACCOUNT_BLOCKED": lambda: _hold("blocked"),
    "CREDITOR_AGENT_OFFLINE": lambda: _hold("offline"),
    "CREDITOR_AGENT_UNKNOWN": lambda: _hold(operator="C9999900000019"),
    "CREDITOR_NAME_MISMATCH": lambda: _hold(name="别人"),
    "PROXY_UNKNOWN": lambda: _hold(mobile="+852-69999999"),
    "WALLET_TIER_LIMIT": lambda: _hold("WL04", 2_000_01),
    "WALLET_BALANCE_LIMIT": lambda: _hold("full", 500_01),
    "RAIL_EXPIRED": lambda: _hold(age_ms=60_000),
}


def factory(keys_dir: Path, *, signing: bool) -> Callable[[InboundHandler], AbstractAsyncContextManager[RailCase]]:
    @asynccontextmanager
    async def make_case(handler: InboundHandler) -> AsyncIterator[RailCase]:
        async with rail_pair(keys_dir, signing=signing, clock=wall_ms, handler=handler) as (client, simulator):
            yield RailCase(
                client=client,
                control=lambda call, **more: control("127.0.0.1", simulator.control_port, call, **more),
                good=_hold,
                aged=lambda age_ms: _hold(age_ms=age_ms),
                altered=_altered,
                refusals=REFUSALS,
                codes=rules.REASON_OF,
                in_flight=lambda: client.link.in_flight,
                statement=RAIL.statement,
                institution=RAIL.institution,
                faults=frozenset(FaultKind) - (frozenset() if signing else {FaultKind.BAD_SIGNATURE}),
            )

    return make_case


@pytest.mark.parametrize("name", CHECKS)
async def test_unsigned(name: str, tmp_path: Path) -> None:
    await run_check(name, factory(tmp_path, signing=False))


@pytest.mark.parametrize("name", SIGNED)
async def test_signed(name: str, keys_dir: Path) -> None:
    await run_check(name, factory(keys_dir, signing=True))
