"""The same questions for every transport: how late, how many requests, how many bytes around each event.

Names are the servers'. A model that does not exist here is None: it is measured instead. Times in milliseconds, sizes in bytes.
"""

import math

from labs.models.delays import long_polling, polling, polling_interval, pushed
from labs.models.sizes import frame, get, long_poll_request, poll_request, poll_response, sse_event

HOST, CURSOR = "127.0.0.1:40123", "0f1e2d3c-250"  # as long as those of a run


def delay(transport: str, per_second: float, rtt_ms: float, every_ms: float = 1000):
    """The distribution of delays, for events at random moments: `polling`, `long_polling` or `pushed`."""
    if transport == "http_polling":
        return polling(every_ms, rtt_ms)
    return long_polling(rtt_ms, per_second) if transport == "long_polling" else pushed(rtt_ms)


def requests_per_event(transport: str, per_second: float, rtt_ms: float, every_ms: float = 1000) -> float:
    """Requests for each event: polling's fixed rate; one for each answer of long polling, which takes along what came in the gap.

    A gap of one round trip is followed by an answer with the r = rate × RTT events that came in it, or, with probability
    exp(-r), by the one event that found the request parked (see `gap_share`).
    """
    if transport == "http_polling":
        return 1000 / polling_interval(every_ms, rtt_ms) / per_second
    if transport == "long_polling":
        r = per_second * rtt_ms / 1000
        return 1 / (r + math.exp(-r))
    return 0.0


def exchange(transport: str, *, event: str | None = None) -> int:
    """Bytes of one request and its answer, without the events in it, for the two that ask again and again."""
    asked = poll_request(HOST, CURSOR) if transport == "http_polling" else long_poll_request(HOST, CURSOR)
    return sum(asked.values()) + sum(poll_response([event] if event else []).values()) - len(event or "")


def overhead(transport: str, size: int, per_second: float, rtt_ms: float, every_ms: float = 1000) -> float | None:
    """Bytes on the wire for each event of `size` bytes besides the event itself; the opening of connections is not in it.

    None for WebRTC, whose bytes are counted.
    """
    event = "x" * size
    if transport in ("http_polling", "long_polling"):
        asked = requests_per_event(transport, per_second, rtt_ms, every_ms)
        return asked * (exchange(transport, event=event) - 1) + 1  # a comma for all events of an answer but one
    if transport == "sse":
        return float(sse_event(event, CURSOR)["framing"])
    if transport == "webrtc_feed":
        return None
    return float(wrapping(transport) + frame(size + wrapping(transport))["framing"])


def wrapping(transport: str) -> int:
    """What Socket.IO puts around an event inside a frame: Engine.IO's 4 (message), its own 2 (event), a name in an array."""
    return len('42["event",]') if transport == "socketio_feed" else 0


def upward(transport: str, size: int) -> float:
    """Bytes for one message of `size` bytes from client to server, besides itself: a frame's head, or a POST and a short answer."""
    if transport not in ("http_polling", "long_polling", "sse"):
        return float(frame(size, masked=True)["framing"])
    return float(sum(get(HOST).values()) + len("Content-Length: 100\r\n") + sum(poll_response([]).values()))
