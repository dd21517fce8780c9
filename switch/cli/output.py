"""What people see: tables in a terminal, aligned plain text into a file or a pipe, JSON when asked. Nothing is cut."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from switch.domain.money import Asset, format_amount
from switch.errors import BayswitchError

__all__ = [
    "NotAsItShouldBe",
    "console",
    "error_line",
    "money_text",
    "print_json",
    "print_json_line",
    "say",
    "show_payment",
    "table",
]

console = Console(soft_wrap=True, highlight=False)
_errors = Console(stderr=True, soft_wrap=True, highlight=False)
_GAP = "  "
_FOLDED_CHARS_MIN = 24  # a folded column narrower than this cannot be read


class NotAsItShouldBe(BayswitchError):
    """What a command looked at, or did, is not what it had to be: exit code 1."""


def error_line(text: str) -> None:
    """One line on standard error."""
    _errors.print(text.replace("\n", " "), style="red", markup=False)


def say(text: str) -> None:
    """Plain text on standard output, as it is."""
    console.print(text, markup=False)


def print_json(value: Message | Iterable[Message] | dict[str, Any] | list[Any]) -> None:
    """A protobuf message, several, or plain data as JSON on standard output; field names as in the contract."""
    print(json.dumps(_plain(value), indent=2, ensure_ascii=False))


def print_json_line(value: Message) -> None:
    """One item of a stream as one line of JSON, at once: whoever reads the pipe need not wait for a full buffer."""
    print(json.dumps(_plain(value), ensure_ascii=False), flush=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        return MessageToDict(value, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    if isinstance(value, dict | str) or not isinstance(value, Iterable):
        return value
    return [_plain(item) for item in value]


def money_text(asset: str, amount_minor: int) -> str:
    """12345 of HKD -> 'HKD 123.45'."""
    return f"{asset} {format_amount(Asset[asset].iso, amount_minor)}"


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Sequence[str] = (),
    fold: Sequence[str] = (),
) -> None:
    """A table; columns in `right` are right-aligned, those in `fold` may take several lines in a narrow terminal.

    Elsewhere than in a terminal: one line per row, columns in line, no frame; the title is left out.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    if not console.is_terminal:
        _print_plain(columns, cells, right)
        return
    grid = Table(title=title or None, box=box.SIMPLE, title_justify="left")
    for column, width in zip(columns, _widths(columns, cells), strict=True):
        side: Literal["left", "right"] = "right" if column in right else "left"
        least = min(width, _FOLDED_CHARS_MIN) if column in fold else width
        grid.add_column(column, justify=side, overflow="fold", min_width=least)
    for row in cells:
        grid.add_row(*map(escape, row))
    least = Measurement.get(console, console.options.update(max_width=10_000), grid).minimum
    wide = Console(soft_wrap=True, highlight=False, width=max(console.width, least))
    wide.print(grid)


def _widths(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    """Of each column, the terminal cells of its widest text."""
    return [max(cell_len(line[place]) for line in (columns, *cells)) for place in range(len(columns))]


def _print_plain(columns: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[str]) -> None:
    lines = [columns, *cells]
    widths = _widths(columns, cells)
    for line in lines:
        padded = []
        for column, cell, width in zip(columns, line, widths, strict=True):
            blank = " " * (width - cell_len(cell))
            padded.append(blank + cell if column in right else cell + blank)
        print(_GAP.join(padded).rstrip())
    sys.stdout.flush()


def show_payment(payment: Any, replay: bool = False) -> None:
    """One payment in a few lines."""
    from bayswitch.v1 import payment_pb2  # generated; imported late so that --help is quick

    state = payment_pb2.PaymentState.Name(payment.state).removeprefix("PAYMENT_STATE_")
    say(f"{state}{' (replay)' if replay else ''}  {payment.uetr}")
    say(
        f"  {money_text(payment.debit.asset, payment.debit.amount_minor)} -> "
        f"{money_text(payment.credit.asset, payment.credit.amount_minor)}"
        f"  by {payment.rail}  corridor {payment.corridor}"
    )
    if payment.reason:
        say(f"  {payment.reason} (ISO {payment.iso_reason}, rail {payment.rail_code or '-'})")
    if payment.rail_reference:
        say(f"  rail reference {payment.rail_reference}")
    for entry in payment.entries:
        say(f"  {entry.participant:<16} {money_text(entry.asset, entry.amount_minor):>18}")
