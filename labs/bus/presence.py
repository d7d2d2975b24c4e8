"""Presence over many servers: each says who is there, all are told at once, and what a dead server has said expires.

Two ways together. What changes here is written to Redis' memory (`labs.bus.shared_memory.Presence`) and then told to the others
over Pub/Sub, so they know within a moment. Every ten seconds each server writes anew what it has and reads what the others
have: so a lost word is made good, and those who were on a server that was killed leave when its last word has expired.
"""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

from labs.bus.pubsub import Gap, Message, PubSub
from labs.bus.redis_lines import BROKEN, PATIENCE_S, Full
from labs.bus.shared_memory import Presence
from labs.bus.shared_rooms import SharedRooms
from labs.rooms.registry import Delivery

TTL_S = 30.0
TOGETHER_S = 0.01  # changes that come within this time are told together


class SharedPresence:
    """Keeps `rooms` and Redis in step; `deliver` gets what the members here are to be told."""

    def __init__(
        self, url: str, rooms: SharedRooms, deliver: Callable[[list[Delivery]], None], *, ttl_s: float = TTL_S
    ):
        self.rooms, self.deliver = rooms, deliver
        # No socket_timeout: it goes through asyncio.wait_for, which before Python 3.12 may swallow a cancellation.
        self.client = Redis.from_url(url, decode_responses=True, socket_timeout=None)
        self.store = Presence(self.client, secrets.token_hex(4), ttl_s=ttl_s)
        self.notes = PubSub(url, self._noted, prefix="presence-notes:")
        self._stack, self._touched, self._stale = AsyncExitStack(), asyncio.Event(), asyncio.Event()

    async def __aenter__(self):
        await self._stack.enter_async_context(self.client)
        await self._stack.enter_async_context(self.notes)
        self._tasks = [asyncio.create_task(work) for work in (self._tell(), self._refresh())]
        return self

    async def __aexit__(self, *exc_info) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self._stack.aclose()

    async def open(self, room: str) -> None:
        """Before the first member comes in: who is there already. First the subscription, then the reading."""
        await self.notes.open(room)
        self.rooms.elsewhere[room] = {}
        self.deliver(self.rooms.replace_elsewhere(room, await self._others(room)))

    async def close(self, room: str) -> None:
        """After the last member has left."""
        await self.notes.close(room)
        self.rooms.elsewhere.pop(room, None)

    def touched(self) -> None:
        """Somebody has come or gone here."""
        self._touched.set()

    def _noted(self, item: Message | Gap) -> None:
        if isinstance(item, Gap):
            self._stale.set()
            return
        here, server, name = item.data.split(" ", 2)
        if server != self.store.server and item.room in self.rooms.elsewhere:
            self.deliver(self.rooms.elsewhere_now(item.room, name, server, here == "+"))

    async def _tell(self) -> None:
        while True:
            await self._touched.wait()
            await asyncio.sleep(TOGETHER_S)
            self._touched.clear()
            touched, self.rooms.touched = self.rooms.touched, {}
            changes = {pair: self.rooms.here(*pair) for pair in touched}
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self.store.say(changes)
                for (room, name), here in changes.items():
                    self.notes.publish(room, f"{'+' if here else '-'} {self.store.server} {name}")
            except (*BROKEN, RedisError, Full):
                self._stale.set()

    async def _refresh(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.store.ttl_s / 3):
                    await self._stale.wait()
            self._stale.clear()
            with suppress(*BROKEN, RedisError):
                for room in list(self.rooms.rooms):
                    async with asyncio.timeout(PATIENCE_S):
                        await self.store.replace(room, self.rooms.names_here(room))
                        others = await self._others(room)
                    if room in self.rooms.elsewhere:  # it has not been closed meanwhile
                        self.deliver(self.rooms.replace_elsewhere(room, others))
            await asyncio.sleep(TOGETHER_S)

    async def _others(self, room: str) -> dict[str, set[str]]:
        found = await self.store.read(room)
        return {name: servers - {self.store.server} for name, servers in found.items()}
