#!/usr/bin/env python3
"""What a client waits for current values of many tags, over Arrow Flight, from a historian that runs.

    clients.py [--server grpc://127.0.0.1:8815] [--tags 100000] [--calls 15]

Writes one sample of each tag of a plant below `bench/` (made where they do not exist; written again, they change nothing), asks for
`{"current": {"tags": ["bench/**"]}}` so many times on one connection, each answer read whole, and prints rows, and the median, the shortest
and the longest call in milliseconds; the first call, which meets cold caches, apart. Figures are of this machine, whatever else it is doing.
"""
import argparse, json, statistics, sys, time
import numpy as np, pyarrow as pa, pyarrow.flight as fl

SECOND = 1_000_000_000
START = 1_750_000_000 * SECOND
BATCH_TAGS = 20_000
# As the plant of `historian demo`: what is measured, between which values.
MEASURED = [("temperature", 20, 95), ("pressure", 1, 16), ("flow", 0, 250), ("level", 0, 100), ("power", 0, 55), ("speed", 0, 3000),
    ("current", 0, 80), ("valve", 0, 100), ("humidity", 20, 90), ("vibration", 0, 12)]


def names(count):
    return [f"bench/area{tag // 1000:03d}/machine{tag // 10 % 100:02d}/{MEASURED[tag % 10][0]}" for tag in range(count)]


def write(client, count):
    """One sample per tag, each batch durable when acknowledged."""
    rng, tags = np.random.default_rng(42), names(count)
    low, high = (np.array([one[at] for one in MEASURED], float)[np.arange(count) % 10] for at in (1, 2))
    table = pa.table({"tag": pa.array(tags), "timestamp": pa.array(np.full(count, START), pa.timestamp("ns", "UTC")),
        "value": np.round(low + rng.random(count) * (high - low), 2), "quality": np.zeros(count, np.uint32)})
    command = json.dumps({"write": {"create_tags": True}}).encode()
    writer, answers = client.do_put(fl.FlightDescriptor.for_command(command), table.schema)
    batches = table.to_batches(max_chunksize=BATCH_TAGS)
    for batch in batches:
        writer.write_batch(batch)
    writer.done_writing()
    written = 0
    while (answer := answers.read()) is not None:
        written += int(json.loads(answer.to_pybytes())["samples"])
    writer.close()
    return written


def current(client):
    begun = time.perf_counter()
    table = client.do_get(fl.Ticket(b'{"current":{"tags":["bench/**"]}}')).read_all()
    return table.num_rows, (time.perf_counter() - begun) * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="grpc://127.0.0.1:8815")
    parser.add_argument("--tags", type=int, default=100_000, help="1 to 1,000,000")
    parser.add_argument("--calls", type=int, default=15, help="1 to 10,000")
    options = parser.parse_args()
    if not 1 <= options.tags <= 1_000_000 or not 1 <= options.calls <= 10_000:
        parser.error("--tags is 1 to 1,000,000 and --calls 1 to 10,000")
    with fl.connect(options.server) as client:
        try:
            begun = time.perf_counter()
            written = write(client, options.tags)
            print(f"{written:,} samples written, one per tag, in {time.perf_counter() - begun:.2f} s")
            rows, first = current(client)
            times = [current(client)[1] for _ in range(options.calls)]
        except fl.FlightUnavailableError as error:
            sys.exit(f"no historian answers at {options.server}: {str(error).splitlines()[0][:200]}")
    if rows < options.tags:
        sys.exit(f"{rows:,} rows of {options.tags:,} tags came")
    print(f"current values through Flight: {rows:,} rows, median {statistics.median(times):.1f} ms of {len(times)} calls "
          f"({min(times):.1f} to {max(times):.1f}; the first {first:.1f})")


if __name__ == "__main__":
    main()
