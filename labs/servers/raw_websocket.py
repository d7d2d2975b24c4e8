"""WebSockets by hand: the handshake and every frame as RFC 6455 has them, over asyncio's streams.

    ws://HOST:PORT/events?after=CURSOR    a text frame for every event after CURSOR, and for all that follow;
                                          a text frame from the client is the next event
                                          400 not a cursor, before the upgrade
                                          4410 the events after CURSOR are not kept, or it is from before a restart
    ws://HOST:PORT/events                 the same, beginning with all that is kept
    ws://HOST:PORT/echo                   every message comes back, text as text and binary as binary

The close code 1001 says that the server stops, 1002 and 1007 that a frame broke the protocol, 1003 that an event is text,
1008 that a client sends too much too fast, 1009 that a message is too big.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from functools import lru_cache, partial

from labs.feed import Event, Feed, Gone
from labs.frames import Assembler, FrameReader, Opcode, Violation, encode, encode_close, parse_close
from labs.handshake import Refusal, Request, choose, read, switch, upgrade_key
from labs.hosting import BODY_LIMIT, PATIENCE_S, main, reachable_here_only, url_of
from labs.sockets import CLOSE_S, OPTIONS, Allowance, Service, drop, known_cursor

AT_ONCE = (
    100  # events that one reader may hold; a slower one's others stay in the feed, and leave it when their time comes
)
PIECE = 64 * 1024  # bytes that are read at once

log = logging.getLogger("raw_websocket")


class Socket:
    """One open WebSocket. Iterate over its messages; meanwhile it answers pings, and finds out when its peer is dead."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request, service: Service):
        self.reader, self.writer, self.request, self.ping_s = reader, writer, request, service.ping_s
        self.frames = FrameReader(masked=True, limit=service.max_size)
        self.assembler = Assembler(limit=service.max_size)
        self.allowance = Allowance(service.rate)
        self.heard, self.closing = True, False

    async def messages(self, data: bytes = b"") -> AsyncIterator[str | bytes]:
        """The messages that come until the connection ends; `data` has come already."""
        try:
            while data or (data := await self.reader.read(PIECE)):
                self.heard = True
                for frame in self.frames.feed(data):
                    if (message := self.assembler.add(frame)) is None:
                        continue
                    if not self.allowance.spend():
                        raise Violation(1008, "too many messages")
                    opcode, payload = message
                    if opcode == Opcode.CLOSE:
                        parse_close(payload)
                        self.close(payload)
                        return
                    if opcode == Opcode.PING:
                        await self.send(encode(Opcode.PONG, payload))
                    elif opcode != Opcode.PONG and not self.closing:
                        yield payload
                data = b""
        except Violation as violation:
            log.warning("%d: %s", violation.code, violation.reason)
            self.close(encode_close(violation.code, violation.reason))
        except ConnectionError:  # the peer has left without a word
            pass

    async def send(self, frame: bytes) -> None:
        """Send one frame, and wait while the peer reads more slowly than we send. After a close frame nothing is sent."""
        if not self.closing:
            self.writer.write(frame)
            await self.writer.drain()

    def close(self, payload: bytes) -> None:
        """Send a close frame, the last one. The peer has a while to answer and to end the connection (RFC 6455 §7.1.1)."""
        if not self.closing:
            self.closing = True
            self.writer.write(encode(Opcode.CLOSE, payload))
            asyncio.get_running_loop().call_later(PATIENCE_S, drop, self.writer.transport)

    async def keep_alive(self) -> None:
        """Ping, so that nothing on the way forgets a silent connection; a peer from whom nothing has come since is dead."""
        await asyncio.sleep(self.ping_s)
        while self.heard and not self.closing:
            self.heard = False
            self.writer.write(encode(Opcode.PING))
            await asyncio.sleep(self.ping_s)
        drop(self.writer.transport)


async def echo(socket: Socket, messages: AsyncIterator[str | bytes]) -> None:
    """Send every message back as it came."""
    async for message in messages:
        if isinstance(message, str):
            await socket.send(encode(Opcode.TEXT, message.encode()))
        else:
            await socket.send(encode(Opcode.BINARY, message))


async def events(feed: Feed, socket: Socket, messages: AsyncIterator[str | bytes]) -> None:
    """Both directions at once: one task delivers, while this one publishes what comes in."""
    async with asyncio.TaskGroup() as group:
        delivering = group.create_task(deliver(feed, socket))
        async for message in messages:
            if isinstance(message, bytes):
                socket.close(encode_close(1003, "an event is text"))
            elif len(message.encode()) > BODY_LIMIT:
                socket.close(encode_close(1009, f"an event is at most {BODY_LIMIT} bytes"))
            else:
                feed.publish(message)
        delivering.cancel()


async def deliver(feed: Feed, socket: Socket) -> None:
    """Send the events after a cursor and all that follow. A reader that is too slow makes `send` wait."""
    after = socket.request.query.get("after")
    try:
        while not socket.closing:
            for event in (await feed.wait(after))[:AT_ONCE]:
                await socket.send(text_frame(event))
                after = event.cursor
    except Gone as gone:
        socket.close(encode_close(4410, str(gone)))
    except ConnectionError:  # the reader has left; that ends its messages, too
        pass


@lru_cache(maxsize=AT_ONCE)
def text_frame(event: Event) -> bytes:
    """One event as it travels, encoded once for all its readers."""
    return encode(Opcode.TEXT, event.to_json().encode())


async def request_of(reader: asyncio.StreamReader) -> tuple[Request, bytes]:
    """The request that a connection begins with, and what has come after its head. Raises `Refusal`, `ConnectionError`."""
    received = b""
    while (found := read(received)) is None:
        if not (piece := await reader.read(PIECE)):
            raise ConnectionError("the client has left")
        received += piece
    request, end = found
    return request, received[end:]


async def linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say that no more will come, and wait until the peer says so too: closing at once could destroy what it has not read."""
    writer.write_eof()
    async with asyncio.timeout(PATIENCE_S):
        while await reader.read(PIECE):
            pass


class Streams(Service):
    """The service over asyncio's streams."""

    @asynccontextmanager
    async def serving(self, address: str, port: int) -> AsyncIterator[str]:
        """Serve while the block runs; yields the URL. At the end every client gets 1001 and a second to answer."""
        self.local, self.tasks, self.sockets = reachable_here_only(address), {}, {}
        server = await asyncio.start_server(self.connected, address, port)
        try:
            yield url_of(server, address)
        finally:
            server.close()
            for socket in self.sockets:
                socket.close(encode_close(1001))
            if self.tasks:
                await asyncio.wait(self.tasks, timeout=CLOSE_S)
            for writer in self.tasks.values():
                drop(writer.transport)
            if self.tasks:
                await asyncio.wait(self.tasks)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first byte to its end."""
        self.tasks[asyncio.current_task()] = writer
        try:
            with suppress(OSError, TimeoutError):  # the client has left, or takes too long
                await self.talk(reader, writer)
                await linger(reader, writer)
        finally:
            writer.close()
            asyncio.get_running_loop().call_later(PATIENCE_S, drop, writer.transport)
            with suppress(OSError):  # an error that nobody has taken is reported when it is collected
                await writer.wait_closed()
            del self.tasks[asyncio.current_task()]

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the request; if it opens a socket, leave that to the handler of its path."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                request, rest = await request_of(reader)
            answer = self.answer(request)
        except Refusal as refusal:
            answer = refusal.answer
        if answer:
            writer.write(answer.encode())
        else:
            writer.write(switch(upgrade_key(request), choose(request, self.protocols)))
            await self.open(Socket(reader, writer, request, self), rest)

    async def open(self, socket: Socket, rest: bytes) -> None:
        """Run the handler of one socket's path, and the pings beside it."""
        self.sockets[socket] = None
        pinging = asyncio.create_task(socket.keep_alive())
        try:
            async with aclosing(socket.messages(rest)) as messages:
                await self.handlers[socket.request.path](socket, messages)
        finally:
            pinging.cancel()
            del self.sockets[socket]


def make_app(feed: Feed, **settings) -> Service:
    """The service: two paths, and what all socket servers share."""
    handlers = {"/events": partial(events, feed), "/echo": echo}
    return Streams(handlers, feed=feed, admit=partial(known_cursor, feed), **settings)


if __name__ == "__main__":
    main(make_app, __doc__, **OPTIONS)
