"""What it costs a server to hold connections on which nothing happens.

Design notes
  * Connections go to the server directly and are as bare as can be on this side: whatever is measured is the server's.
  * The memory is what the process keeps in RAM (its resident set). The kernel's own, for each socket, is not in it.
  * A process rarely gives memory back. So a server is measured once, from few connections to many, and started anew for
    another measurement.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psutil

from labs.measure.pacing import progress
from labs.measure.records import machine
from labs.measure.sockets import SOCKETS

try:
    import resource
except ImportError:  # Windows, which has no such limit
    resource = None

AT_ONCE = 50  # connections that are opened together; a server's queue for new ones is short
WARM_UP = 100  # connections before the first is counted: what the server needs once, it has by then
SPARE = 100  # descriptors that are needed for other things
SETTLE_S = 0.3
SOCKET = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"


@dataclass(frozen=True)
class Idle:
    """What one server holds for each of so many idle connections."""

    transport: str
    connections: int  # that were open
    wanted: int  # that were asked for; the system's limit of open files may have allowed less
    bytes_each: float  # of the server's memory
    machine: str = field(default_factory=machine)


class Idler(asyncio.Protocol):
    """One reader that asks once and never looks at what comes; `open` is done when the head of the answer has come."""

    def __init__(self, request: bytes, crowd: list):
        self.request, self.crowd, self.head, self.came = request, crowd, b"", 0
        self.open = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.crowd.append(self)
        transport.write(self.request)

    def data_received(self, data):
        self.came += len(data)
        if not self.open.done():
            self.head += data
            if b"\r\n\r\n" in self.head:
                self.open.set_result(self.head.partition(b"\r\n")[0].decode())

    def connection_lost(self, error):
        if not self.open.done():
            self.open.set_exception(error or ConnectionError("the server has closed the connection"))


def room() -> int:
    """How many more connections this process may open, after asking for as many as the system allows.

    A server that `launch` starts asks for the same.
    """
    if resource is None:
        return 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, 10_240):  # where the hard limit is "endless", macOS wants a number
        with suppress(ValueError, OSError):
            if soft not in (hard, resource.RLIM_INFINITY):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            break
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 10**6 if soft == resource.RLIM_INFINITY else soft - psutil.Process().num_fds() - SPARE


class Crowd:
    """Idle readers of one server, each on a connection of its own."""

    def __init__(self, server, cursor: str, extra: str = ""):
        self.where, self.cursor, self.idlers = urlsplit(server.origin), cursor, []
        self.headers = SOCKET + extra if server.name in SOCKETS else "Accept: text/event-stream\r\n"

    async def grow(self, size: int) -> None:
        """Open connections until there are `size`. Raises `ConnectionError` where the server does not want them."""
        loop, where = asyncio.get_running_loop(), self.where
        request = f"GET /events?after={self.cursor} HTTP/1.1\r\nHost: {where.netloc}\r\n{self.headers}\r\n".encode()
        for start in progress(range(len(self.idlers), size, AT_ONCE), f"{size:,} connections"):
            opening = [
                loop.create_connection(lambda: Idler(request, self.idlers), where.hostname, where.port)
                for _ in range(min(AT_ONCE, size - start))
            ]
            new = [idler for _, idler in await asyncio.gather(*opening)]
            for status in await asyncio.gather(*(idler.open for idler in new)):
                if status.split(" ")[1] not in ("101", "200"):
                    raise ConnectionError(f"the server answers {status}")

    async def __aenter__(self) -> "Crowd":
        return self

    async def __aexit__(self, *exc_info) -> None:
        for idler in self.idlers:
            idler.transport.abort()

    async def silence(self) -> int:
        """Wait until nothing more comes; returns how many bytes have come to all of them, heads included."""
        before = -1
        while (came := sum(idler.came for idler in self.idlers)) != before:
            before = came
            await asyncio.sleep(SETTLE_S)
        return came


async def memory(server) -> int:
    """Bytes of RAM that the server's process has, once it has come to rest."""
    await asyncio.sleep(SETTLE_S)
    return psutil.Process((await server.usage())["pid"]).memory_info().rss


async def idle_memory(server, counts=(1000, 5000)) -> list[Idle]:
    """The memory that a server needs for each idle reader, at so many of them; real time only.

    Takes a server that has just been launched: `websocket`, `raw_websocket`, or, for comparison, `sse`.
    """
    possible, found = room() - WARM_UP, []
    async with Crowd(server, (await server.publish("mark")).cursor) as crowd:
        await crowd.grow(WARM_UP)
        empty = await memory(server)
        for wanted in counts:
            count = min(wanted, possible)
            await crowd.grow(WARM_UP + count)
            found.append(Idle(server.name, count, wanted, (await memory(server) - empty) / count))
            if gone := sum(idler.transport.is_closing() for idler in crowd.idlers):
                raise ConnectionError(f"{gone} of {count:,} connections did not last until the memory was read")
    return found
