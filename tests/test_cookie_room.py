"""The room behind a cookie, attacked by a page of another origin: with a client that says what a browser would, and with one."""

import json
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from test_pages import LIMIT_MS, Tab, chromium  # noqa: F401  (chromium is a fixture)
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from labs.hosting import PAGES
from labs.servers import cookie_room
from labs.virtual import launch

pytestmark = pytest.mark.asyncio(loop_scope="module")
MALLORY = "http://127.0.0.1:1"  # another port of the same host: another origin, but the same site
WORDS = "I owe Mallory 1,024"
HEARD = "[...document.querySelectorAll('#list li')].map(row => row.textContent)"


async def login(server, name: str, status: int = 303) -> str:
    """The cookie of whoever logs in with this name, as a browser would send it."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{server.url}/login", params={"name": name}, allow_redirects=False) as response,
    ):
        assert response.status == status
        return response.headers.get("Set-Cookie", "").partition(";")[0]


def member(server, cookie: str, origin: str | None = None):
    """A socket as a page of this origin would open it."""
    return connect(f"{server.ws}/room", origin=origin, additional_headers={"Cookie": cookie}, proxy=None)


async def status(server, cookie: str, origin: str | None = None) -> int:
    """The status with which such a socket is refused."""
    with pytest.raises(InvalidStatus) as refused:
        async with member(server, cookie, origin):
            pass
    return refused.value.response.status_code


async def test_foreign_page_with_the_members_cookie_is_refused_and_our_own_is_heard():
    async with launch("cookie_room") as server:
        ada, bob = await login(server, "ada"), await login(server, "bob")
        async with member(server, bob) as listener:
            for foreign in (MALLORY, "https://mallory.example", "null", server.url.replace("127.0.0.1", "localhost")):
                assert await status(server, ada, foreign) == 403
            async with member(server, ada, server.url) as own:
                await own.send("it is me")
                assert json.loads(await listener.recv()) == {"name": "ada", "text": "it is me"}


async def test_origin_on_the_list_is_let_in():
    async with launch("cookie_room", origins=(MALLORY,)) as server, member(server, await login(server, "ada"), MALLORY):
        pass


async def test_trusting_room_hears_a_foreign_page_in_the_members_name_and_tells_it_all():
    async with launch("cookie_room", trusting=True) as server:
        ada, bob = await login(server, "ada"), await login(server, "bob")
        async with member(server, bob, server.url) as listener, member(server, ada, MALLORY) as mallory:
            await mallory.send(WORDS)
            assert (
                json.loads(await listener.recv()) == json.loads(await mallory.recv()) == {"name": "ada", "text": WORDS}
            )


@pytest.mark.parametrize("trusting", [False, True])
async def test_whoever_has_no_session_is_refused(trusting):
    async with launch("cookie_room", trusting=trusting) as server:
        for cookie in ("", "session", "session=", "session=ada", "other=1; session=guess"):
            assert await status(server, cookie) == 401
        ada = await login(server, "ada")
        async with member(
            server, f'_xsrf=2|a|b; {ada}; username-8888="2|1:0"'
        ):  # those of other ports are there as well
            pass


async def test_name_that_is_none_is_refused_and_the_oldest_session_is_forgotten(monkeypatch):
    monkeypatch.setattr(cookie_room, "SESSIONS", 2)
    async with launch("cookie_room") as server:
        assert await login(server, "", 400) == await login(server, "a\r\nb", 400) == ""
        first, *others = [await login(server, "ada") for _ in range(3)]
        assert await status(server, first) == 401
        async with member(server, others[0]), member(server, others[1]):
            pass


@pytest.mark.parametrize(("message", "code"), [(b"bytes", 1003), ("x" * 1025, 1009)])
async def test_message_that_is_none_ends_the_connection_with_its_code(message, code):
    async with launch("cookie_room") as server, member(server, await login(server, "ada")) as socket:
        await socket.send(message)
        with pytest.raises(ConnectionClosedError) as closed:
            await socket.recv()
        assert closed.value.rcvd.code == code


@asynccontextmanager
async def mallorys_host():
    """Mallory's page, on a port of its own."""
    app = web.Application()
    app.router.add_static("/", PAGES)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def visit(browser, server, where: str):
    """Ada has logged in, in one tab, and opens Mallory's page in another: both tabs."""
    context = await browser.new_context()
    room, mallory = [Tab(await context.new_page()) for _ in range(2)]
    await room.open(f"{server.url}/login?name=ada")
    await room.says("Connected")
    await mallory.open(f"http://{where}/mallory.html?room={urlsplit(server.url).netloc}")
    yield room, mallory
    await context.close()


async def test_real_browser_on_a_foreign_page_is_refused_and_on_our_own_is_heard(chromium):  # noqa: F811
    async with (
        mallorys_host() as where,
        launch("cookie_room") as server,
        visit(chromium, server, where) as (room, mallory),
    ):
        await mallory.says("its socket was closed with 1006")
        assert ["Unexpected response code: 403" in text for text in mallory.complaints] == [True]
        await room.page.fill("#text", "it is me")
        await room.page.press("#text", "Enter")
        await room.page.wait_for_selector("text=ada: it is me", timeout=LIMIT_MS)
        assert await room.page.evaluate(HEARD) == ["ada: it is me"]
        assert await room.page.evaluate("document.cookie") == ""  # no script sees it, and none needs to
        assert room.complaints == []


async def test_real_browser_says_mallorys_words_in_adas_name_in_a_trusting_room_unless_the_site_is_another(chromium):  # noqa: F811
    async with (
        mallorys_host() as where,
        launch("cookie_room", trusting=True) as server,
        visit(chromium, server, where) as (room, mallory),
    ):
        await mallory.says('it has heard .*"ada"')
        await room.page.wait_for_selector(f"text=ada: {WORDS}", timeout=LIMIT_MS)
        assert mallory.complaints == []
        await mallory.open(mallory.page.url.replace("127.0.0.1", "localhost", 1))
        await mallory.says("its socket was closed with 1006")
        assert ["HTTP Authentication failed" in text for text in mallory.complaints] == [
            True
        ]  # 401: no cookie came along
        assert await room.page.evaluate(HEARD) == [f"ada: {WORDS}"]
