"""Options and explanations without an instruction; a table that is swapped while it is in use."""

import os
import subprocess
import sys

import pytest

from switch.domain.corridor import Hours, Measure
from switch.domain.document import DocumentType
from switch.domain.money import Asset, Money
from switch.domain.party import Place, Scheme
from switch.errors import ConfigError, Refused
from switch.routing import RouterHolder
from switch.rules import load_rules
from tests.routing.tables import at, corridor, instruction, txn

RULED = corridor(
    papers=(DocumentType.HKID,),
    purposes=("SALARY",),
    hours=Hours(7 * 60, 23 * 60),
    limits=(txn(1000), txn(1, Measure.CREDIT)),
)
CASES = """
# papers    purpose  amount  clock  reason               opens
  -         -             0  12:00  -                    2026-11-23 12:00
  HKID      SALARY     1000  12:00  -                    2026-11-23 12:00
  PASSPORT  GIFT       1001  06:00  PAPERS_NOT_ACCEPTED  2026-11-23 07:00
  HKID      GIFT       1001  06:00  PURPOSE_NOT_ALLOWED  2026-11-23 07:00
  HKID      SALARY     1001  06:00  OUT_OF_HOURS         2026-11-23 07:00
  HKID      SALARY     1001  23:00  OUT_OF_HOURS         2026-11-24 07:00
  HKID      SALARY     1001  12:00  TXN_LIMIT            2026-11-23 12:00
"""


@pytest.mark.parametrize("line", [line for line in CASES.splitlines() if line.strip() and not line.startswith("#")])
def test_explain(line: str) -> None:
    papers, purpose, amount, clock, reason, day, opens = line.split()
    verdict = RouterHolder([RULED]).explain(
        RULED,
        None if papers == "-" else DocumentType[papers],
        "" if purpose == "-" else purpose,
        Money(Asset.HKD, int(amount)),
        at(clock),
    )
    assert verdict.reason == ("" if reason == "-" else reason)
    assert verdict.open_time_ms == at(opens) + (86_400_000 if day.endswith("24") else 0)


def test_options_are_one_row_for_each_asset_in_the_order_of_the_table() -> None:
    holder = RouterHolder(
        [
            corridor("mop", credit=Asset.MOP),
            corridor("cny"),
            corridor("cny-012", agent="012"),
            corridor("hkd", credit=Asset.HKD, agent="004"),
        ]
    )

    def ids(agent: str, debit: Asset = Asset.HKD) -> list[str]:
        return [row.id for row in holder.options(Place.HK, Place.CN, debit, Scheme.MOBILE, agent)]

    assert ids("") == ["mop", "cny"]
    assert ids("012") == ["mop", "cny-012"]
    assert ids("004") == ["mop", "cny", "hkd"]
    assert ids("", Asset.MOP) == []


def test_a_reload_swaps_the_table_and_a_faulty_one_does_not() -> None:
    holder = RouterHolder([corridor("first")])
    assert holder.route(instruction(), 0).corridor.id == "first"
    holder.reload([corridor("second")])
    assert holder.route(instruction(), 0).corridor.id == "second"
    for faulty in ([corridor("a"), corridor("b")], [corridor("a"), corridor("a", schemes=(Scheme.EMAIL,))]):
        with pytest.raises(ConfigError):
            holder.reload(faulty)
        assert holder.route(instruction(), 0).corridor.id == "second"


def test_explain_agrees_with_route_on_the_rows_that_ship() -> None:
    holder, now_ms = RouterHolder(load_rules().corridors), at("03:00")
    for row in load_rules().corridors:
        money, credit = Money(row.debit_asset, 100), Money(row.credit_asset, 100)
        document, purpose = next(iter(row.papers), None), next(iter(row.purposes), "")
        asked = instruction(
            debit=money,
            credit=credit,
            document=document,
            purpose=purpose,
            scheme=row.schemes[0],
            places=(row.debtor_place, row.creditor_place),
        )
        verdict = holder.explain(row, document, purpose, money, now_ms)
        reason = ""
        try:
            assert holder.route(asked, now_ms).corridor == row
        except Refused as refusal:
            reason = refusal.reason.name
        assert verdict.reason == reason


def test_pure_python_is_taken_only_when_told() -> None:
    script = "import switch.routing as r; print(r.COMPILED, r.Router.__module__)"
    environment = {**os.environ, "BAYSWITCH_PURE_PYTHON": "1"}
    told = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "switch.routing._reference"]


def test_a_missing_extension_is_fatal() -> None:
    script = "import sys; sys.modules['switch.routing._router'] = None; import switch.routing"
    environment = {key: value for key, value in os.environ.items() if key != "BAYSWITCH_PURE_PYTHON"}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert "ModuleNotFoundError" in ended.stderr or "ImportError" in ended.stderr
