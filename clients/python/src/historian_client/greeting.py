"""The first call of a connection: whether a historian answers there, takes the token, and is new enough."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.flight as flight

from .address import Address, Certificates
from .diagnosis import is_direct, reason
from .error import ConnectionFailed, DeadlineExceeded, HistorianError, LimitExceeded, NotAuthenticated, NotSupported, PermissionDenied, translating
from .wire import sql_message

# The oldest version whose interface this package knows.
OLDEST = (0, 1, 0)
_VERSION = 1  # FLIGHT_SQL_SERVER_VERSION


def greet(client: flight.FlightClient, address: Address, certificates: Certificates, headers: list[tuple[bytes, bytes]], seconds: float) -> str:
    """The version of the historian. What fails is told as what it is, within twice the time."""
    if not address.is_secured and is_direct(address) and (words := reason(address, certificates, seconds)):
        # A port that wants TLS sends the library away, and the library comes back a thousand times a second.
        raise ConnectionFailed(f"cannot connect: {words}")
    try:
        with translating():
            name, version = _told(client, flight.FlightCallOptions(timeout=seconds, headers=headers))
    except NotAuthenticated as refused:
        if headers:
            words = f"{address} does not take the token: it is unknown, expired or revoked"
        else:
            words = f"{address} asks for a token, and there is none: give token= (`historian token create` makes one), or set HISTORIAN_TOKEN"
        raise NotAuthenticated(words, refused.code) from refused
    except PermissionDenied:
        return ""  # who may only write is not told
    except (ConnectionFailed, DeadlineExceeded) as failed:
        words = reason(address, certificates, seconds) or f"{address} answers, but not in time or not now ({failed})"
        raise ConnectionFailed(f"cannot connect: {words}") from failed
    except LimitExceeded:
        raise
    except (HistorianError, pa.ArrowException, LookupError, ValueError) as failed:
        words = reason(address, certificates, seconds) or f"{address} speaks gRPC, but does not answer as a historian does ({failed})"
        raise ConnectionFailed(f"cannot connect: {words}") from failed
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    if name != "historian":
        raise ConnectionFailed(f"cannot connect: {address} is no historian, but {name!r}")
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        words = f"the historian at {address} is of version {version}, and this package needs {oldest} or newer"
        raise NotSupported(f"{words}: upgrade the historian, or use an older package")
    return version


def _told(client: flight.FlightClient, options: flight.FlightCallOptions) -> tuple[str, str]:
    """Name and version, by Flight SQL."""
    info = client.get_flight_info(flight.FlightDescriptor.for_command(sql_message("CommandGetSqlInfo")), options)
    table = client.do_get(info.endpoints[0].ticket, options).read_all()
    said = {row["info_name"]: row["value"] for row in table.to_pylist()}
    return str(said.get(0, "")), str(said.get(_VERSION, ""))
