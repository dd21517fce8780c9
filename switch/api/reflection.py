"""Server reflection, v1 and v1alpha. The two are the same messages under two names; the library knows only the older."""

from collections.abc import Iterable
from typing import Final

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

__all__ = ["REFLECTION_SERVICES", "add_reflection"]

_V1: Final = "grpc.reflection.v1.ServerReflection"
REFLECTION_SERVICES: Final = (_V1, reflection.SERVICE_NAME)


def add_reflection(server: grpc.aio.Server, services: Iterable[str]) -> None:
    """Let tools such as grpcurl list and describe `services`."""
    names = (*services, *REFLECTION_SERVICES)
    reflection.enable_server_reflection(names, server)
    handler = grpc.stream_stream_rpc_method_handler(
        reflection.aio.ReflectionServicer(names).ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_registered_method_handlers(_V1, {"ServerReflectionInfo": handler})
