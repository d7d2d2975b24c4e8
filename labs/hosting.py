"""How every server of this course starts, announces itself, and stops, and what the HTTP ones refuse.

    python -m labs.servers.NAME [--host 127.0.0.1] [--port 0] [--keep 10000] [--origin URL] [--exit-on-eof]

prints `listening on http://127.0.0.1:40123` when it accepts connections, logs to stderr, and stops within two seconds
of SIGTERM, SIGINT or, with --exit-on-eof, of the end of its standard input (so a server dies with the notebook's kernel).
"""

import argparse
import asyncio
import inspect
import json
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong

from labs.feed import BadCursor, Feed, Gone

PAGES = Path(__file__).parent / "pages"
PATIENCE_S = 8.0  # an idle connection, half a head or half a body is given up after this
BODY_LIMIT = 64 * 1024  # bytes of a published event
PATH_LIMIT = 8 * 1024  # bytes of a request target
HEADER_LIMIT = (
    PATH_LIMIT - 1
)  # bytes of one header; another number, because aiohttp's error names the limit and no more
STOP_S = 0.5  # what a request in progress gets to finish when the server stops; aiohttp waits for it twice

FEED = web.AppKey("feed", Feed)
ORIGINS = web.AppKey("origins", tuple)
STOPPING = web.AppKey("stopping", asyncio.Event)
LIMITS = web.AppKey("limits", dict)  # the time limits of all requests that wait now, in order, as a set would not be
LOCAL = web.AppKey("local", bool)  # whether only this machine can reach the server
LITERAL = re.compile(r"(localhost|[0-9.]+|\[[0-9a-fA-F:.]+\])(:[0-9]+)?")  # a host that no name server was asked for


class Connection(web.RequestHandler):
    """aiohttp's connection, except that it names oversized heads by their own status, and that neither bad requests nor

    readers who leave in the middle of their answer put a traceback into the log.
    """

    def handle_error(self, request, status=500, exc=None, message=None):
        if isinstance(exc, ConnectionError):
            return web.Response(status=status)  # goes nowhere: the reader has left
        if not isinstance(exc, BadHttpMessage):
            return super().handle_error(request, status, exc, message)
        if "many headers" in exc.message:
            status = 431
        elif isinstance(exc, LineTooLong):
            status = 414 if exc.args[1] == PATH_LIMIT else 431
        self.logger.warning("%d: %s", status, str(exc.message).splitlines()[0][:80])
        response = web.Response(status=status, text=f"{web.Response(status=status).reason}\n")
        response.force_close()
        return response


def foreign(headers: Mapping[str, str], *, origins: Iterable[str], local: bool) -> tuple[int, str] | None:
    """The status and the reason with which the request of another site's page is refused; None if it is welcome.

    A page can make its own name point at this machine (DNS rebinding); its requests are of the same origin then, but their
    `Host` is that name. So a server that only this machine can reach answers to no name but localhost.
    """
    host, origin = headers.get("Host", ""), headers.get("Origin")
    hosts = [allowed.partition("://")[2] for allowed in origins]
    if local and host and not LITERAL.fullmatch(host) and host not in hosts:
        return 421, "this server is not known by that name"
    if origin and origin.partition("://")[2] != host and origin not in origins:
        return 403, "a page of another origin may not use this server"
    return None


@web.middleware
async def refusals(request: web.Request, handler):
    """Turn what the feed refuses into its HTTP status, and refuse what a foreign page sends."""
    refusal = foreign(request.headers, origins=request.app[ORIGINS], local=request.app[LOCAL])
    if refusal:
        return web.Response(status=refusal[0], text=f"{refusal[1]}\n")
    try:
        return await handler(request)
    except (Gone, BadCursor) as refusal:
        return web.json_response({"error": str(refusal)}, status=refusal.status)


async def lean(request: web.Request, response: web.StreamResponse) -> None:
    """Leave out the one header that only names our software and its version; RFC 9110 §10.2.4 makes it optional."""
    response.headers.popall("Server", None)


async def body_text(request: web.Request) -> str:
    """The text that a request brings, not too long, uncompressed, and in time. Raises the HTTP refusal."""
    if (announced := request.content_length or 0) > BODY_LIMIT:
        raise web.HTTPRequestEntityTooLarge(BODY_LIMIT, announced)
    if "Content-Encoding" in request.headers:
        raise web.HTTPUnsupportedMediaType(text="a body is not compressed\n")
    try:
        async with asyncio.timeout(PATIENCE_S):
            return (await request.read()).decode()
    except TimeoutError:
        raise web.HTTPRequestTimeout(headers={"Connection": "close"}) from None
    except UnicodeDecodeError:
        raise web.HTTPBadRequest(text="a body is UTF-8 text\n") from None


async def publish(request: web.Request) -> web.Response:
    """POST /events: the body's text becomes the next event; the answer is 201 with the event."""
    event = request.app[FEED].publish(await body_text(request))
    return web.Response(status=201, text=event.to_json(), content_type="application/json")


async def healthz(request: web.Request) -> web.Response:
    """GET /healthz: 200, with what this process has used and holds, so that its cost can be measured from outside."""
    return web.Response(text=json.dumps(held()), content_type="application/json")


def held() -> dict:
    """What this process has used and holds: nanoseconds of CPU time, tasks; and its number."""
    return {"cpu_ns": time.process_time_ns(), "tasks": len(asyncio.all_tasks()), "pid": os.getpid()}


@asynccontextmanager
async def at_most(seconds: float | None, app: web.Application) -> AsyncIterator[None]:
    """Like `asyncio.timeout`, but the time is also up when the server stops. Raises `TimeoutError`."""
    async with asyncio.timeout(0 if app[STOPPING].is_set() else seconds) as limit:
        app[LIMITS][limit] = None
        try:
            yield
        finally:
            del app[LIMITS][limit]


async def stop_waiting(app: web.Application) -> None:
    """The server stops: let every request that waits come to its end now, instead of being cut off later."""
    app[STOPPING].set()
    for limit in app[LIMITS]:
        if not limit.expired():
            limit.reschedule(asyncio.get_running_loop().time())


def feed_app(feed: Feed, page: str, *, origins: tuple[str, ...] = ()) -> web.Application:
    """What all feed servers share: POST /events, GET / (the live page), GET /healthz. The transport adds its own route."""
    app = web.Application(middlewares=[refusals], client_max_size=BODY_LIMIT)
    app[FEED], app[ORIGINS] = feed, origins
    app[STOPPING], app[LIMITS], app[LOCAL] = asyncio.Event(), {}, True
    app.on_response_prepare.append(lean)
    app.on_shutdown.append(stop_waiting)
    app.router.add_post("/events", publish)
    app.router.add_get("/healthz", healthz)

    async def live_page(request: web.Request) -> web.Response:
        return web.Response(text=page_text(page), content_type="text/html")

    app.router.add_get("/", live_page)
    return app


def page_text(page: str) -> str:
    """A live page as it is served: one file that needs no other, its protocol first, the drawing that all share after it."""
    common = (PAGES / "_common.html").read_text("utf-8")
    return (PAGES / page).read_text("utf-8").replace("<!-- common -->\n", common)


def serving(app, host: str = "127.0.0.1", port: int = 0):
    """Serve `app` while the block runs; yields its URL. Works on a real event loop and on a virtual one."""
    return serving_http(app, host, port) if isinstance(app, web.Application) else app.serving(host, port)


def reachable_here_only(host: str) -> bool:
    """Whether only this machine's browsers reach a server on this address. Behind a hub they are on others, and the hub's

    proxy passes on the name by which the hub is known.
    """
    return host in ("127.0.0.1", "::1", "localhost") and "JUPYTERHUB_SERVICE_PREFIX" not in os.environ


def url_of(server: asyncio.Server, host: str, tls: object = None) -> str:
    """Where a server listens."""
    named = f"[{host}]" if ":" in host else host  # RFC 3986 §3.2.2
    return f"http{'s' if tls else ''}://{named}:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def serving_http(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """`serving` for what is made with aiohttp."""
    loop = asyncio.get_running_loop()
    # Without handler_cancellation nobody tells a handler that only waits that its reader has gone: it would wait for ever.
    options = {"handle_signals": False, "access_log": None, "handler_cancellation": True}
    runner = web.AppRunner(app, shutdown_timeout=STOP_S, **options)
    app[LOCAL] = reachable_here_only(host)
    await runner.setup()
    limits = {"keepalive_timeout": PATIENCE_S, "max_line_size": PATH_LIMIT, "max_field_size": HEADER_LIMIT}
    manners = {"access_log": None, "lingering_time": 1, "auto_decompress": False}
    server = await loop.create_server(lambda: Connection(runner.server, loop=loop, **limits, **manners), host, port)
    try:
        yield url_of(server, host)
    finally:
        server.close()
        await runner.cleanup()


def many_files() -> None:
    """Let this process have as many connections as the system's hard limit allows; the soft one is often 1,024 files."""
    with suppress(ImportError, ValueError, OSError):
        resource = import_module("resource")  # not on Windows
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def stop_event(exit_on_eof: bool, line: Callable[[str], object] | None = None) -> asyncio.Event:
    """An event that is set when this process is told to stop: SIGTERM, SIGINT, or the end of standard input.

    `line` is called for each line of standard input; what is longer than an event may be is cut off.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))

    def watch_stdin():
        rest = b""
        with suppress(RuntimeError):  # the loop may have closed already
            while piece := os.read(0, 65536):  # not sys.stdin.read: its lock, held by this thread, would abort the exit
                *lines, rest = (rest + piece).split(b"\n") if line else [b""]
                rest = rest[:BODY_LIMIT]
                for one in lines:
                    loop.call_soon_threadsafe(line, one[:BODY_LIMIT].decode("utf-8", "replace"))
            if rest:
                loop.call_soon_threadsafe(line, rest.decode("utf-8", "replace"))
            if exit_on_eof:
                loop.call_soon_threadsafe(stop.set)

    if exit_on_eof or line:
        threading.Thread(target=watch_stdin, daemon=True).start()
    return stop


def arguments(description: str) -> argparse.ArgumentParser:
    """The options that every server has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default %(default)s: this machine only)"
    )
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument(
        "--keep", type=positive, default=10_000, help="how many events can still be read (default %(default)s)"
    )
    parser.add_argument("--origin", action="append", default=[], help="another origin whose pages may use this server")
    parser.add_argument("--exit-on-eof", action="store_true", help="stop when standard input ends")
    return parser


def positive(text: str) -> int:
    """An option's value that is a count. Raises `ValueError`."""
    if (value := int(text)) < 1:
        raise ValueError("a count is 1 or more")
    return value


def seconds(text: str) -> float:
    """An option's value that is a time. Raises `ValueError`."""
    if not 0 < (value := float(text)) < float("inf"):
        raise ValueError("a time is more than 0 and not endless")
    return value


def amount(text: str) -> float:
    """An option's value that is a rate; 0 is none. Raises `ValueError`."""
    if not 0 <= (value := float(text)) < float("inf"):
        raise ValueError("a rate is 0 or more and not endless")
    return value


def build(make_app: Callable, feed: Feed, **chosen):
    """The application, on this feed if it serves one."""
    return make_app(feed, **chosen) if serves_feed(make_app) else make_app(**chosen)


def serves_feed(make_app: Callable) -> bool:
    """Whether it makes a feed server."""
    return "feed" in inspect.signature(make_app).parameters


def fast_loop() -> asyncio.AbstractEventLoop:
    """uvloop's event loop, where it exists; it saves some memory for each connection, and some time for each read."""
    try:
        import uvloop
    except ImportError:  # Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def main(make_app: Callable, description: str, loop_factory: Callable | None = None, **choices: tuple) -> None:
    """Run one server as a process until it is told to stop.

    `wait_s=(25.0, "meaning")` adds the option --wait, a time in seconds whose value is passed on as `make_app(...,
    wait_s=...)`; `rate=(1000, "meaning", amount)` adds --rate, read by `amount`; `compress=(False, "meaning")` a flag.
    """
    parser = arguments(description)
    if serves_feed(make_app):
        parser.add_argument("--stdin", action="store_true", help="publish each line of standard input")
    for name, (default, meaning, *kind) in choices.items():
        option = f"--{name.removesuffix('_s').replace('_', '-')}"
        if default is False:
            parser.add_argument(option, dest=name, action="store_true", help=meaning)
        else:
            text = meaning if default is None else f"{meaning} (default %(default)s{'' if kind else ' s'})"
            parser.add_argument(option, dest=name, type=kind[0] if kind else seconds, default=default, help=text)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    many_files()

    async def run():
        if not 0 <= options.port < 2**16:  # uvloop would take the port modulo 2**16
            raise OverflowError("a port is 0 to 65535")
        feed = Feed(keep=options.keep)
        stop = stop_event(options.exit_on_eof, feed.publish if getattr(options, "stdin", False) else None)
        chosen = {name: getattr(options, name) for name in choices}
        app = build(make_app, feed, origins=tuple(options.origin), **chosen)
        async with serving(app, options.host, options.port) as url:
            print(f"listening on {url}", flush=True)
            await stop.wait()

    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(run())
    except (OSError, OverflowError) as error:  # the port is taken, the host unknown, or the number no port's
        sys.exit(f"cannot listen on {options.host}:{options.port}: {getattr(error, 'strerror', None) or error}")
