"""A wide table as the data frame of somebody's library."""

from __future__ import annotations

import importlib
import json
from typing import Any, get_args

import pyarrow as pa

from .error import NotSupported
from .frame import TIME
from .option import Shape


def shaped(table: pa.Table, to: str) -> Any:
    if to not in get_args(Shape):
        raise ValueError(f"to: {to!r} is not known; allowed are {', '.join(get_args(Shape))}")
    if to == "arrow":
        return table
    return _pandas(table) if to == "pandas" else _package("polars").from_arrow(table)


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise NotSupported(f"frame(to={name!r}) needs {name}: pip install 'historian-client[{name}]'; or take to=\"arrow\"") from error


def _pandas(table: pa.Table) -> Any:
    pandas = _package("pandas")
    nullable = {
        pa.int64(): pandas.Int64Dtype(),
        pa.uint64(): pandas.UInt64Dtype(),
        pa.uint32(): pandas.UInt32Dtype(),
        pa.bool_(): pandas.BooleanDtype(),
        pa.utf8(): pandas.StringDtype(),
    }
    frame = table.to_pandas(types_mapper=nullable.get).set_index(TIME)
    frame.attrs["historian"] = {field.name: _about(field) for field in table.schema if field.metadata}
    return frame


def _about(field: pa.Field) -> dict[str, Any]:
    told = {key.decode(): text.decode() for key, text in field.metadata.items()}
    return told | {"stepped": json.loads(told["stepped"]), "state_set": json.loads(told["state_set"])}
