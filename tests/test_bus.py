"""The bus over a real Redis: who gets what, in which order, and what is said when something may be missing."""

import asyncio
import os
from contextlib import asynccontextmanager

import pytest
from crowd import becomes
from redis.asyncio import Redis
from redis.exceptions import ConnectionError, OutOfMemoryError, ResponseError

from labs.bus import redis_lines, streams
from labs.bus.pubsub import Gap, Message, PubSub
from labs.bus.redis_lines import Full, Seen
from labs.bus.redis_process import redis
from labs.bus.streams import Streams
from labs.feed import BadCursor, Gone
from labs.link import Link

BUSES = [PubSub, Streams]
both = pytest.mark.parametrize("kind", BUSES)
pytestmark = pytest.mark.skipif(os.name != "posix", reason="a real Redis is needed")


@pytest.fixture(autouse=True)
def no_other_redis(monkeypatch):
    monkeypatch.delenv("REDIS_URL", raising=False)


class Server:
    """One server's side of a bus, and what it was given."""

    def __init__(self, kind, url: str, **settings):
        self.items: list[Message | Gap] = []
        self.bus = kind(url, self.items.append, **settings)

    def texts(self, room: str = "blue") -> list[str]:
        return [item.data for item in self.items if isinstance(item, Message) and item.room == room]

    @property
    def gaps(self) -> list[str]:
        return [item.room for item in self.items if isinstance(item, Gap)]

    async def has(self, count: int, room: str = "blue") -> bool:
        """Whether so many messages have come, and some time later no more."""

        async def enough() -> bool:
            return len(self.texts(room)) >= count

        came = await becomes(enough, within_s=10)
        await asyncio.sleep(0.02)
        return came and len(self.texts(room)) == count


@asynccontextmanager
async def two(kind, url: str, *rooms: str, **settings):
    """Two servers that have these rooms open."""
    one, other = Server(kind, url, **settings), Server(kind, url, **settings)
    async with one.bus, other.bus:
        for room in rooms:
            await one.bus.open(room)
            await other.bus.open(room)
        yield one, other


@both
async def test_message_reaches_every_server_once_and_in_one_order(kind):
    async with redis() as server, two(kind, server.url, "blue") as (one, other):
        for n in range(200):
            (one, other)[n % 2].bus.publish("blue", f"message {n}")
        assert await one.has(200) and await other.has(200)
        assert one.texts() == other.texts()
        for part in (0, 1):  # each publisher's own order
            numbers = [int(text.split()[1]) for text in one.texts()]
            assert [n for n in numbers if n % 2 == part] == list(range(part, 200, 2))


@both
async def test_message_reaches_no_other_room_and_nobody_who_has_closed_it(kind):
    async with redis() as server, two(kind, server.url, "blue", "red") as (one, other):
        await other.bus.close("blue")
        one.bus.publish("blue", "to blue")
        await one.bus.publish("red", "to red")
        assert await one.has(1) and await other.has(1, "red") and await other.has(0, "blue")


@both
async def test_opened_room_has_all_that_is_published_from_then_on(kind):
    async with redis() as server, two(kind, server.url) as (one, other):
        for n in range(8):
            await one.bus.open(f"room-{n}")
            other.bus.publish(f"room-{n}", "first words")
        for n in range(8):
            assert await one.has(1, f"room-{n}")
        assert one.gaps == other.gaps == []


@both
async def test_room_closed_and_opened_again_goes_on(kind):
    async with redis() as server, two(kind, server.url, "blue") as (one, other):
        for n in range(10):
            await one.bus.close("blue")
            await other.bus.publish("blue", "unheard")
            await one.bus.open("blue")
            await other.bus.publish("blue", f"heard {n}")
        assert await one.has(10) and one.texts() == [f"heard {n}" for n in range(10)] and one.gaps == []


@both
async def test_any_text_passes_unchanged(kind):
    texts = ["", " two  spaces ", "a\r\nb\0c", "ünï €😀", "x" * 100_000]
    async with redis() as server, two(kind, server.url, "blue") as (one, other):
        for text in texts:
            one.bus.publish("blue", text)
        assert await other.has(len(texts)) and other.texts() == texts


@both
async def test_redis_that_is_not_there_is_told_at_once(kind):
    with pytest.raises(ConnectionError):
        async with kind("redis://127.0.0.1:1", print):
            raise AssertionError("connected to nothing")


@both
async def test_closed_bus_leaves_no_task_and_no_connection(kind):
    async with redis() as server:
        before = len(asyncio.all_tasks())
        async with two(kind, server.url, "blue") as (one, _):
            await one.bus.publish("blue", "x")

        async def alone() -> bool:
            async with Redis.from_url(server.url) as client:
                return len(await client.client_list()) == 1

        assert await becomes(alone) and len(asyncio.all_tasks()) == before


@both
async def test_delivery_that_fails_does_not_end_the_bus(kind, caplog):
    async with redis() as server:
        one = Server(kind, server.url)
        one.bus.deliver = lambda item: one.items.append(item) or 1 / (item.data != "bad")
        async with one.bus:
            await one.bus.open("blue")
            for text in ("good", "bad", "good"):
                one.bus.publish("blue", text)
            assert await one.has(3)
    assert "ZeroDivisionError" in caplog.text


@both
async def test_waiting_messages_are_bounded_while_redis_is_down(kind, monkeypatch):
    monkeypatch.setattr(redis_lines, "WAITING", 50)
    async with redis() as server, two(kind, server.url, "blue") as (one, _):
        await server.kill()
        for n in range(50):
            one.bus.publish("blue", f"{n}")
        with pytest.raises(Full):
            one.bus.publish("blue", "one too many")


@both
async def test_publisher_whose_answer_was_lost_sends_again_and_readers_see_it_once(kind):
    async with redis() as server, await Link.open(server.url) as link:
        one, other, raw = (
            Server(kind, link.url.replace("http", "redis")),
            Server(kind, server.url),
            Server(kind, server.url),
        )
        raw.bus.seen.add = lambda key: True  # leaves no copy out
        async with one.bus, other.bus, raw.bus:
            await other.bus.open("blue")
            await raw.bus.open("blue")
            await one.bus.publish("blue", "before")
            link.stall()  # Redis gets what is sent, and its answers do not come back
            sent = [one.bus.publish("blue", f"{n}") for n in range(3)]
            assert await raw.has(4)
            link.resume()
            link.cut()
            await asyncio.gather(*sent)
            await one.bus.publish("blue", "after")
            assert await other.has(5) and other.texts() == ["before", "0", "1", "2", "after"]
            assert await raw.has(8)


async def test_streams_bring_what_was_published_together_within_one_turn_of_the_loop():
    """So that it leaves in one write to each client."""
    turns = []

    def taken(item: Message) -> None:
        if not turns or not turns[-1]:
            turns.append([])
            asyncio.get_running_loop().call_soon(lambda: turns.append([]))
        turns[-1].append(item.data)

    async with redis() as server, Streams(server.url, taken) as reader, Streams(server.url, print) as writer:
        await reader.open("blue")
        texts = [f"message {n}" for n in range(16)]
        await asyncio.gather(*(writer.publish("blue", text) for text in texts))

        async def all_taken() -> bool:
            return sum(map(len, turns)) == len(texts)

        assert await becomes(all_taken)
        assert [turn for turn in turns if turn] == [texts]


async def test_message_that_redis_refuses_takes_none_with_it_that_was_sent_together_with_it():
    async with (
        redis() as server,
        two(Streams, server.url, "blue") as (one, other),
        Redis.from_url(server.url) as client,
    ):
        await client.set("stream:red", "no stream")
        futures = [one.bus.publish(room, room) for room in ("blue", "red", "blue")]
        found = await asyncio.gather(*futures, return_exceptions=True)
        assert [type(answer) for answer in found] == [str, ResponseError, str]
        assert await other.has(2)
        await client.config_set("maxmemory", 1)  # now it refuses the whole step
        found = await asyncio.gather(*(one.bus.publish("blue", "x") for _ in range(2)), return_exceptions=True)
        assert [type(answer) for answer in found] == [OutOfMemoryError] * 2
        await client.config_set("maxmemory", 0)
        await one.bus.publish("blue", "y")
        assert await other.has(3) and other.gaps == []


async def outage(server, one, other, before: int = 20, during: int = 20) -> None:
    """Messages from two servers, Redis killed in the middle, started again, and more messages."""
    for n in range(before + during):
        (one, other)[n % 2].bus.publish("blue", f"{n}")
        if n == before:
            await server.kill()
        await asyncio.sleep(0.005)
    await server.restart()


async def test_pubsub_tells_every_server_of_the_gap_when_redis_was_killed():
    async with redis() as server, two(PubSub, server.url, "blue", "red") as (one, other):
        await outage(server, one, other)
        await asyncio.gather(one.bus.open("green"), other.bus.open("green"))  # both are back
        assert await one.bus.publish("blue", "again") == 2
        for reader in (one, other):

            async def has_it(reader=reader) -> bool:
                return reader.texts()[-1:] == ["again"]

            assert await becomes(has_it) and set(reader.gaps) == {"blue", "red"}
            numbers = [
                int(item.data) if isinstance(item, Message) else None
                for item in reader.items[:-1]
                if item.room == "blue"
            ]
            assert all(gap_between(numbers, n) for n in range(40) if n not in numbers)


def gap_between(numbers: list[int | None], missing: int) -> bool:
    """Whether there is a gap (None) between what was delivered before this message and what came after it."""
    later = [at for at, n in enumerate(numbers) if n is not None and n % 2 == missing % 2 and n > missing]
    earlier = [at for at, n in enumerate(numbers) if n is not None and n % 2 == missing % 2 and n < missing]
    return None in numbers[max(earlier, default=-1) + 1 : min(later, default=len(numbers))]


async def test_pubsub_tells_of_a_message_that_nobody_got():
    async with redis() as server, Redis.from_url(server.url) as client:
        one = Server(PubSub, server.url)
        async with one.bus:
            await one.bus.open("blue")
            one.bus._tasks[0].cancel()  # it does not read any more, and its connection ends

            async def unsubscribed() -> bool:
                return not (await client.pubsub_numsub("room:blue"))[0][1]

            assert await becomes(unsubscribed)
            assert await one.bus.publish("blue", "to nobody") == 0
            assert await one.has(0) and one.gaps == ["blue"]


async def test_streams_lose_nothing_when_a_durable_redis_was_killed():
    async with redis(durable=True) as server, two(Streams, server.url, "blue") as (one, other):
        await outage(server, one, other)
        assert await one.has(40) and await other.has(40)
        assert one.texts() == other.texts() and sorted(map(int, one.texts())) == list(range(40))
        assert one.gaps == other.gaps == []


async def test_streams_tell_of_a_gap_when_redis_has_lost_its_memory():
    async with redis() as server, two(Streams, server.url, "blue") as (one, other):
        await one.bus.publish("blue", "forgotten")
        assert await one.has(1)
        cursor = await one.bus.open("blue")
        await server.restart()
        await other.bus.publish("blue", "new")
        assert await one.has(2), (
            one.items,
            one.bus.rooms,
            one.bus.epochs,
            other.bus.epochs,
            one.bus.reader.is_connected,
            one.bus._rounds,
        )
        assert one.texts() == ["forgotten", "new"] and one.gaps == ["blue"]
        with pytest.raises(Gone):
            await one.bus.since("blue", cursor)


async def lifetimes(client: Redis, room: str = "blue") -> tuple[int, int]:
    """For how many seconds Redis still keeps a room's epoch and its stream: -1 is for ever, -2 that it has none."""
    return await client.ttl(f"stream:{room}:epoch"), await client.ttl(f"stream:{room}")


async def test_streams_are_kept_for_a_day_and_a_little_longer_than_their_epoch():
    async with redis() as server, Redis.from_url(server.url) as client, two(Streams, server.url, "blue") as (one, _):
        assert await lifetimes(client) == (pytest.approx(86_400, abs=30), -2)
        await one.bus.publish("blue", "x")

        async def limited() -> bool:
            epoch, stream = await lifetimes(client)
            return 86_000 < epoch < stream < 86_500

        assert await becomes(limited)
        await client.persist("stream:blue")
        await one.bus.close("blue")
        await one.bus.open("blue")  # as a server would that finds it so
        assert await limited()


async def test_streams_are_kept_for_as_long_as_a_server_has_them_open(monkeypatch):
    monkeypatch.setattr(streams, "BLOCK_MS", 20)
    async with (
        redis() as server,
        Redis.from_url(server.url) as client,
        two(Streams, server.url, "blue", keep_s=1) as (one, _),
    ):
        await one.bus.publish("blue", "x")
        assert await one.has(1)
        for key in ("stream:blue", "stream:blue:epoch"):
            await client.persist(key)

        async def renewed() -> bool:
            return min(await lifetimes(client)) >= 0

        assert await becomes(renewed, within_s=5)


@pytest.mark.parametrize("forgotten", [("stream:blue:epoch", "stream:blue"), ("stream:blue:epoch",)])
async def test_cursor_into_a_room_that_was_forgotten_is_gone_even_if_its_number_exists_again(forgotten):
    async with (
        redis() as server,
        Redis.from_url(server.url) as client,
        two(Streams, server.url, "blue") as (one, other),
    ):
        await asyncio.gather(*(one.bus.publish("blue", f"old {n}") for n in range(3)))
        cursor = await one.bus.open("blue")
        for reader in (one, other):
            await reader.bus.close("blue")
        await client.delete(*forgotten)  # what Redis does when their time has come
        await asyncio.gather(*(one.bus.publish("blue", f"new {n}") for n in range(5)))
        for bus in (one.bus, other.bus):
            with pytest.raises(Gone):
                await bus.since("blue", cursor)
            await bus.open("blue")
            with pytest.raises(Gone):
                await bus.since("blue", cursor)
        await other.bus.publish("blue", "last")

        async def has_the_last() -> bool:
            return one.texts()[-1:] == ["last"]

        assert await becomes(has_the_last) and one.gaps == []


async def test_room_that_redis_refuses_to_open_is_told_and_does_not_stop_the_others():
    async with (
        redis() as server,
        Redis.from_url(server.url) as client,
        two(Streams, server.url, "blue") as (one, other),
    ):
        await client.set("stream:red", "no stream")
        with pytest.raises(ResponseError):
            await one.bus.open("red")
        await other.bus.publish("blue", "x")
        assert await one.has(1) and one.gaps == []


async def test_streams_tell_of_messages_that_are_no_longer_kept():
    async with redis() as server, await Link.open(server.url) as link, two(Streams, server.url) as (one, _):
        slow = Server(Streams, link.url.replace("http", "redis"))
        async with slow.bus:
            await slow.bus.open("blue")
            await one.bus.publish("blue", "first")
            assert await slow.has(1)
            link.stall()
            for n in range(300):
                one.bus.publish("blue", f"{n}")
            await one.bus.publish("blue", "last")
            async with Redis.from_url(server.url) as client:
                await client.xtrim("stream:blue", maxlen=10)
            link.cut()
            link.resume()

            async def has_the_last() -> bool:
                return slow.texts()[-1] == "last"

            assert await becomes(has_the_last, within_s=5)
            missing = [n for n in range(300) if f"{n}" not in slow.texts()]
            assert slow.gaps == (["blue"] if missing else [])


async def test_since_a_cursor_on_another_server_has_what_was_missed_without_copies():
    async with redis() as server, two(Streams, server.url, "blue") as (one, other):
        await one.bus.publish("blue", "seen", key="k1")
        assert await one.has(1)
        cursor = one.bus.cursor("blue", one.items[-1].id)
        one.bus.publish("blue", "seen", key="k1")  # sent again
        one.bus.publish("blue", "missed", key="k2")
        await one.bus.publish("blue", "missed", key="k2")
        missed = await other.bus.since("blue", cursor)
        assert [(message.id, message.data) for message in missed] == [(3, "missed")]
        assert await other.bus.since("blue", other.bus.cursor("blue", 4)) == []


async def test_copy_that_comes_after_somebody_has_come_back_is_known_to_the_server_that_never_had_the_first():
    async with redis() as server, two(Streams, server.url) as (one, other):
        await one.bus.open("blue")
        await one.bus.publish("blue", "seen", key="k1")
        assert await one.has(1)
        await other.bus.open("blue")
        assert await other.bus.since("blue", one.bus.cursor("blue", 1)) == []
        one.bus.publish("blue", "seen", key="k1")
        one.bus.publish("blue", "new")
        assert await other.has(1) and other.texts() == ["new"]


@pytest.mark.parametrize(
    "cursor, error",
    [("x", BadCursor), ("", BadCursor), ("00000000-1", Gone), ("{epoch}-4", BadCursor), ("{epoch}-0", Gone)],
)
async def test_since_a_cursor_that_cannot_be_followed_says_why(cursor, error):
    async with redis() as server, two(Streams, server.url, "blue") as (one, _), Redis.from_url(server.url) as client:
        for n in range(3):
            await one.bus.publish("blue", f"{n}")
        await client.xtrim("stream:blue", maxlen=2, approximate=False)
        with pytest.raises(error):
            await one.bus.since("blue", cursor.format(epoch=one.bus.epochs["blue"]))


def test_seen_knows_the_last_keys_and_no_more():
    seen = Seen(3)
    assert [seen.add(key) for key in "abcab"] == [True, True, True, False, False]
    assert seen.add("d") and seen.add("a") and not seen.add("d")
