"""From samples to what is drawn: runs of a line that end where nothing is known, stretches of one state, bands where a tag was Bad or not recorded.

It is what the page does. Times are nanoseconds since 1970; everything goes over whole columns, for there may be millions.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from . import quality
from .preview import labels
from .result import Asker, facts_of

BAD_NO_DATA = 0x809B0000
_GAP_WORDS = {
    "collector_down": "the historian did not run",
    "device_down": "the device did not answer",
    "refused": "the device refuses the address",
    "not_configured": "not collected",
    "spool_overflow": "samples did not fit the spool",
    "rejected": "samples were rejected",
    "data_loss": "stored samples were damaged",
}
Numbers = Any  # arrays of numpy


@dataclasses.dataclass
class Points:
    """Samples of one tag in time order. A value that is missing is NaN, or None where the values are words."""

    name: str
    unit: str
    stepped: bool
    discrete: bool
    times: Numbers
    values: Numbers
    qualities: Numbers
    tag: str = ""
    end: int = 0
    """Until when the last value holds."""

    @property
    def known(self) -> Numbers:
        has_value = np.array([value is not None for value in self.values], bool) if self.discrete else ~np.isnan(self.values)
        return has_value & (self.qualities < np.uint32(quality.BAD << 30))

    @property
    def uncertain(self) -> Numbers:
        return (self.qualities >> 30) == quality.UNCERTAIN


@dataclasses.dataclass
class Run:
    """A piece of a line; the corners of steps are in it."""

    times: Numbers
    values: Numbers
    uncertain: bool


@dataclasses.dataclass
class Band:
    start: int
    end: int
    reason: str
    is_gap: bool


@dataclasses.dataclass
class Stretch:
    start: int
    end: int
    value: str


@dataclasses.dataclass
class Trace:
    points: Points
    runs: list[Run]
    stretches: list[Stretch]
    bands: list[Band]


def traces(table: pa.Table, tags: list[str] | None, asker: Asker | None) -> list[Trace]:
    """Of each tag in the answer, or of each function of one."""
    every = [points for points in _points(table) if tags is None or points.tag in tags]
    if tags is not None:
        missing = [tag for tag in tags if tag not in {points.tag for points in every}]
        if missing:
            raise ValueError(f"tags: {missing[0]!r} is not in the answer")
    if asker is not None:
        _clear_edges(every, asker)
    ledger = _ledger(asker)
    return [_trace(points, ledger) for points in every]


def _points(table: pa.Table) -> Iterator[Points]:
    facts = facts_of(table)
    names = table.column_names
    end = _end(table)
    if {"tag", "timestamp", "value", "quality"} <= set(names):
        table = table.combine_chunks()
        tags = np.array(table["tag"].cast(pa.utf8()).to_pylist(), object)
        functions = np.array(table["function"].cast(pa.utf8()).to_pylist(), object) if "function" in names else None
        starts = np.flatnonzero(tags[1:] != tags[:-1]) + 1 if len(tags) else np.array([], int)
        for start, stop in zip([0, *starts], [*starts, len(tags)]):
            if start == stop:
                continue
            part = table.slice(int(start), int(stop - start))
            tag = str(tags[start])
            if functions is None:
                yield _series(tag, tag, part, part["value"], part["quality"], facts.get(tag, {}), end)
                continue
            for function in dict.fromkeys(functions[start:stop]):
                own = part.filter(pa.array(functions[start:stop] == function))
                about = {**facts.get(tag, {}), "stepped": True, "value_type": "f64"}
                yield _series(tag, f"{tag} {function}", own, own["value"], own["quality"], about, end)
        return
    if "timestamp" not in names or len(names) < 2:
        raise ValueError("plot: the answer has no samples: no columns tag, timestamp, value and quality, and none of a wide answer")
    for field in table.schema:
        if field.name == "timestamp" or field.name.endswith("#quality"):
            continue
        if f"{field.name}#quality" not in names:
            raise ValueError(f"plot: there is no column {field.name}#quality, and without it nobody knows what is Bad; ask with quality=True")
        rows = table.filter(pc.is_valid(table[f"{field.name}#quality"]))
        about = {key.decode(): text.decode() for key, text in (field.metadata or {}).items()}
        told = {"unit": about.get("unit", ""), "stepped": about.get("stepped") == "true", "value_type": about.get("value_type")}
        told["state_set"] = json.loads(about.get("state_set", "[]"))
        yield _series(field.name, field.name, rows, rows[field.name], rows[f"{field.name}#quality"], told, end)


def _end(table: pa.Table) -> int:
    """Where the range of the answer ends, and not later than now."""
    told = (table.schema.metadata or {}).get(b"end")
    return min(int(told), time.time_ns()) if told else 0


def _series(tag: str, name: str, rows: pa.Table, values: pa.ChunkedArray, qualities: pa.ChunkedArray, about: dict[str, Any], end: int) -> Points:
    times = rows["timestamp"].cast(pa.timestamp("ns", "UTC")).cast(pa.int64()).to_numpy()
    kind = about.get("value_type") or ""
    if "text" in rows.column_names and kind == "string":
        values = rows["text"]
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    discrete = kind in ("bool", "string", "state") or pa.types.is_string(values.type) or pa.types.is_boolean(values.type)
    known: Numbers
    if discrete:
        names = labels(about.get("state_set") or ())
        known = np.array([_word(value, kind, names) for value in values.to_pylist()] or [], object)
    else:
        known = values.cast(pa.float64(), safe=False).to_numpy().astype(float) if len(values) else np.array([], float)
    codes = pc.fill_null(qualities, pa.scalar(BAD_NO_DATA, pa.uint32())).to_numpy().astype(np.uint32)
    stepped = discrete or bool(about.get("stepped"))
    return Points(name, str(about.get("unit", "")), stepped, discrete, times, known, codes, tag, max(end, int(times[-1]) if len(times) else 0))


def _word(value: Any, kind: str, names: list[str]) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or kind == "bool":
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return names[int(value)] if 0 <= int(value) < len(names) else str(int(value))
    return str(value)


def _clear_edges(every: list[Points], asker: Asker) -> None:
    """A value at an edge inside a Bad run lies on a line across it: nobody measured it, and it is taken away. At the right edge the row before tells of
    the run; one that began before the left edge has to be asked for."""
    doubtful: dict[int, list[Points]] = {}
    for points in every:
        count = len(points.times)
        if points.discrete or count == 0:
            continue
        if count > 1 and quality.is_interpolated(int(points.qualities[-1])) and not points.known[-2]:
            _take_away(points, -1, int(points.qualities[-2]))
        if quality.is_interpolated(int(points.qualities[0])) and points.uncertain[0]:
            doubtful.setdefault(int(points.times[0]), []).append(points)
    for at, some in doubtful.items():
        told = asker.last_qualities([points.tag for points in some], at)
        for points in some:
            last = told.get(points.tag)
            if last is not None and last >> 30 >= quality.BAD:
                _take_away(points, 0, last)


def _take_away(points: Points, place: int, code: int) -> None:
    points.values = points.values.copy()
    points.qualities = points.qualities.copy()
    points.values[place], points.qualities[place] = np.nan, code & 0xFFFF0000 | 0x0402


Gap = tuple[str | None, int, int | None, str]


def _ledger(asker: Asker | None) -> list[Gap]:
    if asker is None:
        return []
    rows = asker.gaps().select(["tag", "start", "end", "reason"])
    columns = [rows.column(place).cast(pa.timestamp("ns", "UTC")).cast(pa.int64()).to_pylist() for place in (1, 2)]
    gaps = zip(rows["tag"].to_pylist(), *columns, rows["reason"].to_pylist())
    # What says that a gap was filled is none.
    told = [gap for gap in gaps if gap[3] != "backfilled"]
    # One that was recorded without an end is there again with it; where that is its start, nothing is missing.
    ends = {(tag, start, reason): end for tag, start, end, reason in told if start is not None}
    return [(tag, start, end, _GAP_WORDS.get(reason, reason)) for (tag, start, reason), end in ends.items() if end != start]


def _trace(points: Points, ledger: list[Gap]) -> Trace:
    runs: list[Run] = []
    stretches: list[Stretch] = []
    count = len(points.times)
    known, uncertain = points.known, points.uncertain
    until = np.append(points.times[1:], max(points.end, points.times[-1])) if count else points.times
    for start, stop in _spans(known):
        if points.discrete:
            values = points.values[start:stop]
            for first, last in _equal(values):
                stretches.append(Stretch(int(points.times[start + first]), int(until[start + last - 1]), str(values[first])))
        elif points.stepped:
            for first, last in _equal(uncertain[start:stop]):
                here = slice(start + first, start + last)
                times = np.column_stack((points.times[here], until[here])).ravel()
                runs.append(Run(times, np.repeat(points.values[here], 2), bool(uncertain[start + first])))
            _join(runs)
        else:
            runs += _sloped(points, start, stop, uncertain, until)
    return Trace(points, runs, stretches, _bands(points, ~known, until, ledger))


def _join(runs: list[Run]) -> None:
    """Steps that go from certain to uncertain go up or down all the same."""
    for before, after in zip(runs, runs[1:]):
        if before.uncertain != after.uncertain and before.times[-1] == after.times[0]:
            before.times, before.values = np.append(before.times, after.times[0]), np.append(before.values, after.values[0])


def _sloped(points: Points, start: int, stop: int, uncertain: Numbers, until: Numbers) -> Iterator[Run]:
    times, values = points.times, points.values
    if stop - start == 1:
        yield Run(times[start:stop], values[start:stop], bool(uncertain[start]))
    else:
        of_segments = uncertain[start : stop - 1] | uncertain[start + 1 : stop]
        for first, last in _equal(of_segments):
            here = slice(start + first, start + last + 1)
            yield Run(times[here], values[here], bool(of_segments[first]))
    if stop == len(times) and until[-1] > times[-1]:
        # What a sloped tag does after its last sample nobody knows.
        yield Run(np.array([times[-1], until[-1]]), np.array([values[-1], values[-1]]), True)


def _bands(points: Points, missing: Numbers, until: Numbers, ledger: list[Gap]) -> list[Band]:
    bands: list[Band] = []
    gaps = [(start, end, reason) for tag, start, end, reason in ledger if tag is None or tag == points.tag]
    codes = np.where(missing, points.qualities & np.uint32(0xFFFF0000), 0)
    for start, stop in _spans(missing):
        for first, last in _equal(codes[start:stop]):
            begin, finish = int(points.times[start + first]), int(until[start + last - 1])
            band = _band(begin, finish, int(codes[start + first]), gaps, bool(ledger))
            if bands and bands[-1].end == band.start and (bands[-1].reason, bands[-1].is_gap) == (band.reason, band.is_gap):
                bands[-1].end = band.end
            else:
                bands.append(band)
    return bands


def _band(start: int, end: int, code: int, gaps: list[tuple[int, int | None, str]], has_ledger: bool) -> Band:
    absent = quality.is_absent(code)
    for begun, ended, reason in gaps:
        if start == begun or (absent and begun < start and (ended is None or start < ended)):
            return Band(start, end, reason, True)
    if code >> 30 < quality.BAD:
        return Band(start, end, "not a number", False)
    return Band(start, end, quality.name(code), absent and not has_ledger)


def _spans(mask: Numbers) -> Iterator[tuple[int, int]]:
    """Where the mask is true, as start and stop."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return zip(edges[::2].tolist(), edges[1::2].tolist())


def _equal(values: Numbers) -> Iterator[tuple[int, int]]:
    """Stretches of equal values."""
    edges = (np.flatnonzero(values[1:] != values[:-1]) + 1).tolist()
    return zip([0, *edges], [*edges, len(values)])
