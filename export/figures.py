"""Figures of exams against the truth, each with an interval that resamples patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acula_edge.bundle import FindingSpec
from acula_edge.events import Decision
from acula_edge.exam import decide
from align import statistics
from align.corpora import Recording
from align.statistics import (
    Array,
    Estimate,
    auprc,
    auroc,
    expected_calibration_error,
    patient_bootstrap,
    patient_weights,
    weighted_auroc,
)

BINS = 10
SMALLEST_GROUP = 5  # patients; a smaller subgroup says more about one of them than about the model
AGE_BANDS = ((1.0, "under 1 year"), (5.0, "1 to 4 years"), (12.0, "5 to 11 years"))
OLDEST_BAND = "12 years and over"
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Scored:
    """One recording's exam; `sustained` is the highest smoothed probability held `minimum_on`.

    `embedding` (size,) lies in the text space; None where there is none, or no usable sound.
    """

    recording: Recording
    probability: dict[str, float]
    abstained: bool
    sustained: dict[str, float]
    embedding: NDArray[np.float64] | None = None


def decisions(scored: Sequence[Scored], spec: FindingSpec) -> list[Decision]:
    """What each exam says of the finding; unsure where it abstained or heard nothing usable."""
    return [
        Decision.UNSURE
        if item.abstained or np.isnan(item.probability[spec.name])
        else decide(item.probability[spec.name], spec)
        for item in scored
    ]


def finding_metrics(
    scored: Sequence[Scored], finding: str, said: Sequence[Decision]
) -> dict[str, object]:
    """Recording-level figures of one finding, of which every exam `said` something.

    `sensitivity` (positives called present), `specificity` (negatives not called present),
    `rule_out` (positives not called absent) and `unsure` count every recording, refused ones as
    unsure. The others count recordings that have a probability: `expected` is its mean,
    `prevalence` the share of positives beside it, `reliability` the bins behind `ece` as
    [mean probability, share of positives, recordings].
    """
    usable = [item for item in scored if not np.isnan(item.probability[finding])]
    truth, value = _truth(usable, finding), _value(usable, finding)
    patients = [item.recording.patient for item in usable]
    every, weights = _truth(scored, finding) > 0, _weights(scored)
    present = np.array([word is Decision.PRESENT for word in said], dtype=bool)
    absent = np.array([word is Decision.ABSENT for word in said], dtype=bool)

    known = bool(usable)
    return {
        "recordings": len(scored),
        "patients": _people(scored),
        "positive": int(every.sum()),
        "positive_patients": _people(
            [item for item, hit in zip(scored, every, strict=True) if hit]
        ),
        "abstained": sum(item.abstained for item in scored),
        "unusable": len(scored) - len(usable),
        "prevalence": round(float(truth.mean()), 4) if known else None,
        "expected": round(float(value.mean()), 4) if known else None,
        "auroc": as_json(_auroc(usable, finding)) if known else None,
        "auprc": as_json(_auprc(truth, value, patients)) if known else None,
        "sensitivity": as_json(_share(present, every, weights)),
        "specificity": as_json(_share(~present, ~every, weights)),
        "rule_out": as_json(_share(~absent, every, weights)),
        "unsure": as_json(_share(~present & ~absent, np.ones_like(every), weights)),
        "ece": as_json(_ece(truth, value, patients)) if known else None,
        "brier": as_json(_brier(usable, finding)) if known else None,
        "reliability": reliability(truth, value) if known else [],
    }


def reliability(truth: Array, probability: Array, bins: int = BINS) -> list[list[float]]:
    """[mean probability, share of positives, recordings] of bins of equal mass, lowest first."""
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [
        [round(float(probability[part].mean()), 4), round(float(truth[part].mean()), 4), len(part)]
        for part in parts
    ]


def patient_level(scored: Sequence[Scored], finding: str) -> dict[str, object]:
    """AUROC with a patient's highest recording as the patient's score."""
    best: dict[str, tuple[float, float]] = {}
    for item in scored:
        truth, value = float(item.recording.labels[finding]), item.probability[finding]
        before = best.get(item.recording.patient, (0.0, 0.0))
        best[item.recording.patient] = (max(before[0], truth), float(np.nanmax([before[1], value])))
    truth_of = np.array([pair[0] for pair in best.values()])
    value_of = np.array([pair[1] for pair in best.values()])
    result = patient_bootstrap(list(best), lambda rows: auroc(truth_of[rows], value_of[rows]))
    return {"patients": len(best), "positive": int(truth_of.sum()), "auroc": as_json(result)}


def transfer_metrics(scored: Sequence[Scored]) -> dict[str, dict[str, object]]:
    """PhysioNet 2016, per database: murmur probability against abnormal, good quality only."""
    result: dict[str, dict[str, object]] = {}
    for database in sorted({item.recording.metadata["database"] for item in scored}):
        rows = [item for item in scored if item.recording.metadata["database"] == database]
        truth, value = _truth(rows, "abnormal"), _value(rows, "murmur")
        value = np.nan_to_num(value, nan=float(np.nanmedian(value)))
        estimate = patient_bootstrap(
            [item.recording.name for item in rows],
            lambda index, t=truth, v=value: auroc(t[index], v[index]),  # type: ignore[misc]
        )
        result[database] = {
            "recordings": len(rows),
            "positive": int(truth.sum()),
            "abstained": sum(item.abstained for item in rows),
            "auroc": as_json(estimate),
        }
    return result


def subgroups(
    scored: Sequence[Scored], finding: str, said: Sequence[Decision]
) -> dict[str, dict[str, object]]:
    """AUROC, sensitivity and specificity per age band, sex and auscultation site.

    Only what the corpus tells, and only groups of `SMALLEST_GROUP` patients or more; AUROC and
    sensitivity are None where fewer of them have the finding.
    """
    groups: dict[str, list[int]] = {}
    for index, item in enumerate(scored):
        for name in subgroup_names(item.recording):
            groups.setdefault(name, []).append(index)
    result: dict[str, dict[str, object]] = {}
    for name in sorted(groups):
        rows = [scored[index] for index in groups[name]]
        if _people(rows) < SMALLEST_GROUP:
            continue
        truth, weights = _truth(rows, finding) > 0, _weights(rows)
        present = np.array([said[index] is Decision.PRESENT for index in groups[name]], dtype=bool)
        usable = [item for item in rows if not np.isnan(item.probability[finding])]
        positive = [item for item, hit in zip(rows, truth, strict=True) if hit]
        enough = _people(positive) >= SMALLEST_GROUP
        result[name] = {
            "recordings": len(rows),
            "positive": int(truth.sum()),
            "patients": _people(rows),
            "auroc": as_json(_auroc(usable, finding)) if enough and usable else None,
            "sensitivity": as_json(_share(present, truth, weights)) if enough else None,
            "specificity": as_json(_share(~present, ~truth, weights)),
        }
    return result


def as_json(estimate: Estimate) -> dict[str, float] | None:
    """Rounded, for manifests and cards; None where the figure is undefined (one class only)."""
    if np.isnan([estimate.value, estimate.low, estimate.high]).any():
        return None
    return {
        "value": round(estimate.value, 4),
        "low": round(estimate.low, 4),
        "high": round(estimate.high, 4),
    }


def interval(value: float, resampled: Array) -> Estimate:
    """`value` with the 95 % interval of its resampled values; NaN where none is defined."""
    known = resampled[~np.isnan(resampled)]
    if not len(known):
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.quantile(known, [0.025, 0.975])
    return Estimate(value, float(low), float(high))


def patient_draws(patients: Sequence[str]) -> Array:
    """How often each row is drawn when whole patients are resampled: (resamples, rows)."""
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    return patient_weights(len(names), statistics.RESAMPLES, seed=0)[:, owner]


def _share(hit: Flags, member: Flags, weights: Array) -> Estimate:
    """Share of the members that are hit."""
    if not member.any():
        return Estimate(float("nan"), float("nan"), float("nan"))
    with np.errstate(invalid="ignore"):
        resampled = (weights @ (hit & member)) / (weights @ member)
    return interval(float(hit[member].mean()), resampled)


def _auroc(scored: Sequence[Scored], finding: str) -> Estimate:
    truth, value = _truth(scored, finding), _value(scored, finding)
    return interval(
        float(weighted_auroc(truth, value)[0]), weighted_auroc(truth, value, _weights(scored))
    )


def _ece(truth: Array, value: Array, patients: Sequence[str]) -> Estimate:
    """Resampling only adds noise to the bins, so the interval may lie above the value: widened."""
    found = patient_bootstrap(
        patients, lambda rows: expected_calibration_error(truth[rows], value[rows])
    )
    return Estimate(found.value, min(found.low, found.value), found.high)


def _brier(scored: Sequence[Scored], finding: str) -> Estimate:
    squares = (_truth(scored, finding) - _value(scored, finding)) ** 2
    weights = _weights(scored)
    return interval(float(squares.mean()), (weights @ squares) / weights.sum(axis=1))


def _auprc(truth: Array, value: Array, patients: Sequence[str]) -> Estimate:
    def statistic(rows: NDArray[np.int64]) -> float:
        return auprc(truth[rows], value[rows]) if truth[rows].any() else float("nan")

    if not truth.any():
        return Estimate(float("nan"), float("nan"), float("nan"))
    return patient_bootstrap(patients, statistic)


def subgroup_names(row: Recording) -> list[str]:
    """Age band, sex and site of a recording, such as `sex: female`, as far as they are told."""
    told = row.metadata
    sex, age = told.get("sex", told.get("Sex")), _age_band(told.get("age"), told.get("Age"))
    named = {"age": age, "sex": sex and sex.lower(), "site": row.site}
    return [f"{kind}: {value}" for kind, value in named.items() if value]


def _age_band(years: str | None, word: str | None) -> str | None:
    """The band of an age in years; where a corpus has bands of its own (CirCor), that one."""
    if years is None:
        return word and word.lower()
    try:
        age = float(years)
    except ValueError:
        return None
    return next((name for limit, name in AGE_BANDS if age < limit), OLDEST_BAND)


def _truth(scored: Sequence[Scored], label: str) -> Array:
    return np.array([float(item.recording.labels[label]) for item in scored])


def _value(scored: Sequence[Scored], finding: str) -> Array:
    return np.array([item.probability[finding] for item in scored])


def _weights(scored: Sequence[Scored]) -> Array:
    return patient_draws([item.recording.patient for item in scored])


def _people(scored: Sequence[Scored]) -> int:
    return len({item.recording.patient for item in scored})
