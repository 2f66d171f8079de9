"""The Python package as a package: types, wheel, licences, what it does without its optional packages, and that it knows the interface as it is."""

import ast
import email
import os
import pathlib
import re
import shutil
import subprocess
import sys
import typing
import venv
import zipfile

import pytest
from google.protobuf import descriptor_pb2

from package import hc, plant  # first: it finds the package

from historian_client import option
from historian_client.rpc import DESCRIPTORS
from lib import ROOT, START, refused

CLIENT = ROOT / "clients/python"
SOURCE = CLIENT / "src/historian_client"
PROTOS = ["access", "admin", "annotation", "collector", "query", "sample", "tag", "write"]


def ran(*command, **settings):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, stdin=subprocess.DEVNULL, **settings)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


USER = """
import asyncio
import historian_client as hc

plant = hc.connect("localhost")
plant.range("a", "*-1h", boundary="INTERPOLATED", layout="wide", quality="not_bad")
plant.aggregate("a", "*-1h", functions=["time_average", "maximum"], calendar="day")
plant.frame("a", "*-1h", every="1m", method="time_average", zone="Europe/Berlin", quality=True)
plant.write_frame({}, nan="bad")
tag: hc.Tag = plant.create_tag("a", "f64")
unit: str = plant.update_tag("a", unit="bar").unit

async def main() -> None:
    async with await hc.connect_async("localhost") as other:
        found: list[hc.Tag] = await other.find_tags("boiler")
        await other.range("a", "*-1h", boundary="INSIDE")
"""
WRONG = {
    'plant.range("a", "*-1h", boundary="around")': "arg-type",
    'plant.aggregate("a", "*-1h", functions="median")': "arg-type",
    'plant.frame("a", "*-1h", every="1m", method="mean")': "call-overload",
    'plant.frame("a", "*-1h", to="spark")': "call-overload",
    'plant.write_frame({}, nan="zero")': "arg-type",
    'plant.create_tag("a", "double")': "arg-type",
    'plant.export("a", "*-1h", "*", "x", format="excel")': "arg-type",
    'text: str = plant.tag("a").state_set': "assignment",
    'asyncio.run(hc.AsyncClient(plant).range("a", boundary="INSIDE"))': "call-arg",
    'asyncio.run(hc.AsyncClient(plant).range("a", "*-1h", boundary="around"))': "arg-type",
}


def test_mypy_finds_nothing_in_the_package_and_every_mistake_of_its_user(tmp_path):
    own = [sys.executable, "-m", "mypy", "--config-file", CLIENT / "pyproject.toml", "--cache-dir", tmp_path / "cache"]
    assert "no issues found" in ran(*own, cwd=CLIENT)
    assert re.search(r"^strict = true$", (CLIENT / "pyproject.toml").read_text(), re.MULTILINE) and (SOURCE / "py.typed").exists()
    assert not re.search(r"type: ignore", "".join(path.read_text() for path in SOURCE.glob("*.py")))
    user = tmp_path / "user.py"
    user.write_text(USER + "\n".join(WRONG) + "\n")
    environment = {**os.environ, "MYPYPATH": str(CLIENT / "src")}
    done = subprocess.run([*map(str, own), "--strict", str(user)], capture_output=True, text=True, env=environment, cwd=tmp_path)
    told = re.findall(r"user\.py:(\d+): error: .*\[([a-z-]+)\]$", done.stdout, re.MULTILINE)
    first = USER.count("\n") + 1
    assert {int(line) - first: code for line, code in told} == dict(enumerate(WRONG.values())), done.stdout


def test_a_wheel_is_built_by_one_command_without_a_network(tmp_path):
    """The command of the README, with the build backend of this environment in the place of a fetched one."""
    command = re.search(r"^(pip wheel .*)$", (CLIENT / "README.md").read_text(), re.MULTILINE)[1].split()
    assert command == ["pip", "wheel", "--no-deps", "--wheel-dir", "dist", "./clients/python"]
    before = {path for path in CLIENT.rglob("*") if "__pycache__" not in path.parts}
    offline = {**os.environ, "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}  # pip: 0 says no isolation
    ran(sys.executable, "-m", *command[:-3], "--wheel-dir", tmp_path, ROOT / "clients/python", env=offline, cwd=ROOT)
    assert {path for path in CLIENT.rglob("*") if "__pycache__" not in path.parts} == before, "nothing is left in the checkout"
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"historian_client-{hc.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        assert {f"historian_client/{path.name}" for path in SOURCE.iterdir() if path.is_file()} <= names
        (metadata,) = (name for name in names if name.endswith("METADATA"))
        about = email.message_from_bytes(packed.read(metadata))
        licences = [name for name in names if "LICENSE" in name]
        assert sorted(packed.read(name) for name in licences) == sorted((ROOT / name).read_bytes() for name in ("LICENSE-MIT", "LICENSE-APACHE"))
    assert about["Name"] == "historian-client" and about["License-Expression"] == "MIT OR Apache-2.0"
    assert {name for name in about.get_all("Provides-Extra")} == {"pandas", "polars", "grpc", "plot", "notebook"}
    assert [line for line in about.get_all("Requires-Dist") if "extra" not in line] == ["pyarrow>=17"]
    # As whoever installs it has it.
    home = tmp_path / "venv"
    venv.create(home, with_pip=False, system_site_packages=False)
    (site,) = (home / "lib").glob("python*/site-packages")
    ran(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel)
    here = pathlib.Path(hc.__file__).resolve()
    code = "import historian_client as h; print(h.__file__); p = h.connect(); print(p.tag.__doc__ is not None, p.whoami()['name'])"
    environment = {**os.environ, "HISTORIAN_SERVER": os.environ["HISTORIAN_ADDRESS"], "PYTHONPATH": ""}
    others = next(path for path in map(pathlib.Path, sys.path) if (path / "pyarrow").is_dir())
    (site / "others.pth").write_text(f"{others}\n")
    told = ran(home / "bin/python", "-c", code, env=environment, cwd=tmp_path).splitlines()
    assert str(site) in told[0] and pathlib.Path(told[0]) != here and told[1] == "True anonymous"


def test_versions_and_licences_are_the_same_everywhere():
    project = (CLIENT / "pyproject.toml").read_text()
    assert f'version = "{hc.__version__}"' in project
    for name in ("LICENSE-MIT", "LICENSE-APACHE"):
        assert (CLIENT / name).read_bytes() == (ROOT / name).read_bytes()


def test_the_descriptors_are_those_of_the_protos(tmp_path):
    """Made anew with HISTORIAN_UPDATE=1."""
    made = tmp_path / DESCRIPTORS
    files = [ROOT / f"proto/historian/v1/{name}.proto" for name in PROTOS]
    ran(sys.executable, "-m", "grpc_tools.protoc", "-I", ROOT / "proto", "--include_imports", f"--descriptor_set_out={made}", *files)
    if os.environ.get("HISTORIAN_UPDATE"):
        shutil.copy(made, SOURCE / DESCRIPTORS)
    theirs, ours = ({file.name: file for file in read(path).file} for path in (made, SOURCE / DESCRIPTORS))
    for name, file in theirs.items():
        assert name in ours and ours[name] == file, f"{name} has changed: run this test with HISTORIAN_UPDATE=1, and commit {DESCRIPTORS}"


def read(path):
    return descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())


def words_of(kind):
    words = typing.get_args(kind)
    upper = {word.upper() for word in words}
    assert {word for word in words if word.upper() == word} in (upper, set()), "each in capitals and small, or as it is documented"
    return upper


def test_options_are_those_of_the_historian():
    """By the enums of the protos, the names of the aggregates by what the historian says."""
    enums = {}
    for file in read(SOURCE / DESCRIPTORS).file:
        for one in [*file.enum_type, *(nested for message in file.message_type for nested in message.enum_type)]:
            names = [value.name for value in one.value]
            prefix = names[0].removesuffix("UNSPECIFIED")
            enums[one.name] = {name.removeprefix(prefix) for name in names[1:]}
    pairs = {
        "Boundary": option.Boundary, "Layout": option.Layout, "QualityFilter": option.Quality, "Fill": option.Fill, "Calendar": option.Calendar,
        "Method": option.Method, "Output": option.Output, "Measure": option.Measure, "Mode": option.Mode, "Durability": option.Durability,
        "ValueType": option.ValueType,
    }  # fmt: skip
    for name, kind in pairs.items():
        assert words_of(kind) == enums[name], name
    resets = next(names for name, names in enums.items() if "FROM_ZERO" in names)
    assert words_of(option.Reset) == resets
    told = str(refused(hc.InvalidRequest, lambda: plant.aggregate("a", START, functions="no_such_function"), ""))
    documented = re.search(r"The functions are the 37 of OPC UA Part 13.*?`variance_population`", (ROOT / "docs/api.md").read_text(), re.DOTALL)[0]
    assert set(typing.get_args(option.Function)) == set(re.findall(r"`([a-z_0-9]+)`", documented)) and len(typing.get_args(option.Function)) == 37, told
    for function in typing.get_args(option.Function):
        plant.aggregate("none/**", START, START + 10, functions=function)


@pytest.mark.parametrize(("missing", "call", "kind", "fragment"), [
    ("pandas", "plant.frame('none/*', 0, 10**18)", "NotSupported", "historian-client[pandas]"),
    ("polars", "plant.frame('none/*', 0, 10**18, to='polars')", "NotSupported", "historian-client[polars]"),
    ("matplotlib", "plant.trend('none/*').plot()", "NotSupported", "historian-client[plot]"),
    ("grpc", "plant.status()", "NotSupported", "historian-client[grpc]"),
    ("google.protobuf", "plant.tag('a')", "NotSupported", "historian-client[grpc]"),
])
def test_what_is_not_installed_is_named_where_it_is_needed(missing, call, kind, fragment, tmp_path):
    """Everything else works without."""
    code = f"""
import sys
for name in ("pandas", "polars", "numpy", "matplotlib", "matplotlib.pyplot", "grpc", "google.protobuf", "IPython", "ipywidgets", "duckdb"):
    if name in ({missing!r}, "numpy") or name.startswith({missing!r}):
        sys.modules[name] = None
import historian_client as h
plant = h.connect()
import pyarrow as pa
plant.write({{"tag": ["build/a"], "timestamp": pa.array([10**18], pa.timestamp("ns", "UTC")), "value": [1.0]}}, create_tags=True)
assert plant.frame("build/a", 10**18, 10**18 + 1, to="arrow")["build/a"].to_pylist() == [1.0]
assert plant.frame("build/a", 10**18, 10**18 + 10**10, every="1s", to="arrow")["build/a"].to_pylist() == [1.0] * 10
assert plant.sql("SELECT value FROM samples WHERE tag = ?", ["build/a"])["value"].to_pylist() == [1.0]
assert "build/a" in repr(plant.show(plant.current("build/a")))
plant.export("build/a", 0, 10**18 + 1, sys.argv[1])
try:
    {call}
except h.HistorianError as error:
    print(type(error).__name__, error)
"""
    environment = {**os.environ, "HISTORIAN_SERVER": os.environ["HISTORIAN_ADDRESS"], "PYTHONPATH": str(CLIENT / "src")}
    told = ran(sys.executable, "-c", code, tmp_path / "build.csv", env=environment)
    assert told.startswith(kind) and fragment in told


def test_what_the_async_client_has_are_the_calls_that_read():
    """Everything public that does not change anything is there, and nothing else."""
    changes = {"write", "write_frame", "export", "create_tag", "update_tag", "rename_tag", "retype_tag", "delete_tag", "delete", "replace", "edit",
               "annotate", "update_annotation", "delete_annotation"}
    local = {"close", "show", "trend", "batches", "range_batches", "last_qualities", "server_version"}  # of streams, and what only wraps
    calls = {name for name in dir(hc.Client) if not name.startswith("_")} - changes - local
    assert calls == {name for name in dir(hc.AsyncClient) if not name.startswith("_")} - {"close"}


def test_modules_stay_small_and_say_what_they_are_for():
    for path in SOURCE.glob("*.py"):
        text = path.read_text()
        assert ast.get_docstring(ast.parse(text)), path.name
        assert len(text.splitlines()) <= 450 and max(map(len, text.splitlines())) <= 170, path.name
