"""Long polling: the server's waiting, to the millisecond in virtual time, and its readers."""

import asyncio
import json
import random
from contextlib import asynccontextmanager
from importlib import import_module
from itertools import pairwise

import pytest
from crowd import Reader, Script, crowd
from simulated import now_ms, simulated

from labs import clients, virtual
from labs.feed import Feed, Gone
from labs.hosting import at_most, serving, stop_waiting
from labs.servers.long_polling import make_app

EPOCH = "0000000a"


@asynccontextmanager
async def served(feed: Feed, **settings):
    """The feed on a simulated server, and one reader's connection to it."""
    async with serving(make_app(feed, **settings)) as url:
        reader = await Reader.open(url)
        yield reader
        await reader.leave()


def small_feed(events: int = 0, *, keep: int = 10_000) -> Feed:
    feed = Feed(keep=keep, epoch=EPOCH, clock=lambda: 5)
    for n in range(1, events + 1):
        feed.publish(f"e{n}")
    return feed


def later(seconds: float, action, *args):
    asyncio.get_running_loop().call_later(seconds, action, *args)


def numbers(body: bytes) -> list[int]:
    return [event["id"] for event in json.loads(body)]


@simulated
async def test_parked_request_is_answered_with_exactly_these_bytes():
    feed = small_feed()
    async with served(feed) as reader:
        reader.ask(f"/events?after={EPOCH}-0")
        later(3, feed.publish, "né")
        head, body = await reader.head(), b'[{"id":1,"at":5,"data":"n\xc3\xa9","cursor":"0000000a-1"}]'
        assert now_ms() == 3000
        assert await reader.reader.readexactly(len(body)) == body
        lines = sorted(line for line in head.split("\r\n") if line and not line.startswith("Date"))
        assert lines == [
            "Cache-Control: no-store",
            f"Content-Length: {len(body)}",
            "Content-Type: application/json; charset=utf-8",
            "HTTP/1.1 200 OK",
        ]


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("", 25),
        ("&wait=2", 2),
        ("&wait=0.5", 0.5),
        ("&wait=0", 0),
        ("&wait=25", 25),
        ("&wait=26", 25),
        ("&wait=9" + "9" * 8, 25),
    ],
)
@simulated
async def test_silence_is_answered_with_an_empty_array_when_the_time_is_up(query, seconds):
    async with served(small_feed(1)) as reader:
        reader.ask(f"/events?after={EPOCH}-1{query}")
        assert await reader.body() == b"[]"
        assert now_ms() == pytest.approx(seconds * 1000, abs=1)


@simulated
async def test_server_that_waits_less_answers_sooner():
    async with served(small_feed(), wait_s=3) as reader:
        reader.ask("/events?wait=10")
        assert (await reader.body(), now_ms()) == (b"[]", 3000)


@simulated
async def test_reader_with_something_to_catch_up_on_does_not_wait():
    async with served(small_feed(5)) as reader:
        reader.ask(f"/events?after={EPOCH}-2")
        assert numbers(await reader.body()) == [3, 4, 5]
        reader.ask("/events")
        assert numbers(await reader.body()) == [1, 2, 3, 4, 5]
        assert now_ms() == 0


@simulated
async def test_reader_without_a_cursor_waits_while_nothing_is_kept():
    feed = small_feed()
    async with served(feed) as reader:
        reader.ask("/events")
        later(4, feed.publish, "first")
        assert (numbers(await reader.body()), now_ms()) == ([1], 4000)


@simulated
async def test_burst_is_delivered_whole_to_everybody_who_waits():
    feed = small_feed()
    async with serving(make_app(feed)) as url, crowd(url, 50, f"/events?after={EPOCH}-0") as readers:
        await asyncio.sleep(1)
        for n in range(7):
            feed.publish(str(n))
        answers = [numbers(await reader.body()) for reader in readers]
        assert answers == [[1, 2, 3, 4, 5, 6, 7]] * 50


@simulated
async def test_news_in_the_moment_that_the_time_is_up_reaches_the_reader():
    for early in range(-40, 41):  # microseconds, the resolution of virtual time being one
        feed = small_feed()
        async with served(feed) as reader:
            later(2 - early / 1e6, feed.publish, "just now")
            reader.ask(f"/events?after={EPOCH}-0&wait=2")
            found = numbers(await reader.body())
            reader.ask(f"/events?after={EPOCH}-{len(found)}&wait=2")
            assert found + numbers(await reader.body()) == [1]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/events?after=x", 400),
        ("/events?after=", 400),
        (f"/events?after={EPOCH}-7", 400),
        (f"/events?after={EPOCH}-" + "1" * 5000, 400),
        ("/events?after=0000000b-2", 410),
        (f"/events?after={EPOCH}-1", 410),
        *(
            (f"/events?after={EPOCH}-3&wait={wait}", 400)
            for wait in ("", "x", "-1", "nan", "inf", "1e3", "+1", "1_0", "%31%0a", "%D9%A3")
        ),
    ],
)
@simulated
async def test_bad_question_is_refused_at_once(target, status):
    async with served(small_feed(5, keep=3)) as reader:
        reader.ask(target)
        assert (await reader.head()).split(" ")[1] == str(status)
        assert now_ms() == 0


@simulated
async def test_readers_who_leave_take_their_handlers_along():
    async with serving(make_app(small_feed())) as url:
        before = len(asyncio.all_tasks())
        async with crowd(url, 100):
            await asyncio.sleep(1)
            assert len(asyncio.all_tasks()) > before + 100
        await asyncio.sleep(0.1)
        assert len(asyncio.all_tasks()) == before


@simulated
async def test_stopping_server_answers_those_who_wait_and_closes():
    serves = serving(make_app(small_feed()))
    url = await serves.__aenter__()
    async with crowd(url, 100) as readers:
        await asyncio.sleep(1)
        await serves.__aexit__(None, None, None)
        assert now_ms() == 1000
        assert {await reader.body() for reader in readers} == {b"[]"}
        assert {await reader.rest() for reader in readers} == {b""}


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


@pytest.mark.parametrize("name", ["http_polling", "long_polling", "sse"])
@simulated
async def test_reader_who_has_stopped_reading_does_not_hold_up_the_stop(name):
    feed = Feed()
    for _ in range(50):
        feed.publish("x" * 20_000)
    serves = serving(import_module(f"labs.servers.{name}").make_app(feed))
    reader = await Reader.open(await serves.__aenter__())
    reader.writer.transport.pause_reading()
    reader.ask()
    await asyncio.sleep(1)
    await serves.__aexit__(None, None, None)
    assert now_ms() <= 2000  # one second after the stop
    reader.writer.transport.abort()


@simulated
async def test_reader_who_stopped_reading_costs_the_server_one_answer_and_no_more():
    feed, transports = small_feed(1), []
    app = make_app(feed)

    async def note(request, response):
        transports.append(request.transport)

    app.on_response_prepare.append(note)
    async with serving(app) as url:
        reader = await Reader.open(url)
        reader.writer.transport.pause_reading()
        feed.publish("x" * 500_000)
        for _ in range(200):
            reader.ask("/events")
        await asyncio.sleep(1)
        held = transports[0].get_write_buffer_size()
        for _ in range(1000):
            feed.publish("y" * 1000)
        await asyncio.sleep(60)
        assert len(transports) == 1
        assert 400_000 < transports[0].get_write_buffer_size() == held < 600_000
        reader.writer.transport.abort()
        await asyncio.sleep(0)


# The reader.


async def take(events, count: int) -> list:
    """The next events of a reader."""
    return [await anext(events) for _ in range(count)]


async def read_through_cuts(name: str, follow, *, events: int = 400, cuts: int = 20) -> list[str]:
    """Publish while the link breaks again and again; what the reader got, in its order."""
    async with virtual.launch(name, rtt_ms=30) as server:
        cut_at = {events * n // cuts for n in range(1, cuts)}

        async def publish():
            for n in range(events):
                await server.publish(str(n))
                await asyncio.sleep(0.05)
                if n in cut_at:
                    server.link.cut()

        async with asyncio.TaskGroup() as group:
            group.create_task(publish())
            return [event.data for event in await take(follow(server.url), events)]


@simulated
async def test_reader_misses_nothing_and_repeats_nothing_through_twenty_cuts():
    got = await read_through_cuts("long_polling", clients.long_polling)
    assert got == [str(n) for n in range(400)]


@simulated
async def test_reader_gets_what_was_published_while_it_was_busy():
    async with virtual.launch("long_polling") as server:
        events, got = clients.long_polling(server.url), []
        for n in range(30):
            await server.publish(f"{n}a")
            await server.publish(f"{n}b")
            got += await take(events, 2)
        assert [event.data for event in got] == [f"{n}{letter}" for n in range(30) for letter in "ab"]
        await events.aclose()


@simulated
async def test_event_for_a_parked_reader_takes_one_way():
    async with virtual.launch("long_polling", rtt_ms=40) as server:
        events = clients.long_polling(server.url)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(1)
        event = await server.publish("x")
        await waiting
        assert now_ms() == pytest.approx(event.at / 1e6 + 20, abs=0.1)
        await events.aclose()


@simulated
async def test_silence_costs_one_request_in_each_wait():
    async with virtual.launch("long_polling", rtt_ms=40) as server:
        events = clients.long_polling(server.url, wait=10)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(100)
        assert sum(chunk.direction == "up" for chunk in server.link.trace()) == 10
        await server.publish("x")
        assert (await waiting).data == "x"
        await events.aclose()


@simulated
async def test_reader_finds_its_way_out_of_a_black_hole():
    async with virtual.launch("long_polling", rtt_ms=40) as server:
        events = clients.long_polling(server.url, wait=10)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(1)
        server.link.black_hole()
        await server.publish("x")
        server.link.heal()
        assert (await waiting).data == "x"
        assert now_ms() < 17_000  # the wait, five seconds more, and a pause
        await events.aclose()


@simulated
async def test_reader_is_told_when_the_server_has_restarted():
    async with virtual.launch("long_polling") as server:
        await server.publish("x")
        events = clients.long_polling(server.url)
        await anext(events)
        await server.restart()
        with pytest.raises(Gone, match="before the server restarted"):
            await anext(events)


@simulated
async def test_reader_of_a_dead_server_asks_more_and_more_rarely():
    async with virtual.launch("long_polling") as server:
        await server.host.stop()
        waiting = asyncio.ensure_future(anext(clients.long_polling(server.url, rng=random.Random(1))))
        await asyncio.sleep(600)
        # A set, because aiohttp asks a second time at once when a connection ends without an answer.
        opened = {note.at / 1e9 for note in server.link.notes if note.what == "opened"}
        assert 600 / 30 < len(opened) < 80
        assert sum(at < 60 for at in opened) > len(opened) / 8
        pauses = [b - a for a, b in pairwise(sorted(opened))][10:]
        assert min(pauses) < 10 < 20 < max(pauses) <= 31  # drawn anew each time
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await server.host.start()


@simulated
async def test_reader_who_was_answered_starts_again_with_short_pauses():
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
    body = b'[{"id":1,"at":0,"data":"d","cursor":"e-1"}]'
    failure = b"HTTP/1.1 503 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    whole = answer % (len(body), body)
    script = Script(*[failure] * 8, whole, failure, whole, failure, whole)
    async with script.read(clients.long_polling, rng=random.Random(1)) as events:
        await take(events, 3)
    assert max(b - a for a, b in pairwise(script.asked[:9])) > 5
    assert max(b - a for a, b in pairwise(script.asked[8:])) <= 0.5


@simulated
async def test_server_that_stops_in_the_moment_that_a_wait_is_over_lets_it_be_over():
    app = make_app(small_feed())
    with pytest.raises(TimeoutError):
        async with at_most(1, app):
            try:
                await asyncio.sleep(9)
            finally:
                await stop_waiting(app)
