"""The rooms contract without I/O: what clients may say, who is in which room, and who is told what.

    rooms = Rooms()
    for recipients, message in rooms.receive(member, '{"type": "join", "room": "blue"}'):
        ...                                    # a `Room` (all who are in it when it is sent) or a list of members

Design notes
  * A member is one connection: anything with a `name` and a list `rooms`. One person may be there twice, in two tabs;
    others are told of names, so a name joins with its first connection and leaves with its last.
  * Presence costs n² messages when n join. Above `CROWD` members nobody is named any more: `counts`, which the server
    asks for at most once a second, tells how many there are.
  * What a client got wrong is answered with an `error`, and changes nothing.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from labs.clock import now_ns
from labs.rooms.codec import Refusal, Request, parse

CROWD = 50  # members; of larger rooms only the number of names is told


class Member(Protocol):
    """One connection, as far as this module knows it."""

    name: str
    rooms: list["Room"]  # in the order in which it joined; `Rooms` keeps it


@dataclass(eq=False, slots=True)
class Room:
    """Who is in one room, and how many messages it has had. It is forgotten with the last who leaves."""

    name: str
    members: dict[Member, None] = field(default_factory=dict)  # a set that keeps its order
    names: Counter[str] = field(default_factory=Counter)  # by how many connections
    last_id: int = 0

    @property
    def crowded(self) -> bool:
        # more names than members: the others are on other servers
        return max(len(self.members), len(self.names)) > CROWD


@dataclass(frozen=True, slots=True)
class Limits:
    """How many rooms one connection may be in, how many there may be, and how many members each."""

    rooms_each: int = 20
    rooms: int = 10_000
    members: int = 10_000


Delivery = tuple[Room | Sequence[Member], dict]  # to whom, what


class Rooms:
    """All rooms of a server. Every method returns what is to be delivered, in order."""

    def __init__(self, *, limits: Limits = Limits(), clock: Callable[[], int] = now_ns):
        self.limits, self.clock = limits, clock
        self.rooms: dict[str, Room] = {}
        self.changed: dict[Room, None] = {}  # crowded rooms whose members are still to be told how many they are

    def receive(self, member: Member, text: str | bytes) -> list[Delivery]:
        """Do what a client's frame asks for, or answer with an `error`."""
        try:
            return self.act(member, parse(text))
        except Refusal as refusal:
            return [([member], refusal.message())]

    def act(self, member: Member, request: Request) -> list[Delivery]:
        """Do what is asked for. Raises `Refusal`."""
        if request.type == "join":
            return self.join(member, request.room)
        room = self.entered(member, request.room)
        return (
            self.leave(member, room) if request.type == "leave" else [(room, self.stamped(room, member, request.text))]
        )

    def join(self, member: Member, name: str) -> list[Delivery]:
        """Into the room of this name; whoever is there already is told once more who else is. Raises `Refusal`."""
        room = self.rooms.get(name) or self.empty_room(name)
        others = [] if member in room.members else self._add(member, room)
        return [*others, ([member], {"type": "joined", "room": name, **who(room)})]

    def leave(self, member: Member, room: Room) -> list[Delivery]:
        """Out of a room that it is in."""
        return [([member], {"type": "left", "room": room.name}), *self._remove(member, room)]

    def depart(self, member: Member) -> list[Delivery]:
        """Out of all rooms, because the connection has ended."""
        return [delivery for room in list(member.rooms) for delivery in self._remove(member, room)]

    def empty_room(self, name: str) -> Room:
        """A room as its first member finds it."""
        return Room(name)

    def entered(self, member: Member, name: str) -> Room:
        """The room of this name that the member is in. Raises `Refusal`."""
        room = self.rooms.get(name)
        if room is None or member not in room.members:
            raise Refusal("not_joined", "join the room first")
        return room

    def stamped(self, room: Room, member: Member, text: str) -> dict:
        """The next message of a room, with its number and its time in monotonic nanoseconds."""
        room.last_id += 1
        stamp = {"id": room.last_id, "sender": member.name, "text": text, "at": self.clock()}
        return {"type": "message", "room": room.name, **stamp}

    def counts(self) -> list[Delivery]:
        """How many there are now in the crowded rooms where that has changed. Ask at most once a second."""
        changed, self.changed = self.changed, {}
        return [(room, {"type": "presence", "room": room.name, "count": len(room.names)}) for room in changed]

    def _add(self, member: Member, room: Room) -> list[Delivery]:
        if len(member.rooms) >= self.limits.rooms_each:
            raise Refusal("too_many_rooms", f"a connection is in {self.limits.rooms_each} rooms at most")
        if len(room.members) >= self.limits.members:
            raise Refusal("room_full", f"a room has {self.limits.members} members at most")
        if not room.members and len(self.rooms) >= self.limits.rooms:
            raise Refusal("too_many_rooms", f"this server has {self.limits.rooms} rooms at most")
        self.rooms[room.name] = room
        room.members[member] = None
        member.rooms.append(room)
        room.names[member.name] += 1
        return self._presence(room, "joined", member) if room.names[member.name] == 1 else []

    def _remove(self, member: Member, room: Room) -> list[Delivery]:
        del room.members[member]
        member.rooms.remove(room)
        room.names[member.name] -= 1
        if not room.members:
            del self.rooms[room.name]
        if room.names[member.name]:
            return []
        del room.names[member.name]
        return self._presence(room, "left", member)

    def _presence(self, room: Room, what: str, about: Member) -> list[Delivery]:
        """Tell the others at once, or in a crowd later and all together."""
        if room.crowded:
            self.changed[room] = None
            return []
        others = [member for member in room.members if member is not about]
        return [(others, {"type": "presence", "room": room.name, what: about.name})] if others else []


def who(room: Room) -> dict:
    """Who is in a room, as its newest member is told: the names, or in a crowd how many there are."""
    return {"count": len(room.names)} if room.crowded else {"members": sorted(room.names)}
