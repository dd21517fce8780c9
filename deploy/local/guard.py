"""Run one command and end it when whoever started it is gone, however it went.

    python -m deploy.local.guard <command> <argument>...

Prints the command's process id, then waits for the end of the command or of its own standard input. Whoever starts it
keeps the other end of that pipe open; the kernel closes it when that process dies, SIGKILL included. This holds for a
start from any thread and on any Unix, which PR_SET_PDEATHSIG in the starter does not: that one fires when the starting
*thread* ends. Here it only covers the guard's own violent death.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading

__all__ = ["main"]

TERM_SECONDS_MAX = 5  # a server that does not stop in this time is killed: nobody is there to wait for it
_PR_SET_PDEATHSIG = 1


def _die_with_the_guard() -> None:
    """Runs in the child between fork and exec; the guard has one thread at that moment."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_when_alone(child: subprocess.Popen[bytes]) -> None:
    os.read(sys.stdin.fileno(), 1)  # returns when the starter closed its end or died; takes no lock of the interpreter
    child.terminate()
    try:
        child.wait(TERM_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        child.kill()


def main(command: list[str]) -> int:
    """Exit code of the command; 128 + signal when a signal ended it."""
    os.setsid()  # Ctrl-C at the starter's terminal is for the starter: it stops the servers in order
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,  # standard output carries the process id and nothing else
        preexec_fn=_die_with_the_guard if sys.platform == "linux" else None,
    )
    print(child.pid, flush=True)
    threading.Thread(target=_end_when_alone, args=(child,), daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
