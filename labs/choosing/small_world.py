"""A world with exact figures, in virtual time, in which a benchmark can be wrong to the last digit."""

import asyncio
from collections import deque

ANSWER_MS = 5.0  # what the service needs for an answer
PAUSE_MS = (20_000.0, 26_000.0)  # … except that it stands still once
TRAVEL_MS = 30.0  # from one machine to another
AHEAD_MS = 20.0  # the server's clock, against the phone's
SEND_MS, CARRY_MS = 0.02, 1.0  # what it takes to put a message into the connection's buffer, and to carry it


def now_ms() -> float:
    """Milliseconds of the event loop's clock."""
    return asyncio.get_running_loop().time() * 1000


async def sleep_ms(milliseconds: float) -> None:
    """Wait; not at all if the time is up already."""
    await asyncio.sleep(milliseconds / 1000)


async def travel() -> None:
    """What a message does between two machines."""
    await sleep_ms(TRAVEL_MS)


class Machine:
    """A computer: a clock, which need not agree with others, and a processor, which does one thing after another."""

    def __init__(self, ahead_ms: float = 0.0):
        self.ahead_ms, self._processor = ahead_ms, asyncio.Lock()

    def clock_ms(self) -> float:
        """What its clock says, in milliseconds."""
        return now_ms() + self.ahead_ms

    async def work(self, milliseconds: float) -> None:
        """Use the processor for so long, when it is free."""
        async with self._processor:
            await sleep_ms(milliseconds)


def phone_and_server() -> tuple[Machine, Machine]:
    """Two machines. Nobody knows how far apart their clocks are."""
    return Machine(), Machine(AHEAD_MS)


class Service:
    """Answers any number of questions at a time. Once it stands still, as a server does that collects its garbage."""

    def __init__(self):
        self._start = now_ms()

    async def ask(self) -> None:
        """Returns when the answer is there."""
        begin, end = (self._start + at for at in PAUSE_MS)
        if begin - 1e-6 <= now_ms() < end:
            await sleep_ms(end - now_ms())
        await sleep_ms(ANSWER_MS)


class Line:
    """A connection. What is sent waits in its buffer, and is carried to the other end, message by message."""

    def __init__(self):
        self._arrivals, self._free_ms = deque(), 0.0

    async def send(self, message) -> None:
        """Put a message into the buffer; returns as soon as it is there."""
        await sleep_ms(SEND_MS)
        self._free_ms = max(now_ms(), self._free_ms) + CARRY_MS
        self._arrivals.append((self._free_ms + TRAVEL_MS, message))

    async def receive(self):
        """At the other end: the next message, when it has arrived."""
        at, message = self._arrivals.popleft()
        await sleep_ms(at - now_ms())
        return message
