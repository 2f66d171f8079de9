"""The plant of docs/commissioning.md: a dryer with 200 points in Modbus registers and a line of 2,000 nodes in an OPC UA server.

The dryer keeps its 32-bit values with the low word first, which its list of points does not say. `commissioning_plant.py points FILE [FILE]`
writes that list, and the 50 points of an extension, as the spreadsheet of a German supplier saves them. `commissioning_plant.py serve` serves
both on loopback, prints `ready <modbus port> <opcua port>`, and ends when its standard input closes.
"""

import asyncio
import logging
import struct
import sys

from asyncua import Server, ua
from pymodbus import FramerType
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from ports import free_port

LINE = "urn:supplier:line2"
ZONES, SIGNALS = 20, 100
HEADINGS = ["Bezeichnung", "Adresse", "Datentyp", "Faktor", "Einheit", "Min", "Max", "Beschreibung"]


def points(count, extension):
    """Rows of the list, with the value that the device has: 60 temperatures, 100 raw values, 40 counters, then valves."""
    register = 40401 if extension else 40001
    for number in range(1, count + 1):
        if extension:
            yield [f"DRYE-FT{number:03}", register, "FLOAT32", "", "m3/h", "0", "400", f"Zuluft {number}"], 40.0 + number
            register += 2
        elif number <= 60:
            yield [f"DRYE-TE{number:03}", register, "FLOAT32", "", "°C", "20", "95", f"Temperatur {number}"], 50.0 + number / 2
            register += 2
        elif number <= 160:
            yield [f"DRYE-PT{number - 60:03}", register, "UINT16", "0,01", "bar", "0", "10", f"Druck {number - 60}"], 100 + number
            register += 1
        else:
            yield [f"DRYE-CT{number - 160:03}", register, "UINT32", "", "", "", "", f"Zähler {number - 160}"], 1_000 + number
            register += 2


def registers():
    for row, value in [*points(200, False), *points(50, True)]:
        kind = {"FLOAT32": ">f", "UINT32": ">I", "UINT16": ">H"}[row[2]]
        data = struct.pack(kind, value)
        words = [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
        yield row[1] - 40001, words[::-1]


def write_lists(files):
    for file, (count, extension) in zip(files, [(200, False), (50, True)]):
        rows = [HEADINGS, *(row for row, _ in points(count, extension))]
        with open(file, "w", encoding="latin-1", newline="\r\n") as out:
            out.writelines(";".join(map(str, row)) + "\n" for row in rows)


async def nodes(server):
    index = await server.register_namespace(LINE)
    line = await server.nodes.objects.add_object(ua.NodeId("Line2", index), ua.QualifiedName("Line 2", index))
    unit = ua.EUInformation(NamespaceUri="urn:units", DisplayName=ua.LocalizedText("degC"), Description=ua.LocalizedText("degC"))
    for zone in range(1, ZONES + 1):
        folder = await line.add_folder(ua.NodeId(f"Z{zone:02}", index), ua.QualifiedName(f"Zone {zone:02}", index))
        for signal in range(1, SIGNALS + 1):
            name = f"Z{zone:02}.S{signal:03}"
            node = await folder.add_variable(ua.NodeId(name, index), ua.QualifiedName(f"S{signal:03}", index), float(signal))
            if signal == 1:
                await node.add_property(ua.NodeId(f"{name}.Unit", index), ua.QualifiedName("EngineeringUnits", 0), unit)
                await node.add_property(ua.NodeId(f"{name}.Range", index), ua.QualifiedName("EURange", 0), ua.Range(Low=0.0, High=250.0))


async def serve():
    logging.disable(logging.WARNING)
    modbus, opcua = free_port(), free_port()
    blocks = [SimData(address, values=words, datatype=DataType.REGISTERS) for address, words in registers()]
    none = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
    # The dryer has holding registers only; the other tables are there and empty.
    device = SimDevice(1, simdata=(none, none, blocks, [SimData(0, values=[0], datatype=DataType.REGISTERS)]))
    dryer = ModbusTcpServer([device], framer=FramerType.SOCKET, address=("127.0.0.1", modbus))
    await dryer.serve_forever(background=True)
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{opcua}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    await nodes(server)
    async with server:
        print("ready", modbus, opcua, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await dryer.shutdown()


if sys.argv[1] == "points":
    write_lists(sys.argv[2:])
else:
    asyncio.run(serve())
