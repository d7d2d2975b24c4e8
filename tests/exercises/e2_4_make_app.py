"""Exercise 2.4: `make_app(feed)`, a long-polling server of one's own."""

import asyncio
import json
from dataclasses import asdict
from weakref import WeakSet

from aiohttp import web

from labs.feed import BadCursor, Gone


def with_route(handler):
    app = web.Application()
    app.router.add_get("/events", handler)
    return app


def right_timeout(feed):
    async def events(request):
        try:
            async with asyncio.timeout(float(request.query["wait"])):
                newer = await feed.wait(request.query.get("after"))
        except TimeoutError:
            newer = []
        except (Gone, BadCursor) as refusal:
            return web.json_response({"error": str(refusal)}, status=refusal.status)
        return web.json_response([asdict(event) for event in newer])

    return with_route(events)


def right_wait_for(feed):
    routes = web.RouteTableDef()

    @routes.get("/events")
    async def events(request):
        after, seconds = request.query.get("after"), float(request.query.get("wait", 25))
        try:
            newer = feed.since(after) or await asyncio.wait_for(feed.wait(after), seconds)
        except TimeoutError:
            newer = feed.since(after)
        return web.Response(text="[" + ",".join(e.to_json() for e in newer) + "]", content_type="application/json")

    @web.middleware
    async def refusals(request, handler):
        try:
            return await handler(request)
        except Gone as gone:
            return web.json_response({"error": str(gone)}, status=410)
        except BadCursor as bad:
            return web.json_response({"error": str(bad)}, status=400)

    app = web.Application(middlewares=[refusals])
    app.add_routes(routes)
    return app


def right_view(feed):
    class Events(web.View):
        async def get(self):
            query = self.request.query
            waiting = asyncio.ensure_future(feed.wait(query.get("after")))
            try:
                done, _ = await asyncio.wait({waiting}, timeout=float(query["wait"]))
                found = waiting.result() if done else []
            except Gone as gone:
                raise web.HTTPGone(text=json.dumps({"error": repr(gone)}), content_type="application/json") from gone
            except BadCursor as bad:
                raise web.HTTPBadRequest(text=json.dumps({"error": repr(bad)})) from bad
            finally:
                waiting.cancel()
            return web.Response(body=json.dumps([asdict(event) for event in found]).encode())

    app = web.Application()
    app.router.add_view("/events", Events)
    return app


def right_follow(feed):
    async def first_of(after, seconds):
        stream = feed.follow(after)
        try:
            async with asyncio.timeout(seconds):
                await anext(stream)
            return feed.since(after)
        except TimeoutError:
            return []
        finally:
            await stream.aclose()

    async def events(request):
        after = request.query.get("after")
        try:
            found = await first_of(after, float(request.query["wait"]))
        except (Gone, BadCursor) as error:
            return web.json_response({"error": "no"}, status=error.status)
        return web.json_response(found, dumps=lambda found: json.dumps([asdict(event) for event in found]))

    return with_route(events)


def refused(refusal):
    return web.json_response({"error": str(refusal)}, status=refusal.status)


def answered(events):
    return web.json_response([asdict(event) for event in events])


async def wait(feed, request):
    """What most of the wrong ones share: the events, or none when the time is up."""
    try:
        return await asyncio.wait_for(feed.wait(request.query.get("after")), float(request.query["wait"]))
    except TimeoutError:
        return []


def wrong_no_such_route(feed):
    async def events(request):
        return answered(await wait(feed, request))

    app = web.Application()
    app.router.add_get("/", events)
    return app


def wrong_not_an_application(feed):
    async def events(request):
        return answered(await wait(feed, request))

    return events


def wrong_waits_though_there_is_news(feed):
    async def events(request):
        after = request.query.get("after")
        for _ in range(int(float(request.query["wait"]))):
            await asyncio.sleep(1)
            if newer := feed.since(after):
                return answered(newer)
        return answered([])

    return with_route(events)


def wrong_ignores_the_cursor(feed):
    async def events(request):
        await wait(feed, request)
        return answered(feed.since())

    return with_route(events)


def wrong_not_an_array_of_events(feed):
    async def events(request):
        return web.json_response([event.data for event in await wait(feed, request)])

    return with_route(events)


def wrong_not_an_array_of_events__texts_in_texts(feed):
    async def events(request):
        return web.json_response([event.to_json() for event in await wait(feed, request)])

    return with_route(events)


def wrong_raises_TypeError(feed):
    async def events(request):
        return web.json_response(await wait(feed, request))

    return with_route(events)


def wrong_raises_KeyError(feed):
    async def events(request):
        try:
            async with asyncio.timeout(float(request.query["wait"])):
                return answered(await feed.wait(request.query["after"]))
        except TimeoutError:
            return answered([])

    return with_route(events)


def wrong_returns_no_response(feed):
    async def events(request):
        return [asdict(event) for event in await wait(feed, request)]

    return with_route(events)


def wrong_answers_without_waiting(feed):
    async def events(request):
        return answered(feed.since(request.query.get("after")))

    return with_route(events)


def wrong_looks_now_and_then(feed):
    async def events(request):
        after = request.query.get("after")
        for _ in range(int(float(request.query["wait"]) * 10)):
            if newer := feed.since(after):
                return answered(newer)
            await asyncio.sleep(0.1)
        return answered([])

    return with_route(events)


def wrong_sleeps_to_the_end(feed):
    async def events(request):
        after = request.query.get("after")
        if not feed.since(after):
            await asyncio.sleep(float(request.query["wait"]))
        return answered(feed.since(after))

    return with_route(events)


def wrong_one_at_a_time(feed):
    lock = asyncio.Lock()

    async def events(request):
        async with lock:
            return answered(await wait(feed, request))

    return with_route(events)


def wrong_time_out_is_an_error(feed):
    async def events(request):
        try:
            async with asyncio.timeout(float(request.query["wait"])):
                return answered(await feed.wait(request.query.get("after")))
        except (Gone, BadCursor) as refusal:
            return refused(refusal)

    return with_route(events)


def wrong_time_out_is_an_error__no_content(feed):
    async def events(request):
        newer = await wait(feed, request)
        return answered(newer) if newer else web.Response(status=204)

    return with_route(events)


def wrong_not_an_empty_array(feed):
    async def events(request):
        newer = await wait(feed, request)
        return answered(newer) if newer else web.json_response(None)

    return with_route(events)


def wrong_ignores_wait(feed):
    async def events(request):
        try:
            return answered(await asyncio.wait_for(feed.wait(request.query.get("after")), 25))
        except TimeoutError:
            return answered([])

    return with_route(events)


def wrong_gone_is_500(feed):
    async def events(request):
        return answered(await wait(feed, request))

    return with_route(events)


def wrong_gone_is_silent(feed):
    async def events(request):
        try:
            return answered(await wait(feed, request))
        except Gone:
            return answered(feed.since())
        except BadCursor as refusal:
            return refused(refusal)

    return with_route(events)


def wrong_bad_cursor_is_500(feed):
    async def events(request):
        try:
            return answered(await wait(feed, request))
        except Gone as refusal:
            return refused(refusal)

    return with_route(events)


def wrong_bad_cursor_is_410(feed):
    async def events(request):
        try:
            return answered(await wait(feed, request))
        except (Gone, BadCursor) as refusal:
            return web.json_response({"error": str(refusal)}, status=410)

    return with_route(events)


def wrong_refuses_without_a_reason(feed):
    async def events(request):
        try:
            return answered(await wait(feed, request))
        except (Gone, BadCursor) as refusal:
            return web.Response(status=refusal.status, text=str(refusal))

    return with_route(events)


def wrong_late_gone_is_not_told(feed):
    async def events(request):
        try:
            newer = feed.since(request.query.get("after"))
        except (Gone, BadCursor) as refusal:
            return refused(refusal)
        return answered(newer or await wait(feed, request))

    return with_route(events)


def wrong_loses_events(feed):
    place = {"last": None}

    async def events(request):
        """Keeps one place for everybody, as long as there is no reason not to."""
        try:
            feed.since(request.query.get("after"))
            newer = await wait(feed, request)
        except (Gone, BadCursor) as refusal:
            return refused(refusal)
        newer = [event for event in newer if event.id != 7] if place["last"] == 6 else newer
        place["last"] = newer[-1].id if newer else place["last"]
        return answered(newer)

    return with_route(events)


def wrong_leaves_tasks(feed):
    tasks = WeakSet()

    async def events(request):
        try:
            waiting = asyncio.create_task(feed.wait(request.query.get("after")))
            tasks.add(waiting)
            done, _ = await asyncio.wait({waiting}, timeout=float(request.query["wait"]))
            return answered(waiting.result() if done else [])
        except (Gone, BadCursor) as refusal:
            return refused(refusal)

    return with_route(events)


def wrong_leaves_tasks__of_those_who_left(feed):
    async def events(request):
        try:
            waiting = asyncio.create_task(wait(feed, request))
            return answered(await asyncio.shield(waiting))
        except (Gone, BadCursor) as refusal:
            return refused(refusal)

    return with_route(events)
