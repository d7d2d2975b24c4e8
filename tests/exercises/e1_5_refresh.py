"""Exercise 1.5: `refresh(fetch, show, place)`, the repair of a poll that loses messages."""

import asyncio
import time


async def right_number(fetch, show, place):
    last = place or 0
    for message in await fetch(after_id=last):
        show(message)
        last = message["id"]
    return last


async def right_dict(fetch, show, place):
    place = place or {"seen": 0}
    messages = await fetch(after_id=place["seen"])
    for message in messages:
        show(message)
    return {"seen": max([place["seen"], *(message["id"] for message in messages)])}


async def right_first_and_later(fetch, show, place):
    messages = await fetch() if place is None else await fetch(after_id=place)
    for message in messages:
        show(message)
    return messages[-1]["id"] if messages else place


async def right_stamp_and_what_was_seen(fetch, show, place):
    stamp, seen = place or (None, frozenset())
    messages = await fetch(since_ms=None if stamp is None else stamp - 1)
    for message in messages:
        if message["id"] not in seen:
            show(message)
    stamp = max([message["at_ms"] for message in messages], default=stamp)
    return None if stamp is None else (stamp, seen | {message["id"] for message in messages})


async def right_recursion(fetch, show, place):
    async def go_on(messages, place):
        if not messages:
            return place
        first, *rest = messages
        show(first)
        return await go_on(rest, (first["id"],))

    return await go_on(await fetch(after_id=place[0] if place else 0), place)


async def wrong_lost_between_polls(fetch, show, place):
    for message in await fetch(since_ms=place):
        show(message)
    return round(time.time() * 1000)


async def wrong_lost_between_polls__loop_clock(fetch, show, place):
    for message in await fetch(since_ms=place):
        show(message)
    return asyncio.get_running_loop().time() * 1000


async def wrong_lost_in_the_same_millisecond(fetch, show, place):
    for message in await fetch(since_ms=place):
        show(message)
        place = message["at_ms"]
    return place


async def wrong_lost_in_the_same_millisecond__own_clock_before(fetch, show, place):
    asked = round(time.time() * 1000)
    for message in await fetch(since_ms=place):
        show(message)
    return asked


async def wrong_trusts_its_own_clock(fetch, show, place):
    since, seen = place or (None, set())
    asked = time.time() * 1000
    for message in await fetch(since_ms=since):
        if message["id"] not in seen:
            seen.add(message["id"])
            show(message)
    return asked - 1000, seen


async def wrong_shown_twice(fetch, show, place):
    for message in await fetch():
        show(message)
        place = message["id"]
    return place


async def wrong_shown_twice__one_overlap(fetch, show, place):
    for message in await fetch(after_id=(place or 1) - 1):
        show(message)
        place = message["id"]
    return place


async def wrong_forgets_the_place(fetch, show, place):
    messages = await fetch(after_id=place or 0)
    for message in messages:
        show(message)
    return messages[-1]["id"] if messages else 0


async def wrong_returns_no_place(fetch, show, place):
    for message in await fetch(after_id=place or 0):
        show(message)
        place = message["id"]


async def wrong_returns_no_place__when_nothing_came(fetch, show, place):
    messages = await fetch(after_id=place or 0)
    for message in messages:
        show(message)
    return messages[-1]["id"] if messages else None


async def wrong_misses_messages(fetch, show, place):
    messages = await fetch(after_id=place or 0)
    if messages:
        show(messages[-1])
        place = messages[-1]["id"]
    return place


async def wrong_out_of_order(fetch, show, place):
    messages = await fetch(after_id=place or 0)
    for message in sorted(messages, key=lambda message: message["id"], reverse=True):
        show(message)
    return max([place or 0, *(message["id"] for message in messages)])


async def wrong_raises_ValueError(fetch, show, place):
    messages = await fetch(after_id=place or 0)
    for message in messages:
        show(message)
    return max(message["id"] for message in messages)


async def wrong_raises_IndexError(fetch, show, place):
    messages = await fetch(after_id=place or 0)
    for message in messages:
        show(message)
    return messages[-1]["id"]


async def wrong_raises_TypeError(fetch, show, place):
    messages = await fetch(place)
    for message in messages:
        show(message)
        place = message["id"]
    return place


async def wrong_raises_AttributeError(fetch, show, place):
    for message in await fetch(after_id=place or 0):
        show(message)
        place = message.id
    return place


async def wrong_forgets_await(fetch, show, place):
    for message in fetch(after_id=place or 0):
        show(message)
        place = message["id"]
    return place
