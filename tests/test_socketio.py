"""Socket.IO: packets literally, what nonsense and slowness cost the server, every figure of the comparison by its formula."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
import websockets
from crowd import Reader
from engineio.payload import Payload
from simulated import simulated
from transports import FEEDS

from labs import clients, virtual
from labs.choosing import socketio_client, socketio_cost, socketio_cut
from labs.choosing.socketio_client import DEFAULT
from labs.feed import Event, Feed
from labs.hosting import serving
from labs.link import Link
from labs.servers.socketio_feed import AT_ONCE, SERVER, make_app

HERE = FEEDS["socketio_feed"].target
JOINED = '40{"sid":'


@asynccontextmanager
async def guest(url: str, *packets: str | bytes):
    """A plain WebSocket at Socket.IO's address that has been greeted, and has sent these packets."""
    async with clients.connect(url, HERE, ping_interval=None, max_size=None) as socket:
        assert (await socket.recv()).startswith('0{"sid":"')
        with suppress(websockets.ConnectionClosed):
            for packet in packets:
                await socket.send(packet)
        yield socket


async def heard(socket, seconds: float = 1.0) -> list[str]:
    """All that comes within so many seconds; a closed connection is its code, None where there was none."""
    found = []
    try:
        async with asyncio.timeout(seconds):
            while True:
                found.append(await socket.recv())
    except TimeoutError:
        return found
    except websockets.ConnectionClosed as closed:
        return [*found, closed.rcvd and closed.rcvd.code]


# Packets.


@simulated
async def test_published_event_is_acknowledged_and_comes_to_its_sender_too():
    async with virtual.launch("socketio_feed") as server, guest(server.url, "40", '427["publish","né"]') as socket:
        joined, *said = await heard(socket)
        assert joined.startswith(JOINED)
        event = '{"id":1,"at":0,"data":"né","cursor":"00000001-1"}'
        assert sorted(said) == [f'42["event",{event}]', f"437[{event}]"]


@pytest.mark.parametrize(
    "auth, message, code",
    [
        ('{"after":"0000abcd-1"}', "this cursor is from before the server restarted", 410),
        ('{"after":"00000001-3"}', "events 4 to 20 are no longer kept", 410),
        ('{"after":"x"}', "a cursor is eight hexadecimal digits, a hyphen and a number", 400),
        ('{"after":7}', "a cursor is eight hexadecimal digits, a hyphen and a number", 400),
        ('{"after":"00000001-99"}', "this cursor is ahead of the feed", 400),
    ],
)
@simulated
async def test_cursor_that_cannot_be_resumed_is_refused_with_its_code(auth, message, code):
    async with virtual.launch("socketio_feed", keep=10) as server:
        for n in range(30):
            await server.publish(str(n))
        async with guest(server.url, f"40{auth}") as socket:
            assert await heard(socket) == [f'44{{"message":"{message}","data":{{"code":{code}}}}}']


NO_TEXT = '431[{"error":"an event is one text"}]'
NONSENSE = {
    "no packet": (["x"], [None]),
    "nothing": ([""], [None]),
    "nested deep": (["4" + "[" * 50_000], []),
    "event nested deep": (["40", '42["publish",' + "[" * 50_000], [JOINED]),
    "joined twice": (["40", "40"], [JOINED, '44"Unable to connect"']),
    "namespace that is none": (["40/admin,"], ['44/admin,"Unable to connect"']),
    "event before joining": (['421["publish","a"]'], []),
    "event that is none": (["40", '421["nope",1]'], [JOINED]),
    "event that is no array": (["40", '42{"a":1}'], [JOINED]),
    "event without a name": (["40", "42[]"], [JOINED]),
    "name that is no text": (["40", "42[[1],2]"], [JOINED]),
    "nothing published": (["40", '421["publish"]'], [JOINED, NO_TEXT]),
    "number published": (["40", '421["publish",1]'], [JOINED, NO_TEXT]),
    "two published": (["40", '421["publish","a","b"]'], [JOINED, NO_TEXT]),
    "half a character": (["40", '421["publish","\\ud800"]'], [JOINED, NO_TEXT]),
    "too long": (
        ["40", '421["publish","' + "x" * 65_537 + '"]'],
        [JOINED, '431[{"error":"an event is at most 65536 bytes"}]'],
    ),
    "over the limit of a message": (["4" * 1_048_577], [1009]),
    "acknowledgment of nothing": (["40", "439[]"], [JOINED]),
    "endless number": (["40", "42" + "1" * 200 + '["publish","a"]'], [JOINED]),
    "bytes": (["40", b"abc"], [JOINED, None]),
    "attachments to come": (["40", '4599-["publish",{"_placeholder":true,"num":0}]'], [JOINED, None]),
    "the library's own events": (["40", '42["connect",{},{}]', '42["disconnect","x"]'], [JOINED]),
    "upgrade without a poll": (["5"], ["6"]),
    "close": (["1"], [1000]),
    "too many": (["40", *['42["nope"]'] * 5_100], [JOINED, None]),
}


@pytest.mark.parametrize("case", NONSENSE)
@simulated
async def test_nonsense_gets_its_reply_and_leaves_neither_task_nor_log(case):
    packets, expected = NONSENSE[case]
    async with virtual.launch("socketio_feed") as server:
        before = len(asyncio.all_tasks())
        async with guest(server.origin, *packets) as socket:
            said = await heard(socket)
        assert [JOINED if str(text).startswith(JOINED) else text for text in said] == expected
        await asyncio.sleep(1)
        assert len(asyncio.all_tasks()) == before
        assert server.log == []


@simulated
async def test_compression_that_is_offered_is_not_taken():
    async with virtual.launch("socketio_feed") as server:
        reader = await Reader.open(server.url)
        reader.ask(HERE, *FEEDS["socketio_feed"].headers, "Sec-WebSocket-Extensions: permessage-deflate")
        head = await reader.head()
        assert head.startswith("HTTP/1.1 101 ") and "permessage-deflate" not in head
        await reader.leave()


@simulated
async def test_clients_own_event_named_connect_does_not_deliver_twice():
    async with virtual.launch("socketio_feed") as server, guest(server.url, "40", '42["connect",{},{}]') as socket:
        await asyncio.sleep(1)
        await server.publish("once")
        assert sum("once" in text for text in await heard(socket)) == 1


@simulated
async def test_client_is_not_dismissed_when_the_server_stops():
    async with virtual.launch("socketio_feed") as server, guest(server.url, "40") as socket:
        await asyncio.sleep(1)
        await server.host.stop()
        assert (await heard(socket))[1:] == ["1", 1000]  # and no 41, after which a client stays away
        await server.host.start()


# Slow readers, and those who vanish.


@asynccontextmanager
async def reader_behind_a_link():
    """The application, the link through which a reader has joined, and how many tasks there were before."""
    app = make_app(Feed(keep=100_000))
    async with serving(app) as url, await Link.open(url) as link:
        idle = len(asyncio.all_tasks())
        reader = await Reader.open(link.url)
        reader.ask(HERE, *FEEDS["socketio_feed"].headers)
        reader.writer.write(b"\x81\x82\0\0\0\0" + b"40")
        await asyncio.sleep(1)
        yield app, link, idle
        await reader.leave()


@simulated
async def test_stalled_reader_holds_two_batches_and_is_dropped_when_it_answers_no_ping():
    async with reader_behind_a_link() as (app, link, idle):
        (session,) = app[SERVER].eio.sockets.values()
        link.stall()
        feed, longest = app[SERVER].feed, 0
        for _ in range(200):
            for _ in range(50):
                feed.publish("x" * 1000)
            await asyncio.sleep(0.05)
            longest = max(longest, session.queue.qsize())
        assert 0 < longest <= AT_ONCE + 1  # and a ping; the writer has as many in hand
        await asyncio.sleep(25 + 20 + 20)  # the ping, its patience, and one round of the library's monitor
        assert not app[SERVER].readers and not app[SERVER].environ
        assert len(asyncio.all_tasks()) == idle


@simulated
async def test_polling_client_who_never_comes_again_is_forgotten():
    app = make_app(Feed())
    async with serving(app) as url:
        before = len(asyncio.all_tasks())
        reader = await Reader.open(url)
        reader.ask("/socket.io/?EIO=4&transport=polling")
        assert (await reader.body()).startswith(b'0{"sid":"')
        await reader.leave()
        assert app[SERVER].environ
        await asyncio.sleep(25 + 20 + 20)
        assert not app[SERVER].environ and not app[SERVER].allowances
        assert len(asyncio.all_tasks()) == before


def test_answer_to_a_poll_has_no_more_packets_than_a_client_of_the_library_takes():
    assert Payload.max_decode_packets >= AT_ONCE + 2  # a greeting and a ping besides


@pytest.mark.parametrize("transports", [("polling",), DEFAULT])
@simulated
async def test_polling_and_upgrade_lose_nothing_through_cuts(transports):
    async with virtual.launch("socketio_feed", rtt_ms=40) as server:
        events, got = socketio_client.follow(server.url, transports=transports), []
        for n in range(40):
            await server.publish(str(n))
            if n % 8 == 7:
                server.link.cut()
        while len(got) < 40:
            got.append((await anext(events)).data)
            if len(got) % 10 == 0:
                server.link.cut()
        assert got == [str(n) for n in range(40)]
        await events.aclose()


# The comparison.


@simulated
async def test_first_event_takes_two_round_trips_plain_and_three_or_five_with_socketio():
    async with (
        virtual.launch("websocket", rtt_ms=100) as plain,
        virtual.launch("socketio_feed", rtt_ms=100) as sio,
    ):
        for server in (plain, sio):
            await server.publish("x")
        raw = await socketio_cost.websocket_opening(plain)
        direct = await socketio_cost.socketio_opening(sio)
        usual = await socketio_cost.socketio_opening(sio, DEFAULT)
    assert [(o.requests, round(o.round_trips, 3)) for o in (raw, direct, usual)] == [(1, 2), (1, 3), (2, 5)]
    assert [text[:2] for _, text in raw.packets] == []
    assert [(way, text[:2]) for way, text in direct.packets] == [("down", "0{"), ("up", "40"), ("down", "40")]
    assert [text[:6] for _, text in usual.packets if not text.startswith(("0", "4"))] == ["2probe", "3probe", "5", "6"]
    path = len("/socket.io/?transport=websocket&EIO=4") - len("/events")
    assert direct.bytes_up - raw.bytes_up == path + 6 + len("40{}")


@pytest.mark.parametrize("data", ["", "hello", 'né "\n', "x" * 70, "x" * 110, "x" * 65_500])
@simulated
async def test_every_frame_has_the_size_that_the_packets_say(data):
    async with virtual.launch("websocket") as plain, virtual.launch("socketio_feed") as sio:
        raw = {s.what: s for s in await socketio_cost.websocket_sizes(plain, data)}
        there = {s.what: s for s in await socketio_cost.socketio_sizes(sio, data)}
    for size in (*raw.values(), *there.values()):
        assert size.predicted == size.counted


def test_socketio_puts_twelve_bytes_around_an_event():
    event = Event(7, 81273912, "né", "0000000a-7")
    json = '{"id":7,"at":81273912,"data":"né","cursor":"0000000a-7"}'
    assert socketio_cost.event_text(event) == f'42["event",{json}]'
    assert socketio_cost.frame_bytes(f'42["event",{json}]') - socketio_cost.frame_bytes(json) == 12
    assert socketio_cost.frame_bytes("2") + socketio_cost.frame_bytes("3", masked=True) == 3 + 7  # RFC 6455 §5.2


@pytest.mark.parametrize("rtt_ms", [0, 100])
@simulated
async def test_an_hour_of_silence_costs_what_the_heartbeats_say(rtt_ms):
    async with (
        virtual.launch("websocket", rtt_ms=rtt_ms) as plain,
        virtual.launch("socketio_feed", rtt_ms=rtt_ms) as sio,
    ):
        raw = await socketio_cost.websocket_heartbeat(plain)
        there = await socketio_cost.socketio_heartbeat(sio)
    assert raw.predicted == raw.counted
    assert there.predicted == there.counted
    if rtt_ms == 0:
        assert (raw.counted, there.counted) == (180 * (6 + 10), 144 * (3 + 7))


@simulated
async def test_plain_client_is_greeted_pinged_and_closed_for_its_silence():
    async with virtual.launch("socketio_feed") as server:
        seen = await socketio_cost.plain_client(server)
    (at, greeting), ping = seen.heard
    assert at == 0 and greeting.startswith('0{"sid":"')
    assert ping == (25, "2")
    assert (round(seen.closed_after_s, 1), seen.close_code) == (45, 1000)


@simulated
async def test_cut_loses_what_is_only_emitted_and_nothing_with_a_cursor():
    emitted = await socketio_cut.emitted_through_a_cut(rtt_ms=60)
    assert (emitted.lost, emitted.twice) == (socketio_cut.missed(60), 0) == (12, 0)
    for experiment, twice in ((socketio_cut.resumed_through_a_cut, 0), (socketio_cut.repeated_through_a_cut, 20)):
        async with virtual.launch("socketio_feed", rtt_ms=60) as server:
            cut = await experiment(server)
        assert (cut.lost, cut.twice) == (0, twice)
