"""Repeated elements: cut out and put back, and what could hide one refused."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.kit.xml_parts import Part, Place, check_markup, cut, cut_list, paste, paste_list
from adapters.wire import Field, Kind, XmlSpec
from switch.errors import CodecError

ITEM = Place("Item", "</List>")
LIST = Place("Items", "<After>")


class Item(NamedTuple):
    text: str
    amount_minor: int


CODEC = Part(
    XmlSpec(
        "an item",
        "Item",
        {"": "urn:test"},
        (Field("text", "Text", Kind.TEXT), Field("amount_minor", "Amt", Kind.AMOUNT)),
        "the test's own",
    ),
    Item,
)
texts = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x2FFF, exclude_categories=("Cc", "Cs", "Zs")),
    min_size=1,
    max_size=35,
)


@given(st.lists(st.builds(Item, texts, st.integers(0, 10**12)), max_size=8))
def test_parts_come_back_whatever_stands_in_them(items: list[Item]) -> None:
    parts = [CODEC.write(item) for item in items]
    frame = b'<List xmlns="urn:test"><Head>1</Head></List>'
    whole = paste(frame, ITEM, parts)
    assert cut(whole, ITEM) == (frame, parts)
    assert [CODEC.read(part, number) for number, part in enumerate(parts, 1)] == items
    outer = paste_list(b"<R><After>1</After></R>", LIST, parts)
    assert cut_list(outer, LIST, "Item") == (b"<R><After>1</After></R>", parts)


def test_blanks_between_parts_do_not_count() -> None:
    frame, parts = cut(b"<List>\n  <Item>1</Item>\r\n\t<Item>2</Item>\n</List>", ITEM)
    assert parts == [b"<Item>1</Item>", b"<Item>2</Item>"]
    assert frame == b"<List>\n  </List>"


@pytest.mark.parametrize(
    "data",
    [
        b"<List><Item>1</Item>x</List>",
        b"<List><Item>1</Item>x<Item>2</Item></List>",
        b"<List><Item>1</Item><Other>1</Other></List>",
        b"<List><Item>1</List>",
        b"<List><Item></List></Item>",
        b"<List></List><List></List>",
        b"<Item>1</Item>",
        b"",
    ],
)
def test_a_run_that_is_not_whole_or_not_in_its_place_is_refused(data: bytes) -> None:
    with pytest.raises(CodecError, match=r"^Item: PLACE$"):
        cut(data, ITEM)


@pytest.mark.parametrize(
    "data", [b"<R><After>", b"<R><Items></Items><Items></Items><After>", b"<R><Items>x</Items><After>"]
)
def test_a_list_stands_once_and_holds_nothing_else(data: bytes) -> None:
    with pytest.raises(CodecError):
        cut_list(data, LIST, "Item")


@pytest.mark.parametrize(
    "data", [b"<a><!-- --></a>", b"<a><![CDATA[<Item>]]></a>", b"<!DOCTYPE a><a/>", b"<?x?><a/>", b"<a><?x?></a>"]
)
def test_what_could_hide_a_tag_is_refused(data: bytes) -> None:
    with pytest.raises(CodecError, match=r"^/: MARKUP$"):
        check_markup(data)


@pytest.mark.parametrize(
    "data", [b'<?xml version="1.0"?><a/>', b'\n<?xml version="1.0" encoding="UTF-8"?>\n<a/>', b"<a/>"]
)
def test_a_declaration_is_none_of_that(data: bytes) -> None:
    check_markup(data)


def test_a_part_is_refused_with_its_number() -> None:
    for part, refused in (
        (b"<Item><Text>a</Text></Item>", "Item[3]/Amt: MISSING"),
        (b"<Item><Text>a</Text><Amt>1.234</Amt></Item>", "Item[3]/Amt: DECIMALS"),
        (b"<Item><Text>a</Text><Amt>1</Amt><X/></Item>", "Item[3]: UNKNOWN"),
        (b"<Item><Text>&x;</Text><Amt>1</Amt></Item>", "Item[3]/Text: ENTITY"),
        (b"<Item><x:Text>a</x:Text><Amt>1</Amt></Item>", "Item[3]: NAMESPACE"),
    ):
        with pytest.raises(CodecError) as error:
            CODEC.read(part, 3)
        assert str(error.value) == refused
