"""Every block of docs/runbook.md, typed into a shell in the trouble that its section is about.

Each section has a machine of its own in a directory: paths and ports of the page stand for those of the machine, and `systemctl` and what else
belongs to root are small programs that do the same to a historian of the test.
"""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

from lib import ROOT

TEXT = (ROOT / "docs/runbook.md").read_text()
BINARY = os.environ.get("HISTORIAN_BINARY", "historian")
SECTION = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTIONS = {heading: BLOCK.findall(text) for heading, text in SECTION.findall(TEXT)}
FIRST = BLOCK.findall(TEXT.split("\n## ")[0])

# What a machine has that a test may not touch. Each does to the historian of the test what it does to a service.
PROGRAMS = {
    "systemctl": """#!/bin/bash
set -e
case "$1" in
    status) [ -s "$M/pid" ] && kill -0 "$(cat "$M/pid")" 2>/dev/null && echo "active (running)" || { echo "failed"; exit 0; } ;;
    disable) ;;
    stop) "$M/bin/stop" ;;
    start) "$M/bin/start" ;;
    restart) "$M/bin/stop"; "$M/bin/start" ;;
    *) exit 64 ;;
esac
""",
    "start": """#!/bin/bash
"$M/bin/historian" serve --config "$M/etc/historian/historian.toml" >>"$M/log" 2>&1 </dev/null &
pid=$!
echo $pid >"$M/pid"
for i in $(seq 600); do
    kill -0 $pid 2>/dev/null || exit 1
    "$M/bin/ready" && exit 0
    sleep 0.05
done
exit 1
""",
    "ready": """#!/bin/bash
exec curl --silent --insecure --fail --max-time 2 --output /dev/null "$(grep -q '^\\[tls\\]' "$M/etc/historian/historian.toml" && echo https || echo http)://127.0.0.1:$HTTP/healthz"
""",
    "stop": """#!/bin/bash
[ -s "$M/pid" ] || exit 0
pid=$(cat "$M/pid")
kill -TERM "$pid" 2>/dev/null
for i in $(seq 600); do
    { [ -e /proc/$pid ] && ! grep -q '^State:.Z' /proc/$pid/status; } || break
    sleep 0.05
done
rm -f "$M/pid"
""",
    "historian": '#!/bin/bash\nexec "$BINARY" "$@"\n',
    "journalctl": '#!/bin/bash\ntail -n 30 "$M/log"\n',
    "dmesg": "#!/bin/bash\nexit 0\n",
    # There is no such user here; the historian runs as whoever tests.
    "chown": '#!/bin/bash\nfor last; do :; done\n[ -e "$last" ]\n',
    "runuser": '#!/bin/bash\n[ "$1 $2 $3" = "--user historian --" ] || exit 64\nshift 3\nexec "$@"\n',
    "apt-get": '#!/bin/bash\nfor last; do :; done\n"$M/bin/stop"\n[ -e "$last" ] && "$M/bin/start"\n',
}


class Machine:
    """A directory that stands for a machine with an installed historian."""

    def __init__(self, root):
        self.root = root
        held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.grpc, self.http = (one.getsockname()[1] for one in held)
        for one in held:
            one.close()
        self.data, self.etc, self.backups = root / "var/lib/historian", root / "etc/historian", root / "var/backups/historian"
        for folder in [self.etc, self.backups, root / "root", root / "bin", self.data.parent]:
            folder.mkdir(parents=True)
        for name, text in PROGRAMS.items():
            (root / "bin" / name).write_text(text)
            (root / "bin" / name).chmod(0o755)
        self.configure()

    def configure(self, more=""):
        packaged = (ROOT / "packaging/historian.toml").read_text()
        backup = f'\n[backup]\ndirectory = "{self.backups}"\n'
        (self.etc / "historian.toml").write_text(self.mine(packaged) + backup + more)

    def mine(self, text):
        """The paths and ports of this machine in the place of those of the page."""
        for path in ["/var/lib/historian", "/etc/historian", "/var/backups/historian", "/root/historian"]:
            text = re.sub(rf"(?<![\w.]){path}", f"{self.root}{path}", text)
        text = text.replace("--directory /", f"--directory {self.root}/")
        text = re.sub(r"\b8815\b", str(self.grpc), text)
        return re.sub(r"\b8080\b", str(self.http), text)

    def environment(self):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HISTORIAN_")}
        return kept | {
            "PATH": f"{self.root}/bin:{os.environ['PATH']}",
            "M": str(self.root),
            "HTTP": str(self.http),
            "BINARY": BINARY,
            "HISTORIAN_SERVER": f"grpc://127.0.0.1:{self.grpc}",
        }

    def type(self, block, **more):
        """What a block prints. Any command of it that fails fails the test."""
        script = "set -euo pipefail\n" + self.mine(block)
        ran = subprocess.run(
            ["bash", "-c", script], cwd=self.root, env=self.environment() | more, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180
        )
        log = (self.root / "log").read_text()[-1500:] if (self.root / "log").exists() else ""
        assert ran.returncode == 0, f"{script}\n{ran.stdout}{ran.stderr}\nlog: {log}"
        return ran.stdout + ran.stderr

    def write(self, samples):
        file = self.root / "samples.csv"
        file.write_text("tag,timestamp,value\n" + "".join(f"{tag},{when},{value}\n" for tag, when, value in samples))
        self.type(f"historian import {file} --create-tags")


@pytest.fixture
def machine(tmp_path):
    one = Machine(tmp_path)
    try:
        yield one
    finally:
        subprocess.run([tmp_path / "bin/stop"], env=one.environment(), check=False)


@pytest.fixture
def running(machine):
    machine.type("systemctl start historian")
    machine.write([("lab/ph", "2026-01-01T00:00:00Z", 7.01), ("lab/ph", "2026-01-01T00:01:00Z", 7.02)])
    return machine


def in_order(machine, heading, count, **more):
    """Types all blocks of a section; what each printed."""
    blocks = SECTIONS[heading]
    assert len(blocks) == count, f"{heading}: {len(blocks)} blocks: the case here does not know all of them"
    return [machine.type(block, **more) for block in blocks]


def test_every_section_of_the_runbook_is_tried():
    known = set(re.findall(r'(?:SECTIONS\[|in_order\(\w+, )"(.+?)"', pathlib.Path(__file__).read_text()))
    assert {heading for heading, blocks in SECTIONS.items() if blocks} == known


def test_one_looks_first(running):
    (block,) = FIRST
    assert "SERVING" in running.type(block)


def test_a_taken_port_is_found_and_the_start_repeated(machine):
    look, find, start = SECTIONS["The historian does not start"]
    other = socket.create_server(("127.0.0.1", machine.grpc))
    with pytest.raises(AssertionError, match="cannot listen on"):
        machine.type("systemctl start historian")
    assert "cannot listen on" in machine.type(look)
    assert f"pid={os.getpid()}" in machine.type(find)
    other.close()
    assert "SERVING" in machine.type(start)


def test_a_full_disk_is_seen_and_is_over(machine):
    seen, over = SECTIONS["The disk is full"]
    machine.configure('\n[storage]\ndisk_reserve_bytes = "1000 GiB"\n')
    machine.type("systemctl start historian")
    file = machine.root / "samples.csv"
    file.write_text("tag,timestamp,value\nlab/ph,2026-01-01T00:00:00Z,7.01\n")
    with pytest.raises(AssertionError, match="(?i)room|reserve"):
        machine.type(f"historian import {file} --create-tags")
    assert "NO ROOM" in machine.type(seen)
    machine.configure()
    machine.type("systemctl restart historian")
    assert "NO ROOM" not in machine.type(over)


def test_a_damaged_file_is_kept_and_the_rest_recovered(running):
    look, recover, over = SECTIONS["A file is damaged"]
    running.type("historian compact")
    running.type("systemctl stop historian")
    table = max(running.data.glob("**/*.sst"), key=lambda path: path.stat().st_size)
    table.write_bytes(table.read_bytes()[: table.stat().st_size // 2])
    with pytest.raises(AssertionError):
        running.type("systemctl start historian")
    assert table.name in running.type(look)
    assert "SERVING" in running.type(recover)
    assert list(running.data.glob("lost-*"))
    assert "SERVING" in running.type(over)


def test_a_lost_certificate_is_renewed_while_the_historian_runs(machine):
    seen, renew, over = SECTIONS["The certificate is lost or expired"]
    tls = machine.etc / "tls"
    machine.type(f"historian tls init --host plant.example --dir {tls}")
    machine.configure(f'\n[tls]\ncertificate = "{tls}/server.crt"\nkey = "{tls}/server.key"\n')
    machine.type("systemctl start historian")
    before = machine.type(seen)
    (tls / "server.key").unlink()
    machine.type(renew)
    assert machine.type(seen) != before
    time.sleep(3)
    assert "SERVING" in machine.type(over)


def test_a_backup_is_restored(running):
    running.type("historian backup")
    running.write([("lab/ph", "2026-01-01T00:02:00Z", 9.99)])
    printed = in_order(running, "Restore a backup", 3)
    assert "7.02" in printed[-1] and "9.99" not in printed[-1]
    assert (running.root / "var/lib/historian.before").exists()


def test_a_lost_token_is_replaced(running):
    running.type(f"historian token create boss --data-dir {running.data} --role admin >/dev/null")
    time.sleep(3)
    with pytest.raises(AssertionError, match="(?i)token"):
        running.type("historian status")
    printed = in_order(running, "The token of the administrator is lost", 2)
    assert "revoked" in printed[-1] and "lab" not in printed[0]


def test_it_moves_to_another_machine(running):
    away, here, over = SECTIONS["Move to another machine"]
    running.type(away)
    shutil.rmtree(running.data)
    (running.etc / "historian.toml").unlink()
    running.type(here)
    assert "SERVING" in running.type(over)
    assert "7.02" in running.type("historian query current lab/ph")


def test_samples_of_the_future_are_removed(running):
    look, remove, over = SECTIONS["The time has jumped"]
    tomorrow = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    running.write([("lab/ph", tomorrow, 5.55)])
    running.type(look)
    assert "5.55" in running.type(remove)
    after = running.type(over)
    assert "5.55" not in after and "7.02" in after


def test_a_silent_device_is_told_of(machine):
    nobody = socket.create_server(("127.0.0.1", 0))
    port = nobody.getsockname()[1]
    nobody.close()
    machine.configure(f'\n[[modbus]]\nname = "plc"\nendpoint = "127.0.0.1:{port}"\n\n[[modbus.tag]]\nname = "a/b"\naddress = "holding:1"\n')
    machine.type("systemctl start historian")
    printed = in_order(machine, "A device is silent", 2)
    assert "plc" in printed[0] and "a/b" in printed[0]


def test_an_upgrade_and_its_way_back(running):
    for name in ["new", "old"]:
        (running.root / f"historian_{name}.deb").touch()
    printed = in_order(running, "Upgrade and rollback", 3)
    assert all("historian 0." in text or "SERVING" in text for text in printed)
    assert "7.02" in running.type("historian query current lab/ph")
