"""gRPC, and the only place that knows it: the server, the services, and what they read and write."""

from switch.api.identity import check_identity
from switch.api.server import ApiParts, Server, ServerOptions

__all__ = ["ApiParts", "Server", "ServerOptions", "check_identity"]
