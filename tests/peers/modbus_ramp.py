"""Modbus TCP server, made of pymodbus, whose input registers 0 and 1 (an f32) change with each request: a ramp of 40 reads that goes up and down, with
noise, a step at every 97th read and a spike at every 61st; always the same sequence. Prints `ready <port>`; ends when its standard input closes.
"""

import asyncio
import random
import struct
import sys

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from ports import free_port


def values():
    noise = random.Random(7)
    read = 0
    while True:
        turn = read % 80
        ramp = min(turn, 80 - turn) * 0.5
        yield ramp + noise.uniform(-0.2, 0.2) + (read // 97) * 5.0 + (12.0 if read % 61 == 60 else 0.0)
        read += 1


SEQUENCE = values()


async def answer(_function, start, _address, _count, registers, _set):
    registers[0 - start : 2 - start] = struct.unpack(">2H", struct.pack(">f", next(SEQUENCE)))


async def main() -> None:
    inputs = [SimData(0, values=[0] * 16, datatype=DataType.REGISTERS)]
    bits = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
    device = SimDevice(1, simdata=(bits, bits, inputs, inputs), action=answer)
    port = free_port()
    server = ModbusTcpServer([device], address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    print("ready", port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.shutdown()


asyncio.run(main())
