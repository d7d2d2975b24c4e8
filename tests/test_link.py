"""The network in a box does to bytes exactly what it says, in virtual time and over real sockets."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import now_ms, simulated

from labs import link as link_module
from labs import virtual
from labs.link import DOWN, UP, WINDOW, Link

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MEGABYTE = b"m" * 1024 * 1024


class Wire:
    """One end of a connection, to read from and to write to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.transport = writer.transport
        self.read, self.readexactly, self.readuntil = reader.read, reader.readexactly, reader.readuntil
        self.write, self.write_eof, self.drain, self.close = writer.write, writer.write_eof, writer.drain, writer.close


class Box:
    """A server for one test, which hands out what it accepts, and a link in front of it."""

    def __init__(self):
        self.accepted: asyncio.Queue[Wire] = asyncio.Queue()
        self.wires: list[Wire] = []

    async def accept(self, reader, writer):
        self.wires.append(Wire(reader, writer))
        await self.accepted.put(self.wires[-1])

    async def connect(self) -> Wire:
        """A reader's end of a new connection through the link."""
        self.wires.append(Wire(*await asyncio.open_connection("127.0.0.1", int(self.link.url.rpartition(":")[2]))))
        return self.wires[-1]

    async def pair(self) -> tuple[Wire, Wire]:
        """Both ends of a new connection through the link, once a byte has passed: the reader's and the server's."""
        near = await self.connect()
        near.write(b"!")
        far = await self.accepted.get()
        assert await far.readexactly(1) == b"!"
        return near, far


@asynccontextmanager
async def boxed(**settings):
    """A box with an open link, closed at the end."""
    box = Box()
    box.server = await asyncio.start_server(box.accept, "127.0.0.1", 0)
    port = box.server.sockets[0].getsockname()[1]
    box.link = await Link.open(f"http://127.0.0.1:{port}", **settings)
    try:
        yield box
    finally:
        await box.link.close()
        box.server.close()
        for wire in box.wires:
            wire.close()
        await asyncio.sleep(0.001)


async def ended(wire: Wire) -> bytes:
    """What still comes before the end of the stream, whether it ends in order or breaks off."""
    try:
        return await wire.read()
    except ConnectionError:
        return b""


def others() -> set[asyncio.Task]:
    return asyncio.all_tasks() - {asyncio.current_task()}


# Delay.


@simulated
async def test_each_way_takes_half_the_round_trip():
    async with boxed(rtt_ms=40) as box:
        near, far = await box.pair()
        await asyncio.sleep(1 - now_ms() / 1000)
        near.write(b"ping")
        assert await far.read(100) == b"ping"
        assert now_ms() == 1020
        far.write(b"pong")
        assert await near.read(100) == b"pong"
        assert now_ms() == 1040
        assert [(c.direction, c.sent, c.arrived) for c in box.link.trace(since=10**9)] == [
            (UP, 1_000_000_000, 1_020_000_000),
            (DOWN, 1_020_000_000, 1_040_000_000),
        ]


@simulated
async def test_first_answer_takes_two_round_trips_because_of_the_handshake():
    async with boxed(rtt_ms=40) as box:
        near = await box.connect()
        near.write(b"ping")
        far = await box.accepted.get()
        assert now_ms() == 40
        far.write(await far.read(100))
        assert (await near.read(100), now_ms()) == (b"ping", 80)


@simulated
async def test_no_delay_passes_at_once():
    async with boxed() as box:
        near, far = await box.pair()
        near.write(b"ping")
        assert (await far.read(100), now_ms()) == (b"ping", 0)


@simulated
async def test_end_takes_as_long_as_bytes():
    async with boxed(rtt_ms=40) as box:
        near, far = await box.pair()
        start = now_ms()
        far.close()
        assert (await near.read(), now_ms() - start) == (b"", 20)


async def numbers_under_jitter(seed: int):
    async with boxed(rtt_ms=20, jitter_ms=50, seed=seed) as box:
        near, far = await box.pair()
        arrivals = []

        async def send():
            for number in range(80):
                far.write(b"%03d" % number)
                await asyncio.sleep(0.001 if number < 40 else 0.03)

        sending = asyncio.create_task(send())
        for number in range(80):
            assert await near.readexactly(3) == b"%03d" % number
            arrivals.append(now_ms())
        await sending
        return box.link.log(), arrivals


def test_jitter_keeps_the_order_and_its_bounds():
    log, arrivals = virtual.run(numbers_under_jitter(seed=1))
    assert arrivals == sorted(arrivals)
    delays = [(arrived - sent) / 1e6 for sent, _, what, way, _, arrived in log if what == "bytes" and way == DOWN]
    assert len(delays) == 80
    assert 10 <= min(delays) < 30 and 50 < max(delays) <= 60


def test_same_seed_gives_the_same_log_100_times_of_100():
    first = virtual.run(numbers_under_jitter(seed=7))
    assert all(virtual.run(numbers_under_jitter(seed=7)) == first for _ in range(99))
    assert virtual.run(numbers_under_jitter(seed=8)) != first


# Counting.


async def exchange(up: list[bytes], down: list[bytes], **settings):
    """Send pieces both ways at once; what arrived, and the link's own counts, captured bytes and log."""
    async with boxed(**settings) as box:
        near = await box.connect()
        near.write(b"".join(up[:1]))  # (a server end exists as soon as the handshake is over)
        far = await box.accepted.get()

        async def send(wire, pieces):
            for piece in pieces:
                wire.write(piece)
                await asyncio.sleep(0.001)
            wire.write_eof()

        *_, at_near, at_far = await asyncio.gather(send(near, up[1:]), send(far, down), near.read(), far.read())
        passed = {way: b"".join(c.data for c in box.link.chunks if c.direction == way) for way in (UP, DOWN)}
        return at_near, at_far, box.link.bytes, passed


pieces = st.lists(st.binary(min_size=1, max_size=3000), max_size=8)


@settings(max_examples=40)
@given(pieces, pieces, st.sampled_from([0, 30]), st.sampled_from([0, 10]), st.booleans())
def test_bytes_pass_unchanged_and_are_counted_as_a_bare_socket_counts(up, down, rtt_ms, jitter_ms, buffers):
    async def run():
        return await exchange(up, down, rtt_ms=rtt_ms, jitter_ms=jitter_ms)

    at_near, at_far, counted, passed = virtual.run(run())
    assert (at_near, at_far) == (b"".join(down), b"".join(up))
    assert counted == {UP: len(at_far), DOWN: len(at_near)}
    assert passed == {UP: at_far, DOWN: at_near}


async def test_real_sockets_are_counted_as_a_bare_socket_counts():
    up, down = [b"u" * n for n in range(1, 40)], [b"d" * (n * 1000) for n in range(1, 40)]
    at_near, at_far, counted, passed = await exchange(up, down, rtt_ms=4)
    assert (at_near, at_far) == (b"".join(down), b"".join(up))
    assert counted == {UP: 780, DOWN: 780_000}
    assert passed == {UP: at_far, DOWN: at_near}


@simulated
async def test_trace_beyond_its_limit_is_counted_but_not_kept():
    async with boxed() as box:
        near, far = await box.pair()
        box.link._kept = link_module.TRACE_LIMIT
        near.write(b"more")
        assert await far.readexactly(4) == b"more"
        assert box.link.bytes[UP] == 5
        assert [chunk.data for chunk in box.link.chunks] == [b"!"]


# Cut.


@simulated
async def test_cut_ends_both_sides_and_loses_what_is_under_way():
    async with boxed(rtt_ms=40) as box:
        near, far = await box.pair()
        near.write(b"lost")
        far.write(b"lost too")
        await asyncio.sleep(0.01)
        box.link.cut()
        assert (await ended(near), await ended(far)) == (b"", b"")
        assert [chunk.arrived for chunk in box.link.chunks[1:]] == [None, None]
        assert [note.what for note in box.link.notes] == ["opened", "cut", "closed"]


@simulated
async def test_cut_leaves_new_connections_alone():
    async with boxed(rtt_ms=40) as box:
        await box.pair()
        box.link.cut()
        near, far = await box.pair()
        far.write(b"hello")
        assert await near.readexactly(5) == b"hello"


@simulated
async def test_cut_during_the_handshake_leaves_no_connection_at_the_server():
    async with boxed(rtt_ms=40) as box:
        near = await box.connect()
        await asyncio.sleep(0.02)
        box.link.cut()
        assert await ended(near) == b""
        await asyncio.sleep(10)
        assert box.accepted.empty()


@pytest.mark.parametrize("turns", range(8))  # of the event loop, while the link connects on to the server
@simulated
async def test_cut_while_connecting_on_ends_both_sides(turns):
    async with boxed() as box:
        near = await box.connect()
        for _ in range(turns):
            await asyncio.sleep(0)
        box.link.cut()
        assert await ended(near) == b""
        await asyncio.sleep(10)
        assert all([await ended(wire) == b"" for wire in box.wires])
        assert not box.link._ends


# Black hole.


@simulated
async def test_black_hole_swallows_everything_and_closes_nothing():
    async with boxed(rtt_ms=40) as box:
        near, far = await box.pair()
        near.write(b"under way")
        await asyncio.sleep(0.01)
        box.link.black_hole()
        near.write(b"later")
        far.write(b"later")
        near.write_eof()
        for wire in (near, far):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wire.read(1), 3600)


@simulated
async def test_healing_helps_new_connections_only():
    async with boxed(rtt_ms=40) as box:
        old, old_far = await box.pair()
        box.link.black_hole()
        swallowed = await box.connect()  # accepted by the link itself, so that it looks open
        await asyncio.sleep(1)
        box.link.heal()
        near, far = await box.pair()
        for wire in (old, old_far, swallowed, far):
            wire.write(b"hello")
        assert await near.readexactly(5) == b"hello"
        for wire in (old, old_far, swallowed):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wire.read(1), 3600)
        assert [note.what for note in box.link.notes] == ["opened", "black hole", "opened", "healed", "opened"]


@pytest.mark.parametrize("turns", range(8))
@simulated
async def test_black_hole_while_connecting_on_swallows_too(turns):
    async with boxed() as box:
        await box.connect()
        for _ in range(turns):
            await asyncio.sleep(0)
        box.link.black_hole()
        box.link.heal()
        for _ in range(2):
            for wire in box.wires:
                wire.write(b"hello")
            await asyncio.sleep(10)
        for wire in box.wires:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wire.read(1), 60)


@simulated
async def test_black_hole_backs_up_its_senders_as_unacknowledged_bytes_do():
    async with boxed() as box:
        _, far = await box.pair()
        box.link.black_hole()
        far.write(MEGABYTE * 4)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(far.drain(), 60)


# Stall.


@simulated
async def test_stall_backs_up_the_servers_writes_and_resume_delivers_everything():
    async with boxed(rtt_ms=40) as box:
        near, far = await box.pair()
        box.link.stall()
        far.write(MEGABYTE)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(far.drain(), 60)
        assert box.link.bytes[DOWN] == 0
        near.write(b"the other way still works")
        assert await far.readexactly(25) == b"the other way still works"
        box.link.resume()
        assert await near.readexactly(len(MEGABYTE)) == MEGABYTE
        await far.drain()


@simulated
async def test_stall_holds_connections_that_are_opened_later():
    async with boxed() as box:
        box.link.stall()
        near, far = await box.pair()
        far.write(b"hello")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(near.read(1), 60)
        box.link.resume()
        assert await near.readexactly(5) == b"hello"


@simulated
async def test_resume_does_not_fill_a_reader_that_still_does_not_read():
    async with boxed() as box:
        near, far = await box.pair()
        far.write(MEGABYTE * 8)
        await asyncio.sleep(1)
        box.link.stall()
        box.link.resume()
        await asyncio.sleep(1)
        assert box.link.bytes[DOWN] < 2 * WINDOW
        assert await near.readexactly(8 * len(MEGABYTE)) == MEGABYTE * 8


# Buffer.


@simulated
async def test_buffer_passes_a_whole_response_at_once():
    async with boxed() as box:
        near, far = await box.pair()
        box.link.buffer()
        far.write(ANSWER[:20])
        await asyncio.sleep(1)
        far.write(ANSWER[20:])
        assert (await near.readexactly(len(ANSWER)), now_ms()) == (ANSWER, 1000)


@simulated
async def test_buffer_passes_a_chunked_response_when_its_last_chunk_has_come():
    async with boxed() as box:
        near, far = await box.pair()
        box.link.buffer()
        far.write(STREAM + b"2\r\n[]\r\n")
        await asyncio.sleep(1)
        far.write(b"0\r\n\r\n")
        assert await near.readuntil(b"\r\n0\r\n\r\n") == STREAM + b"2\r\n[]\r\n0\r\n\r\n"
        assert now_ms() == 1000


@simulated
async def test_buffer_holds_a_stream_until_its_size_has_come():
    async with boxed() as box:
        near, far = await box.pair()
        box.link.buffer(1000)
        far.write(STREAM)
        for _ in range(10):  # 10 × 100 bytes on top of the head: the tenth is not needed
            await asyncio.sleep(1)
            far.write(b"5e\r\n" + b"x" * 94 + b"\r\n")
        head = await near.readexactly(len(STREAM))
        assert (head, now_ms()) == (STREAM, 10_000)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(near.readexactly(10 * 100 + 1), 60)


@simulated
async def test_buffer_switched_off_releases_what_it_held():
    async with boxed() as box:
        near, far = await box.pair()
        box.link.buffer(1000)
        far.write(STREAM)
        await asyncio.sleep(5)
        box.link.buffer(0)
        assert (await near.readexactly(len(STREAM)), now_ms()) == (STREAM, 5000)


@simulated
async def test_buffer_releases_what_it_held_when_the_server_closes():
    async with boxed() as box:
        near, far = await box.pair()
        box.link.buffer(1000)
        far.write(STREAM)
        far.close()
        assert await near.read() == STREAM


@simulated
async def test_buffer_larger_than_the_window_still_fills():
    async with boxed() as box:
        near, far = await box.pair()
        box.link.buffer(4 * WINDOW)
        far.write(MEGABYTE * 4)
        assert await near.readexactly(4 * len(MEGABYTE)) == MEGABYTE * 4


# Ends.


@simulated
async def test_reader_that_half_closes_still_gets_its_answer():
    async with boxed(rtt_ms=40) as box:
        near, far = await box.pair()
        near.write(b"question")
        near.write_eof()
        assert await far.read() == b"question"
        await asyncio.sleep(10)
        far.write(b"answer")
        far.write_eof()
        assert await near.read() == b"answer"
        assert not box.link._ends


@simulated
async def test_server_that_half_closes_still_hears_its_reader():
    async with boxed(rtt_ms=40) as box:
        near, far = await box.pair()
        far.write_eof()
        assert await near.read() == b""
        await asyncio.sleep(10)
        near.write(b"thanks")
        near.write_eof()
        assert await far.read() == b"thanks"


@simulated
async def test_ends_that_cross_lose_nothing():
    async with boxed(rtt_ms=40, jitter_ms=30, seed=3) as box:
        near, far = await box.pair()
        for wire in (near, far):
            wire.write(b"last words")
            wire.write_eof()
        assert await asyncio.gather(near.read(), far.read()) == [b"last words", b"last words"]


@simulated
async def test_bytes_for_a_reader_that_has_left_never_arrive():
    async with boxed(rtt_ms=40) as box:
        near, far = await box.pair()
        near.transport.abort()
        far.write(b"one")  # this end of the reader's connection only now learns that nobody is there
        await asyncio.sleep(0.01)
        far.write(b"two")
        await asyncio.sleep(1)
        assert [(chunk.data, chunk.arrived) for chunk in box.link.chunks[1:]] == [(b"one", 80_000_000), (b"two", None)]


@simulated
async def test_reader_that_leaves_before_it_is_connected_on_still_delivers():
    async with boxed(rtt_ms=40) as box:
        near = await box.connect()
        near.write(b"hello")
        near.close()
        far = await box.accepted.get()
        assert await far.read() == b"hello"


async def test_reader_that_dies_after_its_end_closes_the_server_side():
    async with boxed() as box:
        near, far = await box.pair()
        near.write_eof()
        assert await far.read() == b""
        near.transport.abort()
        async with asyncio.timeout(10):
            while not far.transport.is_closing():
                far.write(b"x" * 1000)
                await asyncio.sleep(0.01)
        assert not box.link._ends


@simulated
async def test_server_that_refuses_ends_the_readers_connection():
    async with boxed() as box:
        box.server.close()
        near = await box.connect()
        near.write(b"hello")
        assert await ended(near) == b""
        assert [note.what for note in box.link.notes] == ["opened", "refused", "closed"]
        assert not box.link._ends and not box.link._tasks


async def test_real_server_that_refuses_ends_the_readers_connection():
    async with boxed() as box:
        box.server.close()
        await box.server.wait_closed()
        near = await box.connect()
        assert await ended(near) == b""
        near.close()
        assert [note.what for note in box.link.notes] == ["opened", "refused", "closed"]


@simulated
async def test_closing_the_link_leaves_no_task_and_ends_both_sides():
    async with boxed(rtt_ms=40) as box:
        before = others()
        near, far = await box.pair()
        handshaking = await box.connect()
        await asyncio.sleep(0)
        await box.link.close()
        assert not box.link._ends and not box.link._tasks
        for wire in (near, far, handshaking):
            assert await ended(wire) == b""
        assert others() <= before


async def test_closing_a_link_over_real_sockets_leaves_no_task_and_no_end():
    before = others()
    async with boxed(rtt_ms=2) as box:
        near, _ = await box.pair()
        handshaking = await box.connect()
        await box.link.close()
        assert (await ended(near), await ended(handshaking)) == (b"", b"")
        assert not box.link._ends and not box.link._tasks

    await asyncio.sleep(0.05)
    assert others() <= before


# Backpressure.


@simulated
async def test_bytes_under_way_are_bounded_by_the_window():
    async with boxed(rtt_ms=200) as box:
        near, far = await box.pair()
        far.write(MEGABYTE * 10)
        await asyncio.sleep(0.09)  # nothing has arrived yet
        assert WINDOW <= box.link.bytes[DOWN] < 1.5 * WINDOW
        start = now_ms() - 90
        assert await near.readexactly(10 * len(MEGABYTE)) == MEGABYTE * 10
        assert 800 <= now_ms() - start <= 1000  # at most a window each 100 ms


@pytest.mark.parametrize("rtt_ms", [0, 20])
async def test_fast_writer_and_slow_reader_leave_little_in_the_relay(rtt_ms):
    async with boxed(rtt_ms=rtt_ms) as box:
        near, far = await box.pair()
        near.transport.pause_reading()
        far.write(MEGABYTE * 50)
        taken = -1
        while taken != (taken := box.link.bytes[DOWN]):  # until the relay takes no more
            await asyncio.sleep(0.3)
        in_relay = sum(end.under_way + end.transport.get_write_buffer_size() for end in box.link._ends)
        assert in_relay <= 2 * WINDOW
        assert far.transport.get_write_buffer_size() > 10 * len(MEGABYTE)  # the server itself holds the rest
        near.transport.resume_reading()
        assert len(await near.readexactly(50 * len(MEGABYTE))) == 50 * len(MEGABYTE)


# Through a real kernel the same faults hold.


async def test_faults_hold_over_real_sockets():
    async with boxed(rtt_ms=2) as box:
        near, far = await box.pair()
        box.link.stall()
        far.write(b"held")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(near.read(1), 0.1)
        box.link.resume()
        assert await near.readexactly(4) == b"held"
        box.link.black_hole()
        far.write(b"swallowed")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(near.read(1), 0.1)
        box.link.heal()
        new, new_far = await box.pair()
        new_far.write(b"hello")
        assert await new.readexactly(5) == b"hello"
        box.link.cut()
        for wire in (near, far, new, new_far):
            assert await ended(wire) == b""


@simulated
async def test_connection_that_was_accepted_a_moment_before_the_link_closed_is_dropped():
    async with boxed() as box:
        await box.pair()
        closing = asyncio.create_task(box.link.close())
        await asyncio.sleep(0)  # its server is closed, and the connections are on their way to be
        late = box.link._accept()  # what asyncio does for one that came just before that
        port = box.server.sockets[0].getsockname()[1]
        await asyncio.get_running_loop().create_connection(lambda: late, "127.0.0.1", port)
        async with asyncio.timeout(10):
            await closing
        assert late.transport.is_closing()
