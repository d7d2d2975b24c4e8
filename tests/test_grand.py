"""One workload over every transport, what each costs, and the decision that follows."""

import asyncio
import dataclasses
import math

import pytest

from labs import charts, models, race, virtual
from labs.choosing import costs, decision, grand
from labs.choosing.bare import gather_readers, leave
from labs.choosing.needs import Cost, Needs, delay_ms, interval_ms, loss_ms, resend_ms
from labs.models import loss
from tests.simulated import simulated

PUSHED = ("sse", "raw_websocket", "websocket", "socketio_feed")
NAMES = [name for name in grand.installed() if name != "webrtc_feed"]  # which has no virtual time
RECORDED = costs.recorded()
LOOSE = {"http_polling": 0.04, "long_polling": 0.12}  # one poll more or less; chance decides what comes in a gap
ASKED = ("127.0.0.1:40123", "00000001-1")  # host, cursor
NEEDS = Needs(clients=1000, events_per_s=1, max_delay_ms=2000)


async def both_distances(rate=50, events=100):
    servers = await grand.fleet(NAMES, virtual.launch)
    try:
        return await grand.at(servers, rate, events=events)
    finally:
        await grand.stop(servers)


CELLS = {(cell.transport, cell.run.rtt_ms): cell for cell in virtual.run(both_distances())}


@pytest.mark.parametrize("name", NAMES)
def test_every_event_arrives_as_late_as_the_model_says(name):
    cell = CELLS[name, 40.0]
    assert cell.run.lost == 0
    assert cell.run.latency.mean == pytest.approx(cell.model.mean, rel=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_every_event_takes_as_many_bytes_as_the_model_says(name):
    cell = CELLS[name, 40.0]
    assert cell.bytes_each == pytest.approx(cell.model_bytes, rel=LOOSE.get(name, 0.02))


def test_requests_fall_with_what_an_answer_takes_along():
    far, near = CELLS["long_polling", 40.0].requests_each, CELLS["long_polling", 0.0].requests_each
    assert 0 < CELLS["http_polling", 40.0].requests_each < far < near <= 1
    assert far == pytest.approx(models.requests_per_event("long_polling", 50, 40), rel=0.15)
    assert all(CELLS[name, 0.0].requests_each == 0 for name in NAMES if name in PUSHED)


def test_polling_in_half_a_second_meets_every_moment_of_its_interval():
    cells = virtual.run(burst())
    assert cells[0].run.latency.mean == pytest.approx(cells[0].model.mean, rel=0.05)


async def burst():
    servers = await grand.fleet(["http_polling"], virtual.launch)
    try:
        return await grand.at(servers, 1000, events=100, rtts=(40.0,))
    finally:
        await grand.stop(servers)


@simulated
async def test_server_that_does_not_start_leaves_none_running():
    started = []

    def launch(name):
        started.append(virtual.launch(name if name == "sse" else "no_such_server"))
        return started[-1]

    with pytest.raises(ModuleNotFoundError):
        await grand.fleet(["sse", "other"], launch)
    with pytest.raises(OSError):
        await asyncio.get_running_loop().create_connection(
            asyncio.Protocol, "127.0.0.1", int(started[0].server.origin[-5:])
        )


@pytest.mark.parametrize("name", NAMES[1:])
@simulated
async def test_bare_readers_are_sent_every_event(name):
    crowd = []
    async with virtual.launch(name) as server:
        await gather_readers(server, crowd, 3)
        for _ in range(2):  # the second one reaches a long poll only if it has been asked for
            before = [one.came for one in crowd]
            await server.publish("news")
            await asyncio.sleep(1)
            grown = [one.came - start for one, start in zip(crowd, before, strict=True)]
            assert min(grown) > len('{"data":"news"}') and len(set(grown)) == 1
        leave(crowd)


def total(*messages):
    return sum(size for parts in messages for size in parts.values())


@pytest.mark.parametrize(
    "name, each, every_s",
    [
        ("http_polling", total(models.poll_request(*ASKED), models.poll_response([])), 1),
        ("long_polling", total(models.long_poll_request(*ASKED), models.poll_response([])), 25),
        ("sse", models.chunk(len(":\n")), 15),
        ("socketio_feed", total(models.frame(1), models.frame(1, masked=True)), 25),
    ],
)
def test_idle_hour_is_the_heartbeats_in_it(name, each, every_s):
    if name not in NAMES:
        pytest.skip(f"{name} is not installed")
    assert virtual.run(costs.idle_hour(name, virtual.launch)) == each * 3600 / every_s


def test_costs_are_recorded_for_all_that_are_judged():
    assert set(decision.ORDER) < set(RECORDED)
    assert all(dataclasses.astuple(cost)[1:][0] > 0 and cost.idle_kib > 0 for cost in RECORDED.values())


# The decision


@pytest.mark.parametrize(
    "more, out",
    [
        ({"max_delay_ms": 25}, {"http_polling", "long_polling"}),
        ({"buffered": True}, {"sse"}),
        ({"http_only": 0.02}, {"websocket", "webrtc_feed"}),
        ({"plain": True}, {"socketio_feed", "webrtc_feed"}),
        ({"peer_to_peer": True}, set(decision.ORDER) - {"webrtc_feed"}),
        ({"up_per_s": 30, "max_delay_ms": 5000}, {"http_polling", "long_polling", "sse"}),
        ({"idle_bytes_per_hour": 20_000}, {"http_polling", "long_polling", "webrtc_feed"}),
        ({}, set()),
    ],
)
def test_need_excludes_those_that_cannot_meet_it(more, out):
    found = decision.options(dataclasses.replace(NEEDS, **more), RECORDED)
    assert {one.transport for one in found if not one.fits} == out


def test_nothing_is_chosen_where_nothing_fits():
    needs = dataclasses.replace(NEEDS, max_delay_ms=10)
    assert decision.choose(needs, RECORDED) is None
    assert "chosen" not in decision.text(needs, RECORDED)


@pytest.mark.parametrize("dearer, chosen", [(1.0, "sse"), (1.2, "sse"), (1.3, "websocket")])
def test_simplest_of_those_that_cost_hardly_more_is_chosen(dearer, chosen):
    """CPU alone has a price here, so prices are in the ratio of the CPU times."""
    two = {name: Cost(name, us, 0, 0, 0, 0, 0) for name, us in (("sse", 100 * dearer), ("websocket", 100))}
    needs = dataclasses.replace(NEEDS, clients=10**6)
    assert decision.choose(needs, two, decision.Prices(20, 0, 0)).transport == chosen


def test_difference_of_small_change_decides_nothing():
    two = {name: Cost(name, us, 0, 0, 0, 0, 0) for name, us in (("sse", 1000), ("websocket", 100))}
    assert decision.choose(NEEDS, two, decision.Prices(4.0, 0, 0)).transport == "sse"  # 4.0 against 0.4 a month


def test_polling_asks_as_rarely_as_the_delay_allows():
    assert interval_ms(NEEDS) == pytest.approx((2000 - 20) / 0.99)
    assert delay_ms("http_polling", NEEDS) == pytest.approx(2000)
    rare = dataclasses.replace(NEEDS, max_delay_ms=20_000)
    assert [decision.option("http_polling", needs, RECORDED, decision.Prices()).requests_per_s for needs in (NEEDS, rare)] == [
        pytest.approx(1000 * 0.99 / 1.98), pytest.approx(1000 * 0.99 / 19.98),
    ]  # fmt: skip


@pytest.mark.parametrize("share", [0.005, 0.02])
@pytest.mark.parametrize("rate", [20, 100])
def test_loss_delays_the_slowest_event_in_a_hundred_as_in_a_simulation(share, rate):
    needs = dataclasses.replace(NEEDS, events_per_s=rate, loss=share)
    delays = sorted(loss.simulate(share, 40, rate, loss.RACK, 20_000))
    assert delay_ms("websocket", needs) == pytest.approx(delays[round(0.99 * len(delays))], abs=1000 / rate + 5)


def test_channel_that_may_lose_waits_for_nothing():
    needs = dataclasses.replace(NEEDS, events_per_s=50, loss=0.05)
    assert loss_ms("webrtc_feed", needs) == resend_ms("webrtc_feed", needs) > resend_ms("websocket", needs)
    assert loss_ms("webrtc_feed", dataclasses.replace(needs, may_lose=True)) == 0


def test_fallback_of_socketio_costs_what_long_polling_does_for_those_who_need_it():
    needs = dataclasses.replace(NEEDS, http_only=0.5)
    found = {one.transport: one for one in decision.options(needs, RECORDED)}
    all_ = {one.transport: one for one in decision.options(NEEDS, RECORDED)}
    half = (all_["socketio_feed"].bytes_per_hour + all_["long_polling"].bytes_per_hour) / 2
    assert found["socketio_feed"].bytes_per_hour == pytest.approx(half)
    assert found["socketio_feed"].delay_ms == all_["long_polling"].delay_ms


def test_table_has_a_line_for_each_and_marks_one():
    lines = decision.text(NEEDS, RECORDED).splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == [charts.NAMES[name] for name in decision.ORDER]
    assert sum(line.endswith("chosen") for line in lines) == 1


# What is drawn and printed


def test_grand_figure_says_in_one_line_what_it_shows():
    drawn = charts.grand(CELLS.values(), RECORDED, title="A finding")
    assert drawn.png().startswith(b"\x89PNG")
    assert all(charts.NAMES[name] in drawn.says for name in NAMES) and "\n" not in drawn.says


def test_race_says_what_is_missing_and_how_it_comes(monkeypatch, capsys):
    monkeypatch.setattr(grand, "have", lambda package: False)
    race.table([cell for cell in CELLS.values() if cell.transport not in grand.PACKAGES], RECORDED)
    printed = capsys.readouterr().out
    assert "Socket.IO and WebRTC" in printed and "requirements-choosing.txt" in printed
    assert grand.installed() == [name for name in grand.TRANSPORTS if name not in grand.PACKAGES]


def test_table_of_the_race_counts_the_cpu_of_requests():
    assert RECORDED["long_polling"].cpu_us(0.5) == pytest.approx(
        RECORDED["long_polling"].delivery_us + 0.5 * RECORDED["long_polling"].request_us
    )
    assert math.isfinite(RECORDED["sse"].cpu_us(0))
