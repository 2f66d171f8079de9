"""Wide frames: a row per time, a column per tag. Values alone, because that is what people calculate with: what is Bad is missing.

Raw samples are joined by the historian. Sampled values are those of the page's own readout: a float of a tag that is not stepped lies on the line between
its neighbours, everything else holds until the next sample; where the last sample is Bad there is nothing, so no line runs across a Bad run. Which
sample is the last one is asked after the values, so that nothing that turned Bad meanwhile is answered as if it had not.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

import pyarrow as pa
import pyarrow.compute as pc

from . import command, join
from .command import AggregateConfiguration, Tags
from .error import HistorianError, translating
from .grid import Every, zone_of
from .option import Function, Sampling
from .preview import labels
from .quality import BAD, severity
from .time import Duration, Time

if TYPE_CHECKING:
    from .connection import Connection

TIME = "timestamp"
QUALITY = "#quality"
BAD_NO_DATA = 0x809B0000
# Those that draw lines between samples, also where the tag is stepped, and those in their place that do not.
_HELD = {"time_average": "time_average2", "total": "total2"}
_FLOATS = ("f64", "f32")


@dataclasses.dataclass(frozen=True)
class TagFacts:
    """What the schema of an answer says of a tag."""

    name: str
    type: pa.DataType
    value_type: str
    unit: str
    stepped: bool
    state_set: list[str]

    @property
    def is_sloped(self) -> bool:
        return self.value_type in _FLOATS and not self.stepped


@dataclasses.dataclass
class Column:
    """Values of a tag, and beside them their qualities."""

    tag: TagFacts
    values: pa.ChunkedArray
    qualities: pa.ChunkedArray

    def good_enough(self) -> pa.ChunkedArray:
        """The values that are not Bad; states by their names."""
        bad = pc.fill_null(pc.greater_equal(severity(self.qualities), pa.scalar(BAD, pa.uint32())), True)
        values = pc.if_else(bad, pa.scalar(None, self.values.type), self.values)
        return named_states(values, self.tag.state_set) if self.tag.value_type == "state" and pa.types.is_integer(values.type) else values


def frame(
    plant: Connection,
    tags: Tags,
    start: Time,
    end: Time,
    every: Duration | None,
    method: str,
    zone: str | None,
    quality: bool,
    configuration: AggregateConfiguration | None,
) -> pa.Table:
    """Columns `timestamp` in the zone, `<tag>`, and where asked for `<tag>#quality` beside it."""
    named = zone or "UTC"
    zone_of(named)
    known = (*get_args(Sampling), *get_args(Function))
    if method not in known:
        raise ValueError(f"method: {method!r} is not known; allowed are {', '.join(known)}")
    if every is None and configuration is not None:
        raise ValueError("configuration: is for aggregates; say every= and method= as well")
    step = None if every is None else Every.of(every, named)
    info = plant._info(command.range_(tags, start, end, layout="WIDE", zone=zone))
    facts = [_facts(field) for field in info.schema if field.metadata and b"tag" in field.metadata]
    bounds = json.loads(info.app_metadata)
    first, last = int(bounds["start_ns"]), int(bounds["end_ns"])
    if last < first:
        raise ValueError("end: is before the start; a frame goes forwards")
    if step is None:
        times, columns = _raw(plant, tags, first, last, facts)
    else:
        rows = step.rows(first, last, named)
        times = pa.chunked_array([pa.array(rows, pa.int64()).cast(pa.timestamp("ns", "UTC"))])
        asked = _Sampled(plant, tags, first, last, named, step, facts, times)
        if not rows or not facts:
            columns = [_nothing(tag, len(rows)) for tag in facts]
        elif method in get_args(Sampling):
            columns = asked.interpolated() if method == "interpolated" else asked.held()
            columns = _until(_now(plant, tags, last), times, columns)
        else:
            columns = asked.aggregated(method, configuration)
    answer = {TIME: times.cast(pa.timestamp("ns", named))}
    for column in _in_order(columns, tags):
        answer[column.tag.name] = column.good_enough()
        if quality:
            answer[column.tag.name + QUALITY] = column.qualities
    fields = [pa.field(name, values.type, metadata=_metadata(name, facts)) for name, values in answer.items()]
    return pa.table(list(answer.values()), schema=pa.schema(fields))


def _raw(plant: Connection, tags: Tags, first: int, last: int, facts: list[TagFacts]) -> tuple[pa.ChunkedArray, list[Column]]:
    table = plant.fetch(command.range_(tags, first, last, layout="WIDE"))
    return table[TIME], [Column(tag, *_pair(table, tag.name)) for tag in facts]


@dataclasses.dataclass
class _Sampled:
    """What is asked for the rows of a grid."""

    plant: Connection
    tags: Tags
    first: int
    last: int
    zone: str
    step: Every
    facts: list[TagFacts]
    times: pa.ChunkedArray

    def held(self) -> list[Column]:
        """The last sample at or before each row, whatever its quality."""
        asked = command.as_of(self.tags, tolerance=None, quality="ANY")
        with translating():
            table = join.as_of(self.plant.flight, asked, pa.table({TIME: self.times}), TIME, self.plant._call())
        columns = []
        for tag in self.facts:
            values, qualities = _pair(table, tag.name)
            columns.append(Column(tag, values, pc.fill_null(qualities, pa.scalar(BAD_NO_DATA, pa.uint32()))))
        return columns

    def interpolated(self) -> list[Column]:
        sloped = {tag.name for tag in self.facts if tag.is_sloped}
        lines: dict[str, Column] = {}
        if sloped:
            configuration: AggregateConfiguration = {"treat_uncertain_as_bad": False, "use_uncertain_values": True}
            lines = {column.tag.name: column for column in self.aggregated("interpolative", configuration)}
        columns = []
        for held in self.held():
            line = lines[held.tag.name] if held.tag.name in sloped else None
            if line is None:
                columns.append(held)
                continue
            bad = pc.greater_equal(severity(held.qualities), pa.scalar(BAD, pa.uint32()))
            columns.append(Column(held.tag, line.values.cast(held.tag.type, safe=False), pc.if_else(bad, held.qualities, line.qualities)))
        return columns

    def aggregated(self, method: str, configuration: AggregateConfiguration | None) -> list[Column]:
        kept = _HELD.get(method, method)
        functions = list(dict.fromkeys(kept if tag.stepped else method for tag in self.facts))
        options: dict[str, Any] = {"interval": self.step.step} if self.step.calendar is None else {"calendar": self.step.calendar}
        asked = command.aggregate(self.tags, self.first, self.last, functions=functions, configuration=configuration, zone=self.zone, **options)
        table = self.plant.fetch(asked).combine_chunks()
        rows = len(self.times) * len(functions)
        places = _places(table, rows)
        columns = []
        for tag in self.facts:
            if tag.name not in places:
                raise HistorianError(f"the tag {tag.name!r} was deleted while the frame was read; ask again")
            part = table.slice(places[tag.name], rows)
            function = kept if tag.stepped else method
            if len(functions) > 1:
                part = part.filter(pc.equal(part["function"].cast(pa.utf8()), function))
            if not part["timestamp"].cast(pa.int64()).equals(self.times.cast(pa.int64())):
                raise HistorianError(f"the intervals of {tag.name!r} are not those of the zone {self.zone} on this machine; are its time zones up to date?")
            columns.append(Column(tag, part["value"], part["quality"]))
        return columns


def _now(plant: Connection, tags: Tags, last: int) -> int:
    """The historian's clock, where the rows may come near to it; else their end."""
    if last < time.time_ns() - 86_400 * 10**9:
        return last
    return int(json.loads(plant._info(command.range_(tags, "*", "*")).app_metadata)["start_ns"])


def _until(now: int, times: pa.ChunkedArray, columns: list[Column]) -> list[Column]:
    """What nobody can know yet does not hold."""
    later = pc.greater(times.cast(pa.int64()), now)
    if not pc.any(later).as_py():
        return columns
    nothing = pa.scalar(BAD_NO_DATA, pa.uint32())
    return [Column(one.tag, one.values, pc.if_else(later, nothing, one.qualities)) for one in columns]


def _places(table: pa.Table, rows: int) -> dict[str, int]:
    """Where the rows of each tag begin: they come tag after tag, as many of each."""
    if rows == 0 or len(table) % rows:
        raise HistorianError(f"the historian answered {len(table)} rows of intervals where each tag has {rows}")
    starts = range(0, len(table), rows)
    return dict(zip(table["tag"].take(pa.array(starts, pa.int64())).cast(pa.utf8()).to_pylist(), starts))


def _pair(table: pa.Table, name: str) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    if table.schema.get_field_index(name) < 0:
        raise HistorianError(f"the tag {name!r} was deleted while the frame was read; ask again")
    return table[name], table[name + QUALITY]


def _nothing(tag: TagFacts, rows: int) -> Column:
    return Column(tag, pa.chunked_array([pa.nulls(rows, tag.type)]), pa.chunked_array([pa.array([BAD_NO_DATA] * rows, pa.uint32())]))


def _facts(field: pa.Field) -> TagFacts:
    told = {key.decode(): text.decode() for key, text in field.metadata.items()}
    states = json.loads(told.get("state_set", "[]"))
    return TagFacts(told["tag"], field.type, told["value_type"], told.get("unit", ""), told.get("stepped") == "true", states)


def _metadata(name: str, facts: Sequence[TagFacts]) -> dict[str, str] | None:
    for tag in facts:
        if tag.name == name:
            return {"tag": tag.name, "unit": tag.unit, "stepped": json.dumps(tag.stepped), "value_type": tag.value_type, "state_set": json.dumps(tag.state_set)}
    return None


def _in_order(columns: list[Column], tags: Tags) -> list[Column]:
    """As the tags are given where all are names, else in the order of names."""
    order = {name: place for place, name in reversed(list(enumerate(command.as_tags(tags))))}
    if all(column.tag.name in order for column in columns):
        return sorted(columns, key=lambda column: order[column.tag.name])
    return columns


def named_states(values: pa.ChunkedArray, states: list[str]) -> pa.ChunkedArray:
    """Numbers of states as a dictionary of their names; a number without a name is itself."""
    names = labels(states)
    strange = sorted(set(pc.unique(values).drop_null().to_pylist()) - set(range(len(names))))
    names += [str(number) for number in strange]
    if len(set(names)) < len(names):
        # A state that is called as another one's number.
        names = [f"{name} ({place})" if names.count(name) > 1 else name for place, name in enumerate(names)]
    numbers = pa.array([*range(len(labels(states))), *strange], pa.uint32())
    places = pc.index_in(values.cast(pa.uint32()), numbers)
    dictionary = pa.array(names, pa.utf8())
    return pa.chunked_array([pa.DictionaryArray.from_arrays(chunk, dictionary) for chunk in places.chunks], pa.dictionary(pa.int32(), pa.utf8()))
