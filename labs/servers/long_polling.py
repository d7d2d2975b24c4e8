"""Long polling: the reader asks, and the server keeps the question until it has an answer.

    GET /events?after=CURSOR   200, a JSON array of the events after CURSOR, as soon as there is one; [] when the time is up
                               400 not a cursor, not a time · 410 no longer kept, or from before a restart
    GET /events                the same for all that is kept, waiting only while nothing is
        &wait=SECONDS          for at most so long, if that is less than --wait
    POST /events               201, the body's text is the next event

An empty answer is not an error: it shows both sides, and every box between them that counts idle seconds, that the other
one is still there. The reader asks again at once with the same cursor, so what was published in between is not lost.
"""

import re

from aiohttp import web

from labs.feed import Feed
from labs.hosting import FEED, at_most, feed_app, main

WAIT_S = 25.0  # many proxies give up an idle connection after 30 s
SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")

LONGEST_WAIT = web.AppKey("longest_wait", float)


async def events(request: web.Request) -> web.Response:
    """Hold the request until there is news or the time is up. A reader who leaves takes the handler along."""
    feed, after = request.app[FEED], request.query.get("after")
    try:
        async with at_most(wait_s(request), request.app):
            newer = await feed.wait(after)
    except TimeoutError:
        newer = []  # what comes in this very moment stays in the feed, and answers the next request
    body = "[" + ",".join(event.to_json() for event in newer) + "]"
    return web.Response(text=body, content_type="application/json", headers={"Cache-Control": "no-store"})


def wait_s(request: web.Request) -> float:
    """How long to hold this request: what the reader asks for, but no longer than this server does."""
    longest = request.app[LONGEST_WAIT]
    asked = request.query.get("wait")
    if asked is None:
        return longest
    if not SECONDS.fullmatch(asked):
        raise web.HTTPBadRequest(text="wait is a number of seconds\n")
    return min(float(asked), longest)


def make_app(feed: Feed, *, origins: tuple[str, ...] = (), wait_s: float = WAIT_S) -> web.Application:
    """The application: what all feed servers share, and this transport's one route."""
    app = feed_app(feed, "long_polling.html", origins=origins)
    app[LONGEST_WAIT] = wait_s
    app.router.add_get("/events", events)
    return app


if __name__ == "__main__":
    main(make_app, __doc__, wait_s=(WAIT_S, "hold a request without news for so long"))
