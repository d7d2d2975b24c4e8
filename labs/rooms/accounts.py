"""Who may come in: secrets, and tickets that are good for one connection and half a minute.

Design notes
  * A browser cannot add a header to a WebSocket's request, and what stands in its URL stands in logs. So a secret goes
    into the first message, or is changed for a ticket first, which is worth nothing once it has been used.
  * A cookie would come along by itself, from every page of the world that opens a socket to here.
"""

import hmac
import secrets
from collections.abc import Mapping

from labs.clock import now_ns

TICKET_S = 30
TICKETS = 10_000  # that may be unused at once


class Accounts:
    """The secret of every name, and the tickets that have not been used."""

    def __init__(self, secrets_by_name: Mapping[str, str]):
        self.secrets = dict(secrets_by_name)
        self.tickets: dict[str, tuple[str, int]] = {}  # name and when it ends, the oldest first

    def name_of(self, secret: object) -> str | None:
        """Whose secret this is; None if nobody's. Takes as long for a guess that is nearly right as for any other."""
        guess = secret.encode("utf-8", "replace") if isinstance(secret, str) else b""
        found = [name for name, own in self.secrets.items() if hmac.compare_digest(own.encode(), guess)]
        return found[0] if found else None

    def issue(self, name: str) -> str:
        """A new ticket in this name."""
        now = now_ns()
        while self.tickets and (len(self.tickets) >= TICKETS or next(iter(self.tickets.values()))[1] < now):
            del self.tickets[next(iter(self.tickets))]
        ticket = secrets.token_urlsafe(16)
        self.tickets[ticket] = name, now + TICKET_S * 10**9
        return ticket

    def redeem(self, ticket: str) -> str | None:
        """Whose ticket this is; None if it has been used, has ended, or never was one. It is used up by asking."""
        name, ends = self.tickets.pop(ticket, ("", 0))
        return name if name and now_ns() <= ends else None
