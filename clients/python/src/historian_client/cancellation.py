"""Answers under way that somebody else may end: a task that is cancelled leaves no query behind."""

from __future__ import annotations

import contextvars
import threading
from typing import Any

import pyarrow as pa


class Cancellation:
    """Ends the answers that are read in its context."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers: list[Any] = []
        self._is_cancelled = False

    def watch(self, reader: Any) -> None:
        with self._lock:
            self._readers.append(reader)
            if self._is_cancelled:
                reader.cancel()

    def cancel(self) -> None:
        with self._lock:
            self._is_cancelled = True
            for reader in self._readers:
                reader.cancel()


CURRENT: contextvars.ContextVar[Cancellation | None] = contextvars.ContextVar("historian_cancellation", default=None)


def watched(reader: Any) -> Any:
    """The reader of an answer, which whoever asked in this context may end."""
    cancellation = CURRENT.get()
    if cancellation is not None:
        cancellation.watch(reader)
    return reader


def table_of(reader: Any) -> pa.Table:
    """A whole answer, which whoever asked in this context may end."""
    if CURRENT.get() is None:
        return reader.read_all()
    # By chunks: `read_all` takes the end of an answer that was cancelled for Ctrl-C, and interrupts the main thread.
    batches = []
    watched(reader)
    while True:
        try:
            batches.append(reader.read_chunk().data)
        except StopIteration:
            return pa.Table.from_batches(batches, reader.schema)
