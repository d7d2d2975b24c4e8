"""Frames and messages: literal bytes of RFC 6455, and agreement with `websockets` and `wsproto` on random conversations."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame as TheirFrame
from websockets.frames import Opcode as TheirOpcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, Message, Ping, TextMessage

from labs.frames import (
    FRAGMENT_COST,
    Assembler,
    Frame,
    FrameReader,
    Opcode,
    Violation,
    accept_key,
    encode,
    encode_close,
    mask,
    may_travel,
    parse_close,
)

KEY = b"\x37\xfa\x21\x3d"
HELLO = b"\x81\x05Hello"
MASKED_HELLO = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"

EXAMPLES = [  # RFC 6455 §5.7, all of it
    (HELLO, [Frame(Opcode.TEXT, b"Hello")], None),
    (MASKED_HELLO, [Frame(Opcode.TEXT, b"Hello")], KEY),
    (b"\x01\x03Hel\x80\x02lo", [Frame(Opcode.TEXT, b"Hel", False), Frame(Opcode.CONTINUATION, b"lo")], None),
    (b"\x89\x05Hello", [Frame(Opcode.PING, b"Hello")], None),
    (b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", [Frame(Opcode.PONG, b"Hello")], KEY),
    (b"\x82\x7e\x01\x00" + bytes(256), [Frame(Opcode.BINARY, bytes(256))], None),
    (b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + bytes(65536), [Frame(Opcode.BINARY, bytes(65536))], None),
]


def written(frames, key: bytes | None = None) -> bytes:
    return b"".join(encode(frame.opcode, frame.payload, fin=frame.fin, key=key) for frame in frames)


def pieces(data: bytes, cuts) -> list[bytes]:
    """`data`, cut at these places."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def read(data: bytes, *cuts: int, masked: bool = True, limit: int = 2**20) -> list[Frame]:
    reader = FrameReader(masked=masked, limit=limit)
    return [frame for piece in pieces(data, cuts) for frame in reader.feed(piece)]


@pytest.mark.parametrize("data, frames, key", EXAMPLES)
def test_examples_of_the_rfc_are_written_and_read(data, frames, key):
    assert written(frames, key) == data
    assert read(data, masked=key is not None) == frames


def test_accept_key_is_that_of_the_rfc():
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("data", [b"", b"a", b"\0\0", b"Hell", b"Hello", bytes(range(256)), b"\xff" * 1001])
def test_mask_is_the_rule_of_the_rfc_and_undoes_itself(data):
    assert mask(data, KEY) == bytes(byte ^ KEY[n % 4] for n, byte in enumerate(data))
    assert mask(mask(data, KEY), KEY) == data


@pytest.mark.parametrize(
    "size, head",
    [
        (0, b"\x82\x00"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65535, b"\x82\x7e\xff\xff"),
        (65536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_length_is_in_its_shortest_form(size, head):
    assert encode(Opcode.BINARY, bytes(size)) == head + bytes(size)


def test_frame_is_handed_out_with_its_last_byte_and_no_sooner():
    reader = FrameReader(masked=True)
    for byte in MASKED_HELLO[:-1]:
        assert list(reader.feed(bytes([byte]))) == []
    assert list(reader.feed(MASKED_HELLO[-1:] + MASKED_HELLO[:3])) == [Frame(Opcode.TEXT, b"Hello")]


# What the peer must not send.


BROKEN = {
    "no mask": (HELLO, 1002),
    "reserved bit 1": (b"\xc1\x80" + KEY, 1002),
    "reserved bit 2": (b"\xa1\x80" + KEY, 1002),
    "reserved bit 3": (b"\x91\x80" + KEY, 1002),
    **{f"opcode {n}": (bytes([0x80 | n, 0x80]) + KEY, 1002) for n in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "long ping": (b"\x89\xfe\x00\x7e" + KEY + bytes(126), 1002),
    "ping in parts": (b"\x09\x80" + KEY, 1002),
    "125 in two bytes": (b"\x82\xfe\x00\x7d" + KEY + bytes(125), 1002),
    "65535 in eight bytes": (b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff" + KEY, 1002),
    "top bit": (b"\x82\xff\x80" + bytes(7) + KEY, 1002),
    "2**62 bytes": (b"\x82\xff\x40" + bytes(7), 1009),
    "limit and one more": (b"\x82\xfe\x03\xe9", 1009),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("step", [1, 1000])
def test_violation_has_its_code_after_what_came_before_it(case, step):
    data, code = BROKEN[case]
    reader, seen = FrameReader(masked=True, limit=1000), []
    stream = MASKED_HELLO + data
    with pytest.raises(Violation) as violation:
        for at in range(0, len(stream), step):
            for frame in reader.feed(stream[at : at + step]):
                seen.append(frame)
    assert violation.value.code == code
    assert seen == [Frame(Opcode.TEXT, b"Hello")]


def test_client_refuses_a_mask():
    with pytest.raises(Violation) as violation:
        read(MASKED_HELLO, masked=False)
    assert violation.value.code == 1002


def test_message_at_the_limit_is_taken():
    assert read(encode(2, bytes(1000), key=KEY), limit=1000) == [Frame(Opcode.BINARY, bytes(1000))]


def test_unfinished_frame_keeps_no_more_than_it_was_sent():
    reader = FrameReader(masked=True)
    assert list(reader.feed(b"\x82\xff\x00\x00\x00\x00\x00\x0f\xff\xff" + KEY + b"x")) == []
    assert len(reader.buffer) == 15


# Messages.


def joined(*frames: Frame, limit: int = 1000) -> list:
    assembler = Assembler(limit=limit)
    return [message for frame in frames if (message := assembler.add(frame)) is not None]


def text(payload: bytes = b"", fin: bool = True) -> Frame:
    return Frame(Opcode.TEXT, payload, fin)


def more(payload: bytes = b"", fin: bool = True) -> Frame:
    return Frame(Opcode.CONTINUATION, payload, fin)


def test_fragments_become_one_message_and_a_ping_between_them_comes_first():
    found = joined(text(b"Hel", False), Frame(Opcode.PING, b"?"), more(b"lo", False), more())
    assert found == [(Opcode.PING, b"?"), (Opcode.TEXT, "Hello")]


def test_binary_stays_bytes_and_text_becomes_str():
    found = joined(Frame(Opcode.BINARY, b"\xff", False), more(b"\0"), text(b"\xc3\xa9"), text())
    assert found == [(Opcode.BINARY, b"\xff\0"), (Opcode.TEXT, "é"), (Opcode.TEXT, "")]


def test_message_of_all_that_is_allowed_is_taken():
    found = joined(text(b"x" * 984, False), more(), text(b"x" * 1000))  # a fragment counts for 16 bytes more
    assert found == [(Opcode.TEXT, "x" * 984), (Opcode.TEXT, "x" * 1000)]


def test_character_may_be_cut_by_the_end_of_a_frame():
    assert joined(text(b"\xf0\x9f", False), more(b"\x8e", False), more(b"\xb2!")) == [(Opcode.TEXT, "🎲!")]


@pytest.mark.parametrize(
    "frames, code",
    [
        ((more(b"lo"),), 1002),
        ((text(b"a", False), text(b"b")), 1002),
        ((text(b"a", False), Frame(Opcode.BINARY)), 1002),
        ((text(b"a", False), more(b"b"), more(b"c")), 1002),
        ((text(b"\xff"),), 1007),
        ((text(b"\xc3"),), 1007),
        ((text(b"\xed\xa0\x80"),), 1007),
        ((text(b"\xc3", False), more(b"a", False)), 1007),  # before the message ends
        ((text(b"x" * 1001),), 1009),
        ((text(b"x" * 500, False), more(b"x" * 501)), 1009),
        ((text(b"", False), *[more(b"", False)] * (1000 // FRAGMENT_COST)), 1009),
    ],
)
def test_message_that_breaks_a_rule_is_refused_with_its_last_frame(frames, code):
    assembler = Assembler(limit=1000)
    for frame in frames[:-1]:
        assembler.add(frame)
    with pytest.raises(Violation) as violation:
        assembler.add(frames[-1])
    assert violation.value.code == code


# Closing.


@pytest.mark.parametrize(
    "payload, expected",
    [
        (b"", (1005, "")),
        (b"\x03\xe8", (1000, "")),
        (b"\x11\x3agone", (4410, "gone")),
        (b"\x03\xe9" + "é".encode(), (1001, "é")),
    ],
)
def test_close_frame_is_read_as_code_and_reason(payload, expected):
    assert parse_close(payload) == expected
    if payload:
        assert encode_close(*expected) == payload


@pytest.mark.parametrize(
    "payload, code",
    [(b"\x03", 1002), (b"\x03\xed", 1002), (b"\x03\xe8\xff", 1007), (b"\x13\x88", 1002), (b"\xff\xff", 1002)],
)
def test_close_frame_that_breaks_a_rule_is_refused(payload, code):
    with pytest.raises(Violation) as violation:
        parse_close(payload)
    assert violation.value.code == code


def test_codes_that_may_travel_are_those_of_the_rfc_and_the_registry():
    allowed = {1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)}
    assert {code for code in range(65536) if may_travel(code)} == allowed


def test_long_reason_is_cut_between_characters_to_what_a_control_frame_holds():
    assert encode_close(1000, "x" * 200) == b"\x03\xe8" + b"x" * 123
    assert encode_close(1000, "x" + "é" * 100) == b"\x03\xe8x" + "é".encode() * 61


# Peers: the same bytes where the RFC leaves no choice, and the same meaning where it does.


payloads = st.one_of(
    st.binary(max_size=300), st.sampled_from([0, 1, 125, 126, 127, 65535, 65536, 70000]).map(lambda n: b"\x5a" * n)
)
keys = st.binary(min_size=4, max_size=4)
controls = st.lists(st.tuples(st.sampled_from([9, 10]), st.binary(max_size=125)), max_size=2)


@st.composite
def conversations(draw) -> tuple[list[Frame], list]:
    """Frames of a few messages, cut anywhere, with control frames anywhere between; and what they mean."""
    frames, meaning = [], []
    for whole in draw(st.lists(st.one_of(payloads, st.text(max_size=100)), max_size=4)):
        data = whole.encode() if isinstance(whole, str) else whole
        parts = pieces(data, draw(st.lists(st.integers(0, 70_000), max_size=3)))
        for n, part in enumerate(parts):
            for opcode, payload in draw(controls):
                frames.append(Frame(Opcode(opcode), payload))
                meaning.append((opcode, payload))
            opcode = 0 if n else Opcode.TEXT if isinstance(whole, str) else Opcode.BINARY
            frames.append(Frame(Opcode(opcode), part, n == len(parts) - 1))
        meaning.append((Opcode.TEXT if isinstance(whole, str) else Opcode.BINARY, whole))
    return frames, meaning


def theirs(protocol, data: list[bytes]) -> list[Frame]:
    """The frames that `websockets` finds in these pieces."""
    for piece in data:
        protocol.receive_data(piece)
    assert protocol.parser_exc is None
    return [Frame(Opcode(int(frame.opcode)), bytes(frame.data), frame.fin) for frame in protocol.events_received()]


@given(st.sampled_from(list(TheirOpcode)), payloads, st.booleans())
def test_unmasked_frame_is_byte_for_byte_that_of_websockets(opcode, payload, fin):
    if opcode >= 8:
        payload, fin = payload[:125], True
    assert encode(opcode, payload, fin=fin) == TheirFrame(opcode, payload, fin).serialize(mask=False)


@given(conversations(), st.lists(st.integers(0, 70_000), max_size=5), keys)
def test_websockets_reads_what_we_write(conversation, cuts, key):
    frames, _ = conversation
    server, client = ServerProtocol(state=State.OPEN), ClientProtocol(parse_uri("ws://a/"), state=State.OPEN)
    assert theirs(server, pieces(written(frames, key), cuts)) == frames
    assert theirs(client, pieces(written(frames), cuts)) == frames


@given(conversations(), st.lists(st.integers(0, 70_000), max_size=5), st.booleans())
def test_we_read_what_websockets_writes_and_make_the_same_messages_of_it(conversation, cuts, masked):
    frames, meaning = conversation
    data = b"".join(TheirFrame(TheirOpcode(f.opcode), f.payload, f.fin).serialize(mask=masked) for f in frames)
    assert read(data, *cuts, masked=masked) == frames
    assert joined(*frames, limit=2**20) == meaning


@given(conversations())
def test_wsproto_reads_what_we_write_and_writes_what_we_read(conversation):
    frames, meaning = conversation
    client, server = Connection(ConnectionType.CLIENT), Connection(ConnectionType.SERVER)
    client.receive_data(written(frames))
    assert messages_of(client) == meaning
    kinds = {1: lambda p: TextMessage(p), 2: lambda p: BytesMessage(p), 9: lambda p: Ping(p)}
    said = [(opcode, payload) for opcode, payload in meaning if opcode in kinds]
    data = b"".join(client.send(kinds[opcode](payload)) for opcode, payload in said)
    assert joined(*read(data), limit=2**20) == said
    server.receive_data(data)
    assert messages_of(server) == said


def messages_of(connection: Connection) -> list:
    """The messages that wsproto finds, in our words."""
    found, parts = [], []
    for event in connection.events():
        if isinstance(event, Message):
            parts.append(event.data)
            if event.message_finished:
                opcode = Opcode.TEXT if isinstance(event, TextMessage) else Opcode.BINARY
                found.append((opcode, ("" if opcode == Opcode.TEXT else b"").join(map(type(parts[0]), parts))))
                parts = []
        else:
            found.append((Opcode.PING if isinstance(event, Ping) else Opcode.PONG, bytes(event.payload)))
    return found
