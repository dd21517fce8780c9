"""The clock of clients and mocks, and what an abort may promise on a rail whose messages grow too old to be paid."""

import time

from switch.domain.payment import Hold
from switch.limits import CLOCK_SKEW_MS_MAX
from switch.ports import Enquiry, Outcome

__all__ = ["certain", "wall_ms"]


def wall_ms() -> int:
    """Unix milliseconds, UTC."""
    return time.time_ns() // 1_000_000


def certain(answer: Enquiry, hold: Hold, asked_ms: int, valid_ms: int, skew_ms: int = CLOCK_SKEW_MS_MAX) -> Enquiry:
    """What `answer` is worth to an abort that asked at `asked_ms`: "never seen" counts only once it is true for ever.

    The message of a hold carries the time it was prepared, and a rail without a cancel takes none that is older than
    `valid_ms`. Its clock may be behind ours by `skew_ms`, so until that has passed too the answer is WORKING. Both clocks must
    say so: ours may have been set forward, and an answer that dates from before may be one to an earlier question,
    come late.
    """
    age_ms = min(asked_ms, answer.rail_time_ms or asked_ms) - hold.prepared_time_ms
    if answer.outcome is Outcome.NEVER_SEEN and age_ms <= valid_ms + skew_ms:
        return Enquiry(Outcome.WORKING)
    return answer
