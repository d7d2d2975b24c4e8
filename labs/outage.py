"""One node of a cluster is killed: which rooms fall silent, for how long, what is lost, and who notices.

    outage = await node_killed(down_s=2.0)
    for room in outage.rooms: print(room.name, room.node, room.silent_s, room.counts)

A publisher and a reader, each with a connection to every primary (`labs.sharded`), talk in some rooms of each node.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from redis.asyncio import Redis

from labs.bus import Gap, Message
from labs.clock import now_ns
from labs.delivery import Counts, count, until
from labs.redis_process import Cluster, redis_cluster
from labs.sharded import Sharded

ROOMS_EACH = 2  # of every node
SPARE = [f"spare-{n}" for n in range(100)]  # rooms, of which some live on any node
CALM_S = 0.3  # before the kill, and after the return


@dataclass
class RoomRecord:
    """One room in the run: the node on which it lives (1, 2, 3), and what the reader had of it."""

    name: str
    node: int
    items: list[int | None] = field(default_factory=list)  # the messages' numbers, None where a gap was told
    times: list[int] = field(default_factory=list)  # when each message came, in monotonic nanoseconds
    counts: Counts = field(default_factory=Counts)

    @property
    def silent_s(self) -> float:
        """The longest time between two messages, in seconds."""
        return (
            max((later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)), default=0) / 1e9
        )


@dataclass
class Outage:
    """The run: which node was killed and for how long, and when the other nodes knew."""

    killed: int
    down_s: float
    published: int  # messages in each room
    noticed_s: float | None  # from the kill until another node held it for dead; None if it was back before that
    rooms: list[RoomRecord]


async def node_killed(*, down_s: float = 2.0, per_second: float = 100, killed: int = 2) -> Outage:
    """Kill one of three nodes and start it again after `down_s` seconds, under so many messages a second in each room."""
    async with redis_cluster() as cluster:
        records: dict[str, RoomRecord] = {}
        async with Sharded(cluster.url, print) as publisher, Sharded(cluster.url, reader(records)) as bus:
            records |= rooms_of_each(bus, cluster)
            await asyncio.gather(*(bus.open(room) for room in records))
            stop = asyncio.Event()
            talking = asyncio.create_task(talk(publisher, list(records), per_second, stop))
            await asyncio.sleep(CALM_S)
            noticed_s = await kill_for(cluster, killed - 1, down_s)
            await bus.open(next(room for room in SPARE if bus.owner(room) == cluster.nodes[killed - 1].url))
            # That has been confirmed, so the reader is back.
            await asyncio.sleep(CALM_S)
            stop.set()
            published = await talking
            await until(lambda: all(room.items[-1:] == [published - 1] for room in records.values()))
    for room in records.values():
        room.counts = count(room.items, published)
    return Outage(killed, down_s, published, noticed_s, list(records.values()))


def reader(records: dict[str, RoomRecord]) -> Callable[[Message | Gap], None]:
    """What takes the reader's messages down."""

    def take(item: Message | Gap) -> None:
        room = records[item.room]
        room.items.append(int(item.data) if isinstance(item, Message) else None)
        if isinstance(item, Message):
            room.times.append(now_ns())

    return take


def rooms_of_each(bus: Sharded, cluster: Cluster) -> dict[str, RoomRecord]:
    """ROOMS_EACH rooms on every node."""
    nodes = {node.url: number for number, node in enumerate(cluster.nodes, 1)}
    found: dict[int, list[RoomRecord]] = {number: [] for number in nodes.values()}
    number = 0
    while any(len(rooms) < ROOMS_EACH for rooms in found.values()):
        number += 1
        node = nodes[bus.owner(f"room-{number}")]
        if len(found[node]) < ROOMS_EACH:
            found[node].append(RoomRecord(f"room-{number}", node))
    return {room.name: room for rooms in found.values() for room in rooms}


async def talk(bus: Sharded, rooms: list[str], per_second: float, stop: asyncio.Event) -> int:
    """So many messages a second in every room until `stop`; returns how many in each, when all have been answered."""
    n, start = 0, now_ns()
    while not stop.is_set():
        answers = [bus.publish(room, f"{n}") for room in rooms]
        n += 1
        await asyncio.sleep(max(0.0, (start - now_ns()) / 1e9 + n / per_second))
    await asyncio.gather(*answers)
    return n


async def kill_for(cluster: Cluster, index: int, down_s: float) -> float | None:
    """Kill a node, and start it again later; returns after how many seconds another node held it for dead."""
    victim, witness = cluster.nodes[index], cluster.nodes[index - 1]
    await victim.kill()
    start, noticed = now_ns(), None
    async with Redis.from_url(witness.url, protocol=2, decode_responses=True) as client:
        while now_ns() < start + down_s * 1e9:
            known = await client.execute_command("CLUSTER NODES")
            flags = known[f"127.0.0.1:{victim.port}"]["flags"].split(",")
            if noticed is None and "fail" in flags:
                noticed = (now_ns() - start) / 1e9
            await asyncio.sleep(0.01)
    await victim.restart()
    return noticed
