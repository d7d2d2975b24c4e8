"""What a WebSocket server must make of a client's bytes: short cases of our own, for any server with an echo.

    for case, got in await judge(server.url):        # … in real time or in virtual
        print(case.name, "right" if case.allows(got) else got)

Design notes
  * A case is bytes after the handshake, and what has to come back: text as str, binary as bytes, a pong as its frame, and
    the code of the close frame. A normal close follows every case, so that each one ends.
  * They cover what Autobahn's suite covers in about 300 cases, less thoroughly but in a second, and what it leaves out:
    masks, lengths that are not in their shortest form, limits, fragments without end.
  * Limits are those of our servers: a message of up to 1 MiB.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from urllib.parse import urlsplit

from labs.frames import Frame, FrameReader, Opcode, parse_close

UPGRADE = (
    "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"  # RFC 6455 §1.3
)
MIB = 1024 * 1024


@dataclass(frozen=True)
class Case:
    """One client's bytes, and the answers that are right. Of the close codes in the last place any will do."""

    name: str
    section: str  # of RFC 6455
    sent: bytes
    answers: tuple = ()
    codes: tuple[int, ...] = (1000,)

    def allows(self, got: tuple) -> bool:
        """Whether this is what had to come."""
        return got[:-1] == self.answers and got[-1:] in [(code,) for code in self.codes]


def frame(first: int, payload: bytes = b"", *, key: bytes = b"\0\0\0\0", size: bytes | None = None) -> bytes:
    """A frame with any first byte and any length field (`size`); with the zero key a masked payload stays as it is."""
    if size is None:
        short = len(payload) < 126
        width = 2 if len(payload) < 65536 else 8
        size = (
            bytes([len(payload)])
            if short
            else bytes([126 if width == 2 else 127]) + len(payload).to_bytes(width, "big")
        )
    return bytes([first, size[0] | 0x80]) + size[1:] + key + payload


def text(payload: str | bytes) -> bytes:
    """A whole text message."""
    return frame(0x81, payload.encode() if isinstance(payload, str) else payload)


def close(code: int, reason: bytes = b"") -> bytes:
    """A close frame with any code."""
    return frame(0x88, code.to_bytes(2, "big") + reason)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from good()
    yield from broken()
    yield from closings()
    yield from excesses()


def good() -> Iterator[Case]:
    """What every client may send."""
    pong = Frame(Opcode.PONG)
    yield Case("masked text", "5.7", b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", ("Hello",))
    yield Case("empty text", "5.6", text(""), ("",))
    yield Case("two messages in one piece", "5.2", text("a") + text("b"), ("a", "b"))
    for size in (125, 126, 127, 65535, 65536, MIB):
        yield Case(f"binary of {size} bytes", "5.2", frame(0x82, bytes(size)), (bytes(size),))
    yield Case("text in two frames", "5.7", frame(0x01, b"Hel") + frame(0x80, b"lo"), ("Hello",))
    yield Case("text in empty frames", "5.4", frame(0x01) + frame(0x00) + frame(0x80), ("",))
    inside = frame(0x01, b"Hel") + frame(0x89) + frame(0x80, b"lo")
    yield Case("ping inside a message", "5.4", inside, (pong, "Hello"))
    yield Case("character cut in two", "8.1", frame(0x01, b"\xc3") + frame(0x80, b"\xa9"), ("é",))
    for character in ("\0", "\ud7ff", "\ue000", "\uffff", "\U0010ffff"):
        yield Case(f"character U+{ord(character):04X}", "8.1", text(character), (character,))
    yield Case("any bytes as binary", "5.6", frame(0x82, b"\xff\xfe"), (b"\xff\xfe",))
    yield Case("ping of 125 bytes", "5.5.2", frame(0x89, bytes(125)), (Frame(Opcode.PONG, bytes(125)),))
    yield Case("pong that nobody asked for", "5.5.3", frame(0x8A, b"?") + text("a"), ("a",))
    yield Case("ten pings", "5.5.2", frame(0x89) * 10, (pong,) * 10)


def broken() -> Iterator[Case]:
    """What breaks the protocol: 1002, or 1007 for text that is none."""
    wrong = (1002,)
    yield Case("no mask", "5.1", b"\x81\x05Hello", codes=wrong)
    for bit in (0x40, 0x20, 0x10):
        yield Case(f"reserved bit {bit:#x}", "5.2", frame(0x81 | bit, b"a"), codes=wrong)
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield Case(f"reserved opcode {opcode}", "5.2", frame(0x80 | opcode), codes=wrong)
    yield Case("ping of 126 bytes", "5.5", frame(0x89, bytes(126)), codes=wrong)
    yield Case("ping in two frames", "5.5", frame(0x09) + frame(0x80), codes=wrong)
    yield Case("continuation of nothing", "5.4", frame(0x80, b"lo"), codes=wrong)
    yield Case("message inside a message", "5.4", frame(0x01, b"Hel") + text("lo"), codes=wrong)
    yield Case("length 5 in two bytes", "5.2", frame(0x81, b"Hello", size=b"\x7e\x00\x05"), codes=wrong)
    yield Case(
        "length 126 in eight bytes", "5.2", frame(0x82, bytes(126), size=b"\x7f" + bytes(7) + b"\x7e"), codes=wrong
    )
    yield Case("length with its top bit set", "5.2", frame(0x82, size=b"\x7f\x80" + bytes(7)), codes=(1002, 1009))
    for bad in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"):
        yield Case(f"text of the bytes {bad.hex(' ')}", "8.1", text(bad), codes=(1007,))
    yield Case("bad text in the second frame", "8.1", frame(0x01, b"\xe2") + frame(0x80, b"a"), codes=(1007,))


def closings() -> Iterator[Case]:
    """Close frames (RFC 6455 §5.5.1 and §7.4). A frame without a code is answered by one, which reads as 1005."""
    yield Case("close without a code", "5.5.1", frame(0x88), codes=(1005,))
    yield Case("nothing after a close", "5.5.1", close(1000) + text("a") + frame(0x89))
    for code in (1000, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999):
        yield Case(f"close {code}", "7.4", close(code), codes=(code,))
    for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535):
        yield Case(f"close {code}, which may not travel", "7.4", close(code), codes=(1002,))
    yield Case("close of one byte", "5.5.1", frame(0x88, b"\x03"), codes=(1002,))
    yield Case("close with the longest reason", "5.5", close(1000, b"x" * 123))
    yield Case("close with a reason that is too long", "5.5", close(1000, b"x" * 124), codes=(1002,))
    yield Case("close with a reason that is not UTF-8", "5.5.1", close(1000, b"\xff"), codes=(1007,))


def excesses() -> Iterator[Case]:
    """More than a server should keep: 1009."""
    much = (1009,)
    yield Case("frame that claims 2**62 bytes", "7.4.1", frame(0x82, size=b"\x7f\x40" + bytes(7)), codes=much)
    yield Case(
        "frame that claims 1 MiB and a byte",
        "7.4.1",
        frame(0x82, size=b"\x7f" + (MIB + 1).to_bytes(8, "big")),
        codes=much,
    )
    begun = frame(0x02, bytes(MIB // 2)) + frame(0x00, bytes(MIB // 2))
    yield Case("message of 1 MiB and a byte in three frames", "7.4.1", begun + frame(0x80, b"x"), codes=much)
    yield Case("100,000 empty fragments", "5.4", frame(0x02) + frame(0x00) * 100_000, codes=much)


async def judge(url: str, path: str = "/echo") -> list[tuple[Case, tuple]]:
    """Every case, and what the server at `url` said to it."""
    return [(case, await exchange(url, path, case)) for case in cases()]


async def exchange(url: str, path: str, case: Case, *, patience_s: float = 1.0) -> tuple:
    """What a server says to a case's bytes, and to a normal close after that: messages, pongs, and a close code last."""
    where, got = urlsplit(url), []
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        writer.write(UPGRADE.format(path, where.netloc).encode())
        await reader.readuntil(b"\r\n\r\n")
        frames = FrameReader(masked=False, limit=2 * MIB)
        writer.write(case.sent)
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await hear(reader, frames, got, len(case.answers) + (case.codes != (1000,)))
        writer.write(close(1000))
        async with asyncio.timeout(10 * patience_s):
            await hear(reader, frames, got, inf)
    finally:
        writer.close()
    return tuple(got)


async def hear(reader: asyncio.StreamReader, frames: FrameReader, got: list, enough: float) -> None:
    """Add to `got` what the server says, until that is enough or the end: its close code, or 1006 if it sends none."""
    while len(got) < enough and not (got and isinstance(got[-1], int)):
        try:
            data = await reader.read(65536)
        except ConnectionError:
            data = b""
        got += map(told, frames.feed(data)) if data else [1006]


def told(frame: Frame) -> str | bytes | Frame | int:
    """What a frame says: a text, bytes, a close code, or only itself."""
    if frame.opcode == Opcode.CLOSE:
        return parse_close(frame.payload)[0]
    return {Opcode.TEXT: frame.payload.decode("utf-8", "replace"), Opcode.BINARY: frame.payload}.get(
        frame.opcode, frame
    )
