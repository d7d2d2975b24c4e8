"""The checks of notebook 03: the encoder, an incremental reader, replay and follow, and a client of a real server."""

import asyncio
import inspect
import re
from contextlib import aclosing
from itertools import chain

from labs import clients, virtual
from labs.checks import Exercise, Timeline, fail, for_a_while, stop
from labs.checks.attempt import said, where
from labs.clock import now_ns
from labs.feed import Event, Feed, Gone
from labs.launch import launch
from labs.sse_codec import Parser, SseEvent


class NoParameters(str):
    """The parameters of a class that is called without any."""

    def split(self, *_):
        return []


encode = Exercise("3.1", "encode", "data, id=None, event=None")
reader = Exercise("3.2", "Reader", NoParameters())
replay = Exercise("3.3", "replay_then_follow", "feed, cursor", awaited=True)
listen = Exercise("3.4", "listen", "http, url, handle, gap", awaited=True)
EXERCISES = {exercise.number: exercise for exercise in (encode, reader, replay, listen)}


def told(events):
    """Events in one line."""
    return ", ".join(f"{one.type} {one.data!r} (id {one.last_event_id!r})" for one in events) or "nothing"


# 3.1 encode(data, id=None, event=None) -> bytes


def read_back(answer, arguments):
    """The answer's bytes, and what a reader makes of them between two other events, of which the first had the id 7."""
    wire = answer(*arguments)
    if not isinstance(wire, bytes):
        shown = f"encode{arguments!r} returned an object of type {type(wire).__name__}".replace(",)", ")")
        fail("not-bytes", shown, hint="what goes into a response is bytes: text.encode() makes them, in UTF-8")
    parser = Parser()
    parser.feed(b"id: 7\ndata: before\n\n")
    return wire, parser.feed(wire) + parser.feed(b"data: next\n\n")


def expect_event(answer, *arguments, slug, hint):
    """The answer, read back, must be one event."""
    data, id, event = (*arguments, None, None)[:3]
    wire, got = read_back(answer, arguments)
    id = "7" if id is None else id
    right = [SseEvent(event or "message", re.sub("\r\n?", "\n", data), id), SseEvent("message", "next", id)]
    if got == right:
        return
    shown = [f"encode{arguments!r} wrote {wire!r}".replace(",)", ")", 1)]
    shown += [f"a reader gets {told(got)}", f"right is      {told(right)}"]
    if not got or got[-1].data != "next":
        fail("not-ended", *shown, hint="an empty line ends the event; without it the next one becomes part of it")
    if "None" in (got[0].type, got[0].last_event_id):
        fail("writes-none", *shown, hint="without an id or a type, leave its line out")
    if id == "7" and got[0].last_event_id == "":
        fail("forgets-the-id", *shown, hint="an empty `id:` line is an id, too: without an id, write no such line")
    fail(KNOWN.get(got[0].data, slug), *shown, hint=hint)


KEEP = "every line of the text is written, also an empty one: how many lines has ''? And 'a\\n'?"
TEXTS = {  # a sentence, and what it is tried on: the arguments, the diagnosis, the hint
    "a line of text is one event, and ends": [("hello", "wrong-event", "b'data: hello\\n\\n' is one way to write it")],
    "line breaks in the text stay text": [
        ("two\nlines", "trusts-the-data", "write a `data:` line for each line of the text"),
        ("hello\n\nevent: reset\ndata: bye", "trusts-the-data", "write a `data:` line for each line of the text"),
    ],
    "\\r\\n and \\r are line breaks, too, and \\r\\n is only one": [
        ("a\rid: 8", "trusts-cr", "a reader also ends a line at \\r"),
        ("a\r\nb", "trusts-cr", "\\r\\n is one line break: look for it first"),
    ],
    "nothing else is a line break": [
        ("a\x0bb\x85c\u2028d", "splits-elsewhere", "str.splitlines also splits at \\x0b, \\x85, \\u2028 and others"),
    ],
    "empty text is an event, and a line break at the end is kept": [
        ("", "drops-empty-text", KEEP), ("a\n", "drops-the-last-line", KEEP),
    ],
    "spaces are kept": [
        (" a\n  b", "loses-a-space", "a reader removes one space after the colon, so write one of your own"),
        ("a ", "strips", "spaces at the end belong to the text"),
    ],
    "text beyond ASCII travels as UTF-8": [("grüß € 𐍈", "not-utf-8", "the format is always UTF-8")],
    "an id and a type arrive": [
        ("a", "5eed0001-8", "wrong-id", "the line is `id: …`, before the empty one"),
        ("a", None, "reset", "wrong-type", "the line is `event: …`, before the empty one"),
        ("a", "ü: 8", "b c", "wrong-id", "anything but a line break may stand in an id"),
    ],
    "an empty id is an id: it makes the reader forget the one it had": [
        ("a", "", "drops-the-empty-id", "`if id:` is false for '' as well as for None"),
    ],
}  # fmt: skip
KNOWN = {"hello\nevent: reset\ndata: bye": "drops-empty-lines", "a\n\nb": "doubles-crlf"}  # data that tells the mistake

for sentence, tries in TEXTS.items():

    @encode.case(sentence)
    def _(answer, tries=tries):
        for *arguments, slug, hint in tries:
            expect_event(answer, *arguments, slug=slug, hint=hint)


@encode.case("line breaks in an id or a type, and NUL in an id, are refused")
def _(answer):
    refused = [("a", f"1{end}data: x", None, "trusts-the-id") for end in ("\n", "\r", "\r\n")]
    refused += [("a", None, f"add{end}data: x", "trusts-the-type") for end in ("\n", "\r", "\r\n")]
    for *arguments, slug in [*refused, ("a", "1\0", None, "trusts-nul")]:
        try:
            wire = answer(*arguments)
        except ValueError:
            continue
        why = "readers ignore an id with NUL in it" if "\0" in str(arguments[1]) else "whoever chooses it writes events"
        fail(slug, f"encode{tuple(arguments)!r} wrote {wire!r}", hint=f"{why}: raise ValueError")


# 3.2 Reader().feed(chunk) -> list of SseEvent

RULES = {
    "an empty line ends an event": (
        {b"data: a\n\n": "wrong-events", b"data: a\n\ndata: b\n\n": "wrong-events"},
        "collect lines; at an empty one, make an event of them",
    ),
    "what has not been ended by an empty line is not delivered": (
        {b"data: a": "delivers-half", b"data: a\n\ndata: b\n": "delivers-half"},
        "the connection broke in the middle of it; the server will send it again, whole",
    ),
    "a new reader knows nothing of the last one": (
        {b"data: c\n\n": "shares-state"},
        "what stands in the class body is shared by all its readers; set it in __init__, on self",
    ),
    "several data lines are one text, also empty ones": (
        {b"data: a\ndata: b\n\n": "joins-wrongly", b"data: a\ndata:\n\n": "drops-empty-data", b"data:\n\n": "drops-empty-data"},
        "put \\n between the lines; an empty data line is a line of the text, too",
    ),
    "without a data line there is no event": (
        {b"\n\ndata: a\n\n": "events-of-nothing", b"event: add\n\ndata: a\n\n": "events-of-nothing"},
        "an empty line without data before it delivers nothing, and forgets the type",
    ),
    "a line ends at \\n, \\r or \\r\\n, and at nothing else": (
        {
            b"data: a\r\n\r\n": "ignores-crlf",
            b"data: a\r\n\r\ndata: b\r\ndata: c\r\n\r\n": "ignores-crlf",
            b"data: a\r\rdata: b\rdata: c\n\n": "ignores-cr",
            "data: a\x0bb\x85c\u2028d\n\n".encode(): "splits-elsewhere",
        },
        "three line ends, and no str.splitlines, which knows seven more",
    ),
    "one space after the colon is removed, and nothing else": (
        {b"data:a\n\n": "needs-a-space", b"data:  a \n\n": "strips", b"data: a: b:c\n\n": "splits-at-every-colon"},
        "part the line at its first colon; then take away one space, if there is one",
    ),
    "comments and fields of other names are skipped": (
        {b": hi\ndata: a\n:\ndata: b\n\n": "reads-comments",
         b":data: b\ndata: a\n\n": "reads-comments", b"xdata: b\ndata: a\n\n": "reads-unknown-fields"},
        "only `data`, `event` and `id` are of interest, and a comment's field has no name",
    ),
    "a type holds for one event": (
        {b"event: add\ndata: a\n\n": "ignores-the-type", b"event: add\ndata: a\n\ndata: b\n\n": "keeps-the-type"},
        "the next event is of type 'message' again, unless it says otherwise",
    ),
    "an id is remembered, until there is another": (
        {
            b"id: 7\ndata: a\n\ndata: b\n\n": "forgets-the-id",
            b"id: 7\n\ndata: a\n\n": "forgets-the-id",
            b"id: 7\ndata: a\n\nid:\ndata: b\n\n": "ignores-the-empty-id",
            b"id: 7\ndata: a\n\nid: 8\x009\ndata: b\n\n": "takes-nul",
        },
        "an event carries the last id that was seen, be it empty; one with NUL in it does not count",
    ),
    "a byte order mark at the start is skipped": (
        {b"\xef\xbb\xbfdata: a\n\n": "reads-the-mark", b"data: \xef\xbb\xbfa\n\n": "drops-every-mark"},
        "U+FEFF, if it is the first character of the stream; later it is text",
    ),
    "text is UTF-8": ({"data: ß€𐍈\n\n".encode(): "not-utf-8"}, "every byte above 127 is a part of a character"),
}  # fmt: skip
STREAMS = sorted(set(chain.from_iterable(streams for streams, _ in RULES.values())), key=lambda wire: (len(wire), wire))
CUTS = {
    "forgets-half-an-event": ("a stream may be cut between two lines", "keep what belongs to the event on self"),
    "forgets-half-a-line": ("… in the middle of a line", "keep the piece after the last line end until the rest comes"),
    "tears-crlf": ("… between \\r and \\n", "a \\n that comes right after a \\r is no second line end"),
    "tears-characters": ("… in the middle of a character", "codecs.getincrementaldecoder('utf-8') keeps half a character"),
    "tears-the-mark": ("… in the middle of a byte order mark", "look for it in the text, once it has been decoded"),
}  # fmt: skip


def kind_of_cut(wire, place):
    """The diagnosis for a reader that fails when the stream is cut here."""
    if wire[place] & 0xC0 == 0x80:
        return "tears-the-mark" if place < 3 else "tears-characters"
    if wire[place - 1 : place + 1] == b"\r\n":
        return "tears-crlf"
    return "forgets-half-an-event" if wire[place - 1] in b"\r\n" else "forgets-half-a-line"


def pieces_given(new, pieces):
    """The events that each piece gave, by a new reader."""
    reader, given = new(), []
    for piece in pieces:
        events = reader.feed(piece)
        if not isinstance(events, list) or not all(isinstance(event, SseEvent) for event in events):
            why = "feed returns a list of SseEvent(type, data, last_event_id), which is empty when no event has ended"
            fail("not-a-list-of-events", f"feed({piece!r}) returned {events!r}", hint=why)
        given.append(events)
    return given


def expect_events(answer, pieces, slug, hint, late=None):
    """Compare with the course's parser: what came in all, or with `late`, its diagnosis, what came with each piece."""
    right = pieces_given(Parser, pieces)
    try:
        got = pieces_given(answer, pieces)
    except UnicodeDecodeError as error:
        fail(slug, f"the stream  {cut(pieces)}", f"UnicodeDecodeError: {error.reason}", hint=hint)
    all_got, all_right = list(chain(*got)), list(chain(*right))
    shown = [f"the stream  {cut(pieces)}", f"right  {told(all_right)}", f"yours  {told(all_got)}"]
    if all_got != all_right:
        fail(slug, *shown, hint=hint)
    if late and got != right:
        fail(late, *shown, f"by piece: right {list(map(len, right))} events, yours {list(map(len, got))}", hint=hint)


def cut(pieces):
    """The stream, with its cuts marked; only the first of many pieces are shown."""
    return " ✂ ".join(map(repr, pieces[:12])) + " …" * (len(pieces) > 12)


for sentence, (streams, hint) in RULES.items():

    @reader.case(sentence)
    def _(answer, streams=streams, hint=hint):
        for wire, slug in streams.items():
            expect_events(answer, [wire], slug, hint)


for slug, (sentence, hint) in CUTS.items():

    @reader.case(sentence)
    def _(answer, slug=slug, hint=hint):
        for wire in STREAMS:
            for place in range(1, len(wire)):
                if kind_of_cut(wire, place) == slug:
                    expect_events(answer, [wire[:place], wire[place:]], slug, hint)


@reader.case("an event is delivered with the piece that ends it")
def _(answer):
    why = "act at \\r at once; if the next piece begins with \\n, skip that"
    for wire in (b"data: a\r\r", *STREAMS):
        for place in range(1, len(wire)):
            expect_events(answer, [wire[:place], wire[place:]], "late", why, late="late")


@reader.case("a stream may come byte by byte, with nothing in between")
def _(answer):
    why = "what do you keep from piece to piece, and does an empty piece change it?"
    for wire in STREAMS:
        pieces = [wire[place : place + 1] for place in range(len(wire))]
        expect_events(answer, pieces, "fails-byte-by-byte", why)
        expect_events(answer, [piece for byte in pieces for piece in (byte, b"")], "changed-by-nothing", why)


# 3.3 replay_then_follow(feed, cursor), an async generator


class Source:
    """The feed that the answer follows. What it keeps takes a while to fetch, and meanwhile events may be published."""

    def __init__(self, events, *, before=0, after=0, keep=100):
        self.line, self.feed, self.queues = Timeline(), Feed(keep=keep, epoch="00000001"), []
        self.before, self.after = before, after  # events published while `since` is fetching, and when it has fetched
        for _ in range(events):
            self.feed.publish("news")
        self.line.add(f"kept are events {[event.id for event in self.feed.since()]}")

    def publish(self, events=1):
        for _ in range(events):
            event = self.feed.publish("news")
            self.line.add(f"event {event.id} is published, for {len(self.queues)} subscriber(s)")
            for queue in self.queues:
                queue.put_nowait(event)

    async def since(self, cursor=None):
        await asyncio.sleep(0.1)
        self.publish(self.before)
        try:
            found = self.feed.since(cursor)
        except Gone:
            self.line.add(f"since({cursor!r}) raises Gone")
            raise
        self.line.add(f"since({cursor!r}) has fetched events {[event.id for event in found]}")
        self.publish(self.after)
        self.before = self.after = 0
        await asyncio.sleep(0.1)
        return found

    def subscribe(self):
        self.line.add("subscribe()")
        self.queues.append(asyncio.Queue())
        return self.queues[-1]

    def unsubscribe(self, queue):
        self.line.add("unsubscribe()")
        if not any(queue is one for one in self.queues):
            why = "hand over the queue that subscribe() gave you, and only once"
            fail("unsubscribes-another", *self.line.lines, "this queue is not subscribed", hint=why)
        self.queues.remove(queue)


async def generator(answer, source, cursor):
    """The async generator that the answer makes."""
    answer.is_plain = False  # nor need it be awaited
    made = answer.answer(source, cursor)
    if inspect.isasyncgen(made):
        return made
    if inspect.isawaitable(made):
        await for_a_while(made, 1.0)  # raises what a stub raises
    why = "an `async def` with `yield` in it is an async generator: yield each event by itself"
    fail("not-a-generator", f"{replay.name}(feed, cursor) is read with `async for`, and cannot be", hint=why)


async def consume(answer, source, cursor, got, handling=lambda event: None, leave_after=None):
    """Read what the answer yields, half a second for each; `handling` may publish more meanwhile."""
    async with aclosing(await generator(answer, source, cursor)) as events:
        async for event in events:
            if not isinstance(event, Event):
                fail("not-events", f"it yielded an object of type {type(event).__name__}", hint="yield the events")
            source.line.add(f"yields event {event.id}")
            got.append(event.id)
            if event.id == leave_after:
                source.line.add("the consumer leaves: aclose()")
                break
            handling(event)
            await asyncio.sleep(0.5)


async def expect_ids(answer, source, after, slug, hint, live=0, handling=lambda event: None):
    """Every event after number `after` must be yielded once, in order; `live` more are published later, one by one."""
    for number in range(live):
        asyncio.get_running_loop().call_later(8 + number, source.publish)
    got = []
    cursor = f"00000001-{after}" if after else None
    ended = await for_a_while(consume(answer, source, cursor, got, handling), 12 + live)
    right = list(range(after + 1, len(source.feed.since()) + 1))
    shown = [*source.line.lines, f"yielded {got}, right is {right}"]
    if len(set(got)) < len(got):
        fail("told-twice", *shown, hint="what was replayed may be waiting in the queue, too: how do you recognize it?")
    if got != right:
        if sorted(got) == right:
            fail("out-of-order", *shown, hint="first the replay, then the queue")
        fail(slug, *shown, hint=hint)
    if ended:
        fail("ends", *shown, hint="after the replay it goes on with what comes, for as long as it is read")


@replay.case("first what the reader has missed")
async def _(answer):
    await expect_ids(answer, Source(5), 2, "wrong-replay", "await feed.since(cursor) gives the events after the cursor")
    await expect_ids(
        answer, Source(3), 0, "wrong-replay", "a new reader's cursor is None, and it gets all that is kept"
    )


@replay.case("then what is new, when it comes")
async def _(answer):
    source = Source(2)
    why = "await queue.get() gives the next event"
    await expect_ids(answer, source, 2, "does-not-follow", why, live=2)
    if not any("subscribe()" in line for line in source.line.lines):
        why = "subscribe instead of asking again and again"
        fail("polls", *source.line.lines, hint=why)


@replay.case("what is published while the reader handles the replay comes once")
async def _(answer):
    def publish(event):
        source.publish(2 if event.id == 4 else 0)

    source = Source(5)
    why = "nobody kept the new ones for this reader while it was busy with the old ones: subscribe before the replay"
    await expect_ids(answer, source, 2, "lost-while-replaying", why, handling=publish)


@replay.case("… and while `since` is fetching")
async def _(answer):
    why = "they came after `since` had looked and before you subscribed: subscribe first"
    await expect_ids(answer, Source(5, after=2), 2, "lost-while-fetching", why)
    await expect_ids(answer, Source(5, before=2), 2, "lost-while-fetching", "only skip what has been replayed")
    await expect_ids(answer, Source(8, before=1, after=3), 2, "compares-text", "as text, '10' is less than '9'", live=2)


@replay.case("when something is missing, `Gone` passes through, and no subscription stays behind")
async def _(answer):
    source = Source(9, keep=3)
    try:
        await for_a_while(consume(answer, source, "00000001-2", []), 5)
    except Gone:
        if source.queues:
            why = "`finally` is also reached when `since` raises, if `since` stands inside of `try`"
            fail("leaks-on-gone", *source.line.lines, "still subscribed", hint=why)
        return
    why = "only the caller knows what to do about a hole: let it have the exception"
    fail("swallows-gone", *source.line.lines, "the caller did not get it", hint=why)


@replay.case("whoever leaves, at whatever moment, leaves no subscription behind")
async def _(answer):
    for leave_after, seconds in ((3, 5), (6, 5), (None, 0.15), (None, 1.2), (None, 4)):
        source = Source(5)
        asyncio.get_running_loop().call_later(3, source.publish)
        await for_a_while(consume(answer, source, "00000001-2", [], leave_after=leave_after), seconds)
        if source.queues:
            how = [] if leave_after else [f"the consumer was cancelled at {seconds} s"]
            why = "an aclose() or a cancellation raises at the `yield` or `await` that is waiting: use `finally`"
            fail("leaks-when-left", *source.line.lines, *how, "still subscribed", hint=why)


# 3.4 listen(http, url, handle, gap)


class Listener:
    """The answer at work on a server: what it handled, when it asked, and how often it said that something is missing."""

    def __init__(self, answer, server, http):
        self.line, self.server, self.handled, self.gaps = Timeline(), server, [], 0
        self.task = asyncio.ensure_future(answer(http, server.url, self.handle, self.gap))

    def handle(self, event):
        if not isinstance(event, Event):
            why = "an event's data is the JSON text of an Event: Event(**json.loads(event.data))"
            fail("not-an-event", f"handle() was given an object of type {type(event).__name__}", hint=why)
        self.handled.append(event.data)
        self.line.add(f"handle({event.data!r})")

    def gap(self):
        self.gaps += 1
        self.line.add("gap()")

    async def publish(self, *texts):
        for text in texts:
            await self.server.publish(text)
            self.line.add(f"published: {text!r}")

    async def cut(self, *texts):
        """Cut the connection, and publish before the answer can be back; returns when it asked again, in seconds."""
        self.server.link.cut()
        self.line.add("the connection is cut")
        begin = now_ns()
        await self.publish(*texts)
        await asyncio.sleep(5)
        asked = [chunk.sent - begin for chunk in self.server.link.chunks if chunk.direction == "up"]
        return [after / 1e9 for after in asked if after >= 0]

    async def restart(self):
        await self.server.restart()
        self.line.add("the server restarts, with a new epoch")

    def expect(self, right, slug, hint, *, gaps=0, ended="ends"):
        """Compare what was handled, and the gaps that were said."""
        if self.task.done():
            self.explain_the_end(ended)
        shown = [*self.line.lines, f"handled {self.handled}, right is {right}"]
        if len(set(self.handled)) < len(self.handled):
            why = "Last-Event-ID says where to go on: the id of the last event that you handled"
            fail("handles-twice", *shown, hint=why)
        if self.handled != right:
            fail(slug, *shown, hint=hint)
        if self.gaps < gaps:
            fail("silent-gap", *shown, hint="an event of type `reset` says that something may be missing: call gap()")
        if self.gaps > gaps:
            slug = "gap-again-and-again" if gaps else "gap-without-a-hole"
            why = "`reset` carries an empty id: what must you send when you come back? Nothing"
            fail(slug, *shown, hint=why if gaps else "a connection that broke has lost nothing")

    def explain_the_end(self, slug):
        error = None if self.task.cancelled() else self.task.exception()
        if isinstance(error, NotImplementedError) or (error and slug == "ends"):
            raise error
        told = [*where(error), f"listen() raised {said(error)}"] if error else ["listen() returned"]
        why = {
            "dies-on-reset": "the data of `reset` is a sentence for people, not the JSON text of an event",
            "ends": "it listens for as long as the user wants",
        }.get(slug, "aiohttp.ClientError is raised, or the stream simply ends; go on in both cases")
        fail(slug, *self.line.lines, *told, hint=why)


async def listening(answer, scenario, *, launch=virtual.launch, keep=10_000):
    """Run a scenario with the answer as the reader of a course server; always leaves nothing running."""
    async with launch("sse", keep=keep) as server, clients.session(timeout=None) as http:
        listener = Listener(answer, server, http)
        try:
            await scenario(listener)
        finally:
            await stop(listener.task)


@listen.case("it reads a real server: every event once, in order, when it comes")
async def _(answer):
    async def scenario(listener):
        await listener.publish("a")
        await asyncio.sleep(40)
        listener.line.add("meanwhile two comments have come")
        listener.server.link.buffer()
        await listener.publish("b", "c")
        listener.server.link.buffer(0)  # both at once
        await asyncio.sleep(1)
        if not listener.handled and not listener.task.done():
            why = "the response never ends: read it as it comes, with `async for chunk in response.content.iter_any()`"
            fail("waits-for-the-end", *listener.line.lines, "nothing was handled", hint=why)
        asked = sum(chunk.direction == "up" for chunk in listener.server.link.chunks)
        if asked > 2:
            fail("asks-again", f"{asked} requests in 41 s", hint="one response is enough, for as long as it goes on")
        listener.expect(list("abc"), "misses-events", "one chunk may hold several events: handle all of them")

    await listening(answer, scenario)


@listen.case("after a cut it comes back in about a second, and goes on where it was")
async def _(answer):
    async def scenario(listener):
        await listener.publish("a")
        await asyncio.sleep(1)
        for texts in ("bc", "", "d"):
            asked = await listener.cut(*texts)
            right = list("abcd"[: 4 if texts == "d" else 3])
            listener.expect(
                right, "loses-what-it-missed", "Last-Event-ID is a header of the request", ended="dies-on-cut"
            )
            if not asked or not 0.4 < asked[0] < 3:
                shown = f"it asked again {asked[0]:.2f} s after the cut" if asked else "it did not ask again in 5 s"
                slug = "hammers" if asked and asked[0] < 1 else "stays-away"
                fail(slug, *listener.line.lines, shown, hint="await asyncio.sleep(1) before you ask again")

    await listening(answer, scenario)


@listen.case("after a restart it says that there is a gap, once, and takes all that is kept")
async def _(answer):
    async def scenario(listener):
        await listener.publish("old")
        await asyncio.sleep(1)
        await listener.restart()
        await listener.publish("new 1", "new 2")
        await asyncio.sleep(5)
        why = "after `reset` the stream goes on with all that is kept: go on reading it"
        right = ["old", "new 1", "new 2"]
        listener.expect(right, "loses-after-restart", why, gaps=1, ended="dies-on-reset")

    await listening(answer, scenario)


@listen.case("… and so it does when the connection breaks right there")
async def _(answer):
    async def scenario(listener):
        await listener.publish("old")
        await asyncio.sleep(1)
        await listener.restart()
        await asyncio.sleep(5)
        await listener.cut("new")
        listener.expect(
            ["old", "new"], "loses-after-reset", "without a cursor the server sends all that is kept", gaps=1
        )

    await listening(answer, scenario)


@listen.case("a reader that was away for too long says so, too")
async def _(answer):
    async def scenario(listener):
        await listener.publish("1")
        await asyncio.sleep(1)
        await listener.cut(*"2345678")
        why = "the server keeps the last four: right is 1, gap, 5, 6, 7, 8"
        listener.expect(list("15678"), "loses-after-gap", why, gaps=1)

    await listening(answer, scenario, keep=4)


@listen.case("the same in real time: a server process that is cut off and restarted", real=True)
async def _(answer):
    async def scenario(listener):
        for step, right in ((None, "a"), (listener.server.link.cut, "ab"), (listener.server.restart, "abc")):
            outcome = step and step()
            if inspect.isawaitable(outcome):
                await outcome
            await listener.server.publish(right[-1])
            for _ in range(300):
                if listener.handled == list(right) and listener.gaps == right.count("c"):
                    break
                await asyncio.sleep(0.02)
            shown = f"handled {listener.handled}, gaps {listener.gaps}"
            if listener.handled != list(right) or listener.gaps != right.count("c"):
                fail("differs-in-real-time", shown, hint="what differs between this run and the ones above?")

    await listening(answer, scenario, launch=launch)
