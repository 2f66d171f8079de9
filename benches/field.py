#!/usr/bin/env python3
"""How many values a second the collectors take from devices, and what that costs:

    field.py modbus [--devices 1] [--registers 30000] [--scan-ms 100]
    field.py opcua [--nodes 10000] [--period-ms 100]

Starts devices that are quick enough (benches/field/peers.rs, built by `cargo bench -p historian-benches --bench field_peers --no-run`), and a
historian that collects from them with nothing in it, both as processes of their own on loopback. After --warm-s it measures --seconds, stops
the historian, and counts what is stored of that time. Prints the rates as the devices and as the historian tell them, CPU time and memory, and
what is missing: nothing may be. Figures are of this machine, whatever else it is doing.
"""
import argparse
import glob
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests" / "peers"))

from ports import free_port  # noqa: E402

PATIENCE_S = 120
SECOND = 1_000_000_000


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(pid):
    line = next(line for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


class Peers:
    """The devices."""

    def __init__(self, program, *words):
        self.process = subprocess.Popen([program, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ports = [int(port) for port in self.process.stdout.readline().split()]
        self.told = {"requests": 0, "values": 0}
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            self.told = json.loads(line)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE_S)


class Historian:
    """A historian as a process of its own."""

    def __init__(self, binary, directory, configuration):
        self.binary, grpc = binary, free_port()
        self.environment = {**os.environ, "HISTORIAN_SERVER": f"grpc://127.0.0.1:{grpc}"}
        file = directory / "historian.toml"
        file.write_text(configuration)
        serve = [binary, "serve", "--config", file, "--data-dir", directory / "data", "--listen", f"127.0.0.1:{grpc}"]
        log = (directory / "log").open("ab")
        self.process = subprocess.Popen([*serve, "--http", f"127.0.0.1:{free_port()}"], stdout=subprocess.DEVNULL, stderr=log)
        self.until("it serves", lambda: self.ask("status").returncode == 0)

    def ask(self, *words):
        return subprocess.run([self.binary, *words], env=self.environment, capture_output=True, text=True, check=False)

    def until(self, what, is_it):
        deadline = time.monotonic() + PATIENCE_S
        while not is_it():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"not within {PATIENCE_S} s: {what}")
            time.sleep(0.2)

    def sums(self, start, end):
        """Of the tags with Good samples from `start` until before `end`: how many, samples of all, and the sum of (largest - smallest + 1)."""
        tags = samples = spans = 0
        told = self.ask("query", "aggregate", "field/**", "--functions", "count,min,max", "--start", str(start), "--end", str(end), "--format", "json")
        if told.returncode != 0:
            sys.exit(told.stderr)
        for line in told.stdout.splitlines():
            row = json.loads(line)
            if row.get("count"):
                tags, samples, spans = tags + 1, samples + int(row["count"]), spans + int(row["max"] - row["min"]) + 1
        return tags, samples, spans

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_S)


def configuration(options, ports):
    if options.kind == "opcua":
        head = f'[[opcua]]\nname = "server"\nendpoint = "opc.tcp://127.0.0.1:{ports[0]}"\nsecurity_policy = "None"\n'
        head += f'security_mode = "None"\npublishing_ms = {options.period_ms}\nsampling_ms = 0\n'
        tags = (f'{{ name = "field/n{node}", address = "nsu=urn:historian:field;s={node}", type = "f64" }},' for node in range(options.nodes))
        return head + "tag = [\n" + "\n".join(tags) + "\n]\n"
    devices = []
    for number, port in enumerate(ports):
        head = f'[[modbus]]\nname = "d{number}"\nendpoint = "127.0.0.1:{port}"\nscan_ms = {options.scan_ms}\n'
        registers = range(0, options.registers, 2)
        tags = (f'{{ name = "field/d{number}/r{at}", address = "holding:{at}", format = "f32" }},' for at in registers)
        devices.append(head + "tag = [\n" + "\n".join(tags) + "\n]\n")
    return "\n".join(devices)


def measure(options, directory):
    opcua = options.kind == "opcua"
    peers = Peers(options.peers, "opcua", options.nodes, options.period_ms) if opcua else Peers(options.peers, "modbus", options.devices)
    wanted = options.nodes if opcua else options.devices * (options.registers // 2)
    period_ms = options.period_ms if opcua else options.scan_ms
    historian = Historian(options.binary, directory, configuration(options, peers.ports))
    try:
        all_there = lambda: historian.sums(time.time_ns() - 2 * SECOND - 2 * period_ms * 1_000_000, time.time_ns())[0] == wanted
        historian.until(f"{wanted} tags have values", all_there)
        time.sleep(options.warm_s)
        begun, start, cpu, peers_cpu, told = time.monotonic(), time.time_ns(), cpu_s(historian.process.pid), cpu_s(peers.process.pid), peers.told
        time.sleep(options.seconds)
        end, cpu, peers_cpu, now = time.time_ns(), cpu_s(historian.process.pid) - cpu, cpu_s(peers.process.pid) - peers_cpu, peers.told
        seconds, peak = time.monotonic() - begun, peak_mb(historian.process.pid)
        status = historian.ask("status").stdout
        historian.until("all is stored", lambda: time.time_ns() > end + 3 * SECOND)
        tags, samples, spans = historian.sums(start, end)
    finally:
        historian.stop()
        peers.stop()
    answered = (now["values"] - told["values"]) / seconds
    print(f"devices: {answered:,.0f} {'values' if opcua else 'registers'} a second, {(now['requests'] - told['requests']) / seconds:,.0f} "
          f"{'publications' if opcua else 'requests'}; {peers_cpu / seconds * 100:.0f} % of a processor")
    print(f"historian: {samples / seconds:,.0f} samples a second of {tags:,} tags, {cpu / seconds * 100:.0f} % of a processor, "
          f"{cpu / samples * 1e6:.2f} us a sample, at most {peak} MB")
    if opcua:
        missing, least = spans - samples, wanted * int(seconds * 1000 / period_ms - 1)
        print(f"missing between the first and the last value of each node: {missing}; expected at least {least:,} samples, stored {samples:,}")
        failed = missing != 0 or samples < least
    else:
        polls = samples / max(tags, 1)
        print(f"polls of each register: {polls:.1f} of {seconds * 1000 / period_ms:.1f}")
        failed = polls < seconds * 1000 / period_ms - 1.5
    if tags != wanted:
        print(f"{wanted - tags} of {wanted} tags have no value")
    if options.status:
        print(status)
    return int(failed or tags != wanted)


def main():
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", pathlib.Path.home() / ".cache/historian/target")) / "release"
    built = sorted((path for path in glob.glob(str(target / "deps/field_peers-*")) if not path.endswith(".d")), key=os.path.getmtime)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["modbus", "opcua"])
    parser.add_argument("--binary", default=str(target / "historian"))
    parser.add_argument("--peers", default=built[-1] if built else "field_peers")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--registers", type=int, default=30_000, help="of each device")
    parser.add_argument("--scan-ms", type=int, default=100)
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--period-ms", type=int, default=100)
    parser.add_argument("--warm-s", type=float, default=5)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--status", action="store_true", help="print what the historian tells of its devices")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        return measure(options, pathlib.Path(made))


if __name__ == "__main__":
    sys.exit(main())
