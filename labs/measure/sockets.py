"""A socket against HTTP: how long it takes to open, and to get an answer.

Every function takes servers of either kind, as many as are to be compared, and lets them take turns, so that whatever
else the machine does meets all of them. Both sides of the comparison are what one would use: aiohttp's client and the
`websockets` library's. On loopback their own work is most of what is measured.
"""

from contextlib import AsyncExitStack, aclosing, asynccontextmanager

from labs import clients
from labs.clock import now_ns
from labs.measure.pacing import progress
from labs.measure.records import Latencies

SOCKETS = {  # the servers to which one publishes with a text frame
    "websocket": "WebSocket",
    "raw_websocket": "raw WebSocket",
}
TEXT = "wind 12 m/s, north-west"


async def connect_times(*servers, rtt_ms: float = 0.0, n: int = 50) -> dict[str, Latencies]:
    """How long it takes to open something: keys as in `models.connect_times`, those that the servers have."""
    return await _in_turns(servers, (_new_connections, _opened), rtt_ms, n, "opening")


async def echo_times(*servers, rtt_ms: float = 0.0, n: int = 200) -> dict[str, Latencies]:
    """How long a message and its answer take on an open connection: keys as in `models.echo_times`."""
    return await _in_turns(servers, (_kept_posts, _echoes), rtt_ms, n, "echo")


@asynccontextmanager
async def link_to(server, rtt_ms: float):
    """A link of one's own to a server, for as long as the block runs."""
    link = await server.via(rtt_ms=rtt_ms)
    try:
        yield link
    finally:
        server.links.remove(link)
        await link.close()


async def _in_turns(servers, kinds, rtt_ms: float, n: int, what: str) -> dict[str, Latencies]:
    """The first kind of asking for HTTP servers, the second for sockets; one of each in turn, after a warm-up."""
    found: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        asking = []
        for server in servers:
            link = await stack.enter_async_context(link_to(server, rtt_ms))
            asked = kinds[server.name in SOCKETS](link.url, SOCKETS.get(server.name))
            asking.append(await stack.enter_async_context(aclosing(asked)))
        for number in progress(range(n + 1), what):
            for asked in asking:
                for name, ms in (await anext(asked)).items():
                    found.setdefault(name, []).extend([ms] if number else [])
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
