"""What a transport costs that no rate changes: CPU time for an event and for a request, and what an idle client takes.

    costs = await measure_costs()                 # one `decision.Cost` for each transport; starts its own servers
    costs = recorded()                            # those of another machine, which this repository carries

    python -m labs.choosing.costs --record        # write them anew

Design notes
  * CPU time is of many readers on one server, and they are as bare as can be on this side. What publishing costs at the same
    rate without a reader is taken off, and spread over so many readers it would not be much.
  * An idle hour passes in virtual time, to the byte. WebRTC has no virtual time: there it is half a minute's worth.
  * Every server is new for its memory; see `labs.measure.holding`.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

from labs import clients, measure, models, virtual
from labs.choosing import grand
from labs.choosing.decision import Cost
from labs.frames import Opcode, encode
from labs.launch import Server, launch
from labs.measure.holding import SOCKET, Idler, memory

RECORD = Path(__file__).parent / "recorded" / "costs.json"
READERS, EVENTS, RATE = 20, 100, 200
WARM_UP, IDLE = 100, 400  # connections
PEERS, PEER_SECONDS = 12, 8.0
KEY = b"\0\0\0\0"


class Bare(Idler):
    """One reader that looks at nothing: it says `then` when its request has been answered, and asks on where it is to."""

    def __init__(self, request: bytes, crowd: list, then: bytes = b"", again: bool = False):
        super().__init__(request, crowd)
        self.then, self.again = then, again

    def data_received(self, data):
        was_open = self.open.done()
        super().data_received(data)
        if self.then and not was_open and self.open.done():
            self.transport.write(self.then)
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


async def delivery_us(server: Server) -> float:
    """The server's CPU time for one event to one of many readers; for long polling with the request that fetches it."""
    crowd: list[Bare] = []
    alone = await grand.publishing_us(server, EVENTS, RATE)
    try:
        await gather_readers(server, crowd, READERS)
        before = (await server.usage())["cpu_ns"]
        await grand.publish_all(server, EVENTS, RATE)
        await asyncio.sleep(0.2)
        spent = ((await server.usage())["cpu_ns"] - before) / 1000
    finally:
        leave(crowd)
    return max(0.0, spent - EVENTS * alone) / EVENTS / READERS


async def event_us(server: Server) -> float:
    """The server's CPU time for one event more in an answer."""
    cursors = [(await server.publish(f"kept {number}")).cursor for number in range(102)]
    one, many = [
        await measure.cpu_per_request(server, requests=200, path=f"/events?after={cursors[place]}")
        for place in (100, 0)
    ]
    return max(0.0, 1000 * (many - one) / 100)


async def idle_kib(server: Server) -> float:
    """The memory that a server, just launched, needs for each idle reader."""
    crowd: list[Bare] = []
    try:
        await gather_readers(server, crowd, WARM_UP)
        empty = await memory(server)
        await gather_readers(server, crowd, WARM_UP + IDLE)
        return max(0.0, await memory(server) - empty) / 1024 / IDLE
    finally:
        leave(crowd)


async def idle_hour(name: str, launch) -> float:
    """The bytes of one reader in an hour in which nothing happens, from its 60th second on; for virtual time."""
    async with launch(name) as server:
        mark, link = await server.publish("the last news for an hour"), await server.via()
        following = asyncio.create_task(measure.watch(link.url, grand.reader(name, 0).follow, after=mark.cursor))
        await asyncio.sleep(59.5)
        before = sum(link.bytes.values())
        await asyncio.sleep(3600)
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        return sum(link.bytes.values()) - before


async def idle_peers(server: Server) -> tuple[float, float]:
    """Bytes an hour and KiB of the server for each idle WebRTC reader, from a dozen in so many seconds."""
    from labs.choosing.datagram_link import DatagramLink
    from labs.choosing.webrtc_client import channel

    mark = await server.publish("mark")
    async with AsyncExitStack() as stack, DatagramLink() as link:
        await stack.enter_async_context(channel(server.origin, mark.cursor, link=link))
        empty = await memory(server)
        for _ in measure.progress(range(PEERS), "peers"):
            await stack.enter_async_context(channel(server.origin, mark.cursor, link=link))
        held = await memory(server) - empty
        before = sum(link.bytes.values())
        await asyncio.sleep(PEER_SECONDS)
        each = (sum(link.bytes.values()) - before) / (PEERS + 1)
    return each * 3600 / PEER_SECONDS, max(0, held) / 1024 / PEERS


async def peers_us(server: Server, events: int = 50, rate: float = 50) -> float:
    """The server's CPU time for one event over one data channel."""
    alone = await grand.publishing_us(server, events, rate)
    readers = [grand.reader(server.name, 0.0) for _ in range(2)]
    before = (await server.usage())["cpu_ns"]
    async with measure.delivery._following(server, readers, (await server.publish("mark")).cursor):
        await asyncio.sleep(1)
        before = (await server.usage())["cpu_ns"]
        await grand.publish_all(server, events, rate)
        await asyncio.sleep(0.3)
        spent = ((await server.usage())["cpu_ns"] - before) / 1000
    return max(0.0, spent - events * alone) / events / len(readers)


async def cost(name: str) -> Cost:
    """Everything about one transport, on two servers of its own."""
    async with launch(name) as server:
        if name == "webrtc_feed":
            idle, kib = await idle_peers(server)
        else:
            idle, kib = await asyncio.to_thread(virtual.run, idle_hour(name, virtual.launch)), await idle_kib(server)
    async with launch(name) as server:
        up = await grand.publishing_us(server, EVENTS, RATE)
        asked = 0.0
        if name == "http_polling":
            asked, each = 1000 * await measure.cpu_per_request(server), await event_us(server)
        elif name == "long_polling":
            asked, each = await delivery_us(server), await event_us(server)
        else:
            each = await (peers_us if name == "webrtc_feed" else delivery_us)(server)
        if name in clients.SOCKETS:
            up = max(0.0, up - each)  # its publisher hears its own events
        added = models.overhead(name, 120, 50, 0.0) or await grand.added_bytes(server)
    return Cost(name, each, asked, up, idle, kib, added)


async def measure_costs(names=None) -> dict[str, Cost]:
    """The costs of every transport that can be measured here; two at a time, on servers of their own."""
    found = {}
    for name in measure.progress(grand.installed() if names is None else names, "costs"):
        found[name] = await cost(name)
    return found


def recorded() -> dict[str, Cost]:
    """The costs that were measured on another machine."""
    return {name: Cost(**one) for name, one in json.loads(RECORD.read_text("utf-8"))["costs"].items()}


def main() -> None:
    """The command line: measure, print, and with --record write."""
    costs = asyncio.run(measure_costs())
    for one in costs.values():
        print(one)
    if "--record" in sys.argv[1:]:
        found = {"machine": measure.machine(), "costs": {name: asdict(one) for name, one in costs.items()}}
        RECORD.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
