"""The polling reader and what all readers share: their schedule, their bytes, and what they survive."""

import asyncio
from contextlib import aclosing, asynccontextmanager

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated import now_ms, simulated
from transports import FEEDS

from labs import clients, virtual
from labs.feed import BadCursor, Event, Gone

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"
NOTHING = HEAD % (2, b"[]")


def news(*numbers: int) -> bytes:
    """An answer with these events."""
    body = b"[" + b",".join(b'{"id":%d,"at":0,"data":"d","cursor":"0000000a-%d"}' % (n, n) for n in numbers) + b"]"
    return HEAD % (len(body), body)


class Script:
    """A server that gives these answers one by one, each after so many seconds, and notes what it was asked and when.

    An answer that is None closes the connection.
    """

    def __init__(self, *answers: tuple[float, bytes | None]):
        self.answers, self.asked = list(answers), []

    async def serve(self, reader, writer):
        while self.answers:
            try:
                request = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            self.asked.append((now_ms(), request))
            pause, answer = self.answers.pop(0)
            await asyncio.sleep(pause)
            if answer is None:
                break
            writer.write(answer)
        writer.close()

    @asynccontextmanager
    async def url(self):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    def times(self) -> list[float]:
        return [at for at, _ in self.asked]


async def poll(script: Script, count: int, **settings) -> list[int]:
    """The numbers of the next events that the polling reader gets from this server."""
    async with script.url() as url, aclosing(clients.polling(url, **settings)) as events:
        return [(await anext(events)).id for _ in range(count)]


@simulated
async def test_poll_is_asked_in_exactly_these_bytes():
    script = Script((0, news(1)), (0, news(2)))
    await poll(script, 2)
    assert [request for _, request in script.asked] == [
        b"GET /events HTTP/1.1\r\nHost: 127.0.0.1:60000\r\n\r\n",
        b"GET /events?after=0000000a-1 HTTP/1.1\r\nHost: 127.0.0.1:60000\r\n\r\n",
    ]


@simulated
async def test_polls_keep_to_a_fixed_schedule_however_long_answers_take():
    script = Script((0.3, NOTHING), (0.7, NOTHING), (0, NOTHING), (0.999, NOTHING), (0, news(1)))
    await poll(script, 1)
    assert script.times() == [0, 1000, 2000, 3000, 4000]


@simulated
async def test_answer_slower_than_the_interval_costs_ticks_and_never_overlaps():
    script = Script((2.5, NOTHING), (0.2, NOTHING), (1, NOTHING), (0, news(1)))
    await poll(script, 1)
    assert script.times() == [0, 3000, 4000, 5000]


@simulated
async def test_reader_that_is_busy_with_an_event_costs_ticks_too():
    script = Script((0, news(1, 2)), (0, news(3)), (0, news(4)))
    async with script.url() as url, aclosing(clients.polling(url)) as events:
        async for event in events:
            if event.id == 4:
                break
            await asyncio.sleep(0.8)
    assert script.times() == [0, 2000, 3000]


@simulated
async def test_every_event_comes_once_in_order_and_the_cursor_moves_on():
    script = Script((0, news(1, 2, 3)), (0, NOTHING), (0, news(4)), (0, news(5, 6)))
    assert await poll(script, 6, after="0000000a-0") == [1, 2, 3, 4, 5, 6]
    targets = [request.split(b" ")[1].decode().removeprefix("/events?after=0000000a-") for _, request in script.asked]
    assert targets == ["0", "3", "3", "4"]


FAILED = {
    "connection that ends": None,
    "error of the server": b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
    "refusal for now": b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n",
    "answer cut off": NOTHING[:-1],
    "no HTTP": b"what?\r\n\r\n",
    "page of some gateway": HEAD % (15, b"<h1>Log in</h1>"),
}


@pytest.mark.parametrize("failure", FAILED)
@simulated
async def test_failed_poll_does_not_end_the_reading(failure):
    answers = [(0, news(1))] + [(0, FAILED[failure])] * 2 + [(0, news(2))] * 3
    script = Script(*answers)
    assert await poll(script, 2) == [1, 2]
    assert script.asked[-1][1].startswith(b"GET /events?after=0000000a-1 ")


@simulated
async def test_poll_without_an_answer_is_given_up_after_five_seconds():
    script = Script((3600, NOTHING), (0, news(1)))
    await poll(script, 1)
    assert script.times() == [0, 5000]


@simulated
async def test_dead_server_is_asked_on_schedule_until_it_is_back():
    async with virtual.launch("http_polling") as server:
        await server.host.stop()
        asyncio.get_running_loop().call_later(9.5, lambda: asyncio.ensure_future(back(server)))
        async with aclosing(clients.polling(server.origin)) as events:
            assert (await anext(events)).data == "back"
        assert now_ms() == 10_000


async def back(server):
    await server.restart()
    await server.publish("back")


@pytest.mark.parametrize("name", FEEDS)
@pytest.mark.parametrize("cursor", ["x", "00000001", "00000001-7"])
@simulated
async def test_cursor_that_is_none_is_told_at_once_and_not_asked_for_again(name, cursor):
    async with virtual.launch(name) as server:
        with pytest.raises(BadCursor, match="cursor"):
            await anext(FEEDS[name].follow(server.url, after=cursor))
        assert now_ms() < 100


@simulated
async def test_gone_says_what_the_server_said():
    async with virtual.launch("http_polling", keep=1) as server:
        for text in "abc":
            await server.publish(text)
        with pytest.raises(Gone) as gone:
            await anext(clients.polling(server.url, after="00000001-0"))
        assert str(gone.value) == "events 1 to 2 are no longer kept"


@simulated
async def test_gone_without_json_says_what_came():
    script = Script((0, b"HTTP/1.1 410 Gone\r\nContent-Length: 4\r\n\r\nbye!"))
    async with script.url() as url:
        with pytest.raises(Gone, match=r"^bye!$"):
            await anext(clients.polling(url))


@pytest.mark.parametrize("name", FEEDS)
@simulated
async def test_reader_that_is_closed_leaves_no_task_and_no_connection(name):
    async with virtual.launch(name) as server:
        await server.publish("x")
        await asyncio.sleep(1)
        before = len(asyncio.all_tasks())
        async with aclosing(FEEDS[name].follow(server.url)) as events:
            await anext(events)
        await asyncio.sleep(2)
        assert len(asyncio.all_tasks()) == before
        assert [note.what for note in server.link.notes] == ["opened", "closed"]


@simulated
async def test_published_event_comes_back_as_the_server_numbered_it():
    async with virtual.launch("http_polling") as server, clients.session() as http:
        await asyncio.sleep(1.5)
        event = await clients.publish(http, server.url, "né\n")
        assert event == Event(1, 1_500_000_000, "né\n", "00000001-1")


@simulated
async def test_refused_event_raises():
    async with virtual.launch("http_polling") as server, clients.session() as http:
        with pytest.raises(aiohttp.ClientResponseError) as error:
            await clients.publish(http, server.url, "x" * 100_000)
        assert error.value.status == 413


# The schedule.


@given(st.lists(st.integers(0, 5000), max_size=20), st.integers(20, 2000))
def test_ticks_are_multiples_of_the_interval_and_each_is_the_next_one_due(works_ms, every_ms):
    async def run():
        seen, works = [], iter(works_ms)
        async for number in clients.ticks(every_ms / 1000):
            seen.append((number, now_ms()))
            if (work := next(works, None)) is None:
                return seen
            await asyncio.sleep(work / 1000)

    seen = virtual.run(run())
    assert seen[0] == (0, 0)
    for (number, at), work, (next_number, next_at) in zip(seen, works_ms, seen[1:], strict=False):
        assert next_at == pytest.approx(next_number * every_ms, abs=0.01)
        assert next_number > number
        assert next_number == max(number + 1, -(-round(at + work) // every_ms))
