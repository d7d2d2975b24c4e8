"""What turning bytes into messages costs, by this course's codec and by two libraries' protocols without their networking."""

import os
from collections.abc import Callable
from time import perf_counter_ns

from websockets.protocol import Protocol, Side

from labs import frames
from labs.measure.pacing import progress
from labs.measure.records import Latencies

try:  # a library that only the tests need
    import wsproto.connection as wsproto
    from wsproto.events import BytesMessage
except ImportError:
    wsproto = None

PIECE = 64 * 1024  # bytes, as a socket hands them over
ROUNDS = 120
LEAST_NS = 100_000  # so long a sample takes at least, so that reading the clock does not count
KEY = b"\x37\xfa\x21\x3d"


def codec(sizes=(64, 4096, 2**20), *, what: str = "decode", rounds: int = ROUNDS) -> dict[str, dict[int, Latencies]]:
    """Milliseconds for one binary message, by codec and size; all codecs take turns.

    `what` is "decode", as a server does with its clients' frames: find the frame, take the mask away, make the message;
    or "encode", as a client does: mask it, put the head in front.
    """
    ways = {"decode": DECODERS, "encode": ENCODERS}[what]
    work = [(name, size, *_prepared(way, size)) for size in sizes for name, way in ways.items()]
    found = {name: {size: [] for size in sizes} for name in ways}
    for _ in progress(range(rounds), what):
        for name, size, once, times in work:
            found[name][size].append(_sample(once, times))
    return {name: {size: Latencies(tuple(ms)) for size, ms in by_size.items()} for name, by_size in found.items()}


def _prepared(way: Callable, size: int) -> tuple[Callable[[], bytes], int]:
    """One call that handles one message and returns it, and how many calls make a sample; it has been warmed up."""
    once = way(os.urandom(size))
    once()
    start = perf_counter_ns()
    for _ in range(3):
        once()
    return once, max(1, LEAST_NS * 3 // (perf_counter_ns() - start))


def _sample(once: Callable[[], bytes], times: int) -> float:
    start = perf_counter_ns()
    for _ in range(times):
        once()
    return (perf_counter_ns() - start) / times / 1e6


def _pieces(payload: bytes) -> list[bytes]:
    data = frames.encode(frames.Opcode.BINARY, payload, key=KEY)
    return [data[at : at + PIECE] for at in range(0, len(data), PIECE)]


def _ours(payload: bytes) -> Callable[[], bytes]:
    reader, assembler = frames.FrameReader(masked=True, limit=2**30), frames.Assembler(limit=2**30)
    pieces = _pieces(payload)

    def once():
        for piece in pieces:
            for frame in reader.feed(piece):
                message = assembler.add(frame)
        return message[1]

    return once


def _websockets(payload: bytes) -> Callable[[], bytes]:
    protocol = Protocol(Side.SERVER, max_size=None)
    pieces = _pieces(payload)

    def once():
        for piece in pieces:
            protocol.receive_data(piece)
            events = protocol.events_received()
        return events[0].data

    return once


def _wsproto(payload: bytes) -> Callable[[], bytes]:
    connection = wsproto.Connection(wsproto.ConnectionType.SERVER)
    pieces = _pieces(payload)

    def once():
        parts = []
        for piece in pieces:
            connection.receive_data(piece)
            parts += [event.data for event in connection.events()]
        return b"".join(parts)

    return once


def _our_frames(payload: bytes) -> Callable[[], bytes]:
    return lambda: frames.encode(frames.Opcode.BINARY, payload, key=os.urandom(4))


def _frames_of_websockets(payload: bytes) -> Callable[[], bytes]:
    protocol = Protocol(Side.CLIENT)

    def once():
        protocol.send_binary(payload)
        return b"".join(protocol.data_to_send())

    return once


def _frames_of_wsproto(payload: bytes) -> Callable[[], bytes]:
    connection = wsproto.Connection(wsproto.ConnectionType.CLIENT)
    return lambda: connection.send(BytesMessage(payload))


DECODERS: dict[str, Callable] = {"labs.frames": _ours, "websockets": _websockets}
ENCODERS: dict[str, Callable] = {"labs.frames": _our_frames, "websockets": _frames_of_websockets}
if wsproto:
    DECODERS["wsproto"], ENCODERS["wsproto"] = _wsproto, _frames_of_wsproto
