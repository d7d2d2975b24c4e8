"""The checks of notebook 04: accept key, mask, frames written and read. Messages and the server are in modules of their own."""

import struct
from base64 import b64decode, b64encode, urlsafe_b64encode
from hashlib import sha1, sha256

from labs import frames, virtual
from labs.checks import Exercise, fail, n04_echo, n04_messages
from labs.checks.attempt import said, where
from labs.checks.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    TEXT,
    bare,
    hexed,
    own_pieces,
    sent,
    short,
    told,
)
from labs.frames import GUID, Frame, Violation

accept_key = Exercise("4.1", "accept_key", "key")
mask = Exercise("4.2", "mask", "data, key")
encode_frame = Exercise("4.3", "encode_frame", "opcode, payload, fin, key")
frame_reader = Exercise("4.4", "FrameReader", "limit")
EXERCISES = {exercise.number: exercise for exercise in (accept_key, mask, encode_frame, frame_reader)}
EXERCISES |= n04_messages.EXERCISES | n04_echo.EXERCISES

EVERY_BYTE = bytes(range(256))

# 4.1 accept_key(key) -> str, 4.2 mask(data, key) -> bytes, 4.3 encode_frame(opcode, payload, fin, key) -> bytes


def expect(exercise, answer, arguments, right, slug, hint, mistakes):
    """The answer must give what is right. A mistake that leads to what it gives instead has a diagnosis of its own."""
    call = f"{exercise.name}({', '.join(map(short, arguments))})"
    look = repr if isinstance(right, str) else hexed
    try:
        with own_pieces(exercise):
            got = answer(*arguments)
    except (ValueError, OverflowError, struct.error) as error:
        fail(slug, call, f"right  {look(right)}", *where(error), said(error), hint=hint)
    if not isinstance(got, type(right)):
        name = type(right).__name__
        fail(f"not-{name}", f"{call} returned an object of type {type(got).__name__}", hint=f"what is wanted is {name}")
    if got != right:
        known = [(name, why) for name, (wrong, why) in mistakes.items() if wrong(*arguments) == got]
        slug, hint = (*known, (slug, hint))[0]
        fail(slug, call, f"right  {look(right)}", f"yours  {look(got)}", hint=hint)


def key_mistake(make, encode=b64encode):
    return lambda key: encode(make(key.encode())).decode()


KEY_MISTAKES = {  # a diagnosis: what the mistake makes of the arguments, a hint
    "hex-digest": (key_mistake(lambda key: sha1(key + GUID).hexdigest().encode()), ".digest(), not .hexdigest()"),
    "not-base64": (key_mistake(lambda key: sha1(key + GUID).hexdigest().encode(), bytes), "the digest goes in base64"),
    "guid-in-lower-case": (key_mistake(lambda key: sha1(key + GUID.lower()).digest()), "the GUID is in capital letters"),
    "without-the-guid": (key_mistake(lambda key: sha1(key).digest()), "append the GUID before you take the digest"),
    "guid-first": (key_mistake(lambda key: sha1(GUID + key).digest()), "first the key, then the GUID"),
    "decodes-the-key": (key_mistake(lambda key: sha1(b64decode(key) + GUID).digest()), "the key as it stands in the header"),
    "another-hash": (key_mistake(lambda key: sha256(key + GUID).digest()), "the RFC says SHA-1"),
    "url-safe": (key_mistake(lambda key: sha1(key + GUID).digest(), urlsafe_b64encode), "base64 with + and /, not - and _"),
    "ends-with-a-line-break": (lambda key: f"{frames.accept_key(key)}\n", "base64.b64encode adds no line break"),
}  # fmt: skip
KEYS = {  # a sentence: what the answer is called with, what is right, a diagnosis; a hint
    "the RFC's example": (
        [(["dGhlIHNhbXBsZSBub25jZQ=="], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "wrong-answer")],
        "base64 of the SHA-1 digest of the key and the GUID",
    ),
    "any other key": (
        [(["x3JJHMbDL1EzLkh9GBhXDw=="], "HSmrc0sMlYUkAGmm5OPpG2HaGWk=", "knows-one-key"),
         (["AAAAAAAAAAAAAAAAAAAAAA=="], "ICX+Yqv66kxgM0FcWaLWlFLwTAI=", "knows-one-key")],
        "every connection has a key of its own",
    ),
}  # fmt: skip
MASK_MISTAKES = {
    "uses-one-byte": (lambda data, key: frames.mask(data, key[:1] * 4), "key[i % 4], where i counts the bytes"),
    "stops-with-the-key": (lambda data, key: frames.mask(data, key)[:4], "zip ends with the shorter of the two"),
    "whole-groups-only": (lambda data, key: frames.mask(data, key)[: len(data) // 4 * 4], "the last group may be shorter"),
    "pads": (lambda data, key: frames.mask(data + bytes(-len(data) % 4), key), "as long as the data, no longer"),
    "loses-zeros": (lambda data, key: frames.mask(data, key).lstrip(b"\0"), "to_bytes wants the length of the data"),
    "key-backwards": (lambda data, key: frames.mask(data, key[::-1]), "the first byte of the data meets key[0]"),
    "through-text": (lambda data, key: frames.mask(data, key).decode("latin-1").encode(), "bytes(…) makes bytes of numbers"),
}  # fmt: skip
MASKED = {
    sentence: ([([data, key], frames.mask(data, key), slug) for data in tries for key in (KEY, b"\xff\x80\x00\x01")], hint)
    for sentence, tries, slug, hint in (
        ("the key begins anew after every four bytes", [b"Hello, you!", b"Hello"], "wrong-bytes", "data[i] ^ key[i % 4]"),
        ("data of any length, also none", [EVERY_BYTE[:size] for size in range(10)], "wrong-length", "as long as the data"),
        ("all bytes, whatever comes out", [EVERY_BYTE, KEY + b"!"], "wrong-bytes", "every number from 0 to 255 is a byte"),
    )
}  # fmt: skip


def in_parts(order):
    """A mistake: a frame's parts in this order.

    F and S are its first two bytes (F1, F0: with, without the top bit), L the longer length (R: reversed), K the key,
    M the payload (P: not masked).
    """

    def wrong(opcode, payload, fin, key):
        wire = frames.encode(opcode, payload, fin=fin, key=key)
        end = 2 + {126: 2, 127: 8}.get(wire[1] & 127, 0)
        parts = {"F": wire[:1], "S": wire[1:2], "L": wire[2:end], "R": wire[2:end][::-1], "K": key or b"", "P": payload}
        parts |= {f"{name}1": bytes([parts[name][0] | 128]) for name in "FS"} | {"M": wire[end + len(parts["K"]) :]}
        parts |= {f"{name}0": bytes([parts[name][0] & 127]) for name in "FS"}
        return b"".join(parts[name] for name in order.split())

    return wrong


FRAME_MISTAKES = {
    "little-endian": (in_parts("F S R K M"), "network order: the most significant byte comes first"),
    "always-final": (in_parts("F1 S L K M"), "only the last frame of a message has the top bit"),
    "never-final": (in_parts("F0 S L K M"), "`fin` is the top bit of the first byte, 0x80"),
    "no-mask-bit": (in_parts("F S0 L K M"), "with a key the top bit of the second byte is set"),
    "mask-bit-without-a-key": (in_parts("F S1 L K M"), "without a key the top bit of the second byte is not set"),
    "no-key": (in_parts("F S L M"), "the key itself travels, too: the other side cannot guess it"),
    "not-masked": (in_parts("F S L K P"), "mask(payload, key) is what follows the key"),
    "key-before-the-length": (in_parts("F S K L M"), "the longer forms of the length come before the key"),
}


def written(head, arguments, slug):
    """Arguments, a frame that begins with this head, and the diagnosis."""
    _, payload, _, key = arguments
    return arguments, bare(head) + (frames.mask(payload, key) if key else payload), slug


FRAMES = {
    "a short frame, and one without payload": (
        [written("8105", (TEXT, b"Hello", True, None), "wrong-frame"), written("8200", (BINARY, b"", True, None), "wrong-frame")],
        "two bytes, then the payload",
    ),
    "`fin` and the opcode are the first byte": (
        [written(head, (int(head[1], 16), b"Hel", head[0] == "8", None), "wrong-first-byte")
         for head in ("0103", "8003", "8903", "8a03")],
        "fin << 7 | opcode",
    ),
    "a length of up to 125 is in the second byte": (
        [written("827d", (BINARY, bytes(125), True, None), "long-form-at-125")], "125 still fits into the first form",
    ),
    "one of 126 to 65535 in two more": (
        [written(f"827e{size:04x}", (BINARY, bytes(size), True, None), slug) for size, slug in
         ((126, "short-form-at-126"), (127, "short-form-at-126"), (256, "wrong-long-form"), (65535, "longest-form-at-65535"))],
        "126 and 127 say in which form the length follows; 65535, ff ff, still fits into two bytes",
    ),
    "a longer one in eight": (
        [written(f"827f{size:016x}", (BINARY, bytes(size), True, None), "wrong-longest-form") for size in (65536, 70_000)],
        "65536 is the first that does not fit into two bytes",
    ),
    "with a key: the mask bit, the key, the masked payload": (
        [written("8185K", (TEXT, b"Hello", True, KEY), "wrong-mask"), written("8880K", (CLOSE, b"", True, KEY), "wrong-mask"),
         written("82fe007eK", (BINARY, bytes(126), True, KEY), "wrong-mask")],
        "the key comes after the length and before the payload",
    ),
    "a control frame of 125 bytes is fine": (
        [written("897d", (PING, bytes(125), True, None), "refuses-too-much")],
        "refuse control frames of more than 125 bytes, and fragmented ones, and nothing else",
    ),
}  # fmt: skip


def tried(exercise, table, mistakes):
    """Make a case of each sentence in a table."""
    for sentence, (tries, hint) in table.items():

        @exercise.case(sentence)
        def _(answer, tries=tries, hint=hint):
            for arguments, right, slug in tries:
                expect(exercise, answer, arguments, right, slug, hint, mistakes)


tried(accept_key, KEYS, KEY_MISTAKES)
tried(mask, MASKED, MASK_MISTAKES)
tried(encode_frame, FRAMES, FRAME_MISTAKES)
PATIENCE_S = 4.0  # for a megabyte, which takes a tenth of a second


@mask.case("a megabyte, before anybody loses patience", real=True)
def _(answer):
    try:
        virtual.in_thread(lambda: answer(bytes(2**20), KEY), wall_limit_s=PATIENCE_S)
    except virtual.Spins:
        why = (
            "`result += bytes([…])` copies all that it has so far, for each byte: collect them, and call bytes(…) once"
        )
        fail("too-slow", "it takes more than four seconds", hint=why)


@encode_frame.case("longer or fragmented control frames are refused")
def _(answer):
    for opcode in (CLOSE, PING, PONG):
        for size, fin, slug in ((126, True, "long-control-frame"), (2, False, "fragmented-control-frame")):
            try:
                got = answer(opcode, bytes(size), fin, None)
            except ValueError:
                continue
            shown = f"{told([(opcode, bytes(size), fin)])} was written: {hexed(got)}"
            fail(slug, shown, hint="raise ValueError before you write anything")


# 4.4 FrameReader(limit).feed(chunk) -> list of Frame

LIMIT = 65536  # of the readers that the check makes
READ = {  # a sentence: streams of frames, each with its diagnosis; a hint
    "a frame comes out, and its mask is off": (
        [("wrong-frame", [Frame(TEXT, b"Hello")]), ("drops-empty-frames", [Frame(BINARY, b"")])],
        "two bytes, the key, the payload; a frame may have no payload at all",
    ),
    "with its opcode, final or not": (
        [("wrong-first-byte", [Frame(opcode, b"Hi", fin)]) for opcode, fin in
         ((TEXT, False), (CONTINUATION, False), (CONTINUATION, True), (PING, True), (PONG, True), (CLOSE, True))],
        "the opcode is the lower half of the first byte, `fin` its top bit",
    ),
    "a length in one, two or eight bytes": (
        [("wrong-length", [Frame(BINARY, (EVERY_BYTE * 256)[:size])]) for size in (125, 126, 257, 65536)],
        "126 and 127 say that the length follows, in two bytes or eight, most significant first",
    ),
    "several frames in one piece": (
        [("one-frame-a-piece", [Frame(TEXT, b"a"), Frame(TEXT, b"b")]),
         ("one-frame-a-piece", [Frame(TEXT, b"Hel", False), Frame(PING), Frame(CONTINUATION, b"lo"), Frame(CLOSE)])],
        "go on until what is left is not a whole frame",
    ),
}  # fmt: skip
STREAMS = [stream for streams, _ in READ.values() for _, stream in streams if len(stream[0].payload) < 200]
STREAMS.sort(key=lambda stream: len(stream[0].payload))
CUTS = {
    "tears-the-header": ("a stream may be cut between a frame's first two bytes", "keep what you cannot use yet"),
    "tears-the-length": ("… in the length", "are all its bytes there? int.from_bytes would not complain"),
    "tears-the-key": ("… in the key", "are all four bytes there?"),
    "tears-the-payload": ("… in the payload", "take nothing out of the buffer before the whole frame is there"),
}
BAD = {  # a sentence: the close code, the diagnosis, a hint, frames up to their payload
    "1002 for a frame without a mask": (
        1002, "accepts-unmasked", "the top bit of the second byte must be set", ["8105", "8200", "827e00ff"],
    ),
    "1002 for a reserved bit": (
        1002, "accepts-reserved-bits", "0x70 in the first byte must be 0", ["c182K", "a182K", "9182K", "f280K"],
    ),
    "1002 for a reserved opcode": (
        1002, "accepts-reserved-opcodes", "only 0, 1, 2, 8, 9 and 10 exist", ["8382K", "8780K", "8b82K", "8f82K", "0382K"],
    ),
    "1002 for a control frame that is long": (
        1002, "accepts-long-pings", "from opcode 8 on: at most 125 bytes", ["89fe007eK", "88fe0100K", "8aff0000000000010000K"],
    ),
    "1002 for a control frame that is not final": (
        1002, "accepts-fragmented-pings", "from opcode 8 on: always final", ["0982K", "0880K"],
    ),
    "1002 for a length that fits into a shorter form": (
        1002, "accepts-longer-forms", "two bytes are for 126 and more, eight bytes for 65536 and more",
        ["82fe007dK", "82fe0000K", "82ff000000000000ffffK", "82ff0000000000000005K"],
    ),
    "1002 for one with its top bit set": (
        1002, "accepts-the-top-bit", "eight bytes hold less than 2**63", ["82ff8000000000000005K", "82ffffffffffffffffffK"],
    ),
    "1009 for more than the limit, before the payload comes": (
        1009, "over-the-limit", "compare the length with the limit as soon as you have it",
        ["82ff0000000000010001K", "81ff4000000000000000K"],
    ),
}  # fmt: skip


def is_frame(value):
    return isinstance(value, Frame) and isinstance(value.payload, bytes | bytearray)


def given(answer, pieces):
    """The frames that a new reader makes of a stream in pieces."""
    with own_pieces(frame_reader):
        reader, found = answer(LIMIT), []
        for piece in pieces:
            got = reader.feed(piece)
            if not isinstance(got, list) or not all(map(is_frame, got)):
                why = "feed returns a list of Frame(opcode, payload, fin), which is empty when no frame has ended"
                fail("not-a-list-of-frames", f"feed({short(piece)}) returned {short(got)}", hint=why)
            found += [(one.opcode, one.payload, bool(one.fin)) for one in got]
        return found


def cut(pieces):
    """A stream as it came, with its cuts marked; only the first of many pieces are shown."""
    return " ✂ ".join(hexed(piece, 14) for piece in pieces[:6]) + " …" * (len(pieces) > 6)


def expect_frames(answer, stream, pieces, slug, hint):
    """What comes out of the pieces must be the frames of the stream."""
    right = [(one.opcode, one.payload, one.fin) for one in stream]
    shown = [f"the stream  {cut(pieces)}", f"right  {told(right)}"]
    try:
        got = given(answer, pieces)
    except (Violation, LookupError, ValueError, struct.error) as error:
        fail(slug, *shown, *where(error), said(error), hint=hint)
    if got == right:
        return
    shown.append(f"yours  {told(got)}")
    if [one[1] for one in got] == [frames.mask(one.payload, KEY) for one in stream]:
        fail("leaves-the-mask", *shown, hint="mask(payload, key) takes it off")
    if len(pieces) > 1 and [(one[0], len(one[1])) for one in got] == [(one[0], len(one[1])) for one in right]:
        fail("restarts-the-mask", *shown, hint="byte i of the whole payload meets key[i % 4], however it was cut")
    fail(slug, *shown, hint=hint)


def wire(stream):
    return b"".join(sent(one.opcode, one.payload, one.fin) for one in stream)


def cuts(stream, slug):
    """The stream in two pieces, for every place that is a cut of this kind."""
    data, begin = wire(stream), 0
    for one in stream:
        key = 2 + 2 * (len(one.payload) > 125)
        places = {
            "tears-the-header": [1],
            "tears-the-length": range(2, key),
            "tears-the-key": range(key, key + 4),
            "tears-the-payload": [
                key + 4 + at for at in range(len(one.payload)) if at < 9 or at > len(one.payload) - 3
            ],
        }
        yield from ([data[: begin + place], data[begin + place :]] for place in places[slug])
        begin += key + 4 + len(one.payload)


for sentence, (streams, hint) in READ.items():

    @frame_reader.case(sentence)
    def _(answer, streams=streams, hint=hint):
        for slug, stream in streams:
            expect_frames(answer, stream, [wire(stream)], slug, hint)


@frame_reader.case("a new reader knows nothing of the last one")
def _(answer):
    given(answer, [sent(TEXT, b"old")[:7]])
    why = "what stands in the class body is shared by all its readers; set it in __init__, on self"
    expect_frames(answer, [Frame(TEXT, b"new")], [sent(TEXT, b"new")], "shares-state", why)


for slug, (sentence, hint) in CUTS.items():

    @frame_reader.case(sentence)
    def _(answer, slug=slug, hint=hint):
        for stream in STREAMS:
            for pieces in cuts(stream, slug):
                expect_frames(answer, stream, pieces, slug, hint)


@frame_reader.case("a stream may come byte by byte, with nothing in between")
def _(answer):
    for stream in STREAMS:
        pieces = [piece for byte in wire(stream) for piece in (bytes([byte]), b"")]
        expect_frames(answer, stream, pieces, "fails-byte-by-byte", "does an empty piece change anything?")


def violation(answer, pieces):
    """The code of the violation that the pieces lead to, or what frames came out instead."""
    try:
        return None, given(answer, pieces)
    except Violation as error:
        return error.code, []


def payload_of(head):
    """As many bytes as the head of a frame promises, if that is not too much; with room for a key that is missing."""
    size = head[1] & 127
    size = int.from_bytes(head[2 : 4 if size == 126 else 10], "big") % 2**63 if size > 125 else size
    return bytes((size if size <= 2 * LIMIT else 0) + 4 * (head[1] < 128))


for sentence, (code, slug, hint, heads) in BAD.items():

    @frame_reader.case(sentence)
    def _(answer, code=code, slug=slug, hint=hint, heads=heads):
        for head in map(bare, heads):
            got, found = violation(answer, [head])
            shown = [f"the stream  {hexed(head)}  (and then the payload)", f"right  Violation({code}, …)"]
            if got not in (None, code):
                fail("wrong-code", *shown, f"yours  Violation({got}, …)", hint=hint)
            if got is None:
                late, found = violation(answer, [head, payload_of(head)])
                shown.append(f"yours  {told(found)}")
                why = "these bytes say it all: check them before you wait for more"
                fail("waits-for-the-payload" if late else slug, *shown, hint=why if late else hint)
            for place in range(1, len(head)):
                if violation(answer, [head[:place], head[place:]])[0] != code:
                    shown[0] = f"the stream  {cut([head[:place], head[place:]])}"
                    fail("accepts-it-in-pieces", *shown, "yours  none", hint="does it hold for every cut, too?")
