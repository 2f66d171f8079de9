"""A Sparkplug edge of pysparkplug 0.6.1; commands and output as mqtt_edge.py says. Run with the venv of mqtt/requirements-pysparkplug.txt.

How this make is: values carry their name and type always, an alias never by itself. The will of a connection has the bdSeq of its birth; a
clean NDEATH has the one after it, which a strict host takes for the death of another session. It births again by itself when the connection
comes back, with values and times of before; a rebirth that a host asks for is the program's to do.
"""

import itertools
import logging
import time

from pysparkplug import (
    DataType,
    DBirth,
    Device,
    EdgeNode,
    Message,
    MessageType,
    Metric,
    NBirth,
    QoS,
    Topic,
    get_current_timestamp,
)

from mqtt_edge import Edge, run

logging.disable(logging.CRITICAL)
REBIRTH = "Node Control/Rebirth"
PATIENCE_S = 10


class Node(EdgeNode):
    """Remembers the bdSeq metrics that it has made: one for each will."""

    def __init__(self, *arguments, **named):
        self.sessions = []
        super().__init__(*arguments, **named)

    def _setup_will(self):
        super()._setup_will()
        self.sessions.append(self._bd_seq_metric)


class PySparkplug(Edge):
    edge = None

    def metric(self, metric, value, at, historical=False):
        return Metric(timestamp=at, name=metric["name"], datatype=DataType[metric["type"].upper()], value=value, is_historical=historical)

    def all(self, kind):
        metrics = []
        for metric in self.of(kind):
            value, at = self.current[metric["name"]]
            self.tell(metric, value, at, birth=True)
            metrics.append(self.metric(metric, value, at))
        if kind == "node":
            metrics.append(Metric(timestamp=self.now(), name=REBIRTH, datatype=DataType.BOOLEAN, value=False))
        return metrics

    def birth(self):
        self.first_values()
        if self.edge is None:
            self.edge = Node(self.group, self.node, self.all("node"), cmd_callback=self.commanded)
            self.edge.register(Device(self.device, self.all("device")))
            self.edge.connect(self.host, port=self.port)
            # The last thing it does when it is connected is to make the next will, behind the births.
            deadline = time.monotonic() + PATIENCE_S
            while len(self.edge.sessions) < 2:
                assert time.monotonic() < deadline, "no connection"
                time.sleep(0.01)
        elif self.device in self.edge.devices:
            self.publish_births()
        else:
            self.edge.register(Device(self.device, self.all("device")))

    def commanded(self, _edge, message):
        if any(metric.name == REBIRTH and metric.value for metric in message.payload.metrics):
            self.rebirth()

    def publish_births(self):
        """The births once more, in the same connection: the library has no call for it."""
        edge = self.edge
        edge._EdgeNode__seq_cycler = itertools.cycle(range(256))
        node = (*self.all("node"), edge.sessions[-2])
        births = [(MessageType.NBIRTH, None, NBirth(get_current_timestamp(), edge._seq, node))]
        if self.device in edge.devices:
            births.append((MessageType.DBIRTH, self.device, DBirth(get_current_timestamp(), edge._seq, tuple(self.all("device")))))
        for kind, device, payload in births:
            topic = Topic(message_type=kind, group_id=self.group, edge_node_id=self.node, device_id=device)
            edge._client.publish(Message(topic=topic, payload=payload, qos=QoS.AT_MOST_ONCE, retain=False), include_dtypes=True)

    def publish(self, metric, value, at, historical):
        self.tell(metric, value, at, historical=historical)
        sent = self.metric(metric, value, at, historical)
        # It keeps what it sends for its next birth, a historical value too.
        if metric["of"] == "node":
            before = self.edge.metrics[metric["name"]]
            self.edge.update([sent])
            if historical:
                self.edge._metrics[metric["name"]] = before
        else:
            device = self.edge.devices[self.device]
            before = device.metrics[metric["name"]]
            self.edge.update_device(self.device, [sent])
            if historical:
                device.update([before])

    def device_death(self):
        self.edge.deregister(self.device)

    def death(self):
        self.edge.disconnect()
        self.edge = None


run(PySparkplug)
