"""A look at a message without reading it, in plain Python: the specification of the compiled `_finder`."""

import re
from typing import Final

__all__ = ["FOUND_CHARS_MAX", "Finder", "check_names"]

FOUND_CHARS_MAX: Final = 64  # of one text: a longer one is no id and no code

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_SPACE: Final = "[ \t\r\n]*+"


def check_names(names: tuple[str, ...]) -> None:
    """ValueError where these are no names of elements."""
    if not names or not all(_NAME.fullmatch(name) for name in names):
        raise ValueError("a finder looks for elements by their names, without prefix")


class Finder:
    """The texts of a few elements by name, each looked for behind the one before.

    This tells where a message belongs, not whether it is sound: comments are not told from elements, namespaces are not
    looked at, and whoever acts on the message reads it as a whole first.
    """

    def __init__(self, *names: str) -> None:
        """Raises ValueError where these are no names of elements."""
        check_names(names)
        # <Name> or <p:Name>, no attributes; printable ASCII without space and markup, up to the next tag.
        text = rf">{_SPACE}([!-%'-;=?-~]{{1,{FOUND_CHARS_MAX}}}+){_SPACE}<"
        self._patterns = [re.compile(rf"<(?:[A-Za-z0-9_.-]++:)?+{re.escape(name)}{text}".encode()) for name in names]

    def find(self, data: bytes) -> tuple[str | None, ...]:
        """A text for each name, in their order; None for one that is not found, and for all behind it."""
        texts: list[str | None] = [None] * len(self._patterns)
        place = 0
        for at, pattern in enumerate(self._patterns):
            match = pattern.search(data, place)
            if match is None:
                break
            texts[at], place = match[1].decode("ascii"), match.end() - 1
        return tuple(texts)
