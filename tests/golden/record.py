"""The golden answers: what a `historian` binary says to a fixed set of requests over all its doors, over a fixed set of samples.

    record.py record BINARY DIRECTORY     asks everything and writes one file per request
    record.py compare BEFORE AFTER        what differs between two recordings; exit code 1 where anything does

Whoever moves walls records before and after, on one machine, and compares: no difference is the proof that no answer has changed. A recording is not
kept in the repository; it is of a binary and of a machine (the last digits of sums go by the number of threads, which is fixed here, and by the
processor, which is not). `data.py` is what is written, `asked/` what is asked, `normal.py` what cannot be the same twice.

Each file has the request, the answer for people and, below `==== to the byte`, the same as it was on the wire. `record --alter` changes the last bit
of one sample, to see that the comparison sees. `--only TEXT` asks only requests whose name has the text.
"""

import argparse
import contextlib
import difflib
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path += [str(HERE), str(HERE.parent / "peers")]

from ports import free_port

START_S = 60
STOP_S = 60
SLOW_S = 5
DIFFERENCE_LINES_MAX = 40

CONFIGURATION = """
[server]
data_dir = "{folder}/data"

[limits]
query_threads = 2
sql_threads = 2
query_rows_max = 350000
query_tags_max = 60
prepared_statements_max = 3
message_bytes_max = "16 MiB"

[storage]
tags_max = 60
cache_bytes = "64 MiB"

[backup]
directory = "{folder}/backups"

[scrub]
interval = "off"

[[retention]]
tags = ["many/**"]
age = "100y"

[sql]
zone = "Europe/Berlin"

[[view]]
name = "line_daily"
tags = ["plant/line/flow", "plant/line/counter", "plant/boiler/temperature"]
interval = "1d"
description = "One row per day"

[[view]]
name = "boiler_hours"
tags = ["plant/boiler/**"]
interval = "6h"
zone = "UTC"
aggregate = "maximum"
columns = "description"
"""


@contextlib.contextmanager
def running(binary, folder):
    """A running historian: addresses of gRPC and HTTP."""
    grpc, http = (f"127.0.0.1:{free_port()}" for _ in range(2))
    configuration = folder / "historian.toml"
    configuration.write_text(CONFIGURATION.format(folder=folder))
    with (folder / "log").open("wb") as log:
        environment = {"PATH": "/usr/bin:/bin", "TZ": "UTC", "HISTORIAN_LOG": "info"}
        words = [binary, "serve", "--config", str(configuration), "--listen", grpc, "--http", http]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=folder)
        try:
            until = time.monotonic() + START_S
            while True:
                with contextlib.suppress(OSError):
                    with urllib.request.urlopen(f"http://{http}/readyz", timeout=5) as answer:
                        if answer.status == 200:
                            break
                if process.poll() is not None or time.monotonic() > until:
                    sys.exit(f"the historian does not start:\n{(folder / 'log').read_text()}")
                time.sleep(0.05)
            yield grpc, http
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def record(binary, out, alter, only):
    import grpc
    import stubs  # noqa: F401, makes the modules of the requests

    import historian.v1.admin_pb2, historian.v1.collector_pb2, historian.v1.query_pb2, historian.v1.tag_pb2, historian.v1.write_pb2  # noqa: E401, F401

    import asked
    import data
    import doors
    import normal

    binary = str(pathlib.Path(binary).resolve())
    out = pathlib.Path(out)
    if out.exists() and any(out.iterdir()) and not (out / "RULES").exists():
        sys.exit(f"{out} is there and is no recording")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / "RULES").write_text("".join(f"{name}: {reason}\n" for name, reason in normal.RULES.items()))
    rules = normal.Normal()
    count = 0

    @contextlib.contextmanager
    def noted(name, request=None):
        nonlocal count
        note = doors.Note(rules)
        note.lines.append(f"==== {name}")
        if request is not None:
            note.line(f"asked: {request}")
        yield note
        # A name of a request may have any letters but these.
        path = out / f"{name.replace(' ', '_')}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert not path.exists(), f"two requests are called {name}"
        path.write_text(note.text())
        count += 1

    folder = pathlib.Path(tempfile.mkdtemp(prefix="golden-"))
    try:
        with running(binary, folder) as (address, http):
            rules.replace(str(folder), "<temporary>".ljust(len(str(folder)), "_"))
            for own, instead in ((address, "<grpc>"), (http, "<http>")):
                rules.replace(own, f"127.0.0.1{instead}")
            channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1), ("grpc.enable_retries", 0)])
            all_doors = asked.Doors(doors.Flight(channel, rules), doors.Grpc(channel, rules), doors.Http(http, rules), doors.Cli(binary, address, rules))
            data.write(all_doors, noted, alter)
            for name, request, ask in asked.everything():
                if only is None or only in name:
                    began = time.monotonic()
                    with noted(name, request) as note:
                        ask(all_doors, note)
                    if time.monotonic() - began > SLOW_S:
                        print(f"{name} took {time.monotonic() - began:.1f} s")
            channel.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{count} requests are recorded in {out}")


def compare(before, after):
    before, after = pathlib.Path(before), pathlib.Path(after)
    for side in (before, after):
        if not (side / "RULES").is_file():
            sys.exit(f"{side} is no recording")
    files = {side: {str(path.relative_to(side)): path for path in side.rglob("*") if path.is_file()} for side in (before, after)}
    names = sorted(files[before].keys() | files[after].keys())
    different = 0
    for name in names:
        sides = [files[side].get(name) for side in (before, after)]
        if None in sides:
            different += 1
            print(f"\n{name}: only in {before if sides[1] is None else after}")
            continue
        if sides[0].read_bytes() == sides[1].read_bytes():
            continue
        different += 1
        print(f"\n{name} differs:")
        texts = [side.read_text().splitlines() for side in sides]
        # What people read says it, unless the bytes alone differ.
        marks = [text.index("==== to the byte") if "==== to the byte" in text else len(text) for text in texts]
        shown = [text[:mark] for text, mark in zip(texts, marks)]
        if shown[0] == shown[1]:
            shown = texts
        lines = list(difflib.unified_diff(*shown, str(before), str(after), n=1, lineterm=""))
        print("\n".join(lines[:DIFFERENCE_LINES_MAX]))
        if len(lines) > DIFFERENCE_LINES_MAX:
            print(f"… {len(lines) - DIFFERENCE_LINES_MAX} lines more")
    print(f"{len(names)} answers compared, {different} differ")
    return 1 if different else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record")
    recording.add_argument("binary")
    recording.add_argument("directory")
    recording.add_argument("--alter", action="store_true", help="change the last bit of one sample")
    recording.add_argument("--only", metavar="TEXT", help="ask only requests whose name has the text")
    comparing = commands.add_parser("compare")
    comparing.add_argument("before")
    comparing.add_argument("after")
    arguments = parser.parse_args()
    if arguments.command == "compare":
        try:
            sys.exit(compare(arguments.before, arguments.after))
        except BrokenPipeError:
            # Whoever reads has seen enough.
            sys.stdout = None
            sys.exit(1)
    record(arguments.binary, arguments.directory, arguments.alter, arguments.only)


main()
