"""Many small messages from a client to a server: by POST on kept connections, and by frames.

Servers of both kinds take turns, so that whatever else the machine does meets all of them.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from labs import clients
from labs.clock import now_ns, simulated
from labs.measure.pacing import progress
from labs.measure.records import Latencies, machine
from labs.measure.sockets import SOCKETS, TEXT, link_to

ROUNDS = 5


@dataclass(frozen=True)
class Upstream:
    """Many small messages from one client to one server, each of them published and handed back with its number."""

    way: str
    transport: str  # the server's name for frames, "http" for POST
    latency: Latencies  # from sending a message to having it back
    seconds: float  # for all of them
    up: int  # bytes that the client sent, and those that came back; the opening of connections is not in them
    down: int
    rtt_ms: float
    simulated: bool = False
    machine: str = field(default_factory=machine)

    @property
    def per_second(self) -> float:
        """Messages in a second."""
        return self.latency.n / self.seconds

    @property
    def bytes_each(self) -> float:
        """Bytes both ways for each message."""
        return (self.up + self.down) / self.latency.n


async def upstream(*servers, messages: int = 1000, rtt_ms: float = 0.0) -> list[Upstream]:
    """Small messages from client to server: by POST on kept connections and by frames; one record for each way.

    One by one, which takes `messages` round trips; without waiting; and, as browsers do with HTTP, six at once.
    """
    async with AsyncExitStack() as stack:
        ways = [
            (way, server, await stack.enter_async_context(link_to(server, rtt_ms)))
            for server in servers
            for way in _ways(server)
        ]
        taken = [(way, server, []) for way, server, _ in ways]
        for _ in progress(range(ROUNDS), "upstream"):
            for place, way in enumerate(ways):
                taken[place][2].append(await _round(*way, messages // ROUNDS))
    return [_record(way, server, rounds, rtt_ms) for way, server, rounds in taken]


def _record(way, server, rounds, rtt_ms: float) -> Upstream:
    delays, seconds, up, down = zip(*rounds, strict=True)
    latency = Latencies(tuple(ms for some in delays for ms in some))
    transport = server.name if server.name in SOCKETS else "http"
    return Upstream(NAMES[way], transport, latency, sum(seconds), sum(up), sum(down), rtt_ms, simulated())


async def _round(way, server, link, messages: int):
    """One way's share: delays in ms, seconds, bytes up and down."""
    cursor = (await server.usage()).get("cursor")
    async with way(link.url, cursor) as send:
        up, down, start = link.bytes["up"], link.bytes["down"], now_ns()
        delays = await send(messages)
        return delays, (now_ns() - start) / 1e9, link.bytes["up"] - up, link.bytes["down"] - down


@asynccontextmanager
async def _posts(url: str, _, at_once: int = 1):
    async with clients.session() as http:

        async def send(messages: int) -> list[float]:
            numbers, delays = iter(range(messages)), []

            async def work():
                for _ in numbers:
                    sent = now_ns()
                    await clients.publish(http, url, TEXT)
                    delays.append((now_ns() - sent) / 1e6)

            await asyncio.gather(*(work() for _ in range(at_once)))
            return delays

        await send(at_once)  # the connections
        yield send


def _six_posts(url: str, cursor):
    return _posts(url, cursor, at_once=6)


@asynccontextmanager
async def _frames(url: str, cursor: str):
    async with clients.connect(url, clients.events_of(cursor)) as socket:

        async def send(messages: int) -> list[float]:
            delays = []
            for _ in range(messages):
                sent = now_ns()
                await socket.send(TEXT)
                await socket.recv()
                delays.append((now_ns() - sent) / 1e6)
            return delays

        yield send


@asynccontextmanager
async def _frames_in_a_row(url: str, cursor: str):
    async with clients.connect(url, clients.events_of(cursor)) as socket:

        async def send(messages: int) -> list[float]:
            sent, delays = [], []

            async def take_in():
                for number in range(messages):
                    await socket.recv()
                    delays.append((now_ns() - sent[number]) / 1e6)

            async with asyncio.TaskGroup() as group:
                group.create_task(take_in())
                for _ in range(messages):
                    sent.append(now_ns())
                    await socket.send(TEXT)
            return delays

        yield send


NAMES: dict[Callable, str] = {
    _posts: "POST, one by one", _six_posts: "POST, six at once",
    _frames: "frames, one by one", _frames_in_a_row: "frames, without waiting",
}  # fmt: skip


def _ways(server) -> tuple[Callable, ...]:
    return (_frames, _frames_in_a_row) if server.name in SOCKETS else (_posts, _six_posts)
