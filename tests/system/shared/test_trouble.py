"""Bad input and rules, over real gRPC: what each refusal says, and what it leaves behind."""

import asyncio
import signal
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from bayswitch.v1 import common_pb2, participant_pb2, payment_pb2

from adapters import RAILS
from deploy.local.valkey import Valkey
from switch import app
from switch.cli.sandbox import OPERATOR, Sandbox
from switch.errors import REASONS
from switch.settings import load_settings
from tests.system.support import STATE, Provider, committed, payments_in, step, until
from tests.waiting import on_one_day

Providers = Callable[[str], Provider]
DAY_MS = 86_400_000
DAY_SPENT_SECONDS = 10  # is longer than a test that spends what is allowed for a day
SECRETS = ("CHAN TAI MAN", "测试甲", "13800138000", "A123456", "51234567")  # of the payments below

# --- shape: nothing is begun, nothing is echoed ----------------------------------------------------------------------
WRONG = """
# step   change                                       reason         field
  hk-cn  end_to_end_id=                               FIELD_MISSING  end_to_end_id
  hk-cn  end_to_end_id=CHAN_TAI_MAN_A123456_13800138000_13800138000  FIELD_INVALID  end_to_end_id
  hk-cn  uetr=13800138000                             FIELD_INVALID  uetr
  hk-cn  request_id=                                  FIELD_MISSING  request_id
  hk-cn  debit.amount_minor=-1                        FIELD_INVALID  debit.amount_minor
  hk-cn  debit.amount_minor=1000000000000000          FIELD_INVALID  debit.amount_minor
  hk-cn  debit.asset=A123456                          FIELD_INVALID  debit.asset
  hk-cn  debtor.name=                                 FIELD_MISSING  debtor.name
  hk-cn  debtor.document.number=A123456(4)            FIELD_INVALID  debtor.document.number
  hk-cn  creditor.account.value=+13800138000          FIELD_INVALID  creditor.account.value
  cn-hk  creditor.account.value=51234567              FIELD_INVALID  creditor.account.value
  mo-hk  creditor_agent=                              FIELD_MISSING  creditor_agent
"""


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def wrong(request: Any, change: str) -> Any:
    """The request with one field of it spoilt."""
    path, _, value = change.partition("=")
    *parents, last = path.split(".")
    at = request
    for parent in parents:
        at = getattr(at, parent)
    setattr(at, last, int(value) if last == "amount_minor" else value)
    return request


@pytest.mark.parametrize("row", rows(WRONG), ids=lambda row: " ".join(row[:2]))
def test_a_wrong_field_leaves_no_trace(provider: Providers, row: list[str]) -> None:
    name, change, reason, field = row
    payer = provider(step(name)["as"])
    good = payer.request(step(name))
    spoilt = payment_pb2.SubmitPaymentRequest()
    spoilt.CopyFrom(good)
    refused = payer.trouble(payer.payments.SubmitPayment, wrong(spoilt, change))
    assert (refused.code, refused.reason, refused.field) == ("INVALID_ARGUMENT", reason, field)
    assert refused.retry_ms == -1
    assert not [secret for secret in SECRETS if secret in refused.text]
    asked = payment_pb2.GetPaymentRequest(request_id=good.request_id)
    assert payer.trouble(payer.payments.GetPayment, asked).reason == "PAYMENT_UNKNOWN"
    assert STATE[payer.submit(good).state] == "COMMITTED"  # the same request_id and UETR, mended


# --- seen before -----------------------------------------------------------------------------------------------------
OTHER = """
# change                            field
  remark=other                      remark
  debit.amount_minor=10001          debit.amount_minor
  credit.amount_minor=1             credit.amount_minor
  creditor.name=ELSE                creditor.name
  creditor.account.value=13800138001  creditor.account
  debtor.document.number=A1234563   -
  purpose=SALARY                    purpose
  quote_id=4c1b8a3e-0d6f-4c55-9d43-8f3c2a1b0e9d  quote_id
"""


def test_the_same_request_id_with_another_body(provider: Providers) -> None:
    payer = provider("HKWALLET")
    request = payer.request(step("hk-cn", "debit=HKD_100.00"))
    first = payer.submit(request)
    for change, field in rows(OTHER):
        other = payment_pb2.SubmitPaymentRequest()
        other.CopyFrom(request)
        wrong(other, change)
        if field == "-":  # a spelling of the same value is the same body
            assert payer.submit(other) == first
            continue
        refused = payer.trouble(payer.payments.SubmitPayment, other)
        assert (refused.code, refused.reason, refused.field) == ("ALREADY_EXISTS", "REQUEST_MISMATCH", field)
        assert not [secret for secret in SECRETS if secret in refused.text]
    again = payer.submit(request)
    assert again.SerializeToString(deterministic=True) == first.SerializeToString(deterministic=True)


def test_a_uetr_of_somebody_else(provider: Providers, running: Sandbox) -> None:
    used = committed(provider("HKWALLET"), step("hk-mo")).uetr
    other = provider("MOWALLET")
    request = other.request(step("mo-hk"))
    request.uetr = used
    refused = other.trouble(other.payments.SubmitPayment, request)
    assert (refused.code, refused.reason, refused.field) == ("ALREADY_EXISTS", "UETR_REUSED", "uetr")
    asked = payment_pb2.GetPaymentRequest(uetr=used)
    assert other.trouble(other.payments.GetPayment, asked).reason == "PAYMENT_UNKNOWN"  # whose it is, is not told
    assert len(running.control("mofps", "paid", uetr=used)["paid"]) == 1
    request.uetr = str(uuid.uuid4())  # the refusal left no trace: the request_id is free
    assert STATE[other.submit(request).state] == "COMMITTED"


async def test_a_uetr_is_refused_after_days(running: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another switch on the same store, whose clock is a week ahead; and nothing of a payment has an expiry."""
    with payments_in(running) as provider:
        used = committed(provider("HKWALLET"), step("hk-mo"))

    class NextWeek(app.SystemClock):
        def now_ms(self) -> int:
            return super().now_ms() + 7 * DAY_MS

    monkeypatch.setattr(app, "SystemClock", NextWeek)
    environment = {**running.environment, "BAYSWITCH_LISTEN_PORT": "0"}
    settings, _ = load_settings(environment)
    switch = app.Switch(settings)
    await switch.start()
    try:
        refused = await asyncio.to_thread(_reuse, f"127.0.0.1:{switch.port}", used)
        assert refused == [("ALREADY_EXISTS", "UETR_REUSED"), ("ALREADY_EXISTS", "REQUEST_MISMATCH")]
    finally:
        await switch.stop()
    _, _, port = environment["BAYSWITCH_REDIS_URL"].removesuffix("/0").rpartition(":")
    keys = Valkey(tmp_path, int(port)).command("KEYS", f"*{used.uetr}*")
    assert isinstance(keys, list)
    assert keys
    assert {Valkey(tmp_path, int(port)).command("TTL", key) for key in keys} == {-1}


def _reuse(address: str, used: Any) -> list[tuple[str, str]]:
    """The UETR, then the request_id of an old payment, with something new."""
    found = []
    with grpc.insecure_channel(address) as channel:
        payer = Provider(channel, "HKWALLET")
        for field in ("uetr", "request_id"):
            request = payer.request(step("unknown"))
            setattr(request, field, getattr(used, field))
            refused = payer.trouble(payer.payments.SubmitPayment, request)
            found.append((refused.code, refused.reason))
    return found


# --- rules: the reason, the limit, what is left, when it resets or opens ---------------------------------------------
RULES = """
# step     changes                                               reason               figures
  hk-cn    debtor.document=-                                     PAPERS_REQUIRED      papers=HKID,HOME_RETURN_PERMIT,RESIDENCE_PERMIT
  hk-cn    debtor.document=PASSPORT:K12345678                    PAPERS_NOT_ACCEPTED  papers=HKID,HOME_RETURN_PERMIT,RESIDENCE_PERMIT
  hk-cn    purpose=-                                             PURPOSE_REQUIRED     purposes=FAMILY_SUPPORT,SALARY,ONLINE_SHOPPING,SERVICE_FEES,PERSONAL
  hk-cn    purpose=TUITION                                       PURPOSE_NOT_ALLOWED  purposes=FAMILY_SUPPORT,SALARY,ONLINE_SHOPPING,SERVICE_FEES,PERSONAL
  tier     debit=HKD_2300.00                                     TXN_LIMIT            limit_minor=200000 currency=CNY limit_id=ecny_tier4.txn
"""


@pytest.mark.parametrize("row", rows(RULES), ids=lambda row: row[2])
def test_a_rule_refuses_and_leaves_no_trace(provider: Providers, row: list[str]) -> None:
    name, changes, reason, *figures = row
    of = step(name, changes)
    payer = provider(of["as"])
    request = payer.request(of)
    refused = payer.trouble(payer.payments.SubmitPayment, request)
    assert (refused.code, refused.reason, refused.retry_ms) == ("FAILED_PRECONDITION", reason, -1)
    assert refused.figures == dict(figure.split("=") for figure in figures)
    assert (
        payer.trouble(payer.payments.GetPayment, payment_pb2.GetPaymentRequest(uetr=request.uetr)).code == "NOT_FOUND"
    )


# counted per person and institution; each row has a person of its own: nothing depends on what was paid before
COUNTED = """
# step   person             paid        then        reason     limit_id                   limit    left
  hk-cn  HKID:G123456(A)    HKD_6000.00 HKD_5000.00 DAY_LIMIT  payment_connect_north.day  1000000  400000
"""


@pytest.mark.parametrize("row", rows(COUNTED), ids=lambda row: row[5])
def test_a_day_limit_says_what_is_left(provider: Providers, row: list[str]) -> None:
    name, person, paid, then, reason, limit_id, limit, left = row
    on_one_day(DAY_SPENT_SECONDS)
    payer = provider(step(name)["as"])
    committed(payer, step(name, f"debtor.document={person} debit={paid}"))
    request = payer.request(step(name, f"debtor.document={person} debit={then}"))
    refused = payer.trouble(payer.payments.SubmitPayment, request)
    assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", reason)
    figures = {key: refused.figures[key] for key in ("limit_id", "limit_minor", "left_minor")}
    assert figures == {"limit_id": limit_id, "limit_minor": limit, "left_minor": left}
    assert refused.figures["resets"].endswith("T00:00:00+08:00")
    assert payer.trouble(payer.payments.SubmitPayment, request) == refused  # kept: this request_id stays refused
    committed(payer, step(name, f"debtor.document={person} debit=HKD_{int(left) // 100}.00"))  # what was left, is


def test_a_wallet_tier_counts_the_wallets_day(provider: Providers) -> None:
    """Tier 4 takes 2,000 a payment and 5,000 a day, whoever pays it: a stated tier is refused before the rail is asked."""
    on_one_day(DAY_SPENT_SECONDS)
    payer = provider("HKWALLET")
    paid = [committed(payer, step("hk-ecny", "debit=HKD_2190.00")) for _ in range(2)]
    left = 500_000 - sum(payment.credit.amount_minor for payment in paid)
    refused = payer.trouble(payer.payments.SubmitPayment, payer.request(step("hk-ecny", "debit=HKD_2190.00")))
    assert (refused.code, refused.reason, refused.figures["limit_id"]) == (
        "FAILED_PRECONDITION",
        "DAY_LIMIT",
        "ecny_tier4.day",
    )
    assert (refused.figures["limit_minor"], refused.figures["left_minor"]) == ("500000", str(left))
    assert payer.reserved() == {}


def test_the_cap(provider: Providers) -> None:
    """Figures of the cap, the refusal is kept, a raised cap lets a new request pass."""
    operator, payer = provider(OPERATOR), provider("TINY")
    record = participant_pb2.Participant(
        participant_id="TINY",
        name="Tiny Wallet",
        place=common_pb2.PLACE_HK,
        roles=["instructing"],
        net_debit_caps=[common_pb2.Money(asset="HKD", amount_minor=10_000)],
    )
    create = participant_pb2.CreateParticipantRequest(participant=record, reason="test")
    operator.call(operator.participants.CreateParticipant, create)
    load = "creditor.account=+852-70000010 creditor.name=LOAD_000010"
    committed(payer, step("unknown", f"{load} debit=HKD_60.00"))
    request = payer.request(step("unknown", f"{load} debit=HKD_60.00"))
    refused = payer.trouble(payer.payments.SubmitPayment, request)
    assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "NET_DEBIT_CAP_EXCEEDED")
    assert (refused.figures["limit_minor"], refused.figures["left_minor"]) == ("10000", "4000")
    assert refused.retry_ms == REASONS["NET_DEBIT_CAP_EXCEEDED"].retry_after_ms
    cap = common_pb2.Money(asset="HKD", amount_minor=20_000)
    raised = participant_pb2.SetCapRequest(participant_id="TINY", net_debit_cap=cap, reason="test")
    operator.call(operator.participants.SetCap, raised)
    assert payer.trouble(payer.payments.SubmitPayment, request) == refused
    committed(payer, step("unknown", f"{load} debit=HKD_60.00"))
    assert payer.reserved() == {}


def test_hours_and_rules_read_again(provider: Providers, running: Sandbox) -> None:
    """A window that is shut says when it opens; SIGHUP reads the rules again, and a wrong file changes nothing."""
    hours = Path(running.environment["BAYSWITCH_RULES_DIR"]) / "hours.toml"
    opened, payer = hours.read_text("utf-8"), provider("CNWALLET")
    assert running.switch is not None
    log, process = running.switch.log, running.switch.process
    request = payer.request(step("cn-hk"))
    shut = opened.replace('id = "payment_connect_south"\nopen = "00:00"\nclose = "24:00"', "{}")
    assert "{}" in shut
    now = datetime.now(UTC) + timedelta(hours=8)
    window = ("00:00", "00:01") if now.hour >= 12 else ("23:58", "23:59")

    def written(text: str, said: str) -> None:
        """The switch has read it, and said so."""
        begun = len(log.read_text("utf-8"))
        hours.write_text(text, "utf-8")
        process.send_signal(signal.SIGHUP)
        until(lambda: said in log.read_text("utf-8")[begun:], said)

    try:
        written(
            shut.replace("{}", 'id = "payment_connect_south"\nopen = "{}"\nclose = "{}"'.format(*window)),
            "rules reloaded: ",
        )
        refused = payer.trouble(payer.payments.SubmitPayment, request)
        assert (refused.code, refused.figures["open"], refused.figures["close"]) == ("FAILED_PRECONDITION", *window)
        assert refused.figures["opens"].endswith(f"T{window[0]}:00+08:00")
        written("open = [", "rules not reloaded: ")
        assert payer.trouble(payer.payments.SubmitPayment, request).reason == "OUT_OF_HOURS"
    finally:
        written(opened, "rules reloaded: ")
    # The refusal left no trace: the same request passes when the corridor opens.
    assert STATE[payer.submit(request).state] == "COMMITTED"


# --- the rail's word: ABORTED, with its reason mapped to ISO and to ours -----------------------------------------------
RAIL_SAYS = """
# rail    step     changes                                                                                  reason
  hkfps   unknown  creditor.account=+852-60000000                                                           PROXY_UNKNOWN
  hkfps   mo-hk    creditor.account=012-000-0-000000-0                                                      CREDITOR_ACCOUNT_UNKNOWN
  hkfps   mo-hk    creditor.name=CHAN_SIU_MAN                                                               CREDITOR_NAME_MISMATCH
  hkfps   mo-hk    creditor.account=012-875-0-000004-4 creditor.name=HO_CLOSED                              CREDITOR_ACCOUNT_CLOSED
  hkfps   mo-hk    creditor_agent=061 creditor.account=061-001-000001-1 creditor.name=NG_OFFLINE            CREDITOR_AGENT_OFFLINE
  mofps   hk-mo    creditor.account=+853-65555555                                                           PROXY_UNKNOWN
  mofps   hk-mo    creditor.scheme=ACCOUNT creditor_agent=101 creditor.account=101-00-00-000000             CREDITOR_ACCOUNT_UNKNOWN
  mofps   hk-mo    creditor.scheme=ACCOUNT creditor_agent=101 creditor.account=101-11-20-000123 creditor.name=LEONG_SIU_MAN  CREDITOR_NAME_MISMATCH
  mofps   hk-mo    creditor.scheme=ACCOUNT creditor_agent=101 creditor.account=101-11-20-000004 creditor.name=CHAN_CLOSED    CREDITOR_ACCOUNT_CLOSED
  alipay  hk-cn    creditor.account=13811111111                                                             PROXY_UNKNOWN
  alipay  hk-cn    creditor.name=测试乙                                                                     CREDITOR_NAME_MISMATCH
  alipay  hk-cn    creditor.account=13800138003 creditor.name=测试丙                                        CREDITOR_ACCOUNT_CLOSED
  ecny    tier-by-rail  creditor.account=0011999999999999 creditor.name=无名                                CREDITOR_ACCOUNT_UNKNOWN
  ecny    tier-by-rail  creditor.account=0011000000000001 creditor.name=李小明                              CREDITOR_NAME_MISMATCH
  ecny    tier-by-rail  creditor.account=0011000000000006 creditor.name=张三                                CREDITOR_ACCOUNT_CLOSED
  ecny    tier-by-rail  debit=HKD_2300.00                                                                   WALLET_TIER_LIMIT
  ecny    tier-by-rail  debit=HKD_600.00 creditor.account=0021000000000005 creditor.name=WONG_SIU_LING      WALLET_BALANCE_LIMIT
"""


@pytest.mark.parametrize("row", rows(RAIL_SAYS), ids=lambda row: f"{row[0]} {row[-1]}")
def test_the_rails_word(provider: Providers, running: Sandbox, row: list[str]) -> None:
    rail, name, *changes, reason = row
    of = step(name, " ".join(("debit=HKD_10.00" if name != "mo-hk" else "debit=MOP_10.30", *changes)))
    payer = provider(of["as"])
    payment = payer.submit(payer.request(of))
    assert (payment.rail, STATE[payment.state], payment.reason) == (rail, "ABORTED", reason)
    assert payment.iso_reason == REASONS[reason].iso
    assert payment.rail_code, "the rail's own word is kept"
    assert not payment.entries
    assert payer.reserved() == {}
    assert running.control(rail, "paid", uetr=payment.uetr)["paid"] == []
    assert payer.changes(payment.uetr) == ["PREPARED", "ABORTED"]


def test_every_rail_is_asked() -> None:
    assert {row[0] for row in rows(RAIL_SAYS)} == set(RAILS)
