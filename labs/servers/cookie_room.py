"""A room that knows its members by a cookie, to be attacked by a page of another origin that speaks in a member's name.

    GET /login?name=ada    sets the cookie `session`, then shows the page; a real server would ask for a password here
    ws://HOST:PORT/room    a text frame is said to all in the room, as {"name": "ada", "text": "hi"}
                           401 without the cookie, and 403 for a page of another origin, both before the upgrade
    GET /                  a page that shows what is said

Which cookies go along is decided by where a request goes, not only by the page that makes it. `HttpOnly` keeps a cookie
from scripts, and a script that opens a socket need not see it. `SameSite=Lax` keeps it from the pages of other sites. But
cookies do not know ports (RFC 6265 §8.5): two ports of 127.0.0.1 are two origins and one site, and so are chat.example.com
and blog.example.com, whoever writes there. (`SameSite=None` would give it to all sites; browsers want `Secure` with it, so
TLS.) What protects the room is that `Origin` is compared before the upgrade. --trusting is the server that forgot to.

To see it: start this with --trusting and log in. Then start `python -m http.server -b 127.0.0.1 -d labs/pages 8001`, and open,
in the same browser, http://127.0.0.1:8001/mallory.html?room=127.0.0.1:PORT with the port of the room.
"""

import json
import secrets
from dataclasses import replace
from functools import partial

from websockets.asyncio.server import ServerConnection, broadcast

from labs.handshake import Answer, Refusal, Request
from labs.hosting import amount, main, positive
from labs.rooms.codec import is_name
from labs.sockets import OPTIONS, Service

SESSIONS = 1000  # how many are known; the oldest is forgotten
LIMITS = {"max_size": 1024, "rate": 20.0}  # bytes, and messages a second: what may wait for one who does not read
COOKIE = "session={}; HttpOnly; SameSite=Lax; Path=/"


class Room:
    """Who has logged in, and who is here."""

    def __init__(self):
        self.sessions: dict[str, str] = {}  # a secret to the name of whoever has it
        self.members: set[ServerConnection] = set()

    def login(self, request: Request) -> Answer:
        """GET /login: a new session. Raises `Refusal`."""
        name, secret = request.query.get("name", ""), secrets.token_urlsafe()
        if not is_name(name):
            raise Refusal(400, "a name is 1 to 32 printable characters")
        self.sessions[secret] = name
        if len(self.sessions) > SESSIONS:
            del self.sessions[next(iter(self.sessions))]
        return Answer(303, "", {"Set-Cookie": COOKIE.format(secret), "Location": "./", "Cache-Control": "no-store"})

    def name(self, cookies: str) -> str | None:
        """Whose cookie this is. The header has those of all servers on this host, whatever their port."""
        found = dict(cookie.strip().partition("=")[::2] for cookie in cookies.split(";"))
        return self.sessions.get(found.get("session", ""))

    def admit(self, request: Request) -> None:
        """Refuse whoever has not logged in. Raises `Refusal`."""
        if self.name(request.headers.get("cookie", "")) is None:
            raise Refusal(401, "log in first", {"WWW-Authenticate": 'Cookie realm="room"'})


async def talk(room: Room, socket: ServerConnection) -> None:
    """One connection: what it says is said in the name that its cookie stands for."""
    name = room.name(socket.request.headers.get("Cookie", ""))
    room.members.add(socket)
    try:
        async for text in socket:
            if isinstance(text, bytes):
                return await socket.close(1003, "what is said is text")
            broadcast(room.members, json.dumps({"name": name, "text": text}))
    finally:
        room.members.discard(socket)


class Trusting(Service):
    """A server that forgets to look at `Origin`."""

    def answer(self, request: Request) -> Answer | None:
        headers = {name: value for name, value in request.headers.items() if name != "origin"}
        return super().answer(replace(request, headers=headers))


def make_app(*, trusting: bool = False, **more) -> Service:
    """The service. `trusting` takes a page of any origin for its own."""
    room = Room()
    paths = {"handlers": {"/room": partial(talk, room)}, "reads": {"/login": room.login}}
    return (Trusting if trusting else Service)(**paths, page="cookie_room.html", admit=room.admit, **LIMITS | more)


if __name__ == "__main__":
    options = OPTIONS | {
        "max_size": (LIMITS["max_size"], "largest message in bytes", positive),
        "rate": (LIMITS["rate"], "messages and pings a second that one client may send, 0 for any number", amount),
    }
    main(make_app, __doc__, **options, trusting=(False, "let pages of every origin in"))
