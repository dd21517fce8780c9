"""The codecs the rails share: XML by table, fixed-width headers, framing, a finder, and a general bounded XML reader.

The compiled twins run unless BAYSWITCH_PURE_PYTHON=1. This is the only place that chooses; a missing extension is an
ImportError on purpose, for a switch that silently runs ten times slower is worse than one that does not start.
"""

import os
from typing import TYPE_CHECKING

from adapters.wire._reader import Element, parse_xml
from adapters.wire._values import parse_iso_time
from adapters.wire.spec import Field, HeaderField, HeaderSpec, Kind, XmlSpec

if TYPE_CHECKING or os.environ.get("BAYSWITCH_PURE_PYTHON") == "1":
    from adapters.wire._look import Finder
    from adapters.wire._reference import COMPILED, Deframer, HeaderCodec, XmlCodec, frame
else:
    from adapters.wire._finder import Finder
    from adapters.wire._header import Deframer, HeaderCodec, frame
    from adapters.wire._xml import COMPILED, XmlCodec

__all__ = [
    "COMPILED",
    "Deframer",
    "Element",
    "Field",
    "Finder",
    "HeaderCodec",
    "HeaderField",
    "HeaderSpec",
    "Kind",
    "XmlCodec",
    "XmlSpec",
    "frame",
    "parse_iso_time",
    "parse_xml",
]
