"""The classes of a broker in one file: made once, taken by the JVM, and done without where it cannot be made."""

import os
import subprocess
from pathlib import Path

import pytest

from deploy.local import kafka
from deploy.local.classes import shared_classes


def test_the_file_is_made_once_and_the_jvm_takes_it() -> None:
    jars = kafka.libs()
    made = shared_classes(jars)
    assert made is not None
    assert shared_classes(jars) == made
    java = ["java", "-Xmx512m", "-Xshare:on", f"-XX:SharedArchiveFile={made}", "-Xlog:class+load", "-cp", f"{jars}/*"]
    ran = subprocess.run([*java, "kafka.Kafka"], capture_output=True, text=True, check=False)
    (main,) = (line for line in ran.stdout.splitlines() if " kafka.Kafka source: " in line)
    assert main.endswith("shared objects file (top)"), main


def test_a_broker_that_does_not_start_leaves_no_file_and_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{java.parent}:{os.environ['PATH']}")
    jars = tmp_path / "libs" / "kafka-0"
    jars.mkdir(parents=True)
    assert shared_classes(jars) is None
    assert sorted(path.name for path in jars.parent.iterdir()) == [".lock", "kafka-0"]
