"""The default writer and control: jinja2 prose that varies with the facts and with nothing else."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from align.corpora.recording import Recording
from align.reports.facts import facts_of
from align.reports.report import Report
from align.reports.roles import Fact, Labels

SITES = {
    "AV": "aortic valve area",
    "MV": "mitral valve area",
    "PV": "pulmonary valve area",
    "TV": "tricuspid valve area",
    "Phc": "additional auscultation site",
}
DEVICES = {
    "littmann-3200": "Littmann 3200 electronic stethoscope",
    "welch-allyn-meditron": "Welch Allyn Meditron electronic stethoscope",
    "littmann-e4000": "Littmann E4000 electronic stethoscope",
    "audioscope": "AUDIOSCOPE",
    "littmann-4100-or-jabes": "Littmann 4100 or JABES electronic stethoscope",
    "yunting-model-ii": "Yunting model II stethoscope",
    "akg-c417l": "AKG C417L microphone",
    "littmann-classic-ii-se": "Littmann Classic II SE stethoscope",
    "call-center": "telephone",
    "telegram": "Telegram voice message",
}
ACRONYMS = frozenset({"copd", "urti", "lrti", "asd", "vsd", "pda", "pfo", "covid"})
YEARS_OF_A_CHILD = 18
MAX_FINDINGS = 12  # of a corpus without its own template; a questionnaire has forty columns


def write(row: Recording, labels: Labels = "include") -> Report:
    """The template report of a recording: one to three sentences, the same for the same facts."""
    return write_facts(row.corpus, facts_of(row, labels))


def write_facts(corpus: str, facts: Sequence[Fact]) -> Report:
    """The template report of these facts; lists the fields it does not tell as omitted."""
    told = _Told(facts)
    text = _template(corpus).render(f=told, person=_person(told))
    sentences = " ".join(text.split()).replace(" .", ".").replace(" ,", ",")
    omitted = tuple(dict.fromkeys(fact.field for fact in facts if fact.field not in told.read))
    return Report(sentences, "template", omitted=omitted)


class _Told:
    """Facts by field for a template, remembering which fields were read."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        self.read: set[str] = set()
        self._values: dict[str, list[str]] = {}
        self._rest = [fact for fact in facts if fact.kind == "finding"]
        for fact in facts:
            self._values.setdefault(fact.field, []).append(fact.value)

    def one(self, field: str) -> str:
        """The value of a field, empty if the recording has none."""
        self.read.add(field)
        return self._values.get(field, [""])[0]

    def all(self, field: str) -> list[str]:
        """Every value of a field."""
        self.read.add(field)
        return self._values.get(field, [])

    def rest(self) -> list[Fact]:
        """The first findings that no call has read yet, labels before all else."""
        left = [fact for fact in self._rest if fact.field not in self.read][:MAX_FINDINGS]
        self.read.update(fact.field for fact in left)
        return left


def _person(told: _Told) -> str:
    """`a 4-year-old boy`, `a female child`, or empty if nothing is known."""
    age, group, sex = told.one("age"), told.one("age group"), told.one("sex")
    if sex not in ("", "male", "female"):
        return f"{_aged(age, group, '') or 'a patient'} of {sex} sex"
    return _aged(age, group, sex)


def _aged(age: str, group: str, sex: str) -> str:
    years = _number(age)
    if years is not None:
        grown = years >= YEARS_OF_A_CHILD
        noun = {"male": ("boy", "man"), "female": ("girl", "woman")}.get(sex, ("child", "adult"))
        return f"{_article(age)} {age}-year-old {noun[grown]}"
    if group[:1].isdigit():
        return f"a {sex + ' ' if sex else ''}patient aged {group}"
    if age or group:
        words = " ".join(word for word in (sex, group or age) if word)
        return f"{_article(words)} {words}"
    return f"a {sex} patient" if sex else ""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _article(word: str) -> str:
    return "an" if re.match(r"[aeio]|8|1[18](?!\d)", word, re.IGNORECASE) else "a"


def series(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


@functools.cache
def _environment() -> Environment:
    loader = PackageLoader("align.reports", "templates")
    environment = Environment(
        loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["series"] = series
    environment.filters["site"] = lambda site: SITES.get(site, site)
    environment.filters["device"] = lambda name: DEVICES.get(name, name.replace("-", " "))
    environment.filters["article"] = _article
    environment.filters["acronym"] = lambda word: word.upper() if word in ACRONYMS else word
    return environment


@functools.cache
def _template(corpus: str) -> Template:
    return _environment().select_template([f"{corpus}.j2", "generic.j2"])
