"""The checks of exercises 5.3 and 5.4: a broadcast for which nobody waits, and a bounded outbox that joins frames."""

import asyncio
import gc
from types import FunctionType, ModuleType

from labs.checks import Exercise, Timeline, fail, for_a_while
from labs.checks.attempt import said, where

broadcast = Exercise("5.3", "broadcast", "members, text, patience", awaited=True)
outbox = Exercise("5.4", "Outbox", "transport, close, limit")
EXERCISES = {exercise.number: exercise for exercise in (broadcast, outbox)}


def short(value, most=70):
    """A value in a few words."""
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 20]} … ({len(text)} characters)"


def parts(thing, stop=()):
    """All objects that a thing holds, directly or not; not what belongs to Python, to asyncio, or to `stop`."""
    foreign = (type, ModuleType, FunctionType, asyncio.AbstractEventLoop, *stop)
    found, new = {}, [thing]
    while new:
        one = new.pop()
        if id(one) not in found and not isinstance(one, foreign):
            found[id(one)] = one
            new += gc.get_referents(one)
    return found.values()


# 5.3 broadcast(members, text, patience)


class Reader:
    """A member: its `send` takes so many seconds, fails after them, or never ends."""

    def __init__(self, number, name, seconds=0.01, *, fails=None, also=None):
        self.number, self.name, self.seconds, self.fails, self.also = number, name, seconds, fails, also
        self.begun = self.ended = self.done = 0

    def __hash__(self):  # so that a set of readers has the same order on every run
        return self.number

    async def send(self, text):
        self.begun += 1
        try:
            if self.also:
                self.also()
            await asyncio.sleep(self.seconds)
            if self.fails:
                raise self.fails("the reader has gone")
            self.done = asyncio.get_running_loop().time()
        finally:
            self.ended += 1


class Street:
    """A broadcast to some readers, and what came of it."""

    def __init__(self, *readers):
        self.readers, self.members, self.lines = readers, {*readers}, []
        self.tasks, self.start = asyncio.all_tasks(), asyncio.get_running_loop().time()

    def names(self, members):
        return ", ".join(sorted(getattr(one, "name", "?") for one in members)) or "nobody"

    async def run(self, answer, patience, late="waits-for-the-slow"):
        """Let the answer do it. It is given a little more than its patience."""
        outcome = []

        async def call():
            outcome.append(await answer(self.members, "hi", patience))
            self.left = asyncio.all_tasks() - self.tasks - {asyncio.current_task()}

        try:
            ended = await for_a_while(call(), patience + 0.5)
        except (ConnectionError, ExceptionGroup) as error:
            why = "what happens to one member is caught for this member; the others' text goes on"
            fail("one-failure-ends-all", *where(error), f"broadcast raised {said(error)}", hint=why)
        self.lines = [f"broadcast to {self.names(self.readers)}, with {patience} s of patience"]
        for one in self.readers:
            how = f"done after {one.done - self.start:.2f} s" if one.done else "failed" if one.fails else "not done"
            self.lines.append(f"    {one.name}: {how}")
        if not ended:
            self.fail(late, "broadcast had not returned", hint="who is not done in time is given up: asyncio.timeout")
        return outcome[0]

    def fail(self, slug, *shown, hint):
        fail(slug, *self.lines, *shown, hint=hint)

    def expect(self, got, *right, keeps, drops="drops-the-healthy"):
        """The members to be dropped must be these."""
        if not isinstance(got, set | frozenset):
            self.fail("not-a-set", f"it returned an object of type {type(got).__name__}", hint="return a set")
        shown = f"to be dropped: right is {self.names(right)}, yours says {self.names(got)}"
        if got - {*right}:
            self.fail(drops, shown, hint="only those whose send failed, or was not done in time")
        if got != {*right}:
            self.fail(keeps, shown, hint="whose send failed, or was not done in time")


@broadcast.case("every member is sent the text, once")
async def _(answer):
    for count in (3, 1, 0):
        street = Street(*(Reader(number, f"reader {number}") for number in range(count)))
        try:
            got = await street.run(answer, 5)
        except ValueError as error:
            why = "a room may be empty, and asyncio.wait wants something to wait for"
            fail("dies-without-members", *where(error), said(error), hint=why)
        street.expect(got, keeps="keeps-the-failed")
        if any(reader.begun != 1 or not reader.done for reader in street.readers):
            slug = "sent-twice" if any(reader.begun > 1 for reader in street.readers) else "not-sent"
            street.fail(slug, hint="await member.send(text), once for each")


@broadcast.case("nobody waits for a slow one, and a slow one that is done in time stays")
async def _(answer):
    street = Street(Reader(1, "slow", 3), *(Reader(number, f"healthy {number}") for number in (2, 3)))
    got = await street.run(answer, 5, late="waits-in-turn")
    if any(not 0 < reader.done < street.start + 0.1 for reader in street.readers[1:]):
        street.fail("waits-in-turn", hint="begin to send to all, and only then wait")
    street.expect(got, keeps="keeps-the-failed", drops="gives-up-too-early")


@broadcast.case("who has gone is dropped, and hurts nobody")
async def _(answer):
    gone = [Reader(1, "gone", 0, fails=ConnectionResetError), Reader(2, "going", 0.5, fails=BrokenPipeError)]
    healthy = [Reader(0, "first"), Reader(3, "last", 1)]
    street = Street(*gone, *healthy)
    got = await street.run(answer, 5)
    if not all(reader.done for reader in healthy):
        street.fail("cancels-the-healthy", hint="in a TaskGroup, and in gather, one failure is everybody's: catch it")
    street.expect(got, *gone, keeps="keeps-the-failed")


@broadcast.case("who is not done in time is dropped then, and no other")
async def _(answer):
    slow = [Reader(1, "slow", 20), Reader(2, "stopped", 1e6)]
    street = Street(Reader(0, "first"), *slow, Reader(3, "last", 1.5))
    got = await street.run(answer, 2)
    street.expect(got, *slow, keeps="keeps-the-slow")


@broadcast.case("when it returns, nothing still runs")
async def _(answer):
    street = Street(Reader(0, "first"), Reader(1, "stopped", 1e6))
    await street.run(answer, 2)
    if street.left or not street.readers[1].ended:
        why = "cancel what is not done, and wait until it has ended"
        street.fail("leaves-tasks", f"{len(street.left)} task(s) still run when it has returned", hint=why)


@broadcast.case("the room may change meanwhile")
async def _(answer):
    late, later, early = Reader(0, "late"), Reader(5, "later"), Reader(4, "early", 1)

    def change():
        street.members.update((late, later))
        street.members.discard(early)

    street = Street(Reader(1, "first", also=change), Reader(2, "gone", 0, fails=ConnectionResetError), early)
    try:
        got = await street.run(answer, 3)
    except RuntimeError as error:
        fail("loops-over-the-room", *where(error), said(error), hint="list(members) is a copy, made before you wait")
    street.lines.append("meanwhile two join, and `early` leaves")
    if late.begun or later.begun or not early.done:
        street.fail("takes-the-later-room", hint="the text is for those who were there when you were called")
    street.expect(got, street.readers[1], keeps="confuses-members", drops="confuses-members")


@broadcast.case("cancelled, it ends, and every send with it")
async def _(answer):
    street = Street(Reader(0, "first"), Reader(1, "stopped", 1e6), Reader(2, "slow", 20))
    task = asyncio.ensure_future(answer(street.members, "hi", 60))
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.wait({task}, timeout=1)
    if not task.cancelled():
        how = "it returned" if task.done() else "it ran on"
        why = "CancelledError is for whoever cancelled; catch ConnectionError and TimeoutError only"
        fail("swallows-cancellation", f"broadcast was cancelled, and {how}", hint=why)
    if left := asyncio.all_tasks() - street.tasks:
        why = "`try` … `finally`: what you have started ends with you"
        fail("leaves-tasks-when-cancelled", f"broadcast was cancelled; {len(left)} task(s) still run", hint=why)


# 5.4 Outbox(transport, close, limit)

LIMIT = 1000


class Wire:
    """What a transport is to an outbox, and the outbox's member. It reads so many bytes a second."""

    def __init__(self, answer, speed):
        self.line, self.loop, self.speed = Timeline(), asyncio.get_running_loop(), speed
        self.put_in, self.writes, self.closes, self.tasks = [], [], [], 0
        self.waiting, self.peak, self.since = 0, 0, self.loop.time()
        self.loop.set_exception_handler(self.heard)
        self.loop.set_task_factory(self.makes_a_task)
        self.error = None
        self.outbox = answer(self, self.close, LIMIT)

    def heard(self, loop, context):
        self.error = self.error or context.get("exception")

    def makes_a_task(self, loop, coroutine, **options):
        self.tasks += 1
        return asyncio.Task(coroutine, loop=loop, **options)

    def get_write_buffer_size(self):
        now = self.loop.time()
        self.waiting, self.since = max(0, self.waiting - self.speed * (now - self.since)), now
        return round(self.waiting)

    def is_closing(self):
        return bool(self.closes)

    def write(self, data):
        if not isinstance(data, bytes | bytearray | memoryview):
            fail("not-bytes", f"write({short(data)})", hint='b"".join(frames) makes one piece of many')
        if self.closes and data:
            why = "what was put before was still to be written, and then it is too late: empty the list when you close"
            fail("writes-after-close", *self.line.lines, f"write({len(data)} bytes)", hint=why)
        if data:
            self.waiting = self.get_write_buffer_size() + len(data)
            self.peak = max(self.peak, self.waiting)
            self.writes.append(bytes(data))
            self.line.add(f"    write({len(data)} bytes), and {self.get_write_buffer_size()} wait in the transport")

    def writelines(self, pieces):
        self.write(b"".join(pieces))

    def close(self, code):
        self.closes.append(code)
        self.line.add(f"    close({code})")
        if len(self.closes) > 1:
            why = "note that it is closed before you call close(): that tells the others, and they put more"
            fail("closes-again", *self.line.lines, hint=why)
        if code != 1013:
            fail("another-code", *self.line.lines, hint="1013, try again later")
        self.outbox.put(b"presence")  # it tells the others, and this member is still among them

    def put(self, frames, size=100):
        """Put so many frames, in this turn of the event loop."""
        for _ in range(frames):
            frame = f"{len(self.put_in)};".encode().ljust(size, b".")[:size]
            self.put_in.append(frame)
            self.outbox.put(frame)

    async def turn(self, frames, size=100, *, seconds=0.0):
        """Put so many frames in one turn, let the next ones come, and then so many seconds go by."""
        self.line.add(f"put {frames} frame(s) of {size} bytes")
        self.put(frames, size)
        for _ in range(3):
            await asyncio.sleep(0)
        if self.error:
            raise self.error
        if self.tasks:
            why = "a plain function is enough, and loop.call_soon(function) calls it"
            self.fail("makes-tasks", f"so far {self.tasks} task(s) have been made", hint=why)
        if seconds:
            await asyncio.sleep(seconds)

    def fail(self, slug, *shown, hint):
        fail(slug, *self.line.lines, *shown, hint=hint)

    def expect_all(self):
        """All frames have been written, in order, and nobody has been closed."""
        wrote, right = b"".join(self.writes), b"".join(self.put_in)
        if self.closes:
            self.fail("closes-the-healthy", hint="how many bytes wait now, here and in the transport?")
        if wrote != right:
            frames = [piece.rstrip(b".") for piece in wrote.split(b";")]
            slug = "sends-again" if len(wrote) > len(right) else "loses-frames"
            slug = slug if len(wrote) != len(right) else "out-of-order"
            shown = f"{len(self.put_in)} frames were put, {len(frames) - 1} were written"
            self.fail(slug, shown, hint="each frame once, in the order in which they were put")


@outbox.case("a frame leaves in the turn that follows, not later")
async def _(answer):
    wire = Wire(answer, 10_000)
    for _ in range(2):
        before = len(wire.writes)
        await wire.turn(1)
        if len(wire.writes) == before:
            await asyncio.sleep(10)
            slug = "waits-for-a-timer" if len(wire.writes) > before else "writes-once" if before else "never-writes"
            wire.fail(slug, "two turns later it had not been written", hint="call_soon(function): in the next turn")
        wire.expect_all()


@outbox.case("frames of one turn leave in one write, in order")
async def _(answer):
    wire = Wire(answer, 10_000)
    for frames in (8, 2, 5):
        before = len(wire.writes)
        wire.loop.call_soon(wire.put, 1, 30)
        wire.loop.call_soon(wire.put, 1, 30)
        await asyncio.sleep(0)  # the two are put in this turn, and so are those that follow
        await wire.turn(frames, 30, seconds=1)
        if len(wire.writes) != before + 1 and b"".join(wire.writes) == b"".join(wire.put_in):
            why = "the first frame of a turn asks for the write, and the others only join the list"
            wire.fail("writes-each", f"{len(wire.writes) - before} writes in one turn", hint=why)
        wire.expect_all()


@outbox.case("a reader who keeps up is never closed, however much there is")
async def _(answer):
    for frames, size, seconds, slug, hint in (
        (1, 100, 0.05, "counts-what-has-left", "only what still waits counts"),
        (10, 100, 1, "closes-at-the-limit", "at most `limit` may wait, so `limit` may"),
    ):
        wire = Wire(answer, 4_000)
        for _ in range(20):
            await wire.turn(frames, size, seconds=seconds)
            if wire.closes:
                wire.fail(slug, hint=hint)
        wire.expect_all()


@outbox.case("a frame that would exceed the limit closes the member with 1013, once, and none is skipped")
async def _(answer):
    for each, slug, hint in (
        (1, "ignores-the-transport", "what the transport keeps waits, too: get_write_buffer_size()"),
        (8, "ignores-what-it-holds", "what has not been written yet waits, too"),
        (3, "ignores-what-it-holds", "both count: what you hold, and what the transport does"),
    ):
        wire = Wire(answer, 0)
        for _ in range(8 // each):
            await wire.turn(each, LIMIT // 4)
            if wire.closes and len(wire.put_in) <= 4:
                wire.fail("closes-the-healthy", hint="not before a frame would make it more than the limit")
            if not wire.closes and len(wire.put_in) > 4:
                if wire.peak <= LIMIT:
                    slug, hint = "skips-frames", "whoever misses one cannot know; end it: close(1013)"
                elif await counts_frames(answer):
                    slug, hint = "counts-frames", "the limit is in bytes: len(frame)"
                wire.fail(slug, f"{len(wire.put_in)} frames were put, and the limit is 1000 bytes", hint=hint)
        if not b"".join(wire.put_in).startswith(b"".join(wire.writes)):
            wire.fail("skips-frames", hint="what was written before the end has no holes")


async def counts_frames(answer):
    """Whether it takes the limit for a number of frames."""
    wire = Wire(answer, 10_000)
    await wire.turn(LIMIT, 0)
    wire.put(1, 0)
    before = len(wire.closes)
    await wire.turn(LIMIT, 0)
    return not before and bool(wire.closes)


@outbox.case("after that it writes nothing and keeps nothing")
async def _(answer):
    wire = Wire(answer, 100)
    await wire.turn(5)
    await wire.turn(20, seconds=1)
    for _ in range(20):
        await wire.turn(20, seconds=20)
    kept = sum(len(one) for one in parts(wire.outbox, (Wire,)) if isinstance(one, bytes | bytearray))
    if kept > LIMIT / 10:
        why = "memory is what slow readers cost: let go of the frames, and take no more"
        wire.fail("keeps-the-frames", f"the outbox still holds {kept} bytes", hint=why)
