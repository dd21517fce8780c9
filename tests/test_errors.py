"""The catalogue of reasons: every cell filled, every status real, the documented order the one that is walked."""

import re

import grpc
import pytest

import switch.errors
from switch.errors import (
    REASONS,
    BayswitchError,
    CodecError,
    ConfigError,
    InvalidValue,
    RailError,
    RailRejected,
    RailSilent,
    RailUnavailable,
    Reason,
    Refused,
    Retry,
    StoreUnavailable,
)

# Groups of the catalogue, in order, each with the reasons of its ends: what is refused first, by whom.
ORDER = """
# first                   last                     decided by
  CALLER_UNKNOWN          DEADLINE_PASSED          api, before the message is read
  FIELD_MISSING           FIELD_INVALID            api, from the message alone
  REQUEST_MISMATCH        PAYMENT_UNKNOWN          store, from what was there before
  NO_ROUTE                TXN_LIMIT                router
  QUOTE_REQUIRED          QUOTE_MISMATCH           quotes
  UETR_REUSED             PARTICIPANT_EXISTS       store, in the script that reserves: no trace
  QUOTE_EXPIRED           NET_DEBIT_CAP_EXCEEDED   the same script: kept
  CREDITOR_AGENT_UNKNOWN  RAIL_NEVER_SAW_IT         rail and recovery; the payment is ABORTED
  ARRANGEMENT_UNKNOWN     OBLIGATION_MISMATCH      settlement, in the order in which a window meets it
  STORE_UNAVAILABLE       INTERNAL_FAULT           ourselves
"""
GROUPS = [line.split()[:2] for line in ORDER.splitlines() if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("reason", REASONS.values(), ids=REASONS)
def test_every_cell_is_filled(reason: Reason) -> None:
    assert re.fullmatch(r"[A-Z][A-Z0-9_]+", reason.name)
    assert reason.grpc in grpc.StatusCode.__members__
    assert reason.grpc != "OK"
    assert re.fullmatch(r"[A-Z0-9]{4}", reason.iso), "ISO 20022 external codes have four characters"
    assert isinstance(reason.retry, Retry)
    assert isinstance(reason.ask_status, bool)
    assert reason.retry_after_ms >= 0
    assert reason.advice
    assert not reason.advice.endswith(".")
    assert reason.retry_after_ms == 0 or reason.retry is not Retry.NEVER, "a wait is no advice when no repeat can pass"


def test_the_key_is_the_name() -> None:
    assert all(name == reason.name for name, reason in REASONS.items())


def test_the_documented_order_is_the_order_of_the_rows() -> None:
    names = list(REASONS)
    ends = [names.index(name) for group in GROUPS for name in group]
    assert ends == sorted(ends)
    assert (ends[0], ends[-1]) == (0, len(names) - 1)
    assert all(second == first + 1 for first, second in zip(ends[1::2], ends[2::2], strict=False)), (
        "no row is in no group"
    )


def test_groups_have_their_statuses() -> None:
    names = list(REASONS)

    def statuses(first: str, last: str) -> set[str]:
        return {REASONS[name].grpc for name in names[names.index(first) : names.index(last) + 1]}

    assert statuses("FIELD_MISSING", "FIELD_INVALID") == {"INVALID_ARGUMENT"}
    assert statuses("NO_ROUTE", "TXN_LIMIT") == {"FAILED_PRECONDITION"}
    assert statuses("DAY_LIMIT", "NET_DEBIT_CAP_EXCEEDED") == {"FAILED_PRECONDITION"}
    assert statuses("CREDITOR_AGENT_UNKNOWN", "RAIL_NEVER_SAW_IT") == {"ABORTED"}
    assert {name for name, reason in REASONS.items() if reason.grpc == "ABORTED"} == set(
        names[names.index("CREDITOR_AGENT_UNKNOWN") : names.index("RAIL_NEVER_SAW_IT") + 1]
    ), "ABORTED is said of a payment that a rail, recovery or an operator ended, and of nothing else"


def test_what_may_have_happened_says_ask() -> None:
    for name in ("DEADLINE_PASSED", "STORE_UNAVAILABLE", "INTERNAL_FAULT"):
        assert REASONS[name].ask_status
        assert REASONS[name].retry is Retry.SAME_REQUEST


def test_the_tree_drawn_is_the_tree() -> None:
    drawn = re.findall(r"^ {4}[│ ]*[├└]── (\w+)", switch.errors.__doc__ or "", re.MULTILINE)
    everywhere = (*BayswitchError.__subclasses__(), *RailError.__subclasses__())
    built = {cls.__name__ for cls in everywhere if cls.__module__ == switch.errors.__name__}  # others' stay with them
    assert set(drawn) == built
    assert {cls.__name__ for cls in RailError.__subclasses__()} == {"RailRejected", "RailSilent", "RailUnavailable"}


def test_what_an_error_carries() -> None:
    refused = Refused("TXN_LIMIT", field="debit.amount_minor", figures={"limit_minor": "1"})
    assert (refused.reason, refused.field, refused.figures) == (
        REASONS["TXN_LIMIT"],
        "debit.amount_minor",
        {"limit_minor": "1"},
    )
    assert str(refused) == "TXN_LIMIT: pay at most the limit"
    assert str(Refused("NO_RATE", "other words")) == "NO_RATE: other words"
    rejected = RailRejected("PROXY_UNKNOWN", "BE23")
    assert (rejected.reason.name, rejected.rail_code, str(rejected)) == (
        "PROXY_UNKNOWN",
        "BE23",
        "PROXY_UNKNOWN (BE23)",
    )
    assert str(RailRejected("RAIL_REFUSED")) == "RAIL_REFUSED"
    fault = CodecError("GrpHdr/MsgId", "LENGTH")
    assert (fault.path, fault.rule, str(fault)) == ("GrpHdr/MsgId", "LENGTH", "GrpHdr/MsgId: LENGTH")
    assert InvalidValue("FORMAT", "digits").rule == "FORMAT"
    for kind in (RailSilent, RailUnavailable, StoreUnavailable, ConfigError):
        assert isinstance(kind("why"), BayswitchError)


def test_a_reason_that_is_not_in_the_catalogue_is_our_mistake() -> None:
    with pytest.raises(KeyError):
        Refused("NO_SUCH_REASON")
    with pytest.raises(KeyError):
        RailRejected("NO_SUCH_REASON")
