"""Operators through Flight, held against plain readings of the same samples."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.flight as flight
import pytest

import lib
from lib import BAD, BAD_SENSOR_FAILURE, SECOND, START, UNCERTAIN, client, connect, descriptor, get, ticket
from lib import refused as refused_call


def put(tags, times, values, qualities=None):
    return lib.put(tags, times, pa.array(values, pa.float64()), qualities)


def ask(**command):
    return get(command)


def refused(kind, fragment, **command):
    refused_call(kind, lambda: ask(**command), fragment)


# An hour of one tag at 1 Hz with a spike and a Bad run, and a slow stepped one.
seconds = np.arange(3600)
values = np.sin(seconds / 97) + 10
values[1234] = 25.0
qualities = np.where((seconds >= 2000) & (seconds < 2100), BAD, np.where(seconds % 500 == 7, UNCERTAIN, 0))
times = START + seconds * SECOND


@pytest.fixture(scope="module", autouse=True)
def plant_written():
    put(["plant/fast"] * 3600, times, np.where(qualities == BAD, np.nan, values), qualities)
    put(["plant/slow"] * 6, START + np.array([0, 600, 1200, 1800, 2400, 3000]) * SECOND, [1, 0, 1, 0, 1, 1])


good = values[qualities == 0]
hour = dict(start=int(START), end=int(START + 3600 * SECOND))


def test_a_range_is_filtered_by_quality_and_filled_by_steps():
    """Range: filters by quality, filled rows."""
    assert ask(range=dict(tags=["plant/fast"], quality="GOOD", **hour)).num_rows == int((qualities == 0).sum())
    assert ask(range=dict(tags=["plant/fast"], quality="NOT_BAD", **hour)).num_rows == int((qualities != BAD).sum())
    wide = ask(range=dict(tags=["plant/*"], layout="WIDE", fill="AS_OF", step="10m", **hour))
    assert wide["plant/slow"].to_pylist() == [1, 0, 1, 0, 1, 1], wide["plant/slow"]
    assert wide.num_rows == 6 and np.allclose(wide["plant/fast"].to_numpy()[:3], values[[0, 600, 1200]])
    line = ask(range=dict(tags=["plant/slow"], layout="WIDE", fill="LINEAR", step="5m", **hour))
    assert line["plant/slow"].to_pylist() == [1, 0.5, 0, 0.5, 1, 0.5, 0, 0.5, 1, 1, 1, 1], line["plant/slow"]
    refused(pa.ArrowInvalid, "fill", range=dict(tags=["plant/slow"], fill="AS_OF", **hour))
    refused(pa.ArrowInvalid, "step", range=dict(tags=["plant/slow"], layout="WIDE", step="5m", **hour))


@pytest.fixture(scope="module", autouse=True)
def coarse_written():
    """Fills against numpy: a line goes to the true neighbours, wherever the range ends; a Bad sample is a Bad cell; a filter comes first."""
    coarse = np.array([-60, 60, 90, 200, 320])
    put(["fill/coarse"] * 5, START + coarse * SECOND, [-60.0, 60.0, 7.0, 200.0, 20.0], [0, 0, BAD, 0, UNCERTAIN])


def filled(start, end, step="10s", **more):
    answer = ask(range=dict(tags=["fill/coarse"], layout="WIDE", step=step, start=int(START + start * SECOND), end=int(START + end * SECOND), **more))
    cells = zip(answer["fill/coarse"].to_pylist(), answer["fill/coarse#quality"].to_pylist())
    return [(value, quality >> 30, quality & 0x0402 == 0x0402) for value, quality in cells]


def test_a_line_goes_to_the_true_neighbours_wherever_the_range_ends():
    for end in (10, 50, 60, 61, 500):
        grid = np.arange(0, min(end, 60), 10)
        found = filled(0, end, fill="LINEAR")
        assert len(found) == -(-end // 10), (end, len(found))
        for (value, severity, interpolated), wanted in zip(found, np.interp(grid, [-60, 60], [-60, 60]), strict=False):
            assert math.isclose(value, wanted, abs_tol=1e-9) and (severity, interpolated) == (0, True), (end, value, wanted)


def test_nothing_is_sure_across_a_bad_sample_nor_after_the_last():
    """Across the Bad sample nothing is sure, in its row it stands; after the last sample its value is held, Uncertain."""
    rows = dict(zip(range(60, 420, 10), filled(60, 420, fill="LINEAR")))
    assert rows[60] == (60.0, 0, False) and rows[90] == (7.0, 2, False), rows
    for second in (70, 80, 100, 190, 210, 310):
        wanted = float(np.interp(second, [60, 200, 320], [60, 200, 20]))
        assert math.isclose(rows[second][0], wanted) and rows[second][1:] == (1, True), (second, rows[second])
    assert rows[320] == (20.0, 1, False) and rows[330] == rows[410] == (20.0, 1, True), rows


def test_the_value_before_is_held_over_what_a_filter_takes_away():
    held = dict(zip(range(60, 420, 10), filled(60, 420, fill="AS_OF")))
    assert held[80] == (60.0, 0, True) and held[90] == (7.0, 2, False) and held[100] == (60.0, 1, True) and held[210] == (200.0, 0, True), held
    good_only = dict(zip(range(60, 420, 10), filled(60, 420, fill="AS_OF", quality="GOOD")))
    assert good_only[330] == (200.0, 0, True) and good_only[90] == (60.0, 1, True), good_only
    line_of_good = filled(200, 420, fill="LINEAR", quality="GOOD")
    assert line_of_good[0] == (200.0, 0, False) and set(line_of_good[1:]) == {(200.0, 1, True)}, line_of_good


def test_as_many_points_as_there_are_samples_are_all_samples():
    """Wherever in time they lie."""
    count = 1000
    clump = START + np.concatenate([np.arange(count - 1) * 1000, [3000 * SECOND]])
    put(["clump/a"] * count, clump, np.sin(np.arange(count)))
    for method in ("PLOT", "M4", "MINMAX", "LTTB", "MINMAXLTTB"):
        whole = ask(downsample=dict(tags=["clump/a"], points=count, method=method, **hour))
        assert whole["value"].to_pylist() == np.sin(np.arange(count)).tolist(), (method, whole.num_rows)
        assert whole.num_rows == count


def test_no_two_columns_have_one_name():
    put(["clump/b", "clump/b#quality", "timestamp"], [START] * 3, [1.0, 2.0, 3.0])
    refused(pa.ArrowInvalid, "two columns", range=dict(tags=["clump/b", "clump/b#quality"], layout="WIDE", **hour))
    refused(pa.ArrowInvalid, "two columns", range=dict(tags=["timestamp"], layout="WIDE", **hour))


def test_what_time_average_makes_of_a_stepped_tag_is_told():
    """What time_average makes of a stepped tag is told where it is asked for."""
    asked = dict(tags=["plant/slow"], functions=["time_average", "time_average2"], configuration={"stepped": True}, **hour)
    assert b"time_average2" in ask(aggregate=asked).schema.metadata[b"note"]
    assert b"note" not in ask(aggregate={**asked, "functions": ["time_average2"]}).schema.metadata
    assert b"note" not in ask(aggregate={**asked, "configuration": {"stepped": False}}).schema.metadata


def test_aggregates_of_an_hour_of_minutes_and_backward():
    """Aggregates: a whole hour, minutes, backwards, and what is refused."""
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


def test_aggregates_that_make_no_sense_are_refused():
    refused(pa.ArrowInvalid, "average", aggregate=dict(tags=["plant/fast"], functions=["avreage"], **hour))
    refused(pa.ArrowInvalid, "functions", aggregate=dict(tags=["plant/fast"], **hour))
    refused(pa.ArrowInvalid, "interval", aggregate=dict(tags=["plant/fast"], functions=["average"], interval="5 parsecs", **hour))
    refused(pa.ArrowInvalid, "percent_data_good", aggregate=dict(
        tags=["plant/fast"], functions=["average"], configuration={"percent_data_bad": 40, "percent_data_good": 50}, **hour))


@pytest.mark.parametrize("method", ["PLOT", "M4", "MINMAX", "LTTB", "MINMAXLTTB"])
def test_plots_keep_extremes_breaks_and_edges_in_no_more_rows_than_asked(method):
    """Plots: never more rows than asked, the extremes kept, a break where the Bad run starts, values at both edges."""
    plot = ask(downsample=dict(tags=["plant/fast"], points=100, method=method, start=hour["start"], end=hour["end"] - SECOND // 2))
    stamps = plot["timestamp"].cast(pa.int64()).to_numpy()
    assert 10 < plot.num_rows <= 100 and (np.diff(stamps) > 0).all(), method
    assert stamps[0] == hour["start"] and stamps[-1] == hour["end"] - SECOND // 2, method
    breaks = plot.filter(pc.is_null(plot["value"]))
    assert START + 2000 * SECOND in breaks["timestamp"].cast(pa.int64()).to_pylist(), f"{method}: no break"
    if method in ("PLOT", "M4", "MINMAX"):
        assert pc.max(plot["value"]).as_py() == 25.0 and math.isclose(pc.min(plot["value"]).as_py(), values[qualities != BAD].min()), method


@pytest.mark.parametrize("method", ["PLOT", "M4", "MINMAX", "LTTB", "MINMAXLTTB"])
@pytest.mark.parametrize("kind", ["sloped", "text"])
def test_a_plot_that_begins_or_ends_in_a_bad_run_draws_no_line_through_it(method, kind):
    tag, first = f"run/{kind}", START + 10_000 * SECOND
    times = [first + number * SECOND for number in range(60)]
    bad = range(20, 40)
    values = [None if number in bad else (float(number) if kind == "sloped" else f"state {number // 30}") for number in range(60)]
    lib.put([tag] * 60, times, pa.array(values, pa.float64() if kind == "sloped" else pa.string()), [BAD_SENSOR_FAILURE if number in bad else 0 for number in range(60)])

    def plot(begin, end, points):
        return ask(downsample=dict(tags=[tag], points=points, method=method, start=begin, end=end)).to_pylist()

    half = SECOND // 2
    for points in [5, 12, 100]:
        into = plot(first + 25 * SECOND + half, first + 50 * SECOND, points)
        assert (into[0]["timestamp"].value, into[0]["value"], into[0]["quality"]) == (first + 25 * SECOND + half, None, BAD_SENSOR_FAILURE), into
        out = plot(first, first + 30 * SECOND + half, points)
        assert (out[-1]["timestamp"].value, out[-1]["value"], out[-1]["quality"]) == (first + 30 * SECOND + half, None, BAD_SENSOR_FAILURE), out
        within = plot(first + 22 * SECOND + half, first + 30 * SECOND + half, points)
        assert len(within) <= points and all(row["value"] is None for row in within), within
        # Behind the run the line is there again.
        assert into[-1]["value"] is not None and out[0]["value"] is not None


def test_a_plot_of_few_samples_is_all_of_them_and_its_bounds_are_checked():
    assert ask(downsample=dict(tags=["plant/slow"], **hour)).num_rows == 7
    refused(pa.ArrowInvalid, "points", downsample=dict(tags=["plant/fast"], points=2, **hour))
    refused(pa.ArrowInvalid, "end", downsample=dict(tags=["plant/fast"], start=hour["end"], end=hour["start"]))


def test_a_spike_is_found_and_explained_counted_and_scored():
    """Anomalies: the spike is found and explained, counted and scored; Bad samples are not scored."""
    findings = ask(anomalies=dict(tags=["plant/fast"], detector="spike", parameters={"window": 31}, **hour)).to_pylist()
    assert any(finding["peak"].value == START + 1234 * SECOND and "25" in finding["observed"] and finding["explanation"] for finding in findings), findings
    counts = ask(anomalies=dict(tags=["plant/**"], detector="sigma", parameters={"threshold": 3}, output="COUNTS", **hour))
    beyond = int((np.abs(good - good.mean()) > 3 * good.std()).sum())
    assert counts["count"].to_pylist() == [beyond, 0], counts
    scores = ask(anomalies=dict(tags=["plant/fast"], detector="sigma", parameters={"threshold": 3}, output="SCORES", **hour))
    assert scores.num_rows == len(good) and int((scores["score"].to_numpy() >= 1).sum()) == beyond


def test_anomalies_that_make_no_sense_are_refused():
    refused(pa.ArrowInvalid, "detector", anomalies=dict(tags=["plant/fast"], detector="crystal_ball", **hour))
    refused(pa.ArrowInvalid, "threshold", anomalies=dict(tags=["plant/fast"], detector="sigma", parameters={"threshold": "many"}, **hour))
    refused(pa.ArrowInvalid, "treshold", anomalies=dict(tags=["plant/fast"], detector="sigma", parameters={"treshold": 3}, **hour))


def test_compression_changes_nothing_but_the_bytes():
    """Compression on the wire changes nothing but the bytes."""
    def compressed(by):
        return get({"range": dict(tags=["plant/slow"], **hour)}, flight.FlightCallOptions(headers=[(b"historian-compression", by)]))

    for by in [b"lz4", b"zstd"]:
        assert compressed(by).equals(ask(range=dict(tags=["plant/slow"], **hour))), by
    refused_call(pa.ArrowInvalid, lambda: compressed(b"brotli"), "brotli")


@pytest.mark.parametrize("command", [
    {"aggregate": dict(tags=["plant/**"], functions=["average"], interval="1m", **hour)},
    {"downsample": dict(tags=["plant/**"], points=50, **hour)},
], ids=["aggregate", "downsample"])
def test_parts_in_order_are_the_whole(command):
    """Endpoints: parts in order are the whole."""
    info = client.get_flight_info(descriptor(command))
    parts = pa.concat_tables([client.do_get(endpoint.ticket).read_all() for endpoint in info.endpoints])
    whole = ask(**command)
    assert parts.equals(whole) and whole.num_rows > 0 and info.schema.equals(parts.schema, check_metadata=False)


def test_a_subscription_has_current_values_then_every_write_once_and_resumes_behind_a_position():
    """Subscription: current values, then every write once, and resumed behind a position."""
    follower = connect().do_get(ticket({"subscribe": {"tags": ["live/*", "plant/slow"], "current": True}}))
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
    again = connect().do_get(ticket({"subscribe": {"tags": ["live/*"], "position": middle}}))
    rows = []
    while len(rows) < 20:
        rows += again.read_chunk().data["value"].to_pylist()
    assert rows == [value for number in range(10, 20) for value in (number, -number)], rows
    again.cancel()
    ahead = ticket({"subscribe": {"tags": ["live/*"], "position": watermark + 1000}})
    refused_call(pa.ArrowException, lambda: client.do_get(ahead).read_chunk(), "ahead")
    refused(pa.ArrowInvalid, "tags", subscribe={})
