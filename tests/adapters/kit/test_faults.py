"""The fault table, its text, and its control port."""

import pytest

from adapters.kit.books import Books
from adapters.kit.control import ControlServer, control
from adapters.kit.faults import RULES_MAX, Fault, FaultKind, FaultRule, FaultTable, Operation
from switch.errors import InvalidValue, RailUnavailable


@pytest.mark.parametrize("text", ["slow:500", "silent", "silent_then_late:1", "twice", "refuse:AC04", "offline", "cut"])
def test_text_round_trips(text: str) -> None:
    assert str(Fault.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "sloth", "slow", "slow:", "slow:x", "slow:0", "slow:-5", "slow:120001", "refuse", "twice:2", "cut:AC04"],
)
def test_bad_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        Fault.parse(text)
    assert refused.value.rule == "FAULT"


def test_a_rule_strikes_as_often_as_told_and_then_is_gone() -> None:
    table = FaultTable()
    table.set(FaultRule(Fault.parse("twice"), count=2))
    assert [table.take(Operation.PREPARE) is not None for _ in range(4)] == [True, True, False, False]
    assert table.rules() == []


def test_a_rule_without_count_strikes_for_ever_and_only_where_it_was_set() -> None:
    table = FaultTable()
    table.set(FaultRule(Fault.parse("silent"), on=Operation.ENQUIRE))
    assert table.take(Operation.PREPARE) is None
    assert all(table.take(Operation.ENQUIRE) for _ in range(10))
    table.clear()
    assert table.take(Operation.ENQUIRE) is None


def test_probability_comes_from_its_seed() -> None:
    def strikes(seed: int) -> list[bool]:
        rule = FaultRule(Fault.parse("silent"), per_mille=300, seed=seed)
        return [rule.strikes(Operation.PREPARE) for _ in range(1000)]

    assert strikes(7) == strikes(7)
    assert strikes(7) != strikes(8)
    assert 200 < sum(strikes(7)) < 400


def test_a_mark_counts_where_no_rule_does_and_never_for_enquiries() -> None:
    table, mark = FaultTable(), Fault.parse("silent")
    assert table.take(Operation.PREPARE, mark) == mark
    assert table.take(Operation.ENQUIRE, mark) is None
    table.set(FaultRule(Fault.parse("twice"), count=1))
    assert table.take(Operation.PREPARE, mark) == Fault(FaultKind.TWICE)


def test_the_table_refuses_what_the_rail_cannot_show() -> None:
    table = FaultTable(supported={FaultKind.REFUSE}, codes={"AC04"})
    table.set(FaultRule(Fault.parse("refuse:AC04")))
    for text in ("twice", "refuse:ZZ99"):
        with pytest.raises(InvalidValue):
            table.set(FaultRule(Fault.parse(text)))
    for _ in range(RULES_MAX - 1):
        table.set(FaultRule(Fault.parse("refuse:AC04")))
    with pytest.raises(InvalidValue):
        table.set(FaultRule(Fault.parse("refuse:AC04")))


async def test_control_port() -> None:
    faults = FaultTable()
    server = ControlServer("127.0.0.1", 0, faults, Books())
    await server.start()
    try:
        answer = await control("127.0.0.1", server.port, "fault", fault="slow:500", count=3)
        assert answer["faults"] == [{"fault": "slow:500", "on": "prepare", "left": 3, "per_mille": 1000}]
        assert (await control("127.0.0.1", server.port, "health")) == {"serving": True, "payments": 0}
        await control("127.0.0.1", server.port, "fault", fault="offline")
        assert not (await control("127.0.0.1", server.port, "health"))["serving"]
        assert (await control("127.0.0.1", server.port, "clear"))["faults"] == []
        assert (await control("127.0.0.1", server.port, "payments"))["payments"] == []
        for call, parameters in (
            ("fault", {"fault": "sloth"}),
            ("fault", {}),
            ("fault", {"fault": "twice", "on": "tuesday"}),
            ("payments", {"count": 0}),
            ("inbound", {}),
            ("_answer", {}),
            ("health", {"colour": 1}),
        ):
            with pytest.raises(InvalidValue):
                await control("127.0.0.1", server.port, call, **parameters)
    finally:
        await server.close()
    with pytest.raises(RailUnavailable):
        await control("127.0.0.1", server.port, "health")
