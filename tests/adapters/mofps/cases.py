"""Easy Transfer and the people of its seed, for the tests."""

from typing import Any

from pyiso20022.pacs import pacs_002_001_10

from adapters.mofps import RAIL, codec, hub_codec, spec
from adapters.mofps.client import EasyTransferRail
from adapters.mofps.simulator import EasyTransferSimulator
from switch.domain.money import Asset
from switch.domain.party import Account, Party, Place, Scheme
from tests.adapters.push_cases import PushCases

__all__ = ["LEONG", "MOFPS", "instruction", "make_case", "running"]

LEONG = ("101", Scheme.ACCOUNT, "101-11-20-000123", "LEONG KA MAN")
_INBOUND: dict[str, Any] = {
    "institution": "101", "number": LEONG[2], "amount_minor": 500_00, "asset": "MOP", "scheme": "MOBILE",
    "creditor": "+852-51234567", "name": "CHAN TAI MAN", "place": "HK", "purpose": "FAMILY_SUPPORT",
    "remark": "school",
}  # fmt: skip
MOFPS: PushCases = PushCases(
    rail=RAIL,
    codec=codec,
    hub_codec=hub_codec,
    spec=spec,
    make_client=EasyTransferRail,
    make_simulator=EasyTransferSimulator,
    asset=Asset.MOP,
    participant="HKWALLET",
    debtor=Party("CHAN TAI MAN", Place.HK, Account(Scheme.ACCOUNT, "949000000001")),
    report_document=pacs_002_001_10.Document,
    payee=LEONG,
    payee_document="MACAU_BIR",
    limited="+853-68887777",
    silent="+853-69000001",
    silent_booked="+853-69000002",
    refusals={
        "CREDITOR_AGENT_UNKNOWN": lambda: MOFPS.instruction("777"),
        "CREDITOR_AGENT_OFFLINE": lambda: MOFPS.instruction("161", value="161-001-000001", name="NG OFFLINE"),
        "PROXY_UNKNOWN": lambda: MOFPS.instruction("", Scheme.MOBILE, "+853-65555555"),
        "CREDITOR_ACCOUNT_UNKNOWN": lambda: MOFPS.instruction(value="101-00-00-000000"),
        "CREDITOR_ACCOUNT_CLOSED": lambda: MOFPS.instruction(value="101-11-20-000004", name="CHAN CLOSED"),
        "CREDITOR_ACCOUNT_BLOCKED": lambda: MOFPS.instruction(value="101-11-20-000006", name="LEI BLOCKED"),
        "CREDITOR_NAME_MISMATCH": lambda: MOFPS.instruction(name="LEONG SIU MAN"),
        "CURRENCY_NOT_ACCEPTED": lambda: MOFPS.instruction("149", value="149000000001", name="SOU IN", asset=Asset.HKD),
        "RAIL_AMOUNT_LIMIT": lambda: MOFPS.instruction(
            value="101-11-20-000002", name="VONG SMALL LIMIT", amount_minor=100_01
        ),
        "REGULATORY": lambda: MOFPS.instruction("", Scheme.MOBILE, "+853-69000009"),
    },
    inbound=_INBOUND,
    no_instruction={"creditor_proxy_type": None},
)
instruction, running, make_case = MOFPS.instruction, MOFPS.running, MOFPS.make_case
