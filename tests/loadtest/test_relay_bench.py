"""The bench of the relay on a small outbox: every row is there, and everything was published."""

from loadtest import relay_bench


def test_it_measures_the_steps_and_a_relay_of_its_own() -> None:
    found = {row["measure"]: row["figure"] for row in relay_bench.rows(1_200)}
    assert list(found) == [
        "read from the store, notes sealed",
        "encode, with headers",
        "write to the broker",
        "write to the broker, without headers",
        "one record",
        "one relay, one shard",
        "its CPU",
    ]
    assert all(figure > 0 for figure in found.values())
