"""Asks for much, does not read, and sees that the query is cut while others are served. Argument: host:port."""

import json
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.flight as flight

client = flight.connect(f"grpc://{sys.argv[1]}")
TAGS, ROWS, PART = 4, 1_000_000, 50_000
descriptor = flight.FlightDescriptor.for_command(json.dumps({"write": {"create_tags": True}}))
schema = pa.schema({"tag": pa.utf8(), "timestamp": pa.timestamp("ns", "UTC"), "value": pa.float64()})
for tag in range(TAGS):
    writer, reader = client.do_put(descriptor, schema)
    for start in range(0, ROWS, PART):
        numbers = np.arange(start, start + PART, dtype=np.int64)
        columns = [pa.array([f"stall/{tag}"] * PART), pa.array(numbers, schema.field(1).type), pa.array(numbers * 0.1)]
        writer.write_batch(pa.record_batch(columns, schema=schema))
        assert reader.read() is not None
    writer.close()

query = flight.Ticket(json.dumps({"range": {"tags": ["stall/*"], "start": 0, "end": "*"}}))
stalled = [flight.connect(f"grpc://{sys.argv[1]}").do_get(query) for _ in range(2)]
for reader in stalled:
    reader.read_chunk()
# Both permits are taken until the stalled readers are cut; after that the same query is served whole.
refused = 0
while True:
    try:
        assert len(client.do_get(query).read_all()) == TAGS * ROWS
        break
    except (flight.FlightError, pa.ArrowException) as error:
        assert "queries are running" in str(error), error
        refused += 1
        assert refused < 300, "the stalled readers were never cut"
        time.sleep(0.1)
got = 0
try:
    while True:
        got += stalled[0].read_chunk().data.num_rows
except (flight.FlightError, pa.ArrowException) as error:
    assert "did not read" in str(error), error
assert got < TAGS * ROWS
print("ok, refused", refused)
