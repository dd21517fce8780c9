"""What the tests of every push rail are made of: holds, a running hub with its client, and the case of its promises."""

import re
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis import strategies as st

from adapters.conformance import RailCase, hold_of
from adapters.kit.clock import wall_ms as now_ms
from adapters.kit.control import control
from adapters.kit.faults import FaultKind
from adapters.kit.module import RailModule, RailOptions, SimulatorOptions
from adapters.kit.push_client import PushRail
from adapters.kit.push_codec import ISO_REASONS
from adapters.kit.push_simulator import PushSimulator
from deploy.local.ports import free_ports
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Scheme
from switch.domain.payment import Hold
from switch.errors import RailRejected, RailSilent
from switch.ports import Enquiry, InboundHandler, Outcome, RailAck
from tests.iso20022 import assert_valid, part

__all__ = [
    "NOON",
    "PushCases",
    "assert_golden",
    "now_ms",
    "outcome_of",
    "remarks",
    "rows_of",
    "texts",
    "uetrs",
]

NOON = 1_795_060_800_000  # 2026-11-19T12:00 in Hong Kong and Macau

texts = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x9FFF, exclude_categories=("Cc", "Cs", "Zs")), min_size=1
)
uetrs = st.uuids(version=4).map(str)
remarks = st.one_of(st.just(""), texts.map(lambda text: text[:140]))


def rows_of(table: str) -> list[list[str]]:
    """The rows of a table-text below its head; columns are two spaces apart."""
    return [re.split(r"\s{2,}", line.strip()) for line in table.splitlines()[2:] if line.strip()]


def outcome_of(call: Callable[[], RailAck | Enquiry]) -> str:
    """How an answer is understood, in a word of a table."""
    try:
        result = call()
    except RailSilent:
        return "silent"
    except RailRejected as refused:
        return refused.reason.name
    if isinstance(result, RailAck):
        return f"ack {result.rail_reference}"
    assert (result.ack is not None) == (result.outcome is Outcome.DONE)
    return result.outcome.name


def assert_golden(path: Path, payload: bytes, document: type[Any], header: type[Any]) -> None:
    """The files are indented for people; the wire has no space between elements."""
    assert re.sub(r">\n\s*<", "><", path.read_text("utf-8")).strip().encode() == payload
    assert_valid(part(payload, "Document"), document)
    assert_valid(part(payload, "AppHdr"), header)


@dataclass(frozen=True)
class PushCases:
    """One push rail under test, with the people of its seed."""

    rail: RailModule
    codec: ModuleType
    hub_codec: ModuleType
    spec: ModuleType
    make_client: Callable[..., PushRail[Any]]
    make_simulator: Callable[..., PushSimulator[Any]]
    asset: Asset
    participant: str
    debtor: Party  # of a payment to this rail (made up)
    report_document: type[Any]  # its pacs.002 as the ISO schema has it
    payee: tuple[str, Scheme, str, str]  # agent, scheme, number, name: gets and sends what you like
    payee_document: str  # its type
    limited: str  # a mobile whose account takes 10,000.00 a day
    silent: str  # mobiles of accounts that show a fault
    silent_booked: str
    refusals: Mapping[str, Callable[[], Instruction]]  # our reason -> a payment that the hub refuses with it
    inbound: Mapping[str, Any]  # the payee pays somebody behind the switch
    no_instruction: Mapping[str, Any]  # changes to a transfer that leave it readable, but no instruction

    # --- what is asked -----------------------------------------------------------------------------------------------
    def instruction(
        self,
        agent: str | None = None,
        scheme: Scheme = Scheme.ACCOUNT,
        value: str | None = None,
        name: str | None = None,
        *,
        amount_minor: int = 123_45,
        asset: Asset | None = None,
        uetr: str = "",
    ) -> Instruction:
        """A payment to somebody on the rail; to the payee where nothing else is said."""
        uetr, money = uetr or str(uuid.uuid4()), Money(asset or self.asset, amount_minor)
        agent = self.payee[0] if agent is None else agent
        account = Account(scheme, self.payee[2] if value is None else value)
        creditor = Party(self.payee[3] if name is None else name, self.rail.place, account)
        return Instruction(
            self.participant, f"r-{uetr}", uetr, "INV-0001", money, money, self.debtor, creditor, agent,
            "FAMILY_SUPPORT", "rent", "",
        )  # fmt: skip

    def mobile(self, number: str, **more: Any) -> Instruction:
        """A payment to whoever has this mobile."""
        return self.instruction("", Scheme.MOBILE, number, **more)

    def hold(self, made: Instruction | None = None, age_ms: int = 0) -> Hold:
        """Prepared `age_ms` ago."""
        return hold_of(self.rail.name, made or self.instruction(), now_ms() - age_ms)

    # --- a hub without a network -------------------------------------------------------------------------------------
    def hub(self, now: Callable[[], int] = lambda: NOON, seed: Path | None = None) -> PushSimulator[Any]:
        return self.make_simulator(SimulatorOptions("127.0.0.1", 0, 0, self.rail.institution, Path(), seed), now_ms=now)

    def ask(self, hub: PushSimulator[Any], payload: bytes) -> Any:
        """The status report that the hub answers with."""
        reply = hub._handle(payload)
        assert reply is not None
        return self.spec.report_codec.read(reply.answers[0])

    def transfer(self, made: Instruction, prepared_ms: int = NOON) -> bytes:
        payload = self.codec.encode_transfer(hold_of(self.rail.name, made, prepared_ms), self.rail.institution)
        assert isinstance(payload, bytes)
        return payload

    def pay(self, hub: PushSimulator[Any], made: Instruction, prepared_ms: int = NOON) -> str:
        """The code the hub answers a payment with."""
        answer = self.ask(hub, self.transfer(made, prepared_ms))
        return str(answer.reason or answer.status)

    def assert_rule(self, row: list[str]) -> None:
        """A row of a table of rules: agent, scheme, address, name, asset, amount_minor, answer."""
        agent, scheme, address, name, asset, amount, answer = row
        made = self.instruction(
            agent.strip("-"), Scheme[scheme], address, name, amount_minor=int(amount), asset=Asset[asset]
        )
        assert self.pay(self.hub(), made) == answer

    # --- over TCP ----------------------------------------------------------------------------------------------------
    @asynccontextmanager
    async def running(
        self, handler: InboundHandler | None = None, *, seed: Path | None = None
    ) -> AsyncIterator[tuple[PushRail[Any], PushSimulator[Any]]]:
        """A mock hub on free ports and a client connected to it."""
        ours = self.rail.institution
        # A port of its own: a hub that was offline binds it again, and nobody may have taken it.
        simulator = self.make_simulator(SimulatorOptions("127.0.0.1", free_ports(1)[0], 0, ours, Path(), seed))
        await simulator.start()
        client = self.make_client(RailOptions("127.0.0.1", simulator.port, ours, Path()))
        if handler is not None:
            client.listen(handler)
        await client.start()
        try:
            yield client, simulator
        finally:
            await client.close()
            await simulator.close()

    @asynccontextmanager
    async def make_case(self, handler: InboundHandler) -> AsyncIterator[RailCase]:
        """adapters.conformance over TCP."""
        async with self.running(handler) as (client, simulator):
            yield RailCase(
                client=client,
                control=lambda call, **more: control("127.0.0.1", simulator.control_port, call, **more),
                good=self.hold,
                aged=lambda age_ms: self.hold(age_ms=age_ms),
                altered=self._altered,
                refusals={reason: self._maker(make) for reason, make in self.refusals.items()},
                codes=ISO_REASONS,
                in_flight=lambda: client.link.in_flight,
                statement=self.rail.statement,
                institution=self.rail.institution,
                inbound=self.inbound,
                faults=frozenset(FaultKind) - {FaultKind.BAD_SIGNATURE},
            )

    def _maker(self, make: Callable[[], Instruction]) -> Callable[[], Hold]:
        return lambda: self.hold(make())

    def _altered(self, hold: Hold) -> Hold:
        other = Money(self.asset, 999_00)
        return hold._replace(instruction=hold.instruction._replace(credit=other, debit=other))
