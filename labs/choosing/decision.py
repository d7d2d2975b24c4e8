"""Which transport for which job: for given needs, what every transport would cost, which are out and why, and the cheapest left.

    best = choose(Needs(clients=10_000, events_per_s=2, max_delay_ms=200), costs)

Design notes
  * Delays, requests and bytes come from the models of this course; CPU time, memory and idle bytes were measured (`Cost`).
    Nothing is looked up here and nothing is drawn: the same needs and costs give the same answer.
  * The rule: of the transports that fit, the cheapest by the month, at prices that can be changed. But among those that cost
    at most a quarter more than it, the simplest: the one with the least to get right, which is the first in ORDER.
  * raw_websocket is not judged: on the wire it is the WebSocket, and a product leaves frames to a library.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from labs import models
from labs.charts.look import NAMES, number

ORDER = ("http_polling", "sse", "long_polling", "websocket", "socketio_feed", "webrtc_feed")
REQUESTS = ("http_polling", "long_polling", "sse")  # everything is a request and its answer; upwards it is POST
NEAR = 1.25
ANSWER_LIMIT_S = 1.0  # polling may ask as rarely as the delay allows, and no more often than ten times a second
HOURS = 730  # in a month
RTO_MS = 200  # the shortest time after which TCP sends again without being told (Linux; RFC 6298 says 1 s)


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


@dataclass(frozen=True)
class Prices:
    """What a month costs; round numbers, of the size that hosting companies ask in 2026. Put in your own."""

    core: float = 20.0
    gb_memory: float = 3.0
    gb_traffic: float = 0.05


@dataclass(frozen=True)
class Option:
    """One transport for given needs."""

    transport: str
    delay_ms: float  # 99 of 100 events are there within this
    bytes_per_hour: float  # of one client, both ways
    requests_per_s: float  # of all clients, at the server
    cores: float
    memory_mb: float
    price: float  # a month
    excluded: tuple[str, ...] = ()  # why it does not do

    @property
    def fits(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.excluded


def interval_ms(needs: Needs) -> float:
    """How often polling has to ask: as rarely as the delay allows, between once a second and ten times a second.

    99 of 100 delays are under one trip back and 0.99 of the interval.
    """
    return min(1000.0, max(100.0, needs.rtt_ms, (needs.max_delay_ms - needs.rtt_ms / 2) / 0.99))


def late_share(needs: Needs) -> float:
    """The share of events that wait for a packet that was lost, their own or one before it, where everything stays in order."""
    waits = resend_ms(needs)
    return 1 - (1 - needs.loss) ** (1 + needs.events_per_s * waits / 1000)


def resend_ms(needs: Needs) -> float:
    """How much later a lost packet comes: TCP's timer, or sooner if three more arrive and show the hole (RFC 5681 §3.2)."""
    timer = max(RTO_MS, 1.5 * needs.rtt_ms)
    shown = needs.rtt_ms + 3000 / needs.events_per_s if needs.events_per_s else math.inf
    return min(timer, shown)


def delay_ms(transport: str, needs: Needs) -> float:
    """Within how many milliseconds 99 of 100 events are there."""
    usual = models.delay(transport, needs.events_per_s, needs.rtt_ms, interval_ms(needs)).quantile(0.99)
    through_server = 1 if needs.peer_to_peer and transport != "webrtc_feed" else 0
    usual += through_server * needs.rtt_ms / 2
    dropped = transport == "webrtc_feed" and needs.may_lose  # what is lost is not sent again, and nothing waits for it
    return usual if dropped or late_share(needs) <= 0.01 else usual + resend_ms(needs)


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


def against(transport: str, needs: Needs, cost: Cost) -> tuple[str, ...]:
    """Everything that speaks against a transport, in sentences."""
    late, quiet = delay_ms(transport, needs), idle(transport, needs, cost)
    in_order = 1000 / needs.rtt_ms if needs.rtt_ms else math.inf
    reasons = {
        f"1 of 100 events comes later than {number(round(late))} ms": late > needs.max_delay_ms,
        f"{needs.http_only:.0%} of the clients cannot open it": needs.http_only > 0
        and transport in ("websocket", "webrtc_feed"),
        "its answer never ends, so what waits for the end holds it back": needs.buffered and transport == "sse",
        "its client's code cannot be installed": needs.plain and transport in ("socketio_feed", "webrtc_feed"),
        "it goes through a server": needs.peer_to_peer and transport != "webrtc_feed",
        f"in order, one POST after the other, there are {number(round(in_order))} messages a second": transport
        in REQUESTS
        and needs.up_per_s > in_order,
        f"an idle hour takes {number(round(quiet))} bytes": quiet > needs.idle_bytes_per_hour,
    }
    return tuple(reason for reason, holds in reasons.items() if holds)


def option(transport: str, needs: Needs, cost: Cost, prices: Prices) -> Option:
    """One transport for these needs: what it would cost, and what speaks against it."""
    asked, all_ = requests_per_s(transport, needs), needs.clients
    down = asked - (needs.up_per_s if transport in REQUESTS else 0)
    us = needs.events_per_s * cost.delivery_us + down * cost.request_us + needs.up_per_s * cost.up_us
    direct = needs.peer_to_peer and transport == "webrtc_feed"  # nothing of it passes the server
    cores = 0.0 if direct else all_ * us / 1e6
    memory = 0.0 if direct else all_ * cost.idle_kib / 1024
    hour = bytes_per_hour(transport, needs, cost)
    gigabytes = 0.0 if direct else all_ * hour * HOURS / 1e9
    price = cores * prices.core + memory / 1024 * prices.gb_memory + gigabytes * prices.gb_traffic
    late = delay_ms(transport, needs)
    return Option(transport, late, hour, all_ * asked, cores, memory, price, against(transport, needs, cost))


def options(needs: Needs, costs: Mapping[str, Cost], prices: Prices = Prices()) -> list[Option]:
    """Every transport whose costs are known, in ORDER."""
    return [option(name, needs, costs[name], prices) for name in ORDER if name in costs]


def choose(needs: Needs, costs: Mapping[str, Cost], prices: Prices = Prices()) -> Option | None:
    """The simplest among the cheapest of those that fit; None if none does."""
    left = [one for one in options(needs, costs, prices) if one.fits]
    least = min((one.price for one in left), default=0.0)
    return next((one for one in left if one.price <= NEAR * least), None)


def rows(needs: Needs, costs: Mapping[str, Cost], prices: Prices = Prices()) -> list[list[str]]:
    """The decision table: a head, and a row for each transport with a verdict."""
    best = choose(needs, costs, prices)
    head = ["", "99 % within, ms", "kB/h a client", "requests/s", "cores", "memory, MB", "a month", "verdict"]
    return [head] + [
        [
            NAMES.get(one.transport, one.transport),
            *(number(round(x, 2) if x < 10 else round(x)) for x in (one.delay_ms, one.bytes_per_hour / 1000)),
            *(number(round(x, 2) if x < 10 else round(x)) for x in (one.requests_per_s, one.cores, one.memory_mb, one.price)),
            "chosen" if best and one.transport == best.transport else "; ".join(one.excluded) or verdict(one, best),
        ]
        for one in options(needs, costs, prices)
    ]  # fmt: skip


def verdict(one: Option, best: Option) -> str:
    """Why one that fits is not chosen."""
    return (
        "not simpler" if one.price <= NEAR * best.price else f"{number(round(one.price / best.price, 1))} × the price"
    )


def text(needs: Needs, costs: Mapping[str, Cost], prices: Prices = Prices()) -> str:
    """The decision table for a terminal."""
    found = rows(needs, costs, prices)
    widths = [max(map(len, column)) for column in zip(*found, strict=True)]
    aligned = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:-1], widths[1:-1]), row[-1]] for row in found)
    return "\n".join("  ".join(row).rstrip() for row in aligned)
