"""An empty grpc.aio echo: the reference that every unary figure stands beside. Answers bytes of the asked size."""

import asyncio
import signal
import sys

import grpc.aio

__all__ = ["METHOD", "PACKAGE"]

PACKAGE = "bayswitch.loadtest.Echo"
METHOD = f"/{PACKAGE}/Echo"


async def _serve(answer_bytes: int) -> None:
    answer = bytes(answer_bytes)

    async def echo(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return answer

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(echo)  # no serialisers: bytes in, bytes out
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(PACKAGE, {"Echo": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await stopping.wait()
    await server.stop(1)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
