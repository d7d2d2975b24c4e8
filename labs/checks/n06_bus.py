"""The check of exercise 6.5: two buses on a Redis in virtual time that is slow, dies and comes back; then on a real one."""

import asyncio
import inspect
import json
import re
import traceback
import warnings
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import cache, partial
from types import SimpleNamespace
from unittest.mock import patch

from async_solipsism import SolipsismWarning
from redis.asyncio import Redis
from redis.exceptions import RedisError
from redis.utils import get_lib_version
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from labs.bus.pubsub import Gap, Message, PubSub
from labs.bus.redis_process import redis
from labs.bus.shared_lobby import SharedLobby
from labs.bus.shared_rooms import SharedRooms
from labs.checks import Exercise, Timeline, fail
from labs.checks.attempt import said, where
from labs.checks.n05_broadcast import short
from labs.checks.redis_double import CHANNEL, Double
from labs.rooms.engines import service

bus = Exercise("6.5", "Bus", "url, deliver, gap")
EXERCISES = {"6.5": bus}
VERSION = cache(get_lib_version)  # which every client looks up in files: that takes longer than all the rest


class Side:
    """One server of the conversation: its bus, what that has delivered, and the gaps it has told of."""

    def __init__(self, name, line):
        self.name, self.line, self.heard, self.gaps = name, line, [], []

    def deliver(self, room, text):
        self.line.add(f"on {self.name}: deliver({short(room)}, {short(text)})")
        self.heard.append(f"{room}: {text}")

    def gap(self, room):
        self.line.add(f"on {self.name}: gap({short(room)})")
        self.gaps.append(room)


class Tasks(list):
    """All tasks that are made on this event loop."""

    def __init__(self):
        super().__init__()
        asyncio.get_running_loop().set_task_factory(self.make)

    def make(self, loop, coroutine, **options):
        self.append(asyncio.Task(coroutine, loop=loop, **options))
        return self[-1]

    def tell(self, line, slug=None):
        """Raise what a task of the answer has raised; with a `slug` that is the diagnosis."""
        for task in self:
            error = task.exception() if task.done() and not task.cancelled() else None
            if error is None or not where(error):
                continue
            if isinstance(error, NotImplementedError):
                missing(error)
            if isinstance(error, RuntimeError) and "subscribe()" in str(error):
                why = "get_message is for after the first `await pubsub.subscribe(…)`: before it there is no connection"
                fail("reads-too-early", *line.lines[-8:], *where(error), said(error), hint=why)
            if not slug:
                raise error
            fail(slug, *line.lines[-8:], *where(error), said(error), hint="catch RedisError, and try again")


class Pair:
    """Two buses on one Redis."""

    def __init__(self, answer, server):
        self.server, self.line, self.tasks = server, Timeline(), Tasks()
        self.a, self.b = self.sides = [Side("A", self.line), Side("B", self.line)]
        for side in self.sides:
            try:
                side.bus = answer(server.url, side.deliver, side.gap)
            except NotImplementedError as error:
                missing(error)

    async def do(self, side, method, *arguments):
        """Call a method of a bus."""
        self.line.add(f"on {side.name}: {method}({', '.join(map(short, arguments))})")
        try:
            async with asyncio.timeout(15) as limit:
                await getattr(side.bus, method)(*arguments)
        except NotImplementedError as error:
            missing(error)
        except TimeoutError:
            if not limit.expired():
                raise
            self.tell()
            why = "a confirmation comes only if somebody reads it: is the task that reads running?"
            fail("never-returns", *self.line.lines[-10:], f"{method} has not returned", hint=why)

    async def say(self, side, room, text):
        """Publish; a connection that has died meanwhile may be found dead first."""
        for _ in range(3):
            try:
                return await self.do(side, "publish", room, text)
            except RedisError:
                await asyncio.sleep(0.1)
        await self.do(side, "publish", room, text)

    async def join(self, rooms="blue"):
        """A member on each side joins these rooms."""
        for side in self.sides:
            for room in rooms.split():
                await self.do(side, "join", room, f"a member on {side.name}")

    def tell(self, slug=None):
        """Raise what a task of the answer has raised, and say so if it uses what this Redis does not have."""
        if verbs := getattr(self.server, "unknown", ()):
            why = "SUBSCRIBE, UNSUBSCRIBE and PUBLISH are all that is needed: one subscription for each room"
            fail("another-command", f"the bus sent {verbs[0]}, which the Redis of this check does not know", hint=why)
        self.tasks.tell(self.line, slug)

    def expect(self, *right, slug, hint, sides=None):
        """This has been heard since the last time, on both sides."""
        self.tell()
        for side in sides or self.sides:
            heard, side.heard = side.heard, []
            if heard != [*right]:
                shown = [f"on {side.name} was delivered: {short(heard, 100)}", f"right is {short([*right], 100)}"]
                slug = "told-twice" if len(set(heard)) < len(heard) and len(heard) > len(right) else slug
                fail(slug, *self.line.lines[-10:], *shown, hint=hint)

    def expect_gaps(self, *right, slug):
        """On both sides `gap` has been called for these rooms since the last time."""
        for side in self.sides:
            gaps, side.gaps = sorted(side.gaps), []
            if gaps != sorted(right):
                slug = "gap-again-and-again" if set(gaps) == set(right) else slug
                shown = [f"on {side.name} gap was called for {short(gaps)}", f"right is {short([*right])}"]
                why = "a confirmation of a room that has been confirmed already, and that has members, is a gap"
                fail(slug, *self.line.lines[-10:], *shown, hint=why)


def missing(error):
    """An answer that is not written: this one, or a piece of it."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    name = frame.f_code.co_qualname.partition(".")[0]
    if name == bus.name:
        raise error
    fail("needs-a-piece", f"{name} is not written yet", hint="this exercise builds on the ones before")


@asynccontextmanager
async def pair(answer, **settings):
    """Two buses on a Redis in virtual time; nothing of them stays."""
    with warnings.catch_warnings(), patch("redis.utils.get_lib_version", VERSION):
        warnings.simplefilter("ignore", SolipsismWarning)  # about socket options that redis-py sets
        double = Double(**settings)
        await double.start()
        both = Pair(answer, double)
        try:
            yield both
        finally:
            await double.kill()


@bus.case("a message crosses to the other server, and comes once on each")
async def _(answer):
    async with pair(answer) as both:
        await both.join()
        for side, text in ((both.a, "hi"), (both.b, "hello, all of you"), (both.a, "")):
            await both.do(side, "publish", "blue", text)
            await asyncio.sleep(1)
            expect_keys(both)
            why = "what comes back from Redis is delivered on every server: the channel is room:blue"
            both.expect(f"blue: {text}", slug="does-not-cross", hint=why)


def expect_keys(both):
    """What has been published has keys, and no two are the same."""
    keys = [re.match(r"\S+(?= )", said[2]) for said in both.server.commands if said[0] == "PUBLISH"]
    if not all(keys):
        fail("no-key", *both.line.lines[-2:], "what was published does not begin so", hint="KEY, a space, text")
    if len({key[0] for key in keys}) < len(keys):
        why = "two servers that count from 1 use the same numbers: put a random word before them"
        fail("keys-collide", *both.line.lines[-4:], "two of these messages have the same key", hint=why)


@bus.case("what others publish is delivered, and what has come before with the same key is not")
async def _(answer):
    async with pair(answer) as both:
        await both.join("blue red")
        for payload in ("k-1 hi", "k-2 hi", "k-1 hi", "k-3 a b  c", "k-2 hi"):
            both.server.spread("room:blue", payload)
            await asyncio.sleep(0.5)
            both.line.add(f"another program publishes {payload!r}")
        why = "a publisher that got no answer tries again: the key tells its copies"
        both.expect("blue: hi", "blue: hi", "blue: a b  c", slug="loses-what-others-say", hint=why)


@bus.case("when join returns, the subscription has been confirmed")
async def _(answer):
    async with pair(answer, confirming=2) as both:
        joining = [asyncio.ensure_future(both.do(both.a, "join", "blue", name)) for name in ("ada", "bob")]
        for task in asyncio.as_completed(joining):
            await task
            if not both.server.subscribers("blue"):
                why = (
                    "subscribe() of redis-py only sends the request: wait until get_message has given the confirmation"
                )
                fail("joins-unconfirmed", *both.line.lines, "join has returned, Redis has not confirmed it", hint=why)
            both.server.spread("room:blue", f"k-{len(both.a.heard)} hi")
            await asyncio.sleep(0.1)
        both.expect(
            "blue: hi", "blue: hi", slug="misses-after-joining", hint="from then on it is heard", sides=[both.a]
        )


@bus.case("only rooms that have members here are subscribed, each of them once, until the last one leaves")
async def _(answer):
    async with pair(answer) as both:
        await both.do(both.a, "join", "blue", "ada")
        await both.do(both.a, "join", "blue", "bob")
        await both.do(both.a, "join", "red", "ada")
        await both.do(both.b, "join", "red", "eve")
        asked = [said for said in both.server.commands if said[0] != "PUBLISH" and said[1].startswith(CHANNEL)]
        strange = [said for said in asked if said[0] != "SUBSCRIBE" or len(said) > 2]
        if strange or len(asked) > 3 or both.server.subscribers("blue") != 1:
            shown = [" ".join(said) for said in asked]
            fail("another-subscription", *both.line.lines, *shown, hint="SUBSCRIBE room:NAME for the first member")
        await both.do(both.b, "publish", "blue", "hi")
        await asyncio.sleep(1)
        both.expect("blue: hi", slug="wrong-room", hint="the channel says which room it is", sides=[both.a])
        both.expect(slug="wrong-room", hint="nobody here is in that room", sides=[both.b])
        await both.do(both.a, "leave", "blue", "ada")
        both.server.spread("room:blue", "k-1 still here")
        await asyncio.sleep(1)
        both.expect("blue: still here", slug="ends-too-early", hint="only the last member ends it", sides=[both.a])
        await both.do(both.a, "leave", "blue", "bob")
        both.server.spread("room:blue", "k-2 nobody here")
        await asyncio.sleep(1)
        both.expect(slug="delivers-after-leaving", hint="look whether the room still has members", sides=[both.a])
        if both.server.subscribers("blue"):
            fail("stays-subscribed", *both.line.lines[-4:], hint="await pubsub.unsubscribe(channel)")
        await both.do(both.a, "join", "blue", "zoë")
        both.server.spread("room:blue", "k-3 back again")
        both.server.spread("room:red", "k-4 and here")
        await asyncio.sleep(1)
        both.expect("blue: back again", "red: and here", slug="deaf-when-back", hint="as at first", sides=[both.a])
        both.expect("red: and here", slug="wrong-room", hint="the other rooms go on", sides=[both.b])
        await both.do(both.b, "leave", "red", "eve")
        await asyncio.sleep(1)
        await both.do(both.b, "join", "red", "eve")
        both.expect_gaps(slug="gap-without-a-hole")


@bus.case("what is published first arrives first, also when much is published at once")
async def _(answer):
    async with pair(answer) as both:
        await both.join()
        await asyncio.gather(*(both.do(both.a, "publish", "blue", f"no. {number}") for number in range(8)))
        await asyncio.sleep(5)
        why = "each command takes a connection of its own: `async with` a lock, so that one follows the other"
        both.expect(*(f"blue: no. {number}" for number in range(8)), slug="overtakes", hint=why)


@bus.case("what could not be published is an error, or is published later")
async def _(answer):
    async with pair(answer) as both:
        await both.join()
        await both.server.kill()
        both.line.add("Redis is killed")
        task = asyncio.ensure_future(both.do(both.a, "publish", "blue", "hi"))
        await asyncio.sleep(3)
        error = task.exception() if task.done() else None
        if error and not isinstance(error, RedisError | OSError):
            raise error
        if task.done() and not error:
            await both.server.start()
            await asyncio.sleep(5)
            if both.b.heard != ["blue: hi"]:
                fail("swallows-the-failure", *both.line.lines[-6:], "publish returned", hint="let the RedisError pass")
        task.cancel()


@bus.case("when Redis has been away, it goes on, and says for each room that there may be a gap, once")
async def _(answer):
    async with pair(answer) as both:
        await both.join("blue red gold")
        for side in both.sides:
            await both.do(side, "leave", "gold", f"a member on {side.name}")
        for time in (1, 2):
            both.expect_gaps(slug="gap-without-a-hole")
            await both.server.kill()
            both.line.add("Redis is killed")
            await asyncio.sleep(0.7)
            both.tell("dies-with-redis")
            await both.server.start()
            both.line.add("Redis starts again")
            await asyncio.sleep(5)
            both.tell("dies-with-redis")
            for room in ("blue", "red"):
                if both.server.subscribers(room) != 2:
                    why = "call get_message again: it connects anew, and subscribes anew"
                    fail("deaf-after-a-restart", *both.line.lines[-6:], f"{room}: not subscribed", hint=why)
            both.expect_gaps("blue", "red", slug="silent-gap")
            await both.say(both.b, "blue", f"after restart {time}")
            await asyncio.sleep(1)
            both.expect(f"blue: after restart {time}", slug="deaf-after-a-restart", hint="as before")


@bus.case("after close nothing is left")
async def _(answer):
    async with pair(answer) as both:
        await both.join()
        await both.do(both.a, "publish", "blue", "hi")
        await asyncio.sleep(1)
        for side in both.sides:
            await both.do(side, "close")
        await asyncio.sleep(1)
        serving = Double.serve.__code__
        left = [task for task in both.tasks if not task.done() and task.get_coro().cr_code is not serving]
        if left:
            why = "cancel the task that reads"
            fail("leaves-tasks", *both.line.lines[-2:], f"{len(left)} task(s) still run", hint=why)
        if both.server.links:
            why = "await client.aclose(), and await pubsub.aclose()"
            fail("leaves-connections", *both.line.lines[-2:], f"{len(both.server.links)} are still open", hint=why)


@bus.case("the same on a real Redis that is killed and restarted", real=True)
async def _(answer):
    async with redis(ours=True) as server, Redis.from_url(server.url) as client:
        both = Pair(answer, server)
        await both.join()
        for round in ("before", "after"):
            if round == "after":
                await server.restart()
                await until(both, lambda: all(side.gaps for side in both.sides))
            for speaker in both.sides:
                text = f"{speaker.name} {round}"
                await both.say(speaker, "blue", text)
                await until(both, lambda text=text: all(side.heard == [f"blue: {text}"] for side in both.sides))
                for side in both.sides:
                    side.heard.clear()
        both.expect_gaps("blue", slug="silent-gap")
        for side in both.sides:
            await both.do(side, "leave", "blue", f"a member on {side.name}")
        await until(both, lambda: nobody_is_subscribed(client))
        for side in both.sides:
            await both.do(side, "close")


class Plug:
    """A bus of the learner's, as a server of the course uses one."""

    def __init__(self, answer, url, deliver):
        self.bus = answer(
            url,
            lambda room, text: deliver(Message(room, "", text)),
            lambda room: deliver(Gap(room, "the learner's bus says so")),
        )

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc_info):
        await self.bus.close()

    async def open(self, room):
        await self.bus.join(room, self)

    async def close(self, room):
        await self.bus.leave(room, self)

    def publish(self, room, data, key=None):
        return asyncio.create_task(self.say(room, data))

    async def say(self, room, data):
        for _ in range(5):
            with suppress(RedisError):
                return await self.bus.publish(room, data)
            await asyncio.sleep(0.05)


class Member:
    """A client of a rooms server, and what it has heard."""

    def __init__(self, socket):
        self.socket, self.heard = socket, []
        self.reading = asyncio.create_task(self.read())

    async def read(self):
        with suppress(ConnectionClosed):
            async for text in self.socket:
                message = json.loads(text)
                if message["type"] != "presence":
                    self.heard.append(message.get("text", message["type"]))

    async def ask(self, kind, **more):
        await self.socket.send(json.dumps({"type": kind, "room": "blue"} | more))


@bus.case("two of the course's servers are joined by it, and a third one that uses the course's own bus", real=True)
async def _(answer):
    async with AsyncExitStack() as stack:
        memory = await stack.enter_async_context(redis(ours=True))
        hall, members = SimpleNamespace(tasks=Tasks(), line=Timeline()), []
        for join_bus in (*[partial(Plug, answer, memory.url)] * 2, partial(PubSub, memory.url)):
            lobby = SharedLobby(memory.url, join_bus, SharedRooms())
            await stack.enter_async_context(lobby)
            url = await stack.enter_async_context(service(lobby, rate=0).serving("127.0.0.1", 0))
            address = f"{url.replace('http', 'ws', 1)}/rooms?name=m{len(members)}"
            members.append(Member(await stack.enter_async_context(connect(address, subprotocols=["rooms.v1"]))))

        async def all_hear(*news, of=members):
            hall.line.add(f"{len(of)} client(s) should hear: {', '.join(news) or 'nothing'}")
            await until(hall, lambda: all(one.heard == [*news] for one in of))
            for one in of:
                one.heard.clear()

        for member in members:
            await member.ask("join")
        await all_hear("joined")
        for number, member in enumerate(members):
            await member.ask("message", text=f"{number} speaks")
            await all_hear(f"{number} speaks")
        await memory.restart()
        await all_hear("gap")
        await members[0].ask("leave")
        await all_hear("left", of=members[:1])
        await members[1].ask("message", text="0 has left")
        await all_hear("0 has left", of=members[1:])
        await all_hear(of=members[:1])


async def nobody_is_subscribed(client):
    """Whether this Redis has no subscriber to the room any more."""
    return (await client.pubsub_numsub(f"{CHANNEL}blue"))[0][1] == 0


async def until(one, holds):
    """Wait until it holds, which in real time takes its time; `one` has the tasks to look at and the lines to show."""
    for _ in range(500):
        one.tasks.tell(one.line)
        result = holds()
        if await result if inspect.isawaitable(result) else result:
            return
        await asyncio.sleep(0.02)
    fail("differs-in-real-time", *one.line.lines[-6:], hint="what differs between this run and the ones above?")
