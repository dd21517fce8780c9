"""Settings: defaults, then a TOML file, then the environment (BAYSWITCH_*). Unknown keys are refused."""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from switch.errors import ConfigError
from switch.limits import (
    CLOCK_SKEW_MS_MAX,
    ENQUIRY_BACKOFF_MS_MAX,
    ENQUIRY_FIRST_MS,
    HOLD_MS_MAX,
    QUOTE_MS_DEFAULT,
    QUOTE_MS_MAX,
    RAIL_MESSAGE_VALID_MS,
    RETENTION_MS_DEFAULT,
    RETENTION_MS_MIN,
)

__all__ = ["ENVIRONMENT_PREFIX", "Settings", "load_settings", "shown"]

ENVIRONMENT_PREFIX = "BAYSWITCH_"
_FILE_VARIABLE = "BAYSWITCH_CONFIG"  # path of the TOML file; default: bayswitch.toml beside the process, if there
_NOT_SETTINGS = (
    _FILE_VARIABLE,
    "BAYSWITCH_PURE_PYTHON",  # which twin runs: switch/routing/__init__.py
    "BAYSWITCH_SERVER",  # where the command line's client calls, and as whom
    "BAYSWITCH_PARTICIPANT",
)
_URL_PASSWORD = re.compile(r"(?<=://)([^:/@]*:).*(?=@)|([?&]password=)[^&]*")
_MASK = "********"


def _json_text(value: object) -> object:
    """Lists and tables may come from the environment as JSON text; anything else is passed on to be judged."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.loads(value)
    return value


class Settings(BaseSettings):
    """Every setting, with its default. Times are milliseconds."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, env_prefix=ENVIRONMENT_PREFIX)

    # --- who may call, where
    listen_host: str = "127.0.0.1"
    listen_port: int = Field(7400, ge=0, le=65535)
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    demo_identity: bool = False  # loopback only: callers name themselves in metadata
    operators: Annotated[tuple[str, ...], BeforeValidator(_json_text)] = ("OPERATOR",)

    # --- the store
    data_dir: Path = Path("bayswitch-data")
    redis_url: SecretStr = SecretStr("")  # empty: an own Valkey in data_dir
    shards: int = Field(1, ge=1, le=1024)
    durability: Literal["none", "fsync", "replica"] = "fsync"

    retention_ms: int = Field(RETENTION_MS_DEFAULT, ge=RETENTION_MS_MIN)  # then an archived payment leaves the store

    # --- events
    kafka_bootstrap: str = ""  # empty: events stay in the outbox
    kafka_partitions: int = Field(12, ge=1)
    kafka_replication: int = Field(1, ge=1)
    kafka_min_in_sync: int = Field(1, ge=1)
    production: bool = False  # topics are never made by the way, and must be what these settings say, or nothing starts
    run_relay: bool = True  # False: `bayswitch relay` does it, in a process of its own
    run_settler: bool = True  # False: `bayswitch settler` does it
    # A settler's own name, the same after a restart: killed and started again it goes on at once, not after 10 seconds.
    settler_instance: str = Field("", pattern=r"^[A-Za-z0-9._-]{0,200}$")

    # --- the archive
    archive_url: SecretStr = SecretStr("")  # empty: a SQLite file in data_dir; else postgresql+psycopg://…

    # --- rules and rails
    rules_dir: Path | None = None  # None: the rules that ship with the switch
    rails: Annotated[dict[str, str], BeforeValidator(_json_text)] = {}  # rail -> host:port
    rail_institutions: Annotated[dict[str, str], BeforeValidator(_json_text)] = {}  # rail -> our code there
    rail_connections: int = Field(2, ge=1, le=64)
    rail_signing: bool = True  # False only for load tests
    identity_key: SecretStr = SecretStr("")  # of the hashes that person limits count; empty: made once in data_dir

    # --- times
    hold_ms: int = Field(HOLD_MS_MAX, ge=1_000)
    quote_ms: int = Field(QUOTE_MS_DEFAULT, ge=1_000, le=QUOTE_MS_MAX)
    enquiry_first_ms: int = Field(ENQUIRY_FIRST_MS, ge=10)
    enquiry_backoff_ms_max: int = Field(ENQUIRY_BACKOFF_MS_MAX, ge=10)
    rail_message_valid_ms: int = Field(RAIL_MESSAGE_VALID_MS, ge=500)
    clock_skew_ms: int = Field(CLOCK_SKEW_MS_MAX, ge=0)
    drain_ms: int = Field(20_000, ge=0)

    # --- who watches
    admin_host: str = "127.0.0.1"
    # /metrics and /healthz; -1: none, 0: any free one. Of several workers each takes the first that is free from here on.
    admin_port: int = Field(-1, ge=-1, le=65535)

    # --- process
    workers: int = Field(1, ge=1, le=64)  # more than one: as many processes share the port, under a supervisor
    uvloop: bool = True
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """load_settings merges the sources itself, so that every value's origin is known and no key is overlooked."""
        return (init_settings,)


def load_settings(
    environment: Mapping[str, str] = os.environ, file: Path | None = None, **overrides: Any
) -> tuple[Settings, dict[str, str]]:
    """The settings, and where each value came from ("default", the file's path, the variable's name, "command line").

    Raises:
        ConfigError: an unknown key, a value of the wrong kind, a file that is not TOML; names the setting.
    """
    values: dict[str, Any] = {}
    origins = dict.fromkeys(Settings.model_fields, "default")
    for source, found in (
        _from_file(environment, file),
        *((name, {key: text}) for name, key, text in _from_environment(environment)),
        ("command line", {key: value for key, value in overrides.items() if value is not None}),
    ):
        for key, value in found.items():
            if key not in Settings.model_fields:
                raise ConfigError(f"{source}: unknown setting {key!r}{_meant(key)}; `bayswitch config show` lists all")
            values[key] = value
            origins[key] = source
    try:
        return Settings(**values), origins
    except ValidationError as error:
        raise ConfigError(_explain(error, origins)) from None


def shown(settings: Settings, key: str) -> Any:
    """A setting's value as plain data for people and JSON: secrets masked, of an URL only its password."""
    value = getattr(settings, key)
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        return _URL_PASSWORD.sub(rf"\1\2{_MASK}", text) if key.endswith("_url") else _MASK if text else ""
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _meant(key: str) -> str:
    close = difflib.get_close_matches(key, Settings.model_fields, 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _from_file(environment: Mapping[str, str], file: Path | None) -> tuple[str, dict[str, Any]]:
    named = environment.get(_FILE_VARIABLE)
    path = file or (Path(named) if named else Path("bayswitch.toml"))
    if not path.exists():
        if file or named:
            raise ConfigError(f"{path}: no such file")
        return str(path), {}
    try:
        return str(path), tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    except UnicodeDecodeError:  # its text quotes the bytes, and a key may be among them
        raise ConfigError(f"{path}: not TOML: not UTF-8") from None


def _from_environment(environment: Mapping[str, str]) -> list[tuple[str, str, str]]:
    return [
        (name, name.removeprefix(ENVIRONMENT_PREFIX).lower(), text)
        for name, text in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name not in _NOT_SETTINGS
    ]


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    lines = []
    for item in error.errors(include_input=False, include_url=False):
        key = str(item["loc"][0]) if item["loc"] else ""
        lines.append(f"{key} (from {origins.get(key, '?')}): {item['msg']}")
    return "; ".join(lines)
