"""What a run leaves behind: one line for each call, and one for each answer about a payment, in files of each process.

calls-<pid>.csv    kind, call, corridor, due (ms of the machine's clock), late and service (us), outcome ("" is as it should be),
                   state of the payment, payments made, 1 for the first call of its arrival
answers-<pid>.csv  UETR, participant, what the client was told
Response is late + service: it counts from when the call was due, whoever was late.
"""

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["UNKNOWN", "Answer", "Call", "Recorder", "read_answers", "read_calls"]

UNKNOWN: Final = "UNKNOWN"  # the call ended without an answer: the payment may have been made, or not
_FLUSH_LINES: Final = 500


class Call(NamedTuple):
    """One call, as it was measured."""

    kind: str
    call: str
    corridor: str
    due_ms: int
    late_us: int
    service_us: int
    outcome: str
    state: str
    payments: int
    first: int

    @property
    def response_ms(self) -> float:
        return (self.late_us + self.service_us) / 1000

    @property
    def service_ms(self) -> float:
        return self.service_us / 1000


class Answer(NamedTuple):
    """What a client was told about a payment: a state, or UNKNOWN."""

    uetr: str
    participant: str
    told: str


class Recorder:
    """Writes both files of this process. Lines reach them by hundreds, and the rest by `flush`."""

    def __init__(self, folder: Path) -> None:
        self._files = [(folder / f"{name}-{os.getpid()}.csv").open("w", newline="") for name in ("calls", "answers")]
        self._calls, self._answers = (csv.writer(file) for file in self._files)
        self._lines = 0

    def call(self, call: Call) -> None:
        self._calls.writerow(call)
        self._count()

    def answer(self, uetr: str, participant: str, told: str) -> None:
        self._answers.writerow((uetr, participant, told))
        self._count()

    def _count(self) -> None:
        self._lines += 1
        if self._lines % _FLUSH_LINES == 0:
            self.flush()

    def flush(self) -> None:
        """Everything said so far is in the files."""
        for file in self._files:
            file.flush()

    def close(self) -> None:
        """Nothing more is said."""
        for file in self._files:
            file.close()


def read_calls(folder: Path) -> list[Call]:
    """The calls of all processes, in the order they were due."""
    found = [
        Call(kind, call, corridor, int(due), int(late), int(service), outcome, state, int(payments), int(first))
        for kind, call, corridor, due, late, service, outcome, state, payments, first in _rows(folder, "calls")
    ]
    return sorted(found, key=lambda each: each.due_ms)


def read_answers(folder: Path) -> list[Answer]:
    """What clients were told, of all processes."""
    return [Answer(*row) for row in _rows(folder, "answers")]


def _rows(folder: Path, name: str) -> Iterator[list[str]]:
    for path in sorted(folder.glob(f"{name}-*.csv")):
        with path.open(newline="") as file:
            yield from csv.reader(file)
