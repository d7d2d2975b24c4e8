"""Which transport for which job: for given needs, what every transport would cost, which are out and why, and the cheapest left.

    best = choose(Needs(clients=10_000, events_per_s=2, max_delay_ms=200), costs)

Design notes
  * Nothing is looked up here and nothing is measured: the same needs, costs and prices give the same answer.
  * The rule: of the transports that fit, the cheapest by the month, at prices that can be changed. But among those that cost
    at most a quarter more than it, or hardly anything more (LITTLE), the simplest: the one with the least to get right, which
    is the first in ORDER.
  * raw_websocket is not judged: on the wire it is the WebSocket, and a product leaves frames to a library.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from labs.charts.look import NAMES
from labs.choosing.needs import REQUESTS, Cost, Needs, bytes_per_hour, delay_ms, idle, requests_per_s

ORDER = ("http_polling", "sse", "long_polling", "websocket", "socketio_feed", "webrtc_feed")
NEAR = 1.25  # times the price of the cheapest: as good as the same
LITTLE = 5.0  # more than it, a month: less than an hour of thinking about it costs
HOURS = 730  # in a month


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
