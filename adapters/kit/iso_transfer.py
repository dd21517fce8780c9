"""What the codecs of ISO 20022 push rails share: a credit transfer in the domain's words, and answers put in place.

A rail's codec turns CreditTransfer into the record of its own table, and its record into an instruction.
"""

import re
from collections.abc import Callable, Container, Mapping
from typing import Final, NamedTuple, Protocol, TypeVar

from adapters.kit.push_codec import FORMAT, Debit
from switch.domain.document import Document, DocumentType
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import Hold
from switch.errors import CodecError, RailRejected, RailSilent

__all__ = ["CreditTransfer", "Received", "answer_to", "instruction_from", "placed", "to_hub", "to_switch"]

R = TypeVar("R")


# --- transfers that are written --------------------------------------------------------------------------------------
class CreditTransfer(NamedTuple):
    """Pay the creditor: what a pacs.008 says, in either direction."""

    sender: str
    receiver: str
    uetr: str
    created_ms: int
    end_to_end_id: str
    money: Money
    debtor: Party
    debtor_agent: str
    creditor: Party
    creditor_agent: str
    purpose: str  # the switch's word, "" for none
    remark: str


def to_hub(
    hold: Hold, institution: str, hub: str, assets: Mapping[str, Asset], payable: Container[Scheme]
) -> CreditTransfer:
    """What a hold has to be sent as. It is dated with the hold, so a repeat is the same message.

    Raises:
        RailRejected: an asset, or a kind of address, that this rail does not carry.
    """
    instruction = hold.instruction
    credit, debtor, creditor = instruction.credit, instruction.debtor, instruction.creditor
    if assets.get(credit.asset.iso) is not credit.asset:
        raise RailRejected("CURRENCY_NOT_ACCEPTED", "AM03")
    if creditor.account.scheme not in payable:
        raise RailRejected("RAIL_FORMAT", FORMAT)
    return CreditTransfer(
        institution,
        hub,
        instruction.uetr,
        hold.prepared_time_ms,
        instruction.end_to_end_id,
        credit,
        Party(debtor.name, debtor.place, debtor.account),  # without the document: such a rail does not need it
        institution,
        creditor,
        instruction.creditor_agent or hub,  # the hub: a proxy is to find the agent
        instruction.purpose,
        instruction.remark,
    )


def to_switch(debit: Debit, institution: str, hub: str, place: Place) -> CreditTransfer:
    """A payment of an institution of the rail, at `place`, to somebody behind the switch."""
    payer = debit.account
    kind, _, number = payer.document.partition(":")
    document = Document(DocumentType[kind], number) if number else None
    return CreditTransfer(
        hub,
        institution,
        debit.uetr,
        debit.created_ms,
        debit.end_to_end_id,
        Money(debit.asset, debit.amount_minor),
        Party(payer.holder, place, Account(Scheme.ACCOUNT, payer.number), document),
        payer.institution,
        Party(debit.name, debit.place, Account(debit.scheme, debit.address)),
        institution,
        debit.purpose,
        debit.remark,
    )


# --- transfers that are read -----------------------------------------------------------------------------------------
class Received(Protocol):
    """What the records of all rails call the same."""

    @property
    def end_to_end_id(self) -> str: ...
    @property
    def currency(self) -> str: ...
    @property
    def amount_minor(self) -> int: ...
    @property
    def debtor_name(self) -> str: ...
    @property
    def debtor_document(self) -> str | None: ...
    @property
    def debtor_document_type(self) -> str | None: ...
    @property
    def debtor_place(self) -> str: ...
    @property
    def debtor_agent(self) -> str: ...
    @property
    def creditor_name(self) -> str: ...
    @property
    def creditor_place(self) -> str: ...
    @property
    def remark(self) -> str | None: ...


def instruction_from(
    transfer: Received, uetr: str, assets: Mapping[str, Asset], debtor: Account, creditor: Account, purpose: str
) -> Instruction:
    """A payment from the rail. `participant` is the debtor agent's code there: who settles it, routing knows.

    The payee gets what was sent, in the asset that was sent; a conversion is the engine's. The request_id is the UETR,
    so the rail's repeat is our repeat. Raises CodecError: an unknown type of document.
    """
    money = Money(assets[transfer.currency], transfer.amount_minor)
    document = None
    if transfer.debtor_document is not None:
        kind = DocumentType.__members__.get(transfer.debtor_document_type or "")
        if kind is None:
            raise CodecError("Dbtr/Id/PrvtId/Othr/SchmeNm/Prtry", "CODE")
        document = Document(kind, transfer.debtor_document)
    return Instruction(
        participant=transfer.debtor_agent,
        request_id=uetr,
        uetr=uetr,
        end_to_end_id=transfer.end_to_end_id,
        debit=money,
        credit=money,
        debtor=Party(transfer.debtor_name, Place[transfer.debtor_place], debtor, document),
        creditor=Party(transfer.creditor_name, Place[transfer.creditor_place], creditor),
        creditor_agent="",  # the payee's own agent lies behind us
        purpose=purpose,
        remark=transfer.remark or "",
        quote_id="",
    )


# --- answers ---------------------------------------------------------------------------------------------------------
_SERVICE: Final = re.compile(rb"MsgDefIdr>\s*([a-z0-9.]{1,35})\s*</[^>]*>\s*<[^>]*BizSvc>\s*([A-Z0-9]{1,35})\s*<")


def placed(payload: bytes, original: re.Pattern[bytes]) -> tuple[str, str, int] | None:
    """A look at an answer without reading it: what it answers (BizSvc) and about which payment, and where that ends.

    None for a transfer. `original` finds the id of the payment as its first group. This is only a place to put the
    answer: the whole message is checked when it is read. Raises CodecError: it has no place.
    """
    service = _SERVICE.search(payload)
    if service is None:
        raise CodecError("AppHdr", "UNCORRELATED")
    if service[1].startswith(b"pacs.008."):
        return None
    found = original.search(payload, service.end())
    if found is None:
        raise CodecError("Document", "UNCORRELATED")
    return service[2].decode("ascii"), found[1].decode("ascii"), found.end()


def answer_to(read: Callable[[bytes], R], payload: bytes, about: Callable[[R], tuple[str, str]], *asked: str) -> R:
    """The answer to what was `asked`: service and id of the payment, as `about` finds them in it.

    Raises:
        RailSilent: it cannot be read, or answers something else.
    """
    try:
        answer = read(payload)
    except CodecError as error:
        raise RailSilent(f"unreadable answer: {error}") from error
    if about(answer) != asked:
        raise RailSilent("the answer is to another question")
    return answer
