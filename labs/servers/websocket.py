"""WebSockets with the `websockets` library: both sides send whenever they want to, and frames are the library's business.

    ws://HOST:PORT/events?after=CURSOR    a text frame for every event after CURSOR, and for all that follow;
                                          a text frame from the client is the next event
                                          400 not a cursor, before the upgrade
                                          4410 the events after CURSOR are not kept, or it is from before a restart
    ws://HOST:PORT/events                 the same, beginning with all that is kept
    ws://HOST:PORT/echo                   every message comes back, text as text and binary as binary

The close code 1001 says that the server stops, 1003 that an event is text, 1008 that a client sends too much too fast,
1009 that a message is too big.
"""

import asyncio
from contextlib import suppress
from functools import lru_cache, partial

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from labs.feed import Event, Feed, Gone
from labs.handshake import query
from labs.hosting import BODY_LIMIT, main
from labs.sockets import OPTIONS, Service, known_cursor

AT_ONCE = (
    100  # events that one reader may hold; a slower one's others stay in the feed, and leave it when their time comes
)


async def echo(socket: ServerConnection) -> None:
    """Send every message back as it came."""
    async for message in socket:
        await socket.send(message)


async def events(feed: Feed, socket: ServerConnection) -> None:
    """Both directions at once: one task delivers, while this one publishes what comes in."""
    async with asyncio.TaskGroup() as group:
        delivering = group.create_task(deliver(feed, socket, query(socket.request.path).get("after")))
        with suppress(ConnectionClosed):
            async for message in socket:
                if isinstance(message, bytes):
                    await socket.close(1003, "an event is text")
                elif len(message.encode()) > BODY_LIMIT:
                    await socket.close(1009, f"an event is at most {BODY_LIMIT} bytes")
                else:
                    feed.publish(message)
        delivering.cancel()


async def deliver(feed: Feed, socket: ServerConnection, after: str | None) -> None:
    """Send the events after a cursor and all that follow. A reader that is too slow makes `send` wait."""
    with suppress(ConnectionClosed):
        try:
            while True:
                for event in (await feed.wait(after))[:AT_ONCE]:
                    await socket.send(payload(event), text=True)
                    after = event.cursor
        except Gone as gone:
            await socket.close(4410, str(gone))


@lru_cache(maxsize=AT_ONCE)
def payload(event: Event) -> bytes:
    """One event as it travels, encoded once for all its readers."""
    return event.to_json().encode()


def make_app(feed: Feed, **settings) -> Service:
    """The service: two paths, and what all socket servers share."""
    handlers = {"/events": partial(events, feed), "/echo": echo}
    return Service(handlers, feed=feed, admit=partial(known_cursor, feed), **settings)


if __name__ == "__main__":
    main(make_app, __doc__, **OPTIONS, compress=(False, "offer permessage-deflate (RFC 7692)"))
