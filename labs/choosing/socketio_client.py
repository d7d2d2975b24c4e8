"""How a reader follows the feed over Socket.IO: like `labs.clients`, with the `python-socketio` library's client inside.

    async for event in follow(url, after=cursor):
        ...

Design notes
  * Every try is a fresh client that says its cursor when it connects, and the pauses are those of the course's other readers.
    The library can reconnect by itself, too: `auth` may be a function, which it calls at every try (`labs.choosing.
    socketio_cost` shows what is lost without). But it tries for ever where the server says that there is nothing to resume.
  * The library starts a task for every packet and waits for none of them, so what a slow caller has not taken yet is kept
    here, in its own memory. There is no way to make the server wait.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import socketio

from labs.clients import FAILURES, REQUEST_TIMEOUT_S, backoff, session
from labs.feed import BadCursor, Event, Gone

REFUSALS = {refusal.status: refusal for refusal in (Gone, BadCursor)}
DEFAULT = ("polling", "websocket")  # what a client does that is told nothing: polling first, then an upgrade


async def follow(
    url: str, *, after: str | None = None, transports: tuple[str, ...] = ("websocket",), rng=random
) -> AsyncIterator[Event]:
    """The events after a cursor, each once and in order, opened anew whenever the connection ends. Raises as `labs.clients`.

    `transports` are tried as Socket.IO does: ("websocket",) at once, DEFAULT by polling and an upgrade; `rng` draws the pauses.
    """
    pauses = backoff(rng)
    while True:
        try:
            async with arrivals(url, after, transports) as queue:
                while (event := await queue.get()) is not None:
                    if isinstance(event, Exception):
                        raise event
                    pauses = backoff(rng)
                    yield event
                    after = event.cursor
        except (*FAILURES, socketio.exceptions.SocketIOError):
            pass
        await asyncio.sleep(next(pauses))


@asynccontextmanager
async def arrivals(url: str, after: str | None, transports: tuple[str, ...]) -> AsyncIterator[asyncio.Queue]:
    """One connection: a queue of its events, in which a refusal is an exception and the end is None."""
    queue = asyncio.Queue()
    async with client() as sio:
        sio.on("event", lambda event: queue.put_nowait(Event(**event)))
        sio.on("gone", lambda why: queue.put_nowait(Gone(why)))
        sio.on("connect_error", lambda said: queue.put_nowait(refused(said)))
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            await sio.connect(url, auth=after and {"after": after}, transports=list(transports), wait=False)
        sio.eio.read_loop_task.add_done_callback(lambda _: queue.put_nowait(None))
        yield queue


@asynccontextmanager
async def client(**settings) -> AsyncIterator[socketio.AsyncClient]:
    """A client of the library, in real or in virtual time, without reconnection; it is disconnected at the end."""
    quiet = {"reconnection": False, "handle_sigint": False, "timestamp_requests": False}
    async with session() as http:
        sio = socketio.AsyncClient(**quiet | settings, http_session=http)
        try:
            yield sio
        finally:
            await sio.shutdown()
            if sio.eio.state == "connected":  # but the server has not let it in
                await sio.eio.disconnect()


def refused(said) -> Exception:
    """What the server says in a `connect_error`: {"message": why, "data": {"code": 410}}, or only a text if it is no refusal."""
    if isinstance(said, dict) and isinstance(said.get("data"), dict):
        return REFUSALS.get(said["data"].get("code"), ConnectionError)(said.get("message"))
    return ConnectionError(str(said))
