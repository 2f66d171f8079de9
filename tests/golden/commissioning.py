"""Runs every command of docs/commissioning.md, in its order, against the plant of tests/peers/commissioning_plant.py.

    python commissioning.py record BINARY    writes what the commands show into the document
    python commissioning.py compare BINARY   ends with 1 where one shows something else than the document says, or fails

The addresses of the document stand for those of the plant. Times, latencies and counts of samples are
not compared."""

import difflib
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "peers"))

from ports import free_port  # noqa: E402

DOCUMENT = ROOT / "docs" / "commissioning.md"
PLANT = ROOT / "tests" / "peers" / "commissioning_plant.py"
PATIENCE_S = 120
# Long enough for some polls of each device.
COLLECTS_S = 4


def alike(text):
    """Without what no two runs have in common."""
    text = re.sub(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>", text)
    text = re.sub(r"\b\d+(\.\d+)? ?(ms|us|s)\b", "<duration>", text)
    text = re.sub(r"historian \d+\.\d+\.\d+\S*", "historian <version>", text)
    text = re.sub(r"\b\d+(\.\d+)? (MiB|KiB|GiB|MB|kB)\b", "<size>", text)
    text = re.sub(r"\d+ samples written, \d+ of them in heads, durable up to write \d+", "<written>", text)
    # Samples of a device so far.
    text = re.sub(r"(\d+ of \d+) +\d+", r"\1 <samples>", text)
    # Columns are as wide as what stands in them.
    return re.sub(r"[ \t]+", " ", text).strip()


class Session:
    def __init__(self, binary, directory):
        self.directory, self.background = directory, []
        plant = [sys.executable, "-u", PLANT]
        subprocess.run([*plant, "points", directory / "points.csv", directory / "extension.csv"], check=True)
        self.plant = subprocess.Popen([*plant, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        _, modbus, opcua = self.plant.stdout.readline().split()
        grpc = free_port()
        self.replaced = [("192.0.2.10:502", f"127.0.0.1:{modbus}"), ("192.0.2.20:4840", f"127.0.0.1:{opcua}")]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HISTORIAN_")}
        self.environment = {
            **kept,
            "PATH": f"{pathlib.Path(binary).resolve().parent}:{os.environ['PATH']}",
            "HISTORIAN_DATA_DIR": str(directory / "data"),
            "HISTORIAN_LISTEN": f"127.0.0.1:{grpc}",
            "HISTORIAN_HTTP": f"127.0.0.1:{free_port()}",
            "HISTORIAN_SERVER": f"grpc://127.0.0.1:{grpc}",
            "COLUMNS": "100",
        }

    def run(self, command):
        """What a command shows, its errors included."""
        for ours, theirs in self.replaced:
            command = command.replace(ours, theirs)
        options = {"shell": True, "cwd": self.directory, "env": self.environment, "executable": "/bin/bash"}
        if command.endswith("&"):
            log = open(self.directory / "log", "wb")
            self.background.append(subprocess.Popen("exec " + command[:-1], stdout=log, stderr=log, **options))
            self.until_serves()
            return ""
        ended = subprocess.run(command, capture_output=True, text=True, check=False, **options)
        text = ended.stdout + ended.stderr
        for ours, theirs in self.replaced:
            text = text.replace(theirs, ours)
        if command.startswith("historian reload"):
            time.sleep(COLLECTS_S)
        return text

    def until_serves(self):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            told = subprocess.run(["historian", "status"], env=self.environment, capture_output=True, text=True, check=False)
            if all(re.search(rf"^{row}", told.stdout, re.MULTILINE) for row in ("dryer .*running +200 of 200", "line2 .*running +2000 of 2000")):
                break
            if self.background[-1].poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the historian does not collect:\n{told.stdout}{told.stderr}\n{(self.directory / 'log').read_text()}")
            time.sleep(0.3)
        time.sleep(COLLECTS_S)

    def stop(self):
        for process in self.background:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)
        self.plant.stdin.close()
        self.plant.wait(PATIENCE_S)


def executed(document, session):
    """The document with what its commands show now."""
    out, block, passing = [], False, False
    for line in document.splitlines():
        if line.startswith("```"):
            block = not block
            passing = False
        if block and line.startswith("$ "):
            out.append(line)
            passing = True
            out += [shown.rstrip() for shown in session.run(line[2:]).splitlines()]
        elif not passing:
            out.append(line)
    return "\n".join(out) + "\n"


def main(what, binary):
    document = DOCUMENT.read_text()
    with tempfile.TemporaryDirectory() as made:
        session = Session(binary, pathlib.Path(made))
        try:
            shown = executed(document, session)
        finally:
            session.stop()
    if what == "record":
        DOCUMENT.write_text(shown)
        return 0
    before, after = ([alike(line) for line in text.splitlines()] for text in (document, shown))
    differences = list(difflib.unified_diff(before, after, "docs/commissioning.md", "as it is now", lineterm=""))
    print("\n".join(differences))
    return int(bool(differences))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
