"""Flight SQL: statements, what is refused, the catalog, prepared statements, sessions, and a driver."""

import re

import pyarrow as pa
import wire
from asked.question import TEMPERATURE, meta, sql, sql_command, steps
from data import START


def statements():
    on = "FROM samples WHERE tag = 'plant/boiler/temperature'"
    friday = "timestamp >= '2025-10-24' AND timestamp < '2025-10-25'"
    yield sql("samples", f"SELECT * {on} AND timestamp >= '2025-10-25 11:55:00' AND timestamp < '2025-10-25T12:15:00Z' ORDER BY timestamp")
    yield sql("samples of every type", "SELECT * FROM samples WHERE tag LIKE 'odd/%' ORDER BY tag, timestamp")
    yield sql("samples newest first", f"SELECT timestamp, value {on} ORDER BY timestamp DESC LIMIT 5")
    yield sql("samples by quality", f"SELECT quality, count(*) AS n, min(value), max(value) {on} GROUP BY quality ORDER BY quality")
    # Of one stream: where threads meet, the keys of a dictionary go by who comes first.
    yield sql("samples in dictionaries", "SELECT * FROM range('many/0*/value', '2025-10-24', '2025-10-24T12:00:00Z')", historian_dictionaries="true")
    yield sql("samples compressed", "SELECT tag, timestamp, value FROM samples WHERE starts_with(tag, 'many/') ORDER BY tag, timestamp LIMIT 200", historian_compression="zstd")
    yield sql("samples in a zone", f"SELECT timestamp, timestamp AT TIME ZONE 'Asia/Tokyo' AS there, extract(hour FROM timestamp) AS hour {on} AND {friday} ORDER BY timestamp LIMIT 3", historian_zone="Europe/Berlin")
    yield sql("samples without a zone", f"SELECT timestamp {on} ORDER BY timestamp LIMIT 3", historian_zone="Europe/Berlin", historian_zoneless="true")
    yield sql("hours from states", f"SELECT time_bucket('1 hour', timestamp) AS hour, count(*), min(value), max(value), avg(value) {on} AND is_good(quality) GROUP BY hour ORDER BY hour")
    yield sql("days in Berlin", f"SELECT time_bucket('1 day', timestamp, 'Europe/Berlin') AS day, count(*), sum(value) {on} GROUP BY 1 ORDER BY 1")
    yield sql("tags distinct", "SELECT DISTINCT tag FROM samples ORDER BY tag")
    yield sql("counts of all", "SELECT tag, count(*) AS n, count(value) AS v, min(timestamp), max(timestamp) FROM samples GROUP BY tag ORDER BY tag")
    yield sql("join with tags", "SELECT s.tag, t.unit, max(s.value) AS high FROM samples s JOIN tags t ON s.tag = t.name WHERE t.unit = 'Cel' GROUP BY s.tag, t.unit ORDER BY s.tag")
    yield sql("windows", f"SELECT timestamp, value, value - lag(value) OVER (ORDER BY timestamp) AS step {on} AND {friday} ORDER BY timestamp LIMIT 20")
    yield sql("with and union", f"WITH hot AS (SELECT timestamp, value {on} AND value > 100) SELECT 'hot' AS what, count(*) AS n FROM hot UNION ALL SELECT 'all', count(*) {on} ORDER BY 1")
    yield sql("tags", "SELECT name, value_type, unit, description, stepped, range_low, range_high, state_set, device, address FROM tags ORDER BY name")
    yield sql("tags of the run", "SELECT name, created, updated FROM tags WHERE name LIKE 'plant/line/%' ORDER BY name")
    yield sql("current", "SELECT * FROM current ORDER BY tag")
    yield sql("hourly", "SELECT * FROM hourly WHERE tag = 'plant/boiler/temperature' AND local_start >= '2025-10-25T22:00:00' AND local_start < '2025-10-26T06:00:00' ORDER BY start")
    yield sql("daily", "SELECT * FROM daily WHERE tag LIKE 'plant/%' ORDER BY tag, start")
    yield sql("daily in another zone", "SELECT tag, local_start, start, \"end\", time_average FROM daily WHERE tag = 'plant/boiler/pressure' ORDER BY start", historian_zone="America/New_York")
    yield sql("view", "SELECT * FROM line_daily WHERE local_start >= '2025-10-23' AND local_start < '2025-10-31' ORDER BY start")
    yield sql("view with descriptions", "SELECT * FROM boiler_hours WHERE start >= '2025-10-24' AND start < '2025-10-26' ORDER BY start")
    yield sql("gaps", "SELECT * FROM gaps")
    yield sql("function range", "SELECT * FROM range('plant/line/*', '2025-10-24', '2025-10-24T03:00:00Z', 'OUTSIDE') ORDER BY tag, timestamp")
    yield sql("function aggregate", "SELECT * FROM aggregate('plant/boiler/*', '2025-10-24', '2025-10-25', '6h', 'average,count', '{\"treat_uncertain_as_bad\": false}') ORDER BY tag, timestamp, function")
    yield sql("function downsample", "SELECT * FROM downsample('trend/vibration', '2025-10-24', '2025-10-25', 20, 'M4') ORDER BY timestamp")
    yield sql("function anomalies", "SELECT * FROM anomalies('plant/boiler/temperature', '2025-10-24', '2025-10-28', 'spike', '{\"window\": 21}') ORDER BY start")
    yield sql("function current", "SELECT * FROM current('[\"odd/*\", \"plant/line/batch\"]') ORDER BY tag")
    yield sql("remarks", "SELECT table_name, table_type, remarks FROM information_schema.tables ORDER BY table_name")
    yield sql("columns", "SELECT table_name, column_name, data_type, is_nullable, remarks FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position")
    yield sql("routines", "SELECT routine_name, function_type, remarks FROM information_schema.routines WHERE function_type = 'TABLE' ORDER BY routine_name")
    yield sql("explain samples", f"EXPLAIN SELECT timestamp, value {on} AND {friday} ORDER BY timestamp")
    yield sql("explain states", f"EXPLAIN SELECT time_bucket('1 hour', timestamp) AS hour, count(*), avg(value) {on} GROUP BY hour")
    yield sql("dialect top", "SELECT TOP 3 [tag], CONVERT(VARCHAR(5), value) AS v, DATEPART(hour, timestamp) AS h FROM \"HISTORIAN\".\"PUBLIC\".\"SAMPLES\" WITH (NOLOCK) WHERE tag = N'plant/boiler/setpoint' ORDER BY timestamp")
    yield sql("dialect odbc", "SELECT {fn UCASE(tag)} AS t, {fn TIMESTAMPDIFF(SQL_TSI_HOUR, {ts '2025-10-24 00:00:00'}, timestamp)} AS h FROM samples WHERE tag = 'plant/line/batch' ORDER BY timestamp {limit 4}")
    yield sql("dialect oracle", "SELECT TO_CHAR(timestamp, 'YYYY-MM-DD HH24:MI') AS t, NVL(text, '-') AS x, DECODE(quality, 0, 'good', 'other') AS q FROM samples WHERE tag = 'odd/text' ORDER BY timestamp FETCH FIRST 3 ROWS ONLY")
    yield sql("dialect nothing from dual", "SELECT USER, DATABASE(), 1 + 1 AS two, DATEADD(day, 3, TIMESTAMP '2025-10-24') AS later FROM DUAL")
    yield sql("the present", "SELECT now() AS now, now() > TIMESTAMP '2025-01-01' AS later")
    yield sql("an empty answer", "SELECT * FROM samples WHERE tag = 'plant/line/empty'")
    yield sql("numbers and their order", "SELECT value, value > 1 AS above, is_bad(quality) AS bad FROM samples WHERE tag = 'odd/floats' ORDER BY value, timestamp")


def refused():
    def of(name, text, **headers):
        return sql(f"refused/{name}", text, **headers)

    yield of("syntax", "SELEC 1")
    yield of("nothing", "")
    yield of("a table", "SELECT * FROM sample")
    yield of("a column", "SELECT temperature FROM samples")
    yield of("a function", "SELECT median_of_medians(value) FROM samples")
    yield of("an insert", "INSERT INTO samples VALUES (1)")
    yield of("a table that is made", "CREATE TABLE x AS SELECT 1")
    yield of("a set", "SET timezone = 'UTC'")
    yield of("two statements", "SELECT 1; SELECT 2")
    yield of("a file", "SELECT * FROM '/etc/passwd'")
    yield of("an unknown tag", "SELECT * FROM range('no/such', '2025-10-24', '2025-10-25')")
    yield of("a time of a function", "SELECT * FROM range('many/**', 'long ago', '2025-10-25')")
    yield of("an argument of a function", "SELECT * FROM aggregate('many/**', '2025-10-24', '2025-10-25', '1h', 'mean')")
    yield of("a division by zero", "SELECT 1 / (count(*) - count(*)) FROM tags")
    yield of("a time without seconds", "SELECT count(*) FROM samples WHERE tag = 'odd/single' AND timestamp < '2025-10-25 11:55'")
    yield of("a cast", "SELECT CAST(name AS INT) FROM tags ORDER BY name LIMIT 1")
    yield of("more rows than a query may have", "SELECT tag, timestamp, value FROM samples WHERE tag LIKE 'trend/%' ORDER BY tag, timestamp")
    yield of("parameters that are not bound", "SELECT * FROM samples WHERE tag = ?")
    yield of("a zone", "SELECT 1", historian_zone="Mars")
    yield of("an option", "SELECT 1", historian_dictionaries="maybe")


def metadata():
    yield meta("catalogs", "CommandGetCatalogs")
    yield meta("schemas", "CommandGetDbSchemas")
    yield meta("schemas of another catalog", "CommandGetDbSchemas", wire.field(1, "other"))
    yield meta("tables", "CommandGetTables")
    yield meta("tables with schemas", "CommandGetTables", wire.flag(5, True))
    yield meta("tables by pattern", "CommandGetTables", wire.field(1, "historian"), wire.field(2, "pub%"), wire.field(3, "%ly"), wire.field(4, "TABLE"))
    yield meta("table types", "CommandGetTableTypes")
    yield meta("xdbc types", "CommandGetXdbcTypeInfo")
    yield meta("sql info", "CommandGetSqlInfo")
    yield meta("sql info of some", "CommandGetSqlInfo", wire.flag(1, 0), wire.flag(1, 4), wire.flag(1, 500), wire.flag(1, 9_999))
    yield meta("primary keys", "CommandGetPrimaryKeys", wire.field(3, "samples"))
    yield meta("exported keys", "CommandGetExportedKeys", wire.field(3, "samples"))
    yield meta("imported keys", "CommandGetImportedKeys", wire.field(3, "samples"))
    yield meta("cross reference", "CommandGetCrossReference", wire.field(3, "samples"), wire.field(6, "tags"))
    yield meta("a substrait plan", "CommandStatementSubstraitPlan", wire.field(1, wire.field(1, b"x")))
    yield meta("an unknown command", "CommandGetNothing")
    yield meta("a handle that was never given", "CommandPreparedStatementQuery", wire.field(1, b"0123456789abcdef"))


def prepared(name, text, *bound, headers=None):
    """A prepared statement from its making to its closing; `bound` are rounds of columns of parameters."""

    def ask(doors, note):
        flight, rules = doors.flight, doors.flight.rules

        def learn(bodies):
            if bodies:
                rules.handle(wire.one(wire.one(bodies[0], 2), 1))

        request = sql_command("ActionCreatePreparedStatementRequest", wire.field(1, text))
        bodies = flight.action(note, "CreatePreparedStatement", request, headers, learn)
        if not bodies:
            return
        made = wire.one(bodies[0], 2)
        handle = wire.one(made, 1)
        for what, number in (("answer", 2), ("parameters", 3)):
            note.line(f"told of the {what}:")
            flight.schema(note, wire.one(made, number))
        for arrays in bound or [None]:
            if arrays is not None:
                note.line(f"==== bound {[array.to_pylist() for array in arrays]}")
                batch = pa.record_batch({f"${number}": array for number, array in enumerate(arrays, 1)})
                results = flight.put(note, sql_command("CommandPreparedStatementQuery", wire.field(1, handle)), [batch], raw=True, headers=headers)
                handle = wire.one(results[0], 1) if results else handle
            for ticket in flight.info(note, sql_command("CommandPreparedStatementQuery", wire.field(1, handle)), headers, raw=True):
                note.line("==== answer")
                flight.get(note, ticket, headers, raw=True)
        note.line("==== closed")
        flight.action(note, "ClosePreparedStatement", sql_command("ActionClosePreparedStatementRequest", wire.field(1, handle)), headers)
        flight.info(note, sql_command("CommandPreparedStatementQuery", wire.field(1, handle[:16])), headers, raw=True)

    return f"sql/prepared/{name}", text, ask


def prepared_statements():
    yield prepared("without parameters", "SELECT tag, count(*) AS n FROM samples WHERE tag LIKE 'plant/%' GROUP BY tag ORDER BY tag")
    yield prepared("a tag and a time", "SELECT timestamp, value FROM samples WHERE tag = ? AND timestamp >= ? ORDER BY timestamp LIMIT 5", [pa.array([TEMPERATURE]), pa.array([START // 1_000_000], pa.timestamp("ms", "UTC"))], [pa.array(["plant/line/flow"]), pa.array(["2025-10-24T12:00:00Z"])])
    yield prepared("several rows", "SELECT $1 AS tag, count(*) AS n FROM samples WHERE tag = $1 AND value < $2", [pa.array([TEMPERATURE, None, "odd/single"]), pa.array([80.0, 1.0, 9.0])])
    yield prepared("of a function", "SELECT * FROM range(?, ?, ?) ORDER BY timestamp", [pa.array(["plant/boiler/setpoint"]), pa.array(["2025-10-24"]), pa.array(["2025-10-25"])])
    yield prepared("of any type", "SELECT ? AS x", [pa.array([5])], [pa.array(["five"])], [pa.array([None], pa.null())])
    yield prepared("of an interval", "SELECT count(*) AS n FROM samples WHERE tag = 'plant/boiler/temperature' AND timestamp < TIMESTAMP '2025-10-24' + ?", [pa.array(["6 hours"])])
    yield prepared("in a zone", "SELECT count(*) AS n FROM samples WHERE tag = 'plant/boiler/temperature' AND timestamp < ?", [pa.array([START // 1000 + 7_200_000_000], pa.timestamp("us"))], headers={"historian-zone": "Europe/Berlin", "historian-zoneless": "true"})
    yield prepared("too few", "SELECT ? AS x, ? AS y", [pa.array([5])])
    yield prepared("a text that is no number", "SELECT count(*) FROM samples WHERE tag = 'odd/single' AND value > ?", [pa.array(["much"])])
    yield prepared("refused", "SELECT nothing FROM samples WHERE tag = ?")


def sessions():
    def options(**given):
        """SetSessionOptionsRequest: a map of names to values."""
        value = lambda text: wire.field(1, text) if isinstance(text, str) else wire.flag(2, text)
        return b"".join(wire.field(1, wire.field(1, name) + wire.field(2, value(given[name]))) for name in given)

    def sessions(doors, note):
        """SetSessionOptions, GetSessionOptions, a statement and CloseSession, with the cookie that is given"""
        flight = doors.flight
        cookie = {}

        def asked(kind, body=b""):
            note.line(f"==== {kind}")
            flight.action(note, kind, body, cookie)
            for line in reversed(note.lines):
                found = re.search(r"set-cookie: ([^;]+)", line)
                if found:
                    cookie["cookie"] = found[1]
                    break

        asked("GetSessionOptions")
        asked("SetSessionOptions", options(zone="Europe/Berlin"))
        asked("SetSessionOptions", options(zoneless=True))
        asked("SetSessionOptions", options(zone="Mars"))
        asked("SetSessionOptions", options(colour="red"))
        asked("GetSessionOptions")
        note.line("==== a statement")
        for ticket in flight.info(note, sql_command("CommandStatementQuery", wire.field(1, "SELECT timestamp FROM samples WHERE tag = 'odd/single'")), cookie, raw=True):
            flight.get(note, ticket, cookie, raw=True)
        asked("CloseSession")
        note.line("==== a cookie that was never given")
        flight.action(note, "GetSessionOptions", b"", {"cookie": "arrow_flight_session_id=abc"})

    yield steps("sql/session", sessions)
    yield "sql/cancel", "CancelFlightInfo of nothing that runs", lambda doors, note: doors.flight.action(note, "CancelFlightInfo", wire.field(1, b""))
    yield "sql/update", "DoPut of CommandStatementUpdate", lambda doors, note: doors.flight.put(note, sql_command("CommandStatementUpdate", wire.field(1, "DELETE FROM samples")), [], pa.schema([]), raw=True)

    def adbc(doors, note):
        """what ADBC's driver makes of it: get_objects, get_info, a cursor with parameters"""
        import adbc_driver_flightsql.dbapi as dbapi

        with dbapi.connect(f"grpc://{doors.cli.address}", autocommit=True) as connection:
            for entry in connection.adbc_get_objects(depth="all").read_all().to_pylist():
                note.line(entry)
            note.line(connection.adbc_get_table_types())
            note.line(*(field for field in connection.adbc_get_table_schema("samples")))
            with connection.cursor() as cursor:
                cursor.execute("SELECT timestamp, value FROM samples WHERE tag = ? ORDER BY timestamp LIMIT 3", (TEMPERATURE,))
                table = cursor.fetch_arrow_table()
                note.line(table.schema, table.to_pylist())
                try:
                    cursor.execute("SELECT * FROM nothing")
                except Exception as error:
                    note.line(type(error).__name__, error)

    yield steps("sql/adbc", adbc)
