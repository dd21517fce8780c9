"""What Locust is started with: by loadtest/gate.py, or by hand for its web page:

    BAYSWITCH_LOAD_PROFILE=loadtest/profiles/release.toml BAYSWITCH_LOAD_FOLDER=loadtest/results \\
        python -m locust -f loadtest/users/locustfile.py --class-picker --host 127.0.0.1:7400 [--processes 2]

One Locust user is `per_user` arrivals a second (profile), so the number of users is the rate. A shape of the profile sets
it over time; with --class-picker the page may choose "no shape", and any number.
"""

import os
import time
from pathlib import Path
from typing import Any, Final

import gevent
import grpc.experimental.gevent as grpc_gevent
from gevent.event import Event
from locust import LoadTestShape, events
from locust.runners import MasterRunner

from loadtest.arrivals import drive
from loadtest.profiles import Changes, load_profile
from loadtest.users import open_loop
from loadtest.users.looks import Quotes, RouteChecks, StatusCalls, Watchers
from loadtest.users.open_loop import OpenLoopUser
from loadtest.users.payments import BatchStreams, CancellingCalls, ReplayedCalls, SingleCalls, WrongCalls

__all__ = [
    "BatchStreams",
    "CancellingCalls",
    "ProfileShape",
    "Quotes",
    "Recording",
    "ReplayedCalls",
    "RouteChecks",
    "SingleCalls",
    "StatusCalls",
    "Watchers",
    "WrongCalls",
]

SEARCH_ENDS_AT: Final = 2  # times the profile's p99
PROFILE: Final = load_profile(open_loop.profile_path(), Changes.of(os.environ))
BY_KIND: dict[str, type[OpenLoopUser]] = {
    each.kind: each
    for each in (
        SingleCalls,
        BatchStreams,
        Quotes,
        RouteChecks,
        StatusCalls,
        Watchers,
        ReplayedCalls,
        CancellingCalls,
        WrongCalls,
    )
}
for _kind in BY_KIND:  # no name for the class: Locust would take it for another one
    BY_KIND[_kind].weight = 0 if PROFILE.shape.recording else PROFILE.mix.kinds.get(_kind, 0)


class Recording(OpenLoopUser):
    """Replays this process's share of a recorded arrival file: every n-th row of n processes."""

    weight = 1 if PROFILE.shape.recording else 0

    def arrive(self) -> None:
        users = {kind: BY_KIND[kind](self.environment) for kind in PROFILE.mix.kinds}
        rows = PROFILE.shape.recording[self.environment.runner.worker_index :: PROFILE.processes]
        kinds = iter(row.kind for row in rows)
        offsets = (row.offset for row in rows)
        drive(offsets, time.perf_counter(), time.perf_counter, gevent.sleep, lambda due: users[next(kinds)].begin(due))
        Event().wait()  # until it is stopped: a recording is played once


class ProfileShape(LoadTestShape):
    """The profile's shape as numbers of users. Leaves the moment the run began in the folder, for who reads its files."""

    def tick(self) -> tuple[int, float] | None:
        begun = Path(os.environ["BAYSWITCH_LOAD_FOLDER"]) / "begun"
        if not begun.exists():
            begun.write_text(f"{self.start_time * 1000:.0f}")
        seconds = time.perf_counter() - self.start_time
        rate = PROFILE.shape.rate_at(seconds)
        if rate is None or (PROFILE.shape.searching and self._broken()):
            return None
        users = PROFILE.processes if PROFILE.shape.recording else rate // PROFILE.per_user
        return users, users

    def _broken(self) -> bool:
        """Far over the limit for the last ten seconds: no use to go on stepping."""
        limit = PROFILE.thresholds.get("p99_ms_max", 0)
        p99 = self.runner.stats.total.get_current_response_time_percentile(0.99) if self.runner else None
        return bool(limit and p99 and p99 > SEARCH_ENDS_AT * limit)


@events.init.add_listener  # type: ignore[untyped-decorator]
def _begin(environment: Any, **_: Any) -> None:
    """After Locust has forked its processes: gRPC must not be there before."""
    grpc_gevent.init_gevent()
    # gRPC waits for each answer in a thread of gevent's pool. With its ten threads, an answer that has come would not be
    # seen while ten others are waited for: the generator would measure its own queue.
    gevent.get_hub().threadpool.maxsize = open_loop.IN_FLIGHT_MAX
    if isinstance(environment.runner, MasterRunner):
        return
    mine = open_loop.begin(environment, PROFILE)
    environment.events.test_stop.add_listener(lambda **_: mine.rest())
    environment.events.quitting.add_listener(lambda **_: mine.rest())
    environment.events.quit.add_listener(lambda **_: mine.recorder.close())
