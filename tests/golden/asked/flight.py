"""Reading through Arrow Flight: tickets, plans, the catalog, joins, and what is refused."""

import pyarrow as pa
import wire
from asked.question import (
    ALL, ALL_FUNCTIONS, DETECTORS, FRIDAY, NOON, OUTAGE, PRESSURE, TEMPERATURE, VIBRATION, WEEKEND, exchange, fetched, flights, get, info, measures,
    schema, steps,
)  # fmt: skip
from data import DAY, HOUR, MINUTE, SECOND, START, UTC


def ranges():
    def of(*tags, **more):
        return {"range": {"tags": list(tags), **more}}

    yield get("range f64 with gaps and Bad runs", of(TEMPERATURE, **OUTAGE))
    yield get("range corrected", of(TEMPERATURE, **NOON))
    yield get("range late samples", of(TEMPERATURE, start="2025-10-22", end="2025-10-24T00:10:00Z"))
    yield get("range newest in heads", of(TEMPERATURE, start="2025-10-27T23:55:00Z", end="*"))
    yield get("range a whole day of f32", of(PRESSURE, **FRIDAY))
    yield get("range deleted", of(PRESSURE, start="2025-10-24T05:59:00Z", end="2025-10-24T07:31:00Z"))
    yield get("range replaced", of("plant/line/flow", start="2025-10-25T01:50", end="2025-10-25T03:10", zone="Europe/Berlin"))
    for tag in ("plant/line/state", "plant/line/running", "plant/line/counter", "plant/line/batch", "plant/boiler/setpoint"):
        yield get(f"range {tag.split('/')[-1]}", of(tag, limit=40, **ALL))
    yield get("range every float to the bit", of("odd/floats", **ALL))
    yield get("range integers to the ends", of("odd/signed", "odd/serial", **ALL))
    yield get("range texts alone", of("odd/text", **ALL))
    yield get("range of several types", of("odd/**", **ALL))
    yield get("range of several types with types", of("plant/line/*", **FRIDAY, limit=5, types=True))
    yield get("range as among others", of("odd/signed", **ALL, among=["F64", "STRING"]))
    yield get("range backwards with a limit", of(TEMPERATURE, start="2025-10-25T12:05:00Z", end="2025-10-25T11:00:00Z", limit=15))
    yield get("range outside", of(TEMPERATURE, "plant/boiler/setpoint", start="2025-10-25T06:10:00Z", end="2025-10-25T06:20:00Z", boundary="OUTSIDE"))
    yield get("range interpolated", of("plant/boiler/*", start="2025-10-25T06:00:30Z", end="2025-10-25T06:03:30Z", boundary="INTERPOLATED"))
    yield get("range interpolated across a gap", of(TEMPERATURE, start="2025-10-25T07:00:00.5Z", end="2025-10-25T08:00:00Z", boundary="INTERPOLATED"))
    yield get("range interpolated backwards", of(TEMPERATURE, end="2025-10-24T11:42:30Z", start="2025-10-24T11:52:30Z", boundary="INTERPOLATED"))
    yield get("range Good only", of(TEMPERATURE, **OUTAGE, quality="GOOD", boundary="OUTSIDE"))
    yield get("range not Bad", of(TEMPERATURE, start="2025-10-25T15:55:00Z", end="2025-10-25T16:35:00Z", quality="NOT_BAD"))
    yield get("range wide", of("plant/boiler/*", start="2025-10-24T03:59:00Z", end="2025-10-24T04:01:00Z", layout="WIDE"))
    yield get("range wide of all types", of("plant/line/*", start="2025-10-24T00:00:00Z", end="2025-10-24T02:00:00Z", layout="WIDE"))
    yield get("range wide with a limit", of("many/*/value", **FRIDAY, layout="WIDE", limit=7))
    yield get("range wide as of", of("plant/boiler/*", "plant/line/state", start="2025-10-24T11:30:00Z", end="2025-10-24T12:10:00Z", layout="WIDE", fill="AS_OF", step="5m"))
    yield get("range wide linear", of("plant/boiler/*", "plant/line/flow", start="2025-10-24T09:50:00Z", end="2025-10-24T10:40:00Z", layout="WIDE", fill="LINEAR", step="5m"))
    yield get("range wide linear without a step", of(TEMPERATURE, "plant/boiler/setpoint", start="2025-10-24T11:35:00Z", end="2025-10-24T12:05:00Z", layout="WIDE", fill="LINEAR"))
    yield get("range civil times across the change", of("plant/line/state", start="2025-10-26", end="2025-10-27", zone="Europe/Berlin"))
    yield get("range civil times in Tokyo", of("plant/line/state", start="2025-10-26 09:00", end="2025-10-26 12:00", zone="Asia/Tokyo"))
    yield get("range numbers with their unit", of(TEMPERATURE, start="1761350400s", end="1761350700000ms"))
    yield get("range numbers of time_unit", of(TEMPERATURE, start=1761350400, end=1761350700, time_unit="s"))
    yield get("range open on both sides", of("plant/boiler/setpoint", start="0001-01-01", end="9999-12-31"))
    yield get("range relative", of(TEMPERATURE, start="*-8h", end="*"))
    yield get("range nothing matches", of("nothing/**", **ALL))
    yield get("range a tag without samples", of("plant/line/empty", **ALL, boundary="INTERPOLATED"))
    yield get("range every sample of a tag", of(TEMPERATURE, **ALL))
    yield get("range every sample of the plant", of("plant/**", **ALL))
    yield get("range every sample of the plant, wide", of("plant/**", **ALL, layout="WIDE"))
    yield get("range a whole glob", of("many/**", **ALL))
    yield get("range of lowerCamelCase and numbers as text", '{"range": {"tags": ["many/0?/value"], "start": "2025-10-24", "end": "2025-10-25", "pageSize": "12"}}')
    yield get("range protobuf", ("RangeRequest", {"tags": ["plant/{boiler,line}/{setpoint,counter}"], "start": "2025-10-24", "end": "2025-10-24T12:00:00Z"}))
    yield get("range lz4", of("many/**", **FRIDAY), historian_compression="lz4")
    yield get("range zstd", of("many/**", **FRIDAY), historian_compression="zstd")

    def pages(doors, note):
        """range of many/0*/value in pages of 50, until there is no more, the direction backwards"""
        token, page = "", 0
        while page == 0 or token:
            note.line(f"==== page {page}")
            ranged = of("many/0*/value", start=ALL["end"], end=ALL["start"], page_size=50, page_token=token, boundary="OUTSIDE")
            table = doors.flight.get(note, ranged)
            token, page = (table.schema.metadata or {}).get(b"next_page_token", b"").decode(), page + 1

    yield steps("flight/get/range in pages", pages)


def current():
    yield get("current of all", {"current": {"tags": ["**"]}})
    yield get("current of all with types", {"current": {"tags": ["**"], "types": True}})
    yield get("current of one type", {"current": {"tags": ["plant/boiler/temperature", "plant/line/flow"]}})
    yield get("current of text", {"current": {"tags": ["odd/text"]}})
    yield get("current without samples", {"current": {"tags": ["plant/line/empty"]}})
    yield get("current protobuf", ("CurrentValuesRequest", {"tags": ["odd/*"]}))


def superseded():
    yield get("superseded by corrections", {"superseded": {"tags": [TEMPERATURE], **ALL}})
    yield get("superseded by a deletion", {"superseded": {"tags": [PRESSURE], **ALL, "limit": 20}})
    yield get("superseded of several types", {"superseded": {"tags": ["plant/**"], **ALL, "limit": 5}})
    yield get("superseded none", {"superseded": {"tags": ["many/**"], **ALL}})


def aggregate():
    def of(functions, *tags, **more):
        return {"aggregate": {"tags": list(tags), "functions": functions.split(), **more}}

    every = " ".join(ALL_FUNCTIONS)
    yield get("aggregate all functions", of(every, TEMPERATURE, **WEEKEND, interval="6h"))
    yield get("aggregate all functions of f32", of(every, PRESSURE, **FRIDAY, interval="3h"))
    yield get("aggregate all functions of states", of(every, "plant/line/state", **FRIDAY, interval="8h"))
    yield get("aggregate all functions of a stepped tag", of(every, "plant/boiler/setpoint", **WEEKEND, interval="1d"))
    yield get("aggregate count of text", of("count percent_good duration_bad worst_quality", "plant/line/batch", "odd/text", **ALL, interval="0"))
    yield get("aggregate backwards", of("average minimum", TEMPERATURE, start="2025-10-25T12:00:00Z", end="2025-10-25T00:00:00Z", interval="90m"))
    yield get("aggregate one interval", of("time_average count", "many/*/value", **ALL))
    yield get("aggregate fine", of("average maximum", TEMPERATURE, **OUTAGE, interval="90s"))
    yield get("aggregate a day", of("count minimum maximum average", VIBRATION, **FRIDAY, interval="1h"))
    yield get("aggregate calendar days", of("time_average2 count", TEMPERATURE, "plant/boiler/setpoint", start="2025-10-24", end="2025-10-28", zone="Europe/Berlin", calendar="CALENDAR_DAY"))
    yield get("aggregate shifts", of("percent_good maximum", TEMPERATURE, **WEEKEND, calendar="CALENDAR_SHIFT", shift_starts=["06:00", "14:00", "22:00"]))
    yield get("aggregate weeks and months", of("count", TEMPERATURE, start="2025-10-01", end="2025-12-01", calendar="CALENDAR_MONTH", zone="America/New_York"))
    configuration = {"treat_uncertain_as_bad": False, "percent_data_bad": 20, "percent_data_good": 90, "use_sloped_extrapolation": True, "stepped": True}
    yield get("aggregate configured", of("average time_average2 end_bound", TEMPERATURE, start="2025-10-27T18:00:00Z", end="2025-10-29T06:00:00Z", interval="4h", configuration=configuration))
    yield get("aggregate uncertain values", of("average minimum count", TEMPERATURE, start="2025-10-25T15:30:00Z", end="2025-10-25T17:00:00Z", interval="15m", configuration={"use_uncertain_values": True}))
    yield get("aggregate protobuf", ("AggregateRequest", {"tags": ["plant/line/*"], **FRIDAY, "interval": "12h", "functions": ["count"], "configuration": {"percentDataBad": 50, "percentDataGood": 50}}))


def downsample():
    for method in ("PLOT", "M4", "MINMAX", "LTTB", "MINMAXLTTB"):
        yield get(f"downsample {method}", {"downsample": {"tags": [TEMPERATURE], **ALL, "points": 60, "method": method}})
    yield get("downsample a large tag", {"downsample": {"tags": [VIBRATION], **ALL, "points": 100}})
    yield get("downsample of several types", {"downsample": {"tags": ["plant/line/*"], **ALL, "points": 60, "types": True}})
    yield get("downsample fewer than points", {"downsample": {"tags": ["plant/boiler/setpoint"], **ALL}})
    yield get("downsample protobuf", ("DownsampleRequest", {"tags": [PRESSURE], **FRIDAY, "points": 30, "method": "METHOD_LTTB"}))


def anomalies():
    for detector, parameters in DETECTORS.items():
        for output in ("FINDINGS", "COUNTS"):
            yield get(f"anomalies {detector} {output}", {"anomalies": {"tags": [TEMPERATURE, "plant/line/flow"], **ALL, "detector": detector, "parameters": parameters, "output": output}})
        yield get(f"anomalies {detector} SCORES", {"anomalies": {"tags": [TEMPERATURE], **NOON, "detector": detector, "parameters": parameters, "output": "SCORES"}})
    yield get("anomalies of limits of the tag", {"anomalies": {"tags": [TEMPERATURE, PRESSURE], **ALL, "detector": "limits"}})
    yield get("anomalies gap of every type", {"anomalies": {"tags": ["plant/**", "odd/text"], **ALL, "detector": "stale", "parameters": {"factor": 2, "usable_only": True}}})
    yield get("anomalies protobuf", ("AnomaliesRequest", {"tags": [VIBRATION], **FRIDAY, "detector": "hampel", "parameters": {"threshold": 8}}))


def measure():
    for name, content in measures():
        yield get(f"measure {name}", {"measure": content})
    name, content = next(measures())
    yield get("measure protobuf", ("MeasureRequest", content))


def subscribe():
    yield get("subscribe behind all there is", {"subscribe": {"tags": ["**"], "position": 10**15}})
    last = lambda messages: b"xxxxxxxx" in messages[-1]
    command = {"subscribe": {"tags": ["plant/**", "odd/text"], "position": 16, "current": True}}
    yield "flight/get/subscribe until the last write", command, lambda doors, note: doors.flight.get(note, command, enough=last)
    yield get("subscribe nothing named", {"subscribe": {"tags": []}})


def exchange_asof():
    times = [START - 2 * DAY, START + 700 * MINUTE + 30 * SECOND, None, START + 12 * HOUR, START + DAY + 7 * HOUR, START + 400 * DAY]
    batch = pa.record_batch({"order": pa.array([f"order {number}" for number in range(len(times))]), "timestamp": pa.array(times, UTC)})
    yield exchange("asof", {"asof": {"tags": ["plant/**", "odd/text"]}}, batch)
    yield exchange("asof tolerance", {"asof": {"tags": ["plant/boiler/*"], "tolerance": "1h", "quality": "ANY"}}, batch, batch.slice(2, 3))
    millis = pa.record_batch({"timestamp": pa.array([START // 1_000_000 + 5], pa.timestamp("ms", "Europe/Berlin")), "n": pa.array([1], pa.uint8())})
    yield exchange("asof Good, milliseconds", {"asof": {"tags": ["many/0*/value"], "quality": "GOOD"}}, millis)
    yield exchange("asof protobuf", ("AsOfRequest", {"tags": [TEMPERATURE]}), batch)
    yield exchange("asof without a timestamp", {"asof": {"tags": [TEMPERATURE]}}, pa.record_batch({"x": pa.array([1])}))
    yield exchange("asof of an unknown tag", {"asof": {"tags": ["no/such"]}}, batch)
    yield exchange("another command", {"current": {"tags": ["**"]}}, batch)


def plans():
    ranged = {"tags": [TEMPERATURE], **FRIDAY}
    commands = {
        "range": {"range": ranged},
        "range of several types": {"range": {"tags": ["odd/**"], **ALL}},
        "range wide": {"range": {"tags": ["plant/boiler/*"], **FRIDAY, "layout": "WIDE"}},
        "range interpolated": {"range": {**ranged, "boundary": "INTERPOLATED"}},
        "current": {"current": {"tags": ["plant/**"]}},
        "superseded": {"superseded": {"tags": [PRESSURE], **FRIDAY}},
        "aggregate": {"aggregate": {**ranged, "interval": "1h", "functions": ["average", "count"]}},
        "downsample": {"downsample": {**ranged, "points": 50}},
        "anomalies": {"anomalies": {**ranged, "detector": "spike"}},
        "anomalies scores": {"anomalies": {**ranged, "detector": "spike", "output": "SCORES"}},
        "anomalies counts": {"anomalies": {**ranged, "detector": "spike", "output": "COUNTS"}},
        "measure": {"measure": {**ranged, "measure": "PERCENT_GOOD"}},
        "subscribe": {"subscribe": {"tags": ["plant/**"]}},
        "asof": {"asof": {"tags": ["plant/**"]}},
        "write": {"write": {}},
        "protobuf": ("RangeRequest", ranged),
        "nothing matches": {"range": {"tags": ["nothing/**"], **ALL}},
        "an unknown tag": {"range": {"tags": ["no/such"], **ALL}},
        "a page": {"range": {**ranged, "page_size": 10}},
        "not JSON": "range everything",
    }
    for name, command in commands.items():
        yield info(name, command)
        yield schema(name, command)
    yield fetched("several endpoints", {"range": {"tags": ["trend/*", "many/**"], **ALL}}, endpoints=(0, -1))
    yield fetched("aggregates of many tags", {"aggregate": {"tags": ["**"], **FRIDAY, "interval": "6h", "functions": ["count"]}}, endpoints=(0, -1))
    yield fetched("relative times", {"range": {"tags": [TEMPERATURE], "start": "*-8h", "end": "*"}})
    yield fetched("a path", ["plant", "boiler", "setpoint"])
    yield fetched("a path in one", ["tags", "plant/line/state"])
    yield info("the path of all", ["tags"])
    yield schema("a path", ["odd", "serial"])
    yield info("an unknown path", ["plant", "boiler", "none"])
    yield info("an empty path", [])
    yield "flight/poll/range", commands["range"], lambda doors, note: doors.flight.poll(note, commands["range"])
    yield "flight/poll/unknown", commands["an unknown tag"], lambda doors, note: doors.flight.poll(note, commands["an unknown tag"])
    yield flights("all", b"")
    yield flights("a glob", b"plant/*/s*")
    yield flights("JSON", {"tags": ["odd/single", "plant/line/batch"]})
    yield flights("an unknown name", b"no/such")
    yield flights("not a glob", b"plant/[")
    yield "flight/actions", "ListActions", lambda doors, note: doors.flight.actions(note)
    yield "flight/action unknown", "DoAction Drop", lambda doors, note: doors.flight.action(note, "Drop")
    yield "flight/handshake", "Handshake with a payload", lambda doors, note: doors.flight.handshake(note, wire.field(2, b"reader:secret"))
    basic = {"authorization": "Basic cmVhZGVyOnNlY3JldA=="}
    yield "flight/handshake with a user", basic, lambda doors, note: doors.flight.handshake(note, b"", basic)


def refused():
    def of(name, command, **headers):
        return get(f"refused/{name}", command, **headers)

    ranged = {"tags": [TEMPERATURE], **FRIDAY}
    for kind in ("range", "current", "superseded", "aggregate", "downsample", "anomalies", "measure", "asof"):
        more = {"aggregate": {"functions": ["count"]}, "anomalies": {"detector": "gap"}, "measure": {"measure": "PERCENT_GOOD"}}.get(kind, {})
        bounds = {} if kind in ("current", "asof") else FRIDAY
        yield of(f"{kind} of no tags", {kind: {**bounds, **more}})
        yield of(f"{kind} of an unknown tag", {kind: {"tags": [TEMPERATURE, "no/such/tag"], **bounds, **more}})
        yield of(f"{kind} with an unknown field", {kind: {"tags": ["**"], **bounds, **more, "colour": "red"}})
        yield of(f"{kind} of a bad glob", {kind: {"tags": ["plant/[", "a//b"], **bounds, **more}})
        if bounds:
            yield of(f"{kind} without a start", {kind: {"tags": ["**"], "end": "*", **more}})
            yield of(f"{kind} of a bad zone", {kind: {"tags": ["**"], **bounds, **more, "zone": "Mars/Olympus"}})
            yield of(f"{kind} of a bad time", {kind: {"tags": ["**"], "start": "the day before", "end": "*", **more}})
            yield of(f"{kind} of a number without its unit", {kind: {"tags": ["**"], "start": 1761264000, "end": "*", **more}})
            if kind not in ("range", "aggregate"):
                yield of(f"{kind} backwards", {kind: {"tags": ["many/**"], "start": FRIDAY["end"], "end": FRIDAY["start"], **more}})
    yield of("nothing", "")
    yield of("not JSON", "{range}")
    yield of("two commands", {"range": ranged, "current": {"tags": ["**"]}})
    yield of("an unknown command", {"ranges": ranged})
    yield of("a field twice", '{"range": {"tags": ["**"], "tags": ["x"]}}')
    yield of("a wrong type", {"range": {**ranged, "limit": "many"}})
    yield of("a wrong enum", {"range": {**ranged, "boundary": "AROUND"}})
    yield of("an Any that is unknown", wire.any_message("historian.v1.DropRequest", b""))
    yield of("an Any that is cut", wire.any_message("historian.v1.RangeRequest", b"\x0a\xff"))
    yield of("a ticket too long", {"range": {"tags": ["x" * 70_000]}})
    yield of("a negative limit", {"range": {**ranged, "limit": -1}})
    yield of("a page that is too large", {"range": {**ranged, "page_size": 2_000_000}})
    yield of("a page token", {"range": {**ranged, "page_size": 10, "page_token": "abc"}})
    yield of("a fill of the long layout", {"range": {**ranged, "fill": "LINEAR"}})
    yield of("a step without a fill", {"range": {**ranged, "layout": "WIDE", "step": "1m"}})
    yield of("a write", {"write": {}})
    yield of("an exchange", {"asof": {"tags": [TEMPERATURE]}})
    yield of("more rows than a query may have", {"range": {"tags": ["trend/*"], **ALL}})
    yield of("compression", {"range": ranged}, historian_compression="best")
    yield of("functions none", {"aggregate": {**ranged, "functions": []}})
    yield of("functions unknown", {"aggregate": {**ranged, "functions": ["mean", "count"]}})
    yield of("an interval and a calendar", {"aggregate": {**ranged, "functions": ["count"], "interval": "1h", "calendar": "CALENDAR_DAY"}})
    yield of("an interval that is none", {"aggregate": {**ranged, "functions": ["count"], "interval": "1 fortnight"}})
    yield of("shifts without a calendar", {"aggregate": {**ranged, "functions": ["count"], "shift_starts": ["06:00"]}})
    yield of("a configuration that contradicts itself", {"aggregate": {**ranged, "functions": ["count"], "configuration": {"percent_data_bad": 10, "percent_data_good": 20}}})
    yield of("numbers of a text", {"aggregate": {"tags": ["plant/line/batch"], **FRIDAY, "functions": ["average"]}})
    yield of("points", {"downsample": {**ranged, "points": 3}})
    yield of("a detector", {"anomalies": {**ranged, "detector": "oracle"}})
    yield of("a parameter", {"anomalies": {**ranged, "detector": "spike", "parameters": {"windows": 3}}})
    yield of("the value of a parameter", {"anomalies": {**ranged, "detector": "spike", "parameters": {"window": 1}}})
    yield of("scores of a text", {"anomalies": {"tags": ["plant/line/batch"], **FRIDAY, "detector": "spike"}})
    yield of("a measure that is missing", {"measure": {**ranged}})
    yield of("an integral without its unit", {"measure": {**ranged, "measure": "INTEGRAL"}})
    yield of("an integral of a text", {"measure": {"tags": ["plant/line/batch"], **FRIDAY, "measure": "INTEGRAL", "per": "h"}})
    yield of("a state that is none", {"measure": {"tags": ["plant/line/state"], **FRIDAY, "measure": "TIME_IN_STATE", "states": ["sleeping"]}})
