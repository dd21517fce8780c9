"""Page and resume tokens: opaque to the caller, bound to the question they answer, checked when they come back."""

import base64
import binascii
import hashlib
from typing import Final

from switch.api.fields import wrong

__all__ = ["seal", "unseal"]

_MARK_BYTES: Final = 6
_TOKEN_CHARS_MAX: Final = 256  # ours are under 160


def seal(question: str, place: str) -> str:
    """A token for `place`, the store's own word for where to go on. It fits only the same `question`.

    The mark is no secret and guards no right (every question names its participant): it catches tokens of another
    list, another filter or another caller, and tokens cut short.
    """
    raw = place.encode()
    return base64.urlsafe_b64encode(_mark(question, raw) + raw).rstrip(b"=").decode()


def unseal(question: str, token: str, field: str) -> str:
    """The place a token stands for. Raises Refused FIELD_INVALID (rule TOKEN) when it is not one of this question."""
    if len(token) <= _TOKEN_CHARS_MAX and token.isascii():
        try:
            packed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except binascii.Error:
            packed = b""
        mark, raw = packed[:_MARK_BYTES], packed[_MARK_BYTES:]
        if raw and mark == _mark(question, raw):
            return raw.decode()
    return wrong(field, "TOKEN", "a token is used as it was given, with the same question")


def _mark(question: str, raw: bytes) -> bytes:
    return hashlib.blake2b(raw, digest_size=_MARK_BYTES, key=hashlib.sha256(question.encode()).digest()).digest()
