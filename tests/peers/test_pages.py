"""Ranges in pages, through Flight and gRPC: joined they are the answer at once."""

import time

import numpy as np
import pyarrow as pa
import pytest
import stubs  # noqa: F401, makes the modules of the next line

from historian.v1 import query_pb2, query_pb2_grpc
from lib import BAD, SECOND, START, channel, client, descriptor, get, put
from lib import refused as refused_call


def ask(**request):
    return get({"range": request})


@pytest.fixture(scope="module", autouse=True)
def written():
    """Five tags, of none to 41 samples in the range and some around it."""
    for number, count in enumerate([10, 0, 41, 1, 7]):
        at = START + (np.arange(-2, count + 3) * 10 + number) * SECOND
        put([f"paged/t{number}"] * len(at), at, np.arange(len(at)) + number / 10, [BAD if step % 4 == 1 else 0 for step in range(len(at))])


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


@pytest.mark.parametrize("asked", requests, ids=str)
def test_pages_of_any_size_join_to_the_whole(asked):
    whole = ask(**asked)
    assert next_token(whole) == ""
    for size in [1, 2, 5, 16, 59, 1000]:
        found = pages(size, **asked)
        joined = pa.concat_tables([page.replace_schema_metadata(None) for page in found]).combine_chunks()
        expected = whole.replace_schema_metadata(None).combine_chunks()
        assert joined.to_pylist() == expected.to_pylist(), (asked, size)
        assert len(found) <= whole.num_rows // size + 1, (asked, size, len(found), whole.num_rows)
        assert all(page.schema.field(page.num_columns - 2).type == whole.schema.field(whole.num_columns - 2).type for page in found)


def test_relative_times_stay_those_of_the_first_page():
    """What is written later is outside the range."""
    put(["moving/a", "moving/a"], [START, START + SECOND], [1.0, 2.0], [0, 0])
    first = ask(tags=["moving/a"], start=int(START), end="*", page_size=1)
    assert first.num_rows == 1 and next_token(first)
    put("moving/a", [time.time_ns()], [3.0])
    second = ask(tags=["moving/a"], start=int(START), end="*", page_size=10, page_token=next_token(first))
    assert second["value"].to_pylist() == [2.0] and not next_token(second)
    assert second.schema.metadata[b"end"] == first.schema.metadata[b"end"], second.schema.metadata


def test_a_plan_has_one_endpoint_whose_ticket_is_the_page():
    """GetFlightInfo plans one endpoint, whose ticket is the page."""
    request = {**tags, **bounds, "page_size": 20}
    info = client.get_flight_info(descriptor({"range": request}))
    assert len(info.endpoints) == 1
    page = client.do_get(info.endpoints[0].ticket).read_all()
    assert page.num_rows == 20 and ask(**request, page_token=next_token(page)).num_rows == 20


# gRPC: the same pages, a tag that is missing told once.
def grpc_pages(size, **fields):
    stub = query_pb2_grpc.QueryServiceStub(channel)
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


@pytest.mark.parametrize("fields", [
    dict(start=str(bounds["start"]), end=str(bounds["end"])),
    dict(start=str(bounds["end"]), end=str(bounds["start"]), limit=6),
], ids=["forward", "backward"])
def test_pages_of_grpc_join_too_and_a_missing_tag_is_told_once(fields):
    whole, missing, _ = grpc_pages(1000, tags=["paged/*", "no/such"], **fields)
    assert missing == ["no/such"] and len(whole) > 20
    for size in [1, 3, 10, 59]:
        rows, missing, count = grpc_pages(size, tags=["paged/*", "no/such"], **fields)
        assert rows == whole and missing == ["no/such"], (size, len(rows), len(whole))
        assert count > len(whole) // size - 1


def refused(fragment, **request):
    refused_call(pa.ArrowInvalid, lambda: ask(**request), fragment)


def test_pages_that_make_no_sense_are_refused():
    page = ask(**tags, **bounds, page_size=20)
    refused("page_size", **tags, **bounds, page_size=-1)
    refused("1000000", **tags, **bounds, page_size=1_000_001)
    refused("page_token", **tags, **bounds, page_token="00")
    refused("page_token", **tags, **bounds, page_size=5, page_token="nonsense")
    refused("page_token", **tags, **bounds, page_size=5, page_token="ff" * 20)
    refused("another request", tags=["paged/t2"], **bounds, page_size=20, page_token=next_token(page))
    refused("another request", **tags, **bounds, limit=4, page_size=20, page_token=next_token(page))
    refused("INSIDE", **tags, **bounds, layout="WIDE", boundary="OUTSIDE", page_size=5)
