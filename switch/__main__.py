"""`python -m switch` is `bayswitch`."""

from switch.cli import main

main()
