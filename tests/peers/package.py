"""The Python package of clients/python, a connection of it, and what its cases share."""

import sys

import lib
import pyarrow as pa

sys.path.insert(0, str(lib.ROOT / "clients/python/src"))

import historian_client as hc

# Collected without a historian, cases only have to be importable.
plant = hc.connect(lib.URI, connect_s=None)
MINUTE = 60 * lib.SECOND


def put(tag, samples, kind=None):
    """Writes samples by the package: moments behind START, a value, a quality where it is not Good; the watermark behind them."""
    times, values, *qualities = zip(*samples)
    columns = {"tag": [tag] * len(times), "timestamp": pa.array([lib.START + at for at in times], lib.NS), "value": pa.array(values, kind)}
    return plant.write(columns | ({"quality": pa.array(qualities[0], pa.uint32())} if qualities else {}), create_tags=True).watermark
