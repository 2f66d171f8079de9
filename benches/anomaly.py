#!/usr/bin/env python3
"""How well the detectors find labelled anomalies: through the public interface, scored by an independent scorer.

    anomaly.py --data DIR --scorer score.py [--detector seasonal] [--parameter season=1w ...] [--server grpc://host:port]

Writes every series of the suite `nab` in DIR (`index.json` and CSV files; their README tells the form) as a tag, asks the historian for the
SCORES of each detector over it, and hands them to the scorer. Without --detector all detectors that score values are run with their
defaults; without --server a historian is started in a temporary directory and ended again. One line per detector: VUS-PR, average
precision, event recall at one false alarm in 10,000 samples, NAB score with raw and with rank-scaled scores, seconds of the query.
"""
import argparse, csv, datetime, gzip, io, json, os, shutil, subprocess, sys, tempfile, time
import pyarrow as pa, pyarrow.flight as fl
from serve import SCHEMA, Server

DETECTORS = ["spike", "sigma", "rate_of_change", "seasonal"]


def nanoseconds(text):
    """Timestamps of the suite carry no zone and are taken as UTC."""
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc).timestamp()) * 1_000_000_000


def parameter(text):
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def load(directory):
    """Per series: name, timestamps as text, timestamps in ns, values."""
    for entry in json.load(open(os.path.join(directory, "index.json")))["series"]:
        if entry["series"].startswith("nab/"):
            with io.TextIOWrapper(gzip.open(os.path.join(directory, entry["file"]))) as file:
                rows = list(csv.DictReader(file))
            texts = [row["timestamp"] for row in rows]
            yield entry["series"], texts, [nanoseconds(text) for text in texts], [float(row["value"]) for row in rows]


def write(client, series):
    command = json.dumps({"write": {"mode": "UPSERT", "durability": "SYNC", "create_tags": True}}).encode()
    writer, reader = client.do_put(fl.FlightDescriptor.for_command(command), SCHEMA)
    for name, _, timestamps, values in series:
        tag = pa.DictionaryArray.from_arrays(pa.array([0] * len(values), pa.int32()), pa.array([name]))
        columns = [tag, pa.array(timestamps, pa.timestamp("ns", "UTC")), pa.array(values), pa.array([0] * len(values), pa.uint32())]
        writer.write_batch(pa.record_batch(columns, schema=SCHEMA))
        if reader.read() is None:
            sys.exit(f"{name} was not acknowledged")
    writer.done_writing()
    writer.close()


def scores(client, series, detector, parameters):
    """Rows (series, timestamp as text, score), and seconds that the queries took."""
    rows, spent = [], 0.0
    for name, texts, timestamps, _ in series:
        request = {"tags": [name], "start": min(timestamps), "end": max(timestamps) + 1, "detector": detector, "parameters": parameters,
            "output": "SCORES"}
        begun = time.perf_counter()
        answer = client.do_get(fl.Ticket(json.dumps({"anomalies": request}).encode())).read_all()
        spent += time.perf_counter() - begun
        by_time = dict(zip(answer["timestamp"].cast(pa.int64()).to_pylist(), answer["score"].to_pylist()))
        # Of repeated timestamps the last one is stored; both rows have its score.
        rows += [(name, text, by_time.get(at, 0.0)) for text, at in zip(texts, timestamps)]
    return rows, spent


def judge(scorer, directory, rows, work):
    detections, result = os.path.join(work, "detections.csv"), os.path.join(work, "result.json")
    with open(detections, "w", newline="") as file:
        csv.writer(file).writerows([("series", "timestamp", "score"), *rows])
    subprocess.run([sys.executable, scorer, "--data", directory, "--suite", "nab", "--detections", detections, "--out", result], check=True,
        stdout=subprocess.DEVNULL)
    return json.load(open(result))["nab"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--scorer", required=True)
    parser.add_argument("--detector", action="append")
    parser.add_argument("--parameter", action="append", default=[], type=parameter, metavar="NAME=VALUE")
    parser.add_argument("--server")
    parser.add_argument("--binary", default=os.path.expanduser("~/.cache/historian/target/release/historian"))
    arguments = parser.parse_args()
    if arguments.parameter and len(arguments.detector or []) != 1:
        parser.error("--parameter belongs to one --detector")
    series = list(load(arguments.data))
    samples = sum(len(values) for *_, values in series)
    work = tempfile.mkdtemp(prefix="historian-anomaly-")
    server = None if arguments.server else Server(arguments.binary, os.path.join(work, "data"))
    try:
        client = fl.connect(arguments.server) if arguments.server else server.connect()
        write(client, series)
        print(f"{len(series)} series, {samples:,} samples\n{'detector':<16}{'VUS-PR':>8}{'AUC-PR':>8}{'recall':>8}{'NAB':>8}{'NAB rank':>10}{'s':>8}")
        for detector in arguments.detector or DETECTORS:
            rows, spent = scores(client, series, detector, dict(arguments.parameter))
            figures = judge(arguments.scorer, arguments.data, rows, work)
            print(f"{detector:<16}{figures['vus_pr']:>8.4f}{figures['auc_pr']:>8.4f}{figures['event_recall_1fa_10k']:>8.3f}"
                f"{figures['nab']['standard']['score']:>8.1f}{figures['nab_rank']['standard']['score']:>10.1f}{spent:>8.2f}", flush=True)
    finally:
        if server:
            server.stop()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
