"""One fact of a recording, and the rule that says which facts give a label away.

What counts as a label (dropped by `labels="exclude"`), beside every key of `Recording.labels`:

* any metadata key that is neither demographic nor acquisition: nobody has vouched for it, so a new
  column of a corpus can leak nothing;
* the device of PhysioNet 2016 (21 to 77 % abnormal by database) and the device and channel mode of
  ICBHI (646 of 646 AKG recordings are COPD); PhysioNet's database letter;
* sex in Coswara, CoughVID and wherever else sex is a label;
* SPRSound's record class (Normal, CAS, DAS, ..., Poor Quality) and events; CirCor's murmur columns.

Age, height, weight and the other demographics stay: they are confounders, not labels, and the
metadata-only baseline measures what they give away. Identifiers and campaigns are never facts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from align.corpora.recording import Recording

Kind = Literal["demographic", "acquisition", "finding"]
Labels = Literal["include", "exclude"]

UNKNOWN = frozenset({"", "nan", "na", "n/a", "none", "null", "unknown", "not available", "-"})
DEMOGRAPHIC = {
    "age": ("age", "years"),
    "age_group": ("age group", ""),
    "sex": ("sex", ""),
    "gender": ("sex", ""),
    "height": ("height", "cm"),
    "weight": ("weight", "kg"),
    "bmi": ("BMI", "kg/m2"),
    "pregnancy_status": ("pregnancy", ""),
    "pregnant": ("pregnancy", ""),
}
ACQUISITION = {
    "sound": "sound",
    "quality": "recording quality",
    "filter": "filter",
    "acquisition_mode": "acquisition mode",
    "posture": "posture",
}
NEVER = frozenset(
    (
        *("patient_id", "additional_id", "campaign", "recording_locations", "locations"),
        *("official_split", "duplicates", "duplicate_of", "session", "returning_user"),
        *("covid_status", "test_status", "status"),
    )
)
LABEL_KEYS = {
    "physionet2016": frozenset({"database", "device"}),
    "icbhi": frozenset({"device", "acquisition_mode"}),
    "sprsound": frozenset({"quality"}),
    "coswara": frozenset({"sex", "gender"}),
    "coughvid": frozenset({"sex", "gender"}),
}
HEART = frozenset({"circor", "physionet2016", "bmd-hs", "zchsound"})
NO_SITE = frozenset({"heart", "lung", "mouth", "nose"})  # the kind of sound has said so
VALVES = {"aortic": "AV", "mitral": "MV", "pulmonary": "PV", "tricuspid": "TV"}
LABEL_WORDS = {
    "as": "aortic stenosis",
    "ar": "aortic regurgitation",
    "mr": "mitral regurgitation",
    "ms": "mitral stenosis",
    "fev1_fvc": "FEV1/FVC",
    "fvc": "FVC",
    "fev1": "FEV1",
    "copd_severity": "COPD severity",
}
LABEL_UNITS = {"fvc": "L", "fev1": "L", "breathing_rate": "per minute"}
LUNG = frozenset({"sprsound", "icbhi", "kauh", "respiratory-tr"})


@dataclass(frozen=True)
class Fact:
    """One thing the corpus says of a recording.

    A field may repeat (`murmur location`). `value` is canonical: numbers without trailing zeros,
    `present`/`absent` for findings, valve abbreviations for CirCor sites.
    """

    field: str
    value: str
    unit: str = ""
    kind: Kind = "finding"
    is_label: bool = False


def generic_facts(row: Recording) -> tuple[Fact, ...]:
    """Facts of any corpus: demographic and acquisition keys, labels, and all else as labels."""
    facts = (*demographics(row), *acquisition(row, VALVES))
    return (*facts, *label_facts(row), *other_facts(row))


def demographics(row: Recording) -> tuple[Fact, ...]:
    """Age, sex, height, weight, BMI and pregnancy, where known; each field once."""
    found: dict[str, Fact] = {}
    for key, raw in row.metadata.items():
        field, unit = DEMOGRAPHIC.get(plain_key(key), ("", ""))
        value = known(raw)
        if not field or value is None or field in found:
            continue
        if field == "pregnancy" and value.lower() not in ("true", "yes", "1", "pregnant"):
            continue  # "not pregnant" is written for every boy too: it says nothing
        found[field] = Fact(field, _demographic_value(field, value), unit, "demographic")
        if is_label_key(row, key):
            found[field] = replace(found[field], is_label=True)
    if "sex" in row.labels and "sex" not in found:
        found["sex"] = Fact("sex", str(row.labels["sex"]), "", "demographic", is_label=True)
    return tuple(found.values())


def acquisition(row: Recording, sites: Mapping[str, str] | None = None) -> tuple[Fact, ...]:
    """What was recorded, where and with what; `sites` words the site codes."""
    facts = [Fact("sound", sound_of(row), kind="acquisition")]
    site = known(row.site)
    if site is not None and site not in NO_SITE:
        facts.append(Fact("site", (sites or {}).get(site, site), kind="acquisition"))
    device = known(row.device)
    if device is not None:
        hidden = is_label_key(row, "device")
        facts.append(Fact("device", device, kind="acquisition", is_label=hidden))
    for key, raw in row.metadata.items():
        field, value = ACQUISITION.get(plain_key(key)), known(raw)
        if field and field != "sound" and value is not None and not is_label_key(row, key):
            facts.append(Fact(field, value.lower(), kind="acquisition"))
    return tuple(facts)


def label_facts(row: Recording) -> tuple[Fact, ...]:
    """Every label but sex: `True` is present, `False` absent, and `abnormal` an outcome."""
    facts = []
    for key, value in row.labels.items():
        text = known(value)
        if text is None or key == "sex":
            continue
        if key == "abnormal":
            facts.append(Fact("outcome", "abnormal" if value else "normal", is_label=True))
            continue
        truth = {True: "present", False: "absent"}
        text = truth[value] if isinstance(value, bool) else text.lower()
        unit = LABEL_UNITS.get(key, "")
        facts.append(Fact(LABEL_WORDS.get(key, key.replace("_", " ")), text, unit, is_label=True))
    return tuple(facts)


def other_facts(row: Recording) -> tuple[Fact, ...]:
    """Metadata keys that nobody vouched for: told as findings, and treated as labels."""
    facts = []
    for key, raw in row.metadata.items():
        name, value = plain_key(key), known(raw)
        spoken = name in DEMOGRAPHIC or name in ACQUISITION or name in ("device", "site")
        if value is None or name in NEVER or name in row.labels:
            continue
        if not spoken or (name in ACQUISITION and is_label_key(row, key)):
            truth = {"yes": "present", "no": "absent"}
            words = truth.get(value.lower(), value.lower())
            kind: Kind = "acquisition" if name in ACQUISITION else "finding"
            facts.append(Fact(name.replace("_", " "), words, "", kind, is_label=True))
    return tuple(facts)


def sound_of(row: Recording) -> str:
    """What kind of sound the recording is: heart sound, lung sound, cough, ..."""
    if row.corpus in HEART:
        return "heart sound"
    if row.corpus in LUNG:
        return "lung sound"
    words = (known(row.metadata.get("sound", "")) or "cough").lower().split("-")
    return " ".join(reversed(words) if row.corpus == "coswara" else words)


def is_label_key(row: Recording, key: str) -> bool:
    """Whether a metadata key gives a label of this corpus away."""
    name = plain_key(key)
    if name in LABEL_KEYS.get(row.corpus, ()) or name in row.labels:
        return True
    return name not in DEMOGRAPHIC and name not in ACQUISITION and name not in ("device", "site")


def known(value: object) -> str | None:
    """The value as text without trailing zeros, or None if it is one of the ways to say unknown."""
    text = " ".join(str(value).split())
    if text.lower() in UNKNOWN:
        return None
    return str(int(float(text))) if re.fullmatch(r"-?\d+\.0+", text) else text


def plain_key(key: str) -> str:
    """`Systolic murmur timing` as `systolic_murmur_timing`."""
    return re.sub(r"[^a-z0-9]+", "_", key.lower()).strip("_")


def _demographic_value(field: str, value: str) -> str:
    text = value.lower()
    if field == "sex":
        return {"m": "male", "f": "female"}.get(text, text)
    return "pregnant" if field == "pregnancy" else text
