"""HTTP/2 and HTTP/3: bytes by the RFC's own examples, round trips and late messages against their models, limits in a browser."""

import json

import pytest

from labs.choosing import header_table, http2
from labs.models.sizes import CHROMIUM_HEADERS, poll_request, poll_response

# HTTP/2: bytes

ASKS = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")]
SAYS = [(":status", "302"), ("cache-control", "private"), ("date", "Mon, 21 Oct 2013 20:13:21 GMT")]
SAYS += [("location", "https://www.example.com")]
COOKIE = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"


def test_header_blocks_are_as_long_as_in_the_rfcs_own_examples():
    table = header_table.Table()  # RFC 7541 Appendix C.4
    assert table.block(ASKS) == 17
    assert table.block([*ASKS, ("cache-control", "no-cache")]) == 12
    https = [(":method", "GET"), (":scheme", "https"), (":path", "/index.html"), (":authority", "www.example.com")]
    assert table.block([*https, ("custom-key", "custom-value")]) == 24


def test_small_table_forgets_as_in_the_rfcs_own_examples():
    table = header_table.Table(256)  # RFC 7541 Appendix C.6
    assert table.block(SAYS) == 54
    assert table.block([(":status", "307"), *SAYS[1:]]) == 8
    later = [("date", "Mon, 21 Oct 2013 20:13:22 GMT"), SAYS[3], ("content-encoding", "gzip"), ("set-cookie", COOKIE)]
    assert table.block([(":status", "200"), SAYS[1], *later]) == 79


@pytest.mark.parametrize(
    "value, prefix, size", [(10, 5, 1), (1337, 5, 3), (42, 8, 1), (126, 7, 1), (127, 7, 2), (255, 7, 3)]
)
def test_number_takes_the_bytes_that_the_rfc_says(value, prefix, size):
    assert header_table.integer(value, prefix) == size  # RFC 7541 §5.1 and Appendix C.1


@pytest.mark.parametrize("more", [None, CHROMIUM_HEADERS], ids=["lean", "browser"])
def test_every_poll_takes_the_bytes_that_were_predicted(more):
    polls = http2.over_http2(http2.idle_polls(150, more))  # more than the table remembers
    assert [poll.http2 for poll in polls] == [poll.predicted for poll in polls]
    known = sum(parts for parts in poll_request(http2.HOST, "6b1f0c2d-17", more).values())
    assert {poll.http1 for poll in polls} == {known + sum(poll_response([]).values())}
    fields = 4 + len(more or {}) - ("Connection" in (more or {}))  # every one of them was sent before
    assert {poll.request for poll in polls[1:]} == {9 + fields}


def test_date_is_the_only_field_that_every_answer_spells_out():
    first, second, *_ = http2.over_http2(http2.idle_polls(3))
    spelled = second.http2 - second.request - 9 - 9 - 2  # without the heads of two frames and the body
    assert spelled == 4 + 1 + header_table.string(
        "Thu, 01 Jan 2026 00:00:01 GMT"
    )  # four numbers; the date's name and text
    assert first.http2 > second.http2


def test_data_frame_adds_nine_bytes_to_an_event():
    found = http2.event_bytes(json.dumps({"id": 17}), "6b1f0c2d-17")
    assert all(predicted == counted for predicted, counted in found.values())
    assert found["WebSocket over HTTP/2"][1] - found["WebSocket"][1] == 9  # RFC 9113 §4.1
    assert found["SSE over HTTP/2"][1] - found["SSE"][1] == 9 - len("29\r\n\r\n")
