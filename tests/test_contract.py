"""What every feed server promises, one body over every transport: in virtual time exactly, and as real processes."""

import asyncio
import random
import signal
import socket
import subprocess
import sys
from contextlib import aclosing

import pytest
from crowd import becomes, crowd, descriptors
from simulated import now_ms, simulated
from transports import FEEDS

from labs import hosting, launch, virtual
from labs.feed import Gone
from labs.hosting import BODY_LIMIT
from labs.ledger import messages, total

every_transport = pytest.mark.parametrize("name", FEEDS)


async def take(events, count: int) -> list:
    """The next events of a reader."""
    return [await anext(events) for _ in range(count)]


def complaints(server) -> list[str]:
    """What the server's log complains of; not that a busy machine was slow, which asyncio's debug mode notes."""
    return [line for line in server.log if not line.startswith("INFO") and "asyncio: Executing" not in line]


async def read_through_cuts(server, follow, *, seed: int, cuts: int, pace_s: float) -> list[list[str]]:
    """Publish 400 events while the link breaks at random moments; what each of three readers got, in its order."""
    rng = random.Random(seed)
    streams = [follow(server.url) for _ in range(3)]

    async def talk():
        async with server.publisher() as publish:
            for n in range(400):
                await publish(str(n))
                await asyncio.sleep(rng.expovariate(1 / pace_s))

    async def cut():
        for _ in range(cuts):
            await asyncio.sleep(rng.expovariate(cuts / (400 * pace_s)))
            server.link.cut()

    async with asyncio.TaskGroup() as group:
        group.create_task(talk())
        group.create_task(cut())
        readers = [group.create_task(take(stream, 400)) for stream in streams]
    for stream in streams:
        await stream.aclose()
    return [[event.data for event in reader.result()] for reader in readers]


# Resume: whatever breaks, nothing is lost, nothing comes twice, and all of it in order.


@every_transport
@pytest.mark.parametrize("seed", range(3))
@simulated
async def test_readers_cut_twenty_times_lose_nothing_and_repeat_nothing(name, seed):
    async with virtual.launch(name, rtt_ms=40, jitter_ms=20, seed=seed) as server:
        got = await read_through_cuts(server, FEEDS[name].follow, seed=seed, cuts=20, pace_s=0.1)
        assert got == [[str(n) for n in range(400)]] * 3
        assert sum(note.what == "closed" for note in server.link.notes) >= 20  # the cuts did hit open connections
        assert sum(total(messages(server.link.trace())).values()) == sum(server.link.bytes.values())


@every_transport
async def test_readers_of_a_real_server_cut_twenty_times_lose_nothing_and_repeat_nothing(name):
    async with launch.launch(name, *FEEDS[name].options, rtt_ms=4) as server:
        got = await read_through_cuts(server, FEEDS[name].follow, seed=1, cuts=20, pace_s=0.005)
        assert got == [[str(n) for n in range(400)]] * 3
        assert sum(total(messages(server.link.trace())).values()) == sum(server.link.bytes.values())
        assert complaints(server) == []


@every_transport
@simulated
async def test_reader_resumes_from_a_cursor_that_it_kept(name):
    async with virtual.launch(name) as server:
        published = [await server.publish(str(n)) for n in range(10)]
        stream = FEEDS[name].follow(server.url, after=published[6].cursor)
        assert await take(stream, 3) == published[7:]
        await stream.aclose()


@every_transport
@simulated
async def test_reader_in_a_stall_gets_everything_when_it_ends(name):
    async with virtual.launch(name, rtt_ms=40) as server:
        stream = FEEDS[name].follow(server.url)
        reading = asyncio.create_task(take(stream, 21))
        await server.publish("before")
        await asyncio.sleep(1)
        server.link.stall()
        for n in range(20):
            await server.publish(str(n))
        await asyncio.sleep(3)
        assert not reading.done()
        server.link.resume()
        assert [event.data for event in await reading] == ["before", *map(str, range(20))]
        await stream.aclose()


# Gone: what cannot be delivered is said aloud.


@every_transport
@simulated
async def test_cursor_past_the_window_is_gone(name):
    async with virtual.launch(name, keep=10) as server:
        published = [await server.publish(str(n)) for n in range(30)]
        with pytest.raises(Gone):
            await anext(FEEDS[name].follow(server.url, after=published[18].cursor))
        stream = FEEDS[name].follow(server.url, after=published[19].cursor)
        assert await take(stream, 10) == published[20:]
        await stream.aclose()


@every_transport
@simulated
async def test_cursor_of_another_epoch_is_gone(name):
    async with virtual.launch(name) as server:
        await server.publish("x")
        with pytest.raises(Gone):
            await anext(FEEDS[name].follow(server.url, after="0000abcd-0"))


@every_transport
@simulated
async def test_reader_who_falls_out_of_the_window_in_a_black_hole_is_told(name):
    async with virtual.launch(name, keep=10) as server:
        stream = FEEDS[name].follow(server.url)
        await server.publish("seen")
        assert (await anext(stream)).data == "seen"
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(1)
        server.link.black_hole()
        for n in range(30):
            await server.publish(str(n))
        await asyncio.sleep(1)
        server.link.heal()
        with pytest.raises(Gone):
            await waiting


@every_transport
@simulated
async def test_reader_is_told_of_a_restart_and_can_begin_anew(name):
    async with virtual.launch(name) as server:
        stream = FEEDS[name].follow(server.url)
        await server.publish("old")
        await anext(stream)
        await server.restart()
        new = await server.publish("new")
        with pytest.raises(Gone):
            await anext(stream)
        anew = FEEDS[name].follow(server.url)
        assert await anext(anew) == new
        await anew.aclose()


# Vanished readers and the drain, in virtual time.


@every_transport
@simulated
async def test_simulated_readers_who_leave_a_silent_feed_leave_no_task(name):
    async with virtual.launch(name) as server:
        before = len(asyncio.all_tasks())
        async with crowd(server.url, 100, target=FEEDS[name].target, headers=FEEDS[name].headers):
            await asyncio.sleep(1)
        await asyncio.sleep(2)
        assert len(asyncio.all_tasks()) == before


@every_transport
@simulated
async def test_simulated_stop_ends_every_stream_within_two_seconds(name):
    async with (
        virtual.launch(name) as server,
        crowd(server.origin, 200, target=FEEDS[name].target, headers=FEEDS[name].headers) as readers,
    ):
        await asyncio.sleep(1)
        start = now_ms()
        await server.host.stop()
        assert now_ms() - start < 2000
        assert all([(await reader.rest()).startswith(FEEDS[name].opens_with) for reader in readers])
        await server.host.start()  # so that the block can stop it again


# Real processes.


@every_transport
async def test_hundred_readers_who_leave_a_real_silent_feed_leave_nothing_behind(name):
    async with launch.launch(name) as server:
        idle = await server.usage()
        files = descriptors(idle["pid"])
        async with crowd(server.origin, 100, target=FEEDS[name].target, headers=FEEDS[name].headers):

            async def all_are_there():
                return (await server.usage())["tasks"] >= idle["tasks"] + 100

            assert await becomes(all_are_there, within_s=10)

        async def all_have_gone():
            return (await server.usage())["tasks"] <= idle["tasks"] and descriptors(idle["pid"]) == files

        assert await becomes(all_have_gone)
        assert complaints(server) == []


@every_transport
async def test_sigterm_with_two_hundred_readers_ends_every_stream_and_exits(name):
    async with (
        launch.launch(name) as server,
        crowd(server.origin, 200, target=FEEDS[name].target, headers=FEEDS[name].headers) as readers,
    ):

        async def all_are_there():
            return (await server.usage())["tasks"] >= 200

        assert await becomes(all_are_there, within_s=10)
        loop, process = asyncio.get_running_loop(), server.host.popen
        start = loop.time()
        process.send_signal(signal.SIGTERM)
        await asyncio.gather(*(reader.rest() for reader in readers))  # every one sees the end of its stream
        assert await asyncio.to_thread(process.wait, 10) == 0
        assert loop.time() - start < 4  # two seconds, and as many again for a busy machine
        assert complaints(server) == []


@every_transport
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_signal_stops_the_server_cleanly(name, signum):
    server = await launch.launch(name)
    server.host.popen.send_signal(signum)
    assert await asyncio.to_thread(server.host.popen.wait, 10) == 0
    await server.stop()
    assert complaints(server) == []


@every_transport
async def test_end_of_standard_input_stops_the_server_cleanly(name):
    server = await launch.launch(name)
    server.host.popen.stdin.close()
    assert await asyncio.to_thread(server.host.popen.wait, 10) == 0
    await server.stop()
    assert complaints(server) == []


@every_transport
def test_server_announces_itself_in_one_line_and_outlives_the_end_of_its_input_if_not_told_otherwise(name):
    command = [sys.executable, "-m", f"labs.servers.{name}"]
    with subprocess.Popen(command, cwd=launch.ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        line = process.stdout.readline().decode()
        host, port = line.removeprefix("listening on http://").removesuffix("\n").split(":")
        socket.create_connection((host, int(port))).close()
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == b""
        assert process.wait(10) == 0


@every_transport
async def test_healthz_tells_what_the_process_uses_and_holds(name):
    async with launch.launch(name) as server:
        first, second = await server.usage(), await server.usage()
        assert first["pid"] == server.host.popen.pid
        assert 0 < first["cpu_ns"] < second["cpu_ns"]
        assert 0 < second["tasks"] <= first["tasks"] + 2  # an earlier connection's task may still be ending


@pytest.mark.parametrize(
    "options, complaint",
    [
        (("--port", "99999"), "cannot listen on 127.0.0.1:99999: "),
        (("--host", "256.1.1.1"), "cannot listen on 256.1.1.1:0: "),
        (("--keep", "0"), "argument --keep: "),
        (("--nonsense",), "unrecognized arguments: --nonsense"),
    ],
)
async def test_option_that_cannot_be_is_said_in_a_sentence_and_fails(options, complaint):
    server = launch.Process("http_polling", *options)
    with pytest.raises(launch.LaunchError, match=complaint):
        await server.start()
    assert server.popen.returncode in (1, 2)
    assert not any("Traceback" in line for line in server.log)


async def test_server_without_a_feed_does_not_offer_to_publish_lines():
    with pytest.raises(launch.LaunchError, match="unrecognized arguments: --stdin"):
        await launch.Process("rooms", "--stdin").start()


async def test_standard_input_is_taken_by_lines_the_last_one_too_and_cut_where_an_event_ends(monkeypatch):
    pieces = iter([b"a\nb", b"c\n" + b"x" * (BODY_LIMIT + 5), b"y\nlast", b""])
    monkeypatch.setattr(hosting.os, "read", lambda descriptor, size: next(pieces))
    heard = []
    await hosting.stop_event(True, heard.append).wait()
    assert heard == ["a", "bc", "x" * BODY_LIMIT, "last"]


async def test_server_on_an_ipv6_address_names_itself_in_brackets():
    if not can_listen_on("::1"):
        pytest.skip("this machine has no IPv6")
    async with launch.launch("http_polling", "--host", "::1") as server:
        assert server.origin.startswith("http://[::1]:")
        assert (await server.publish("x")).id == 1


def can_listen_on(host: str) -> bool:
    try:
        socket.create_server((host, 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@every_transport
async def test_port_in_use_is_said_in_one_sentence_and_fails(name):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = launch.Process(name, "--port", str(port))
        with pytest.raises(launch.LaunchError, match=f"{name} did not start: cannot listen on 127.0.0.1:{port}: "):
            await server.start()
        assert server.popen.returncode == 1
        assert len(server.log) == 1


@every_transport
async def test_lines_of_standard_input_are_published(name):
    async with launch.launch(name, "--stdin", *FEEDS[name].options) as server:
        after = (await server.publish("first")).cursor
        server.host.publish_line("Grüße")
        server.host.popen.stdin.write(b"half a ")
        server.host.popen.stdin.flush()
        server.host.publish_line("line")
        heard = []
        async with asyncio.timeout(10), aclosing(FEEDS[name].follow(server.url, after=after)) as events:
            async for event in events:
                heard.append(event.data)
                if len(heard) == 2:
                    break
    assert heard == ["Grüße", "half a line"]
