"""Writing through every door, and what it leaves. Each request changes what is stored."""

import pyarrow as pa
from asked.question import ALL, NOON, call, cli, get, put
from data import BAD, DAY, GOOD, SECOND, START, UTC, columns, rows


def everything():
    at = START + 20 * DAY
    f64 = lambda tag, *samples: rows(tag, [(at + offset * SECOND, value, quality) for offset, value, quality in samples], pa.float64())
    create = {"write": {"create_tags": True}}
    yield put("new tag", create, f64("new/one", (0, 1.0, GOOD), (1, None, BAD)))
    yield put("several batches", create, f64("new/one", (3, 3.0, GOOD)).slice(0, 0), f64("new/one", (2, 2.0, GOOD)), f64("new/one", (3, 3.0, GOOD)))
    yield put("protobuf", ("WriteRequest", {"mode": "MODE_INSERT"}), f64("new/one", (3, 9.0, GOOD), (4, 4.0, GOOD)))
    yield put("integers into floats", {"write": {}}, rows("new/one", [(at + 5 * SECOND, 7, GOOD)], pa.int32()))
    yield put("interval", {"write": {"durability": "INTERVAL"}}, f64("new/one", (6, 6.0, GOOD)))
    yield put("too far ahead", {"write": {}}, rows("new/one", [(at + 7 * SECOND, 1.0, GOOD), (9_000_000_000 * SECOND, 1.0, GOOD)], pa.float64()))
    yield put("refused unknown tag", {"write": {}}, f64("new/none", (0, 1.0, GOOD)))
    yield put("refused value", {"write": {}}, rows("odd/signed", [(at, 2.5, GOOD)], pa.float64()))
    yield put("refused text", {"write": {}}, rows("new/one", [(at, "x", GOOD)], pa.utf8()))
    yield put("refused null that is Good", {"write": {}}, f64("new/one", (0, None, GOOD)))
    yield put("refused schema", {"write": {}}, pa.record_batch({"tag": pa.array(["new/one"]), "value": pa.array([1.0])}))
    yield put("refused column type", {"write": {}}, pa.record_batch({"tag": pa.array(["new/one"]), "timestamp": pa.array([1]), "value": pa.array([1.0])}))
    yield put("refused name", create, f64("new//one", (0, 1.0, GOOD)))
    yield put("refused option", {"write": {"mode": "MERGE"}}, f64("new/one", (0, 1.0, GOOD)))
    yield put("refused command", {"range": {"tags": ["**"]}}, f64("new/one", (0, 1.0, GOOD)))
    yield put("refused after an acknowledgement", {"write": {}}, f64("new/one", (8, 8.0, GOOD)), f64("new/none", (0, 1.0, GOOD)))

    write = lambda *samples, **options: {"options": options, "samples": list(samples)}
    yield call("WriteSamples", "WriteService/WriteSamples", write(columns("new/two", "bool", [(at, True, GOOD), (at + 1, None, BAD)]), columns("new/one", "f64", [(at + 9 * SECOND, 9.0, GOOD)]), createTags=True))
    wrong = {**columns("new/one", "f64", [(at, 1.0, GOOD)]), "timestamps": [str(at), str(at + 1)]}
    yield call("WriteSamples in part", "WriteService/WriteSamples", write(columns("no/such", "f64", [(at, 1.0, GOOD)]), columns("new/one", "string", [(at, "x", GOOD)]), wrong, columns("new/two", "bool", [(at + 2, False, GOOD)])))
    yield call("WriteSamples too far ahead", "WriteService/WriteSamples", write(columns("new/one", "f64", [(9_000_000_000 * SECOND, 1.0, GOOD), (at + 10 * SECOND, 1.0, GOOD)])))
    yield call("WriteSamples nothing", "WriteService/WriteSamples", {})
    stream = [write(columns("new/one", "f64", [(at + (20 + number) * SECOND, number / 2, GOOD)])) for number in range(5)]
    yield call("WriteSamplesStream", "WriteService/WriteSamplesStream", [write(columns("no/such", "f64", [(at, 1.0, GOOD)])), *stream])
    bounds = {"start": "2025-11-13", "end": "2025-11-13T00:00:02Z"}
    yield call("DeleteRange", "WriteService/DeleteRange", {"tags": ["new/*"], **bounds, "reason": "a test"})
    yield call("DeleteRange without a reason", "WriteService/DeleteRange", {"tags": ["new/*"], **bounds})
    yield call("DeleteRange of an unknown tag", "WriteService/DeleteRange", {"tags": ["no/such"], **bounds, "reason": "x"})
    yield call("DeleteRange without an end", "WriteService/DeleteRange", {"tags": ["new/*"], "start": "2025-11-13", "reason": "x"})
    yield call("ReplaceRange", "WriteService/ReplaceRange", {**bounds, "reason": "a test", "samples": [columns("new/one", "f64", [(at + SECOND, 11.0, GOOD)])]})
    yield call("ReplaceRange outside", "WriteService/ReplaceRange", {**bounds, "reason": "x", "samples": [columns("new/one", "f64", [(at + DAY, 11.0, GOOD)])]})
    tag = {"name": "new/three", "valueType": "VALUE_TYPE_I64", "unit": "1", "description": "made"}
    yield call("CreateTag", "TagService/CreateTag", {"tag": tag})
    yield call("CreateTag again", "TagService/CreateTag", {"tag": tag})
    yield call("CreateTag bad name", "TagService/CreateTag", {"tag": {**tag, "name": "new/*"}})
    yield call("CreateTag without a type", "TagService/CreateTag", {"tag": {"name": "new/four"}})
    yield call("UpdateTag", "TagService/UpdateTag", {"tag": {"name": "new/three", "unit": "kg", "rangeHigh": 5}, "updateMask": "unit,rangeHigh"})
    yield call("UpdateTag type", "TagService/UpdateTag", {"tag": {"name": "new/three", "valueType": "VALUE_TYPE_F64"}})
    yield call("UpdateTag bad mask", "TagService/UpdateTag", {"tag": {"name": "new/three"}, "updateMask": "colour"})
    yield call("RetypeTag", "TagService/RetypeTag", {"name": "new/three", "valueType": "VALUE_TYPE_F64"})
    yield call("RetypeTag same", "TagService/RetypeTag", {"name": "new/three", "valueType": "VALUE_TYPE_F64"})
    yield call("RenameTag", "TagService/RenameTag", {"name": "new/three_i64", "newName": "new/before", "reason": "a test"})
    yield call("RenameTag taken", "TagService/RenameTag", {"name": "new/before", "newName": "new/three"})
    yield call("RenameTag unknown", "TagService/RenameTag", {"name": "new/three_i64", "newName": "new/x"})
    yield call("RenameTag bad name", "TagService/RenameTag", {"name": "new/before", "newName": "new/*"})
    yield call("DeleteTag", "TagService/DeleteTag", {"name": "new/two", "reason": "a test"})
    yield call("DeleteTag unknown", "TagService/DeleteTag", {"name": "new/two"})
    yield put("refused beyond the tags there may be", create, pa.record_batch({"tag": pa.array([f"over/{number}" for number in range(40)]), "timestamp": pa.array([at] * 40, UTC), "value": pa.array([1.0] * 40)}))

    csv = "timestamp,value,quality\n2025-11-14T00:00:00Z,1.5,0\n2025-11-14T00:00:01Z,,0x80310000\n2025-11-14T00:00:01Z,2.5,0\n"
    yield cli("import", "import", "in.csv", "--tag", "new/imported", "--create-tags", files={"in.csv": csv})
    yield cli("import with mistakes", "import", "in.csv", "--tag", "new/imported", files={"in.csv": "timestamp,value\nnever,1\n2025-11-14,one\n"})
    yield cli("tag import", "tag", "import", "tags.csv", files={"tags.csv": "name,type,unit\nnew/imported,f64,bar\nnew/listed,bool,\n"})
    yield cli("tag import with mistakes", "tag", "import", "tags.csv", files={"tags.csv": "name,type,unit\nnew/imported,i64,bar\n"})
    yield cli("tag retype", "tag", "retype", "new/listed", "state")
    yield cli("replace", "replace", "in.csv", "--tag", "new/imported", "--start", "2025-11-14", "--end", "2025-11-15", "--reason", "a test", "--yes", files={"in.csv": "timestamp,value\n2025-11-14T01:00:00Z,3\n"})
    yield cli("delete", "delete", "new/imported", "--start", "2025-11-14", "--end", "2025-11-15", "--reason", "a test", "--yes", "--format", "json")
    yield cli("compact", "compact")
    # What all of it has left.
    yield get("after writing", {"range": {"tags": ["new/**"], **ALL}})
    yield get("after writing superseded", {"superseded": {"tags": ["new/**"], **ALL}})
    yield call("ListTags after writing", "TagService/ListTags", {"tags": ["new/**"]})
    yield call("ListAuditEntries after writing", "AdminService/ListAuditEntries", {})
    yield call("Range after compaction", "QueryService/Range", {"tags": ["plant/**"], **NOON})
    yield call("Superseded after compaction", "QueryService/Superseded", {"tags": ["plant/boiler/temperature"], **NOON})
    yield call("InspectTags after compaction", "AdminService/InspectTags", {})
