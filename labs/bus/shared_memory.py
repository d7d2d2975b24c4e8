"""Redis as memory that many servers share: who is present, a counter, a limit that holds for all of them together.

    presence = Presence(client, "server-1")           # client = redis.asyncio.Redis.from_url(url, decode_responses=True)
    await presence.say({("blue", "ada"): True})       # ada is in room blue, on server 1
    await presence.read("blue")                       # {"ada": {"server-1"}}, until server 1 has said nothing for 30 s
    await count(client, "visits")                     # 1, 2, 3 … whoever asks
    await RateLimit(client, "sms", most=3, per_s=60).allow("ada")

Design notes
  * One command of Redis is one step for everybody: two servers that INCR at once get two different numbers, where reading,
    adding and writing would lose one. Steps that belong together go into one MULTI.
  * Nobody cleans up after a server that was killed. So whatever it has said carries an expiry, which it renews while it lives.
"""

from collections.abc import Iterable, Mapping

from redis.asyncio import Redis


class Presence:
    """Who is in which room, on which server. What a server has said is forgotten `ttl_s` seconds after its last word."""

    def __init__(self, client: Redis, server: str, *, ttl_s: float = 30.0, prefix: str = "presence:"):
        self.client, self.server, self.ttl_s, self.prefix = client, server, ttl_s, prefix

    async def say(self, changes: Mapping[tuple[str, str], bool]) -> None:
        """These names are in these rooms on this server now, or no longer."""
        async with self.client.pipeline(transaction=True) as pipe:
            for (room, name), here in changes.items():
                (pipe.sadd if here else pipe.srem)(self._key(room), name)
            self._renew(pipe, {room for room, _ in changes})
            await pipe.execute()

    async def replace(self, room: str, names: Iterable[str]) -> None:
        """Exactly these names are in the room on this server."""
        async with self.client.pipeline(transaction=True) as pipe:
            pipe.delete(self._key(room))
            if names := list(names):
                pipe.sadd(self._key(room), *names)
            self._renew(pipe, {room})
            await pipe.execute()

    async def read(self, room: str) -> dict[str, set[str]]:
        """The names in a room, and the servers that have them."""
        servers = sorted(await self.client.smembers(self.prefix + room))
        async with self.client.pipeline(transaction=True) as pipe:
            for server in servers:
                pipe.smembers(self._key(room, server))
            sets = await pipe.execute()
        found: dict[str, set[str]] = {}
        for server, names in zip(servers, sets, strict=True):
            for name in names:
                found.setdefault(name, set()).add(server)
        return found

    def _renew(self, pipe, rooms: Iterable[str]) -> None:
        for room in rooms:
            pipe.sadd(self.prefix + room, self.server)
            pipe.pexpire(
                self.prefix + room, round(2000 * self.ttl_s)
            )  # the list of servers, longer than what they said
            pipe.pexpire(self._key(room), round(1000 * self.ttl_s))

    def _key(self, room: str, server: str | None = None) -> str:
        return f"{self.prefix}{room}:{server or self.server}"


async def count(client: Redis, key: str) -> int:
    """The next number, from 1; nobody else gets the same one."""
    return await client.incr(key)


class RateLimit:
    """At most `most` times in `per_s` seconds, counted over all servers, for each of those who ask."""

    def __init__(self, client: Redis, name: str, *, most: int, per_s: float):
        self.client, self.name, self.most, self.per_s = client, name, most, per_s

    async def allow(self, who: str) -> bool:
        """Whether this is allowed now; it counts even if it is not. The time begins with the first, by Redis' clock."""
        key = f"limit:{self.name}:{who}"
        async with self.client.pipeline(transaction=True) as pipe:
            pipe.set(key, 0, px=round(1000 * self.per_s), nx=True)  # a counter without an expiry would refuse for ever
            pipe.incr(key)
            _, times = await pipe.execute()
        return times <= self.most
