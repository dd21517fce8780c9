"""Route and encode to FPS bytes, and decode the answer: compiled, beside the plain twin and lxml in the same run."""

import uuid
from collections.abc import Callable
from typing import Any

from lxml import etree

from adapters.hkfps import codec, spec
from adapters.wire import XmlCodec
from adapters.wire._reference import XmlCodec as PlainXmlCodec
from loadtest.measure import median_ns
from switch.domain.instruction import Instruction
from switch.domain.money import Asset, Money
from switch.domain.party import Account, Party, Place, Scheme
from switch.domain.payment import Hold
from switch.routing import Router
from switch.routing._reference import Router as PlainRouter
from switch.rules import load_rules

__all__ = ["rows"]

OURS = "999"
NOON_MS = 1_795_060_800_000  # 2026-11-19 12:00 in Hong Kong: every corridor is open
ROUNDS = 3_000


def rows() -> list[dict[str, Any]]:
    """One row per measure, medians in microseconds."""
    instruction = _instruction()
    corridors = load_rules().corridors
    record = codec.transfer_of(_hold(instruction), OURS)
    report = _report()
    compiled = _path(Router(corridors), XmlCodec(spec.CREDIT_TRANSFER, spec.Transfer), instruction, record)
    plain = _path(PlainRouter(corridors), PlainXmlCodec(spec.CREDIT_TRANSFER, spec.Transfer), instruction, record)
    message = spec.transfer_codec.write(record)
    return [
        _row("route + write pacs.008", compiled, plain, lambda: _lxml_write(message)),
        _row(
            "read pacs.002",
            lambda: spec.report_codec.read(report),
            lambda: _PLAIN_REPORT.read(report),
            lambda: _lxml_read(report),
        ),
    ]


_PLAIN_REPORT = PlainXmlCodec(spec.STATUS_REPORT, spec.StatusReport)


def _path(router: Any, xml: Any, instruction: Instruction, record: Any) -> Callable[[], object]:
    def work() -> bytes:
        router.route(instruction, NOON_MS)
        written: bytes = xml.write(record)
        return written

    return work


def _row(
    name: str, compiled: Callable[[], object], plain: Callable[[], object], lxml: Callable[[], object]
) -> dict[str, Any]:
    micros = [median_ns(work, ROUNDS) / 1000 for work in (compiled, plain, lxml)]
    return {
        "measure": name,
        "compiled_us": micros[0],
        "plain_us": micros[1],
        "lxml_us": micros[2],
        "text": f"{name:<24} compiled {micros[0]:6.2f} us   plain twin {micros[1]:7.1f} us ({micros[1] / micros[0]:.0f}x)   "
        f"lxml {micros[2]:6.1f} us ({micros[2] / micros[0]:.0f}x)",
    }


def _instruction() -> Instruction:
    uetr, money = str(uuid.uuid4()), Money(Asset.HKD, 12_345)
    debtor = Party("CHAN TAI MAN", Place.HK, Account(Scheme.ACCOUNT, "HK-0001"))
    creditor = Party("LOAD 000001", Place.HK, Account(Scheme.MOBILE, "+852-70000001"))
    return Instruction("HKWALLET", uetr, uetr, "BENCH", money, money, debtor, creditor, "012", "", "bench", "")


def _hold(instruction: Instruction) -> Hold:
    return Hold(instruction, "hk-hk.hkd", "hkfps", (), (), NOON_MS, NOON_MS + 10_000)


def _report() -> bytes:
    """An answer as the mock hub writes it."""
    record = spec.StatusReport(
        spec.HUB, OURS, "ID-1", spec.PAYMENT_SERVICE, "2026-11-19T04:00:00Z", "ID-1", NOON_MS, "ID-0",
        codec.tx_id_of(str(uuid.uuid4())), "ACSC", None, None, "FPS000000000001",
    )  # fmt: skip
    return spec.report_codec.write(record)


def _lxml_write(message: bytes) -> bytes:
    """The same tree built and written with lxml, element by element, from its own names and texts."""
    return bytes(etree.tostring(_rebuilt(_tree_of(message)), xml_declaration=True, encoding="UTF-8"))


_TREES: dict[bytes, Any] = {}


def _tree_of(message: bytes) -> Any:
    """(tag, attributes, text, children), made once: only building and writing is measured."""
    if message not in _TREES:
        _TREES[message] = _plain_tree(etree.fromstring(message))
    return _TREES[message]


def _plain_tree(element: Any) -> Any:
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
