"""Exercise 3.4: `listen(http, url, handle, gap)`, a reader of an event stream that comes back."""

import asyncio
import json

import aiohttp

from labs import clients
from labs.feed import Event, Gone
from labs.sse_codec import Parser


async def right_one_loop(http, url, handle, gap):
    last = ""
    while True:
        parser = Parser()
        try:
            async with http.get(f"{url}/events", headers={"Last-Event-ID": last} if last else {}) as response:
                async for chunk in response.content.iter_any():
                    for event in parser.feed(chunk):
                        last = event.last_event_id
                        if event.type == "reset":
                            gap()
                        elif event.type == "message":
                            handle(Event(**json.loads(event.data)))
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(1)


async def right_query_and_cursor(http, url, handle, gap):
    cursor = None
    while True:
        parser = Parser(last_event_id=cursor or "")
        address = f"{url}/events?after={cursor}" if cursor else f"{url}/events"
        try:
            response = await http.get(address, headers={"Accept": "text/event-stream"})
            while chunk := await response.content.readany():
                for message in parser.feed(chunk):
                    if message.type == "reset":
                        gap()
                        cursor = None
                        continue
                    event = Event(**json.loads(message.data))
                    handle(event)
                    cursor = event.cursor
        except (aiohttp.ClientError, OSError):
            await asyncio.sleep(0.8)
        else:
            await asyncio.sleep(1.2)


async def right_line_by_line(http, url, handle, gap):
    headers, type = {}, ""
    while True:
        try:
            async with http.get(url + "/events", headers=headers) as response:
                async for line in response.content:
                    name, _, value = line.decode().rstrip("\r\n").partition(": ")
                    if name == "event":
                        type = value
                    elif name.startswith("id"):
                        headers = {"Last-Event-ID": value} if value else {}
                    elif name == "data" and type == "reset":
                        gap()
                    elif name == "data":
                        handle(Event(**json.loads(value)))
                    elif not name:
                        type = ""
        except (aiohttp.ClientError, TimeoutError):
            pass
        await asyncio.sleep(1)


async def right_library(http, url, handle, gap):
    after = ""
    while True:
        parser = Parser(last_event_id=after)
        try:
            async with clients.stream(http, url, after, silence=60) as chunks:
                async for chunk in chunks:
                    for message in parser.feed(chunk):
                        try:
                            for event in clients.events_in([message]):
                                handle(event)
                        except Gone:
                            gap()
                    after = parser.last_event_id
        except clients.FAILURES:
            pass
        await asyncio.sleep(1)


async def messages(http, url, last, *, header="Last-Event-ID"):
    """One connection's events, until it breaks or ends."""
    parser = Parser()
    async with http.get(f"{url}/events", headers={header: last} if last else {}) as response:
        async for chunk in response.content.iter_any():
            for event in parser.feed(chunk):
                yield event


def read(event):
    return Event(**json.loads(event.data))


async def wrong_waits_for_the_end(http, url, handle, gap):
    async with http.get(f"{url}/events") as response:
        for event in Parser().feed(await response.read()):
            handle(read(event))


async def wrong_not_an_event(http, url, handle, gap):
    async for event in messages(http, url, None):
        handle(event)


async def wrong_not_an_event__dict(http, url, handle, gap):
    async for event in messages(http, url, None):
        handle(json.loads(event.data))


async def wrong_misses_events(http, url, handle, gap):
    parser, last = Parser(), ""
    async with http.get(f"{url}/events", headers={"Last-Event-ID": last}) as response:
        async for chunk in response.content.iter_any():
            for event in parser.feed(chunk)[:1]:
                handle(read(event))


async def wrong_asks_again(http, url, handle, gap):
    last = ""
    while True:
        try:
            async with asyncio.timeout(5):
                async for event in messages(http, url, last):
                    last = event.last_event_id
                    handle(read(event))
        except (aiohttp.ClientError, TimeoutError):
            pass


async def wrong_raises_JSONDecodeError(http, url, handle, gap):
    async with http.get(f"{url}/events") as response:
        async for line in response.content:
            handle(Event(**json.loads(line)))


async def wrong_dies_on_cut(http, url, handle, gap):
    last = ""
    while True:
        async for event in messages(http, url, last):
            last = event.last_event_id
            handle(read(event))
        await asyncio.sleep(1)


async def wrong_handles_twice(http, url, handle, gap):
    while True:
        try:
            async for event in messages(http, url, ""):
                handle(read(event))
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(1)


async def wrong_handles_twice__wrong_header(http, url, handle, gap):
    last = ""
    while True:
        try:
            async for event in messages(http, url, last, header="Last-Event"):
                last = event.last_event_id
                handle(read(event))
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(1)


async def wrong_handles_twice__forgets_the_id_in_silence(http, url, handle, gap):
    last = ""
    while True:
        parser = Parser()
        try:
            async with http.get(f"{url}/events", headers={"Last-Event-ID": last} if last else {}) as response:
                async for chunk in response.content.iter_any():
                    for event in parser.feed(chunk):
                        handle(read(event))
                    last = parser.last_event_id
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(1)


async def wrong_loses_what_it_missed(http, url, handle, gap):
    first = True
    while True:
        began = asyncio.get_running_loop().time()
        try:
            async for event in messages(http, url, ""):
                if first or asyncio.get_running_loop().time() > began + 0.5:
                    handle(read(event))
        except aiohttp.ClientError:
            first = False
        await asyncio.sleep(1)


async def wrong_hammers(http, url, handle, gap):
    last = ""
    while True:
        try:
            async for event in messages(http, url, last):
                last = event.last_event_id
                handle(read(event))
        except aiohttp.ClientError:
            pass


async def wrong_stays_away(http, url, handle, gap):
    last, pause = "", 1
    while True:
        try:
            async for event in messages(http, url, last):
                last = event.last_event_id
                handle(read(event))
        except aiohttp.ClientError:
            pause *= 2
        await asyncio.sleep(pause)


async def wrong_gap_without_a_hole(http, url, handle, gap):
    last = ""
    while True:
        try:
            async for event in messages(http, url, last):
                last = event.last_event_id
                handle(read(event))
        except aiohttp.ClientError:
            gap()
        await asyncio.sleep(1)


async def wrong_dies_on_reset(http, url, handle, gap):
    last = ""
    while True:
        try:
            async for event in messages(http, url, last):
                handle(read(event))
                last = event.last_event_id
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(1)


async def wrong_silent_gap(http, url, handle, gap):
    last = ""
    while True:
        try:
            async for event in messages(http, url, last):
                last = event.last_event_id
                if event.type == "message":
                    handle(read(event))
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(1)


async def wrong_loses_after_restart(http, url, handle, gap):
    last, skip = "", 0
    while True:
        try:
            async for event in messages(http, url, last):
                last = event.last_event_id
                if event.type == "reset":
                    gap()
                    skip = 1
                elif skip:
                    skip = 0
                else:
                    handle(read(event))
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(1)


async def wrong_loses_after_restart__keeps_the_cursor(http, url, handle, gap):
    last = ""
    while True:
        try:
            async for event in messages(http, url, last):
                if event.type == "reset":
                    gap()
                    break
                last = event.last_event_id
                handle(read(event))
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(1)


async def wrong_gap_again_and_again(http, url, handle, gap):
    last = ""
    while True:
        try:
            async for event in messages(http, url, last):
                last = event.last_event_id or last
                if event.type == "reset":
                    gap()
                else:
                    handle(read(event))
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(1)


async def wrong_ends(http, url, handle, gap):
    async for event in messages(http, url, ""):
        handle(read(event))
        if event.last_event_id.endswith("-3"):
            return
