"""S1 and S2 onsets and the heart rate of a live session against CirCor's segmentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from acula_edge import Session
from acula_edge.bundle import Bundle
from acula_edge.events import HeartSound
from acula_edge.heart import heart_tracker
from align.audio import read_pcm
from align.corpora import Interval, Recording, read_corpus
from align.errors import AlignError
from align.statistics import patient_bootstrap
from export.figures import as_json

TOLERANCE = 0.06  # seconds between an onset and its truth
SOUNDS = ("S1", "S2")
JOINED = 1e-3  # seconds; intervals closer than this follow each other without a gap
FEWEST_BEATS = 3
Counts = NDArray[np.int64]


class PhaseScoreError(AlignError):
    """There is nothing to score: a bundle without cardiac phases, or no segmented recordings."""


@dataclass(frozen=True)
class PhaseScore:
    """One recording: per sound of `SOUNDS` how many onsets are true, were told, and both.

    Rates are in beats per minute; None where too few beats are annotated or were told.
    """

    recording: Recording
    counts: tuple[tuple[int, int, int], ...]  # (true, told, matched)
    true_rate: float | None
    told_rate: float | None


def score_phases(
    bundle: Bundle, variant: str, data_root: Path, split: str, *, quiet: bool = False
) -> dict[str, object]:
    """Figures of `phase_figures` on a split's segmented CirCor recordings, through `Session`.

    Raises:
        PhaseScoreError: the bundle tells no phases, or the split has no segmented recording.
    """
    if heart_tracker(bundle.manifest, "heart") is None:
        raise PhaseScoreError(f"{bundle.manifest.name} tells no cardiac phases to score")
    rows = [r for r in read_corpus("circor", data_root) if r.split == split and r.intervals]
    if not rows:
        raise PhaseScoreError(f"circor has no segmented recording in the split {split!r}")
    progress = track(rows, description=f"heart sounds with {variant}", disable=quiet)
    return phase_figures([score_recording(bundle, variant, row) for row in progress])


def score_recording(bundle: Bundle, variant: str, row: Recording) -> PhaseScore:
    """One recording through a live session at the heart."""
    with Session(bundle, site="heart", variant=variant) as session:
        events = session.push(read_pcm(row.path, bundle.manifest.rate)) + session.flush()
        exam = session.finish()
    told = {
        sound: [e.at for e in events if isinstance(e, HeartSound) and e.sound == sound]
        for sound in SOUNDS
    }
    counts = tuple(count_onsets(row.intervals, sound, told[sound]) for sound in SOUNDS)
    return PhaseScore(row, counts, annotated_rate(row.intervals), exam.heart_rate)


def phase_figures(scores: Sequence[PhaseScore]) -> dict[str, object]:
    """Pooled precision, recall and F1 per sound, and the mean absolute error of the heart rate.

    Intervals are 95 %, resampling patients.
    """
    patients = [score.recording.patient for score in scores]
    counts = np.array([score.counts for score in scores])
    figures: dict[str, object] = {
        "corpus": "circor",
        "recordings": len(scores),
        "patients": len(set(patients)),
        "tolerance_seconds": TOLERANCE,
    }
    for index, sound in enumerate(SOUNDS):
        figures[sound] = {"onsets": int(counts[:, index, 0].sum())} | {
            name: as_json(
                patient_bootstrap(
                    patients,
                    lambda rows, c=counts[:, index], f=figure: f(c[rows].sum(axis=0)),  # type: ignore[misc]
                )
            )
            for name, figure in (("precision", precision), ("recall", recall), ("f1", f1))
        }
    return figures | {"heart_rate": _rate_figures(scores)}


def _rate_figures(scores: Sequence[PhaseScore]) -> dict[str, object]:
    known = [score for score in scores if score.true_rate is not None]
    pairs = [
        (score.recording.patient, abs(score.told_rate - score.true_rate))
        for score in known
        if score.told_rate is not None and score.true_rate is not None
    ]
    figures: dict[str, object] = {"recordings": len(known), "told": len(pairs)}
    if pairs:
        error = np.array([value for _, value in pairs])
        names = [name for name, _ in pairs]
        mean = patient_bootstrap(names, lambda rows: float(error[rows].mean()))
        figures["mean_absolute_error_bpm"] = as_json(mean)
        figures["within_5_bpm"] = round(float((error <= 5).mean()), 4)
    return figures


def count_onsets(
    intervals: Sequence[Interval], sound: str, told: Iterable[float]
) -> tuple[int, int, int]:
    """True onsets of `sound`, onsets told (seconds), and matches, within annotated spans.

    A span is a run of intervals without a gap. Its first onset is where the annotation starts, not
    where a sound does, so it is not counted; nor is what is told within `TOLERANCE` of a span's
    ends and matches nothing.
    """
    heard = sorted(told)
    true = told_inside = matched = 0
    for span in spans(intervals):
        onsets = [part.start for part in span[1:] if part.label == sound]
        start, end = span[0].start, span[-1].end
        near = [at for at in heard if start - TOLERANCE <= at <= end + TOLERANCE]
        pairs = match(onsets, near)
        taken = {index for _, index in pairs}
        inside = [start + TOLERANCE <= at <= end - TOLERANCE for at in near]
        true += len(onsets)
        matched += len(pairs)
        told_inside += sum(index in taken or inner for index, inner in enumerate(inside))
    return true, told_inside, matched


def spans(intervals: Sequence[Interval]) -> list[list[Interval]]:
    """Intervals in order of time, cut where the annotation has a gap."""
    result: list[list[Interval]] = []
    for part in sorted(intervals, key=lambda part: part.start):
        if result and abs(part.start - result[-1][-1].end) <= JOINED:
            result[-1].append(part)
        else:
            result.append([part])
    return result


def match(true: Sequence[float], told: Sequence[float]) -> list[tuple[int, int]]:
    """Most pairs (index of true, index of told) within `TOLERANCE`, each used once; both sorted."""
    pairs, i, j = [], 0, 0
    while i < len(true) and j < len(told):
        late = told[j] - true[i]
        if abs(late) <= TOLERANCE:
            pairs.append((i, j))
        i, j = i + (late >= -TOLERANCE), j + (late <= TOLERANCE)
    return pairs


def annotated_rate(intervals: Sequence[Interval]) -> float | None:
    """Beats per minute, from the median of S1 to S1 within spans; None with too few beats."""
    beats: list[float] = []
    for span in spans(intervals):
        starts = [part.start for part in span[1:] if part.label == "S1"]
        beats += np.diff(starts).tolist()
    return 60 / median(beats) if len(beats) >= FEWEST_BEATS else None


def precision(counts: Counts) -> float:
    """Matched of told; NaN where nothing was told."""
    return _ratio(counts[2], counts[1])


def recall(counts: Counts) -> float:
    """Matched of true; NaN where nothing is annotated."""
    return _ratio(counts[2], counts[0])


def f1(counts: Counts) -> float:
    """Twice the matched over true plus told."""
    return _ratio(2 * counts[2], counts[0] + counts[1])


def _ratio(part: np.int64, whole: np.int64) -> float:
    return float(part) / float(whole) if whole else float("nan")
