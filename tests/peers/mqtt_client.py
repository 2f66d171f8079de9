"""A plain MQTT client of paho, which publishes what it is told and prints what it hears: `mqtt_client.py PORT [options]`.

    --version 5|3.1.1     of the protocol, by default 3.1.1; 5 needs the paho of the main venv
    --user U --password P --ca FILE --certificate FILE --key FILE
    --subscribe FILTER    may be there several times

Prints `ready`. Each line of its standard input is a command in JSON, each ends with the line `done`, behind the acknowledgement where QoS
is above 0:

    {"publish": TOPIC, "text": … | "hex": … | "size": BYTES | "sparkplug": PAYLOAD, "qos": 0, "retain": false}

A Sparkplug payload is `{"timestamp", "seq", "uuid", "body", "metrics": [{"name", "alias", "type", "value", "timestamp", "historical",
"null"}]}`, fields that are absent are absent on the wire; it is made with the messages of pysparkplug, in its venv. What comes is printed
as `heard {"topic", "retain", "text" | "metrics"}`; in a Sparkplug topic the payload is read as such. Ends when its standard input closes.
"""

import argparse
import json
import sys
import threading

from paho.mqtt import client as paho

ACKNOWLEDGED_WITHIN_S = 30
# Types of Sparkplug by name: number, field of the value, bits of an integer that may be negative.
TYPES = {
    "Int8": (1, "int_value", 32),
    "Int16": (2, "int_value", 32),
    "Int32": (3, "int_value", 32),
    "Int64": (4, "long_value", 64),
    "UInt8": (5, "int_value", None),
    "UInt16": (6, "int_value", None),
    "UInt32": (7, "int_value", None),
    "UInt64": (8, "long_value", None),
    "Float": (9, "float_value", None),
    "Double": (10, "double_value", None),
    "Boolean": (11, "boolean_value", None),
    "String": (12, "string_value", None),
    "DateTime": (13, "long_value", None),
    "Text": (14, "string_value", None),
    "Bytes": (17, "bytes_value", None),
}


def sparkplug(told):
    from pysparkplug._protobuf import Payload

    payload = Payload()
    for field in ("timestamp", "seq", "uuid"):
        if field in told:
            setattr(payload, field, told[field])
    if "body" in told:
        payload.body = bytes.fromhex(told["body"])
    for metric in told.get("metrics", []):
        made = payload.metrics.add()
        for field in ("name", "alias", "timestamp"):
            if field in metric:
                setattr(made, field, metric[field])
        if metric.get("historical"):
            made.is_historical = True
        number, value_field, bits = TYPES[metric.get("of") or metric["type"]]
        if "type" in metric:
            made.datatype = number
        if metric.get("null"):
            made.is_null = True
        else:
            value = metric["value"]
            setattr(made, value_field, value % 2**bits if bits else value)
    return payload.SerializeToString()


def payload_of(told):
    if "sparkplug" in told:
        return sparkplug(told["sparkplug"])
    if "hex" in told:
        return bytes.fromhex(told["hex"])
    if "size" in told:
        return b"x" * told["size"]
    return told["text"].encode()


def heard(message):
    line = {"topic": message.topic, "retain": bool(message.retain)}
    if message.topic.startswith("spBv1.0/") and "/STATE/" not in message.topic:
        from pysparkplug._protobuf import Payload

        payload = Payload()
        payload.ParseFromString(message.payload)
        line["metrics"] = {metric.name: getattr(metric, metric.WhichOneof("value") or "name") for metric in payload.metrics}
    else:
        line["text"] = message.payload.decode(errors="replace")
    return line


def main():
    options = argparse.ArgumentParser()
    options.add_argument("port", type=int)
    options.add_argument("--version", default="3.1.1")
    options.add_argument("--subscribe", action="append", default=[])
    for name in ("user", "password", "ca", "certificate", "key"):
        options.add_argument(f"--{name}")
    told = options.parse_args()

    version = paho.MQTTv5 if told.version == "5" else paho.MQTTv311
    # paho 2 wants to be told which callbacks are meant; those of paho 1 are the same in both for what is used here.
    kind = [paho.CallbackAPIVersion.VERSION2] if hasattr(paho, "CallbackAPIVersion") else []
    client = paho.Client(*kind, protocol=version)
    if told.user:
        client.username_pw_set(told.user, told.password)
    if told.ca:
        client.tls_set(ca_certs=told.ca, certfile=told.certificate, keyfile=told.key)
    connected, subscribed = threading.Event(), threading.Event()

    def on_connect(client, _data, _flags, code, _properties=None):
        if code == 0 or getattr(code, "is_failure", True) is False:
            for topic in told.subscribe:
                client.subscribe(topic, 1)
            connected.set()
            if not told.subscribe:
                subscribed.set()

    client.on_connect = on_connect
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _client, _data, message: print("heard", json.dumps(heard(message)), flush=True)
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1" if not told.ca else "localhost", told.port)
    client.loop_start()
    if not connected.wait(ACKNOWLEDGED_WITHIN_S) or not subscribed.wait(ACKNOWLEDGED_WITHIN_S):
        sys.exit("no connection to the broker")
    print("ready", flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        sent = client.publish(command["publish"], payload_of(command), command.get("qos", 0), command.get("retain", False))
        sent.wait_for_publish(ACKNOWLEDGED_WITHIN_S)
        if not sent.is_published():
            sys.exit(f"not taken by the broker: {line.strip()}")
        print("done", flush=True)
    client.disconnect()
    client.loop_stop()


main()
