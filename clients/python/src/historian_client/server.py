"""What the historian says of itself: its state, its devices, and who one is to it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from .connection import Connection

_MOMENT = pa.timestamp("us", "UTC")
_COUNTS = ("connects", "requests", "timeouts", "exceptions", "polls_missed", "samples", "samples_dropped", "samples_rejected")
_ITEMS = ("items_wanted", "items_created", "items_delivering", "undelivered_tags")
# What only whoever administers the historian is told.
_OF_ALL_TAGS = ("endpoint", *_COUNTS[1:], "last_error", "last_error_time", "holes")
_DEVICES = pa.schema(
    [
        *((name, pa.utf8()) for name in ("device", "protocol", "endpoint", "state")),
        *((name, pa.uint64()) for name in (*_ITEMS, *_COUNTS)),
        ("last_error", pa.utf8()),
        ("last_error_time", _MOMENT),
        ("last_good_time", _MOMENT),
        ("holes", pa.list_(pa.utf8())),
        ("undelivered", pa.list_(pa.struct([("tag", pa.utf8()), ("reason", pa.utf8()), ("since", _MOMENT)]))),
    ]
)


class Server(Connection):
    """The state of the server. These calls need the packages grpcio and protobuf (`pip install 'historian-client[grpc]'`)."""

    def status(self) -> dict[str, Any]:
        """The server: version, start_time, tags, watermark, accepting_writes, no_room (why writes are refused for now), retention, scrub, tls, and so on;
        the fields of GetServerStatusResponse. Needs the right to administer."""
        return self._rpc.call("AdminService/GetServerStatus")

    def collectors(self) -> pa.Table:
        """A row per device: its state, how many tags are wanted, created and delivering, what it delivered, its last error, and `undelivered`, the tags
        that do not deliver, with reason and since when. Without the right to administer: the devices of the tags that one may read, as far as it is of
        these; what is not told is null."""
        answer = self._rpc.call("CollectorService/GetStatus")
        devices = answer["devices"]
        if answer["limited"]:
            devices = [device | dict.fromkeys(_OF_ALL_TAGS) for device in devices]
        return pa.Table.from_pylist(devices, schema=_DEVICES)

    def whoami(self) -> dict[str, Any]:
        """Who one is to the historian, how that is known, and each right with the tags that it is for."""
        return self._rpc.call("AccessService/WhoAmI")
