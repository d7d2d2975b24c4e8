"""Sharded Pub/Sub on a Redis Cluster: every room lives on the primary that owns its slot, and its traffic goes nowhere else.

    async with Sharded(cluster.url, deliver) as bus:     # the verbs of labs.bus.PubSub

Design notes
  * Plain Pub/Sub passes every message to every node of a cluster, so more nodes carry no more. SPUBLISH stays on one.
  * One reader for each primary, which waits on its own connection. A loop that asks all connections in turn waits for every
    silent node, for as long as it asks, before it hears the one that speaks.
  * Who owns which slot is asked once, at the start. While a primary is down its rooms wait, and tell of a gap afterwards;
    the others notice nothing. When slots move to another node (a failover, a resharding), a new `Sharded` is needed.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from redis.asyncio import Redis
from redis.crc import key_slot

from labs.bus import Gap, Message, PubSub


class Sharded:
    """A Pub/Sub bus on each primary of the cluster to which the node at `url` belongs."""

    def __init__(self, url: str, deliver: Callable[[Message | Gap], None], *, prefix: str = "room:", **settings):
        self.url, self.prefix = url, prefix
        self.primaries: dict[str, PubSub] = {}  # by their URLs
        self._make = lambda node: PubSub(node, deliver, sharded=True, prefix=prefix, **settings)
        self._owners: list[tuple[range, str]] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Sharded":
        """Ask who owns which slots, and connect to each. Raises redis.exceptions.ConnectionError."""
        async with Redis.from_url(self.url, protocol=2) as node:
            shares = await node.execute_command("CLUSTER SLOTS")
        for first, last, (host, port, *_), *_ in shares:
            url = f"redis://{host.decode()}:{port}"
            self._owners.append((range(first, last + 1), url))
            if url not in self.primaries:
                self.primaries[url] = await self._stack.enter_async_context(self._make(url))
        return self

    async def __aexit__(self, *exc_info) -> None:
        await self._stack.aclose()

    def owner(self, room: str) -> str:
        """The URL of the primary on which a room lives."""
        slot = key_slot((self.prefix + room).encode())
        return next(url for slots, url in self._owners if slot in slots)

    async def open(self, room: str) -> None:
        """Subscribe, where the room lives. When this returns, Redis has confirmed it."""
        await self.primaries[self.owner(room)].open(room)

    async def close(self, room: str) -> None:
        """Unsubscribe. When this returns, nothing of this room is delivered any more."""
        await self.primaries[self.owner(room)].close(room)

    def publish(self, room: str, data: str, key: str | None = None) -> asyncio.Future:
        """Send to all who have the room open, in order within the room. The future becomes how many servers those are."""
        return self.primaries[self.owner(room)].publish(room, data, key)
