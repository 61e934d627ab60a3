"""A `tensorrt` module that records what the builder asks, and computes engines on the CPU.

A "plan" is the ONNX model behind a mark; an execution context runs it with ONNX Runtime on the
addresses it was given. `test_tensorrt_build.py` holds its signatures against `stubs/tensorrt`.
"""

import ctypes
from types import ModuleType

import numpy as np
import onnxruntime as ort

MARK = b"PLAN"


class Dims:
    def __init__(self, shape):
        self._shape = tuple(shape)

    def __len__(self):
        return len(self._shape)

    def __getitem__(self, index):
        return self._shape[index]


class ILogger:
    class Severity:
        def __int__(self):
            return 1


class Logger(ILogger):
    ERROR = ILogger.Severity()

    def __init__(self, min_severity=ERROR):
        self.min_severity = min_severity


class _Flag:
    def __init__(self, value):
        self._value = value

    def __int__(self):
        return self._value


class NetworkDefinitionCreationFlag(_Flag):
    pass


class BuilderFlag(_Flag):
    pass


class MemoryPoolType(_Flag):
    pass


NetworkDefinitionCreationFlag.STRONGLY_TYPED = NetworkDefinitionCreationFlag(1)
BuilderFlag.TF32 = BuilderFlag(7)
MemoryPoolType.WORKSPACE = MemoryPoolType(0)


class IHostMemory(bytes):
    @property
    def nbytes(self):
        return len(self)


class INetworkDefinition:
    graph = b""


class ParserError:
    def __init__(self, name, operator, text):
        self._parts = (name, operator, text)

    def node_name(self):
        return self._parts[0]

    def node_operator(self):
        return self._parts[1]

    def desc(self):
        return self._parts[2]


class ITimingCache:
    def __init__(self, data):
        self.data = data

    def serialize(self):
        return IHostMemory(self.data + b"+")


class IExecutionContext:
    def __init__(self, session):
        self._session = session
        self._addresses = {}

    def set_tensor_address(self, name, memory):
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle):
        assert stream_handle, "the default stream would wait for everything else"
        feed = {v.name: self._view(v).copy() for v in self._session.get_inputs()}
        values = self._session.run(None, feed)
        for info, value in zip(self._session.get_outputs(), values, strict=True):
            self._view(info)[...] = value
        return True

    def _view(self, info):
        size = int(np.prod(info.shape))
        memory = (ctypes.c_float * size).from_address(self._addresses[info.name])
        return np.frombuffer(memory, np.float32).reshape(info.shape)


class ICudaEngine:
    def __init__(self, graph):
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._tensors = [*self._session.get_inputs(), *self._session.get_outputs()]

    @property
    def num_io_tensors(self):
        return len(self._tensors)

    def get_tensor_name(self, index):
        return self._tensors[index].name

    def get_tensor_shape(self, name):
        return Dims(next(tensor.shape for tensor in self._tensors if tensor.name == name))

    def create_execution_context(self):
        return IExecutionContext(self._session)


class Runtime:
    def __init__(self, logger):
        assert isinstance(logger, ILogger)

    def deserialize_cuda_engine(self, serialized_engine):
        data = bytes(serialized_engine)
        return ICudaEngine(data[len(MARK) :]) if data.startswith(MARK) else None


def fake_tensorrt(calls, *, version="11.4.0", refused=(), builds=True):
    """The module; `calls` receives (what, value) of everything that shapes an engine."""

    class OnnxParser:
        def __init__(self, network, logger):
            self._network = network

        def parse(self, model, path=None):
            self._network.graph = bytes(model)
            return not refused

        @property
        def num_errors(self):
            return len(refused)

        def get_error(self, index):
            return ParserError(*refused[index])

    class IBuilderConfig:
        def create_timing_cache(self, serialized_timing_cache):
            calls.append(("timings", bytes(serialized_timing_cache)))
            return ITimingCache(bytes(serialized_timing_cache))

        def set_timing_cache(self, cache, ignore_mismatch):
            assert not ignore_mismatch
            self._cache = cache
            return True

        def get_timing_cache(self):
            return self._cache

        def set_memory_pool_limit(self, pool, pool_size):
            calls.append(("workspace", pool_size))

        def clear_flag(self, flag):
            calls.append(("clear", flag))

    class Builder:
        def __init__(self, logger):
            assert isinstance(logger, ILogger)

        def create_network(self, flags=0):
            calls.append(("network", flags))
            return INetworkDefinition()

        def create_builder_config(self):
            return IBuilderConfig()

        def build_serialized_network(self, network, config):
            calls.append(("build", len(network.graph)))
            return IHostMemory(MARK + network.graph) if builds else None

    module = ModuleType("tensorrt")
    members = {k: v for k, v in globals().items() if isinstance(v, type) and k[0] != "_"}
    members |= {"OnnxParser": OnnxParser, "IBuilderConfig": IBuilderConfig, "Builder": Builder}
    for name, member in members.items():
        setattr(module, name, member)
    module.__version__ = version
    return module
