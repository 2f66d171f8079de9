"""The command loop of the Sparkplug edges in Python, and what they share with those of the other makes (tests/peers/mqtt).

An edge is started as `PROGRAM HOST PORT GROUP NODE DEVICE [EXTRA]` and prints `ready`. Its node and its device have the metrics of
mqtt/metrics.json, the device EXTRA further ones, `Extra/0` and so on, of type Double. Each line of its standard input is a command:

    birth                        connects where it is not connected, and publishes the births of the node and of the device
    data NAME VALUE [TIME]       one value of a metric, in JSON; TIME in ms, by default now
    burst N                      N messages, each with a new value of `Temperature`
    historical NAME VALUE TIME   one value of before, with the flag that says so
    device-death                 the device is gone, the node goes on
    death                        the death that this make sends when it is stopped, and a clean end of the connection
    die                          SIGKILL to itself: the broker sends the will

A value is printed as it is published, `{"device": true, "metric": …, "type": …, "value": …, "time": …, "birth": …, "historical": …}`,
the name as it is in that message; a command ends with the line `done`, or `unsupported` where the make has no such thing. When a host asks
for births it prints `rebirth` and publishes them. It ends when its standard input closes. Times of one metric are never the same twice.
"""

import json
import os
import pathlib
import signal
import sys
import threading
import time

METRICS = json.loads((pathlib.Path(__file__).parent / "mqtt/metrics.json").read_text(encoding="utf-8"))
BURST_PAUSE_S = 0.001


class Unsupported(Exception):
    """The make has no such thing."""


class Edge:
    """What a make fills in: `connect_and_birth`, `publish`, `device_death`, `death`."""

    def __init__(self, host, port, group, node, device, extra="0"):
        self.host, self.port = host, int(port)
        self.group, self.node, self.device = group, node, device
        extra = [{"of": "device", "name": f"Extra/{n}", "type": "Double", "value": float(n), "alias": 1000 + n} for n in range(int(extra))]
        self.metrics = {metric["name"]: metric for metric in METRICS + extra}
        # name -> (value, time in ms): what a birth tells
        self.current = {}
        self.last = 0
        # Commands of the host come on another thread.
        self.lock = threading.RLock()

    def now(self):
        self.last = max(self.last + 1, int(time.time() * 1000))
        return self.last

    def of(self, kind):
        return [metric for metric in self.metrics.values() if metric["of"] == kind]

    def first_values(self):
        """Values of before keep their times; a metric without one has its first value now."""
        for name, metric in self.metrics.items():
            if name not in self.current:
                self.current[name] = (metric["value"], self.now())

    def tell(self, metric, value, at, birth=False, historical=False, name=None):
        line = {"device": metric["of"] == "device", "metric": name or metric["name"], "type": metric["type"], "value": value, "time": at}
        print(json.dumps({**line, "birth": birth, "historical": historical}), flush=True)

    def rebirth(self):
        with self.lock:
            print("rebirth", flush=True)
            self.publish_births()

    # -- by make

    def birth(self):
        raise NotImplementedError

    def publish_births(self):
        raise NotImplementedError

    def publish(self, metric, value, at, historical):
        raise NotImplementedError

    def device_death(self):
        raise NotImplementedError

    def death(self):
        raise NotImplementedError

    # -- commands

    def data(self, name, value, at=None, historical=False):
        metric = self.metrics[name]
        at = int(at) if at is not None else self.now()
        self.publish(metric, value, at, historical)
        if not historical:
            self.current[name] = (value, at)

    def command(self, line):
        word, _, rest = line.partition(" ")
        words = rest.split()
        if word == "birth":
            self.birth()
        elif word in ("data", "historical"):
            # A value has no blanks outside of texts, and a text may have some.
            name, _, rest = rest.partition(" ")
            value, end = json.JSONDecoder().raw_decode(rest)
            at = rest[end:].strip()
            self.data(name, value, int(at) if at else None, word == "historical")
        elif word == "burst":
            for number in range(int(words[0])):
                with self.lock:
                    self.data("Temperature", number + 0.25)
                time.sleep(BURST_PAUSE_S)
        elif word == "device-death":
            self.device_death()
        elif word == "death":
            self.death()
        elif word == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            raise ValueError(f"no command {line!r}")


def run(make):
    edge = make(*sys.argv[1:])
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            # A burst lets a rebirth in between.
            if line.startswith("burst"):
                edge.command(line.strip())
            else:
                with edge.lock:
                    edge.command(line.strip())
            print("done", flush=True)
        except Unsupported:
            print("unsupported", flush=True)
    os._exit(0)
