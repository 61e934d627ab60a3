"""Writes a quantised .tflite: tensors, constants and operators over the schema of `tflite-micro`.

The schema's Python classes come with that package and are not copied here, so it is needed where
a model is exported, and only there.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import MissingDependencyError
from firmware_bridge.model import Floats, Int8s, Int32s, Scale

ALIGNMENT = 16
"""Bytes; what the schema asks of a buffer. CPUs that fault on unaligned loads rely on it."""
IDENTIFIER = b"TFL3"
VERSION = 3
VERSIONS = {"ADD": 2, "AVERAGE_POOL_2D": 2, "CONV_2D": 3, "PAD": 2}
"""First version of an operator that takes int8, the convolution's per channel."""
_SCHEMA = "tflite_micro.tensorflow.lite.micro.python.schema_py_generated"


class TfliteWriter:
    """One graph under construction. Tensors are known by the index that the methods return.

    Raises:
        MissingDependencyError: `tflite-micro` is not installed.
    """

    def __init__(self) -> None:
        try:
            self.schema: Any = import_module(_SCHEMA)
        except ImportError:
            raise MissingDependencyError(
                "a .tflite needs the schema in tflite-micro: pip install tflite-micro"
            ) from None
        self._model = self.schema.ModelT()
        self._model.version = VERSION
        self._model.operatorCodes = []
        self._model.buffers = [self.schema.BufferT()]  # buffer 0 is the empty one, by convention
        self._graph = self.schema.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []
        self._codes: dict[str, int] = {}

    def activation(self, name: str, shape: Sequence[int], scale: Scale) -> int:
        """An int8 tensor that an operator writes, or the graph's input."""
        quantisation = self._quantisation(np.array([scale.scale], np.float32), scale.zero)
        return self._tensor(name, shape, "INT8", 0, quantisation)

    def weight(self, name: str, codes: Int8s, scales: Floats) -> int:
        """Constant int8 codes, one scale per index of the first axis, zero points 0."""
        quantisation = self._quantisation(scales)
        return self._tensor(name, codes.shape, "INT8", self._buffer(codes), quantisation)

    def bias(self, name: str, codes: Int32s, scales: Floats) -> int:
        """Constant int32 codes (channels,) in units of the accumulators, `scales`."""
        quantisation = self._quantisation(scales)
        return self._tensor(name, codes.shape, "INT32", self._buffer(codes), quantisation)

    def integers(self, name: str, values: Int32s) -> int:
        """Constant int32 numbers, such as paddings."""
        return self._tensor(name, values.shape, "INT32", self._buffer(values), None)

    def operator(
        self, kind: str, inputs: Sequence[int], output: int, options: str, **attributes: Any
    ) -> int:
        """Append the built-in operator `kind` with its options' class and fields; its output."""
        operator = self.schema.OperatorT()
        operator.opcodeIndex = self._opcode(kind)
        operator.inputs, operator.outputs = list(inputs), [output]
        operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(self.schema, f"{options}T")()
        for field, value in attributes.items():
            setattr(operator.builtinOptions, field, value)
        self._graph.operators.append(operator)
        return output

    def to_bytes(self, inputs: Sequence[int], outputs: Sequence[int], description: str) -> bytes:
        """The finished file."""
        flatbuffers: Any = import_module("flatbuffers")
        self._graph.inputs, self._graph.outputs = list(inputs), list(outputs)
        self._model.subgraphs, self._model.description = [self._graph], description
        builder = flatbuffers.Builder(1024)
        builder.Finish(self._model.Pack(builder), IDENTIFIER)
        return bytes(builder.Output())

    def _opcode(self, kind: str) -> int:
        if kind not in self._codes:
            code = self.schema.OperatorCodeT()
            code.builtinCode = getattr(self.schema.BuiltinOperator, kind)
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)  # for readers before 2020
            code.version = VERSIONS[kind]
            self._codes[kind] = len(self._codes)
            self._model.operatorCodes.append(code)
        return self._codes[kind]

    def _tensor(
        self, name: str, shape: Sequence[int], kind: str, buffer: int, quantisation: Any
    ) -> int:
        tensor = self.schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, list(shape), buffer
        tensor.type = getattr(self.schema.TensorType, kind)
        tensor.quantization = quantisation
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _quantisation(self, scales: Floats, zero: int = 0) -> Any:
        quantisation = self.schema.QuantizationParametersT()
        quantisation.scale = [float(scale) for scale in scales]
        quantisation.zeroPoint = [zero] * len(scales)
        return quantisation

    def _buffer(self, values: NDArray[Any]) -> int:
        little = values.astype(values.dtype.newbyteorder("<"))
        self._model.buffers.append(_aligned_buffer(self.schema, little.tobytes()))
        return len(self._model.buffers) - 1


def _aligned_buffer(schema: Any, data: bytes) -> Any:
    """A BufferT whose bytes start at a multiple of `ALIGNMENT`, which the schema's own forgets."""

    class AlignedBuffer(schema.BufferT):  # type: ignore[misc]
        def Pack(self, builder: Any) -> Any:  # noqa: N802 - the schema's name
            builder.StartVector(1, len(data), ALIGNMENT)
            builder.head -= len(data)
            builder.Bytes[builder.head : builder.head + len(data)] = data
            vector = builder.EndVector()
            schema.BufferStart(builder)
            schema.BufferAddData(builder, vector)
            return schema.BufferEnd(builder)

    return AlignedBuffer()
