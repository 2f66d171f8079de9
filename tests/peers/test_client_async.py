"""The calls that read, with asyncio: the same answers, at the same time, and none left behind by a task that is cancelled."""

import asyncio
import functools
import inspect
import os
import time

import pytest

from package import hc, plant, put  # first: it finds the package

from historian_client.aio import CALLS_MAX
from lib import SECOND, START


def ran(body, **options):
    async def with_a_client():
        async with await hc.connect_async(os.environ["HISTORIAN_ADDRESS"], **options) as other:
            return await body(other)

    return asyncio.run(with_a_client())


@pytest.fixture(scope="module", autouse=True)
def written():
    put("async/a", [(at * SECOND, float(at)) for at in range(100)])
    put("async/b", [(at * SECOND, at) for at in range(100)])


def test_answers_are_those_of_the_other_client():
    bounds = (START, START + 100 * SECOND)
    calls = {
        "tags": ("async/*",), "tag": ("async/a",), "find_tags": ("async",), "current": ("async/*",), "range": ("async/*", *bounds),
        "superseded": ("async/*", *bounds), "aggregate": ("async/a", *bounds), "downsample": ("async/a", *bounds), "anomalies": ("async/a", *bounds),
        "detectors": (), "measure": ("async/a", *bounds, "PERCENT_GOOD"), "sql": ("SELECT $1 AS one", [1]), "gaps": (), "whoami": (),
        "fetch": ({"current": {"tags": ["async/a"]}},), "collectors": (), "frame": ("async/*", *bounds),
        "as_of": ({"timestamp": plant.range("async/a", *bounds)["timestamp"]}, "async/b"),
    }  # fmt: skip

    async def all_of_them(other):
        return dict(zip(calls, await asyncio.gather(*(getattr(other, name)(*given) for name, given in calls.items()))))

    answers = ran(all_of_them)
    for name, given in calls.items():
        expected = getattr(plant, name)(*given)
        assert answers[name].equals(expected) if hasattr(expected, "equals") else answers[name] == expected, name
        assert inspect.signature(getattr(hc.AsyncClient, name)) == inspect.signature(getattr(hc.Client, name)), name
    assert ran(lambda other: other.status())["version"] == plant.status()["version"]


def test_refusals_are_the_same_and_the_loop_goes_on_meanwhile():
    async def body(other):
        with pytest.raises(hc.TagNotFound, match="async/none"):
            await other.range("async/none", 0)
        with pytest.raises(TypeError):
            await other.range("async/a", START, boundry="x")
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.005)

        ticking = asyncio.create_task(tick())
        await asyncio.gather(*(other.sql("SELECT count(*) FROM generate_series(1, 3000000) AS a(v) WHERE v % 7 = 3") for _ in range(4)))
        ticking.cancel()
        return ticks

    assert ran(body) > 5
    with pytest.raises(hc.ConnectionFailed, match="nothing listens"):
        asyncio.run(hc.connect_async("127.0.0.1:1"))


def test_a_task_that_is_cancelled_leaves_no_query_behind():
    put("async/long", [(at, float(at)) for at in range(300_000)])

    async def body(other):
        endless = "SELECT count(*) FROM samples a, samples b WHERE a.tag = 'async/long' AND b.tag = 'async/long' AND a.value + b.value < -1"
        # More than run at once, one after the other: nothing is left of those before, neither here nor there. And nobody takes it for Ctrl-C.
        for _ in range(CALLS_MAX + 34):
            task = asyncio.create_task(other.sql(endless))
            await asyncio.sleep(0.1)
            assert not task.done()
            begun = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - begun < 1.0
        assert (await asyncio.wait_for(other.sql("SELECT 1 AS one"), 10)).to_pylist() == [{"one": 1}]

    ran(body, timeout_s=30)


def test_samples_come_as_they_are_written():
    async def body(other):
        loop = asyncio.get_running_loop()
        async with await other.subscribe("async/live") as samples:
            assert await samples.next(0.1) is None
            await loop.run_in_executor(None, functools.partial(put, "async/live", [(0, 1.0)]))
            got = [await samples.next(10)]
            later = loop.run_in_executor(None, functools.partial(put, "async/live", [(SECOND, 2.0)]))
            async for table in samples:
                got.append(table)
                break
            await later
            waiting = asyncio.create_task(samples.next())
            await asyncio.sleep(0.1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            # What a wait that was cancelled may have taken is there for the next one.
            before = samples.position
            written = await loop.run_in_executor(None, functools.partial(put, "async/live", [(2 * SECOND, 3.0)]))
            await asyncio.sleep(1.0)
            assert samples.position == before < written, "not yet taken"
            got.append(await samples.next(10))
            assert samples.position == written
        assert await samples.next(5) is None, "closed"
        return [table["value"].to_pylist() for table in got]

    assert ran(body) == [[1.0], [2.0], [3.0]]
