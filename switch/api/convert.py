"""Wire <-> domain for payments. On the path of every payment: straight lines, one constructor call per message."""

from typing import Final

from bayswitch.v1 import common_pb2, payment_pb2

from switch.api import fields
from switch.domain.identifiers import parse_max35text, parse_request_id, parse_uetr
from switch.domain.instruction import Instruction
from switch.domain.money import Money
from switch.domain.payment import Payment, State
from switch.errors import REASONS
from switch.limits import REMARK_CHARS_MAX

__all__ = ["STATE_TO_WIRE", "instruction_of", "payment_of", "state_of"]

STATE_TO_WIRE: Final = {
    State.PREPARED: payment_pb2.PAYMENT_STATE_PREPARED,
    State.COMMITTED: payment_pb2.PAYMENT_STATE_COMMITTED,
    State.ABORTED: payment_pb2.PAYMENT_STATE_ABORTED,
    State.IN_DOUBT: payment_pb2.PAYMENT_STATE_IN_DOUBT,
}
_STATE_FROM_WIRE: Final = {int(number): state for state, number in STATE_TO_WIRE.items()}


def instruction_of(participant: str, request: payment_pb2.SubmitPaymentRequest) -> Instruction:
    """The instruction, every field checked and canonical. `participant` is who calls.

    Raises:
        Refused: FIELD_MISSING or FIELD_INVALID, for the first field in the order of the contract that is wrong.
    """
    request_id = fields.identifier(request.request_id, parse_request_id, "request_id")
    uetr = fields.identifier(request.uetr, parse_uetr, "uetr")
    end_to_end_id = fields.identifier(request.end_to_end_id, parse_max35text, "end_to_end_id")
    if not request.HasField("debit"):
        fields.missing("debit")
    debit = fields.money(request.debit, "debit")
    credit = _credit(request, debit)
    if not request.HasField("debtor"):
        fields.missing("debtor")
    debtor = fields.party(request.debtor, "debtor")
    if not request.HasField("creditor"):
        fields.missing("creditor")
    creditor = fields.party(request.creditor, "creditor")
    return Instruction(
        participant,
        request_id,
        uetr,
        end_to_end_id,
        debit,
        credit,
        debtor,
        creditor,
        fields.creditor_agent(request.creditor_agent, creditor.account.scheme),
        fields.purpose(request.purpose),
        fields.text(request.remark, "remark", REMARK_CHARS_MAX),
        fields.identifier(request.quote_id, parse_uetr, "quote_id") if request.quote_id else "",
    )


def _credit(request: payment_pb2.SubmitPaymentRequest, debit: Money) -> Money:
    """Left out, the credit is the debit; a quote is between two assets, so with one it cannot be left out."""
    if not request.HasField("credit"):
        if request.quote_id:
            fields.missing("credit")
        return debit
    credit = fields.money(request.credit, "credit")
    if credit.asset is debit.asset and credit != debit:
        fields.wrong("credit.amount_minor", "EQUAL", "debit and credit of one asset are equal")
    return credit


def payment_of(payment: Payment) -> payment_pb2.Payment:
    """The record as the contract shows it, without any personal value. Equal payments give equal bytes, for ever."""
    hold, history = payment.hold, payment.history
    instruction = hold.instruction
    last = history[-1]
    state = last.state
    aborted = state is State.ABORTED
    debit, credit = instruction.debit, instruction.credit
    return payment_pb2.Payment(
        uetr=instruction.uetr,
        request_id=instruction.request_id,
        end_to_end_id=instruction.end_to_end_id,
        participant=instruction.participant,
        state=STATE_TO_WIRE[state],
        debit=common_pb2.Money(asset=debit.asset.name, amount_minor=debit.amount_minor),
        credit=common_pb2.Money(asset=credit.asset.name, amount_minor=credit.amount_minor),
        corridor=hold.corridor_id,
        rail=hold.rail,
        rail_reference=last.rail_reference,
        reason=last.reason if aborted else "",
        iso_reason=REASONS[last.reason].iso if aborted else "",
        rail_code=last.rail_code,
        quote_id=instruction.quote_id,
        prepared_time=fields.timestamp(hold.prepared_time_ms),
        final_time=fields.timestamp(last.time_ms) if state.final else None,
        entries=[
            payment_pb2.Entry(participant=entry.participant, asset=entry.asset.name, amount_minor=entry.amount_minor)
            for entry in payment.entries
        ],
        history=[
            payment_pb2.StateChange(
                state=STATE_TO_WIRE[step.state],
                change_time=fields.timestamp(step.time_ms),
                reason=step.reason,
                rail_code=step.rail_code,
            )
            for step in history
        ],
    )


def state_of(number: int, field: str) -> State | None:
    """A state to look for; None when it is left unspecified."""
    if number == payment_pb2.PAYMENT_STATE_UNSPECIFIED:
        return None
    state = _STATE_FROM_WIRE.get(number)
    if state is None:
        fields.wrong(field, "ENUM", "not a value of this enum that this server knows")
    return state
