"""A wallet provider at the command line, against the live sandbox: what is printed, and the exit codes."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest

from switch.cli.sandbox import Sandbox
from tests.cli.support import Cli

HK = ("--payer-name", "CHAN TAI MAN", "--payer-account", "HK-0001", "--from-place", "HK")
TO_FPS = (*HK, "--to-place", "HK", "--scheme", "mobile")
TO_ALIPAY = (*HK, "--to-place", "CN", "--scheme", "alipay_login", "--credit", "CNY", "--purpose", "FAMILY_SUPPORT")
KNOWN = ("+852-51234567", "--payee-name", "CHAN TAI MAN", *TO_FPS)
MAINLAND = ("13800138000", "--payee-name", "测试甲", *TO_ALIPAY, "--papers", "HKID:A123456(3)")


@pytest.fixture
def wallet(cli: Cli) -> Cli:
    return Cli({**cli.environment, "BAYSWITCH_PARTICIPANT": "HKWALLET"})


def ids() -> tuple[str, str, tuple[str, ...]]:
    request_id, uetr = str(uuid.uuid4()), str(uuid.uuid4())
    return request_id, uetr, ("--request-id", request_id, "--uetr", uetr)


def test_pay_and_repeat(wallet: Cli) -> None:
    request_id, uetr, own = ids()
    first = wallet("pay", "HKD 10.00", *KNOWN, *own)
    assert first.code == 0, first.err
    assert first.out.startswith(f"COMMITTED  {uetr}\n")
    assert "HKD 10.00 -> HKD 10.00" in first.out
    again = wallet("pay", "HKD 10.00", *KNOWN, *own)
    assert again.code == 0
    assert again.out == first.out.replace("COMMITTED ", "COMMITTED (replay) ")
    other = wallet("pay", "HKD 10.01", *KNOWN, *own)
    assert other.code == 3
    assert other.out == ""
    assert other.err.startswith("ALREADY_EXISTS REQUEST_MISMATCH: field debit.amount_minor: ")
    assert other.err.count("\n") == 1
    by_uetr, by_request = wallet("get", uetr, "--json"), wallet("get", request_id, "--request", "--json")
    assert by_uetr.json == by_request.json
    assert by_uetr.json["debit"] == {"asset": "HKD", "amount_minor": "1000"}
    assert "COMMITTED" in wallet("get", uetr).out.splitlines()[-1]


def test_pay_in_another_currency_is_quoted(wallet: Cli) -> None:
    quoted = wallet("quote", "--debit", "HKD 100.00", "--json").json
    assert quoted["credit"] == {"asset": "CNY", "amount_minor": "9120"}
    _, _, own = ids()
    paid = wallet("pay", "HKD 100.00", *MAINLAND, "--quote-id", quoted["quote_id"], *own, "--json")
    assert paid.code == 0, paid.err
    assert paid.json["payment"]["credit"] == quoted["credit"]
    again = wallet("pay", "HKD 100.00", *MAINLAND, "--quote-id", quoted["quote_id"], *own, "--json")
    assert again.json == paid.json
    used = wallet("pay", "HKD 100.00", *MAINLAND, "--quote-id", quoted["quote_id"])
    assert used.code == 3
    assert "QUOTE_USED" in used.err
    assert wallet("pay", "HKD 50.00", *MAINLAND).out.splitlines()[1].startswith("  HKD 50.00 -> CNY 45.60  by alipay")


def test_quote_says_what_the_payer_sees(wallet: Cli) -> None:
    text = wallet("quote", "--credit", "CNY 91.20", "--other", "HKD").out
    assert "the payee gets CNY 91.20" in text
    assert "by FXBANK" in text


def test_the_rails_refusal_is_an_aborted_payment(wallet: Cli) -> None:
    ran = wallet("pay", "HKD 50.00", "+852-60000000", "--payee-name", "NOBODY", *TO_FPS)
    assert ran.code == 1
    assert ran.out.startswith("ABORTED")
    assert "PROXY_UNKNOWN (ISO BE23" in ran.out


def test_a_rule_refuses_with_its_figures(wallet: Cli) -> None:
    ran = wallet("pay", "HKD 20000.00", *MAINLAND)
    assert ran.code == 3
    assert "DAY_LIMIT" in ran.err or "TXN_LIMIT" in ran.err
    assert "A123456" not in ran.err


def test_no_answer_prints_what_makes_a_repeat_safe(wallet: Cli) -> None:
    request_id, uetr, own = ids()
    ran = wallet("--server", "127.0.0.1:1", "pay", "HKD 10.00", *KNOWN, *own)
    assert ran.code == 4
    assert f"--request-id {request_id} --uetr {uetr}" in ran.err
    assert "UNAVAILABLE" in ran.err
    unnamed = wallet("--server", "127.0.0.1:1", "pay", "HKD 10.00", *KNOWN)
    assert "--request-id " in unnamed.err


def test_payments_follow_the_pages(wallet: Cli) -> None:
    for _ in range(3):
        wallet("pay", "HKD 1.00", *KNOWN)
    every = wallet("payments", "--count", "1000", "--json").json
    assert [item["uetr"] for item in wallet("payments", "--count", "2", "--json").json] == [
        item["uetr"] for item in every[:2]
    ]
    plain = wallet("payments", "--count", "2")
    assert len(plain.out.splitlines()) == 1 + 2
    assert f"--since {every[1]['prepared_time']}" in plain.err
    committed = wallet("payments", "--state", "committed", "--count", "1000", "--json").json
    assert {item["state"] for item in committed} == {"PAYMENT_STATE_COMMITTED"}
    late = wallet("payments", "--since", every[-1]["prepared_time"], "--json").json
    assert [item["uetr"] for item in late] == [every[-1]["uetr"]]
    early = wallet("payments", "--until", every[-1]["prepared_time"], "--count", "1000", "--json").json
    assert [item["uetr"] for item in early] == [item["uetr"] for item in every[:-1]]


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """SIGINT is heard by what a test starts. A shell that begins the tests in the background has all of them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_watch_prints_lines_at_once_resumes_and_ends_well(wallet: Cli, sandbox: Sandbox) -> None:
    _, uetr, own = ids()
    wallet("pay", "HKD 1.00", *KNOWN, *own)
    command = (sys.executable, "-m", "switch", "watch", "--token", "0", "--json")
    environment = {**os.environ, **wallet.environment}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as watcher:
        assert watcher.stdout is not None
        seen = []
        for line in watcher.stdout:
            seen.append(json.loads(line))
            if seen[-1]["uetr"] == uetr and seen[-1]["state"] == "PAYMENT_STATE_COMMITTED":
                break
        watcher.send_signal(signal.SIGINT)
        _, err = watcher.communicate(timeout=60)
    assert (watcher.returncode, err) == (0, "")
    assert len({change["token"] for change in seen}) == len(seen)


# arguments | exit code | what is said
ROUTES = """
HKD --scheme alipay_login --from-place HK --to-place CN                                       | 0 | quote    needed
HKD --scheme alipay_login --from-place HK --to-place CN                                       | 0 | HKID, HOME_RETURN_PERMIT
HKD --scheme alipay_login --from-place HK --to-place CN --papers HKID --purpose FAMILY_SUPPORT | 0 | open now
HKD --scheme alipay_login --from-place HK --to-place CN --papers HKID:B7654321 --purpose FAMILY_SUPPORT | 2 |
HKD --scheme alipay_login --from-place HK --to-place CN --papers HKID:A123456(3)              | 0 | left
HKD --scheme alipay_login --from-place HK --to-place CN --purpose GAMBLING                    | 1 | PURPOSE_NOT_ALLOWED
HKD --scheme account --from-place CN --to-place CN                                            | 1 | no corridor
"""


@pytest.mark.parametrize("row", ROUTES.strip().splitlines())
def test_check_route(row: str, wallet: Cli) -> None:
    arguments, code, says = (part.strip() for part in row.split("|"))
    ran = wallet("check-route", *arguments.split())
    assert ran.code == (3 if code == "2" else int(code)), ran
    assert says in ran.out
    assert "B765432" not in ran.err


def test_check_route_takes_an_amount(wallet: Cli) -> None:
    where = ("--scheme", "alipay_login", "--from-place", "HK", "--to-place", "CN", "--credit", "CNY", "--json")
    options = wallet("check-route", "HKD 100.00", *where)
    assert options.code == 0
    assert [option["credit_asset"] for option in options.json] == ["CNY"]
    person = ("--papers", "HKID:A123456(3)", "--purpose", "FAMILY_SUPPORT")
    too_much = wallet("check-route", "HKD 99999999.00", *where, *person)
    assert too_much.code == 1
    assert "DAY_LIMIT" in too_much.out


def test_who_is_not_named_is_told_how(cli: Cli) -> None:
    ran = cli("get", "11111111-1111-4111-8111-111111111111")
    assert ran.code == 3
    assert "CALLER_UNKNOWN" in ran.err
    assert "--as" in ran.err


def test_an_unknown_payment(wallet: Cli) -> None:
    assert "PAYMENT_UNKNOWN" in wallet("get", "11111111-1111-4111-8111-111111111111").err
    assert "FIELD_INVALID: field uetr" in wallet("get", "nope").err
