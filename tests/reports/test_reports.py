"""Statements as files: golden bytes of each form, schemas kept, sums that a reader can check."""

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyiso20022.camt import camt_053_001_08, camt_054_001_08

from switch.domain.money import Asset
from switch.reports import FORMS, Account, AccountBalance, misfits
from tests.iso20022 import assert_valid
from tests.reports.accounts import ACCOUNT, EMPTY

GOLDEN = Path(__file__).parent / "golden"
MODELS: dict[str, Any] = {"camt.053": camt_053_001_08.Document, "camt.054": camt_054_001_08.Document}
LONG = ACCOUNT._replace(participant="P" * 16, window_id="a" * 24 + ".1234567", settlement_agent="S" * 16)


@pytest.mark.parametrize("form", FORMS)
def test_golden(form: str) -> None:
    """Equal accounts give equal bytes: nothing of the machine or of today is in a report."""
    assert FORMS[form].write(ACCOUNT) == (GOLDEN / f"statement.{FORMS[form].suffix}").read_bytes()


@pytest.mark.parametrize("form", MODELS)
@pytest.mark.parametrize("account", [ACCOUNT, EMPTY, LONG], ids=["full", "empty", "long"])
def test_iso_messages_keep_their_schema(form: str, account: Account) -> None:
    assert_valid(FORMS[form].write(account), MODELS[form])


def statements(account: Account) -> list[Any]:
    parsed = assert_valid(FORMS["camt.053"].write(account), MODELS["camt.053"])
    found: list[Any] = parsed.bk_to_cstmr_stmt.stmt
    return found


def test_balances_are_the_participants_view() -> None:
    """What it owes is a debit balance, what it is owed a credit balance; nothing is a credit of nothing."""
    told = [
        (
            each.acct.id.othr.id,
            each.acct.ccy,
            [(one.tp.cd_or_prtry.cd, str(one.amt.value), one.cdt_dbt_ind.value) for one in each.bal],
        )
        for each in (*statements(ACCOUNT), *statements(EMPTY))
    ]
    assert told == [
        ("ALFA.HKD", "HKD", [("OPBD", "300.00", "DBIT"), ("CLBD", "418.45", "DBIT")]),
        ("ALFA.CNH", "CNY", [("OPBD", "7.00", "CRDT"), ("CLBD", "10000000000007.05", "CRDT")]),
        ("ALFA.HKD", "HKD", [("OPBD", "0.00", "CRDT"), ("CLBD", "0.00", "CRDT")]),
    ]


def signed(amount: Decimal, indicator: Any) -> Decimal:
    return amount if indicator.value == "DBIT" else -amount


@pytest.mark.parametrize("account", [ACCOUNT, EMPTY, LONG], ids=["full", "empty", "long"])
def test_a_reader_can_add_it_up(account: Account) -> None:
    for statement in statements(account):
        opening, closing = (signed(each.amt.value, each.cdt_dbt_ind) for each in statement.bal)
        entries = [signed(each.amt.value, each.cdt_dbt_ind) for each in statement.ntry]
        assert opening + sum(entries) == closing
        summary = statement.txs_summry
        net = summary.ttl_ntries.ttl_net_ntry
        assert signed(net.amt, net.cdt_dbt_ind) == sum(entries)
        assert summary.ttl_ntries.sum == sum(map(abs, entries))
        for total, side in (
            (summary.ttl_dbt_ntries, [each for each in entries if each > 0]),
            (summary.ttl_cdt_ntries, [-each for each in entries if each < 0]),
        ):
            assert (total.nb_of_ntries, total.sum) == (str(len(side)), sum(side))
        assert summary.ttl_ntries.nb_of_ntries == str(len(entries))


def test_references_name_the_payment_and_only_own_ones_the_initiators() -> None:
    notifications = assert_valid(FORMS["camt.054"].write(ACCOUNT), MODELS["camt.054"])
    details = [
        entry.ntry_dtls[0].tx_dtls[0] for each in notifications.bk_to_cstmr_dbt_cdt_ntfctn.ntfctn for entry in each.ntry
    ]
    told = {each.refs.uetr: (each.refs.end_to_end_id, each.refs.clr_sys_ref, each.addtl_tx_inf) for each in details}
    by_place = [told[line.uetr] for line in ACCOUNT.lines]
    assert by_place == [
        ('INV "7", <A&B>', "FRN20261123001", "rail near"),
        (None, None, "rail far, reference " + "X" * 64),
        (None, None, "rail near"),
        ("發票-9", "bad?ref", "rail near"),
    ]


def test_names_that_do_not_fit_are_as_unique() -> None:
    ids = set()
    for participant in ("P" * 16, "Q" * 16):
        for number in ("1", "2"):
            account = LONG._replace(participant=participant, window_id=LONG.window_id + number)
            ids |= {each.id for each in statements(account)}
            ids.add(assert_valid(FORMS["camt.053"].write(account), MODELS["camt.053"]).bk_to_cstmr_stmt.grp_hdr.msg_id)
    assert len(ids) == 12
    assert [each.id for each in statements(ACCOUNT)] == ["hkd-rtgs.7.ALFA.HKD", "hkd-rtgs.7.ALFA.CNH"]


def test_csv_is_read_back_as_it_was() -> None:
    rows = list(csv.DictReader(io.StringIO(FORMS["csv"].write(ACCOUNT).decode(), newline="")))
    kinds = [f"{row['record']} {row['asset']} {row['amount_minor']} {row['credit_debit']}" for row in rows]
    assert kinds == [
        "opening HKD 30000 DBIT",
        "entry HKD 12340 DBIT",
        "entry HKD -500 CRDT",
        "entry HKD 5 DBIT",
        "closing HKD 41845 DBIT",
        "opening CNH -700 CRDT",
        f"entry CNH -{10**15 + 5} CRDT",
        f"closing CNH -{10**15 + 705} CRDT",
    ]
    assert [row["end_to_end_id"] for row in rows if row["record"] == "entry"] == ['INV "7", <A&B>', "", "發票-9", ""]
    assert {row["window_id"] for row in rows} == {"hkd-rtgs.7"}


def test_json_holds_whole_numbers_and_everything() -> None:
    found = json.loads(FORMS["json"].write(ACCOUNT), parse_float=lambda text: pytest.fail(f"a float: {text}"))
    assert [each["closing_minor"] for each in found["balances"]] == [41_845, -(10**15) - 705]
    assert [each["entries"] for each in found["balances"]] == [3, 1]
    assert [each["uetr"] for each in found["entries"]] == [line.uetr for line in ACCOUNT.lines]
    assert found["seal"] == ACCOUNT.seal.hex()


def test_what_does_not_add_up_is_said() -> None:
    assert misfits(ACCOUNT) == misfits(EMPTY) == []
    assert misfits(ACCOUNT._replace(lines=ACCOUNT.lines[1:])) == [
        "HKD: entries come to debits 5 and credits 500, the balance says 12345 and 500"
    ]
    other = ACCOUNT._replace(balances=(AccountBalance(Asset.HKD, 0, 12_345, 500),))
    assert misfits(other) == [f"CNH: entries come to debits 0 and credits {10**15 + 5}, the balance says 0 and 0"]
