"""Publish on a schedule, let readers follow, and say how late each message was.

Design notes
  * Open loop: a message is due at a fixed time whether or not the last one has arrived, and its latency counts from that
    time. A pause is charged to every message it delayed (no coordinated omission; notebook 00 shows the difference).
  * Publisher and readers live in this process, so that one clock stamps both ends; the server is a process of its own.
  * Every reader has a link of its own, so its bytes and requests are its own.
  * Every function here runs in real time on `launch` and in virtual time on `virtual.launch`, unchanged.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from labs import clients, ledger
from labs.clock import now_ns, simulated
from labs.link import Link
from labs.measure.pacing import progress, schedule, sleep_until, until
from labs.measure.records import Latencies, Run

GRACE_S = 5.0  # how long to wait for the last events after the time they should have taken


@dataclass
class Reader:
    """Someone who follows a feed through a link of their own: `follow(url, after=cursor)` is one of `labs.clients`."""

    name: str
    follow: Callable[..., AsyncIterator]
    rtt_ms: float = 0.0
    settings: dict = field(default_factory=dict)
    opens_s: float = 0.0  # how much longer than three round trips it takes until it reads

    async def ready(self) -> bool:
        """Whether it reads by now, where that can be told; a busy machine may take longer than `opens_s`."""
        return True


async def deliver(
    server,
    readers: list[Reader],
    *,
    events: int,
    per_second: float,
    seed: int = 1,
    plan=schedule,
    by_lines: bool = False,
) -> list[Run]:
    """Publish messages on a schedule and let every reader follow; one `Run` for each reader, in their order.

    `by_lines`: not over the network, but through the standard input of a server that was started with --stdin. At rates at
    which publishing itself would fall behind, it is delivery alone that is measured.
    """
    mark = await server.publish("warm-up")
    async with _following(server, readers, mark.cursor) as (links, arrivals, tasks):
        # connections made, first polls done
        await asyncio.sleep(0.05 + max(reader.opens_s + 3 * reader.rtt_ms / 1000 for reader in readers))
        for reader in readers:
            await until(reader.ready)
        start = now_ns()
        due = {f"message {number}": start + round(at * 1e9) for number, at in enumerate(plan(events, per_second, seed))}
        await (_publish_lines if by_lines else _publish_all)(server, due)
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
    async with server.publisher() as publish, asyncio.TaskGroup() as sending:
        for text, moment in progress(due.items(), "publishing"):
            await sleep_until(moment)
            sending.create_task(publish(text))  # the next one does not wait for this one


async def _publish_lines(server, due: dict[str, int]) -> None:
    for text, moment in progress(due.items(), "publishing"):
        await sleep_until(moment)
        server.host.publish_line(text)


def _run(reader, link, start, due, arrived, seconds, per_second) -> Run:
    found = ledger.messages(link.chunks)
    before = ledger.total(ledger.messages(chunk for chunk in link.chunks if chunk.sent < start))  # the warm-up
    parts = {part: size - before[part] for part, size in ledger.total(found).items()}
    since = [message for message in found if message.sent >= start and not message.frame]  # requests and answers alone
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


def socket_reader(rtt_ms: float = 0.0, name: str = "websocket") -> Reader:
    """A reader of a socket server, which may be "raw_websocket", from a round trip of `rtt_ms` away."""
    return Reader(name, clients.websocket, rtt_ms)


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
