"""Three ways to follow one feed, without any patience of their own: each yields what comes, and fails when it fails.

    async for sign in websocket(url, after):     # None is a sign of life, anything else an event

Each gives a sign as soon as it is open, and from then on at least once a second. What can go wrong with a connection is an
`OSError`; that the feed cannot tell what came after the cursor is `Gone`. When to give a way up, and which one to try next,
is for the caller to decide: that is exercise 7.4.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import contextmanager

import aiohttp
import websockets

from labs import clients
from labs.feed import Event, Gone
from labs.sse_codec import Parser, TooLong

SIGN_S = 1.0  # servers of these ways are started with --heartbeat 1
CLOSE_S = 0.1  # what a closing handshake may take: the way is over, and another one waits
TROUBLE = (aiohttp.ClientError, websockets.WebSocketException, TimeoutError, TooLong, json.JSONDecodeError)


@contextmanager
def failing_as_one():
    """Whatever a library calls it, it is a `ConnectionError` or `Gone`."""
    try:
        yield
    except websockets.ConnectionClosed as closed:
        if closed.rcvd and closed.rcvd.code == 4410:
            raise Gone(closed.rcvd.reason) from None
        raise ConnectionError(str(closed)) from closed
    except TROUBLE as trouble:
        raise ConnectionError(str(trouble) or type(trouble).__name__) from trouble


async def websocket(url: str, after: str | None) -> AsyncIterator[Event | None]:
    """Over a WebSocket; the signs are the answers to pings."""
    with failing_as_one():
        async with clients.connect(url, clients.events_of(after), ping_interval=None, close_timeout=CLOSE_S) as socket:
            yield None
            while True:
                try:
                    async with asyncio.timeout(SIGN_S):
                        text = await socket.recv()
                except TimeoutError:
                    await (await socket.ping())
                    yield None
                else:
                    yield Event(**json.loads(text))


async def sse(url: str, after: str | None) -> AsyncIterator[Event | None]:
    """Over server-sent events; the signs are the server's heartbeats."""
    with failing_as_one():
        parser = Parser()
        async with clients.session(None) as http, clients.stream(http, url, after, silence=60 * SIGN_S) as chunks:
            async for chunk in chunks:
                yield None
                for event in clients.events_in(parser.feed(chunk)):
                    yield event


async def long_polling(url: str, after: str | None) -> AsyncIterator[Event | None]:
    """By long polling; the signs are the empty answers."""
    with failing_as_one():
        async with clients.session() as http:
            while True:
                events = await clients.fetch(http, url, after, SIGN_S)
                yield None
                for event in events:
                    yield event
                    after = event.cursor
