"""Wide frames of the Python package, out of the historian and into it. numpy and pandas judge, by the samples that were written."""

import datetime as dt
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from package import hc, plant  # first: it finds the package

from historian_client.grid import Every
from lib import BAD_NO_COMMUNICATION, BAD_SENSOR_FAILURE, NS, ROOT, SECOND, UNCERTAIN, nanoseconds, refused

# Four days in Berlin, one of them with 23 hours.
BEGIN, END = pd.Timestamp("2026-03-27", tz="Europe/Berlin"), pd.Timestamp("2026-03-31", tz="Europe/Berlin")
ZONE = "Europe/Berlin"
MODES = ["off", "starting", "running", "", "running"]  # a state without a name, and two of one name
RANDOM = np.random.default_rng(29)


def moments(count):
    """Irregular times to the nanosecond, sorted, none twice."""
    return np.unique(RANDOM.integers(BEGIN.value, END.value, count))


def qualities(times):
    """Mostly Good; two Bad runs, single Bad samples, and some Uncertain."""
    code = np.zeros(len(times), np.uint32)
    for start, stop in ((0.2, 0.24), (0.6, 0.61)):
        code[int(start * len(times)) : int(stop * len(times))] = BAD_SENSOR_FAILURE
    code[RANDOM.integers(0, len(times), 5)] = BAD_NO_COMMUNICATION
    code[RANDOM.integers(0, len(times), 20)] = UNCERTAIN
    return code


class Written:
    """A tag, and what was written to it. Bad samples have values too, which nobody may get to see."""

    def __init__(self, name, kind, values, count, **about):
        self.name, self.times = name, moments(count)
        self.codes = qualities(self.times)
        self.bad = self.codes >= BAD_SENSOR_FAILURE & 0x80000000
        self.values = values(len(self.times))
        self.type = {"f64": pa.float64(), "f32": pa.float32(), "i64": pa.int64(), "u64": pa.uint64(), "bool": pa.bool_(), "string": pa.utf8(), "state": pa.uint32()}[kind]
        plant.create_tag(name, kind, **about)
        columns = {"tag": [name] * len(self.times), "timestamp": pa.array(self.times, NS), "value": pa.array(self.values, self.type), "quality": pa.array(self.codes)}
        assert plant.write(columns).samples == len(self.times)

    def series(self, shown=lambda value: value):
        """What is not Bad, by time."""
        index = pd.DatetimeIndex(self.times, tz="UTC")
        return pd.Series([None if bad else shown(value) for value, bad in zip(self.values, self.bad)], index=index, dtype=object)

    def last(self, at):
        """By pandas: the last sample at or before each time, None where it is Bad or there is none."""
        rows = pd.DataFrame({"at": at, "row": range(len(at))})
        samples = pd.DataFrame({"at": pd.DatetimeIndex(self.times, tz="UTC").astype(at.dtype), "place": range(len(self.times))})
        places = pd.merge_asof(rows, samples, on="at")["place"]
        return [None if np.isnan(place) or self.bad[int(place)] else self.values[int(place)] for place in places]

    def line(self, at):
        """By numpy: on the line between the samples that are not Bad; None where the last sample is."""
        times, values = self.times[~self.bad], np.asarray(self.values, float)[~self.bad]
        origin = self.times[0]
        drawn = np.interp((at.asi8 - origin).astype(float), (times - origin).astype(float), values)
        return [None if last is None else value for last, value in zip(self.last(at), drawn)]


def words(count):
    return list(RANDOM.choice(["Batch 7, “a”", "β-2", "", "x\ny"], count))


@pytest.fixture(scope="module")
def tags():
    return [
        Written("frame/flow", "f64", lambda n: RANDOM.normal(50, 10, n), 4_000, unit="m3/h"),
        Written("frame/flow32", "f32", lambda n: RANDOM.normal(5, 1, n).astype(np.float32), 900),
        Written("frame/valve", "f64", lambda n: RANDOM.integers(0, 100, n).astype(float), 500, stepped=True),
        Written("frame/count", "i64", lambda n: [2**53 + 2 * int(k) + 1 for k in range(n)], 600),
        Written("frame/serial", "u64", lambda n: [2**64 - 1 - int(k) for k in range(n)], 300),
        Written("frame/on", "bool", lambda n: [bool(k) for k in RANDOM.integers(0, 2, n)], 400),
        Written("frame/batch", "string", words, 200),
        Written("frame/mode", "state", lambda n: [int(k) for k in RANDOM.choice([0, 1, 2, 3, 4, 9], n)], 300, state_set=MODES),
    ]


NAMES = {0: "off", 1: "starting", 2: "running", 3: "3", 4: "4", 9: "9"}


def shown(tag):
    return (lambda number: NAMES[number]) if tag.name == "frame/mode" else (lambda value: value)


def same(column, expected, tolerance=0.0):
    """Missing where nothing is expected, and else the same; of floats nearly."""
    got = [None if value is pd.NA or value is None or value != value else value for value in column.tolist()]
    assert len(got) == len(expected)
    assert [value is None for value in got] == [value is None for value in expected]
    for mine, other in zip(got, expected):
        assert mine == other or (tolerance and abs(mine - other) <= tolerance * max(1.0, abs(other))), (mine, other)


def test_raw_samples_are_joined_and_nothing_bad_is_a_value(tags):
    frame = plant.frame("frame/*", BEGIN, END, zone=ZONE)
    assert str(frame.index.dtype) == "datetime64[ns, Europe/Berlin]" and frame.index.name == "timestamp"
    every = np.unique(np.concatenate([tag.times for tag in tags]))
    assert frame.index.asi8.tolist() == every.tolist()
    types = {"flow": "float64", "flow32": "float32", "valve": "float64", "count": "Int64", "serial": "UInt64", "on": "boolean", "batch": "string", "mode": "category"}
    assert {name.removeprefix("frame/"): str(kind) for name, kind in frame.dtypes.items()} == types
    for tag in tags:
        expected = tag.series(shown(tag)).reindex(frame.index).tolist()
        same(frame[tag.name], [None if value is None or value != value else value for value in expected])
    assert frame.attrs["historian"]["frame/flow"]["unit"] == "m3/h" and frame.attrs["historian"]["frame/mode"]["state_set"] == MODES
    assert frame["frame/mode"].cat.categories.tolist() == ["off", "starting", "running", "3", "4", "9"]


def test_qualities_stand_beside_where_they_are_asked_for(tags):
    frame = plant.frame(["frame/mode", "frame/flow"], BEGIN, END, quality=True)
    assert frame.columns.tolist() == ["frame/mode", "frame/mode#quality", "frame/flow", "frame/flow#quality"], "in the order of the request"
    told = frame["frame/flow#quality"].dropna()
    assert told.tolist() == tags[0].codes.tolist() and told.index.asi8.tolist() == tags[0].times.tolist()
    assert plant.frame("frame/*", BEGIN, END).columns.tolist() == sorted(tag.name for tag in tags)


@pytest.mark.parametrize("every", ["10m", dt.timedelta(minutes=7, seconds=3), "1h30m"])
def test_sampled_values_are_those_of_numpy_and_pandas(tags, every):
    step = pd.Timedelta(every)
    grid = pd.date_range(BEGIN, END, freq=step, inclusive="left", unit="ns")
    frame = plant.frame("frame/*", BEGIN, END, every=every, zone=ZONE)
    held = plant.frame("frame/*", BEGIN, END, every=every, zone=ZONE, method="last")
    assert frame.index.equals(grid) and held.index.equals(grid)
    in_utc = grid.tz_convert("UTC")
    for tag in tags:
        name = shown(tag)
        last = [None if value is None else name(value) for value in tag.last(in_utc)]
        same(held[tag.name], last)
        if tag.name in ("frame/flow", "frame/flow32"):
            same(frame[tag.name], tag.line(in_utc), 1e-9 if tag.name == "frame/flow" else 1e-6)
        else:
            same(frame[tag.name], last)
    assert frame.dtypes.equals(held.dtypes) and frame["frame/flow"].isna().sum() >= 5 and frame["frame/count"].max() > 2**53


def test_no_row_is_a_number_where_the_last_sample_is_bad():
    """A line across a Bad run would be a number that nobody measured."""
    times = [0, 10, 20, 30, 60]
    rows = {"tag": ["frame2/line"] * 5, "timestamp": pa.array([BEGIN.value + at * SECOND for at in times], NS), "value": [0.0, 10.0, 777.0, 888.0, 60.0]}
    rows["quality"] = pa.array([0, 0, BAD_SENSOR_FAILURE, BAD_SENSOR_FAILURE, 0], pa.uint32())
    plant.write(rows, create_tags=True)
    frame = plant.frame("frame2/line", BEGIN.value - 5 * SECOND, BEGIN.value + 80 * SECOND, every="5s", quality=True)
    assert frame["frame2/line"].fillna(-1).tolist() == [-1.0, 0.0, 5.0, 10.0, 15.0] + [-1.0] * 8 + [60.0] * 4
    codes = frame["frame2/line#quality"]
    assert (codes.iloc[5:13] == BAD_SENSOR_FAILURE).all() and codes.iloc[1] == codes.iloc[3] == codes.iloc[13] == 0
    # A line that passes over Bad samples, or goes on behind the last one, is told apart.
    assert [code >> 30 for code in (codes.iloc[2], codes.iloc[4], codes.iloc[14])] == [0, 1, 1]
    whole = plant.frame("frame2/line", BEGIN.value, BEGIN.value + 80 * SECOND)
    assert 777.0 not in whole["frame2/line"].tolist() and whole["frame2/line"].isna().sum() == 2
    averaged = plant.frame("frame2/line", BEGIN.value, BEGIN.value + 80 * SECOND, every="20s", method="maximum")
    assert not averaged["frame2/line"].isin([777.0, 888.0]).any()


def test_what_is_yet_to_come_is_no_value():
    """A value holds until the next sample, but not longer than anybody can know."""
    now = pd.Timestamp.now("UTC")
    plant.write({"tag": ["frame2/now"], "timestamp": pa.array([(now - pd.Timedelta("1h")).value], NS), "value": [True]}, create_tags=True)
    frame = plant.frame("frame2/now", now - pd.Timedelta("90min"), now + pd.Timedelta("2h"), every="10m", quality=True)
    known = frame["frame2/now"].notna().tolist()
    assert known[3:9] == [True] * 6 and not any(known[:3]) and not any(known[11:]) and len(known) == 21, known


def test_days_of_23_and_25_hours_are_those_of_the_zone():
    for start, end, hours in (("2026-03-27", "2026-04-01", 23), ("2026-10-23", "2026-10-28", 25)):
        first, last = pd.Timestamp(start, tz=ZONE), pd.Timestamp(end, tz=ZONE)
        at = pd.date_range(first, last, freq="1min", inclusive="left", unit="ns")
        ramp = np.arange(len(at), dtype=float)
        plant.write({"tag": ["frame3/ramp"] * len(at), "timestamp": pa.array(at.asi8, NS), "value": ramp}, create_tags=True)
        plant.write({"tag": ["frame3/held"] * len(at), "timestamp": pa.array(at.asi8, NS), "value": at.hour.to_numpy()}, create_tags=True)
        days = pd.date_range(first, last, freq="D", inclusive="left", unit="ns")
        counted = plant.frame(["frame3/held", "frame3/ramp"], start, end, every="1d", method="count", zone=ZONE)
        assert counted.index.equals(days) and sorted(set(counted["frame3/ramp"])) == sorted({24 * 60.0, hours * 60.0})
        sampled = plant.frame(["frame3/held", "frame3/ramp"], start, end, every="1d", zone=ZONE)
        assert sampled.index.equals(days) and sampled["frame3/held"].tolist() == [0] * 5, "midnight in Berlin is the hour 0"
        assert sampled["frame3/ramp"].tolist() == ramp[at.isin(days)].tolist()
        # Averages of a line, by arithmetic: between its ends, and at the end of the last day no next sample is known.
        average = plant.frame("frame3/ramp", start, end, every="1d", method="time_average", zone=ZONE)["frame3/ramp"].tolist()
        ends = np.append(ramp[at.isin(days)][1:], [])
        assert np.allclose(average[:-1], (ramp[at.isin(days)][:-1] + ends) / 2)
        even = plant.frame("frame3/held", start, end, every="24h", zone=ZONE)
        assert [time.hour for time in even.index].count(0) < 5, "24 hours are no day where the clocks change"
    months = plant.frame("frame3/ramp", "2025-11-30", "2026-03-02", every="1mo", zone=ZONE)
    assert months.index.strftime("%Y-%m-%d %H:%M").tolist() == ["2025-11-30 00:00", "2025-12-01 00:00", "2026-01-01 00:00", "2026-02-01 00:00", "2026-03-01 00:00"]
    # A row that begins within a day, and days that begin when the clocks have gone forward: 00:00 does not exist.
    assert plant.frame("frame3/ramp", "2026-03-28T05:00", "2026-03-31", every="1d", zone=ZONE).index.hour.tolist() == [5, 0, 0]
    cuba = plant.frame("frame3/ramp", "2026-03-07", "2026-03-10", every="1d", zone="America/Havana", method="count")
    assert cuba.index.hour.tolist() == [0, 1, 0]


def test_the_starts_of_calendar_intervals_are_those_of_pandas():
    first, last = pd.Timestamp("2024-02-20T13:45", tz=ZONE), pd.Timestamp("2027-03-01", tz=ZONE)
    for every, frequency in (("1d", "D"), ("1w", "W-MON"), ("1mo", "MS"), ("1y", "YS")):
        starts = pd.date_range(first.normalize(), last, freq=frequency, inclusive="left", unit="ns")
        expected = [first.value, *(int(at) for at in starts.asi8 if at > first.value)]
        assert Every.of(every, ZONE).rows(first.value, last.value, ZONE) == expected, every


def test_an_aggregate_of_a_stepped_tag_draws_no_line():
    plant.create_tag("frame4/step", "f64", stepped=True)
    for name in ("frame4/step", "frame4/line"):
        plant.write({"tag": [name] * 3, "timestamp": pa.array([BEGIN.value + at * SECOND for at in (0, 60, 120)], NS), "value": [0.0, 10.0, 10.0]}, create_tags=True)
    frame = plant.frame(["frame4/line", "frame4/step"], BEGIN, BEGIN + pd.Timedelta("2min"), every="1m", method="time_average")
    assert frame["frame4/line"].tolist() == [5.0, 10.0] and frame["frame4/step"].tolist() == [0.0, 10.0]
    both = plant.frame("frame4/*", BEGIN, BEGIN + pd.Timedelta("2min"), every="1m", method="total")
    assert np.allclose(both["frame4/line"], [300.0, 600.0]) and np.allclose(both["frame4/step"], [0.0, 600.0])


def test_polars_and_arrow_have_the_same_types_and_values(tags):
    frame = plant.frame("frame/*", BEGIN, END, every="1h", zone=ZONE, to="polars")
    assert isinstance(frame, pl.DataFrame) and frame.schema["timestamp"] == pl.Datetime("ns", ZONE)
    kinds = [frame.schema[f"frame/{name}"] for name in ("flow", "flow32", "count", "serial", "on", "batch")]
    assert kinds == [pl.Float64, pl.Float32, pl.Int64, pl.UInt64, pl.Boolean, pl.String]
    table = plant.frame("frame/*", BEGIN, END, every="1h", zone=ZONE, to="arrow")
    assert isinstance(table, pa.Table) and table.schema.field("timestamp").type == pa.timestamp("ns", ZONE)
    assert table.schema.field("frame/mode").type == pa.dictionary(pa.int32(), pa.utf8()) and table.schema.field("frame/flow").metadata[b"unit"] == b"m3/h"
    for tag in tags:
        assert frame[tag.name].cast(pl.String).to_list() == pl.Series(table[tag.name].to_pylist(), dtype=frame.schema[tag.name]).cast(pl.String).to_list(), tag.name
    frame = frame.with_columns(pl.col("frame/mode").cast(pl.String))
    assert frame["frame/mode"].to_list() == table["frame/mode"].to_pylist()


def test_answers_without_rows_and_without_tags_have_their_columns(tags):
    for options in ({}, {"every": "1m"}, {"every": "1d", "method": "count"}, {"every": "1m", "method": "last"}):
        nothing = plant.frame("frame/*", BEGIN, BEGIN, **options)
        assert len(nothing) == 0 and len(nothing.columns) == 8 and str(nothing.index.dtype) == "datetime64[ns, UTC]", options
        early = plant.frame("frame/*", "2001-01-01", "2001-01-02", **options)
        assert len(early.columns) == 8 and (options.get("method") == "count" or early.isna().all(axis=None)), options
        none = plant.frame("nothing/**", BEGIN, END, **options)
        assert none.columns.tolist() == [] and none.index.name == "timestamp", options


@pytest.mark.parametrize(("kind", "options", "fragment"), [
    (hc.TagNotFound, {"tags": ["frame/flow", "frame/none"]}, "frame/none"),
    (ValueError, {"every": "often"}, '"10s"'),
    (ValueError, {"every": "0s"}, "0s"),
    (ValueError, {"every": "2d", "zone": ZONE}, "23 to 25 hours"),
    (ValueError, {"every": "1ns"}, "rows"),
    (TypeError, {"every": 1.5}, "every"),
    (ValueError, {"method": "last"}, "every="),
    (ValueError, {"every": "1h", "method": "mean"}, "time_average"),
    (ValueError, {"zone": "Europe/Berlim"}, "IANA"),
    (ValueError, {"start": END, "end": BEGIN}, "before the start"),
    (ValueError, {"to": "spark"}, "polars"),
    (ValueError, {"configuration": {"stepped": True}}, "every="),
    (hc.InvalidRequest, {"start": "soon"}, "start"),
])
def test_a_frame_that_makes_no_sense_is_refused(tags, kind, options, fragment):
    refused(kind, lambda: plant.frame(**{"tags": "frame/flow", "start": BEGIN, "end": END, **options}), fragment)


# Into the historian.


def copied(tags, frame, prefix, **options):
    """Writes a frame to tags of the same types under another name; the samples of each that are then there."""
    for tag in tags:
        about = plant.tag(tag.name)
        plant.create_tag(tag.name.replace("frame/", prefix), about.value_type, stepped=about.stepped, state_set=about.state_set)
    rename = {name: name.replace("frame/", prefix) for name in frame.columns}
    written = plant.write_frame(frame.rename(columns=rename) if isinstance(frame, pd.DataFrame) else frame.rename(rename), **options)
    return written, {tag.name: plant.range(tag.name.replace("frame/", prefix), BEGIN, END) for tag in tags}


def test_what_a_frame_has_is_written_back_as_it_was(tags):
    for prefix, to in (("back/", "pandas"), ("backp/", "polars")):
        written, there = copied(tags, plant.frame("frame/*", BEGIN, END, zone=ZONE, to=to), prefix)
        assert written.samples == sum(int((~tag.bad).sum()) for tag in tags)
        for tag in tags:
            answer = there[tag.name]
            assert nanoseconds(answer["timestamp"]) == tag.times[~tag.bad].tolist() and answer["value"].type == tag.type
            assert answer["value"].to_pylist() == pa.array([value for value, bad in zip(tag.values, tag.bad) if not bad], tag.type).to_pylist(), tag.name
            assert set(answer["quality"].to_pylist()) == {0}


def test_with_their_qualities_bad_samples_are_written_back_without_values(tags):
    frame = plant.frame("frame/*", BEGIN, END, quality=True)
    written, there = copied(tags, frame, "backq/")
    assert written.samples == sum(len(tag.times) for tag in tags)
    for tag in tags:
        answer = there[tag.name]
        assert nanoseconds(answer["timestamp"]) == tag.times.tolist() and answer["quality"].to_pylist() == tag.codes.tolist()
        assert answer["value"].is_null().to_pylist() == tag.bad.tolist()


def test_a_missing_value_is_dropped_bad_or_a_mistake():
    index = pd.date_range("2026-05-01", periods=4, freq="1h", tz="UTC")
    frame = pd.DataFrame({"nan/a": [1.0, np.nan, 3.0, np.nan], "nan/b": pd.array([2**60 + 1, None, None, 5], "Int64")}, index=index)
    refused(hc.TagNotFound, lambda: plant.write_frame(frame), "'nan/a', 'nan/b'", "create_tags=True")
    told = str(refused(ValueError, lambda: plant.write_frame(frame, nan="raise", create_tags=True), "nan/a", "2 missing"))
    assert "2026-05-01 01:00:00" in told and len(plant.tags("nan/*")) == 0, "nothing is written before all is looked at"
    assert plant.write_frame(frame, create_tags=True).samples == 4
    assert plant.tags("nan/*")["value_type"].to_pylist() == ["f64", "i64"]
    assert plant.range("nan/b", "2026-05-01", "2026-05-02")["value"].to_pylist() == [2**60 + 1, 5]
    assert plant.write_frame(frame, nan="bad").samples == 8
    rows = plant.range("nan/a", "2026-05-01", "2026-05-02")
    assert rows["value"].to_pylist() == [1.0, None, 3.0, None] and rows["quality"].to_pylist() == [0, 0x80000000, 0, 0x80000000]
    assert plant.write_frame(frame.iloc[:0]).samples == 0 and plant.write_frame(frame[[]]).samples == 0
    told = []
    plant.write_frame(frame, progress=told.append)
    assert told and told[-1].rows == told[-1].rows_expected == 2


def test_states_are_written_by_their_names():
    plant.create_tag("nan/mode", "state", state_set=MODES)
    index = pd.date_range("2026-05-01", periods=5, freq="1h", tz="UTC")
    plant.write_frame(pd.DataFrame({"nan/mode": ["off", "running", "3", None, "17"]}, index=index))
    assert plant.range("nan/mode", "2026-05-01", "2026-05-02")["value"].to_pylist() == [0, 2, 3, 17]
    plant.write_frame(pd.DataFrame({"nan/mode": [1, 1, 1, 1, 1]}, index=index))
    assert plant.range("nan/mode", "2026-05-01", "2026-05-02")["value"].to_pylist() == [1] * 5
    refused(ValueError, lambda: plant.write_frame(pd.DataFrame({"nan/mode": ["broken"] * 5}, index=index)), "'broken'", "starting")


def naive(*times):
    return pd.DataFrame({"nan/c": range(len(times))}, index=pd.DatetimeIndex(times))


def test_times_without_a_zone_are_written_only_where_it_is_said():
    refused(ValueError, lambda: plant.write_frame(naive("2026-05-01 12:00"), create_tags=True), 'zone="UTC"')
    plant.write_frame(naive("2026-05-01 12:00"), zone=ZONE, create_tags=True)
    assert nanoseconds(plant.range("nan/c", "2026-05-01", "2026-05-02")["timestamp"]) == [pd.Timestamp("2026-05-01 10:00Z").value]
    refused(ValueError, lambda: plant.write_frame(naive("2026-10-25 02:30"), zone=ZONE), "clocks change")
    refused(ValueError, lambda: plant.write_frame(naive("2026-03-29 02:30"), zone=ZONE), "clocks change")
    refused(ValueError, lambda: plant.write_frame(naive("2026-05-01 12:00"), zone="Mars/Olympus"), "IANA")
    frame = pl.DataFrame({"timestamp": [dt.datetime(2026, 5, 3, 12)], "nan/c": [7]})
    refused(ValueError, lambda: plant.write_frame(frame), "no zone")
    assert plant.write_frame(frame, zone="UTC").samples == 1


twice = pd.DatetimeIndex(["2026-05-01 12:00", "2026-05-01 13:00", "2026-05-01 12:00"], tz="UTC")
one = pd.DatetimeIndex(["2026-05-01 12:00"], tz="UTC")


@pytest.mark.parametrize(("kind", "frame", "options", "fragment"), [
    (ValueError, pd.DataFrame({"nan/a": [1.0, 2.0, 3.0]}, index=twice), {}, "twice, in the rows 0 and 2"),
    (ValueError, pd.DataFrame([[1.0, 2.0]], columns=["nan/a", "nan/a"], index=one), {}, "'nan/a' is there twice"),
    (ValueError, pa.table([pa.array([1], NS), [1.0], [2.0]], ["timestamp", "nan/a", "nan/a"]), {}, "'nan/a' is there twice"),
    (ValueError, pd.DataFrame({"nan/a": [1.0]}), {}, "index of times"),
    (ValueError, pd.DataFrame({"nan/a": [1.0]}, index=pd.DatetimeIndex([pd.NaT], tz="UTC")), {}, "row 0 has no time"),
    (ValueError, pd.DataFrame({7: [1.0]}, index=one), {}, "7 is no name"),
    (ValueError, pd.DataFrame({"nan/a": [object()]}, index=one), {}, "'nan/a'"),
    (ValueError, pd.DataFrame({"nan/z#quality": [0]}, index=one), {}, "'nan/z'"),
    (ValueError, pd.DataFrame({"nan/a": [1.0], "nan/a#quality": ["Good"]}, index=one), {}, "status codes"),
    (hc.TagNotFound, pd.DataFrame({f"nan/x{place}": [1.0] for place in range(14)}, index=one), {}, "and 4 more"),
    (ValueError, {"timestamp": [1], "nan/a": [1.0]}, {}, "int64"),
    (ValueError, {"timestamp": pa.array([2**40], pa.timestamp("s", "UTC")), "nan/a": [1.0]}, {}, "1677 to 2262"),
    (TypeError, 7, {}, "int is no table"),
    (ValueError, pd.DataFrame({"nan/a": [1.0]}, index=one), {"nan": "zero"}, "drop, bad, raise"),
    (hc.InvalidRequest, pd.DataFrame({"nan/b": [1.5]}, index=one), {}, "nan/b"),
], ids=str)
def test_a_frame_with_a_mistake_is_refused_and_nothing_is_written(kind, frame, options, fragment):
    plant.write_frame(pd.DataFrame({"nan/a": [5.0], "nan/b": [5]}, index=pd.DatetimeIndex(["2020-01-01"], tz="UTC")), create_tags=True)
    before = plant.sql("SELECT count(*) AS n FROM samples WHERE tag LIKE 'nan/%'").to_pylist()
    refused(kind, lambda: plant.write_frame(frame, **options), fragment)
    assert plant.sql("SELECT count(*) AS n FROM samples WHERE tag LIKE 'nan/%'").to_pylist() == before


def test_a_write_that_fails_halfway_says_how_far_it_came():
    """Columns of another type follow; what is wrong with them is the historian's to say."""
    index = pd.date_range("2026-05-01", periods=3, freq="1h", tz="UTC")
    plant.write_frame(pd.DataFrame({"half/a": [1.0] * 3, "half/b": [1] * 3}, index=index), create_tags=True)
    failed = refused(hc.WriteFailed, lambda: plant.write_frame(pd.DataFrame({"half/a": [2.0] * 3, "half/b": ["x"] * 3}, index=index)), "half/b")
    assert failed.acknowledged.samples == 3 and plant.range("half/a", "2026-05-01", "2026-05-02")["value"].to_pylist() == [2.0] * 3


MEMORY = """
import resource, sys
import pandas, historian_client, pyarrow
plant = historian_client.connect(sys.argv[1])
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
frame = plant.frame(["million/f", "million/i"], "2026-06-01", "2026-06-12T13:46:40", **eval(sys.argv[2]))
assert len(frame) == 1_000_000 and frame.notna().all(axis=None), frame
assert plant.write_frame(frame.rename(columns=lambda name: name + "/copy"), create_tags=True).samples == 2_000_000
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) // 1024)
"""


@pytest.mark.parametrize("options", ["{}", "{'every': '1s'}"])
def test_a_million_rows_take_memory_in_proportion(options):
    at = np.arange(1_000_000, dtype=np.int64) * SECOND + pd.Timestamp("2026-06-01", tz="UTC").value
    for name, values in (("million/f", np.sin(at / 1e13)), ("million/i", at // SECOND)):
        plant.write({"tag": pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(at), np.int32)), pa.array([name])), "timestamp": pa.array(at, NS), "value": values}, create_tags=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "clients/python/src")}
    done = subprocess.run([sys.executable, "-c", MEMORY, os.environ["HISTORIAN_ADDRESS"], options], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    # The frame has 25 MB; answers, their joins and what is sent are some copies of it.
    assert int(done.stdout) < 700, f"{done.stdout} MiB"
    assert pc.sum(plant.range("million/i/copy", "2026-06-01", "2026-07-01")["value"]).as_py() == int((at // SECOND).sum())
