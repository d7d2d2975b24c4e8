"""One conversation over many server processes, by way of Redis Streams: nothing is lost while it is kept, and holes show.

    async with Streams(url, deliver) as bus:
        cursor = await bus.open("blue")                 # from here on `deliver` gets the room's messages
        missed = await bus.since("blue", old_cursor)    # for one who comes back, to this server or to another

Design notes
  * A stream keeps the newest messages of a room under numbers without holes (`XADD key 0-*`). A reader holds a number and
    asks for what follows it. So a broken connection loses nothing, and what is no longer kept leaves a hole that shows.
  * A Redis that has lost its memory counts from 1 again. The epoch, a random word that it keeps beside the streams, is
    another one then. Only with a connection a memory can be lost, so readers ask for it once on every connection.
  * First the position, then the following: `open` asks for the newest number before it reads what comes after it.
  * XREAD waits in Redis for the rooms it was asked for. When there is one more, `CLIENT UNBLOCK` ends the waiting.
  * XREAD answers with the first message that comes. So what is published together is added in one step (MULTI): readers get
    it together, and can write it together to their clients.
  * A publisher whose answer got lost sends again: the stream then holds the message twice, with one key. An entry is a copy
    if its key is among those before it; so every server, and everyone who comes back, drops the same ones.
"""

import asyncio
import secrets
from collections.abc import Callable, Coroutine

from labs.bus import Bus, Gap, Message
from labs.feed import CURSOR, BadCursor, Gone
from labs.redis_lines import Seen, Writer, ask, ask_at_once, stay_connected

BLOCK_MS = 1_000  # how long XREAD waits, and how long a connection may be dead before that is noticed, about
AT_ONCE = 500  # messages of a room that are read together
LOOK_BACK = 2_000  # messages before a cursor that are read to know their copies after it
KEEP = 10_000  # messages of a room


class Streams(Bus):
    """Rooms as streams, of which Redis keeps about the newest `keep` messages each."""

    def __init__(self, url: str, deliver: Callable[[Message | Gap], None], *, keep: int = KEEP, **settings):
        super().__init__(url, deliver, **{"prefix": "stream:"} | settings)
        self.keep, self.epoch = keep, ""
        self.rooms: dict[str, int] = {}  # … and the number of the last message that was delivered
        self.asker = Writer(self.pool.make_connection())  # questions with long answers do not hold up what is published
        self._id = self._rounds = 0
        self.writer.first, self.writer.ask = self._propose, ask_at_once

    def _propose(self) -> tuple:
        """The command that proposes a new epoch. It opens every connection, and the first that a memory gets is its epoch."""
        return "SET", f"{self.prefix}epoch", secrets.token_hex(4), "NX", "GET"

    def work(self) -> list[Coroutine]:
        return [stay_connected(self.reader, self._read), self.writer.run(), self.asker.run()]

    async def open(self, room: str) -> str:
        """Follow a room. When this returns, all that is published after the cursor it returns will be delivered."""
        if room not in self.rooms:
            newest = await self.asker.send("XREVRANGE", self.prefix + room, "+", "-", "COUNT", 1)
            self.rooms.setdefault(room, number(newest[0][0]) if newest else 0)
            await self._wake()
        return self.cursor(self.rooms[room])

    async def close(self, room: str) -> None:
        """Follow no longer. When this returns, nothing of this room is delivered any more."""
        self.rooms.pop(room, None)

    def publish(self, room: str, data: str, key: str | None = None) -> asyncio.Future:
        """Append, in order. The future becomes the entry's id in Redis, such as "0-17". Raises `Full`."""
        entry = ("MAXLEN", "~", self.keep, "0-*", "m", f"{key or self.key()} {data}")
        return self.writer.send("XADD", self.prefix + room, *entry)

    async def since(self, room: str, cursor: str) -> list[Message]:
        """The messages after a cursor, without copies. Raises `Gone` or `BadCursor`."""
        match = CURSOR.fullmatch(cursor)
        if not match:
            raise BadCursor("a cursor is eight hexadecimal digits, a hyphen and a number")
        after = int(match[2])
        reading = self.asker.send("XRANGE", self.prefix + room, f"0-{max(1, after - LOOK_BACK)}", "+")
        # Asked after the reading: an epoch never comes back, so if it is the cursor's now, it was when Redis read.
        epoch = await self.asker.send("GET", f"{self.prefix}epoch")
        if epoch != match[1]:
            raise Gone("this cursor is from before Redis lost its memory")
        return self._without_copies(room, after, [(number(id), fields[1]) for id, fields in await reading])

    def cursor(self, number: int) -> str:
        """What a client keeps to come back with."""
        return f"{self.epoch}-{number}"

    def _without_copies(self, room: str, after: int, entries: list[tuple[int, str]]) -> list[Message]:
        last, first = (
            max((n for n, _ in entries), default=0),
            min((n for n, _ in entries if n > after), default=after + 1),
        )
        if last < after:
            raise BadCursor("this cursor is ahead of the room")
        if first != after + 1:
            raise Gone(f"messages {after + 1} to {first - 1} are no longer kept")
        seen, found = Seen(), []
        for n, text in entries:
            key, _, data = text.partition(" ")
            if n <= self.rooms.get(room, 0):
                self.seen.add(key)
            if seen.add(key) and n > after:
                found.append(Message(room, key, data, n))
        return found

    async def _read(self) -> None:
        """On a new connection, see whether the memory is the old one; then read and read."""
        proposal = self._propose()
        self._id, epoch = await ask(self.reader, ("CLIENT", "ID"), proposal)
        epoch = epoch or proposal[2]
        if self.epoch not in ("", epoch):
            for room in self.rooms:
                self.rooms[room] = 0
                self.hand_over(Gap(room, "Redis has lost its memory"))
        self.epoch = epoch
        while True:
            self._rounds += 1
            positions = {f"{self.prefix}nothing": 0} | {self.prefix + room: n for room, n in self.rooms.items()}
            after = (*positions, *(f"0-{n}" for n in positions.values()))
            (reply,) = await ask(self.reader, ("XREAD", "COUNT", AT_ONCE, "BLOCK", BLOCK_MS, "STREAMS", *after))
            for name, entries in reply or ():
                for id, fields in entries:
                    self._take(name.removeprefix(self.prefix), number(id), fields[1])
            await asyncio.sleep(0)  # what was taken is sent on; what comes meanwhile is read together

    def _take(self, room: str, n: int, text: str) -> None:
        position = self.rooms.get(room)
        if position is None or n <= position:  # closed meanwhile, and perhaps opened again
            return
        if n != position + 1:
            self.hand_over(Gap(room, f"messages {position + 1} to {n - 1} are no longer kept"))
        self.rooms[room] = n
        key, _, data = text.partition(" ")
        self.hand_over(Message(room, key, data, n))

    async def _wake(self) -> None:
        """See to it that the reader's next round, which knows of all rooms, begins now."""
        rounds = self._rounds
        while self._rounds == rounds and not await self.asker.send("CLIENT", "UNBLOCK", self._id):
            await asyncio.sleep(0.001)  # it was not waiting in Redis at that moment


def number(id: str) -> int:
    """The number of an entry: ours have ids such as 0-17."""
    return int(id.partition("-")[2])
