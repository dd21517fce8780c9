"""What the log is told of a final payment, read from its record and sealed. Compiled, with a plain twin.

BAYSWITCH_PURE_PYTHON=1 takes the plain one; without it a missing extension is an ImportError on purpose, for a relay
that silently runs five times slower than its switch is worse than one that does not start. Only a record that the store
would write today, byte for byte, is read here; of any other the plain twin has the word.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING or os.environ.get("BAYSWITCH_PURE_PYTHON") == "1":
    from switch.store._facts_reference import COMPILED, FactReader
else:
    from switch.store._facts import COMPILED, FactReader

__all__ = ["COMPILED", "FactReader"]
