"""One workload, every transport: the same events at three rates to readers at two distances, and what it costs.

    servers = await grand.fleet()                   # every transport that is installed here, each a process of its own
    cells = [cell for rate in grand.RATES for cell in await grand.at(servers, rate)]
    await grand.stop(servers)

Design notes
  * Events are published through the servers' standard inputs. A POST for each would cost the machine more than delivering
    it does, and at 200 a second to three servers at once it was the publisher that fell behind.
  * One server serves the readers at all distances in one run, so that they are told of the very same events.
  * Half a second of events falls between two polls, and how late they are is decided by where. So polling has several readers,
    who ask at different moments, and theirs are taken together.
  * At 50 a second a machine has room for all transports side by side. At 1,000 a second each runs alone.
  * What no rate changes is measured once, with more readers: `labs.choosing.costs`.
"""

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass, replace

from labs import clients, measure, models
from labs.choosing.optional import have
from labs.clock import now_ns
from labs.feed import Event
from labs.launch import Server, launch
from labs.measure import Latencies, Reader, Run
from labs.measure.pacing import poisson, sleep_until

TRANSPORTS = ("http_polling", "long_polling", "sse", "raw_websocket", "websocket", "socketio_feed", "webrtc_feed")
PACKAGES = {"socketio_feed": "socketio", "webrtc_feed": "aiortc"}  # what is not installed with the course
RATES, RTTS = (50, 200, 1000), (0.0, 40.0)
EVERY_MS, PHASES = 1000, 5  # polling: how often, and how many readers, each at another moment of the interval
SETTLE_S = 0.2  # for the last events to be delivered
TOGETHER = {50: 7, 200: 3}  # how many transports run side by side at a rate; at any other, one


@dataclass(frozen=True)
class Cell:
    """One transport at one rate and one distance."""

    run: Run

    @property
    def transport(self) -> str:
        """The server's name."""
        return self.run.reader

    @property
    def bytes_each(self) -> float:
        """Bytes both ways for each event that arrived."""
        return sum(self.run.bytes.values()) / max(1, self.run.latency.n)

    @property
    def requests_each(self) -> float:
        """Requests for each event that arrived."""
        return self.run.requests / max(1, self.run.latency.n)

    @property
    def model(self):
        """The model of its delay."""
        return models.delay(self.transport, self.run.per_second, self.run.rtt_ms, EVERY_MS)

    @property
    def model_bytes(self) -> float | None:
        """The model of `bytes_each`: the payload that was counted, and what the transport should add."""
        size = self.run.bytes.get("payload", 0) / max(1, self.run.latency.n) - models.wrapping(self.transport)
        added = models.overhead(self.transport, round(size), self.run.per_second, self.run.rtt_ms, EVERY_MS)
        return None if added is None else size + added


def missing(transport: str) -> str | None:
    """The package that this transport needs and that is not installed here."""
    package = PACKAGES.get(transport)
    return package if package and not have(package) else None


def installed(names: Iterable[str] = TRANSPORTS) -> list[str]:
    """The transports that can be measured here."""
    return [name for name in names if not missing(name)]


def fed_by_lines(name: str):
    """Launch a server that publishes the lines of its standard input."""
    return launch(name, "--stdin")


async def fleet(names: Iterable[str] | None = None, launch=fed_by_lines) -> dict[str, Server]:
    """Start one server of each transport, all at once. Raises `LaunchError`; then none is left running."""
    names = installed() if names is None else list(names)
    started = await asyncio.gather(*(launch(name).__aenter__() for name in names), return_exceptions=True)
    servers = {name: one for name, one in zip(names, started, strict=True) if not isinstance(one, BaseException)}
    if failed := [one for one in started if isinstance(one, BaseException)]:
        await stop(servers)
        raise failed[0]
    return servers


async def stop(servers: dict[str, Server]) -> None:
    """Stop them all."""
    await asyncio.gather(*(server.stop() for server in servers.values()))


def readers(transport: str, rtt_ms: float) -> list[Reader]:
    """Who follows from this distance: one reader, or, where the moment of the question decides, several with as many moments."""
    if transport != "http_polling":
        return [reader(transport, rtt_ms)]

    def later(start_s: float) -> Reader:
        async def follow(url: str, **settings):
            await asyncio.sleep(start_s)
            async with aclosing(clients.polling(url, every=EVERY_MS / 1000, **settings)) as events:
                async for event in events:
                    yield event

        return Reader(transport, follow, rtt_ms, {"every_ms": EVERY_MS}, opens_s=start_s)

    return [later(EVERY_MS / 1000 * place / PHASES) for place in range(PHASES)]


def pooled(runs: list[Run]) -> Run:
    """The runs of several readers at one distance as one."""
    delays = tuple(ms for run in runs for ms in run.latency.ms)
    total = {part: sum(run.bytes[part] for run in runs) for part in runs[0].bytes}
    sums = {name: sum(getattr(run, name) for run in runs) for name in ("expected", "requests", "empty")}
    return replace(runs[0], latency=Latencies(delays), bytes=total, **sums)


def reader(transport: str, rtt_ms: float) -> Reader:
    """Who follows this transport from a round trip of `rtt_ms` away."""
    if transport == "socketio_feed":
        from labs.choosing import socketio_client

        return Reader(transport, socketio_client.follow, rtt_ms, opens_s=0.1 + 4 * rtt_ms / 1000)
    if transport == "webrtc_feed":
        from labs.choosing import webrtc_client

        return webrtc_client.webrtc_reader(rtt_ms)
    if transport == "http_polling":
        return measure.poller(EVERY_MS, rtt_ms)
    ready = {"long_polling": measure.long_poller, "sse": measure.streamer}
    return ready[transport](rtt_ms) if transport in ready else measure.socket_reader(rtt_ms, transport)


async def at(servers: dict[str, Server], rate: float, *, events: int = 500, rtts=RTTS) -> list[Cell]:
    """Every server's readers at one rate: about ten seconds."""
    waiting = [(server, [readers(name, rtt) for rtt in rtts]) for name, server in servers.items()]
    cells, some = [], TOGETHER.get(rate, 1)
    for start in measure.progress(range(0, len(waiting), some), f"{rate:g} a second"):
        group = waiting[start : start + some]
        everyone = [who for _, distances in group for those in distances for who in those]
        for who in everyone:  # a handshake of WebRTC must not be in the way of somebody else's events
            who.opens_s = max(other.opens_s for other in everyone)
        for found in await asyncio.gather(*(one(*both, rate, events) for both in group)):
            cells += found
    return cells


async def one(server: Server, distances: list[list[Reader]], rate: float, events: int, by_lines=True) -> list[Cell]:
    """One server's readers at one rate; a cell for each distance."""
    everyone = [who for those in distances for who in those]
    found = await measure.deliver(server, everyone, events=events, per_second=rate, plan=poisson, by_lines=by_lines)
    runs = iter([with_datagrams(run, who) for run, who in zip(found, everyone, strict=True)])
    return [Cell(pooled([next(runs) for _ in those])) for those in distances]


def with_datagrams(run: Run, who: Reader) -> Run:
    """The run with the bytes that took another way than the link, where some did: WebRTC's, acknowledgments included."""
    if not hasattr(who, "datagrams"):
        return run
    sent = sum(datagram.size for datagram in who.datagrams.delivery() if datagram.kind == "data")
    return replace(run, bytes={"datagrams": sent})


async def publishing_us(server: Server, events: int, rate: float, over=None) -> float:
    """Microseconds of the server's CPU time for an event that nobody follows; `over` is like `server.publisher()`."""
    async with over or server.publisher() as publish:
        before = (await server.usage())["cpu_ns"]
        await publish_all(publish, events, rate)
        await asyncio.sleep(SETTLE_S)
        return ((await server.usage())["cpu_ns"] - before) / 1000 / events


async def publish_all(publish, events: int, rate: float) -> None:
    """Publish so many events at random moments."""
    start = now_ns()
    async with asyncio.TaskGroup() as sending:
        for number, due in enumerate(poisson(events, rate)):
            await sleep_until(start + round(due * 1e9))
            sending.create_task(publish(f"message {number}"))


async def added_bytes(server: Server, events: int = 50) -> float:
    """Bytes on the wire for each event besides the event itself, at 50 a second, counted."""
    run = (await one(server, [[reader(server.name, 0.0)]], 50, events, by_lines=False))[0].run
    size = len(Event(1000, now_ns(), "message 100", models.transports.CURSOR).to_json())
    return sum(run.bytes.values()) / run.latency.n - size
