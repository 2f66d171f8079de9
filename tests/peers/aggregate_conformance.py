"""Runs the published examples of OPC UA Part 13 through the Flight interface.

    aggregate_conformance.py GRPC_ADDRESS CONFORMANCE_DIRECTORY [--compact]

Writes the raw samples of each example historian with DoPut, asks for each table with DoGet, and compares value (within 6e-3), status and
info bits row by row. Prints how many tables and rows agree; the exit code is 1 when any does not.
"""
import json
import sys

import pyarrow as pa
import pyarrow.flight as flight

address, directory = sys.argv[1], sys.argv[2]
client = flight.connect(f"grpc://{address}")
BASE = 1_767_268_800_000_000_000  # 2026-01-01T12:00:00Z
STATUS = {
    "Good": 0x00000000,
    "Uncertain": 0x40000000,
    "UncertainDataSubNormal": 0x40A40000,
    "Bad": 0x80000000,
    "BadNoData": 0x809B0000,
}
BITS = {"Calculated": 1, "Interpolated": 2, "Partial": 4, "ExtraData": 8, "MultipleValues": 16}
NAMES = {
    "AnnotationCount": "annotation_count",
    "MinimumActualTime2": "minimum_actual_time2",
    "MaximumActualTime2": "maximum_actual_time2",
}


def snake(name):
    return NAMES.get(name) or "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


raw = json.load(open(f"{directory}/raw.json"))["historians"]
for name, historian in raw.items():
    samples = [sample for sample in historian["samples"] if not (sample["t"] == 0 and sample["status"] == "BadNoData")]
    batch = pa.record_batch({
        "tag": [f"part13/{name}"] * len(samples),
        "timestamp": pa.array([BASE + round(sample["t"] * 1e9) for sample in samples], pa.timestamp("ns", "UTC")),
        "value": pa.array([sample["value"] for sample in samples], pa.float64()),
        "quality": pa.array([STATUS[sample["status"]] for sample in samples], pa.uint32()),
    })
    descriptor = flight.FlightDescriptor.for_command(b'{"write": {"create_tags": true}}')
    writer, acknowledgements = client.do_put(descriptor, batch.schema)
    writer.write_batch(batch)
    writer.done_writing()
    while acknowledgements.read() is not None:
        pass
    writer.close()

tables = json.load(open(f"{directory}/expected.json"))["tables"]
rows_right = rows = tables_right = 0
for table in tables:
    configuration = {key: value for key, value in table["config"].items()}
    command = {"aggregate": {
        "tags": [f"part13/{table['historian']}"],
        "start": BASE + round(table["start_s"] * 1e9),
        "end": BASE + round(table["end_s"] * 1e9),
        "interval": f"{table['processing_interval_ms']}ms",
        "functions": [snake(table["aggregate"])],
        "configuration": configuration,
    }}
    answer = client.do_get(flight.Ticket(json.dumps(command).encode())).read_all()
    stamps, values = answer["timestamp"].cast(pa.int64()).to_pylist(), answer["value"].to_pylist()
    qualities = answer["quality"].to_pylist()
    wrong = [] if len(values) == len(table["expected"]) else [f"{len(values)} rows instead of {len(table['expected'])}"]
    for index, expected in enumerate(table["expected"][:len(values)]):
        rows += 1
        value, quality = values[index], qualities[index]
        bits = {bit for bit, mask in BITS.items() if quality & 0x400 and quality & mask}
        same_value = (value is None) == (expected["value"] is None) and (
            value is None or isinstance(expected["value"], str) or abs(value - expected["value"]) <= 6e-3)
        if isinstance(expected["value"], str):
            same_value = value == STATUS[expected["value"]]
        same_time = stamps[index] == BASE + round(expected["t"] * 1e9)
        same = same_value and same_time and quality & 0xFFFF0000 == STATUS[expected["status"]] and bits == set(expected["bits"])
        rows_right += same
        if not same:
            wrong.append(f"row {index}: expected {expected}, found value {value}, quality {quality:#010x}, time {(stamps[index] - BASE) / 1e9}")
    tables_right += not wrong
    if wrong:
        print(table["id"], *wrong[:4], sep="\n  ")
print(f"{tables_right} of {len(tables)} tables, {rows_right} of {rows} rows agree")
sys.exit(tables_right != len(tables))
