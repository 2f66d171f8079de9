"""The connection and what can be asked through it. Every answer is a `pyarrow.Table`; `.to_pandas()` and `polars.from_arrow` go on from there."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.flight as flight

from . import command, export, write
from . import detector as detector_list
from . import join as row_join
from . import subscribe as subscription
from .command import AggregateConfiguration, Command, State, Tags
from .error import translating
from .progress import Reporter, Wanted
from .time import Duration, Time

DEFAULT_ADDRESS = "grpc://127.0.0.1:8815"


def connect(
    url: str | None = None,
    *,
    token: str | None = None,
    timeout_s: float | None = None,
    tls_ca: str | os.PathLike[str] | None = None,
    tls_cert: str | os.PathLike[str] | None = None,
    tls_key: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Client:
    """Connects to a historian.

    `url` is `grpc://host:port` (also `http://`, or `host:port`), with TLS `grpc+tls://host:port` (also `https://`, `grpcs://`), or
    `unix:///path` of the local socket (`historian.sock` in the data directory, for its owner and root); without it the variable
    `HISTORIAN_SERVER`, else this machine. `tls_ca` is a file with the authority to trust (variable `HISTORIAN_TLS_CA`), in the place
    of those of this machine; `tls_cert` and `tls_key` are the certificate to show and its key (`HISTORIAN_TLS_CLIENT_CERT`,
    `HISTORIAN_TLS_CLIENT_KEY`). `timeout_s` is the longest time a request may take; without it the historian's own limit holds. Further
    options are those of `pyarrow.flight.FlightClient`. `token` is an API token (`historian token create`), or one of the historian's
    identity provider; without it the variable `HISTORIAN_TOKEN`, else none is sent. Over the network it is sent with TLS only. The network is first used by the first request.
    """
    token = token or os.environ.get("HISTORIAN_TOKEN")
    url = url or os.environ.get("HISTORIAN_SERVER") or DEFAULT_ADDRESS
    given = {"tls_ca": tls_ca, "tls_cert": tls_cert, "tls_key": tls_key}
    files = {name: path or os.environ.get(variable) for (name, variable), path in zip(_TLS_FILES.items(), given.values())}
    is_secured = _location(url).startswith("grpc+tls:")
    for name, path in files.items():
        if path and not is_secured:
            # Whoever asks for TLS must not get less.
            raise ValueError(f"{name}: is for TLS, and {url} is without; write grpc+tls://host:port")
    if bool(files["tls_cert"]) != bool(files["tls_key"]):
        raise ValueError("tls_cert: a certificate and its key are given together")
    for name, option in zip(files, ("tls_root_certs", "cert_chain", "private_key")):
        if files[name]:
            options[option] = Path(files[name]).read_bytes()
    return Client(url, token=token, timeout_s=timeout_s, **options)


def _is_loopback(location: str) -> bool:
    """True where what is sent does not leave this machine, whatever names are resolved to."""
    scheme, _, authority = location.partition("://")
    host = authority.rpartition(":")[0].strip("[]")
    if scheme == "grpc+unix" or host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


_TLS_FILES = {"tls_ca": "HISTORIAN_TLS_CA", "tls_cert": "HISTORIAN_TLS_CLIENT_CERT", "tls_key": "HISTORIAN_TLS_CLIENT_KEY"}


def _location(url: str) -> str:
    scheme, found, authority = url.partition("://")
    if not found:
        scheme, authority = "grpc", url
    if scheme in ("unix", "grpc+unix"):
        if not authority.startswith("/"):
            raise ValueError(f"url: {url!r} is no address; write unix:///path/to/historian.sock")
        return f"grpc+unix://{authority}"
    authority = authority.rstrip("/")
    host, _, port = authority.rpartition(":")
    if scheme not in ("grpc", "grpc+tcp", "http", *_TLS_SCHEMES) or not host or not port.isdecimal():
        raise ValueError(f"url: {url!r} is no address; write grpc://host:port, grpc+tls://host:port, or unix:///path")
    return f"{'grpc+tls' if scheme in _TLS_SCHEMES else 'grpc'}://{authority}"


_TLS_SCHEMES = ("grpc+tls", "grpcs", "https")


def _headers(token: str | None) -> list[tuple[bytes, bytes]]:
    token = (token or "").strip()
    if not token:
        return []
    # A header with a line end in it would be two; the text is not shown, for it may be a secret all the same.
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("token: is no token; it is one word, as `historian token create` printed it")
    return [(b"authorization", f"Bearer {token}".encode())]


class Client:
    """A connection to a historian; make it with `connect`. May be used by several threads at once.

    Everywhere:

    - `tags` is a name or a glob, or several: `*` within a level, `**` across levels.
    - `start` and `end` bound a half-open range. Times are text (RFC 3339, or relative such as "*-8h", "t", "y+6h"), integer nanoseconds,
      datetimes, or pandas, numpy and Arrow timestamps. Those without a zone, and relative ones, are meant in `zone` (default UTC).
    - Words such as "INSIDE" may be written in any case.
    - Failures are subclasses of `HistorianError` with the historian's words.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float | None = None, **options: Any) -> None:
        self.url = _location(url)
        self._headers = _headers(token)
        if self._headers and not self.url.startswith("grpc+tls:") and not _is_loopback(self.url):
            raise ValueError(f"token: is not sent to {self.url}: without TLS everybody on the way could read it; write grpc+tls://host:port")
        self._timeout_s = timeout_s
        if self.url.startswith("grpc+unix:"):
            # By itself the library names the path as the host, which no server of HTTP/2 takes.
            options["generic_options"] = [("grpc.default_authority", "localhost"), *options.get("generic_options", [])]
        self._options = options
        self.flight = self._connect()
        """The Flight client below, for what is not covered here."""

    def close(self) -> None:
        self.flight.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"historian_client.connect({self.url!r})"

    # The catalog.

    def tags(self, tags: Tags = "**") -> pa.Table:
        """The catalog: columns name, value_type, unit, stepped, range_low, range_high, state_set."""
        criteria = json.dumps({"tags": command.as_tags(tags)}).encode()
        rows = []
        with translating():
            for info in self.flight.list_flights(criteria, self._call()):
                about = info.schema.field("value").metadata or {}
                said = {key.decode(): text.decode() for key, text in about.items()}
                low, high = said.get("range_low"), said.get("range_high")
                rows.append(
                    {
                        "name": b"/".join(info.descriptor.path).decode(),
                        "value_type": said.get("value_type"),
                        "unit": said.get("unit", ""),
                        "stepped": said.get("stepped") == "true",
                        "range_low": None if low is None else float(low),
                        "range_high": None if high is None else float(high),
                        "state_set": json.loads(said.get("state_set", "[]")),
                    }
                )
        return pa.Table.from_pylist(rows, schema=_TAGS)

    # Samples.

    def range(
        self,
        tags: Tags,
        start: Time,
        end: Time = "*",
        *,
        boundary: str | None = None,
        limit: int = 0,
        layout: str | None = None,
        zone: str | None = None,
        quality: str | None = None,
        fill: str | None = None,
        step: Duration | None = None,
    ) -> pa.Table:
        """Samples of a time range, tag after tag: columns tag, timestamp, value, quality.

        `value` is of the tags' type. Where they are of several types it is float64, and there is one more column `text` where a tag of
        strings is among them, and one `integer` (decimal128, exact) where an i64 or u64 is.

        `boundary`: "INSIDE" (default), "OUTSIDE" (and the neighbours of the edges), "INTERPOLATED" (and a value at each edge).
        `limit`: at most so many samples per tag, 0 for all. An `end` before `start` means reverse order.
        `layout`: "LONG" (default), or "WIDE" with two columns per tag, `<tag>` and `<tag>#quality`, on a common time axis; there `fill`
        is "NONE", "AS_OF" or "LINEAR", and `step` such as "10s" makes rows at even times. A Bad sample stays a Bad cell in its row.
        `quality`: "ANY" (default), "NOT_BAD" or "GOOD".
        """
        options = {"boundary": boundary, "limit": limit, "layout": layout, "zone": zone, "quality": quality, "fill": fill, "step": step}
        return self.fetch(command.range_(tags, start, end, **options))

    def range_batches(self, tags: Tags, start: Time, end: Time = "*", **options: Any) -> pa.RecordBatchReader:
        """As `range`, batch by batch in constant memory. The answer must be read on: one left for half a minute is cut."""
        defaults = dict.fromkeys(("boundary", "layout", "zone", "quality", "fill", "step")) | {"limit": 0}
        unknown = sorted(options.keys() - defaults.keys())
        if unknown:
            raise TypeError(f"range_batches has no option {unknown[0]!r}")
        return self.batches(command.range_(tags, start, end, **(defaults | options)))

    def current(self, tags: Tags = "**") -> pa.Table:
        """The latest sample by source time of each tag that has one."""
        return self.fetch(command.current(tags))

    def superseded(self, tags: Tags, start: Time, end: Time = "*", *, limit: int = 0, zone: str | None = None) -> pa.Table:
        """Versions of samples that no longer count: the columns of `range` and `replaced_by`, the number of the write in their place."""
        return self.fetch(command.superseded(tags, start, end, limit=limit, zone=zone))

    # Operators.

    def aggregate(
        self,
        tags: Tags,
        start: Time,
        end: Time = "*",
        interval: Duration | None = None,
        functions: str | Sequence[str] = "time_average",
        *,
        configuration: AggregateConfiguration | None = None,
        calendar: str | None = None,
        shift_starts: Sequence[str] | None = None,
        zone: str | None = None,
    ) -> pa.Table:
        """Aggregates of OPC UA Part 13: columns tag, timestamp (start of the interval), function, value, quality.

        `interval`: "5s", "1h", a timedelta, integer nanoseconds; none means one interval over the whole range. Instead of it
        `calendar`: "HOUR", "DAY", "WEEK", "MONTH", "YEAR" of the `zone`, days of 23 and 25 hours included, or "SHIFT" with
        `shift_starts` such as ["06:00", "14:00", "22:00"].
        `functions`: names of the standard in snake_case, such as "time_average", "minimum", "percent_good". For stepped tags take
        "time_average2": "time_average" draws straight lines between samples for these too, as the standard's examples do.
        `configuration`: how quality is treated; what is left out has the standard's default.
        """
        options = {"interval": interval, "functions": functions, "configuration": configuration, "calendar": calendar}
        return self.fetch(command.aggregate(tags, start, end, shift_starts=shift_starts, zone=zone, **options))

    def downsample(
        self, tags: Tags, start: Time, end: Time = "*", points: int = 1000, method: str = "PLOT", *, zone: str | None = None
    ) -> pa.Table:
        """Samples reduced for a plot, at most `points` per tag: the columns of `range`.

        `method`: "PLOT" (first, last, minimum, maximum and one Bad sample per interval), "M4", "MINMAX", "LTTB", "MINMAXLTTB". A null
        value says where a line is to be interrupted.
        """
        return self.fetch(command.downsample(tags, start, end, points=points, method=method, zone=zone))

    def anomalies(
        self,
        tags: Tags,
        start: Time,
        end: Time = "*",
        detector: str = "spike",
        parameters: Mapping[str, Any] | None = None,
        output: str = "FINDINGS",
        *,
        zone: str | None = None,
    ) -> pa.Table:
        """What a detector finds.

        `detector`: its name; `detectors()` lists all with their `parameters`.
        `output`: "FINDINGS" (tag, start, end, peak, detector, score, expected, observed, explanation, and more), "SCORES" (tag, timestamp, value,
        score), or "COUNTS" (tag, count).
        """
        return self.fetch(command.anomalies(tags, start, end, detector, parameters=parameters, output=output, zone=zone))

    def detectors(self) -> pa.Table:
        """The detectors that `anomalies` knows, a row per parameter: columns detector, description, parameter, unit, default (null where there
        is none), allowed, meaning. Needs the package grpcio (`pip install 'historian-client[grpc]'`), else it is `NotSupported`.
        """
        return detector_list.detectors(self.url, self._options, self._headers, self._timeout_s)

    # Key figures.

    def measure(
        self,
        tags: Tags,
        start: Time,
        end: Time,
        measure: str,
        interval: Duration | None = None,
        *,
        calendar: str | None = None,
        shift_starts: Sequence[str] | None = None,
        zone: str | None = None,
        states: State | Iterable[State] | None = None,
        from_state: State | None = None,
        to_state: State | None = None,
        dwell_min: Duration | None = None,
        rollover: float | None = None,
        reset: str | None = None,
        max_step: float | None = None,
        max_rate: float | None = None,
        dead_band: float | None = None,
        per: str | None = None,
        rescale: bool = False,
        treat_uncertain_as_bad: bool = False,
    ) -> pa.Table:
        """Exact primitives of key figures: columns tag, start, end, label, item, value (null where nothing is known), numerator, denominator
        (seconds), percent_good, bad_seconds; tag after tag, interval after interval.

        `measure` is one of

        - "TIME_IN_STATE": seconds in each state that occurs, or in `states` together. A state is its name in the tag's state set, its number,
          True or False, or the text of a string tag.
        - "TRANSITIONS": how often the state changed, `from_state` and `to_state` given or not; a state held for less than `dwell_min` ("5s")
          does not count.
        - "COUNTER_DELTA": how far a counter went. `rollover` is the reading at which it stands at 0 again (65536, 1000000); any other fall is
          a reset, after which its new reading counts (`reset` "FROM_ZERO", the default) or nothing ("SKIP"). A reading that falls once and
          is back with the next one is passed over (unless `reset` is "ALWAYS"), and so is noise: falls by up to `dead_band`, or a
          ten-thousandth of the reading. What goes up by more than `max_step`, or `max_rate` in a time unit `per` (default "s"), is no
          step of the counter and does not count.
        - "INTEGRAL": rate to amount. `per` is the time unit of the rate, "s", "min", "h" or "d": m³/h with "h" gives m³. `rescale` scales up
          to the whole interval where parts are not known.
        - "PERCENT_GOOD": percent of the time in which the tag was Good.

        `interval`, `calendar` and `shift_starts` as in `aggregate`; neither means one interval over the whole range, whose end is after its
        start. Ratios are formed of sums, `numerator` over `denominator`, never as means of ratios.
        An option of another measure, and a tag named that cannot be measured so, is `InvalidRequest`; a glob passes over such tags.
        """
        asked = command.measure(
            tags,
            start,
            end,
            measure,
            interval=interval,
            calendar=calendar,
            shift_starts=shift_starts,
            zone=zone,
            states=states,
            from_state=from_state,
            to_state=to_state,
            dwell_min=dwell_min,
            rollover=rollover,
            reset=reset,
            max_step=max_step,
            max_rate=max_rate,
            dead_band=dead_band,
            per=per,
            rescale=rescale,
            treat_uncertain_as_bad=treat_uncertain_as_bad,
        )
        return self.fetch(asked)

    def as_of(
        self, rows: Any, tags: Tags, *, on: str = "timestamp", tolerance: Duration | None = None, quality: str | None = None
    ) -> pa.Table:
        """Rows of yours (batches, orders, laboratory samples) with what each tag was then.

        `rows` is an Arrow table, batch or reader, or a data frame of pandas (its index is dropped) or polars, in any order. Its column `on`
        holds the times, timestamps of any unit; without a zone they are UTC. The other columns stay here.
        The answer is the same rows in the same order, and for each tag three columns more: `<tag>` in its own type, `<tag>#timestamp` and
        `<tag>#quality` of the last sample at or before the row's time. They are null where there is none, where it is older than `tolerance`
        ("1h"; without it any age counts), and where the row has no time.
        `quality`: which samples count, "NOT_BAD" (default), "GOOD", or "ANY". At most 1,000 tags.

        `ValueError` names a column that is missing or wrong.
        """
        asked = command.as_of(tags, tolerance=tolerance, quality=quality)
        return row_join.as_of(self.flight, asked, rows, on, self._call())

    # Samples as they come.

    def subscribe(
        self, tags: Tags = "**", *, position: int | None = None, current: bool = False, reconnect_s: float | None = 600.0
    ) -> subscription.Subscription:
        """Every sample of the tags that becomes durable from now on, each once, in the order of writing; tags made later count as well.

            with plant.subscribe("area1/**", current=True) as samples:
                for table in samples:
                    ...                       # columns tag, timestamp, value, text, quality, position, integer
                    keep(samples.position)    # to go on behind it another day

        `position`: go on behind what another subscription got (its `position`), or behind a write (the `watermark` of its `WriteResult`).
        `PositionGone` when the journal does not hold what came after it; read that with `range`, then.
        `current`: the current values first.
        `reconnect_s`: for how long a lost connection is tried to be had back, None for ever; it goes on where it stopped, no sample is lost or
        comes twice. After that the iteration raises `ConnectionFailed`.

        The iteration waits for samples until `close`, which any thread may call; `next(timeout_s)` waits so long at most. The column
        `integer` has the values of i64 and u64 exactly, which `value` may round. `timeout_s` of the client does not bound a subscription.
        """
        return subscription.subscribe(self._connect, command.as_tags(tags), position, current, reconnect_s, self._call)

    # SQL.

    def sql(self, query: str) -> pa.Table:
        """The answer to a SQL query, by Flight SQL."""
        with translating():
            info = self.flight.get_flight_info(flight.FlightDescriptor.for_command(_statement(query)), self._call())
            parts = [self.flight.do_get(endpoint.ticket, self._call()).read_all() for endpoint in info.endpoints]
        return pa.concat_tables(parts) if parts else info.schema.empty_table()

    # Writing.

    def write(
        self,
        data: Any,
        *,
        mode: str = "UPSERT",
        durability: str = "SYNC",
        create_tags: bool = False,
        progress: Wanted = False,
    ) -> write.WriteResult:
        """Writes samples; returns when all are as durable as asked.

        `data` is an Arrow table, batch or reader, or a data frame of pandas or polars, with the columns tag, timestamp, value, and quality
        where not all is Good. A null value needs a quality that is not Good.
        `mode`: "UPSERT" (a sample takes the place of one with the same tag and timestamp) or "INSERT" (the existing one stays).
        `durability`: "SYNC" (acknowledged after the fsync) or "INTERVAL" (fsynced soon after).
        `create_tags`: make tags that do not exist.

        A failure after the first samples were taken is `WriteFailed`, whose `acknowledged` tells how far it came. Writing the same again
        changes nothing, so a program that does not know repeats.
        """
        asked = command.write(mode=mode, durability=durability, create_tags=create_tags)
        return write.write(self.flight, asked, data, self._call(), Reporter(progress, "write"))

    # Bulk export.

    def export(
        self,
        tags: Tags,
        start: Time,
        end: Time,
        destination: str | os.PathLike[str],
        *,
        format: str | None = None,
        compression: str | None = None,
        workers: int = 4,
        progress: Wanted = None,
        overwrite: bool = False,
        boundary: str | None = None,
        quality: str | None = None,
        zone: str | None = None,
    ) -> export.ExportResult:
        """Exports samples of any number into files, in constant memory.

        `destination` with the ending .parquet, .arrow or .feather is one file. Anything else is a directory: the historian splits the
        export, `workers` parts are fetched at once, each into a file of its own (`part-00000.parquet`, …). The same call again goes on
        with an export that was interrupted and does not fetch finished parts again; a finished export of fixed times is left as it is.
        `format`: "parquet" (default) or "arrow". `compression`: "zstd" (default), "lz4", "none", for Parquet also "snappy" and others.
        `progress`: True and False, or a function that is called with a `Progress`; by default a bar where there is a terminal.
        `overwrite`: replace another export in the directory.
        The files have a last column `type`, the value type of the row's tag, so that `historian import` makes of them what was exported.
        """
        options = {"limit": 0, "layout": None, "fill": None, "step": None, "types": True}
        asked = command.range_(tags, start, end, boundary=boundary, quality=quality, zone=zone, **options)
        destination = Path(destination)
        format, one_file = export.format_of(destination, format)
        fetcher = export.Fetcher(self._connect, self._call, Reporter(progress, "export"))
        if one_file:
            return fetcher.to_file(asked, destination, format, compression)
        return fetcher.to_directory(asked, destination, format, compression, workers, overwrite)

    # Anything else.

    def fetch(self, asked: Command | Mapping[str, Any]) -> pa.Table:
        """The answer to any command of the interface, such as {"range": {"tags": [...], "start": "*-1h"}} (docs/api.md), as a table."""
        with translating():
            return self.flight.do_get(self._ticket(asked), self._call()).read_all()

    def batches(self, asked: Command | Mapping[str, Any]) -> pa.RecordBatchReader:
        """As `fetch`, batch by batch in constant memory."""
        with translating():
            reader = self.flight.do_get(self._ticket(asked), self._call())
            schema = reader.schema
        return pa.RecordBatchReader.from_batches(schema, _chunks(reader))

    def _ticket(self, asked: Command | Mapping[str, Any]) -> flight.Ticket:
        return flight.Ticket(asked.encoded() if isinstance(asked, Command) else json.dumps(asked).encode())

    def _connect(self, generic_options: Sequence[tuple[str, Any]] = ()) -> flight.FlightClient:
        options = dict(self._options)
        if generic_options:
            # The caller's own come last and win.
            options["generic_options"] = [*generic_options, *(options.get("generic_options") or [])]
        with translating():
            return flight.FlightClient(self.url, **options)

    def _call(self, *, bounded: bool = True) -> flight.FlightCallOptions:
        return flight.FlightCallOptions(timeout=self._timeout_s if bounded else None, headers=self._headers)


_TAGS = pa.schema(
    [
        ("name", pa.utf8()),
        ("value_type", pa.utf8()),
        ("unit", pa.utf8()),
        ("stepped", pa.bool_()),
        ("range_low", pa.float64()),
        ("range_high", pa.float64()),
        ("state_set", pa.list_(pa.utf8())),
    ]
)


def _chunks(reader: flight.FlightStreamReader) -> Iterator[pa.RecordBatch]:
    while True:
        with translating():
            try:
                yield reader.read_chunk().data
            except StopIteration:
                return


def _statement(query: str) -> bytes:
    """`CommandStatementQuery` in a `google.protobuf.Any`: two fields of two texts each, for which no generated code is needed."""

    def field(number: int, content: bytes) -> bytes:
        length, size = bytearray(), len(content)
        while size > 0x7F:
            length.append(size & 0x7F | 0x80)
            size >>= 7
        return bytes([number << 3 | 2]) + bytes(length) + bytes([size]) + content

    name = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
    return field(1, name) + field(2, field(1, query.encode()))
