"""The checks of notebook 03: the encoder, an incremental reader, replay and follow, and a client of a real server."""

import re
from itertools import chain

from labs.checks import Exercise, fail
from labs.sse_codec import Parser, SseEvent


class NoParameters(str):
    """The parameters of a class that is called without any."""

    def split(self, *_):
        return []


encode = Exercise("3.1", "encode", "data, id=None, event=None")
reader = Exercise("3.2", "Reader", NoParameters())
EXERCISES = {exercise.number: exercise for exercise in (encode, reader)}


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


def expect_event(answer, *arguments, slug, hint, known=()):
    """The answer, read back, must be one event; `known` maps the data of well-known mistakes to their diagnoses."""
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
    fail(dict(known).get(got[0].data, slug), *shown, hint=hint)


@encode.case("a line of text is one event, and ends")
def _(answer):
    expect_event(answer, "hello", slug="wrong-event", hint="b'data: hello\\n\\n' is one way to write it")


@encode.case("line breaks in the text stay text")
def _(answer):
    why = "write a `data:` line for each line of the text"
    known = {"hello\nevent: reset\ndata: bye": "drops-empty-lines"}
    for data in ("two\nlines", "hello\n\nevent: reset\ndata: bye"):
        expect_event(answer, data, slug="trusts-the-data", hint=why, known=known)


@encode.case("\\r\\n and \\r are line breaks, too, and \\r\\n is only one")
def _(answer):
    expect_event(answer, "a\rid: 8", slug="trusts-cr", hint="a reader also ends a line at \\r")
    known = {"a\n\nb": "doubles-crlf"}
    expect_event(answer, "a\r\nb", slug="trusts-cr", hint="\\r\\n is one line break: look for it first", known=known)


@encode.case("nothing else is a line break")
def _(answer):
    why = "str.splitlines also splits at \\x0b, \\x85, \\u2028 and others; the specification does not"
    expect_event(answer, "a\x0bb\x85c\u2028d", slug="splits-elsewhere", hint=why)


@encode.case("empty text is an event, and a line break at the end is kept")
def _(answer):
    why = "every line of the text is written, also an empty one: how many lines has ''? And 'a\\n'?"
    expect_event(answer, "", slug="drops-empty-text", hint=why)
    expect_event(answer, "a\n", slug="drops-the-last-line", hint=why)


@encode.case("spaces are kept")
def _(answer):
    why = "a reader removes one space after the colon, so write one of your own"
    expect_event(answer, " a\n  b", slug="loses-a-space", hint=why)
    expect_event(answer, "a ", slug="strips", hint="spaces at the end belong to the text")


@encode.case("text beyond ASCII travels as UTF-8")
def _(answer):
    expect_event(answer, "grüß € 𐍈", slug="not-utf-8", hint="the format is always UTF-8")


@encode.case("an id and a type arrive")
def _(answer):
    expect_event(answer, "a", "5eed0001-8", slug="wrong-id", hint="the line is `id: …`, before the empty one")
    expect_event(answer, "a", None, "reset", slug="wrong-type", hint="the line is `event: …`, before the empty one")
    expect_event(answer, "a", "ü: 8", "b c", slug="wrong-id", hint="anything but a line break may stand in an id")


@encode.case("an empty id is an id: it makes the reader forget the one it had")
def _(answer):
    expect_event(answer, "a", "", slug="drops-the-empty-id", hint="`if id:` is false for '' as well as for None")


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
        {b": hi\ndata: a\n:\ndata: b\n\n": "reads-comments", b":data: b\ndata: a\n\n": "reads-comments", b"retry: 10\nxdata: b\ndata: a\n\n": "reads-unknown-fields"},
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
    all_got, all_right = sum(got, []), sum(right, [])
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
