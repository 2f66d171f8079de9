"""Exports by the Python package: in parallel into a directory, into one file, taken up again, held against one answer."""

import json
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib import ADDRESS, NS, START, refused
from package import hc, plant

big = np.arange(300_000, dtype=np.int64)
SPAN = ("2026-01-01", "2026-02-01")


@pytest.fixture(scope="module")
def whole():
    """What is exported, as one answer."""
    for line in range(4):
        rows = {"tag": [f"export/{line}"] * len(big), "timestamp": pa.array(START + big * 10**9, NS), "value": big + line * 0.5}
        plant.write(pa.table(rows), create_tags=True, durability="INTERVAL")
    whole = plant.range("export/**", *SPAN)
    assert len(whole) == 4 * len(big)
    return whole


def same(tables, whole):
    joined = pa.concat_tables([part.select(whole.column_names).cast(whole.schema) for part in tables])
    for column in ("tag", "timestamp", "value", "quality"):
        kind = pa.utf8() if column == "tag" else whole.schema.field(column).type
        assert joined[column].cast(kind).combine_chunks().equals(whole[column].cast(kind).combine_chunks()), column


def test_a_directory_has_the_whole_in_parts_and_the_same_again_fetches_nothing(whole, tmp_path):
    told = []
    done = plant.export("export/**", *SPAN, tmp_path / "all", workers=3, progress=told.append)
    assert done.rows == len(whole) and done.skipped == 0 and len(done.files) > 1, done
    same((pq.read_table(file) for file in done.files), whole)
    assert (told[-1].parts, told[-1].rows) == (len(done.files), len(whole)), told[-1]
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["export.json", *(file.name for file in done.files)]
    metadata = pq.read_metadata(done.files[0])
    assert metadata.row_group(0).column(2).compression == "ZSTD", metadata.row_group(0).column(2)

    # The same again fetches nothing; without one part, that part alone.
    before = {file: file.stat().st_mtime_ns for file in done.files}
    assert plant.export("export/**", *SPAN, tmp_path / "all").skipped == len(done.files)
    done.files[1].unlink()
    assert plant.export("export/**", *SPAN, tmp_path / "all").skipped == len(done.files) - 1
    changed = [file for file in done.files if file.stat().st_mtime_ns != before[file]]
    assert changed == [done.files[1]], changed
    refused(FileExistsError, lambda: plant.export("export/0", *SPAN, tmp_path / "all"), "overwrite=True")
    assert plant.export("export/0", *SPAN, tmp_path / "all", overwrite=True).rows == len(big)
    assert len(list((tmp_path / "all").glob("part-*"))) == 1, "parts of the other export are gone"


def test_an_export_that_was_interrupted_is_taken_up_by_another_client(whole, tmp_path):
    # Interrupted after its first part, taken up by another client.
    class Interrupted(Exception):
        pass

    def interrupt(now):
        if now.parts == 1:
            raise Interrupted

    try:
        plant.export("export/**", *SPAN, tmp_path / "cut", workers=1, progress=interrupt)
        raise AssertionError("not interrupted")
    except Interrupted:
        pass
    manifest = json.loads((tmp_path / "cut/export.json").read_text())
    there = [part for part in manifest["parts"] if part["rows"] is not None]
    assert len(there) == 1 and not manifest["complete"] and not list((tmp_path / "cut").glob("*.partial")), manifest
    with hc.connect(ADDRESS) as other:
        taken_up = other.export("export/**", *SPAN, tmp_path / "cut")
    assert taken_up.skipped == 1 and taken_up.rows == len(whole)
    same((pq.read_table(file) for file in taken_up.files), whole)


def test_relative_times_mean_other_samples_each_time(whole, tmp_path):
    plant.export("export/**", 0, "*", tmp_path / "now")
    assert plant.export("export/**", 0, "*", tmp_path / "now").skipped == 0


@pytest.mark.parametrize(("name", "load"), [("one.parquet", pq.read_table), ("one.arrow", lambda path: pa.ipc.open_file(path).read_all())])
def test_one_file_of_each_kind_has_the_whole(name, load, whole, tmp_path):
    done = plant.export("export/**", *SPAN, tmp_path / name)
    assert done.files == [tmp_path / name] and done.rows == len(whole)
    same([load(tmp_path / name)], whole)


def test_an_export_of_nothing_has_its_columns(whole, tmp_path):
    none = plant.export("nothing/**", *SPAN, tmp_path / "none.parquet")
    assert pq.read_table(none.files[0]).column_names == [*whole.column_names, "type"]


def test_tags_of_several_types_are_exported_with_all_that_an_import_needs(tmp_path):
    """Exact integers and types among them."""
    huge = 2**63 + 1
    for name, values in (("mixed/count", pa.array([huge], pa.uint64())), ("mixed/level", pa.array([0.5])), ("mixed/note", pa.array(["on"]))):
        plant.write(pa.table({"tag": [name], "timestamp": pa.array([START], NS), "value": values}), create_tags=True)
    for name in ("mixed.parquet", "mixed"):
        read = pa.concat_tables([pq.read_table(file) for file in plant.export("mixed/**", *SPAN, tmp_path / name).files])
        assert [str(kind) for kind in read["type"].to_pylist()] == ["u64", "f64", "string"], read
        assert [None if value is None else int(value) for value in read["integer"].to_pylist()] == [huge, None, None], read
        assert read["text"].to_pylist() == [None, None, "on"]


def test_arrow_files_in_parts_are_the_whole(whole, tmp_path):
    arrow = plant.export("export/**", *SPAN, tmp_path / "arrow", format="arrow", compression="lz4")
    same((pa.ipc.open_file(file).read_all() for file in arrow.files), whole)


def test_a_connection_that_fails_leaves_no_file(tmp_path):
    refused(hc.ConnectionFailed, lambda: hc.connect("127.0.0.1:1").export("x", 0, "1ns", tmp_path / "gone.parquet"), "refused")
    assert not list(tmp_path.glob("gone*"))
    refused(ValueError, lambda: plant.export("x", 0, "1ns", tmp_path / "x", format="xlsx"), "format")


def test_one_client_serves_several_threads(whole):
    threads = [threading.Thread(target=lambda: told.append(len(plant.range("export/0", *SPAN)))) for _ in range(4)]
    told = []
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [len(big)] * 4, told
