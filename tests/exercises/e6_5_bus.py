"""Exercise 6.5: `Bus(url, deliver, gap)`, one server's part of a conversation that goes over many."""

import asyncio
from collections import defaultdict
from contextlib import suppress
from itertools import count
from secrets import token_hex
from uuid import uuid4

from redis import RedisError
from redis.asyncio import Redis

from exercises.e6_1_subscriptions import right_lock_for_each_room as Subscriptions
from exercises.e6_4_seen import right_ordered_dict as Seen
from labs.bus import redis_lines


class right_as_in_the_notebook:
    def __init__(self, url, deliver, gap):
        self.deliver, self.gap = deliver, gap
        self.client = Redis.from_url(url, decode_responses=True)
        self.pubsub, self.reading = self.client.pubsub(), None
        self.rooms = Subscriptions(self.subscribe, self.unsubscribe)
        self.confirmed, self.seen = {}, Seen(10_000)
        self.name, self.numbers, self.turn = token_hex(4), count(1), asyncio.Lock()

    async def join(self, room, member):
        await self.rooms.join(room, member)

    async def subscribe(self, room):
        self.confirmed[room] = asyncio.Event()
        await self.pubsub.subscribe(f"room:{room}")
        self.reading = self.reading or asyncio.create_task(self.read())
        await self.confirmed[room].wait()

    async def leave(self, room, member):
        await self.rooms.leave(room, member)

    async def unsubscribe(self, room):
        del self.confirmed[room]
        await self.pubsub.unsubscribe(f"room:{room}")

    def payload(self, text):
        return f"{self.name}-{next(self.numbers)} {text}"

    async def publish(self, room, text):
        async with self.turn:
            await self.client.publish(f"room:{room}", self.payload(text))

    async def read(self):
        while True:
            try:
                self.take(await self.pubsub.get_message(timeout=None))
            except RedisError:
                await asyncio.sleep(0.2)

    def take(self, said):
        room = said["channel"].removeprefix("room:")
        if room not in self.confirmed:
            return
        if said["type"] == "message":
            key, _, text = said["data"].partition(" ")
            if self.seen.first(room, key):
                self.deliver(room, text)
        elif said["type"] == "subscribe":
            if self.confirmed[room].is_set():
                self.gap(room)
            self.confirmed[room].set()

    async def close(self):
        if self.reading:
            self.reading.cancel()
        await self.pubsub.aclose()
        await self.client.aclose()


class right_a_pubsub_for_each_connection:
    """Each time that the connection breaks, a new PubSub subscribes to what is wanted. A channel of its own keeps it busy."""

    def __init__(self, url, deliver, gap):
        self.deliver, self.gap = deliver, gap
        self.client = Redis.from_url(url, decode_responses=True, protocol=2)
        self.members, self.waiting, self.known = defaultdict(set), defaultdict(list), {}
        self.own, self.keys, self.line, self.changes = f"own-{uuid4()}", count(), asyncio.Lock(), asyncio.Lock()
        self.pubsub, self.up = None, asyncio.Event()
        self.task = asyncio.create_task(self.work())

    async def work(self):
        again = False
        while True:
            with suppress(RedisError):
                async with self.client.pubsub() as self.pubsub:
                    rooms = [room for room, members in self.members.items() if members]
                    await self.pubsub.subscribe(self.own, *(f"room:{room}" for room in rooms))
                    self.up.set()
                    for room in rooms if again else ():
                        self.gap(room)
                    again = True
                    async for said in self.pubsub.listen():
                        self.hear(said["type"], said["channel"][5:], said["data"])
            self.up.clear()
            await asyncio.sleep(0.1)

    def hear(self, kind, room, data):
        if kind == "subscribe":
            for event in self.waiting.pop(room, ()):
                event.set()
        elif kind == "message" and self.members.get(room):
            key, text = data.split(" ", 1)
            if key not in self.known:
                self.known[key] = None
                self.known = dict(list(self.known.items())[-1000:])
                self.deliver(room, text)

    async def join(self, room, member):
        async with self.changes:
            if not self.members[room]:
                await self.up.wait()
                confirmed = asyncio.Event()
                self.waiting[room].append(confirmed)
                await self.pubsub.subscribe(f"room:{room}")
                await confirmed.wait()
            self.members[room].add(member)

    async def leave(self, room, member):
        async with self.changes:
            if self.members[room] == {member}:
                await self.pubsub.unsubscribe(f"room:{room}")
            self.members[room].discard(member)

    async def publish(self, room, text):
        async with self.line:
            await self.client.publish(f"room:{room}", f"{self.own}-{next(self.keys)} {text}")

    async def close(self):
        self.task.cancel()
        await asyncio.wait({self.task})
        await self.client.aclose()


class right_bare_connections:
    """Without redis-py's PubSub and pool: one connection to read, one line to write, as in the course's own bus."""

    def __init__(self, url, deliver, gap):
        self.deliver, self.gap = deliver, gap
        pool = redis_lines.connections(url)
        self.reader, self.writer = pool.make_connection(), redis_lines.Writer(pool.make_connection())
        self.rooms, self.confirmed = Subscriptions(self.subscribe, self.unsubscribe), {}
        self.seen, self.up = redis_lines.Seen(), False
        work = (redis_lines.stay_connected(self.reader, self.read), self.writer.run())
        self.tasks = [asyncio.create_task(one) for one in work]
        self.join, self.leave = self.rooms.join, self.rooms.leave

    async def subscribe(self, room):
        self.confirmed[room] = asyncio.Event()
        if self.up:
            await self.reader.send_command("SUBSCRIBE", f"room:{room}")
        await self.confirmed[room].wait()

    async def unsubscribe(self, room):
        del self.confirmed[room]
        if self.up:
            await self.reader.send_command("UNSUBSCRIBE", f"room:{room}")

    async def read(self):
        for room in self.confirmed:
            await self.reader.send_command("SUBSCRIBE", f"room:{room}")
        self.up = True
        try:
            while True:
                kind, channel, data = await self.reader.read_response()
                room = channel[5:]
                if kind == "subscribe" and room in self.confirmed:
                    if self.confirmed[room].is_set():
                        self.gap(room)
                    self.confirmed[room].set()
                elif kind == "message" and room in self.confirmed:
                    key, _, text = data.partition(" ")
                    if self.seen.add(key):
                        self.deliver(room, text)
        finally:
            self.up = False

    def publish(self, room, text):
        return self.writer.send("PUBLISH", f"room:{room}", f"{uuid4().hex} {text}")

    async def close(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


class right_queue_that_tries_again(right_as_in_the_notebook):
    """What is published waits in line, and is sent, always with the same key, until Redis has answered."""

    def __init__(self, url, deliver, gap):
        super().__init__(url, deliver, gap)
        self.queue = asyncio.Queue(1000)
        self.writing = asyncio.create_task(self.write())

    async def publish(self, room, text):
        await self.queue.put((f"room:{room}", self.payload(text)))

    async def write(self):
        while True:
            said = await self.queue.get()
            while True:
                with suppress(RedisError):
                    await self.client.publish(*said)
                    break
                await asyncio.sleep(0.1)

    async def close(self):
        self.writing.cancel()
        await super().close()


class Base(right_as_in_the_notebook):
    """What the wrong answers have in common with the right one."""


class wrong_does_not_cross(Base):
    async def publish(self, room, text):
        self.deliver(room, text)


class wrong_does_not_cross__another_channel(Base):
    async def publish(self, room, text):
        await self.client.publish(room, self.payload(text))


class wrong_told_twice(Base):
    async def publish(self, room, text):
        self.deliver(room, text)
        await super().publish(room, text)


class wrong_no_key(Base):
    async def publish(self, room, text):
        await self.client.publish(f"room:{room}", text)

    def take(self, said):
        if said["type"] == "message":
            self.deliver(said["channel"].removeprefix("room:"), said["data"])
        else:
            super().take(said)


class wrong_keys_collide__counts_from_one(Base):
    """Two servers count from 1 each: the second one's message 1 is taken for a copy of the first one's."""

    def payload(self, text):
        return f"{next(self.numbers)} {text}"


class wrong_keys_collide(Base):
    def payload(self, text):
        return f"{self.name} {text}"

    def take(self, said):
        self.seen = Seen(1)
        super().take(said)


class wrong_told_twice__keeps_no_keys(Base):
    def take(self, said):
        self.seen = Seen(1)
        super().take(said)


class wrong_loses_what_others_say(Base):
    """Reads the key as if every program made it as this one does."""

    def take(self, said):
        if said["type"] == "message" and len(said["data"].split("-")[0]) != 8:
            return
        super().take(said)


class wrong_loses_what_others_say__one_word(Base):
    def take(self, said):
        if said["type"] == "message" and said["data"].count("  "):
            said["data"] = " ".join(said["data"].split())
        super().take(said)


class wrong_joins_unconfirmed(Base):
    async def subscribe(self, room):
        self.confirmed[room] = asyncio.Event()
        await self.pubsub.subscribe(f"room:{room}")
        self.reading = self.reading or asyncio.create_task(self.read())


class wrong_never_returns(Base):
    """Waits for what only the task can tell that it has not begun yet."""

    async def subscribe(self, room):
        self.confirmed[room] = asyncio.Event()
        await self.pubsub.subscribe(f"room:{room}")
        await self.confirmed[room].wait()
        self.reading = self.reading or asyncio.create_task(self.read())


class wrong_never_returns__listen_ends_with_the_last_room(Base):
    async def read(self):
        while self.pubsub.subscribed:
            with suppress(RedisError):
                async for said in self.pubsub.listen():
                    self.take(said)
            await asyncio.sleep(0.1)


class wrong_reads_too_early(Base):
    """Reads before there is anything to read from."""

    def __init__(self, url, deliver, gap):
        super().__init__(url, deliver, gap)
        self.reading = asyncio.create_task(self.read())


class wrong_another_command(Base):
    """One subscription to everything, whoever is where."""

    async def subscribe(self, room):
        self.confirmed[room] = asyncio.Event()
        await self.pubsub.psubscribe("room:*")
        self.reading = self.reading or asyncio.create_task(self.read())


class wrong_another_subscription__for_each_member(Base):
    async def join(self, room, member):
        await self.subscribe(room)
        self.rooms.members.setdefault(room, set()).add(member)


class wrong_stays_subscribed(Base):
    async def unsubscribe(self, room):
        del self.confirmed[room]


class wrong_delivers_after_leaving(Base):
    async def unsubscribe(self, room):
        pass


class wrong_ends_too_early(Base):
    async def leave(self, room, member):
        if room in self.rooms.members:
            del self.rooms.members[room]
            await self.unsubscribe(room)


class wrong_gap_without_a_hole(Base):
    """Takes a room that is joined again for one that was lost."""

    known = frozenset()

    def take(self, said):
        super().take(said)
        if said["type"] == "subscribe":
            if said["channel"] in self.known:
                self.gap(said["channel"][5:])
            self.known |= {said["channel"]}


class wrong_overtakes(Base):
    async def publish(self, room, text):
        await self.client.publish(f"room:{room}", self.payload(text))


class wrong_dies_with_redis(Base):
    async def read(self):
        while True:
            self.take(await self.pubsub.get_message(timeout=None))


class wrong_deaf_after_a_restart(Base):
    """The reading ends without a word."""

    async def read(self):
        with suppress(RedisError):
            while True:
                self.take(await self.pubsub.get_message(timeout=None))


class wrong_silent_gap(Base):
    def take(self, said):
        if said["type"] == "subscribe" and said["channel"][5:] in self.confirmed:
            self.confirmed[said["channel"][5:]].set()
        else:
            super().take(said)


class wrong_gap_again_and_again(Base):
    """Says so for each try, and not once for each gap."""

    async def read(self):
        while True:
            try:
                self.take(await self.pubsub.get_message(timeout=None))
            except RedisError:
                for room in self.confirmed:
                    self.gap(room)
                await asyncio.sleep(0.2)


class wrong_swallows_the_failure(Base):
    async def publish(self, room, text):
        with suppress(RedisError):
            await super().publish(room, text)


class wrong_leaves_tasks(Base):
    async def close(self):
        await self.client.aclose()


class wrong_leaves_connections(Base):
    async def close(self):
        self.reading.cancel()


class wrong_forgets_await(Base):
    async def subscribe(self, room):
        self.confirmed[room] = asyncio.Event()
        self.pubsub.subscribe(f"room:{room}")
        self.reading = self.reading or asyncio.create_task(self.read())
        await self.confirmed[room].wait()


class wrong_needs_a_piece(Base):
    def __init__(self, url, deliver, gap):
        super().__init__(url, deliver, gap)
        self.seen = NotWritten(1000)

    def take(self, said):
        super().take(said)


class NotWritten:
    def __init__(self, limit):
        pass

    def first(self, sender, id):
        raise NotImplementedError
