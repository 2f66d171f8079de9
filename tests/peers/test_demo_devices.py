"""The simulated devices read with clients that no one here wrote, and compared with what the historian collected from them.

HISTORIAN_MODBUS is tcp://host:port of the Modbus device, HISTORIAN_OPCUA opc.tcp://… of the OPC UA device.
"""

import asyncio
import os
import struct

import asyncua
from pymodbus.client import AsyncModbusTcpClient

from lib import get


async def modbus_floats(address: str) -> dict:
    host, port = address.removeprefix("tcp://").split(":")
    client = AsyncModbusTcpClient(host, port=int(port))
    assert await client.connect()
    words = (await client.read_input_registers(10, count=10, device_id=1)).registers
    bits = (await client.read_coils(0, count=3, device_id=1)).bits
    refused = await client.write_register(0, 1, device_id=1)
    assert refused.isError(), "the simulated device took a write"
    client.close()
    assert len(bits) >= 3

    def decode(at: int, order: str) -> float:
        a, b = words[at].to_bytes(2, "big"), words[at + 1].to_bytes(2, "big")
        octets = {"ABCD": a + b, "CDAB": b + a, "BADC": a[::-1] + b[::-1], "DCBA": (a + b)[::-1]}[order]
        return struct.unpack(">f", octets)[0]

    return {
        "demo/intake/pump101/flow": decode(0, "ABCD"),
        "demo/heating/tank201/level": decode(2, "CDAB"),
        "demo/heating/tank201/temperature": decode(4, "DCBA"),
        "demo/heating/steam_flow": decode(6, "BADC"),
    }


async def opcua_values(address: str) -> dict:
    async with asyncua.Client(address) as client:
        index = await client.get_namespace_index("urn:historian:demo-plant")
        names = {
            "demo/product/tank301/level": "Product.T301.Level",
            "demo/utility/boiler/pressure": "Utility.Boiler.Pressure",
            "demo/product/loading/lots": "Product.Lots",
        }
        values = {}
        for tag, node in names.items():
            data = await client.get_node(f"ns={index};s={node}").read_data_value()
            assert data.SourceTimestamp is not None, node
            values[tag] = data.Value.Value
        children = await (await client.nodes.objects.get_child([f"{index}:Plant"])).get_children()
        assert len(children) >= 3, children
        return values


# The process moves between the two readings: tolerances in engineering units.
TOLERANCES = {
    "demo/intake/pump101/flow": 130.0,
    "demo/heating/tank201/level": 3.0,
    "demo/heating/tank201/temperature": 3.0,
    "demo/heating/steam_flow": 500.0,
    "demo/product/tank301/level": 3.0,
    "demo/utility/boiler/pressure": 0.5,
    "demo/product/loading/lots": 1.0,
}


def agree(values):
    wrong = {}
    for tag, value in values.items():
        collected = get({"current": {"tags": [tag]}}).column("value").to_pylist()[0]
        # NaN and no value: an instrument is broken just now.
        broken = collected is None or collected != collected or value != value
        if not broken and abs(collected - value) > TOLERANCES[tag]:
            wrong[tag] = f"device {value}, historian {collected}"
    assert not wrong


def test_the_modbus_device_holds_what_was_collected_and_takes_no_write():
    values = asyncio.run(modbus_floats(os.environ["HISTORIAN_MODBUS"]))
    assert len(values) == 4
    agree(values)


def test_the_opcua_device_holds_what_was_collected():
    values = asyncio.run(opcua_values(os.environ["HISTORIAN_OPCUA"]))
    assert len(values) == 3
    agree(values)
