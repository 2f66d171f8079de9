"""Runs every code block of docs/recipes.md against a historian and compares what it prints with the block `text` behind it.

Arguments: host:port, root of the checkout, the historian binary. With --update what is printed is written into the document instead.
"""

import contextlib
import difflib
import io
import os
import pathlib
import re
import subprocess
import sys
import tempfile

address, root, binary = (argument for argument in sys.argv[1:] if argument != "--update")
root = pathlib.Path(root)
update = "--update" in sys.argv
document = root / "docs/recipes.md"
package = str(root / "clients/python/src")
sys.path.insert(0, package)
ADDRESS = "127.0.0.1:8815"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def python(code, place):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        # As a program of its own: nothing is left of the block before.
        exec(compile(code, place, "exec"), {"__name__": "__main__"})
    return printed.getvalue()


def shell(code, place):
    directories = [str(pathlib.Path(binary).parent), str(pathlib.Path(sys.executable).parent), os.environ["PATH"]]
    environment = {**os.environ, "PATH": ":".join(directories), "HISTORIAN_SERVER": f"grpc://{address}", "PYTHONPATH": package}
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", code], env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{place} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def same_as_example(code, place):
    example = (root / "proto/examples/query.rs").read_text()
    assert code == example, f"{place} is not proto/examples/query.rs"
    return ""


KINDS = {"python": python, "sh": shell, "rust": same_as_example}


def lines(text):
    return [line.rstrip() for line in text.replace(address, ADDRESS).strip("\n").split("\n")]


text = document.read_text()
blocks = list(BLOCK.finditer(text))
os.environ["COLUMNS"] = "120"
os.environ.pop("HISTORIAN_SERVER", None)
ran = compared = 0
replaced = []
with tempfile.TemporaryDirectory() as scratch:
    os.chdir(scratch)
    os.symlink(root / "proto", "proto")
    sys.path.insert(0, scratch)
    for number, block in enumerate(blocks):
        kind, code = block.groups()
        if kind == "text":
            continue
        place = f"docs/recipes.md:{text[: block.start()].count(chr(10)) + 2}"
        try:
            printed = KINDS[kind](code.replace(ADDRESS, address) if kind != "rust" else code, place)
        except Exception as error:
            raise AssertionError(f"{place}: {type(error).__name__}: {error}") from error
        ran += 1
        following = blocks[number + 1] if number + 1 < len(blocks) else None
        if following is not None and following[1] == "text" and text[block.end() : following.start()].strip() == "":
            expected, got = lines(following[2]), lines(printed)
            if update:
                replaced.append((following.span(2), "\n".join(got) + "\n"))
            elif expected != got:
                difference = "\n".join(difflib.unified_diff(expected, got, "documented", "printed", lineterm=""))
                raise AssertionError(f"{place} prints something else:\n{difference}")
            compared += 1
    os.chdir(root)
for (start, end), printed in reversed(replaced):
    text = text[:start] + printed + text[end:]
if update:
    document.write_text(text)
assert ran >= 12 and compared >= 8, (ran, compared)
print(f"ok: {ran} blocks ran, the output of {compared} was compared")
