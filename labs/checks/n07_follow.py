"""The check of exercise 7.4: three ways to a feed that work, refuse, fall silent and break, by a script and in earnest."""

import asyncio
from contextlib import AsyncExitStack, aclosing
from functools import partial
from itertools import pairwise

from aiohttp import web

from labs.checks import Exercise, Timeline, fail, for_a_while, stop
from labs.checks.attempt import said, where
from labs.choosing import ways
from labs.feed import Feed, Gone
from labs.hosting import serving
from labs.link import Link
from labs.servers import long_polling, sse, websocket

follow = Exercise("7.4", "follow", "ways, handle", awaited=True)
EXERCISES = {"7.4": follow}
NAMES = ("websocket", "sse", "long_polling")
CURSOR = "keep the cursor of the last event that you handled, outside of all loops, and give it to each way"
TOP = "after a way that has worked, and after the last one: wait a second, then begin with the first"


class Follower:
    """The answer, three ways that follow scripts, and what it has made of them.

    A script is what one call of a way does: `2.5` waits so many seconds, `.` is a sign of life, `e` the next event, `!` a
    failure, `$` the end, `~` silence for ever, `gone` is Gone. A way without a script works: an event each second.
    """

    def __init__(self, **scripts):
        self.line, self.scripts = Timeline(), {name: list(scripts.get(name, ())) for name in NAMES}
        self.feed, self.calls, self.handled, self.open = Feed(epoch="0" * 8), [], [], []
        self.ended = self.gone = False
        for number in range(1, 100):
            self.feed.publish(f"e{number}")

    async def way(self, name, after):
        self.calls.append((name, round(self.line.now, 2)))
        self.line.add(f"{name}({after!r})")
        if self.open:
            fail(
                "two-at-once", *self.line.lines, f"{self.open[0]} is still open", hint="end one before you try another"
            )
        events = iter(self.feed.since(after))
        self.open.append(name)
        try:
            for step in self.scripts[name].pop(0).split() if self.scripts[name] else [". ", *["1", "e"] * 98]:
                if step[0].isdigit():
                    await asyncio.sleep(float(step))
                elif step.strip() in (".", "e"):
                    yield None if step.strip() == "." else next(events)
                elif step == "$":
                    self.line.add(f"    {name} ends")
                    return
                elif step == "~":
                    await asyncio.Event().wait()
                elif step == "gone":
                    raise Gone("these events are no longer kept")
                else:
                    self.line.add(f"    {name} fails")
                    raise ConnectionError(f"{name} fails")
        finally:
            self.open.remove(name)

    def handle(self, event):
        if event is None:
            fail("handles-signs", *self.line.lines, "handle(None)", hint="None is a sign of life, and no event")
        self.line.add(f"    handle({event.data})")
        self.handled.append(event.data)

    async def run(self, answer, seconds, ended="ends-with-the-way"):
        """Let it follow for so long."""
        try:
            following = answer([partial(self.way, name) for name in NAMES], self.handle)
            self.ended = await for_a_while(following, seconds)
        except Gone:
            self.gone = True
            self.line.add("follow raises Gone")
        except (OSError, StopAsyncIteration, TimeoutError) as error:
            why = "when a way fails, ends or is silent, it is the next one's turn: `except OSError`, and the others"
            fail("dies-with-the-way", *self.line.lines, *where(error), said(error), hint=why)
        if self.ended:
            fail(ended, *self.line.lines, "follow returned", hint="it goes on for ever")

    def expect_events(self, count=None):
        """All events in order, each once, so many at least."""
        got = self.handled
        right = [f"e{number}" for number in range(1, len(got) + 1)]
        if got != right:
            slug = (
                "handles-twice"
                if len(set(got)) < len(got)
                else "loses-events"
                if set(got) - set(right)
                else "disorders"
            )
            fail(slug, *self.line.lines, f"handled: {', '.join(got)}", hint=CURSOR)
        if count is not None and len(got) < count:
            shown = f"{len(got)} events were handled, and there were {count}"
            fail("handles-too-few", *self.line.lines, shown, hint="every event goes to handle as soon as it comes")

    def expect_calls(self, *right, slug, hint, known=()):
        """The calls, as (name, second), to a tenth of a second; `known` maps a wrong call to its diagnosis."""
        got = self.calls[: len(right)]
        for place, (name, at) in enumerate(right):
            called = got[place] if place < len(got) else None
            if called and called[0] == name and abs(called[1] - at) <= 0.15:
                continue
            shown = [*self.line.lines, f"right is {name} at {at:g} s", f"yours is {told(called)}"]
            if called:
                early = "too-early" if called[1] < at else "too-late"
                slug = dict(known).get(called[0] if called[0] != name else early, slug)
            fail(slug if called else dict(known).get(None, slug), *shown, hint=hint)
        if len(self.calls) > len(right):
            more = self.calls[len(right)]
            slug = "leaves-a-working-way" if more[0] == right[-1][0] else dict(known).get("more", slug)
            fail(slug, *self.line.lines, f"not wanted: {told(more)}", hint=hint)


def told(call):
    """A call in words."""
    return f"{call[0]} at {call[1]:g} s" if call else "none"


@follow.case("the first way is taken when it works, and no other")
async def _(answer):
    follower = Follower()
    await follower.run(answer, 5.5)
    why = "one way at a time, the best first"
    follower.expect_calls(("websocket", 0), slug="not-the-best", hint=why, known={"more": "tries-others-too"})
    follower.expect_events(5)


@follow.case("a way that fails before it has given a sign is left at once for the next")
async def _(answer):
    for script in ("!", "0.5 !", "0.5 $"):
        follower = Follower(websocket=[script, "~"])
        await follower.run(answer, 5.2)
        calls = (("websocket", 0), ("sse", 0.5 if script[0] == "0" else 0))
        known = {"websocket": "insists", "long_polling": "skips-one", None: "insists", "too-late": "hesitates"}
        follower.expect_calls(*calls, slug="leaves-too-late", hint="the next one, without a pause", known=known)
        follower.expect_events(4)


@follow.case("a way that is silent for three seconds is left, too")
async def _(answer):
    follower = Follower(websocket=["!"], sse=["~"])
    await follower.run(answer, 20.25)
    known = {None: "waits-for-a-silent-way", "too-early": "impatient", "too-late": "too-patient"}
    why = "asyncio.timeout(3) around each single wait for the next sign"
    calls = (("websocket", 0), ("sse", 0), ("long_polling", 3))
    follower.expect_calls(*calls, slug="wrong-way-next", hint=why, known=known)
    follower.expect_events(4)


@follow.case("signs of life keep a way, however long nothing happens")
async def _(answer):
    follower = Follower(websocket=[". " + "2.8 . " * 10 + "2.8 e ~"])
    await follower.run(answer, 31.5)
    why = "the three seconds begin anew with each sign, event or not"
    follower.expect_calls(("websocket", 0), slug="leaves-a-quiet-way", hint=why)
    follower.expect_events(1)


@follow.case("a way that has worked and falls silent is noticed after three seconds")
async def _(answer):
    follower = Follower(websocket=[". 1 e 1 e ~"])
    await follower.run(answer, 20.25)
    known = {None: "trusts-what-has-worked", "too-early": "hammers", "too-late": "stays-away"}
    known |= {"sse": "goes-on-down", "long_polling": "goes-on-down"}
    follower.expect_calls(("websocket", 0), ("websocket", 6), slug="trusts-what-has-worked", hint=TOP, known=known)
    follower.expect_events(4)


@follow.case("when a way that has worked fails, the best comes first again, a second later")
async def _(answer):
    for script, events in ((". 1 e 1 e 0.5 !", 4), (". 1.5 . 1 $", 2)):
        follower = Follower(websocket=["!"], sse=[script])
        await follower.run(answer, 20.25)
        known = {"too-early": "hammers", "too-late": "stays-away", "sse": "stays-with-the-worse"}
        known |= {"long_polling": "goes-on-down", None: "gives-up"}
        calls = (("websocket", 0), ("sse", 0), ("websocket", 3.5))
        follower.expect_calls(*calls, slug="goes-on-down", hint=TOP, known=known)
        follower.expect_events(events)


@follow.case("when none works, it begins again every second, and never gives up")
async def _(answer):
    follower = Follower(websocket=["!"] * 20, sse=["!"] * 20, long_polling=["!"] * 20)
    await follower.run(answer, 34.5, "gives-up")
    known = {"too-early": "hammers", "too-late": "stays-away", None: "gives-up"}
    right = [(name, second) for second in range(20) for name in NAMES] + [("websocket", 20)]
    follower.expect_calls(*right, slug="another-order", hint=TOP, known=known)
    follower.expect_events(4)


@follow.case("whatever breaks, every event is handled once, in order")
async def _(answer):
    scripts = {"websocket": [". e e 1 e !", "!", ". 0.3 e e !", "~"], "sse": ["e e 0.5 $", ". e e e e ~"]}
    follower = Follower(**scripts)
    await follower.run(answer, 40.25)
    follower.expect_events(20)
    calls = (("websocket", 0), ("websocket", 2), ("sse", 2), ("websocket", 3.5), ("websocket", 4.8), ("sse", 7.8))
    why = "whether a way has given anything is asked anew for each call of a way"
    known = {"websocket": "remembers-what-once-worked"}
    follower.expect_calls(*calls, ("websocket", 11.8), slug="another-order", hint=why, known=known)


@follow.case("Gone is raised: another way would not know the events either")
async def _(answer):
    for scripts in ({"websocket": ["gone"]}, {"websocket": ["!"], "sse": [". e gone"]}):
        follower = Follower(**scripts)
        await follower.run(answer, 5.25)
        if not follower.gone:
            why = "Gone is no OSError: name the failures that you expect, and let others pass"
            fail("swallows-gone", *follower.line.lines, hint=why)


# The course's own servers.


async def refuse(request):
    """A proxy that does not know how to upgrade."""
    return web.Response(status=502, text="what is an upgrade?\n")


class Entrances:
    """One feed with three real servers, each behind a link; the WebSocket's is behind a proxy that refuses it."""

    async def __aenter__(self):
        self.feed, self.stack, self.links, self.targets = Feed(epoch="0" * 8), AsyncExitStack(), {}, {}
        proxy = web.Application()
        proxy.router.add_get("/{path:.*}", refuse)
        apps = {"websocket": websocket.make_app(self.feed), "sse": sse.make_app(self.feed, heartbeat_s=1)}
        apps |= {"long_polling": long_polling.make_app(self.feed)}
        self.proxy = await self.stack.enter_async_context(serving(proxy))
        for name, app in apps.items():
            self.targets[name] = await self.stack.enter_async_context(serving(app))
            target = self.proxy if name == "websocket" else self.targets[name]
            self.links[name] = await self.stack.enter_async_context(await Link.open(target, rtt_ms=40))
        self.links["sse"].buffer()
        return self

    async def __aexit__(self, *exc_info):
        await self.stack.aclose()

    async def way(self, name, after):
        self.used = name
        self.line.add(f"{name} is tried")
        async with aclosing(getattr(ways, name)(self.links[name].url, after)) as signs:
            async for sign in signs:
                yield sign

    async def run(self, answer):
        """Publish five events a second, while one entrance after another breaks. Returns what was used, and handled."""
        self.line, handled, used = Timeline(), [], []
        following = asyncio.ensure_future(answer([partial(self.way, name) for name in NAMES], handled.append))
        try:
            for number in range(150):
                self.feed.publish(str(number))
                await asyncio.sleep(0.2)
                if number % 50 == 49:
                    used.append(self.used)
                    self.change(number // 50)
            await asyncio.sleep(6)
            if following.done() and (error := following.exception()):
                raise error
        finally:
            await stop(following)
        return used, [event.data for event in handled if event]

    def change(self, act):
        """The proxy learns to upgrade, and long polling dies silently; then the WebSocket does, and SSE is no longer held back."""
        if act == 0:
            self.links["websocket"].target = self.targets["websocket"]
            self.links["long_polling"].black_hole()
        elif act == 1:
            self.links["sse"].buffer(0)
            self.links["websocket"].black_hole()


@follow.case("through a proxy that refuses, one that buffers, and a connection that dies: the course's own servers")
async def _(answer):
    async with Entrances() as entrances:
        used, handled = await entrances.run(answer)
    right = [str(number) for number in range(150)]
    if handled != right:
        twice, lost = len(handled) - len(set(handled)), len(set(right) - set(handled))
        backward = sum(int(two) <= int(one) for one, two in pairwise(handled))
        shown = f"lost {lost}, handled twice {twice}, out of order {backward} of 150 events"
        fail("differs-on-servers", *entrances.line.lines, shown, hint=CURSOR)
    if used != ["long_polling", "websocket", "sse"]:
        shown = [f"after 10, 20 and 30 s it used {', '.join(used)}", "right is long_polling, websocket, sse"]
        fail("another-way-on-servers", *entrances.line.lines, *shown, hint=TOP)
