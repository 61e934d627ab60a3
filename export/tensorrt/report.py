"""Check and build a variant's engine, and say what happened line by line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from acula_edge.bundle import load_bundle
from export.tensorrt.build import build_engine, check_variant, default_precision
from export.tensorrt.errors import TensorRTError


def check_and_build(
    bundle: str,
    variant: str,
    precision: str | None = None,
    cache: Path | None = None,
    *,
    check_only: bool = False,
) -> Iterator[str]:
    """What TensorRT would not take of the variant, then the engine that was built or found.

    Raises:
        TensorRTError: TensorRT would refuse a node, or could not build.
        MissingDependencyError, DeviceError: no TensorRT, or no GPU.
    """
    loaded = load_bundle(bundle)
    chosen = precision or default_precision(loaded, variant)
    problems = check_variant(loaded, variant, chosen)
    for problem in problems:
        yield f"{'refused' if problem.blocking else 'note'}: {problem}"
    refused = sum(problem.blocking for problem in problems)
    if refused:
        raise TensorRTError(f"TensorRT would refuse {refused} nodes of {variant} {chosen}")
    if check_only:
        yield f"OK: nothing in {variant} {chosen} that TensorRT is known to refuse"
        return
    built = build_engine(loaded, variant, chosen, cache)
    if built.damaged:
        yield "the cached engine was damaged and has been built again"
    yield f"{'built' if built.new else 'already there'}: {built.path} for {built.target}"
