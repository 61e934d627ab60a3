"""What each corpus is, who owns it and where its files lie; `fetch` and `data list` read this.

A count or size is None where its publishers state none; one that is not exact is rounded. Sizes
are what is downloaded or, where that is not known, the samples of all recordings.
"""

from __future__ import annotations

from align.corpora.info import Access, CorpusInfo, Download, Listing

_PHYSIONET = "https://physionet.org/files"
_ICBHI = "https://bhichallenge.med.auth.gr/sites/default/files/ICBHI_final_database"
_SPRSOUND = "https://github.com/SJTU-YONGFU-RESEARCH-GRP/SPRSound"
_SPRSOUND_COMMIT = "174500e401f4ebf54061414c2fe082c7dccfb9d2"
_ZCHSOUND = "https://github.com/WeiJieOvO/ZCHSound-Dataset/raw"
_ZCHSOUND_COMMIT = "02f528decedfff439d09f143fa920d6d4f232cd9"
_MENDELEY = "https://data.mendeley.com/public-files/datasets"

_CORPORA = (
    CorpusInfo(
        key="circor",
        title="CirCor DigiScope 1.0.3 (PhysioNet Challenge 2022)",
        organ="heart",
        licence="ODC-By 1.0",
        home="https://physionet.org/content/circor-heart-sound/1.0.3/",
        size=560_000_000,
        recordings=3163,
        patients=942,
        access="open",
        split_rule="circor_split",
        citation="Oliveira et al., IEEE JBHI 2022, doi 10.1109/JBHI.2021.3137048;"
        " Reyna et al., PhysioNet Challenge 2022",
        downloads=(
            Listing(
                f"{_PHYSIONET}/circor-heart-sound/1.0.3/SHA256SUMS.txt",
                keep=("LICENSE.txt", "*.csv", "training_data/*.wav", "training_data/*.tsv"),
            ),
        ),
    ),
    CorpusInfo(
        key="physionet2016",
        title="PhysioNet/CinC Challenge 2016, databases a-d",
        organ="heart",
        licence="ODC-By 1.0",
        home="https://physionet.org/content/challenge-2016/1.0.0/",
        size=None,
        recordings=985,
        patients=None,
        access="open",
        split_rule="LEAVE_ONE_OUT",
        citation="Liu et al., Physiological Measurement 2016",
        downloads=tuple(
            Listing(
                f"{_PHYSIONET}/challenge-2016/1.0.0/training-{database}/SHA256SUMS",
                keep=("*.wav", "*.csv"),
                folder=f"training-{database}",
            )
            for database in "abcd"
        ),
        patient_ids=False,
    ),
    CorpusInfo(
        key="sprsound",
        title="SPRSound, the BioCAS 2022 release",
        organ="lung",
        licence="CC BY 4.0 by third-party listings; the repository ships GPL-3.0 text",
        home=_SPRSOUND,
        size=470_000_000,
        recordings=2683,
        patients=292,
        access="open",
        split_rule="sprsound_split",
        citation="Zhang et al., IEEE TBioCAS 16(5) 2022",
        downloads=(
            Download(
                f"{_SPRSOUND}/archive/{_SPRSOUND_COMMIT}.zip",
                "SPRSound.zip",
                unpack=True,
                strip=1,
                layout=(
                    ("LICENSE", "LICENSE"),
                    ("BioCAS2022/train2022_wav/", "train_wav/"),
                    ("BioCAS2022/train2022_json/", "train_json/"),
                    ("BioCAS2022/test2022_wav/", "test_wav/"),
                    ("BioCAS2022/test2022_json/", "test_json/"),
                ),
            ),
        ),
    ),
    CorpusInfo(
        key="icbhi",
        title="ICBHI 2017 Respiratory Sound Database",
        organ="lung",
        licence="CC0",
        home="https://bhichallenge.med.auth.gr",
        size=None,
        recordings=920,
        patients=126,
        access="open",
        split_rule="icbhi_split",
        citation="Rocha et al., Precision Medicine Powered by pHealth 2018",
        downloads=(
            Download(
                f"{_ICBHI}/ICBHI_final_database.zip",
                "ICBHI_final_database.zip",
                unpack=True,
                strip=1,
                layout=(("", "audio_and_txt_files/"),),
            ),
            *(
                Download(f"{_ICBHI}/{name}", name)
                for name in (
                    "ICBHI_Challenge_diagnosis.txt",
                    "ICBHI_challenge_train_test.txt",
                    "ICBHI_Challenge_demographic_information.txt",
                )
            ),
        ),
    ),
    CorpusInfo(
        key="kauh",
        title="KAUH lung sounds (Fraiwan), version 3",
        organ="lung",
        licence="CC BY 4.0",
        home="https://data.mendeley.com/datasets/jwyy9np4gv/3",
        size=47_000_000,
        recordings=336,
        patients=112,
        access="open",
        split_rule="kauh_split",
        citation="Fraiwan et al., Data in Brief 2021, doi 10.17632/jwyy9np4gv.3",
        downloads=(
            Download(
                f"{_MENDELEY}/jwyy9np4gv/files/99d7bd63-eb5d-4000-9c2a-a8dd31168cbc/file_downloaded",
                "AudioFiles.zip",
                unpack=True,
            ),
        ),
    ),
    CorpusInfo(
        key="bmd-hs",
        title="BUET Multi-disease Heart Sound (BMD-HS)",
        organ="heart",
        licence="CC BY-NC-ND 4.0",
        home="https://github.com/sani002/BMD-HS-Dataset",
        size=140_000_000,
        recordings=872,
        patients=108,
        access="open",
        split_rule="hash_split",
        citation="Ali et al., arXiv 2409.00724, 2024",
        downloads=(
            Download(
                "https://github.com/sani002/BMD-HS-Dataset/archive/refs/heads/main.zip",
                "BMD-HS-Dataset.zip",
                unpack=True,
                strip=1,
            ),
        ),
    ),
    CorpusInfo(
        key="zchsound",
        title="ZCHSound, children with congenital heart disease",
        organ="heart",
        licence="none stated; terms at the home page",
        home="http://zchsound.ncrcch.org.cn/",
        size=339_554_986,
        recordings=1259,
        patients=1259,
        access="open",
        split_rule="hash_split",
        citation="Jia et al., IEEE TBME 71(8) 2024, doi 10.1109/TBME.2023.3348800",
        downloads=(
            Download(
                f"{_ZCHSOUND}/{_ZCHSOUND_COMMIT}/ZCHSound.zip",
                "ZCHSound.zip",
                # the object id in the repository's large-file pointer
                checksum="112432cb10c5ab768cabf217f0a090a20bd0102b093d8b42dbdabc19e39b58b7",
                size=339_554_986,
                unpack=True,
            ),
        ),
    ),
    CorpusInfo(
        key="coswara",
        title="Coswara, crowdsourced cough, breath and voice",
        organ="cough, breath, voice",
        licence="CC BY 4.0",
        home="https://github.com/iiscleap/Coswara-Data",
        size=8_000_000_000,
        recordings=23_700,
        patients=2635,
        access="open",
        split_rule="hash_split",
        citation="Bhattacharya et al., Scientific Data 10:397 2023, doi 10.1038/s41597-023-02266-0",
        downloads=(
            Download(
                "https://github.com/iiscleap/Coswara-Data/archive/refs/heads/master.zip",
                "Coswara-Data.zip",
                unpack=True,
                strip=1,
                split_tars="Extracted_data",
            ),
        ),
    ),
    CorpusInfo(
        key="coughvid",
        title="COUGHVID, version 1 (the one OPERA uses)",
        organ="cough",
        licence="CC BY 4.0",
        home="https://zenodo.org/records/4048312",
        size=951_442_487,
        recordings=20_000,
        patients=None,
        access="open",
        split_rule="hash_split",
        citation="Orlandic et al., Scientific Data 2021, doi 10.1038/s41597-021-00937-4",
        downloads=(
            Listing("doi:10.5281/zenodo.4048312", keep=("public_dataset.zip",), unpack=True),
        ),
        how="Its WebM recordings must be turned into WAV (ffmpeg) before they can be decoded.",
        patient_ids=False,
    ),
    CorpusInfo(
        key="uk-covid",
        title="UK COVID-19 Vocal Audio Dataset, open-access edition",
        organ="cough, breath",
        licence="OGL 3.0",
        home="https://zenodo.org/records/10043978",
        size=53_700_000_000,
        recordings=None,
        patients=72_999,
        access="open",
        split_rule="uk_covid_split",
        citation="Scientific Data 2024, doi 10.1038/s41597-024-03492-w",
        downloads=(Listing("doi:10.5281/zenodo.10043978", keep=("*",)),),
        how="The audio is one ZIP in numbered parts: unpack it with '7z x covid_data.zip'.",
    ),
    CorpusInfo(
        key="respiratory-tr",
        title="RespiratoryDatabase@TR, COPD severity",
        organ="lung",
        licence="CC BY 4.0",
        home="https://data.mendeley.com/datasets/p9z4h98s6j/1",
        size=None,
        recordings=504,
        patients=42,
        access="open",
        split_rule="respiratory_tr_split",
        citation="Altan et al., Natural and Engineering Sciences 2(3) 2017,"
        " doi 10.17632/p9z4h98s6j.1",
        downloads=(
            Download(
                f"{_MENDELEY}/p9z4h98s6j/files/4920eb3e-cecd-47b2-95b0-75b6446a4aad/file_downloaded",
                "RespiratoryDatabaseTR.zip",
                unpack=True,
            ),
        ),
        how="Labels.xlsx is a file of its own on the home page: put it into the same folder.",
    ),
    CorpusInfo(
        key="mmlung",
        title="MMLung, lung function by smartphone",
        organ="cough, breath, voice",
        licence="custom: data transfer agreement",
        home="https://github.com/MohammedMosuily/mmlung",
        size=None,
        recordings=None,
        patients=None,
        access="on request",
        split_rule="LEAVE_ONE_OUT",
        citation="Mosuily et al., MMLung: Moving Closer to Practical Lung Health Estimation",
        how="Ask its authors (mtm1g19@soton.ac.uk) for the folders 'Trimmed Data from phone' and"
        " 'spirometry_ground_truth'.",
    ),
    CorpusInfo(
        key="nosemic",
        title="NoseMic, breathing rate at the nose",
        organ="breath",
        licence="custom, University of Cambridge",
        home="https://github.com/evelyn0414/OPERA/tree/main/datasets/nosemic",
        size=None,
        recordings=None,
        patients=None,
        access="on request",
        split_rule="LEAVE_ONE_OUT",
        citation="Zhang et al., OPERA, NeurIPS 2024, arXiv 2406.16148",
        how="Download the folder 'audio' from the link on that page.",
    ),
    CorpusInfo(
        key="covid19-cough",
        title="covid19-cough, induced coughs by phone; its COVID label contradicts itself",
        organ="cough",
        licence="CC0 1.0",
        home="https://github.com/covid19-cough/dataset",
        size=None,
        recordings=1324,
        patients=None,
        access="open",
        split_rule="hash_split",
        citation="Usman et al., 2020",
        downloads=(
            Download(
                "https://github.com/covid19-cough/dataset/archive/HEAD.zip",
                "covid19-cough.zip",
                unpack=True,
                strip=1,
            ),
        ),
        patient_ids=False,
    ),
)

CATALOGUE: dict[str, CorpusInfo] = {info.key: info for info in _CORPORA}

__all__ = ["CATALOGUE", "Access", "CorpusInfo", "Download", "Listing"]
