"""One conversation over many server processes, by way of Redis Streams: nothing is lost while it is kept, and holes show.

    async with Streams(url, deliver) as bus:
        cursor = await bus.open("blue")                 # from here on `deliver` gets the room's messages
        missed = await bus.since("blue", old_cursor)    # for one who comes back, to this server or to another

Design notes
  * A stream keeps the newest messages of a room under numbers without holes (`XADD key 0-*`). A reader holds a number and
    asks for what follows it. So a broken connection loses nothing, and what is no longer kept leaves a hole that shows.
  * A room that has been quiet for a day is forgotten, and so is all when Redis loses its memory: then numbers begin at 1
    again. The room's epoch, a random word that Redis keeps beside its stream, is another one then, and old cursors are gone.
    Servers that have the room open renew both, and the word for the shorter time: a stream never begins anew under an old one.
  * First the position, then the following: `open` asks for the newest number before what comes after it is read.
  * XREAD waits in Redis for the rooms it was asked for. When there is one more, `CLIENT UNBLOCK` ends the waiting.
    It names every open room each time: 30 bytes, 0.2 us of Redis and 2 us of ours for each. Hundreds on one server are well,
    thousands are not; Pub/Sub, which Redis is told of once for each room, is.
  * XREAD answers with the first message that comes. So what is published together is added in one step (MULTI): readers get
    it together, and can write it together to their clients.
  * A publisher whose answer got lost sends again: the stream then holds the message twice, with one key. An entry is a copy
    if its key is among those before it; so every server, and everyone who comes back, drops the same ones.
"""

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

from labs.bus.pubsub import Bus, Gap, Message
from labs.bus.redis_lines import Seen, Writer, ask, ask_at_once, settle, stay_connected
from labs.feed import CURSOR, BadCursor, Gone

BLOCK_MS = 1_000  # how long XREAD waits, and how long a connection may be dead before that is noticed, about
AT_ONCE = 500  # messages of a room that are read together
LOOK_BACK = 2_000  # messages before a cursor that are read to know their copies after it
KEEP = 10_000  # messages of a room
KEEP_S = 86_400  # that they are kept when nothing comes after them and no server has the room open
MARGIN_S = 60  # that a stream outlives its epoch


class Streams(Bus):
    """Rooms as streams, of which Redis keeps about the newest `keep` messages each, for `keep_s` and a little longer."""

    def __init__(
        self,
        url: str,
        deliver: Callable[[Message | Gap], None],
        *,
        keep: int = KEEP,
        keep_s: int = KEEP_S,
        **settings,
    ):
        super().__init__(url, deliver, **{"prefix": "stream:"} | settings)
        self.keep, self.keep_s = keep, keep_s
        self.rooms: dict[str, int] = {}  # … and the number of the last message that was delivered
        self.epochs: dict[str, str] = {}
        self.asker = Writer(self.pool.make_connection())  # questions with long answers do not hold up what is published
        self.writer.ask = ask_at_once
        self._opening: dict[str, asyncio.Future] = {}
        self._unsure: set[str] = set()  # rooms to ask Redis about before the next reading
        self._id = self._rounds = 0

    def work(self) -> list[Coroutine]:
        return [stay_connected(self.reader, self._read), self.writer.run(), self.asker.run()]

    async def open(self, room: str) -> str:
        """Follow a room. When this returns, all that is published after the cursor it returns will be delivered."""
        if room not in self.rooms:
            opened = self._opening.setdefault(room, asyncio.get_running_loop().create_future())
            self._unsure.add(room)
            await self._wake()
            await asyncio.shield(opened)
        return self.cursor(room, self.rooms[room])

    async def close(self, room: str) -> None:
        """Follow no longer. When this returns, nothing of this room is delivered any more."""
        for known in (self.rooms, self.epochs, self._opening):
            known.pop(room, None)

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
        epoch = await self.asker.send("GET", self._epoch(room))
        if epoch != match[1]:
            raise Gone("Redis no longer has what this cursor stands in")
        return self._without_copies(room, after, [(number(id), fields[1]) for id, fields in await reading])

    def cursor(self, room: str, number: int) -> str:
        """What a client keeps to come back with to a room that is open here."""
        return f"{self.epochs[room]}-{number}"

    def _epoch(self, room: str) -> str:
        return f"{self.prefix}{room}:epoch"

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
        """On a new connection, and then from time to time, ask about all rooms; in between, read and read."""
        now = asyncio.get_running_loop().time
        (self._id,), due = await ask(self.reader, ("CLIENT", "ID")), now()
        while True:
            self._rounds += 1
            if now() >= due:
                self._unsure |= self.rooms.keys()
                due = now() + self.keep_s / 3
            if self._unsure:
                await self._ask_about(list(self._unsure))
            positions = {f"{self.prefix}nothing": 0} | {self.prefix + room: n for room, n in self.rooms.items()}
            after = (*positions, *(f"0-{n}" for n in positions.values()))
            (reply,) = await ask(self.reader, ("XREAD", "COUNT", AT_ONCE, "BLOCK", BLOCK_MS, "STREAMS", *after))
            for name, entries in accepted(reply) or ():
                for id, fields in entries:
                    self._take(name.removeprefix(self.prefix), number(id), fields[1])
            await asyncio.sleep(0)  # what was taken is sent on; what comes meanwhile is read together

    async def _ask_about(self, rooms: list[str]) -> None:
        """Each room's epoch, or a new one if it has none, and its newest message; both are kept for some time from now."""
        proposal = secrets.token_hex(4)  # never the same twice: an answer may get lost, and then the memory
        commands = []
        for room in rooms:
            stream, epoch = self.prefix + room, self._epoch(room)
            commands += [
                ("EXPIRE", stream, self.keep_s + MARGIN_S),
                ("SET", epoch, proposal, "NX", "GET"),
                ("EXPIRE", epoch, self.keep_s),
                ("XREVRANGE", stream, "+", "-", "COUNT", 1),
            ]
        answers = await ask(self.reader, *commands)
        self._unsure.difference_update(rooms)
        for room, epoch, newest in zip(rooms, answers[1::4], answers[3::4], strict=True):
            self._told(room, proposal if epoch is None else epoch, newest)

    def _told(self, room: str, epoch: str, newest: list) -> None:
        refused = [answer for answer in (epoch, newest) if isinstance(answer, Exception)]
        if opening := self._opening.pop(room, None):
            if not refused:
                self.epochs[room], self.rooms[room] = epoch, number(newest[0][0]) if newest else 0
            settle(opening, refused[0] if refused else None)
        elif room in self.rooms and accepted(epoch) != self.epochs[room]:
            self.epochs[room], self.rooms[room] = epoch, 0
            self.hand_over(Gap(room, "Redis has lost its memory"))

    def _take(self, room: str, n: int, text: str) -> None:
        position = self.rooms.get(room)
        if position is None or n <= position:  # closed meanwhile, and perhaps opened again
            return
        if not position:
            self._unsure.add(room)  # its stream has just begun, and would be kept for ever
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


def accepted(answer: Any) -> Any:
    """An answer of Redis that is no refusal. Raises `ResponseError`."""
    if isinstance(answer, Exception):
        raise answer
    return answer
