"""Figures, the judgement on them, the report, and what a comparison calls a change. No process, no clock."""

import contextlib
import json
import math
import random
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from loadtest import compare
from loadtest.figures import Figures, judge, judged, measure, slices, worst
from loadtest.profiles import Profile, load_profile
from loadtest.report import Findings, manifest, write_report
from loadtest.sampling import Sample, slope_per_minute, used_cpu_ms
from loadtest.scraping import Look
from loadtest.users.record import Answer, Call, Recorder, read_answers, read_calls
from tests.loadtest.support import look

BEGUN_MS = 50_000
PROFILE = """
mix = "everyday"
warmup_s = 2
[shape]
kind = "steady"
rate = 10
seconds = 12
[thresholds]
begun_percent_min = 99
p50_ms_max = 40
rail_p50_ms_max = 25
p99_ms_max = 100
error_per_mille_max = 5
in_doubt_age_ms_max = 1000
outbox_age_ms_max = 1500
kept_bytes_per_payment_max = 300
memory_kib_per_minute_max = 600
descriptors_grown_max = 3
cpu_ms_per_payment_max = 2
"""


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    (tmp_path / "small.toml").write_text(PROFILE)
    return load_profile(tmp_path / "small.toml")


def call(at_ms: int, *, response: int = 10, late: int = 0, outcome: str = "", corridor: str = "hk-hk.hkd") -> Call:
    times = BEGUN_MS + at_ms, late * 1000, (response - late) * 1000
    return Call("single", "SubmitPayment", corridor, *times, outcome, "COMMITTED", 1, 1)


def good_calls() -> list[Call]:
    return [call(at_ms) for at_ms in range(0, 12_000, 100)]


def samples(
    *, memory_step: int = 0, kept_step: int = 0, files_step: int = 0, cpu_step: int = 10, generator: int = 100
) -> list[Sample]:
    """One look a second at the switch, the store, the broker and the generator."""
    found = []
    for second in range(13):
        at_ms = BEGUN_MS + second * 1000
        found.append(Sample(at_ms, "switch", second * cpu_step, 1000 + second * memory_step, 50 + second * files_step))
        found.append(Sample(at_ms, "store", 0, 1000 + second * kept_step, 50))
        found.append(Sample(at_ms, "kafka", second * 900, 1000 + second * 99, 50 + second))
        found.append(Sample(at_ms, "generator-7", second * generator, 1000, 50))
    return found


def looks(*, in_doubt_ms: int = 0, outbox_ms: int = 0, rail_ms: int = 6) -> list[Look]:
    """One look in two seconds; the ages are those in the middle of the run."""
    ages = [0, 0, 0, outbox_ms, 0, 0, 0], [0, 0, 0, in_doubt_ms, 0, 0, 0]
    return [
        look(BEGUN_MS + place * 2_000, payments=place * 20, outbox_ms=outbox, in_doubt_ms=doubt, rail_ms=rail_ms)
        for place, (outbox, doubt) in enumerate(zip(*ages, strict=True))
    ]


def figures_of(
    profile: Profile, calls: list[Call], sampled: list[Sample], age_ms: int = 0, looked: list[Look] | None = None
) -> Figures:
    return measure(profile, BEGUN_MS, calls, sampled, age_ms, looks() if looked is None else looked)


def test_only_what_was_due_after_the_warm_up_counts(profile: Profile) -> None:
    figures = figures_of(profile, good_calls(), samples())
    assert (figures.arrivals_meant, figures.arrivals_begun, figures.payments) == (100, 100, 100)
    assert (figures.payment_rate, figures.pay.p50, figures.pay.p999) == (10, 10, 10)
    assert figures.cpu_ms_per_payment == pytest.approx(0.9)  # nine seconds between looks; broker and generator apart
    assert figures.generator_percent == pytest.approx(10)
    assert judge(profile, figures) == []


def test_response_counts_from_when_a_call_was_due(profile: Profile) -> None:
    figures = figures_of(profile, [call(at_ms, response=90, late=80) for at_ms in range(2_000, 12_000, 100)], samples())
    assert (figures.pay.p50, figures.pay.service_p50) == (90, 10)


def spoilt(at: int, **changes: Any) -> list[Call]:
    calls = good_calls()
    calls[at] = call(at * 100, **changes)
    return calls


# threshold -> (calls, samples, age of the oldest IN_DOUBT, looks) that break it and nothing else
BROKEN: dict[str, tuple[Any, ...]] = {
    "begun_percent_min": (good_calls()[:-2], samples(), 0),
    "p50_ms_max": (
        [*good_calls(), *(call(at_ms, response=60, corridor="mo-mo.mop") for at_ms in range(3_000, 5_000, 100))],
        samples(),
        0,
    ),
    "p99_ms_max": ([*spoilt(50, response=150)[:-1], call(11_900, response=150)], samples(), 0),
    "error_per_mille_max": (spoilt(50, outcome="UNAVAILABLE STORE_UNAVAILABLE"), samples(), 0),
    "in_doubt_age_ms_max": (good_calls(), samples(), 1_001),
    "rail_p50_ms_max": (good_calls(), samples(), 0, looks(rail_ms=40)),
    "outbox_age_ms_max": (good_calls(), samples(), 0, looks(outbox_ms=1_501)),
    "kept_bytes_per_payment_max": (good_calls(), samples(kept_step=3), 0),
    "memory_kib_per_minute_max": (good_calls(), samples(memory_step=11), 0),
    "descriptors_grown_max": (good_calls(), samples(files_step=1), 0),
    "cpu_ms_per_payment_max": (good_calls(), samples(cpu_step=25), 0),
}


@pytest.mark.parametrize("threshold", BROKEN)
def test_each_threshold_is_kept_or_named(profile: Profile, threshold: str) -> None:
    reasons = judge(profile, figures_of(profile, *BROKEN[threshold]))
    assert [reason.partition(":")[0] for reason in reasons] == [threshold]


def test_an_open_payment_that_no_client_was_told_of_counts(profile: Profile) -> None:
    figures = figures_of(profile, good_calls(), samples(), 900, looks(in_doubt_ms=1_200))
    assert figures.in_doubt_age_ms == 1_200
    assert worst("in_doubt_age_ms_max", figures) == 1_200


NOT_ASKED = {"rail_p50_ms_max": "25", "outbox_age_ms_max": "1,500"}


def test_what_was_not_asked_keeps_no_bound(profile: Profile) -> None:
    reasons = judge(profile, figures_of(profile, good_calls(), samples(), looked=[]))
    assert reasons == [f"{name}: nan, the bound is {bound}" for name, bound in NOT_ASKED.items()]


def test_what_comes_and_goes_is_no_growth(profile: Profile) -> None:
    files = [each._replace(descriptors=99) if each.at_ms == BEGUN_MS + 11_000 else each for each in samples()]
    assert judge(profile, figures_of(profile, good_calls(), files)) == []
    pool = [each._replace(descriptors=70) if each.at_ms > BEGUN_MS + 5_000 else each for each in samples()]
    assert judge(profile, figures_of(profile, good_calls(), pool)) == [], "full by the middle, and then as it was"


# CPU of the generator each second, what the audits found | verdict, first reason
VERDICTS: list[tuple[int, list[str], str, str]] = [
    (800, [], "passed", ""),
    (810, [], "invalid", "the generator used 81 % of its core"),
    (100, ["audit: u: lost"], "failed", "audit: u: lost"),
    (810, ["audit: u: lost"], "failed", "the generator used 81 % of its core"),
]


@pytest.mark.parametrize(("generator", "problems", "verdict", "first"), VERDICTS)
def test_verdicts(profile: Profile, generator: int, problems: list[str], verdict: str, first: str) -> None:
    figures = figures_of(profile, good_calls(), samples(generator=generator))
    found, reasons = judged(profile, figures, problems)
    assert (found, [*reasons, ""][0]) == (verdict, first)


def test_a_run_without_a_payment_keeps_no_bound_on_payments(profile: Profile) -> None:
    reasons = judge(profile, figures_of(profile, [], samples()))
    broken = {"begun_percent_min", "p50_ms_max", "p99_ms_max", "kept_bytes_per_payment_max"}
    assert {reason.partition(":")[0] for reason in reasons} == broken


def test_a_search_names_the_last_stage_that_held(tmp_path: Path) -> None:
    steps = 'kind = "step"\nfirst = 10\nstep = 10\nlast = 40\nseconds = 5'
    text = PROFILE.replace('kind = "steady"\nrate = 10\nseconds = 12', steps).replace("warmup_s = 2", "warmup_s = 0")
    (tmp_path / "search.toml").write_text(f"{text}capacity_min = 30\n")
    searching = load_profile(tmp_path / "search.toml")
    calls = [call(at_ms, response=10 if at_ms < 10_000 else 500) for at_ms in range(0, 20_000, 50)]
    figures = figures_of(searching, calls, samples())
    assert figures.capacity == 20
    assert judge(searching, figures) == ["capacity_min: 20.00, the bound is 30"]
    ended_early = figures_of(searching, [each for each in calls if each.due_ms < BEGUN_MS + 12_000], samples())
    assert [rate for rate, _ in ended_early.stages] == [10, 20, 30], "a stage that was not reached is none"
    assert (ended_early.capacity, round(ended_early.payment_rate)) == (20, 20)


def test_growth_and_use() -> None:
    assert slope_per_minute([(0, 100), (30_000, 150), (60_000, 200)]) == pytest.approx(100)
    assert slope_per_minute([(5, 1)]) == 0
    looks = [Sample(0, "switch", 40, 0, 0), Sample(1, "switch", 90, 0, 0), Sample(2, "switch", 0, 0, 0)]
    assert used_cpu_ms(looks, "switch") == 50, "a process that ended takes its count along"


def test_what_is_written_is_read(tmp_path: Path) -> None:
    one = Call("single", "SubmitPayment", "hk-hk.hkd", 12, 3, 4, "ABORTED AC01", "ABORTED", 1, 1)
    with contextlib.closing(Recorder(tmp_path)) as recorder:
        recorder.call(one)
        recorder.answer("u-1", "HKWALLET", "ABORTED")
        recorder.flush()
        assert read_calls(tmp_path) == [one]
    assert read_calls(tmp_path) == [one]
    assert read_answers(tmp_path) == [Answer("u-1", "HKWALLET", "ABORTED")]


def test_the_report_says_why(profile: Profile, tmp_path: Path) -> None:
    calls = spoilt(50, outcome="ABORTED <AC01>")
    figures = figures_of(profile, calls, samples())
    reasons = judge(profile, figures)
    found = Findings(profile, BEGUN_MS, calls, samples(), looks(), figures, {"an audit": "clean"}, "failed", reasons)
    about = manifest(profile, 7, {"plant": ""})
    write_report(tmp_path, found, about)
    page = (tmp_path / "report.html").read_text("utf-8")
    for picture in re.findall(r"<svg.*?</svg>", page):
        ElementTree.fromstring(picture)
    assert "error_per_mille_max: 10.00, the bound is 5" in page
    assert page.count("<svg") == 8
    assert "<tr><td>rail</td><td>100</td><td>6.00</td><td>6.00</td><td>7.96</td></tr>" in page, "each stage of the path"
    assert "<tr><td>prepare</td><td>50</td><td>2.00</td><td>1.50</td><td>1.99</td></tr>" in page, (
        "how many left together"
    )
    assert "7 calls shed for want of room" in page
    assert "ABORTED &lt;AC01&gt;" in page
    assert "<AC01>" not in page
    kept = json.loads((tmp_path / "manifest.json").read_text())
    assert (kept["seed"], kept["config_sha256"], len(kept["revision"])) == (7, profile.sha256, 40)
    assert kept["versions"].keys() >= {"locust", "grpcio"}
    assert json.loads((tmp_path / "summary.json").read_text())["reasons"] == reasons
    assert (tmp_path / "calls.csv").read_text().splitlines()[1].startswith("SubmitPayment,100,1,10.0,")
    assert len((tmp_path / "seconds.csv").read_text().splitlines()) == 13
    assert (tmp_path / "stages.csv").read_text().splitlines()[1] == "2.0,store,20,3.0,3.0,3.98"
    assert "6.0,oldest in the outbox,0.0" in (tmp_path / "open.csv").read_text().splitlines()


def test_noise_is_not_a_change() -> None:
    dice = random.Random(11)
    for _ in range(50):
        before, after = ([dice.gauss(100, 10) for _ in range(10)] for _ in range(2))
        assert [each.verdict for each in compare.changes({"p50 ms": before}, {"p50 ms": after})] == ["same"]


# figure | before | after | verdict
CHANGES = """
p99 ms      100  160  worse
p99 ms      160  100  better
payments/s  100  160  better
payments/s  160  100  worse
p99 ms      100  104  same
"""


@pytest.mark.parametrize("row", CHANGES.strip().splitlines())
def test_a_change_beyond_noise_has_a_direction(row: str) -> None:
    figure, before, after, verdict = row.rsplit(maxsplit=3)
    spread = (-1, 0, 1, 0, -1, 1, 0, 0, 1, -1)
    runs = [{figure.strip(): [int(value) + each for each in spread]} for value in (before, after)]
    assert [each.verdict for each in compare.changes(*runs)] == [verdict]


def test_two_reports_are_compared(
    profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, response in (("a", 10), ("b", 30)):
        calls = [call(at_ms, response=response) for at_ms in range(0, 12_000, 100)]
        figures = figures_of(profile, calls, samples())
        found = Findings(profile, BEGUN_MS, calls, samples(), looks(), figures, {}, "passed", [])
        (tmp_path / name).mkdir()
        write_report(tmp_path / name, found, manifest(profile, 7, {}))
    monkeypatch.setattr("sys.argv", ["compare", str(tmp_path / "a"), str(tmp_path / "b")])
    with pytest.raises(SystemExit) as ended:
        compare.main()
    said = capsys.readouterr().out
    assert ended.value.code == 1
    assert [line.split()[-1] for line in said.splitlines() if line.startswith("p50 ms")] == ["worse"]
    assert [line.split()[-1] for line in said.splitlines() if line.startswith("payments/s")] == ["same"]
    assert [line.split()[-1] for line in said.splitlines() if line.startswith("rail ")] == ["same", "same"]
    assert [line.split()[-2:] for line in said.splitlines() if line.startswith("prepare group")] == [["2.00", "2.00"]]
    assert [line.split()[-2:] for line in said.splitlines() if line.startswith("calls shed")] == [["7.00", "7.00"]]


def test_slices_cover_the_judged_part(profile: Profile) -> None:
    found = slices(profile, BEGUN_MS, good_calls())
    assert found["payments/s"] == [10] * 10
    assert not any(math.isnan(value) for values in found.values() for value in values)
