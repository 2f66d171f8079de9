"""Ranges in pages, through Flight and gRPC: joined they are the answer at once. Arguments: host:port, folder of the .proto files."""

import json
import sys

import grpc
import numpy as np
import pyarrow as pa
import pyarrow.flight as flight
import stubs

address, protos = sys.argv[1:]
stubs.generate(protos)
from historian.v1 import query_pb2, query_pb2_grpc  # noqa: E402

client = flight.connect(f"grpc://{address}")
START, SECOND, BAD = 1_767_225_600_000_000_000, 1_000_000_000, 0x80000000


def put(tags, times, values, qualities):
    batch = pa.record_batch({
        "tag": pa.array(tags), "timestamp": pa.array(times, pa.timestamp("ns", "UTC")),
        "value": pa.array(values, pa.float64()), "quality": pa.array(qualities, pa.uint32()),
    })
    writer, reader = client.do_put(flight.FlightDescriptor.for_command(b'{"write": {"create_tags": true}}'), batch.schema)
    writer.write_batch(batch)
    reader.read()
    writer.done_writing()
    while reader.read() is not None:
        pass
    writer.close()


# Five tags, of none to 41 samples in the range and some around it.
for number, count in enumerate([10, 0, 41, 1, 7]):
    at = START + (np.arange(-2, count + 3) * 10 + number) * SECOND
    put([f"paged/t{number}"] * len(at), at, np.arange(len(at)) + number / 10, [BAD if step % 4 == 1 else 0 for step in range(len(at))])


def ask(**request):
    return client.do_get(flight.Ticket(json.dumps({"range": request}))).read_all()


def next_token(table):
    return (table.schema.metadata or {}).get(b"next_page_token", b"").decode()


def pages(size, **request):
    found, token = [], ""
    while True:
        page = ask(page_size=size if len(found) % 2 == 0 else size + 1, page_token=token, **request)
        assert page.num_rows <= size + 1
        found.append(page)
        token = next_token(page)
        if not token:
            return found
        assert page.num_rows > 0, "a page without rows has a next one"
        assert len(found) < 1000, "pages without an end"


bounds = dict(start=int(START), end=int(START + 400 * SECOND))
backward = dict(start=bounds["end"], end=bounds["start"])
tags = dict(tags=["paged/*"])
requests = [
    {**tags, **bounds, **more}
    for more in [{}, {"boundary": "OUTSIDE"}, {"boundary": "INTERPOLATED"}, {"limit": 5}, {"limit": 5, "boundary": "OUTSIDE"}, {"quality": "GOOD"},
                 {"layout": "WIDE"}, {"layout": "WIDE", "limit": 17}, {"layout": "WIDE", "fill": "AS_OF"},
                 {"layout": "WIDE", "fill": "LINEAR", "step": "7s"}]
] + [
    {**tags, **backward, **more}
    for more in [{}, {"boundary": "OUTSIDE"}, {"boundary": "INTERPOLATED"}, {"limit": 3}, {"layout": "WIDE"}]
] + [{"tags": ["paged/t2"], **bounds}, {"tags": ["paged/t1"], **bounds}]
for request in requests:
    whole = ask(**request)
    assert next_token(whole) == ""
    for size in [1, 2, 5, 16, 59, 1000]:
        found = pages(size, **request)
        joined = pa.concat_tables([page.replace_schema_metadata(None) for page in found]).combine_chunks()
        expected = whole.replace_schema_metadata(None).combine_chunks()
        assert joined.to_pylist() == expected.to_pylist(), (request, size)
        assert len(found) <= whole.num_rows // size + 1, (request, size, len(found), whole.num_rows)
        assert all(page.schema.field(page.num_columns - 2).type == whole.schema.field(whole.num_columns - 2).type for page in found)

# Relative times stay those of the first page: what is written later is outside the range.
put(["moving/a", "moving/a"], [START, START + SECOND], [1.0, 2.0], [0, 0])
first = ask(tags=["moving/a"], start=int(START), end="*", page_size=1)
assert first.num_rows == 1 and next_token(first)
second = ask(tags=["moving/a"], start=int(START), end="*", page_size=10, page_token=next_token(first))
assert second["value"].to_pylist() == [2.0] and not next_token(second)
assert second.schema.metadata[b"end"] == first.schema.metadata[b"end"], second.schema.metadata

# GetFlightInfo plans one endpoint, whose ticket is the page.
request = {**tags, **bounds, "page_size": 20}
info = client.get_flight_info(flight.FlightDescriptor.for_command(json.dumps({"range": request})))
assert len(info.endpoints) == 1
page = client.do_get(info.endpoints[0].ticket).read_all()
assert page.num_rows == 20 and ask(**request, page_token=next_token(page)).num_rows == 20


# gRPC: the same pages, a tag that is missing told once.
def grpc_pages(size, **fields):
    stub = query_pb2_grpc.QueryServiceStub(grpc.insecure_channel(address))
    rows, failures, token, count = [], [], "", 0
    while True:
        answers = list(stub.Range(query_pb2.RangeRequest(page_size=size, page_token=token, **fields)))
        for answer in answers:
            if answer.HasField("failure"):
                failures.append(answer.failure.tag)
            samples = answer.samples
            qualities = samples.qualities or [0] * len(samples.timestamps)  # none: all Good
            rows += [(samples.tag, at, quality) for at, quality in zip(samples.timestamps, qualities, strict=True)]
        assert all(not answer.next_page_token for answer in answers[:-1])
        token, count = answers[-1].next_page_token, count + 1
        if not token:
            return rows, failures, count
        assert count < 1000


for fields in [dict(start=str(bounds["start"]), end=str(bounds["end"])), dict(start=str(bounds["end"]), end=str(bounds["start"]), limit=6)]:
    whole, missing, _ = grpc_pages(1000, tags=["paged/*", "no/such"], **fields)
    assert missing == ["no/such"] and len(whole) > 20
    for size in [1, 3, 10, 59]:
        rows, missing, count = grpc_pages(size, tags=["paged/*", "no/such"], **fields)
        assert rows == whole and missing == ["no/such"], (size, len(rows), len(whole))
        assert count > len(whole) // size - 1


def refused(fragment, **request):
    try:
        ask(**request)
    except pa.ArrowInvalid as error:
        assert fragment in str(error), f"{fragment!r} is not in: {error}"
    else:
        raise AssertionError(f"{request} was not refused")


refused("page_size", **tags, **bounds, page_size=-1)
refused("1000000", **tags, **bounds, page_size=1_000_001)
refused("page_token", **tags, **bounds, page_token="00")
refused("page_token", **tags, **bounds, page_size=5, page_token="nonsense")
refused("page_token", **tags, **bounds, page_size=5, page_token="ff" * 20)
refused("another request", tags=["paged/t2"], **bounds, page_size=20, page_token=next_token(page))
refused("another request", **tags, **bounds, limit=4, page_size=20, page_token=next_token(page))
refused("INSIDE", **tags, **bounds, layout="WIDE", boundary="OUTSIDE", page_size=5)
print("all pages join")
