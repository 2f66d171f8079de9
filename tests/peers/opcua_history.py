"""Histories of nodes for `opcua_server.py`: asyncua's own service and storage in memory, with what other servers do differently, and values that
change by themselves."""

import asyncio
import math
import struct
import time

from asyncua import ua
from asyncua.server.history import HistoryDict

NS_PER_US = 1000


def nanoseconds(moment):
    """Of asyncua's times, which are whole microseconds."""
    return round(moment.timestamp() * 1_000_000) * NS_PER_US


class History:
    """`put` sets a value and tells the subscriptions; `data_value` makes one of type Double."""

    def __init__(self, server, index, arguments, put, data_value):
        self.server, self.index, self.arguments = server, index, arguments
        self.put, self.data_value = put, data_value
        self.requests, self.changing, self.step = [], [], 0
        self.manager = server.iserver.history_manager
        self.storage = HistoryDict(max_history_data_response_size=arguments.history_page)
        self.manager.set_storage(self.storage)
        read = self.manager._read_history

        async def read_history(details, node):
            bounds = sorted(nanoseconds(moment) for moment in (details.StartTime, details.EndTime))
            self.requests.append([node.NodeId.Identifier, *bounds])
            if arguments.history_refuse:
                return ua.HistoryReadResult(StatusCode=ua.StatusCode(ua.StatusCodes.BadHistoryOperationUnsupported))
            if node.ContinuationPoint and arguments.history_expire and len(self.requests) % 3 == 0:
                return ua.HistoryReadResult(StatusCode=ua.StatusCode(ua.StatusCodes.BadContinuationPointInvalid))
            return await read(details, node)

        self.manager._read_history = read_history

    def node(self, name):
        return ua.NodeId(name, self.index)

    async def begin(self, names):
        for name in names:
            node = self.server.get_node(self.node(name))
            if not self.arguments.history_hidden:
                await node.set_attr_bit(ua.AttributeIds.AccessLevel, ua.AccessLevel.HistoryRead)
                await node.set_attr_bit(ua.AttributeIds.UserAccessLevel, ua.AccessLevel.HistoryRead)
            await self.storage.new_historized_node(node.nodeid, None)

    async def save(self, node, value):
        await asyncio.sleep(self.arguments.history_lag_s)
        await self.storage.save_node_value(node, value)

    async def keep(self, name, value):
        """Saves what was set by a command, where the node has a history."""
        if self.node(name) in self.storage._datachanges:
            await self.storage.save_node_value(self.node(name), value)

    async def change(self, names, period):
        while True:
            self.step += 1
            for number, name in enumerate(names):
                at = time.time_ns() // NS_PER_US * NS_PER_US
                value = self.data_value("Double", math.sin(self.step + number) * 1e3, 0, at, at)
                await self.put(self.server, self.node(name), value)
                if self.arguments.history_lag_s:
                    self.changing.append(asyncio.create_task(self.save(self.node(name), value)))
                else:
                    await self.storage.save_node_value(self.node(name), value)
            await asyncio.sleep(period)

    async def later(self, uri):
        """A new namespace with one node, `late`, that has a history already. Answers its values."""
        index = await self.server.register_namespace(uri)
        name = ua.QualifiedName("late", index)
        node = await self.server.nodes.objects.add_variable(ua.NodeId("late", index), name, 0.0, ua.VariantType.Double)
        for attribute in (ua.AttributeIds.AccessLevel, ua.AttributeIds.UserAccessLevel):
            await node.set_attr_bit(attribute, ua.AccessLevel.HistoryRead)
        await self.storage.new_historized_node(node.nodeid, None)
        for step in range(20):
            at = time.time_ns() // NS_PER_US * NS_PER_US
            value = self.data_value("Double", step + 0.5, 0, at, at)
            await self.put(self.server, node.nodeid, value)
            await self.storage.save_node_value(node.nodeid, value)
            await asyncio.sleep(0.001)
        return self.values(node.nodeid)

    def values(self, node):
        """What the storage has of a node: times, and the bits of the values."""
        values = self.storage._datachanges[node]
        return [[nanoseconds(value.SourceTimestamp), struct.unpack(">Q", struct.pack(">d", value.Value.Value))[0]] for value in values]

    async def answer(self, command):
        """The answer to a command of this module, or None."""
        if "change" in command:
            self.changer = asyncio.create_task(self.change(command["change"], command["period_ms"] / 1000))
            return len(command["change"])
        if "halt" in command:
            self.changer.cancel()
            await asyncio.gather(self.changer, return_exceptions=True)
            await asyncio.gather(*self.changing)
            return self.step
        if "history" in command:
            return self.values(self.node(command["history"]))
        if "later" in command:
            return await self.later(command["later"])
        if "reads" in command:
            return self.requests
        return None
