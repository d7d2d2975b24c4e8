"""Redis' other two roles, over a real Redis: a queue from which no task is lost, and memory that servers share."""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from crowd import becomes
from redis.asyncio import Redis

from labs.bus.redis_process import redis
from labs.bus.shared_memory import Presence, RateLimit, count
from labs.bus.work_queue import Queue

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(os.name != "posix", reason="a real Redis is needed")


@pytest.fixture(autouse=True)
def no_other_redis(monkeypatch):
    monkeypatch.delenv("REDIS_URL", raising=False)


@asynccontextmanager
async def memory(clients: int = 1):
    """A Redis, and so many clients of it; one client alone, several as a list."""
    async with redis() as server:
        found = [Redis.from_url(server.url, decode_responses=True) for _ in range(clients)]
        try:
            yield found[0] if clients == 1 else found
        finally:
            await asyncio.gather(*(client.aclose() for client in found))


@asynccontextmanager
async def working(*works):
    """These workers work while the block runs."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_every_task_is_done_once_by_one_of_the_workers():
    async with memory() as client:
        queue, done = Queue(client, "q"), []

        async def do(task):
            done.append(task)
            await asyncio.sleep(0)

        for n in range(30):
            await queue.put(f"{n}")
        async with working(*(queue.work(f"w{n}", do) for n in range(3))):

            async def all_done() -> bool:
                return len(done) == 30

            assert await becomes(all_done, within_s=10)
        assert sorted(done, key=int) == [f"{n}" for n in range(30)]
        assert await client.xlen("q") <= 3  # what is done leaves the queue; the last ones may not be acknowledged yet


async def test_worker_that_is_gone_in_the_middle_of_a_task_loses_nothing():
    async with memory() as client:
        queue, done, taken = Queue(client, "q", patience_s=0.05), [], asyncio.Event()

        async def never_ends(task):
            taken.set()
            await asyncio.sleep(60)

        async def do(task):
            done.append(task)

        for n in range(3):
            await queue.put(f"{n}")
        async with working(queue.work("dies", never_ends)):
            await taken.wait()
        assert await queue.counts() == {"waiting": 2, "taken": 1, "failed": 0}
        async with working(queue.work("lives", do)):

            async def empty() -> bool:
                return not any((await queue.counts()).values())

            assert await becomes(empty, within_s=10)
        assert sorted(done) == ["0", "1", "2"]


async def test_worker_process_killed_in_the_middle_of_a_task_loses_nothing():
    async with redis() as server, Redis.from_url(server.url, decode_responses=True) as client:
        queue = Queue(client, "tasks", patience_s=0.3)
        for n in range(12):
            await queue.put(f"{n}")
        command = [sys.executable, "-m", "labs.bus.work_queue", "--redis", server.url, "--patience", "0.3", "--worker"]
        workers = [subprocess.Popen([*command, name], cwd=ROOT) for name in ("w1", "w2")]
        try:

            async def begun() -> bool:
                return await client.get("tasks:now:w1") is not None

            assert await becomes(begun, within_s=20)
            workers[0].kill()

            async def all_done() -> bool:
                return set(await client.lrange("tasks:done", 0, -1)) == {f"{n}" for n in range(12)}

            assert await becomes(all_done, within_s=20)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()


async def test_task_that_always_fails_is_put_aside_after_its_tries(caplog):
    async with memory() as client:
        queue, tried = Queue(client, "q", patience_s=0.02, tries=3), Counter()

        async def do(task):
            tried[task] += 1
            if task == "bad":
                raise ValueError("cannot be done")

        for task in ("bad", "good"):
            await queue.put(task)
        async with working(queue.work("w", do)):

            async def settled() -> bool:
                return await queue.counts() == {"waiting": 0, "taken": 0, "failed": 1}

            assert await becomes(settled, within_s=10)
        assert tried == {"bad": 3, "good": 1} and await client.lrange("q:failed", 0, -1) == ["bad"]
        assert "cannot be done" in caplog.text


async def test_presence_is_of_all_servers_and_a_name_goes_with_the_last_that_has_it():
    async with memory() as client:
        one, other = Presence(client, "s1"), Presence(client, "s2")
        await one.say({("blue", "ada"): True, ("red", "bob"): True})
        await other.say({("blue", "ada"): True})
        assert await one.read("blue") == {"ada": {"s1", "s2"}} and await one.read("red") == {"bob": {"s1"}}
        await one.say({("blue", "ada"): False})
        assert await one.read("blue") == {"ada": {"s2"}}
        await other.replace("blue", ["eve"])
        assert await one.read("blue") == {"eve": {"s2"}}
        await other.replace("blue", [])
        assert await one.read("blue") == {} == await one.read("nowhere")


async def test_presence_of_a_server_that_says_nothing_more_expires():
    async with memory() as client:
        dead, alive = Presence(client, "dead", ttl_s=0.2), Presence(client, "alive")
        await dead.say({("blue", "ada"): True})
        await alive.say({("blue", "bob"): True})
        assert set(await alive.read("blue")) == {"ada", "bob"}

        async def only_bob() -> bool:
            return await alive.read("blue") == {"bob": {"alive"}}

        assert await becomes(only_bob, within_s=5)


async def test_counter_gives_everyone_another_number():
    async with memory(3) as clients:
        numbers = await asyncio.gather(*(count(client, "visits") for client in clients for _ in range(20)))
        assert sorted(numbers) == list(range(1, 61))


async def test_rate_limit_holds_for_all_servers_together_and_ends():
    async with memory(2) as clients:
        limits = [RateLimit(client, "sms", most=5, per_s=0.5) for client in clients]
        allowed = await asyncio.gather(*(limit.allow("ada") for limit in limits for _ in range(10)))
        assert sum(allowed) == 5
        assert await limits[0].allow("bob")

        async def again() -> bool:
            return await limits[1].allow("ada")

        assert await becomes(again, within_s=10)


async def test_rate_limit_is_never_left_without_an_end():
    async with memory() as client:
        await RateLimit(client, "sms", most=5, per_s=60).allow("ada")
        assert 0 < await client.pttl("limit:sms:ada") <= 60_000
