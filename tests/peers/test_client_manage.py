"""What the Python package changes and asks beside samples: tags, corrections, state of the server, statements with values, CSV."""

import csv
import datetime as dt
import decimal
import json
import os
import subprocess

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from package import hc, plant, put  # first: it finds the package

from lib import BAD_SENSOR_FAILURE, NS, SECOND, START, nanoseconds, refused

UTC = dt.timezone.utc


def test_a_tag_is_made_found_changed_and_gone():
    made = plant.create_tag("shop/oven/temperature", unit="°C", description="Oven, upper zone", range_low=0.0, range_high=400.0)
    assert made == plant.tag("shop/oven/temperature") and (made.value_type, made.stepped, made.device, made.state_set) == ("f64", False, "", [])
    assert (made.unit, made.range_low, made.range_high) == ("°C", 0.0, 400.0) and dt.datetime.now(UTC) - made.create_time < dt.timedelta(minutes=5)
    mode = plant.create_tag("shop/oven/mode", "state", state_set=["off", "on"])
    assert mode.stepped and mode.state_set == ["off", "on"] and mode.range_low is None
    refused(hc.AlreadyExists, lambda: plant.create_tag("shop/oven/mode"), "shop/oven/mode")
    # Each word must occur somewhere.
    assert [tag.name for tag in plant.find_tags("UPPER oven")] == ["shop/oven/temperature"] and plant.find_tags("upper mode") == []
    assert [tag.name for tag in plant.find_tags(tags="shop/**", filter="type=state")] == ["shop/oven/mode"]
    changed = plant.update_tag("shop/oven/temperature", description="Oven", range_low=None)
    assert (changed.description, changed.range_low, changed.range_high, changed.unit) == ("Oven", None, 400.0, "°C"), "the rest stays"
    assert plant.update_tag("shop/oven/mode", state_set=["off", "on", "fault"]).state_set == ["off", "on", "fault"]
    assert plant.update_tag("shop/oven/temperature", stepped=True).stepped and not plant.update_tag("shop/oven/temperature", stepped=False).stepped
    retyped = plant.retype_tag("shop/oven/temperature", "f32")
    assert (retyped.tag.value_type, retyped.kept.name, retyped.kept.value_type, retyped.collected) == ("f32", "shop/oven/temperature_f64", "f64", False)
    renamed = plant.rename_tag("shop/oven/temperature_f64", "shop/oven/before", reason="as on the drawing")
    assert (renamed.tag.name, renamed.tag.id, renamed.collected) == ("shop/oven/before", retyped.kept.id, False)
    refused(hc.TagNotFound, lambda: plant.rename_tag("shop/oven/temperature_f64", "shop/x"), "shop/oven/temperature_f64")
    refused(hc.AlreadyExists, lambda: plant.rename_tag("shop/oven/before", "shop/oven/mode"), "shop/oven/mode")
    refused(hc.InvalidRequest, lambda: plant.rename_tag("shop/oven/before", "shop//x"), "new_name")
    plant.delete_tag("shop/oven/mode", reason="measured nothing")
    for call in (lambda: plant.tag("shop/oven/mode"), lambda: plant.delete_tag("shop/oven/mode"), lambda: plant.update_tag("none", unit="x")):
        refused(hc.TagNotFound, call, "")
    refused(ValueError, lambda: plant.update_tag("shop/oven/temperature"), "nothing to change")
    refused(ValueError, lambda: plant.create_tag("shop/x", "double"), "f64")
    refused(TypeError, lambda: plant.create_tag("shop/x", "state", state_set="off"), "list")
    refused(hc.InvalidRequest, lambda: plant.create_tag("shop/*"), "shop/*")


def test_all_pages_of_tags_are_found():
    names = [f"many/{number:05}" for number in range(10_500)]
    plant.write({"tag": names, "timestamp": pa.array([START] * len(names), NS), "value": [1.0] * len(names)}, create_tags=True)
    assert [tag.name for tag in plant.find_tags(tags="many/*")] == names


def test_a_text_is_put_on_tags_changed_and_removed():
    put("note/a", [(at * SECOND, float(at)) for at in range(10)])
    put("note/b", [(at * SECOND, float(at)) for at in range(10)])
    begun, ended = (dt.datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC) for second in (2, 5))
    made = plant.annotate(["note/a", "note/b"], "valve stuck", begun, ended)
    assert (made.tags, made.start_time, made.end_time, made.version, made.removed) == (["note/a", "note/b"], begun, ended, 1, False)
    moment = plant.annotate("note/a", "lot 7", START + 7 * SECOND)
    assert moment.start_time == moment.end_time and plant.annotations("note/b") == [made]
    assert plant.annotations("note/*", START, START + 6 * SECOND) == [made] and plant.annotations("note/a") == [made, moment]
    changed = plant.update_annotation(made, "valve replaced")
    assert (changed.version, changed.text, changed.start_time, changed.end_time) == (2, "valve replaced", begun, ended)
    for call in (lambda: plant.update_annotation(made, "x"), lambda: plant.delete_annotation(made)):
        refused(hc.Conflict, call, "version 2")
    assert plant.update_annotation(moment, "lot 8").end_time == moment.start_time
    plant.delete_annotation(changed)
    assert [one.text for one in plant.annotations("note/b", versions=True)] == ["valve stuck", "valve replaced", "valve replaced"]
    assert plant.annotations("note/b") == []
    refused(hc.TagNotFound, lambda: plant.annotate("note/none", "x", begun), "note/none")


def test_samples_are_deleted_for_a_reason():
    put("fix/a", [(at * SECOND, float(at)) for at in range(10)])
    done = plant.delete("fix/a", START + 2 * SECOND, START + 5 * SECOND, reason="calibration of the sensor")
    assert (done.deleted, done.samples) == (3, 0) and done.start == dt.datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC) and done.end - done.start == dt.timedelta(seconds=3)
    assert plant.range("fix/a", START, START + 60 * SECOND)["value"].to_pylist() == [0.0, 1.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    gone = plant.superseded("fix/a", START, START + 60 * SECOND)
    assert gone["value"].to_pylist() == [2.0, 3.0, 4.0] and set(gone["replaced_by"].to_pylist()) == {done.watermark}
    refused(hc.InvalidRequest, lambda: plant.delete("fix/a", START, START + SECOND, reason=""), "reason")
    refused(hc.HistorianError, lambda: plant.delete("fix/none", START, START + SECOND, reason="x"), "fix/none")
    # In the zone of the request.
    put("fix/z", [(0, 1.0), (3600 * SECOND, 2.0)])
    assert plant.delete("fix/z", "2026-01-01T01:00", "2026-01-01T02:00", zone="Europe/Berlin", reason="zone").deleted == 1
    assert plant.range("fix/z", START, "2026-01-02")["value"].to_pylist() == [2.0]


def test_samples_are_replaced_as_one_write():
    put("fix/i", [(at * SECOND, 2**60 + at) for at in range(5)], pa.int64())
    put("fix/s", [(0, "alt"), (SECOND, "neu")])
    new = pa.table({
        "tag": ["fix/i", "fix/i", "fix/i"],
        "timestamp": pa.array([START + at for at in (1, 2, 3)], NS),
        "value": pa.array([2**62 + 1, None, 3]),
        "quality": pa.array([0, BAD_SENSOR_FAILURE, 0], pa.uint32()),
    })
    done = plant.replace(new, START, START + 4 * SECOND, tags="fix/s", reason="wrong batch")
    assert (done.deleted, done.samples) == (4 + 2, 3)
    rows = plant.range("fix/i", START, START + 60 * SECOND)
    assert rows["value"].to_pylist() == [2**62 + 1, None, 3, 2**60 + 4] and rows["quality"].to_pylist() == [0, BAD_SENSOR_FAILURE, 0, 0]
    assert len(plant.range("fix/s", START, START + 60 * SECOND)) == 0
    frame = pd.DataFrame({"tag": ["fix/s"], "timestamp": pd.to_datetime(["2026-01-01"], utc=True), "value": ["ganz neu"]})
    plant.replace(frame, START, START + SECOND, reason="text")
    assert plant.range("fix/s", START, START + 60 * SECOND)["value"].to_pylist() == ["ganz neu"]
    put("fix/n", [(0, 1.0)])
    plant.replace({"tag": ["fix/n"], "timestamp": pa.array([START], NS), "value": [float("nan")]}, START, START + 1, reason="a number that is none")
    assert np.isnan(plant.range("fix/n", START, START + 1)["value"].to_pylist()[0])
    refused(hc.InvalidRequest, lambda: plant.replace(new, START, START + 2, reason="outside"), "")
    refused(ValueError, lambda: plant.replace({"tag": ["fix/i"], "timestamp": pa.array([START], NS), "value": [1.5]}, START, START + 9, reason="x"), "fix/i", "i64")
    refused(ValueError, lambda: plant.replace({"tag": [], "value": []}, START, START + 9, reason="x"), "timestamp")
    refused(ValueError, lambda: plant.replace(new.slice(0, 0), START, START + 9, reason="x"), "tags=")


def test_one_sample_is_edited():
    plant.create_tag("fix/mode", "state", state_set=["off", "on"])
    put("fix/mode", [(0, 0), (SECOND, 0)])
    done = plant.edit("fix/mode", START + SECOND, "on", reason="seen by the shift")
    assert (done.deleted, done.samples) == (1, 1) and plant.range("fix/mode", START, START + 9 * SECOND)["value"].to_pylist() == [0, 1]
    assert plant.edit("fix/mode", "2026-01-01T01:00:00.5", "off", zone="Europe/Berlin", reason="missing").deleted == 0
    assert nanoseconds(plant.range("fix/mode", START, START + 9 * SECOND)["timestamp"]) == [START, START + SECOND // 2, START + SECOND]
    assert plant.edit("fix/mode", START, None, quality=BAD_SENSOR_FAILURE, reason="broken").samples == 1
    assert plant.range("fix/mode", START, START + 1)["quality"].to_pylist() == [BAD_SENSOR_FAILURE]
    refused(ValueError, lambda: plant.edit("fix/mode", START, "open", reason="x"), "off, on")
    refused(hc.InvalidRequest, lambda: plant.edit("fix/mode", START, None, reason="x"), "quality")
    entries = [row for row in audit() if row.get("action") == "replace_range" and "fix/mode" in row.get("tags", [])]
    assert [row["detail"] for row in entries if "seen by the shift" in row["detail"]], entries


def audit():
    """As the command line tells it."""
    command = [os.environ["HISTORIAN_BINARY"], "audit", "--format", "json", "--server", plant.url]
    return [json.loads(line) for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()]


def test_the_server_tells_of_itself():
    status = plant.status()
    assert status["version"] == plant_version() and status["accepting_writes"] is True and status["no_room"] == "" and status["tls"] is None
    assert dt.datetime.now(UTC) - status["start_time"] < dt.timedelta(hours=1) and status["watermark"] > 0
    collectors = plant.collectors()
    assert len(collectors) == 0 and {"device", "state", "items_delivering", "last_error", "undelivered"} <= set(collectors.column_names)
    assert plant.gaps().column_names == ["number", "time", "tag", "start", "end", "reason", "detail"]
    who = plant.whoami()
    assert who["expires"] is None and {right["right"] for right in who["rights"]} >= {"read", "write"}


def plant_version():
    with hc.connect(plant.url) as asked:
        return asked.server_version


# Statements with values. What they mean is DuckDB's to judge, on the same samples.

BOUND = [
    ("value = ?", [5.0], "value = 5.0"),
    ("value BETWEEN ? AND ?", [np.float32(2.5), np.int64(7)], "value BETWEEN 2.5 AND 7"),
    ("timestamp >= ?", [dt.datetime(2026, 1, 1, 0, 0, 3)], f"instant >= {START + 3 * SECOND}"),
    ("timestamp >= ?", [dt.datetime(2026, 1, 1, 1, 0, 3, tzinfo=dt.timezone(dt.timedelta(hours=1)))], f"instant >= {START + 3 * SECOND}"),
    ("timestamp > ?", [pd.Timestamp(START + 3 * SECOND + 1, tz="UTC")], f"instant > {START + 3 * SECOND + 1}"),
    ("timestamp > ?", [pd.Timestamp(START + 3 * SECOND + 1, tz="UTC").tz_convert("Asia/Tokyo")], f"instant > {START + 3 * SECOND + 1}"),
    ("timestamp <= ?", [np.datetime64(START + 3 * SECOND + 1, "ns")], f"instant <= {START + 3 * SECOND + 1}"),
    ("timestamp <= ?", [pa.scalar(START + 3 * SECOND + 2, NS)], f"instant <= {START + 3 * SECOND + 2}"),
    ("CAST(timestamp AS DATE) = ?", [dt.date(2026, 1, 1)], "true"),
    ("text = ?", ["it's; DROP TABLE samples --"], "text LIKE 'it%'"),
    ("quality = ? AND tag LIKE ?", [BAD_SENSOR_FAILURE, "bound/%"], "value IS NULL AND text IS NULL"),
    ("coalesce(?, value) = ?", [None, 4], "value = 4"),
    ("value < ? OR (value > 7) = ?", [decimal.Decimal("2.5"), True], "value < 2.5 OR value > 7"),
]


@pytest.mark.parametrize(("condition", "values", "literal"), BOUND)
def test_values_are_bound_and_never_part_of_the_text(condition, values, literal):
    put("bound/a", [(at * SECOND, float(at), 0) for at in range(9)] + [(9 * SECOND, None, BAD_SENSOR_FAILURE), (3 * SECOND + 2, 3.0, 0)])
    put("bound/t", [(0, "it's; DROP TABLE samples --"), (SECOND, "other")])
    samples = plant.sql("SELECT tag, CAST(timestamp AS BIGINT) AS instant, value, text FROM samples WHERE tag IN ('bound/a', 'bound/t')")  # noqa: F841
    judge = duckdb.sql(f"SELECT tag, instant FROM samples WHERE {literal} ORDER BY 1, 2").fetchall()
    asked = plant.sql(f"SELECT tag, timestamp FROM samples WHERE tag IN ('bound/a', 'bound/t') AND ({condition}) ORDER BY 1, 2", values)
    assert list(zip(asked["tag"].to_pylist(), nanoseconds(asked["timestamp"]))) == judge and 0 < len(judge)


def test_a_statement_takes_as_many_values_as_it_has_places():
    assert plant.sql("SELECT $1 + $2 AS sum, $1 AS first", [2, 40]).to_pylist() == [{"sum": 42, "first": 2}]
    assert plant.sql("SELECT 1 AS one", []).to_pylist() == [{"one": 1}]
    assert plant.sql("SELECT count(*) AS n FROM samples WHERE tag = ?", ["no/such"]).to_pylist() == [{"n": 0}]
    big = plant.sql("SELECT CAST(? AS BIGINT UNSIGNED) AS big", [2**64 - 1])["big"].to_pylist()
    assert big == [2**64 - 1]
    put("bound/r", [(0, 1.0), (SECOND, 2.0)])
    assert plant.sql("SELECT value FROM range(?, ?, ?)", ["bound/r", "2026-01-01", "2026-01-02"])["value"].to_pylist() == [1.0, 2.0]
    for values in ([1, 2], [], None):
        refused(hc.HistorianError, lambda: plant.sql("SELECT value FROM samples WHERE value = ?", values), "")
    refused(TypeError, lambda: plant.sql("SELECT ?", "x"), "list or tuple")
    refused(TypeError, lambda: plant.sql("SELECT ?", {"a": 1}), "list or tuple")
    refused(TypeError, lambda: plant.sql("SELECT ?", [[1, 2]]), "parameters[0]")
    refused(TypeError, lambda: plant.sql("SELECT ?", [object()]), "parameters[0]")
    refused(hc.InvalidRequest, lambda: plant.sql("SELEKT ?", [1]), "SELEKT")
    # Statements are closed: far more than are kept.
    for number in range(1_100):
        assert plant.sql("SELECT ? AS n", [number]).to_pylist() == [{"n": number}]


# CSV.

TEXTS = ['plain', 'with, comma', 'with "quotes"', "two\nlines", "", " edge ", "ü-€", '"', "=1+1"]


@pytest.fixture(scope="module")
def csv_written():
    put("csv/text", [(at * SECOND, text) for at, text in enumerate(TEXTS)])
    put("csv/i", [(at, 2**62 + at) for at in range(3)], pa.int64())
    put("csv/u", [(0, 2**64 - 1)], pa.uint64())
    put("csv/on", [(0, True), (1_500_000, False)])
    put("csv/f", [(at * 100_000_000, value, code) for at, (value, code) in enumerate([(0.1, 0), (1e300, 0), (-0.0, 0), (1 / 3, 0x40000000), (None, BAD_SENSOR_FAILURE)])])


def test_an_export_into_csv_is_csv(csv_written, tmp_path):
    done = plant.export("csv/text", START, "2026-01-02", tmp_path / "text.csv")
    raw = (tmp_path / "text.csv").read_bytes()
    assert done.rows == len(TEXTS) and raw.startswith(b"tag,timestamp,value,quality,type\r\n") and raw.endswith(b"\r\n")
    with open(tmp_path / "text.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert [row[2] for row in rows[1:]] == TEXTS and {len(row) for row in rows} == {5}
    assert rows[1] == ["csv/text", "2026-01-01T00:00:00Z", "plain", "0", "string"]
    plant.export("csv/f", START, "2026-01-02", tmp_path / "f.csv")
    told = [line.split(",") for line in (tmp_path / "f.csv").read_text().splitlines()][1:]
    assert [row[1] for row in told] == ["2026-01-01T00:00:00Z"] + [f"2026-01-01T00:00:00.{at}Z" for at in range(1, 5)]
    assert [float(row[2]) for row in told[:4]] == [0.1, 1e300, -0.0, 1 / 3] and told[2][2].startswith("-") and told[4][2:] == ["", str(BAD_SENSOR_FAILURE), "f64"]
    read = duckdb.sql(f"SELECT count(*), count(value), max(quality) FROM read_csv('{tmp_path}/f.csv', strict_mode = true)").fetchall()
    assert read == [(5, 4, BAD_SENSOR_FAILURE)]


def test_what_csv_has_is_imported_as_it_was(csv_written, tmp_path):
    plant.export("csv/*", START, "2026-01-02", tmp_path / "all.csv")
    text = (tmp_path / "all.csv").read_bytes().decode()
    assert text.splitlines()[0] == "tag,timestamp,value,quality,text,integer,type"
    (tmp_path / "copy.csv").write_bytes(text.replace("csv/", "csvcopy/").encode())
    command = [os.environ["HISTORIAN_BINARY"], "import", tmp_path / "copy.csv", "--create-tags", "--server", plant.url]
    subprocess.run(command, check=True, capture_output=True)
    for tag in ("text", "i", "u", "on", "f"):
        mine, theirs = (plant.range(f"{folder}/{tag}", START, "2026-01-02").drop(["tag"]) for folder in ("csv", "csvcopy"))
        assert mine.equals(theirs) and mine.schema.field("value").type == theirs.schema.field("value").type, tag


def test_a_directory_of_csv_has_the_whole(csv_written, tmp_path):
    done = plant.export("many/*", START, "2026-01-02", tmp_path / "parts", format="csv")
    files = [file.name for file in done.files]
    assert all(name.endswith(".csv") for name in files) and done.rows == 10_500
    assert duckdb.sql(f"SELECT count(DISTINCT tag) FROM read_csv('{tmp_path}/parts/*.csv')").fetchall() == [(10_500,)]
    assert plant.export("many/*", START, "2026-01-02", tmp_path / "parts", format="csv").skipped == len(files)
    assert plant.export("csv/text", "2020-01-01", "2020-01-02", tmp_path / "none.csv").rows == 0
    assert (tmp_path / "none.csv").read_text().splitlines() == ["tag,timestamp,value,quality,type"]
    refused(ValueError, lambda: plant.export("csv/f", START, "2026-01-02", tmp_path / "x.csv", compression="zstd"), "CSV")
    refused(ValueError, lambda: plant.export("csv/f", START, "2026-01-02", tmp_path / "x", format="excel"), "csv")
