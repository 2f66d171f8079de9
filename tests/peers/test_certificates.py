"""Clients that are known by their certificate, and send no token. The certificate `erp` is a reader's of `seen/**`; more environment variables than
those of lib.py:

  HISTORIAN_HTTP    host:port of the health pages and the metrics
  HISTORIAN_TLS     the directory with `servers.crt`, `erp.crt` and `erp.key`
  HISTORIAN_TOKENS  JSON: tokens by the names of who has them
"""

import json
import os
import pathlib
import subprocess

import adbc_driver_flightsql.dbapi as flightsql
import grpc
import pyarrow as pa
import pyarrow.flight as flight

from lib import ADDRESS, field, refused, refused_rpc, ticket
from package import hc

DIRECTORY = pathlib.Path(os.environ.get("HISTORIAN_TLS", "."))
HTTP = f"https://{os.environ.get('HISTORIAN_HTTP', 'localhost:1')}"
TOKENS = json.loads(os.environ.get("HISTORIAN_TOKENS", "{}"))
URI = f"grpc+tls://{ADDRESS}"
SEEN = ["seen/here", "seen/more", "seen/zz"]
RANGE = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:01:00Z"}


def pem(name):
    return (DIRECTORY / name).read_bytes()


def connect(name="erp"):
    shown = {} if name is None else {"cert_chain": pem(f"{name}.crt"), "private_key": pem(f"{name}.key")}
    return flight.connect(URI, tls_root_certs=pem("servers.crt"), **shown)


def tags(client, options=None):
    return sorted(set(client.do_get(ticket({"range": {"tags": ["**"], **RANGE}}), options).read_all()["tag"].to_pylist()))


def test_pyarrow_is_known_by_its_certificate():
    assert tags(connect()) == SEEN
    refused(pa.ArrowKeyError, lambda: connect().get_flight_info(flight.FlightDescriptor.for_path("hidden", "here")), "there is no tag")
    refused(flight.FlightUnauthenticatedError, lambda: tags(connect(None)), "asks for a token")
    refused(flight.FlightUnauthorizedError, lambda: tags(connect("mes")), "certificate:urn:client:mes may not read")


def test_adbc_is_known_by_its_certificate():
    option = "adbc.flight.sql.client_option."
    options = {
        option + "tls_root_certs": pem("servers.crt").decode(),
        option + "mtls_cert_chain": pem("erp.crt").decode(),
        option + "mtls_private_key": pem("erp.key").decode(),
    }
    with flightsql.connect(URI, db_kwargs=options) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT tag FROM samples WHERE tag <> ? ORDER BY tag", ("seen/zz",))
        assert [row[0] for row in cursor.fetchall()] == SEEN[:2]


def test_grpcio_is_known_by_its_certificate():
    credentials = grpc.ssl_channel_credentials(pem("servers.crt"), pem("erp.key"), pem("erp.crt"))
    with grpc.secure_channel(ADDRESS, credentials) as channel:
        told = channel.unary_unary("/historian.v1.AccessService/WhoAmI")(b"", timeout=30)
        assert b"certificate:urn:client:erp" in told and b"seen/**" in told, told
        write = channel.unary_unary("/historian.v1.TagService/DeleteTag")
        refused_rpc(grpc.StatusCode.PERMISSION_DENIED, lambda: write(field(1, "seen/here"), timeout=30), "certificate:urn:client:erp", "configure")


def test_curl_is_known_by_its_certificate():
    def curl(*arguments):
        command = ["curl", "--silent", "--max-time", "30", "--output", "/dev/null", "--write-out", "%{http_code}", "--cacert", str(DIRECTORY / "servers.crt")]
        return subprocess.run([*command, *arguments, f"{HTTP}/metrics"], capture_output=True, check=True, text=True).stdout

    shown = ["--cert", str(DIRECTORY / "erp.crt"), "--key", str(DIRECTORY / "erp.key")]
    assert (curl(), curl(*shown)) == ("401", "403")
    assert curl(*shown, "--oauth2-bearer", TOKENS["admin"]) == "200"


def test_the_package_is_known_by_its_certificate():
    with hc.connect(URI, tls_ca=DIRECTORY / "servers.crt", tls_cert=DIRECTORY / "erp.crt", tls_key=DIRECTORY / "erp.key") as plant:
        assert {name.split("/")[0] for name in plant.tags().column("name").to_pylist()} == {"seen"}


def test_a_token_wins_over_the_certificate():
    def bearer(token):
        return flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode())])

    assert {tag.split("/")[0] for tag in tags(connect(), bearer(TOKENS["reader"]))} == {"hidden", "seen"}
    # One that is not valid is refused, and the certificate does not help.
    for token in [TOKENS["expired"], "anything"]:
        refused(flight.FlightUnauthenticatedError, lambda token=token: tags(connect(), bearer(token)), "the token is not valid")
    odd = flight.FlightCallOptions(headers=[(b"authorization", b"Digest x")])
    refused(flight.FlightUnauthenticatedError, lambda: tags(connect(), odd), "no token")


def test_the_package_speaks_by_the_local_socket():
    with hc.connect(f"unix://{DIRECTORY}/data/historian.sock") as plant:
        assert {name.split("/")[0] for name in plant.tags().column("name").to_pylist()} == {"hidden", "seen"}
        assert plant.sql("SELECT 1 AS one").column("one").to_pylist() == [1]
