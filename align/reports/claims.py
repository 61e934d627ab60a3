"""What a text claims: lexicon terms with their polarity, places, and the loudest place."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from align.reports.lexicon import Term, TermKind, terms
from align.reports.negation import is_denied, is_unknown, sentence_end, sentence_start

_SITE_WORD = (
    "left|right|bilateral|upper|middle|mid|lower|anterior|posterior|lateral|trachea|tracheal"
)
_CHEST = re.compile(
    rf"\b(?P<words>(?:{_SITE_WORD})(?:[\s-]+(?:{_SITE_WORD}))*)"
    r"(?P<body>\s+(?:chest|lung|hemithorax|thorax|thoracic|zone|field|lobe|base|side|wall))?\b",
    re.IGNORECASE,
)
_LOUDEST = re.compile(
    r"\b(?:(?:most|best|maximally|predominantly|primarily)\s*(?:\w+ly\s+)?(?:clearly\s+)?"
    r"(?:audible|audibly|heard|prominent(?:ly)?|pronounced|loud|intense)?|loudest|strongest|"
    r"maximal(?: intensity)?|point of maxim\w+)\b",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(
    r"\b(?:also|additional\w*|radiat\w+|as well|further|extend\w*|involv\w+|along with|"
    r"across|(?:and|but|,)\s+(?:is\s+|was\s+)?(?:heard|present|audible|noted|detected))\b",
    re.IGNORECASE,
)
_SAME_LIST = re.compile(
    r"^[\s()]*(?:(?:valves?|areas?|locations?|regions?|positions?|[AMPT]V)[\s()]*)*"
    r"(?:and|/|&)[\s(]*(?:the\s+)?$",
    re.IGNORECASE,
)
_SAME_PLACE = re.compile(
    r"^[\s()]*(?:(?:valves?|areas?|locations?|regions?|positions?)[\s()]*)*$", re.IGNORECASE
)
_AS_BEFORE = re.compile(r"^\s*(?:at|over|in) (?:the|that) same\b", re.IGNORECASE)
_BEING = re.compile(
    r"^[\s()]*(?:(?:valves?|areas?|locations?|[AMPT]V)[\s()]*)*,?\s*"
    r"(?:being|as|is|was)\s+(?:the\s+)?(?:site\s+)?$",
    re.IGNORECASE,
)
_HERE = re.compile(r"\b(?:at|over|in) this (?:site|location|area|recording site)|\bhere\b", re.I)
OF_A_FINDING = frozenset({"timing", "shape", "pitch", "quality", "intensity", "location"})
OF_THE_RECORDING = frozenset({"sex", "age group", "sound", "device"})
_NO_LONGER = re.compile(  # where the statement of a denied finding has ended
    r"\b(?:but|however|with|although|though|yet|while|record(?:ed|ing)|obtained|acquired)\b",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"\b(?:an?|another|the)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Claim:
    """`concept = value` at `[start, end)`; findings have value present or absent.

    `denied` marks an attribute inside a denial ("no harsh murmur"). `phase` is systolic, diastolic
    or empty where the text does not say which murmur an attribute describes.
    """

    concept: str
    value: str
    kind: TermKind
    text: str
    start: int
    end: int
    denied: bool = False
    phase: str = ""


@functools.lru_cache(maxsize=1024)
def claims_of(text: str) -> tuple[Claim, ...]:
    """Every claim of the text, in order; numbers are in `quantities`."""
    found = [claim for term, match in _matches(text) if (claim := _claim(text, term, match))]
    found += list(_chest_sites(text))
    found.sort(key=lambda claim: (claim.start, claim.end))
    found = [_within_denial(text, claim, found) for claim in found]
    places = [claim for claim in found if claim.concept == "location"]
    return (*_with_phases(text, found), *_loudest(text, places))


def _matches(text: str) -> list[tuple[Term, re.Match[str]]]:
    """Longest terms first, none inside another; equal spans may make two claims (`man`)."""
    found = [(term, match) for term in terms() for match in term.pattern.finditer(text)]
    found.sort(key=lambda pair: pair[1].start() - pair[1].end())
    kept: list[tuple[Term, re.Match[str]]] = []
    for term, match in found:
        clash = any(
            match.start() < other.end() and other.start() < match.end() and match.span() != span
            for _, other in kept
            for span in [other.span()]
        )
        if not clash:
            kept.append((term, match))
    return kept


def _claim(text: str, term: Term, match: re.Match[str]) -> Claim | None:
    start, end = match.span()
    value, denied = term.value, False
    if term.kind == "finding":
        if is_unknown(text, start, end):
            return None
        value = "absent" if is_denied(text, start, end) else "present"
        if term.concept == "asymptomatic":
            value = "present" if value == "absent" else "absent"
            return Claim("symptoms", value, term.kind, match.group(), start, end)
    elif term.kind == "outcome":
        value = _outcome(text, term.value, start, end)
        if not value:
            return None
    elif term.kind == "attribute":
        denied = _attribute_is_denied(text, term.concept, start, end)
    return Claim(term.concept, value, term.kind, match.group(), start, end, denied)


def _attribute_is_denied(text: str, concept: str, start: int, end: int) -> bool:
    """ "No murmur in this boy" denies the murmur, not the boy; "not a boy" does."""
    if concept in OF_THE_RECORDING:
        return re.search(r"\bnot (?:an? |the )?$", text[:start], re.IGNORECASE) is not None
    return is_denied(text, start, end, across_and=False)


def _outcome(text: str, value: str, start: int, end: int) -> str:
    """Normal or abnormal after denial; "no other abnormality" claims neither."""
    if value == "normal":
        return "abnormal" if re.search(r"\bnot (?:\w+ly )?$", text[:start]) else "normal"
    if re.search(r"\bno (?:other|additional|further) $", text[:start], re.IGNORECASE):
        return ""
    return "normal" if is_denied(text, start, end, across_and=False) else "abnormal"


def _within_denial(text: str, claim: Claim, found: Sequence[Claim]) -> Claim:
    """What describes a denied finding in the same clause is denied with it."""
    if claim.concept not in OF_A_FINDING or claim.denied:
        return claim
    begin = sentence_start(text, claim.start)
    before = [c for c in found if c.kind == "finding" and begin <= c.start < claim.start]
    if not before or before[-1].value != "absent":
        return claim
    gap = text[before[-1].end : claim.start]
    free = _NO_LONGER.search(gap)
    return claim if free else dataclasses.replace(claim, denied=True)


def _chest_sites(text: str) -> Iterator[Claim]:
    for match in _CHEST.finditer(text):
        words = re.split(r"[\s-]+", match["words"].lower())
        if len(words) > 1 or match["body"] or words[0].startswith("trachea"):
            value = " ".join(sorted({word.replace("tracheal", "trachea") for word in words}))
            yield Claim("chest site", value, "attribute", match.group(), *match.span())


def _with_phases(text: str, found: Sequence[Claim]) -> list[Claim]:
    """Give shape, pitch and quality the phase of the murmur phrase that they stand in.

    A sentence with two phases is cut at the article of the second ("..., and an early-diastolic").
    """
    return [
        dataclasses.replace(claim, phase=phase_at(text, claim.start, found))
        if claim.concept in ("shape", "pitch", "quality")
        else claim
        for claim in found
    ]


def phase_at(text: str, position: int, found: Sequence[Claim]) -> str:
    """systolic or diastolic, whichever murmur the text speaks of at `position`; else empty."""
    timings = [claim for claim in found if claim.concept == "timing"]
    begin, end = sentence_start(text, position), sentence_end(text, position)
    here = [claim for claim in timings if begin <= claim.start < end]
    if not here:
        earlier = [claim for claim in timings if claim.start < begin]
        return _phase(earlier[-1]) if earlier else ""
    current = here[0]
    for claim in here[1:]:
        articles = list(_ARTICLE.finditer(text, current.end, claim.start))
        if _phase(claim) != _phase(current) and position >= (
            articles[-1].start() if articles else claim.start
        ):
            current = claim
    return _phase(current)


def _phase(timing: Claim) -> str:
    return "diastolic" if timing.value.endswith("diastolic") else "systolic"


def _loudest(text: str, places: Sequence[Claim]) -> Iterator[Claim]:
    """Claims `most audible location` from superlatives and the places that they govern."""
    for match in _LOUDEST.finditer(text):
        begin, end = sentence_start(text, match.start()), sentence_end(text, match.end())
        if match.group().lower() in ("most", "best"):
            continue
        ahead = [c for c in places if match.end() <= c.start < end]
        back = [c for c in places if begin <= c.start < match.start()]
        behind = text[match.end() : end]
        if back and (_BEING.match(text[back[-1].end : match.start()]) or _AS_BEFORE.match(behind)):
            yield _as_loudest(back[-1])
        elif ahead and not _ELSEWHERE.search(text[match.end() : ahead[0].start]):
            yield from _first_list(text, ahead)
        elif _HERE.search(text[begin:end]):
            span = match.span()
            yield Claim("most audible location", "here", "attribute", match.group(), *span)


def _first_list(text: str, places: Sequence[Claim]) -> Iterator[Claim]:
    """The first place and those joined to it: "PV (pulmonic) and TV", not "PV, also at TV"."""
    yield _as_loudest(places[0])
    for first, second in pairwise(places):
        gap = text[first.end : second.start]
        joined = _SAME_PLACE if first.value == second.value else _SAME_LIST
        if not joined.match(gap):
            return
        yield _as_loudest(second)


def _as_loudest(place: Claim) -> Claim:
    return dataclasses.replace(place, concept="most audible location")
