"""The deterministic verifier: facts stated or listed as omitted, claims backed by facts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from align.reports.claims import Claim, claims_of, phase_at
from align.reports.lexicon import CONDITIONS
from align.reports.quantities import Quantity, quantities
from align.reports.roles import Fact
from align.reports.support import CONTINUOUS, DISCONTINUOUS, Support, supports

Status = Literal["stated", "omitted", "contradicted"]
MANY_VALUED = frozenset({"location"})  # another value here adds, it does not contradict
UNJUDGED = frozenset({"sound"})  # without a fact of the kind of sound, naming it claims nothing
NUMERIC = frozenset({"age", "height", "weight", "BMI", "grading"})
FINDING_CONCEPTS = frozenset({"murmur", *CONTINUOUS, *DISCONTINUOUS})


@dataclass(frozen=True)
class Verdict:
    """What a text does with the facts.

    `fields` holds the worst status of each field (contradicted, then omitted, then stated).
    `hallucinated` are claims of something that no fact records, `inferences` are conclusions
    ("underlying pathology"), `advice` is advice; each entry is `concept: words`.
    """

    fields: Mapping[str, Status]
    hallucinated: tuple[str, ...] = ()
    inferences: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()

    def passed(self, omitted: Iterable[str] = ()) -> bool:
        """Whether the text may be used: nothing wrong, nothing made up, no unlisted omission."""
        listed = set(omitted)
        told = all(
            status == "stated" or (status == "omitted" and field in listed)
            for field, status in self.fields.items()
        )
        return told and not (self.hallucinated or self.inferences or self.advice)

    def as_mapping(self) -> dict[str, str]:
        """The verdict as `Report.verdict` holds it."""
        made_up = [*self.hallucinated, *self.inferences, *self.advice]
        extra = {"hallucinated": ", ".join(made_up)} if made_up else {}
        return {**self.fields, **extra}


def verify(text: str, facts: Sequence[Fact]) -> Verdict:
    """Judge `text` by `facts`.

    1. Claims (terms with their polarity, places, numbers) are read from the text.
    2. A claim that a fact allows is right, and states the fact if it is specific enough.
    3. A claim on something that a fact decides otherwise contradicts that fact's field.
    4. A claim on anything else is made up: hallucinated, an inference or advice.
    """
    reading = _Reading(text, supports(facts))
    for claim in reading.claims:
        reading.judge(claim)
    for quantity in quantities(text):
        reading.measure(quantity)
    return reading.verdict()


class _Reading:
    def __init__(self, text: str, known: tuple[Support, ...]) -> None:
        self.text, self.known = text, known
        self.two_phases = {"systolic", "diastolic"} <= {support.phase for support in known}
        self.claims = claims_of(text)
        self.stated: set[int] = set()
        self.contradicted: set[str] = set()
        kinds = ("hallucinated", "inference", "advice")
        self.made_up: dict[str, dict[str, None]] = {kind: {} for kind in kinds}
        self.polarities: set[str] = set()

    def judge(self, claim: Claim) -> None:
        """Find the facts that back the claim, or the field it contradicts, or neither."""
        if claim.concept == "murmur":
            self.polarities.add(claim.value)
        if claim.kind in ("sign", "inference", "advice"):
            return self._unsupported(claim)
        if claim.denied:
            return self._judge_denied(claim)
        if claim.concept == "chest site":
            return self._judge_chest(claim)
        pair = (claim.concept, self._site() if claim.value == "here" else claim.value)
        backing = [
            i for i, s in enumerate(self.known) if s.allows(pair) and self._fits(s, claim.phase)
        ]
        self.stated.update(i for i in backing if pair in self.known[i].states)
        if not backing and not self._follows(pair):
            self._blame(claim)
        return None

    def measure(self, quantity: Quantity) -> None:
        """Match a number with a numeric fact of its kind, or with any number if it is bare."""
        if quantity.concept == "grading":
            return self._grade(quantity)
        fields = [i for i, s in enumerate(self.known) if _concerns(s.fact, quantity)]
        near = [i for i in fields if any(map(quantity.is_near, _numbers(self.known[i].fact)))]
        words = self.text[quantity.start : quantity.end]
        self.stated.update(near)
        if not near and fields and quantity.concept in NUMERIC:
            self.contradicted.update(self.known[i].fact.field for i in fields)
        elif not near and not self._mentioned(words):
            self.made_up["hallucinated"][f"{quantity.concept}: {words}"] = None
        return None

    def verdict(self) -> Verdict:
        """The worst status of each field, and what was made up."""
        fields: dict[str, Status] = {}
        self._only_place()
        for index, support in enumerate(self.known):
            told = index in self.stated or self._told_literally(support)
            if support.fact.value == "elsewhere" and len(self.polarities) < 2:
                told = False
            field = support.fact.field
            if field in self.contradicted:
                fields[field] = "contradicted"
            elif not told or fields.get(field) == "omitted":
                fields[field] = "omitted"
            else:
                fields[field] = "stated"
        made_up = self.made_up
        return Verdict(
            fields,
            tuple(made_up["hallucinated"]),
            tuple(made_up["inference"]),
            tuple(made_up["advice"]),
        )

    def _judge_denied(self, claim: Claim) -> None:
        """A denied attribute is wrong only if a fact says it; a denied place may be the site."""
        pair = (claim.concept, claim.value)
        for index, support in enumerate(self.known):
            if pair not in support.states:
                continue
            if support.fact.field == "site":
                self.stated.add(index)
            elif not self._murmur_is("elsewhere") and self._fits(support, claim.phase):
                self.contradicted.add(support.fact.field)

    def _judge_chest(self, claim: Claim) -> None:
        words = set(claim.value.split())
        for index, support in enumerate(self.known):
            places = [value.split() for concept, value in support.states if concept == "chest site"]
            if any(words <= set(place) for place in places):
                if any(words == set(place) for place in places):
                    self.stated.add(index)
                return
        self._blame(claim)

    def _grade(self, quantity: Quantity) -> None:
        phase = phase_at(self.text, quantity.start, self.claims)
        graded = [(i, s) for i, s in enumerate(self.known) if s.fact.field.endswith("grading")]
        right = [
            i for i, s in graded if s.fact.value.startswith(quantity.grade) and self._fits(s, phase)
        ]
        self.stated.update(right)
        words = self.text[quantity.start : quantity.end]
        if graded and not right:
            blamed = [s.fact.field for _, s in graded if self._fits(s, phase)]
            self.contradicted.update(blamed or [graded[0][1].fact.field])
        elif not graded:
            self.made_up["hallucinated"][f"grading: {words}"] = None

    def _blame(self, claim: Claim) -> None:
        decided = [
            s for s in self.known if claim.concept in s.concepts and self._fits(s, claim.phase)
        ]
        if claim.concept in CONDITIONS and claim.value == "present" and not decided:
            decided = [s for s in self.known if s.fact.field == "diagnosis"]
        if decided and claim.concept not in MANY_VALUED:
            self.contradicted.update(s.fact.field for s in decided)
        elif claim.concept not in UNJUDGED and not self._mentioned(claim.text):
            name = f"{claim.concept} {claim.value}" if claim.kind == "finding" else claim.concept
            self.made_up["hallucinated"][f"{name}: {claim.text}"] = None

    def _unsupported(self, claim: Claim) -> None:
        if not self._mentioned(claim.text):
            kind = "hallucinated" if claim.kind == "sign" else claim.kind
            self.made_up[kind][f"{claim.concept}: {claim.text}"] = None

    def _mentioned(self, words: str) -> bool:
        """Whether a fact uses these very words (a corpus column that the lexicon does not know)."""
        told = " ".join(f"{s.fact.field} {s.fact.value}" for s in self.known).lower()
        return re.search(rf"\b{re.escape(words.lower())}\b", told) is not None

    def _follows(self, pair: tuple[str, str]) -> bool:
        """Normal or abnormal sounds where only findings are known: abnormal if any is present."""
        decided = any("outcome" in support.concepts for support in self.known)
        values = {s.fact.value for s in self.known if s.concepts & FINDING_CONCEPTS}
        if pair[0] != "outcome" or decided or not values:
            return False
        return pair[1] == ("abnormal" if "present" in values else "normal")

    def _only_place(self) -> None:
        """A murmur with one place is loudest there: stating the place states both."""
        places = [i for i, s in enumerate(self.known) if s.fact.field == "murmur location"]
        if len(places) == 1 and places[0] in self.stated:
            place = self.known[places[0]].fact.value
            for index, support in enumerate(self.known):
                if support.fact.field == "most audible location" and support.fact.value == place:
                    self.stated.add(index)

    def _told_literally(self, support: Support) -> bool:
        """Facts that the lexicon cannot read are stated where their value stands in the text."""
        if support.states or support.fact.field in NUMERIC:
            return False
        value = rf"(?<!\w){re.escape(support.fact.value.lower())}(?!\w)"
        if support.fact.kind == "finding":  # "present" alone says nothing of this field
            field = rf"(?<!\w){re.escape(support.fact.field.lower())}(?!\w)"
            value = rf"{field}[^.;,]{{0,40}}{value}|{value}[^.;,]{{0,40}}{field}"
        return re.search(value, self.text.lower()) is not None

    def _fits(self, support: Support, phase: str) -> bool:
        """Whether a descriptor is of the murmur that the text describes, where there are two."""
        return not self.two_phases or not phase or support.phase in ("", phase)

    def _murmur_is(self, value: str) -> bool:
        return any(s.fact.field == "murmur" and s.fact.value == value for s in self.known)

    def _site(self) -> str:
        return next((s.fact.value for s in self.known if s.fact.field == "site"), "here")


def _concerns(fact: Fact, quantity: Quantity) -> bool:
    if quantity.concept == "age":
        return fact.field in ("age", "age group")
    if quantity.concept in NUMERIC:
        return fact.field == quantity.concept
    return bool(_numbers(fact))


def _numbers(fact: Fact) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", fact.value)]
