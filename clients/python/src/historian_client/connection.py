"""The connection of a client: commands out, tables in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.flight as flight

from .address import Address, headers
from .cancellation import table_of
from .command import Command
from .error import translating
from .rpc import Rpc

# A historian that was away is found again within seconds: gRPC's own pause between attempts grows to minutes. And a new client begins anew, in the
# place of waiting for the pause of an earlier one.
_CHANNEL_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


class Connection:
    """What all calls share."""

    def __init__(self, url: str, *, token: str = "", timeout_s: float | None = None, **options: Any) -> None:
        self.address = Address.of(url)
        self.url = self.address.location
        self._headers = headers(token, self.address)
        self._timeout_s = timeout_s
        if self.address.socket:
            # By itself the library names the path as the host, which no server of HTTP/2 takes.
            options["generic_options"] = [("grpc.default_authority", "localhost"), *options.get("generic_options", [])]
        self._options = options
        self.flight = self._connect()
        """The Flight client below, for what is not covered here."""
        self._rpc = Rpc(self.address, options, self._headers, timeout_s)

    def close(self) -> None:
        self.flight.close()
        self._rpc.close()

    def __repr__(self) -> str:
        return f"historian_client.connect({str(self.address)!r})"

    def fetch(self, asked: Command | Mapping[str, Any]) -> pa.Table:
        """The answer to any command of the interface, such as {"range": {"tags": [...], "start": "*-1h"}} (docs/api.md), as a table."""
        with translating():
            return table_of(self.flight.do_get(self._ticket(asked), self._call()))

    def batches(self, asked: Command | Mapping[str, Any]) -> pa.RecordBatchReader:
        """As `fetch`, batch by batch in constant memory."""
        with translating():
            reader = self.flight.do_get(self._ticket(asked), self._call())
            schema = reader.schema
        return pa.RecordBatchReader.from_batches(schema, _chunks(reader))

    def _ticket(self, asked: Command | Mapping[str, Any]) -> flight.Ticket:
        return flight.Ticket(asked.encoded() if isinstance(asked, Command) else json.dumps(asked).encode())

    def _info(self, asked: Command) -> flight.FlightInfo:
        with translating():
            return self.flight.get_flight_info(flight.FlightDescriptor.for_command(asked.encoded()), self._call())

    def _connect(self, generic_options: Sequence[tuple[str, Any]] = ()) -> flight.FlightClient:
        options = dict(self._options)
        # The caller's own come last and win.
        options["generic_options"] = [*_CHANNEL_OPTIONS, *generic_options, *(options.get("generic_options") or [])]
        with translating():
            return flight.FlightClient(self.url, **options)

    def _call(self, *, bounded: bool = True) -> flight.FlightCallOptions:
        return flight.FlightCallOptions(timeout=self._timeout_s if bounded else None, headers=self._headers)


def _chunks(reader: flight.FlightStreamReader) -> Iterator[pa.RecordBatch]:
    while True:
        with translating():
            try:
                yield reader.read_chunk().data
            except StopIteration:
                return
