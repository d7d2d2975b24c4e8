"""Redis as a queue: each task goes to one worker, and comes back if that worker dies before it is done.

    queue = Queue(client, "resize")                   # client = redis.asyncio.Redis.from_url(url, decode_responses=True)
    await queue.put("cat.png")
    await queue.work("worker-1", resize)              # async def resize(task): …   for ever
    python -m labs.bus.work_queue --redis URL --worker w1 # a worker as a process: writes down what it has done

Design notes
  * A queue is a stream with one consumer group: what Redis has handed to a worker stays on its list until that worker
    acknowledges it. A list with LPOP forgets a task as soon as somebody has taken it.
  * A worker that has said nothing of a task for `patience_s` is taken for dead, and the next who asks gets the task. If it was
    only slow, the task is done twice. So do tasks that can be done twice, and choose a patience that is longer than they take.
  * A task that has failed `tries` times, or has killed so many workers, is put aside and holds up nobody.
"""

import argparse
import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import ResponseError

GROUP = "workers"
LOG = logging.getLogger(__name__)


@dataclass
class Queue:
    """Tasks, which are texts, and the group of workers that do them."""

    client: Redis
    name: str
    patience_s: float = 30.0
    tries: int = 3

    async def put(self, task: str) -> str:
        """Add a task; returns its id."""
        return await self.client.xadd(self.name, {"task": task})

    async def work(self, worker: str, do: Callable[[str], Awaitable]) -> None:
        """Do one task after the other. One that raises is left on the list, and comes again."""
        await self._begin()
        while (
            not asyncio.current_task().cancelling()
        ):  # redis-py may swallow a cancellation on Python 3.11, by wait_for
            for id, task in await self.take(worker):
                try:
                    await do(task)
                except Exception:
                    LOG.exception("task %s of %s", id, self.name)
                else:
                    await self.done(id)

    async def take(self, worker: str) -> list[tuple[str, str]]:
        """The next task for this worker as (id, task): one that a dead worker has left, or a new one; waits at most a second."""
        wait_ms = round(1000 * self.patience_s)
        _, left, _ = await self.client.xautoclaim(self.name, GROUP, worker, wait_ms, count=1)
        if left and await self._given_up(*left[0]):
            return []
        if not left:
            pause_ms = max(1, min(1000, wait_ms // 2))
            found = await self.client.xreadgroup(GROUP, worker, {self.name: ">"}, count=1, block=pause_ms)
            left = [entry for entries in dict(found or {}).values() for entry in flat(entries)]
        return [(id, fields["task"]) for id, fields in left]

    async def done(self, id: str) -> None:
        """Acknowledge: the task is off the list, and out of the queue."""
        async with self.client.pipeline(transaction=True) as pipe:
            await pipe.xack(self.name, GROUP, id).xdel(self.name, id).execute()

    async def counts(self) -> dict[str, int]:
        """How many tasks wait, how many a worker has, and how many have been given up."""
        await self._begin()
        taken = (await self.client.xpending(self.name, GROUP))["pending"]
        waiting, failed = await self.client.xlen(self.name) - taken, await self.client.llen(f"{self.name}:failed")
        return {"waiting": waiting, "taken": taken, "failed": failed}

    async def _begin(self) -> None:
        """The group of workers, which begins with the queue's first task."""
        with suppress(ResponseError):  # somebody has made it already
            await self.client.xgroup_create(self.name, GROUP, id="0", mkstream=True)

    async def _given_up(self, id: str, fields: dict[str, str]) -> bool:
        """Put a task aside that has been handed out too often."""
        (entry,) = await self.client.xpending_range(self.name, GROUP, id, id, 1)
        if entry["times_delivered"] <= self.tries:
            return False
        await self.client.rpush(f"{self.name}:failed", fields["task"])
        await self.done(id)
        return True


def flat(entries: list) -> list:
    """redis-py wraps the entries of a stream once more under RESP3."""
    return entries[0] if entries and isinstance(entries[0], list) else entries


async def main() -> None:
    """A worker that takes its time for each task, and writes down that it has done it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--redis", required=True, help="URL of the Redis that holds the queue")
    parser.add_argument("--queue", default="tasks", help="name of the queue (default %(default)s)")
    parser.add_argument("--worker", required=True, help="name of this worker")
    parser.add_argument("--patience", type=float, default=30.0, help="seconds after which a worker is taken for dead")
    parser.add_argument("--takes", type=float, default=0.05, help="seconds for one task (default %(default)s)")
    options = parser.parse_args()
    async with Redis.from_url(options.redis, decode_responses=True) as client:

        async def do(task: str) -> None:
            await client.set(f"{options.queue}:now:{options.worker}", task)
            await asyncio.sleep(options.takes)
            await client.rpush(f"{options.queue}:done", task)

        await Queue(client, options.queue, patience_s=options.patience).work(options.worker, do)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
