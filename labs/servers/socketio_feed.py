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
  * A reader that is too slow even for its pings is dropped: the library marks it as closed, but its writer would still wait.
  * The library's heartbeat reads the wall clock, which jumps when somebody sets it. Here it reads the course's clock.
  * A server that stops ends the connection, not the namespace: a client takes a DISCONNECT packet for a dismissal, and does
    not come back (socket.io docs, "disconnect": reason `io server disconnect`).
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import asdict
from types import SimpleNamespace

import engineio
import socketio
from aiohttp import web

from labs.clock import now_ns
from labs.feed import BadCursor, Feed, Gone
from labs.hosting import BODY_LIMIT, PATIENCE_S, amount, feed_app, main
from labs.sockets import MAX_SIZE, RATE, Allowance

PING_INTERVAL_S, PING_TIMEOUT_S = 25.0, 20.0  # the defaults of every Socket.IO server
AT_ONCE = 100
BINARY = ("5", "6")  # the packet types of Socket.IO that announce attachments
REQUEST = "aiohttp.request"

engineio.async_socket.time = engineio.base_socket.time = SimpleNamespace(time=lambda: now_ns() / 1e9)
logger = logging.getLogger("socketio")
logger.setLevel(logging.CRITICAL)  # the library logs a client's nonsense as errors of ours, with tracebacks


class Compact:
    """How packets are written and read: as JavaScript does, without escapes; too deep is wrong, not an accident."""

    @staticmethod
    def dumps(value, **settings) -> str:
        return json.dumps(value, ensure_ascii=False, **settings)

    @staticmethod
    def loads(text: str):
        try:
            return engineio.json.loads(text)
        except RecursionError:
            raise ValueError("nested too deep") from None


class Engine(engineio.AsyncServer):
    """Engine.IO; a session's next ping is known by name, so that a reader who leaves takes it along."""

    def start_background_task(self, target, *args, **kwargs):
        task = super().start_background_task(target, *args, **kwargs)
        if isinstance(session := getattr(target, "__self__", None), engineio.async_socket.AsyncSocket):
            session.next_ping = task
        return task


class FeedServer(socketio.AsyncServer):
    """Socket.IO on the feed: one task for each reader, from its connect to its disconnect."""

    def __init__(self, feed: Feed, rate: float, **settings):
        super().__init__(**settings)
        self.feed, self.rate, self.readers, self.allowances = feed, rate, {}, {}
        for handler in (self.on_connect, self.on_publish, self.on_disconnect):
            self.on(handler.__name__.removeprefix("on_"), handler)

    def _engineio_server_class(self):
        return Engine

    async def _handle_eio_connect(self, eio_sid, environ):
        self.allowances[eio_sid] = Allowance(self.rate)
        await super()._handle_eio_connect(eio_sid, environ)

    async def _handle_eio_message(self, eio_sid, data):
        """A packet of Socket.IO. Too many of them, or binary ones, which may claim any number of attachments, end the session."""
        if isinstance(data, str) and data[:1] not in BINARY and self.allowances[eio_sid].spend():
            await super()._handle_eio_message(eio_sid, data)
        else:
            await self.end(self.eio.sockets[eio_sid])

    async def _handle_eio_disconnect(self, eio_sid, reason):
        """The session ends, whoever ends it; its next ping and, if it is too slow to be told, its connection go with it."""
        request = self.environ[eio_sid][REQUEST]
        await super()._handle_eio_disconnect(eio_sid, reason)
        del self.allowances[eio_sid]
        session = self.eio.sockets[eio_sid]
        session.next_ping.cancel()
        if reason == self.reason.CLIENT_DISCONNECT:
            session.queue.put_nowait(None)  # a poll may be waiting for what will not come any more
        if reason == self.reason.PING_TIMEOUT:
            drop(request)

    async def end(self, session, *, abruptly: bool = True) -> None:
        """End a session of Engine.IO: abruptly, or after what its connection has still to take."""
        request = self.environ[session.sid][REQUEST] if session.sid in self.environ else None
        await session.close(wait=False, abort=abruptly, reason=self.reason.SERVER_DISCONNECT)
        session.queue.put_nowait(None)  # the end of its writer
        if abruptly and request is not None:
            drop(request)

    async def on_connect(self, sid: str, environ: dict, auth) -> None:
        """Begin to deliver after the cursor in `auth`, or refuse, saying why."""
        after = auth.get("after") if isinstance(auth, dict) else None
        try:
            self.feed.since(after if after is None else str(after))
        except (Gone, BadCursor) as refusal:
            raise socketio.exceptions.ConnectionRefusedError(str(refusal), {"code": refusal.status}) from None
        self.readers[sid] = asyncio.create_task(self.deliver(sid, after))

    async def on_publish(self, sid: str, *args):
        """The next event. What is returned is the acknowledgment."""
        if len(args) != 1 or not isinstance(args[0], str):
            return {"error": "an event is one text"}
        if len(args[0].encode(errors="replace")) > BODY_LIMIT:
            return {"error": f"an event is at most {BODY_LIMIT} bytes"}
        return asdict(self.feed.publish(args[0]))

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

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request of Engine.IO. Nonsense on which the library breaks ends the session that it came from."""
        if (opened := self.environ.get(request.query.get("sid"))) and "Upgrade" in request.headers:
            opened[REQUEST] = request  # from now on the session is on this connection
        try:
            async with asyncio.timeout(PATIENCE_S if request.method == "POST" else None):
                return await self.handle_request(request)
        except TimeoutError:
            raise web.HTTPRequestTimeout(headers={"Connection": "close"}) from None
        except (ValueError, RecursionError):
            for session in list(self.eio.sockets.values()):
                if self.environ[session.sid][REQUEST] is request:
                    await self.end(session)
            return web.Response(status=400)

    async def living(self, app: web.Application) -> AsyncIterator[None]:
        """While the application runs: look for readers that no longer answer; at its end, end every session."""
        self.eio.start_service_task = False  # the library would begin with the first reader
        self.eio.service_task_handle = asyncio.create_task(self.eio._service_task())
        yield
        await self.shutdown()

    async def stop(self, app: web.Application) -> None:
        """The server stops: end every session in order."""
        for session in list(self.eio.sockets.values()):
            await self.end(session, abruptly=False)


def drop(request: web.Request) -> None:
    """Close a connection without waiting for a reader who may not be reading."""
    if request.transport is not None:
        request.transport.abort()


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
    heartbeat = {"ping_interval": ping_interval_s, "ping_timeout": ping_timeout_s}
    refused_before = {"cors_allowed_origins": []}  # pages of other origins, by `labs.hosting`
    limits = {"max_http_buffer_size": MAX_SIZE, "http_compression": False, "async_handlers": False}
    server = FeedServer(
        feed,
        rate,
        async_mode="aiohttp",
        logger=logger,
        engineio_logger=logger,
        json=Compact,
        **heartbeat,
        **limits,
        **refused_before,
    )
    for method in ("GET", "POST"):
        app.router.add_route(method, "/socket.io/", server.answer)
    app.on_shutdown.append(server.stop)
    app.cleanup_ctx.append(server.living)
    return app


if __name__ == "__main__":
    main(
        make_app,
        __doc__,
        ping_interval_s=(PING_INTERVAL_S, "ping every client so often"),
        ping_timeout_s=(PING_TIMEOUT_S, "give up a client that has not answered a ping for so long"),
        rate=(RATE, "packets a second that one client may send, 0 for any number", amount),
    )
