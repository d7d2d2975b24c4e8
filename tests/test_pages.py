"""The live pages in a real browser: what they show, through cuts, restarts and black holes, and behind a path prefix."""

import asyncio
import os
import re
import shutil
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import TimeoutError, async_playwright
from transports import SOCKETS

from labs.hosting import PAGES, page_text
from labs.ledger import messages
from labs.virtual import launch  # on this process's own event loop: that a process can be started is tested elsewhere

FEEDS = ["http_polling", "long_polling", "sse"]
every_page = pytest.mark.parametrize("name", [*FEEDS, "console"])
every_socket_server = pytest.mark.parametrize("name", SOCKETS)
pytestmark = pytest.mark.asyncio(loop_scope="module")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
HASTE = [("PATIENCE_MS = 4000", "PATIENCE_MS = 700"), ("RETRY_MS = 2000", "RETRY_MS = 300")]
HASTE += [
    ("SILENCE_MS = 20_000", "SILENCE_MS = 900"),
    ('min="1" max="25" value="10"', 'min="0.4" step="0.1" value="0.4"'),
]
HASTE += [('step="0.2" value="1"', 'step="0.2" value="0.2"')]
LIMIT_MS = 10_000
ROWS = "[...document.querySelectorAll('#list li span:first-child')].map(span => span.textContent)"
MATCHES = "([where, pattern]) => document.querySelector(where).textContent.match(pattern)"
GAP = "Gap: this cursor is from before the server restarted. What happened in between is unknown."


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def chromium():
    if not CHROMIUM and os.environ.get("CI") == "true":
        pytest.fail("in CI the live pages must be tested, and there is no Chromium on PATH")
    if not CHROMIUM:
        pytest.skip("no Chromium on PATH: the live pages are not tested here")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


class Tab:
    """A live page in a tab of its own, and what it complained of."""

    def __init__(self, page):
        self.page, self.complaints = page, []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))

    async def open(self, url: str, haste=()):
        async def answer(route):
            response = await route.fetch()
            text = await response.text()
            for usual, hasty in haste:
                text = text.replace(usual, hasty)
            await route.fulfill(response=response, body=text)

        if haste:
            await self.page.route(url, answer)
        await self.page.goto(url)

    async def publish(self, text: str):
        await self.page.fill("#text", text)
        await self.page.press("#text", "Enter")

    async def shows(self, *texts: str):
        """Wait until the list holds these rows, and no others."""
        with suppress(TimeoutError):
            await self.page.wait_for_function(f"texts => String({ROWS}) === String(texts)", arg=texts, timeout=LIMIT_MS)
        assert await self.page.evaluate(ROWS) == list(texts)

    async def says(self, pattern: str, where: str = "#state"):
        """Wait until the status line, or another element, matches."""
        with suppress(TimeoutError):
            await self.page.wait_for_function(MATCHES, arg=[where, pattern], timeout=LIMIT_MS)
        assert re.match(pattern, await self.page.text_content(where))


@asynccontextmanager
async def tab_at(chromium, url: str, haste=(), kind=Tab, **look):
    context = await chromium.new_context(**{"viewport": {"width": 700, "height": 420}, **look})
    tab = kind(await context.new_page())
    await tab.open(f"{url}/", haste)
    yield tab
    await context.close()
    network = ("Failed to load resource: ", "WebSocket connection to ")  # the browser's own words for what fails
    assert [text for text in tab.complaints if not text.startswith(network)] == []


@asynccontextmanager
async def prefix_proxy(target: str, prefix: str):
    """A reverse proxy that mounts `target` under a path, as a hub does. Yields the page's address there."""

    async def forward(request: web.Request):
        url = target + request.rel_url.raw_path_qs.removeprefix(prefix)
        body = await request.read()
        async with http.request(request.method, url, headers=request.headers, data=body or None) as answer:
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            return response

    app = web.Application()
    app.router.add_route("*", prefix + "/{path:.*}", forward)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    async with aiohttp.ClientSession() as http:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}{prefix}"
        await runner.cleanup()


def on_every_page(story):
    """A test that plays the story on all pages at once, each with a server of its own, because it mostly waits."""

    async def test(chromium):
        ends = await asyncio.gather(*(story(chromium, name) for name in FEEDS), return_exceptions=True)
        for name, end in zip(FEEDS, ends, strict=True):
            if isinstance(end, BaseException):
                end.add_note(f"on the page of {name}")
                raise end

    test.__name__ = story.__name__
    return test


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colors given as #rrggbb (WCAG 2.2, 1.4.3)."""

    def luminance(color):
        parts = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


# Without a browser.


@every_page
async def test_page_needs_nothing_but_itself_and_relative_urls(name):
    text = page_text(f"{name}.html")
    assert (
        '<link rel="icon" href="data:,">' in text
    )  # or the browser asks for /favicon.ico, which the byte ledger counts
    assert re.findall(r"https?:|//[a-z]|@import|\bsrc=|(?:href|action)=\"(?!data:,\")|[\"'`]/[a-z]", text) == []


@every_page
async def test_protocol_stands_before_everything_that_draws(name):
    text = (PAGES / f"{name}.html").read_text("utf-8")
    assert text.index('<script type="module">') < text.index("<!-- common -->")


async def test_text_is_legible_in_light_and_dark():
    common = (PAGES / "_common.html").read_text("utf-8")
    schemes = [
        dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r":root \{.*?\}", common, re.DOTALL)
    ]
    assert len(schemes) == 2
    for scheme in schemes:
        for text in ("ink", "soft", "alarm"):
            assert contrast(scheme[text], scheme["paper"]) >= 4.5


# With one.


@on_every_page
async def test_events_of_form_and_cell_are_shown_in_order_and_only_the_forms_delay_is_known(chromium, name):
    async with launch(name, rtt_ms=60) as server, tab_at(chromium, server.url, HASTE) as tab:
        await tab.publish("from the form")
        await tab.shows("from the form")
        last = await server.publish("<b>from</b>\n a cell")
        await tab.shows("from the form", "<b>from</b>\n a cell")
        own, others = await tab.page.locator("#list .meta").all_text_contents()
        assert others == "#2"
        assert int(re.fullmatch(r"#1, after ([\d,]+) ms", own)[1].replace(",", "")) >= 60  # up and down
        assert await tab.page.text_content("#cursor") == last.cursor
        assert await tab.page.text_content("#events") == "2"
        lines = [message.start_line for message in messages(server.link.trace()) if message.direction == "up"]
        assert {urlsplit(line.split(" ")[1]).path for line in lines} <= {"/", "/events", "/healthz"}  # no icon, no font


@on_every_page
async def test_link_is_cut_and_nothing_is_lost_or_doubled(chromium, name):
    async with launch(name) as server, tab_at(chromium, server.url, HASTE) as tab:
        await server.publish("0")
        await tab.shows("0")
        for n in range(1, 10):
            await server.publish(str(n))
            if n % 3 == 2:
                server.link.cut()
                await asyncio.sleep(0.05)
        await tab.shows(*map(str, range(10)))


@on_every_page
async def test_server_restarts_and_the_gap_is_shown(chromium, name):
    async with launch(name) as server, tab_at(chromium, server.url, HASTE) as tab:
        await tab.publish("before")
        await tab.shows("before")
        await server.restart()
        await tab.shows("before", GAP)
        await server.publish("after")
        await tab.publish("and on")
        await tab.shows("before", GAP, "after", "and on")


@on_every_page
async def test_black_hole_is_said_in_words_and_healed(chromium, name):
    async with launch(name) as server, tab_at(chromium, server.url, HASTE) as tab:
        await server.publish("before")
        await tab.shows("before")
        server.link.black_hole()
        await tab.says(r"^The server does not answer; asking again in 0\.3 s\.$")
        await tab.publish("into the hole")
        await tab.says("^No answer: “into the hole” may or may not have been published.$", where="#note")
        await server.publish("meanwhile")
        server.link.heal()
        await tab.shows("before", "meanwhile")
        await tab.says("^(Asking every|Asked|Open)")


@on_every_page
async def test_page_works_by_keyboard_alone(chromium, name):
    async with launch(name) as server, tab_at(chromium, server.url, HASTE) as tab:
        keys = tab.page.keyboard
        await keys.press("Tab")
        await keys.type("typed")
        await keys.press("Tab")
        await keys.press("Enter")
        await tab.shows("typed")
        while await tab.page.evaluate("document.activeElement.id") != "pause":
            await keys.press("Tab")
        assert await tab.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        await keys.press("Space")
        await tab.says("^Paused")
        await asyncio.sleep(0.2)
        asked = await tab.page.text_content("#questions")
        await server.publish("while paused")
        await asyncio.sleep(0.6)
        assert await tab.page.text_content("#questions") == asked
        await keys.press("Space")
        await tab.shows("typed", "while paused")


@on_every_page
async def test_page_behind_a_path_prefix_works(chromium, name):
    async with (
        launch(name) as server,
        prefix_proxy(server.origin, "/user/ada/proxy/40123") as address,
        tab_at(chromium, address) as tab,
    ):
        await server.publish("from a cell")
        await tab.publish("from the form")
        await tab.shows("from a cell", "from the form")


@on_every_page
async def test_dark_scheme_and_reduced_motion_are_followed(chromium, name):
    look = {"color_scheme": "dark", "reduced_motion": "reduce"}
    async with launch(name) as server, tab_at(chromium, server.url, **look) as tab:
        await tab.publish("hello")
        await tab.shows("hello")
        assert await tab.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 29)"
        transport = await tab.page.evaluate(
            "getComputedStyle(document.documentElement).getPropertyValue('--transport')"
        )
        await tab.page.wait_for_function(DRAWN, arg=[int(transport[n : n + 2], 16) for n in (1, 3, 5)], polling=200)
        await tab.page.evaluate("{ const drawn = draw; draws = 0; draw = () => { draws += 1; drawn(); }; }")
        await asyncio.sleep(1)
        assert await tab.page.evaluate("draws") < 10  # and not 30, as otherwise
        size = "document.scrollingElement.scrollHeight <= innerHeight && document.scrollingElement.scrollWidth <= innerWidth"
        assert await tab.page.evaluate(size)


DRAWN = """rgb => {
  const canvas = document.getElementById("picture");  // above the bar that fills until the next question
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height - 26);
  for (let at = 0; at < data.length; at += 4) if ([...rgb, 255].every((part, n) => data[at + n] === part)) return true;
}"""


@on_every_page
async def test_questions_never_overlap_however_slow_the_answers(chromium, name):
    if name == "sse":
        return  # asks once
    async with launch(name, rtt_ms=300) as server, tab_at(chromium, server.url, HASTE) as tab:
        waiting, most = set(), []
        tab.page.on("request", lambda request: (waiting.add(request), most.append(len(waiting))))
        tab.page.on("requestfinished", lambda request: waiting.discard(request))
        for n in range(3):
            await server.publish(str(n))
            await asyncio.sleep(0.35)
        await tab.shows("0", "1", "2")
        assert len(most) > 2 and max(most) == 1


async def test_event_that_the_server_refuses_is_said_to_be_unpublished(chromium):
    async with launch("http_polling") as server, tab_at(chromium, server.url) as tab:
        await tab.publish("x" * 70_000)
        await tab.says("^Not published: 413", where="#note")
        await tab.publish("short")
        await tab.shows("short")
        assert not await tab.page.is_visible("#note")


# The console of the socket servers.


class Console(Tab):
    """The console in a tab."""

    async def has(self, **counters: str):
        """Wait until these counters show these texts."""
        for name, value in counters.items():
            await self.says(f"^{value}$", where=f"#{name}")

    async def connects(self, path: str, query: str = ""):
        if await self.page.text_content("#ready") != "CLOSED":
            await self.page.click("#connect")
            await self.has(ready="CLOSED")
        await self.page.select_option("#route", label=path)
        await self.page.fill("#query", query)
        await self.page.click("#connect")

    async def last_row(self) -> str:
        await self.page.wait_for_function("!landing.length", timeout=LIMIT_MS)
        return await self.page.text_content("#list li:last-child span")


def console_at(chromium, url: str, **look):
    return tab_at(chromium, url, kind=Console, **look)


@every_socket_server
async def test_console_shows_what_is_sent_what_comes_and_how_it_ends(chromium, name):
    async with launch(name, rtt_ms=30) as server, console_at(chromium, server.url) as console:
        await console.has(ready="OPEN")
        await console.connects("/echo")
        await console.has(ready="OPEN")
        await console.publish("né")
        await console.shows("open", "closed 1000, normal", "open", "né", "né")
        metas = await console.page.locator("#list .meta").all_text_contents()
        assert metas[-2] == "sent, text, 3 bytes"
        assert int(re.fullmatch(r"text, 3 bytes, after (\d+) ms", metas[-1])[1]) >= 30
        await console.page.select_option("#kind", "bytes")
        await console.publish("00 FF")
        await console.has(sent="2", received="2")
        assert await console.last_row() == "00 ff"
        await console.publish("0 f f")
        await console.says("^Not sent: bytes are pairs", where="#note")
        await console.page.fill("#code", "4000")
        await console.page.fill("#reason", "enough")
        await console.page.click("#connect")
        await console.has(ready="CLOSED")
        assert await console.last_row() == "closed 4000, a code of this application: “enough”"
        await console.publish("x")
        await console.says("^Not sent: there is no open connection.$", where="#note")


@every_socket_server
async def test_console_says_a_restart_and_carries_the_cursor_over_until_it_is_gone(chromium, name):
    async with launch(name) as server, console_at(chromium, server.url) as console:
        await console.has(ready="OPEN")
        event = await server.publish("from a cell")
        await console.has(received="1", cursor=event.cursor)
        assert await console.last_row() == event.to_json()
        server.link.cut()
        await console.says("^Closed with 1006, no close frame came: the connection broke, or was refused.$")
        second = await server.publish("meanwhile")
        assert await console.page.input_value("#query") == f"?after={event.cursor}"
        await console.page.click("#connect")
        await console.has(received="2", cursor=second.cursor)
        await server.restart()
        await console.says("^Closed with 1001, going away.$")
        await console.page.click("#connect")
        await console.says("^Closed with 4410, gone.$")
        assert await console.last_row() == "closed 4410, gone: “this cursor is from before the server restarted”"
        assert await console.page.input_value("#query") == ""


async def test_console_in_a_black_hole_knows_nothing_of_it(chromium):
    async with launch("websocket") as server, console_at(chromium, server.url) as console:
        await console.has(ready="OPEN")
        server.link.black_hole()
        await console.publish("into the hole")
        await asyncio.sleep(1.5)
        await console.has(ready="OPEN", sent="1", received="0", unsent="0")
        await console.says("^[1-9] s ago$", where="#heard")


async def test_console_says_what_a_page_may_not_close_with_and_that_an_upgrade_was_refused(chromium):
    async with launch("websocket") as server, console_at(chromium, server.url) as console:
        await console.has(ready="OPEN")
        await console.page.fill("#code", "1002")
        await console.page.click("#connect")
        await console.says("^Not connected: .*1002", where="#note")
        await console.page.fill("#code", "1000")
        await console.connects("/events", "?after=x")
        await console.says("^Closed with 1006, ")


async def test_console_works_by_keyboard_alone_in_the_dark_behind_a_prefix(chromium):
    look = {"color_scheme": "dark", "reduced_motion": "reduce"}
    async with (
        launch("websocket") as server,
        cut_off(server.origin, b"/user/ada/proxy/40123") as address,
        console_at(chromium, address, **look) as console,
    ):
        await console.has(ready="OPEN")
        keys = console.page.keyboard

        async def reach(where: str):
            while await console.page.evaluate("document.activeElement.id") != where:
                await keys.press("Tab")
            assert await console.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"

        await reach("text")
        await keys.type("typed")
        await keys.press("Enter")
        await console.has(received="1")
        await reach("connect")
        await keys.press("Space")
        await console.has(ready="CLOSED")
        await reach("route")
        await keys.press("ArrowDown")
        await reach("connect")
        await keys.press("Enter")
        await console.has(ready="OPEN")
        await reach("text")
        await keys.type("echoed")
        await keys.press("Enter")
        await console.has(received="2")
        assert await console.last_row() == "echoed"
        assert await console.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 29)"
        fits = "document.scrollingElement.scrollHeight <= innerHeight && document.scrollingElement.scrollWidth <= innerWidth"
        assert await console.page.evaluate(fits)


@asynccontextmanager
async def cut_off(target: str, prefix: bytes):
    """A relay that takes a prefix off the path of each connection's first request, as a hub does, and passes all else on."""
    where = urlsplit(target)

    async def pump(reader, writer):
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def relay(reader, writer):
        up, down = await asyncio.open_connection(where.hostname, where.port)
        down.write((await reader.readuntil(b"\r\n")).replace(b" " + prefix, b" ", 1))
        await asyncio.gather(pump(reader, down), pump(up, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{prefix.decode()}"
        server.close()
