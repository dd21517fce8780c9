"""What can go wrong at a mock rail, chosen by a control call or by a mark on an account of the seed."""

import random
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final, NamedTuple

from switch.errors import InvalidValue

__all__ = ["CONTROL_ONLY", "Fault", "FaultKind", "FaultRule", "FaultTable", "Operation"]

DELAY_MS_MAX: Final = 120_000
RULES_MAX: Final = 64


class FaultKind(StrEnum):
    """The faults. Whether money was booked is part of each: an enquiry afterwards tells the truth."""

    SLOW = "slow"  # slow:MS         works for MS, then books and answers; an enquiry meanwhile says "still working"
    SILENT = "silent"  # nothing booked, nothing kept, no answer: an enquiry says "never seen"
    SILENT_BOOKED = "silent_booked"  # booked, no answer
    SILENT_THEN_LATE = "silent_then_late"  # silent_then_late:MS  booked at once, answered after MS
    TWICE = "twice"  # booked, answered twice
    REFUSE = "refuse"  # refuse:CODE   refused with this code of the rail, nothing booked
    MALFORMED = "malformed"  # booked, the answer cannot be read
    BAD_SIGNATURE = "bad_signature"  # booked, the answer's signature is wrong (rails that sign)
    CUT = "cut"  # booked, the connection ends in the middle of the answer
    CUT_BEFORE = "cut_before"  # booked, the connection ends before the answer
    OFFLINE = "offline"  # by control: the rail takes no connection; on an account: its institution is offline
    MAINTENANCE = "maintenance"  # everything new is refused with the rail's word for it; enquiries are answered


class Operation(StrEnum):
    """Which messages a rule applies to. Marks on accounts apply to PREPARE alone, so that recovery can end them."""

    PREPARE = "prepare"
    ENQUIRE = "enquire"
    ANY = "any"


CONTROL_ONLY: Final = frozenset({FaultKind.OFFLINE})  # as a table rule: acts on the listener, never on one message
_WITH_MS: Final = frozenset({FaultKind.SLOW, FaultKind.SILENT_THEN_LATE})


class Fault(NamedTuple):
    """One fault with its parameter; as text 'slow:500', 'refuse:AC04', 'twice'."""

    kind: FaultKind
    ms: int = 0
    code: str = ""

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Text of a seed or a control call -> Fault. Raises InvalidValue FAULT."""
        word, _, parameter = text.partition(":")
        try:
            kind = FaultKind(word)
            if kind in _WITH_MS:
                ms = int(parameter)
                if not 0 < ms <= DELAY_MS_MAX:
                    raise ValueError
                return cls(kind, ms=ms)
        except ValueError:
            kinds = ", ".join(FaultKind)
            raise InvalidValue("FAULT", f"a fault is one of {kinds}; slow and silent_then_late take :MS") from None
        if (kind is FaultKind.REFUSE) != bool(parameter):
            raise InvalidValue("FAULT", "refuse, and no other of these, takes :CODE")
        return cls(kind, code=parameter)

    def __str__(self) -> str:
        parameter = str(self.ms) if self.kind in _WITH_MS else self.code
        return f"{self.kind}:{parameter}" if parameter else str(self.kind)


class FaultRule:
    """A fault and when it strikes: `count` times (0: for ever), with `per_mille` probability from `seed`."""

    def __init__(
        self, fault: Fault, *, count: int = 0, per_mille: int = 1000, seed: int = 0, on: Operation = Operation.PREPARE
    ) -> None:
        if count < 0 or not 0 < per_mille <= 1000:
            raise InvalidValue("FAULT", "count >= 0 and 0 < per_mille <= 1000")
        self.fault = fault
        self.on = on
        self.left = count or -1
        self.per_mille = per_mille
        self._random = random.Random(seed)

    def strikes(self, operation: Operation) -> bool:
        if self.on is not operation and self.on is not Operation.ANY:
            return False
        if self.per_mille < 1000 and self._random.randrange(1000) >= self.per_mille:
            return False
        if self.left > 0:
            self.left -= 1
        return True

    def describe(self) -> dict[str, str | int]:
        left = max(self.left, 0)
        return {"fault": str(self.fault), "on": str(self.on), "left": left, "per_mille": self.per_mille}


class FaultTable:
    """The faults of one mock rail. Rules are asked in the order they were set; the first that strikes, counts."""

    def __init__(self, *, supported: Iterable[FaultKind] = FaultKind, codes: Iterable[str] = ()) -> None:
        self.supported = frozenset(supported)
        self.codes = frozenset(codes)  # what refuse:CODE may say; empty: anything
        self.on_change: Callable[[], None] | None = None  # the server follows `offline`
        self._rules: list[FaultRule] = []

    @property
    def offline(self) -> bool:
        """The rail takes no connection until `clear`."""
        return any(rule.fault.kind is FaultKind.OFFLINE for rule in self._rules)

    def check(self, fault: Fault) -> Fault:
        """Raises InvalidValue when this rail cannot show `fault`."""
        if fault.kind not in self.supported:
            raise InvalidValue("FAULT", f"this rail does not show {fault.kind}")
        if fault.kind is FaultKind.REFUSE and self.codes and fault.code not in self.codes:
            raise InvalidValue("FAULT", f"this rail's codes are {', '.join(sorted(self.codes))}")
        return fault

    def set(self, rule: FaultRule) -> None:
        """Add one rule. Raises InvalidValue: not shown by this rail, or too many rules."""
        self.check(rule.fault)
        if len(self._rules) >= RULES_MAX:
            raise InvalidValue("FAULT", f"at most {RULES_MAX} rules; clear first")
        self._rules.append(rule)
        self._changed()

    def clear(self) -> None:
        """No faults but the marks of the seed."""
        self._rules.clear()
        self._changed()

    def rules(self) -> list[dict[str, str | int]]:
        """What is set, for people."""
        return [rule.describe() for rule in self._rules]

    def take(self, operation: Operation, mark: Fault | None = None) -> Fault | None:
        """The fault that strikes this message: a rule of the table, else the account's mark, else None."""
        for rule in self._rules:
            if rule.fault.kind in CONTROL_ONLY or not rule.strikes(operation):
                continue
            if rule.left == 0:
                self._rules.remove(rule)
            return rule.fault
        return mark if operation is Operation.PREPARE else None

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()
