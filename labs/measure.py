"""Run a workload against a server and return records: plain data that charts, claims and tables are computed from.

Design notes
  * Open loop: a message is due at a fixed time whether or not the last one has arrived, and its latency counts from that
    time. A pause is charged to every message it delayed (no coordinated omission; notebook 00 shows the difference).
  * Publisher and readers live in this process, so that one clock stamps both ends; the server is a process of its own.
  * Every reader has a link of its own, so its bytes and requests are its own.
  * Every function here runs in real time on `launch` and in virtual time on `virtual.launch`, unchanged.
"""

import asyncio
import math
import os
import platform
import random
import socket
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate

import aiohttp
from tqdm.auto import tqdm

from labs import clients, ledger
from labs.clock import now_ns, simulated
from labs.link import Link

GRACE_S = 5.0  # how long to wait for the last events after the time they should have taken


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


@dataclass
class Reader:
    """Someone who follows a feed through a link of their own: `follow(url, after=cursor)` is one of `labs.clients`."""

    name: str
    follow: Callable[..., AsyncIterator]
    rtt_ms: float = 0.0
    settings: dict = field(default_factory=dict)


GOLDEN = (5**0.5 - 1) / 2  # its multiples, modulo 1, fill the interval evenly at any count


def schedule(events: int, per_second: float, seed: int = 1) -> list[float]:
    """When messages are due, in seconds from the start: one in each slot, at a place in it that no rhythm of a reader fits.

    The places spread evenly over the slot, so that a few hundred messages show the distribution that a random moment has.
    """
    offset = random.Random(seed).random()
    return [(number + (offset + number * GOLDEN) % 1) / per_second for number in range(events)]


def poisson(events: int, per_second: float, seed: int = 1) -> list[float]:
    """When messages are due if each comes at a random moment that has nothing to do with the others', as from many people.

    The pauses between them are exponential. One is drawn from each of `events` equally likely ranges and all are shuffled:
    the same distribution with less luck in it, so that a few hundred messages are enough.
    """
    draw = random.Random(seed)
    pauses = [-math.log(1 - (place + draw.random()) / events) / per_second for place in range(events)]
    draw.shuffle(pauses)
    return list(accumulate(pauses))


async def sleep_until(moment_ns: int) -> None:
    """Sleep until a moment of `now_ns`; in steps, so that a notebook can be interrupted."""
    while (left := moment_ns - now_ns()) > 1000:
        await asyncio.sleep(min(left / 1e9, 0.5))


async def deliver(
    server, readers: list[Reader], *, events: int, per_second: float, seed: int = 1, plan=schedule
) -> list[Run]:
    """Publish messages on a schedule and let every reader follow; one `Run` for each reader, in their order."""
    mark = await server.publish("warm-up")
    async with _following(server, readers, mark.cursor) as (links, arrivals, tasks):
        await asyncio.sleep(
            0.05 + 3 * max(reader.rtt_ms for reader in readers) / 1000
        )  # connections made, first polls done
        start = now_ns()
        due = {f"message {number}": start + round(at * 1e9) for number, at in enumerate(plan(events, per_second, seed))}
        await _publish_all(server, due)
        patience = GRACE_S + max(reader.settings.get("every_ms", 0) + 2 * reader.rtt_ms for reader in readers) / 1000
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while any(len(arrived) < events for arrived in arrivals) and not all(task.done() for task in tasks):
                    await asyncio.sleep(0.01)
        seconds = (now_ns() - start) / 1e9
    return [
        _run(reader, link, start, due, arrived, seconds, per_second)
        for reader, link, arrived in zip(readers, links, arrivals, strict=True)
    ]


@asynccontextmanager
async def _following(server, readers: list[Reader], cursor: str):
    """The readers at work, each on a link of its own: the links, what has arrived when, and the tasks."""
    links = [await server.via(rtt_ms=reader.rtt_ms) for reader in readers]
    arrivals: list[dict[str, int]] = [{} for _ in readers]
    work = zip(readers, links, arrivals, strict=True)
    tasks = [asyncio.create_task(_follow(reader, link, cursor, arrived)) for reader, link, arrived in work]
    try:
        yield links, arrivals, tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for link in links:
            server.links.remove(link)
            await link.close()


async def _follow(reader: Reader, link: Link, cursor: str, arrived: dict[str, int]) -> None:
    async for event in reader.follow(link.url, after=cursor):
        arrived.setdefault(event.data, now_ns())


async def _publish_all(server, due: dict[str, int]) -> None:
    async with clients.session() as http, asyncio.TaskGroup() as sending:
        for text, moment in progress(due.items(), "publishing"):
            await sleep_until(moment)
            sending.create_task(clients.publish(http, server.origin, text))  # the next one does not wait for this one


def _run(reader, link, start, due, arrived, seconds, per_second) -> Run:
    found = ledger.messages(link.chunks)
    before = ledger.total(ledger.messages(chunk for chunk in link.chunks if chunk.sent < start))  # the warm-up
    parts = {part: size - before[part] for part, size in ledger.total(found).items()}
    since = [message for message in found if message.sent >= start]
    requests = sum(message.direction == "up" for message in since)
    empty = sum(message.direction == "down" and not message.events for message in since)
    delays = tuple((arrived[text] - due[text]) / 1e6 for text in due if text in arrived)
    return Run(
        reader.name, Latencies(delays), len(due), parts, requests, empty, seconds, reader.rtt_ms, per_second,
        reader.settings, _late_share(since), simulated(),
    )  # fmt: skip


def _late_share(found) -> float:
    """The share of events that had to wait for the request that fetched them, by the server's stamps and the link's."""
    waiting: dict[int, list] = {}
    late = []
    for message in found:
        if message.direction == "up":
            waiting.setdefault(message.connection, []).append(message)
        elif waiting.get(message.connection):
            request = waiting[message.connection].pop(0)
            late += [event["at"] < (request.arrived or 0) for event in message.events]
    return sum(late) / len(late) if late else 0.0


def poller(every_ms: float, rtt_ms: float = 0.0) -> Reader:
    """A reader that polls every `every_ms` from a round trip of `rtt_ms` away."""
    follow = partial(clients.polling, every=every_ms / 1000)
    return Reader("http_polling", follow, rtt_ms, {"every_ms": every_ms})


def long_poller(rtt_ms: float = 0.0, wait_s: float = 25) -> Reader:
    """A reader that long-polls from a round trip of `rtt_ms` away."""
    return Reader("long_polling", partial(clients.long_polling, wait=wait_s), rtt_ms, {"wait_s": wait_s})


def streamer(rtt_ms: float = 0.0) -> Reader:
    """A reader of server-sent events from a round trip of `rtt_ms` away."""
    return Reader("sse", clients.sse, rtt_ms)


async def polling(
    server, *, every_ms: float, rtt_ms=0.0, events: int = 200, per_second: float = 25, seed: int = 1
) -> Run:
    """One polling reader's run: 200 messages at 25 a second take eight seconds."""
    return (await deliver(server, [poller(every_ms, rtt_ms)], events=events, per_second=per_second, seed=seed))[0]


async def polling_sweep(
    server, *, every_ms, rtt_ms, events: int = 200, per_second: float = 25, seed: int = 1
) -> list[Run]:
    """Polling readers at every interval and every distance at once, all following the same messages."""
    readers = [poller(every, rtt) for rtt in rtt_ms for every in every_ms]
    return await deliver(server, readers, events=events, per_second=per_second, seed=seed)


async def until(holds: Callable[[], Awaitable[bool]], *, within_s: float = 20.0) -> None:
    """Wait until something holds, for so long at most: a busy machine takes its time."""
    end = now_ns() + within_s * 1e9
    while not await holds() and now_ns() < end:
        await asyncio.sleep(0.05)


async def tasks_held(server, *, at_least: int = 0, at_most: float = math.inf) -> int:
    """How many tasks the server process has, as soon as they are so many or so few."""
    count = 0

    async def enough() -> bool:
        nonlocal count
        count = (await server.usage())["tasks"]
        return at_least <= count <= at_most

    await until(enough)
    return count


async def watch(url: str, follow: Callable[..., AsyncIterator], **settings) -> list:
    """Follow a feed until cancelled, for its traffic alone; events are collected and, in the end, dropped."""
    return [event async for event in follow(url, **settings)]


# Requests, one by one: the two ways to load a server, and what each calls latency.


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: when it was due, when it was sent, when its answer was there. Milliseconds from the start."""

    due: float
    sent: float
    received: float


Send = Callable[[], Awaitable]


async def closed_loop(send: Send, *, per_second: float, seconds: float) -> list[Sample]:
    """Ask, wait for the answer, then ask again on the next tick that is still to come: a slow answer silences the questions."""
    samples, start, number = [], now_ns(), 0
    bar = progress(range(round(per_second * seconds)), "closed loop")
    for _ in bar:
        due = start + round(number * 1e9 / per_second)
        if due >= start + seconds * 1e9:
            break
        await sleep_until(due)
        samples.append(await _sample(send, start, due))
        number = max(number + 1, int((now_ns() - start) * per_second / 1e9) + 1)
    bar.close()
    return samples


async def open_loop(send: Send, *, per_second: float, seconds: float) -> list[Sample]:
    """Ask on every tick, whether or not the last answer is there."""
    start = now_ns()
    async with asyncio.TaskGroup() as group:
        tasks = []
        for number in progress(range(round(per_second * seconds)), "open loop"):
            due = start + round(number * 1e9 / per_second)
            await sleep_until(due)
            tasks.append(group.create_task(_sample(send, start, due)))
    return [task.result() for task in tasks]


async def _sample(send: Send, start: int, due: int) -> Sample:
    sent = now_ns()
    await send()
    return Sample((due - start) / 1e6, (sent - start) / 1e6, (now_ns() - start) / 1e6)


@asynccontextmanager
async def pause(link: Link, *, after_s: float, for_s: float):
    """While the block runs: the link holds back all answers once, `after_s` from its start, `for_s` seconds long."""

    async def once():
        await asyncio.sleep(after_s)
        link.stall()
        await asyncio.sleep(for_s)
        link.resume()

    task = asyncio.create_task(once())
    try:
        yield
        await task
    finally:
        task.cancel()


async def cpu_per_request(server, *, requests: int = 400, path: str = "/events?after={cursor}") -> float:
    """Milliseconds of server CPU that one request with an empty answer costs: the process's own account, before and after."""
    mark = await server.publish("mark")
    url = server.origin + path.format(cursor=mark.cursor)
    async with clients.session() as http:

        async def ask(times: int) -> float:
            before = (await server.usage())["cpu_ns"]
            for _ in range(times):
                async with http.get(url) as response:
                    await response.read()
            return ((await server.usage())["cpu_ns"] - before) / 1e6

        await ask(50)  # warm up
        overhead = await ask(0)
        return (await ask(requests) - overhead) / requests


async def floor(*, messages: int = 1000) -> dict[str, Latencies]:
    """What the instrument itself adds: the one-way time of 16 bytes over a socket pair, over TCP, over TCP through a link."""
    found = {}
    left, right = socket.socketpair()
    found["socket pair"] = await _one_way(messages, *[await asyncio.open_connection(sock=end) for end in (left, right)])
    peers: asyncio.Queue = asyncio.Queue()
    server = await asyncio.start_server(lambda *streams: peers.put_nowait(streams), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, await Link.open(f"http://127.0.0.1:{port}") as link:
        for name, at in (("TCP", port), ("TCP through the link", int(link.url.rpartition(":")[2]))):
            near = await asyncio.open_connection("127.0.0.1", at)
            found[name] = await _one_way(messages, near, await peers.get())
    return found


async def _one_way(messages: int, near, far) -> Latencies:
    delays = []
    for _ in range(messages):
        sent = now_ns()
        near[1].write(b"0123456789abcdef")
        await far[0].readexactly(16)
        delays.append((now_ns() - sent) / 1e6)
    near[1].close(), far[1].close()
    return Latencies(tuple(delays[messages // 10 :]))  # the first tenth is warm-up


def progress(items, what: str):
    """A progress bar that leaves nothing behind; in virtual time, where there is nothing to wait for, none."""
    return tqdm(items, desc=what, leave=False, disable=simulated(), delay=0.5)
