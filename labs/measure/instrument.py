"""What the instrument itself adds to everything that is measured with it."""

import asyncio
import socket

from labs.clock import now_ns
from labs.link import Link
from labs.measure.records import Latencies


async def floor(*, messages: int = 1000) -> dict[str, Latencies]:
    """What the instrument itself adds: the one-way time of 16 bytes over a socket pair, over TCP, over TCP through a link."""
    found = {}
    left, right = socket.socketpair()
    found["socket pair"] = await _one_way(messages, *[await asyncio.open_connection(sock=end) for end in (left, right)])
    peers: asyncio.Queue = asyncio.Queue()
    server = await asyncio.start_server(lambda *streams: peers.put_nowait(streams), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, await Link.open(f"http://127.0.0.1:{port}") as link:
        for name, at in (("TCP", port), ("TCP through the link", int(link.url.rpartition(":")[2]))):
            near = await asyncio.open_connection("127.0.0.1", at)
            found[name] = await _one_way(messages, near, await peers.get())
    return found


async def _one_way(messages: int, near, far) -> Latencies:
    delays = []
    for _ in range(messages):
        sent = now_ns()
        near[1].write(b"0123456789abcdef")
        await far[0].readexactly(16)
        delays.append((now_ns() - sent) / 1e6)
    near[1].close(), far[1].close()
    return Latencies(tuple(delays[messages // 10 :]))  # the first tenth is warm-up
