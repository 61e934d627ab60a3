"""What a fact lets a text say: the claims that state it, and those that merely follow from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from align.reports.claims import claims_of
from align.reports.lexicon import ATTRIBUTES, CONDITIONS, FINDINGS
from align.reports.roles import Fact
from align.reports.template import DEVICES, SITES

Pair = tuple[str, str]
CONTINUOUS = ("wheeze", "rhonchi", "stridor", "continuous adventitious")
DISCONTINUOUS = ("crackle", "fine crackle", "coarse crackle", "discontinuous adventitious")
AGE_GROUPS = (  # upper bound in years, words that then fit
    (0.1, {"neonate", "infant", "pediatric"}),
    (1.0, {"infant", "child", "pediatric"}),
    (1.5, {"infant", "toddler", "child", "pediatric"}),
    (4.0, {"toddler", "child", "pediatric"}),
    (12.0, {"child", "pediatric"}),
    (18.0, {"child", "adolescent", "pediatric"}),
    (30.0, {"young adult", "adult"}),
    (60.0, {"adult"}),
    (200.0, {"adult", "elderly"}),
)
GROUP_WORDS = {
    "neonate": {"pediatric"},
    "infant": {"pediatric"},
    "child": {"pediatric"},
    "adolescent": {"pediatric"},
    "young adult": {"adult"},
}
SOFT_GRADES, LOUD_GRADES = ("I/", "II/"), ("III/", "IV/", "V/", "VI/")
RECORD_CLASSES = {
    "normal": {("outcome", "normal"), ("adventitious", "absent")},
    "continuous adventitious sounds": {("continuous adventitious", "present")},
    "discontinuous adventitious sounds": {("discontinuous adventitious", "present")},
    "continuous and discontinuous adventitious sounds": {("both adventitious", "present")},
}


@dataclass(frozen=True)
class Support:
    """One fact: any of `states` states it; `follows` is true as well but states nothing."""

    fact: Fact
    states: frozenset[Pair]
    follows: frozenset[Pair] = frozenset()
    phase: str = ""

    def allows(self, pair: Pair) -> bool:
        """Whether the claim is true by this fact."""
        return pair in self.states or pair in self.follows

    @property
    def concepts(self) -> frozenset[str]:
        """What this fact decides, so that another value contradicts it."""
        return frozenset(concept for concept, _ in self.states | self.follows)


def supports(facts: Sequence[Fact]) -> tuple[Support, ...]:
    """The support of each fact, in order."""
    heard = {fact.value for fact in facts if fact.field == "respiratory event"}
    return tuple(_support(fact, heard) for fact in facts)


def _support(fact: Fact, heard: set[str]) -> Support:
    field = fact.field
    phase, _, part = field.partition(" ")
    if phase in ("systolic", "diastolic") and part:
        return _descriptor(fact, phase, part)
    if field in ("wheeze", "crackle"):
        return _adventitious(fact, heard)
    return _heart(fact) or _person(fact) or _plain(fact)


def _heart(fact: Fact) -> Support | None:
    """Murmurs and their places."""
    field, value = fact.field, fact.value
    if field == "murmur" and value == "elsewhere":
        return Support(fact, frozenset({(field, "present"), (field, "absent")}))
    if field in ("murmur location", "site") and value in SITES:
        return Support(fact, frozenset({("location", value)}))
    if field == "most audible location":
        return Support(fact, frozenset({(field, value)}), frozenset({("location", value)}))
    return None


def _person(fact: Fact) -> Support | None:
    """Ages and pregnancy; ages in numbers are matched as numbers."""
    field, value = fact.field, fact.value
    if field == "age":
        return Support(fact, frozenset(), _age_words(value))
    if field == "age group":
        words = frozenset((field, word) for word in GROUP_WORDS.get(value, ()))
        named = {(field, value)} if value in ATTRIBUTES["age group"] else ()
        return Support(fact, frozenset(named), words)
    if field == "pregnancy":
        return Support(fact, frozenset({(field, "present")}))
    return None


def _plain(fact: Fact) -> Support:
    """Findings by name, attributes by value, everything else by what its words claim."""
    field, value = fact.field, fact.value
    if field == "respiratory event":
        return Support(fact, frozenset({(value, "present")}))
    if field == "record class":
        follows = frozenset({("adventitious", "present")} if value != "normal" else ())
        return Support(fact, frozenset(RECORD_CLASSES.get(value, ())), follows)
    if field in {"sex", "outcome", "recording quality", *FINDINGS, *CONDITIONS}:
        return Support(fact, frozenset({(field, value)}))
    claims = claims_of(DEVICES.get(value, value))
    pairs = {(claim.concept, claim.value) for claim in claims}
    if field == "diagnosis" and value in ("normal", "healthy"):
        pairs = {("healthy", "present"), ("outcome", "normal")}
    return Support(fact, frozenset(pairs))


def _descriptor(fact: Fact, phase: str, part: str) -> Support:
    follows: set[Pair] = set()
    if part == "timing":
        follows = {("timing", phase)}
    if part == "grading":
        follows = {("intensity", "soft" if fact.value.startswith(SOFT_GRADES) else "loud")}
    return Support(fact, frozenset({(part, fact.value)}), frozenset(follows), phase)


def _adventitious(fact: Fact, heard: set[str]) -> Support:
    kinds = CONTINUOUS if fact.field == "wheeze" else DISCONTINUOUS
    if fact.value == "absent":
        states = {(fact.field, "absent"), (kinds[-1], "absent"), ("adventitious", "absent")}
        return Support(fact, frozenset(states), frozenset((kind, "absent") for kind in kinds))
    states = {(kind, "present") for kind in kinds if kind == fact.field or kind in heard}
    follows = frozenset({("adventitious", "present"), (kinds[-1], "present")})
    return Support(fact, frozenset(states), follows)


def _age_words(value: str) -> frozenset[Pair]:
    match = re.match(r"\d+(?:\.\d+)?", value)
    if match is None:
        return frozenset()
    years = float(match.group())
    words = next((words for bound, words in AGE_GROUPS if years < bound), set())
    return frozenset(("age group", word) for word in words)
