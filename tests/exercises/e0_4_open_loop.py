"""Exercise 0.4: `open_loop(send, due, sleep, now)`, a load generator that does not wait for answers."""

import asyncio
import time
from functools import partial
from itertools import pairwise


async def right_tasks(send, due, sleep, now):
    async def request(at):
        await send()
        return now() - at

    tasks = []
    for at in due:
        await sleep(at - now())
        tasks.append(asyncio.create_task(request(at)))
    return await asyncio.gather(*tasks)


async def right_each_waits_for_itself(send, due, sleep, now):
    async def one(at):
        await sleep(max(0, at - now()))
        await send()
        return now() - at

    return await asyncio.gather(*map(one, due))


async def right_task_group(send, due, sleep, now):
    found = {}

    async def one(number, at):
        await send()
        found[number] = now() - at

    async with asyncio.TaskGroup() as group:
        for number, at in enumerate(due):
            if at > now():
                await sleep(at - now())
            group.create_task(one(number, at))
    return [found[number] for number in range(len(due))]


async def right_own_clock(send, due, sleep, now):
    start = asyncio.get_running_loop().time()
    elapsed = lambda: asyncio.get_running_loop().time() - start  # noqa: E731

    async def one(at):
        await asyncio.sleep(at - elapsed())
        await send()
        return elapsed() - at

    tasks = [asyncio.ensure_future(one(at)) for at in due]
    await asyncio.wait(tasks)
    return [task.result() for task in tasks]


async def right_callbacks(send, due, sleep, now):
    found, tasks = [0.0] * len(due), []

    def note(number, task):
        found[number] = now() - due[number]

    for number, at in enumerate(due):
        await sleep(at - now())
        tasks.append(asyncio.create_task(send()))
        tasks[-1].add_done_callback(partial(note, number))
    await asyncio.gather(*tasks)
    return found


async def right_stopwatch_of_the_library(send, due, sleep, now):
    start = time.perf_counter()

    async def one(at):
        await send()
        return time.perf_counter() - start - at

    tasks = []
    for at in due:
        await asyncio.sleep(start + at - time.perf_counter())
        tasks.append(asyncio.create_task(one(at)))
    return [await task for task in tasks]


async def wrong_waits_for_the_answer(send, due, sleep, now):
    found = []
    for at in due:
        await sleep(max(0, at - now()))
        await send()
        found.append(now() - at)
    return found


async def wrong_ignores_the_schedule(send, due, sleep, now):
    async def one(at):
        await send()
        return now() - at

    return await asyncio.gather(*(one(at) for at in due))


async def wrong_off_schedule(send, due, sleep, now):
    async def one(at):
        await send()
        return now() - at

    tasks = []
    for at in due:
        await sleep(at)
        tasks.append(asyncio.create_task(one(at)))
    return await asyncio.gather(*tasks)


async def wrong_slips_behind(send, due, sleep, now):
    async def one(at):
        await send()
        return now() - at

    tasks = []
    for before, at in pairwise([0.0, *due]):
        await sleep(at - before)
        tasks.append(asyncio.create_task(one(at)))
    return await asyncio.gather(*tasks)


async def wrong_returns_too_early(send, due, sleep, now):
    found = []

    async def one(at):
        await send()
        found.append(now() - at)

    for at in due:
        await sleep(max(0, at - now()))
        asyncio.create_task(one(at))
    return found


async def wrong_in_order_of_arrival(send, due, sleep, now):
    found = []

    async def one(at):
        await send()
        found.append(now() - at)

    async with asyncio.TaskGroup() as group:
        for at in due:
            await sleep(max(0, at - now()))
            group.create_task(one(at))
    return found


async def wrong_in_order_of_arrival__as_completed(send, due, sleep, now):
    async def one(at):
        await sleep(at - now())
        await send()
        return now() - at

    return [await done for done in asyncio.as_completed([one(at) for at in due])]


async def wrong_counts_from_sending(send, due, sleep, now):
    async def one():
        started = now()
        await send()
        return now() - started

    tasks = []
    for at in due:
        await sleep(max(0, at - now()))
        tasks.append(asyncio.create_task(one()))
    return await asyncio.gather(*tasks)


async def wrong_no_latencies(send, due, sleep, now):
    tasks = []
    for at in due:
        await sleep(max(0, at - now()))
        tasks.append(asyncio.create_task(send()))
    return await asyncio.gather(*tasks)


async def wrong_no_latencies__no_return(send, due, sleep, now):
    async def one(at):
        await sleep(max(0, at - now()))
        await send()
        return now() - at

    await asyncio.gather(*map(one, due))


async def wrong_stops_at_sending(send, due, sleep, now):
    found, tasks = [], []
    for at in due:
        await sleep(max(0, at - now()))
        tasks.append(asyncio.create_task(send()))
        found.append(now() - at)
    await asyncio.gather(*tasks)
    return found


async def wrong_tells_the_time(send, due, sleep, now):
    async def one(at):
        await sleep(max(0, at - now()))
        await send()
        return now()

    return await asyncio.gather(*map(one, due))


async def wrong_wrong_unit(send, due, sleep, now):
    async def one(at):
        await sleep(max(0, at - now()))
        await send()
        return (now() - at) * 1000

    return await asyncio.gather(*map(one, due))


async def wrong_wrong_count(send, due, sleep, now):
    async def one(at):
        await send()
        return now() - at

    tasks = []
    for at, following in pairwise(due):
        tasks.append(asyncio.create_task(one(at)))
        await sleep(following - at)
    return await asyncio.gather(*tasks)


async def wrong_blocks(send, due, sleep, now):
    tasks = []
    for at in due:
        time.sleep(max(0, at - now()))  # noqa: ASYNC251
        tasks.append(asyncio.create_task(send()))
    await asyncio.gather(*tasks)
    return [now() - at for at in due]


async def wrong_forgets_await(send, due, sleep, now):
    async def one(at):
        await send()
        return now() - at

    tasks = []
    for at in due:
        sleep(at - now())
        tasks.append(asyncio.create_task(one(at)))
    return await asyncio.gather(*tasks)


def wrong_not_async(send, due, sleep, now):
    found = []
    for at in due:
        sleep(at - now())
        send()
        found.append(now() - at)
    return found


async def wrong_raises_TypeError(send, due, sleep, now):
    tasks = []
    for at in due:
        await sleep(max(0, at - now()))
        tasks.append(asyncio.create_task(send))
    await asyncio.gather(*tasks)
    return [now() - at for at in due]
