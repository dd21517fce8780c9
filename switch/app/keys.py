"""The switch's own key: what it hashes identities with, and seals the notes that it sends itself."""

import hashlib
import hmac
import secrets
from collections.abc import Callable

from adapters.kit.keys import load_or_make
from switch.errors import ConfigError
from switch.settings import Settings

__all__ = ["identity_hash", "note_key"]


def identity_hash(settings: Settings) -> Callable[[str], str]:
    """Keyed hash of an identity, 128 bits as hex: what person limits count. Raises ConfigError: as `_identity_key`."""
    key = _identity_key(settings)
    return lambda identity: hmac.digest(key, identity.encode(), hashlib.sha256)[:16].hex()


def note_key(settings: Settings) -> bytes:
    """Seals the notes in settlement facts. Raises ConfigError: as `_identity_key`."""
    return hmac.digest(_identity_key(settings), b"note", hashlib.sha256)


def _identity_key(settings: Settings) -> bytes:
    """Made once, in the data directory, and never leaves it; switches that share a store share the setting.

    Raises ConfigError: the key cannot be read or kept.
    """
    key = settings.identity_key.get_secret_value().encode()
    path = settings.data_dir / "identity.key"
    try:
        return key or load_or_make(path, lambda: secrets.token_bytes(32))
    except OSError as error:
        raise ConfigError(f"data_dir: {path} cannot be kept: {error.strerror}") from None
