"""Samples of every type by DoPut and back by DoGet, bit for bit."""

import json
import math
import struct

import numpy as np
import pyarrow as pa
import pyarrow.flight as flight
import pytest

from lib import BAD_SENSOR_FAILURE, START, any_message, batch, client, descriptor, field, get, nanoseconds, put_batches

WRITE = {"write": {"mode": "UPSERT", "durability": "SYNC", "create_tags": True}}

PATTERNS = [0, 1 << 63, 0x7FF0 << 48, 0xFFF0 << 48, 0x7FF8_0000_0000_0001, 0x7FF0_0000_0000_0001, 0xFFFF_FFFF_FFFF_FFFF, 1, (1 << 52) - 1, 2]
PATTERNS += [struct.unpack("<Q", struct.pack("<d", math.pi * k))[0] for k in range(-500, 500)]
FLOATS = np.array(PATTERNS, dtype=np.uint64).view(np.float64)
NAMES = np.array([f"plant/area{row % 2}/pressure" for row in range(len(FLOATS))])
TIMES = np.arange(len(FLOATS), dtype=np.int64) * 1_000 + START


@pytest.fixture(scope="module", autouse=True)
def floats_written():
    """Every kind of float, NaN payloads and negative zero included, over two tags mixed."""
    acks = put_batches([batch(pa.array(NAMES).dictionary_encode(), TIMES, pa.array(FLOATS, pa.float64(), from_pandas=False))], WRITE)
    ack = json.loads(acks[0])
    assert ack["samples"] == str(len(FLOATS)) and int(ack["watermark"]) > 0, ack


def test_floats_come_back_bit_for_bit():
    for area in range(2):
        table = get({"range": {"tags": [f"plant/area{area}/pressure"], "start": START, "end": "*"}})
        got = table.column("value").combine_chunks().to_numpy(zero_copy_only=False).view(np.uint64)
        assert (got == np.array(PATTERNS[area::2], dtype=np.uint64)).all(), area
        assert table.column("timestamp").cast(pa.int64()).to_pylist() == TIMES[area::2].tolist()
        assert table.column("quality").to_pylist() == [0] * len(table)


def test_the_schema_of_a_range_is_the_documented_one():
    schema = get({"range": {"tags": ["plant/area0/pressure"], "start": START, "end": "*"}}).schema
    assert schema.field("tag").type == pa.dictionary(pa.int32(), pa.utf8()), schema
    assert schema.field("timestamp").type == pa.timestamp("ns", "UTC"), schema
    assert schema.field("value").type == pa.float64() and schema.field("quality").type == pa.uint32(), schema
    assert schema.metadata[b"start"] == str(START).encode(), schema.metadata


# Every other type: the values, and the type of the column that they come back in.
OTHERS = {
    "t/f32": (pa.array([1.5, None, -0.0], pa.float32()), pa.float32()),
    "t/i64": (pa.array([-(2**63), None, 2**63 - 1], pa.int64()), pa.int64()),
    "t/i16": (pa.array([-7, None, 7], pa.int16()), pa.int64()),
    "t/u64": (pa.array([0, None, 2**64 - 1], pa.uint64()), pa.uint64()),
    "t/bool": (pa.array([True, None, False]), pa.bool_()),
    "t/string": (pa.array(["offen", None, "größer"]), pa.utf8()),
    "t/view": (pa.array(["a", None, "a string of more than twelve bytes"], pa.string_view()), pa.utf8()),
}


@pytest.fixture(scope="module")
def others_written():
    """Names of tags in every kind of text, another unit of time, a null with a Bad quality."""
    for name, (values, _) in OTHERS.items():
        for kind in (pa.utf8(), pa.large_utf8(), pa.string_view()):
            stamps = pa.array([1_000, 2_000, 3_000], pa.timestamp("us", "UTC"))
            put_batches([batch(pa.array([name] * 3, kind), stamps, values, [0, BAD_SENSOR_FAILURE, 7])], WRITE)


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_type_comes_back_as_it_was(name, others_written):
    values, expected = OTHERS[name]
    table = get({"range": {"tags": [name], "start": 0, "end": "1970-01-01T00:00:01Z"}})
    assert table.schema.field("value").type == expected, table.schema
    assert table.column("value").to_pylist() == values.to_pylist(), table.column("value")
    assert nanoseconds(table.column("timestamp")) == [1_000_000, 2_000_000, 3_000_000]
    assert table.column("quality").to_pylist() == [0, BAD_SENSOR_FAILURE, 7]
    assert table.column("tag").to_pylist() == [name] * 3


@pytest.fixture(scope="module")
def modes_written():
    """Integers into a float tag where they are exact; modes."""
    put_batches([batch(["m"], [10], pa.array([1.0]))], WRITE)
    put_batches([batch(["m"], [20], pa.array([2], pa.int32()))], WRITE)
    put_batches([batch(["m", "m"], [20, 30], pa.array([9.0, 3.0]))], {"write": {"mode": "INSERT"}})
    put_batches([batch(["m"], [10], pa.array([5.0]))], {"write": {}})


def test_modes_write_what_they_say(modes_written):
    table = get({"range": {"tags": ["m"], "start": "0", "end": 100, "time_unit": "ns"}})
    assert table.column("value").to_pylist() == [5.0, 2.0, 3.0], table


def test_a_range_backward_with_a_limit_and_current_values(modes_written, others_written):
    table = get({"range": {"tags": ["m"], "start": "100ns", "end": 0, "limit": 2}})
    assert table.column("value").to_pylist() == [3.0, 2.0], table
    table = get({"current": {"tags": ["m", "t/i64"]}})
    assert dict(zip(table.column("tag").to_pylist(), table.column("value").to_pylist())) == {"m": 3.0, "t/i64": float(2**63 - 1)}, table


def test_commands_and_tickets_are_taken_as_protobuf_too(modes_written):
    """The acknowledgement is protobuf then."""
    acks = put_batches([batch(["m"], [40], pa.array([4.0]))], any_message("historian.v1.WriteRequest", b""))
    assert acks[0][0] == 0x08 and acks[0].endswith(b"\x10\x01"), acks
    ticket = any_message("historian.v1.RangeRequest", field(1, b"m") + field(2, b"0") + field(3, b"100ns"))
    assert get(ticket).column("value").to_pylist() == [5.0, 2.0, 3.0, 4.0]
    assert get(any_message("historian.v1.CurrentValuesRequest", field(1, b"m"))).column("value").to_pylist() == [4.0]


def test_each_batch_of_a_stream_is_acknowledged():
    """Several batches in one stream, an empty one among them: one acknowledgement each, watermarks that grow."""
    acks = put_batches([batch(["s"], [n], pa.array([float(n)])) for n in range(50)] + [batch(["s"], [0], pa.array([0.0])).slice(0, 0)], WRITE)
    marks = [int(json.loads(ack)["watermark"]) for ack in acks]
    assert marks == sorted(marks) and [int(json.loads(ack)["samples"]) for ack in acks] == [1] * 50 + [0], acks


def test_a_glob_that_matches_nothing_is_an_empty_answer():
    assert len(get({"range": {"tags": ["nothing/**"], "start": 0}})) == 0
    assert get({"current": {"tags": ["nothing/*"]}}).schema.names == ["tag", "timestamp", "value", "quality"]


def test_flights_paths_and_schemas_tell_the_catalog(modes_written, others_written):
    flights = {"/".join(part.decode() for part in info.descriptor.path): info for info in client.list_flights()}
    assert {"m", "plant/area0/pressure", *OTHERS} <= set(flights), flights
    assert len(list(client.list_flights(json.dumps({"tags": ["plant/*/pressure"]}).encode()))) == 2
    assert len(list(client.list_flights(b"plant/**"))) == 2
    info = flights["plant/area1/pressure"]
    assert info.schema.field("value").type == pa.float64()
    assert len(client.do_get(info.endpoints[0].ticket).read_all()) == len(FLOATS) // 2
    for path in (["plant", "area1", "pressure"], ["plant/area1/pressure"], ["tags", "plant", "area1", "pressure"]):
        info = client.get_flight_info(flight.FlightDescriptor.for_path(*path))
        assert info.total_records >= len(FLOATS) // 2, info.total_records
        assert len(client.do_get(info.endpoints[0].ticket).read_all()) == len(FLOATS) // 2
    assert client.get_schema(flight.FlightDescriptor.for_path("t", "i64")).schema.field("value").type == pa.int64()
    assert client.get_schema(descriptor({"current": {"tags": ["t/bool"]}})).schema.field("value").type == pa.bool_()


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_batches_are_read(codec):
    options = flight.FlightCallOptions(write_options=pa.ipc.IpcWriteOptions(compression=codec))
    (acknowledged,) = put_batches([batch(codec, list(range(5000)), [float(n % 7) for n in range(5000)])], WRITE, options)
    assert int(json.loads(acknowledged)["samples"]) == 5000
    assert get({"range": {"tags": [codec], "start": 0, "end": "5000ns"}})["value"].to_pylist() == [float(n % 7) for n in range(5000)]
