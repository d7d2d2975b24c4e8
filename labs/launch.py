"""Start a server as a process of its own, behind a link, wait until it answers, and stop it.

    server = await launch("http_polling")         # … or:  async with launch("http_polling", rtt_ms=40) as server:
    await server.publish("hello")
    await server.stop()

A server started here ends with the kernel that started it, however the kernel ends: it watches its standard input.
"""

import asyncio
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from labs import clients
from labs.feed import Event
from labs.link import Link

ROOT = Path(__file__).parent.parent
START_LIMIT_S = 20.0
STOP_LIMIT_S = 3.0


class LaunchError(RuntimeError):
    """The server did not start; the message says what it said."""


class Process:
    """One server process: `python -m labs.servers.NAME`."""

    def __init__(self, name: str, *options: str):
        self.name, self.options = name, options
        self.log: deque[str] = deque(maxlen=500)  # the last lines that the server wrote to stderr

    async def start(self) -> str:
        """Start it and return the URL that it announces. Raises `LaunchError`."""
        command = [sys.executable, "-m", f"labs.servers.{self.name}", "--port", "0", "--exit-on-eof", *self.options]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.popen = subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipes)
        self._logging = threading.Thread(target=self._keep_log, args=(self.popen.stderr,), daemon=True)
        self._logging.start()
        try:
            async with asyncio.timeout(START_LIMIT_S):
                line = await asyncio.to_thread(self.popen.stdout.readline)
        except TimeoutError:
            line = b""
        except asyncio.CancelledError:
            await self.stop()
            raise
        url = line.decode().strip().partition("listening on ")[2]
        if not url:
            await self.stop()
            raise LaunchError(f"{self.name} did not start: {' / '.join(self.log) or 'it said nothing'}")
        return url

    def publish_line(self, line: str) -> None:
        """Publish a line through the standard input of a server that was started with --stdin: that costs it next to nothing."""
        self.popen.stdin.write(line.encode() + b"\n")
        self.popen.stdin.flush()

    async def stop(self) -> None:
        """Ask it to stop by closing its standard input; after three seconds, make it."""
        self.popen.stdin.close()
        try:
            await asyncio.to_thread(self.popen.wait, STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            await asyncio.to_thread(self.popen.wait)
        await asyncio.to_thread(self._logging.join, 1)  # its last words
        self.popen.stdout.close()

    def _keep_log(self, stream) -> None:
        with stream:
            for line in stream:
                self.log.append(line.decode("utf-8", "replace").rstrip())


class Server:
    """A running server and the link in front of it. Readers use `url`, which passes through the link."""

    def __init__(self, host, origin: str, link: Link):
        self.host, self.origin, self.link = host, origin, link
        self.links = [link]

    @property
    def name(self) -> str:
        """The transport, as the server's module is called."""
        return self.host.name

    @property
    def url(self) -> str:
        """Where readers connect."""
        return self.link.url

    @property
    def ws(self) -> str:
        """The same for a WebSocket: ws://…"""
        return self.link.ws

    @property
    def log(self) -> list[str]:
        """What the server wrote to its log, the last lines."""
        return list(self.host.log)

    @asynccontextmanager
    async def publisher(self) -> AsyncIterator[Callable[[str], Awaitable[Event]]]:
        """A function that publishes one event, over a kept connection: `async with server.publisher() as publish`.

        It goes past the link, so that the ledger counts readers' bytes alone.
        """
        if self.name in clients.SOCKETS:
            async with clients.socket_publisher(self.origin, (await self.usage())["cursor"]) as publish:
                yield publish
        else:
            async with clients.session() as http:
                yield partial(clients.publish, http, self.origin)

    async def publish(self, data: str) -> Event:
        """Publish one event, past the link."""
        async with self.publisher() as publish:
            return await publish(data)

    async def usage(self) -> dict:
        """What the server process has used and holds: `cpu_ns`, `tasks`, `pid`; a socket server's feed also its `cursor`."""
        async with clients.session() as http, http.get(f"{self.origin}/healthz") as response:
            return await response.json()

    async def via(self, **settings) -> Link:
        """One more link in front of the same server, for readers who are further away."""
        self.links.append(await Link.open(self.origin, **settings))
        return self.links[-1]

    async def restart(self) -> None:
        """Stop the server and start it anew behind the same links: same address, new epoch, no memory."""
        await self.host.stop()
        self.origin = await self.host.start()
        for link in self.links:
            link.target = self.origin

    async def stop(self) -> None:
        """Stop the links and the server."""
        for link in self.links:
            await link.close()
        await self.host.stop()

    def page(self, height: int = 420):
        """The server's live page, shown under the cell; it opens in the browser through the link."""
        return inline(self.url, height)


def inline(url: str, height: int):
    """A page of this machine, shown under the cell; through the proxy where the browser is on another machine."""
    from IPython.display import IFrame

    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    return IFrame(f"{prefix}proxy/{urlsplit(url).port}/" if prefix else f"{url}/", width="100%", height=height)


class Launching:
    """A server on its way: `await` it, or use it as an `async with` block that stops it at the end."""

    def __init__(self, host, **link_settings):
        self.host, self.link_settings = host, link_settings

    def __await__(self):
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Server:
        origin = await self.host.start()
        self.server = Server(self.host, origin, await Link.open(origin, **self.link_settings))
        return self.server

    async def __aexit__(self, *exc_info) -> None:
        await self.server.stop()


def launch(
    name: str, *options: str, rtt_ms: float = 0.0, jitter_ms: float = 0.0, seed: int = 0, keep: int = 10_000
) -> Launching:
    """Start `labs.servers.NAME` behind a link with a round trip of `rtt_ms`. Raises `LaunchError`."""
    return Launching(Process(name, "--keep", str(keep), *options), rtt_ms=rtt_ms, jitter_ms=jitter_ms, seed=seed)
