"""Times as people have them, into the text of a request. Nothing goes through a float: it would round nanoseconds."""

from __future__ import annotations

import calendar
import datetime as dt
from typing import Any, Union

import pyarrow as pa

# pandas and numpy are not imported: their types are known by what they can do.
Time = Union[str, int, dt.datetime, dt.date, pa.TimestampScalar, Any]
Duration = Union[str, int, dt.timedelta, Any]

_PER_UNIT = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


def as_time(value: Time, name: str) -> str:
    """The text of a time.

    Text is passed on: RFC 3339, relative such as "*-8h", or a number with its unit such as "1767225600s". Integers are nanoseconds since
    1970, which the historian refuses where they more likely are something else. A datetime, pandas or Arrow timestamp
    with a zone is exact; one without is civil time in the zone of the request (UTC unless said otherwise), as is a date.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None or isinstance(value, float):
        raise TypeError(f"{name}: {value!r} is no time; give text, integer nanoseconds, a datetime or a timestamp")
    if isinstance(value, pa.TimestampScalar):
        return _arrow(value, name)
    if isinstance(value, dt.datetime):  # pandas.Timestamp is one, with nanoseconds more; pandas.NaT is one that equals nothing
        if value != value:
            raise ValueError(f"{name}: is not a time (NaT)")
        return _datetime(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if getattr(getattr(value, "dtype", None), "kind", "") == "M":
        moment: Any = value
        nanoseconds = int(moment.astype("datetime64[ns]").astype("int64"))
        if nanoseconds == -(2**63):
            raise ValueError(f"{name}: is not a time (NaT)")
        return _civil(nanoseconds)
    try:
        return str(value.__index__())  # int, numpy integers
    except AttributeError:
        raise TypeError(f"{name}: {type(value).__name__} is no time; give text, integer nanoseconds, a datetime or a timestamp") from None


def nanoseconds_of(value: Any, name: str) -> int:
    """A datetime or timestamp as nanoseconds since 1970; one without a zone is UTC."""
    text = as_time(value, name)
    if "T" not in text:
        return int(text.removesuffix("ns"))
    at, _, below = text.partition(".")
    return calendar.timegm(dt.datetime.fromisoformat(at).utctimetuple()) * 1_000_000_000 + int(below)


def as_duration(value: Duration, name: str) -> str:
    """The text of a length of time: text such as "5m" is passed on, integers are nanoseconds, timedeltas exact."""
    if isinstance(value, str):
        return value
    if isinstance(value, dt.timedelta):  # pandas.Timedelta is one
        whole = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
        return str(whole * 1_000 + getattr(value, "nanoseconds", 0))
    if isinstance(value, bool) or isinstance(value, float) or value is None:
        raise TypeError(f'{name}: {value!r} is no length of time; give text such as "5m", integer nanoseconds or a timedelta')
    try:
        return str(value.__index__())
    except AttributeError:
        raise TypeError(f'{name}: {type(value).__name__} is no length of time; give text such as "5m", nanoseconds or a timedelta') from None


def is_relative(text: str) -> bool:
    """True for times that mean something else tomorrow."""
    return text.strip()[:1] in ("*", "t", "y", "")


def _datetime(value: dt.datetime) -> str:
    below = value.microsecond * 1_000 + getattr(value, "nanosecond", 0)
    if value.tzinfo is None:
        return f"{value.year:04}-{value.month:02}-{value.day:02}T{value.hour:02}:{value.minute:02}:{value.second:02}.{below:09}"
    seconds = calendar.timegm(value.utctimetuple())
    return _exact(seconds * 1_000_000_000 + below)


def _arrow(value: pa.TimestampScalar, name: str) -> str:
    if not value.is_valid:
        raise ValueError(f"{name}: is null")
    nanoseconds = value.value * _PER_UNIT[value.type.unit]
    return _exact(nanoseconds) if value.type.tz is not None else _civil(nanoseconds)


def _exact(nanoseconds: int) -> str:
    # Near 1970 the historian wants the unit: a bare number there is far more often seconds or milliseconds.
    return str(nanoseconds) if nanoseconds == 0 or abs(nanoseconds) >= 10**17 else f"{nanoseconds}ns"


def _civil(nanoseconds: int) -> str:
    seconds, below = divmod(nanoseconds, 1_000_000_000)
    at = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=seconds)
    return f"{at.isoformat()}.{below:09}"
