"""Chat pages of several servers side by side, with one switch for the Redis between them.

    board = await two_rooms.show([first, second], store)     # … or:  async with two_rooms.show(…) as board:
    board.page()                                             # in a notebook
    await board.stop()

Each half is the page of a server (`labs.launch.Server`); the frame around them is served by the process that starts and stops
Redis, because whoever holds the process holds the switch.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from labs.bus.redis_process import RedisServer
from labs.hosting import LOCAL, ORIGINS, page_text, reachable_here_only, refusals, serving
from labs.launch import Server, inline

NAMES = ("ada", "ben", "cleo", "dan")


class Board:
    """The page with the pages. `url` is where it is."""

    def __init__(self, servers: Sequence[Server], store: RedisServer, room: str):
        self.servers, self.store, self.room = servers, store, room
        self.up, self.url = True, ""
        self._stack = AsyncExitStack()

    def __await__(self):
        return self.__aenter__().__await__()

    async def __aenter__(self) -> "Board":
        app = web.Application(middlewares=[refusals])
        app[ORIGINS], app[LOCAL] = (), reachable_here_only("127.0.0.1")
        app.add_routes([web.get("/", self._page), web.get("/state", self._state), web.post("/switch", self._switch)])
        self.url = await self._stack.enter_async_context(serving(app))
        return self

    async def __aexit__(self, *exc_info) -> None:
        await self.stop()

    async def stop(self) -> None:
        """End the page; the servers and Redis go on."""
        await self._stack.aclose()

    def page(self, height: int = 520):
        """Show it under the cell."""
        return inline(self.url, height)

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(text=page_text("two_rooms.html"), content_type="text/html")

    async def _state(self, request: web.Request) -> web.Response:
        """GET /state: the ports and queries of the servers' pages, and whether Redis runs."""
        queries = [urlencode({"name": name, "room": self.room}) for name in NAMES]
        pages = [[urlsplit(server.url).port, query] for server, query in zip(self.servers, queries, strict=False)]
        return web.json_response({"pages": pages, "up": self.up})

    async def _switch(self, request: web.Request) -> web.Response:
        """POST /switch: kill Redis if it runs, or else start it; the answer is the new state."""
        await (self.store.kill() if self.up else self.store.restart())
        self.up = not self.up
        return await self._state(request)


def show(servers: Sequence[Server], store: RedisServer, room: str = "blue") -> Board:
    """The pages of up to four servers, all in one room, and the switch of their Redis. Raises `OSError`."""
    return Board(servers, store, room)
