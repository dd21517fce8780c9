"""Mixes, shapes and profiles are data, and the data is right: shares, sources, papers, corridors that exist."""

import random
import re
import tomllib
from collections import Counter
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from loadtest.arrivals import Arrival
from loadtest.mixes import KINDS, MIXES, PEOPLE, load_mix, papers, participants, scenario_of
from loadtest.profiles import Changes, load_profile
from loadtest.shapes import shape_of
from switch.cli.sandbox import load_scenario
from switch.domain.document import DocumentType, parse_document
from switch.rules import load_rules

PROFILES = sorted((Path(MIXES).parent / "profiles").glob("*.toml"))
MIX_FILES = sorted(MIXES.glob("*.toml"))
INSTITUTIONS = {"HK": 4, "CN": 3, "MO": 2}


@pytest.mark.parametrize("path", MIX_FILES, ids=lambda path: path.stem)
def test_a_mix_comes_to_a_hundred_and_names_its_sources(path: Path) -> None:
    mix = load_mix(path, INSTITUTIONS)
    assert sum(mix.kinds.values()) == 100
    assert sum(row.percent for row in mix.rows) == 100
    assert all(re.search(r"rails\.md [A-H]\d|ours", row.source) for row in mix.rows)
    assert {row.corridor for row in mix.rows} <= {each.id for each in load_rules().corridors}


@pytest.mark.parametrize("path", MIX_FILES, ids=lambda path: path.stem)
def test_what_a_mix_draws_is_what_it_says(path: Path) -> None:
    """Shares within five standard errors, amounts within the bounds, the first institution more often than the last."""
    mix, dice, count = load_mix(path, INSTITUTIONS), random.Random(5), 4_000
    drawn = [mix.draw(dice) for _ in range(count)]
    assert len({one.request.uetr for one in drawn}) == len({one.request.request_id for one in drawn}) == count
    corridors = Counter(one.corridor for one in drawn)
    for row in mix.rows:
        share = row.percent / 100
        assert abs(corridors[row.corridor] / count - share) < 5 * (share * (1 - share) / count) ** 0.5
        amounts = [one.request.debit.amount_minor for one in drawn if one.corridor == row.corridor]
        low, high = (min(row.amounts.fixed), max(row.amounts.fixed)) if row.amounts.fixed else row.amounts[3:5]
        assert low <= min(amounts) <= max(amounts) <= high
    by_rank = Counter(one.participant for one in drawn)
    for ids in participants(INSTITUTIONS).values():
        assert all(by_rank[one] > by_rank[other] for one, other in pairwise(ids) if by_rank[one])


def test_the_mean_is_the_one_that_is_named() -> None:
    """rails.md A7: RMB 3,100 southbound, cut off at 10,000, which takes a little away."""
    row = next(row for row in load_mix(MIXES / "payment_connect.toml", INSTITUTIONS).rows if row.percent == 73)
    dice = random.Random(3)
    amounts = [row.amounts.draw(dice) for _ in range(20_000)]
    assert abs(sum(amounts) / len(amounts) / 310_000 - 1) < 0.05


@pytest.mark.parametrize("kind", ["HKID", "MAINLAND_ID", "MACAU_BIR"])
def test_papers_of_made_up_persons_pass_the_switch(kind: str) -> None:
    numbers = [papers(kind, person) for person in range(0, 900_000, 4_999)]
    assert [parse_document(DocumentType[kind], number, date(2026, 1, 1)).number for number in numbers] == numbers
    assert len(set(numbers)) == len(numbers)


def test_the_scenario_has_everybody_with_room() -> None:
    rows = {row["id"]: row for row in scenario_of(INSTITUTIONS, load_scenario())["participant"]}
    assert {each for ids in participants(INSTITUTIONS).values() for each in ids} <= rows.keys()
    assert rows["HKWALLET_4"]["caps"] == rows["HKWALLET"]["caps"] == ["HKD 9000000000000.00", "CNH 9000000000000.00"]


def test_every_pair_of_assets_has_a_rate() -> None:
    people = tomllib.loads(PEOPLE.read_text("utf-8"))
    rates = {(row["debit"], row["credit"]) for row in scenario_of(INSTITUTIONS, load_scenario())["rate"]}
    assert {(each["debit"], each["credit"]) for each in people.values() if "credit" in each} <= rates


# what is changed in a good mix | what is said
WRONG_MIXES = {
    ("percent = 27", "percent = 26"): "the shares of corridors come to 99 %",
    ("single = 78", "single = 79"): "the shares of kinds come to 101 %",
    ("single = 78", "sprint = 78"): "no kind of user sprint",
    ('"cn-hk.cny-hkd"', '"cn-xx.cny"'): "knows nobody on cn-xx.cny",
    ("quote = 6", "batch = 6"): "batches need a corridor within one asset",
    ("max_minor = 1_000_000", "max_minor = 5"): "min_minor <= mean_minor <= max_minor",
}


@pytest.mark.parametrize("change", WRONG_MIXES, ids=lambda change: change[1])
def test_a_wrong_mix_is_refused(tmp_path: Path, change: tuple[str, str]) -> None:
    text = (MIXES / "payment_connect.toml").read_text("utf-8")
    assert change[0] in text
    (tmp_path / "wrong.toml").write_text(text.replace(*change), "utf-8")
    with pytest.raises(ValueError, match=re.escape(WRONG_MIXES[change])):
        load_mix(tmp_path / "wrong.toml", INSTITUTIONS)


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_a_shipped_profile_is_valid(path: Path) -> None:
    profile = load_profile(path)
    assert profile.warmup_s < profile.shape.seconds
    assert set(profile.mix.kinds) <= set(KINDS)
    assert profile.thresholds


def test_the_release_is_short_and_asks_everything() -> None:
    profile = load_profile(next(path for path in PROFILES if path.stem == "release"))
    assert profile.shape.seconds <= 150, "five minutes are for start, audits and all"
    assert set(profile.mix.kinds) == set(KINDS)
    rails = {each.id: each.rail for each in load_rules().corridors}
    assert {rails[row.corridor] for row in profile.mix.rows} == {"hkfps", "mofps", "alipay", "ecny"}


# shape, and (second, rate then)
SHAPES = [
    ('kind = "steady"\nrate = 5\nseconds = 9', [(0, 5), (8.9, 5), (9, None)]),
    ('kind = "soak"\nrate = 5\nminutes = 2', [(0, 5), (119.9, 5), (120, None)]),
    (
        'kind = "step"\nfirst = 10\nstep = 5\nlast = 20\nseconds = 4',
        [(0, 10), (3.9, 10), (4, 15), (8, 20), (11.9, 20), (12, None)],
    ),
    (
        'kind = "spike"\nrate = 2\npeak = 40\nbefore = 10\nduring = 3\nafter = 5',
        [(9.9, 2), (10, 40), (12.9, 40), (13, 2), (18, None)],
    ),
]


@pytest.mark.parametrize(("text", "expected"), SHAPES, ids=[text[8:14] for text, _ in SHAPES])
def test_rates_over_time(tmp_path: Path, text: str, expected: list[tuple[float, int | None]]) -> None:
    shape = shape_of(tomllib.loads(text), tmp_path)
    assert [(at, shape.rate_at(at)) for at, _ in expected] == expected
    whole = sum(stage.rate * (stage.end - stage.begin) for stage in shape.stages)
    assert shape.arrivals_between(0, shape.seconds) == whole


def test_a_replay_has_its_recording(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("offset_ms,kind\n100,single\n2500,quote\n")
    shape = shape_of({"kind": "replay", "file": "a.csv"}, tmp_path)
    assert shape.recording == (Arrival(0.1, "single"), Arrival(2.5, "quote"))
    assert (shape.seconds, shape.arrivals_between(0, 1), shape.arrivals_between(0, 3.5)) == (3.5, 1, 2)


def test_a_run_may_be_shorter_than_its_profile(tmp_path: Path) -> None:
    """Stages keep their rates and their order; what Locust's processes are told is what was asked for."""
    text = 'mix = "everyday"\nwarmup_s = 5\n[shape]\nkind = "spike"\nrate = 2\npeak = 40\nbefore = 10\nduring = 30\nafter = 20\n'
    (tmp_path / "small.toml").write_text(text)
    whole, changes = load_profile(tmp_path / "small.toml"), Changes(seconds=6, processes=2)
    short = load_profile(tmp_path / "small.toml", Changes.of(changes.environment()))
    assert (whole.processes, short.processes) == (1, 2)
    assert [short.shape.rate_at(at) for at in (0.9, 1.1, 3.9, 4.1, 6)] == [2, 40, 40, 2, None]
    assert short.shape.arrivals_between(0, 6) * 10 == whole.shape.arrivals_between(0, 60)
    assert short.sha256 != whole.sha256 == load_profile(tmp_path / "small.toml", Changes.of({})).sha256
    with pytest.raises(ValueError, match="the warm-up alone takes 5 s"):
        load_profile(tmp_path / "small.toml", Changes(seconds=5))


def test_a_recording_ends_early(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("offset_ms,kind\n100,single\n2500,quote\n")
    shape = shape_of({"kind": "replay", "file": "a.csv"}, tmp_path).lasting(2)
    assert (shape.recording, shape.seconds, shape.arrivals_between(0, 9)) == ((Arrival(0.1, "single"),), 2, 1)


# what a profile says | what is said of it
WRONG_PROFILES = {
    'mix = "everyday"\nspeed = 3\n[shape]\nkind = "steady"\nrate = 1\nseconds = 1': "unknown key speed",
    'mix = "everyday"\n[shape]\nkind = "steady"\nrate = 1\nseconds = 1\n[thresholds]\np42 = 1': "unknown threshold p42",
    'mix = "everyday"\nper_user = 2\n[shape]\nkind = "steady"\nrate = 3\nseconds = 1': "no multiple of per_user",
    'mix = "everyday"\n[shape]\nkind = "zigzag"': "shape.kind is one of",
    'mix = "everyday"\n[shape]\nkind = "steady"\nrate = -1\nseconds = 1': "shape.rate is a positive whole number",
    'mix = "everyday"\n[shape]\nkind = "steady"\nrate = 1': "shape steady",
}


@pytest.mark.parametrize("text", WRONG_PROFILES, ids=WRONG_PROFILES.get)
def test_a_wrong_profile_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "wrong.toml").write_text(text)
    with pytest.raises(ValueError, match=re.escape(WRONG_PROFILES[text])):
        load_profile(tmp_path / "wrong.toml")
