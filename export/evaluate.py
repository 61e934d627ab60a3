"""Score recordings with a bundle's artefact through `Session`, the very path that runs live."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.progress import track

from acula_edge import Session
from acula_edge.bundle import Bundle, load_bundle
from acula_edge.errors import BundleError
from acula_edge.events import QualityState, Window
from align.audio import read_pcm
from align.corpora import Recording, read_corpus
from align.statistics import (
    Array,
    Estimate,
    auprc,
    auroc,
    expected_calibration_error,
    patient_bootstrap,
)

FINDING_CORPUS = {"murmur": "circor", "crackle": "sprsound", "wheeze": "sprsound"}
WORTH_PROCESSES = 200  # recordings; starting processes takes seconds
CORPUS_SITE = {"circor": "heart", "sprsound": "lung", "physionet2016": "heart"}


@dataclass(frozen=True)
class Scored:
    """One recording's exam; `sustained` is the highest smoothed probability held `minimum_on`."""

    recording: Recording
    probability: dict[str, float]
    abstained: bool
    sustained: dict[str, float]


def score(
    bundle: Bundle, variant: str, recordings: Sequence[Recording], quiet: bool = False
) -> list[Scored]:
    """Exam of each recording at its corpus's site; NaN where no usable sound was heard."""
    job = partial(_score_one, bundle.origin, bundle.digest, variant)
    progress = partial(track, description=f"scoring with {variant}", disable=quiet)
    if len(recordings) < WORTH_PROCESSES:
        return [job(row) for row in progress(recordings)]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        results = pool.map(job, recordings, chunksize=8)
        return list(progress(results, total=len(recordings)))


@lru_cache(maxsize=1)
def _bundle(origin: Path, digest: str) -> Bundle:
    """The bundle in this process; the digest tells one content at `origin` from the next."""
    bundle = load_bundle(origin)
    if bundle.digest != digest:
        raise BundleError(f"{origin} changed while it was being scored")
    return bundle


def _score_one(origin: Path, digest: str, variant: str, row: Recording) -> Scored:
    bundle = _bundle(origin, digest)
    pcm = read_pcm(row.path, bundle.manifest.rate)
    with Session(bundle, site=CORPUS_SITE[row.corpus], variant=variant) as session:
        events = session.push(pcm)
        exam = session.finish()
    windows = [e for e in events if isinstance(e, Window) and e.quality is not QualityState.REFUSE]
    hops = round(bundle.manifest.smoothing.minimum_on * bundle.manifest.rate / bundle.manifest.hop)
    return Scored(
        recording=row,
        probability={
            name: float("nan") if result.probability is None else result.probability
            for name, result in exam.findings.items()
        },
        abstained=exam.abstained,
        sustained={
            name: _sustained([w.scores[name] for w in windows], hops) for name in session.findings
        },
    )


def _sustained(values: Sequence[float], hops: int) -> float:
    """Highest level held for `hops` hops in a row (0 if the sound is shorter)."""
    spans = (min(values[i : i + hops]) for i in range(len(values) - hops + 1))
    return max(spans, default=0.0)


def score_split(
    bundle: Bundle, variant: str, data_root: Path, split: str, *, quiet: bool = False
) -> dict[str, list[Scored]]:
    """Exams of a split's recordings per finding, where its truth is known; each scored once."""
    result: dict[str, list[Scored]] = {}
    findings = bundle.manifest.labels
    for corpus in sorted({FINDING_CORPUS[name] for name in findings}):
        rows = [r for r in read_corpus(corpus, data_root) if r.split == split and r.labels]
        scored = score(bundle, variant, rows, quiet)
        for name in findings:
            if FINDING_CORPUS[name] == corpus:
                result[name] = [item for item in scored if name in item.recording.labels]
    return result


def finding_metrics(scored: Sequence[Scored], finding: str, present: float) -> dict[str, object]:
    """Recording-level figures of one finding, with patient-bootstrap intervals."""
    usable = [item for item in scored if not np.isnan(item.probability[finding])]
    truth = np.array([float(item.recording.labels[finding]) for item in usable])
    value = np.array([item.probability[finding] for item in usable])
    patients = [item.recording.patient for item in usable]

    def estimate(statistic) -> dict[str, float]:  # type: ignore[no-untyped-def]
        result = patient_bootstrap(patients, lambda rows: statistic(truth[rows], value[rows]))
        return as_json(result)

    return {
        "recordings": len(scored),
        "patients": len({item.recording.patient for item in scored}),
        "positive": sum(bool(item.recording.labels[finding]) for item in scored),
        "abstained": sum(item.abstained for item in scored),
        "unusable": len(scored) - len(usable),
        "auroc": estimate(auroc),
        "auprc": estimate(auprc),
        "sensitivity": estimate(lambda t, p: _rate(p[t == 1] >= present)),
        "specificity": estimate(lambda t, p: _rate(p[t == 0] < present)),
        "ece": round(expected_calibration_error(truth, value), 4),
    }


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
        truth = np.array([float(item.recording.labels["abnormal"]) for item in rows])
        value = np.array([item.probability["murmur"] for item in rows])
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


def good_physionet(data_root: Path) -> list[Recording]:
    """PhysioNet 2016 recordings marked as good quality."""
    rows: Iterable[Recording] = read_corpus("physionet2016", data_root)
    return [row for row in rows if row.metadata["quality"] == "good"]


def evaluate(bundle: Bundle, data_root: Path, *, quiet: bool = False) -> dict[str, object]:
    """Every figure of the model card, for every variant, on the test patients."""
    return {
        variant: evaluate_variant(bundle, variant, data_root, quiet=quiet)
        for variant in bundle.manifest.variants
    }


def evaluate_variant(
    bundle: Bundle, variant: str, data_root: Path, *, quiet: bool = False
) -> dict[str, object]:
    """Findings on their own corpora and transfer to PhysioNet 2016."""
    figures: dict[str, object] = {}
    tested = score_split(bundle, variant, data_root, "test", quiet=quiet)
    for spec in bundle.manifest.findings:
        entry = finding_metrics(tested[spec.name], spec.name, spec.present)
        entry["corpus"] = FINDING_CORPUS[spec.name]
        if spec.name == "murmur":
            entry["patient_level"] = patient_level(tested[spec.name], spec.name)
        figures[spec.name] = entry
    if any(spec.name == "murmur" for spec in bundle.manifest.findings):
        scored = score(bundle, variant, good_physionet(data_root), quiet)
        figures["physionet2016"] = transfer_metrics(scored)
    return figures


def as_json(estimate: Estimate) -> dict[str, float]:
    """Rounded, for manifests and cards."""
    return {
        "value": round(estimate.value, 4),
        "low": round(estimate.low, 4),
        "high": round(estimate.high, 4),
    }


def _rate(hits: Array) -> float:
    return float(hits.mean()) if len(hits) else float("nan")
