"""The client: everything that can be asked, written and corrected through one connection, and how it is made."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from . import command, option, unpivot
from . import export as exporting
from . import write as writing
from .address import DEFAULT_ADDRESS, Address, Certificates, PathLike, token_of
from .annotation import Annotations
from .command import Tags
from .correction import Corrections
from .error import HistorianError, PermissionDenied, TagNotFound, WriteFailed
from .greeting import greet
from .progress import Reporter, Wanted
from .read import Reads
from .server import Server
from .time import Time

# How long `connect` waits for the first answer.
CONNECT_S = 5.0


def connect(
    url: str | None = None,
    *,
    token: str | None = None,
    token_file: PathLike | None = None,
    timeout_s: float | None = None,
    connect_s: float | None = CONNECT_S,
    tls_ca: PathLike | None = None,
    tls_cert: PathLike | None = None,
    tls_key: PathLike | None = None,
    **options: Any,
) -> Client:
    """Connects to a historian, and asks it who it is.

    What fails is `ConnectionFailed`, `NotAuthenticated` or `NotSupported` (too old), and says in words why: no such name, nothing listens, TLS or none, a
    certificate that is not trusted, a token that is missing or not taken.

    `url` is a host ("localhost", "plant.example"), with a port where that is not 8815 ("plant.example:8820"); with TLS `grpc+tls://host` (also
    `https://`, `grpcs://`); or `unix:///path` of the local socket (`historian.sock` in the data directory, for its owner and root). Without it
    the variable `HISTORIAN_SERVER`, else this machine. `token` is an API token (`historian token create`), or one of the historian's identity provider,
    `token_file` a file that holds one and that its owner alone may read; without either the variable `HISTORIAN_TOKEN`, else none is sent. Over the
    network it is sent with TLS only. `tls_ca` is a file with the authority to trust (variable `HISTORIAN_TLS_CA`), in the place of those of this
    machine; `tls_cert` and `tls_key` are the certificate to show and its key (`HISTORIAN_TLS_CLIENT_CERT`, `HISTORIAN_TLS_CLIENT_KEY`). A
    variable that is empty counts as none.
    `timeout_s` is the longest time a request may take; without it the historian's own limit holds. `connect_s` is how long the first answer is waited
    for; with None nothing is asked, and the network is first used by the first request. Further options are those of `pyarrow.flight.FlightClient`.
    """
    url = url or os.environ.get("HISTORIAN_SERVER") or DEFAULT_ADDRESS
    address = Address.of(url)
    certificates = Certificates.of(address, tls_ca, tls_cert, tls_key)
    client = Client(url, token=token_of(token, token_file), timeout_s=timeout_s, **(certificates.options() | options))
    if connect_s is not None:
        try:
            patience = connect_s if timeout_s is None else min(connect_s, timeout_s)
            client.server_version = greet(client.flight, address, certificates, client._headers, patience)
        except BaseException:
            client.close()
            raise
    return client


class Client(Reads, Corrections, Annotations, Server):
    """A connection to a historian; make it with `connect`. May be used by several threads at once.

    Everywhere:

    - `tags` is a name or a glob, or several: `*` within a level, `**` across levels.
    - `start` and `end` bound a half-open range. Times are text (RFC 3339, or relative such as "*-8h", "t", "y+6h"), integer nanoseconds,
      datetimes, or pandas, numpy and Arrow timestamps. Those without a zone, and relative ones, are meant in `zone` (default UTC).
    - Words such as "INSIDE" may be written in any case.
    - Failures are subclasses of `HistorianError` with the historian's words.
    """

    server_version: str = ""
    """As the historian told it to `connect`; empty where it was not asked, or does not tell who may only write."""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Writing.

    def write(
        self,
        data: Any,
        *,
        mode: option.Mode = "UPSERT",
        durability: option.Durability = "SYNC",
        create_tags: bool = False,
        progress: Wanted = False,
    ) -> writing.WriteResult:
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
        return writing.write(self.flight, asked, data, self._call(), Reporter(progress, "write"))

    def write_frame(
        self,
        frame: Any,
        *,
        nan: option.Missing = "drop",
        zone: str | None = None,
        mode: option.Mode = "UPSERT",
        durability: option.Durability = "SYNC",
        create_tags: bool = False,
        progress: Wanted = False,
    ) -> writing.WriteResult:
        """Writes a wide frame, the inverse of `frame`: a row per time, a column per tag.

        `frame` is a data frame of pandas with an index of times, or anything of pandas, polars or Arrow with a column `timestamp`. Each other column is
        named as a tag; `<tag>#quality` beside it says qualities. Times without a zone are refused unless `zone` says which it is; a time that is
        there twice, a column that is no tag (unless `create_tags`), and a state that the tag does not have are refused before anything is
        written. States may be names.
        `nan`: what a missing value (NaN, null) means: "drop", no sample (default); "bad", a Bad sample without a value; "raise", a mistake. Where
        `<tag>#quality` is not Good, a missing value is a sample of that quality.
        Columns of different types are written one after the other; a failure after the first is `WriteFailed`.
        """
        unpivot.checked(nan)
        times, columns = unpivot.columns_of(frame, zone)
        names = unpivot.tags_of(columns)
        known = self._known(names)
        if known is not None and (unknown := [name for name in names if name not in known and not create_tags]):
            more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
            shown = ", ".join(map(repr, unknown[:10]))
            raise TagNotFound(f"no tags are called {shown}{more}; say create_tags=True to make them", "not found")
        series = [unpivot.series(times, columns, name, (known or {}).get(name), nan) for name in names]
        reporter = Reporter(progress, "write")
        asked = command.write(mode=mode, durability=durability, create_tags=create_tags)
        done = writing.WriteResult()
        for batches, rows in unpivot.streams(series, writing.BATCH_ROWS):
            try:
                done.add(writing.write(self.flight, asked, batches, self._call(), reporter, rows))
            except HistorianError as error:
                if done.samples == 0:
                    raise
                if isinstance(error, WriteFailed):
                    done.add(error.acknowledged)
                raise WriteFailed(f"{error} ({done.samples} samples before it are durable)", done, error.code) from error
        return done

    def _known(self, names: list[str]) -> dict[str, dict[str, Any]] | None:
        """What the catalog says of those of the names that are tags; None for who may write and not read."""
        told: dict[str, dict[str, Any]] = {}
        # In parts: a statement has bounds.
        for start in range(0, len(names), 500):
            part = names[start : start + 500]
            places = ", ".join("?" * len(part))
            try:
                rows = self.sql(f"SELECT name, value_type, state_set FROM tags WHERE name IN ({places})", part).to_pylist()
            except PermissionDenied:
                return None
            for row in rows:
                told[row["name"]] = row | {"state_set": json.loads(row["state_set"] or "[]")}
        return told

    # Bulk export.

    def export(
        self,
        tags: Tags,
        start: Time,
        end: Time,
        destination: PathLike,
        *,
        format: option.FileFormat | None = None,
        compression: str | None = None,
        workers: int = 4,
        progress: Wanted = None,
        overwrite: bool = False,
        boundary: option.Boundary | None = None,
        quality: option.Quality | None = None,
        zone: str | None = None,
    ) -> exporting.ExportResult:
        """Exports samples of any number into files, in constant memory.

        `destination` with the ending .parquet, .arrow, .feather or .csv is one file. Anything else is a directory: the historian splits the
        export, `workers` parts are fetched at once, each into a file of its own (`part-00000.parquet`, …). The same call again goes on
        with an export that was interrupted and does not fetch finished parts again; a finished export of fixed times is left as it is.
        `format`: "parquet" (default), "arrow" or "csv": a header, RFC 4180, times as RFC 3339 in UTC, the quality as its number, every value exactly.
        `compression`: "zstd" (default), "lz4", "none", for Parquet also "snappy" and others; CSV is not compressed.
        `progress`: True and False, or a function that is called with a `Progress`; by default a bar where there is a terminal or a notebook.
        `overwrite`: replace another export in the directory.
        The files have a last column `type`, the value type of the row's tag, so that `historian import` makes of them what was exported.
        """
        asked = command.range_(tags, start, end, boundary=boundary, quality=quality, zone=zone, types=True)
        destination = Path(destination)
        format_, one_file = exporting.format_of(destination, format)
        fetcher = exporting.Fetcher(self._connect, self._call, Reporter(progress, "export"))
        if one_file:
            return fetcher.to_file(asked, destination, format_, compression)
        return fetcher.to_directory(asked, destination, format_, compression, workers, overwrite)
