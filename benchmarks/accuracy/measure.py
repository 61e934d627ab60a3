"""Each variant of a bundle on prepared corpora, through the same `Session` as live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from acula_edge.bundle import Bundle
from acula_edge.errors import UsageError
from align.errors import one_sentence
from benchmarks.accuracy.differences import against_original, against_variant
from benchmarks.accuracy.groups import finding_groups
from benchmarks.accuracy.looks import look_sentence
from benchmarks.accuracy.original import Original, read_original
from benchmarks.accuracy.recordings import Part, choose_parts, digest
from benchmarks.record import Accuracy, Difference, Group, VariantAccuracy
from export.figures import Scored
from export.score import score

REFERENCE = "fp32"
Exams = list[list[Scored]]  # of each part, in the order of its rows


def _tell_nobody(_: str) -> None:
    pass


def measure_accuracy(
    bundle: Bundle,
    variants: Sequence[str],
    data_root: Path,
    *,
    split: str = "test",
    original: Path | None = None,
    limit: int | None = None,
    looks: int,
    quiet: bool = False,
    progress: Callable[[str], None] = _tell_nobody,
) -> Accuracy:
    """Figures of `variants` (none named: all), each beside fp32, if that is one, and the original.

    `split="test"` is a look at the test patients, who had been looked at `looks` times before.
    `original` is the folder of a run of `align`, scored on test patients alone. `limit` samples
    whole patients, so many recordings of each corpus. `progress` is told what begins.

    An interrupt (Ctrl-C) keeps the variants scored by then: see `unfinished`.

    Raises:
        UsageError: no corpora (`has_corpora` tells beforehand), no such split, an original without
            scores of these recordings, or a damaged recording.
        BundleError: the bundle has no such variant.
        MissingDependencyError: an original, and the align extra is not installed.
    """
    names = tuple(dict.fromkeys(variants)) or tuple(bundle.manifest.variants)
    for name in names:
        bundle.manifest.variant(name)
    if limit is not None and limit < 1:
        raise UsageError("a sample holds at least one recording of each corpus")
    if original is not None and split != "test":
        raise UsageError("the aligned encoder was scored on the test patients alone: --split test")
    with one_sentence():
        parts = choose_parts(bundle.manifest, data_root, split, limit)
        beside = None if original is None else read_original(original, parts)
        progress(look_sentence(split, looks))
        measured = _variants(bundle, names, parts, beside, quiet, progress)
    return Accuracy(
        split=split,
        recordings=sum(len(part.rows) for part in parts),
        patients=len({(part.corpus, row.patient) for part in parts for row in part.rows}),
        digest=digest(parts),
        looks=looks,
        limited_to=limit if any(len(part.rows) < part.available for part in parts) else None,
        variants=tuple(measured[name] for name in names if name in measured),
        original=None if beside is None else beside.accuracy,
    )


def unfinished(accuracy: Accuracy, variants: Sequence[str]) -> tuple[str, ...]:
    """The variants asked for that an interrupt left out."""
    done = {item.variant for item in accuracy.variants}
    return tuple(name for name in variants if name not in done)


def _variants(
    bundle: Bundle,
    names: Sequence[str],
    parts: Sequence[Part],
    original: Original | None,
    quiet: bool,
    progress: Callable[[str], None],
) -> dict[str, VariantAccuracy]:
    measured: dict[str, VariantAccuracy] = {}
    reference: Exams | None = None
    try:
        for name in sorted(names, key=lambda name: name != REFERENCE):
            progress(f"scoring {sum(len(part.rows) for part in parts)} recordings with {name}")
            exams = _score(bundle, name, parts, quiet)
            if name == REFERENCE:
                reference = exams
            other = None if name == REFERENCE else reference
            measured[name] = _figures(bundle, name, parts, exams, other, original)
    except KeyboardInterrupt:
        progress(f"interrupted: {len(measured)} of {len(names)} variants were scored")
    return measured


def _score(bundle: Bundle, variant: str, parts: Sequence[Part], quiet: bool) -> Exams:
    """All parts in one go: starting processes takes seconds."""
    exams = iter(score(bundle, variant, [row for part in parts for row in part.rows], quiet))
    return [list(islice(exams, len(part.rows))) for part in parts]


def _figures(
    bundle: Bundle,
    variant: str,
    parts: Sequence[Part],
    exams: Exams,
    reference: Exams | None,
    original: Original | None,
) -> VariantAccuracy:
    specs = {spec.name: spec for spec in bundle.manifest.findings}
    groups: list[Group] = []
    differences: list[Difference] = []
    for index, part in enumerate(parts):
        for finding in part.findings:
            spec, task = specs[finding], part.task(finding)
            ours = _known(exams[index], finding)
            groups += finding_groups(ours, part.corpus, spec)
            if reference is not None:
                theirs = _known(reference[index], finding)
                differences.append(against_variant(ours, theirs, spec, task, REFERENCE))
            if original is not None and task in original.scores:
                differences.append(against_original(ours, original.scores[task], spec, task))
    graph = bundle.manifest.variant(variant).stream.sha256
    return VariantAccuracy(variant, graph, tuple(groups), tuple(differences))


def _known(exams: Sequence[Scored], finding: str) -> list[Scored]:
    return [item for item in exams if finding in item.recording.labels]
