"""What the historian collected, read through pyarrow.flight and compared bit for bit with what the devices held: the JSON of HISTORIAN_EXPECTED,

  {"exact": {tag: [[timestamp_ns, value, quality], ...]},   every sample of the tag, in order, and no other
   "steady": {tag: value},                                  at least `samples_min` samples, each Good with this very value
   "samples_min": n}

In the phase `ended` each tag must have one sample more, its last: null and BadNotConnected, since it is collected no more.
"""

import json
import os
import pathlib
import struct

import pytest

from lib import PHASE, get, nanoseconds

BAD_NOT_CONNECTED = 0x808A_0000


@pytest.fixture(scope="module")
def expected():
    return json.loads(pathlib.Path(os.environ["HISTORIAN_EXPECTED"]).read_text(encoding="utf-8"))


def bits(value):
    """Floats by their bits, so that -0.0 and 0.0 differ; everything else as it is."""
    return struct.pack("<d", value) if isinstance(value, float) else value


def samples(tag):
    table = get({"range": {"tags": [tag], "start": 0, "end": "*+1d"}})
    assert set(table.column("tag").to_pylist()) <= {tag}, tag
    found = list(zip(nanoseconds(table.column("timestamp")), table.column("value").to_pylist(), table.column("quality").to_pylist()))
    if PHASE == "ended":
        assert found and found[-1][1:] == (None, BAD_NOT_CONNECTED), f"{tag}: {found[-1:]}"
        del found[-1]
    return found


def test_each_change_of_a_value_is_there_once_bit_for_bit(expected):
    assert expected["exact"]
    for tag, wanted in expected["exact"].items():
        found = [(time, bits(value), quality) for time, value, quality in samples(tag)]
        assert found == [(time, bits(value), quality) for time, value, quality in wanted], tag


def test_a_value_that_holds_is_there_at_every_poll_bit_for_bit(expected):
    """Read one after another while polling goes on: a later tag may have some samples more, none may have fewer than was there at first."""
    assert expected["steady"]
    for tag, value in expected["steady"].items():
        found = samples(tag)
        times = [time for time, _, _ in found]
        assert times == sorted(set(times)), f"{tag}: doubled or out of order"
        wrong = [sample for sample in found if bits(sample[1]) != bits(value) or sample[2] != 0]
        assert not wrong, f"{tag}: {wrong[:3]} for {value}"
        assert len(found) >= expected["samples_min"], (tag, len(found))
