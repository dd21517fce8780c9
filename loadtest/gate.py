"""The release gate: a profile's load against a whole switch, everything audited, every threshold checked.

    python -m loadtest.gate --profile loadtest/profiles/release.toml
    python -m loadtest.gate --profile … --revision HEAD~1
    python -m loadtest.gate --profile … --attach 127.0.0.1:7400 [--control hkfps=127.0.0.1:7502] [--admin …] [--enrol]

It starts Kafka, store, mock rails, switch, relay and settler, each a process of its own, unless it attaches. Locust runs
in a child. Exit 0: passed; 1: failed, or invalid because the generator was at its own limit. The report, with the
reasons, is in loadtest/results/<profile>-<time>/.
"""

import argparse
import asyncio
import contextlib
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import grpc.aio

from deploy.local.kafka import KafkaFailed
from loadtest.audit import audit
from loadtest.child import LocustFailed, run_locust
from loadtest.figures import judged, measure
from loadtest.plants import PLANTS
from loadtest.profiles import Changes, Profile, load_profile
from loadtest.report import Findings, manifest, write_report
from loadtest.rest import Rest, Told, resolve
from loadtest.revision import RevisionFailed, built, commit_of
from loadtest.scraping import Scraper
from loadtest.settlement_audit import audit_settlement
from loadtest.system import Settlement, System, attached, started
from loadtest.users.record import read_answers, read_calls
from switch.archive import open_archive
from switch.cli.client import CallFailed
from switch.cli.processes import NotReady
from switch.rules import load_rules

__all__ = ["Gate", "main"]

RESULTS: Final = Path(__file__).with_name("results")


class Gate:
    """One run of one profile against one system; `run` leaves everything in `folder` and returns what was found."""

    def __init__(
        self, profile: Profile, system: System, folder: Path, seed: int, plant: str = "", revision: str = ""
    ) -> None:
        self._profile = profile
        self._system = system
        self._folder = folder
        self._seed = seed
        self._plant = plant
        self._revision = revision

    def run(self) -> Findings:
        """Enter participants, load, come to rest, audit, judge, report.

        Raises LocustFailed; FileExistsError: the folder is there, and may hold another run's files.
        """
        system, profile = self._system, self._profile
        self._folder.mkdir(parents=True)
        system.enrol(profile.participants)
        system.spoil(profile.faults, self._seed)
        with (
            PLANTS[self._plant](system) if self._plant else contextlib.nullcontext(),
            Scraper(system.admins) as scraper,
        ):
            samples = run_locust(profile, system.address, self._folder, self._seed, system.parts)
        system.heal()
        told, audits, problems = asyncio.run(self._audited())
        begun_ms = int((self._folder / "begun").read_text())
        calls = read_calls(self._folder)
        figures = measure(profile, begun_ms, calls, samples, told.in_doubt_age_ms_max, scraper.looks)
        verdict, reasons = judged(profile, figures, problems)
        found = Findings(profile, begun_ms, calls, samples, scraper.looks, figures, audits, verdict, reasons)
        about = {
            "changes": profile.changes._asdict(),
            "looks_missed": scraper.missed,
            "plant": self._plant,
            "switch_revision": self._revision or "as checked out",
            "address": system.address,
            "started_here": system.sandbox is not None,
        }
        write_report(self._folder, found, manifest(profile, self._seed, about))
        return found

    # --- what became of it ---------------------------------------------------------------------------------------------
    async def _audited(self) -> tuple[Told, dict[str, str], list[str]]:
        """Everything at rest and compared: what clients were told, the audits' words, every problem."""
        told, audits, problems = Told(), dict[str, str](), list[str]()
        try:
            told = await resolve(self._system.address, read_answers(self._folder), self._profile.rest_s_max)
            problems += told.problems
            await self._compare(told, audits, problems)
        except grpc.aio.AioRpcError as error:
            problems.append(f"no audit, the switch does not answer: {error.code().name} {error.details()}")
        except CallFailed as error:
            problems.append(f"no audit, the switch does not answer: {error}")
        return told, audits, problems

    async def _compare(self, told: Told, audits: dict[str, str], problems: list[str]) -> None:
        system = self._system
        if system.settlement:
            rest = Rest(system.address, system.operator, system.settlement.store, system.settlement.bootstrap)
            problems += await rest.reach(self._profile.rest_s_max)
        participants = await asyncio.to_thread(system.participants)
        answers = await audit(system.address, system.operator, participants, system.controls, told.finals)
        ended = ", ".join(f"{count} {how}" for how, count in sorted(told.resolved.items()))
        audits["answers, records, positions, rails' books"] = (
            f"{answers}\nopen at the end of the load: {ended or 'none'}"
        )
        problems += [f"audit: {each}" for each in answers.problems]
        if system.settlement:
            settled = await self._settlement(system.settlement, participants)
            audits["records, topic, archive, windows, seals"] = str(settled)
            problems += [f"audit of the settlement: {each}" for each in settled.problems]

    async def _settlement(self, settlement: Settlement, participants: list[str]) -> Any:
        archive = open_archive("", settlement.data_dir)
        try:
            return await audit_settlement(
                self._system.address,
                self._system.operator,
                participants,
                settlement.bootstrap,
                archive,
                load_rules(settlement.rules_dir).arrangements.values(),
            )
        finally:
            await archive.close()


def main() -> None:
    """Parse, run, say how it went. Ctrl-C or SIGTERM: everything started is stopped, exit code 130."""
    options = _parse()
    try:
        profile = load_profile(options.profile, Changes(options.seconds, options.processes))
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore it
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
        folder = options.out or RESULTS / f"{profile.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
        print(f"{profile.title}: {profile.shape.seconds:.0f} s, seed {seed}", flush=True)
        with _system(options) as system:
            found = Gate(profile, system, folder, seed, options.plant, options.revision or "").run()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except (LocustFailed, RevisionFailed, KafkaFailed, NotReady, ValueError, OSError) as error:
        print(f"no verdict: {error}", file=sys.stderr)
        sys.exit(1)
    say(found, folder)
    sys.exit(0 if found.verdict == "passed" else 1)


def say(found: Findings, folder: Path) -> None:
    """The outcome for a terminal."""
    figures, pay = found.figures, found.figures.pay
    print(
        f"{figures.payments:,} payments, {figures.payment_rate:,.1f}/s; {figures.error_per_mille:.2f} per mille failed"
    )
    print(
        f"response p50 {pay.p50:.1f}  p99 {pay.p99:.1f}  p99.9 {pay.p999:.1f} ms; service p99 {pay.service_p99:.1f} ms"
    )
    print(f"CPU {figures.cpu_ms_per_payment:.2f} ms a payment; generator {figures.generator_percent:.0f} % of its core")
    stages = "  ".join(f"{name} {stage.mean:.2f}/{stage.p99:.1f}" for name, stage in figures.path.stages.items())
    print(f"stages, mean/p99 ms: {stages or 'not asked'}; {figures.path.shed} calls shed")
    print(f"callers were told: {', '.join(f'{count} {state}' for state, count in sorted(figures.states.items()))}")
    if found.profile.shape.searching:
        print(f"capacity {figures.capacity} arrivals/s")
    for name, text in found.audits.items():
        print(f"{name}: {text}")
    print("\n".join([found.verdict.upper(), *(f"  {reason}" for reason in found.reasons), f"{folder / 'report.html'}"]))


@contextlib.contextmanager
def _system(options: argparse.Namespace) -> Iterator[System]:
    if options.attach:
        yield attached(options.attach, dict(options.control), enrol=options.enrol, admins=options.admin)
        return
    scratch = tempfile.TemporaryDirectory(prefix="bayswitch-load-")
    with scratch as folder:
        place = options.keep or Path(folder)
        given = built(options.revision, place / "revision") if options.revision else {}
        with started(place, given) as system:
            yield system


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.gate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile", type=Path, required=True)
    parser.add_argument("--attach", metavar="HOST:PORT", default="", help="a switch that runs already (demo identity)")
    parser.add_argument("--control", type=_control, action="append", default=[], metavar="RAIL=HOST:PORT")
    parser.add_argument("--admin", action="append", default=[], metavar="HOST:PORT", help="of an attached switch")
    parser.add_argument("--enrol", action="store_true", help="enter the mix's participants at an attached switch")
    parser.add_argument(
        "--revision", type=_revision, default=None, help="of the switch; default: this checkout as it is"
    )
    parser.add_argument("--seed", type=int, default=None, help="of all dice; default: another each time")
    parser.add_argument("--seconds", type=int, default=0, help="the profile's whole shape in this time")
    parser.add_argument("--processes", type=int, default=0, help="of Locust; default: as the profile says")
    parser.add_argument("--plant", choices=sorted(PLANTS), default="", help="a fault the gate must find")
    parser.add_argument("--out", type=Path, default=None, help="folder of the report")
    parser.add_argument("--keep", type=Path, default=None, help="keep data and logs of what is started here")
    return parser.parse_args()


def _revision(text: str) -> str:
    try:
        return commit_of(text)
    except RevisionFailed as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _control(text: str) -> tuple[str, str]:
    rail, equals, where = text.partition("=")
    if not equals or ":" not in where:
        raise argparse.ArgumentTypeError("RAIL=HOST:PORT")
    return rail, where


if __name__ == "__main__":
    main()
