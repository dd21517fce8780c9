"""Quotes, directory, participants, positions."""

from typing import Any

import pytest
from bayswitch.v1 import common_pb2, directory_pb2, participant_pb2, payment_pb2, quote_pb2

from switch.domain.corridor import Fee
from switch.limits import QUOTE_MS_DEFAULT, RATE_TERM_MAX
from tests.api.support import Api, Refusal, refusal, serving, submit_request
from tests.fakes import NOON_MS, World

HK, MO, CN = common_pb2.PLACE_HK, common_pb2.PLACE_MO, common_pb2.PLACE_CN


def hkd(amount_minor: int) -> common_pb2.Money:
    return common_pb2.Money(asset="HKD", amount_minor=amount_minor)


def cny(amount_minor: int) -> common_pb2.Money:
    return common_pb2.Money(asset="CNY", amount_minor=amount_minor)


def northbound(**changes: Any) -> quote_pb2.CreateQuoteRequest:
    fields: dict[str, Any] = {
        "other_asset": "CNY",
        "debtor_place": HK,
        "creditor_place": CN,
        "creditor_scheme": common_pb2.SCHEME_ALIPAY_LOGIN,
    }
    if "credit" not in changes:
        fields["debit"] = hkd(10_000)
    return quote_pb2.CreateQuoteRequest(**(fields | changes))


def paid_north(quote: quote_pb2.Quote, **changes: Any) -> payment_pb2.SubmitPaymentRequest:
    creditor = common_pb2.Party(
        name="李雷",
        place=CN,
        account=common_pb2.Account(scheme=common_pb2.SCHEME_ALIPAY_LOGIN, value="13800138000"),
    )
    fields = {"debit": quote.debit, "credit": quote.credit, "quote_id": quote.quote_id, "creditor": creditor}
    return submit_request(**(fields | {"purpose": "FAMILY_SUPPORT"} | changes))


async def quoted(api: Api, request: Any = None, caller: str = "ALFA") -> quote_pb2.Quote:
    stubs = api.caller(caller)
    quote: quote_pb2.Quote = (await stubs.call(stubs.quotes.CreateQuote, request or northbound())).quote
    return quote


async def quote_again(api: Api, quote_id: str, caller: str = "ALFA") -> quote_pb2.Quote:
    stubs = api.caller(caller)
    quote: quote_pb2.Quote = (
        await stubs.call(stubs.quotes.GetQuote, quote_pb2.GetQuoteRequest(quote_id=quote_id))
    ).quote
    return quote


# --- quotes ----------------------------------------------------------------------------------------------------------
async def test_a_quote_says_all_a_payer_must_know_and_pays_once() -> None:
    world = World(fees={"strict": Fee(100, 50)})
    await world.quote_rates()
    async with serving(world) as api:
        quote = await quoted(api)
        assert (quote.debit, quote.credit, quote.fee) == (hkd(10_000), cny(9_120), hkd(150))
        assert (quote.rate.numerator, quote.rate.denominator, quote.rounding) == (9_259, 10_000, "DOWN")
        assert (quote.provider, quote.corridor, quote.state) == ("FXONE", "strict", quote_pb2.QUOTE_STATE_OPEN)
        assert quote.expiry_time.ToMilliseconds() == NOON_MS + QUOTE_MS_DEFAULT
        assert quote.payer_text == (
            "You pay HKD 100.00 (fee HKD 1.50 included), the payee gets CNY 91.20; HKD 1 = CNY 0.925900; "
            "good until 2026-11-23 12:10:00 Hong Kong time"
        )
        assert await quote_again(api, quote.quote_id) == quote
        payment = await api.submit(paid_north(quote))
        assert payment.state == payment_pb2.PAYMENT_STATE_COMMITTED
        assert (payment.credit, payment.quote_id) == (cny(9_120), quote.quote_id)
        sums: dict[str, int] = {}
        for entry in payment.entries:
            sums[entry.asset] = sums.get(entry.asset, 0) + entry.amount_minor
        assert sums == {"HKD": 0, "CNY": 0}
        used = await quote_again(api, quote.quote_id)
        assert (used.state, used.uetr) == (quote_pb2.QUOTE_STATE_USED, payment.uetr)
        refused = await refusal(api.submit(paid_north(quote)))
        assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "QUOTE_USED")


async def test_an_expired_quote_pays_nothing() -> None:
    world = World()
    await world.quote_rates()
    async with serving(world) as api:
        quote = await quoted(api)
        world.clock.advance(QUOTE_MS_DEFAULT)
        assert (await quote_again(api, quote.quote_id)).state == quote_pb2.QUOTE_STATE_EXPIRED
        assert (await refusal(api.submit(paid_north(quote)))).reason == "QUOTE_EXPIRED"


QUOTE_CASES = """
# change                                      code                 reason                 field
{"debit": hkd(0)}                           | INVALID_ARGUMENT    | FIELD_MISSING         | debit.amount_minor
{"debit": None}                             | INVALID_ARGUMENT    | FIELD_MISSING         | debit
{"credit": cny(-1), "other_asset": "HKD"}   | INVALID_ARGUMENT    | FIELD_INVALID         | credit.amount_minor
{"other_asset": ""}                         | INVALID_ARGUMENT    | FIELD_MISSING         | other_asset
{"other_asset": "HKD"}                      | INVALID_ARGUMENT    | FIELD_INVALID         | other_asset
{"debtor_place": 0}                         | INVALID_ARGUMENT    | FIELD_MISSING         | debtor_place
{"creditor_place": 8}                       | INVALID_ARGUMENT    | FIELD_INVALID         | creditor_place
{"creditor_scheme": 0}                      | INVALID_ARGUMENT    | FIELD_MISSING         | creditor_scheme
{"creditor_agent": "?"}                     | INVALID_ARGUMENT    | FIELD_INVALID         | creditor_agent
{"creditor_scheme": 1, "creditor_agent": ""}| FAILED_PRECONDITION | NO_ROUTE             |
{"creditor_place": MO}                      | FAILED_PRECONDITION | NO_ROUTE              |
{"debit": hkd(500_001)}                     | FAILED_PRECONDITION | TXN_LIMIT             | debit.amount_minor
{"debit": hkd(1)}                           | INVALID_ARGUMENT    | FIELD_INVALID         | debit.amount_minor
"""


@pytest.mark.parametrize("row", QUOTE_CASES.strip().splitlines()[1:])
async def test_a_quote_is_refused(row: str) -> None:
    change, code, reason, field = (part.strip() for part in row.split("|"))
    world = World()
    await world.quote_rates()
    async with serving(world) as api:
        refused = await refusal(quoted(api, northbound(**eval(change))))
    assert (refused.code, refused.reason, refused.field) == (code, reason, field)


async def test_without_a_rate_or_headroom_there_is_no_quote() -> None:
    world = World()
    async with serving(world) as api:
        refused = await refusal(quoted(api))
        assert (refused.reason, refused.retry_after_ms) == ("NO_RATE", 5_000)
        await world.quote_rates()
        world.store.participants["FXONE"] = world.store.participants["FXONE"]._replace(caps=())
        assert (await refusal(quoted(api))).reason == "NO_RATE"


async def test_only_who_may_pay_may_hold_headroom() -> None:
    world = World()
    await world.quote_rates()
    async with serving(world) as api:
        assert (await refusal(quoted(api, caller="NOBODY"))).reason == "PARTICIPANT_UNKNOWN"
        world.store.participants["BRAVO"] = world.store.participants["BRAVO"]._replace(suspended=True)
        assert (await refusal(quoted(api, caller="BRAVO"))).reason == "PARTICIPANT_SUSPENDED"


async def test_a_quote_is_its_owners() -> None:
    world = World()
    await world.quote_rates()
    async with serving(world) as api:
        quote = await quoted(api)
        refused = await refusal(quote_again(api, quote.quote_id, "BRAVO"))
        assert (refused.code, refused.reason, refused.field) == ("NOT_FOUND", "QUOTE_UNKNOWN", "quote_id")
        assert (await refusal(quote_again(api, "x"))).field == "quote_id"
        refused = await refusal(api.submit(paid_north(quote), caller="BRAVO"))
        assert (refused.reason, refused.field) == ("QUOTE_UNKNOWN", "quote_id")


# --- directory -------------------------------------------------------------------------------------------------------
async def checked(api: Api, **changes: Any) -> directory_pb2.CheckRouteResponse:
    fields: dict[str, Any] = {
        "debtor_place": HK,
        "creditor_place": CN,
        "debit_asset": "HKD",
        "creditor_scheme": common_pb2.SCHEME_ALIPAY_LOGIN,
    }
    stubs = api.caller()
    request = directory_pb2.CheckRouteRequest(**(fields | changes))
    answer: directory_pb2.CheckRouteResponse = await stubs.call(stubs.directory.CheckRoute, request)
    return answer


async def test_what_a_till_is_told() -> None:
    async with serving() as api:
        (option,) = (await checked(api)).options
        assert (option.corridor, option.rail, option.credit_asset) == ("strict", "far", "CNY")
        assert (option.quote_required, option.txn_max_minor) == (True, 500_000)
        assert list(option.papers) == [common_pb2.DOCUMENT_TYPE_HKID, common_pb2.DOCUMENT_TYPE_HOME_RETURN_PERMIT]
        assert list(option.purposes) == ["FAMILY_SUPPORT", "SALARY"]
        assert [(row.id, row.period, row.currency, row.max_minor) for row in option.limits] == [
            ("strict.txn", "TXN", "HKD", 500_000),
            ("strict.day", "DAY", "HKD", 1_000_000),
            ("strict.year", "YEAR", "HKD", 1_500_000),
        ]
        papers = common_pb2.Document(type=common_pb2.DOCUMENT_TYPE_HKID)
        (option,) = (
            await checked(api, debtor_document=papers, purpose="SALARY", debit_amount_minor=500_000, credit_asset="CNY")
        ).options
        assert (option.allowed, option.reason) == (True, "")
        assert option.open_time.ToMilliseconds() == NOON_MS
        (option,) = (await checked(api, debtor_document=papers, purpose="SALARY", debit_amount_minor=500_001)).options
        assert (option.allowed, option.reason) == (False, "TXN_LIMIT")
        assert not (await checked(api, credit_asset="ECNY")).options
        assert not (await checked(api, creditor_place=MO)).options


async def test_a_closed_corridor_says_when_it_opens() -> None:
    async with serving() as api:
        api.world.clock.advance(12 * 3_600_000)  # midnight
        papers = common_pb2.Document(type=common_pb2.DOCUMENT_TYPE_HKID)
        (option,) = (await checked(api, debtor_document=papers, purpose="SALARY")).options
        assert (option.allowed, option.reason) == (False, "OUT_OF_HOURS")
        assert option.open_time.ToMilliseconds() == NOON_MS + 19 * 3_600_000


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"debtor_place": 0}, "debtor_place"),
        ({"debit_asset": "X"}, "debit_asset"),
        ({"credit_asset": "X"}, "credit_asset"),
        ({"creditor_scheme": 0}, "creditor_scheme"),
        ({"creditor_agent": "-"}, "creditor_agent"),
        ({"debit_amount_minor": -1}, "debit_amount_minor"),
        ({"debtor_document": common_pb2.Document(number="1")}, "debtor_document.type"),
        ({"purpose": "a b"}, "purpose"),
    ],
)
async def test_a_wrong_question_is_refused(change: dict[str, Any], field: str) -> None:
    async with serving() as api:
        assert (await refusal(checked(api, **change))).field == field


# --- participants ----------------------------------------------------------------------------------------------------
async def operate(api: Api, method: str, request: Any, caller: str = "OPERATOR") -> Any:
    stubs = api.caller(caller)
    return await stubs.call(getattr(stubs.participants, method), request)


def newcomer(**changes: Any) -> participant_pb2.CreateParticipantRequest:
    fields: dict[str, Any] = {
        "participant_id": "CHARLIE",
        "name": "Charlie Wallet",
        "place": MO,
        "roles": ["gateway", "instructing"],
        "net_debit_caps": [common_pb2.Money(asset="MOP", amount_minor=500), hkd(0)],
    }
    participant = participant_pb2.Participant(**(fields | changes))
    return participant_pb2.CreateParticipantRequest(participant=participant, reason="joined")


async def test_the_life_of_a_participant() -> None:
    async with serving() as api:
        made = (await operate(api, "CreateParticipant", newcomer())).participant
        assert (made.participant_id, made.place, list(made.roles)) == ("CHARLIE", MO, ["instructing", "gateway"])
        assert [(cap.asset, cap.amount_minor) for cap in made.net_debit_caps] == [("HKD", 0), ("MOP", 500)]
        api.world.clock.advance(1_000)
        assert (await operate(api, "CreateParticipant", newcomer(roles=["instructing", "gateway"]))).participant == made
        refused = await refusal(operate(api, "CreateParticipant", newcomer(name="Other")))
        assert (refused.code, refused.reason) == ("ALREADY_EXISTS", "PARTICIPANT_EXISTS")
        asked = {"participant_id": "CHARLIE", "reason": "late fees"}
        suspended = await operate(api, "SuspendParticipant", participant_pb2.SuspendParticipantRequest(**asked))
        assert suspended.participant.suspended
        resumed = await operate(api, "ResumeParticipant", participant_pb2.ResumeParticipantRequest(**asked))
        assert not resumed.participant.suspended
        cap = participant_pb2.SetCapRequest(participant_id="CHARLIE", net_debit_cap=hkd(7), reason="asked for")
        assert (await operate(api, "SetCap", cap)).participant.net_debit_caps[0] == hkd(7)
        found = await operate(api, "GetParticipant", participant_pb2.GetParticipantRequest(participant_id="CHARLIE"))
        assert [(change.actor, change.action, change.reason) for change in found.participant.changes] == [
            ("OPERATOR", "create", "joined"),
            ("OPERATOR", "suspend", "late fees"),
            ("OPERATOR", "resume", "late fees"),
            ("OPERATOR", "set_cap", "asked for"),
        ]
        everybody = await operate(api, "ListParticipants", participant_pb2.ListParticipantsRequest())
        assert "CHARLIE" in [each.participant_id for each in everybody.participants]


def set_rate(**changes: Any) -> participant_pb2.SetRateRequest:
    fields: dict[str, Any] = {
        "provider_id": "FXONE",
        "debit_asset": "HKD",
        "credit_asset": "CNY",
        "rate": common_pb2.Rate(numerator=9, denominator=10),
        "reason": "market",
    }
    return participant_pb2.SetRateRequest(**(fields | changes))


async def test_a_rate_is_quoted_from_now_on() -> None:
    async with serving() as api:
        await operate(api, "SetRate", set_rate())
        assert (await quoted(api)).credit == cny(9_000)


REGISTER_CASES = """
CreateParticipant  | participant_pb2.CreateParticipantRequest(reason="x")  | FIELD_MISSING       | participant
CreateParticipant  | newcomer(participant_id="")                           | FIELD_MISSING       | participant.participant_id
CreateParticipant  | newcomer(participant_id="lower")                      | FIELD_INVALID       | participant.participant_id
CreateParticipant  | newcomer(name=" ")                                    | FIELD_MISSING       | participant.name
CreateParticipant  | newcomer(place=0)                                     | FIELD_MISSING       | participant.place
CreateParticipant  | newcomer(roles=[])                                    | FIELD_MISSING       | participant.roles
CreateParticipant  | newcomer(roles=["gateway", "king"])                   | FIELD_INVALID       | participant.roles[1]
CreateParticipant  | newcomer(net_debit_caps=[hkd(1), hkd(2)])             | FIELD_INVALID       | participant.net_debit_caps[1].asset
CreateParticipant  | newcomer(net_debit_caps=[hkd(-1)])                    | FIELD_INVALID       | participant.net_debit_caps[0].amount_minor
GetParticipant     | participant_pb2.GetParticipantRequest()               | FIELD_MISSING       | participant_id
GetParticipant     | participant_pb2.GetParticipantRequest(participant_id="ZULU") | PARTICIPANT_UNKNOWN | participant_id
SuspendParticipant | participant_pb2.SuspendParticipantRequest(participant_id="ALFA") | FIELD_MISSING | reason
SuspendParticipant | participant_pb2.SuspendParticipantRequest(participant_id="ZULU", reason="x") | PARTICIPANT_UNKNOWN |
SetCap             | participant_pb2.SetCapRequest(participant_id="ALFA", reason="x") | FIELD_MISSING | net_debit_cap
SetCap             | participant_pb2.SetCapRequest(participant_id="ALFA", reason="x", net_debit_cap=common_pb2.Money(asset="X")) | FIELD_INVALID | net_debit_cap.asset
SetRate            | set_rate(rate=None)                                   | FIELD_MISSING       | rate
SetRate            | set_rate(rate=common_pb2.Rate(numerator=0, denominator=1)) | FIELD_INVALID  | rate.numerator
SetRate            | set_rate(rate=common_pb2.Rate(numerator=1, denominator=RATE_TERM_MAX + 1)) | FIELD_INVALID | rate.denominator
SetRate            | set_rate(credit_asset="HKD")                          | FIELD_INVALID       | credit_asset
SetRate            | set_rate(provider_id="ALFA")                          | FIELD_INVALID       | provider_id
SetRate            | set_rate(provider_id="ZULU")                          | PARTICIPANT_UNKNOWN | provider_id
SetRate            | set_rate(reason="x" * 141)                            | FIELD_INVALID       | reason
"""


@pytest.mark.parametrize("row", REGISTER_CASES.strip().splitlines())
async def test_a_wrong_change_is_refused_and_nothing_recorded(row: str) -> None:
    method, request, reason, field = (part.strip() for part in row.split("|"))
    assert RATE_TERM_MAX
    async with serving() as api:
        refused = await refusal(operate(api, method, eval(request)))
        assert (refused.reason, refused.field) == (reason, field)
        assert not any([await api.world.store.participant_changes(name) for name in ("ALFA", "CHARLIE", "ZULU")])


OPERATOR_ONLY = (
    "CreateParticipant",
    "GetParticipant",
    "ListParticipants",
    "SuspendParticipant",
    "ResumeParticipant",
    "SetCap",
    "SetRate",
)


async def test_the_register_is_the_operators_and_payments_are_not() -> None:
    async with serving() as api:
        refused: list[Refusal] = []
        for method in OPERATOR_ONLY:
            request = getattr(participant_pb2, method + "Request")()
            refused.append(await refusal(operate(api, method, request, caller="ALFA")))
        refused.append(await refusal(api.submit(caller="OPERATOR")))
        refused.append(await refusal(quoted(api, caller="OPERATOR")))
    assert {(each.code, each.reason) for each in refused} == {("PERMISSION_DENIED", "CALLER_NOT_PERMITTED")}


async def test_positions_are_ones_own_or_the_operators_to_see() -> None:
    async with serving() as api:
        await api.submit()

        async def positions(caller: str, whose: str) -> list[Any]:
            request = participant_pb2.GetPositionsRequest(participant_id=whose)
            return list((await operate(api, "GetPositions", request, caller)).positions)

        own = await positions("ALFA", "ALFA")
        (in_hkd,) = [each for each in own if each.asset == "HKD"]
        assert (in_hkd.net_debit_minor, in_hkd.reserved_minor) == (10_000, 0)
        assert in_hkd.headroom_minor == in_hkd.net_debit_cap_minor - 10_000
        everybody = await positions("OPERATOR", "")
        assert sum(each.net_debit_minor for each in everybody if each.asset == "HKD") == 0
        for whose in ("", "BRAVO"):
            refused = await refusal(positions("ALFA", whose))
            assert (refused.code, refused.field) == ("PERMISSION_DENIED", "participant_id")
