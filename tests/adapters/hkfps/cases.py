"""FPS and the people of its seed, for the tests."""

from typing import Any

from pyiso20022.pacs import pacs_002_001_08

from adapters.hkfps import RAIL, codec, hub_codec, spec
from adapters.hkfps.client import FpsRail
from adapters.hkfps.simulator import FpsSimulator
from switch.domain.money import Asset
from switch.domain.party import Account, Party, Place, Scheme
from tests.adapters.push_cases import PushCases

__all__ = ["CHAN", "HKFPS", "instruction", "make_case", "running"]

CHAN = ("012", Scheme.ACCOUNT, "012-875-0-123456-7", "CHAN TAI MAN")
_INBOUND: dict[str, Any] = {
    "institution": "012", "number": CHAN[2], "amount_minor": 500_00, "asset": "HKD", "scheme": "MOBILE",
    "creditor": "+86-13800138000", "name": "LI SI", "place": "CN", "purpose": "FAMILY_SUPPORT", "remark": "school",
}  # fmt: skip
HKFPS: PushCases = PushCases(
    rail=RAIL,
    codec=codec,
    hub_codec=hub_codec,
    spec=spec,
    make_client=FpsRail,
    make_simulator=FpsSimulator,
    asset=Asset.HKD,
    participant="CNWALLET",
    debtor=Party("ZHANG SAN", Place.CN, Account(Scheme.ALIPAY_USER, "2088000000000001")),
    report_document=pacs_002_001_08.Document,
    payee=CHAN,
    payee_document="HKID",
    limited="+852-98887777",
    silent="+852-59000001",
    silent_booked="+852-59000002",
    refusals={
        "CREDITOR_AGENT_UNKNOWN": lambda: HKFPS.instruction("777"),
        "CREDITOR_AGENT_OFFLINE": lambda: HKFPS.instruction("061", value="061-001-000001-1", name="NG OFFLINE"),
        "PROXY_UNKNOWN": lambda: HKFPS.instruction("", Scheme.MOBILE, "+852-55555555"),
        "CREDITOR_ACCOUNT_UNKNOWN": lambda: HKFPS.instruction(value="012-000-0-000000-0"),
        "CREDITOR_ACCOUNT_CLOSED": lambda: HKFPS.instruction(value="012-875-0-000004-4", name="HO CLOSED"),
        "CREDITOR_ACCOUNT_BLOCKED": lambda: HKFPS.instruction(value="012-875-0-000006-6", name="LAM BLOCKED"),
        "CREDITOR_NAME_MISMATCH": lambda: HKFPS.instruction(name="CHAN SIU MAN"),
        "CURRENCY_NOT_ACCEPTED": lambda: HKFPS.instruction(
            "949", value="949000000001", name="LEE KA YAN", asset=Asset.CNH
        ),
        "RAIL_AMOUNT_LIMIT": lambda: HKFPS.instruction(
            value="012-875-0-000002-2", name="YIP SMALL LIMIT", amount_minor=100_01
        ),
        "REGULATORY": lambda: HKFPS.instruction("", Scheme.MOBILE, "+852-59000009"),
    },
    inbound=_INBOUND,
    no_instruction={"creditor_scheme": None, "creditor_account": None},
)
instruction, running, make_case = HKFPS.instruction, HKFPS.running, HKFPS.make_case
