"""A reverse proxy that means well: it compresses what passes, to save bytes, and so holds a stream back.

    async with Proxy.open(server.url) as proxy:       # readers connect to proxy.url
        ...

A compressor keeps what it is given until it has enough to compress well, some kilobytes; an event of a hundred bytes waits
for dozens of others. Two things help, and this proxy knows both: `Cache-Control: no-transform` forbids it to touch the
body (RFC 9110 §7.7), and `proxy.flush = True` makes the compressor give out what it holds after every piece (RFC 1979 §2.1).
"""

import zlib
from contextlib import asynccontextmanager, suppress

import aiohttp
from aiohttp import web

from labs import clients
from labs.hosting import serving

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date"}  # RFC 9110 §7.6.1, and our own


class Proxy:
    """Passes GET requests on to `target` and gzips the answers of readers who accept that."""

    def __init__(self, target: str, http: aiohttp.ClientSession):
        self.target, self.http, self.flush, self.url = target, http, False, ""

    @classmethod
    @asynccontextmanager
    async def open(cls, target: str):
        """A proxy on a free loopback port, for as long as the block runs."""
        async with clients.session(timeout=None) as http:
            proxy = cls(target, http)
            app = web.Application()
            app.router.add_get("/{path:.*}", proxy.handle, allow_head=False)
            async with serving(app) as proxy.url:
                yield proxy

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request: ask the target the same, and pass the answer on as it comes."""
        headers = {name: value for name, value in request.headers.items() if name.lower() not in (*HOP_BY_HOP, "host")}
        async with self.http.get(self.target + request.path_qs, headers=headers) as upstream:
            kept = {name: value for name, value in upstream.headers.items() if name.lower() not in HOP_BY_HOP}
            response = web.StreamResponse(status=upstream.status, headers=kept)
            squeeze = self.compressor(request, upstream)
            if squeeze:
                response.headers["Content-Encoding"] = "gzip"
            with suppress(ConnectionError, aiohttp.ClientError):
                await response.prepare(request)
                async for piece in upstream.content.iter_any():
                    await response.write(self.squeezed(squeeze, piece) if squeeze else piece)
                await response.write(squeeze.flush() if squeeze else b"")
        return response

    def compressor(self, request: web.Request, upstream: aiohttp.ClientResponse):
        """A gzip compressor, if the reader accepts gzip and the server does not forbid it."""
        accepts = "gzip" in request.headers.get("Accept-Encoding", "")
        forbidden = "no-transform" in upstream.headers.get("Cache-Control", "")
        return zlib.compressobj(wbits=31) if accepts and not forbidden else None

    def squeezed(self, squeeze, piece: bytes) -> bytes:
        """What comes out of the compressor when a piece goes in: often nothing."""
        return squeeze.compress(piece) + (squeeze.flush(zlib.Z_SYNC_FLUSH) if self.flush else b"")
