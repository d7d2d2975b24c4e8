"""How a reader follows a feed over a WebRTC data channel: as `labs.clients`, with a choice of what the channel promises.

    async for event in follow(url, after=cursor, ordered=False, max_retransmits=0):
        ...

A channel that is reliable yields each event once. One that is not (`max_retransmits`) yields what arrives: loss is not
noticed here, but the events' numbers show it. Out of order, the cursor is the newest event before which none is missing.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiortc import RTCSessionDescription

from labs.choosing.datagram_link import DatagramLink
from labs.clients import FAILURES, accept, backoff, session
from labs.clock import now_ns
from labs.feed import Event, Gone
from labs.measure.delivery import Reader
from labs.peers import BREAKS, HERE, new_peer, stay_here, without_candidates

CONNECT_S = 10.0  # for signalling, ICE, DTLS and SCTP together


@asynccontextmanager
async def channel(
    url: str,
    after: str | None = None,
    *,
    ordered=True,
    max_retransmits=None,
    link: DatagramLink | None = None,
    here=HERE,
    begins: Callable[[str], None] = lambda after: None,
) -> AsyncIterator:
    """A data channel on which the events after a cursor come, open, and the queue of their texts (None: it has ended).

    `here` is the address of this end; `begins` is told the cursor after which the events begin.
    """
    peer, texts, opened = new_peer(), asyncio.Queue(), asyncio.Event()

    def end():
        texts.put_nowait(None)
        opened.set()

    events = peer.createDataChannel("events", ordered=ordered, maxRetransmits=max_retransmits)
    events.on("open", opened.set)
    events.on("message", texts.put_nowait)
    events.on("close", end)
    peer.on("connectionstatechange", lambda: peer.connectionState in BREAKS and end())
    try:
        async with asyncio.timeout(CONNECT_S):
            stay_here(peer, here)
            await peer.setLocalDescription(await peer.createOffer())
            answer = await exchange(url, after, peer.localDescription)
            begins(answer.pop("after"))
            if link is not None:
                answer["sdp"] = await link.through(answer["sdp"])
            await peer.setRemoteDescription(RTCSessionDescription(**answer))
            await opened.wait()
        if link is not None:
            link.begin()
        yield events, texts
    finally:
        await peer.close()


async def exchange(url: str, after: str | None, offer: RTCSessionDescription) -> dict[str, str]:
    """The server's description for ours, over HTTP. Raises what `accept` does."""
    said = {"type": offer.type, "sdp": without_candidates(offer.sdp)}
    async with (
        session() as http,
        http.post(f"{url}/offer", params={"after": after} if after else {}, json=said) as response,
    ):
        await accept(response)
        return await response.json()


class Progress:
    """Where a reader goes on, when what it reads may come in any order."""

    def __init__(self, after: str | None, *, waits: bool):
        self.after, self.waits = after, waits  # for what is missing: an event may be overtaken, but comes
        self.early: dict[int, str] = {}  # events that have overtaken one which has not come

    def begins(self, after: str) -> None:
        """The events begin after this cursor: for a reader who came without one, the first one may not come first."""
        self.after = self.after or after

    def fresh(self, event: Event) -> bool:
        """Take note of an event; whether it is the first time."""
        last = int(self.after.rpartition("-")[2])
        if not self.waits:
            self.after = event.cursor if event.id > last else self.after
            return True
        if event.id <= last or event.id in self.early:
            return False
        self.early[event.id] = event.cursor
        while last + 1 in self.early:
            last += 1
            self.after = self.early.pop(last)
        return True


async def follow(
    url: str, after: str | None = None, *, ordered=True, max_retransmits=None, link=None, rng=random
) -> AsyncIterator[Event]:
    """Every event after the cursor that the channel delivers; it is opened anew whenever it ends. `rng` draws the pauses."""
    progress, pauses = Progress(after, waits=max_retransmits is None and not ordered), backoff(rng)
    settings = {"ordered": ordered, "max_retransmits": max_retransmits, "link": link, "begins": progress.begins}
    while True:
        try:
            async with channel(url, progress.after, **settings) as (_, texts):
                while (text := await texts.get()) is not None:
                    pauses = backoff(rng)
                    if progress.fresh(event := read(text)):
                        yield event
        except FAILURES:
            pass
        await asyncio.sleep(next(pauses))


def read(text: str) -> Event:
    """The event in a message. Raises `Gone` where the message says so."""
    said = json.loads(text)
    if "gone" in said:
        raise Gone(said["gone"])
    return Event(**said)


async def connect_time(url: str, **settings) -> float:
    """How long it takes until a channel is open, in milliseconds."""
    start = now_ns()
    async with channel(url, **settings):
        return (now_ns() - start) / 1e6


@dataclass
class DatagramReader(Reader):
    """A reader whose events do not pass through the TCP link (signalling does): `datagrams` has counted them."""

    datagrams: DatagramLink = field(default_factory=DatagramLink)

    async def ready(self) -> bool:
        """Whether its channel has been open."""
        return self.datagrams.began is not None


def webrtc_reader(rtt_ms: float = 0.0, *, loss: float = 0.0, seed: int = 0, **promises) -> DatagramReader:
    """A reader over a data channel from a round trip of `rtt_ms` away, for `measure.deliver`, once.

    `promises` are `ordered` and `max_retransmits`; a share `loss` of the datagrams is lost, each way, once it is open.
    """
    link = DatagramLink(rtt_ms=rtt_ms, loss=loss, seed=seed)

    async def follow_once(url: str, after: str | None = None) -> AsyncIterator[Event]:
        async with link:
            async for event in follow(url, after, link=link, **promises):
                yield event

    settings = {"loss": loss, **promises}
    return DatagramReader("webrtc_feed", follow_once, rtt_ms, settings, opens_s=0.1 + 7 * rtt_ms / 1000, datagrams=link)
