"""What the pages quote of the students is what the committed records say."""

import json
import re
from pathlib import Path

import pytest

from export.recipe import WIDTHS, load_recipe, recipe_digest, sized
from export.students import students_table

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "export" / "results"
RECIPES = {RESULTS: "heart-lung", RESULTS / "physionet": "heart-lung-physionet"}
PAGE = (ROOT / "export" / "README.md").read_text()


def record(folder):
    return json.loads((folder / "students.json").read_text())


@pytest.mark.parametrize(
    ("folder", "block"), list(zip(RECIPES, ("students", "physionet"), strict=True))
)
def test_the_page_shows_the_records_table(folder, block):
    found = re.search(rf"<!-- {block} -->\n(.*?)<!-- /{block} -->", PAGE, re.DOTALL)
    assert found[1].strip() == students_table(record(folder)).strip()
    assert (folder / "students.md").read_text() == students_table(record(folder))


@pytest.mark.parametrize(("folder", "name"), RECIPES.items())
def test_the_runs_are_of_the_committed_recipe(folder, name):
    recipe = load_recipe(ROOT / "export" / "recipes" / f"{name}.toml")
    digests = {recipe_digest(sized(recipe, size)) for size in WIDTHS}
    rows = record(folder)["students"].values()
    assert rows
    assert {row["recipe"] for row in rows} <= digests
