"""Recipes: every key must mean something."""

from pathlib import Path

import pytest

from align.settings import RecipeError
from export.recipe import Recipe, load_recipe, recipe_from_table

RECIPES = sorted((Path(__file__).parents[2] / "export" / "recipes").glob("*.toml"))


def table(**changes):
    base = {
        "name": "t",
        "version": "1",
        "student": {"findings": ["murmur"], "blocks": [{"kernel": 3}]},
        "training": {"corpora": ["circor"], "clips": [8]},
        "pooling": {"murmur": {"kind": "mean"}},
    }
    return base | changes


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_committed_recipes_load(path):
    assert isinstance(load_recipe(path), Recipe)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"speed": 3}, "unknown key 'speed'"),
        ({"training": {"corpora": ["circor"], "lr": 1}}, "unknown key 'lr' in Training"),
        ({"pooling": {}}, "'murmur' has no"),
        ({"student": {"findings": ["murmur"], "hop": 700}}, "hop must be a multiple"),
        ({"student": {"findings": ["murmur"], "window": 1000}}, "multiples of hop"),
        ({"training": 3}, r"no \[training\] section"),
        ({"training": {}}, "corpora"),
        ({"training": {"corpora": ["circor"], "clips": [8, 8]}}, "one number of crops"),
    ],
)
def test_a_bad_recipe_says_what_is_wrong(changes, message):
    with pytest.raises(RecipeError, match=message):
        recipe_from_table(table(**changes))


def test_missing_and_malformed_files(tmp_path):
    with pytest.raises(RecipeError, match="no recipe at"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("= 3")
    with pytest.raises(RecipeError, match="is not TOML"):
        load_recipe(tmp_path / "bad.toml")
