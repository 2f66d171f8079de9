"""Corrections of stored samples. What was there before is kept as superseded versions, and the audit log has who did it and why."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from . import command
from .catalog import Catalog, Tag
from .command import Tags, as_tags
from .quality import GOOD
from .table import as_table
from .time import Time, as_time

_COLUMNS = {"f64": pa.float64(), "f32": pa.float32(), "i64": pa.int64(), "u64": pa.uint64(), "bool": pa.bool_(), "string": pa.utf8(), "state": pa.uint32()}


@dataclasses.dataclass(frozen=True)
class Correction:
    """What was done: samples deleted, samples written in their place, the range to the microsecond, and the number of the write."""

    deleted: int
    samples: int
    start: dt.datetime
    end: dt.datetime
    watermark: int


class Corrections(Catalog):
    """Deleting and replacing. These calls need the right to correct, and the packages grpcio and protobuf (`pip install 'historian-client[grpc]'`)."""

    def delete(self, tags: Tags, start: Time, end: Time, *, reason: str, zone: str | None = None) -> Correction:
        """Deletes the samples of a time range, `start <= timestamp < end`. `reason` is for the audit log, and must be given."""
        request = {"tags": as_tags(tags), "start": as_time(start, "start"), "end": as_time(end, "end"), "zone": zone or "", "reason": reason}
        return _correction(self._rpc.call("WriteService/DeleteRange", request))

    def replace(
        self, data: Any, start: Time, end: Time, *, reason: str, tags: Iterable[str] | str | None = None, zone: str | None = None
    ) -> Correction:
        """Replaces the samples of a time range, as one durable write: all of it, or nothing.

        `data` is as for `write`; every sample lies in the range. The range of each tag in it is emptied first, and of those named in `tags`, too.
        `reason` is for the audit log. At most some million samples; longer ranges are replaced in parts.
        """
        table = as_table(data)
        for name in ("tag", "timestamp", "value"):
            if name not in table.column_names:
                raise ValueError(f"data: there is no column {name}; needed are tag, timestamp, value, and quality where not all is Good")
        names = as_tags(tags) if tags is not None else []
        of_rows = table["tag"].cast(pa.utf8())
        names += [name for name in pc.unique(of_rows).to_pylist() if name not in names]
        if not names:
            raise ValueError("data: there are no rows; say with tags= whose range is to be emptied")
        samples = [_samples(self.tag(name), table.filter(pc.equal(of_rows, name))) for name in names]
        request = {"start": as_time(start, "start"), "end": as_time(end, "end"), "zone": zone or "", "reason": reason, "samples": samples}
        return _correction(self._rpc.call("WriteService/ReplaceRange", request))

    def edit(self, tag: str, timestamp: Time, value: Any, *, reason: str, quality: int = GOOD, zone: str | None = None) -> Correction:
        """Corrects one sample: gives the tag this value and quality at this time, in the place of what was there (`deleted` says if anything was).

        A state may be given by its name. None is no value, and needs a quality that is not Good.
        """
        about = self.tag(tag)
        if isinstance(value, str) and about.value_type == "state":
            if value not in about.state_set:
                raise ValueError(f"value: {value!r} is no state of {tag!r}; it has {', '.join(about.state_set) or 'no names'}")
            value = about.state_set.index(value)
        at = self._resolved(tag, timestamp, zone)
        row = {"tag": [tag], "timestamp": pa.array([at], pa.timestamp("ns", "UTC")), "value": [value], "quality": pa.array([quality], pa.uint32())}
        return self.replace(row, f"{at}ns", f"{at + 1}ns", reason=reason)

    def _resolved(self, tag: str, timestamp: Time, zone: str | None) -> int:
        """A time as the historian reads it, in nanoseconds since 1970."""
        info = self._info(command.range_(tag, timestamp, timestamp, zone=zone))
        return int(json.loads(info.app_metadata)["start_ns"])


def _samples(tag: Tag, rows: pa.Table) -> dict[str, Any]:
    """TagSamples as JSON."""
    kind = _COLUMNS[tag.value_type]
    times = rows["timestamp"]
    if not pa.types.is_timestamp(times.type):
        raise ValueError(f"data: the column timestamp has the type {times.type}; times must be timestamps")
    values = rows["value"]
    try:
        values = (values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values).cast(kind)
    except pa.ArrowException as error:
        raise ValueError(f"data: a value does not fit {tag.name!r}, which is of type {tag.value_type}: {error}") from error
    nulls = pc.indices_nonzero(pc.is_null(values.combine_chunks())).to_pylist()
    empty = {"string": "", "bool": False}.get(tag.value_type, 0)
    column = [empty if value is None else value for value in values.to_pylist()]
    samples = {
        "tag": tag.name,
        "timestamps": times.cast(pa.timestamp("ns", times.type.tz)).cast(pa.int64()).to_pylist(),
        "values": {tag.value_type: {"values": column}},
        "nulls": nulls,
    }
    if "quality" in rows.column_names:
        samples["qualities"] = pc.fill_null(rows["quality"].cast(pa.uint32()), 0).to_pylist()
    return samples


def _correction(answer: dict[str, Any]) -> Correction:
    return Correction(answer["deleted"], answer.get("samples", 0), answer["start_time"], answer["end_time"], answer["watermark"])
