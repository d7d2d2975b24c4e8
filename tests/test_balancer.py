"""The relay in front of several servers: in turn, past the dead, every byte, both ends told, and nothing left behind."""

import asyncio
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from labs.balancer import Balancer

LIMIT_S = 10
CLIENTS: list[asyncio.StreamWriter] = []  # the clients' ends, to be closed after each test


class Named:
    """A server that says its name, then gives back what it gets; keeps its ends of the connections."""

    def __init__(self, name: bytes):
        self.name, self.writers = name, []

    async def answer(self, reader, writer):
        self.writers.append(writer)
        writer.write(self.name)
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()


@asynccontextmanager
async def named(count: int):
    """So many servers: themselves, their origins, and a function that stops one listening."""
    servers = [Named(b"%d" % n) for n in range(count)]
    listening = [await asyncio.start_server(server.answer, "127.0.0.1", 0) for server in servers]
    yield servers, [f"http://127.0.0.1:{one.sockets[0].getsockname()[1]}" for one in listening], listening
    for one in listening:
        one.close()
    for writer in [*CLIENTS, *(writer for server in servers for writer in server.writers)]:
        writer.transport.abort()
    CLIENTS.clear()
    await asyncio.sleep(0.01)


async def reach(front) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect; the first byte is the name of the server. Empty if the connection ends without."""
    where = urlsplit(front.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    CLIENTS.append(writer)
    async with asyncio.timeout(LIMIT_S):
        return await reader.read(1), reader, writer


async def names(front, count: int) -> bytes:
    """The servers that so many connections, one after the other, come to."""
    found = []
    for _ in range(count):
        name, _, writer = await reach(front)
        found.append(name)
        writer.close()
    return b"".join(found)


async def test_connections_are_dealt_out_in_turn():
    async with named(3) as (_, origins, _), Balancer.open(origins) as front:
        assert await names(front, 7) == b"0120120"
        assert list(front.counts.values()) == [3, 2, 2]
        assert list(front.counts) == origins and front.ws == front.url.replace("http:", "ws:")


async def test_dead_server_is_skipped_and_found_again():
    async with named(3) as (servers, origins, listening), Balancer.open(origins) as front:
        listening[1].close()
        assert await names(front, 4) == b"0202"
        again = await asyncio.start_server(servers[1].answer, "127.0.0.1", urlsplit(origins[1]).port)
        assert b"1" in await names(front, 3)
        again.close()


async def test_server_taken_out_gets_no_new_connections_and_keeps_its_old_ones():
    async with named(2) as (_, origins, _), Balancer.open(origins) as front:
        name, reader, writer = await reach(front)
        front.servers.remove(origins[0])
        assert name == b"0" and await names(front, 3) == b"111"
        writer.write(b"still here")
        assert await reader.readexactly(10) == b"still here"
        front.servers.append(origins[0])
        assert sorted(await names(front, 2)) == sorted(b"01")


async def test_no_server_at_all_ends_the_connection():
    async with named(1) as (_, origins, listening), Balancer.open(origins) as front:
        listening[0].close()
        assert (await reach(front))[0] == b""
        front.servers.clear()
        assert (await reach(front))[0] == b""


async def test_every_byte_passes_both_ways_and_both_ends_are_told_of_the_end():
    sent = bytes(range(256)) * 20_000  # 5 MB, more than all buffers on the way
    async with named(1) as (_, origins, _), Balancer.open(origins) as front:
        _, reader, writer = await reach(front)

        async def send():
            for at in range(0, len(sent), 100_000):
                writer.write(sent[at : at + 100_000])
                await writer.drain()
            writer.write_eof()

        async with asyncio.timeout(LIMIT_S):
            _, got = await asyncio.gather(send(), reader.read(-1))
        assert got == sent


async def test_reader_who_does_not_read_keeps_the_server_waiting():
    async with named(1) as (servers, origins, _), Balancer.open(origins) as front:
        await reach(front)
        (far,) = servers[0].writers
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                for _ in range(1000):  # 64 MB, if nobody stopped it
                    far.write(bytes(65_536))
                    await far.drain()


@pytest.mark.parametrize("who", ["server", "client"])
async def test_one_side_that_breaks_off_is_passed_on_to_the_other(who):
    async with named(1) as (servers, origins, _), Balancer.open(origins) as front:
        _, reader, writer = await reach(front)
        far = servers[0].writers[0]
        (far if who == "server" else writer).transport.abort()
        async with asyncio.timeout(LIMIT_S):
            if who == "server":
                assert await reader.read() == b""
                writer.close()
            await far.wait_closed() if who == "client" else None
            while front._relays:
                await asyncio.sleep(0.01)


async def test_end_of_the_block_breaks_all_connections_and_leaves_no_task():
    async with named(2) as (_, origins, _):
        before = asyncio.all_tasks()
        async with Balancer.open(origins) as front:
            streams = [await reach(front) for _ in range(4)]
        async with asyncio.timeout(LIMIT_S):
            for _, reader, writer in streams:
                assert await reader.read() == b""
                writer.close()
        await asyncio.sleep(0.02)
        serving = {task for task in asyncio.all_tasks() - before if "Named.answer" in repr(task)}
        assert asyncio.all_tasks() - before - serving == set()
        with pytest.raises(OSError):
            await reach(front)
