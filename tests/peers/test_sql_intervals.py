"""Tables of intervals judged by numpy and DuckDB over the raw samples: hours and days of Berlin around a change of the clock, and wide views.

In the phase `heads` the samples are written, which come from a seed; the tags are there. Another phase finds them in chunks.
"""

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import duckdb
import lib
import numpy as np
import pyarrow as pa
import pytest
from adbc_driver_flightsql import dbapi as adbc

from lib import BAD_NO_COMMUNICATION as BAD
from lib import PHASE, SECOND, URI

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3600 * SECOND
START = 1_774_224_000 * SECOND + 17 * 60 * SECOND  # 2026-03-23T00:17:00Z; the clock of Berlin changes on the 29th
STEPS = ["hourly", "daily"]
random = np.random.default_rng(20260329)


def tag(name, count, step_seconds, values, is_bad=None, stepped=False):
    at = START + np.cumsum(random.integers(1, int(step_seconds * 2e3), count)) * 1_000_000
    return name, at, values, np.zeros(count, bool) if is_bad is None else is_bad, stepped


def walk(count):
    return np.round(50 + np.cumsum(random.normal(0, 1, count)), 3)


def spells(count, share):
    """Bad in spells: of some samples, and of many."""
    bad = random.random(count) < share
    bad[count // 3 : count // 3 + count // 8] = True
    return bad


TAGS = [tag(f"plant/line{number % 3}/t{number:02}", 15_000, 80, walk(15_000)) for number in range(18)]
TAGS.append(tag("plant/flow", 4_000, 300, walk(4_000), spells(4_000, 0.02)))
TAGS.append(tag("plant/mode", 900, 1_300, random.integers(0, 5, 900).astype(float), spells(900, 0.05), stepped=True))
TAGS.append(tag("plant/daily_lab", 14, 86_400, walk(14)))
TAGS.sort()


@pytest.fixture(scope="module", autouse=True)
def written():
    if PHASE == "heads":
        for name, at, values, bad, _ in TAGS:
            lib.put(name, at, values, pa.array(np.where(bad, BAD, 0), pa.uint32()), mode="UPSERT")


# Integrals by hand: F(t) is the area under the values from the first one to t, W(t) the Good time in it.


class Sloped:
    """Straight lines between Good samples."""

    def __init__(self, at, values, bad):
        self.at, self.values = at[~bad], values[~bad]
        steps = np.diff(self.at) / 1e9
        self.areas = np.concatenate([[0], np.cumsum(steps * (self.values[1:] + self.values[:-1]) / 2)])

    def value(self, time):
        # Nanoseconds since 1970 are more than a double holds.
        return np.interp(time - self.at[0], self.at - self.at[0], self.values)

    def average(self, start, end):
        start = max(start, self.at[0])

        def area(time):
            index = min(max(np.searchsorted(self.at, time, "right") - 1, 0), len(self.at) - 1)
            return self.areas[index] + (time - self.at[index]) / 1e9 * (self.values[index] + self.value(time)) / 2

        return (area(end) - area(start)) / ((end - start) / 1e9)


class Stepped:
    """Each value holds until the next sample; Bad time does not count. The last sample stands for a millisecond, and nothing is known after it."""

    def __init__(self, at, values, bad):
        self.at, self.values, self.bad = np.append(at, at[-1] + 1_000_000), np.append(values, 0), np.append(bad, True)

    def value(self, time):
        index = np.searchsorted(self.at, time, "right") - 1
        return None if self.bad[index] else self.values[index]

    def parts(self, start, end):
        edges = np.concatenate([[start], self.at[(self.at > start) & (self.at < end)], [end]])
        index = np.searchsorted(self.at, edges[:-1], "right") - 1
        good = (index >= 0) & ~self.bad[index]
        return np.diff(edges) / 1e9, self.values[index], good

    def average(self, start, end):
        length, values, good = self.parts(start, end)
        return (length * values)[good].sum() / length[good].sum() if good.any() else None

    def percent_good(self, start, end):
        length, _, good = self.parts(start, end)
        return length[good].sum() / length.sum() * 100


def edges(step):
    """Local midnights, or full hours."""
    at = datetime(2026, 3, 22, tzinfo=BERLIN)
    found = []
    while at < datetime(2026, 4, 25, tzinfo=BERLIN):
        found.append(int(at.timestamp()) * SECOND)
        at = at + timedelta(days=1) if step == "daily" else (at.astimezone(timezone.utc) + timedelta(hours=1)).astimezone(BERLIN)
    return found


def local(ns):
    return datetime.fromtimestamp(ns // SECOND, BERLIN).replace(tzinfo=None)


def close(found, expected, what):
    if expected is None:
        assert found is None, (what, found)
    else:
        assert found is not None and abs(found - expected) <= 1e-9 * max(1, abs(expected)), (what, found, expected)


def ns(value):
    return value.value if hasattr(value, "value") else int(value)


def table(statement):
    connection = adbc.connect(URI, autocommit=True)
    cursor = connection.cursor()
    cursor.execute(statement)
    answer = cursor.fetch_arrow_table()
    cursor.close()
    connection.close()
    columns = {}
    for name, column in zip(answer.column_names, answer.columns):
        if pa.types.is_timestamp(column.type):
            zone = column.type.tz
            column = column.cast(pa.timestamp("ns", zone)).cast(pa.int64())
        columns[name] = column.to_pylist()
    return columns


def rows(statement):
    columns = table(statement)
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


@pytest.fixture(scope="module")
def judged():
    """What DuckDB says of the samples: per tag and interval the smallest and largest Good value, and their number."""
    database = duckdb.connect()
    columns = {
        "tag": pa.array([name for name, at, *_ in TAGS for _ in at]),
        "moment": pa.array(np.concatenate([at for _, at, *_ in TAGS])),
        "value": pa.array(np.concatenate([values for _, _, values, *_ in TAGS])),
        "bad": pa.array(np.concatenate([bad for _, _, _, bad, _ in TAGS])),
    }
    database.register("samples", pa.table(columns))
    found = {}
    for step in STEPS:
        at = edges(step)
        database.register("edges", pa.table({"start": at[:-1], "finish": at[1:]}))
        answer = database.execute(
            'SELECT tag, start, min(value) FILTER (NOT bad), max(value) FILTER (NOT bad), count(*) FILTER (NOT bad) '
            'FROM samples JOIN edges ON moment >= start AND moment < finish GROUP BY ALL'
        ).fetchall()
        found[step] = {(tag, start): of for tag, start, *of in answer}
        database.unregister("edges")
    return found


@pytest.fixture(scope="module")
def tables():
    """The rows of both tables by tag and start."""
    return {step: {(row["tag"], row["start"]): row for row in rows(f"SELECT * FROM {step}")} for step in STEPS}


@pytest.mark.parametrize("step", STEPS)
def test_every_interval_of_every_tag_is_what_the_samples_make_of_it(step, judged, tables):
    at = edges(step)
    ends = dict(zip(at[:-1], at[1:]))
    found = tables[step]
    assert table(f"SELECT count(*) AS n FROM {step}")["n"] == [len(found)], "an interval is there once"
    for name, times, values, bad, stepped in TAGS:
        judge = (Stepped if stepped else Sloped)(times, values, bad)
        mine = [start for start in at[:-1] if start + (ends[start] - start) > times[0] and start <= times[-1]]
        rest = set(mine) ^ {start for tag, start in found if tag == name}
        assert not rest, (step, name, [str(local(start)) for start in sorted(rest)], len(mine), str(local(times[0])), str(local(times[-1])))
        for start in mine:
            row, end = found[name, start], ends[start]
            what = (step, name, str(local(start)))
            assert row["end"] == end, what
            assert row["local_start"] == int(local(start).replace(tzinfo=timezone.utc).timestamp()) * SECOND, what
            least, most, count = judged[step].get((name, start), (None, None, 0))
            assert row["count"] == count, (what, row["count"], count)
            close(row["minimum"], least, what)
            close(row["maximum"], most, what)
            whole = start >= times[0] and end <= times[-1]
            if stepped:
                close(row["time_average"], judge.average(start, end), what)
                if whole:
                    close(row["percent_good"], judge.percent_good(start, end), what)
                    close(row["start_bound"], judge.value(start), what)
                    first, last = judge.value(start), judge.value(end)
                    close(row["delta_bounds"], None if first is None or last is None else last - first, what)
            elif not bad.any():
                close(row["time_average"], judge.average(start, end), what)
                if whole:
                    close(row["percent_good"], 100.0, what)
                    close(row["start_bound"], judge.value(start), what)
                    close(row["end_bound"], judge.value(end), what)
                    close(row["delta_bounds"], judge.value(end) - judge.value(start), what)
            else:
                before = np.searchsorted(times, start, "right") - 1
                inside = bad[max(before, 0) : np.searchsorted(times, end)]
                if before >= 0 and inside.all():
                    assert row["time_average"] is None and row["percent_good"] == 0, (what, row)
                else:
                    # The line goes across what is Bad.
                    close(row["time_average"], judge.average(start, end), what)


def moment(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()) * SECOND


def day(ns):
    return ns // (86_400 * SECOND)


# Conditions, and which rows they select.
CONDITIONS = [
    ("start >= '2026-03-28T23:00:00Z' AND start < '2026-03-31T22:00:00Z'", lambda row: moment("2026-03-28T23:00:00") <= row["start"] < moment("2026-03-31T22:00:00")),
    ("start BETWEEN '2026-03-28T12:30:00Z' AND '2026-03-29T12:00:00Z'", lambda row: moment("2026-03-28T12:30:00") <= row["start"] <= moment("2026-03-29T12:00:00")),
    ("local_start >= '2026-03-29' AND local_start < '2026-03-30'", lambda row: moment("2026-03-29") <= row["local_start"] < moment("2026-03-30")),
    ("local_start >= TIMESTAMP '2026-03-29 00:00:00' AND tag = 'plant/mode'", lambda row: moment("2026-03-29") <= row["local_start"] and row["tag"] == "plant/mode"),
    ("CAST(local_start AS DATE) = DATE '2026-03-29'", lambda row: day(row["local_start"]) == day(moment("2026-03-29"))),
    ("CAST(start AS DATE) BETWEEN DATE '2026-03-29' AND DATE '2026-03-30'", lambda row: day(moment("2026-03-29")) <= day(row["start"]) <= day(moment("2026-03-30"))),
    ("\"end\" > '2026-03-29T00:00:00Z' AND \"end\" <= '2026-03-30T00:00:00Z'", lambda row: moment("2026-03-29") < row["end"] <= moment("2026-03-30")),
    ("tag IN ('plant/flow', 'plant/none', 'plant/line1/t01') AND start < '2026-03-25T00:00:00Z'", lambda row: row["tag"] in ("plant/flow", "plant/line1/t01") and row["start"] < moment("2026-03-25")),
    ("tag LIKE 'plant/line2/%' AND time_average > 50", lambda row: row["tag"].startswith("plant/line2/") and (row["time_average"] or 0) > 50),
    ("start > '1700-01-01T00:00:00Z' AND tag = 'plant/mode'", lambda row: row["tag"] == "plant/mode"),
    ("date_part('day', local_start) = 29 OR tag = 'plant/mode'", lambda row: datetime.fromtimestamp(row["local_start"] // SECOND, timezone.utc).day == 29 or row["tag"] == "plant/mode"),
    ("start >= now()", lambda row: False),
    ("start < '2020-01-01T00:00:00Z'", lambda row: False),
]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("where", "wanted"), CONDITIONS, ids=[where for where, _ in CONDITIONS])
def test_what_is_pushed_down_and_what_is_not_select_the_same_rows(where, wanted, step, tables):
    expected = sorted((row for row in tables[step].values() if wanted(row)), key=lambda row: (row["tag"], row["start"]))
    answer = rows(f"SELECT * FROM {step} WHERE {where} ORDER BY tag, start")
    assert answer == expected, (len(answer), len(expected))


@pytest.mark.parametrize("step", STEPS)
def test_some_columns_of_some_rows_are_those_of_the_whole(step, tables):
    narrow = rows(f"SELECT start, percent_good, tag FROM {step} WHERE tag = 'plant/flow' AND time_average IS NULL ORDER BY start LIMIT 3")
    of_flow = (row for row in tables[step].values() if row["tag"] == "plant/flow" and row["time_average"] is None)
    expected = sorted(of_flow, key=lambda row: row["start"])[:3]
    assert narrow == [{name: row[name] for name in ("start", "percent_good", "tag")} for row in expected] and narrow


@pytest.mark.parametrize("name", ["plant/line0/t00", "plant/flow"])
def test_hours_are_those_of_the_table_function(name):
    """It asks the engine the same."""
    found = table(
        f"SELECT h.start AS start, h.time_average AS mine, a.value AS theirs, h.percent_good AS good FROM hourly h JOIN aggregate('{name}', "
        f"'2026-03-24T00:00:00Z', '2026-04-02T00:00:00Z', '1h', 'time_average') a ON a.timestamp = h.start AND a.tag = h.tag ORDER BY 1"
    )
    assert len(found["start"]) == 9 * 24
    for mine, theirs, good in zip(found["mine"], found["theirs"], found["good"]):
        assert mine == (theirs if good else None)


@pytest.mark.parametrize(("view", "step"), [("plant_hourly", "hourly"), ("plant_daily", "daily")])
def test_a_wide_view_has_a_column_for_each_tag_and_every_interval(view, step, tables):
    found = tables[step]
    answer = table(f"SELECT * FROM {view} ORDER BY start")
    names = [name for name in answer if name not in ("local_start", "start", "end")]
    tags = [name for name, *_ in TAGS]
    assert names == [tag.replace("/", "_") for tag in tags], names
    at = edges(step)
    first = min(times[0] for _, times, *_ in TAGS)
    starts = answer["start"]
    # Every interval from the first sample on, one after the other, up to the present.
    assert starts[0] == max(start for start in at if start <= first), local(starts[0])
    assert starts[: len(at) - at.index(starts[0])] == at[at.index(starts[0]) :]
    assert answer["end"][:-1] == starts[1:]
    now = datetime.now(timezone.utc).timestamp() * SECOND
    assert starts[-1] <= now and abs(answer["end"][-1] - now) < 120 * SECOND
    for tag, name in zip(tags, names):
        for start, value in zip(starts, answer[name]):
            row = found.get((tag, start))
            assert value == (row["time_average"] if row else None), (view, tag, str(local(start)), value, row)


def test_hours_of_local_time_are_selected_and_grouped_as_by_a_tool_that_knows_tables_and_columns_only(tables):
    """Hourly averages of 20 tags, one month, wide, local time: as a tool writes it that knows nothing but tables and columns."""
    view = table(
        "SELECT * FROM plant_hourly WHERE local_start >= TIMESTAMP '2026-03-28 00:00:00' AND local_start < TIMESTAMP '2026-04-01 00:00:00' "
        "ORDER BY start"
    )
    assert len(view["start"]) == 4 * 24 - 1
    hours = [datetime.fromtimestamp(ns // SECOND, timezone.utc).strftime("%d %H") for ns in view["local_start"]]
    assert "29 01" in hours and "29 02" not in hours and "29 03" in hours and hours[0] == "28 00" and hours[-1] == "31 23"
    assert view["plant_line0_t00"][5] == tables["hourly"]["plant/line0/t00", view["start"][5]]["time_average"]
    some = table("SELECT local_start, plant_mode FROM plant_hourly WHERE start >= '2026-03-28T00:00:00Z' AND start < '2026-03-28T03:00:00Z'")
    assert len(some["plant_mode"]) == 3
    # The same by grouping in the tool: days of hours.
    grouped = table(
        "SELECT tag, CAST(local_start AS DATE) AS day, count(*) AS hours, min(minimum) AS least FROM hourly "
        "WHERE tag IN ('plant/line0/t00', 'plant/line1/t01') GROUP BY tag, CAST(local_start AS DATE) ORDER BY tag, day"
    )
    by_day = {(tag, str(day)): (hours, least) for tag, day, hours, least in zip(*grouped.values())}
    assert by_day["plant/line0/t00", "2026-03-29"][0] == 23 and by_day["plant/line0/t00", "2026-03-28"][0] == 24
    daily = rows("SELECT * FROM daily WHERE tag = 'plant/line0/t00'")
    for row in daily:
        assert by_day["plant/line0/t00", str(local(row["start"]).date())][1] == row["minimum"]
    spans = {str(local(row["start"]).date()): (row["end"] - row["start"]) // HOUR for row in daily}
    assert (spans["2026-03-28"], spans["2026-03-29"], spans["2026-03-30"]) == (24, 23, 24)


def test_the_table_of_current_values_has_the_last_sample_of_each_tag():
    answer = rows("SELECT * FROM current ORDER BY tag")
    assert [row["tag"] for row in answer] == [name for name, *_ in TAGS]
    for row, (_, at, values, bad, _) in zip(answer, TAGS):
        assert row["timestamp"] == at[-1] and row["value"] == values[-1] and (row["quality"] % 2**32) == (BAD if bad[-1] else 0)
    assert [row["tag"] for row in rows("SELECT tag FROM current WHERE tag LIKE 'plant/line0/%' AND value > -1e9 ORDER BY tag DESC LIMIT 2")] == [
        "plant/line0/t15",
        "plant/line0/t12",
    ]
