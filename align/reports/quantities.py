"""Numbers in a text, in the corpus's units, with the precision they were written at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_ONES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
WORDS = {word: number for number, word in enumerate((*_ONES, *_TEENS), start=1)} | {
    "-".join(filter(None, (ten, one))): 10 * tens + ones
    for tens, ten in enumerate(_TENS, start=2)
    for ones, one in enumerate(("", *_ONES))
}
ROMAN = {"I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6}
ARABIC = {number: roman for roman, number in ROMAN.items()}
# unit as written -> (concept, factor to the corpora's unit: years, cm, kg, kg/m2, per minute)
UNITS = {
    "cm": ("height", 1.0),
    "centimetre": ("height", 1.0),
    "centimeter": ("height", 1.0),
    "mm": ("height", 0.1),
    "m": ("height", 100.0),
    "metre": ("height", 100.0),
    "meter": ("height", 100.0),
    "inch": ("height", 2.54),
    "inches": ("height", 2.54),
    "kg": ("weight", 1.0),
    "kilogram": ("weight", 1.0),
    "g": ("weight", 0.001),
    "gram": ("weight", 0.001),
    "lb": ("weight", 0.45359237),
    "pound": ("weight", 0.45359237),
    "kg/m2": ("BMI", 1.0),
    "kg/m²": ("BMI", 1.0),
}
AGES = {"year": 1.0, "yr": 1.0, "month": 1 / 12, "week": 7 / 365.25, "day": 1 / 365.25}
_WORDED = "|".join(sorted((word.replace("-", "[- ]") for word in WORDS), key=len, reverse=True))
_NUMBER = rf"(?<![\w.,/])(?P<number>\d+(?:[.,]\d+)?|{_WORDED})"
_AGE = re.compile(
    rf"{_NUMBER}[- ]?(?P<unit>year|yr|month|week|day)s?[- ](?:old|of age)\b"
    r"|\bage(?:d)?(?: is| of|:)? (?P<years>\d+(?:\.\d+)?)\b(?: (?P<aged>year|month|week|day)s?\b)?",
    re.IGNORECASE,
)
_MEASURE = re.compile(
    rf"{_NUMBER}[- ]?(?P<unit>"
    + "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
    + r")s?(?![\w/²])",
    re.IGNORECASE,
)
_GRADE = re.compile(
    r"(?<![\w/])(?:grad(?:e|ed|ing)(?: at| as| of| is|:)? )?"
    r"(?P<grade>I{1,3}|IV|VI?|[1-6])(?: ?/ ?| out of | of )(?P<scale>VI|IV|[46])(?![\w/])"
    r"|\bgrad(?:e|ed|ing)(?: at| as| of| is|:)? (?P<alone>I{1,3}|IV|VI?|[1-6])(?![\w/])",
    re.IGNORECASE,
)
_BARE = re.compile(r"(?<![\w.,/-])\d+(?:\.\d+)?(?![\w/])")


@dataclass(frozen=True)
class Quantity:
    """A number at `[start, end)`, with half a unit of its last written digit as `tolerance`.

    `concept` is age, height, weight, BMI, grading or number; `grade` is a form such as "II/VI", or
    "II/" where the text names no scale.
    """

    concept: str
    value: float
    tolerance: float
    start: int
    end: int
    grade: str = ""

    def is_near(self, truth: float) -> bool:
        """Whether the text may say this of `truth`; ages may also be in completed years."""
        if self.concept == "age" and self.tolerance >= 0.5 and int(truth) == self.value:
            return True
        return abs(self.value - truth) <= self.tolerance + 1e-9


def quantities(text: str) -> Iterator[Quantity]:
    """Every number of the text, each once, the most specific reading first."""
    taken: list[tuple[int, int]] = []
    for finder in (_grades, _ages, _measures, _bare):
        for quantity in finder(text):
            if all(quantity.end <= start or quantity.start >= end for start, end in taken):
                taken.append((quantity.start, quantity.end))
                yield quantity


def _grades(text: str) -> Iterator[Quantity]:
    for match in _GRADE.finditer(text):
        grade = _roman(match["grade"] or match["alone"])
        scale = _roman(match["scale"]) if match["scale"] else ""
        written = f"{grade}/{scale}"
        yield Quantity("grading", ROMAN[grade], 0.0, match.start(), match.end(), written)


def _roman(text: str) -> str:
    return ARABIC[int(text)] if text.isdigit() else text.upper()


def _ages(text: str) -> Iterator[Quantity]:
    for match in _AGE.finditer(text):
        number = match["number"] or match["years"]
        factor = AGES[(match["unit"] or match["aged"] or "year").lower()]
        yield _quantity("age", number, factor, match)


def _measures(text: str) -> Iterator[Quantity]:
    for match in _MEASURE.finditer(text):
        concept, factor = UNITS[match["unit"].lower()]
        yield _quantity(concept, match["number"], factor, match)


def _bare(text: str) -> Iterator[Quantity]:
    for match in _BARE.finditer(text):
        yield _quantity("number", match.group(), 1.0, match)


def _quantity(concept: str, number: str, factor: float, match: re.Match[str]) -> Quantity:
    number = number.replace(",", ".")
    decimals = len(number.partition(".")[2])
    value = float(WORDS.get(number.lower().replace(" ", "-"), 0) or number)
    half_digit = 0.5 * 10**-decimals * factor
    return Quantity(concept, value * factor, half_digit, match.start(), match.end())
