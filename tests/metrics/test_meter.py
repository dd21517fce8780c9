"""The meter's numbers, and how they are written: bounds of durations, bounds of labels."""

import pytest

from switch import metrics
from switch.domain.payment import Hold, State, Transition
from switch.limits import METRIC_CORRIDORS_MAX
from switch.metrics import PathMeter, Scrape, Sizes, made, path_families
from switch.metrics.buckets import CALL_BOUNDS_NS, Buckets, Powers
from switch.ports import UNMETERED, Meter, Stage
from tests.metrics.support import Page, page_of
from tests.store.builders import hold

MS = 1_000_000


async def shown(meter: PathMeter) -> Page:
    return page_of((await Scrape({"path": lambda: path_families(meter)}, {}).text()).decode())


def held(corridor: str = "hk-hk.hkd", rail: str = "hkfps") -> Hold:
    return hold()._replace(corridor_id=corridor, rail=rail)


# nanoseconds -> the bucket it is in, as Prometheus says it
SIZES = """
0            0
1            1e-05
10000        1e-05
10001        5e-05
1000000      0.001
1000001      0.002
100000000000 100
100000000001 +Inf
"""


@pytest.mark.parametrize("row", SIZES.strip().splitlines())
async def test_a_duration_is_in_the_first_bucket_that_is_not_smaller(row: str) -> None:
    size, bound = row.split()
    buckets = Buckets()
    buckets.add(int(size), 2)
    text = (await Scrape({"one": lambda: made("bayswitch_loop_delay_seconds", [((), buckets)])}, {}).text()).decode()
    page = page_of(text)
    counts = {
        dict(key[1])["le"]: n for key, n in page.values.items() if key[0] == "bayswitch_loop_delay_seconds_bucket"
    }
    assert next(le for le, n in counts.items() if n) == bound
    assert list(counts.values()) == sorted(counts.values()), "cumulative"
    assert counts["+Inf"] == page.value("bayswitch_loop_delay_seconds_count") == 2
    assert page.value("bayswitch_loop_delay_seconds_sum") == pytest.approx(2 * int(size) / 1e9)


def test_bounds_grow() -> None:
    assert list(CALL_BOUNDS_NS) == sorted(set(CALL_BOUNDS_NS))


async def test_powers_of_two_show_what_is_between_their_ends() -> None:
    """Bounds 4 and 8 ns; what is smaller counts to the first, what is larger to the last."""
    powers = Powers(low=2, high=3)
    for value in (0, 3, 4, 7, 8, 1_000):
        powers.add(value)
    other = Powers(low=2, high=3)
    other.add(5, 10)
    powers.merge(other)
    name = "bayswitch_stage_duration_seconds"
    page = page_of((await Scrape({"one": lambda: made(name, [(("route",), powers)])}, {}).text()).decode())
    counts = {le: page.value(f"{name}_bucket", stage="route", le=le) for le in ("4e-09", "8e-09", "+Inf")}
    assert counts == {"4e-09": 2, "8e-09": 14, "+Inf": 16}
    assert page.value(f"{name}_sum", stage="route") == pytest.approx(1_072e-9)


async def test_sizes_are_powers_of_two() -> None:
    rows = [(("prepare",), Sizes((1, 0, 3), 13))]
    page = page_of((await Scrape({"one": lambda: made("bayswitch_store_group_items", rows)}, {}).text()).decode())
    name, at_most = "bayswitch_store_group_items", {}
    for bound in ("1", "2", "4", "+Inf"):
        at_most[bound] = page.value(f"{name}_bucket", kind="prepare", le=bound)
    assert at_most == {"1": 1, "2": 1, "4": 4, "+Inf": 4}
    assert (page.value(f"{name}_sum", kind="prepare"), page.value(f"{name}_count", kind="prepare")) == (13, 4)


async def test_the_path_of_a_payment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the engine calls it; the clock is ours, so every duration is known."""
    meter, now_ns = PathMeter(), 5 * MS
    monkeypatch.setattr(metrics.meter, "perf_counter_ns", lambda: now_ns)
    begun_ns = at_ns = meter.now_ns()
    for stage in (Stage.PARSE, Stage.ROUTE, Stage.STORE):
        now_ns += MS
        at_ns = meter.stage(stage, at_ns)
    now_ns += 10 * MS
    at_ns = meter.rail("hkfps", "prepare", "done", at_ns)
    now_ns += MS
    meter.stage(Stage.COMMIT, at_ns)
    meter.payment(held(), Transition(State.COMMITTED, 0), begun_ns)
    meter.rail("hkfps", "enquire", "never_seen", now_ns)
    page = await shown(meter)
    sums = {stage.name.lower(): 1 for stage in Stage} | {"rail": 10}
    for name, ms in sums.items():
        durations = "bayswitch_stage_duration_seconds"
        assert page.value(f"{durations}_count", stage=name) == 1, "an enquiry is not on the path"
        assert page.value(f"{durations}_sum", stage=name) == pytest.approx(ms / 1000)
    assert page.value("bayswitch_rail_duration_seconds_count", rail="hkfps", call="enquire", outcome="never_seen") == 1
    labels = {"corridor": "hk-hk.hkd", "rail": "hkfps"}
    assert page.value("bayswitch_payments_total", **labels, state="COMMITTED", reason="") == 1
    assert page.value("bayswitch_payment_duration_seconds_sum", **labels) == pytest.approx(0.014)


async def test_a_group_counts_for_each_and_what_recovery_ends_has_no_duration() -> None:
    meter = PathMeter()
    meter.stage(Stage.STORE, meter.now_ns(), count=256)
    meter.refused("NO_ROUTE", count=2)
    meter.refused("NO_ROUTE")
    meter.payment(held(), Transition(State.ABORTED, 0, "RAIL_NEVER_SAW_IT"))
    page = await shown(meter)
    assert page.value("bayswitch_stage_duration_seconds_count", stage="store") == 256
    assert page.value("bayswitch_instructions_refused_total", reason="NO_ROUTE") == 3
    labels = {"corridor": "hk-hk.hkd", "rail": "hkfps", "state": "ABORTED", "reason": "RAIL_NEVER_SAW_IT"}
    assert page.value("bayswitch_payments_total", **labels) == 1
    assert page.value("bayswitch_payment_duration_seconds_count", corridor="hk-hk.hkd", rail="hkfps") == 0


async def test_corridors_without_end_are_counted_and_bounded() -> None:
    meter, number = PathMeter(), METRIC_CORRIDORS_MAX + 500
    for index in range(number):
        meter.payment(held(f"corridor-{index}"), Transition(State.COMMITTED, 0), meter.now_ns())
    assert len(meter.corridors) == METRIC_CORRIDORS_MAX + 1
    page = await shown(meter)
    moved = {labels: n for (name, labels), n in page.values.items() if name == "bayswitch_payments_total"}
    assert (len(moved), sum(moved.values())) == (METRIC_CORRIDORS_MAX + 1, number)
    assert page.value("bayswitch_payments_total", corridor="other", rail="hkfps", state="COMMITTED", reason="") == 500
    assert page.value("bayswitch_payment_duration_seconds_count", corridor="other", rail="hkfps") == 500
    assert page.text.count("# TYPE bayswitch_payments_total ") == 1, "however many slices it takes"


def test_nobody_watches() -> None:
    meter: Meter = UNMETERED
    assert meter.stage(Stage.PARSE, meter.now_ns()) == meter.rail("hkfps", "prepare", "done", 0) == 0
    meter.payment(held(), Transition(State.COMMITTED, 0))
    meter.refused("NO_ROUTE")
    calls = meter.calls("bayswitch.v1.PaymentService/SubmitPayment")
    calls.ended(calls.began(), "OK")
