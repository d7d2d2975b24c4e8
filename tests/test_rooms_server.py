"""The rooms server under both engines: what is promised to those who chat, and what is done about those who should not."""

import asyncio
import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from urllib.parse import urlsplit

import aiohttp
import pytest
import websockets
from crowd import Reader, becomes, descriptors
from simulated import now_ms, simulated
from test_bad_inputs import status, talk
from test_websocket import HALVES, closed_with, heard, opened
from test_websocket_bad_inputs import ACCEPTED, LENIENT, REFUSED, ask, plain

from labs import clients, conformance, virtual
from labs.bus.redis_process import redis
from labs.conformance import frame, text
from labs.hosting import fast_loop, main
from labs.launch import Process, launch
from labs.rooms.lobby import AUTH_S
from labs.rooms.outbox import BACKLOG, JOINED
from labs.rooms.registry import CROWD
from labs.servers.rooms import DEFAULTS, make_app

ENGINES = ("websockets", "raw")
both_engines = pytest.mark.parametrize("engine", ENGINES)
SECRETS = {"ada": "lovelace1815", "bob": "the-builder"}


class Chatter:
    """One client, and what it has heard."""

    def __init__(self, socket):
        self.socket = socket

    async def say(self, room: str, text: str):
        await self.send("message", room, text=text)

    async def send(self, type: str, room: str = "blue", **more):
        await self.socket.send(json.dumps({"type": type, "room": room, **more}))

    async def hear(self, *types: str) -> dict:
        """The next message of one of these types, or of any."""
        async with asyncio.timeout(600):  # in virtual time nobody would notice
            while True:
                message = json.loads(await self.socket.recv())
                if not types or message["type"] in types:
                    return message

    async def join(self, room: str = "blue") -> dict:
        await self.send("join", room)
        return await self.hear("joined")


@asynccontextmanager
async def chatting(url: str, *names: str, room: str = "blue"):
    """Clients of these names, all in one room."""
    async with AsyncExitStack() as stack:
        chatters = [Chatter(await stack.enter_async_context(await connect(url, f"name={name}"))) for name in names]
        for chatter in chatters:
            await chatter.join(room)
        yield chatters


async def connect(url: str, query: str = "name=ada", **settings):
    return await clients.connect(url, f"/rooms?{query}", max_queue=None, **settings)


async def metrics(url: str) -> dict[str, float]:
    async with clients.session() as http, http.get(f"{url}/metrics") as response:
        lines = (await response.text()).splitlines()
    return {name: float(value) for name, _, value in (line.partition(" ") for line in lines if line[0] != "#")}


# Those who chat.


@both_engines
@simulated
async def test_everybody_in_a_room_hears_what_is_said_in_it(engine):
    async with virtual.launch("rooms", engine=engine, rtt_ms=20) as server:
        async with chatting(server.url, "ada", "bob") as (ada, bob):
            assert await ada.hear() == {"type": "presence", "room": "blue", "joined": "bob"}
            await ada.say("blue", "hi – ✓")
            said = [await ada.hear(), await bob.hear()]
            sent = said[0].pop("at")
            assert sent == said[1].pop("at") <= time.monotonic_ns() or sent >= 0
            assert said == [{"type": "message", "room": "blue", "id": 1, "sender": "ada", "text": "hi – ✓"}] * 2
            await bob.send("leave")
            assert await bob.hear() == {"type": "left", "room": "blue"}
        assert await metrics(server.url)


@both_engines
@simulated
async def test_twenty_clients_hear_everything_once_and_in_the_same_order(engine):
    async with virtual.launch("rooms", engine=engine, rtt_ms=10, jitter_ms=5, seed=1) as server:
        async with chatting(server.url, *(f"m{n}" for n in range(20))) as chatters:
            await asyncio.gather(*(one.say("blue", f"{n} {k}") for n, one in enumerate(chatters) for k in range(10)))
            heard = [[await one.hear("message") for _ in range(200)] for one in chatters]
        assert [said["id"] for said in heard[0]] == list(range(1, 201))
        assert all(one == heard[0] for one in heard)
        assert {said["text"] for said in heard[0]} == {f"{n} {k}" for n in range(20) for k in range(10)}


@both_engines
@simulated
async def test_newcomer_hears_nothing_that_was_said_before_it_was_told_that_it_has_joined(engine):
    async with virtual.launch("rooms", engine=engine) as server, chatting(server.origin, "ada") as (ada,):
        bob = Chatter(await connect(server.origin, "name=bob"))
        async with chatting(server.origin, "eve") as (eve,):
            await ada.say("blue", "before")
            await bob.send("join")  # arrives within the same turn of the event loop
            await eve.say("blue", "after")
            assert [(await bob.hear()).get("text", "joined") for _ in range(2)] == ["joined", "after"]
            heard = [await eve.hear() for _ in range(3)]
            assert [message.get("text", message["type"]) for message in heard] == ["before", "presence", "after"]
        await bob.socket.close()


@both_engines
@simulated
async def test_who_says_something_and_leaves_at_once_is_still_heard(engine):
    async with virtual.launch("rooms", engine=engine) as server, chatting(server.url, "ada", "bob") as (ada, bob):
        await bob.say("blue", "bye")
        await bob.socket.close()
        await ada.hear("presence")
        assert [(await ada.hear()).get(key) for key in ("text", "left")] == ["bye", "bob"]


@both_engines
@pytest.mark.parametrize("offered, chosen", [(["rooms.v1"], "rooms.v1"), (["x", "rooms.v1"], "rooms.v1"), (None, None)])
@simulated
async def test_subprotocol_is_spoken_when_it_is_offered(engine, offered, chosen):
    async with virtual.launch("rooms", engine=engine) as server:
        socket = await connect(server.url, subprotocols=offered)
        assert socket.subprotocol == chosen
        assert (await Chatter(socket).join())["members"] == ["ada"]
        await socket.close()


@both_engines
@simulated
async def test_crowd_is_counted_at_most_once_a_second(engine):
    names = [f"m{n}" for n in range(CROWD + 30)]
    async with virtual.launch("rooms", engine=engine) as server, chatting(server.origin, *names) as chatters:
        await asyncio.sleep(3)
        for chatter in chatters[10:20]:
            await chatter.socket.close()
            await asyncio.sleep(0.35)
        told = [{"count": 0}]
        while told[-1]["count"] != CROWD + 20:
            message = await chatters[0].hear("presence")
            told += [message] if "count" in message else []
        assert told[1] == {"type": "presence", "room": "blue", "count": CROWD + 30}
        assert 1 < len(told[1:]) <= 1 + 4  # in 3.5 s


@both_engines
@simulated
async def test_without_a_name_one_is_a_guest(engine):
    async with virtual.launch("rooms", engine=engine) as server:
        sockets = [await connect(server.url, ""), await connect(server.url, "")]
        assert [(await Chatter(socket).join())["members"] for socket in sockets] == [
            ["guest-1"],
            ["guest-1", "guest-2"],
        ]
        await asyncio.gather(*(socket.close() for socket in sockets))


# Those who get it wrong, and those who go too far.


BAD = [
    "hello",
    "[]",
    "[" * 10_000,
    '{"type":"shout"}',
    '{"type":"join","room":"*?["}',
    b'{"type":"join","room":"blue"}',
]


@both_engines
@pytest.mark.parametrize("sent", BAD, ids=lambda sent: str(sent[:20]))
@simulated
async def test_bad_message_is_answered_and_the_connection_lives_on(engine, sent):
    async with virtual.launch("rooms", engine=engine) as server, chatting(server.url, "ada") as (ada,):
        await ada.socket.send(sent)
        assert (await ada.hear())["type"] == "error"
        await ada.say("blue", "still here")
        assert (await ada.hear())["text"] == "still here"
        assert server.log == [line for line in server.log if line.startswith("INFO")]


@both_engines
@simulated
async def test_message_over_the_limit_closes_the_connection_of_its_sender_alone(engine):
    async with virtual.launch("rooms", engine=engine) as server, chatting(server.url, "ada", "bob") as (ada, bob):
        await bob.say("blue", "x" * 20_000)
        assert (await closed_with(bob.socket))[0] == 1009
        await ada.hear("presence")
        assert (await ada.hear())["left"] == "bob"


@both_engines
@simulated
async def test_who_talks_too_fast_is_told_so_and_then_closed(engine):
    async with virtual.launch("rooms", engine=engine, rate=10) as server, chatting(server.url, "ada") as (ada,):
        for _ in range(60):
            await ada.say("blue", "spam")
        heard = [await ada.hear() for _ in range(60)]
        assert [message.get("code", message["type"]) for message in heard] == ["message"] * 49 + ["too_fast"] * 11
        await asyncio.sleep(2)
        await ada.say("blue", "sorry")
        assert (await ada.hear())["text"] == "sorry"
        with suppress(websockets.ConnectionClosed):
            while True:
                await ada.say("blue", "spam")
        assert (await closed_with(ada.socket))[0] == 1008
        assert (await metrics(server.url))['rooms_ended_total{code="1008"}'] == 1


@both_engines
@simulated
async def test_ten_thousand_pings_are_answered_and_then_limited(engine):
    async with virtual.launch("rooms", engine=engine) as server:
        reader = await opened(server.origin, "/rooms?name=ada")
        answers = asyncio.create_task(heard(reader))
        for _ in range(100):
            reader.writer.write(frame(0x89) * 100)
            await asyncio.sleep(0)
        *pongs, code = await answers
        assert code == 1008
        assert 1000 <= len(pongs) < 10_000
        await reader.leave()


@both_engines
@simulated
async def test_one_connection_too_many_is_refused(engine):
    async with virtual.launch("rooms", engine=engine, most=2) as server, chatting(server.url, "ada", "bob") as chatters:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await connect(server.url, "name=eve")
        assert refused.value.response.status_code == 429
        await (await clients.connect(server.url, "/echo")).close()
        await chatters[0].socket.close()
        await asyncio.sleep(0.1)
        await (await connect(server.url)).close()


@both_engines
@pytest.mark.parametrize("name", ["%20ada", "a" * 33, "a%0Ab", "a%00", "%E2%80%8B", "", "%FF%FE"])
@simulated
async def test_name_that_is_none_is_refused_before_the_upgrade(engine, name):
    async with virtual.launch("rooms", engine=engine) as server:
        try:
            socket = await connect(server.url, f"name={name}")
        except websockets.InvalidStatus as refused:
            assert refused.response.status_code == 400
        else:
            assert name == "%FF%FE"  # which are replaced
            await socket.close()


@both_engines
@pytest.mark.parametrize("half", HALVES)
@simulated
async def test_half_a_request_then_silence_is_closed_within_ten_seconds(engine, half):
    async with virtual.launch("rooms", engine=engine) as server:
        reader = await Reader.open(server.origin)
        reader.writer.write(HALVES[half])
        await reader.rest()
        assert now_ms() <= 10_000
        await reader.leave()


@both_engines
@simulated
async def test_head_without_end_is_refused(engine):
    async with virtual.launch("rooms", engine=engine) as server:
        reader = await Reader.open(server.origin)
        reader.writer.write(b"GET /rooms HTTP/1.1\r\nHost: localhost\r\n")
        with suppress(ConnectionError):
            for n in range(127):
                reader.writer.write(b"X%d: " % n + b"a" * 8000 + b"\r\n")
                await asyncio.sleep(0.001)
        said = await reader.rest()
        assert said.startswith(b"HTTP/1.1 431 ") or (engine == "websockets" and not said)
        assert server.log == [line for line in server.log if line.startswith(("INFO", "WARNING"))]
        await reader.leave()


# Who one is.


@both_engines
@simulated
async def test_with_accounts_the_first_message_says_who_one_is(engine):
    async with virtual.launch("rooms", engine=engine, auth=SECRETS) as server:
        ada = Chatter(await connect(server.url, "name=bob"))  # which counts for nothing
        await ada.socket.send(json.dumps({"type": "auth", "secret": SECRETS["ada"]}))
        assert await ada.hear() == {"type": "welcome", "name": "ada"}
        assert (await ada.join())["members"] == ["ada"]
        await asyncio.sleep(AUTH_S + 1)
        await ada.say("blue", "still here")
        assert (await ada.hear())["sender"] == "ada"
        await ada.socket.close()


FIRST = ['{"type":"auth","secret":"wrong"}', '{"type":"auth"}', '{"type":"auth","secret":["lovelace1815"]}']
FIRST += ['{"type":"join","room":"blue"}', '{"type":"message","room":"blue","secret":"lovelace1815"}', None]


@both_engines
@pytest.mark.parametrize("first", FIRST)
@simulated
async def test_who_does_not_say_who_it_is_is_closed_and_joins_nothing(engine, first):
    async with virtual.launch("rooms", engine=engine, auth=SECRETS) as server:
        socket = await connect(server.url, "name=ada")
        if first:
            await socket.send(first)
            await socket.send('{"type":"join","room":"blue"}')
        assert (await closed_with(socket))[0] == 4401
        assert 0 <= now_ms() - (0 if first else AUTH_S * 1000) < 1000
        assert (await metrics(server.url))["rooms_members"] == 0


@both_engines
@simulated
async def test_who_leaves_without_a_word_is_not_ended_later(engine):
    async with virtual.launch("rooms", engine=engine, auth=SECRETS) as server:
        await (await connect(server.url)).close()
        await asyncio.sleep(AUTH_S + 1)
        assert 'rooms_ended_total{code="4401"}' not in await metrics(server.url)


async def ticket(url: str, secret: str | None) -> str | int:
    """A ticket, or the status with which it is refused."""
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    async with clients.session() as http, http.get(f"{url}/ticket", headers=headers) as response:
        return (await response.json())["ticket"] if response.status == 200 else response.status


@both_engines
@simulated
async def test_ticket_is_good_for_one_connection(engine):
    async with virtual.launch("rooms", engine=engine, auth=SECRETS) as server:
        good = await ticket(server.url, SECRETS["bob"])
        bob = Chatter(await connect(server.url, f"ticket={good}"))
        assert (await bob.join())["members"] == ["bob"]
        assert (await closed_with(await connect(server.url, f"ticket={good}")))[0] == 4401
        await bob.say("blue", "hi")
        assert (await bob.hear("message"))["sender"] == "bob"
        await bob.socket.close()


@both_engines
@simulated
async def test_ticket_is_good_for_thirty_seconds(engine):
    async with virtual.launch("rooms", engine=engine, auth=SECRETS) as server:
        old, new = await ticket(server.url, SECRETS["ada"]), await ticket(server.url, SECRETS["ada"])
        await asyncio.sleep(29)
        await (await connect(server.url, f"ticket={new}")).close()
        await asyncio.sleep(2)
        assert (await closed_with(await connect(server.url, f"ticket={old}")))[0] == 4401


@both_engines
@pytest.mark.parametrize("secret, auth, expected", [(None, SECRETS, 401), ("wrong", SECRETS, 401), ("x", None, 404)])
@simulated
async def test_nobody_gets_a_ticket_without_a_secret(engine, secret, auth, expected):
    async with virtual.launch("rooms", engine=engine, auth=auth) as server:
        assert await ticket(server.url, secret) == expected


# Those who stop reading, vanish, or are in the way when the server stops.


@both_engines
@simulated
async def test_stalled_reader_among_twenty_holds_nobody_up_and_is_told_to_come_again(engine):
    names = [f"m{n}" for n in range(20)]
    async with virtual.launch("rooms", engine=engine, rate=0) as server, chatting(server.origin, *names) as healthy:
        stalled = Chatter(await connect(server.url, "name=stalled"))
        await stalled.join()
        server.link.stall()
        reading = [asyncio.create_task(delays(one, 150)) for one in healthy]
        held = []
        for _ in range(150):
            await healthy[0].say("blue", "x" * 6000)
            await asyncio.sleep(0.002)
            held.append((await metrics(server.origin))["rooms_held_bytes_largest"])
        assert {max(late) for late in await asyncio.gather(*reading)} == {0}
        assert BACKLOG / 2 < max(held) < BACKLOG + JOINED
        assert (await metrics(server.origin))['rooms_ended_total{code="1013"}'] == 1
        server.link.resume()
        ids = []
        with pytest.raises(websockets.ConnectionClosed) as closed:
            while True:
                ids.append((await stalled.hear("message"))["id"])
        assert (closed.value.rcvd.code, ids) == (1013, list(range(1, len(ids) + 1)))  # what is missing is at the end


async def delays(chatter: Chatter, count: int) -> list[int]:
    """How many nanoseconds after it was said each of the next messages arrives."""
    loop = asyncio.get_running_loop()
    return [round(loop.time() * 1e9) - (await chatter.hear("message"))["at"] for _ in range(count)]


@both_engines
@simulated
async def test_stalled_reader_that_never_wakes_is_gone_some_seconds_later(engine):
    async with virtual.launch("rooms", engine=engine, rate=0) as server, chatting(server.origin, "ada") as (ada,):
        stalled = Chatter(await connect(server.url, "name=stalled"))
        await stalled.join()
        await ada.hear("presence")
        server.link.stall()
        reading = asyncio.create_task(delays(ada, 1000))
        for _ in range(1000):
            await ada.say("blue", "x" * 2000)
            await asyncio.sleep(0.001)
        await reading
        start = now_ms()
        assert (await ada.hear("presence"))["left"] == "stalled"
        assert now_ms() - start < 6000
        server.link.cut()
        await stalled.socket.close()


@both_engines
@simulated
async def test_echo_takes_no_more_in_than_its_client_reads(engine):
    async with virtual.launch("rooms", engine=engine, rate=0) as server:
        reader = await opened(server.url)
        server.link.stall()
        reader.writer.write(frame(0x82, bytes(10_000)) * 500)
        await asyncio.sleep(5)
        assert server.link.bytes["up"] < 2_500_000  # the link's own window is one million
        server.link.resume()
        assert await heard(reader, 500) == [bytes(10_000)] * 500
        await reader.leave()


RESET = b"\1\0\0\0\0\0\0\0"  # SO_LINGER of no seconds: closing resets the connection


@pytest.mark.parametrize("reset", [False, True])
@both_engines
async def test_descriptor_of_who_has_left_is_not_written_to(engine, reset):
    app, left = make_app(engine=engine), []
    app.lobby.closed = lambda session, closed=app.lobby.closed: left.append(session.straight) or closed(session)
    async with app.serving("127.0.0.1", 0) as url:
        gone = await opened(url, "/rooms?name=gone")
        async with chatting(url, "ada", room="blue") as (ada,):
            gone.writer.write(text('{"type":"join","room":"blue"}'))
            await ada.hear("presence")
            for _ in range(3):
                await ada.say("blue", "x")
                await ada.hear("message")
            assert [session.straight is None for session in app.lobby.sessions] == [False, False]
            if reset:
                gone.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            gone.writer.transport.abort()
            await ada.hear("presence")
            assert left == [None]


async def test_what_the_library_writes_is_noticed_before_the_next_write():
    app = make_app(engine="websockets")
    async with app.serving("127.0.0.1", 0) as url, chatting(url, "ada", room="blue") as (ada,):
        (session,) = app.lobby.sessions
        await ada.say("blue", "x")
        await ada.hear("message")
        assert session.straight is not None
        await (await ada.socket.ping())
        assert session.straight is None


@both_engines
async def test_member_that_was_closed_and_stays_hears_nothing_more_and_holds_up_nobody(engine):
    async with launch("rooms", "--engine", engine) as server, chatting(server.origin, "ada") as (ada,):
        rude = await opened(server.origin, "/rooms?name=rude")
        rude.writer.write(text('{"type":"join","room":"blue"}'))
        async with chatting(server.origin, "bob") as (bob,):
            for text_said in ("before", "after"):
                await ada.say("blue", text_said)
                assert [(await one.hear("message"))["text"] for one in (ada, bob)] == [text_said] * 2
                rude.writer.write(b"\x83\x80\0\0\0\0")  # a reserved opcode
                await asyncio.sleep(0.1)
        *messages, code = await heard(rude)
        await rude.leave()
        assert code == 1002
        assert [json.loads(message).get("text") for message in messages[-1:]] == ["before"]
        assert [line for line in server.log if not line.startswith(("INFO", "WARNING"))] == []


@simulated
async def test_after_a_violation_nothing_is_kept_of_what_follows():
    app = make_app(engine="raw")
    async with app.serving("127.0.0.1", 0) as url:
        reader = await opened(url, "/rooms?name=ada")
        (session,) = app.lobby.sessions
        for _ in range(3):
            reader.writer.write(frame(0x83) + bytes(1000))
            await asyncio.sleep(0.01)
        assert session.frames is None
        assert app.lobby.counted["ended 1002"] == 1
        await reader.leave()


@both_engines
@simulated
async def test_member_in_a_black_hole_leaves_when_its_pong_is_missing(engine):
    async with virtual.launch("rooms", engine=engine, ping_s=5) as server, chatting(server.origin, "ada") as (ada,):
        lost = Chatter(await connect(server.url, "name=lost", ping_interval=None))
        await lost.join()
        await ada.hear("presence")
        server.link.black_hole()
        start = now_ms()
        assert (await ada.hear("presence"))["left"] == "lost"
        assert now_ms() - start <= 10_000
        await lost.socket.close()


@both_engines
@simulated
async def test_hundred_who_vanish_leave_nothing_behind(engine):
    async with virtual.launch("rooms", engine=engine) as server, chatting(server.origin, "ada"):
        before = len(asyncio.all_tasks())
        readers = [await opened(server.url, f"/rooms?name=m{n}") for n in range(100)]
        for reader in readers:
            reader.writer.write(text('{"type":"join","room":"blue"}') + text('{"type":"join","room":"red"}'))
        await asyncio.sleep(2)
        assert (await metrics(server.origin))["rooms_members"] == 201
        server.link.cut()
        await asyncio.sleep(2)
        now = await metrics(server.origin)
        assert [now[f"rooms_{what}"] for what in ("connections", "members", "rooms")] == [1, 1, 1]
        await asyncio.sleep(2)
        assert len(asyncio.all_tasks()) <= before
        await asyncio.gather(*(reader.leave() for reader in readers))


@both_engines
@simulated
async def test_stop_tells_everybody_1001_within_two_seconds_even_if_one_does_not_read(engine):
    async with virtual.launch("rooms", engine=engine, rate=0) as server:
        async with chatting(server.origin, *(f"m{n}" for n in range(20))) as chatters:
            rude = await opened(server.origin, "/rooms?name=rude")  # reads, and does not answer
            stalled = Chatter(await connect(server.url, "name=stalled", ping_interval=None))
            await stalled.join()
            server.link.stall()
            for _ in range(10):
                await chatters[0].say("blue", "x" * 15_000)
            start = now_ms()
            stopping = asyncio.create_task(server.host.stop())
            assert {(await closed_with(one.socket))[0] for one in chatters} == {1001}
            assert await heard(rude) == [1001]
            await stopping
            assert now_ms() - start < 2000
            await rude.leave()
            server.link.cut()
            await stalled.socket.close()
        await server.host.start()  # so that the block can stop it again


# Real processes.


@pytest.mark.parametrize(
    "options, complaint",
    [
        (("--engine", "steam"), "'steam' is none of websockets, raw"),
        (("--log", "xml"), "'xml' is none of text, json"),
        (("--auth", "nowhere.json"), "cannot read nowhere.json: "),
        (("--auth", "list.json"), "list.json is not a JSON object of names"),
        (("--auth", "short.json"), "a secret in short.json has fewer than 8 characters"),
        (("--auth", "same.json"), "two names in same.json have the same secret"),
        (("--port", "99999"), "cannot listen on 127.0.0.1:99999: "),
        (("--cert", "nowhere.pem"), "cannot use the certificate nowhere.pem: "),
        (("--key", "nowhere.pem"), "--key needs --cert"),
    ],
)
def test_option_that_cannot_be_is_said_in_a_sentence_and_fails(options, complaint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, secrets in {
        "list": ["ada"],
        "short": {"ada": "x"},
        "same": dict.fromkeys(["ada", "bob"], "12345678"),
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(secrets))
    monkeypatch.setattr(sys, "argv", ["rooms", "--port", "0", *options])
    with pytest.raises(SystemExit) as ended:
        main(make_app, "", fast_loop, **DEFAULTS)
    said = capsys.readouterr()
    assert complaint in f"{said.err}{ended.value.code}"
    assert ended.value.code != 0
    assert said.out == ""


@pytest.fixture(scope="module")
def memory():
    """A Redis for the servers that share their rooms."""
    store = asyncio.run(redis(ours=True).server.start())
    yield store
    asyncio.run(store.stop())


SERVERS = [(name, engine) for name in ("rooms", "redis_fanout") for engine in ENGINES]


@pytest.fixture(scope="module", params=SERVERS, ids="-".join)
def server(request):
    """One real server for all that nobody should send; at the end it still serves, and its log has no traceback."""
    name, engine = request.param
    more = ("--redis", request.getfixturevalue("memory").url) if name == "redis_fanout" else ()
    process = Process(name, "--engine", engine, "--max-size", str(1 << 20), "--log", "json", *more)
    process.engine, process.url = engine, asyncio.run(process.start())
    yield process
    assert status(talk(process.url, plain("/healthz"))) == 200
    asyncio.run(process.stop())
    lines = [json.loads(line) for line in process.log]
    assert {line["event"] for line in lines} <= {"opened", "closed", "ended"}
    assert [line for line in lines if "traceback" in line] == []


@pytest.mark.parametrize("case", [case for case in REFUSED if "cursor" not in case])
def test_bad_request_gets_the_right_refusal(server, case):
    data, expected, header = REFUSED[case]
    answer = talk(server.url, data.replace(b"/events", b"/rooms"), until=b"\r\n\r\n")
    assert status(answer) in (expected if isinstance(expected, tuple) else (expected,))
    assert header in answer.decode().split("\r\n")


@pytest.mark.parametrize("case", [case for case in ACCEPTED if "cursor" not in case])
def test_unusual_but_right_request_is_served(server, case):
    data, expected = ACCEPTED[case]
    assert status(talk(server.url, data.replace(b"/events", b"/rooms"), until=b"\r\n\r\n")) == expected


async def test_every_case_of_ours_gets_the_right_answer(server):
    found = await conformance.judge(server.url)
    wrong = {case.name for case, got in found if not case.allows(got)}
    assert wrong == ({name for _, name in LENIENT} if server.engine == "websockets" else set())


def test_metrics_are_what_prometheus_reads(server):
    with urllib.request.urlopen(f"{server.url}/metrics") as response:
        lines = response.read().decode().splitlines()
    names = {line.partition(" ")[0].partition("{")[0] for line in lines if not line.startswith("#")}
    assert {"rooms_connections", "rooms_received_total", "process_cpu_seconds_total"} <= names
    assert {line.split(" ")[2] for line in lines if line.startswith("# TYPE ")} >= names
    assert all(float(line.rpartition(" ")[2]) >= 0 for line in lines if not line.startswith("#"))


def members(url: str, count: int) -> list[socket.socket]:
    """So many members of one room, on plain sockets."""
    address = urlsplit(url)
    found = [socket.create_connection((address.hostname, address.port), timeout=20) for _ in range(count)]
    for n, one in enumerate(found):
        one.sendall(ask(f"/rooms?name=m{n}") + text('{"type":"join","room":"blue"}'))
    return found


@both_engines
async def test_hundred_who_vanish_give_back_their_descriptors(engine):
    async with launch("rooms", "--engine", engine) as server:
        pid = (await server.usage())["pid"]
        before = descriptors(pid)
        sockets = members(server.origin, 100)
        assert await becomes(lambda: is_in_rooms(server.origin, 100))
        for one in sockets:
            one.close()
        assert await becomes(lambda: is_in_rooms(server.origin, 0))
        if before is not None:
            assert descriptors(pid) <= before + 1


async def is_in_rooms(url: str, count: int) -> bool:
    return (await metrics(url))["rooms_members"] == count


@both_engines
async def test_sigterm_with_two_hundred_ends_the_process_well_within_two_seconds(engine):
    process = Process("rooms", "--engine", engine)
    url = await process.start()
    sockets = members(url, 200)
    assert await becomes(lambda: is_in_rooms(url, 200))
    process.popen.send_signal(signal.SIGTERM)
    start = time.monotonic()
    assert await asyncio.to_thread(process.popen.wait, 5) == 0
    assert time.monotonic() - start < 2
    for one in sockets:
        with one, one.makefile("rb") as stream:
            assert b"\x88" in stream.read().rpartition(b"\x03\xe9")[0][-2:]  # a close frame with the code 1001
    await process.stop()


@both_engines
async def test_client_that_leaves_in_the_very_moment_of_the_end_holds_up_nobody(engine):
    async with make_app(engine=engine).serving("127.0.0.1", 0) as url:
        stays, leaves = await opened(url, "/rooms?name=ada"), members(url, 1)[0]
        while not (await metrics(url))["rooms_members"]:
            await asyncio.sleep(0.01)
        while len(leaves.recv(10_000, socket.MSG_PEEK)) < 150:  # until there is nothing unread, which would reset it
            await asyncio.sleep(0.01)
        leaves.recv(10_000)
        staying = asyncio.create_task(heard(stays))
        await asyncio.sleep(0.05)
        leaves.close()  # the server learns of it only by what it writes
    assert await staying == [1001]
    await stays.leave()


@both_engines
async def test_over_tls_one_chats_as_well(engine, tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    make += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert]
    subprocess.run(make, check=True, capture_output=True)
    process = Process("rooms", "--engine", engine, "--cert", cert, "--key", key)
    url = await process.start()
    assert url.startswith("https://127.0.0.1:")
    trusted, url = ssl.create_default_context(cafile=cert), url.replace("127.0.0.1", "localhost")
    async with websockets.connect(f"{url.replace('https', 'wss')}/rooms?name=ada", ssl=trusted) as socket:
        ada = Chatter(socket)
        await ada.join()
        await ada.say("blue", "x" * 10_000)
        assert len((await ada.hear())["text"]) == 10_000
        start = time.monotonic()
        await socket.close()
        assert (
            time.monotonic() - start < 4
        )  # the server has closed, and nobody has waited for anybody's patience to end
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics", ssl=trusted) as response:
        assert "rooms_closed_total 1" in await response.text()
    await process.stop()
    assert process.popen.returncode == 0
