"""`acula-edge align`: what a user types, and one sentence where it cannot go on."""

import json

import pytest
from tiny_corpora import write_corpora

from acula_edge.cli import main

RECIPE = """
name = "tiny"
tasks = ["circor-murmur"]
seeds = [0]
holdouts = ["a"]
[encoder]
name = "conv"
options = { width = 16, seconds = 1.024, blocks = 1 }
[[corpora]]
name = "circor"
batch = 8
[teacher]
model = "minilm"
[objective]
hidden = 32
width = 32
[align]
steps = 1
learning_rate = 1e-3
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("align-cli")
    write_corpora(root / "data", patients=20)
    (root / "tiny.toml").write_text(RECIPE)
    return root


def call(*words):
    """Exit code of the command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["acula-edge", "align", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
    return stopped.value.code or 0


def run(place, *words):
    folders = ["--data", place / "data", "--cache", place / "cache"]
    return call(words[0], place / "tiny.toml", *folders, *words[1:])


def test_run_prints_its_certificate_and_leaves_an_encoder(place, capsys):
    assert run(place, "run", "--folder", place / "run") == 0
    told = capsys.readouterr().out
    certificate = json.loads(told[told.index("{") : told.rindex("}") + 1])
    assert certificate["passed"] is True
    left = {path.name for path in (place / "run").iterdir()}
    assert left >= {
        *("encoder.safetensors", "encoder.json", "run.json", "MODEL_CARD.md"),
        *("certificate.json", "log.jsonl", "tensorboard"),
    }


def test_controls_write_the_table_of_the_rows_asked_for(place, capsys):
    words = ["--folder", place / "rows", "--rows", "untrained,ssl,cka", "--out", place / "out"]
    assert run(place, "controls", *words) == 0
    table = capsys.readouterr().out
    assert "SSL only" in table
    assert (place / "out" / "tiny.md").read_text() in table


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (RECIPE.replace("batch = 8", "batch = 800"), "needs as many patients"),
        (RECIPE.replace('name = "conv"', 'name = "convx"'), "unknown encoder 'convx'"),
        (RECIPE.replace("steps = 1", "stepz = 1"), "unknown key 'stepz'"),
        (RECIPE.replace('"circor"', '"circus"'), "unknown corpus 'circus'"),
        (RECIPE.replace('"minilm"', '"/no/such/model"'), "/no/such/model"),
        (RECIPE + '[text]\nfiles = { circor = "absent.csv" }\n', "absent.csv"),
        (RECIPE.replace("width = 16", "widht = 16"), "widht"),
        ("name = ", "is not TOML"),
    ],
)
def test_a_recipe_that_cannot_run_is_one_sentence(place, tmp_path, capsys, recipe, message):
    path = tmp_path / "bad.toml"
    path.write_text(recipe)
    words = ["--data", place / "data", "--cache", place / "cache", "--folder", tmp_path / "run"]
    assert call("run", path, *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_missing_corpus_is_one_sentence(place, tmp_path, capsys):
    words = ["--data", tmp_path, "--folder", tmp_path / "run"]
    assert call("run", place / "tiny.toml", *words) == 2
    assert "corpus 'circor' is not at" in capsys.readouterr().err


def test_an_unknown_row_is_named(place, capsys):
    assert run(place, "controls", "--folder", place / "rows", "--rows", "ckaa") == 2
    assert "unknown row 'ckaa'" in capsys.readouterr().err


def test_a_checkpoint_that_is_none_is_refused(tmp_path, capsys):
    path = tmp_path / "fake.ckpt"
    path.write_bytes(b"nothing")
    words = ["opera-ce", tmp_path / "out.safetensors", "--checkpoint", path]
    assert call("convert", *words) == 2
    assert str(path) in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()
