"""Which transport for which job: for given needs, what every transport would cost, which are out and why, and the cheapest left.

    best = choose(Needs(clients=10_000, events_per_s=2, max_delay_ms=200), costs)

Design notes
  * With loss the models are those of head-of-line blocking (`labs.models.loss`); a channel that may lose waits for nothing.
  * Delays, requests and bytes come from the models of this course; CPU time, memory and idle bytes were measured (`Cost`).
    Nothing is looked up here and nothing is drawn: the same needs and costs give the same answer.
  * The rule: of the transports that fit, the cheapest by the month, at prices that can be changed. But among those that cost
    at most a quarter more than it, or hardly anything more (LITTLE), the simplest: the one with the least to get right, which
    is the first in ORDER.
  * raw_websocket is not judged: on the wire it is the WebSocket, and a product leaves frames to a library.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from labs import models
from labs.charts.look import NAMES
from labs.models import loss

ORDER = ("http_polling", "sse", "long_polling", "websocket", "socketio_feed", "webrtc_feed")
REQUESTS = ("http_polling", "long_polling", "sse")  # everything is a request and its answer; upwards it is POST
NEAR, LITTLE = (
    1.25,
    5.0,
)  # times the cheapest's price; more than it, a month: less than anybody's hour of thinking about it
OFTEN_MS, RARELY_MS = 100, 3_600_000  # between two polls, at least and at most
HOURS = 730  # in a month
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


def against(transport: str, needs: Needs, cost: Cost) -> tuple[str, ...]:
    """Everything that speaks against a transport, in sentences."""
    late, quiet = delay_ms(transport, needs), idle(transport, needs, cost)
    in_order = 1000 / needs.rtt_ms if needs.rtt_ms else math.inf
    reasons = {
        f"1 of 100 events comes later than {shown(late)} ms": late > needs.max_delay_ms,
        f"{needs.http_only:.0%} of the clients cannot open it": needs.http_only > 0
        and transport in ("websocket", "webrtc_feed"),
        "its answer never ends, so what waits for the end holds it back": needs.buffered and transport == "sse",
        "its client's code cannot be installed": needs.plain and transport in ("socketio_feed", "webrtc_feed"),
        "it goes through a server": needs.peer_to_peer and transport != "webrtc_feed",
        f"in order, one POST after the other, there are {shown(in_order)} messages a second": transport in REQUESTS
        and needs.up_per_s > in_order,
        f"an idle hour takes {shown(quiet)} bytes": quiet > needs.idle_bytes_per_hour,
    }
    return tuple(reason for reason, holds in reasons.items() if holds)


def option(transport: str, needs: Needs, costs: Mapping[str, Cost], prices: Prices) -> Option:
    """One transport for these needs: what it would cost, and what speaks against it."""
    if transport == "socketio_feed" and needs.http_only:
        return fallen_back(needs, costs, prices)
    cost, clients = costs[transport], needs.clients
    asked, hour = requests_per_s(transport, needs), bytes_per_hour(transport, needs, cost)
    down = asked - (needs.up_per_s if transport in REQUESTS else 0)
    us = needs.events_per_s * cost.delivery_us + down * cost.request_us + needs.up_per_s * cost.up_us
    served = 0 if needs.peer_to_peer and transport == "webrtc_feed" else clients  # nothing of it passes a server
    cores, memory, traffic = served * us / 1e6, served * cost.idle_kib / 1024, served * hour * HOURS / 1e9
    price = cores * prices.core + memory / 1024 * prices.gb_memory + traffic * prices.gb_traffic
    late = delay_ms(transport, needs)
    return Option(transport, late, hour, clients * asked, cores, memory, price, against(transport, needs, cost))


def fallen_back(needs: Needs, costs: Mapping[str, Cost], prices: Prices) -> Option:
    """Socket.IO where some cannot upgrade: those go on by its own long polling, which is taken to cost what long polling does."""
    some = needs.http_only
    upgraded = option("socketio_feed", replace(needs, http_only=0.0), costs, prices)
    polling = option("long_polling", needs, costs, prices)
    mixed = {
        name: (1 - some) * getattr(upgraded, name) + some * getattr(polling, name)
        for name in ("bytes_per_hour", "requests_per_s", "cores", "price")
    }
    late = polling.delay_ms if some > 0.01 else upgraded.delay_ms
    reasons = dict.fromkeys((*upgraded.excluded, *(polling.excluded if some > 0.01 else ())))
    return replace(upgraded, delay_ms=late, excluded=tuple(reasons), **mixed)


def options(needs: Needs, costs: Mapping[str, Cost], prices: Prices = Prices()) -> list[Option]:
    """Every transport whose costs are known, in ORDER."""
    return [option(name, needs, costs, prices) for name in ORDER if name in costs]


def choose(needs: Needs, costs: Mapping[str, Cost], prices: Prices = Prices()) -> Option | None:
    """The simplest of those that fit and cost hardly more than the cheapest of them; None if none fits."""
    left = [one for one in options(needs, costs, prices) if one.fits]
    least = min((one.price for one in left), default=0.0)
    return next((one for one in left if near(one.price, least)), None)


def near(price: float, least: float) -> bool:
    """Whether the difference is too small to choose by it."""
    return price <= max(NEAR * least, least + LITTLE)


def rows(needs: Needs, costs: Mapping[str, Cost], prices: Prices = Prices()) -> list[list[str]]:
    """The decision table: a head, and a row for each transport with a verdict."""
    best = choose(needs, costs, prices)
    head = ["", "99 % within, ms", "kB/h a client", "requests/s", "cores", "memory, MB", "a month", "verdict"]
    table = [head]
    for one in options(needs, costs, prices):
        kb = one.bytes_per_hour / 1000
        values = (one.delay_ms, kb, one.requests_per_s, one.cores, one.memory_mb, one.price)
        table.append([NAMES[one.transport], *map(shown, values), verdict(one, best)])
    return table


def verdict(one: Option, best: Option | None) -> str:
    """Whether it is chosen, and why not."""
    if not one.fits:
        return "; ".join(one.excluded)
    if one.transport == best.transport:
        return "chosen"
    if one.price <= best.price:
        return "cheaper, but hardly, and not as simple"
    return "not as simple" if near(one.price, best.price) else f"{shown(one.price / best.price)} × the price"


def shown(value: float) -> str:
    """A number for a reader: two digits below ten, whole above."""
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.2g}" if value >= 0.005 else "0" if value == 0 else "<0.01"


def text(needs: Needs, costs: Mapping[str, Cost], prices: Prices = Prices()) -> str:
    """The decision table for a terminal."""
    found = rows(needs, costs, prices)
    widths = [max(map(len, column)) for column in zip(*found, strict=True)]
    aligned = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:-1], widths[1:-1]), row[-1]] for row in found)
    return "\n".join("  ".join(row).rstrip() for row in aligned)
