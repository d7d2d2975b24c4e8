"""The table of feed servers: every test of the contract runs over each of them.

A transport is added here by its server's name, what follows it, and the options that make it quick to come back.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from labs import clients
from labs.feed import Event


@dataclass(frozen=True)
class Transport:
    """How a feed server of this name is followed: `follow(url, after=cursor)`."""

    follow: Callable[..., AsyncIterator[Event]]
    options: tuple[str, ...] = ()  # of its process, in tests that cut its readers often
    push: bool = True  # readers have a request that is open while nothing happens


FEEDS = {
    "http_polling": Transport(lambda url, **after: clients.polling(url, every=0.05, **after), push=False),
    "long_polling": Transport(clients.long_polling),
    "sse": Transport(clients.sse, options=("--retry", "0.01")),
}
HTTP = [name for name in FEEDS if name in ("http_polling", "long_polling", "sse")]
