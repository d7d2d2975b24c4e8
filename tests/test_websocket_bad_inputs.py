"""What nobody should send to a socket server: both give the right refusal or close code, live on, and log no traceback."""

import asyncio
import random
import socket
import struct
import time
from urllib.parse import urlsplit

import pytest
from test_bad_inputs import status, talk
from transports import SOCKETS, UPGRADE

from labs import conformance
from labs.conformance import frame
from labs.launch import Process

every_socket_server = pytest.mark.parametrize("name", SOCKETS)


def ask(target: str = "/events", *headers: str, without: str = "-", method: str = "GET", version: str = "1.1") -> bytes:
    """A request for an upgrade, with more headers, and without those that begin so."""
    lines = [f"{method} {target} HTTP/{version}", "Host: localhost", *UPGRADE]
    lines = [line for line in lines if not line.startswith(without)]
    return "\r\n".join([*lines, *headers, "", ""]).encode()


def plain(target: str = "/events", *headers: str, **how) -> bytes:
    """The same without any of the upgrade's headers."""
    return b"\r\n".join(line for line in ask(target, *headers, **how).split(b"\r\n") if line.decode() not in UPGRADE)


V, K = "Sec-WebSocket-V", "Sec-WebSocket-K"
V13 = "Sec-WebSocket-Version: 13"
KEYS = {
    "short": "AAAA",
    "no base64": "!" * 22 + "==",
    "of 17 bytes": "A" * 23 + "=",
    "in two headers": "A" * 22 + "==, " + "A" * 22 + "==",
}

REFUSED = {
    "plain GET": (plain(), 426, "Upgrade: websocket"),
    "plain GET for the echo": (plain("/echo"), 426, "Upgrade: websocket"),
    "upgrade to something else": (ask("/events", "Upgrade: h2c", without="Upgrade"), 426, "Upgrade: websocket"),
    "connection that is not upgraded": (ask("/events", "Connection: keep-alive", without="Connection"), 426, "Upgrade: websocket"),
    "wrong method": (ask(method="POST"), 405, "Allow: GET"),
    "wrong method without an upgrade": (plain(method="PUT"), 405, "Allow: GET"),
    "HEAD": (ask(method="HEAD"), 405, "Allow: GET"),
    "wrong method for a page": (plain("/", method="DELETE"), 405, "Allow: GET"),
    "wrong method for healthz": (plain("/healthz", method="OPTIONS"), 405, "Allow: GET"),
    "version 8": (ask("/events", "Sec-WebSocket-Version: 8", without=V), 426, V13),
    "version that is no number": (ask("/events", "Sec-WebSocket-Version: x", without=V), 426, V13),
    "no version": (ask(without=V), 426, V13),
    "no key": (ask(without=K), 400, ""),
    **{f"key {what}": (ask("/events", f"{K}ey: {key}", without=K), 400, "") for what, key in KEYS.items()},
    "HTTP/1.0": (ask(version="1.0"), 505, ""),
    "foreign origin": (ask("/events", "Origin: http://evil.example"), 403, ""),
    "no origin in particular": (ask("/echo", "Origin: null"), 403, ""),
    "foreign origin with our name in it": (ask("/events", "Origin: http://localhost.evil.example"), 403, ""),
    "foreign origin for a page": (plain("/", "Origin: http://evil.example"), 403, ""),
    "two origins": (ask("/events", "Origin: http://localhost", "Origin: http://evil.example"), 403, ""),
    "name that was made to point here": (ask().replace(b"localhost", b"evil.example"), 421, ""),
    "no such path": (ask("/nothing/here"), 404, ""),
    "path out of the folder": (plain("/../../etc/passwd"), 404, ""),
    "long path": (ask("/" + "a" * 9000), 414, ""),
    "long query": (ask("/events?after=" + "a" * 9000), 414, ""),
    "endless path": (b"GET /" + b"a" * 300_000, 414, ""),
    "long header": (ask("/events", "X: " + "a" * 9000), 431, ""),
    "endless header": (b"GET / HTTP/1.1\r\nX: " + b"a" * 300_000, 431, ""),
    "many headers": (ask("/events", *(f"X{n}: a" for n in range(300))), 431, ""),
    "header on two lines": (ask("/events", "X: a\r\n b"), 400, ""),
    "space before the colon": (ask("/events", "X : a"), 400, ""),
    "NUL in a header": (ask("/events", "X: a\0b"), 400, ""),
    "no host": (ask(without="Host"), 400, ""),
    "two hosts": (ask("/events", "Host: localhost"), 400, ""),
    "body": (ask("/events", "Content-Length: 3") + b"abc", 400, ""),
    "body in chunks": (ask("/events", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400, ""),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505), ""),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500) + b"\r\n\r\n", 400, ""),
    "garbage": (bytes(range(256)) * 4 + b"\r\n\r\n", 400, ""),
    "words": (b"hello there\r\n\r\n", 400, ""),
    "no cursor": (ask("/events?after=x"), 400, ""),
    "empty cursor": (ask("/events?after="), 400, ""),
    "cursor that is not UTF-8": (ask("/events?after=%ff"), 400, ""),
    "cursor of 5000 digits": (ask("/events?after=EPOCH-" + "1" * 5000), 400, ""),
    "cursor ahead of the feed": (ask("/events?after=EPOCH-9999"), 400, ""),
}  # fmt: skip

ACCEPTED = {
    "upgrade": (ask(), 101),
    "upgrade in capital letters": (ask("/echo").replace(b"websocket", b"WEBSOCKET").replace(b"n: Upgrade", b"n: x, UPGRADE"), 101),
    "own origin": (ask("/events", "Origin: http://localhost"), 101),
    "a path that says where": (ask("http://localhost/echo"), 101),
    "subprotocol that nobody knows": (ask("/echo", "Sec-WebSocket-Protocol: chat.v9"), 101),
    "extensions that nobody knows": (ask("/echo", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x"), 101),
    "page": (plain("/"), 200),
    "healthz": (plain("/healthz"), 200),
    "healthz with a query": (plain("/healthz?x=1"), 200),
    "cursor of another epoch": (ask("/events?after=00000000-1"), 101),  # the close code says that it is gone
}  # fmt: skip


@pytest.fixture(scope="module", params=SOCKETS)
def server(request):
    """One real server for all rows; at the end it still serves, and its log is free of tracebacks."""
    process = Process(request.param)
    process.url = asyncio.run(process.start())
    yield process
    assert status(talk(process.url, plain("/healthz"))) == 200
    asyncio.run(process.stop())
    assert [line for line in process.log if not line.startswith(("INFO", "WARNING"))] == []


@pytest.mark.parametrize("case", REFUSED)
def test_bad_request_gets_the_right_refusal(server, case):
    data, expected, header = REFUSED[case]
    epoch = talk(server.url, plain("/healthz")).partition(b'"cursor": "')[2][:8]
    answer = talk(server.url, data.replace(b"EPOCH", epoch), until=b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 "), "refused without a word"
    assert status(answer) in (expected if isinstance(expected, tuple) else (expected,))
    assert header in answer.decode().split("\r\n")


@pytest.mark.parametrize("case", ACCEPTED)
def test_unusual_but_right_request_is_served(server, case):
    data, expected = ACCEPTED[case]
    answer = talk(server.url, data, until=b"\r\n\r\n")
    assert status(answer) == expected
    assert b"sec-websocket-protocol" not in answer.lower()
    assert b"sec-websocket-extensions" not in answer.lower()


# What `websockets` takes although RFC 6455 §5.2 forbids it: a length that a shorter form could have held. It harms nobody.
LENIENT = {("websocket", "length 5 in two bytes"), ("websocket", "length 126 in eight bytes")}


async def test_every_case_of_ours_gets_the_right_answer(server):
    found = await conformance.judge(server.url)
    assert len(found) > 70
    wrong = {(server.name, case.name) for case, got in found if not case.allows(got)}
    assert wrong == {lenient for lenient in LENIENT if lenient[0] == server.name}


@pytest.mark.parametrize("seed", range(10))
def test_random_bytes_are_survived(server, seed):
    rng = random.Random(seed)
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
        connection.sendall(rng.choice([b"", b"GET / HTTP/1.1\r\n", ask("/echo"), ask("/echo")]) + rng.randbytes(2000))
        connection.shutdown(socket.SHUT_WR)
        try:
            while connection.recv(65536):
                pass
        except ConnectionError:
            pass


@pytest.mark.parametrize("target", ["/events", "/echo"])
def test_clients_that_reset_their_connection_while_much_is_said_leave_no_traceback(server, target):
    where, many = urlsplit(server.url), frame(0x81, b"x" * 5000)
    clients = [socket.create_connection((where.hostname, where.port), timeout=20) for _ in range(20)]
    for n, client in enumerate(clients):
        client.sendall(ask(target) + many * 50)
        if n % 2:
            client.recv(1000)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()  # sends a reset, and no end


def test_close_frame_reaches_a_client_that_goes_on_talking(server):
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
        connection.sendall(ask("/echo"))
        while not connection.recv(1000).endswith(b"\r\n\r\n"):
            pass
        connection.sendall(b"\x81\x01x" + bytes(100_000))  # without a mask
        for _ in range(20):
            connection.sendall(bytes(50_000))  # a reset would fail here, and may destroy what has not been read
            time.sleep(0.01)
        connection.shutdown(socket.SHUT_WR)
        said = b""
        while part := connection.recv(65536):
            said += part
    assert (said[:1], said[2:4]) == (b"\x88", b"\x03\xea")  # 1002
