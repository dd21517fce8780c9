"""What the codecs of ISO 20022 push rails share: a credit transfer in the domain's words, and answers put in place.

A rail's codec turns CreditTransfer into the record of its own table, and its record into an instruction. Its way from a
hold to the record is shorter, for it is run for every payment; a test holds both ways equal.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol, TypeVar

from adapters.kit.push_codec import Debit
from adapters.wire import Finder
from switch.domain.document import Document, DocumentType
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.errors import CodecError, RailSilent

__all__ = ["PLACE_CODE", "CreditTransfer", "Received", "answer_to", "instruction_from", "place_of", "to_switch"]

R = TypeVar("R", bound=tuple[object, ...])

PLACE_CODE: Final[Mapping[Place, str]] = {place: place.name for place in Place}  # ISO 3166, CtryOfRes


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
def place_of(payload: bytes, finder: Finder, id_chars: int) -> tuple[str, str, str | None] | None:
    """A look at an answer without reading it: what it answers (BizSvc), about which payment, and what it says.

    `finder` finds MsgDefIdr, BizSvc, the id of the payment and TxSts. None for a transfer. This is only a place to put
    the answer: the whole message is checked when it is read. Raises CodecError: it has no place.
    """
    definition, service, original, status = finder.find(payload)
    if definition is None or service is None:
        raise CodecError("AppHdr", "UNCORRELATED")
    if definition.startswith("pacs.008."):
        return None
    if original is None or len(original) != id_chars:
        raise CodecError("Document", "UNCORRELATED")
    return service, original, status


def answer_to(read: Callable[[bytes], R], payload: bytes, service: str, original: str) -> R:
    """The answer to what was asked: its record begins with its service and the id of the payment.

    Raises:
        RailSilent: it cannot be read, or answers something else.
    """
    try:
        answer = read(payload)
    except CodecError as error:
        raise RailSilent(f"unreadable answer: {error}") from error
    if answer[0] != service or answer[1] != original:
        raise RailSilent("the answer is to another question")
    return answer
