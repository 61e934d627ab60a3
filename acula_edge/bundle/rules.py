"""Value rules of a manifest that types alone do not express."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acula_edge.bundle.manifest import (
        FindingSpec,
        Golden,
        Manifest,
        Prompt,
        TextSpace,
        Variant,
    )

# Plain on every file system: no separator, no leading dot, no drive letter, no shell surprise.
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
LONGEST_TEXT = 2000  # characters
LARGEST_TEACHER = 65_536  # dimensions of a language model's hidden states
_LARGEST_NUMBER = 1e6  # of a vector
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RESERVED = ("manifest.json", "SHA256SUMS", "SHA256SUMS.minisig", "MODEL_CARD.md")

Rule = tuple[bool, str]


def broken_rule(manifest: Manifest) -> str | None:
    """The first rule that `manifest` breaks as text that starts with the key path, or None."""
    return next((text for ok, text in _rules(manifest) if not ok), None)


def is_plain(name: str) -> bool:
    """Whether `name` is a plain file name: no folder, no '..', nothing absolute."""
    return PLAIN_NAME.fullmatch(name) is not None


def is_text(text: str) -> bool:
    """Whether `text` says something on one printable line: no escape codes, not endless."""
    return text.strip() != "" and text.isprintable() and len(text) <= LONGEST_TEXT


def is_direction(vector: Sequence[float], size: int) -> bool:
    """Whether `vector` has `size` numbers that give a direction."""
    length = math.hypot(*vector)
    return len(vector) == size and 1 / _LARGEST_NUMBER < length < _LARGEST_NUMBER


def _rules(manifest: Manifest) -> Iterator[Rule]:
    yield is_plain(manifest.name), "'name' must be a plain name"
    yield manifest.version != "", "'version' must not be empty"
    for key in ("rate", "hop", "window", "embedding"):
        yield getattr(manifest, key) > 0, f"'{key}' must be greater than 0"
    yield manifest.window % manifest.hop == 0, "'window' must be a multiple of 'hop'"
    yield len(manifest.findings) > 0, "'findings' must not be empty"
    labels = manifest.labels
    yield len(set(labels)) == len(labels), "'findings' must have different names"
    for index, finding in enumerate(manifest.findings):
        yield from _finding_rules(finding, f"findings[{index}]")
    for key in ("seconds", "minimum_on", "minimum_off"):
        yield getattr(manifest.smoothing, key) >= 0, f"'smoothing.{key}' must not be negative"
    yield manifest.minimum_evidence >= 0, "'minimum_evidence' must not be negative"
    yield len(manifest.variants) > 0, "'variants' must not be empty"
    for name, variant in manifest.variants.items():
        yield is_plain(name), f"'variants' has the name {name!r}, which is not plain"
        yield from _variant_rules(variant, f"variants.{name}")
    for index, data in enumerate(manifest.training_data):
        counts = (data.patients or 0, data.recordings)
        yield min(counts) >= 0, f"'training_data[{index}]' must not have negative counts"
    for key in ("window_tolerance", "golden_tolerance", "gain_tolerance"):
        yield getattr(manifest.parity, key) >= 0, f"'parity.{key}' must not be negative"
    if manifest.golden is not None:
        yield from _golden_rules(manifest.golden, manifest)
    if manifest.text is not None:
        yield from _text_rules(manifest.text, manifest)


def _finding_rules(finding: FindingSpec, at: str) -> Iterator[Rule]:
    yield is_plain(finding.name), f"'{at}.name' must be a plain name"
    yield finding.site in ("heart", "lung"), f"'{at}.site' must be heart or lung"
    kind, sharpness = finding.pooling.kind, finding.pooling.sharpness
    yield kind in ("mean", "logmeanexp"), f"'{at}.pooling.kind' must be mean or logmeanexp"
    positive = sharpness > 0 or (kind == "mean" and sharpness == 0)
    yield positive, f"'{at}.pooling.sharpness' must be greater than 0"
    yield finding.temperature > 0, f"'{at}.temperature' must be greater than 0"
    for key in ("present", "absent", "enter", "leave"):
        yield 0 <= getattr(finding, key) <= 1, f"'{at}.{key}' must be between 0 and 1"
    yield finding.absent <= finding.present, f"'{at}.absent' must not exceed 'present'"
    yield finding.leave <= finding.enter, f"'{at}.leave' must not exceed 'enter'"


def _variant_rules(variant: Variant, at: str) -> Iterator[Rule]:
    yield len(variant.providers) > 0, f"'{at}.providers' must not be empty"
    yield variant.state_size > 0, f"'{at}.state_size' must be greater than 0"
    yield variant.opset > 0, f"'{at}.opset' must be greater than 0"
    for role, graph in (("stream", variant.stream), ("window", variant.window)):
        if graph is not None:
            ok = is_plain(graph.file) and graph.file not in _RESERVED
            yield ok, f"'{at}.{role}.file' must be a plain file name, not {graph.file!r}"
            ok = _SHA256.fullmatch(graph.sha256) is not None
            yield ok, f"'{at}.{role}.sha256' must be 64 lower-case hex digits"


def _golden_rules(golden: Golden, manifest: Manifest) -> Iterator[Rule]:
    ok = is_plain(golden.input) and golden.input not in _RESERVED
    yield ok, f"'golden.input' must be a plain file name, not {golden.input!r}"
    for name, rows in golden.scores.items():
        at, width = f"golden.scores.{name}", len(manifest.findings)
        yield name in manifest.variants, f"'{at}' is for no variant of this bundle"
        yield len(rows) > 0, f"'{at}' must not be empty"
        yield len(rows) <= manifest.hops_per_window, f"'{at}' is longer than the window"
        yield len({len(row) for row in rows} - {width}) == 0, f"'{at}' must have {width} per row"
        yield len(rows) == len(next(iter(golden.scores.values()))), f"'{at}' differs in length"


def _text_rules(space: TextSpace, manifest: Manifest) -> Iterator[Rule]:
    yield is_text(space.teacher), "'text.teacher' must name a language model"
    yield space.pooling in ("mean", "last"), "'text.pooling' must be mean or last"
    ok = 0 < space.size <= space.teacher_size <= LARGEST_TEACHER
    yield ok, f"'text' must have 0 < size <= teacher_size <= {LARGEST_TEACHER}"
    yield space.size == manifest.embedding, "'text.size' must equal 'embedding'"
    for key in ("projection", "reports"):
        file = getattr(space, key)
        ok = file is None or (is_plain(file) and file not in _RESERVED)
        yield ok, f"'text.{key}' must be a plain file name, not {file!r}"
    if space.reference is not None:
        at, own = "text.reference", space.reference
        yield from _passage_rules(own.text, own.vector, space.size, at)
    names = [prompt.name for prompt in space.prompts]
    yield len(set(names)) == len(names), "'text.prompts' must have different names"
    for index, prompt in enumerate(space.prompts):
        yield from _prompt_rules(prompt, manifest, space.size, f"text.prompts[{index}]")


def _prompt_rules(prompt: Prompt, manifest: Manifest, size: int, at: str) -> Iterator[Rule]:
    yield is_plain(prompt.name), f"'{at}.name' must be a plain name"
    yield prompt.name not in manifest.labels, f"'{at}.name' is the name of a finding"
    yield prompt.site in (None, "heart", "lung"), f"'{at}.site' must be heart, lung or null"
    yield from _passage_rules(prompt.text, prompt.vector, size, at)
    if prompt.against is not None:
        contrast = prompt.against
        yield from _passage_rules(contrast.text, contrast.vector, size, f"{at}.against")


def _passage_rules(text: str, vector: Sequence[float], size: int, at: str) -> Iterator[Rule]:
    yield is_text(text), f"'{at}.text' must be 1 to {LONGEST_TEXT} printable characters"
    yield is_direction(vector, size), f"'{at}.vector' must be a direction of {size} numbers"
