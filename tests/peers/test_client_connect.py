"""How the Python package connects: addresses in short, variables, and in words why it failed; each within seconds. Its historians are its own."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent import futures

import grpc
import pyarrow as pa
import pyarrow.flight as flight
import pytest

from package import hc  # first: it finds the package

from historian_client import address as address_module
from historian_client import client as client_module
from historian_client.address import Address
from lib import ADDRESS, ROOT, refused
from ports import free_port

BINARY = os.environ.get("HISTORIAN_BINARY", "historian")
VARIABLES = ("HISTORIAN_SERVER", "HISTORIAN_TOKEN", "HISTORIAN_TLS_CA", "HISTORIAN_TLS_CLIENT_CERT", "HISTORIAN_TLS_CLIENT_KEY")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def historian(*arguments):
    """Runs the program to its end."""
    return subprocess.run([BINARY, *map(str, arguments)], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


class Served:
    def __init__(self, folder, *options, port=None, host="127.0.0.1"):
        self.port, self.http = port or free_port(), free_port()
        command = [BINARY, "serve", "--data-dir", folder, "--listen", f"{host}:{self.port}", "--http", f"127.0.0.1:{self.http}", *options]
        self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection((host, self.port), 1):
                return
            assert time.monotonic() < until and self.process.poll() is None
            time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority, the certificate of a server that is called localhost and 127.0.0.1, and that of a client."""
    folder = tmp_path_factory.mktemp("tls")
    historian("tls", "init", "--host", "localhost", "--host", "127.0.0.1", "--dir", folder / "one")
    historian("tls", "init", "--host", "plant.example", "--dir", folder / "other")
    historian("tls", "client", "--dir", folder / "one", "--name", "erp")
    return folder


def tls(folder, which="one"):
    return ["--tls-certificate", folder / which / "server.crt", "--tls-key", folder / which / "server.key"]


@pytest.fixture(scope="module")
def secured(certificates, tmp_path_factory):
    served = Served(tmp_path_factory.mktemp("secured") / "data", *tls(certificates))
    yield served
    served.stop()


def failing(kind, call, *fragments, seconds=12.0):
    begun = time.monotonic()
    error = refused(kind, call, *fragments)
    assert time.monotonic() - begun < seconds, "nobody waits that long"
    return error


def test_addresses_may_be_short():
    for text, location in {
        "localhost": "grpc://localhost:8815",
        "plant.example": "grpc://plant.example:8815",
        "plant.example:8820": "grpc://plant.example:8820",
        "http://127.0.0.1:8815/": "grpc://127.0.0.1:8815",
        "grpc+tls://plant.example": "grpc+tls://plant.example:8815",
        "https://plant.example": "grpc+tls://plant.example:8815",
        "::1": "grpc://[::1]:8815",
        "[::1]": "grpc://[::1]:8815",
        "grpc://[::1]:1": "grpc://[::1]:1",
        "unix:///x/historian.sock": "grpc+unix:///x/historian.sock",
    }.items():
        assert Address.of(text).location == location, text


def test_localhost_is_enough(monkeypatch):
    """The port that it listens on by default may be somebody else's here, so that of this historian stands for it."""
    monkeypatch.setattr(address_module, "DEFAULT_PORT", int(ADDRESS.rpartition(":")[2]))
    with hc.connect("localhost") as plant:
        assert re.fullmatch(r"\d+\.\d+\.\d+", plant.server_version) and len(plant.tags()) >= 0
    monkeypatch.setattr(client_module, "DEFAULT_ADDRESS", f"grpc://{ADDRESS}")
    with hc.connect() as plant:
        assert plant.server_version
    assert hc.DEFAULT_ADDRESS == "grpc://127.0.0.1:8815"


def test_variables_count_where_nothing_is_said_and_empty_ones_are_none(monkeypatch):
    monkeypatch.setenv("HISTORIAN_SERVER", ADDRESS)
    with hc.connect() as plant:
        assert plant.url == f"grpc://{ADDRESS}" and len(plant.sql("SELECT 1 AS one")) == 1
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
    with hc.connect(connect_s=None) as plant:
        assert plant.url == "grpc://127.0.0.1:8815" and plant._headers == []
    monkeypatch.setenv("HISTORIAN_TLS_CA", "/nowhere/ca.crt")
    refused(ValueError, lambda: hc.connect("localhost"), "HISTORIAN_TLS_CA", "grpc+tls://")
    refused(FileNotFoundError, lambda: hc.connect("grpc+tls://localhost"), "/nowhere/ca.crt")


def test_nobody_listens_or_answers():
    port = free_port()
    failing(hc.ConnectionFailed, lambda: hc.connect(f"127.0.0.1:{port}"), f"nothing listens on 127.0.0.1:{port}", "is the historian running there")
    failing(hc.ConnectionFailed, lambda: hc.connect(f"grpc+tls://127.0.0.1:{port}"), "nothing listens")
    failing(hc.ConnectionFailed, lambda: hc.connect("no-such-host.invalid"), "no-such-host.invalid", "cannot be resolved")
    failing(hc.ConnectionFailed, lambda: hc.connect("grpc+tls://no-such-host.invalid"), "cannot be resolved")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(30))
        failing(hc.ConnectionFailed, lambda: hc.connect("plant.example", connect_s=1), "not resolved in time", seconds=3)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        failing(hc.ConnectionFailed, lambda: hc.connect(address, connect_s=1), "does not answer")
        failing(hc.ConnectionFailed, lambda: hc.connect(f"grpc+tls://{address}", connect_s=1), "does not answer")
    # A backlog that is full drops what comes, as a firewall does.
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        failing(hc.ConnectionFailed, lambda: hc.connect(f"127.0.0.1:{full.getsockname()[1]}", connect_s=1), "does not answer", "firewall")


def test_the_port_is_of_something_else(secured, tmp_path):
    own = Served(tmp_path / "data")
    try:
        failing(hc.ConnectionFailed, lambda: hc.connect(f"127.0.0.1:{own.http}"), "HTTP/1.1", "8815")
        failing(hc.ConnectionFailed, lambda: hc.connect(f"http://127.0.0.1:{own.http}"), "HTTP/1.1")
        failing(hc.ConnectionFailed, lambda: hc.connect(f"grpc+tls://127.0.0.1:{own.port}"), "does not speak TLS", f"grpc://127.0.0.1:{own.port}")
    finally:
        own.stop()
    failing(hc.ConnectionFailed, lambda: hc.connect(f"127.0.0.1:{secured.port}"), "speaks TLS", f"grpc+tls://127.0.0.1:{secured.port}", "tls_ca=")
    with socket.create_server(("127.0.0.1", 0)) as closing:
        threading.Thread(target=lambda: [closing.accept()[0].close() for _ in range(5)], daemon=True).start()
        failing(hc.ConnectionFailed, lambda: hc.connect(f"127.0.0.1:{closing.getsockname()[1]}"), "is no historian")


def test_a_port_with_tls_is_told_without_a_storm(secured):
    """gRPC by itself comes back thousands of times to a port that sends it away."""
    code = f"import historian_client as h\ntry:\n    h.connect('127.0.0.1:{secured.port}')\nexcept h.ConnectionFailed as error:\n    print(error)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "clients/python/src")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30)
    assert "speaks TLS" in done.stdout and len(done.stderr.splitlines()) < 10, done.stderr[:2000]


def test_a_certificate_that_is_not_trusted_is_told_as_what_it_is(certificates, secured, tmp_path):
    port = secured.port
    ca = certificates / "one/ca.crt"
    with hc.connect(f"grpc+tls://localhost:{port}", tls_ca=ca) as plant:
        assert plant.server_version and plant.status()["tls"]["names"]
    failing(hc.ConnectionFailed, lambda: hc.connect(f"grpc+tls://localhost:{port}"), "not from an authority that this machine trusts", "tls_ca=")
    other = certificates / "other/ca.crt"
    failing(hc.ConnectionFailed, lambda: hc.connect(f"grpc+tls://localhost:{port}", tls_ca=other), "not from the authority in", str(other))
    # Certificates of a machine are for its usual names as well; this one is called by another.
    stranger = Served(tmp_path / "data", *tls(certificates, "other"), host="127.0.0.2")
    try:
        failing(hc.ConnectionFailed, lambda: hc.connect(f"grpc+tls://127.0.0.2:{stranger.port}", tls_ca=other), "for other names than '127.0.0.2'")
    finally:
        stranger.stop()
    failing(hc.ConnectionFailed, lambda: hc.connect(f"grpc+tls://127.0.0.1:{secured.http}", tls_ca=ca), "HTTP")


def test_a_certificate_of_the_client_that_is_missing_is_told(certificates, tmp_path):
    wanted = Served(tmp_path / "data", *tls(certificates), "--tls-client-certificates", "required", "--tls-client-ca", certificates / "one/ca.crt")
    ca = certificates / "one/ca.crt"
    try:
        failing(hc.ConnectionFailed, lambda: hc.connect(f"grpc+tls://localhost:{wanted.port}", tls_ca=ca), "certificate", "tls_cert=")
        files = {"tls_cert": certificates / "one/client-erp.crt", "tls_key": certificates / "one/client-erp.key"}
        with hc.connect(f"grpc+tls://localhost:{wanted.port}", tls_ca=ca, **files) as plant:
            assert plant.server_version
        refused(ValueError, lambda: hc.connect("grpc+tls://localhost", tls_cert=files["tls_cert"]), "together")
    finally:
        wanted.stop()


def test_tokens_that_are_missing_wrong_and_narrow_are_told_apart(tmp_path, monkeypatch):
    data = tmp_path / "data"
    served = Served(data)
    served.stop()
    reader = historian("token", "create", "ana", "--data-dir", data, "--role", "reader").strip()
    writer = historian("token", "create", "line", "--data-dir", data, "--role", "writer").strip()
    served = Served(data)
    address = f"127.0.0.1:{served.port}"
    try:
        failing(hc.NotAuthenticated, lambda: hc.connect(address), "asks for a token", "HISTORIAN_TOKEN")
        error = failing(hc.NotAuthenticated, lambda: hc.connect(address, token=reader[:-1] + ("x" if reader[-1] != "x" else "y")), "does not take the token")
        assert reader[:-1] not in str(error) and isinstance(error, PermissionError)
        with hc.connect(address, token=reader) as plant:
            assert plant.server_version and len(plant.current()) == 0
            refused(hc.PermissionDenied, plant.status, "")
            refused(hc.PermissionDenied, lambda: plant.write({"tag": ["a"], "timestamp": pa.array([1], pa.timestamp("ns")), "value": [1.0]}, create_tags=True), "")
        monkeypatch.setenv("HISTORIAN_TOKEN", reader)
        hc.connect(address).close()
        monkeypatch.setenv("HISTORIAN_TOKEN", "")
        failing(hc.NotAuthenticated, lambda: hc.connect(address), "asks for a token")
        # Who may only write is served, too, and writes frames without seeing a tag.
        with hc.connect(address, token=writer) as plant:
            assert plant.write_frame({"timestamp": pa.array([10**18], pa.timestamp("ns", "UTC")), "line/a": [1.5]}, create_tags=True).samples == 1
            assert plant.write_frame({"timestamp": pa.array([10**18 + 1], pa.timestamp("ns", "UTC")), "line/a": [2.5]}).samples == 1
        file = tmp_path / "token"
        file.write_text(reader + "\n")
        file.chmod(0o600)
        with hc.connect(address, token_file=file) as plant:
            assert plant.range("line/a", 10**18, 10**18 + 2)["value"].to_pylist() == [1.5, 2.5]
        file.chmod(0o644)
        refused(ValueError, lambda: hc.connect(address, token_file=file), "chmod 600")
    finally:
        served.stop()


def test_a_local_socket_that_is_not_there_is_told(tmp_path):
    failing(hc.ConnectionFailed, lambda: hc.connect(f"unix://{tmp_path}/historian.sock"), "there is no", "historian.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "historian.sock"))
    failing(hc.ConnectionFailed, lambda: hc.connect(f"unix://{tmp_path}/historian.sock"), "the historian does not run")
    served = Served(tmp_path / "data")
    try:
        with hc.connect(f"unix://{tmp_path}/data/historian.sock") as plant:
            assert plant.server_version and plant.status()["version"] == plant.server_version
    finally:
        served.stop()


class Elder(flight.FlightServerBase):
    """A server of Flight SQL with a name and a version."""

    def __init__(self, name, version):
        super().__init__("grpc://127.0.0.1:0")
        self.told = pa.table({"info_name": pa.array([0, 1], pa.uint32()), "value": [name, version]})

    def get_flight_info(self, context, descriptor):
        return flight.FlightInfo(self.told.schema, descriptor, [flight.FlightEndpoint(b"told", [])], -1, -1)

    def do_get(self, context, ticket):
        return flight.RecordBatchStream(self.told)


def test_another_server_and_an_old_version_are_told():
    with Elder("historian", "0.0.9") as old:
        failing(hc.NotSupported, lambda: hc.connect(f"127.0.0.1:{old.port}"), "0.0.9", "0.1.0 or newer", "upgrade")
    with Elder("historian", "12.3.4-rc1") as new:
        assert hc.connect(f"127.0.0.1:{new.port}").server_version == "12.3.4-rc1"
    with Elder("dremio", "1.0.0") as other:
        failing(hc.ConnectionFailed, lambda: hc.connect(f"127.0.0.1:{other.port}"), "no historian, but 'dremio'")
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    failing(hc.ConnectionFailed, lambda: hc.connect(f"127.0.0.1:{port}"), "speaks gRPC, but does not answer as a historian does")
    server.stop(None)


def test_a_historian_that_comes_up_later_is_found_at_once(tmp_path):
    """An attempt that failed leaves no pause behind for the next one."""
    port = free_port()
    for _ in range(3):
        failing(hc.ConnectionFailed, lambda: hc.connect(f"127.0.0.1:{port}"), "nothing listens", seconds=2)
    lazy = hc.connect(f"127.0.0.1:{port}", connect_s=None)
    refused(hc.ConnectionFailed, lazy.current, "")
    served = Served(tmp_path / "data", port=port)
    try:
        hc.connect(f"127.0.0.1:{port}").close()
        until = time.monotonic() + 10
        while True:
            try:
                assert len(lazy.current()) == 0
                break
            except hc.ConnectionFailed:
                assert time.monotonic() < until, "a client that was there before finds it within seconds"
                time.sleep(0.2)
    finally:
        served.stop()
