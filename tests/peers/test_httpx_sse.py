"""httpx-sse, a much used reader of event streams in Python, reads our server and, but for known cases, as our parser does."""

import asyncio
import json

import httpx
import pytest
from sse_streams import STREAMS

from labs.launch import launch

httpx_sse = pytest.importorskip("httpx_sse", reason="httpx-sse is not installed")

# Where it departs from WHATWG HTML §9.2.6 (seen in 0.4.3): it leaves the byte order mark in, and takes an empty line for
# an event when it has only seen an id, a type or a retry. Our server sends no such thing: that is tested below.
KNOWN_TO_DIFFER = {
    "mark at the start",
    "a type without data is forgotten",
    "an id without data",
    "only an id",
    "only NUL as id",
    "retry alone",
}


def read(pieces: list[bytes]) -> list[tuple[str, str, str]]:
    response = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=iter(pieces))
    return [(event.event, event.data, event.id) for event in httpx_sse.EventSource(response).iter_sse()]


@pytest.mark.parametrize("name", sorted(STREAMS.keys() - KNOWN_TO_DIFFER))
def test_table_of_streams_says_what_httpx_sse_reads(name):
    wire, events = STREAMS[name].wire, list(STREAMS[name].events)
    assert read([wire]) == events
    assert read([wire[n : n + 1] for n in range(len(wire))]) == events


async def test_reads_our_server_and_sees_no_event_that_is_none():
    async with launch("sse", "--heartbeat", "0.05") as server, httpx.AsyncClient() as http:
        found = []
        async with httpx_sse.aconnect_sse(http, "GET", f"{server.url}/events") as source:
            for n in range(5):
                await server.publish(f"line {n}\nand\r\nmore\u2028")
                await asyncio.sleep(0.12)  # two heartbeats, which are no events
            async for event in source.aiter_sse():
                found.append(event)
                if len(found) == 5:
                    break
        assert [json.loads(event.data)["data"] for event in found] == [f"line {n}\nand\r\nmore\u2028" for n in range(5)]
        assert [event.id for event in found] == [json.loads(event.data)["cursor"] for event in found]


async def test_resumes_and_is_told_of_a_reset():
    async with launch("sse", keep=2) as server, httpx.AsyncClient() as http:
        lost = (await server.publish("0")).cursor
        for n in range(1, 4):
            await server.publish(str(n))
        headers = {"Last-Event-ID": lost}
        async with httpx_sse.aconnect_sse(http, "GET", f"{server.url}/events", headers=headers) as source:
            events = source.aiter_sse()
            reset = await anext(events)
            assert (reset.event, reset.data, reset.id) == ("reset", "events 2 to 2 are no longer kept", "")
            assert [json.loads((await anext(events)).data)["data"] for _ in range(2)] == ["2", "3"]
            await events.aclose()
