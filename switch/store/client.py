"""The link to the server or cluster: commands, scripts, one budget, one kind of error.

The client library's own retries are off: it repeats writes whose answer was lost. We repeat once, inside the budget,
when a connection broke, and only what is safe to repeat: reads, and scripts that find their own work done.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import hiredis
from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, PipelineCommand, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    MovedError,
    NoScriptError,
    RedisClusterException,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from switch.errors import ConfigError, StoreUnavailable
from switch.limits import STORE_CALL_MS_MAX, STORE_CONNECTIONS_MAX
from switch.store.scripts import Script

__all__ = ["Server", "connect"]

_BUDGET_S: Final = STORE_CALL_MS_MAX / 1000
# A replica tells how far its file is when it is asked, and is asked once per WAITAOF: at the first question the write is
# often not fsynced yet, and unasked it tells once a second. So: short waits first. A wait that finds the counts
# reached costs nothing. All of them end before the budget does.
_WAITS_MS: Final = (1, 4, 16, 64, 256, STORE_CALL_MS_MAX // 2)
_REPLICA_COPIES: Final = 1  # append-only files of replicas that must have a write before it counts
assert sum(_WAITS_MS) < STORE_CALL_MS_MAX


class Server:
    """One server or one cluster, and how sure a write must be before it is answered."""

    def __init__(self, client: Redis | RedisCluster, *, cluster: bool) -> None:
        self._client = client
        self.cluster = cluster
        self.wait_for_replica = False
        self._gate = asyncio.Semaphore(STORE_CONNECTIONS_MAX)

    async def read(self, *command: Any) -> Any:
        """A command that changes nothing, or the same each time. Raises StoreUnavailable."""
        return await self._budgeted([command], repeat=True, durable=False)

    async def write(self, *command: Any) -> Any:
        """A write that may be repeated. Raises StoreUnavailable."""
        return await self._budgeted([command], repeat=True, durable=True)

    async def run(self, script: Script, keys: Sequence[str], argv: Sequence[Any], *, repeat: bool = True) -> Any:
        """A script; all keys in one slot. Its source is sent only when the server does not know it.

        Raises:
            StoreUnavailable: no answer in STORE_CALL_MS_MAX, or fewer durable copies than promised.
        """
        tail = (len(keys), *keys, *argv)
        tries = (("EVALSHA", script.sha, *tail), ("EVAL", script.source, *tail))
        return await self._budgeted(tries, repeat=repeat, durable=True)

    async def _budgeted(self, tries: Sequence[tuple[Any, ...]], *, repeat: bool, durable: bool) -> Any:
        try:
            async with asyncio.timeout(_BUDGET_S), self._gate:
                try:
                    return await self._with_source(tries, durable)
                except BusyLoadingError:
                    raise  # it will load for longer than our budget
                except (RedisConnectionError, OSError):
                    if not repeat:
                        raise
                    return await self._with_source(tries, durable)
        except TimeoutError as error:
            raise StoreUnavailable(f"no answer in {STORE_CALL_MS_MAX} ms") from error
        except (RedisError, RedisClusterException, OSError) as error:
            raise StoreUnavailable(f"the server answered with {type(error).__name__}") from error

    async def _with_source(self, tries: Sequence[tuple[Any, ...]], durable: bool) -> Any:
        for command in tries[:-1]:
            try:
                return await self._once(command, durable)
            except NoScriptError:
                continue
        return await self._once(tries[-1], durable)

    async def _once(self, command: tuple[Any, ...], durable: bool) -> Any:
        if not (durable and self.wait_for_replica):
            return await self._client.execute_command(*command)
        answer, copies = await self._with_waitaof(command)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(copies, Exception):
            raise copies
        local, replicas = copies
        if local < 1 or replicas < _REPLICA_COPIES:
            raise StoreUnavailable(
                f"the write is in the append-only file of {local} of 1 server and {replicas} of {_REPLICA_COPIES} "
                "replicas; is the replica in step, with `appendonly yes`?"
            )
        return answer

    async def _with_waitaof(self, command: tuple[Any, ...]) -> tuple[Any, Any]:
        """The command and WAITAOF behind it, on one connection, in one round trip. Errors come as values."""
        commands = (command, *(("WAITAOF", 1, _REPLICA_COPIES, wait_ms) for wait_ms in _WAITS_MS))
        if isinstance(self._client, RedisCluster):
            answers = await self._in_cluster(self._client, commands)
        else:
            async with self._client.pipeline(transaction=False) as pipe:
                for one in commands:
                    pipe.execute_command(*one)
                answers = await pipe.execute(raise_on_error=False)
        return answers[0], answers[-1]

    @staticmethod
    async def _in_cluster(client: RedisCluster, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        key = commands[0][3] if commands[0][0] in ("EVALSHA", "EVAL") else commands[0][1]
        for last in (False, True):
            node: ClusterNode | None = client.get_node_from_key(key)
            if node is None:
                raise RedisClusterException("no node serves this slot")
            sent = [PipelineCommand(place, *command) for place, command in enumerate(commands)]
            await node.execute_pipeline(sent)
            if last or not isinstance(sent[0].result, MovedError):
                break
            await client.execute_command("EXISTS", key)  # follows the move, and the map of slots with it
        return [one.result for one in sent]

    async def everywhere(self, *command: Any) -> list[Any]:
        """The answer of every master. Raises StoreUnavailable."""
        if not isinstance(self._client, RedisCluster):
            return [await self.read(*command)]
        client = self._client
        try:
            async with asyncio.timeout(_BUDGET_S):
                nodes = client.get_primaries()
                return list(
                    await asyncio.gather(*(client.execute_command(*command, target_nodes=node) for node in nodes))
                )
        except (TimeoutError, RedisError, OSError) as error:
            raise StoreUnavailable(f"the cluster answered with {type(error).__name__}") from error

    async def close(self) -> None:
        await self._client.aclose()


class _PackedInC:
    """Commands become bytes in hiredis: a group has thousands of arguments, and the library's own loop is Python."""

    def pack_command(self, *args: Any) -> list[bytes]:
        return [hiredis.pack_command(args)]


def _fast(base: type) -> type:
    return type(f"Fast{base.__name__}", (_PackedInC, base), {})


async def connect(url: str) -> Server:
    """A link to `url` (redis://, rediss://, unix://); whether it is a cluster, the server says itself.

    Raises:
        ConfigError: the URL is none, or the server wants other credentials.
        StoreUnavailable: nobody answers there now.
    """
    options: dict[str, Any] = {
        "retry": Retry(NoBackoff(), 0),
        "max_connections": STORE_CONNECTIONS_MAX,
        "protocol": 2,
        "socket_timeout": None,  # one budget around every call, waiting for a connection included
        "socket_connect_timeout": _BUDGET_S,
    }
    try:
        client = Redis.from_url(url, **options)
    except ValueError as error:
        raise ConfigError("redis_url: redis://host:port, rediss://host:port or unix:///path is wanted") from error
    client.connection_pool.connection_class = _fast(client.connection_pool.connection_class)
    opened: Redis | RedisCluster = client
    try:
        async with asyncio.timeout(_BUDGET_S):
            cluster = (await client.info("cluster")).get("cluster_enabled") == 1
        if cluster:
            await client.aclose()
            opened = RedisCluster.from_url(url, **options)
            settings = opened.nodes_manager.connection_kwargs  # what every node found from now on is made with
            settings["connection_class"] = _fast(settings["connection_class"])
            async with asyncio.timeout(_BUDGET_S):
                await opened.initialize()
        return Server(opened, cluster=cluster)
    except AuthenticationError as error:
        await opened.aclose()
        raise ConfigError("redis_url: the server refuses these credentials") from error
    except (TimeoutError, RedisError, RedisClusterException, OSError) as error:
        await opened.aclose()
        raise StoreUnavailable(f"no usable server there: {type(error).__name__}") from error
