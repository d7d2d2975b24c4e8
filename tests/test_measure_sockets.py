"""Sockets against HTTP: every number that is known, because time is simulated or because the RFC says it."""

import json

import pytest
from simulated import simulated

from labs import measure, models, virtual
from labs.launch import launch
from labs.measure import deflating, holding

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
        for record in await three(virtual.launch, lambda *servers: measure.upstream(*servers, messages=60, rtt_ms=40))
    }
    assert len(found) == 6 and all(record.latency.n == 60 and record.simulated for record in found.values())
    seconds = {key: round(record.seconds, 3) for key, record in found.items()}
    assert seconds["http", "POST, one by one"] == 60 * 0.04
    assert (
        seconds["http", "POST, six at once"] == 5 * 2 * 0.04
    )  # twelve messages in each of five rounds: six, and six again
    for name in ("websocket", "raw_websocket"):
        assert seconds[name, "frames, one by one"] == 60 * 0.04
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
    assert (run.requests, run.empty, run.late_share) == (0, 0, 0)  # the one request was before the first message
    assert run.latency.ms == pytest.approx([models.pushed(40).mean] * 50, abs=EXACT)


async def test_real_sockets_open_in_two_trips_and_echo_in_one():
    async def run(*servers):
        return await measure.connect_times(*servers, rtt_ms=30, n=5) | await measure.echo_times(
            *servers, rtt_ms=30, n=5
        )

    found = await three(launch, run)
    for name, ideal in (models.connect_times(30) | models.echo_times(30)).items():
        assert 0.99 < found[name].percentile(50) / ideal < 2, name


@pytest.mark.parametrize("name", ["raw_websocket", "sse"])
async def test_idle_memory_is_of_the_connections_that_are_open(monkeypatch, name):
    monkeypatch.setattr(holding, "WARM_UP", 20)
    monkeypatch.setattr(holding, "room", lambda: 320)
    async with launch(name) as server:
        few, many = await measure.idle_memory(server, (150, 5000))
        assert await measure.tasks_held(server, at_most=20) <= 20  # all have left
    assert (few.connections, few.wanted) == (150, 150)
    assert (many.connections, many.wanted) == (300, 5000)  # as many as there was room for
    assert few.transport == name and 0.4 < few.bytes_each / many.bytes_each < 2.5
    assert 2_000 < many.bytes_each < 200_000


async def test_readers_that_a_server_does_not_want_are_an_error():
    async with launch("websocket") as server, holding.Crowd(server, "no-cursor") as crowd:
        with pytest.raises(ConnectionError, match="400"):
            await crowd.grow(3)


def test_room_is_made_up_to_the_hard_limit():
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1000), hard))
        assert holding.room() > 1000 or hard <= 1200
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard) or hard == resource.RLIM_INFINITY
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_compression_saves_bytes_and_costs_memory(monkeypatch):
    for module in (holding, deflating):
        monkeypatch.setattr(module, "WARM_UP", 20)
    monkeypatch.setattr(holding, "SETTLE_S", 0.1)
    async with launch("websocket") as plain, launch("websocket", "--compress") as compressing:
        servers = {"without": plain, "with": compressing}
        without, packed = await measure.compression(servers, messages=15, connections=100)
    assert (without.way, packed.way) == ("without", "with")
    framing = models.frame(round(without.event_each))["framing"]
    assert without.wire_each == pytest.approx(without.event_each + framing)
    assert packed.wire_each < 0.7 * without.wire_each and packed.event_each == pytest.approx(
        without.event_each, rel=0.05
    )
    assert 2_000 < without.memory_each < packed.memory_each < 400_000
    assert packed.memory_each > 1.3 * without.memory_each


def test_readings_are_json_and_the_same_every_time():
    assert measure.readings(50) == measure.readings(50) and len(set(measure.readings(50))) == 50
    assert all(json.loads(text)["station"] for text in measure.readings(3))
