"""Socket.IO with the `python-socketio` library: named events, acknowledgments and sessions, over a WebSocket or polling.

    /socket.io/?EIO=4&transport=…   Engine.IO 4 carries Socket.IO 5; a client connects with auth {"after": CURSOR} or without
    event EVENT                     to the client: one event after the cursor, and all that follow
    publish TEXT                    from the client: the next event; acknowledged with the event, or with {"error": why}
    connect_error {"message": …, "data": {"code": 410}}   the events after the cursor are not kept, or it is from before a
                                    restart; 400: not a cursor
    POST /events                    201, the body's text is the next event

Design notes
  * `emit` waits for nobody: the library keeps a queue without bound for every reader. So a reader's task puts at most
    AT_ONCE events into it, and goes on when the connection has taken them all: a slow reader holds twice as many, at most.
    An acknowledgment for each batch would bound it, too, but cost a packet up, and one round trip each.
  * A cursor that cannot be resumed is refused before the client is let in. One that is lost while the client reads, because
    it reads too slowly, is told by the event `gone`, and the client is dismissed.
"""

import asyncio
from dataclasses import asdict

from aiohttp import web
from socketio.exceptions import ConnectionRefusedError

from labs.feed import BadCursor, Feed, Gone
from labs.hosting import BODY_LIMIT, amount, feed_app, main
from labs.socketio_engine import Sessions
from labs.sockets import RATE

PING_INTERVAL_S, PING_TIMEOUT_S = 25.0, 20.0  # the defaults of every Socket.IO server
AT_ONCE = 12  # the library's client takes at most 16 packets in an answer to a poll, greeting and ping among them

SERVER = web.AppKey("server", Sessions)


class FeedServer(Sessions):
    """Socket.IO on the feed: one task for each reader, from its connect to its disconnect."""

    def __init__(self, feed: Feed, **settings):
        super().__init__(**settings)
        self.feed, self.readers = feed, {}
        for handler in (self.on_connect, self.on_publish, self.on_disconnect):
            self.on(handler.__name__.removeprefix("on_"), handler)

    async def on_connect(self, sid: str, environ: dict, auth) -> None:
        """Begin to deliver after the cursor in `auth`, or refuse, saying why."""
        if sid in self.readers:
            return  # the library passes on a client's own event that is called "connect", too
        after = auth.get("after") if isinstance(auth, dict) else None
        try:
            self.feed.since(after if after is None else str(after))
        except (Gone, BadCursor) as refusal:
            raise ConnectionRefusedError(str(refusal), {"code": refusal.status}) from None
        self.readers[sid] = asyncio.create_task(self.deliver(sid, after))

    async def on_publish(self, sid: str, *args):
        """The next event. What is returned is the acknowledgment."""
        try:
            (text,) = args
            if len(text.encode()) > BODY_LIMIT:
                return {"error": f"an event is at most {BODY_LIMIT} bytes"}
        except (ValueError, AttributeError):  # more than one, half a surrogate pair, or no text
            return {"error": "an event is one text"}
        return asdict(self.feed.publish(text))

    async def on_disconnect(self, sid: str, reason: str) -> None:
        if reader := self.readers.pop(sid, None):
            reader.cancel()

    async def deliver(self, sid: str, after: str | None) -> None:
        """Send the events after a cursor and all that follow, and no more at once than the connection has taken."""
        session = self.eio.sockets[self.manager.eio_sid_from_sid(sid, "/")]
        try:
            while True:
                for event in (await self.feed.wait(after))[:AT_ONCE]:
                    await self.emit("event", asdict(event), to=sid)
                    after = event.cursor
                await session.queue.join()
        except Gone as gone:  # a reader that is too slow; one that comes too late is refused
            await self.emit("gone", str(gone), to=sid)
            await self.disconnect(sid)


def make_app(
    feed: Feed,
    *,
    origins: tuple[str, ...] = (),
    ping_interval_s: float = PING_INTERVAL_S,
    ping_timeout_s: float = PING_TIMEOUT_S,
    rate: float = RATE,
) -> web.Application:
    """The application: what all feed servers share, and Socket.IO's one route."""
    app = feed_app(feed, "socketio_feed.html", origins=origins)
    app[SERVER] = FeedServer(feed, rate=rate, ping_interval_s=ping_interval_s, ping_timeout_s=ping_timeout_s)
    app[SERVER].add_to(app)
    return app


if __name__ == "__main__":
    main(
        make_app,
        __doc__,
        ping_interval_s=(PING_INTERVAL_S, "ping every client so often"),
        ping_timeout_s=(PING_TIMEOUT_S, "give up a client that has not answered a ping for so long"),
        rate=(RATE, "packets a second that one client may send, 0 for any number", amount),
    )
