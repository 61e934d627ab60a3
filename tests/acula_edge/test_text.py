"""Similarity of an exam to prompts and reports: against the definition, and through `Session`."""

from __future__ import annotations

import dataclasses
import json
import math
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import soundfile as sf
import sounds
from text_bundle import (
    REPORTS,
    direction,
    plain_bundle,
    projection,
    prompt,
    reports,
    teacher_size,
    text_bundle,
)
from typer.testing import CliRunner

from acula_edge import Session
from acula_edge.bundle import Bundle, Passage, load_bundle
from acula_edge.cli import app
from acula_edge.engine import open_engine
from acula_edge.errors import UsageError
from acula_edge.events import Exam, QualityState, Window, to_json
from acula_edge.text import ReportIndex, TextEvidence, project, prompt_similarity, text_evidence

SHIPPED = load_bundle("heart-lung")
SIZE = SHIPPED.manifest.embedding
BEAT = sounds.heartbeat(6)
CONTRAST = Passage("normal heart sounds", direction(SIZE, 9))
PROMPTS = (
    prompt("click", SIZE, 1, site="heart"),
    prompt("click-against", SIZE, 1, site="heart", against=CONTRAST),
    prompt("squawk", SIZE, 2, site="lung"),
    prompt("anything", SIZE, 3),
)
SCHEMA = json.loads(files("acula_edge").joinpath("schemas/event.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("aligned") / "heart-lung"
    return text_bundle(folder, SHIPPED, prompts=PROMPTS)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Without a text space, whatever the shipped bundle has."""
    return plain_bundle(tmp_path_factory.mktemp("plain") / "heart-lung", SHIPPED)


@pytest.fixture(scope="module")
def unexplained(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return text_bundle(tmp_path_factory.mktemp("mute") / "heart-lung", SHIPPED, reports=None)


def exam_of(bundle: Bundle, pcm: Any = BEAT, **options: Any) -> Exam:
    with Session(bundle, **options) as session:
        session.push(pcm)
        return session.finish()


def cosine(a: Any, b: Any) -> float:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(a @ b / math.sqrt(float((a * a).sum()) * float((b * b).sum())))


def embeddings(bundle: Bundle, pcm: Any) -> Any:
    """The embedding of every hop, straight from the engine."""
    engine, hop = open_engine(bundle, "cpu-int8"), bundle.manifest.hop
    whole = pcm[: len(pcm) // hop * hop].reshape(-1, hop)
    return np.array([engine.run(one).embedding.astype(np.float64) for one in whole])


def heard(bundle: Bundle, pcm: Any) -> Any:
    return embeddings(bundle, pcm).mean(axis=0)


def test_an_exam_is_the_mean_of_its_hops_and_scored_by_cosine(aligned: Bundle) -> None:
    exam = exam_of(aligned, site="heart")
    assert exam.refused_seconds == 0
    mean = heard(aligned, BEAT)
    wanted = {
        "click": cosine(mean, PROMPTS[0].vector),
        "click-against": cosine(mean, PROMPTS[0].vector) - cosine(mean, CONTRAST.vector),
        "anything": cosine(mean, PROMPTS[3].vector),
    }
    assert exam.similarities == pytest.approx(wanted, abs=1e-9)
    assert exam.similar == ()


def test_a_site_hears_its_own_prompts_and_no_site_all(aligned: Bundle) -> None:
    assert set(exam_of(aligned).similarities) == {one.name for one in PROMPTS}
    assert set(exam_of(aligned, site="lung").similarities) == {"squawk", "anything"}


def test_reports_are_told_nearest_first(aligned: Bundle) -> None:
    exam = exam_of(aligned, explain=3)
    mean = heard(aligned, BEAT)
    ranked = sorted(reports(SIZE), key=lambda one: -cosine(mean, one.vector))
    assert [one.text for one in exam.similar] == [one.text for one in ranked[:3]]
    for one, report in zip(exam.similar, ranked, strict=False):
        assert one.similarity == pytest.approx(cosine(mean, report.vector), abs=1e-9)
    assert len(exam_of(aligned, explain=100).similar) == len(REPORTS)


def test_refused_hops_are_no_evidence(aligned: Bundle) -> None:
    pcm = np.concatenate([BEAT, np.zeros(4000 * 8, np.float32)])
    with Session(aligned) as session:
        events = [*session.push(pcm), *session.flush()]
        place = session.embedding
    windows = [event for event in events if isinstance(event, Window)]
    usable = [window.quality is not QualityState.REFUSE for window in windows]
    assert 5 < sum(usable) < len(usable) - 5
    each = embeddings(aligned, pcm)
    assert place is not None
    assert np.linalg.norm(place) == pytest.approx(1)
    assert cosine(place, each[usable].mean(axis=0)) == pytest.approx(1, abs=1e-9)
    assert cosine(place, each.mean(axis=0)) < 0.9999


def test_an_exam_that_abstains_is_similar_to_nothing(aligned: Bundle) -> None:
    silence = exam_of(aligned, np.zeros(4000 * 6, np.float32), explain=3)
    short = exam_of(aligned, BEAT[:4000], explain=3)
    for exam in (silence, short):
        assert exam.abstained
        assert (exam.similarities, exam.similar) == ({}, ())
    with Session(aligned) as session:
        session.push(np.zeros(4000, np.float32))
        assert session.embedding is None


def test_however_the_sound_is_cut_the_similarities_are_the_same(aligned: Bundle) -> None:
    with Session(aligned, explain=2) as session:
        for piece in np.split(BEAT, [1, 77, 5000, 5001, 16000]):
            session.push(piece)
        assert session.finish() == exam_of(aligned, explain=2)


def test_without_a_text_space_nothing_changes(aligned: Bundle, plain: Bundle) -> None:
    without, told = exam_of(plain), exam_of(aligned, explain=3)
    assert dataclasses.replace(told, similarities={}, similar=()) == without
    assert not {"similarities", "similar"} & to_json(without).keys()
    with Session(plain) as session:
        session.push(BEAT)
        assert session.embedding is None


def test_explaining_is_refused_without_a_space_or_an_index(
    plain: Bundle, unexplained: Bundle
) -> None:
    with pytest.raises(UsageError, match="'heart-lung' has no text space: it was not aligned"):
        Session(plain, explain=1)
    with pytest.raises(UsageError, match="'heart-lung' has no report index"):
        Session(unexplained, explain=1)
    assert exam_of(unexplained).similarities == {}


def test_the_json_form_fits_the_schema(aligned: Bundle) -> None:
    line = json.loads(json.dumps(to_json(exam_of(aligned, explain=2), file="a.wav")))
    VALIDATOR.validate(line)
    assert line["similarities"].keys() == {one.name for one in PROMPTS}
    assert [set(one) for one in line["similar"]] == [{"text", "similarity"}] * 2
    for broken in ({"similar": [{"text": "a"}]}, {"similarities": {"a": 3}}, {"similar": []}):
        with pytest.raises(jsonschema.ValidationError):
            VALIDATOR.validate({**line, **broken})


def test_a_similarity_counts_direction_alone() -> None:
    place, one = np.array([3.0, 4.0]), prompt("a", 2, 1, vector=(30.0, 40.0))
    assert prompt_similarity(place, one) == pytest.approx(1)
    opposed = prompt("b", 2, 1, vector=(30.0, 40.0), against=Passage("x", (-3.0, -4.0)))
    assert prompt_similarity(place, opposed) == pytest.approx(2)


def test_equal_reports_keep_their_order() -> None:
    index = ReportIndex(("b", "a", "c"), np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]]))
    assert [one.text for one in index.nearest(np.array([1.0, 0.1]), 3)] == ["b", "a", "c"]
    assert [one.text for one in index.nearest(np.array([0.0, 1.0]), 1)] == ["c"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_embedding_that_is_not_finite_gives_none(value: float) -> None:
    evidence = TextEvidence(2)
    evidence.add(np.array([value, 1.0], np.float32))
    assert evidence.embedding is None


def test_a_texts_place_is_its_centred_vector_times_the_basis(
    aligned: Bundle, plain: Bundle
) -> None:
    values = projection(SIZE).astype(np.float64)
    wide = teacher_size(SIZE)
    mean, basis = values[:wide], values[wide:].reshape(wide, SIZE)
    texts = np.random.default_rng(0).normal(size=(2, wide))
    np.testing.assert_allclose(project(aligned, texts), (texts - mean) @ basis, atol=1e-12)
    with pytest.raises(UsageError, match=rf"shape \(2, {wide - 1}\), not \(n, {wide}\)"):
        project(aligned, texts[:, 1:])
    with pytest.raises(UsageError, match="no text space"):
        project(plain, texts)


def test_nobody_asked_means_nothing_is_read(aligned: Bundle) -> None:
    broken = dataclasses.replace(aligned, files={**aligned.files, "reports.jsonl": b"damaged"})
    assert text_evidence(broken, None) is not None


@pytest.fixture(scope="module")
def wave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "beat.wav"
    sf.write(path, BEAT, 4000)
    return path


def classify(*arguments: object) -> Any:
    runner = CliRunner(env={"COLUMNS": "200"})
    return runner.invoke(app, ["classify", *map(str, arguments)])


def test_classify_explains(aligned: Bundle, wave: Path) -> None:
    result = classify(wave, "--model", aligned.origin, "--explain", "--json")
    assert result.exit_code == 0, result.output
    line = json.loads(result.stdout)
    VALIDATOR.validate(line)
    assert [one["text"] for one in line["similar"]] == [
        one.text for one in exam_of(aligned, explain=3).similar
    ]
    table = classify(wave, "--model", aligned.origin, "--explain").stdout
    assert "no decision" in table
    for text in (line["similar"][0]["text"], "prompt click-against"):
        assert text in table


def test_classify_shows_prompts_and_no_reports_unasked(
    aligned: Bundle, plain: Bundle, wave: Path
) -> None:
    shown = classify(wave, "--model", aligned.origin).stdout
    assert "prompt squawk" in shown
    assert not any(report in shown for report in REPORTS)
    assert "similar" not in classify(wave, "--model", plain.origin, "--json").stdout


def test_classify_refuses_to_explain_without_a_text_space(plain: Bundle, wave: Path) -> None:
    result = classify(wave, "--model", plain.origin, "--explain")
    assert isinstance(result.exception, UsageError)
    assert "has no text space" in str(result.exception)
    assert result.stdout == ""
