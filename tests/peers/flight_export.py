"""Exports through the endpoints of GetFlightInfo in parallel, against the same export by one DoGet. Argument: host:port."""

import concurrent.futures
import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.flight as flight

client = flight.connect(f"grpc://{sys.argv[1]}")
START = 1_767_225_600_000_000_000
TAGS, ROWS, BATCHES = 500, 200, 8
names = pa.array([f"line{tag // 50}/machine{tag:03}/power" for tag in range(TAGS)])
keys = pa.array(np.tile(np.arange(TAGS, dtype=np.int32), ROWS))

writer = None
for number in range(BATCHES):
    times = np.repeat(np.arange(ROWS, dtype=np.int64) + number * ROWS, TAGS) * 1_000_000_000 + START
    rows = pa.record_batch(
        {
            "tag": pa.DictionaryArray.from_arrays(keys, names),
            "timestamp": pa.array(times, pa.timestamp("ns", "UTC")),
            "value": pa.array(np.sin(times / 1e12) + np.tile(np.arange(TAGS), ROWS)),
        }
    )
    if writer is None:
        command = json.dumps({"write": {"create_tags": True}})
        writer, reader = client.do_put(flight.FlightDescriptor.for_command(command), rows.schema)
    writer.write_batch(rows)
# All batches were sent before any acknowledgement is read.
acknowledged = [json.loads(reader.read().to_pybytes()) for _ in range(BATCHES)]
assert [int(ack["samples"]) for ack in acknowledged] == [TAGS * ROWS] * BATCHES, acknowledged
writer.done_writing()
writer.close()

query = json.dumps({"range": {"tags": ["line*/**"], "start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}})
info = client.get_flight_info(flight.FlightDescriptor.for_command(query))
assert len(info.endpoints) > 1, info.endpoints
assert info.total_records >= TAGS * ROWS * BATCHES
bounds = json.loads(info.app_metadata)
assert int(bounds["start_ns"]) == START and bounds["start"] == "2026-01-01T00:00:00Z", bounds


def fetch(endpoint):
    return flight.connect(f"grpc://{sys.argv[1]}").do_get(endpoint.ticket).read_all()


with concurrent.futures.ThreadPoolExecutor(4) as pool:
    parts = list(pool.map(fetch, info.endpoints))
whole = client.do_get(flight.Ticket(query)).read_all()
assert len(whole) == TAGS * ROWS * BATCHES, len(whole)
assert all(part.schema.equals(info.schema) for part in parts)
joined = pa.concat_tables([part.cast(whole.schema) for part in parts])
for column in ("timestamp", "value", "quality"):
    assert joined.column(column).combine_chunks().equals(whole.column(column).combine_chunks()), column
assert joined.column("tag").cast(pa.utf8()).equals(whole.column("tag").cast(pa.utf8()))
sizes = [len(part) for part in parts]
assert max(sizes) < 3 * min(sizes), sizes

# The dictionary of tag names is one object over all chunks of an answer: it came once.
dictionaries = {chunk.data.column("tag").dictionary.buffers()[2].address for chunk in client.do_get(flight.Ticket(query))}
assert len(dictionaries) == 1, len(dictionaries)
print("ok", len(info.endpoints), "endpoints")
