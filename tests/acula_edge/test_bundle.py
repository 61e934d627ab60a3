from __future__ import annotations

import dataclasses
import io
import os
import shutil
import stat
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import onnx
import pytest
from bundle_factory import (
    OPSET,
    forge,
    forge_manifest,
    forge_stream,
    golden_input,
    graphs,
    make_bundle,
    manifest,
    zip_of,
)
from onnx import TensorProto, helper

import acula_edge.bundle.load as load_module
from acula_edge.bundle import (
    Manifest,
    contract_text,
    graph_contract,
    load_bundle,
    shipped_bundles,
    write_bundle,
    zip_bundle,
)
from acula_edge.bundle.contract import check_contract
from acula_edge.bundle.onnx_check import OnnxFacts
from acula_edge.bundle.store import Limits, open_store
from acula_edge.bundle.sums import parse_sums
from acula_edge.errors import BundleError


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("pristine") / "tiny")


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "tiny"))


def refused(path: str | Path, *parts: str, **options: Any) -> None:
    with pytest.raises(BundleError) as caught:
        load_bundle(path, **options).verify()
    text = str(caught.value)
    assert "\n" not in text
    for part in parts:
        assert part in text


def test_a_folder_loads(folder: Path) -> None:
    bundle = load_bundle(folder)
    bundle.verify()
    assert bundle.manifest.labels == ("murmur", "wheeze")
    assert bundle.graph("fp32") == graphs(manifest())["stream.onnx"]
    assert bundle.graph("fp32", "window") == (folder / "window.onnx").read_bytes()
    assert bundle.golden_input() == golden_input().tobytes()
    assert bundle.card() == "# Tiny\n"
    assert (bundle.signed, bundle.origin) == (False, folder)
    assert bundle.roles("fp32") == ("stream", "window")


def test_sha256sum_agrees(folder: Path) -> None:
    command = ["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"]
    subprocess.run(command, cwd=folder, check=True)


def test_importing_needs_only_the_standard_library() -> None:
    code = (
        "import sys, acula_edge.bundle;"
        "print([m for m in ('numpy', 'onnxruntime', 'onnx', 'zipfile') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert output.strip() == b"[]"


class TestFiles:
    def test_tampered(self, folder: Path) -> None:
        (folder / "stream.onnx").write_bytes(b"x")
        refused(folder, str(folder), "stream.onnx does not match its hash in SHA256SUMS")

    def test_unlisted(self, folder: Path) -> None:
        (folder / "extra.bin").write_bytes(b"x")
        refused(folder, "extra.bin is not listed in SHA256SUMS")

    def test_missing(self, folder: Path) -> None:
        (folder / "window.onnx").unlink()
        refused(folder, "window.onnx is listed in SHA256SUMS but missing")

    @pytest.mark.parametrize("name", ["manifest.json", "MODEL_CARD.md", "golden.f32"])
    def test_missing_and_unlisted(self, folder: Path, name: str) -> None:
        (folder / name).unlink()
        forge(folder, {})
        refused(folder, name, "is missing")

    def test_missing_graph(self, folder: Path) -> None:
        (folder / "window.onnx").unlink()
        forge(folder, {})
        refused(folder, "window.onnx of variant 'fp32' is missing")

    def test_no_sums(self, folder: Path) -> None:
        (folder / "SHA256SUMS").unlink()
        refused(folder, "SHA256SUMS is missing")

    @pytest.mark.parametrize(
        "line",
        [
            "nonsense",
            f"{'0' * 64}  ../x",
            f"{'0' * 64}  a/b",
            f"{'0' * 64}  SHA256SUMS",
            f"{'A' * 64}  x",
            "é",
        ],
    )
    def test_bad_sums(self, folder: Path, line: str) -> None:
        (folder / "SHA256SUMS").write_text(line + "\n", "utf-8")
        refused(folder, "SHA256SUMS")

    def test_a_name_twice_in_sums(self) -> None:
        with pytest.raises(BundleError, match="lists x twice"):
            parse_sums(f"{'0' * 64}  x\n{'1' * 64}  x\n".encode())

    def test_a_graph_whose_hash_differs_from_the_manifest(self, folder: Path) -> None:
        forge(folder, {"stream.onnx": (folder / "window.onnx").read_bytes()})
        refused(folder, "stream.onnx does not match its hash in manifest.json")

    def test_newer_schema(self, folder: Path) -> None:
        text = (folder / "manifest.json").read_text().replace('"schema": 2', '"schema": 3')
        forge(folder, {"manifest.json": text.encode()})
        refused(folder, "manifest.json: schema 3 needs a newer acula-edge")

    def test_unknown_key(self, folder: Path) -> None:
        text = (folder / "manifest.json").read_text().replace('"schema": 2', '"schema": 2, "x": 2')
        forge(folder, {"manifest.json": text.encode()})
        refused(folder, "manifest.json: unknown key 'x'")

    @pytest.mark.parametrize("size", [0, 31, 32 * 5])
    def test_golden_input_that_is_no_whole_number_of_hops(self, folder: Path, size: int) -> None:
        forge(folder, {"golden.f32": b"\0" * size})
        refused(folder, "golden.f32 is not a whole number of hops within one window")

    def test_golden_scores_of_another_length(self, folder: Path) -> None:
        forge(folder, {"golden.f32": b"\0" * 32})
        refused(folder, "'golden.scores.fp32' has 3 rows for 1 hops")


class TestGraphs:
    def test_external_data(self, folder: Path) -> None:
        def edit(model: onnx.ModelProto) -> None:
            tensor = model.graph.initializer[0]
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="/etc/passwd")

        forge_stream(folder, edit)
        load_bundle(folder).graph("fp32", "window")
        refused(folder, "stream.onnx: keeps weights in another file")

    def test_unknown_domain(self, folder: Path) -> None:
        node = helper.make_node("Evil", ["pcm"], ["z"], domain="evil.ops")
        forge_stream(folder, lambda model: model.graph.node.append(node))
        refused(folder, "stream.onnx: uses operators of the unknown domain 'evil.ops'")

    def test_not_onnx(self, folder: Path) -> None:
        (folder / "stream.onnx").write_bytes(b"\x80\x04pickle")
        forge_manifest(folder, manifest())
        refused(folder, "stream.onnx: ")

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"rate": 8000}, "rate"),
            ({"hop": 16}, "hop"),
            ({"window": 64}, "window"),
            ({"embedding": 7}, "embedding"),
            ({"version": "2.0.0"}, "version"),
            ({"findings": manifest().findings[::-1]}, "findings"),
        ],
    )
    def test_contract(self, folder: Path, change: dict[str, Any], field: str) -> None:
        forge_manifest(folder, dataclasses.replace(manifest(), golden=None, **change))
        forge_without_golden(folder)
        refused(folder, "stream.onnx: breaks its contract", f"'{field}' is ")

    @pytest.mark.parametrize(("field", "value"), [("state_size", 5), ("opset", OPSET + 1)])
    def test_contract_of_the_variant(self, folder: Path, field: str, value: int) -> None:
        changed = dataclasses.replace(manifest().variants["fp32"], **{field: value})
        forge_manifest(folder, dataclasses.replace(manifest(), variants={"fp32": changed}))
        refused(folder, "stream.onnx: breaks its contract", f"'{field}' is ")

    def test_swapped_roles(self, folder: Path) -> None:
        old = manifest().variants["fp32"]
        assert old.window is not None
        swapped = dataclasses.replace(old, stream=old.window, window=old.stream)
        forge_manifest(folder, dataclasses.replace(manifest(), variants={"fp32": swapped}))
        refused(folder, "window.onnx: breaks its contract", "'role' is")

    def test_no_contract(self, folder: Path) -> None:
        model = onnx.load_from_string((folder / "stream.onnx").read_bytes())
        del model.metadata_props[:]
        (folder / "stream.onnx").write_bytes(model.SerializeToString())
        forge_manifest(folder, manifest())
        refused(folder, "stream.onnx: carries no 'acula.contract' metadata")

    @pytest.mark.parametrize("text", ["", "[1]", "{", '{"rate": 1, "rate": 2}'])
    def test_unreadable_contract(self, text: str) -> None:
        facts = OnnxFacts(
            10, {"": OPSET}, frozenset(), frozenset(), {"acula.contract": text}, False
        )
        with pytest.raises(BundleError, match=r"^a\.onnx: its 'acula\.contract' metadata is not"):
            check_contract(facts, manifest(), "fp32", "stream", "a.onnx")

    def test_an_unknown_contract_field(self) -> None:
        text = contract_text(manifest(), "fp32", "stream").replace("{", '{"new":1,', 1)
        facts = OnnxFacts(
            10, {"": OPSET}, frozenset(), frozenset(), {"acula.contract": text}, False
        )
        with pytest.raises(BundleError, match="'new' is 1 in the graph but null"):
            check_contract(facts, manifest(), "fp32", "stream", "a.onnx")

    def test_contract_text_is_canonical(self) -> None:
        text = contract_text(manifest(), "fp32", "window")
        assert text.startswith(
            '{"embedding":3,"findings":["murmur","wheeze"],"hop":8,"name":"tiny"'
        )
        assert graph_contract(manifest(), "fp32", "window")["state_size"] == 4

    def test_missing_variant(self, folder: Path) -> None:
        with pytest.raises(BundleError, match="no variant 'int8'; this bundle has fp32"):
            load_bundle(folder).graph("int8")

    def test_missing_role(self, folder: Path) -> None:
        stream_only = dataclasses.replace(manifest().variants["fp32"], window=None)
        forge_manifest(folder, dataclasses.replace(manifest(), variants={"fp32": stream_only}))
        bundle = load_bundle(folder)
        assert bundle.roles("fp32") == ("stream",)
        with pytest.raises(BundleError, match="variant 'fp32' has no window graph"):
            bundle.graph("fp32", "window")


def forge_without_golden(folder: Path) -> None:
    (folder / "golden.f32").unlink()
    forge(folder, {})


class TestFolder:
    def test_a_link_to_a_file(self, folder: Path) -> None:
        (folder / "MODEL_CARD.md").unlink()
        (folder / "MODEL_CARD.md").symlink_to("/etc/hostname")
        refused(folder, "MODEL_CARD.md is a link")

    def test_a_folder_inside(self, folder: Path) -> None:
        (folder / "sub").mkdir()
        refused(folder, "sub is not a plain file")

    def test_a_pipe(self, folder: Path) -> None:
        os.mkfifo(folder / "pipe")
        refused(folder, "pipe is not a plain file")

    def test_a_link_that_appears_after_listing(self, folder: Path) -> None:
        store = open_store(folder)
        (folder / "MODEL_CARD.md").unlink()
        (folder / "MODEL_CARD.md").symlink_to(folder / "manifest.json")
        with pytest.raises(BundleError, match=r"MODEL_CARD\.md cannot be read"):
            store.read("MODEL_CARD.md")

    def test_a_file_that_grows_after_listing(self, folder: Path) -> None:
        store = open_store(folder)
        (folder / "MODEL_CARD.md").write_bytes(b"x" * 100)
        with pytest.raises(BundleError, match=r"MODEL_CARD\.md changed while it was read"):
            store.read("MODEL_CARD.md")

    def test_a_file_too_large(self, folder: Path) -> None:
        with (folder / "big.onnx").open("wb") as file:
            file.truncate(Limits().file + 1)
        refused(folder, "big.onnx is larger than 67108864 bytes")

    def test_too_large_in_all(self, folder: Path) -> None:
        for index in range(5):
            with (folder / f"big{index}.onnx").open("wb") as file:
                file.truncate(Limits().file)
        refused(folder, "is larger than 268435456 bytes")

    def test_too_many_files(self, folder: Path) -> None:
        for index in range(70):
            (folder / f"f{index}").touch()
        refused(folder, "holds more than 64 files")

    def test_nothing_there(self, tmp_path: Path) -> None:
        refused(tmp_path / "no", "no such bundle folder or zip file")
        refused("a\0b", "no such file")
        refused("x" * 10_000 + "/y", "no usable path")


class TestZip:
    @pytest.fixture
    def members(self, folder: Path) -> list[tuple[str | zipfile.ZipInfo, bytes]]:
        return [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]

    def refuse(self, tmp_path: Path, data: bytes, *parts: str) -> None:
        (tmp_path / "x.zip").write_bytes(data)
        refused(tmp_path / "x.zip", "x.zip", *parts)

    def test_flat_or_in_one_folder(self, tmp_path: Path, members: Any) -> None:
        for prefix in ("", "tiny/"):
            path = tmp_path / "x.zip"
            path.write_bytes(zip_of([(prefix + name, data) for name, data in members]))
            load_bundle(path).verify()
        with zipfile.ZipFile(path, "a") as archive:
            archive.mkdir("tiny")
        load_bundle(path).verify()

    @pytest.mark.parametrize(
        "name", ["../evil", "/evil", "C:evil", "a\\evil", "tiny/../evil", "./evil", "a//evil"]
    )
    def test_traversal(self, tmp_path: Path, members: Any, name: str) -> None:
        self.refuse(tmp_path, zip_of([*members, (name, b"x")]), "leads out of it")

    @pytest.mark.parametrize("name", ["sub/x", "a/b/x"])
    def test_folders(self, tmp_path: Path, members: Any, name: str) -> None:
        self.refuse(tmp_path, zip_of([*members, (name, b"x")]), "more than one folder")

    @pytest.mark.parametrize(
        ("mode", "reason"), [(stat.S_IFLNK, "is a link"), (stat.S_IFIFO, "is not a plain file")]
    )
    def test_links(self, tmp_path: Path, members: Any, mode: int, reason: str) -> None:
        info = zipfile.ZipInfo("link")
        info.create_system, info.external_attr = 3, (mode | 0o777) << 16
        self.refuse(tmp_path, zip_of([*members, (info, b"/etc/passwd")]), reason)

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_duplicates(self, tmp_path: Path, members: Any) -> None:
        data = zip_of([*members, members[0]])
        self.refuse(tmp_path, data, f"holds {members[0][0]} twice")

    def test_encrypted(self, tmp_path: Path, members: Any) -> None:
        data = bytearray(zip_of(members))
        at = data.find(b"PK\x01\x02")
        data[at + 8] |= 1
        self.refuse(tmp_path, bytes(data), "is encrypted")

    def test_other_compression(self, tmp_path: Path, members: Any) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
            archive.writestr("manifest.json", b"{}")
        self.refuse(tmp_path, buffer.getvalue(), "compressed in a way that is not allowed")

    def test_a_declared_bomb(self, tmp_path: Path, members: Any) -> None:
        bomb = ("bomb", b"\0" * (Limits().file + 1))
        data = zip_of([*members, bomb])
        assert len(data) < 2**20
        self.refuse(tmp_path, data, "bomb is larger than 67108864 bytes")

    def test_a_declared_bomb_of_many_files(self, tmp_path: Path) -> None:
        (tmp_path / "x.zip").write_bytes(zip_of([(f"bomb{i}", b"\0" * 900) for i in range(5)]))
        with pytest.raises(BundleError, match=r"x\.zip: is larger than 4000 bytes"):
            open_store(tmp_path / "x.zip", Limits(file=1000, whole=4000))

    def test_a_bomb_that_lies_about_its_size(self, tmp_path: Path) -> None:
        data = bytearray(zip_of([("bomb", b"\0" * 10_000_000)]))
        for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
            struct.pack_into("<I", data, data.find(mark) + offset, 10)
        self.refuse(tmp_path, bytes(data), "bomb is damaged")

    def test_a_size_that_is_too_large(self, tmp_path: Path) -> None:
        data = bytearray(zip_of([("short", b"\0" * 100)]))
        struct.pack_into("<I", data, data.find(b"PK\x01\x02") + 24, 1000)
        self.refuse(tmp_path, bytes(data), "short ")

    def test_too_many_members(self, tmp_path: Path) -> None:
        self.refuse(tmp_path, zip_of([(f"f{i}", b"") for i in range(70)]), "more than 64 files")

    def test_a_directory_larger_than_it_says(self, tmp_path: Path) -> None:
        data = bytearray(zip_of([(f"f{i}", b"") for i in range(2000)]))
        struct.pack_into("<HH", data, len(data) - 14, 1, 1)
        self.refuse(tmp_path, bytes(data), "more than 64 files")

    @pytest.mark.parametrize("data", [b"", b"PK", b"not a zip" * 100, b"PK\x05\x06" * 30])
    def test_no_zip(self, tmp_path: Path, data: bytes) -> None:
        self.refuse(tmp_path, data)

    def test_no_cut_or_flipped_byte_escapes_as_another_error(self, tmp_path: Path) -> None:
        data = zip_of([("SHA256SUMS", b"x" * 50), ("manifest.json", b"{}")])
        path = tmp_path / "x.zip"
        for at in range(len(data)):
            flipped = bytearray(data)
            flipped[at] ^= 0xFF
            for version in (data[:at], bytes(flipped)):
                path.write_bytes(version)
                refused(path)


class TestWriting:
    def test_replaces_a_bundle_and_leaves_nothing_behind(self, folder: Path) -> None:
        make_bundle(folder, dataclasses.replace(manifest(), golden=None))
        assert load_bundle(folder).golden_input() is None
        assert [path.name for path in folder.parent.iterdir()] == [folder.name]

    def test_never_replaces_something_else(self, tmp_path: Path) -> None:
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "thesis.txt").touch()
        with pytest.raises(BundleError, match="home: exists and is not a bundle"):
            make_bundle(tmp_path / "home")

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"rate": 0}, "'rate' must be greater than 0"),
            ({"rate": 8000}, "breaks its contract: 'rate' is 4000 in the graph but 8000"),
        ],
    )
    def test_refuses_what_would_not_load(
        self, tmp_path: Path, change: dict[str, Any], reason: str
    ) -> None:
        wrong: Manifest = dataclasses.replace(manifest(), golden=None, **change)
        with pytest.raises(BundleError) as caught:
            write_bundle(tmp_path / "b", wrong, graphs(manifest()), "", {})
        assert reason in str(caught.value)
        assert list(tmp_path.iterdir()) == []

    def test_refuses_graphs_that_do_not_fit(self, tmp_path: Path) -> None:
        given = graphs(manifest())
        for files, extra, reason in [
            ({**given, "x.onnx": b""}, {}, "x.onnx: belongs to no variant"),
            ({"stream.onnx": given["stream.onnx"]}, {}, "window.onnx: is in the manifest but"),
            (given, {"manifest.json": b""}, "manifest.json: cannot be the name"),
            (given, {"../x": b""}, "../x: cannot be the name"),
            (given, {}, "golden.f32 (golden input) is missing"),
        ]:
            with pytest.raises(BundleError) as caught:
                write_bundle(tmp_path / "b", manifest(), files, "", extra)
            assert reason in str(caught.value)

    def test_zip_is_deterministic(self, folder: Path, tmp_path: Path) -> None:
        zip_bundle(folder, tmp_path / "a.zip")
        os.utime(folder / "manifest.json", (1, 1))
        other = Path(shutil.copytree(folder, tmp_path / "other"))
        zip_bundle(other, tmp_path / "b.zip")
        assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
        assert load_bundle(tmp_path / "a.zip").digest == load_bundle(folder).digest
        load_bundle(tmp_path / "a.zip").verify()


class TestShipped:
    @pytest.fixture
    def shipped(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(load_module, "_SHIPPED", folder.parent)
        monkeypatch.chdir("/")
        return folder

    def test_by_name(self, shipped: Path) -> None:
        assert shipped_bundles() == ["tiny"]
        assert load_bundle("tiny").origin == shipped

    def test_unknown_name(self, shipped: Path) -> None:
        refused("huge", "huge: no such file and no shipped bundle; shipped: tiny")

    def test_a_path_with_a_separator_is_no_name(self, shipped: Path) -> None:
        refused("./tiny", "no such bundle folder or zip file")
