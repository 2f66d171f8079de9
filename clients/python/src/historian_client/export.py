"""Bulk export into files: the endpoints of GetFlightInfo fetched in parallel, each into a file of its own, resumable file by file.

A directory holds `part-00000.parquet` and so on and `export.json`, which tells what was asked, the tickets, and which parts are there. A
part appears under its name when it is complete. The tickets name tags and times exactly, so an export that is taken up again next week
fetches what was asked for today.
"""

from __future__ import annotations

import base64
import concurrent.futures
import dataclasses
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.flight as flight

from .command import Command
from .csv_file import CsvFile
from .error import ConnectionFailed, translating
from .progress import Reporter
from .time import is_relative

MANIFEST = "export.json"
ENDINGS = {"parquet": ".parquet", "arrow": ".arrow", "csv": ".csv"}
ROW_GROUP_ROWS = 1 << 20
# Between attempts after the connection failed.
WAITS_S = (1.0, 3.0, 10.0)


@dataclasses.dataclass(frozen=True)
class ExportResult:
    """The files in the order of tags, their rows together, and how many of them were there already."""

    files: list[Path]
    rows: int
    skipped: int


def format_of(destination: Path, wanted: str | None) -> tuple[str, bool]:
    """Format of the files, and whether the destination is one file."""
    known = {".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow", ".csv": "csv"}
    by_ending = known.get(destination.suffix.lower())
    wanted = wanted.lower() if wanted is not None else None
    if wanted is not None and wanted not in ENDINGS:
        raise ValueError(f'format: {wanted!r} is not known; allowed are "parquet", "arrow" and "csv"')
    return wanted or by_ending or "parquet", by_ending is not None and not destination.is_dir()


class Fetcher:
    """One export: where its batches come from, how they are written, and who is told how far it is."""

    def __init__(self, connect: Callable[[], flight.FlightClient], options: Callable[[], flight.FlightCallOptions], reporter: Reporter) -> None:
        self._connect = connect
        self._options = options
        self._reporter = reporter
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._rows = 0
        self._rows_expected: int | None = None
        self._parts = 0
        self._parts_expected = 0

    # One file.

    def to_file(self, command: Command, destination: Path, format: str, compression: str | None) -> ExportResult:
        """One answer into one file; it appears when it is complete.

        Not endpoint after endpoint: each has its own dictionary of tag names, and an Arrow file holds one.
        """
        client = self._connect()
        try:
            with translating():
                info = client.get_flight_info(flight.FlightDescriptor.for_command(command.encoded()), self._options())
            bounds = json.loads(info.app_metadata)
            absolute = Command(command.name, {**command.fields, "start": bounds["start"], "end": bounds["end"]})
            self._expect(info.total_records, 1, 0)
            with _Writer(destination, format, compression) as writer:
                for batch in self._batches(client, absolute.encoded()):
                    writer.write(batch)
            self._finished_part()
        finally:
            self._reporter.end()
            client.close()
        return ExportResult([destination], self._rows, 0)

    # A directory.

    def to_directory(
        self, command: Command, directory: Path, format: str, compression: str | None, workers: int, overwrite: bool
    ) -> ExportResult:
        """Endpoints in parallel, a file each; those that are there already are not fetched again."""
        directory.mkdir(parents=True, exist_ok=True)
        request = {"command": json.loads(command.encoded()), "format": format, "compression": compression}
        manifest = _Manifest.of(directory)
        if manifest is not None and not overwrite and not manifest.continues(request, directory):
            raise FileExistsError(
                f"{directory} holds another export ({manifest.path}); choose another directory, or say overwrite=True to replace it"
            )
        if manifest is None or overwrite or manifest.is_stale():
            if manifest is not None:
                manifest.remove_parts(directory)
            manifest = self._begun(command, request, directory, format)
        todo = [part for part in manifest.parts if not part.is_there(directory)]
        skipped = len(manifest.parts) - len(todo)
        self._rows = sum(part.rows or 0 for part in manifest.parts if part not in todo)
        self._expect(manifest.rows_expected, len(manifest.parts), skipped)
        try:
            with concurrent.futures.ThreadPoolExecutor(max(1, min(workers, len(todo) or 1)), "export") as pool:
                running = [pool.submit(self._fetch, part, directory, format, compression, manifest) for part in todo]
                try:
                    for done in concurrent.futures.as_completed(running):
                        done.result()
                except BaseException:
                    self._stop.set()
                    for future in running:
                        future.cancel()
                    raise
        finally:
            self._reporter.end()
        manifest.complete = True
        manifest.save()
        return ExportResult([directory / part.file for part in manifest.parts], sum(part.rows or 0 for part in manifest.parts), skipped)

    def _begun(self, command: Command, request: dict[str, Any], directory: Path, format: str) -> _Manifest:
        client = self._connect()
        with translating():
            info = client.get_flight_info(flight.FlightDescriptor.for_command(command.encoded()), self._options())
        client.close()
        parts = [_Part(f"part-{index:05}{ENDINGS[format]}", endpoint.ticket.ticket) for index, endpoint in enumerate(info.endpoints)]
        bounds = json.loads(info.app_metadata or b"{}")
        manifest = _Manifest(directory / MANIFEST, request, bounds, info.total_records, parts, complete=False)
        manifest.save()
        return manifest

    def _fetch(self, part: _Part, directory: Path, format: str, compression: str | None, manifest: _Manifest) -> None:
        rows = 0
        for wait in (*WAITS_S, None):
            if self._stop.is_set():
                return
            rows = 0
            try:
                client = self._connect()
                try:
                    with _Writer(directory / part.file, format, compression) as writer:
                        for batch in self._batches(client, part.ticket):
                            writer.write(batch)
                            rows += batch.num_rows
                finally:
                    client.close()
                break
            except ConnectionFailed:
                # The part begins anew.
                self._add_rows(-rows)
                if wait is None or self._stop.wait(wait):
                    raise
            except _Stopped:
                return
        with self._lock:
            part.rows = rows
            manifest.save()
        self._finished_part()

    def _batches(self, client: flight.FlightClient, ticket: bytes) -> Iterator[pa.RecordBatch]:
        with translating():
            reader = client.do_get(flight.Ticket(ticket), self._options())
            yield pa.RecordBatch.from_pylist([], schema=reader.schema)
        while True:
            with translating():
                try:
                    batch = reader.read_chunk().data
                except StopIteration:
                    return
            if self._stop.is_set():
                reader.cancel()
                raise _Stopped
            yield batch
            self._add_rows(batch.num_rows)

    # How far it is.

    def _expect(self, rows: int, parts: int, done: int) -> None:
        self._rows_expected = rows if rows > 0 else None
        self._parts, self._parts_expected = done, parts
        self._show()

    def _add_rows(self, rows: int) -> None:
        with self._lock:
            self._rows += rows
            self._show()

    def _finished_part(self) -> None:
        with self._lock:
            self._parts += 1
            self._show(last=True)

    def _show(self, *, last: bool = False) -> None:
        self._reporter.show(self._rows, self._rows_expected, self._parts, self._parts_expected, last=last)


class _Stopped(Exception):
    """Another part failed; this one is given up."""


@dataclasses.dataclass
class _Part:
    file: str
    ticket: bytes
    rows: int | None = None

    def is_there(self, directory: Path) -> bool:
        return self.rows is not None and (directory / self.file).is_file()


@dataclasses.dataclass
class _Manifest:
    path: Path
    request: dict[str, Any]
    bounds: dict[str, Any]
    rows_expected: int
    parts: list[_Part]
    complete: bool

    @staticmethod
    def of(directory: Path) -> _Manifest | None:
        path = directory / MANIFEST
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(f"{path} cannot be read ({error}); remove it, or export into another directory") from error
        parts = [_Part(part["file"], base64.b64decode(part["ticket"]), part["rows"]) for part in content["parts"]]
        return _Manifest(path, content["request"], content["bounds"], content["rows_expected"], parts, content["complete"])

    def continues(self, request: dict[str, Any], directory: Path) -> bool:
        return self.request == request and all(Path(part.file).name == part.file for part in self.parts) and directory == self.path.parent

    def is_stale(self) -> bool:
        """True for a finished export of relative times: asked again, they mean other samples."""
        fields = next(iter(self.request["command"].values()))
        return self.complete and any(is_relative(str(fields.get(bound, ""))) for bound in ("start", "end"))

    def remove_parts(self, directory: Path) -> None:
        for part in self.parts:
            (directory / Path(part.file).name).unlink(missing_ok=True)

    def save(self) -> None:
        parts = [{"file": part.file, "rows": part.rows, "ticket": base64.b64encode(part.ticket).decode()} for part in self.parts]
        content = {
            "request": self.request,
            "bounds": self.bounds,
            "rows_expected": self.rows_expected,
            "complete": self.complete,
            "parts": parts,
        }
        partial = self.path.with_name(self.path.name + ".partial")
        partial.write_text(json.dumps(content, indent=1) + "\n")
        os.replace(partial, self.path)


class _FileFormat(Protocol):
    def write_table(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...


class _Writer:
    """A file that gets its name when it is complete. Rows are gathered into large groups, which compress and read better."""

    def __init__(self, path: Path, format: str, compression: str | None) -> None:
        self._path, self._format, self._compression = path, format, compression
        self._partial = path.with_name(path.name + ".partial")
        self._file: _FileFormat | None = None
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self.schema: pa.Schema | None = None

    def __enter__(self) -> _Writer:
        return self

    def begin(self, schema: pa.Schema) -> None:
        self.schema = schema
        if self._format == "parquet":
            import pyarrow.parquet as parquet

            # 2.6 is the version that has nanoseconds.
            self._file = parquet.ParquetWriter(self._partial, schema, version="2.6", compression=self._compression or "zstd")
        elif self._format == "csv":
            if self._compression not in (None, "none"):
                raise ValueError(f"compression: {self._compression!r} is not for CSV, which is written as it is read")
            self._file = CsvFile(self._partial, schema)
        else:
            compression = None if self._compression == "none" else self._compression or "zstd"
            options = pa.ipc.IpcWriteOptions(compression=compression)
            self._file = pa.ipc.new_file(self._partial, schema, options=options)

    def write(self, batch: pa.RecordBatch) -> None:
        if self.schema is None:
            self.begin(batch.schema)
        if batch.num_rows:
            # The metadata of a part tells of its own tags; a file has one schema.
            self._waiting.append(pa.RecordBatch.from_arrays(batch.columns, schema=self.schema))
            self._rows += batch.num_rows
        if self._rows >= ROW_GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._waiting and self._file is not None:
            self._file.write_table(pa.Table.from_batches(self._waiting).combine_chunks())
        self._waiting, self._rows = [], 0

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: object) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            if self._file is not None:
                self._file.close()
            if kind is not None:
                self._partial.unlink(missing_ok=True)
        if kind is None and self._partial.exists():
            os.replace(self._partial, self._path)
