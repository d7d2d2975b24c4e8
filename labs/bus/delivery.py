"""The delivery ladder: one script of faults over four ways to join two servers, and what each of them does to the messages.

    for record in await ladder(seed=1):
        print(record.rung, record.counted, record.predicted)

Design notes
  * All rungs climb at once, on one Redis, with the same messages and the same faults in the same order, which the seed shuffles.
  * Every fault is made of steps that wait for one another, so that the prediction is a number, not a guess: a message that
    is published while nobody listens is lost; a message whose answer is lost is sent again, so there are two of it.
  * The publishers reach Redis over one link, the readers over another: faults of the network strike one side.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from redis.asyncio import Redis

from labs.bus.pubsub import Gap, Message, PubSub
from labs.bus.redis_lines import SEEN
from labs.bus.redis_process import RedisServer, redis
from labs.bus.streams import Streams
from labs.link import Link

ROOM = "ladder"
PADDING = "x" * 16_384  # of a message that is to fill buffers
LIMIT_S = 20.0  # for every step; on a quiet machine one takes milliseconds
NOWHERE = "http://127.0.0.1:1"  # where nobody answers


@dataclass
class Counts:
    """What became of the messages, in numbers of them."""

    lost: int = 0
    doubled: int = 0
    reordered: int = 0
    undetected: int = 0  # lost, and the reader was not told of a gap


@dataclass(frozen=True)
class Record:
    """One rung in one run."""

    rung: str
    seed: int
    published: int
    gaps: int  # how often the reader was told that something may be missing
    counted: Counts
    predicted: Counts


def count(items: list[int | None], published: int, *, told: bool = True) -> Counts:
    """What became of messages 0 to published - 1, of which a reader was delivered `items`, where None is a gap.

    A message is reordered if a later one was delivered before it; a second copy is not, it is doubled.
    """
    numbers = [item for item in items if item is not None]
    known: set[int] = set()
    unexplained: set[int] = set()
    counts, newest, gap = Counts(doubled=len(numbers) - len(set(numbers))), -1, False
    for item in [*items, published]:
        if item is None:
            gap = told
        elif item > newest:
            unexplained |= set() if gap else set(range(newest + 1, item))
            newest, gap = item, False
        elif item not in known:
            counts.reordered += 1
        known.add(item)
    counts.lost = len(set(range(published)) - known)
    counts.undetected = len(unexplained - known)
    return counts


@dataclass
class Rung:
    """One way to join two servers: a publisher on one, a reader on the other, and what is predicted."""

    name: str
    kind: type[PubSub] | type[Streams]
    told: bool  # whether it listens to gaps
    seen: int  # how many messages it remembers, to drop copies of them
    items: list[int | None] = field(default_factory=list)
    predicted: Counts = field(default_factory=Counts)

    @asynccontextmanager
    async def joined(self, publisher_url: str, reader_url: str):
        """Connect both servers."""
        self.publisher = self.kind(publisher_url, print, prefix=f"{self.name}:")
        self.reader = self.kind(reader_url, self.take, prefix=f"{self.name}:", seen=self.seen)
        async with self.publisher, self.reader:
            await self.reader.open(ROOM)
            yield self

    def take(self, item: Message | Gap) -> None:
        """The reader's delivery."""
        if item.room == ROOM:
            self.items.append(int(item.data.partition(" ")[0]) if isinstance(item, Message) else None)


def rungs() -> list[Rung]:
    """The ladder, from the bottom."""
    return [
        Rung("Pub/Sub", PubSub, told=False, seen=0),
        Rung("Pub/Sub, gaps told", PubSub, told=True, seen=0),
        Rung("Streams", Streams, told=True, seen=0),
        Rung("Streams, copies dropped", Streams, told=True, seen=SEEN),
    ]


@dataclass
class Climb:
    """A run: the Redis, a link for the publishers and one for the readers, the rungs, and how many messages there were."""

    server: RedisServer
    publishers: Link
    readers: Link
    rungs: list[Rung]
    rng: random.Random
    sent: int = 0
    syncs: int = 0

    def publish(self, how_many: int, padding: str = "") -> list[asyncio.Future]:
        """The next messages, on every rung; the futures become Redis' answers."""
        numbers = range(self.sent, self.sent + how_many)
        self.sent += how_many
        return [rung.publisher.publish(ROOM, f"{n} {padding}") for n in numbers for rung in self.rungs]

    async def calm(self) -> None:
        """Some messages while all is well; they have all arrived when this returns."""
        self.publish(self.rng.randint(10, 30))
        await until(lambda: all(rung.items[-1:] == [self.sent - 1] for rung in self.rungs))

    async def back(self) -> None:
        """Wait until every reader is connected again: Redis confirms one more room."""
        self.syncs += 1
        for rung in self.rungs:
            await rung.reader.open(f"sync-{self.syncs}")

    async def answers_lost(self) -> None:
        """Redis takes the messages, and the connection breaks before its answers are there: they are sent again."""
        messages = self.rng.randint(3, 9)
        self.publishers.stall()
        answers = self.publish(messages)
        await until(lambda: all(rung.items[-1:] == [self.sent - 1] for rung in self.rungs))
        self.publishers.resume()
        self.publishers.cut()
        await asyncio.gather(*answers)
        for rung in self.rungs:
            rung.predicted.doubled += 0 if rung.seen else messages

    async def redis_killed(self) -> None:
        """Redis is killed while messages keep coming, and when it is back, the publishers are there before the readers."""
        messages = self.rng.randint(20, 60)
        await self.server.kill()
        self.readers.target = NOWHERE
        answers = self.publish(messages)
        await self.server.restart()
        await asyncio.gather(*answers)
        self.readers.target = self.publishers.target
        await self.back()
        self._lost(messages)

    async def reader_stalled(self) -> None:
        """A reader takes nothing in until Redis' buffer for it is full, and Redis closes the connection."""
        before = self.sent
        async with Redis.from_url(self.server.url) as admin:
            await admin.config_set("client-output-buffer-limit", "pubsub 65536 0 0")
            self.readers.stall()
            while await admin.client_list(_type="pubsub"):
                await asyncio.gather(*self.publish(20, PADDING))
        self.readers.resume()
        self.readers.cut()  # what was under way goes with the connection
        await self.back()
        self._lost(self.sent - before)

    def _lost(self, messages: int) -> None:
        for rung in self.rungs:
            if rung.kind is PubSub:
                rung.predicted.lost += messages
                rung.predicted.undetected += 0 if rung.told else messages


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds. Raises `TimeoutError` after LIMIT_S."""
    async with asyncio.timeout(LIMIT_S):
        while not holds():
            await asyncio.sleep(0.002)


async def ladder(seed: int = 1) -> list[Record]:
    """Every rung through all faults, in an order that the seed draws; about a second. Raises `RedisError` without Redis."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(redis(durable=True))
        origin = f"http://127.0.0.1:{server.port}"
        links = [await stack.enter_async_context(await Link.open(origin)) for _ in range(2)]
        urls = [link.url.replace("http", "redis") for link in links]
        all_rungs = [await stack.enter_async_context(rung.joined(*urls)) for rung in rungs()]
        climb = Climb(server, *links, all_rungs, random.Random(seed))
        faults: list[Callable[[], Awaitable]] = [climb.answers_lost, climb.redis_killed, climb.reader_stalled]
        climb.rng.shuffle(faults)
        await climb.calm()
        for fault in faults:
            await fault()
            await climb.calm()
        return [record(rung, seed, climb.sent) for rung in all_rungs]


def record(rung: Rung, seed: int, published: int) -> Record:
    """What is kept of a rung."""
    counted = count(rung.items, published, told=rung.told)
    return Record(rung.name, seed, published, rung.items.count(None) if rung.told else 0, counted, rung.predicted)


async def overtaking(messages: int = 100, seed: int = 1) -> dict[str, Counts]:
    """The same messages, published by a task each and by one line, where every connection has delays of its own."""
    found = {}
    async with redis() as server, await Link.open(f"http://127.0.0.1:{server.port}", jitter_ms=5, seed=seed) as link:
        url = link.url.replace("http", "redis")
        for name, publish in (("a task for each message", publish_in_tasks), ("one line", publish_in_line)):
            items: list[int] = []
            async with PubSub(server.url, lambda item, items=items: items.append(int(item.data))) as reader:
                await reader.open(ROOM)
                await publish(url, messages)
                await until(lambda items=items: len(items) == messages)
            found[name] = count(items, messages)
    return found


async def publish_in_tasks(url: str, messages: int) -> None:
    """As tutorials have it: each call takes a connection of the pool, and they overtake one another."""
    async with Redis.from_url(url) as client, asyncio.TaskGroup() as group:
        for n in range(messages):
            group.create_task(client.publish(f"room:{ROOM}", f"key-{n} {n}"))


async def publish_in_line(url: str, messages: int) -> None:
    """As the bus does it: one connection, and what waits leaves together."""
    async with PubSub(url, print) as publisher:
        await asyncio.gather(*(publisher.publish(ROOM, f"{n}") for n in range(messages)))
