"""The opening handshake as bytes: what is read, what is refused with which status, and what is answered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from labs.handshake import HEADERS_LIMIT, LINE_LIMIT, Answer, Refusal, Request, choose, host, read, switch, upgrade_key

REQUEST = (  # RFC 6455 §1.2
    b"GET /chat?room=a%20b&x= HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n"
    b"Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
)


def request(*more: bytes, start: bytes = b"GET / HTTP/1.1", without: bytes = b"-") -> Request:
    lines = [line for line in REQUEST.split(b"\r\n")[1:-2] if not line.startswith(without)]
    return read(b"\r\n".join([start, *lines, *more, b"", b""]))[0]


def test_request_of_the_rfc_is_answered_as_in_the_rfc():
    asked, end = read(REQUEST)
    assert end == len(REQUEST)
    assert (asked.method, asked.path, asked.version) == ("GET", "/chat", "1.1")
    assert asked.query == {"room": "a b", "x": ""}
    assert host(asked) == "server.example.com"
    assert switch(upgrade_key(asked), choose(asked, ["bingo", "chat"])) == SWITCHED


def test_request_is_unfinished_until_its_last_byte_and_what_follows_it_is_left():
    assert all(read(REQUEST[:size]) is None for size in range(len(REQUEST)))
    assert read(REQUEST + b"\x81\x80") == read(REQUEST)


@pytest.mark.parametrize(
    "received, status",
    [
        (b"hello", 400),
        (b"\x16\x03\x01", 400),
        (b" GET / HTTP/1.1", 400),
        (b"A" * 17, 400),
        (b"GET /" + b"a" * LINE_LIMIT, 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * LINE_LIMIT, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * (HEADERS_LIMIT + 1), 431),
        (b"GET / HTTP/1.1\r\nX : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: a\nY: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"GET /\xe9 HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1 \r\n\r\n", 400),
        (b"GET / HTTP1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.7\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\n", 505),
    ],
)
def test_head_that_breaks_a_rule_or_a_limit_is_refused_as_soon_as_that_is_known(received, status):
    with pytest.raises(Refusal) as refusal:
        read(received)
    assert refusal.value.answer.status == status


@pytest.mark.parametrize(
    "asked, status, headers",
    [
        (request(start=b"POST / HTTP/1.1"), 405, {"Allow": "GET"}),
        (request(without=b"Upgrade"), 426, {"Upgrade": "websocket"}),
        (request(without=b"Connection"), 426, {"Upgrade": "websocket"}),
        (request(b"Upgrade: h2c", without=b"Upgrade"), 426, {"Upgrade": "websocket"}),
        (request(start=b"GET / HTTP/1.0"), 505, {}),
        (request(without=b"Sec-WebSocket-V"), 426, {"Sec-WebSocket-Version": "13"}),
        (request(b"Sec-WebSocket-Version: 8", without=b"Sec-WebSocket-V"), 426, {"Sec-WebSocket-Version": "13"}),
        (request(b"Sec-WebSocket-Version: 13"), 426, {"Sec-WebSocket-Version": "13"}),  # twice
        (request(without=b"Sec-WebSocket-K"), 400, {}),
        (request(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400, {}),  # twice
        (request(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ", without=b"Sec-WebSocket-K"), 400, {}),
        (request(b"Content-Length: 1"), 400, {}),
        (request(b"Transfer-Encoding: chunked"), 400, {}),
    ],
)
def test_upgrade_that_breaks_a_rule_is_refused_and_told_what_would_do(asked, status, headers):
    with pytest.raises(Refusal) as refusal:
        upgrade_key(asked)
    assert refusal.value.answer.status == status
    assert headers.items() <= refusal.value.answer.fields.items()
    assert "close" in refusal.value.answer.fields["Connection"]


@pytest.mark.parametrize(
    "asked, name",
    [
        (request(), "server.example.com"),
        (read(b"GET / HTTP/1.0\r\n\r\n")[0], ""),
        (request(without=b"Host"), None),
        (request(b"Host: a"), None),
    ],
)
def test_host_is_named_once(asked, name):
    if name is not None:
        assert host(asked) == name
    else:
        with pytest.raises(Refusal, match="names its host"):
            host(asked)


@pytest.mark.parametrize(
    "target, path, query",
    [
        (b"/", "/", {}),
        (b"/a/b?c=d", "/a/b", {"c": "d"}),
        (b"http://somewhere:80/a?b=c", "/a", {"b": "c"}),
        (b"http://somewhere", "/", {}),
        (b"/a?b=http://c/?d", "/a", {"b": "http://c/?d"}),
        (b"//[", "//[", {}),
        (b"*", "*", {}),
    ],
)
def test_target_is_a_path_and_a_query(target, path, query):
    asked = request(start=b"GET " + target + b" HTTP/1.1")
    assert (asked.path, asked.query) == (path, query)


@pytest.mark.parametrize(
    "offered, ours, chosen",
    [
        ((b"a, b",), ["b", "a"], "b"),
        ((b"a", b"b"), ["b"], "b"),
        ((b"B",), ["b"], None),  # names are compared as they stand (RFC 6455 §4.2.2)
        ((b"c",), ["b"], None),
        ((), ["b"], None),
        ((b"a",), [], None),
    ],
)
def test_subprotocol_is_the_first_of_ours_that_is_offered(offered, ours, chosen):
    more = [b"Sec-WebSocket-Protocol: " + one for one in offered]
    assert choose(request(*more, without=b"Sec-WebSocket-P"), ours) == chosen


def test_answer_is_the_last_on_its_connection_and_knows_its_length_in_bytes():
    assert Answer(404, "é\n", {"X": "y"}).encode() == (
        b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\nConnection: close\r\n"
        b"X: y\r\n\r\n\xc3\xa9\n"
    )


def test_websockets_agrees_on_the_handshake():
    client = ClientProtocol(parse_uri("ws://localhost:1/echo?a=b"), subprotocols=["x", "y"])
    client.send_request(client.connect())
    asked, _ = read(b"".join(client.data_to_send()))
    client.receive_data(switch(upgrade_key(asked), choose(asked, ["y"])))
    assert client.handshake_exc is None
    assert (client.state.name, client.subprotocol) == ("OPEN", "y")


@given(st.binary(max_size=200), st.sampled_from([b"", b"GET / HTTP/1.1\r\n", REQUEST[:-2], REQUEST[:-2] + b"X: "]))
def test_any_bytes_are_read_refused_or_unfinished(data, beginning):
    try:
        found = read(beginning + data + b"\r\n\r\n")
        if found:
            upgrade_key(found[0])
    except Refusal as refusal:
        assert 400 <= refusal.answer.status <= 505
