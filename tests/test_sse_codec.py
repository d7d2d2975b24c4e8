"""The text/event-stream codec: every case of the specification, in every way a network can cut it into pieces."""

import random
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sse_streams import RETRIES, STREAMS

from labs.sse_codec import Parser, SseEvent, TooLong, comment, encode, reconnection_time


def parse(*pieces: bytes, **options) -> tuple[list, str, int | None]:
    parser = Parser(**options)
    events = [event for piece in pieces for event in parser.feed(piece)]
    return [(e.type, e.data, e.last_event_id) for e in events], parser.last_event_id, parser.retry_ms


def cut(wire: bytes, *places: int) -> list[bytes]:
    bounds = [0, *sorted(places), len(wire)]
    return [wire[start:end] for start, end in pairwise(bounds)]


each_stream = pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)


@each_stream
def test_stream_in_one_piece_gives_the_events_of_the_specification(stream):
    events, last_event_id, _ = parse(stream.wire)
    assert events == list(stream.events)
    assert last_event_id == stream.last_event_id


@each_stream
def test_stream_cut_in_two_anywhere_gives_the_same(stream):
    whole = parse(stream.wire)
    for place in range(len(stream.wire) + 1):
        assert parse(*cut(stream.wire, place)) == whole, place


@each_stream
def test_stream_in_single_bytes_gives_the_same(stream):
    assert parse(*cut(stream.wire, *range(1, len(stream.wire)))) == parse(stream.wire)


def test_all_streams_in_a_row_cut_in_many_places_give_the_same():
    wire = b"".join(stream.wire + b"\n\n" for stream in STREAMS.values())
    whole, rng = parse(wire), random.Random(1)
    for _ in range(200):
        places = rng.choices(range(len(wire) + 1), k=rng.randint(1, 300))  # some twice: empty pieces
        assert parse(*cut(wire, *places)) == whole


def test_event_ended_by_cr_is_delivered_before_the_next_byte_comes():
    parser = Parser()
    assert parser.feed(b"data: a\r\r") == [SseEvent("message", "a", "")]
    assert parser.feed(b"\ndata: b\r\n") == []
    assert parser.feed(b"\r") == [SseEvent("message", "b", "")]
    assert parser.feed(b"\n") == []


def test_lf_after_an_empty_piece_after_cr_is_still_part_of_the_line_end():
    assert parse(b"data: a\r", b"", b"\ndata: b\n\n")[0] == [("message", "a\nb", "")]


@pytest.mark.parametrize(("line", "retry_ms"), RETRIES.items())
def test_retry_is_taken_from_ascii_digits_alone(line, retry_ms):
    assert parse(line + b"\n\n")[2] == retry_ms


def test_retry_takes_effect_with_its_line_and_the_last_one_counts():
    parser = Parser()
    parser.feed(b"retry: 10\nretry: 20\nretry: x\n")
    assert parser.retry_ms == 20


def test_parser_that_resumes_keeps_the_id_until_the_stream_names_another():
    assert parse(b"data: a\n\nid: 8\ndata: b\n\n", last_event_id="7")[0] == [
        ("message", "a", "7"),
        ("message", "b", "8"),
    ]


def test_id_of_an_unfinished_event_is_not_the_one_to_resume_from():
    parser = Parser()
    parser.feed(b"id: 1\ndata: a\n\nid: 2\ndata: b\n")
    assert parser.last_event_id == "1"
    parser.feed(b"\n")
    assert parser.last_event_id == "2"


@pytest.mark.parametrize(
    "endless", [b"data: " + b"a" * 10, b"data: a\n", b"data\n", b":" + b"-" * 20, b"aaaaaaaaaa", b"event: " + b"e" * 20]
)
def test_event_or_line_without_end_is_refused_while_it_is_small(endless):
    parser = Parser(limit=1000)
    repeated = endless if endless.endswith(b"\n") else endless[:1] * 5
    parser.feed(endless)
    with pytest.raises(TooLong, match="more than 1000 characters"):
        for _ in range(1000):
            parser.feed(repeated)


def test_one_huge_piece_is_refused_without_being_kept():
    parser, huge = Parser(limit=1000), b"data: " + b"a" * 1_000_000
    with pytest.raises(TooLong, match="more than 1000 characters"):
        parser.feed(huge)
    assert parser._line == []


def test_limit_counts_one_event_and_not_the_stream():
    parser = Parser(limit=100)
    wire = b": " + b"-" * 80 + b"\n" + b"event: " + b"e" * 80 + b"\n" + b"data: " + b"a" * 80 + b"\n\n"
    assert sum(len(parser.feed(wire)) for _ in range(1000)) == 1000
    assert all(parser.feed(b":\n\n") == [] for _ in range(1000))


def test_long_line_in_single_bytes_takes_time_in_proportion_to_its_length():
    parser = Parser()
    for _ in range(200_000):  # with a line that is copied for every byte, this would take minutes
        parser.feed(b"a")
    assert parser.feed(b"\n\ndata: b\n\n") == [SseEvent("message", "b", "")]


@pytest.mark.parametrize(
    ("wire", "arguments"),
    [
        (b"data: hi\n\n", ("hi", {})),
        (b"data: \n\n", ("", {})),
        (b"data: a\ndata: b\ndata: c\ndata: d\n\n", ("a\nb\rc\r\nd", {})),
        (b"data: a\ndata: \ndata: \n\n", ("a\n\r", {})),
        (b"data: a\xe2\x80\xa8b\xc2\x85c\n\n", ("a\u2028b\x85c", {})),
        (b"data:  a\n\n", (" a", {})),
        (b"id: 7\ndata: hi\n\n", ("hi", {"id": "7"})),
        (b"retry: 1500\nevent: add\nid: 7\ndata: hi\n\n", ("hi", {"id": "7", "event": "add", "retry": 1500})),
        (b"event: reset\nid: \ndata: why\n\n", ("why", {"event": "reset", "id": ""})),
        (b"retry: 0\ndata: \n\n", ("", {"retry": 0})),
    ],
)
def test_encoded_event_is_these_bytes(wire, arguments):
    data, fields = arguments
    assert encode(data, **fields) == wire


@pytest.mark.parametrize(
    "fields",
    [{name: f"7{end}data: forged"} for name in ("id", "event") for end in ("\n", "\r", "\r\n")]
    + [{"id": "\0"}, {"id": "7\0"}, {"id": "7\n"}, {"event": "\n"}, {"event": "\r"}, {"retry": -1}],
)
def test_field_that_would_forge_lines_is_refused(fields):
    with pytest.raises(ValueError, match=r"line breaks|negative"):
        encode("hi", **fields)


def test_comment_is_never_an_event():
    assert comment() == b":\n"
    assert comment("still here") == b":still here\n"
    assert comment("a\ndata: forged\n\n") == b":a\n:data: forged\n:\n:\n"
    assert parse(comment("a\r\rdata: forged\r\n\r\ndata: forged") + b"\n")[0] == []


def test_reconnection_time_takes_effect_with_its_line_and_is_never_an_event():
    assert reconnection_time(1500) == b"retry: 1500\n"
    assert parse(reconnection_time(1500) + b"\n") == ([], "", 1500)
    with pytest.raises(ValueError, match="negative"):
        reconnection_time(-1)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
one_line = text.filter(lambda value: not re.search("[\r\n\0]", value))
bytes_like_streams = st.lists(
    st.sampled_from([b"data", b"id", b"event", b"retry", b":", b" ", b"\n", b"\r", b"\0", b"7", b"\xef\xbb\xbf"])
    | st.binary(max_size=3),
    max_size=40,
).map(b"".join)


@settings(deadline=None)
@given(data=text, id=one_line, event=one_line, cuts=st.lists(st.integers(0, 400), max_size=5))
def test_parsing_what_was_encoded_gives_it_back(data, id, event, cuts):
    wire = encode(data, id=id, event=event, retry=5)
    expected = (event or "message", re.sub("\r\n|\r", "\n", data), id)
    assert parse(*cut(wire, *(place for place in cuts if place < len(wire)))) == ([expected], id, 5)


@settings(deadline=None)
@given(wire=bytes_like_streams, cuts=st.lists(st.integers(0, 160), max_size=6))
def test_any_bytes_cut_anywhere_give_the_same_events(wire, cuts):
    assert parse(*cut(wire, *(place for place in cuts if place < len(wire)))) == parse(wire)


def as_the_specification_says(wire: bytes) -> list[tuple[str, str, str]]:
    """The rules of §9.2.6 in the simplest way: all bytes at once, one buffer per rule, no thought of speed."""
    text, events = wire.decode("utf-8", "replace").removeprefix("\ufeff"), []
    data = event_type = last_event_id = ""
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]:
        name, _, value = line.partition(":")
        value = value[1:] if value[:1] == " " else value
        if line == "":
            if data != "":
                events.append((event_type or "message", data[:-1], last_event_id))
            data = event_type = ""
        elif name == "data":
            data += value + "\n"
        elif name == "event":
            event_type = value
        elif name == "id" and "\0" not in value:
            last_event_id = value
    return events


@settings(deadline=None)
@given(wire=bytes_like_streams)
def test_any_bytes_are_read_as_the_specification_says(wire):
    assert parse(wire)[0] == as_the_specification_says(wire)


@each_stream
def test_table_of_streams_agrees_with_the_specification(stream):
    assert as_the_specification_says(stream.wire) == list(stream.events)
