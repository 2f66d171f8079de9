"""What is packaged: the unit and what the service manager is told, the packages, the bill of materials, advisories, alert rules, dashboards."""

import contextlib
import hashlib
import json
import mmap
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import tomllib
import urllib.request
import zipfile

import pytest

from lib import ROOT
from ports import free_port

HERE = ROOT / "packaging"
BINARY = os.environ.get("HISTORIAN_BINARY", "historian")
API = (ROOT / "docs/api.md").read_text()


def ran(*command, fails=False, **settings):
    settings = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, "timeout": 500} | settings
    done = subprocess.run([str(word) for word in command], **settings)
    assert (done.returncode != 0) == fails, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def tool(name):
    """A program of the venv of the tests, or of the machine. Where `make setup` could not install it, the test fails."""
    found = shutil.which(name, path=f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin")
    assert found, f"{name} is missing: run `make setup`"
    return found


# The service manager.


class Manager:
    """Plays the part of systemd: a socket that takes what is told."""

    def __init__(self, folder):
        self.path = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.told, self.at = [], {}
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            for line in self.socket.recv(4096).decode().splitlines():
                self.at.setdefault(line, time.monotonic())
                self.told.append(line)
                if line == "READY=1":
                    self.when_ready()

    def when_ready(self):
        pass

    def waits_for(self, line, seconds=30):
        end = time.monotonic() + seconds
        while line not in self.told and time.monotonic() < end:
            time.sleep(0.01)
        assert line in self.told, (line, self.told)


@contextlib.contextmanager
def notifying(folder, **environment):
    manager = Manager(folder)
    grpc, http = free_port(), free_port()
    ready = []
    # What a client gets at the moment at which the manager hears it.
    def ask():
        with socket.create_connection(("127.0.0.1", grpc), timeout=5):
            ready.append(urllib.request.urlopen(f"http://127.0.0.1:{http}/readyz", timeout=5).status)

    manager.when_ready = ask
    command = [BINARY, "serve", "--data-dir", folder / "data", "--listen", f"127.0.0.1:{grpc}", "--http", f"127.0.0.1:{http}"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HISTORIAN_")}
    process = subprocess.Popen(command, env=kept | {"NOTIFY_SOCKET": manager.path} | environment, stdin=subprocess.DEVNULL)
    try:
        yield manager, process, ready
    finally:
        process.kill()
        process.wait()


def test_the_service_manager_hears_that_it_serves_and_that_it_stops(tmp_path):
    with notifying(tmp_path) as (manager, process, ready):
        manager.waits_for("READY=1")
        manager.waits_for("STATUS=serving")
        deadline = time.monotonic() + 10
        while not ready and time.monotonic() < deadline:
            time.sleep(0.01)
        assert ready == [200]
        before = manager.told[: manager.told.index("READY=1")]
        assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in before), before
        assert any(line.startswith("STATUS=opening") for line in before), before
        # Nobody asked for signs of life.
        assert "WATCHDOG=1" not in manager.told and "STOPPING=1" not in manager.told
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        manager.waits_for("STOPPING=1")
        assert manager.told.index("READY=1") < manager.told.index("STOPPING=1")


def test_the_watchdog_is_fed_while_it_lives_and_not_by_another_process(tmp_path):
    with notifying(tmp_path, WATCHDOG_USEC="1500000") as (manager, process, _):
        manager.waits_for("READY=1")
        time.sleep(3)
        fed = manager.told.count("WATCHDOG=1")
        assert 4 <= fed <= 9, manager.told
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        fed = manager.told.count("WATCHDOG=1")
        time.sleep(1.5)
        assert manager.told.count("WATCHDOG=1") == fed
        process.send_signal(signal.SIGCONT)
    other = tmp_path / "other"
    other.mkdir()
    with notifying(other, WATCHDOG_USEC="1500000", WATCHDOG_PID="1") as (manager, _, _):
        manager.waits_for("READY=1")
        time.sleep(1.5)
        assert "WATCHDOG=1" not in manager.told


def test_a_start_that_is_refused_is_never_called_ready(tmp_path):
    (tmp_path / "data").write_text("no directory")
    with notifying(tmp_path) as (manager, process, _):
        assert process.wait(30) == 1
        time.sleep(0.2)
        assert "READY=1" not in manager.told


def test_the_unit_is_hardened(tmp_path):
    unit = HERE / "historian.service"
    told = ran(tool("systemd-analyze"), "security", "--offline=true", "--threshold=20", "--no-pager", unit)
    assert float(re.search(r"exposure level for historian.service: ([\d.]+)", told)[1]) <= 2.0
    # The check can fail.
    loose = tmp_path / "historian.service"
    loose.write_text(re.sub(r"^(Protect|Private|Restrict|SystemCall|Capability)\w+=.*\n", "", unit.read_text(), flags=re.M))
    ran(tool("systemd-analyze"), "security", "--offline=true", "--threshold=20", "--no-pager", loose, fails=True)


def test_the_configuration_of_the_packages_works_as_it_is_and_with_all_that_it_shows(tmp_path):
    ran(BINARY, "check", "--offline", "--config", HERE / "historian.toml")
    text = (HERE / "historian.toml").read_text()
    tls = tmp_path / "tls"
    ran(BINARY, "tls", "init", "--host", "localhost", "--dir", tls)
    shown = re.sub(r"^# (?=\[|\w+ = |$)", "", text, flags=re.M).replace("/etc/historian/tls", str(tls)).replace("/var/lib/historian", str(tmp_path / "data"))
    whole = tomllib.loads(shown)
    assert {"server", "tls", "backup", "retention", "modbus", "opcua"} <= whole.keys()
    (tmp_path / "historian.toml").write_text(shown)
    ran(BINARY, "check", "--offline", "--config", tmp_path / "historian.toml")


def test_every_command_has_a_manual_page_and_completions_are_sound(tmp_path):
    ran(BINARY, "man", tmp_path / "man")
    pages = {path.name for path in (tmp_path / "man").iterdir()}
    commands = re.findall(r"^  (\w+) ", ran(BINARY, "--help").split("Commands:")[1].split("Options:")[0], re.M)
    assert len(commands) > 20
    assert {f"historian-{command}.1" for command in commands if command != "help"} <= pages
    assert "accept" in (tmp_path / "man/historian-serve.1").read_text()
    bash = tmp_path / "historian.bash"
    bash.write_text(ran(BINARY, "completions", "bash"))
    completed = ran("bash", "-c", f'source {bash}; COMP_WORDS=(historian ser); COMP_CWORD=1; _historian historian ser historian; echo "${{COMPREPLY[@]}}"')
    assert completed.split() == ["serve"]
    for shell in ["zsh", "fish"]:
        assert "accept-loss" in ran(BINARY, "completions", shell)


# Packages.


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    ran(HERE / "package", "--binary", BINARY, "--output", folder, env=os.environ | {"SOURCE_DATE_EPOCH": "1767225600"})
    sums = dict(reversed(line.split()) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sums.keys() == {path.name for path in folder.iterdir()} - {"SHA256SUMS"}
    for name, digest in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    return folder


def test_the_debian_package_has_what_belongs_to_a_service(packages, tmp_path):
    (package,) = packages.glob("*.deb")
    ran("dpkg-deb", "--raw-extract", package, tmp_path)
    control = (tmp_path / "DEBIAN/control").read_text()
    assert re.search(r"^Depends: .*libc6 \(>= 2\.\d+\), .*libstdc\+\+6", control, re.M), control
    assert (tmp_path / "DEBIAN/conffiles").read_text().split() == ["/etc/historian/historian.toml"]
    for script in ["postinst", "prerm", "postrm"]:
        ran("sh", "-n", tmp_path / "DEBIAN" / script)
        assert "/var/lib" not in re.findall(r"rm .*", (tmp_path / "DEBIAN" / script).read_text())
    assert (tmp_path / "etc/historian/historian.toml").read_text() == (HERE / "historian.toml").read_text()
    unit = (tmp_path / "usr/lib/systemd/system/historian.service").read_text()
    program, *_ = re.search(r"^ExecStart=(.+)$", unit, re.M)[1].split()
    assert ran(tmp_path / program.lstrip("/"), "--version") == ran(BINARY, "--version")
    for name in ["usr/share/man/man1/historian-serve.1.gz", "usr/share/bash-completion/completions/historian", "usr/share/doc/historian/copyright",
                 "usr/share/doc/historian/THIRD-PARTY-LICENSES.gz", "usr/share/doc/historian/prometheus/historian.rules.yml"]:
        assert (tmp_path / name).stat().st_size > 0, name
    owners = ran("dpkg-deb", "--contents", package)
    assert all(" root/root " in line for line in owners.splitlines() if line[:1] in "-d"), owners


def test_the_archive_has_the_program_and_its_licences(packages):
    (archive,) = packages.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {"/".join(name.split("/")[1:]) for name in opened.getnames()}
        assert {name.split("/")[0] for name in opened.getnames()} == {archive.name.removesuffix(".tar.gz")}
    told = re.findall(r"^\| `([^`]+)`", (HERE / "README.md").read_text(), re.M)
    told += re.findall(r"`(LICENSE[^`]+|THIRD[^`]+|completions/)`", (HERE / "README.md").read_text())
    for name in told:
        assert any(one == name or one.startswith(name) for one in names), name


def test_the_wheel_is_installed_without_a_compiler_and_its_tag_is_true(packages, tmp_path):
    (wheel,) = packages.glob("*.whl")
    judged = ran(tool("auditwheel"), "show", wheel)
    tag = re.search(r"manylinux_\d+_\d+_\w+(?=\.whl)", wheel.name)[0]
    assert f'consistent with the following platform tag: "{tag}"' in re.sub(r"\s+", " ", judged), judged
    ran(sys.executable, "-m", "venv", tmp_path / "venv")
    ran(tmp_path / "venv/bin/pip", "install", "--quiet", "--no-index", "--disable-pip-version-check", wheel)
    assert ran(tmp_path / "venv/bin/historian", "--version") == ran(BINARY, "--version")
    with zipfile.ZipFile(wheel) as opened:
        assert any(name.endswith("licenses/THIRD-PARTY-LICENSES") for name in opened.namelist())


def test_the_container_is_as_it_should_be():
    ran(tool("hadolint"), HERE / "Containerfile")
    text = (HERE / "Containerfile").read_text()
    assert re.search(r"^USER 65532", text, re.M) and re.search(r"^VOLUME", text, re.M)
    check = json.loads(re.search(r"^HEALTHCHECK .* CMD (\[.*\])$", text, re.M)[1])
    assert check[0] == "/usr/bin/historian"
    ran(BINARY, *check[1:], "--help")
    # With nobody there it is not healthy, and says so soon.
    begun = time.monotonic()
    ran(BINARY, *check[1:], "--server", f"grpc://127.0.0.1:{free_port()}", fails=True)
    assert time.monotonic() - begun < 8


# Supply chain.


@pytest.fixture(scope="module")
def bill(tmp_path_factory):
    path = tmp_path_factory.mktemp("bill") / "historian.cdx.json"
    ran(HERE / "sbom", "--output", path)
    return json.loads(path.read_text())


def named(bill):
    return {(one["name"], one["version"]) for one in bill["components"]}


def test_the_bill_of_materials_names_what_the_lock_file_links_for_this_target_and_nothing_else(bill):
    target = bill["metadata"]["properties"][0]["value"]
    # Another form of the question than that of the generator, which reads a list: the tree, by its depth.
    command = ["cargo", "tree", "--locked", "-p", "historian", "-e", "normal,no-proc-macro", "--target", target, "--prefix", "depth"]
    tree = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True).stdout
    linked = {tuple(re.match(r"\d+(\S+) v(\S+)", line).groups()) for line in tree.splitlines()} - {("historian", bill["metadata"]["component"]["version"])}
    assert named(bill) == linked
    lock = {(one["name"], one["version"]): one for one in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
    for one in bill["components"]:
        locked = lock[one["name"], one["version"]]
        assert [hash["content"] for hash in one.get("hashes", [])] == ([locked["checksum"]] if "checksum" in locked else []), one["name"]
        assert one["licenses"], one["name"]
    names = {name for name, _ in named(bill)}
    assert {"rocksdb", "librocksdb-sys", "tonic", "rustls", "ring", "historian-store"} <= names
    # Of tests, of builds, and of code that writes code.
    assert not names & {"proptest", "criterion", "bindgen", "cc", "serde_derive", "syn", "historian-test-support"}


def test_every_crate_whose_source_a_built_program_names_is_in_the_bill(bill):
    with open(BINARY, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as program:
        # Where the library of panics says where it was.
        paths = set(re.findall(rb"/registry/src/[^/\0]+/([A-Za-z0-9_-]+?)-(\d+\.\d+\.\d+[A-Za-z0-9.+-]*)/", program))
    seen = {(name.decode(), version.decode()) for name, version in paths}
    assert len(seen) > 100, len(seen)
    assert seen - named(bill) == set()


def test_the_dependencies_of_the_bill_lead_from_the_program_to_every_crate(bill):
    edges = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
    reached, left = set(), [bill["metadata"]["component"]["bom-ref"]]
    while left:
        one = left.pop()
        if one not in reached:
            reached.add(one)
            left += edges[one]
    assert reached == edges.keys() == {one["bom-ref"] for one in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}


ADVISORY = """```toml
[advisory]
id = "{id}"
package = "{package}"
date = "2026-02-03"
url = "https://example.com"
{kind}
[versions]
patched = [{patched}]
```

# {title}

What happened.
"""


def advised(folder, *advisories):
    """A database of made-up advisories, on crates that the lock file has."""
    (folder / "crates").mkdir(parents=True)
    for id, package, kind, patched in advisories:
        (folder / "crates" / package).mkdir(exist_ok=True)
        text = ADVISORY.format(id=id, package=package, kind=kind, patched=patched, title=f"Trouble of {package}")
        (folder / "crates" / package / f"{id}.md").write_text(text)
    return folder


def audited(database, waivers, *arguments, fails):
    tool("cargo-audit")
    environment = os.environ | {"HISTORIAN_ADVISORIES": str(database), "HISTORIAN_VENV": str(pathlib.Path(sys.executable).parents[1])}
    environment.pop("HISTORIAN_ALLOW_SKIP", None)
    return ran(ROOT / ".ci/audit", "--waivers", waivers, *arguments, env=environment, fails=fails)


def test_an_advisory_fails_the_check_until_it_is_accepted_with_a_date_and_after_that_date(tmp_path):
    waivers = tmp_path / "deny.toml"
    waivers.write_text("")
    database = advised(tmp_path / "db", ("RUSTSEC-2026-9001", "tokio", "", '">= 99.0.0"'), ("RUSTSEC-2026-9002", "nobody-has-this", "", ""))
    told = audited(database, waivers, fails=True)
    assert "RUSTSEC-2026-9001: tokio" in told and "Trouble of tokio" in told and ">= 99.0.0" in told.replace(">=99", ">= 99"), told
    assert "the newest of 2026-02-03" in told and "9002" not in told, told

    waivers.write_text('[advisories]\nignore = [{ id = "RUSTSEC-2026-9001", reason = "we know; until 2026-12-31" }]\n')
    assert "accepted until 2026-12-31" in audited(database, waivers, "--today", "2026-12-31", fails=False)
    assert "look again" in audited(database, waivers, "--today", "2027-01-01", fails=True)
    waivers.write_text('[advisories]\nignore = [{ id = "RUSTSEC-2026-9001", reason = "we know" }]\n')
    assert "does not end with" in audited(database, waivers, fails=True)


def test_a_waiver_that_is_not_needed_fails_and_an_unmaintained_crate_is_told_of(tmp_path):
    waivers = tmp_path / "deny.toml"
    waivers.write_text('[advisories]\nignore = [{ id = "RUSTSEC-2026-9003", reason = "long gone; until 2030-01-01" }]\n')
    database = advised(tmp_path / "db", ("RUSTSEC-2026-9004", "bytes", 'informational = "unmaintained"', ""))
    told = audited(database, waivers, fails=True)
    assert "RUSTSEC-2026-9003: is accepted" in told and "unmaintained (RUSTSEC-2026-9004)" in told
    waivers.write_text("")
    audited(database, waivers, fails=False)
    # Code that can break memory is no matter of taste.
    unsound = advised(tmp_path / "other", ("RUSTSEC-2026-9005", "bytes", 'informational = "unsound"', ""))
    assert "RUSTSEC-2026-9005" in audited(unsound, waivers, fails=True)
    assert "empty" in audited(advised(tmp_path / "none"), waivers, fails=True)


# What watches.


def metrics_told():
    """Names of metrics as docs/api.md has them."""
    below = API.split("\n## HTTP\n")[1].split("\n## ")[0]
    return {word.split("{")[0] for word in re.findall(r"`((?:historian|process)_[^`]+)`", below)}


def metrics_in(expression):
    names = set(re.findall(r"\b((?:historian|process)_[a-z_0-9]+)", re.sub(r'"[^"]*"', "", expression)))
    return {re.sub(r"_(bucket|sum|count)$", "", name) if re.sub(r"_(bucket|sum|count)$", "", name) in metrics_told() else name for name in names}


def test_alert_rules_are_sound_and_each_is_raised_when_it_should_and_not_otherwise():
    folder = HERE / "prometheus"
    ran(tool("promtool"), "check", "rules", folder / "historian.rules.yml")
    ran(tool("promtool"), "test", "rules", *sorted(folder.glob("*.test.yml")), cwd=folder)
    rules = (folder / "historian.rules.yml").read_text()
    alerts = re.findall(r"alert: (\w+)", rules)
    cases = "".join(path.read_text() for path in folder.glob("*.test.yml"))
    assert all(f"name: {alert} raised" in cases and f"name: {alert} silent" in cases for alert in alerts) and len(alerts) >= 15
    expressions = "\n".join(re.findall(r"expr: (?:>-)?(.+?)(?=\n        (?:for|labels):)", rules, re.S))
    assert metrics_in(expressions) - metrics_told() == set()
    for document, heading in re.findall(r'runbook: "(docs/\w+\.md)#([\w-]+)"', rules):
        headings = re.findall(r"^#+ (.+)$", (ROOT / document).read_text(), re.M)
        assert heading in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}, (document, heading)


def test_every_panel_of_the_dashboards_asks_for_metrics_that_there_are():
    told, used, seen = metrics_told(), set(), set()
    for path in sorted((HERE / "grafana").glob("*.json")):
        board = json.loads(path.read_text())
        assert board["uid"] not in seen
        seen.add(board["uid"])
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
        for panel in board["panels"]:
            assert panel["targets"], panel["title"]
            for target in panel["targets"]:
                names = metrics_in(target["expr"])
                assert names and names <= told, (path.name, panel["title"], names - told)
                used |= names
        for variable in board["templating"]["list"]:
            query = variable["query"]["query"] if isinstance(variable["query"], dict) else ""
            assert metrics_in(query) <= told
    assert len(seen) == 3
    # Whatever is told is seen somewhere, but for what says nothing over time.
    assert told - used == {"historian_oidc_keys", "process_threads", "process_virtual_memory_bytes"}, told - used
