"""Structures of a server's own data types, as asyncua makes, describes and encodes them.

A `Pump` has a nested structure, optional fields, an enumeration, arrays of numbers and of structures, and a union. `Any` may hold every
structure. `Old` is of a type without a DataTypeDefinition, as servers of OPC UA 1.03 have them.
"""

import base64
import dataclasses
import enum
import json

from asyncua import ua
from asyncua.common.structures104 import create_data_type, create_encoding, new_enum, new_struct, new_struct_field

# Which field a union holds is a number to asyncua, and so is a whole number of 64 bits.
UNIONS = {"Choice": ["Number", "Text"]}
LONG = {"Number", "Counter"}
TYPES = ua.VariantType


async def add(server, index, source, put):
    field = new_struct_field
    mode = await new_enum(server, index, "Mode", ["off", "auto", "manual"])
    motor, _ = await new_struct(server, index, "Motor", [field("Speed", TYPES.Double), field("Running", TYPES.Boolean)])
    choice, _ = await new_struct(server, index, "Choice", [field("Number", TYPES.Int64), field("Text", TYPES.String)], is_union=True)
    pump, _ = await new_struct(server, index, "Pump", [
        field("Name", TYPES.String),
        field("Motor", motor),
        field("Comment", TYPES.LocalizedText, optional=True),
        field("Limit", TYPES.Float, optional=True),
        field("Mode", mode),
        field("Zones", TYPES.Int16, array=True),
        field("Motors", motor, array=True),
        field("Choice", choice),
        field("Counter", TYPES.UInt64),
        field("Code", TYPES.ByteString),
    ])
    # No node has it for its type: it is met in a value alone.
    await new_struct(server, index, "Valve", [field("Opening", TYPES.Float), field("Motor", motor)])
    await server.load_data_type_definitions()
    structure = ua.NodeId(ua.ObjectIds.Structure)
    for name, kind, value in [("Pump1", pump.nodeid, PUMP), ("Motor1", motor.nodeid, MOTOR), ("Any", structure, MOTOR)]:
        node = ua.NodeId(name, index)
        first = made(value)
        await server.nodes.objects.add_variable(node, ua.QualifiedName(name, index), first, TYPES.ExtensionObject, kind)
        await put(server, node, data_value(first, source))
    old = await create_data_type(server.nodes.base_structure_type, index, "OldType")
    encoding = await create_encoding(old, ua.NodeId("OldBinary", index), ua.QualifiedName("Default Binary", 0))
    node = ua.NodeId("Old", index)
    await server.nodes.objects.add_variable(node, ua.QualifiedName("Old", index), made(MOTOR), TYPES.ExtensionObject, old.nodeid)
    assert encoding.nodeid == ua.NodeId("OldBinary", index)


MOTOR = {"type": "Motor", "Speed": 1480.5, "Running": True}
PUMP = {
    "type": "Pump", "Name": 'P "1"', "Motor": MOTOR, "Limit": 2.5, "Mode": 1, "Zones": [1, -2, 3],
    "Motors": [{"type": "Motor", "Speed": 1.0, "Running": False}, {"type": "Motor", "Speed": 2.0, "Running": True}],
    "Choice": {"type": "Choice", "Text": "Größe"}, "Counter": 18446744073709551615, "Code": "AQID",
}


def made(told):
    """The object of asyncua that is told of."""
    if isinstance(told, list):
        return [made(one) for one in told]
    if not isinstance(told, dict):
        return told
    fields = {name: made(value) for name, value in told.items() if name != "type"}
    kind = told["type"]
    if kind in UNIONS:
        value = getattr(ua, kind)()
        for name, one in fields.items():
            setattr(value, name, one)
        return value
    for name, change in [("Mode", ua.Mode if hasattr(ua, "Mode") else int), ("Code", base64.b64decode), ("Comment", ua.LocalizedText)]:
        if name in fields:
            fields[name] = change(fields[name])
    return getattr(ua, kind)(**fields)


def plain(value, name=""):
    """What is in an object of asyncua, in the form in which the historian writes structures."""
    if isinstance(value, enum.IntEnum):
        return int(value)
    if isinstance(value, ua.LocalizedText):
        return value.Text
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [plain(one, name) for one in value]
    kind = type(value).__name__
    if kind in UNIONS:
        return {(field := UNIONS[kind][value.Encoding - 1]): plain(value.Value, field)} if value.Encoding else None
    if dataclasses.is_dataclass(value):
        told = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.name != "Encoding"}
        optional = {"Comment", "Limit"}
        return {field: plain(one, field) for field, one in told.items() if one is not None or field not in optional}
    return str(value) if name in LONG else value


def data_value(value, source):
    return ua.DataValue(ua.Variant(value, TYPES.ExtensionObject), SourceTimestamp=source, ServerTimestamp=source)


def text_of(value):
    return json.dumps(plain(value), separators=(",", ":"), ensure_ascii=False)
