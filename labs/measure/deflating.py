"""What compression saves on the wire, and what it costs the server for each connection (permessage-deflate, RFC 7692)."""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from labs.measure.holding import WARM_UP, Crowd, memory
from labs.measure.pacing import progress
from labs.measure.records import machine

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"


@dataclass(frozen=True)
class Compressed:
    """What one way to send small events costs, on the wire and in the server."""

    way: str
    wire_each: float  # bytes on the wire for each event, framing included
    event_each: float  # bytes of each event
    memory_each: float  # bytes of the server's memory for each connection that has had some events
    cpu_each: float  # microseconds of the server's CPU for each event and connection
    connections: int
    machine: str = field(default_factory=machine)


def readings(count: int, seed: int = 1) -> list[str]:
    """Small JSON events, as a weather station would send them."""
    draw = random.Random(seed)
    return [
        json.dumps({"station": "north pier", "wind": round(draw.gauss(12, 3), 1), "gust": round(draw.gauss(17, 4), 1),
                    "direction": draw.choice(("N", "NW", "W", "SW"))})
        for _ in range(count)
    ]  # fmt: skip


async def compression(servers: Mapping, *, messages: int = 60, connections: int = 400) -> list[Compressed]:
    """What permessage-deflate saves and costs: `servers` are {a name: server}, just launched; real time only.

    All are asked to compress, and those that were not started with `--compress` decline. `connections` readers follow, and
    get `messages` small events.
    """
    return [await _compression(way, server, messages, connections) for way, server in servers.items()]


async def _compression(way: str, server, messages: int, connections: int) -> Compressed:
    each = 1 / messages / (WARM_UP + connections)
    async with Crowd(server, (await server.publish("mark")).cursor, DEFLATE) as crowd:
        await crowd.grow(WARM_UP)
        await _tell(server, crowd, messages, f"{way}: warm-up")  # they, too, have had events before anything is counted
        empty = await memory(server)
        crowd.cursor = (await server.publish("mark")).cursor
        await crowd.grow(WARM_UP + connections)
        came, cpu = await crowd.silence(), (await server.usage())["cpu_ns"]
        event_bytes = await _tell(server, crowd, messages, way)
        wire, cpu = (await crowd.silence() - came) * each, ((await server.usage())["cpu_ns"] - cpu) / 1000 * each
        memory_each = (await memory(server) - empty) / connections
    return Compressed(way, wire, event_bytes / messages, memory_each, cpu, connections)


async def _tell(server, crowd: Crowd, messages: int, what: str) -> int:
    """Publish small events until everybody has them; returns their bytes."""
    async with server.publisher() as publish:
        size = sum([len((await publish(text)).to_json().encode()) for text in progress(readings(messages), what)])
    await crowd.silence()
    return size
