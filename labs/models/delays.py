"""How long each transport should take, in milliseconds."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Uniform:
    """A delay that is equally likely to be anything from `low` to `high` milliseconds."""

    low: float
    high: float
    name: str = "model"

    @property
    def mean(self) -> float:
        """The average delay."""
        return (self.low + self.high) / 2

    def cdf(self, delay_ms: float) -> float:
        """The share of messages that take at most `delay_ms`."""
        return min(1.0, max(0.0, (delay_ms - self.low) / (self.high - self.low)))

    def quantile(self, share: float) -> float:
        """The delay that `share` of the messages do not exceed."""
        return self.low + share * (self.high - self.low)


def polling_interval(every_ms: float, rtt_ms: float = 0.0) -> float:
    """The interval that is really kept: requests must not overlap, so a round trip longer than a tick costs whole ticks."""
    return every_ms * max(1, math.ceil(rtt_ms / every_ms))


def polling(every_ms: float, rtt_ms: float = 0.0) -> Uniform:
    """Polling's delay from publication to arrival: a wait of up to one interval for the next question, then one trip back."""
    one_way = rtt_ms / 2
    return Uniform(one_way, one_way + polling_interval(every_ms, rtt_ms), "model: uniform over one interval")


def polling_requests_per_s(every_ms: float, rtt_ms: float = 0.0) -> float:
    """What polling costs, whether or not anything happens: requests per second."""
    return 1000 / polling_interval(every_ms, rtt_ms)


@dataclass(frozen=True, slots=True)
class Parked:
    """Long polling: one way for most, and up to a round trip more for the share that falls between two requests."""

    one_way: float
    gap: float  # milliseconds from one answer leaving the server to the next request reaching it
    share: float  # of the messages that are published in a gap
    name: str = "model: one way, or in the gap up to a round trip more"

    @property
    def low(self) -> float:
        """The shortest delay."""
        return self.one_way

    @property
    def high(self) -> float:
        """The longest delay."""
        return self.one_way + self.gap

    @property
    def mean(self) -> float:
        """The average delay."""
        return self.one_way + self.share * self.gap / 2

    def cdf(self, delay_ms: float) -> float:
        """The share of messages that take at most `delay_ms`."""
        if delay_ms < self.one_way:
            return 0.0
        late = min(1.0, (delay_ms - self.one_way) / self.gap) if self.gap else 1.0
        return 1 - self.share + self.share * late

    def quantile(self, share: float) -> float:
        """The delay that `share` of the messages do not exceed."""
        return self.one_way + self.gap * max(0.0, share - 1 + self.share) / self.share if self.share else self.one_way


def gap_share(per_second: float, rtt_ms: float) -> float:
    """The share of messages that find no request parked, when messages come at random moments (a Poisson process).

    Every answer opens a gap of one round trip. In it r = rate × RTT messages come on average, and they all wait. With
    probability exp(-r) none comes; then the next message finds the request parked, and its answer opens the next gap. So
    for each gap r messages wait and exp(-r) do not.
    """
    r = per_second * rtt_ms / 1000
    return r / (r + math.exp(-r))


def long_polling(rtt_ms: float, per_second: float) -> Parked:
    """Long polling's delay from publication to arrival, for messages at random moments."""
    return Parked(rtt_ms / 2, rtt_ms, gap_share(per_second, rtt_ms))


def pushed(rtt_ms: float) -> Parked:
    """The delay of everything that is pushed down an open connection: one way, always."""
    return Parked(rtt_ms / 2, 0.0, 0.0, "model: one way")


@dataclass(frozen=True, slots=True)
class Stall:
    """A server that pauses once for `pause_ms`, asked `per_s` times a second for `total_ms`: what each way to measure sees."""

    pause_ms: float
    total_ms: float
    per_s: float

    @property
    def open_mean(self) -> float:
        """Requests fall due during the pause too, and wait on average half of it."""
        return self.pause_ms**2 / (2 * self.total_ms)

    @property
    def closed_mean(self) -> float:
        """One request waits out the whole pause; the loop sends no others until it is back."""
        sent = (self.total_ms - self.pause_ms) * self.per_s / 1000
        return self.pause_ms / sent

    def open_quantile(self, share: float) -> float:
        """Of all requests, the share pause/total waits, evenly, up to the whole pause."""
        return max(0.0, self.pause_ms - (1 - share) * self.total_ms)


def connect_times(rtt_ms: float) -> dict[str, float]:
    """How long it takes until an answer is there, or a socket open: TCP's handshake is one round trip, each question one."""
    sockets = dict.fromkeys(("WebSocket, until open", "raw WebSocket, until open"), 2 * rtt_ms)
    return {"HTTP, new connection": 2 * rtt_ms, "HTTP, kept connection": rtt_ms} | sockets


def echo_times(rtt_ms: float) -> dict[str, float]:
    """How long it takes until a message that was sent has been answered, on a connection that is open already."""
    return dict.fromkeys(("POST, kept connection", "WebSocket, echo", "raw WebSocket, echo"), rtt_ms)
