"""What the backend of Grafana's Flight SQL plugin (influxdata-flightsql-datasource 1.1) asks, and what it makes of the answers.

Its code cannot be had as a Go module, so its requests are made here byte for byte, and answers are turned into frames by its rules: a column whose
type it does not know leaves a frame without that field, on which the plugin fails or shows nothing; times are taken for nanoseconds whatever
their unit; a statement must have exactly one endpoint; a time series needs an ascending column `time`. The historian has
a view `plant_hourly`.
"""

from datetime import datetime, timezone

import pyarrow as pa
import pyarrow.flight as flight
import pytest

from lib import client, field, nanoseconds, put, sql_message
from test_sql_intervals import TAGS

# A data source is configured with a token, or with user and password; the plugin refuses to be without.
TOKEN = flight.FlightCallOptions(headers=[(b"authorization", b"Bearer token"), (b"bucket-name", b"plant")])


@pytest.fixture(scope="module", autouse=True)
def written():
    """Some of the samples of the tables of intervals."""
    for name, at, values, *_ in TAGS:
        if name.startswith(("plant/line0/", "plant/flow")):
            put(name, at, values, mode="UPSERT")


@pytest.fixture(scope="module", params=["token", "user and password"])
def options(request):
    return TOKEN if request.param == "token" else flight.FlightCallOptions(headers=[client.authenticate_basic_token("grafana", "secret")])


def answer(command, content, options):
    """GetFlightInfo, then DoGet of its one endpoint."""
    info = client.get_flight_info(flight.FlightDescriptor.for_command(sql_message(command, content)), options)
    assert len(info.endpoints) == 1, f"unsupported endpoint count in response: {len(info.endpoints)}"
    return client.do_get(info.endpoints[0].ticket, options).read_all()


def kind(data_type):
    """The type of a field of a frame."""
    if data_type == pa.string():
        return "string"
    if data_type == pa.float64():
        return "float64"
    if data_type == pa.uint32():
        return "uint32"
    if data_type == pa.int64():
        return "int64"
    if data_type == pa.bool_():
        return "bool"
    if pa.types.is_timestamp(data_type):
        assert data_type.unit == "ns", f"{data_type} is read as nanoseconds"
        return "time"
    if pa.types.is_union(data_type) and data_type.mode == "dense":
        return "json"
    raise AssertionError(f"a column of type {data_type} is no field of a frame")


def frame(schema):
    return {column.name: kind(column.type) for column in schema}


def time_series(table):
    """The frame of a panel: per combination of texts and per number one series."""
    fields = frame(table.schema)
    assert fields.get("time") == "time", "no time column found"
    times = nanoseconds(table["time"])
    assert times == sorted(times), "the times of a series ascend"
    labels = [name for name, of in fields.items() if of == "string"]
    series = {}
    for row, at in zip(table.to_pylist(), times):
        for name, of in fields.items():
            if of in ("float64", "int64", "uint32"):
                series.setdefault((name, *(row[label] for label in labels)), []).append((at, row[name]))
    return series


def test_a_data_source_is_saved_and_tested(options):
    # The button "Save & test".
    assert frame(answer("CommandStatementQuery", field(1, "select 1"), options).schema)


def test_the_editor_finds_the_server_its_tables_and_their_columns(options):
    # The editor: what the server is, the tables, the columns of one.
    info = answer("CommandGetSqlInfo", b"", options)
    assert frame(info.schema) == {"info_name": "uint32", "value": "json"}
    assert "historian" in info["value"].to_pylist()
    tables = answer("CommandGetTables", field(4, "BASE TABLE"), options)
    assert set(frame(tables.schema).values()) == {"string"}
    names = tables["table_name"].to_pylist()
    assert {"samples", "current", "hourly", "daily", "tags", "gaps", "annotations", "plant_hourly", "plant_daily"} == set(names), names
    assert set(tables["table_type"].to_pylist()) == {"BASE TABLE"}
    for name in names:
        # The name is a pattern, in which _ stands for any letter; the first row counts.
        found = answer("CommandGetTables", field(3, name) + field(5, True), options)
        assert found["table_name"].to_pylist() == [name]
        columns = pa.ipc.read_schema(pa.py_buffer(found["table_schema"][0].as_py()))
        # Unsigned numbers are decimals in Flight SQL, which its frames do not know: of these tables the builder shows no columns, and a text
        # that names columns works (docs/clients.md).
        decimals = [column.name for column in columns if pa.types.is_decimal(column.type)]
        assert decimals == {"samples": ["integer"], "current": ["integer"]}.get(name, []), (name, decimals)
        assert frame(pa.schema([column for column in columns if column.name not in decimals]))


def test_every_column_has_a_remark_where_tools_look_for_it_and_answers_have_none():
    """Of a view with the unit of its tag; in an answer it would be a label."""
    REMARKS = b"ARROW:FLIGHT:SQL:REMARKS"
    listed = answer("CommandGetTables", field(5, True), TOKEN).to_pylist()
    assert {table["table_type"] for table in listed} == {"TABLE", "SYSTEM TABLE"}
    assert {table["table_name"] for table in listed if table["db_schema_name"] == "information_schema"} >= {"tables", "columns", "views", "routines"}
    for table in listed:
        columns = pa.ipc.read_schema(pa.py_buffer(table["table_schema"]))
        found = answer("CommandStatementQuery", field(1, f"SELECT * FROM {table['db_schema_name']}.{table['table_name']} LIMIT 0"), TOKEN).schema
        assert found.names == columns.names and found.types == columns.types, (table["table_name"], found, columns)
        assert all(REMARKS not in (column.metadata or {}) for column in found)
        assert columns.metadata[REMARKS], table
        if table["table_type"] == "TABLE":
            assert all(column.metadata[REMARKS] for column in columns), table
        if table["table_name"] == "plant_hourly":
            assert columns.field("plant_flow").metadata[REMARKS] == b"Feed to the boiler; in m3/h; time_average of plant/flow"
    types = answer("CommandGetTableTypes", b"", TOKEN)["table_type"].to_pylist()
    assert types == ["SYSTEM TABLE", "TABLE"], types


START, END = "2026-03-24T00:00:00Z", "2026-03-26T00:00:00Z"
OF_RANGE = f"start >= '{START}' AND start <= '{END}'"


# Texts as the builder and as people write them, with the plugin's macros filled in.
@pytest.mark.parametrize("statement", [
    f"SELECT start AS time, tag, time_average FROM hourly WHERE tag LIKE 'plant/line0/%' AND {OF_RANGE} ORDER BY time",
    f"SELECT start AS time, plant_line0_t00, plant_line0_t03 FROM plant_hourly WHERE {OF_RANGE} ORDER BY time",
    "SELECT date_bin(interval '3600 second', timestamp, timestamp '1970-01-01T00:00:00Z') AS time, tag, avg(value) AS value FROM samples "
    f"WHERE timestamp >= '{START}' AND timestamp <= '{END}' AND tag = 'plant/line0/t00' GROUP BY 1, tag ORDER BY time",
    f"SELECT timestamp AS time, tag, value FROM samples WHERE tag = 'plant/line0/t00' AND timestamp >= '{START}' AND timestamp <= '{END}' ORDER BY time",
    f"SELECT timestamp AS time, tag, value FROM downsample('plant/line0/t00', '{START}', '{END}', 500) ORDER BY time",
])
def test_a_panel_shows_a_series(statement):
    series = time_series(answer("CommandStatementQuery", field(1, statement), TOKEN))
    assert len(series) >= 1 and all(len(points) > 10 for points in series.values()), statement
    first = datetime.fromtimestamp(min(points[0][0] for points in series.values()) // 1_000_000_000, timezone.utc)
    assert first.isoformat().startswith("2026-03-24"), (statement, first)


def test_a_long_table_and_a_wide_view_are_the_same_series():
    hourly = time_series(
        answer("CommandStatementQuery", field(1, f"SELECT start AS time, tag, time_average FROM hourly WHERE {OF_RANGE} ORDER BY time"), TOKEN)
    )
    wide = time_series(answer("CommandStatementQuery", field(1, f"SELECT start AS time, plant_line0_t00 FROM plant_hourly WHERE {OF_RANGE} ORDER BY time"), TOKEN))
    assert hourly["time_average", "plant/line0/t00"] == wide["plant_line0_t00",]


@pytest.mark.parametrize("statement", ["SELECT tag, timestamp, value, quality, text FROM current", "SELECT * FROM tags LIMIT 5", "SELECT * FROM hourly LIMIT 5", "SELECT * FROM plant_hourly LIMIT 5"])
def test_a_table_is_a_frame(statement):
    assert frame(answer("CommandStatementQuery", field(1, statement), TOKEN).schema)
