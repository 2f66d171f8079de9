"""Annotations and views: over HTTP, SQL of Flight, and as the aggregate that counts them. Judged by what was written, and by DuckDB."""

import json

import duckdb
import pytest

from lib import SECOND, START, client, descriptor, get, put, statement
from web import ask, refused


def sql(text):
    return client.do_get(client.get_flight_info(descriptor(statement(text))).endpoints[0].ticket).read_all()


TAGS = ["note/one", "note/two", "note/three"]


@pytest.fixture(scope="module", autouse=True)
def written():
    for tag in TAGS:
        put([tag] * 10, [START + number * SECOND for number in range(10)], [float(number) for number in range(10)])


def at(second):
    return f"{START + second * SECOND}ns"


def create(tags, start, end=None, text="a text"):
    body = {"tags": tags, "start": at(start), "text": text} | ({} if end is None else {"end": at(end)})
    return json.loads(ask("annotations/create", body))["annotation"]


def listed(**parameters):
    return json.loads(ask("annotations", **parameters))["annotations"]


def test_what_was_written_is_found_where_it_lies():
    made = create(["note/two", "note/one"], 2, 5, "valve\nstuck <img src=x onerror=alert(1)>")
    assert made["tags"] == ["note/one", "note/two"] and made["version"] == 1 and made["author"] == "anonymous"
    assert (int(made["start_time"]), int(made["end_time"])) == (START + 2 * SECOND, START + 5 * SECOND)
    moment = create(["note/one"], 7)
    assert moment["start_time"] == moment["end_time"]
    assert [found["id"] for found in listed(tag="note/one")] == [made["id"], moment["id"]]
    assert [found["id"] for found in listed(tag="note/t*")] == [made["id"]] and listed(tag="note/three") == []
    assert [found["text"] for found in listed(tag="note/one", start=at(4), end=at(7))] == [made["text"]]
    assert [found["id"] for found in listed(tag="note/one", start=at(5), end=at(8))] == [moment["id"]]
    assert listed(tag="note/one", start=at(8)) == [] and len(listed(tag="note/one", end=at(7))) == 1
    assert listed(id=made["id"])[0] == made


def test_each_version_is_kept_and_a_change_of_another_is_refused():
    made = create(["note/three"], 1, 2, "first")
    body = {"id": made["id"], "version": 1, "tags": ["note/three"], "start": at(1), "end": at(3), "text": "second"}
    next_one = json.loads(ask("annotations/update", body))["annotation"]
    assert (next_one["version"], next_one["text"]) == (2, "second")
    problem = refused(409, "POST", "annotations/update", body)[1]
    assert (problem["code"], problem["reason"]) == ("ABORTED", "OTHER_VERSION") and "version 2" in problem["detail"]
    assert refused(409, "POST", "annotations/delete", {"id": made["id"], "version": 1})
    ask("annotations/delete", {"id": made["id"]})
    assert listed(tag="note/three") == []
    versions = listed(tag="note/three", versions="true")
    assert [(one["version"], one["text"], one["removed"]) for one in versions] == [(1, "first", False), (2, "second", False), (3, "second", True)]
    assert refused(404, "POST", "annotations/update", body)[1]["reason"] == "NOTE_NOT_FOUND"
    assert refused(404, "POST", "annotations/delete", {"id": made["id"]})
    actions = [entry["action"] for entry in json.loads(ask("audit", last=3))["entries"]]
    assert actions == ["create_annotation", "update_annotation", "delete_annotation"]


def test_pages_join_to_the_whole():
    for number in range(7):
        create(["note/two"], 100 - number, text=f"number {number}")
    pages, token = [], ""
    while True:
        page = json.loads(ask("annotations", tag="note/two", start=at(50), page_size=3, page_token=token))
        pages.append([one["text"] for one in page["annotations"]])
        token = page["next_page_token"]
        if not token:
            break
    assert [len(page) for page in pages] == [3, 3, 1]
    assert sum(pages, []) == [f"number {number}" for number in reversed(range(7))]
    assert refused(400, "GET", "annotations", tag="note/one", page_token=json.loads(ask("annotations", tag="note/two", page_size=1))["next_page_token"])


def test_the_aggregate_counts_annotations_and_not_samples():
    put(["count/one"] * 10, [START + number * SECOND for number in range(10)], [1.0] * 10)
    put(["count/text"] * 2, [START, START + SECOND], ["a", "b"])
    for second in [0, 1, 1, 4, 9]:
        create(["count/one", "count/text"], second)
    for tag in ["count/one", "count/text"]:
        answer = get({"aggregate": {"tags": [tag], "start": at(0), "end": at(10), "interval": "5s", "functions": ["annotation_count"]}})
        assert answer["value"].to_pylist() == [4.0, 1.0], tag
    backwards = get({"aggregate": {"tags": ["count/one"], "start": at(10), "end": at(0), "interval": "5s", "functions": ["annotation_count", "count"]}})
    # Backwards the later edge of an interval is within, and the earlier one is not.
    assert backwards["value"].to_pylist() == [1.0, 4.0, 3.0, 5.0]


def test_sql_has_a_row_for_each_tag_of_an_annotation():
    put(["sql/one", "sql/two"], [START, START], [1.0, 2.0])
    create(["sql/one", "sql/two"], 0, 5, "both")
    create(["sql/two"], 3, text="one of them")
    rows = sql("SELECT tag, start, \"end\", text, author, id, version FROM annotations WHERE tag LIKE 'sql/%' ORDER BY tag, start")
    found = duckdb.sql("SELECT tag, text, epoch_ns(\"end\") - epoch_ns(start) AS length FROM rows ORDER BY tag, length").fetchall()
    assert found == [("sql/one", "both", 5 * SECOND), ("sql/two", "one of them", 0), ("sql/two", "both", 5 * SECOND)]
    joined = sql(
        "SELECT a.text, count(*) AS n FROM annotations a JOIN samples s ON s.tag = a.tag AND s.timestamp >= a.start AND s.timestamp < a.\"end\" "
        "WHERE a.tag = 'sql/two' GROUP BY a.text"
    )
    assert joined.to_pylist() == [{"text": "both", "n": 1}]
    assert b"one of them" in ask("sql", query="SELECT text FROM annotations WHERE tag IN ('sql/two', 'sql/nothing')", format="csv")


def test_what_is_no_annotation_is_refused_at_its_field():
    def violation(**changed):
        body = {"tags": ["note/one"], "start": at(0), "text": "x"} | changed
        return refused(400, "POST", "annotations/create", body)[1]["violations"][0]["field"]

    assert violation(tags=[]) == "tags" and violation(text=" ") == "text" and violation(text="\u001b[2J") == "text"
    assert violation(start="") == "start" and violation(end=f"{START - 1}ns") == "end" and violation(text="x" * 4097) == "text"
    assert violation(start="yesterday") == "start" and violation(zone="Mars") == "zone"
    assert refused(404, "POST", "annotations/create", {"tags": ["note/nothing"], "start": at(0), "text": "x"})[1]["reason"] == "TAG_NOT_FOUND"
    assert refused(404, "GET", "annotations", tag="note/nothing") and refused(400, "GET", "annotations", start=at(2), end=at(1))
    assert refused(405, "GET", "annotations/create")[0].headers["allow"] == "POST"
    # What a form of another site can send, and no browser asks for before.
    assert refused(415, "POST", "annotations/create", b"{}", headers={"content-type": "text/plain"})


def test_views_are_kept_by_a_name():
    saved = json.loads(ask("views/save", {"name": "Shift", "content": "tag=note/one&start=*-8h", "shared": True}))["view"]
    assert (saved["version"], saved["owner"], saved["content"]) == (1, "anonymous", "tag=note/one&start=*-8h")
    assert refused(409, "POST", "views/save", {"name": "Shift", "content": "x"})[1]["reason"] == "VIEW_EXISTS"
    changed = json.loads(ask("views/save", {"id": saved["id"], "version": 1, "name": "Night", "content": "tag=note/two"}))["view"]
    assert changed["version"] == 2 and changed["shared"] is False
    assert refused(409, "POST", "views/save", {"id": saved["id"], "version": 1, "name": "x", "content": "x"})[1]["reason"] == "OTHER_VERSION"
    for name in ["b", "a", "c"]:
        ask("views/save", {"name": name, "content": "x" * 16_384})
    first = json.loads(ask("views", page_size=2))
    rest = json.loads(ask("views", page_size=2, page_token=first["next_page_token"]))
    assert [view["name"] for view in first["views"] + rest["views"]] == ["Night", "a", "b", "c"] and rest["next_page_token"] == ""
    ask("views/delete", {"id": saved["id"]})
    assert refused(404, "POST", "views/delete", {"id": saved["id"]})
    assert [view["name"] for view in json.loads(ask("views"))["views"]] == ["a", "b", "c"]
    assert refused(400, "POST", "views/save", {"name": "x", "content": "x" * 16_385})[1]["violations"][0]["field"] == "content"
    assert [entry["action"] for entry in json.loads(ask("audit", last=1))["entries"]] == ["delete_view"]
