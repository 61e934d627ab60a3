"""What `manifest.json` of a model bundle says (schema 2), as frozen dataclasses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acula_edge.bundle.rules import broken_rule
from acula_edge.bundle.strict import decode, parse_object, plain
from acula_edge.errors import BundleError

SCHEMA = 2
FILE_NAME = "manifest.json"


@dataclass(frozen=True)
class Pooling:
    """How a finding's logits over time become one: `mean`, or `logmeanexp` of that sharpness."""

    kind: str
    sharpness: float


@dataclass(frozen=True, kw_only=True)
class FindingSpec:
    """One finding: what counts as positive, how its logit is calibrated and when it is reported.

    Calibrated probability = sigmoid((logit - bias) / temperature). An exam says present at
    p >= `present`, absent at p < `absent`, unsure between; live detection switches on at
    p >= `enter` and off at p < `leave`, on the smoothed probability.
    """

    name: str
    site: str
    definition: str
    pooling: Pooling
    temperature: float
    bias: float = 0.0
    present: float
    absent: float
    enter: float
    leave: float


@dataclass(frozen=True)
class Smoothing:
    """Seconds: smoothing of the live probability, and the shortest time a finding is on or off."""

    seconds: float
    minimum_on: float
    minimum_off: float


@dataclass(frozen=True)
class GraphFile:
    """An ONNX file of the bundle and its SHA-256 (64 lower-case hex digits)."""

    file: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One artefact: the model in one precision. `state_size` is the length of the flat state."""

    precision: str
    providers: tuple[str, ...]
    stream: GraphFile
    window: GraphFile | None = None
    state_size: int
    opset: int


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """A corpus the model learned from; `patients` is None where the corpus does not tell."""

    corpus: str
    licence: str
    home: str
    patients: int | None
    recordings: int
    split: str


@dataclass(frozen=True)
class Parity:
    """Largest allowed absolute difference in logits.

    `window_tolerance`: window against stream graph; `golden_tolerance`: any host against the
    golden scores; `gain_tolerance`: the same sound louder or softer.
    """

    window_tolerance: float
    golden_tolerance: float
    gain_tolerance: float


@dataclass(frozen=True)
class Golden:
    """A raw float32 little-endian `.f32` file at the model rate, a whole number of hops long.

    `scores[variant][hop][finding]` are the logits the stream graph gives from the zero state.
    """

    input: str
    scores: Mapping[str, tuple[tuple[float, ...], ...]]


@dataclass(frozen=True)
class Passage:
    """A text and its place (size,) in the text space; only the direction of `vector` counts."""

    text: str
    vector: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A zero-shot finding: a text that nobody trained on, and its place (size,) in the text space.

    An exam's similarity to it is `cos(exam, vector)`, less `cos(exam, against.vector)` where there
    is a contrast. No threshold is known, so it is never a decision. `site` is `heart`, `lung`, or
    None for both.
    """

    name: str
    site: str | None = None
    text: str
    vector: tuple[float, ...]
    against: Passage | None = None


@dataclass(frozen=True, kw_only=True)
class TextSpace:
    """The aligned text space that the graph's embedding lies in.

    A text of the language model `teacher`, embedded there as `t` (teacher_size,), lies at
    `(t - mean) @ basis`. `projection` is a raw float32 little-endian `.f32` file: `mean`, then
    `basis` (teacher_size, size) row by row. `reports` is a JSONL file of the report index, or
    None: lines of `{"text": ..., "vector": [size numbers]}`.

    `revision`, `pooling` (`mean` or `last` token) and `layer` (index of the hidden states) say how
    the teacher embeds; `reference` is a text whose place another copy of the teacher must find.
    """

    teacher: str
    revision: str | None = None
    pooling: str = "mean"
    layer: int = -1
    teacher_size: int
    size: int
    projection: str
    reports: str | None = None
    reference: Passage | None = None
    prompts: tuple[Prompt, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A model bundle's contract. `rate` is in Hz; `hop` and `window` are in samples.

    `front_end` is informative; the front end itself lives in the graph. `minimum_evidence` is the
    seconds of usable sound an exam needs. `phases` names the rows of the graph's `phases` output,
    which answers `phase_delay` seconds late; empty where the graph has none. `text` is the space of
    the embedding, None where the bundle was not aligned with one.

    Schema 2 added `phases`, `phase_delay` and `text`; schema 1 reads as if they were absent.
    """

    schema: int = SCHEMA
    name: str
    version: str
    licence: str
    intended_use: str
    notice: str
    rate: int
    hop: int
    window: int
    front_end: Mapping[str, Any]
    embedding: int
    findings: tuple[FindingSpec, ...]
    smoothing: Smoothing
    minimum_evidence: float
    variants: Mapping[str, Variant]
    training_data: tuple[TrainingData, ...]
    metrics: Mapping[str, Any]
    parity: Parity
    golden: Golden | None = None
    phases: tuple[str, ...] = ()
    phase_delay: float = 0.0
    text: TextSpace | None = None
    toolkit_commit: str
    created: str

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the findings, in the order of the graph's scores."""
        return tuple(finding.name for finding in self.findings)

    @property
    def hops_per_window(self) -> int:
        """Hops in the window graph's input."""
        return self.window // self.hop

    def variant(self, name: str) -> Variant:
        """The variant of that name; BundleError naming the available ones."""
        if name not in self.variants:
            known = ", ".join(sorted(self.variants))
            raise BundleError(f"{FILE_NAME}: no variant '{name}'; this bundle has {known}")
        return self.variants[name]


def parse_manifest(data: bytes, origin: str = FILE_NAME) -> Manifest:
    """The manifest in `data`; BundleError naming `origin`, the key path and the reason."""
    try:
        return _parse(data)
    except BundleError as error:
        raise BundleError(f"{origin}: {error}") from None


def manifest_json(manifest: Manifest) -> dict[str, Any]:
    """The manifest as JSON-ready values, keys in the order of the fields."""
    fields: dict[str, Any] = plain(manifest)
    return fields


def dump_manifest(manifest: Manifest) -> bytes:
    """The manifest as the UTF-8 bytes of `manifest.json`; ValueError if it holds NaN."""
    text = json.dumps(manifest_json(manifest), indent=1, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def _parse(data: bytes) -> Manifest:
    value = parse_object(data)
    schema = value.get("schema")
    if type(schema) is not int or schema < 1:
        raise BundleError("'schema' must be a whole number of at least 1")
    if schema > SCHEMA:
        raise BundleError(f"schema {schema} needs a newer acula-edge (this one reads {SCHEMA})")
    manifest: Manifest = decode(Manifest, value)
    if broken := broken_rule(manifest):
        raise BundleError(broken)
    return manifest
