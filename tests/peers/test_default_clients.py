"""Clients as they come: pyarrow.flight and grpcio, which takes messages of 4 MiB. Each case has a historian of its own, empty at the start."""

import concurrent.futures
import json
import socket
import struct
import threading
import time

import grpc
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.flight as flight
import stubs  # noqa: F401, makes the modules of the next line

from historian.v1 import admin_pb2, admin_pb2_grpc, query_pb2, query_pb2_grpc, sample_pb2, tag_pb2, tag_pb2_grpc, write_pb2, write_pb2_grpc
from lib import ADDRESS, BAD, NS, SECOND, START, channel, client, connect, descriptor, field, get, put_batches
from lib import refused as refused_call
from lib import refused_rpc as refused

MIB = 1 << 20
RANGE = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}
F64, STATE = 1, 7  # numbers of ValueType

tags, queries = tag_pb2_grpc.TagServiceStub(channel), query_pb2_grpc.QueryServiceStub(channel)
writes, admin = write_pb2_grpc.WriteServiceStub(channel), admin_pb2_grpc.AdminServiceStub(channel)


def put(columns):
    """Writes a batch durably; the acknowledgement."""
    (acknowledged,) = put_batches([pa.record_batch(columns)])
    return json.loads(acknowledged)


def times(count, first=0):
    return pa.array(np.arange(first, first + count) * SECOND + START, NS)


def info_of(command):
    return client.get_flight_info(flight.FlightDescriptor.for_path(*command) if isinstance(command, list) else descriptor(command))


def plain(table):
    """Names as plain text, so that tables of several dictionaries compare."""
    for index, column in enumerate(table.schema):
        if pa.types.is_dictionary(column.type):
            table = table.set_column(index, column.name, table.column(index).cast(pa.utf8()))
    return table.combine_chunks().replace_schema_metadata(None)


def same(found, wanted, what=""):
    """Equal, and NaN is equal to NaN."""
    assert found.num_rows == wanted.num_rows and found.column_names == wanted.column_names, (found.num_rows, wanted.num_rows)
    for name in wanted.column_names:
        a, b = plain(found).column(name), plain(wanted).column(name)
        if pa.types.is_floating(a.type):
            a, b = pc.if_else(pc.is_nan(a), None, a), pc.if_else(pc.is_nan(b), None, b)
        assert a.equals(b), (name, what)


def joined(info):
    assert len(info.serialize()) < 4 * MIB, len(info.serialize())
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda endpoint: connect().do_get(endpoint.ticket).read_all(), info.endpoints))
    assert all(part.schema.equals(info.schema) for part in parts), [part.schema for part in parts]
    return pa.concat_tables([plain(part) for part in parts])


def listed(pattern):
    found, token, pages = [], "", 0
    while True:
        page = tags.ListTags(tag_pb2.ListTagsRequest(tags=[pattern], page_size=10_000, page_token=token))
        assert page.ByteSize() <= 4 * MIB
        found += page.tags
        token, pages = page.next_page_token, pages + 1
        if not token:
            return found, pages


# A plant of 2,400 tags of five types, whose names alone are more than a ticket may have.
def plant(rows):
    names = [f"works/area {number % 7:02}/line {number % 40:03}/a machine of the plant {number:05}/a signal of it" for number in range(2_400)]
    kinds = {
        "f64": lambda at: pa.array(np.sin(at)),
        "i64": lambda at: pa.array(at.astype(np.int64) - (1 << 60)),
        "u64": lambda at: pa.array(at.astype(np.uint64) + np.uint64(1 << 63)),
        "bool": lambda at: pa.array(at % 2 == 0),
        "string": lambda at: pa.array([f"state {value}" for value in at]),
    }
    for kind, (_, values) in enumerate(kinds.items()):
        own = names[kind::5]
        keys = pa.array(np.repeat(np.arange(len(own), dtype=np.int32), rows))
        put(
            {
                "tag": pa.DictionaryArray.from_arrays(keys, pa.array(own)),
                "timestamp": pa.array(np.tile(np.arange(rows) * SECOND + START, len(own)), NS),
                "value": values(np.arange(rows * len(own))),
            }
        )
    return names


def test_every_ticket_is_taken_and_they_join_to_the_direct_answer():
    rows = 250
    names = plant(rows)
    doubles, names = names[::5], sorted(names)
    whole = {"range": {"tags": ["works/**"], **RANGE, "types": True}}
    direct = get(whole)
    assert direct.num_rows == rows * len(names) and pc.unique(plain(direct).column("tag")).to_pylist() == names
    info = info_of(whole)
    assert len(info.endpoints) > 1, "so many rows are fetched in parallel"
    same(joined(info), direct)
    same(joined(info_of(["tags"])), get({"range": {"tags": ["**"], "start": "0001-01-01", "end": "9999-12-31"}}))

    # What a ticket means does not change: neither a tag that is made later nor a bound that moves is in it.
    later = names[1_200] + " made later"
    put({"tag": pa.array([later]), "timestamp": times(1), "value": pa.array([1.0])})
    same(joined(info), direct)
    assert get(whole).num_rows == direct.num_rows + 1

    # Versions that were replaced, of every tag of one type.
    put({"tag": pa.array(doubles * 2), "timestamp": times(1).take(pa.array([0] * 960)), "quality": pa.array([BAD] * 960, pa.uint32()),
         "value": pa.nulls(960, pa.float64())})
    admin.Compact(admin_pb2.CompactRequest())
    # As many names as a command takes.
    many = (65_536 - 250) // (len(names[0]) + 4)
    long_list = names[:many]
    assert 65_000 < len(json.dumps({"superseded": {"tags": long_list, **RANGE}})) < 65_400
    aggregate = {**RANGE, "interval": "1h", "functions": ["count", "percent_good"]}
    for command, rows_wanted in [
        ({"superseded": {"tags": ["works/**"], **RANGE}}, 480),
        ({"superseded": {"tags": long_list, **RANGE}}, None),
        ({"range": {"tags": long_list, **RANGE}}, many * rows),
        ({"range": {"tags": ["works/**"], "start": RANGE["start"], "end": "2026-01-01T00:00:10Z"}}, 24_001),
        ({"range": {"tags": ["works/**"], "start": RANGE["end"], "end": RANGE["start"], "limit": 7}}, 2_401 * 7 - 6),
        ({"range": {"tags": ["works/**"], "start": "2026-01-01T00:01:00Z", "end": "2026-01-01T00:02:00Z", "boundary": "OUTSIDE"}}, None),
        ({"range": {"tags": ["works/area 01/**"], **RANGE, "layout": "WIDE"}}, rows),
        ({"range": {"tags": ["works/**"], **RANGE, "page_size": 1_000}}, 1_000),
        ({"current": {"tags": ["works/**"]}}, 2_401),
        ({"current": {"tags": long_list}}, many),
        ({"aggregate": {"tags": long_list, **aggregate}}, many * 24 * 2),
        ({"downsample": {"tags": long_list, "start": RANGE["start"], "end": RANGE["end"], "points": 1_000}}, None),
        ({"measure": {"tags": long_list, **RANGE, "measure": "PERCENT_GOOD"}}, many),
    ]:
        direct = get(command)
        assert rows_wanted in (None, direct.num_rows), (str(command)[:100], direct.num_rows)
        assert direct.num_rows > 0
        same(joined(info_of(command)), direct, str(command)[:200])

    # The wide layout of the longest names, which cannot be asked for in parts.
    wide = [f"wide/{'a long level of its name ' * 18}too/{number:04}" for number in range(1_000)]
    assert len(wide[0]) > 450
    put({"tag": pa.array(wide * 2), "timestamp": pa.array([START] * 1_000 + [START + SECOND] * 1_000, NS),
         "value": pa.array(np.arange(2_000) / 7)})
    command = {"range": {"tags": ["wide/**"], **RANGE, "layout": "WIDE"}}
    direct = get(command)
    assert direct.num_rows == 2 and direct.num_columns == 2_001
    assert direct.column(wide[999]).to_pylist() == [999 / 7, 1_999 / 7]
    same(joined(info_of(command)), direct)


def test_a_glob_that_matches_nothing_is_an_empty_answer_everywhere():
    put({"tag": pa.array(["there"]), "timestamp": times(1), "value": pa.array([1.0])})
    tags_of = {"tags": ["none/**"]}
    made = [
        {"range": {**tags_of, **RANGE}},
        {"range": {**tags_of, **RANGE, "types": True, "boundary": "INTERPOLATED"}},
        {"range": {**tags_of, **RANGE, "layout": "WIDE"}},
        {"superseded": {**tags_of, **RANGE}},
        {"current": tags_of},
        {"aggregate": {**tags_of, **RANGE, "functions": ["average"]}},
        {"downsample": {**tags_of, **RANGE}},
        {"anomalies": {**tags_of, **RANGE, "detector": "spike"}},
        {"measure": {**tags_of, **RANGE, "measure": "PERCENT_GOOD"}},
    ]
    infos = [(command, info_of(command)) for command in made]
    for command, info in infos:
        direct = get(command)
        assert direct.num_rows == 0 and len(info.endpoints) == 1, command
        assert info.schema.equals(direct.schema), command
        same(joined(info), direct)
    put({"tag": pa.array(["none/now"]), "timestamp": times(1), "value": pa.array([1.0])})
    for _, info in infos[:4]:
        assert joined(info).num_rows == 0, "a tag made later is not meant"


def test_a_refused_write_leaves_no_tag_behind():
    def there(name):
        try:
            return tags.GetTag(tag_pb2.GetTagRequest(name=name)).tag.name == name
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND
            return False

    def refused_put(columns, fragment):
        refused_call(pa.ArrowException, lambda: put(columns), fragment)

    put({"tag": pa.array(["whole"]), "timestamp": times(1), "value": pa.array([7], pa.int64())})
    tag_two = pa.array(["new/a", "new/b"])
    refused_put({"tag": tag_two, "timestamp": times(2), "value": pa.array([1.0, None])}, "no value")
    refused_put({"tag": pa.array(["new/a", "whole"]), "timestamp": times(2), "value": pa.array([1.0, 1.5])}, "held exactly")
    refused_put({"tag": pa.array(["new/a", "new/*"]), "timestamp": times(2), "value": pa.array([1.0, 1.5])}, "reserved for globs")
    refused_put({"tag": tag_two, "timestamp": pa.array([0, 1 << 62], pa.timestamp("s", "UTC")), "value": pa.array([1.0, 1.5])}, "outside the years")
    late = pa.array([START + 4_000 * 86_400 * SECOND] * 2, NS)
    acknowledged = put({"tag": tag_two, "timestamp": late, "value": pa.array([1.0, 2.0])})
    assert (int(acknowledged["samples"]), int(acknowledged["rejected"])) == (0, 2), acknowledged
    assert [one["tag"] for one in acknowledged["rejections"]] == ["new/a", "new/b"], acknowledged
    assert not there("new/a") and not there("new/b")

    # Of three tags those are made of which a sample is stored.
    mixed = {"tag": pa.array(["new/a", "new/c", "new/c", "new/b"]), "value": pa.array([1.0, 2.0, 3.0, 4.0]),
             "timestamp": pa.concat_arrays([late[:1], times(1), late[:1], late[:1]])}
    acknowledged = put(mixed)
    assert (int(acknowledged["samples"]), int(acknowledged["rejected"])) == (1, 3), acknowledged
    assert there("new/c") and not there("new/a") and not there("new/b")
    assert get({"range": {"tags": ["new/c"], "start": "0001-01-01", "end": "9999-12-31"}}).column("value").to_pylist() == [2.0]

    # The same through gRPC.
    double = sample_pb2.Values(f64=sample_pb2.DoubleColumn(values=[1.0]))
    options = write_pb2.WriteSamplesRequest().options
    options.create_tags = True
    column = lambda tag, at, **more: sample_pb2.TagSamples(tag=tag, timestamps=[at], values=double, **more)  # noqa: E731
    samples = [column("new/d", late[0].value), column("new/e", START, nulls=[0]), column("new/f", START)]
    answer = writes.WriteSamples(write_pb2.WriteSamplesRequest(options=options, samples=samples))
    assert (answer.samples, answer.rejected, [failure.tag for failure in answer.failures]) == (1, 1, ["new/e"]), answer
    assert [rejection.tag for rejection in answer.rejections] == ["new/d"]
    assert not there("new/d") and not there("new/e") and there("new/f")
    # And what was refused is taken as another type then: nothing stands in its way.
    put({"tag": pa.array(["new/a"]), "timestamp": times(1), "value": pa.array(["text"])})
    assert get({"current": {"tags": ["new/a"]}}).column("value").to_pylist() == ["text"]


def flight_messages(command):
    """Lengths of the messages of a DoGet, as a client of gRPC with its default limit reads them."""
    call = channel.unary_stream("/arrow.flight.protocol.FlightService/DoGet")
    return [len(message) for message in call(field(1, json.dumps(command)))]


def test_pages_and_messages_fit_into_what_clients_take():
    # Descriptions of seven thousand tags.
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = [tag_pb2.Tag(name=f"described/{number:05}", value_type=F64, description=f"{number} " + "x" * 700) for number in range(7_000)]
        list(pool.map(lambda tag: tags.CreateTag(tag_pb2.CreateTagRequest(tag=tag)), made))
    found, count = listed("described/**")
    assert [(tag.name, tag.description) for tag in found] == [(tag.name, tag.description) for tag in made] and count > 1

    # Current values of sixty thousand tags with long names.
    names = [f"current/{'a level of the name ' * 4}of it/{number:06}" for number in range(60_000)]
    values = np.arange(60_000) * 0.5
    put({"tag": pa.array(names), "timestamp": times(1).take(pa.array(np.zeros(60_000, np.int64))), "value": pa.array(values)})
    request = query_pb2.CurrentValuesRequest
    refused(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: queries.CurrentValues(request(tags=["current/**"])), "page_size", "Flight")
    for size in (100_000, 9_000):
        told, token, pages_read = {}, "", 0
        while True:
            page = queries.CurrentValues(request(tags=["current/**", "missing"], page_size=size, page_token=token))
            assert [failure.tag for failure in page.failures] == (["missing"] if not token else [])
            told |= {samples.tag: samples.values.f64.values[0] for samples in page.samples}
            token, pages_read = page.next_page_token, pages_read + 1
            if not token:
                break
        assert list(told) == names and np.array_equal(np.array(list(told.values())), values)
        assert pages_read > (1 if size == 100_000 else 6)
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    refused(invalid, lambda: queries.CurrentValues(request(tags=["current/**"], page_size=-1)), "page_size")
    refused(invalid, lambda: queries.CurrentValues(request(tags=["current/**"], page_token="x")), "page_token")
    token = queries.CurrentValues(request(tags=["current/**"], page_size=5)).next_page_token
    refused(invalid, lambda: queries.CurrentValues(request(tags=["**"], page_size=5, page_token=token)), "page_token")
    missing = [f"missing/{number:05}/{'x' * 400}" for number in range(9_000)]
    few = queries.CurrentValues(request(tags=missing, page_size=5))
    assert few.failures[-1].message.startswith("and ") and not few.samples

    # Flight answers all at once, in messages that any client takes, and the same.
    assert max(flight_messages({"current": {"tags": ["current/**"]}})) < 4 * MIB
    table = plain(get({"current": {"tags": ["current/**"]}}))
    assert table.column("tag").to_pylist() == names and np.array_equal(table.column("value").to_numpy(), values)

    # Texts, of even and of uneven length.
    texts = [f"{number}" + "y" * (300 if number % 2 else 1) for number in range(20_000)] + ["z" * 100_000] * 60
    for first in range(0, len(texts), 5_000):
        part = texts[first : first + 5_000]
        put({"tag": pa.array(["text"] * len(part)), "timestamp": times(len(part), first), "value": pa.array(part)})
    answer = list(queries.Range(query_pb2.RangeRequest(tags=["text"], **RANGE)))
    assert [text for message in answer for text in message.samples.values.string.values] == texts
    assert max(flight_messages({"range": {"tags": ["text"], **RANGE}})) < 4 * MIB
    assert get({"range": {"tags": ["text"], **RANGE}}).column("value").to_pylist() == texts

    # Failures of a write of more tags than an answer names.
    unknown = [sample_pb2.TagSamples(tag=f"unknown/{number:06}/{'x' * 60}") for number in range(60_000)]
    answer = writes.WriteSamples(write_pb2.WriteSamplesRequest(samples=unknown))
    more = int(answer.failures[-1].message.split()[1])
    assert len(answer.failures) - 1 + more == 60_000 and answer.failures[-1].tag == ""


def test_an_as_of_answer_fits_or_is_refused_in_words_that_name_do_exchange():
    put({"tag": pa.array(["a"] * 100), "timestamp": times(100), "value": pa.array(np.arange(100) / 3)})
    request = lambda count: query_pb2.AsOfRequest(tags=["a"], timestamps=START + np.arange(count) * 1_000_000)  # noqa: E731
    answer = queries.AsOf(request(200_000))
    held = np.minimum(np.arange(200_000) // 1_000, 99) / 3
    assert np.array_equal(np.array(answer.samples[0].values.f64.values), held)
    # The request has more than the 4 MiB that a server takes by default, and is refused for its answer, in words.
    exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
    refused(exhausted, lambda: queries.AsOf(request(1 << 20)), "DoExchange", "bytes")
    refused(exhausted, lambda: queries.AsOf(request((1 << 20) + 1)), "DoExchange", "1048576")


def test_gzip_is_taken_from_those_who_send_it_and_no_bomb_goes_off():
    squeezed = grpc.insecure_channel(ADDRESS, compression=grpc.Compression.Gzip)
    own_tags, own_queries = tag_pb2_grpc.TagServiceStub(squeezed), query_pb2_grpc.QueryServiceStub(squeezed)
    own_writes, own_admin = write_pb2_grpc.WriteServiceStub(squeezed), admin_pb2_grpc.AdminServiceStub(squeezed)
    made = own_tags.CreateTag(tag_pb2.CreateTagRequest(tag=tag_pb2.Tag(name="z/a", value_type=F64, description="d" * 4_000))).tag
    assert tags.GetTag(tag_pb2.GetTagRequest(name="z/a")).tag == made == own_tags.GetTag(tag_pb2.GetTagRequest(name="z/a")).tag
    column = lambda count: sample_pb2.TagSamples(  # noqa: E731
        tag="z/a", timestamps=START + np.arange(count) * SECOND, values=sample_pb2.Values(f64=sample_pb2.DoubleColumn(values=np.zeros(count)))
    )
    # More than the 4 MiB of a default, when it is unpacked.
    assert own_writes.WriteSamples(write_pb2.WriteSamplesRequest(samples=[column(400_000)])).samples == 400_000
    stream = own_writes.WriteSamplesStream(iter([write_pb2.WriteSamplesStreamRequest(samples=[column(3)])] * 3))
    assert [answer.samples for answer in stream] == [3, 3, 3]
    rows = sum(len(message.samples.timestamps) for message in own_queries.Range(query_pb2.RangeRequest(tags=["z/a"], start="2026-01-01", end="2027-01-01")))
    assert rows == 400_000
    assert own_queries.CurrentValues(query_pb2.CurrentValuesRequest(tags=["**"])).samples[0].timestamps[0] == START + 399_999 * SECOND
    assert own_admin.GetServerStatus(admin_pb2.GetServerStatusRequest()).tags == 1
    assert squeezed.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"\x08\x01"
    flights = squeezed.unary_stream("/arrow.flight.protocol.FlightService/ListFlights")
    assert len(list(flights(b"\x0a\x02**"))) == 1

    # What is small on the wire and large when it is unpacked is refused for what it is then.
    big = grpc.insecure_channel(ADDRESS, compression=grpc.Compression.Gzip, options=[("grpc.max_send_message_length", -1)])
    bomb = b"\x80\x80\x80\x28" + bytes(80 * MIB)  # a field of 80 MiB of zeros
    for method in ("WriteService/WriteSamples", "TagService/GetTag"):
        call = big.unary_unary(f"/historian.v1.{method}")
        refused(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: call(b"\x7a" + bomb), "when it is decompressed", f"{64 * MIB} bytes of memory")
    # Zeros where a message should be are none, and refused with the first of them.
    refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: big.unary_unary("/historian.v1.WriteService/WriteSamples")(b"\x12" + bomb), "cannot be read")
    assert tags.GetTag(tag_pb2.GetTagRequest(name="z/a")).tag == made


def test_a_tag_has_as_many_states_as_are_documented():
    names = [f"state {number:05} of the machine {'-'}" for number in range(65_536)]
    names = [name[:31] for name in names]
    tag = tag_pb2.Tag(name="machine/state", value_type=STATE, state_set=names)
    made = tags.CreateTag(tag_pb2.CreateTagRequest(tag=tag)).tag
    assert list(made.state_set) == names == list(tags.GetTag(tag_pb2.GetTagRequest(name=tag.name)).tag.state_set)
    assert list(listed("machine/**")[0][0].state_set) == names
    names[65_535] = "renamed"
    changed = tags.UpdateTag(tag_pb2.UpdateTagRequest(tag=tag_pb2.Tag(name=tag.name, state_set=names))).tag
    assert changed.state_set[65_535] == "renamed"
    put({"tag": pa.array([tag.name] * 2), "timestamp": times(2), "value": pa.array([65_535, 65_536], pa.uint32())})
    assert [len(info.schema.names) for info in client.list_flights(b"machine/**")] == [4]
    for layout, column in (("LONG", "value"), ("WIDE", tag.name)):
        command = {"range": {"tags": ["machine/**"], **RANGE, "layout": layout}}
        assert max(flight_messages(command)) < MIB, "a schema does not tell such a set"
        assert get(command).column(column).to_pylist() == [65_535, 65_536]
        same(joined(info_of(command)), get(command))
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    for wrong, words in ((["x" * 256] * 65_536, "2097152"), ([""] * 65_537, "65536")):
        tag = tag_pb2.Tag(name="machine/other", value_type=STATE, state_set=wrong)
        refused(invalid, lambda tag=tag: tags.CreateTag(tag_pb2.CreateTagRequest(tag=tag)), words)
    # A small one is in the schema.
    tags.CreateTag(tag_pb2.CreateTagRequest(tag=tag_pb2.Tag(name="machine/small", value_type=STATE, state_set=["off", "on"])))
    assert get({"range": {"tags": ["machine/small"], **RANGE}}).schema.field("value").metadata[b"state_set"] == b'["off","on"]'


def test_a_dashboard_that_is_left_keeps_its_subscription_and_a_flood_is_cut():
    """Calls cancelled at once leave the subscription beside them; calls cancelled without end do not last."""
    delivered, ended = [], []
    subscription = queries.Subscribe(query_pb2.SubscribeRequest(tags=["**"]))

    def read():
        try:
            for message in subscription:
                delivered.extend(samples.tag for samples in message.samples)
            ended.append("the end")
        except grpc.RpcError as error:
            ended.append(f"{error.code()} {error.details()}")

    def write(tag):
        put({"tag": pa.array([tag]), "timestamp": times(1), "value": pa.array([1.0])})

    threading.Thread(target=read, daemon=True).start()
    time.sleep(0.3)
    for number in range(3):
        for begin in (
            lambda: queries.CurrentValues.future(query_pb2.CurrentValuesRequest(tags=["**"])),
            lambda: queries.Range(query_pb2.RangeRequest(tags=["**"], start="*-1h")),
        ):
            for call in [begin() for _ in range(2_000)]:
                call.cancel()
        write(f"dashboard/{number}")
    deadline = time.monotonic() + 20
    while len(delivered) < 3 and not ended and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not ended, ended
    assert delivered == ["dashboard/0", "dashboard/1", "dashboard/2"], delivered
    assert admin.GetServerStatus(admin_pb2.GetServerStatusRequest()).tags == 3

    # Rapid reset, on a connection made by hand.
    host, port = ADDRESS.rsplit(":", 1)
    flood = socket.create_connection((host, int(port)))
    flood.settimeout(20)
    frame = lambda kind, flags, stream, payload: struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload  # noqa: E731
    literal = lambda text: bytes([len(text)]) + text  # noqa: E731
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/historian.v1.AdminService/GetServerStatus"), (b":authority", b"x"),
              (b"content-type", b"application/grpc"), (b"te", b"trailers")]
    headers = b"".join(b"\x00" + literal(name) + literal(value) for name, value in fields)
    flood.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
    threading.Thread(target=lambda: all(iter(lambda: drained(flood), b"")), daemon=True).start()
    stream, cut = 1, None
    try:
        for _ in range(400):
            requests = b""
            for _ in range(250):
                requests += frame(1, 4, stream, headers) + frame(3, 0, stream, struct.pack(">I", 8))
                stream += 2
            flood.sendall(requests)
            # Not faster than the server looks at them: the bound of what waits is not what is tried here.
            time.sleep(0.005)
    except OSError as error:
        cut = error
    resets = (stream - 1) // 2
    assert cut is not None, f"{resets} requests were taken back and the connection goes on"
    assert resets > 9_000, f"cut after {resets} requests: an honest client may take back as many at once"
    assert not ended, ended
    assert admin.GetServerStatus(admin_pb2.GetServerStatusRequest()).tags == 3


def drained(connection):
    try:
        return connection.recv(1 << 16)
    except OSError:
        return b""
