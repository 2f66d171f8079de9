"""Every gRPC service, with stubs generated from the .proto files. The historian is empty at the start."""

import grpc
import pytest
import stubs  # noqa: F401, makes the modules of the next lines

from google.protobuf.field_mask_pb2 import FieldMask
from historian.v1 import admin_pb2, admin_pb2_grpc, collector_pb2, collector_pb2_grpc, query_pb2, query_pb2_grpc
from historian.v1 import sample_pb2, tag_pb2, tag_pb2_grpc, write_pb2, write_pb2_grpc
from lib import BAD, channel, refused_rpc

tags = tag_pb2_grpc.TagServiceStub(channel)
writes = write_pb2_grpc.WriteServiceStub(channel)
query = query_pb2_grpc.QueryServiceStub(channel)
admin = admin_pb2_grpc.AdminServiceStub(channel)


def refused(code, call, fragment):
    error = refused_rpc(code, call, fragment)
    assert any(key == "grpc-status-details-bin" for key, _ in error.trailing_metadata()), "google.rpc details"


def test_health_and_reflection_answer_by_their_bytes():
    """Health and reflection, by their bytes."""
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    for service in (b"", b"historian.v1.QueryService", b"arrow.flight.protocol.FlightService"):
        assert check(b"\x0a" + bytes([len(service)]) + service if service else b"") == b"\x08\x01", service
    reflect = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
    answer = next(iter(reflect(iter([b"\x3a\x01*"]))))
    for service in (b"TagService", b"WriteService", b"QueryService", b"CollectorService", b"AdminService"):
        assert b"historian.v1." + service in answer, answer
    symbol = b"historian.v1.QueryService"
    answer = next(iter(reflect(iter([b"\x22" + bytes([len(symbol)]) + symbol]))))
    assert b"RangeRequest" in answer


@pytest.fixture(scope="module", autouse=True)
def halls_made():
    """Twenty-five tags."""
    for number in range(25):
        asked = tag_pb2.Tag(name=f"hall/motor{number:02}/speed", value_type=tag_pb2.VALUE_TYPE_F64, unit="1/min" if number % 2 else "Hz", range_high=3000)
        made = tags.CreateTag(tag_pb2.CreateTagRequest(tag=asked)).tag
        assert made.id > 0 and made.create_time > 0 and not made.HasField("range_low") and made.range_high == 3000


def test_a_tag_is_there_once_and_a_missing_one_is_not_found():
    made = tag_pb2.Tag(name="hall/motor00/speed", value_type=tag_pb2.VALUE_TYPE_F64)
    refused(grpc.StatusCode.ALREADY_EXISTS, lambda: tags.CreateTag(tag_pb2.CreateTagRequest(tag=made)), "motor00")
    refused(grpc.StatusCode.NOT_FOUND, lambda: tags.GetTag(tag_pb2.GetTagRequest(name="hall/none")), "hall/none")
    assert tags.GetTag(tag_pb2.GetTagRequest(name="hall/motor03/speed")).tag.unit == "1/min"


def test_tags_are_listed_in_pages_with_a_filter():
    names, token, pages = [], "", 0
    while True:
        page = tags.ListTags(tag_pb2.ListTagsRequest(tags=["hall/**"], filter="unit=Hz", page_size=5, page_token=token))
        names += [tag.name for tag in page.tags]
        token, pages = page.next_page_token, pages + 1
        if not token:
            break
    assert names == [f"hall/motor{number:02}/speed" for number in range(0, 25, 2)] and pages == 3, (names, pages)
    token = tags.ListTags(tag_pb2.ListTagsRequest(page_size=2)).next_page_token
    refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: tags.ListTags(tag_pb2.ListTagsRequest(tags=["x*"], page_token=token)), "page_token")


def test_a_tag_is_changed_where_the_mask_says_and_its_type_never():
    change = tag_pb2.Tag(name="hall/motor03/speed", unit="rpm", description="main drive")
    changed = tags.UpdateTag(tag_pb2.UpdateTagRequest(tag=change, update_mask=FieldMask(paths=["description"]))).tag
    assert (changed.unit, changed.description) == ("1/min", "main drive")
    change = tag_pb2.Tag(name="hall/motor03/speed", value_type=tag_pb2.VALUE_TYPE_I64)
    refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: tags.UpdateTag(tag_pb2.UpdateTagRequest(tag=change)), "cannot change")


def test_a_tag_is_deleted_once():
    made = tag_pb2.Tag(name="cellar/motor/speed", value_type=tag_pb2.VALUE_TYPE_F64)
    tags.CreateTag(tag_pb2.CreateTagRequest(tag=made))
    tags.DeleteTag(tag_pb2.DeleteTagRequest(name=made.name))
    refused(grpc.StatusCode.NOT_FOUND, lambda: tags.GetTag(tag_pb2.GetTagRequest(name=made.name)), made.name)
    refused(grpc.StatusCode.NOT_FOUND, lambda: tags.DeleteTag(tag_pb2.DeleteTagRequest(name=made.name)), made.name)


def columns(tag, values, kind="f64", **others):
    message = sample_pb2.TagSamples(tag=tag, **others)
    getattr(message.values, kind).values.extend(values)
    return message


def write(*samples, **options):
    return writes.WriteSamples(write_pb2.WriteSamplesRequest(options=write_pb2.WriteRequest(**options), samples=samples))


@pytest.fixture(scope="module")
def halls_written(halls_made):
    """What fits of a write."""
    return write(
        columns("hall/motor01/speed", [1.0, 2.0, 0.0], timestamps=[10, 20, 30], qualities=[0, 0, BAD], nulls=[2]),
        columns("hall/none", [1.0], timestamps=[1]),
        columns("hall/motor02/speed", [1.0], timestamps=[1, 2]),
        columns("hall/motor04/speed", ["x"], "string", timestamps=[1]),
    )


@pytest.fixture(scope="module")
def others_made():
    """What fits of a write that makes its tags."""
    return write(
        columns("new/count", [2**64 - 1], "u64", timestamps=[5]),
        columns("new/state", [3], "state", timestamps=[5]),
        columns("new/text", ["é"], "string", timestamps=[5]),
        columns("new//bad", [1.0], timestamps=[5]),
        create_tags=True,
    )


@pytest.fixture(scope="module")
def streamed(halls_made):
    requests = (write_pb2.WriteSamplesStreamRequest(samples=[columns("hall/motor05/speed", [float(n)], timestamps=[n])]) for n in range(200))
    return list(writes.WriteSamplesStream(requests))


def test_what_fits_is_taken_and_what_does_not_is_a_row(halls_written):
    assert halls_written.samples == 3 and halls_written.watermark > 0, halls_written
    codes = {failure.tag: failure.code for failure in halls_written.failures}
    assert codes == {"hall/none": 5, "hall/motor02/speed": 3, "hall/motor04/speed": 3}, halls_written


def test_tags_are_made_of_what_fits(others_made):
    assert others_made.samples == 3 and [failure.tag for failure in others_made.failures] == ["new//bad"], others_made


def test_each_message_of_a_stream_is_acknowledged(streamed):
    marks = [answer.watermark for answer in streamed]
    assert len(streamed) == 200 and marks == sorted(marks) and all(answer.samples == 1 for answer in streamed)


def test_a_range_tells_samples_failures_and_its_bounds(halls_written, others_made):
    responses = list(query.Range(query_pb2.RangeRequest(tags=["hall/motor01/speed", "missing", "new/*"], start="0", end="100ns")))
    assert (responses[0].start, responses[0].end) == (0, 100)
    failures = [response.failure for response in responses if response.HasField("failure")]
    assert [(failure.tag, failure.code) for failure in failures] == [("missing", 5)]
    read = {response.samples.tag: response.samples for response in responses if response.HasField("samples")}
    speed = read["hall/motor01/speed"]
    assert list(speed.timestamps) == [10, 20, 30] and list(speed.values.f64.values)[:2] == [1.0, 2.0]
    assert list(speed.qualities) == [0, 0, BAD] and list(speed.nulls) == [2]
    assert list(read["new/count"].values.u64.values) == [2**64 - 1]
    assert list(read["new/state"].values.state.values) == [3]
    assert list(read["new/text"].values.string.values) == ["é"]


def test_a_long_range_and_current_values(streamed, others_made):
    stream = query.Range(query_pb2.RangeRequest(tags=["hall/motor05/speed"], start="0", end="1000ns"))
    assert [stamp for response in stream for stamp in response.samples.timestamps] == list(range(200))
    current = query.CurrentValues(query_pb2.CurrentValuesRequest(tags=["hall/motor05/speed", "new/**", "missing"]))
    assert [samples.tag for samples in current.samples] == ["hall/motor05/speed", "new/count", "new/state", "new/text"], current
    assert list(current.samples[0].timestamps) == [199] and [failure.tag for failure in current.failures] == ["missing"]


def test_the_service_tells_its_devices_and_its_state():
    devices = collector_pb2_grpc.CollectorServiceStub(channel).GetStatus(collector_pb2.GetStatusRequest()).devices
    assert [(device.device, device.protocol, device.state) for device in devices] == [("boiler-plc", "modbus", "connecting")]
    before = admin.GetServerStatus(admin_pb2.GetServerStatusRequest())
    answer = write(columns("service/a", [1.0, 2.0], timestamps=[1, 2]), columns("service/b", [3.0], timestamps=[1]), create_tags=True)
    status = admin.GetServerStatus(admin_pb2.GetServerStatusRequest())
    assert (status.tags, status.samples_written) == (before.tags + 2, before.samples_written + 3), (before, status)
    assert status.tags == len(tags.ListTags(tag_pb2.ListTagsRequest(page_size=1000)).tags)
    assert status.accepting_writes and status.start_time > 0 and status.watermark == answer.watermark, status
    assert status.head_samples >= 3 and admin.Compact(admin_pb2.CompactRequest()).chunks_sealed >= 2
    assert admin.GetServerStatus(admin_pb2.GetServerStatusRequest()).head_samples == 0
