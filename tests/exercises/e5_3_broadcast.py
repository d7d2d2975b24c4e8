"""Exercise 5.3: `broadcast(members, text, patience)`, for which nobody waits."""

import asyncio
from contextlib import suppress

GONE = (ConnectionError, TimeoutError)


async def right_gather_and_timeout(members, text, patience):
    async def failed(member):
        try:
            async with asyncio.timeout(patience):
                await member.send(text)
        except GONE:
            return member

    return set(await asyncio.gather(*(failed(member) for member in members))) - {None}


async def right_wait(members, text, patience):
    sending = {asyncio.create_task(member.send(text)): member for member in members}
    if not sending:
        return set()
    try:
        await asyncio.wait(sending, timeout=patience)
    finally:
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
    return {member for task, member in sending.items() if task.cancelled() or task.exception()}


async def right_task_group(members, text, patience):
    dropped = set()

    async def send(member):
        try:
            await asyncio.wait_for(member.send(text), patience)
        except GONE:
            dropped.add(member)

    async with asyncio.TaskGroup() as group:
        for member in members:
            group.create_task(send(member))
    return dropped


async def right_return_exceptions(members, text, patience):
    now = list(members)
    sending = [asyncio.wait_for(member.send(text), patience) for member in now]
    results = await asyncio.gather(*sending, return_exceptions=True)
    return {member for member, result in zip(now, results, strict=True) if isinstance(result, Exception)}


async def wrong_waits_in_turn(members, text, patience):
    dropped = set()
    for member in list(members):
        try:
            async with asyncio.timeout(patience):
                await member.send(text)
        except GONE:
            dropped.add(member)
    return dropped


async def wrong_not_sent(members, text, patience):
    return set()


async def wrong_not_sent__too_early(members, text, patience):
    tasks = [asyncio.create_task(member.send(text)) for member in members]
    await asyncio.sleep(0)
    return {member for task, member in zip(tasks, members, strict=True) if task.done() and task.exception()}


async def wrong_sent_twice(members, text, patience):
    await right_wait(members, text, patience)
    return await right_gather_and_timeout(members, text, patience)


async def wrong_forgets_await(members, text, patience):
    dropped = set()
    for member in members:
        try:
            member.send(text)
        except ConnectionError:
            dropped.add(member)
    return dropped


async def wrong_not_a_set(members, text, patience):
    return list(await right_task_group(members, text, patience))


async def wrong_not_a_set__nothing(members, text, patience):
    members -= await right_task_group(members, text, patience)


async def wrong_dies_without_members(members, text, patience):
    sending = {asyncio.create_task(member.send(text)): member for member in members}
    done, pending = await asyncio.wait(sending, timeout=patience)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    return {sending[task] for task in pending} | {sending[task] for task in done if task.exception()}


async def wrong_gives_up_too_early(members, text, patience):
    return await right_wait(members, text, 1)


async def wrong_one_failure_ends_all(members, text, patience):
    async with asyncio.timeout(patience):
        await asyncio.gather(*(member.send(text) for member in members))
    return set()


async def wrong_one_failure_ends_all__task_group(members, text, patience):
    async with asyncio.TaskGroup() as group:
        for member in members:
            group.create_task(asyncio.wait_for(member.send(text), patience))
    return set()


async def wrong_one_failure_ends_all__timeout_only(members, text, patience):
    async def send(member):
        try:
            async with asyncio.timeout(patience):
                await member.send(text)
        except TimeoutError:
            return member

    return set(await asyncio.gather(*map(send, members))) - {None}


async def wrong_cancels_the_healthy(members, text, patience):
    sending = {asyncio.create_task(member.send(text)): member for member in members}
    if not sending:
        return set()
    done, pending = await asyncio.wait(sending, timeout=patience, return_when=asyncio.FIRST_EXCEPTION)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    return {sending[task] for task in pending} | {sending[task] for task in done if task.exception()}


async def wrong_cancels_the_healthy__task_group(members, text, patience):
    dropped = set()
    try:
        async with asyncio.timeout(patience), asyncio.TaskGroup() as group:
            for member in members:
                group.create_task(member.send(text))
    except* ConnectionError:
        dropped = set(members)
    return dropped


async def wrong_keeps_the_failed(members, text, patience):
    async def send(member):
        try:
            async with asyncio.timeout(patience):
                await member.send(text)
        except ConnectionError:
            pass
        except TimeoutError:
            return member

    return set(await asyncio.gather(*map(send, members))) - {None}


async def wrong_waits_for_the_slow(members, text, patience):
    now = list(members)
    results = await asyncio.gather(*(member.send(text) for member in now), return_exceptions=True)
    return {member for member, result in zip(now, results, strict=True) if isinstance(result, Exception)}


async def wrong_keeps_the_slow(members, text, patience):
    async def send(member):
        try:
            async with asyncio.timeout(patience):
                await member.send(text)
        except TimeoutError:
            pass
        except ConnectionError:
            return member

    return set(await asyncio.gather(*map(send, members))) - {None}


async def wrong_drops_the_healthy(members, text, patience):
    now, dropped = list(members), set()
    try:
        async with asyncio.timeout(patience):
            results = await asyncio.gather(*(member.send(text) for member in now), return_exceptions=True)
        dropped = {member for member, result in zip(now, results, strict=True) if isinstance(result, Exception)}
    except TimeoutError:
        dropped = set(now)
    return dropped


async def wrong_leaves_tasks(members, text, patience):
    sending = {asyncio.create_task(member.send(text)): member for member in members}
    if not sending:
        return set()
    done, pending = await asyncio.wait(sending, timeout=patience)
    return {sending[task] for task in pending} | {sending[task] for task in done if task.exception()}


async def wrong_leaves_tasks__does_not_wait(members, text, patience):
    sending = {asyncio.create_task(member.send(text)): member for member in members}
    if not sending:
        return set()
    done, pending = await asyncio.wait(sending, timeout=patience)
    for task in pending:
        task.cancel()
    return {sending[task] for task in pending} | {sending[task] for task in done if task.exception()}


async def wrong_loops_over_the_room(members, text, patience):
    async def send(member):
        try:
            async with asyncio.timeout(patience):
                await member.send(text)
        except GONE:
            return member

    tasks, dropped = [], set()
    for member in members:
        tasks.append(asyncio.create_task(send(member)))
        await asyncio.sleep(0)
    for task in tasks:
        dropped.add(await task)
    return dropped - {None}


async def wrong_confuses_members(members, text, patience):
    sending = [asyncio.wait_for(member.send(text), patience) for member in members]
    results = await asyncio.gather(*sending, return_exceptions=True)
    return {member for member, result in zip(members, results, strict=False) if isinstance(result, Exception)}


async def wrong_takes_the_later_room(members, text, patience):
    dropped = await right_wait(members, text, patience)
    for member in members:
        if not member.begun:
            await member.send(text)
    return dropped


async def wrong_swallows_cancellation(members, text, patience):
    async def send(member):
        try:
            async with asyncio.timeout(patience):
                await member.send(text)
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            return member

    tasks = [asyncio.create_task(send(member)) for member in members]
    try:
        return set(await asyncio.gather(*tasks)) - {None}
    except asyncio.CancelledError:
        return set(members)


async def wrong_swallows_cancellation__shield(members, text, patience):
    sending = asyncio.ensure_future(right_gather_and_timeout(members, text, patience))
    while not sending.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(sending)
    return sending.result()


async def wrong_leaves_tasks_when_cancelled(members, text, patience):
    sending = {asyncio.create_task(member.send(text)): member for member in members}
    if not sending:
        return set()
    done, pending = await asyncio.wait(sending, timeout=patience)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    return {sending[task] for task in pending} | {sending[task] for task in done if task.exception()}


def wrong_not_async(members, text, patience):
    return {member for member in members if member.send(text) is None}
