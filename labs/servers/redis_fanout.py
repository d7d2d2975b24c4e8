"""Rooms over many servers: whoever is in a room hears all that is said in it, on whichever server they are, through Redis.

    python -m labs.servers.redis_fanout --redis redis://127.0.0.1:6379 [--delivery pubsub|streams]

The rooms contract of `labs.servers.rooms`, with all its options, and besides:

    {"type": "gap", "room": "blue", "detail": why}      here messages may be missing: Pub/Sub keeps nothing for those who
                                                        were not connected when it was said
    {"type": "message", …, "key": "k1"}                 a client that got no word of its message sends it again with the
                                                        same key, and it is delivered once

With --delivery streams nothing that Redis keeps is lost: `joined` and every `message` carry a `cursor`, and

    {"type": "join", "room": "blue", "after": cursor}   on this server or another has all that came after it, or a gap if
                                                        that is no longer kept, or the error bad_cursor

Without Redis the server does not start; while Redis is away, nothing is delivered, and joins are answered `unavailable`.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from labs.bus.pubsub import PubSub
from labs.bus.redis_lines import BROKEN
from labs.bus.shared_lobby import SharedLobby
from labs.bus.shared_rooms import SharedRooms
from labs.bus.streams import Streams
from labs.hosting import main
from labs.rooms.accounts import Accounts
from labs.rooms.engines import DEFAULTS, LobbyService, service
from labs.rooms.operations import choice
from labs.rooms.registry import Limits

DELIVERY = {"pubsub": PubSub, "streams": Streams}
LOCAL_REDIS = "redis://127.0.0.1:6379"


class Fanout(LobbyService):
    """A rooms server that is connected to Redis for as long as it serves."""

    @asynccontextmanager
    async def serving(self, address: str, port: int) -> AsyncIterator[str]:
        async with self.lobby, super().serving(address, port) as url:
            yield url


def make_app(
    *,
    redis=LOCAL_REDIS,
    delivery="pubsub",
    rate=20.0,
    auth=None,
    most=10_000,
    rooms_each=20,
    rooms=10_000,
    members=10_000,
    log=None,
    **more,
) -> LobbyService:
    """The service. `redis` is a URL; `auth` maps names to secrets; for the rest see the options."""
    shared = SharedRooms(limits=Limits(rooms_each=rooms_each, rooms=rooms, members=members))
    accounts = Accounts(auth) if auth is not None else None
    lobby = SharedLobby(redis, partial(DELIVERY[delivery], redis), shared, accounts=accounts, rate=rate, most=most)
    return service(lobby, kind=Fanout, rate=rate, **more)


if __name__ == "__main__":
    options = {
        "redis": (LOCAL_REDIS, "the Redis that the servers share", str),
        "delivery": ("pubsub", "how messages cross: pubsub, or streams, which lose nothing", choice(*DELIVERY)),
    }
    try:
        main(make_app, __doc__, **DEFAULTS | options)
    except BROKEN as error:
        sys.exit(f"there is no Redis: {error}")
