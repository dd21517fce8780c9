"""SM2 over SM3 for the signature, SM2 for the message key, SM4 for the sensitive fields.

Behind the small port `Signer`, so that a hardware module or a faster library replaces one class. gmssl's SM2 is pure
Python and slow: measured on one core of a small cloud machine, a signature takes 6 ms, a check 10 ms, an envelope 9 ms
and opening it 6 ms, so one core signs and checks some 40 payments a second. `Bench` keeps that off the event loop. SM3
and SM4 are OpenSSL's and take microseconds.

gmssl gives the curve arithmetic and the signature equation. Around it, because gmssl does not: nonces come from the
system's random source (its own come from a predictable one), r and s are checked for their range, a received point is
checked to lie on the curve, and the digest inside an envelope is compared.
"""

import asyncio
import base64
import binascii
import hmac
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from gmssl.sm2 import CryptSM2, default_ecc_table

from adapters.kit.keys import load_or_make
from switch.errors import CodecError, ConfigError, RailUnavailable

__all__ = [
    "Bench",
    "KeyPair",
    "NoSigner",
    "Signer",
    "Sm2Signer",
    "load_pair",
    "open_text",
    "seal_text",
    "signer_for",
    "sm3",
]

MESSAGE_KEY_BYTES: Final = 16  # SM4
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_HEX: Final = 64  # of one coordinate, a scalar or an SM3 digest
_USER_ID: Final = b"1234567812345678"  # the default of GM/T 0009; the id the rail's centre takes is not public

_N: Final = int(default_ecc_table["n"], 16)
_P: Final = int(default_ecc_table["p"], 16)
_A: Final = int(default_ecc_table["a"], 16)
_B: Final = int(default_ecc_table["b"], 16)
_G: Final[str] = default_ecc_table["g"]

T = TypeVar("T")


class Signer(Protocol):
    """One end's keys: signs what it writes, checks what the other end wrote, exchanges message keys."""

    enabled: bool
    serial: str  # SSN of what we write: which key signed
    peer_serial: str  # NSN of what we write: which key the envelope is for

    def sign(self, body: bytes) -> str:
        """The DSG of `body`. Two signatures of one body differ."""
        ...

    def verify(self, body: bytes, signature: str) -> bool:
        """Whether `signature` is the other end's over `body`; anything malformed is False."""
        ...

    def wrap(self, key: bytes) -> str:
        """The DEP that only the other end opens."""
        ...

    def unwrap(self, envelope: str) -> bytes:
        """The key of a DEP made for us. Raises CodecError DEP."""
        ...


class KeyPair(NamedTuple):
    """`private` is a scalar, `public` the point; both hexadecimal, the point without its 04."""

    private: str
    public: str

    @property
    def serial(self) -> str:
        return _serial(self.public)


class NoSigner:
    """Signing is off (RailOptions.signing False): nothing is signed, nothing is encrypted, everything is believed."""

    enabled = False
    serial = ""
    peer_serial = ""

    def sign(self, body: bytes) -> str:
        return ""

    def verify(self, body: bytes, signature: str) -> bool:
        return True

    def wrap(self, key: bytes) -> str:
        return ""

    def unwrap(self, envelope: str) -> bytes:
        raise CodecError("DEP", "ENCRYPTED")  # a message for a signing end cannot be read by one that does not


class Sm2Signer:
    """SM2 with SM3, by gmssl. Every call is computed at once and takes milliseconds; safe from several threads."""

    enabled = True

    def __init__(self, own: KeyPair, peer_public: str) -> None:
        self.serial, self.peer_serial = own.serial, _serial(peer_public)
        self._own, self._peer_public = own, peer_public
        self._own_curve, self._peer_curve = _curve(own.private, own.public), _curve("", peer_public)
        self._own_identity, self._peer_identity = _identity(own.public), _identity(peer_public)

    def sign(self, body: bytes) -> str:
        digest = sm3(self._own_identity + body)
        while True:
            # None: this nonce gives r or s of 0 (once in 2^255); take another.
            text: str | None = self._own_curve.sign(digest, f"{_scalar():0{_HEX}x}")
            if text is not None:
                return base64.b64encode(bytes.fromhex(text)).decode("ascii")

    def verify(self, body: bytes, signature: str) -> bool:
        try:
            raw = base64.b64decode(signature, validate=True)
        except (binascii.Error, ValueError):
            return False
        r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
        if len(raw) != _HEX or not 0 < r < _N or not 0 < s < _N or (r + s) % _N == 0:
            return False
        return bool(self._peer_curve.verify(raw.hex(), sm3(self._peer_identity + body)))

    def wrap(self, key: bytes) -> str:
        assert len(key) == MESSAGE_KEY_BYTES
        scalar = _scalar()
        point = bytes.fromhex(_times(scalar, _G))
        shared = bytes.fromhex(_times(scalar, self._peer_public))
        masked = _mask(key, shared)
        return base64.b64encode(point + _proof(shared, key) + masked).decode("ascii")  # C1 C3 C2

    def unwrap(self, envelope: str) -> bytes:
        try:
            raw = base64.b64decode(envelope, validate=True)
        except (binascii.Error, ValueError):
            raise CodecError("DEP", "FORMAT") from None
        point, proof, masked = raw[:64], raw[64:96], raw[96:]
        if len(masked) != MESSAGE_KEY_BYTES or not _on_curve(point):
            raise CodecError("DEP", "FORMAT")
        shared = bytes.fromhex(_times(int(self._own.private, 16), point.hex()))
        key = _mask(masked, shared)
        if not hmac.compare_digest(proof, _proof(shared, key)):
            raise CodecError("DEP", "KEY")
        return key


# --- SM2, around gmssl's arithmetic ----------------------------------------------------------------------------------
def sm3(data: bytes) -> bytes:
    """The SM3 digest, 32 bytes."""
    digest = hashes.Hash(hashes.SM3())
    digest.update(data)
    return digest.finalize()


def _curve(private: str, public: str) -> CryptSM2:
    curve = CryptSM2(private, public)
    curve.public_key = public  # the constructor strips leading 0s and 4s of a point, which belong to one in eight
    return curve


def _times(scalar: int, point: str) -> str:
    """`scalar` times `point`, hexadecimal x and y."""
    product: str = _curve("", "")._kg(scalar, point)
    return product


def _scalar() -> int:
    return secrets.randbelow(_N - 2) + 1


def _serial(public: str) -> str:
    """16 hexadecimal digits that name a key; stands for the serial number of its certificate."""
    return sm3(bytes.fromhex(public)).hex()[:16].upper()


def _identity(public: str) -> bytes:
    """Z of the standard: the digest of the signer's id, the curve and its key, that precedes every signed text."""
    curve = "".join(default_ecc_table[name] for name in "abg")
    return sm3((len(_USER_ID) * 8).to_bytes(2, "big") + _USER_ID + bytes.fromhex(curve + public))


def _on_curve(point: bytes) -> bool:
    x, y = int.from_bytes(point[:32], "big"), int.from_bytes(point[32:], "big")
    return len(point) == 64 and x < _P and y < _P and (y * y - (x * x * x + _A * x + _B)) % _P == 0


def _mask(text: bytes, shared: bytes) -> bytes:
    """Key derivation for one SM3 block, which a message key fits in: first counter only."""
    stream = sm3(shared + (1).to_bytes(4, "big"))
    return bytes(one ^ other for one, other in zip(text, stream, strict=False))


def _proof(shared: bytes, text: bytes) -> bytes:
    return sm3(shared[:32] + text + shared[32:])


# --- keys ------------------------------------------------------------------------------------------------------------
def load_pair(keys_dir: Path, name: str) -> KeyPair:
    """The key pair `name`.sm2 of the sandbox, made by whoever comes first. Repeats give the same pair.

    Raises:
        ConfigError: the file holds no SM2 key.
    """
    raw = load_or_make(keys_dir / f"{name}.sm2", _make)
    private, _, public = raw.decode("ascii", "replace").strip().partition(" ")
    try:
        good = 0 < int(private, 16) < _N - 1 and _on_curve(bytes.fromhex(public))
    except ValueError:
        good = False
    if not good:
        raise ConfigError(f"{name}.sm2 holds no SM2 key pair; delete it, and a new one is made")
    return KeyPair(private, public)


def signer_for(signing: bool, keys_dir: Path, own: str, peer: str) -> Signer:
    """The signer of the end named `own`, which talks to `peer`. With `signing` off no key is made or read."""
    if not signing:
        return NoSigner()
    return Sm2Signer(load_pair(keys_dir, own), load_pair(keys_dir, peer).public)


def _make() -> bytes:
    scalar = _scalar()
    return f"{scalar:0{_HEX}x} {_times(scalar, _G)}\n".encode("ascii")


# --- SM4 -------------------------------------------------------------------------------------------------------------
def seal_text(key: bytes, name: str, text: str) -> str:
    """One field under SM4-GCM: base64 of nonce, ciphertext, tag; bound to the field's name. The mode is ours."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    encryptor = Cipher(algorithms.SM4(key), modes.GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(name.encode())
    sealed = encryptor.update(text.encode()) + encryptor.finalize()
    return base64.b64encode(nonce + sealed + encryptor.tag).decode("ascii")


def open_text(key: bytes, name: str, sealed: str) -> str:
    """The text of a sealed field. Raises CodecError: the field's name, FORMAT or KEY."""
    try:
        raw = base64.b64decode(sealed, validate=True)
    except (binascii.Error, ValueError):
        raise CodecError(name, "FORMAT") from None
    if len(raw) < _NONCE_BYTES + _TAG_BYTES:
        raise CodecError(name, "FORMAT")
    nonce, body, tag = raw[:_NONCE_BYTES], raw[_NONCE_BYTES:-_TAG_BYTES], raw[-_TAG_BYTES:]
    decryptor = Cipher(algorithms.SM4(key), modes.GCM(nonce, tag)).decryptor()
    decryptor.authenticate_additional_data(name.encode())
    try:
        return (decryptor.update(body) + decryptor.finalize()).decode()
    except (InvalidTag, UnicodeDecodeError):
        raise CodecError(name, "KEY") from None


# --- off the loop ----------------------------------------------------------------------------------------------------
class Bench:
    """One worker thread for the curve arithmetic of one rail client, with a bounded queue.

    It makes nothing faster (the arithmetic holds the interpreter), but a loop that stands still for 25 ms a payment
    becomes one that gets a turn every 5 ms. With signing off the work is microseconds and is done in place.
    """

    WAITING_MAX: Final = 256  # some 4 s of signatures; a payment behind more of them would be late anyway

    def __init__(self, enabled: bool) -> None:
        self._pool = ThreadPoolExecutor(1, "sm2") if enabled else None
        self._waiting = 0
        self._closed = False

    async def run(self, work: Callable[[], T]) -> T:
        """`work()`. After a cancel it may still be computed; its result is dropped.

        Raises:
            RailUnavailable: closed, or too much waits: nothing was done.
        """
        if self._pool is None:
            return work()
        if self._ended() or self._waiting >= self.WAITING_MAX:
            raise RailUnavailable("SM2: closed, or too many messages wait")
        task = asyncio.current_task()
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except asyncio.CancelledError:
            if self._ended() and task is not None and not task.cancelling():
                raise RailUnavailable("SM2: closed") from None  # the pool cancelled it, nobody cancelled us
            raise
        finally:
            self._waiting -= 1

    def _ended(self) -> bool:
        return self._closed

    def close(self) -> None:
        """What has not begun ends with RailUnavailable. Repeats change nothing."""
        self._closed = True
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
