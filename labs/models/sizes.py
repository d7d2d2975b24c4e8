"""How many bytes each message should be, by part of the ledger.

An HTTP/1.1 message is a start line, header lines, an empty line, and a body (RFC 9112 §2.1), every line ending in CR LF;
what follows an upgrade are frames (RFC 6455 §5.2). The functions below build each message the way the RFC says and count;
nothing is copied from a capture.
"""

SOME_DATE = "Thu, 01 Jan 1970 00:00:00 GMT"  # every date is as long as every other


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


# Sockets: an HTTP request and its answer, and after them frames.


def upgrade_request(host: str, target: str = "/events", more: dict[str, str] | None = None) -> dict[str, int]:
    """The bytes of the request that opens a socket, by part (RFC 6455 §4.1); the key is 16 random bytes in base64."""
    headers = {"Host": host, "Upgrade": "websocket", "Connection": "Upgrade"}
    headers |= {"Sec-WebSocket-Key": "=" * 24, "Sec-WebSocket-Version": "13"}
    line, size = head_parts(f"GET {target} HTTP/1.1", headers | (more or {}))
    return {"request line": line, "request headers": size, "framing": 0, "payload": 0}


def upgrade_response(server: str = "raw_websocket") -> dict[str, int]:
    """The bytes of the answer that opens a socket, by part (RFC 6455 §4.2.2); the key's answer is 20 bytes in base64.

    The library behind the `websocket` server also says what time it is.
    """
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": "=" * 28}
    line, size = head_parts(
        "HTTP/1.1 101 Switching Protocols", headers | ({"Date": SOME_DATE} if server == "websocket" else {})
    )
    return {"status line": line, "response headers": size, "framing": 0, "payload": 0}


def frame(size: int, *, masked: bool = False) -> dict[str, int]:
    """The bytes of a frame with a payload of `size` bytes, by part; what a client sends is masked (RFC 6455 §5.2)."""
    length = 0 if size < 126 else 2 if size < 65536 else 8  # bytes beyond the seven bits in the second byte
    return {"framing": 2 + length + 4 * masked, "payload": size}


def publish_request(host: str, text: str) -> dict[str, int]:
    """The bytes of a POST that publishes `text`, by part."""
    payload = len(text.encode())
    headers = {"Host": host, "Content-Length": str(payload), "Content-Type": "application/octet-stream"}
    line, size = head_parts("POST /events HTTP/1.1", headers)
    return {"request line": line, "request headers": size, "framing": 0, "payload": payload}


def publish_response(event: str) -> dict[str, int]:
    """The bytes of the answer to it, by part: `event` as JSON text."""
    payload = len(event.encode())
    headers = {"Content-Type": "application/json; charset=utf-8", "Content-Length": str(payload), "Date": SOME_DATE}
    line, size = head_parts("HTTP/1.1 201 Created", headers)
    return {"status line": line, "response headers": size, "framing": 0, "payload": payload}
