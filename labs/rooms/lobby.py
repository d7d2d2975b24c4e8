"""A rooms server without its sockets: who is let in, what is done with what they say, and how it reaches the others.

An engine owns the connections. It asks `admit` before it upgrades one, makes it a `Session`, and calls `opened`, `received`
and `closed`. Nothing here waits, so a message is dealt with in one go and needs no task, no queue and no lock.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping

from labs.frames import Opcode, encode
from labs.handshake import Refusal as Refused
from labs.handshake import Request
from labs.rooms.accounts import Accounts
from labs.rooms.codec import Refusal, is_name, parse, parse_object, to_json
from labs.rooms.outbox import Fanout, Watched
from labs.rooms.registry import Delivery, Room, Rooms
from labs.sockets import Allowance

ROOMS = "/rooms"  # the path
AUTH_S = 5.0  # to say who one is, after the connection has opened
COUNT_S = 1.0  # between two counts of a crowd
GRACE_S = 5.0  # for a client to end a connection that the server has ended
PATIENCE_S = 10.0  # seconds' worth of messages too many, before the connection is closed

log = logging.getLogger("rooms")


class Session(Watched):
    """One connection that has been let in. An engine adds how it is closed."""

    __slots__ = ("allowance", "lobby", "name", "rooms")
    lobby: "Lobby"
    name: str | None  # None while it has not said who it is
    rooms: list[Room]
    allowance: Allowance | None  # how many messages it may send now

    def close(self, code: int, reason: str) -> None:
        """Send a close frame, and end the connection even if the other side does not answer."""
        raise NotImplementedError

    def give_up(self) -> None:
        self.lobby.end(self, 1013, "reading too slowly")


class Lobby:
    """All sessions of a server, and the rooms they are in. `rate` is in messages a second for each, 0 for any."""

    def __init__(
        self, rooms: Rooms | None = None, *, accounts: Accounts | None = None, rate: float = 0, most: int = 10_000
    ):
        self.rooms, self.accounts, self.rate, self.most = rooms or Rooms(), accounts, rate, most
        self.sessions: dict[Session, None] = {}
        self.fanout = Fanout()
        self.counted: Counter[str] = Counter()
        self._counting = False

    def admit(self, request: Request) -> None:
        """Refuse a connection before it is one. Raises `handshake.Refusal`."""
        if request.path == ROOMS and len(self.sessions) >= self.most:
            raise Refused(429, "there are too many connections", {"Retry-After": "10"})
        if request.path == ROOMS and self.accounts is None and not is_name(request.query.get("name", "guest")):
            raise Refused(400, "a name is 1 to 32 printable characters")

    def opened(self, session: Session, query: Mapping[str, str]) -> None:
        """A connection has been made. Who it is stands in its query, or with accounts, behind its ticket."""
        self.counted["opened"] += 1
        self.sessions[session] = None
        session.lobby, session.rooms, session.allowance = self, [], Allowance(self.rate) if self.rate else None
        session.name = self._name(query) if self.accounts is None else self.accounts.redeem(query.get("ticket", ""))
        if session.name is None and "ticket" in query:
            self.end(session, 4401, "this ticket is not good any more")  # a page sees close codes, but no status
        elif session.name is None:
            asyncio.get_running_loop().call_later(AUTH_S, self._too_late, session)
        log.info(
            "opened name=%(name)s connections=%(connections)d",
            {"name": session.name, "connections": len(self.sessions)},
        )

    def _name(self, query: Mapping[str, str]) -> str:
        return query.get("name") or f"guest-{self.counted['opened']}"

    def received(self, session: Session, text: str | bytes) -> None:
        """A connection has sent a message; bytes are no message."""
        if session.closed:
            return
        self.counted["received"] += 1
        try:
            if isinstance(text, bytes):
                raise Refusal("not_text", "a message is a text frame")
            self._check_rate(session)
            deliveries = self._authenticated(session, text) if session.name is None else self._done(session, text)
        except Refusal as refusal:
            self.counted[f"error {refusal.code}"] += 1
            deliveries = [([session], refusal.message())]
        self._deliver(deliveries)

    def closed(self, session: Session) -> None:
        """A connection has ended, however it did."""
        if session in self.sessions:
            del self.sessions[session]
            self.counted["closed"] += 1
            log.info(
                "closed name=%(name)s connections=%(connections)d",
                {"name": session.name, "connections": len(self.sessions)},
            )
            self._deliver(self.rooms.depart(session))

    def end(self, session: Session, code: int, reason: str) -> None:
        """End a connection, for a reason that the client is told."""
        self.counted[f"ended {code}"] += 1
        log.warning(
            "ended name=%(name)s code=%(code)d reason=%(reason)s",
            {"name": session.name, "code": code, "reason": reason},
        )
        session.close(code, reason)

    def _done(self, session: Session, text: str) -> list[Delivery]:
        request = parse(text)
        if request.type != "message":
            self.fanout.flush()  # who joins now has not heard what was said before, and who leaves has
        return self.rooms.act(session, request)

    def _authenticated(self, session: Session, text: str) -> list[Delivery]:
        message = parse_object(text)
        name = self.accounts.name_of(message.get("secret")) if message.get("type") == "auth" else None
        if name is None:
            self.end(session, 4401, "the first message says who you are")
            return []
        session.name = name
        return [([session], {"type": "welcome", "name": name})]

    def _too_late(self, session: Session) -> None:
        if session.name is None and session in self.sessions:
            self.end(session, 4401, "no word of who you are")

    def _check_rate(self, session: Session) -> None:
        """Whoever talks too fast is told so, and closed if that does not help. Raises `Refusal`."""
        allowance = session.allowance
        if allowance is None or allowance.spend():
            return
        if allowance.left < -PATIENCE_S * self.rate:
            self.end(session, 1008, "too many messages")
        raise Refusal("too_fast", f"at most {self.rate:g} messages a second")

    def _deliver(self, deliveries: list[Delivery]) -> None:
        for recipients, message in deliveries:
            frame = encode(Opcode.TEXT, to_json(message).encode())
            if isinstance(recipients, Room):
                self.counted["delivered"] += len(recipients.members)
                self.fanout.post(recipients, frame)
            else:
                self.fanout.flush()  # what is told to one comes after what has been told to all
                for member in recipients:
                    member.write(frame)
        if self.rooms.changed and not self._counting:
            self._counting = True
            asyncio.get_running_loop().call_later(COUNT_S, self._count)

    def _count(self) -> None:
        self._counting = False
        self._deliver(self.rooms.counts())
