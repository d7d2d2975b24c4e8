"""Exercise 1.4: `follow(http, url, every, handle, gap)`, a reader that survives."""

import asyncio
import json

import aiohttp

from labs import clients
from labs.feed import Event, Gone


async def right_one_loop(http, url, every, handle, gap):
    cursor = None
    while True:
        params = {} if cursor is None else {"after": cursor}
        try:
            async with http.get(f"{url}/events", params=params) as response:
                if response.status == 410:
                    cursor = None
                    gap()
                else:
                    for item in await response.json():
                        event = Event(**item)
                        handle(event)
                        cursor = event.cursor
        except (aiohttp.ClientError, TimeoutError):
            pass
        await asyncio.sleep(every)


async def right_library(http, url, every, handle, gap):
    cursor = None
    while True:
        try:
            for event in await clients.fetch(http, url, cursor):
                handle(event)
                cursor = event.cursor
        except Gone:
            gap()
            cursor = None
            continue
        except clients.FAILURES:
            pass
        await asyncio.sleep(every)


async def right_query_by_hand(http, url, every, handle, gap):
    async def ask(cursor):
        response = await http.get(f"{url}/events?after={cursor}" if cursor else f"{url}/events")
        async with response:
            return response.status, await response.text()

    cursor = ""
    while True:
        try:
            status, text = await ask(cursor)
            if status == 410:
                gap()
                status, text = await ask(None)
            events = [Event(**item) for item in json.loads(text)]
        except (TimeoutError, aiohttp.ClientError):
            events = []
        for event in events:
            handle(event)
        cursor = events[-1].cursor if events else cursor
        await asyncio.sleep(every)


async def right_states(http, url, every, handle, gap):
    state = {"params": {}}

    async def once():
        async with asyncio.timeout(2), http.get(url + "/events", **state) as response:
            response.raise_for_status()
            for event in map(lambda item: Event(**item), await response.json()):
                handle(event)
                state["params"] = {"after": event.cursor}

    while True:
        try:
            await once()
        except aiohttp.ClientResponseError as error:
            if error.status == 410:
                state["params"] = {}
                gap()
        except Exception as error:
            print(f"{type(error).__name__}, once more")
        await asyncio.sleep(every)


async def read(http, url, cursor):
    async with http.get(f"{url}/events", params={"after": cursor} if cursor else {}) as response:
        return response.status, await response.json()


async def wrong_dies_on_failure(http, url, every, handle, gap):
    cursor = None
    while True:
        status, items = await read(http, url, cursor)
        if status == 410:
            gap()
            cursor = None
            continue
        for item in items:
            handle(Event(**item))
            cursor = item["cursor"]
        await asyncio.sleep(every)


async def wrong_dies_on_failure__only_the_refused_connection(http, url, every, handle, gap):
    cursor = None
    while True:
        try:
            status, items = await read(http, url, cursor)
        except aiohttp.ClientConnectorError:
            continue
        if status == 410:
            gap()
            cursor = None
            continue
        for item in items:
            handle(Event(**item))
            cursor = item["cursor"]
        await asyncio.sleep(every)


async def wrong_dies_on_silence(http, url, every, handle, gap):
    cursor = None
    while True:
        try:
            status, items = await read(http, url, cursor)
            if status == 410:
                gap()
                cursor, items = None, []
            for item in items:
                handle(Event(**item))
                cursor = item["cursor"]
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(every)


async def wrong_stuck_in_silence(http, url, every, handle, gap):
    cursor = None
    while True:
        try:
            params = {"after": cursor} if cursor else {}
            async with http.get(f"{url}/events", params=params, timeout=aiohttp.ClientTimeout()) as response:
                items = await response.json()
            if response.status == 410:
                gap()
                cursor, items = None, []
            for item in items:
                handle(Event(**item))
                cursor = item["cursor"]
        except (aiohttp.ClientError, TimeoutError):
            pass
        await asyncio.sleep(every)


async def wrong_stuck_on_410(http, url, every, handle, gap):
    cursor = None
    while True:
        try:
            async with http.get(f"{url}/events", params={"after": cursor} if cursor else {}) as response:
                response.raise_for_status()
                for item in await response.json():
                    handle(Event(**item))
                    cursor = item["cursor"]
        except (aiohttp.ClientError, TimeoutError):
            pass
        await asyncio.sleep(every)


async def wrong_stuck_on_410__says_so_for_ever(http, url, every, handle, gap):
    cursor = None
    while True:
        try:
            status, items = await read(http, url, cursor)
            if status == 410:
                gap()
                items = []
            for item in items:
                handle(Event(**item))
                cursor = item["cursor"]
        except (aiohttp.ClientError, TimeoutError):
            pass
        await asyncio.sleep(every)


async def wrong_dies_on_410(http, url, every, handle, gap):
    cursor = None
    while True:
        try:
            _, items = await read(http, url, cursor)
            for item in items:
                handle(Event(**item))
                cursor = item["cursor"]
        except (aiohttp.ClientError, TimeoutError):
            pass
        await asyncio.sleep(every)


async def wrong_silent_gap(http, url, every, handle, gap):
    cursor = None
    while True:
        try:
            status, items = await read(http, url, cursor)
            if status == 410:
                cursor, items = None, []
            for item in items:
                handle(Event(**item))
                cursor = item["cursor"]
        except (aiohttp.ClientError, TimeoutError):
            pass
        await asyncio.sleep(every)


async def wrong_silent_gap__only_a_restart_counts(http, url, every, handle, gap):
    cursor = None
    while True:
        try:
            status, items = await read(http, url, cursor)
            if status == 410:
                _, items = await read(http, url, None)
                if not items[-1]["cursor"].startswith(cursor.partition("-")[0]):
                    gap()
            for item in items:
                handle(Event(**item))
                cursor = item["cursor"]
        except (aiohttp.ClientError, TimeoutError):
            pass
        await asyncio.sleep(every)


async def wrong_gap_again_and_again(http, url, every, handle, gap):
    cursor, retries = None, 0
    while True:
        try:
            status, items = await read(http, url, cursor)
            if status == 410:
                gap()
                retries += 1
                cursor, items = (None if retries > 1 else cursor), []
            for item in items:
                handle(Event(**item))
                cursor = item["cursor"]
        except (aiohttp.ClientError, TimeoutError):
            pass
        await asyncio.sleep(every)


async def wrong_gap_without_a_hole(http, url, every, handle, gap):
    cursor = None
    while True:
        try:
            status, items = await read(http, url, cursor)
            if status == 410:
                gap()
                cursor, items = None, []
            for item in items:
                handle(Event(**item))
                cursor = item["cursor"]
        except (aiohttp.ClientError, TimeoutError):
            gap()
        await asyncio.sleep(every)


async def wrong_starts_over_on_failure(http, url, every, handle, gap):
    cursor = None
    while True:
        try:
            status, items = await read(http, url, cursor)
            if status == 410:
                gap()
                cursor, items = None, []
            for item in items:
                handle(Event(**item))
                cursor = item["cursor"]
        except (aiohttp.ClientError, TimeoutError):
            cursor = None
        await asyncio.sleep(every)


async def wrong_loses_after_restart(http, url, every, handle, gap):
    cursor = None
    while True:
        try:
            status, items = await read(http, url, cursor)
            if status == 410:
                gap()
                _, items = await read(http, url, None)
                cursor, items = items[-1]["cursor"], []
            for item in items:
                handle(Event(**item))
                cursor = item["cursor"]
        except (aiohttp.ClientError, TimeoutError):
            pass
        await asyncio.sleep(every)


async def wrong_handles_twice(http, url, every, handle, gap):
    while True:
        try:
            async with http.get(f"{url}/events") as response:
                for item in await response.json():
                    handle(Event(**item))
        except (aiohttp.ClientError, TimeoutError):
            pass
        await asyncio.sleep(every)


async def wrong_misses_events(http, url, every, handle, gap):
    cursor = None
    while True:
        try:
            status, items = await read(http, url, cursor)
            if status == 410:
                gap()
                cursor, items = None, []
            if items:
                handle(Event(**items[-1]))
                cursor = items[-1]["cursor"]
        except (aiohttp.ClientError, TimeoutError):
            pass
        await asyncio.sleep(every)


async def wrong_hammers(http, url, every, handle, gap):
    cursor = None
    while True:
        try:
            status, items = await read(http, url, cursor)
            if status == 410:
                gap()
                cursor, items = None, []
            for item in items:
                handle(Event(**item))
                cursor = item["cursor"]
        except (aiohttp.ClientError, TimeoutError):
            await asyncio.sleep(every)


async def wrong_ignores_every(http, url, every, handle, gap):
    cursor = None
    while True:
        try:
            status, items = await read(http, url, cursor)
            if status == 410:
                gap()
                cursor, items = None, []
            for item in items:
                handle(Event(**item))
                cursor = item["cursor"]
        except (aiohttp.ClientError, TimeoutError):
            pass
        await asyncio.sleep(1)


async def wrong_raises_AttributeError(http, url, every, handle, gap):
    cursor = None
    while True:
        _, items = await read(http, url, cursor)
        for event in items:
            handle(event)
            cursor = event["cursor"]
        await asyncio.sleep(every)


async def wrong_raises_TypeError(http, url, every, handle, gap):
    cursor = None
    while True:
        async with http.get(f"{url}/events", params={"after": cursor}) as response:
            for item in await response.json():
                handle(Event(**item))
                cursor = item["cursor"]
        await asyncio.sleep(every)


async def wrong_forgets_await(http, url, every, handle, gap):
    while True:
        async with http.get(f"{url}/events") as response:
            for item in response.json():
                handle(Event(**item))
        await asyncio.sleep(every)


async def wrong_ends(http, url, every, handle, gap):
    _, items = await read(http, url, None)
    for item in items:
        handle(Event(**item))
