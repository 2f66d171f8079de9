"""The calls that read, for asyncio: each in a thread of its own, so that the loop goes on. A task that is cancelled ends its query at the historian."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

import pyarrow as pa

from .cancellation import CURRENT, Cancellation
from .client import Client, connect
from .command import Tags
from .subscribe import Subscription

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

# Calls at once of a client; further ones wait. The historian has bounds of its own.
CALLS_MAX = 16
# How long a thread waits for samples at a time.
_TURN_S = 0.5


async def connect_async(url: str | None = None, **options: Any) -> AsyncClient:
    """As `connect`, with the same options."""
    return AsyncClient(await asyncio.to_thread(functools.partial(connect, url, **options)))


def _awaited(call: Callable[Concatenate[Client, Given], Answer]) -> Callable[Concatenate[AsyncClient, Given], Coroutine[Any, Any, Answer]]:
    @functools.wraps(call)
    async def awaited(self: AsyncClient, /, *given: Given.args, **options: Given.kwargs) -> Answer:
        return await self._run(lambda: call(self.client, *given, **options))

    return awaited


class AsyncClient:
    """A connection for asyncio; make it with `connect_async`. Its calls are those of `Client`, awaited."""

    def __init__(self, client: Client) -> None:
        self.client = client
        """The client below, for the calls that write."""
        self._threads = concurrent.futures.ThreadPoolExecutor(CALLS_MAX, "historian")

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self.client.close)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"await historian_client.connect_async({str(self.client.address)!r})"

    tags = _awaited(Client.tags)
    tag = _awaited(Client.tag)
    find_tags = _awaited(Client.find_tags)
    current = _awaited(Client.current)
    range = _awaited(Client.range)
    superseded = _awaited(Client.superseded)
    aggregate = _awaited(Client.aggregate)
    downsample = _awaited(Client.downsample)
    anomalies = _awaited(Client.anomalies)
    detectors = _awaited(Client.detectors)
    measure = _awaited(Client.measure)
    as_of = _awaited(Client.as_of)
    frame = _awaited(Client.frame)
    sql = _awaited(Client.sql)
    gaps = _awaited(Client.gaps)
    annotations = _awaited(Client.annotations)
    fetch = _awaited(Client.fetch)
    status = _awaited(Client.status)
    collectors = _awaited(Client.collectors)
    whoami = _awaited(Client.whoami)

    async def subscribe(
        self, tags: Tags = "**", *, position: int | None = None, current: bool = False, reconnect_s: float | None = 600.0
    ) -> AsyncSubscription:
        """As `Client.subscribe`, to be iterated over with `async for`."""
        opened = await self._run(lambda: self.client.subscribe(tags, position=position, current=current, reconnect_s=reconnect_s))
        return AsyncSubscription(opened, self)

    async def _run(self, call: Callable[[], Answer]) -> Answer:
        cancellation = Cancellation()
        context = contextvars.copy_context()
        context.run(CURRENT.set, cancellation)
        running: Awaitable[Answer] = asyncio.get_running_loop().run_in_executor(self._threads, context.run, call)
        try:
            return await running
        except asyncio.CancelledError:
            cancellation.cancel()
            raise


class AsyncSubscription:
    """Samples as they become durable; see `Subscription`. One task at a time may wait for them."""

    def __init__(self, subscription: Subscription, client: AsyncClient) -> None:
        self.subscription = subscription
        self._client = client
        self._position = subscription.position
        self._is_closed = False
        # What is being taken. A wait that ends early, or is cancelled, leaves it to the next one: samples come once.
        self._taking: asyncio.Task[tuple[pa.Table | None, int]] | None = None

    @property
    def position(self) -> int:
        """Behind what was taken from this one; see `Subscription.position`."""
        return self._position

    async def next(self, timeout_s: float | None = None) -> pa.Table | None:
        """The next samples; None when there are none within `timeout_s`, or the subscription is closed."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout_s is None else loop.time() + timeout_s
        while not self._is_closed:
            if self._taking is None:
                self._taking = loop.create_task(self._taken())
            taking = self._taking
            await asyncio.wait({taking}, timeout=None if deadline is None else max(0.0, deadline - loop.time()))
            if not taking.done():
                return None
            self._taking = None
            table, position = taking.result()
            if table is not None:
                self._position = max(self._position, position)
                return table
        return None

    async def close(self) -> None:
        self._is_closed = True
        await asyncio.to_thread(self.subscription.close)
        if self._taking is not None:
            await asyncio.wait({self._taking})

    def __aiter__(self) -> AsyncSubscription:
        return self

    async def __anext__(self) -> pa.Table:
        table = await self.next()
        if table is None:
            raise StopAsyncIteration
        return table

    async def __aenter__(self) -> AsyncSubscription:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _taken(self) -> tuple[pa.Table | None, int]:
        def take() -> tuple[pa.Table | None, int]:
            table = self.subscription.next(_TURN_S)
            return table, self.subscription.position

        return await self._client._run(take)
