"""How many Sparkplug metrics a second the historian takes, and what one costs; run by hand on an idle machine:

    mqtt_measure.py BINARY [options of mqtt_load.py]

Starts mosquitto and a historian on loopback, both with nothing in them, runs mqtt_load.py, and waits until all it published is stored.
Prints the rate, the CPU time of historian and broker for each metric, memory, and what is missing: nothing may be.
"""

import csv
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from ports import free_port

HERE = pathlib.Path(__file__).parent
PATIENCE_S = 120


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid, field="VmHWM"):
    line = next(line for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) // 1024


def until(what, is_it, within_s=PATIENCE_S):
    deadline = time.monotonic() + within_s
    while not (found := is_it()):
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {within_s} s: {what}")
        time.sleep(0.2)
    return found


def measure(binary, load, directory):
    """Prints what it finds. Answers how many metrics were published a second, and how many of all are missing in the end."""
    broker_port, grpc, http = free_port(), free_port(), free_port()
    (directory / "mosquitto.conf").write_text(f"user root\nlistener {broker_port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n")
    (directory / "historian.toml").write_text(
        f'[[mqtt]]\nname = "broker"\nendpoint = "127.0.0.1:{broker_port}"\n[mqtt.sparkplug]\nhost_id = "scada"\n'
    )
    environment = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin", "HISTORIAN_SERVER": f"grpc://127.0.0.1:{grpc}"}
    quiet = {"env": environment, "stdout": subprocess.DEVNULL}
    broker = subprocess.Popen(["mosquitto", "-c", directory / "mosquitto.conf"], stderr=subprocess.DEVNULL, **quiet)
    serve = [binary, "serve", "--config", directory / "historian.toml", "--data-dir", directory / "data"]
    historian = subprocess.Popen([*serve, "--listen", f"127.0.0.1:{grpc}", "--http", f"127.0.0.1:{http}"], **quiet)

    def ask(*words):
        return subprocess.run([binary, *words], env=environment, capture_output=True, text=True, check=False).stdout

    def stored(start, end):
        """Good values of all metrics of the time of the load."""
        span = ["--start", str(start * 1_000_000), "--end", str((end + 1) * 1_000_000)]
        told = ask("query", "aggregate", "plant/load/m*", "--functions", "count", *span, "--format", "csv")
        return sum(int(float(row["value"] or 0)) for row in csv.DictReader(told.splitlines()))

    edge = told = None
    try:
        until("the connection", lambda: '"running"' in ask("status", "--format", "json") or "running" in ask("status"))
        before, broker_before = cpu_s(historian.pid), cpu_s(broker.pid)
        command = [sys.executable, "-u", HERE / "mqtt_load.py", str(broker_port), *load]
        edge = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for line in edge.stdout:
            print(line.rstrip(), file=sys.stderr)
            if line.startswith("{"):
                told = json.loads(line)
                break
        if told is None:
            raise SystemExit("the edge ended before it had published")
        ended = time.monotonic()
        count = 0

        def is_stored():
            nonlocal count
            count = stored(told["first_ms"], told["last_ms"])
            return count >= told["published"]

        try:
            until("all of it is stored", is_stored, 60)
        except SystemExit:
            pass
        behind = time.monotonic() - ended
        cpu, broker_cpu = cpu_s(historian.pid) - before, cpu_s(broker.pid) - broker_before
        published, seconds = told["published"], told["seconds"]
        print(f"published {published} metrics in {seconds:.1f} s, {told['per_second']} a second; {published - count} missing")
        print(f"historian {cpu:.2f} s of CPU, {cpu / published * 1e6:.2f} us a metric, {cpu / seconds * 100:.0f} % of one processor")
        print(f"mosquitto {broker_cpu:.2f} s of CPU; at most {rss_mb(historian.pid)} MB; stored {behind:.1f} s behind")
        print(ask("status"))
        return told["per_second"], published - count
    finally:
        for process in filter(None, (edge, historian, broker)):
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        sys.exit(int(measure(sys.argv[1], sys.argv[2:], pathlib.Path(made))[1] != 0))
