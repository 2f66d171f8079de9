"""Answers of Flight SQL as they are on the wire: what is told of them, what is sent, and whose values they are of.

The messages are made by hand, so that what drivers hide is seen: handles, tickets, schemas with their nullability. The historian is empty at the
start.
"""

import decimal

import adbc_driver_flightsql.dbapi as adbc
import duckdb
import lib
import pyarrow as pa
import pyarrow.flight as flight
import pytest

from lib import BAD_SENSOR_FAILURE as BAD
from lib import NS as UTC
from lib import SECOND, START, URI, channel, client, field, fields, get, refused, sql_message
from lib import statement as statement_command

ROWS = 20_000


def put(tag, values, qualities):
    lib.put(tag, [START + index * SECOND for index in range(len(values))], values, qualities)


@pytest.fixture(scope="module", autouse=True)
def written():
    put("a/x", pa.array([float(index) for index in range(ROWS)]), [BAD if index % 10 == 0 else 0 for index in range(ROWS)])
    put("a/counter", pa.array([2**64 - 1, 2**63, 5, None], pa.uint64()), [0, 0, BAD, BAD])
    put("a/note", pa.array(["started", "ärger", "stopped"]), [0, 0, 0])


def descriptor(handle):
    return flight.FlightDescriptor.for_command(sql_message("CommandPreparedStatementQuery", field(1, handle)))


def prepare(text):
    """Handle, schema of the answer and schema of the parameters."""
    (result,) = client.do_action(flight.Action("CreatePreparedStatement", sql_message("ActionCreatePreparedStatementRequest", field(1, text))))
    made = fields(fields(result.body.to_pybytes())[2])
    parameters = pa.ipc.read_schema(pa.py_buffer(made[3])) if made.get(3) else pa.schema([])
    return made[1], pa.ipc.read_schema(pa.py_buffer(made[2])), parameters


def bind(handle, *columns):
    """The handle that binding answers."""
    batch = pa.record_batch({f"${number}": column for number, column in enumerate(columns, 1)})
    writer, reader = client.do_put(descriptor(handle), batch.schema)
    writer.write_batch(batch)
    writer.done_writing()
    answer = fields(reader.read().to_pybytes())
    writer.close()
    return answer[1]


def close(handle):
    list(client.do_action(flight.Action("ClosePreparedStatement", sql_message("ActionClosePreparedStatementRequest", field(1, handle)))))


def plan(handle):
    return client.get_flight_info(descriptor(handle))


def read(info, **options):
    (endpoint,) = info.endpoints
    return client.do_get(endpoint.ticket, **options).read_all()


def only(table):
    ((value,),) = [column.to_pylist() for column in table.columns]
    return value


@pytest.mark.parametrize("follow", [True, False], ids=["the handle of binding", "the first handle"])
def test_an_answer_is_of_the_values_that_were_bound_when_it_was_asked_for(follow):
    """Whatever is bound or closed before it is read: with the handle that binding answers, and with the first one, to which older clients keep."""
    COUNT = "SELECT count(*) FROM samples WHERE tag = $1 AND value >= $2"
    handle, _, _ = prepare(COUNT)
    bound = bind(handle, pa.array(["a/x"]), pa.array([ROWS - 10.0]))
    first = plan(bound if follow else handle)
    again = bind(bound if follow else handle, pa.array(["a/x"]), pa.array([ROWS - 3.0]))
    second = plan(again if follow else handle)
    assert only(read(first)) == 10 and only(read(second)) == 3 and only(read(first)) == 10
    if follow:
        # Both are answered at the same time, each for its own.
        assert only(read(plan(bound))) == 10 and only(read(plan(again))) == 3
    close(again if follow else handle)
    assert only(read(first)) == 10 and only(read(second)) == 3
    refused(KeyError, lambda: plan(handle), "closed")


def test_the_type_of_what_is_sent_counts_and_not_the_declared_one():
    """What is declared of parameters, and that the type of what is sent counts and not the declared one."""
    TIME = "SELECT count(*) FROM samples WHERE tag = 'a/x' AND timestamp >= ? AND quality = ? AND lower(tag) = lower(?)"
    handle, _, declared = prepare(TIME)
    assert declared.types == [pa.timestamp("ms", "UTC"), pa.int64(), pa.utf8()], declared
    at = START + (ROWS - 100) * SECOND
    for kind, unit in (("s", SECOND), ("ms", 1_000_000), ("us", 1000), ("ns", 1)):
        for zone in ("UTC", "Europe/Berlin", None):
            for quality in (pa.array([BAD]), pa.array([BAD], pa.uint32()), pa.array([str(BAD)]), pa.array([decimal.Decimal(BAD)])):
                bound = bind(handle, pa.array([at // unit], pa.timestamp(kind, zone)), quality, pa.array(["A/X"]))
                found = only(read(plan(bound)))
                assert found == 10, (kind, zone, quality.type, found)
    for text in ("2026-01-01T05:31:40Z", "2026-01-01 05:31:40", "2026-01-01T06:31:40+01:00"):
        assert only(read(plan(bind(handle, pa.array([text]), pa.array([BAD]), pa.array(["a/x"]))))) == 10, text
    assert only(read(plan(bind(handle, pa.array([None], pa.null()), pa.array([BAD]), pa.array(["a/x"]))))) == 0


def test_one_nanosecond_is_not_rounded_away():
    """One nanosecond more than a sample has: not rounded away."""
    above = "SELECT count(*) FROM samples WHERE tag = 'a/x' AND timestamp >= $1"
    handle, _, _ = prepare(above)
    assert only(read(plan(bind(handle, pa.array([START + (ROWS - 1) * SECOND + 1], UTC))))) == 0
    assert only(read(plan(bind(handle, pa.array([START + (ROWS - 1) * SECOND], UTC))))) == 1


def test_what_is_told_of_an_answer_is_what_is_sent():
    """To the nullability of each column, and told alike by each call that tells it."""
    VALUES = [
        pa.array([5]), pa.array([5], pa.int32()), pa.array([5], pa.uint64()), pa.array([2.5]), pa.array(["x"]), pa.array([True]),
        pa.array([START], UTC), pa.array([START // 1_000_000], pa.timestamp("ms")), pa.array([None], pa.null()), pa.array([None], pa.float64()),
        pa.array(["x"]).dictionary_encode(), pa.array([decimal.Decimal("1.25")]), pa.array([20_454], pa.date32()),
    ]
    answered = 0
    for text in (
        "SELECT $1",
        "SELECT $1 AS a, tag, quality FROM samples WHERE tag = 'a/x' LIMIT 3",
        "SELECT quality + $1 FROM samples WHERE tag = 'a/x' LIMIT 3",
        "SELECT coalesce(value, $1) FROM samples WHERE tag = 'a/x' LIMIT 3",
        "SELECT count(*), max(value) FROM samples WHERE value > $1",
        "SELECT CASE WHEN value > 3 THEN $1 END FROM samples WHERE tag = 'a/x' LIMIT 3",
    ):
        for value in VALUES:
            handle, _, _ = prepare(text)
            bound = bind(handle, value)
            try:
                info = plan(bound)
                sent = read(info).schema
            except (pa.ArrowInvalid, flight.FlightError):
                continue  # not every value fits every place
            assert info.schema.equals(sent, check_metadata=True), (text, value.type, info.schema, sent)
            assert client.get_schema(descriptor(bound)).schema.equals(sent, check_metadata=True)
            answered += 1
    assert answered >= 45, answered
    handle, told, _ = prepare("SELECT $1")
    assert told.types == [pa.utf8()], told


# Types that every client reads, from whatever they come: text and not dictionaries, numbers with a sign.
STATEMENTS = (
    "SELECT * FROM samples",
    "SELECT tag, max(quality), count(*) FROM samples GROUP BY tag",
    "SELECT * FROM range('a/x', '2026-01-01', '2026-01-02')",
    "SELECT * FROM range('a/**', '2026-01-01', '2026-01-02')",
    "SELECT * FROM range('a/counter', '2026-01-01', '2026-01-02')",
    "SELECT * FROM current('a/**')",
    "SELECT * FROM aggregate('a/x', '2026-01-01', '2026-01-02', '1h', 'time_average')",
    "SELECT * FROM downsample('a/x', '2026-01-01', '2026-01-02', 10, 'M4')",
    "SELECT * FROM tags",
    "SELECT * FROM gaps",
    "SELECT array_agg(DISTINCT tag), array_agg(quality) FROM samples WHERE tag = 'a/note'",
    "SELECT row_number() OVER (ORDER BY timestamp), tag || '!' FROM samples WHERE tag = 'a/note'",
    "SELECT arrow_cast(tag, 'Utf8View'), arrow_cast(1, 'UInt8'), arrow_cast(1, 'UInt16') FROM samples WHERE tag = 'a/note' LIMIT 1",
)


def plain(kind):
    if pa.types.is_list(kind):
        return plain(kind.value_type)
    strange = pa.types.is_dictionary(kind) or pa.types.is_unsigned_integer(kind) or kind in (pa.string_view(), pa.binary_view())
    return not strange


def direct(text):
    return flight.FlightDescriptor.for_command(statement_command(text))


ask = flight.FlightCallOptions(headers=[(b"historian-dictionaries", b"true")])


@pytest.mark.parametrize("text", STATEMENTS)
def test_types_are_those_that_every_client_reads(text):
    """From whatever they come: text and not dictionaries, numbers with a sign."""
    handle, prepared, _ = prepare(text)
    table = read(client.get_flight_info(direct(text)))
    for schema in (prepared, client.get_schema(direct(text)).schema, client.get_flight_info(direct(text)).schema, table.schema, read(plan(handle)).schema):
        assert all(plain(kind) for kind in schema.types), (text, schema)
        assert schema.equals(table.schema, check_metadata=True), (text, schema, table.schema)
    # Asked for, dictionaries are there, and the answer is the same; whoever reads it.
    info = client.get_flight_info(direct(text), ask)
    keyed = read(info)
    assert info.schema.equals(keyed.schema, check_metadata=True), (text, info.schema, keyed.schema)
    if "ORDER BY" not in text and "tag" in table.schema.names and text.startswith("SELECT * FROM samples"):
        assert pa.types.is_dictionary(keyed.schema.field("tag").type), keyed.schema
    answer, written_out = table, keyed.cast(table.schema)
    assert duckdb.sql("SELECT count(*) FROM (SELECT * FROM answer EXCEPT ALL SELECT * FROM written_out)").fetchall() == [(0,)], text
    assert table.num_rows == keyed.num_rows, text


def test_values_are_the_same_in_the_hands_of_another_engine():
    """The values themselves, in the hands of another engine."""
    samples = read(client.get_flight_info(direct("SELECT tag, quality FROM samples")))
    assert duckdb.sql("SELECT tag, quality, count(*) FROM samples GROUP BY ALL ORDER BY ALL").fetchall() == [
        ("a/counter", 0, 2), ("a/counter", BAD, 2), ("a/note", 0, 3), ("a/x", 0, ROWS * 9 // 10), ("a/x", BAD, ROWS // 10)
    ]
    counter = read(client.get_flight_info(direct("SELECT value FROM range('a/counter', '2026-01-01', '2026-01-02') ORDER BY timestamp")))
    assert counter.schema.types == [pa.decimal128(20, 0)], counter.schema
    assert counter.column(0).to_pylist() == [decimal.Decimal(2**64 - 1), decimal.Decimal(2**63), decimal.Decimal(5), None]
    # Queries of Flight itself keep the types of the engine.
    assert get({"range": {"tags": ["a/x"], "start": "2026-01-01", "end": "2026-01-02"}}).schema.field("quality").type == pa.uint32()


def test_several_rows_of_parameters_are_several_executions_with_one_answer():
    """A null among them too."""
    with adbc.connect(URI, autocommit=True) as connection, connection.cursor() as cursor:
        statement = cursor.adbc_statement
        statement.set_sql_query("SELECT $1 AS tag, count(*) AS n, max(value) AS highest FROM samples WHERE tag = $1 AND value < $2")
        statement.prepare()
        statement.bind(pa.record_batch({"1": pa.array(["a/x", None, "a/counter"]), "2": pa.array([10.0, 1.0, 6.0])}))
        stream, _ = statement.execute_query()
        answer = pa.RecordBatchReader._import_from_c(stream.address).read_all().to_pylist()
        assert answer == [
            {"tag": "a/x", "n": 10, "highest": 9.0}, {"tag": None, "n": 0, "highest": None}, {"tag": "a/counter", "n": 1, "highest": 5.0}
        ], answer


def test_a_long_statement_is_taken_and_a_list_without_end_is_not():
    """Its text may be longer than what tickets of other queries may be."""
    names = ", ".join(f"'area{number:04}/line/machine/temperature/actual'" for number in range(5000))
    long = f"SELECT count(*) FROM samples WHERE tag IN ({names}, 'a/note')"
    assert len(long) > 200_000
    assert only(read(client.get_flight_info(direct(long)))) == 3
    handle, _, _ = prepare(f"{long} AND quality = ?")
    assert only(read(plan(bind(handle, pa.array([0]))))) == 3
    endless = f"SELECT count(*) FROM samples WHERE tag IN ({', '.join(['1'] * 40_000)})"
    refused(pa.ArrowInvalid, lambda: client.get_flight_info(direct(endless)), "32768")


def test_buffers_are_compressed_where_that_is_asked_for():
    """Judged by the sizes of the messages as they come."""
    do_get = channel.unary_stream("/arrow.flight.protocol.FlightService/DoGet", request_serializer=lambda ticket: ticket, response_deserializer=bytes)
    ticket = field(1, statement_command("SELECT tag, timestamp, value, quality FROM samples WHERE tag = 'a/x'"))
    sizes = {
        asked: sum(len(message) for message in do_get(ticket, metadata=(("historian-compression", asked),))) for asked in ("none", "lz4", "zstd")
    }
    assert sizes["zstd"] < sizes["none"] / 2 and sizes["lz4"] < sizes["none"] * 0.7, sizes
    for header, value in ((b"historian-compression", b"best"), (b"historian-dictionaries", b"maybe")):
        options = flight.FlightCallOptions(headers=[(header, value)])
        refused(pa.ArrowInvalid, lambda: get(statement_command("SELECT 1"), options), header.decode())
    zstd = flight.FlightCallOptions(headers=[(b"historian-compression", b"zstd")])
    assert read(client.get_flight_info(direct("SELECT tag, value FROM samples")), options=zstd).num_rows == ROWS + 7
