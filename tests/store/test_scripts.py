"""The scripts as files: heads that agree with their calls, the same moves as the domain, and reload on NOSCRIPT."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

from switch.domain.payment import TRANSITIONS
from switch.errors import REASONS
from switch.limits import SCRIPT_INTEGER_MAX
from switch.store import Store
from switch.store.outbox import DELETE, LEASE
from switch.store.participant_store import CHANGE, CREATE
from switch.store.payment_reads import FIND
from switch.store.payment_store import CLAIM, FINISH, PREPARE, UNCLAIM
from switch.store.quote_store import END, HOLD, KEEP, LOOK, RELEASE
from switch.store.restoring import RESPEND
from switch.store.restoring import RESTORE as RESTORE_PAYMENTS
from switch.store.retention import LEFT, RETIRE, RETIRE_CLAIM
from switch.store.scripts import load_script
from switch.store.settlement_store import APPLY, CREDIT, PROGRESS, PUBLISHED, RESTORE, TRANSFER
from switch.store.settlement_windows import CLOSE, CONFIRM, CUT, DEFAULT, OPEN
from tests.store.builders import ACK, NOW_MS, hold, join

ALL = [PREPARE, FINISH, CLAIM, UNCLAIM, HOLD, KEEP, LOOK, END, RELEASE, CREATE, CHANGE, LEASE, DELETE]
ALL += [FIND, RETIRE, RETIRE_CLAIM, LEFT, RESTORE_PAYMENTS, RESPEND]
ALL += [APPLY, CREDIT, PROGRESS, PUBLISHED, RESTORE, TRANSFER, CLOSE, CONFIRM, CUT, DEFAULT, OPEN]


def test_every_script_file_is_loaded_and_checked_by_a_call() -> None:
    names = {
        Path(str(path)).stem for path in (files("switch.store") / "scripts").iterdir() if path.name.endswith(".lua")
    }
    shared = {name for name in names if name.startswith("_")}
    assert names - shared == {script.name for script in ALL}
    assert all(any(f"-- {name}.lua  " in script.source for script in ALL) for name in shared)


@pytest.mark.parametrize(
    ("keys", "argv", "said"),
    [("quote", "body terms", "ARGV"), ("quote owner", "body terms expiry_time_ms", "KEYS")],
)
def test_a_call_that_differs_from_the_head_stops_the_start(keys: str, argv: str, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        load_script("quote_keep", keys=keys, argv=argv)


def test_the_moves_in_lua_are_the_domains() -> None:
    (table,) = re.findall(r"^local MOVES = \{(.+)\}$", FINISH.source, re.MULTILINE)
    moves = dict(re.findall(r"(\w) = '(\w*)'", table))
    assert moves == {state.value: "".join(to.value for to in tos) for state, tos in TRANSITIONS.items()}


def test_the_exact_integers_of_lua_are_the_limit() -> None:
    for script in (FINISH, RELEASE):
        assert f"EXACT_MAX = {SCRIPT_INTEGER_MAX} " in script.source


def test_prepare_refuses_in_the_order_of_the_catalogue() -> None:
    """The order in which the steps of prepare_one can give each reason; figures and quotes in their own functions."""
    body = PREPARE.source.split("local function prepare_one")[1]
    functions = ("quote_fault", "limit_fault", "cap_fault")
    sources = {name: PREPARE.source.split(f"local function {name}")[1].split("\nend\n")[0] for name in functions}
    for name, source in sources.items():
        body = body.replace(name, source, 1)
    reasons = [word for word in re.findall(r"'([A-Z]+_[A-Z_]+)'", body) if word in REASONS]
    # One line gives both limits; which of the two is first is a matter of the charges' order, tested with the limits.
    assert sorted(reasons, key=list(REASONS).index) == [
        "QUOTE_UNKNOWN", "QUOTE_MISMATCH", "UETR_REUSED", "PARTICIPANT_UNKNOWN", "PARTICIPANT_SUSPENDED",
        "QUOTE_EXPIRED", "QUOTE_USED", "DAY_LIMIT", "YEAR_LIMIT", "NET_DEBIT_CAP_EXCEEDED",
    ]  # fmt: skip
    # The engine has compared the quote before; here it is looked at again, with the rest of the quote.
    compared_before = ("QUOTE_UNKNOWN", "QUOTE_MISMATCH")
    without_limits = [name for name in reasons if not name.endswith("_LIMIT") and name not in compared_before]
    assert without_limits == sorted(without_limits, key=list(REASONS).index)


async def test_a_server_that_forgot_the_scripts_is_told_them_again(store: Store) -> None:
    await join(store)
    reserved = hold(100)
    await store.payments.prepare(reserved, "")
    await store.payments._server.everywhere("SCRIPT", "FLUSH")
    assert (await store.payments.commit(reserved, ACK, NOW_MS)).state.final
    await store.payments._server.everywhere("SCRIPT", "FLUSH")
    assert (await store.payments.prepare(hold(100), "")).fresh
