"""`make bench`: every figure of the hot path beside its reference of the same run and its goal, printed and kept as JSON.

python -m loadtest.bench [--only unary,batch,...] [--full] [--runs 5] [--seconds 1.5] [--json PATH]

Exit code 1 when a row could not be measured that should have been; a goal that is not met is shown, and is no failure.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

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
from loadtest.bench_rows import ROWS, Figure, Scale, rows_of
from loadtest.bench_table import as_json, heading, line, machine
from switch.garbage import collect_briefly

__all__ = ["FULL", "PARTS", "main", "measure"]

PARTS: Final[Mapping[str, Callable[[Scale], Iterable[tuple[str, Figure]]]]] = {
    "unary": unary_bench.figures,
    "batch": batch_bench.figures,
    "rails": rails_bench.figures,
    "codec": codec_bench.figures,
    "growth": growth_bench.figures,
    "workers": workers_bench.figures,
    "shards": shards_bench.figures,
    "metrics": metrics_bench.figures,
    "store": store_bench.figures,
    "relay": relay_bench.figures,
    "settle": settle_bench.figures,
    "archive": archive_bench.figures,
}
FULL: Final = {"stored_many": 10_000_000, "events": 1_000_000, "facts": 1_000_000}
RESULTS: Final = Path(__file__).with_name("results")


def main() -> None:
    """Measure, print and keep in `results`. Ctrl-C or SIGTERM: everything started is stopped, exit code 130."""
    options = _parse()
    # SIGTERM is as Ctrl-C, which asyncio turns into a cancel: whatever runs is stopped on the way out. A shell lets its
    # background jobs ignore Ctrl-C; then asyncio would ignore both.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    scale = Scale(**{"runs": options.runs, "seconds": options.seconds, **(FULL if options.full else {})})
    where, begun = machine(), time.monotonic()
    collect_briefly()  # a search of the client's would look like a wait for the switch
    try:
        found, failures = measure(options.only, scale, lambda text: print(text, flush=True))
    except KeyboardInterrupt:
        print("stopped; nothing was kept", file=sys.stderr)
        sys.exit(130)
    rows = [row for part in options.only for row in rows_of(part)]
    report = {
        "machine": where,
        "seconds": round(time.monotonic() - begun, 1),
        "scale": scale._asdict(),
        "rows": as_json(rows, found, failures),
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=2, ensure_ascii=False), "utf-8")
    print(f"{report['seconds']:.0f} s, {len(failures)} rows failed; kept in {options.json}")
    sys.exit(1 if failures else 0)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", type=_parts, default=tuple(PARTS), metavar=",".join(PARTS))
    parser.add_argument("--runs", type=_positive, default=Scale().runs, help="medians are over these")
    parser.add_argument("--seconds", type=_seconds, default=Scale().seconds, help="of one run under load")
    parser.add_argument("--full", action="store_true", help="10^7 payments stored, 10^6 events: half an hour, 16 GiB")
    parser.add_argument("--json", type=Path, default=RESULTS / "bench.json", metavar="PATH")
    return parser.parse_args()


def _parts(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    if unknown := [name for name in chosen if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"no part {', '.join(map(repr, unknown))}; there are {', '.join(PARTS)}")
    return chosen


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError("a positive whole number")
    return int(text)


def _seconds(text: str) -> float:
    whole, _, rest = text.partition(".")
    if not (whole + rest).isascii() or not (whole + rest).isdigit() or not float(text):
        raise argparse.ArgumentTypeError("a positive number of seconds")
    return float(text)


def measure(
    parts: Sequence[str], scale: Scale, say: Callable[[str], object]
) -> tuple[dict[str, Figure], dict[str, str]]:
    """Every part in turn: figures by key, and by key why there is none. Each row is said when its part is done."""
    found: dict[str, Figure] = {}
    failures: dict[str, str] = {}
    say(heading())
    for part in parts:
        failure = "its part ended without it"
        try:
            for key, figure in PARTS[part](scale):
                found[key] = figure
        except Exception as error:  # noqa: BLE001 - one part that fails takes its own rows with it, no others
            failure = f"{type(error).__name__}: {error}"
        failures.update({row.key: failure for row in rows_of(part) if row.key not in found})
        for row in rows_of(part):
            say(line(row, found.get(row.key), failure))
    assert found.keys() <= {row.key for row in ROWS}, "a figure that no row is for"
    return found, failures


if __name__ == "__main__":
    main()
