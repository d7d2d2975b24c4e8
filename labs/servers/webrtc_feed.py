"""WebRTC data channels: events over UDP, encrypted (DTLS) and, as the reader chooses, in any order or with losses (SCTP).

    POST /offer?after=CURSOR   200, the body is a session description as JSON, {"type": "offer", "sdp": …}, and so is the
                               answer, with the cursor "after" which the events begin
                               400 no such offer, or not a cursor; 410 the events after it are not kept; 413; 503 full
    POST /events               201, the body's text is the next event

    The reader creates the channel, "events", and so decides how it delivers (RFC 8831 §6.1): ordered or not, reliable or
    with so many retransmissions at most. The server sends the events after CURSOR, each as one text message, JSON; a
    text message from the reader is the next event. {"gone": why}: the reader was too slow, and what follows is not kept.

Design notes
  * HTTP carries the two descriptions ("signalling", which WebRTC leaves open), and nothing else.
  * The addresses in an offer are ignored: the reader speaks first, and the server answers where that came from. So nobody
    can make it send datagrams elsewhere, and a browser's candidate names (xxxx.local, mDNS) need not be looked up.
  * A reader who vanishes is noticed by ICE: consent to send has to be given anew every few seconds (RFC 7675).
"""

import asyncio
import json

from aiohttp import web
from aiortc import RTCDataChannel, RTCSessionDescription
from aiortc.exceptions import InvalidAccessError, InvalidStateError

from labs.feed import Feed, Gone
from labs.hosting import BODY_LIMIT, FEED, LOCAL, PATIENCE_S, STOPPING, body_text, feed_app, main
from labs.peers import BREAKS, new_peer, stay_here, without_candidates

PEERS_LIMIT = 200
CHANNELS_LIMIT = 4  # of one peer
BUFFER = 64 * 1024  # bytes that wait for one channel; a slower reader's other events stay in the feed
STALL_S = 10.0  # a peer who takes nothing for so long is dropped

PEERS = web.AppKey("peers", dict)
# What aiortc's parser raises at what is no description; it says so by whatever happens to go wrong.
UNREADABLE = (ValueError, LookupError, AttributeError, TypeError, AssertionError, InvalidAccessError, InvalidStateError)


class Peer:
    """One reader: a connection, and a task for each of its channels."""

    def __init__(self, feed: Feed, after: str, peers: dict):
        self.feed, self.after, self.peers = feed, after, peers
        self.connection = new_peer()
        self.channels: dict[RTCDataChannel, asyncio.Task] = {}
        self.connection.on("datachannel", self.opened)
        self.connection.on("connectionstatechange", self.changed)
        self.peers[self] = asyncio.create_task(self.in_time())

    async def answer(self, sdp: str, local: bool) -> RTCSessionDescription:
        """Take an offer, and describe this end. Raises one of `UNREADABLE`."""
        # one media section, a data channel's
        if [line[:14] for line in sdp.splitlines() if line.startswith("m=")] != ["m=application "]:
            raise ValueError("an offer of data channels, and of nothing else, is expected")
        await self.connection.setRemoteDescription(RTCSessionDescription(without_candidates(sdp), "offer"))
        if local:
            stay_here(self.connection)
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        return self.connection.localDescription

    async def in_time(self) -> None:
        """Give up a peer that has not opened a channel in time."""
        await asyncio.sleep(PATIENCE_S)
        if not self.channels:
            await self.close()

    def opened(self, channel: RTCDataChannel) -> None:
        """The peer has opened a channel: take and send."""
        if len(self.channels) >= CHANNELS_LIMIT or channel.label != "events":
            channel.close()
            return
        channel.on("message", lambda message: self.said(channel, message))
        self.channels[channel] = asyncio.create_task(self.send(channel))
        channel.on("close", lambda: self.closed(channel))

    def closed(self, channel: RTCDataChannel) -> None:
        """A channel is closed, by either side. A peer without any has nothing to wait for."""
        self.channels.pop(channel).cancel()
        if not self.channels:
            self.ending = asyncio.create_task(self.close())

    def said(self, channel: RTCDataChannel, message: str | bytes) -> None:
        """The peer has sent something: the next event, if it is text and not too long."""
        if isinstance(message, str) and len(message.encode()) <= BODY_LIMIT:
            self.feed.publish(message)
        else:
            channel.close()

    async def send(self, channel: RTCDataChannel) -> None:
        """Write the events into a channel until it closes."""
        try:
            async for event in self.feed.follow(self.after):
                await room(channel)
                channel.send(event.to_json())
        except Gone as gone:
            channel.send(json.dumps({"gone": str(gone)}))
            channel.close()
        except (TimeoutError, ValueError, InvalidStateError):  # does not move; an event longer than it takes; closed
            self.ending = asyncio.create_task(self.close())

    async def changed(self) -> None:
        """The connection has changed its state: let go of one that does not come back."""
        if self.connection.connectionState in BREAKS:
            await self.close()

    async def close(self) -> None:
        """End everything of this peer."""
        waiting = self.peers.pop(self, None)
        for task in filter(None, (waiting, *self.channels.values())):
            if task is not asyncio.current_task():
                task.cancel()
        await self.connection.close()


async def room(channel: RTCDataChannel) -> None:
    """Wait until a channel's buffer has room. Raises `TimeoutError` when it holds the same for `STALL_S`."""
    loop = asyncio.get_running_loop()
    left, moved = channel.bufferedAmount, loop.time()
    while channel.bufferedAmount > BUFFER:
        await asyncio.sleep(0.02)
        if channel.bufferedAmount < left:
            left, moved = channel.bufferedAmount, loop.time()
        elif loop.time() > moved + STALL_S:
            raise TimeoutError


async def offer(request: web.Request) -> web.Response:
    """POST /offer: a description of the reader's end in, one of this end out."""
    feed, peers = request.app[FEED], request.app[PEERS]
    after = request.query.get("after")
    kept = feed.since(after)
    begins = after or (f"{feed.epoch}-{kept[0].id - 1}" if kept else feed.cursor)
    try:
        said = json.loads(await body_text(request))
        sdp = said["sdp"] if said["type"] == "offer" else None
    except (ValueError, LookupError, TypeError, RecursionError):
        sdp = None
    if not isinstance(sdp, str):
        raise web.HTTPBadRequest(text='an offer is JSON: {"type": "offer", "sdp": "…"}\n')
    if len(peers) >= PEERS_LIMIT or request.app[STOPPING].is_set():
        raise web.HTTPServiceUnavailable(text="no room for another peer\n")
    peer = Peer(feed, begins, peers)
    try:
        answer = await peer.answer(sdp, request.app[LOCAL])
    except BaseException as error:
        await peer.close()
        if isinstance(error, UNREADABLE):
            raise web.HTTPBadRequest(text="not an offer of a data channel\n") from None
        raise
    return web.json_response({"type": answer.type, "sdp": answer.sdp, "after": begins})


async def close_all(app: web.Application) -> None:
    """The server stops: say so to every peer."""
    await asyncio.gather(*(peer.close() for peer in app[PEERS]))


def make_app(feed: Feed, *, origins: tuple[str, ...] = ()) -> web.Application:
    """The application: what all feed servers share, and this transport's one route."""
    app = feed_app(feed, "webrtc_feed.html", origins=origins)
    app[PEERS] = {}
    app.router.add_post("/offer", offer)
    app.on_shutdown.append(close_all)
    return app


if __name__ == "__main__":
    main(make_app, __doc__)
