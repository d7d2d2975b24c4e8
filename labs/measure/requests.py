"""Requests, one by one: the two ways to load a server, what each calls latency, and what a request costs the server."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from labs import clients
from labs.clock import now_ns
from labs.link import Link
from labs.measure.pacing import progress, sleep_until, until
from labs.measure.records import Sample

Send = Callable[[], Awaitable]


async def closed_loop(send: Send, *, per_second: float, seconds: float) -> list[Sample]:
    """Ask, wait for the answer, then ask again on the next tick that is still to come: a slow answer silences the questions."""
    samples, start, number = [], now_ns(), 0
    bar = progress(range(round(per_second * seconds)), "closed loop")
    for _ in bar:
        due = start + round(number * 1e9 / per_second)
        if due >= start + seconds * 1e9:
            break
        await sleep_until(due)
        samples.append(await _sample(send, start, due))
        number = max(number + 1, int((now_ns() - start) * per_second / 1e9) + 1)
    bar.close()
    return samples


async def open_loop(send: Send, *, per_second: float, seconds: float) -> list[Sample]:
    """Ask on every tick, whether or not the last answer is there."""
    start = now_ns()
    async with asyncio.TaskGroup() as group:
        tasks = []
        for number in progress(range(round(per_second * seconds)), "open loop"):
            due = start + round(number * 1e9 / per_second)
            await sleep_until(due)
            tasks.append(group.create_task(_sample(send, start, due)))
    return [task.result() for task in tasks]


async def _sample(send: Send, start: int, due: int) -> Sample:
    sent = now_ns()
    await send()
    return Sample((due - start) / 1e6, (sent - start) / 1e6, (now_ns() - start) / 1e6)


@asynccontextmanager
async def pause(link: Link, *, after_s: float, for_s: float):
    """While the block runs: the link holds back all answers once, `after_s` from its start, `for_s` seconds long."""

    async def once():
        await asyncio.sleep(after_s)
        link.stall()
        await asyncio.sleep(for_s)
        link.resume()

    task = asyncio.create_task(once())
    try:
        yield
        await task
    finally:
        task.cancel()


async def cpu_per_request(server, *, requests: int = 400, path: str = "/events?after={cursor}") -> float:
    """Milliseconds of server CPU that one request with an empty answer costs: the process's own account, before and after."""
    mark = await server.publish("mark")
    url = server.origin + path.format(cursor=mark.cursor)
    async with clients.session() as http:

        async def ask(times: int) -> float:
            before = (await server.usage())["cpu_ns"]
            for _ in range(times):
                async with http.get(url) as response:
                    await response.read()
            return ((await server.usage())["cpu_ns"] - before) / 1e6

        await ask(50)  # warm up
        overhead = await ask(0)
        return (await ask(requests) - overhead) / requests


async def tasks_held(server, *, at_least: int = 0, at_most: float = math.inf) -> int:
    """How many tasks the server process has, as soon as they are so many or so few."""
    count = 0

    async def enough() -> bool:
        nonlocal count
        count = (await server.usage())["tasks"]
        return at_least <= count <= at_most

    await until(enough)
    return count


async def watch(url: str, follow: Callable[..., AsyncIterator], **settings) -> list:
    """Follow a feed until cancelled, for its traffic alone; events are collected and, in the end, dropped."""
    return [event async for event in follow(url, **settings)]
