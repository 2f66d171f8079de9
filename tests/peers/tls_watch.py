"""One call without an end over TLS, with a certificate of the client: prints `ready` when it has begun and `ended <code>` when the server has ended it."""

import sys

import grpc

address, *files = sys.argv[1:]
ca, certificate, key = (open(file, "rb").read() for file in files)
credentials = grpc.ssl_channel_credentials(ca, key, certificate)
with grpc.secure_channel(address, credentials) as channel:
    answers = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
    try:
        next(answers)
        print("ready", flush=True)
        for _ in answers:
            pass
        print("ended OK", flush=True)
    except grpc.RpcError as error:
        print("ended", error.code().name, flush=True)
