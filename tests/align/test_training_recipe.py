"""Alignment recipes: strict reading, and the shipped ones."""

from pathlib import Path

import pytest

from align.settings import RecipeError
from align.training.recipe import load_recipe, recipe_from_table

MINIMAL = {
    "name": "x",
    "encoder": {"name": "conv"},
    "corpora": [{"name": "circor", "batch": 8}],
    "align": {"steps": 1, "learning_rate": 1e-3},
}
RECIPES = sorted((Path(__file__).parents[2] / "align" / "recipes").glob("*.toml"))


def test_a_minimal_recipe_has_the_corrected_method_as_its_default():
    recipe = recipe_from_table(MINIMAL)
    assert recipe.objective.name == "cka"
    assert recipe.objective.per_corpus
    assert recipe.text.labels == "include"
    assert recipe.teacher.model == "google/medgemma-4b-pt"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_can_be_read(path):
    assert load_recipe(path).name == path.stem


def test_each_seed_leaves_one_database_out():
    recipe = recipe_from_table(MINIMAL | {"holdouts": ["a", "b"]})
    assert [recipe.holdout(seed) for seed in (0, 1, 2)] == ["a", "b", "a"]
    assert recipe_from_table(MINIMAL | {"holdouts": []}).holdout(0) == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speling": 1}, "unknown key 'speling'"),
        ({"align": {"steps": 1, "learning_rat": 1}}, "unknown key 'learning_rat'"),
        ({"corpora": []}, r"\[\[corpora\]\]"),
        ({"corpora": [{"name": "circor", "batch": 1}]}, "batch must be at least 2"),
        ({"corpora": [{"name": "circor", "batch": 8}] * 2}, "stands twice"),
        ({"text": {"labels": "maybe"}}, "text.labels is 'maybe'"),
        ({"text": {"shuffle": "sideways"}}, "text.shuffle is 'sideways'"),
        ({"objective": {"text_head": "huge"}}, "text_head is 'huge'"),
        ({"stage": "dream"}, "stage is 'dream'"),
        ({"align": {"steps": -1, "learning_rate": 1e-3}}, "steps must not be negative"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused_by_name(change, message):
    with pytest.raises(RecipeError, match=message):
        recipe_from_table(MINIMAL | change)


def test_a_recipe_without_an_encoder_is_refused():
    table = {key: value for key, value in MINIMAL.items() if key != "encoder"}
    with pytest.raises(RecipeError, match=r"\[encoder\]"):
        recipe_from_table(table)
