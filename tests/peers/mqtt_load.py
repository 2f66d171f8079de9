"""A Sparkplug edge that publishes as fast as it is told, to measure what the historian takes; run by hand:

    mqtt_load.py PORT [--metrics 1000] [--rate 50000] [--seconds 30] [--batch 500]

One node with METRICS metrics of type Double is born, then NDATA messages of BATCH metrics each, by alias with time and value, at RATE
metrics a second, every value another one and no time of a metric twice: the n-th value is n + alias / 10,000. The messages are made of arrays and
written to the socket as they are, so that one process makes some millions of metrics a second. Prints `ready` after the birth, a line a
second, and at the end `{"published", "seconds", "per_second", "first_ms", "last_ms", "late_ms"}`. With --flood COUNT it publishes one text
on each of COUNT topics, flood/0 and so on, and no more.
"""

import argparse
import itertools
import json
import socket
import struct
import time

import numpy

FIRST_ALIAS = 128  # two bytes as a varint, up to 16,383
ALIASES_MAX = 16_383 - FIRST_ALIAS


def varint(number):
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    made.append(number)
    return bytes(made)


def field(number, content):
    """A field of protobuf with a length."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def text(content):
    return struct.pack(">H", len(content)) + content


def packet(kind, body):
    return bytes([kind]) + varint(len(body)) + body


def connect(port, client, will=None):
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    flags = 2 | (4 if will else 0)
    body = text(b"MQTT") + bytes([4, flags]) + struct.pack(">H", 0) + text(client)
    if will:
        body += text(will[0]) + text(will[1])
    sock.sendall(packet(0x10, body))
    answer = sock.recv(4)
    if answer[:1] != b"\x20" or answer[3:] != b"\0":
        raise SystemExit(f"the broker does not take the connection: {answer.hex()}")
    return sock


def publish(topic, payload):
    return packet(0x30, text(topic) + payload)


def birth_metric(name, alias, now, value):
    fixed = b"\x20\x0a" + b"\x69" + struct.pack("<d", value)
    return field(2, field(1, name.encode()) + b"\x10" + varint(alias) + b"\x18" + varint(now) + fixed)


def bd_seq(now):
    return field(2, field(1, b"bdSeq") + b"\x18" + varint(now) + b"\x20\x08\x58\x00")


class Batch:
    """Metrics of one message, all of one length: only times and values change."""

    # metrics { alias, timestamp, double_value }: tag, length, 0x10 alias, 0x18 six bytes of time, 0x69 eight bytes of value
    METRIC = 21

    def __init__(self, aliases):
        self.aliases = aliases
        self.bytes = numpy.zeros((len(aliases), self.METRIC), numpy.uint8)
        self.bytes[:, 0:2] = (0x12, self.METRIC - 2)
        self.bytes[:, 2] = 0x10
        self.bytes[:, 3] = aliases & 127 | 128
        self.bytes[:, 4] = aliases >> 7
        self.bytes[:, 5] = 0x18
        self.bytes[:, 12] = 0x69

    def payload(self, at, seq, turn):
        self.bytes[:, 6:12] = numpy.frombuffer(varint(at), numpy.uint8)
        values = (turn + self.aliases / 10_000).astype("<f8")
        self.bytes[:, 13:21] = values.view(numpy.uint8).reshape(-1, 8)
        return b"\x08" + varint(at) + self.bytes.tobytes() + b"\x18" + varint(seq)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("port", type=int)
    options.add_argument("--metrics", type=int, default=1000)
    options.add_argument("--rate", type=int, default=50_000)
    options.add_argument("--seconds", type=float, default=30)
    options.add_argument("--batch", type=int, default=500)
    options.add_argument("--flood", type=int, default=0)
    told = options.parse_args()

    if told.flood:
        sock = connect(told.port, b"flood")
        sock.sendall(b"".join(publish(f"flood/{number}".encode(), b"1.5") for number in range(told.flood)))
        sock.sendall(packet(0xE0, b""))
        # The broker closes when it has read all of it.
        sock.recv(1)
        print("done", flush=True)
        return

    if told.metrics > ALIASES_MAX or told.metrics % told.batch:
        raise SystemExit(f"at most {ALIASES_MAX} metrics, a multiple of the batch")
    now = int(time.time() * 1000)
    sock = connect(told.port, b"load", will=(b"spBv1.0/plant/NDEATH/load", b"\x08" + varint(now) + bd_seq(now)))
    born = b"".join(birth_metric(f"m{alias}", alias, now, alias / 10_000) for alias in range(FIRST_ALIAS, FIRST_ALIAS + told.metrics))
    payload = b"\x08" + varint(now) + bd_seq(now) + born + b"\x18\x00"
    sock.sendall(publish(b"spBv1.0/plant/NBIRTH/load", payload))
    print("ready", flush=True)

    aliases = numpy.arange(FIRST_ALIAS, FIRST_ALIAS + told.metrics)
    batches = [Batch(aliases[start : start + told.batch]) for start in range(0, told.metrics, told.batch)]
    sequence = itertools.cycle(range(256))
    next(sequence)
    time.sleep(1)  # the tags of the birth are made
    begun, published, last, late = time.monotonic(), 0, int(time.time() * 1000), 0.0
    first, tell = last + 1, 1
    turns = max(1, int(told.rate * told.seconds / told.metrics))
    for turn in range(1, turns + 1):
        # One time for the whole turn: no metric has the same twice.
        last = max(last + 1, int(time.time() * 1000))
        for batch in batches:
            due = begun + published / told.rate
            ahead = due - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            late = max(late, -ahead)
            sock.sendall(publish(b"spBv1.0/plant/NDATA/load", batch.payload(last, next(sequence), turn)))
            published += len(batch.aliases)
        if time.monotonic() - begun > tell:
            print(f"{published} metrics in {time.monotonic() - begun:.1f} s", flush=True)
            tell += 1
    seconds = time.monotonic() - begun
    rate = round(published / seconds)
    told = {"published": published, "seconds": seconds, "per_second": rate, "first_ms": first, "last_ms": last, "late_ms": late * 1000}
    print(json.dumps(told), flush=True)
    # It stays, so that its tags stay Good until whoever measures has looked.
    input()


main()
