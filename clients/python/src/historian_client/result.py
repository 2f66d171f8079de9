"""An answer for people: a notebook shows it as a table of HTML, and it draws itself as the page does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from . import preview

if TYPE_CHECKING:
    from .plot import Axes


class Asker(Protocol):
    """What a drawing asks beside the samples: where nothing was recorded, and what was before the left edge."""

    def gaps(self) -> pa.Table: ...

    def last_qualities(self, tags: list[str], time: int) -> dict[str, int | None]: ...


class Result:
    """An answer that shows itself; `table` is the `pyarrow.Table`. Made by `Client.trend`, and of any other answer by `Client.show`."""

    def __init__(self, table: pa.Table, asker: Asker | None = None) -> None:
        self.table = table
        self._asker = asker

    def plot(self, *, tags: str | list[str] | None = None, zone: str | None = None, axes: Any = None, height: float = 2.2, width: float = 10.0) -> Axes:
        """Draws samples as the page does, and returns the axes: one for each unit, and one for states, texts and truth values.

        Stepped tags are drawn as steps; a line ends where a value is missing. Bad is a hatched band with its reason; time in which the historian did
        not record is blank, lightly shaded. Uncertain is dashed. Needs matplotlib (`pip install 'historian-client[plot]'`).
        `tags`: only these of the answer. `zone`: of the time axis, default that of the answer. `axes`: draw into these, as many as there are lanes.
        """
        from .plot import draw

        return draw(self.table, self._asker, tags=tags, zone=zone, axes=axes, height=height, width=width)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return preview.text(self.table, facts_of(self.table))

    def _repr_html_(self) -> str:
        return html_of(self.table)


def facts_of(table: pa.Table) -> dict[str, dict[str, Any]]:
    """What the catalog says of the tags in an answer, by their names: unit, stepped, value_type, range_low, range_high, state_set, error_bound."""
    told = (table.schema.metadata or {}).get(b"tags")
    return dict(json.loads(told)) if told else {}


def html_of(table: pa.Table) -> str:
    return preview.html(table, facts_of(table))
