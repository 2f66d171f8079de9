"""Uses every gRPC service with stubs generated from the .proto files. Arguments: host:port, folder of the .proto files."""

import sys

import grpc
import stubs

address, protos = sys.argv[1:]
stubs.generate(protos)
from google.protobuf.field_mask_pb2 import FieldMask
from historian.v1 import admin_pb2, admin_pb2_grpc, collector_pb2, collector_pb2_grpc, query_pb2, query_pb2_grpc
from historian.v1 import sample_pb2, tag_pb2, tag_pb2_grpc, write_pb2, write_pb2_grpc

channel = grpc.insecure_channel(address)


def refused(code, call, fragment):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code and fragment in error.details(), (error.code(), error.details())
        assert any(key == "grpc-status-details-bin" for key, _ in error.trailing_metadata()), "google.rpc details"
        return
    raise AssertionError(f"expected {code}")


# Health and reflection, by their bytes.
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

# Tags.
tags = tag_pb2_grpc.TagServiceStub(channel)
for number in range(25):
    asked = tag_pb2.Tag(name=f"hall/motor{number:02}/speed", value_type=tag_pb2.VALUE_TYPE_F64, unit="1/min" if number % 2 else "Hz", range_high=3000)
    made = tags.CreateTag(tag_pb2.CreateTagRequest(tag=asked)).tag
    assert made.id > 0 and made.create_time > 0 and not made.HasField("range_low") and made.range_high == 3000
refused(grpc.StatusCode.ALREADY_EXISTS, lambda: tags.CreateTag(tag_pb2.CreateTagRequest(tag=made)), "motor24")
refused(grpc.StatusCode.NOT_FOUND, lambda: tags.GetTag(tag_pb2.GetTagRequest(name="hall/none")), "hall/none")
assert tags.GetTag(tag_pb2.GetTagRequest(name="hall/motor03/speed")).tag.unit == "1/min"
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
change = tag_pb2.Tag(name="hall/motor03/speed", unit="rpm", description="main drive")
changed = tags.UpdateTag(tag_pb2.UpdateTagRequest(tag=change, update_mask=FieldMask(paths=["description"]))).tag
assert (changed.unit, changed.description) == ("1/min", "main drive")
change = tag_pb2.Tag(name="hall/motor03/speed", value_type=tag_pb2.VALUE_TYPE_I64)
refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: tags.UpdateTag(tag_pb2.UpdateTagRequest(tag=change)), "cannot change")
tags.DeleteTag(tag_pb2.DeleteTagRequest(name="hall/motor24/speed"))
refused(grpc.StatusCode.NOT_FOUND, lambda: tags.DeleteTag(tag_pb2.DeleteTagRequest(name="hall/motor24/speed")), "motor24")

# Writes: what fits is taken, what does not is a row.
writes = write_pb2_grpc.WriteServiceStub(channel)


def columns(tag, values, kind="f64", **others):
    message = sample_pb2.TagSamples(tag=tag, **others)
    getattr(message.values, kind).values.extend(values)
    return message


def write(*samples, **options):
    return writes.WriteSamples(write_pb2.WriteSamplesRequest(options=write_pb2.WriteRequest(**options), samples=samples))


answer = write(
    columns("hall/motor01/speed", [1.0, 2.0, 0.0], timestamps=[10, 20, 30], qualities=[0, 0, 0x80000000], nulls=[2]),
    columns("hall/none", [1.0], timestamps=[1]),
    columns("hall/motor02/speed", [1.0], timestamps=[1, 2]),
    columns("hall/motor04/speed", ["x"], "string", timestamps=[1]),
)
assert answer.samples == 3 and answer.watermark > 0, answer
codes = {failure.tag: failure.code for failure in answer.failures}
assert codes == {"hall/none": 5, "hall/motor02/speed": 3, "hall/motor04/speed": 3}, answer
answer = write(
    columns("new/count", [2**64 - 1], "u64", timestamps=[5]),
    columns("new/state", [3], "state", timestamps=[5]),
    columns("new/text", ["é"], "string", timestamps=[5]),
    columns("new//bad", [1.0], timestamps=[5]),
    create_tags=True,
)
assert answer.samples == 3 and [failure.tag for failure in answer.failures] == ["new//bad"], answer
requests = (write_pb2.WriteSamplesStreamRequest(samples=[columns("hall/motor05/speed", [float(n)], timestamps=[n])]) for n in range(200))
answers = list(writes.WriteSamplesStream(requests))
marks = [answer.watermark for answer in answers]
assert len(answers) == 200 and marks == sorted(marks) and all(answer.samples == 1 for answer in answers)

# Reads.
query = query_pb2_grpc.QueryServiceStub(channel)
responses = list(query.Range(query_pb2.RangeRequest(tags=["hall/motor01/speed", "missing", "new/*"], start="0", end="100ns")))
assert (responses[0].start, responses[0].end) == (0, 100)
failures = [response.failure for response in responses if response.HasField("failure")]
assert [(failure.tag, failure.code) for failure in failures] == [("missing", 5)]
read = {response.samples.tag: response.samples for response in responses if response.HasField("samples")}
speed = read["hall/motor01/speed"]
assert list(speed.timestamps) == [10, 20, 30] and list(speed.values.f64.values)[:2] == [1.0, 2.0]
assert list(speed.qualities) == [0, 0, 0x80000000] and list(speed.nulls) == [2]
assert list(read["new/count"].values.u64.values) == [2**64 - 1]
assert list(read["new/state"].values.state.values) == [3]
assert list(read["new/text"].values.string.values) == ["é"]
stream = query.Range(query_pb2.RangeRequest(tags=["hall/motor05/speed"], start="0", end="1000ns"))
assert [stamp for response in stream for stamp in response.samples.timestamps] == list(range(200))
current = query.CurrentValues(query_pb2.CurrentValuesRequest(tags=["hall/motor05/speed", "new/**", "missing"]))
assert [samples.tag for samples in current.samples] == ["hall/motor05/speed", "new/count", "new/state", "new/text"], current
assert list(current.samples[0].timestamps) == [199] and [failure.tag for failure in current.failures] == ["missing"]

# Running the service.
devices = collector_pb2_grpc.CollectorServiceStub(channel).GetStatus(collector_pb2.GetStatusRequest()).devices
assert [(device.device, device.protocol, device.state) for device in devices] == [("boiler-plc", "modbus", "connecting")]
admin = admin_pb2_grpc.AdminServiceStub(channel)
status = admin.GetServerStatus(admin_pb2.GetServerStatusRequest())
assert status.tags == 27 and status.samples_written == 206 and status.accepting_writes and status.start_time > 0, status
assert status.watermark == marks[-1], status
assert admin.Compact(admin_pb2.CompactRequest()).chunks_sealed > 0
assert admin.GetServerStatus(admin_pb2.GetServerStatusRequest()).head_samples == 0
print("ok")
