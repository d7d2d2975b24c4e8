"""One member stops reading. What happens to the others, what piles up in the server, and what becomes of the one?"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from labs.clock import now_ns
from labs.fanout.crowd import Crowd, apart, crowd_in, machine
from labs.launch import launch
from labs.measure import Latencies, progress, sleep_until

SETTLE_S = 0.5  # without any news after the last message; then nothing will come any more
CATCH_UP_S = 5.0  # for everybody, once the one reads again
WATCH_S = 0.1  # between two questions to the server


@dataclass(frozen=True)
class Moment:
    """The server at one moment: seconds from the start, bytes that wait for the slowest member, tasks, bytes of memory."""

    at: float
    held: int
    tasks: int
    memory: int


@dataclass(frozen=True)
class Stalled:
    """A room of healthy members, and one more who may have stopped reading."""

    way: str
    stall: bool
    latency: Latencies  # of the healthy ones, all deliveries; what was missing at the end counts as just arriving then
    expected: int  # deliveries to the healthy
    missing: int  # … of which so many had not come when the time was up, with the one member still not reading
    lost: int  # … and so many never, not even after it had begun to read again
    server: list[Moment]  # in the course of time
    closed: int | None  # the close code that the one member found when it read again; None if it is still a member
    unread: int  # messages that it never got
    healthy: int
    per_second: float
    size: int
    seconds: float
    machine: str = field(default_factory=machine)

    @property
    def held(self) -> int:
        """The most bytes that ever waited in the server for one member."""
        return max(moment.held for moment in self.server)

    @property
    def grown(self) -> int:
        """The bytes of memory by which the server grew; besides those that it holds, what it needs to hold them."""
        return self.server[-1].memory - self.server[0].memory

    @property
    def in_system(self) -> float:
        """The bytes sent to the one that neither it has read nor the server holds. Where nothing was read and nothing let go,

        they wait in the system's buffers, the server's and its own.
        """
        return self.per_second * self.seconds * (self.size + 4) - self.held


async def stalled(
    way: str, *, stall: bool = True, healthy: int = 20, per_second: float = 500, size: int = 1024, seconds: float = 2.0
) -> Stalled:
    """So many healthy members and one more, who with `stall` stops reading at once. About a second more than `seconds`."""
    return await apart(_stalled(way, stall, healthy, per_second, size, seconds))


async def _stalled(way, stall, healthy, per_second, size, seconds) -> Stalled:
    async with launch("broadcast", "--way", way) as server, crowd_in(server) as crowd, crowd_in(server) as aside:
        await crowd.grow(healthy)
        await aside.grow(1)
        one = aside.members[0]
        if stall:
            one.transport.pause_reading()
        crowd.begin(b"x" * size)
        start = now_ns()
        due = [start + round(1e9 * number / per_second) for number in range(round(seconds * per_second))]
        told = await told_during(server, open_loop(crowd, due, way))
        latency, missing = so_far(crowd)
        one.transport.resume_reading()
        await until_true(
            lambda: crowd.finished == len(due) and (one.count == len(due) or one.closed is not None), CATCH_UP_S
        )
        lost = so_far(crowd)[1]
        return Stalled(
            way, stall, latency, len(due) * healthy, missing, lost, told, one.closed, len(due) - one.count,
            healthy, per_second, size, seconds,
        )  # fmt: skip


async def open_loop(crowd: Crowd, due: list[int], what: str) -> None:
    """Send each message when it is due, whatever has become of those before it, and wait for the last as long as any come."""
    for moment in progress(due, what):
        await sleep_until(moment)
        crowd.send(due=moment)
    with suppress(TimeoutError):
        while crowd.finished < len(due):
            async with asyncio.timeout(SETTLE_S):
                await crowd.next_finished()


async def told_during(server, work: Coroutine) -> list[Moment]:
    """Do something, and ask the server in the meantime what it holds."""
    told, start, working, done = [], now_ns(), asyncio.create_task(work), False
    try:
        while not done:  # and once more in the end
            done = working.done()
            usage = await server.usage()
            memory = psutil.Process(usage["pid"]).memory_info().rss
            told.append(Moment((now_ns() - start) / 1e9, usage["held"], usage["tasks"], memory))
            await asyncio.wait([working], timeout=WATCH_S)
        await working  # raises what it raised
        return told
    finally:
        working.cancel()


def so_far(crowd: Crowd) -> tuple[Latencies, int]:
    """How late each delivery was, and how many have not come yet; those count as if they came now."""
    now, arrivals = now_ns(), [(due, crowd.times[number]) for number, due in enumerate(crowd.sent)]
    late = [(when - due) / 1e6 for due, times in arrivals for when in times]
    missing = [(now - due) / 1e6 for due, times in arrivals for _ in range(len(crowd.members) - len(times))]
    return Latencies(tuple(late + missing)), len(missing)


async def until_true(holds: Callable[[], bool], within_s: float) -> None:
    """Look every few milliseconds whether something holds, for so long at most."""
    end = now_ns() + within_s * 1e9
    while not holds() and now_ns() < end:
        await asyncio.sleep(0.005)
