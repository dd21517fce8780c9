"""What people see: tables that degrade to plain text when the output is not a terminal; JSON when asked."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich import box
from rich.console import Console
from rich.table import Table

from switch.domain.money import Asset, format_amount

__all__ = ["console", "error_line", "money_text", "print_json", "show_payment", "table"]

# Into a file or a pipe nothing is cut: a table is as wide as it needs to be.
console = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 240)
_errors = Console(stderr=True, soft_wrap=True, highlight=False)


def error_line(text: str) -> None:
    """One line on standard error."""
    _errors.print(text, style="red", markup=False)


def print_json(value: Message | Iterable[Message] | dict[str, Any] | list[Any]) -> None:
    """A protobuf message, several, or plain data as JSON on standard output; field names as in the contract."""
    print(json.dumps(_plain(value), indent=2, ensure_ascii=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        return MessageToDict(value, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    if isinstance(value, dict | str) or not isinstance(value, Iterable):
        return value
    return [_plain(item) for item in value]


def money_text(asset: str, amount_minor: int) -> str:
    """12345 of HKD -> 'HKD 123.45'."""
    return f"{asset} {format_amount(Asset[asset].iso, amount_minor)}"


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[str] = ()) -> None:
    """A table; columns named in `right` are right-aligned."""
    grid = Table(title=title or None, box=box.SIMPLE, title_justify="left")
    for column in columns:
        grid.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(str(cell) for cell in row))
    console.print(grid)


def show_payment(payment: Any, replay: bool = False) -> None:
    """One payment in a few lines."""
    from bayswitch.v1 import payment_pb2  # generated; imported late so that --help is quick

    state = payment_pb2.PaymentState.Name(payment.state).removeprefix("PAYMENT_STATE_")
    console.print(
        f"{state}{' (replay)' if replay else ''}  {payment.uetr}\n"
        f"  {money_text(payment.debit.asset, payment.debit.amount_minor)} -> "
        f"{money_text(payment.credit.asset, payment.credit.amount_minor)}"
        f"  by {payment.rail}  corridor {payment.corridor}",
        markup=False,
    )
    if payment.reason:
        console.print(f"  {payment.reason} (ISO {payment.iso_reason}, rail {payment.rail_code or '-'})", markup=False)
    if payment.rail_reference:
        console.print(f"  rail reference {payment.rail_reference}", markup=False)
    for entry in payment.entries:
        console.print(f"  {entry.participant:<16} {money_text(entry.asset, entry.amount_minor):>18}", markup=False)
