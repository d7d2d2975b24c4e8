"""HTTP/2 and HTTP/3: bytes by the RFC's own examples, round trips and late messages against their models, limits in a browser."""

import asyncio
import json
import os
import ssl
from contextlib import asynccontextmanager
from typing import ClassVar

import pytest
import pytest_asyncio
from aioquic.asyncio import QuicConnectionProtocol, serve
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import HeadersReceived
from cryptography.hazmat.primitives import hashes
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from playwright.async_api import async_playwright
from test_pages import CHROMIUM, FLAGS, LIMIT_MS

from labs import charts
from labs.choosing import certificate, first_byte, header_table, http2, http3
from labs.choosing.quic_path import server_settings
from labs.models.sizes import CHROMIUM_HEADERS, poll_request, poll_response
from labs.virtual import launch

# HTTP/2: bytes

ASKS = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")]
SAYS = [(":status", "302"), ("cache-control", "private"), ("date", "Mon, 21 Oct 2013 20:13:21 GMT")]
SAYS += [("location", "https://www.example.com")]
COOKIE = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"


def test_header_blocks_are_as_long_as_in_the_rfcs_own_examples():
    table = header_table.Table()  # RFC 7541 Appendix C.4
    assert table.block(ASKS) == 17
    assert table.block([*ASKS, ("cache-control", "no-cache")]) == 12
    https = [(":method", "GET"), (":scheme", "https"), (":path", "/index.html"), (":authority", "www.example.com")]
    assert table.block([*https, ("custom-key", "custom-value")]) == 24


def test_small_table_forgets_as_in_the_rfcs_own_examples():
    table = header_table.Table(256)  # RFC 7541 Appendix C.6
    assert table.block(SAYS) == 54
    assert table.block([(":status", "307"), *SAYS[1:]]) == 8
    later = [("date", "Mon, 21 Oct 2013 20:13:22 GMT"), SAYS[3], ("content-encoding", "gzip"), ("set-cookie", COOKIE)]
    assert table.block([(":status", "200"), SAYS[1], *later]) == 79


@pytest.mark.parametrize(
    "value, prefix, size", [(10, 5, 1), (1337, 5, 3), (42, 8, 1), (126, 7, 1), (127, 7, 2), (255, 7, 3)]
)
def test_number_takes_the_bytes_that_the_rfc_says(value, prefix, size):
    assert header_table.integer(value, prefix) == size  # RFC 7541 §5.1 and Appendix C.1


@pytest.mark.parametrize("more", [None, CHROMIUM_HEADERS], ids=["lean", "browser"])
def test_every_poll_takes_the_bytes_that_were_predicted(more):
    polls = http2.over_http2(http2.idle_polls(150, more))  # more than the table remembers
    assert [poll.http2 for poll in polls] == [poll.predicted for poll in polls]
    known = sum(parts for parts in poll_request(http2.HOST, "6b1f0c2d-17", more).values())
    assert {poll.http1 for poll in polls} == {known + sum(poll_response([]).values())}
    fields = 4 + len(more or {}) - ("Connection" in (more or {}))  # every one of them was sent before
    assert {poll.request for poll in polls[1:]} == {9 + fields}


def test_date_is_the_only_field_that_every_answer_spells_out():
    first, second, *_ = http2.over_http2(http2.idle_polls(3))
    spelled = second.http2 - second.request - 9 - 9 - 2  # without the heads of two frames and the body
    assert spelled == 4 + 1 + header_table.string(
        "Thu, 01 Jan 2026 00:00:01 GMT"
    )  # four numbers; the date's name and text
    assert first.http2 > second.http2


def test_data_frame_adds_nine_bytes_to_an_event():
    found = http2.event_bytes(json.dumps({"id": 17}), "6b1f0c2d-17")
    assert all(predicted == counted for predicted, counted in found.values())
    assert found["WebSocket over HTTP/2"][1] - found["WebSocket"][1] == 9  # RFC 9113 §4.1
    assert found["SSE over HTTP/2"][1] - found["SSE"][1] == 9 - len("29\r\n\r\n")


# WebTransport under loss, on a simulated network

LOSS, SEEDS = 0.05, range(3)  # 900 messages for each way


@pytest.fixture(scope="module")
def deliveries():
    return {way: [http3.under_loss(way, loss=LOSS, seed=seed) for seed in SEEDS] for way in http3.WAYS}


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


def test_datagrams_lose_what_the_network_loses_and_are_never_late(deliveries):
    assert all(found.late == 0 for found in deliveries["datagrams"])
    lost = mean(found.lost for found in deliveries["datagrams"])
    assert 0.5 * LOSS < lost < 1.5 * LOSS  # 45 of 900 expected, within 3 σ


def test_streams_lose_nothing_and_only_one_makes_others_wait(deliveries):
    one, each = deliveries["one stream"], deliveries["a stream each"]
    assert all(found.lost == 0 for found in one + each)
    for found in each:  # what is late there was lost at least once, and only that
        assert all(delay == pytest.approx(25, abs=0.1) or delay > 75 for delay in found.delays_ms)
    assert mean(found.late for found in one) > 2.5 * mean(found.late for found in each)


@pytest.mark.parametrize("way", http3.WAYS)
def test_share_of_late_messages_is_what_the_model_says(deliveries, way):
    expected = http3.late(way, loss=LOSS)
    assert mean(found.late for found in deliveries[way]) == pytest.approx(expected, rel=0.4, abs=0.001)


def test_lost_message_comes_a_gap_and_a_round_trip_later(deliveries):
    once = [delay for found in deliveries["a stream each"] for delay in found.delays_ms if delay > 75]
    assert sorted(once)[len(once) // 2] == pytest.approx(
        25 + 10 + 50, abs=2
    )  # RFC 9002 §6.1; an acknowledgment may wait 1 ms


def test_nothing_is_late_or_lost_without_loss():
    for way in http3.WAYS:
        found = http3.under_loss(way, loss=0, messages=50)
        assert (found.late, found.lost) == (0, 0)


def test_same_seed_loses_the_same_messages():
    one, other = (http3.under_loss("datagrams", loss=0.2, messages=60, seed=3) for _ in range(2))
    assert one.delays_ms == other.delays_ms and one.lost > 0


async def test_first_byte_takes_the_round_trips_that_the_rfcs_say():
    rtt_ms = 200  # what both ends compute is little beside it
    found = await first_byte.first_bytes(rtt_ms=rtt_ms, repeats=1)
    for name, [took] in found.items():
        assert first_byte.ROUND_TRIPS[name] <= took / rtt_ms * 1.001 < first_byte.ROUND_TRIPS[name] + 0.7, found


# The chart


def test_chart_of_versions_writes_every_value_behind_its_bar_and_draws_every_model():
    polls = {"old": (695, 695), "new": (74, 70)}
    trips = {"TCP": ([2.1, 2.2], 2), "QUIC": ([1.9], 2)}
    shares = {"one stream": (0.172, 0.0, 0.185), "datagrams": (0.0, 0.045, 0.05)}
    chart = charts.versions(polls, trips, shares, title="t", says="s", caption="c")
    left, middle, right = chart.figure.axes
    assert [text.get_text() for text in left.texts] == ["695", "74"]
    assert [text.get_text() for text in right.texts] == ["17.2% late", "4.5% lost"]
    models = [
        [line.get_xdata()[0] for line in axes.lines if len(set(line.get_ydata())) == 2]
        for axes in (left, middle, right)
    ]
    assert models == [[695, 70], [2, 2], [pytest.approx(18.5), pytest.approx(5)]]
    assert chart.png() == charts.versions(polls, trips, shares, title="t", says="s", caption="c").png()


# In a real browser

in_browser = pytest.mark.asyncio(loop_scope="module")
BROWSER_FLAGS = [flag for flag in FLAGS if flag != "--disable-quic"]
OPEN = """([kind, url, count]) => { window.open7 = Array.from({length: count}, () => new window[kind](url)); }"""
IS_OPEN = "count => open7.filter(one => one.readyState === 1).length >= count"
HOW_MANY = "() => open7.filter(one => one.readyState === 1).length"
LISTEN = """async ([url, hash]) => {
  const session = new WebTransport(url, {serverCertificateHashes: [{algorithm: "sha-256", value: new Uint8Array(hash)}]});
  await session.ready;
  const {value: stream} = await session.incomingUnidirectionalStreams.getReader().read();
  const {value: datagram} = await session.datagrams.readable.getReader().read();
  const heard = [await new Response(stream).text(), new TextDecoder().decode(datagram)];
  session.close();
  return heard;
}"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser():
    if not CHROMIUM and os.environ.get("CI") == "true":
        pytest.fail("in CI browsers' limits must be tested, and there is no Chromium on PATH")
    if not CHROMIUM:
        pytest.skip("no Chromium on PATH: a browser's limits are not tested here")
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_FLAGS)
        yield started
        await started.close()


@asynccontextmanager
async def page_at(browser, url: str):
    context = await browser.new_context(ignore_https_errors=True)
    page = await context.new_page()
    await page.goto(url)
    yield page
    await context.close()


class Http2Server(asyncio.Protocol):
    """Answers GET /events with an event stream that does not end, and everything else with an empty page, over HTTP/2."""

    streaming: ClassVar[set] = set()  # the connections on which there is an event stream

    def connection_made(self, transport):
        self.transport, self.http = transport, H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.http.initiate_connection()
        transport.write(self.http.data_to_send())

    def data_received(self, data):
        for event in self.http.receive_data(data):
            if isinstance(event, RequestReceived):
                endless = dict(event.headers)[":path"] == "/events"
                if endless:
                    self.streaming.add(self)
                kind = "text/event-stream" if endless else "text/html"
                self.http.send_headers(event.stream_id, [(":status", "200"), ("content-type", kind)])
                self.http.send_data(event.stream_id, b":\n\n" if endless else b" ", end_stream=not endless)
        self.transport.write(self.http.data_to_send())


@asynccontextmanager
async def http2_server(folder):
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(certificate.write(folder))
    secure.set_alpn_protocols(["h2"])
    server = await asyncio.get_running_loop().create_server(Http2Server, "127.0.0.1", 0, ssl=secure)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@in_browser
async def test_seventh_event_stream_waits_until_one_of_six_ends(browser):
    async with launch("sse") as server, page_at(browser, f"{server.url}/none") as page:
        await page.evaluate(OPEN, ["EventSource", f"{server.url}/events", 7])
        await page.wait_for_function(IS_OPEN, arg=6, timeout=LIMIT_MS)
        await asyncio.sleep(0.5)  # time enough for the others to open many times over
        assert await page.evaluate(HOW_MANY) == 6
        await page.evaluate("() => open7[0].close()")  # leaves five
        await page.wait_for_function(IS_OPEN, arg=6, timeout=LIMIT_MS)


@in_browser
async def test_twenty_event_streams_open_at_once_over_one_http2_connection(browser, tmp_path):
    Http2Server.streaming.clear()
    async with http2_server(tmp_path) as url, page_at(browser, f"{url}/none") as page:
        await page.evaluate(OPEN, ["EventSource", f"{url}/events", 20])
        await page.wait_for_function(IS_OPEN, arg=20, timeout=LIMIT_MS)
    assert len(Http2Server.streaming) == 1


@in_browser
async def test_seven_sockets_open_at_once_over_http1(browser):
    async with launch("websocket") as server, page_at(browser, f"{server.url}/none") as page:
        await page.evaluate(OPEN, ["WebSocket", f"{server.ws}/events", 7])
        await page.wait_for_function(IS_OPEN, arg=7, timeout=LIMIT_MS)


class Transporter(QuicConnectionProtocol):
    """Sends into every WebTransport session a stream with one word, and the other word as a datagram until the end."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self.http = None

    def quic_event_received(self, event):
        self.http = self.http or H3Connection(self._quic, enable_webtransport=True)
        for heard in self.http.handle_event(event):
            if isinstance(heard, HeadersReceived):
                session = heard.stream_id
                self.http.send_headers(session, [(b":status", b"200")])
                stream = self.http.create_webtransport_stream(session, is_unidirectional=True)
                self._quic.send_stream_data(stream, b"kept", end_stream=True)
                self.repeat(session)

    def repeat(self, session: int):
        if not self._closed.is_set():
            self.http.send_datagram(session, b"fast")
            self.transmit()
            self._loop.call_later(0.05, self.repeat, session)


@in_browser
async def test_browser_hears_a_stream_and_a_datagram_of_one_webtransport_session(browser, tmp_path):
    server = await serve("127.0.0.1", 0, configuration=server_settings(), create_protocol=Transporter)
    port = server._transport.get_extra_info("sockname")[1]
    digest = list(certificate.self_signed()[0].fingerprint(hashes.SHA256()))
    async with http2_server(tmp_path) as url, page_at(browser, url) as page, asyncio.timeout(LIMIT_MS / 1000):
        assert await page.evaluate(LISTEN, [f"https://127.0.0.1:{port}/events", digest]) == ["kept", "fast"]
    server.close()
