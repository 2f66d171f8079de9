"""Statements as tools write them (tool_statements.json), and their judge, DuckDB, with the same samples.

Where a statement has a `judge`, DuckDB answers that text over the samples of the file; elsewhere `rows` is what is expected. As a program:
`rows` writes the judge's answers into the file anew; `list FILE` writes the statements as jdbc/Statements.java reads them, and the samples into
the historian.
"""

import base64
import functools
import json
import math
import pathlib
import sys
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal

import duckdb
import lib
import pyarrow as pa

FILE = pathlib.Path(__file__).with_name("tool_statements.json")
told = json.loads(FILE.read_text())
STATEMENTS = told["statements"]
IDS = [f"{number} {statement['tool']}" for number, statement in enumerate(STATEMENTS)]


def plain(value):
    """A cell as the file has it."""
    if isinstance(value, datetime):
        return (value.astimezone(timezone.utc) if value.tzinfo else value).replace(tzinfo=None).isoformat()
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (bool, str)) or value is None:
        return value
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (float, Decimal)):
        return "NaN" if math.isnan(value) else int(value) if value == int(value) else float(value)
    return int(value)


def cells(table):
    columns = []
    for chunked in table.columns:
        if pa.types.is_dictionary(chunked.type):
            chunked = chunked.cast(chunked.type.value_type)
        if pa.types.is_timestamp(chunked.type):
            chunked = chunked.cast(pa.timestamp("us", chunked.type.tz))
        columns.append([plain(value) for value in chunked.to_pylist()])
    return [list(row) for row in zip(*columns)]


def order(row):
    return [(value is not None, isinstance(value, str), value if value is not None else 0) for value in row]


def same(found, expected, near):
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (found, expected))
    if near and numbers:
        return math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-9)
    return type(found) is type(expected) and found == expected if not numbers else found == expected


def difference(found, expected, statement):
    """None, or what is different between two answers."""
    if len(found) != len(expected):
        return f"{len(found)} rows instead of {len(expected)}: {found[:3]} instead of {expected[:3]}"
    if not statement.get("ordered"):
        found, expected = sorted(found, key=order), sorted(expected, key=order)
    for row, (one, other) in enumerate(zip(found, expected)):
        if len(one) != len(other) or not all(same(a, b, statement.get("near")) for a, b in zip(one, other)):
            return f"row {row}: {one} instead of {other}"
    return None


@functools.cache
def judge():
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("CREATE TABLE samples (tag VARCHAR, timestamp TIMESTAMP, value DOUBLE, quality UINTEGER, text VARCHAR, integer DECIMAL(20, 0))")
    connection.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?, NULL)", told["samples"])
    connection.execute("CREATE TABLE tags AS SELECT DISTINCT tag AS name FROM samples")
    return connection


def judged(statement):
    return cells(judge().sql(statement["judge"]).to_arrow_table()) if "judge" in statement else statement["rows"]


def put():
    """The samples of the file."""
    for name in sorted({row[0] for row in told["samples"]}):
        rows = [row for row in told["samples"] if row[0] == name]
        texts = any(row[4] is not None for row in rows)
        times = [datetime.fromisoformat(row[1]).replace(tzinfo=timezone.utc) for row in rows]
        values = pa.array([row[4] for row in rows]) if texts else pa.array([row[2] for row in rows], pa.float64())
        lib.put(name, times, values, [row[3] for row in rows])


def parameters(statement):
    types = statement.get("parameter_types", [])
    values = statement.get("parameters", [])
    columns = {}
    for index, value in enumerate(values):
        if index < len(types) and types[index] == "timestamp":
            # Milliseconds, as JDBC sends them.
            columns[str(index)] = pa.array([datetime.fromisoformat(value).replace(tzinfo=timezone.utc)], pa.timestamp("ms", "UTC"))
        else:
            columns[str(index)] = pa.array([value])
    return pa.record_batch(columns) if columns else None


def write():
    """The file with the judge's answers, a line for each sample and each statement."""
    for statement in STATEMENTS:
        if "judge" in statement:
            try:
                statement["rows"] = judged(statement)
            except duckdb.Error as error:
                sys.exit(f"the judge refuses {statement['judge']}\n{error}")
    line = lambda value: json.dumps(value, ensure_ascii=False)
    lines = lambda values: ",\n".join("    " + line(value) for value in values)
    FILE.write_text(f'{{\n  "about": {line(told["about"])},\n  "samples": [\n{lines(told["samples"])}\n  ],\n  "statements": [\n{lines(STATEMENTS)}\n  ]\n}}\n')


def coded(text):
    return base64.b64encode(text.encode()).decode()


def listed(path):
    """A line for each statement: the statement, then its parameters."""
    lines = []
    for statement in STATEMENTS:
        types = statement.get("parameter_types", [])
        words = [statement["sql"]]
        for index, value in enumerate(statement.get("parameters", [])):
            kind = "t" if index < len(types) else "i" if isinstance(value, int) else "s"
            words.append(f"{kind}{value}")
        lines.append(" ".join(map(coded, words)))
    pathlib.Path(path).write_text("\n".join(lines) + "\n")


def read(text, expected):
    """A cell of the driver, whose types are Java's, as what is expected beside it."""
    if text is None or isinstance(expected, str):
        return text
    if isinstance(expected, bool):
        return {"true": True, "false": False, "1": True, "0": False}.get(text, text)
    try:
        number = Decimal(text)
    except ArithmeticError:
        return text
    return plain(number)


if __name__ == "__main__":
    if sys.argv[1:] == ["rows"]:
        write()
    else:
        _, path = sys.argv[1:]
        listed(path)
        put()
