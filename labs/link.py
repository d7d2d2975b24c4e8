"""The network in a box: a TCP relay that delays, counts, cuts, stalls, buffers and black-holes what passes through it.

    link = await Link.open(server_url, rtt_ms=40)     # readers connect to link.url instead of the server
    link.black_hole()                                 # … and now nothing arrives, though every connection stays open

Design notes
  * One relay in front of a server, its faults switchable while connections are open, without root, and the same on real
    sockets and in virtual time. It runs in the process that measures, so its stamps and the readers' are of one clock.
  * Bytes are counted where they enter the relay and stamped when they were sent and when they were passed on. That list
    is the trace; the byte ledger (`labs.ledger`) and the ladder chart are computed from it.
  * Delay keeps order, as TCP does. Jitter is drawn from a seeded generator: in virtual time the same seed gives the same
    log to the nanosecond.
  * TCP's own handshake takes one round trip before the first byte. The relay cannot delay the reader's `connect`, so it
    waits that long before it connects on and begins to pass on what the reader has sent; the first answer then comes as
    late as it would on a real network, after two round trips.
"""

import asyncio
import random
from collections import deque
from dataclasses import dataclass
from urllib.parse import urlsplit

from labs.clock import now_ns
from labs.ledger import is_whole_response

UP, DOWN = "up", "down"  # towards the server, towards the reader
TRACE_LIMIT = 16 * 1024 * 1024  # bytes; what comes later is counted, but no longer kept
WINDOW = 1024 * 1024  # bytes under way in one direction of a connection; a sender waits when there are more, as in TCP


@dataclass(slots=True)
class Chunk:
    """Bytes that entered the link together. Times in monotonic nanoseconds; `arrived` is None until they are passed on."""

    connection: int
    direction: str
    sent: int
    size: int
    data: bytes
    arrived: int | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened to a connection, or (connection 0) to the whole link: opened, closed, cut, black hole …"""

    at: int
    connection: int
    what: str


class End(asyncio.Protocol):
    """One end of a relayed connection, the reader's or the server's. What comes in here leaves at the other end, later."""

    def __init__(self, link: "Link", connection: int, direction: str):
        self.link, self.connection, self.direction = link, connection, direction
        self.transport: asyncio.Transport | None = None
        self.other: End | None = None
        self.opens = 0.0  # when the handshake is over, in seconds of the event loop's clock
        self.started = False  # the other end is connected too
        self.dead = False  # in a black hole: swallows all, says nothing, for ever
        self.passed_end = False  # no more bytes will come in here, and the other end has been told
        self.backed_up = False  # this end's peer reads more slowly than we write to it
        self.under_way = 0  # bytes that came in here and have not left yet
        self._held: list[Chunk] = []  # came while a buffering proxy waits for more
        self._line: deque = deque()  # (due, action) in order; one timer for the first

    def connection_made(self, transport):
        self.transport = transport
        self.link._opened(self)

    def data_received(self, data):
        chunk = Chunk(self.connection, self.direction, now_ns(), len(data), bytes(data))
        self.link._record(chunk)
        self.under_way += chunk.size
        if not self.dead:
            self._held.append(chunk)
            self.release()
        self.regulate()

    def eof_received(self):
        self._end()
        return True  # keep this end open: the other direction may still have something to say

    def connection_lost(self, error):
        self.link._closed(self)
        self._end()
        self._later(self._close_other)

    def pause_writing(self):
        self.backed_up = True
        self.other.regulate()

    def resume_writing(self):
        self.backed_up = False
        self.other.regulate()

    def regulate(self):
        """Take bytes in, or leave them with their sender, as the stall, the window and the other end's buffer demand."""
        if self.transport.is_closing():
            return
        stalled = self.link.stalled and self.direction == DOWN
        full = self.under_way >= WINDOW + self.link.buffer_bytes or (self.other is not None and self.other.backed_up)
        if stalled or full:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def release(self, *, flush: bool = False):
        """Send on what is held, unless a buffering proxy is still waiting for more of it."""
        if self.direction == DOWN and self.link.buffer_bytes and not flush:
            if sum(chunk.size for chunk in self._held) < self.link.buffer_bytes:
                if not is_whole_response(b"".join(chunk.data for chunk in self._held)):
                    return
        for chunk in self._held:
            self._later(lambda chunk=chunk: self._pass_on(chunk))
        self._held.clear()

    def start(self):
        """Both ends are connected: begin to pass on."""
        self.started = True
        self._drain()

    def abort(self):
        """Drop this end and all that is under way from it."""
        self.dead = True
        self._line.clear()
        self.transport.abort()

    def _end(self):
        self.release(flush=True)
        self._later(self._pass_on_end)

    def _pass_on(self, chunk: Chunk):
        if not self.other.transport.is_closing():
            chunk.arrived = now_ns()
            self.other.transport.write(chunk.data)
        self.under_way -= chunk.size
        self.regulate()

    def _pass_on_end(self):
        self.passed_end = True
        if self.other.passed_end:  # both have said all, and all of it has been passed on
            self.transport.close()
            self.other.transport.close()
        elif not self.other.transport.is_closing():
            self.other.transport.write_eof()

    def _close_other(self):
        self.other.transport.close()

    def _later(self, action):
        due = max(asyncio.get_running_loop().time(), self.opens) + self.link._draw_delay()
        self._line.append((due, action))  # due earlier than the one before it? It waits for it, as in TCP
        if len(self._line) == 1:
            self._drain()

    def _drain(self):
        loop = asyncio.get_running_loop()
        if self.dead:
            self._line.clear()
        while self.started and self._line and self._line[0][0] <= loop.time() + 1e-6:
            self._line[0][1]()  # it stays in the line meanwhile, so that nothing that comes in now overtakes it
            self._line.popleft()
        if self.started and self._line:
            loop.call_at(self._line[0][0], self._drain)


class Link:
    """A relay in front of one server. `url` is where readers connect; `rtt_ms` is the delay there and back."""

    def __init__(self, target: str, *, rtt_ms: float = 0.0, jitter_ms: float = 0.0, seed: int = 0):
        self.target, self.rtt_ms, self.jitter_ms = target, rtt_ms, jitter_ms
        self.buffer_bytes = 0
        self.stalled = self.holed = self.closed = False
        self.chunks: list[Chunk] = []
        self.notes: list[Note] = []
        self._log: list[Chunk | Note] = []  # both, in the order they happened
        self.bytes = {UP: 0, DOWN: 0}
        self._kept = self._connections = 0
        self._ends: dict[End, None] = {}  # in order, unlike a set: faults strike alike on every run
        self._tasks: set[asyncio.Task] = set()
        self._random = random.Random(seed)
        self._server: asyncio.Server | None = None

    @classmethod
    async def open(cls, target: str, **settings) -> "Link":
        """A link that accepts readers on a free loopback port and relays them to `target` (http://host:port)."""
        link = cls(target, **settings)
        loop = asyncio.get_running_loop()
        link._server = await loop.create_server(link._accept, "127.0.0.1", 0)
        link.url = f"http://127.0.0.1:{link._server.sockets[0].getsockname()[1]}"
        return link

    @property
    def ws(self) -> str:
        """`url` for a WebSocket: ws://host:port."""
        return self.url.replace("http", "ws", 1)

    async def close(self):
        """Stop accepting, and drop every connection, also one that was accepted a moment ago."""
        self.closed = True
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._abort_all()
        while self._ends:
            await asyncio.sleep(0)

    async def __aenter__(self) -> "Link":
        return self

    async def __aexit__(self, *exc_info):
        await self.close()

    # Faults. Each takes effect at once, on the connections that are open.

    def cut(self):
        """Break every open connection, losing what is under way. New connections work."""
        self._note("cut")
        self._abort_all()

    def black_hole(self):
        """Swallow everything, both ways, without closing anything, as when a router forgets a connection."""
        self._note("black hole")
        self.holed = True
        for end in self._ends:
            end.dead = True

    def heal(self):
        """End a black hole for new connections. The swallowed ones stay dead, as they would on a real network."""
        self._note("healed")
        self.holed = False

    def stall(self):
        """Stop taking bytes from the server, as a reader does that has stopped reading: the server's buffers fill."""
        self._note("stalled")
        self.stalled = True
        self._regulate_all()

    def resume(self):
        """End a stall."""
        self._note("resumed")
        self.stalled = False
        self._regulate_all()

    def buffer(self, size: int = 64 * 1024):
        """Hold what the server sends until a response is whole or `size` bytes have come, as a buffering proxy does."""
        self._note(f"buffers {size} bytes" if size else "no longer buffers")
        self.buffer_bytes = size
        for end in self._ends:
            end.release()

    # What passed through.

    def trace(self, *, since: int = 0) -> list[Chunk]:
        """The chunks sent at or after the moment `since` (monotonic nanoseconds), in the order they entered the link."""
        return [chunk for chunk in self.chunks if chunk.sent >= since]

    def log(self) -> list[tuple]:
        """All that happened, in order of time, as plain tuples: (ns, connection, what, direction, bytes, arrived ns)."""
        return [
            (entry.at, entry.connection, entry.what, "", 0, None)
            if isinstance(entry, Note)
            else (entry.sent, entry.connection, "bytes", entry.direction, entry.size, entry.arrived)
            for entry in self._log
        ]

    # Inside.

    def _accept(self) -> End:
        self._connections += 1
        return End(self, self._connections, UP)

    def _opened(self, end: End):
        if self.closed:  # nobody would ever end it
            return end.abort()
        self._ends[end] = None
        end.dead = self.holed
        # not now: before Python 3.11.5 or so, asyncio begins to read after `connection_made` whatever that has decided
        asyncio.get_running_loop().call_soon(end.regulate)
        if end.direction == UP:
            self._note("opened", end.connection)
            loop = asyncio.get_running_loop()
            end.opens = loop.time() + self.rtt_ms / 1000
            task = loop.create_task(self._connect_on(end))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect_on(self, reader: End):
        await asyncio.sleep(self.rtt_ms / 1000)
        if reader.dead:
            return
        where = urlsplit(self.target)
        server = End(self, reader.connection, DOWN)
        server.other, reader.other = reader, server
        try:
            await asyncio.get_running_loop().create_connection(lambda: server, where.hostname, where.port)
        except OSError:
            self._note("refused", reader.connection)
            return reader.abort()
        if reader.dead and reader.transport.is_closing():  # cut while connecting on
            return server.abort()
        server.dead = reader.dead = server.dead or reader.dead  # in a black hole meanwhile
        reader.start()
        server.start()

    def _closed(self, end: End):
        self._ends.pop(end, None)
        if end.direction == UP:
            self._note("closed", end.connection)

    def _abort_all(self):
        for end in list(self._ends):
            end.abort()

    def _regulate_all(self):
        for end in self._ends:
            end.regulate()

    def _record(self, chunk: Chunk):
        self.bytes[chunk.direction] += chunk.size
        if self._kept < TRACE_LIMIT:
            self._kept += chunk.size
            self.chunks.append(chunk)
            self._log.append(chunk)

    def _note(self, what: str, connection: int = 0):
        self.notes.append(Note(now_ns(), connection, what))
        self._log.append(self.notes[-1])

    def _draw_delay(self) -> float:
        jitter = self._random.uniform(0, self.jitter_ms) if self.jitter_ms else 0.0
        return (self.rtt_ms / 2 + jitter) / 1000
