"""Who calls. Never a field of a request: the client certificate, or on a loopback demo server metadata.

The certificate's one URI SAN is spiffe://<trust domain>/participant/<PARTICIPANT_ID>, e.g.
spiffe://bayswitch.example/participant/ALIPAYHK. The trust domain is whoever signs for the client CA, and that CA is
trusted for nothing else; so it is not looked at. A certificate with two URI SANs names nobody (SPIFFE ID, section 4.1).
"""

import ipaddress
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import grpc

from switch.domain.identifiers import parse_participant_id
from switch.errors import ConfigError, InvalidValue, Refused
from switch.limits import CALLS_IN_FLIGHT_MAX, LOOKS_IN_FLIGHT_MAX

__all__ = ["METADATA_KEY", "Identify", "ServerOptions", "check_identity", "chosen_identity", "credentials"]

METADATA_KEY: Final = "x-bayswitch-participant"
_SPIFFE_ID: Final = re.compile(r"spiffe://[^/]+/participant/([A-Z0-9_]+)", re.ASCII)

Identify = Callable[[grpc.aio.ServicerContext], str]


class ServerOptions(NamedTuple):
    """Where to listen and how callers are named. Either all three TLS files, or `demo_identity` on loopback."""

    host: str
    port: int  # 0: a free one
    tls_cert: Path | None = None  # PEM, with its chain
    tls_key: Path | None = None  # PEM
    tls_client_ca: Path | None = None  # PEM; signs participants' certificates and nothing else
    demo_identity: bool = False
    operators: tuple[str, ...] = ()  # ids that may call ParticipantService, and may not pay
    reuse_port: bool = False  # True: several workers share the port
    calls_max: int = CALLS_IN_FLIGHT_MAX  # that begin something; beyond it OVERLOADED
    looks_max: int = LOOKS_IN_FLIGHT_MAX  # that only look; counted apart


def check_identity(options: ServerOptions) -> None:
    """Raise the ConfigError that a server with these options would raise; opens nothing but the TLS files."""
    chosen_identity(options)
    credentials(options)


def chosen_identity(options: ServerOptions) -> Identify:
    """How this server names its callers.

    Raises:
        ConfigError: it could not name them, or would believe anybody who reaches it.
    """
    files = {name: getattr(options, name) for name in ("tls_cert", "tls_key", "tls_client_ca")}
    absent = [name for name, path in files.items() if path is None]
    if options.demo_identity:
        if len(absent) < len(files):
            raise ConfigError("demo_identity: not together with TLS; leave out one of them")
        if not _is_loopback(options.host):
            raise ConfigError(
                f"demo_identity: listen_host {options.host} is not loopback, and anybody there could name himself; "
                "set tls_cert, tls_key and tls_client_ca instead"
            )
        return from_metadata
    if len(absent) == len(files):
        raise ConfigError(
            "tls_cert: nobody could be named; set tls_cert, tls_key and tls_client_ca, or demo_identity on loopback"
        )
    if absent:
        raise ConfigError(f"{absent[0]}: TLS needs tls_cert, tls_key and tls_client_ca together")
    return from_certificate


def from_certificate(context: grpc.aio.ServicerContext) -> str:
    """The participant of a verified client certificate. Raises Refused CALLER_UNKNOWN."""
    known = context.auth_context()
    if known.get("transport_security_type") == [b"ssl"]:
        names = known.get("peer_spiffe_id", ())
        match = _SPIFFE_ID.fullmatch(names[0].decode("ascii", "replace")) if len(names) == 1 else None
        if match is not None:
            return _participant(match[1])
    raise Refused("CALLER_UNKNOWN")


def from_metadata(context: grpc.aio.ServicerContext) -> str:
    """The participant a caller of a demo server says it is. Raises Refused CALLER_UNKNOWN."""
    said = [value for key, value in context.invocation_metadata() or () if key == METADATA_KEY]
    if len(said) != 1:
        raise Refused("CALLER_UNKNOWN", f"on this demo server, name yourself in metadata {METADATA_KEY}, once")
    return _participant(said[0])


def _participant(name: str) -> str:
    try:
        return parse_participant_id(name)
    except InvalidValue:
        raise Refused("CALLER_UNKNOWN") from None


def _is_loopback(host: str) -> bool:
    """Every address the name stands for is loopback: what it is bound to cannot be reached from elsewhere."""
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)} if host else set()
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(address).is_loopback for address in found)


def credentials(options: ServerOptions) -> grpc.ServerCredentials | None:
    """TLS that demands a certificate signed by the client CA; None for a demo server. Raises ConfigError."""
    if options.demo_identity:
        return None
    return grpc.ssl_server_credentials(
        [(_pem(options, "tls_key", b"PRIVATE KEY"), _pem(options, "tls_cert", b"CERTIFICATE"))],
        root_certificates=_pem(options, "tls_client_ca", b"CERTIFICATE"),
        require_client_auth=True,
    )


def _pem(options: ServerOptions, name: str, kind: bytes) -> bytes:
    path: Path = getattr(options, name)
    try:
        found = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{name}: {path} cannot be read: {error.strerror}") from None
    if b"-----BEGIN " not in found or kind + b"-----" not in found:
        raise ConfigError(f"{name}: {path} is not a PEM file with a {kind.decode().lower()}")
    return found
