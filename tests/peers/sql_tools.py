"""Statements as tools write them (tool_statements.json), over ADBC, judged by DuckDB.

Arguments: host:port, or `rows` to write the judge's answers into the file anew. The samples of the file are written first. Where a statement has a
`judge`, DuckDB answers that text over the same samples; elsewhere `rows` is what is expected. For the JDBC driver: `list FILE host:port` writes the
samples, and the statements as jdbc/Statements.java reads them; `compare FILE` compares what that answered.
"""

import base64
import json
import math
import pathlib
import sys
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal

import duckdb
import pyarrow as pa

FILE = pathlib.Path(__file__).with_name("tool_statements.json")
told = json.loads(FILE.read_text())
STATEMENTS = told["statements"]


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


judge = duckdb.connect()
judge.execute("SET TimeZone = 'UTC'")
judge.execute("CREATE TABLE samples (tag VARCHAR, timestamp TIMESTAMP, value DOUBLE, quality UINTEGER, text VARCHAR, integer DECIMAL(20, 0))")
judge.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?, NULL)", told["samples"])
judge.execute("CREATE TABLE tags AS SELECT DISTINCT tag AS name FROM samples")


def judged(statement):
    return cells(judge.sql(statement["judge"]).to_arrow_table()) if "judge" in statement else statement["rows"]


def put(address):
    import pyarrow.flight as flight

    client = flight.connect(f"grpc://{address}")
    for name in sorted({row[0] for row in told["samples"]}):
        rows = [row for row in told["samples"] if row[0] == name]
        texts = any(row[4] is not None for row in rows)
        batch = pa.record_batch(
            {
                "tag": pa.array([name] * len(rows)),
                "timestamp": pa.array([datetime.fromisoformat(row[1]).replace(tzinfo=timezone.utc) for row in rows], pa.timestamp("ns", "UTC")),
                "value": pa.array([row[4] for row in rows]) if texts else pa.array([row[2] for row in rows], pa.float64()),
                "quality": pa.array([row[3] for row in rows], pa.uint32()),
            }
        )
        writer, reader = client.do_put(flight.FlightDescriptor.for_command(json.dumps({"write": {"create_tags": True}})), batch.schema)
        writer.write_batch(batch)
        writer.done_writing()
        assert int(json.loads(reader.read().to_pybytes())["samples"]) == len(rows)
        writer.close()


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


def check(address):
    from adbc_driver_flightsql import dbapi as adbc

    wrong = []
    with adbc.connect(f"grpc://{address}", autocommit=True) as connection:
        for number, statement in enumerate(STATEMENTS):
            try:
                with connection.cursor() as cursor:
                    cursor.execute(statement["sql"], parameters(statement))
                    table = cursor.fetch_arrow_table()
            except Exception as error:
                if statement.get("refused") is None or statement["refused"] not in str(error):
                    wrong.append((number, statement, f"refused: {error}"))
                continue
            if "refused" in statement:
                wrong.append((number, statement, f"answered: {cells(table)[:3]}"))
                continue
            differs = difference(cells(table), judged(statement), statement)
            if differs is None and "columns" in statement and table.column_names != statement["columns"]:
                differs = f"columns {table.column_names}"
            if differs is None and difference(statement["rows"], judged(statement), statement):
                differs = "the rows of the file are others than the judge's; write them anew with sql_tools.py rows"
            if differs:
                wrong.append((number, statement, differs))
    assert len(STATEMENTS) >= 140, len(STATEMENTS)
    if wrong:
        shown = "\n".join(f"{number} ({statement['tool']}) {statement['sql']}\n    {reason}" for number, statement, reason in wrong)
        sys.exit(f"{len(wrong)} of {len(STATEMENTS)} statements are answered otherwise:\n{shown}")
    print(f"{len(STATEMENTS)} statements")


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


def compare(path):
    answers = {}
    for line in pathlib.Path(path).read_text().splitlines():
        kind, number, *words = line.split(" ")
        words = [None if word == "-" else base64.b64decode(word[1:]).decode() for word in words]
        answers.setdefault(int(number), {"E": [], "C": [], "R": []})[kind].append(words)
    assert len(answers) == len(STATEMENTS), len(answers)
    wrong = []
    for number, statement in enumerate(STATEMENTS):
        answer = answers[number]
        if answer["E"]:
            message = answer["E"][0][0]
            if statement.get("refused") is None or statement["refused"] not in message:
                wrong.append((number, statement, f"refused: {message}"))
            continue
        if "refused" in statement:
            wrong.append((number, statement, f"answered: {answer['R'][:3]}"))
            continue
        expected = judged(statement)
        kinds = [next((row[column] for row in expected if row[column] is not None), None) for column in range(len(expected[0]) if expected else 0)]
        found = [[read(cell, kind) for cell, kind in zip(row, kinds)] for row in answer["R"]]
        differs = difference(found, expected, statement)
        if differs is None and "columns" in statement and answer["C"][0] != statement["columns"]:
            differs = f"columns {answer['C'][0]}"
        if differs:
            wrong.append((number, statement, differs))
    if wrong:
        shown = "\n".join(f"{number} ({statement['tool']}) {statement['sql']}\n    {reason}" for number, statement, reason in wrong)
        sys.exit(f"{len(wrong)} of {len(STATEMENTS)} statements are answered otherwise by the JDBC driver:\n{shown}")
    print(f"{len(STATEMENTS)} statements")


if sys.argv[1:] == ["rows"]:
    write()
elif sys.argv[1] == "list":
    listed(sys.argv[2])
    put(sys.argv[3])
elif sys.argv[1] == "compare":
    compare(sys.argv[2])
else:
    put(sys.argv[1])
    check(sys.argv[1])
