"""Signatures that this package writes are those that it, and minisign, accept."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys

import pytest
from bundle_factory import make_bundle

from acula_edge.bundle import load_bundle
from acula_edge.errors import BundleError, MissingDependencyError
from export.sign import SignError, is_encrypted, public_key_text, read_secret_key, sign_bundle

minisign = pytest.mark.skipif(shutil.which("minisign") is None, reason="needs minisign")
SEED, IDENTIFIER, SALT = bytes(range(32)), b"identity", bytes(range(32, 64))


def key_file(path, password=None, work=32_768, memory=2**20):
    """A minisign secret key of `SEED`; with a password, in the encrypted form with low limits."""
    from cryptography.hazmat.primitives.asymmetric import ed25519

    public = ed25519.Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw()
    pair = SEED + public
    check = hashlib.blake2b(b"Ed" + IDENTIFIER + pair, digest_size=32).digest()
    secret, kdf = IDENTIFIER + pair + check, b"\0\0"
    if password is not None:
        # libsodium's choice for these limits: rounds of 2^10, blocks of 8, one lane
        stream = hashlib.scrypt(password, salt=SALT, n=2**10, r=8, p=1, dklen=104)
        secret, kdf = bytes(a ^ b for a, b in zip(secret, stream, strict=True)), b"Sc"
    limits = work.to_bytes(8, "little") + memory.to_bytes(8, "little")
    raw = b"Ed" + kdf + b"B2" + SALT + limits + secret
    path.write_text(f"untrusted comment: a key\n{base64.b64encode(raw).decode()}\n")
    return path


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / "tiny")


def test_a_signed_bundle_loads_with_the_key_and_only_with_it(bundle, tmp_path):
    key = public_key_text(sign_bundle(bundle, key_file(tmp_path / "k.sec")))
    assert load_bundle(bundle, trusted_key=key).signed
    comment = (bundle / "SHA256SUMS.minisig").read_text().splitlines()[2]
    assert comment.startswith("trusted comment: tiny 1.0.0\t")
    other = base64.b64encode(b"Ed" + IDENTIFIER + os.urandom(32)).decode()
    with pytest.raises(BundleError, match="does not match"):
        load_bundle(bundle, trusted_key=other)


def test_signing_again_gives_the_same_bytes(bundle, tmp_path):
    key = key_file(tmp_path / "k.sec")
    sign_bundle(bundle, key)
    first = (bundle / "SHA256SUMS.minisig").read_bytes()
    sign_bundle(bundle, key)
    assert (bundle / "SHA256SUMS.minisig").read_bytes() == first
    assert [path.name for path in bundle.iterdir() if path.name.startswith(".")] == []


def test_an_encrypted_key_opens_with_its_password_alone(bundle, tmp_path):
    key = key_file(tmp_path / "k.sec", b"open sesame")
    assert is_encrypted(key)
    assert not is_encrypted(key_file(tmp_path / "plain.sec"))
    assert read_secret_key(key, "open sesame").seed == SEED
    for password, reason in ((None, "no password"), ("sesame", "not this key")):
        with pytest.raises(SignError, match=reason):
            sign_bundle(bundle, key, password)
    assert not (bundle / "SHA256SUMS.minisig").exists()


def test_what_is_no_key_is_refused_and_nothing_is_written(bundle, tmp_path):
    cases = {"empty": "", "text": "a\nb\n", "short": "a\nRWQ=\n", "odd": "a\n\u00fc\n"}
    for name, text in cases.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(SignError, match="is not a minisign secret key"):
            sign_bundle(bundle, tmp_path / name)
    with pytest.raises(SignError, match="cannot be read"):
        sign_bundle(bundle, tmp_path / "absent")
    with pytest.raises(SignError, match="unusual limits"):
        huge = key_file(tmp_path / "huge", b"x", work=2**62, memory=2**62)
        read_secret_key(huge, "x")
    damaged = key_file(tmp_path / "damaged")
    comment, line = damaged.read_text().splitlines()
    raw = bytearray(base64.b64decode(line))
    raw[70] ^= 1  # of the seed
    damaged.write_text(f"{comment}\n{base64.b64encode(raw).decode()}\n")
    with pytest.raises(SignError, match="the key is damaged"):
        sign_bundle(bundle, damaged)
    assert not (bundle / "SHA256SUMS.minisig").exists()


def test_a_damaged_bundle_is_not_signed(bundle, tmp_path):
    (bundle / "MODEL_CARD.md").write_text("changed")
    with pytest.raises(BundleError, match=r"MODEL_CARD\.md does not match"):
        sign_bundle(bundle, key_file(tmp_path / "k.sec"))


def test_without_cryptography(bundle, tmp_path, monkeypatch):
    key = key_file(tmp_path / "k.sec")
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'acula-edge\[sign\]'"):
        sign_bundle(bundle, key)


def generated(folder, *flags, answer=b""):
    command = ["minisign", "-G", *flags, "-p", folder / "k.pub", "-s", folder / "k.sec"]
    subprocess.run(command, check=True, capture_output=True, input=answer)
    return folder / "k.sec"


@minisign
def test_minisign_accepts_the_signature(bundle, tmp_path):
    sign_bundle(bundle, generated(tmp_path, "-W"))
    command = ["minisign", "-V", "-p", tmp_path / "k.pub", "-m", bundle / "SHA256SUMS"]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "Trusted comment: tiny 1.0.0" in found.stdout
    assert load_bundle(bundle, trusted_key=tmp_path / "k.pub").signed


@minisign
@pytest.mark.slow
def test_a_key_that_minisign_encrypted_opens(bundle, tmp_path):
    key = generated(tmp_path, answer=b"a password\na password\n")
    assert is_encrypted(key)
    sign_bundle(bundle, key, "a password")
    assert load_bundle(bundle, trusted_key=tmp_path / "k.pub").signed
