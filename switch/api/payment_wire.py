"""Payments between the contract's bytes and the domain, without message objects. Compiled, with a plain twin.

BAYSWITCH_PURE_PYTHON=1 takes the plain one; without it a missing extension is an ImportError on purpose, for a switch
that silently runs ten times slower is worse than one that does not start. Only what is plain and valid is read here:
for the rest the caller goes the readable way (`FromString`, then `convert.instruction_of`), which refuses in words.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING or os.environ.get("BAYSWITCH_PURE_PYTHON") == "1":
    from switch.api._payment_wire_reference import (
        COMPILED,
        count_items,
        read_batch,
        read_submit,
        write_response,
        write_result,
        write_results,
    )
else:
    from switch.api._payment_reader import COMPILED, count_items, read_batch, read_submit
    from switch.api._payment_writer import write_response, write_result, write_results

__all__ = ["COMPILED", "count_items", "read_batch", "read_submit", "write_response", "write_result", "write_results"]
