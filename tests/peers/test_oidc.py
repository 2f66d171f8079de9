"""Clients with tokens of an identity provider, where they have tokens of the historian otherwise: in a header, in metadata, and as a password. The role
of ana is an engineer's on `area1/**`, bob reads `area2/**`. HISTORIAN_TOKENS has the tokens by their names, JSON."""

import json
import os

import adbc_driver_flightsql.dbapi as flightsql
import adbc_driver_manager
import grpc
import pyarrow as pa
import pyarrow.flight as flight

from lib import ADDRESS, NS, START, URI, connect, refused, refused_rpc, ticket
from package import hc

TOKENS = json.loads(os.environ.get("HISTORIAN_TOKENS", "{}"))


def bearer(who):
    return flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {TOKENS[who]}".encode())])


def test_pyarrow_sends_a_token_of_the_provider():
    rows = pa.record_batch({"tag": ["area1/pyarrow"], "timestamp": pa.array([START], NS), "value": [1.5]})
    writer, reader = connect().do_put(flight.FlightDescriptor.for_command('{"write": {"create_tags": true}}'), rows.schema, bearer("ana"))
    with writer:
        writer.write_batch(rows)
        assert b'"samples":"1"' in reader.read().to_pybytes().replace(b" ", b"")
        writer.done_writing()
    command = ticket({"range": {"tags": ["**"], "start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}})
    assert "area1/pyarrow" in connect().do_get(command, bearer("ana")).read_all()["tag"].to_pylist()
    assert connect().do_get(command, bearer("bob")).read_all().num_rows == 0
    name, value = connect().authenticate_basic_token("anybody", TOKENS["ana"])
    assert value == f"Bearer {TOKENS['ana']}".encode()
    refused(flight.FlightUnauthenticatedError, lambda: connect().authenticate_basic_token("anybody", TOKENS["tampered"]), "the token is not valid")


def test_adbc_sends_a_token_of_the_provider():
    for options in [{"adbc.flight.sql.authorization_header": f"Bearer {TOKENS['ana']}"}, {"username": "ana", "password": TOKENS["ana"]}]:
        with flightsql.connect(URI, db_kwargs=options) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1 + ?", (1,))
            assert cursor.fetchone() == (2,)

    def tampered():
        with flightsql.connect(URI, db_kwargs={"username": "ana", "password": TOKENS["tampered"]}) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")

    refused(adbc_driver_manager.Error, tampered, "the token is not valid")


def test_grpcio_and_the_package_send_a_token_of_the_provider():
    def who(name):
        with grpc.insecure_channel(ADDRESS) as channel:
            metadata = [("authorization", f"Bearer {TOKENS[name]}")]
            return channel.unary_unary("/historian.v1.AccessService/WhoAmI")(b"", metadata=metadata, timeout=30)

    assert b"oidc:ana" in who("ana") and b"oidc:bob" in who("bob")
    refused_rpc(grpc.StatusCode.UNAUTHENTICATED, lambda: who("tampered"), "the token is not valid")
    with hc.connect(URI, token=TOKENS["ana"]) as plant:
        assert plant.sql("SELECT 1 AS one").column("one").to_pylist() == [1]
