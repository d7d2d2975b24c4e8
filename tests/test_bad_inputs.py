"""What nobody should send: every HTTP feed server gives the right refusal, lives on, and logs no traceback."""

import asyncio
import gzip
import json
import random
import socket
from contextlib import suppress
from importlib import import_module
from urllib.parse import urlsplit

import pytest
from crowd import Reader
from simulated import now_ms, simulated
from transports import HTTP

from labs.feed import Feed
from labs.hosting import BODY_LIMIT, foreign, serving
from labs.launch import Process

SERVERS = [*HTTP, "socketio_feed"]  # whose cursors do not come in a URL: it takes them when Socket.IO connects
every_http_server = pytest.mark.parametrize("name", SERVERS)

HOST = b"Host: localhost\r\n"
CLOSE = b"Connection: close\r\n\r\n"


def get(target: bytes = b"/healthz", *headers: bytes, method: bytes = b"GET") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\n" + HOST + b"".join(h + b"\r\n" for h in headers) + CLOSE


def post(body: bytes, *headers: bytes) -> bytes:
    return get(b"/events", *headers, method=b"POST") + body


def length(size: int) -> bytes:
    return b"Content-Length: %d" % size


def in_chunks(body: bytes) -> bytes:
    parts = [body[at : at + 4096] for at in range(0, len(body), 4096)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


CHUNKED = b"Transfer-Encoding: chunked"
TOO_MUCH = b"x" * (BODY_LIMIT + 1)
BOMB = gzip.compress(b"x" * 20_000_000)
TLS = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)

REFUSED = {
    "wrong method": (get(b"/events", method=b"PUT"), 405),
    "wrong method for a page": (get(b"/", method=b"DELETE"), 405),
    "wrong method for healthz": (get(b"/healthz", method=b"POST"), 405),
    "no such path": (get(b"/nothing/here"), 404),
    "path out of the folder": (get(b"/../../../../etc/passwd"), 404),
    "connect": (get(b"example.com:443", method=b"CONNECT"), 404),
    "foreign origin": (get(b"/healthz", b"Origin: http://evil.example"), 403),
    "no origin in particular": (get(b"/healthz", b"Origin: null"), 403),
    "foreign origin publishes": (post(b"x", length(1), b"Origin: http://evil.example"), 403),
    "foreign origin with our name in it": (get(b"/healthz", b"Origin: http://localhost.evil.example"), 403),
    "foreign origin and no such path": (get(b"/nothing", b"Origin: http://evil.example"), 403),
    "name that was made to point here": (get().replace(b"localhost", b"evil.example"), 421),
    "no host": (get().replace(HOST, b""), 400),
    "two hosts": (get().replace(HOST, HOST + HOST), 400),
    "long path": (get(b"/" + b"a" * 9000), 414),
    "long query": (get(b"/events?after=" + b"a" * 9000), 414),
    "long absolute path": (get(b"http://localhost/" + b"a" * 9000), 414),
    "endless path": (b"GET /" + b"a" * 300_000, 414),
    "long header": (get(b"/healthz", b"X: " + b"a" * 9000), 431),
    "long header that looks like a path": (get(b"/healthz", b"X: /" + b"a" * 9000), 431),
    "long header name": (get(b"/healthz", b"X" * 9000 + b": a"), 431),
    "endless header": (b"GET / HTTP/1.1\r\nX: " + b"a" * 300_000, 431),
    "many headers": (get(b"/healthz", *(b"X%d: a" % n for n in range(300))), 431),
    "endless method": (b"A" * 300_000, 400),
    "space before the colon": (get(b"/healthz", b"X : a"), 400),
    "header on two lines": (get(b"/healthz", b"X: a\r\n b"), 400),
    "NUL in a header": (get(b"/healthz", b"X: a\0b"), 400),
    "HTTP/1.7": (get().replace(b"1.1", b"1.7"), 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "TLS": (TLS, 400),
    "garbage": (bytes(range(256)) * 4, 400),
    "words": (b"hello there\r\n\r\n", 400),
    "body over the limit": (post(TOO_MUCH, length(len(TOO_MUCH))), 413),
    "body said to be over the limit": (post(b"x", length(10**10)), 413),
    "chunked body over the limit": (post(in_chunks(TOO_MUCH), CHUNKED), 413),
    "compressed body": (post(BOMB, length(len(BOMB)), b"Content-Encoding: gzip"), 415),
    "body said to be compressed": (post(b"x", length(1), b"Content-Encoding: deflate"), 415),
    "length and transfer coding": (post(in_chunks(b"x"), length(1), CHUNKED), 400),
    "transfer coding and length": (post(in_chunks(b"x"), CHUNKED, length(1)), 400),
    "two lengths": (post(b"xx", length(1), length(2)), 400),
    "negative length": (post(b"xx", b"Content-Length: -1"), 400),
    "length of 30 digits": (post(b"xx", b"Content-Length: " + b"9" * 30), 400),
    "transfer coding that is none": (post(b"xx", b"Transfer-Encoding: gzip"), 400),
    "chunk size that is none": (post(b"zz\r\nx\r\n", CHUNKED), 400),
    "body that is not UTF-8": (post(b"\xff\xfe", length(2)), 400),
    "expectation that is none": (post(b"x", length(1), b"Expect: miracles"), 417),
    "no cursor": (get(b"/events?after=x"), 400),
    "empty cursor": (get(b"/events?after="), 400),
    "cursor that is not UTF-8": (get(b"/events?after=%ff"), 400),
    "cursor of 5000 digits": (get(b"/events?after=EPOCH-" + b"1" * 5000), 400),
    "cursor ahead of the feed": (get(b"/events?after=EPOCH-9999"), 400),
    "cursor of another epoch": (get(b"/events?after=00000000-1"), (410, 200)),  # SSE says so inside its stream
}

ACCEPTED = {
    "own origin": (get(b"/healthz", b"Origin: http://localhost"), 200),
    "HTTP/1.0 without a host": (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
    "absolute path": (get(b"http://localhost/healthz"), 200),
    "upgrade that is not offered": (get(b"/healthz", b"Upgrade: websocket"), 200),
    "expectation to continue": (post(b"x", length(1), b"Expect: 100-continue"), 100),
    "body at the limit": (post(b"x" * BODY_LIMIT, length(BODY_LIMIT)), 201),
    "empty body": (post(b"", length(0)), 201),
    "chunked body": (post(in_chunks(b"x"), CHUNKED), 201),
}


def talk(url: str, data: bytes, *, until: bytes = b"") -> bytes:
    """Send these bytes over a new connection, and return what the server says, to the end or until it has said so much."""
    where, said = urlsplit(url), b""
    with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
        with suppress(ConnectionError):  # the server may refuse and close before it has read all
            connection.sendall(data)
        while not (until and until in said) and (part := connection.recv(65536)):
            said += part
    return said


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.fixture(scope="module", params=SERVERS)
def server(request):
    """One real server for all rows; at the end it still serves, and its log is free of tracebacks."""
    process = Process(request.param)
    process.url = asyncio.run(process.start())
    process.epoch = json.loads(talk(process.url, post(b"first", length(5))).partition(b"\r\n\r\n")[2])["cursor"][:8]
    yield process
    assert status(talk(process.url, get())) == 200
    asyncio.run(process.stop())
    assert [line for line in process.log if not line.startswith(("INFO", "WARNING"))] == []


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_gets_the_right_refusal(server, case):
    data, expected = REFUSED[case]
    if server.name == "socketio_feed" and "cursor" in case:
        expected = 405
    answer = talk(server.url, data.replace(b"EPOCH", server.epoch.encode()), until=b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1."), "refused without a word"
    assert status(answer) in (expected if isinstance(expected, tuple) else (expected,))


@pytest.mark.parametrize("case", ACCEPTED)
def test_unusual_but_right_input_is_served(server, case):
    data, expected = ACCEPTED[case]
    assert status(talk(server.url, data)) == expected


def test_foreign_page_publishes_nothing(server):
    before = post_and_number(server.url)
    talk(server.url, post(b"x", length(1), b"Origin: http://evil.example"))
    talk(server.url, post(b"x", length(1)).replace(b"localhost", b"evil.example"))
    assert post_and_number(server.url) == before + 1


def post_and_number(url: str) -> int:
    return json.loads(talk(url, post(b"", length(0))).partition(b"\r\n\r\n")[2])["id"]


def test_pipelined_requests_are_answered_in_their_order(server):
    one = get(b"/nothing").replace(CLOSE, b"\r\n")
    answer = talk(server.url, one + get(b"/healthz").replace(CLOSE, b"\r\n") + one + get(b"/healthz"))
    assert [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]] == [404, 200, 404, 200]


def test_hundred_pipelined_events_are_numbered_in_their_order(server):
    first = post_and_number(server.url) + 1
    one = post(b"x", length(1)).replace(CLOSE, b"\r\n")
    answer = talk(server.url, one * 99 + post(b"x", length(1)))
    numbers = [int(part.split(b",", 1)[0]) for part in answer.split(b'{"id":')[1:]]
    assert numbers == list(range(first, first + 100))


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_are_survived(server, seed):
    rng = random.Random(seed)
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
        connection.sendall(rng.choice([b"", b"GET / HTTP/1.1\r\n", post(b"", CHUNKED)]) + rng.randbytes(2000))
        connection.shutdown(socket.SHUT_WR)
        try:
            while connection.recv(65536):
                pass
        except ConnectionError:
            pass


# Half a request, then silence: in virtual time.


HALVES = {
    "nothing": b"",
    "half a request line": b"GET /ev",
    "half a head": b"GET /events HTTP/1.1\r\nHost: local",
    "half a body": b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab",
    "half a chunk": b"POST /events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "half a second head": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /ev",
    "a body that nobody asked for": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab",
}


@every_http_server
@pytest.mark.parametrize("half", HALVES)
@simulated
async def test_half_a_request_then_silence_is_closed_within_ten_seconds(name, half):
    async with serving(import_module(f"labs.servers.{name}").make_app(Feed())) as url:
        before = len(asyncio.all_tasks())
        reader = await Reader.open(url)
        reader.writer.write(HALVES[half])
        await reader.rest()
        assert now_ms() <= 10_000
        await asyncio.sleep(0.1)
        assert len(asyncio.all_tasks()) == before
        await reader.leave()


@every_http_server
@simulated
async def test_body_that_trickles_in_is_given_up_within_ten_seconds(name):
    async with serving(import_module(f"labs.servers.{name}").make_app(Feed())) as url:
        reader = await Reader.open(url)
        reader.writer.write(b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")

        async def trickle():
            while True:
                reader.writer.write(b"x")
                await asyncio.sleep(1)

        trickling = asyncio.create_task(trickle())
        assert status(await reader.rest()) == 408
        assert now_ms() <= 10_000
        trickling.cancel()
        await reader.leave()


# Whose pages may use a server.


HERE = {"origins": (), "local": True}
ALLOWING = {"origins": ("https://course.example",), "local": True}


@pytest.mark.parametrize(
    "host, origin, how, expected",
    [
        ("localhost:8000", None, HERE, None),
        ("127.0.0.1", None, HERE, None),
        ("[::1]:8000", "http://[::1]:8000", HERE, None),
        ("192.168.1.7:80", None, HERE, None),
        ("", None, HERE, None),
        ("evil.example:8000", None, HERE, 421),
        ("evil.example:8000", "http://evil.example:8000", HERE, 421),
        ("localhost.evil.example", None, HERE, 421),
        ("127.0.0.1.evil.example", None, HERE, 421),
        ("localhost:8000", "http://localhost:8000", HERE, None),
        ("localhost:8000", "http://localhost:9000", HERE, 403),
        ("localhost:8000", "http://evil.example", HERE, 403),
        ("localhost:8000", "null", HERE, 403),
        ("localhost:8000", "https://course.example", ALLOWING, None),
        ("course.example", "https://course.example", ALLOWING, None),
        ("localhost:8000", "https://other.example", ALLOWING, 403),
        ("localhost:8000", "http://course.example", ALLOWING, 403),
        ("lab-7.example:80", None, {"origins": (), "local": False}, None),
        ("hub.example", "https://hub.example", {"origins": (), "local": False}, None),
        ("hub.example", "https://evil.example", {"origins": (), "local": False}, 403),
    ],
)
def test_pages_of_other_sites_are_refused_even_under_a_name_of_their_own(host, origin, how, expected):
    headers = {name: value for name, value in (("Host", host), ("Origin", origin)) if value is not None}
    refusal = foreign(headers, **how)
    assert (refusal and refusal[0]) == expected


@pytest.mark.parametrize("prefix, expected", [(None, 421), ("/user/ada/", 200)])
@simulated
async def test_behind_a_hub_the_hubs_own_name_is_welcome(monkeypatch, prefix, expected):
    monkeypatch.delenv("JUPYTERHUB_SERVICE_PREFIX", raising=False)
    if prefix:
        monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", prefix)
    async with serving(import_module("labs.servers.http_polling").make_app(Feed())) as url:
        reader = await Reader.open(url)
        reader.writer.write(get().replace(b"localhost", b"hub.example"))
        assert status(await reader.rest()) == expected
        await reader.leave()
