#!/usr/bin/env python3
"""What a running historian costs, seen from outside: the release binary as a process of its own, clients over Arrow Flight on loopback.

    serve.py ingest [--clients 1|2] [--tags 1000] [--samples 10000] [--query]
    serve.py tags [--count 1000000]

`ingest` writes a plant in time order, 100 samples of every tag per batch, each batch acknowledged after its fsync, up to 64 on the way, and
prints samples per second, CPU time and peak memory of the server; with --query also the latency of queries while it ingests, and after.
`tags` makes many tags with a few samples each, and prints memory per tag, and how long a restart takes until the first answer.
Everything is in a temporary directory, on loopback, and ends with the program. Figures are of this machine, whatever else it is doing.
"""
import argparse, json, os, shutil, socket, subprocess, sys, tempfile, threading, time
import numpy as np, pyarrow as pa, pyarrow.flight as fl

SECOND = 1_000_000_000
START = 1_750_000_000 * SECOND
TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """The historian as a child process."""

    def __init__(self, binary, directory):
        self.port = free_port()
        begun = time.monotonic()
        self.process = os.makedirs(directory, exist_ok=True) or subprocess.Popen([binary, "serve", "--data-dir", directory, "--listen", f"127.0.0.1:{self.port}",
            "--http", f"127.0.0.1:{free_port()}"], stdout=subprocess.DEVNULL, stderr=open(os.path.join(directory + ".log"), "ab"))
        while True:
            try:
                self.client = fl.connect(f"grpc://127.0.0.1:{self.port}")
                list(self.client.do_get(fl.Ticket(json.dumps({"current": {"tags": ["no/such/tag*"]}}).encode())))
                break
            except fl.FlightUnavailableError:
                if self.process.poll() is not None:
                    sys.exit(f"the historian ended; see {directory}.log")
                time.sleep(0.02)
        self.started_s = time.monotonic() - begun

    def connect(self):
        return fl.connect(f"grpc://127.0.0.1:{self.port}")

    def cpu_s(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self, field):
        return next(int(line.split()[1]) * 1024 for line in open(f"/proc/{self.process.pid}/status") if line.startswith(field))

    def stop(self):
        self.client.close()
        self.process.terminate()
        self.process.wait()


SCHEMA = pa.schema([("tag", pa.dictionary(pa.int32(), pa.utf8())), ("timestamp", pa.timestamp("ns", "UTC")), ("value", pa.float64()),
    ("quality", pa.uint32())])


def put(server, batches, in_flight=64):
    """Writes batches on one stream; returns when the last is acknowledged."""
    client = server.connect()
    command = json.dumps({"write": {"mode": "UPSERT", "durability": "SYNC", "create_tags": True}}).encode()
    writer, reader = client.do_put(fl.FlightDescriptor.for_command(command), SCHEMA)
    room, acknowledged = threading.Semaphore(in_flight), [0]

    def read():
        while (answer := reader.read()) is not None:
            answer = json.loads(answer.to_pybytes())
            assert "rejected" not in answer, answer
            acknowledged[0] += int(answer["samples"])
            room.release()
    thread = threading.Thread(target=read)
    thread.start()
    for batch in batches:
        room.acquire()
        writer.write_batch(batch)
    writer.done_writing()
    thread.join()
    writer.close()
    client.close()
    sent = sum(batch.num_rows for batch in batches)
    assert acknowledged[0] == sent, f"{acknowledged[0]} of {sent} samples acknowledged"


def plant(tags, samples, share, shares, rng):
    """Batches of 100 samples of every tag: 12-bit readings, noisy floats, set points, states, counters; 1 Hz, jitter of 8 ms."""
    mine = [tag for tag in range(tags) if tag % shares == share]
    names = pa.array([f"bench/t{tag:06d}" for tag in mine])
    values = np.empty((len(mine), samples))
    for row, tag in enumerate(mine):
        kind = tag % 20
        if kind < 12:
            raw = 2048 + 900 * np.sin(np.arange(samples) / rng.uniform(300, 9000)) + np.cumsum(rng.standard_normal(samples)) * 0.2
            values[row] = 10 + np.clip(np.rint(raw + rng.standard_normal(samples) * 0.8), 0, 4095) * (160 / 4095)
        elif kind < 15:
            values[row] = 100 + rng.standard_normal(samples) * 5
        elif kind < 19:
            values[row] = np.repeat(rng.integers(0, 200, samples // 300 + 1) * 0.5, 300)[:samples]
        else:
            values[row] = np.cumsum(rng.poisson(3, samples))
    jitter = np.clip(np.rint(rng.standard_normal((len(mine), samples)) * 8), -400, 400).astype(np.int64) * 1_000_000
    timestamps = START + np.arange(samples, dtype=np.int64) * SECOND + jitter
    keys = np.repeat(np.arange(len(mine), dtype=np.int32), 100)
    quality = pa.array(np.zeros(len(mine) * 100, np.uint32))
    for at in range(0, samples - samples % 100, 100):
        yield pa.record_batch([pa.DictionaryArray.from_arrays(pa.array(keys), names),
            pa.array(np.ascontiguousarray(timestamps[:, at:at + 100]).ravel(), pa.timestamp("ns", "UTC")),
            pa.array(np.ascontiguousarray(values[:, at:at + 100]).ravel()), quality], schema=SCHEMA)


QUERIES = {
    "current of 100 tags": {"current": {"tags": ["bench/t0000*"]}},
    "samples of 1 tag": {"range": {"tags": ["bench/t000007*"], "start": "@", "end": "4000000000000000000"}},
}


def latencies(server, stop, seconds):
    """Runs the queries one after the other until told to stop."""
    client, found = server.connect(), {name: [] for name in QUERIES}
    until = time.monotonic() + seconds
    while not stop.is_set() and time.monotonic() < until:
        for name, query in QUERIES.items():
            query = json.loads(json.dumps(query).replace("@", str(START + (int(time.time()) % 9000) * SECOND)))
            begun = time.perf_counter()
            client.do_get(fl.Ticket(json.dumps(query).encode())).read_all()
            found[name].append((time.perf_counter() - begun) * 1e3)
        time.sleep(0.005)
    client.close()
    return found


def show(title, found):
    for name, times in found.items():
        if times:
            print(f"  {title}: {name}: p50 {np.percentile(times, 50):.2f} ms, p99 {np.percentile(times, 99):.2f} ms ({len(times)} calls)")


def ingest(options, directory):
    rng = np.random.default_rng(42)
    shares = [list(plant(options.tags, options.samples, share, options.clients, rng)) for share in range(options.clients)]
    total = sum(batch.num_rows for share in shares for batch in share)
    server = Server(options.binary, directory)
    stop, during = threading.Event(), {}
    threads = [threading.Thread(target=put, args=(server, share)) for share in shares]
    asking = threading.Thread(target=lambda: during.update(latencies(server, stop, 600)))
    cpu, begun = server.cpu_s(), time.perf_counter()
    for thread in threads:
        thread.start()
    if options.query:
        asking.start()
    for thread in threads:
        thread.join()
    elapsed, cpu = time.perf_counter() - begun, server.cpu_s() - cpu
    stop.set()
    print(f"{options.clients} client(s), {options.tags} tags, {total:,} samples, each batch durable: {total / elapsed / 1e6:.2f} M samples/s; "
          f"server: {cpu:.2f} s CPU ({cpu / total * 1e6:.3f} µs/sample), peak {server.memory('VmHWM') / 1e6:.0f} MB")
    if options.query:
        asking.join()
        show("while ingesting", during)
        show("afterwards", latencies(server, threading.Event(), 3))
    begun = time.perf_counter()
    subprocess.run([options.binary, "compact", "--server", f"grpc://127.0.0.1:{server.port}"], check=True, capture_output=True)
    stored = sum(os.path.getsize(os.path.join(root, name)) for root, _, names in os.walk(directory) for name in names)
    print(f"  compacted in {time.perf_counter() - begun:.1f} s: {stored / total:.2f} bytes/sample on disk, everything counted; "
          f"peak {server.memory('VmHWM') / 1e6:.0f} MB")
    server.stop()


def tags(options, directory):
    server = Server(options.binary, directory)
    empty, per_batch, samples = server.memory("VmRSS"), 50_000, options.samples_per_tag
    begun = time.perf_counter()
    for first in range(0, options.count, per_batch):
        count = min(per_batch, options.count - first)
        names = pa.array([f"plant/area{(first + tag) // 1000:04d}/t{first + tag:07d}" for tag in range(count)])
        keys = pa.array(np.repeat(np.arange(count, dtype=np.int32), samples))
        times = pa.array(np.tile(START + np.arange(samples, dtype=np.int64) * 60 * SECOND, count), pa.timestamp("ns", "UTC"))
        put(server, [pa.record_batch([pa.DictionaryArray.from_arrays(keys, names), times, pa.array(np.random.default_rng(first).random(count * samples)),
            pa.array(np.zeros(count * samples, np.uint32))], schema=SCHEMA)])
    elapsed = time.perf_counter() - begun
    print(f"{options.count:,} tags of {samples} samples made and written in {elapsed:.1f} s; memory {server.memory('VmRSS') / 1e6:.0f} MB, "
          f"{(server.memory('VmRSS') - empty) / options.count:.0f} bytes per tag; peak {server.memory('VmHWM') / 1e6:.0f} MB")
    server.stop()
    server = Server(options.binary, directory)
    print(f"  restart to first answer {server.started_s:.2f} s; memory {(server.memory('VmRSS') - empty) / options.count:.0f} bytes per tag")
    begun = time.perf_counter()
    rows = server.client.do_get(fl.Ticket(json.dumps({"current": {"tags": ["plant/area00*/**"]}}).encode())).read_all().num_rows
    print(f"  current values of {rows:,} tags: {(time.perf_counter() - begun) * 1e3:.0f} ms the first time", end="")
    begun = time.perf_counter()
    server.client.do_get(fl.Ticket(json.dumps({"current": {"tags": ["plant/area00*/**"]}}).encode())).read_all()
    print(f", {(time.perf_counter() - begun) * 1e3:.0f} ms the second")
    server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = os.environ.get("HISTORIAN_CACHE", os.path.expanduser("~/.cache/historian"))
    parser.add_argument("--binary", default=os.path.join(os.environ.get("CARGO_TARGET_DIR", cache + "/target"), "release/historian"))
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("ingest")
    one.add_argument("--clients", type=int, default=1)
    one.add_argument("--tags", type=int, default=1000)
    one.add_argument("--samples", type=int, default=10_000, help="per tag")
    one.add_argument("--query", action="store_true", help="measure queries while ingesting")
    many = commands.add_parser("tags")
    many.add_argument("--count", type=int, default=1_000_000)
    many.add_argument("--samples-per-tag", type=int, default=3)
    options = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="historian-bench-")
    try:
        {"ingest": ingest, "tags": tags}[options.command](options, os.path.join(directory, "data"))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
