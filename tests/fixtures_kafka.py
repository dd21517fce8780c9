"""The real Kafka of a test run: one node, started when the first test asks, stopped at the end."""

import os
from collections.abc import Iterator

import pytest

from deploy.local import kafka

__all__ = ["kafka_bootstrap"]


@pytest.fixture(scope="session")
def kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of a real broker. BAYSWITCH_KAFKA_BOOTSTRAP names one that runs already; else one is started here.

    Never skipped: without Java and Maven, and without that variable, a test that needs the broker fails and says so.
    """
    given = os.environ.get("BAYSWITCH_KAFKA_BOOTSTRAP", "")
    if given:
        yield given
        return
    missing = kafka.missing()
    if missing:
        pytest.fail(f"a real Kafka is needed: {missing}; or name a running broker in BAYSWITCH_KAFKA_BOOTSTRAP")
    with kafka.cluster(folder=tmp_path_factory.mktemp("kafka")) as running:
        yield running.bootstrap
