"""Many readers of one server that look at nothing: whatever is measured with them is the server's."""

import asyncio
from urllib.parse import urlsplit

from labs.frames import Opcode, encode
from labs.launch import Server
from labs.measure.holding import SOCKET, Idler

KEY = b"\0\0\0\0"


class Bare(Idler):
    """One reader that looks at nothing: it says `then` when its request has been answered, and asks on where it is to."""

    def __init__(self, request: bytes, crowd: list, then: bytes = b"", again: bool = False):
        super().__init__(request, crowd)
        self.then, self.again, self.answers = then, again, 0

    def data_received(self, data):
        was_open = self.open.done()
        super().data_received(data)
        if self.then and not was_open and self.open.done():
            self.transport.write(self.then)
        self.answers += 1
        if self.again:
            at = data.rindex(b'"cursor":') + len('"cursor":')
            cursor = data[at:].strip(b' "]}\r\n')
            self.transport.write(self.request.replace(self.cursor, cursor, 1))

    @property
    def cursor(self) -> bytes:
        """Where the first request began."""
        return self.request.partition(b"after=")[2].partition(b"&")[0].partition(b" ")[0]


def bare(server: Server, cursor: str, crowd: list) -> Bare:
    """A reader of this server's own kind."""
    name, where = server.name, urlsplit(server.origin).netloc
    target = {
        "long_polling": f"/events?after={cursor}&wait=25",
        "socketio_feed": "/socket.io/?EIO=4&transport=websocket",
    }
    headers = (
        "" if name in ("http_polling", "long_polling") else SOCKET if name != "sse" else "Accept: text/event-stream\r\n"
    )
    request = f"GET {target.get(name, f'/events?after={cursor}')} HTTP/1.1\r\nHost: {where}\r\n{headers}\r\n"
    hello = encode(Opcode.TEXT, b'40{"after":"%s"}' % cursor.encode(), key=KEY) if name == "socketio_feed" else b""
    return Bare(request.encode(), crowd, hello, name == "long_polling")


async def gather_readers(server: Server, crowd: list, count: int) -> None:
    """Connect bare readers until there are so many, and wait until the server has answered, or, in a long poll, holds them."""
    where, cursor = urlsplit(server.origin), (await server.publish("mark")).cursor
    loop = asyncio.get_running_loop()
    while len(crowd) < count:
        some = [
            loop.create_connection(lambda: bare(server, cursor, crowd), where.hostname, where.port)
            for _ in range(min(50, count - len(crowd)))
        ]
        new = [protocol for _, protocol in await asyncio.gather(*some)]
        if server.name != "long_polling":
            await asyncio.gather(*(one.open for one in new))
    await asyncio.sleep(0.3)


def leave(crowd: list[Bare]) -> None:
    """All of them at once; whoever is not in yet does not come in any more."""
    for one in crowd:
        one.open.cancel()
        one.transport.abort()
