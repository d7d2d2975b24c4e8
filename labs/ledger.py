"""The byte ledger: what every byte that crossed the link was for. The parts add up to the count exactly.

A *start line* is a request line or a status line (RFC 9112 §3 and §4). *Payload* is the events themselves; *framing* is
what the transport adds inside the body to keep them apart: the brackets and commas of a JSON array, the sizes of chunks.

After a 101 a connection carries frames (RFC 6455 §5.2), each of them a message here. A frame's head and its key are framing,
what it carries is payload, and a control frame is framing altogether.

What has begun but not ended, such as a response that never ends, is in the ledger with the bytes that have come so far.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate

from labs.frames import mask

PARTS = ("request line", "request headers", "status line", "response headers", "framing", "payload")
START_LINE = re.compile(rb"[A-Z]{1,16}( |$)|HTTP/")  # how a message begins, however little of it there is
CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(;.*)?")  # RFC 9112 §7.1
LENGTH = re.compile(r"[0-9]{1,15}")
FRAMES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}


@dataclass(slots=True)
class Message:
    """One request, response or frame as captured. Times in monotonic nanoseconds; `arrived` is None if its end never did."""

    connection: int
    direction: str
    start_line: str
    headers: dict[str, str]
    body: bytes  # without transfer coding
    parts: dict[str, int]  # bytes by part; the values sum to `size`
    sent: int
    arrived: int | None
    raw_head: bytes = field(repr=False, default=b"")
    raw_body: bytes = field(repr=False, default=b"")  # with transfer coding
    finished: bool = True  # False: more may follow, for all that has crossed the link so far
    frame: str = (
        ""  # what a frame is: text, ping, close 1000 …; with … at its end if its message goes on in the next one
    )

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return sum(self.parts.values())

    @property
    def events(self) -> list[dict]:
        """The events that the body carries, as JSON objects."""
        return events_in(b"[%s]" % self.body if self.frame == "text" else self.body, self.headers)

    @property
    def text(self) -> str:
        """The message as it was on the wire, as text."""
        return (self.raw_head + self.raw_body).decode("utf-8", "replace")


def is_stream(headers: dict[str, str]) -> bool:
    """Whether a body is server-sent events."""
    return headers.get("content-type", "").startswith("text/event-stream")


def data_lines(body: bytes) -> list[bytes]:
    """The JSON texts in the data lines of an event stream that have all come."""
    lines = body.split(b"\n")[:-1]
    return [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: {")]


def events_in(body: bytes, headers: dict[str, str] | None = None) -> list[dict]:
    """The events in a JSON array, or in the data lines of an event stream; none if the body is something else."""
    if is_stream(headers or {}):
        return [json.loads(line) for line in data_lines(body)]
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return []
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def framing_in(headers: dict[str, str], body: bytes) -> int:
    """How many bytes of a body only keep the events apart, or only the connection alive."""
    if is_stream(headers):
        return len(body) - sum(map(len, data_lines(body)))
    if body == b"[]":
        return 2
    count = len(events_in(body))
    return count + 1 if count else 0  # the brackets, and a comma between two events


def parse_head(head: bytes) -> tuple[str, dict[str, str]]:
    """The start line, and the header fields by lower-case name, of a head without its last empty line."""
    start_line, *lines = head.decode("latin-1").split("\r\n")
    return start_line, {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def parse_body(start_line: str, headers: dict[str, str], data: bytes, at: int = 0, *, to_head: bool = False):
    """The body that begins at `data[at]`, without its transfer coding, and where it ends; None while it is unfinished.

    The rules of RFC 9112 §6.3. `to_head` says that this answers a HEAD request.
    """
    is_response = start_line.startswith("HTTP/")
    if to_head or (is_response and re.match(r"\S+ (1..|204|304)", start_line)):
        return b"", at
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return parse_chunks(data, at)
    announced = headers.get("content-length", "" if is_response else "0")  # a response without ends with its connection
    if not LENGTH.fullmatch(announced) or len(data) < (end := at + int(announced)):
        return data[at:], None
    return data[at:end], end


def parse_chunks(data: bytes, at: int = 0) -> tuple[bytes, int | None]:
    """The body that the chunks from `data[at]` on carry, and where the last one ends; None if it has not come."""
    body = bytearray()
    while (line := data.find(b"\r\n", at)) >= 0 and (match := CHUNK_SIZE.fullmatch(data, at, line)):
        if (size := int(match[1], 16)) == 0:
            end = data.find(b"\r\n\r\n", line) + 4  # there may be trailers before the empty line
            return bytes(body), end if end >= 4 else None
        body += data[line + 2 : line + 2 + size]
        at = line + 2 + size + 2
    return bytes(body), None


def is_whole_response(data: bytes) -> bool:
    """Whether `data` is a response that has all arrived."""
    head, found, rest = data.partition(b"\r\n\r\n")
    return bool(found) and parse_body(*parse_head(head), rest)[1] is not None


def messages(chunks: Iterable) -> list[Message]:
    """The messages in a trace, finished or not, in the order their last byte was sent. They hold every byte of it."""
    connections: dict[int, dict[str, list]] = {}
    for chunk in chunks:
        connections.setdefault(chunk.connection, {"up": [], "down": []})[chunk.direction].append(chunk)
    found = []
    for ways in connections.values():
        requests = list(_in_stream(ways["up"]))
        responses = list(
            _in_stream(ways["down"], methods=(r.start_line.split(" ")[0] for r in requests), switches=is_101)
        )
        if any(map(is_101, responses)):
            requests = list(_in_stream(ways["up"], switches=asks_to_switch))
        found += [*requests, *responses]
    return sorted(found, key=lambda message: message.sent)


def is_101(message: Message) -> bool:
    """Whether frames follow this answer."""
    return message.start_line.startswith("HTTP/1.1 101")


def asks_to_switch(message: Message) -> bool:
    """Whether this request is the one that a 101 answers."""
    return message.headers.get("upgrade", "").lower() == "websocket"


def _in_stream(chunks: list, *, methods: Iterable[str] = (), switches=lambda message: False) -> Iterator[Message]:
    """The messages that one side of a connection sent; responses answer requests with these `methods`, one by one.

    After the message that `switches` come frames.
    """
    data, methods = b"".join(chunk.data for chunk in chunks), iter(methods)
    ends, at, framed = list(accumulate(chunk.size for chunk in chunks)), 0, False
    while at < len(data):
        fields, stop = (_frame if framed else partial(_http, methods=methods))(data, at)
        last = chunks[bisect_left(ends, stop)]
        yield (message := Message(last.connection, last.direction, sent=last.sent, arrived=last.arrived, **fields))
        at, framed = stop, framed or switches(message)


def _http(data: bytes, at: int, methods: Iterator[str]) -> tuple[dict, int]:
    """What `Message` holds of the request or the response at `data[at]`, and where it ends so far."""
    head, body, end = _read(data, at, methods)
    stop = len(data) if end is None else end
    raw_body = data[at + len(head) : stop]
    start_line, headers = parse_head(head.removesuffix(b"\r\n\r\n"))
    parts = split(head, raw_body, len(raw_body) - len(body) + framing_in(headers, body))
    named = {"start_line": start_line, "headers": headers, "body": body, "parts": parts, "finished": end is not None}
    return named | {"raw_head": head, "raw_body": raw_body}, stop


def _frame(data: bytes, at: int) -> tuple[dict, int]:
    """What `Message` holds of the frame at `data[at]`, and where it ends so far. Takes any frame, however wrong."""
    size, width = data[at + 1 : at + 2] or b"\0", 0
    if (short := size[0] & 127) > 125:
        width = 2 if short == 126 else 8
    key = at + 2 + width
    begin = key + 4 * (size[0] >> 7)
    end = begin + (int.from_bytes(data[at + 2 : key], "big") if width else short)
    raw_head, raw_body = data[at:begin], data[begin:end]
    body = mask(raw_body, data[key:begin]) if begin - key == 4 and raw_body else raw_body
    framing = len(raw_head) + len(raw_body) * (data[at] & 8) // 8  # a control frame has no payload of the application
    parts = {"framing": framing, "payload": len(raw_head) + len(raw_body) - framing}
    named = {"start_line": "", "headers": {}, "body": body, "parts": parts, "finished": end <= len(data)}
    named["frame"] = label(data[at], body)
    return named | {"raw_head": raw_head, "raw_body": raw_body}, min(end, len(data))


def label(first: int, body: bytes) -> str:
    """What a frame with this first byte and this payload is."""
    name = FRAMES.get(first & 15, f"opcode {first & 15}")
    if name == "close" and len(body) >= 2:
        name = f"close {int.from_bytes(body[:2], 'big')}"
    return name + ", compressed" * (first >> 6 & 1) + " …" * (first < 128)


def _read(data: bytes, at: int, methods: Iterator[str]) -> tuple[bytes, bytes, int | None]:
    """The head and the body of the message at `data[at]`, and where it ends; None while it is unfinished."""
    if not START_LINE.match(data, at):  # the middle of something, or not HTTP
        return b"", data[at:], None
    body_at = data.find(b"\r\n\r\n", at) + 4
    if body_at < 4:
        return data[at:], b"", None
    start_line, headers = parse_head(data[at : body_at - 4])
    is_answer = start_line.startswith("HTTP/") and not start_line.partition(" ")[2].startswith("1")
    to_head = is_answer and next(methods, "") == "HEAD"
    return data[at:body_at], *parse_body(start_line, headers, data, body_at, to_head=to_head)


def split(head: bytes, raw_body: bytes, framing: int = 0) -> dict[str, int]:
    """The bytes of one message by part; `framing` of the body's bytes are not payload."""
    line = head.find(b"\r\n") + 2 if b"\r\n" in head else len(head)
    is_response = b"HTTP/".startswith(head[:5])
    kind = ("status line", "response headers") if is_response else ("request line", "request headers")
    return {kind[0]: line, kind[1]: len(head) - line, "framing": framing, "payload": len(raw_body) - framing}


def total(found: Iterable[Message]) -> dict[str, int]:
    """The bytes of many messages by part."""
    sums = dict.fromkeys(PARTS, 0)
    for message in found:
        for part, size in message.parts.items():
            sums[part] += size
    return sums
