"""Server-sent events: the reader asks once, and the answer never ends: every event is written into it as it comes.

    GET /events?after=CURSOR   200, text/event-stream (WHATWG HTML §9.2): the events after CURSOR, and all that follow
                               400 not a cursor
    GET /events                the same, beginning with all that is kept
        Last-Event-ID: CURSOR  where a browser's EventSource wants to go on; it wins over `after`, because the browser
                               repeats its first URL with every reconnect and only this header keeps up
    POST /events               201, the body's text is the next event

    retry: 1000                first, how long to wait before a reconnect, in milliseconds
    id: CURSOR + data: JSON    one event, in one write and so in one chunk
    :                          a comment when nothing else was sent for --heartbeat seconds: the connection is alive
    event: reset + data: why   the events after the reader's cursor are not kept, or it is from before a restart

After `reset` the stream goes on with all that is still kept, as if the reader had come without a cursor. The reset itself
carries an empty id, which makes the reader forget its cursor: should the connection break right there, it comes back for
all that is kept. (With the newest cursor as its id, everything between would be lost, and nobody would have been told.)
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from functools import lru_cache

from aiohttp import web

from labs.feed import Event, Feed, Gone
from labs.hosting import FEED, at_most, feed_app, main
from labs.sse_codec import comment, encode, reconnection_time

HEARTBEAT_S = 15.0
RETRY_S = 1.0
AT_ONCE = (
    100  # events that one reader may hold; a slower one's others stay in the feed, and leave it when their time comes
)

# X-Accel-Buffering asks nginx, and proxies that copied it, to pass every byte on at once.
HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}

TIMES = web.AppKey("times", tuple)


@lru_cache(maxsize=AT_ONCE)
def block(event: Event) -> bytes:
    """One event as it travels, encoded once for all its readers."""
    return encode(event.to_json(), id=event.cursor)


async def blocks(feed: Feed, after: str | None, heartbeat_s: float) -> AsyncIterator[bytes]:
    """The events after a cursor and all that follow, with a heartbeat in silence and a reset where there is a hole."""
    while True:
        try:
            async with asyncio.timeout(heartbeat_s):
                newer = (await feed.wait(after))[:AT_ONCE]
        except TimeoutError:
            yield comment()
        except Gone as gone:
            after = None
            yield encode(str(gone), event="reset", id="")
        else:
            for event in newer:
                yield block(event)
            after = newer[-1].cursor


async def events(request: web.Request) -> web.StreamResponse:
    """Write into the answer for as long as the reader and the server live. A reader who leaves takes the handler along."""
    feed, (heartbeat_s, retry_s) = request.app[FEED], request.app[TIMES]
    after = request.headers.get("Last-Event-ID") or request.query.get("after")
    with suppress(Gone):  # that is told inside the stream; what is not a cursor is refused before it begins
        feed.since(after)
    response = web.StreamResponse(headers=HEADERS)
    await response.prepare(request)
    with suppress(TimeoutError):  # the server stops
        async with at_most(None, request.app), aclosing(blocks(feed, after, heartbeat_s)) as stream:
            await response.write(reconnection_time(round(retry_s * 1000)))
            async for part in stream:
                await response.write(part)  # waits while the reader is too slow, instead of piling up
    return response


def make_app(
    feed: Feed, *, origins: tuple[str, ...] = (), heartbeat_s: float = HEARTBEAT_S, retry_s: float = RETRY_S
) -> web.Application:
    """The application: what all feed servers share, and this transport's one route."""
    app = feed_app(feed, "sse.html", origins=origins)
    app[TIMES] = (heartbeat_s, retry_s)
    app.router.add_get("/events", events, allow_head=False)
    return app


if __name__ == "__main__":
    main(
        make_app,
        __doc__,
        heartbeat_s=(HEARTBEAT_S, "send a comment after so long a silence"),
        retry_s=(RETRY_S, "ask browsers to wait so long before they reconnect"),
    )
