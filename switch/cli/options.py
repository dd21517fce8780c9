"""Options that many commands share, and how their texts become values."""

from contextvars import ContextVar
from pathlib import Path
from typing import Annotated

import typer

from switch.cli.client import Target
from switch.domain.money import Asset, parse_amount
from switch.errors import InvalidValue
from switch.settings import Settings, load_settings

__all__ = ["ConfigFile", "Json", "money", "settings_of", "target", "where"]

Json = Annotated[bool, typer.Option("--json", help="print JSON")]
_target: ContextVar[Target] = ContextVar("target")
ConfigFile = Annotated[Path | None, typer.Option("--config", help="settings file (TOML)")]


def where(
    server: Annotated[str, typer.Option(envvar="BAYSWITCH_SERVER", help="host:port of the switch")] = "127.0.0.1:7400",
    participant: Annotated[
        str, typer.Option("--as", help="who calls, on a demo server; otherwise the certificate says")
    ] = "",
    tls_ca: Annotated[Path | None, typer.Option(help="certificate authority of the server (PEM)")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="own certificate (PEM)")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="own key (PEM)")] = None,
) -> None:
    """Where the switch is and who calls: given before the command, kept for it."""
    _target.set(Target(server, participant, tls_ca, tls_cert, tls_key))


def target(default_participant: str = "") -> Target:
    """The target of the running command."""
    found = _target.get()
    return found if found.participant else found._replace(participant=default_participant)


def settings_of(config: Path | None) -> Settings:
    return load_settings(file=config)[0]


def money(text: str) -> tuple[str, int]:
    """'HKD 100.00' -> ('HKD', 10000). Raises typer.BadParameter with the rule."""
    asset, _, amount = text.strip().partition(" ")
    if asset not in Asset.__members__:
        raise typer.BadParameter(f"an amount is ASSET AMOUNT; assets: {', '.join(Asset.__members__)}")
    try:
        return asset, parse_amount(Asset[asset].iso, amount.strip())
    except InvalidValue as error:
        raise typer.BadParameter(f"{error.rule}: {error}") from None
