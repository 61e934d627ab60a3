"""The task registry: complete, consistent, and clear about what it cannot read."""

import inspect
from importlib import import_module

import pytest
from rows import row

from align.encoders import FACTORIES
from align.settings import RecipeError
from align.tasks import TaskError, load_tasks, select

OPERA = {f"T{number}" for number in (1, 2, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19)}
OURS = ("circor-murmur", "sprsound-wheeze", "sprsound-crackle", "physionet2016-abnormal")


def test_the_registry_holds_the_papers_eighteen_and_ours():
    tasks = load_tasks()
    numbers = [task.opera for task in tasks.values() if task.source == "opera"]
    assert sorted(numbers) == sorted(OPERA)
    paper = [task for task in tasks.values() if task.source != "ours"]
    assert len(paper) == 18
    assert sum(task.metric == "mae" for task in paper) == 7
    assert set(OURS) <= set(tasks)


def test_every_encoder_option_is_one_that_its_encoder_takes():
    pairs = {
        (encoder, tuple(options.items()))
        for task in load_tasks().values()
        for encoder, options in task.encoder_options.items()
    }
    assert {encoder for encoder, _ in pairs} == {"opera-ct", "opera-ce", "opera-gt"}
    for encoder, options in pairs:
        module, factory = FACTORIES[encoder]
        inspect.signature(getattr(import_module(module), factory)).bind(**dict(options))


def test_diagnoses_outside_the_class_map_are_left_out():
    task = load_tasks()["icbhi-copd"]
    truths = {
        value: task.truth(row("r", corpus="icbhi", labels={"diagnosis": value}))
        for value in ("Healthy", "COPD", "URTI")
    }
    assert truths == {"Healthy": 0.0, "COPD": 1.0, "URTI": None}


def test_booleans_and_integers_are_class_map_keys_too():
    murmur = load_tasks()["circor-murmur"]
    assert murmur.truth(row("r", labels={"murmur": True})) == 1.0
    assert murmur.truth(row("r", labels={"murmur": False})) == 0.0
    severity = load_tasks()["respiratory-tr-severity"]
    assert severity.truth(row("r", corpus="respiratory-tr", labels={"copd_severity": 3})) == 3.0


def test_an_unknown_label_another_corpus_or_another_sound_is_not_part_of_the_task():
    murmur, cough = load_tasks()["circor-murmur"], load_tasks()["uk-covid-cough"]
    assert murmur.truth(row("r")) is None
    assert murmur.truth(row("r", corpus="zchsound", labels={"murmur": True})) is None
    labels = {"covid": True}
    for sound, expected in (("cough", 1.0), ("exhalation", None)):
        metadata = {"sound": sound, "official_split": "test"}
        assert (
            cough.truth(row("r", corpus="uk-covid", labels=labels, metadata=metadata)) == expected
        )
    assert cough.truth(row("r", corpus="uk-covid", labels=labels)) is None


def test_only_good_physionet_recordings_are_probed():
    task = load_tasks()["physionet2016-abnormal"]
    labels = {"abnormal": False}
    for quality, expected in (("good", 0.0), ("poor", None)):
        one = row("r", corpus="physionet2016", labels=labels, metadata={"quality": quality})
        assert task.truth(one) == expected


def test_regression_reads_numbers_and_names_what_is_none():
    task = load_tasks()["nosemic-breathing-rate"]
    assert task.truth(row("r", corpus="nosemic", labels={"breathing_rate": 17.5})) == 17.5
    assert task.truth(row("r", corpus="nosemic", labels={"breathing_rate": float("nan")})) is None
    with pytest.raises(TaskError, match="nosemic/r has breathing_rate 'fast', no number"):
        task.truth(row("r", corpus="nosemic", labels={"breathing_rate": "fast"}))


def test_select_keeps_the_order_asked_for():
    assert [task.name for task in select("sprsound-wheeze, circor-murmur,sprsound-wheeze")] == [
        "sprsound-wheeze",
        "circor-murmur",
    ]
    assert [task.name for task in select(["icbhi-copd"])] == ["icbhi-copd"]
    assert [task.name for task in select("all")] == list(load_tasks())


def test_select_says_what_might_have_been_meant():
    with pytest.raises(TaskError, match="unknown task 'circor-murmurs'; did you mean 'circor-murm"):
        select("circor-murmurs")
    with pytest.raises(TaskError, match="unknown task 'xyz'; known: circor-murmur, "):
        select(["xyz"])
    with pytest.raises(TaskError, match="no task was named"):
        select(" , ")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("colour = 1", "unknown key 'colour'"),
        ("split = 'random'", "split 'random' is none of corpus"),
        ("metric = 'f1'", "metric 'f1' is none of auroc"),
        ("classes = { no = 0, yes = 2 }", "numbered 0, 1, ... without a gap"),
        ("metric = 'mae'", "mae does not fit 2 classes"),
        ("split = 'leave-one-database-out'", "hold_out need each other"),
        ("hold_out = 'database'", "hold_out need each other"),
        ("split = 'leave-one-subject-out'", "is for regression"),
        ("prompts = [['a murmur']]", "one list for each class"),
        ("encoder_options = 'gone'", r"no \[encoder_options.gone\]"),
        ("probe = { epoch = 3 }", "unknown key 'epoch' in ProbeSettings"),
        ("probe = { solver = 'magic' }", "solver 'magic' is none of adam"),
    ],
)
def test_a_contradictory_entry_is_one_sentence(tmp_path, entry, message):
    values = {
        "corpus": "'c'",
        "label": "'l'",
        "source": "'ours'",
        "classes": "{ no = 0, yes = 1 }",
    }
    key = entry.split(" = ")[0]
    lines = [f"{name} = {value}" for name, value in values.items() if name != key]
    path = tmp_path / "tasks.toml"
    path.write_text("\n".join(["[task.mine]", *lines, entry]) + "\n")
    with pytest.raises(TaskError, match=message) as caught:
        load_tasks(path)
    assert str(caught.value).startswith("task mine: ")


def test_an_incomplete_entry_or_file_is_one_sentence(tmp_path):
    path = tmp_path / "tasks.toml"
    path.write_text("[task.mine]\ncorpus = 'c'\n")
    with pytest.raises(TaskError, match=r"task mine: .*'label'"):
        load_tasks(path)
    path.write_text("")
    with pytest.raises(RecipeError, match=r"no \[task\]"):
        load_tasks(path)
    with pytest.raises(RecipeError, match="no recipe at"):
        load_tasks(tmp_path / "absent.toml")
