"""OPC UA server for the tests, on asyncua: every scalar type and any number of plain nodes, driven line by line over standard input.

Prints `ready <port>` when it listens. Each input line is a JSON object, answered by one line:
  {"write": [[node, type, value, status, source_ns, server_ns], ...]}   -> `done <count>`; null for a missing value or time
  {"add": [node, ...]}                                                  -> `done <count>`; adds nodes of type Double
Ends when standard input closes.
"""

import argparse
import asyncio
import datetime
import json
import logging
import sys
import uuid
from pathlib import Path

from asyncua import Server, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.permission_rules import User, UserRole
from cryptography.x509.oid import ExtendedKeyUsageOID

PLANT = "urn:plant"
APPLICATION = "urn:peer:server"
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
TYPES = [
    "Double", "Float", "SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64",
    "Boolean", "String", "LocalizedText", "DateTime", "Guid",
]


class Users:
    def __init__(self, user, password):
        self.user, self.password = user, password

    def get_user(self, iserver, username=None, password=None, certificate=None):
        if self.user is None or (username == self.user and password == self.password):
            return User(role=UserRole.User)
        return None


def time_of(ns):
    """Whole microseconds, the precision of asyncua's times."""
    if ns is None:
        return None
    assert ns % 1000 == 0, "asyncua's times are whole microseconds"
    return EPOCH + datetime.timedelta(microseconds=ns // 1000)


def variant(kind, value):
    if value is None:
        return None
    if kind == "LocalizedText":
        value = ua.LocalizedText(value, "en")
    elif kind == "Guid":
        value = uuid.UUID(value)
    elif kind == "DateTime":
        value = EPOCH + datetime.timedelta(microseconds=value)
    elif kind in ("Double", "Float"):
        value = float(value)
    elif kind == "Doubles":
        return ua.Variant([float(item) for item in value], ua.VariantType.Double)
    return ua.Variant(value, getattr(ua.VariantType, kind))


def data_value(kind, value, status, source, server):
    return ua.DataValue(
        variant(kind, value), ua.StatusCode(status), SourceTimestamp=time_of(source), ServerTimestamp=time_of(server)
    )


async def put(server, node, value):
    """Sets a value as it is and tells the subscriptions; asyncua's own write refuses nulls and drops the value of a Bad one."""
    attribute = server.iserver.aspace._nodes[node].attributes[ua.AttributeIds.Value]
    attribute.value = value
    for handle, changed in list(attribute.datachange_callbacks.items()):
        await changed(handle, value)


def node_item(index, name, kind, value):
    attributes = ua.VariableAttributes(
        DisplayName=ua.LocalizedText(name),
        DataType=ua.NodeId(getattr(ua.ObjectIds, kind)),
        ValueRank=ua.ValueRank.Scalar,
        Value=value if value is not None else ua.Variant(None, ua.VariantType.Null),
        AccessLevel=1,
        UserAccessLevel=1,
    )
    return ua.AddNodesItem(
        ParentNodeId=ua.NodeId(ua.ObjectIds.ObjectsFolder),
        ReferenceTypeId=ua.NodeId(ua.ObjectIds.Organizes),
        RequestedNewNodeId=ua.NodeId(name, index),
        BrowseName=ua.QualifiedName(name, index),
        NodeClass=ua.NodeClass.Variable,
        NodeAttributes=attributes,
        TypeDefinition=ua.NodeId(ua.ObjectIds.BaseDataVariableType),
    )


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--nodes", type=int, default=0)
    parser.add_argument("--namespaces", default=PLANT)
    parser.add_argument("--without", default="")
    parser.add_argument("--secure", default="", help="directory for key and certificate")
    parser.add_argument("--certificate-host", default="localhost")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--items-per-call", type=int, default=0)
    parser.add_argument("--source-ns", type=int, default=1_767_225_600_000_000_000)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)

    server = Server(user_manager=Users(arguments.user, arguments.password))
    await server.init()
    await server.set_application_uri(APPLICATION)
    server.set_endpoint(f"opc.tcp://127.0.0.1:{arguments.port}/peer/")
    policies = [ua.SecurityPolicyType.NoSecurity]
    if arguments.secure:
        folder = Path(arguments.secure)
        key, certificate = folder / "key.pem", folder / "certificate.der"
        await setup_self_signed_certificate(
            key, certificate, APPLICATION, arguments.certificate_host, [ExtendedKeyUsageOID.SERVER_AUTH], {"commonName": "peer"}
        )
        await server.load_certificate(str(certificate))
        await server.load_private_key(str(key))
        policies = [
            ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
            ua.SecurityPolicyType.Basic256Sha256_Sign,
            ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
        ]
    server.set_security_policy(policies)
    if arguments.user is not None:
        server.set_identity_tokens([ua.UserNameIdentityToken])
    index = None
    for uri in arguments.namespaces.split(","):
        number = await server.register_namespace(uri)
        index = number if uri == PLANT else index
    left_out = set(arguments.without.split(","))
    source = time_of(arguments.source_ns)
    first = {kind: None for kind in TYPES} | {f"n{number}": number for number in range(arguments.nodes)}
    session = server.iserver.isession
    await session.add_nodes([
        node_item(index, name, "Double" if name.startswith("n") else name, None) for name in first if name not in left_out
    ])
    for name, value in first.items():
        if name not in left_out and value is not None:
            dv = ua.DataValue(ua.Variant(float(value), ua.VariantType.Double), SourceTimestamp=source, ServerTimestamp=source)
            await server.write_attribute_value(ua.NodeId(name, index), dv)
    if arguments.items_per_call:
        limit = ua.NodeId(ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall)
        await server.get_node(limit).write_value(ua.Variant(arguments.items_per_call, ua.VariantType.UInt32))
    await server.start()
    port = server.bserver._server.sockets[0].getsockname()[1]
    print("ready", port, flush=True)

    reader = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        if "write" in command:
            for name, kind, value, status, source, at_server in command["write"]:
                await put(server, ua.NodeId(name, index), data_value(kind, value, status, source, at_server))
            print("done", len(command["write"]), flush=True)
        elif "add" in command:
            await session.add_nodes([node_item(index, name, "Double", None) for name in command["add"]])
            print("done", len(command["add"]), flush=True)
    await server.stop()


asyncio.run(main())
