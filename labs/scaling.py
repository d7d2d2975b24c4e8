"""What more servers cost: one room over one, two and four servers on one Redis, and the CPU time of each process.

    for point in await scaling.run():       # a small room and a large one
        print(point.servers, point.members, point.delivery_us, point.redis_us)

Design notes
  * A server has to hear every message of a room in which it has a member, whatever their number; then it writes it to each of
    them. So a server more costs its price once for each message: much in a small room, little in a large one.
  * Members are dealt out in turn, as `labs.balancer` does it, and take turns in speaking, so all servers have the same to do.
    They are those of `labs.fanout`, who only count, in a thread of their own, and connect directly: a relay would cost more
    than what is measured.
  * All of them have one name. Names are what presence counts, so nobody is told of anybody, and messages are all that there is.
  * The processes share the machine's cores. What is compared is CPU time, each process' own, and not how long it all took; and
    of several rounds the cheapest, because whatever else runs on the machine only adds to it.
"""

import asyncio
import itertools
from collections.abc import Iterable
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field

from labs.bus.redis_process import RedisServer, redis
from labs.clock import now_ns
from labs.fanout.crowd import KEY, LIMIT_S, apart, machine
from labs.fanout.lobby import TEXT, Lobby
from labs.frames import Opcode, encode
from labs.launch import Server, launch
from labs.measure import progress, sleep_until

SAY = encode(Opcode.TEXT, TEXT % (b"x" * 60), key=KEY)


@dataclass(frozen=True)
class Point:
    """One room over so many servers. CPU times are for each message, in microseconds."""

    servers: int
    members: int
    per_second: float
    server_us: tuple[float, ...]  # of each server
    redis_us: float
    messages: int  # of a round
    rounds: int  # … of which the cheapest counts, for each process
    machine: str = field(default_factory=machine)

    @property
    def servers_us(self) -> float:
        """All servers together."""
        return sum(self.server_us)

    @property
    def delivery_us(self) -> float:
        """All servers together for each delivered message: one message is delivered to every member."""
        return self.servers_us / self.members


class Listeners(Lobby):
    """Members who are in the room, each on the next server, and take turns in speaking."""

    def arrived(self, before: int, after: int, now: int) -> None:
        """Each of them has its own count."""

    async def talk(self, messages: int, per_second: float) -> None:
        """Say so many messages at an even rate, and wait until everybody has all of them. Raises `TimeoutError`."""
        self.begin(b"")
        due = itertools.count(now_ns(), round(1e9 / per_second))
        for member in itertools.islice(itertools.cycle(self.members), messages):
            await sleep_until(next(due))
            member.transport.write(SAY)
        async with asyncio.timeout(LIMIT_S):
            while any(member.count < messages for member in self.members):
                await asyncio.sleep(0.005)


async def run(
    servers: Iterable[int] = (1, 2, 4), rooms=((8, 1500), (500, 50)), *, seconds: float = 0.1, rounds: int = 7
) -> list[Point]:
    """Rooms of (members, messages a second) over each number of servers, in ascending order. Ten seconds or so.

    `seconds` is the length of a round. Raises `RedisError`.
    """
    return await apart(_run(sorted(servers), rooms, seconds, rounds))


async def _run(numbers, rooms, seconds, rounds) -> list[Point]:
    points, fleet = [], []
    async with redis(ours=True) as store, AsyncExitStack() as stack:
        for number in progress(numbers, "servers"):
            more = [launch("redis_fanout", "--redis", store.url, "--rate", "0") for _ in range(number - len(fleet))]
            fleet += await asyncio.gather(*(stack.enter_async_context(server) for server in more))
            points += [await _measured(store, fleet, *room, seconds, rounds) for room in rooms]
    return points


async def _measured(store: RedisServer, fleet: list[Server], members, per_second, seconds, rounds) -> Point:
    messages, spent = round(per_second * seconds), []
    with closing(Listeners(*(server.origin for server in fleet))) as crowd:
        await crowd.grow(members)
        await crowd.talk(messages, per_second)  # warm-up
        for _ in range(rounds):
            before = await usage(store, fleet)
            await crowd.talk(messages, per_second)
            after = await usage(store, fleet)
            spent.append([(then - now) / 1000 / messages for then, now in zip(after, before, strict=True)])
    *each, of_redis = (min(column) for column in zip(*spent, strict=True))
    return Point(len(fleet), members, per_second, tuple(each), of_redis, messages, rounds)


async def usage(store: RedisServer, fleet: list[Server]) -> list[int]:
    """CPU time so far, of each server and of Redis, in nanoseconds."""
    return [*[(await server.usage())["cpu_ns"] for server in fleet], await store.cpu_ns()]
