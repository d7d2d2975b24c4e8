"""The text/event-stream format: an encoder, and a parser that takes the bytes in whatever pieces they come. No I/O.

    encode("two\\nlines", id="7")      b"id: 7\\ndata: two\\ndata: lines\\n\\n"
    Parser().feed(b"data: hi\\n\\n")    [SseEvent(type="message", data="hi", last_event_id="")]

Design notes (WHATWG HTML §9.2.5 and §9.2.6)
  * A stream is lines; an empty line ends an event. A line ends at CR, LF or CRLF, and at nothing else: `str.splitlines`,
    which also splits at U+2028 and six others, would tear the data of an innocent event apart.
  * The parser acts at CR, without waiting to see whether LF follows, or an event could be late until the next one.
  * An event is delivered when its empty line has come. What a broken stream leaves behind is not an event, and its id
    is not remembered, so a reader that resumes is sent it again.
"""

import codecs
import re
from dataclasses import dataclass

LINE_END = re.compile(r"\r\n|\r|\n")
NOT_IN_ID = re.compile(r"[\r\n\0]")
DIGITS = re.compile(r"0*([0-9]{1,15})")  # 30,000 years; whoever asks for more is not taken at their word
EVENT_LIMIT = 1024 * 1024  # characters


class TooLong(ValueError):
    """One event, or one line, is longer than this parser accepts. The rest of the stream cannot be read any more."""


@dataclass(frozen=True, slots=True)
class SseEvent:
    """What a browser's EventSource would dispatch: `event.type`, `event.data`, `event.lastEventId`."""

    type: str
    data: str
    last_event_id: str


def encode(data: str, *, id: str | None = None, event: str | None = None, retry: int | None = None) -> bytes:
    """One event; line breaks in `data` become further data lines. `retry` is in milliseconds.

    A line break in `id` or `event` would let its author write fields and whole events of their own; it, and NUL in `id`,
    which parsers ignore, raise `ValueError`.
    """
    if (event is not None and LINE_END.search(event)) or (id is not None and NOT_IN_ID.search(id)):
        raise ValueError("an SSE id or event type cannot contain line breaks, nor an id NUL")
    lines = [] if retry is None else [reconnection_time(retry).decode()]
    lines += [f"{name}: {value}\n" for name, value in (("event", event), ("id", id)) if value is not None]
    lines += [f"data: {line}\n" for line in LINE_END.split(data)]
    return ("".join(lines) + "\n").encode()


def reconnection_time(ms: int) -> bytes:
    """A line that takes effect without an event, so it ends without an empty line: some readers take one for an event."""
    if ms < 0:
        raise ValueError("a reconnection time is not negative")
    return f"retry: {ms}\n".encode()


def comment(text: str = "") -> bytes:
    """Lines that every reader skips. Sent now and then, they keep a silent connection visibly alive."""
    return "".join(f":{line}\n" for line in LINE_END.split(text)).encode()


class Parser:
    """Turns the bytes of one stream into events. Start a new one, with the last event id, for every connection."""

    def __init__(self, *, last_event_id: str = "", limit: int = EVENT_LIMIT):
        self.last_event_id = last_event_id  # as of the last empty line: what to send as Last-Event-ID
        self.retry_ms: int | None = None  # how long the server wants readers to wait before they reconnect
        self.limit = limit
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._at_start, self._after_cr = True, False
        self._line: list[str] = []  # the pieces of a line that has not ended
        self._data: list[str] = []  # the data lines of an event that has not ended
        self._type, self._id = "", last_event_id
        self._line_size = self._data_size = 0

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """The events that end in this chunk, any piece of the stream. Raises `TooLong`."""
        *ends, rest = LINE_END.split(self._decode(chunk))
        events = []
        for end in ends:
            self._hold(end)
            line = "".join(self._line)
            self._line, self._line_size = [], 0
            if line:
                self._take_field(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        self._hold(rest)
        return events

    def _decode(self, chunk: bytes) -> str:
        """The chunk's text without a byte order mark at the stream's start, and without the LF of a CRLF cut in two."""
        text = self._decoder.decode(chunk)
        if not text:
            return ""
        if self._at_start:
            text, self._at_start = text.removeprefix("\ufeff"), False
        elif self._after_cr:
            text = text.removeprefix("\n")
        self._after_cr = text.endswith("\r")
        return text

    def _hold(self, piece: str):
        if piece:
            self._line_size += len(piece)
            if self._line_size + self._data_size > self.limit:
                raise TooLong(f"an event of more than {self.limit} characters")
            self._line.append(piece)

    def _take_field(self, line: str):
        name, _, value = line.partition(":")  # a comment is a line whose field has no name
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._data_size += len(value) + 1
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and (digits := DIGITS.fullmatch(value)):
            self.retry_ms = int(digits[1])

    def _dispatch(self) -> SseEvent | None:
        self.last_event_id = self._id
        event = SseEvent(self._type or "message", "\n".join(self._data), self._id) if self._data else None
        self._data, self._type, self._data_size = [], "", 0
        return event
