"""Calls over TLS without a pause: each on a connection of its own, and on one that stays open. Ends with the line "end" and tells how many calls
there were and how many of them failed: `calls <new> <failed> <kept> <failed>`."""

import sys
import threading

import grpc

ADDRESS, CA = sys.argv[1:3]
CREDENTIALS = grpc.ssl_channel_credentials(open(CA, "rb").read())
METHOD = "/grpc.health.v1.Health/Check"

ended = threading.Event()


def channel():
    # Without a pool of its own a channel to the same address would take the connection of another.
    return grpc.secure_channel(ADDRESS, CREDENTIALS, [("grpc.use_local_subchannel_pool", 1)])


def call(to):
    try:
        to.unary_unary(METHOD)(b"", timeout=10)
    except grpc.RpcError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def on_new_connections(counts):
    while not ended.is_set():
        with channel() as one:
            counts[1] += call(one)
        counts[0] += 1


def on_one_connection(counts):
    with channel() as one:
        while not ended.is_set():
            counts[1] += call(one)
            counts[0] += 1
            ended.wait(0.05)


new, more, kept = [0, 0], [0, 0], [0, 0]
threads = [threading.Thread(target=run, args=(counts,)) for run, counts in [(on_new_connections, new), (on_new_connections, more), (on_one_connection, kept)]]
for thread in threads:
    thread.start()
print("ready", flush=True)
sys.stdin.readline()
ended.set()
for thread in threads:
    thread.join()
print("calls", new[0] + more[0], new[1] + more[1], *kept, flush=True)
