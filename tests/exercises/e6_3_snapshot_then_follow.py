"""Exercise 6.3: `snapshot_then_follow(stream, cursor)`: what was missed, then what comes, and Gone where something is missing."""

import asyncio
from itertools import count

from labs.feed import Gone


async def right_counts_the_snapshot(stream, cursor):
    newest = await stream.last_id()
    if cursor and cursor.epoch != newest.epoch:
        raise Gone("another epoch")
    last = cursor.number if cursor else 0
    missed = await stream.range(last, newest.number)
    if cursor and len(missed) < newest.number - last:
        raise Gone("no longer kept")
    for entry in missed:
        yield entry
    last = newest.number
    while True:
        for entry in await stream.read(last):
            last += 1
            if entry.number != last:
                raise Gone("no longer kept")
            yield entry


async def right_one_loop_with_the_number_that_is_due(stream, cursor):
    epoch, newest = await stream.last_id()
    if cursor is not None and cursor.epoch != epoch:
        raise Gone("another epoch")
    entries = await stream.range(cursor.number if cursor else 0, newest)
    if cursor:
        due = cursor.number + 1
        if not entries and newest >= due:
            raise Gone("all of it has gone")
    else:
        due = entries[0].number if entries else newest + 1
    while True:
        for entry in entries:
            if entry.number != due:
                raise Gone(f"{due} is missing")
            yield entry
            due += 1
        entries = await stream.read(due - 1)


async def right_asks_once_and_then_reads(stream, cursor):
    """XREAD gives the snapshot, too; the newest id is needed to know that there is one."""
    newest = await stream.last_id()
    if cursor:
        if cursor.epoch != newest.epoch:
            raise Gone("another epoch")
        if cursor.number < newest.number and not await stream.range(cursor.number, cursor.number + 1):
            raise Gone("the next one is missing")
        last = cursor.number
    else:
        last = None
    while True:
        for entry in await stream.read(0 if last is None and newest.number else last or 0):
            if last is not None and entry.number != last + 1:
                raise Gone("missing")
            yield entry
            last = entry.number


async def right_with_helpers(stream, cursor):
    newest = await stream.last_id()
    start = await stream.range(cursor.number if cursor else 0, newest.number)
    numbers = [entry.number for entry in start]
    first = cursor.number + 1 if cursor else (numbers or [newest.number + 1])[0]
    if (cursor and cursor.epoch != newest.epoch) or numbers != list(range(first, newest.number + 1)):
        raise Gone
    for entry in start:
        yield entry
    due = count(newest.number + 1)
    last = newest.number
    while entries := await stream.read(last):
        for entry in entries:
            if entry.number != next(due):
                raise Gone
            yield entry
        last = entries[-1].number


async def wrong_not_a_generator(stream, cursor):
    return await stream.range(cursor.number if cursor else 0, 10)


async def wrong_not_entries(stream, cursor):
    newest = await stream.last_id()
    yield await stream.range(cursor.number if cursor else 0, newest.number)


async def wrong_forgets_await(stream, cursor):
    newest = stream.last_id()
    for entry in stream.range(cursor.number if cursor else 0, newest.number):
        yield entry


async def wrong_wrong_snapshot(stream, cursor):
    """Follows from the newest entry, like XREAD with $."""
    last = (await stream.last_id()).number
    while True:
        for entry in await stream.read(last):
            yield entry
            last = entry.number


async def wrong_wrong_snapshot__dies_without_a_cursor(stream, cursor):
    newest = await stream.last_id()
    for entry in await stream.range(cursor.number if cursor else newest.number, newest.number):
        yield entry
    last = newest.number
    while True:
        for entry in await stream.read(last):
            yield entry
            last = entry.number


async def wrong_ends(stream, cursor):
    newest = await stream.last_id()
    for entry in await stream.range(cursor.number if cursor else 0, newest.number):
        yield entry


async def wrong_does_not_follow(stream, cursor):
    newest = await stream.last_id()
    for entry in await stream.range(cursor.number if cursor else 0, newest.number):
        yield entry
    for entry in await stream.read(newest.number):
        yield entry
    await asyncio.sleep(1000)


async def wrong_polls(stream, cursor):
    last = cursor.number if cursor else 0
    while True:
        newest = await stream.last_id()
        for entry in await stream.range(last, newest.number):
            yield entry
            last = entry.number
        await asyncio.sleep(0.5)


async def wrong_told_twice(stream, cursor):
    start = cursor.number if cursor else 0
    newest = await stream.last_id()
    for entry in await stream.range(start, newest.number):
        yield entry
    last = start
    while True:
        for entry in await stream.read(last):
            yield entry
            last = entry.number


async def wrong_lost_after_the_position(stream, cursor):
    """The range is open to the end, and the following begins at its newest … as it is afterwards."""
    newest = await stream.last_id()
    for entry in await stream.range(cursor.number if cursor else 0, newest.number):
        yield entry
    last = (await stream.last_id()).number
    while True:
        for entry in await stream.read(last):
            yield entry
            last = entry.number


async def wrong_lost_after_the_snapshot(stream, cursor):
    missed = await stream.range(cursor.number if cursor else 0, 10**6)
    last = (await stream.last_id()).number
    for entry in missed:
        yield entry
    while True:
        for entry in await stream.read(last):
            yield entry
            last = entry.number


async def wrong_lost_while_reading(stream, cursor):
    """Like XREAD with $ in a loop: from the newest at the time of each call."""
    newest = await stream.last_id()
    for entry in await stream.range(cursor.number if cursor else 0, newest.number):
        yield entry
    last = newest.number
    while True:
        for entry in await stream.read(last):
            yield entry
        last = (await stream.last_id()).number


async def follow(stream, cursor, *, holes=True, epoch=True, whole=True, newcomers=True):
    """A right answer, parts of which can be left out."""
    newest = await stream.last_id()
    if epoch and cursor and cursor.epoch != newest.epoch:
        raise Gone("another epoch")
    last = cursor.number if cursor else 0
    missed = await stream.range(last, newest.number)
    if whole and (cursor or not newcomers) and len(missed) < newest.number - last:
        raise Gone("no longer kept")
    for entry in missed:
        yield entry
    last = newest.number
    while True:
        for entry in await stream.read(last):
            if holes and entry.number != last + 1:
                raise Gone("no longer kept")
            yield entry
            last = entry.number


async def wrong_silent_hole(stream, cursor):
    async for entry in follow(stream, cursor, whole=False):
        yield entry


async def wrong_silent_hole__swallows_gone(stream, cursor):
    try:
        async for entry in follow(stream, cursor):
            yield entry
    except Gone:
        return


async def wrong_silent_hole__starts_over(stream, cursor):
    try:
        async for entry in follow(stream, cursor):
            yield entry
    except Gone:
        async for entry in follow(stream, None):
            yield entry


async def wrong_tells_too_late(stream, cursor):
    """Looks at entries only, and where there are none sees nothing."""
    newest = await stream.last_id()
    if cursor and cursor.epoch != newest.epoch:
        raise Gone("another epoch")
    last = cursor.number if cursor else None
    while True:
        for entry in await stream.read(last or 0):
            if last is not None and entry.number != last + 1:
                raise Gone("no longer kept")
            yield entry
            last = entry.number


async def wrong_gone_for_newcomers(stream, cursor):
    async for entry in follow(stream, cursor, newcomers=False):
        yield entry


async def wrong_gone_for_nothing(stream, cursor):
    newest = await stream.last_id()
    if cursor and not await stream.range(cursor.number, newest.number):
        raise Gone("nothing is kept after the cursor")
    async for entry in follow(stream, cursor):
        yield entry


async def wrong_ignores_the_epoch(stream, cursor):
    async for entry in follow(stream, cursor, epoch=False):
        yield entry


async def wrong_ignores_the_epoch__looks_at_numbers(stream, cursor):
    newest = await stream.last_id()
    if cursor and cursor.number > newest.number:
        raise Gone("ahead of the stream")
    async for entry in follow(stream, cursor, epoch=False):
        yield entry


async def wrong_silent_hole_while_following(stream, cursor):
    async for entry in follow(stream, cursor, holes=False):
        yield entry
