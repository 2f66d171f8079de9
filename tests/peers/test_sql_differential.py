"""SQL judged by DuckDB: the same samples in both, the same statements at both, the same answers.

In its first phase, `heads`, 200,000 samples of every type are written; in the third, `corrected`, some are repeated, superseded, added and
deleted. The other phases compare after compactions and restarts. The samples come from a seed, so that each phase knows what the ones before it
wrote.
"""

import math
from datetime import date, datetime, timezone
from decimal import Decimal

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from adbc_driver_flightsql import dbapi as adbc

import lib
import stubs  # noqa: F401, makes the modules of the next line

from historian.v1 import write_pb2, write_pb2_grpc
from lib import BAD_NO_COMMUNICATION as BAD
from lib import PHASE, SECOND, URI

HOUR = 3600 * SECOND
START = 1_774_137_600 * SECOND  # 2026-03-22T00:00:00Z, a Sunday: the clock of Berlin changes a week later
UNCERTAIN = 0x40940000
NEGATIVE_NAN = np.frombuffer(np.uint64(0xFFF8000000000001).tobytes(), np.float64)[0]
random = np.random.default_rng(20260322)


def qualities(count):
    return random.choice(np.array([0, 0x00400000, UNCERTAIN, BAD], np.uint32), count, p=[0.9, 0.04, 0.03, 0.03])


def times(count, step_seconds):
    """Irregular times in order, with gaps of hours, whole microseconds so that DuckDB holds them."""
    steps = random.integers(1, int(step_seconds * 2e6), count)
    steps[random.integers(0, count, 5)] += 9 * 3600 * 1_000_000
    return START + np.cumsum(steps) * 1000


def nulls(quality):
    """Half of the Bad samples have no value."""
    return (quality == BAD) & (random.random(len(quality)) < 0.5)


def tag(name, count, step_seconds, values):
    at, quality = times(count, step_seconds), qualities(count)
    return name, at, values, nulls(quality), quality


def floats(count):
    values = np.round(random.normal(0, 100, count), 3)
    return values


wild = floats(50_000)
wild[random.integers(0, 50_000, 60)] = np.nan
wild[random.integers(0, 50_000, 60)] = NEGATIVE_NAN
wild[random.integers(0, 50_000, 40)] = np.inf
wild[random.integers(0, 50_000, 40)] = -np.inf
wild[random.integers(0, 50_000, 500)] = 0.0
wild[random.integers(0, 50_000, 500)] = -0.0
zeros = np.where(random.random(10_000) < 0.5, 0.0, -0.0)
large = random.integers(-(2**62), 2**62, 20_000)

TAGS = [
    tag("t/calm", 60_000, 20, pa.array(floats(60_000))),
    tag("t/wild", 50_000, 25, pa.array(wild, pa.float64(), from_pandas=False)),
    tag("t/zero", 10_000, 60, pa.array(zeros)),
    tag("t/f32", 20_000, 50, pa.array(floats(20_000).astype(np.float32))),
    tag("t/i64", 20_000, 50, pa.array(large)),
    tag("t/u64", 10_000, 90, pa.array(random.integers(0, 2**63, 10_000).astype(np.uint64))),
    tag("t/bool", 10_000, 90, pa.array(random.random(10_000) < 0.3)),
    tag("t/state", 10_000, 90, pa.array(random.integers(0, 3, 10_000).astype(np.uint32))),
    tag("t/text", 10_000, 90, pa.array([f"note {number % 97}" for number in range(10_000)])),
]
STATES = np.array(["off", "on", "fault"])
assert sum(len(at) for _, at, *_ in TAGS) == 200_000

# Corrections: some samples of t/calm and t/wild anew, some between the others, and two ranges deleted.
CALM, WILD = TAGS[0][1], TAGS[1][1]
picked = np.sort(random.choice(len(CALM), 3_000, replace=False))
again = tag("t/calm", 3_000, 1, pa.array(floats(3_000)))
CORRECTIONS = [
    ("t/calm", CALM[picked], again[2], again[3], again[4]),
    ("t/wild", WILD[1_000:3_000] + 1_000, pa.array(np.where(np.arange(2_000) % 100 == 0, np.inf, np.arange(2_000.0))), np.zeros(2_000, bool), np.zeros(2_000, np.uint32)),
]
DELETED = [("t/calm", int(CALM[20_000]), int(CALM[24_000])), ("t/wild", int(WILD[30_000]), int(WILD[30_500]))]


def column(values, missing):
    return pa.array([None if gone else value for value, gone in zip(values.to_pylist(), missing)], values.type, from_pandas=False)


def put(part):
    name, at, values, missing, quality = part
    values = column(values, missing)
    for first in range(0, len(at), 5_000):
        some = slice(first, first + 5_000)
        lib.put(name, at[some], values[some], pa.array(quality[some]))


def correct():
    for part in CORRECTIONS:
        put(part)
    for name, start, end in DELETED:
        request = write_pb2.DeleteRangeRequest(tags=[name], start=str(start), end=str(end), reason="a trial")
        write_pb2_grpc.WriteServiceStub(lib.channel).DeleteRange(request)


def as_double(values):
    if pa.types.is_string(values.type):
        return pa.nulls(len(values), pa.float64())
    if pa.types.is_boolean(values.type):
        return values.cast(pa.uint8()).cast(pa.float64())
    return pa.array(np.asarray(values.to_numpy(zero_copy_only=False)).astype(np.float64), from_pandas=False)


def as_text(name, values):
    if pa.types.is_string(values.type):
        return values
    if name == "t/state":
        return pa.array(STATES[values.to_numpy()])
    return pa.nulls(len(values), pa.utf8())


INTEGER = pa.decimal128(20, 0)


def as_integer(values):
    whole = values.type in (pa.int64(), pa.uint64())
    return pa.array([Decimal(value) for value in values.to_pylist()], INTEGER) if whole else pa.nulls(len(values), INTEGER)


def table(parts):
    """Samples as the table of SQL has them: timestamps without a zone, which are UTC."""
    columns = {"tag": [], "timestamp": [], "value": [], "quality": [], "text": [], "integer": []}
    for name, at, values, missing, quality in parts:
        columns["tag"].append(pa.array([name] * len(at)))
        columns["timestamp"].append(pa.array(at // 1000, pa.timestamp("us")))
        gone = pa.array(missing)
        columns["value"].append(pa.compute.if_else(gone, pa.scalar(None, pa.float64()), as_double(values)))
        columns["quality"].append(pa.array(quality))
        columns["text"].append(pa.compute.if_else(gone, pa.scalar(None, pa.utf8()), as_text(name, values)))
        columns["integer"].append(pa.compute.if_else(gone, pa.scalar(None, INTEGER), as_integer(values)))
    return pa.table({name: pa.chunked_array(chunks) for name, chunks in columns.items()})


@pytest.fixture(scope="module")
def judge():
    """DuckDB with the samples that the historian has in this phase."""
    judge = duckdb.connect()
    judge.execute("SET TimeZone = 'UTC'")
    judge.register("written", table(TAGS))
    judge.execute("CREATE TABLE samples AS SELECT * FROM written")
    if PHASE in ("corrected", "restarted"):
        for part in CORRECTIONS:
            judge.register("correction", table([part]))
            judge.execute("DELETE FROM samples s USING correction c WHERE s.tag = c.tag AND s.timestamp = c.timestamp")
            judge.execute("INSERT INTO samples SELECT * FROM correction")
            judge.unregister("correction")
        for name, start, end in DELETED:
            judge.execute(f"DELETE FROM samples WHERE tag = '{name}' AND timestamp >= make_timestamp({start // 1000}) AND timestamp < make_timestamp({end // 1000})")
    # Exact integers, in a table of their own.
    for name in ("t/i64", "t/u64"):
        _, at, values, missing, quality = next(part for part in TAGS if part[0] == name)
        judge.register("exact", pa.table({"timestamp": pa.array(at // 1000, pa.timestamp("us")), "value": column(values, missing), "quality": pa.array(quality)}))
        judge.execute(f"CREATE TABLE {name[2:]} AS SELECT * FROM exact")
        judge.unregister("exact")
    judge.execute("CREATE MACRO is_bad(q) AS q >= 2147483648")
    judge.execute("CREATE MACRO is_good(q) AS q < 1073741824")
    judge.execute("CREATE MACRO is_uncertain(q) AS q >= 1073741824 AND q < 2147483648")
    judge.execute("CREATE TABLE tags AS SELECT DISTINCT tag AS name FROM samples")
    return judge


@pytest.fixture(scope="module")
def cursor():
    """The historian with the samples of this phase."""
    if PHASE == "heads":
        for part in TAGS:
            put(part)
    if PHASE == "corrected":
        correct()
    with adbc.connect(URI, autocommit=True) as connection, connection.cursor() as cursor:
        yield cursor


# Statements: one text for both, or ours and the judge's. Columns named near… are sums of floats, in which the order of adding tells.
STATEMENTS = []


def same(*texts):
    STATEMENTS.extend((text, text) for text in texts)


def differ(ours, judges):
    STATEMENTS.append((ours, judges))


ALL = "count(*) AS n, count(value) AS present, min(value) AS low, max(value) AS high, sum(value) AS near_sum, avg(value) AS near_mean, min(timestamp) AS first_time, max(timestamp) AS last_time"
INSIDE = "timestamp >= '2026-03-24 05:17:11' AND timestamp < '2026-03-31 22:30:00'"
CONDITIONS = [
    "true",
    "is_good(quality)",
    "NOT is_bad(quality)",
    "is_bad(quality)",
    "is_uncertain(quality)",
    "value IS NOT NULL",
    "value IS NULL",
    INSIDE,
    f"is_good(quality) AND {INSIDE}",
    "value > 50",
    "value <= 0",
    "text = 'on'",
    "tag IN ('t/calm', 't/zero', 't/f32')",
]
for condition in CONDITIONS:
    same(
        f"SELECT {ALL} FROM samples WHERE {condition}",
        f"SELECT tag, {ALL} FROM samples WHERE {condition} GROUP BY tag",
    )
# Short intervals in a part only: what they give is compared row by row.
BRIEFLY = "timestamp >= '2026-03-24 05:17:11' AND timestamp < '2026-03-24 13:00:00'"
for bucket in ["10 seconds", "1 minute", "5 minutes", "1 hour", "7 hours", "1 day", "2 days", "7 days", "1 month"]:
    inside = BRIEFLY if bucket.endswith(("seconds", "minute", "minutes")) else INSIDE
    same(
        f"SELECT tag, time_bucket(INTERVAL '{bucket}', timestamp) AS bucket, {ALL} FROM samples WHERE tag <> 't/text' AND {inside} GROUP BY tag, bucket",
        f"SELECT time_bucket(INTERVAL '{bucket}', timestamp) AS bucket, min(value), max(value), count(*) FROM samples WHERE tag = 't/wild' AND is_good(quality) AND {inside} GROUP BY bucket",
    )
for zone in ["Europe/Berlin", "America/New_York", "Asia/Kolkata"]:
    for bucket in ["1 hour", "1 day", "7 days", "1 month"]:
        differ(
            f"SELECT tag, time_bucket('{bucket}', timestamp, '{zone}') AS bucket, count(*), min(value), max(value) FROM samples GROUP BY tag, bucket",
            f"SELECT tag, time_bucket(INTERVAL '{bucket}', timestamp::TIMESTAMPTZ, '{zone}') AS bucket, count(*), min(value), max(value) FROM samples GROUP BY tag, bucket",
        )
    local = f"timestamp AT TIME ZONE '{zone}'"
    for unit in ["hour", "day", "week", "month", "quarter", "year"]:
        differ(
            f"SELECT time_bucket('{unit}', timestamp, '{zone}') AS bucket, count(*) FROM samples WHERE tag = 't/calm' GROUP BY bucket",
            f"SELECT date_trunc('{unit}', timestamp::TIMESTAMPTZ AT TIME ZONE '{zone}') AT TIME ZONE '{zone}' AS bucket, count(*) FROM samples WHERE tag = 't/calm' GROUP BY bucket"
            if unit != "hour"
            else f"SELECT time_bucket(INTERVAL '1 hour', timestamp::TIMESTAMPTZ, '{zone}') AS bucket, count(*) FROM samples WHERE tag = 't/calm' GROUP BY bucket",
        )
    differ(
        f"SELECT ({local})::timestamp::date AS day, count(*) FROM samples GROUP BY day",
        f"SELECT (timestamp::TIMESTAMPTZ AT TIME ZONE '{zone}')::date AS day, count(*) FROM samples GROUP BY day",
    )
    differ(
        f"SELECT ({local})::date AS day, count(*) FROM samples GROUP BY day",
        f"SELECT (timestamp::TIMESTAMPTZ AT TIME ZONE '{zone}')::date AS day, count(*) FROM samples GROUP BY day",
    )
    differ(
        f"SELECT date_bin(INTERVAL '1 day', {local}) AS day, count(*), max(value) FROM samples GROUP BY day",
        f"SELECT time_bucket(INTERVAL '1 day', timestamp::TIMESTAMPTZ, '{zone}') AS day, count(*), max(value) FROM samples GROUP BY day",
    )
    differ(
        f"SELECT extract(hour FROM {local})::bigint AS hour, extract(dow FROM {local})::bigint AS dow, count(*) FROM samples GROUP BY hour, dow",
        f"SELECT extract(hour FROM timestamp::TIMESTAMPTZ AT TIME ZONE '{zone}') AS hour, extract(dow FROM timestamp::TIMESTAMPTZ AT TIME ZONE '{zone}') AS dow, count(*) FROM samples GROUP BY hour, dow",
    )
for unit in ["second", "minute", "hour", "day", "week", "month", "quarter", "year"]:
    inside = BRIEFLY if unit in ("second", "minute") else INSIDE
    same(f"SELECT date_trunc('{unit}', timestamp)::timestamp AS begun, count(*), min(value), max(value) FROM samples WHERE tag IN ('t/calm', 't/wild') AND {inside} GROUP BY begun")
for part in ["minute", "hour", "day", "dow", "doy", "month", "quarter", "year", "week"]:
    same(f"SELECT extract({part} FROM timestamp)::bigint AS part, {ALL} FROM samples WHERE tag = 't/wild' GROUP BY part")
for aggregate in ["stddev(value)", "stddev_pop(value)", "var_samp(value)", "var_pop(value)", "median(value)", "corr(value, value * 2 + 1)"]:
    same(f"SELECT tag, {aggregate} AS near FROM samples WHERE tag IN ('t/calm', 't/f32') GROUP BY tag")
same(
    # The order of numbers, in sorting, comparing, grouping and joining.
    "SELECT timestamp, value FROM samples WHERE tag = 't/wild' AND value IS NOT NULL ORDER BY value DESC, timestamp LIMIT 300",
    "SELECT timestamp, value FROM samples WHERE tag = 't/wild' AND value IS NOT NULL ORDER BY value, timestamp LIMIT 300",
    "SELECT count(*) FROM samples WHERE value > 1e308",
    "SELECT count(*) FROM samples WHERE value >= 'NaN'::double",
    "SELECT count(*) FROM samples WHERE value = 'NaN'::double",
    "SELECT count(*) FROM samples WHERE value < 'NaN'::double",
    "SELECT count(*) FROM samples WHERE value <> 'NaN'::double",
    "SELECT count(*) FROM samples WHERE isnan(value)",
    "SELECT count(*) FROM samples WHERE value = 'infinity'::double",
    "SELECT count(*) FROM samples WHERE value BETWEEN -10 AND 10",
    "SELECT count(*) FROM samples WHERE value IN (1.5, 2.25, 'NaN'::double)",
    "SELECT count(DISTINCT value) FROM samples WHERE tag = 't/calm'",
    "SELECT tag, count(DISTINCT quality) FROM samples GROUP BY tag",
    "SELECT DISTINCT quality FROM samples",
    "SELECT value > 0 AS positive, count(*) FROM samples GROUP BY positive",
    "SELECT tag, min(value) FILTER (WHERE is_good(quality)), max(value) FILTER (WHERE value < 10) FROM samples GROUP BY tag",
    "SELECT tag, min(-value), max(-value), min(value * 2), max(abs(value)) FROM samples GROUP BY tag",
    "SELECT tag, min(value - value), max(value - value) FROM samples WHERE tag = 't/wild' GROUP BY tag",
    "SELECT max(value - value) FROM samples WHERE tag = 't/wild'",
    "SELECT tag, max(value) AS high FROM samples GROUP BY tag HAVING max(value) > 100 ORDER BY tag",
    "SELECT tag, max(value) - min(value) AS spread FROM samples WHERE tag IN ('t/calm', 't/f32') GROUP BY tag",
    "SELECT min(text), max(text), count(text), count(DISTINCT text) FROM samples",
    "SELECT text, count(*) FROM samples WHERE text IS NOT NULL GROUP BY text",
    "SELECT greatest(value, 10), least(value, -10), timestamp FROM samples WHERE tag = 't/calm' ORDER BY timestamp LIMIT 500",
    # Selection and order.
    "SELECT * FROM samples WHERE tag = 't/f32' ORDER BY timestamp LIMIT 1000 OFFSET 17",
    "SELECT * FROM samples WHERE tag = 't/text' ORDER BY timestamp DESC LIMIT 100",
    f"SELECT count(*) FROM samples WHERE {INSIDE} AND tag LIKE 't/%' AND tag NOT LIKE '%o%'",
    "SELECT tag, timestamp, value FROM samples WHERE tag IN ('t/state', 't/bool') ORDER BY tag, timestamp LIMIT 700",
    "SELECT CASE WHEN value > 100 THEN 'high' WHEN value < -100 THEN 'low' ELSE 'in between' END AS band, count(*) FROM samples WHERE tag = 't/calm' GROUP BY band",
    "SELECT coalesce(value, -1) AS v, count(*) FROM samples WHERE tag = 't/bool' GROUP BY v",
    "SELECT nullif(value, 0) AS v, count(*) FROM samples WHERE tag = 't/state' GROUP BY v",
    "SELECT tag, timestamp, round(value, 1) AS near FROM samples WHERE tag = 't/calm' ORDER BY timestamp LIMIT 300",
    "SELECT timestamp, floor(value), ceil(value), sqrt(abs(value)) AS near FROM samples WHERE tag = 't/calm' ORDER BY timestamp LIMIT 300",
    "SELECT upper(tag), length(tag), split_part(tag, '/', 2), substr(tag, 3, 2), replace(tag, 't/', '') FROM samples GROUP BY tag",
    "SELECT cast(value AS bigint) AS whole, count(*) FROM samples WHERE tag = 't/state' GROUP BY whole",
    # Windows.
    f"SELECT timestamp, value, lag(value) OVER (ORDER BY timestamp), lead(value, 2) OVER (ORDER BY timestamp) FROM samples WHERE tag = 't/f32' AND {BRIEFLY}",
    "SELECT count(*) FROM samples WHERE value = 0",
    "SELECT count(*) FROM samples WHERE value < 0",
    "SELECT value, count(*) FROM samples WHERE tag = 't/zero' GROUP BY value",
    "SELECT count(*) FROM (SELECT * FROM samples WHERE tag = 't/zero' ORDER BY timestamp LIMIT 100) a JOIN (SELECT * FROM samples WHERE tag = 't/zero' ORDER BY timestamp LIMIT 100) b ON a.value = b.value",
    "SELECT timestamp, row_number() OVER (ORDER BY timestamp) AS n, rank() OVER (ORDER BY value, timestamp) AS r FROM samples WHERE tag = 't/zero' AND value IS NOT NULL",
    f"SELECT timestamp, min(value) OVER w AS low, max(value) OVER w AS high FROM samples WHERE tag = 't/wild' AND {BRIEFLY} WINDOW w AS (ORDER BY timestamp ROWS BETWEEN 20 PRECEDING AND CURRENT ROW)",
    f"SELECT timestamp, avg(value) OVER (ORDER BY timestamp ROWS BETWEEN 10 PRECEDING AND 10 FOLLOWING) AS near FROM samples WHERE tag = 't/calm' AND {BRIEFLY}",
    f"SELECT timestamp, count(value) OVER (ORDER BY timestamp RANGE BETWEEN INTERVAL '10 minutes' PRECEDING AND CURRENT ROW) AS n FROM samples WHERE tag = 't/calm' AND {BRIEFLY}",
    f"SELECT tag, timestamp, sum(quality % 7) OVER (PARTITION BY tag ORDER BY timestamp) AS s FROM samples WHERE tag IN ('t/bool', 't/state') AND {BRIEFLY}",
    "SELECT tag, max(high) FROM (SELECT tag, max(value) OVER (PARTITION BY tag) AS high FROM samples) GROUP BY tag",
    "SELECT tag, timestamp, first_value(value) OVER (PARTITION BY tag ORDER BY timestamp) AS f FROM samples WHERE tag IN ('t/calm', 't/f32') ORDER BY tag, timestamp LIMIT 1000",
    "SELECT count(*), max(gap) AS near FROM (SELECT extract(epoch FROM timestamp - lag(timestamp) OVER (PARTITION BY tag ORDER BY timestamp)) AS gap FROM samples)",
    "SELECT tag, sum(extract(epoch FROM (last_time - first_time))) AS near FROM (SELECT tag, min(timestamp) AS first_time, max(timestamp) AS last_time FROM samples GROUP BY tag) GROUP BY tag",
    # Joins.
    "SELECT count(*) FROM samples a JOIN samples b ON a.timestamp = b.timestamp AND a.tag < b.tag",
    "SELECT t.name, count(*) FROM tags t JOIN samples s ON s.tag = t.name GROUP BY t.name",
    "SELECT t.name, count(s.value) FROM tags t LEFT JOIN samples s ON s.tag = t.name AND s.value > 150 GROUP BY t.name",
    "SELECT count(*) FROM tags t WHERE EXISTS (SELECT 1 FROM samples s WHERE s.tag = t.name AND s.value > 1e300)",
    "SELECT count(*) FROM tags t WHERE NOT EXISTS (SELECT 1 FROM samples s WHERE s.tag = t.name AND s.value > 150)",
    "SELECT name FROM tags WHERE name IN (SELECT tag FROM samples WHERE text = 'fault')",
    "SELECT count(*) FROM samples WHERE tag = 't/calm' AND value > (SELECT avg(value) FROM samples WHERE tag = 't/calm')",
    "SELECT count(*), count(a.tag), count(b.tag) FROM (SELECT * FROM samples WHERE tag = 't/bool') a FULL JOIN (SELECT * FROM samples WHERE tag = 't/state') b ON a.timestamp = b.timestamp",
    "SELECT a.name, b.name FROM tags a CROSS JOIN tags b",
    "SELECT a.h, a.high, b.high FROM (SELECT time_bucket(INTERVAL '1 hour', timestamp) AS h, max(value) AS high FROM samples WHERE tag = 't/calm' GROUP BY h) a JOIN (SELECT time_bucket(INTERVAL '1 hour', timestamp) AS h, max(value) AS high FROM samples WHERE tag = 't/wild' GROUP BY h) b ON a.h = b.h",
    "SELECT count(*) FROM (SELECT value FROM samples WHERE tag = 't/wild') a JOIN (SELECT DISTINCT value FROM samples WHERE tag = 't/wild' AND (value > 300 OR isnan(value))) b ON a.value = b.value",
    # Sets and common tables.
    "SELECT tag FROM samples WHERE value > 200 UNION SELECT tag FROM samples WHERE value < -300",
    "SELECT name FROM tags EXCEPT SELECT tag FROM samples WHERE value > 200",
    "SELECT name FROM tags INTERSECT SELECT tag FROM samples WHERE value > 200",
    "WITH h AS (SELECT tag, time_bucket(INTERVAL '1 hour', timestamp) AS hour, avg(value) AS near FROM samples WHERE tag IN ('t/calm', 't/f32') GROUP BY tag, hour) SELECT tag, max(near) AS near FROM h GROUP BY tag",
    "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT sum(i), count(*) FROM n",
    "SELECT tag, date_trunc('day', timestamp)::timestamp AS day, count(*) FROM samples GROUP BY GROUPING SETS ((tag), (tag, day), ())",
    "SELECT tag, quality, count(*) FROM samples GROUP BY ROLLUP (tag, quality)",
)
# Exact integers: wider where they do not fit, or an error, and never another number.
for name, table_name in [("t/i64", "i64"), ("t/u64", "u64")]:
    exact = f"range('{name}', '2026-01-01', '2027-01-01')"
    for of in ["min(value), max(value), count(value)", "sum(value % 1000), count(DISTINCT value % 10)", "sum(value::DECIMAL(38, 0))"]:
        differ(f"SELECT {of} FROM {exact}", f"SELECT {of} FROM {table_name}")
    differ(f"SELECT timestamp, value FROM {exact} ORDER BY value DESC LIMIT 200", f"SELECT timestamp, value FROM {table_name} WHERE value IS NOT NULL ORDER BY value DESC NULLS LAST LIMIT 200")
STATEMENTS[-1] = (STATEMENTS[-1][0].replace(" ORDER", " WHERE value IS NOT NULL ORDER"), STATEMENTS[-1][1])
STATEMENTS[-5] = (STATEMENTS[-5][0].replace(" ORDER", " WHERE value IS NOT NULL ORDER"), STATEMENTS[-5][1])
# Beside the doubles of `samples`, in a column of their own: read, filtered, joined, grouped, and with the doubles from rollups.
same(
    "SELECT tag, timestamp, value, integer FROM samples WHERE integer IS NOT NULL AND tag LIKE 't/%64' ORDER BY integer DESC, tag, timestamp LIMIT 500",
    "SELECT tag, count(*), count(integer), min(integer), max(integer), count(DISTINCT integer) FROM samples GROUP BY tag",
    "SELECT tag, count(*), min(value), max(value), max(integer) FROM samples WHERE tag = 't/i64' GROUP BY tag",
    "SELECT time_bucket(INTERVAL '6 hours', timestamp) AS bucket, count(integer), min(integer), max(integer), max(value) FROM samples WHERE tag IN ('t/i64', 't/u64', 't/calm') GROUP BY bucket",
    "SELECT count(*) FROM samples WHERE tag IN ('t/i64', 't/u64') AND integer > 9007199254740992 AND integer <> value::DECIMAL(20, 0)",
    "SELECT sum(integer::DECIMAL(38, 0)) FROM samples",
    "SELECT count(*) FROM samples WHERE integer IS NULL AND value IS NOT NULL",
    "SELECT count(*) FROM samples a JOIN samples b ON a.integer = b.integer WHERE a.tag = 't/u64' AND b.tag LIKE 't/%'",
)
JUDGED = {name: f"SELECT timestamp, integer FROM samples WHERE tag = '{name}' AND integer IS NOT NULL ORDER BY integer DESC LIMIT 200" for name in ("t/i64", "t/u64")}
for name, ours in JUDGED.items():
    differ(ours, f"SELECT timestamp, value FROM {name[2:]} WHERE value IS NOT NULL ORDER BY value DESC NULLS LAST LIMIT 200")
MAY_FAIL = [(f"SELECT sum(value) FROM range('{name}', '2026-01-01', '2027-01-01')", f"SELECT sum(value) FROM {table}") for name, table in [("t/i64", "i64"), ("t/u64", "u64")]]


def plain(value):
    """A cell as both have it."""
    if isinstance(value, datetime):
        return (value.astimezone(timezone.utc) if value.tzinfo else value).replace(tzinfo=None).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value + 0.0
    return int(value) if value == int(value) else float(value)


def cells(table):
    def flat(chunk):
        return chunk.cast(chunk.type.value_type) if pa.types.is_dictionary(chunk.type) else chunk

    columns = []
    for chunked in table.columns:
        chunked = flat(chunked)
        if pa.types.is_timestamp(chunked.type):
            chunked = chunked.cast(pa.timestamp("us", chunked.type.tz))
        columns.append([plain(value) for value in chunked.to_pylist()])
    return list(zip(*columns))


def order(row):
    return [(value is not None, isinstance(value, str), value if value is not None else 0) for value in row]


def equal(ours, theirs, near):
    if ours == theirs:
        return True
    numbers = isinstance(ours, (int, float)) and isinstance(theirs, (int, float))
    if near and numbers:
        return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-6)
    return False


def difference(ours, judges, cursor, judge):
    """None, or what is different."""
    cursor.execute(ours)
    found = cursor.fetch_arrow_table()
    expected = judge.sql(judges).to_arrow_table()
    near = [name.startswith("near") for name in found.column_names]
    found, expected = cells(found), cells(expected)
    if "ORDER BY" not in judges.split("FROM")[-1]:
        exact = [index for index, is_near in enumerate(near) if not is_near]
        key = lambda row: (order([row[index] for index in exact]), order(row))
        found, expected = sorted(found, key=key), sorted(expected, key=key)
    if len(found) != len(expected):
        return f"{len(found)} rows, the judge has {len(expected)}: {found[:3]} {expected[:3]}"
    for row, (one, other) in enumerate(zip(found, expected)):
        if len(one) != len(other) or not all(equal(a, b, is_near) for a, b, is_near in zip(one, other, near)):
            return f"row {row}: {one}, the judge has {other}"
    return None


@pytest.mark.parametrize(("ours", "judges"), STATEMENTS, ids=[f"{number} {ours[:60]}" for number, (ours, _) in enumerate(STATEMENTS)])
def test_a_statement_is_answered_as_duckdb_answers_it(ours, judges, cursor, judge):
    assert difference(ours, judges, cursor, judge) is None, ours


@pytest.mark.parametrize(("ours", "judges"), MAY_FAIL, ids=["i64", "u64"])
def test_a_sum_of_integers_is_exact_or_refused(ours, judges, cursor, judge):
    try:
        assert difference(ours, judges, cursor, judge) is None, ours
    except adbc.Error as error:
        assert "does not fit" in str(error), error


def test_all_statements_for_the_judge_are_there():
    assert len(STATEMENTS) >= 135
