"""How one line of the lists becomes a question: a name, what is told of it, and a function that asks it. And what the lists share."""

from typing import NamedTuple

import wire


class Doors(NamedTuple):
    flight: object
    grpc: object
    http: object
    cli: object


# Ranges of the data set.
FRIDAY = {"start": "2025-10-24T00:00:00Z", "end": "2025-10-25T00:00:00Z"}
NOON = {"start": "2025-10-25T11:55:00Z", "end": "2025-10-25T12:20:00Z"}
OUTAGE = {"start": "2025-10-24T11:30:00Z", "end": "2025-10-24T12:05:00Z"}
WEEKEND = {"start": "2025-10-25", "end": "2025-10-28", "zone": "Europe/Berlin"}
ALL = {"start": "2025-01-01", "end": "2026-01-01"}
TEMPERATURE, PRESSURE, VIBRATION = "plant/boiler/temperature", "plant/boiler/pressure", "trend/vibration"


# How one line becomes a question: its name, what is told of it, and a function that asks it.


def get(name, command, **headers):
    headers = {key.replace("_", "-"): value for key, value in headers.items()}
    return f"flight/get/{name}", f"{command} {headers or ''}", lambda doors, note: doors.flight.get(note, command, headers)


def info(name, asked, **headers):
    return f"flight/info/{name}", asked, lambda doors, note: doors.flight.info(note, asked)


def fetched(name, asked, endpoints=(0,)):
    """GetFlightInfo, then the answers of some of its tickets."""

    def ask(doors, note):
        tickets = doors.flight.info(note, asked)
        for number in endpoints:
            note.line(f"==== endpoint {number} of {len(tickets)}")
            doors.flight.get(note, tickets[number])

    return f"flight/info/{name}", asked, ask


def schema(name, asked):
    return f"flight/schema/{name}", asked, lambda doors, note: doors.flight.get_schema(note, asked)


def flights(name, criteria):
    return f"flight/list/{name}", criteria, lambda doors, note: doors.flight.list(note, criteria)


def put(name, command, *batches, schema=None):
    told = f"{command} {[batch.to_pydict() for batch in batches]}"
    return f"flight/put/{name}", told, lambda doors, note: doors.flight.put(note, command, list(batches), schema)


def exchange(name, command, *batches):
    told = f"{command} {[batch.to_pydict() for batch in batches]}"
    return f"flight/exchange/{name}", told, lambda doors, note: doors.flight.exchange(note, command, list(batches))


def call(name, method, content):
    service = method.split("/")[0].removesuffix("Service").lower()
    return f"grpc/{service}/{name}", f"{method} {content}", lambda doors, note: doors.grpc.call(note, method, content)


def steps(name, function):
    return name, function.__doc__, function


def web(name, method, path):
    return f"http/{name}", f"{method} {path}", lambda doors, note: doors.http.ask(note, method, path)


def cli(name, *words, files=None, shown=None):
    return f"cli/{name}", f"{list(words)} {files or ''}", lambda doors, note: doors.cli.run(note, words, files, shown=shown)


def sql_command(name, *contents):
    return wire.field(1, f"type.googleapis.com/arrow.flight.protocol.sql.{name}") + wire.field(2, b"".join(contents))


def sql(name, text, **headers):
    """A statement: what GetFlightInfo tells, then the answer."""
    headers = {key.replace("_", "-"): value for key, value in headers.items()}

    def ask(doors, note):
        for ticket in doors.flight.info(note, sql_command("CommandStatementQuery", wire.field(1, text)), headers, raw=True):
            note.line("==== answer")
            doors.flight.get(note, ticket, headers, raw=True)

    return f"sql/{name}", f"{text} {headers or ''}", ask


def meta(name, command, *contents):
    """A command of Flight SQL about the catalog."""

    def ask(doors, note):
        for ticket in doors.flight.info(note, sql_command(command, *contents), raw=True):
            note.line("==== answer")
            doors.flight.get(note, ticket, raw=True)

    return f"sql/metadata/{name}", f"{command} {contents}", ask


# What is asked through more than one door.

ALL_FUNCTIONS = (
    "interpolative average time_average time_average2 total total2 minimum maximum minimum_actual_time maximum_actual_time range minimum2 maximum2 "
    "minimum_actual_time2 maximum_actual_time2 range2 annotation_count count duration_in_state_zero duration_in_state_non_zero number_of_transitions "
    "start end delta start_bound end_bound delta_bounds duration_good duration_bad percent_good percent_bad worst_quality worst_quality2 "
    "standard_deviation_sample variance_sample standard_deviation_population variance_population"
).split()

DETECTORS = {
    "limits": {"high": 97, "high_high": 120, "low": 61, "deadband": 1, "on_delay": "2m"},
    "rate_of_change": {"limit": 20, "per": "minute"},
    "flatline": {"duration": "30m"},
    "gap": {},
    "spike": {"window": 21},
    "sigma": {"threshold": 2.5},
    "seasonal": {"season": "1d", "bins": 12},
}


def measures():
    """Every kind of measure, as the fields of its request."""
    shifts = {"start": "2025-10-25", "end": "2025-10-28", "zone": "Europe/Berlin", "calendar": "CALENDAR_SHIFT", "shift_starts": ["06:00", "14:00", "22:00"]}
    state, counter, flow = "plant/line/state", "plant/line/counter", "plant/line/flow"
    yield "time in state", {"tags": [state], **shifts, "measure": "MEASURE_TIME_IN_STATE", "states": ["running", "größer"]}
    yield "time in every state", {"tags": [state, "plant/line/running", "plant/line/batch"], **FRIDAY, "measure": "MEASURE_TIME_IN_STATE", "interval": "12h"}
    yield "transitions", {"tags": [state], **WEEKEND, "calendar": "CALENDAR_DAY", "measure": "MEASURE_TRANSITIONS", "to_state": "fault"}
    yield "transitions with dwell", {"tags": ["plant/line/running"], **WEEKEND, "calendar": "CALENDAR_DAY", "measure": "MEASURE_TRANSITIONS", "dwell_min": "1h", "from_state": "true"}
    yield "counter", {"tags": [counter], **FRIDAY, "interval": "4h", "measure": "MEASURE_COUNTER_DELTA", "rollover": 65536}
    yield "counter reset", {"tags": [counter], **WEEKEND, "calendar": "CALENDAR_DAY", "measure": "MEASURE_COUNTER_DELTA", "reset": "RESET_SKIP", "max_rate": 20, "per": "min"}
    yield "counter always", {"tags": [counter], **WEEKEND, "calendar": "CALENDAR_DAY", "measure": "MEASURE_COUNTER_DELTA", "reset": "RESET_ALWAYS", "dead_band": 3}
    yield "integral", {"tags": [flow], **FRIDAY, "interval": "6h", "measure": "MEASURE_INTEGRAL", "per": "h"}
    yield "integral rescaled", {"tags": [flow], **FRIDAY, "interval": "6h", "measure": "MEASURE_INTEGRAL", "per": "min", "rescale": True}
    yield "percent good", {"tags": ["plant/boiler/*"], **WEEKEND, "calendar": "CALENDAR_WEEK", "measure": "MEASURE_PERCENT_GOOD", "treat_uncertain_as_bad": True}
