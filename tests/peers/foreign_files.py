"""Files of samples as other programs write them, into the directory that is named: pandas, pyarrow, Python's csv."""

import csv
import datetime as dt
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

directory = Path(sys.argv[1])

# Milliseconds since 1970 in an integer, as from a Unix epoch.
pd.DataFrame({"tag": "epoch", "timestamp": [1_767_225_600_000, 1_767_225_601_000], "value": [1.5, 2.5]}).to_parquet(directory / "epoch_ms.parquet")

# Qualities of OPC DA, in the type that pandas gives them.
times = pd.to_datetime(["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"])
pd.DataFrame({"tag": "da", "timestamp": times, "value": [1.0, 2.0], "Quality": [192, 24]}).to_parquet(directory / "opcda.parquet")

# Timestamps without a zone.
local = pd.to_datetime(["2026-01-01T00:00:00", "2026-01-01T01:00:00"])
pd.DataFrame({"tag": "local", "timestamp": local, "value": [1.0, 2.0]}).to_parquet(directory / "zoneless.parquet")
spring = pd.to_datetime(["2026-03-29T01:30:00", "2026-03-29T02:30:00"])
pd.DataFrame({"tag": "spring", "timestamp": spring, "value": [1.0, 2.0]}).to_parquet(directory / "spring.parquet")

# Excel's "CSV UTF-8": a byte order mark, CR LF, and rows that were emptied.
with open(directory / "excel_bom.csv", "w", encoding="utf-8-sig", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["Tag", "Timestamp", "Value", ""])
    rows.writerow(["excel", "2026-01-01 00:00:00", "1.5", ""])
    rows.writerow(["excel", "2026-01-01 00:01:00", "#N/A", ""])
    rows.writerow(["", "", "", ""])

# One row per type, as an export has them.
kinds = ["f64", "f32", "i64", "u64", "bool", "string", "state"]
table = pa.table(
    {
        "tag": pa.array([f"t/{kind}" for kind in kinds]).dictionary_encode(),
        "timestamp": pa.array([dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)] * len(kinds), pa.timestamp("ns", "UTC")),
        "value": pa.array([0.1, float(np.float32(0.1)), -9007199254740992.0, 18446744073709551616.0, 1.0, None, 2.0]),
        "quality": pa.array([0] * len(kinds), pa.uint32()),
        "text": pa.array([None] * 5 + ["007", None]),
        "integer": pa.array([None, None, Decimal(-9007199254740993), Decimal(18446744073709551615), None, None, None], pa.decimal128(20, 0)),
        "type": pa.array(kinds),
    }
)
pq.write_table(table, directory / "long.parquet")
plain = table.set_column(0, "tag", table["tag"].cast(pa.string()))
pa.csv.write_csv(plain, directory / "long.csv")
