"""OPC UA server for the tests, on asyncua: every scalar type and any number of plain nodes, driven line by line over standard input.

Prints `ready <port>` when it listens. Each input line is a JSON object, answered by one line:
  {"write": [[node, type, value, status, source_ns, server_ns], ...]}   -> `done <count>`; null for a missing value or time
  {"add": [node, ...]}                                                  -> `done <count>`; adds nodes of type Double
  {"line": [[path, node, type, value], ...]}                            -> `done <count>`; adds variables in folders, see opcua_plant.add_line
  {"structure": [node, {"type": ...}, source_ns]}                       -> `done "<JSON>"`; a structure of --structures, and its text
  {"remove": [node, ...]}                                               -> `done <count>`; deletes nodes
  {"drop": true}    -> `done <subscriptions>`; forgets every subscription and says so to waiting Publish requests
  {"count": true}   -> `done <sessions> <subscriptions> <items>`
  {"opened": true}                                                      -> `done <count>`; secure channels opened and renewed so far
  {"change": [node, ...], "period_ms": n}   -> `done <count>`; nodes of --history change by themselves from now on
  {"level": n}                              -> `done n`; its ServiceLevel
  {"halt": true}                            -> `done <steps>`; they do not any more
  {"history": node}                         -> `done [[source_ns, value], ...]`
  {"reads": true}                           -> `done [[node, start_ns, end_ns], ...]`; what was asked of histories so far
  {"issue": [lives_s, padding_bytes]}       -> `done <token>`; with --token-key
  {"shown": true}                           -> `done [algorithm, ...]`; how tokens that were shown were encrypted, or `clear`
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
from asyncua.common.utils import ServiceError
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.server.monitored_item_service import MonitoredItemService
from cryptography.x509.oid import ExtendedKeyUsageOID

import opcua_history as histories
import opcua_oddities as oddities
import opcua_plant as plant
import opcua_users
import opcua_structures as structures

PLANT = "urn:plant"
APPLICATION = "urn:peer:server"
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
TYPES = [
    "Double", "Float", "SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64",
    "Boolean", "String", "LocalizedText", "DateTime", "Guid",
]


class Limits:
    """A server as small as a PLC, in the places where asyncua has no setting of its own."""

    def __init__(self, server, arguments):
        self.server, self.arguments = server, arguments
        self.internal = server.iserver
        self.internal.max_session_timeout_ms = arguments.session_timeout_ms
        self.internal.max_monitored_item_queue_size = arguments.queue_max
        self.patch_sessions()
        self.patch_transfer()
        self.patch_items()

    def items(self):
        subscriptions = self.internal.subscription_service.subscriptions.values()
        return sum(len(subscription.monitored_item_srv._monitored_items) for subscription in subscriptions)

    def patch_sessions(self):
        create, lookup = self.internal.create_session, self.internal.lookup_external_session

        def create_session(*args, **kwargs):
            if 0 < self.arguments.sessions_max <= len(self.internal._external_sessions):
                raise ServiceError(ua.StatusCodes.BadTooManySessions)
            return create(*args, **kwargs)

        self.internal.create_session = create_session
        self.internal.lookup_external_session = lambda token: None if self.arguments.no_reactivation else lookup(token)

    def patch_transfer(self):
        service = self.internal.subscription_service
        transfer = service.transfer_subscriptions

        async def transfer_subscriptions(params, session_id, callback):
            if self.arguments.no_transfer:
                raise ServiceError(ua.StatusCodes.BadServiceUnsupported)
            results = await transfer(params, session_id, callback)
            for number in params.SubscriptionIds:
                if number in service.subscriptions:
                    # asyncua leaves it with the requests of the connection before
                    service.subscriptions[number].pub_request_callback = callback.__self__.get_publish_request
            return results

        service.transfer_subscriptions = transfer_subscriptions

    def patch_items(self):
        create = MonitoredItemService._create_data_change_monitored_item

        async def create_item(service, params):
            refused = None
            if 0 < self.arguments.items_max <= self.items():
                refused = ua.StatusCodes.BadTooManyMonitoredItems
            elif self.arguments.no_deadband and type(params.RequestedParameters.Filter).__name__ == "DataChangeFilter":  # asyncua has two classes of that name
                refused = ua.StatusCodes.BadFilterNotAllowed
            if refused is not None:
                return ua.MonitoredItemCreateResult(StatusCode=ua.StatusCode(refused))
            return await create(service, params)

        MonitoredItemService._create_data_change_monitored_item = create_item

    async def drop(self):
        service = self.internal.subscription_service
        dropped = await service.delete_subscriptions(list(service.subscriptions))
        for client in self.server.bserver.clients:
            while client.processor._publish_requests:
                waiting = client.processor._publish_requests.popleft()
                answer = ua.ServiceFault()
                answer.ResponseHeader.ServiceResult = ua.StatusCode(ua.StatusCodes.BadNoSubscription)
                client.processor.send_response(waiting.requesthdr.RequestHandle, waiting.seqhdr, answer)
        return len(dropped)


def time_of(ns):
    """Whole microseconds, the precision of asyncua's times."""
    if ns is None:
        return None
    assert ns % 1000 == 0, "asyncua's times are whole microseconds"
    return EPOCH + datetime.timedelta(microseconds=ns // 1000)


def variant(kind, value):
    if value is None:
        return None
    if (odd := oddities.odd_variant(kind, value)) is not None:
        return odd
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
    parser.add_argument("--user-certificate", action="append", default=[], help="file in DER; who has its key is let in, and nobody else")
    parser.add_argument("--token-key", default="", help="of the issuer whose tokens are taken, and nothing else")
    parser.add_argument("--token-policy", default="own", help="own: encrypted as the channel, or by Basic256Sha256; none: not encrypted")
    parser.add_argument("--items-per-call", type=int, default=0)
    parser.add_argument("--source-ns", type=int, default=1_767_225_600_000_000_000)
    parser.add_argument("--session-timeout-ms", type=float, default=600_000)
    parser.add_argument("--sessions-max", type=int, default=0)
    parser.add_argument("--items-max", type=int, default=0)
    parser.add_argument("--queue-max", type=int, default=10_000)
    parser.add_argument("--no-reactivation", action="store_true")
    parser.add_argument("--no-transfer", action="store_true")
    parser.add_argument("--no-deadband", action="store_true")
    parser.add_argument("--name", default="peer", help="name of the server, in Latin-1 on the wire")
    parser.add_argument("--open", action="store_true", help="with --secure: an endpoint without security, too")
    parser.add_argument("--hide-certificate", action="store_true")
    parser.add_argument("--certificate", default="", help="words: chain, dns-first, expired, other-uri")
    parser.add_argument("--clock-shift-s", type=int, default=0)
    parser.add_argument("--channel-lifetime-ms", type=int, default=0)
    parser.add_argument("--plant", action="store_true", help="objects to browse")
    parser.add_argument("--structures", action="store_true", help="variables of data types of its own")
    parser.add_argument("--history", default="", help="nodes that have one")
    parser.add_argument("--history-page", type=int, default=10_000, help="values of one answer, and a continuation point behind them")
    parser.add_argument("--history-lag-s", type=float, default=0, help="it comes so much later than the values")
    parser.add_argument("--history-refuse", action="store_true", help="AccessLevel says yes, the service no")
    parser.add_argument("--history-hidden", action="store_true", help="AccessLevel says no")
    parser.add_argument("--history-expire", action="store_true", help="some continuation points are not known any more")
    parser.add_argument("--line", default="", help="file with variables as the command `line` takes them")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    oddities.allow_raw_values()
    channels = oddities.Channels(arguments.clock_shift_s, arguments.channel_lifetime_ms)
    wanted = set(filter(None, arguments.certificate.split(",")))

    users = opcua_users.Users(arguments.user, arguments.password, arguments.user_certificate)
    server = Server(user_manager=users)
    await server.init()
    limits = Limits(server, arguments)
    await server.set_application_uri(APPLICATION)
    server.set_server_name(arguments.name.encode("latin-1").decode("utf-8", "surrogateescape"))
    server.set_endpoint(f"opc.tcp://127.0.0.1:{arguments.port}/peer/")
    policies = [ua.SecurityPolicyType.NoSecurity]
    if arguments.secure:
        folder = Path(arguments.secure)
        key, certificate = folder / "key.pem", folder / "certificate.der"
        issuer = None
        if wanted:
            issuer = oddities.certificate(
                folder,
                "urn:somebody:else" if "other-uri" in wanted else APPLICATION,
                arguments.certificate_host,
                -30 if "expired" in wanted else 365,
                "dns-first" in wanted,
                "chain" in wanted,
            )
        else:
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
        if arguments.open:
            policies.append(ua.SecurityPolicyType.NoSecurity)
    server.set_security_policy(policies)
    if (tokens := users.identity_tokens()) is not None:
        server.set_identity_tokens(tokens)
    issuer_of_tokens = opcua_users.Issuer(server, arguments.token_key, arguments.token_policy) if arguments.token_key else None
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
    if arguments.plant:
        await plant.add(server, index)
    if arguments.structures:
        await structures.add(server, index, source, put)
    history = histories.History(server, index, arguments, put, data_value)
    await history.begin(filter(None, arguments.history.split(",")))
    if arguments.line:
        await plant.add_line(server, index, json.loads(Path(arguments.line).read_text()), source)
    if arguments.items_per_call:
        limit = ua.NodeId(ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall)
        await server.get_node(limit).write_value(ua.Variant(arguments.items_per_call, ua.VariantType.UInt32))
    await server.start()
    for endpoint in server.iserver.endpoints:
        if arguments.secure and issuer:
            endpoint.ServerCertificate += issuer
        if arguments.hide_certificate:
            endpoint.ServerCertificate = None
    if issuer_of_tokens is not None:
        issuer_of_tokens.announce()
    port = server.bserver._server.sockets[0].getsockname()[1]
    print("ready", port, flush=True)

    reader = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        if (answer := await history.answer(command)) is not None:
            print("done", json.dumps(answer), flush=True)
        elif "write" in command:
            for name, kind, value, status, at_source, at_server in command["write"]:
                await put(server, ua.NodeId(name, index), data_value(kind, value, status, at_source, at_server))
            print("done", len(command["write"]), flush=True)
        elif "issue" in command:
            print("done", issuer_of_tokens.issue(*command["issue"]), flush=True)
        elif "shown" in command:
            print("done", json.dumps(issuer_of_tokens.shown), flush=True)
        elif "level" in command:
            level = server.get_node(ua.NodeId(ua.ObjectIds.Server_ServiceLevel))
            await level.write_value(ua.Variant(command["level"], ua.VariantType.Byte))
            print("done", command["level"], flush=True)
        elif "structure" in command:
            node, told, at_source = command["structure"]
            value = structures.made(told)
            told = structures.data_value(value, time_of(at_source))
            await put(server, ua.NodeId(node, index), told)
            await history.keep(node, told)
            print("done", json.dumps(structures.text_of(value)), flush=True)
        elif "opened" in command:
            print("done", channels.opened, flush=True)
        elif "add" in command:
            await session.add_nodes([node_item(index, name, "Double", None) for name in command["add"]])
            print("done", len(command["add"]), flush=True)
        elif "line" in command:
            await plant.add_line(server, index, command["line"], source)
            print("done", len(command["line"]), flush=True)
        elif "remove" in command:
            await server.delete_nodes([server.get_node(ua.NodeId(node, index)) for node in command["remove"]])
            print("done", len(command["remove"]), flush=True)
        elif "drop" in command:
            print("done", await limits.drop(), flush=True)
        elif "count" in command:
            sessions, subscriptions = server.iserver._external_sessions, server.iserver.subscription_service.subscriptions
            print("done", len(sessions), len(subscriptions), limits.items(), flush=True)
    await server.stop()


asyncio.run(main())
