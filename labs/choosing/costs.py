"""What a transport costs that no rate changes: CPU time for an event and for a request, and what an idle client takes.

    costs = await measure_costs()                 # one `decision.Cost` for each transport; starts its own servers
    costs = recorded()                            # those of another machine, which this repository carries

    python -m labs.choosing.costs --record        # write them anew

Design notes
  * CPU time is of many readers on one server, and they are as bare as can be on this side. What publishing costs at the same
    rate without a reader is taken off, and spread over so many readers it would not be much.
  * Ten idle minutes pass in virtual time, to the byte, and count six times. WebRTC has no virtual time: there its heartbeat is
    taken, at the interval that the RFC gives it.
  * Every server is new for its memory; see `labs.measure.holding`.
"""

import asyncio
import json
import statistics
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from labs import measure, models, virtual
from labs.choosing import grand
from labs.choosing.bare import Bare, gather_readers, leave
from labs.choosing.needs import REQUESTS, Cost
from labs.launch import Server, launch
from labs.measure.holding import memory

RECORD = Path(__file__).parent / "recorded" / "costs.json"
READERS, EVENTS, RATE = 20, 100, 200
WARM_UP, IDLE = 100, 400  # connections
PEERS, PEER_SECONDS = 12, 6.5
CONSENT_S = 5.0
AT_ONCE = 2  # transports


async def delivery_us(server: Server) -> float:
    """The server's CPU time for one event to one of many readers; for long polling, for one request and its answer."""
    crowd: list[Bare] = []
    alone = await grand.publishing_us(server, EVENTS, RATE)
    try:
        await gather_readers(server, crowd, READERS)
        before = sum(one.answers for one in crowd)
        spent = EVENTS * (await grand.publishing_us(server, EVENTS, RATE) - alone)
        answers = sum(one.answers for one in crowd) - before
    finally:
        leave(crowd)
    return max(0.0, spent) / (answers if server.name == "long_polling" else EVENTS * READERS)


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
    """The bytes of one reader in an hour in which nothing happens: six times those of ten minutes. For virtual time."""
    async with launch(name) as server:
        mark, link = await server.publish("the last news for an hour"), await server.via()
        following = asyncio.create_task(measure.watch(link.url, grand.reader(name, 0).follow, after=mark.cursor))
        await asyncio.sleep(59.5)
        before = sum(link.bytes.values())
        await asyncio.sleep(600)
        found = sum(link.bytes.values()) - before
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        return 6 * found


async def idle_peers(server: Server) -> tuple[float, float]:
    """Bytes an hour and KiB of the server for each idle WebRTC reader, from a dozen.

    Each end asks the other for its consent in STUN, five seconds apart on average (RFC 7675 §5.1); what is asked and answered
    has the size that was seen.
    """
    from labs.choosing.datagram_link import DatagramLink
    from labs.choosing.webrtc_client import channel

    mark = await server.publish("mark")
    async with AsyncExitStack() as stack, DatagramLink() as link:
        await stack.enter_async_context(channel(server.origin, mark.cursor, link=link))
        empty = await memory(server)
        for _ in measure.progress(range(PEERS), "peers"):
            await stack.enter_async_context(channel(server.origin, mark.cursor, link=link))
        held, connected = await memory(server) - empty, len(link.trace)
        await asyncio.sleep(PEER_SECONDS)
        sizes = [datagram.size for datagram in link.trace[connected:] if datagram.kind == "STUN"]
    return 4 * statistics.fmean(sizes) * 3600 / CONSENT_S, max(0, held) / 1024 / PEERS


async def peers_us(server: Server, events: int = 50, rate: float = 50) -> float:
    """The server's CPU time for one event over one data channel."""
    alone = await grand.publishing_us(server, events, rate)
    readers = [grand.reader(server.name, 0.0) for _ in range(2)]
    cursor = (await server.publish("mark")).cursor
    async with measure.delivery._following(server, readers, cursor):
        await asyncio.sleep(1)  # until they are in
        spent = await grand.publishing_us(server, events, rate)
    return max(0.0, spent - alone) / len(readers)


def over(server: Server):
    """How a client of this transport says something: as `server.publisher()`, for Socket.IO and WebRTC over their own."""
    if server.name == "socketio_feed":
        return emitting(server)
    return speaking(server) if server.name == "webrtc_feed" else server.publisher()


@asynccontextmanager
async def emitting(server: Server):
    """Socket.IO's way: an event with an acknowledgment."""
    from labs.choosing import socketio_client

    async with socketio_client.client() as sio:
        await sio.connect(server.origin, transports=["websocket"])
        yield lambda text: sio.call("publish", text)


@asynccontextmanager
async def speaking(server: Server):
    """A data channel's way: a message, and nothing comes back but what everybody hears."""
    from labs.choosing.webrtc_client import channel

    async with channel(server.origin) as (events, _):

        async def send(text: str) -> None:
            events.send(text)

        yield send
        await asyncio.sleep(0.2)


async def cost(name: str) -> Cost:
    """Everything about one transport, on two servers of its own."""
    async with launch(name) as server:
        if name == "webrtc_feed":
            idle, kib = await idle_peers(server)
        else:
            idle, kib = await asyncio.to_thread(virtual.run, idle_hour(name, virtual.launch)), await idle_kib(server)
    async with launch(name) as server:
        up, asked = await grand.publishing_us(server, EVENTS, RATE, over(server)), 0.0
        if name == "http_polling":
            asked, each = 1000 * await measure.cpu_per_request(server), await event_us(server)
        elif name == "long_polling":
            asked, each = await delivery_us(server), await event_us(server)
        else:
            each = await (peers_us if name == "webrtc_feed" else delivery_us)(server)
        if name not in REQUESTS:
            up -= min(each, up / 2)  # who speaks here hears it, too
        added = models.overhead(name, 120, 50, 0.0) or await grand.added_bytes(server)
    return Cost(name, each, asked, up, idle, kib, added)


async def measure_costs(names=None) -> dict[str, Cost]:
    """The costs of every transport that can be measured here; two at a time, on servers of their own. Half a minute."""
    names, turn = list(grand.installed() if names is None else names), asyncio.Semaphore(AT_ONCE)

    async def in_turn(name: str) -> Cost:
        async with turn:
            found = await cost(name)
        bar.update()
        return found

    with measure.progress(names, "costs") as bar:
        found = await asyncio.gather(*map(in_turn, reversed(names)))  # the last takes longest
    return {one.transport: one for one in reversed(found)}


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
