"""UK COVID-19 Vocal Audio Dataset, open-access edition: coughs and breaths with PCR results.

Tables as on Zenodo; the layout inside its multi-part archive could not be confirmed: recordings are
looked for in `audio/`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from align.corpora.recording import CorpusError, Recording
from align.corpora.tables import Row, describe, known, read_table
from align.splits import uk_covid_split

IDENTIFIER = "participant_identifier"
SOUNDS = {
    "exhalation": "exhalation_file_name",
    "cough": "cough_file_name",
    "three-cough": "three_cough_file_name",
}
RESULTS = {"Positive": True, "Negative": False}
RENAMED = {"age": "age_group", "gender": "sex"}
LEFT_OUT = ("covid_", "influenza_", "submission_", IDENTIFIER)


def read_uk_covid(folder: Path) -> Iterator[Recording]:
    """Yield one row per recording: exhalation, cough and three-cough (`metadata["sound"]`).

    Metadata keeps the participant's columns (test results and dates left out) and
    `official_split`, the publishers' standard split. Mind that `recruitment_source` alone tells
    `covid` almost surely, and that people outside that split (`long` or none) count as test here;
    the published test set is `official_split` = test.
    """
    people = _by_person(folder / "participant_metadata.csv", "covid_test_result")
    splits = _by_person(folder / "train_test_splits.csv", "splits")
    table = folder / "audio_metadata.csv"
    for row in read_table(table, (IDENTIFIER, *SOUNDS.values())):
        person = row[IDENTIFIER]
        if person not in people:
            raise CorpusError(f"{table}: {person} is not in participant_metadata.csv")
        about = people[person]
        official = splits.get(person, {}).get("splits", "")
        metadata = describe(about, _columns(about))
        metadata |= {"official_split": official} if known(official) else {}
        result = about["covid_test_result"]
        for sound, column in SOUNDS.items():
            if known(row[column]):
                yield Recording(
                    corpus="uk-covid",
                    name=Path(row[column]).stem,
                    path=folder / "audio" / row[column],
                    patient=person,
                    device="participant's phone or computer",
                    site="mouth",
                    split=uk_covid_split(official),
                    labels={"covid": RESULTS[result]} if result in RESULTS else {},
                    metadata=metadata | {"sound": sound},
                )


def _by_person(table: Path, column: str) -> dict[str, Row]:
    return {row[IDENTIFIER]: row for row in read_table(table, (IDENTIFIER, column))}


def _columns(row: Row) -> dict[str, str]:
    return {name: RENAMED.get(name, name) for name in row if not name.startswith(LEFT_OUT)}
