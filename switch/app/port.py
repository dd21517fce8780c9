"""The port that workers share: kept by their supervisor, who never listens on it."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

from switch.errors import ConfigError

__all__ = ["port_kept"]


@contextlib.contextmanager
def port_kept(host: str, port: int) -> Iterator[int]:
    """A port (0: a free one) that is kept, at every address of `host`, for processes that share it; which one.

    Raises ConfigError: somebody has it.
    """
    with contextlib.ExitStack() as kept:
        try:
            found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, _, _, _, (address, _, *rest) in found:
                if port:
                    with _bound(family, (address, port, *rest), shared=False):
                        pass  # nobody listens there: one who shares his port could be joined unawares
                holding = kept.enter_context(_bound(family, (address, port, *rest), shared=True))
                port = holding.getsockname()[1]
        except OSError as error:
            raise ConfigError(f"listen_port: {host}:{port} cannot be bound: {error.strerror}") from None
        yield port


def _bound(family: int, address: tuple[Any, ...], *, shared: bool) -> socket.socket:
    """Raises OSError: taken."""
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # links of a switch that ended are no hindrance
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
    except BaseException:
        made.close()
        raise
    return made
