"""JSON to frozen dataclasses, strictly: no unknown or duplicate key, no coercion, no NaN."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

from acula_edge.errors import BundleError

_SCALARS: dict[Any, str] = {int: "a whole number", str: "a string", bool: "true or false"}


def parse_object(data: bytes) -> dict[str, Any]:
    """The JSON object in UTF-8 `data`; BundleError if it is anything else."""
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
        if b"\\u" in data:
            # An escape can spell half a character, which no terminal or file takes later.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise BundleError(f"is not valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise BundleError("is not a JSON object")
    return value


def decode(kind: Any, value: object, at: str = "") -> Any:
    """`value` as an instance of the annotated type `kind`; BundleError naming the key path `at`.

    Knows str, int, float, bool, Any, X | None, tuple[X, ...], Mapping[str, X] and dataclasses.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or (origin is types.UnionType and value is None):
        return value
    if origin is types.UnionType:
        return decode(arguments[0], value, at)
    if kind is float or kind in _SCALARS:
        return _scalar(kind, value, at)
    if origin is tuple:
        items = _require(isinstance(value, list), value, at, "a list")
        return tuple(decode(arguments[0], item, f"{at}[{i}]") for i, item in enumerate(items))
    fields = _require(isinstance(value, dict), value, at, "an object")
    if origin is Mapping:
        return {key: decode(arguments[1], item, _join(at, key)) for key, item in fields.items()}
    return _dataclass(kind, fields, at)


def plain(value: object) -> Any:
    """The JSON form that `decode` reads back: dataclasses as objects, tuples as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def _dataclass(kind: Any, fields: Mapping[str, object], at: str) -> Any:
    known = {field.name: field for field in dataclasses.fields(kind)}
    for key in fields:
        if key not in known:
            raise BundleError(f"unknown key '{_join(at, key)}'")
    for name, field in known.items():
        if name not in fields and field.default is dataclasses.MISSING:
            raise BundleError(f"key '{_join(at, name)}' is missing")
    hints = _hints(kind)
    return kind(**{key: decode(hints[key], item, _join(at, key)) for key, item in fields.items()})


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _scalar(kind: Any, value: object, at: str) -> Any:
    if kind is not float:
        return _require(type(value) is kind, value, at, _SCALARS[kind])
    _require(type(value) in (int, float), value, at, "a number")
    try:
        number = float(typing.cast(float, value))
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BundleError(f"'{at}' must be a finite number")
    return number


def _require(ok: bool, value: object, at: str, wanted: str) -> Any:
    if not ok:
        raise BundleError(f"'{at}' must be {wanted}, not {type(value).__name__}")
    return value


def _join(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"duplicate key '{next(k for k in keys if keys.count(k) > 1)}'")
    return found


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not a JSON number")
