"""ICBHI 2017: lung sounds of 126 patients, every respiratory cycle marked for crackle and wheeze.

Read as the challenge publishes it (`ICBHI_final_database`, `ICBHI_Challenge_*.txt`) or in its
wide-spread copy (`audio_and_txt_files`, `patient_diagnosis.csv`, `demographic_info.txt`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from align.corpora.recording import CorpusError, Interval, Recording
from align.corpora.tables import audio_files, describe, find_audio, refuse_strays, subfolder
from align.splits import icbhi_split

DEVICES = {
    "AKGC417L": "akg-c417l",
    "LittC2SE": "littmann-classic-ii-se",
    "Litt3200": "littmann-3200",
    "Meditron": "welch-allyn-meditron",
}
MODES = {"sc": "single channel", "mc": "multichannel"}
CYCLES = {"00": "normal", "10": "crackle", "01": "wheeze", "11": "wheeze+crackle"}
DEMOGRAPHICS = ("age", "sex", "bmi", "weight", "height")


def read_icbhi(folder: Path) -> Iterator[Recording]:
    """Yield one row per annotation file, whether or not its audio is there.

    `wheeze` and `crackle` say whether any cycle of the recording has one; `diagnosis` is the
    patient's, as published. Intervals are the cycles: normal, crackle, wheeze or wheeze+crackle.
    The official split is taken by patient (`splits.icbhi_split`), not by recording name: its list
    names one recording with another device than the file has.
    """
    base = subfolder(folder, "audio_and_txt_files", "ICBHI_final_database")
    diagnoses = _by_patient(folder, ("patient_diagnosis.csv", "ICBHI_Challenge_diagnosis.txt"), 1)
    persons = _by_patient(
        folder,
        ("demographic_info.txt", "ICBHI_Challenge_demographic_information.txt"),
        len(DEMOGRAPHICS),
    )
    annotations = sorted(path for path in base.glob("*.txt") if path.stem.count("_") == 4)
    refuse_strays(audio_files(base), (path.stem for path in annotations), base / "*.txt")
    for path in annotations:
        patient, _, site, mode, device = path.stem.split("_")
        if patient not in diagnoses:
            raise CorpusError(f"{path}: patient {patient} has no diagnosis in {folder}")
        cycles = _cycles(path)
        heard = {cycle.label for cycle in cycles}
        person = dict(zip(DEMOGRAPHICS, persons.get(patient, ()), strict=False))
        yield Recording(
            corpus="icbhi",
            name=path.stem,
            path=find_audio(base, path.stem),
            patient=patient,
            device=DEVICES.get(device, device),
            site=site,
            split=icbhi_split(patient),
            labels={
                "wheeze": bool(heard & {"wheeze", "wheeze+crackle"}),
                "crackle": bool(heard & {"crackle", "wheeze+crackle"}),
                "diagnosis": diagnoses[patient][0],
            },
            intervals=cycles,
            metadata=describe(person, {name: name for name in DEMOGRAPHICS})
            | {"acquisition_mode": MODES.get(mode, mode)},
        )


def _by_patient(folder: Path, names: tuple[str, str], width: int) -> dict[str, list[str]]:
    """Patient -> `width` cells, from the first table that exists; any separator, any header."""
    paths = [folder / name for name in names if (folder / name).is_file()]
    if not paths:
        raise CorpusError(f"{folder / names[0]} (or {names[1]}) is missing")
    cells: dict[str, list[str]] = {}
    for line in paths[0].read_text(encoding="utf-8", errors="replace").splitlines():
        first, *rest = line.replace(",", " ").split() or [""]
        if first.isdigit():
            if len(rest) != width:
                raise CorpusError(f"{paths[0]}: patient {first} has not {width} values: {line!r}")
            cells[first] = rest
    return cells


def _cycles(path: Path) -> tuple[Interval, ...]:
    cycles = []
    try:
        for line in path.read_text().splitlines():
            start, end, crackle, wheeze = line.split()
            cycles.append(Interval(float(start), float(end), CYCLES[crackle + wheeze]))
    except (ValueError, KeyError) as error:
        raise CorpusError(f"{path} is not start, end, crackle, wheeze ({error!r})") from None
    return tuple(cycles)
