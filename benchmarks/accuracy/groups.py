"""A finding's figures on all of a corpus, and by device, site, age and sex."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from acula_edge.bundle import FindingSpec
from acula_edge.events import Decision
from align.statistics import Array, Estimate, weighted_auroc
from benchmarks.accuracy.curves import (
    LEAST,
    patients_with,
    weighted_auprc,
    weighted_ece,
    weighted_sensitivity,
)
from benchmarks.record import Group, Interval
from export.figures import (
    SMALLEST_GROUP,
    Scored,
    as_json,
    decisions,
    interval,
    patient_draws,
    reliability,
    subgroup_names,
)

ALL = "all"
SPECIFICITIES = {"0.90": 0.90, "0.95": 0.95}
Statistic = Callable[[Array, Array, Array], Array]


def finding_groups(scored: Sequence[Scored], corpus: str, spec: FindingSpec) -> tuple[Group, ...]:
    """Figures of every exam of `corpus`, then of each group of `SMALLEST_GROUP` patients or more.

    In a group, figures of the positives are None where fewer patients than that have the finding;
    over all, where one alone has it. They are those of the model card, unsure counted as not
    present (`export.figures.finding_metrics`).
    """
    said = decisions(scored, spec)
    found = [_group(scored, said, spec.name, corpus, (ALL, corpus))]
    for kind, name in _kinds(scored):
        index = [i for i, item in enumerate(scored) if (kind, name) in _places(item)]
        own, words = [scored[i] for i in index], [said[i] for i in index]
        if _people(own) >= SMALLEST_GROUP:
            found.append(_group(own, words, spec.name, corpus, (kind, name)))
    return tuple(found)


def _kinds(scored: Sequence[Scored]) -> list[tuple[str, str]]:
    order = ("device", "site", "age", "sex")
    places = {place for item in scored for place in _places(item)}
    return sorted(places, key=lambda place: (order.index(place[0]), place[1]))


def _places(item: Scored) -> list[tuple[str, str]]:
    told = [place.split(": ", 1) for place in subgroup_names(item.recording)]
    return [("device", item.recording.device), *((kind, name) for kind, name in told)]


def _group(
    scored: Sequence[Scored],
    said: Sequence[Decision],
    finding: str,
    corpus: str,
    place: tuple[str, str],
) -> Group:
    truth, patients = _truth(scored, finding), [item.recording.patient for item in scored]
    fewest = LEAST if place[0] == ALL else SMALLEST_GROUP
    hit = patients_with(truth, patients) >= fewest
    clean = patients_with(1 - truth, patients) >= LEAST
    curves = _curves(scored, finding) if _people(scored) >= LEAST else {}
    shares = _shares(truth > 0, said, _draws(scored))
    return Group(
        finding=finding,
        corpus=corpus,
        kind=place[0],
        name=place[1],
        recordings=len(scored),
        patients=_people(scored),
        positive=int(truth.sum()),
        refused=sum(item.abstained for item in scored),
        auroc=curves.get("auroc") if hit and clean else None,
        auprc=curves.get("auprc") if hit else None,
        sensitivity=shares.get("sensitivity") if hit else None,
        specificity=shares.get("specificity") if clean else None,
        at_specificity={
            name: curves[name] for name in SPECIFICITIES if hit and clean and name in curves
        },
        ece=curves.get("ece"),
        reliability=_reliability(scored, finding),
    )


def _curves(scored: Sequence[Scored], finding: str) -> dict[str, Interval]:
    """Figures of the probabilities, over the exams that have one; undefined ones are left out."""
    usable = _usable(scored, finding)
    if not usable:
        return {}
    truth, value, draws = _truth(usable, finding), _value(usable, finding), _draws(usable)
    statistics: dict[str, Statistic] = {"auroc": weighted_auroc, "auprc": weighted_auprc}
    for name, specificity in SPECIFICITIES.items():
        statistics[name] = partial(weighted_sensitivity, specificity=specificity)
    found = {name: _estimate(s, truth, value, draws) for name, s in statistics.items()}
    error = _estimate(weighted_ece, truth, value, draws)
    # Resampling only adds noise to the bins, so the interval may lie above the value: widened.
    found["ece"] = Estimate(error.value, min(error.low, error.value), error.high)
    return _known(found)


def _shares(
    positive: NDArray[np.bool_], said: Sequence[Decision], draws: Array
) -> dict[str, Interval]:
    """Positives called present, and negatives not called present."""
    present = np.array([word is Decision.PRESENT for word in said], dtype=bool)
    found = {}
    for name, hit, member in (
        ("sensitivity", present, positive),
        ("specificity", ~present, ~positive),
    ):
        if member.any():
            with np.errstate(invalid="ignore"):
                resampled = (draws @ (hit & member)) / (draws @ member)
            found[name] = interval(float(hit[member].mean()), resampled)
    return _known(found)


def _estimate(statistic: Statistic, truth: Array, value: Array, draws: Array) -> Estimate:
    everything = np.ones((1, len(truth)))
    return interval(float(statistic(truth, value, everything)[0]), statistic(truth, value, draws))


def _known(found: Mapping[str, Estimate]) -> dict[str, Interval]:
    rounded = {name: as_json(estimate) for name, estimate in found.items()}
    return {name: Interval(**figure) for name, figure in rounded.items() if figure is not None}


def _reliability(scored: Sequence[Scored], finding: str) -> tuple[tuple[float, ...], ...]:
    usable = _usable(scored, finding)
    if not usable:
        return ()
    return tuple(map(tuple, reliability(_truth(usable, finding), _value(usable, finding))))


def _usable(scored: Sequence[Scored], finding: str) -> list[Scored]:
    return [item for item in scored if not np.isnan(item.probability[finding])]


def _truth(scored: Sequence[Scored], finding: str) -> Array:
    return np.array([float(item.recording.labels[finding]) for item in scored])


def _value(scored: Sequence[Scored], finding: str) -> Array:
    return np.array([item.probability[finding] for item in scored])


def _draws(scored: Sequence[Scored]) -> Array:
    return patient_draws([item.recording.patient for item in scored])


def _people(scored: Sequence[Scored]) -> int:
    return len({item.recording.patient for item in scored})
