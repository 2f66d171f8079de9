"""The data source, the dashboards and the alert rules of docs/grafana, as they are: every query of them is filled in as Grafana does it, sent as the
backend of the Infinity plugin sends it, and its answer made into a frame by the plugin's rules.

The historian has a device that does not answer and was started twice. HISTORIAN_GO is the folder of the Go programs, where there is Go: then every
frame is made a second time with the libraries that the plugin reads JSON with (tests/peers/go/infinity), and must be the same.
"""

import gzip
import http.client
import itertools
import json
import math
import os
import re
import subprocess
import time
import urllib.parse

import pyarrow as pa
import pytest
import stubs  # noqa: F401, makes the modules of the next line
import yaml
from historian.v1 import tag_pb2, tag_pb2_grpc

from lib import BAD, BAD_SENSOR_FAILURE, ROOT, SECOND, START, UNCERTAIN, channel, get, nanoseconds, put
from ports import free_port

HTTP = os.environ.get("HISTORIAN_HTTP", "127.0.0.1:1")
FOLDER = ROOT / "docs/grafana"
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((FOLDER / "dashboards").glob("*.json"))}
(SOURCE,) = yaml.safe_load((FOLDER / "provisioning/datasources/historian.yaml").read_text())["datasources"]
(PROVIDER,) = yaml.safe_load((FOLDER / "provisioning/dashboards/historian.yaml").read_text())["providers"]
(GROUP,) = yaml.safe_load((FOLDER / "provisioning/alerting/historian.yaml").read_text())["groups"]
RULES = {rule["uid"]: rule for rule in GROUP["rules"]}

LINE, SLOW, QUOTED = "grafana/line", "grafana/slow, with a comma", "grafana/o'clock"
STEPS, RUNNING, STATE = "grafana/steps", "grafana/running", "grafana/state"
NAMES = ["idle", "heat, then hold", "producing"]
BAD_FROM, BAD_UNTIL, SPIKE = 1000, 1200, 2500  # seconds
HOUR = 3600
SLOW_TIMES = [START + number * 60 * SECOND + 1 for number in range(60)]


def number(second):
    return 100.0 if second == SPIKE else 10 + math.sin(second / 300)


def create_state(name, states):
    tag = tag_pb2.Tag(name=name, value_type=tag_pb2.VALUE_TYPE_STATE, state_set=states)
    tag_pb2_grpc.TagServiceStub(channel).CreateTag(tag_pb2.CreateTagRequest(tag=tag))


@pytest.fixture(scope="module", autouse=True)
def written():
    create_state(STATE, NAMES)
    seconds = range(HOUR)
    times = [START + second * SECOND for second in seconds]
    bad = [BAD_FROM <= second < BAD_UNTIL for second in seconds]
    qualities = [BAD_SENSOR_FAILURE if is_bad else 0 for is_bad in bad]
    # A Bad run with values, which are 0, and without.
    put(LINE, times, [(0.0 if second % 2 else None) if is_bad else number(second) for second, is_bad in zip(seconds, bad)], qualities)
    put(SLOW, SLOW_TIMES, [float(n) for n in range(60)])
    put(QUOTED, times[:2], [1.0, 0.0], [0, BAD])
    put(STEPS, times[::600], pa.array([5, 6, 7, 8, 9, 10], pa.uint64()))
    put(RUNNING, times[::600], pa.array([True, False, True, None, True, True]), [0, 0, 0, BAD, 0, 0])
    put(STATE, times[::600], pa.array([0, 1, 2, None, 1, 2], pa.uint32()), [0, 0, 0, BAD, 0, 0])
    until = time.monotonic() + 60
    while not get({"current": {"tags": ["grafana/collected"]}}).num_rows or ask(panel("collectors", "Devices")["targets"][0], {})["state"] != ["backoff"]:
        assert time.monotonic() < until, "the device that does not answer is not told of"
        time.sleep(0.1)


# What Grafana and the plugin do.


def formatted(value, form):
    """A variable in a query, of one value or several."""
    several = isinstance(value, list)
    values = [str(one) for one in (value if several else [value])]
    match form:
        case "glob":
            return values[0] if len(values) == 1 else "{" + ",".join(values) + "}"
        case "json":
            return json.dumps(values, ensure_ascii=False, separators=(",", ":")) if several else values[0]
        case "sqlstring":
            return ",".join("'" + one.replace("'", "''") + "'" for one in values)
    raise AssertionError(f"no such format: {form}")


VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)(?::(\w+))?\}")


def filled(text, variables):
    def value(found):
        name = found[1] or found[2]
        return formatted(variables[name], found[3] or "glob") if name in variables else found[0]

    return VARIABLE.sub(value, text)


def shown_time(start, end, interval_ms):
    """The variables of the time shown, from seconds after START."""
    from_ms, to_ms = (START + second * SECOND for second in (start, end))
    return {"__from": from_ms // 10**6, "__to": to_ms // 10**6, "__interval_ms": interval_ms}


def send(query, variables, historian=HTTP, token="hst_none"):
    """The request of a query, by the plugin's backend: status, reason and body of the answer. Where there are no tokens, any will do."""
    options = query["url_options"]
    parameters = [(parameter["key"], filled(parameter["value"], variables)) for parameter in options.get("params", [])]
    address = urllib.parse.urlsplit(f"http://{historian}{filled(query['url'], variables)}")
    # Go writes the parameters in the order of their names.
    asked = sorted(urllib.parse.parse_qsl(address.query, keep_blank_values=True) + parameters, key=lambda parameter: parameter[0])
    headers = {"Accept": "application/json;q=0.9,text/plain", "Accept-Encoding": "gzip", "User-Agent": "Go-http-client/1.1", "Authorization": f"Bearer {token}"}
    body = None
    if options["method"] == "POST":
        assert options["body_type"] == "raw"
        headers["Content-Type"] = options["body_content_type"]
        body = filled(options["data"], variables)
        json.loads(body)
    sent = f"{asked}{body}"
    assert "${" not in sent and "$__" not in sent, sent
    connection = http.client.HTTPConnection(historian, timeout=60)
    connection.request(options["method"], f"{address.path}?{urllib.parse.urlencode(asked)}", None if body is None else body.encode(), headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.headers.get("content-encoding") == "gzip":
        content = gzip.decompress(content)
    return answer.status, answer.reason, content.decode()


def rows_of(document, selector):
    """The rows that a selector finds. Forms beside these are not used: what reads them is part of the plugin."""
    if selector == "":
        return [document]
    if found := re.fullmatch(r"\$append\(\[\], (\w+)\)", selector):
        return document.get(found[1], [])
    assert re.fullmatch(r"\w+", selector), selector
    assert selector in document, "no results found"
    return document[selector]


def cell(value, kind):
    """A cell of a column; what does not fit its type is null, without a word."""
    match kind, value:
        case "string", str():
            return value
        case "boolean", bool():
            return value
        case "number", bool():
            return None
        case "number", int() | float():
            return float(value)
        case "number", str():
            try:
                return float(value)
            except ValueError:
                return None
        case "timestamp", str() if value:
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", value), value
            whole, _, decimals = value[:-1].partition(".")
            return int(pa.scalar(whole).cast(pa.timestamp("s")).cast(pa.int64()).as_py()) * SECOND + int(decimals.ljust(9, "0") or 0)
    return None


if "HISTORIAN_GO" in os.environ:
    plugin = subprocess.Popen([os.path.join(os.environ["HISTORIAN_GO"], "infinity")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
else:
    plugin = None


def frame(query, body):
    """The fields of a frame by name, in the order of names: times in nanoseconds, numbers as floats, null as None."""
    rows = rows_of(json.loads(body), query["root_selector"])
    fields = {column["text"]: [cell(row.get(column["selector"]), column["type"]) for row in rows] for column in query["columns"]} if rows else {}
    fields = dict(sorted(fields.items()))
    if plugin is not None:
        plugin.stdin.write(json.dumps({"body": body, "root_selector": query["root_selector"], "columns": query["columns"]}) + "\n")
        plugin.stdin.flush()
        made = json.loads(plugin.stdout.readline())
        assert "error" not in made, made
        read = {"timestamp": lambda value: None if value is None else int(value), "number": lambda value: None if value is None else float(value)}
        assert {one["name"]: [read.get(one["type"], lambda value: value)(value) for value in one["values"]] for one in made["fields"]} == fields
        assert [one["name"] for one in made["fields"]] == list(fields)
    return fields


def ask(query, variables):
    status, reason, body = send(query, variables)
    assert status == 200, (status, reason, body)
    return frame(query, body)


def records(fields):
    return [dict(zip(fields, row)) for row in zip(*fields.values())]


def partitioned(fields):
    """The frames that "partition by values" makes: by tag, rows of time and value."""
    value = "state" if "state" in fields else "value"
    return {tag: [(row["timestamp"], row[value]) for row in rows] for tag, rows in itertools.groupby(records(fields), key=lambda row: row["tag"])}


# What there is to ask.


def panels():
    return [(name, panel) for name, board in BOARDS.items() for panel in board["panels"]]


def panel(board, title):
    (found,) = [panel for panel in BOARDS[board]["panels"] if panel["title"] == title]
    return found


def variable(board, name):
    (found,) = [variable for variable in BOARDS[board]["templating"]["list"] if variable["name"] == name]
    return found


def annotation(board, name):
    (found,) = [annotation for annotation in BOARDS[board]["annotations"]["list"] if annotation["name"] == name]
    return found


def queries():
    """Every query of the dashboards, with where it is."""
    found = {f"{name}: {panel['title']} {target['refId']}": target for name, panel in panels() for target in panel["targets"]}
    for name, board in BOARDS.items():
        found |= {f"{name}: ${one['name']}": one["query"]["infinityQuery"] for one in board["templating"]["list"] if one["type"] == "query"}
        found |= {f"{name}: @{one['name']}": one["target"] for one in board["annotations"]["list"]}
    return found


def of_rules():
    return {uid: next(part["model"] for part in rule["data"] if part["datasourceUid"] == SOURCE["uid"]) for uid, rule in RULES.items()}


CHOSEN = {"match": "", "tag": [LINE, SLOW], "state": [RUNNING, STATE], "wildcard": "grafana/*", "detector": "spike"}
WHOLE = shown_time(0, HOUR, 10_000)


def test_a_dashboard_is_whole_and_names_only_what_there_is():
    paths = json.loads((ROOT / "docs/openapi.json").read_text())["paths"]
    assert set(BOARDS) == {"collectors", "findings", "states", "trend"}
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS)
    for name, board in BOARDS.items():
        assert board["schemaVersion"] >= 39 and board["title"].startswith("Historian: ") and board["uid"] == f"historian-{name}"
        assert len({one["id"] for one in board["panels"]}) == len(board["panels"])
        cells = [(x, y) for one in board["panels"] for at in [one["gridPos"]] for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
        assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24, f"{name}: panels lie on each other"
        known = {one["name"] for one in board["templating"]["list"]} | {"__from", "__to", "__interval_ms"}
        used = {found[1] or found[2] for text in re.findall(r'"(?:[^"\\]|\\.)*"', json.dumps(board)) for found in VARIABLE.finditer(json.loads(text))}
        # Of the legend, and a function of JSONata: Grafana leaves alone what is no variable.
        used -= {"__field", "append"}
        assert known - {"__from", "__to", "__interval_ms"} <= used <= known, (name, used ^ known)
    for name, one in panels():
        where = f"{name}: {one['title']}"
        assert one["type"] in {"timeseries", "state-timeline", "table", "stat"} and one["datasource"] == {"type": SOURCE["type"], "uid": SOURCE["uid"]}, where
        assert len({target["refId"] for target in one["targets"]}) == len(one["targets"]) > 0
        custom = one["fieldConfig"]["defaults"].get("custom", {})
        assert one["type"] in {"table", "stat"} or custom["spanNulls"] is False and custom["insertNulls"] is False, f"{where}: a gap is a gap"
        columns = {column["text"] for target in one["targets"] for column in target["columns"]}
        for step in one["transformations"]:
            options = step["options"]
            match step["id"]:
                case "partitionByValues":
                    assert set(options["fields"]) <= columns, where
                case "organize":
                    assert set(options["indexByName"]) == columns, where
                case "sortBy":
                    assert {by["field"] for by in options["sort"]} <= columns, where
                case "groupingToMatrix":
                    assert {options["columnField"], options["rowField"], options["valueField"]} == columns, where
                    columns = columns | set(json.loads(filled(one["targets"][0]["url_options"]["data"], CHOSEN | WHOLE))["functions"])
                case other:
                    assert other == "limit", where
        for override in one["fieldConfig"]["overrides"]:
            there = columns if override["matcher"]["id"] == "byName" else {target["refId"] for target in one["targets"]}
            assert override["matcher"]["options"] in there, where
        # Lines of several tags have frames of their own: in one frame each would be cut wherever another has a point.
        assert one["type"] in {"table", "stat"} or [step["id"] for step in one["transformations"]] == ["partitionByValues"], where
    for where, query in (queries() | of_rules()).items():
        assert query["parser"] == "backend" and query["source"] == "url" and query["type"] == "json" and query["format"] == "table", where
        assert query["url"] in paths and query["url_options"]["method"].lower() in paths[query["url"]], where
        assert query["columns"] and all(column["text"] == column["selector"] for column in query["columns"]), where
        assert (query["root_selector"] == "rows") == ({"key": "shape", "value": "rows"} in query["url_options"]["params"]), where


def test_what_is_provisioned_fits_together():
    assert SOURCE["type"] == "yesoreyeram-infinity-datasource" and SOURCE["url"] == "$HISTORIAN_URL"
    assert SOURCE["jsonData"]["auth_method"] == "bearerToken" and SOURCE["secureJsonData"] == {"bearerToken": "$HISTORIAN_TOKEN"}
    assert SOURCE["jsonData"]["allowedHosts"] == [SOURCE["url"]] and SOURCE["jsonData"]["customHealthCheckUrl"] == SOURCE["url"] + "/api/v1/whoami"
    readme = (FOLDER / "README.md").read_text()
    assert f"/docs/grafana/dashboards:{PROVIDER['options']['path']}:ro" in readme and "/docs/grafana/provisioning:/etc/grafana/provisioning:ro" in readme
    assert "HISTORIAN_URL=" in readme and "HISTORIAN_TOKEN=" in readme and f"{SOURCE['type']}" in readme
    assert all(f"`{name}.json`" in readme and board["title"].removeprefix("Historian: ") for name, board in BOARDS.items())
    assert len(RULES) == len(GROUP["rules"]) == 2
    for uid, rule in RULES.items():
        parts = {part["refId"]: part for part in rule["data"]}
        assert all(part["model"]["refId"] == ref for ref, part in parts.items()), uid
        condition, query = parts[rule["condition"]], parts[parts[rule["condition"]]["model"]["expression"]]
        assert condition["datasourceUid"] == "__expr__" and condition["model"]["type"] == "threshold" and query["datasourceUid"] == SOURCE["uid"]
        # An alert for each row takes one number and texts, and knows no variables.
        assert sorted(column["type"] for column in query["model"]["columns"]) == ["number", "string"], uid
        assert "$" not in json.dumps(rule), f"{uid}: Grafana would look for a variable of its environment"
        # Without an answer nobody says that all is well.
        assert rule["noDataState"] == "NoData" and rule["execErrState"] == "Error"


@pytest.mark.parametrize("where", queries())
def test_every_query_is_answered_with_the_columns_that_are_shown(where):
    query = queries()[where]
    fields = ask(query, CHOSEN | WHOLE)
    if where in {"collectors: Gaps A"} or where.endswith("@Gaps"):
        # There were none in that hour; the case about gaps has some.
        assert fields == {}
        return
    assert set(fields) == {column["text"] for column in query["columns"]}, where
    for name, values in fields.items():
        assert set(values) != {None}, (where, name, values[:3])


def test_a_list_that_is_empty_is_no_error():
    """Messages leave an empty list out; a plain name would then be an error in the panel."""
    for where, query in queries().items():
        if query["url"] not in {"/api/v1/sql", "/api/v1/status"} and query["root_selector"] != "rows":
            assert frame(query, "{}") == {}, where
    assert ask(variable("trend", "tag")["query"]["infinityQuery"], {"match": "nobody has such a tag"}) == {}


# Trends.


def charts(wildcard):
    """The panels with lines, and their variables for one tag."""
    return [
        (panel("trend", "Trend of the chosen tags")["targets"][0], {"tag": [LINE]}),
        (panel("findings", "The chosen tags")["targets"][0], {"tag": [LINE]}),
        (panel("trend", "Trend by wildcard")["targets"][0], {"wildcard": wildcard}),
    ]


@pytest.mark.parametrize("start,end,interval_ms", [(0, HOUR, 5_000), (500, 2_000, 2_000), (0, HOUR, 60_000), (900, 1_100, 200), (1_050, 1_150, 1_000), (990, 1_010, 1)])
def test_a_line_has_both_edges_breaks_where_it_is_bad_and_no_more_points_than_the_panel(start, end, interval_ms):
    shown = shown_time(start, end, interval_ms)
    from_ns, to_ns = START + start * SECOND, START + end * SECOND
    for query, chosen in charts("grafana/l*"):
        ((tag, rows),) = partitioned(ask(query, chosen | shown)).items()
        most = max(5, math.ceil((end - start) * 1000 / interval_ms)) + (query["url"] == "/api/v1/sql")
        assert tag == LINE and 2 <= len(rows) <= most
        times = [at for at, _ in rows]
        assert times == sorted(times) and times[0] == from_ns and to_ns - SECOND <= times[-1] <= to_ns
        values = {at: value for at, value in rows}
        # No zero, which is what the device sent while it was Bad, and no value from the first Bad sample to the next that is not.
        assert 0.0 not in values.values()
        bad = [at for at in times if START + BAD_FROM * SECOND <= at < START + BAD_UNTIL * SECOND]
        assert all(values[at] is None for at in bad) and all(values[at] is not None for at in times if at not in bad)
        if start <= BAD_FROM < end:
            assert bad[0] == START + BAD_FROM * SECOND, "the line ends where the Bad run starts"
        # Instants and values are those of Flight, to the nanosecond and to the bit.
        points = most if query["url"] == "/api/v1/sql" else max(5, math.ceil((end - start) * 1000 / interval_ms))
        table = get({"downsample": {"tags": [LINE], "start": f"{from_ns}ns", "end": f"{to_ns}ns", "points": points}})
        assert rows == list(zip(nanoseconds(table["timestamp"]), table["value"].to_pylist()))


def test_lines_of_several_tags_do_not_cut_each_other():
    query = panel("trend", "Trend of the chosen tags")["targets"][0]
    together = partitioned(ask(query, WHOLE | {"tag": [LINE, SLOW, QUOTED]}))
    assert set(together) == {LINE, SLOW, QUOTED}
    for tag, rows in together.items():
        assert rows == partitioned(ask(query, WHOLE | {"tag": [tag]}))[tag]
    # Whole, because it has fewer samples than the panel has points; with its own nanoseconds.
    assert set(SLOW_TIMES) <= {at for at, _ in together[SLOW]} and None not in dict(together[SLOW][1:]).values()


def test_a_wildcard_draws_numbers_as_lines_and_all_else_as_steps():
    targets = {target["refId"]: target for target in panel("trend", "Trend by wildcard")["targets"]}
    lines, steps = (partitioned(ask(targets[ref], WHOLE | {"wildcard": "grafana/*"})) for ref in "AB")
    assert set(lines) == {LINE, SLOW, QUOTED} and set(steps) == {STEPS, RUNNING, STATE}
    assert {value for _, value in steps[RUNNING]} == {0.0, 1.0, None} and {value for _, value in steps[STATE]} == {0.0, 1.0, 2.0, None}
    # Of truth values alone as well: in JSON they are no numbers.
    assert {value for _, value in partitioned(ask(targets["B"], WHOLE | {"wildcard": RUNNING}))[RUNNING]} == {0.0, 1.0, None}
    assert ask(targets["A"], WHOLE | {"wildcard": "nothing/*"}) == {}
    drawn = panel("trend", "Trend by wildcard")["fieldConfig"]["overrides"]
    assert {"id": "custom.lineInterpolation", "value": "stepAfter"} in next(one["properties"] for one in drawn if one["matcher"]["options"] == "B")


# States.


def test_states_are_shown_by_name_and_end_where_they_are_bad():
    query = panel("states", "States")["targets"][0]
    found = partitioned(ask(query, WHOLE | {"state": [STATE, RUNNING]}))
    at = [START + n * 600 * SECOND for n in range(6)]
    assert [row for row in found[STATE] if row[0] in at] == list(zip(at, [NAMES[0], NAMES[1], NAMES[2], None, NAMES[1], NAMES[2]]))
    assert [row for row in found[RUNNING] if row[0] in at] == list(zip(at, ["true", "false", "true", None, "true", "true"]))
    assert found[STATE][-1] == (START + HOUR * SECOND, NAMES[2]), "the state holds up to the edge"
    # From within a state.
    ((first, name), *_) = partitioned(ask(query, shown_time(700, 1_000, 1_000) | {"state": [STATE]}))[STATE]
    assert (first, name) == (START + 700 * SECOND, NAMES[1])
    rows = records(ask(panel("states", "Seconds in each state")["targets"][0], WHOLE | {"state": [STATE, RUNNING]}))
    seconds = {(row["tag"], row["item"]): row["value"] for row in rows}
    assert seconds == {(STATE, NAMES[0]): 600, (STATE, NAMES[1]): 1200, (STATE, NAMES[2]): 1200, (RUNNING, "true"): 2400, (RUNNING, "false"): 600}
    now = {row["tag"]: row["state"] for row in records(ask(panel("states", "Now")["targets"][0], {"state": [STATE, RUNNING]}))}
    assert now == {STATE: NAMES[2], RUNNING: "true"}


def test_a_state_beyond_its_names_is_its_number():
    tag = "grafana/numbered"
    create_state(tag, ["a", 'b "c", d'])
    put(tag, [START, START + SECOND, START + 2 * SECOND], pa.array([0, 1, 70_000], pa.uint32()))
    rows = partitioned(ask(panel("states", "States")["targets"][0], shown_time(0, 3, 100) | {"state": [tag]}))[tag]
    # A quotation mark within a name keeps the sign that JSON puts in front of it.
    assert list(dict.fromkeys(state for _, state in rows)) == ["a", r"b \"c\", d", "70000"]


# Tables, variables, annotations.


def test_a_bad_value_is_shown_as_none():
    now = {row["tag"]: row for row in records(ask(panel("trend", "Now")["targets"][0], {"tag": [LINE, QUOTED]}))}
    assert now[LINE]["value"] == number(HOUR - 1) and now[LINE]["quality"] == 0 and now[LINE]["timestamp"] == START + (HOUR - 1) * SECOND
    # Its sample has the value 0.
    assert now[QUOTED]["value"] is None and now[QUOTED]["quality"] == BAD
    over = {(row["tag"], row["function"]): row["value"] for row in records(ask(panel("trend", "Over the time shown")["targets"][0], WHOLE | {"tag": [LINE]}))}
    good = [number(second) for second in range(HOUR) if not BAD_FROM <= second < BAD_UNTIL]
    assert (over[LINE, "minimum"], over[LINE, "maximum"]) == (min(good), max(good))
    assert over[LINE, "percent_good"] == pytest.approx(100 * (HOUR - BAD_UNTIL + BAD_FROM) / HOUR, abs=0.1)
    for _, one in panels():
        for mappings in [override["properties"][0]["value"] for override in one["fieldConfig"]["overrides"] if override["matcher"]["options"] == "quality"]:
            words = [(range_["options"]["from"], range_["options"]["to"], range_["options"]["result"]["text"]) for range_ in mappings]
            assert words == [(0, 0x3FFF_FFFF, "Good"), (0x4000_0000, 0x7FFF_FFFF, "Uncertain"), (0x8000_0000, 0xFFFF_FFFF, "Bad")]


def test_variables_list_the_tags_that_a_panel_can_show():
    def listed(board, name, **variables):
        fields = ask(variable(board, name)["query"]["infinityQuery"], variables)
        # One column: it is the text and the value of each choice.
        assert set(fields) <= {"name"}
        return fields.get("name", [])

    for board in ["trend", "findings"]:
        assert listed(board, "tag", match="grafana") == sorted([LINE, SLOW, QUOTED])
        assert listed(board, "tag", match="COMMA slow") == [SLOW] and listed(board, "tag", match="o'cl") == [QUOTED]
    assert listed("states", "state", match="") == listed("states", "state", match="GRAFANA") and {RUNNING, STATE} <= set(listed("states", "state", match=""))
    assert listed("states", "state", match="o'clock") == [] and listed("states", "state", match="running") == [RUNNING]
    assert {"limits", "spike", "flatline"} <= set(listed("findings", "detector"))
    # What is chosen arrives as it is, commas and apostrophes included.
    rows = partitioned(ask(panel("trend", "Now")["targets"][0], {"tag": [SLOW, QUOTED]}))
    assert set(rows) == {SLOW, QUOTED}


def test_gaps_are_regions_with_their_reason():
    now = int(time.time() * 1000)
    shown = {"__from": now - HOUR * 1000, "__to": now + 1000, "__interval_ms": 1000}
    for board, chosen in [("trend", {"tag": ["grafana/collected"]}), ("findings", {"tag": [LINE]}), ("states", {"state": [STATE]})]:
        gaps = records(ask(annotation(board, "Gaps")["target"], shown | chosen))
        # The device is away all the time: until the historian ended, and from its start on.
        (gap,) = [gap for gap in gaps if gap["tags"] == "every tag"]
        away = [gap for gap in gaps if gap["text"].startswith("device_down: ")]
        assert len(away) + 1 == len(gaps) and {gap["tags"] for gap in away} == ({"grafana/collected"} if board == "trend" else set())
        assert gap["text"].startswith("collector_down: ") and gap["tags"] == "every tag" and now - HOUR * 1000 < gap["time"] // 10**6 < gap["timeEnd"] // 10**6 <= now
    (row,) = [row for row in records(ask(panel("collectors", "Gaps")["targets"][0], shown)) if row["tag"] is None]
    assert (row["tag"], row["reason"], row["start"], row["end"]) == (None, "collector_down", gap["time"], gap["timeEnd"])


def test_a_spike_is_found_in_the_table_and_on_the_line():
    (row,) = records(ask(panel("findings", "Findings")["targets"][0], WHOLE | {"tag": [LINE], "detector": "spike"}))
    (region,) = records(ask(annotation("findings", "Findings")["target"], WHOLE | {"tag": [LINE], "detector": "spike"}))
    assert row["tag"] == LINE == region["tags"] and row["peak"] == START + SPIKE * SECOND and row["score"] >= 1
    assert (row["start"], row["end"], row["explanation"]) == (region["time"], region["timeEnd"], region["text"])


def test_what_does_not_deliver_is_listed():
    (device,) = records(ask(panel("collectors", "Devices")["targets"][0], {}))
    assert (device["device"], device["state"], device["items_wanted"]) == ("boiler-plc", "backoff", 1) and "127.0.0.1:1" in device["last_error"]
    # A state that has no colour would not be seen.
    (states,) = [one for one in panel("collectors", "Devices")["fieldConfig"]["overrides"] if one["matcher"]["options"] == "state"]
    told = re.search(r"// (connecting[\w, ]+)\.\n  string state", (ROOT / "proto/historian/v1/collector.proto").read_text())[1].split(", ")
    assert set(states["properties"][1]["value"][0]["options"]) == set(told)
    bad = {row["tag"] for row in records(ask(panel("collectors", "Bad tags")["targets"][0], {"wildcard": "grafana/*"}))}
    assert {"grafana/collected", QUOTED} <= bad and not bad & {LINE, SLOW, STATE}
    good = {row["tag"]: row["value"] for row in records(ask(panel("collectors", "Least Good tags")["targets"][0], WHOLE | {"wildcard": "grafana/*"}))}
    assert good[LINE] == pytest.approx(100 * (HOUR - BAD_UNTIL + BAD_FROM) / HOUR) and good[SLOW] > 99
    (writes,) = ask(panel("collectors", "Takes writes")["targets"][0], {})["accepting_writes"]
    assert writes is True


def test_a_tag_that_there_is_not_is_told_in_the_line_that_the_plugin_shows():
    """Of an answer beyond 400 it shows the status line, and of its body no more than a text named error or message."""
    status, reason, _ = send(panel("trend", "Trend of the chosen tags")["targets"][0], WHOLE | {"tag": ["grafana/nothing"]})
    assert (status, reason) == (404, 'there is no tag "grafana/nothing"')
    status, reason, _ = send(panel("states", "States")["targets"][0], WHOLE | {"state": ["grafana/nothing"]})
    assert status == 400 and reason.endswith('there is no tag "grafana/nothing"')


def test_a_token_of_a_reader_is_enough_for_all_but_the_state_of_the_server(tmp_path):
    data, program = tmp_path / "data", os.environ["HISTORIAN_BINARY"]
    data.mkdir()
    create = [program, "token", "create", "grafana", "--data-dir", data, "--role", "reader", "--tags", "**"]
    token = subprocess.run(create, check=True, capture_output=True, text=True).stdout.strip()
    grpc, http_ = (f"127.0.0.1:{free_port()}" for _ in range(2))
    with open(tmp_path / "log", "wb") as log:
        server = subprocess.Popen([program, "serve", "--data-dir", data, "--listen", grpc, "--http", http_], stdout=log, stderr=log)
    try:
        who, until = variable("findings", "detector")["query"]["infinityQuery"], time.monotonic() + 60
        while True:
            try:
                if send(who, {}, http_, token)[0] != 503:
                    break
            except ConnectionError:
                pass
            assert server.poll() is None and time.monotonic() < until, (tmp_path / "log").read_text()
            time.sleep(0.05)
        for where, query in (queries() | of_rules()).items():
            status, reason, _ = send(query, CHOSEN | WHOLE, http_, token)
            # There are no tags, so none of these names.
            fits = {403} if query["url"] == "/api/v1/status" else {200, 400, 404}
            assert status in fits and (status == 200 or status == 403 or "there is no tag" in reason), (where, status, reason)
            assert send(query, CHOSEN | WHOLE, http_, "hst_none")[0] == 401
    finally:
        server.terminate()
        server.wait(30)


# Alert rules.


def fires(uid):
    """By tag whether the condition holds; a row without a number is none."""
    rule = RULES[uid]
    parts = {part["refId"]: part["model"] for part in rule["data"]}
    condition = parts[rule["condition"]]
    fields = ask(parts[condition["expression"]], {})
    (value,) = [column["text"] for column in parts[condition["expression"]]["columns"] if column["type"] == "number"]
    assert len(fields["tag"]) == len(set(fields["tag"])), "each row is an alert of its own"
    (evaluator,) = [one["evaluator"] for one in condition["conditions"]]
    (limit,) = evaluator["params"]
    holds = {"gt": lambda number: number > limit, "lt": lambda number: number < limit}[evaluator["type"]]
    return {row["tag"]: holds(row[value]) for row in records(fields) if row[value] is not None}


def test_a_bad_run_raises_both_alerts_and_its_end_clears_them():
    tag, now = "grafana/alert", time.time_ns()
    put(tag, [now - 1200 * SECOND], [1.0])
    assert not fires("historian-tag-bad")[tag] and not fires("historian-tag-often-bad")[tag]
    began = now - 300 * SECOND
    put(tag, [began], [0.0], [BAD_SENSOR_FAILURE])
    assert fires("historian-tag-bad")[tag] and fires("historian-tag-often-bad")[tag]
    # Over: the first clears, the second says that it was Bad for long.
    put(tag, [time.time_ns() - 1], [2.0])
    assert not fires("historian-tag-bad")[tag] and fires("historian-tag-often-bad")[tag]
    # The sample was wrong and is corrected.
    put(tag, [began], [1.5], mode="UPSERT")
    assert not fires("historian-tag-often-bad")[tag]
    # An uncertain value is no Bad one.
    put(tag, [began], [3.0], [UNCERTAIN], mode="UPSERT")
    put(tag, [time.time_ns()], [3.0], [UNCERTAIN])
    assert not fires("historian-tag-bad")[tag] and not fires("historian-tag-often-bad")[tag]
    assert fires("historian-tag-bad")["grafana/collected"] and fires("historian-tag-bad")[QUOTED] and not fires("historian-tag-bad")[LINE]
