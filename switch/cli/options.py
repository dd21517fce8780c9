"""Options that many commands share."""

from contextvars import ContextVar
from pathlib import Path
from typing import Annotated

import typer

from switch.cli.client import Target
from switch.settings import Settings, load_settings

__all__ = ["ConfigFile", "Json", "settings_of", "target", "where"]

Json = Annotated[bool, typer.Option("--json", help="print JSON")]
_target: ContextVar[Target] = ContextVar("target")
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="settings file (TOML); else BAYSWITCH_CONFIG, else ./bayswitch.toml")
]


def where(
    server: Annotated[str, typer.Option(envvar="BAYSWITCH_SERVER", help="host:port of the switch")] = "127.0.0.1:7400",
    participant: Annotated[
        str,
        typer.Option(
            "--as", envvar="BAYSWITCH_PARTICIPANT", help="who calls, on a demo server; else the certificate says"
        ),
    ] = "",
    tls_ca: Annotated[Path | None, typer.Option(help="certificate authority of the server (PEM)")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="own certificate (PEM)")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="own key (PEM)")] = None,
) -> None:
    """Where the switch is and who calls: given before the command, kept for it."""
    if (tls_cert is None) != (tls_key is None):
        raise typer.BadParameter("--tls-cert and --tls-key go together")
    if tls_cert is not None and tls_ca is None:
        raise typer.BadParameter("--tls-ca is missing: an own certificate goes with the server's authority")
    _target.set(Target(server, participant, tls_ca, tls_cert, tls_key))


def target(default_participant: str = "") -> Target:
    """The target of the running command."""
    found = _target.get()
    return found if found.participant else found._replace(participant=default_participant)


def settings_of(config: Path | None) -> Settings:
    """Raises ConfigError: exit code 2, with the setting to change."""
    return load_settings(file=config)[0]
