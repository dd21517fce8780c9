"""Every part of the bench at its smallest: each declared row is there and has a figure, so that none can rot unseen.

No figure is judged: how fast something is, is the bench's business and not a test's.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from deploy.local import kafka
from loadtest import (
    archive_bench,
    batch_bench,
    codec_bench,
    growth_bench,
    metrics_bench,
    rails_bench,
    relay_bench,
    settle_bench,
    shards_bench,
    store_bench,
    unary_bench,
    workers_bench,
)
from loadtest.bench_rows import Figure, Scale, named, rows_of
from loadtest.bench_system import Bench, echo_beside, run, running
from loadtest.bench_table import line
from switch.events import log

pytestmark = pytest.mark.usefixtures("patient_store")
SMALL = Scale(
    runs=2,
    seconds=0.2,
    batch_items=20,
    quoted_batches=1,
    rounds=20,
    stored_few=50,
    stored_many=300,
    participants=20,
    corridors=200,
    store_payments=200,
    replayed=160,
    events=300,
    facts=2_500,
)
# The relay, too: it may have published everything before it is looked at for the first time.
MAY_BE_NOTHING = (
    "settle.exact", "settle.relay_grown", "settle.settler_grown", "metrics.unary", "metrics.batch", "relay.cpu",
)  # fmt: skip


def check(part: str, measured: Iterable[tuple[str, Figure]]) -> dict[str, Figure]:
    """Each row of the part once, with figures over nothing, and a reference where it says that it has one."""
    listed = list(measured)
    found = dict(listed)
    assert len(found) == len(listed)
    assert set(found) == {row.key for row in rows_of(part)}
    for row in rows_of(part):
        figure = found[row.key]
        assert figure.runs, f"{row.key} was not measured"
        assert row.key in MAY_BE_NOTHING or min(figure.runs) > 0, f"{row.key}: {figure}"
        assert bool(figure.reference) == bool(row.reference), f"{row.key}: {figure}"
        assert row.name in line(row, figure)
    return found


@pytest.fixture(scope="module")
def one() -> Iterator[Bench]:
    """A whole sandbox."""
    with running() as bench:
        yield bench


def test_unary(one: Bench) -> None:
    with echo_beside() as start_echo:
        found = check("unary", run(unary_bench.measured(one, start_echo, SMALL)))
    assert len(found["unary.rate"].runs) == len(found["unary.rate"].reference) == SMALL.runs


def test_batch(one: Bench) -> None:
    """What each kind of process used comes to what all of them did."""
    found = check("batch", run(batch_bench.measured(one, SMALL)))
    parts = [found[f"batch.cpu_{name}"].runs for name in ("switch", "store", "rail", "client")]
    assert found["batch.cpu"].runs == pytest.approx(tuple(map(sum, zip(*parts, strict=True))))


def test_rails(one: Bench) -> None:
    """Without signatures: with them the e-CNY simulator alone takes seconds to start."""
    others = run(rails_bench.beside_hkfps(one, SMALL))
    alipay = run(rails_bench.alipay(one, SMALL))
    check("rails", [*others, ("rails.alipay", alipay)])


def test_metrics(one: Bench) -> None:
    check("metrics", run(metrics_bench.measured(one, SMALL)))


def test_workers(one: Bench) -> None:
    with running({"BAYSWITCH_WORKERS": str(workers_bench.WORKERS)}) as two:
        assert len(two.workers) == len(one.workers) + workers_bench.WORKERS  # and a supervisor
        check("workers", run(workers_bench.measured([one, two], SMALL)))


def test_codec() -> None:
    check("codec", codec_bench.figures(SMALL))


def test_growth() -> None:
    check("growth", growth_bench.figures(SMALL))


def test_shards() -> None:
    check("shards", shards_bench.figures(SMALL._replace(runs=1)))


def test_store() -> None:
    check("store", store_bench.figures(SMALL))


def test_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_bench, "LOOK_SECONDS", 0.01)
    check("archive", archive_bench.figures(SMALL))


def test_settle_and_then_relay_on_one_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settler first: it wants a log that holds its own payments only, and every position comes out exact."""
    monkeypatch.setattr(log, "BROKER_ANSWER_MS_MAX", 60_000)
    with kafka.cluster(1, folder=tmp_path) as broker:
        found = check("settle", named("settle", settle_bench.measure(SMALL.events, bootstrap=broker.bootstrap)))
        assert sum(found["settle.exact"].runs) == 0
        check("relay", named("relay", relay_bench.measure(SMALL.events, bootstrap=broker.bootstrap)))
