"""The text space, the targets and reports in it, and the figures of embeddings that find them."""

import dataclasses

import numpy as np
import pytest
from rows import row
from text_bundle import plain_bundle
from word_teacher import SIZE as TEACHER_SIZE
from word_teacher import vectors

from acula_edge.bundle import load_bundle, write_bundle
from acula_edge.bundle.text_files import read_reports
from acula_edge.text import project, report_index
from align.probe.language import Texts
from align.reports import texts_for
from align.tasks import load_tasks
from align.teacher import TeacherConfig
from export import text_space
from export.text_figures import text_figures
from export.text_space import (
    TextSpaceError,
    fit_reports,
    fit_text_space,
    heard_texts,
    passage,
    text_files,
    training_targets,
    unit,
)

SIZE = 10
TEACHER = TeacherConfig(model="tiny/teacher", pooling="last", layer=3, revision="abc")
TASKS = [load_tasks()[name] for name in ("circor-murmur", "sprsound-wheeze")]
PLACES = ("AV", "MV", "PV", "TV")


def heart(number, *, murmur, split="train"):
    metadata = {"Age": ("Child", "Infant", "Neonate")[number % 3], "Sex": "Female"}
    metadata |= {"Murmur": "Present", "Murmur locations": "AV"} if murmur else {"Murmur": "Absent"}
    return row(
        f"{split}-h{number}",
        patient=f"{split}-{number // 2}",
        site="AV" if murmur else PLACES[number % 4],
        split=split,
        labels={"murmur": murmur},
        metadata=metadata,
    )


def lung(number, *, wheeze, split="train"):
    return row(
        f"{split}-l{number}",
        corpus="sprsound",
        site=f"p{number % 4 + 1}",
        split=split,
        labels={"wheeze": wheeze, "crackle": wheeze and number % 2 == 0},
        metadata={"age": str(number % 7 + 1), "sex": "male", "quality": "good"},
    )


def recordings(split):
    hearts = [heart(i, murmur=i % 3 == 0, split=split) for i in range(24)]
    return hearts + [lung(i, wheeze=i % 4 == 0, split=split) for i in range(24)]


ROWS = recordings("train")
TESTED = recordings("test")


def texts_of(rows):
    reports = {
        (one.corpus, one.name): report.text
        for one, report in zip(rows, texts_for(rows, "template"), strict=True)
    }
    prompts = [text for task in TASKS for own in task.prompts for text in own]
    distinct = list(dict.fromkeys([*reports.values(), *prompts]))
    place = {text: number for number, text in enumerate(distinct)}
    return Texts("tiny/teacher", "include", reports, place, vectors(distinct))


TEXTS = texts_of([*ROWS, *TESTED])
FIT = fit_reports(ROWS, TEXTS, SIZE)
INDEX = text_space.report_index(ROWS, TEXTS, FIT)


def figures(embeddings, rows=TESTED, tasks=TASKS, reports=INDEX):
    return text_figures(rows, embeddings, TEXTS, FIT, reports, tasks, resamples=50)


def test_the_space_holds_the_directions_in_which_reports_differ_most():
    random = np.random.default_rng(0)
    planted, _ = np.linalg.qr(random.normal(size=(20, 3)))
    spread = random.normal(size=(200, 3)) * [9, 6, 3]
    found = fit_text_space((spread @ planted.T + 5).astype(np.float32), 3)
    assert found.kept == pytest.approx(1)
    # the same plane: projecting onto it loses nothing of the planted directions
    np.testing.assert_allclose(found.basis @ (found.basis.T @ planted), planted, atol=1e-4)
    np.testing.assert_allclose(found.basis.T @ found.basis, np.eye(3), atol=1e-5)
    variances = found.project((spread @ planted.T + 5).astype(np.float32)).var(axis=0)
    assert variances[0] > variances[1] > variances[2]


def test_a_fit_is_repeatable_and_independent_of_order():
    values = np.random.default_rng(1).normal(size=(60, 12)).astype(np.float32)
    again = fit_text_space(values[::-1].copy(), 5)
    np.testing.assert_allclose(fit_text_space(values, 5).basis, again.basis, atol=1e-5)


def test_dropped_directions_cost_their_share_of_variance():
    values = np.diag([3.0, 2.0, 1.0]).astype(np.float32)
    values = np.concatenate([values, -values])
    assert fit_text_space(values, 2).kept == pytest.approx(13 / 14)


@pytest.mark.parametrize(
    ("values", "size", "reason"),
    [
        (np.ones((5, 4), np.float32), 2, "5 distinct reports span 0 dimensions"),
        (np.eye(3, 8, dtype=np.float32), 3, "3 distinct reports span 2 dimensions"),
        (np.eye(3, 8, dtype=np.float32), 0, "a text space of 0 does not fit"),
        (np.zeros((0, 8), np.float32), 2, "0 distinct reports"),
        (np.full((3, 8), np.nan, np.float32), 2, "not finite"),
    ],
)
def test_reports_that_make_no_space_are_refused(values, size, reason):
    with pytest.raises(TextSpaceError, match=reason):
        fit_text_space(values, size)


def test_a_target_is_the_mean_of_the_reports_with_equal_findings():
    targets = training_targets(ROWS, TEXTS, FIT)
    assert targets.keys() == {(one.corpus, one.name) for one in ROWS}
    normal = [one for one in ROWS if one.corpus == "circor" and not one.labels["murmur"]]
    places = FIT.project(TEXTS.of(TEXTS.reports_of(normal)))
    assert len({TEXTS.reports[one.corpus, one.name] for one in normal}) > 3
    wanted = places.mean(axis=0) / np.linalg.norm(places.mean(axis=0))
    for one in normal:
        np.testing.assert_allclose(targets[one.corpus, one.name], wanted, atol=1e-6)
    loud = next(one for one in ROWS if one.labels.get("murmur"))
    assert targets["circor", loud.name] @ wanted < 0.9


def test_a_target_may_lean_to_the_recordings_own_report():
    own = unit(FIT.project(TEXTS.of(TEXTS.reports_of(ROWS))))
    means, halves, alone = (
        np.stack(list(training_targets(ROWS, TEXTS, FIT, share).values())) for share in (0, 0.5, 1)
    )
    keys = training_targets(ROWS, TEXTS, FIT).keys()
    order = [[(one.corpus, one.name) for one in ROWS].index(key) for key in keys]
    np.testing.assert_allclose(alone, own[order], atol=1e-5)
    np.testing.assert_allclose(halves, unit(means + own[order]), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(halves, axis=1), 1, atol=1e-5)


def test_the_index_tells_findings_alone_most_frequent_first():
    heard = heard_texts(ROWS)
    assert [one.text for one in INDEX] == sorted(set(heard), key=lambda t: -heard.count(t))
    assert not any(word in one.text for one in INDEX for word in ("child", "year", "girl"))
    targets = training_targets(ROWS, TEXTS, FIT)
    own = targets[ROWS[0].corpus, ROWS[0].name]
    first = next(one for one in INDEX if one.text == heard[0])
    np.testing.assert_allclose(first.vector, own, atol=1e-3)
    assert [one.text for one in text_space.report_index(ROWS, TEXTS, FIT, most=2)] == [
        one.text for one in INDEX[:2]
    ]


def test_the_index_leaves_out_diagnoses_and_what_nobody_labelled():
    diagnosis = row("x", corpus="physionet2016", labels={"abnormal": True})
    unlabelled = row("y", metadata={"Murmur": "Unknown"})
    with pytest.raises(TextSpaceError, match="no labelled recording of circor or sprsound"):
        text_space.report_index([diagnosis, unlabelled], TEXTS, FIT)


def test_a_place_without_a_direction_is_refused():
    for place in (np.zeros(3, np.float32), np.full(3, np.nan, np.float32)):
        with pytest.raises(TextSpaceError, match="'a text' has no direction"):
            passage("a text", place)


def test_the_files_are_what_a_bundle_reads(tmp_path):
    """Written around a shipped graph of another embedding size, so fitted to that."""
    base = plain_bundle(tmp_path / "plain", load_bundle("heart-lung"))
    size = base.manifest.embedding
    wide = np.random.default_rng(0).normal(size=(4 * size, 2 * size)).astype(np.float32)
    fit = fit_text_space(wide, size)
    reports = [passage("A murmur.", fit.project(wide)[0]), passage("None.", fit.project(wide)[1])]
    space, files = text_files(fit, TEACHER, reports, reports[1])
    assert (space.teacher, space.pooling, space.layer) == ("tiny/teacher", "last", 3)
    assert (space.revision, space.teacher_size, space.size) == ("abc", 2 * size, size)
    graphs = {name: data for name, data in base.files.items() if name.endswith(".onnx")}
    extra = {"golden.f32": base.files["golden.f32"], **files}
    manifest = dataclasses.replace(base.manifest, text=space)
    write_bundle(tmp_path / "aligned", manifest, graphs, "card", extra)
    bundle = load_bundle(tmp_path / "aligned")
    np.testing.assert_allclose(project(bundle, wide), fit.project(wide), atol=1e-4)
    assert read_reports(bundle.files["text-reports.jsonl"], space) == tuple(reports)
    (nearest,) = report_index(bundle).nearest(fit.project(wide)[1].astype(np.float64), 1)
    assert (nearest.text, nearest.similarity) == ("None.", pytest.approx(1, abs=1e-5))


def test_without_reports_there_is_no_index_file():
    space, files = text_files(FIT, TEACHER, ())
    assert (space.reports, list(files)) == (None, ["text-projection.f32"])
    assert len(files["text-projection.f32"]) == 4 * TEACHER_SIZE * (1 + SIZE)


def test_the_reference_is_a_text_of_the_teacher(tmp_path, monkeypatch):
    from word_teacher import WordTeacher

    def embed(texts, config, cache):
        return original(texts, config, cache, teacher_factory=WordTeacher)

    original = text_space.embed_texts
    monkeypatch.setattr(text_space, "embed_texts", embed)
    found = text_space.reference_passage(FIT, TEACHER, tmp_path)
    place = FIT.project(vectors([text_space.REFERENCE]))[0]
    np.testing.assert_allclose(found.vector, unit(place), atol=2e-3)  # the cache is float16


def test_embeddings_that_are_their_reports_are_found():
    own = FIT.project(TEXTS.of(TEXTS.reports_of(TESTED)))
    found = figures(own)
    for corpus in ("circor", "sprsound"):
        entry = found["retrieval"][corpus]
        assert entry["recordings"] == 24
        assert entry["recall@1"]["value"] == 1
        assert entry["chance@1"] == pytest.approx(1 / entry["reports"], abs=1e-4)
    assert found["unusable"] == 0
    assert found["kept_variance"] == round(FIT.kept, 4)


def test_embeddings_at_their_targets_are_found_in_the_index():
    targets = training_targets(TESTED, TEXTS, FIT)
    found = figures(np.stack([targets[one.corpus, one.name] for one in TESTED]))["index"]
    heard = heard_texts(TESTED)
    for corpus in ("circor", "sprsound"):
        own = [t for t, one in zip(heard, TESTED, strict=True) if one.corpus == corpus]
        assert found[corpus]["recall@1"]["value"] == 1
        assert found[corpus]["in_index"] == 24
        most = max(own.count(text) for text in own)
        assert found[corpus]["constant@1"] == pytest.approx(most / 24, abs=1e-4)


def test_what_the_index_lacks_cannot_be_found():
    targets = training_targets(TESTED, TEXTS, FIT)
    places = np.stack([targets[one.corpus, one.name] for one in TESTED])
    found = figures(places, reports=INDEX[:1])["index"]
    heard = heard_texts(TESTED)
    assert found["circor"]["in_index"] + found["sprsound"]["in_index"] == heard.count(INDEX[0].text)
    assert figures(places, reports=())["index"] == {}


def test_zero_shot_reads_the_prompts_of_each_task():
    prompts = {task.name: [FIT.project(TEXTS.of(own))[0] for own in task.prompts] for task in TASKS}
    sides = np.stack(
        [
            prompts["circor-murmur"][int(one.labels["murmur"])]
            if one.corpus == "circor"
            else prompts["sprsound-wheeze"][int(one.labels["wheeze"])]
            for one in TESTED
        ]
    )
    found = figures(sides)["zero_shot"]
    assert {name: one["auroc"]["value"] for name, one in found.items()} == {
        "circor-murmur": 1,
        "sprsound-wheeze": 1,
    }
    assert found["circor-murmur"]["by_class"] == [16, 8]
    assert found["circor-murmur"]["patients"] == 12
    assert found["circor-murmur"]["prompts"] == [list(own) for own in TASKS[0].prompts]
    hearts = [one for one in TESTED if one.corpus == "circor"]
    turned = figures(-sides[:24], hearts)["zero_shot"]
    assert {name: one["auroc"]["value"] for name, one in turned.items()} == {"circor-murmur": 0}


def test_unrelated_embeddings_are_at_chance():
    random = np.random.default_rng(0)
    shape = (len(TESTED), SIZE)
    drawn = [figures(random.normal(size=shape).astype(np.float32)) for _ in range(40)]
    for task in ("circor-murmur", "sprsound-wheeze"):
        found = np.mean([one["zero_shot"][task]["auroc"]["value"] for one in drawn])
        assert found == pytest.approx(0.5, abs=0.08)


def test_recordings_without_an_embedding_are_counted_not_scored():
    own = FIT.project(TEXTS.of(TEXTS.reports_of(TESTED)))
    own[[0, 30]] = np.nan
    found = figures(own)
    assert found["unusable"] == 2
    assert [found["retrieval"][c]["recordings"] for c in ("circor", "sprsound")] == [23, 23]


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(TextSpaceError, match="1 embeddings for 48 recordings"):
        figures(np.ones((1, SIZE), np.float32))
    with pytest.raises(TextSpaceError, match="no recording has an embedding"):
        figures(np.full((len(TESTED), SIZE), np.nan, np.float32))
