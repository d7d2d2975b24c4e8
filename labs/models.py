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


def poll_request(host: str, cursor: str | None = None, more: dict[str, str] | None = None) -> dict[str, int]:
    """The bytes of one poll by part: `host` as host:port, `cursor` as the reader sends it, `more` headers than Host."""
    target = "/events" if cursor is None else f"/events?after={cursor}"
    line, headers = head_parts(f"GET {target} HTTP/1.1", {"Host": host, **(more or {})})
    return {"request line": line, "request headers": headers, "framing": 0, "payload": 0}


def poll_response(events: list[str], etag: str | None = None) -> dict[str, int]:
    """The bytes of one answer by part: `events` as JSON texts; `etag` only where the whole feed was asked for."""
    payload = sum(len(event.encode()) for event in events)
    framing = max(2, len(events) + 1)  # the brackets, and a comma between two events
    headers = {"Cache-Control": "no-cache", "ETag": etag} if etag else {"Cache-Control": "no-store"}
    headers |= {"Content-Type": "application/json; charset=utf-8", "Content-Length": str(payload + framing)}
    line, size = head_parts("HTTP/1.1 200 OK", headers | {"Date": "Thu, 01 Jan 1970 00:00:00 GMT"})
    return {"status line": line, "response headers": size, "framing": framing, "payload": payload}


def bytes_per_event(exchange: float, event: float, polls_per_event: float) -> float:
    """Wire bytes for each delivered event: `exchange` for a poll with an empty answer, `event` for what one event adds."""
    return exchange * polls_per_event + event
