"""Settings: where each value comes from, which wins, what is refused, what is masked."""

from pathlib import Path

import pytest

from switch.errors import ConfigError
from switch.settings import Settings, load_settings, shown


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No bayswitch.toml of the checkout is in the way."""
    monkeypatch.chdir(tmp_path)


def written(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_every_origin_and_who_wins(tmp_path: Path) -> None:
    file = written(tmp_path / "here.toml", 'listen_port = 1\nshards = 2\nlog_level = "DEBUG"\n')
    environment = {"BAYSWITCH_SHARDS": "3", "BAYSWITCH_LOG_LEVEL": "ERROR", "PATH": "no setting"}
    settings, origins = load_settings(environment, file, log_level="WARNING", drain_ms=None)
    assert (settings.listen_port, settings.shards, settings.log_level) == (1, 3, "WARNING")
    found = {key: origins[key] for key in ("listen_port", "shards", "log_level", "drain_ms")}
    assert found == {
        "listen_port": str(file),
        "shards": "BAYSWITCH_SHARDS",
        "log_level": "command line",
        "drain_ms": "default",
    }
    assert origins.keys() == Settings.model_fields.keys()


def test_the_file_is_named_or_stands_beside_the_process(tmp_path: Path) -> None:
    assert load_settings({})[0].shards == 1
    written(tmp_path / "bayswitch.toml", "shards = 4")
    assert load_settings({})[0].shards == 4
    named = written(tmp_path / "other.toml", "shards = 5")
    assert load_settings({"BAYSWITCH_CONFIG": str(named)})[0].shards == 5


# text of the file -> what the error says
WRONG_FILES = """
nope = 1                      | unknown setting 'nope'
holdms = 1                    | did you mean 'hold_ms'?
listen_port = "many"          | listen_port (from here.toml)
listen_port = 70000           | less than or equal to 65535
rails = ["hkfps"]             | rails (from here.toml)
durability = "mostly"         | 'none', 'fsync' or 'replica'
hold_ms = 1                   | greater than or equal to 1000
[listen_port]                 | listen_port (from here.toml)
listen_port =                 | not TOML
"""


@pytest.mark.parametrize("row", [row for row in WRONG_FILES.strip().splitlines() if row])
def test_a_wrong_file_is_refused_and_named(row: str, tmp_path: Path) -> None:
    text, _, says = row.partition("|")
    written(tmp_path / "here.toml", text)
    with pytest.raises(ConfigError) as refused:
        load_settings({}, Path("here.toml"))
    assert "here.toml" in str(refused.value)
    assert says.strip() in str(refused.value)


# variable | its text | what the error says
WRONG_VARIABLES = """
BAYSWITCH_NOPE        | 1              | BAYSWITCH_NOPE: unknown setting 'nope'
BAYSWITCH_LISTEN_PORT | x              | listen_port (from BAYSWITCH_LISTEN_PORT)
BAYSWITCH_RAILS       | {"a":          | rails (from BAYSWITCH_RAILS)
BAYSWITCH_RAILS       | hkfps=1        | rails (from BAYSWITCH_RAILS)
BAYSWITCH_UVLOOP      | perhaps        | uvloop (from BAYSWITCH_UVLOOP)
BAYSWITCH_CONFIG      | absent.toml    | absent.toml: no such file
BAYSWITCH_CONFIG      | .              | cannot be read
"""


@pytest.mark.parametrize("row", WRONG_VARIABLES.strip().splitlines())
def test_a_wrong_variable_is_refused_and_named(row: str) -> None:
    name, text, says = (part.strip() for part in row.split("|"))
    with pytest.raises(ConfigError) as refused:
        load_settings({name: text})
    assert says in str(refused.value)


def test_what_other_parts_read_is_no_setting() -> None:
    names = ("BAYSWITCH_PURE_PYTHON", "BAYSWITCH_SERVER", "BAYSWITCH_PARTICIPANT")
    assert load_settings(dict.fromkeys(names, "x"))[0] == load_settings({})[0]


def test_an_error_does_not_repeat_a_secret() -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings({"BAYSWITCH_LISTEN_PORT": "hunter2", "BAYSWITCH_IDENTITY_KEY": "swordfish"})
    assert "hunter2" not in str(refused.value)
    assert "swordfish" not in str(refused.value)


# redis_url | as it is shown
URLS = """
redis://10.0.0.1:6379/0           redis://10.0.0.1:6379/0
redis://:pw@host/0                redis://:********@host/0
rediss://user:p@ss:w@host:1/0     rediss://user:********@host:1/0
unix:///run/v.sock?password=pw    unix:///run/v.sock?password=********
unix:///v.sock?password=pw&db=1   unix:///v.sock?password=********&db=1
"""


@pytest.mark.parametrize("row", URLS.strip().splitlines())
def test_of_a_url_only_the_password_is_masked(row: str) -> None:
    url, masked = row.split()
    settings, _ = load_settings({"BAYSWITCH_REDIS_URL": url})
    assert shown(settings, "redis_url") == masked


def test_secrets_are_masked_and_values_are_plain_data() -> None:
    settings, _ = load_settings({"BAYSWITCH_IDENTITY_KEY": "swordfish", "BAYSWITCH_OPERATORS": '["A", "B"]'})
    assert shown(settings, "identity_key") == "********"
    assert shown(load_settings({})[0], "identity_key") == ""
    assert shown(settings, "operators") == ["A", "B"]
    assert shown(settings, "data_dir") == "bayswitch-data"
    assert shown(settings, "tls_cert") is None
    assert "swordfish" not in repr(settings)
