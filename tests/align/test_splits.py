"""Folds never move, and never share a patient."""

from align.splits import circor_split, patient_fold, sprsound_split


def test_folds_are_fixed_for_ever():
    assert patient_fold("circor", "13918") == 0.6127144896890968
    assert patient_fold("circor", "50001") == 0.7961096079088748
    assert patient_fold("sprsound", "40069321") == 0.3016000983770937


def test_shares_are_about_what_they_say():
    folds = [circor_split(str(child)) for child in range(20_000)]
    assert abs(folds.count("test") / 20_000 - 0.25) < 0.01
    assert abs(folds.count("val") / 20_000 - 0.10) < 0.01


def test_the_official_test_set_stays_the_test_set():
    assert all(sprsound_split(str(p), official_inter_test=True) == "test" for p in range(50))
    assert "test" not in {sprsound_split(str(p), official_inter_test=False) for p in range(500)}
