"""Exercise 1.3: `poll(fetch, handle, every, sleep, now)`, the polling client."""

import asyncio
import contextlib
import math
import time


async def right_due(fetch, handle, every, sleep, now):
    cursor, due = None, now()
    while True:
        try:
            events = await fetch(cursor)
        except ConnectionError:
            events = []
        for event in events:
            handle(event)
            cursor = event.cursor
        while due <= now():
            due += every
        await sleep(due - now())


async def right_tick_number(fetch, handle, every, sleep, now):
    start, cursor, tick = now(), None, 0
    while True:
        with contextlib.suppress(Exception):
            for event in await fetch(after=cursor):
                handle(event)
                cursor = event.cursor
        tick = max(tick + 1, math.ceil((now() - start) / every))
        await sleep(start + tick * every - now())


async def right_own_clock(fetch, handle, every, sleep, now):
    loop = asyncio.get_running_loop()
    start, cursor = loop.time(), None
    while True:
        try:
            news = await fetch(cursor)
            if news:
                cursor = news[-1].cursor
            for event in news:
                handle(event)
        except OSError:
            print("no answer, once more at the next tick")
        await asyncio.sleep(every - (loop.time() - start) % every)


async def right_recursion(fetch, handle, every, sleep, now, cursor=None, due=None):
    due = now() if due is None else due
    with contextlib.suppress(ConnectionError):
        for event in await fetch(cursor):
            handle(event)
            cursor = event.cursor
    due += every * max(1, math.ceil((now() - due) / every))
    await sleep(due - now())
    await right_recursion(fetch, handle, every, sleep, now, cursor, due)


async def right_task_for_each_request(fetch, handle, every, sleep, now):
    state = {"cursor": None}

    async def ask():
        for event in await fetch(state["cursor"]):
            handle(event)
            state["cursor"] = event.cursor

    start = now()
    while True:
        await asyncio.gather(asyncio.create_task(ask()), return_exceptions=True)
        await sleep(every - (now() - start) % every)


async def right_ticker(fetch, handle, every, sleep, now):
    async def ticks():
        start, number = time.monotonic(), 0
        while True:
            yield number
            number = max(number + 1, int((time.monotonic() - start) / every) + 1)
            await sleep(start + number * every - time.monotonic())

    cursor = None
    async for _ in ticks():
        try:
            async with asyncio.TaskGroup() as group:
                asked = group.create_task(fetch(cursor))
        except* ConnectionError:
            pass
        else:
            for event in asked.result():
                handle(event)
                cursor = event.cursor


async def wrong_drifts(fetch, handle, every, sleep, now):
    cursor = None
    while True:
        try:
            for event in await fetch(cursor):
                handle(event)
                cursor = event.cursor
        except ConnectionError:
            pass
        await sleep(every)


async def wrong_handles_twice(fetch, handle, every, sleep, now):
    due = now()
    while True:
        try:
            for event in await fetch():
                handle(event)
        except ConnectionError:
            pass
        due += every
        await sleep(max(0, due - now()))


async def wrong_forgets_the_cursor(fetch, handle, every, sleep, now):
    cursor, due = None, now()
    while True:
        try:
            events = await fetch(cursor)
            for event in events:
                handle(event)
            cursor = events[-1].cursor if events else None
        except ConnectionError:
            pass
        due += every
        await sleep(max(0, due - now()))


async def wrong_forgets_the_cursor__but_knows_what_it_has_seen(fetch, handle, every, sleep, now):
    cursor, due, seen = None, now(), set()
    while True:
        try:
            events = await fetch(cursor)
            for event in events:
                if event.id not in seen:
                    handle(event)
                    seen.add(event.id)
            cursor = events[-1].cursor if events else None
        except ConnectionError:
            pass
        due += every
        await sleep(max(0, due - now()))


async def wrong_misses_events(fetch, handle, every, sleep, now):
    cursor, due = None, now()
    while True:
        try:
            if events := await fetch(cursor):
                handle(events[-1])
                cursor = events[-1].cursor
        except ConnectionError:
            pass
        due += every
        await sleep(max(0, due - now()))


async def wrong_refetches(fetch, handle, every, sleep, now):
    seen, due = set(), now()
    while True:
        try:
            for event in await fetch(None):
                if event.cursor not in seen:
                    seen.add(event.cursor)
                    handle(event)
        except ConnectionError:
            pass
        due += every
        while due < now():
            due += every
        await sleep(due - now())


async def wrong_refetches__one_event_a_tick(fetch, handle, every, sleep, now):
    cursor, due = None, now()
    while True:
        try:
            events = await fetch(cursor)
            if events:
                handle(events[0])
                cursor = events[0].cursor
        except ConnectionError:
            pass
        due += every
        await sleep(max(0, due - now()))


async def wrong_out_of_order(fetch, handle, every, sleep, now):
    cursor, due = None, now()
    while True:
        try:
            events = await fetch(cursor)
            cursor = events[-1].cursor if events else cursor
            while events:
                handle(events.pop())
        except ConnectionError:
            pass
        due += every
        await sleep(max(0, due - now()))


async def wrong_overlaps(fetch, handle, every, sleep, now):
    cursor = None

    async def ask():
        nonlocal cursor
        with contextlib.suppress(ConnectionError):
            for event in await fetch(cursor):
                handle(event)
                cursor = event.cursor

    start, tick = now(), 0
    while True:
        asyncio.create_task(ask())
        tick += 1
        await sleep(start + tick * every - now())


async def wrong_catches_up(fetch, handle, every, sleep, now):
    cursor, due = None, now()
    while True:
        try:
            for event in await fetch(cursor):
                handle(event)
                cursor = event.cursor
        except ConnectionError:
            pass
        due += every
        await sleep(max(0, due - now()))


async def wrong_loses_the_beat(fetch, handle, every, sleep, now):
    cursor = None
    while True:
        started = now()
        try:
            for event in await fetch(cursor):
                handle(event)
                cursor = event.cursor
        except ConnectionError:
            pass
        await sleep(max(0, every - (now() - started)))


async def wrong_dies_on_failure(fetch, handle, every, sleep, now):
    cursor, due = None, now()
    while True:
        for event in await fetch(cursor):
            handle(event)
            cursor = event.cursor
        while due <= now():
            due += every
        await sleep(due - now())


async def wrong_dies_on_failure__in_a_task_group(fetch, handle, every, sleep, now):
    cursor, due = None, now()
    while True:
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(fetch(cursor))
        for event in asked.result():
            handle(event)
            cursor = event.cursor
        while due <= now():
            due += every
        await sleep(due - now())


async def wrong_gives_up_on_failure(fetch, handle, every, sleep, now):
    cursor, due = None, now()
    try:
        while True:
            for event in await fetch(cursor):
                handle(event)
                cursor = event.cursor
            while due <= now():
                due += every
            await sleep(due - now())
    except ConnectionError:
        print("the server is gone")


async def wrong_retries_at_once(fetch, handle, every, sleep, now):
    cursor, due = None, now()
    while True:
        try:
            events = await fetch(cursor)
        except ConnectionError:
            continue
        for event in events:
            handle(event)
            cursor = event.cursor
        while due <= now():
            due += every
        await sleep(due - now())


async def wrong_loses_the_cursor_on_failure(fetch, handle, every, sleep, now):
    cursor, due = None, now()
    while True:
        try:
            for event in await fetch(cursor):
                handle(event)
                cursor = event.cursor
        except ConnectionError:
            cursor = None
        while due <= now():
            due += every
        await sleep(due - now())


async def wrong_loses_the_beat_on_failure(fetch, handle, every, sleep, now):
    cursor, due = None, now()
    while True:
        try:
            for event in await fetch(cursor):
                handle(event)
                cursor = event.cursor
        except ConnectionError:
            await sleep(every / 2)
            due = now()
        while due <= now():
            due += every
        await sleep(due - now())


async def wrong_raises_IndexError(fetch, handle, every, sleep, now):
    cursor = None
    while True:
        events = await fetch(cursor)
        for event in events:
            handle(event)
        cursor = events[-1].cursor
        await sleep(every)


async def wrong_raises_TypeError(fetch, handle, every, sleep, now):
    cursor = None
    while True:
        for event in await fetch(cursor):
            await handle(event)
            cursor = event.cursor
        await sleep(every)


async def wrong_not_a_cursor(fetch, handle, every, sleep, now):
    last = None
    while True:
        try:
            for event in await fetch(last):
                handle(event)
                last = event.id
        except Exception:
            pass
        await sleep(every)


async def wrong_forgets_await(fetch, handle, every, sleep, now):
    cursor = None
    while True:
        for event in fetch(cursor):
            handle(event)
            cursor = event.cursor
        await sleep(every)


async def wrong_forgets_await__of_sleep(fetch, handle, every, sleep, now):
    cursor = None
    while True:
        for event in await fetch(cursor):
            handle(event)
            cursor = event.cursor
        sleep(every)


def wrong_not_async(fetch, handle, every, sleep, now):
    cursor = None
    while True:
        for event in fetch(cursor):
            handle(event)
            cursor = event.cursor
        sleep(every)


async def wrong_blocks(fetch, handle, every, sleep, now):
    cursor = None
    while True:
        try:
            for event in await fetch(cursor):
                handle(event)
                cursor = event.cursor
        except Exception:
            pass
        time.sleep(every)  # noqa: ASYNC251


async def wrong_hammers(fetch, handle, every, sleep, now):
    cursor = None
    while True:
        try:
            for event in await fetch(cursor):
                handle(event)
                cursor = event.cursor
        except Exception as error:
            print(error)


async def wrong_ignores_every(fetch, handle, every, sleep, now):
    cursor, due = None, now()
    while True:
        try:
            for event in await fetch(cursor):
                handle(event)
                cursor = event.cursor
        except ConnectionError:
            pass
        while due <= now():
            due += 1
        await sleep(due - now())


async def wrong_starts_late(fetch, handle, every, sleep, now):
    cursor, due = None, now()
    while True:
        while due <= now():
            due += every
        await sleep(due - now())
        try:
            for event in await fetch(cursor):
                handle(event)
                cursor = event.cursor
        except ConnectionError:
            pass


async def wrong_ends(fetch, handle, every, sleep, now):
    for event in await fetch():
        handle(event)
    await sleep(every)


async def wrong_cannot_be_stopped(fetch, handle, every, sleep, now):
    cursor, due = None, now()
    while True:
        try:
            for event in await fetch(cursor):
                handle(event)
                cursor = event.cursor
        except:  # noqa: E722
            pass
        while due <= now():
            due += every
        await sleep(due - now())
