"""Instruction -> route. Compiled, with a plain twin; this file alone chooses between them.

BAYSWITCH_PURE_PYTHON=1 takes the plain one; without it a missing extension is an ImportError on purpose, for a switch
that silently runs ten times slower is worse than one that does not start. `COMPILED` says which one runs.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING or os.environ.get("BAYSWITCH_PURE_PYTHON") == "1":
    from switch.routing._reference import COMPILED, Router
else:
    from switch.routing._router import COMPILED, Router

from switch.routing._holder import RouterHolder
from switch.routing._verdict import Verdict

__all__ = ["COMPILED", "Router", "RouterHolder", "Verdict"]
