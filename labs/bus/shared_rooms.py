"""The rooms of one server of several: some of those who are in a room are there on another server.

    rooms.elsewhere_now("blue", "ada", "server-2", True)      # what the members here are told, if it is news to them

A name counts once for every connection here and once for every other server that has it, so it joins with the first of them
and leaves with the last, wherever they are.
"""

from collections import Counter
from dataclasses import dataclass

from labs.rooms.registry import Delivery, Member, Room, Rooms


@dataclass(frozen=True)
class Elsewhere:
    """Somebody who is in a room on another server."""

    name: str
    rooms: tuple = ()


class SharedRooms(Rooms):
    """Rooms, and which names are in them on other servers. `touched` gathers whose presence here may have changed."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.elsewhere: dict[str, dict[str, set[str]]] = {}  # room, name, servers
        self.touched: dict[tuple[str, str], None] = {}  # room and name

    def here(self, room: str, name: str) -> bool:
        """Whether this name has a connection on this server that is in the room."""
        return room in self.rooms and self.rooms[room].names[name] > len(self._servers(room, name))

    def names_here(self, room: str) -> list[str]:
        """The names that are in the room on this server."""
        return [name for name in self.rooms[room].names if self.here(room, name)] if room in self.rooms else []

    def elsewhere_now(self, room: str, name: str, server: str, there: bool) -> list[Delivery]:
        """Another server has this name in the room, or no longer."""
        servers = self.elsewhere.setdefault(room, {}).setdefault(name, set())
        if (server in servers) is there:
            return []
        servers ^= {server}
        return self._counted(self.rooms[room], name, 1 if there else -1) if room in self.rooms else []

    def replace_elsewhere(self, room: str, found: dict[str, set[str]]) -> list[Delivery]:
        """All that other servers have in the room; what has changed is told."""
        known = {(name, server) for name, servers in self.elsewhere.get(room, {}).items() for server in servers}
        now = {(name, server) for name, servers in found.items() for server in servers}
        changes = [(*pair, False) for pair in sorted(known - now)] + [(*pair, True) for pair in sorted(now - known)]
        return [delivery for change in changes for delivery in self.elsewhere_now(room, *change)]

    def empty_room(self, name: str) -> Room:
        there = self.elsewhere.get(name, {})
        return Room(name, names=Counter({name: len(servers) for name, servers in there.items() if servers}))

    def _counted(self, room: Room, name: str, step: int) -> list[Delivery]:
        before = room.names[name]
        room.names[name] += step
        if before and room.names[name]:
            return []
        if not room.names[name]:
            del room.names[name]
        return self._presence(room, "joined" if step > 0 else "left", Elsewhere(name))

    def _servers(self, room: str, name: str) -> set[str]:
        return self.elsewhere.get(room, {}).get(name, set())

    def _add(self, member: Member, room: Room) -> list[Delivery]:
        told = super()._add(member, room)
        self.touched[room.name, member.name] = None
        return told

    def _remove(self, member: Member, room: Room) -> list[Delivery]:
        self.touched[room.name, member.name] = None
        return super()._remove(member, room)
