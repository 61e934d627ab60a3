"""The model card: the manifest's figures as tables, set into `cards/MODEL_CARD.md.j2`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from acula_edge.bundle import Manifest
from align import statistics
from export.calibrate import CONFIDENCE
from export.limits import NOT_REPORTED, limits
from export.recipe import Recipe
from export.tripod import tripod_table


@dataclass(frozen=True)
class Extra:
    """A section of figures that only some bundles have; `table` is markdown."""

    title: str
    text: str
    table: str


MEASURED_TOO = {
    "lodo": (
        "Leave one database out",
        "Trained again without each database, then scored on it: a device never heard.",
    ),
    "phases": (
        "Cardiac phase",
        "Onsets and frames against the corpus's annotation of the cardiac cycle.",
    ),
    "text": (
        "Text space",
        "Retrieval and zero-shot findings from text embeddings computed offline.",
    ),
    "aligned": (
        "Beside the aligned encoder",
        "Linear probes of the encoder that was distilled; *difference* is this model minus it, on"
        " the same recordings, paired by patient.",
    ),
}


def model_card(manifest: Manifest, recipe: Recipe, record: Mapping[str, Any] | None = None) -> str:
    """Markdown; what nobody measured or told is "not reported".

    `manifest.metrics` is what `evaluate` returns, `validation` and any of `MEASURED_TOO` beside it;
    the graphs' hashes must be filled in. `record` is the training run's, shown as it is. The card
    shows `reliability-<finding>.svg` of every finding that `reliability_files` draws.
    """
    training, primary = recipe.training, next(iter(manifest.variants))
    pairs = zip(training.clips, training.corpora, strict=True)
    environment = Environment(
        loader=PackageLoader("export", "cards"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("MODEL_CARD.md.j2").render(
        m=manifest,
        recipe=recipe,
        t=training,
        decision=recipe.decision,
        mixture=", ".join(f"{count} of {corpus}" for count, corpus in pairs),
        primary=primary,
        confidence=CONFIDENCE,
        resamples=statistics.RESAMPLES,
        figures=figures_table(manifest),
        extras=list(_extras(manifest)),
        calibration=_calibration(manifest, primary),
        plots=_plotted(manifest, primary),
        thresholds=_thresholds(manifest),
        subgroups=_subgroups(manifest, primary),
        record=[(key, _cell(value)) for key, value in (record or {}).items()],
        graphs=list(_graphs(manifest)),
        limits=limits(manifest),
        tripod=tripod_table(),
        absent=NOT_REPORTED,
        percent=lambda share: f"{100 * share:g} %",
    )


def figures_table(manifest: Manifest) -> str:
    """The manifest's measured figures as markdown tables."""
    columns = ("AUROC", "AUPRC", "sensitivity", "specificity", "rule-out", "unsure")
    rows = [
        [variant, spec.name, *_counts(entry), entry["patients"]]
        + [_cell(entry.get(name.lower().replace("-", "_"))) for name in columns]
        + [_refused(entry)]
        for variant in _measured(manifest)
        for spec in manifest.findings
        for entry in [manifest.metrics[variant][spec.name]]
    ]
    head = ("variant", "finding", "recordings (positive)", "patients", *columns, "refused")
    parts = [_table(head, rows), *_patients(manifest), *_agreement(manifest), *_transfer(manifest)]
    return "\n\n".join(parts)


def readme_table(manifest: Manifest, variant: str = "cpu-int8") -> str:
    """The README's figures of one variant, one row each."""
    figures = manifest.metrics[variant]
    rows = [(spec.name, spec.definition, figures[spec.name]) for spec in manifest.findings]
    rows += [
        (f"physionet2016-{database}", "abnormal or not, a device never trained on", entry)
        for database, entry in figures.get("physionet2016", {}).items()
    ]
    cells = [
        [f"`{name}`", asked, *_counts(entry), _cell(entry["auroc"])] for name, asked, entry in rows
    ]
    return _table(("finding", "question", "recordings (positive)", "AUROC"), cells) + "\n"


def _patients(manifest: Manifest) -> Iterator[str]:
    lines = []
    for variant in _measured(manifest):
        entry = manifest.metrics[variant].get("murmur", {}).get("patient_level")
        if entry:
            lines.append(
                f"Murmur per patient (highest site, {variant}): AUROC {_cell(entry['auroc'])},"
                f" {entry['patients']} patients, {entry['positive']} positive."
            )
    if lines:
        yield "  \n".join(lines)


def _agreement(manifest: Manifest) -> Iterator[str]:
    found = manifest.metrics.get("against_fp32")
    if not found:
        return
    yield (
        "### Beside fp32\n\nDifference in AUROC (variant minus fp32, paired by patient), share of"
        " recordings with the same decision, share on the same side of 0.5, and the largest"
        " difference in probability."
    )
    rows = [
        [variant, name, entry["recordings"]]
        + [_cell(entry[key]) for key in ("difference", "decision", "argmax", "largest")]
        for variant, findings in found.items()
        for name, entry in findings.items()
    ]
    head = ("variant", "finding", "recordings", "AUROC difference")
    yield _table((*head, "same decision", "same side", "largest difference"), rows)


def _transfer(manifest: Manifest) -> Iterator[str]:
    rows = [
        [variant, database, *_counts(entry), _cell(entry["auroc"]), _refused(entry)]
        for variant in _measured(manifest)
        for database, entry in manifest.metrics[variant].get("physionet2016", {}).items()
    ]
    if rows:
        yield (
            "### Devices never trained on: PhysioNet 2016\n\nMurmur probability against *abnormal*"
            " (a diagnosis that includes coronary disease, so part of it makes no murmur),"
            " recordings of good quality. No patient ids exist: the interval resamples recordings."
        )
        yield _table(("variant", "database", "recordings (abnormal)", "AUROC", "refused"), rows)


def _extras(manifest: Manifest) -> Iterator[Extra]:
    for key, (title, text) in MEASURED_TOO.items():
        if found := manifest.metrics.get(key):
            yield Extra(title, text, _any_table(found))


def _calibration(manifest: Manifest, primary: str) -> str:
    keys = ("prevalence", "expected", "ece", "brier", "specificity", "sensitivity", "rule_out")
    rows = []
    for spec in manifest.findings:
        for label, source in (("validation, left out", "validation"), ("test", primary)):
            entry = manifest.metrics.get(source, {}).get(spec.name)
            if entry:
                people = f"{entry['patients']} ({entry['positive_patients']})"
                cells = [_cell(entry.get(key)) for key in (*keys, "unsure")]
                rows.append([spec.name, label, people, *cells])
    if not rows:
        return f"{NOT_REPORTED.capitalize()}."
    head = ("finding", "patients of", "patients (with the finding)", "prevalence", "expected")
    figures = ("ECE", "Brier", "specificity", "sensitivity", "rule-out", "unsure")
    return _table((*head, *figures), rows)


def _plotted(manifest: Manifest, primary: str) -> list[str]:
    sources = [manifest.metrics.get(key, {}) for key in ("validation", primary)]
    return [
        spec.name
        for spec in manifest.findings
        if any(source.get(spec.name, {}).get("reliability") for source in sources)
    ]


def _thresholds(manifest: Manifest) -> str:
    keys = ("present", "absent", "enter", "leave", "temperature", "bias")
    rows = [
        [spec.name, *(f"{getattr(spec, key):.3f}" for key in keys)] for spec in manifest.findings
    ]
    names = ("present at", "absent below", "live on", "live off", "temperature", "bias")
    return _table(("finding", *names), rows)


def _subgroups(manifest: Manifest, primary: str) -> str:
    rows = [
        [finding, group, *_counts(entry), entry["patients"]]
        + [_cell(entry[key]) for key in ("auroc", "sensitivity", "specificity")]
        for finding, groups in manifest.metrics.get("subgroups", {}).items()
        for group, entry in groups.items()
    ]
    if not rows:
        return f"{NOT_REPORTED.capitalize()}."
    head = ("finding", "group", "recordings (positive)", "patients", "AUROC", "sensitivity")
    return (
        f"Test patients, `{primary}`, as far as the corpora tell; groups of few patients are left"
        f" out.\n\n{_table((*head, 'specificity'), rows)}"
    )


def _graphs(manifest: Manifest) -> Iterator[tuple[str, str, str, Any]]:
    for name, variant in manifest.variants.items():
        for graph in filter(None, (variant.stream, variant.window)):
            yield name, graph.file, graph.sha256, variant


def _measured(manifest: Manifest) -> list[str]:
    return [name for name in manifest.variants if name in manifest.metrics]


def _counts(entry: Mapping[str, Any]) -> list[str]:
    return [f"{entry['recordings']} ({entry['positive']})"]


def _refused(entry: Mapping[str, Any]) -> str:
    return f"{entry['abstained']} ({100 * entry['abstained'] / entry['recordings']:.1f} %)"


def _any_table(found: Mapping[str, Any]) -> str:
    """Figures of any nesting: one table for each set of columns, rows named by their path."""
    tables: dict[tuple[str, ...], list[list[str]]] = {}
    for path, entry in _leaves(found, ()):
        if path:
            row = [" / ".join(path), *map(_cell, entry.values())]
            tables.setdefault(tuple(entry), []).append(row)
        else:
            tables[("value",)] = [[_words(key), _cell(value)] for key, value in entry.items()]
    return "\n\n".join(
        _table(("", *map(_words, columns)), rows) for columns, rows in tables.items()
    )


def _leaves(
    found: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Each level's own figures, then those of the levels below it."""
    below = {k: v for k, v in found.items() if isinstance(v, Mapping) and not _is_span(v)}
    if own := {key: value for key, value in found.items() if key not in below}:
        yield path, own
    for key, value in below.items():
        yield from _leaves(value, (*path, _words(key)))


def _words(key: str) -> str:
    return key.replace("_", " ")


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return NOT_REPORTED
    if isinstance(value, Mapping):
        if _is_span(value):
            return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
        return "; ".join(f"{key}: {_cell(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_cell(item) for item in value)
    return f"{value:.3f}" if isinstance(value, float) else str(value).replace("|", "\\|")


def _is_span(value: Mapping[str, Any]) -> bool:
    return set(value) == {"value", "low", "high"}
