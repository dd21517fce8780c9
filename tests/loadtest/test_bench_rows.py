"""The table of the bench: what a row says, which goals are met, and that every row of the issue is there."""

import json
from collections import Counter

import pytest

from loadtest.bench import PARTS, measure
from loadtest.bench_rows import ROWS, Figure, Goal, Row, Scale, judged, named, ratio, rows_of
from loadtest.bench_table import as_json, as_markdown, goal, heading, line, machine, met, number, spread

# What issue 5 asks for: measure | what is compared | bound
GOALS = """
unary.rate                | ratio | >= 0.75
unary.p99                 | ratio | <= 2
unary.cpu                 | value | <= 1
batch.rate                | value | >= 25000
batch.cpu                 | value | <= 0.1
rails.mofps               | ratio | >= 0.7
rails.ecny                | ratio | >= 0.7
codec.write               | value | <= 3
codec.write_lxml          | times | >= 30
codec.write_xsdata        | times | >= 30
codec.write_plain         | times | >= 10
codec.read                | value | <= 3
codec.record_lxml         | times | >= 30
codec.record_xsdata       | times | >= 30
codec.record_plain        | times | >= 10
growth.rate               | ratio | >= 0.9
growth.cpu                | ratio | <= 1.1
growth.memory             | ratio | <= 1.1
growth.participants_rate  | ratio | >= 0.9
growth.participants_cpu   | ratio | <= 1.1
growth.corridors          | ratio | <= 1.1
workers.unary             | ratio | >= 1.6
workers.unary_cpu         | times | >= 0.8
workers.batch             | ratio | >= 1.6
workers.batch_cpu         | times | >= 0.8
shards.rate               | ratio | >= 1.6
shards.cpu                | times | >= 1.6
metrics.unary             | ratio | <= 0.03
metrics.batch             | ratio | <= 0.03
settle.exact              | value | <= 0
"""

# goal | runs | reference | what is compared | met
JUDGED = """
value >= 10   | 9 10 30   |          |       | True
value >= 10   | 9 9 30    |          |       | False
value <= 3    | 3         |          |       | True
ratio >= 0.75 | 30 40 50  | 40 50 60 | 0.8   | True
ratio >= 0.9  | 30 40 50  | 40 50 60 | 0.8   | False
ratio >= 1.6  | 8 9       | 5        | 1.7   | True
times >= 30   | 2 2 2     | 60 61 90 | 0.033 | True
times >= 30   | 3 3 3     | 60 61 90 | 0.049 | False
ratio <= 1.1  | 5         |          |       | None
ratio <= 1.1  | 5         | 0        |       | None
value <= 1    |           |          |       | None
"""


def numbers(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split()))


def a_goal(text: str) -> Goal | None:
    of, sign, bound = text.split()
    return Goal(of, sign, float(bound))


def test_every_goal_of_the_issue_has_its_row() -> None:
    found = {row.key: f"{row.goal.of:<5} | {row.goal.sign} {row.goal.bound:g}" for row in ROWS if row.goal}
    wanted = [line.split("|", 1) for line in GOALS.strip().splitlines()]
    assert found == {key.strip(): rest.strip() for key, rest in wanted}


def test_rows_are_told_apart() -> None:
    assert max(Counter(row.key for row in ROWS).values()) == 1
    assert {row.part for row in ROWS} == set(PARTS)
    for row in ROWS:
        assert row.reference or row.goal is None or row.goal.of == "value", f"{row.key} is compared with nothing"


@pytest.mark.parametrize("case", JUDGED.strip().splitlines())
def test_a_goal_is_held_against_medians_and_ratios_of_pairs(case: str) -> None:
    bound, runs, reference, share, verdict = (part.strip() for part in case.split("|"))
    row, figure = Row("a.b", "", "", "x", a_goal(bound)), Figure(numbers(runs), numbers(reference))
    assert str(judged(row, figure)) == verdict
    found = ratio(figure)
    assert found is None if not share else found == pytest.approx(float(share), abs=0.001)


def test_a_ratio_is_of_pairs_because_they_are_of_one_moment() -> None:
    """A slow moment that halves both leaves the ratio where it is, though it moves both medians."""
    assert ratio(Figure((100, 50, 30), (200, 100, 20))) == 0.5
    assert ratio(Figure((100, 50, 30), (200, 20))) == 50 / 110


def test_figures_by_the_name_of_their_row() -> None:
    assert named("relay", {"its CPU": Figure((1,))}) == [("relay.cpu", Figure((1,)))]
    with pytest.raises(KeyError, match="nobody"):
        named("relay", {"nobody": Figure((1,))})


UNARY = next(row for row in ROWS if row.key == "unary.rate")

TABLE = """
unary: SubmitPayment to COMMITTED through hkfps, 64 callers                     1,500 /s       1,400-1,600      2,000    0.75      >= 0.75 x  yes
    beside: empty grpc.aio echo, same sizes; p99 9 ms
unary: SubmitPayment to COMMITTED through hkfps, 64 callers                     1,500 /s                        4,000   0.375      >= 0.75 x  not met
    beside: empty grpc.aio echo, same sizes
unary: SubmitPayment to COMMITTED through hkfps, 64 callers             not measured here: there is no second core
unary: SubmitPayment to COMMITTED through hkfps, 64 callers             FAILED: NotReady: hkfps is not ready
"""


def test_a_line_has_all_there_is_to_know() -> None:
    figures = [
        Figure((1_600, 1_500, 1_400), (2_000, 2_000, 2_000), "p99 9 ms"),
        Figure((1_500,), (4_000,)),
        Figure((), (), "there is no second core"),
        None,
    ]
    lines = [line(UNARY, figure, "NotReady: hkfps is not ready") for figure in figures]
    assert "\n".join(lines) == TABLE.strip()
    columns = ("measure", "median", "spread", "reference", "ratio", "goal", "met")
    assert [title for title in heading().split() if title] == list(columns)


@pytest.mark.parametrize(
    ("value", "shown"), [(123_456.7, "123,457"), (999.6, "1e+03"), (12.345, "12.3"), (0.012345, "0.0123"), (0, "0")]
)
def test_numbers(value: float, shown: str) -> None:
    assert number(value) == shown
    assert spread((value,)) == ""


def test_goals_in_words() -> None:
    shown = [goal(Row("a.b", "", "", "", found)) for found in (None, Goal("value", "<=", 3), Goal("times", ">=", 30))]
    assert shown == ["", "<= 3", ">= 30 x less"]
    assert met(UNARY, None) == ""


def test_json_has_every_row_with_what_was_found() -> None:
    rows = rows_of("unary")
    kept = as_json(rows, {"unary.rate": Figure((1, 2, 3), (4, 4, 4), "so")}, {"unary.p99": "it broke"})
    assert json.loads(json.dumps(kept)) == kept
    assert [each["key"] for each in kept] == ["unary.rate", "unary.p99", "unary.cpu"]
    first, second, _ = kept
    assert (first["median"], first["runs"], first["reference_median"], first["ratio"]) == (2, [1, 2, 3], 4, 0.5)
    assert (first["goal"], first["met"], first["note"]) == ({"of": "ratio", "sign": ">=", "bound": 0.75}, False, "so")
    assert second["failure"] == "it broke"
    assert "median" not in second


README = """
| measure | median (spread) | beside it, same run | goal | met |
| --- | --- | --- | --- | --- |
| unary: SubmitPayment to COMMITTED through hkfps, 64 callers | 1,500 /s (1,400-1,600) | empty grpc.aio echo, same sizes: 2,000 (0.75 x) | >= 0.75 x | yes |
| unary: its p99 at half of that load, open loop | it broke | | <= 2 x | |
| unary: CPU of all processes per payment | 0.5 ms |  | <= 1 | yes |
| codec: route + encode to FPS bytes (pacs.008) | 2 µs |  | <= 3 | yes |
| codec: the same | 2 µs | lxml builds and writes the message: 80 (40 x less) | >= 30 x less | yes |

Revision abcdef012345, changed; 2 cores of Some Processor, load 0.1 before, 2026-11-25T00:00:00Z; the store on libc; 12 s.
"""


def test_the_table_of_the_readme_is_made_of_a_report() -> None:
    rows = [*rows_of("unary"), *rows_of("codec")[:2], *rows_of("store")[:1]]
    found = {
        "unary.rate": Figure((1_600, 1_500, 1_400), (2_000, 2_000, 2_000)),
        "unary.cpu": Figure((0.5,)),
        "codec.write": Figure((2,)),
        "codec.write_lxml": Figure((2,), (80,)),
        "store.rate": Figure((9,)),
    }
    where = {"revision": "abcdef0123456789", "changed": True, "cores": 2, "processor": "Some Processor"}
    where |= {"load_before": 0.1, "time": "2026-11-25T00:00:00Z", "store_allocator": "libc"}
    report = {"machine": where, "seconds": 12.3, "rows": as_json(rows, found, {"unary.p99": "it broke"})}
    assert as_markdown(json.loads(json.dumps(report))) == README.strip()


def test_the_machine_is_told_with_what_ran_on_it() -> None:
    found = machine()
    assert json.loads(json.dumps(found)) == found
    assert {
        "revision",
        "changed",
        "processor",
        "cores",
        "python",
        "load_before",
        "time",
        "store_allocator",
    } <= found.keys()
    assert all(found["versions"].values())


def test_a_part_that_fails_loses_its_own_rows_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_scale: Scale) -> list[tuple[str, Figure]]:
        raise OSError("no disk")

    def half(_scale: Scale) -> list[tuple[str, Figure]]:
        return [("unary.rate", Figure((1,), (1,)))]

    monkeypatch.setattr("loadtest.bench.PARTS", {"unary": half, "batch": fails})
    said: list[str] = []
    found, failures = measure(("unary", "batch"), Scale(), said.append)
    assert found.keys() == {"unary.rate"}
    wanted = {row.key: "its part ended without it" for row in rows_of("unary") if row.key != "unary.rate"}
    assert failures == {**wanted, **{row.key: "OSError: no disk" for row in rows_of("batch")}}
    assert len(said) == 1 + len(rows_of("unary")) + len(rows_of("batch"))
    assert sum("FAILED" in text for text in said) == len(failures)
