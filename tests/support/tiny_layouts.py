"""Every corpus's published folder layout, tiny: tables and names as published, short noise.

`write_layout(corpus, data_root)` writes one, `write_layouts(data_root)` all.
"""

import json
from pathlib import Path

import numpy as np
import soundfile as sf

from align.corpora import FOLDERS
from align.corpora.coswara import SOUNDS

RATE = 8000
PATIENTS = 12


def write_layouts(data_root):
    """All corpora under `data_root`, each in the first folder where `read_corpus` looks for it."""
    for corpus in WRITERS:
        write_layout(corpus, data_root)


def write_layout(corpus, data_root):
    """One corpus; returns its folder."""
    folder = data_root / FOLDERS[corpus][0]
    folder.mkdir(parents=True, exist_ok=True)
    WRITERS[corpus](folder)
    return folder


def write_audio(path, seed=0):
    """A tenth of a second of noise; the format follows the suffix (WebM gets WAV's bytes)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pcm = np.random.default_rng(seed).normal(scale=0.1, size=RATE // 10)
    sf.write(path, pcm, RATE, format="WAV" if path.suffix == ".webm" else None)


def write_lines(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def _circor(folder):
    lines = ["Patient ID,Age,Sex,Height,Murmur,Murmur locations,Outcome,Additional ID"]
    for index in range(PATIENTS):
        patient = 1000 + index
        murmur = "Present,AV+MV,Abnormal" if index % 2 else "Absent,nan,Normal"
        lines.append(f"{patient},Child,Male,nan,{murmur},{1000 if index == 5 else 'nan'}")
        for site in ("AV", "PV"):
            write_audio(folder / "training_data" / f"{patient}_{site}.wav", index)
    write_lines(folder / "training_data.csv", *lines)


def _physionet2016(folder):
    for database in "abcd":
        base = folder / f"training-{database}"
        names = [f"{database}{index:04d}" for index in range(3)]
        for index, name in enumerate(names):
            write_audio(base / f"{name}.wav", index)
        write_lines(base / "REFERENCE-SQI.csv", *(f"{name},1,1" for name in names))


def _sprsound(folder):
    for index in range(PATIENTS):
        sets = ("train_json", "test_json/intra_test_json" if index % 2 else "train_json")
        sets = ("test_json/inter_test_json",) if index > 8 else sets
        for number, annotations in enumerate(sets):
            stem = f"{4000 + index}_3.0_{index % 2}_p{number + 1}_{index}"
            event = {"start": "10", "end": "90", "type": "Wheeze" if index % 2 else "Normal"}
            content = {"record_annotation": "CAS", "event_annotation": [event]}
            write_lines(folder / annotations / f"{stem}.json", json.dumps(content))
            audio = "train_wav" if annotations == "train_json" else "test_wav"
            write_audio(folder / audio / f"{stem}.wav", index)


def _icbhi(folder):
    base = folder / "ICBHI_final_database"
    patients = (101, 102, 103, 105, 106, 107, 108, 110, 156, 218)
    for patient in patients:
        stem = f"{patient}_1b1_Al_sc_Meditron"
        write_audio(base / f"{stem}.wav", patient)
        write_lines(base / f"{stem}.txt", "0.0\t0.04\t1\t0", "0.04\t0.1\t0\t0")
    kinds = ("URTI", "Healthy", "COPD")
    diagnoses = (f"{patient}\t{kinds[patient % 3]}" for patient in patients)
    write_lines(folder / "ICBHI_Challenge_diagnosis.txt", *diagnoses)
    persons = (f"{patient}\t70\tF\t33\tNA\tNA" for patient in patients)
    write_lines(folder / "ICBHI_Challenge_demographic_information.txt", *persons)


def _kauh(folder):
    names = (
        "1_Asthma,I E W,P L L,70,M",
        "5_Heart Failure + COPD,I C E W,P L R ,71,M",
        "6_Plueral Effusion,I C B,P L R,81,M",
        "7_Heart Failure + COPD,I C E W,P L R,65,M",
        "20_Asthma and lung fibrosis,C,A R M,90,M",
        "26_Lung Fibrosis,Crep,P,90,F",
        "74_N,N,P R M,74,M",
        "76_N,N,A L U,31,M",
        "77_Asthma,E W,A R L,40,M",
        "100_N,N,P R M,70,F",
        "101_Asthma,E W,P L M,12,F",
    )
    for letter in "BDE":
        for index, name in enumerate(names):
            write_audio(folder / "Audio Files" / f"{letter}P{name}.wav", index)


def _bmd_hs(folder):
    positions = [f"{p}_{s}" for p in ("sup", "sit") for s in ("Mit", "Tri", "Pul", "Aor")]
    columns = ",".join(f"recording_{number}" for number in range(1, 9))
    lines = [f"patient_id,AS,AR,MR,MS,N,{columns}"]
    people = ["patient_id,Age,Gender,Smoker,Lives"]
    for index in range(1, 5):
        kind, cells = (("AS", "1,0,0,0,0"), ("N", "0,0,0,0,1"))[index % 2]
        cells = "N/A,N/A,N/A,N/A,N/A" if index == 4 else cells
        names = [f"{kind}_{index:03d}_{position}" for position in positions]
        lines.append(f"patient_{index:03d},{cells},{','.join(names)}")
        if index != 4:
            people.append(f"patient_{index:03d},20-29,{'FM'[index % 2]},{index % 2},U")
        for name in names:
            write_audio(folder / "train" / f"{name}.wav", index)
    write_lines(folder / "train.csv", *lines)
    write_lines(folder / "additional_metadata.csv", *people)


def _zchsound(folder):
    sets = {
        "clean": ("Clean Heartsound Data Details.csv", "clean Heartsound Data"),
        "noisy": ("Noise Heartsound Data Details.csv", "Noise Heartsound Data Details"),
    }
    rows = {
        "clean": {
            "0001": "NORMAL",
            "0090": "NORMAL",
            "0171": "NORMAL",
            "0545": "ASD",
            "0802": "VSD",
        },
        "noisy": {"0942": "PFO", "1163": "PDA"},
    }
    for quality, (table, audio) in sets.items():
        lines = ["fileName;gender;age(days);diagnosis"]
        for number, diagnosis in rows[quality].items():
            lines.append(f"ZCH{number}.wav;M;730.5;{diagnosis}")
            write_audio(folder / "ZCHSound" / audio / f"ZCH{number}.wav", int(number))
        write_lines(folder / "ZCHSound" / table, *lines)


def _coswara(folder):
    lines = ["id,a,covid_status,ep,g,l_c,smoker,asthma,test_status"]
    lines += [
        "anna,24,healthy,y,female,India,n,,na",
        "bert,40,positive_mild,y,male,India,True,True,p",
        "cara,31,recovered_full,y,other,India,,,",
    ]
    write_lines(folder / "combined_data.csv", *lines)
    write_lines(
        folder / "annotations" / "cough-heavy_labels.csv",
        "FILENAME, QUALITY",
        "anna_cough-heavy,0",
        "bert_cough-heavy,2",
    )
    for date, person in (("20200413", "anna"), ("20200502", "bert"), ("20200502", "cara")):
        for index, sound in enumerate(SOUNDS):
            write_audio(folder / "Extracted_data" / date / person / f"{sound}.wav", index)


def _coughvid(folder):
    base = folder / "public_dataset"
    write_lines(
        base / "metadata_compiled.csv",
        ",uuid,datetime,cough_detected,SNR,latitude,age,gender,status,quality_1,diagnosis_1",
        "0,aa-1,2020-04-13,0.9609,16.8,31.3,15,male,healthy,good,healthy_cough",
        "1,aa-2,2020-04-13,0.8,16.8,,,female,COVID-19,,",
        "2,aa-3,2020-04-13,0.7999,16.8,,33,female,COVID-19,,",
        "3,aa-4,2020-04-13,0.99,16.8,,33,other,symptomatic,,",
    )
    for index, name in enumerate(("aa-1.wav", "aa-1.webm", "aa-2.ogg", "aa-3.webm", "aa-4.wav")):
        write_audio(base / name, index)


def _uk_covid(folder):
    audio = ["participant_identifier,exhalation_file_name,cough_file_name,three_cough_file_name"]
    people = [
        "participant_identifier,age,gender,smoker_status,symptom_fever,covid_test_result,"
        "covid_viral_load,recruitment_source"
    ]
    splits = ["participant_identifier,splits,in_matched_rebalanced_test"]
    for index, official in enumerate(("train", "val", "test", "long", "")):
        person, result = f"p{index}", ("Negative", "Positive", "Unknown/Void")[index % 3]
        files = [f"{person}_{kind}.wav" for kind in ("exhalation", "cough", "three")]
        for name in files:
            write_audio(folder / "audio" / name, index)
        audio.append(",".join([person, *files]))
        people.append(f"{person},18-44,Female,Never,0,{result},2.5,REACT")
        splits.append(f"{person},{official},False")
    audio[-1] = "p4,,p4_cough.wav,"
    write_lines(folder / "audio_metadata.csv", *audio)
    write_lines(folder / "participant_metadata.csv", *people)
    write_lines(folder / "train_test_splits.csv", *splits)


def _respiratory_tr(folder):
    lines = ["Patient ID,Diagnosis,"]
    for index, patient in enumerate(("H002", "H003", "H007", "H016")):
        lines.append(f"{patient},COPD{index},")
        for channel in ("L1", "R6"):
            audio = folder / "RespiratoryDatabase@TR" / f"{patient}_{channel}.wav"
            write_audio(audio, index)
    write_lines(folder / "Labels.csv", *lines)


def _mmlung(folder):
    lines = [",Spirometry_file,O_Single_file,Deep_Breath_file,FVC,FEV1,FEV1/FVC"]
    for person in (1, 2, 3):
        paths = [
            f"./Trimmed Data from phone/5_2_O_single/{person}_vowelo.wav",
            f"./Trimmed Data from phone/9_3_deepbreath/{person}_deepbreaths.wav",
        ]
        for path in paths:
            write_audio(folder / path, person)
        spirometry = f"./spirometry_ground_truth/{person}_results.xls"
        paths[0] = "" if person == 3 else paths[0]
        lines.append(",".join([str(person), spirometry, *paths, "4.5", "3.6", "0.8"]))
    write_lines(folder / "All_path.csv", *lines)


def _nosemic(folder):
    for person in ("u1", "u2"):
        for name in (f"{person}_rest_0_15.5", f"{person}_run_1_32"):
            write_audio(folder / "audio" / f"{name}.wav", len(name))


def _covid19_cough(folder):
    entries = [
        {
            "filename": f"cough-{index}.mp3",
            "verified": index % 2 == 0,
            "asymptomatic": None if index == 0 else index % 2 == 0,
            "comment": None,
            "covid19": index % 2 == 0,
            "source": "telegram",
        }
        for index in range(4)
    ]
    write_lines(folder / "metadata.json", json.dumps(entries))
    for index, entry in enumerate(entries):
        write_audio(folder / "raw" / entry["filename"], index)


WRITERS = {
    "circor": _circor,
    "physionet2016": _physionet2016,
    "sprsound": _sprsound,
    "icbhi": _icbhi,
    "kauh": _kauh,
    "bmd-hs": _bmd_hs,
    "zchsound": _zchsound,
    "coswara": _coswara,
    "coughvid": _coughvid,
    "uk-covid": _uk_covid,
    "respiratory-tr": _respiratory_tr,
    "mmlung": _mmlung,
    "nosemic": _nosemic,
    "covid19-cough": _covid19_cough,
}

REAL = Path(__file__).parents[3] / "shared" / "data"
"""Where the real recordings lie, on the machines that have them."""
