"""Two servers' chat pages side by side in a real browser, and the switch of their Redis: gaps that are told, or none."""

import asyncio
import json
import os
import re
from contextlib import asynccontextmanager

import aiohttp
import pytest
from test_pages import chromium, contrast  # noqa: F401  (chromium is a fixture)
from test_rooms_page import ROWS, ChatTab
from websockets.asyncio.client import connect

from labs import two_rooms
from labs.bus.redis_process import redis
from labs.hosting import PAGES
from labs.launch import launch

JOIN = {"type": "join"}
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(os.name != "posix", reason="a real Redis is needed"),
]


@asynccontextmanager
async def board_in(chromium, delivery: str):  # noqa: F811
    """The page with its switch, and the two pages in it, when both are in the room."""
    async with redis(ours=True, durable=delivery == "streams") as store:
        options = ("--redis", store.url, "--delivery", delivery, "--rate", "0")
        servers = await asyncio.gather(launch("redis_fanout", *options), launch("redis_fanout", *options))
        try:
            async with two_rooms.show(servers, store) as board:
                context = await chromium.new_context(viewport={"width": 1300, "height": 560})
                outside = ChatTab(await context.new_page())
                await outside.open(f"{board.url}/")
                await outside.page.wait_for_function("document.querySelectorAll('iframe').length === 2")
                ada, ben = ChatTab(outside.page), ChatTab(outside.page)
                ada.page, ben.page = [
                    await (await frame.element_handle()).content_frame() for frame in await frames(outside)
                ]
                await ada.sees("#members li", "ada", "ben")
                await ben.sees("#members li", "ada", "ben")
                yield outside, ada, ben
                await context.close()
                assert [text for text in outside.complaints if not text.startswith("Blocked autofocusing")] == []
        finally:
            await asyncio.gather(*(server.stop() for server in servers))


async def frames(tab) -> list:
    return [tab.page.locator("iframe").nth(n) for n in range(2)]


async def said(tab) -> list[str]:
    """What is in the list, without who came and went."""
    return [row for row in await tab.page.evaluate(ROWS) if "joined" not in row and "left" not in row]


async def hears(tab, text: str):
    await tab.page.wait_for_function(f"text => {ROWS}.includes(text)", arg=text, timeout=10_000)


async def kill(outside):
    await outside.page.click("#switch")
    await outside.says("Redis is gone")


async def start(outside):
    await outside.page.click("#switch")
    await outside.says("Redis is running")


async def test_pub_sub_marks_a_gap_on_both_pages_after_redis_was_killed(chromium):  # noqa: F811
    async with board_in(chromium, "pubsub") as (outside, ada, ben):
        await ada.say("before")
        await hears(ben, "ada: before")
        await kill(outside)
        await start(outside)
        for tab in (ada, ben):
            await tab.page.wait_for_selector("#list .gap", timeout=10_000)
        await ben.say("after")
        await hears(ada, "ben: after")
        await hears(ben, "ben: after")
        for tab in (ada, ben):
            before, gap, after = await said(tab)
            assert (before, after) == ("ada: before", "ben: after") and gap.startswith("Messages may be missing here")


async def test_streams_lose_nothing_and_mark_nothing_through_a_kill_of_redis(chromium):  # noqa: F811
    async with board_in(chromium, "streams") as (outside, ada, ben):
        await ada.say("before")
        await hears(ben, "ada: before")

        await kill(outside)
        await ada.say("meanwhile")
        await start(outside)
        await hears(ben, "ada: meanwhile")
        await ben.say("after")
        await hears(ada, "ben: after")
        for tab in (ada, ben):
            assert await said(tab) == ["ada: before", "ada: meanwhile", "ben: after"]
            assert await tab.page.query_selector("#list .gap") is None


async def test_page_whose_connection_breaks_goes_on_behind_its_last_message(chromium):  # noqa: F811
    options = ("--delivery", "streams", "--rate", "0")
    async with redis(ours=True) as store, launch("redis_fanout", "--redis", store.url, *options) as server:
        context = await chromium.new_context()
        ada, ben = ChatTab(await context.new_page()), ChatTab(await context.new_page())
        await ada.open(f"{server.url}/?name=ada&room=blue")
        await ben.open(f"{server.origin}/?name=ben&room=blue")
        await ben.sees("#members li", "ada", "ben")
        await ben.say("one")
        await hears(ada, "ben: one")
        target, server.link.target = server.link.target, "http://127.0.0.1:1"
        server.link.cut()
        await ben.sees("#members li", "ben")
        for text in ("two", "three"):
            await ben.say(text)
        await hears(ben, "ben: three")
        server.link.target = target
        await hears(ada, "ben: three")
        await ben.say("four")
        await hears(ada, "ben: four")
        address = f"{server.origin.replace('http', 'ws')}/rooms?name=eve"
        async with connect(
            address, proxy=None
        ) as eve:  # her second is a copy, which is left out and leaves its number out
            for message in (JOIN, {"text": "five", "key": "k"}, {"text": "five", "key": "k"}, {"text": "six"}):
                await eve.send(json.dumps({"type": "message", "room": "blue"} | message))
            await hears(ada, "eve: six")
        heard = ["ben: two", "ben: three", "ben: four", "eve: five", "eve: six"]
        assert await said(ada) == ["ben: one", "Connection lost", *heard]
        assert await ada.page.query_selector("#list .gap") is None
        await context.close()


async def test_switch_is_for_its_own_page_only():
    store = type("Store", (), {"kill": None})()
    async with two_rooms.show([], store) as board, aiohttp.ClientSession() as http:
        for headers, status in (({"Origin": "http://evil.example"}, 403), ({"Host": "evil.example"}, 421)):
            async with http.post(f"{board.url}/switch", headers=headers) as response:
                assert response.status == status
        async with http.get(f"{board.url}/state") as response:
            assert await response.json() == {"pages": [], "up": True}


async def test_page_needs_nothing_but_itself_and_its_colors_can_be_read():
    text = (PAGES / "two_rooms.html").read_text("utf-8")
    assert re.findall(r"https?:|@import|\bsrc=|(?:href|action)=\"(?!data:,\")", text) == []
    for block in re.findall(r":root \{.*?\}", text):
        scheme = dict(re.findall(r"--(\w+): (#\w{6})", block))
        assert all(contrast(scheme[ink], scheme["paper"]) >= 4.5 for ink in ("ink", "soft", "alarm"))
