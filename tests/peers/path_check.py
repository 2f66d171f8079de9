"""Reads through pyarrow.flight what the historian collected, and compares it bit for bit. Arguments: host:port, and a JSON file with

  {"exact": {tag: [[timestamp_ns, value, quality], ...]},   every sample of the tag, in order, and no other
   "steady": {tag: value},                                  at least `samples_min` samples, each Good with this very value
   "samples_min": n}

With a third argument `ended` each tag must have one sample more, its last: null and BadNotConnected, since it is collected no more.
"""

import json
import struct
import sys

import pyarrow as pa
import pyarrow.flight as flight

client = flight.connect(f"grpc://{sys.argv[1]}")
wanted = json.load(open(sys.argv[2], encoding="utf-8"))


def bits(value):
    """Floats by their bits, so that -0.0 and 0.0 differ; everything else as it is."""
    return struct.pack("<d", value) if isinstance(value, float) else value


def samples(tag):
    ticket = {"range": {"tags": [tag], "start": 0, "end": "*+1d"}}
    table = client.do_get(flight.Ticket(json.dumps(ticket))).read_all()
    assert set(table.column("tag").to_pylist()) <= {tag}, tag
    times = table.column("timestamp").cast(pa.int64()).to_pylist()
    found = list(zip(times, table.column("value").to_pylist(), table.column("quality").to_pylist()))
    if sys.argv[3:] == ["ended"]:
        assert found and found[-1][1:] == (None, 0x808A0000), f"{tag}: {found[-1:]}"
        del found[-1]
    return found


for tag, expected in wanted["exact"].items():
    found = [(time, bits(value), quality) for time, value, quality in samples(tag)]
    assert found == [(time, bits(value), quality) for time, value, quality in expected], f"{tag}: {found} for {expected}"

counts = {}
for tag, value in wanted["steady"].items():
    found = samples(tag)
    times = [time for time, _, _ in found]
    assert times == sorted(set(times)), f"{tag}: doubled or out of order"
    wrong = [sample for sample in found if bits(sample[1]) != bits(value) or sample[2] != 0]
    assert not wrong, f"{tag}: {wrong[:3]} for {value}"
    counts[tag] = len(found)
# Read one after another while polling went on: a later tag may have some samples more, none may have fewer than was there at first.
assert min(counts.values()) >= wanted["samples_min"], counts
print(f"ok: {len(wanted['exact'])} tags exact, {len(counts)} steady with {min(counts.values())} to {max(counts.values())} samples")
