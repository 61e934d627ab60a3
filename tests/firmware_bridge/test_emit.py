"""The exported folder: what is in it, that it is whole, and what is refused."""

import dataclasses
import hashlib
import json
import re

import numpy as np
import pytest
from mcu_bundle import HOP, mcu_bundle

from acula_edge.errors import BundleError, MissingDependencyError, UsageError
from firmware_bridge.emit import export_firmware
from firmware_bridge.emit.arena import arena_bytes, history_offsets
from firmware_bridge.emit.golden import golden_pcm
from firmware_bridge.emit.tables import double, folded_bias, model_header, single, text
from firmware_bridge.model import read_model
from firmware_bridge.network import accumulate
from firmware_bridge.reference import Reference

VECTORS = 45


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return mcu_bundle(tmp_path_factory.mktemp("emit"))


@pytest.fixture(scope="module")
def model(bundle):
    return read_model(bundle)


@pytest.fixture(scope="module")
def exported(bundle, tmp_path_factory):
    return export_firmware(bundle, tmp_path_factory.mktemp("out") / "fw", vectors=VECTORS)


@pytest.fixture(scope="module")
def about(exported):
    return json.loads((exported.folder / "acula.json").read_text())


def test_every_file_is_listed_with_its_hash(exported):
    sums = (exported.folder / "SHA256SUMS").read_text().splitlines()
    listed = {line.split("  ")[1]: line.split("  ")[0] for line in sums}
    found = {
        str(path.relative_to(exported.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in exported.folder.rglob("*")
        if path.is_file() and path.name != "SHA256SUMS"
    }
    assert listed == found
    assert set(exported.files) == {*found, "SHA256SUMS"}


@pytest.mark.parametrize("target", ["generic", "arduino"])
def test_the_pages_links_lead_somewhere(bundle, target, tmp_path):
    folder = export_firmware(bundle, tmp_path / "fw", target, vectors=3).folder
    for page in ("README.md", "link/README.md"):
        for place in re.findall(r"\]\(([^)#:]+)\)", (folder / page).read_text()):
            assert ((folder / page).parent / place).exists(), f"{page} leads to {place}"


def test_acula_json_says_what_the_model_is(model, about, exported):
    assert (about["schema"], about["kind"], about["api"]) == (1, "acula-edge-firmware", 1)
    assert about["model"]["sha256"] == model.sha256
    assert (about["rate"], about["hop"], about["steps"], about["embedding"]) == (4000, 768, 6, 64)
    assert about["findings"] == ["murmur", "crackle", "wheeze"]
    assert about["phases"] == ["S1", "systole", "S2", "diastole"]
    assert about["arena_bytes"] == arena_bytes(model)
    assert about["weights_bytes"] == sum(
        layer.weight.size for layer in (*model.blocks, *model.heads)
    )
    assert set(about["files"]) | {"acula.json", "SHA256SUMS"} == set(exported.files)


def test_the_card_and_the_sources_are_there(exported, bundle):
    assert (exported.folder / "MODEL_CARD.md").read_text() == bundle.card()
    for name in ("include/acula.h", "src/acula.c", "link/acula_link.c", "README.md"):
        assert name in exported.files


def test_golden_vectors_are_the_references(exported, about, model):
    described = about["golden"]["files"]
    found = {}
    for path, facts in described.items():
        data = (exported.folder / path).read_bytes()
        assert hashlib.sha256(data).hexdigest() == facts["sha256"]
        found[path] = np.frombuffer(data, facts["type"]).reshape(facts["shape"])
    pcm = found["golden/pcm.i16"]
    assert len(pcm) == VECTORS * HOP
    hops = Reference(model).push(pcm)
    assert np.array_equal(found["golden/logits.f32"], [hop.scores for hop in hops])
    assert np.array_equal(found["golden/probabilities.f64"], [hop.probability for hop in hops])
    assert np.array_equal(found["golden/features.i8"], np.concatenate([hop.codes for hop in hops]))


def test_the_golden_sound_holds_what_breaks_code():
    pcm = golden_pcm(4000, 600 * HOP)
    assert pcm.min() == -32768 and pcm.max() == 32767
    seconds = pcm[: len(pcm) // 4000 * 4000].reshape(-1, 4000).astype(int)
    assert (np.ptp(seconds, axis=1) == 0).any()
    assert (np.abs(seconds).max(axis=1) == 1).any()
    quiet, loud = (np.sort(seconds.std(axis=1))[i] for i in (len(seconds) // 4, -1))
    assert loud > 20 * max(quiet, 1)


def test_exporting_twice_gives_the_same_bytes(exported, bundle, tmp_path):
    again = export_firmware(bundle, tmp_path / "fw", vectors=VECTORS)
    for name in exported.files:
        assert (again.folder / name).read_bytes() == (exported.folder / name).read_bytes(), name


def test_an_earlier_export_is_replaced_and_nothing_else(bundle, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("x")
    with pytest.raises(UsageError, match="exists and is not an exported firmware folder"):
        export_firmware(bundle, mine, vectors=1)
    assert [path.name for path in mine.iterdir()] == ["thesis.txt"]
    out = export_firmware(bundle, tmp_path / "fw", vectors=1).folder
    (out / "stale").write_text("x")
    export_firmware(bundle, out, vectors=2)
    assert not (out / "stale").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fw", "mine"]


def test_unknown_targets_variants_and_counts_are_refused(bundle, tmp_path):
    with pytest.raises(UsageError, match="no firmware target 'amiga'"):
        export_firmware(bundle, tmp_path / "a", target="amiga")
    with pytest.raises(BundleError, match="no variant 'int4'"):
        export_firmware(bundle, tmp_path / "b", variant="int4")
    with pytest.raises(UsageError, match="at least one golden vector"):
        export_firmware(bundle, tmp_path / "c", vectors=0)
    assert not list(tmp_path.iterdir())


def test_a_manifest_that_tells_another_front_end_is_refused(bundle, tmp_path):
    settings = {**bundle.manifest.front_end, "level_seconds": 0.1, "mean_seconds": 0.2}
    wrong = dataclasses.replace(
        bundle, manifest=dataclasses.replace(bundle.manifest, front_end=settings)
    )
    with pytest.raises(BundleError, match="does not give the graph's codes"):
        export_firmware(wrong, tmp_path / "fw", vectors=1)


def test_without_its_library_the_tflite_is_left_out_and_said_so(bundle, tmp_path, monkeypatch):
    from firmware_bridge.emit import tflite

    def missing(*_):
        raise MissingDependencyError("tflite-micro is not installed")

    monkeypatch.setattr(tflite, "tflite_bytes", missing)
    made = export_firmware(bundle, tmp_path / "fw", vectors=1)
    assert "model.tflite" not in made.files
    assert made.left_out == ("model.tflite: tflite-micro is not installed",)


def test_literals_read_back_exactly():
    for value in np.random.default_rng(0).standard_normal(200).astype(np.float32):
        assert np.float32(float.fromhex(single(float(value)).removesuffix("f"))) == value
    assert float.fromhex(double(0.1)) == 0.1
    assert text('a"\\?é\n') == r'"a\042\134\077\303\251\012"'


def test_folded_biases_take_codes_with_their_zero_point(model):
    block = model.blocks[0]
    codes = np.random.default_rng(1).integers(-128, 128, (14, block.inputs)).astype(np.int8)
    taps = np.stack([codes[k : k + 12] for k in range(3)], axis=1).astype(int)
    plain = np.einsum("tkc,ock->to", taps, block.weight.astype(int)) + folded_bias(block)
    assert np.array_equal(plain, accumulate(block, codes))


def test_the_header_is_c_and_sizes_the_histories(model):
    header = model_header(model)
    assert re.search(r"#define ACULA_HISTORIES 2304$", header, re.MULTILINE)
    assert history_offsets(model)[-1] == 2 * 96 + (2 + 2 + 2 + 4 + 8 + 16 + 32) * 32
    assert re.search(r"SHAPE\(0, 96, 3, 1\) SHAPE\(1, 32, 3, 1\) SHAPE\(2, 32, 4, 2\)", header)
