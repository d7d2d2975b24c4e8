"""Exercise 5.5: `make_chat()`, a rooms server of one's own."""

import asyncio
import json
from collections import defaultdict
from contextlib import suppress
from itertools import count
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import broadcast
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.protocol import State

from exercises.e5_1_dispatch import right_step_by_step as dispatch  # under another name, so that it is no answer here
from exercises.e5_2_registry import right_two_indexes as Registry
from exercises.e5_4_outbox import right_list_and_size as Outbox
from labs.clock import now_ns
from labs.frames import Opcode, encode


class Member:
    """As the notebook has it."""

    def __init__(self, socket):
        self.socket = socket
        self.name = name_of(socket)
        self.outbox = Outbox(self, self.close, limit=100_000)

    def get_write_buffer_size(self):
        return self.socket.transport.get_write_buffer_size()

    def write(self, data):
        if self.socket.state is State.OPEN:
            self.socket.transport.write(data)

    def close(self, code):
        asyncio.get_running_loop().call_later(5, self.socket.transport.abort)
        self.closing = asyncio.create_task(self.socket.close(code))


def name_of(socket):
    return parse_qs(urlsplit(socket.request.path).query)["name"][0]


class right_outboxes:
    """A right answer in parts, of which each wrong one changes one."""

    def __init__(self):
        self.registry, self.last_ids = Registry(), {}

    async def __call__(self, socket):
        member = self.new(socket)
        handlers = {
            kind: lambda message, handler=handler: handler(member, message)
            for kind, handler in (("join", self.join), ("leave", self.leave), ("message", self.say))
        }
        try:
            await self.listen(socket, member, handlers)
        finally:
            self.part(member)

    def new(self, socket):
        return Member(socket)

    async def listen(self, socket, member, handlers):
        with suppress(ConnectionClosedError):
            async for text in socket:
                if reply := dispatch(text, handlers):
                    self.tell([member], reply)

    def tell(self, members, message):
        frame = encode(Opcode.TEXT, json.dumps(message).encode())
        for member in members:
            member.outbox.put(frame)

    def join(self, member, message):
        room = message.get("room")
        self.tell(self.registry.join(room, member), {"type": "presence", "room": room, "joined": member.name})
        return {"type": "joined", "room": room, "members": [one.name for one in self.registry.members(room)]}

    def leave(self, member, message):
        room = self.room_of(member, message)
        self.farewell(member, room, self.registry.leave(room, member))
        return {"type": "left", "room": room}

    def say(self, member, message):
        room, text = self.room_of(member, message), message.get("text")
        if not isinstance(text, str):
            raise ValueError("a message has a text")
        self.last_ids[room] = number = self.last_ids.get(room, 0) + 1
        stamp = {"id": number, "sender": member.name, "text": text, "at": now_ns()}
        self.tell(self.registry.members(room), {"type": "message", "room": room, **stamp})

    def room_of(self, member, message):
        if member not in self.registry.members(message.get("room")):
            raise ValueError("join the room first")
        return message["room"]

    def farewell(self, member, room, others):
        self.tell(others, {"type": "presence", "room": room, "left": member.name})
        if not others:
            self.last_ids.pop(room, None)

    def part(self, member):
        for room, others in self.registry.leave_all(member).items():
            self.farewell(member, room, others)


class Queued:
    """A member with a queue, and a task that writes what is in it."""

    def __init__(self, socket):
        self.socket, self.name, self.waiting = socket, name_of(socket), 0
        self.queue, self.task = asyncio.Queue(), asyncio.create_task(self.run())

    async def run(self):
        with suppress(ConnectionClosed):
            while True:
                text = await self.queue.get()
                await self.socket.send(text)
                self.waiting -= len(text)

    def put(self, text):
        self.waiting += len(text)
        if self.waiting <= 100_000:
            self.queue.put_nowait(text)
        elif not self.task.cancelled():
            self.task.cancel()
            self.closing = asyncio.create_task(self.close())

    async def close(self):
        with suppress(TimeoutError):
            async with asyncio.timeout(3):
                await self.socket.close(1013, "too slow")
        self.socket.transport.abort()


class right_queues_and_tasks(right_outboxes):
    def new(self, socket):
        return Queued(socket)

    def tell(self, members, message):
        text = json.dumps(message, ensure_ascii=False)
        for member in members:
            member.put(text)

    def part(self, member):
        member.task.cancel()
        super().part(member)


def right_library():
    """With nothing of the earlier exercises: the sockets themselves are the members."""
    rooms, ids, closing = defaultdict(dict), defaultdict(lambda: count(1)), set()

    def tell(sockets, **message):
        broadcast(sockets, json.dumps(message))
        for socket in sockets:
            if socket.transport.get_write_buffer_size() > 90_000 and socket.state is State.OPEN:
                closing.add(asyncio.create_task(socket.close(1013)))
                asyncio.get_running_loop().call_later(2, socket.transport.abort)

    def leave(socket, room):
        name = rooms[room].pop(socket)
        tell(list(rooms[room]), type="presence", room=room, left=name)
        if not rooms[room]:
            del rooms[room]
            ids.pop(room, None)

    def act(socket, name, kind, room, text=None, **more):
        if kind == "join":
            if not room or len(room) > 64 or not room.replace("-", "a").isalnum() or room != room.lower():
                raise ValueError("a name, please")
            if socket not in rooms[room]:
                tell(list(rooms[room]), type="presence", room=room, joined=name)
                rooms[room][socket] = name
            tell([socket], type="joined", room=room, members=list(rooms[room].values()))
        elif kind not in ("leave", "message") or socket not in rooms.get(room, ()):
            raise ValueError("not that")
        elif kind == "leave":
            leave(socket, room)
            tell([socket], type="left", room=room)
        else:
            text.encode()
            stamp = {"id": next(ids[room]), "sender": name, "at": now_ns()}
            tell(list(rooms[room]), type="message", room=room, text=text, **stamp)

    async def chat(socket):
        name = name_of(socket)
        try:
            async for frame in socket:
                try:
                    message = json.loads(frame)
                    act(socket, name, message.pop("type"), message.pop("room"), **message)
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                    tell([socket], type="error", code="bad_message", detail=repr(error)[:100])
        except ConnectionClosed:
            pass
        finally:
            for room in [room for room, there in rooms.items() if socket in there]:
                leave(socket, room)

    return chat


class wrong_shares_state(right_outboxes):
    registry, last_ids = Registry(), {}

    def __init__(self):
        pass


def wrong_not_a_handler():
    return {"join": None, "leave": None}


def wrong_not_async():
    def chat(socket):
        Member(socket)

    return chat


class NotYet(Outbox):
    def put(self, frame):
        raise NotImplementedError


class wrong_needs_a_piece(right_outboxes):
    def new(self, socket):
        member = Member(socket)
        member.outbox = NotYet(member, member.close, 100_000)
        return member


class wrong_not_text(right_outboxes):
    def tell(self, members, message):
        frame = encode(Opcode.BINARY, json.dumps(message).encode())
        for member in members:
            member.outbox.put(frame)


class wrong_tells_the_newcomer(right_outboxes):
    def join(self, member, message):
        room = message.get("room")
        self.registry.join(room, member)
        there = self.registry.members(room)
        self.tell(there, {"type": "presence", "room": room, "joined": member.name})
        return {"type": "joined", "room": room, "members": [one.name for one in there]}


class wrong_forgets_the_newcomer(right_outboxes):
    def join(self, member, message):
        others = self.registry.members(message.get("room"))
        return super().join(member, message) | {"members": [one.name for one in others]}


class wrong_joins_in_silence(right_outboxes):
    def join(self, member, message):
        room = message.get("room")
        self.registry.join(room, member)
        return {"type": "joined", "room": room, "members": [one.name for one in self.registry.members(room)]}


class wrong_no_answer(right_outboxes):
    def join(self, member, message):
        super().join(member, message)


class wrong_no_answer__leave(right_outboxes):
    def leave(self, member, message):
        super().leave(member, message)


class wrong_leaves_in_silence(right_outboxes):
    def leave(self, member, message):
        room = self.room_of(member, message)
        self.registry.leave(room, member)
        return {"type": "left", "room": room}


class wrong_tells_the_leaver(right_outboxes):
    def leave(self, member, message):
        room = self.room_of(member, message)
        self.farewell(member, room, self.registry.members(room))
        self.registry.leave(room, member)
        return {"type": "left", "room": room}


class speaking(right_outboxes):
    """Says a message in another way: with the members `to`, and the count `of`."""

    def say(self, member, message):
        room, text = self.room_of(member, message), message.get("text")
        if not isinstance(text, str):
            raise ValueError("a message has a text")
        self.last_ids[self.of(room)] = number = self.last_ids.get(self.of(room), 0) + 1
        stamp = {"id": number, "sender": member.name, "text": text, "at": now_ns()}
        self.tell(self.to(room, member), {"type": "message", "room": room} | self.stamped(stamp))

    def of(self, room):
        return room

    def to(self, room, member):
        return self.registry.members(room)

    def stamped(self, stamp):
        return stamp


class wrong_sender_hears_nothing(speaking):
    def to(self, room, member):
        return self.registry.members(room) - {member}


class wrong_others_hear_nothing(speaking):
    def to(self, room, member):
        return [member]


class wrong_wrong_id(speaking):
    def of(self, room):
        return "all"


class wrong_wrong_id__from_zero(speaking):
    def stamped(self, stamp):
        return stamp | {"id": stamp["id"] - 1}


class wrong_not_the_contract(speaking):
    def stamped(self, stamp):
        return {"from" if key == "sender" else key: value for key, value in stamp.items()}


class wrong_lets_outsiders_speak(right_outboxes):
    def room_of(self, member, message):
        self.registry.members(message.get("room"))
        return message["room"]


class wrong_lets_outsiders_leave(right_outboxes):
    def leave(self, member, message):
        room = message.get("room")
        self.farewell(member, room, self.registry.leave(room, member))
        return {"type": "left", "room": room}


class wrong_counts_what_it_refused(right_outboxes):
    def say(self, member, message):
        room = message.get("room")
        self.last_ids[room] = number = self.last_ids.get(room, 0) + 1
        if not isinstance(message.get("text"), str):
            raise ValueError("a message has a text")
        self.room_of(member, message)
        stamp = {"id": number, "sender": member.name, "text": message["text"], "at": now_ns()}
        self.tell(self.registry.members(room), {"type": "message", "room": room, **stamp})


class wrong_hears_it_twice(right_outboxes):
    def say(self, member, message):
        super().say(member, message)
        stamp = {"id": self.last_ids[message["room"]], "sender": member.name, "at": now_ns()}
        return message | stamp


class wrong_no_error(right_outboxes):
    async def listen(self, socket, member, handlers):
        with suppress(ConnectionClosedError):
            async for text in socket:
                reply = dispatch(text, handlers)
                if reply and reply["type"] != "error":
                    self.tell([member], reply)


class wrong_stays_when_closed(right_outboxes):
    async def __call__(self, socket):
        self.part, part = (lambda member: None), self.part
        try:
            await super().__call__(socket)
        except ConnectionClosed:
            part(None)


class wrong_stays_when_vanished(right_outboxes):
    async def listen(self, socket, member, handlers):
        async for text in socket:
            if reply := dispatch(text, handlers):
                self.tell([member], reply)
        super().part(member)

    def part(self, member):
        pass


class wrong_dies_of_words(right_outboxes):
    async def listen(self, socket, member, handlers):
        with suppress(ConnectionClosedError):
            async for text in socket:
                message = json.loads(text)
                if message["type"] not in handlers:
                    raise ValueError(message["type"])
                if reply := dispatch(text, handlers):
                    self.tell([member], reply)


class wrong_dies_of_no_text(right_outboxes):
    def say(self, member, message):
        super().say(member, message | {"text": message["text"]})


class wrong_takes_any_text(right_outboxes):
    def say(self, member, message):
        if "text" not in message:
            raise ValueError("a message has a text")
        super().say(member, message | {"text": str(message["text"])})


class wrong_loses_in_a_burst(right_outboxes):
    def say(self, member, message):
        if self.last_ids.get(message.get("room"), 0) < 15:
            super().say(member, message)


class wrong_out_of_order(right_outboxes):
    """Some messages take longer than others before they are put."""

    def tell(self, members, message):
        frame = encode(Opcode.TEXT, json.dumps(message).encode())
        for member in members:
            asyncio.get_running_loop().call_later(message.get("id", 0) % 3 / 1000, member.outbox.put, frame)


class wrong_waits_for_the_slow(right_outboxes):
    """Awaits each send in turn."""

    def __init__(self):
        super().__init__()
        self.pending = defaultdict(list)

    async def __call__(self, socket):
        try:
            await super().__call__(socket)
        finally:
            await self.flush()

    async def listen(self, socket, member, handlers):
        with suppress(ConnectionClosedError):
            async for text in socket:
                reply = dispatch(text, handlers)
                self.tell([member] if reply else [], reply)
                await self.flush()

    def tell(self, members, message):
        self.pending[asyncio.current_task()] += [(member, json.dumps(message)) for member in members]

    async def flush(self):
        for member, text in self.pending.pop(asyncio.current_task(), ()):
            with suppress(ConnectionClosed):
                await member.socket.send(text)


class wrong_wrong_among_twenty(right_outboxes):
    def join(self, member, message):
        reply = super().join(member, message)
        return reply | {"members": reply["members"][:10]}


class wrong_stays_when_stopped(right_outboxes):
    def part(self, member):
        if not member.outbox.closed:
            super().part(member)


class wrong_buffers_without_bound(right_outboxes):
    def tell(self, members, message):
        broadcast([member.socket for member in members], json.dumps(message))


class Abrupt(Member):
    """What each wrong answer about closing has instead."""

    def close(self, code):
        self.socket.transport.abort()


class wrong_buffers_without_bound__no_code(right_outboxes):
    def new(self, socket):
        return Abrupt(socket)


class Strict(Member):
    def close(self, code):
        super().close(1008)


class wrong_another_code(right_outboxes):
    def new(self, socket):
        return Strict(socket)


class Patient(Member):
    def close(self, code):
        self.closing = asyncio.create_task(self.socket.close(code))


class wrong_keeps_the_stopped(right_outboxes):
    def new(self, socket):
        return Patient(socket)
