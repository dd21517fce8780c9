"""`make services`: a real Kafka, a real Valkey cluster and a real PostgreSQL on loopback until Ctrl-C or SIGTERM.

    python -m deploy.local [--kafka-nodes 1|3] [--folder PATH]

Prints the addresses and the lines to export. Exit code 0 after an ordinary stop, 1 when something could not start.
"""

import argparse
import contextlib
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from deploy.local import kafka, postgres, valkey

__all__ = ["main"]

REPORT = """
Kafka       {bootstrap}
Valkey      {url}  (three masters)
PostgreSQL  127.0.0.1:{port}
logs        {folder}

export BAYSWITCH_KAFKA_BOOTSTRAP={bootstrap}
export BAYSWITCH_REDIS_URL={url}
export BAYSWITCH_ARCHIVE_URL={archive}

Ctrl-C stops all three{after}."""


class _Stop(BaseException):
    """SIGINT or SIGTERM: unwinds whatever is starting or waiting."""


def _raise_stop(_number: int, _frame: FrameType | None) -> None:
    raise _Stop


def main(arguments: Sequence[str] | None = None) -> int:
    """Start, report, wait for a signal, stop."""
    options = _parse(arguments)
    for name, missing in (("Kafka", kafka.missing()), ("PostgreSQL", postgres.missing())):
        if missing:
            print(f"{name} cannot start: {missing}", file=sys.stderr)
            return 1
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _raise_stop)
    with contextlib.ExitStack() as running:
        try:
            _serve(running, options.folder, options.kafka_nodes)
        except _Stop:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)  # stopping is bounded; another Ctrl-C would leave it half done
            print("stopping", flush=True)
        except (kafka.KafkaFailed, postgres.PostgresFailed, RuntimeError, OSError) as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local", description="A real Kafka, a real Valkey cluster and a real PostgreSQL."
    )
    parser.add_argument("--kafka-nodes", type=int, choices=(1, 3), default=1)
    parser.add_argument(
        "--folder", type=Path, help="where Kafka and PostgreSQL keep data and logs; thrown away when not given"
    )
    return parser.parse_args(arguments)


def _serve(running: contextlib.ExitStack, folder: Path | None, kafka_nodes: int) -> None:
    print("starting Kafka, Valkey and PostgreSQL", flush=True)
    thrown_away = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="bayswitch-services-")))
    broker = running.enter_context(kafka.cluster(kafka_nodes, folder=(folder or thrown_away) / "kafka"))
    # A Valkey cluster knows its members by their ports, and those are new each time: it always starts empty.
    store = running.enter_context(valkey.run_cluster(thrown_away / "valkey"))
    archive = running.enter_context(postgres.run_postgres(folder / "postgres" if folder else None))
    report = REPORT.format(
        bootstrap=broker.bootstrap,
        url=store.url,
        port=archive.port,
        archive=archive.url,
        folder=f"{broker.folder} and {archive.folder}",
        after="; Kafka and PostgreSQL keep their data" if folder else " and throws their data away",
    )
    print(report, flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
