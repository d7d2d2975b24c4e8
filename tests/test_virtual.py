"""Virtual time: an hour is a moment, every run is the same, and what would never end is told so at once."""

import asyncio
import gc
import os
import random
import signal
import threading
import time
import warnings
from contextlib import suppress

import pytest
from websockets.exceptions import WebSocketException

from labs import clients, virtual
from labs.clock import now_ns
from labs.feed import Gone
from labs.virtual import TURN_LIMIT, Spins, WaitsForever

HOUR_S = 3600


FOLLOW = {
    "http_polling": lambda url, rng, **after: clients.polling(url, every=10.0, **after),
    "long_polling": lambda url, rng, **after: clients.long_polling(url, rng=rng, **after),
    "sse": lambda url, rng, **after: clients.sse(url, rng=rng, **after),
    **dict.fromkeys(("raw_websocket", "websocket"), lambda url, rng, **after: clients.websocket(url, rng=rng, **after)),
}


async def eventful_hour(name: str):
    """An hour of a server, a link and two readers, with a fault of a seeded kind every minute or so; all that happened."""
    loop, rng, seen = asyncio.get_running_loop(), random.Random(5), []

    async with virtual.launch(name, rtt_ms=40, jitter_ms=20, seed=5, keep=50) as server:

        async def read(reader: int):
            after = {}
            while True:
                try:
                    async for event in FOLLOW[name](server.url, rng, **after):
                        seen.append((round(loop.time(), 6), reader, event))
                        after = {"after": event.cursor}
                except Gone as gone:
                    seen.append((round(loop.time(), 6), reader, str(gone)))
                    after = {}

        async def talk():
            while True:
                with suppress(*clients.FAILURES, WebSocketException):  # the server has just been restarted
                    async with server.publisher() as publish:
                        while True:
                            await asyncio.sleep(rng.expovariate(1 / 10))
                            await publish("x")
                await asyncio.sleep(1)

        async def disturb():
            for _ in range(HOUR_S // 60):
                await asyncio.sleep(rng.expovariate(1 / 60))
                fault = rng.choice(["cut", "black hole", "restart", "stall", "buffer"])
                if fault == "cut":
                    server.link.cut()
                elif fault == "black hole":
                    server.link.black_hole()
                    await asyncio.sleep(3)
                    server.link.heal()
                elif fault == "restart":
                    await server.restart()
                elif fault == "stall":
                    server.link.stall()
                    await asyncio.sleep(3)
                    server.link.resume()
                else:
                    server.link.buffer(0 if server.link.buffer_bytes else 10_000)

        readers = [asyncio.create_task(read(n)) for n in range(2)]
        busy = [asyncio.create_task(talk()), asyncio.create_task(disturb())]
        await asyncio.sleep(HOUR_S)
        for task in readers + busy:
            task.cancel()
        await asyncio.gather(*readers, *busy, return_exceptions=True)
        return seen, server.link.log(), server.link.bytes


@pytest.mark.parametrize("name", FOLLOW)
def test_eventful_hour_is_the_same_hour_on_every_run(name):
    first = virtual.run(eventful_hour(name), wall_limit_s=60)
    seen, log, counted = first
    assert len(seen) > 500 and len(log) > 1000 and min(counted.values()) > 10_000
    assert {what for _, _, what, *_ in log} >= {"cut", "black hole", "healed", "stalled", "resumed"}
    assert any("restarted" in str(event) for _, _, event in seen)
    for _ in range(2):
        assert virtual.run(eventful_hour(name), wall_limit_s=60) == first


# What passes through.


def test_result_passes_through():
    async def answer():
        await asyncio.sleep(3)
        return asyncio.get_running_loop().time()

    assert virtual.run(answer()) == 3.0


def test_clock_is_the_simulated_one_inside_and_the_real_one_outside():
    async def answer():
        await asyncio.sleep(1.5)
        return now_ns()

    assert virtual.run(answer()) == 1_500_000_000
    assert abs(now_ns() - time.monotonic_ns()) < 10**9


@pytest.mark.parametrize("error", [ValueError("wrong"), KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError()])
def test_exception_passes_through(error):
    async def fail():
        await asyncio.sleep(1)
        raise error

    with pytest.raises(type(error)) as caught:
        virtual.run(fail())
    assert caught.value.args == error.args


def test_traceback_leads_to_the_line_that_raised():
    async def fail():
        raise ValueError("here")

    with pytest.raises(ValueError, match="here") as caught:
        virtual.run(fail())
    assert caught.traceback[-1].name == "fail"


async def test_run_works_where_an_event_loop_is_running_already():
    async def answer():
        await asyncio.sleep(60)
        return "done"

    assert virtual.run(answer()) == "done"


def test_day_of_short_sleeps_neither_spins_nor_takes_long():
    async def sleeps():
        for _ in range(TURN_LIMIT + 1000):
            await asyncio.sleep(4)
        return asyncio.get_running_loop().time()

    start = time.monotonic()
    assert virtual.run(sleeps(), wall_limit_s=60) == 84_000
    assert time.monotonic() - start < 20


def test_rest_shorter_than_a_tick_is_one_tick():
    async def sleeps():
        await asyncio.sleep(1e-9)
        await asyncio.sleep(1.5e-6)
        return asyncio.get_running_loop().time()

    assert 0 < virtual.run(sleeps()) < 5e-6


# What never ends.


async def waits_for_nothing():
    await asyncio.Event().wait()


async def waits_in_a_queue_with_a_helper():
    helper = asyncio.create_task(asyncio.Queue().get())
    await helper


@pytest.mark.parametrize("waits", [waits_for_nothing, waits_in_a_queue_with_a_helper])
def test_coroutine_that_would_wait_for_ever_is_told_at_once(waits):
    start = time.monotonic()
    with pytest.raises(WaitsForever):
        virtual.run(waits())
    assert time.monotonic() - start < 2


async def yields_for_ever():
    while True:
        await asyncio.sleep(0)


async def yields_for_ever_beside_a_sleeper():
    sleeper = asyncio.create_task(asyncio.sleep(10))
    while not sleeper.done():
        await asyncio.sleep(0)


async def yields_for_ever_and_catches_everything():
    while True:
        with suppress(Exception):
            await asyncio.sleep(0)


async def yields_even_when_canceled():
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)


YIELDS = [
    yields_for_ever,
    yields_for_ever_beside_a_sleeper,
    yields_for_ever_and_catches_everything,
    yields_even_when_canceled,
]


@pytest.mark.parametrize("spins", YIELDS)
def test_loop_that_never_lets_time_pass_spins(spins):
    start = time.monotonic()
    with pytest.raises(Spins):
        virtual.run(spins(), wall_limit_s=60)
    assert time.monotonic() - start < 20  # found by counting turns, not by the wall clock


async def never_yields():
    while True:
        pass


async def never_yields_and_catches_exceptions():
    while True:
        try:
            while True:
                pass
        except Exception:
            pass


async def sleeps_for_ever():
    while True:
        await asyncio.sleep(1)


@pytest.mark.parametrize("spins", [never_yields, never_yields_and_catches_exceptions, sleeps_for_ever])
def test_run_without_end_is_stopped_by_the_wall_clock(spins):
    before = set(threading.enumerate())
    with pytest.raises(Spins):
        virtual.run(spins(), wall_limit_s=0.2)
    assert set(threading.enumerate()) <= before


def test_run_that_ends_by_swallowing_the_stop_is_still_said_to_spin():
    async def swallows():
        try:
            while True:
                pass
        except BaseException:
            return "as if nothing had happened"

    with pytest.raises(Spins):
        virtual.run(swallows(), wall_limit_s=0.2)


def test_interrupt_ends_the_run_too():
    before = set(threading.enumerate())
    interrupt = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)  # by a worker that runs tests beside others
    try:
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            virtual.run(never_yields(), wall_limit_s=20)
        interrupt.join()
    finally:
        signal.signal(signal.SIGINT, ignored)
    assert set(threading.enumerate()) <= before


def test_run_that_cannot_be_stopped_is_left_behind():
    release = threading.Event()

    async def clings():
        while not release.is_set():
            try:
                while not release.is_set():
                    pass
            except BaseException:
                pass

    with pytest.raises(Spins):
        virtual.run(clings(), wall_limit_s=0.1)
    release.set()


# What a run leaves behind: nothing.


async def leaves_things_open():
    async with virtual.launch("http_polling", rtt_ms=10) as server:
        reading = asyncio.create_task(anext(clients.polling(server.url)))
        await asyncio.sleep(3)
        del reading


async def forgets_to_close():
    server = await virtual.launch("http_polling", rtt_ms=10)
    await server.publish("x")
    return [event async for event in first(clients.polling(server.url))]


async def first(events):
    async for event in events:
        yield event
        return


def test_runs_leave_no_thread_and_no_warning():
    before = set(threading.enumerate())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for answer in (leaves_things_open, forgets_to_close):
            virtual.run(answer())
        gc.collect()
    assert set(threading.enumerate()) <= before


def test_each_run_begins_at_zero_with_the_same_ports_and_epochs():
    async def begin():
        async with virtual.launch("http_polling") as server:
            return server.origin, server.url, (await server.publish("x")), asyncio.get_running_loop().time()

    assert virtual.run(begin()) == virtual.run(begin())


def test_restart_in_virtual_time_is_a_new_epoch():
    async def restart():
        async with virtual.launch("http_polling") as server:
            first = await server.publish("x")
            url = server.url
            await server.restart()
            return first.cursor, (await server.publish("y")).cursor, url == server.url

    assert virtual.run(restart()) == ("00000001-1", "00000002-1", True)


# In a thread.


def test_work_in_a_thread_gives_its_result_or_its_error():
    assert virtual.in_thread(lambda: 7, wall_limit_s=5) == 7
    with pytest.raises(ZeroDivisionError):
        virtual.in_thread(lambda: 1 / 0, wall_limit_s=5)


def test_what_a_simulated_server_logs_is_in_its_log(capfd):
    async def script():
        async with virtual.launch("raw_websocket") as server:
            async with clients.connect(server.url, "/echo") as socket:
                socket.transport.write(b"\xff\xff")
                await socket.wait_closed()
            return server.log

    assert [line.partition(":")[0] for line in virtual.run(script())] == ["WARNING raw_websocket"]
    assert capfd.readouterr().err == ""
