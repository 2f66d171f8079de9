"""Why a connection cannot be made, in words. The library only says that it failed; here the way is gone by hand, step by step. No token is sent."""

from __future__ import annotations

import os
import queue
import socket
import ssl
import threading
import time
from typing import Any

from .address import DEFAULT_PORT, Address, Certificates

# Each step; the whole is bounded by what `connect` may take.
STEP_S = 3.0
# What begins a connection of HTTP/2, with empty settings.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_SETTINGS, _GOAWAY = 4, 7
_INADEQUATE_SECURITY = 12
# Where the library goes by way of a proxy, it knows more of the way.
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")


def reason(address: Address, certificates: Certificates, seconds: float) -> str | None:
    """What is wrong on the way to the historian; None where nothing is."""
    deadline = time.monotonic() + seconds
    if address.socket:
        return _of_socket(address.socket)
    try:
        found = _resolved(address, deadline)
    except TimeoutError:
        return f"the name {address.host!r} is not resolved in time: does the DNS of this machine answer?"
    except OSError:
        return f"no machine is called {address.host!r}: the name cannot be resolved; is it spelled right, and does the DNS of this machine know it?"
    said = f"{address.authority} does not answer"
    for family, kind, protocol, _, place in found:
        try:
            with socket.socket(family, kind, protocol) as wire:
                wire.settimeout(_left(deadline))
                wire.connect(place)
                return _of_secured(wire, address, certificates) if address.is_secured else _of_plain(wire, address, deadline)
        except ConnectionRefusedError:
            said = (
                f"nothing listens on {address.authority}: the connection was refused; is the historian running there, and on this port? "
                "While it opens its store it does not listen yet"
            )
        except TimeoutError:
            said = f"{address.authority} does not answer: the machine is off, or a firewall drops what is sent to this port"
        except OSError as error:
            said = f"{address.authority} cannot be reached: {error.strerror or error}"
    return said


def _resolved(address: Address, deadline: float) -> list[Any]:
    """The system's resolver has no deadline and may take half a minute, so it is waited for no longer than there is time."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            answers.put(socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM))
        except OSError as error:
            answers.put(error)

    threading.Thread(target=resolve, name="historian resolver", daemon=True).start()
    try:
        answer = answers.get(timeout=max(0.1, deadline - time.monotonic()))
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, OSError):
        raise answer
    return list(answer)


def is_direct(address: Address) -> bool:
    """True where the library connects to the address itself."""
    return address.is_loopback or not any(os.environ.get(name) for name in _PROXIES)


def _left(deadline: float) -> float:
    return max(0.1, min(STEP_S, deadline - time.monotonic()))


def _of_socket(path: str) -> str | None:
    try:
        with socket.socket(socket.AF_UNIX) as wire:
            wire.settimeout(STEP_S)
            wire.connect(path)
            return None
    except FileNotFoundError:
        return f"there is no {path}; it is historian.sock in the data directory of a historian that runs"
    except PermissionError:
        return f"{path} is for the owner of the data directory and root, and you are neither"
    except ConnectionRefusedError:
        return f"nobody listens on {path}: the historian does not run"
    except OSError as error:
        return f"{path}: {error.strerror or error}"


def _of_plain(wire: socket.socket, address: Address, deadline: float) -> str | None:
    """Who listens there, without TLS."""
    try:
        wire.sendall(_PREFACE)
        said = _frames(wire)
    except TimeoutError:
        return f"{address.authority} takes connections and does not answer: that is no historian, or it hangs"
    except OSError:
        said = ""
    if said == "served":
        return None
    if said == "tls" or _speaks_tls(address, deadline):
        return f"{address.authority} speaks TLS; write grpc+tls://{address.authority}, and give tls_ca= the file of its authority"
    if said == "http" or _speaks_http(address, deadline):
        return (
            f"{address.authority} speaks HTTP/1.1: it is the port of the page and the HTTP API, or another server; clients of the historian connect "
            f"to the port of gRPC, by default {DEFAULT_PORT}"
        )
    return f"{address.authority} takes connections, but is no historian"


def _frames(wire: socket.socket) -> str:
    """What the first frames of HTTP/2 say: whether calls are served, or the connection is sent away because it is without TLS."""
    while True:
        head = _read(wire, 9)
        if head[:5] == b"HTTP/":
            return "http"
        if head[:1] == b"\x15":
            return "tls"  # an alert
        if len(head) < 9 or head[3] > 9:
            return ""
        body = _read(wire, int.from_bytes(head[:3], "big"))
        if head[3] == _GOAWAY:
            return "tls" if int.from_bytes(body[4:8], "big") == _INADEQUATE_SECURITY else ""
        if head[3] == _SETTINGS and head[4] & 1:
            return "served"  # it has taken ours


def _read(wire: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size and (part := wire.recv(size - len(read))):
        read += part
    return read


def _speaks_http(address: Address, deadline: float) -> bool:
    try:
        with socket.create_connection((address.host, address.port), _left(deadline)) as wire:
            wire.sendall(f"GET /livez HTTP/1.1\r\nhost: {address.authority}\r\nconnection: close\r\n\r\n".encode())
            return _read(wire, 5) == b"HTTP/"
    except OSError:
        return False


def _speaks_tls(address: Address, deadline: float) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((address.host, address.port), _left(deadline)) as wire, context.wrap_socket(wire):
            return True
    except ssl.SSLError as error:
        # A server that wants something else, such as a certificate, has spoken TLS all the same.
        return "ALERT" in _alert(error)
    except OSError:
        return False


def _alert(error: ssl.SSLError) -> str:
    """The reason of an error; one that this Python has no name for stands in its text."""
    return (error.reason or str(error)).upper().replace(" ", "_")


def _of_secured(wire: socket.socket, address: Address, certificates: Certificates) -> str | None:
    host = address.host
    try:
        context = ssl.create_default_context(cafile=os.fspath(certificates.ca) if certificates.ca else None)
        if certificates.cert and certificates.key:
            context.load_cert_chain(certificates.cert, certificates.key)
        context.set_alpn_protocols(["h2"])
    except (ssl.SSLError, OSError) as error:
        return f"the files of TLS cannot be used: {error}"
    try:
        with context.wrap_socket(wire, server_hostname=host) as secured:
            # With TLS 1.3 the server judges the client's certificate only after the client has finished.
            secured.sendall(_PREFACE)
            return None if secured.recv(1) else f"{address.authority} ended the connection; it may ask for a certificate: give tls_cert= and tls_key="
    except ssl.SSLCertVerificationError as error:
        if error.verify_code == 62 or "mismatch" in str(error).lower():
            return f"the certificate of {address.authority} is for other names than {host!r}: connect by one of its names ({error.verify_message})"
        if error.verify_code in (9, 10):
            return f"the certificate of {address.authority} has expired, or is not valid yet by the clock of this machine ({error.verify_message})"
        what = f"the authority in {certificates.ca}" if certificates.ca else "an authority that this machine trusts"
        return f"the certificate of {address.authority} is not from {what} ({error.verify_message}); give tls_ca= the file of its authority"
    except ssl.SSLError as error:
        alert = _alert(error)
        if "CERTIFICATE_REQUIRED" in alert or ("HANDSHAKE_FAILURE" in alert and not certificates.cert):
            return f"{address.authority} asks for a certificate of the client: give tls_cert= and tls_key="
        if "NO_APPLICATION_PROTOCOL" in alert:
            return f"{address.authority} speaks HTTP/1.1 with TLS: it is the port of the page and the HTTP API; the port of gRPC is by default {DEFAULT_PORT}"
        if "ALERT" in alert:
            return f"{address.authority} does not take the connection ({alert.lower().replace('_', ' ')}); is the certificate of tls_cert= one that it knows?"
        return f"{address.authority} does not speak TLS; write grpc://{address.authority}, if what is sent may be read on the way"
    except TimeoutError:
        return f"{address.authority} takes connections and does not answer in TLS; if it has none, write grpc://{address.authority}"
    except OSError:
        return f"{address.authority} does not speak TLS, or ended the connection; without TLS write grpc://{address.authority}"
