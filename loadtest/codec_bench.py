"""Route and encode to FPS bytes, and decode the answer: as the rail's client does it, beside others in the same run.

What others write is easier: lxml builds the very same message from its own names and texts, and xsdata writes its
Document only, from objects that were made before; neither routes, checks or looks anything up. When reading, all make
every value of the message, and ours alone checks each; what the rail's client does with it is a row of its own.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final

from lxml import etree
from pyiso20022.pacs.pacs_002_001_08 import Document as ReportDocument
from pyiso20022.pacs.pacs_008_001_06 import Document as TransferDocument
from xsdata.formats.dataclass.context import XmlContext
from xsdata.formats.dataclass.parsers import XmlParser
from xsdata.formats.dataclass.serializers import XmlSerializer

from adapters.hkfps import codec, spec
from adapters.wire._reference import XmlCodec as PlainXmlCodec
from loadtest.bench_rows import Figure, Scale
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import Hold
from switch.routing import Router
from switch.routing._reference import Router as PlainRouter
from switch.rules import load_rules

__all__ = ["NOON_MS", "figures", "in_turn_us", "made_instruction"]

OURS: Final = "999"
NOON_MS: Final = 1_795_060_800_000  # 2026-11-19 12:00 in Hong Kong: every corridor is open
SLOWER: Final = 30  # others do so many times fewer rounds: they take that much longer

Work = Callable[[], object]


def figures(scale: Scale) -> Iterator[tuple[str, Figure]]:
    """The rows of part "codec"."""
    instruction = made_instruction()
    uetr = instruction.uetr
    hold = Hold(instruction, "hk-hk.hkd", "hkfps", (), (), NOON_MS, NOON_MS + 10_000)
    message, report = codec.encode_transfer(hold, OURS), _report(uetr)
    corridors = load_rules().corridors
    router, plain_router = Router(corridors), PlainRouter(corridors)
    plain_transfer = PlainXmlCodec(spec.CREDIT_TRANSFER, spec.Transfer)
    plain_report = PlainXmlCodec(spec.STATUS_REPORT, spec.StatusReport)
    assert plain_transfer.write(codec.transfer_of(hold, OURS)) == message, "the plain twin writes something else"

    def write() -> bytes:
        router.route(instruction, NOON_MS)
        return codec.encode_transfer(hold, OURS)

    def write_plain() -> object:
        plain_router.route(instruction, NOON_MS)
        return plain_transfer.write(codec.transfer_of(hold, OURS))

    writers: dict[str, Work] = {
        "lxml": _lxml_writer(message),
        "xsdata": _xsdata_writer(message),
        "plain": write_plain,
    }
    readers: dict[str, Work] = {
        "lxml": lambda: _lxml_read(report),
        "xsdata": _xsdata_reader(report),
        "plain": lambda: plain_report.read(report),
    }
    yield from _rows("codec.write", write, writers, scale)
    yield from _rows("codec.record", lambda: spec.report_codec.read(report), readers, scale)
    alone, twin = in_turn_us(
        [lambda: router.route(instruction, NOON_MS), lambda: plain_router.route(instruction, NOON_MS)], scale
    )
    transfer, record, ack, view = in_turn_us(
        [
            lambda: codec.encode_transfer(hold, OURS),
            lambda: codec.transfer_of(hold, OURS),
            lambda: codec.read_ack(report, uetr),
            lambda: spec.status_view.read(report),
        ],
        scale,
    )
    yield "codec.read", Figure(ack, view)
    yield "codec.transfer", Figure(transfer, record)
    yield "codec.route", Figure(alone, twin)


def _rows(key: str, ours: Work, others: dict[str, Work], scale: Scale) -> Iterator[tuple[str, Figure]]:
    us, *beside = in_turn_us([ours, *others.values()], scale, slower=SLOWER)
    yield key, Figure(us)
    for name, reference in zip(others, beside, strict=True):
        yield f"{key}_{name}", Figure(us, reference)


def in_turn_us(works: list[Work], scale: Scale, *, slower: int = 1) -> list[tuple[float, ...]]:
    """Microseconds of CPU of one call of each, run by run in turn; the first is called `slower` times more often."""
    found: list[list[float]] = [[] for _ in works]
    for _ in range(scale.runs):
        for place, work in enumerate(works):
            rounds = scale.rounds if place == 0 else max(scale.rounds // slower, 10)
            begun = time.process_time_ns()
            for _ in range(rounds):
                work()
            found[place].append((time.process_time_ns() - begun) / rounds / 1000)
    return [tuple(runs) for runs in found]


def made_instruction() -> Instruction:
    """HKD 123.45 to a mobile number in Hong Kong, made up."""
    uetr, money = str(uuid.uuid4()), Money(Asset.HKD, 12_345)
    debtor = Party("CHAN TAI MAN", Place.HK, Account(Scheme.ACCOUNT, "HK-0001"))
    creditor = Party("LOAD 000001", Place.HK, Account(Scheme.MOBILE, "+852-70000001"))
    return Instruction("HKWALLET", uetr, uetr, "BENCH", money, money, debtor, creditor, "012", "", "bench", "")


def _report(uetr: str) -> bytes:
    """The rail's answer: paid."""
    tx_id = codec.tx_id_of(uetr)
    return codec.report(tx_id, spec.PAYMENT_SERVICE, "ACSC", NOON_MS, spec.HUB, OURS, reference="FPS000000000001")


def _document(message: bytes) -> bytes:
    """The ISO 20022 document, cut out of its envelope."""
    for element in etree.fromstring(message).iter():
        if etree.QName(element).localname == "Document":
            return bytes(etree.tostring(element, with_tail=False))
    raise AssertionError("no Document in the message")


def _lxml_writer(message: bytes) -> Work:
    """The same tree built and written, element by element; only building and writing is measured."""
    tree = _plain_tree(etree.fromstring(message))
    return lambda: etree.tostring(_rebuilt(tree), xml_declaration=True, encoding="UTF-8")


def _plain_tree(element: Any) -> Any:
    """(tag, attributes, text, children)."""
    return element.tag, dict(element.attrib), element.text, [_plain_tree(child) for child in element]


def _rebuilt(tree: Any) -> Any:
    tag, attributes, text, children = tree
    namespaces: Any = {None: tag[1:].partition("}")[0]}  # the stubs do not know the default namespace
    element = etree.Element(tag, attributes, namespaces)
    element.text = text
    for child in children:
        element.append(_rebuilt(child))
    return element


def _lxml_read(message: bytes) -> dict[str, str | None]:
    """Parse and take the text of every leaf by its path."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    return {element.tag: element.text for element in etree.fromstring(message, parser).iter() if not len(element)}


def _xsdata_writer(message: bytes) -> Work:
    context = XmlContext()
    parsed = XmlParser(context=context).from_bytes(_document(message), TransferDocument)
    serializer = XmlSerializer(context=context)
    return lambda: serializer.render(parsed)


def _xsdata_reader(report: bytes) -> Work:
    document, parser = _document(report), XmlParser(context=XmlContext())
    return lambda: parser.from_bytes(document, ReportDocument)
