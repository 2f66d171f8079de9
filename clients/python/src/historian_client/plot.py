"""Answers as pictures, by matplotlib. A lane for each unit, and one with a row for each tag that has states, texts or truth values."""

from __future__ import annotations

import importlib
from typing import Any

import pyarrow as pa

from .error import NotSupported
from .grid import zone_of
from .result import Asker

Axes = list[Any]

# Okabe and Ito's colours, which colour-blind people tell apart, as the page has them.
COLOURS = ("#0072b2", "#d55e00", "#00805d", "#b4609a", "#a06a00", "#2b87b8", "#1a1a1a", "#7d7500")
_DAY_NS = 86_400 * 10**9
_DOTS_MAX = 200
_REASON_SHARE = 0.06


def draw(table: pa.Table, asker: Asker | None, *, tags: str | list[str] | None, zone: str | None, axes: Any, height: float, width: float) -> Axes:
    try:
        pyplot = importlib.import_module("matplotlib.pyplot")
        dates = importlib.import_module("matplotlib.dates")
    except ImportError as error:
        raise NotSupported("plot() needs matplotlib: pip install 'historian-client[plot]'") from error
    from .trace import Trace, traces

    every = traces(table, [tags] if isinstance(tags, str) else tags, asker)
    lanes: dict[str, list[tuple[int, Trace]]] = {}
    for place, trace in enumerate(every):
        lanes.setdefault("\0states" if trace.points.discrete else trace.points.unit, []).append((place, trace))
    ordered = sorted(lanes.items(), key=lambda lane: lane[0] == "\0states")
    if axes is None:
        rows = max(1, len(ordered))
        axes = pyplot.subplots(rows, 1, sharex=True, squeeze=False, figsize=(width, height * rows), layout="constrained")[1][:, 0]
    drawn = list(axes.flat) if hasattr(axes, "flat") else list(axes) if hasattr(axes, "__iter__") else [axes]
    if len(drawn) < len(ordered):
        raise ValueError(f"axes: there are {len(drawn)} and {len(ordered)} lanes")
    if not any(len(trace.points.times) for trace in every):
        drawn[0].text(0.5, 0.5, "no samples in this time", ha="center", va="center", transform=drawn[0].transAxes)
    span = _span(every)
    for place, (axis, (unit, own)) in enumerate(zip(drawn, ordered)):
        if unit == "\0states":
            _rows(axis, own, span)
        else:
            _lines(axis, own, span)
            axis.set_ylabel(unit)
        _time_axis(axis, dates, zone or _zone(table), span, place + 1 == len(ordered))
    return drawn[: max(1, len(ordered))]


def _days(nanoseconds: Any) -> Any:
    """What matplotlib counts in: days since 1970."""
    return nanoseconds / _DAY_NS


def _span(every: list[Any]) -> tuple[int, int] | None:
    times = [(int(trace.points.times[0]), max(int(trace.points.end), int(trace.points.times[-1]))) for trace in every if len(trace.points.times)]
    return (min(start for start, _ in times), max(end for _, end in times)) if times else None


def _zone(table: pa.Table) -> str:
    return str(table.schema.field("timestamp").type.tz or "UTC")


def _time_axis(axis: Any, dates: Any, zone: str, span: tuple[int, int] | None, is_last: bool) -> None:
    tz = zone_of(zone)
    axis.xaxis_date(tz)
    locator = dates.AutoDateLocator(tz=tz)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=tz))
    if span is not None and span[1] > span[0]:
        axis.set_xlim(_days(span[0]), _days(span[1]))
    axis.grid(alpha=0.25)
    if is_last:
        axis.set_xlabel(zone)


def _lines(axis: Any, own: list[tuple[int, Any]], span: tuple[int, int] | None) -> None:
    shaded: set[int] = set()
    for place, trace in own:
        colour = COLOURS[place % len(COLOURS)]
        for band in trace.bands:
            # A gap of several tags is shaded once.
            if not (band.is_gap and band.start in shaded):
                _band(axis, band, colour, span, None)
            if band.is_gap:
                shaded.add(band.start)
        named = False
        for run in trace.runs:
            label = "_nolegend_" if named else trace.points.name
            style = {"linestyle": (0, (2, 3)), "linewidth": 1.2} if run.uncertain else {"linestyle": "-", "linewidth": 1.5}
            axis.plot(_days(run.times), run.values, color=colour, label=label, **style)
            named = True
        _dots(axis, trace, colour)
    if own:
        axis.legend(loc="upper left", fontsize="small", framealpha=0.7)


def _dots(axis: Any, trace: Any, colour: str) -> None:
    """Samples as dots where there are few, and always those that no line passes through."""
    points = trace.points
    if len(points.times) <= _DOTS_MAX:
        shown = points.known & ((points.qualities & 0x0C03) != 0x0402)
        times, values = points.times[shown], points.values[shown]
    else:
        alone = [run for run in trace.runs if len(run.times) == 1]
        times, values = [run.times[0] for run in alone], [run.values[0] for run in alone]
    if len(times):
        axis.plot([_days(at) for at in times], values, linestyle="", marker="o", markersize=3, color=colour, label="_nolegend_")


def _band(axis: Any, band: Any, colour: str, span: tuple[int, int] | None, heights: tuple[float, float] | None) -> None:
    start, end = _days(band.start), _days(band.end)
    low, high = heights or (0.0, 1.0)
    transform = axis.get_xaxis_transform() if heights is None else axis.transData
    looks = {"facecolor": "black", "alpha": 0.09} if band.is_gap else {"facecolor": "none", "edgecolor": colour, "alpha": 0.4, "hatch": "////"}
    patch = axis.fill_between([start, end], low, high, transform=transform, linewidth=0, zorder=0.5, **looks)
    patch.set_gid(f"{'gap' if band.is_gap else 'bad'}: {band.reason}")
    if not band.is_gap:
        axis.fill_between([start, end], low, high, transform=transform, linewidth=0, facecolor=colour, alpha=0.1, zorder=0.4)
    if span is not None and (band.end - band.start) > _REASON_SHARE * (span[1] - span[0]):
        words = f"No data: {band.reason}" if band.is_gap else band.reason
        axis.text(start, high, f" {words}", transform=transform, ha="left", va="top", fontsize="x-small", clip_on=True)


def _rows(axis: Any, own: list[tuple[int, Any]], span: tuple[int, int] | None) -> None:
    for row, (place, trace) in enumerate(own):
        colour = COLOURS[place % len(COLOURS)]
        low, high = -row - 0.4, -row + 0.4
        for band in trace.bands:
            _band(axis, band, colour, span, (low, high))
        levels = {value: level for level, value in enumerate(dict.fromkeys(stretch.value for stretch in trace.stretches))}
        for stretch in trace.stretches:
            start, end = _days(stretch.start), _days(stretch.end)
            block = axis.fill_between([start, end], low, high, facecolor=colour, alpha=0.25 + 0.12 * (levels[stretch.value] % 5), linewidth=0)
            block.set_gid(f"state: {stretch.value}")
            if span is not None and (stretch.end - stretch.start) > _REASON_SHARE * (span[1] - span[0]):
                axis.text(start, -row, f" {stretch.value}", ha="left", va="center", fontsize="x-small", clip_on=True)
    axis.set_yticks([-row for row in range(len(own))], [trace.points.name for _, trace in own])
    axis.set_ylim(-len(own) + 0.4, 0.6)
