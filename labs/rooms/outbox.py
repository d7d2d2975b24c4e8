"""How one message reaches many sockets: encoded once, joined with what follows it, written at once, bounded for each reader.

    fanout.post(room, frame)               # to each of room.members, at the end of this turn of the event loop

Design notes
  * A message to n readers costs n writes whatever else is done well, and a write costs far more than all of our Python.
    So what is posted to a room within one turn of the event loop leaves as one write for each reader.
  * A write goes straight to the kernel while nothing waits in the transport; it then knows nothing of it. Otherwise it has
    to queue there, or bytes would overtake one another in the middle of a frame.
  * Nobody waits for a slow reader, and no message is left out for it: when something is to be written and more than
    `BACKLOG` bytes still wait here, it is given up, and that is told it by close code 1013. So at most BACKLOG bytes and
    one write wait for it here, and `KERNEL` bytes in the system's own buffer.
"""

import asyncio
import os
import socket
from collections.abc import Collection
from typing import Protocol

BACKLOG = 256 * 1024  # bytes that may wait for one reader
JOINED = 64 * 1024  # bytes that are joined to one write, besides a longer frame
KERNEL = 128 * 1024  # bytes of the system's send buffer, which by itself would grow to megabytes


class Outbox:
    """The way out to one reader, over its transport. `give_up` is called when it reads too slowly; it has to close."""

    __slots__ = ("_descriptor", "closed", "straight", "transport")

    def __init__(self, transport: asyncio.Transport):
        self.transport = transport
        self.closed = False  # nothing is written any more: a close frame has been sent, or the connection has ended
        self.straight = None  # where to write without asking anybody; see `write_to_each`
        self._descriptor = descriptor(transport)

    def write(self, data: bytes) -> bool:
        """Send this, or keep it until the reader has read what waits before it, or give the reader up.

        Returns whether the kernel took it all.
        """
        if self.closed:
            return False
        waiting = self.transport.get_write_buffer_size()
        if waiting > BACKLOG:
            self.give_up()
            return False
        if not waiting and self._descriptor is not None:
            try:
                sent = os.write(self._descriptor, data)
            except OSError:  # the kernel's buffer is full, or the transport will find out why not
                sent = 0
            data = data[sent:]
        if data:
            self.transport.write(data)
        return not data

    def give_up(self) -> None:
        """Close this connection with 1013. Whoever makes it a connection says how."""
        raise NotImplementedError


class Watched(Outbox):
    """The way out to a reader to whom nobody else writes, or whose `straight` is set to None whenever somebody does.

    So there is nothing to ask before the next write to it, as long as the kernel has taken the last one.
    """

    __slots__ = ()

    def write(self, data: bytes) -> bool:
        taken = super().write(data)
        self.straight = self._descriptor if taken else None
        return taken


def descriptor(transport: asyncio.Transport) -> int | None:
    """The file descriptor to write to past the transport, if that is possible: on POSIX, and not through TLS.

    Limits the system's send buffer, too, where there is one: in virtual time there is none, and no descriptor.
    """
    connection = transport.get_extra_info("socket")
    if connection is None or not isinstance(connection.fileno(), int):
        return None
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL // 2)  # Linux doubles it
    plain = transport.get_extra_info("sslcontext") is None and os.name == "posix"
    return connection.fileno() if plain else None


class Group(Protocol):
    """A room, as far as this module knows it: those who are to get what is posted to it."""

    members: Collection[Outbox]


class Fanout:
    """Frames on their way to groups of readers, all that come within one turn of the event loop."""

    def __init__(self):
        self.frames: dict[Group, list[bytes]] = {}
        self.size = 0  # bytes

    def post(self, group: Group, frame: bytes) -> None:
        """Send a frame to a group's members, together with all else that is posted within this turn."""
        if not self.frames:
            asyncio.get_running_loop().call_soon(self.flush)
        self.frames.setdefault(group, []).append(frame)
        self.size += len(frame)
        if self.size > JOINED:
            self.flush()

    def flush(self) -> None:
        """Send now what has been posted. Whoever changes a group's members calls it first."""
        frames, self.frames, self.size = self.frames, {}, 0
        for group, waiting in frames.items():
            write_to_each(group.members, b"".join(waiting))


def write_to_each(readers: Collection[Outbox], data: bytes) -> None:
    """One write for each reader; of most of them nothing is touched but the number of their descriptor."""
    size = len(data)
    for reader in list(readers):  # one that is given up may leave the group at once
        if reader.straight is None:
            reader.write(data)
            continue
        try:
            sent = os.write(reader.straight, data)
        except OSError:
            sent = 0
        if sent < size:
            reader.write(data[sent:])
