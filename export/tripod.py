"""The 27 items of TRIPOD+AI (Collins et al., BMJ 2024, e078378) and where a card answers them."""

from __future__ import annotations

from dataclasses import dataclass

from export.limits import NOT_REPORTED


@dataclass(frozen=True)
class Item:
    """`sections` are headings of the card; `note` says what is answered elsewhere or not at all."""

    number: int
    topic: str
    sections: tuple[str, ...] = ()
    note: str = ""


ITEMS = (
    Item(1, "Title", ("Findings",)),
    Item(2, "Abstract", ("Intended use",)),
    Item(
        3, "Background", ("Intended use",), f"existing models, known inequalities: {NOT_REPORTED}"
    ),
    Item(4, "Objectives", ("Intended use",)),
    Item(5, "Data", ("Training data",), "dates of accrual: see each corpus's home"),
    Item(6, "Participants", ("Limits",), "eligibility, treatments: see each corpus's home"),
    Item(7, "Data preparation", ("Training",), "the front end is part of the graphs"),
    Item(8, "Outcome", ("Findings",), "annotators: see each corpus's home"),
    Item(9, "Predictors", ("Findings",), "sound alone"),
    Item(10, "Sample size", ("Training data",), "every labelled patient there is; not calculated"),
    Item(11, "Missing data", ("Measured on test patients",), "unlabelled recordings are left out"),
    Item(12, "Analytical methods", ("Training", "Decisions")),
    Item(13, "Class imbalance", ("Calibration",), "probabilities follow validation prevalence"),
    Item(14, "Fairness", ("Subgroups",), f"ethnicity, income: {NOT_REPORTED}"),
    Item(15, "Model output", ("Decisions",)),
    Item(16, "Training versus evaluation", ("Training data", "Measured on test patients")),
    Item(17, "Ethical approval", (), f"{NOT_REPORTED}; public corpora, see each home"),
    Item(
        18,
        "Open science",
        ("Findings",),
        f"code, recipe and weights are open; protocol, registration, funding: {NOT_REPORTED}",
    ),
    Item(19, "Patient and public involvement", (), NOT_REPORTED),
    Item(20, "Participants in the results", ("Measured on test patients", "Subgroups")),
    Item(21, "Model development", ("Training data", "Training")),
    Item(22, "Model specification", ("Files",)),
    Item(23, "Model performance", ("Measured on test patients", "Calibration", "Subgroups")),
    Item(24, "Model updating", (), NOT_REPORTED),
    Item(25, "Interpretation", ("Limits",)),
    Item(26, "Limitations", ("Limits",)),
    Item(27, "Usability in current care", (), NOT_REPORTED),
)


def tripod_table() -> str:
    """Markdown: item, where the card answers it, what nobody reported."""
    lines = ["| item | where |", "|---|---|"]
    for item in ITEMS:
        where = "; ".join(filter(None, (", ".join(item.sections), item.note)))
        lines.append(f"| {item.number} {item.topic} | {where} |")
    return "\n".join(lines)
