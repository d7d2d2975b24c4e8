"""The page that speaks Socket.IO by hand, in a real browser: every packet is shown, nothing is lost through cuts and restarts."""

import asyncio
import re

import pytest
from test_pages import GAP, HASTE, chromium, tab_at  # noqa: F401  (chromium is a fixture)

from labs import hosting
from labs.hosting import PAGES, page_text
from labs.virtual import launch

pytestmark = pytest.mark.asyncio(loop_scope="module")
PACKETS = "[...document.querySelectorAll('#packets li')].map(item => item.textContent)"


@pytest.fixture
def hasty(monkeypatch):
    """Short waits, put into the page where it is served: a page that the test serves itself may open no socket."""

    def text(page: str) -> str:
        found = page_text(page)
        for usual, fast in HASTE:
            found = found.replace(usual, fast)
        return found

    monkeypatch.setattr(hosting, "page_text", text)


async def test_page_needs_nothing_but_itself_and_its_protocol_comes_first():
    text = page_text("socketio_feed.html")
    assert re.findall(r"https?:|//[a-z]|@import|\bsrc=|(?:href|action)=\"(?!data:,\")|[\"'`]/[a-z]", text) == []
    own = (PAGES / "socketio_feed.html").read_text("utf-8")
    assert own.index('<script type="module">') < own.index("<!-- common -->")


async def test_every_packet_is_shown_as_it_goes_by(chromium, hasty):  # noqa: F811
    async with (
        launch("socketio_feed", ping_interval_s=1.0, ping_timeout_s=5.0) as server,
        tab_at(chromium, server.url) as tab,
    ):
        await tab.says("^Open")
        await tab.publish("né")
        await tab.shows("né")
        await tab.page.wait_for_function(f"{PACKETS}.some(text => text.includes('pong'))")
        shown = await tab.page.evaluate(PACKETS)
        event = r'\{"id":1,"at":\d+,"data":"né","cursor":"00000001-1"\}'
        for pattern in (
            r'↓ open0\{"sid":"[\w-]{20}",.*"pingInterval":1000.*',
            "↑ connect40",
            r'↓ connect40\{"sid":"[\w-]{20}"\}',
            r'↑ event421\["publish","né"\]',
            rf"↓ acknowledgment431\[{event}\]",
            rf'↓ event42\["event",{event}\]',
        ):
            assert sum(bool(re.fullmatch(pattern, text)) for text in shown) == 1, (pattern, shown)
        assert {"↓ ping2", "↑ pong3"} <= set(shown)
        assert re.match(r"#1, after [\d,]+ ms", await tab.page.text_content("#list .meta"))


async def test_page_loses_nothing_through_cuts_and_shows_the_gap_of_a_restart(chromium, hasty):  # noqa: F811
    async with launch("socketio_feed") as server, tab_at(chromium, server.url) as tab:
        await server.publish("0")
        await tab.shows("0")
        for n in range(1, 6):
            await server.publish(str(n))
            if n % 3 == 2:
                server.link.cut()
                await asyncio.sleep(0.05)
        await tab.shows(*map(str, range(6)))
        await server.restart()
        await tab.shows(*map(str, range(6)), GAP)
        await server.publish("after")
        await tab.shows(*map(str, range(6)), GAP, "after")


async def test_black_hole_is_said_in_words_and_healed(chromium, hasty):  # noqa: F811
    async with (
        launch("socketio_feed", ping_interval_s=1.0, ping_timeout_s=0.2) as server,
        tab_at(chromium, server.url) as tab,
    ):
        await server.publish("before")
        await tab.shows("before")
        server.link.black_hole()
        await tab.publish("into the hole")
        await tab.says("^No answer: “into the hole” may or may not have been published.$", where="#note")
        await tab.says(r"^The server does not answer; asking again in 0\.3 s\.$")
        server.link.heal()
        await server.publish("meanwhile")
        await tab.shows("before", "meanwhile")
