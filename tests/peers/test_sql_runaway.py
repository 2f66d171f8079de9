"""Statements that would run for hours, beside clients that want little.

While each of them runs, `SELECT 1`, plans and samples are answered to others; when it is cancelled, at its deadline, or when its client goes, the
process has its processors back within a second.
"""

import os
import threading
import time

import pyarrow as pa
import pyarrow.flight as flight
import pytest

from lib import SECOND, START, client, connect, field, put, statement, ticket

ROWS = 60_000
OTHERS_WAIT_MAX = 5.0  # generous: they wait for a processor, not for a statement
JOIN = "SELECT count(*) FROM samples a JOIN samples b ON a.tag = b.tag"


@pytest.fixture(scope="module", autouse=True)
def written():
    put("a/long", [START + index * SECOND for index in range(ROWS)], [float(index) for index in range(ROWS)])


def info(text):
    return connect().get_flight_info(flight.FlightDescriptor.for_command(statement(text)))


def processor_seconds():
    with open(f"/proc/{os.environ['HISTORIAN_PID']}/stat", encoding="utf-8") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.mark.parametrize(("text", "end"), [
    (JOIN, "cancel"),
    (JOIN, "deadline"),
    ("SELECT count(*) FROM samples a JOIN samples b ON a.value + b.value < -1", "cancel"),
    ("SELECT count(*) FROM samples a, samples b, samples c WHERE a.value + b.value * c.value < -1", "deadline"),
    ("SELECT a.value FROM samples a CROSS JOIN samples b", "go"),
    ("WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t", "cancel"),
])
def test_a_statement_that_would_run_for_hours_stops_no_other_client_and_ends_when_told(text, end):
    planned = info(text)
    ended = []

    def run():
        options = flight.FlightCallOptions(timeout=1.0 if end == "deadline" else 300.0)
        try:
            stream = connect().do_get(planned.endpoints[0].ticket, options)
            if end == "go":
                stream.read_chunk()
                stream.cancel()
                ended.append("gone")
            else:
                # Not `read_all`: told of a cancellation, that one interrupts the main thread.
                while True:
                    stream.read_chunk()
        except StopIteration:
            ended.append(None)
        except (flight.FlightError, pa.ArrowException) as error:
            ended.append(str(error))

    runner = threading.Thread(target=run, daemon=True)
    runner.start()
    time.sleep(0.3)
    since = time.monotonic()
    other = connect()
    one = other.do_get(info("SELECT 1 AS one").endpoints[0].ticket).read_all()
    assert one.to_pydict() == {"one": [1]}
    info("SELECT count(*) FROM samples a JOIN tags t ON t.name = a.tag")
    few = other.do_get(ticket({"range": {"tags": ["a/long"], "start": "2026-01-01", "end": "2026-01-01T00:01:00Z"}})).read_all()
    assert few.num_rows == 60
    assert time.monotonic() - since < OTHERS_WAIT_MAX, f"others waited {time.monotonic() - since} s"
    if end == "cancel":
        list(client.do_action(flight.Action("CancelFlightInfo", field(1, planned.serialize()))))
    runner.join(10)
    assert not runner.is_alive(), "it does not end"
    assert ended and ended[0], f"it came to its end: {ended}"
    time.sleep(1)
    before = processor_seconds()
    time.sleep(0.5)
    used = processor_seconds() - before
    assert used < 0.25, f"{used} s of processors in half a second, a second after its end"
