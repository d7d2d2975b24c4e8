"""HTTP polling, byte by byte: what is asked, what is answered, and what may be cached."""

import json
import re
from contextlib import asynccontextmanager

import pytest
from crowd import Reader
from simulated import now_ms, simulated

from labs import virtual
from labs.feed import Feed
from labs.hosting import serving
from labs.ledger import messages, total
from labs.servers.http_polling import make_app

EPOCH = "0000000a"


@asynccontextmanager
async def served(feed: Feed, **settings):
    """The feed on a simulated server, and one reader's connection to it."""
    async with serving(make_app(feed, **settings)) as url:
        reader = await Reader.open(url)
        yield reader
        await reader.leave()


def small_feed(count: int, *, keep: int = 10_000) -> Feed:
    feed = Feed(keep=keep, epoch=EPOCH, clock=lambda: 5)
    for number in range(1, count + 1):
        feed.publish(f"e{number}")
    return feed


def without_date(answer: bytes) -> bytes:
    return re.sub(rb"Date: [^\r]*\r\n", b"", answer)


async def answer(reader: Reader, target: str, *headers: str, method: str = "GET") -> bytes:
    """The whole answer to one request that closes its connection, without its date."""
    reader.ask(target, *headers, "Connection: close", method=method)
    return without_date(await reader.rest())


@simulated
async def test_poll_is_answered_with_exactly_these_bytes():
    async with served(small_feed(2)) as reader:
        assert await answer(reader, f"/events?after={EPOCH}-1") == (
            b"HTTP/1.1 200 OK\r\n"
            b"Cache-Control: no-store\r\n"
            b"Content-Type: application/json; charset=utf-8\r\n"
            b"Content-Length: 51\r\n"
            b"Connection: close\r\n"
            b"\r\n"
            b'[{"id":2,"at":5,"data":"e2","cursor":"0000000a-2"}]'
        )
        assert now_ms() == 0


@simulated
async def test_poll_without_news_is_answered_at_once_with_an_empty_array():
    async with served(small_feed(2)) as reader:
        assert (await answer(reader, f"/events?after={EPOCH}-2")).endswith(b"\r\n\r\n[]")
        assert now_ms() == 0


@simulated
async def test_question_without_cursor_gets_all_that_is_kept_with_an_entity_tag():
    async with served(small_feed(3, keep=2)) as reader:
        got = await answer(reader, "/events")
        assert b'\r\nCache-Control: no-cache\r\nETag: "0000000a-3"\r\n' in got
        assert [event["id"] for event in json.loads(got.partition(b"\r\n\r\n")[2])] == [2, 3]


@simulated
async def test_same_entity_tag_is_answered_with_not_modified_and_no_body():
    async with served(small_feed(3)) as reader:
        assert await answer(reader, "/events", 'If-None-Match: "0000000a-3"') == (
            b'HTTP/1.1 304 Not Modified\r\nCache-Control: no-cache\r\nETag: "0000000a-3"\r\nConnection: close\r\n\r\n'
        )


@pytest.mark.parametrize("tag", ['"0000000a-2"', '"0000000b-3"', "0000000a-3", '""', "x"])
@simulated
async def test_other_entity_tag_is_answered_in_full(tag):
    async with served(small_feed(3)) as reader:
        assert (await answer(reader, "/events", f"If-None-Match: {tag}")).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("tags", ['W/"0000000a-3"', '"x", "0000000a-3"', '"x",W/"0000000a-3" , "y"', "*"])
@simulated
async def test_entity_tag_counts_when_weak_or_in_a_list(tags):
    async with served(small_feed(3)) as reader:
        assert (await answer(reader, "/events", f"If-None-Match: {tags}")).startswith(b"HTTP/1.1 304 ")


@simulated
async def test_head_is_answered_with_the_head_alone():
    async with served(small_feed(1)) as reader:
        got = await answer(reader, "/events", method="HEAD")
        assert b"\r\nContent-Length: 51\r\n" in got and got.endswith(b"\r\n\r\n")


@simulated
async def test_publishing_is_answered_with_the_event_as_it_was_numbered():
    async with served(small_feed(1)) as reader:
        reader.writer.write(b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n\xc3\xa9!")
        got = await reader.body()
        assert json.loads(got) == {"id": 2, "at": 5, "data": "é!", "cursor": "0000000a-2"}
        reader.ask(f"/events?after={EPOCH}-1")
        assert json.loads(await reader.body()) == [json.loads(got)]


@simulated
async def test_live_page_is_served_at_the_root():
    async with served(small_feed(0)) as reader:
        got = await answer(reader, "/")
        assert b"\r\nContent-Type: text/html; charset=utf-8\r\n" in got and b"<!doctype html>" in got.lower()


@simulated
async def test_idle_poll_costs_what_its_bytes_say():
    async with virtual.launch("http_polling", rtt_ms=40) as server:
        cursor = (await server.publish("x")).cursor
        reader = await Reader.open(server.url)
        for _ in range(10):
            reader.ask(f"/events?after={cursor}")
            assert await reader.body() == b"[]"
        assert now_ms() == 40 + 10 * 40  # the handshake, then one round trip a poll
        found = messages(server.link.trace())
        assert len(found) == 20
        assert total(found)["framing"] == 20 and total(found)["payload"] == 0
        assert sum(total(found).values()) == sum(server.link.bytes.values())
        await reader.leave()
