"""As-of joins: rows with times go out by DoExchange, and what each tag was then comes back.

Only the times travel: the other columns stay here, so they may be of any type and have any name.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.flight as flight

from .cancellation import watched
from .command import Command
from .error import HistorianError, in_servers_words, translating
from .table import as_table

BATCH_ROWS = 65_536
_TIMESTAMP = "timestamp"


def as_of(client: flight.FlightClient, command: Command, rows: Any, on: str, options: flight.FlightCallOptions) -> pa.Table:
    rows = as_table(rows)
    times = _times(rows, on)
    with translating():
        writer, reader = client.do_exchange(flight.FlightDescriptor.for_command(command.encoded()), options)
        answer = _exchange(writer, watched(reader), times)
    if answer.num_rows != rows.num_rows:
        raise HistorianError(f"the historian answered {answer.num_rows} rows for {rows.num_rows}")
    taken = set(rows.column_names)
    for field in answer.schema:
        if field.name == _TIMESTAMP:
            continue
        if field.name in taken:
            raise ValueError(f"rows: the column {field.name!r} has the name of one that is to be added for a tag; rename it")
        rows = rows.append_column(field, answer.column(field.name))
    return rows


def _times(rows: pa.Table, on: str) -> pa.Table:
    """The column of times alone, under the name that the historian knows."""
    places = rows.schema.get_all_field_indices(on)
    if len(places) != 1:
        found = "is missing" if not places else "occurs twice"
        raise ValueError(f"on: the column {on!r} {found}; there are {', '.join(map(repr, rows.column_names)) or 'none'}")
    column = rows.column(places[0])
    if not pa.types.is_timestamp(column.type):
        raise ValueError(f"on: the column {on!r} has the type {column.type}; times must be timestamps (of any unit; without a zone they are UTC)")
    return pa.table({_TIMESTAMP: column})


def _exchange(writer: flight.FlightStreamWriter, reader: flight.FlightStreamReader, times: pa.Table) -> pa.Table:
    """Rows out and their answers in, by turns.

    The historian answers each batch before it takes the next, and takes no more from a client that reads nothing. Writing and reading at the
    same time would save the way there and back, but a call that is refused meanwhile was seen to hang within pyarrow.
    """
    answers: list[pa.RecordBatch] = []
    try:
        writer.begin(times.schema)
        for batch in times.to_batches(max_chunksize=BATCH_ROWS):
            writer.write_batch(batch)
            rows = 0
            while rows < batch.num_rows:
                answers.append(_next(reader))
                rows += answers[-1].num_rows
        writer.done_writing()
        schema = reader.schema
        # The answer is whole when the call has ended well.
        try:
            while True:
                answers.append(reader.read_chunk().data)
        except StopIteration:
            pass
        writer.close()
    except (pa.ArrowException, OSError) as error:
        raise _told(writer, error) from None
    except BaseException:
        reader.cancel()
        raise
    return pa.Table.from_batches(answers, schema)


def _next(reader: flight.FlightStreamReader) -> pa.RecordBatch:
    try:
        return reader.read_chunk().data
    except StopIteration:
        raise flight.FlightServerError("the historian ended the answer before its end; look at its log") from None


def _told(writer: flight.FlightStreamWriter, error: Exception) -> Exception:
    """A broken stream may only say that it is one. Why is told when it is closed."""
    try:
        writer.close()
    except (pa.ArrowException, OSError) as said:
        return error if in_servers_words(error) or not in_servers_words(said) else said
    return error
