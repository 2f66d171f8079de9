"""The first and last rows of a table, for a person: as text on a terminal, as HTML in a notebook. Qualities and states are words."""

from __future__ import annotations

import html as markup
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from . import quality

ROWS_MAX = 12
COLUMNS_MAX = 20
CELL_LETTERS_MAX = 80
_STYLE = "text-align:right;padding:2px 8px;white-space:nowrap;font-variant-numeric:tabular-nums"
_COLOURS = {quality.UNCERTAIN: ";color:#8a6100", quality.BAD: ";color:#b3261e"}
_OF_SAMPLE = ("value", "text", "integer")
Facts = dict[str, dict[str, Any]]
Cell = tuple[str, int]


def html(table: pa.Table, facts: Facts) -> str:
    """Everything from samples is escaped: names and texts are what somebody wrote."""
    names, rows, omitted = _cells(table, facts)
    head = "".join(f'<th style="{_STYLE}">{markup.escape(name)}</th>' for name in names)
    body = []
    for place, row in enumerate(rows):
        if omitted and place == _head_rows(len(table)):
            body.append(f'<tr><td colspan="{len(names)}" style="text-align:center">… {omitted:,} rows …</td></tr>')
        body.append("<tr>" + "".join(f'<td style="{_STYLE}{_COLOURS.get(severity, "")}">{markup.escape(cell)}</td>' for cell, severity in row) + "</tr>")
    return f"<div><p>{markup.escape(title(table))}</p><table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"


def text(table: pa.Table, facts: Facts) -> str:
    names, rows, omitted = _cells(table, facts)
    lines = [names] + [[cell for cell, _ in row] for row in rows]
    if omitted:
        lines.insert(1 + _head_rows(len(table)), ["…"] * len(names))
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    drawn = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines] if names else []
    return "\n".join([title(table), *drawn])


def title(table: pa.Table) -> str:
    """How much there is."""
    rows = f"{len(table):,} row{'' if len(table) == 1 else 's'}" if len(table) else "no rows"
    return f"{rows}, {table.num_columns} column{'' if table.num_columns == 1 else 's'}"


def labels(states: Sequence[str]) -> list[str]:
    """Names of states by number, no two alike: a name that is empty or taken is the number instead."""
    given: list[str] = []
    for number, name in enumerate(states):
        given.append(name if name and name not in given else str(number))
    return given


def state(states: Sequence[str], number: int) -> str:
    """The name of a state; a number that has none stays one."""
    names = labels(states)
    return names[number] if 0 <= number < len(names) else str(number)


def _head_rows(rows: int) -> int:
    return rows if rows <= ROWS_MAX else ROWS_MAX * 2 // 3


def _cells(table: pa.Table, facts: Facts) -> tuple[list[str], list[list[Cell]], int]:
    """Names of the columns that are shown, rows of cells with their severity, and how many rows are left out between them."""
    shown = min(table.num_columns, COLUMNS_MAX)
    rows, head = len(table), _head_rows(len(table))
    omitted = rows - ROWS_MAX if rows > ROWS_MAX else 0
    part = table.select(list(range(shown)))
    if omitted:
        part = pa.concat_tables([part.slice(0, head), part.slice(head + omitted)])
    names = part.schema.names
    # By place: two columns may have one name.
    columns = [_values(part.column(place)) for place in range(shown)]
    first = {name: columns[place] for place, name in reversed(list(enumerate(names)))}
    rows_of_tags = first.get("tag") if "value" in first else None
    cells: list[list[Cell]] = []
    for row in range(len(part)):
        line = []
        for name, column in zip(names, columns):
            is_code = name == "quality" or name.endswith("#quality")
            codes = column if is_code else first.get("quality" if name in _OF_SAMPLE else f"{name}#quality")
            code = codes[row] if codes else None
            states = facts.get(rows_of_tags[row] if rows_of_tags and name == "value" else name, {}).get("state_set")
            severity = min(code >> 30, quality.BAD) if isinstance(code, int) else quality.GOOD
            line.append((_word(column[row], is_code, states), severity))
        cells.append(line)
    if table.num_columns > shown:
        names = [*names, f"… {table.num_columns - shown} more"]
        cells = [[*line, ("", quality.GOOD)] for line in cells]
    return names, cells, omitted


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Moments as text: not every program that has Arrow has something for nanoseconds."""
    if pa.types.is_timestamp(column.type):
        zone = column.type.tz
        shown = pc.strftime(column.cast(pa.timestamp("ms", zone), safe=False), format="%Y-%m-%d %H:%M:%S" + ("%Ez" if zone else ""))
        return [None if text is None else text.replace("+00:00", "Z") for text in shown.to_pylist()]
    if pa.types.is_float32(column.type):
        # The shortest number that is the same in 32 bits.
        return [None if text is None else float(text) for text in column.cast(pa.utf8()).to_pylist()]
    return list(column.to_pylist())


def _word(value: Any, is_code: bool, states: Sequence[str] | None) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and is_code:
        return quality.name(value)
    if states and isinstance(value, (int, float)) and value == int(value):
        return state(states, int(value))
    if isinstance(value, float):
        return f"{value:.10g}"
    shown = str(value)
    return shown if len(shown) <= CELL_LETTERS_MAX else f"{shown[: CELL_LETTERS_MAX - 1]}…"
