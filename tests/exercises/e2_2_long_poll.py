"""Exercise 2.2: `long_poll(fetch, handle, gap, sleep)`, the client's loop."""

import asyncio
from itertools import chain, repeat

from labs.feed import Gone


async def right_one_loop(fetch, handle, gap, sleep):
    after, pause = None, 1
    while True:
        try:
            events = await fetch(after)
        except (Gone, ConnectionError, TimeoutError) as failure:
            if isinstance(failure, Gone) and after is not None:
                gap()
                after = None
            else:
                await sleep(pause)
                pause = min(2 * pause, 30)
            continue
        pause = 1
        for event in events:
            handle(event)
            after = event.cursor


async def right_counts_failures(fetch, handle, gap, sleep):
    cursor, failed = None, 0
    while True:
        try:
            news = await fetch(cursor)
            failed = 0
        except Gone:
            if cursor:
                gap()
                cursor = None
                continue
            failed += 1
        except OSError:
            failed += 1
        if failed:
            await sleep(min(30, 2 ** (failed - 1)))
            continue
        for event in news:
            handle(event)
        if news:
            cursor = news[-1].cursor


async def right_generator_of_pauses(fetch, handle, gap, sleep):
    def pauses():
        return chain((1, 2, 4, 8, 16), repeat(30))

    async def ask(cursor):
        waiting = pauses()
        while True:
            try:
                return await fetch(cursor), cursor
            except Gone:
                if cursor is not None:
                    gap()
                    cursor = None
                    continue
            except (TimeoutError, ConnectionError):
                pass
            await sleep(next(waiting))

    cursor = None
    while True:
        events, cursor = await ask(cursor)
        for event in events:
            handle(event)
            cursor = event.cursor


async def right_own_sleep_in_pieces(fetch, handle, gap, sleep):
    after, pause = None, 1
    while True:
        try:
            for event in await fetch(after):
                handle(event)
                after = event.cursor
            pause = 1
        except Exception as failure:
            if type(failure) is Gone and after is not None:
                after = gap()
                continue
            for _ in range(pause):
                await asyncio.sleep(1)
            pause = min(pause * 2, 30)


async def loop(fetch, handle, gap, sleep, *, idle=0, first=1, factor=2, most=30, reset=True, gone_pause=0):
    """What most of the wrong ones share, with one number changed."""
    after, pause = None, first
    while True:
        try:
            events = await fetch(after)
        except Gone:
            if after is not None:
                gap()
                after = None
                await sleep(gone_pause)
                continue
            events = None
        except (ConnectionError, TimeoutError):
            events = None
        if events is None:
            await sleep(pause)
            pause = min(factor * pause, most)
            continue
        pause = first if reset is True or (reset == "news" and events) else pause
        for event in events:
            handle(event)
            after = event.cursor
        await sleep(idle)


async def wrong_pauses_after_an_answer(fetch, handle, gap, sleep):
    await loop(fetch, handle, gap, sleep, idle=1)


async def wrong_does_not_double(fetch, handle, gap, sleep):
    await loop(fetch, handle, gap, sleep, factor=1)


async def wrong_no_upper_limit(fetch, handle, gap, sleep):
    await loop(fetch, handle, gap, sleep, most=10_000)


async def wrong_doubles_too_early(fetch, handle, gap, sleep):
    await loop(fetch, handle, gap, sleep, first=2)


async def wrong_wrong_limit(fetch, handle, gap, sleep):
    await loop(fetch, handle, gap, sleep, most=20)


async def wrong_wrong_pauses(fetch, handle, gap, sleep):
    await loop(fetch, handle, gap, sleep, factor=3)


async def wrong_never_resets(fetch, handle, gap, sleep):
    await loop(fetch, handle, gap, sleep, reset=False)


async def wrong_empty_answer_does_not_reset(fetch, handle, gap, sleep):
    await loop(fetch, handle, gap, sleep, reset="news")


async def wrong_pauses_after_410(fetch, handle, gap, sleep):
    await loop(fetch, handle, gap, sleep, gone_pause=1)


async def wrong_pauses_after_silence(fetch, handle, gap, sleep):
    after, pause = None, 1
    while True:
        try:
            events = await fetch(after)
            if not events:
                raise TimeoutError
            pause = 1
            for event in events:
                handle(event)
                after = event.cursor
        except Gone:
            gap()
            after = None
        except (ConnectionError, TimeoutError):
            await sleep(pause)
            pause = min(2 * pause, 30)


async def wrong_ends(fetch, handle, gap, sleep):
    after = None
    while events := await fetch(after):
        for event in events:
            handle(event)
            after = event.cursor


async def wrong_asks_the_same_again(fetch, handle, gap, sleep):
    while True:
        for event in await fetch(None):
            handle(event)


async def wrong_handles_twice(fetch, handle, gap, sleep):
    after = None
    while True:
        events = await fetch(after)
        for event in events:
            handle(event)
        after = events[0].cursor if events else after


async def wrong_forgets_the_cursor(fetch, handle, gap, sleep):
    after = None
    while True:
        events = await fetch(after)
        for event in events:
            handle(event)
        after = events[-1].cursor if events else None


async def wrong_raises_IndexError(fetch, handle, gap, sleep):
    after = None
    while True:
        events = await fetch(after)
        for event in events:
            handle(event)
        after = events[-1].cursor


async def wrong_misses_events(fetch, handle, gap, sleep):
    after = None
    while True:
        events = await fetch(after)
        if events:
            handle(events[-1])
            after = events[-1].cursor


async def wrong_out_of_order(fetch, handle, gap, sleep):
    after = None
    while True:
        events = await fetch(after)
        for event in reversed(events):
            handle(event)
        after = events[-1].cursor if events else after


async def wrong_not_a_cursor(fetch, handle, gap, sleep):
    after = None
    while True:
        for event in await fetch(after):
            handle(event)
            after = event.id


async def wrong_handles_something_else(fetch, handle, gap, sleep):
    after = None
    while True:
        if events := await fetch(after):
            handle(events)
            after = events[-1].cursor


async def wrong_dies_on_failure(fetch, handle, gap, sleep):
    after = None
    while True:
        try:
            for event in await fetch(after):
                handle(event)
                after = event.cursor
        except Gone:
            gap()
            after = None


async def wrong_dies_on_time_out(fetch, handle, gap, sleep):
    after, pause = None, 1
    while True:
        try:
            for event in await fetch(after):
                handle(event)
                after = event.cursor
            pause = 1
        except Gone:
            gap()
            after = None
        except ConnectionError:
            await sleep(pause)
            pause = min(2 * pause, 30)


async def wrong_hammers(fetch, handle, gap, sleep):
    after = None
    while True:
        try:
            for event in await fetch(after):
                handle(event)
                after = event.cursor
        except Gone:
            gap()
            after = None
        except (ConnectionError, TimeoutError):
            continue


async def wrong_loses_the_cursor_on_failure(fetch, handle, gap, sleep):
    pause = 1
    while True:
        after = None
        try:
            while True:
                for event in await fetch(after):
                    handle(event)
                    after = event.cursor
                pause = 1
        except Gone:
            gap()
        except (ConnectionError, TimeoutError):
            await sleep(pause)
            pause = min(2 * pause, 30)


async def with_gone(fetch, handle, gap, sleep, on_gone):
    """A loop that is right but for what it does on Gone."""
    after, pause = None, 1
    while True:
        try:
            for event in await fetch(after):
                handle(event)
                after = event.cursor
            pause = 1
        except Gone:
            after = on_gone(after)
        except (ConnectionError, TimeoutError):
            await sleep(pause)
            pause = min(2 * pause, 30)


async def wrong_hammers_on_410(fetch, handle, gap, sleep):
    def on_gone(after):
        if after:
            gap()

    await with_gone(fetch, handle, gap, sleep, on_gone)


async def wrong_gap_again_and_again__and_hammers(fetch, handle, gap, sleep):
    await with_gone(fetch, handle, gap, sleep, lambda after: gap())


async def wrong_silent_gap(fetch, handle, gap, sleep):
    await with_gone(fetch, handle, gap, sleep, lambda after: None)


async def wrong_stuck_on_410(fetch, handle, gap, sleep):
    def on_gone(after):
        gap()
        return after

    await with_gone(fetch, handle, gap, sleep, on_gone)


async def wrong_second_gap_is_silent(fetch, handle, gap, sleep):
    told = []

    def on_gone(after):
        if not told:
            told.append(gap())

    await with_gone(fetch, handle, gap, sleep, on_gone)


async def wrong_dies_on_410(fetch, handle, gap, sleep):
    after, pause = None, 1
    while True:
        try:
            for event in await fetch(after):
                handle(event)
                after = event.cursor
            pause = 1
        except (ConnectionError, TimeoutError):
            await sleep(pause)
            pause = min(2 * pause, 30)


async def wrong_gap_again_and_again(fetch, handle, gap, sleep):
    after, pause = None, 1
    while True:
        try:
            events = await fetch(after)
        except Gone:
            gap()
            if after is None:
                await sleep(pause)
                pause = min(2 * pause, 30)
            after = None
            continue
        except (ConnectionError, TimeoutError):
            await sleep(pause)
            pause = min(2 * pause, 30)
            continue
        pause = 1
        for event in events:
            handle(event)
            after = event.cursor


async def wrong_gap_too_late(fetch, handle, gap, sleep):
    async def fetch_again(after):
        try:
            return await fetch(after), False
        except Gone:
            if after is None:
                raise ConnectionError from None
            return await fetch(None), True

    after, pause = None, 1
    while True:
        try:
            events, gone = await fetch_again(after)
        except (Gone, ConnectionError, TimeoutError):
            await sleep(pause)
            pause = min(2 * pause, 30)
            continue
        pause = 1
        for event in events:
            handle(event)
            after = event.cursor
        if gone:
            gap()


async def wrong_calls_gap_for_nothing(fetch, handle, gap, sleep):
    after, pause = None, 1
    while True:
        try:
            for event in await fetch(after):
                handle(event)
                after = event.cursor
            pause = 1
        except Gone:
            gap()
            after = None
        except (ConnectionError, TimeoutError):
            gap()
            await sleep(pause)
            pause = min(2 * pause, 30)


async def wrong_overlaps(fetch, handle, gap, sleep):
    async def one():
        for event in await fetch(None):
            handle(event)

    await asyncio.gather(one(), one())
