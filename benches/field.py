#!/usr/bin/env python3
"""How much the collectors take from devices, and what that costs; for an idle machine, one command each:

    field.py opcua        10,000 OPC UA items at 10 Hz
    field.py modbus       300,000 Modbus registers a second from one device
    field.py several      2,000,000 Modbus registers a second from eight devices
    field.py devices      200 Modbus devices of 100 tags at 1 s, in at most a quarter of a core
    field.py sparkplug    50,000 Sparkplug metrics a second (tests/peers/mqtt_measure.py; by a Python with numpy, and with mosquitto)
    field.py spool        a spool on disk is drained at 5 times the live rate, while the devices go on
    field.py all          all of them, one after another

Starts devices that are quick enough (benches/field/peers.rs, built by
`cargo bench -p historian-benches --bench field_peers --no-run`), and a historian that collects from them with nothing in it, both as
processes of their own on loopback. After --warm-s it measures --looks times --seconds and prints medians: rates, CPU time of the
historian's process alone, its memory. Then it counts what is stored of that time and holds it against what the devices sent: nothing may be
missing. The exit code is 1 when something is missing or a target is missed. Figures are of this machine, whatever else it is doing.

`spool` makes room scarce without filling a disk: the historian's reserve is a little less than what is free, and a file takes the
difference, so that the store refuses and samples wait on disk; then the file goes. It needs 6 GiB of free space below --directory, on a
disk rather than in memory.
"""
import argparse
import csv
import glob
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests" / "peers"))

import mqtt_measure  # noqa: E402
from mqtt_measure import cpu_s, rss_mb  # noqa: E402
from ports import free_port  # noqa: E402

PATIENCE_S = 120
STOP_S = 60
MEMORY_LOOK_S = 0.2
SECOND = 1_000_000_000
GIB = 1 << 30
# Free space above the historian's reserve, and how much less than none of it a stall leaves.
ROOM_BYTES, LACK_BYTES = 4 * GIB, GIB

# What each kind is by default. `values` are registers or items a second, `cpu_most` percent of one processor.
KINDS = {
    "opcua": {"nodes": 10_000, "period_ms": 100, "values": 100_000},
    "modbus": {"devices": 1, "registers": 30_000, "scan_ms": 100, "values": 300_000},
    "several": {"devices": 8, "registers": 25_000, "scan_ms": 100, "values": 2_000_000},
    "devices": {"devices": 200, "registers": 200, "scan_ms": 1_000, "values": 40_000, "cpu_most": 25},
    "sparkplug": {"values": 50_000},
    "spool": {"devices": 4, "registers": 25_000, "scan_ms": 500},
}
DRAIN_LEAST = 5


def verdict(what, met):
    print(f"{'met' if met else 'MISSED'}: {what}")
    return met


class Peers:
    """The devices."""

    def __init__(self, program, *words):
        self.process = subprocess.Popen([program, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ports = [int(port) for port in self.process.stdout.readline().split()]
        if not self.ports:
            sys.exit(f"{program} does not start; cargo bench -p historian-benches --bench field_peers --no-run builds it")

    def told(self):
        """What was answered or published until now."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(STOP_S)


class Historian:
    """A historian as a process of its own."""

    def __init__(self, binary, directory, configuration):
        self.binary, self.log, grpc, self.http = binary, directory / "log", free_port(), free_port()
        self.environment = {**os.environ, "HISTORIAN_SERVER": f"grpc://127.0.0.1:{grpc}"}
        file = directory / "historian.toml"
        file.write_text(configuration)
        serve = [binary, "serve", "--config", file, "--data-dir", directory / "data", "--listen", f"127.0.0.1:{grpc}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*serve, "--http", f"127.0.0.1:{self.http}"], stdout=subprocess.DEVNULL, stderr=log)
        self.pid = self.process.pid

    def ask(self, *words):
        return subprocess.run([self.binary, *words], env=self.environment, capture_output=True, text=True, check=False)

    def until(self, what, is_it, every_s=0.2):
        deadline = time.monotonic() + PATIENCE_S
        while not is_it():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"not within {PATIENCE_S} s: {what}\n{self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(every_s)

    def status(self):
        told = self.ask("status", "--format", "json")
        return json.loads(told.stdout)["devices"] if told.returncode == 0 else []

    def delivers(self, wanted):
        """Waits until so many tags do."""
        self.until(f"{wanted} tags deliver", lambda: sum(device["items_delivering"] for device in self.status()) == wanted, 0.5)

    def sum_of(self, *names):
        """Of all devices, these figures of /metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return [sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + "{")) for name in names]

    def tags(self, start, end):
        """Of each tag with Good samples from `start` until before `end`, nanoseconds: how many there are, the smallest and the largest."""
        span = ["--start", f"{start}ns", "--end", f"{end}ns", "--format", "csv"]
        told = self.ask("query", "aggregate", "field/**", "--functions", "count,minimum,maximum", *span)
        if told.returncode != 0:
            sys.exit(told.stderr)
        found = {}
        for row in csv.DictReader(told.stdout.splitlines()):
            if row["value"]:
                found.setdefault(row["tag"], {})[row["function"]] = float(row["value"])
        return [(int(tag["count"]), tag["minimum"], tag["maximum"]) for tag in found.values() if tag.get("count")]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            print("the historian did not stop when asked to", file=sys.stderr)


class Look:
    """CPU time, memory and what the devices told, from `with` to its end."""

    def __init__(self, historian, peers):
        self.historian, self.peers, self.memory, self.over = historian, peers, [], threading.Event()

    def watch(self):
        while not self.over.is_set():
            self.memory.append(rss_mb(self.historian.pid, "VmRSS"))
            self.over.wait(MEMORY_LOOK_S)

    def __enter__(self):
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()
        self.begun, self.start = time.monotonic(), time.time_ns()
        self.cpu, self.peers_cpu = -cpu_s(self.historian.pid), -cpu_s(self.peers.process.pid)
        self.before = self.peers.told()
        return self

    def __exit__(self, *_):
        now = self.peers.told()
        self.cpu, self.peers_cpu = self.cpu + cpu_s(self.historian.pid), self.peers_cpu + cpu_s(self.peers.process.pid)
        self.seconds, self.end = time.monotonic() - self.begun, time.time_ns()
        self.requests, self.values = now["requests"] - self.before["requests"], now["values"] - self.before["values"]
        self.over.set()
        self.watcher.join()

    def percent(self):
        return self.cpu / self.seconds * 100


def opcua_configuration(options, ports):
    head = f'[[opcua]]\nname = "server"\nendpoint = "opc.tcp://127.0.0.1:{ports[0]}"\nsecurity_policy = "None"\n'
    head += f"publishing_ms = {options.period_ms}\nsampling_ms = 0\n"
    tags = (f'{{ name = "field/n{node}", address = "nsu=urn:historian:field;s={node}", type = "f64" }},' for node in range(options.nodes))
    return head + "tag = [\n" + "\n".join(tags) + "\n]\n"


def modbus_configuration(options, ports):
    devices = []
    for number, port in enumerate(ports):
        head = f'[[modbus]]\nname = "d{number}"\nendpoint = "127.0.0.1:{port}"\nscan_ms = {options.scan_ms}\n'
        registers = range(0, options.registers, 2)
        tags = (f'{{ name = "field/d{number}/r{at}", address = "holding:{at}", format = "f32" }},' for at in registers)
        devices.append(head + "tag = [\n" + "\n".join(tags) + "\n]\n")
    return "\n".join(devices)


def polled(found, wanted, seconds, scan_ms):
    """Whether every tag has every poll of so many seconds, but for those at both ends."""
    polls = seconds * 1000 / scan_ms
    least, most = min((tag[0] for tag in found), default=0), max((tag[0] for tag in found), default=0)
    print(f"polls of {polls:.1f}: {least} to {most} of a tag; {len(found):,} of {wanted:,} tags")
    return verdict("every poll is stored, once", len(found) == wanted and least >= polls - 1.5 and most <= polls + 1.5)


def published(found, wanted, rounds):
    """Whether every node has every value between its first and its last, and these are all rounds but for those at both ends."""
    missing = sum(abs(int(largest - smallest) + 1 - count) for count, smallest, largest in found)
    least = min((tag[0] for tag in found), default=0)
    print(f"rounds of {rounds}: {least} or more of a node; {len(found):,} of {wanted:,} nodes; {missing} missing or twice between first and last")
    return verdict("every value is stored, once", len(found) == wanted and missing == 0 and least >= rounds - 3)


def collect(options, directory):
    """Steady load."""
    opcua = options.kind == "opcua"
    words = ("opcua", options.nodes, options.period_ms) if opcua else ("modbus", options.devices)
    wanted = options.nodes if opcua else options.devices * (options.registers // 2)
    unit, per_sample = ("items", 1) if opcua else ("registers", 2)
    with Peers(options.peers, *words) as peers:
        text = (opcua_configuration if opcua else modbus_configuration)(options, peers.ports)
        with Historian(options.binary, directory, text) as historian:
            historian.delivers(wanted)
            time.sleep(options.warm_s)
            looks, before = [], historian.status()
            for _ in range(options.looks):
                with Look(historian, peers) as look:
                    time.sleep(options.seconds)
                looks.append(look)
            start, end, peak, after = looks[0].start, looks[-1].end, rss_mb(historian.pid), historian.status()
            # What was collected until then has to be stored, and is looked for once.
            time.sleep(3)
            found = historian.tags(start, end)
            if options.status:
                print(historian.ask("status").stdout)
    samples, seconds = sum(tag[0] for tag in found), (end - start) / SECOND
    values, cpu = sum(look.values for look in looks), sum(look.cpu for look in looks)
    percent = statistics.median(look.percent() for look in looks)
    print(f"devices: {statistics.median(look.values / look.seconds for look in looks):,.0f} {unit} a second in "
          f"{statistics.median(look.requests / look.seconds for look in looks):,.0f} {'rounds' if opcua else 'answers'}, "
          f"{statistics.median(look.peers_cpu / look.seconds * 100 for look in looks):.0f} % of a processor")
    print(f"historian: {samples / seconds:,.0f} samples a second of {len(found):,} tags; median {percent:.1f} % of a processor "
          f"({', '.join(f'{look.percent():.1f}' for look in looks)}), {cpu / max(samples, 1) * 1e6:.2f} us a sample; "
          f"memory {statistics.median(size for look in looks for size in look.memory):,.0f} MB, at most {peak:,} MB")
    print(f"sent {values // per_sample:,} values, stored {samples:,} of {seconds:.1f} s")
    lost = {name: sum(device[name] for device in after) - sum(device[name] for device in before)
            for name in ("polls_missed", "samples_dropped", "samples_rejected", "timeouts")}
    met = verdict(f"nothing is missed by the historian's own count: {lost}", not any(lost.values()))
    met &= published(found, wanted, sum(look.requests for look in looks)) if opcua else polled(found, wanted, seconds, options.scan_ms)
    # A look begins and ends within a poll, and devices are asked for that a moment before it.
    met &= verdict("what was sent is stored", abs(values / per_sample - samples) <= 2.5 * wanted + 0.002 * samples)
    met &= verdict(f"{options.values:,} {unit} a second", samples * per_sample / seconds >= options.values * 0.99)
    if options.cpu_most:
        met &= verdict(f"at most {options.cpu_most} % of one processor", percent <= options.cpu_most)
    return met


def sparkplug(options, directory):
    load = ["--metrics", "1000", "--rate", str(options.values), "--seconds", str(options.looks * options.seconds)]
    rate, missing = mqtt_measure.measure(options.binary, load, directory)
    met = verdict("every metric is stored, once", missing == 0)
    return met & verdict(f"{options.values:,} metrics a second", rate >= options.values * 0.99)


def free_bytes(directory):
    room = os.statvfs(directory)
    return room.f_bavail * room.f_frsize


def drain(options, directory):
    """Stalls the store again and again, and measures how quickly what waited meanwhile is stored while the devices go on."""
    free = free_bytes(directory)
    if free < ROOM_BYTES + 2 * LACK_BYTES:
        sys.exit(f"{directory} has {free / GIB:.1f} GiB of free space, and needs {(ROOM_BYTES + 2 * LACK_BYTES) / GIB:.0f}")
    ballast, wanted = directory / "ballast", options.devices * (options.registers // 2)
    settings = f'[storage]\ndisk_reserve_bytes = {free - ROOM_BYTES}\n[spool]\nbytes_max = "16 GiB"\ndisk_reserve_bytes = 0\n'
    waiting, on_disk, on_disk_bytes = (f"historian_device_spool_{what}" for what in ("samples", "disk_samples", "disk_bytes"))
    turns = []
    with Peers(options.peers, "modbus", options.devices) as peers:
        with Historian(options.binary, directory, settings + modbus_configuration(options, peers.ports)) as historian:
            historian.delivers(wanted)
            time.sleep(options.warm_s)
            begun = time.time_ns()
            for _ in range(options.looks):
                with Look(historian, peers) as live:
                    time.sleep(options.seconds)
                with ballast.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, max(1, free_bytes(directory) - (free - ROOM_BYTES) + LACK_BYTES))
                historian.until("samples wait on disk", lambda: historian.sum_of(on_disk)[0] > 0)
                with Look(historian, peers) as stalled:
                    time.sleep(options.stall_s)
                size = historian.sum_of(on_disk_bytes)[0]
                seen = []

                def is_drained():
                    seen.append((time.monotonic(), *historian.sum_of(waiting, on_disk)))
                    return seen[-1][2] == 0

                with Look(historian, peers) as draining:
                    ballast.unlink()
                    historian.until("the spool is empty", is_drained, 0.05)
                turns.append((live, stalled, draining, seen, size))
                # What has not waited for a second yet.
                time.sleep(3)
            end = time.time_ns()
            time.sleep(3)
            found, peak = historian.tags(begun, end), rss_mb(historian.pid)
            if options.status:
                print(historian.ask("status").stdout)
    ratios = []
    for live, stalled, draining, seen, size in turns:
        rate = live.values / 2 / live.seconds
        # It begins when something leaves the disk: whoever waits for room looks for it now and then only.
        begins, backlog, _ = max(seen, key=lambda look: look[2])
        ends, left, _ = seen[-1]
        seconds = max(ends - begins, 1e-3)
        # What the devices deliver meanwhile goes through as well.
        ratios.append(((backlog - left) / seconds / rate + 1, (backlog - left) / (ends - draining.begun) / rate))
        print(f"live {rate:,.0f} samples a second, {live.percent():.0f} % of a processor, {statistics.median(live.memory):,.0f} MB; "
              f"stalled {stalled.seconds:.0f} s, {stalled.percent():.0f} %, {max(stalled.memory):,} MB, {backlog:,.0f} samples wait, "
              f"{size / max(backlog, 1):.1f} bytes each on disk")
        print(f"  room noticed after {begins - draining.begun:.1f} s, drained {seconds:.1f} s later at {ratios[-1][0] * rate:,.0f} "
              f"samples a second, {ratios[-1][0]:.1f} x live; {draining.percent():.0f} % of a processor, {max(draining.memory):,} MB")
    rates, backlogs = ([ratio[place] for ratio in ratios] for place in (0, 1))
    print(f"median of {len(ratios)}: {statistics.median(rates):.1f} x live leaves the spool while it drains; the backlog alone, from the "
          f"first moment of room on, {statistics.median(backlogs):.1f} x;\n"
          f"{statistics.median(turn[2].percent() for turn in turns):.0f} % of a processor while it drains, at most {peak:,} MB in all")
    met = polled(found, wanted, (end - begun) / SECOND, options.scan_ms)
    return met & verdict(f"drained at {DRAIN_LEAST} x live or more", statistics.median(rates) >= DRAIN_LEAST)


def measure(kind, told):
    """Measures one kind, with what it is by default and what was told otherwise."""
    given = {name: value for name, value in vars(told).items() if value is not None}
    options = argparse.Namespace(**{"cpu_most": None, "directory": None, **KINDS[kind], **given, "kind": kind})
    print(f"-- {kind}")
    with tempfile.TemporaryDirectory(dir=options.directory) as made:
        return {"sparkplug": sparkplug, "spool": drain}.get(kind, collect)(options, pathlib.Path(made))


def main():
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", pathlib.Path.home() / ".cache/historian/target")) / "release"
    built = sorted((path for path in glob.glob(str(target / "deps/field_peers-*")) if os.access(path, os.X_OK)), key=os.path.getmtime)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=[*KINDS, "all"])
    parser.add_argument("--binary", default=str(target / "historian"))
    parser.add_argument("--peers", default=built[-1] if built else str(target / "deps/field_peers"))
    parser.add_argument("--devices", type=int)
    parser.add_argument("--registers", type=int, help="of each device")
    parser.add_argument("--scan-ms", type=int)
    parser.add_argument("--nodes", type=int)
    parser.add_argument("--period-ms", type=int)
    parser.add_argument("--values", type=int, help="the target: registers, items or metrics a second")
    parser.add_argument("--warm-s", type=float, default=5)
    parser.add_argument("--looks", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="of each look")
    parser.add_argument("--stall-s", type=float, default=30, help="how long samples wait on disk before they are drained")
    parser.add_argument("--directory", help="where the data are, and the spool; by default that for temporary files")
    parser.add_argument("--status", action="store_true", help="print what the historian tells of its devices")
    told = parser.parse_args()
    kinds = list(KINDS) if told.kind == "all" else [told.kind]
    if any(kind != "sparkplug" for kind in kinds) and not os.access(told.peers, os.X_OK):
        sys.exit("the devices are not built: cargo bench -p historian-benches --bench field_peers --no-run")
    return int(not all([measure(kind, told) for kind in kinds]))


if __name__ == "__main__":
    sys.exit(main())
