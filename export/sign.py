"""Signs a bundle as the `minisign` command does, without the command.

Key and signature formats: https://jedisct1.github.io/minisign/#signature-format.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from acula_edge.bundle import load_bundle
from acula_edge.bundle.sign import PublicKey, verify
from acula_edge.bundle.sums import SIGNATURE, SUMS
from acula_edge.errors import BundleError, MissingDependencyError
from align.errors import AlignError

_ED25519, _PREHASHED, _BLAKE2B, _SCRYPT, _PLAIN = b"Ed", b"ED", b"B2", b"Sc", b"\0\0"
_FILE_BYTES, _SECRET_BYTES, _SEED_BYTES, _SALT_BYTES = 158, 104, 32, 32
_SCRYPT_BLOCK = 8
_LEAST_WORK = 32_768
_MOST_MEMORY = 2 * 2**30


class SignError(AlignError):
    """A secret key cannot be read, or needs another password."""


@dataclass(frozen=True)
class SecretKey:
    """An Ed25519 seed and public key (32 bytes each) and minisign's identifier (8 bytes)."""

    identifier: bytes
    seed: bytes
    public: bytes


def sign_bundle(folder: Path, secret_key_file: Path, password: str | None = None) -> PublicKey:
    """Write `SHA256SUMS.minisig` into the bundle and return the key that verifies it.

    The signature is prehashed, and its trusted comment names the bundle and version. The bundle is
    checked first, and the signature verified before it is written: nothing half-signed stays.

    Raises:
        SignError: the key file is no minisign secret key, or the password does not open it.
        BundleError: the bundle would not load.
        MissingDependencyError: `cryptography` is not installed.
    """
    bundle = load_bundle(folder)
    key = read_secret_key(secret_key_file, password)
    message = bundle.files[SUMS]
    comment = f"{bundle.manifest.name} {bundle.manifest.version}\tfile:{SUMS}\thashed"
    text = _signature(message, key, comment)
    public = PublicKey(key.identifier, key.public)
    try:
        verify(message, text, public, SIGNATURE)
    except BundleError:
        raise SignError(f"{secret_key_file}: the key is damaged") from None
    _replace(Path(folder) / SIGNATURE, text)
    return public


def is_encrypted(secret_key_file: Path) -> bool:
    """Whether the secret key needs a password; SignError if the file is no such key."""
    return _read(secret_key_file)[2:4] == _SCRYPT


def read_secret_key(path: Path, password: str | None = None) -> SecretKey:
    """The key in a minisign secret key file, plain (`minisign -G -W`) or opened by `password`.

    An encrypted key made with minisign's defaults takes 1 GiB of memory and seconds to open.

    Raises:
        SignError: not such a file, no password for an encrypted key, or not its password.
    """
    raw = _read(path)
    kdf, salt = raw[2:4], raw[6 : 6 + _SALT_BYTES]
    work, memory = (int.from_bytes(raw[at : at + 8], "little") for at in (38, 46))
    secret = raw[-_SECRET_BYTES:]
    if kdf == _SCRYPT:
        if password is None:
            raise SignError(f"{path}: the secret key is encrypted and no password was given")
        stream = _stretched(password.encode(), salt, work, memory, path)
        secret = bytes(a ^ b for a, b in zip(secret, stream, strict=True))
    identifier, pair, checksum = secret[:8], secret[8:72], secret[72:]
    wanted = hashlib.blake2b(_ED25519 + identifier + pair, digest_size=32).digest()
    # `minisign -G -W` leaves the checksum of a plain key empty.
    if kdf == _SCRYPT and not hmac.compare_digest(wanted, checksum):
        raise SignError(f"{path}: the password is not this key's")
    return SecretKey(identifier, pair[:_SEED_BYTES], pair[_SEED_BYTES:])


def public_key_text(key: PublicKey) -> str:
    """The key as the base64 text that `--key` and `minisign -P` take."""
    return base64.b64encode(_ED25519 + key.identifier + key.key).decode()


def _read(path: Path) -> bytes:
    try:
        lines = Path(path).read_text("ascii").splitlines()
        raw = base64.b64decode(lines[1], validate=True)
    except OSError as error:
        raise SignError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, IndexError, binascii.Error):
        raw = b""
    known = raw[:2] == _ED25519 and raw[2:4] in (_SCRYPT, _PLAIN) and raw[4:6] == _BLAKE2B
    if len(raw) != _FILE_BYTES or not known:
        raise SignError(f"{path}: is not a minisign secret key")
    return raw


def _stretched(password: bytes, salt: bytes, work: int, memory: int, path: Path) -> bytes:
    """Scrypt as libsodium's `crypto_pwhash_scryptsalsa208sha256` sets it from its two limits."""
    work = max(work, _LEAST_WORK)
    if work < memory // 32:
        rounds, lanes = _power(work // (4 * _SCRYPT_BLOCK)), 1
    else:
        rounds = _power(memory // (128 * _SCRYPT_BLOCK))
        lanes = min(work // 4 // rounds, 0x3FFFFFFF) // _SCRYPT_BLOCK
    needed = 128 * _SCRYPT_BLOCK * (rounds + lanes + 2)
    if needed > _MOST_MEMORY or not lanes:
        raise SignError(f"{path}: its password protection asks for unusual limits")
    return hashlib.scrypt(
        password,
        salt=salt,
        n=rounds,
        r=_SCRYPT_BLOCK,
        p=lanes,
        maxmem=needed + 2**20,
        dklen=_SECRET_BYTES,
    )


def _power(most: int) -> int:
    """The power of two, at least 2, that libsodium takes for at most `most` rounds."""
    return max(2, 1 << max(most.bit_length() - 1, 1))


def _signature(message: bytes, key: SecretKey, comment: str) -> bytes:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - extra
    except ImportError:
        raise MissingDependencyError(
            "signing needs cryptography: pip install 'acula-edge[sign]'"
        ) from None
    private = ed25519.Ed25519PrivateKey.from_private_bytes(key.seed)
    signature = private.sign(hashlib.blake2b(message).digest())
    whole = private.sign(signature + comment.encode())
    lines = (
        "untrusted comment: signature of a bundle by acula-edge",
        base64.b64encode(_PREHASHED + key.identifier + signature).decode(),
        f"trusted comment: {comment}",
        base64.b64encode(whole).decode(),
    )
    return ("\n".join(lines) + "\n").encode()


def _replace(path: Path, data: bytes) -> None:
    handle, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(scratch).chmod(0o644)
        Path(scratch).replace(path)
    finally:
        Path(scratch).unlink(missing_ok=True)
