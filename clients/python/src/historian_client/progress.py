"""How far a long run is: one line on a terminal, drawn over itself; a bar in a notebook; nothing where nobody looks."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from collections.abc import Callable
from typing import Union

from . import notebook

CELLS = 24
DRAWN_EVERY_S = 0.1


@dataclasses.dataclass(frozen=True)
class Progress:
    """What is told to a function given as `progress`. `rows_expected` is an estimate from above; None where there is none."""

    rows: int
    rows_expected: int | None
    parts: int
    parts_expected: int
    seconds: float


Wanted = Union[bool, None, Callable[[Progress], None]]


class Reporter:
    """Tells a function, or draws a bar: asked for with True, silenced with False, else where there is a terminal or a notebook."""

    def __init__(self, wanted: Wanted, what: str) -> None:
        self._tell = wanted if callable(wanted) else None
        wants_bar = self._tell is None and wanted is not False
        self._bar = notebook.bar() if wants_bar and notebook.is_notebook() else None
        self._draws = wants_bar and self._bar is None and (wanted is True or sys.stderr.isatty())
        self._what = what
        self._begun = time.monotonic()
        self._drawn = 0.0

    def show(self, rows: int, rows_expected: int | None, parts: int = 0, parts_expected: int = 0, *, last: bool = False) -> None:
        now = time.monotonic()
        if not last and now - self._drawn < DRAWN_EVERY_S:
            return
        self._drawn = now
        progress = Progress(rows, rows_expected, parts, parts_expected, now - self._begun)
        if self._tell is not None:
            self._tell(progress)
        elif self._bar is not None:
            self._bar.show(line(self._what, progress), share(progress))
        elif self._draws:
            columns = shutil.get_terminal_size().columns
            sys.stderr.write("\r\x1b[K" + line(self._what, progress)[: columns - 1])
            sys.stderr.flush()

    def end(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.end()
        elif self._draws:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def share(progress: Progress) -> float | None:
    """How much of it is done, from 0 to 1; None where nobody knows."""
    return min(1.0, progress.rows / progress.rows_expected) if progress.rows_expected else None


def line(what: str, progress: Progress) -> str:
    rate = progress.rows / progress.seconds if progress.seconds > 0.2 else 0.0
    speed = f", {_count(rate)} rows/s" if rate else ""
    parts = f", part {progress.parts} of {progress.parts_expected}" if progress.parts_expected > 1 else ""
    done = share(progress)
    if done is None or not progress.rows_expected:
        return f"{what} {_count(progress.rows)} rows{speed}{parts}"
    filled = int(done * CELLS)
    left = f", {_duration((progress.rows_expected - progress.rows) / rate)} left" if rate and done < 1.0 else ""
    return f"{what} [{'#' * filled}{'-' * (CELLS - filled)}] {int(done * 100):>3} % of {_count(progress.rows_expected)} rows{speed}{left}{parts}"


def _count(number: float) -> str:
    for unit in ("", "k", "M"):
        if number < 10_000:
            return f"{number:,.0f}{unit}"
        number /= 1000
    return f"{number:,.0f}G"


def _duration(seconds: float) -> str:
    seconds = int(seconds)
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds // 60} min {seconds % 60} s" if seconds < 3600 else f"{seconds // 3600} h {seconds // 60 % 60} min"
