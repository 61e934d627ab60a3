"""What the pages quote is what the committed records say."""

import json
import re
from pathlib import Path

import pytest

from align.experiment.table import readme_table

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "align" / "results"
RECORD = json.loads((RESULTS / "conv-cpu.json").read_text())


def block(page, name):
    text = (ROOT / page).read_text()
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, re.DOTALL)
    assert found, f"{page} has no block {name}"
    return found.group(1).strip()


def test_the_readme_quotes_the_records_rows():
    assert block("README.md", "align") == readme_table(RECORD).strip()


def test_the_align_page_shows_the_whole_table():
    assert block("align/README.md", "results") == (RESULTS / "conv-cpu.md").read_text().strip()


def test_the_record_has_every_row_and_every_seed_of_it():
    assert len(RECORD["rows"]) == 20
    for row in RECORD["rows"]:
        for task, values in row["seeds"].items():
            assert len(values) == len(row["run_seeds"]), (row["name"], task)
            assert row["tasks"][task]["low"] <= row["tasks"][task]["value"]


def test_the_record_is_of_the_recipe_beside_it():
    from align.training.recipe import load_recipe, to_table

    recipe = json.loads(json.dumps(to_table(load_recipe(ROOT / "align/recipes/conv-cpu.toml"))))
    assert RECORD["recipe"] == recipe


@pytest.mark.parametrize("page", ["align/README.md"])
def test_the_throughput_quoted_is_the_measured_one(page):
    ratio = json.loads((RESULTS / "throughput-cpu.json").read_text())["ratio"]
    quoted = f"{ratio['median']:.1f} [{ratio['low']:.1f}, {ratio['high']:.1f}]"
    assert quoted in (ROOT / page).read_text()


def test_the_audit_quoted_is_the_measured_one():
    audit = (RESULTS / "circor-gpt4o-audit.md").read_text()
    for cell in re.findall(
        r"\d+/824 = [\d.]+% \[[\d.]+%, [\d.]+%\]", (ROOT / "align/README.md").read_text()
    ):
        assert cell in audit


def test_origin_and_retrieval_quoted_are_the_records():
    page = " ".join((ROOT / "align/README.md").read_text().split())
    told = RECORD["origin"].values()
    corpus, (low, *_, high) = (sorted(one[key] for one in told) for key in ("corpus", "database"))
    assert {f"{value:.2f}" for value in corpus} == {"0.99"}
    assert "(accuracy 0.99)" in page
    chance = RECORD["origin"]["cka"]["database_chance"]
    assert f"({low:.2f} to {high:.2f}, the largest being {chance:.2f})" in page
    own = RECORD["text_space"]["cka"]
    recall, constant = own["circor recall@10"], own["circor recall@10 constant"]
    assert f"(recall@10 {recall:.2f} against {constant:.2f} on CirCor)" in page
    assert all(one["circor recall@10"] < constant for one in RECORD["text_space"].values())


def test_the_share_of_labels_in_texts_quoted_is_the_records():
    page = " ".join((ROOT / "align/README.md").read_text().split())
    template, written, metadata, excluded = (
        f"{RECORD['labels_in_text'][row]['circor']:.2f}"
        for row in ("cka", "written", "metadata", "no-labels")
    )
    assert (
        f"is {template} for CirCor's templates, {written} for GPT-4o's reports, {metadata} for raw"
        f" metadata, and {excluded} with labels excluded"
    ) in page


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_no_record_tells_where_its_maker_kept_the_data(path):
    assert "shared/data" not in path.read_text()
