"""One room, and five ways to send what comes in to everybody in it.

    ws://HOST:PORT/room    every text frame comes back to all who are connected here, the sender too, unchanged, in order

    --way in_turn          await the send to each member, one after the other
    --way gather           await the sends to all members together
    --way tasks            a task for each send, and nobody waits for it
    --way broadcast        websockets.broadcast: write to all, wait for none
    --way joined           encode once, join the frames of one turn of the event loop, and write once for each member

They differ in what a message costs, and in what happens to everybody else when one member stops reading. `labs.fanout`
measures both. The close code 1013 says that a member reads too slowly; only the last way ever uses it.
"""

import asyncio
from contextlib import suppress

import websockets
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from labs.frames import Opcode, encode
from labs.handshake import Refusal, Request
from labs.hosting import main
from labs.rooms.outbox import Fanout, Outbox
from labs.sockets import OPTIONS, Service

GRACE_S = 5.0  # for a member to answer a close frame


async def send(socket: ServerConnection, message: str) -> None:
    """Send to one member, who may be leaving. Waits while the member reads more slowly than we write."""
    with suppress(ConnectionClosed, TimeoutError):
        await socket.send(message)


async def in_turn(room: "Room", message: str) -> None:
    """The first idea: everybody waits for everybody who comes before them."""
    for socket in list(room.sockets):
        await send(socket, message)


async def gather(room: "Room", message: str) -> None:
    """All at once; but the next message waits until the slowest has this one."""
    await asyncio.gather(*(send(socket, message) for socket in room.sockets))


async def tasks(room: "Room", message: str) -> None:
    """Nobody waits. A task for each member and message does, for as long as the member likes."""
    for socket in room.sockets:
        task = asyncio.create_task(send(socket, message))
        room.sending.add(task)  # the event loop alone would not keep it
        task.add_done_callback(room.sending.discard)


async def broadcast(room: "Room", message: str) -> None:
    """What the library offers: no task, no waiting, and no bound on what piles up for a slow member."""
    websockets.broadcast(room.sockets, message)


async def joined(room: "Room", message: str) -> None:
    """Encoded once; written at the end of this turn, with whatever else is posted until then; bounded."""
    room.fanout.post(room, encode(Opcode.TEXT, message.encode()))


WAYS = {function.__name__: function for function in (in_turn, gather, tasks, broadcast, joined)}


class Member(Outbox):
    """The way out to one member. Only the last way uses it; its limit on the kernel's buffer holds for all of them."""

    __slots__ = ("socket",)

    def __init__(self, socket: ServerConnection):
        super().__init__(socket.transport)
        self.socket = socket

    def give_up(self) -> None:
        """Say why, behind what waits already. `socket.close` would wait for exactly the reader that does not read."""
        self.closed = True
        self.socket.protocol.send_close(1013, "reading too slowly")
        self.socket.send_data()
        self.socket.loop.call_later(GRACE_S, self.transport.abort)


class Room:
    """Everybody who is connected, and the way in which they are told."""

    def __init__(self, way):
        self.way = way
        self.present: dict[ServerConnection, Member] = {}
        self.sockets, self.members = self.present.keys(), self.present.values()
        self.sending: set[asyncio.Task] = set()
        self.fanout = Fanout()

    async def member(self, socket: ServerConnection) -> None:
        """One member, from beginning to end."""
        self.present[socket] = Member(socket)
        try:
            async for message in socket:
                await self.way(self, message)
        finally:
            self.present.pop(socket).closed = True


class OneRoom(Service):
    """The server: one room, no page, and /healthz that tells more."""

    def __init__(self, way, **settings):
        self.room = Room(way)
        super().__init__({"/room": self.room.member}, page="", **settings)

    def answer(self, request: Request):
        """An experiment has no page. Raises `Refusal`."""
        if request.path == "/":
            raise Refusal(404, "there is no page here")
        return super().answer(request)

    def health(self) -> dict:
        """Also how many are present, and `held`: the bytes that wait in this process for the slowest of them."""
        waiting = [socket.transport.get_write_buffer_size() for socket in self.room.sockets]
        return super().health() | {"members": len(waiting), "held": max(waiting, default=0)}


def way(name: str):
    """An option's value that is one of the ways. Raises `ValueError`."""
    if name not in WAYS:
        raise ValueError("no such way")
    return WAYS[name]


def make_app(*, way=in_turn, **settings) -> OneRoom:
    """The service: one room."""
    return OneRoom(way, **settings)


if __name__ == "__main__":
    options = OPTIONS | {"rate": (0, *OPTIONS["rate"][1:])}
    main(make_app, __doc__, **options, way=("in_turn", f"one of {', '.join(WAYS)}", way))
