"""Archives that try to leave their folder, fill the disk, or are damaged."""

import io
import stat
import tarfile
import zipfile

import pytest

from align.corpora import unpack as unpacking
from align.corpora.unpack import ArchiveError, place, unpack


def write_zip(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def write_tar(path, *members):
    with tarfile.open(path, "w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def files_under(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "/evil", "..\\evil", "C:\\evil", "C:evil", "a/..", "//h/evil"],
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_no_name_leaves_the_folder(tmp_path, name, kind):
    out = tmp_path / "in" / "out"
    if kind == "zip":
        archive = write_zip(tmp_path / "a.zip", [("good", b"x"), (name, b"evil")])
    else:
        archive = write_tar(tmp_path / "a.tgz", (tarfile.TarInfo(name), b"evil"))
    with pytest.raises(ArchiveError, match="unsafe name"):
        unpack(archive, out)
    assert set(files_under(tmp_path)) <= {"a.zip", "a.tgz", "in/out/good"}


@pytest.mark.parametrize(
    "member",
    [
        link("data", "/etc"),
        link("data", "/etc/passwd", tarfile.LNKTYPE),
        link("data", "", tarfile.CHRTYPE),
        link("data", "", tarfile.FIFOTYPE),
    ],
    ids=["symlink", "hardlink", "device", "fifo"],
)
def test_a_tar_brings_files_only(tmp_path, member):
    archive = write_tar(tmp_path / "a.tgz", member, (tarfile.TarInfo("data/evil"), b"evil"))
    with pytest.raises(ArchiveError, match="holds a link"):
        unpack(archive, tmp_path / "out")
    assert files_under(tmp_path) == ["a.tgz"]


def test_a_zip_brings_no_link(tmp_path):
    info = zipfile.ZipInfo("data")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(ArchiveError, match="holds a link"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_bomb_is_not_unpacked(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(unpacking, "MIN_BOUND", 100_000)
    zeros = bytes(3_000_000)
    if kind == "zip":
        archive = write_zip(tmp_path / "a", [("zeros", zeros)])
    else:
        archive = write_tar(tmp_path / "a", (tarfile.TarInfo("zeros"), zeros))
    assert archive.stat().st_size * 100 < len(zeros)
    with pytest.raises(ArchiveError, match="unpacks to more than"):
        unpack(archive, tmp_path / "out")
    assert files_under(tmp_path) == ["a"]


def test_a_zip_that_lies_about_a_size_is_damaged(tmp_path):
    archive = write_zip(tmp_path / "a.zip", [("a.wav", bytes(range(256)) * 40)])
    content = bytearray(archive.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (10).to_bytes(4, "little")
    archive.write_bytes(content)
    with pytest.raises(ArchiveError, match="is damaged"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_truncated_archive_is_named(tmp_path, kind):
    noise = bytes(value * 7919 % 251 for value in range(50_000))
    if kind == "zip":
        archive = write_zip(tmp_path / "a.zip", [("a", noise)])
    else:
        archive = write_tar(tmp_path / "a.tgz", (tarfile.TarInfo("a"), noise))
    archive.write_bytes(archive.read_bytes()[:-2000] if kind == "tar" else b"PK\x03\x04" + noise)
    with pytest.raises(ArchiveError, match=r"a\.(zip|tgz)"):
        unpack(archive, tmp_path / "out")


def test_an_encrypted_zip_is_named(tmp_path):
    archive = write_zip(tmp_path / "a.zip", [("a", b"secret")])
    content = bytearray(archive.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(ArchiveError, match="password"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_both_kinds_give_the_same_files(tmp_path, kind):
    if kind == "zip":
        archive = write_zip(tmp_path / "a", [("top/", b""), ("top/b/c.wav", b"c"), ("top/d", b"d")])
    else:
        folder = tarfile.TarInfo("top")
        folder.type = tarfile.DIRTYPE
        members = [(tarfile.TarInfo("./top/b/c.wav"), b"c"), (tarfile.TarInfo("top/d"), b"d")]
        archive = write_tar(tmp_path / "a", (folder, b""), *members)
    assert unpack(archive, tmp_path / "out", strip=1) == 2
    assert files_under(tmp_path / "out") == ["b/c.wav", "d"]
    assert (tmp_path / "out" / "b" / "c.wav").read_bytes() == b"c"


def test_the_first_matching_prefix_decides_and_the_rest_stays_out():
    layout = (("old/wav/", "wav/"), ("old/", "other/"))
    assert str(place("repo/old/wav/a", 1, layout)) == "wav/a"
    assert str(place("repo/old/b", 1, layout)) == "other/b"
    assert place("repo/paper.pdf", 1, layout) is None
    assert place("file-at-the-top", 1) is None
