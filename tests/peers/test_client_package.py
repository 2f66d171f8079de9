"""The Python package of clients/python against a historian, by its public functions: times, tables, reading, operators, joins, refusals."""

import datetime as dt
import socket
from concurrent import futures

import grpc
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from package import MINUTE, hc, plant, put  # first: it finds the package

from historian_client import progress as progress_module
from historian_client.error import translated
from historian_client.time import as_duration, as_time
from lib import ADDRESS, BAD_SENSOR_FAILURE, NS, START, nanoseconds, refused

UTC = dt.timezone.utc
moment = dt.datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)


def test_every_kind_of_the_same_moment_is_the_same_text_or_nanoseconds():
    """None goes through a float."""
    exact = str(START + 1_000)
    berlin = dt.timezone(dt.timedelta(hours=1))
    for value in (moment, moment.astimezone(berlin), pd.Timestamp(moment), START + 1_000, np.int64(START + 1_000), pa.scalar(moment)):
        assert as_time(value, "start") == exact, value
    assert as_time(pd.Timestamp(START + 7, tz="Europe/Berlin"), "start") == str(START + 7)
    assert as_time(pa.scalar(START + 7, NS), "start") == str(START + 7)
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
        "timestamp": pa.array(times, NS),
        "value": pa.array(values, mask=times % 7_000_000 == 0),
        "quality": pa.array(np.where(times % 7_000_000 == 0, BAD_SENSOR_FAILURE, 0)),
    }
)


@pytest.fixture(scope="module", autouse=True)
def package_written():
    told = []
    result = plant.write(table, create_tags=True, progress=told.append)
    assert (result.samples, result.rejected) == (SAMPLES, 0) and result.watermark > 0, result
    assert told and told[-1].rows_expected == SAMPLES and told[0].rows <= told[-1].rows, told


def read(tag):
    got = plant.range(tag, START, START + 10**15)
    return got.column("timestamp").cast(pa.int64()).to_pylist(), got.column("value").to_pylist(), got.column("quality").to_pylist()


def test_every_kind_of_table_is_written_and_comes_back():
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


def test_a_write_that_is_refused_says_why_and_how_far_it_came():
    refused(hc.TagNotFound, lambda: plant.write({"tag": ["none"], "timestamp": pa.array([1], pa.timestamp("ns")), "value": [1.0]}), "none")
    refused(ValueError, lambda: plant.write({"tag": ["none"], "value": [1.0]}), "timestamp")
    refused(TypeError, lambda: plant.write(7), "int is no table")
    wrong = pa.table({"tag": ["w"] * 150_000, "timestamp": pa.array(range(150_000), pa.timestamp("ns")), "value": [1.0] * 149_999 + [None]})
    failed = refused(hc.WriteFailed, lambda: plant.write(wrong, create_tags=True), "a sample without a value needs a quality")
    assert failed.acknowledged.samples == 131_072 == len(plant.range("w", 0, "150000ns"))
    ahead = {"tag": ["w", "w"], "timestamp": pa.array([1, 2**62], pa.timestamp("ns")), "value": [1.0, 2.0]}
    result = plant.write(ahead)
    assert (result.samples, result.rejected) == (1, 1) and result.rejections[0]["timestamp"] == 2**62, result


@pytest.mark.parametrize("error", [pa.ArrowInvalid("row 7 is broken"), OSError("the disk is gone"), KeyError("of a generator")], ids=str)
def test_a_source_that_fails_halfway_ends_the_write_and_says_how_far_it_came(error):
    """It did hang, waiting for the acknowledgement of what was never sent."""
    rows = pa.table({"tag": ["source"] * 1000, "timestamp": pa.array(range(1000), pa.timestamp("ns", "UTC")), "value": [1.0] * 1000}).to_batches()[0]

    def failing():
        yield from [rows] * 20
        raise error

    def write():
        return plant.write(pa.RecordBatchReader.from_batches(rows.schema, failing()), create_tags=True)

    with futures.ThreadPoolExecutor(1) as thread:
        failed = refused(hc.WriteFailed, lambda: thread.submit(write).result(30), str(error.args[0]))
    assert failed.acknowledged.samples == 20_000 and failed.__cause__ is not None
    assert plant.write(rows).samples == 1000, "the client goes on"


def test_the_catalog_current_values_and_a_range_in_all_its_forms():
    """Reading: the catalog, current values, a range in all its forms."""
    catalog = plant.tags("package/**")
    assert catalog["name"].to_pylist() == names.tolist() and catalog["value_type"].to_pylist() == ["f64"] * 4, catalog
    assert len(plant.tags("nothing/**")) == 0
    assert nanoseconds(plant.current("package/**")["timestamp"]) == times[-4:].tolist()
    assert len(plant.range(names.tolist()[:2], START, START + 8_000_000)) == 4
    assert len(plant.range("package/**", START, START + 8_000_000, limit=1)) == 4
    reverse = plant.range(str(names[0]), moment + dt.timedelta(seconds=1), moment, limit=3)["timestamp"].cast(pa.int64()).to_pylist()
    first = (int(10**9) // 1_000_000) // 4 * 4  # of every fourth millisecond the last within a second
    assert reverse == [START + (first - 4 * back) * 1_000_000 for back in range(3)]
    assert plant.range("package/**", START, START + 8_000_000, layout="wide").column_names[1:3] == [names[0], f"{names[0]}#quality"]
    edge = plant.range(str(names[0]), START + 50_000_001, START + 90_000_000, boundary="interpolated")
    assert nanoseconds(edge["timestamp"])[0] == START + 50_000_001
    batches = plant.range_batches("package/**", START, "2026-01-02")
    assert isinstance(batches, pa.RecordBatchReader) and sum(batch.num_rows for batch in batches) == SAMPLES
    put("twice", [(0, 1.0)])
    assert plant.fetch({"range": {"tags": ["twice"], "start": 0}})["value"].to_pylist() == [1.0]
    put("twice", [(0, 2.0)])
    assert plant.superseded("twice", 0)["value"].to_pylist() == [1.0]


def test_samples_are_told_apart_by_their_severity():
    good = hc.only_good(plant.range(str(names[0]), START, START + 10**12))
    assert len(good) == int((times[::4] % 7_000_000 != 0).sum()) and set(good["quality"].to_pylist()) == {0}
    some = pa.table({"quality": pa.array([0, 0x0402, 0x4000_0000, 0x8000_0000, 0xFFFF_FFFF], pa.uint32())})
    assert hc.severity(some["quality"]).to_pylist() == [hc.GOOD, hc.GOOD, hc.UNCERTAIN, hc.BAD, hc.BAD] and len(hc.not_bad(some)) == 3


hour = pa.table({"tag": ["calc"] * 3600, "timestamp": pa.array(START + np.arange(3600) * 10**9, NS), "value": np.arange(3600.0)})
asked = {"start": moment.replace(microsecond=0), "end": "2026-01-01T01:00:00Z"}


@pytest.fixture(scope="module", autouse=True)
def hour_written():
    plant.write(hour, create_tags=True)


def test_aggregates_are_plain_arithmetic():
    answer = plant.aggregate("calc", **asked, interval=dt.timedelta(minutes=20), functions=["average", "maximum", "count"])
    got = {}
    for row in answer.to_pylist():
        got.setdefault(row["function"], []).append(row["value"])
    assert got == {"average": [599.5, 1799.5, 2999.5], "maximum": [1199.0, 2399.0, 3599.0], "count": [1200.0] * 3}, got
    assert nanoseconds(answer["timestamp"])[::3] == [START + n * 1200 * 10**9 for n in range(3)], answer
    least = plant.aggregate("calc", **asked, functions="minimum", configuration={"percent_data_good": 50, "percent_data_bad": 50})
    assert least["value"].to_pylist() == [0.0], least
    days = plant.aggregate("calc", "2026-01-01", "2026-01-03", functions="count", calendar="day", zone="Europe/Berlin")
    assert nanoseconds(days["timestamp"])[0] == START - 3600 * 10**9, days


def test_a_plot_has_no_more_points_than_asked_and_both_ends():
    plot = plant.downsample("calc", **asked, points=100)
    assert 4 <= len(plot) <= 100 and {0.0, 3599.0} <= set(plot["value"].to_pylist()), plot
    assert 4 <= len(plant.downsample("calc", **asked, points=50, method="lttb")) <= 50


def test_a_spike_is_found_counted_and_scored():
    spiked = hour.set_column(0, "tag", pa.array(["spiked"] * 3600)).set_column(2, "value", pa.array(np.where(np.arange(3600) == 1800, 900.0, 20.0)))
    plant.write(spiked, create_tags=True)
    found = plant.anomalies("spiked", **asked, detector="limits", parameters={"high": 100.0})
    assert len(found) == 1 and nanoseconds(found["peak"]) == [START + 1800 * 10**9], found
    assert plant.anomalies("spiked", **asked, detector="limits", parameters={"high": 100.0}, output="counts")["count"].to_pylist() == [1]
    scores = plant.anomalies("spiked", **asked, detector="limits", parameters={"high": 100.0}, output="scores")
    over = [at for at, score in zip(nanoseconds(scores["timestamp"]), scores["score"].to_pylist()) if score >= 1]
    assert len(scores) == 3600 and over == [START + 1800 * 10**9], scores


def test_detectors_tell_their_parameters():
    detectors = plant.detectors()
    assert detectors.column_names == ["detector", "description", "parameter", "unit", "default", "allowed", "meaning"], detectors
    told = {(row["detector"], row["parameter"]): row for row in detectors.to_pylist()}
    assert {"limits", "gap", "spike", "sigma", "seasonal"} <= {name for name, _ in told} and told["limits", "deadband"]["default"] == "0", told
    assert told["limits", "high"]["default"] is None and "alarm above" in told["limits", "high"]["meaning"], told["limits", "high"]
    refused(hc.ConnectionFailed, lambda: hc.connect("127.0.0.1:1").detectors(), "refused")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        refused(hc.DeadlineExceeded, lambda: hc.connect(f"127.0.0.1:{mute.getsockname()[1]}", timeout_s=0.2, connect_s=None).detectors(), "")


@pytest.fixture(scope="module", autouse=True)
def press_written():
    """Key figures: an hour of a press, by hand."""
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


def test_measures_are_those_of_an_hour_by_hand():
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


@pytest.mark.parametrize(("kind", "options", "fragment"), [
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
])
def test_a_measure_that_makes_no_sense_is_refused(kind, options, fragment):
    refused(kind, lambda: plant.measure(**{"tags": "press/on", "start": START, "end": START + MINUTE, **options}), fragment)


# As-of joins: rows of any kind and in any order come back as they were, with what the tags were then.
batches = {
    "batch": ["B3", "B1", "B2", "B0"],
    "begun": pa.array([START + 41 * MINUTE, START, None, START - 1], NS),
    "timestamp": [1, 2, 3, 4],
    "part": pa.array([{"a": 1}, None, {"a": 2}, None]),
}
batches["union"] = pa.UnionArray.from_dense(pa.array([0, 0, 0, 0], pa.int8()), pa.array([0, 1, 2, 3], pa.int32()), [pa.array([5, 6, 7, 8])])
batches = pa.table(batches)


def test_rows_of_any_kind_come_back_as_they_were_with_what_the_tags_were_then():
    joined = plant.as_of(batches, ["press/mode", "press/power"], on="begun")
    assert joined.select(batches.column_names).equals(batches)
    assert joined.column_names[5:] == [f"press/{tag}{part}" for tag in ("mode", "power") for part in ("", "#timestamp", "#quality")], joined.column_names
    assert joined["press/mode"].to_pylist() == ["down", "idle", None, None] and joined["press/power"].to_pylist() == [30.0, 10.0, None, None]
    assert nanoseconds(joined["press/mode#timestamp"]) == [START + 40 * MINUTE, START, None, None]
    assert joined.schema.field("press/power").metadata[b"tag"] == b"press/power" and joined["press/power#quality"].to_pylist() == [0, 0, None, None]
    plain = batches.select(["batch", "begun"])
    for rows in (plain.to_pandas(), pl.from_arrow(plain), batches.to_reader(), batches.to_batches()[0]):
        assert plant.as_of(rows, "press/mode", on="begun")["press/mode"].to_pylist() == ["down", "idle", None, None], rows
    assert plant.as_of(plain.to_pandas(), "press/mode", on="begun").to_pandas()["press/mode"].tolist()[:2] == ["down", "idle"]


late = {"timestamp": pa.array([(START + 50 * MINUTE) // 10**9], pa.timestamp("s", "Europe/Berlin"))}


def test_a_join_has_a_tolerance_to_the_nanosecond():
    assert plant.as_of(late, "press/power")["press/power"].to_pylist() == [30.0]
    assert plant.as_of(late, "press/power", quality="any")["press/power#quality"].to_pylist() == [BAD_SENSOR_FAILURE]
    assert plant.as_of(late, "press/power", tolerance="19m")["press/power"].to_pylist() == [None]
    assert plant.as_of(late, "press/power", tolerance=dt.timedelta(minutes=20))["press/power"].to_pylist() == [30.0]
    over = {"timestamp": pa.array([START + 50 * MINUTE, START + 50 * MINUTE + 1], pa.timestamp("ns"))}
    assert plant.as_of(over, "press/power", tolerance=dt.timedelta(minutes=20))["press/power"].to_pylist() == [30.0, None], "to the nanosecond"


many = pa.table({"number": range(2_000_000), "timestamp": pa.array(np.arange(2_000_000) * 1_800_000 + START, pa.timestamp("ns"))})


def test_a_join_takes_millions_of_rows_and_none():
    joined = plant.as_of(many, "press/*")
    assert len(joined) == len(many) and joined["number"].equals(many["number"]) and joined["press/mode"].value_counts().to_pylist() == [
        {"values": "idle", "counts": 333_334}, {"values": "run", "counts": 1_500_000}, {"values": "down", "counts": 166_666}]
    empty = plant.as_of(batches.slice(0, 0), "press/mode", on="begun")
    assert len(empty) == 0 and empty.column_names[-1] == "press/mode#quality" and plant.as_of(batches, "nothing/**", on="begun").equals(batches)


@pytest.mark.parametrize(("kind", "rows", "options", "fragment"), [
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
], ids=["no column", "integers", "texts", "twice", "a name", "no table", "too late", "tolerance", "quality", "no tags", "no such tag"])
def test_a_join_that_makes_no_sense_is_refused(kind, rows, options, fragment):
    refused(kind, lambda: plant.as_of(rows, **{"tags": "press/mode", **options}), fragment)


def test_a_join_that_cannot_be_made_in_time_says_so():
    refused(hc.ConnectionFailed, lambda: hc.connect("127.0.0.1:1").as_of(late, "press/mode"), "refused")
    refused(hc.DeadlineExceeded, lambda: hc.connect(ADDRESS, timeout_s=0.001, connect_s=None).as_of(many, "press/*"), "")


def test_sql_is_asked_by_the_statement_alone():
    assert plant.sql("SELECT count(*) AS n FROM tags WHERE name LIKE 'package/%'").to_pylist() == [{"n": 4}]
    assert plant.sql("SELECT name FROM tags WHERE name = 'nothing'").column_names == ["name"]
    refused(hc.InvalidRequest, lambda: plant.sql("SELEKT 1"), "SELEKT")


def test_refusals_are_exceptions_that_a_program_can_tell_apart():
    refused(hc.TagNotFound, lambda: plant.range("no/such", 0), "no/such")
    refused(hc.InvalidRequest, lambda: plant.range("**", "yesterday"), "start")
    refused(ValueError, lambda: plant.range("**", 0, boundary="around"), "AROUND")
    refused(hc.InvalidRequest, lambda: plant.aggregate("calc", 0, functions="no_such_function"), "no_such_function")
    refused(hc.InvalidRequest, lambda: plant.anomalies("calc", 0, detector="no_such_detector"), "no_such_detector")
    refused(hc.HistorianError, lambda: plant.range_batches("no/such", 0).read_all(), "no/such")
    refused(hc.NotSupported, lambda: plant.fetch({"frobnicate": {}}), "frobnicate")
    refused(hc.ConnectionFailed, lambda: hc.connect("127.0.0.1:1").current(), "refused")
    refused(hc.DeadlineExceeded, lambda: hc.connect(ADDRESS, timeout_s=1e-6, connect_s=None).range("**", 0), "")
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
    for url in ("ftp://h:1", "grpc://:1", "h:0", "h:99999", "h:x", "h:", "a b", "[::1", "grpc://h/path", "grpc+tls://"):
        refused(ValueError, lambda: hc.connect(url), "grpc://host:port")


class Doorkeeper(grpc.GenericRpcHandler):
    """Keeps the header `authorization` of each call, and serves none."""

    def __init__(self):
        self.shown = []

    def service(self, details):
        self.shown.append((details.method.rpartition("/")[2], dict(details.invocation_metadata).get("authorization")))


def test_a_token_goes_with_every_call_and_is_shown_nowhere(tmp_path, monkeypatch):
    keeper, server = Doorkeeper(), grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((keeper,))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    with hc.connect(address, token="hst_canary", connect_s=None) as guarded:
        calls = [
            lambda: guarded.tags(),
            lambda: guarded.current(),
            lambda: guarded.sql("SELECT 1"),
            lambda: guarded.write(hour),
            lambda: guarded.as_of(batches.select(["begun"]), "a", on="begun"),
            lambda: guarded.export("a", "*-1h", "*", tmp_path / "parts"),
            lambda: guarded.export("a", "*-1h", "*", tmp_path / "one.parquet"),
            lambda: guarded.subscribe("a"),
            lambda: guarded.subscribe("a", position=5).next(10),
            lambda: guarded.detectors(),
        ]
        for call in calls:
            assert "canary" not in str(refused(hc.HistorianError, call))
        assert "canary" not in repr(guarded)
    methods = {method for method, _ in keeper.shown}
    assert {"ListFlights", "DoGet", "GetFlightInfo", "DoPut", "DoExchange", "ListDetectors"} <= methods, methods
    assert {shown for _, shown in keeper.shown} == {"Bearer hst_canary"}, keeper.shown
    keeper.shown.clear()
    monkeypatch.setenv("HISTORIAN_TOKEN", "hst_of_variable")
    with hc.connect(address, connect_s=None) as guarded:
        refused(hc.HistorianError, guarded.current)
    monkeypatch.delenv("HISTORIAN_TOKEN")
    with hc.connect(address, connect_s=None) as open_to_all:
        refused(hc.HistorianError, open_to_all.current)
    assert keeper.shown == [("DoGet", "Bearer hst_of_variable"), ("DoGet", None)], keeper.shown
    server.stop(None)
    for text in ("two words", "a\nb", "ä"):
        assert text not in str(refused(ValueError, lambda: hc.connect(address, token=text), "no token"))


def test_the_bar_is_a_line():
    shown = progress_module.line("export", hc.Progress(50_000, 100_000, 1, 4, 10.0))
    assert shown == "export [############------------]  50 % of 100k rows, 5,000 rows/s, 10 s left, part 1 of 4", shown
    assert progress_module.line("write", hc.Progress(7, None, 0, 0, 0.0)) == "write 7 rows"


def test_a_token_is_not_sent_where_it_could_be_read_on_the_way():
    for url in ["grpc://192.0.2.1:8815", "http://plant.example:8815", "[2001:db8::1]:8815", "localhost.example:8815"]:
        told = str(refused(ValueError, lambda url=url: hc.connect(url, token="hst_canary"), "grpc+tls://"))
        assert "hst_canary" not in told
        hc.connect(url, connect_s=None).close()
    for url in ["grpc://127.0.0.1:1", "localhost:1", "grpc://[::1]:1", "grpc+tls://plant.example:8815", "unix:///nowhere/historian.sock"]:
        hc.connect(url, token="hst_canary", connect_s=None).close()
    refused(ValueError, lambda: hc.connect("unix://historian.sock"), "unix:///path")
