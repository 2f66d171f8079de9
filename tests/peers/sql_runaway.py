"""Statements that would run for hours, beside clients that want little. Arguments: host:port, and the process that serves.

While each of them runs, `SELECT 1`, plans and samples are answered to others; when it is cancelled, at its deadline, or when its client goes, the
process has its processors back within a second.
"""

import json
import sys
import threading
import time

import pyarrow as pa
import pyarrow.flight as flight

address, process = sys.argv[1], int(sys.argv[2])
ROWS = 60_000
START, SECOND = 1_767_225_600_000_000_000, 1_000_000_000
OTHERS_WAIT_MAX = 5.0  # generous: they wait for a processor, not for a statement

client = flight.connect(f"grpc://{address}")
times = pa.array([START + index * SECOND for index in range(ROWS)], pa.timestamp("ns", "UTC"))
batch = pa.record_batch({"tag": pa.array(["a/long"] * ROWS), "timestamp": times, "value": pa.array([float(index) for index in range(ROWS)])})
writer, reader = client.do_put(flight.FlightDescriptor.for_command(json.dumps({"write": {"create_tags": True}})), batch.schema)
writer.write_batch(batch)
writer.done_writing()
assert int(json.loads(reader.read().to_pybytes())["samples"]) == ROWS
writer.close()


def varint(number):
    found = b""
    while number >= 128:
        found += bytes([number % 128 + 128])
        number //= 128
    return found + bytes([number])


def field(number, content):
    return bytes([number * 8 + 2]) + varint(len(content)) + content


def command(statement):
    kind = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
    return field(1, kind) + field(2, field(1, statement.encode()))


def info(statement):
    return flight.connect(f"grpc://{address}").get_flight_info(flight.FlightDescriptor.for_command(command(statement)))


def processor_seconds():
    fields = open(f"/proc/{process}/stat", encoding="utf-8").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def free_within_a_second(what):
    time.sleep(1)
    before = processor_seconds()
    time.sleep(0.5)
    used = processor_seconds() - before
    assert used < 0.25, f"{what}: {used} s of processors in half a second, a second after its end"


JOIN = "SELECT count(*) FROM samples a JOIN samples b ON a.tag = b.tag"
for statement, end in [
    (JOIN, "cancel"),
    (JOIN, "deadline"),
    ("SELECT count(*) FROM samples a JOIN samples b ON a.value + b.value < -1", "cancel"),
    ("SELECT count(*) FROM samples a, samples b, samples c WHERE a.value + b.value * c.value < -1", "deadline"),
    ("SELECT a.value FROM samples a CROSS JOIN samples b", "go"),
    ("WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t", "cancel"),
]:
    planned = info(statement)
    ended = []

    def run():
        own = flight.connect(f"grpc://{address}")
        options = flight.FlightCallOptions(timeout=1.0 if end == "deadline" else 300.0)
        try:
            stream = own.do_get(planned.endpoints[0].ticket, options)
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

    runner = threading.Thread(target=run)
    runner.start()
    time.sleep(0.3)
    since = time.monotonic()
    other = flight.connect(f"grpc://{address}")
    one = other.do_get(info("SELECT 1 AS one").endpoints[0].ticket).read_all()
    assert one.to_pydict() == {"one": [1]}
    info("SELECT count(*) FROM samples a JOIN tags t ON t.name = a.tag")
    few = other.do_get(flight.Ticket(json.dumps({"range": {"tags": ["a/long"], "start": "2026-01-01", "end": "2026-01-01T00:01:00Z"}}).encode())).read_all()
    assert few.num_rows == 60
    assert time.monotonic() - since < OTHERS_WAIT_MAX, f"{statement}: others waited {time.monotonic() - since} s"
    if end == "cancel":
        result = client.cancel_flight_info(flight.CancelFlightInfoRequest(planned)) if hasattr(client, "cancel_flight_info") else None
        if result is None:
            body = field(1, planned.serialize())
            list(client.do_action(flight.Action("CancelFlightInfo", body)))
    runner.join(10)
    assert not runner.is_alive(), f"{statement}: it does not end"
    assert ended and ended[0], f"{statement}: it came to its end: {ended}"
    free_within_a_second(f"{statement} ({end})")
print("ok")
