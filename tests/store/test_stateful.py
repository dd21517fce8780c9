"""Any order of steps against a plain model: what is reserved, booked, refused and told is the same in both."""

import asyncio
import uuid
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from switch.domain.money import Asset
from switch.domain.payment import TRANSITIONS, Hold, Payment, State
from switch.ports import Prepared
from switch.store import Store, open_store
from tests.store.builders import ACK, GATEWAY, NOTE_KEY, NOW_MS, charge, hold, join

AGENTS = ("ALFA", "BRAVO")
DAY_MAX = 400
ENDS = st.sampled_from([State.COMMITTED, State.ABORTED, State.IN_DOUBT])


class StoreMachine(RuleBasedStateMachine):
    """Two agents on one server, groups of any mixture. One shard: with more, claims may reorder a turn's prepares."""

    url = ""
    data_dir = Path()

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.states: dict[str, list[State]] = {}
        self.held: dict[str, Hold] = {}
        self.caps = dict.fromkeys(AGENTS, 1_000)
        self.store: Store = self.run(
            open_store(
                self.url,
                shards=1,
                durability="fsync",
                data_dir=self.data_dir,
                note_key=NOTE_KEY,
                namespace=f"m{uuid.uuid4().hex[:12]}",
            )
        )

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    @initialize()
    def agents_join(self) -> None:
        for agent in AGENTS:
            self.run(join(self.store, agent, self.caps[agent]))

    def total(self, agent: str, *states: State) -> int:
        return sum(self.held[u].instruction.debit.amount_minor for u, was in self.states.items()
                   if was[-1] in states and self.held[u].participant == agent)  # fmt: skip

    def counted(self, agent: str) -> int:
        return sum(row.charges[0].amount_minor for u, row in self.held.items()
                   if row.participant == agent and row.charges and self.states[u][-1] is not State.ABORTED)  # fmt: skip

    @rule(
        asked=st.lists(st.tuples(st.sampled_from(AGENTS), st.integers(1, 400), st.booleans()), min_size=1, max_size=8)
    )
    def prepare_many(self, asked: list[tuple[str, int, bool]]) -> None:
        holds = [self.hold_of(*one) for one in asked]

        async def all_at_once() -> list[Prepared]:
            return await asyncio.gather(*(self.store.payments.prepare(one, "") for one in holds))

        # Calls of one agent keep their order in a group, so the model may take them one by one.
        for one, prepared in zip(holds, self.run(all_at_once()), strict=True):
            agent, amount = one.participant, one.instruction.debit.amount_minor
            used = self.total(agent, State.PREPARED, State.IN_DOUBT, State.COMMITTED)
            reason = ""
            if one.charges and self.counted(agent) + amount > DAY_MAX:
                reason = "DAY_LIMIT"
            elif used + amount > self.caps[agent]:
                reason = "NET_DEBIT_CAP_EXCEEDED"
            assert prepared.fresh
            assert prepared.payment.history[-1].reason == reason
            self.held[one.uetr] = one
            self.states[one.uetr] = [State.ABORTED if reason else State.PREPARED]

    @staticmethod
    def hold_of(agent: str, amount: int, limited: bool) -> Hold:
        charges = (charge(amount, DAY_MAX)._replace(counter=f"north.day|{agent}"),) if limited else ()
        return hold(amount, debtor_agent=agent, charges=charges)

    @rule(data=st.data(), moves=st.lists(ENDS, min_size=1, max_size=6))
    def move_many(self, data: st.DataObject, moves: list[State]) -> None:
        if not self.held:
            return
        uetrs = [data.draw(st.sampled_from(list(self.held))) for _ in moves]

        async def all_at_once() -> list[Payment]:
            return await asyncio.gather(*(self.move(self.held[u], to) for u, to in zip(uetrs, moves, strict=True)))

        for uetr, to, payment in zip(uetrs, moves, self.run(all_at_once()), strict=True):
            was = self.states[uetr]
            if to in TRANSITIONS[was[-1]]:
                was.append(to)
            assert [step.state for step in payment.history] == was

    async def move(self, held: Hold, to: State) -> Payment:
        if to is State.COMMITTED:
            return await self.store.payments.commit(held, ACK, NOW_MS)
        if to is State.ABORTED:
            return await self.store.payments.abort(held, "RAIL_REFUSED", "MS03", NOW_MS)
        return await self.store.payments.doubt(held, NOW_MS)

    @rule(data=st.data())
    def repeat_a_request(self, data: st.DataObject) -> None:
        if not self.held:
            return
        uetr = data.draw(st.sampled_from(list(self.held)))
        again = self.run(self.store.payments.prepare(self.held[uetr], ""))
        assert not again.fresh
        assert [step.state for step in again.payment.history] == self.states[uetr]

    @rule(agent=st.sampled_from(AGENTS), cap=st.integers(0, 3_000))
    def set_cap(self, agent: str, cap: int) -> None:
        self.run(self.store.participants.set_cap(agent, Asset.HKD, cap, "operator", "test", NOW_MS))
        self.caps[agent] = cap

    @invariant()
    def positions_are_the_models(self) -> None:
        rows = {row.participant: row for row in self.run(self.store.payments.positions())}
        assert sum(row.net_debit_minor for row in rows.values()) == 0
        for agent in AGENTS:
            if agent in rows:
                assert rows[agent].net_debit_minor == self.total(agent, State.COMMITTED)
                assert rows[agent].reserved_minor == self.total(agent, State.PREPARED, State.IN_DOUBT) >= 0
                assert rows[agent].used_minor == rows[agent].net_debit_minor + rows[agent].reserved_minor
        paid = sum(self.total(agent, State.COMMITTED) for agent in AGENTS)
        assert not paid or rows[GATEWAY].net_debit_minor == -paid

    @invariant()
    def every_final_payment_is_told_once_without_a_gap(self) -> None:
        payments = self.store.payments
        facts = [entry.fact for entry in self.run(payments.outbox_read(0, 10_000))]
        final = {uetr: was[-1] for uetr, was in self.states.items() if was[-1].final}
        assert len(facts) == len(final)
        assert {fact.uetr: fact.state for fact in facts} == final
        for agent in AGENTS:
            sequence = [fact.sequence for fact in facts if fact.debtor_agent == agent]
            assert sequence == list(range(1, len(sequence) + 1))
        running = len(self.states) - len(final)
        assert self.run(payments.holds())[0] == running
        assert len(self.run(payments.overdue(NOW_MS * 2, 10_000))) == running

    @invariant()
    def every_change_is_told_in_order(self) -> None:
        for agent in AGENTS:
            told: dict[str, list[State]] = {}
            for change in self.run(self.store.payments.changes(agent, "", 10_000)):
                told.setdefault(change.uetr, []).append(change.state)
            assert told == {uetr: was for uetr, was in self.states.items() if self.held[uetr].participant == agent}

    def teardown(self) -> None:
        self.run(self.store.close())
        self.runner.close()


def test_the_store_is_the_model(valkey_url: str, tmp_path: Path) -> None:
    machine = type("Machine", (StoreMachine,), {"url": valkey_url, "data_dir": tmp_path})
    quick = settings(
        max_examples=60,
        stateful_step_count=15,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=quick)
