"""The network in a box, for datagrams: a UDP relay that delays, drops and counts what passes through it.

    link = DatagramLink(rtt_ms=40, loss=0.05, seed=1)
    sdp = await link.through(answer_sdp)              # … and whoever reads it knows the server by the relay's address alone
    link.begin()                                      # the connection is open: from here on, datagrams are lost

Design notes
  * As `labs.link`, in the process that measures and without root. Loss needs datagrams: a TCP relay cannot lose a segment.
  * The coin is seeded, one for each direction: the same seed loses the same datagrams of a direction, by their order.
  * Sizes are of UDP's payload. On the wire every datagram also has UDP's 8 bytes (RFC 768) and IPv4's 20 (RFC 791).
  * What is inside is encrypted, but the first byte says what it is (RFC 7983 §7).
"""

import asyncio
import random
from dataclasses import dataclass

from labs.clock import now_ns
from labs.link import DOWN, UP

HEADERS = 8 + 20  # bytes of UDP and IPv4
HANDSHAKE, APPLICATION_DATA = 22, 23  # DTLS content types (RFC 6347 §4.1, RFC 8446 §B.1)


@dataclass(slots=True)
class Datagram:
    """One datagram that entered the link. Times in monotonic nanoseconds; `arrived` is None until it is passed on."""

    direction: str
    sent: int
    size: int  # of its payload
    first: int  # its first byte
    lost: bool
    arrived: int | None = None

    @property
    def kind(self) -> str:
        """STUN, DTLS (the handshake) or data (an encrypted SCTP packet)."""
        return "STUN" if self.first < 4 else "data" if self.first == APPLICATION_DATA else "DTLS"


class End(asyncio.DatagramProtocol):
    """One end of a path, the reader's or the server's. What comes in here leaves at the other end, later or not at all."""

    def __init__(self, link: "DatagramLink", direction: str):
        self.link, self.direction = link, direction
        self.other: End | None = None
        self.peer = None  # the address last heard; None where the socket is connected

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.peer = address
        self.link._pass_on(self, data)

    def error_received(self, error):
        pass  # nobody listens there any more: to the sender a datagram lost

    def connection_lost(self, error):
        self.link._closed.discard(self)


class DatagramLink:
    """Paths for datagrams, `rtt_ms` there and back, each datagram lost with the probability `loss` (which may change)

    after `begin()`: an attempt to connect that loses a datagram takes seconds, and is another measurement.
    """

    def __init__(self, *, rtt_ms: float = 0.0, loss: float = 0.0, seed: int = 0):
        self.rtt_ms, self.loss = rtt_ms, loss
        self.bytes = {UP: 0, DOWN: 0}
        self.datagrams = {UP: 0, DOWN: 0}
        self.trace: list[Datagram] = []
        self.losing = False
        self.began: int | None = None  # for the first time, in monotonic nanoseconds
        self._coins = {direction: random.Random(f"{seed} {direction}") for direction in (UP, DOWN)}
        self._ends: list[End] = []
        self._closed: set[End] = set()

    async def through(self, sdp: str) -> str:
        """A session description whose one candidate is a new path of this link to the first one that it had."""
        lines = sdp.splitlines(keepends=True)
        places = [number for number, line in enumerate(lines) if line.startswith("a=candidate:")]
        parts = lines[places[0]].split(
            " "
        )  # foundation, component, transport, priority, address, port, … (RFC 8839 §5.1)
        parts[4:6] = map(str, await self.path(parts[4], int(parts[5])))
        lines[places[0]] = " ".join(parts)
        return "".join(line for number, line in enumerate(lines) if number not in places[1:])

    async def path(self, host: str, port: int) -> tuple[str, int]:
        """The address of a new relay to a server's address. It serves one reader: whoever speaks to it last."""
        self.losing = False
        loop = asyncio.get_running_loop()
        _, front = await loop.create_datagram_endpoint(lambda: End(self, UP), ("127.0.0.1", 0))
        self._ends.append(front)
        _, back = await loop.create_datagram_endpoint(lambda: End(self, DOWN), remote_addr=(host, port))
        self._ends.append(back)
        front.other, back.other = back, front
        return front.transport.get_extra_info("sockname")

    def begin(self) -> None:
        """The connection is open: lose datagrams until a new path is asked for."""
        self.losing = True
        self.began = self.began or now_ns()

    def cut(self) -> None:
        """Lose every path there is, and what is under way. Nobody is told; new paths work."""
        for end in self._ends:
            end.transport.abort()
        self._closed |= set(self._ends)
        self._ends.clear()

    async def close(self) -> None:
        """Stop relaying."""
        self.cut()
        while self._closed:
            await asyncio.sleep(0)

    async def __aenter__(self) -> "DatagramLink":
        return self

    async def __aexit__(self, *exc_info):
        await self.close()

    def delivery(self) -> list[Datagram]:
        """The datagrams since the first `begin()`: what delivering costs, without connecting."""
        return [sent for sent in self.trace if self.began is not None and sent.sent >= self.began]

    def _pass_on(self, end: End, data: bytes) -> None:
        direction = end.direction
        lost = self.losing and self._coins[direction].random() < self.loss
        self.bytes[direction] += len(data)
        self.datagrams[direction] += 1
        self.trace.append(sent := Datagram(direction, now_ns(), len(data), data[0] if data else 0, lost))
        if not lost:
            asyncio.get_running_loop().call_later(self.rtt_ms / 2000, self._deliver, end.other, data, sent)

    def _deliver(self, end: End, data: bytes, sent: Datagram) -> None:
        if not end.transport.is_closing():
            sent.arrived = now_ns()
            end.transport.sendto(data, end.peer if end.direction == UP else None)
