"""HTTP and the command line."""

import re

from asked.question import FRIDAY, NOON, PRESSURE, TEMPERATURE, cli, steps, web


def http():
    for path in ("/livez", "/readyz", "/healthz", "/metrics", "/", "/nothing"):
        yield web(f"get {path.strip('/') or 'root'}", "GET", path)
    yield web("head healthz", "HEAD", "/healthz")
    yield web("post healthz", "POST", "/healthz")


# The command line.


def narrow(table):
    """A table without the width of its columns, which goes by the decimals of the times in it."""
    return re.sub(rb"  +", b"  ", table)


def commands():
    friday = ("--start", FRIDAY["start"], "--end", FRIDAY["end"])
    for format in ("table", "csv", "json", "arrow", "parquet"):
        words = ("query", "range", "odd/**", "plant/line/state", "--start", "2025-10-24", "--end", "2025-10-24T02:00:00Z", "--format", format)
        yield cli(f"query range {format}", *words)
        yield cli(f"query current {format}", "query", "current", "plant/**", "odd/*", "--format", format)
        yield cli(f"tag list {format}", "tag", "list", "plant/**", "--format", format)
    yield cli("query range wide", "query", "range", "plant/boiler/*", "--start", "2025-10-24T03:59", "--end", "2025-10-24T04:01", "--layout", "wide", "--format", "csv")
    yield cli("query range interpolated", "query", "range", TEMPERATURE, "--start", "2025-10-25T06:00:30", "--end", "2025-10-25T06:03:30", "--zone", "Europe/Berlin", "--boundary", "interpolated", "--limit", "3")
    yield cli("query range to a file", "query", "range", "many/0*/value", *friday, "-o", "out.csv")
    yield cli("query range to a parquet file", "query", "range", "odd/**", *friday, "-o", "out.parquet")
    yield cli("query aggregate", "query", "aggregate", TEMPERATURE, PRESSURE, *friday, "--interval", "6h", "--functions", "average,count,worst_quality", "--format", "table")
    yield cli("query aggregate shifts", "query", "aggregate", TEMPERATURE, *friday, "--calendar", "shift", "--shift-starts", "06:00,14:00,22:00", "--zone", "Europe/Berlin", "--functions", "time_average", "--format", "json")
    yield cli("query downsample", "query", "downsample", TEMPERATURE, *friday, "--points", "25", "--method", "lttb", "--format", "csv")
    for show in ("findings", "scores", "counts"):
        yield cli(f"query anomalies {show}", "query", "anomalies", TEMPERATURE, "--start", NOON["start"], "--end", NOON["end"], "--detector", "spike", "--parameter", "window=21", "--show", show, "--format", "csv")
    for format in ("table", "json"):
        yield cli(f"detectors {format}", "detectors", "--format", format)
        yield cli(f"audit {format}", "audit", "--format", format, shown=narrow if format == "table" else None)
        yield cli(f"gaps {format}", "gaps", "--format", format)
        yield cli(f"inspect {format}", "inspect", "--format", format)
    yield cli("inspect chunks", "inspect", TEMPERATURE, "--chunks", "--format", "csv")
    yield cli("measure", "measure", PRESSURE, *friday, "--measure", "percent_good", "--interval", "6h", "--format", "csv")
    yield cli("sql", "sql", "SELECT tag, count(*) AS n FROM samples WHERE tag = $tag GROUP BY tag", "-p", f"tag={PRESSURE}", "--format", "csv")
    yield cli("as-of", "as-of", "rows.csv", PRESSURE, "--format", "csv", files={"rows.csv": "timestamp,batch\n2025-10-24T12:00:00Z,7\n"})
    yield cli("superseded", "superseded", "plant/**", "--start", "2025-01-01", "--end", "2026-01-01", "--limit", "10", "--format", "csv")
    yield cli("status", "status")
    for name in ("out.csv", "out.arrow", "out.parquet"):
        yield cli(f"export {name}", "export", "odd/**", "plant/line/*", *friday, "-o", name)
    yield cli("export a directory", "export", "many/**", *friday, "-o", "parts", "--workers", "1")
    yield cli("refused unknown tag", "query", "range", "no/such")
    yield cli("refused bad time", "query", "range", "**", "--start", "long ago")
    yield cli("refused unknown flag", "query", "range", "**", "--colour", "red")
    yield cli("refused no tags", "query", "range")
    yield cli("refused bad format", "query", "current", "--format", "xml")
    yield cli("refused bad detector", "query", "anomalies", TEMPERATURE, "--detector", "oracle")
    yield cli("refused delete without yes", "delete", TEMPERATURE, *friday, "--reason", "x")
    yield cli("refused import of nothing", "import", "no.csv")
    configuration = '[server]\nlisen = "127.0.0.1:1"\n\n[[modbus]]\nname = "plc"\nendpoint = "127.0.0.1:502"\n\n[[modbus.tag]]\nname = "a"\naddress = "holding:1"\nformat = "u17"\n'
    yield "cli/check bad configuration", configuration, lambda doors, note: doors.cli.run(note, ["check", "--config", "bad.toml", "--offline"], {"bad.toml": configuration}, server=False)
    yield "cli/no server", "query current of a port where nobody listens", lambda doors, note: doors.cli.run(note, ["query", "current", "--server", "grpc://127.0.0.1:1"], server=False)
    yield steps("cli/help", every_help)


def every_help(doors, note):
    """--help and -h of every command, as far down as commands go"""

    def of(*words):
        for flag in ("--help", "-h"):
            note.line(f"==== {' '.join(words)} {flag}")
            told = doors.cli.run(note, [*words, flag], server=False).decode()
        listed = re.search(r"\nCommands:\n(.*?)(\n\n|\Z)", told, re.DOTALL)
        for command in re.findall(r"^  ([a-z]+) ", listed[1] if listed else "", re.MULTILINE):
            if command != "help":
                of(*words, command)

    of()
