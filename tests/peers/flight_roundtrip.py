"""Writes samples of every type by DoPut and reads them back by DoGet, bit for bit. Argument: host:port."""

import json
import math
import struct
import sys

import numpy as np
import pyarrow as pa
import pyarrow.flight as flight

client = flight.connect(f"grpc://{sys.argv[1]}")
START = 1_767_225_600_000_000_000
BAD = 0x808C_0000


def put(command, batches):
    """Writes batches and returns the acknowledgement of each."""
    descriptor = flight.FlightDescriptor.for_command(json.dumps(command) if isinstance(command, dict) else command)
    writer, reader = client.do_put(descriptor, batches[0].schema)
    acknowledged = []
    for batch in batches:
        writer.write_batch(batch)
        acknowledged.append(reader.read().to_pybytes())
    writer.done_writing()
    assert reader.read() is None
    writer.close()
    return acknowledged


def get(ticket):
    ticket = json.dumps(ticket) if isinstance(ticket, dict) else ticket
    return client.do_get(flight.Ticket(ticket)).read_all()


def batch(tags, times, values, qualities=None):
    columns = {
        "tag": tags if isinstance(tags, pa.Array) else pa.array(tags).dictionary_encode(),
        "timestamp": times if isinstance(times, pa.Array) else pa.array(times, pa.timestamp("ns", "UTC")),
        "value": values,
    }
    if qualities is not None:
        columns["quality"] = pa.array(qualities, pa.uint32())
    return pa.record_batch(columns)


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def any_message(name, content):
    """A google.protobuf.Any without generated code."""
    return field(1, f"type.googleapis.com/{name}".encode()) + field(2, content)


WRITE = {"write": {"mode": "UPSERT", "durability": "SYNC", "create_tags": True}}

# Every kind of float, NaN payloads and negative zero included, over two tags mixed.
patterns = [0, 1 << 63, 0x7FF0 << 48, 0xFFF0 << 48, 0x7FF8_0000_0000_0001, 0x7FF0_0000_0000_0001, 0xFFFF_FFFF_FFFF_FFFF, 1, (1 << 52) - 1, 2]
patterns += [struct.unpack("<Q", struct.pack("<d", math.pi * k))[0] for k in range(-500, 500)]
floats = np.array(patterns, dtype=np.uint64).view(np.float64)
names = np.array([f"plant/area{row % 2}/pressure" for row in range(len(floats))])
times = np.arange(len(floats), dtype=np.int64) * 1_000 + START
acks = put(WRITE, [batch(pa.array(names).dictionary_encode(), times, pa.array(floats, pa.float64(), from_pandas=False))])
ack = json.loads(acks[0])
assert ack["samples"] == str(len(floats)) and int(ack["watermark"]) > 0, ack
for area in range(2):
    table = get({"range": {"tags": [f"plant/area{area}/pressure"], "start": START, "end": "*"}})
    got = table.column("value").combine_chunks().to_numpy(zero_copy_only=False).view(np.uint64)
    assert (got == np.array(patterns[area::2], dtype=np.uint64)).all(), area
    assert table.column("timestamp").cast(pa.int64()).to_pylist() == times[area::2].tolist()
    assert table.column("quality").to_pylist() == [0] * len(table)

schema = table.schema
assert schema.field("tag").type == pa.dictionary(pa.int32(), pa.utf8()), schema
assert schema.field("timestamp").type == pa.timestamp("ns", "UTC"), schema
assert schema.field("value").type == pa.float64() and schema.field("quality").type == pa.uint32(), schema
assert schema.metadata[b"start"] == str(START).encode(), schema.metadata

# Every other type, plain names of all kinds, another unit of time, a null with a Bad quality.
cases = {
    "t/f32": (pa.array([1.5, None, -0.0], pa.float32()), pa.float32()),
    "t/i64": (pa.array([-(2**63), None, 2**63 - 1], pa.int64()), pa.int64()),
    "t/i16": (pa.array([-7, None, 7], pa.int16()), pa.int64()),
    "t/u64": (pa.array([0, None, 2**64 - 1], pa.uint64()), pa.uint64()),
    "t/bool": (pa.array([True, None, False]), pa.bool_()),
    "t/string": (pa.array(["offen", None, "größer"]), pa.utf8()),
    "t/view": (pa.array(["a", None, "a string of more than twelve bytes"], pa.string_view()), pa.utf8()),
}
for name, (values, expected) in cases.items():
    for kind in (pa.utf8(), pa.large_utf8(), pa.string_view()):
        stamps = pa.array([1_000, 2_000, 3_000], pa.timestamp("us", "UTC"))
        put(WRITE, [batch(pa.array([name] * 3, kind), stamps, values, [0, BAD, 7])])
    table = get({"range": {"tags": [name], "start": 0, "end": "1970-01-01T00:00:01Z"}})
    assert table.schema.field("value").type == expected, (name, table.schema)
    assert table.column("value").to_pylist() == values.to_pylist(), (name, table.column("value"))
    assert table.column("timestamp").cast(pa.int64()).to_pylist() == [1_000_000, 2_000_000, 3_000_000]
    assert table.column("quality").to_pylist() == [0, BAD, 7]
    assert table.column("tag").to_pylist() == [name] * 3

# Integers into a float tag where they are exact; modes.
put(WRITE, [batch(["m"], [10], pa.array([1.0]))])
put(WRITE, [batch(["m"], [20], pa.array([2], pa.int32()))])
put({"write": {"mode": "INSERT"}}, [batch(["m", "m"], [20, 30], pa.array([9.0, 3.0]))])
put({"write": {}}, [batch(["m"], [10], pa.array([5.0]))])
table = get({"range": {"tags": ["m"], "start": "0", "end": 100, "time_unit": "ns"}})
assert table.column("value").to_pylist() == [5.0, 2.0, 3.0], table
# Reverse order, limit, current.
table = get({"range": {"tags": ["m"], "start": "100ns", "end": 0, "limit": 2}})
assert table.column("value").to_pylist() == [3.0, 2.0], table
table = get({"current": {"tags": ["m", "t/i64"]}})
assert dict(zip(table.column("tag").to_pylist(), table.column("value").to_pylist())) == {"m": 3.0, "t/i64": float(2**63 - 1)}, table

# The protobuf forms of the same, as command and as ticket; the acknowledgement is protobuf then.
acks = put(any_message("historian.v1.WriteRequest", b""), [batch(["m"], [40], pa.array([4.0]))])
assert acks[0][0] == 0x08 and acks[0].endswith(b"\x10\x01"), acks
ticket = any_message("historian.v1.RangeRequest", field(1, b"m") + field(2, b"0") + field(3, b"100ns"))
assert get(ticket).column("value").to_pylist() == [5.0, 2.0, 3.0, 4.0]
assert get(any_message("historian.v1.CurrentValuesRequest", field(1, b"m"))).column("value").to_pylist() == [4.0]

# Several batches in one stream, an empty one among them: one acknowledgement each, watermarks that grow.
acks = put(WRITE, [batch(["s"], [n], pa.array([float(n)])) for n in range(50)] + [batch(["s"], [0], pa.array([0.0])).slice(0, 0)])
marks = [int(json.loads(ack)["watermark"]) for ack in acks]
assert marks == sorted(marks) and [int(json.loads(ack)["samples"]) for ack in acks] == [1] * 50 + [0], acks

# A glob that matches nothing is an empty answer with a schema.
assert len(get({"range": {"tags": ["nothing/**"], "start": 0}})) == 0
assert get({"current": {"tags": ["nothing/*"]}}).schema.names == ["tag", "timestamp", "value", "quality"]

# The catalog: flights, paths, schemas.
flights = {"/".join(part.decode() for part in info.descriptor.path): info for info in client.list_flights()}
assert {"m", "s", "plant/area0/pressure", *cases} <= set(flights), flights
assert len(list(client.list_flights(json.dumps({"tags": ["plant/*/pressure"]}).encode()))) == 2
assert len(list(client.list_flights(b"plant/**"))) == 2
info = flights["plant/area1/pressure"]
assert info.schema.field("value").type == pa.float64()
assert len(client.do_get(info.endpoints[0].ticket).read_all()) == len(floats) // 2
for path in (["plant", "area1", "pressure"], ["plant/area1/pressure"], ["tags", "plant", "area1", "pressure"]):
    info = client.get_flight_info(flight.FlightDescriptor.for_path(*path))
    assert info.total_records >= len(floats) // 2, info.total_records
    assert len(client.do_get(info.endpoints[0].ticket).read_all()) == len(floats) // 2
assert client.get_schema(flight.FlightDescriptor.for_path("t", "i64")).schema.field("value").type == pa.int64()
descriptor = flight.FlightDescriptor.for_command(json.dumps({"current": {"tags": ["t/bool"]}}))
assert client.get_schema(descriptor).schema.field("value").type == pa.bool_()

# Compressed batches are read too.
for codec in ("lz4", "zstd"):
    options = flight.FlightCallOptions(write_options=pa.ipc.IpcWriteOptions(compression=codec))
    rows = batch(["c"] * 5000, list(range(5000)), pa.array([float(n % 7) for n in range(5000)]))
    writer, reader = client.do_put(flight.FlightDescriptor.for_command(json.dumps(WRITE)), rows.schema, options)
    writer.write_batch(rows)
    assert int(json.loads(reader.read().to_pybytes())["samples"]) == 5000
    writer.close()
assert len(get({"range": {"tags": ["c"], "start": 0, "end": "5000ns"}})) == 5000
print("ok")
