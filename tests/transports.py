"""The table of feed servers: every test of the contract runs over each of them.

A transport is added here by its server's name, what follows it, and the options that make it quick to come back.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from labs import clients
from labs.choosing import socketio_client
from labs.feed import Event


@dataclass(frozen=True)
class Transport:
    """How a feed server of this name is followed: `follow(url, after=cursor)`."""

    follow: Callable[..., AsyncIterator[Event]]
    options: tuple[str, ...] = ()  # of its process, in tests that cut its readers often
    push: bool = True  # readers have a request that is open while nothing happens
    headers: tuple[str, ...] = ()  # of a request for the events
    target: str = "/events"  # of that request
    opens_with: bytes = b"HTTP/1.1 200 OK\r\n"


UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",  # RFC 6455 §1.3
)

FEEDS = {
    "http_polling": Transport(lambda url, **after: clients.polling(url, every=0.05, **after), push=False),
    "long_polling": Transport(clients.long_polling),
    "sse": Transport(clients.sse, options=("--retry", "0.01")),
    **dict.fromkeys(
        ("raw_websocket", "websocket"),
        Transport(clients.websocket, headers=UPGRADE, opens_with=b"HTTP/1.1 101 Switching Protocols\r\n"),
    ),
    "socketio_feed": Transport(
        socketio_client.follow,
        headers=UPGRADE,
        target="/socket.io/?EIO=4&transport=websocket",
        opens_with=b"HTTP/1.1 101 Switching Protocols\r\n",
    ),
}
SOCKETS = ["raw_websocket", "websocket"]
HTTP = ["http_polling", "long_polling", "sse"]
