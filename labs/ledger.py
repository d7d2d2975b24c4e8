"""The byte ledger: what every byte that crossed the link was for. The parts add up to the count exactly.

A *start line* is a request line or a status line (RFC 9112 §3 and §4). *Payload* is the events themselves; *framing* is
what the transport adds inside the body to keep them apart, such as the brackets and commas of a JSON array.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

PARTS = ("request line", "request headers", "status line", "response headers", "framing", "payload")


@dataclass(slots=True)
class Message:
    """One request or response as captured. Times in monotonic nanoseconds; `arrived` is None if its end never did."""

    connection: int
    direction: str
    start_line: str
    headers: dict[str, str]
    body: bytes
    parts: dict[str, int]  # bytes by part; the values sum to `size`
    sent: int
    arrived: int | None
    raw_head: bytes = field(repr=False, default=b"")

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return sum(self.parts.values())

    @property
    def events(self) -> list[dict]:
        """The events that the body carries, as JSON objects."""
        return events_in(self.body)

    @property
    def text(self) -> str:
        """The message as it was on the wire, as text."""
        return (self.raw_head + self.body).decode("utf-8", "replace")


def events_in(body: bytes) -> list[dict]:
    """The events in a JSON array; none if the body is something else."""
    try:
        value = json.loads(body)
    except ValueError:
        return []
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def body_length(start_line: str, headers: dict[str, str]) -> int:
    """How many bytes of body follow a head (RFC 9112 §6.3, without transfer codings)."""
    status = start_line.split(" ")[1] if start_line.startswith("HTTP/") else ""
    if status in ("204", "304"):
        return 0
    return int(headers.get("content-length", 0))


def parse_head(head: bytes) -> tuple[str, dict[str, str]]:
    """The start line, and the header fields by lower-case name, of a head without its last empty line."""
    start_line, *lines = head.decode("latin-1").split("\r\n")
    return start_line, {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def is_whole_response(data: bytes) -> bool:
    """Whether `data` is a response whose announced length has all arrived."""
    head, found, body = data.partition(b"\r\n\r\n")
    start_line, headers = parse_head(head)
    return bool(found) and "content-length" in headers and len(body) >= body_length(start_line, headers)


def messages(chunks: Iterable) -> list[Message]:
    """The HTTP messages in a trace, in the order their last byte was sent. Bytes of an unfinished message are left out."""
    streams: dict[tuple, list] = {}
    for chunk in chunks:
        streams.setdefault((chunk.connection, chunk.direction), []).append(chunk)
    found = [message for (number, way), parts in streams.items() for message in _in_stream(number, way, parts)]
    return sorted(found, key=lambda message: message.sent)


def _in_stream(connection: int, direction: str, chunks: list) -> Iterator[Message]:
    data = bytearray()
    for chunk in chunks:
        data += chunk.data
        while (end := data.find(b"\r\n\r\n") + 4) >= 4:
            start_line, headers = parse_head(bytes(data[: end - 4]))
            whole = end + body_length(start_line, headers)
            if len(data) < whole:
                break
            head, body = bytes(data[:end]), bytes(data[end:whole])
            parts = split(head, body)
            yield Message(connection, direction, start_line, headers, body, parts, chunk.sent, chunk.arrived, head)
            del data[:whole]


def split(head: bytes, body: bytes) -> dict[str, int]:
    """The bytes of one message by part."""
    line = head.find(b"\r\n") + 2
    kind = ("status line", "response headers") if head.startswith(b"HTTP/") else ("request line", "request headers")
    count = len(events_in(body))
    framing = count + 1 if count else len(body) if body == b"[]" else 0  # the brackets, and a comma between two events
    return {kind[0]: line, kind[1]: len(head) - line, "framing": framing, "payload": len(body) - framing}


def total(found: Iterable[Message]) -> dict[str, int]:
    """The bytes of many messages by part."""
    sums = dict.fromkeys(PARTS, 0)
    for message in found:
        for part, size in message.parts.items():
            sums[part] += size
    return sums
