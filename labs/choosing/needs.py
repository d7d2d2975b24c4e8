"""What a product needs, what a transport costs, and the formulas that lead from one to the other. Pure functions.

Design notes
  * Delays, requests and bytes come from the models of this course; CPU time, memory and idle bytes were measured (`Cost`).
  * With loss the models are those of head-of-line blocking (`labs.models.loss`); a channel that may lose waits for nothing.
"""

import math
from dataclasses import dataclass

from labs import models
from labs.models import loss

REQUESTS = ("http_polling", "long_polling", "sse")  # everything is a request and its answer; upwards it is POST
OFTEN_MS, RARELY_MS = 100, 3_600_000  # between two polls, at least and at most
TIMER_MS = 200  # the shortest time after which TCP sends again without being told (Linux; RFC 6298 §2.4 says 1 s)


@dataclass(frozen=True)
class Needs:
    """What a product needs of its connection to one client."""

    clients: int  # connected at once
    events_per_s: float  # that each of them hears
    max_delay_ms: float  # 99 of 100 events have to arrive within this
    rtt_ms: float = 40.0
    event_bytes: int = 120  # one event as JSON
    up_per_s: float = 0.0  # messages that each client sends, in order
    http_only: float = 0.0  # share of the clients who get through with requests and answers alone: no upgrade, no UDP
    buffered: bool = False  # something on the way holds an answer back until it is whole
    plain: bool = False  # clients have HTTP and WebSockets, and nothing more can be installed there
    loss: float = 0.0  # share of the packets that the network loses
    may_lose: bool = False  # an event that comes late is worth nothing, so a lost one need not come again
    peer_to_peer: bool = False  # from client to client, and not through a server
    idle_bytes_per_hour: float = math.inf  # what a client may spend in an hour in which nothing happens


@dataclass(frozen=True)
class Cost:
    """What one transport costs, as measured. CPU times are the server's, in microseconds."""

    transport: str
    delivery_us: float  # for each event, to each reader
    request_us: float  # for each request, where there are any: polling's is empty, long polling's brings one event
    up_us: float  # for each message from a client
    idle_bytes_per_hour: float  # of one client
    idle_kib: float  # of the server's memory for one client
    overhead_bytes: float  # for each event besides the event itself, at 50 a second

    def cpu_us(self, requests_each: float) -> float:
        """The server's CPU time for a delivered event that took so many requests."""
        return self.delivery_us + requests_each * self.request_us


def interval_ms(needs: Needs) -> float:
    """How often polling has to ask: as rarely as the delay allows.

    99 of 100 delays are under one trip back and 0.99 of the interval.
    """
    allowed = (needs.max_delay_ms - needs.rtt_ms / 2) / 0.99
    return min(RARELY_MS, max(OFTEN_MS, needs.rtt_ms, allowed))


def resend_ms(transport: str, needs: Needs) -> float:
    """How much later a lost packet comes: when packets behind it have shown the hole, or else when the sender's timer rings."""
    later = loss.THREE if transport == "webrtc_feed" else loss.RACK
    timer = max(TIMER_MS, 1.5 * needs.rtt_ms)
    if not needs.events_per_s:
        return timer
    return min(timer, loss.repaired_ms(needs.rtt_ms, needs.events_per_s, later) - needs.rtt_ms / 2)


def loss_ms(transport: str, needs: Needs) -> float:
    """What loss adds to the delay that 99 of 100 events keep, where a hole holds back everything behind it.

    An event waits x ms or more if its own packet is lost, or one of those before it that are due within resend - x: for 1 %
    of the events that is a window of n packets with (1 - loss) ** n = 0.99.
    """
    if needs.loss <= 0 or (transport == "webrtc_feed" and needs.may_lose):  # not sent again, and nothing waits for it
        return 0.0
    window = math.log(0.99) / math.log(1 - needs.loss)
    apart = 1000 / needs.events_per_s if needs.events_per_s else math.inf
    return resend_ms(transport, needs) - ((window - 1) * apart if window > 1 else 0.0)


def delay_ms(transport: str, needs: Needs) -> float:
    """Within how many milliseconds 99 of 100 events are there; from one client through a server to another it is two ways."""
    usual = models.delay(transport, needs.events_per_s, needs.rtt_ms, interval_ms(needs)).quantile(0.99)
    detour = needs.rtt_ms / 2 if needs.peer_to_peer and transport != "webrtc_feed" else 0.0
    return usual + detour + max(0.0, loss_ms(transport, needs))


def bytes_per_hour(transport: str, needs: Needs, cost: Cost) -> float:
    """Bytes of one client, both ways: its events, its messages, and what keeps the connection alive."""
    size, rate, every = needs.event_bytes, needs.events_per_s, interval_ms(needs)
    around = models.overhead(transport, size, rate, needs.rtt_ms, every) if rate else 0
    around = cost.overhead_bytes if around is None else around
    up = needs.up_per_s * (size + models.upward(transport, size))
    return 3600 * (rate * (size + around) + up) + (0 if rate and asks(transport) else idle(transport, needs, cost))


def asks(transport: str) -> bool:
    """Whether it asks again and again."""
    return transport in ("http_polling", "long_polling")


def idle(transport: str, needs: Needs, cost: Cost) -> float:
    """Bytes of a client in an hour in which nothing happens. Polling's grow with how often it has to ask."""
    return cost.idle_bytes_per_hour * (1000 / interval_ms(needs) if transport == "http_polling" else 1)


def requests_per_s(transport: str, needs: Needs) -> float:
    """Requests of one client: for its events and, where a message is a POST, for its messages."""
    every = interval_ms(needs)
    if transport == "http_polling":
        down = 1000 / models.polling_interval(every, needs.rtt_ms)
    else:
        down = needs.events_per_s * models.requests_per_event(transport, needs.events_per_s, needs.rtt_ms, every)
    return down + (needs.up_per_s if transport in REQUESTS else 0)
