"""What a probe must beat, and what it must not live on: metadata alone, and the recording's origin.

Metadata fields are allowed by name, per corpus: who was recorded, where and with what. Nothing that
states, grades or follows from a finding is among them, nor UK COVID-19's recruitment source.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from align.corpora.recording import Recording
from align.probe.embed import Embedded
from align.probe.linear import fast_probe
from align.probe.problem import Floats, Indices, ProbeError, Problem
from align.probe.run import FITS, TaskResult, result_of, score_task
from align.probe.score import interval, patient_rows, weighted_mean
from align.splits import patient_fold
from align.statistics import RESAMPLES, Estimate, macro_auroc
from align.tasks import Task

# Beside the site and the device, which every corpus states.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "circor": ("Age", "Sex", "Height", "Weight", "Pregnancy status", "Campaign"),
    "physionet2016": ("database",),
    "sprsound": ("age", "sex"),
    "icbhi": ("age", "sex", "bmi", "height", "weight", "acquisition_mode"),
    "kauh": ("age", "sex", "filter"),
    "bmd-hs": ("age_group", "sex", "smoker", "residence", "posture"),
    "zchsound": ("age", "sex"),
    "coswara": ("age", "sex", "country", "english", "mask"),
    "coughvid": ("age", "sex"),
    "uk-covid": ("age_group", "sex", "height", "weight", "smoker_status"),
    "respiratory-tr": (),
    "mmlung": (),
    "nosemic": ("session",),
}
UNKNOWN = "unknown"
TEST_SHARE, VALIDATION_SHARE = 0.3, 0.15  # of the patients, for the origin probe


@dataclass(frozen=True)
class Origin:
    """How well a linear probe tells where recordings come from; `chance` names the largest origin.

    An encoder that tells the origins apart can pass off a corpus or device for a finding.
    """

    key: str
    origins: Mapping[str, int]  # recordings of each
    accuracy: Estimate
    macro_auroc: Estimate
    chance: float


def metadata_baseline(
    rows: Sequence[Recording], tasks: Sequence[Task], *, resamples: int = RESAMPLES
) -> list[TaskResult]:
    """Logistic regression (ridge for regression tasks) on metadata alone, as `probe_tasks`.

    A label that is itself a field (sex) is left out of its own task.

    Raises:
        ProbeError: a corpus without an entry in `FIELDS`, or a task that cannot be fitted.
    """
    found = []
    for task in tasks:
        if task.corpus not in FIELDS:
            raise ProbeError(f"task {task.name}: no metadata field of {task.corpus!r} is allowed")
        fields = [field for field in FIELDS[task.corpus] if field.lower() != task.label]
        own = [row for row in rows if row.corpus == task.corpus]
        described = Embedded(metadata_features(own, fields), tuple(own))
        found.append(result_of(score_task(described, task, FITS["logistic"]), resamples))
    return found


def metadata_features(rows: Sequence[Recording], fields: Sequence[str]) -> NDArray[np.float32]:
    """Site, device and `fields` of recordings as float32 (n, columns).

    A field whose known values are all numbers is one column, the mean where it is unknown, and a
    column that says so; any other is one column for each value, unknown being a value. A value that
    a probe's training rows lack is a constant column to the probe, which ignores it.
    """
    told = [[row.site for row in rows], [row.device for row in rows]]
    told += [[row.metadata.get(field, UNKNOWN) for row in rows] for field in fields]
    return np.concatenate([_columns(values) for values in told], axis=1).astype(np.float32)


def _columns(values: Sequence[str]) -> Floats:
    numbers = [_number(value) for value in values]
    known = [number for number in numbers if number is not None]
    if known and all(
        value == UNKNOWN or number is not None
        for value, number in zip(values, numbers, strict=True)
    ):
        mean = float(np.mean(known))
        return np.asarray([[mean, 1.0] if n is None else [n, 0.0] for n in numbers])
    categories = sorted(set(values))
    return np.asarray([[float(value == one) for one in categories] for value in values])


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def origin_probe(embedded: Embedded, key: str = "corpus", *, resamples: int = RESAMPLES) -> Origin:
    """Tell recordings' origin from their embeddings, on patients that the probe has not seen.

    `key` is `corpus`, `device`, or a metadata field (PhysioNet's `database`); recordings without it
    are left out.

    Raises:
        ProbeError: fewer than two origins, or one that some fold lacks.
    """
    named = [(_origin(row, key), i) for i, row in enumerate(embedded.rows)]
    own = [i for name, i in named if name]
    names = [name for name, _ in named if name]
    origins = Counter(sorted(names))
    if len(origins) < 2:
        raise ProbeError(
            f"to tell {key} apart takes two origins, the recordings have {len(origins)}"
        )
    rows = [embedded.rows[i] for i in own]
    truth = np.asarray([list(origins).index(name) for name in names], dtype=np.float64)
    problem = _origin_problem(f"origin by {key}", embedded.vectors[own], truth, rows)
    scores, tested = fast_probe(problem, "logistic", _accuracy), truth[problem.test]
    weights = patient_rows([rows[i] for i in problem.test], resamples)
    area = float(macro_auroc(tested, scores)[0])
    return Origin(
        key=key,
        origins=dict(origins),
        accuracy=weighted_mean(_right(tested, scores), weights),
        macro_auroc=interval(area, macro_auroc(tested, scores, weights)),
        chance=float(np.bincount(tested.astype(int)).max() / len(tested)),
    )


def _origin_problem(
    name: str, features: NDArray[np.float32], truth: Floats, rows: Sequence[Recording]
) -> Problem:
    """Folds by a hash of the patient that no corpus's own split uses."""
    fold = np.asarray([patient_fold(f"origin/{row.corpus}", row.patient) for row in rows])
    fitted = TEST_SHARE + VALIDATION_SHARE
    return Problem(
        name=name,
        features=features,
        truth=truth,
        classes=int(truth.max()) + 1,
        train=np.flatnonzero(fold >= fitted),
        val=np.flatnonzero((fold >= TEST_SHARE) & (fold < fitted)),
        test=np.flatnonzero(fold < TEST_SHARE),
    )


def _accuracy(problem: Problem, rows: Indices, scores: Floats) -> float:
    """Not AUROC, which may be 1 under a penalty so strong that one origin is always named."""
    return float(_right(problem.truth[rows], scores).mean())


def _right(truth: Floats, scores: Floats) -> Floats:
    """1 where the highest score names the origin, else 0."""
    guess = scores.argmax(axis=1) if scores.shape[1] > 1 else scores[:, 0] > 0
    return np.asarray(guess == truth, dtype=np.float64)


def _origin(row: Recording, key: str) -> str:
    if key == "corpus":
        return row.corpus
    return row.device if key == "device" else row.metadata.get(key, "")
