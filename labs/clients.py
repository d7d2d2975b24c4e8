"""How a reader follows a feed, one asynchronous iterator per transport.

    async for event in polling(url, every=1.0, after=cursor):
        ...

Every iterator yields each event once, in order, for as long as it is read; it survives failed requests, and raises `Gone`
when the server can no longer tell what came after the cursor, `BadCursor` when it never could. What to do then is for the
caller to decide.
"""

import asyncio
import json
import math
import random
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import chain
from urllib.parse import urlencode

import aiohttp
import websockets

from labs.clock import simulated
from labs.feed import BadCursor, Event, Gone
from labs.sse_codec import Parser, TooLong

REQUEST_TIMEOUT_S = 5.0
SOCKETS = ("raw_websocket", "websocket")  # the feed servers to which one publishes with a text frame
PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0  # before the first try after a failure, and before any
HEARTBEATS_MISSED = 2.5  # after so many a silent stream is taken for dead
FAILURES = (aiohttp.ClientError, OSError, TimeoutError, json.JSONDecodeError)  # what a network does to a request
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
async def session(timeout: float | None = REQUEST_TIMEOUT_S) -> AsyncIterator[aiohttp.ClientSession]:
    """An aiohttp session for this course: lean headers, a time limit for every request (seconds), real or virtual."""
    connector = InMemoryConnector() if simulated() else aiohttp.TCPConnector(limit=0)
    limit = aiohttp.ClientTimeout(total=timeout, ceil_threshold=float("inf"))
    async with aiohttp.ClientSession(connector=connector, timeout=limit, skip_auto_headers=SKIPPED) as http:
        yield http


async def fetch(
    http: aiohttp.ClientSession, url: str, after: str | None = None, wait: float | None = None
) -> list[Event]:
    """One poll: the events after the cursor, if need be waiting `wait` seconds. Raises what `accept` does."""
    params = {} if after is None else {"after": after}
    if wait is not None:
        params["wait"] = f"{wait:g}"
    async with http.get(f"{url}/events", params=params) as response:
        await accept(response)
        return [Event(**event) for event in json.loads(await response.read())]


async def accept(response: aiohttp.ClientResponse) -> None:
    """Let a good answer pass. Raises `Gone` or `BadCursor` where the feed did, else one of FAILURES."""
    for refusal in (Gone, BadCursor):
        if response.status == refusal.status:
            said = await response.text()
            with suppress(ValueError):
                said = json.loads(said)["error"]
            raise refusal(said)
    response.raise_for_status()


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
        number = max(number + 1, math.ceil((loop.time() - start) / every - 1e-4))  # one that has just begun is on time
        await asyncio.sleep(max(0.0, start + number * every - loop.time()))


async def long_polling(url: str, *, after: str | None = None, wait: float = 25.0, rng=random) -> AsyncIterator[Event]:
    """Long polling: ask, get an answer after `wait` seconds at the latest, ask again at once. `rng` draws the pauses."""
    async with session(wait + REQUEST_TIMEOUT_S) as http:
        pauses = backoff(rng)
        while True:
            try:
                events = await fetch(http, url, after, wait)
            except FAILURES:
                await asyncio.sleep(next(pauses))
                continue
            pauses = backoff(rng)
            for event in events:
                yield event
                after = event.cursor


async def sse(url: str, *, after: str | None = None, heartbeat: float = 15.0, rng=random) -> AsyncIterator[Event]:
    """Server-sent events: one answer without end, reopened whenever it ends, fails, or has been silent for too long.

    `heartbeat` is how often, in seconds, this server promises to send at least a comment; `rng` draws the pauses.
    """
    retry_s, pauses = 0.0, backoff(rng)
    async with session(None) as http:
        while True:
            parser = Parser()
            try:
                async with stream(http, url, after, silence=HEARTBEATS_MISSED * heartbeat) as chunks:
                    async for chunk in chunks:
                        pauses = backoff(rng)
                        for event in events_in(parser.feed(chunk)):
                            yield event
                            after = event.cursor
            except (*FAILURES, TooLong):
                pass
            retry_s = retry_s if parser.retry_ms is None else parser.retry_ms / 1000
            await asyncio.sleep(retry_s + next(pauses))


@asynccontextmanager
async def stream(http: aiohttp.ClientSession, url: str, after: str | None, *, silence: float):
    """The body of one SSE answer, chunk by chunk; `silence` seconds without a byte fail. Raises what `accept` does."""
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
    limits = aiohttp.ClientTimeout(sock_read=silence, ceil_threshold=float("inf"))
    async with asyncio.timeout(REQUEST_TIMEOUT_S):
        response = await http.get(f"{url}/events", headers=headers, timeout=limits)
    async with response:
        await accept(response)
        yield response.content.iter_any()


def events_in(messages: list) -> Iterator[Event]:
    """The feed's events among what an SSE stream delivered. Raises `Gone` where the stream says that there is a hole."""
    for message in messages:
        if message.type == "reset":
            raise Gone(message.data)
        if message.type == "message":
            yield Event(**json.loads(message.data))


def connect(url: str, path: str = "/events", **settings):
    """A WebSocket to a server of this course by the `websockets` library: no proxy, no compression, lean headers."""
    where = url.replace("http", "ws", 1) + path
    lean = {"compression": None, "user_agent_header": None, "proxy": None, "open_timeout": REQUEST_TIMEOUT_S}
    return websockets.connect(where, **(lean | {"close_timeout": 1.0} | settings))


def events_of(after: str | None) -> str:
    """The path of the events after a cursor."""
    return "/events" if after is None else f"/events?{urlencode({'after': after})}"


async def websocket(url: str, *, after: str | None = None, ping: float = 20.0, rng=random) -> AsyncIterator[Event]:
    """A WebSocket, opened anew whenever it ends, fails, or leaves a ping unanswered for as long as there is between two.

    `ping` is how often one is sent, in seconds; `rng` draws the pauses.
    """
    pauses = backoff(rng)
    while True:
        try:
            async with connect(url, events_of(after), ping_interval=ping, ping_timeout=ping) as socket:
                async for text in socket:
                    pauses = backoff(rng)
                    event = Event(**json.loads(text))
                    yield event
                    after = event.cursor
        except websockets.InvalidStatus as refusal:
            if refusal.response.status_code == BadCursor.status:
                raise BadCursor(refusal.response.body.decode().strip()) from None
        except websockets.ConnectionClosed as closed:
            if closed.rcvd and closed.rcvd.code == 4410:
                raise Gone(closed.rcvd.reason) from None
        except (*FAILURES, websockets.WebSocketException):
            pass
        await asyncio.sleep(next(pauses))


@asynccontextmanager
async def socket_publisher(url: str, cursor: str) -> AsyncIterator[Callable[[str], Awaitable[Event]]]:
    """A function that publishes one event over one kept WebSocket and returns it as the server numbered it.

    The socket follows the feed from `cursor` on: an event is published when it comes back. Calls may overlap.
    """
    waiting: dict[str, deque[asyncio.Future]] = defaultdict(deque)

    async def publish(text: str) -> Event:
        waiting[text].append(future := asyncio.get_running_loop().create_future())
        await socket.send(text)
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            return await future

    async def take_in():
        with suppress(websockets.ConnectionClosed):
            async for text in socket:
                event = Event(**json.loads(text))
                if waiting[event.data]:
                    waiting[event.data].popleft().set_result(event)
        for future in chain.from_iterable(waiting.values()):
            future.set_exception(ConnectionError(f"the server has closed: {socket.close_code} {socket.close_reason}"))

    async with connect(url, events_of(cursor)) as socket:
        taking = asyncio.create_task(take_in())
        try:
            yield publish
        finally:
            taking.cancel()


def backoff(rng) -> Iterator[float]:
    """Pauses between tries in seconds, each drawn between 0 and a bound that doubles, so that readers who were cut off

    together do not come back together ("full jitter").
    """
    bound = PAUSE_S
    while True:
        yield rng.uniform(0, bound)
        bound = min(2 * bound, LONGEST_PAUSE_S)


async def publish(http: aiohttp.ClientSession, url: str, data: str) -> Event:
    """Publish one event over HTTP; returns it as the server numbered it."""
    async with http.post(f"{url}/events", data=data.encode()) as response:
        response.raise_for_status()
        return Event(**json.loads(await response.read()))
