"""Server-sent events: the server's bytes and times, in virtual time, and its readers."""

import asyncio
import json
import random
import sys
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from crowd import Reader, Script, crowd
from simulated import now_ms, simulated

from labs import clients, virtual
from labs.feed import Feed, Gone
from labs.hosting import serving
from labs.servers.sse import make_app
from labs.sse_codec import Parser

EPOCH = "0000000a"


def small_feed(events: int = 0, *, keep: int = 10_000) -> Feed:
    feed = Feed(keep=keep, epoch=EPOCH, clock=lambda: 5)
    for n in range(1, events + 1):
        feed.publish(f"e{n}")
    return feed


class Stream(Reader):
    """A reader of one event stream."""

    async def begin(self, target: str = "/events", *headers: str) -> bytes:
        """Ask, and read up to the first chunk."""
        self.ask(target, *headers)
        assert (await self.head()).startswith("HTTP/1.1 200 OK\r\n")
        return await self.chunk()

    async def ids(self, count: int) -> list:
        """The next events, one in each chunk: the number of a message, the text of a reset."""
        parser, found = Parser(), []
        for _ in range(count):
            [event] = parser.feed(await self.chunk())
            found.append(json.loads(event.data)["id"] if event.type == "message" else (event.type, event.data))
        return found


@asynccontextmanager
async def served(feed: Feed, **settings):
    """The feed on a simulated server, and one reader's connection to it."""
    async with serving(make_app(feed, **settings)) as url:
        stream = await Stream.open(url)
        yield stream
        await stream.leave()


def later(seconds: float, action, *args):
    asyncio.get_running_loop().call_later(seconds, action, *args)


@simulated
async def test_stream_is_exactly_these_bytes_from_head_to_end():
    feed = small_feed()
    feed.publish("né\n\u2028")
    serves = serving(make_app(feed))
    reader = await Reader.open(await serves.__aenter__())
    reader.ask()
    head = await reader.head()
    lines = sorted(line for line in head.split("\r\n") if line and not line.startswith("Date"))
    assert lines == [
        "Cache-Control: no-store",
        "Content-Type: text/event-stream",
        "HTTP/1.1 200 OK",
        "Transfer-Encoding: chunked",
        "X-Accel-Buffering: no",
    ]
    await asyncio.sleep(20)
    await serves.__aexit__(None, None, None)
    event = b'id: 0000000a-1\ndata: {"id":1,"at":5,"data":"n\xc3\xa9\\n\xe2\x80\xa8","cursor":"0000000a-1"}\n\n'
    assert await reader.rest() == b"c\r\nretry: 1000\n\r\n%x\r\n%b\r\n2\r\n:\n\r\n0\r\n\r\n" % (len(event), event)
    await reader.leave()


@simulated
async def test_event_is_one_chunk_in_one_write_at_the_moment_it_is_published():
    async with virtual.launch("sse", rtt_ms=40) as server:
        reader = await Stream.open(server.url)
        await reader.begin()
        start = now_ms()
        for n in range(1, 6):
            later(n / 100, asyncio.ensure_future, server.publish(f"e{n}"))
        await asyncio.sleep(1)
        chunks = [chunk for chunk in server.link.trace() if chunk.direction == "down" and chunk.sent / 1e6 > start]
        assert [round(chunk.sent / 1e6 - start) for chunk in chunks] == [10, 20, 30, 40, 50]
        assert [round((chunk.arrived - chunk.sent) / 1e6) for chunk in chunks] == [20] * 5
        assert [chunk.data.endswith(b"}\n\n\r\n") and chunk.data.count(b"\ndata: ") == 1 for chunk in chunks] == [
            True
        ] * 5
        await reader.leave()


@simulated
async def test_text_of_an_event_is_the_same_as_on_every_other_transport():
    feed = small_feed()
    event = feed.publish('"\\\n\r\u2028\x00é😀')
    async with served(feed) as stream:
        await stream.begin()
        assert await stream.chunk() == f"id: {event.cursor}\ndata: {event.to_json()}\n\n".encode()


@pytest.mark.parametrize(
    ("target", "headers", "expected"),
    [
        ("/events", (), [1, 2, 3, 4, 5]),
        (f"/events?after={EPOCH}-3", (), [4, 5]),
        ("/events", (f"Last-Event-ID: {EPOCH}-2",), [3, 4, 5]),
        (f"/events?after={EPOCH}-1", (f"Last-Event-ID: {EPOCH}-4",), [5]),
        ("/events?after=0000000b-1", (f"Last-Event-ID: {EPOCH}-4",), [5]),
        (f"/events?after={EPOCH}-3", ("Last-Event-ID: ",), [4, 5]),
    ],
)
@simulated
async def test_reader_gets_what_came_after_its_cursor_and_then_what_follows(target, headers, expected):
    feed = small_feed(5)
    async with served(feed) as stream:
        assert await stream.begin(target, *headers) == b"retry: 1000\n"
        assert await stream.ids(len(expected)) == expected
        feed.publish("six")
        assert await stream.ids(1) == [6]
        assert now_ms() == 0


@simulated
async def test_events_published_during_the_replay_come_after_it_without_gap_or_repetition():
    feed = small_feed(450)
    async with served(feed) as stream:
        await stream.begin()
        found = []
        for _ in range(900):
            found += await stream.ids(1)
            if len(feed.since()) < 900:
                feed.publish("more")
        assert found == list(range(1, 901))


@simulated
async def test_heartbeat_comes_after_every_fifteen_seconds_of_silence():
    feed = small_feed()
    async with served(feed) as stream:
        await stream.begin()
        later(40, feed.publish, "news")
        seen = [(await stream.chunk(), now_ms()) for _ in range(5)]
        assert [at for _, at in seen] == [15_000, 30_000, 40_000, 55_000, 70_000]
        assert [chunk[:2] for chunk, _ in seen] == [b":\n", b":\n", b"id", b":\n", b":\n"]


@simulated
async def test_heartbeat_and_reconnection_time_are_settings():
    async with served(small_feed(), heartbeat_s=2, retry_s=0.25) as stream:
        assert await stream.begin() == b"retry: 250\n"
        assert (await stream.chunk(), now_ms()) == (b":\n", 2000)


@pytest.mark.parametrize(
    ("target", "header", "status"),
    [
        ("/events?after=x", "X: y", 400),
        ("/events?after=", "X: y", 400),
        (f"/events?after={EPOCH}-6", "X: y", 400),
        (f"/events?after={EPOCH}-" + "1" * 5000, "X: y", 400),
        ("/events", "Last-Event-ID: x", 400),
        (f"/events?after={EPOCH}-2", f"Last-Event-ID: {EPOCH}-6", 400),
        ("/events", "Last-Event-ID: \xff", 400),
        ("/events", "Origin: http://elsewhere.example", 403),
    ],
)
@simulated
async def test_bad_question_is_refused_before_a_stream_begins(target, header, status):
    async with served(small_feed(5)) as reader:
        reader.ask(target, header)
        assert (await reader.head()).split(" ")[1] == str(status)


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE"])
@simulated
async def test_wrong_method_is_refused(method):
    async with served(small_feed(5)) as reader:
        reader.ask(method=method)
        assert (await reader.head()).startswith("HTTP/1.1 405 ")


@pytest.mark.parametrize(
    ("cursor", "reason"),
    [
        (f"{EPOCH}-1", "events 2 to 2 are no longer kept"),
        ("0000000b-4", "this cursor is from before the server restarted"),
    ],
)
@simulated
async def test_reader_whose_next_event_is_gone_is_told_and_gets_all_that_is_kept(cursor, reason):
    async with served(small_feed(5, keep=3)) as stream:
        await stream.begin("/events", f"Last-Event-ID: {cursor}")
        assert await stream.chunk() == f"event: reset\nid: \ndata: {reason}\n\n".encode()
        assert await stream.ids(3) == [3, 4, 5]


@simulated
async def test_reader_from_before_a_restart_is_told_even_while_nothing_is_kept():
    feed = small_feed()
    async with served(feed) as stream:
        await stream.begin("/events?after=0000000b-4")
        assert await stream.ids(1) == [("reset", "this cursor is from before the server restarted")]
        feed.publish("first")
        assert await stream.ids(1) == [1]


@simulated
async def test_reader_of_http_1_0_gets_the_stream_without_chunks_and_then_the_end():
    feed = small_feed(1)
    serves = serving(make_app(feed))
    reader = await Reader.open(await serves.__aenter__())
    reader.ask(version="HTTP/1.0")
    head = await reader.head()
    assert head.startswith("HTTP/1.0 200 OK\r\n") and "chunked" not in head.lower()
    await asyncio.sleep(1)
    await serves.__aexit__(None, None, None)
    assert (
        await reader.rest()
        == b'retry: 1000\nid: 0000000a-1\ndata: {"id":1,"at":5,"data":"e1","cursor":"0000000a-1"}\n\n'
    )
    await reader.leave()


@simulated
async def test_readers_who_leave_a_silent_feed_take_their_handlers_along():
    async with serving(make_app(small_feed())) as url:
        before = len(asyncio.all_tasks())
        async with crowd(url, 100):
            await asyncio.sleep(1)
            assert len(asyncio.all_tasks()) > before + 100
        await asyncio.sleep(0.1)
        assert len(asyncio.all_tasks()) == before


@simulated
async def test_stopping_server_ends_every_stream_at_once():
    serves = serving(make_app(small_feed()))
    async with crowd(await serves.__aenter__(), 100) as readers:
        await asyncio.sleep(1)
        await serves.__aexit__(None, None, None)
        assert now_ms() == 1000
        answers = {(await reader.rest()).partition(b"\r\n\r\n")[2] for reader in readers}
        assert answers == {b"c\r\nretry: 1000\n\r\n0\r\n\r\n"}


@simulated
async def test_request_that_comes_while_the_server_stops_does_not_hold_it_up():
    for turns in range(12):
        serves, start = serving(make_app(small_feed())), now_ms()
        reader = await Reader.open(await serves.__aenter__())
        reader.ask("/events")
        for _ in range(turns):
            await asyncio.sleep(0)
        await serves.__aexit__(None, None, None)
        assert now_ms() - start < 10, turns
        await reader.leave()


@simulated
async def test_reader_who_has_stopped_reading_costs_little_and_is_told_what_it_missed():
    feed, transports = small_feed(keep=400), []
    app = make_app(feed)

    async def note(request, response):
        transports.append(request.transport)

    app.on_response_prepare.append(note)
    async with serving(app) as url:
        stream, healthy = await Stream.open(url), await Stream.open(url)
        await stream.begin()
        await healthy.begin()
        stream.writer.transport.pause_reading()
        for n in range(1, 4001):
            feed.publish("x" * 1000)
            assert await healthy.ids(1) == [n]
            await asyncio.sleep(0.002)
        assert transports[0].get_write_buffer_size() < 300_000 < 4000 * 1000
        stream.writer.transport.resume_reading()
        found = [await stream.ids(1) for _ in range(100)]
        while found[-1] != [4000]:
            found.append(await stream.ids(1))
        resets = [n for n, [item] in enumerate(found) if isinstance(item, tuple)]
        before, after = found[: resets[0]], found[resets[0] + 1 :]
        assert len(resets) == 1
        assert before == [[n] for n in range(1, len(before) + 1)]
        assert after == [[n] for n in range(3601, 4001)]
        assert found[resets[0]] == [("reset", f"events {len(before) + 1} to 3600 are no longer kept")]
        await stream.leave()
        await healthy.leave()


@simulated
async def test_reader_who_has_stopped_reading_keeps_no_events_alive_that_the_feed_has_dropped():
    feed = small_feed(keep=1000)
    async with served(feed) as stream:
        for _ in range(1000):
            feed.publish("x" * 1000)
        stream.ask()
        stream.writer.transport.pause_reading()
        await asyncio.sleep(1)
        old = feed.since()
        for _ in range(2000):
            feed.publish("y")
        await asyncio.sleep(1)
        held = sum(sys.getrefcount(event) > 3 for event in old)  # `old` holds each, and the two names here
        assert 0 < held <= 200
        stream.writer.transport.abort()


# The reader.


async def take(events, count: int) -> list:
    """The next events of a reader."""
    return [await anext(events) for _ in range(count)]


async def read_through_cuts(seed: int, *, count: int = 400) -> tuple[list[str], list[tuple]]:
    """Publish while the link breaks at every twentieth event; what the reader got, and the link's log."""
    async with virtual.launch("sse", rtt_ms=30, jitter_ms=10, seed=seed) as server:

        async def publish():
            for n in range(count):
                await server.publish(str(n))
                await asyncio.sleep(0.05)
                if n % 20 == 10:
                    server.link.cut()

        events = clients.sse(server.url, rng=random.Random(seed))
        async with asyncio.TaskGroup() as group:
            group.create_task(publish())
            got = [event.data for event in await take(events, count)]
        await events.aclose()
        return got, server.link.log()


def test_reader_misses_nothing_and_repeats_nothing_through_twenty_cuts():
    got, _ = virtual.run(read_through_cuts(1))
    assert got == [str(n) for n in range(400)]


def test_same_seed_gives_the_same_run_to_the_nanosecond():
    assert virtual.run(read_through_cuts(2, count=100)) == virtual.run(read_through_cuts(2, count=100))


@simulated
async def test_reader_of_a_stream_that_went_silent_opens_another():
    async with virtual.launch("sse", rtt_ms=40) as server:
        events = clients.sse(server.url, after="00000001-0")
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(16)  # the first heartbeat has come
        server.link.black_hole()
        await server.publish("x")
        server.link.heal()
        assert (await waiting).data == "x"
        waited = now_ms() / 1000 - 15
        assert 37.5 + 1 < waited < 37.5 + 1 + 0.5 + 0.5  # 2.5 heartbeats, the server's retry, a pause, and the way
        await events.aclose()


@simulated
async def test_reader_whose_request_is_swallowed_asks_again_after_five_seconds():
    async with virtual.launch("sse", rtt_ms=40) as server:
        server.link.black_hole()
        events = clients.sse(server.url)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(1)
        server.link.heal()
        await server.publish("x")
        assert (await waiting).data == "x"
        assert 5000 < now_ms() < 5700
        await events.aclose()


@simulated
async def test_reader_of_a_silent_feed_keeps_its_one_stream():
    async with virtual.launch("sse", rtt_ms=40) as server:
        events = clients.sse(server.url)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(3600)
        await server.publish("x")
        assert (await waiting).data == "x"
        assert [note.what for note in server.link.notes] == ["opened"]
        await events.aclose()


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def event(number: int) -> bytes:
    return b'id: e-%d\ndata: {"id":%d,"at":0,"data":"d","cursor":"e-%d"}\n\n' % (number, number, number)


@simulated
async def test_reader_waits_at_least_as_long_as_the_server_asks_before_it_returns():
    script = Script(OK + b"retry: 7000\n" + event(1), OK + event(2), OK + b"retry: 100\n" + event(3), OK + event(4))
    async with script.read(clients.sse) as events:
        assert [e.id for e in await take(events, 4)] == [1, 2, 3, 4]
    first, second, third = (b - a for a, b in pairwise(script.asked))
    assert 7 <= first <= 7.5 and 7 <= second <= 7.5 and 0.1 <= third <= 0.6


@simulated
async def test_reader_returns_with_the_id_of_the_last_whole_event():
    script = Script(OK + event(1) + event(2)[:-1], OK + event(2))
    async with script.read(clients.sse, after="e-0") as events:
        assert [e.id for e in await take(events, 2)] == [1, 2]
    assert ["Last-Event-ID: e-0" in script.heads[0], "Last-Event-ID: e-1" in script.heads[1]] == [True, True]


@simulated
async def test_reader_skips_what_is_not_an_event_of_the_feed():
    async with Script(OK + b": hello\nevent: weather\ndata: rain\n\n" + event(1)).read(clients.sse) as events:
        assert (await anext(events)).id == 1


@simulated
async def test_reader_starts_anew_after_errors_of_every_kind():
    script = Script(
        b"HTTP/1.1 500 Oops\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + event(9),
        b"",
        b"no HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        OK + b"data: " + b"x" * 2_000_000,
        OK + event(1),
    )
    async with script.read(clients.sse) as events:
        assert (await anext(events)).id == 1
    assert len(script.asked) == 6


@simulated
async def test_reader_of_a_dead_server_asks_more_and_more_rarely():
    script = Script()
    async with script.read(clients.sse, rng=random.Random(1)) as events:
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(600)
        asked = sorted(set(script.asked))  # aiohttp asks a second time at once when a connection ends without an answer
        assert 600 / 30 < len(asked) < 80
        assert sum(at < 60 for at in asked) > len(asked) / 8
        pauses = [b - a for a, b in pairwise(asked)][10:]
        assert min(pauses) < 10 < 20 < max(pauses) <= 30  # drawn anew each time
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


@simulated
async def test_reader_is_told_when_the_server_has_restarted():
    async with virtual.launch("sse") as server:
        await server.publish("x")
        events = clients.sse(server.url)
        await anext(events)
        await server.restart()
        with pytest.raises(Gone, match="before the server restarted"):
            await anext(events)


@simulated
async def test_reader_who_fell_out_of_the_window_is_told_after_the_events_it_still_got():
    async with virtual.launch("sse", keep=2) as server:
        for n in range(5):
            await server.publish(str(n))
        events = clients.sse(server.url, after="00000001-1")
        with pytest.raises(Gone, match="events 2 to 3 are no longer kept"):
            await anext(events)
