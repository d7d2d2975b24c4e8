"""The two socket servers beyond the contract: echo, publishing, limits, pings, slow readers, the end. In virtual time."""

import asyncio
import gc
import json
import socket
import struct
import zlib
from contextlib import aclosing
from importlib import import_module

import pytest
import websockets
from crowd import Reader
from simulated import now_ms, simulated
from transports import SOCKETS, UPGRADE
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from labs import clients, hosting, virtual
from labs.conformance import Case, close, closings, frame, good, hear, text
from labs.feed import Event, Feed
from labs.frames import Frame, FrameReader, Opcode
from labs.hosting import BODY_LIMIT
from labs.sockets import BURST_S, Allowance

every_socket_server = pytest.mark.parametrize("name", SOCKETS)
PONG = Frame(Opcode.PONG)


async def opened(url: str, target: str = "/echo") -> Reader:
    """A plain socket after its handshake."""
    reader = await Reader.open(url)
    reader.ask(target, *UPGRADE)
    assert (await reader.head()).startswith("HTTP/1.1 101 ")
    return reader


async def heard(reader: Reader, enough: float = float("inf")) -> list:
    """What a server says over a plain socket, in the words of `labs.conformance`."""
    got: list = []
    await hear(reader.reader, FrameReader(masked=False), got, enough)
    return got


def open_transports(reader: Reader) -> list:
    """The servers' ends of connections in this virtual world that are still open, this reader's peer among them."""
    return [
        one
        for one in asyncio.get_running_loop()._transports.values()
        if one is not reader.writer.transport and not one.is_closing()
    ]


async def closed_with(socket) -> tuple[int, str]:
    """The code and the reason with which the server closes."""
    with pytest.raises(websockets.ConnectionClosed) as closed:
        while True:
            await socket.recv()
    return closed.value.rcvd.code, closed.value.rcvd.reason


@every_socket_server
@simulated
async def test_echo_sends_every_message_back_with_its_type(name):
    async with virtual.launch(name) as server, clients.connect(server.url, "/echo") as socket:
        for message in ("né\n", "", b"\xff\0", b"", "x" * 70_000):
            await socket.send(message)
            assert await socket.recv() == message
        await socket.send(["in ", "three ", "frames"])
        assert await socket.recv() == "in three frames"


@every_socket_server
@simulated
async def test_event_goes_out_in_one_frame_as_its_json(name):
    async with virtual.launch(name) as server:
        reader = await opened(server.origin, "/events")
        await asyncio.sleep(1)
        event = await server.publish('né"\n')
        assert event == Event(1, 1_000_000_000, 'né"\n', "00000001-1")
        said = '{"id":1,"at":1000000000,"data":"né\\"\\n","cursor":"00000001-1"}'.encode()
        assert await reader.reader.readexactly(2 + len(said)) == b"\x81" + bytes([len(said)]) + said
        await reader.leave()


@every_socket_server
@simulated
async def test_text_frame_is_published_and_comes_back_to_everybody(name):
    async with virtual.launch(name) as server:
        first, second = [await clients.connect(server.url) for _ in range(2)]
        await first.send("hello")
        assert [json.loads(await one.recv())["data"] for one in (first, second)] == ["hello", "hello"]
        await asyncio.gather(first.close(), second.close())


@every_socket_server
@simulated
async def test_kept_publisher_gets_every_event_as_the_server_numbered_it(name):
    async with virtual.launch(name) as server:
        await server.publish("before")
        async with server.publisher() as publish:
            events = await asyncio.gather(*(publish(data) for data in ("a", "b", "a", "c")))
        assert [(event.id, event.data) for event in events] == [(2, "a"), (3, "b"), (4, "a"), (5, "c")]


@every_socket_server
@simulated
async def test_publisher_is_told_that_the_server_has_closed(name):
    async with virtual.launch(name) as server, server.publisher() as publish:
        with pytest.raises(ConnectionError, match=r"1009 an event is at most 65536 bytes"):
            await publish("é" * (BODY_LIMIT // 2) + "x")


@every_socket_server
@simulated
async def test_event_at_the_limit_is_published(name):
    async with virtual.launch(name) as server:
        assert (await server.publish("é" * (BODY_LIMIT // 2))).id == 1


@every_socket_server
@simulated
async def test_frame_in_one_piece_with_the_request_is_not_lost(name):
    async with virtual.launch(name) as server:
        reader = await Reader.open(server.origin)
        reader.ask("/echo", *UPGRADE)
        reader.writer.write(text("at once"))
        await reader.head()
        assert await heard(reader, 1) == ["at once"]
        await reader.leave()


@every_socket_server
@simulated
async def test_no_message_follows_a_close_frame(name):
    async with virtual.launch(name) as server:
        reader = await opened(server.origin, "/events")
        reader.writer.write(frame(0x82, b"x"))
        assert await heard(reader) == [1003]
        reader.writer.write(text("too late"))
        event = await server.publish("x")
        assert event.id == 1
        reader.writer.write(close(1003))
        assert await reader.rest() == b""
        await reader.leave()


@every_socket_server
@simulated
async def test_binary_message_is_no_event(name):
    async with virtual.launch(name) as server, clients.connect(server.url) as socket:
        await socket.send(b"x")
        assert await closed_with(socket) == (1003, "an event is text")
        assert (await server.usage())["cursor"] == "00000001-0"


@every_socket_server
@simulated
async def test_cursor_that_is_gone_is_told_by_the_close_code(name):
    async with virtual.launch(name, keep=1) as server:
        for data in "abc":
            await server.publish(data)
        async with clients.connect(server.url, "/events?after=00000001-0") as socket:
            assert await closed_with(socket) == (4410, "events 1 to 2 are no longer kept")


# Limits.


@every_socket_server
@pytest.mark.parametrize("kind, answer", [(frame(0x89), PONG), (text("x"), "x")])
@simulated
async def test_ten_thousand_pings_or_messages_are_answered_and_then_limited(name, kind, answer):
    async with virtual.launch(name, rate=100) as server:
        reader = await opened(server.origin)
        reader.writer.write(kind * 10_000)
        got = await heard(reader)
        assert got[-1] == 1008
        assert got[:-1] == [answer] * len(got[:-1])
        assert len(got) - 1 <= 100 * BURST_S or name == "websocket"  # which answers the pings of a whole piece first
        await asyncio.sleep(10)
        assert not open_transports(reader)  # it has not waited for this client's close frame for ever
        await reader.leave()


@every_socket_server
@simulated
async def test_client_within_its_rate_is_served_for_ever(name):
    async with virtual.launch(name, rate=10) as server, clients.connect(server.url, "/echo") as socket:
        for _ in range(200):
            await socket.send("x")
            assert await socket.recv() == "x"
            await asyncio.sleep(0.1)


@every_socket_server
@simulated
async def test_rate_of_zero_is_no_limit(name):
    async with virtual.launch(name, rate=0) as server:
        reader = await opened(server.origin)
        reader.writer.write(frame(0x89) * 20_000 + close(1000))
        assert await heard(reader) == [PONG] * 20_000 + [1000]
        await reader.leave()


@simulated
async def test_allowance_is_what_was_not_used_of_the_last_seconds():
    allowance = Allowance(rate=2)
    assert [allowance.spend() for _ in range(11)] == [True] * 10 + [False]
    await asyncio.sleep(1)
    assert [allowance.spend() for _ in range(2)] == [True, False]  # the refused one was one too many, and counts
    await asyncio.sleep(3600)
    assert [allowance.spend() for _ in range(11)] == [True] * 10 + [False]


@simulated
async def test_deflate_bomb_is_refused_before_it_is_big():
    async with virtual.launch("websocket", compress=True) as server:
        reader = await Reader.open(server.origin)
        reader.ask("/echo", *UPGRADE, "Sec-WebSocket-Extensions: permessage-deflate")
        assert "permessage-deflate" in await reader.head()
        packer = zlib.compressobj(wbits=-15)
        bomb = (packer.compress(bytes(100_000_000)) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
        reader.writer.write(frame(0xC2, bomb))
        assert await heard(reader) == [1009]
        await reader.leave()


@pytest.mark.parametrize("compress, negotiated", [(True, ["permessage-deflate"]), (False, [])])
@simulated
async def test_compression_is_offered_only_when_asked_for(compress, negotiated):
    async with virtual.launch("websocket", compress=compress) as server:
        async with clients.connect(server.url, "/echo", extensions=[ClientPerMessageDeflateFactory()]) as socket:
            assert [one.name for one in socket.protocol.extensions] == negotiated
            await socket.send("x" * 1000)
            assert await socket.recv() == "x" * 1000
        assert (server.link.bytes["up"] < 1000) is compress


# Peers that are silent, slow, or gone.


HALVES = {
    "nothing": b"",
    "half a request line": b"GET /ev",
    "half a head": b"GET /events HTTP/1.1\r\nHost: local",
    "a page and no goodbye": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@every_socket_server
@pytest.mark.parametrize("half", HALVES)
@simulated
async def test_half_a_request_then_silence_is_closed_within_ten_seconds(name, half):
    async with virtual.launch(name) as server:
        before = len(asyncio.all_tasks())
        reader = await Reader.open(server.origin)
        reader.writer.write(HALVES[half])
        await reader.rest()
        assert now_ms() <= 10_000
        await reader.leave()
        await asyncio.sleep(0.1)
        assert len(asyncio.all_tasks()) == before


@every_socket_server
@simulated
async def test_head_that_trickles_in_is_given_up_within_ten_seconds(name):
    async with virtual.launch(name) as server:
        reader = await Reader.open(server.origin)

        async def trickle():
            for byte in b"GET /events HTTP/1.1\r\nHost: localhost\r\nX: " + bytes([97]) * 1000:
                reader.writer.write(bytes([byte]))
                await asyncio.sleep(1)

        trickling = asyncio.create_task(trickle())
        await reader.rest()
        assert now_ms() <= 10_000
        trickling.cancel()
        await reader.leave()


@every_socket_server
@simulated
async def test_silent_client_is_pinged_and_lives_as_long_as_it_answers(name):
    async with virtual.launch(name, ping_s=5) as server:
        reader = await opened(server.origin)
        pings = FrameReader(masked=False)
        for n in range(1, 10):
            (ping,) = pings.feed(await reader.reader.read(1000))
            assert (ping.opcode, now_ms()) == (Opcode.PING, 5000 * n)
            reader.writer.write(frame(0x8A, ping.payload))
        reader.writer.write(text("still there"))
        assert await heard(reader, 1) == ["still there"]
        await reader.leave()


@every_socket_server
@simulated
async def test_client_in_a_black_hole_is_found_by_its_missing_pong(name):
    async with virtual.launch(name, ping_s=5) as server:
        before = len(asyncio.all_tasks())
        socket = await clients.connect(server.url, ping_interval=None)
        await asyncio.sleep(3)
        server.link.black_hole()
        await asyncio.sleep(30)
        assert len(asyncio.all_tasks()) <= before  # the client itself has none
        assert socket.state is websockets.State.OPEN  # and knows nothing of it
        await socket.close()


@every_socket_server
@simulated
async def test_client_that_does_not_read_costs_a_bounded_buffer_and_is_given_up_when_it_answers_no_ping(name):
    async with virtual.launch(name, ping_s=20, keep=100_000) as server:
        before = len(asyncio.all_tasks())
        reader = await opened(server.url, "/events")
        await asyncio.sleep(1)
        server.link.stall()
        async with server.publisher() as publish:
            for n in range(500):
                await publish(f"{n:010000}")  # 5 MB
            waiting = sum(one.get_write_buffer_size() for one in asyncio.get_running_loop()._transports.values())
            assert waiting + server.link.bytes["down"] < 1_000_000  # the rest is in the feed, once for all readers
            await asyncio.sleep(15)
        await asyncio.sleep(40)
        assert len(asyncio.all_tasks()) <= before
        await reader.leave()


@every_socket_server
@simulated
async def test_stalled_reader_among_twenty_holds_nobody_up(name):
    async with virtual.launch(name) as server:
        stalled = await opened(server.url, "/events")
        server.link.stall()
        streams = [clients.websocket(server.origin) for _ in range(20)]
        readers = [asyncio.create_task(late(stream, 200)) for stream in streams]
        await asyncio.sleep(1)
        async with server.publisher() as publish:
            for n in range(200):
                await publish(f"{n:05000}")
                await asyncio.sleep(0.002)
        assert {max(delays) for delays in await asyncio.gather(*readers)} == {0}
        await asyncio.gather(*(stream.aclose() for stream in streams))
        await stalled.leave()


async def late(stream, count: int) -> list[int]:
    """How many nanoseconds after its publication each of the next events arrives."""
    loop = asyncio.get_running_loop()
    return [-(await anext(stream)).at + round(loop.time() * 1e9) for _ in range(count)]


# The end.


@every_socket_server
@simulated
async def test_stop_tells_every_client_1001_within_two_seconds(name):
    async with virtual.launch(name) as server:
        polite = [await clients.connect(server.origin, path) for path in ("/events", "/echo") * 10]
        rude = await opened(server.origin)  # reads, and does not answer
        stuck = await Reader.open(server.origin)
        stuck.writer.write(b"GET /ev")
        start = now_ms()
        stopping = asyncio.create_task(server.host.stop())
        assert {(await closed_with(socket))[0] for socket in polite} == {1001}
        assert await heard(rude) == [1001]
        await stopping
        assert now_ms() - start < 2000
        await asyncio.gather(rude.leave(), stuck.leave())
        await server.host.start()  # so that the block can stop it again


@every_socket_server
@simulated
async def test_stop_waits_a_second_at_most_for_a_reader_that_does_not_read(name):
    async with virtual.launch(name) as server:
        reader = await opened(server.url, "/events")
        server.link.stall()
        async with server.publisher() as publish:
            for _ in range(50):
                await publish("x" * 60_000)
        start = now_ms()
        await server.host.stop()
        assert now_ms() - start < 2000
        await server.host.start()
        await reader.leave()


# The reader.


@every_socket_server
@simulated
async def test_silent_connection_is_found_dead_by_the_reader_and_resumed(name):
    async with virtual.launch(name) as server, aclosing(clients.websocket(server.url, ping=5)) as stream:
        await server.publish("a")
        assert (await anext(stream)).data == "a"
        server.link.black_hole()
        await server.publish("b")
        await asyncio.sleep(1)
        server.link.heal()
        assert (await anext(stream)).data == "b"
        assert now_ms() < 15_000


@every_socket_server
@simulated
async def test_reader_comes_back_later_and_later_while_nobody_is_there(name):
    class Longest:
        def uniform(self, low, high):
            return high

    async with virtual.launch(name) as server:
        stream = clients.websocket(server.url, rng=Longest())
        await server.publish("a")
        await anext(stream)
        origin, server.link.target = server.link.target, "http://127.0.0.1:1"
        server.link.cut()
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(20)
        tries = [note.at / 1e9 for note in server.link.notes if note.what == "refused"]
        assert [round(b - a, 2) for a, b in zip([0, *tries], tries, strict=False)] == [0.5, 1, 2, 4, 8]
        server.link.target = origin
        await server.publish("b")
        assert (await waiting).data == "b"
        await stream.aclose()


# Both servers side by side.


@simulated
async def test_both_servers_answer_everything_that_is_right_in_the_same_bytes():
    async with virtual.launch("raw_websocket") as by_hand, virtual.launch("websocket") as by_library:
        for case in [*good(), *closings()]:
            if case.codes in ((1000,), (1005,)):
                assert await said_to(case, by_hand.origin) == await said_to(case, by_library.origin), case.name


async def said_to(case: Case, url: str) -> bytes:
    """Every byte that a server says to a case after the handshake; the close waits until all answers are there."""
    reader = await opened(url)
    reader.writer.write(case.sent)
    await asyncio.sleep(1)
    reader.writer.write(close(1000, b"bye"))
    said = await reader.rest()
    await reader.leave()
    return said


@every_socket_server
async def test_reset_while_something_is_sent_leaves_no_error_that_nobody_took(name, caplog, monkeypatch):
    monkeypatch.delattr(
        asyncio.StreamReaderProtocol, "__del__"
    )  # it takes the error, if it happens to be collected first
    feed = Feed()
    async with hosting.serving(import_module(f"labs.servers.{name}").make_app(feed)) as url:
        for _ in range(5):
            reader = await opened(url, "/events")
            await asyncio.sleep(0.01)
            end = reader.writer.get_extra_info("socket")
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            reader.writer.transport.abort()
            await asyncio.sleep(0)  # which resets the connection; the server learns of it when it writes
            feed.publish("x")
            await asyncio.sleep(0.01)
    del reader, end
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
