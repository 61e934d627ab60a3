"""A bundle's figures on the test patients: one look at them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from acula_edge.bundle import Bundle
from export.compare import agreement
from export.figures import (
    Scored,
    decisions,
    finding_metrics,
    patient_level,
    subgroups,
    transfer_metrics,
)
from export.phase_score import score_phases
from export.score import FINDING_CORPUS, good_physionet, score, score_split
from export.text_figures import text_figures
from export.text_head import Language
from export.variants import REFERENCE


def evaluate(
    bundle: Bundle, data_root: Path, *, language: Language | None = None, quiet: bool = False
) -> dict[str, object]:
    """Every figure of the model card, on the test patients: one look at them.

    Per variant, then `against_fp32` (each other variant beside it) and `subgroups` (of the first
    variant, the one whose thresholds were fixed).
    """
    specs, variants = bundle.manifest.findings, tuple(bundle.manifest.variants)
    tested = {name: score_split(bundle, name, data_root, "test", quiet=quiet) for name in variants}
    figures: dict[str, object] = {
        name: _variant_figures(bundle, name, tested[name], data_root, quiet) for name in variants
    }
    if REFERENCE in tested:
        figures["against_fp32"] = {
            name: {
                spec.name: agreement(tested[name][spec.name], tested[REFERENCE][spec.name], spec)
                for spec in specs
            }
            for name in variants
            if name != REFERENCE
        }
    first = tested[variants[0]]
    figures["subgroups"] = {
        spec.name: subgroups(first[spec.name], spec.name, decisions(first[spec.name], spec))
        for spec in specs
    }
    if bundle.manifest.phases:
        figures["phases"] = score_phases(bundle, variants[0], data_root, "test", quiet=quiet)
    if language is not None:
        figures["text"] = _text_figures(tested[variants[0]], language)
    return figures


def _text_figures(tested: dict[str, list[Scored]], language: Language) -> dict[str, object]:
    """Each test recording once, though several findings may be known of it."""
    exams = {
        (item.recording.corpus, item.recording.name): item
        for items in tested.values()
        for item in items
    }
    unheard = np.full(language.fit.size, np.nan)
    places = [item.embedding for item in exams.values()]
    return text_figures(
        [item.recording for item in exams.values()],
        np.stack([unheard if place is None else place for place in places]).astype(np.float32),
        language.texts,
        language.fit,
        language.reports,
        language.tasks,
    )


def _variant_figures(
    bundle: Bundle, variant: str, tested: dict[str, list[Scored]], data_root: Path, quiet: bool
) -> dict[str, object]:
    """Findings on their own corpora, and transfer to the PhysioNet databases it never heard."""
    figures: dict[str, object] = {}
    for spec in bundle.manifest.findings:
        scored = tested[spec.name]
        entry = finding_metrics(scored, spec.name, decisions(scored, spec))
        entry["corpus"] = FINDING_CORPUS[spec.name]
        if spec.name == "murmur":
            entry["patient_level"] = patient_level(scored, spec.name)
        figures[spec.name] = entry
    heard = {item.corpus for item in bundle.manifest.training_data}
    others = [
        row
        for row in good_physionet(data_root)
        if f"physionet2016-{row.metadata['database']}" not in heard
    ]
    if "murmur" in bundle.manifest.labels and others:
        figures["physionet2016"] = transfer_metrics(score(bundle, variant, others, quiet))
    return figures
