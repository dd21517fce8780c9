"""What the tables of ISO 20022 rails are written with: words for fields, and a message in its rail's envelope."""

from typing import Final, NamedTuple

from adapters.wire import Field, Kind, XmlSpec

__all__ = ["Envelope", "code", "const", "text"]

_ISO: Final = "urn:iso:std:iso:20022:tech:xsd:"


def text(name: str, at: str, max_chars: int, *, required: bool = True) -> Field:
    """What people wrote."""
    return Field(name, at, Kind.TEXT, required=required, max_chars=max_chars)


def const(at: str, value: str) -> Field:
    """Always this, and refused when it is anything else."""
    return Field("", at, Kind.ASCII, const=value)


def code(name: str, at: str, codes: tuple[str, ...], *, required: bool = True) -> Field:
    """One of a list."""
    return Field(name, at, Kind.CODE, required=required, codes=codes)


class Envelope(NamedTuple):
    """What stands around every message of a rail: its root, the business header (AppHdr) and the Document."""

    root: str
    namespace: str
    head: str  # the header's definition, e.g. head.001.001.02
    created: Field  # AppHdr/CreDt, the one field of the header in which the rails differ
    member_chars_max: int  # a participant's three digits, or the hub
    source: str
    below: str = ""  # the element that holds header and Document, "" for the root itself
    first: tuple[Field, ...] = ()  # what stands before the header

    def member(self, name: str, at: str) -> Field:
        """A clearing code (text, leading zeros kept) or the hub."""
        at = f"{at}/FinInstnId/ClrSysMmbId/MmbId"
        return Field(name, at, Kind.ASCII, min_chars=3, max_chars=self.member_chars_max)

    def message(self, name: str, root: str, services: tuple[str, ...], body: tuple[Field, ...]) -> XmlSpec:
        """One message. `body` follows the group header's id and time, below `root`, which stands below Document.

        BizSvc tells what the message is about: with several `services` it is the field `service`.
        """
        above = f"{self.below}/" if self.below else ""
        header, document = f"{above}AppHdr", f"{above}Document"
        service = f"{header}/BizSvc"
        group = (Field("message_id", "GrpHdr/MsgId", Kind.ASCII), Field("created_ms", "GrpHdr/CreDtTm", Kind.DATE_TIME))
        return XmlSpec(
            name=name,
            root=self.root,
            namespaces={"": self.namespace, header: f"{_ISO}{self.head}", document: f"{_ISO}{name}"},
            fields=(
                *self.first,
                self.member("sender", f"{header}/Fr/FIId"),
                self.member("receiver", f"{header}/To/FIId"),
                Field("header_id", f"{header}/BizMsgIdr", Kind.ASCII),
                const(f"{header}/MsgDefIdr", name),
                const(service, services[0]) if len(services) == 1 else code("service", service, services),
                self.created._replace(at=f"{header}/{self.created.at}"),
                *(field._replace(at=f"{document}/{root}/{field.at}") for field in group + body),
            ),
            source=self.source,
            ignore=(f"{header}/Sgntr",),
        )
