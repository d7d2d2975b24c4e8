"""The chat page in a real browser: two tabs, several rooms, who is there, and what happens when the connection breaks."""

import asyncio
import re
from contextlib import asynccontextmanager, suppress

import pytest
from playwright.async_api import TimeoutError
from test_pages import CHROMIUM, LIMIT_MS, Tab, chromium, contrast  # noqa: F401  (chromium is a fixture)

from labs.hosting import PAGES
from labs.virtual import launch

pytestmark = pytest.mark.asyncio(loop_scope="module")
HASTE = "Math.random = () => 0.2"  # short pauses before the next try
OFFLINE = """window.Real = WebSocket, window.WebSocket = function () {
  setTimeout(() => this.onclose({ code: 1006, reason: "" }), 10);
}, WebSocket.OPEN = 1"""  # the browser's own switch leaves WebSockets alone
ROWS = "[...document.querySelectorAll('#list li')].map(li => [...li.children].slice(0, 2).map(part => part.textContent).join(': '))"
TEXTS = "where => [...document.querySelectorAll(where)].map(one => one.textContent)"


class ChatTab(Tab):
    """A chat page in a tab of its own."""

    async def say(self, text: str):
        await self.page.fill("#text", text)
        await self.page.press("#text", "Enter")

    async def join(self, room: str):
        await self.page.fill("#room", room)
        await self.page.press("#room", "Enter")

    async def reads(self, *rows: str):
        """Wait until the messages are these."""
        await self.comes(ROWS, list(rows))

    async def sees(self, where: str, *texts: str):
        """Wait until the elements have these texts."""
        await self.comes(f"({TEXTS})({where!r})", list(texts))

    async def comes(self, expression: str, expected):
        same = f"expected => JSON.stringify({expression}) === JSON.stringify(expected)"
        with suppress(TimeoutError):
            await self.page.wait_for_function(same, arg=expected, timeout=LIMIT_MS)
        assert await self.page.evaluate(expression) == expected


@asynccontextmanager
async def tabs(chromium, url: str, *names: str, **look):  # noqa: F811
    """A tab for each of them, in contexts of their own; none may complain of anything but the network."""
    contexts = [await chromium.new_context(**{"viewport": {"width": 900, "height": 520}, **look}) for _ in names]
    found = [ChatTab(await context.new_page()) for context in contexts]
    for tab, name in zip(found, names, strict=True):
        await tab.page.add_init_script(HASTE)
        await tab.open(f"{url}/?name={name}")
    yield found
    await asyncio.gather(*(context.close() for context in contexts))
    complaints = [text for tab in found for text in tab.complaints]
    assert [text for text in complaints if not text.startswith(("WebSocket connection to ", "Failed to load"))] == []


async def test_page_needs_nothing_but_itself_and_relative_urls():
    text = (PAGES / "rooms.html").read_text("utf-8")
    assert re.findall(r"https?:|//[a-z]|@import|\bsrc=|(?:href|action)=\"(?!data:,\")|[\"'`]/[a-z]", text) == []
    for scheme in (
        dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r":root \{.*?\}", text, re.DOTALL)
    ):
        assert all(contrast(scheme[ink], scheme["paper"]) >= 4.5 for ink in ("ink", "soft", "alarm"))


async def test_two_tabs_talk_in_several_rooms_and_see_who_is_there(chromium):  # noqa: F811
    async with launch("rooms") as server, tabs(chromium, server.url, "ada", "bob") as (ada, bob):
        await ada.sees("#members li", "ada", "bob")
        await ada.reads("bob has joined")
        await bob.say("<b>hi</b> ada")
        await ada.reads("bob has joined", "bob: <b>hi</b> ada")
        await ada.join("Blue")
        await ada.sees("#rooms li", "lobby", "blue")
        await bob.sees("#members li", "ada", "bob")
        await ada.say("alone here")
        await ada.reads("ada: alone here")
        await bob.say("and here?")
        await ada.sees("#rooms li", "lobby (1 new)", "blue")
        await bob.reads("bob: <b>hi</b> ada", "bob: and here?")
        assert re.fullmatch(r"#2, after [\d]+ ms", await bob.page.text_content("#list li:last-child small"))
        await ada.page.click("text=lobby (1 new)")
        await ada.reads("bob has joined", "bob: <b>hi</b> ada", "bob: and here?")
        await ada.page.click("#leave")
        await ada.sees("#rooms li", "blue")
        await bob.sees("#members li", "bob")


async def test_everything_works_by_keyboard(chromium):  # noqa: F811
    async with launch("rooms") as server, tabs(chromium, server.url, "ada", color_scheme="dark") as (ada,):
        keys = ada.page.keyboard
        await ada.sees("#members li", "ada")
        await keys.type("hello")  # the field has the focus from the beginning
        await keys.press("Enter")
        await ada.reads("ada: hello")
        await ada.page.focus("#room")
        await keys.type("red")
        await keys.press("Enter")
        await ada.sees("#rooms li", "lobby", "red")
        await keys.type("in red")
        await keys.press("Enter")
        await ada.reads("ada: in red")
        await ada.page.focus("#room")
        await keys.press("Tab")  # the button
        await keys.press("Tab")  # the first room
        await keys.press("Enter")
        await ada.sees("#title", "lobby")
        assert await ada.page.evaluate("document.activeElement.dataset.room") == "lobby"
        await ada.page.focus("#name")
        await keys.press("ControlOrMeta+a")
        await keys.type("eve")
        await keys.press("Enter")
        await ada.sees("#members li", "eve")


async def test_connection_that_breaks_is_opened_again_and_what_was_missed_is_counted(chromium):  # noqa: F811
    async with (
        launch("rooms") as server,
        tabs(chromium, server.url, "ada") as (ada,),
        tabs(chromium, server.origin, "bob") as (bob,),
    ):
        await ada.say("one")
        await bob.reads("ada: one")
        await ada.page.evaluate(OFFLINE)
        server.link.cut()
        await bob.sees("#members li", "bob")
        await ada.say("nobody hears this")
        assert await ada.page.text_content("#note") == "Not sent: there is no connection to this room."
        await bob.say("two")
        await bob.say("three")
        await ada.page.evaluate("void (window.WebSocket = Real)")
        await ada.says("Connected as ada")
        await ada.sees("#members li", "ada", "bob")
        await bob.say("four")
        await ada.comes(f"{ROWS}.slice(-3)", ["Connection lost", "2 messages were missed", "bob: four"])


async def test_restarted_server_is_found_again_and_the_rooms_with_it(chromium):  # noqa: F811
    async with launch("rooms", engine="raw") as server, tabs(chromium, server.url, "ada") as (ada,):
        await ada.join("blue")
        await ada.say("before")
        await ada.reads("ada: before")
        await server.restart()
        await ada.says("Connected as ada")
        await ada.sees("#members li", "ada")
        await ada.say("after")
        await ada.comes(f"{ROWS}.slice(-1)", ["ada: after"])
        assert any(row.startswith("The room has begun anew") for row in await ada.page.evaluate(ROWS))
        await ada.page.click("text=lobby")
        await ada.sees("#members li", "ada")


async def test_server_with_accounts_asks_for_the_secret(chromium):  # noqa: F811
    async with launch("rooms", auth={"ada": "lovelace1815"}) as server, tabs(chromium, server.url, "bob") as (tab,):
        for secret in ("a-guess", "lovelace1815"):
            await tab.says("This server asks for a secret")
            await tab.page.fill("#secret", secret)
            await tab.page.press("#secret", "Enter")
        await tab.sees("#members li", "ada")
        await tab.say("it is me")
        await tab.reads("ada: it is me")


async def test_server_that_stops_a_room_too_many_is_heard(chromium):  # noqa: F811
    async with launch("rooms", rooms_each=2) as server, tabs(chromium, server.url, "ada") as (ada,):
        await ada.join("two")
        await ada.join("three")
        await ada.says("a connection is in 2 rooms at most", "#note")
        await ada.sees("#rooms li", "lobby", "two")
