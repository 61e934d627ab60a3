"""The certificate finds every planted leak and passes what is clean."""

import hashlib
import json
from pathlib import Path

import pytest

from align.corpora.manifest import Entry
from align.corpora.recording import Recording
from align.leakage import LeakageError, certify, require


def row(patient, name=None, corpus="circor", audio=None, split="train"):
    return Entry(
        corpus=corpus,
        name=name or f"{patient}_AV",
        path="x.wav",
        patient=patient,
        device="d",
        site="AV",
        split=split,
        labels={},
        intervals=(),
        metadata={},
        licence="CC0",
        seconds=1.0,
        rate=4000,
        audio_sha256=audio or f"hash of {corpus} {name or patient}",
    )


def test_disjoint_patients_and_audio_pass():
    certificate = certify([row("1"), row("2")], [row("3"), row("4")], labels="exclude")
    assert certificate.passed
    assert certificate.shared_patients == certificate.shared_audio == 0
    require(certificate)


def test_one_shared_patient_fails_and_is_named():
    certificate = certify([row("1"), row("2")], [row("2", "2_MV"), row("3")], labels="exclude")
    assert not certificate.passed
    assert certificate.shared_patients == 1
    assert certificate.corpora[0].shared == ("2",)
    with pytest.raises(LeakageError, match=r"share 1 patient \(circor/2\): leave them out"):
        require(certificate)


def test_the_same_id_in_another_corpus_is_another_patient():
    certificate = certify([row("1")], [row("1", corpus="sprsound")], labels="exclude")
    assert certificate.passed
    assert [part.corpus for part in certificate.corpora] == ["circor", "sprsound"]


def test_the_same_samples_under_another_name_fail():
    training = [row("1", audio="same"), row("2")]
    evaluation = [row("9", corpus="kauh", audio="same"), row("8", corpus="kauh")]
    certificate = certify(training, evaluation, labels="exclude")
    assert not certificate.passed
    assert certificate.shared_patients == 0
    assert certificate.same_audio == ("circor/1_AV = kauh/9_AV",)
    with pytest.raises(LeakageError, match="1 recording with the same samples"):
        require(certificate)


def test_recordings_of_unknown_samples_are_counted_and_never_match():
    bare = {
        patient: Recording("circor", patient, Path("x"), patient, "d", "AV", "train", {})
        for patient in "12"
    }
    certificate = certify([bare["1"]], [bare["2"], row("3")], labels="exclude")
    assert certificate.passed
    assert (certificate.training_unknown_audio, certificate.evaluation_unknown_audio) == (1, 1)
    assert "not compared, samples unknown: 1 trained on, 1 evaluated" in certificate.summary()


def test_offenders_are_counted_in_full_and_named_up_to_twenty():
    shared = [row(str(number)) for number in range(100, 130)]
    certificate = certify(shared, shared, labels="exclude")
    assert certificate.shared_patients == 30
    assert certificate.corpora[0].shared == tuple(str(number) for number in range(100, 120))
    assert certificate.shared_audio == 30
    assert len(certificate.same_audio) == 20
    with pytest.raises(
        LeakageError, match=r"30 patients \(circor/100, circor/101, circor/102, \.\.\."
    ):
        require(certificate)


def test_the_patient_hashes_follow_the_documented_form_and_no_order():
    one = certify([row("2"), row("1"), row("1", "1_MV")], [row("3")], labels="exclude")
    two = certify([row("1"), row("2")], [row("3")], labels="exclude")
    expected = hashlib.sha256(b"circor/1\ncircor/2\n").hexdigest()
    assert one.training_patients_sha256 == two.training_patients_sha256 == expected
    assert one.evaluation_patients_sha256 == hashlib.sha256(b"circor/3\n").hexdigest()


def test_equal_reports_are_counted_but_do_not_fail():
    reports = {("circor", "1_AV"): "no murmur", ("circor", "2_AV"): "no murmur"}
    reports |= {("circor", "3_AV"): "a murmur"}
    training, evaluation = [row("1")], [row("2"), row("3"), row("4")]
    certificate = certify(training, evaluation, labels="include", reports=reports)
    assert certificate.same_text == 1
    assert certificate.passed
    assert certify(training, evaluation, labels="include").same_text is None


def test_recordings_without_a_report_do_not_equal_each_other():
    certificate = certify([row("1")], [row("2")], labels="exclude", reports={})
    assert certificate.same_text == 0


@pytest.mark.parametrize("sides", [([], [row("1")]), ([row("1")], [])])
def test_nothing_is_not_certified(sides):
    with pytest.raises(LeakageError, match=r"there is no (training|evaluation) recording"):
        certify(*sides, labels="exclude")


def test_a_corpus_without_patient_ids_is_said_to_have_none():
    training, evaluation = [row("a1", corpus="physionet2016")], [row("b1", corpus="physionet2016")]
    certificate = certify(training, evaluation, labels="exclude")
    assert not certificate.corpora[0].patient_ids
    assert "no patient ids: one per recording" in certificate.summary()


def test_json_and_summary_state_the_rule_the_labels_and_the_verdict():
    certificate = certify([row("1")], [row("2")], labels="include")
    content = json.loads(certificate.to_json())
    assert content["version"] == 1
    assert content["passed"] is True
    assert content["labels"] == "include"
    assert content["corpora"][0]["split_rule"] == "circor_split"
    assert "passed; report text: labels included" in certificate.summary()
    failed = certify([row("1")], [row("1", "1_MV")], labels="exclude")
    assert "FAILED; report text: labels excluded" in failed.summary()
