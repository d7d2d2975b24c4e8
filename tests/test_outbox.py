"""How one message reaches many: joined within a turn, in order, never torn, bounded for each reader, and never skipped."""

import asyncio
import socket

import pytest

from labs.rooms.outbox import BACKLOG, JOINED, KERNEL, Fanout, Outbox, Watched, write_to_each


class Wire:
    """A transport that takes everything, or nothing, and notes what is written to it."""

    def __init__(self, *, takes: bool = True):
        self.takes, self.writes, self.waiting = takes, [], 0

    def get_extra_info(self, name):
        return None

    def get_write_buffer_size(self):
        return self.waiting

    def write(self, data):
        self.writes.append(bytes(data))
        self.waiting += 0 if self.takes else len(data)


class Reader(Outbox):
    def __init__(self, transport):
        super().__init__(transport)
        self.given_up = 0

    def give_up(self):
        self.given_up += 1
        self.closed = True
        self.transport.write(b"the end")


class WatchedReader(Watched, Reader):
    pass


class Room:
    def __init__(self, *members):
        self.members = dict.fromkeys(members)


# Joined within a turn.


async def test_frames_of_one_turn_leave_in_one_write_for_each_reader():
    wires, fanout = [Wire(), Wire()], Fanout()
    room = Room(*map(Reader, wires))
    for frame in (b"one", b"two", b"three"):
        fanout.post(room, frame)
    assert [wire.writes for wire in wires] == [[], []]
    await asyncio.sleep(0)
    assert [wire.writes for wire in wires] == [[b"onetwothree"]] * 2
    fanout.post(room, b"four")
    await asyncio.sleep(0)
    assert [wire.writes for wire in wires] == [[b"onetwothree", b"four"]] * 2


async def test_rooms_are_joined_each_for_itself():
    wires, fanout = [Wire(), Wire()], Fanout()
    blue, red = (Room(Reader(wire)) for wire in wires)
    for frame in (b"1", b"2", b"3"):
        fanout.post(blue, b"b" + frame)
        fanout.post(red, b"r" + frame)
    await asyncio.sleep(0)
    assert [wire.writes for wire in wires] == [[b"b1b2b3"], [b"r1r2r3"]]


async def test_flush_sends_at_once_and_only_once():
    wire, fanout = Wire(), Fanout()
    fanout.post(Room(Reader(wire)), b"one")
    fanout.flush()
    assert wire.writes == [b"one"]
    await asyncio.sleep(0)
    assert wire.writes == [b"one"]


async def test_much_in_one_turn_leaves_in_pieces_of_bounded_size():
    wire, fanout = Wire(), Fanout()
    room = Room(Reader(wire))
    for _ in range(100):
        fanout.post(room, bytes(10_000))
    await asyncio.sleep(0)
    assert sum(map(len, wire.writes)) == 1_000_000
    assert max(map(len, wire.writes)) <= JOINED + 10_000
    del wire.writes[:]
    for _ in range(3):
        fanout.post(room, b"x")
    await asyncio.sleep(0)
    assert wire.writes == [b"xxx"]


# A slow reader.


async def test_reader_that_is_too_slow_is_given_up_once_and_nobody_else_notices():
    slow, good, fanout = Reader(Wire(takes=False)), Reader(Wire()), Fanout()
    room = Room(slow, good)
    for _ in range(100):
        fanout.post(room, bytes(10_000))
        await asyncio.sleep(0)
    assert (slow.given_up, good.given_up) == (1, 0)
    assert len(good.transport.writes) == 100
    assert BACKLOG < slow.transport.waiting <= BACKLOG + JOINED
    *whole, last = slow.transport.writes
    assert whole == good.transport.writes[: len(whole)]  # nothing left out before the end
    assert last == b"the end"


async def test_reader_that_leaves_while_it_is_given_up_takes_nobody_along():
    class Leaver(Reader):
        def give_up(self):
            super().give_up()
            del room.members[self]

    leavers, good, fanout = [Leaver(Wire(takes=False)) for _ in range(2)], Reader(Wire()), Fanout()
    room = Room(leavers[0], good, leavers[1])
    for _ in range(100):
        fanout.post(room, bytes(10_000))
        await asyncio.sleep(0)
    assert list(room.members) == [good]
    assert len(good.transport.writes) == 100


async def test_nothing_is_written_after_a_close_frame():
    wire = Wire()
    reader = Reader(wire)
    reader.closed = True
    reader.write(b"late")
    assert wire.writes == []


# Real sockets: past the transport while it is empty, behind what waits while it is not.


async def connected(protocol=asyncio.Protocol):
    """A transport of this event loop, and the other end of its connection as a plain socket."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_connection(protocol, sock=ours)
    return transport, theirs


def drained(theirs: socket.socket) -> bytes:
    read = b""
    try:
        while part := theirs.recv(1 << 20):
            read += part
    except BlockingIOError:
        pass
    return read


async def test_write_goes_past_the_transport_while_it_is_empty(monkeypatch):
    transport, theirs = await connected()
    monkeypatch.setattr(type(transport), "write", None)
    Reader(transport).write(b"hello")
    assert drained(theirs) == b"hello"
    transport.close()
    theirs.close()


@pytest.mark.parametrize("kind", [Reader, WatchedReader])
async def test_what_the_kernel_does_not_take_waits_and_nothing_overtakes_it(kind):
    transport, theirs = await connected()
    reader, pieces = kind(transport), []
    while transport.get_write_buffer_size() <= BACKLOG // 2:
        pieces.append(bytes([len(pieces) % 256]) * 99_999)
        write_to_each([reader], pieces[-1])
    read = b""
    while len(read) < sum(map(len, pieces)):  # room for more again in the kernel, while something still waits here
        read += drained(theirs)
        if transport.get_write_buffer_size():
            pieces.append(bytes([len(pieces) % 256]) * 99)
            write_to_each([reader], pieces[-1])
        await asyncio.sleep(0)
    assert read == b"".join(pieces)
    assert reader.given_up == 0
    transport.close()
    theirs.close()


async def test_kernel_keeps_little_for_one_reader():
    transport, theirs = await connected()
    reader = Reader(transport)
    total = 0
    while not reader.given_up and total < 10_000_000:
        reader.write(bytes(10_000))
        total += 10_000
    assert reader.given_up == 1
    assert total <= BACKLOG + KERNEL + 2 * 10_000 + 1
    transport.abort()
    theirs.close()


async def test_watched_reader_is_not_asked_again_until_the_kernel_is_full(monkeypatch):
    transport, theirs = await connected()
    reader, asked, ask = WatchedReader(transport), [], transport.get_write_buffer_size
    monkeypatch.setattr(type(transport), "get_write_buffer_size", lambda transport: asked.append(1) or ask())
    for _ in range(3):
        write_to_each([reader], b"hello")
    assert (drained(theirs), len(asked)) == (b"hello" * 3, 1)
    while not ask():
        write_to_each([reader], b"!" * 9_999)
    del asked[:]
    write_to_each([reader], b"!")
    write_to_each([reader], b"!")
    assert len(asked) >= 2  # something waits now
    del asked[:]
    sent = b""
    while ask():
        sent += drained(theirs)
        await asyncio.sleep(0)
    write_to_each([reader], b"?")
    write_to_each([reader], b"?")
    assert len(asked) == 1  # once, and then no more
    assert (sent + drained(theirs)).strip(b"!") == b"??"
    transport.close()
    theirs.close()


async def test_watched_reader_that_was_given_up_is_written_to_no_more():
    transport, theirs = await connected()
    reader = WatchedReader(transport)
    while not reader.given_up:
        write_to_each([reader], bytes(10_000))
    waits = transport.get_write_buffer_size()
    for _ in range(3):
        write_to_each([reader], bytes(10_000))
    assert (reader.given_up, transport.get_write_buffer_size()) == (1, waits)
    transport.abort()
    theirs.close()


@pytest.mark.parametrize("kind", [Reader, WatchedReader])
@pytest.mark.parametrize("gone", ["closed", "reset"])
async def test_reader_that_has_vanished_ends_its_connection_and_raises_nothing(gone, kind):
    lost = asyncio.get_running_loop().create_future()

    class Losing(asyncio.Protocol):
        def connection_lost(self, error):
            lost.set_result(error)

    server = socket.create_server(("127.0.0.1", 0))
    theirs = socket.create_connection(server.getsockname())
    ours, _ = server.accept()
    transport, _ = await asyncio.get_running_loop().create_connection(Losing, sock=ours)
    if gone == "reset":
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    theirs.close()
    reader = kind(transport)
    for _ in range(10):
        write_to_each([reader], b"hello")
    async with asyncio.timeout(5):
        await lost
    server.close()
