"""Rooms over the course's own codec: an `asyncio.Protocol` for each connection, and no task, stream or queue.

Design notes
  * The event loop calls `data_received` with whatever bytes have come, and everything is done before it returns: frames
    are cut out, messages acted upon, answers written. What is said to a room leaves at the end of the turn (`labs.rooms.outbox`).
  * One timer pings all connections. A timer or a task for each would be most of what an idle connection costs.
  * A connection ends with what is written last, a close frame or an HTTP answer, and then the end of our stream. It is
    dropped when the client has not ended it, too, after GRACE_S; closing at once could destroy what it has not read yet.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from labs.frames import Assembler, FrameReader, Opcode, Violation, encode, encode_close, parse_close
from labs.handshake import Refusal, Request, choose, read, switch, upgrade_key
from labs.hosting import PATIENCE_S, reachable_here_only, url_of
from labs.rooms.lobby import GRACE_S, Lobby, Session
from labs.sockets import CLOSE_S, Allowance, Service, drop

HEAD_LIMIT = 64 * 1024  # bytes of a request, which is read anew with every piece that comes
QUEUE = 1024  # connections that the system may hold until they are accepted


class Connection(Session, asyncio.Protocol):
    """One connection: an HTTP request, then frames."""

    __slots__ = ("allowed", "assembler", "echoes", "engine", "frames", "head", "heard", "patience")

    def __init__(self, engine: "Engine"):
        self.engine = engine
        self.head, self.frames = b"", None  # what has come of the request; the reader of frames, while there are frames
        self.heard, self.echoes, self.name = True, False, None

    def connection_made(self, transport):
        super().__init__(transport)
        self.engine.connections[self] = None
        self.patience = asyncio.get_running_loop().call_later(PATIENCE_S, drop, transport)

    def connection_lost(self, error):
        self.closed, self.straight, self.frames = True, None, None
        if self.patience:
            self.patience.cancel()
        del self.engine.connections[self]
        self.engine.lobby.closed(self)

    def data_received(self, data):
        self.heard = True
        if self.frames is not None:
            self._read_frames(data)
        elif not self.closed:
            self._read_request(self.head + data)

    def _read_request(self, received: bytes) -> None:
        self.head = received
        try:
            found = read(received)
            if found is None and len(received) > HEAD_LIMIT:
                raise Refusal(431, f"the head of the request is longer than {HEAD_LIMIT} bytes")
            if found is None:
                return
            request, end = found
            answer = self.engine.service.answer(request)
        except Refusal as refusal:
            answer = refusal.answer
        if answer:
            self._end(answer.encode())
        else:
            self._upgrade(request)
            self._read_frames(received[end:])

    def _upgrade(self, request: Request) -> None:
        service = self.engine.service
        self.head, self.allowed = b"", Allowance(service.rate) if service.rate else None
        self.frames = FrameReader(masked=True, limit=service.max_size)
        self.assembler = Assembler(limit=service.max_size)
        self.patience.cancel()
        self.patience = None  # thousands of connections hold on to what they still name
        self.transport.write(switch(upgrade_key(request), choose(request, service.protocols)))
        self.echoes = request.path == "/echo"
        if not self.echoes:
            self.engine.lobby.opened(self, request.query)

    def _read_frames(self, data: bytes) -> None:
        try:
            for frame in self.frames.feed(data):
                message = self.assembler.add(frame)
                if message is not None:
                    self._act(*message)
        except Violation as violation:
            if not self.closed:
                self.engine.lobby.end(self, violation.code, violation.reason)
            self.frames = None  # whatever follows means nothing any more

    def _act(self, opcode: Opcode, payload: str | bytes) -> None:
        if self.allowed is not None and not self.allowed.spend():
            raise Violation(1008, "too many messages")
        if opcode == Opcode.CLOSE:
            parse_close(payload)
            self._end(encode(Opcode.CLOSE, payload))
            self.transport.close()
        elif opcode == Opcode.PING:
            self._reply(encode(Opcode.PONG, payload))
        elif opcode != Opcode.PONG and self.echoes:
            self._reply(encode(opcode, payload.encode() if opcode == Opcode.TEXT else payload))
        elif opcode != Opcode.PONG:
            self.engine.lobby.received(self, payload)

    def _reply(self, frame: bytes) -> None:
        """Answer a frame. Whoever only echoes is not given up for being slow: nothing more is read from it meanwhile."""
        if not self.echoes:
            self.write(frame)
        elif not self.closed:
            self.transport.write(frame)

    def pause_writing(self):
        if self.echoes:
            self.transport.pause_reading()

    def resume_writing(self):
        if self.echoes:
            self.transport.resume_reading()

    def close(self, code: int, reason: str) -> None:
        self._end(encode(Opcode.CLOSE, encode_close(code, reason)))

    def _end(self, last: bytes) -> None:
        """Write the last that is to be said. What comes in after that is read and thrown away."""
        if self.closed:
            return
        self.closed, self.straight = True, None
        self.transport.write(last)
        if self.transport.can_write_eof():  # not with TLS
            with suppress(OSError, RuntimeError):  # the client has gone, and `connection_lost` is to be called next
                self.transport.write_eof()
        asyncio.get_running_loop().call_later(GRACE_S, drop, self.transport)


class Engine:
    """A rooms server's connections."""

    def __init__(self, service: Service, lobby: Lobby):
        self.service, self.lobby = service, lobby
        self.connections: dict[Connection, None] = {}

    @asynccontextmanager
    async def serving(self, address: str, port: int) -> AsyncIterator[str]:
        """Serve while the block runs; yields the URL. At the end every client gets 1001 and a second to answer."""
        loop, tls = asyncio.get_running_loop(), self.service.tls
        self.service.local = reachable_here_only(address)
        server = await loop.create_server(lambda: Connection(self), address, port, backlog=QUEUE, ssl=tls)
        pinging = asyncio.create_task(self.ping())
        try:
            yield url_of(server, address, tls)
        finally:
            pinging.cancel()
            server.close()
            await self.drain()

    async def ping(self) -> None:
        """Ping everybody now and then, and drop whoever has been silent since the last time."""
        while True:
            await asyncio.sleep(self.service.ping_s)
            for connection in list(self.connections):
                if not connection.heard:
                    drop(connection.transport)
                elif connection.frames is not None:
                    connection.heard = False
                    connection.write(encode(Opcode.PING))

    async def drain(self) -> None:
        """End all connections, with a close frame those that are open."""
        for connection in list(self.connections):
            if connection.frames is not None:
                connection.close(1001, "the server stops")
            else:
                drop(connection.transport)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                while self.connections:
                    await asyncio.sleep(0.01)
        for connection in list(self.connections):
            drop(connection.transport)
        while self.connections:
            await asyncio.sleep(0)
