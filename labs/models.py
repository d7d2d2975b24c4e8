"""The formulas: what each measurement should be, before anything is measured. Times in milliseconds, sizes in bytes."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Uniform:
    """A delay that is equally likely to be anything from `low` to `high` milliseconds."""

    low: float
    high: float
    name: str = "model"

    @property
    def mean(self) -> float:
        """The average delay."""
        return (self.low + self.high) / 2

    def cdf(self, delay_ms: float) -> float:
        """The share of messages that take at most `delay_ms`."""
        return min(1.0, max(0.0, (delay_ms - self.low) / (self.high - self.low)))

    def quantile(self, share: float) -> float:
        """The delay that `share` of the messages do not exceed."""
        return self.low + share * (self.high - self.low)


def polling_interval(every_ms: float, rtt_ms: float = 0.0) -> float:
    """The interval that is really kept: requests must not overlap, so a round trip longer than a tick costs whole ticks."""
    return every_ms * max(1, math.ceil(rtt_ms / every_ms))


def polling(every_ms: float, rtt_ms: float = 0.0) -> Uniform:
    """Polling's delay from publication to arrival: a wait of up to one interval for the next question, then one trip back."""
    one_way = rtt_ms / 2
    return Uniform(one_way, one_way + polling_interval(every_ms, rtt_ms), "model: uniform over one interval")


def polling_requests_per_s(every_ms: float, rtt_ms: float = 0.0) -> float:
    """What polling costs, whether or not anything happens: requests per second."""
    return 1000 / polling_interval(every_ms, rtt_ms)


@dataclass(frozen=True, slots=True)
class Parked:
    """Long polling: one way for most, and up to a round trip more for the share that falls between two requests."""

    one_way: float
    gap: float  # milliseconds from one answer leaving the server to the next request reaching it
    share: float  # of the messages that are published in a gap
    name: str = "model: one way, or in the gap up to a round trip more"

    @property
    def low(self) -> float:
        """The shortest delay."""
        return self.one_way

    @property
    def high(self) -> float:
        """The longest delay."""
        return self.one_way + self.gap

    @property
    def mean(self) -> float:
        """The average delay."""
        return self.one_way + self.share * self.gap / 2

    def cdf(self, delay_ms: float) -> float:
        """The share of messages that take at most `delay_ms`."""
        if delay_ms < self.one_way:
            return 0.0
        late = min(1.0, (delay_ms - self.one_way) / self.gap) if self.gap else 1.0
        return 1 - self.share + self.share * late

    def quantile(self, share: float) -> float:
        """The delay that `share` of the messages do not exceed."""
        return self.one_way + self.gap * max(0.0, share - 1 + self.share) / self.share if self.share else self.one_way


def gap_share(per_second: float, rtt_ms: float) -> float:
    """The share of messages that find no request parked, when messages come at random moments (a Poisson process).

    Every answer opens a gap of one round trip. In it r = rate × RTT messages come on average, and they all wait. With
    probability exp(-r) none comes; then the next message finds the request parked, and its answer opens the next gap. So
    for each gap r messages wait and exp(-r) do not.
    """
    r = per_second * rtt_ms / 1000
    return r / (r + math.exp(-r))


def long_polling(rtt_ms: float, per_second: float) -> Parked:
    """Long polling's delay from publication to arrival, for messages at random moments."""
    return Parked(rtt_ms / 2, rtt_ms, gap_share(per_second, rtt_ms))


def pushed(rtt_ms: float) -> Parked:
    """The delay of everything that is pushed down an open connection: one way, always."""
    return Parked(rtt_ms / 2, 0.0, 0.0, "model: one way")


@dataclass(frozen=True, slots=True)
class Stall:
    """A server that pauses once for `pause_ms`, asked `per_s` times a second for `total_ms`: what each way to measure sees."""

    pause_ms: float
    total_ms: float
    per_s: float

    @property
    def open_mean(self) -> float:
        """Requests fall due during the pause too, and wait on average half of it."""
        return self.pause_ms**2 / (2 * self.total_ms)

    @property
    def closed_mean(self) -> float:
        """One request waits out the whole pause; the loop sends no others until it is back."""
        sent = (self.total_ms - self.pause_ms) * self.per_s / 1000
        return self.pause_ms / sent

    def open_quantile(self, share: float) -> float:
        """Of all requests, the share pause/total waits, evenly, up to the whole pause."""
        return max(0.0, self.pause_ms - (1 - share) * self.total_ms)


SOME_DATE = "Thu, 01 Jan 1970 00:00:00 GMT"  # every date is as long as every other

# Bytes. An HTTP/1.1 message is a start line, header lines, an empty line, and a body (RFC 9112 §2.1), every line ending
# in CR LF. The functions below build each message the way the RFC says and count; nothing is copied from a capture.


def head_parts(start_line: str, headers: dict[str, str]) -> tuple[int, int]:
    """Bytes of a start line, and of the header lines with the empty line that ends them."""
    lines = [f"{name}: {value}" for name, value in headers.items()] + [""]
    return len(start_line) + 2, sum(len(line) + 2 for line in lines)


CHROMIUM_HEADERS = {  # what Chromium 156 sent with each poll of the live page, besides Host; recorded, in its order
    "Connection": "keep-alive",
    "Pragma": "no-cache",
    "Cache-Control": "no-cache",
    "sec-ch-ua-platform": '"Linux"',
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
    "sec-ch-ua": '"Not:A-Brand";v="8", "Chromium";v="156"',
    "sec-ch-ua-mobile": "?0",
    "Accept": "*/*",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Dest": "empty",
    "Referer": "http://127.0.0.1:40469/",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9",
}


def get(host: str, query: str = "", more: dict[str, str] | None = None) -> dict[str, int]:
    """The bytes of a GET of the events by part: `host` as host:port, `query` from the question mark on, `more` headers."""
    line, headers = head_parts(f"GET /events{query} HTTP/1.1", {"Host": host, **(more or {})})
    return {"request line": line, "request headers": headers, "framing": 0, "payload": 0}


def poll_request(host: str, cursor: str | None = None, more: dict[str, str] | None = None) -> dict[str, int]:
    """The bytes of one poll by part."""
    return get(host, "" if cursor is None else f"?after={cursor}", more)


def long_poll_request(host: str, cursor: str, wait_s: float = 25) -> dict[str, int]:
    """The bytes of one long poll by part."""
    return get(host, f"?after={cursor}&wait={wait_s:g}")


def poll_response(events: list[str], etag: str | None = None) -> dict[str, int]:
    """The bytes of one answer by part: `events` as JSON texts; `etag` only where the whole feed was asked for."""
    payload = sum(len(event.encode()) for event in events)
    framing = max(2, len(events) + 1)  # the brackets, and a comma between two events
    headers = {"Cache-Control": "no-cache", "ETag": etag} if etag else {"Cache-Control": "no-store"}
    headers |= {"Content-Type": "application/json; charset=utf-8", "Content-Length": str(payload + framing)}
    line, size = head_parts("HTTP/1.1 200 OK", headers | {"Date": SOME_DATE})
    return {"status line": line, "response headers": size, "framing": framing, "payload": payload}


def sse_request(host: str, cursor: str) -> dict[str, int]:
    """The bytes of the one request that opens an event stream, by part."""
    return get(host, more={"Accept": "text/event-stream", "Last-Event-ID": cursor})


def sse_event(event: str, cursor: str) -> dict[str, int]:
    """The bytes of one event in a stream by part: an id line, a data line, an empty line, in one chunk (RFC 9112 §7.1)."""
    payload = len(event.encode())
    text = len(f"id: {cursor}\ndata: ") + payload + len("\n\n")
    return {"framing": chunk(text) - payload, "payload": payload}


def chunk(size: int) -> int:
    """The bytes of a chunk that carries `size` bytes: the size in hexadecimal, CR LF, the bytes, CR LF."""
    return len(f"{size:x}") + 2 + size + 2


def sse_response(events: list[tuple[str, str]], comments: int = 0, retry_ms: int = 1000) -> dict[str, int]:
    """The bytes of an event stream so far, by part: events as (JSON text, cursor), and how many heartbeats."""
    headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    line, size = head_parts("HTTP/1.1 200 OK", headers | {"Transfer-Encoding": "chunked", "Date": SOME_DATE})
    parts = [sse_event(*event) for event in events]
    framing = chunk(len(f"retry: {retry_ms}\n")) + comments * chunk(len(":\n")) + sum(part["framing"] for part in parts)
    payload = sum(part["payload"] for part in parts)
    return {"status line": line, "response headers": size, "framing": framing, "payload": payload}


def bytes_per_event(exchange: float, event: float, polls_per_event: float) -> float:
    """Wire bytes for each delivered event: `exchange` for a poll with an empty answer, `event` for what one event adds."""
    return exchange * polls_per_event + event
