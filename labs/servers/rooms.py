"""Rooms: many clients on one server, everybody in a room hears what is said in it, and nobody holds up the others.

    ws://HOST:PORT/rooms?name=ada     JSON text frames, subprotocol rooms.v1 or none
        {"type": "join", "room": "blue"}                     joined, with the members, or in a crowd their count
        {"type": "leave", "room": "blue"}                    left
        {"type": "message", "room": "blue", "text": "hi"}    message, to all in the room, the sender too
                                                             presence, when others come and go; error, when it cannot be
    ws://HOST:PORT/echo               every message comes back
    GET /                             a page to chat on
    GET /metrics                      what has happened so far, as Prometheus collects it
    GET /healthz                      200

With --auth FILE, a JSON object of names and their secrets, the name in the query counts for nothing. The first message is
{"type": "auth", "secret": "…"}, answered by welcome; or the query has the ticket which GET /ticket gives to whoever sends
the secret as `Authorization: Bearer …`. A ticket is good for one connection and thirty seconds.

The close code 1001 says that the server stops, 1008 that a client sends too much too fast, 1009 that a message is too big,
1013 that a client reads too slowly and may come again, 4401 that it has not said who it is.
"""

import json
from contextlib import AbstractAsyncContextManager
from dataclasses import KW_ONLY, dataclass
from functools import partial

from websockets.asyncio.server import ServerConnection
from websockets.protocol import State

from labs import raw_engine
from labs.accounts import Accounts
from labs.handshake import Answer, Refusal, Request, query
from labs.hosting import amount, main, positive
from labs.lobby import GRACE_S, Lobby, Session
from labs.operations import choice, exposition, log_format, secrets_in, tls_from
from labs.rooms import Limits, Rooms
from labs.sockets import OPTIONS, RATE, Connection, Service, drop

ENGINES = ("websockets", "raw")
LIMITS = Limits()
DEFAULTS = OPTIONS | {
    "max_size": (16 * 1024, "largest message in bytes", positive),
    "rate": (20.0, "messages a second that one client may send, 0 for any number", amount),
    "engine": ("websockets", "who carries the frames: websockets, or raw for the course's own codec", choice(*ENGINES)),
    "auth": (None, "a JSON file of names and their secrets (default: the name in the query is taken)", secrets_in),
    "most": (10_000, "how many connections there may be", positive),
    "rooms_each": (LIMITS.rooms_each, "how many rooms a connection may be in", positive),
    "rooms": (LIMITS.rooms, "how many rooms there may be", positive),
    "members": (LIMITS.members, "how many members a room may have", positive),
    "cert": (None, "a certificate for TLS", str),
    "key": (None, "its private key (default: in the same file)", str),
    "log": ("text", "how the log is written: text, or json for one object a line", log_format),
}


class Socket(Session):
    """A session over a connection of the `websockets` library."""

    __slots__ = ("protocol", "socket")

    def __init__(self, socket: ServerConnection):
        super().__init__(socket.transport)
        self.socket, self.protocol = socket, socket.protocol
        socket.session = self

    def write(self, data: bytes) -> bool:
        return self.protocol.state is State.OPEN and super().write(data)

    def close(self, code: int, reason: str) -> None:
        """Not the library's `close`, which waits until all that was written before it has been read."""
        if self.protocol.state is State.OPEN:
            self.closed = True
            self.protocol.send_close(code, reason)
            self.socket.send_data()
            self.socket.loop.call_later(GRACE_S, drop, self.transport)


class Watching(Connection):
    """A connection of `websockets` that says so when the library has written to it, or it has ended."""

    session: Session | None = None

    def send_data(self):
        super().send_data()
        self.wrote()

    def connection_lost(self, error):
        super().connection_lost(error)
        self.wrote()

    def wrote(self):
        """Let the session look again before it writes the next time."""
        if self.session:
            self.session.straight = None


async def rooms(lobby: Lobby, socket: ServerConnection) -> None:
    """One connection, from its first message to its last."""
    session = Socket(socket)
    lobby.opened(session, query(socket.request.path))
    try:
        async for message in socket:
            lobby.received(session, message)
    finally:
        lobby.closed(session)


async def echo(socket: ServerConnection) -> None:
    """Send every message back as it came."""
    async for message in socket:
        await socket.send(message)


def ticket(accounts: Accounts, request: Request) -> Answer:
    """GET /ticket: a ticket for whoever has a secret. Raises `Refusal`."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    name = accounts.name_of(secret) if scheme.lower() == "bearer" else None
    if name is None:
        raise Refusal(401, "send a secret as Authorization: Bearer", {"WWW-Authenticate": "Bearer"})
    body = json.dumps({"ticket": accounts.issue(name), "name": name})
    return Answer(200, body, {"Content-Type": "application/json", "Cache-Control": "no-store"})


@dataclass
class RoomsService(Service):
    """A rooms server before it listens."""

    _: KW_ONLY
    lobby: Lobby
    engine: str

    def serving(self, address: str, port: int) -> AbstractAsyncContextManager[str]:
        if self.engine == "raw":
            return raw_engine.Engine(self, self.lobby).serving(address, port)
        return super().serving(address, port)


def make_app(
    *, engine="websockets", rate=20.0, auth=None, most=10_000, cert=None, key=None, log=None, **more
) -> RoomsService:
    """The service. `auth` maps names to secrets; for the rest see the options."""
    limits = Limits(**{name: more.pop(name) for name in ("rooms_each", "rooms", "members") if name in more})
    accounts = Accounts(auth) if auth is not None else None
    lobby = Lobby(Rooms(limits=limits), accounts=accounts, rate=rate, most=most)
    reads = {"/metrics": lambda request: Answer(200, exposition(lobby))}
    if accounts:
        reads["/ticket"] = partial(ticket, accounts)
    return RoomsService(
        {"/rooms": partial(rooms, lobby), "/echo": echo},
        "rooms.html",
        lobby=lobby,
        engine=engine,
        protocols=("rooms.v1",),
        connection=Watching,
        admit=lobby.admit,
        reads=reads,
        rate=max(RATE, 10 * rate) if rate else 0.0,  # of pings and all; `lobby` counts the messages
        tls=tls_from(cert, key),
        **{"max_size": 16 * 1024} | more,
    )


if __name__ == "__main__":
    main(make_app, __doc__, **DEFAULTS)
