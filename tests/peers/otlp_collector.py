"""A collector of traces (OTLP over gRPC) with the messages of the package opentelemetry-proto. Prints `ready <port>`, then a line of JSON for each span.

    otlp_collector.py [CERTIFICATE KEY]    with TLS where a certificate is given
"""

import json
import sys
from concurrent import futures

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


def plain(value):
    return getattr(value, value.WhichOneof("value"))


def attributes(of):
    return {attribute.key: plain(attribute.value) for attribute in of}


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def Export(self, request, context):
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    told = {
                        "resource": attributes(resource.resource.attributes),
                        "scope": scope.scope.name,
                        "name": span.name,
                        "kind": span.kind,
                        "trace": span.trace_id.hex(),
                        "span": span.span_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "nanoseconds": span.end_time_unix_nano - span.start_time_unix_nano,
                        "attributes": attributes(span.attributes),
                        "status": span.status.code,
                        "events": [{"name": event.name, "attributes": attributes(event.attributes)} for event in span.events],
                    }
                    print("span " + json.dumps(told), flush=True)
        return trace_service_pb2.ExportTraceServiceResponse()


server = grpc.server(futures.ThreadPoolExecutor(2))
trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Collector(), server)
if len(sys.argv) == 3:
    certificate, key = (open(file, "rb").read() for file in sys.argv[1:])
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
print("ready", port, flush=True)
# Ends with whoever has started it.
sys.stdin.read()
