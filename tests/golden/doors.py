"""One class per door of the historian. Each asks on the wire, without a client library that would hide anything, and notes the whole answer: for
people first, then to the byte."""

import hashlib
import http.client
import io
import json
import os
import pathlib
import subprocess
import tempfile

import grpc
import pyarrow as pa
import wire
from google.protobuf import descriptor_pool, json_format, message_factory, text_format

FLIGHT = "/arrow.flight.protocol.FlightService/"
TIMEOUT_S = 60
ROWS_SHOWN = 6_000
EXACT_BYTES_MAX = 256 << 10


class Note:
    """One request and its whole answer, as text."""

    def __init__(self, rules):
        self.rules = rules
        self.lines = []
        self.exact = []

    def line(self, *texts):
        for text in texts:
            self.lines += self.rules.text(str(text)).split("\n")

    def plain(self, lines, pad="    "):
        self.lines += [pad + line for line in lines]

    def bytes(self, what, data):
        """Bytes that have been made normal."""
        self.exact.append((what, data))

    def text(self):
        lines = [*self.lines, "", "==== to the byte"]
        room = EXACT_BYTES_MAX
        for what, data in self.exact:
            lines.append(f"{what}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")
            # Of what is beyond, the checksum tells.
            room -= len(data)
            if room >= 0:
                lines += ["    " + data[at : at + 48].hex() for at in range(0, len(data), 48)]
        return "\n".join(lines) + "\n"

    def metadata(self, what, pairs):
        for key, value in sorted((key, value) for key, value in pairs or () if key != "date"):
            if isinstance(value, bytes):
                value = wire.normal(value, self.rules)
                self.line(f"{what} {key}:")
                try:
                    self.plain(wire.shown(value))
                except ValueError:
                    self.plain([value.hex()])
                self.bytes(f"{what} {key}", value)
            else:
                self.line(f"{what} {key}: {value}")

    def call(self, call, enough=None):
        """Takes the messages of a call of any shape until it ends, or until there are enough of them; answers them."""
        messages = []
        try:
            self_ended = True
            for message in call:
                messages.append(message)
                if enough and enough(messages):
                    self_ended = False
                    break
        except grpc.RpcError:
            pass
        self.metadata("header", call.initial_metadata())
        if self_ended:
            self.metadata("trailer", call.trailing_metadata())
            self.line(f"status {call.code().name}: {call.details()}")
        else:
            self.line("status: ended by the client, who has enough")
            call.cancel()
        return messages


def arrow_rows(batch):
    """Cells as text: numbers of times, whole floats, nothing rounded."""

    def column(array):
        if pa.types.is_dictionary(array.type):
            array = array.cast(array.type.value_type)
        if pa.types.is_timestamp(array.type):
            array = array.cast(pa.int64())
        return array.to_pylist()

    columns = [column(array) for array in batch.slice(0, ROWS_SHOWN).columns]
    rows = [" | ".join(repr(cell) for cell in row) for row in zip(*columns)]
    return rows + ([f"… {batch.num_rows - ROWS_SHOWN} more"] if batch.num_rows > ROWS_SHOWN else [])


def schema_lines(schema):
    def metadata(pad, found):
        return [f"{pad}{key.decode()} = {value.decode()}" for key, value in (found or {}).items()]

    lines = metadata("", schema.metadata)
    for field in schema:
        lines += [f"{field.name}: {field.type}{'' if field.nullable else ' not null'}", *metadata("    ", field.metadata)]
    return lines


def encapsulated(header, body):
    padding = -(len(header) + 8) % 8
    return b"\xff\xff\xff\xff" + (len(header) + padding).to_bytes(4, "little") + header + b"\0" * padding + body


class Unary:
    """A call of one answer that is read like a stream."""

    def __init__(self, method, argument, metadata=None):
        self._future = method.future(argument, timeout=TIMEOUT_S, metadata=metadata)

    def __iter__(self):
        yield self._future.result()

    def __getattr__(self, name):
        return getattr(self._future, name)


class Flight:
    """Arrow Flight and Flight SQL."""

    def __init__(self, channel, rules):
        self.channel = channel
        self.rules = rules

    def _raw(self, shape, method, argument, headers):
        call = getattr(self.channel, shape)(FLIGHT + method)
        metadata = tuple((headers or {}).items())
        return Unary(call, argument, metadata) if shape == "unary_unary" else call(argument, timeout=TIMEOUT_S, metadata=metadata)

    # What is sent.

    @staticmethod
    def command(command):
        """The bytes of a command: JSON for what is a dictionary, an Any for a message, else as it is."""
        if isinstance(command, dict):
            return json.dumps(command, ensure_ascii=False).encode()
        if isinstance(command, tuple):
            name, content = command
            return wire.any_message(f"historian.v1.{name}", message(name, content).SerializeToString(deterministic=True))
        return command.encode() if isinstance(command, str) else command

    @staticmethod
    def descriptor(asked):
        """A FlightDescriptor: a path for a list, else a command."""
        if isinstance(asked, list):
            return wire.flag(1, 1) + b"".join(wire.field(3, level) for level in asked)
        return wire.flag(1, 2) + wire.field(2, Flight.command(asked))

    @staticmethod
    def stream(descriptor, schema, batches):
        """FlightData of batches, the descriptor in the first."""
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        messages = pa.ipc.MessageReader.open_stream(sink.getvalue())
        for number, message in enumerate(messages):
            data = wire.field(1, descriptor) if number == 0 else b""
            data += wire.field(2, message.metadata.to_pybytes())
            yield data + wire.field(1000, message.body.to_pybytes() if message.body else b"")

    # What is answered.

    def data(self, note, messages):
        """Notes a stream of FlightData; a table of what it holds."""
        stream = b""
        for number, message in enumerate(messages):
            message = self.rules.data(message)
            header, body, extra = (wire.one(message, field) for field in (2, 1000, 3))
            known = wire.written([(1000 if kind == 1000 else kind, 2, value) for kind, value in ((2, header), (3, extra), (1000, body))])
            if extra:
                note.line(f"message {number} has app_metadata {extra!r}")
            if wire.every(message, 1):
                note.line(f"message {number} has a descriptor")
                self.shown(note, wire.one(message, 1))
            note.bytes(f"message {number}, header", header)
            note.bytes(f"message {number}, body", body)
            if len(known) < len(message):
                note.bytes(f"message {number}, whole", message)
            if header:
                stream += encapsulated(header, body)
        if not stream:
            note.line("no data")
            return None
        try:
            reader = pa.ipc.open_stream(stream)
            note.line("schema:")
            note.plain(schema_lines(reader.schema))
            batches = []
            for number, batch in enumerate(reader):
                note.line(f"batch {number}: {batch.num_rows} rows")
                note.plain(arrow_rows(batch))
                batches.append(batch)
            return pa.Table.from_batches(batches, reader.schema)
        except (pa.ArrowInvalid, UnicodeDecodeError) as error:
            note.line(f"pyarrow cannot read it: {error}")
            return None

    def shown(self, note, message):
        try:
            note.plain(wire.shown(message))
        except ValueError:
            note.plain([message.hex()])

    def schema(self, note, data):
        if not data:
            note.line("no schema")
            return
        data = self.rules.data(data)
        note.line("schema:")
        note.plain(schema_lines(pa.ipc.read_schema(pa.py_buffer(data))))
        note.bytes("schema", data)

    def flight_info(self, note, info):
        """Notes a FlightInfo; its tickets as they came."""
        tickets = [wire.one(wire.one(endpoint, 1), 1) for endpoint in wire.every(info, 3)]
        info = wire.normal(info, self.rules)
        self.schema(note, wire.one(info, 1))
        for name, number in (("descriptor", 2), ("app_metadata", 7)):
            value = wire.one(info, number)
            text = wire.text_of(value)
            note.line(f"{name}: {text if text is not None else ''}")
            if text is None:
                self.shown(note, value)
        for number, endpoint in enumerate(wire.every(info, 3)):
            note.line(f"endpoint {number}:")
            self.shown(note, endpoint)
        for name, number in (("total_records", 4), ("total_bytes", 5), ("ordered", 6)):
            value = wire.one(info, number, 0)
            note.line(f"{name}: {value - (1 << 64) if value >> 63 else value}")
        note.bytes("FlightInfo", info)
        return tickets

    # The methods.

    def get(self, note, ticket, headers=None, raw=False, enough=None):
        """The table of the answer. `enough` ends an answer that has no end, when it says so of the messages so far."""
        call = self._raw("unary_stream", "DoGet", wire.field(1, ticket if raw else self.command(ticket)), headers)
        return self.data(note, note.call(call, enough))

    def info(self, note, asked, headers=None, raw=False):
        descriptor = wire.flag(1, 2) + wire.field(2, asked) if raw else self.descriptor(asked)
        messages = note.call(self._raw("unary_unary", "GetFlightInfo", descriptor, headers))
        return self.flight_info(note, messages[0]) if messages else []

    def get_schema(self, note, asked, headers=None):
        for message in note.call(self._raw("unary_unary", "GetSchema", self.descriptor(asked), headers)):
            self.schema(note, wire.one(self.rules.data(message), 1))

    def poll(self, note, asked, headers=None):
        for message in note.call(self._raw("unary_unary", "PollFlightInfo", self.descriptor(asked), headers)):
            self.flight_info(note, wire.one(message, 1))
            rest = [(number, kind, value) for number, kind, value in fields_but(message, 1)]
            note.line("besides the info:")
            self.shown(note, wire.written(rest))

    def list(self, note, criteria, headers=None):
        for number, info in enumerate(note.call(self._raw("unary_stream", "ListFlights", wire.field(1, self.command(criteria)), headers))):
            note.line(f"flight {number}")
            self.flight_info(note, info)

    def action(self, note, kind, body=b"", headers=None, learn=None):
        """The bodies of the answers; `learn` sees them before they are noted."""
        call = self._raw("unary_stream", "DoAction", wire.field(1, kind) + wire.field(2, body), headers)
        bodies = [wire.one(message, 1) for message in note.call(call)]
        if learn:
            learn(bodies)
        for number, body in enumerate(bodies):
            note.line(f"result {number}:")
            body = wire.normal(body, self.rules)
            if kind == "GetSessionOptions":
                body = wire.written(sorted(wire.fields(body)))
            self.shown(note, body)
            note.bytes(f"result {number}", body)
        return bodies

    def actions(self, note):
        for message in note.call(self._raw("unary_stream", "ListActions", b"", None)):
            self.shown(note, message)
            note.bytes("action", message)

    def handshake(self, note, message, headers=None):
        for answer in note.call(self._raw("stream_stream", "Handshake", iter([message]), headers)):
            self.shown(note, answer)
            note.bytes("answer", answer)

    def put(self, note, asked, batches, schema=None, headers=None, raw=False):
        """The app_metadata of the answers."""
        descriptor = wire.flag(1, 2) + wire.field(2, asked) if raw else self.descriptor(asked)
        stream = self.stream(descriptor, batches[0].schema if schema is None else schema, batches)
        results = [wire.one(message, 1) for message in note.call(self._raw("stream_stream", "DoPut", stream, headers))]
        for number, result in enumerate(results):
            text = wire.text_of(result)
            if text is None:
                result = wire.normal(result, self.rules)
                note.line(f"result {number}:")
                self.shown(note, result)
                note.bytes(f"result {number}", result)
            else:
                note.line(f"result {number}: {text}")
        return results

    def exchange(self, note, asked, batches, schema=None):
        stream = self.stream(self.descriptor(asked), batches[0].schema if schema is None else schema, batches)
        self.data(note, note.call(self._raw("stream_stream", "DoExchange", stream, None)))


def fields_but(data, number):
    return [found for found in wire.fields(data) if found[0] != number]


# gRPC


def message(name, content):
    """A message of historian.v1, of a dictionary in the JSON form of proto3."""
    made = message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(f"historian.v1.{name}"))()
    return json_format.ParseDict(content, made)


class Grpc:
    """The services of historian.v1, and those of gRPC itself."""

    def __init__(self, channel, rules):
        self.channel = channel
        self.rules = rules

    def call(self, note, path, contents, enough=None, edit=None):
        """`contents`: the request as a dictionary, or a list of them for a method that takes a stream. `edit` changes an answer before it is noted, or
        leaves it out by answering false: for what `normal.py` lists."""
        service, method = path.split("/")
        found = descriptor_pool.Default().FindServiceByName(f"historian.v1.{service}").FindMethodByName(method)
        shape = f"{'stream' if found.client_streaming else 'unary'}_{'stream' if found.server_streaming else 'unary'}"
        request, response = (message_factory.GetMessageClass(kind) for kind in (found.input_type, found.output_type))
        many = contents if isinstance(contents, list) else [contents]
        requests = [json_format.ParseDict(content, request()).SerializeToString(deterministic=True) for content in many]
        call = getattr(self.channel, shape)(f"/historian.v1.{path}")
        argument = iter(requests) if found.client_streaming else requests[0]
        if shape.endswith("_unary"):
            call = Unary(call, argument)
        else:
            call = call(argument, timeout=TIMEOUT_S)
        answers = []
        for number, data in enumerate(note.call(call, enough and (lambda datas: enough(response.FromString(datas[-1]))))):
            data = wire.normal(data, self.rules)
            answer = response.FromString(data)
            if edit:
                if not edit(answer):
                    continue
                data, number = answer.SerializeToString(deterministic=True), len(answers)
            note.line(f"message {number}:")
            if len(data) <= EXACT_BYTES_MAX:
                note.plain(text_format.MessageToString(answer, as_utf8=True).rstrip("\n").split("\n"))
            else:
                note.plain([f"too long to be shown: {len(data)} bytes"])
            note.bytes(f"message {number}", data)
            answers.append(answer)
        return answers

    def raw(self, note, path, data, streams=False):
        shape = "stream_stream" if streams else "unary_unary"
        call = getattr(self.channel, shape)(path)
        call = call(iter([data]), timeout=TIMEOUT_S) if streams else Unary(call, data)
        for number, answer in enumerate(note.call(call)):
            note.line(f"message {number}:")
            try:
                note.plain(wire.shown(answer))
            except ValueError:
                note.plain([answer.hex()])
            note.bytes(f"message {number}", answer)


# HTTP


class Http:
    def __init__(self, address, rules):
        self.address = address
        self.rules = rules

    def ask(self, note, method, path):
        connection = http.client.HTTPConnection(self.address, timeout=TIMEOUT_S)
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        note.line(f"status {answer.status} {answer.reason}")
        measured = path == "/metrics"
        for key, value in sorted(answer.getheaders()):
            if key.lower() != "date" and not (measured and key.lower() == "content-length"):
                note.line(f"header {key}: {value}")
        if measured:
            note.plain(sorted({line if line.startswith("#") else line.rsplit(" ", 1)[0] for line in body.decode().splitlines()}))
        else:
            note.line(body.decode())
            note.bytes("body", body)


# The command line


class Cli:
    def __init__(self, binary, address, rules):
        self.binary = binary
        self.address = address
        self.rules = rules
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("HISTORIAN_")}
        self.environment |= {"LC_ALL": "C.UTF-8", "TZ": "UTC", "COLUMNS": "160", "NO_COLOR": "1"}

    def run(self, note, words, files=None, server=True, shown=None):
        """`files`: files the command finds in its folder. What it leaves there is noted as well."""
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for name, content in (files or {}).items():
                (folder / name).write_text(content)
            words = [*words, "--server", f"grpc://{self.address}"] if server else words
            done = subprocess.run(
                [self.binary, *words], cwd=folder, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S
            )
            note.line(f"exit code {done.returncode}")
            for name, data in (("stdout", done.stdout), ("stderr", done.stderr)):
                self.output(note, name, shown(data) if shown else data)
            for path in sorted(folder.rglob("*")):
                if path.is_file() and str(path.relative_to(folder)) not in (files or {}):
                    self.output(note, f"file {path.relative_to(folder)}", path.read_bytes())
        return done.stdout

    def output(self, note, name, data):
        try:
            text = data.decode()
        except UnicodeDecodeError:
            data = self.rules.data(data)
            note.line(f"{name}: binary")
            if data[:4] == b"PAR1":
                import pyarrow.parquet as parquet

                table = parquet.read_table(io.BytesIO(data))
                parts = table.combine_chunks().to_batches()
                note.plain([*schema_lines(table.schema), *(row for part in parts for row in arrow_rows(part))])
        else:
            text = self.rules.text(text)
            note.line(f"{name}:")
            note.plain(text.split("\n"))
            data = text.encode()
        note.bytes(name, data)
