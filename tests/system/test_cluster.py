"""The switch over a cluster: several shards on three masters, and what is left when one of the masters is lost."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from bayswitch.v1 import common_pb2, participant_pb2
from redis.crc import key_slot

from deploy.local.valkey import SLOTS, Cluster, Valkey, run_cluster
from switch.cli.client import new_id
from switch.cli.sandbox import OPERATOR, Sandbox, load_scenario
from switch.store.keys import Keys
from tests.system.support import STATE, Provider, Trouble, audited, payments_in, step, until

SHARDS = 6
EACH = 70  # payments of each of three participants, before one master is lost
KEYS = Keys("", SHARDS)
LOAD = "creditor.account=+852-70000040 creditor.name=LOAD_000040 debit=HKD_1.00"


def master_of(name: str) -> int:
    """Which of the three masters holds the shard of a participant, or of the claim of a UETR."""
    slot = key_slot(KEYS.holds(KEYS.shard_of(name)).encode())
    return next(index for index in range(3) if slot < SLOTS * (index + 1) // 3)


def named(prefix: str, master: int) -> str:
    """A participant whose shard is on this master."""
    return next(name for number in range(1000) if master_of(name := f"{prefix}{number}") == master)


PAYERS = [named("PAYER", master) for master in range(3)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with run_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def test_a_master_is_lost(cluster: Cluster, tmp_path: Path) -> None:
    environment = {"BAYSWITCH_REDIS_URL": cluster.url, "BAYSWITCH_SHARDS": str(SHARDS)}
    sandbox = Sandbox(tmp_path, environment, signing=False)
    try:
        sandbox.start()
        sandbox.enrol(load_scenario())
        with payments_in(sandbox) as provider:
            for payer in PAYERS:
                _join(provider(OPERATOR), payer)
            answers = _many(provider(payer) for payer in PAYERS for _ in range(EACH))
            lost = 1
            answers |= _lose(provider, cluster.masters[lost], lost)
        found = audited(sandbox, answers)
        assert found.states["COMMITTED"] >= 3 * EACH
        assert set(answers.values()) <= {"COMMITTED", "ABORTED"}
    finally:
        sandbox.stop()


def _lose(provider: Any, master: Valkey, lost: int) -> dict[str, str]:
    """Kill one master for a while. What needs it is refused in time and later paid; everything else goes on."""
    calls = [
        (provider(payer), _request(provider(payer), claim)) for payer in PAYERS for claim in range(3) for _ in range(5)
    ]
    master.kill()
    try:
        with ThreadPoolExecutor(len(calls)) as pool:
            told = dict(zip((request.uetr for _, request in calls), pool.map(_submit, calls), strict=True))
        for payer, request in calls:
            needs = (
                master_of(dict(payer.metadata)["x-bayswitch-participant"]) == lost or master_of(request.uetr) == lost
            )
            assert told[request.uetr] == ("STORE_UNAVAILABLE" if needs else "COMMITTED")
        doubtful = _in_doubt(provider(PAYERS[(lost + 1) % 3]), (lost + 2) % 3)
    finally:
        master.start()
    for payer, request in calls:
        until(lambda: STATE[payer.submit(request).state] == "COMMITTED", "everything is paid when the master is back")  # noqa: B023
    return {doubtful: "COMMITTED", **{request.uetr: "COMMITTED" for _, request in calls}}


def _in_doubt(payer: Provider, claim: int) -> str:
    """Recovery goes on for the masters that are left: a payment whose answer was cut off is ended now."""
    cut = _request(payer, claim, "creditor.account=+852-59000007 creditor.name=FAULT_CUT debit=HKD_1.00")
    assert STATE[payer.submit(cut).state] == "IN_DOUBT"
    assert STATE[payer.ended(cut.uetr).state] == "COMMITTED"
    return str(cut.uetr)


def _submit(call: tuple[Provider, Any]) -> str:
    """The state, or the reason of the refusal."""
    payer, request = call
    try:
        return STATE[payer.submit(request).state]
    except grpc.RpcError as error:
        return Trouble.of(error).reason


def _request(payer: Provider, claim: int, changes: str = LOAD) -> Any:
    """A payment whose UETR is claimed on this master."""
    request = payer.request(step("unknown", changes))
    while master_of(request.uetr) != claim:
        request.uetr = new_id()
    return request


def _many(payers: Iterator[Provider]) -> dict[str, str]:
    calls = [(payer, payer.request(step("unknown", LOAD))) for payer in payers]
    with ThreadPoolExecutor(24) as pool:
        told = list(pool.map(_submit, calls))
    assert set(told) == {"COMMITTED"}
    return {request.uetr: state for (_, request), state in zip(calls, told, strict=True)}


def _join(operator: Provider, name: str) -> None:
    record = participant_pb2.Participant(
        participant_id=name,
        name=name,
        place=common_pb2.PLACE_HK,
        roles=["instructing"],
        net_debit_caps=[common_pb2.Money(asset="HKD", amount_minor=100_000_00)],
    )
    create = participant_pb2.CreateParticipantRequest(participant=record, reason="test")
    operator.call(operator.participants.CreateParticipant, create)
