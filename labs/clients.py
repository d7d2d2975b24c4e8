"""How a reader follows a feed, one asynchronous iterator per transport.

    async for event in polling(url, every=1.0, after=cursor):
        ...

Every iterator yields each event once, in order, for as long as it is read; it survives failed requests, and raises `Gone`
when the server can no longer tell what came after the cursor. What to do then is for the caller to decide.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from async_solipsism import EventLoop

from labs.feed import Event, Gone

REQUEST_TIMEOUT_S = 5.0
FAILURES = (aiohttp.ClientError, OSError, TimeoutError)  # what a network does to a request now and then
SKIPPED = ("Accept", "Accept-Encoding", "User-Agent")  # headers that aiohttp would add; this reader needs none of them


class InMemoryConnector(aiohttp.TCPConnector):
    """Connects over the in-memory network of virtual time. Overrides a private method, in this one place."""

    async def _wrap_create_connection(self, *args, addr_infos, req, timeout, client_error, **kwargs):
        host, port = addr_infos[0][4][:2]
        try:
            return await self._loop.create_connection(*args, host, port)
        except OSError as error:
            raise client_error(req.connection_key, error) from error


@asynccontextmanager
async def session(timeout: float = REQUEST_TIMEOUT_S) -> AsyncIterator[aiohttp.ClientSession]:
    """An aiohttp session for this course: lean headers, a time limit for every request (seconds), real or virtual."""
    virtual = isinstance(asyncio.get_running_loop(), EventLoop)
    connector = InMemoryConnector() if virtual else aiohttp.TCPConnector(limit=0)
    limit = aiohttp.ClientTimeout(total=timeout, ceil_threshold=float("inf"))
    async with aiohttp.ClientSession(connector=connector, timeout=limit, skip_auto_headers=SKIPPED) as http:
        yield http


async def fetch(http: aiohttp.ClientSession, url: str, after: str | None = None) -> list[Event]:
    """One poll: the events after the cursor. Raises `Gone`, or one of FAILURES."""
    params = {} if after is None else {"after": after}
    async with http.get(f"{url}/events", params=params) as response:
        if response.status == Gone.status:
            raise Gone((await response.json())["error"])
        response.raise_for_status()
        return [Event(**event) for event in json.loads(await response.read())]


async def polling(url: str, *, every: float = 1.0, after: str | None = None) -> AsyncIterator[Event]:
    """HTTP polling, once in `every` seconds on a fixed schedule; a slow answer costs a tick, never an overlap."""
    async with session() as http:
        async for tick in ticks(every):  # noqa: B007
            try:
                events = await fetch(http, url, after)
            except FAILURES:
                continue
            for event in events:
                yield event
                after = event.cursor


async def ticks(every: float) -> AsyncIterator[int]:
    """0, 1, 2 … at multiples of `every` seconds from now; the multiples that passed while the body ran are skipped."""
    loop = asyncio.get_running_loop()
    start, number = loop.time(), 0
    while True:
        yield number
        number = max(number + 1, int((loop.time() - start) / every) + 1)
        await asyncio.sleep(start + number * every - loop.time())


async def publish(http: aiohttp.ClientSession, url: str, data: str) -> Event:
    """Publish one event over HTTP; returns it as the server numbered it."""
    async with http.post(f"{url}/events", data=data.encode()) as response:
        response.raise_for_status()
        return Event(**json.loads(await response.read()))
