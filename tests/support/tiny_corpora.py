"""Small synthetic corpora in the public layouts, with findings loud enough to learn in seconds."""

import json

import numpy as np
import soundfile as sf
import sounds

from align.splits import circor_split, sprsound_split

RATE = 4000
SECONDS = 6.0


def write_corpora(root, patients=40):
    """CirCor, SPRSound and PhysioNet 2016 folders under `root`."""
    _circor(root / "circor-digiscope", patients)
    _sprsound(root / "sprsound-2022", patients)
    _physionet(root / "physionet-2016")


def murmuring(seed, murmur):
    """A heartbeat, with a noise in every systole if `murmur`."""
    pcm = sounds.heartbeat(SECONDS, beats_per_minute=70 + seed % 40, seed=seed)
    if murmur:
        time = np.arange(len(pcm)) / RATE % (60 / (70 + seed % 40))
        pcm += ((time > 0.15) & (time < 0.38)) * sounds.noise(SECONDS, level=0.05, seed=seed)
    return pcm


def breathing(seed, wheeze, crackle):
    """Breath noise, with a tone or clicks between 1 and 3 seconds."""
    pcm = sounds.noise(SECONDS, level=0.02, seed=seed)
    span = slice(RATE, 3 * RATE)
    if wheeze:
        pcm[span] += sounds.tone(2, 300 + seed % 200, level=0.1)
    if crackle:
        pcm[span][:: RATE // 8] += 0.5
    return pcm


def _choose(split_of, patients):
    """Ids, enough of which fall in every split that the rule knows."""
    known = {split_of(str(candidate)) for candidate in range(1000, 1100)}
    wanted = {"train": patients, "val": patients // 4, "test": patients // 4}
    wanted = {split: count for split, count in wanted.items() if split in known}
    chosen, candidate = [], 1000
    while any(wanted.values()):
        split = split_of(str(candidate))
        if wanted.get(split):
            wanted[split] -= 1
            chosen.append(candidate)
        candidate += 1
    return chosen


def _circor(folder, patients):
    audio = folder / "training_data"
    audio.mkdir(parents=True)
    rows = ["Patient ID,Murmur,Murmur locations,Additional ID"]
    for index, patient in enumerate(_choose(circor_split, patients)):
        murmur = index % 2 == 0
        rows.append(f"{patient},{'Present,AV' if murmur else 'Absent,nan'},nan")
        sf.write(audio / f"{patient}_AV.wav", murmuring(patient, murmur), RATE)
        beats = [f"{t / 10}\t{t / 10 + 0.1}\t{1 + t % 4}" for t in range(50)]
        (audio / f"{patient}_AV.tsv").write_text("\n".join(beats) + "\n")
    (folder / "training_data.csv").write_text("\n".join(rows) + "\n")


def _sprsound(folder, patients):
    def split_of(patient):
        return sprsound_split(patient, official_inter_test=False)

    train = _choose(split_of, patients)
    test = [9000 + index for index in range(patients // 4)]
    for sub in ("test_json/intra_test_json", "train_wav", "test_wav"):
        (folder / sub).mkdir(parents=True)
    for index, patient in enumerate([*train, *test]):
        wheeze, crackle = index % 2 == 0, index % 3 == 0
        kinds = ["Wheeze"] * wheeze + ["Fine Crackle"] * crackle or ["Normal"]
        events = [{"start": "1000", "end": "3000", "type": kind} for kind in kinds]
        is_test = patient >= 9000
        annotations = folder / ("test_json/inter_test_json" if is_test else "train_json")
        annotations.mkdir(parents=True, exist_ok=True)
        stem = f"{patient}_3.0_0_p1_{index}"
        content = {"record_annotation": "x", "event_annotation": events}
        (annotations / f"{stem}.json").write_text(json.dumps(content))
        target = folder / ("test_wav" if is_test else "train_wav") / f"{stem}.wav"
        sf.write(target, breathing(patient, wheeze, crackle), RATE)


def _physionet(folder):
    for number, database in enumerate("abcd"):
        base = folder / f"training-{database}"
        base.mkdir(parents=True)
        lines = []
        for index in range(6):
            abnormal = index % 2 == 0
            name = f"{database}{index:04d}"
            sf.write(base / f"{name}.wav", murmuring(10 * number + index, abnormal)[::2], RATE // 2)
            lines.append(f"{name},{1 if abnormal else -1},1")
        (base / "REFERENCE-SQI.csv").write_text("\n".join(lines) + "\n")
