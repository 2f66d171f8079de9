"""The published examples of OPC UA Part 13 (tests/conformance/opcua-part13) through the Flight interface.

The raw samples of each example historian are written with DoPut; each table is asked for with DoGet, and compared row by row: value (within
6e-3), time, status and info bits.
"""

import json
import re

import pytest

from lib import INFO_BITS, INFO_TYPE, ROOT, SECOND, STATUSES, get, nanoseconds, put
from web import ask

VECTORS = ROOT / "tests/conformance/opcua-part13"
BASE = 1_767_268_800_000_000_000  # 2026-01-01T12:00:00Z
TABLES = json.loads((VECTORS / "expected.json").read_text())["tables"]


@pytest.fixture(scope="module", autouse=True)
def written():
    for name, historian in json.loads((VECTORS / "raw.json").read_text())["historians"].items():
        # The archive begins with what is no sample.
        samples = [sample for sample in historian["samples"] if not (sample["t"] == 0 and sample["status"] == "BadNoData")]
        times = [BASE + round(sample["t"] * SECOND) for sample in samples]
        # One of them holds truth values, of which the tables have the numbers.
        values = [None if sample["value"] is None else float(sample["value"]) for sample in samples]
        put(f"part13/{name}", times, values, [STATUSES[sample["status"]] for sample in samples])
        for time in times:
            # The tables count annotations as if each sample had one.
            ask("annotations/create", {"tags": [f"part13/{name}"], "start": f"{time}ns", "text": "of a sample"})


@pytest.mark.parametrize("table", TABLES, ids=[table["id"] for table in TABLES])
def test_a_published_table_is_met_in_value_time_status_and_bits(table):
    answer = get({"aggregate": {
        "tags": [f"part13/{table['historian']}"],
        "start": BASE + round(table["start_s"] * SECOND),
        "end": BASE + round(table["end_s"] * SECOND),
        "interval": f"{table['processing_interval_ms']}ms",
        "functions": [re.sub(r"(?<!^)(?=[A-Z])", "_", table["aggregate"]).lower()],
        "configuration": table["config"],
    }})
    assert answer.num_rows == len(table["expected"])
    rows = zip(nanoseconds(answer["timestamp"]), answer["value"].to_pylist(), answer["quality"].to_pylist())
    wrong = []
    for number, (expected, (time, value, quality)) in enumerate(zip(table["expected"], rows)):
        wanted = expected["value"]
        if isinstance(wanted, str):
            same_value = value == STATUSES[wanted]
        else:
            same_value = value is None if wanted is None else value is not None and abs(value - wanted) <= 6e-3
        bits = {bit for bit, mask in INFO_BITS.items() if quality & INFO_TYPE and quality & mask}
        same_status = quality & 0xFFFF_0000 == STATUSES[expected["status"]] and bits == set(expected["bits"])
        if not (same_value and same_status and time == BASE + round(expected["t"] * SECOND)):
            wrong.append(f"row {number}: {expected}; found value {value}, quality {quality:#010x}, time {(time - BASE) / SECOND}")
    assert not wrong, "\n".join(wrong)


def test_all_published_tables_are_here():
    assert (len(TABLES), sum(len(table["expected"]) for table in TABLES)) == (106, 906)
