"""A window's hash as the domain value and back."""

from collections.abc import Iterable, Mapping
from typing import Final

from switch.domain.money import Asset
from switch.domain.settlement import (
    LogRange,
    NetPosition,
    Obligation,
    ObligationState,
    Window,
    WindowState,
)

__all__ = ["owner", "owner_parts", "pairs", "unpack_window", "window_fields", "without_figures"]

_NONE: Final = b""


def owner(participant: str, asset: Asset) -> str:
    return f"{participant}|{asset.name}"


def owner_parts(text: str) -> tuple[str, Asset]:
    participant, _, asset = text.rpartition("|")
    return participant, Asset[asset]


def pairs(flat: Iterable[bytes]) -> dict[bytes, bytes]:
    """field, value, field, value … as a script answers a hash."""
    each = iter(flat)
    return dict(zip(each, each, strict=True))


def unpack_window(name: str, fields: Mapping[bytes, bytes]) -> Window:
    arrangement, _, number = name.rpartition(".")
    parts: dict[str, dict[str, bytes]] = {}
    for field, value in fields.items():
        if field[1:2] == b":":
            parts.setdefault(chr(field[0]), {})[field[2:].decode()] = value
    return Window(
        arrangement,
        int(number),
        WindowState(fields[b"state"].decode()),
        int(fields[b"open"]),
        ranges=_ranges(parts),
        cut_time_ms=int(fields.get(b"cut", 0)),
        cut_by=fields.get(b"cut_by", _NONE).decode(),
        filled=fields.get(b"filled") == b"1",
        payments=int(fields.get(b"payments", 0)),
        positions=_positions(parts),
        obligations=_obligations(parts),
        close_time_ms=int(fields.get(b"close", 0)),
        settled_time_ms=int(fields.get(b"settled", 0)),
        seal=fields.get(b"seal", _NONE),
        previous_seal=fields.get(b"previous", _NONE),
    )


def _ranges(parts: Mapping[str, Mapping[str, bytes]]) -> tuple[LogRange, ...]:
    begins, ends, digests = (parts.get(letter, {}) for letter in "ftg")
    places = sorted(map(int, begins.keys() | ends.keys()))
    return tuple(
        LogRange(
            place,
            int(begins.get(str(place), 0)),
            int(ends.get(str(place), 0)),
            digests.get(str(place), _NONE),
        )
        for place in places
    )


def _positions(parts: Mapping[str, Mapping[str, bytes]]) -> tuple[NetPosition, ...]:
    debits, credits, opening = (parts.get(letter, {}) for letter in "dco")
    return tuple(
        NetPosition(*owner_parts(name), int(debits.get(name, 0)), int(credits.get(name, 0)), int(opening.get(name, 0)))
        for name in _in_order(debits.keys() | credits.keys() | opening.keys())
    )


def _obligations(parts: Mapping[str, Mapping[str, bytes]]) -> tuple[Obligation, ...]:
    amounts, states, receipts = (parts.get(letter, {}) for letter in "bsr")
    found = []
    for name in _in_order(amounts.keys()):
        time_ms, _, reference = receipts.get(name, b"0 ").decode().partition(" ")
        state = ObligationState(states[name].decode())
        found.append(Obligation(*owner_parts(name), int(amounts[name]), state, int(time_ms), reference))
    return tuple(found)


def _in_order(names: Iterable[str]) -> list[str]:
    """By asset, then by participant: the order in which a seal covers them."""
    return sorted(names, key=lambda name: (owner_parts(name)[1], owner_parts(name)[0]))


def window_fields(window: Window) -> dict[str, str | int | bytes]:
    """The hash of a window; what `unpack_window` reads."""
    open_ranges = sum(1 for each in window.ranges if window.cut_time_ms and not each.digest)
    fields: dict[str, str | int | bytes] = {
        "state": window.state.value,
        "open": window.open_time_ms,
        "payments": window.payments,
    }
    if window.cut_time_ms:
        fields |= {"cut": window.cut_time_ms, "cut_by": window.cut_by, "filled": int(window.filled)}
        fields["left"] = open_ranges
    if window.close_time_ms:
        owing = sum(1 for each in window.obligations if each.state is not ObligationState.CONFIRMED)
        fields |= {"close": window.close_time_ms, "seal": window.seal, "previous": window.previous_seal, "owing": owing}
    if window.settled_time_ms:
        fields["settled"] = window.settled_time_ms
    for each in window.ranges:
        fields[f"f:{each.partition}"] = each.from_offset
        if window.cut_time_ms:
            fields[f"t:{each.partition}"] = each.to_offset
        if each.digest:
            fields[f"g:{each.partition}"] = each.digest
    for position in window.positions:
        name = owner(position.participant, position.asset)
        fields |= {f"d:{name}": position.debits_minor, f"c:{name}": position.credits_minor}
        if position.opening_minor:
            fields[f"o:{name}"] = position.opening_minor
    for obligation in window.obligations:
        name = owner(obligation.participant, obligation.asset)
        fields |= {f"b:{name}": obligation.amount_minor, f"s:{name}": obligation.state.value}
        if obligation.confirmed_time_ms:
            fields[f"r:{name}"] = f"{obligation.confirmed_time_ms} {obligation.reference}"
    return fields


def without_figures(window: Window) -> Window:
    """For lists: no positions, no obligations."""
    return window._replace(positions=(), obligations=())
