"""SPRSound 2022: lung sounds of children with respiratory events annotated in time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from align.corpora.recording import CorpusError, Interval, Recording
from align.corpora.tables import find_audio
from align.splits import sprsound_split

WHEEZE_EVENTS = frozenset({"Wheeze", "Rhonchi", "Stridor", "Wheeze+Crackle"})
CRACKLE_EVENTS = frozenset({"Fine Crackle", "Coarse Crackle", "Wheeze+Crackle"})
SITES = {
    "p1": "left posterior",
    "p2": "left lateral",
    "p3": "right posterior",
    "p4": "right lateral",
}
SOURCES = (
    ("train_json", "train_wav", False),
    ("test_json/intra_test_json", "test_wav", False),
    ("test_json/inter_test_json", "test_wav", True),
)


def read_sprsound(folder: Path) -> Iterator[Recording]:
    """Yield one row per recording.

    The official intra-patient test set shares its patients with training and is used as training
    data; the inter-patient set is the test set. `Poor Quality` recordings have no events and so no
    labels. Continuous sounds (wheeze, rhonchi, stridor) count as `wheeze`.
    """
    for json_folder, audio_folder, official_test in SOURCES:
        if not (folder / json_folder).is_dir():
            raise CorpusError(f"{folder / json_folder} is missing")
        for path in sorted((folder / json_folder).glob("*.json")):
            yield _row(path, folder / audio_folder, official_test)


def _row(path: Path, audio_folder: Path, official_test: bool) -> Recording:
    try:
        patient, age, gender, location, _ = path.stem.split("_")
        annotation = json.loads(path.read_text())
        events = tuple(
            Interval(float(event["start"]) / 1000, float(event["end"]) / 1000, event["type"])
            for event in annotation["event_annotation"]
        )
        quality = annotation["record_annotation"]
    except (ValueError, KeyError, TypeError) as error:
        message = f"{path} is not an annotation as published ({error!r}); fetch it again"
        raise CorpusError(message) from None
    labels = {}
    if quality != "Poor Quality":
        kinds = {event.label for event in events}
        labels = {
            "wheeze": bool(kinds & WHEEZE_EVENTS),
            "crackle": bool(kinds & CRACKLE_EVENTS),
        }
    return Recording(
        corpus="sprsound",
        name=path.stem,
        path=find_audio(audio_folder, path.stem),
        patient=patient,
        device="yunting-model-ii",
        site=SITES.get(location, location),
        split=sprsound_split(patient, official_inter_test=official_test),
        labels=labels,
        intervals=events,
        metadata={"age": age, "sex": "male" if gender == "0" else "female", "quality": quality},
    )
