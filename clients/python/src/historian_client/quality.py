"""Qualities: an OPC UA status code is kept whole as uint32; its top two bits say Good, Uncertain or Bad."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

GOOD = 0
UNCERTAIN = 1
BAD = 2


def severity(quality: pa.Array | pa.ChunkedArray | pa.Scalar) -> pa.Array | pa.ChunkedArray | pa.Scalar:
    """GOOD, UNCERTAIN or BAD for each status code."""
    top = pc.shift_right(quality, pa.scalar(30, pa.uint32()))
    return pc.min_element_wise(top, pa.scalar(BAD, pa.uint32()))


def only_good(table: pa.Table, column: str = "quality") -> pa.Table:
    """The rows whose quality is Good."""
    return table.filter(pc.equal(severity(table[column]), GOOD))


def not_bad(table: pa.Table, column: str = "quality") -> pa.Table:
    """The rows whose quality is Good or Uncertain."""
    return table.filter(pc.less(severity(table[column]), BAD))
