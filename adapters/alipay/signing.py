"""RSA2 (SHA256withRSA, PKCS#1 v1.5, Base64) as the rail signs, and the JSON it signs; rails.md C5.

A request is signed over its parameters, an answer over the exact bytes of its `<method>_response` object: the members
of an answer are therefore found by position, and what is checked is what was sent, never what we would write.
Numbers are taken as their text, so no amount is ever a float; a member that stands twice is refused.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from adapters.kit.keys import load_or_make
from switch.errors import CodecError, ConfigError

__all__ = [
    "Rsa2Signer",
    "Rsa2Verifier",
    "Signer",
    "Verifier",
    "outer_members",
    "read_json",
    "signer_of",
    "string_to_sign",
    "verifier_of",
    "write_json",
]

_PADDING, _HASH = PKCS1v15(), SHA256()
_KEY_BITS: Final = 2048  # what the platform asks of RSA2
_SPACE: Final = re.compile(r"[ \t\n\r]*", re.ASCII)


class Signer(Protocol):
    """Makes the `sign` value of a text."""

    def sign(self, text: bytes) -> str: ...


class Verifier(Protocol):
    """Says whether a `sign` value belongs to a text."""

    def verifies(self, text: bytes, signature: str) -> bool: ...


class Rsa2Signer:
    """Signs with one private key."""

    def __init__(self, key: RSAPrivateKey) -> None:
        self._key = key

    def sign(self, text: bytes) -> str:
        return base64.b64encode(self._key.sign(text, _PADDING, _HASH)).decode("ascii")


class Rsa2Verifier:
    """Checks with one public key. Anything that is not a signature of the text, malformed Base64 too, is False."""

    def __init__(self, key: RSAPublicKey) -> None:
        self._key = key

    def verifies(self, text: bytes, signature: str) -> bool:
        try:
            self._key.verify(base64.b64decode(signature, validate=True), text, _PADDING, _HASH)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


def signer_of(keys_dir: Path, owner: str) -> Rsa2Signer:
    """The signer of `owner` ("app": the switch; "rail"), from `<owner>_private.pem`, made when there is none.

    Blocks (a new key takes tenths of a second); safe between processes. Raises ConfigError: not an RSA key in PEM.
    """
    return Rsa2Signer(_private_key(keys_dir, owner))


def verifier_of(keys_dir: Path, owner: str) -> Rsa2Verifier:
    """The check of what `owner` signs, from `<owner>_public.pem`; in a sandbox that is made from the private key.

    With the platform's own public key in place the platform's private key is never asked for. As `signer_of`.
    """
    path = keys_dir / f"{owner}_public.pem"
    try:
        key = load_pem_public_key(load_or_make(path, lambda: _public_pem(_private_key(keys_dir, owner))))
    except ValueError:
        raise ConfigError(f"{path.name} is not a public key in PEM") from None
    if not isinstance(key, RSAPublicKey):
        raise ConfigError(f"{path.name} is not an RSA key")
    return Rsa2Verifier(key)


def _private_key(keys_dir: Path, owner: str) -> RSAPrivateKey:
    path = keys_dir / f"{owner}_private.pem"
    try:
        key = load_pem_private_key(load_or_make(path, _new_private_pem), password=None)
    except (ValueError, TypeError):
        raise ConfigError(f"{path.name} is not a private key in PEM without a password") from None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigError(f"{path.name} is not an RSA key")
    return key


def _new_private_pem() -> bytes:
    key = generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _public_pem(key: RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def string_to_sign(parameters: Mapping[str, str]) -> bytes:
    """Non-empty parameters but `sign`, sorted by name, `k=v` joined by `&`, values not URL-encoded.

    `sign_type` stays in: this is the string of a request (rails.md C5; vector alipay_sign_string).
    """
    pairs = sorted((name, value) for name, value in parameters.items() if value and name != "sign")
    return "&".join(f"{name}={value}" for name, value in pairs).encode()


# --- JSON ------------------------------------------------------------------------------------------------------------
def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise CodecError("json", "TWICE")
    return members


def _no_constant(_: str) -> NoReturn:
    raise CodecError("json", "NUMBER")


_JSON: Final = json.JSONDecoder(
    object_pairs_hook=_no_twins, parse_float=str, parse_int=str, parse_constant=_no_constant, strict=True
)


_WRITER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))  # json.dumps makes one a call


def write_json(members: Mapping[str, Any]) -> str:
    """Values -> JSON text as the rail writes it: UTF-8, no spaces."""
    return _WRITER.encode(members)


def _value_at(text: str, place: int) -> tuple[Any, int]:
    try:
        return _JSON.raw_decode(text, place)
    except (ValueError, RecursionError):
        raise CodecError("json", "FORMAT") from None


def read_json(text: str) -> Any:
    """JSON text -> values, numbers as their text. Raises CodecError."""
    value, end = _value_at(text, _past_space(text, 0))
    if _past_space(text, end) != len(text):
        raise CodecError("json", "FORMAT")
    return value


def outer_members(text: str) -> dict[str, tuple[Any, str]]:
    """Members of the outer object, each with its value and the exact text it stood in. Raises CodecError."""

    def past(place: int, mark: str) -> int:
        place = _past_space(text, place)
        if not text.startswith(mark, place):
            raise CodecError("json", "FORMAT")
        return _past_space(text, place + 1)

    found: dict[str, tuple[Any, str]] = {}
    place = past(0, "{")
    while True:
        if not text.startswith('"', place):
            raise CodecError("json", "FORMAT")
        name, place = _value_at(text, place)
        begin = past(place, ":")
        value, end = _value_at(text, begin)
        if name in found:
            raise CodecError("json", "TWICE")
        found[name] = (value, text[begin:end])
        place = _past_space(text, end)
        if text.startswith("}", place):
            break
        place = past(place, ",")
    if _past_space(text, place + 1) != len(text):
        raise CodecError("json", "FORMAT")
    return found


def _past_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    assert match is not None
    return match.end()
