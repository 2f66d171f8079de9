"""The HTTP API: its answers are those of Flight, in every format; what cannot be answered is a problem document. Judged by the standard library,
pyarrow and DuckDB."""

import gzip
import http.client
import io
import json
import math
import pathlib
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.parse

import duckdb
import openapi_spec_validator
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from lib import BAD_SENSOR_FAILURE, START, SECOND, client, get, put, ticket
from web import HTTP, ask, call, refused

NUMBERS = "web/numbers"
END = START + 100 * SECOND
BOUNDS = {"start": f"{START}ns", "end": f"{END}ns"}


@pytest.fixture(scope="module", autouse=True)
def written():
    times = [START + number * SECOND for number in range(100)]
    put([NUMBERS] * 100, times, [None if number == 7 else number / 3 for number in range(100)], [BAD_SENSOR_FAILURE if number == 7 else 0 for number in range(100)])
    big = pa.array([2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1], pa.int64())
    put(["web/big"] * 4, [START + 1, START + 1000, START + 1_000_000, START + SECOND], big)
    put(["web/single"] * 3, times[:3], pa.array([0.1, 3.4028234663852886e38, -0.0], pa.float32()))
    put(["web/odd"] * 3, times[:3], [math.nan, math.inf, -math.inf])
    put(["web/text"] * 3, times[:3], ["a,\"b\"\r\nc", "", "\u00e4\u2028<img onerror=alert(1)>"])


def rows_of(table):
    return table.to_pylist()


ARROW = {"accept": "application/vnd.apache.arrow.stream"}
REQUESTS = [
    ("range", {"tags": ["web/*"], **BOUNDS}),
    ("range", {"tags": [NUMBERS], **BOUNDS, "layout": "WIDE"}),
    ("current", {"tags": ["web/**"]}),
    ("aggregate", {"tags": [NUMBERS], **BOUNDS, "interval": "10s", "functions": ["time_average", "maximum", "percent_good"]}),
    ("downsample", {"tags": [NUMBERS], **BOUNDS, "points": 20}),
    ("anomalies", {"tags": [NUMBERS], **BOUNDS, "detector": "spike", "parameters": {"window": 11}}),
    ("measure", {"tags": [NUMBERS], **BOUNDS, "interval": "50s", "measure": "PERCENT_GOOD"}),
    ("superseded", {"tags": ["web/*"], **BOUNDS}),
]


@pytest.mark.parametrize("kind,request_", REQUESTS, ids=lambda value: value if isinstance(value, str) else "")
def test_every_kind_answers_in_every_format_what_flight_answers(kind, request_, tmp_path):
    expected = get({kind: request_})
    arrow = pa.ipc.open_stream(ask(kind, request_, headers=ARROW)).read_all()
    # As text, in which NaN is NaN.
    assert arrow.schema.equals(expected.schema, check_metadata=True) and str(arrow.to_pylist()) == str(expected.to_pylist())
    file = pyarrow.parquet.read_table(io.BytesIO(ask(f"{kind}?format=parquet", request_)))
    assert file.schema.equals(expected.schema) and str(file.to_pylist()) == str(expected.to_pylist())
    assert file.schema.metadata[b"tags"] == expected.schema.metadata[b"tags"]

    columns = json.loads(ask(kind, request_, times="ns", integers="number"))
    assert [column["name"] for column in columns["columns"]] == expected.schema.names
    assert columns["rows"] == expected.num_rows
    lines = ask(f"{kind}?format=ndjson&times=ns&integers=number", request_).decode().split("\n")[:-1]
    rows = json.loads(ask(f"{kind}?shape=rows&times=ns&integers=number", request_))
    assert rows["columns"] == columns["columns"] and rows["metadata"] == columns["metadata"]
    assert [json.loads(line) for line in lines] == rows["rows"]
    for name in expected.schema.names:
        column = expected.column(name)
        if pa.types.is_timestamp(column.type):
            values = column.cast(pa.int64()).to_pylist()
        elif pa.types.is_decimal(column.type):
            values = [None if value is None else int(value) for value in column.to_pylist()]
        else:
            values = column.to_pylist()
        written = [float(value) if isinstance(wanted, float) else value for value, wanted in zip(columns["data"][name], values)]
        for got, wanted in zip(written, values):
            same = struct.pack("d", got) == struct.pack("d", wanted) if isinstance(wanted, float) and not math.isnan(wanted) else str(got) == str(wanted)
            assert same, (name, got, wanted)
        assert [row[name] for row in rows["rows"]] == columns["data"][name]
    text = ask(f"{kind}?format=csv", request_)
    if kind != "measure":
        # A text that has a line break is one cell.
        (tmp_path / "answer.csv").write_bytes(text)
        read = f"SELECT count(*) FROM read_csv('{tmp_path}/answer.csv', header=true, all_varchar=true, delim=',', quote='\"', escape='\"', new_line='\\r\\n')"
        assert duckdb.sql(read).fetchall() == [(expected.num_rows,)]


def test_integers_and_times_are_exact_whatever_reads_them():
    request = {"tags": ["web/big"], **BOUNDS}
    data = json.loads(ask("range", request))["data"]
    assert data["value"] == [2**53, str(2**53 + 1), str(-(2**53) - 1), str(2**63 - 1)]
    assert data["timestamp"] == ["2026-01-01T00:00:00.000000001Z", "2026-01-01T00:00:00.000001Z", "2026-01-01T00:00:00.001Z", "2026-01-01T00:00:01Z"]
    assert json.loads(ask("range?integers=text", request))["data"]["value"][0] == str(2**53)
    assert json.loads(ask("range?times=ns", request))["data"]["timestamp"][0] == str(START + 1)
    assert b"1767225600000.000001," in ask("range?times=ms", request) and b"1767225600000.001," in ask("range?times=ms", request)
    bounds = json.loads(ask("range?times=ms", request))["metadata"]
    assert (bounds["start"], bounds["end"]) == (START // 10**6, END // 10**6)
    odd = ask("range?times=ms", request | {"start": f"{START + 1}ns"})
    assert b'"start":1767225600000.000001' in odd


def test_floats_have_their_own_width_and_what_json_lacks_is_text():
    single = json.loads(ask("range", {"tags": ["web/single"], **BOUNDS}))
    assert single["columns"][2] == {"name": "value", "type": "f32"}
    assert b"[0.1,3.4028235e+38,-0.0]" in ask("range", {"tags": ["web/single"], **BOUNDS})
    assert json.loads(ask("range", {"tags": ["web/odd"], **BOUNDS}))["data"]["value"] == ["NaN", "Infinity", "-Infinity"]
    numbers = json.loads(ask("range", {"tags": [NUMBERS], **BOUNDS}))["data"]
    assert numbers["value"][7] is None and numbers["quality"][7] == BAD_SENSOR_FAILURE


def test_texts_are_what_they_are_in_json_and_csv():
    request = {"tags": ["web/text"], **BOUNDS}
    texts = ["a,\"b\"\r\nc", "", "\u00e4\u2028<img onerror=alert(1)>"]
    assert json.loads(ask("range", request))["data"]["value"] == texts
    options = pyarrow.csv.ParseOptions(newlines_in_values=True)
    types = pyarrow.csv.ConvertOptions(column_types={"value": pa.string()})
    table = pyarrow.csv.read_csv(io.BytesIO(ask("range?format=csv", request)), parse_options=options, convert_options=types)
    assert table["value"].to_pylist() == texts
    assert table["timestamp"].cast(pa.timestamp("ns", "UTC")).cast(pa.int64()).to_pylist() == [START, START + SECOND, START + 2 * SECOND]


def test_a_get_means_what_the_post_means():
    post = ask("aggregate", {"tags": [NUMBERS], **BOUNDS, "interval": "10s", "functions": ["count", "maximum"], "configuration": {"percent_data_bad": 50}})
    same = ask("aggregate", tag=NUMBERS, function=["count", "maximum"], interval="10s", **BOUNDS, **{"configuration.percent_data_bad": 50})
    assert post == same
    number = json.loads(ask("range", tags=NUMBERS, start=START // SECOND, end=END // SECOND, time_unit="s", limit=3))
    assert number["rows"] == 3
    # Without bounds: the last hours.
    recent = json.loads(ask("range", tag=NUMBERS))
    assert recent["rows"] == 0 and recent["metadata"]["start"] > "2026-01-01T12"


def test_a_plot_has_edges_breaks_and_a_ceiling():
    for asked in [{"points": 20}, {"interval_ms": 5_000}, {"interval_ms": 5_000, "points": 0}, {"interval_ms": 1, "points": 20}]:
        plot = json.loads(ask("plot", tag=NUMBERS, times="ns", integers="number", **BOUNDS, **asked))
        data, metadata = plot["data"], plot["metadata"]
        assert 5 <= plot["rows"] <= 20, asked
        assert data["timestamp"][0] == START and data["timestamp"][-1] >= END - SECOND
        assert None in data["value"], "a Bad run ends the line"
        assert metadata["tags"][NUMBERS]["stepped"] is False
    assert json.loads(ask("plot", {"tags": [NUMBERS], **BOUNDS, "interval_ms": 10_000}))["rows"] <= 10
    refused(400, "GET", "plot", tag=NUMBERS, interval_ms=0)
    refused(400, "GET", "plot", tag=NUMBERS, interval_ms="soon")


def test_pages_join_to_the_whole_while_somebody_writes():
    whole = [value for value in get({"range": {"tags": [NUMBERS], **BOUNDS}})["value"].to_pylist()]
    found, token = [], ""
    while True:
        page = json.loads(ask("range", {"tags": [NUMBERS], **BOUNDS, "page_size": 33, "page_token": token}))
        found += page["data"]["value"]
        # Of another tag, at the same times.
        put(["web/other"] * 3, [START + number * SECOND for number in range(len(found), len(found) + 3)], [1.0, 2.0, 3.0])
        token = page["metadata"].get("next_page_token", "")
        if not token:
            break
    assert found == whole


def test_sql_is_answered_like_any_other():
    query = "SELECT tag, count(*) AS n, max(value) AS top FROM samples WHERE tag = 'web/numbers' GROUP BY tag"
    assert json.loads(ask("sql", {"query": query}))["data"] == {"tag": [NUMBERS], "n": [100], "top": [33.0]}
    assert ask("sql", query="SELECT 1 AS one", format="csv") == b"one\r\n1\r\n"
    assert json.loads(ask("sql", {"query": "SELECT NULL AS nothing, 1 AS one"}))["data"] == {"nothing": [None], "one": [1]}
    twice = "SELECT a.tag, b.tag FROM samples a JOIN samples b ON a.tag = b.tag AND a.timestamp = b.timestamp WHERE a.tag = 'web/odd' LIMIT 1"
    assert refused(400, "POST", "sql", {"query": twice})[1]["detail"].startswith("two columns are named")
    assert ask("sql", query=twice, format="csv").splitlines()[1] == b"web/odd,web/odd"
    assert refused(400, "POST", "sql", {"query": "SELEKT"})[1]["reason"] == "INVALID_SQL"
    refused(400, "POST", "sql", {"query": "SELECT 1", "more": 1})
    refused(400, "POST", "sql", {})


def test_tags_are_found_by_what_a_person_types():
    def names(**parameters):
        return [tag["name"] for tag in json.loads(ask("tags", **parameters)).get("tags", [])]

    assert names(match="NUMB") == [NUMBERS]
    assert names(match="web big") == ["web/big"] == names(tag="web/b*")
    assert names(match="web and numbers") == []
    assert names(match="\u00fc") == []
    first = json.loads(ask("tags", page_size=2))
    second = json.loads(ask("tags", page_size=2, page_token=first["next_page_token"]))
    assert [tag["name"] for tag in first["tags"] + second["tags"]] == names()[:4]
    counted = json.loads(ask("tags", page_size=2, total="true", match="web"))
    assert (counted["total"], len(counted["tags"])) == (str(len(names(match="web"))), 2) and "total" not in first
    rest = json.loads(ask("tags", page_size=10, match="web", page_token=counted["next_page_token"]))
    assert len(rest["tags"]) == len(names(match="web")) - 2
    tag = json.loads(ask("tags/web/numbers"))
    assert tag["name"] == NUMBERS and tag["value_type"] == "VALUE_TYPE_F64"
    assert refused(404, "GET", "tags/web/nothing")[1]["reason"] == "TAG_NOT_FOUND"
    refused(405, "POST", "tags/web/numbers", {})
    refused(400, "GET", "tags/web/numbers", page_size=2)


def test_messages_tell_of_the_historian():
    assert json.loads(ask("collectors"))["devices"][0]["device"] == "boiler-plc"
    status = json.loads(ask("status"))
    assert int(status["samples_written"]) >= 113 and status["accepting_writes"] is True
    detectors = json.loads(ask("detectors"))["detectors"]
    assert "spike" in [detector["name"] for detector in detectors]
    # This one has no files, so it keeps no ledger of gaps.
    assert refused(400, "GET", "gaps")[1]["reason"] == "NO_FILES" == refused(400, "GET", "backups")[1]["reason"]
    assert json.loads(ask("whoami"))
    assert json.loads(ask("audit", page_size=1))
    as_of = json.loads(ask("asof", {"tags": [NUMBERS], "timestamps": [str(START + 5 * SECOND + 1)]}))
    assert json.dumps(as_of).count("1.6666666666666667") == 1


def test_what_cannot_be_answered_is_a_problem_document():
    answer, problem = refused(400, "POST", "aggregate", {"tags": ["a"], "interval": "5x", "functions": ["count"], **BOUNDS})
    assert problem["code"] == "INVALID_ARGUMENT" and problem["violations"][0]["field"] == "interval"
    assert problem["detail"].startswith("interval: ") and answer.headers["x-request-id"]
    assert refused(404, "GET", "current", tag="web/nothing")[1]["reason"] == "TAG_NOT_FOUND"
    assert refused(404, "GET", "nothing")[1]["reason"] == "NO_SUCH_PATH"
    assert refused(404, "GET", "")[1]["reason"] == "NO_SUCH_PATH"
    assert refused(405, "DELETE", "range")[0].headers["allow"] == "GET, POST"
    assert refused(406, "GET", "current", tag="web/*", headers={"accept": "image/png"})
    assert refused(406, "GET", "tags", headers={"accept": "text/csv"})
    assert refused(406, "GET", "subscribe", tag="web/*", headers={"accept": "application/json"})
    assert refused(400, "GET", "tags", format="csv") and refused(400, "GET", "current", tag="web/*", timeout="")
    assert refused(405, "DELETE", "tags/web/numbers")[0].headers["allow"] == "GET"
    assert refused(415, "POST", "current", {"tags": ["web/*"]}, headers={"content-type": "text/plain"})
    assert refused(413, "POST", "current", b" " * ((1 << 20) + 1))
    assert "tagz" in refused(400, "GET", "current", tagz="a")[1]["detail"]
    assert "tagz" in refused(400, "POST", "current", {"tagz": ["a"]})[1]["detail"]
    assert refused(400, "POST", "current", b"{\"tags\": [\"a\"], \"tags\": []}")
    assert refused(400, "POST", "current", b"[]")
    assert refused(400, "POST", "current?tag=a", {"tags": ["a"]})
    assert refused(400, "GET", "current", tag="web/*", format="xml")[1]["detail"].startswith("format: ")
    assert refused(504, "GET", "range", tag="web/*", timeout="1ns", **BOUNDS)[1]["code"] == "DEADLINE_EXCEEDED"
    # What a form of another site can send, and no browser asks for before.
    assert refused(415, "POST", "current", b"{\"tags\": [\"web/*\"]}", headers={"content-type": "application/x-www-form-urlencoded"})


def test_other_sites_are_told_nothing():
    answer, _ = call("GET", "current", tag="web/*", headers={"origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["cache-control"] == "no-store"
    connection = http.client.HTTPConnection(HTTP, timeout=60)
    connection.request("GET", "/api/v1/current?tag=web/*", headers={"host": "evil.example"})
    assert connection.getresponse().status == 421


def test_bodies_are_compressed_where_that_is_taken():
    request = {"tags": ["web/*"], **BOUNDS}
    for form in ["json", "ndjson", "csv", "arrow", "parquet"]:
        plain = ask(f"range?format={form}", request)
        answer, packed = call("POST", f"range?format={form}", request, headers={"accept-encoding": "gzip, deflate"})
        assert answer.headers["content-encoding"] == "gzip" and gzip.decompress(packed) == plain
        answer, packed = call("POST", f"range?format={form}", request, headers={"accept-encoding": "gzip, zstd;q=0.9"})
        assert answer.headers["content-encoding"] == "zstd"
        assert pa.CompressedInputStream(pa.BufferReader(packed), "zstd").read() == plain
        answer, same = call("POST", f"range?format={form}", request, headers={"accept-encoding": "gzip;q=0, zstd;q=0"})
        assert "content-encoding" not in answer.headers and same == plain


def written_long():
    for part in range(5):
        times = [START + (part * 100_000 + number) * 1_000_000 for number in range(100_000)]
        put(["long/one"] * 100_000, times, [number / 7 for number in range(100_000)])


def test_the_same_request_is_the_same_answer_until_something_changes():
    put(["tag/e2"] * 3, [START, START + SECOND, START + 2 * SECOND], [1.0, 2.0, 3.0])
    request = {"tags": ["tag/e2"], **BOUNDS}
    answer, body = call("POST", "range", request)
    tag = answer.headers["etag"]
    put(["tag/other"], [START], [1.0])
    for known in [tag, f'"x", {tag}', f"W/{tag}"]:
        answer, nothing = call("POST", "range", request, headers={"if-none-match": known})
        assert (answer.status, nothing, answer.headers["etag"]) == (304, b"", tag)
    packed = call("POST", "range", request, headers={"accept-encoding": "gzip", "if-none-match": tag})[0]
    assert packed.status == 200 and packed.headers["etag"] != tag
    put(["tag/e2"], [START + SECOND // 2], [9.0])
    answer, late = call("POST", "range", request, headers={"if-none-match": tag})
    assert answer.status == 200 and answer.headers["etag"] != tag and late != body
    answer, tags = call("GET", "tags", tag="tag/e2")
    assert call("GET", "tags", headers={"if-none-match": answer.headers["etag"]}, tag="tag/e2")[0].status == 304
    assert "etag" not in call("POST", "range?format=csv", request)[0].headers


def test_a_long_answer_is_streamed_and_too_long_a_one_in_columns_refused(tmp_path):
    written_long()
    request = {"tags": ["long/one"], "start": f"{START}ns", "end": f"{START + 1000 * SECOND}ns"}
    answer, problem = refused(413, "POST", "range", request)
    assert "ndjson" in problem["detail"]
    lines = ask("range?format=ndjson", request).splitlines()
    assert len(lines) == 500_000 and json.loads(lines[-1])["value"] == 99_999 / 7
    assert len(json.loads(ask("range?shape=rows", request))["rows"]) == 500_000
    assert pa.ipc.open_stream(ask("range", request, headers=ARROW)).read_all().num_rows == 500_000
    assert ask("range?format=csv", request).count(b"\r\n") == 500_001
    (tmp_path / "long.parquet").write_bytes(ask("range", request, headers={"accept": "application/vnd.apache.parquet"}))
    counted = duckdb.sql(f"SELECT count(*), max(value), epoch_ns(max(timestamp)) FROM '{tmp_path}/long.parquet'").fetchall()
    assert counted == [(500_000, 99_999 / 7, START + 499_999 * 1_000_000)]


def test_a_slow_reader_is_cut_and_sees_that_its_answer_is_not_whole():
    request = {"tags": ["long/one"], "start": f"{START}ns", "end": f"{START + 1000 * SECOND}ns"}
    if get({"current": {"tags": ["long/*"]}}).num_rows == 0:
        written_long()
    connection = http.client.HTTPConnection(HTTP, timeout=60)
    connection.request("POST", "/api/v1/range?format=ndjson", json.dumps(request), {"content-type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200
    answer.read(1)
    time.sleep(4)  # stalled_reader_s of this historian is 2
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        answer.read()


def test_an_answer_whose_end_nobody_could_tell_is_refused():
    def old(path):
        with socket.create_connection(HTTP.rsplit(":", 1), timeout=60) as connection:
            connection.sendall(f"GET /api/v1/{path} HTTP/1.0\r\n\r\n".encode())
            return b"".join(iter(lambda: connection.recv(65_536), b""))

    for path in ["current?tag=web/*&format=csv", "current?tag=web/*&shape=rows", "subscribe?tag=web/*"]:
        assert old(path).startswith(b"HTTP/1.0 505 "), path
    assert b"200 OK" in old("current?tag=web/*")[:30]


class Feed:
    """Events of a feed as they come."""

    def __init__(self, position=None, **parameters):
        self.connection = http.client.HTTPConnection(HTTP, timeout=60)
        # As browsers ask.
        headers = {"Accept": "text/event-stream"} | ({} if position is None else {"Last-Event-ID": str(position)})
        self.connection.request("GET", f"/api/v1/subscribe?{urllib.parse.urlencode(parameters, doseq=True)}", headers=headers)
        self.answer = self.connection.getresponse()

    def event(self):
        event = {}
        while True:
            line = self.answer.readline().decode().rstrip("\n")
            if line == "" and event:
                return event
            if line and not line.startswith(":"):
                name, _, text = line.partition(": ")
                event[name] = text

    def close(self):
        self.connection.close()


def test_events_tell_every_write_once_and_resume_behind_an_id():
    feed = Feed(tag="feed/*", current="true", integers="number")
    assert feed.answer.status == 200 and feed.answer.headers["content-type"] == "text/event-stream"
    assert feed.answer.readline() == b": connected\n"
    put(["feed/a"] * 2, [START, START + 1], [1.0, 2.0])
    event = feed.event()
    assert event["event"] == "samples"
    data = json.loads(event["data"])["data"]
    assert (data["tag"], data["value"]) == (["feed/a"] * 2, [1.0, 2.0])
    assert data["timestamp"] == ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000000001Z"]
    behind = int(event["id"])
    feed.close()
    put(["feed/b"], [START], [3.0])
    put(["feed/a"], [START + 2], [4.0])
    again = Feed(behind, tag="feed/*")
    values = []
    while len(values) < 2:
        values += json.loads(again.event()["data"])["data"]["value"]
    assert values == [3.0, 4.0]
    again.close()
    current = Feed(tag="feed/*", current="true")
    event = current.event()
    assert "id" not in event and json.loads(event["data"])["data"]["value"] == [4.0, 3.0]
    current.close()
    assert refused(416, "GET", "subscribe", tag="feed/*", position=2**60)[1]["reason"] == "OUT_OF_RANGE"
    refused(400, "GET", "subscribe", tag="feed/*", headers={"Last-Event-ID": "x"})


def test_a_fuzzer_finds_no_answer_that_is_not_in_the_description(tmp_path):
    description = tmp_path / "openapi.json"
    described = json.loads(ask("openapi.json"))
    openapi_spec_validator.validate(described)
    for operations in described["paths"].values():
        for operation in operations.values():
            # Who gives an answer no time gets none, which is an error of the server by its number only.
            operation["parameters"] = [one for one in operation["parameters"] if one["name"] != "timeout"]
    description.write_text(json.dumps(described))
    here = pathlib.Path(sys.executable).parent
    checks = "not_a_server_error,content_type_conformance,response_schema_conformance,response_headers_conformance"
    command = [here / "schemathesis", "run", description, "--url", f"http://{HTTP}", "--exclude-path", "/api/v1/subscribe", "--checks", checks]
    options = ["--phases", "fuzzing", "-n", "15", "--seed", "20261130", "--continue-on-failure", "--request-timeout", "30", "--no-color"]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested: 47" in done.stdout, done.stdout[-2000:]


def test_calls_of_many_threads_do_not_disturb_each_other():
    expected = ask("range", {"tags": [NUMBERS], **BOUNDS})
    wrong = []

    def calls():
        for _ in range(30):
            answer, content = call("POST", "range", {"tags": [NUMBERS], **BOUNDS})
            if (answer.status, content) != (200, expected):
                wrong.append((answer.status, content))

    threads = [threading.Thread(target=calls) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[0]
