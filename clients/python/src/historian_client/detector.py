"""The list of detectors as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from .rpc import Rpc

_SCHEMA = pa.schema([(name, pa.utf8()) for name in ("detector", "description", "parameter", "unit", "default", "allowed", "meaning")])


def detectors(rpc: Rpc) -> pa.Table:
    answer = rpc.call("QueryService/ListDetectors")
    return pa.Table.from_pylist(list(_rows(answer["detectors"])), schema=_SCHEMA)


def _rows(detectors: list[dict[str, Any]]) -> Iterator[dict[str, str | None]]:
    for detector in detectors:
        about = {"detector": detector["name"], "description": detector["description"]}
        for parameter in detector["parameters"]:
            told = {"parameter": parameter["name"], "meaning": parameter["description"], "unit": parameter["unit"], "allowed": parameter["allowed"]}
            yield about | told | {"default": parameter["default_value"] or None}
