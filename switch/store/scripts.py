"""Lua scripts as files, each checked against its Python call when it is loaded.

The head of a script states KEYS, ARGV and RETURN. Python states the same KEYS and ARGV where it builds the call; a
difference is our mistake and stops the start. In both, `|` parts what comes once from what comes once per item, and
`*` ends what may come any number of times. USES names a file of functions, which goes in front of the script.
"""

import re
from hashlib import sha1
from importlib.resources import files
from typing import Final, NamedTuple

__all__ = ["Script", "load_script"]

_FIELD: Final = re.compile(r"^-- (KEYS|ARGV|RETURN)(?: +(.+))?$", re.MULTILINE)
_USES: Final = re.compile(r"^-- USES +(\w+)$", re.MULTILINE)


class Script(NamedTuple):
    """`sha` is what EVALSHA takes; `source` is sent only to a server that does not know it."""

    name: str
    source: str
    sha: str


def load_script(name: str, *, keys: str, argv: str) -> Script:
    """Read scripts/<name>.lua. The AssertionError of a header that says something else is fatal on purpose."""
    source = _text(name)
    assert source.startswith(f"-- {name}.lua  "), f"{name}.lua: the first line names the file and what it does"
    header = {field: " ".join(text.split()) for field, text in _FIELD.findall(source)}
    assert header.keys() == {"KEYS", "ARGV", "RETURN"}, f"{name}.lua: the head states KEYS, ARGV and RETURN"
    assert header["KEYS"] == keys, f"{name}.lua: KEYS are {header['KEYS']!r}, the call says {keys!r}"
    assert header["ARGV"] == argv, f"{name}.lua: ARGV are {header['ARGV']!r}, the call says {argv!r}"
    source = "".join(_text(used) for used in _USES.findall(source)) + source
    return Script(name, source, sha1(source.encode(), usedforsecurity=False).hexdigest())


def _text(name: str) -> str:
    return (files("switch.store") / "scripts" / f"{name}.lua").read_text("utf-8")
