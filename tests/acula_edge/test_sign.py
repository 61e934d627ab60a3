from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bundle_factory import make_bundle

from acula_edge.bundle import load_bundle, zip_bundle
from acula_edge.bundle.sign import parse_signature, read_public_key, verify
from acula_edge.errors import BundleError, MissingDependencyError

pytestmark = pytest.mark.skipif(
    shutil.which("minisign") is None, reason="needs the minisign command to sign"
)


def minisign(*arguments: str | Path) -> None:
    subprocess.run(
        ["minisign", *map(str, arguments)],
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        minisign("-G", "-W", "-p", folder / f"{name}.pub", "-s", folder / f"{name}.sec")
    return folder


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("pristine") / "tiny")


@pytest.fixture
def signed(pristine: Path, keys: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(pristine, tmp_path / "tiny"))
    minisign("-S", "-s", keys / "ours.sec", "-m", folder / "SHA256SUMS", "-t", "release ü 1")
    return folder


def refused(path: Path, key: str | Path, reason: str) -> None:
    with pytest.raises(BundleError) as caught:
        load_bundle(path, trusted_key=key)
    assert reason in str(caught.value)


def test_signed_bundle_loads_with_the_key_as_file_or_text(signed: Path, keys: Path) -> None:
    text = (keys / "ours.pub").read_text().splitlines()[1]
    for key in (keys / "ours.pub", str(keys / "ours.pub"), text):
        assert load_bundle(signed, trusted_key=key).signed
    assert not load_bundle(signed).signed
    zip_bundle(signed, signed.parent / "x.zip")
    assert load_bundle(signed.parent / "x.zip", trusted_key=text).signed


@pytest.mark.parametrize(("flag", "prehashed"), [("-l", False), ("-H", True)])
def test_both_forms_of_signature(keys: Path, tmp_path: Path, flag: str, prehashed: bool) -> None:
    (tmp_path / "file").write_bytes(b"hello")
    minisign("-S", flag, "-s", keys / "ours.sec", "-m", tmp_path / "file", "-t", "note")
    signature = (tmp_path / "file.minisig").read_bytes()
    assert parse_signature(signature.decode(), "s").prehashed is prehashed
    key = read_public_key(keys / "ours.pub")
    assert verify(b"hello", signature, key, "file.minisig") == "note"
    with pytest.raises(BundleError, match=r"^file\.minisig: the signature does not match"):
        verify(b"hullo", signature, key, "file.minisig")


def test_absent_signature(signed: Path, keys: Path) -> None:
    (signed / "SHA256SUMS.minisig").unlink()
    refused(signed, keys / "ours.pub", "SHA256SUMS.minisig is missing, but a trusted key was given")


def test_wrong_key(signed: Path, keys: Path) -> None:
    refused(signed, keys / "theirs.pub", "SHA256SUMS.minisig: was made with another key")


def test_wrong_key_that_claims_the_right_identifier(signed: Path, keys: Path) -> None:
    ours, theirs = (read_public_key(keys / f"{name}.pub") for name in ("ours", "theirs"))
    forged = base64.b64encode(b"Ed" + ours.identifier + theirs.key).decode()
    refused(signed, forged, "SHA256SUMS.minisig: the signature does not match")


def edit_line(path: Path, number: int, text: str) -> None:
    lines = path.read_text().splitlines()
    lines[number] = text
    path.write_text("\n".join(lines) + "\n")


def test_bad_signature(signed: Path, keys: Path) -> None:
    path = signed / "SHA256SUMS.minisig"
    raw = bytearray(base64.b64decode(path.read_text().splitlines()[1]))
    raw[20] ^= 1
    edit_line(path, 1, base64.b64encode(raw).decode())
    refused(signed, keys / "ours.pub", "SHA256SUMS.minisig: the signature does not match")


def test_changed_trusted_comment(signed: Path, keys: Path) -> None:
    edit_line(signed / "SHA256SUMS.minisig", 2, "trusted comment: release 2")
    refused(signed, keys / "ours.pub", "the signature of the trusted comment does not match")


def test_a_changed_list_of_files(signed: Path, keys: Path) -> None:
    sums = (signed / "SHA256SUMS").read_text().splitlines(keepends=True)
    (signed / "SHA256SUMS").write_text("".join(reversed(sums)))
    refused(signed, keys / "ours.pub", "SHA256SUMS.minisig: the signature does not match")


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"a\nb\nc\nd\n", b"untrusted comment: x\nAAAA\ntrusted comment: y\nBB\n"]
)
def test_what_is_no_signature(signed: Path, keys: Path, data: bytes) -> None:
    (signed / "SHA256SUMS.minisig").write_bytes(data)
    refused(signed, keys / "ours.pub", "SHA256SUMS.minisig: is not a minisign signature")


def test_what_is_no_key(signed: Path, keys: Path, tmp_path: Path) -> None:
    refused(signed, tmp_path / "no.pub", "cannot be read as a minisign public key")
    refused(signed, keys / "ours.sec", "is not a minisign public key")
    (tmp_path / "empty.pub").touch()
    refused(signed, tmp_path / "empty.pub", "is not a minisign public key")


def test_without_cryptography(signed: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'acula-edge\[sign\]'"):
        load_bundle(signed, trusted_key=keys / "ours.pub")
    assert load_bundle(signed).signed is False
