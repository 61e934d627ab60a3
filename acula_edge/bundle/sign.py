"""Verifies minisign signatures (https://jedisct1.github.io/minisign/#signature-format).

Signing is left to the `minisign` command: `minisign -S -s KEY -m SHA256SUMS`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from pathlib import Path

from acula_edge.errors import BundleError, MissingDependencyError

_LEGACY, _PREHASHED = b"Ed", b"ED"
_KEY_BYTES, _SIGNATURE_BYTES, _GLOBAL_BYTES = 42, 74, 64
_COMMENT, _TRUSTED = "untrusted comment:", "trusted comment: "


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 key (32 bytes) and minisign's identifier of it (8 bytes)."""

    identifier: bytes
    key: bytes


@dataclass(frozen=True)
class Signature:
    """A parsed `.minisig`: `signature` signs the file, `whole` signs that and the comment."""

    prehashed: bool
    identifier: bytes
    signature: bytes
    trusted_comment: str
    whole: bytes


def read_public_key(key: str | Path) -> PublicKey:
    """The key in a `minisign.pub` file, or given as its base64 text; BundleError if it is none."""
    raw = _decode(key, _KEY_BYTES) if isinstance(key, str) else None
    if raw is None:
        raw = _decode(_key_line(Path(key)), _KEY_BYTES)
    if raw is None or raw[:2] != _LEGACY:
        raise BundleError(f"{key}: is not a minisign public key")
    return PublicKey(raw[2:10], raw[10:])


def parse_signature(text: str, name: str) -> Signature:
    """The signature in the four lines of `text`; BundleError naming `name` if it is none."""
    lines = text.splitlines()
    if len(lines) != 4 or not lines[0].startswith(_COMMENT) or not lines[2].startswith(_TRUSTED):
        raise BundleError(f"{name}: is not a minisign signature")
    raw, whole = _decode(lines[1], _SIGNATURE_BYTES), _decode(lines[3], _GLOBAL_BYTES)
    if raw is None or whole is None or raw[:2] not in (_LEGACY, _PREHASHED):
        raise BundleError(f"{name}: is not a minisign signature")
    comment = lines[2].removeprefix(_TRUSTED)
    return Signature(raw[:2] == _PREHASHED, raw[2:10], raw[10:], comment, whole)


def verify(message: bytes, signature: bytes, key: PublicKey, name: str) -> str:
    """The trusted comment, once the key's signature of `message` and of the comment was verified.

    `signature` is the content of the `.minisig` file called `name`. BundleError if it is of another
    key or does not match; MissingDependencyError without `cryptography`.
    """
    try:
        parsed = parse_signature(signature.decode("utf-8"), name)
    except UnicodeDecodeError:
        raise BundleError(f"{name}: is not a minisign signature") from None
    if parsed.identifier != key.identifier:
        raise BundleError(f"{name}: was made with another key than the trusted one")
    signed = hashlib.blake2b(message).digest() if parsed.prehashed else message
    if not _matches(key.key, parsed.signature, signed):
        raise BundleError(f"{name}: the signature does not match")
    if not _matches(key.key, parsed.whole, parsed.signature + parsed.trusted_comment.encode()):
        raise BundleError(f"{name}: the signature of the trusted comment does not match")
    return parsed.trusted_comment


def _matches(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - optional extra
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415
    except ImportError:
        raise MissingDependencyError(
            "checking a signature needs cryptography: pip install 'acula-edge[sign]'"
        ) from None
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _decode(text: str, size: int) -> bytes | None:
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == size else None


def _key_line(path: Path) -> str:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError):
        raise BundleError(f"{path}: cannot be read as a minisign public key") from None
    return next((line for line in lines if line and not line.startswith(_COMMENT)), "")
