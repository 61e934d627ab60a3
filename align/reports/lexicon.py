"""The words of auscultation: which phrase makes which claim.

A term claims `concept = value`. For findings the value is decided later, by negation. Terms are
matched longest first, so "aortic stenosis" is never read as a place. `SIGN`, `INFERENCE` and
`ADVICE` are what no corpus records: a text that says them has made them up, or has concluded them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

TermKind = Literal["finding", "attribute", "outcome", "sign", "inference", "advice"]


@dataclass(frozen=True)
class Term:
    """A phrase (regular expression, case ignored, on word boundaries) and what it claims."""

    concept: str
    value: str
    kind: TermKind
    pattern: re.Pattern[str]


FINDINGS = {
    "murmur": r"(?<!non-)(?<!non )murmurs?",
    "wheeze": r"wheez(?:e|es|ing|y)",
    "crackle": r"crackles?|crackling|crepitations?|rales?",
    "fine crackle": r"fine (?:crackles?|crepitations?|rales?)",
    "coarse crackle": r"coarse (?:crackles?|crepitations?|rales?)",
    "rhonchi": r"rhonch(?:i|us)",
    "stridor": r"strid(?:or|ulous)",
    "continuous adventitious": r"continuous adventitious (?:lung |breath )?sounds?",
    "discontinuous adventitious": r"discontinuous adventitious (?:lung |breath )?sounds?",
    "both adventitious": r"continuous and discontinuous adventitious (?:lung |breath )?sounds?",
    "adventitious": r"adventitious (?:lung |breath )?sounds?",
    "symptoms": r"symptoms?|symptomatic",
    "asymptomatic": r"asymptomatic|symptom-free",
    "covid": r"covid(?:[- ]?19)?|sars-cov-2",
    "smoker": r"smok(?:er|es|ing)",
    "pregnancy": r"pregnan(?:t|cy)",
}
CONDITIONS = {
    "healthy": r"healthy",
    "asthma": r"asthma(?:tic)?",
    "copd": r"copd|chronic obstructive pulmonary disease",
    "pneumonia": r"pneumonia",
    "bronchiectasis": r"bronchiectasis",
    "bronchiolitis": r"bronchiolitis",
    "bronchitis": r"bronchitis|bron",
    "urti": r"urti|upper respiratory (?:tract )?infection",
    "lrti": r"lrti|lower respiratory (?:tract )?infection",
    "heart failure": r"heart failure",
    "lung fibrosis": r"(?:lung|pulmonary) fibrosis|fibrosis",
    "pleural effusion": r"(?:pleural|plueral) effusion",
    "tuberculosis": r"tuberculosis",
    "asd": r"asd|atrial septal defects?",
    "vsd": r"vsd|ventricular septal defects?",
    "pda": r"pda|patent ductus(?: arteriosus)?",
    "pfo": r"pfo|patent foramen ovale",
    "aortic stenosis": r"aortic (?:valve )?stenosis",
    "aortic regurgitation": r"aortic (?:valve )?(?:regurgitation|insufficiency)",
    "mitral stenosis": r"mitral (?:valve )?stenosis",
    "mitral regurgitation": r"mitral (?:valve )?(?:regurgitation|insufficiency)",
    "pulmonary stenosis": r"pulmon(?:ary|ic) (?:valve )?stenosis",
    "tricuspid regurgitation": r"tricuspid (?:valve )?(?:regurgitation|insufficiency)",
    "mitral valve prolapse": r"mitral valve prolapse|mvp",
    "stenosis": r"stenosis",
    "regurgitation": r"regurgitation",
    "rheumatic heart disease": r"rheumatic (?:heart )?(?:disease|fever)",
    "congenital heart disease": r"congenital heart (?:disease|defects?)",
    "coronary artery disease": r"coronary (?:artery|heart) disease",
    "cardiomyopathy": r"cardiomyopathy",
    "endocarditis": r"endocarditis",
    "hypertension": r"hypertension",
    "infection": r"infection",
    "influenza": r"influenza|flu",
    "croup": r"croup",
    "emphysema": r"emphysema",
    "pneumothorax": r"pneumothorax",
    "pulmonary embolism": r"pulmonary embolism",
    "lung cancer": r"(?:lung )?cancer",
    "cystic fibrosis": r"cystic fibrosis",
    "atrial fibrillation": r"atrial fibrillation",
    "pericarditis": r"pericarditis",
    "myocarditis": r"myocarditis",
    "tetralogy of fallot": r"tetralogy of fallot",
    "anaemia": r"ana?emi[ac]",
    "diabetes": r"diabet(?:es|ic)",
}
DEVICE_WORDS = (
    *("littmann", "welch", "allyn", "meditron", "akg", "jabes", "audioscope", "yunting", "eko"),
    *("3m", "thinklabs", "smartphone", "microphone", "telephone", "phone", "telegram", "webcam"),
)
_SYSTOLE, _DIASTOLE = r"[- ]?systol(?:ic|e)", r"[- ]?diastol(?:ic|e)"


def _pitch(word: str) -> str:
    return rf"{word}(?:[- ]pitch(?:ed)?| in pitch)|pitch(?: is| was| of|:)? {word}"


ATTRIBUTES = {
    "timing": {
        "holosystolic": r"(?:holo|pan)[- ]?systolic",
        "early-systolic": rf"(?:early|proto){_SYSTOLE}",
        "mid-systolic": rf"(?:mid|middle|meso){_SYSTOLE}",
        "late-systolic": rf"(?:late|tele){_SYSTOLE}",
        "systolic": r"systol(?:ic|e)",
        "holodiastolic": r"(?:holo|pan)[- ]?diastolic",
        "early-diastolic": rf"(?:early|proto){_DIASTOLE}",
        "mid-diastolic": rf"(?:mid|middle|meso){_DIASTOLE}",
        "late-diastolic": rf"(?:late|pre){_DIASTOLE}",
        "diastolic": r"diastol(?:ic|e)",
        "continuous": r"continuous(?= murmur)",
    },
    "shape": {
        "plateau": r"plateau(?:[- ]shaped?)?",
        "diamond": r"diamond(?:[- ]shaped?)?|crescendo[-/ –]+decrescendo",
        "crescendo": r"crescendo",
        "decrescendo": r"decrescendo|diminuendo",
    },
    "pitch": {
        "low": _pitch("low"),
        "medium": _pitch("(?:medium|moderate|mid)"),
        "high": _pitch("high"),
    },
    "quality": {
        "blowing": r"blowing",
        "harsh": r"harsh(?:ness)?|rough",
        "musical": r"musical|vibratory",
        "rumbling": r"rumbl(?:e|ing)",
    },
    "intensity": {"soft": r"faint|soft|quiet", "loud": r"loud"},
    "location": {
        "AV": r"aortic|(?-i:AV)",
        "MV": r"mitral|(?-i:MV)|(?:cardiac )?apex|apical",
        "PV": r"pulmon(?:ic|ary)(?! (?:disease|auscultation|sounds?|findings?))|(?-i:PV)",
        "TV": r"tricuspid|(?-i:TV)",
        "Phc": r"Phc|additional auscultation site",
    },
    "sex": {
        "male": r"males?|boys?|m[ae]n|he|his|him|gentleman",
        "female": r"females?|girls?|wom[ae]n|she|her|hers|lady",
        "other": r"other sex|non-?binary",
    },
    "age group": {
        "neonate": r"neonat(?:e|al)|newborn",
        "infant": r"infant|baby",
        "toddler": r"toddler",
        "child": r"child",
        "pediatric": r"pa?ediatric",
        "adolescent": r"adolescent|teenager?",
        "young adult": r"young adult",
        "adult": r"adult|m[ae]n|wom[ae]n|gentleman|lady",
        "elderly": r"elderly|geriatric",
    },
    "recording quality": {
        word: rf"{word}[- ]quality|quality (?:is|was|:)? ?{word}"
        for word in ("good", "high", "excellent", "poor", "low", "bad", "clean", "noisy")
    },
    "sound": {
        "heart": r"heart sounds?|cardiac auscultation|heart auscultation|phonocardiogram",
        "lung": r"(?:lung|breath|respiratory) sounds?|(?:lung|pulmonary) auscultation",
        "cough": r"cough(?:s|ing)?",
        "breath": r"breathing|exhalation|inhalation",
        "vowel": r"vowel",
    },
    "device": {name: name for name in DEVICE_WORDS},
}
OUTCOMES = {
    "normal": r"normal(?:ity)?|unremarkable|within normal limits",
    "abnormal": r"abnormal(?:ity|ities|ly)?|aberrant|atypical",
}
SIGNS = {
    "S1/S2": r"S[12]|first heart sound|second heart sound",
    "extra heart sound": r"S[34]|third heart sound|fourth heart sound|extra (?:heart )?sounds?",
    "gallop": r"gallops?",
    "rub": r"(?:friction |pericardial |pleural )?rubs?",
    "click": r"(?:ejection )?clicks?|opening snap",
    "thrill": r"thrills?|heaves?",
    "radiation": r"radiat(?:es?|ing|ion)|extends?|extension|transmitted",
    "rhythm": r"(?:sinus )?rhythms?|arrhythmias?|tachycardia|bradycardia|heart rate|irregular\w*",
    "other place": r"parasternal|sternal border|intercostal|carotid|axilla|clavic\w+",
    "respiration": r"respiratory distress|dyspn(?:o)?ea|shortness of breath|tachypn(?:o)?ea|fever",
    "bowel": r"bowel sounds?",
}
INFERENCES = {
    "pathology": r"patholog(?:y|ies|ic|ical)",
    "condition": r"(?:cardiac |heart |cardiovascular |underlying )+"
    r"(?:conditions?|issues?|problems?|diseases?|disorders?|anomal(?:y|ies)|concerns?)",
    "function": r"(?:dys)?function",
    "structure": r"structur(?:e|es|al)",
    "haemodynamics": r"ha?emodynamic\w*|turbulen(?:t|ce)|blood flow|flow dynamics|abnormal flow",
    "valve disease": r"(?:non-)?valvular|heart valves?(?= (?:function|patholog|disease))",
}
ADVICE = {
    "advice": r"recommend(?:ed|ation|s)?|advis(?:ed|able)|warrant(?:s|ed|ing)?|follow-up|necessary"
    r"|necessitat\w+|clinical correlation|further (?:clinical )?"
    r"(?:investigation|evaluation|assessment|consideration|attention|testing|work-?up)"
    r"|(?:must|should) be|need(?:s|ed)?(?: to| for| further)?|requir(?:es|ed|ing)",
}


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE)


@functools.cache
def terms() -> tuple[Term, ...]:
    """Every term of the lexicon."""
    found: list[Term] = []

    def add(kind: TermKind, concept: str, value: str, pattern: str) -> None:
        found.append(Term(concept, value, kind, _compiled(pattern)))

    for concept, pattern in {**FINDINGS, **CONDITIONS}.items():
        add("finding", concept, "", pattern)
    for concept, values in ATTRIBUTES.items():
        for value, pattern in values.items():
            add("attribute", concept, value, pattern)
    for value, pattern in OUTCOMES.items():
        add("outcome", "outcome", value, pattern)
    groups: tuple[tuple[TermKind, Mapping[str, str]], ...] = (
        ("sign", SIGNS),
        ("inference", INFERENCES),
        ("advice", ADVICE),
    )
    for kind, group in groups:
        for concept, pattern in group.items():
            add(kind, concept, concept, pattern)
    return tuple(found)
