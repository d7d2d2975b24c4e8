"""How many round trips pass before the first byte of an answer: TCP, TCP with TLS, QUIC, and QUIC that comes back.

    found = await first_bytes(rtt_ms=50)     # {"TCP": [101.9, …], …} in milliseconds; divided by 50, ROUND_TRIPS

Design notes
  * Every server is in this process, behind a link that takes `rtt_ms` there and back: `labs.link` for TCP, the course's
    `DatagramLink` for QUIC. What is more than the round trips is the time that both ends take to compute.
  * TCP's handshake takes one round trip, TLS 1.3's another (RFC 8446 §2), the request a third. QUIC does TCP's and TLS's in one
    (RFC 9000 §7); who was there before sends the request along with its first datagram (0-RTT, RFC 9001 §4.6).
  * What is asked for in 0-RTT can be sent a second time by whoever recorded it, so only what may happen twice is asked that way.
"""

import asyncio
import ssl
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path

from aioquic.asyncio import QuicConnectionProtocol, serve
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.connection import QuicConnection
from aioquic.tls import SessionTicket

from labs.choosing.certificate import write
from labs.choosing.datagram_link import DatagramLink
from labs.choosing.quic_path import client_settings, server_settings
from labs.link import Link

ROUND_TRIPS = {"TCP": 2, "TCP and TLS 1.3": 3, "QUIC": 2, "QUIC, been there": 1}
LIMIT_S = 10.0
ASK, SAY = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"
ASK3 = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", b"/")]


async def first_bytes(*, rtt_ms: float = 50, repeats: int = 5) -> dict[str, list[float]]:
    """Milliseconds from nothing to the first byte of an answer, by what carries it. Starts servers in this process."""
    found: dict[str, list[float]] = {name: [] for name in ROUND_TRIPS}
    for _ in range(repeats):
        async with asyncio.timeout(LIMIT_S), quic_server(rtt_ms) as (link, address):
            found["TCP"].append(await over_tcp(rtt_ms))
            found["TCP and TLS 1.3"].append(await over_tcp(rtt_ms, secure=True))
            tickets: list[SessionTicket] = []  # the first visit brings one, the second has it
            found["QUIC"].append(await over_quic(link, address, tickets))
            found["QUIC, been there"].append(await over_quic(link, address, tickets))
    return found


async def over_tcp(rtt_ms: float, *, secure: bool = False) -> float:
    """Connect, ask over TCP, and perhaps TLS, and wait for the first byte (milliseconds)."""
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = contexts(Path(folder)) if secure else (None, None)

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SAY)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=theirs)
    host, port = server.sockets[0].getsockname()
    async with server, await Link.open(f"http://{host}:{port}", rtt_ms=rtt_ms) as link:
        began = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(link.url.rpartition(":")[2]), ssl=ours)
        writer.write(ASK)
        await reader.readexactly(1)
        took = time.perf_counter() - began
        writer.close()
    return took * 1000


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS 1.3 for a client that takes any certificate, and for a server."""
    ours, theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.check_hostname, ours.verify_mode = False, ssl.CERT_NONE
    theirs.minimum_version = ssl.TLSVersion.TLSv1_3
    theirs.load_cert_chain(write(folder))
    return ours, theirs


class Asker(QuicConnectionProtocol):
    """A client of HTTP/3 that asks once; `answered` is set by the first byte of the answer."""

    def __init__(self, quic: QuicConnection):
        super().__init__(quic)
        self.http, self.answered = H3Connection(quic), asyncio.Event()

    def ask(self, address) -> None:
        """Connect and ask; what cannot be sent yet goes as soon as it can."""
        self.connect(address, transmit=False)
        self.http.send_headers(self._quic.get_next_available_stream_id(), ASK3, end_stream=True)
        self.transmit()

    def quic_event_received(self, event):
        if any(isinstance(heard, HeadersReceived) for heard in self.http.handle_event(event)):
            self.answered.set()


class Answerer(QuicConnectionProtocol):
    """A server of HTTP/3 that answers every request with 204."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self.http = H3Connection(self._quic)

    def quic_event_received(self, event):
        for heard in self.http.handle_event(event):
            if isinstance(heard, HeadersReceived):
                self.http.send_headers(heard.stream_id, [(b":status", b"204")], end_stream=True)


@asynccontextmanager
async def quic_server(rtt_ms: float):
    """A server of HTTP/3 that knows who was there before, behind a link. Yields the link and the server's address."""
    known: dict[bytes, SessionTicket] = {}
    settings = {
        "session_ticket_fetcher": known.get,
        "session_ticket_handler": lambda new: known.update({new.ticket: new}),
    }
    server = await serve("127.0.0.1", 0, configuration=server_settings(), create_protocol=Answerer, **settings)
    async with DatagramLink(rtt_ms=rtt_ms) as link:
        yield link, server._transport.get_extra_info("sockname")
        server.close()


async def over_quic(link: DatagramLink, address, tickets: list[SessionTicket]) -> float:
    """Connect, ask over QUIC, and wait for the first byte (milliseconds); with a ticket, if there is one, in 0-RTT."""
    settings = client_settings()
    settings.session_ticket = tickets[-1] if tickets else None
    quic = QuicConnection(configuration=settings, session_ticket_handler=tickets.append)
    there = await link.path(*address)
    loop = asyncio.get_running_loop()
    transport, asker = await loop.create_datagram_endpoint(lambda: Asker(quic), ("127.0.0.1", 0))
    began = time.perf_counter()
    asker.ask(there)
    await asker.answered.wait()
    took = time.perf_counter() - began
    while not tickets:  # it comes when the handshake is over
        await asyncio.sleep(0.001)
    asker.close()
    transport.close()
    return took * 1000
