"""Notes: what the switch sends itself through the log, to answer for a payment that its store lost or let go.

A note is the payment's record with every personal value masked, enciphered as a whole. A mask is a keyed hash salted
with the UETR: the same person has another mask in every payment, and a repeat of a request can still be compared with
what was first asked, field by field. AES-SIV (RFC 5297) has no nonce: the same payment always gives the same bytes,
whoever seals it and however often, so that an event that is published twice is the same event.
"""

import hmac
from collections.abc import Callable
from hashlib import sha256, sha512
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from switch.domain.instruction import Instruction, differing_field, masked
from switch.domain.payment import Payment
from switch.errors import ConfigError
from switch.store.packing import pack_payment, unpack_payment

__all__ = ["MASK_BYTES", "NOTE_KEY_BYTES", "Notes"]

NOTE_KEY_BYTES: Final = 32
MASK_BYTES: Final = 6  # two values of one field of one payment share a mask once in 2^48


class Notes:
    """Seals and opens notes with one key, which all switches of one store and log share."""

    def __init__(self, key: bytes) -> None:
        """Raises ConfigError: a key has NOTE_KEY_BYTES."""
        if len(key) != NOTE_KEY_BYTES:
            raise ConfigError(f"note_key: {NOTE_KEY_BYTES} bytes are wanted")
        self.cipher = AESSIV(hmac.digest(key, b"note cipher", sha512))  # 64 bytes: AES-256
        self.mask_key = hmac.digest(key, b"note mask", sha256)

    def seal(self, payment: Payment) -> bytes:
        """The note of a payment. Equal payments give equal bytes; one that is masked already stays as it is."""
        return self.cipher.encrypt(pack_payment(self.masked(payment)), [payment.hold.uetr.encode()])

    def open(self, uetr: str, note: bytes) -> Payment:
        """The masked payment of a note.

        Raises:
            ConfigError: sealed with another key, for another payment, or damaged on the way.
        """
        return unpack_payment(self.record(uetr, note))

    def record(self, uetr: str, note: bytes) -> bytes:
        """The packed record of a note, as the store keeps it. Raises as `open`."""
        try:
            return self.cipher.decrypt(note, [uetr.encode()])
        except InvalidTag:
            raise ConfigError(f"identity_key: the note of payment {uetr} is not one that this key has sealed") from None

    def masked(self, payment: Payment) -> Payment:
        """The payment without personal values; entries, charges and history are as they were."""
        hold = payment.hold
        if hold.masked:
            return payment
        hidden = masked(hold.instruction, self._mask(hold.uetr))
        return payment._replace(hold=hold._replace(instruction=hidden, masked=True))

    def differing_field(self, earlier: Payment, instruction: Instruction) -> str:
        """Path of the first field in which `instruction` differs from what was first asked, "" when equal.

        `earlier` may be masked: then values are compared by their masks.
        """
        if earlier.hold.masked:
            instruction = masked(instruction, self._mask(earlier.hold.uetr))
        return differing_field(earlier.instruction, instruction)

    def _mask(self, uetr: str) -> Callable[[str, str], str]:
        def mask(path: str, value: str) -> str:
            return hmac.digest(self.mask_key, f"{uetr}|{path}|{value}".encode(), sha256)[:MASK_BYTES].hex()

        return mask
