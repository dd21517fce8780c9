"""A payment service that a test writes itself, on a port of its own; and what a look at a switch's metrics found."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc.aio
from bayswitch.v1 import payment_pb2_grpc

from loadtest.scraping import Histogram, Look

__all__ = ["look", "serving"]


@asynccontextmanager
async def serving(servicer: payment_pb2_grpc.PaymentServiceServicer) -> AsyncIterator[str]:
    """Where it answers, while the block runs."""
    server = grpc.aio.server()
    payment_pb2_grpc.add_PaymentServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


def look(at_ms: int, *, payments: int, outbox_ms: int = 0, in_doubt_ms: int = 0, rail_ms: int = 6) -> Look:
    """So many payments of 3 ms at the store, reserved two at a time, and 6 ms at the rail; 7 calls were shed early."""
    infinity = float("inf")
    return Look(
        at_ms,
        {
            ("bayswitch_stage_duration_seconds", "store"): Histogram(
                ((0.002, 0), (0.004, payments), (infinity, payments)), payments * 0.003
            ),
            ("bayswitch_stage_duration_seconds", "rail"): Histogram(
                ((0.004, 0), (0.008, payments), (infinity, payments)), payments * 0.006
            ),
            ("bayswitch_rail_duration_seconds", "hkfps"): Histogram(
                ((rail_ms / 1500, 0), (rail_ms / 750, payments), (infinity, payments)), payments * rail_ms / 1000
            ),
            ("bayswitch_store_group_items", "prepare"): Histogram(
                ((1, 0), (2, payments // 2), (infinity, payments // 2)), payments
            ),
        },
        {
            ("bayswitch_calls_refused_total", "OVERLOADED"): 7 if payments > 20 else 0,
            ("bayswitch_calls_refused_total", "PAYMENT_UNKNOWN"): payments // 10,
        },
        {
            ("bayswitch_outbox_oldest_seconds", ""): outbox_ms / 1000,
            ("bayswitch_open_payment_oldest_seconds", "IN_DOUBT"): in_doubt_ms / 1000,
            ("bayswitch_settler_lag_records", ""): 0,
        },
    )
