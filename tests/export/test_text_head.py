"""The text head: a closed form that finds a planted map, and that leaves the trunk alone."""

import copy

import pytest
import torch
from tiny_corpora import write_corpora
from tiny_recipe import tiny_recipe

from align.settings import RecipeError
from export.student import Student
from export.text_head import fit_text_head, read_texts
from export.text_space import training_targets


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_corpora(root)
    return root


@pytest.fixture(scope="module")
def language(corpora, tmp_path_factory):
    return read_texts(tiny_recipe(student={"text": 3}), corpora, tmp_path_factory.mktemp("texts"))


def test_the_space_and_the_index_come_from_training_patients(language):
    assert language.fit.size == 3
    assert {row.split for row in language.of_split("train")} == {"train"}
    texts = {report.text for report in language.reports}
    assert 1 < len(texts) <= len(language.of_split("train"))


def test_the_fitted_head_points_to_the_reports_of_validation_patients(language):
    recipe = tiny_recipe(student={"text": 3, "width": 48})
    torch.manual_seed(0)
    student = Student(recipe.student).eval()
    trunk = copy.deepcopy(student.blocks.state_dict())
    found = fit_text_head(student, recipe, language)
    # A random trunk tells heart from lung at least, and that is most of a direction.
    assert found["validation_cosine"] > 0.5
    assert all(torch.equal(trunk[k], v) for k, v in student.blocks.state_dict().items())
    pcm = torch.zeros(1, recipe.student.hop)
    assert student(pcm).embedding.shape == (1, 3, 1)


def test_targets_have_length_one(language):
    targets = training_targets(language.of_split("val"), language.texts, language.fit)
    lengths = [float((value**2).sum()) for value in targets.values()]
    assert lengths == pytest.approx([1.0] * len(lengths), abs=1e-5)


def test_a_recipe_without_reports_of_sounds_is_refused(corpora, tmp_path):
    recipe = tiny_recipe(corpora=["physionet2016"], clips=[4])
    with pytest.raises(RecipeError, match="circor, sprsound"):
        read_texts(recipe, corpora, tmp_path)
