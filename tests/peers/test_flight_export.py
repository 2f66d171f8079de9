"""Exports through the endpoints of GetFlightInfo in parallel, against the same export by one DoGet."""

import concurrent.futures
import json

import numpy as np
import pyarrow as pa
import pytest

from lib import NS, SECOND, START, client, connect, descriptor, ticket

TAGS, ROWS, BATCHES = 500, 200, 8
QUERY = {"range": {"tags": ["line*/**"], "start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}}


@pytest.fixture(scope="module", autouse=True)
def written():
    """All batches are sent before any acknowledgement is read."""
    names = pa.array([f"line{tag // 50}/machine{tag:03}/power" for tag in range(TAGS)])
    keys = pa.array(np.tile(np.arange(TAGS, dtype=np.int32), ROWS))
    writer = None
    for number in range(BATCHES):
        times = np.repeat(np.arange(ROWS, dtype=np.int64) + number * ROWS, TAGS) * SECOND + START
        rows = pa.record_batch(
            {
                "tag": pa.DictionaryArray.from_arrays(keys, names),
                "timestamp": pa.array(times, NS),
                "value": pa.array(np.sin(times / 1e12) + np.tile(np.arange(TAGS), ROWS)),
            }
        )
        if writer is None:
            writer, reader = client.do_put(descriptor({"write": {"create_tags": True}}), rows.schema)
        writer.write_batch(rows)
    acknowledged = [json.loads(reader.read().to_pybytes()) for _ in range(BATCHES)]
    assert [int(ack["samples"]) for ack in acknowledged] == [TAGS * ROWS] * BATCHES, acknowledged
    writer.done_writing()
    writer.close()


@pytest.fixture(scope="module")
def info():
    return client.get_flight_info(descriptor(QUERY))


def test_a_plan_has_several_endpoints_and_tells_the_range_resolved(info):
    assert len(info.endpoints) > 1, info.endpoints
    assert info.total_records >= TAGS * ROWS * BATCHES
    bounds = json.loads(info.app_metadata)
    assert int(bounds["start_ns"]) == START and bounds["start"] == "2026-01-01T00:00:00Z", bounds


def test_the_parts_joined_are_the_whole_and_of_like_size(info):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda endpoint: connect().do_get(endpoint.ticket).read_all(), info.endpoints))
    whole = client.do_get(ticket(QUERY)).read_all()
    assert len(whole) == TAGS * ROWS * BATCHES, len(whole)
    assert all(part.schema.equals(info.schema) for part in parts)
    joined = pa.concat_tables([part.cast(whole.schema) for part in parts])
    for column in ("timestamp", "value", "quality"):
        assert joined.column(column).combine_chunks().equals(whole.column(column).combine_chunks()), column
    assert joined.column("tag").cast(pa.utf8()).equals(whole.column("tag").cast(pa.utf8()))
    sizes = [len(part) for part in parts]
    assert max(sizes) < 3 * min(sizes), sizes


def test_the_dictionary_of_tag_names_comes_once():
    """It is one object over all chunks of an answer."""
    addresses = {chunk.data.column("tag").dictionary.buffers()[2].address for chunk in client.do_get(ticket(QUERY))}
    assert len(addresses) == 1, len(addresses)
