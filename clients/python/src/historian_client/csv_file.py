"""CSV of samples: a header, RFC 4180, times as RFC 3339 in UTC, every number in the shortest form that reads back as the same one.

An empty cell is no value; a text that is empty is quoted, as nothing else need be that has no comma, quote or line end in it.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

_NEEDS_QUOTES = '[",\r\n]|^$|^\\s|\\s$'


class CsvFile:
    """A file that rows are appended to."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file = open(path, "wb")
        self._write([",".join(_quoted(pa.array(schema.names)).to_pylist())])

    def write_table(self, table: pa.Table) -> None:
        for batch in table.to_batches(max_chunksize=65_536):
            if batch.num_rows:
                columns = [text(column) for column in batch.columns]
                self._write(pc.binary_join_element_wise(*columns, ",", null_handling="replace", null_replacement="").to_pylist())

    def close(self) -> None:
        self._file.close()

    def _write(self, lines: list[str]) -> None:
        self._file.write(("\r\n".join(lines) + "\r\n").encode())


def text(column: pa.Array) -> pa.Array:
    """The cells of a column."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return text(column.dictionary).take(column.indices)
    if pa.types.is_timestamp(kind):
        moments = pc.strftime(column.cast(pa.timestamp("ns", "UTC")), format="%Y-%m-%dT%H:%M:%S")
        # As many decimals as the time needs.
        return pc.binary_join_element_wise(pc.replace_substring_regex(moments, r"\.?0*$", ""), "Z", "")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _quoted(column.cast(pa.utf8()))
    return column.cast(pa.utf8())


def _quoted(texts: pa.Array) -> pa.Array:
    doubled = pc.binary_join_element_wise('"', pc.replace_substring(texts, '"', '""'), '"', "")
    return pc.if_else(pc.match_substring_regex(texts, _NEEDS_QUOTES), doubled, texts)
