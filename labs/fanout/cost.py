"""What one way to broadcast costs, at every size of the room: how late the last member has a message, and the server's CPU."""

import asyncio
import time
from dataclasses import dataclass, field

from labs.clock import now_ns
from labs.fanout.crowd import LIMIT_S, Crowd, apart, crowd_in, machine
from labs.launch import launch
from labs.measure import Latencies, progress

LEAST = 20  # messages, however long they take


@dataclass(frozen=True)
class Point:
    """One room of `members`, with `in_flight` messages under way: how late each message was, and what it cost."""

    way: str
    members: int
    in_flight: int
    first: Latencies  # milliseconds from sending until the first member had it
    median: Latencies  # … until half of them had it
    last: Latencies  # … until all had it
    cpu_us: float  # the server's CPU time for each delivered message, in microseconds
    counting_us: float  # and that of the members: where it is the larger one, the latency is theirs
    size: int  # bytes of a message
    machine: str = field(default_factory=machine)


async def latency_and_cpu(
    way: str, members=(10, 50, 200, 500), in_flight=(1, 16), *, seconds: float = 0.2, size: int = 120
) -> list[Point]:
    """One way to broadcast, at every size of the room, with one and with sixteen messages in flight. Three to five seconds."""
    return await apart(_latency_and_cpu(way, members, in_flight, seconds, size))


async def _latency_and_cpu(way, members, in_flight, seconds, size) -> list[Point]:
    points = []
    payload = b"x" * size
    async with launch("broadcast", "--way", way) as server, crowd_in(server) as crowd:
        for count in progress(members, way):
            await crowd.grow(count)
            points += [await point(way, server, crowd, flight, seconds, payload) for flight in in_flight]
    return points


async def point(way: str, server, crowd: Crowd, in_flight: int, seconds: float, payload: bytes) -> Point:
    """What so many messages under way cost in the room as it is, after a warm-up."""
    await closed_loop(crowd, in_flight, seconds / 4, payload)
    before, own = (await server.usage())["cpu_ns"], time.thread_time_ns()
    await closed_loop(crowd, in_flight, seconds, payload)
    own = time.thread_time_ns() - own
    return _point(way, crowd, in_flight, (await server.usage())["cpu_ns"] - before, own, len(payload))


async def closed_loop(crowd: Crowd, in_flight: int, seconds: float, payload: bytes) -> None:
    """Keep so many messages under way for so long, and wait for the last of them. Raises `TimeoutError`."""
    crowd.begin(payload)
    end = now_ns() + seconds * 1e9
    async with asyncio.timeout(LIMIT_S):
        while now_ns() < end or len(crowd.sent) < max(LEAST, 2 * in_flight):
            crowd.send(in_flight - len(crowd.sent) + crowd.finished)
            await crowd.next_finished()
        while crowd.finished < len(crowd.sent):
            await crowd.next_finished()


def _point(way, crowd, in_flight, cpu_ns, own_ns, size) -> Point:
    count, arrivals = len(crowd.members), [(sent, crowd.times[number]) for number, sent in enumerate(crowd.sent)]
    places = {"first": 0, "median": (count - 1) // 2, "last": count - 1}
    delays = {
        name: Latencies(tuple((times[place] - sent) / 1e6 for sent, times in arrivals))
        for name, place in places.items()
    }
    each = 1000 * count * len(crowd.sent)
    return Point(way, count, in_flight, **delays, cpu_us=cpu_ns / each, counting_us=own_ns / each, size=size)
