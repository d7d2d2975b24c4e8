"""Exercise 6.1: `Subscriptions(subscribe, unsubscribe)`, one subscription from the first member of a room to the last."""

import asyncio
from collections import Counter, defaultdict
from contextlib import asynccontextmanager, suppress
from weakref import WeakValueDictionary


class right_lock_for_each_room:
    def __init__(self, subscribe, unsubscribe):
        self.subscribe, self.unsubscribe = subscribe, unsubscribe
        self.members, self.locks = {}, WeakValueDictionary()

    async def join(self, room, member):
        async with self.locks.setdefault(room, asyncio.Lock()):
            if room not in self.members:
                await self.subscribe(room)
            self.members.setdefault(room, set()).add(member)

    async def leave(self, room, member):
        async with self.locks.setdefault(room, asyncio.Lock()):
            members = self.members.get(room, set())
            if members == {member}:
                del self.members[room]
                await self.unsubscribe(room)
            members.discard(member)


class right_counts_who_uses_a_lock:
    def __init__(self, subscribe, unsubscribe):
        self.subscribe, self.unsubscribe = subscribe, unsubscribe
        self.members, self.locks, self.users = defaultdict(set), {}, Counter()

    @asynccontextmanager
    async def turn(self, room):
        self.users[room] += 1
        try:
            async with self.locks.setdefault(room, asyncio.Lock()):
                yield self.members[room]
        finally:
            self.users[room] -= 1
            if not self.users[room]:
                del self.users[room], self.locks[room]
                if not self.members[room]:
                    del self.members[room]

    async def join(self, room, member):
        async with self.turn(room) as members:
            if not members:
                await self.subscribe(room)
            members.add(member)

    async def leave(self, room, member):
        async with self.turn(room) as members:
            if member in members:
                members.remove(member)
                if not members:
                    await self.unsubscribe(room)


class right_looks_again_when_it_is_its_turn:
    def __init__(self, subscribe, unsubscribe):
        self.subscribe, self.unsubscribe = subscribe, unsubscribe
        self.members, self.subscribed, self.locks = defaultdict(set), set(), WeakValueDictionary()

    async def join(self, room, member):
        async with self.locks.setdefault(room, asyncio.Lock()):
            if room not in self.subscribed:
                await self.subscribe(room)
                self.subscribed.add(room)
            self.members[room].add(member)

    async def leave(self, room, member):
        self.members[room].discard(member)
        async with self.locks.setdefault(room, asyncio.Lock()):
            if not self.members[room]:
                del self.members[room]
                if room in self.subscribed:
                    self.subscribed.remove(room)
                    await self.unsubscribe(room)


class right_turns_as_futures:
    """Each call waits for the one before it in the same room."""

    def __init__(self, subscribe, unsubscribe):
        self.subscribe, self.unsubscribe = subscribe, unsubscribe
        self.members, self.last = {}, {}

    @asynccontextmanager
    async def after_the_others(self, room):
        before = self.last.get(room)
        self.last[room] = mine = asyncio.Event()
        try:
            if before:
                await before.wait()
            yield
        finally:
            if self.last[room] is mine:
                del self.last[room]
            mine.set()

    async def join(self, room, member):
        async with self.after_the_others(room):
            if not self.members.get(room):
                await self.subscribe(room)
                self.members[room] = []
            if member not in self.members[room]:
                self.members[room].append(member)

    async def leave(self, room, member):
        async with self.after_the_others(room):
            if member in self.members.get(room, []):
                self.members[room].remove(member)
                if not self.members[room]:
                    await self.unsubscribe(room)
                    del self.members[room]


class Naive:
    """The first version that one writes: right as long as nobody comes while something is on its way."""

    def __init__(self, subscribe, unsubscribe):
        self.subscribe, self.unsubscribe = subscribe, unsubscribe
        self.members, self.locks = defaultdict(set), WeakValueDictionary()

    def lock(self, room):
        return self.locks.setdefault(room, asyncio.Lock())

    async def join(self, room, member):
        if not self.members[room]:
            await self.subscribe(room)
        self.members[room].add(member)

    async def leave(self, room, member):
        if member in self.members[room]:
            self.members[room].discard(member)
            if not self.members[room]:
                await self.unsubscribe(room)
                self.members.pop(room, None)


class wrong_never_subscribes(Naive):
    async def join(self, room, member):
        self.members[room].add(member)


class wrong_subscribes_twice(Naive):
    pass


class wrong_joins_unconfirmed(Naive):
    async def join(self, room, member):
        first = not self.members[room]
        self.members[room].add(member)
        if first:
            await self.subscribe(room)


class wrong_joins_unconfirmed__task(Naive):
    async def join(self, room, member):
        if not self.members[room]:
            self.task = asyncio.create_task(self.subscribe(room))
            await asyncio.sleep(0)
        self.members[room].add(member)


class wrong_forgets_await(Naive):
    async def join(self, room, member):
        self.subscribe(room)
        self.members[room].add(member)


class wrong_subscribes_each(Naive):
    async def join(self, room, member):
        await self.subscribe(room)
        self.members[room].add(member)


class wrong_unsubscribes_too_early(Naive):
    async def leave(self, room, member):
        self.members[room].discard(member)
        await self.unsubscribe(room)


class wrong_unsubscribes_too_early__counts(Naive):
    """Counts instead of remembering who is there: whoever joins twice counts for two, and a stranger for one."""

    def __init__(self, subscribe, unsubscribe):
        super().__init__(subscribe, unsubscribe)
        self.count = Counter()

    async def join(self, room, member):
        async with self.lock(room):
            if not self.count[room]:
                await self.subscribe(room)
            self.count[room] += 1

    async def leave(self, room, member):
        async with self.lock(room):
            if self.count[room]:
                self.count[room] -= 1
                if not self.count[room]:
                    await self.unsubscribe(room)


class wrong_unsubscribes_for_nothing(Naive):
    async def leave(self, room, member):
        async with self.lock(room):
            self.members[room].discard(member)
            if not self.members[room]:
                await self.unsubscribe(room)
                del self.members[room]


class wrong_stays_subscribed(Naive):
    async def leave(self, room, member):
        self.members[room].discard(member)


class wrong_stays_subscribed__who_has_joined_twice(Naive):
    def __init__(self, subscribe, unsubscribe):
        super().__init__(subscribe, unsubscribe)
        self.members = defaultdict(list)

    async def join(self, room, member):
        async with self.lock(room):
            if not self.members[room]:
                await self.subscribe(room)
            self.members[room].append(member)

    async def leave(self, room, member):
        async with self.lock(room):
            if member in self.members[room]:
                self.members[room].remove(member)
                if not self.members[room]:
                    await self.unsubscribe(room)


class wrong_leaves_unconfirmed(Naive):
    async def leave(self, room, member):
        self.members[room].discard(member)
        if not self.members.pop(room):
            self.task = asyncio.create_task(self.unsubscribe(room))
            await asyncio.sleep(0)


class LockedJoin(Naive):
    async def join(self, room, member):
        async with self.lock(room):
            await Naive.join(self, room, member)


class wrong_calls_overlap(LockedJoin):
    """Only joining is in line."""


class wrong_deaf(LockedJoin):
    """The member is out only after the unsubscription, so whoever comes meanwhile is not the first."""

    async def leave(self, room, member):
        if self.members[room] == {member}:
            await self.unsubscribe(room)
        self.members[room].discard(member)
        if not self.members[room]:
            del self.members[room]


class Locked(LockedJoin):
    async def leave(self, room, member):
        async with self.lock(room):
            await Naive.leave(self, room, member)


class wrong_rooms_wait(Locked):
    def __init__(self, subscribe, unsubscribe):
        super().__init__(subscribe, unsubscribe)
        self.only = asyncio.Lock()

    def lock(self, room):
        return self.only


class wrong_half_done(Locked):
    async def join(self, room, member):
        async with self.lock(room):
            first = not self.members[room]
            self.members[room].add(member)
            if first:
                await self.subscribe(room)


class wrong_swallows_the_failure(Locked):
    async def join(self, room, member):
        async with self.lock(room):
            with suppress(ConnectionError):
                await Naive.join(self, room, member)


class wrong_never_returns(Naive):
    """Whoever waits is woken by success alone."""

    def __init__(self, subscribe, unsubscribe):
        super().__init__(subscribe, unsubscribe)
        self.ready, self.ending = {}, {}

    async def join(self, room, member):
        while room in self.ending:
            await self.ending[room].wait()
        if room not in self.ready:
            self.ready[room] = asyncio.Event()
            try:
                await self.subscribe(room)
            except ConnectionError:
                del self.ready[room]
                raise
            self.ready[room].set()
        await self.ready[room].wait()
        self.members[room].add(member)

    async def leave(self, room, member):
        if self.members[room] == {member}:
            del self.members[room], self.ready[room]
            self.ending[room] = asyncio.Event()
            await self.unsubscribe(room)
            self.ending.pop(room).set()
        self.members[room].discard(member)


class wrong_cancels_the_others(Locked):
    """All wait for one and the same future, and so for its cancellation."""

    def __init__(self, subscribe, unsubscribe):
        super().__init__(subscribe, unsubscribe)
        self.ready = {}

    async def join(self, room, member):
        while self.locks.get(room) and self.locks[room].locked():
            await asyncio.sleep(0.1)
        if room not in self.ready:
            self.ready[room] = asyncio.ensure_future(self.subscribe(room))
        try:
            await self.ready[room]
        except BaseException:
            self.ready.pop(room, None)
            raise
        self.members[room].add(member)

    async def leave(self, room, member):
        async with self.lock(room):
            if self.members[room] == {member}:
                del self.ready[room], self.members[room]
                await self.unsubscribe(room)
            else:
                self.members[room].discard(member)


class wrong_remembers_rooms(Locked):
    def __init__(self, subscribe, unsubscribe):
        super().__init__(subscribe, unsubscribe)
        self.locks = defaultdict(asyncio.Lock)

    def lock(self, room):
        return self.locks[room]


class wrong_remembers_rooms__empty_sets(Locked):
    async def leave(self, room, member):
        async with self.lock(room):
            if member in self.members[room]:
                self.members[room].discard(member)
                if not self.members[room]:
                    await self.unsubscribe(room)
