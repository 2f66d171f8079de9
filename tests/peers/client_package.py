"""The Python package of clients/python against a historian, by its public functions. Arguments: host:port, root of the checkout."""

import datetime as dt
import json
import pathlib
import sys
import tempfile
import threading

address, root = sys.argv[1:]
sys.path.insert(0, str(pathlib.Path(root) / "clients/python/src"))

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.flight as flight
import pyarrow.parquet as pq

import historian_client as hc
from historian_client import progress as progress_module
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
assert as_time(dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "start") == "-1000"
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
assert failed.acknowledged.samples == 131_072 == len(read("w")[0]) or len(plant.range("w", 0, 150_000)) == 131_072
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
    assert pq.read_table(none.files[0]).column_names == whole.column_names
    arrow = plant.export("export/**", *SPAN, scratch / "arrow", format="arrow", compression="lz4")
    same(pa.ipc.open_file(file).read_all() for file in arrow.files)
    refused(hc.ConnectionFailed, lambda: hc.connect("127.0.0.1:1").export("x", 0, 1, scratch / "gone.parquet"), "refused")
    assert not list(scratch.glob("gone*"))
    refused(ValueError, lambda: plant.export("x", 0, 1, scratch / "x", format="xlsx"), "format")

# One client in several threads.
threads = [threading.Thread(target=lambda: told.append(len(plant.range("export/0", *SPAN)))) for _ in range(4)]
told = []
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert told == [len(big)] * 4, told

# The line of the bar.
shown = progress_module.line("export", hc.Progress(50_000, 100_000, 1, 4, 10.0))
assert shown == "export [############------------]  50 % of 100k rows, 5,000 rows/s, 10 s left, part 1 of 4", shown
assert progress_module.line("write", hc.Progress(7, None, 0, 0, 0.0)) == "write 7 rows"
print("ok")
