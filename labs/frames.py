"""RFC 6455 without I/O: frames to and from bytes, messages from frames, close codes.

    for frame in reader.feed(data):          # bytes in whatever pieces they come
        message = assembler.add(frame)       # a whole message, or None while there is more to come

Design notes
  * Two steps, because the protocol has two layers: frames cut the byte stream (§5.2), messages are made of frames, and
    control frames may stand between a message's fragments (§5.4).
  * Whatever the peer must not send raises `Violation` with the close code that says so. What came before it in the same
    piece has been handed out already.
  * Limits hold before anything is kept: a frame that only claims 2**62 bytes is refused by its first ten.
"""

import codecs
import struct
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha1

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
LIMIT = 1024 * 1024  # bytes of a message, unless told otherwise
FRAGMENT_COST = 16  # bytes that each fragment counts for besides its own, so that empty ones are not free


class Opcode(IntEnum):
    """What a frame is (RFC 6455 §5.2). From 8 on it is a control frame."""

    CONTINUATION, TEXT, BINARY = 0, 1, 2
    CLOSE, PING, PONG = 8, 9, 10


class Violation(Exception):
    """The peer has broken the protocol or a limit. `code` is the close code to answer with (RFC 6455 §7.4.1)."""

    def __init__(self, code: int, reason: str):
        super().__init__(reason)
        self.code, self.reason = code, reason


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: its opcode, its payload without the mask, and whether it ends its message."""

    opcode: Opcode
    payload: bytes = b""
    fin: bool = True


def accept_key(key: str) -> str:
    """The `Sec-WebSocket-Accept` that answers this `Sec-WebSocket-Key` (RFC 6455 §4.2.2)."""
    return b64encode(sha1(key.encode() + GUID).digest()).decode()


def mask(data: bytes, key: bytes) -> bytes:
    """`data` with its nth byte XORed with byte n mod 4 of the key (RFC 6455 §5.3). Masking again undoes it."""
    size = len(data)
    repeated = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")


def encode(opcode: int, payload: bytes = b"", *, fin: bool = True, key: bytes | None = None) -> bytes:
    """One frame as it travels, its length in the shortest form; with a mask if a `key` of four bytes is given."""
    first, masked, size = fin << 7 | opcode, (key is not None) << 7, len(payload)
    if size < 126:
        head = struct.pack("!BB", first, masked | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, masked | 126, size)
    else:
        head = struct.pack("!BBQ", first, masked | 127, size)
    return head + payload if key is None else head + key + mask(payload, key)


def encode_close(code: int = 1000, reason: str = "") -> bytes:
    """The payload of a close frame (RFC 6455 §5.5.1): the code in two bytes, then why, cut to the 123 that there is room for."""
    return struct.pack("!H", code) + reason.encode()[:123].decode(errors="ignore").encode()


def parse_close(payload: bytes) -> tuple[int, str]:
    """The code and the reason in a close frame; 1005 if it has none. Raises `Violation`."""
    if not payload:
        return 1005, ""
    if len(payload) < 2 or not may_travel(code := int.from_bytes(payload[:2], "big")):
        raise Violation(1002, "a close code that must not be sent")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise Violation(1007, "a reason that is not UTF-8") from None


def may_travel(code: int) -> bool:
    """Whether a close code may stand in a frame: those of §7.4.1 and IANA's registry, and all from 3000 to 4999."""
    return (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999


class FrameReader:
    """Bytes in, frames out. A server reads `masked` frames and a client reads others (RFC 6455 §5.1)."""

    def __init__(self, *, masked: bool, limit: int = LIMIT):
        self.masked, self.limit = masked, limit
        self.buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that end in this piece. Iterate to the end before the next piece. Raises `Violation`."""
        self.buffer += data
        at = 0
        try:
            while (found := self._frame(at)) is not None:
                frame, at = found
                yield frame
        finally:
            del self.buffer[:at]

    def _frame(self, at: int) -> tuple[Frame, int] | None:
        """The frame that begins at `at`, and where it ends; None while it is unfinished (RFC 6455 §5.2)."""
        buffer = self.buffer
        if len(buffer) < at + 2:
            return None
        first, second = buffer[at], buffer[at + 1]
        size, start = second & 127, at + 2
        check(first, size)
        if bool(second & 128) != self.masked:
            raise Violation(1002, "a client masks every frame, a server none")
        if size > 125:
            width = 2 if size == 126 else 8
            if len(buffer) < start + width:
                return None
            size, shortest = int.from_bytes(buffer[start : start + width], "big"), 126 if width == 2 else 65536
            start += width
            if not shortest <= size < 2**63:
                raise Violation(1002, "a length that is not in its shortest form")
        if size > self.limit:
            raise Violation(1009, f"more than {self.limit} bytes")
        end = start + size + 4 * self.masked
        if len(buffer) < end:
            return None
        payload = bytes(buffer[end - size : end])
        if self.masked:
            payload = mask(payload, bytes(buffer[start : start + 4]))
        return Frame(Opcode(first & 15), payload, first >= 128), end


def check(first: int, size: int) -> None:
    """Refuse what a frame's first byte and seven-bit length cannot be (RFC 6455 §5.2 and §5.5). Raises `Violation`."""
    opcode = first & 15
    if first & 0x70:
        raise Violation(1002, "a reserved bit is set, and no extension was agreed on")
    if opcode not in (0, 1, 2, 8, 9, 10):
        raise Violation(1002, f"opcode {opcode} is reserved")
    if opcode >= 8 and (size > 125 or first < 128):
        raise Violation(1002, "a control frame is at most 125 bytes long and never fragmented")


class Assembler:
    """Frames in, messages out: joins the fragments of one message; control frames pass through at once (RFC 6455 §5.4)."""

    def __init__(self, *, limit: int = LIMIT):
        self.limit = limit
        self._begin(None)

    def add(self, frame: Frame) -> tuple[Opcode, str | bytes] | None:
        """(TEXT, str), (BINARY, bytes), or a control frame's (opcode, payload); None while more is to come. Raises `Violation`."""
        if frame.opcode >= Opcode.CLOSE:
            return frame.opcode, frame.payload
        if (frame.opcode == Opcode.CONTINUATION) != (self.opcode is not None):
            raise Violation(1002, "a continuation continues a message, and nothing else stands between its frames")
        if frame.opcode != Opcode.CONTINUATION:
            self._begin(frame.opcode)
        self.cost += len(frame.payload) + FRAGMENT_COST * (not frame.fin)
        if self.cost > self.limit:
            raise Violation(1009, f"more than {self.limit} bytes")
        self.parts.append(self._decoded(frame))
        if not frame.fin:
            return None
        message = self.opcode, ("" if self.opcode == Opcode.TEXT else b"").join(self.parts)
        self._begin(None)
        return message

    def _begin(self, opcode: Opcode | None) -> None:
        self.opcode, self.parts, self.cost = opcode, [], 0
        self.decoder = codecs.getincrementaldecoder("utf-8")() if opcode == Opcode.TEXT else None

    def _decoded(self, frame: Frame) -> str | bytes:
        """The payload; text as characters, of which one may be cut in two by a frame's end (RFC 6455 §8.1)."""
        if self.decoder is None:
            return frame.payload
        try:
            return self.decoder.decode(frame.payload, frame.fin)
        except UnicodeDecodeError:
            raise Violation(1007, "text that is not UTF-8") from None
