"""What measuring leaves behind: plain data that charts, claims and tables are computed from."""

import math
import os
import platform
import statistics
from dataclasses import dataclass, field

import aiohttp


def machine() -> str:
    """What the measurement ran on, in a few words that name no one."""
    cores = os.cpu_count()
    return f"{platform.system()}, {cores} cores, Python {platform.python_version()}, aiohttp {aiohttp.__version__}"


@dataclass(frozen=True)
class Latencies:
    """Delays in milliseconds, in the order of the messages, and the statistics that the course uses."""

    ms: tuple[float, ...]

    @property
    def n(self) -> int:
        """How many messages arrived."""
        return len(self.ms)

    @property
    def mean(self) -> float:
        """The average."""
        return statistics.fmean(self.ms)

    @property
    def max(self) -> float:
        """The latest."""
        return max(self.ms)

    def percentile(self, p: float) -> float:
        """The smallest delay that at least p percent of the messages do not exceed (nearest rank)."""
        return sorted(self.ms)[max(1, math.ceil(round(p * self.n / 100, 9))) - 1]


@dataclass(frozen=True)
class Run:
    """One reader's share of one experiment."""

    reader: str  # the transport
    latency: Latencies  # from the time a message was due to the time the reader had it
    expected: int  # how many messages were published
    bytes: dict[str, int]  # what crossed this reader's link, by part of the ledger
    requests: int
    empty: int  # answers without an event
    seconds: float
    rtt_ms: float
    per_second: float
    settings: dict = field(default_factory=dict)  # of the reader, e.g. every_ms
    late_share: float = 0.0  # of the messages: published before the request that fetched them had reached the server
    simulated: bool = False
    machine: str = field(default_factory=machine)

    @property
    def lost(self) -> int:
        """Messages that never arrived."""
        return self.expected - self.latency.n

    @property
    def requests_per_second(self) -> float:
        """Requests of this reader, over the whole experiment."""
        return self.requests / self.seconds

    @property
    def caption(self) -> str:
        """What was run, for the line under a chart."""
        where = "simulated in virtual time" if self.simulated else self.machine
        return f"{self.latency.n} messages, {self.per_second:g} a second, round trip {self.rtt_ms:g} ms; {where}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: when it was due, when it was sent, when its answer was there. Milliseconds from the start."""

    due: float
    sent: float
    received: float
