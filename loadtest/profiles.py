"""A profile says what a run is and what it must keep to: mix, shape, participants, faults, thresholds. Data: profiles/*.toml."""

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from loadtest.mixes import MIXES, PEOPLE, Mix, load_mix
from loadtest.shapes import Shape, shape_of

__all__ = ["THRESHOLDS", "Changes", "Profile", "RailFault", "load_profile"]

# name -> what it says, for the report. *_min is a lower bound, *_max an upper one; each may be left out.
THRESHOLDS: dict[str, str] = {
    "begun_percent_min": "arrivals begun, of those meant, %",
    "p50_ms_max": "response p50 of SubmitPayment, each corridor, ms",
    "p99_ms_max": "response p99 of SubmitPayment, ms",
    "p999_ms_max": "response p99.9 of SubmitPayment, ms",
    "rail_p50_ms_max": "answers of each rail in the switch's own eyes, p50, ms",
    "error_per_mille_max": "calls that failed, per mille",
    "in_doubt_age_ms_max": "oldest IN_DOUBT, ms",
    "outbox_age_ms_max": "oldest entry of the outbox, ms",
    "memory_kib_per_minute_max": "memory slope of switch, relay and settler, KiB a minute, each",
    "kept_bytes_per_payment_max": "memory slope of store and rails, which keep all, bytes for each payment of the run, each",
    "descriptors_grown_max": "open files of every part, last fifth over middle fifth, each",
    "capacity_min": "arrivals a second of the last stage that held (shape step)",
    "cpu_ms_per_payment_max": "CPU of switch, store, relay, settler and rails for a payment, ms",
}
_ENVIRONMENT = "BAYSWITCH_LOAD_"
_KEYS = {"title", "mix", "seed", "warmup_s", "per_user", "processes", "rest_s_max", "skew_percent", "batch_items"}
_TABLES = {"participants", "shape", "thresholds", "fault"}


class Changes(NamedTuple):
    """What a run does otherwise than its profile says; 0: as it says. Locust's processes are told by the environment."""

    seconds: int = 0  # the whole shape in this time
    processes: int = 0

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Changes":
        """What `environment` of another process said."""
        return cls(*(int(environment.get(f"{_ENVIRONMENT}{name.upper()}") or 0) for name in cls._fields))

    def environment(self) -> dict[str, str]:
        """For `of`."""
        return {f"{_ENVIRONMENT}{name.upper()}": str(value) for name, value in self._asdict().items()}


class RailFault(NamedTuple):
    """What a mock rail does wrong during the run, on `per_mille` of its messages."""

    rail: str
    fault: str
    per_mille: int


class Profile(NamedTuple):
    """One run. Its mix is one of mixes/, or a file beside the profile. `per_user`: arrivals a second of one Locust user; rates are multiples of it."""

    name: str
    title: str
    path: Path
    sha256: str
    mix: Mix
    shape: Shape
    participants: Mapping[str, int]
    faults: tuple[RailFault, ...]
    thresholds: Mapping[str, int]
    seed: int
    warmup_s: int
    per_user: int
    processes: int
    rest_s_max: int
    batch_items: int
    changes: Changes


def load_profile(path: Path, changes: Changes = Changes()) -> Profile:  # noqa: B008 immutable
    """Raises ValueError: names what is wrong; OSError when there is no such file."""
    content = path.read_bytes()
    table = tomllib.loads(content.decode())
    if unknown := table.keys() - _KEYS - _TABLES:
        raise ValueError(f"{path.name}: unknown key {min(unknown)}")
    thresholds: dict[str, int] = table.get("thresholds", {})
    if wrong := thresholds.keys() - THRESHOLDS.keys():
        raise ValueError(f"{path.name}: unknown threshold {min(wrong)}; there are {', '.join(THRESHOLDS)}")
    shape = shape_of(table["shape"], path.parent)
    warmup_s = table.get("warmup_s", 0)
    if changes.seconds:
        if changes.seconds <= warmup_s:
            raise ValueError(f"{path.name}: the warm-up alone takes {warmup_s} s")
        shape = shape.lasting(changes.seconds)
    per_user = table.get("per_user", 1)
    if odd := [stage.rate for stage in shape.stages if stage.rate % per_user]:
        raise ValueError(f"{path.name}: a rate of {odd[0]} is no multiple of per_user, {per_user}")
    institutions: dict[str, int] = {"HK": 1, "CN": 1, "MO": 1, **table.get("participants", {})}
    named = table["mix"]
    mix_path = path.parent / named if named.endswith(".toml") else MIXES / f"{named}.toml"
    mix = load_mix(mix_path, institutions, table.get("skew_percent", 100))
    if strange := {one.kind for one in shape.recording} - mix.kinds.keys():
        raise ValueError(f"{path.name}: the recording has {min(strange)}, which the mix {mix.name} has not")
    return Profile(
        name=path.stem,
        title=table.get("title", path.stem),
        path=path,
        sha256=hashlib.sha256(
            b"".join(
                (content, mix_path.read_bytes(), PEOPLE.read_bytes(), str(changes).encode() if any(changes) else b"")
            )
        ).hexdigest(),
        mix=mix,
        shape=shape,
        participants=institutions,
        faults=tuple(RailFault(**row) for row in table.get("fault", ())),
        thresholds=thresholds,
        seed=table.get("seed", 1),
        warmup_s=warmup_s,
        per_user=per_user,
        processes=changes.processes or table.get("processes", 1),
        rest_s_max=table.get("rest_s_max", 120),
        batch_items=table.get("batch_items", 50),
        changes=changes,
    )
