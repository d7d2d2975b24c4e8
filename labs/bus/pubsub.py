"""One conversation over many server processes, by way of Redis: Pub/Sub, which has gaps and tells of them.

    async with PubSub(url, deliver) as bus:     # or labs.bus.streams.Streams, which has none: the same verbs
        await bus.open("blue")                  # from here on `deliver` gets the room's messages, and its gaps
        bus.publish("blue", "hello")            # to every server that has the room open, to this one too
        await bus.close("blue")

Design notes
  * A server opens a room once, for its first member there, and closes it after its last. What it publishes comes back to it
    the way it reaches all the others, so all see one order, and nobody sees a message twice.
  * Pub/Sub keeps nothing: while a server's connection is down, its messages are lost, and redis-py says nothing of it. What
    gives it away: Redis confirms a subscription once on every connection, so a second confirmation is a gap; and PUBLISH
    answers how many got the message, so 0 for a room that is open here is one too.
  * Every message has a key. A publisher whose answer got lost sends again, and readers drop what they have seen (`Seen`).
"""

import asyncio
import itertools
import logging
import secrets
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from labs.bus.redis_lines import BROKEN, PATIENCE_S, SEEN, Seen, Writer, answer, connections, settle, stay_connected

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a room. `id` is its number in the stream, from 1; Pub/Sub has no numbers."""

    room: str
    key: str
    data: str
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages of this room may be missing between what came before and what comes next."""

    room: str
    why: str


class Bus:
    """What Pub/Sub and Streams share: one connection that reads, lines that write, keys, and copies left out."""

    def __init__(self, url: str, deliver: Callable[[Message | Gap], None], *, prefix: str, seen: int = SEEN):
        self.deliver, self.prefix, self.seen = deliver, prefix, Seen(seen)
        self.pool = connections(url)
        self.reader, self.writer = self.pool.make_connection(), Writer(self.pool.make_connection())
        self._name, self._numbers = secrets.token_hex(4), itertools.count(1)
        self._gaps: set[str] = set()  # rooms whose last delivery was a gap

    def key(self) -> str:
        """A key that no other message has."""
        return f"{self._name}-{next(self._numbers)}"

    def hand_over(self, item: Message | Gap) -> None:
        """Deliver it, unless it is a copy, or a gap on top of a gap. A `deliver` that fails must not end the bus."""
        if item.room in self._gaps if isinstance(item, Gap) else not self.seen.add(item.key):
            return
        (self._gaps.add if isinstance(item, Gap) else self._gaps.discard)(item.room)
        try:
            self.deliver(item)
        except Exception:
            LOG.exception("delivering %r", item)

    def work(self) -> list[Coroutine]:
        """What is to be done for as long as the bus is open."""
        raise NotImplementedError

    async def __aenter__(self):
        """Connect, so that a Redis that is not there is told now, and begin to work. Raises BROKEN."""
        await self.reader.connect()
        self._tasks = [asyncio.create_task(work) for work in self.work()]
        for task in self._tasks:
            task.add_done_callback(report)
        return self

    async def __aexit__(self, *exc_info) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)


def report(task: asyncio.Task) -> None:
    """A task of the bus that ends by itself is a mistake in it, and must not go unseen."""
    if not task.cancelled():
        LOG.error("the bus has stopped", exc_info=task.exception())


class PubSub(Bus):
    """Rooms as channels; as channels of one node in a cluster if `sharded` (see `labs.bus.sharded`)."""

    def __init__(self, url: str, deliver: Callable[[Message | Gap], None], *, sharded: bool = False, **settings):
        super().__init__(url, deliver, **{"prefix": "room:"} | settings)
        self.sharded = "S" if sharded else ""
        self.rooms: dict[str, asyncio.Future] = {}  # … and whether Redis has confirmed it
        self._ended: dict[str, asyncio.Future] = {}  # rooms whose end it has still to confirm
        self._changing = asyncio.Lock()
        self._up = self._heard = False

    def work(self) -> list[Coroutine]:
        return [stay_connected(self.reader, self._read), self.writer.run(), self._watch()]

    async def open(self, room: str) -> None:
        """Subscribe. When this returns, Redis has confirmed it: what is published from now on arrives, or leaves a gap."""
        async with self._changing:  # one change at a time, so that a confirmation is never taken for that of another
            if room not in self.rooms:
                self.rooms[room] = asyncio.get_running_loop().create_future()
                await self._tell("SUBSCRIBE", room)
            await asyncio.shield(self.rooms[room])

    async def close(self, room: str) -> None:
        """Unsubscribe. When this returns, nothing of this room is delivered any more."""
        async with self._changing:
            if self.rooms.pop(room, None) and self._up:
                self._ended[room] = asyncio.get_running_loop().create_future()
                await self._tell("UNSUBSCRIBE", room)
                await self._ended[room]

    def publish(self, room: str, data: str, key: str | None = None) -> asyncio.Future:
        """Send to all who have the room open, in order. The future becomes how many servers those are. Raises `Full`."""
        future = self.writer.send(f"{self.sharded}PUBLISH", self.prefix + room, f"{key or self.key()} {data}")
        future.add_done_callback(partial(self._published, room))
        return future

    def _published(self, room: str, answered: asyncio.Future) -> None:
        if room in self.rooms and not answered.cancelled() and (answered.exception() or not answered.result()):
            self.hand_over(Gap(room, "Redis knew of no server that listens"))

    async def _tell(self, verb: str, *rooms: str) -> None:
        """Change what Redis sends; without a connection there is nothing to do, because the next one subscribes anew."""
        if self._up and rooms:
            each = [
                (self.sharded + verb, self.prefix + room) for room in rooms
            ]  # in a cluster, one slot for one command
            with suppress(*BROKEN):
                await self.reader.send_packed_command(self.reader.pack_commands(each))

    async def _read(self) -> None:
        self._up = True
        try:
            await self._tell("SUBSCRIBE", *self.rooms)
            while True:
                self._take(await answer(self.reader))
        finally:
            self._up = False
            while self._ended:
                settle(self._ended.popitem()[1], None)

    def _take(self, said: list | Exception) -> None:
        self._heard = True
        if isinstance(said, Exception):
            raise said
        what, room = said[0], said[1].removeprefix(self.prefix)
        if what.endswith("unsubscribe"):
            settle(self._ended.pop(room), None)
        elif room not in self.rooms:  # it is being closed, or this is the answer to a ping
            return
        elif what.endswith("message"):
            key, _, data = said[2].partition(" ")
            self.hand_over(Message(room, key, data))
        elif self.rooms[room].done():
            self.hand_over(Gap(room, "the subscription was lost and made again"))
        else:
            self.rooms[room].set_result(None)

    async def _watch(self) -> None:
        """Give up a connection on which a second confirmation does not come: a network can lose one without telling."""
        while True:
            await asyncio.sleep(PATIENCE_S)
            if not self._heard and self._up and self.rooms:
                await self.reader.disconnect(nowait=True)
            self._heard = False
            if self._up and self.rooms:
                with suppress(*BROKEN):
                    await self.reader.send_command("PING")
