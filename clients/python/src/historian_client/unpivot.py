"""A wide frame into samples: the inverse of `frame`. Everything is looked at before the first sample is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

import pyarrow as pa
import pyarrow.compute as pc

from .frame import QUALITY, TIME
from .grid import zone_of
from .option import Missing
from .preview import labels
from .table import as_table

BAD = 0x80000000
_UTC = pa.timestamp("ns", "UTC")


@dataclasses.dataclass
class Series:
    """Samples of one tag."""

    tag: str
    times: pa.Array
    values: pa.Array
    qualities: pa.Array

    def batches(self, rows_max: int) -> Iterator[pa.RecordBatch]:
        for start in range(0, len(self.times), rows_max):
            part = slice(start, start + rows_max)
            times = self.times[part]
            tags = pa.DictionaryArray.from_arrays(pa.array([0] * len(times), pa.int32()), pa.array([self.tag]))
            yield pa.RecordBatch.from_arrays([tags, times, self.values[part], self.qualities[part]], schema=self.schema)

    @property
    def schema(self) -> pa.Schema:
        types = {"tag": pa.dictionary(pa.int32(), pa.utf8()), "timestamp": _UTC, "value": self.values.type, "quality": pa.uint32()}
        return pa.schema(list(types.items()))


def columns_of(data: Any, zone: str | None) -> tuple[pa.Array, dict[str, pa.Array]]:
    """The times in UTC, and the other columns by name."""
    if zone is not None:
        zone_of(zone)
    table = _table(data)
    names = table.column_names
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"data: the column {name!r} is there twice")
    if TIME not in names:
        raise ValueError(f"data: there are no times: give a pandas frame with an index of times, or a column {TIME!r}")
    times = _instants(table.column(TIME).combine_chunks(), zone)
    return times, {name: _one(table.column(name)) for name in names if name != TIME}


def tags_of(columns: Iterable[str]) -> list[str]:
    """The columns that are tags; those that say a quality must stand beside one."""
    names = list(columns)
    tags = [name for name in names if not name.endswith(QUALITY)]
    for name in names:
        if name.endswith(QUALITY) and name.removesuffix(QUALITY) not in tags:
            raise ValueError(f"data: the column {name!r} says the quality of {name.removesuffix(QUALITY)!r}, and that is no column")
    return tags


def series(times: pa.Array, columns: Mapping[str, pa.Array], tag: str, about: Mapping[str, Any] | None, nan: str) -> Series:
    """The samples of one column. `about` is what the catalog says of the tag; None where it is yet to be made."""
    values = _values(columns[tag], tag, about)
    missing = pc.is_null(values, nan_is_null=True)
    qualities = columns.get(tag + QUALITY)
    if qualities is None:
        qualities = pa.nulls(len(times), pa.uint32())
    elif not pa.types.is_integer(qualities.type) and not pa.types.is_null(qualities.type):
        raise ValueError(f"data: the column {tag + QUALITY!r} has the type {qualities.type}; qualities are OPC UA status codes, as `frame` gives them")
    qualities = qualities.cast(pa.uint32())
    # A value that is missing under a quality that is not Good is a sample all the same.
    untold = pc.and_(missing, pc.fill_null(pc.less(qualities, pa.scalar(1 << 30, pa.uint32())), True))
    if nan == "raise" and pc.any(untold).as_py():
        first = times.filter(untold)[0]
        raise ValueError(f'data: {tag!r} has {pc.sum(untold).as_py():,} missing values, the first at {first}; say nan="drop" or nan="bad"')
    if nan == "bad":
        qualities = pc.if_else(untold, pa.scalar(BAD, pa.uint32()), qualities)
    values = pc.if_else(missing, pa.scalar(None, values.type), values)
    qualities = pc.fill_null(qualities, pa.scalar(0, pa.uint32()))
    if nan == "bad":
        return Series(tag, times, values, qualities)
    keep = pc.invert(untold)
    return Series(tag, times.filter(keep), values.filter(keep), qualities.filter(keep))


def checked(nan: str) -> str:
    if nan not in get_args(Missing):
        raise ValueError(f"nan: {nan!r} is not known; allowed are {', '.join(get_args(Missing))}")
    return nan


def _table(data: Any) -> pa.Table:
    if type(data).__module__.split(".")[0] != "pandas" or not hasattr(data, "columns"):
        return as_table(data)
    strange = next((name for name in data.columns if not isinstance(name, str)), None)
    if strange is not None:
        raise ValueError(f"data: the column {strange!r} is no name of a tag")
    duplicated = data.columns[data.columns.duplicated()]
    if len(duplicated):
        raise ValueError(f"data: the column {duplicated[0]!r} is there twice")
    if TIME not in data.columns and data.index.dtype.kind == "M":
        data = data.rename_axis(index=TIME).reset_index()
    columns = {}
    for name in data.columns:
        try:
            columns[name] = pa.array(data[name], from_pandas=True)
        except (pa.ArrowException, TypeError, OverflowError) as error:
            raise ValueError(f"data: the column {name!r} has values of several types, or of one that no tag has: {error}") from error
    return pa.table({name: column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column]) for name, column in columns.items()})


def _one(column: pa.ChunkedArray) -> pa.Array:
    column = column.combine_chunks()
    array = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        # Not `dictionary_decode`: the texts of polars are views, which cannot be taken from.
        array = array.dictionary.cast(pa.utf8()).take(array.indices) if _is_text(array.type.value_type) else array.dictionary_decode()
    return array.cast(pa.utf8()) if _is_text(array.type) else array


def _is_text(kind: pa.DataType) -> bool:
    return kind in (pa.utf8(), pa.large_utf8(), pa.string_view())


def _instants(times: Any, zone: str | None) -> pa.Array:
    if isinstance(times, pa.ChunkedArray):
        times = times.chunk(0)
    if not pa.types.is_timestamp(times.type):
        raise ValueError(f"data: the times have the type {times.type}; give timestamps (of any unit)")
    if times.null_count:
        raise ValueError(f"data: row {pc.index(pc.is_null(times), True).as_py()} has no time")
    if times.type.tz is None:
        if zone is None:
            raise ValueError('data: the times have no zone; say which they are in, zone="UTC" or zone="Europe/Berlin"')
        try:
            times = pc.assume_timezone(times, zone)
        except pa.ArrowInvalid as error:
            raise ValueError(f"data: a time occurs twice or never in {zone}, where the clocks change; give times with a zone ({error})") from error
    try:
        times = times.cast(_UTC)
    except pa.ArrowInvalid as error:
        raise ValueError(f"data: a time lies outside the years 1677 to 2262 ({error})") from error
    if pc.count_distinct(times).as_py() < len(times):
        order = pc.sort_indices(times)
        ordered = times.take(order)
        place = pc.index(pc.equal(ordered[1:], ordered[:-1]), True).as_py()
        rows = sorted((order[place].as_py(), order[place + 1].as_py()))
        raise ValueError(f"data: the time {ordered[place]} is there twice, in the rows {rows[0]} and {rows[1]}; a tag has one sample at a time")
    return times


def _values(values: pa.Array, tag: str, about: Mapping[str, Any] | None) -> pa.Array:
    if pa.types.is_null(values.type):
        return values.cast(pa.float64())
    if about is None or about["value_type"] != "state" or not pa.types.is_string(values.type):
        return values
    names = labels(about["state_set"])
    numbers = {name: number for number, name in enumerate(names)}
    for name in pc.unique(values).drop_null().to_pylist():
        if name in numbers:
            continue
        if not (name.isascii() and name.isdecimal() and int(name) < 2**32):
            raise ValueError(f"data: {name!r} is no state of {tag!r}; it has {', '.join(names) or 'no names'}")
        numbers[name] = int(name)
    known = list(numbers)
    places = pc.index_in(values, pa.array(known, values.type))
    return pa.array(list(numbers.values()), pa.uint32()).take(places)


def streams(series: Iterable[Series], rows_max: int) -> Iterator[tuple[pa.RecordBatchReader, int]]:
    """One stream for each type of values, and how many rows it has: what is sent has one type, and integers must not become floats on the way."""
    by_type: dict[pa.DataType, list[Series]] = {}
    for one in series:
        if len(one.times):
            by_type.setdefault(one.values.type, []).append(one)
    for group in by_type.values():
        batches = (batch for one in group for batch in one.batches(rows_max))
        yield pa.RecordBatchReader.from_batches(group[0].schema, batches), sum(len(one.times) for one in group)
