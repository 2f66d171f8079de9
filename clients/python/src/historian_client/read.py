"""What can be asked for. Every answer is a `pyarrow.Table`; `frame` answers a data frame, and `trend` something to look at."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import pyarrow as pa

from . import command, join, option, shape, sql
from . import detector as detector_list
from . import frame as wide
from . import subscribe as subscription
from .command import AggregateConfiguration, State, Tags
from .connection import Connection
from .error import translating
from .result import Result
from .time import Duration, Time

if TYPE_CHECKING:
    import pandas
    import polars


class Reads(Connection):
    """The calls that read."""

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
        boundary: option.Boundary | None = None,
        limit: int = 0,
        layout: option.Layout | None = None,
        zone: str | None = None,
        quality: option.Quality | None = None,
        fill: option.Fill | None = None,
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
        asked = command.range_(
            tags, start, end, boundary=boundary, limit=limit, layout=layout, zone=zone, quality=quality, fill=fill, step=step
        )
        return self.fetch(asked)

    def range_batches(self, tags: Tags, start: Time, end: Time = "*", **options: Any) -> pa.RecordBatchReader:
        """As `range`, batch by batch in constant memory. The answer must be read on: one left for half a minute is cut."""
        unknown = sorted(options.keys() - {"boundary", "limit", "layout", "zone", "quality", "fill", "step"})
        if unknown:
            raise TypeError(f"range_batches has no option {unknown[0]!r}")
        return self.batches(command.range_(tags, start, end, **options))

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
        functions: option.Function | Sequence[option.Function] = "time_average",
        *,
        configuration: AggregateConfiguration | None = None,
        calendar: option.Calendar | None = None,
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
        asked = command.aggregate(
            tags, start, end, functions=functions, interval=interval, configuration=configuration, calendar=calendar, shift_starts=shift_starts, zone=zone
        )
        return self.fetch(asked)

    def downsample(
        self, tags: Tags, start: Time, end: Time = "*", points: int = 1000, method: option.Method = "PLOT", *, zone: str | None = None
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
        output: option.Output = "FINDINGS",
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
        is none), allowed, meaning. Needs the packages grpcio and protobuf (`pip install 'historian-client[grpc]'`), else it is `NotSupported`.
        """
        return detector_list.detectors(self._rpc)

    # Key figures.

    def measure(
        self,
        tags: Tags,
        start: Time,
        end: Time,
        measure: option.Measure,
        interval: Duration | None = None,
        *,
        calendar: option.Calendar | None = None,
        shift_starts: Sequence[str] | None = None,
        zone: str | None = None,
        states: State | Iterable[State] | None = None,
        from_state: State | None = None,
        to_state: State | None = None,
        dwell_min: Duration | None = None,
        rollover: float | None = None,
        reset: option.Reset | None = None,
        max_step: float | None = None,
        max_rate: float | None = None,
        dead_band: float | None = None,
        per: option.Per | None = None,
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
        self, rows: Any, tags: Tags, *, on: str = "timestamp", tolerance: Duration | None = None, quality: option.Quality | None = None
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
        return join.as_of(self.flight, asked, rows, on, self._call())

    # Frames.

    @overload
    def frame(
        self, tags: Tags, start: Time, end: Time = ..., *, every: Duration | None = ..., method: option.Sampling | option.Function | None = ...,
        zone: str | None = ..., quality: bool = ..., to: Literal["pandas"] = ..., configuration: AggregateConfiguration | None = ...,
    ) -> pandas.DataFrame: ...  # fmt: skip

    @overload
    def frame(
        self, tags: Tags, start: Time, end: Time = ..., *, every: Duration | None = ..., method: option.Sampling | option.Function | None = ...,
        zone: str | None = ..., quality: bool = ..., to: Literal["polars"], configuration: AggregateConfiguration | None = ...,
    ) -> polars.DataFrame: ...  # fmt: skip

    @overload
    def frame(
        self, tags: Tags, start: Time, end: Time = ..., *, every: Duration | None = ..., method: option.Sampling | option.Function | None = ...,
        zone: str | None = ..., quality: bool = ..., to: Literal["arrow"], configuration: AggregateConfiguration | None = ...,
    ) -> pa.Table: ...  # fmt: skip

    def frame(
        self,
        tags: Tags,
        start: Time,
        end: Time = "*",
        *,
        every: Duration | None = None,
        method: option.Sampling | option.Function | None = None,
        zone: str | None = None,
        quality: bool = False,
        to: option.Shape = "pandas",
        configuration: AggregateConfiguration | None = None,
    ) -> Any:
        """A row per time and a column per tag, values only: for calculations, models and plots.

            plant.frame("area1/boiler/*", "*-8h")                                         # the samples, on a common time axis
            plant.frame("area1/boiler/*", "t", every="10s")                               # every 10 s what the tags were
            plant.frame("area1/**", "2026-03-01", "2026-04-01", every="1d", method="time_average", zone="Europe/Berlin")

        **A value is there only where it is not Bad**; everything else is missing (NaN, null). `quality=True` puts `<tag>#quality` beside each column.
        The index (in polars and Arrow the column `timestamp`) is in `zone`, by default UTC, in which times without a zone are read, too.

        `every`: a row each "10s", "5m", "1h30m" from `start` on, or per day, week, month or year of the zone, "1d", "1w", "1mo", "1y", whose days may
        have 23 or 25 hours ("24h" is 24 hours). The rows are those before `end`. Without it the rows are where any of the tags has a sample.
        `method`: what a row has.

        - "interpolated" (default): what the tag was at the time of the row. Floats lie on the line between the samples before and after it; after the
          last one, it holds. Stepped tags, integers, states, truth values and texts hold until the next sample. Missing before the first sample, and
          where the last sample is Bad.
        - "last": the last sample at or before the row for all tags, floats too.
        - an aggregate of `aggregate` over the time from the row to the next one: "time_average", "minimum", "maximum", "delta", "count", "percent_good",
          and so on, as floats. For stepped tags "time_average" and "total" are "time_average2" and "total2", which draw no line. `configuration` says how
          quality is treated; by default Uncertain counts as Bad there.

        Types stay: floats, integers (in pandas `Int64`, so that 64 bits are exact beside missing ones), truth values (`boolean`), texts (`string`), and
        states as categories with their names. In pandas `attrs` has unit and type of each tag.
        `to`: "pandas" (default), "polars" or "arrow". At most 1,000 tags.
        """
        if every is None and method is not None:
            raise ValueError("method: is for rows at even times; say every= as well")
        table = wide.frame(self, tags, start, end, every, method or "interpolated", zone, quality, configuration)
        return shape.shaped(table, to)

    # Pictures.

    def trend(self, tags: Tags, start: Time = "*-8h", end: Time = "*", *, points: int = 1000, zone: str | None = None) -> Result:
        """What happened, to look at: `plant.trend("area1/boiler/*").plot()` draws it as the page does. As `downsample`, with at most `points` per tag;
        `table` of it is that answer."""
        return self.show(self.downsample(tags, start, end, points, zone=zone))

    def show(self, answer: pa.Table) -> Result:
        """Any answer with samples, to look at and to `plot()`: of `range` (long or wide), `downsample`, `aggregate`, `current`, `frame(…, quality=True, to="arrow")`."""
        return Result(answer, self)

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

    def sql(self, statement: str, parameters: Sequence[Any] | None = None) -> pa.Table:
        """The answer to a SQL query, by Flight SQL (docs/api.md has the tables).

            plant.sql("SELECT timestamp, value FROM samples WHERE tag = ? AND timestamp >= ?", ["area1/boiler/pressure", begun])

        `parameters`: a value for each `?`, or for `$1`, `$2`, …: numbers, texts, truth values, times (without a zone UTC), dates, None. They are bound,
        never put into the text. Where one is given to a table function, give the types that it takes.
        """
        return sql.query(self.flight, statement, parameters, self._call())

    def gaps(self) -> pa.Table:
        """Where expected samples are missing, as far as it was recorded: columns number, time, tag (null: any), start, end (null: unknown), reason, detail."""
        return self.sql('SELECT number, time, tag, start, "end", reason, detail FROM gaps ORDER BY number')

    def last_qualities(self, tags: Sequence[str], time: int) -> dict[str, int | None]:
        """The quality of the last sample of each tag at or before a moment (nanoseconds since 1970), whatever it is; None where there is none."""
        asked = command.as_of(tags, quality="ANY")
        row = join.as_of(self.flight, asked, {"timestamp": pa.array([time], pa.timestamp("ns", "UTC"))}, "timestamp", self._call())
        return {tag: row[f"{tag}#quality"][0].as_py() for tag in tags}


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
