"""The byte ledger closes: every captured byte is in exactly one part of exactly one message."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labs.ledger import events_in, is_whole_response, messages, parse_head, total
from labs.link import Chunk

REQUEST = b"GET /events?after=1234abcd-1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n"
EVENTS = b'[{"id":2},{"id":3}]'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n" + EVENTS
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b'5\r\n[{"id\r\ne;x=1\r\n":2},{"id":3}]\r\n0\r\n\r\n'
)
ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"
NOT_MODIFIED = b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 5\r\n\r\n'


def captured(data: bytes, *cuts: int, direction: str = "down", connection: int = 1) -> list[Chunk]:
    """`data` as the link records it when it comes in pieces that end at `cuts`; sent at 0, 1, 2 …, arrived 10 later."""
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(edges) if a < b]
    return [Chunk(connection, direction, t, len(p), p, arrived=t + 10) for t, p in enumerate(pieces)]


def test_request_and_answer_are_split_into_their_parts():
    request, answer = messages(captured(REQUEST, direction="up") + captured(ANSWER))
    assert request.start_line == "GET /events?after=1234abcd-1 HTTP/1.1"
    assert request.parts == {"request line": 39, "request headers": 19 + 2, "framing": 0, "payload": 0}
    assert answer.headers == {"content-length": "19"}
    assert answer.events == [{"id": 2}, {"id": 3}]
    assert answer.parts == {"status line": 17, "response headers": 20 + 2, "framing": 3, "payload": 16}
    assert answer.text == ANSWER.decode()
    assert (answer.finished, answer.size) == (True, len(ANSWER))


def test_empty_array_is_all_framing():
    (answer,) = messages(captured(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"))
    assert (answer.parts["framing"], answer.parts["payload"]) == (2, 0)


def test_chunked_body_is_joined_and_its_chunk_sizes_are_framing():
    (answer,) = messages(captured(CHUNKED))
    assert (answer.body, answer.finished) == (EVENTS, True)
    # "5\r\n" and "\r\n", "e;x=1\r\n" and "\r\n", "0\r\n\r\n"; then two brackets and a comma
    assert answer.parts["framing"] == (3 + 2) + (7 + 2) + 5 + 3
    assert answer.parts["payload"] == 16
    assert answer.text == CHUNKED.decode()


def test_chunked_body_with_trailers_ends_after_them():
    first, second = messages(captured(CHUNKED[:-2] + b"X-Sum: 7\r\n\r\n" + ANSWER))
    assert first.raw_body.endswith(b"0\r\nX-Sum: 7\r\n\r\n")
    assert second.body == EVENTS


def test_chunk_size_that_is_no_number_leaves_the_message_unfinished():
    (answer,) = messages(captured(CHUNKED.replace(b"5\r\n", b"-5\r\n")))
    assert (answer.finished, answer.body, answer.size) == (False, b"", len(CHUNKED) + 1)


def test_length_that_is_no_number_leaves_the_message_unfinished():
    (answer,) = messages(captured(ANSWER.replace(b"19", b"-9")))
    assert (answer.finished, answer.body, answer.size) == (False, EVENTS, len(ANSWER))


@pytest.mark.parametrize("nested", [b"[" * 100_000, b'{"a":' * 100_000])
def test_deeply_nested_body_has_no_events(nested):
    assert events_in(nested) == []


@pytest.mark.parametrize("data", [ENDLESS, ANSWER[:-1], ANSWER[:30], CHUNKED[:-1], REQUEST[:-1], b"HT", b"P"])
def test_unfinished_message_is_in_the_ledger_with_what_has_come(data):
    (message,) = messages(captured(data))
    assert (message.finished, message.size, message.text) == (False, len(data), data.decode())


@pytest.mark.parametrize(
    "data, parts",
    [
        (b"GET /ev", ("request line", 7, "request headers", 0)),
        (b"GET / HTTP/1.1\r\nHo", ("request line", 16, "request headers", 2)),
        (b"HTT", ("status line", 3, "response headers", 0)),
        (b"HTTP/1.1 200 OK\r\nContent", ("status line", 17, "response headers", 7)),
    ],
)
def test_half_a_head_is_split_as_far_as_it_has_come(data, parts):
    (message,) = messages(captured(data))
    assert message.parts == {parts[0]: parts[1], parts[2]: parts[3], "framing": 0, "payload": 0}


def test_endless_response_keeps_growing():
    message = messages(captured(ENDLESS + b"data: 2\n\n", len(ENDLESS)))[0]
    assert message.body == b"data: 1\n\ndata: 2\n\n"
    assert (message.sent, message.arrived) == (1, 11)


def test_not_modified_has_no_body_whatever_its_length_says():
    first, second = messages(captured(NOT_MODIFIED + ANSWER))
    assert (first.body, first.parts["payload"], second.body) == (b"", 0, EVENTS)


def test_answer_to_head_has_no_body():
    head = b"HEAD /events HTTP/1.1\r\nHost: a\r\n\r\n"
    up = captured(REQUEST + head + REQUEST, direction="up")
    down = captured(b"HTTP/1.1 103 Early Hints\r\n\r\n" + ANSWER + ANSWER[: -len(EVENTS)] + ANSWER)
    bodies = [message.body for message in messages(up + down) if message.direction == "down"]
    assert bodies == [b"", EVENTS, b"", EVENTS]


def test_bytes_that_are_not_http_are_payload_without_a_head():
    response, rest = messages(captured(ANSWER + b"\x81\x02hi\r\n\r\nGET / HTTP/1.1\r\n\r\n"))
    assert response.finished
    assert (rest.start_line, rest.headers, rest.parts["payload"], rest.finished) == ("", {}, 4 + 4 + 18, False)


# After a 101: frames (RFC 6455 §5.7 has these bytes).


UPGRADE = b"GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
HELLO = b"\x81\x05Hello"
MASKED_HELLO = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
BYTES_256 = b"\x82\x7e\x01\x00" + bytes(256)
BYTES_64K = b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + bytes(65536)
EVENT = b'\x81\x09{"id": 2}'


def frames(data: bytes, *cuts: int) -> list:
    """The frames of a server that says this after its 101."""
    up, down = captured(UPGRADE, direction="up"), captured(SWITCHED + data, *(len(SWITCHED) + cut for cut in cuts))
    request, switched, *rest = messages(up + down)
    assert (request.frame, switched.frame, switched.parts["framing"]) == ("", "", 0)
    return rest


@pytest.mark.parametrize(
    "data, label, body, framing, payload",
    [
        (HELLO, "text", b"Hello", 2, 5),
        (MASKED_HELLO, "text", b"Hello", 6, 5),
        (BYTES_256, "binary", bytes(256), 4, 256),
        (BYTES_64K, "binary", bytes(65536), 10, 65536),
        (b"\x01\x03Hel", "text …", b"Hel", 2, 3),
        (b"\x80\x02lo", "continuation", b"lo", 2, 2),
        (b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00", "text, compressed", b"\xf2\x48\xcd\xc9\xc9\x07\x00", 2, 7),
        (b"\x89\x05Hello", "ping", b"Hello", 7, 0),
        (b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "pong", b"Hello", 11, 0),
        (b"\x88\x00", "close", b"", 2, 0),
        (b"\x88\x05\x03\xe9bye", "close 1001", b"\x03\xe9bye", 7, 0),
        (b"\x83\x00", "opcode 3", b"", 2, 0),
    ],
)
def test_frame_is_named_and_split(data, label, body, framing, payload):
    (frame,) = frames(data)
    assert (frame.frame, frame.body, frame.finished) == (label, body, True)
    assert frame.parts == {"framing": framing, "payload": payload}
    assert frame.raw_head + frame.raw_body == data


def test_text_frame_with_an_event_holds_that_event():
    assert [frame.events for frame in frames(EVENT + HELLO)] == [[{"id": 2}], []]


def test_frames_go_up_after_the_request_that_was_answered_by_a_101():
    plain = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    up = captured(plain + UPGRADE + MASKED_HELLO + MASKED_HELLO, direction="up")
    found = messages(up + captured(ANSWER + SWITCHED + HELLO))
    assert [m.frame for m in found if m.direction == "up"] == ["", "", "text", "text"]


def test_upgrade_that_was_refused_is_followed_by_http():
    up = captured(UPGRADE + REQUEST, direction="up")
    found = messages(up + captured(ANSWER + ANSWER))
    assert [m.start_line[:5] for m in found if m.direction == "up"] == ["GET /", "GET /"]
    assert not any(m.frame for m in found)


ALL_FRAMES = MASKED_HELLO + BYTES_256 + b"\x89\x00" + EVENT + b"\x82\x7f\x3f" + bytes(7) + b"rest"


@given(st.sets(st.integers(1, len(ALL_FRAMES) - 1)))
def test_split_anywhere_the_frames_are_the_same(cuts):
    found = frames(ALL_FRAMES, *cuts)
    assert [m.frame for m in found] == ["text", "binary", "ping", "text", "binary"]
    assert [m.finished for m in found] == [True, True, True, True, False]
    assert sum(total(found).values()) == len(ALL_FRAMES)


@given(st.binary(max_size=300), st.integers(0, 300))
def test_any_bytes_after_a_101_add_up(data, cut):
    for part in (data, ALL_FRAMES[:cut], ALL_FRAMES[cut:]):
        assert sum(total(frames(part)).values()) == len(part)


def test_pipelined_messages_come_in_the_order_of_their_last_byte():
    two = messages(captured(REQUEST + REQUEST, 10, len(REQUEST) + 10, direction="up") + captured(ANSWER))
    assert [(m.direction, m.sent, m.arrived) for m in two] == [("down", 0, 10), ("up", 1, 11), ("up", 2, 12)]


def test_connections_are_kept_apart():
    halves = captured(ANSWER, 30, connection=1), captured(CHUNKED, 30, connection=2)
    interleaved = [chunk for pair in zip(*halves, strict=True) for chunk in pair]
    assert [(m.connection, m.body) for m in messages(interleaved)] == [(1, EVENTS), (2, EVENTS)]


STREAM = ANSWER + CHUNKED + NOT_MODIFIED + ENDLESS


@given(st.sets(st.integers(1, len(STREAM) - 1)))
def test_split_anywhere_the_messages_are_the_same(cuts):
    found = messages(captured(STREAM, *cuts))
    assert [m.body for m in found] == [EVENTS, EVENTS, b"", b"data: 1\n\n"]
    assert "".join(m.text for m in found) == STREAM.decode()
    assert sum(total(found).values()) == len(STREAM)


@given(st.integers(0, len(STREAM)), st.integers(0, len(STREAM)))
def test_any_part_of_a_stream_adds_up(start, stop):
    part = STREAM[start:stop]
    assert sum(total(messages(captured(part))).values()) == len(part)


@given(st.sampled_from(["up", "down"]), st.binary(max_size=80), st.binary(max_size=80))
def test_any_bytes_add_up(direction, head, rest):
    for data in (head + rest, b"GET " + head + b"\r\n\r\n" + rest, b"HTTP/1.1 " + head + b"\r\n\r\n" + rest):
        assert sum(total(messages(captured(data, direction=direction))).values()) == len(data)


@pytest.mark.parametrize(
    "data, whole",
    [
        (ANSWER, True),
        (ANSWER[:-1], False),
        (CHUNKED, True),
        (CHUNKED[:-1], False),
        (NOT_MODIFIED, True),
        (ENDLESS, False),
        (b"HTTP/1.1 200 OK\r\nContent-Le", False),
        (b"", False),
    ],
)
def test_whole_response_is_recognized(data, whole):
    assert is_whole_response(data) is whole


def test_head_is_parsed_by_lower_case_name():
    assert parse_head(b"GET / HTTP/1.1\r\nHost: a\r\nX-Y:z ") == ("GET / HTTP/1.1", {"host": "a", "x-y": "z"})
