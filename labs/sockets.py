"""What every socket server of this course shares: its HTTP side, its limits, how it stops; and how `websockets` serves it.

    service = Service({"/echo": echo})     # async def echo(socket): …
    async with serving(service) as url: ...                   # `serving` is that of labs.hosting

Design notes
  * Before the upgrade a socket server is an HTTP server, with the same rules: who may use it, pages, healthz, refusals.
    `Service.answer` holds them, for every request and whoever carries the frames.
  * Nothing is compressed unless asked for: a small message gains little, and each connection would keep windows of up to
    32 KiB a direction (RFC 7692); notebook 04 measures both.
  * A slow reader costs one buffer: `send` waits. Nobody may keep it waiting for ever, because pings wait in the same line.
"""

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidMessage
from websockets.frames import Frame
from websockets.http11 import Request as LibraryRequest
from websockets.http11 import Response
from websockets.protocol import State

from labs.feed import BadCursor, Feed, Gone
from labs.handshake import Answer, Refusal, Request, host, upgrade_key
from labs.hosting import PATIENCE_S, amount, foreign, held, page_text, positive, reachable_here_only, url_of

PING_S = 20.0
MAX_SIZE = 1024 * 1024  # bytes of a message
RATE = 1000.0  # messages and pings a second that one client may send in the long run
BURST_S = 5.0  # … and so many seconds' worth of them at once
HTML = "text/html; charset=utf-8"
CLOSE_S = 1.0  # what a client gets to answer a close frame when the server stops

OPTIONS = {
    "ping_s": (PING_S, "ping every client so often, and give up one that does not answer by the next time"),
    "max_size": (MAX_SIZE, "largest message in bytes", positive),
    "rate": (RATE, "messages and pings a second that one client may send, 0 for any number", amount),
}  # that every socket server has, for `labs.hosting.main`

logging.getLogger("websockets").setLevel(logging.WARNING)  # not one line for every connection


class Allowance:
    """How much a client may still send: `rate` a second, and what it has not used of the last BURST_S seconds."""

    __slots__ = ("at", "clock", "left", "rate")

    def __init__(self, rate: float):
        self.rate, self.clock = rate, asyncio.get_running_loop().time
        self.left, self.at = rate * BURST_S, self.clock()

    def spend(self) -> bool:
        """Take one; False if there is none left. A rate of 0 is no limit."""
        now = self.clock()
        self.left, self.at = min(self.left + (now - self.at) * self.rate, self.rate * BURST_S) - 1, now
        return self.left >= 0 or not self.rate


@dataclass
class Service:
    """A socket server before it listens: who handles which path, the page at `/`, and the limits.

    `admit` may raise `Refusal` for a request whose path has a handler, before the upgrade.
    """

    handlers: Mapping[str, Callable[..., Awaitable[None]]]
    page: str = "console.html"  # at `/`; the console itself is at `/console`, too
    feed: Feed | None = None
    origins: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()  # subprotocols, the best first; a client that offers none is served as well
    admit: Callable[[Request], None] = lambda request: None
    ping_s: float = PING_S
    max_size: int = MAX_SIZE
    rate: float = RATE
    compress: bool = False
    reads: Mapping[str, Callable[[Request], Answer]] = field(default_factory=dict)  # more paths that can be read
    tls: ssl.SSLContext | None = None
    connection: "type[Connection] | None" = None  # what `websockets` makes of each connection
    local: bool = True  # whether only this machine can reach the server

    def answer(self, request: Request) -> Answer | None:
        """What is said over HTTP; None when the request rightly opens a socket. Raises `Refusal`."""
        names = {"Host": host(request), "Origin": request.headers.get("origin")}
        if refusal := foreign(names, origins=self.origins, local=self.local):
            raise Refusal(*refusal)
        if request.path in self.handlers:
            upgrade_key(request)
            return self.admit(request)
        reads = {"/": self.live_page, "/console": self.console, "/healthz": self.healthz, **self.reads}
        if request.path not in reads:
            raise Refusal(404, "there is nothing here")
        if request.method != "GET":
            raise Refusal(405, "this can only be read", {"Allow": "GET"})
        return reads[request.path](request)

    def live_page(self, request: Request, page: str | None = None) -> Answer:
        """GET /: the page that uses this server."""
        paths = "".join(f'<option value="{path[1:]}">{path}</option>' for path in self.handlers)  # for the console
        return Answer(200, page_text(page or self.page).replace("<!-- paths -->", paths), {"Content-Type": HTML})

    def console(self, request: Request) -> Answer:
        """GET /console: a page to try any path by hand."""
        return self.live_page(request, "console.html")

    def healthz(self, request: Request) -> Answer:
        """GET /healthz: 200, and what this server uses and holds."""
        return Answer(200, json.dumps(self.health()), {"Content-Type": "application/json"})

    def health(self) -> dict:
        """What /healthz tells; of a feed also its newest cursor, so that one can begin to follow it from now on."""
        return held() | ({"cursor": self.feed.cursor} if self.feed else {})

    def serving(self, address: str, port: int):
        """Serve while the block runs, frames and all carried by `websockets`."""
        return serving(self, address, port)


def known_cursor(feed: Feed, request: Request) -> None:
    """Refuse an `after` that is not a cursor while there is still a status to say so. Raises `Refusal`."""
    with suppress(Gone):  # that is told by a close code, which a browser can see
        try:
            feed.since(request.query.get("after"))
        except BadCursor as error:
            raise Refusal(400, str(error)) from None


class Connection(ServerConnection):
    """A connection of `websockets` that answers what is no HTTP, counts what comes in, and waits for no reader for ever."""

    def __init__(self, *args, service: Service, open_connections: set, **settings):
        super().__init__(*args, **settings)
        self.allowance, self.open_connections = Allowance(service.rate), open_connections

    def connection_made(self, transport):
        super().connection_made(transport)
        self.open_connections.add(self)

    def connection_lost(self, error):
        super().connection_lost(error)
        self.open_connections.discard(self)

    def send_data(self):
        """Send what is to be sent; before the end of a connection that began with nonsense, a word."""
        if isinstance(self.protocol.handshake_exc, InvalidMessage) and not (self.response or self.protocol.reader.eof):
            self.response = Answer(400, "this is not an HTTP request\n")
            self.transport.write(self.response.encode())
        super().send_data()

    def process_event(self, event):
        """Take a request or a frame in; a client that sends more than its allowance is told so (1008) and left."""
        super().process_event(event)
        if isinstance(event, Frame) and event.fin and not self.allowance.spend() and self.state is State.OPEN:
            self.protocol.fail(1008, "too many messages")
            self.send_data()
            self.loop.call_later(PATIENCE_S, drop, self.transport)

    async def keepalive(self):
        """Ping, and drop a client that has not answered by the next time: there is nobody to say goodbye to."""
        while True:
            await asyncio.sleep(self.ping_interval)
            answered = await self.ping()
            try:
                async with asyncio.timeout(self.ping_timeout):
                    await answered
            except TimeoutError:
                return self.transport.abort()

    async def drain(self):
        """Wait for a slow reader, but not for ever."""
        if (
            not self.paused
        ):  # for nearly every message; a time limit that nobody needs would cost a quarter of its sending
            return await super().drain()
        async with asyncio.timeout(2 * self.ping_interval):
            await super().drain()


def drop(transport: asyncio.Transport) -> None:
    """End a connection now. One that has ended has no protocol any more, and asyncio cannot abort it again."""
    if transport.get_protocol() is not None:
        transport.abort()


def as_request(request: LibraryRequest) -> Request:
    """The request as `labs.handshake` has it."""
    headers = {name.lower(): ", ".join(request.headers.get_all(name)) for name in request.headers}
    return Request(request.method, request.path, request.protocol.removeprefix("HTTP/"), headers)


@asynccontextmanager
async def serving(service: Service, address: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve while the block runs; yields the URL. At the end every client gets 1001 and a second to answer."""
    service.local = reachable_here_only(address)
    connections: set[Connection] = set()

    def respond(connection: Connection, request: LibraryRequest) -> Response | None:
        try:
            answer = service.answer(as_request(request))
        except Refusal as refusal:
            answer = refusal.answer
        return answer and Response(answer.status, answer.phrase, Headers(answer.fields), answer.body.encode())

    async def handle(connection: Connection):
        with suppress(ConnectionClosed):
            await service.handlers[as_request(connection.request).path](connection)

    server = await serve(
        handle,
        address,
        port,
        process_request=respond,
        create_connection=lambda *args, **settings: (service.connection or Connection)(
            *args, service=service, open_connections=connections, **settings
        ),
        select_subprotocol=lambda _, offered: next((one for one in service.protocols if one in offered), None),
        compression="deflate" if service.compress else None,
        server_header=None,
        open_timeout=PATIENCE_S,
        ping_interval=service.ping_s,
        ping_timeout=service.ping_s,
        close_timeout=PATIENCE_S,
        max_size=service.max_size,
        ssl=service.tls,
    )
    try:
        yield url_of(server, address, service.tls)
    finally:
        server.close()
        asyncio.get_running_loop().call_later(CLOSE_S, abort_all, connections)
        await server.wait_closed()


def abort_all(connections: set[Connection]) -> None:
    """Drop the connections that are still open."""
    for connection in list(connections):
        drop(connection.transport)
