"""Engines of a bundle's variant, built on the machine that runs them and kept there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from acula_edge.bundle import Bundle
from acula_edge.errors import BundleError
from acula_edge.providers.engine_cache import (
    DamagedEngineError,
    Target,
    default_cache,
    engine_path,
    read_sealed,
    timing_path,
    write_sealed,
)
from acula_edge.providers.tensorrt_engine import PRECISIONS
from export.tensorrt.builder import build_plan, refusal
from export.tensorrt.check import Problem, check_graph
from export.tensorrt.errors import TensorRTError
from export.tensorrt.prepare import prepare


@dataclass(frozen=True)
class BuiltEngine:
    """An engine in the cache; `new` if it was built now, `damaged` if it replaced a damaged one."""

    path: Path
    target: Target
    new: bool
    damaged: bool = False


def check_variant(bundle: Bundle, variant: str, precision: str) -> list[Problem]:
    """What TensorRT would not take of the variant's stream graph; needs neither it nor a GPU.

    Raises:
        BundleError: no such variant, or its graph is refused.
        TensorRTError: the precision does not fit the graph.
    """
    return check_graph(prepare(bundle.graph(variant, "stream"), precision))


def build_engine(
    bundle: Bundle, variant: str, precision: str, cache: Path | None = None
) -> BuiltEngine:
    """The engine of a bundle's stream graph for this machine, built unless it is in the cache.

    Args:
        bundle: the bundle.
        variant: one of its variants.
        precision: `fp32` and `fp16` of a float32 variant, `int8` of one quantised for TensorRT.
        cache: folder of built engines; None means the user's.

    Raises:
        TensorRTError: the precision or the graph does not fit, or TensorRT cannot build it.
        MissingDependencyError: TensorRT is not installed.
        DeviceError: no NVIDIA GPU.
        BundleError: no such variant, or its graph is refused.
    """
    model = prepare(bundle.graph(variant, "stream"), precision)
    if problems := [problem for problem in check_graph(model) if problem.blocking]:
        raise TensorRTError(refusal(problems))
    target = Target.here()
    cache = cache or default_cache()
    sha256 = bundle.manifest.variant(variant).stream.sha256
    path = engine_path(cache, target, sha256, precision)
    kept, damaged = _read(path)
    if kept is not None:
        return BuiltEngine(path, target, new=False)
    timings = timing_path(cache, target)
    plan = build_plan(model.SerializeToString(), _read(timings)[0] or b"")
    try:
        write_sealed(path, plan.engine)
        if plan.timings:
            write_sealed(timings, plan.timings)
    except DamagedEngineError as error:
        raise TensorRTError(str(error)) from None
    return BuiltEngine(path, target, new=True, damaged=damaged)


def default_precision(bundle: Bundle, variant: str) -> str:
    """`int8` of a quantised variant, else `fp32`; BundleError if there is no such variant."""
    precision = bundle.manifest.variant(variant).precision
    if precision not in PRECISIONS:
        raise BundleError(f"variant '{variant}' is {precision}, which TensorRT does not take")
    return PRECISIONS[precision]


def _read(path: Path) -> tuple[bytes | None, bool]:
    """(content or None, whether there was a damaged file)."""
    try:
        return read_sealed(path), False
    except DamagedEngineError:
        return None, True
