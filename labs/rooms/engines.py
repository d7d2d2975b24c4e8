"""What every server of rooms is made of besides its lobby: who carries its connections, its paths, and its options.

    service(Lobby(rooms), engine="raw")       # labs.sockets.Service, ready to serve

Its connections are those of the `websockets` library, or of the course's own codec (`labs.rooms.raw_engine`).
"""

import json
from contextlib import AbstractAsyncContextManager
from dataclasses import KW_ONLY, dataclass
from functools import partial

from websockets.asyncio.server import ServerConnection
from websockets.protocol import State

from labs.handshake import Answer, Refusal, Request, query
from labs.hosting import amount, positive
from labs.rooms import raw_engine
from labs.rooms.accounts import Accounts
from labs.rooms.lobby import GRACE_S, Lobby, Session
from labs.rooms.operations import choice, exposition, log_format, secrets_in, tls_from
from labs.rooms.registry import Limits
from labs.sockets import OPTIONS as SOCKET_OPTIONS
from labs.sockets import RATE, Connection, Service, drop

ENGINES = ("websockets", "raw")
LIMITS = Limits()
DEFAULTS = SOCKET_OPTIONS | {
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
class LobbyService(Service):
    """A server of rooms before it listens."""

    _: KW_ONLY
    lobby: Lobby
    engine: str

    def serving(self, address: str, port: int) -> AbstractAsyncContextManager[str]:
        if self.engine == "raw":
            return raw_engine.Engine(self, self.lobby).serving(address, port)
        return super().serving(address, port)


def service(
    lobby: Lobby,
    *,
    kind: type[LobbyService] = LobbyService,
    engine="websockets",
    rate=20.0,
    cert=None,
    key=None,
    **more,
) -> LobbyService:
    """The paths of a server of rooms, and what carries them; `more` goes to `Service`."""
    reads = {"/metrics": lambda request: Answer(200, exposition(lobby))}
    if lobby.accounts:
        reads["/ticket"] = partial(ticket, lobby.accounts)
    return kind(
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
