"""The rows of `make bench`: what each is called, beside what it stands, and its goal. Data, and the judgement on it.

A part of the bench measures the rows whose key begins with its name, and says how in its own file. Goals are issue 5's.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

__all__ = ["ROWS", "Figure", "Goal", "Row", "Scale", "judged", "median", "named", "ratio", "rows_of"]


class Goal(NamedTuple):
    """`of` a row's value, of `ratio` = value / reference, or of `times` = reference / value."""

    of: str
    sign: str  # ">=" or "<="
    bound: float

    def kept(self, found: float) -> bool:
        return found >= self.bound if self.sign == ">=" else found <= self.bound


class Row(NamedTuple):
    """One line of the table. `reference`: what the figure stands beside, measured in the same run; "" when nothing."""

    key: str
    name: str
    unit: str
    reference: str = ""
    goal: Goal | None = None

    @property
    def part(self) -> str:
        return self.key.partition(".")[0]


class Figure(NamedTuple):
    """What a run found for a row: one value per run, and one of the reference beside each, or fewer.

    No runs: it cannot be measured here, and `note` says why. `note` is of this run, never of another one.
    """

    runs: tuple[float, ...]
    reference: tuple[float, ...] = ()
    note: str = ""


class Scale(NamedTuple):
    """How much of everything. The defaults make the bench that README's figures are of."""

    runs: int = 5
    seconds: float = 1.5  # of one run under load
    batch_items: int = 256
    quoted_batches: int = 4  # of each stream and run where every payment needs a quote
    rounds: int = 3_000  # of a codec, of one figure
    stored_few: int = 10_000
    stored_many: int = 1_000_000
    participants: int = 100_000
    corridors: int = 10_000
    store_payments: int = 20_000
    replayed: int = 20_480  # payments of one run of the raw scripts
    events: int = 20_000
    facts: int = 50_000


_UNARY = Goal("ratio", ">=", 0.75)
_TWICE = Goal("ratio", "<=", 2)
_THIRD = Goal("ratio", ">=", 0.7)  # "within 30 %"
_FASTER = Goal("ratio", ">=", 0.9)  # "within 10 %": more is no fault
_COSTLIER = Goal("ratio", "<=", 1.1)
_SCALES = Goal("ratio", ">=", 1.6)
_EFFICIENT = Goal("times", ">=", 0.8)  # two workers at this CPU per payment do 1.6 times the work of one
_MICROS = Goal("value", "<=", 3)
_GENERAL = Goal("times", ">=", 30)
_TWIN = Goal("times", ">=", 10)
_METRICS = Goal("ratio", "<=", 0.03)
_ECHO = "empty grpc.aio echo, same sizes"

ROWS: Final = (
    Row("unary.rate", "SubmitPayment to COMMITTED through hkfps, 64 callers", "/s", _ECHO, _UNARY),
    Row("unary.p99", "its p99 at half of that load, open loop", "ms", "the echo's at the same rate", _TWICE),
    Row("unary.cpu", "CPU of all processes per payment", "ms", goal=Goal("value", "<=", 1)),
    Row("batch.rate", "SubmitPayments to COMMITTED through hkfps, 8 streams of 256", "/s", goal=Goal("value", ">=", 25_000)),
    Row("batch.cpu", "CPU of all processes per payment", "ms", goal=Goal("value", "<=", 0.1)),
    Row("batch.cpu_switch", "of that: the switch", "ms"),
    Row("batch.cpu_store", "of that: the store", "ms"),
    Row("batch.cpu_rail", "of that: the rail's simulator", "ms"),
    Row("batch.cpu_client", "of that: the client", "ms"),
    Row("rails.mofps", "the same through mofps", "/s", "hkfps, batches of the same number", _THIRD),
    Row("rails.ecny", "the same through ecny, a quote each", "/s", "hkfps, batches of the same number", _THIRD),
    Row("rails.alipay", "the same through alipay, signed, a quote each", "/s", "RSA2 signatures a second, one core"),
    Row("codec.write", "route + encode to FPS bytes (pacs.008)", "µs", goal=_MICROS),
    Row("codec.write_lxml", "the same", "µs", "lxml builds and writes the message", _GENERAL),
    Row("codec.write_xsdata", "the same", "µs", "xsdata writes the message", _GENERAL),
    Row("codec.write_plain", "the same", "µs", "the plain twin", _TWIN),
    Row("codec.read", "decode the answer (pacs.002), to what became of the payment", "µs", "of that: reading", _MICROS),
    Row("codec.record", "the answer's bytes to its record, every value checked", "µs"),
    Row("codec.record_lxml", "the same", "µs", "lxml parses and takes every text", _GENERAL),
    Row("codec.record_xsdata", "the same", "µs", "xsdata parses into its classes", _GENERAL),
    Row("codec.record_plain", "the same", "µs", "the plain twin", _TWIN),
    Row("codec.transfer", "hold to FPS bytes, without the route", "µs", "of that: making the record"),
    Row("codec.route", "route alone", "µs", "the plain twin"),
    Row("growth.rate", "prepare and commit in a store of many payments", "/s", "of few", _FASTER),
    Row("growth.cpu", "the server's CPU per payment there", "µs", "of few", _COSTLIER),
    Row("growth.memory", "memory per payment of many", "bytes", "of few", _COSTLIER),
    Row("growth.participants_rate", "prepare and commit over many participants", "/s", "over one", _FASTER),
    Row("growth.participants_cpu", "the server's CPU per payment there", "µs", "over one", _COSTLIER),
    Row("growth.each_cpu", "the same, each payment of another participant", "µs", "over one"),
    Row("growth.corridors", "route over many corridor rows", "µs", "over ten", _COSTLIER),
    Row("workers.unary", "unary, two workers", "/s", "one worker", _SCALES),
    Row("workers.unary_cpu", "the switch's CPU per payment, two workers", "ms", "one worker", _EFFICIENT),
    Row("workers.batch", "batches, two workers", "/s", "one worker", _SCALES),
    Row("workers.batch_cpu", "the switch's CPU per payment, two workers", "ms", "one worker", _EFFICIENT),
    Row("shards.rate", "two masters of a cluster, raw scripts", "/s", "one server", _SCALES),
    Row("shards.cpu", "CPU per payment of the busier master, all payments", "µs", "one server", Goal("times", ">=", 1.6)),
    Row("shards.round_trips", "calls of the store per payment, one shard", "calls"),
    Row("shards.bytes_in", "bytes to the store per payment, one shard", "bytes"),
    Row("shards.bytes_out", "bytes from the store per payment, one shard", "bytes"),
    Row("metrics.unary", "cost of metrics for one unary payment", "µs CPU", "the switch's CPU for it without", _METRICS),
    Row("metrics.batch", "cost of metrics for one batched payment", "µs CPU", "the switch's CPU for it without", _METRICS),
    Row("store.rate", "prepare and commit, one shard, one process", "payments/s"),
    Row("store.outbox_bytes", "in the store, its event in the outbox", "bytes/payment"),
    Row("store.outbox_rate", "outbox read, notes sealed, entries removed", "payments/s"),
    Row("store.note", "one note", "bytes"),
    Row("store.log_bytes", "in the store, its event in the log", "bytes/payment"),
    Row("store.retire", "retire", "payments/s"),
    Row("store.left_bytes", "left for the archive", "bytes/payment"),
    Row("store.after", "prepare and commit, after those left", "payments/s"),
    Row("store.restore", "restore from the log", "payments/s"),
    Row("store.back_bytes", "in the store, back from the log", "bytes/payment"),
    Row("relay.read", "read from the store, notes sealed", "µs CPU/event"),
    Row("relay.encode", "encode, with headers", "µs CPU/event"),
    Row("relay.write", "write to the broker", "µs CPU/event"),
    Row("relay.bare", "write to the broker, without headers", "µs CPU/event"),
    Row("relay.record", "one record", "bytes, headers apart"),
    Row("relay.rate", "one relay, one shard", "events/s"),
    Row("relay.cpu", "its CPU", "µs/event"),
    Row("settle.fill", "payments committed, to fill the outbox", "events/s"),
    Row("settle.relay", "relay, one process", "events/s"),
    Row("settle.relay_cpu", "relay, its CPU", "µs/event"),
    Row("settle.relay_memory", "relay, its memory at the end", "MiB"),
    Row("settle.relay_grown", "relay, grown since the middle", "MiB"),
    Row("settle.settler", "settler, one process", "events/s"),
    Row("settle.settler_cpu", "settler, its CPU", "µs/event"),
    Row("settle.settler_memory", "settler, its memory at the end", "MiB"),
    Row("settle.settler_grown", "settler, grown since the middle", "MiB"),
    Row("settle.exact", "positions that differ from the payments", "of all", goal=Goal("value", "<=", 0)),
    Row("archive.kept", "facts kept per second", "/s"),
    Row("archive.tail", "the last tenth of them", "/s"),
    Row("archive.cpu", "facts per second of CPU", "/s"),
    Row("archive.get", "get", "ms"),
    Row("archive.statement", "statement, pages of 500", "ms"),
    Row("archive.nets", "nets of all payments", "ms"),
    Row("archive.retired", "facts retired per second", "/s"),
    Row("archive.bytes", "bytes on disk per payment", "bytes"),
)  # fmt: skip


def rows_of(part: str) -> list[Row]:
    return [row for row in ROWS if row.part == part]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def ratio(figure: Figure) -> float | None:
    """Value over reference: of each pair where there are pairs, for they are of one moment. None: nothing to divide."""
    runs, reference = figure.runs, figure.reference
    if not runs or not reference or 0 in reference:
        return None
    if len(runs) == len(reference):
        return median([one / other for one, other in zip(runs, reference, strict=True)])
    return median(runs) / median(reference)


def judged(row: Row, figure: Figure) -> bool | None:
    """Whether the goal is met; None when there is no goal, or nothing to hold it against."""
    if row.goal is None or not figure.runs:
        return None
    found = median(figure.runs)
    if row.goal.of != "value":
        share = ratio(figure)
        if not share:
            return None
        found = share if row.goal.of == "ratio" else 1 / share
    return row.goal.kept(found)


def named(part: str, found: Mapping[str, Figure]) -> list[tuple[str, Figure]]:
    """Figures by the name of their row -> by its key. Raises KeyError: a figure that no row of the part is for."""
    keys = {row.name: row.key for row in rows_of(part)}
    return [(keys[name], figure) for name, figure in found.items()]
