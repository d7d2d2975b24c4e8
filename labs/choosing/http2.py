"""What HTTP/2 makes of the same poll: every byte of it, predicted from the RFCs and counted on a connection in memory.

    exchanges = idle_polls(100, CHROMIUM_HEADERS)   # what a browser and the server say in HTTP/1.1, byte by byte
    first, *_, last = over_http2(exchanges)         # the same exchanges in HTTP/2
    first.http1, first.http2, last.http2, last.predicted

Design notes
  * HTTP/2 sends the header fields of HTTP/1.1 in frames with a head of 9 bytes (RFC 9113 §4.1). Both ends keep a table of the
    fields that were sent, and a field that is in it costs one byte: its number there (RFC 7541 §6.1).
  * Both ends are the `h2` library's, and what one has to send is handed to the other. The prediction does not ask that
    library: it keeps its own table (`labs.choosing.header_table`).
  * Below HTTP/2 there is TLS in a browser, which costs HTTP/1.1 as much. It is not counted in either.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes

from labs.choosing.header_table import Fields, Table
from labs.frames import Opcode, encode
from labs.ledger import parse_head
from labs.models.sizes import frame, sse_event

FRAME_HEAD = 9  # bytes, RFC 9113 §4.1
NOT_IN_HTTP2 = ("connection", "host", "keep-alive", "transfer-encoding", "upgrade")  # RFC 9113 §8.2.2
HOST = "127.0.0.1:40469"

Exchange = tuple[bytes, bytes]  # a request and its response, as HTTP/1.1 has them


@dataclass(frozen=True)
class Poll:
    """The bytes of one poll, request and response together."""

    http1: int
    http2: int  # counted
    predicted: int  # of http2
    request: int  # what of http2 is the request


def idle_polls(count: int, more: dict[str, str] | None = None, *, cursor: str = "6b1f0c2d-17") -> Iterator[Exchange]:
    """Polls that find nothing, one a second, so that each answer has a date of its own. `more` are a browser's headers."""
    asks = {"Host": HOST, **(more or {})}
    says = {"Cache-Control": "no-store", "Content-Type": "application/json; charset=utf-8", "Content-Length": "2"}
    for second in range(count):
        date = format_datetime(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second), usegmt=True)
        request = _head(f"GET /events?after={cursor} HTTP/1.1", asks)
        yield request, _head("HTTP/1.1 200 OK", says | {"Date": date}) + b"[]"


def _head(start_line: str, headers: dict[str, str]) -> bytes:
    return "\r\n".join([start_line, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()


def fields(head: bytes) -> Fields:
    """The header fields that HTTP/2 sends for a head of HTTP/1.1: its start line is some of them (RFC 9113 §8.3)."""
    start_line, headers = parse_head(head.removesuffix(b"\r\n\r\n"))
    first, second, _ = start_line.split(" ", 2)
    if first.startswith("HTTP/"):
        begin = [(":status", second)]
    else:
        begin = [(":method", first), (":scheme", "https"), (":authority", headers["host"]), (":path", second)]
    return begin + [(name, value) for name, value in headers.items() if name not in NOT_IN_HTTP2]


def over_http2(exchanges: Iterable[Exchange]) -> list[Poll]:
    """The same exchanges one after the other on one HTTP/2 connection; responses need a body."""
    pair, up, down = Pair(), Table(), Table()
    found = []
    for request, response in exchanges:
        head, _, body = response.partition(b"\r\n\r\n")
        asks, says = fields(request), fields(head)
        sent, came = pair.exchange(asks, says, body)
        predicted = FRAME_HEAD + up.block(asks) + FRAME_HEAD + down.block(says) + FRAME_HEAD + len(body)
        found.append(Poll(len(request) + len(response), sent + came, predicted, sent))
    return found


class Pair:
    """A client and a server that speak HTTP/2, connected in memory. `opening` is what it took to begin, in bytes."""

    def __init__(self):
        self.client, self.server = (H2Connection(H2Configuration(client_side=side)) for side in (True, False))
        self.client.initiate_connection()
        self.server.local_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL] = 1  # RFC 8441 §3
        self.server.initiate_connection()
        self.opening = sum(self.carry()) + sum(self.carry())  # the second time, that the settings have come

    def carry(self) -> tuple[int, int]:
        """Hand each end what the other has to send. Returns the bytes up and down."""
        self.server.receive_data(up := self.client.data_to_send())
        self.client.receive_data(down := self.server.data_to_send())
        return len(up), len(down)

    def exchange(self, asks: Fields, says: Fields, body: bytes) -> tuple[int, int]:
        """One request without a body and its response: the bytes up and down."""
        stream = self.client.get_next_available_stream_id()
        self.client.send_headers(stream, asks, end_stream=True)
        up = self.carry()[0]
        self.server.send_headers(stream, says)
        self.server.send_data(stream, body, end_stream=True)
        return up, self.carry()[1]

    def open(self, asks: Fields, says: Fields) -> int:
        """Begin an exchange whose response does not end: an event stream, or a socket (RFC 8441 §4). Returns its number."""
        stream = self.client.get_next_available_stream_id()
        self.client.send_headers(stream, asks, end_stream=asks[0] == (":method", "GET"))
        self.carry()
        self.server.send_headers(stream, says)
        self.carry()
        return stream

    def send(self, stream: int, data: bytes) -> int:
        """Send something more down an open stream. Returns the bytes it took."""
        self.server.send_data(stream, data)
        return self.carry()[1]


def event_bytes(event: str, cursor: str) -> dict[str, tuple[int, int]]:
    """The bytes of one event on an open connection, by what carries it, as (predicted, counted)."""
    text, message = f"id: {cursor}\ndata: {event}\n\n".encode(), encode(Opcode.TEXT, event.encode())
    chunked, framed = (sum(parts.values()) for parts in (sse_event(event, cursor), frame(len(event.encode()))))
    pair = Pair()
    stream = pair.open(fields(_head("GET /events HTTP/1.1", {"Host": HOST})), [(":status", "200")])
    connect = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", HOST)]
    socket = pair.open([*connect, (":path", "/events"), ("sec-websocket-version", "13")], [(":status", "200")])
    return {
        "SSE": (chunked, len(b"%x\r\n%b\r\n" % (len(text), text))),
        "SSE over HTTP/2": (FRAME_HEAD + len(text), pair.send(stream, text)),
        "WebSocket": (framed, len(message)),
        "WebSocket over HTTP/2": (FRAME_HEAD + framed, pair.send(socket, message)),
    }
