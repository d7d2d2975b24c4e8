"""A cluster of three loses a primary: which rooms miss messages, for how long, and who notices.

    for loss in await cluster_loss():
        print(loss.room, loss.killed, loss.published, loss.lost, loss.gaps, loss.unheard, loss.silent_s)

Design notes
  * Two buses of `labs.bus.sharded` stand for two servers: one publishes to every room at an even rate, the other has all open.
  * There are no replicas, so a killed primary's rooms are down until it is back. The other two go on: Redis lets them serve
    their own channels even when slots are missing (`cluster-allow-pubsubshard-when-down`, by default).
  * What was published meanwhile waits with the publisher, and is sent when the primary is back. Whether anybody hears it then
    depends on who is there first. Here that is the publisher, so that the loss is a number and not chance (as in
    `labs.bus.delivery`); the other way round, the messages would come late, and the reader would be told of a gap all the same.
"""

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise

from labs.bus.delivery import count, until
from labs.bus.pubsub import Gap, Message
from labs.bus.redis_process import redis_cluster
from labs.bus.sharded import Sharded
from labs.clock import now_ns

NAMES = ("blue", "red", "green", "black", "white", "brown", "pink", "gray", "gold", "cyan", "lime", "teal", "plum")  # fmt: skip
EVERY_S = 0.02  # between two messages of a room
WHILE_CALM, WHILE_DOWN = 15, 25  # messages
NO_PORT = 1  # where nobody listens


@dataclass(frozen=True)
class Loss:
    """One room, and what the loss of a primary did to it."""

    room: str
    owner: int  # the number of the primary on which the room lives
    killed: bool  # whether that is the one that was killed
    published: int
    lost: int  # never came to the reader
    undetected: int  # … and the reader was not told of a gap there
    gaps: int  # how often the reader was told
    unheard: int  # messages of which the publisher was told that nobody had heard them
    silent_s: float  # the longest time in which nothing came, in seconds


@dataclass
class Watched:
    """A room as its reader sees it, and what its publisher was answered."""

    owner: int
    items: list[int | None] = field(default_factory=list)  # numbers, and None for a gap
    times: list[int] = field(default_factory=list)  # of the messages
    answers: list[asyncio.Future] = field(default_factory=list)

    def take(self, item: Message | Gap) -> None:
        """The reader's delivery."""
        self.items.append(int(item.data) if isinstance(item, Message) else None)
        if isinstance(item, Message):
            self.times.append(now_ns())


async def cluster_loss(killed: int = 0) -> list[Loss]:
    """Kill primary number `killed` of three and start it again; two rooms on each. Four seconds. Raises `RedisError`."""
    rooms: dict[str, Watched] = {}
    async with redis_cluster(keys=False) as cluster, Sharded(cluster.url, print) as publisher:
        living = [[name for name in NAMES if publisher.owner(name) == node.url] for node in cluster.nodes]
        rooms = {name: Watched(owner) for owner, names in enumerate(living) for name in names[:2]}
        async with Sharded(cluster.url, lambda item: item.room in rooms and rooms[item.room].take(item)) as reader:
            await asyncio.gather(*(reader.open(room) for room in rooms))
            await calm(publisher, rooms)
            hearing = reader.primaries[cluster.nodes[killed].url].reader
            port, hearing.port = hearing.port, NO_PORT  # where it will find nobody, when it connects anew
            await cluster.nodes[killed].kill()
            await publish(publisher, rooms, WHILE_DOWN)
            await cluster.nodes[killed].restart()
            await asyncio.wait([answer for watched in rooms.values() for answer in watched.answers])
            hearing.port = port
            await reader.open(living[killed][2])  # confirmed after all the others on this primary
            await calm(publisher, rooms)
            return [loss(room, killed, watched) for room, watched in rooms.items()]


async def calm(publisher: Sharded, rooms: dict[str, Watched]) -> None:
    """Some messages while all is well; they have all come when this returns. Raises `TimeoutError`."""
    await publish(publisher, rooms, WHILE_CALM)
    await until(lambda: all(watched.items[-1:] == [len(watched.answers) - 1] for watched in rooms.values()))


async def publish(publisher: Sharded, rooms: dict[str, Watched], messages: int) -> None:
    """So many messages to each room, at an even rate; they are numbered from 0 on."""
    for _ in range(messages):
        for room, watched in rooms.items():
            watched.answers.append(publisher.publish(room, str(len(watched.answers))))
        await asyncio.sleep(EVERY_S)


def loss(room: str, killed: int, watched: Watched) -> Loss:
    """What is kept of a room."""
    counts, gaps = count(watched.items, len(watched.answers)), watched.items.count(None)
    unheard = sum(bool(answer.exception()) or not answer.result() for answer in watched.answers)
    silent_ns = max(after - before for before, after in pairwise(watched.times))
    return Loss(room, watched.owner, watched.owner == killed, len(watched.answers), counts.lost, counts.undetected, gaps,
                unheard, silent_ns / 1e9)  # fmt: skip
