"""The checks of exercises 6.3 and 6.4: a snapshot and what follows it, without a silent hole; and copies, with bounded memory."""

import asyncio
import inspect
import random
import time
from collections.abc import Sized
from contextlib import aclosing
from typing import NamedTuple

from labs.checks import Exercise, Timeline, fail, for_a_while
from labs.checks.n05_broadcast import parts
from labs.feed import Gone

follow = Exercise("6.3", "snapshot_then_follow", "stream, cursor", awaited=True)
seen = Exercise("6.4", "Seen", "limit")
EXERCISES = {exercise.number: exercise for exercise in (follow, seen)}


def size(thing, stop=()):
    """How many entries its containers have in all."""
    return sum(len(one) for one in parts(thing, (str, bytes, *stop)) if isinstance(one, Sized))


# 6.3 snapshot_then_follow(stream, cursor), an async generator


class Id(NamedTuple):
    """The id of an entry."""

    epoch: str
    number: int


class Entry(NamedTuple):
    """An entry of a stream."""

    number: int
    text: str


class Stream:
    """A room's stream, of which the newest `keep` are kept. `comes` says how many entries come at which moment."""

    def __init__(self, entries, *, keep=100, epoch="5eed0001", **comes):
        self.line, self.epoch, self.last, self.keep, self.comes = Timeline(), epoch, entries, keep, comes
        self.news, self.calls = asyncio.Event(), []
        self.line.add(f"the newest entry is {entries}, kept are {self.numbers(self.kept(0))}")

    def numbers(self, entries):
        return [entry.number for entry in entries]

    def kept(self, after, until=1_000_000):
        oldest = max(after, self.last - self.keep) + 1
        return [Entry(number, f"no. {number}") for number in range(oldest, min(self.last, until) + 1)]

    def add(self, entries=1):
        if entries:
            self.last += entries
            self.line.add(f"said meanwhile: up to entry {self.last}, kept are {self.numbers(self.kept(0))}")
            self.news.set()

    async def answer(self, name, result, *shown):
        """An answer takes a while, and before and after Redis has looked, things come; only once, though."""
        self.calls.append(name)
        await asyncio.sleep(0.05)
        self.add(self.comes.pop(f"before_{name}", 0))
        found = result()
        text = found.number if isinstance(found, Id) else self.numbers(found)
        self.line.add(f"{name}({', '.join(map(str, shown))}) → {text}")
        self.add(self.comes.pop(f"after_{name}", 0))
        await asyncio.sleep(0.05)
        return found

    async def last_id(self):
        return await self.answer("last_id", lambda: Id(self.epoch, self.last))

    async def range(self, after, until):
        return await self.answer("range", lambda: self.kept(after, until), after, until)

    async def read(self, after):
        self.add(self.comes.pop("before_read", 0))
        while self.last <= after:
            self.news.clear()
            await self.news.wait()
        return await self.answer("read", lambda: self.kept(after), after)


async def consume(answer, stream, cursor, got):
    """Read what the answer yields, half a second for each; `handling_N` entries come while entry N is handled."""
    answer.is_plain = False  # nor need it be awaited
    made = answer.answer(stream, cursor)
    if not inspect.isasyncgen(made):
        if inspect.isawaitable(made):
            await for_a_while(made, 1.0)  # raises what a stub raises
        why = "an `async def` with `yield` in it is an async generator: yield each entry by itself"
        fail("not-a-generator", f"{follow.name}(stream, cursor) is read with `async for`, and cannot be", hint=why)
    async with aclosing(made) as entries:
        async for entry in entries:
            if not isinstance(entry, Entry):
                fail("not-entries", f"it yielded an object of type {type(entry).__name__}", hint="yield each entry")
            stream.line.add(f"yields entry {entry.number}")
            got.append(entry.number)
            stream.add(stream.comes.pop(f"handling_{entry.number}", 0))
            await asyncio.sleep(0.5)


async def expect(answer, stream, cursor, right, slug, hint, *, gone=False, live=0):
    """These numbers, by default all, must be yielded, and then it follows, or raises Gone; `live` more are said later."""
    for number in range(live):
        asyncio.get_running_loop().call_later(8 + number, stream.add)
    got = []
    cursor = Id("5eed0001", cursor) if isinstance(cursor, int) else cursor
    try:
        ended = await for_a_while(consume(answer, stream, cursor, got), 10 + live) and "ended"
    except Gone:
        ended = "raised Gone"
        stream.line.add(ended)
    right = [*range((cursor.number if cursor else 0) + 1, stream.last + 1)] if right is None else right
    shown = [*stream.line.lines[-12:], f"yielded {got}, right is {right}{' and then Gone' * gone}"]
    if len(set(got)) < len(got):
        fail("told-twice", *shown, hint="what is in the snapshot is not read again: follow from where it ended")
    if ended == "raised Gone" and not gone:
        fail("gone-for-nothing" if cursor else "gone-for-newcomers", *shown, hint="nothing is missing here")
    if got != sorted(got):
        fail("out-of-order", *shown, hint="first the snapshot, then what follows it")
    if got != right or (gone and ended != "raised Gone"):
        fail(slug, *shown, f"and it {ended or 'waits for more'}", hint=hint)
    if ended == "ended":
        fail("ends", *shown, hint="after the snapshot it goes on with what comes, for as long as it is read")


@follow.case("first what the reader does not have")
async def _(answer):
    why = "await stream.range(after, until) gives the entries after the cursor; for a newcomer that is all of them"
    for cursor, right in ((2, [3, 4, 5]), (None, [1, 2, 3, 4, 5]), (5, [])):
        await expect(answer, Stream(5), cursor, right, "wrong-snapshot", why)


@follow.case("then what comes, when it comes")
async def _(answer):
    for entries, cursor, right in ((5, 2, [3, 4, 5, 6, 7]), (5, 5, [6, 7]), (0, None, [1, 2])):
        stream = Stream(entries)
        await expect(answer, stream, cursor, right, "does-not-follow", "await stream.read(last), in a loop", live=2)
        if len(stream.calls) > 10:
            fail(
                "polls", *stream.line.lines[:10], hint="read waits until there is something: it need not be asked often"
            )


MOMENTS = {
    "after_last_id": "lost-after-the-position", "before_range": "lost-after-the-position",
    "after_range": "lost-after-the-snapshot", "before_last_id": "lost-at-the-start", "handling_4": "lost-while-handling",
    "before_read": "lost-before-reading", "after_read": "lost-while-reading",
}  # fmt: skip


@follow.case("nothing falls in between, whatever is said at whatever moment")
async def _(answer):
    why = "the snapshot ends at the newest id that you asked for first, and the following begins right there"
    for moment, slug in MOMENTS.items():
        await expect(answer, Stream(5, **{moment: 2}), 2, None, slug, why, live=2)
    await expect(answer, Stream(5, after_last_id=1, after_range=1), None, None, "lost-after-the-snapshot", why, live=2)


@follow.case("an entry that the reader should get and that is no longer kept is Gone, at once")
async def _(answer):
    why = "numbers have no holes: after the cursor comes the next one, or something is missing"
    await expect(answer, Stream(9, keep=3), 2, [], "silent-hole", why, gone=True)
    await expect(answer, Stream(9, keep=6), 2, [], "silent-hole", why, gone=True)
    await expect(answer, Stream(5, keep=3, after_last_id=2), 2, [], "silent-hole", "it went while you asked", gone=True)
    why = "the range is empty, and the newest id says that it should not be"
    await expect(answer, Stream(5, keep=0), 2, [], "tells-too-late", why, gone=True)


@follow.case("for a newcomer nothing is missing")
async def _(answer):
    why = "without a cursor it begins with the oldest that is kept"
    for stream, right in (
        (Stream(9, keep=3), [7, 8, 9]), (Stream(5, keep=3, after_last_id=2), [5, 6, 7]), (Stream(5, keep=0), []),
    ):  # fmt: skip
        await expect(answer, stream, None, right, "wrong-for-newcomers", why)


@follow.case("a cursor of another epoch is Gone, whatever its number")
async def _(answer):
    why = "a Redis that has lost its memory counts from 1 again: compare cursor.epoch with that of the newest id"
    for number in (2, 5, 30):
        stream = Stream(5, epoch="5eed0002")
        stream.line.lines.append(f"the cursor is number {number} of another epoch")
        await expect(answer, stream, number, [], "ignores-the-epoch", why, gone=True)


@follow.case("a reader who is too slow is told, too")
async def _(answer):
    why = "while entry 5 was handled, the next ones came and went: is the first entry that read gives the next one?"
    for cursor, right in ((2, [3, 4, 5]), (None, [1, 2, 3, 4, 5])):
        stream = Stream(5, keep=5, handling_5=9)
        await expect(answer, stream, cursor, right, "silent-hole-while-following", why, gone=True)


# 6.4 Seen(limit)


class Copies:
    """The answer, and what it must know: the last `limit` new messages."""

    def __init__(self, answer, limit):
        self.seen, self.limit, self.order, self.lines = answer(limit), limit, [], []

    def ask(self, sender, id, slug, hint):
        """One message; it is judged where it is among the last ones or has never been there."""
        key = (sender, id)
        known = key in self.order[-self.limit :]
        new = key not in self.order
        got = self.seen.first(sender, id)
        self.lines.append(f"first({sender!r}, {id!r}) → {got!r}")
        if not isinstance(got, bool):
            fail("not-a-bool", self.lines[-1], hint="True for a new message, False for a copy")
        if (known and got) or (new and not got):
            right = "it is a copy: False" if known else "it is new: True"
            fail(slug, f"Seen({self.limit})", *self.lines[-12:], right, hint=hint)
        if got:
            self.order.append(key)

    def run(self, text, slug, hint):
        for word in text.split():
            self.ask(*word.split("/"), slug, hint)


KNOWN = {  # a sentence, and what is tried: the limit, the messages, the diagnosis, the hint
    "a new message is the first, and its copy is not": [
        (3, "ada/1", "takes-new-for-copies", "True means that it is new"),
        (3, "ada/1 ada/1 ada/1", "misses-copies", "remember what you have said True to"),
    ],
    "each sender counts for itself": [
        (9, "ada/1 bob/1 ada/2 bob/2 ada/1 bob/1", "confuses-senders", "remember the sender and the id"),
        (9, "a/11 a1/1 a:/b a/:b a-/b a/-b a_/1 a/_1 ab/c a/bc", "glues-names", "a tuple keeps them apart"),
    ],
    "a message is known until `limit` new ones have come": [
        *((3, f"a/1 a/2 a/3 {more}", "forgets-too-early", "the oldest one goes, and no other")
          for more in ("a/1", "a/4 a/2", "a/4 a/3", "a/4 a/4", "b/1 b/2 a/3")),
        (1, "a/1 a/1 a/2 a/2 b/2 b/2", "forgets-too-early", "with a limit of 1, the last one is known"),
    ],
    "copies push nothing out": [
        (3, "a/1 a/2 a/3 a/3 a/3 a/3 a/1 a/2", "copies-push-out", "only new messages count"),
        (3, "a/1 a/2 a/3 a/1 a/1 a/4 a/2 a/3", "copies-push-out", "a copy does not make its message any younger"),
    ],
}  # fmt: skip


@seen.case("a new one knows nothing")
def _(answer):
    one, other = answer(9), answer(9)
    new, copy, new_elsewhere = (memory.first("ada", "1") for memory in (one, one, other))
    if (new, copy) == (False, False) or (new, new_elsewhere) == (True, False):
        fail("shares-state", "what one Seen was asked, another one knows", hint="set it in __init__, on self")


for sentence, tries in KNOWN.items():

    @seen.case(sentence)
    def _(answer, tries=tries):
        for limit, text, slug, hint in tries:
            Copies(answer, limit).run(text, slug, hint)


@seen.case("… in any mixture")
def _(answer):
    chance = random.Random(6)
    for limit in (1, 2, 7, 20):
        copies = Copies(answer, limit)
        for number in range(100):
            age = chance.choice((0, 0, 0, 1, 2, limit - 1, limit, 2 * limit))
            sender, id = copies.order[-age] if 0 < age <= len(copies.order) else (chance.choice("ab"), str(number))
            copies.ask(sender, id, "fails-in-a-mixture", "the last `limit` new ones, whatever came between them")


@seen.case("no more than `limit` are remembered, about, however many messages and senders there are")
def _(answer):
    for slug, sender in (("never-forgets", "ada"), ("a-memory-for-each-sender", "m{}")):
        memory, sizes = answer(50), []
        for number in range(600):
            memory.first(sender.format(number), str(number))
            if number in (199, 599):
                sizes.append(size(memory))
        if sizes[1] > 2.2 * sizes[0]:
            shown = f"Seen(50) after 200 new messages: {sizes[0]} entries; after 600: {sizes[1]}"
            fail(slug, shown, hint="for each that comes beyond the limit one goes, whoever has sent it")


@seen.case("it does not search through everything that it remembers")
def _(answer):
    few, many = (cost(answer(limit), limit) for limit in (10, 2_000))
    if many > 10 * few:
        why = "`in` a list or a deque looks at one after the other; a dict or a set knows where to look"
        fail("slow", "with 2,000 messages in memory a call takes more than ten times as long as with 10", hint=why)


def cost(memory, limit):
    """Nanoseconds for fifty calls, at best, when the memory is full."""
    for number in range(limit + 1):
        memory.first("ada", f"{number:06}")
    best = []
    for turn in range(7):
        begin = time.perf_counter_ns()
        for number in range(50):
            memory.first("bob", f"{turn}-{number:06}")
        best.append(time.perf_counter_ns() - begin)
    return min(best)
