"""Every code block of docs/recipes.md against one historian, in their order, and what it prints against the block `text` behind it.

With HISTORIAN_UPDATE=1 what is printed is written into the document instead.
"""

import contextlib
import difflib
import io
import os
import pathlib
import re
import subprocess
import sys

import pytest

from lib import ADDRESS, ROOT, URI

DOCUMENT = ROOT / "docs/recipes.md"
PACKAGE = str(ROOT / "clients/python/src")
# The ports as the document has them.
DOCUMENTED = {"127.0.0.1:8815": ADDRESS, "127.0.0.1:8080": os.environ.get("HISTORIAN_HTTP", "")}
TEXT = DOCUMENT.read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FOUND = list(BLOCK.finditer(TEXT))


def followed_by(number):
    """The block with what the one before it prints."""
    following = FOUND[number + 1] if number + 1 < len(FOUND) else None
    between = TEXT[FOUND[number].end() : following.start()] if following else ""
    return following if following and following[1] == "text" and not between.strip() else None


# Kind, code, what it prints (None: not told), and the line of the document.
BLOCKS = [
    pytest.param(block[1], block[2], followed_by(number), id=f"line {TEXT[: block.start()].count(chr(10)) + 2}")
    for number, block in enumerate(FOUND)
    if block[1] != "text"
]


@pytest.fixture(scope="module", autouse=True)
def scratch(tmp_path_factory):
    """A directory of its own, with the package to import, as a reader has it."""
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "proto").symlink_to(ROOT / "proto")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "120")
        patch.delenv("HISTORIAN_SERVER", raising=False)
        patch.syspath_prepend(PACKAGE)
        patch.syspath_prepend(str(folder))
        yield


def python(code):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        # As a program of its own: nothing is left of the block before.
        exec(compile(code, "docs/recipes.md", "exec"), {"__name__": "__main__"})
    return printed.getvalue()


def shell(code):
    directories = [str(pathlib.Path(os.environ["HISTORIAN_BINARY"]).parent), str(pathlib.Path(sys.executable).parent), os.environ["PATH"]]
    environment = {**os.environ, "PATH": ":".join(directories), "HISTORIAN_SERVER": URI, "PYTHONPATH": PACKAGE}
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", code], env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def same_as_example(code):
    assert code == (ROOT / "proto/examples/query.rs").read_text(), "this is not proto/examples/query.rs"
    return ""


KINDS = {"python": python, "sh": shell, "rust": same_as_example}


def real(code):
    for documented, address in DOCUMENTED.items():
        code = code.replace(documented, address)
    return code


def lines(text):
    for documented, address in DOCUMENTED.items():
        text = text.replace(address, documented)
    return [line.rstrip() for line in text.strip("\n").split("\n")]


@pytest.mark.parametrize(("kind", "code", "told"), BLOCKS)
def test_a_block_runs_and_prints_what_the_document_says(kind, code, told):
    printed = KINDS[kind](real(code) if kind != "rust" else code)
    if told is None:
        return
    expected, found = lines(told[2]), lines(printed)
    if os.environ.get("HISTORIAN_UPDATE"):
        text = DOCUMENT.read_text()
        DOCUMENT.write_text(text.replace(f"{code}```\n\n```text\n{told[2]}", f"{code}```\n\n```text\n" + "\n".join(found) + "\n"))
    else:
        assert expected == found, "\n".join(difflib.unified_diff(expected, found, "documented", "printed", lineterm=""))


def test_the_document_has_its_blocks():
    assert len(BLOCKS) >= 12 and sum(block.values[2] is not None for block in BLOCKS) >= 8
