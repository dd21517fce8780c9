"""An operator at the command line, against the live sandbox."""

import uuid

import pytest

from switch.cli.sandbox import Sandbox
from tests.cli.support import Cli, until
from tests.cli.test_payments import KNOWN


def test_the_life_of_a_participant(cli: Cli) -> None:
    name = f"W{uuid.uuid4().hex[:8].upper()}"
    create = ("participants", "create", name, "A Wallet", "--place", "hk", "--cap", "HKD 100.00", "--why", "joins")
    assert cli(*create).code == 0
    assert cli(*create).code == 0, "safe to repeat"
    other = cli("participants", "create", name, "Another", "--place", "hk", "--why", "joins")
    assert other.code == 3
    assert "PARTICIPANT_EXISTS" in other.err
    assert "SUSPENDED" in cli("participants", "suspend", name, "--why", "an audit").out
    refused = cli("--as", name, "pay", "HKD 1.00", *KNOWN)
    assert refused.code == 3
    assert "PARTICIPANT_SUSPENDED" in refused.err
    assert "active" in cli("participants", "resume", name, "--why", "done").out
    assert "HKD 50.00" in cli("participants", "set-cap", name, "HKD 50.00", "--why", "less").out
    over = cli("--as", name, "pay", "HKD 60.00", *KNOWN)
    assert over.code == 3
    assert "NET_DEBIT_CAP_EXCEEDED" in over.err
    assert cli("participants", "set-cap", name, "HKD 0", "--why", "none").code == 0
    found = cli("participants", "get", name, "--json").json
    assert [change["action"] for change in found["changes"]] == ["create", "suspend", "resume", "set_cap", "set_cap"]
    assert {change["reason"] for change in found["changes"]} == {"joins", "an audit", "done", "less", "none"}
    assert name in cli("participants", "list").out
    assert name in {each["participant_id"] for each in cli("participants", "list", "--json").json}


def test_only_the_operator_keeps_the_register(cli: Cli) -> None:
    ran = cli("--as", "HKWALLET", "participants", "list")
    assert ran.code == 3
    assert "CALLER_NOT_PERMITTED" in ran.err


def test_a_rate_counts_from_now_on(cli: Cli) -> None:
    ran = cli("participants", "set-rate", "FXBANK", "MOP", "CNY", "8851/10000", "--why", "the market moved")
    assert (ran.code, ran.out) == (0, "FXBANK  MOP -> CNY  8851/10000\n")
    no_provider = cli("participants", "set-rate", "HKWALLET", "MOP", "CNY", "1/1", "--why", "no")
    assert no_provider.code == 3


def test_positions_sum_to_zero_and_each_sees_his_own(cli: Cli) -> None:
    assert cli("--as", "HKWALLET", "pay", "HKD 3.00", *KNOWN).code == 0
    every = cli("positions").out.splitlines()
    sums = [line for line in every if line.startswith("SUM")]
    assert sums
    assert all(line.endswith(" 0.00") for line in sums)
    own = cli("--as", "HKWALLET", "positions").out
    assert own.count("\n") == len([line for line in every if line.startswith("HKWALLET")]) + 1
    assert "SUM" not in own
    assert cli("--as", "HKWALLET", "positions", "--of", "FXBANK").code == 3
    one = cli("positions", "--of", "FXBANK", "--json").json
    assert {item["participant_id"] for item in one} == {"FXBANK"}


def test_the_outbox_is_read_beside_the_serving_switch(cli: Cli) -> None:
    uetr = str(uuid.uuid4())
    assert cli("--as", "HKWALLET", "pay", "HKD 4.00", *KNOWN, "--uetr", uetr).code == 0
    facts = cli("events", "--json").json
    fact = next(fact for fact in facts if fact["uetr"] == uetr)
    assert fact["state"] == "COMMITTED"
    assert sum(entry["amount_minor"] for entry in fact["entries"]) == 0
    assert "CHAN" not in str(facts)
    first = cli("events", "--count", "1")
    assert len(first.out.splitlines()) == 1 + 1
    assert "there are more" in first.err
    assert cli("--as", "HKWALLET", "payments").code == 0, "the store it joined still runs"


def test_version_tells_what_the_store_promises(cli: Cli) -> None:
    found = cli("version", "--server", "--json").json
    assert found["store"].startswith("valkey ")
    assert "power cut" in found["promise"]


def test_recover_beside_the_serving_switch(cli: Cli, sandbox: Sandbox) -> None:
    """A rail that says nothing at all: listed as open; when it speaks again, asking ends it, whoever asks first."""
    control, uetr = ("--control", sandbox.controls["hkfps"]), str(uuid.uuid4())
    try:
        assert cli("rail", "fault", "silent_booked", "--count", "1", *control).code == 0
        assert cli("rail", "fault", "silent", "--on", "enquire", *control).code == 0
        paid = cli("--as", "HKWALLET", "pay", "HKD 5.00", *KNOWN, "--uetr", uetr)
        assert paid.code == 5, paid
        until(lambda: uetr in cli("recover").out, "its budget passes")
        listed = cli("recover", "--json")
        assert listed.code == 5
        row = next(row for row in listed.json if row["uetr"] == uetr)
        assert (row["state"], row["rail"], row["participant"]) == ("IN_DOUBT", "hkfps", "HKWALLET")
    finally:
        assert cli("rail", "fault", "clear", *control).code == 0
    until(lambda: cli("recover", "--ask").code == 0, "an answer ends it")
    shown = cli("--as", "HKWALLET", "get", uetr, "--json").json
    assert shown["state"] == "PAYMENT_STATE_COMMITTED"
    assert [change["state"] for change in shown["history"]].count("PAYMENT_STATE_COMMITTED") == 1


def test_rails_and_their_faults(cli: Cli, sandbox: Sandbox) -> None:
    assert {row["rail"] for row in cli("rail", "list", "--json").json} == set(sandbox.rails)
    assert [line.split()[0] for line in cli("rail", "list").out.splitlines()[1:]] == list(sandbox.rails)
    control = ("--control", sandbox.controls["hkfps"])
    assert cli("rail", "fault", "slow:20", "--count", "2", *control).code == 0
    assert [fault["fault"] for fault in cli("rail", "fault", "list", *control).json["faults"]] == ["slow:20"]
    assert cli("rail", "fault", "clear", *control).code == 0
    assert cli("rail", "fault", "list", *control).json["faults"] == []
    wrong = cli("rail", "fault", "explode", *control)
    assert wrong.code == 2
    assert "a fault is one of" in wrong.err
    assert cli("rail", "fault", "silent", "--control", "127.0.0.1:1").code == 4


def test_the_rails_books(cli: Cli, sandbox: Sandbox) -> None:
    uetr = str(uuid.uuid4())
    assert cli("--as", "HKWALLET", "pay", "HKD 6.00", *KNOWN, "--uetr", uetr).code == 0
    control = ("--control", sandbox.controls["hkfps"])
    line = next(line for line in cli("rail", "payments", *control).out.splitlines() if uetr in line)
    assert line.split()[1:4] == ["done", "600", "HKD"]
    found = cli("rail", "payments", "--json", *control).json["payments"]
    assert [row[2] for row in found if row[0] == uetr] == [600]


@pytest.mark.parametrize("command", ["positions", "participants list", "participants get X"])
def test_unavailable_ends_with_4(command: str, cli: Cli) -> None:
    ran = cli("--server", "127.0.0.1:1", *command.split())
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.startswith("UNAVAILABLE")
    assert ran.err.count("\n") == 1
