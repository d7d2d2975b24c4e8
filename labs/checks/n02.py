"""The checks of notebook 02: the server's wait, the client's loop, the bytes of an exchange, and a server of one's own."""

import asyncio
import gc
import inspect
import json
import logging
import random
import urllib.error
import urllib.request
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import BuiltinFunctionType, CoroutineType, FrameType, FunctionType, ModuleType

from aiohttp import web

from labs import clients, ledger
from labs.checks import Exercise, Timeline, fail, for_a_while, stop
from labs.feed import BadCursor, Event, Feed, Gone
from labs.hosting import serving
from labs.link import Link
from labs.servers import long_polling

board = Exercise("2.1", "Board", "")
long_poll = Exercise("2.2", "long_poll", "fetch, handle, gap, sleep", awaited=True)
exchange = Exercise("2.3", "exchange_bytes", "host, cursor, wait, events")
make_app = Exercise("2.4", "make_app", "feed")
EXERCISES = {exercise.number: exercise for exercise in (board, long_poll, exchange, make_app)}

EPOCH = "5eed0001"
ODD_MOMENT = 1.03217  # seconds; whoever looks from time to time does not look now


# 2.1 Board: publish(text), await wait(after, seconds)


@dataclass(frozen=True)
class Answer:
    """When a reader was answered, and with which texts."""

    at: float
    texts: list


class Hall:
    """The answer's board and those who wait in front of it, in virtual time. All that happens goes onto a timeline."""

    def __init__(self, answer):
        self.line, self.board = Timeline(), answer()
        methods = "a Board has two methods: def publish(self, text) and async def wait(self, after, seconds)"
        for name in ("publish", "wait"):
            if not callable(getattr(self.board, name, None)):
                fail("lacks-a-method", f"this Board has no method `{name}`", hint=methods)

    def publish(self, *texts):
        """Publish texts, one right after the other."""
        for text in texts:
            self.line.add(f"publish({text!r})")
            if inspect.isawaitable(outcome := self.board.publish(text)):
                asyncio.ensure_future(outcome).cancel()
                why = "whoever publishes waits for nobody: def publish(self, text)"
                fail("publish-is-async", "publish(text) is called without `await`", hint=why)

    def reader(self, after, seconds, name="a reader"):
        """A reader who begins to wait; the task's result is an `Answer`."""
        return asyncio.ensure_future(self._wait(after, seconds, name))

    async def _wait(self, after, seconds, name):
        self.line.add(f"{name}: wait({after}, {seconds})")
        try:
            waiting = self.board.wait(after, seconds)
            if not inspect.isawaitable(waiting):
                why = "its first line is: async def wait(self, after, seconds):"
                fail("wait-is-not-async", f"what wait({after}, {seconds}) gave back cannot be awaited", hint=why)
            texts = await waiting
        except TimeoutError:
            self.line.add(f"{name}: TimeoutError")
            why = "when the time is up the answer is an empty list: catch TimeoutError around the waiting"
            fail("time-out-is-an-error", *self.line.lines, hint=why)
        self.line.add(f"{name}: answered {texts!r}")
        if not isinstance(texts, list | tuple):
            fail("not-a-list", *self.line.lines, hint="every answer is a list of texts; with nothing to say it is []")
        return Answer(self.line.now, texts)

    async def answers(self, *readers, within=60.0):
        """What the readers were answered; fails when one of them never is."""
        _, waiting = await asyncio.wait(readers, timeout=within)
        if waiting:
            self.line.add("a reader still waits, though its time has long been up")
            fail("never-gives-up", *self.line.lines, hint="asyncio.timeout(seconds) ends a wait")
        return [reader.result() for reader in readers]

    def expect(self, got, right, diagnosis, hint, instead=()):
        """Compare the texts of an answer; `instead` maps the answers of known mistakes to their diagnoses."""
        if list(got.texts) != right:
            slug = dict(instead).get("".join(map(str, got.texts)), diagnosis)
            fail(slug, *self.line.lines, f"right is {right}", hint=hint)


@board.case("every board has its own texts and its own readers")
async def _(answer):
    why = "what belongs to one board is made in __init__ and kept in self"
    shown = "several boards were made, and what happened to one of them changed another one"
    first, second, third = Hall(answer), Hall(answer), Hall(answer)
    first.publish("a")
    try:
        [got] = await second.answers(second.reader(0, 2))
        start = first.line.now
        late = first.reader(1, 3), third.reader(0, 3)
        await asyncio.sleep(1)
        first.publish("b")
        _, silent = await first.answers(*late)
    except RuntimeError as error:
        if "different event loop" not in str(error):
            raise
        fail("shared-by-all-boards", shown, hint=why)
    if got.texts or silent.texts or silent.at == start + 1:
        fail("shared-by-all-boards", shown, hint=why)


@board.case("what is there already is answered at once")
async def _(answer):
    hall = Hall(answer)
    hall.publish("a", "b")
    for after, right in ((0, ["a", "b"]), (1, ["b"])):
        [got] = await hall.answers(hall.reader(after, 10))
        if got.at > 0 and not got.texts:
            why = "the board keeps every text that was published; `after` says how many of them the reader has"
            fail("keeps-nothing", *hall.line.lines, f"right is {right}, at once", hint=why)
        if got.at > 0:
            why = "before you wait: is there anything after the first `after` texts?"
            fail("waits-though-there-is-news", *hall.line.lines, f"right is {right}, at once", hint=why)
        off = (
            {"a": "only-the-first", "b": "only-the-newest"} if after == 0 else {"ab": "ignores-after", "": "off-by-one"}
        )
        hall.expect(got, right, "wrong-texts", "the texts after the first `after` ones: a slice of what is kept", off)
    [got] = await hall.answers(hall.reader(0, 10))
    hall.publish("c")
    if "c" in got.texts:
        shown = f"and now the list that was answered before is {got.texts}"
        why = "an answer is the reader's own: give out a new list"
        fail("hands-out-its-own-list", *hall.line.lines, shown, hint=why)


@board.case("when the time is up without news, the answer is an empty list")
async def _(answer):
    for after in (0, 1):
        hall = Hall(answer)
        hall.publish(*"a" * after)
        [got] = await hall.answers(hall.reader(after, 5))
        if got.texts:
            why = "the reader has that text: nothing came after it"
            fail("repeats-old-texts", *hall.line.lines, "right is []", hint=why)
        if got.at < 4.99:
            why = "nothing new was there; did something that was published long ago wake the reader?"
            slug = "answers-empty-at-once" if got.at < 0.001 else "gives-up-early"
            fail(slug, *hall.line.lines, "right is to wait 5 s", hint=why)
        if got.at > 5.01:
            fail("gives-up-late", *hall.line.lines, "right is to wait 5 s", hint="`seconds` are seconds")


@board.case("news that comes while a reader waits is answered in that very moment")
async def _(answer):
    hall = Hall(answer)
    for after, text in enumerate("ab"):
        reader = hall.reader(after, 5)
        await asyncio.sleep(ODD_MOMENT)
        hall.publish(text)
        published = hall.line.now
        [got] = await hall.answers(reader)
        if not got.texts:
            why = "an empty answer, and there was news: what does the reader look at when it wakes?"
            fail("misses-the-news", *hall.line.lines, f"right is [{text!r}]", hint=why)
        if got.at > published + 3:
            fail("sleeps-to-the-end", *hall.line.lines, hint="publish has to wake whoever waits; an asyncio.Event can")
        if got.at > published + 0.00001:
            late = f"that is {got.at - published:.4f} s late"
            why = "do not look from time to time: wait for something that publish sets, such as an asyncio.Event"
            fail("looks-now-and-then", *hall.line.lines, late, hint=why)
        hall.expect(got, [text], "wrong-texts", "the texts after the first `after` ones")


@board.case("everybody who waits is woken")
async def _(answer):
    hall, readers = Hall(answer), []
    for number in (1, 2, 3):
        readers.append(hall.reader(0, 5, f"reader {number}"))
        await asyncio.sleep(0.25)
    hall.publish("a")
    published = hall.line.now
    answers = await hall.answers(*readers)
    if late := sum(got.at > published + 0.00001 or not got.texts for got in answers):
        why = "one reader's waking must not use up what the others wait for"
        tell = f"{late} of three readers did not get it in that moment"
        fail("does-not-wake-everybody", *hall.line.lines, tell, hint=why)
    for got in answers:
        hall.expect(got, ["a"], "wrong-texts", "the texts after the first `after` ones")


@board.case("what is published in one burst arrives whole")
async def _(answer):
    hall = Hall(answer)
    readers = [hall.reader(0, 5, f"reader {number}") for number in (1, 2)]
    await asyncio.sleep(1)
    hall.publish("a", "b", "c")
    why = "the one text that woke the reader may not be all there is: look at what is kept once you are awake"
    for got in await hall.answers(*readers):
        hall.expect(got, ["a", "b", "c"], "splits-the-burst", why, {"c": "only-the-newest"})


@board.case("a reader who comes back misses nothing, however closely asking and publishing coincide")
async def _(answer):
    for by_reader, texts in ((0, "a"), (3, "a"), (0, "ab")):
        hall, seen = Hall(answer), []
        for by_publisher in range(9):
            hall.line.lines.clear()
            await race(hall, seen, texts, by_reader, by_publisher)
            await asyncio.sleep(1)


async def race(hall, seen, texts, by_reader, by_publisher):
    """A reader who has `seen` asks after so many yields; one text after the other is published after so many."""

    async def publish():
        for text in texts:
            for _ in range(by_publisher):
                await asyncio.sleep(0)
            hall.publish(text)

    async def read():
        for _ in range(by_reader):
            await asyncio.sleep(0)
        while len(seen) < right:
            [got] = await hall.answers(hall.reader(len(seen), 9))
            if got.at > start + 5:
                why = "between your look at what is there and your wait, something was published: did anybody notice?"
                fail("loses-a-wake-up", *hall.line.lines, hint=why)
            seen.extend(got.texts)

    start, right = hall.line.now, len(seen) + len(texts)
    await asyncio.gather(read(), publish())
    if seen[-len(texts) :] != list(texts) or len(seen) != right:
        slug = "repeats" if len(seen) > right else "loses-between"
        fail(slug, *hall.line.lines, hint="each answer begins right after the first `after` texts")


@board.case("a reader whose time is up does not disturb the others")
async def _(answer):
    hall = Hall(answer)
    brief, patient = hall.reader(0, 1, "the first reader"), hall.reader(0, 9, "the second reader")
    await asyncio.sleep(2)
    if not patient.done():
        with suppress(asyncio.InvalidStateError):  # the second reader's end shows what that means
            hall.publish("a")
    await asyncio.wait({brief, patient}, timeout=60)
    if patient.cancelled() or not patient.done():
        hall.line.add(
            "the second reader was cancelled" if patient.cancelled() else "the second reader was never answered"
        )
        why = "a time-out cancels what is awaited; if all readers await the same future, it is gone for all of them"
        fail("takes-the-others-along", *hall.line.lines, hint=why)
    brief.result()
    hall.expect(patient.result(), ["a"], "takes-the-others-along", "what did the first reader's time-out change?")


@board.case("a reader who leaves, or whose time is up, leaves nothing behind")
async def _(answer):
    hall, tasks, held = Hall(answer), [], []
    for _ in range(3):
        leaving, waiting = [[asyncio.ensure_future(hall.board.wait(0, s)) for _ in range(10)] for s in (99, 1)]
        await asyncio.sleep(0.5)
        for reader in leaving:
            await stop(reader)
        await asyncio.wait(waiting)
        await asyncio.sleep(1)
        tasks.append(len(asyncio.all_tasks()) - 1)
        held.append(size(hall.board))
    told = "20 readers waited; half of them left (their tasks were cancelled), and for the others the time was up"
    if tasks[0]:
        shown, why = f"{tasks[0]} tasks are still running", "cancel every task that you start, in a `finally`"
        fail("leaves-tasks", told, shown, hint=why)
    try:
        hall.board.publish("a")
    except asyncio.InvalidStateError:
        shown = "then publish('a') raised InvalidStateError"
        why = "whom does publish want to wake, and are they still there?"
        fail("trips-over-the-vanished", told, shown, hint=why)
    if held[2] - held[0] >= 20:
        shown = "it happened three times, and each time the board held more objects"
        why = "what a reader has put into self it takes out again, in a `finally`"
        fail("keeps-the-vanished", told, shown, hint=why)


OPAQUE = type, ModuleType, FunctionType, BuiltinFunctionType, CoroutineType, FrameType, asyncio.AbstractEventLoop


def size(thing) -> int:
    """How many objects can be reached from this one, not counting code, tasks and the event loop."""
    seen, front = {}, [thing]
    while front:
        thing = front.pop()
        if id(thing) not in seen and not isinstance(thing, OPAQUE):
            seen[id(thing)] = thing
            if not isinstance(thing, asyncio.Future):
                front += gc.get_referents(thing)
    return len(seen)


# 2.2 long_poll(fetch, handle, gap, sleep)


RUNAWAY = {  # how the requests of somebody who asks and asks in the same moment are answered, and what that tells
    "ConnectionError": ("hammers", "after a failure wait before you ask again"),
    "TimeoutError": ("hammers", "after a failure wait before you ask again"),
    "Gone": ("stuck-on-410", "this cursor will never be valid again: start over without one"),
    ("Gone", True): ("hammers-on-410", "a 410 although no cursor was sent is a failure: wait before you ask again"),
    None: ("asks-the-same-again", "ask for what comes after the last event that you have handled"),
}


class Server:
    """A long-polling server as `fetch` shows it. `plan` says when it publishes, `script` how it answers some of the requests.

    The script's values: "fails" and "times out" are failures, "restarts" forgets everything, "gone" is 410 whatever is asked.
    """

    HOLD = 25.0

    def __init__(self, plan=(), script=()):
        self.line, self.script = Timeline(), dict(script)
        self.asked, self.ended, self.handled, self.gaps, self.starts, self.is_open = [], [], [], [], 0, False
        self.restart()
        for at in plan:
            asyncio.get_running_loop().call_later(at, self.publish)

    def restart(self):
        self.starts += 1
        self.feed = Feed(epoch=f"{self.starts:08x}")

    def publish(self):
        event = self.feed.publish(f"message {len(self.feed.since()) + 1}")
        self.line.add(f"published: {event.data}")

    async def fetch(self, after=None):
        number, self.asked = len(self.asked), [*self.asked, (self.line.now, after)]
        if after is not None and not isinstance(after, str):
            shown = f"fetch(after) was called with an object of type {type(after).__name__}"
            fail("not-a-cursor", *self.line.lines, shown, hint="a cursor is event.cursor, a text")
        if self.is_open:
            self.line.add(f"fetch({short(after)}) while the last request is still open")
            fail("overlaps", *self.line.lines, hint="await the answer before you ask again")
        self.is_open, asked_at = True, self.line.now
        try:
            events = await self._answer(self.script.get(number), after)
        except (OSError, Gone) as failure:
            self._end(after, type(failure).__name__)
            raise
        finally:
            self.is_open = False
        waited = f" after {self.line.now - asked_at:.1f} s" if self.line.now > asked_at else ""
        self._end(after, f"{len(events)} event{'s' * (len(events) != 1)}{waited}")
        return events

    async def _answer(self, outcome, after):
        if outcome == "fails":
            raise ConnectionError("no answer")
        if outcome == "times out":
            raise TimeoutError("no answer in time")
        if outcome == "gone":
            raise Gone("no longer kept")
        if outcome == "restarts":
            self.restart()
            self.feed.publish(f"message 1 of life {self.starts}")
        try:
            return await asyncio.wait_for(self.feed.wait(after), self.HOLD)
        except TimeoutError:
            return []

    def _end(self, after, outcome):
        """Note an answer; fail when it is one of very many in the same moment."""
        self.ended.append(self.line.now)
        self.line.add(f"fetch({short(after)}): {outcome}")
        if len(self.ended) > 30 and self.ended[-1] == self.ended[-30]:
            slug, why = RUNAWAY.get((outcome, after is None)) or RUNAWAY.get(outcome) or RUNAWAY[None]
            fail(slug, *self.line.lines[:9], "… and so on, without a pause", hint=why)

    def handle(self, event):
        if not isinstance(event, Event):
            why = "call handle once for each event in the list"
            fail("handles-something-else", f"handle was called with a {type(event).__name__}", hint=why)
        self.handled.append(event.data)
        self.line.add(f"handle({event.data})")

    def gap(self):
        self.gaps.append(len(self.handled))
        self.line.add("gap()")

    async def run(self, answer, seconds):
        """Let the answer ask for so long; then the timeline holds what it did."""
        try:
            ended = await for_a_while(answer(self.fetch, self.handle, self.gap, asyncio.sleep), seconds)
        except Gone:
            self.line.add("long_poll() raised Gone")
            fail("dies-on-410", *self.line.lines, hint="410 is an answer, and it has a meaning: catch Gone")
        except (ConnectionError, TimeoutError) as failure:
            self.line.add(f"long_poll() raised {type(failure).__name__}")
            slug = "dies-on-time-out" if isinstance(failure, TimeoutError) else "dies-on-failure"
            fail(slug, *self.line.lines, hint="catch ConnectionError and TimeoutError around the request")
        if not self.asked:
            fail("never-asks", "fetch was not called", hint="the first question can go out at once")
        if ended:
            self.line.add("long_poll() returned")
            fail("ends", *self.line.lines, hint="it goes on for as long as the page is open")

    @property
    def pauses(self):
        """How long it was from each answer to the next question."""
        return [round(later - end, 3) for end, (later, _) in zip(self.ended, self.asked[1:], strict=False)]

    def expect_pauses(self, right, diagnosis, hint):
        """The pauses before the next questions are these, as far as they go."""
        got = self.pauses[: len(right)]
        if got != right:
            fail(diagnosis, *self.line.lines, f"right are pauses of {right} s, yours are {got}", hint=hint)

    def expect_handled(self, *right, diagnosis, hint):
        """Every event was handled, once, in order."""
        if self.handled != list(right):
            twice = len(self.handled) > len(set(self.handled))
            fail("handles-twice" if twice else diagnosis, *self.line.lines, f"right are {', '.join(right)}", hint=hint)


def short(cursor):
    """A cursor as the timelines show it: its number alone."""
    return "None" if cursor is None else f"after {str(cursor).rpartition('-')[2]}"


@long_poll.case("after an answer the next question goes out at once, and every event is handled once")
async def _(answer):
    server = Server([0.5, 3.0, 3.0, 3.4])
    await server.run(answer, 10)
    if server.handled == [f"message {n}" for n in (1, 3, 2, 4)]:
        fail("out-of-order", *server.line.lines, hint="fetch returns the oldest event first")
    why = "an answer may hold several events, and the last one's cursor is where you go on"
    server.expect_handled(*(f"message {n}" for n in (1, 2, 3, 4)), diagnosis="misses-events", hint=why)
    if any(server.pauses):
        shown = f"it waited {max(server.pauses):g} s before it asked again"
        why = "the server does the waiting: while no question of yours is there, news has to wait for you"
        fail("pauses-after-an-answer", *server.line.lines, shown, hint=why)


@long_poll.case("an empty answer is no failure: the same question again, at once")
async def _(answer):
    server = Server([0.5, 60])
    await server.run(answer, 70)
    if any(server.pauses):
        why = "an empty answer says that all is well and nothing has happened"
        fail("pauses-after-silence", *server.line.lines, f"it paused for {max(server.pauses):g} s", hint=why)
    if None in [after for _, after in server.asked[1:]]:
        why = "in an empty list there is no last event to take a cursor from: keep the one you have"
        fail("forgets-the-cursor", *server.line.lines, hint=why)
    if server.gaps:
        fail("calls-gap-for-nothing", *server.line.lines, hint="nothing is missing: gap() is for Gone alone")
    server.expect_handled(
        "message 1", "message 2", diagnosis="misses-events", hint="what did it ask for after the silence?"
    )


@long_poll.case("a failed question is asked again, after the same cursor")
async def _(answer):
    for failure in ("fails", "times out"):
        server = Server([0.5, 3.0], {1: failure})
        await server.run(answer, 10)
        if server.gaps:
            fail("calls-gap-for-nothing", *server.line.lines, hint="a failure loses nothing: gap() is for Gone alone")
        if [after for _, after in server.asked[2:3]] == [None]:
            why = "the cursor is still good: only the request has failed"
            fail("loses-the-cursor-on-failure", *server.line.lines, hint=why)
        why = "what came after the failed request, and what did it ask for?"
        server.expect_handled("message 1", "message 2", diagnosis="loses-events-on-failure", hint=why)


@long_poll.case("failure after failure: pauses of 1, 2, 4, 8, 16 s, and then always 30 s")
async def _(answer):
    server = Server(script={n: "times out" if n % 3 == 1 else "fails" for n in range(99)})
    await server.run(answer, 130)
    right, got = [1, 2, 4, 8, 16, 30, 30], server.pauses[:7]
    slug, why = "wrong-pauses", "begin with 1 s and double it each time, up to 30 s"
    if len(set(got)) == 1:
        slug, why = "does-not-double", "double the pause after every failure: hurry does not help a server in trouble"
    elif got[:5] == right[:5]:
        slug = "no-upper-limit" if got[5:] == [32, 64] else "wrong-limit"
        why = "the pause is never longer than 30 s, nor shorter once it is there: min(…, 30)"
    elif got[:3] == [2, 4, 8]:
        slug, why = "doubles-too-early", "the first pause is 1 s: wait first, double after that"
    server.expect_pauses(right, slug, why)


@long_poll.case("after any answer, even an empty one, pauses begin at 1 s again")
async def _(answer):
    for plan, what in (([4.0], "news"), ((), "an empty answer")):
        server = Server(plan, {0: "fails", 1: "fails", 3: "fails", 4: "fails"})
        await server.run(answer, 60)
        slug = "never-resets" if what == "news" else "empty-answer-does-not-reset"
        why = f"{what} says that the server is well again: the next failure is a first one"
        server.expect_pauses([1, 2, 0, 1, 2], slug, why)


@long_poll.case("410: gap() once, and at once the question that has no cursor")
async def _(answer):
    server = Server([0.5], {1: "restarts"})
    await server.run(answer, 10)
    if not server.gaps:
        fail("silent-gap", *server.line.lines, hint="call gap(): the user must know that something may be missing")
    if len(server.gaps) > 1:
        fail("gap-again-and-again", *server.line.lines, hint="one restart is one gap")
    if any(server.pauses):
        why = "the server is well, it only does not know this cursor: nothing to wait for"
        fail("pauses-after-410", *server.line.lines, hint=why)
    why = "without a cursor the server tells everything that it has kept: handle that, too"
    server.expect_handled("message 1", "message 1 of life 2", diagnosis="loses-events-after-410", hint=why)
    if server.gaps != [1]:
        why = "say that something is missing before you show what comes after it"
        fail("gap-too-late", *server.line.lines, hint=why)


@long_poll.case("every restart is a gap of its own")
async def _(answer):
    server = Server([0.5], {1: "restarts", 3: "restarts"})
    await server.run(answer, 10)
    if server.gaps != [1, 2]:
        fail("second-gap-is-silent", *server.line.lines, "right are two gaps", hint="the second 410 is news, too")
    why = "the second restart is like the first"
    server.expect_handled(
        *(f"message 1{of}" for of in ("", " of life 2", " of life 3")), diagnosis="misses-events", hint=why
    )


@long_poll.case("a server that answers 410 to everything is not hammered")
async def _(answer):
    server = Server([0.5], {n: "gone" for n in range(1, 6)})
    await server.run(answer, 30)
    if len(server.gaps) > 1:
        why = "a 410 although no cursor was sent says nothing new about what is missing: it is a failure like others"
        fail("gap-again-and-again", *server.line.lines, "right is one gap", hint=why)
    server.expect_pauses(
        [0, 0, 1, 2, 4, 8], "hammers-on-410", "a 410 although no cursor was sent is a failure like others"
    )
    why = "after the trouble the server tells everything that it has kept"
    if server.handled[:1] != ["message 1"] or len(server.handled) != 2:
        fail("misses-events", *server.line.lines, hint=why)


# 2.3 exchange_bytes(host, cursor, wait, events) -> (request, response)


@asynccontextmanager
async def course_server(feed):
    """The course's long-polling server behind a link, and a session: yields both."""
    async with serving(long_polling.make_app(feed)) as url, await Link.open(url) as link, clients.session(None) as http:
        yield link, http


async def captured(texts, *, wait=25, before=0, host=None):
    """A question and its answer as they crossed the link, and what the exercise is given: host, cursor, wait, events.

    `before` events are published before the cursor, `texts` after it.
    """
    feed = Feed(epoch=EPOCH)
    cursor = [feed.cursor, *(feed.publish("old").cursor for _ in range(before))][-1]
    events = [feed.publish(text).to_json() for text in texts]
    async with course_server(feed) as (link, http):
        http.headers["Host"] = host = host or link.url.removeprefix("http://")
        await clients.fetch(http, link.url, cursor, wait)
        request, response = ledger.messages(link.chunks)
        return request, response, (host, cursor, wait, events)


def on_the_wire(message):
    """A message's lines as they were on the wire, with the two bytes that end a line made visible."""
    head = message.raw_head.decode().split("\r\n")[:-2]
    dated = ["Date: … (29 characters)" if line.startswith("Date:") else line for line in head]
    body = message.body.decode()
    return [f"{line}\\r\\n" for line in [*dated, ""]] + ([body if len(body) < 100 else f"{body[:99]}…"] if body else [])


async def expect_bytes(answer, place, diagnosis, hint, instead=(), **scene):
    """Compare the size of the request (place 0) or the response (1) with the captured one.

    `instead` maps how many bytes a known mistake is off to its diagnosis; it may be a function of the captured message.
    """
    *messages, given = await captured(**scene)
    got = answer(*given)
    if not isinstance(got, list | tuple) or len(got) != 2 or not all(isinstance(size, int) for size in got):
        why = "return two whole numbers: the bytes of the request and of the response"
        fail("not-two-sizes", f"exchange_bytes(…) returned {got!r}", hint=why)
    message, name = messages[place], ("request", "response")[place]
    if got[place] != message.size:
        slugs = instead(message) if callable(instead) else dict(instead)
        told = f"the {name} took {message.size} bytes, yours says {got[place]}"
        off = abs(got[place] - message.size)
        tail = f"{off} byte{'s' * (off != 1)} {'missing' if got[place] < message.size else 'too many'}"
        fail(slugs.get(got[place] - message.size, diagnosis), *on_the_wire(message), told, tail, hint=hint)


def lines_of(message):
    """How many lines a head has, without the empty one."""
    return message.raw_head.count(b"\r\n") - 1


@exchange.case("the question: request line, Host, an empty line")
async def _(answer):
    def known(message):
        lines = lines_of(message)
        ends = {
            -2 * (lines + 1): "forgets-the-line-ends",
            -(lines + 1): "one-byte-line-ends",
            -2: "forgets-the-empty-line",
        }
        return ends | {-len("&wait=25"): "forgets-the-wait", -len(" HTTP/1.1"): "forgets-the-version"}

    why = "every line ends in \\r\\n, two bytes, and the empty line that ends the head consists of nothing else"
    await expect_bytes(answer, 0, "wrong-request", why, known, texts=["hello"])


@exchange.case("host, cursor and wait are as long as they are")
async def _(answer):
    why = "count the texts that you are given; they are not always as long as in the example"
    await expect_bytes(answer, 0, "fixed-lengths", why, texts=["hello"], before=100, wait=5, host="localhost:80")


@exchange.case("the empty answer: two bytes of body under five lines of head")
async def _(answer):
    def known(message):
        ends = lines_of(message) + 1
        slugs = {-2 * ends: "forgets-the-line-ends", -ends: "one-byte-line-ends", -2: "forgets-the-brackets"}
        return slugs | {-1: "wrong-empty-body", -len("; charset=utf-8"): "forgets-the-charset", -37: "forgets-the-date"}

    why = "status line, four headers, an empty line, and the body []"
    await expect_bytes(answer, 1, "wrong-head", why, known, texts=[], wait=1)


@exchange.case("one event: its text in brackets")
async def _(answer):
    why = "the body is a JSON array, and its length has more digits than that of an empty one"
    off = {-2: "forgets-the-brackets", -1: "wrong-length-digits", 1: "wrong-length-digits"}
    await expect_bytes(answer, 1, "wrong-body", why, off, texts=["hello"])


@exchange.case("between two events stands one comma, and nothing else")
async def _(answer):
    why = "the body is [event,event,event]: two brackets and a comma between two"
    off = {-2: "forgets-the-commas", 1: "a-comma-too-many", 2: "counts-spaces", -1: "wrong-length-digits"}
    await expect_bytes(answer, 1, "wrong-body", why, off, texts=["a", "b", "c"])


@exchange.case("bytes are counted, not characters")
async def _(answer):
    why = "° and 風 take two and three bytes: encode a text before you count it"
    off = {-3: "counts-characters", 7: "counts-escapes"}
    await expect_bytes(answer, 1, "wrong-body", why, off, texts=["5 °", "風"])


@exchange.case("Content-Length has as many digits as it needs")
async def _(answer):
    why = "len(str(…)) of the body's length in bytes"
    await expect_bytes(answer, 1, "wrong-length-digits", why, texts=["x" * 1200])
    await expect_bytes(answer, 1, "length-in-characters", why, texts=["ä" * 500])


@exchange.case("twenty exchanges in a row: the prediction is what the link counted, to the byte")
async def _(answer):
    feed, predicted = Feed(epoch=EPOCH), 0
    async with course_server(feed) as (link, http):
        for number in range(20):
            cursor = feed.cursor
            events = [feed.publish(f"reading {number}: {'°' * place}").to_json() for place in range(number % 4)]
            await clients.fetch(http, link.url, cursor, 1)
            predicted += sum(answer(link.url.removeprefix("http://"), cursor, 1, events))
        counted = sum(link.bytes.values())
    if predicted != counted:
        told = f"the link counted {counted} bytes, your predictions add up to {predicted}"
        why = "each answer held 0 to 3 events, some beyond ASCII, and the cursors became longer"
        fail("does-not-add-up", told, hint=why)


# 2.4 make_app(feed), with GET /events?after=CURSOR&wait=SECONDS


class Errors(logging.Handler):
    """The exceptions that escaped from the application's handlers; aiohttp logs them and answers 500."""

    def __init__(self):
        super().__init__()
        self.raised = []

    def emit(self, record):
        if "return" in record.msg:  # "Missing return statement …", "Web-handler should return …"
            fail("returns-no-response", "a handler returned something else", hint="return web.json_response(…)")
        if record.exc_info:
            self.raised.append(record.exc_info[1])


@asynccontextmanager
async def served(answer, feed):
    """The answer's application, served on this event loop, real or virtual: yields its URL and its `Errors`."""
    app, errors, log = answer(feed), Errors(), logging.Logger("answer")
    if not isinstance(app, web.Application):
        why = "app = web.Application(), then app.router.add_get(…), then return app"
        fail("not-an-application", f"make_app(feed) returned an object of type {type(app).__name__}", hint=why)
    log.addHandler(errors)
    options = {"handle_signals": False, "access_log": None, "handler_cancellation": True, "logger": log}
    runner = web.AppRunner(app, shutdown_timeout=0.1, **options)
    await runner.setup()
    server = await asyncio.get_running_loop().create_server(runner.server, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", errors
    finally:
        server.close()
        await runner.cleanup()


@dataclass(frozen=True)
class Reply:
    """What a request was answered: its status, its body, and how many seconds that took."""

    status: int
    body: bytes
    took: float

    @property
    def numbers(self):
        """The numbers of the events in the body."""
        return [event["id"] for event in json.loads(self.body)]


class Visitor:
    """Somebody who asks the answer's application, and notes it on a timeline."""

    def __init__(self, http, url, errors):
        self.http, self.url, self.errors, self.line = http, url, errors, Timeline()

    async def get(self, after, wait):
        """One request. An exception in the handler is raised here, unless it refuses a cursor, as is its right."""
        start, params = self.line.now, {"wait": str(wait)} | ({"after": after} if after else {})
        asked = f"GET /events?{'&'.join(f'{name}={value}' for name, value in params.items())}"
        self.line.add(asked)
        async with self.http.get(f"{self.url}/events", params=params) as response:
            reply = Reply(response.status, await response.read(), round(self.line.now - start, 6))
        self.line.add(f"    answered: {reply.status} {' '.join(reply.body.decode('utf-8', 'replace').split())[:90]}")
        if reply.status == 404:
            fail("no-such-route", *self.line.lines, hint='app.router.add_get("/events", handler)')
        for error in self.errors.raised:
            if not isinstance(error, Gone | BadCursor):
                raise error
        return reply

    async def news(self, after, wait):
        """One request that is to be answered with events. The number of each is checked, and the shape of all."""
        reply = await self.get(after, wait)
        if reply.status != 200:
            fail("not-200", *self.line.lines, hint="events, or none of them, are status 200")
        try:
            events = [Event(**event) for event in json.loads(reply.body)]
        except (ValueError, TypeError):
            why = "the body is a JSON array; event.to_json() is the text of one element, asdict(event) a dict of it"
            fail("not-an-array-of-events", *self.line.lines, hint=why)
        if any(not isinstance(event.id, int) for event in events):
            fail("not-an-array-of-events", *self.line.lines, hint="numbers stay numbers in JSON")
        return reply

    def expect(self, reply, right, diagnosis, hint):
        """The numbers of the events in a reply are these."""
        if reply.numbers != right:
            fail(diagnosis, *self.line.lines, f"right are events {right}", hint=hint)


@asynccontextmanager
async def visiting(answer, *, events=0, keep=10_000):
    """The answer's application on a simulated network, with a feed of so many events: yields the feed and a visitor."""
    feed = Feed(keep=keep, epoch=EPOCH)
    for number in range(events):
        feed.publish(f"message {number + 1}")
    async with served(answer, feed) as (url, errors), clients.session(None) as http:
        yield feed, Visitor(http, url, errors)


def cursor(number):
    """The cursor of the event with this number."""
    return f"{EPOCH}-{number}"


@make_app.case("what came after the cursor is answered at once, as a JSON array")
async def _(answer):
    async with visiting(answer, events=4) as (_, visitor):
        reply = await visitor.news(cursor(2), 10)
        if reply.took > 0:
            why = "events 3 and 4 were there when the question came"
            fail("waits-though-there-is-news", *visitor.line.lines, hint=why)
        slug = "ignores-the-cursor" if reply.numbers == [1, 2, 3, 4] else "wrong-events"
        visitor.expect(reply, [3, 4], slug, 'request.query["after"] is what the reader has')
        visitor.expect(await visitor.news(None, 10), [1, 2, 3, 4], "wrong-events", "without `after`: all that is kept")


@make_app.case("a reader who waits is answered in the moment of publication, and everybody is")
async def _(answer):
    async with visiting(answer, events=1) as (feed, visitor):
        waiting = [asyncio.create_task(visitor.news(cursor(1), 5)) for _ in range(2)]
        await asyncio.sleep(0.5)
        if (await visitor.news(None, 4)).took > 0:
            why = "two readers wait, and a third asks for what is there: what does one handler hold that others need?"
            fail("one-at-a-time", *visitor.line.lines, hint=why)
        await asyncio.sleep(ODD_MOMENT - 0.5)
        feed.publish("message 2"), feed.publish("message 3")
        visitor.line.add("published: events 2 and 3")
        replies = await asyncio.gather(*waiting)
        took = sorted(reply.took for reply in replies)
        if any(not reply.numbers for reply in replies):
            slug = "answers-without-waiting" if took[0] < 1 else "misses-the-news"
            why = "await feed.wait(after) returns when there is something after the cursor"
            fail(slug, *visitor.line.lines, hint=why)
        if took[-1] > 4:
            fail("sleeps-to-the-end", *visitor.line.lines, hint="answer when there is news: await feed.wait(after)")
        if took[-1] > ODD_MOMENT + 0.0001:
            why = "do not look from time to time: await feed.wait(after) wakes in the right moment"
            fail("looks-now-and-then", *visitor.line.lines, f"that is {took[-1] - ODD_MOMENT:.4f} s late", hint=why)
        for reply in replies:
            visitor.expect(reply, [2, 3], "wrong-events", "all that came after the cursor")


@make_app.case("when the time is up: status 200 and an empty array")
async def _(answer):
    async with visiting(answer, events=1) as (_, visitor):
        for wait in (3, 0.5):
            reply = await visitor.get(cursor(1), wait)
            if reply.status != 200:
                why = "silence is no error: catch TimeoutError around the waiting, and answer []"
                fail("time-out-is-an-error", *visitor.line.lines, hint=why)
            if reply.body.replace(b" ", b"") != b"[]":
                fail("not-an-empty-array", *visitor.line.lines, hint="the body is [], an array without elements")
            if abs(reply.took - wait) > 0.01:
                why = 'float(request.query["wait"]) is how long this reader wants to wait'
                fail("ignores-wait", *visitor.line.lines, f"right is {wait} s, it took {reply.took:g} s", hint=why)


@make_app.case("Gone is 410, and what is not a cursor is 400, each with its reason")
async def _(answer):
    why = 'return web.json_response({"error": str(refusal)}, status=refusal.status)'
    async with visiting(answer, events=9, keep=4) as (_, visitor):
        for after, status, name in (
            (cursor(2), 410, "gone"),
            ("0ddba11d-3", 410, "gone"),
            ("nonsense", 400, "bad-cursor"),
        ):
            reply = await visitor.get(after, 3)
            if reply.status == 200:
                fail(
                    f"{name}-is-silent",
                    *visitor.line.lines,
                    f"right is status {status}",
                    hint="a hole is said, never skipped",
                )
            if reply.status != status:
                fail(f"{name}-is-{reply.status}", *visitor.line.lines, f"right is status {status}", hint=why)
            try:
                json.loads(reply.body)["error"]
            except (ValueError, KeyError, TypeError):
                fail("refuses-without-a-reason", *visitor.line.lines, hint=why)


@make_app.case("a reader who falls out of the window while waiting is told")
async def _(answer):
    async with visiting(answer, events=1, keep=3) as (feed, visitor):
        waiting = asyncio.create_task(visitor.get(cursor(1), 10))
        await asyncio.sleep(1)
        for number in range(5):
            feed.publish(f"message {number + 2}")
        visitor.line.add("published: events 2 to 6, of which the feed keeps three")
        reply = await waiting
        if reply.status != 410:
            why = "feed.wait(after) can raise Gone, too, when more is published at once than is kept"
            fail("late-gone-is-not-told", *visitor.line.lines, "right is status 410", hint=why)


@make_app.case("the course's readers follow it through cuts: nothing lost, nothing doubled")
async def _(answer):
    feed, rng, got = Feed(epoch=EPOCH), random.Random(1), [[], [], []]
    async with served(answer, feed) as (url, _), await Link.open(url, rtt_ms=40, jitter_ms=20) as link:

        async def read(numbers, seed):
            async for event in clients.long_polling(link.url, wait=5, rng=random.Random(seed)):
                numbers.append(event.id)

        readers = [asyncio.create_task(read(numbers, seed)) for seed, numbers in enumerate(got)]
        for number in range(40):
            feed.publish(f"message {number + 1}")
            await asyncio.sleep(rng.expovariate(10))
            if number % 6 == 5:
                link.cut()
        await asyncio.sleep(20)
        for reader in readers:
            await stop(reader)
        for numbers in got:
            right, lost = list(range(1, 41)), sorted({*range(1, 41)} - {*numbers})
            told = f"40 events, 6 cuts: a reader was given {len(numbers)} events, {len({*numbers})} different ones"
            if lost:
                why = "a reader who was cut off asks again with its old cursor; do not remember what you have sent"
                fail("loses-events", told, f"the first that is missing is {lost[0]}", hint=why)
            if numbers != right:
                fail("repeats-events", told, hint="answer only what came after the cursor, oldest first")


@make_app.case("a reader who leaves takes its handler along")
async def _(answer):
    async with visiting(answer, events=1) as (feed, visitor):
        visitor.http.headers["Connection"] = "close"  # so that each reader's connection ends with its request
        before = asyncio.all_tasks()
        for seconds, told in ((1, "the time was up for 10 readers"), (60, "10 readers closed their connections")):
            readers = [asyncio.create_task(visitor.get(cursor(1), seconds)) for _ in range(10)]
            await asyncio.sleep(0.5)
            if seconds > 1:
                for reader in readers:
                    await stop(reader)
            await asyncio.sleep(5)
            if left := len(asyncio.all_tasks() - before - {*readers}):
                why = "what you start besides the handler must end with it: cancel it in a `finally`, or start nothing"
                fail("leaves-tasks", told, f"{left} tasks still run on the server", hint=why)
        feed.publish("message 2")
        await asyncio.sleep(1)
        for error in visitor.errors.raised:
            raise error


@make_app.case(
    "on real sockets: a client that is not ours waits, is answered, hears of silence and of the gap", real=True
)
async def _(answer):
    feed = Feed(epoch=EPOCH, keep=2)
    async with served(answer, feed) as (url, _):
        first = asyncio.create_task(asyncio.to_thread(foreign, f"{url}/events?wait=15"))
        await asyncio.sleep(0.2)
        feed.publish("grün"), feed.publish("blue")
        replies = [await first]
        replies.append(await asyncio.to_thread(foreign, f"{url}/events?after={cursor(2)}&wait=0.1"))
        feed.publish("red"), feed.publish("gray"), feed.publish("pink")
        replies.append(await asyncio.to_thread(foreign, f"{url}/events?after={cursor(2)}&wait=15"))
    told = [(status, [event["data"] for event in body] if status == 200 else "error") for status, body in replies]
    right = [(200, ["grün", "blue"]), (200, []), (410, "error")]
    if told != right:
        shown = [
            f"{name}: right {good}, yours {bad}"
            for name, good, bad in zip(("news", "silence", "gap"), right, told, strict=True)
        ]
        fail("differs-in-real-time", *shown, hint="what differs between this run and the ones above?")


def foreign(url):
    """What Python's own HTTP client makes of a URL: the status, and the JSON in the body."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
