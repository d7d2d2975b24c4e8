"""A lobby that shares its rooms with the lobbies of other servers, by way of Redis.

What a member says is published and not delivered: it comes back from Redis, to this server and to all others, in one order.
A room is opened on the bus before its first member here is told `joined`, and closed after the last has left.

Design notes
  * Opening takes a round trip to Redis, so joining waits, and with it whatever the same client sends next. Nobody else waits.
  * Opening, closing and coming back are done one at a time for each room, under a lock that goes with its last user.
  * Who comes back with a cursor (Streams only) gets what it missed, then what is said from now on. While its past is read,
    what is said meanwhile is held for it; it is in the room only when both have been put together.
"""

import asyncio
import json
import re
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from urllib.parse import quote
from weakref import WeakValueDictionary

from redis.exceptions import ResponseError

from labs.bus.presence import SharedPresence
from labs.bus.pubsub import Bus, Gap, Message
from labs.bus.redis_lines import PATIENCE_S, Full
from labs.bus.shared_rooms import SharedRooms
from labs.bus.streams import Streams
from labs.feed import BadCursor, Gone
from labs.frames import Opcode, encode
from labs.rooms.codec import Refusal, parse, parse_object, to_json
from labs.rooms.lobby import Lobby, Session
from labs.rooms.registry import Room

KEY = re.compile(r"[A-Za-z0-9_.:-]{1,64}")  # by which a client's message is known when it is sent again
WAITING = 100  # messages of one client that may wait for its join


class SharedLobby(Lobby):
    """All sessions of one server of several. `join_bus` makes its bus from what it is to deliver to."""

    def __init__(self, url: str, join_bus: Callable[[Callable], Bus], rooms: SharedRooms, **settings):
        super().__init__(rooms, **settings)
        self.bus = join_bus(self._heard)
        self.presence = SharedPresence(url, rooms, self._deliver)
        self.open: set[str] = set()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._busy: dict[Session, deque[str | bytes]] = {}  # who waits for its join, and what it has said meanwhile
        self._held: dict[str, list[list[Message]]] = {}  # by room, for everyone whose past is being read
        self._tasks: set[asyncio.Task] = set()
        self._stack = AsyncExitStack()

    async def __aenter__(self):
        """Connect to Redis. Raises redis.exceptions.ConnectionError."""
        await self._stack.enter_async_context(self.bus)
        await self._stack.enter_async_context(self.presence)
        return self

    async def __aexit__(self, *exc_info) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    # What clients ask for.

    def received(self, session: Session, text: str | bytes) -> None:
        if session not in self._busy:
            super().received(session, text)
        elif len(self._busy[session]) < WAITING:
            self._busy[session].append(text)
        else:
            self.end(session, 1008, "too many messages")

    def closed(self, session: Session) -> None:
        left = [room.name for room in session.rooms] if session in self.sessions else []
        super().closed(session)
        self._after_leaving(left)

    def _done(self, session: Session, text: str) -> list:
        request = parse(text)
        if request.type == "message":
            self._publish(session, self.rooms.entered(session, request.room), request.text, text)
            return []
        if request.type == "join":
            after = parse_object(text).get("after")
            if after is not None or request.room not in self.open or request.room not in self.rooms.rooms:
                self._busy[session] = deque()
                self._start(self._finish(session, self._enter(session, request, after)))
                return []
        self.fanout.flush()
        deliveries = self._with_cursors(self.rooms.act(session, request))
        self._after_leaving([request.room])
        return deliveries

    def _publish(self, session: Session, room: Room, words: str, text: str) -> None:
        stamp = {"sender": session.name, "text": words, "at": self.rooms.clock()}
        key = parse_object(text).get("key") if '"key"' in text else None
        if key is not None:
            if not isinstance(key, str) or not KEY.fullmatch(key):
                raise Refusal("bad_key", "a key is 1 to 64 of the characters A-Z, a-z, 0-9 and _.:-")
            stamp["key"], key = key, f"{quote(session.name)}/{key}"
        try:
            self.bus.publish(room.name, to_json(stamp), key)
        except Full:
            raise Refusal("unavailable", "Redis does not answer, and too much waits for it already") from None

    async def _finish(self, session: Session, work: Awaitable[None]) -> None:
        """Wait for a join, tell the client if it failed, and then do what it has asked for meanwhile."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await work
        except Refusal as refusal:
            session.write(frame(to_json(refusal.message())))
        except (TimeoutError, ResponseError):
            session.write(frame(to_json(Refusal("unavailable", "Redis does not answer, or refuses").message())))
        waiting = self._busy.pop(session)
        while waiting and session not in self._busy:
            self.received(session, waiting.popleft())
        if waiting:
            self._busy[session].extend(waiting)

    async def _enter(self, session: Session, request, after) -> None:
        name = request.room
        try:
            async with self._lock(name):
                await self._open(name)
                told = await self._missed(name, after) if after is not None else []
                if session in self.sessions:  # no waiting from here on
                    self.fanout.flush()
                    self._deliver(self._with_cursors(self.rooms.act(session, request)))
                    for text in told:
                        session.write(frame(text))
        finally:
            self._after_leaving([name])

    async def _open(self, name: str) -> None:
        if name not in self.open:
            await self.bus.open(name)
            await self.presence.open(name)
            self.open.add(name)

    def _after_leaving(self, names: list[str]) -> None:
        if self.rooms.touched:
            self.presence.touched()
        for name in names:
            if name not in self.rooms.rooms:
                self._start(self._close(name))

    async def _close(self, name: str) -> None:
        async with self._lock(name):
            if name not in self.rooms.rooms:
                self.open.discard(name)
                await self.bus.close(name)
                await self.presence.close(name)

    async def _missed(self, name: str, after) -> list[str]:
        """What somebody who comes back is told first: all that it missed, up to what the members here have heard."""
        held: list[Message] = []
        self._held.setdefault(name, []).append(held)
        try:
            if not isinstance(after, str) or not isinstance(self.bus, Streams):
                raise BadCursor("there is no such cursor here")
            missed = await self.bus.since(name, after)
            while missed and self.bus.rooms.get(name, 0) < missed[-1].id:
                await asyncio.sleep(0.001)
        except Gone as gone:
            return [to_json({"type": "gap", "room": name, "detail": str(gone)})]
        except BadCursor as error:
            raise Refusal("bad_cursor", str(error)) from None
        finally:
            self._held[name].remove(held)
        last = missed[-1].id if missed else 0
        return [self._text(message) for message in (*missed, *(message for message in held if message.id > last))]

    # What comes from Redis.

    def _heard(self, item: Message | Gap) -> None:
        room = self.rooms.rooms.get(item.room)
        if isinstance(item, Message):
            if not is_stamp(item.data):
                return
            for held in self._held.get(item.room, ()):
                held.append(item)
        if room is not None:
            room.last_id += 1
            text = self._text(item, room.last_id)
            self.counted["delivered"] += len(room.members)
            self.fanout.post(room, frame(text))

    def _text(self, item: Message | Gap, number: int = 0) -> str:
        """The message as members get it: what the sender's server has written, after what only this server knows."""
        if isinstance(item, Gap):
            return to_json({"type": "gap", "room": item.room, "detail": item.why})
        cursor = "" if item.id is None else f'"cursor":"{self.bus.cursor(item.room, item.id)}",'
        return f'{{"type":"message","room":"{item.room}","id":{item.id or number},{cursor}{item.data[1:]}'

    def _with_cursors(self, deliveries: list) -> list:
        for _, message in deliveries:
            if message["type"] == "joined" and isinstance(self.bus, Streams):
                message["cursor"] = self.bus.cursor(message["room"], self.bus.rooms[message["room"]])
        return deliveries

    # Tasks and locks.

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    def _start(self, work) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def frame(text: str) -> bytes:
    """A text frame."""
    return encode(Opcode.TEXT, text.encode())


def is_stamp(data: str) -> bool:
    """Whether this is what a server of ours publishes; others may write to the same Redis."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and {"sender", "text", "at"} <= found.keys() and data.startswith("{")
