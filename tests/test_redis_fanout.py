"""Rooms over several server processes and a real Redis: who hears what, who is present, and what a kill costs."""

import asyncio
import json
import os
import signal
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from crowd import becomes
from redis.asyncio import Redis
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from labs.bus import redis_lines, shared_lobby
from labs.bus.presence import SharedPresence
from labs.bus.redis_process import redis
from labs.bus.shared_rooms import SharedRooms
from labs.hosting import serving
from labs.launch import LaunchError, Process, launch
from labs.servers.redis_fanout import make_app

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a real Redis is needed")


@pytest.fixture
def pair(pair_memory):
    """Two servers that share a Redis, for all tests that leave them as they are; each test has rooms of its own."""
    return pair_memory[0]


@pytest.fixture(scope="module", params=["pubsub", "streams"])
def pair_memory(request):
    """The pair, of which each has another engine, and its Redis."""

    async def start():
        memory = await redis(ours=True)
        engines = ("websockets", "raw")
        hosts = [Process("redis_fanout", *options(memory, request.param), "--engine", engine) for engine in engines]
        return memory, hosts, await asyncio.gather(*(host.start() for host in hosts))

    async def stop(memory, hosts):
        await asyncio.gather(*(host.stop() for host in hosts))
        await memory.stop()

    memory, hosts, origins = asyncio.run(start())
    yield [SimpleNamespace(origin=origin) for origin in origins], memory
    asyncio.run(stop(memory, hosts))
    assert [line for host in hosts for line in host.log if "Traceback" in line] == []


def options(memory, delivery: str) -> tuple[str, ...]:
    """A server's options."""
    return "--redis", memory.url, "--delivery", delivery, "--rate", "0"


both = pytest.mark.parametrize("delivery", ["pubsub", "streams"])


@pytest.fixture(autouse=True)
def no_other_redis(monkeypatch):
    monkeypatch.delenv("REDIS_URL", raising=False)


class Client:
    """One connection, and all that it was told."""

    def __init__(self, socket):
        self.socket, self.heard = socket, []
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, server, name: str) -> "Client":
        return cls(
            await connect(server.origin.replace("http", "ws") + f"/rooms?name={name}", subprotocols=["rooms.v1"])
        )

    async def _read(self):
        try:
            async for text in self.socket:
                self.heard.append(json.loads(text))
        except ConnectionClosed:
            pass

    async def ask(self, **message):
        await self.socket.send(json.dumps(message))

    async def join(self, room: str, **more) -> dict:
        """Join, and return what `joined` says."""
        before = len(self.of("joined", room))
        await self.ask(type="join", room=room, **more)
        assert await becomes(lambda: self.has("joined", before + 1, room), within_s=10)
        return self.of("joined", room)[-1]

    async def say(self, text: str, room: str = "blue", **more):
        await self.ask(type="message", room=room, text=text, **more)

    def of(self, kind: str, room: str | None = None) -> list[dict]:
        return [message for message in self.heard if message["type"] == kind and room in (None, message.get("room"))]

    def texts(self, room: str = "blue") -> list[str]:
        return [message["text"] for message in self.of("message", room)]

    async def has(self, kind: str, count: int, room: str | None = None) -> bool:
        return len(self.of(kind, room)) >= count

    async def gets(self, count: int, room: str = "blue") -> bool:
        """Whether so many messages come within ten seconds."""
        return await becomes(lambda: self.has("message", count, room), within_s=10)

    async def close(self):
        await self.socket.close()
        await self._reading


@asynccontextmanager
async def servers(delivery: str, count: int = 2, **settings):
    """A Redis and so many servers that share it."""
    async with redis(**settings) as memory:
        starting = [launch("redis_fanout", *options(memory, delivery)) for _ in range(count)]
        found = await asyncio.gather(*starting)
        try:
            yield memory, found
        finally:
            await asyncio.gather(*(server.stop() for server in found))
            assert [line for server in found for line in server.log if "Traceback" in line] == []


async def test_room_is_one_over_two_servers_each_message_once_in_one_order_and_in_no_other_room(pair):
    one, other = pair
    ada, bob, eve = await Client.open(one, "ada"), await Client.open(other, "bob"), await Client.open(other, "eve")
    await asyncio.gather(ada.join("one"), bob.join("one"), eve.join("another"))
    for n in range(50):
        await ada.say(f"a{n}", "one")
        await bob.say(f"b{n}", "one")
    assert await ada.gets(100, "one") and await bob.gets(100, "one")
    await asyncio.sleep(0.05)
    assert ada.texts("one") == bob.texts("one") and len(ada.texts("one")) == 100 and eve.of("message") == []
    assert [text for text in ada.texts("one") if text[0] == "a"] == [f"a{n}" for n in range(50)]
    assert [message["id"] for message in ada.of("message")] == list(range(1, 101))
    assert all(message["sender"] == {"a": "ada", "b": "bob"}[message["text"][0]] for message in bob.of("message"))
    await asyncio.gather(*(client.close() for client in (ada, bob, eve)))


async def test_presence_is_shared_and_a_name_on_two_servers_counts_once(pair):
    one, other = pair
    ada, again, bob = await Client.open(one, "ada"), await Client.open(other, "ada"), await Client.open(one, "bob")
    await bob.join("seen")
    await again.join("seen")
    assert await becomes(lambda: bob.has("presence", 1), within_s=10)
    await ada.join("seen")

    async def sees_both() -> bool:
        return (await again.join("seen"))["members"] == ["ada", "bob"]

    assert await becomes(sees_both, within_s=10)
    await again.close()
    await asyncio.sleep(0.2)
    assert [message.get("joined") for message in bob.of("presence")] == ["ada"]
    await ada.close()
    assert await becomes(lambda: bob.has("presence", 2), within_s=10)
    assert bob.of("presence")[1] == {"type": "presence", "room": "seen", "left": "ada"}
    await bob.close()


async def test_what_a_client_asks_for_while_it_joins_is_done_in_its_order(pair):
    ada = await Client.open(pair[0], "ada")
    for n in range(5):
        await ada.ask(type="join", room=f"r{n}")
        await ada.say(f"to r{n}", f"r{n}")
        await ada.ask(type="leave", room=f"r{n}")
    assert await becomes(lambda: ada.has("left", 5), within_s=10)
    assert [message["room"] for message in ada.of("joined")] == [f"r{n}" for n in range(5)] and ada.of("error") == []
    await ada.close()


async def test_message_sent_again_with_its_key_is_delivered_once(pair):
    one, other = pair
    ada, again, bob = await Client.open(one, "ada"), await Client.open(other, "ada"), await Client.open(other, "bob")
    await asyncio.gather(*(client.join("keys") for client in (ada, again, bob)))
    await ada.say("hello", "keys", key="k1")
    assert await again.gets(1, "keys")
    await again.say("hello", "keys", key="k1")
    await bob.say("hello", "keys", key="k1")  # another's k1 is another message
    assert await bob.gets(2, "keys") and await ada.gets(2, "keys")
    await asyncio.sleep(0.05)
    assert [(message["sender"], message["key"]) for message in ada.of("message")] == [("ada", "k1"), ("bob", "k1")]
    await ada.say("bad", "keys", key="two words")
    assert await becomes(lambda: ada.has("error", 1), within_s=10) and ada.of("error")[0]["code"] == "bad_key"
    await asyncio.gather(*(client.close() for client in (ada, again, bob)))


async def test_server_without_redis_says_so_and_does_not_start():
    with pytest.raises(LaunchError, match="there is no Redis"):
        await launch("redis_fanout", "--redis", "redis://127.0.0.1:1")


async def talk(clients: list[Client], seconds: float, per_second: float = 100) -> int:
    """So many messages a second, from the clients in turn; returns how many there were."""
    count = round(seconds * per_second)
    for n in range(count):
        await clients[n % len(clients)].say(f"{n}")
        await asyncio.sleep(1 / per_second)
    return count


async def killed_under_load(memory, clients) -> int:
    """Redis is killed under 100 messages a second, and started again."""
    talking = asyncio.create_task(talk(clients, 0.8))
    await asyncio.sleep(0.2)
    await memory.kill()
    await asyncio.sleep(0.3)
    await memory.restart()
    return await talking


async def test_redis_killed_under_load_pubsub_tells_of_every_gap():
    async with servers("pubsub") as (memory, (one, other)):
        ada, bob = await Client.open(one, "ada"), await Client.open(other, "bob")
        await asyncio.gather(ada.join("blue"), bob.join("blue"))
        count = await killed_under_load(memory, [ada, bob])
        await ada.say("end")
        for client in (ada, bob):

            async def has_the_end(client=client) -> bool:
                return client.texts()[-1:] == ["end"]

            assert await becomes(has_the_end, within_s=10)
            heard = [
                None if message["type"] == "gap" else int(message["text"])
                for message in client.heard
                if message["type"] in ("gap", "message") and message.get("text") != "end"
            ]
            numbers = [n for n in heard if n is not None]
            assert len(set(numbers)) == len(numbers) and None in heard
            for n in set(range(count)) - set(numbers):
                mine = [at for at, m in enumerate(heard) if m is not None and m % 2 == n % 2]
                before = max((at for at in mine if heard[at] < n), default=-1)
                after = min((at for at in mine if heard[at] > n), default=len(heard))
                assert None in heard[before:after], f"message {n} is missing and nobody was told"
            await client.close()


async def test_redis_killed_under_load_streams_lose_and_double_nothing():
    async with servers("streams", durable=True) as (memory, (one, other)):
        ada, bob = await Client.open(one, "ada"), await Client.open(other, "bob")
        await asyncio.gather(ada.join("blue"), bob.join("blue"))
        count = await killed_under_load(memory, [ada, bob])
        assert await ada.gets(count) and await bob.gets(count)
        await asyncio.sleep(0.1)
        assert ada.texts() == bob.texts() and sorted(map(int, ada.texts())) == list(range(count))
        assert ada.of("gap") == bob.of("gap") == []
        await asyncio.gather(ada.close(), bob.close())


async def test_server_killed_while_clients_resume_on_the_other_streams_lose_and_double_nothing():
    async with servers("streams") as (_, (one, other)):
        bob = await Client.open(other, "bob")
        await bob.join("blue")
        readers = [await Client.open(one, f"reader-{n}") for n in range(5)]
        cursors = [(await reader.join("blue"))["cursor"] for reader in readers]
        talking = asyncio.create_task(talk([bob], 0.6, 200))
        await asyncio.sleep(0.2)
        os.kill((await one.usage())["pid"], signal.SIGKILL)
        heard = []
        for reader, cursor in zip(readers, cursors, strict=True):
            await reader._reading
            last = reader.of("message")[-1:]
            back = await Client.open(other, "back")
            await back.join("blue", after=last[0]["cursor"] if last else cursor)
            heard.append((reader, back))
        count = await talking
        await bob.say("end")
        for reader, back in heard:

            async def has_the_end(back=back) -> bool:
                return back.texts()[-1:] == ["end"]

            assert await becomes(has_the_end, within_s=10)
            assert reader.texts() + back.texts() == [f"{n}" for n in range(count)] + ["end"]
            assert back.of("gap") == []
            await back.close()
        await bob.close()


async def test_cursor_that_cannot_be_followed_is_a_gap_or_an_error():
    async with servers("streams", 1) as (_, (one,)):
        ada = await Client.open(one, "ada")
        await ada.join("blue", after="00000000-5")
        assert len(ada.of("gap", "blue")) == 1
        for after in ("x", 7, [], "00000000"):
            await ada.ask(type="join", room="red", after=after)
        assert await becomes(lambda: ada.has("error", 4), within_s=10)
        assert {message["code"] for message in ada.of("error")} == {"bad_cursor"} and ada.of("joined", "red") == []
        await ada.close()


class Somebody:
    """A member without a connection."""

    def __init__(self, name: str):
        self.name, self.rooms = name, []


def told(deliveries) -> list[tuple[list[str], dict]]:
    """To whom, by name, and what."""
    return [(sorted(member.name for member in getattr(to, "members", to)), message) for to, message in deliveries]


def test_name_joins_with_the_first_place_that_has_it_and_leaves_with_the_last():
    rooms, ada, bob = SharedRooms(), Somebody("ada"), Somebody("bob")
    rooms.join(bob, "blue")
    assert told(rooms.elsewhere_now("blue", "ada", "s2", True)) == [
        (["bob"], {"type": "presence", "room": "blue", "joined": "ada"})
    ]
    assert rooms.elsewhere_now("blue", "ada", "s2", True) == []  # said twice
    assert rooms.elsewhere_now("blue", "ada", "s3", True) == []  # a second place
    assert told(rooms.join(ada, "blue")) == [(["ada"], {"type": "joined", "room": "blue", "members": ["ada", "bob"]})]
    assert rooms.here("blue", "ada") and rooms.names_here("blue") == ["bob", "ada"]
    assert rooms.depart(ada) == [] and not rooms.here("blue", "ada")
    assert rooms.replace_elsewhere("blue", {"ada": {"s3"}}) == []
    assert told(rooms.replace_elsewhere("blue", {"eve": {"s3"}})) == [
        (["bob"], {"type": "presence", "room": "blue", "left": "ada"}),
        (["bob"], {"type": "presence", "room": "blue", "joined": "eve"}),
    ]


def test_first_member_here_finds_those_who_are_there_elsewhere():
    rooms, bob = SharedRooms(), Somebody("bob")
    assert rooms.elsewhere_now("blue", "ada", "s2", True) == []
    assert told(rooms.join(bob, "blue"))[-1][1]["members"] == ["ada", "bob"]


async def test_names_of_a_server_that_was_killed_leave_when_they_expire():
    async with redis(ours=True) as memory:
        rooms, others, heard = SharedRooms(), SharedRooms(), []
        async with SharedPresence(memory.url, rooms, heard.extend, ttl_s=0.6) as presence:
            async with SharedPresence(memory.url, others, print, ttl_s=0.6) as killed:
                for here, place, name in ((rooms, presence, "bob"), (others, killed, "ada")):
                    await place.open("blue")
                    here.join(Somebody(name), "blue")
                    place.touched()

                async def comes() -> bool:
                    return {"type": "presence", "room": "blue", "joined": "ada"} in [message for _, message in heard]

                assert await becomes(comes, within_s=5)  # from here on `killed` says nothing any more

            async def goes() -> bool:
                return heard[-1][1] == {"type": "presence", "room": "blue", "left": "ada"}

            assert await becomes(goes, within_s=5)


async def test_what_is_said_while_a_past_is_read_comes_once_and_in_its_place(monkeypatch):
    async with redis(ours=True) as memory:
        app = make_app(redis=memory.url, delivery="streams", rate=0)
        async with serving(app, port=0) as url:
            bus, since = app.lobby.bus, app.lobby.bus.since
            bob, ada = (
                await Client.open(SimpleNamespace(origin=url), "bob"),
                await Client.open(SimpleNamespace(origin=url), "ada"),
            )
            cursor = (await bob.join("blue"))["cursor"]
            await bob.say("before")
            assert await bob.gets(1)

            async def since_and_meanwhile(room, after):
                await bob.say("during the reading")
                assert await bob.gets(2)
                found = await since(room, after)
                await bob.say("after the reading")
                assert await bob.gets(3)
                return found

            monkeypatch.setattr(bus, "since", since_and_meanwhile)
            await ada.join("blue", after=cursor)
            await bob.say("afterwards")
            assert await ada.gets(4) and await bob.gets(4)
            assert ada.texts() == bob.texts() == ["before", "during the reading", "after the reading", "afterwards"]
            await asyncio.gather(ada.close(), bob.close())


@both
async def test_room_is_followed_while_it_has_a_member_here_and_not_longer(delivery):
    async with redis(ours=True) as memory:
        app = make_app(redis=memory.url, delivery=delivery, rate=0)
        async with serving(app, port=0) as url:
            ada, bob = [await Client.open(SimpleNamespace(origin=url), name) for name in ("ada", "bob")]
            await asyncio.gather(ada.join("blue"), bob.join("blue"), bob.join("red"))

            async def followed(*rooms: str) -> bool:
                notes = app.lobby.presence.notes.rooms
                return (
                    set(app.lobby.bus.rooms)
                    == set(notes)
                    == set(app.lobby.rooms.elsewhere)
                    == app.lobby.open
                    == set(rooms)
                )

            assert await followed("blue", "red")
            await ada.ask(type="leave", room="blue")
            assert await becomes(lambda: ada.has("left", 1)) and await followed("blue", "red")
            await bob.close()
            assert await becomes(followed)
            await ada.join("blue")
            assert await followed("blue")
            await ada.close()
            assert await becomes(followed)
            assert not app.lobby._locks and not app.lobby._busy and not any(app.lobby._held.values())


async def test_while_redis_is_away_clients_are_told_so_and_the_server_lives(monkeypatch):
    monkeypatch.setattr(shared_lobby, "PATIENCE_S", 0.3)
    monkeypatch.setattr(redis_lines, "WAITING", 3)
    async with redis(ours=True) as memory, serving(make_app(redis=memory.url, rate=0)) as url:
        ada = await Client.open(SimpleNamespace(origin=url), "ada")
        await ada.join("blue")
        await memory.kill()
        await ada.ask(type="join", room="red")
        assert await becomes(lambda: ada.has("error", 1), within_s=10)
        for n in range(6):
            await ada.say(f"{n}")
        assert await becomes(lambda: ada.has("error", 3), within_s=10)
        assert {message["code"] for message in ada.of("error")} == {"unavailable"}
        await memory.restart()
        await ada.join("red")
        assert ada.of("gap", "blue") and await becomes(lambda: ada.has("gap", 1, "blue"))
        await ada.close()


async def test_what_others_write_to_redis_reaches_no_client(pair_memory):
    pair, memory = pair_memory
    ada = await Client.open(pair[0], "ada")
    await ada.join("strange")
    async with Redis.from_url(memory.url) as client:
        for text in (
            "",
            "x",
            "k not json",
            'k {"sender":1}',
            "k [1]",
            'k  {"sender":"a","text":"b","at":1}',
            b"k \xff",
        ):
            await client.publish("room:strange", text)
            await client.xadd("stream:strange", {"m": text}, id="0-*")
    await ada.say("ours", "strange")
    assert await ada.gets(1, "strange")
    assert ada.texts("strange") == ["ours"]
    await ada.close()
