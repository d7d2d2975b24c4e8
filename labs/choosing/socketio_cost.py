"""What Socket.IO costs beside a plain WebSocket, and what it gives: round trips, bytes, heartbeat, reconnection. Exact.

    async with launch("socketio_feed", rtt_ms=100) as server:
        opening = await socketio_opening(server)     # Opening(…, requests=1, round_trips=3.0, …)

In virtual time (`labs.virtual.launch`) every number is the same on every run. The formulas are those of the packets: a message
of Engine.IO is a digit (4) and what follows; an event of Socket.IO is a digit (2), if it wants an answer a number, and a JSON
array of the event's name and its values. (Engine.IO protocol 4 and Socket.IO protocol 5, in socket.io's documentation.)
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass

import websockets

from labs import clients, models
from labs.choosing import socketio_client
from labs.clock import now_ns
from labs.feed import Event
from labs.ledger import Message, messages

SOCKETIO_PATH = "/socket.io/?EIO=4&transport=websocket"
PING_S = 20.0  # of the course's socket servers
SETTLED_S = 0.5  # after which a round trip is over


@dataclass(frozen=True)
class Opening:
    """What crossed the link before the first event was here. `packets`: the texts of frames and of polling's bodies, in order."""

    name: str
    connections: int
    requests: int
    round_trips: float
    bytes_up: int
    bytes_down: int
    packets: tuple[tuple[str, str], ...]  # (direction, text)


@dataclass(frozen=True)
class Size:
    """The bytes of one thing on the wire: by formula, and as the link counted them."""

    name: str
    what: str
    direction: str
    predicted: int
    counted: int


@dataclass(frozen=True)
class Guest:
    """A plain client at Socket.IO's address: what it heard, (seconds, text), and when and with which code it was closed."""

    heard: tuple[tuple[float, str], ...]
    closed_after_s: float
    close_code: int


async def websocket_opening(server) -> Opening:
    """A plain WebSocket to `websocket`. At least one event must have been published."""
    return await opening(server, "websocket", clients.websocket(server.url))


async def socketio_opening(server, transports: tuple[str, ...] = ("websocket",)) -> Opening:
    """Socket.IO to `socketio_feed`: at once over a WebSocket, or with DEFAULT by polling and an upgrade."""
    name = "Socket.IO, " + " then ".join(transports)
    return await opening(server, name, socketio_client.follow(server.url, transports=transports))


async def opening(server, name: str, events: AsyncIterator[Event]) -> Opening:
    """Read one event through the server's link, which has a delay, and count what came before it."""
    start = now_ns()
    async with aclosing(events):
        first = await anext(events)
        elapsed_ms = (now_ns() - start) / 1e6
        found = messages(server.link.trace(since=start))
    event = next(m for m in found if m.direction == "down" and first.cursor in m.text)
    found = found[: found.index(event)]
    requests = [m for m in found if m.direction == "up" and m.start_line]
    up, down = (sum(m.size for m in found if m.direction == way) for way in ("up", "down"))
    packets = tuple((m.direction, m.body.decode()) for m in found if m.body)
    connections = len({m.connection for m in found})
    return Opening(name, connections, len(requests), elapsed_ms / server.link.rtt_ms, up, down, packets)


def frame_bytes(text: str, *, masked: bool = False) -> int:
    """The bytes of a text as one frame."""
    return sum(models.frame(len(text.encode()), masked=masked).values())


def event_text(event: Event) -> str:
    """An event as Socket.IO sends it: 12 bytes around the JSON that every transport sends."""
    return f'42["event",{event.to_json()}]'


async def websocket_sizes(server, data: str) -> list[Size]:
    """One event up and down over a plain WebSocket: the bytes of each frame by formula, and as counted."""
    async with clients.socket_publisher(server.url, (await server.usage())["cursor"]) as publish:
        event, frames = await exchange(server, publish, data)
    expected = {("publish", "up"): frame_bytes(data, masked=True), ("event", "down"): frame_bytes(event.to_json())}
    return compared("WebSocket", expected, frames)


async def socketio_sizes(server, data: str) -> list[Size]:
    """The same over Socket.IO, where what is published is acknowledged besides."""
    async with socketio_client.client() as sio:
        sio.on("event", lambda event: None)
        await sio.connect(server.url, transports=["websocket"])

        async def publish(text: str) -> Event:
            return Event(**await sio.call("publish", text))

        event, frames = await exchange(server, publish, data)
    text = json.dumps(data, ensure_ascii=False)
    expected = {
        ("publish", "up"): frame_bytes(f'421["publish",{text}]', masked=True),
        ("acknowledgment", "down"): frame_bytes(f"431[{event.to_json()}]"),
        ("event", "down"): frame_bytes(event_text(event)),
    }
    return compared("Socket.IO", expected, frames)


async def exchange(server, publish: Callable[[str], Awaitable[Event]], data: str) -> tuple[Event, list[Message]]:
    """Publish one event, and return it with the frames that crossed the link because of it."""
    await asyncio.sleep(SETTLED_S)  # what belongs to the opening has passed
    start = now_ns()
    event = await publish(data)
    await asyncio.sleep(SETTLED_S)
    return event, [m for m in messages(server.link.chunks) if m.frame and m.sent >= start]


def compared(name: str, expected: dict[tuple[str, str], int], frames: list[Message]) -> list[Size]:
    """What was expected beside what came. Raises `ValueError` if something else came."""
    kinds = {"up": lambda body: "publish", "down": lambda body: "acknowledgment" if body[:2] == b"43" else "event"}
    counted = {(kinds[m.direction](m.body), m.direction): m.size for m in frames}
    if len(frames) != len(expected) or counted.keys() != expected.keys():
        raise ValueError(f"{name}: {[m.text for m in frames]}")
    return [Size(name, what, way, size, counted[what, way]) for (what, way), size in expected.items()]


async def websocket_heartbeat(server, seconds: float = 3600.0) -> Size:
    """The bytes of a silent connection's pings and pongs. Only the server pings, with 4 random bytes, PING_S after each pong."""
    async with clients.connect(server.url, ping_interval=None):
        return await silence(
            server, "WebSocket", seconds, PING_S, frame_bytes("four") + frame_bytes("four", masked=True)
        )


async def socketio_heartbeat(server, seconds: float = 3600.0, interval_s: float = 25.0) -> Size:
    """The same over Socket.IO, whose server sends the next ping `interval_s` after the last pong."""
    async with socketio_client.client() as sio:
        await sio.connect(server.url, transports=["websocket"])
        return await silence(server, "Socket.IO", seconds, interval_s, frame_bytes("2") + frame_bytes("3", masked=True))


async def silence(server, name: str, seconds: float, interval_s: float, each: int) -> Size:
    """Wait so long beside an open connection, and compare what crossed the link with its pings and pongs, `each` bytes."""
    await asyncio.sleep(SETTLED_S)
    before = sum(server.link.bytes.values())
    await asyncio.sleep(seconds)
    pings = int((seconds + SETTLED_S) // (interval_s + server.link.rtt_ms / 1000))
    return Size(name, "heartbeat", "both", pings * each, sum(server.link.bytes.values()) - before)


async def plain_client(server) -> Guest:
    """What a WebSocket client sees that knows nothing of Socket.IO: it is greeted, pinged with text, and closed for its silence."""
    loop, heard = asyncio.get_running_loop(), []
    start = loop.time()
    async with clients.connect(server.url, SOCKETIO_PATH, ping_interval=None) as socket:
        with suppress(websockets.ConnectionClosed):
            async for text in socket:
                heard.append((round(loop.time() - start, 3), text))
        return Guest(tuple(heard), round(loop.time() - start, 3), socket.close_code)
