"""The proxy that means well: silent without flushing, and harmless where it is told so."""

import asyncio

import pytest

from labs import clients, virtual
from labs.proxy import Proxy
from labs.sse_codec import Parser


async def arrived(*, flush=False, accept="gzip", cache_control=None):
    """How many of 30 events come through in 30 virtual seconds, and the answer's coding."""
    async with virtual.launch("sse") as server, Proxy.open(server.url) as proxy, clients.session(timeout=None) as http:
        proxy.flush = flush
        if cache_control:
            from labs.servers import sse

            sse.HEADERS["Cache-Control"] = cache_control
        seen, parser = [], Parser()

        async def read():
            headers = {"Accept": "text/event-stream", "Accept-Encoding": accept}
            async with http.get(f"{proxy.url}/events", headers=headers) as response:
                seen.append(response.headers.get("Content-Encoding"))
                async for piece in response.content.iter_any():
                    seen.extend(parser.feed(piece))

        task = asyncio.create_task(read())
        for number in range(30):
            await asyncio.sleep(1)
            await server.publish(f"reading {number}")
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return seen[0], len(seen) - 1


def test_compressor_that_does_not_flush_silences_the_stream():
    assert virtual.run(arrived()) == ("gzip", 0)


def test_compressor_that_flushes_delivers_each_event():
    assert virtual.run(arrived(flush=True)) == ("gzip", 30)


def test_reader_who_does_not_accept_gzip_gets_the_bytes_as_they_are():
    assert virtual.run(arrived(accept="identity")) == (None, 30)


def test_no_transform_forbids_the_proxy_to_compress(monkeypatch):
    from labs.servers import sse

    monkeypatch.setattr(sse, "HEADERS", dict(sse.HEADERS))
    assert virtual.run(arrived(cache_control="no-store, no-transform")) == (None, 30)


@pytest.mark.parametrize("path", ["/healthz", "/events?after=x"])
def test_ordinary_answers_pass_with_their_status(path):
    async def go():
        async with virtual.launch("http_polling") as server, Proxy.open(server.url) as proxy, clients.session() as http:
            direct = (await http.get(server.url + path)).status
            response = await http.get(proxy.url + path, headers={"Accept-Encoding": "gzip"})
            return response.status == direct, len(await response.read()) > 0

    assert virtual.run(go()) == (True, True)
