"""A client that asks for much and does not read is cut, and others are served. The historian allows two queries at once."""

import time

import numpy as np
import pyarrow as pa
import pyarrow.flight as flight

from lib import NS, batch, client, connect, put_batches, refused, ticket

TAGS, ROWS, PART = 4, 1_000_000, 50_000
QUERY = {"range": {"tags": ["stall/*"], "start": 0, "end": "*"}}


def test_a_stalled_reader_is_cut_and_its_permit_goes_to_others():
    for tag in range(TAGS):
        numbers = [np.arange(start, start + PART, dtype=np.int64) for start in range(0, ROWS, PART)]
        put_batches([batch(f"stall/{tag}", pa.array(part, NS), pa.array(part * 0.1)) for part in numbers])

    stalled = [connect().do_get(ticket(QUERY)) for _ in range(2)]
    for reader in stalled:
        reader.read_chunk()
    # Both permits are taken until the stalled readers are cut; after that the same query is served whole.
    until = time.monotonic() + 30
    refusals = 0
    while True:
        try:
            assert len(client.do_get(ticket(QUERY)).read_all()) == TAGS * ROWS
            break
        except (flight.FlightError, pa.ArrowException) as error:
            assert "queries are running" in str(error), error
            refusals += 1
            assert time.monotonic() < until, "the stalled readers were never cut"
            time.sleep(0.1)
    assert refusals > 0, "a third query was let in beside two"
    for reader in stalled:
        got = 0

        def drain():
            nonlocal got
            while True:
                got += reader.read_chunk().data.num_rows

        refused((flight.FlightError, pa.ArrowException), drain, "did not read")
        assert got < TAGS * ROWS
