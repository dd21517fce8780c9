"""What the server says of its durability, what may therefore be promised, and the setting to change when it is less.

none      anything goes: a load test, a laptop
fsync     an acknowledged payment is in an append-only file, fsynced before the answer; nothing is ever evicted
replica   as fsync, and in the fsynced append-only file of one replica, too: WAITAOF is read after every group
"""

from typing import Any, Final

from switch.errors import ConfigError
from switch.ports import Durability
from switch.store.client import Server

__all__ = ["LEVELS", "ask_durability", "check_durability"]

LEVELS: Final = ("none", "fsync", "replica")
_SETTINGS: Final = ("appendonly", "appendfsync", "maxmemory-policy")


async def ask_durability(server: Server) -> Durability:
    """Ask now; of a cluster, the weakest answer of its masters. Raises StoreUnavailable."""
    settings = [_texts(answer) for answer in await server.everywhere("CONFIG", "GET", *_SETTINGS)]
    infos = await server.everywhere("INFO")
    replicas = min(int(info.get("connected_slaves", 0)) for info in infos)
    appendonly = all(one.get("appendonly") == "yes" for one in settings)
    appendfsync = _weakest([one.get("appendfsync", "no") for one in settings], ("no", "everysec", "always"))
    policies = {one.get("maxmemory-policy", "") for one in settings}
    policy = "noeviction" if policies == {"noeviction"} else ", ".join(sorted(policies - {"noeviction"}))
    promise = _promise(appendonly, appendfsync, policy, server.wait_for_replica)
    return Durability(_server(infos[0]), appendonly, appendfsync, policy, replicas, server.cluster, promise)


def _texts(answer: Any) -> dict[str, str]:
    """CONFIG GET as the client hands it over: a flat list, or pairs already made."""
    pairs = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=True)
    return {_text(name): _text(value) for name, value in pairs}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _weakest(values: list[str], order: tuple[str, ...]) -> str:
    return min(values, key=lambda value: order.index(value) if value in order else 0)


def _server(info: dict[str, Any]) -> str:
    if version := info.get("valkey_version"):
        return f"valkey {version}"
    return f"redis {info.get('redis_version', '?')}"


def _promise(appendonly: bool, appendfsync: str, policy: str, replica: bool) -> str:
    if policy != "noeviction":
        return f"nothing: maxmemory-policy {policy} may throw payments away"
    if not appendonly:
        return "an acknowledged payment is lost when the server ends"
    if appendfsync != "always":
        return "about a second of acknowledged payments is lost with the server's machine"
    if replica:
        return "an acknowledged payment outlives the loss of one server's disk"
    return "an acknowledged payment outlives a power cut of the server, not the loss of its disk"


async def check_durability(server: Server, required: str) -> Durability:
    """Refuse to start on less than was promised, and from now on hold every write to it. Returns what was found.

    Raises:
        ConfigError: names the setting to change.
        StoreUnavailable: the server does not answer.
    """
    if required not in LEVELS:
        raise ConfigError(f"durability: one of {', '.join(LEVELS)} is wanted")
    found = await ask_durability(server)
    if required == "none":
        return found
    wanted = (
        ("appendonly", "yes" if found.appendonly else "no", "yes"),
        ("appendfsync", found.appendfsync, "always"),
        ("maxmemory-policy", found.maxmemory_policy, "noeviction"),
    )
    for setting, is_now, needed in wanted:
        if is_now != needed:
            raise ConfigError(
                f"durability={required} needs `{setting} {needed}` on the store's server, which has {is_now}: "
                f"change it there, or set BAYSWITCH_DURABILITY=none and promise nothing"
            )
    if required == "replica":
        if found.replicas < 1:
            raise ConfigError("durability=replica needs a replica of every master of the store, with `appendonly yes`")
        server.wait_for_replica = True
        return await ask_durability(server)
    return found
