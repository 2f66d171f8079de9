"""Tokens as clients send them that nobody here wrote: in a header, in metadata, and as a password where a client has nothing else.

The historian has the tags here, more, zz and device below `seen` and below `hidden` (tests/it/access/plant.rs), and a token for everybody. More
environment variables than those of lib.py:

  HISTORIAN_HTTP    host:port of the health pages and the metrics
  HISTORIAN_TOKENS  JSON: tokens by the names of who has them
"""

import json
import os
import subprocess
import urllib.error
import urllib.request

import adbc_driver_flightsql.dbapi as flightsql
import adbc_driver_manager
import grpc
import pyarrow as pa
import pyarrow.flight as flight
import pytest

from lib import ADDRESS, URI, connect, descriptor, field, refused, refused_rpc, ticket

HTTP = f"http://{os.environ.get('HISTORIAN_HTTP', '127.0.0.1:1')}"
TOKENS = json.loads(os.environ.get("HISTORIAN_TOKENS", "{}"))

STATEMENT = "SELECT DISTINCT tag FROM samples ORDER BY tag"
SEEN = ["seen/here", "seen/more", "seen/zz"]
HIDDEN = ["hidden/here", "hidden/more", "hidden/zz"]
INVALID = ["unknown", "expired", "revoked"]
RANGE = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:01:00Z"}


def bearer(who):
    return flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {TOKENS[who]}".encode())])


def tags_of(client, options):
    """The tags that a client has samples of, and that it is told of as flights."""
    table = client.do_get(ticket({"range": {"tags": ["**"], **RANGE}}), options).read_all()
    flights = {"/".join(part.decode() for part in info.descriptor.path) for info in client.list_flights(b"", options)}
    tags = sorted(set(table["tag"].to_pylist()))
    assert set(tags) <= flights, (tags, flights)
    assert {name.split("/")[0] for name in flights} == {name.split("/")[0] for name in tags}, flights
    return tags


def test_pyarrow_sends_a_token_in_a_header():
    client = connect()
    assert tags_of(client, bearer("reader")) == HIDDEN + SEEN
    assert tags_of(client, bearer("seenreader")) == SEEN
    options = bearer("seenreader")
    refused(pa.ArrowKeyError, lambda: client.get_flight_info(descriptor({"range": {"tags": ["hidden/here"], **RANGE}}), options), "there is no tag", "hidden/here")
    refused(pa.ArrowKeyError, lambda: client.get_flight_info(flight.FlightDescriptor.for_path("hidden", "here"), options), "there is no tag")
    refused(flight.FlightUnauthorizedError, lambda: client.do_get(ticket({"current": {"tags": ["**"]}}), bearer("writer")).read_all(), "writer may not read")


def test_pyarrow_sends_a_token_as_a_password():
    client = connect()
    name, value = client.authenticate_basic_token("anybody", TOKENS["seenreader"])
    assert (name, value) == (b"authorization", f"Bearer {TOKENS['seenreader']}".encode()), name
    assert tags_of(client, flight.FlightCallOptions(headers=[(name, value)])) == SEEN


def test_the_older_handshake_takes_a_token_as_a_password():
    class Older(flight.ClientAuthHandler):
        def __init__(self, password):
            super().__init__()
            self.password, self.token = password, b""

        def authenticate(self, outgoing, incoming):
            outgoing.write(flight.BasicAuth("anybody", self.password).serialize())
            self.token = incoming.read()

        def get_token(self):
            return self.token

    client = connect()
    client.authenticate(Older(TOKENS["seenreader"]))
    assert tags_of(client, None) == SEEN
    refused(flight.FlightUnauthenticatedError, lambda: connect().authenticate(Older(TOKENS["expired"])))
    refused(flight.FlightUnauthenticatedError, lambda: connect().authenticate(Older("")))


def tags_by_adbc(**options):
    with flightsql.connect(URI, db_kwargs=options) as connection, connection.cursor() as cursor:
        cursor.execute(STATEMENT)
        tags = [row[0] for row in cursor.fetchall()]
        # Prepared, with a parameter.
        cursor.execute("SELECT count(*) FROM samples WHERE tag = ?", ("hidden/here",))
        assert (cursor.fetchone()[0] > 0) == ("hidden/here" in tags)
        catalog = str(connection.adbc_get_objects().read_all().to_pylist())
        assert ("hidden_here" in catalog) == ("hidden/here" in tags), catalog
        assert "seen_here" in catalog, catalog
        return tags


def test_adbc_sends_a_token_in_a_header():
    for who, tags in [("reader", HIDDEN + SEEN), ("seenreader", SEEN)]:
        assert tags_by_adbc(**{"adbc.flight.sql.authorization_header": f"Bearer {TOKENS[who]}"}) == tags


def test_adbc_sends_a_token_as_a_password():
    for who, tags in [("reader", HIDDEN + SEEN), ("seenreader", SEEN)]:
        assert tags_by_adbc(username="anybody", password=TOKENS[who]) == tags


def call(method, request, who):
    with grpc.insecure_channel(ADDRESS) as channel:
        metadata = [] if who is None else [("authorization", f"Bearer {TOKENS[who]}")]
        return channel.unary_unary(f"/historian.v1.{method}")(request, metadata=metadata, timeout=30)


def test_grpcio_sends_a_token_in_the_metadata():
    def tag(name):
        return field(1, name)

    assert b"seen/here" in call("TagService/GetTag", tag("seen/here"), "seenreader")
    refused_rpc(grpc.StatusCode.NOT_FOUND, lambda: call("TagService/GetTag", tag("hidden/here"), "seenreader"), "there is no tag", "hidden/here")
    assert b"hidden/here" in call("TagService/GetTag", tag("hidden/here"), "reader")
    listed = call("TagService/ListTags", tag("**"), "seenreader")
    assert b"seen/here" in listed and b"hidden" not in listed, listed
    refused_rpc(grpc.StatusCode.PERMISSION_DENIED, lambda: call("AdminService/GetServerStatus", b"", "engineer"), "token:engineer", "admin")
    assert call("AdminService/GetServerStatus", b"", "admin")
    refused_rpc(grpc.StatusCode.UNAUTHENTICATED, lambda: call("TagService/GetTag", tag("seen/here"), None), "Bearer")


def page(path, who=None):
    headers = {} if who is None else {"Authorization": f"Bearer {TOKENS[who]}"}
    with urllib.request.urlopen(urllib.request.Request(HTTP + path, headers=headers), timeout=30) as answer:
        return answer.read().decode()


def test_the_metrics_take_a_token_of_an_admin():
    assert "historian_samples_written_total" in page("/metrics", "admin")
    error = refused(urllib.error.HTTPError, lambda: page("/metrics"))
    assert error.code == 401 and error.headers["WWW-Authenticate"].startswith("Bearer"), error.headers
    for who in INVALID:
        assert refused(urllib.error.HTTPError, lambda who=who: page("/metrics", who)).code == 401
    for who in ["reader", "writer", "engineer", "auditor", "seenreader"]:
        assert refused(urllib.error.HTTPError, lambda who=who: page("/metrics", who)).code == 403
    for path in ["/healthz", "/livez", "/readyz"]:
        assert page(path) == "ok\n"


def test_curl_sends_a_token_in_both_forms():
    def curl(*arguments):
        command = ["curl", "--silent", "--max-time", "30", "--output", "/dev/null", "--write-out", "%{http_code}", *arguments, f"{HTTP}/metrics"]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout

    assert curl() == "401"
    for who, code in [("admin", "200"), ("reader", "403"), ("expired", "401")]:
        assert curl("--oauth2-bearer", TOKENS[who]) == code
        assert curl("--user", f"anybody:{TOKENS[who]}") == code


@pytest.mark.parametrize("who", INVALID)
def test_what_is_not_valid_is_refused_by_every_client(who):
    words = "the token is not valid: unknown, expired or revoked"
    refused(flight.FlightUnauthenticatedError, lambda: list(connect().list_flights(b"", bearer(who))), words)
    refused(flight.FlightUnauthenticatedError, lambda: connect().authenticate_basic_token("anybody", TOKENS[who]), words)
    # A user without a password is nobody.
    refused(flight.FlightUnauthenticatedError, lambda: connect().authenticate_basic_token("anybody", ""))
    refused(adbc_driver_manager.Error, lambda: tags_by_adbc(**{"adbc.flight.sql.authorization_header": f"Bearer {TOKENS[who]}"}), words)
    refused(adbc_driver_manager.Error, lambda: tags_by_adbc(username="anybody", password=TOKENS[who]), words)
    refused_rpc(grpc.StatusCode.UNAUTHENTICATED, lambda: call("TagService/GetTag", field(1, "seen/here"), who), words)
