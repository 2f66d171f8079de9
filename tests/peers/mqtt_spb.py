"""A Sparkplug edge of mqtt-spb-wrapper 2.1.2; commands and output as mqtt_edge.py says. Run with the venv of requirements-mqtt-spb.txt.

How this make is: a birth names a metric `DATA/Temperature`, the data that follow name it `Temperature`. Node and device are two connections
with one counter of sequence numbers; a device's will and its clean death are a DDEATH without seq. bdSeq is a counter that goes on with
every will and every death, so that none of the deaths has the number of its birth. There is no historical value. Its own command for a
rebirth (include_spb_rebirth) ends the thread of the connection when a host gives it, so the program has one in its place.
"""

import threading
import time

from mqtt_spb_wrapper import MqttSpbEntityDevice, MqttSpbEntityEdgeNode
from mqtt_spb_wrapper.spb_protobuf import MetricDataType

from mqtt_edge import Edge, Unsupported, run

REBIRTH = "Node Control/Rebirth"
PARTING_S = 5


class Spb(Edge):
    entities = None

    def entity(self, metric):
        return self.entities[metric["of"]]

    def birth(self):
        if self.entities is None:
            node = MqttSpbEntityEdgeNode(self.group, self.node, include_spb_rebirth=False)
            node.commands.set_value(REBIRTH, False, callback_on_change=self.commanded)
            self.entities = {"node": node, "device": MqttSpbEntityDevice(self.group, self.node, self.device)}
        self.first_values()
        for name, metric in self.metrics.items():
            value, at = self.current[name]
            kind = getattr(MetricDataType, metric["type"])
            self.entity(metric).data.set_value(name, value, timestamp=at, spb_data_type=kind)
        for entity in self.entities.values():
            assert entity.connect(self.host, self.port), "no connection"
        self.publish_births()

    def commanded(self, wanted):
        if wanted:
            # Behind the library, which is in the middle of taking the command.
            threading.Thread(target=self.rebirth).start()

    def publish_births(self):
        for kind, entity in self.entities.items():
            if entity.is_connected():
                for metric in self.of(kind):
                    self.tell(metric, *self.current[metric["name"]], birth=True, name=f"DATA/{metric['name']}")
                entity.publish_birth()

    def publish(self, metric, value, at, historical):
        if historical:
            raise Unsupported
        entity = self.entity(metric)
        entity.data.set_value(metric["name"], value, timestamp=at)
        self.tell(metric, value, at)
        assert entity.publish_data()

    def device_death(self):
        self.end("device")

    def death(self):
        self.end("device")
        self.end("node")

    def end(self, kind):
        # A publish right before the end may be left in the client.
        time.sleep(0.1)
        if self.entities[kind].is_connected():
            # It publishes the death at once, and sometimes waits for its own thread for ever.
            parting = threading.Thread(target=self.entities[kind].disconnect, daemon=True)
            parting.start()
            parting.join(PARTING_S)


run(Spb)
