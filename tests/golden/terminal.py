"""What the main commands show on terminals of 80 and 120 columns, recorded and compared.

    python terminal.py record BINARY    writes tests/golden/terminal/
    python terminal.py compare BINARY   ends with 1 where an answer differs, or where a line is wider than its terminal

A historian is started on a directory of its own and gets a fixed set of tags and samples; each command runs on a pseudo terminal."""

import difflib
import fcntl
import os
import pathlib
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import time

PLACE = pathlib.Path(__file__).parent / "terminal"
WIDTHS = (80, 120)
DAY = "--start 2026-01-01 --end 2026-01-02"
TWENTY_MINUTES = "--start 2026-01-01 --end 2026-01-01T00:20:00Z"

TAGS = """name,type,unit,description,stepped,range_low,range_high,state_set
area1/boiler/steam_pressure,f32,bar,Steam pressure at the outlet of the boiler,false,0,16,
area1/boiler/mode,state,,Operating mode of the burner,true,,,off|auto|manual
area1/feedwater/flow,f64,m3/h,Feedwater flow,false,0,40,
area1/feedwater/total,u64,m3,Feedwater counter,true,,,
area2/press/name,string,,Recipe that the press runs,true,,,
"""
ORDERS = "order,timestamp\n4711,2026-01-01T00:05:00Z\n4712,2026-01-01T00:07:30Z\n4713,2025-12-31T23:00:00Z\n"

# Name of the file, and the command.
COMMANDS = {
    "query_current": "query current",
    "query_range": f"query range area1/boiler/* --start 2026-01-01T00:06:00Z --end 2026-01-01T00:10:00Z",
    "query_range_wide": "query range area1/** --start 2026-01-01 --end 2026-01-01T00:03:00Z --layout wide",
    "query_aggregate": f"query aggregate area1/boiler/steam_pressure area1/feedwater/* {TWENTY_MINUTES} --interval 10m --functions time_average2,worst_quality",
    "query_anomalies": f"query anomalies area1/feedwater/flow {TWENTY_MINUTES} --detector limits --parameter high=25",
    "query_nothing": "query current nowhere/**",
    "query_nothing_then": "query range area1/** --start 2027-01-01 --end 2027-01-02",
    "measure": f"measure area1/boiler/mode {TWENTY_MINUTES} --measure time_in_state",
    "as_of": "as-of orders.csv area1/boiler/*",
    "sql": "sql SELECT\ttag,\tcount(*)\tAS\tsamples,\tmax(timestamp)\tAS\tlast\tFROM\tsamples\tGROUP\tBY\ttag\tORDER\tBY\ttag",
    "sql_samples": "sql SELECT\t*\tFROM\tsamples\tWHERE\ttag\tLIKE\t'%pressure'\tORDER\tBY\ttimestamp\tLIMIT\t3\tOFFSET\t6",
    "sql_shell": "sql",
    "tag_list": "tag list",
    "tag_list_nothing": "tag list area9/**",
    "tag_set": "tag set area1/feedwater/total --description Feedwater,\tcounted --unit m3",
    "detectors": "detectors",
    "status": "status",
    # Of the import several tags are made at once.
    "audit": "audit --from 7",
    "gaps": "gaps",
    "whoami": "whoami",
    "health": "health",
    "help": "--help",
    "help_query_range": "query range --help",
}


def samples():
    """Rows for `historian import`: a Bad and an Uncertain one among them."""
    rows = ["tag,timestamp,value,quality"]
    for minute in range(20):
        value, quality = f"{5 + minute / 10:.1f}", "Good"
        if minute == 7:
            value, quality = "", "BadSensorFailure"
        if minute == 8:
            quality = "UncertainSubNormal"
        rows.append(f"area1/boiler/steam_pressure,2026-01-01T00:{minute:02}:00.123456Z,{value},{quality}")
        rows.append(f"area1/feedwater/flow,2026-01-01T00:{minute:02}:00Z,{20 + minute / 3},Good")
    for step, mode in enumerate([0, 1, 2, 1, 0]):
        rows.append(f"area1/boiler/mode,2026-01-01T00:{step * 4:02}:00Z,{mode},Good")
        rows.append(f"area1/feedwater/total,2026-01-01T00:{step * 4:02}:00Z,{9007199254740993 + step * 10},Good")
    rows.append('area2/press/name,2026-01-01T00:00:00Z,"steel, 4 mm",Good')
    rows.append('area2/press/name,2026-01-01T00:10:00Z,"steel, 6 mm, lacquered on both sides",Good')
    return "\n".join(rows) + "\n"


# What is typed into the shell of `historian sql`: two lines, an arrow up, a statement that is refused.
TYPED = [
    "SELECT tag, max(value) AS most\n",
    " FROM samples WHERE quality = 0 GROUP BY tag ORDER BY tag;\n",
    "\\d\n",
    "\\d gaps\n",
    "SELECT 1 AS onee;\x7f\x7f;\n",
    "\x1b[A\x1b[D\x7f2\n",
    "SELECT nothing FROM samples;\n",
    "\\q\n",
]


def on_terminal(words, columns, environment, directory, typed=()):
    """Exit code and what the terminal shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    modes = termios.tcgetattr(theirs)
    modes[1] &= ~termios.ONLCR
    termios.tcsetattr(theirs, termios.TCSANOW, modes)
    process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=directory)
    os.close(theirs)
    shown = b""
    left = list(typed)
    while True:
        # A line is typed when there is a prompt for it: the cursor stands behind it.
        if left and re.search(rb"(historian> |       \.\.\. )\x1b\[K\r\x1b\[11C$", shown):
            os.write(ours, left.pop(0).encode())
        try:
            read = os.read(ours, 65536)
        except OSError:
            break
        if not read:
            break
        shown += read
    os.close(ours)
    return process.wait(), shown.decode()


def as_seen(text):
    """Of lines that were drawn again and again, what is left."""
    lines = re.sub(r"\x1b\[(K|\d+C)", "", text).split("\n")
    return "\n".join(next((part for part in reversed(line.split("\r")) if part), "") for line in lines)


def normal(text):
    """Without what differs from run to run; colours by name."""
    for code, name in (("31", "red"), ("33", "yellow")):
        text = re.sub(rf"\x1b\[{code}m(.*?)\x1b\[0m", rf"<{name}>\1</>", text)
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    # Times of the run, and what depends on the machine; as wide as they were.
    text = re.sub(r"20(?!26-01-01|25-12-31|27-01)\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ", "0000-00-00T00:00:00.000Z", text)
    text = re.sub(r"historian \d+\.\d+\.\d+[^,\s]*", "historian 0.0.0", text)
    text = re.sub(r"\d+ MiB of memory", "0 MiB of memory", text)
    text = re.sub(r"server\.data_dir: \S*", "server.data_dir: …", text)
    return re.sub(r"(HISTORIAN_SERVER=)\S+?\]", r"\1]", text)


def too_wide(text, columns):
    """Lines that a terminal would break; sentences are no cells."""
    plain = re.sub(r"<(red|yellow)>|</>", "", text)
    is_sentence = re.compile(r"^note: |\(invalid argument\)$")
    return [line for line in plain.splitlines() if len(line) > columns and not is_sentence.search(line)]


def main(what, binary):
    binary = str(pathlib.Path(binary).resolve())
    wrong = []
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        for name, text in (("tags.csv", TAGS), ("samples.csv", samples()), ("orders.csv", ORDERS)):
            (directory / name).write_text(text)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HISTORIAN_") and name not in ("COLUMNS", "NO_COLOR")}
        environment = dict(kept, TERM="xterm-256color", HOME=str(directory), HISTORIAN_TOKEN="", HISTORIAN_TLS_CA="")
        server = subprocess.Popen(
            [binary, "serve", "--data-dir", "data", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"],
            cwd=directory, env=kept, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        )
        try:
            for line in server.stderr:
                address = re.search(r"grpc://127\.0\.0\.1:\d+|listen\S*?[= ]\"?(127\.0\.0\.1:[1-9]\d*)", re.sub(r"\x1b\[[0-9;]*m", "", line))
                if address:
                    break
            address = address.group(1) or address.group(0).removeprefix("grpc://")
            environment["HISTORIAN_SERVER"] = f"grpc://{address}"
            for words in (["tag", "import", "tags.csv"], ["import", "samples.csv"]):
                subprocess.run([binary, *words], cwd=directory, env=environment, check=True, stdout=subprocess.DEVNULL)
            for columns in WIDTHS:
                for name, command in COMMANDS.items():
                    words = [word.replace("\t", " ") for word in command.split(" ")]
                    code, shown = on_terminal([binary, *words], columns, environment, directory, TYPED if name == "sql_shell" else ())
                    text = f"$ historian {' '.join(words)}\n{normal(as_seen(shown))}exit code {code}\n"
                    # The question is as wide as it is.
                    wide = too_wide(text.split("\n", 1)[1], columns)
                    if wide:
                        wrong.append(f"{columns} {name}: wider than the terminal:\n" + "\n".join(wide))
                    file = PLACE / str(columns) / f"{name}.txt"
                    if what == "record":
                        file.parent.mkdir(parents=True, exist_ok=True)
                        file.write_text(text)
                    elif not file.exists() or file.read_text() != text:
                        before = file.read_text() if file.exists() else ""
                        wrong.append("\n".join(difflib.unified_diff(before.splitlines(), text.splitlines(), str(file), "now", lineterm="")))
        finally:
            server.terminate()
            server.wait()
    print("\n\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("record", "compare"):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
