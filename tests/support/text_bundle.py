"""A text space put around the graphs of a bundle that has none: known places, random otherwise."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from acula_edge.bundle import Bundle, Passage, Prompt, TextSpace, load_bundle, write_bundle

REPORTS = ("A murmur is heard.", "No murmur is heard.", "Wheezes are heard.", "Fine crackles.")


def direction(size: int, seed: int) -> tuple[float, ...]:
    vector = np.random.default_rng(seed).normal(size=size)
    return tuple(float(value) for value in np.round(vector / np.linalg.norm(vector), 4))


def prompt(name: str, size: int, seed: int, **other: object) -> Prompt:
    fields = {"text": f"text of {name}", "vector": direction(size, seed), **other}
    return Prompt(name=name, **fields)  # type: ignore[arg-type]


def teacher_size(size: int) -> int:
    return size + 9


def projection(size: int) -> np.ndarray:
    """Mean (teacher_size,), then basis (teacher_size, size)."""
    values = np.random.default_rng(3).normal(size=(1 + size, teacher_size(size)))
    return np.concatenate([values[0], values[1:].T.ravel()]).astype("<f4")


def reports(size: int) -> tuple[Passage, ...]:
    return tuple(Passage(text, direction(size, 40 + i)) for i, text in enumerate(REPORTS))


def report_lines(found: tuple[Passage, ...]) -> bytes:
    lines = [json.dumps({"text": one.text, "vector": list(one.vector)}) for one in found]
    return "".join(f"{line}\n" for line in lines).encode()


def space_of(*, size: int, **other: object) -> TextSpace:
    fields = {
        "teacher": "tiny/teacher",
        "teacher_size": teacher_size(size),
        "size": size,
        "projection": "text.f32",
        "reports": "reports.jsonl",
        **other,
    }
    return TextSpace(**fields)  # type: ignore[arg-type]


def text_bundle(
    folder: Path, base: Bundle, files: dict[str, bytes] | None = None, **other: object
) -> Bundle:
    """`base` with a text space whose fields `other` changes; its graphs stay as they are."""
    size = base.manifest.embedding
    space = space_of(**{"size": size, **other})
    if files is None:
        files = {space.projection: projection(size).tobytes()}
        if space.reports is not None:
            files[space.reports] = report_lines(reports(size))
    return _written(folder, base, space, files)


def plain_bundle(folder: Path, base: Bundle) -> Bundle:
    """`base` without a text space."""
    return _written(folder, base, None, {})


def _written(
    folder: Path, base: Bundle, space: TextSpace | None, files: dict[str, bytes]
) -> Bundle:
    manifest = dataclasses.replace(base.manifest, text=space)
    graphs, extra = {}, {}
    for name, data in base.files.items():
        (graphs if name.endswith(".onnx") else extra)[name] = data
    for name in ("manifest.json", "MODEL_CARD.md", "SHA256SUMS", "SHA256SUMS.minisig"):
        extra.pop(name, None)
    write_bundle(folder, manifest, graphs, base.card(), {**extra, **files})
    return load_bundle(folder)
