"""The feed over WebRTC data channels: what it promises, on real datagrams, since virtual time knows streams alone."""

import asyncio
import json
import os
import re
import shutil
import signal
from contextlib import aclosing, asynccontextmanager

import aiohttp
import aioice.ice
import aioice.stun
import pytest
from aiortc import RTCSessionDescription
from hypothesis import given
from hypothesis import strategies as st
from playwright.async_api import async_playwright

from labs import hosting
from labs.choosing.datagram_link import HEADERS, DatagramLink
from labs.choosing.webrtc_client import Progress, channel, follow, read, webrtc_reader
from labs.feed import Event, Feed, Gone
from labs.hosting import serving
from labs.launch import launch
from labs.link import DOWN, UP
from labs.measure import deliver
from labs.peers import new_peer, stay_here
from labs.servers import webrtc_feed

DTLS = 13 + 8 + 16  # a record's header, the explicit nonce and the tag (RFC 6347 §4.3.1, RFC 5288 §3)
SCTP = 12  # the common header (RFC 9260 §3.1)
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
DATA, SACK = 16, 16  # the headers of these chunks (RFC 9260 §3.3.1, §3.3.4)


@pytest.fixture(autouse=True)
def complaints(caplog):
    """No test leaves a complaint in the log, such as an exception that nobody asked for."""
    yield
    wrong = [record for record in caplog.records if record.levelname in ("WARNING", "ERROR", "CRITICAL")]
    assert [record.getMessage() for record in wrong if "Executing" not in record.getMessage()] == []


@pytest.fixture
def hasty(monkeypatch):
    """Consent is asked for 20 times a second, and expires after half a second, at both ends."""
    monkeypatch.setattr(aioice.ice, "CONSENT_INTERVAL", 0.05)
    monkeypatch.setattr(aioice.stun, "RETRY_RTO", 0.05)


class Still:
    """Instead of a source of random numbers: no pauses between tries."""

    def uniform(self, low, high):
        return 0.0


class Server:
    """A feed server in this process."""

    def __init__(self, url: str, app):
        self.url, self.app = url, app
        self.feed, self.peers = app[webrtc_feed.FEED], app[webrtc_feed.PEERS]

    async def becomes(self, condition, within_s: float = 5.0):
        async with asyncio.timeout(within_s):
            while not condition():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def server_here(keep: int = 1000):
    app = webrtc_feed.make_app(Feed(keep=keep))
    before = len(asyncio.all_tasks())
    async with serving(app) as url:
        yield Server(url, app)
    await Server("", app).becomes(lambda: len(asyncio.all_tasks()) <= before)


@asynccontextmanager
async def post(url: str, **request):
    async with aiohttp.ClientSession() as http, http.post(url, **request) as response:
        yield response


async def take(stream, count: int) -> list[Event]:
    async with aclosing(stream), asyncio.timeout(20):
        return [await anext(stream) for _ in range(count)]


# Resume.


@pytest.mark.parametrize("ordered", [True, False])
async def test_reader_cut_again_and_again_on_a_lossy_link_loses_nothing_and_repeats_nothing(ordered, hasty):
    async with server_here() as server, DatagramLink(rtt_ms=4, loss=0.02, seed=3) as link:

        async def talk():
            for number in range(200):
                server.feed.publish(str(number))
                await asyncio.sleep(0.004)

        async def read():
            got = []
            async with aclosing(follow(server.url, ordered=ordered, link=link, rng=Still())) as stream:
                async for event in stream:
                    got.append(event.data)
                    if len(got) == 200:
                        return got
                    if len(got) % 100 == 0:
                        link.cut()  # in silence: noticed when consent expires
                    elif len(got) % 33 == 0:
                        await asyncio.gather(*(peer.close() for peer in server.peers))

        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            group.create_task(talk())
            reading = group.create_task(read())
        expected = [str(number) for number in range(200)]
        assert (reading.result() if ordered else sorted(reading.result(), key=int)) == expected


async def test_reader_resumes_from_a_cursor_that_it_kept():
    async with server_here() as server:
        published = [server.feed.publish(str(number)) for number in range(10)]
        assert await take(follow(server.url, published[6].cursor), 3) == published[7:]


async def test_reader_without_a_cursor_is_told_where_the_events_begin():
    async with server_here(keep=10) as server:
        for begins in (0, 5, 20):
            for number in range(begins):
                server.feed.publish(str(number))
            told = []
            async with channel(server.url, begins=told.append):
                pass
            assert told == [f"{server.feed.epoch}-{max(0, server.feed._last_id - 10)}"]


@given(st.permutations(range(4, 24)), st.lists(st.integers(4, 23)))
def test_out_of_order_every_event_is_fresh_once_and_none_missing_is_passed_over(order, repeated):
    progress, fresh = Progress("00000000-3", waits=True), []
    for number in [x for pair in zip(order, [*repeated, *order], strict=False) for x in pair]:
        event = Event(number, 0, "", f"00000000-{number}")
        fresh += [number] if progress.fresh(event) else []
        reached = int(progress.after.rpartition("-")[2])
        assert set(range(4, reached + 1)) <= set(fresh) and reached + 1 not in fresh
    assert sorted(fresh) == list(range(4, 24))


# Gone, and what is refused.


@pytest.mark.parametrize("cursor", ["0000abcd-0", None])
async def test_cursor_of_another_epoch_or_past_the_window_is_gone(cursor):
    async with server_here(keep=10) as server:
        published = [server.feed.publish(str(number)) for number in range(30)]
        with pytest.raises(Gone):
            await take(follow(server.url, cursor or published[18].cursor), 1)
        assert server.peers == {}


async def test_reader_too_slow_for_the_window_is_told(monkeypatch):
    monkeypatch.setattr(webrtc_feed, "BUFFER", 1000)
    async with server_here(keep=10) as server, DatagramLink() as link, channel(server.url, link=link) as (_, texts):
        link.loss = 1.0
        for _ in range(30):
            server.feed.publish("x" * 500)
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        link.loss = 0.0
        async with asyncio.timeout(10):
            with pytest.raises(Gone, match="no longer kept"):
                while True:
                    read(await texts.get())
            assert await texts.get() is None
        await server.becomes(lambda: not server.peers)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"[" * 20_000, 400),
        (b'"offer"', 400),
        (b'{"type": "offer"}', 400),
        (b'{"type": "offer", "sdp": 3}', 400),
        (b'{"type": "answer", "sdp": "v=0"}', 400),
        (b'{"type": "offer", "sdp": ""}', 400),
        (b'{"type": "offer", "sdp": "v=0\\r\\nm=application 9\\r\\n"}', 400),
        (b'{"type": "offer", "sdp": "v=0\\r\\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\\r\\n"}', 400),
        (b"\xff", 400),
        (b"x" * 70_000, 413),
    ],
)
async def test_body_that_is_no_offer_is_refused_and_leaves_nothing(body, status):
    async with server_here() as server, aiohttp.ClientSession() as http:
        async with http.post(f"{server.url}/offer", data=body) as response:
            assert response.status == status
        assert server.peers == {}


async def real_offer(*kinds: str) -> str:
    peer = new_peer()
    for kind in kinds:
        peer.addTransceiver(kind)
    peer.createDataChannel("events")
    stay_here(peer)
    await peer.setLocalDescription(await peer.createOffer())
    text = peer.localDescription.sdp
    await peer.close()
    return text


async def test_offer_with_any_line_missing_or_spoilt_is_answered_or_refused_but_never_an_error():
    lines = (await real_offer()).splitlines()
    broken = [lines[:n] + lines[n + 1 :] for n in range(len(lines))]
    broken += [[*lines[:n], re.sub(r"[0-9]+", "x", line), *lines[n + 1 :]] for n, line in enumerate(lines)]
    broken += [[*lines[:n], line[: len(line) // 2], *lines[n + 1 :]] for n, line in enumerate(lines)]
    media = [(await real_offer(*kinds)).splitlines() for kinds in (["audio"], ["audio", "video"])]
    async with server_here() as server, aiohttp.ClientSession() as http:
        for sdp in [*media, *broken]:
            offer = {"type": "offer", "sdp": "\r\n".join(sdp) + "\r\n"}
            async with http.post(f"{server.url}/offer", json=offer) as response:
                assert response.status in ((400,) if sdp in media else (200, 400)), sdp
            await asyncio.gather(*(peer.close() for peer in server.peers))


@pytest.mark.parametrize(("query", "status"), [("?after=x", 400), ("?after=00000000-99", 410)])
async def test_wrong_cursor_is_refused(query, status):
    offer = {"type": "offer", "sdp": await real_offer()}
    async with server_here() as server, post(f"{server.url}/offer{query}", json=offer) as answer:
        assert answer.status == status


async def test_page_of_another_origin_is_refused():
    foreign = {"Origin": "http://mallory.example"}
    async with server_here() as server, post(f"{server.url}/offer", headers=foreign) as response:
        assert response.status == 403


async def test_no_more_peers_than_the_limit_and_one_who_leaves_makes_room(monkeypatch):
    monkeypatch.setattr(webrtc_feed, "PEERS_LIMIT", 1)
    async with server_here() as server:
        async with channel(server.url):
            with pytest.raises(aiohttp.ClientResponseError, match="503"):
                async with channel(server.url):
                    pass
        await server.becomes(lambda: not server.peers)
        async with channel(server.url):
            pass


async def test_answer_names_this_machines_own_address_alone_and_the_offers_addresses_are_not_used():
    async with server_here() as server, aiohttp.ClientSession() as http:
        sdp = (await real_offer()).replace("127.0.0.1", "192.0.2.99")
        async with http.post(f"{server.url}/offer", json={"type": "offer", "sdp": sdp}) as response:
            answer = (await response.json())["sdp"]
        candidates = [line for line in answer.splitlines() if line.startswith("a=candidate:")]
        assert len(candidates) == 1 and candidates[0].split()[4] == "127.0.0.1"
        (peer,) = server.peers
        assert peer.connection.sctp.transport.transport.getRemoteCandidates() == []


# What a reader sends.


async def test_text_on_the_channel_is_published():
    async with server_here() as server, channel(server.url) as (events, texts):
        events.send("grüße")
        assert json.loads(await texts.get())["data"] == "grüße"
        async with aiohttp.ClientSession() as http, http.post(f"{server.url}/events", data="over HTTP") as response:
            assert response.status == 201
        assert json.loads(await texts.get())["data"] == "over HTTP"


@pytest.mark.parametrize("message", [b"bytes", "x" * 65_537])
async def test_what_is_no_event_closes_the_channel_and_is_not_published(message):
    async with server_here() as server, channel(server.url) as (events, texts):
        events.send(message)
        async with asyncio.timeout(5):
            assert await texts.get() is None
        assert server.feed.since() == []


async def test_largest_event_arrives_whole():
    async with server_here() as server:
        text = "\x01" * 40_000  # six characters each in JSON
        server.feed.publish(text)
        assert (await take(follow(server.url), 1))[0].data == text


# Nothing is left behind.


async def test_reader_who_vanishes_is_forgotten_when_consent_expires(hasty):
    async with server_here() as server, DatagramLink() as link:
        before = len(asyncio.all_tasks())
        async with channel(server.url, link=link):
            link.cut()  # so that the reader's last words are lost, too
            assert len(server.peers) == 1
        await server.becomes(lambda: not server.peers and len(asyncio.all_tasks()) <= before)


async def test_offer_that_nobody_follows_up_is_forgotten(monkeypatch):
    monkeypatch.setattr(webrtc_feed, "PATIENCE_S", 0.1)
    async with server_here() as server, aiohttp.ClientSession() as http:
        async with http.post(f"{server.url}/offer", json={"type": "offer", "sdp": await real_offer()}) as response:
            assert response.status == 200 and len(server.peers) == 1
        await server.becomes(lambda: not server.peers)


async def test_peer_whose_buffer_does_not_move_is_dropped_and_was_sent_no_more_than_its_buffer(monkeypatch):
    monkeypatch.setattr(webrtc_feed, "STALL_S", 0.3)
    async with server_here() as server, DatagramLink() as link, channel(server.url, link=link):
        link.loss = 1.0
        (peer,) = server.peers
        (stuck,) = peer.channels
        for _ in range(300):
            server.feed.publish("x" * 1000)
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        assert 0 < stuck.bufferedAmount <= webrtc_feed.BUFFER + 1100
        await server.becomes(lambda: not server.peers)


async def test_sigterm_tells_every_reader_and_exits():
    async with launch("webrtc_feed") as server:
        async with asyncio.TaskGroup() as group:
            ended = []

            async def read():
                async with channel(server.origin) as (_, texts):
                    ended.append(asyncio.get_running_loop().create_future())
                    mine = ended[-1]
                    mine.set_result(await texts.get())

            for _ in range(10):
                group.create_task(read())
            async with asyncio.timeout(10):
                while len(ended) < 10:
                    await asyncio.sleep(0.01)
            start = asyncio.get_running_loop().time()
            server.host.popen.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(server.host.popen.wait, 10) == 0
            assert asyncio.get_running_loop().time() - start < 4  # two seconds, and as many again for a busy machine
        assert [future.result() for future in ended] == [None] * 10
        assert server.log == []


# Loss, and what is on the wire.


async def test_unreliable_channel_under_loss_misses_what_was_lost_and_repeats_nothing():
    async with server_here() as server, DatagramLink(rtt_ms=4, loss=0.1, seed=5) as link:

        def lost() -> list[bool]:  # an event's datagram is known by its size
            return [sent.lost for sent in link.delivery() if sent.direction == DOWN and sent.size > 500]

        async with channel(server.url, ordered=False, max_retransmits=0, link=link) as (_, texts):
            for number in range(300):
                server.feed.publish("x" * (500 + number))
                await asyncio.sleep(0.002)
            await server.becomes(lambda: len(lost()) == 300 and texts.qsize() >= 300 - sum(lost()), within_s=15)
            got = [json.loads(text)["id"] for text in (texts.get_nowait() for _ in range(texts.qsize()))]
        assert len(set(got)) == len(got) == 300 - sum(lost())
        assert 10 < sum(lost()) < 60


async def test_event_on_the_wire_is_the_sum_of_its_headers():
    async with server_here() as server, DatagramLink() as link, channel(server.url, link=link) as (_, texts):
        predicted = []
        for length in (0, 1, 2, 3, 4, 100, 1000):
            server.feed.publish("x" * length)
            text = await texts.get()
            predicted.append(DTLS + SCTP + DATA + -(-len(text) // 4) * 4)  # padded to four bytes (RFC 9260 §3.2)
            await asyncio.sleep(0.02)
        data = {
            way: [sent.size for sent in link.delivery() if sent.direction == way and sent.kind == "data"]
            for way in (UP, DOWN)
        }
    assert data[DOWN][-7:] == predicted
    assert data[UP][-8:-1] == [DTLS + SCTP + SACK] * 7  # each is acknowledged; the last datagram says good-bye


async def test_reader_for_measuring_tells_latency_and_datagrams():
    async with launch("webrtc_feed") as server:
        reader = webrtc_reader(rtt_ms=10)
        (run,) = await deliver(server, [reader], events=20, per_second=100)
    assert run.lost == 0 and run.latency.percentile(0) >= 5
    assert sum(sent.kind == "data" and sent.direction == DOWN for sent in reader.datagrams.delivery()) >= 20
    assert reader.datagrams.rtt_ms == 10 and HEADERS == 8 + 20


# The link itself.


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)


class Ask(asyncio.DatagramProtocol):
    def __init__(self):
        self.answers = asyncio.Queue()

    def datagram_received(self, data, address):
        self.answers.put_nowait(data)


async def pass_through(link: DatagramLink, count: int, *, begin: bool = True) -> list[bytes]:
    """Send datagrams to an echo, one by one; what comes back."""
    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(Echo, ("127.0.0.1", 0))
    path = await link.path(*server.get_extra_info("sockname"))
    client, ask = await loop.create_datagram_endpoint(Ask, remote_addr=path)
    if begin:
        link.begin()
    for number in range(count):
        client.sendto(bytes([number]))
        await asyncio.sleep(0.001)
    async with asyncio.timeout(10):
        while len(link.trace) < count or not all(sent.lost or sent.arrived for sent in link.trace):
            await asyncio.sleep(0.01)
        await asyncio.sleep(link.rtt_ms / 1000 + 0.1)
        while not all(sent.lost or sent.arrived for sent in link.trace):
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    client.close(), server.close()
    return [ask.answers.get_nowait() for _ in range(ask.answers.qsize())]


async def test_link_delays_each_way_and_counts_both():
    async with DatagramLink(rtt_ms=30, loss=1.0) as link:  # nothing is lost before it begins
        assert await pass_through(link, 10, begin=False) == [bytes([number]) for number in range(10)]
    assert link.datagrams == {UP: 10, DOWN: 10} and link.bytes == {UP: 10, DOWN: 10}
    assert all(sent.arrived - sent.sent >= 15e6 for sent in link.trace)


async def test_link_with_the_same_seed_loses_the_same():
    got = []
    for seed in (1, 1, 2):
        async with DatagramLink(loss=0.3, seed=seed) as link:
            got.append(await pass_through(link, 60))
    assert got[0] == got[1] != got[2]
    assert 10 < len(got[0]) < 50


async def test_link_leaves_one_candidate_in_a_description():
    peer = new_peer()
    peer.createDataChannel("events")
    stay_here(peer)
    await peer.setLocalDescription(await peer.createOffer())
    sdp, (host, port) = peer.localDescription.sdp, ("127.0.0.1", 1)
    async with DatagramLink() as link:
        line = next(line for line in sdp.splitlines() if line.startswith("a=candidate:"))
        changed = await link.through(sdp.replace(line, f"{line}\r\n{line.replace(host, '192.0.2.1')}"))
        candidates = [line.split() for line in changed.splitlines() if line.startswith("a=candidate:")]
        assert len(candidates) == 1 and candidates[0][4] == host and int(candidates[0][5]) != port
        RTCSessionDescription(changed, "offer")
    await peer.close()


# A real browser.


@asynccontextmanager
async def live_page(url: str):
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None and os.environ.get("CI") != "true":
        pytest.skip("no Chromium on PATH: its data channels are not compared with ours here")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = await browser.new_page()
        await page.goto(url)
        try:
            yield page
        finally:
            await browser.close()


async def shows(page, where: str, text: str) -> None:
    """Wait until an element holds this text."""
    matches = "([where, text]) => document.querySelector(where).textContent.includes(text)"
    await page.wait_for_function(matches, arg=[where, text], timeout=20_000)


async def test_browser_connects_chooses_resumes_and_is_told_of_a_gap(monkeypatch):
    text = hosting.page_text("webrtc_feed.html").replace("RETRY_MS = 2000", "RETRY_MS = 200")
    monkeypatch.setattr(hosting, "page_text", lambda page: text)
    async with server_here() as server, live_page(server.url) as page:
        complaints = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.wait_for_function("() => /Open|loopback/.test(document.querySelector('#state').textContent)")
        if "loopback" in await page.text_content("#state"):
            pytest.skip("Chromium does not speak WebRTC on a machine whose only network is loopback")
        await shows(page, "#state", "in order, sent until they arrive")
        await page.fill("#text", "from the page")
        await page.press("#text", "Enter")
        await shows(page, "#list", "from the page")
        await page.select_option("#promise", "0 0")
        await shows(page, "#state", "in any order, sent once")
        (peer,) = server.peers
        (channel,) = peer.channels
        assert (channel.ordered, channel.maxRetransmits) == (False, 0)
        await peer.close()
        server.feed.publish("in between")
        await shows(page, "#list", "in between")
        server.feed.epoch = "0000abcd"
        for peer in list(server.peers):
            await peer.close()
        await shows(page, "#list", "Gap: this cursor is from before")
        server.feed.publish("afterwards")
        await shows(page, "#list", "afterwards")
        assert (await page.text_content("#missing"), complaints) == ("0", [])
