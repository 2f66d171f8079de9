"""The data set of the recording: tags and samples of every type and quality, written through Flight and gRPC in a fixed order. Only integers and
exact floats are calculated, so that every machine has the same bits."""

import struct

import pyarrow as pa

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
# Friday, 2025-10-24T00:00:00Z. On the Sunday clocks go back in Berlin, so that days of 25 hours are among the answers.
START = 1_761_264_000 * SECOND

GOOD, UNCERTAIN, BAD = 0, 0x4000_0000, 0x8000_0000
UNCERTAIN_SUBNORMAL, BAD_NO_DATA, BAD_COMMUNICATION = 0x4095_0000, 0x809B_0000, 0x8031_0000

UTC = pa.timestamp("ns", "UTC")
CREATE = {"write": {"mode": "UPSERT", "durability": "SYNC", "create_tags": True}}
WRITE = {"write": {}}

# Tags with all of their metadata. Others are made by what is written.
TAGS = [
    {"name": "plant/boiler/temperature", "valueType": "VALUE_TYPE_F64", "unit": "Cel", "description": "Steam, after the superheater", "rangeLow": 0, "rangeHigh": 150},
    {"name": "plant/boiler/pressure", "valueType": "VALUE_TYPE_F32", "unit": "bar", "description": "Drum", "rangeLow": 0, "rangeHigh": 12.5},
    {"name": "plant/boiler/setpoint", "valueType": "VALUE_TYPE_F64", "unit": "Cel", "stepped": True},
    {"name": "plant/line/state", "valueType": "VALUE_TYPE_STATE", "description": "Press", "stateSet": ["idle", "running", "fault", "größer"]},
    {"name": "plant/line/running", "valueType": "VALUE_TYPE_BOOL", "stepped": True},
    {"name": "plant/line/counter", "valueType": "VALUE_TYPE_U64", "description": "Pieces, 16 bits", "stepped": True},
    {"name": "plant/line/flow", "valueType": "VALUE_TYPE_F64", "unit": "m3/h"},
    {"name": "plant/line/empty", "valueType": "VALUE_TYPE_F64"},
]


def noise(number):
    """A number from 0 to 1 that looks like chance, exact in a double."""
    number = (number * 2_654_435_761 + 12_345) & 0xFFFF_FFFF
    number = ((number ^ number >> 16) * 0x45D9_F3B) & 0xFFFF_FFFF
    return (number ^ number >> 16) / 2**32


def triangle(number, period):
    place = number % period
    return min(place, period - place) / period


def rows(tag, samples, kind):
    """A record batch of (time, value, quality)."""
    times, values, qualities = zip(*samples)
    return pa.record_batch(
        {
            "tag": pa.array([tag] * len(times)).dictionary_encode(),
            "timestamp": pa.array(times, UTC),
            "value": pa.array(values, kind, from_pandas=False),
            "quality": pa.array(qualities, pa.uint32()),
        }
    )


def temperature(alter):
    """A minute apart for four days; three hours missing, Bad runs without and Uncertain ones with a value, spikes, a flat hour."""
    for number in range(4 * 1440):
        if 1800 <= number < 1980:
            continue
        value = 60 + 40 * triangle(number, 1440) + round(noise(number) * 64) / 64
        quality = GOOD
        if number % 977 == 0:
            value += 50
        if 3000 <= number < 3060:
            value = 75.5
        if 700 <= number < 715:
            value, quality = None, BAD_COMMUNICATION
        elif 2400 <= number < 2430:
            quality = UNCERTAIN_SUBNORMAL
        elif number % 1013 == 7:
            quality = BAD
        if alter and number == 4321:
            value = struct.unpack("<d", struct.pack("<q", struct.unpack("<q", struct.pack("<d", value))[0] + 1))[0]
        yield START + number * MINUTE, value, quality


def pressure():
    for number in range(8640):
        yield START + number * 10 * SECOND, round((6 + 4 * triangle(number, 1200) + noise(number) / 8) * 256) / 256, UNCERTAIN if number % 1111 == 5 else GOOD


def setpoint():
    for number in range(40):
        yield START + number * 2 * HOUR + 17 * SECOND, float(60 + number * 7 % 25), BAD_NO_DATA if number == 30 else GOOD


def state():
    for number in range(160):
        yield START + number * 31 * MINUTE, [1, 0, 1, 2, 1, 3][number % 6], UNCERTAIN if number % 41 == 9 else GOOD


def running():
    for number in range(90):
        yield START + number * 53 * MINUTE, number % 3 != 1, BAD if number == 44 else GOOD


def counter():
    """Rolls over at 65536, is reset once, and has one reading that is none."""
    total = 65_000
    for number in range(700):
        total += 10 + round(noise(number) * 20)
        if number == 300:
            total = 40
        yield START + number * 5 * MINUTE, 0 if number == 500 else total % 65_536, GOOD


def flow():
    for number in range(1000):
        yield START + number * 3 * MINUTE, 12 + round(noise(number) * 128) / 32, BAD_COMMUNICATION if 200 <= number < 210 else GOOD


def batch():
    for number in range(25):
        yield START + number * 4 * HOUR, f"Charge {number:03} – größer\t{'x' * (number % 5)}", GOOD


def vibration():
    """With `slow` more than half a million, so that a FlightInfo has several endpoints."""
    for number in range(300_000):
        yield START + number * SECOND, round(noise(number) * 4096) / 1024 + (8 if number % 50_021 == 50_000 else 0), GOOD


def slow():
    for number in range(250_000):
        yield START - 2 * DAY + number * 2 * SECOND, 20 + 60 * triangle(number, 40_000) + round(noise(number) * 16) / 16, BAD if 100_000 <= number < 100_050 else GOOD


def floats():
    """What floats can be: zeros of both signs, infinities, NaN with payloads, the smallest, the largest."""
    patterns = [0, 1 << 63, 0x7FF0 << 48, 0xFFF0 << 48, 0x7FF8_0000_0000_0001, 0xFFFF_FFFF_FFFF_FFFF, 1, (1 << 52) - 1, 0x7FEF_FFFF_FFFF_FFFF, 0x3FF0 << 48]
    for number, pattern in enumerate(patterns):
        yield START + number * SECOND, struct.unpack("<d", struct.pack("<Q", pattern))[0], GOOD


def many():
    """Thirty tags in one batch, mixed, some of them without a sample at some times."""
    samples = [
        (f"many/{tag:02}/value", START + step * HOUR, tag + step / 8, UNCERTAIN if (tag + step) % 17 == 0 else GOOD)
        for step in range(48)
        for tag in range(30)
        if (tag * 7 + step) % 5
    ]
    names, times, values, qualities = zip(*samples)
    return pa.record_batch(
        {"tag": pa.array(names), "timestamp": pa.array(times, UTC), "value": pa.array(values), "quality": pa.array(qualities, pa.uint32())}
    )


def columns(tag, kind, samples):
    """TagSamples in the JSON form of proto3."""
    number = str if kind in ("i64", "u64") else lambda value: value
    blank = {"string": "", "bool": False, "i64": "0", "u64": "0"}.get(kind, 0)
    return {
        "tag": tag,
        "timestamps": [str(time) for time, _, _ in samples],
        "values": {kind: {"values": [blank if value is None else number(value) for _, value, _ in samples]}},
        "qualities": [quality for _, _, quality in samples],
        "nulls": [row for row, (_, value, _) in enumerate(samples) if value is None],
    }


def write(doors, noted, alter):
    """Writes everything. First what lies in chunks, which are compacted; then what stays in heads above them. `noted(name)` is a new note."""
    flight, grpc = doors.flight, doors.grpc
    for tag in TAGS:
        with noted(f"data/tag {tag['name'].replace('/', '.')}") as note:
            grpc.call(note, "TagService/CreateTag", {"tag": tag})

    def put(name, command, *batches):
        with noted(f"data/{name}") as note:
            flight.put(note, command, list(batches))

    put("temperature", WRITE, rows("plant/boiler/temperature", list(temperature(alter)), pa.float64()))
    put("pressure", WRITE, rows("plant/boiler/pressure", list(pressure()), pa.float32()))
    put("setpoint", WRITE, rows("plant/boiler/setpoint", list(setpoint()), pa.float64()))
    put("state", WRITE, rows("plant/line/state", list(state()), pa.uint32()))
    put("running", WRITE, rows("plant/line/running", list(running()), pa.bool_()))
    put("counter", WRITE, rows("plant/line/counter", list(counter()), pa.uint64()))
    put("flow", WRITE, rows("plant/line/flow", list(flow()), pa.float64()))
    put("batch", CREATE, rows("plant/line/batch", list(batch()), pa.utf8()))
    put("floats", CREATE, rows("odd/floats", list(floats()), pa.float64()))
    put("many", CREATE, many())
    # Each in one write: chunks go by when the background work comes by, and a single write becomes chunks at once.
    put("vibration", CREATE, rows("trend/vibration", list(vibration()), pa.float64()))
    put("slow", CREATE, rows("trend/slow", list(slow()), pa.float32()))
    # Late samples, before what is there and in between, and the same again, which changes nothing.
    late = [(START - DAY + number * HOUR + 30 * SECOND, 50 + number / 4, GOOD) for number in range(40)]
    put("late", WRITE, rows("plant/boiler/temperature", late, pa.float64()), rows("plant/boiler/temperature", late, pa.float64()))
    integers = [(START, -(2**63), GOOD), (START + SECOND, None, BAD), (START + 2 * SECOND, 2**63 - 1, GOOD), (START + 3 * SECOND, 2**53 + 1, UNCERTAIN)]
    serials = [(START, 0, GOOD), (START + SECOND, 2**64 - 1, GOOD), (START + 2 * SECOND, None, BAD_NO_DATA), (START + 3 * SECOND, 2**53 + 1, GOOD)]
    with noted("data/integers") as note:
        grpc.call(
            note,
            "WriteService/WriteSamples",
            {"options": {"createTags": True}, "samples": [columns("odd/signed", "i64", integers), columns("odd/serial", "u64", serials)]},
        )
    with noted("data/names") as note:
        names = ['odd/a "quoted" name', "odd/größer, λ", "odd/single"]
        grpc.call(
            note,
            "WriteService/WriteSamples",
            {"options": {"createTags": True}, "samples": [columns(name, "f32", [(START, 1.5, GOOD)]) for name in names]},
        )
    with noted("data/compact") as note:
        grpc.call(note, "AdminService/Compact", {})

    # Corrections: other values, another quality alone, an insert that changes nothing, a deletion, a replacement; several versions of one sample.
    noon = START + DAY + 12 * HOUR
    for version in range(3):
        corrected = [(noon + number * MINUTE, 80 + version + number / 4, [GOOD, UNCERTAIN, GOOD][version]) for number in range(10)]
        put(f"correction {version}", WRITE, rows("plant/boiler/temperature", corrected, pa.float64()))
    put("insert", {"write": {"mode": "INSERT"}}, rows("plant/boiler/temperature", [(noon, 1.0, GOOD), (noon + SECOND, 81.0, GOOD)], pa.float64()))
    with noted("data/deletion") as note:
        grpc.call(
            note,
            "WriteService/DeleteRange",
            {"tags": ["plant/boiler/pressure"], "start": "2025-10-24T06:00:00Z", "end": "2025-10-24T07:30:00Z", "reason": "the transmitter was calibrated"},
        )
    with noted("data/replacement") as note:
        grpc.call(
            note,
            "WriteService/ReplaceRange",
            {
                "start": "2025-10-25 02:00",
                "end": "2025-10-25 03:00",
                "zone": "Europe/Berlin",
                "reason": "values of the laboratory",
                "samples": [columns("plant/line/flow", "f64", [(START + DAY + number * 10 * MINUTE, 20 + number, GOOD) for number in range(6)])],
            },
        )
    # Newest samples, in heads only.
    newest = [(START + 5 * DAY + number * SECOND, 90 + number / 8, BAD if number == 3 else GOOD) for number in range(20)]
    put("newest", WRITE, rows("plant/boiler/temperature", newest, pa.float64()))
    with noted("data/texts") as note:
        texts = [(START + number * DAY, text, GOOD) for number, text in enumerate(["", "ein", "x" * 300])] + [(START + 3 * DAY, None, BAD)]
        grpc.call(note, "WriteService/WriteSamples", {"options": {"createTags": True, "durability": "DURABILITY_INTERVAL"}, "samples": [columns("odd/text", "string", texts)]})
