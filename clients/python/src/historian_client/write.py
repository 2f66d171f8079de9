"""Writing: batches go out while acknowledgements come in; what is acknowledged is as durable as asked."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.flight as flight

from .command import Command
from .error import HistorianError, WriteFailed, in_servers_words, translated
from .progress import Reporter
from .table import as_table

# Batches that wait for their acknowledgement; the historian itself takes 64.
IN_FLIGHT = 16
BATCH_ROWS = 65_536
_NEEDED = ("tag", "timestamp", "value")


@dataclasses.dataclass
class WriteResult:
    """What was taken. Every write up to `watermark` is durable."""

    watermark: int = 0
    samples: int = 0
    rejected: int = 0
    """Single samples that were not taken, such as those far in the future."""
    rejections: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """The first of them, as {"tag", "timestamp", "reason"}."""

    def add(self, other: WriteResult) -> None:
        """Counts another write as well."""
        self.watermark = max(self.watermark, other.watermark)
        self.samples += other.samples
        self.rejected += other.rejected
        self.rejections.extend(other.rejections[: max(0, 100 - len(self.rejections))])

    def _add(self, acknowledgement: dict[str, Any]) -> None:
        self.watermark = max(self.watermark, int(acknowledgement["watermark"]))
        self.samples += int(acknowledgement["samples"])
        self.rejected += int(acknowledgement.get("rejected", 0))
        # Integers of 64 bits are text in JSON.
        shown = [{**one, "timestamp": int(one["timestamp"])} for one in acknowledgement.get("rejections", [])]
        self.rejections.extend(shown[: max(0, 100 - len(self.rejections))])


def write(
    client: flight.FlightClient, command: Command, data: Any, options: flight.FlightCallOptions, reporter: Reporter, rows: int | None = None
) -> WriteResult:
    """Writes; `rows` is how many they are, where `data` cannot tell."""
    schema, batches, counted = _batches(data)
    rows = counted if counted is not None else rows
    result = WriteResult()
    descriptor = flight.FlightDescriptor.for_command(command.encoded())
    try:
        writer, reader = client.do_put(descriptor, schema, options)
    except (pa.ArrowException, OSError) as error:
        raise _failed(error, result) from error
    waiting = 0
    try:
        for batch in _sourced(batches):
            while waiting >= IN_FLIGHT:
                _acknowledged(reader, result)
                waiting -= 1
            writer.write_batch(batch)
            waiting += 1
            reporter.show(result.samples + result.rejected, rows)
        writer.done_writing()
        while waiting:
            _acknowledged(reader, result)
            waiting -= 1
            reporter.show(result.samples + result.rejected, rows)
        while reader.read() is not None:
            pass
        writer.close()
        reporter.show(result.samples + result.rejected, rows, last=True)
    except _SourceFailed as failed:
        raise _without_source(writer, reader, waiting, failed.error, result) from failed.error
    except (pa.ArrowException, OSError) as error:
        raise _failed(_server_said(writer, reader, error, result), result) from error
    finally:
        reporter.end()
    return result


class _SourceFailed(Exception):
    """What the samples come from failed, not the historian."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _sourced(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    while True:
        try:
            batch = next(batches, None)
        except Exception as error:
            raise _SourceFailed(error) from error
        if batch is None:
            return
        yield batch


def _without_source(
    writer: flight.FlightStreamWriter, reader: flight.FlightMetadataReader, waiting: int, error: Exception, result: WriteResult
) -> BaseException:
    """Ends the write with what was sent; else both sides would wait for each other."""
    try:
        writer.done_writing()
        for _ in range(waiting):
            _acknowledged(reader, result)
        writer.close()
    except (pa.ArrowException, OSError) as said:
        return _failed(_server_said(writer, reader, said, result), result)
    if result.samples == 0:
        return error
    return WriteFailed(f"what the samples come from failed: {error} ({result.samples} samples before it are durable)", result)


def _acknowledged(reader: flight.FlightMetadataReader, result: WriteResult) -> None:
    metadata = reader.read()
    if metadata is None:
        raise flight.FlightServerError("the historian ended the write without an answer; look at its log")
    result._add(json.loads(metadata.to_pybytes()))


def _server_said(
    writer: flight.FlightStreamWriter, reader: flight.FlightMetadataReader, error: BaseException, result: WriteResult
) -> BaseException:
    """A writer only learns that the stream is closed. Why is told at the end of the acknowledgements, or when the stream is closed."""
    try:
        while (metadata := reader.read()) is not None:
            result._add(json.loads(metadata.to_pybytes()))
    except (pa.ArrowException, OSError) as said:
        error = said if in_servers_words(said) else error
    try:
        writer.close()
    except (pa.ArrowException, OSError) as said:
        error = said if in_servers_words(said) else error
    return error


def _failed(error: BaseException, result: WriteResult) -> BaseException:
    ours = translated(error)
    if ours is None:
        return HistorianError(str(error)) if result.samples == 0 else WriteFailed(str(error), result)
    # A refusal of the first batch is plainly what it is; later, what was taken matters.
    return ours if result.samples == 0 else WriteFailed(f"{ours} ({result.samples} samples before it are durable)", result, ours.code)


def _batches(data: Any) -> tuple[pa.Schema, Iterator[pa.RecordBatch], int | None]:
    """Schema, batches of bounded size, and how many rows there are where that is known."""
    rows = None
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    elif not isinstance(data, (pa.Table, pa.RecordBatchReader)):
        data = as_table(data)
    if isinstance(data, pa.Table):
        rows = data.num_rows
    missing = [name for name in _NEEDED if name not in data.schema.names]
    if missing:
        raise ValueError(f"there is no column {missing[0]}; needed are {', '.join(_NEEDED)}, and quality where not all is Good")
    target = pa.schema([pa.field(name, _wire(name, data.schema.field(name).type)) for name in data.schema.names if name in (*_NEEDED, "quality")])
    if isinstance(data, pa.Table):
        # One dictionary of tag names for all batches.
        parts = iter(data.select(target.names).cast(target).unify_dictionaries().to_batches(max_chunksize=BATCH_ROWS))
    else:
        parts = _portions(data, target)
    first = next(parts, None)

    def batches() -> Iterator[pa.RecordBatch]:
        # Also nothing is written, so that a wrong schema is told.
        yield first if first is not None else pa.RecordBatch.from_pylist([], schema=target)
        yield from parts

    return target, batches(), rows


def _portions(reader: pa.RecordBatchReader, target: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in reader:
        yield from pa.Table.from_batches([batch]).select(target.names).cast(target).to_batches(max_chunksize=BATCH_ROWS)


def _wire(name: str, kind: pa.DataType) -> pa.DataType:
    """The type a column is sent in."""
    if name == "quality" and pa.types.is_integer(kind):
        return pa.uint32()
    if name == "timestamp" and pa.types.is_timestamp(kind):
        # The same instants; the historian takes no other zone.
        return pa.timestamp(kind.unit, "UTC")
    if name == "tag" and pa.types.is_dictionary(kind):
        return pa.dictionary(pa.int32(), pa.utf8())
    if name == "value" and pa.types.is_dictionary(kind):
        return kind.value_type
    return kind
