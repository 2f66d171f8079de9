"""Modbus server made of pymodbus with the holding registers of a file: `modbus_map.py FILE UNIT`.

The file is JSON with `base`, the first address, and `words`, lines of hexadecimal registers. Other addresses answer with exception 02.
Prints `ready <port>`; ends when its standard input closes.
"""

import asyncio
import json
import pathlib
import sys

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from ports import free_port


async def main() -> None:
    device = json.loads(pathlib.Path(sys.argv[1]).read_text("utf-8"))
    words = [int(word, 16) for line in device["words"] for word in line.split()]
    registers = [SimData(device["base"], values=words, datatype=DataType.REGISTERS)]
    bits = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
    inputs = [SimData(0, values=[0], datatype=DataType.REGISTERS)]
    port = free_port()
    serving = ModbusTcpServer([SimDevice(int(sys.argv[2]), simdata=(bits, bits, registers, inputs))], address=("127.0.0.1", port))
    await serving.serve_forever(background=True)
    print("ready", port)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await serving.shutdown()


asyncio.run(main())
