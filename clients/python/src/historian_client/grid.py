"""The rows of a sampled frame: a length of time apart, or at the starts of days, weeks, months or years where the zone has them."""

from __future__ import annotations

import calendar
import dataclasses
import datetime as dt
import decimal
import re
import zoneinfo
from collections.abc import Iterator

from .time import Duration, as_duration

ROWS_MAX = 50_000_000
# The historian answers no more of them.
CALENDAR_ROWS_MAX = 100_000
_CALENDARS = {"1d": "DAY", "1w": "WEEK", "1mo": "MONTH", "1y": "YEAR"}
_UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9, "w": 604_800 * 10**9}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|mo|m|h|d|w|y)")


@dataclasses.dataclass(frozen=True)
class Every:
    """Either a length in nanoseconds, or a calendar interval."""

    step: int = 0
    calendar: str | None = None

    @staticmethod
    def of(every: Duration, zone: str) -> Every:
        text = as_duration(every, "every").strip()
        if text in _CALENDARS:
            return Every(calendar=_CALENDARS[text])
        parts = _PART.findall(text)
        if text.isdecimal():
            nanoseconds = decimal.Decimal(text)
        elif parts and "".join(number + unit for number, unit in parts) == text and all(unit in _UNITS for _, unit in parts):
            if zone != "UTC" and any(unit in ("d", "w") for _, unit in parts):
                raise ValueError(f'every: {text!r} is not a fixed length in {zone}, whose days have 23 to 25 hours; write hours, or "1d", "1w", "1mo", "1y"')
            nanoseconds = sum((decimal.Decimal(number) * _UNITS[unit] for number, unit in parts), decimal.Decimal(0))
        else:
            raise ValueError(f'every: {text!r} is no length of time; write "10s", "5m", "1h", "1h30m", or "1d", "1w", "1mo", "1y" of the zone')
        if nanoseconds < 1 or nanoseconds != int(nanoseconds) or nanoseconds >= 2**63:
            raise ValueError(f"every: {text!r} is no length of time that rows can be apart")
        return Every(int(nanoseconds))

    def rows(self, start: int, end: int, zone: str) -> list[int]:
        """Nanoseconds since 1970: the start, and what follows up to the end, which is not one of them."""
        if self.calendar is None:
            if (end - start) // self.step >= ROWS_MAX:
                raise ValueError(f"every: that would be more than {ROWS_MAX:,} rows; make it longer, or the range shorter")
            return list(range(start, end, self.step))
        rows = [start] if start < end else []
        for day in self._days(start, zone):
            at = _midnight(day, zone)
            if at >= end:
                return rows
            if at > start:
                rows.append(at)
            if len(rows) > CALENDAR_ROWS_MAX:
                raise ValueError(f"every: that would be more than {CALENDAR_ROWS_MAX:,} rows; make it longer, or the range shorter")
        return rows

    def _days(self, start: int, zone: str) -> Iterator[dt.date]:
        """First days of the intervals, from that which holds the start."""
        at = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc) + dt.timedelta(microseconds=start // 1000)
        day = at.astimezone(zone_of(zone)).date()
        while day.year < dt.MAXYEAR:
            if self.calendar == "DAY":
                yield day
                day += dt.timedelta(days=1)
            elif self.calendar == "WEEK":
                day -= dt.timedelta(days=day.weekday())
                yield day
                day += dt.timedelta(days=7)
            elif self.calendar == "MONTH":
                day = day.replace(day=1)
                yield day
                day += dt.timedelta(days=calendar.monthrange(day.year, day.month)[1])
            else:
                day = day.replace(month=1, day=1)
                yield day
                day = day.replace(year=day.year + 1)


def zone_of(zone: str) -> zoneinfo.ZoneInfo:
    """A zone by its IANA name."""
    try:
        return zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f'zone: {zone!r} is not known here; write its IANA name, such as "Europe/Berlin" (on Windows: pip install tzdata)') from error


def _midnight(day: dt.date, zone: str) -> int:
    """The first instant of a day. One that has no 00:00 begins when the clocks have gone forward; of two, the first counts."""
    at = dt.datetime(day.year, day.month, day.day, tzinfo=zone_of(zone)).astimezone(dt.timezone.utc)
    return calendar.timegm(at.timetuple()) * 10**9
