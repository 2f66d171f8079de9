"""Answers for people: tables of HTML, pictures, bars in a notebook, and the example. matplotlib's own objects say what is drawn, IPython what is shown."""

import html.parser
import json
import os
import pathlib
import re
import subprocess
import sys

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from package import MINUTE, hc, plant, put  # first: it finds the package

from historian_client import notebook, quality
from historian_client import progress as progress_module
from lib import BAD_SENSOR_FAILURE, NS, ROOT, SECOND, START, UNCERTAIN, refused

DAY_NS = 86_400 * 10**9


class Cells(html.parser.HTMLParser):
    """The cells of tables, and every element that is no part of one."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.others, self.styles = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.styles.append(dict(attributes).get("style", ""))
        elif tag not in ("table", "thead", "tbody", "div", "p"):
            self.others.add(tag)

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module", autouse=True)
def written():
    plant.create_tag("show/line", "f64", unit="bar")
    put("show/line", [(at * MINUTE, float(at % 7), 0) for at in range(0, 20)] + [(20 * MINUTE, None, BAD_SENSOR_FAILURE), (21 * MINUTE, 99.0, BAD_SENSOR_FAILURE)]
        + [(30 * MINUTE, 3.0, 0), (31 * MINUTE, 4.0, UNCERTAIN), (32 * MINUTE, 5.0, 0), (40 * MINUTE, None, 0x809D0000), (50 * MINUTE, 6.0, 0), (55 * MINUTE, 6.5, 0)])
    plant.create_tag("show/step", "f64", unit="%", stepped=True)
    put("show/step", [(0, 10.0), (10 * MINUTE, 40.0), (50 * MINUTE, 20.0)])
    plant.create_tag("show/mode", "state", state_set=["off", "<b>on</b>"])
    put("show/mode", [(0, 0, 0), (10 * MINUTE, 1, 0), (20 * MINUTE, None, BAD_SENSOR_FAILURE), (30 * MINUTE, 1, 0)], pa.uint32())
    put("show/<img onerror=alert(1)>", [(0, "<script>alert(1)</script>")])
    plt.close("all")


def test_a_notebook_shows_words_and_nothing_of_samples_as_markup():
    shown = Cells(plant.show(plant.range("show/*", START, START + 60 * MINUTE))._repr_html_())
    assert shown.others == set(), "tags and texts are what somebody wrote"
    header = shown.rows[0]
    assert header == ["tag", "timestamp", "value", "quality", "text"] and len(shown.rows) == 1 + 12 + 1
    modes = Cells(plant.show(plant.range("show/mode", START, START + 60 * MINUTE))._repr_html_())
    assert [row[1:] for row in modes.rows[1:]] == [
        ["2026-01-01 00:00:00.000Z", "off", "Good"],
        ["2026-01-01 00:10:00.000Z", "<b>on</b>", "Good"],
        ["2026-01-01 00:20:00.000Z", "", "BadSensorFailure"],
        ["2026-01-01 00:30:00.000Z", "<b>on</b>", "Good"],
    ]
    text = Cells(plant.show(plant.range(["show/<img onerror=alert(1)>", "show/mode"], START, START + 1))._repr_html_())
    assert text.rows[1] == ["show/<img onerror=alert(1)>", "2026-01-01 00:00:00.000Z", "", "Good", "<script>alert(1)</script>"]
    assert any("#b3261e" in style for style in modes.styles), "Bad is in the colour of Bad"


def test_an_answer_is_shortened_in_the_middle_and_says_how_much_there_is():
    put("show2/long", [(at * SECOND, float(at)) for at in range(1_000)])
    text = repr(plant.show(plant.range("show2/long", START, START + 60 * MINUTE)))
    lines = text.splitlines()
    assert lines[0] == "1,000 rows, 4 columns" and len(lines) == 2 + 13 and lines[2].split()[3] == "0" and lines[-1].split()[3] == "999"
    assert "988 rows" in plant.show(plant.range("show2/long", START, START + 60 * MINUTE))._repr_html_()
    assert repr(plant.show(plant.range("show2/none*", START, START + 1))).startswith("no rows")
    wide = plant.show(plant.frame("show/*", START, START + 60 * MINUTE, quality=True, to="arrow", zone="Europe/Berlin"))
    assert "2026-01-01 01:07:00.000+01:00" in repr(wide) and "2026-01-01 01:55:00.000+01:00" in repr(wide)
    many = pa.table({f"c{number}": [number] for number in range(50)})
    assert "… 30 more" in repr(hc.Result(many))


def test_names_of_qualities_are_those_of_the_historian():
    source = (ROOT / "src/model/quality.rs").read_text()
    theirs = dict((int(code.replace("_", ""), 16), name) for code, name in re.findall(r'= (0x[0-9A-F_]+), "(\w+)";', source))
    assert quality.NAMES == theirs and quality.name(0x808C0402) == "BadSensorFailure" and quality.name(0x80FF0000) == "0x80FF0000"


def lines_of(axis):
    """Lines as points, minutes and values, and whether they are dashed; without the dots."""
    drawn = []
    for line in axis.get_lines():
        if line.get_linestyle() not in ("None", ""):
            minutes = np.round((line.get_xdata() * DAY_NS - START) / MINUTE, 6)
            drawn.append((list(zip(minutes.tolist(), np.asarray(line.get_ydata()).tolist())), line.is_dashed()))
    return drawn


def bands_of(axis):
    """What is filled, by its name: from and to in minutes, and whether it is hatched."""
    found = []
    for patch in axis.collections:
        if patch.get_gid():
            xs = patch.get_paths()[0].vertices[:, 0]
            found.append((patch.get_gid(), *(round((x * DAY_NS - START) / MINUTE, 3) for x in (xs.min(), xs.max())), bool(patch.get_hatch())))
    return found


@pytest.mark.parametrize("ask", [
    lambda: plant.show(plant.range("show/line", START, START + 60 * MINUTE)),
    lambda: plant.show(plant.range("show/line", START, START + 60 * MINUTE, layout="wide")),
    lambda: plant.show(plant.frame("show/line", START, START + 60 * MINUTE, quality=True, to="arrow")),
], ids=["long", "wide", "frame"])
def test_a_line_ends_where_it_is_bad_and_bad_is_hatched(ask):
    (axis,) = ask().plot()
    drawn = lines_of(axis)
    points = [point for line, _ in drawn for point in line]
    assert all(value <= 6.5 for _, value in points), "a Bad value is not drawn"
    first = [line for line, _ in drawn if line[0][0] == 0.0][0]
    assert [minute for minute, _ in first] == list(range(20)), "the line ends at the last sample before the Bad run"
    assert not any(19 < minute < 30 or 32 < minute < 50 for minute, _ in points)
    assert not any(line[0][0] < 30 < line[-1][0] for line, _ in drawn)
    dashed = [[minute for minute, _ in line] for line, is_dashed in drawn if is_dashed]
    assert [30.0, 31.0, 32.0] in dashed, "what is Uncertain is dashed"
    assert ("bad: BadSensorFailure", 20.0, 30.0, True) in bands_of(axis)
    assert axis.get_ylabel() == "bar" and axis.get_xlabel() == "UTC"
    plt.close("all")


def test_what_was_not_recorded_is_blank():
    """BadDataLost alone may be of the tag; in the ledger of gaps it is time that nobody recorded."""
    answer = plant.range("show/line", START, START + 60 * MINUTE)
    (axis,) = hc.Result(answer).plot()
    assert ("gap: BadDataLost", 40.0, 50.0, False) in bands_of(axis), "without a historian to ask, the code says it"

    class Ledger:
        def gaps(self):
            moments = [pa.array([START + at * MINUTE], NS) for at in (40, 50)]
            return pa.table({"tag": pa.array([None], pa.utf8()), "start": moments[0], "end": moments[1], "reason": ["collector_down"]})

        def last_qualities(self, tags, time):
            return dict.fromkeys(tags, 0)

    (axis,) = hc.Result(answer, Ledger()).plot()
    assert ("gap: the historian did not run", 40.0, 50.0, False) in bands_of(axis) and ("bad: BadSensorFailure", 20.0, 30.0, True) in bands_of(axis)
    plt.close("all")


def test_stepped_tags_are_steps_and_states_are_rows_with_their_names():
    axes = plant.show(plant.range(["show/line", "show/mode", "show/step"], START, START + 60 * MINUTE)).plot(zone="Europe/Berlin")
    assert len(axes) == 3 and {axis.get_ylabel() for axis in axes[:2]} == {"bar", "%"} and axes[-1].get_xlabel() == "Europe/Berlin"
    step = next(axis for axis in axes if axis.get_ylabel() == "%")
    ((corners, is_dashed),) = lines_of(step)
    assert not is_dashed and corners == [(0.0, 10.0), (10.0, 10.0), (10.0, 40.0), (50.0, 40.0), (50.0, 20.0), (60.0, 20.0)]
    rows = axes[-1]
    assert [label.get_text() for label in rows.get_yticklabels()] == ["show/mode"]
    assert bands_of(rows) == [
        ("bad: BadSensorFailure", 20.0, 30.0, True),
        ("state: off", 0.0, 10.0, False),
        ("state: <b>on</b>", 10.0, 20.0, False),
        ("state: <b>on</b>", 30.0, 60.0, False),
    ]
    plt.close("all")


@pytest.mark.parametrize("ask", [
    lambda start, end: plant.trend("show/line", start, end, points=100),
    lambda start, end: plant.show(plant.range("show/line", start, end, boundary="interpolated")),
], ids=["trend", "interpolated edges"])
def test_no_line_runs_across_a_bad_run_at_the_edges(ask):
    """The boundary value of the standard lies on a line across the run."""
    (axis,) = ask(START + 25 * MINUTE, START + 45 * MINUTE).plot()
    drawn = lines_of(axis)
    assert min(minute for line, _ in drawn for minute, _ in line) == 30.0, "the run began before the left edge: it was asked for"
    assert max(minute for line, _ in drawn for minute, _ in line) == 32.0
    assert [(start, end) for name, start, end, hatched in bands_of(axis) if hatched and "SensorFailure" in name] == [(25.0, 30.0)]
    plt.close("all")


def test_aggregates_are_drawn_and_what_cannot_be_is_refused():
    axes = plant.show(plant.aggregate(["show/line", "show/step"], START, START + 60 * MINUTE, "10m", ["minimum", "maximum"])).plot(tags="show/step")
    labels = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert labels == ["show/step minimum", "show/step maximum"]
    nothing = plant.trend("show/none*", START, START + MINUTE).plot()
    assert "no samples" in nothing[0].texts[0].get_text()
    refused(ValueError, lambda: plant.show(plant.tags("show/*")).plot(), "no samples")
    refused(ValueError, lambda: plant.show(plant.frame("show/line", START, START + MINUTE, to="arrow")).plot(), "quality=True")
    refused(ValueError, lambda: plant.trend("show/line", START, START + MINUTE).plot(tags="show/other"), "show/other")
    figure, own = plt.subplots()
    assert plant.trend("show/line", START, START + MINUTE).plot(axes=own) == [own]
    refused(ValueError, lambda: plant.trend("show/*", START, START + MINUTE).plot(axes=own), "lanes")
    plt.close("all")


def test_a_million_samples_are_drawn_within_seconds():
    at = np.arange(1_000_000, dtype=np.int64) * SECOND + START
    codes = np.where((at // SECOND) % 1000 < 20, BAD_SENSOR_FAILURE, 0).astype(np.uint32)
    table = pa.table({"tag": pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(at), np.int32)), pa.array(["x"])), "timestamp": pa.array(at, NS), "value": np.sin(at / 1e13), "quality": codes})
    from historian_client.trace import traces

    (trace,) = traces(table, None, None)
    assert len(trace.runs) in (1000, 1001, 1002) and len(trace.bands) in (1000, 1001) and sum(len(run.times) for run in trace.runs) == int((codes == 0).sum()) + 2 * trace.runs[-1].uncertain


# In a notebook.

KERNEL = """
import sys
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import RichOutput
shell = InteractiveShell.instance()
if sys.argv[2] == "kernel":
    shell.kernel = object()  # as ipykernel has one
if sys.argv[3] == "plain":
    sys.modules["ipywidgets"] = None
import historian_client, pyarrow as pa, json
plant = historian_client.connect(sys.argv[1])
table = plant.current("show/*")
data, _ = shell.display_formatter.format(table)
other, _ = shell.display_formatter.format(pa.table({"a": [1]}))
print(json.dumps({"html": data.get("text/html", ""), "other": other.get("text/html"), "notebook": historian_client.notebook.is_notebook()}))
shown = []
if sys.argv[3] == "plain":
    import IPython.display
    class Handle:
        def update(self, content): shown.append(content.data)
    IPython.display.display = lambda content, display_id: Handle()
else:
    import ipywidgets, IPython.display
    boxes = []
    IPython.display.display = boxes.append
from historian_client.progress import Reporter
reporter = Reporter(None, "export")
reporter.show(30, 120, last=True)
if sys.argv[2] == "kernel" and sys.argv[3] != "plain":
    bar, label = boxes[0].children
    print(json.dumps([bar.value, label.value]))
    reporter.show(120, 120, last=True)
    print(json.dumps([bar.value, bar.bar_style]))
    reporter.show(120, None, last=True)
    print(json.dumps([bar.value, bar.bar_style]))
reporter.end()
print(json.dumps(shown))
"""


def kernel(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "clients/python/src"), "IPYTHONDIR": os.environ.get("TMPDIR", "/tmp")}
    command = [sys.executable, "-c", KERNEL, os.environ["HISTORIAN_ADDRESS"], *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_answers_in_a_notebook_are_tables_of_html():
    told, *_ = kernel("kernel", "widgets")
    assert "BadSensorFailure" not in told["html"] and "show/mode" in told["html"] and told["html"].count("<tr>") == 5
    assert told["other"] is None and told["notebook"] is True, "other tables of Arrow stay as they were"


def test_a_notebook_has_a_bar_of_widgets_or_a_line():
    _, first, done, unknown, _ = kernel("kernel", "widgets")
    assert first[0] == 0.25 and first[1].startswith("export [######") and done[0] == 1.0 and unknown == [1.0, "info"]
    *_, shown = kernel("kernel", "plain")
    assert len(shown) == 2 and "25 %" in shown[0] and shown[1] == ""
    told, shown = kernel("terminal", "plain")
    assert told["notebook"] is False and shown == [], "IPython on a terminal is no notebook"
    assert notebook.is_notebook() is False and progress_module.share(hc.Progress(7, None, 0, 0, 0.0)) is None


def test_the_example_runs_cell_by_cell(tmp_path, monkeypatch):
    """Its cells as a notebook runs them, and what it says of itself."""
    example = json.loads((ROOT / "clients/python/examples/first_look.ipynb").read_text())
    assert example["nbformat"] == 4 and all(cell["cell_type"] in ("code", "markdown") for cell in example["cells"])
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in example["cells"] if cell["cell_type"] == "code"), "kept without outputs"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HISTORIAN_SERVER", os.environ["HISTORIAN_ADDRESS"])
    names = {"__name__": "__main__"}
    cells = ["".join(cell["source"]) for cell in example["cells"] if cell["cell_type"] == "code"]
    for number, code in enumerate(cells):
        exec(compile(code, f"cell {number}", "exec"), names)
    assert isinstance(names["frame"], pd.DataFrame) and len(names["frame"]) > 0 and len(plt.get_fignums()) > 0
    assert pathlib.Path("boiler.csv").read_text().startswith("tag,timestamp,value,quality")
    assert names["written"].samples == names["smooth"].notna().sum().item() and names["frame"].isna().sum().tolist() == [5, 0]
    plt.close("all")
