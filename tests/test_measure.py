"""The instrument: schedules, statistics, and runs whose every number is known because time is simulated."""

import asyncio
import statistics

import pytest

from labs import clients, measure, models, virtual
from labs.launch import launch


@pytest.mark.parametrize(("p", "right"), [(50, 30), (20, 10), (21, 20), (100, 50), (99, 50), (1, 10), (7, 10)])
def test_percentile_is_the_nearest_rank(p, right):
    assert measure.Latencies((50, 10, 40, 20, 30)).percentile(p) == right


def test_percentile_of_a_whole_rank_is_not_rounded_up_by_a_float():
    assert measure.Latencies(tuple(range(1, 101))).percentile(7) == 7  # 7 / 100 * 100 is 7.000000000000001


def test_schedule_has_one_message_in_each_slot():
    due = measure.schedule(200, 25, seed=3)
    assert all(number / 25 <= at < (number + 1) / 25 for number, at in enumerate(due))
    assert due != measure.schedule(200, 25, seed=4) and due == measure.schedule(200, 25, seed=3)


def test_poisson_pauses_have_the_mean_and_the_spread_of_an_exponential():
    due = measure.poisson(400, 20, seed=2)
    pauses = [later - earlier for earlier, later in zip([0.0, *due], due, strict=False)]
    assert statistics.fmean(pauses) == pytest.approx(1 / 20, rel=0.02)
    assert statistics.pstdev(pauses) == pytest.approx(1 / 20, rel=0.05)
    assert min(pauses) > 0


async def sweep(launch):
    async with launch("http_polling") as server:
        return await measure.polling_sweep(server, every_ms=(100, 250, 1000), rtt_ms=(0, 40, 250), per_second=20)


def test_simulated_polling_is_the_model_at_every_interval_and_distance():
    for run in virtual.run(sweep(virtual.launch), wall_limit_s=60):
        model = models.polling(run.settings["every_ms"], run.rtt_ms)
        assert run.simulated and run.lost == 0
        assert model.low <= min(run.latency.ms) and run.latency.max <= model.high + 0.01
        assert run.latency.mean == pytest.approx(model.mean, rel=0.03)


def test_records_count_requests_empty_answers_and_every_byte():
    async def go():
        async with virtual.launch("http_polling") as server:
            run = await measure.polling(server, every_ms=100, events=10, per_second=5)
            return run, server.links

    run, links = virtual.run(go())
    assert len(links) == 1  # the reader's own link is gone
    assert run.requests == pytest.approx(run.seconds * 10, abs=1)
    assert run.empty == run.requests - 10
    assert (
        run.bytes["request line"] == run.requests * len("GET /events?after=00000001-X HTTP/1.1\r\n")
        or run.bytes["payload"]
    )


def test_two_simulated_runs_are_identical():
    first, second = (virtual.run(sweep(virtual.launch), wall_limit_s=60) for _ in range(2))
    assert [run.latency.ms for run in first] == [run.latency.ms for run in second]
    assert [run.bytes for run in first] == [run.bytes for run in second]


async def stalled(launch, loop):
    async with launch("http_polling") as server, clients.session() as http:

        async def ask():
            async with http.get(f"{server.url}/healthz") as response:
                await response.read()

        async with measure.pause(server.link, after_s=1, for_s=1):
            return await loop(ask, per_second=50, seconds=4)


def test_open_loop_asks_on_time_and_counts_from_the_due_time():
    samples = virtual.run(stalled(virtual.launch, measure.open_loop))
    assert [sample.due for sample in samples] == [20.0 * number for number in range(200)]
    assert all(sample.sent == sample.due for sample in samples)
    slow = [sample for sample in samples if sample.received - sample.due > 1]
    assert len(slow) == 50 and all(sample.received == pytest.approx(2000, abs=1) for sample in slow)


def test_closed_loop_asks_less_while_the_server_pauses():
    samples = virtual.run(stalled(virtual.launch, measure.closed_loop))
    slow = [sample for sample in samples if sample.received - sample.sent > 1]
    assert len(slow) == 1 and len(samples) == pytest.approx(150, abs=2)


async def test_real_and_simulated_runs_agree_on_everything_but_the_machine():
    async def go(launch):
        async with launch("http_polling") as server:
            return await measure.polling(server, every_ms=200, rtt_ms=40, events=40, per_second=20)

    real, simulated = await go(launch), virtual.run(go(virtual.launch))
    assert (real.lost, simulated.lost) == (0, 0)
    assert 0.5 < real.latency.mean / simulated.latency.mean < 2
    assert 0.8 < real.bytes["payload"] / simulated.bytes["payload"] < 1.25


async def test_the_instrument_adds_less_than_a_poll_costs():
    floor = await measure.floor(messages=200)
    assert list(floor) == ["socket pair", "TCP", "TCP through the link"]
    assert floor["socket pair"].percentile(50) < floor["TCP through the link"].percentile(50)


async def test_cpu_of_a_request_is_the_servers_own():
    async with launch("http_polling") as server:
        cost = await measure.cpu_per_request(server, requests=100)
        longer = await measure.cpu_per_request(server, requests=100)
    assert 0 < cost < 5 and 0.2 < longer / cost < 5


async def test_interrupting_a_long_measurement_leaves_nothing():
    async with launch("http_polling") as server:
        task = asyncio.create_task(measure.polling(server, every_ms=100, events=1000, per_second=10))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.1)
        left = [t for t in asyncio.all_tasks() if t is not asyncio.current_task() and "_follow" in repr(t.get_coro())]
    assert left == []
