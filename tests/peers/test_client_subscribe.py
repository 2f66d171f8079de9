"""Subscriptions by the Python package: followed, resumed, over wires that break, and over a historian that is killed, stopped and stalled."""

import itertools
import os
import pathlib
import random
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pyarrow as pa
import pytest

from package import hc, plant, put  # first: it finds the package

from historian_client import subscribe as subscribe_module
from lib import ADDRESS, BAD_SENSOR_FAILURE, NS, START, refused

dice = random.Random(7)


def message(rows):
    tags, numbers, positions = zip(*rows)
    return pa.record_batch({"tag": list(tags), "value": list(numbers), "position": pa.array(positions, pa.uint64())})


def lost_and_found(writes, expected):
    """Rows as they are handed on of writes, each a list of tags, and whether each position told was behind what had been handed on."""
    progress, handed = subscribe_module._Progress(0, False), []

    def stream(at):
        """Messages behind a position: whole writes together, a write that does not fit one in several of its own."""
        room, part, before = dice.randint(1, 9), [], at
        for write in range(at + 1, len(writes) + 1):
            rows = [(tag, number * 10_000 + write) for number, tag in enumerate(writes[write - 1])]
            if part and len(part) + len(rows) > room:
                yield part
                part = []
            while len(rows) > room:
                yield [(*row, before) for row in rows[:room]]
                rows = rows[room:]
            part += [(*row, write) for row in rows]
            before = write
        yield part

    while progress.behind < len(writes):
        progress.resumes()
        for part in stream(progress.behind):
            fresh, told = progress.take(message(part))
            handed += zip(fresh["tag"].to_pylist(), fresh["value"].to_pylist())
            assert [row for row in expected if row[1] % 10_000 <= told] == [row for row in handed if row[1] % 10_000 <= told], told
            if dice.random() < 0.1:
                break
    return handed


def test_rows_are_new_once_however_a_stream_is_cut_and_lost():
    """What decides which rows are new, by itself: deliveries of random sizes in random pieces, the stream lost at random."""
    for _ in range(200):
        writes = [[dice.choice("abc") for _ in range(dice.randint(1, 20))] for _ in range(dice.randint(1, 15))]
        expected = [(tag, number * 10_000 + write) for write, tags in enumerate(writes, 1) for number, tag in enumerate(tags)]
        assert lost_and_found(writes, expected) == expected, writes


class Wire:
    """Stands between client and historian, and breaks when told to, or after so many bytes."""

    def __init__(self, address):
        self.to = address.rsplit(":", 1)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.left, self.down, self.pairs = None, False, []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.listener.accept()
            if self.down:
                near.close()
                continue
            try:
                far = socket.create_connection((self.to[0], int(self.to[1])))
            except OSError:
                # The historian is starting: refused on both sides.
                near.close()
                continue
            self.pairs.append((near, far))
            for one, other, counts in ((near, far, False), (far, near, True)):
                threading.Thread(target=self.pump, args=(one, other, counts), daemon=True).start()

    def pump(self, one, other, counts):
        try:
            while data := one.recv(1 << 16):
                other.sendall(data)
                if counts and self.left is not None:
                    self.left -= len(data)
                    if self.left < 0:
                        self.left = None
                        break
        except OSError:
            pass
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        for near, far in self.pairs:
            for end in (near, far):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.pairs = []


def seen(subscription, rows, timeout_s=60):
    """The next rows as (tag, value or text)."""
    got, until = [], time.monotonic() + timeout_s
    while len(got) < rows:
        table = subscription.next(max(0.0, until - time.monotonic()))
        assert table is not None, f"{len(got)} of {rows} rows came"
        assert table["position"][-1].as_py() in (0, subscription.position), table
        got += [(tag, number if text is None else text) for tag, number, text in zip(*(table[name].to_pylist() for name in ("tag", "value", "text")))]
    return got


@pytest.fixture(scope="module")
def wire():
    return Wire(ADDRESS)


@pytest.fixture(scope="module")
def across(wire):
    return hc.connect(wire.address)


def test_a_subscription_follows_resumes_and_ends_when_it_is_closed(wire, across):
    put("live/before", [(0, 1.5)])
    put("live/word", [(0, "on")])
    with plant.subscribe("live/*", current=True) as live, across.subscribe("live/n", reconnect_s=0) as brittle:
        assert sorted(seen(live, 2)) == [("live/before", 1.5), ("live/word", "on")] and live.next(0.05) is None
        begun = live.position
        put("other/tag", [(0, 1.0)])
        marks = [put("live/n", [(0, 0.0), (1, 1.0)])]
        table = live.next(10)
        assert table.column_names == ["tag", "timestamp", "value", "text", "quality", "position", "integer"], table.schema
        assert table.to_pandas()["value"].tolist() == [0.0, 1.0] and live.position == marks[0], (table, live.position, marks)
        marks.append(put("live/n", [(10, 10.0, 0), (11, None, BAD_SENSOR_FAILURE)]))
        table = live.next(10)
        assert table["quality"].to_pylist() == [0, BAD_SENSOR_FAILURE] and table["value"].to_pylist() == [10.0, None], table
        assert table["timestamp"].cast(pa.int64()).to_pylist() == [START + 10, START + 11] and table["position"].to_pylist() == [marks[1]] * 2
        assert [number for _, number in seen(brittle, 4)] == [0.0, 1.0, 10.0, None]
        # Resumed elsewhere, behind each of the two and behind a write of one's own.
        for position, expected in ((begun, [0.0, 1.0, 10.0, None]), (marks[0], [10.0, None])):
            with plant.subscribe("live/*", position=position) as again:
                assert [number for _, number in seen(again, len(expected))] == expected and again.next(0.1) is None
        wire.cut()
        refused(hc.ConnectionFailed, lambda: brittle.next(10), "")
        refused(hc.ConnectionFailed, lambda: next(brittle), "")
        # Closed by another thread.
        threading.Timer(0.1, live.close).start()
        assert list(live) == [] and live.next() is None


def test_subscriptions_that_nobody_holds_are_ended():
    """Of 300 the historian allows 256 at once."""
    mark = put("live/m", [(0, 1.0)])
    for number in range(300):
        held = plant.subscribe("live/*")
        assert held.position >= mark
        if number % 10 == 0:
            held.close()
        del held


def test_a_subscription_that_waits_is_interrupted():
    idle = plant.subscribe("live/*")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.3, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
    waited = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        idle.next(30)
    assert time.monotonic() - waited < 10
    idle.close()


# A wire that breaks again and again, in the middle of large deliveries as well: every sample once, in the order of writing.
numbers = itertools.count()


def sizes(rounds, large):
    return [large if number % 6 == 3 else 1 + number % 5 for number in range(rounds)]


def write_some(target, rounds, large, written):
    """Adds each write to those written: its rows, and how often it was tried."""
    for size in sizes(rounds, large):
        rows = [(tag, float(next(numbers))) for tag in ("torn/a", "torn/b") for _ in range(size)]
        tags, values = zip(*rows)
        times = pa.array([START + int(value) for value in values], NS)
        for tries in itertools.count(1):
            try:
                target.write({"tag": list(tags), "timestamp": times, "value": list(values)}, create_tags=True)
                break
            except (hc.ConnectionFailed, hc.WriteFailed):
                time.sleep(0.05)
        written.append((rows, tries))


def same_as_written(subscription, writing, rounds, large, written):
    """Reads while a thread writes, and compares with what it wrote.

    A write that was not acknowledged is tried again though it may be there, all or some batches of it; such writes come as they were done.
    """
    writing.start()
    got = seen(subscription, 2 * sum(sizes(rounds, large)))
    writing.join()
    while (table := subscription.next(0.5)) is not None:
        got += zip(table["tag"].to_pylist(), table["value"].to_pylist())
    at = 0
    for number, (rows, tries) in enumerate(written):
        whole = False
        for _ in range(tries):
            same = next((index for index, row in enumerate(rows) if at + index >= len(got) or got[at + index] != row), len(rows))
            whole = whole or same == len(rows)
            at += same
        assert whole, f"write {number} of {len(rows)} rows, tried {tries} times, is not whole: {got[at:][:3]} after {got[:at][-3:]}"
    assert at == len(got), f"{len(got) - at} rows more: {got[at:][:3]}"


def breaks_of(wire, until):
    while not until.wait(0.02):
        if wire.left is None:
            wire.left = dice.randint(1_000, 5_000_000)


def test_every_sample_comes_once_in_order_over_a_wire_that_breaks(wire, across):
    """In the middle of large deliveries as well."""
    done, written = threading.Event(), []
    with across.subscribe("torn/*") as torn:

        def write_and_break():
            breaking = threading.Thread(target=breaks_of, args=(wire, done), daemon=True)
            breaking.start()
            write_some(plant, 36, 90_000, written)
            done.set()
            breaking.join()
            wire.left = None

        same_as_written(torn, threading.Thread(target=write_and_break, daemon=True), 36, 90_000, written)
        assert torn.reconnections >= 3, torn.reconnections
        # Away for a while; what is written meanwhile comes when the wire is back.
        wire.down = True
        wire.cut()
        away = put("torn/a", [(-1, -1.0)])
        time.sleep(0.5)
        wire.down = False
        # Together with a large one that was there already, so the position may lag; behind the next small one it does not.
        assert seen(torn, 1) == [("torn/a", -1.0)] and torn.position <= away, (torn.position, away)
        away = put("torn/a", [(-2, -2.0)])
        assert seen(torn, 1) == [("torn/a", -2.0)] and torn.position == away, (torn.position, away)


def test_current_values_come_once_over_a_wire_that_breaks(wire, across):
    put("torn/a", [(-9, 0.0)])
    put("torn/b", [(-9, 0.0)])
    with across.subscribe("torn/*", current=True) as torn:
        assert len(seen(torn, 2)) == 2
        for number in (-3, -4):
            wire.cut()
            put("torn/a", [(number, float(number))])
            assert seen(torn, 1) == [("torn/a", float(number))] and torn.next(0.2) is None, "current values come once"
        assert torn.reconnections == 2, torn.reconnections


def test_a_subscription_that_makes_no_sense_is_refused():
    ahead = refused(hc.PositionGone, lambda: plant.subscribe("live/*", position=10**12), "ahead")
    assert ahead.position == 10**12 and isinstance(ahead, hc.InvalidRequest)
    refused(ValueError, lambda: plant.subscribe([]), "tags")
    refused(hc.InvalidRequest, lambda: plant.subscribe("live/["), "live/[")
    refused(ValueError, lambda: plant.subscribe("live/*", position=-1), "position")
    refused(ValueError, lambda: plant.subscribe("live/*", position=2**64), "position")
    refused(ValueError, lambda: plant.subscribe("live/*", reconnect_s=-1), "reconnect_s")
    refused(ValueError, lambda: plant.subscribe("live/*", reconnect_s=float("nan")), "reconnect_s")
    for position in (1.5, "7", True):
        refused(TypeError, lambda: plant.subscribe("live/*", position=position), "position")
    refused(hc.ConnectionFailed, lambda: hc.connect("127.0.0.1:1").subscribe("live/*"), "refused")


def test_a_historian_that_is_killed_stopped_and_stalled_loses_no_subscriber():
    """One of its own, while it is written to and read."""
    with tempfile.TemporaryDirectory() as scratch, socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        mine, http = (f"127.0.0.1:{held.getsockname()[1]}" for held in (one, two))
        one.close(), two.close()
        configuration = pathlib.Path(scratch, "historian.toml")
        configuration.write_text("[limits]\nstalled_reader_s = 1\n")
        command = [os.environ["HISTORIAN_BINARY"], "serve", "--config", configuration, "--data-dir", f"{scratch}/data", "--listen", mine, "--http", http]
        server = None

        def serve():
            nonlocal server
            server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def answers():
            try:
                return len(hc.connect(mine).current()) >= 0
            except hc.ConnectionFailed:
                time.sleep(0.05)
                return False

        def restarted(ends="kill"):
            if server is not None:
                getattr(server, ends)()
                server.wait()
            serve()
            while not answers():
                pass

        def put_there(number):
            own.write({"tag": ["torn/a"], "timestamp": pa.array([number], NS), "value": [float(number)]}, create_tags=True)

        try:
            restarted()
            own, written = hc.connect(mine), []
            # Nothing was ever written: position 0 is now, not the beginning, so what comes while the connection is lost would be missed.
            wire = Wire(mine)
            with own.subscribe("torn/*") as first, hc.connect(wire.address).subscribe("torn/*") as late:
                assert first.position == late.position == 0
                restarted()
                until = time.monotonic() + 30
                while first.reconnections == 0 or late.reconnections == 0:
                    assert time.monotonic() < until and first.next(0.05) is None and late.next(0.05) is None
                wire.down = True
                wire.cut()
                for number in range(3):
                    put_there(number)
                    assert seen(first, 1) == [("torn/a", float(number))]
                    restarted("kill" if number else "terminate")
                wire.down = False
                refused(hc.PositionGone, lambda: late.next(30), "subscribe behind 3")
            with own.subscribe("torn/*", reconnect_s=60) as torn:

                def write_and_end():
                    writing = threading.Thread(target=write_some, args=(hc.connect(mine), 60, 90_000, written), daemon=True)
                    writing.start()
                    for number, ends in enumerate(("kill", "terminate", "kill"), start=1):
                        time.sleep(0.7)
                        restarted(ends)
                        until = time.monotonic() + 30
                        while torn.reconnections < number and time.monotonic() < until:
                            time.sleep(0.05)
                    writing.join()

                same_as_written(torn, threading.Thread(target=write_and_end, daemon=True), 60, 90_000, written)
                assert torn.reconnections >= 3, torn.reconnections
                # Nobody takes what comes: the historian cuts the stream, and it goes on where it was.
                behind, later = torn.reconnections, []
                write_some(own, 42, 160_000, later)
                time.sleep(3)
                same_as_written(torn, threading.Thread(target=int), 42, 160_000, later)
                assert torn.reconnections > behind, "the historian has cut a stalled reader"
            brief = own.subscribe("torn/*", reconnect_s=0.5)
            server.kill()
            refused(hc.ConnectionFailed, lambda: brief.next(30), "")
        finally:
            server.kill()
            server.wait()
