"""One code path for TensorRT 10 and 11: a strongly typed network, no precision flags."""

from __future__ import annotations

from dataclasses import dataclass

from acula_edge.providers.engine_cache import require_tensorrt
from export.tensorrt.check import Problem
from export.tensorrt.errors import TensorRTError

WORKSPACE = 256 << 20  # bytes; the graphs here need a few MiB


@dataclass(frozen=True)
class Plan:
    """A serialised engine, and what the builder measured on the way, to be faster next time."""

    engine: bytes
    timings: bytes


def build_plan(graph: bytes, timings: bytes = b"") -> Plan:
    """Build an engine of a prepared ONNX graph for the GPU of this machine.

    Args:
        graph: a `prepare`d model, fixed shapes.
        timings: the timing cache of an earlier build for the same GPU and TensorRT, or nothing.

    Raises:
        MissingDependencyError: TensorRT is not installed.
        TensorRTError: its parser refuses nodes (named in the text), or no engine can be built.
    """
    require_tensorrt()
    import tensorrt as trt  # noqa: PLC0415 - an extra that few machines have

    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    # TensorRT 11 ignores the flag: there, every network is strongly typed.
    typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(typed)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        refused = [parser.get_error(index) for index in range(parser.num_errors)]
        raise TensorRTError(
            refusal([Problem(e.node_name(), e.node_operator(), e.desc()) for e in refused])
        )
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # fp32 means 24 bits of mantissa, not 11
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    cache = config.create_timing_cache(timings) or config.create_timing_cache(b"")
    if cache is not None:
        config.set_timing_cache(cache, ignore_mismatch=False)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise TensorRTError("TensorRT cannot build the engine; its log above says why")
    measured = config.get_timing_cache()
    return Plan(bytes(engine), b"" if measured is None else bytes(measured.serialize()))


def refusal(problems: list[Problem]) -> str:
    """One sentence that names what TensorRT refuses."""
    first = "; ".join(str(problem) for problem in problems[:3]) or "no reason given"
    rest = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
    return f"TensorRT does not take this graph: {first}{rest}"
