"""Readers made of plain sockets: one that sees every byte, or a crowd that arrives, waits, and leaves."""

import asyncio
import os
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit


class Reader:
    """One connection, and everything that has been read from it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, url: str) -> "Reader":
        where = urlsplit(url)
        return cls(*await asyncio.open_connection(where.hostname, where.port))

    def ask(self, target: str = "/events", *headers: str, method: str = "GET", version: str = "HTTP/1.1"):
        """Send one request without a body."""
        self.writer.write("\r\n".join([f"{method} {target} {version}", "Host: localhost", *headers, "", ""]).encode())

    async def head(self) -> str:
        """The response's status line and headers."""
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def body(self) -> bytes:
        """After `head` with a Content-Length: the body."""
        length = next(line for line in (await self.head()).lower().split("\r\n") if line.startswith("content-length"))
        return await self.reader.readexactly(int(length.split(":")[1]))

    async def chunk(self) -> bytes:
        """After `head`, of a chunked response: the next chunk; b"" is the last one, the end of the response."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    async def rest(self) -> bytes:
        """All bytes until the server closes the connection."""
        return await self.reader.read()

    async def leave(self):
        """Close the connection."""
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)


class Script:
    """A server that answers the nth connection with the nth of these texts and then the end; notes when and who asked."""

    def __init__(self, *answers: bytes):
        self.answers, self.asked, self.heads = list(answers), [], []

    async def answer(self, reader, writer):
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        self.asked.append(asyncio.get_running_loop().time())
        if len(self.asked) <= len(self.answers):
            writer.write(self.answers[len(self.asked) - 1])
        writer.close()

    @asynccontextmanager
    async def read(self, follow, **settings):
        """What the reader `follow` makes of it."""
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        async with (
            server,
            aclosing(follow(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", **settings)) as events,
        ):
            yield events


@asynccontextmanager
async def crowd(url: str, size: int, target: str = "/events", headers: tuple[str, ...] = ()):
    """So many readers, each of whom has asked for `target`; all of them leave at the end."""
    readers = [await Reader.open(url) for _ in range(size)]
    for reader in readers:
        reader.ask(target, *headers)
    try:
        yield readers
    finally:
        await asyncio.gather(*(reader.leave() for reader in readers))


async def becomes(condition, *, within_s: float = 2.0) -> bool:
    """Whether the awaitable condition comes true within the time."""
    try:
        async with asyncio.timeout(within_s):
            while not await condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        return False
    return True


def descriptors(pid: int) -> int | None:
    """How many files and sockets a process has open; None where that cannot be seen."""
    folder = Path(f"/proc/{pid}/fd")
    return len(os.listdir(folder)) if folder.exists() else None
