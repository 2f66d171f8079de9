"""Modbus server with known contents, made of pymodbus: `modbus_server.py tcp|rtu [port]`, on a serial port `serial PATH`, within TLS
`tls CERTIFICATE KEY CLIENT_CA`.

Every register holds what tests/it/modbus expects (see `plant` there): each format in each word order, written here with struct, coils and
discrete inputs by a rule, and registers that hold their own address. Addresses not listed answer with exception 02.
Prints `ready <port>`; ends when its standard input closes.
"""

import asyncio
import ssl
import struct
import sys

from pymodbus import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer, ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice

from ports import free_port

ORDERS = ["ABCD", "CDAB", "BADC", "DCBA"]
FORMATS = [
    # format, struct code, value; the place in this list gives the address
    ("u16", "H", 65432),
    ("i16", "h", -12345),
    ("u32", "I", 4_000_000_001),
    ("i32", "i", -2_000_000_003),
    ("u64", "Q", 18_000_000_000_000_000_007),
    ("i64", "q", -9_000_000_000_000_000_011),
    ("f32", "f", -1234.5678),
    ("f64", "d", 2.718281828459045e-100),
]


def words(data: bytes, order: str) -> list[int]:
    """Registers of a value given most significant byte first."""
    pairs = [data[i : i + 2] for i in range(0, len(data), 2)]
    if order in ("CDAB", "DCBA"):
        pairs.reverse()
    if order in ("BADC", "DCBA"):
        pairs = [pair[::-1] for pair in pairs]
    return [int.from_bytes(pair, "big") for pair in pairs]


def holding() -> list[SimData]:
    blocks = []
    for place, (_, code, value) in enumerate(FORMATS):
        for number, order in enumerate(ORDERS):
            # 16 registers apart for each format, 4 for each order
            blocks.append((place * 16 + number * 4, words(struct.pack(">" + code, value), order)))
    blocks.append((200, words(b"BOILER-7".ljust(10, b"\0"), "ABCD")))
    blocks.append((210, [0x3C00]))  # f16 1.0
    blocks.append((211, [0b1010_0000_0000_0101]))  # bits and bytes
    blocks.append((65533, words(struct.pack(">f", 42.25), "ABCD") + [65535]))
    return sim(blocks)


def sim(blocks) -> list[SimData]:
    return [SimData(address, values=values, datatype=DataType.REGISTERS) for address, values in blocks]


def bits(rule) -> list[SimData]:
    return [SimData(0, values=[rule(number) for number in range(640)], datatype=DataType.BITS)]


def server(devices: list[SimDevice], kind: str, arguments: list[str]):
    """The server asked for, and what to say of it."""
    if kind == "serial":
        return ModbusSerialServer(devices, port=arguments[0], baudrate=115200, parity="N"), arguments[0]
    port = int(arguments[0]) if kind != "tls" and arguments else free_port()
    if kind == "tls":
        certificate, key, authority = arguments
        secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        secure.load_cert_chain(certificate, key)
        secure.load_verify_locations(authority)
        secure.verify_mode = ssl.CERT_REQUIRED
        return ModbusTlsServer(devices, address=("127.0.0.1", port), sslctx=secure), port
    framer = {"tcp": FramerType.SOCKET, "rtu": FramerType.RTU}[kind]
    return ModbusTcpServer(devices, framer=framer, address=("127.0.0.1", port)), port


async def main() -> None:
    coils = bits(lambda n: n % 3 == 0)
    discrete = bits(lambda n: n % 5 == 1)
    inputs = [SimData(0, values=[(n * 7 + 3) & 0xFFFF for n in range(2000)], datatype=DataType.REGISTERS)]
    first = SimDevice(1, simdata=(coils, discrete, holding(), inputs))
    second = SimDevice(2, simdata=(coils, discrete, [SimData(0, values=[20_000 + n for n in range(200)], datatype=DataType.REGISTERS)], inputs))
    serving, place = server([first, second], sys.argv[1], sys.argv[2:])
    await serving.serve_forever(background=True)
    print("ready", place)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await serving.shutdown()


asyncio.run(main())
