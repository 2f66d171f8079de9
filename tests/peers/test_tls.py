"""Clients over TLS: pyarrow, ADBC, grpcio and the Python package. In the phases `open`, `asked` and `shown` the historian asks for no certificate,
takes one, and requires one; HISTORIAN_TLS is the directory with `servers.crt` and the certificate `erp` of a client."""

import os
import pathlib

import adbc_driver_flightsql.dbapi as dbapi
import grpc
import pyarrow as pa
import pyarrow.flight as flight
import pytest

from lib import ADDRESS, PHASE, START, refused_rpc
from package import hc

DIRECTORY = pathlib.Path(os.environ.get("HISTORIAN_TLS", "."))
URI = f"grpc+tls://{ADDRESS}"


def pem(name):
    return (DIRECTORY / name).read_bytes()


def shown():
    """What a client shows in a phase where it is wanted."""
    return {} if PHASE == "open" else {"cert_chain": pem("erp.crt"), "private_key": pem("erp.key")}


def credentials(ca="servers.crt", show=True):
    return grpc.ssl_channel_credentials(pem(ca), *(([pem("erp.key"), pem("erp.crt")]) if show and PHASE != "open" else []))


def health(channel):
    return channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=10)


def test_flight_speaks_through_tls():
    rows = pa.record_batch({"tag": [f"tls/{PHASE}"] * 1000, "timestamp": pa.array(range(START, START + 1000), pa.timestamp("ns", "UTC")), "value": [0.5] * 1000})
    with flight.connect(URI, tls_root_certs=pem("servers.crt"), **shown()) as client:
        writer, reader = client.do_put(flight.FlightDescriptor.for_command('{"write": {"create_tags": true}}'), rows.schema)
        with writer:
            writer.write_batch(rows)
            assert b'"samples":"1000"' in reader.read().to_pybytes().replace(b" ", b"")
            writer.done_writing()
        ticket = f'{{"range": {{"tags": ["tls/{PHASE}"], "start": "{START}", "end": "{START + 1000}"}}}}'
        assert client.do_get(flight.Ticket(ticket.encode())).read_all().num_rows == 1000


def test_grpc_speaks_through_tls():
    with grpc.secure_channel(ADDRESS, credentials()) as channel:
        assert health(channel) == b"\x08\x01"


def test_flight_sql_speaks_through_tls():
    option = "adbc.flight.sql.client_option."
    options = {option + "tls_root_certs": pem("servers.crt").decode()}
    if PHASE != "open":
        options |= {option + "mtls_cert_chain": pem("erp.crt").decode(), option + "mtls_private_key": pem("erp.key").decode()}
    with dbapi.connect(URI, db_kwargs=options) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 + 1")
        assert cursor.fetchone() == (2,)


def test_who_trusts_another_authority_is_not_deceived():
    with grpc.secure_channel(ADDRESS, credentials("clients.crt")) as channel:
        refused_rpc(grpc.StatusCode.UNAVAILABLE, lambda: health(channel))


def test_who_calls_another_name_is_not_deceived():
    with grpc.secure_channel(ADDRESS, credentials(), [("grpc.ssl_target_name_override", "other.example")]) as channel:
        refused_rpc(grpc.StatusCode.UNAVAILABLE, lambda: health(channel))


def test_who_shows_no_certificate_is_served_where_none_is_required():
    with grpc.secure_channel(ADDRESS, credentials(show=False)) as channel:
        if PHASE == "shown":
            refused_rpc(grpc.StatusCode.UNAVAILABLE, lambda: health(channel))
        else:
            assert health(channel) == b"\x08\x01"


def test_the_package_speaks_through_tls():
    files = {} if PHASE == "open" else {"tls_cert": DIRECTORY / "erp.crt", "tls_key": DIRECTORY / "erp.key"}
    with hc.connect(URI, tls_ca=DIRECTORY / "servers.crt", **files) as plant:
        assert plant.sql("SELECT 1 AS one").column("one").to_pylist() == [1]
        assert plant.detectors().num_rows > 0
    with pytest.raises(ValueError, match="grpc\\+tls://host:port"):
        hc.connect(f"grpc://{ADDRESS}", tls_ca=DIRECTORY / "servers.crt")
