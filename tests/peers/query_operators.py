"""Operators through Flight, held against plain readings of the same samples. Argument: host:port."""

import json
import math
import sys
import threading

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.flight as flight

address = sys.argv[1]
client = flight.connect(f"grpc://{address}")
START = 1_767_225_600_000_000_000
SECOND = 1_000_000_000
BAD, UNCERTAIN = 0x80000000, 0x40000000


def put(tags, times, values, qualities=None):
    batch = pa.record_batch({
        "tag": pa.array(tags),
        "timestamp": pa.array(times, pa.timestamp("ns", "UTC")),
        "value": pa.array(values, pa.float64()),
        "quality": pa.array([0] * len(tags) if qualities is None else qualities, pa.uint32()),
    })
    writer, reader = client.do_put(flight.FlightDescriptor.for_command(b'{"write": {"create_tags": true}}'), batch.schema)
    writer.write_batch(batch)
    acknowledged = json.loads(reader.read().to_pybytes())
    writer.done_writing()
    while reader.read() is not None:
        pass
    writer.close()
    return int(acknowledged["watermark"])


def ask(**command):
    return client.do_get(flight.Ticket(json.dumps(command))).read_all()


def refused(kind, fragment, **command):
    try:
        ask(**command)
    except kind as error:
        assert fragment in str(error), f"{fragment!r} is not in: {error}"
    else:
        raise AssertionError(f"{command} was not refused")


# An hour of one tag at 1 Hz with a spike and a Bad run, and a slow stepped one.
seconds = np.arange(3600)
values = np.sin(seconds / 97) + 10
values[1234] = 25.0
qualities = np.where((seconds >= 2000) & (seconds < 2100), BAD, np.where(seconds % 500 == 7, UNCERTAIN, 0))
times = START + seconds * SECOND
put(["plant/fast"] * 3600, times, np.where(qualities == BAD, np.nan, values), qualities)
put(["plant/slow"] * 6, START + np.array([0, 600, 1200, 1800, 2400, 3000]) * SECOND, [1, 0, 1, 0, 1, 1])
hour = dict(start=int(START), end=int(START + 3600 * SECOND))

# Range: filters by quality, filled rows.
assert ask(range=dict(tags=["plant/fast"], quality="GOOD", **hour)).num_rows == int((qualities == 0).sum())
assert ask(range=dict(tags=["plant/fast"], quality="NOT_BAD", **hour)).num_rows == int((qualities != BAD).sum())
wide = ask(range=dict(tags=["plant/*"], layout="WIDE", fill="AS_OF", step="10m", **hour))
assert wide["plant/slow"].to_pylist() == [1, 0, 1, 0, 1, 1], wide["plant/slow"]
assert wide.num_rows == 6 and np.allclose(wide["plant/fast"].to_numpy()[:3], values[[0, 600, 1200]])
line = ask(range=dict(tags=["plant/slow"], layout="WIDE", fill="LINEAR", step="5m", **hour))
assert line["plant/slow"].to_pylist() == [1, 0.5, 0, 0.5, 1, 0.5, 0, 0.5, 1, 1, 1, 1], line["plant/slow"]
refused(pa.ArrowInvalid, "fill", range=dict(tags=["plant/slow"], fill="AS_OF", **hour))
refused(pa.ArrowInvalid, "step", range=dict(tags=["plant/slow"], layout="WIDE", step="5m", **hour))

# Fills against numpy: a line goes to the true neighbours, wherever the range ends; a Bad sample is a Bad cell; a filter comes first.
coarse = np.array([-60, 60, 90, 200, 320])
put(["fill/coarse"] * 5, START + coarse * SECOND, [-60.0, 60.0, 7.0, 200.0, 20.0], [0, 0, BAD, 0, UNCERTAIN])


def filled(start, end, step="10s", **more):
    answer = ask(range=dict(tags=["fill/coarse"], layout="WIDE", step=step, start=int(START + start * SECOND), end=int(START + end * SECOND), **more))
    cells = zip(answer["fill/coarse"].to_pylist(), answer["fill/coarse#quality"].to_pylist())
    return [(value, quality >> 30, quality & 0x0402 == 0x0402) for value, quality in cells]


for end in (10, 50, 60, 61, 500):
    grid = np.arange(0, min(end, 60), 10)
    for (value, severity, interpolated), wanted in zip(filled(0, end, fill="LINEAR"), np.interp(grid, [-60, 60], [-60, 60]), strict=False):
        assert math.isclose(value, wanted, abs_tol=1e-9) and (severity, interpolated) == (0, True), (end, value, wanted)
# Across the Bad sample nothing is sure, in its row it stands; after the last sample its value is held, Uncertain.
rows = dict(zip(range(60, 420, 10), filled(60, 420, fill="LINEAR")))
assert rows[60] == (60.0, 0, False) and rows[90] == (7.0, 2, False), rows
for second in (70, 80, 100, 190, 210, 310):
    wanted = float(np.interp(second, [60, 200, 320], [60, 200, 20]))
    assert math.isclose(rows[second][0], wanted) and rows[second][1:] == (1, True), (second, rows[second])
assert rows[320] == (20.0, 1, False) and rows[330] == rows[410] == (20.0, 1, True), rows
held = dict(zip(range(60, 420, 10), filled(60, 420, fill="AS_OF")))
assert held[80] == (60.0, 0, True) and held[90] == (7.0, 2, False) and held[100] == (60.0, 1, True) and held[210] == (200.0, 0, True), held
good_only = dict(zip(range(60, 420, 10), filled(60, 420, fill="AS_OF", quality="GOOD")))
assert good_only[330] == (200.0, 0, True) and good_only[90] == (60.0, 1, True), good_only
line_of_good = filled(200, 420, fill="LINEAR", quality="GOOD")
assert line_of_good[0] == (200.0, 0, False) and set(line_of_good[1:]) == {(200.0, 1, True)}, line_of_good

# As many points as there are samples are all samples, wherever in time they lie; and no two columns have one name.
count = 1000
clump = START + np.concatenate([np.arange(count - 1) * 1000, [3000 * SECOND]])
put(["clump/a"] * count, clump, np.sin(np.arange(count)))
for method in ("PLOT", "M4", "MINMAX", "LTTB", "MINMAXLTTB"):
    whole = ask(downsample=dict(tags=["clump/a"], points=count, method=method, **hour))
    assert whole["value"].to_pylist() == np.sin(np.arange(count)).tolist(), (method, whole.num_rows)
    assert whole.num_rows == count
put(["clump/a#quality", "timestamp"], [START] * 2, [1.0, 2.0])
refused(pa.ArrowInvalid, "two columns", range=dict(tags=["clump/a", "clump/a#quality"], layout="WIDE", **hour))
refused(pa.ArrowInvalid, "two columns", range=dict(tags=["timestamp"], layout="WIDE", **hour))

# What time_average makes of a stepped tag is told where it is asked for.
asked = dict(tags=["plant/slow"], functions=["time_average", "time_average2"], configuration={"stepped": True}, **hour)
assert b"time_average2" in ask(aggregate=asked).schema.metadata[b"note"]
assert b"note" not in ask(aggregate={**asked, "functions": ["time_average2"]}).schema.metadata
assert b"note" not in ask(aggregate={**asked, "configuration": {"stepped": False}}).schema.metadata

# Aggregates: a whole hour, minutes, backwards, and what is refused.
good = values[qualities == 0]
answer = ask(aggregate=dict(tags=["plant/fast"], functions=["average", "count", "maximum"], **hour))
assert answer["function"].to_pylist() == ["average", "count", "maximum"]
assert np.allclose(answer["value"].to_numpy(), [good.mean(), len(good), 25.0])
both = values[qualities != BAD]
answer = ask(aggregate=dict(tags=["plant/fast"], functions=["average"], configuration={"use_uncertain_values": True}, **hour))
assert math.isclose(answer["value"][0].as_py(), both.mean())
minutes = ask(aggregate=dict(tags=["plant/**"], functions=["average"], interval="1m", **hour))
assert minutes.num_rows == 120 and minutes["value"].null_count == 54 + 1, minutes["value"].null_count
reverse = ask(aggregate=dict(tags=["plant/fast"], functions=["average"], interval=str(60 * SECOND), start=hour["end"], end=hour["start"]))
assert reverse["timestamp"][0].cast(pa.int64()).as_py() == hour["end"]
refused(pa.ArrowInvalid, "average", aggregate=dict(tags=["plant/fast"], functions=["avreage"], **hour))
refused(pa.ArrowInvalid, "functions", aggregate=dict(tags=["plant/fast"], **hour))
refused(pa.ArrowInvalid, "interval", aggregate=dict(tags=["plant/fast"], functions=["average"], interval="5 parsecs", **hour))
refused(pa.ArrowInvalid, "percent_data_good", aggregate=dict(
    tags=["plant/fast"], functions=["average"], configuration={"percent_data_bad": 40, "percent_data_good": 50}, **hour))

# Plots: never more rows than asked, the extremes kept, a break where the Bad run starts, values at both edges.
for method in ["PLOT", "M4", "MINMAX", "LTTB", "MINMAXLTTB"]:
    plot = ask(downsample=dict(tags=["plant/fast"], points=100, method=method, start=hour["start"], end=hour["end"] - SECOND // 2))
    stamps = plot["timestamp"].cast(pa.int64()).to_numpy()
    assert 10 < plot.num_rows <= 100 and (np.diff(stamps) > 0).all(), method
    assert stamps[0] == hour["start"] and stamps[-1] == hour["end"] - SECOND // 2, method
    breaks = plot.filter(pc.is_null(plot["value"]))
    assert START + 2000 * SECOND in breaks["timestamp"].cast(pa.int64()).to_pylist(), f"{method}: no break"
    if method in ("PLOT", "M4", "MINMAX"):
        assert pc.max(plot["value"]).as_py() == 25.0 and math.isclose(pc.min(plot["value"]).as_py(), values[qualities != BAD].min()), method
assert ask(downsample=dict(tags=["plant/slow"], **hour)).num_rows == 7
refused(pa.ArrowInvalid, "points", downsample=dict(tags=["plant/fast"], points=2, **hour))
refused(pa.ArrowInvalid, "end", downsample=dict(tags=["plant/fast"], start=hour["end"], end=hour["start"]))

# Anomalies: the spike is found and explained, counted and scored; Bad samples are not scored.
findings = ask(anomalies=dict(tags=["plant/fast"], detector="spike", parameters={"window": 31}, **hour)).to_pylist()
assert any(finding["peak"].value == START + 1234 * SECOND and "25" in finding["observed"] and finding["explanation"] for finding in findings), findings
counts = ask(anomalies=dict(tags=["plant/**"], detector="sigma", parameters={"threshold": 3}, output="COUNTS", **hour))
beyond = int((np.abs(good - good.mean()) > 3 * good.std()).sum())
assert counts["count"].to_pylist() == [beyond, 0], counts
scores = ask(anomalies=dict(tags=["plant/fast"], detector="sigma", parameters={"threshold": 3}, output="SCORES", **hour))
assert scores.num_rows == len(good) and int((scores["score"].to_numpy() >= 1).sum()) == beyond
refused(pa.ArrowInvalid, "detector", anomalies=dict(tags=["plant/fast"], detector="crystal_ball", **hour))
refused(pa.ArrowInvalid, "threshold", anomalies=dict(tags=["plant/fast"], detector="sigma", parameters={"threshold": "many"}, **hour))
refused(pa.ArrowInvalid, "treshold", anomalies=dict(tags=["plant/fast"], detector="sigma", parameters={"treshold": 3}, **hour))

# Compression on the wire changes nothing but the bytes.
ticket = flight.Ticket(json.dumps({"range": dict(tags=["plant/slow"], **hour)}))
for compression in [b"lz4", b"zstd"]:
    options = flight.FlightCallOptions(headers=[(b"historian-compression", compression)])
    assert client.do_get(ticket, options).read_all().equals(client.do_get(ticket).read_all())
try:
    client.do_get(ticket, flight.FlightCallOptions(headers=[(b"historian-compression", b"brotli")])).read_all()
    raise AssertionError("brotli was taken")
except pa.ArrowInvalid as error:
    assert "brotli" in str(error)

# Endpoints: parts in order are the whole.
for command in [{"aggregate": dict(tags=["plant/**"], functions=["average"], interval="1m", **hour)}, {"downsample": dict(tags=["plant/**"], points=50, **hour)}]:
    info = client.get_flight_info(flight.FlightDescriptor.for_command(json.dumps(command)))
    parts = pa.concat_tables([client.do_get(endpoint.ticket).read_all() for endpoint in info.endpoints])
    assert parts.equals(ask(**command)) and info.schema.equals(parts.schema, check_metadata=False)

# Subscription: current values, then every write once, and resumed behind a position.
follower = flight.connect(f"grpc://{address}").do_get(flight.Ticket(json.dumps({"subscribe": {"tags": ["live/*", "plant/slow"], "current": True}})))
first = follower.read_chunk().data
assert first["tag"].to_pylist() == ["plant/slow"] and first["position"].to_pylist() == [0]
watermark = 0
for number in range(20):
    put(["other/tag"], [START + number], [0.0])
    watermark = put(["live/a", "live/b"], [START + number, START + number], [number, -number])
seen = []
while len(seen) < 40:
    chunk = follower.read_chunk().data
    seen += list(zip(chunk["tag"].to_pylist(), chunk["value"].to_pylist(), chunk["position"].to_pylist()))
assert [row[:2] for row in seen] == [pair for number in range(20) for pair in (("live/a", number), ("live/b", -number))], seen
assert seen[-1][2] == watermark
follower.cancel()
middle = seen[19][2]
again = flight.connect(f"grpc://{address}").do_get(flight.Ticket(json.dumps({"subscribe": {"tags": ["live/*"], "position": middle}})))
rows = []
while len(rows) < 20:
    rows += again.read_chunk().data["value"].to_pylist()
assert rows == [value for number in range(10, 20) for value in (number, -number)], rows
again.cancel()
try:
    client.do_get(flight.Ticket(json.dumps({"subscribe": {"tags": ["live/*"], "position": watermark + 1000}}))).read_chunk()
    raise AssertionError("a position ahead was taken")
except (pa.ArrowInvalid, pa.ArrowException, flight.FlightError) as error:
    assert "ahead" in str(error), error
refused(pa.ArrowInvalid, "tags", subscribe={})
print("all operators agree")
