"""A folder that is damaged, hostile or of another time is refused in one sentence."""

import json

import pytest

from acula_edge.errors import BundleError
from firmware_bridge.verify.folder import read_folder


def test_what_is_read(make_folder, tmp_path):
    folder = make_folder()
    (folder / "build").mkdir()
    (folder / "build" / "left.c").write_text("#error not listed, so never compiled\n")
    firmware = read_folder(folder)
    assert firmware.about.model.name == "standin"
    assert firmware.about.findings == ("a", "b", "c")
    assert firmware.write_code(tmp_path / "code") == ("src/acula.c",)
    assert sorted(p.name for p in (tmp_path / "code").rglob("*.*")) == [
        "acula.c",
        "acula.h",
        "acula_model.h",
    ]


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(BundleError, match="SHA256SUMS cannot be read: No such file"):
        read_folder(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["src/acula.c", "acula.json", "golden/pcm.i16"])
def test_a_changed_file(name, make_folder):
    folder = make_folder()
    with (folder / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(BundleError, match=f"{name} does not match its hash"):
        read_folder(folder)


def test_a_missing_file(make_folder):
    folder = make_folder()
    (folder / "src" / "acula.c").unlink()
    with pytest.raises(BundleError, match=r"src/acula.c cannot be read"):
        read_folder(folder)


def test_a_linked_file_or_folder(make_folder, tmp_path):
    folder = make_folder()
    (folder / "src").rename(tmp_path / "elsewhere")
    (folder / "src").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="is a link"):
        read_folder(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "src/../../x", "a\\b", ".git/config"])
def test_names_that_leave_the_folder(name, make_folder):
    folder = make_folder()
    with (folder / "SHA256SUMS").open("a") as file:
        file.write(f"{'0' * 64}  {name}\n")
    with pytest.raises(BundleError, match="no hash and file name"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"schema": 2}, "schema 2; this toolkit reads 1"),
        ({"kind": "other"}, "kind 'other'"),
        ({"api": 7}, "api 7; this toolkit reads 1"),
        ({"hop": 0}, "sizes must be above 0"),
        ({"hop": "768"}, "'hop' must be a whole number"),
        ({"model": {"name": "x"}}, "'model.version' is missing"),
    ],
)
def test_an_acula_json_of_another_kind(about, words, make_folder):
    with pytest.raises(BundleError, match=words):
        read_folder(make_folder(about=about))


def test_an_acula_json_that_is_no_json(make_folder):
    folder = make_folder()
    (folder / "acula.json").write_text(json.dumps([1]))
    sums = folder / "SHA256SUMS"
    import hashlib

    digest = hashlib.sha256((folder / "acula.json").read_bytes()).hexdigest()
    lines = [line for line in sums.read_text().splitlines() if "acula.json" not in line]
    sums.write_text("\n".join([*lines, f"{digest}  acula.json"]) + "\n")
    with pytest.raises(BundleError, match="is not a JSON object"):
        read_folder(folder)
