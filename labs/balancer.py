"""Several servers behind one address: a relay that gives each new connection to the next server.

    async with Balancer.open([first.origin, second.origin]) as front:
        front.url, front.ws         # what clients connect to
        front.counts                # how many connections each server was given
        front.servers.remove(...)   # no new connections for this one; those that it has stay

Design notes
  * It looks at no byte. A WebSocket begins as an HTTP request and stays one TCP connection, so whoever deals out connections
    deals out WebSockets: in turn, once, for as long as they last. A server that is added later stays empty until people come.
  * A server that refuses the connection is skipped; if all do, the client's is closed. A server that hangs is not noticed.
  * It runs in the process that opens it, in Python, and ends with it: it shows the thing, and is no load balancer. HAProxy,
    nginx or a cloud's ask each server for its health, let one drain (no new connections, then word to leave), end TLS, limit
    and log, tell the server the client's address, and are themselves more than one, or all would hang on them.
  * Without any relay, the kernel can do it: several processes of one machine and user listen on one port, each with the
    option SO_REUSEPORT. Linux then picks one by a hash of the addresses, so by chance and not in turn, and connections that
    still wait for a process when it is killed are lost. macOS lets them share the port, too, but does not deal connections
    out: as a rule one process gets all of them. Windows has no such option.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

CONNECT_S = 1.0  # for a server to answer a connection; on one machine that takes microseconds
PIECE = 64 * 1024  # bytes that are passed on at once


class Balancer:
    """A relay in front of `servers`, which are origins such as http://127.0.0.1:8001."""

    def __init__(self, servers: Iterable[str]):
        self.servers = list(servers)
        self.counts = dict.fromkeys(self.servers, 0)
        self.url = ""
        self._turn = 0
        self._relays: set[asyncio.Task] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls, servers: Iterable[str]) -> AsyncIterator["Balancer"]:
        """Accept connections on a free loopback port while the block runs; at its end all of them break."""
        front = cls(servers)
        listening = await asyncio.start_server(front._accepted, "127.0.0.1", 0)
        front.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        try:
            yield front
        finally:
            listening.close()
            for relay in front._relays:
                relay.cancel()
            await asyncio.gather(*front._relays, return_exceptions=True)

    @property
    def ws(self) -> str:
        """`url` for a WebSocket: ws://host:port."""
        return self.url.replace("http", "ws", 1)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._relays.add(task := asyncio.current_task())
        try:
            await self._relay(reader, writer)
        except* (
            OSError,
            asyncio.CancelledError,
        ):  # a side has gone, no server is there, the block has ended: all is said
            pass
        finally:
            await abort(writer)
            self._relays.discard(task)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await self._next_server()
        try:
            async with asyncio.TaskGroup() as directions:
                directions.create_task(pass_on(reader, far_writer))
                directions.create_task(pass_on(far_reader, writer))
            writer.close()
            await writer.wait_closed()  # its last bytes are on their way
        finally:
            await abort(far_writer)

    async def _next_server(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the server whose turn it is, or to the next that answers. Raises `ConnectionError` if none does."""
        for _ in range(len(self.servers)):
            server = self.servers[self._turn % len(self.servers)]
            self._turn += 1
            with suppress(OSError):  # a TimeoutError is one
                where = urlsplit(server)
                async with asyncio.timeout(CONNECT_S):
                    found = await asyncio.open_connection(where.hostname, where.port)
                self.counts[server] = self.counts.get(server, 0) + 1
                return found
        raise ConnectionError("no server answers")


async def abort(writer: asyncio.StreamWriter) -> None:
    """End a connection now, and take its error, which would otherwise be reported when it is collected."""
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction, to its end; whoever sends faster than the other side reads has to wait. Raises `OSError`."""
    while piece := await reader.read(PIECE):
        writer.write(piece)
        await writer.drain()
    if not writer.is_closing():
        writer.write_eof()
