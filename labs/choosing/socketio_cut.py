"""What a broken connection costs a reader over Socket.IO, whose client comes back by itself: events lost, and events twice.

    cut = await emitted_through_a_cut()        # Cut("emit to everybody", published=60, lost=12, twice=0, …)

Socket.IO promises that a message arrives at most once, and in order (socket.io docs, "Delivery guarantees"). Its client comes
back, after a second at first, but what was said meanwhile is over. Its JavaScript server can keep the packets of a connection
that broke for some minutes ("Connection state recovery", since 4.6); `python-socketio` has nothing like it. With a cursor the
client says what it has, in `auth`, which may be a function: the library calls it at every try.

A server without cursors can be asked in two ways: for what comes from now on, which loses, or for all again, which repeats.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import pairwise

from aiohttp import web

from labs.choosing.socketio_client import client
from labs.clients import REQUEST_TIMEOUT_S
from labs.hosting import serving
from labs.link import Link
from labs.socketio_engine import Sessions

PUBLISHED, EVERY_S = 60, 0.1
RECONNECT_S = 1.0  # the library's first pause; it would add up to half a second by chance, which is switched off here


@dataclass(frozen=True)
class Cut:
    """What became of the events when the connection broke once, and for how long nothing came, in seconds."""

    name: str
    published: int
    lost: int
    twice: int
    silent_s: float


def missed(rtt_ms: float) -> int:
    """How many events are published between the cut and the moment when the server has let the client in again.

    Its pause, and then two and a half round trips: TCP's handshake, the upgrade, and the way up of `40`.
    """
    return 1 + int((RECONNECT_S + 2.5 * rtt_ms / 1000) / EVERY_S)


async def emitted_through_a_cut(rtt_ms: float = 60.0) -> Cut:
    """A server that only emits to everybody who is there: Socket.IO as most examples use it. Starts it in this process."""
    sio, app = Sessions(rate=0, ping_interval_s=25.0, ping_timeout_s=20.0), web.Application()
    sio.on("connect", lambda sid, environ, auth: None)
    sio.add_to(app)

    async def publish(number: int):
        await sio.emit("event", {"id": number})

    async with serving(app) as url, await Link.open(url, rtt_ms=rtt_ms) as link:
        return await through_a_cut("emit to everybody", link, publish)


async def resumed_through_a_cut(server) -> Cut:
    """`socketio_feed` through its link, and a client that says its cursor at every try."""
    got: dict = {}
    return await _feed_through_a_cut("with a cursor", server, lambda: got and {"after": got["cursor"]}, got)


async def repeated_through_a_cut(server) -> Cut:
    """The same server, which sends all that it keeps to a client that says nothing."""
    return await _feed_through_a_cut("all again", server, lambda: {}, {})


async def _feed_through_a_cut(name: str, server, auth: Callable[[], dict], got: dict) -> Cut:
    """`got` becomes what came last."""
    async with server.publisher() as publish:
        return await through_a_cut(name, server.link, lambda number: publish(str(number)), auth, got)


async def through_a_cut(
    name: str, link: Link, publish: Callable[[int], Awaitable], auth: Callable[[], dict] = dict, got: dict | None = None
) -> Cut:
    """Publish PUBLISHED events, one every EVERY_S; after a third of them, the connection breaks."""
    loop, came, got = asyncio.get_running_loop(), [], {} if got is None else got

    def take(event: dict):
        came.append((loop.time(), event["id"]))
        got.update(event)

    async with client(reconnection=True, reconnection_delay=RECONNECT_S, randomization_factor=0) as sio:
        sio.on("event", take)
        await sio.connect(link.url, auth=auth, transports=["websocket"], wait_timeout=REQUEST_TIMEOUT_S)
        for number in range(1, PUBLISHED + 1):
            await publish(number)
            await asyncio.sleep(EVERY_S)
            if number == PUBLISHED // 3:
                link.cut()
        await asyncio.sleep(RECONNECT_S)
    ids = [number for _, number in came]
    silent = max(later - earlier for (earlier, _), (later, _) in pairwise(came))
    return Cut(name, PUBLISHED, PUBLISHED - len(set(ids)), len(ids) - len(set(ids)), silent)
