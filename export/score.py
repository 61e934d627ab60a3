"""Score recordings with a bundle's artefact through `Session`, the very path that runs live.

Light to import, since every process that scores imports it: no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal

from rich.progress import track

from acula_edge import Session
from acula_edge.bundle import Bundle, load_bundle
from acula_edge.errors import BundleError
from acula_edge.events import QualityState, Window
from align.audio import read_pcm
from align.corpora import Recording, read_corpus
from export.figures import Scored

FINDING_CORPUS = {"murmur": "circor", "crackle": "sprsound", "wheeze": "sprsound"}
WORTH_PROCESSES = 200  # recordings; starting processes takes seconds
CORPUS_SITE = {"circor": "heart", "sprsound": "lung", "physionet2016": "heart"}


def score(
    bundle: Bundle, variant: str, recordings: Sequence[Recording], quiet: bool = False
) -> list[Scored]:
    """Exam of each recording at its corpus's site; NaN where no usable sound was heard."""
    job = partial(_score_one, bundle.origin, bundle.digest, variant)
    progress = partial(track, description=f"scoring with {variant}", disable=quiet)
    if len(recordings) < WORTH_PROCESSES:
        return [job(row) for row in progress(recordings)]
    # Ctrl-C is the parent's to handle: idle workers would each print a traceback.
    context, ignored = get_context("spawn"), (SIGINT, SIG_IGN)
    with ProcessPoolExecutor(mp_context=context, initializer=signal, initargs=ignored) as pool:
        results = pool.map(job, recordings, chunksize=8)
        return list(progress(results, total=len(recordings)))


@lru_cache(maxsize=1)
def _bundle(origin: Path, digest: str) -> Bundle:
    """The bundle in this process; the digest tells one content at `origin` from the next."""
    bundle = load_bundle(origin)
    if bundle.digest != digest:
        raise BundleError(f"{origin} changed while it was being scored")
    return bundle


def _score_one(origin: Path, digest: str, variant: str, row: Recording) -> Scored:
    bundle = _bundle(origin, digest)
    pcm = read_pcm(row.path, bundle.manifest.rate)
    with Session(bundle, site=CORPUS_SITE[row.corpus], variant=variant) as session:
        events = session.push(pcm)
        exam = session.finish()
    windows = [e for e in events if isinstance(e, Window) and e.quality is not QualityState.REFUSE]
    hops = round(bundle.manifest.smoothing.minimum_on * bundle.manifest.rate / bundle.manifest.hop)
    return Scored(
        recording=row,
        probability={
            name: float("nan") if result.probability is None else result.probability
            for name, result in exam.findings.items()
        },
        abstained=exam.abstained,
        embedding=session.embedding,
        sustained={
            name: _sustained([w.scores[name] for w in windows], hops) for name in session.findings
        },
    )


def _sustained(values: Sequence[float], hops: int) -> float:
    """Highest level held for `hops` hops in a row (0 if the sound is shorter)."""
    spans = (min(values[i : i + hops]) for i in range(len(values) - hops + 1))
    return max(spans, default=0.0)


def score_split(
    bundle: Bundle, variant: str, data_root: Path, split: str, *, quiet: bool = False
) -> dict[str, list[Scored]]:
    """Exams of a split's recordings per finding, where its truth is known; each scored once."""
    result: dict[str, list[Scored]] = {}
    findings = bundle.manifest.labels
    for corpus in sorted({FINDING_CORPUS[name] for name in findings}):
        rows = [r for r in read_corpus(corpus, data_root) if r.split == split and r.labels]
        scored = score(bundle, variant, rows, quiet)
        for name in findings:
            if FINDING_CORPUS[name] == corpus:
                result[name] = [item for item in scored if name in item.recording.labels]
    return result


def good_physionet(data_root: Path) -> list[Recording]:
    """PhysioNet 2016 recordings marked as good quality."""
    rows: Iterable[Recording] = read_corpus("physionet2016", data_root)
    return [row for row in rows if row.metadata["quality"] == "good"]
