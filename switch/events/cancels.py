"""A cancel that a library lost."""

import asyncio

__all__ = ["heed_cancel"]


def heed_cancel() -> None:
    """Raise CancelledError when this task was cancelled and goes on all the same. Costs nothing; may be repeated.

    aiokafka waits by `asyncio.wait_for`, which loses a cancel in Python 3.11 when what it waits for ends in the same
    turn of the loop. Work in the background calls this once a turn, or whoever stops it might wait for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
