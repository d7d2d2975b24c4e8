"""The two ends of the experiment of `labs.choosing.loss`, each a process in a network of its own.

    python -m labs.choosing.loss_ends near CONGESTION PER_SECOND MESSAGES   publishes; one feed, behind two servers
    python -m labs.choosing.loss_ends far MESSAGES                          follows it in three ways at once; prints JSON

Design notes
  * Every event's text is the moment at which it was due, in nanoseconds of the clock that both ends share. So a delay counts
    from then on, whoever was late: the publisher, a sender, the wire or the reader.
  * The three connections are made while the wire loses nothing; then the first event, the far end's own, starts the schedule.
  * Some messages follow the last one that counts, because a hole is noticed by what comes after it.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from websockets.asyncio.client import connect

from labs.choosing.lossy_wire import FAR, NEAR
from labs.choosing.webrtc_client import channel
from labs.clock import now_ns
from labs.feed import Feed
from labs.hosting import serving
from labs.measure import sleep_until, until
from labs.servers import webrtc_feed, websocket

SOCKET_PORT, OFFER_PORT = 8001, 8002  # in a network of our own every port is free
AFTERWARDS_S = 1.0
PATIENCE_S = 20.0  # for what was lost to come again, after all were due


def with_congestion_control(handler, name: str):
    """The same handler of a socket, whose TCP uses this algorithm (tcp(7))."""

    async def handle(connection) -> None:
        raw = connection.transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
        await handler(connection)

    return handle


async def near(congestion: str, per_second: float, messages: int) -> None:
    """Serve one feed in two ways, and publish at an even rate when the first event has come from the other end."""
    feed = Feed()
    sockets, peers = websocket.make_app(feed), webrtc_feed.make_app(feed)
    sockets.handlers["/events"] = with_congestion_control(sockets.handlers["/events"], congestion)
    async with serving(sockets, NEAR, SOCKET_PORT), serving(peers, NEAR, OFFER_PORT):
        await feed.wait()
        start = now_ns() + 500_000_000
        for number in range(messages + round(AFTERWARDS_S * per_second)):
            due = start + round(number * 1e9 / per_second)
            await sleep_until(due)
            feed.publish(str(due))
        await asyncio.sleep(PATIENCE_S)


async def collect(texts: AsyncIterator[str], delays: dict[int, float]) -> None:
    """Note of every event how long after its moment it was here, in milliseconds."""
    async for text in texts:
        arrived, event = now_ns(), json.loads(text)
        delays[event["id"]] = (arrived - int(event["data"])) / 1e6


async def each(queue: asyncio.Queue) -> AsyncIterator[str]:
    """What a data channel's queue yields, until the channel has ended."""
    while (text := await queue.get()) is not None:
        yield text


async def far(messages: int) -> dict[str, list[float | None]]:
    """Follow the feed in three ways at once: the delay of each message, in its place; None where it never came."""
    found: dict[str, dict[int, float]] = {name: {} for name in ("websocket", "reliable", "unreliable")}
    async with AsyncExitStack() as stack:
        await until(lambda: listening(OFFER_PORT))
        offers, unreliable = f"http://{NEAR}:{OFFER_PORT}", {"ordered": False, "max_retransmits": 0}
        events = await stack.enter_async_context(connect(f"ws://{NEAR}:{SOCKET_PORT}/events", compression=None))
        _, ordered = await stack.enter_async_context(channel(offers, here=FAR))
        _, loose = await stack.enter_async_context(channel(offers, here=FAR, **unreliable))
        sources = dict(zip(found, (events, each(ordered), each(loose)), strict=True))
        tasks = [asyncio.create_task(collect(source, found[name])) for name, source in sources.items()]
        await events.send(str(now_ns()))
        await until(lambda: seen(found.values(), 1))
        os.kill(os.getppid(), signal.SIGUSR1)  # from here on the wire loses
        await until(lambda: seen((found["websocket"], found["reliable"]), messages + 1), within_s=600)
        for task in tasks:
            task.cancel()
    return {name: [delays.get(number + 2) for number in range(messages)] for name, delays in found.items()}


async def seen(readers, last: int) -> bool:
    """Whether these have everything up to an event; the first is the far end's own."""
    return all(all(number in delays for number in range(1, last + 1)) for delays in readers)


async def listening(port: int) -> bool:
    """Whether the near end's servers are there."""
    try:
        _, writer = await asyncio.open_connection(NEAR, port)
    except OSError:
        return False
    writer.close()
    return True


if __name__ == "__main__":
    end, *numbers = sys.argv[1:]
    if end == "near":
        asyncio.run(near(numbers[0], float(numbers[1]), int(numbers[2])))
    else:
        print(json.dumps(asyncio.run(far(int(numbers[0])))))
