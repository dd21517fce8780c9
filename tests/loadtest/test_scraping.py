"""What a run keeps of a switch's metrics: the families there are, sums over processes, quantiles, and no half a sum."""

import asyncio
import socket
from collections.abc import Sequence

import pytest

from loadtest.path import measure_path
from loadtest.scraping import COUNTERS, GAUGES, HISTOGRAMS, Histogram, Look, Scraper, look_of
from switch.metrics import FAMILIES, Admin, Metric, PathMeter, Scrape, made, path_families
from switch.ports import Stage

FAST_NS, SLOW_NS = 3_000_000, 60_000_000


def meter_of(durations_ns: Sequence[int]) -> PathMeter:
    """A switch that made payments whose parse took so long each, and whose rail answered once and refused once."""
    meter = PathMeter()
    for elapsed_ns in durations_ns:
        meter.stages[Stage.PARSE].add(elapsed_ns)
    for outcome in ("done", "refused"):
        meter.rail("hkfps", "prepare", outcome, meter.now_ns())
    meter.rail("hkfps", "enquire", "done", meter.now_ns())
    return meter


def scrape_of(meter: PathMeter, outbox_s: int = 0) -> Scrape:
    async def outbox() -> Sequence[Metric]:
        return list(made("bayswitch_outbox_oldest_seconds", [((), outbox_s)]))

    return Scrape({"path": lambda: path_families(meter)}, {"outbox": outbox})


async def page_of(meter: PathMeter, outbox_s: int = 0) -> str:
    return (await scrape_of(meter, outbox_s).text()).decode()


def test_what_is_read_is_in_the_table() -> None:
    for kind, read in (("histogram", HISTOGRAMS), ("gauge", GAUGES)):
        for name, label in read.items():
            assert FAMILIES[name].kind == kind
            assert label in FAMILIES[name].labels or not label
    for name, labels in COUNTERS.items():
        family = FAMILIES[name.removesuffix("_count")]
        assert family.kind == ("histogram" if name.endswith("_count") else "counter")
        assert set(labels) <= set(family.labels)


async def test_several_processes_are_one_look() -> None:
    pages = [await page_of(meter_of([FAST_NS] * 3), 4), await page_of(meter_of([SLOW_NS]), 9), ""]
    look = look_of(17, pages)
    parse = look.histogram("bayswitch_stage_duration_seconds", "parse")
    assert (look.at_ms, parse.number) == (17, 4)
    assert parse.mean() == pytest.approx((3 * 0.003 + 0.06) / 4)
    assert look.histogram("bayswitch_rail_duration_seconds", "hkfps").number == 4, (
        "two each; an enquiry is another call"
    )
    asked = {label: count for (name, label), count in look.counters.items() if name.endswith("_seconds_count")}
    assert asked == {"hkfps prepare done": 2, "hkfps prepare refused": 2, "hkfps enquire done": 2}
    assert look.gauges["bayswitch_outbox_oldest_seconds", ""] == 9, "of the whole store, whoever is asked"
    assert look.histogram("bayswitch_stage_duration_seconds", "none").number == 0


# counts up to 1, 2, 4, infinity | quantile | estimate
QUANTILES = """
0 0 0 0   0.99  0
4 4 4 4   0.5   0.5
0 4 4 4   0.5   1.5
2 4 8 8   0.75  3
0 0 0 9   0.5   4
9 9 9 10  0.99  4
"""


@pytest.mark.parametrize("row", QUANTILES.strip().splitlines())
def test_a_quantile_lies_in_its_bucket(row: str) -> None:
    *counts, q, estimate = map(float, row.split())
    histogram = Histogram(tuple(zip((1.0, 2.0, 4.0, float("inf")), counts, strict=True)))
    assert histogram.quantile(q) == pytest.approx(estimate)


async def test_only_what_came_between_counts() -> None:
    """Slow payments before the warm-up's end are not in a run's figures."""
    warm, end = meter_of([SLOW_NS] * 5), meter_of([SLOW_NS] * 5 + [FAST_NS] * 20)
    looks = [look_of(1_000, [await page_of(warm)]), look_of(9_000, [await page_of(end)])]
    parse = measure_path(looks, 0, 2, 8).stages["parse"]
    assert (parse.values, round(parse.mean, 3)) == (20, 3)
    assert 2 < parse.p99 < 4.2
    assert measure_path([], 0, 2, 8).stages == {}


async def test_a_scraper_looks_at_both_ends_and_keeps_no_half_sum() -> None:
    admin = Admin(scrape_of(meter_of([FAST_NS])), lambda: "")
    port = await admin.start("127.0.0.1", 0)
    asked = [f"127.0.0.1:{port}"]

    def watch(where: list[str]) -> tuple[list[Look], int]:
        with Scraper(lambda: where) as scraper:
            pass
        return scraper.looks, scraper.missed

    try:
        looks, missed = await asyncio.to_thread(watch, asked)
        assert [each.histogram("bayswitch_stage_duration_seconds", "parse").number for each in looks] == [1, 1]
        assert missed == 0
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            asked.append(f"127.0.0.1:{nobody.getsockname()[1]}")
        assert await asyncio.to_thread(watch, asked) == ([], 2)
        assert await asyncio.to_thread(watch, []) == ([], 0)
    finally:
        await admin.close()
