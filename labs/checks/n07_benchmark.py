"""The check of exercise 7.2: a benchmark on connections that each bring out one flaw."""

import asyncio
import math

from labs import clients, virtual
from labs.checks import Exercise, Timeline, fail
from labs.checks.attempt import said, where

delays = Exercise("7.2", "delays", "connect, count, every", awaited=True)
EXERCISES = {"7.2": delays}

ANSWER_S, OPENING_S, PATIENCE_S, AHEAD_S = 0.03, 0.2, 5.0, 3600.0
SEND = "a task that reads, and beside it a loop that sleeps until the next number is due, and sends it"
READ = "one task does nothing but read, from the moment at which the socket is open"
DUE = "a number is due at opened + number * every; that it was sent later is a delay, too"
INF = "begin with a list of math.inf, and write in it what comes back"


class Peer:
    """A socket to an echo service, and what happened on it. `answers(number)` is in how many seconds which copies come."""

    def __init__(self, *, answers=lambda number: (ANSWER_S,), blocks=None, breaks_after=None):
        self.answers, self.blocks, self.breaks_after = answers, blocks or {}, breaks_after
        self.line, self.sent, self.came, self.opened, self.closed = Timeline(), [], asyncio.Queue(), None, False
        self.buffer, self.opens, self.broken = asyncio.Lock(), 0, False

    async def connect(self):
        self.opens += 1
        await asyncio.sleep(OPENING_S)
        self.opened = self.line.now
        self.line.add("the socket is open")
        return self

    async def send(self, number):
        async with self.buffer:
            self._live()
            await asyncio.sleep(self.blocks.get(number, 0))
            self.sent.append((number, round(self.line.now - self.opened, 3)))
            self.line.add(f"{number!r} is sent")
        if self.breaks_after == number:
            asyncio.get_running_loop().call_later(2 * ANSWER_S, self._break)
        for wait in self.answers(number):  # never two at the same moment: their order would be anybody's guess
            asyncio.get_running_loop().call_later(wait + len(self.sent) * 1e-5, self._answer, number)

    async def recv(self):
        self._live()
        if (said := await self.came.get()) is None:
            self.came.put_nowait(None)
            self._live()
        return said

    async def close(self):
        self.closed = True
        self.came.put_nowait(None)

    def _answer(self, number):
        self.line.add(f"{number!r} is back")
        self.came.put_nowait((number, asyncio.get_running_loop().time() + AHEAD_S))

    def _break(self):
        self.broken = True
        self.line.add("the connection is broken")
        self.came.put_nowait(None)

    def _live(self):
        if self.closed or self.broken:
            raise ConnectionError("the connection is closed")

    async def run(self, answer, count, every):
        """What the answer gives back, as a list, times to a hundredth of a second."""
        try:
            got = await answer(self.connect, count, every)
        except ConnectionError as error:
            if self.opened is None or not self.broken:
                raise
            shown = [*self.line.lines, *where(error), said(error)]
            fail("dies-with-the-connection", *shown, hint=f"what has not come back is infinitely late: {INF}")
        self.line.add("delays returned")
        numbers = hasattr(got, "__len__") and not isinstance(got, str | bytes | dict)
        if not numbers or not all(isinstance(one, int | float) for one in got):
            why = "return a list with one number, in seconds, for each that was sent"
            fail("no-delays", *self.line.lines, f"delays(…) returned {got!r}", hint=why)
        return [round(one, 2) for one in got]

    def expect(self, got, right, slug, hint, known=()):
        """Compare; `known` maps results of known mistakes to their diagnoses."""
        if got == right:
            return
        shown = [*self.line.lines, f"right are {listed(right)} seconds", f"yours are {listed(got)}"]
        if len(got) != len(right):
            slug, hint = ("drops-the-lost", INF) if math.inf in right else ("wrong-count", "one for each number sent")
        elif any(AHEAD_S / 2 < abs(one) < math.inf for one in got):
            slug, hint = "two-clocks", "the server's clock is an hour ahead: use your own for both times"
        elif len(got) == len(right) and [round(one / 1000, 2) for one in got] == right:
            slug = "wrong-unit"
        fail(dict(known).get(tuple(got), slug), *shown, hint=hint)

    def on_schedule(self, count, every, slug="off-schedule", hint=SEND):
        """Every number must have been sent when it was due."""
        right = [(number, round(number * every, 3)) for number in range(count)]
        if sorted(self.sent, key=str) == sorted(right, key=str):
            return
        shown = [*self.line.lines, f"due were {', '.join(f'{at:g}' for _, at in right)} s after the opening"]
        numbers = [number for number, _ in self.sent]
        if sorted(map(str, numbers)) != sorted(str(number) for number, _ in right):
            fail("wrong-numbers", *shown, hint="send the numbers 0, 1, 2 …, each of them once")
        if count > 1 and self.sent[-1][1] == self.sent[0][1]:
            fail("ignores-the-schedule", *shown, hint="sleep until each is due")
        fail(slug, *shown, hint=hint)


def listed(values):
    """A list of numbers in one line; what repeats itself is shortened."""
    texts = [f"{value:g}" for value in values]
    return ", ".join(texts if len(texts) <= 12 else [*texts[:9], "…", *texts[-2:]]) or "none"


@delays.case("each number is sent when it is due, counted from the opening")
async def _(answer):
    peer = Peer()
    await peer.run(answer, 5, 0.1)
    if peer.opens != 1:
        fail("opens-again", f"connect() was called {peer.opens} times", hint="one socket for all numbers")
    peer.on_schedule(5, 0.1)


@delays.case("a delay ends when the number is back, by the clock that also began it")
async def _(answer):
    peer = Peer()
    got = await peer.run(answer, 5, 0.1)
    known = {(0,) * 5: "stops-at-sending", (0.43, 0.33, 0.23, 0.13, 0.03): "reads-afterwards"}
    known |= {(0.4, 0.3, 0.2, 0.1, 0.03): "reads-afterwards", (0.23,) * 5: "counts-the-opening"}
    known |= {(0.03, 0.13, 0.23, 0.33, 0.43): "tells-the-time", (0.23, 0.33, 0.43, 0.53, 0.63): "tells-the-time"}
    peer.expect(got, [ANSWER_S] * 5, "wrong-delay", f"now, minus when it was due; {READ}", known)


@delays.case("a server that stands still for two seconds does not keep the benchmark from sending")
async def _(answer):
    right = [0.03, 0.03, *(round(2.0 - 0.24 * number, 2) for number in range(2, 8))]  # at 2.02 s, 2.03 s, 2.04 s …
    peer = Peer(answers=lambda number: (right[number],))
    got = await peer.run(answer, 8, 0.25)
    peer.on_schedule(8, 0.25, "waits-for-the-answer")
    peer.expect(got, right, "wrong-delay", f"now, minus when it was due; {READ}")


@delays.case("a number that is sent late counts from when it was due")
async def _(answer):
    peer = Peer(blocks={1: 0.5})
    got = await peer.run(answer, 5, 0.1)
    if peer.sent[-1][1] > 0.61:
        why = "what is overdue is sent at once: how long is it from now until it is due?"
        fail("slips-behind", *peer.line.lines, "sending 1 took 0.5 s, because the buffer was full", hint=why)
    known = {(0.03, 0.53, 0.03, 0.03, 0.03): "counts-from-sending", (0.03,) * 5: "counts-from-sending"}
    peer.expect(got, [0.03, 0.53, 0.43, 0.33, 0.23], "wrong-delay", DUE, known)


@delays.case("answers may overtake each other")
async def _(answer):
    peer = Peer(answers=lambda number: ((0.5, 0.03, 0.3, 0.03)[number],))
    got, right = await peer.run(answer, 4, 0.1), [0.5, 0.03, 0.3, 0.03]
    known = {(0.13, 0.23, 0.3, 0.2): "in-order-of-arrival", (0.03, 0.03, 0.5, 0.3): "in-order-of-arrival"}
    slug = "in-order-of-arrival" if sorted(got) == sorted(right) else "wrong-delay"
    peer.expect(got, right, slug, "recv gives the number that is back: its delay belongs in its place", known)


@delays.case("of several copies the first counts")
async def _(answer):
    peer = Peer(answers=lambda number: (0.03, 0.08) if number == 1 else (0.03,))
    got = await peer.run(answer, 4, 0.1)
    why = "an unreliable way may deliver twice: do not overwrite what is there, and do not count it"
    known = {(0.03, 0.08, 0.03, 0.03): "takes-the-last-copy", (0.03, 0.03, 0.03, math.inf): "counts-copies"}
    peer.expect(got, [0.03] * 4, "copies-confuse-it", why, known)


@delays.case("what is lost is infinitely late, and is not left out")
async def _(answer):
    peer = Peer(answers=lambda number: () if number in (1, 3) else (0.03,))
    got = await peer.run(answer, 4, 0.1)
    known = {(0.03, 0, 0.03, 0): "lost-is-instant"}
    peer.expect(got, [0.03, math.inf, 0.03, math.inf], "lost-is-not-infinite", INF, known)
    if not 5.2 < (took := peer.line.now - peer.opened) < 5.5:
        shown = f"the last was due 0.3 s after the opening, and delays returned {took:.2f} s after it"
        slug = "gives-up-too-early" if took < 5.2 else "waits-too-long"
        fail(slug, *peer.line.lines, shown, hint="asyncio.timeout around the reading, until 5 s after the last was due")


@delays.case("an answer that takes four seconds is late, and not lost")
async def _(answer):
    peer = Peer(answers=lambda number: (4.0,) if number == 2 else (0.03,))
    got = await peer.run(answer, 3, 0.1)
    peer.expect(got, [0.03, 0.03, 4.0], "gives-up-too-early", "wait until 5 s after the last was due")
    if peer.line.now - peer.opened > 4.3:
        fail("returns-late", *peer.line.lines, hint="when all are back, nothing is left to wait for")


@delays.case("when the connection breaks, what is missing is infinitely late")
async def _(answer):
    peer = Peer(breaks_after=1)
    got = await peer.run(answer, 4, 0.1)
    peer.expect(got, [0.03, 0.03, math.inf, math.inf], "breaks-with-the-connection", INF)


@delays.case("the socket is closed at the end")
async def _(answer):
    for peer in (Peer(), Peer(answers=lambda number: ())):
        await peer.run(answer, 2, 0.1)
        if not peer.closed:
            fail("leaves-it-open", *peer.line.lines, hint="await socket.close(), in any case: try, finally")


class Echo:
    """The course's echo server, as the exercise's socket."""

    def __init__(self, url):
        self.url = url

    async def connect(self):
        self.socket = await clients.connect(self.url, "/echo")
        return self

    async def send(self, number):
        await self.socket.send(str(number))

    async def recv(self):
        return int(await self.socket.recv()), asyncio.get_running_loop().time() + AHEAD_S

    async def close(self):
        await self.socket.close()


@delays.case("the course's WebSocket echo behind a link with a round trip of 40 ms takes 40 ms")
async def _(answer):
    async with virtual.launch("websocket", rtt_ms=40) as server:
        got = [round(one, 3) for one in await answer(Echo(server.url).connect, 20, 0.01)]
        if got != [0.04] * 20:
            fail("differs-on-a-server", f"right is 0.04 s for each, yours are {listed(got)}", hint="what differs here?")
