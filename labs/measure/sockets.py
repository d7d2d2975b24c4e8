"""A socket against HTTP: how long it takes to open, to echo, and to send many small messages upward.

Every function takes servers of either kind, as many as are to be compared, and lets them take turns, so that whatever
else the machine does meets all of them. Both sides of the comparison are what one would use: aiohttp's client and the
`websockets` library's. On loopback their own work is most of what is measured.
"""

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from labs import clients
from labs.clock import now_ns, simulated
from labs.measure.pacing import progress
from labs.measure.records import Latencies, machine

SOCKETS = {  # the servers to which one publishes with a text frame
    "websocket": "WebSocket",
    "raw_websocket": "raw WebSocket",
}
ROUNDS = 5
TEXT = "wind 12 m/s, north-west"


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
    ways = [(way, server, await server.via(rtt_ms=rtt_ms)) for server in servers for way in _ways(server)]
    taken = {way: [] for way in ways}
    for _ in progress(range(ROUNDS), "upstream"):
        for way in ways:
            taken[way].append(await _round(*way, messages // ROUNDS))
    found = []
    for (way, server, link), rounds in taken.items():
        delays, seconds, up, down = zip(*rounds, strict=True)
        name = server.name if server.name in SOCKETS else "http"
        latency = Latencies(tuple(ms for some in delays for ms in some))
        found.append(Upstream(NAMES[way], name, latency, sum(seconds), sum(up), sum(down), rtt_ms, simulated()))
        server.links.remove(link)
        await link.close()
    return found


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


async def connect_times(*servers, rtt_ms: float = 0.0, n: int = 50) -> dict[str, Latencies]:
    """How long it takes to open something: keys as in `models.connect_times`, those that the servers have."""
    return await _in_turns(servers, (_new_connections, _opened), rtt_ms, n, "opening")


async def echo_times(*servers, rtt_ms: float = 0.0, n: int = 200) -> dict[str, Latencies]:
    """How long a message and its answer take on an open connection: keys as in `models.echo_times`."""
    return await _in_turns(servers, (_kept_posts, _echoes), rtt_ms, n, "echo")


async def _in_turns(servers, kinds, rtt_ms: float, n: int, what: str) -> dict[str, Latencies]:
    """The first kind of asking for HTTP servers, the second for sockets; one of each in turn, after a warm-up."""
    found: dict[str, list[float]] = {}
    asking = []
    for server in servers:
        link = await server.via(rtt_ms=rtt_ms)
        asking.append((server, link, kinds[server.name in SOCKETS](link.url, SOCKETS.get(server.name))))
    for number in progress(range(n + 1), what):
        for *_, asked in asking:
            for name, ms in (await anext(asked)).items():
                found.setdefault(name, []).extend([ms] if number else [])
    for server, link, asked in asking:
        await asked.aclose()
        server.links.remove(link)
        await link.close()
    return {name: Latencies(tuple(delays)) for name, delays in found.items()}


async def _timed(doing) -> float:
    start = now_ns()
    await doing
    return (now_ns() - start) / 1e6


async def _get(http, url: str) -> None:
    async with http.get(f"{url}/healthz") as response:
        await response.read()


async def _new_connections(url: str, _):
    while True:
        async with clients.session() as http:
            new, kept = await _timed(_get(http, url)), await _timed(_get(http, url))
        yield {"HTTP, new connection": new, "HTTP, kept connection": kept}


async def _opened(url: str, socket_name: str):
    while True:
        start = now_ns()
        async with clients.connect(url, "/echo"):
            opened = (now_ns() - start) / 1e6
        yield {f"{socket_name}, until open": opened}


async def _kept_posts(url: str, _):
    async with clients.session() as http:
        while True:
            yield {"POST, kept connection": await _timed(clients.publish(http, url, TEXT))}


async def _echoes(url: str, socket_name: str):
    async with clients.connect(url, "/echo") as socket:

        async def echo():
            await socket.send(TEXT)
            await socket.recv()

        while True:
            yield {f"{socket_name}, echo": await _timed(echo())}
