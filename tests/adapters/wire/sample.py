"""A sample table with every kind and shape: groups required and optional, attributes, constants, nested namespaces."""

from typing import NamedTuple

from adapters.wire import Field, HeaderField, HeaderSpec, Kind, XmlSpec

__all__ = ["HEADER", "SAMPLE", "Header", "Sample", "sample"]

SAMPLE = XmlSpec(
    "sample.001",
    root="Msg",
    namespaces={"": "urn:sample:envelope", "Doc": "urn:sample:doc", "Doc/Tail/Raw": "urn:sample:raw"},
    fields=(
        Field("version", "@Ver", Kind.DIGITS, max_chars=4),
        Field("note", "@Note", Kind.TEXT, required=False),
        Field("number", "Nb", Kind.COUNT),
        Field("", "Head/Way", Kind.TEXT, const="A&B"),
        Field("", "Head/Sys/Cd", Kind.TEXT, const="FPS", required=False),
        Field("code", "Head/Svc", Kind.CODE, codes=("PAYC01", "PAYC02")),
        Field("uetr", "Doc/Id/Uetr", Kind.UETR),
        Field("created", "Doc/Id/CreDtTm", Kind.DATE_TIME),
        Field("local", "Doc/Id/Lcl", Kind.LOCAL_TIME, required=False),
        Field("currency", "Doc/Amt/@Ccy", Kind.CODE, codes=("HKD", "CNY")),
        Field("amount_minor", "Doc/Amt", Kind.AMOUNT),
        Field("fee_minor", "Doc/Fee", Kind.AMOUNT, required=False),
        Field("fee_currency", "Doc/Fee/@Ccy", Kind.CODE, codes=("HKD", "CNY")),
        Field("", "Doc/Fee/@Tp", Kind.TEXT, const="F<"),
        Field("name", "Doc/Pty/Nm", Kind.TEXT, max_chars=140),
        Field("born", "Doc/Pty/Dt", Kind.DATE, required=False),
        Field("scheme", "Doc/Pty/Acct/Tp", Kind.CODE, required=False, codes=("R&D", "BBAN")),
        Field("", "Doc/Pty/Acct/Std", Kind.TEXT, const="X"),
        Field("account", "Doc/Pty/Acct/Id", Kind.ASCII, required=False, max_chars=34),
        Field("remark", "Doc/Tail/Rmk", Kind.TEXT, required=False, min_chars=0, max_chars=20),
        Field("digits", "Doc/Tail/Raw/Dgt", Kind.DIGITS, required=False, min_chars=3, max_chars=3),
        Field("flag", "Doc/Tail/Flag/@On", Kind.CODE, required=False, codes=("Y", "N")),
    ),
    source="tests",
    ignore=("Head/Sgntr",),
)


class Sample(NamedTuple):
    """The record of SAMPLE."""

    version: str
    note: str | None
    number: int
    code: str
    uetr: str
    created: int
    local: int | None
    currency: str
    amount_minor: int
    fee_minor: int | None
    fee_currency: str | None
    name: str
    born: str | None
    scheme: str | None
    account: str | None
    remark: str | None
    digits: str | None
    flag: str | None


def sample(**changes: object) -> Sample:
    """A plain record with the required fields only, some of them changed."""
    plain = Sample(
        version="1",
        note=None,
        number=1,
        code="PAYC01",
        uetr="eb6305c9-1f7f-49de-aed0-16487c27b42d",
        created=1_751_333_415_000,  # 2025-07-01T09:30:15+08:00
        local=None,
        currency="HKD",
        amount_minor=12_345,
        fee_minor=None,
        fee_currency=None,
        name="CHAN Tai Man",
        born=None,
        scheme=None,
        account=None,
        remark=None,
        digits=None,
        flag=None,
    )
    return plain._replace(**changes)  # type: ignore[arg-type]


HEADER = HeaderSpec(
    "sample header",
    fields=(
        HeaderField("open", 3, const="{H:"),
        HeaderField("version", 2, const="02", rule="VERSION"),
        HeaderField("sender", 14, required=True),
        HeaderField("date", 8, Kind.HEADER_DATE, required=True),
        HeaderField("time", 6, Kind.HEADER_TIME),
        HeaderField("priority", 1, Kind.DIGITS, required=True),
        HeaderField("direction", 1, Kind.CODE, codes=("U", "D"), rule="DIRECTION", required=True),
        HeaderField("close", 3, const="}\r\n"),
    ),
    source="tests",
)


class Header(NamedTuple):
    """The record of HEADER."""

    sender: str
    date: str
    time: str
    priority: str
    direction: str
