"""Connections to Redis that come back by themselves, and what is said over them, in order and many at a time.

Design notes
  * redis-py's connections are used one by one, without its pool: of a pool, every call takes a connection of its own, and
    commands on different connections overtake one another.
  * `Redis()` tries a failed command ten more times, `Redis.from_url()` not at all. Here it is said in the open: a command
    is sent again until it is answered. So Redis may do it twice, once for an answer that got lost; see `Seen`.
"""

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio import Connection, ConnectionPool
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

BROKEN = (ConnectionError, TimeoutError, OSError)  # asyncio's own TimeoutError is an OSError
RETRY_S = 0.05  # on average between two tries to connect
PATIENCE_S = 5.0  # for the answers to what was sent together
BATCH = 500  # commands that are sent together
WAITING = 10_000  # commands that may wait
SEEN = 10_000  # messages that are remembered
LOG = logging.getLogger(__name__)


class Full(Exception):
    """So many commands wait for Redis already that this one is refused."""


def connections(url: str) -> ConnectionPool:
    """Where connections to the Redis at `url` are made, each by `make_connection`. They speak RESP2 and text."""
    manners = {"protocol": 2, "decode_responses": True, "encoding_errors": "replace", "socket_keepalive": True}
    return ConnectionPool.from_url(url, socket_connect_timeout=PATIENCE_S, socket_timeout=None, **manners)


async def stay_connected(connection: Connection, talk: Callable[[], Awaitable]) -> None:
    """Connect and talk, again and again: `talk` is called anew on every connection, and ends when that breaks."""
    while True:
        try:
            with suppress(*BROKEN):
                await connection.connect()
                await talk()
        except ResponseError as refusal:  # a cluster that is not whole, a user who may not: that can change
            LOG.warning("Redis refuses: %s", refusal)
        finally:
            await connection.disconnect(nowait=True)
        await asyncio.sleep(random.uniform(0, 2 * RETRY_S))


async def ask(connection: Connection, *commands: Sequence) -> list[Any]:
    """Send commands in one write and read their answers; a refusal is among them as an exception. Raises BROKEN."""
    async with asyncio.timeout(PATIENCE_S):
        await connection.send_packed_command(connection.pack_commands(commands))
        return [await answer(connection) for _ in commands]


async def ask_at_once(connection: Connection, *commands: Sequence) -> list[Any]:
    """Ask so that Redis does all commands in one step, and nobody sees a part of what they do. Raises BROKEN."""
    if len(commands) == 1:
        return await ask(connection, *commands)
    _, *queued, found = await ask(connection, ("MULTI",), *commands, ("EXEC",))
    if isinstance(found, list):
        return found
    return [refusal if isinstance(refusal, Exception) else found for refusal in queued]


async def answer(connection: Connection) -> Any:
    """The next answer, or what Redis has against the command."""
    try:
        return await connection.read_response()
    except ResponseError as refusal:
        return refusal


class Writer:
    """One line to Redis for all that is to be done in order. What waits while an answer is on its way leaves together."""

    def __init__(self, connection: Connection):
        self.connection, self.ask = connection, ask
        self.waiting: list[tuple[tuple, asyncio.Future]] = []
        self._more = asyncio.Event()

    def send(self, *command) -> asyncio.Future:
        """Put a command into the line; the future becomes its answer, or raises `ResponseError`. Raises `Full`."""
        if len(self.waiting) >= WAITING:
            raise Full(f"{WAITING} commands wait for Redis already")
        future = asyncio.get_running_loop().create_future()
        self.waiting.append((command, future))
        self._more.set()
        return future

    async def run(self) -> None:
        """Send what waits, for as long as this task lives."""
        await stay_connected(self.connection, self._talk)

    async def _talk(self) -> None:
        while True:
            if not self.waiting:
                self._more.clear()
                await self._more.wait()
            batch = self.waiting[:BATCH]  # they stay in the line until they are answered
            answers = await self.ask(self.connection, *(command for command, _ in batch))
            del self.waiting[: len(batch)]
            for (_, future), found in zip(batch, answers, strict=True):
                settle(future, found)


def settle(future: asyncio.Future, found: Any) -> None:
    """Give a future its result, unless nobody waits for it any more; an error that nobody asks for is no news."""
    if future.done():
        return
    if isinstance(found, Exception):
        future.set_exception(found)
        future.exception()  # so asyncio does not report it as forgotten
    else:
        future.set_result(found)


class Seen:
    """The keys of the last `limit` messages: a copy that comes while its first is among them is found out."""

    def __init__(self, limit: int = SEEN):
        self.limit = limit
        self._keys: OrderedDict[str, None] = OrderedDict()

    def add(self, key: str) -> bool:
        """Remember a key; False if it was known."""
        if key in self._keys:
            return False
        self._keys[key] = None
        if len(self._keys) > self.limit:
            self._keys.popitem(last=False)
        return True
