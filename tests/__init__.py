"""The tests. Whatever they start may keep what it compiled, also where the environment says otherwise."""

import os
import sys

# Hundreds of processes are started in a run, and each would compile all of ours anew: a seventh of its start.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
