"""More servers, measured: who counts what, what a point says, and its model and chart; and a cluster that loses a primary."""

import asyncio
import os

import pytest

from labs import charts, models, scaling
from labs.bus.cluster_loss import WHILE_CALM, WHILE_DOWN, Watched, cluster_loss, loss
from labs.fanout import Member
from labs.frames import Opcode, encode
from labs.launch import Launching
from labs.scaling import Listeners, Point

posix = pytest.mark.skipif(os.name != "posix", reason="a real Redis is needed")


def point(servers: int, members: int, *server_us: float, redis_us: float = 10.0) -> Point:
    return Point(servers, members, 100.0, server_us, redis_us, 50, 4)


class Wire:
    """A transport that notes what is written to it."""

    def __init__(self):
        self.written = []

    def write(self, data):
        self.written.append(data)


ORIGIN = "http://127.0.0.1:1"


async def test_listener_counts_messages_and_nothing_else_however_the_stream_is_cut():
    said = [
        b'{"type":"joined","room":"scaling","count":70}',
        b'{"type":"presence","room":"scaling","count":71}',
        b'{"type":"message","room":"scaling","text":"' + b"x" * 100 + b'"}',
        b'{"type":"message","room":"scaling","text":"{\\"type\\":\\"message\\""}',
    ]
    stream = b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + b"".join(encode(Opcode.TEXT, text) for text in said)
    for cut in range(len(stream)):
        listener = Member(Listeners(ORIGIN))
        listener.connection_made(Wire())
        listener.data_received(stream[:cut])
        listener.data_received(stream[cut:])
        assert (listener.count, listener.opened.done(), listener.rest) == (2, True, b"")


async def test_members_take_turns_in_speaking():
    crowd = Listeners(ORIGIN)
    for _ in range(3):
        listener = Member(crowd)
        listener.transport, listener.count = Wire(), 7
        crowd.members.append(listener)
    talking = asyncio.create_task(crowd.talk(7, per_second=10_000))
    while sum(len(member.transport.written) for member in crowd.members) < 7:
        await asyncio.sleep(0)
    assert [len(member.transport.written) for member in crowd.members] == [3, 2, 2]
    for member in crowd.members[:2]:
        member.count = 7
    await asyncio.sleep(0.02)
    assert not talking.done()  # one of them has not heard it yet
    crowd.members[2].count = 7
    await talking


def test_point_adds_up_what_its_servers_used():
    spread = point(4, 20, 10.0, 20.0, 30.0, 40.0)
    assert (spread.servers_us, spread.delivery_us) == (100.0, 5.0)


def test_model_says_what_a_pencil_says():
    assert models.with_servers_us(200, 50, 1) == 200
    assert models.with_servers_us(200, 50, 4) == 350


@posix
async def test_run_has_a_point_for_each_room_and_number_of_servers_and_stops_them_all(monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")  # never somebody else's, whose CPU time is not all ours
    fleet, entered = [], Launching.__aenter__

    async def noted(self):
        fleet.append(self)
        return await entered(self)

    monkeypatch.setattr(Launching, "__aenter__", noted)
    points = await scaling.run((2, 1), ((2, 400), (120, 100)), seconds=0.1, rounds=2)
    assert [(p.servers, p.members, len(p.server_us)) for p in points] == [
        (1, 2, 1),
        (1, 120, 1),
        (2, 2, 2),
        (2, 120, 2),
    ]
    assert len(fleet) == 2 and all(one.server.host.popen.returncode == 0 for one in fleet)
    assert all(0 < p.redis_us < 5_000 and min(p.server_us) > 0 for p in points)


def test_chart_is_the_same_for_the_same_points_and_shows_every_server():
    points = [point(n, size, *[(100 + size) / n + 50] * n, redis_us=10 + 5 * n) for n in (1, 2, 4) for size in (8, 500)]
    chart = charts.scaling(points, title="t", says="s", models=models)
    again = charts.scaling(reversed(points), title="t", says="s", models=models)
    assert chart.png() == again.png() and chart.says == "s"
    small, large, of_redis = chart.figure.axes
    assert (len(small.patches), len(large.patches)) == (7, 7)
    assert [text.get_text() for text in of_redis.texts] == ["15", "20", "30"]
    assert max(bar.get_y() + bar.get_height() for bar in small.patches) == pytest.approx(308)


@posix
async def test_killed_primary_takes_along_what_is_said_in_its_rooms_while_it_is_down_and_both_sides_are_told():
    losses = await cluster_loss(killed=1)
    assert len({one.room for one in losses}) == 6 and [one.owner for one in losses] == [0, 0, 1, 1, 2, 2]
    for one in losses:
        assert one.killed == (one.owner == 1) and one.published == 2 * WHILE_CALM + WHILE_DOWN
        assert (one.lost, one.unheard, one.gaps) == ((WHILE_DOWN, WHILE_DOWN, 1) if one.killed else (0, 0, 0))
        assert one.undetected == 0
    assert min(one.silent_s for one in losses if one.killed) > 0.4  # it was down for half a second


async def test_loss_says_what_was_not_told():
    def answer(found):
        future = asyncio.get_running_loop().create_future()
        future.set_exception(found) if isinstance(found, Exception) else future.set_result(found)
        return future

    answers = [answer(found) for found in (1, 0, OSError("gone"), 1)]
    silent = loss("blue", 0, Watched(0, [0, 3], [1_000_000_000, 3_500_000_000], answers))
    told = loss("blue", 2, Watched(0, [0, None, 3], [1, 2], answers))
    assert (silent.lost, silent.undetected, silent.gaps, silent.unheard, silent.silent_s) == (2, 2, 0, 2, 2.5)
    assert (told.lost, told.undetected, told.gaps, told.killed, silent.killed) == (2, 0, 1, False, True)
