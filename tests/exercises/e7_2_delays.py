"""Exercise 7.2: `delays(connect, count, every)`, a benchmark without the five flaws."""

import asyncio
import math
import time
from contextlib import suppress


def now():
    return asyncio.get_running_loop().time()


async def right_one_reads_and_one_sends(connect, count, every):
    socket, found = await connect(), [math.inf] * count
    start = now()

    async def read():
        while math.inf in found:
            number, _ = await socket.recv()
            if found[number] == math.inf:
                found[number] = now() - start - number * every

    async def send():
        for number in range(count):
            await asyncio.sleep(start + number * every - now())
            await socket.send(number)

    try:
        async with asyncio.timeout_at(start + (count - 1) * every + 5):
            await asyncio.gather(read(), send())
    except (TimeoutError, ConnectionError):
        pass
    finally:
        await socket.close()
    return found


async def right_with_a_dict(connect, count, every):
    socket = await connect()
    start, back = time.perf_counter(), {}

    async def read():
        with suppress(ConnectionError):
            while len(back) < count:
                number, _ = await socket.recv()
                back.setdefault(number, time.perf_counter())

    reading = asyncio.create_task(read())
    for number in range(count):
        await asyncio.sleep(max(0, start + number * every - time.perf_counter()))
        try:
            await socket.send(number)
        except ConnectionError:
            break
    left = start + (count - 1) * every + 5 - time.perf_counter()
    await asyncio.wait({reading}, timeout=left)
    reading.cancel()
    await socket.close()
    return [back.get(number, math.inf) - start - number * every for number in range(count)]


async def right_a_task_and_a_future_for_each(connect, count, every):
    socket = await connect()
    start, loop = now(), asyncio.get_running_loop()
    back = [loop.create_future() for _ in range(count)]

    async def read():
        while True:
            number, _ = await socket.recv()
            if not back[number].done():
                back[number].set_result(now() - start - number * every)

    async def send(number):
        await asyncio.sleep(number * every)
        await socket.send(number)

    tasks = [asyncio.create_task(read()), *(asyncio.create_task(send(number)) for number in range(count))]
    await asyncio.wait(back, timeout=(count - 1) * every + 5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await socket.close()
    return [one.result() if one.done() else math.inf for one in back]


class right_an_object:
    """Called, it can be awaited."""

    def __init__(self, connect, count, every):
        self.work = self.run(connect, count, every)

    def __await__(self):
        return self.work.__await__()

    async def run(self, connect, count, every):
        self.socket, self.due = await connect(), [now() + number * every for number in range(count)]
        self.back = [math.inf] * count
        with suppress(TimeoutError, ExceptionGroup):
            async with asyncio.timeout_at(self.due[-1] + 5), asyncio.TaskGroup() as group:
                group.create_task(self.send())
                group.create_task(self.read())
        await self.socket.close()
        return [at - due for at, due in zip(self.back, self.due, strict=True)]

    async def send(self):
        for number, at in enumerate(self.due):
            await asyncio.sleep(at - now())
            await self.socket.send(number)

    async def read(self):
        while max(self.back) == math.inf:
            number, _ = await self.socket.recv()
            self.back[number] = min(self.back[number], now())


def variant(
    *, opened=True, due=True, read_later=False, stamp=False, first_copy=True, place=True, patience=5.0, close=True,
    survive=True, early=True, unit=1, lost=math.inf, overdue=True, keep=None,
):  # fmt: skip
    """The right answer with something left out."""

    async def delays(connect, count, every):
        before = now()
        socket, found, sent, arrivals = await connect(), [math.inf] * count, {}, 0
        start = now()

        async def read():
            nonlocal arrivals
            while not early or math.inf in found:
                number, at = await socket.recv()
                begun = (start if opened else before) + number * every if due else sent[number]
                number, arrivals = (number if place else arrivals), arrivals + 1
                if not first_copy or found[number] == math.inf:
                    found[number] = ((at if stamp else now()) - begun) * unit

        async def send():
            for number in range(count):
                await asyncio.sleep(start + number * every - now() if overdue else every * (number > 0))
                sent[number] = now()
                await socket.send(number)
                sent[number] = now()

        async def both():
            if read_later:
                await send()
                await read()
            else:
                await asyncio.gather(read(), send())

        try:
            async with asyncio.timeout_at(start + (count - 1) * every + patience):
                await both()
        except (TimeoutError, ConnectionError) as error:
            if isinstance(error, ConnectionError) and not survive:
                raise
        if close:
            await socket.close()
        return [one if one < math.inf else lost for one in found if keep is None or one != keep]

    return delays


wrong_counts_the_opening = variant(opened=False)
wrong_counts_from_sending = variant(due=False)
wrong_reads_afterwards = variant(read_later=True)
wrong_two_clocks = variant(stamp=True)
wrong_takes_the_last_copy = variant(first_copy=False)
wrong_in_order_of_arrival = variant(place=False)
wrong_gives_up_too_early = variant(patience=1.0)
wrong_waits_too_long = variant(patience=9.0)
wrong_leaves_it_open = variant(close=False)
wrong_dies_with_the_connection = variant(survive=False)
wrong_returns_late = variant(early=False)
wrong_wrong_unit = variant(unit=1000)
wrong_lost_is_instant = variant(lost=0)
wrong_drops_the_lost = variant(keep=math.inf)
wrong_slips_behind = variant(overdue=False)


async def wrong_waits_for_the_answer(connect, count, every):
    socket, found = await connect(), []
    start = now()
    for number in range(count):
        await asyncio.sleep(start + number * every - now())
        await socket.send(number)
        await socket.recv()
        found.append(now() - start - number * every)
    await socket.close()
    return found


async def wrong_waits_forever(connect, count, every):
    socket, found = await connect(), [math.inf] * count
    start = now()

    async def read():
        while math.inf in found:
            number, _ = await socket.recv()
            found[number] = min(found[number], now() - start - number * every)

    reading = asyncio.create_task(read())
    for number in range(count):
        await asyncio.sleep(start + number * every - now())
        await socket.send(number)
    await reading
    await socket.close()
    return found


async def wrong_stops_at_sending(connect, count, every):
    socket, found = await connect(), []
    start = now()
    for number in range(count):
        await asyncio.sleep(start + number * every - now())
        await socket.send(number)
        found.append(now() - start - number * every)
    await socket.close()
    return found


async def wrong_opens_again(connect, count, every):
    async def one(number):
        await asyncio.sleep(number * every)
        socket = await connect()
        begun = now()
        await socket.send(number)
        await socket.recv()
        return now() - begun

    return await asyncio.gather(*map(one, range(count)))


async def wrong_ignores_the_schedule(connect, count, every):
    socket, found = await connect(), []
    start = now()
    for number in range(count):
        await socket.send(number)
    for _ in range(count):
        await socket.recv()
        found.append(now() - start)
    await socket.close()
    return found


async def wrong_no_delays(connect, count, every):
    socket, found = await connect(), {}
    start = now()
    for number in range(count):
        await asyncio.sleep(start + number * every - now())
        await socket.send(number)
    for _ in range(count):
        number, _ = await socket.recv()
        found[number] = now() - start - number * every
    return found


async def wrong_wrong_numbers(connect, count, every):
    socket, start = await connect(), now()
    for number in range(1, count + 1):
        await asyncio.sleep(start + number * every - now())
        await socket.send(number)
    return [(await socket.recv())[0] for _ in range(count)]
