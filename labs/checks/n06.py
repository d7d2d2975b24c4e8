"""The checks of notebook 06: subscriptions, and one order everywhere; streams and the bus have modules of their own."""

import asyncio
import inspect
import json
from functools import partial

from labs.checks import Exercise, Timeline, fail, n06_bus, n06_streams
from labs.checks.attempt import said, where
from labs.checks.n05_broadcast import short
from labs.checks.n06_streams import size

subscriptions = Exercise("6.1", "Subscriptions", "subscribe, unsubscribe")
relay = Exercise("6.2", "Relay", "server_id, publish, deliver")
EXERCISES = (
    {exercise.number: exercise for exercise in (subscriptions, relay)} | n06_streams.EXERCISES | n06_bus.EXERCISES
)


# 6.1 Subscriptions(subscribe, unsubscribe)

WHY = {
    "never-subscribes": "the first member of a room awaits subscribe(room)",
    "joins-unconfirmed": "whoever comes while subscribe is on its way waits for it, too",
    "subscribes-each": "is somebody there already? Then it is subscribed",
    "subscribes-twice": "between asking whether it is subscribed and having done it, somebody else has asked, too",
    "calls-overlap": "the order of two calls on their way together is anybody's guess: one after the other",
    "unsubscribes-too-early": "only the last member's leaving ends it",
    "unsubscribes-for-nothing": "it was not subscribed: was the one who left a member at all?",
    "stays-subscribed": "nobody is in the room any more: await unsubscribe(room)",
    "leaves-unconfirmed": "await unsubscribe(room), so that nothing comes after leave has returned",
    "deaf": "it was being unsubscribed when this member came; wait for that, then subscribe anew",
    "half-done": "the subscription had failed: put the member in after subscribe has returned, not before",
    "swallows-the-failure": "whoever wanted to join has to know: let the exception pass",
    "cancels-the-others": "one client has gone; the others still want to join, so one of them has to subscribe",
    "rooms-wait": "a lock for each room, not one for all of them",
    "never-returns": "whoever waits for a subscription that fails has to be woken, too",
}


class Desk:
    """The answer, what Redis knows of its rooms, and who is in them. Each call takes a second."""

    def __init__(self, answer, failures=0):
        self.line, self.failures = Timeline(), failures
        self.subscribed, self.busy, self.failed = set(), {}, set()
        self.here, self.coming = set(), set()  # (room, member): whose join has returned, and whose join has not
        self.table = answer(partial(self.call, "subscribe"), partial(self.call, "unsubscribe"))

    def fail(self, slug, *shown):
        fail(slug, *self.line.lines, *shown, hint=WHY[slug])

    async def call(self, what, room):
        """Redis is told something, and confirms it a second later."""
        self.line.add(f"    {what}({room!r})")
        if room in self.busy:
            self.fail("subscribes-twice" if what == self.busy[room] == "subscribe" else "calls-overlap")
        if what == "subscribe" and room in self.subscribed:
            self.fail("subscribes-each")
        if what == "unsubscribe" and room not in self.subscribed:
            self.fail("half-done" if room in self.failed else "unsubscribes-for-nothing")
        if what == "unsubscribe" and any(one == room for one, _ in self.here):
            self.fail("unsubscribes-too-early")
        self.busy[room] = what
        try:
            await asyncio.sleep(1)
        finally:
            del self.busy[room]
        if what == "subscribe" and self.failures:
            self.failures -= 1
            self.failed.add(room)
            self.line.add(f"    {what}({room!r}) raises ConnectionError")
            raise ConnectionError("Redis is away")
        (self.subscribed.add if what == "subscribe" else self.subscribed.discard)(room)
        self.line.add(f"    {what}({room!r}) is confirmed")

    async def step(self, method, room, member):
        """Somebody joins or leaves; look at what holds when that returns."""
        self.line.add(f"{method}({room!r}, {member!r})")
        who, begun = (room, member), self.line.now
        (self.coming.add if method == "join" else self.here.discard)(who)
        try:
            await getattr(self.table, method)(room, member)
        except ConnectionError:
            if room not in self.failed:
                raise
            return self.line.add(f"{method}({room!r}, {member!r}) raises ConnectionError: {member} has not joined")
        finally:
            self.coming.discard(who)
        self.line.add(f"{method}({room!r}, {member!r}) returns")
        if self.line.now - begun > 3.5:
            self.fail("rooms-wait")
        if method == "join":
            self.here.add(who)
            self.expect_subscribed(room)
        elif not any(one == room for one, _ in self.here | self.coming) and room in self.subscribed:
            self.fail("leaves-unconfirmed" if room in self.busy else "stays-subscribed")

    def expect_subscribed(self, room):
        """Somebody has joined, so it must be subscribed now."""
        if self.busy.get(room) == "unsubscribe":
            self.fail("deaf")
        if room not in self.subscribed:
            slug = "swallows-the-failure" if room in self.failed and len(self.here) == 1 else "never-subscribes"
            slug = "half-done" if room in self.failed and self.past_failure else slug
            self.fail("joins-unconfirmed" if room in self.busy else slug)

    @property
    def past_failure(self):
        """Whether somebody has been told already that a subscription failed."""
        return any("has not joined" in line for line in self.line.lines)

    async def run(self, script):
        """Steps such as "0 join blue ada", each at its time; `cancel` ends the join of that member."""
        tasks, joins = [], {}
        for text in script.split("; "):
            at, method, room, member = text.split()
            await asyncio.sleep(max(0, float(at) - self.line.now))
            if method == "cancel":
                self.line.add(f"the join of {member!r} is cancelled")
                joins[room, member].cancel()
            else:
                task = asyncio.create_task(self.step(method, room, member))
                tasks.append((room, member, task))
                joins[room, member] = task if method == "join" else None
            await asyncio.sleep(0)
        await asyncio.wait([task for *_, task in tasks], timeout=20)
        for room, member, task in tasks:
            if not task.done():
                self.fail("never-returns", f"20 s later, {member} still waits")
            if task.cancelled() and f"cancel {room} {member}" not in script:
                self.fail("cancels-the-others", f"the join of {member!r} was cancelled, too")
            if not task.cancelled() and task.exception():
                raise task.exception()
        for room in sorted({room for room, *_ in tasks}):
            there = any(one == room for one, _ in self.here)
            if there != (room in self.subscribed):
                self.fail("deaf" if there else "stays-subscribed", f"in the end {room!r} is wrong")


IN, OUT = "0 join blue ada; 2 join blue bob", "4 leave blue ada; 6 leave blue bob"
SCRIPTS = {  # a sentence, how many subscriptions fail, and what happens
    "the first member subscribes, and has joined when that is confirmed": (0, "0 join blue ada"),
    "the others do not subscribe again": (0, IN, f"{IN}; 4 join blue ada; 4 join blue eve"),
    "the last member unsubscribes, and no other": (0, f"{IN}; {OUT}", f"{IN}; {OUT}; 8 join blue eve; 10 leave blue eve"),
    "who is not there leaves without effect, who has joined twice leaves once": (
        0, f"0 leave blue eve; {IN}; 3 leave blue eve; {OUT}; 8 leave blue bob",
        "0 join blue ada; 2 join blue ada; 4 leave blue ada", f"{IN}; 4 leave blue ada; 5 leave blue ada",
    ),
    "whoever comes while the subscription is on its way waits for it, and it is made once": (
        0, "0 join blue ada; 0 join blue bob; 0.5 join blue eve", "0 join blue ada; 0.5 join blue bob; 4 leave blue ada",
    ),
    "whoever comes while it is being unsubscribed gets a new one": (
        0, *(f"0 join blue ada; 3 leave blue ada; {at} join blue bob" for at in (3, 3.5, 4)),
        "0 join blue ada; 3 leave blue ada; 3.5 join blue bob; 3.5 join blue eve; 7 leave blue bob; 7 leave blue eve",
    ),
    "rooms do not wait for one another": (
        0, "; ".join(f"0 join {room} ada" for room in ("blue", "red", "gold", "green", "gray")),
        "0 join blue ada; 0 join red ada; 3 leave blue ada; 3 join gold bob",
    ),
    "after a subscription that failed the next one tries again": (
        1, "0 join blue ada; 3 join blue bob; 5 leave blue bob", "0 join blue ada; 3 leave blue ada; 5 join blue ada",
    ),
    "… also one who was waiting for it": (1, "0 join blue ada; 0.5 join blue bob; 5 join blue eve"),
    "a client that goes while it is joining takes nobody along, and leaves nothing": (
        0, "0 join blue ada; 0.2 join blue bob; 0.5 cancel blue ada", "0 join blue ada; 0.5 cancel blue ada",
        "0 join blue ada; 0.5 cancel blue ada; 3 join blue bob; 5 leave blue bob",
    ),
}  # fmt: skip

for sentence, (failures, *scripts) in SCRIPTS.items():

    @subscriptions.case(sentence)
    async def _(answer, failures=failures, scripts=scripts):
        for script in scripts:
            await Desk(answer, failures).run(script)


@subscriptions.case("what is over leaves nothing behind, and two servers have nothing in common")
async def _(answer):
    desk = Desk(answer)
    await desk.run("0 join blue ada; 2 join red ada; 4 leave red ada")
    before = size(desk.table, (Desk,))
    await asyncio.gather(*(desk.run(f"7 join r{number} bob; 9 leave r{number} bob") for number in range(30)))
    if (more := size(desk.table, (Desk,)) - before) >= 30:
        why = "delete the set that has become empty; a lock goes by itself from a WeakValueDictionary"
        fail("remembers-rooms", "thirty rooms had a member for two seconds", f"{more} entries are left", hint=why)
    other = Desk(answer)
    await other.run("0 join blue bob")


# 6.2 Relay(server_id, publish, deliver)

RUBBISH = {
    "": "nothing", "hello": "words", '{"room":"blue"': "half-an-object", "[1]": "a-list", '["room","text"]': "a-list",
    '"room text"': "a-string", "7": "a-number", "null": "null", "{}": "an-empty-object", '{"room":"blue"}': "no-text",
    '{"text":"hi"}': "no-room", '{"room":7,"text":"hi"}': "an-odd-room", '{"room":["blue"],"text":"hi"}': "an-odd-room",
    '{"room":"blue","text":7}': "an-odd-text", '{"room":"blue","text":null}': "an-odd-text", "[" * 30_000: "deep-json",
}  # fmt: skip
SAYINGS = ("hi", "", "a:b|c d", 'say "hi"\nor \\n', "grüß dich 🎉", '{"room":"red","text":"no"}', "null")


class Hub:
    """Redis, and a server on each side of it. To publish takes each of them another time."""

    def __init__(self, answer, **takes):
        self.line, self.takes, self.payloads, self.fails = Timeline(), takes, [], None
        self.heard = {name: [] for name in takes}
        self.relays = {
            name: answer(name, partial(self.publish, name), partial(self.deliver, name)) for name in self.takes
        }

    def deliver(self, name, room, text):
        self.line.add(f"on {name}: deliver({short(room)}, {short(text)})")
        self.heard[name].append((room, text))

    async def publish(self, name, payload):
        if not isinstance(payload, str):
            fail("not-text", f"publish({short(payload)})", hint="json.dumps makes text of the object")
        self.payloads.append(payload)
        await asyncio.sleep(self.takes[name])
        if self.fails != "before":
            self.line.add(f"Redis has {short(payload, 90)}")
            self.spread(payload)
        if self.fails:
            raise ConnectionError("Redis is away")
        await asyncio.sleep(self.takes[name])

    def spread(self, payload):
        for one in self.relays.values():
            if inspect.iscoroutine(result := one.received(payload)):
                result.close()
                fail(
                    "received-is-async", "received(payload) gave a coroutine", hint="a plain `def`: nothing in it waits"
                )

    async def say(self, name, room, text):
        self.line.add(f"on {name}: say({short(room)}, {short(text)})")
        await self.relays[name].say(room, text)

    def expect(self, right, slug, hint):
        for name, heard in self.heard.items():
            if heard != right:
                shown = [f"on {name} the members heard {short(heard)}", f"right is {short(right)}"]
                fail(slug(name, heard) if callable(slug) else slug, *self.line.lines, *shown, hint=hint)


@relay.case("every member hears it once, on all servers")
async def _(answer):
    def slug(name, heard):
        own = "own-members" if name == "s1" else "others"
        return "told-twice" if len(heard) > 1 else "another-room" if heard else f"{own}-hear-nothing"

    hub = Hub(answer, s1=0.1, s2=0.1, s3=0.1)
    await hub.say("s1", "blue", "hi")
    hub.expect([("blue", "hi")], slug, "what is published comes back to its own server, too: who delivers it there?")


@relay.case("everywhere in the same order, whoever speaks at the same moment")
async def _(answer):
    hub = Hub(answer, s1=0.3, s2=0.1, s3=0.5)
    await asyncio.gather(*(hub.say(name, "blue", f"{name} speaks") for name in hub.relays))
    await asyncio.gather(*(hub.say(name, "blue", f"{name} again") for name in hub.relays))
    right = [("blue", f"{name} {what}") for what in ("speaks", "again") for name in ("s2", "s1", "s3")]
    hub.expect(
        right, "orders-differ", "the order is the one in which they come from Redis: deliver only what comes back"
    )


@relay.case("the same thing said twice is two messages")
async def _(answer):
    hub = Hub(answer, s1=0.1, s2=0.1)
    for name in ("s1", "s2", "s1"):
        await hub.say(name, "blue", "hi")
    hub.expect([("blue", "hi")] * 3, "drops-repeats", "two people may say the same, and one may say it twice")


@relay.case("any text arrives as it is, and in its room")
async def _(answer):
    for text in SAYINGS:
        hub = Hub(answer, s1=0.1, s2=0.1)
        await hub.say("s1", "room-1", text)
        hub.expect([("room-1", text)], "mangles-text", "json.dumps and json.loads keep any text as it is")


@relay.case("the payload is the one that has been agreed upon, and a `from` is not needed")
async def _(answer):
    hub = Hub(answer, s1=0.1, s2=0.1)
    await hub.say("s1", "blue", "hi")
    right = {"from": "s1", "room": "blue", "text": "hi"}
    try:
        published = json.loads(hub.payloads[0])
    except ValueError:
        published = "no JSON"
    if not isinstance(published, dict) or not right.items() <= published.items():
        fail("another-format", f"right is     {json.dumps(right)}", f"published is {hub.payloads[0]}", hint="JSON, so")
    for more in ("", ', "from": 7', ', "from": null', ', "from": "x", "at": 5'):
        hub = Hub(answer, s1=0.1, s2=0.1)
        try:
            hub.spread(f'{{"room": "blue", "text": "hi"{more}}}')
        except (KeyError, TypeError) as error:
            hub.line.lines += [*where(error), said(error)]
        hub.expect([("blue", "hi")], "needs-from", "nothing depends on who has sent it")


@relay.case("what is no message changes nothing")
def _(answer):
    async def scenario():
        for payload, name in RUBBISH.items():
            hub = Hub(answer, s1=0.1)
            try:
                hub.spread(payload)
            except NotImplementedError:
                raise
            except Exception as error:
                shown = [f"received({short(payload)}) raised {said(error)}", *where(error)]
                fail(f"dies-of-{name}", *shown, hint="whatever is published on this channel comes here")
            why = "look at the types of room and text before you deliver"
            hub.expect([], f"delivers-{name}", why)

    return scenario()


@relay.case("when publishing fails, the speaker is told, and it is not tried again")
async def _(answer):
    for fails, right in (("before", []), ("after", [("blue", "hi")])):
        hub = Hub(answer, s1=0.1, s2=0.1)
        hub.fails = fails
        try:
            await hub.say("s1", "blue", "hi")
        except ConnectionError:
            hub.line.add("say raises ConnectionError")
            if len(hub.payloads) == 1:
                hub.expect(right, "delivers-what-failed", "others have not heard it: deliver only what comes back")
                continue
        slug = "tries-again" if len(hub.payloads) > 1 else "swallows-the-failure"
        fail(slug, *hub.line.lines, f"{len(hub.payloads)} payload(s) published", hint="let ConnectionError pass")
