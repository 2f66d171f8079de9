"""Objects to browse, as plants have them: units, ranges, enumerations, arrays, odd names, loops, and what nobody may read."""

from asyncua import ua

INT32, DOUBLE = ua.VariantType.Int32, ua.VariantType.Double


def name(text, index):
    return ua.QualifiedName(text, index)


async def describe(node, text):
    await node.write_attribute(ua.AttributeIds.Description, ua.DataValue(ua.Variant(ua.LocalizedText(text, "en"))))


async def enumeration(server, index, text, property_name, values):
    kind = await server.nodes.enum_data_type.add_data_type(ua.NodeId(text, index), name(text, index))
    await kind.add_property(ua.NodeId(f"{text}.{property_name}", index), name(property_name, 0), values)
    return kind.nodeid


async def add(server, index):
    objects = server.nodes.objects
    boiler = await objects.add_object(ua.NodeId("Boiler1", index), name("Boiler1", index))
    sensors = await boiler.add_folder(ua.NodeId("Boiler1.Sensors", index), name("Sensors", index))

    async def variable(parent, text, value, kind, data_type=None, browse_name=None):
        return await parent.add_variable(ua.NodeId(text, index), browse_name or name(text, index), value, kind, data_type)

    pressure = await variable(sensors, "Boiler1.Pressure", 2.5, DOUBLE, None, name("Pressure", index))
    await describe(pressure, 'Steam, "main" line;\nbehind the valve')
    unit = ua.EUInformation(NamespaceUri="urn:u", UnitId=4342098, DisplayName=ua.LocalizedText("bar"), Description=ua.LocalizedText("bar"))
    await pressure.add_property(ua.NodeId("Boiler1.Pressure.Unit", index), name("EngineeringUnits", 0), unit)
    await pressure.add_property(ua.NodeId("Boiler1.Pressure.Range", index), name("EURange", 0), ua.Range(Low=-1.0, High=16.5))
    # The same name once more, of another namespace; names that no tag can have; an identifier with everything in it.
    await variable(sensors, "Boiler1.Other", 1.0, DOUBLE, None, name("Pressure", 1))
    await variable(sensors, 'a;b,"c"=[1]', 7, INT32, None, name("T[1]*", index))

    mode = await enumeration(server, index, "Mode", "EnumStrings", [ua.LocalizedText("off"), ua.LocalizedText("on")])
    values = [ua.EnumValueType(Value=1, DisplayName=ua.LocalizedText("stop")), ua.EnumValueType(Value=3, DisplayName=ua.LocalizedText("run"))]
    phase = await enumeration(server, index, "Phase", "EnumValues", values)
    await variable(boiler, "Boiler1.Mode", 1, INT32, mode, name("Mode", index))
    await variable(boiler, "Boiler1.Phase", 3, INT32, phase, name("Phase", index))
    # A Double by another name, and a value of any type.
    await variable(boiler, "Boiler1.Delay", 1.5, DOUBLE, ua.NodeId(ua.ObjectIds.Duration), name("Delay", index))
    await variable(boiler, "Boiler1.Any", True, ua.VariantType.Boolean, ua.NodeId(ua.ObjectIds.BaseDataType), name("Any", index))
    await variable(boiler, "Boiler1.Tag", b"\x01\x02", ua.VariantType.ByteString, None, name("Tag", index))
    setpoint = await variable(boiler, "Boiler1.Setpoint", 5.0, DOUBLE, None, name("Setpoint", index))
    await setpoint.set_writable()
    array = await variable(boiler, "Boiler1.Zones", [1.0, 2.0, 3.0], DOUBLE, None, name("Zones", index))
    await array.write_attribute(ua.AttributeIds.ArrayDimensions, ua.DataValue(ua.Variant([3], ua.VariantType.UInt32)))
    open_array = await variable(boiler, "Boiler1.Log", [1.0, 2.0], DOUBLE, None, name("Log", index))
    await open_array.write_attribute(ua.AttributeIds.ArrayDimensions, ua.DataValue(ua.Variant([0], ua.VariantType.UInt32)))
    await variable(boiler, "Boiler1.Record", unit, ua.VariantType.ExtensionObject, ua.NodeId(ua.ObjectIds.EUInformation), name("Record", index))
    secret = await variable(boiler, "Boiler1.Secret", 1.0, DOUBLE, None, name("Secret", index))
    for attribute in (ua.AttributeIds.AccessLevel, ua.AttributeIds.UserAccessLevel):
        await secret.write_attribute(attribute, ua.DataValue(ua.Variant(0, ua.VariantType.Byte)))

    # A way back up, and a second way to the same node.
    await sensors.add_reference(objects, ua.ObjectIds.Organizes, forward=True, bidirectional=False)
    await boiler.add_reference(pressure, ua.ObjectIds.Organizes, forward=True, bidirectional=False)
    await objects.add_object(ua.NodeId("Pump", index), name("Pump", index))


async def add_line(server, index, rows, source):
    """Variables by their paths: [path, node, type, value] and, where it has them, {"unit", "range", "text"}; folders are made as they are needed."""
    folders = {}

    async def folder(path):
        if not path:
            return server.nodes.objects
        if path not in folders:
            above, _, last = path.rpartition("/")
            parent = await folder(above)
            node = server.get_node(ua.NodeId(f"folder {path}", index))
            try:
                await node.read_browse_name()
            except ua.UaStatusCodeError:
                node = await parent.add_folder(node.nodeid, name(last, index))
            folders[path] = node
        return folders[path]

    for path, node, kind, value, *more in rows:
        above, _, last = path.rpartition("/")
        parent, node = await folder(above), ua.NodeId(node, index)
        if kind == "Record":
            record = ua.EUInformation(NamespaceUri="urn:u", UnitId=1, DisplayName=ua.LocalizedText("u"), Description=ua.LocalizedText("u"))
            await parent.add_variable(node, name(last, index), record, ua.VariantType.ExtensionObject, ua.NodeId(ua.ObjectIds.EUInformation))
            continue
        kind = getattr(ua.VariantType, kind)
        value = float(value) if kind in (ua.VariantType.Double, ua.VariantType.Float) else value
        variable = await parent.add_variable(node, name(last, index), value, kind)
        dv = ua.DataValue(ua.Variant(value, kind), SourceTimestamp=source, ServerTimestamp=source)
        await server.write_attribute_value(node, dv)
        for told in more:
            if "text" in told:
                await describe(variable, told["text"])
            if "unit" in told:
                unit = ua.LocalizedText(told["unit"])
                unit = ua.EUInformation(NamespaceUri="urn:u", UnitId=1, DisplayName=unit, Description=unit)
                await variable.add_property(ua.NodeId(f"unit of {node.Identifier}", index), name("EngineeringUnits", 0), unit)
            if "range" in told:
                low, high = told["range"]
                span = ua.Range(Low=float(low), High=float(high))
                await variable.add_property(ua.NodeId(f"range of {node.Identifier}", index), name("EURange", 0), span)
