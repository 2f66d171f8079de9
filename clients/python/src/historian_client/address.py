"""Where a historian is and who asks: addresses, certificates and tokens, given or from the variables that the command line reads too."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
from pathlib import Path

DEFAULT_PORT = 8815
DEFAULT_ADDRESS = f"grpc://127.0.0.1:{DEFAULT_PORT}"
TOKEN_BYTES_MAX = 16 << 10
PathLike = str | os.PathLike[str]

_PLAIN_SCHEMES = ("grpc", "grpc+tcp", "http")
_TLS_SCHEMES = ("grpc+tls", "grpcs", "https")
_LOCAL_SCHEMES = ("unix", "grpc+unix")
_FORMS = "write grpc://host:port, grpc+tls://host:port with TLS, or unix:///path of the local socket"
_TLS_VARIABLES = {"tls_ca": "HISTORIAN_TLS_CA", "tls_cert": "HISTORIAN_TLS_CLIENT_CERT", "tls_key": "HISTORIAN_TLS_CLIENT_KEY"}


@dataclasses.dataclass(frozen=True)
class Address:
    """A historian's place: a host with its port, or the path of its local socket."""

    host: str = ""
    port: int = DEFAULT_PORT
    is_secured: bool = False
    socket: str = ""

    @staticmethod
    def of(url: str) -> Address:
        """Reads an address. Without a scheme it is `grpc://`, without a port 8815."""
        scheme, found, authority = url.strip().partition("://")
        if not found:
            scheme, authority = "grpc", url.strip()
        if scheme in _LOCAL_SCHEMES:
            if not authority.startswith("/"):
                raise ValueError(f"url: {url!r} is no address; write unix:///path/to/historian.sock")
            return Address(socket=authority)
        if scheme not in _PLAIN_SCHEMES + _TLS_SCHEMES:
            raise ValueError(f"url: {url!r} is no address; {_FORMS}")
        host, port = _host_and_port(authority.rstrip("/"), url)
        return Address(host, port, scheme in _TLS_SCHEMES)

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def location(self) -> str:
        """As pyarrow has it."""
        if self.socket:
            return f"grpc+unix://{self.socket}"
        return f"{'grpc+tls' if self.is_secured else 'grpc'}://{self.authority}"

    @property
    def is_loopback(self) -> bool:
        """True where what is sent does not leave this machine, whatever names are resolved to."""
        if self.socket or self.host == "localhost":
            return True
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback

    def __str__(self) -> str:
        return f"unix://{self.socket}" if self.socket else self.location


def _host_and_port(authority: str, url: str) -> tuple[str, int]:
    if authority.startswith("["):
        host, closed, port = authority[1:].partition("]")
        port = port.removeprefix(":") if closed and port[:1] in ("", ":") else "?"
    elif authority.count(":") > 1:
        host, port = authority, ""  # an address of IPv6 without brackets
    else:
        host, colon, port = authority.partition(":")
        port = port or ("?" if colon else "")
    is_port = port.isascii() and port.isdecimal() and 0 < int(port) < 65536
    if not host or any(letter in host for letter in "/@?# ") or (port and not is_port):
        raise ValueError(f"url: {url!r} is no address; {_FORMS}")
    return host, int(port) if port else DEFAULT_PORT


@dataclasses.dataclass(frozen=True)
class Certificates:
    """Files of TLS: the authority to trust, and what to show."""

    ca: PathLike | None = None
    cert: PathLike | None = None
    key: PathLike | None = None

    @staticmethod
    def of(address: Address, ca: PathLike | None, cert: PathLike | None, key: PathLike | None) -> Certificates:
        """Those given, else those of the variables."""
        given = dict(zip(_TLS_VARIABLES, (ca, cert, key)))
        files = {name: given[name] or os.environ.get(variable) or None for name, variable in _TLS_VARIABLES.items()}
        for name, path in files.items():
            if path and not address.is_secured:
                # Whoever asks for TLS must not get less.
                of_variable = "" if given[name] else f" (variable {_TLS_VARIABLES[name]})"
                raise ValueError(f"{name}{of_variable}: is for TLS, and {address} is without; write grpc+tls://host:port")
        if bool(files["tls_cert"]) != bool(files["tls_key"]):
            raise ValueError("tls_cert: a certificate and its key are given together")
        return Certificates(files["tls_ca"], files["tls_cert"], files["tls_key"])

    def options(self) -> dict[str, bytes]:
        """As options of `pyarrow.flight.FlightClient`."""
        files = {"tls_root_certs": self.ca, "cert_chain": self.cert, "private_key": self.key}
        return {option: Path(path).read_bytes() for option, path in files.items() if path}


def token_of(token: str | None, token_file: PathLike | None) -> str:
    """The token that a file holds, else the one given, else that of the variable; empty where there is none."""
    if token_file is not None:
        path = Path(token_file)
        mode = path.stat().st_mode
        if os.name == "posix" and path.is_file() and mode & 0o077:
            raise ValueError(f"token_file: others may read {path} (mode {mode & 0o777:03o}); chmod 600 it")
        text = path.read_text().strip()
        if not text:
            raise ValueError(f"token_file: {path} is empty")
    else:
        text = (token or os.environ.get("HISTORIAN_TOKEN") or "").strip()
    # A header with a line end in it would be two; the text is not shown, for it may be a secret all the same.
    if text and not (text.isascii() and text.isprintable() and " " not in text and len(text) <= TOKEN_BYTES_MAX):
        raise ValueError("token: is no token; it is one word, as `historian token create` printed it")
    return text


def headers(token: str, address: Address) -> list[tuple[bytes, bytes]]:
    """What goes with each call."""
    if not token:
        return []
    if not address.is_secured and not address.is_loopback:
        raise ValueError(f"token: is not sent to {address}: without TLS everybody on the way could read it; write grpc+tls://{address.authority}")
    return [(b"authorization", f"Bearer {token}".encode())]
