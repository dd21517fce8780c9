"""Every missing or wrong field: its exact path and rule, and never its value."""

from collections.abc import Iterator
from typing import Any

import pytest
from bayswitch.v1 import common_pb2, payment_pb2
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given
from hypothesis import strategies as st

from switch.api.convert import instruction_of
from switch.api.status import status_of
from switch.domain.money import Asset, Money
from switch.errors import Refused
from switch.limits import AMOUNT_MINOR_MAX
from tests.api.support import read_status, submit_request

# The path of a field, what is put there (a Python value; "-" clears it), and the path, reason and rule refused.
CASES = """
# put at                    value                                   refused at                  reason         rule
request_id                  -                                       request_id                  FIELD_MISSING  MISSING
request_id                  'has space'                             request_id                  FIELD_INVALID  FORMAT
request_id                  'x'*65                                  request_id                  FIELD_INVALID  LENGTH
uetr                        -                                       uetr                        FIELD_MISSING  MISSING
uetr                        '0F8FAD5B-D9CB-469F-A165-70867728950E'  uetr                        FIELD_INVALID  FORMAT
uetr                        '0f8fad5b-d9cb-169f-a165-70867728950e'  uetr                        FIELD_INVALID  VERSION
end_to_end_id               -                                       end_to_end_id               FIELD_MISSING  MISSING
end_to_end_id               'x'*36                                  end_to_end_id               FIELD_INVALID  LENGTH
end_to_end_id               ' x'                                    end_to_end_id               FIELD_INVALID  SPACE
debit                       -                                       debit                       FIELD_MISSING  MISSING
debit.asset                 -                                       debit.asset                 FIELD_MISSING  MISSING
debit.asset                 'hkd'                                   debit.asset                 FIELD_INVALID  ASSET
debit.amount_minor          -                                       debit.amount_minor          FIELD_MISSING  MISSING
debit.amount_minor          -1                                      debit.amount_minor          FIELD_INVALID  SIGN
debit.amount_minor          10**15                                  debit.amount_minor          FIELD_INVALID  LENGTH
credit.asset                'EUR'                                   credit.asset                FIELD_INVALID  ASSET
credit.asset                'CNY'                                   credit.amount_minor         FIELD_MISSING  MISSING
quote_id                    '0f8fad5b-d9cb-469f-a165-70867728950e'  credit                      FIELD_MISSING  MISSING
debtor                      -                                       debtor                      FIELD_MISSING  MISSING
debtor.name                 -                                       debtor.name                 FIELD_MISSING  MISSING
debtor.name                 '  '                                    debtor.name                 FIELD_MISSING  MISSING
debtor.name                 'x'*141                                 debtor.name                 FIELD_INVALID  LENGTH
debtor.name                 'CHAN\\x07'                             debtor.name                 FIELD_INVALID  CONTROL
debtor.name                 'CHAN\\u202eTAI'                        debtor.name                 FIELD_INVALID  CONTROL
debtor.place                -                                       debtor.place                FIELD_MISSING  MISSING
debtor.place                9                                       debtor.place                FIELD_INVALID  ENUM
debtor.account              -                                       debtor.account              FIELD_MISSING  MISSING
debtor.account.scheme       -                                       debtor.account.scheme       FIELD_MISSING  MISSING
debtor.account.scheme       99                                      debtor.account.scheme       FIELD_INVALID  ENUM
debtor.account.value        -                                       debtor.account.value        FIELD_MISSING  MISSING
debtor.account.value        'no good!'                              debtor.account.value        FIELD_INVALID  FORMAT
debtor.document.type        -                                       debtor.document.type        FIELD_MISSING  MISSING
debtor.document.type        42                                      debtor.document.type        FIELD_INVALID  ENUM
debtor.document.number      -                                       debtor.document.number      FIELD_MISSING  MISSING
debtor.document.number      'A123456(7)'                            debtor.document.number      FIELD_INVALID  CHECK_DIGIT
creditor                    -                                       creditor                    FIELD_MISSING  MISSING
creditor.name               -                                       creditor.name               FIELD_MISSING  MISSING
creditor.place              -                                       creditor.place              FIELD_MISSING  MISSING
creditor.account            -                                       creditor.account            FIELD_MISSING  MISSING
creditor.account.value      '61234567'                              creditor.account.value      FIELD_INVALID  FORMAT
creditor.account.level      2                                       creditor.account.level      FIELD_INVALID  RANGE
creditor.account.scheme     4                                       creditor.account.value      FIELD_INVALID  FORMAT
creditor_agent              'hsbc'                                  creditor_agent              FIELD_INVALID  FORMAT
purpose                     'family support'                        purpose                     FIELD_INVALID  FORMAT
remark                      'x'*141                                 remark                      FIELD_INVALID  LENGTH
remark                      'a\\nb'                                 remark                      FIELD_INVALID  CONTROL
quote_id                    'q-1'                                   credit                      FIELD_MISSING  MISSING
"""


def cases() -> Iterator[Any]:
    for line in CASES.strip().splitlines()[1:]:
        path, rest = line.split(maxsplit=1)
        value, field, reason, rule = rest.rsplit(maxsplit=3)
        yield pytest.param(path, value.strip(), field, reason, rule, id=f"{path}={value.strip()[:16]}")


def put(request: Any, path: str, text: str) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        request = getattr(request, parent)
    if text == "-":
        request.ClearField(name)
    else:
        setattr(request, name, eval(text, {}))


@pytest.mark.parametrize(("path", "value", "field", "reason", "rule"), list(cases()))
def test_a_wrong_field_is_named(path: str, value: str, field: str, reason: str, rule: str) -> None:
    request = submit_request()
    put(request, path, value)
    with pytest.raises(Refused) as refused:
        instruction_of("ALFA", request)
    assert (refused.value.field, refused.value.reason.name) == (field, reason)
    details = read_status(status_of(refused.value, "items[3]."))
    assert (details.field, details.rule, details.metadata["rule"]) == (f"items[3].{field}", rule, rule)
    assert details.code == "INVALID_ARGUMENT"


def test_an_account_needs_its_institution() -> None:
    request = submit_request()
    request.creditor.account.scheme, request.creditor.account.value = common_pb2.SCHEME_ACCOUNT, "123456789"
    with pytest.raises(Refused) as refused:
        instruction_of("ALFA", request)
    assert (refused.value.field, refused.value.reason.name) == ("creditor_agent", "FIELD_MISSING")


def test_credit_of_the_same_asset_is_the_debit() -> None:
    request = submit_request()
    assert instruction_of("ALFA", request).credit == Money(Asset.HKD, 10_000)
    request.credit.asset, request.credit.amount_minor = "HKD", 10_001
    with pytest.raises(Refused) as refused:
        instruction_of("ALFA", request)
    assert refused.value.field == "credit.amount_minor"


def test_values_are_folded_to_their_canonical_form() -> None:
    request = submit_request(remark="  lunch ")
    request.debtor.name = " 陳大文 "
    request.debtor.document.number = "a123456(3)"
    made = instruction_of("ALFA", request)
    assert made.debtor.name == "陳大文"
    assert made.debtor.document is not None
    assert made.debtor.document.number == "A123456(3)"
    assert made.remark == "lunch"


@pytest.mark.parametrize("name", ["歐陽\u3000菲菲", "Ng\u00b7Ka", "\ue000\ue001", "\U000313ff"])
def test_names_of_people_pass(name: str) -> None:
    """Full-width space, middle dot, Hong Kong's own characters, characters younger than this Python."""
    request = submit_request()
    request.debtor.name = name
    assert instruction_of("ALFA", request).debtor.name == name


PERSONAL = (
    "debtor.name",
    "debtor.account.value",
    "debtor.document.number",
    "creditor.name",
    "creditor.account.value",
    "remark",
)
MARKER = "ZQXJ"


@given(
    path=st.sampled_from(PERSONAL),
    around=st.text(max_size=40),
    broken=st.sampled_from(("debtor.place", "creditor.place", "uetr", "purpose", "")),
)
def test_no_personal_value_is_echoed(path: str, around: str, broken: str) -> None:
    request = submit_request()
    put(request, path, repr(around + MARKER + around))
    if broken:
        request_field = broken.split(".")
        target = request if len(request_field) == 1 else getattr(request, request_field[0])
        setattr(target, request_field[-1], 77 if broken.endswith("place") else f"{MARKER}!")
    refused = refused_or_none(request)
    if refused is not None:
        assert MARKER not in read_status(status_of(refused)).text
        assert MARKER not in str(refused)


def refused_or_none(request: payment_pb2.SubmitPaymentRequest) -> Refused | None:
    try:
        instruction_of("ALFA", request)
    except Refused as refused:
        return refused
    return None


def test_every_field_of_the_contract_is_in_the_table() -> None:
    """A field added to the contract without a check fails here."""
    seen = {line.split()[0] for line in CASES.strip().splitlines()[1:]}

    def paths(descriptor: Any, before: str) -> Iterator[str]:
        for field in descriptor.fields:
            path = before + field.name
            yield path
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                yield from paths(field.message_type, path + ".")

    wanted = set(paths(payment_pb2.SubmitPaymentRequest.DESCRIPTOR, ""))
    # The creditor's papers and the debtor's wallet level go through the same code as the other side's.
    twins = {path for path in wanted if path.startswith("creditor.document") or path == "debtor.account.level"}
    whole = {"credit", "credit.amount_minor", "debtor.document", "creditor.account.scheme"}
    assert wanted - twins - whole - seen == set()


def test_the_largest_amount_passes() -> None:
    request = submit_request()
    request.debit.amount_minor = AMOUNT_MINOR_MAX
    assert instruction_of("ALFA", request).debit.amount_minor == AMOUNT_MINOR_MAX
