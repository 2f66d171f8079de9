"""Key figures through Arrow Flight and gRPC: measures, calendar intervals, as-of joins."""

from datetime import datetime, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import grpc
import lib
import pyarrow as pa
import pytest
import stubs  # noqa: F401, makes the modules of the next line

from historian.v1 import query_pb2, query_pb2_grpc, tag_pb2, tag_pb2_grpc
from lib import BAD, SECOND, channel, client, descriptor, get

queries = query_pb2_grpc.QueryServiceStub(channel)
BERLIN = ZoneInfo("Europe/Berlin")


def ns(*civil, zone=BERLIN):
    return int(datetime(*civil, tzinfo=zone).timestamp()) * SECOND


def put(tag, samples, values=pa.float64()):
    """Samples of a time, a value, and a quality where it is not Good."""
    times, found, *_ = zip(*samples)
    lib.put(tag, times, pa.array(found, values), [sample[2] if len(sample) > 2 else 0 for sample in samples])


def refused(call, fragment, kind=pa.lib.ArrowInvalid):
    lib.refused(kind, call, fragment)


@pytest.fixture(scope="module", autouse=True)
def press_written():
    """A press: idle, running and broken down through the night in which clocks go forward; its counter of 16 bits; the power it takes."""
    tag_pb2_grpc.TagServiceStub(channel).CreateTag(tag_pb2.CreateTagRequest(
        tag=tag_pb2.Tag(name="press/state", value_type=tag_pb2.VALUE_TYPE_STATE, state_set=["idle", "running", "down"])))
    put("press/state", [(NIGHT, 1), (ns(2026, 3, 29, 4), 2), (ns(2026, 3, 29, 5), 1), (ns(2026, 3, 29, 6), 0), (ns(2026, 3, 29, 10), None, BAD)], pa.uint32())
    put("press/count", [(NIGHT - SECOND, 65_000), (NIGHT, 65_400), (NIGHT + 3600 * SECOND, 100), (NIGHT + 7200 * SECOND, 300), (NIGHT + 10_800 * SECOND, 40)], pa.int64())
    put("press/power", [(NIGHT, 10.0), (NIGHT + 3600 * SECOND, 30.0), (NIGHT + 7200 * SECOND, None, BAD), (NIGHT + 10_800 * SECOND, 20.0)])
    put("press/operator", [(NIGHT, "Ada"), (ns(2026, 3, 29, 6), "Émile")], pa.utf8())


NIGHT = ns(2026, 3, 28, 22)
HOUR = 3600.0
START, END = "2026-03-28T22:00", "2026-03-29T14:00"
shifts = {"start": START, "end": END, "zone": "Europe/Berlin", "calendar": "CALENDAR_SHIFT", "shift_starts": ["06:00", "14:00", "22:00"]}


def test_time_in_state_goes_by_the_shifts_of_a_night_in_which_the_clock_skips_an_hour():
    table = get({"measure": {"tags": ["press/state"], "measure": "TIME_IN_STATE", **shifts}})
    assert table.schema.names == ["tag", "start", "end", "label", "item", "value", "numerator", "denominator", "percent_good", "bad_seconds"]
    rows = [(row["label"], row["item"], row["value"], row["denominator"], row["percent_good"], row["bad_seconds"]) for row in table.to_pylist()]
    # The night shift has seven hours, of which the clock skips one.
    assert rows == [
        ("2026-03-28 22:00", "running", 6 * HOUR, 7 * HOUR, 100.0, 0.0),
        ("2026-03-28 22:00", "down", 1 * HOUR, 7 * HOUR, 100.0, 0.0),
        ("2026-03-29 06:00", "idle", 4 * HOUR, 8 * HOUR, 50.0, 4 * HOUR),
    ], rows
    assert table["start"][0].value == NIGHT and table["end"][0].value == ns(2026, 3, 29, 6), table["start"]
    assert int(table.schema.metadata[b"start"]) == NIGHT


def test_states_are_added_up_and_transitions_counted():
    ratio = get({"measure": {"tags": ["press/state"], "measure": "TIME_IN_STATE", "states": ["running", 2], **shifts}}).to_pylist()
    assert [(row["item"], row["numerator"]) for row in ratio] == [("running + 2", 7 * HOUR), ("running + 2", 0.0)], ratio
    stops = get({"measure": {"tags": ["press/state"], "measure": "TRANSITIONS", "to_state": "down", **shifts}}).to_pylist()
    assert [(row["item"], row["value"]) for row in stops] == [("* → down", 1.0), ("* → down", 0.0)], stops
    assert get({"measure": {"tags": ["press/state"], "measure": "TRANSITIONS", "from_state": 1, "to_state": "down", "dwell_min": "2h", **shifts}})["value"].to_pylist() == [0, 0]


def test_a_counter_rolls_over_and_is_told_by_intervals_of_the_zone():
    counter = {"tags": ["press/count"], "measure": "COUNTER_DELTA", "rollover": 65536, "start": START, "end": END, "zone": "Europe/Berlin"}
    assert get({"measure": counter}).to_pylist()[0]["value"] == 400 + 236 + 200 + 40
    assert get({"measure": {**counter, "reset": "SKIP"}})["value"].to_pylist() == [836.0]
    labels = get({"measure": {**counter, "interval": "8h"}})["label"].to_pylist()
    assert labels == ["2026-03-28T22:00:00+01:00", "2026-03-29T07:00:00+02:00"], labels


def test_an_integral_leaves_bad_time_out_or_rescales():
    energy = get({"measure": {"tags": ["press/power"], "measure": "INTEGRAL", "per": "h", "start": NIGHT, "end": NIGHT + 10_800 * SECOND}}).to_pylist()[0]
    assert (energy["value"], energy["numerator"], energy["denominator"], energy["bad_seconds"]) == (50.0, 50.0, 7200.0, 3600.0), energy
    scaled = get({"measure": {"tags": ["press/power"], "measure": "INTEGRAL", "per": "h", "rescale": True, "start": NIGHT, "end": NIGHT + 10_800 * SECOND}})
    assert scaled["value"].to_pylist() == [75.0]


def test_percent_good_is_told_of_every_tag():
    good = get({"measure": {"tags": ["press/*"], "measure": "PERCENT_GOOD", "start": NIGHT, "end": ns(2026, 3, 29, 14)}})
    assert dict(zip(good["tag"].to_pylist(), good["bad_seconds"].to_pylist())) == {
        "press/count": 0, "press/operator": 0, "press/power": HOUR, "press/state": 4 * HOUR}, good


def counted(readings, **more):
    name = f"counter/{len(get({'current': {'tags': ['counter/*']}}))}"
    put(name, [(NIGHT + at * SECOND, float(reading)) for at, reading in enumerate(readings)])
    asked = {"tags": [name], "measure": "COUNTER_DELTA", "start": NIGHT, "end": NIGHT + 3600 * SECOND, **more}
    whole = get({"measure": asked})["value"].to_pylist()
    for interval in ("1s", "7s", "100s"):
        parts = [value or 0.0 for value in get({"measure": {**asked, "interval": interval}})["value"].to_pylist()]
        assert abs(sum(parts) - whole[0]) < 1e-6, (readings, interval, sum(parts), whole)
    return whole[0]


@pytest.mark.parametrize(("readings", "options", "expected"), [
    ("40482.83 0 40482.83 40484.52", {}, Decimal("40484.52") - Decimal("40482.83")),
    ("40482.83 0 40482.83 40484.52", {"reset": "ALWAYS"}, "40484.52"),
    ("100 100.000001 100 99.999999 100.5", {}, "0.5"),
    ("12.5 12.3 12.6 12.4 13", {"dead_band": 0.5}, "0.5"),
    ("100 inf 101 -inf 102", {}, "2"),
    ("100 1e9 101 103", {"max_step": 10}, "3"),
    ("100 0 0 0 101 104", {"max_step": 10}, "3"),
    ("100 5000 5001 5003", {"max_rate": 120, "per": "min"}, "3"),
    ("100 2 3 90", {}, "90"),
    ("999990 5 999993 4", {"rollover": 1_000_000}, "14"),
])
def test_a_counter_is_the_sum_of_its_steps_whatever_comes_between(readings, options, expected):
    """One drop is no reset, noise counts nothing, infinities are no readings. Judged by sums of decimals, over intervals of any length."""
    found = counted(readings.split(), **options)
    assert abs(Decimal(found) - Decimal(expected)) < Decimal("1e-7"), (found, expected)


def test_a_counter_that_is_idle_counts_nothing_and_one_that_is_unknown_is_none():
    put("meter/idle", [(NIGHT + at * 600 * SECOND, 5.0 + at, quality) for at, quality in [(0, 0), (1, 0), (5, BAD), (7, 0)]])
    idle = {"tags": ["meter/idle"], "measure": "COUNTER_DELTA", "start": NIGHT - 600 * SECOND, "end": NIGHT + 4800 * SECOND, "interval": "10m"}
    assert get({"measure": idle})["value"].to_pylist() == [None, 0.0, 1.0, 0.0, 0.0, 0.0, None, None, 6.0], get({"measure": idle})


def test_a_measure_is_planned_and_told_by_grpc_alike():
    """The same through GetFlightInfo, and through gRPC."""
    command = {"measure": {"tags": ["press/state"], "measure": "TIME_IN_STATE", "states": ["running"], **shifts}}
    info = client.get_flight_info(descriptor(command))
    assert info.total_records == 2 and client.do_get(info.endpoints[0].ticket).read_all()["value"].to_pylist() == [6 * HOUR, 0.0]
    request = query_pb2.MeasureRequest(
        tags=["press/state", "press/none"], start=START, end=END, zone="Europe/Berlin", measure=query_pb2.MeasureRequest.MEASURE_TIME_IN_STATE,
        calendar=query_pb2.CALENDAR_SHIFT, shift_starts=["06:00", "14:00", "22:00"])
    answers = list(queries.Measure(request))
    assert (answers[0].start, answers[0].end) == (NIGHT, ns(2026, 3, 29, 14))
    assert [answer.failure.tag for answer in answers if answer.HasField("failure")] == ["press/none"]
    told = [(row.tag, row.label, row.item, row.value) for answer in answers for row in answer.rows]
    rows = get({"measure": {"tags": ["press/state"], "measure": "TIME_IN_STATE", **shifts}}).to_pylist()
    assert told == [(row["tag"], row["label"], row["item"], row["value"]) for row in rows] and len(told) == 3, told
    nothing = query_pb2.MeasureRequest(tags=["press/power"], start="0", end="10ns", measure=query_pb2.MeasureRequest.MEASURE_INTEGRAL, per="h")
    row = [row for answer in queries.Measure(nothing) for row in answer.rows][0]
    assert not row.HasField("value") and row.percent_good == 0 and row.bad_seconds == 1e-8, row


def test_aggregates_go_by_the_day_of_the_zone_forward_and_backward():
    """Aggregates by the day of the zone, forwards and backwards."""
    put("meter/power", [(ns(2026, 3, 27), 1.0), (ns(2026, 3, 29, 12), 2.0), (ns(2026, 4, 2), 3.0)])
    days = {"aggregate": {"tags": ["meter/power"], "start": "2026-03-28", "end": "2026-03-31", "zone": "Europe/Berlin", "calendar": "CALENDAR_DAY",
                          "functions": ["duration_good", "duration_bad"]}}
    table = get(days)
    stamps = [datetime.fromtimestamp(stamp.value / 1e9, timezone.utc).astimezone(BERLIN) for stamp in table["timestamp"][::2]]
    assert [(stamp.day, stamp.hour) for stamp in stamps] == [(28, 0), (29, 0), (30, 0)], stamps
    values = table["value"].to_pylist()
    assert [values[at] + values[at + 1] for at in (2, 4)] == [23 * HOUR * 1e3, 24 * HOUR * 1e3], values
    days["aggregate"].update(start="2026-03-31", end="2026-03-28")
    backwards = get(days)
    assert [stamp.value for stamp in backwards["timestamp"][::2]] == [ns(2026, 3, 31), ns(2026, 3, 30), ns(2026, 3, 29)]
    cut = {"aggregate": {**days["aggregate"], "start": "2026-03-28", "end": "2026-03-29T12:00", "functions": ["duration_good"]}}
    assert [quality & 0x404 for quality in get(cut)["quality"].to_pylist()][1] == 0x404, "a day that is cut is partial"


# As-of: each batch gets what its tags were when it began. The rows come in any order, with columns of their own, and one without a time.
def exchange(command, tables):
    writer, reader = client.do_exchange(descriptor(command))
    with writer:
        writer.begin(tables[0].schema)
        for table in tables:
            writer.write_table(table)
        writer.done_writing()
        return reader.read_all()


batches = pa.table({
    "batch": pa.array(["B3", "B1", "B2", "B0"]).dictionary_encode(),
    "timestamp": pa.array([ns(2026, 3, 29, 7) // 1000, NIGHT // 1000, None, (NIGHT - 60 * SECOND) // 1000], pa.timestamp("us", "Europe/Berlin")),
    "note": pa.array([["a"], [], None, ["b", "c"]], pa.list_(pa.utf8())),
})


MANY = pa.table({"timestamp": pa.array([NIGHT + number * SECOND // 10 for number in range(200_000)], pa.timestamp("ns"))})


def test_each_row_gets_what_its_tags_were_then():
    """The rows come in any order, with columns of their own, and one without a time."""
    joined = exchange({"asof": {"tags": ["press/operator", "press/state", "press/power"]}}, [batches, batches])
    assert joined.num_rows == 8 and joined.schema.names[:3] == batches.schema.names
    half = joined.slice(4)
    assert half.select(["batch", "timestamp", "note"]).to_pylist() == batches.to_pylist()
    assert half["press/operator"].to_pylist() == ["Émile", "Ada", None, None]
    assert half["press/state"].to_pylist() == [0, 1, None, None] and half.schema.field("press/state").type == pa.uint32()
    assert [stamp.value for stamp in half["press/state#timestamp"]] == [ns(2026, 3, 29, 6), NIGHT, None, None]
    assert half["press/power"].to_pylist() == [20.0, 10.0, None, None] and half["press/power#quality"].to_pylist() == [0, 0, None, None]


def test_a_join_has_a_tolerance_and_takes_no_rows_and_very_many():
    short = exchange({"asof": {"tags": ["press/operator"], "tolerance": "30m"}}, [batches])
    assert short["press/operator"].to_pylist() == [None, "Ada", None, None]
    empty = exchange({"asof": {"tags": ["press/operator"]}}, [batches.slice(0, 0)])
    assert empty.num_rows == 0 and empty.schema.names[-1] == "press/operator#quality"
    answer = exchange({"asof": {"tags": ["press/*"]}}, [MANY])
    assert answer.num_rows == 200_000 and answer["press/count"].to_pylist()[36_000] == 100


def test_as_of_through_grpc_tells_bad_samples_where_they_are_asked_for():
    bad = query_pb2.AsOfRequest(tags=["press/power", "press/none"], timestamps=[NIGHT + 7200 * SECOND, 5], quality=query_pb2.QUALITY_FILTER_ANY)
    answer = queries.AsOf(bad)
    assert [failure.tag for failure in answer.failures] == ["press/none"]
    power = answer.samples[0]
    assert (list(power.timestamps), list(power.qualities), list(power.nulls)) == ([NIGHT + 7200 * SECOND, 5], [BAD, 0x809B0000], [0, 1]), power
    kept = queries.AsOf(query_pb2.AsOfRequest(tags=["press/power"], timestamps=[NIGHT + 7200 * SECOND])).samples[0]
    assert list(kept.values.f64.values) == [30.0] and list(kept.timestamps) == [NIGHT + 3600 * SECOND]


BASE = {"tags": ["press/state"], "start": START, "end": END}


@pytest.mark.parametrize(("change", "fragment"), [
    ({}, "TIME_IN_STATE, TRANSITIONS"),
    ({"measure": "PERCENT_GOOD", "calendar": "CALENDAR_DAY", "interval": "1h"}, "exclude each other"),
    ({"measure": "PERCENT_GOOD", "calendar": "CALENDAR_SHIFT"}, "shift_starts"),
    ({"measure": "PERCENT_GOOD", "calendar": "CALENDAR_SHIFT", "shift_starts": ["25:00"]}, "time of day"),
    ({"measure": "PERCENT_GOOD", "calendar": "CALENDAR_SHIFT", "shift_starts": ["06:00", "06:00"]}, "shifts"),
    ({"measure": "PERCENT_GOOD", "shift_starts": ["06:00"]}, "CALENDAR_SHIFT"),
    ({"measure": "PERCENT_GOOD", "interval": "1ns"}, "100000 intervals"),
    ({"measure": "PERCENT_GOOD", "end": "2026-03-28T22:00"}, "not after the start"),
    ({"measure": "PERCENT_GOOD", "rollover": 5}, "rollover: belongs to the measure COUNTER_DELTA"),
    ({"measure": "TIME_IN_STATE", "states": ["runing"]}, "idle, running, down"),
    ({"measure": "COUNTER_DELTA"}, "of type state"),
    ({"measure": "COUNTER_DELTA", "tags": ["press/count"], "rollover": -1}, "above 0"),
    ({"measure": "COUNTER_DELTA", "tags": ["press/count"], "max_step": 0}, "max_step: is 0; allowed are finite numbers above 0"),
    ({"measure": "COUNTER_DELTA", "tags": ["press/count"], "max_rate": 1, "per": "week"}, "per"),
    ({"measure": "COUNTER_DELTA", "tags": ["press/count"], "per": "h"}, "per: belongs to the measure INTEGRAL"),
    ({"measure": "PERCENT_GOOD", "dead_band": 1}, "dead_band: belongs to the measure COUNTER_DELTA"),
    ({"measure": "INTEGRAL", "tags": ["press/power"]}, "time unit of the rate"),
    ({"measure": "INTEGRAL", "tags": ["press/power"], "per": "fortnight"}, "fortnight"),
    ({"measure": "TRANSITIONS", "dwell_min": "soon"}, "dwell_min"),
])
def test_a_measure_that_makes_no_sense_is_refused(change, fragment):
    refused(lambda: get({"measure": {**BASE, **change}}), fragment)


def test_a_join_that_makes_no_sense_is_refused():
    refused(lambda: get({"aggregate": {**BASE, "calendar": "CALENDAR_DAY", "interval": "1h", "functions": ["count"]}}), "exclude each other")
    refused(lambda: get({"asof": {"tags": ["press/state"]}}), "DoExchange")
    for command, table, fragment in [
        ({"asof": {"tags": ["press/state"]}}, pa.table({"time": [1]}), "timestamp is missing"),
        ({"asof": {"tags": ["press/state"]}}, pa.table({"timestamp": [1]}), "Int64"),
        ({"asof": {"tags": ["press/state"]}}, MANY.rename_columns(["timestamp"]).append_column("press/state", MANY["timestamp"]), "rename it"),
        ({"asof": {"tags": ["press/state"], "timestamps": [1]}}, MANY, "column timestamp"),
        ({"asof": {"tags": ["press/state"], "tolerance": "long"}}, MANY, "tolerance"),
        ({"asof": {"tags": []}}, MANY, "at least one"),
        ({"write": {}}, MANY, "another command"),
        ({"asof": {"tags": ["press/state"]}}, pa.table({"timestamp": pa.array([2**40], pa.timestamp("s"))}), "row 0"),
    ]:
        refused(lambda: exchange(command, [table]), fragment)
    refused(lambda: exchange({"asof": {"tags": ["press/none"]}}, [MANY]), "press/none", pa.lib.ArrowKeyError)
    too_many = query_pb2.AsOfRequest(tags=["press/*"], timestamps=range(300_000))
    refused(lambda: queries.AsOf(too_many), "DoExchange", grpc.RpcError)
    assert get({"current": {"tags": ["press/power"]}}).num_rows == 1
