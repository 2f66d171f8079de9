"""Writes batch after batch of known samples of one tag with pyarrow, each after the acknowledgement of the one before.

Usage: backup_writer.py ADDRESS TAG. Prints "ack NUMBER WATERMARK" per batch, until a line arrives on standard input or it closes.
"""

import json
import sys
import threading

import numpy as np
import pyarrow as pa
import pyarrow.flight as flight

address, tag = sys.argv[1:]
SAMPLES = 50
START = 1_700_000_000_000_000_000
QUALITIES = np.array([0, 0x4000_0000, 0x8031_0000], dtype=np.uint32)

stop = threading.Event()


def wait():
    sys.stdin.readline()
    stop.set()


threading.Thread(target=wait, daemon=True).start()


def batch(number):
    n = np.arange(number * SAMPLES, (number + 1) * SAMPLES, dtype=np.uint64)
    bits = (n + np.uint64(1)) * np.uint64(0x9E37_79B9_7F4A_7C15)
    return pa.record_batch({
        "tag": pa.array([tag] * SAMPLES).dictionary_encode(),
        "timestamp": pa.array((START + n.astype(np.int64) * 1_000_000), pa.timestamp("ns", "UTC")),
        "value": pa.array(bits.view(np.float64), from_pandas=False),
        "quality": pa.array(QUALITIES[(n % 3).astype(int)]),
    })


client = flight.connect(f"grpc://{address}")
command = json.dumps({"write": {"mode": "UPSERT", "durability": "SYNC", "create_tags": True}}).encode()
writer, answers = client.do_put(flight.FlightDescriptor.for_command(command), batch(0).schema)
print("ready", flush=True)
number = 0
while not stop.is_set():
    writer.write_batch(batch(number))
    watermark = int(json.loads(answers.read().to_pybytes())["watermark"])
    print("ack", number, watermark, flush=True)
    number += 1
writer.done_writing()
while answers.read() is not None:
    pass
writer.close()
print("end", flush=True)
