"""Requests as the JSON commands of the historian's Flight interface (docs/api.md). Defaults are the historian's: what is not said is not sent."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict, Union

from .time import Duration, Time, as_duration, as_time

Tags = Union[str, Iterable[str]]
# A state by its name in the tag's state set, its number, a truth value, or the text of a string tag.
State = Union[str, int, bool]


class AggregateConfiguration(TypedDict, total=False):
    """How aggregates treat quality (OPC 10000-13). What is left out has the standard's default."""

    treat_uncertain_as_bad: bool
    percent_data_bad: int
    percent_data_good: int
    use_sloped_extrapolation: bool
    stepped: bool
    use_uncertain_values: bool


class Command:
    """One command: its name and its fields."""

    def __init__(self, name: str, fields: Mapping[str, Any]) -> None:
        self.name = name
        self.fields = {key: value for key, value in fields.items() if value is not None}

    def encoded(self) -> bytes:
        return json.dumps({self.name: self.fields}, separators=(",", ":"), ensure_ascii=False).encode()


def as_tags(tags: Tags) -> list[str]:
    """One name or glob, or several."""
    names = [tags] if isinstance(tags, str) else list(tags)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"tags: {name!r} is no name or glob")
    if not names:
        raise ValueError('tags: is empty; name tags or globs, "**" for all')
    return names


def _word(value: str | None, name: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name}: {value!r} is no text")
    return None if value is None else value.upper()


def _bounds(tags: Tags, start: Time, end: Time, zone: str | None) -> dict[str, Any]:
    return {"tags": as_tags(tags), "start": as_time(start, "start"), "end": as_time(end, "end"), "zone": zone}


def _intervals(interval: Duration | None, calendar: str | None, shift_starts: Sequence[str] | None) -> dict[str, Any]:
    calendar = _word(calendar, "calendar")
    if calendar is not None and not calendar.startswith("CALENDAR_"):
        calendar = f"CALENDAR_{calendar}"
    if isinstance(shift_starts, str):
        shift_starts = [shift_starts]
    return {
        "interval": None if interval is None else as_duration(interval, "interval"),
        "calendar": calendar,
        "shift_starts": list(shift_starts) if shift_starts else None,
    }


def _state(value: State, name: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        return str(value.__index__())
    except AttributeError:
        raise TypeError(f"{name}: {value!r} is no state; give its name, its number, True or False") from None


def _number(value: float, name: str) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name}: {value!r} is not finite")
    return number


def range_(
    tags: Tags,
    start: Time,
    end: Time,
    *,
    boundary: str | None = None,
    limit: int = 0,
    layout: str | None = None,
    zone: str | None = None,
    quality: str | None = None,
    fill: str | None = None,
    step: Duration | None = None,
    types: bool = False,
) -> Command:
    more = {
        "boundary": _word(boundary, "boundary"),
        "limit": limit or None,
        "layout": _word(layout, "layout"),
        "quality": _word(quality, "quality"),
        "fill": _word(fill, "fill"),
        "step": None if step is None else as_duration(step, "step"),
        "types": types or None,
    }
    return Command("range", {**_bounds(tags, start, end, zone), **more})


def current(tags: Tags) -> Command:
    return Command("current", {"tags": as_tags(tags)})


def aggregate(
    tags: Tags,
    start: Time,
    end: Time,
    *,
    functions: str | Sequence[str],
    interval: Duration | None = None,
    configuration: AggregateConfiguration | None = None,
    calendar: str | None = None,
    shift_starts: Sequence[str] | None = None,
    zone: str | None = None,
) -> Command:
    more = {
        "functions": [functions] if isinstance(functions, str) else list(functions),
        "configuration": dict(configuration) if configuration else None,
    }
    return Command("aggregate", {**_bounds(tags, start, end, zone), **_intervals(interval, calendar, shift_starts), **more})


def measure(
    tags: Tags,
    start: Time,
    end: Time,
    measure: str,
    *,
    interval: Duration | None,
    calendar: str | None,
    shift_starts: Sequence[str] | None,
    zone: str | None,
    states: State | Iterable[State] | None,
    from_state: State | None,
    to_state: State | None,
    dwell_min: Duration | None,
    rollover: float | None,
    reset: str | None,
    max_step: float | None,
    max_rate: float | None,
    dead_band: float | None,
    per: str | None,
    rescale: bool,
    treat_uncertain_as_bad: bool,
) -> Command:
    if states is not None:
        states = [states] if isinstance(states, (str, int)) else list(states)
    more = {
        "measure": _word(measure, "measure"),
        "states": None if states is None else [_state(state, "states") for state in states],
        "from_state": None if from_state is None else _state(from_state, "from_state"),
        "to_state": None if to_state is None else _state(to_state, "to_state"),
        "dwell_min": None if dwell_min is None else as_duration(dwell_min, "dwell_min"),
        "rollover": None if rollover is None else _number(rollover, "rollover"),
        "reset": _word(reset, "reset"),
        "max_step": None if max_step is None else _number(max_step, "max_step"),
        "max_rate": None if max_rate is None else _number(max_rate, "max_rate"),
        "dead_band": None if dead_band is None else _number(dead_band, "dead_band"),
        "per": per,
        "rescale": bool(rescale) or None,
        "treat_uncertain_as_bad": bool(treat_uncertain_as_bad) or None,
    }
    return Command("measure", {**_bounds(tags, start, end, zone), **_intervals(interval, calendar, shift_starts), **more})


def as_of(tags: Tags, *, tolerance: Duration | None = None, quality: str | None = None) -> Command:
    more = {"tolerance": None if tolerance is None else as_duration(tolerance, "tolerance"), "quality": _word(quality, "quality")}
    return Command("asof", {"tags": as_tags(tags), **more})


def subscribe(tags: Tags, *, position: int, current: bool) -> Command:
    return Command("subscribe", {"tags": as_tags(tags), "position": position or None, "current": bool(current) or None})


def downsample(tags: Tags, start: Time, end: Time, *, points: int, method: str, zone: str | None) -> Command:
    return Command("downsample", {**_bounds(tags, start, end, zone), "points": points, "method": _word(method, "method")})


def anomalies(
    tags: Tags, start: Time, end: Time, detector: str, *, parameters: Mapping[str, Any] | None, output: str, zone: str | None
) -> Command:
    more = {"detector": detector, "parameters": dict(parameters) if parameters else None, "output": _word(output, "output")}
    return Command("anomalies", {**_bounds(tags, start, end, zone), **more})


def superseded(tags: Tags, start: Time, end: Time, *, limit: int, zone: str | None) -> Command:
    return Command("superseded", {**_bounds(tags, start, end, zone), "limit": limit or None})


def write(*, mode: str, durability: str, create_tags: bool) -> Command:
    fields = {"mode": _word(mode, "mode"), "durability": _word(durability, "durability"), "create_tags": bool(create_tags)}
    return Command("write", fields)
