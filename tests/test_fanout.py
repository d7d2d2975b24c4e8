"""Measuring fan-out: members who only count, one message to all and what it costs, one who stalls; models and charts of it."""

import asyncio

import pytest

from labs import charts, fanout, models
from labs.charts.fanout import WAYS
from labs.fanout.cost import Point
from labs.fanout.crowd import Crowd, Member, apart, frame_at
from labs.fanout.lobby import Lobby
from labs.fanout.stall import Moment, Stalled
from labs.frames import Opcode, encode, encode_close
from labs.measure import Latencies
from labs.rooms.outbox import BACKLOG
from labs.servers import broadcast

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


class Wire:
    """A transport that notes what is written to it."""

    def __init__(self):
        self.written, self.aborted = b"", False

    def write(self, data):
        self.written += data

    def abort(self):
        self.aborted = True


async def member_after(pieces) -> Member:
    """A member to whom these pieces have come."""
    crowd = Crowd("http://127.0.0.1:1")
    member = Member(crowd)
    crowd.members.append(member)
    member.connection_made(Wire())
    member.transport.written = b""
    for piece in pieces:
        member.data_received(piece)
    return member


@pytest.mark.parametrize(
    "data, frame",
    [
        (b"", None),
        (b"\x81", None),
        (b"\x81\x00", (1, 2, 2)),
        (b"\x81\x02hi", (1, 2, 4)),
        (b"\x81\x02h", None),
        (b"\x81\x7e\x00", None),
        (b"\x81\x7e\x00\x7e" + b"x" * 125, None),
        (b"\x81\x7e\x00\x7e" + b"x" * 126, (1, 4, 130)),
        (b"\x89\x01p\x81\x00", (9, 2, 3)),
    ],
)
def test_frame_is_found_when_it_is_whole(data, frame):
    assert frame_at(data, 0) == frame
    moved = frame and (frame[0], frame[1] + 3, frame[2] + 3)
    assert frame_at(b"abc" + data, 3) == moved


async def test_member_counts_the_same_however_the_stream_is_cut():
    texts = [encode(Opcode.TEXT, b"x" * size) for size in (0, 1, 125, 126, 200)]
    stream = HEAD + b"".join(texts[:3]) + encode(Opcode.PING, b"?") + b"".join(texts[3:])
    stream += encode(Opcode.CLOSE, encode_close(1013, "slow"))
    for cut in range(len(stream)):
        member = await member_after((stream[:cut], stream[cut:]))
        assert (member.count, member.closed, member.rest) == (5, 1013, b"")
        assert sorted(member.crowd.times) == [0, 1, 2, 3, 4]
        pong, answer = b"\x8a\x81", b"\x88\x86"  # masked, as all that clients send
        assert member.transport.written[:2] == pong and member.transport.written[7:9] == answer


async def test_message_too_long_for_counting_by_short_heads_is_refused():
    Crowd("http://127.0.0.1:1").begin(b"x" * 65_535)
    with pytest.raises(ValueError, match="65,535"):
        Crowd("http://127.0.0.1:1").begin(b"x" * 65_536)


async def test_member_who_is_refused_says_so():
    member = await member_after([b"HTTP/1.1 403 Forbidden\r\n\r\n"])
    assert member.transport.aborted
    member.connection_lost(None)
    with pytest.raises(ConnectionError):
        await member.opened


async def test_member_whose_connection_ends_without_a_close_frame_has_1006():
    member = await member_after([HEAD])
    member.connection_lost(None)
    assert member.closed == 1006


async def test_apart_gives_results_and_errors_and_ends_what_is_cancelled():
    ended = []

    async def work(result):
        if isinstance(result, Exception):
            raise result
        return result

    async def forever():
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(True)

    assert await apart(work(7)) == 7
    with pytest.raises(OSError, match="broken"):
        await apart(work(OSError("broken")))
    task = asyncio.create_task(apart(forever()))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


def test_ways_are_the_same_everywhere():
    assert tuple(broadcast.WAYS) == fanout.WAYS == tuple(WAYS)


async def test_points_hold_what_was_asked_for_and_agree_with_themselves():
    points = await fanout.latency_and_cpu("joined", members=(2, 12), in_flight=(1, 4), seconds=0.05)
    assert [(point.members, point.in_flight) for point in points] == [(2, 1), (2, 4), (12, 1), (12, 4)]
    for point in points:
        assert point.first.n == point.median.n == point.last.n >= 20
        assert all(a <= b <= c for a, b, c in zip(point.first.ms, point.median.ms, point.last.ms, strict=True))
        assert min(point.first.ms) > 0 < point.cpu_us < 1000


SMALL = {"healthy": 4, "per_second": 2000, "seconds": 0.5}  # 1 MB for each member, in 1,000 messages


async def test_stalled_member_of_a_bounded_way_is_let_go_and_nobody_loses_anything():
    run = await fanout.stalled("joined", **SMALL)
    assert (run.expected, run.missing, run.lost, run.closed) == (4000, 0, 0, 1013)
    assert BACKLOG < run.held < BACKLOG + 8 * 1028 * 16  # a busy machine joins many to the last write
    assert 0 < run.unread < 1000 and run.latency.n == 4000


async def test_stalled_member_of_a_waiting_way_stops_the_others_until_it_reads_again():
    run = await fanout.stalled("in_turn", **SMALL)
    assert run.missing > 1000 and (run.lost, run.closed, run.unread) == (0, None, 0)
    assert run.latency.n == 4000 and run.latency.percentile(99) > 200  # milliseconds; the whole took 500


async def test_without_the_fault_nothing_is_held_and_nothing_is_missing():
    run = await fanout.stalled("broadcast", stall=False, **SMALL)
    assert (run.missing, run.lost, run.closed, run.unread) == (0, 0, None, 0)
    assert run.server[-1].held == 0


async def test_task_for_each_send_holds_more_than_the_bytes():
    run = await fanout.stalled("tasks", **SMALL)
    assert run.held > 500_000 and max(moment.tasks for moment in run.server) > 500
    assert run.grown > 1.5 * run.held


def test_models_say_what_a_pencil_says():
    assert models.cpu_per_delivery(100, 4, members=50) == 6
    assert models.cpu_per_delivery(100, 4, members=50, joined=16) == 2.25
    assert models.last_member_ms(5, 500) == 2.5
    assert models.last_member_ms(5, 500, in_flight=16) == 40
    assert models.held_bytes(500, 1024, 2) == 1_028_000
    assert models.held_bytes(500, 1024, 2, kernel=28_000) == 1_000_000
    assert models.held_bytes(500, 1024, 2, limit=262_144) == 262_144
    assert models.held_bytes(500, 1024, 0.01, kernel=28_000) == 0
    assert models.held_bytes(1, 125, 1) == 127


def points_by_hand(members) -> list[Point]:
    """Each way twice as cheap as the one before."""
    return [
        Point(
            way,
            size,
            flight,
            *[Latencies((size * cost / 1000,) * 3)] * 3,
            cpu_us=cost / flight,
            counting_us=1,
            size=120,
        )
        for way, cost in zip(fanout.WAYS, (32, 16, 8, 4, 2), strict=True)
        for size in members
        for flight in (1, 16)
    ]


def stalls_by_hand() -> list[Stalled]:
    told = [Moment(0.0, 0, 40, 30_000_000), Moment(1.0, 500_000, 40, 30_500_000)]
    return [
        Stalled(way, stall, Latencies((1.0 + 99 * stall,)), 1, 0, 0, told, None, 0, 20, 500, 1024, 1.0)
        for way in fanout.WAYS
        for stall in (True, False)
    ]


def words(chart) -> str:
    """All text of a chart."""
    found = [text.get_text() for axes in chart.figure.axes for text in axes.findobj(lambda it: hasattr(it, "get_text"))]
    return " ".join([*found, chart.figure.get_suptitle()])


def test_charts_show_every_way_and_what_was_found():
    told = {"title": "the finding", "says": "a sentence"}
    for chart in (
        charts.fanout_latency(points_by_hand((10, 500)), guess=(500, 3.0), models=models, **told),
        charts.fanout_cpu(points_by_hand((500,)), **told),
        charts.fanout_stall(stalls_by_hand(), models=models, kernel=14_000, **told),
    ):
        assert all(label in words(chart) for label, _ in WAYS.values()) and "the finding" in words(chart)
        assert chart.png().startswith(b"\x89PNG") and chart.says == "a sentence"


def test_latency_chart_has_the_measured_medians_and_the_model():
    chart = charts.fanout_latency(points_by_hand((10, 500)), title="t", says="s", models=models)
    lines = [tuple(map(float, line.get_ydata())) for line in chart.figure.axes[0].get_lines()]
    for cost in (32, 16, 8, 4, 2):
        assert lines.count((10 * cost / 1000, 500 * cost / 1000)) == 2  # by hand, measured and model agree


async def test_both_engines_deliver_everything_and_our_own_frames_need_far_less_memory():
    points, memory = await fanout.engines(members=300, in_flight=(1,), seconds=0.05)
    assert [(point.way, point.members, point.in_flight) for point in points] == [
        ("websockets", 300, 1),
        ("raw", 300, 1),
    ]
    assert all(point.cpu_us > 0 and point.last.n >= 20 for point in points)
    assert 0 < memory["raw"] < memory["websockets"] / 2


async def test_member_of_a_lobby_counts_messages_and_no_presence():
    crowd = Lobby("http://127.0.0.1:1")
    member = Member(crowd)
    member.connection_made(Wire())
    texts = [b'{"type":"message","id":1}', b'{"type":"presence","count":60}']
    member.data_received(HEAD + b"".join(encode(Opcode.TEXT, text) for text in texts))
    assert member.count == 1


async def test_member_of_a_lobby_is_let_in_when_it_has_joined_and_not_by_the_upgrade():
    member = Member(Lobby("http://127.0.0.1:1"))
    member.connection_made(Wire())
    member.data_received(HEAD)
    assert not member.opened.done()
    member.data_received(encode(Opcode.TEXT, b'{"type":"joined","room":"lobby","members":["guest"]}'))
    assert member.opened.done() and member.count == 0
