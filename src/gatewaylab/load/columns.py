"""Columns of numbers inside pydantic models: NumPy arrays in memory, plain lists in JSON."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema


def _column(value: Any, kinds: str, types: tuple[type, ...]) -> Any:
    """``value`` if it is one column of numbers; NumPy would quietly accept text, too."""
    if isinstance(value, np.ndarray):
        if value.ndim != 1 or value.dtype.kind not in kinds:
            raise ValueError(f"not a column of numbers: {value.dtype} of shape {value.shape}")
        return value
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"a column is a list, not {type(value).__name__}")  # noqa: TRY004
    for kind in set(map(type, value)):
        if kind is bool or not issubclass(kind, types):
            raise ValueError(f"a column of numbers holds a {kind.__name__}")
    return value


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()  # the caller's own array stays writeable
    view.flags.writeable = False
    return view


def _floats(value: Any) -> NDArray[np.float64]:
    value = _column(value, "fiu", (float, int, np.integer, np.floating, type(None)))
    if isinstance(value, np.ndarray):
        array = value.astype(np.float64, copy=False)
    else:
        try:
            array = np.array(value, dtype=np.float64)  # None becomes NaN
        except OverflowError as error:
            raise ValueError("a time is too large") from error
    if np.isinf(array).any():
        raise ValueError("a time is infinite; a missing time is null")
    return _frozen(array)


def _integers(value: Any) -> NDArray[np.int32]:
    value = _column(value, "iu", (int, np.integer))
    try:
        wide = np.asarray(value, dtype=np.int64)
    except OverflowError as error:
        raise ValueError("a whole number is too large") from error
    array = wide.astype(np.int32)
    if not np.array_equal(array, wide):
        raise ValueError("a whole number does not fit in 32 bits")
    return _frozen(array)


def _dump_floats(array: NDArray[np.float64]) -> list[float | None]:
    rounded = np.round(array, 6)  # a microsecond is below the instrument's own jitter
    if not np.isnan(rounded).any():
        return rounded.tolist()  # type: ignore[no-any-return]
    return [None if math.isnan(v) else v for v in rounded.tolist()]


def _dump_integers(array: NDArray[np.int32]) -> list[int]:
    return array.tolist()  # type: ignore[no-any-return]


Seconds = Annotated[
    NDArray[np.float64],
    BeforeValidator(_floats),
    PlainSerializer(_dump_floats, return_type=list, when_used="json"),
    WithJsonSchema({"type": "array", "items": {"type": ["number", "null"]}}),
]
Integers = Annotated[
    NDArray[np.int32],
    BeforeValidator(_integers),
    PlainSerializer(_dump_integers, return_type=list, when_used="json"),
    WithJsonSchema({"type": "array", "items": {"type": "integer"}}),
]
