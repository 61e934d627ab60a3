"""The model card, written from the manifest and the recipe; nothing in it is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acula_edge.bundle import Manifest
from export.recipe import Recipe

NOT_REPORTED = "not reported"


def model_card(manifest: Manifest, recipe: Recipe) -> str:
    """Markdown. Items of TRIPOD+AI that nobody measured say so."""
    sections = [
        f"# {manifest.name} {manifest.version}",
        f"**{manifest.notice}**",
        _use(manifest),
        _data(manifest),
        _figures(manifest),
        _thresholds(manifest),
        _training(recipe),
        _limits(manifest),
    ]
    return "\n\n".join(sections) + "\n"


def _use(manifest: Manifest) -> str:
    findings = "\n".join(
        f"* `{spec.name}` ({spec.site}): {spec.definition}" for spec in manifest.findings
    )
    return (
        f"## Intended use\n\n{manifest.intended_use}\n\n## Findings\n\n{findings}\n\n"
        f"Input: mono sound at {manifest.rate} Hz, {manifest.hop} samples"
        f" ({1000 * manifest.hop / manifest.rate:.0f} ms) a hop. Licence of the weights:"
        f" {manifest.licence}. Built at toolkit commit `{manifest.toolkit_commit[:12]}`,"
        f" {manifest.created}."
    )


def _data(manifest: Manifest) -> str:
    rows = [
        f"| {item.corpus} | {item.licence} | {item.patients} | {item.recordings} | {item.home} |"
        for item in manifest.training_data
    ]
    head = "| corpus | licence | patients | recordings | home |\n|---|---|---|---|---|\n"
    return (
        "## Training data\n\n"
        + head
        + "\n".join(rows)
        + "\n\nSplit by patient. Age, sex, ethnicity"
        f" and device subgroups: {NOT_REPORTED}. Every training patient is a child."
    )


def _figures(manifest: Manifest) -> str:
    return (
        "## Measured on test patients\n\nRecording level unless stated, through the same `Session`"
        " that runs live; 95 % intervals from 2,000 patient bootstraps. Sensitivity and specificity"
        " are at the `present` threshold.\n\n" + figures_table(manifest)
    )


def figures_table(manifest: Manifest) -> str:
    """The manifest's measured figures as markdown tables."""
    lines = [
        "| variant | finding | recordings (positive) | patients | AUROC | AUPRC | sensitivity"
        " | specificity | ECE | abstained |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for variant, figures in manifest.metrics.items():
        for spec in manifest.findings:
            entry = figures[spec.name]
            lines.append(
                f"| {variant} | {spec.name} | {entry['recordings']} ({entry['positive']})"
                f" | {entry['patients']} | {_span(entry['auroc'])} | {_span(entry['auprc'])}"
                f" | {_span(entry['sensitivity'])} | {_span(entry['specificity'])}"
                f" | {entry['ece']:.3f} | {entry['abstained']} |"
            )
    lines += ["", *_patients(manifest.metrics), *_transfer(manifest.metrics)]
    return "\n".join(lines)


def _patients(metrics: Mapping[str, Any]) -> list[str]:
    lines = []
    for variant, figures in metrics.items():
        entry = figures.get("murmur", {}).get("patient_level")
        if entry:
            lines.append(
                f"Murmur per patient (highest site, {variant}): AUROC {_span(entry['auroc'])},"
                f" {entry['patients']} patients, {entry['positive']} positive."
            )
    return [*lines, ""]


def _transfer(metrics: Mapping[str, Any]) -> list[str]:
    if not all("physionet2016" in figures for figures in metrics.values()):
        return []
    lines = [
        "### Devices never trained on: PhysioNet 2016",
        "",
        "Murmur probability against *abnormal* (a diagnosis that includes coronary disease, so part"
        " of it makes no murmur), recordings of good quality. No patient ids exist: the interval"
        " resamples recordings.",
        "",
        "| variant | database | recordings (abnormal) | AUROC | abstained |",
        "|---|---|---|---|---|",
    ]
    for variant, figures in metrics.items():
        for database, entry in figures["physionet2016"].items():
            lines.append(
                f"| {variant} | {database} | {entry['recordings']} ({entry['positive']})"
                f" | {_span(entry['auroc'])} | {entry['abstained']} |"
            )
    return lines


def _thresholds(manifest: Manifest) -> str:
    rows = [
        f"| {spec.name} | {spec.present:.3f} | {spec.absent:.3f} | {spec.enter:.3f} |"
        f" {spec.leave:.3f} | {spec.temperature:.3f} | {spec.bias:.3f} |"
        for spec in manifest.findings
    ]
    return (
        "## Decisions\n\nFixed on validation patients with the `cpu-int8` artefact.\n\n"
        "| finding | present at | absent below | live on | live off | temperature | bias |\n"
        "|---|---|---|---|---|---|---|\n" + "\n".join(rows) + "\n\nAn exam abstains with less than"
        f" {manifest.minimum_evidence:g} s of usable sound, or when the quality gate refused more"
        " than half of what it heard."
    )


def _training(recipe: Recipe) -> str:
    settings = recipe.training
    pairs = zip(settings.clips, settings.corpora, strict=True)
    mixture = ", ".join(f"{count} of {corpus}" for count, corpus in pairs)
    return (
        f"## Training\n\nRecipe `export/recipes/{recipe.name}.toml`: {settings.epochs} epochs of"
        f" {settings.steps} steps, crops of {settings.crop / recipe.student.front_end.rate:.2f} s"
        f" ({mixture}); seed {settings.seed}. The weights are their exponential"
        " average after the last epoch; validation patients fixed the thresholds only. The test"
        f" patients had been scored {recipe.test_looks} times when these figures were taken,"
        " earlier versions of the recipe included."
    )


def _limits(manifest: Manifest) -> str:
    parity = manifest.parity
    return (
        "## Limits\n\n"
        "* Adults, other stethoscopes and other clinics are outside the training data; the table of"
        " devices never trained on shows what that costs.\n"
        "* Probabilities are calibrated to the prevalence of the validation patients.\n"
        "* Clinical utility, fairness across subgroups, and use in practice: "
        f"{NOT_REPORTED}.\n"
        f"* Logits agree within {parity.window_tolerance:g} between stream and window graph, within"
        f" {parity.golden_tolerance:g} between hosts, and within {parity.gain_tolerance:g} when the"
        " same sound is 20 dB louder or softer."
    )


def _span(estimate: Mapping[str, float]) -> str:
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def readme_table(manifest: Manifest, variant: str = "cpu-int8") -> str:
    """The README's figures of one variant, one row each."""
    figures = manifest.metrics[variant]
    rows = [(spec.name, spec.definition, figures[spec.name]) for spec in manifest.findings]
    rows += [
        (f"physionet2016-{database}", "abnormal or not, a device never trained on", entry)
        for database, entry in figures["physionet2016"].items()
    ]
    lines = ["| finding | question | recordings (positive) | AUROC |", "|---|---|---|---|"]
    lines += [
        f"| `{name}` | {question} | {entry['recordings']} ({entry['positive']})"
        f" | {_span(entry['auroc'])} |"
        for name, question, entry in rows
    ]
    return "\n".join(lines) + "\n"
