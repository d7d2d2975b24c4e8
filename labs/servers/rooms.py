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

from labs.hosting import fast_loop, main
from labs.rooms.accounts import Accounts
from labs.rooms.engines import DEFAULTS, LobbyService, service
from labs.rooms.lobby import Lobby
from labs.rooms.registry import Limits, Rooms


def make_app(
    *, rate=20.0, auth=None, most=10_000, rooms_each=20, rooms=10_000, members=10_000, log=None, **more
) -> LobbyService:
    """The service. `auth` maps names to secrets; for the rest see the options."""
    limits = Limits(rooms_each=rooms_each, rooms=rooms, members=members)
    accounts = Accounts(auth) if auth is not None else None
    return service(Lobby(Rooms(limits=limits), accounts=accounts, rate=rate, most=most), rate=rate, **more)


if __name__ == "__main__":
    main(make_app, __doc__, fast_loop, **DEFAULTS)
