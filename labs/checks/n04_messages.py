"""The checks of exercises 4.5 and 4.6: messages from frames, and the answer to a close frame."""

import struct

from labs.checks import Exercise, fail
from labs.checks.attempt import said, where
from labs.checks.wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, short, told
from labs.frames import Frame, Violation

assembler = Exercise("4.5", "Assembler", "limit")
answer_close = Exercise("4.6", "answer_close", "payload")
EXERCISES = {"4.5": assembler, "4.6": answer_close}

# 4.5 Assembler(limit).add(frame) -> (opcode, text or bytes), or None

MAYBE = "None or a violation"  # bad text may be refused before its message ends
HEL, LO = (Frame(TEXT, b"Hel", False), None), Frame(CONTINUATION, b"lo")
HELLO = [HEL, (LO, (TEXT, "Hello"))]


def more(payload, fin=False):
    return Frame(CONTINUATION, payload, fin)


def whole(opcode, payload):
    """A message in one frame, and what must come of it."""
    return Frame(opcode, payload), (opcode, payload.decode() if opcode == TEXT else payload)


MESSAGES = {  # a sentence: a hint, then what is added, each with what must come of it: nothing, a message, a close code
    "a message in one frame: text is str, binary is bytes": (
        "(opcode, payload.decode()) for text, (opcode, payload) for binary",
        ("wrong-message", [whole(TEXT, "grüß".encode()), whole(BINARY, b"\xff\0")]),
        ("drops-empty-messages", [whole(TEXT, b""), whole(BINARY, b"")]),
    ),
    "a message in several, with the opcode of the first": (
        "return None until `fin`; then everything together",
        ("wrong-fragments", HELLO),
        ("wrong-fragments", [(Frame(BINARY, b"a", False), None), (more(b""), None), (more(b"b", True), (BINARY, b"ab"))]),
        ("drops-empty-messages", [(Frame(TEXT, b"", False), None), (more(b"", True), (TEXT, ""))]),
    ),
    "and the next message begins anew": (
        "forget opcode and payload before you return the message",
        ("mixes-messages", [*HELLO, whole(BINARY, b"b"), *HELLO]),
    ),
    "a new assembler knows nothing of the last one": (
        "what stands in the class body is shared by all; set it in __init__, on self",
        ("shares-state", [HEL]), ("shares-state", [HEL]),
    ),
    "a control frame passes at once, with its bytes": (
        "from opcode 8 on: (opcode, payload), as it is, whatever else is going on",
        ("wrong-control", [whole(opcode, b"\x03\xff") for opcode in (PING, PONG, CLOSE)]),
        ("disturbed-by-control", [HEL, whole(PING, b"!"), whole(PONG, b""), HELLO[1]]),
    ),
    "1002 for a continuation of nothing": (
        "a continuation needs a message that has begun and not ended",
        ("accepts-stray-continuations", [(LO, 1002)]),
        ("accepts-stray-continuations", [whole(TEXT, b"a"), (more(b"b"), 1002)]),
        ("accepts-stray-continuations", [*HELLO, (LO, 1002)]),
    ),
    "1002 for a message inside another": (
        "while a message is unfinished, only continuations and control frames may come",
        *[("accepts-interleaving", [HEL, (Frame(opcode, b"a", fin), 1002)]) for opcode, fin in
          ((TEXT, True), (TEXT, False), (BINARY, True), (BINARY, False))],
        ("accepts-interleaving", [(Frame(TEXT, b"", False), None), (Frame(TEXT, b"a"), 1002)]),
    ),
    "a character may be cut in two by the end of a frame": (
        "decode when the message is whole, or use codecs.getincrementaldecoder('utf-8')",
        ("tears-characters", [(Frame(TEXT, b"\xc3", False), None), (more(b"\xbc", True), (TEXT, "ü"))]),
        ("tears-characters", [(Frame(TEXT, b"\xf0\x90", False), None), whole(PING, b""), (more(b"\x8d\x88", True), (TEXT, "𐍈"))]),
    ),
    "1007 for text that is not UTF-8": (
        "strict decoding raises UnicodeDecodeError: catch it, and raise the violation",
        *[("accepts-bad-text", [(Frame(TEXT, data), 1007)]) for data in (b"\xff", b"a\xc0\xaf", b"\xed\xa0\x80")],
        ("accepts-half-a-character", [(Frame(TEXT, b"\xc3"), 1007)]),
        ("accepts-bad-text", [HEL, (more(b"\xfe"), MAYBE), (LO, 1007)]),
        ("accepts-half-a-character", [HEL, (more(b"\xc3", True), 1007)]),
    ),
    "1009 for a message of more than the limit": (
        "count the bytes of all its frames, and look at every frame, not only at the last",
        ("refuses-the-limit", [whole(BINARY, bytes(100))]),
        ("over-the-limit", [(Frame(BINARY, bytes(101)), 1009)]),
        ("counts-characters", [(Frame(TEXT, b"\xc3\xbc" * 60), 1009)]),
        ("limit-for-each-frame", [(Frame(TEXT, b"a" * 60, False), None), (more(b"a" * 60, True), 1009)]),
        ("limit-at-the-end", [(Frame(BINARY, bytes(60), False), None), (more(bytes(60)), 1009)]),
        ("counts-for-ever", [whole(BINARY, bytes(60))] * 3),
        ("counts-control-frames", [HEL, whole(PING, bytes(99)), HELLO[1]]),
    ),
}  # fmt: skip


def added(answer, frame):
    """What comes of a frame: None, a message, the code of a violation, or what Python says."""
    try:
        return answer.add(frame)
    except Violation as error:
        return error.code
    except UnicodeDecodeError as error:
        return said(error)


def outcome(value):
    """What came of a frame, in words."""
    if isinstance(value, tuple) and len(value) == 2:
        return told([value])
    return f"Violation({value}, …)" if isinstance(value, int) else value if isinstance(value, str) else short(value)


def named(slug, got, right):
    """The diagnosis: the script's, unless what came says more."""
    if isinstance(right, int) and isinstance(got, int | str):
        return "wrong-code" if isinstance(got, int) else "not-a-violation"
    if isinstance(got, tuple) and isinstance(right, tuple) and len(got) == 2:
        if got[0] == CONTINUATION:
            return "keeps-continuation"
        if isinstance(got[1], bytes) and isinstance(right[1], str):
            return "not-decoded"
    return slug


for sentence, (hint, *scripts) in MESSAGES.items():

    @assembler.case(sentence)
    def _(answer, hint=hint, scripts=scripts):
        for slug, script in scripts:
            messages, shown = answer(100), []
            for frame, right in script:
                got = added(messages, frame)
                shown.append(f"add({told([(frame.opcode, frame.payload, frame.fin)])})  gave {outcome(got)}")
                if right == MAYBE:
                    if got == 1007:
                        break
                    right = None
                if got != right:
                    fail(named(slug, got, right), *shown, f"right is {outcome(right)}", hint=hint)


# 4.6 answer_close(payload) -> bytes


def codes(*numbers):
    return [number.to_bytes(2, "big") for number in numbers]


CLOSES = {  # a sentence: the diagnosis, a hint, the code of the answer if it is another, what is received
    "the code is sent back, with the reason or without": (
        "wrong-code", "the first two bytes, most significant first", None,
        [b"\x03\xe8", b"\x03\xe8bye", b"\x03\xe8" + "grüß".encode(), b"\x03\xe9" + b"x" * 123],
    ),
    "nothing for nothing": ("adds-a-code", "no payload came, and none goes back", None, [b""]),
    "every code that may travel": (
        "refuses-a-code", "1000 to 1003, 1007 to 1014, 3000 to 4999", None,
        codes(1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999),
    ),
    "1002 for half a code": ("trusts-half-a-code", "a code has two bytes", 1002, [b"\x03", b"\0"]),
    "1002 for a code that is not for the wire": (
        "trusts-the-code", "1004, 1005, 1006, 1015 and whatever nobody has defined", 1002,
        codes(1005, 1006, 1004, 1015, 0, 999, 1016, 1100, 2000, 2999, 5000, 65535),
    ),
    "1007 for a reason that is not UTF-8": (
        "trusts-the-reason", "payload[2:].decode() raises UnicodeDecodeError", 1007,
        [b"\x03\xe8\xff", b"\x0f\xa0gr\xc3", b"\x03\xe8\xed\xa0\x80"],
    ),
}  # fmt: skip


def close(payload):
    """A close frame's payload, in words."""
    code = f"{int.from_bytes(payload[:2], 'big')} " if len(payload) > 1 else ""
    return f"{code}{payload[2:]!r}" if len(payload) > 2 else f"{code}({short(payload)})"


for sentence, (slug, hint, code, payloads) in CLOSES.items():

    @answer_close.case(sentence)
    def _(answer, slug=slug, hint=hint, code=code, payloads=payloads):
        for payload in payloads:
            right = code.to_bytes(2, "big") if code else payload[:2]
            shown = [f"received    {close(payload)}", f"right       {close(right)}"]
            try:
                got = answer(payload)
            except (ValueError, LookupError, struct.error, Violation) as error:
                fail(slug, *shown, *where(error), said(error), hint=hint)
            if not isinstance(got, bytes):
                why = "what is wanted is what stands in the frame, bytes: code.to_bytes(2, 'big')"
                fail("not-bytes", f"it returned an object of type {type(got).__name__}", hint=why)
            shown.append(f"yours       {close(got)}")
            if got[:2] != right:
                swapped = got[:2][::-1] == right and right
                fail("little-endian" if swapped else slug, *shown, hint="to_bytes(2, 'big')" if swapped else hint)
            if len(got) > 125 or got[2:] != got[2:].decode(errors="replace").encode():
                fail("breaks-the-rules", *shown, hint="the reason is UTF-8, and a control frame has at most 125 bytes")
