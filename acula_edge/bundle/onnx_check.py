"""Reads what matters for safety from an ONNX file's bytes, without the `onnx` package.

A walk over the protobuf wire format (https://protobuf.dev/programming-guides/encoding/): it visits
every message that can hold a tensor or an operator, wherever it is nested, and skips the rest. It
is at least as strict as the runtime's own parser, so nothing hides from it that the runtime reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from acula_edge.errors import BundleError

ALLOWED_DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})
# com.microsoft operators that read compiled code or another file.
REFUSED_OPERATORS = frozenset({"EPContext"})
# protobuf's own limit is 100; a graph inside a graph costs three levels.
MAX_DEPTH = 64
# A 2 MB model has some thousands; bounds the time a hostile file can take to about a second.
MAX_FIELDS = 500_000


@dataclass(frozen=True)
class OnnxFacts:
    """What an ONNX model needs and says. Domains are those of nodes and of local functions."""

    ir_version: int
    opsets: Mapping[str, int]
    op_domains: frozenset[str]
    op_types: frozenset[str]
    metadata: Mapping[str, str]
    external_data: bool


class _Kind(IntEnum):
    MODEL, GRAPH, NODE, ATTRIBUTE, TENSOR, SPARSE, TRAINING, FUNCTION, OPSET, ENTRY = range(10)


# Field numbers from onnx-ml.proto: the messages inside each message that are walked.
_INSIDE: Mapping[_Kind, Mapping[int, _Kind]] = {
    _Kind.MODEL: {
        7: _Kind.GRAPH,
        8: _Kind.OPSET,
        14: _Kind.ENTRY,
        20: _Kind.TRAINING,
        25: _Kind.FUNCTION,
    },
    _Kind.GRAPH: {1: _Kind.NODE, 5: _Kind.TENSOR, 15: _Kind.SPARSE},
    _Kind.NODE: {5: _Kind.ATTRIBUTE},
    _Kind.ATTRIBUTE: {
        5: _Kind.TENSOR,
        6: _Kind.GRAPH,
        10: _Kind.TENSOR,
        11: _Kind.GRAPH,
        22: _Kind.SPARSE,
        23: _Kind.SPARSE,
    },
    _Kind.SPARSE: {1: _Kind.TENSOR, 2: _Kind.TENSOR},
    _Kind.TRAINING: {1: _Kind.GRAPH, 2: _Kind.GRAPH},
    _Kind.FUNCTION: {7: _Kind.NODE, 11: _Kind.ATTRIBUTE},
    _Kind.TENSOR: {},
    _Kind.OPSET: {},
    _Kind.ENTRY: {},
}
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_NONE: Mapping[_Kind, tuple[int, ...]] = dict.fromkeys(_Kind, ())
_STRINGS: Mapping[_Kind, tuple[int, ...]] = {
    **_NONE,
    _Kind.NODE: (4, 7),
    _Kind.FUNCTION: (10,),
    _Kind.OPSET: (1,),
    _Kind.ENTRY: (1, 2),
}
_NUMBERS: Mapping[_Kind, tuple[int, ...]] = {
    **_NONE,
    _Kind.MODEL: (1,),
    _Kind.OPSET: (2,),
    _Kind.TENSOR: (14,),
}


@dataclass
class _Walk:
    data: bytes
    fields: int = 0
    ir_version: int = 0
    has_graph: bool = False
    opsets: dict[str, int] = field(default_factory=dict)
    domains: set[str] = field(default_factory=set)
    types: set[str] = field(default_factory=set)
    metadata: dict[str, str] = field(default_factory=dict)
    external: bool = False


def read_facts(data: bytes, name: str = "model.onnx") -> OnnxFacts:
    """Facts of the ModelProto in `data`; BundleError naming `name` if it is not one."""
    walk = _Walk(data)
    try:
        _run(walk)
    except BundleError as error:
        raise BundleError(f"{name}: {error}") from None
    return OnnxFacts(
        walk.ir_version,
        walk.opsets,
        frozenset(walk.domains),
        frozenset(walk.types),
        walk.metadata,
        walk.external,
    )


def check_onnx(data: bytes, name: str = "model.onnx") -> OnnxFacts:
    """`read_facts`, and BundleError for external data, unknown domains and foreign code."""
    facts = read_facts(data, name)
    if facts.external_data:
        raise BundleError(f"{name}: keeps weights in another file (external data)")
    if unknown := sorted(facts.op_domains - ALLOWED_DOMAINS):
        raise BundleError(f"{name}: uses operators of the unknown domain {unknown[0]!r}")
    if refused := sorted(facts.op_types & REFUSED_OPERATORS):
        raise BundleError(f"{name}: uses the operator {refused[0]}, which is not allowed")
    return facts


def _run(walk: _Walk) -> None:
    # onnxruntime takes this mark for its own flatbuffer format, which this walk does not see.
    if walk.data[4:8] == b"ORTM":
        raise BundleError("is in ONNX Runtime's own format, not ONNX")
    stack = [(_Kind.MODEL, 0, len(walk.data), 0)]
    while stack:
        kind, start, end, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise BundleError(f"is nested deeper than {MAX_DEPTH} levels")
        found: dict[int, list[int | str]] = {}
        children, strings, numbers = _INSIDE[kind], _STRINGS[kind], _NUMBERS[kind]
        for number, wire, low, high in _fields(walk, start, end):
            inside = children.get(number)
            if inside is not None:
                _expect(wire, _LENGTH)
                walk.has_graph |= kind is _Kind.MODEL and inside is _Kind.GRAPH
                stack.append((inside, low, high, depth + 1))
            elif number in strings:
                _expect(wire, _LENGTH)
                found.setdefault(number, []).append(_text(walk.data[low:high]))
            elif number in numbers:
                _expect(wire, _VARINT)
                found.setdefault(number, []).append(_signed(_varint(walk.data, low, high)[0]))
            elif kind is _Kind.TENSOR and number == 13:
                walk.external = True
        _note(walk, kind, found)
    if not walk.has_graph:
        raise BundleError("is not an ONNX model (it has no graph)")


def _note(walk: _Walk, kind: _Kind, found: Mapping[int, list[int | str]]) -> None:
    def last(number: int, default: int | str) -> int | str:
        return found[number][-1] if number in found else default

    if kind is _Kind.NODE:
        # Every value counts, though a parser keeps the last: a second one is a disguise.
        walk.types.update(str(value) for value in found.get(4, [""]))
        walk.domains.update(str(value) for value in found.get(7, [""]))
    elif kind is _Kind.FUNCTION:
        walk.domains.update(str(value) for value in found.get(10, [""]))
    elif kind is _Kind.OPSET:
        domain = str(last(1, ""))
        if domain in walk.opsets:
            raise BundleError(f"imports the operators of {domain!r} twice")
        walk.opsets[domain] = int(last(2, 0))
    elif kind is _Kind.ENTRY:
        key = str(last(1, ""))
        if key in walk.metadata:
            raise BundleError(f"has the metadata key {key!r} twice")
        walk.metadata[key] = str(last(2, ""))
    elif kind is _Kind.MODEL:
        walk.ir_version = int(last(1, 0))
    elif kind is _Kind.TENSOR:
        walk.external |= any(value != 0 for value in found.get(14, []))


def _fields(walk: _Walk, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, start and end of the value of each field in `data[at:end]`."""
    data = walk.data
    while at < end:
        walk.fields += 1
        if walk.fields > MAX_FIELDS:
            raise BundleError(f"has more than {MAX_FIELDS} fields")
        # Nearly all tags and lengths are one byte: a call for each would double the time.
        tag, at = (data[at], at + 1) if data[at] < 0x80 else _varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        low = at
        if wire == _VARINT:
            _, at = _varint(data, at, end)
        elif wire == _LENGTH:
            short = at < end and data[at] < 0x80
            length, low = (data[at], at + 1) if short else _varint(data, at, end)
            at = low + length
        elif wire in _FIXED_BYTES:
            at += _FIXED_BYTES[wire]
        else:
            raise BundleError("is not a valid protobuf (unknown wire type)")
        if number == 0 or tag > 0xFFFFFFFF:
            raise BundleError("is not a valid protobuf (impossible field number)")
        if at > end:
            raise BundleError("is cut short or not a valid protobuf")
        yield number, wire, low, at


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise BundleError("is cut short or not a valid protobuf")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise BundleError("is not a valid protobuf (endless number)")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise BundleError("holds text that is not UTF-8") from None


def _expect(wire: int, wanted: int) -> None:
    if wire != wanted:
        raise BundleError("is not a valid ONNX protobuf (a field has the wrong type)")
