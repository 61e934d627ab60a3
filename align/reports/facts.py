"""From a recording to its ordered facts: seven corpora worded by hand, the others by their keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from align.corpora.recording import Recording
from align.reports.roles import (
    Fact,
    Labels,
    acquisition,
    demographics,
    generic_facts,
    known,
    label_facts,
    other_facts,
)

MURMUR_PARTS = ("timing", "shape", "grading", "pitch", "quality")
CIRCOR_SPOKEN = frozenset({"murmur", "outcome_abnormal"})
SPRSOUND_CLASSES = {
    "Normal": "normal",
    "CAS": "continuous adventitious sounds",
    "DAS": "discontinuous adventitious sounds",
    "CAS & DAS": "continuous and discontinuous adventitious sounds",
}
SPRSOUND_EVENTS = {
    "Wheeze": ("wheeze",),
    "Rhonchi": ("rhonchi",),
    "Stridor": ("stridor",),
    "Fine Crackle": ("fine crackle",),
    "Coarse Crackle": ("coarse crackle",),
    "Wheeze+Crackle": ("wheeze", "crackle"),
}
ICBHI_SITES = {
    "Tc": "trachea",
    "Al": "left anterior chest",
    "Ar": "right anterior chest",
    "Pl": "left posterior chest",
    "Pr": "right posterior chest",
    "Ll": "left lateral chest",
    "Lr": "right lateral chest",
}


def circor_facts(row: Recording) -> tuple[Fact, ...]:
    """CirCor: the murmur as heard at this recording's site.

    `murmur` is present (audible here), absent (nowhere in the child) or elsewhere (audible, but not
    here; its locations follow, its descriptors do not, for they describe another recording).
    """
    ages = dict(row.metadata)
    ages["age_group"] = ages.pop("Age", "")
    person = Recording(**{**row.__dict__, "metadata": ages})
    return (*demographics(person), *acquisition(row), *circor_murmur(row.metadata, row.site))


def circor_murmur(table: Mapping[str, str], site: str | None) -> tuple[Fact, ...]:
    """Murmur and outcome facts of a CirCor patient, at one site or (None) of the whole patient."""
    murmur = known(table.get("Murmur", ""))
    told = known(table.get("Murmur locations", "")) or ""
    places = [place for place in told.split("+") if place]
    facts: list[tuple[str, str | None]] = []
    if murmur == "Absent":
        facts.append(("murmur", "absent"))
    elif murmur == "Present" and (places or site is None):  # else unknown at this site
        here = site is None or site in places
        facts.append(("murmur", "present" if here else "elsewhere"))
        facts.extend(("murmur location", place) for place in places)
        if here:
            facts.append(("most audible location", known(table.get("Most audible location", ""))))
            facts.extend(_descriptors(table))
    facts.append(("outcome", (known(table.get("Outcome", "")) or "").lower() or None))
    return _findings(facts)


def _descriptors(table: Mapping[str, str]) -> Iterable[tuple[str, str | None]]:
    for phase in ("Systolic", "Diastolic"):
        for part in MURMUR_PARTS:
            value = known(table.get(f"{phase} murmur {part}", ""))
            if value is not None and part != "grading":
                value = value.lower()
            yield f"{phase.lower()} {part}", value


def _findings(pairs: Iterable[tuple[str, str | None]]) -> tuple[Fact, ...]:
    return tuple(Fact(field, value, is_label=True) for field, value in pairs if value is not None)


def sprsound_facts(row: Recording) -> tuple[Fact, ...]:
    """SPRSound: wheeze and crackle labels, the kinds of event, and the record's class."""
    quality = row.metadata.get("quality", "")
    events: dict[str, None] = {}
    for interval in row.intervals:
        events.update(dict.fromkeys(SPRSOUND_EVENTS.get(interval.label, ())))
    pairs = [("respiratory event", event) for event in sorted(events)]
    if quality in SPRSOUND_CLASSES:
        pairs.append(("record class", SPRSOUND_CLASSES[quality]))
    elif quality == "Poor Quality":
        pairs.append(("recording quality", "poor"))
    person = (*demographics(row), *acquisition(row, _chest(row)))
    return (*person, *label_facts(row), *_findings(pairs))


def _chest(row: Recording) -> dict[str, str]:
    return {row.site: row.site if row.site == "trachea" else f"{row.site} chest"}


def physionet2016_facts(row: Recording) -> tuple[Fact, ...]:
    """PhysioNet 2016: the diagnosis class; the device is a label here (see `facts`)."""
    verdict = row.labels.get("abnormal")
    outcome = None if verdict is None else "abnormal" if verdict else "normal"
    return (*acquisition(row), *_findings([("outcome", outcome)]))


def icbhi_facts(row: Recording) -> tuple[Fact, ...]:
    """ICBHI: chest sites in words; the device is a label here (see `facts`)."""
    person = (*demographics(row), *acquisition(row, ICBHI_SITES))
    return (*person, *label_facts(row), *other_facts(row))


def kauh_facts(row: Recording) -> tuple[Fact, ...]:
    """KAUH: diagnosis and sounds; the sound code of the file name repeats the labels."""
    person = (*demographics(row), *acquisition(row, _chest(row)))
    return (*person, *label_facts(row))


def covid19_cough_facts(row: Recording) -> tuple[Fact, ...]:
    """covid19-cough: its contradictory COVID column is never told; symptoms count as a label."""
    symptoms = known(row.metadata.get("asymptomatic", ""))
    words = {"true": "absent", "false": "present"}.get((symptoms or "").lower())
    return (*demographics(row), *acquisition(row), *_findings([("symptoms", words)]))


def respiratory_tr_facts(row: Recording) -> tuple[Fact, ...]:
    """Respiratory@TR: side and channel number as a place, and the COPD grade."""
    side, _, channel = row.site.partition(" ")
    sites = {row.site: f"{side} chest, position {channel}"}
    return (*demographics(row), *acquisition(row, sites), *label_facts(row))


WORDED: dict[str, Callable[[Recording], tuple[Fact, ...]]] = {
    "circor": circor_facts,
    "sprsound": sprsound_facts,
    "physionet2016": physionet2016_facts,
    "icbhi": icbhi_facts,
    "kauh": kauh_facts,
    "covid19-cough": covid19_cough_facts,
    "respiratory-tr": respiratory_tr_facts,
}


def facts_of(row: Recording, labels: Labels = "include") -> tuple[Fact, ...]:
    """The facts of `row`: demographics, acquisition, then findings; unknown values are left out.

    `labels="exclude"` drops every fact that is a label or gives one away (see `roles`).
    """
    facts = WORDED.get(row.corpus, generic_facts)(row)
    return tuple(fact for fact in facts if labels == "include" or not fact.is_label)
