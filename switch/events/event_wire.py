"""Facts as records of the payment topic, for those who write or read very many. Compiled, with a plain twin.

BAYSWITCH_PURE_PYTHON=1 takes the plain one; without it a missing extension is an ImportError on purpose, as in
switch/store/facts.py. schema.py says what a record is.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING or os.environ.get("BAYSWITCH_PURE_PYTHON") == "1":
    from switch.events._event_wire_reference import COMPILED, digest_of, fact_of, record_of
else:
    from switch.events._event_reader import digest_of, fact_of
    from switch.events._event_writer import COMPILED, record_of

__all__ = ["COMPILED", "digest_of", "fact_of", "record_of"]
