"""HTTP polling: the reader asks again and again; each answer is whatever is newer than the reader's cursor, at once.

    GET /events?after=CURSOR   200, a JSON array of the events after CURSOR, [] when there is nothing
                               400 not a cursor · 410 no longer kept, or from before a restart
    GET /events                200, all that is kept, with an ETag; 304 to If-None-Match when nothing has changed
    POST /events               201, the body's text is the next event

Without `after` the answer is a whole document that can be cached and revalidated (RFC 9110 §13.1.2). With it the answer
is a difference, which is already as small as it can be, so it is never stored.
"""

from aiohttp import web

from labs.feed import Feed
from labs.hosting import FEED, feed_app, main


async def events(request: web.Request) -> web.Response:
    """Answer at once. That is all there is to polling on the server's side: the waiting is the reader's."""
    feed = request.app[FEED]
    after = request.query.get("after")
    newer = feed.since(after)
    caching = {"Cache-Control": "no-store"}
    if after is None:
        caching = {"Cache-Control": "no-cache", "ETag": f'"{feed.cursor}"'}
        if any(tag.value in (feed.cursor, "*") for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=caching)
    body = "[" + ",".join(event.to_json() for event in newer) + "]"
    return web.Response(text=body, content_type="application/json", headers=caching)


def make_app(feed: Feed, *, origins: tuple[str, ...] = ()) -> web.Application:
    """The application: what all feed servers share, and this transport's one route."""
    app = feed_app(feed, "http_polling.html", origins=origins)
    app.router.add_get("/events", events)
    return app


if __name__ == "__main__":
    main(make_app, __doc__)
