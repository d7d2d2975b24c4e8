"""What a Socket.IO server of this course adds to the `python-socketio` library: limits, and an end to everything that begins.

Design notes
  * The library's heartbeat reads the wall clock, which jumps when somebody sets it. Here it reads the course's clock.
  * A session that ends takes its next ping along, which the library would keep waiting, for 25 seconds each.
  * A reader that is too slow even for its pings is dropped: the library marks it as closed, but its writer would still wait.
  * Binary packets may claim any number of attachments, which the library keeps until all have come. None are taken.
  * A message that is no packet breaks the library's handler, which then leaves its writer behind. Here it ends the session.
  * Nothing is compressed, as in the course's other servers: an event gains little, and each connection would keep windows.
  * A server that stops ends the connection, not the namespace: a client takes a DISCONNECT packet for a dismissal, and does
    not come back (Socket.IO's documentation of `disconnect`: reason `io server disconnect`).
  * What carries these repairs are the library's own methods with an underscore; all of them are here.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from types import SimpleNamespace

import engineio
import socketio
from aiohttp import web
from engineio.async_drivers import aiohttp as aiohttp_driver

from labs.clock import now_ns
from labs.hosting import PATIENCE_S
from labs.sockets import MAX_SIZE, Allowance

BINARY = ("5", "6")  # the packet types of Socket.IO that announce attachments
REQUEST = "aiohttp.request"

# never 0, which the library takes for "no ping is under way"
engineio.async_socket.time = engineio.base_socket.time = SimpleNamespace(time=lambda: 1 + now_ns() / 1e9)
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


class Uncompressed(aiohttp_driver.WebSocket):
    """The library's WebSocket, except that it accepts no permessage-deflate, which every browser offers."""

    async def __call__(self, environ):
        self._sock = web.WebSocketResponse(max_msg_size=self.server.max_http_buffer_size, compress=False)
        await self._sock.prepare(environ[REQUEST])
        await self.handler(self)
        return self._sock


class Engine(engineio.AsyncServer):
    """Engine.IO; a session's next ping is known by name, so that a reader who leaves takes it along."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self._async = self._async | {"websocket": Uncompressed}

    def start_background_task(self, target, *args, **kwargs):
        task = super().start_background_task(target, *args, **kwargs)
        if isinstance(session := getattr(target, "__self__", None), engineio.async_socket.AsyncSocket):
            session.next_ping = task
        return task


class Sessions(socketio.AsyncServer):
    """Socket.IO on aiohttp: sessions of Engine.IO with limits, each of which ends."""

    def __init__(self, *, rate: float, ping_interval_s: float, ping_timeout_s: float):
        heartbeat = {"ping_interval": ping_interval_s, "ping_timeout": ping_timeout_s}
        limits = {"max_http_buffer_size": MAX_SIZE, "http_compression": False, "async_handlers": False}
        origins = {"cors_allowed_origins": []}  # pages of other origins are refused before, by `labs.hosting`
        manners = {"async_mode": "aiohttp", "json": Compact, "logger": logger, "engineio_logger": logger}
        super().__init__(**heartbeat, **limits, **origins, **manners)
        self.rate, self.allowances = rate, {}

    def add_to(self, app: web.Application) -> None:
        """Serve /socket.io/ as a part of this application, as long as that runs."""
        for method in ("GET", "POST"):
            app.router.add_route(method, "/socket.io/", self.answer)
        app.on_shutdown.append(self.stop)
        app.cleanup_ctx.append(self.living)

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
            for sid in [sid for sid, environ in self.environ.items() if environ[REQUEST] is request]:
                await self.end(self.eio.sockets[sid])
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
