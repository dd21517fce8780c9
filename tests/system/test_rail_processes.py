"""Every rail keeps every promise of ports.Rail with its mock as a process of its own, as `bayswitch rail serve` runs it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters import RAILS
from adapters.conformance import CHECKS, RailCase, check_rail
from adapters.kit.control import control
from adapters.kit.module import RailOptions
from switch.cli.processes import Part, start_part
from switch.domain.instruction import Instruction
from switch.domain.payment import Payment
from switch.ports import InboundHandler
from tests.adapters.alipay.cases import JIA, TRANSFER_REFUSALS
from tests.adapters.alipay.cases import case_factory as alipay
from tests.adapters.ecny.test_conformance import factory as ecny
from tests.adapters.hkfps.cases import make_case as hkfps
from tests.adapters.mofps.cases import make_case as mofps

MakeCase = Callable[[InboundHandler], AbstractAsyncContextManager[RailCase]]
UNSIGNED = ("ecny",)  # SM2 takes 60 ms a message in pure Python; its own tests sign


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Part]]:
    """rail -> its mock, running."""
    directory = tmp_path_factory.mktemp("rails")
    started: dict[str, Part] = {}

    def start(name: str) -> None:
        signing = "--no-signing" if name in UNSIGNED else "--signing"
        arguments = ("rail", "serve", name, "--keys-dir", str(directory), signing)
        started[name] = start_part(name, *arguments, environment={}, directory=directory)

    try:
        with ThreadPoolExecutor(len(RAILS)) as pool:
            list(pool.map(start, RAILS))
        yield started
    finally:
        ended = {name: part.stop() for name, part in started.items()}
    assert not any(ended.values()), ended


def over(part: Part, name: str, keys_dir: Path, known: RailCase) -> MakeCase:
    """The case with the payments of the rail's own tests, and a client that speaks to the process."""

    @asynccontextmanager
    async def case(handler: InboundHandler) -> AsyncIterator[RailCase]:
        host, _, port = str(part.ready["address"]).rpartition(":")
        control_host, _, control_port = str(part.ready["control"]).rpartition(":")

        async def ask(call: str, **parameters: Any) -> dict[str, Any]:
            return await control(control_host, int(control_port), call, **parameters)

        options = RailOptions(host, int(port), RAILS[name].institution, keys_dir / name, signing=name not in UNSIGNED)
        client = RAILS[name].make_client(options)
        client.listen(handler)
        await ask("clear")  # what the check before this one left behind
        await client.start()
        try:
            yield replace(known, client=client, control=ask, in_flight=lambda: in_flight(client))
        finally:
            await client.close()

    return case


async def nobody(instruction: Instruction) -> Payment:
    raise AssertionError("the rail's own mock pays nobody here")


def in_flight(client: Any) -> int:
    return int(client.in_flight if hasattr(client, "in_flight") else client.link.in_flight)


async def test_every_promise_of_every_rail(parts: Mapping[str, Part], tmp_path: Path) -> None:
    keys_dir = Path(next(iter(parts.values())).log).parent
    holds: dict[str, MakeCase] = {
        "hkfps": hkfps,
        "mofps": mofps,
        "alipay": alipay(tmp_path / "alipay", JIA, TRANSFER_REFUSALS, signing=True),
        "ecny": ecny(tmp_path / "ecny", signing=False),
    }
    assert set(holds) == set(RAILS)

    async def checked(name: str, make: MakeCase) -> list[str]:
        async with make(nobody) as known:  # its mock has nothing to do: once for all checks
            return await check_rail(over(parts[name], name, keys_dir, known))

    assert await asyncio.gather(*(checked(name, make) for name, make in holds.items())) == [list(CHECKS)] * len(holds)
