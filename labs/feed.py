"""The one thing that every server of this course serves: a feed of numbered events that readers follow by cursor.

Design notes
  * The feed keeps events, not readers. A reader is a cursor that it holds itself, so a slow reader costs nothing here
    and a lost connection loses nothing: the reader comes back with its cursor.
  * A cursor names the feed's *epoch* too, a random word chosen when the feed starts. After a restart the numbers begin
    again at 1, and without the epoch an old cursor would look like a new one and silently skip events.
  * What cannot be delivered is said aloud: `Gone`, never a silent hole.
"""

import asyncio
import json
import re
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass

from labs.clock import now_ns

CURSOR = re.compile(r"([0-9a-f]{8})-(0|[1-9][0-9]{0,15})")


class Gone(Exception):
    """The events after this cursor are no longer kept here, or belong to another epoch. HTTP 410, close code 4410."""

    status = 410


class BadCursor(ValueError):
    """This text is not a cursor that this feed can have given out. HTTP 400."""

    status = 400


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its number (from 1, no gaps), its time stamp in monotonic nanoseconds, its text, and its cursor."""

    id: int
    at: int
    data: str
    cursor: str

    def to_json(self) -> str:
        """The event as it travels, on every transport: one line of compact JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))


class Feed:
    """An append-only list of events, of which the newest `keep` can still be read."""

    def __init__(self, *, keep: int = 10_000, epoch: str | None = None, clock: Callable[[], int] = now_ns):
        self.epoch = epoch or secrets.token_hex(4)
        self.clock = clock
        self._kept: deque[Event] = deque(maxlen=keep)
        self._last_id = 0
        self._published = asyncio.Event()

    @property
    def cursor(self) -> str:
        """The cursor of the newest event; reading after it delivers only what is still to come."""
        return self._cursor(self._last_id)

    def publish(self, data: str) -> Event:
        """Append one event and wake everybody who waits."""
        self._last_id += 1
        event = Event(self._last_id, self.clock(), data, self._cursor(self._last_id))
        self._kept.append(event)
        self._published.set()  # wakes those who wait now;
        self._published = asyncio.Event()  # later ones wait for the next event
        return event

    def since(self, cursor: str | None = None) -> list[Event]:
        """The events after `cursor`, oldest first; all that is kept when it is None. Raises `Gone` or `BadCursor`."""
        if cursor is None:
            return list(self._kept)
        after = self._parse(cursor)
        first_kept = self._last_id - len(self._kept) + 1
        if after + 1 < first_kept:
            raise Gone(f"events {after + 1} to {first_kept - 1} are no longer kept")
        missed = self._last_id - after
        newest_first = (self._kept[-n] for n in range(1, missed + 1))
        return list(newest_first)[::-1]

    async def wait(self, cursor: str | None = None) -> list[Event]:
        """Like `since`, but when there is nothing yet, wait until there is. Nothing is queued for the waiting reader."""
        while not (events := self.since(cursor)):
            await self._published.wait()  # no await between looking and waiting: no wake-up can be missed
        return events

    async def follow(self, cursor: str | None = None) -> AsyncIterator[Event]:
        """Every event after `cursor`, one by one, without end. Raises `Gone` when the reader falls out of the window."""
        while True:
            for event in await self.wait(cursor):
                yield event
                cursor = event.cursor

    def _cursor(self, number: int) -> str:
        return f"{self.epoch}-{number}"

    def _parse(self, cursor: str) -> int:
        match = CURSOR.fullmatch(cursor)
        if not match:
            raise BadCursor("a cursor is eight hexadecimal digits, a hyphen and a number")
        if match[1] != self.epoch:
            raise Gone("this cursor is from before the server restarted")
        if (number := int(match[2])) > self._last_id:
            raise BadCursor("this cursor is ahead of the feed")
        return number
