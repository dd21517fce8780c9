"""A small client of the switch, as a wallet provider would write one."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from bayswitch.v1 import (
    directory_pb2_grpc,
    participant_pb2_grpc,
    payment_pb2_grpc,
    quote_pb2_grpc,
    settlement_pb2_grpc,
)
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from switch.errors import ConfigError

__all__ = ["CallFailed", "Client", "Target", "connect", "new_id"]

_EXIT_CODES = {
    grpc.StatusCode.UNAVAILABLE: 4,
    grpc.StatusCode.DEADLINE_EXCEEDED: 4,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 4,
    grpc.StatusCode.INTERNAL: 4,
    grpc.StatusCode.UNKNOWN: 4,
    grpc.StatusCode.CANCELLED: 4,
}
_REFUSED = 3


class Target(NamedTuple):
    """Where the switch is, and who calls: by certificate, or on a demo server by name."""

    address: str
    participant: str
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None


class CallFailed(Exception):
    """A call was refused or failed; the text is for people, `reason` the catalogue's row.

    `exit_code` 3: refused, and the switch said so. 4: what became of it is unknown; the same call may be repeated.
    """

    def __init__(self, error: grpc.RpcError) -> None:
        status = rpc_status.from_call(error)
        self.reason, self.field, self.figures = "", "", {}  # type: str, str, dict[str, str]
        for detail in status.details if status else ():
            info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            if detail.Unpack(info):
                self.reason, self.figures = info.reason, dict(info.metadata)
            elif detail.Unpack(bad):
                self.field = ", ".join(violation.field for violation in bad.field_violations)
        self.code = error.code()
        self.exit_code = _EXIT_CODES.get(self.code, _REFUSED)
        said = (error.details() or "").removeprefix(f"{self.reason}: ")
        figures = ", ".join(f"{key} {value}" for key, value in sorted(self.figures.items()))
        if self.reason == "CALLER_UNKNOWN":
            said += " (bayswitch --as PARTICIPANT, or --tls-cert and --tls-key)"
        field = f"field {self.field}" if self.field else ""
        super().__init__(
            f"{self.code.name} {self.reason}".strip() + "".join(f": {part}" for part in (field, said, figures) if part)
        )


class Client:
    """Stubs of all services on one channel; every call carries a deadline and turns errors into CallFailed."""

    def __init__(self, channel: grpc.Channel, participant: str) -> None:
        self.payments = payment_pb2_grpc.PaymentServiceStub(channel)
        self.quotes = quote_pb2_grpc.QuoteServiceStub(channel)
        self.directory = directory_pb2_grpc.DirectoryServiceStub(channel)
        self.participants = participant_pb2_grpc.ParticipantServiceStub(channel)
        self.settlement = settlement_pb2_grpc.SettlementServiceStub(channel)
        self.metadata = (("x-bayswitch-participant", participant),) if participant else ()

    def call(self, method: Any, request: Message, seconds: int = 20) -> Any:
        """One unary call: its answer. Raises CallFailed."""
        return self.call_with_replay(method, request, seconds)[0]

    def call_with_replay(self, method: Any, request: Message, seconds: int = 20) -> tuple[Any, bool]:
        """One unary call: its answer, and whether the switch answered from an earlier execution."""
        try:
            answer, call = method.with_call(request, timeout=seconds, metadata=self.metadata)
        except grpc.RpcError as error:
            raise CallFailed(error) from None
        return answer, any(key == "x-bayswitch-replay" for key, _ in call.trailing_metadata() or ())

    def stream(self, method: Any, request: Message, seconds: int | None = None) -> Iterator[Any]:
        """One server stream, until it ends, the caller stops, or `seconds` have passed. Raises CallFailed."""
        call = method(request, timeout=seconds, metadata=self.metadata)
        try:
            yield from call
        except grpc.RpcError as error:
            raise CallFailed(error) from None
        finally:
            call.cancel()


@contextmanager
def connect(target: Target) -> Iterator[Client]:
    """A channel to the switch for the length of a `with`. Raises ConfigError: a PEM file cannot be read."""
    if target.tls_ca:
        ca, key, cert = (_pem(path) for path in (target.tls_ca, target.tls_key, target.tls_cert))
        channel = grpc.secure_channel(target.address, grpc.ssl_channel_credentials(ca, key, cert))
    else:
        channel = grpc.insecure_channel(target.address)
    with channel:
        yield Client(channel, target.participant)


def _pem(path: Path | None) -> bytes | None:
    try:
        return path.read_bytes() if path else None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def new_id() -> str:
    """A UUIDv4: a UETR or a request_id."""
    return str(uuid.uuid4())
