"""The Python package of clients/python against a historian, by its public functions. Arguments: host:port, root of the checkout.

With the historian binary as a third argument also against one of its own that is killed, stopped and stalled.
"""

import datetime as dt
import itertools
import json
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

address, root, *binary = sys.argv[1:]
sys.path.insert(0, str(pathlib.Path(root) / "clients/python/src"))

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.flight as flight
import pyarrow.parquet as pq

import historian_client as hc
from historian_client import progress as progress_module
from historian_client import subscribe as subscribe_module
from historian_client.error import translated
from historian_client.time import as_duration, as_time

START = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
BAD_SENSOR_FAILURE = 0x808C_0000
UTC = dt.timezone.utc
plant = hc.connect(f"grpc://{address}")


def refused(kind, call, fragment):
    try:
        call()
    except kind as error:
        assert fragment in str(error), f"{error} does not tell {fragment!r}"
        return error
    raise AssertionError(f"expected {kind.__name__} about {fragment!r}")


# Times: every kind of the same moment is the same text or the same nanoseconds, and none goes through a float.
moment = dt.datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
exact = str(START + 1_000)
berlin = dt.timezone(dt.timedelta(hours=1))
for value in (moment, moment.astimezone(berlin), pd.Timestamp(moment), START + 1_000, np.int64(START + 1_000), pa.scalar(moment)):
    assert as_time(value, "start") == exact, value
assert as_time(pd.Timestamp(START + 7, tz="Europe/Berlin"), "start") == str(START + 7)
assert as_time(pa.scalar(START + 7, pa.timestamp("ns", "UTC")), "start") == str(START + 7)
assert as_time(dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "start") == "-1000ns"
civil = "2026-01-01T00:00:00.000000007"
for value in (np.datetime64(START + 7, "ns"), pd.Timestamp(START + 7), pa.scalar(START + 7, pa.timestamp("ns"))):
    assert as_time(value, "start") == civil, value
assert as_time(dt.date(2026, 1, 1), "start") == "2026-01-01" and as_time("*-8h", "start") == "*-8h"
for value in (1.5, None, True, object(), [1]):
    refused(TypeError, lambda: as_time(value, "start"), "start")
for value in (pd.NaT, np.datetime64("NaT"), pa.scalar(None, pa.timestamp("ns"))):
    refused(ValueError, lambda: as_time(value, "end"), "end")
assert as_duration(dt.timedelta(minutes=5), "interval") == as_duration(pd.Timedelta("5min"), "interval") == "300000000000"
assert as_duration(pd.Timedelta(7, "ns"), "interval") == "7" and as_duration("1h", "interval") == "1h"
refused(TypeError, lambda: as_duration(1.5, "interval"), "interval")

# Writing from every kind of table; what comes back is what was written.
SAMPLES = 200_000
names = np.array([f"package/line{n}/power" for n in range(4)])
times = np.arange(SAMPLES, dtype=np.int64) * 1_000_000 + START
values = np.sin(times / 1e12) * 100
table = pa.table(
    {
        "tag": pa.DictionaryArray.from_arrays(pa.array(np.arange(SAMPLES, dtype=np.int16) % 4), pa.array(names, pa.large_utf8())),
        "timestamp": pa.array(times, pa.timestamp("ns", "UTC")),
        "value": pa.array(values, mask=times % 7_000_000 == 0),
        "quality": pa.array(np.where(times % 7_000_000 == 0, BAD_SENSOR_FAILURE, 0)),
    }
)
told = []
result = plant.write(table, create_tags=True, progress=told.append)
assert (result.samples, result.rejected) == (SAMPLES, 0) and result.watermark > 0, result
assert told and told[-1].rows_expected == SAMPLES and told[0].rows <= told[-1].rows, told


def read(tag):
    got = plant.range(tag, START, START + 10**15)
    return got.column("timestamp").cast(pa.int64()).to_pylist(), got.column("value").to_pylist(), got.column("quality").to_pylist()


for line, name in enumerate(names):
    mine = table.filter(pa.compute.equal(table["tag"].cast(pa.utf8()), str(name)))
    assert read(str(name)) == (times[line::4].tolist(), mine["value"].to_pylist(), mine["quality"].to_pylist()), name
frame = table.slice(0, 1000).to_pandas()
frame["tag"] = frame["tag"].astype(str).str.replace("package", "pandas")
assert plant.write(frame, create_tags=True).samples == 1000
assert plant.write(pl.from_pandas(frame.assign(tag=frame["tag"].str.replace("pandas", "polars"))), create_tags=True).samples == 1000
assert read("pandas/line1/power") == read("polars/line1/power") == tuple(column[:250] for column in read(str(names[1])))
reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=30_000))
assert plant.write(reader, mode="insert", durability="interval").samples == 0, "INSERT leaves what is there"
local = pa.table({"tag": ["zone"], "timestamp": pa.array([START // 1000], pa.timestamp("us", "Europe/Berlin")), "value": [1.0]})
plant.write(local, create_tags=True)
assert read("zone")[0] == [START]
assert plant.write(table.slice(0, 0)).samples == 0

# A write that is refused says why, and how far it came.
refused(hc.TagNotFound, lambda: plant.write({"tag": ["none"], "timestamp": pa.array([1], pa.timestamp("ns")), "value": [1.0]}), "none")
refused(ValueError, lambda: plant.write({"tag": ["none"], "value": [1.0]}), "timestamp")
refused(TypeError, lambda: plant.write(7), "int is no table")
wrong = pa.table({"tag": ["w"] * 150_000, "timestamp": pa.array(range(150_000), pa.timestamp("ns")), "value": [1.0] * 149_999 + [None]})
failed = refused(hc.WriteFailed, lambda: plant.write(wrong, create_tags=True), "a sample without a value needs a quality")
assert failed.acknowledged.samples == 131_072 == len(read("w")[0]) or len(plant.range("w", 0, "150000ns")) == 131_072
ahead = {"tag": ["w", "w"], "timestamp": pa.array([1, 2**62], pa.timestamp("ns")), "value": [1.0, 2.0]}
result = plant.write(ahead)
assert (result.samples, result.rejected) == (1, 1) and result.rejections[0]["timestamp"] == 2**62, result

# Reading: the catalog, current values, a range in all its forms.
catalog = plant.tags("package/**")
assert catalog["name"].to_pylist() == names.tolist() and catalog["value_type"].to_pylist() == ["f64"] * 4, catalog
assert len(plant.tags("nothing/**")) == 0
assert plant.current("package/**")["timestamp"].cast(pa.int64()).to_pylist() == times[-4:].tolist()
assert len(plant.range(names.tolist()[:2], START, START + 8_000_000)) == 4
assert len(plant.range("package/**", START, START + 8_000_000, limit=1)) == 4
reverse = plant.range(str(names[0]), moment + dt.timedelta(seconds=1), moment, limit=3)["timestamp"].cast(pa.int64()).to_pylist()
assert reverse == sorted(reverse, reverse=True) and len(reverse) == 3
assert plant.range("package/**", START, START + 8_000_000, layout="wide").column_names[1:3] == [names[0], f"{names[0]}#quality"]
edge = plant.range(str(names[0]), START + 50_000_001, START + 90_000_000, boundary="interpolated")
assert edge["timestamp"].cast(pa.int64()).to_pylist()[0] == START + 50_000_001
batches = plant.range_batches("package/**", START, "2026-01-02")
assert isinstance(batches, pa.RecordBatchReader) and sum(batch.num_rows for batch in batches) == SAMPLES
assert plant.fetch({"range": {"tags": ["zone"], "start": 0}})["value"].to_pylist() == [1.0]
plant.write({"tag": ["zone"], "timestamp": pa.array([START], pa.timestamp("ns")), "value": [2.0]})
assert plant.superseded("zone", 0)["value"].to_pylist() == [1.0]
good = hc.only_good(plant.range(str(names[0]), START, START + 10**12))
assert 0 < len(good) < SAMPLES // 4 and set(good["quality"].to_pylist()) == {0}
some = pa.table({"quality": pa.array([0, 0x0402, 0x4000_0000, 0x8000_0000, 0xFFFF_FFFF], pa.uint32())})
assert hc.severity(some["quality"]).to_pylist() == [hc.GOOD, hc.GOOD, hc.UNCERTAIN, hc.BAD, hc.BAD] and len(hc.not_bad(some)) == 3

# Operators, checked against plain arithmetic.
hour = pa.table({"tag": ["calc"] * 3600, "timestamp": pa.array(START + np.arange(3600) * 10**9, pa.timestamp("ns", "UTC")), "value": np.arange(3600.0)})
plant.write(hour, create_tags=True)
asked = {"start": moment.replace(microsecond=0), "end": "2026-01-01T01:00:00Z"}
answer = plant.aggregate("calc", **asked, interval=dt.timedelta(minutes=20), functions=["average", "maximum", "count"])
got = {}
for row in answer.to_pylist():
    got.setdefault(row["function"], []).append(row["value"])
assert got == {"average": [599.5, 1799.5, 2999.5], "maximum": [1199.0, 2399.0, 3599.0], "count": [1200.0] * 3}, got
assert answer["timestamp"].cast(pa.int64()).to_pylist()[::3] == [START + n * 1200 * 10**9 for n in range(3)], answer
assert len(plant.aggregate("calc", **asked, functions="minimum", configuration={"percent_data_good": 50, "percent_data_bad": 50})) == 1
days = plant.aggregate("calc", "2026-01-01", "2026-01-03", functions="count", calendar="day", zone="Europe/Berlin")
assert days["timestamp"].cast(pa.int64()).to_pylist()[0] == START - 3600 * 10**9, days
plot = plant.downsample("calc", **asked, points=100)
assert 4 <= len(plot) <= 100 and {0.0, 3599.0} <= set(plot["value"].to_pylist()), plot
assert 4 <= len(plant.downsample("calc", **asked, points=50, method="lttb")) <= 50
spiked = hour.set_column(0, "tag", pa.array(["spiked"] * 3600)).set_column(2, "value", pa.array(np.where(np.arange(3600) == 1800, 900.0, 20.0)))
plant.write(spiked, create_tags=True)
found = plant.anomalies("spiked", **asked, detector="limits", parameters={"high": 100.0})
assert len(found) == 1 and found["peak"].cast(pa.int64()).to_pylist() == [START + 1800 * 10**9], found
assert plant.anomalies("spiked", **asked, detector="limits", parameters={"high": 100.0}, output="counts")["count"].to_pylist() == [1]
assert len(plant.anomalies("spiked", **asked, detector="limits", parameters={"high": 100.0}, output="scores")) >= 1

detectors = plant.detectors()
assert detectors.column_names == ["detector", "description", "parameter", "unit", "default", "allowed", "meaning"], detectors
told = {(row["detector"], row["parameter"]): row for row in detectors.to_pylist()}
assert {"limits", "gap", "spike", "sigma", "seasonal"} <= {name for name, _ in told} and told["limits", "deadband"]["default"] == "0", told
assert told["limits", "high"]["default"] is None and "alarm above" in told["limits", "high"]["meaning"], told["limits", "high"]
refused(hc.ConnectionFailed, lambda: hc.connect("127.0.0.1:1").detectors(), "refused")
with socket.create_server(("127.0.0.1", 0)) as mute:
    refused(hc.DeadlineExceeded, lambda: hc.connect(f"127.0.0.1:{mute.getsockname()[1]}", timeout_s=0.2).detectors(), "")

# Key figures: an hour of a press, by hand.
MINUTE = 60 * 10**9


def put(tag, samples, kind=None):
    times, values, *qualities = zip(*samples)
    columns = {"tag": [tag] * len(times), "timestamp": pa.array([START + at for at in times], pa.timestamp("ns", "UTC")), "value": pa.array(values, kind)}
    return plant.write(columns | ({"quality": pa.array(qualities[0], pa.uint32())} if qualities else {}), create_tags=True).watermark


put("press/mode", [(0, "idle"), (10 * MINUTE, "run"), (40 * MINUTE, "down"), (45 * MINUTE, "run")])
put("press/on", [(0, False), (15 * MINUTE, True), (45 * MINUTE, False)])
put("press/step", [(0, 3), (30 * MINUTE, 7)], pa.int64())
put("press/count", [(0, 65_000), (20 * MINUTE, 65_500), (30 * MINUTE, 100), (50 * MINUTE, 40)], pa.int64())
put("press/power", [(0, 10.0, 0), (30 * MINUTE, 30.0, 0), (45 * MINUTE, None, BAD_SENSOR_FAILURE)])
HOUR = (START, START + 60 * MINUTE)
figures = ["tag", "start", "end", "label", "item", "value", "numerator", "denominator", "percent_good", "bad_seconds"]


def measured(tags, measure, interval=None, **options):
    answer = plant.measure(tags, *HOUR, measure, interval, **options)
    assert answer.column_names == figures, answer
    return [(row["item"], row["value"]) for row in answer.to_pylist()]


assert measured("press/mode", "time_in_state") == [("down", 300.0), ("idle", 600.0), ("run", 2700.0)]
assert measured("press/mode", "TIME_IN_STATE", states=["run", "idle"]) == [("run + idle", 3300.0)]
assert measured("press/mode", "TIME_IN_STATE", dt.timedelta(minutes=30), states="run") == [("run", 1200.0), ("run", 1500.0)]
assert measured("press/on", "TIME_IN_STATE", states=True) == [("true", 1800.0)] == measured("press/on", "TIME_IN_STATE", states="true")
assert measured("press/step", "TIME_IN_STATE", states=[np.int64(7)]) == [("7", 1800.0)] == measured("press/step", "TIME_IN_STATE", states=7)
assert measured("press/mode", "TRANSITIONS", to_state="run") == [("* → run", 2.0)]
assert measured("press/mode", "TRANSITIONS", from_state="run", to_state="down", dwell_min=pd.Timedelta("6min")) == [("run → down", 0.0)]
assert measured("press/step", "TRANSITIONS", from_state=3) == [("3 → *", 1.0)]
assert measured("press/count", "COUNTER_DELTA", rollover=65536) == [("delta", 500.0 + 136 + 40)]
assert measured("press/count", "COUNTER_DELTA", rollover=65536, reset="skip") == [("delta", 500.0 + 136)]
assert measured("press/power", "INTEGRAL", per="h") == [("integral", 10.0 + 7.5)]
assert measured("press/power", "INTEGRAL", per="h", rescale=True) == [("integral", 17.5 * 60 / 45)]
assert measured("press/power", "PERCENT_GOOD") == [("good", 75.0)]
shift = plant.measure("press/on", "2026-01-01", "2026-01-01T12:00", "PERCENT_GOOD", calendar="shift", shift_starts=["06:00", "14:00"], zone="Europe/Berlin")
assert shift["label"].to_pylist() == ["2025-12-31 14:00", "2026-01-01 06:00"] and shift["start"].cast(pa.int64())[0].as_py() == START - 60 * MINUTE, shift
for kind, options, fragment in [
    (hc.InvalidRequest, {"measure": "SPEED"}, "PERCENT_GOOD"),
    (hc.InvalidRequest, {"measure": "INTEGRAL"}, "time unit"),
    (hc.InvalidRequest, {"measure": "PERCENT_GOOD", "rollover": 5}, "COUNTER_DELTA"),
    (hc.InvalidRequest, {"measure": "PERCENT_GOOD", "treat_uncertain_as_bad": True, "calendar": "fortnight"}, "CALENDAR_FORTNIGHT"),
    (hc.InvalidRequest, {"measure": "PERCENT_GOOD", "interval": "soon"}, "interval"),
    (hc.InvalidRequest, {"measure": "TRANSITIONS", "dwell_min": -1}, "dwell_min"),
    (TypeError, {"measure": "TRANSITIONS", "dwell_min": 1.5}, "dwell_min"),
    (TypeError, {"measure": "TIME_IN_STATE", "states": [1.5]}, "states"),
    (TypeError, {"measure": "TRANSITIONS", "to_state": 1.5}, "to_state"),
    (TypeError, {"measure": 5}, "measure"),
    (ValueError, {"measure": "COUNTER_DELTA", "rollover": float("nan")}, "rollover"),
    (hc.InvalidRequest, {"measure": "COUNTER_DELTA", "tags": "press/mode"}, "press/mode"),
    (hc.TagNotFound, {"measure": "PERCENT_GOOD", "tags": "press/none"}, "press/none"),
]:
    refused(kind, lambda: plant.measure(**{"tags": "press/on", "start": START, "end": START + MINUTE, **options}), fragment)

# As-of joins: rows of any kind and in any order come back as they were, with what the tags were then.
batches = {
    "batch": ["B3", "B1", "B2", "B0"],
    "begun": pa.array([START + 41 * MINUTE, START, None, START - 1], pa.timestamp("ns", "UTC")),
    "timestamp": [1, 2, 3, 4],
    "part": pa.array([{"a": 1}, None, {"a": 2}, None]),
}
batches["union"] = pa.UnionArray.from_dense(pa.array([0, 0, 0, 0], pa.int8()), pa.array([0, 1, 2, 3], pa.int32()), [pa.array([5, 6, 7, 8])])
batches = pa.table(batches)
joined = plant.as_of(batches, ["press/mode", "press/power"], on="begun")
assert joined.select(batches.column_names).equals(batches)
assert joined.column_names[5:] == [f"press/{tag}{part}" for tag in ("mode", "power") for part in ("", "#timestamp", "#quality")], joined.column_names
assert joined["press/mode"].to_pylist() == ["down", "idle", None, None] and joined["press/power"].to_pylist() == [30.0, 10.0, None, None]
assert joined["press/mode#timestamp"].cast(pa.int64()).to_pylist() == [START + 40 * MINUTE, START, None, None]
assert joined.schema.field("press/power").metadata[b"tag"] == b"press/power" and joined["press/power#quality"].to_pylist() == [0, 0, None, None]
plain = batches.select(["batch", "begun"])
for rows in (plain.to_pandas(), pl.from_arrow(plain), batches.to_reader(), batches.to_batches()[0]):
    assert plant.as_of(rows, "press/mode", on="begun")["press/mode"].to_pylist() == ["down", "idle", None, None], rows
assert plant.as_of(plain.to_pandas(), "press/mode", on="begun").to_pandas()["press/mode"].tolist()[:2] == ["down", "idle"]
late = {"timestamp": pa.array([(START + 50 * MINUTE) // 10**9], pa.timestamp("s", "Europe/Berlin"))}
assert plant.as_of(late, "press/power")["press/power"].to_pylist() == [30.0]
assert plant.as_of(late, "press/power", quality="any")["press/power#quality"].to_pylist() == [BAD_SENSOR_FAILURE]
assert plant.as_of(late, "press/power", tolerance="19m")["press/power"].to_pylist() == [None]
assert plant.as_of(late, "press/power", tolerance=dt.timedelta(minutes=20))["press/power"].to_pylist() == [30.0]
over = {"timestamp": pa.array([START + 50 * MINUTE, START + 50 * MINUTE + 1], pa.timestamp("ns"))}
assert plant.as_of(over, "press/power", tolerance=dt.timedelta(minutes=20))["press/power"].to_pylist() == [30.0, None], "to the nanosecond"
many = pa.table({"number": range(2_000_000), "timestamp": pa.array(np.arange(2_000_000) * 1_800_000 + START, pa.timestamp("ns"))})
joined = plant.as_of(many, "press/*")
assert len(joined) == len(many) and joined["number"].equals(many["number"]) and joined["press/mode"].value_counts().to_pylist() == [
    {"values": "idle", "counts": 333_334}, {"values": "run", "counts": 1_500_000}, {"values": "down", "counts": 166_666}]
empty = plant.as_of(batches.slice(0, 0), "press/mode", on="begun")
assert len(empty) == 0 and empty.column_names[-1] == "press/mode#quality" and plant.as_of(batches, "nothing/**", on="begun").equals(batches)
for kind, rows, options, fragment in [
    (ValueError, {"time": [1]}, {}, "'timestamp' is missing"),
    (ValueError, {"timestamp": [1]}, {}, "int64"),
    (ValueError, batches, {"on": "batch"}, "string"),
    (ValueError, pa.table([many["timestamp"][:1]] * 2, ["timestamp"] * 2), {}, "twice"),
    (ValueError, {**late, "press/mode": [1]}, {}, "rename"),
    (TypeError, 7, {}, "int is no table"),
    (hc.InvalidRequest, {"timestamp": pa.array([2**40], pa.timestamp("s"))}, {}, "row 0"),
    (hc.InvalidRequest, late, {"tolerance": "long"}, "tolerance"),
    (hc.InvalidRequest, late, {"quality": "fine"}, "FINE"),
    (ValueError, late, {"tags": []}, "tags"),
    (hc.TagNotFound, many, {"tags": "press/none"}, "press/none"),
]:
    refused(kind, lambda: plant.as_of(rows, **{"tags": "press/mode", **options}), fragment)
refused(hc.ConnectionFailed, lambda: hc.connect("127.0.0.1:1").as_of(late, "press/mode"), "refused")
refused(hc.DeadlineExceeded, lambda: hc.connect(address, timeout_s=0.001).as_of(many, "press/*"), "")

# SQL, by the statement alone.
assert plant.sql("SELECT count(*) AS n FROM tags WHERE name LIKE 'package/%'").to_pylist() == [{"n": 4}]
assert plant.sql("SELECT name FROM tags WHERE name = 'nothing'").column_names == ["name"]
refused(hc.InvalidRequest, lambda: plant.sql("SELEKT 1"), "SELEKT")

# Refusals are exceptions that a program can tell apart.
refused(hc.TagNotFound, lambda: plant.range("no/such", 0), "no/such")
refused(hc.InvalidRequest, lambda: plant.range("**", "yesterday"), "start")
refused(ValueError, lambda: plant.range("**", 0, boundary="around"), "AROUND")
refused(hc.InvalidRequest, lambda: plant.aggregate("calc", 0, functions="no_such_function"), "no_such_function")
refused(hc.InvalidRequest, lambda: plant.anomalies("calc", 0, detector="no_such_detector"), "no_such_detector")
refused(hc.HistorianError, lambda: plant.range_batches("no/such", 0).read_all(), "no/such")
refused(hc.NotSupported, lambda: plant.fetch({"frobnicate": {}}), "frobnicate")
refused(hc.ConnectionFailed, lambda: hc.connect("127.0.0.1:1").current(), "refused")
refused(hc.DeadlineExceeded, lambda: hc.connect(address, timeout_s=1e-6).range("**", 0), "")
for words, kind in [
    ("Flight cancelled call, with message: Timeout expired. gRPC client debug context: CANCELLED:x. Client context: OK", hc.DeadlineExceeded),
    ("gRPC returned out-of-range error, with message: too far. gRPC client debug context: x. Client context: OK", hc.InvalidRequest),
    ("gRPC returned data loss error, with message: gone. Client context: OK", hc.DataLoss),
]:
    error = translated(pa.ArrowInvalid(words))
    assert type(error) is kind and "context" not in str(error), (words, error)
refused(ValueError, lambda: plant.range([], 0), "tags")
refused(TypeError, lambda: plant.range([1], 0), "tags")
refused(TypeError, lambda: plant.range_batches("calc", 0, boundry="inside"), "boundry")
for url in ("ftp://h:1", "grpc://h", "h", "grpc://:1"):
    refused(ValueError, lambda: hc.connect(url), "grpc://host:port")

# Export: in parallel into a directory, one file, taken up again, against one answer.
big = np.arange(300_000, dtype=np.int64)
for line in range(4):
    rows = {"tag": [f"export/{line}"] * len(big), "timestamp": pa.array(START + big * 10**9, pa.timestamp("ns", "UTC")), "value": big + line * 0.5}
    plant.write(pa.table(rows), create_tags=True, durability="INTERVAL")
SPAN = ("2026-01-01", "2026-02-01")
whole = plant.range("export/**", *SPAN)
assert len(whole) == 4 * len(big)


def same(tables):
    joined = pa.concat_tables([part.select(whole.column_names).cast(whole.schema) for part in tables])
    for column in ("tag", "timestamp", "value", "quality"):
        kind = pa.utf8() if column == "tag" else whole.schema.field(column).type
        assert joined[column].cast(kind).combine_chunks().equals(whole[column].cast(kind).combine_chunks()), column


with tempfile.TemporaryDirectory() as scratch:
    scratch = pathlib.Path(scratch)
    told = []
    done = plant.export("export/**", *SPAN, scratch / "all", workers=3, progress=told.append)
    assert done.rows == len(whole) and done.skipped == 0 and len(done.files) > 1, done
    same(pq.read_table(file) for file in done.files)
    assert (told[-1].parts, told[-1].rows) == (len(done.files), len(whole)), told[-1]
    assert sorted(path.name for path in (scratch / "all").iterdir()) == ["export.json", *(file.name for file in done.files)]
    metadata = pq.read_metadata(done.files[0])
    assert metadata.row_group(0).column(2).compression == "ZSTD", metadata.row_group(0).column(2)

    # The same again fetches nothing; without one part, that part alone.
    before = {file: file.stat().st_mtime_ns for file in done.files}
    assert plant.export("export/**", *SPAN, scratch / "all").skipped == len(done.files)
    done.files[1].unlink()
    assert plant.export("export/**", *SPAN, scratch / "all").skipped == len(done.files) - 1
    changed = [file for file in done.files if file.stat().st_mtime_ns != before[file]]
    assert changed == [done.files[1]], changed
    refused(FileExistsError, lambda: plant.export("export/0", *SPAN, scratch / "all"), "overwrite=True")
    assert plant.export("export/0", *SPAN, scratch / "all", overwrite=True).rows == len(big)
    assert len(list((scratch / "all").glob("part-*"))) == 1, "parts of the other export are gone"

    # Interrupted after its first part, taken up by another client.
    class Interrupted(Exception):
        pass

    def interrupt(now):
        if now.parts == 1:
            raise Interrupted

    try:
        plant.export("export/**", *SPAN, scratch / "cut", workers=1, progress=interrupt)
        raise AssertionError("not interrupted")
    except Interrupted:
        pass
    manifest = json.loads((scratch / "cut/export.json").read_text())
    there = [part for part in manifest["parts"] if part["rows"] is not None]
    assert len(there) == 1 and not manifest["complete"] and not list((scratch / "cut").glob("*.partial")), manifest
    with hc.connect(address) as other:
        taken_up = other.export("export/**", *SPAN, scratch / "cut")
    assert taken_up.skipped == 1 and taken_up.rows == len(whole)
    same(pq.read_table(file) for file in taken_up.files)

    # Relative times mean other samples each time.
    plant.export("export/**", 0, "*", scratch / "now")
    assert plant.export("export/**", 0, "*", scratch / "now").skipped == 0

    # One file of each kind; a connection that fails leaves none.
    for name, load in (("one.parquet", pq.read_table), ("one.arrow", lambda path: pa.ipc.open_file(path).read_all())):
        done = plant.export("export/**", *SPAN, scratch / name)
        assert done.files == [scratch / name] and done.rows == len(whole)
        same([load(scratch / name)])
    none = plant.export("nothing/**", *SPAN, scratch / "none.parquet")
    assert pq.read_table(none.files[0]).column_names == [*whole.column_names, "type"]
    # What tags of several types need to be imported as they were, exact integers and types among them.
    huge = 2**63 + 1
    for name, values in (("mixed/count", pa.array([huge], pa.uint64())), ("mixed/level", pa.array([0.5])), ("mixed/note", pa.array(["on"]))):
        plant.write(pa.table({"tag": [name], "timestamp": pa.array([START], pa.timestamp("ns", "UTC")), "value": values}), create_tags=True)
    for name in ("mixed.parquet", "mixed"):
        read = pa.concat_tables([pq.read_table(file) for file in plant.export("mixed/**", *SPAN, scratch / name).files])
        assert [str(kind) for kind in read["type"].to_pylist()] == ["u64", "f64", "string"], read
        assert [None if value is None else int(value) for value in read["integer"].to_pylist()] == [huge, None, None], read
        assert read["text"].to_pylist() == [None, None, "on"]
    arrow = plant.export("export/**", *SPAN, scratch / "arrow", format="arrow", compression="lz4")
    same(pa.ipc.open_file(file).read_all() for file in arrow.files)
    refused(hc.ConnectionFailed, lambda: hc.connect("127.0.0.1:1").export("x", 0, "1ns", scratch / "gone.parquet"), "refused")
    assert not list(scratch.glob("gone*"))
    refused(ValueError, lambda: plant.export("x", 0, "1ns", scratch / "x", format="xlsx"), "format")

# One client in several threads.
threads = [threading.Thread(target=lambda: told.append(len(plant.range("export/0", *SPAN)))) for _ in range(4)]
told = []
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert told == [len(big)] * 4, told

# Subscriptions. First what decides which rows are new, by itself: deliveries of random sizes in random pieces, the stream lost at random.
dice = random.Random(7)


def message(rows):
    tags, numbers, positions = zip(*rows)
    return pa.record_batch({"tag": list(tags), "value": list(numbers), "position": pa.array(positions, pa.uint64())})


def lost_and_found(writes):
    """Rows as they are handed on of writes, each a list of tags, and whether each position told was behind what had been handed on."""
    progress, handed = subscribe_module._Progress(0, False), []

    def stream(at):
        """Messages behind a position: whole writes together, a write that does not fit one in several of its own."""
        room, part, before = dice.randint(1, 9), [], at
        for write in range(at + 1, len(writes) + 1):
            rows = [(tag, number * 10_000 + write) for number, tag in enumerate(writes[write - 1])]
            if part and len(part) + len(rows) > room:
                yield part
                part = []
            while len(rows) > room:
                yield [(*row, before) for row in rows[:room]]
                rows = rows[room:]
            part += [(*row, write) for row in rows]
            before = write
        yield part

    while progress.behind < len(writes):
        progress.resumes()
        for part in stream(progress.behind):
            fresh, told = progress.take(message(part))
            handed += zip(fresh["tag"].to_pylist(), fresh["value"].to_pylist())
            assert [row for row in expected if row[1] % 10_000 <= told] == [row for row in handed if row[1] % 10_000 <= told], told
            if dice.random() < 0.1:
                break
    return handed


for _ in range(200):
    writes = [[dice.choice("abc") for _ in range(dice.randint(1, 20))] for _ in range(dice.randint(1, 15))]
    expected = [(tag, number * 10_000 + write) for write, tags in enumerate(writes, 1) for number, tag in enumerate(tags)]
    assert lost_and_found(writes) == expected, writes


class Wire:
    """Stands between client and historian, and breaks when told to, or after so many bytes."""

    def __init__(self, address):
        self.to = address.rsplit(":", 1)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.left, self.down, self.pairs = None, False, []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.listener.accept()
            if self.down:
                near.close()
                continue
            try:
                far = socket.create_connection((self.to[0], int(self.to[1])))
            except OSError:
                # The historian is starting: refused on both sides.
                near.close()
                continue
            self.pairs.append((near, far))
            for one, other, counts in ((near, far, False), (far, near, True)):
                threading.Thread(target=self.pump, args=(one, other, counts), daemon=True).start()

    def pump(self, one, other, counts):
        try:
            while data := one.recv(1 << 16):
                other.sendall(data)
                if counts and self.left is not None:
                    self.left -= len(data)
                    if self.left < 0:
                        self.left = None
                        break
        except OSError:
            pass
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        for near, far in self.pairs:
            for end in (near, far):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.pairs = []


def seen(subscription, rows, timeout_s=60):
    """The next rows as (tag, value or text)."""
    got, until = [], time.monotonic() + timeout_s
    while len(got) < rows:
        table = subscription.next(max(0.0, until - time.monotonic()))
        assert table is not None, f"{len(got)} of {rows} rows came"
        assert table["position"][-1].as_py() in (0, subscription.position), table
        got += [(tag, number if text is None else text) for tag, number, text in zip(*(table[name].to_pylist() for name in ("tag", "value", "text")))]
    return got


put("live/before", [(0, 1.5)])
put("live/word", [(0, "on")])
wire = Wire(address)
across = hc.connect(wire.address)
with plant.subscribe("live/*", current=True) as live, across.subscribe("live/n", reconnect_s=0) as brittle:
    assert sorted(seen(live, 2)) == [("live/before", 1.5), ("live/word", "on")] and live.next(0.05) is None
    begun = live.position
    put("other/tag", [(0, 1.0)])
    marks = [put("live/n", [(0, 0.0), (1, 1.0)])]
    table = live.next(10)
    assert table.column_names == ["tag", "timestamp", "value", "text", "quality", "position", "integer"], table.schema
    assert table.to_pandas()["value"].tolist() == [0.0, 1.0] and live.position == marks[0], (table, live.position, marks)
    marks.append(put("live/n", [(10, 10.0, 0), (11, None, BAD_SENSOR_FAILURE)]))
    table = live.next(10)
    assert table["quality"].to_pylist() == [0, BAD_SENSOR_FAILURE] and table["value"].to_pylist() == [10.0, None], table
    assert table["timestamp"].cast(pa.int64()).to_pylist() == [START + 10, START + 11] and table["position"].to_pylist() == [marks[1]] * 2
    assert [number for _, number in seen(brittle, 4)] == [0.0, 1.0, 10.0, None]
    # Resumed elsewhere, behind each of the two and behind a write of one's own.
    for position, expected in ((begun, [0.0, 1.0, 10.0, None]), (marks[0], [10.0, None])):
        with plant.subscribe("live/*", position=position) as again:
            assert [number for _, number in seen(again, len(expected))] == expected and again.next(0.1) is None
    wire.cut()
    refused(hc.ConnectionFailed, lambda: brittle.next(10), "")
    refused(hc.ConnectionFailed, lambda: next(brittle), "")
    # Closed by another thread, by the interruption of a program, and when nobody holds it; 300 of them, of which the historian allows 256 at once.
    threading.Timer(0.1, live.close).start()
    assert list(live) == [] and live.next() is None
for number in range(300):
    held = plant.subscribe("live/*")
    assert held.position >= marks[1]
    if number % 10 == 0:
        held.close()
    del held
idle = plant.subscribe("live/*")
signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Timer(0.3, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
waited = time.monotonic()
try:
    idle.next(30)
    raise AssertionError("not interrupted")
except KeyboardInterrupt:
    assert time.monotonic() - waited < 10
idle.close()

# A wire that breaks again and again, in the middle of large deliveries as well: every sample once, in the order of writing.
written = []  # each write: its rows, and how often it was tried
numbers = itertools.count()


def sizes(rounds, large):
    return [large if number % 6 == 3 else 1 + number % 5 for number in range(rounds)]


def write_some(target, rounds, large):
    for size in sizes(rounds, large):
        rows = [(tag, float(next(numbers))) for tag in ("torn/a", "torn/b") for _ in range(size)]
        tags, values = zip(*rows)
        times = pa.array([START + int(value) for value in values], pa.timestamp("ns", "UTC"))
        for tries in itertools.count(1):
            try:
                target.write({"tag": list(tags), "timestamp": times, "value": list(values)}, create_tags=True)
                break
            except (hc.ConnectionFailed, hc.WriteFailed):
                time.sleep(0.05)
        written.append((rows, tries))


def same_as_written(subscription, writing, rounds, large):
    """Reads while a thread writes, and compares with what it wrote.

    A write that was not acknowledged is tried again though it may be there, all or some batches of it; such writes come as they were done.
    """
    writing.start()
    got = seen(subscription, 2 * sum(sizes(rounds, large)))
    writing.join()
    while (table := subscription.next(0.5)) is not None:
        got += zip(table["tag"].to_pylist(), table["value"].to_pylist())
    at = 0
    for number, (rows, tries) in enumerate(written):
        whole = False
        for _ in range(tries):
            same = next((index for index, row in enumerate(rows) if at + index >= len(got) or got[at + index] != row), len(rows))
            whole = whole or same == len(rows)
            at += same
        assert whole, f"write {number} of {len(rows)} rows, tried {tries} times, is not whole: {got[at:][:3]} after {got[:at][-3:]}"
    assert at == len(got), f"{len(got) - at} rows more: {got[at:][:3]}"


def breaks_of(wire, until):
    while not until.wait(0.02):
        if wire.left is None:
            wire.left = dice.randint(1_000, 5_000_000)


done = threading.Event()
with across.subscribe("torn/*") as torn:

    def write_and_break():
        breaking = threading.Thread(target=breaks_of, args=(wire, done), daemon=True)
        breaking.start()
        write_some(plant, 36, 90_000)
        done.set()
        breaking.join()
        wire.left = None

    same_as_written(torn, threading.Thread(target=write_and_break, daemon=True), 36, 90_000)
    assert torn.reconnections >= 3, torn.reconnections
    # Away for a while; what is written meanwhile comes when the wire is back.
    wire.down = True
    wire.cut()
    away = put("torn/a", [(-1, -1.0)])
    time.sleep(0.5)
    wire.down = False
    # Together with a large one that was there already, so the position may lag; behind the next small one it does not.
    assert seen(torn, 1) == [("torn/a", -1.0)] and torn.position <= away, (torn.position, away)
    away = put("torn/a", [(-2, -2.0)])
    assert seen(torn, 1) == [("torn/a", -2.0)] and torn.position == away, (torn.position, away)
with across.subscribe("torn/*", current=True) as torn:
    assert len(seen(torn, 2)) == 2
    for number in (-3, -4):
        wire.cut()
        put("torn/a", [(number, float(number))])
        assert seen(torn, 1) == [("torn/a", float(number))] and torn.next(0.2) is None, "current values come once"
    assert torn.reconnections == 2, torn.reconnections

# What makes no sense says so.
ahead = refused(hc.PositionGone, lambda: plant.subscribe("live/*", position=10**12), "ahead")
assert ahead.position == 10**12 and isinstance(ahead, hc.InvalidRequest)
refused(ValueError, lambda: plant.subscribe([]), "tags")
refused(hc.InvalidRequest, lambda: plant.subscribe("live/["), "live/[")
refused(ValueError, lambda: plant.subscribe("live/*", position=-1), "position")
refused(ValueError, lambda: plant.subscribe("live/*", position=2**64), "position")
refused(ValueError, lambda: plant.subscribe("live/*", reconnect_s=-1), "reconnect_s")
refused(ValueError, lambda: plant.subscribe("live/*", reconnect_s=float("nan")), "reconnect_s")
for position in (1.5, "7", True):
    refused(TypeError, lambda: plant.subscribe("live/*", position=position), "position")
refused(hc.ConnectionFailed, lambda: hc.connect("127.0.0.1:1").subscribe("live/*"), "refused")

if binary:
    # A historian that is killed and stopped while it is written to and read.
    with tempfile.TemporaryDirectory() as scratch, socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        mine, http = (f"127.0.0.1:{held.getsockname()[1]}" for held in (one, two))
        one.close(), two.close()
        configuration = pathlib.Path(scratch, "historian.toml")
        configuration.write_text("[limits]\nstalled_reader_s = 1\n")
        command = [binary[0], "serve", "--config", configuration, "--data-dir", f"{scratch}/data", "--listen", mine, "--http", http]
        server = None

        def serve():
            global server
            server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def answers():
            try:
                return len(hc.connect(mine).current()) >= 0
            except hc.ConnectionFailed:
                time.sleep(0.05)
                return False

        def restarted(ends="kill"):
            if server is not None:
                getattr(server, ends)()
                server.wait()
            serve()
            while not answers():
                pass

        def put_there(number):
            own.write({"tag": ["torn/a"], "timestamp": pa.array([number], pa.timestamp("ns", "UTC")), "value": [float(number)]}, create_tags=True)

        try:
            restarted()
            own, written = hc.connect(mine), []
            # Nothing was ever written: position 0 is now, not the beginning, so what comes while the connection is lost would be missed.
            wire = Wire(mine)
            with own.subscribe("torn/*") as first, hc.connect(wire.address).subscribe("torn/*") as late:
                assert first.position == late.position == 0
                restarted()
                until = time.monotonic() + 30
                while first.reconnections == 0 or late.reconnections == 0:
                    assert time.monotonic() < until and first.next(0.05) is None and late.next(0.05) is None
                wire.down = True
                wire.cut()
                for number in range(3):
                    put_there(number)
                    assert seen(first, 1) == [("torn/a", float(number))]
                    restarted("kill" if number else "terminate")
                wire.down = False
                refused(hc.PositionGone, lambda: late.next(30), "subscribe behind 3")
            with own.subscribe("torn/*", reconnect_s=60) as torn:

                def write_and_end():
                    writing = threading.Thread(target=write_some, args=(hc.connect(mine), 60, 90_000), daemon=True)
                    writing.start()
                    for number, ends in enumerate(("kill", "terminate", "kill"), start=1):
                        time.sleep(0.7)
                        restarted(ends)
                        until = time.monotonic() + 30
                        while torn.reconnections < number and time.monotonic() < until:
                            time.sleep(0.05)
                    writing.join()

                same_as_written(torn, threading.Thread(target=write_and_end, daemon=True), 60, 90_000)
                assert torn.reconnections >= 3, torn.reconnections
                # Nobody takes what comes: the historian cuts the stream, and it goes on where it was.
                behind, written = torn.reconnections, []
                write_some(own, 42, 160_000)
                time.sleep(3)
                same_as_written(torn, threading.Thread(target=int), 42, 160_000)
                assert torn.reconnections > behind, "the historian has cut a stalled reader"
            brief = own.subscribe("torn/*", reconnect_s=0.5)
            server.kill()
            refused(hc.ConnectionFailed, lambda: brief.next(30), "")
        finally:
            server.kill()
            server.wait()

# The line of the bar.
shown = progress_module.line("export", hc.Progress(50_000, 100_000, 1, 4, 10.0))
assert shown == "export [############------------]  50 % of 100k rows, 5,000 rows/s, 10 s left, part 1 of 4", shown
assert progress_module.line("write", hc.Progress(7, None, 0, 0, 0.0)) == "write 7 rows"
print("ok")
