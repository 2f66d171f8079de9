"""Sessions by ADBC's Flight SQL driver, which is Go's client, its incremental execution, and what the C++ client does instead.

The historian has a tag of each type with six samples (tests/it/support/sample.rs).
"""

import json
import time

import adbc_driver_flightsql.dbapi as flightsql
import adbc_driver_manager
import pyarrow.flight as flight

from lib import URI, connect, nanoseconds, refused

START = 1761436800_000000000  # 2025-10-26T00:00:00Z


STATEMENT = "SELECT timestamp FROM samples WHERE tag = 'types/i64' ORDER BY timestamp LIMIT 1"


def rows(connection, statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetch_arrow_table()


def await_option(session, name, value):
    """Waits until the client sends the cookie with an option: it takes note of a cookie beside the answer that brings it."""
    until = time.monotonic() + 10
    while json.loads(session.get_option("adbc.flight.sql.session.options"))[name] != value:
        assert time.monotonic() < until, f"the client does not send {name} = {value}"
        time.sleep(0.01)


def test_options_of_the_session_go_by_the_cookie_of_gos_client():
    """Options of the session go by the cookie that Go's client keeps."""
    with flightsql.connect(URI, db_kwargs={"adbc.flight.sql.rpc.with_cookie_middleware": "true"}) as connection:
        session = connection.adbc_connection
        assert json.loads(session.get_option("adbc.flight.sql.session.options"))["zone"] == "UTC"
        session.set_options(**{"adbc.flight.sql.session.option.zone": "Europe/Berlin"})
        await_option(session, "zone", "Europe/Berlin")
        table = rows(connection, STATEMENT)
        assert str(table.schema.field(0).type) == "timestamp[ns, tz=Europe/Berlin]", table.schema
        assert nanoseconds(table[0]) == [START], table
        session.set_options(**{"adbc.flight.sql.session.optionbool.zoneless": "true"})
        await_option(session, "zoneless", True)
        table = rows(connection, STATEMENT)
        assert str(table.schema.field(0).type) == "timestamp[ns]", table.schema
        assert nanoseconds(table[0]) == [START + 2 * 3600_000000000], table
        options = json.loads(session.get_option("adbc.flight.sql.session.options"))
        assert options == {"catalog": "historian", "schema": "public", "zone": "Europe/Berlin", "zoneless": True, "dictionaries": False}, options
        for name, value in {"zone": "Mars", "colour": "red", "catalog": "another"}.items():
            change = {f"adbc.flight.sql.session.option.{name}": value}
            refused(adbc_driver_manager.Error, lambda: session.set_options(**change), name)
        # What cannot be set is no failure of the session.
        assert json.loads(session.get_option("adbc.flight.sql.session.options")) == options
        session.set_options(**{"adbc.flight.sql.session.optionerase.zone": ""})
        assert json.loads(session.get_option("adbc.flight.sql.session.options"))["zone"] == "UTC"


def test_a_connection_has_a_zone_by_its_headers_and_credentials_of_any_kind():
    """The same for one connection by headers, without a session; and with credentials."""
    headers = {"adbc.flight.sql.rpc.call_header.historian-zone": "Asia/Tokyo", "username": "reader", "password": "secret"}
    with flightsql.connect(URI, db_kwargs=headers) as connection:
        table = rows(connection, STATEMENT)
        assert str(table.schema.field(0).type) == "timestamp[ns, tz=Asia/Tokyo]", table.schema
    with flightsql.connect(URI, db_kwargs={"adbc.flight.sql.authorization_header": "Bearer abc"}) as connection:
        assert rows(connection, STATEMENT).num_rows == 1


def test_execution_by_increments_is_complete_at_once():
    """Incremental execution: the answer is complete at once, and then there is no more of it."""
    with flightsql.connect(URI) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{"adbc.statement.exec.incremental": "true"})
        cursor.adbc_statement.set_sql_query("SELECT count(*) AS n FROM samples")
        partitions, schema, _ = cursor.adbc_statement.execute_partitions()
        assert len(partitions) == 1, partitions
        with connection.cursor() as reader:
            reader.adbc_read_partition(partitions[0])
            assert reader.fetchall() == [(42,)]
        progress = cursor.adbc_statement.get_option_float("adbc.statement.exec.progress")
        assert progress == 1.0, progress
        partitions, _, _ = cursor.adbc_statement.execute_partitions()
        assert partitions == [], partitions


def test_both_forms_of_a_handshake_are_answered():
    """User and password against a token, and the older one with a message."""
    client = connect()
    name, token = client.authenticate_basic_token(b"reader", b"secret")
    assert (name, token) == (b"authorization", b"Bearer no-authentication"), (name, token)
    assert len(list(client.list_flights(options=flight.FlightCallOptions(headers=[(name, token)])))) == 7

    class Older(flight.ClientAuthHandler):
        def authenticate(self, outgoing, incoming):
            outgoing.write(b"reader:secret")
            self.token = incoming.read()

        def get_token(self):
            return self.token

    handler = Older()
    client.authenticate(handler)
    assert handler.token == b"no-authentication", handler.token
    assert len(list(client.list_flights())) == 7
