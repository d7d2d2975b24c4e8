"""Sockets against HTTP: every number that is known, because time is simulated or because the RFC says it."""

import pytest
from simulated import simulated

from labs import measure, models, virtual
from labs.launch import launch

EXACT = 0.01  # milliseconds: the simulated clock ticks in microseconds


async def three(launch, run):
    async with launch("http_polling") as http, launch("websocket") as library, launch("raw_websocket") as raw:
        return await run(http, library, raw)


@simulated
async def test_simulated_times_are_the_model_for_every_way_to_open_and_to_ask():
    for measured, model in (
        (measure.connect_times, models.connect_times),
        (measure.echo_times, models.echo_times),
    ):
        found = await three(virtual.launch, lambda *servers, run=measured: run(*servers, rtt_ms=40, n=5))
        assert found.keys() == model(40).keys()
        for name, latency in found.items():
            assert latency.n == 5
            assert latency.ms == pytest.approx([model(40)[name]] * 5, abs=EXACT)


@simulated
async def test_simulated_upstream_takes_a_round_trip_each_or_one_for_all_that_do_not_wait():
    found = {
        (record.transport, record.way): record
        for record in await three(virtual.launch, lambda *servers: measure.upstream(*servers, messages=50, rtt_ms=40))
    }
    assert len(found) == 6 and all(record.latency.n == 50 and record.simulated for record in found.values())
    seconds = {key: round(record.seconds, 3) for key, record in found.items()}
    assert seconds["http", "POST, one by one"] == 50 * 0.04
    assert seconds["http", "POST, six at once"] == 5 * 2 * 0.04  # ten messages in each of five rounds: six, then four
    for name in ("websocket", "raw_websocket"):
        assert seconds[name, "frames, one by one"] == 50 * 0.04
        assert seconds[name, "frames, without waiting"] == 5 * 0.04


@simulated
async def test_upstream_counts_what_crossed_the_wire_both_ways():
    text = "wind 12 m/s, north-west"
    for record in await three(virtual.launch, lambda *servers: measure.upstream(*servers, messages=10, rtt_ms=40)):
        if record.transport == "http":
            up = sum(models.publish_request("127.0.0.1:60001", text).values())
            least = sum(models.publish_response("").values()) + len(text)
        else:
            up = sum(models.frame(len(text), masked=True).values())
            least = sum(models.frame(len(text)).values())
        assert record.up == pytest.approx(10 * up, abs=10)  # a port has four or five digits
        assert record.down > 10 * least


@simulated
async def test_measuring_leaves_no_link_behind():
    async def run(*servers):
        await measure.upstream(*servers, messages=5)
        await measure.connect_times(*servers, n=1)
        await measure.echo_times(*servers, n=1)
        return [len(server.links) for server in servers]

    assert await three(virtual.launch, run) == [1, 1, 1]


@pytest.mark.parametrize("name", ["websocket", "raw_websocket"])
def test_simulated_socket_pushes_in_one_trip(name):
    async def go():
        async with virtual.launch(name) as server:
            return (await measure.deliver(server, [measure.socket_reader(40, name)], events=50, per_second=20))[0]

    run = virtual.run(go())
    assert (run.reader, run.lost) == (name, 0)
    assert run.latency.ms == pytest.approx([models.pushed(40).mean] * 50, abs=EXACT)


async def test_real_sockets_open_in_two_trips_and_echo_in_one():
    async def run(*servers):
        return await measure.connect_times(*servers, rtt_ms=30, n=5) | await measure.echo_times(
            *servers, rtt_ms=30, n=5
        )

    found = await three(launch, run)
    for name, ideal in (models.connect_times(30) | models.echo_times(30)).items():
        assert 0.99 < found[name].percentile(50) / ideal < 2, name
