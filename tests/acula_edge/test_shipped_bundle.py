"""The bundle in the wheel: intact, small, exact, and described by the figures it carries."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from acula_edge import Session
from acula_edge.bundle import load_bundle
from acula_edge.bundle.golden import verify_golden
from acula_edge.demo import demos
from acula_edge.engine import open_engine, open_graph

ROOT = Path(__file__).parents[2]
BUNDLE = load_bundle("heart-lung")
MANIFEST = BUNDLE.manifest
DEMOS = demos()


def hops_of(demo):
    pcm, rate = sf.read(demo.path, dtype="float32")
    assert rate == MANIFEST.rate
    return pcm[: len(pcm) // MANIFEST.hop * MANIFEST.hop].reshape(-1, MANIFEST.hop)


def stream_scores(variant, hops):
    engine = open_engine(BUNDLE, variant)
    return np.array([engine.run(hop).scores.copy() for hop in hops])


def test_it_verifies():
    BUNDLE.verify()
    assert len(list(verify_golden(BUNDLE))) >= 3


def test_it_is_small():
    shipped = [*BUNDLE.origin.iterdir(), *(demo.path for demo in DEMOS)]
    assert sum(path.stat().st_size for path in shipped) <= 1_700_000


@pytest.mark.parametrize("demo", DEMOS, ids=lambda demo: demo.path.stem)
def test_the_stream_equals_the_window(demo):
    pcm = np.zeros(MANIFEST.window, np.float32)
    hops = hops_of(demo)[: MANIFEST.hops_per_window]
    pcm[: hops.size] = hops.ravel()
    window = open_graph(BUNDLE.graph("cpu-int8", "window")).run(["scores"], {"pcm": pcm[None]})[0]
    difference = np.abs(stream_scores("cpu-int8", hops).T - window[0][:, : len(hops)])
    assert difference.max() <= MANIFEST.parity.window_tolerance


@pytest.mark.parametrize("demo", DEMOS, ids=lambda demo: demo.path.stem)
@pytest.mark.parametrize("gain_db", [-20, 20])
def test_gain_moves_every_hop_less_than_stated(demo, gain_db):
    hops = hops_of(demo) * 0.1
    moved = stream_scores("cpu-int8", (hops * 10 ** (gain_db / 20)).astype(np.float32))
    difference = np.abs(moved - stream_scores("cpu-int8", hops.astype(np.float32)))
    assert difference.max() <= MANIFEST.parity.gain_tolerance


@pytest.mark.parametrize("demo", DEMOS, ids=lambda demo: demo.path.stem)
def test_int8_stays_beside_fp32(demo):
    exams = []
    for variant in ("cpu-int8", "fp32"):
        with Session(BUNDLE, site=demo.site, variant=variant) as session:
            session.push(hops_of(demo).ravel())
            exams.append(session.finish())
    for name in exams[0].findings:
        a, b = (exam.findings[name].probability for exam in exams)
        assert a == pytest.approx(b, abs=0.08)


def test_it_was_measured_and_reached_what_it_claims():
    int8, fp32 = MANIFEST.metrics["cpu-int8"], MANIFEST.metrics["fp32"]
    for finding, least in (("murmur", 0.95), ("wheeze", 0.87), ("crackle", 0.81)):
        assert int8[finding]["auroc"]["value"] >= least
        assert abs(int8[finding]["auroc"]["value"] - fp32[finding]["auroc"]["value"]) <= 0.003
        assert int8[finding]["auroc"]["low"] < int8[finding]["auroc"]["value"]


def test_the_figures_of_the_readme_are_the_manifests():
    text = (ROOT / "README.md").read_text()
    block = re.search(r"<!-- figures -->\n(.*?)<!-- /figures -->", text, re.DOTALL)
    rows = [line.split("|")[1:-1] for line in block[1].splitlines() if line.startswith("| `")]
    assert len(rows) == 4
    int8 = MANIFEST.metrics["cpu-int8"]
    for name, _, recordings, auroc in rows:
        key = name.strip(" `")
        entry = int8["physionet2016"][key[-1]] if "physionet" in key else int8[key]
        span = entry["auroc"]
        assert auroc.strip() == f"{span['value']:.3f} [{span['low']:.3f}, {span['high']:.3f}]"
        assert recordings.strip() == f"{entry['recordings']} ({entry['positive']})"


def test_the_readme_quotes_the_heart_sounds_and_the_zero_shot_findings():
    text = (ROOT / "README.md").read_text()
    metrics = MANIFEST.metrics
    spans = [metrics["phases"][sound]["f1"] for sound in ("S1", "S2")]
    spans += [entry["auroc"] for entry in metrics["text"]["zero_shot"].values()]
    spans.append(metrics["cpu-int8"]["murmur"]["patient_level"]["auroc"])
    for span in spans:
        assert f"{span['value']:.3f} [{span['low']:.3f}, {span['high']:.3f}]" in text
    assert all(metrics["phases"][sound]["f1"]["value"] >= 0.93 for sound in ("S1", "S2"))


def test_databases_that_the_teacher_heard_are_no_transfer():
    heard = {item.corpus for item in MANIFEST.training_data}
    tested = MANIFEST.metrics["cpu-int8"]["physionet2016"]
    assert tested
    assert not heard & {f"physionet2016-{name}" for name in tested}


def test_the_card_carries_the_same_figures():
    card = BUNDLE.card()
    for variant in MANIFEST.variants:
        for finding in MANIFEST.labels:
            span = MANIFEST.metrics[variant][finding]["auroc"]
            row = next(
                line for line in card.splitlines() if line.startswith(f"| {variant} | {finding} |")
            )
            assert f"{span['value']:.3f} [{span['low']:.3f}, {span['high']:.3f}]" in row
