"""Subscriptions: samples as they become durable, each once and in the order of writing, across lost connections.

A thread reads the stream, so that whoever waits for samples can be interrupted, may wait for a bounded time only, and can be stopped from
elsewhere. It holds a few batches at most; when nobody takes them it stops reading, the historian cuts the stream after a while, and the
thread resumes it when there is room again.

Where to resume is a position, behind the greatest one that came. A large write comes in several batches, and all but the last one have the
position of what came before it: a batch whose position does not go on is part of a write that does. Cut in between, the stream begins with
that write again, and as many rows of each tag are dropped as were there already.
"""

from __future__ import annotations

import collections
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.flight as flight

from . import command, write
from .command import Command
from .error import ConnectionFailed, DeadlineExceeded, HistorianError, InvalidRequest, LimitExceeded, PositionGone, translating
from .progress import Reporter

POSITION_MAX = 2**64 - 1
# Batches that wait to be taken.
WAITING_MAX = 8
# Between attempts to get a lost connection back; the last one for ever.
WAITS_S = (0.1, 0.3, 1.0, 2.0)
# A peer that vanished without a word is noticed.
CHANNEL_OPTIONS = [
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
]
_NOTHING = {"tag": pa.array([], pa.utf8()), "timestamp": pa.array([], pa.timestamp("ns", "UTC")), "value": pa.array([], pa.float64())}

Connect = Callable[..., flight.FlightClient]


class Subscription:
    """Samples of a subscription; made by `Client.subscribe`. Iterate over it, or call `next`; `close` it, or use `with`.

    Each item is a `pyarrow.Table` with the columns tag, timestamp, value (float64: numbers; null for texts), text (of string tags), quality,
    position and integer (decimal128: the values of i64 and u64 tags exactly), in the order of writing. Current values, if asked for, come first and have the position 0.
    """

    def __init__(self, follower: _Follower) -> None:
        self._follower = follower
        self._position = follower.position
        # Also at the end of the program, and when nobody holds the subscription any more.
        self._closing = weakref.finalize(self, follower.stop)

    @property
    def position(self) -> int:
        """Where another subscription goes on behind what was taken from this one; to be kept where a program wants to resume after its own end.

        In the middle of a large write it stays behind the one before: resumed there, rows that were taken come once more, and none is lost.
        """
        return self._position

    @property
    def reconnections(self) -> int:
        """How often the connection was lost and is back."""
        return self._follower.reconnections

    def next(self, timeout_s: float | None = None) -> pa.Table | None:
        """The next samples; None when there are none within `timeout_s`, or the subscription is closed."""
        item = self._follower.take(timeout_s)
        if item is None:
            return None
        table, position = item
        self._position = max(self._position, position)
        return table

    def __iter__(self) -> Subscription:
        return self

    def __next__(self) -> pa.Table:
        table = self.next()
        if table is None:
            raise StopIteration
        return table

    def close(self) -> None:
        """Ends the subscription, from any thread; whoever waits for samples gets no more. What was not taken yet is not behind `position`."""
        self._closing()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def subscribe(connect: Connect, tags: list[str], position: int | None, current: bool, reconnect_s: float | None, call: Callable[..., Any]) -> Subscription:
    position = _position(position)
    if reconnect_s is not None and not reconnect_s >= 0:
        raise ValueError(f"reconnect_s: {reconnect_s!r} is below 0; give seconds, 0 for no attempt, None for attempts without end")
    follower = _Follower(connect, tags, position, current, reconnect_s, call)
    follower.begin()
    return Subscription(follower)


def _position(value: int | None) -> int:
    if value is None:
        return 0
    try:
        number = value.__index__() if not isinstance(value, bool) else None
    except AttributeError:
        number = None
    if number is None:
        raise TypeError(f"position: {value!r} is none; positions are whole numbers, as the historian tells them")
    if not 0 <= number <= POSITION_MAX:
        raise ValueError(f"position: {value!r} is none; positions are whole numbers from 0 to {POSITION_MAX}, as the historian tells them")
    return number


class _Progress:
    """What of the order of writing has been handed on, and which rows of a resumed stream are there already."""

    def __init__(self, position: int, current: bool) -> None:
        self.behind = position
        """Everything up to here has come whole."""
        self.wants_current = current
        self._current_seen: set[str] = set()
        self._rows: collections.Counter[str] = collections.Counter()  # of this stream, of the write under way
        self._there: collections.Counter[str] = collections.Counter()  # of earlier streams, of the write under way; yet to be repeated

    def resumes(self) -> None:
        """A new stream begins behind `behind`."""
        self._there += self._rows
        self._rows.clear()

    def take(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, int]:
        """The rows that are new, and where to resume behind them."""
        tags = batch.column("tag")
        position = batch.column("position")[-1].as_py()
        if position == 0 and self.wants_current:
            fresh = self._fresh_current(batch) if self._current_seen else batch
            self._current_seen.update(tags.to_pylist())
            return fresh, self.behind
        self.wants_current = False
        self._current_seen.clear()
        fresh = self._fresh(batch, tags) if self._there else batch
        if position > self.behind:
            self.behind = position
            self._rows.clear()
            self._there.clear()
        else:
            counts = pc.value_counts(tags)
            for tag, count in zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist()):
                self._rows[tag] += count
        return fresh, self.behind

    def _fresh(self, batch: pa.RecordBatch, tags: pa.Array) -> pa.RecordBatch:
        keep = []
        for tag in tags.to_pylist():
            there = self._there.get(tag, 0)
            keep.append(there == 0)
            if there == 1:
                del self._there[tag]
            elif there:
                self._there[tag] = there - 1
        return batch.filter(pa.array(keep, pa.bool_()))

    def _fresh_current(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.filter(pa.array([tag not in self._current_seen for tag in batch.column("tag").to_pylist()], pa.bool_()))


class _Follower:
    """The thread that reads, and what it has read."""

    def __init__(
        self, connect: Connect, tags: list[str], position: int, current: bool, reconnect_s: float | None, call: Callable[..., Any]
    ) -> None:
        self._connect = connect
        self._tags = tags
        self._progress = _Progress(position, current)
        self._reconnect_s = reconnect_s
        self._call = call  # options of a call; a subscription has no deadline
        self._changed = threading.Condition()
        self._waiting: collections.deque[tuple[pa.Table, int]] = collections.deque()
        self._failure: BaseException | None = None
        self._stopped = False
        self._client: flight.FlightClient | None = None
        self._reader: flight.FlightStreamReader | None = None
        self._thread: threading.Thread | None = None
        self.reconnections = 0

    @property
    def position(self) -> int:
        return self._progress.behind

    def begin(self) -> None:
        """Opens the stream, so that a refusal is the caller's and nothing written from now on is missed."""
        try:
            self._open_at_first()
        except BaseException:
            self._disconnect()
            raise
        # Not a method of the handle: a thread that held it would keep it from being collected.
        self._thread = threading.Thread(target=self._run, name="historian subscription", daemon=True)
        self._thread.start()

    def take(self, timeout_s: float | None) -> tuple[pa.Table, int] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._failure is not None or self._stopped, timeout_s)
            if self._stopped:
                return None
            if self._waiting:
                item = self._waiting.popleft()
                self._changed.notify_all()
                return item
            if self._failure is not None:
                raise self._failure
            return None

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            if self._reader is not None:
                self._reader.cancel()
        if self._thread is not None and self._thread is not threading.current_thread():
            # One that is just connecting ends by itself.
            self._thread.join(timeout=5.0)

    # The thread.

    def _run(self) -> None:
        try:
            while not self._stopped:
                try:
                    self._read()
                    lost: HistorianError = ConnectionFailed("the historian ended the subscription without a word")
                except (ConnectionFailed, DeadlineExceeded) as error:
                    # Cut for not being read counts as lost: there is room again, or there will be.
                    lost = error
                if not self._stopped:
                    self._resume(lost)
        except BaseException as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()
        finally:
            self._disconnect()

    def _read(self) -> None:
        for batch in self._batches():
            if batch.num_rows == 0:
                continue
            fresh, position = self._progress.take(batch)
            if fresh.num_rows:
                self._hand_on(_table(fresh, position), position)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        while True:
            with translating():
                try:
                    batch = self._reader.read_chunk().data if self._reader is not None else None
                except StopIteration:
                    return
                except (pa.ArrowException, OSError):
                    if self._stopped:
                        return
                    raise
            if batch is None or self._stopped:
                return
            yield batch

    def _hand_on(self, table: pa.Table, position: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < WAITING_MAX or self._stopped)
            self._waiting.append((table, position))
            self._changed.notify_all()

    def _resume(self, lost: HistorianError) -> None:
        """Opens the stream again behind what has come, or raises why it cannot be."""
        until = None if self._reconnect_s is None else time.monotonic() + self._reconnect_s
        attempt = 0
        while not self._stopped:
            wait = WAITS_S[min(attempt, len(WAITS_S) - 1)]
            left = wait if until is None else until - time.monotonic()
            if left <= 0:
                raise lost
            with self._changed:
                self._changed.wait_for(lambda: self._stopped, min(wait, left))
            if self._stopped:
                return
            attempt += 1
            self._disconnect()
            try:
                self._open_again()
            except (ConnectionFailed, DeadlineExceeded, LimitExceeded) as error:
                lost = error
                continue
            self.reconnections += 1
            return

    # The connection.

    def _open_at_first(self) -> None:
        progress = self._progress
        if progress.behind == 0:
            # From now on, by number: a connection that is lost before the first sample is resumed behind it all the same.
            progress.behind = self._watermark()
        self._open(progress.behind)
        if progress.behind == 0:
            # Nothing was ever written, or it was while the stream opened.
            progress.behind = self._watermark()
            if progress.behind != 0:
                self._disconnect()
                self._open(progress.behind)

    def _open_again(self) -> None:
        progress = self._progress
        progress.resumes()
        self._open(progress.behind)
        if progress.behind == 0 and (last := self._watermark()) != 0:
            message = f"the connection was lost before the first write ever had come, and there is no position in front of the {last} since"
            raise PositionGone(f"{message}; read them with a range query, and subscribe behind {last}", 0)

    def _open(self, position: int) -> None:
        asked: Command = command.subscribe(self._tags, position=position, current=self._progress.wants_current)
        with translating():
            if self._client is None:
                self._client = self._connect(generic_options=CHANNEL_OPTIONS)
            try:
                reader = self._client.do_get(flight.Ticket(asked.encoded()), self._call(bounded=False))
            except (pa.ArrowException, OSError) as error:
                raise _gone(error, position) from error
        with self._changed:
            self._reader = reader
            if self._stopped:
                reader.cancel()

    def _watermark(self) -> int:
        """Number of the last durable write: what an empty write is answered. It writes nothing."""
        if self._client is None:
            self._client = self._connect(generic_options=CHANNEL_OPTIONS)
        asked = command.write(mode="UPSERT", durability="SYNC", create_tags=False)
        return write.write(self._client, asked, pa.table(_NOTHING), self._call(), Reporter(False, "")).watermark

    def _disconnect(self) -> None:
        with self._changed:
            reader, client = self._reader, self._client
            self._reader = self._client = None
        if reader is not None:
            reader.cancel()
        if client is not None:
            client.close()


def _gone(error: BaseException, position: int) -> BaseException:
    """A refused position as what it is."""
    try:
        with translating():
            raise error
    except InvalidRequest as refused:
        return PositionGone(str(refused), position) if refused.code == "out of range" else refused
    except BaseException as other:
        return other


def _table(batch: pa.RecordBatch, position: int) -> pa.Table:
    """As a table whose positions are those to resume behind; 0 stays with current values."""
    table = pa.Table.from_batches([batch])
    if batch.column("position")[-1].as_py() in (0, position):
        return table
    place = table.schema.get_field_index("position")
    return table.set_column(place, table.schema.field(place), pa.array([position] * len(table), pa.uint64()))
