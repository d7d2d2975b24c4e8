"""Two ends of QUIC by the `aioquic` library, and between them a simulated network: delay, a seeded coin, a clock of its own.

    path = Path(rtt_ms=50, loss=0.05, seed=1, client=client, server=server)
    path.heard[UP] = lambda event: …      # what the server learns
    path.run(until=3.0)                   # seconds pass in a moment

Design notes
  * The library keeps its protocol apart from sockets and clocks: it is told what arrived, and when, and says what to send and
    when to be asked again. So the protocol is the real one, and only the network is simulated, exactly as often as one likes.
  * A coin for each direction, as in `labs.choosing.datagram_link`. Delay keeps order; there is no limit to the throughput.
"""

import heapq
import random
import ssl
from collections.abc import Callable
from itertools import count

from aioquic.h3.connection import H3_ALPN
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from labs.choosing.certificate import self_signed
from labs.link import DOWN, UP

DATAGRAMS = 65536  # bytes: the longest DATAGRAM frame that we take, RFC 9221 §3
TICK = 1e-6  # seconds; an end that is asked at the very moment it named may want to be asked again, and time must pass
ADDRESS = ("127.0.0.1", 1)  # there is no socket


def client_settings() -> QuicConfiguration:
    """What a client of HTTP/3 asks for. It takes any certificate, because ours is made at run time."""
    return QuicConfiguration(
        alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE, max_datagram_frame_size=DATAGRAMS, server_name="localhost"
    )


def server_settings() -> QuicConfiguration:
    """What a server of HTTP/3 offers."""
    settings = QuicConfiguration(alpn_protocols=H3_ALPN, is_client=False, max_datagram_frame_size=DATAGRAMS)
    settings.certificate, settings.private_key = self_signed()
    return settings


class Path:
    """A connection over a network that takes `rtt_ms` there and back and loses each datagram with the probability `loss`."""

    def __init__(self, *, rtt_ms: float, loss: float = 0.0, seed: int = 0):
        self.rtt_ms, self.loss, self.now = rtt_ms, loss, 0.0  # seconds
        self.client = QuicConnection(configuration=client_settings())
        self.client.connect(ADDRESS, now=self.now)
        destination = self.client.original_destination_connection_id
        self.server = QuicConnection(configuration=server_settings(), original_destination_connection_id=destination)
        self.heard: dict[str, Callable] = {}  # what to do with each event at the end of a direction
        self.datagrams = {UP: 0, DOWN: 0}
        self.lost = {UP: 0, DOWN: 0}
        self._coins = {way: random.Random(f"{seed} {way}") for way in (UP, DOWN)}
        self._under_way: list[tuple] = []  # a heap: (due, number, direction, datagram)
        self._numbers = count()

    def run(self, until: float) -> None:
        """Let everything happen that happens until a moment (seconds)."""
        self._send()
        while (moment := self._next()) <= until:
            self.now = max(self.now + TICK, moment)
            while self._under_way and self._under_way[0][0] <= self.now:
                _, _, way, data = heapq.heappop(self._under_way)
                (self.server if way == UP else self.client).receive_datagram(data, ADDRESS, now=self.now)
            for end in (self.client, self.server):
                if (timer := end.get_timer()) is not None and timer <= self.now:
                    end.handle_timer(now=self.now)
            self._tell()
            self._send()
        self.now = until

    def _next(self) -> float:
        """When something happens next: a datagram arrives, or an end wants to be asked again."""
        timers = [timer for end in (self.client, self.server) if (timer := end.get_timer()) is not None]
        return min([*timers, *(due for due, *_ in self._under_way[:1]), float("inf")])

    def _tell(self) -> None:
        for way, end in ((UP, self.server), (DOWN, self.client)):
            while (event := end.next_event()) is not None:
                self.heard[way](event)

    def _send(self) -> None:
        """Take what both ends have to send, and toss the coin for each datagram."""
        for way, end in ((UP, self.client), (DOWN, self.server)):
            if end.get_peer_address() is None:  # a server to which nobody has spoken yet
                continue
            for data, _ in end.datagrams_to_send(now=self.now):
                self.datagrams[way] += 1
                if self._coins[way].random() < self.loss:
                    self.lost[way] += 1
                else:
                    heapq.heappush(self._under_way, (self.now + self.rtt_ms / 2000, next(self._numbers), way, data))
