"""What cannot be the same in two recordings, and what stands in its place. The one list of exceptions: everything else is compared to the bit.

Bytes are replaced by as many bytes, before anything is decoded, so that lengths and offsets around them stay true.
"""

import datetime
import re
import time

from lib import varint

# Name of each rule and why it has to be. `Normal` below holds to them; `record.py` writes them into each recording.
RULES = {
    "time of the run": "the historian's clock: moments of creation, `*`, `now()`, `started`. A number of nanoseconds (as text, varint or eight bytes) "
    "or an RFC 3339 time between start and end of the recording, or as long before as a relative time of the requests says",
    "port": "loopback ports are ephemeral; five digits each, in messages of the command line",
    "folder": "the data directory is a temporary one, in messages of the command line",
    "handle": "handles of prepared statements are random; sixteen bytes, which tickets and bound handles hold as well",
    "number of a statement": "random, in tickets of SQL, so that CancelFlightInfo finds what runs",
    "order of a map": "options of a session are a map without an order: sorted by their keys; so are the keys of gRPC metadata and HTTP headers",
    "date": "the header `date` of HTTP answers",
    "metrics": "of `/metrics` the names, labels and help; the values count requests and seconds",
    "width of a table": "columns of `historian audit` are as wide as the times of the run in them, whose decimals are cut at their zeros",
    "progress": "how often a backup or a scrub tells how far it is goes by the clock: such messages are left out",
    "size on disk": "files and bytes of the store, in backups and scrubs: RocksDB's files hold times and identities of their own",
}

MOMENT = 1_111_111_111_111_111_111
MOMENT_TEXT = "<time of the run>"
# How far before the moment of the request its relative times lie: `*`, `*-1h` (what is told of `range(?, ?, ?)` before its times are bound), `*-8h`.
BACK_NS = tuple(hours * 3600 * 1_000_000_000 for hours in (0, 1, 8))
MARGIN_NS = 5_000_000_000

DIGITS = re.compile(rb"(?<![0-9])[0-9]{19}(?![0-9])")
RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)?")
VARINT = re.compile(rb"(?=([\x80-\xff]{8}[\x01-\x7f]))", re.DOTALL)

# In a ticket of SQL: `now()` as a sfixed64, and behind it the number.
NUMBER_OF_STATEMENT = re.compile(rb"(\x11" + re.escape(MOMENT.to_bytes(8, "little")) + rb"\x19).{8}", re.DOTALL)


class Normal:
    def __init__(self):
        self.begin = time.time_ns() - MARGIN_NS
        self.tokens = []
        self.handles = 0

    def replace(self, found, instead):
        """From now on `found` is written as `instead`, which is as long."""
        found = found.encode() if isinstance(found, str) else found
        instead = instead.encode() if isinstance(instead, str) else instead
        assert len(found) == len(instead), (found, instead)
        self.tokens.append((found, instead))

    def handle(self, handle):
        self.handles += 1
        self.replace(handle, f"<handle-{self.handles:07}>")

    def of_the_run(self, moment):
        end = time.time_ns() + MARGIN_NS
        return any(self.begin <= moment + back <= end for back in BACK_NS)

    def data(self, data):
        """Bytes, their length kept."""
        for found, instead in self.tokens:
            data = data.replace(found, instead)
        data = DIGITS.sub(lambda match: str(MOMENT).encode() if self.of_the_run(int(match[0])) else match[0], data)
        out = bytearray(data)
        for match in VARINT.finditer(data):
            number = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(match[1]))
            if self.of_the_run(number):
                out[match.start() : match.start() + 9] = varint(MOMENT)
        # Eight bytes: the upper four of a time of the run are one of few numbers, which are looked for.
        end = time.time_ns() + MARGIN_NS
        for back in BACK_NS:
            for upper in range((self.begin - back) >> 32, ((end - back) >> 32) + 1):
                start = out.find(upper.to_bytes(4, "little"), 4)
                while start >= 4:
                    if self.of_the_run(int.from_bytes(out[start - 4 : start + 4], "little")):
                        out[start - 4 : start + 4] = MOMENT.to_bytes(8, "little")
                    start = out.find(upper.to_bytes(4, "little"), start + 1)
        return NUMBER_OF_STATEMENT.sub(lambda match: match[1] + b"<number>", bytes(out))

    def text(self, text):
        """Text, whose length may change."""

        def moment(match):
            try:
                at = datetime.datetime.fromisoformat(re.sub(r"\.\d+", "", match[0]))
            except ValueError:
                return match[0]
            at = at if at.tzinfo else at.replace(tzinfo=datetime.timezone.utc)
            # A second is cut off.
            seconds = int(at.timestamp())
            return MOMENT_TEXT if self.of_the_run(seconds * 1_000_000_000) else match[0]

        return RFC3339.sub(moment, self.data(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape"))
