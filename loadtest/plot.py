"""Small line plots as inline SVG, and tables: no library, no script, readable wherever HTML is."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

__all__ = ["lines", "table"]

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 760, 220, 60, 24, 8
COLOURS: Final = (
    "#1b6ca8",
    "#c8442b",
    "#2f8f4e",
    "#8a4fa3",
    "#b8860b",
    "#4b5563",
    "#d1608f",
    "#0f8b8d",
    "#7a5c3e",
    "#000",
)
_STEPS: Final = 4


def lines(title: str, unit: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """One plot: name -> points (seconds, value), from zero upwards. "" when there is no point at all."""
    points = [point for each in series.values() for point in each]
    if not points:
        return ""
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    top = max(max(y for _, y in points), 1e-9)

    def place(x: float, y: float) -> str:
        across = LEFT + (x - first) / max(last - first, 1e-9) * (WIDTH - LEFT)
        return f"{across:.1f},{TOP + (1 - y / top) * (HEIGHT - TOP - BOTTOM):.1f}"

    drawn = [_grid(top), _axis(first, last)]
    for colour, path in zip(_colours(), series.values(), strict=False):
        joined = " ".join(place(x, y) for x, y in path)
        drawn.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{joined}"/>')
    legend = " ".join(
        f'<span style="color:{colour}">&#9632; {escape(name)}</span>'
        for colour, name in zip(_colours(), series, strict=False)
    )
    picture = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(drawn)}</svg>'
    return f"<figure><figcaption>{escape(title)}, {escape(unit)} &middot; {legend}</figcaption>{picture}</figure>"


def _colours() -> Sequence[str]:
    return COLOURS * 4


def _grid(top: float) -> str:
    found = []
    for step in range(_STEPS + 1):
        y = TOP + (1 - step / _STEPS) * (HEIGHT - TOP - BOTTOM)
        found.append(f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        found.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{top * step / _STEPS:,.4g}</text>')
    return "".join(found)


def _axis(first: float, last: float) -> str:
    return "".join(
        f'<text x="{LEFT + (WIDTH - LEFT) * share:.0f}" y="{HEIGHT - 6}" text-anchor="{anchor}">'
        f"{first + (last - first) * share:.0f} s</text>"
        for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
    )


def table(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A table of texts and numbers; its first column is what the others are about."""

    def cells(tag: str, values: Iterable[Any]) -> str:
        return "".join(f"<{tag}>{escape(_text(value))}</{tag}>" for value in values)

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><tr>{cells('th', header)}</tr>{body}</table>"


def _text(value: Any) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
