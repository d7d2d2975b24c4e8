"""Starting servers as processes: they answer, they stop, and they never outlive the kernel that started them."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from crowd import becomes, descriptors

from labs import clients, launch
from labs.feed import Gone

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def answers(url: str) -> bool:
    """Whether somebody accepts connections there."""
    where = urlsplit(url)
    try:
        socket.create_connection((where.hostname, where.port), timeout=5).close()
    except OSError:
        return False
    return True


def runs(pid: int) -> bool:
    """Whether this process runs; one that has ended and waits to be collected does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(") ")[2][0] != "Z"


async def test_launched_server_serves_through_its_link_and_stops():
    server = await launch.launch("http_polling", rtt_ms=10)
    assert server.name == "http_polling" and server.url != server.origin
    event = await server.publish("hello")
    assert event.data == "hello" and sum(server.link.bytes.values()) == 0  # published past the link
    events = clients.polling(server.url, every=0.05)
    assert await anext(events) == event
    await events.aclose()
    assert sum(server.link.bytes.values()) > 0
    await server.stop()
    assert server.host.popen.returncode == 0
    assert not answers(server.url) and not answers(server.origin)
    assert server.log == []


async def test_block_stops_its_server_even_when_it_fails():
    with pytest.raises(ZeroDivisionError):
        async with launch.launch("http_polling") as server:
            1 / 0  # noqa: B018
    assert server.host.popen.returncode == 0


async def test_stopping_twice_is_harmless():
    server = await launch.launch("http_polling")
    await server.stop()
    await server.stop()


async def test_two_servers_never_meet():
    async with launch.launch("http_polling") as one, launch.launch("http_polling") as other:
        assert len({one.origin, one.url, other.origin, other.url}) == 4


async def test_stop_leaves_no_descriptor_and_no_thread():
    await (await launch.launch("http_polling")).stop()  # the event loop's own threads exist from here on
    before = descriptors(os.getpid())
    for _ in range(3):
        await (await launch.launch("http_polling")).stop()
    assert before is None or descriptors(os.getpid()) <= before


async def test_restart_keeps_the_address_and_changes_the_epoch():
    async with launch.launch("http_polling", "--keep", "5") as server:
        near, far = server.url, (await server.via(rtt_ms=10)).url
        old, pid = (await server.publish("old")), server.host.popen.pid
        await server.restart()
        assert (server.url, server.links[1].url) == (near, far)
        assert server.host.popen.pid != pid
        new = await server.publish("new")
        assert new.id == 1 and new.cursor.partition("-")[0] != old.cursor.partition("-")[0]
        for url in (near, far):
            events = clients.polling(url, every=0.05)
            assert await anext(events) == new
            await events.aclose()
            with pytest.raises(Gone):
                await anext(clients.polling(url, every=0.05, after=old.cursor))


# Servers that do not start.


async def test_server_that_does_not_exist_is_said_in_its_own_words():
    with pytest.raises(launch.LaunchError, match=r"no_such_server did not start: .*No module named"):
        await launch.launch("no_such_server")


async def test_server_that_fails_is_told_with_what_it_said(monkeypatch):
    keep_log = launch.Process._keep_log
    monkeypatch.setattr(launch.Process, "_keep_log", lambda *args: (time.sleep(1), keep_log(*args)))
    with pytest.raises(launch.LaunchError, match="unrecognized arguments: --nonsense"):  # its last words are waited for
        await launch.launch("http_polling", "--nonsense")


async def test_server_that_says_something_else_is_stopped():
    process = launch.Process("http_polling", "--help")
    with pytest.raises(launch.LaunchError, match="http_polling did not start: it said nothing"):
        await process.start()
    assert process.popen.returncode == 0


async def test_server_that_takes_too_long_to_start_is_stopped(monkeypatch):
    monkeypatch.setattr(launch, "START_LIMIT_S", 0.01)
    process = launch.Process("http_polling")
    with pytest.raises(launch.LaunchError):
        await process.start()
    assert process.popen.returncode is not None


async def test_interrupted_start_leaves_no_process():
    process = launch.Process("http_polling")
    starting = asyncio.create_task(process.start())
    await asyncio.sleep(0.05)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert process.popen.returncode is not None


@posix
async def test_server_that_does_not_react_is_killed(monkeypatch):
    monkeypatch.setattr(launch, "STOP_LIMIT_S", 0.3)
    server = await launch.launch("http_polling")
    server.host.popen.send_signal(signal.SIGSTOP)
    await server.stop()
    assert server.host.popen.returncode == -signal.SIGKILL


# Servers and the kernel that started them.


KERNEL = """
import asyncio, json, signal
from labs.launch import launch

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts jobs in the background has it ignored

async def main():
    servers = [await launch("http_polling") for _ in range(3)]
    print(json.dumps([[server.host.popen.pid, server.origin] for server in servers]), flush=True)
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:  # an interrupt ends the cell, not the kernel
            print("interrupted", flush=True)
            asyncio.current_task().uncancel()

asyncio.run(main())
"""


@pytest.fixture
def kernel():
    """A process that has launched three servers, as a notebook's kernel does, and their pids and addresses."""
    command, pipe = [sys.executable, "-c", KERNEL], subprocess.PIPE
    with subprocess.Popen(command, cwd=launch.ROOT, stdout=pipe, start_new_session=True) as process:
        process.servers = json.loads(process.stdout.readline())
        yield process
        process.kill()


@posix
async def test_killed_kernel_leaves_no_server_behind(kernel):
    assert all(answers(url) and runs(pid) for pid, url in kernel.servers)
    kernel.kill()
    kernel.wait()

    async def all_are_gone():
        return not any(answers(url) or runs(pid) for pid, url in kernel.servers)

    assert await becomes(all_are_gone, within_s=3)  # the promise is one second, on a machine that is not busy


@posix
async def test_interrupted_kernel_keeps_its_servers(kernel):
    os.killpg(kernel.pid, signal.SIGINT)
    assert await asyncio.to_thread(kernel.stdout.readline) == b"interrupted\n"
    await asyncio.sleep(0.2)
    assert all(answers(url) and runs(pid) for pid, url in kernel.servers)


# The live page.


async def test_page_on_this_machine_is_shown_directly(monkeypatch):
    monkeypatch.delenv("JUPYTERHUB_SERVICE_PREFIX", raising=False)
    async with launch.launch("http_polling") as server:
        page = server.page(height=300)
        assert (page.src, page.width, page.height) == (f"{server.url}/", "100%", 300)
        assert answers(page.src)


async def test_page_behind_a_hub_is_shown_through_its_proxy(monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/")
    async with launch.launch("http_polling") as server:
        assert server.page().src == f"/user/ada/proxy/{urlsplit(server.url).port}/"
