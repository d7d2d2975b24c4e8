"""A Redis in virtual time, as much of it as a bus needs: it is slow where a check says so, dies, and comes back.

redis-py talks to it as to a real one, over asyncio's streams, with RESP2 or RESP3.
"""

import asyncio
from contextlib import suppress

CHANNEL = "room:"  # and a room's name


class Double:
    """As much of Redis as a bus needs. To confirm takes it `confirming` seconds, to publish less on each new connection."""

    def __init__(self, confirming=0.05):
        self.confirming, self.links, self.commands, self.unknown = confirming, {}, [], []
        self.url = "redis://127.0.0.1:6379"

    async def start(self):
        self.listening = await asyncio.start_server(self.serve, "127.0.0.1", 6379)

    async def kill(self):
        self.listening.close()
        for link in list(self.links):
            link.transport.abort()
        await asyncio.sleep(0.01)

    async def serve(self, reader, writer):
        self.links[writer] = set()
        late = max(0.01, 0.3 - 0.02 * len(self.links))
        with suppress(OSError, asyncio.IncompleteReadError):
            while head := await reader.readline():
                words = [await self.word(reader) for _ in range(int(head[1:]))]
                for reply in await self.obey(writer, late, words[0].upper(), *words[1:]):
                    writer.write(reply)
        del self.links[writer]
        writer.close()

    async def word(self, reader):
        size = int((await reader.readline())[1:])
        return (await reader.readexactly(size + 2))[:-2].decode()

    async def obey(self, writer, late, verb, *words):
        """What is answered to a command, if need be after a while."""
        mine = self.links[writer]
        if verb in ("SUBSCRIBE", "UNSUBSCRIBE"):
            await asyncio.sleep(self.confirming)
            self.commands.append((verb, *words))
            (mine.update if verb == "SUBSCRIBE" else mine.difference_update)(words or tuple(mine))
            return [packed(verb.lower(), name, len(mine), kind=writer) for name in words]
        if verb == "PUBLISH":
            await asyncio.sleep(late)
            return [b":%d\r\n" % self.spread(*words)]
        if verb == "HELLO":
            writer.push = b">"
            return [b"%1\r\n+proto\r\n:3\r\n"]
        if verb == "PING":
            if mine and not hasattr(writer, "push"):
                return [packed("pong", *(words or ("",)), kind=writer)]
            return [f"+{words[0] if words else 'PONG'}\r\n".encode()]
        if verb in ("CLIENT", "SELECT"):
            return [b"+OK\r\n"]
        self.unknown.append(verb)
        return [f"-ERR the Redis of this check does not know {verb}\r\n".encode()]

    def spread(self, channel, payload):
        """Send to all that are subscribed; returns how many these are."""
        self.commands.append(("PUBLISH", channel, payload))
        there = [link for link, names in self.links.items() if channel in names]
        for link in there:
            link.write(packed("message", channel, payload, kind=link))
        return len(there)

    def subscribers(self, room):
        return sum(CHANNEL + room in names for names in self.links.values())


def packed(*items, kind):
    """An array, or with RESP3 a push, as Redis writes it."""
    head = getattr(kind, "push", b"*") + b"%d\r\n" % len(items)
    strings = [item if isinstance(item, int) else item.encode() for item in items]
    return head + b"".join(
        b":%d\r\n" % item if isinstance(item, int) else b"$%d\r\n%b\r\n" % (len(item), item) for item in strings
    )
