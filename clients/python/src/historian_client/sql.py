"""Statements of Flight SQL. Values are bound, never put into the text."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.flight as flight

from .cancellation import table_of
from .error import translating
from .time import nanoseconds_of
from .wire import field, fields, of_any, sql_message


def query(client: flight.FlightClient, statement: str, parameters: Sequence[Any] | None, options: flight.FlightCallOptions) -> pa.Table:
    """The answer to a statement, with values for its `?` or `$1`, `$2`, …"""
    if parameters is None:
        with translating():
            return _answer(client, sql_message("CommandStatementQuery", field(1, statement.encode())), options)
    bound = row(parameters)
    with translating():
        request = sql_message("ActionCreatePreparedStatementRequest", field(1, statement.encode()))
        (created,) = client.do_action(flight.Action("CreatePreparedStatement", request), options)
        handle = of_any(created.body.to_pybytes()).get(1, b"")
        try:
            asked = _bind(client, handle, bound, options) if bound.num_columns else handle
            return _answer(client, _prepared(asked), options)
        finally:
            # One that stays is forgotten by the historian when it was not used for a while.
            with contextlib.suppress(pa.ArrowException, OSError):
                list(client.do_action(flight.Action("ClosePreparedStatement", sql_message("ActionClosePreparedStatementRequest", field(1, handle))), options))


def row(parameters: Sequence[Any]) -> pa.RecordBatch:
    """Values as the one row that is bound."""
    if isinstance(parameters, (str, bytes, Mapping)) or not hasattr(parameters, "__iter__"):
        raise TypeError("parameters: give a list or tuple with a value for each ? or $1, $2, … of the statement")
    arrays = [_array(value, f"parameters[{place}]") for place, value in enumerate(parameters)]
    return pa.RecordBatch.from_arrays(arrays, names=[f"${place + 1}" for place in range(len(arrays))])


def _bind(client: flight.FlightClient, handle: bytes, bound: pa.RecordBatch, options: flight.FlightCallOptions) -> bytes:
    """The handle with what is bound."""
    writer, reader = client.do_put(flight.FlightDescriptor.for_command(_prepared(handle)), bound.schema, options)
    with writer:
        writer.write_batch(bound)
        writer.done_writing()
        said = reader.read()
    # An older protocol binds to the handle itself and says nothing.
    return handle if said is None else dict(fields(said.to_pybytes())).get(1, handle)


def _prepared(handle: bytes) -> bytes:
    return sql_message("CommandPreparedStatementQuery", field(1, handle))


def _answer(client: flight.FlightClient, command: bytes, options: flight.FlightCallOptions) -> pa.Table:
    info = client.get_flight_info(flight.FlightDescriptor.for_command(command), options)
    parts = [table_of(client.do_get(endpoint.ticket, options)) for endpoint in info.endpoints]
    return pa.concat_tables(parts) if parts else info.schema.empty_table()


def _array(value: Any, name: str) -> pa.Array:
    if isinstance(value, pa.Scalar):
        return _moment(value, name) if pa.types.is_timestamp(value.type) else pa.array([value])
    if isinstance(value, dt.datetime) or getattr(getattr(value, "dtype", None), "kind", "") == "M":
        return _moment(value, name)
    if hasattr(value, "dtype") and hasattr(value, "item"):
        value = value.item()  # of numpy
    try:
        array = pa.array([value], pa.uint64()) if isinstance(value, int) and value >= 2**63 else pa.array([value])
    except (pa.ArrowException, OverflowError) as error:
        raise TypeError(f"{name}: {value!r} cannot be bound: {error}") from error
    if pa.types.is_nested(array.type):
        raise TypeError(f"{name}: {value!r} is no single value; write a ? for each")
    return array


def _moment(value: Any, name: str) -> pa.Array:
    """To the nanosecond; without a zone it is UTC, as everywhere."""
    return pa.array([nanoseconds_of(value, name)], pa.int64()).cast(pa.timestamp("ns", "UTC"))
