"""The checks of notebook 01: the server's `since`, the model, the polling client, a client that survives, and the repair."""

import asyncio
from collections.abc import Iterable
from functools import partial
from itertools import pairwise

from labs import clients, virtual
from labs.checks import Exercise, Timeline, fail, for_a_while, stop
from labs.checks.attempt import said, where
from labs.feed import BadCursor, Event, Feed, Gone
from labs.launch import launch

since = Exercise("1.1", "since", "kept, epoch, cursor")
cost = Exercise("1.2", "polling_cost", "every_ms, rtt_ms")
poll = Exercise("1.3", "poll", "fetch, handle, every, sleep, now", awaited=True)
follow = Exercise("1.4", "follow", "http, url, every, handle, gap", awaited=True)
refresh = Exercise("1.5", "refresh", "fetch, show, place", awaited=True)
EXERCISES = {exercise.number: exercise for exercise in (since, cost, poll, follow, refresh)}


# 1.1 since(kept, epoch, cursor)


def events(first, last, epoch="5eed0001"):
    """Events `first` to `last` as a server keeps them."""
    return [Event(number, 1000 * number, f"message {number}", f"{epoch}-{number}") for number in range(first, last + 1)]


def call_since(answer, kept, cursor, epoch="5eed0001"):
    """The answer's ids, or the class of what it raised."""
    try:
        got = answer(list(kept), epoch, cursor)
        got = list(got) if isinstance(got, Iterable) else [got]
    except (Gone, BadCursor) as refusal:
        return type(refusal).__name__
    if not all(isinstance(event, Event) for event in got):
        fail(
            "not-events",
            f"since(cursor={cursor!r}) gave {got}",
            hint="return the events themselves, not a part of each",
        )
    return [event.id for event in got]


def expect_since(answer, kept, cursor, right, diagnosis, hint, instead=()):
    """Compare what comes back; `instead` maps results of known mistakes to their diagnoses."""
    got = call_since(answer, kept, cursor)
    if got != right:
        kept_ids = f"{kept[0].id} to {kept[-1].id}" if kept else "none"
        shown = [f"kept are events {kept_ids}, epoch 5eed0001", f"since(cursor={cursor!r}): right {right}, yours {got}"]
        fail(dict(instead).get(str(got), diagnosis), *shown, hint=hint)


@since.case("without a cursor: everything that is kept")
def _(answer):
    expect_since(answer, events(1, 3), None, [1, 2, 3], "no-cursor", "a new reader has no cursor: None")
    expect_since(answer, [], None, [], "no-cursor", "a new server has no events yet")


@since.case("after a cursor: what is newer, oldest first")
def _(answer):
    off = (("[2, 3, 4]", "includes-the-last"), ("[4]", "skips-one"), ("[4, 3]", "newest-first"))
    expect_since(answer, events(1, 4), "5eed0001-2", [3, 4], "wrong-events", "the reader has event 2 already", off)


@since.case("after the newest: nothing, which is an answer and not an error")
def _(answer):
    expect_since(answer, events(1, 4), "5eed0001-4", [], "nothing-is-an-error", "an empty list")


@since.case("numbers are compared as numbers: 9 comes before 10")
def _(answer):
    why = "as text, '9' is larger than '10'"
    expect_since(answer, events(1, 12), "5eed0001-9", [10, 11, 12], "compares-text", why)


@since.case("a cursor of another epoch is Gone, even if its number looks right")
def _(answer):
    why = "the server restarted and numbers began again at 1: event 3 of the old epoch is not event 3 of this one"
    expect_since(answer, events(1, 5), "0ddba11d-3", "Gone", "ignores-the-epoch", why)


@since.case("a cursor from before the window is Gone: a hole is said, never skipped")
def _(answer):
    why = "events 11 to 19 are no longer kept; what would this reader believe it has seen?"
    expect_since(answer, events(20, 25), "5eed0001-10", "Gone", "silent-hole", why)


@since.case("at the very edge of the window nothing is missing yet")
def _(answer):
    why = "the reader has event 19, and 20 is the oldest that is kept: nothing is lost in between"
    off = (("[]", "takes-the-number-for-a-place"),)
    expect_since(answer, events(20, 22), "5eed0001-19", [20, 21, 22], "gone-too-early", why, off)
    expect_since(answer, events(20, 22), "5eed0001-18", "Gone", "gone-too-late", "event 19 is missing")


@since.case("what is not a cursor at all is a BadCursor")
def _(answer):
    off = (("Gone", "calls-nonsense-gone"),)
    why = "anyone can send anything: check the form before you use it"
    for text in ("x", "5eed0001", "5eed0001-", "5eed0001-x"):
        expect_since(answer, events(1, 3), text, "BadCursor", "accepts-nonsense", why, off)
    why = "an empty text is a text that someone sent; a new reader sends none at all: None"
    expect_since(answer, events(1, 3), "", "BadCursor", "takes-empty-for-none", why, off)


# 1.2 polling_cost(every_ms, rtt_ms) -> (mean_ms, worst_ms, requests_per_s)


def expect_cost(answer, every, rtt, place, right, wrong, hint):
    """Compare one of the three numbers; `wrong` maps values that come of a known mistake to their diagnoses."""
    got = answer(every, rtt)
    if not isinstance(got, list | tuple) or len(got) != 3 or not all(isinstance(value, int | float) for value in got):
        why = "return (mean_ms, worst_ms, requests_per_s)"
        fail("not-three-numbers", f"polling_cost({every}, {rtt}) returned {got!r}", hint=why)
    if not near(got[place], right):
        name = ("mean delay, ms", "worst delay, ms", "requests per second")[place]
        known = (slug for value, slug in wrong.items() if near(got[place], value))
        shown = [f"a question every {every} ms, round trip {rtt} ms", f"{name}: yours {got[place]:g}, model {right:g}"]
        fail(next(known, f"wrong-{name.split(' ')[0]}"), *shown, hint=hint)


def near(value, right):
    """Whether two numbers are equal up to rounding; never true for what is not a number."""
    return abs(value - right) <= 1e-6 * max(1e-3, abs(right))


@cost.case("the mean delay on a network without distance is half the interval")
def _(answer):
    why = "sometimes it is there at once, sometimes after a whole interval"
    known = {1000: "mean-is-worst", 0.5: "in-seconds", 0: "no-distance-no-interval"}
    expect_cost(answer, 1000, 0, 0, 500, known, why)


@cost.case("the worst delay there is the whole interval")
def _(answer):
    known = {500: "worst-is-mean", 2000: "worst-is-twice"}
    expect_cost(answer, 1000, 0, 1, 1000, known, "the message came just after the server had answered")


@cost.case("distance adds one way, not two: the question was asked before there was news")
def _(answer):
    why = "the wait ends when a question reaches the server; from there the answer has one way to go"
    expect_cost(answer, 1000, 80, 0, 540, {580: "adds-both-ways", 500: "ignores-the-distance"}, why)
    expect_cost(answer, 1000, 80, 1, 1040, {1080: "adds-both-ways", 1000: "ignores-the-distance"}, why)


@cost.case("the cost is one request for each interval")
def _(answer):
    why = "intervals are given in milliseconds; how many of them fit into a second?"
    expect_cost(answer, 1000, 0, 2, 1, {0.001: "per-millisecond", 1000: "upside-down", 3600: "per-hour"}, why)
    expect_cost(answer, 250, 0, 2, 4, {0.25: "upside-down", 0.004: "per-millisecond"}, why)


@cost.case("a round trip longer than the interval stretches it to the next full tick")
def _(answer):
    why = "requests must not overlap: with a round trip of 250 ms, a tick every 100 ms is kept only every third time"
    expect_cost(answer, 100, 250, 2, 1000 / 300, {10: "overlaps", 4: "ignores-the-ticks", 5: "rounds-down"}, why)
    expect_cost(answer, 100, 250, 0, 275, {175: "overlaps", 250: "ignores-the-ticks"}, why)
    expect_cost(answer, 100, 250, 1, 425, {225: "overlaps", 375: "ignores-the-ticks"}, why)


@cost.case("a round trip of exactly one interval still fits")
def _(answer):
    expect_cost(answer, 100, 100, 2, 10, {5: "one-tick-too-many"}, "the answer is in just when the next tick is due")


# 1.3 poll(fetch, handle, every, sleep, now)


class World:
    """A feed that the answer polls in virtual time. Events appear on a plan; fetches take a set time, fail, or overlap."""

    def __init__(self, plan=(), takes=lambda number: 0.0, broken=()):
        self.line, self.takes, self.broken = Timeline(), takes, broken
        self.feed = Feed(epoch="00000001")
        self.plan, self.handled, self.open = sorted(plan), [], 0
        self.fetches = []  # (when, the cursor it asked after, the cursor it should have asked after)
        self.told = None  # the cursor of the newest event that an answer held

    @property
    def times(self):
        """When the requests went out."""
        return [round(at, 3) for at, _, _ in self.fetches]

    async def fetch(self, after=None):
        number, started = len(self.fetches), self.line.now
        self.fetches.append((started, after, self.told))
        self.watch(after)
        self.open += 1
        try:
            await asyncio.sleep(self.takes(number))
            if number in self.broken:
                self.line.add(f"fetch(after={short(after)})   fails: ConnectionError")
                raise ConnectionError("no answer")
            return self.answer(after, started)
        finally:
            self.open -= 1

    def watch(self, after):
        """Fail at once where going on makes no sense."""
        if after is not None and not isinstance(after, str):
            shown = f"fetch(after=…) was given {type(after).__name__} {after!r}"
            fail("not-a-cursor", *self.line.lines, shown, hint="the cursor of an event is event.cursor, a text")
        if self.open:
            self.line.add(f"fetch(after={short(after)})   while the last request is still open")
            fail("overlaps", *self.line.lines, hint="await the answer before you think about the next request")
        if len(self.fetches) > 500:
            shown = [*self.line.lines[:8], "… and so on: it asks without ever waiting"]
            fail("hammers", *shown, hint="wait for the next tick after every request, and after a failure, too")

    def answer(self, after, started):
        """What the server says, noted on the timeline."""
        while self.plan and self.plan[0] <= self.line.now:
            self.feed.publish(f"message {len(self.feed.since()) + 1}")
            self.plan.pop(0)
        news = self.feed.since(after)
        self.told = news[-1].cursor if news else self.told
        asked = f"asked at {started:.1f} s, " if self.line.now > started else ""
        self.line.add(f"fetch(after={short(after)})   {asked}answered: {len(news)} event{'s' * (len(news) != 1)}")
        return news

    def handle(self, event):
        self.handled.append(event.id)
        self.line.add(f"handle(message {event.id})")

    async def run(self, answer, seconds, every=1.0, ended="ends"):
        """Let the answer poll for so long; then the timeline holds what it did."""
        start = self.line.start
        now = lambda: round(asyncio.get_running_loop().time() - start, 6)  # noqa: E731
        returned = await for_a_while(answer(self.fetch, self.handle, every, asyncio.sleep, now), seconds)
        if returned:
            self.line.add("poll() returned")
            fail(ended, *self.line.lines, hint="polling goes on for as long as the page is open")

    def forgot(self):
        """Whether the answer once knew a cursor and later asked without one."""
        asked = [after for _, after, _ in self.fetches]
        known = next((place for place, after in enumerate(asked) if after is not None), len(asked))
        return None in asked[known:]


def short(cursor):
    """A cursor as the timelines show it: its number alone."""
    return "None" if cursor is None else str(cursor).rpartition("-")[2]


@poll.case("every event is handled once, in order")
async def _(answer):
    world = World([0.5, 1.2, 1.4, 3.1])
    await world.run(answer, 5.5)
    lines = world.line.lines
    if not world.fetches:
        fail("never-asks", "fetch was not called in 5.5 s", hint="the first question can go out at once")
    if sorted(world.handled) == [1, 2, 3, 4] != world.handled:
        fail("out-of-order", *lines, hint="fetch returns the oldest event first")
    if len(set(world.handled)) < 4:
        why = "an answer may hold several events"
        fail("misses-events", *lines, "messages 1 to 4 were published", hint=why)
    if world.forgot() and world.handled != [1, 2, 3, 4]:
        why = "when the list is empty, there is no last event to take a cursor from: keep the one you have"
        fail("forgets-the-cursor", *lines, hint=why)
    if world.handled != [1, 2, 3, 4]:
        why = "ask only for what comes after the last event that you have handled"
        fail("handles-twice", *lines, "messages 1 to 4 were published, once each", hint=why)


@poll.case("the cursor moves on: no event is fetched twice")
async def _(answer):
    world = World([0.5, 1.2, 1.4])
    await world.run(answer, 4.5)
    asked, right = ([short(fetch[place]) for fetch in world.fetches] for place in (1, 2))
    if asked != right and not world.forgot():
        shown = [f"right is to ask after {', '.join(right)}", f"yours asked after {', '.join(asked)}"]
        why = "the cursor of the last event in the answer is the next `after`"
        fail("refetches", *world.line.lines, *shown, hint=why)


@poll.case("an empty answer leaves the cursor where it was")
async def _(answer):
    world = World([0.5, 4.5])
    await world.run(answer, 6.5)
    if world.forgot():
        why = "when the list is empty, there is no last event to take a cursor from: keep the one you have"
        fail("forgets-the-cursor", *world.line.lines, hint=why)


@poll.case("requests keep to the schedule when answers are slow")
async def _(answer):
    world = World(takes=lambda number: 0.3)
    await world.run(answer, 3.1, every=0.5)  # the end comes while a request is open
    lines, at = [*world.line.lines[:6], "a request was wanted every 0.5 s"], world.times
    if at[0] > 0:
        fail("starts-late", *lines, hint="the first question can go out at once")
    if at == [0, 1, 2, 3]:
        fail("ignores-every", *lines, hint="how long an interval is, `every` says")
    late = [(number, when) for number, when in enumerate(at) if abs(when - 0.5 * number) > 0.001]
    if late or len(at) < 7:
        number, when = (*late, (len(at), 3.1))[0]
        tell = (
            f"request {number + 1} was due at {0.5 * number:.1f} s and not sent before {when:.1f} s: the schedule slips"
        )
        fail("drifts", *lines, tell, hint="how long is left until the next tick, once the answer is in?")


@poll.case("an answer that takes longer than an interval costs its ticks: no overlap, no catching up")
async def _(answer):
    world = World(takes=lambda number: 2.4 if number == 1 else 0.0)
    await world.run(answer, 6.5)
    if world.times != [0, 1, 4, 5, 6]:
        burst = any(later - earlier < 0.5 for earlier, later in pairwise(world.times))
        why = "skip the ticks that have passed; the next request is due at the next full tick"
        right = "right are requests at 0, 1, 4, 5 and 6 s; the second answer took from 1.0 to 3.4 s"
        fail("catches-up" if burst else "loses-the-beat", *world.line.lines, right, hint=why)


@poll.case("a failed request does not end the loop, nor lose the cursor")
async def _(answer):
    world = World([0.5, 2.5, 4.2], broken={2, 4})
    try:
        await world.run(answer, 7.5, ended="gives-up-on-failure")
    except ConnectionError:
        world.line.add("poll() raised ConnectionError")
        why = "catch the failure around the request, and wait for the next tick"
        fail("dies-on-failure", *world.line.lines, hint=why)
    if world.handled != [1, 2, 3]:
        diagnosis = "loses-the-cursor-on-failure" if set(world.handled) == {1, 2, 3} else "loses-events-on-failure"
        fail(diagnosis, *world.line.lines, hint="what came after the failed request, and what did it ask for?")
    if world.times != list(range(8)):
        burst = any(later - earlier < 0.5 for earlier, later in pairwise(world.times))
        why = "a failure is an answer too: the next tick stays where it was"
        slug = "retries-at-once" if burst else "loses-the-beat-on-failure"
        fail(slug, *world.line.lines, "right are requests at 0, 1, 2 … 7 s", hint=why)


# 1.4 follow(http, url, every, handle, gap)


class Reader:
    """The answer at work on a server: what it handled, and how often it said that something is missing."""

    def __init__(self, answer, server, http, every):
        self.line, self.handled, self.gaps = Timeline(), [], 0
        self.task = asyncio.ensure_future(answer(http, server.url, every, self.handle, self.gap))

    def handle(self, event):
        self.handled.append(event.data)
        self.line.add(f"handle({event.data!r})")

    def gap(self):
        self.gaps += 1
        self.line.add("gap()")

    def lines(self):
        """The timeline, and how the task ended if it did."""
        if not self.ended():
            return self.line.lines
        error = None if self.task.cancelled() else self.task.exception()
        if isinstance(error, NotImplementedError):
            raise error
        told = [*where(error), f"follow() raised {said(error)}"] if error else ["follow() returned"]
        return [*self.line.lines, *told]

    def ended(self):
        """Whether the answer stopped following."""
        return self.task.done()


async def following(answer, scenario, *, launch=virtual.launch, every=1.0, keep=10_000, rtt_ms=20.0):
    """Run a scenario with the answer as the reader of a course server; always leaves nothing running."""
    async with launch("http_polling", keep=keep, rtt_ms=rtt_ms) as server, clients.session(timeout=2.0) as http:
        reader = Reader(answer, server, http, every)
        try:
            await scenario(server, reader)
        finally:
            await stop(reader.task)


async def publish(server, reader, *texts):
    """Publish, with a note on the reader's timeline."""
    for text in texts:
        await server.publish(text)
        reader.line.add(f"published: {text!r}")


def refusals(server):
    """How many answers with status 410 have passed the link."""
    return sum(chunk.data.startswith(b"HTTP/1.1 410") for chunk in server.link.chunks)


@follow.case("it reads a real server: every event once, in order")
async def _(answer):
    async def scenario(server, reader):
        await publish(server, reader, "a")
        await asyncio.sleep(2.6)
        await publish(server, reader, "b", "c")
        await asyncio.sleep(2.6)
        if reader.ended() and not reader.task.cancelled() and reader.task.exception():
            raise reader.task.exception()
        if reader.ended():
            fail("ends", *reader.lines(), hint="following goes on for as long as the reader wants")
        asked = sum(chunk.direction == "up" for chunk in server.link.chunks)
        shown = f"{asked} requests in 5.2 s; one every 0.5 s was asked for"
        if asked > 16:
            fail("hammers", shown, hint="await asyncio.sleep(every)")
        if reader.handled != ["a", "b", "c"]:
            slug = "handles-twice" if len(reader.handled) > 3 else "misses-events"
            why = "GET /events?after=CURSOR gives what came after the last event that you handled"
            fail(slug, *reader.lines(), hint=why)
        if asked < 8:
            fail("ignores-every", shown, hint="how long an interval is, `every` says")

    await following(answer, scenario, every=0.5)


@follow.case("a connection that breaks costs nothing but time")
async def _(answer):
    async def scenario(server, reader):
        for number in range(1, 7):
            await publish(server, reader, str(number))
            await asyncio.sleep(0.8)
            if number % 2:
                server.link.rtt_ms = 400  # so that the cut falls into a request
                await asyncio.sleep(0.3)
                server.link.cut()
                reader.line.add("the connection is cut; aiohttp makes a new one and asks once more by itself")
                await asyncio.sleep(0.1)
                server.link.cut()
                server.link.rtt_ms = 20
                reader.line.add("that one is cut, too")
        await asyncio.sleep(3.0)
        if reader.ended():
            why = "catch aiohttp.ClientError and TimeoutError, and ask again at the next tick"
            fail("dies-on-failure", *reader.lines(), hint=why)
        if reader.gaps:
            why = "a request that failed has lost nothing: the same cursor gets the same events"
            fail("gap-without-a-hole", *reader.lines(), hint=why)
        if reader.handled != list("123456"):
            slug = "starts-over-on-failure" if len(reader.handled) > 6 else "loses-events-on-failure"
            fail(slug, *reader.lines(), hint="keep the cursor when a request fails")

    await following(answer, scenario)


@follow.case("a server that falls silent is given up and asked again")
async def _(answer):
    async def scenario(server, reader):
        await publish(server, reader, "before")
        await asyncio.sleep(1.5)
        server.link.black_hole()
        reader.line.add("the network swallows everything")
        await asyncio.sleep(5.0)
        server.link.heal()
        reader.line.add("the network is back")
        await publish(server, reader, "after")
        await asyncio.sleep(5.0)
        if reader.ended():
            fail("dies-on-silence", *reader.lines(), hint="a request that times out raises TimeoutError")
        if reader.gaps:
            fail("gap-without-a-hole", *reader.lines(), hint="what was not answered has not been lost: ask again")
        if reader.handled != ["before", "after"]:
            why = "the session gives every request two seconds: what do you do then?"
            fail("stuck-in-silence", *reader.lines(), hint=why)

    await following(answer, scenario)


@follow.case("after a restart it says that there is a gap, once, and goes on")
async def _(answer):
    async def scenario(server, reader):
        await publish(server, reader, "old")
        await asyncio.sleep(1.5)
        await server.restart()
        reader.line.add("the server restarts: it answers 410 to the old cursor")
        await publish(server, reader, "new 1", "new 2")
        await asyncio.sleep(4.0)
        if reader.ended():
            why = "410 is not a failure of the network: it is an answer, and it has a meaning"
            fail("dies-on-410", *reader.lines(), hint=why)
        if reader.handled == ["old"] and refusals(server) > 1:
            why = "the old cursor will never be valid again: start over without one"
            fail("stuck-on-410", *reader.lines(), hint=why)
        if reader.handled != ["old", "new 1", "new 2"]:
            why = "without a cursor the server tells everything it has kept"
            fail("loses-after-restart", *reader.lines(), hint=why)
        if reader.gaps == 0:
            fail("silent-gap", *reader.lines(), hint="call gap(): the user must know that something may be missing")
        if reader.gaps > 1:
            fail("gap-again-and-again", *reader.lines(), hint="one restart is one gap")

    await following(answer, scenario)


@follow.case("a reader that was away for too long says so, too")
async def _(answer):
    async def scenario(server, reader):
        await publish(server, reader, "1")
        await asyncio.sleep(1.5)
        for number in range(2, 9):
            await publish(server, reader, str(number))
        await asyncio.sleep(2.5)
        if reader.ended() or reader.handled != list("15678"):
            slug = "dies-on-410" if reader.ended() else "loses-after-gap"
            right = "the server keeps the last four: right is 1, gap, 5, 6, 7, 8"
            fail(slug, *reader.lines(), right, hint="what does the server still have, and how do you ask for it?")
        if reader.gaps != 1:
            fail("silent-gap", *reader.lines(), hint="events 2 to 4 are gone: say so with gap()")

    await following(answer, scenario, keep=4)


@follow.case("the same in real time: a server process that is cut off and restarted", real=True)
async def _(answer):
    async def until(holds, reader, diagnosis):
        for _ in range(500):
            if holds():
                return
            await asyncio.sleep(0.02)
        why = "what differs between this run and the ones above?"
        fail(diagnosis, f"handled {reader.handled}, gaps {reader.gaps}", hint=why)

    async def scenario(server, reader):
        await server.publish("a")
        await until(lambda: reader.handled == ["a"], reader, "misses-events")
        server.link.cut()
        await server.publish("b")
        await until(lambda: reader.handled == ["a", "b"], reader, "loses-events-on-failure")
        await server.restart()
        await server.publish("c")
        await until(lambda: reader.handled == ["a", "b", "c"] and reader.gaps == 1, reader, "loses-after-restart")

    await following(answer, scenario, launch=partial(launch), every=0.05)


# 1.5 refresh(fetch, show, place)


class Messages:
    """The server of the bug hunt: it can be asked by its own time stamps, in whole milliseconds, or by number."""

    def __init__(self, skew_ms=0, takes=0.02):
        self.line, self.kept, self.shown, self.skew_ms, self.takes = Timeline(), [], [], skew_ms, takes
        self.after_answer = []  # texts that are published between the answer and the reader's next step
        self.place = None

    def post(self, text):
        at = round(self.line.now * 1000) + self.skew_ms
        self.kept.append({"id": len(self.kept) + 1, "at_ms": at, "text": text})
        self.line.add(f"posted: {text!r}, number {len(self.kept)}, stamped {at} ms")

    async def fetch(self, *, since_ms=None, after_id=None):
        if after_id is not None:
            found, asked = [m for m in self.kept if m["id"] > after_id], f"after_id={after_id}"
        else:
            found, asked = [m for m in self.kept if since_ms is None or m["at_ms"] > since_ms], f"since_ms={since_ms}"
        found = [dict(m) for m in found]
        self.line.add(f"fetch({asked})   answered: {[m['text'] for m in found]}")
        for text in self.after_answer:
            await asyncio.sleep(self.takes / 2)
            self.post(text)
        self.after_answer = []
        await asyncio.sleep(self.takes)
        return found

    def show(self, message):
        self.shown.append(message["text"])
        self.line.add(f"show({message['text']!r})")

    async def ask(self, answer, times=1, every=0.5):
        """Call the answer so many times, each time with the place that it returned the last time."""
        for _ in range(times):
            self.place = await answer(self.fetch, self.show, self.place)
            if self.place is None and self.shown:
                why = "what you return is the `place` that you are given the next time"
                fail("returns-no-place", *self.line.lines, "refresh() returned None", hint=why)
            await asyncio.sleep(every)

    def expect(self, right, lost, hint, twice="shown-twice"):
        """Compare what was shown; `lost` and `twice` are the diagnoses for too little and too much."""
        if len(self.shown) > len(right):
            why = "show each message once: what did you ask for the second time?"
            fail(twice, *self.line.lines, f"right is {right}", hint=why)
        if self.shown != right:
            slug = "out-of-order" if sorted(self.shown) == right else lost
            fail(slug, *self.line.lines, f"right is {right}", hint=hint)


@refresh.case("messages are shown once, in order")
async def _(answer):
    world = Messages()
    for text in ("a", "b"):
        await asyncio.sleep(0.1)
        world.post(text)
    await world.ask(answer)
    world.post("c")
    await world.ask(answer)
    world.expect(["a", "b", "c"], "misses-messages", "fetch() without arguments gives all; show each of them")


@refresh.case("an empty answer does not forget the place")
async def _(answer):
    world = Messages()
    await world.ask(answer)
    world.post("a")
    await world.ask(answer, times=3)
    why = "what does your function return when nothing came?"
    world.expect(["a"], "misses-messages", why, twice="forgets-the-place")


@refresh.case("what is posted while an answer is under way is not lost")
async def _(answer):
    world = Messages()
    world.post("a")
    await asyncio.sleep(0.1)
    world.after_answer = ["b"]
    await world.ask(answer, times=3)
    why = "'b' came after the answer was made and before the place was noted: your clock says nothing about what the answer held"
    world.expect(["a", "b"], "lost-between-polls", why)


@refresh.case("two messages of the same millisecond both arrive")
async def _(answer):
    world = Messages(takes=0)
    await asyncio.sleep(0.1)
    world.post("a")
    await world.ask(answer, every=0)
    world.post("b")
    await world.ask(answer, times=2)
    world.expect(["a", "b"], "lost-in-the-same-millisecond", "time stamps can be equal; what is never equal?")


@refresh.case("clocks that disagree lose nothing")
async def _(answer):
    for skew in (-3000, 3000):
        world = Messages(skew_ms=skew)
        for number in range(1, 5):
            world.post(f"m{number}")
            await world.ask(answer)
        why = "the server's clock is three seconds off from yours: use nothing that your own clock says"
        world.expect(["m1", "m2", "m3", "m4"], "trusts-its-own-clock", why)
