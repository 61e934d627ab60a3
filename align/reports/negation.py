"""Whether a phrase is denied: a small, fixed NegEx (Chapman et al. 2001) for auscultation prose.

Steps, for a mention at `[start, end)`:

1. its clause: back to the last sentence end or contrast (`but`, `despite`, `with`, ...);
2. a denial before it (`no`, `without`, `absence of`, ...) reaches it unless a verb of finding
   stands between them ("no crackles are heard, wheezes ...") or a comma or `and` opens another
   statement;
3. else the first verb of finding behind it decides ("murmur was not detected", "murmur: absent").
"""

from __future__ import annotations

import re

_FOUND = (
    r"detect(?:ed|able)|heard|present|audible|not(?:ed|able)|identif(?:ied|iable)|observed|"
    r"appreciat(?:ed|ble)|auscultated|evident|found|discernible|seen|recorded|documented"
)
_SENTENCE = re.compile(r"(?<!\d)[.!?](?!\d)|[;\n]|\.(?=\s|$)")
_CONTRAST = re.compile(
    r"\b(?:but|however|although|though|yet|despite|while|whereas|nonetheless|nevertheless|except|"
    r"other than|(?<!associated )(?<!consistent )(?<!compatible )with|"
    r"(?<!not )(?:indicat(?:es|ing|ive)|suggest(?:s|ing|ive)?|consistent)|"
    r"revealing|(?<!not )(?<!to )(?<!n['’]t )reveals?)\b",
    re.IGNORECASE,
)
_DENIAL = re.compile(
    r"\b(?:no|nil|zero|not|without|neither|nor|never|absent|absence of|lack(?:s|ing)?(?: of)?|"
    r"free of|free from|negative for|devoid of|denies|fail(?:s|ed) to|(?!can)\w+n['’]t)\b",
    re.IGNORECASE,
)
_PSEUDO = re.compile(
    r"\b(?:not only|no doubt|no change in|not necessarily|cannot|not be (?:excluded|ruled out)|"
    r"not (?:specified|provided|detailed|defined|described|given))\b",
    re.IGNORECASE,
)
_VERB = re.compile(  # "are", or a participle that closes its statement; not "a detected murmur"
    rf"\b(?:is|are|was|were|has|have|had)\b"
    rf"|\b(?:{_FOUND})(?=\s*,|\s+(?:and|on|at|in|over|during|upon|by|or)\b)",
    re.IGNORECASE,
)
_ADJECTIVES = re.compile(
    r"^\s*(?:(?:audible|detectable|obvious|clear|definite|significant|discernible|appreciable|"
    r"abnormal|pathological|heart|cardiac|systolic|diastolic|lung)\s*)+$",
    re.IGNORECASE,
)
_LIST_GOES_ON = re.compile(r"\b(?:or|nor)\b", re.IGNORECASE)
_AFTER = re.compile(
    r"^[\s:,]*(?:\([^)]*\)\s*)?(?:(?:sounds?|label|finding|status)\s*:?\s*)?"
    r"(?P<other>(?:(?:or|and|nor)\s+[\w-]+(?:\s+[\w-]+)?\s+)?)"
    r"(?:(?:is|are|was|were|has been|have been|could be|can be)\s+)?"
    r"(?P<verdict>not\s+absent|absent|none|nil|ruled out|excluded|undetectable|inaudible|negative|"
    rf"(?:not|never|neither|no longer|\w+n['’]t)\s+(?:\w+ly\s+)?(?:{_FOUND})|"
    r"(?:not?)\b(?=\s*[.;,]|\s*$)|denied|-free\b)",
    re.IGNORECASE,
)
_UNKNOWN_BEHIND = re.compile(
    r"^[\s:]*(?:status|presence)?[\s:]*(?:is|are|was|were|remains?|could)?\s*"
    r"(?:unknown|unclear|undetermined|indeterminate|uncertain|not (?:known|determined|be "
    r"(?:determined|assessed)|assessed|recorded))",
    re.IGNORECASE,
)
_UNKNOWN_BEFORE = re.compile(
    r"(?:unknown|undetermined|unclear|uncertain)\s+(?:presence of\s+|status of\s+)?"
    r"(?:an?\s+|any\s+)?(?:heart\s+|cardiac\s+)?$|(?:whether|if)\s+(?:\w+\s+){0,3}$",
    re.IGNORECASE,
)


def is_denied(text: str, start: int, end: int, *, across_and: bool = True) -> bool:
    """Whether the phrase `text[start:end]` is denied.

    `across_and=False` keeps a denial from crossing `and` ("no murmur and abnormal findings").
    """
    return _denied_before(text, start, across_and=across_and) or _denied_behind(text, end)


def is_unknown(text: str, start: int, end: int) -> bool:
    """Whether the text says that it does not know ("murmur status is unknown")."""
    before, behind = text[:start], _clause_behind(text, end)
    return bool(_UNKNOWN_BEHIND.match(behind) or _UNKNOWN_BEFORE.search(before))


def sentence_start(text: str, position: int) -> int:
    """Where the sentence that holds `position` starts; decimals do not end sentences."""
    ends = [match.end() for match in _SENTENCE.finditer(text, 0, position)]
    return ends[-1] if ends else 0


def sentence_end(text: str, position: int) -> int:
    """Where the sentence that holds `position` ends."""
    match = _SENTENCE.search(text, position)
    return match.start() if match else len(text)


def _denied_before(text: str, start: int, *, across_and: bool) -> bool:
    begin = sentence_start(text, start)
    contrasts = list(_CONTRAST.finditer(text, begin, start))
    begin = contrasts[-1].end() if contrasts else begin
    denials = [
        match
        for match in _DENIAL.finditer(text, begin, start)
        if not _PSEUDO.match(text, match.start())
    ]
    if not denials:
        return False
    last = denials[-1]
    if last.group().lower() == "absent" and not text[last.end() : start].strip(" -"):
        return True  # "absent murmur"
    if last.group().lower() == "absent":
        return False  # "murmur is absent, wheezes ...": it looks back
    between = text[last.end() : start]
    return not _stops(between, text[start : sentence_end(text, start)], across_and=across_and)


def _stops(between: str, behind: str, *, across_and: bool) -> bool:
    """Whether a denial ends before the mention: a verb, a comma without `or`, a barred `and`."""
    if _VERB.search(between):
        return True
    if not across_and and re.search(r"\band\b", between, re.IGNORECASE):
        return True
    clause = re.split(r"\b(?:but|however|yet|with)\b", behind, maxsplit=1)[0]
    tail = between.rpartition(",")[2]
    goes_on = _ADJECTIVES.match(tail) or _LIST_GOES_ON.search(tail + clause)
    return "," in between and not goes_on


def _clause_behind(text: str, end: int) -> str:
    behind = text[end : sentence_end(text, end)]
    contrast = _CONTRAST.search(behind)
    return behind[: contrast.start()] if contrast else behind


def _denied_behind(text: str, end: int) -> bool:
    verdict = _AFTER.match(_clause_behind(text, end))
    return verdict is not None and not re.match(r"not\s+absent", verdict["verdict"], re.IGNORECASE)
