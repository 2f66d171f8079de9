"""What the cases of this folder share: the historian they speak with, samples going in and coming out, refusals, and Protocol Buffers by hand.

The tests in Rust start the historian and tell the rest by environment variables:

  HISTORIAN_ADDRESS  host:port of gRPC and Flight
  HISTORIAN_PID      its process
  HISTORIAN_BINARY   the program
  HISTORIAN_PHASE    which of its phases a file that has some is in

By hand: start a historian, and `HISTORIAN_ADDRESS=127.0.0.1:8815 python -m pytest tests/peers/test_kpi.py`.
"""

import json
import os
import pathlib

import grpc
import pyarrow as pa
import pyarrow.flight as flight
import pytest

ROOT = pathlib.Path(__file__).parents[2]
PROTOS = ROOT / "proto"
# Collected without a historian, cases only have to be importable.
ADDRESS = os.environ.get("HISTORIAN_ADDRESS", "127.0.0.1:1")
URI = f"grpc://{ADDRESS}"
PHASE = os.environ.get("HISTORIAN_PHASE", "")

START = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
SECOND = 1_000_000_000
NS = pa.timestamp("ns", "UTC")

UNCERTAIN, BAD = 0x4000_0000, 0x8000_0000
BAD_SENSOR_FAILURE = 0x808C_0000
BAD_NO_COMMUNICATION = 0x8031_0000
# Statuses of OPC UA Part 13 by their names, and the bits that tell how a value of an aggregate was made.
STATUSES = {"Good": 0x0000_0000, "Uncertain": 0x4000_0000, "UncertainDataSubNormal": 0x40A4_0000, "Bad": 0x8000_0000, "BadNoData": 0x809B_0000}
INFO_BITS = {"Calculated": 1, "Interpolated": 2, "Partial": 4, "ExtraData": 8, "MultipleValues": 16}
INFO_TYPE = 0x400

# Neither connects before the first call.
client = flight.connect(URI)
channel = grpc.insecure_channel(ADDRESS)


def connect():
    """A client of its own, with a connection of its own."""
    return flight.connect(URI)


# Samples.


def batch(tags, times, values, qualities=None):
    """Rows of samples. `tags` is one name for all rows, or one of each; `times` are nanoseconds since 1970, or an array of timestamps."""
    columns = {
        "tag": tags if isinstance(tags, pa.Array) else pa.array([tags] * len(times) if isinstance(tags, str) else tags),
        "timestamp": times if isinstance(times, pa.Array) else pa.array(times, NS),
        "value": values if isinstance(values, pa.Array) else pa.array(values),
    }
    if qualities is not None:
        columns["quality"] = qualities if isinstance(qualities, pa.Array) else pa.array(qualities, pa.uint32())
    return pa.record_batch(columns)


def put_batches(batches, command=None, options=None):
    """Writes batches in one stream, each after the acknowledgement of the one before; the acknowledgements as they came."""
    command = {"write": {"create_tags": True}} if command is None else command
    descriptor = flight.FlightDescriptor.for_command(json.dumps(command) if isinstance(command, dict) else command)
    writer, reader = client.do_put(descriptor, batches[0].schema, options)
    acknowledged = []
    with writer:
        for rows in batches:
            writer.write_batch(rows)
            acknowledged.append(reader.read().to_pybytes())
        writer.done_writing()
        assert reader.read() is None
    return acknowledged


def put(tags, times, values, qualities=None, **write):
    """Writes rows that must all be taken, by default making tags; the watermark behind them."""
    rows = batch(tags, times, values, qualities)
    (acknowledged,) = map(json.loads, put_batches([rows], {"write": write or {"create_tags": True}}))
    assert int(acknowledged["samples"]) == rows.num_rows, acknowledged
    return int(acknowledged["watermark"])


def ticket(command):
    return flight.Ticket(command if isinstance(command, bytes) else json.dumps(command).encode())


def descriptor(command):
    return flight.FlightDescriptor.for_command(command if isinstance(command, bytes) else json.dumps(command).encode())


def get(command, options=None):
    """The answer to a command, whole."""
    return client.do_get(ticket(command), options).read_all()


def nanoseconds(column):
    return column.cast(pa.int64()).to_pylist()


# Refusals.


def refused(kind, call, *fragments):
    """The exception with which a call is refused, in these words."""
    with pytest.raises(kind) as caught:
        call()
    for fragment in fragments:
        assert fragment in str(caught.value), f"{fragment!r} is not in: {caught.value}"
    return caught.value


def refused_rpc(code, call, *fragments):
    """The same of gRPC, by its code; details of google.rpc are beside the words."""
    error = refused(grpc.RpcError, call)
    assert error.code() == code, (error.code(), error.details())
    for fragment in fragments:
        assert fragment in error.details(), f"{fragment!r} is not in: {error.details()}"
    return error


# Protocol Buffers without generated code, for what clients do not let through.


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, content):
    """A field that has a length (text, bytes), or true."""
    if content is True:
        return varint(number << 3) + b"\x01"
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def any_message(name, content):
    """A google.protobuf.Any."""
    return field(1, f"type.googleapis.com/{name}") + field(2, content)


def sql_message(name, *contents):
    """A command of Flight SQL."""
    return any_message(f"arrow.flight.protocol.sql.{name}", b"".join(contents))


def statement(text):
    """A statement of Flight SQL as a command."""
    return sql_message("CommandStatementQuery", field(1, text))


def fields(message):
    """Fields that have a length, by number."""
    found, at = {}, 0

    def number():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = number()
        assert key % 8 == 2, key
        length = number()
        found[key // 8] = message[at : at + length]
        at += length
    return found
