"""Who pays whom in a settlement window, drawn: payers, the settlement agent, receivers."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Final, NamedTuple

from bayswitch.v1 import settlement_pb2
from rich.cells import cell_len

from switch.cli.output import console, money_text

__all__ = ["LINES", "PLAIN", "Strokes", "obligation_state", "picture", "strokes", "window_state"]


class Strokes(NamedTuple):
    """What a picture is drawn with."""

    corners: str  # top left, top right, bottom left, bottom right
    across: str
    down: str
    arrow: str


LINES: Final = Strokes("┌┐└┘", "─", "│", "──▶")
PLAIN: Final = Strokes("++++", "-", "|", "-->")
_GAP: Final = "  "
_SAYS: Final = {"OPEN": "open", "CONFIRMED": "paid", "DEFAULTED": "DEFAULT"}


def strokes() -> Strokes:
    """Lines in a terminal that can show them; ASCII into a file or a pipe."""
    return LINES if console.is_terminal and (console.encoding or "").lower().startswith("utf") else PLAIN


def window_state(number: int) -> str:
    """WINDOW_STATE_CLOSED -> 'CLOSED'; of a newer switch, its number."""
    return _name(settlement_pb2.WindowState, number, "WINDOW_STATE_")


def obligation_state(number: int) -> str:
    """OBLIGATION_STATE_OPEN -> 'OPEN'; of a newer switch, its number."""
    return _name(settlement_pb2.ObligationState, number, "OBLIGATION_STATE_")


def _name(enum: Any, number: int, prefix: str) -> str:
    names: dict[int, str] = {value: name for name, value in enum.items()}
    return names.get(number, str(number)).removeprefix(prefix)


def picture(window: Any, agent: str, drawn_with: Strokes) -> list[str]:
    """Lines of text, an asset after the other; [] when nobody owes anything that the caller may see."""
    lines: list[str] = []
    for asset in sorted({each.asset for each in window.obligations}):
        owed = [each for each in window.obligations if each.asset == asset]
        payers = [each for each in owed if each.amount_minor > 0]
        receivers = [each for each in owed if each.amount_minor < 0]
        paid_in, paid_out = (sum(abs(each.amount_minor) for each in side) for side in (payers, receivers))
        whole = money_text(asset, paid_in) if paid_in == paid_out else ""  # a participant sees only its own side
        lines += _of_asset(_side(payers), _side(receivers), (agent, whole), drawn_with)
    return lines


def _side(obligations: Sequence[Any]) -> list[str]:
    """One text per obligation, in columns: who, how much, how it stands."""
    cells = [
        (
            each.participant,
            money_text(each.asset, abs(each.amount_minor)),
            _SAYS.get(obligation_state(each.state), obligation_state(each.state)),
        )
        for each in obligations
    ]
    widths = [max((cell_len(row[place]) for row in cells), default=0) for place in range(3)]
    return [f"{who:<{widths[0]}}{_GAP}{amount:>{widths[1]}}{_GAP}{says:<{widths[2]}}" for who, amount, says in cells]


def _of_asset(payers: list[str], receivers: list[str], inside: tuple[str, str], drawn_with: Strokes) -> list[str]:
    corners, across, down, arrow = drawn_with
    width = max(map(cell_len, inside))
    left = max((cell_len(text) for text in ("payers", *payers)), default=0)
    blank = " " * cell_len(arrow)
    lines = [
        f"{_GAP}{'payers':<{left}} {blank} {corners[0]}{across * (width + 2)}{corners[1]} {blank} receivers",
    ]
    for payer, text, receiver in zip_longest(payers, inside, receivers, fillvalue=""):
        to, fro = (arrow if side else blank for side in (payer, receiver))
        lines.append(f"{_GAP}{payer:<{left}} {to} {down} {text:<{width}} {down} {fro} {receiver}")
    lines.append(f"{_GAP}{'':<{left}} {blank} {corners[2]}{across * (width + 2)}{corners[3]}")
    return [line.rstrip() for line in lines]
