"""Store, archive and broker of the settings, for commands that work beside the services."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from switch.app import connect_archive, connect_store
from switch.archive import SqlArchive
from switch.errors import ConfigError
from switch.settings import Settings
from switch.store import Store

__all__ = ["broker_of", "opened_books", "opened_store"]


@asynccontextmanager
async def opened_store(settings: Settings) -> AsyncIterator[Store]:
    """The store of the settings; an embedded one is joined when a switch runs on it, and never made anew to look at."""
    if not settings.redis_url.get_secret_value() and not settings.data_dir.is_dir():
        raise ConfigError(f"data_dir: there is no store in {settings.data_dir.absolute()}; name that of the switch")
    store = await connect_store(settings)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def opened_books(settings: Settings) -> AsyncIterator[tuple[Store, SqlArchive]]:
    """The store, and the archive that answers for what left it. A store that is not there is made: for whoever fills it."""
    archive = connect_archive(settings)
    try:
        store = await connect_store(settings, archive)
        try:
            yield store, archive
        finally:
            await store.close()
    finally:
        await archive.close()


def broker_of(settings: Settings, instead: str = "") -> str:
    """Where the broker is. Raises ConfigError: nowhere, so there are no topics; `instead` says what helps."""
    if not settings.kafka_bootstrap:
        raise ConfigError(f"kafka_bootstrap: not set, so there is no topic{instead}")
    return settings.kafka_bootstrap
