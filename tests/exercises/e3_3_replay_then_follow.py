"""Exercise 3.3: `replay_then_follow(feed, cursor)`, an async generator: what was missed, then what comes, without a gap."""

import asyncio
from contextlib import ExitStack, contextmanager, suppress
from itertools import count

from labs.feed import Gone


async def right_finally(feed, cursor):
    queue = feed.subscribe()
    try:
        last = 0
        for event in await feed.since(cursor):
            yield event
            last = event.id
        while True:
            event = await queue.get()
            if event.id > last:
                yield event
    finally:
        feed.unsubscribe(queue)


@contextmanager
def subscribed(feed):
    queue = feed.subscribe()
    try:
        yield queue
    finally:
        feed.unsubscribe(queue)


async def right_context_manager_and_set(feed, cursor):
    with subscribed(feed) as queue:
        replayed = await feed.since(cursor)
        known = {event.cursor for event in replayed}
        for event in replayed:
            yield event
        while event := await queue.get():
            if event.cursor not in known:
                yield event


async def right_exit_stack_and_one_loop(feed, cursor):
    with ExitStack() as stack:
        queue = feed.subscribe()
        stack.callback(feed.unsubscribe, queue)
        pending, last = list(await feed.since(cursor)), -1
        while True:
            event = pending.pop(0) if pending else await queue.get()
            if event.id > last:
                last = event.id
                yield event


async def right_drains_after_the_replay(feed, cursor):
    live = feed.subscribe()
    try:
        old = await feed.since(cursor)
        for event in old:
            yield event
        while not live.empty():
            event = live.get_nowait()
            if event not in old:
                yield event
        while True:
            yield await live.get()
    finally:
        feed.unsubscribe(live)


async def wrong_not_a_generator(feed, cursor):
    return await feed.since(cursor)


async def wrong_not_a_generator__list(feed, cursor):
    queue, events = feed.subscribe(), []
    for event in await feed.since(cursor):
        events.append(event)
    while True:
        events.append(await queue.get())


async def wrong_not_events(feed, cursor):
    queue = feed.subscribe()
    yield await feed.since(cursor)
    while True:
        yield [await queue.get()]


async def wrong_forgets_await(feed, cursor):
    for event in feed.since(cursor):
        yield event


async def wrong_wrong_replay(feed, cursor):
    queue = feed.subscribe()
    while True:
        yield await queue.get()


async def wrong_told_twice(feed, cursor):
    queue = feed.subscribe()
    try:
        for event in await feed.since(cursor):
            yield event
        while True:
            yield await queue.get()
    finally:
        feed.unsubscribe(queue)


async def wrong_told_twice__only_compares_the_first(feed, cursor):
    queue, last = feed.subscribe(), None
    try:
        for event in await feed.since(cursor):
            yield event
            last = event
        event = await queue.get()
        if event != last:
            yield event
        while True:
            yield await queue.get()
    finally:
        feed.unsubscribe(queue)


async def wrong_ends(feed, cursor):
    for event in await feed.since(cursor):
        yield event


async def wrong_does_not_follow(feed, cursor):
    queue = feed.subscribe()
    missed = await feed.since(cursor)
    for event in missed:
        yield event
    while True:
        event = await queue.get()
        if event in missed:
            yield event


async def wrong_polls(feed, cursor):
    while True:
        for event in await feed.since(cursor):
            yield event
            cursor = event.cursor
        await asyncio.sleep(0.5)


async def wrong_lost_while_replaying(feed, cursor):
    for event in await feed.since(cursor):
        yield event
    queue = feed.subscribe()
    try:
        while True:
            yield await queue.get()
    finally:
        feed.unsubscribe(queue)


async def wrong_lost_while_replaying__empties_the_queue(feed, cursor):
    queue = feed.subscribe()
    try:
        for event in await feed.since(cursor):
            yield event
        with suppress(asyncio.QueueEmpty):
            for _ in count():
                queue.get_nowait()
        while True:
            yield await queue.get()
    finally:
        feed.unsubscribe(queue)


async def wrong_lost_while_fetching(feed, cursor):
    missed = await feed.since(cursor)
    queue = feed.subscribe()
    try:
        for event in missed:
            yield event
        while True:
            yield await queue.get()
    finally:
        feed.unsubscribe(queue)


async def wrong_lost_while_fetching__empties_the_queue(feed, cursor):
    queue = feed.subscribe()
    try:
        missed = await feed.since(cursor)
        while not queue.empty():
            queue.get_nowait()
        for event in missed:
            yield event
        while True:
            yield await queue.get()
    finally:
        feed.unsubscribe(queue)


async def wrong_compares_text(feed, cursor):
    queue = feed.subscribe()
    try:
        last = cursor or ""
        for event in await feed.since(cursor):
            yield event
            last = event.cursor
        while True:
            event = await queue.get()
            if event.cursor > last:
                yield event
    finally:
        feed.unsubscribe(queue)


async def wrong_out_of_order(feed, cursor):
    queue, seen = feed.subscribe(), set()
    try:
        missed = await feed.since(cursor)
        while not queue.empty():
            event = queue.get_nowait()
            seen.add(event.id)
            yield event
        for event in missed:
            if event.id not in seen:
                seen.add(event.id)
                yield event
        while True:
            event = await queue.get()
            if event.id not in seen:
                yield event
    finally:
        feed.unsubscribe(queue)


async def follow(feed, cursor, queue):
    last = 0
    for event in await feed.since(cursor):
        yield event
        last = event.id
    while True:
        event = await queue.get()
        if event.id > last:
            yield event


async def wrong_swallows_gone(feed, cursor):
    queue = feed.subscribe()
    try:
        async for event in follow(feed, cursor, queue):
            yield event
    except Gone:
        return
    finally:
        feed.unsubscribe(queue)


async def wrong_swallows_gone__starts_over(feed, cursor):
    queue = feed.subscribe()
    try:
        try:
            missed = await feed.since(cursor)
        except Gone:
            missed = await feed.since(None)
        last = 0
        for event in missed:
            yield event
            last = event.id
        while True:
            event = await queue.get()
            if event.id > last:
                yield event
    finally:
        feed.unsubscribe(queue)


async def wrong_leaks_on_gone(feed, cursor):
    queue = feed.subscribe()
    async for event in follow(feed, cursor, queue):
        yield event
    feed.unsubscribe(queue)


async def wrong_leaks_when_left(feed, cursor):
    queue = feed.subscribe()
    try:
        async for event in follow(feed, cursor, queue):
            yield event
    except Exception:
        feed.unsubscribe(queue)
        raise


async def wrong_leaks_when_left__aclose_only(feed, cursor):
    queue = feed.subscribe()
    try:
        async for event in follow(feed, cursor, queue):
            yield event
    except (GeneratorExit, Gone):
        feed.unsubscribe(queue)
        raise


async def wrong_leaks_when_left__cancelled_only(feed, cursor):
    queue = feed.subscribe()
    try:
        async for event in follow(feed, cursor, queue):
            yield event
    except (asyncio.CancelledError, Gone):
        feed.unsubscribe(queue)
        raise


async def wrong_unsubscribes_another(feed, cursor):
    queue = feed.subscribe()
    try:
        async for event in follow(feed, cursor, queue):
            yield event
    finally:
        feed.unsubscribe(asyncio.Queue())
