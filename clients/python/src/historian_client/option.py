"""Words that options take, for editors and type checkers. The historian takes them in any case; here they are as they are documented, and small."""

from __future__ import annotations

from typing import Literal

Boundary = Literal["INSIDE", "OUTSIDE", "INTERPOLATED", "inside", "outside", "interpolated"]
Layout = Literal["LONG", "WIDE", "long", "wide"]
Quality = Literal["ANY", "NOT_BAD", "GOOD", "any", "not_bad", "good"]
Fill = Literal["NONE", "AS_OF", "LINEAR", "none", "as_of", "linear"]
Calendar = Literal["HOUR", "DAY", "WEEK", "MONTH", "YEAR", "SHIFT", "hour", "day", "week", "month", "year", "shift"]
Method = Literal["PLOT", "M4", "MINMAX", "LTTB", "MINMAXLTTB", "plot", "m4", "minmax", "lttb", "minmaxlttb"]
Output = Literal["FINDINGS", "SCORES", "COUNTS", "findings", "scores", "counts"]
Measure = Literal[
    "TIME_IN_STATE", "TRANSITIONS", "COUNTER_DELTA", "INTEGRAL", "PERCENT_GOOD",
    "time_in_state", "transitions", "counter_delta", "integral", "percent_good",
]  # fmt: skip
Reset = Literal["FROM_ZERO", "SKIP", "ALWAYS", "from_zero", "skip", "always"]
Per = Literal["s", "min", "h", "d"]
Mode = Literal["UPSERT", "INSERT", "upsert", "insert"]
Durability = Literal["SYNC", "INTERVAL", "sync", "interval"]
FileFormat = Literal["parquet", "arrow", "csv"]
ValueType = Literal["f64", "f32", "i64", "u64", "bool", "string", "state"]
Function = Literal[
    "interpolative", "average", "time_average", "time_average2", "total", "total2", "minimum", "maximum", "minimum_actual_time",
    "maximum_actual_time", "range", "minimum2", "maximum2", "minimum_actual_time2", "maximum_actual_time2", "range2", "annotation_count",
    "count", "duration_in_state_zero", "duration_in_state_non_zero", "number_of_transitions", "start", "end", "delta", "start_bound",
    "end_bound", "delta_bounds", "duration_good", "duration_bad", "percent_good", "percent_bad", "worst_quality", "worst_quality2",
    "standard_deviation_sample", "variance_sample", "standard_deviation_population", "variance_population",
]  # fmt: skip
# Of `frame`: how its rows come from the samples.
Sampling = Literal["interpolated", "last"]
Shape = Literal["pandas", "polars", "arrow"]
Missing = Literal["drop", "bad", "raise"]
