"""Sharded Pub/Sub on a Redis Cluster: every room lives on the primary that owns its slot, and its traffic goes nowhere else.

    async with Sharded(cluster.url, deliver) as bus:     # the verbs of labs.bus.pubsub.PubSub

Design notes
  * Plain Pub/Sub passes every message to every node of a cluster, so more nodes carry no more. SPUBLISH stays on one.
  * One reader for each primary, which waits on its own connection. A loop that asks all connections in turn waits for every
    silent node, for as long as it asks, before it hears the one that speaks.
  * While a primary is down its rooms wait, and tell of a gap afterwards; the others notice nothing.
  * Who owns which slot is asked once, at the start. When a slot moves, its old owner unsubscribes its readers, and answers
    whoever asks for it by MOVED and the new address. So the rooms are opened there, and each tells of a gap, because what
    was said in between is lost. What is published to the old owner fails, and is not sent again: the next message goes right.
  * A replica that takes over from a primary that never comes back is not followed: nobody is left to say MOVED.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import MovedError

from labs.bus.pubsub import Gap, Message, PubSub
from labs.bus.redis_lines import BROKEN, settle


class Shard(PubSub):
    """The rooms on one primary. `left` is told of those that have moved away."""

    left: Callable[[str], None]

    def _take(self, said: list | Exception) -> None:
        if isinstance(said, MovedError):
            for room in [room for room in self.rooms if slot_of(self.prefix + room) == said.slot_id]:
                self._moved(room, said)
        elif said[0] == "sunsubscribe" and (room := said[1].removeprefix(self.prefix)) in self.rooms:
            self._moved(room, None)  # nobody here has asked for it
        else:
            super()._take(said)

    def _moved(self, room: str, said: MovedError | None) -> None:
        opened = self.rooms.pop(room)
        if opened.done():
            self.left(room)
        settle(opened, said)


class Sharded:
    """A Pub/Sub bus on each primary of the cluster to which the node at `url` belongs."""

    def __init__(self, url: str, deliver: Callable[[Message | Gap], None], *, prefix: str = "room:", **settings):
        self.url, self.prefix = url, prefix
        self.rooms: set[str] = set()
        self.primaries: dict[str, Shard] = {}  # by their URLs
        self._make = lambda node: Shard(node, deliver, sharded=True, prefix=prefix, **settings)
        self._owners: list[tuple[range, str]] = []
        self._moved: dict[int, str] = {}  # slots that have another owner since then
        self._tasks: set[asyncio.Task] = set()
        self._connecting = asyncio.Lock()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Sharded":
        """Ask who owns which slots, and connect to each. Raises redis.exceptions.ConnectionError."""
        async with Redis.from_url(self.url, protocol=2) as node:
            shares = await node.execute_command("CLUSTER SLOTS")
        for first, last, (host, port, *_), *_ in shares:
            url = f"redis://{host.decode()}:{port}"
            self._owners.append((range(first, last + 1), url))
            await self._connect(url)
        return self

    async def __aexit__(self, *exc_info) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    def owner(self, room: str) -> str:
        """The URL of the primary on which a room lives."""
        slot = slot_of(self.prefix + room)
        return self._moved.get(slot) or next(url for slots, url in self._owners if slot in slots)

    async def open(self, room: str) -> None:
        """Subscribe, where the room lives. When this returns, Redis has confirmed it."""
        self.rooms.add(room)
        while room in self.rooms:
            try:
                return await self.primaries[self.owner(room)].open(room)
            except MovedError as moved:
                await self._learn(moved)

    async def close(self, room: str) -> None:
        """Unsubscribe. When this returns, nothing of this room is delivered any more."""
        self.rooms.discard(room)
        for primary in self.primaries.values():
            await primary.close(room)

    def publish(self, room: str, data: str, key: str | None = None) -> asyncio.Future:
        """Send to all who have the room open, in order within the room. The future becomes how many servers those are."""
        future = self.primaries[self.owner(room)].publish(room, data, key)
        future.add_done_callback(self._published)
        return future

    def _published(self, future: asyncio.Future) -> None:
        if not future.cancelled() and isinstance(moved := future.exception(), MovedError):
            self._start(self._learn(moved))

    async def _connect(self, url: str) -> None:
        async with self._connecting:
            if url not in self.primaries:
                primary = self._make(url)
                primary.left = lambda room: self._start(self._follow(room))
                self.primaries[url] = await self._stack.enter_async_context(primary)

    async def _learn(self, moved: MovedError) -> None:
        """The new owner of a slot; if it cannot be reached now, the old one will name it again."""
        url = f"redis://{moved.host}:{moved.port}"
        with suppress(*BROKEN):
            await self._connect(url)
            self._moved[moved.slot_id] = url

    async def _follow(self, room: str) -> None:
        if room in self.rooms:
            await self.open(room)
        if room in self.rooms:
            self.primaries[self.owner(room)].hand_over(Gap(room, "its slot has moved to another node"))

    def _start(self, work: Coroutine) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def slot_of(channel: str) -> int:
    """The slot of a channel, 0 to 16,383 (Redis Cluster specification, "Key distribution model")."""
    return key_slot(channel.encode())
