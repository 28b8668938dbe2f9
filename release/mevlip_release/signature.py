"""Verifies a minisign signature: Ed25519 over the file or its BLAKE2b hash, as `minisign -S` writes it."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from mevlip.core.errors import EnvironmentProblem
from mevlip_release.docker_client import InvalidImage

_COMMENT, _TRUSTED = b"untrusted comment: ", b"trusted comment: "
_PLAIN, _HASHED = b"Ed", b"ED"
_KEY_BYTES, _SIGNATURE_BYTES, _GLOBAL_BYTES = 42, 74, 64
_SIGN = "Sign it again: minisign -Sm SHA256SUMS"


@dataclass(frozen=True)
class PublicKey:
    """A minisign public key.

    Attributes:
        id: Its number, which its signatures repeat.
        key: The Ed25519 key, 32 bytes.
    """

    id: bytes
    key: bytes

    @property
    def name(self) -> str:
        """The number as minisign shows it."""
        return self.id[::-1].hex().upper()


def read_public_key(content: bytes, owner: str) -> PublicKey:
    """Reads a public key file.

    Raises:
        EnvironmentProblem: It is not one.
    """
    lines = content.splitlines()
    data = _decode(lines[1], _KEY_BYTES) if len(lines) == 2 and lines[0].startswith(_COMMENT) else None
    if data is None or not data.startswith(_PLAIN):
        raise EnvironmentProblem(f"{owner} is not a minisign public key", "Name the .pub file of minisign -G.")
    return PublicKey(data[2:10], data[10:])


def verify_signature(data: bytes, signature: bytes, key: PublicKey, owner: str) -> str:
    """Verifies that the holder of a key signed a file and the comment in the signature.

    Args:
        data: The signed file.
        signature: The content of its .minisig file.
        key: The signer's key.
        owner: What to call the signature in messages.

    Returns:
        The trusted comment.

    Raises:
        InvalidImage: The signature is damaged, belongs to another key, or the file was altered.
        EnvironmentProblem: The package `cryptography` is not installed.
    """
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ModuleNotFoundError as error:
        raise EnvironmentProblem("cryptography is not installed", "Run: pip install 'me-vlip[image]'") from error
    lines = signature.splitlines()
    whole = len(lines) == 4 and lines[0].startswith(_COMMENT) and lines[2].startswith(_TRUSTED)
    signed = _decode(lines[1], _SIGNATURE_BYTES) if whole else None
    both = _decode(lines[3], _GLOBAL_BYTES) if whole else None
    if signed is None or both is None or signed[:2] not in (_PLAIN, _HASHED):
        raise InvalidImage(f"{owner} is not a minisign signature", _SIGN)
    if signed[2:10] != key.id:
        raise InvalidImage(f"{owner} was made with another key than {key.name}", "Name the signer's public key.")
    comment = lines[2].removeprefix(_TRUSTED)
    message = hashlib.blake2b(data).digest() if signed[:2] == _HASHED else data
    verifier = Ed25519PublicKey.from_public_bytes(key.key)
    try:
        verifier.verify(signed[10:], message)
        verifier.verify(both, signed[10:] + comment)
    except InvalidSignature as error:
        raise InvalidImage(f"{owner} does not match: the file or the comment was altered", _SIGN) from error
    return comment.decode("utf-8", "replace")


def _decode(line: bytes, size: int) -> bytes | None:
    """Decodes a line of base64; None where it is not one of so many bytes."""
    try:
        data = base64.b64decode(line, validate=True)
    except binascii.Error:
        return None
    return data if len(data) == size else None
