"""Onset counts against their definition, and the score of a session with a planted network."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import planted_heart as planted
import pytest
import soundfile as sf
import sounds
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_heart import DELAY, PlantedEngine

import align.statistics
from acula_edge import session
from acula_edge.bundle import load_bundle
from acula_edge.phases import CYCLE
from align.corpora import Interval, Recording
from export import phase_score
from export.phase_score import (
    TOLERANCE,
    PhaseScore,
    PhaseScoreError,
    annotated_rate,
    count_onsets,
    f1,
    match,
    phase_figures,
    precision,
    recall,
    score_phases,
    score_recording,
    spans,
)

REAL = Path(__file__).parents[3] / "shared" / "data"
SHIPPED = load_bundle("heart-lung")
BUNDLE = dataclasses.replace(
    SHIPPED,
    manifest=dataclasses.replace(
        SHIPPED.manifest, phases=tuple(CYCLE), phase_delay=DELAY, text=None
    ),
)


def intervals(marks, end):
    edges = [*(start for start, _ in marks), end]
    return tuple(
        Interval(start, stop, phase) for (start, phase), stop in zip(marks, edges[1:], strict=True)
    )


TRUTH = intervals(planted.boundaries(10, 100), 10.0)
S1 = [part.start for part in TRUTH[1:] if part.label == "S1"]


def test_the_truth_matches_itself():
    assert count_onsets(TRUTH, "S1", S1) == (len(S1),) * 3


@pytest.mark.parametrize(("shift", "hits"), [(0.055, True), (-0.055, True), (0.065, False)])
def test_the_tolerance_is_60_ms(shift, hits):
    true, told, matched = count_onsets(TRUTH, "S1", [at + shift for at in S1])
    assert matched == (len(S1) if hits else 0)
    assert (true, told) == (len(S1), len(S1))


def test_an_onset_is_matched_once():
    twice = sorted([*S1, *(at + 0.01 for at in S1)])
    assert count_onsets(TRUTH, "S1", twice) == (len(S1), 2 * len(S1), len(S1))


def test_the_other_sound_is_no_match():
    s2 = [part.start for part in TRUTH if part.label == "S2"]
    assert count_onsets(TRUTH, "S1", s2)[2] == 0


def test_what_is_told_outside_the_annotation_does_not_count():
    early = [part for part in TRUTH if part.end <= 4.0]
    late = [part for part in TRUTH if part.start >= 6.0]
    starts = [p.start for s in (early, late) for p in s[1:] if p.label == "S1"]
    assert len(spans([*late, *early])) == 2
    assert count_onsets([*late, *early], "S1", S1) == (len(starts),) * 3
    assert count_onsets(early, "S1", [4.5, 5.0, 5.5, 9.0])[1:] == (0, 0)


def test_the_start_of_an_annotation_is_no_onset():
    first = TRUTH[0]
    assert first.label == "S1"
    assert count_onsets(TRUTH, "S1", [first.start, *S1]) == (len(S1),) * 3


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 60), max_size=6, unique=True),
    st.lists(st.integers(0, 60), max_size=6, unique=True),
)
def test_no_other_pairing_matches_more(a, b):
    true, told = ([round(x * 0.01, 2) for x in sorted(side)] for side in (a, b))
    pairs = match(true, told)
    assert all(abs(true[i] - told[j]) <= TOLERANCE for i, j in pairs)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    assert len(pairs) == most(true, told)


def most(true, told):
    if not true or not told:
        return 0
    rest = [
        1 + most(true[1:], told[:j] + told[j + 1 :])
        for j, at in enumerate(told)
        if abs(at - true[0]) <= TOLERANCE
    ]
    return max([most(true[1:], told), *rest])


def test_ratios_are_what_their_names_say():
    counts = np.array([10, 8, 6])
    assert precision(counts) == 6 / 8
    assert recall(counts) == 6 / 10
    assert f1(counts) == pytest.approx(2 * (6 / 8) * (6 / 10) / (6 / 8 + 6 / 10))
    assert np.isnan(precision(np.array([3, 0, 0])))


def test_the_annotated_rate_is_that_of_the_median_beat_within_spans():
    assert annotated_rate(TRUTH) == pytest.approx(100)
    gap = [p for p in TRUTH if p.end <= 3.0 or p.start >= 7.0]
    assert annotated_rate(gap) == pytest.approx(100)
    assert annotated_rate(TRUTH[:8]) is None


def recording(tmp_path, parts):
    path = tmp_path / "1_AV.wav"
    sf.write(path, sounds.heartbeat(11), 4000)
    return Recording("circor", "1_AV", path, "1", "d", "AV", "val", {"murmur": False}, parts)


@pytest.fixture
def network(monkeypatch):
    logits = planted.logits(planted.boundaries(11, 100), 11)
    monkeypatch.setattr(session, "open_engine", lambda *_: PlantedEngine(logits))
    monkeypatch.setattr(align.statistics, "RESAMPLES", 50)


@pytest.mark.usefixtures("network")
def test_a_network_that_knows_the_phases_scores_one(tmp_path):
    result = score_recording(BUNDLE, "cpu-int8", recording(tmp_path, TRUTH))
    assert result.true_rate == pytest.approx(100)
    assert result.told_rate == pytest.approx(100, abs=2)
    for true, told, matched in result.counts:
        assert true == told == matched > 10


@pytest.mark.usefixtures("network")
def test_a_network_that_is_late_scores_nothing(tmp_path):
    moved = tuple(Interval(p.start - 0.09, p.end - 0.09, p.label) for p in TRUTH)
    result = score_recording(BUNDLE, "cpu-int8", recording(tmp_path, moved))
    assert [matched for _, _, matched in result.counts] == [0, 0]


@pytest.mark.usefixtures("network")
def test_a_split_is_scored_and_others_are_left_alone(tmp_path, monkeypatch):
    rows = [recording(tmp_path, TRUTH)]
    rows.append(dataclasses.replace(rows[0], split="test", path=tmp_path / "not-there.wav"))
    rows.append(dataclasses.replace(rows[0], intervals=(), path=tmp_path / "not-there.wav"))
    monkeypatch.setattr(phase_score, "read_corpus", lambda *_: rows)
    figures = score_phases(BUNDLE, "cpu-int8", tmp_path, "val", quiet=True)
    assert figures["recordings"] == figures["patients"] == 1
    for sound in ("S1", "S2"):
        assert figures[sound]["f1"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert figures["heart_rate"]["told"] == 1
    assert figures["heart_rate"]["mean_absolute_error_bpm"]["value"] < 2
    with pytest.raises(PhaseScoreError, match="'train'"):
        score_phases(BUNDLE, "cpu-int8", tmp_path, "train", quiet=True)


def test_a_bundle_without_phases_is_one_sentence(tmp_path):
    plain = dataclasses.replace(BUNDLE, manifest=dataclasses.replace(BUNDLE.manifest, phases=()))
    with pytest.raises(PhaseScoreError, match="no cardiac phases"):
        score_phases(plain, "cpu-int8", tmp_path, "val", quiet=True)


def test_figures_pool_counts_and_resample_patients(tmp_path, monkeypatch):
    monkeypatch.setattr(align.statistics, "RESAMPLES", 200)
    row = recording(tmp_path, TRUTH)
    scores = [
        PhaseScore(dataclasses.replace(row, patient=str(n)), counts, 100.0, rate)
        for n, (counts, rate) in enumerate(
            [(((10, 10, 10), (10, 10, 5)), 101.0), (((30, 20, 10), (10, 0, 0)), None)]
        )
    ]
    figures = phase_figures(scores)
    assert figures["S1"]["onsets"] == 40
    assert figures["S1"]["precision"]["value"] == pytest.approx(20 / 30, abs=1e-4)
    assert figures["S1"]["recall"]["value"] == 0.5
    assert figures["S1"]["f1"]["low"] < figures["S1"]["f1"]["value"] < figures["S1"]["f1"]["high"]
    assert figures["heart_rate"] == {
        "recordings": 2,
        "told": 1,
        "mean_absolute_error_bpm": {"value": 1.0, "low": 1.0, "high": 1.0},
        "within_5_bpm": 1.0,
    }


@pytest.mark.skipif(not REAL.is_dir(), reason="the corpora are not on this machine")
@pytest.mark.skipif(not SHIPPED.manifest.phases, reason="the shipped bundle tells no phases")
def test_the_shipped_bundle_hears_validation_hearts():
    from align.corpora import read_corpus

    rows = (r for r in read_corpus("circor", REAL) if r.split == "val" and r.intervals)
    scores = [score_recording(SHIPPED, "cpu-int8", row) for row in itertools.islice(rows, 12)]
    counts = np.array([score.counts for score in scores]).sum(axis=0)
    assert f1(counts[0]) > 0.8
    assert f1(counts[1]) > 0.8
