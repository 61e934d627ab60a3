"""Which recordings are measured: the asked split, whole patients, and devices never heard."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from bundle_factory import finding, manifest
from tiny_corpora import write_corpora

from acula_edge.bundle import TrainingData
from acula_edge.errors import UsageError
from align.corpora import Recording
from benchmarks.accuracy.recordings import choose_parts, digest, has_corpora, sample

HEARD = ("circor", "sprsound", "physionet2016-b", "physionet2016-d")


def bundle_manifest(heard=HEARD):
    sites = {"murmur": "heart", "crackle": "lung", "wheeze": "lung"}
    data = [TrainingData(corpus=c, licence="", home="", patients=None, recordings=1, split="")
            for c in heard]  # fmt: skip
    findings = tuple(finding(name, site) for name, site in sites.items())
    return replace(manifest(), findings=findings, training_data=tuple(data))


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_corpora(root)
    return root


def test_test_patients_and_the_databases_never_heard(corpora):
    parts = choose_parts(bundle_manifest(), corpora, "test")
    assert [part.corpus for part in parts] == [
        "circor", "sprsound", "physionet2016-a", "physionet2016-c",
    ]  # fmt: skip
    assert all(row.split == "test" for part in parts for row in part.rows)
    assert [part.task("murmur") for part in parts] == [
        "murmur", "murmur", "physionet2016-a", "physionet2016-c",
    ]  # fmt: skip
    strange = parts[2]
    assert strange.findings == ("murmur",)
    assert sum(row.labels["murmur"] for row in strange.rows) == 3  # abnormal, by the corpus


def test_validation_looks_at_no_test_patient(corpora):
    tested = choose_parts(bundle_manifest(), corpora, "test")
    parts = choose_parts(bundle_manifest(), corpora, "val")
    assert [part.corpus for part in parts] == ["circor", "sprsound"]
    looked = {(row.corpus, row.patient) for part in tested for row in part.rows}
    assert not looked & {(row.corpus, row.patient) for part in parts for row in part.rows}


def test_corpora_that_are_missing(corpora, tmp_path):
    assert has_corpora(corpora)
    assert not has_corpora(tmp_path)
    assert not has_corpora(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="circor, sprsound"):
        choose_parts(bundle_manifest(), tmp_path, "test")
    (tmp_path / "sprsound-2022").symlink_to(corpora / "sprsound-2022")
    assert has_corpora(tmp_path)
    (only,) = choose_parts(bundle_manifest(), tmp_path, "test")
    assert only.corpus == "sprsound"
    with pytest.raises(UsageError, match="choose test or val"):
        choose_parts(bundle_manifest(), corpora, "train")


def row(patient, index, **labels):
    return Recording(
        corpus="circor", name=f"{patient}_{index}", path=Path("x"), patient=patient, device="d",
        site="AV", split="val", labels=labels,
    )  # fmt: skip


def many(patients=100, each=4):
    """A quarter of the patients has a murmur, at half of their sites."""
    return [
        row(f"{patient:03}", index, murmur=patient % 4 == 0 and index % 2 == 0)
        for patient in range(patients)
        for index in range(each)
    ]


@pytest.mark.parametrize("limit", [16, 50, 160, 399])
def test_a_sample_holds_whole_patients_and_the_share_of_positives(limit):
    rows = many()
    found = sample(rows, ("murmur",), limit)
    assert limit - 4 < len(found) <= limit
    assert set(Counter(r.patient for r in found).values()) == {4}
    assert [r for r in rows if r in found] == list(found)
    people = len(found) / 4
    assert len({r.patient for r in found if r.labels["murmur"]}) == pytest.approx(people / 4, abs=1)


def test_a_sample_is_the_same_each_time_and_grows_with_the_limit():
    rows = many()
    small, large = sample(rows, ("murmur",), 40), sample(rows, ("murmur",), 80)
    assert sample(list(reversed(rows)), ("murmur",), 40)[::-1] == small
    assert {r.name for r in small} < {r.name for r in large}
    assert [r.patient for r in small[::4]] != [f"{p:03}" for p in range(10)]  # not the first ones


def test_a_sample_is_never_empty_and_at_most_everything():
    assert len(sample(many(), ("murmur",), 1)) == 4
    assert list(sample(many(), ("murmur",), 400)) == many()


def test_the_limit_holds_for_each_corpus(corpora):
    whole = choose_parts(bundle_manifest(), corpora, "test")
    parts = choose_parts(bundle_manifest(), corpora, "test", 4)
    assert [len(part.rows) for part in parts] == [4, 4, 4, 4]
    assert [part.available for part in parts] == [len(part.rows) for part in whole]


def test_the_digest_names_recordings_and_truth(corpora):
    parts = choose_parts(bundle_manifest(), corpora, "val")
    assert digest(parts) == digest(tuple(reversed(parts)))
    first = parts[0].rows[0]
    turned = replace(first, labels={"murmur": not first.labels["murmur"]})
    changed = replace(parts[0], rows=(turned, *parts[0].rows[1:]))
    assert digest([changed, *parts[1:]]) != digest(parts)
    assert digest(parts[:1]) != digest(parts)
