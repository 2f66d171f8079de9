"""SQL through the ADBC driver for Flight SQL, pandas, polars and DuckDB.

The historian is empty at the start and has a small bound for the memory of a statement.
"""

import math
import threading
import time

import adbc_driver_flightsql.dbapi as adbc
import adbc_driver_manager
import duckdb
import lib
import polars
import pyarrow as pa
import pyarrow.flight as flight
import pytest

from lib import BAD, NS, SECOND, START, URI, client, field, nanoseconds

ROWS = 100_000
# An endless statement.
ENDLESS = "SELECT count(*) FROM generate_series(1, 1000000000000)"


def put(tag, values, quality=None, step=SECOND):
    lib.put(tag, [START + index * step for index in range(len(values))], values, quality)


connection = cursor = None


@pytest.fixture(scope="module", autouse=True)
def written():
    global connection, cursor
    put("area1/boiler/pressure", [math.sin(index / 1000) * 10 for index in range(ROWS)])
    put("area1/boiler/level", list(range(1000)), [BAD if index % 10 == 0 else 0 for index in range(1000)])
    put("area2/note", ["started", "ärger", "stopped"], step=60 * SECOND)
    with adbc.connect(URI, autocommit=True) as connection, connection.cursor() as cursor:
        yield


def table(statement, parameters=None):
    cursor.execute(statement, parameters)
    return cursor.fetch_arrow_table()


def rows(statement, parameters=None):
    cursor.execute(statement, parameters)
    return cursor.fetchall()


def refused(statement, *fragments, parameters=None):
    return lib.refused(adbc_driver_manager.Error, lambda: rows(statement, parameters), *fragments)


def test_samples_have_their_columns_and_types_and_every_row():
    """Selection, filters, types."""
    whole = table("SELECT * FROM samples WHERE tag = 'area1/boiler/pressure' ORDER BY timestamp")
    assert whole.num_rows == ROWS, whole.num_rows
    assert whole.schema.names == ["tag", "timestamp", "value", "quality", "text", "integer"]
    kinds = [pa.utf8(), NS, pa.float64(), pa.int64(), pa.utf8(), pa.decimal128(20, 0)]
    assert whole.schema.types == kinds, whole.schema
    assert nanoseconds(whole.column("timestamp")) == [START + index * SECOND for index in range(ROWS)]
    assert whole.column("value").to_pylist() == [math.sin(index / 1000) * 10 for index in range(ROWS)]
    assert set(whole.column("tag").to_pylist()) == {"area1/boiler/pressure"}


def test_rows_are_selected_by_tag_time_quality_and_value():
    assert rows("SELECT count(*) FROM samples") == [(ROWS + 1003,)]
    assert rows("SELECT count(*) FROM samples WHERE tag LIKE 'area1/%' AND is_bad(quality)") == [(100,)]
    between = "timestamp >= '2026-01-01T00:01:00Z' AND timestamp < '2026-01-01T00:02:00Z'"
    assert rows(f"SELECT count(*), min(value) FROM samples WHERE tag = 'area1/boiler/level' AND {between}") == [(60, 60.0)]
    assert rows("SELECT text FROM samples WHERE tag = 'area2/note' ORDER BY timestamp") == [("started",), ("ärger",), ("stopped",)]
    latest = rows("SELECT value FROM samples WHERE tag = 'area1/boiler/level' ORDER BY timestamp DESC LIMIT 2")
    assert latest == [(999.0,), (998.0,)], latest
    assert table("SELECT * FROM samples WHERE tag = 'none'").num_rows == 0


def test_samples_are_joined_grouped_and_read_by_functions():
    """Joining, grouping, buckets, functions of the engine."""
    joined = rows(
        "SELECT t.name, t.value_type, count(*) FROM samples s JOIN tags t ON s.tag = t.name WHERE t.name LIKE 'area1/%' GROUP BY ALL ORDER BY 1"
    )
    assert joined == [("area1/boiler/level", "i64", 1000), ("area1/boiler/pressure", "f64", ROWS)], joined
    buckets = rows(
        "SELECT time_bucket('5 minutes', timestamp) AS bucket, avg(value), count(*) FROM samples WHERE tag = 'area1/boiler/level' "
        "GROUP BY bucket ORDER BY bucket"
    )
    assert [bucket[1:] for bucket in buckets] == [(149.5, 300), (449.5, 300), (749.5, 300), (949.5, 100)], buckets
    assert rows("SELECT count(*) FROM range('area1/**', '2026-01-01', '2026-01-01T00:00:10Z')") == [(20,)]
    assert rows("SELECT value FROM current('area1/boiler/level')") == [(999,)]
    assert rows("SELECT count(*) FROM gaps") == [(0,)]


def test_groups_are_the_same_from_states_and_from_samples():
    """A condition on the value is told by samples only."""
    grouped = (
        "SELECT tag, time_bucket('5 minutes', timestamp) AS bucket, min(value), max(value), count(*) FROM samples WHERE tag LIKE 'area1/%' {} "
        "GROUP BY tag, bucket ORDER BY tag, bucket"
    )
    by_states, by_samples = grouped.format(""), grouped.format("AND (value IS NULL OR value < 1e300)")
    assert any("RollupExec" in line for _, line in rows(f"EXPLAIN {by_states}"))
    assert not any("RollupExec" in line for _, line in rows(f"EXPLAIN {by_samples}"))
    assert len(rows(by_states)) == 338 and rows(by_states) == rows(by_samples)


def test_parameters_are_bound_by_number_and_by_question_mark():
    """Parameters, by number and by question mark; executed again with others."""
    for statement in ("SELECT count(*) FROM samples WHERE tag = $1 AND value >= $2", "SELECT count(*) FROM samples WHERE tag = ? AND value >= ?"):
        assert rows(statement, ("area1/boiler/level", 990)) == [(10,)]
        assert rows(statement, ("area1/boiler/level", 995.0)) == [(5,)]
    assert rows("SELECT count(*) FROM samples WHERE tag = 'area1/boiler/level' AND timestamp < ?", (pa.scalar(START + 5 * SECOND, NS).as_py(),)) == [(5,)]
    cursor.adbc_prepare("SELECT value FROM samples WHERE tag = 'area1/boiler/level' AND value = $1")
    assert rows("SELECT value FROM samples WHERE tag = 'area1/boiler/level' AND value = $1", (7,)) == [(7.0,)]
    refused("SELECT count(*) FROM samples WHERE value > $1", "$1")
    assert rows("SELECT $1, $2, lower($3)", (1, "x", "X")) == [(1, "x", "x")]
    assert rows("SELECT count(*) FROM samples WHERE tag = $1 AND value > $2", ("area1/boiler/level", None)) == [(0,)]
    refused("SELECT $1 + $2", "2 parameters and 1 values", parameters=(1,))
    assert rows("SELECT '?'") == [("?",)]


def test_the_catalog_is_as_tools_ask_for_it():
    """The catalog, as BI tools ask for it."""
    objects = connection.adbc_get_objects(depth="columns").read_all().to_pylist()
    assert [entry["catalog_name"] for entry in objects] == ["historian"], objects
    schemas = {schema["db_schema_name"]: schema["db_schema_tables"] for schema in objects[0]["catalog_db_schemas"]}
    assert set(schemas) == {"public", "information_schema"}, set(schemas)
    columns = {entry["table_name"]: [column["column_name"] for column in entry["table_columns"]] for entry in schemas["public"]}
    assert set(columns) == {"annotations", "current", "daily", "gaps", "hourly", "samples", "tags"}, columns
    assert columns["samples"] == ["tag", "timestamp", "value", "quality", "text", "integer"], columns
    assert connection.adbc_get_table_schema("samples").names == columns["samples"]
    assert sorted(connection.adbc_get_table_types()) == ["SYSTEM TABLE", "TABLE"]
    assert connection.adbc_get_info()["vendor_name"] == "historian"
    tables = rows("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1")
    assert tables == [("annotations",), ("current",), ("daily",), ("gaps",), ("hourly",), ("samples",), ("tags",)], tables


def test_what_is_wrong_or_writes_is_refused_in_clear_words():
    """Clear refusals."""
    refused("SELEC 1", "INVALID_ARGUMENT")
    refused("SELECT nope FROM samples", "no column nope", "samples.value")
    refused("SELECT * FROM nope", "nope")
    refused("SELECT * FROM range('nothing', '*-1h', '*')", "no tag")
    for statement in (
        "INSERT INTO samples VALUES ('a', now(), 1, 0, NULL, NULL)",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/historian-sql-test.csv'",
        "DROP TABLE samples",
    ):
        refused(statement, "SQL reads only")
    refused("SELECT * FROM '/etc/passwd'", "INVALID_ARGUMENT")
    lib.refused(adbc_driver_manager.Error, lambda: cursor.adbc_ingest("samples", pa.table({"tag": ["a"]})), "SQL reads only")
    # The service works on.
    assert rows("SELECT 1 + 1") == [(2,)]


def test_a_statement_beyond_its_memory_is_refused_by_the_name_of_the_bound():
    refused("SELECT a.value FROM samples a CROSS JOIN generate_series(1, 50) ORDER BY a.value * random()", "ResourceExhausted", "sql_memory_bytes_max")


def test_a_deadline_of_the_client_ends_its_statement():
    """A deadline of the client, and a cancellation while it runs."""
    hurried = adbc.connect(URI, autocommit=True, db_kwargs={"adbc.flight.sql.rpc.timeout_seconds.fetch": "0.5", "adbc.flight.sql.rpc.timeout_seconds.query": "5"})
    with hurried.cursor() as slow:

        def run():
            slow.execute(ENDLESS)
            slow.fetchall()

        error = lib.refused(adbc_driver_manager.Error, run)
        assert "deadline" in str(error).lower(), error
    hurried.close()


def test_a_statement_is_cancelled_while_it_runs():
    """A partition is a FlightInfo; it is read through the driver, because pyarrow turns CANCELLED into a SIGINT of its own process."""
    (partition,), _ = cursor.adbc_execute_partitions(ENDLESS)
    ended = []

    def read():
        with adbc.connect(URI, autocommit=True) as other, other.cursor() as reading:
            try:
                reading.adbc_read_partition(partition)
                reading.fetchall()
            except adbc_driver_manager.Error as error:
                ended.append(str(error))

    started = time.monotonic()
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    while time.monotonic() - started < 30:
        # CancelFlightInfoRequest is one field, the info; the answer is one field, 1 for CANCELLED.
        (answer,) = client.do_action(flight.Action("CancelFlightInfo", field(1, partition)))
        if answer.body.to_pybytes() == b"\x08\x01":
            break
        time.sleep(0.05)
    reader.join(30)
    assert not reader.is_alive() and len(ended) == 1 and "cancel" in ended[0].lower(), ended


def test_answers_go_into_the_hands_of_polars_duckdb_and_pandas():
    """Tables in the hands of other engines."""
    frame = polars.read_database("SELECT timestamp, value FROM samples WHERE tag = 'area1/boiler/level'", connection)
    assert frame.height == 1000 and frame["value"].max() == 999.0
    cursor.execute("SELECT tag, value FROM samples WHERE tag LIKE 'area1/%'")
    batches = cursor.fetch_record_batch()
    assert duckdb.sql("SELECT count(*), count(DISTINCT tag) FROM batches").fetchall() == [(ROWS + 1000, 2)]
    cursor.execute("SELECT * FROM tags ORDER BY name")
    assert list(cursor.fetch_df()["name"]) == ["area1/boiler/level", "area1/boiler/pressure", "area2/note"]
