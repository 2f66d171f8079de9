"""What people have as a table, as an Arrow table."""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def as_table(data: Any) -> pa.Table:
    """An Arrow table, batch or reader, a data frame of pandas (without its index) or polars, a mapping of columns, or what else speaks Arrow."""
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if isinstance(data, pa.RecordBatchReader):
        return data.read_all()
    if type(data).__module__.split(".")[0] == "pandas":
        return pa.Table.from_pandas(data, preserve_index=False)
    try:
        return pa.table(data)
    except TypeError as error:
        raise TypeError(f"{type(data).__name__} is no table: give an Arrow table, batch or reader, or a data frame") from error
