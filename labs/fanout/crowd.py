"""Members of one room who cost next to nothing: they count what they get, and note when."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from itertools import cycle
from urllib.parse import urlsplit

import websockets

from labs.clock import now_ns
from labs.frames import Opcode, encode, parse_close
from labs.measure import records

try:
    import uvloop
except ImportError:  # Windows
    uvloop = None

KEY = b"\x9a\x3f\x51\xc4"  # every frame from a client is masked (RFC 6455 §5.1); here all are the same frame
AT_ONCE = 50  # connections that are opened together; a server's queue for new ones is short
LIMIT_S = 30.0  # for anything here that should take a fraction of it
REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Member(asyncio.Protocol):
    """One connection that counts the messages it gets, and tells its crowd of each."""

    def __init__(self, crowd: "Crowd"):
        self.crowd, self.count, self.rest, self.upgraded = crowd, 0, b"", False
        self.opened = asyncio.get_running_loop().create_future()  # done when it has been let in
        self.closed: int | None = None  # the close code; 1006 for a connection that ended without one (RFC 6455 §7.1.5)

    def connection_made(self, transport):
        self.transport = transport
        transport.write(REQUEST.format(host=self.crowd.host, path=self.crowd.path).encode())
        transport.write(self.crowd.greeting)

    def connection_lost(self, error):
        self.closed = self.closed or 1006
        if not self.opened.done():
            self.opened.set_exception(error or ConnectionError("the server does not want another member"))

    def data_received(self, data):
        now, before, data = now_ns(), self.count, self.rest + data
        if not self.upgraded:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self.rest = head
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self.transport.abort()
                return
            self.upgraded = True
            self.let_in(b"")
        self.rest = data[self.read(data) :]
        if self.count > before:
            self.crowd.arrived(before, self.count, now)

    def read(self, data: bytes) -> int:
        """Count the messages in `data`, and answer what has to be answered. Returns where the last whole frame ends."""
        at = 0
        while (found := frame_at(data, at)) is not None:
            opcode, start, at = found
            if opcode == Opcode.TEXT:
                self.count += data.startswith(self.crowd.counted, start)
                self.let_in(data[start : start + len(self.crowd.welcome)])
                continue
            if opcode == Opcode.CLOSE:
                self.closed = parse_close(data[start:at])[0]
            answer = Opcode.CLOSE if opcode == Opcode.CLOSE else Opcode.PONG
            self.transport.write(encode(answer, data[start:at], key=KEY))
        return at

    def let_in(self, said: bytes) -> None:
        """It is in the room as soon as the server has said what it says to newcomers."""
        if said == self.crowd.welcome and not self.opened.done():
            self.opened.set_result(None)


def frame_at(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Opcode, start and end of the payload of the frame that begins at `at`, by its head of 2 or 4 bytes (RFC 6455 §5.2).

    None while it is unfinished. A server's frames have no mask; none here is longer than 65,535 bytes.
    """
    head = data[at : at + 4]
    if len(head) < 2:
        return None
    size, start = (int.from_bytes(head[2:], "big"), at + 4) if head[1] == 126 else (head[1], at + 2)
    return (head[0] & 15, start, start + size) if start + size <= len(data) else None


class Crowd:
    """Members of one room. Of each message: when it was sent, and when each of them had it, in that order."""

    path = "/room"
    greeting = b""  # what a member sends first of all
    welcome = b""  # how the text begins by which it is let in; nothing if the upgrade is enough
    counted = b""  # how a text begins that is one of the messages

    def __init__(self, *origins: str):
        """Members of these servers, dealt out in turn."""
        where = [urlsplit(origin) for origin in origins]
        self.host, self.addresses = where[0].netloc, cycle((one.hostname, one.port) for one in where)
        self.members: list[Member] = []
        self.begin(b"")

    def begin(self, payload: bytes) -> None:
        """Forget the past, in a moment in which nothing is under way; what is sent from now on is `payload`.

        Raises `ValueError` for one of more than 65,535 bytes, whose frames would have a longer head.
        """
        if len(payload) > 65_535:
            raise ValueError("a message here has at most 65,535 bytes")
        self.frame = encode(Opcode.TEXT, payload, key=KEY)
        self.sent: list[int] = []
        self.times: defaultdict[int, list[int]] = defaultdict(list)
        self.finished = 0  # messages that every member has
        self.news = asyncio.Event()
        for member in self.members:
            member.count = 0

    async def grow(self, size: int) -> None:
        """Connect until there are `size` members. Raises `ConnectionError`, `TimeoutError`."""
        async with asyncio.timeout(LIMIT_S):
            while (missing := size - len(self.members)) > 0:
                opening = (self.connect() for _ in range(min(missing, AT_ONCE)))
                self.members += await asyncio.gather(*opening)

    async def connect(self) -> Member:
        """One more member, who has been let in."""
        _, member = await asyncio.get_running_loop().create_connection(lambda: Member(self), *next(self.addresses))
        await member.opened
        return member

    def send(self, count: int = 1, *, due: int | None = None) -> None:
        """Let the first member say it, `count` times in one write; `due` is when it should have, by default now."""
        self.sent += [due or now_ns()] * count
        self.members[0].transport.write(self.frame * count)

    def arrived(self, before: int, after: int, now: int) -> None:
        """A member has the messages from number `before` to just before `after`."""
        for number in range(before, after):
            self.times[number].append(now)
            if len(self.times[number]) == len(self.members):
                self.finished += 1
                self.news.set()

    async def next_finished(self) -> None:
        """Wait until one more message, or several at once, has reached everybody."""
        await self.news.wait()
        self.news.clear()

    def close(self) -> None:
        """Hang up."""
        for member in self.members:
            member.transport.abort()


@asynccontextmanager
async def crowd_in(server, kind: type[Crowd] = Crowd) -> AsyncIterator[Crowd]:
    """A crowd without members yet, in the room of a running server."""
    crowd = kind(server.origin)
    try:
        yield crowd
    finally:
        crowd.close()


async def apart(coroutine: Coroutine):
    """Run a coroutine in a thread with an event loop of its own, the fastest that there is; returns its result.

    Cancelling ends it there, too.
    """
    loop = uvloop.new_event_loop() if uvloop else asyncio.new_event_loop()
    work = loop.create_task(coroutine)
    running = asyncio.create_task(asyncio.to_thread(loop.run_until_complete, work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        loop.call_soon_threadsafe(work.cancel)
        await asyncio.wait([running])
        raise
    finally:
        loop.close()


def machine() -> str:
    """What the measurement ran on, and with."""
    return f"{records.machine()}, websockets {websockets.__version__}"
