"""Exercise 7.4: `follow(ways, handle)`, a client that falls back from one transport to another."""

import asyncio
from contextlib import aclosing
from itertools import cycle


async def right_nested_loops(ways, handle):
    cursor = None
    while True:
        for way in ways:
            signs, worked = way(cursor), False
            try:
                while True:
                    async with asyncio.timeout(3):
                        event = await anext(signs)
                    worked = True
                    if event:
                        handle(event)
                        cursor = event.cursor
            except (OSError, StopAsyncIteration):  # a TimeoutError is an OSError
                pass
            if worked:
                break
        await asyncio.sleep(1)


async def right_one_deadline_that_moves(ways, handle):
    cursor, place = None, 0

    while True:
        worked = False
        try:
            async with asyncio.timeout(3) as limit, aclosing(ways[place](cursor)) as signs:
                async for event in signs:
                    worked = True
                    limit.reschedule(asyncio.get_running_loop().time() + 3)
                    if event is not None:
                        cursor = event.cursor
                        handle(event)
        except OSError:
            pass
        place = 0 if worked else (place + 1) % len(ways)
        if place == 0:
            await asyncio.sleep(1)


class right_an_object:
    """With wait_for, and a method for each question."""

    def __init__(self, ways, handle):
        self.ways, self.handle, self.cursor = ways, handle, None

    def __await__(self):
        return self.run().__await__()

    async def run(self):
        while True:
            for way in self.ways:
                if await self.use(way):
                    break
            await asyncio.sleep(1.0)

    async def use(self, way):
        worked, signs = False, way(self.cursor)
        while True:
            try:
                event = await asyncio.wait_for(anext(signs), 3.0)
            except (StopAsyncIteration, TimeoutError, OSError):
                await signs.aclose()
                return worked
            worked = True
            if event:
                self.handle(event)
                self.cursor = event.cursor


async def right_a_task_and_a_queue(ways, handle):
    cursor = None

    async def pump(signs, queue):
        try:
            async for event in signs:
                queue.put_nowait((True, event))
        except OSError:
            pass
        finally:
            queue.put_nowait((False, None))

    while True:
        for way in ways:
            queue, heard = asyncio.Queue(), 0
            pumping = asyncio.create_task(pump(way(cursor), queue))
            try:
                while (said := await asyncio.wait_for(queue.get(), 3))[0]:
                    heard += 1
                    if said[1]:
                        handle(said[1])
                        cursor = said[1].cursor
            except TimeoutError:
                pass
            pumping.cancel()
            await asyncio.wait({pumping})
            if not pumping.cancelled() and pumping.exception():
                raise pumping.exception()
            if heard:
                break
        await asyncio.sleep(1)


def variant(
    *, patience=3.0, pause=1.0, top=True, next_at_once=0.0, failures=(OSError, StopAsyncIteration), keep=True,
    before=False, all_signs=False, again=1, rounds=None, deadline=False, events_only=False, reverse=False, lap=False,
    step=1, grow=1.0, trust=False, skip=0, any_sign=True,
    reset=True,
):  # fmt: skip
    """The right answer with something left out."""

    async def follow(ways, handle):
        cursor, wait, turn, ever = None, pause, 0, False
        ways = ways[::-1] if reverse else ways
        while rounds is None or turn < rounds:
            turn += 1
            for way in [way for way in ways for _ in range(again)][::step]:
                worked = True
                while worked:
                    worked, signs = ever if not reset else False, way(cursor if keep else None)
                    start = asyncio.get_running_loop().time()
                    try:
                        while True:
                            if trust and worked:
                                event = await anext(signs)
                            else:
                                now = asyncio.get_running_loop().time()
                                async with asyncio.timeout(patience - (now - start if deadline else 0)):
                                    event = await anext(signs)
                                    while events_only and event is None:
                                        event = await anext(signs)
                            worked = ever = any_sign or worked or event is not None
                            if event or all_signs:
                                handle(event)
                                cursor = f"{event.cursor.partition('-')[0]}-{event.id + skip}"
                    except failures:
                        await signs.aclose()
                    if worked and not lap:
                        break
                    if worked:
                        await asyncio.sleep(pause)
                if worked and top:
                    break
                await asyncio.sleep(next_at_once)
            await asyncio.sleep(wait)
            wait *= grow

    return follow


wrong_not_the_best = variant(reverse=True)
wrong_handles_signs = variant(all_signs=True)
wrong_hesitates = variant(next_at_once=1)
wrong_insists = variant(again=3)
wrong_skips_one = variant(step=2)
wrong_dies_with_the_way = variant(failures=(TimeoutError, StopAsyncIteration))
wrong_dies_with_the_way__when_it_ends = variant(failures=OSError)
wrong_swallows_gone = variant(failures=Exception)
wrong_impatient = variant(patience=1.5)
wrong_too_patient = variant(patience=10.0)
wrong_leaves_a_working_way = variant(deadline=True)
wrong_leaves_a_quiet_way = variant(events_only=True)
wrong_trusts_what_has_worked = variant(trust=True)
wrong_hammers = variant(pause=0.0)
wrong_stays_away = variant(pause=5.0)
wrong_stays_away__doubles = variant(grow=2.0)
wrong_gives_up = variant(rounds=3)
wrong_goes_on_down = variant(top=False)
wrong_goes_on_down__only_events_count = variant(any_sign=False)
wrong_remembers_what_once_worked = variant(reset=False)
wrong_stays_with_the_worse = variant(lap=True)
wrong_loses_events = variant(skip=1)
wrong_handles_twice = variant(keep=False)


async def wrong_ends_with_the_way(ways, handle):
    cursor = None
    for way in ways:
        try:
            async with asyncio.timeout(60):
                async for event in way(cursor):
                    if event:
                        handle(event)
                        cursor = event.cursor
                return
        except OSError:
            continue


async def wrong_two_at_once(ways, handle):
    seen = set()

    async def one(way):
        async for event in way(None):
            if event and event.id not in seen:
                seen.add(event.id)
                handle(event)

    await asyncio.gather(*map(one, ways))


async def wrong_waits_for_a_silent_way(ways, handle):
    cursor = None
    for way in cycle(ways):
        try:
            async for event in way(cursor):
                if event:
                    handle(event)
                    cursor = event.cursor
        except OSError:
            pass


async def wrong_handles_too_few(ways, handle):
    """Keeps what has come until a sign of life follows."""
    cursor, held = None, []
    while True:
        for way in ways:
            signs, worked = way(cursor), False
            try:
                while True:
                    async with asyncio.timeout(3):
                        event = await anext(signs)
                    worked = True
                    if event:
                        held.append(event)
                        cursor = event.cursor
                    else:
                        for one in held:
                            handle(one)
                        held = []
            except (OSError, StopAsyncIteration):
                pass
            if worked:
                break
        await asyncio.sleep(1)


async def wrong_tries_others_too(ways, handle):
    """Looks every few seconds whether a better way has come back."""
    cursor = None
    while True:
        for way in ways:
            signs = way(cursor)
            try:
                async with asyncio.timeout(4):
                    async for event in signs:
                        if event:
                            handle(event)
                            cursor = event.cursor
            except OSError:
                pass
