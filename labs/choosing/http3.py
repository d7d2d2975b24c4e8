"""WebTransport under loss: the same messages down one stream, down a stream each, and as datagrams, over real QUIC.

    found = {way: under_loss(way, loss=0.05, seed=1) for way in WAYS}
    found["one stream"].late, found["datagrams"].lost       # shares of all messages
    late("one stream", loss=0.05), lost("datagrams", loss=0.05)   # the model's

Design notes
  * A WebTransport session is an HTTP/3 request that stays open (RFC 9220, draft-ietf-webtrans-http3): its streams are QUIC's, its
    datagrams are DATAGRAM frames (RFC 9221). `aioquic` is both ends of it, on a simulated network (`labs.choosing.quic_path`).
  * The session opens without loss: how a handshake fares is another question. Afterwards both directions lose.
  * Late is what takes longer than a round trip, twice as long as usual. What has not arrived at all in the end is lost.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DatagramReceived, HeadersReceived, WebTransportStreamDataReceived

from labs.choosing.quic_path import Path
from labs.link import DOWN, UP
from labs.models.loss import THREE, late_in_any_order, late_in_order

WAYS = ("one stream", "a stream each", "datagrams")
SIZE = 100  # bytes of a message
OPEN_S, REST_S = 1.0, 5.0  # until the session is open, and how long to wait for the last messages
SESSION = [(b":method", b"CONNECT"), (b":protocol", b"webtransport"), (b":scheme", b"https"), (b":path", b"/events")]
SESSION += [(b":authority", b"localhost"), (b"origin", b"https://localhost")]


@dataclass(frozen=True)
class Delivery:
    """What became of the messages. `delays_ms` in the order they were sent; infinite where one never arrived."""

    way: str
    delays_ms: tuple[float, ...]
    rtt_ms: float

    @property
    def lost(self) -> float:
        """The share of messages that never arrived."""
        return sum(map(math.isinf, self.delays_ms)) / len(self.delays_ms)

    @property
    def late(self) -> float:
        """The share of messages that arrived, but late."""
        return sum(self.rtt_ms < delay < math.inf for delay in self.delays_ms) / len(self.delays_ms)


def under_loss(
    way: str, *, loss: float, messages: int = 300, rate: float = 100, rtt_ms: float = 50, seed: int = 0
) -> Delivery:
    """Send messages at `rate` a second from the server to the client of one WebTransport session."""
    path = Path(rtt_ms=rtt_ms, seed=seed)
    session = Session(path)
    path.run(OPEN_S)
    path.loss, send = loss, session.sender(way)
    for number in range(messages):
        path.run(OPEN_S + number / rate)
        send(number.to_bytes(4) + bytes(SIZE - 4))
    path.run(path.now + REST_S)
    sent = [OPEN_S + number / rate for number in range(messages)]
    delays = tuple((session.arrived.get(number, math.inf) - at) * 1000 for number, at in enumerate(sent))
    return Delivery(way, delays, rtt_ms)


class Session:
    """Both ends of a WebTransport session, and when each message arrived (number: seconds)."""

    def __init__(self, path: Path):
        self.path, self.arrived = path, {}
        self.client, self.server = (H3Connection(end, enable_webtransport=True) for end in (path.client, path.server))
        self.number = path.client.get_next_available_stream_id()
        self.client.send_headers(self.number, SESSION)
        path.heard = {UP: self._asked, DOWN: self._heard}
        self._rest: dict[int, bytes] = {}  # by stream: the beginning of a message whose end has not come

    def sender(self, way: str) -> Callable[[bytes], None]:
        """A function that sends one message to the client."""
        if way == "datagrams":
            return lambda message: self.server.send_datagram(self.number, message)
        if way == "one stream":
            stream = self._new_stream()
            return lambda message: self.path.server.send_stream_data(stream, message)
        return lambda message: self.path.server.send_stream_data(self._new_stream(), message, end_stream=True)

    def _new_stream(self) -> int:
        return self.server.create_webtransport_stream(self.number, is_unidirectional=True)

    def _asked(self, event) -> None:
        for heard in self.server.handle_event(event):
            if isinstance(heard, HeadersReceived):
                self.server.send_headers(heard.stream_id, [(b":status", b"200")])

    def _heard(self, event) -> None:
        for heard in self.client.handle_event(event):
            if isinstance(heard, DatagramReceived | WebTransportStreamDataReceived):
                stream = heard.stream_id
                data = self._rest.get(stream, b"") + heard.data
                while len(data) >= SIZE:
                    self.arrived[int.from_bytes(data[:4])] = self.path.now
                    data = data[SIZE:]
                self._rest[stream] = data


def late(way: str, *, loss: float, rate: float = 100, rtt_ms: float = 50) -> float:
    """The share of messages that a model expects late.

    QUIC holds a datagram for lost when it is 9/8 of a round trip old and a later one has been acknowledged, or three later
    ones have (RFC 9002 §6.1). Down one stream everything waits for it; down a stream each, nothing else does.
    """
    if way == "one stream":
        later = math.ceil(rtt_ms / 8 * rate / 1000)  # the first datagram that is late enough to tell
        return late_in_order(loss, rtt_ms, rate, min(later, THREE))
    return late_in_any_order(loss) if way == "a stream each" else 0.0


def lost(way: str, *, loss: float) -> float:
    """The share of messages that never arrive."""
    return loss if way == "datagrams" else 0.0
