"""The checks of notebook 00: the parts of a message, percentiles, latency from the due time, an open loop."""

import asyncio
import math

from labs.checks import Exercise, Timeline, fail
from labs.launch import launch
from labs.measure import Sample

split = Exercise("0.1", "split", "message")
percentile = Exercise("0.2", "percentile", "values, p")
latencies = Exercise("0.3", "latencies", "samples")
open_loop = Exercise("0.4", "open_loop", "send, due, sleep, now", awaited=True)
EXERCISES = {exercise.number: exercise for exercise in (split, percentile, latencies, open_loop)}


# 0.1 split(message)

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
WIND = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nwind: 5 °".encode()


def sizes(answer, message):
    """The three sizes that the answer gives, or a failure where it gives something else."""
    got = answer(message)
    parts = tuple(got) if isinstance(got, list | tuple) else ()
    if len(parts) == 3 and all(isinstance(part, bytes | str) for part in parts):
        fail(
            "returns-the-parts", f"split(message) returned {parts!r}", hint="not the parts, their sizes: len(…) of each"
        )
    if len(parts) != 3 or not all(isinstance(part, int) for part in parts):
        why = "return three whole numbers: start line, headers, body"
        fail("not-three-sizes", f"split(message) returned {got!r}", hint=why)
    return parts


def expect_split(answer, message, right, diagnosis, hint, instead=()):
    """Compare the three sizes; `instead` maps results of known mistakes to their diagnoses."""
    got = sizes(answer, message)
    if got != right:
        shown = message.decode("utf-8", "replace").replace("\r\n", "\\r\\n\n").splitlines()
        told = f"start line, headers, body are {right} bytes, yours say {got!r}"
        fail(dict(instead).get(got, diagnosis), *shown, "", told, hint=hint)


@split.case("the three parts of a response add up to its size")
def _(answer):
    got = sizes(answer, RESPONSE)
    if lost := len(RESPONSE) - sum(got):
        shown = [f"the response is {len(RESPONSE)} bytes, your parts {got} add up to {sum(got)}"]
        why = "every line ends in two bytes, CR and LF; the empty line that ends the head is two bytes too, and they are headers'"
        fail("does-not-add-up", *shown, f"{abs(lost)} bytes are {'missing' if lost > 0 else 'counted twice'}", hint=why)


@split.case("the start line ends with its own line ending; the empty line belongs to the headers")
def _(answer):
    why = "the first \\r\\n is the end of the start line; the first \\r\\n\\r\\n is the end of the headers"
    off = {(17, 45, 7): "empty-line-to-the-body", (15, 49, 5): "line-ending-to-the-headers"}
    expect_split(answer, RESPONSE, (17, 47, 5), "wrong-border", why, off)


@split.case("a body may contain an empty line")
def _(answer):
    message = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\na\r\n\r\nb\r\n"
    why = "only the first empty line ends the head; what comes after it is body, whatever it looks like"
    expect_split(answer, message, (17, 21, 8), "splits-inside-the-body", why)


@split.case("a request without a body has a body of 0 bytes")
def _(answer):
    message = b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    why = "after the empty line there is nothing: 0 bytes, not an error"
    expect_split(answer, message, (22, 19, 0), "no-body", why)


@split.case("bytes are counted, not characters")
def _(answer):
    why = "° is one character and two bytes: do not decode before you count"
    expect_split(answer, WIND, (17, 22, 10), "counts-characters", why)


# 0.2 percentile(values, p)

TEN = list(range(1, 11))


def expect_percentile(answer, values, p, right, diagnosis, hint, instead=()):
    """Compare one percentile; `instead` maps results of known mistakes to their diagnoses."""
    got = answer(list(values), p)
    if got != right:
        shown = [f"values = {values}", f"percentile(values, {p}) is {right}, yours says {got!r}"]
        fail(next((slug for value, slug in instead if value == got), diagnosis), *shown, hint=hint)


@percentile.case("the 50th percentile of five values is the third smallest")
def _(answer):
    how = "how many values are half of five? round that up"
    rounding = "rounds-to-nearest" if answer(TEN, 18) == 2 else "rounds-down"
    off = [(20, rounding), (40, "off-by-one")]
    expect_percentile(answer, [10, 20, 30, 40, 50], 50, 30, "wrong-rank", how, off)
    why = "put the values in order first: the third in the list as it came is not the third smallest"
    expect_percentile(answer, [50, 10, 40, 20, 30], 50, 30, "not-sorted", why)


@percentile.case("it is always one of the values, never something between two")
def _(answer):
    values, got = [10, 20, 30, 40], answer([10, 20, 30, 40], 50)
    if got not in values:
        why = "nearest rank does not average neighbors: take the value at rank ceil(n × p / 100)"
        fail("interpolates", f"values = {values}", f"percentile(values, 50) is 20, yours says {got!r}", hint=why)
    why = "two of four values do not exceed 20: that is half already"
    expect_percentile(answer, values, 50, 20, "off-by-one", why)


@percentile.case("the 100th percentile is the largest, and a tiny one is the smallest")
def _(answer):
    expect_percentile(answer, [3, 1, 2], 100, 3, "misses-the-largest", "rank n is the last value; Python counts from 0")
    expect_percentile(answer, [3, 1, 2], 1, 1, "misses-the-smallest", "rank 1 is the first value; there is no rank 0")


@percentile.case("a fraction of a rank is rounded up")
def _(answer):
    why = "at least p percent must not exceed it: nine of ten are only 90 percent"
    expect_percentile(answer, TEN, 98, 10, "rounds-down", why)
    expect_percentile(answer, TEN, 91, 10, "rounds-to-nearest", why)
    why = "ceil, not round: one of ten is only 10 percent, less than 12"
    expect_percentile(answer, TEN, 12, 2, "rounds-to-nearest", why)


@percentile.case("the caller's list stays as it was")
def _(answer):
    values = [5, 3, 4]
    answer(values, 50)
    if values != [5, 3, 4]:
        fail("sorts-in-place", "before: [5, 3, 4]", f"after:  {values}", hint="sorted(values) makes a new list")


# 0.3 latencies(samples)


def expect_latencies(answer, samples, right, diagnosis, hint, instead=()):
    """Compare the latencies; `instead` maps results of known mistakes to their diagnoses."""
    lines = [f"due {due:>5}  sent {sent:>5}  received {received!s:>5}" for due, sent, received in samples]
    try:
        got = answer([Sample(*sample) for sample in samples])
    except TypeError as error:
        if "NoneType" not in str(error):
            raise
        fail(
            "trips-over-the-unanswered",
            *lines,
            f"TypeError: {error}",
            hint="there is nothing to subtract from: math.inf",
        )
    if not hasattr(got, "__len__") or isinstance(got, str | bytes | dict):
        fail("not-a-list", f"latencies(samples) returned {got!r}", hint="return a list, one number for each sample")
    if list(got) != right:
        slug = "reorders" if sorted(map(str, got)) == sorted(map(str, right)) else diagnosis
        slug = next((known for wrong, known in instead if wrong == list(got)), slug)
        fail(slug, *lines, f"latencies are {right}, yours say {got!r}", hint=hint)


@latencies.case("a request that left on time counts from then to its answer")
def _(answer):
    off = [([0, 0], "counts-to-sending"), ([-5, -8], "upside-down"), ([0.005, 0.008], "wrong-unit")]
    why = "one number for each sample: from when, to when?"
    expect_latencies(answer, [(0, 0, 5), (100, 100, 108)], [5, 8], "not-the-answer-time", why, off)


@latencies.case("a request that left late counts from when it was due")
def _(answer):
    samples = [(0, 0, 3), (100, 150, 160), (200, 260, 290)]
    why = "the user pressed the button at the due time; that we sent later is our delay, not the user's"
    expect_latencies(answer, samples, [3, 60, 90], "counts-from-sending", why)


@latencies.case("a request that was never answered counts as infinite, it is not left out")
def _(answer):
    samples = [(0, 0, 3), (100, 100, 104), (200, 200, None)]
    off = [([3, 4], "drops-the-unanswered"), ([3, 4, 0], "unanswered-is-instant")]
    why = "leaving out the worst answers makes any server look good: use math.inf"
    expect_latencies(answer, samples, [3, 4, math.inf], "unanswered-not-infinite", why, off)


@latencies.case("the order of the samples is kept")
def _(answer):
    samples = [(0, 0, 900), (100, 100, 103)]
    expect_latencies(answer, samples, [900, 3], "reorders", "the first latency belongs to the first sample")


# 0.4 open_loop(send, due, sleep, now)


class Service:
    """Answers requests after a time that the case sets, and notes everything on a timeline.

    The first request can be slow to *send*: it computes for a while, and meanwhile nothing else in the process can run.
    """

    def __init__(self, takes, computes=0.0):
        self.line, self.takes, self.computes, self.sent, self.answered = Timeline(), takes, computes, [], []

    async def send(self):
        number = len(self.sent) + 1
        self.sent.append(self.line.now)
        self.line.add(f"request {number} is sent")
        if number == 1 and self.computes:
            asyncio.get_running_loop()._selector.clock.advance(self.computes)  # time passes, and nothing else runs
        await asyncio.sleep(self.takes(number))
        self.answered.append(number)
        self.line.add(f"request {number} is answered")

    async def run(self, answer, due):
        """The answer's latencies, with the virtual clock that starts at 0 passed in."""
        start = self.line.start
        now = lambda: round(asyncio.get_running_loop().time() - start, 6)  # noqa: E731
        return await answer(self.send, due, asyncio.sleep, now)

    def latencies(self, got, right):
        """The answer's latencies to a hundredth of a second; fails when they are something else."""
        if not hasattr(got, "__len__") or len(got) != len(right) or not all(isinstance(v, int | float) for v in got):
            why = "return a list: one number, in seconds, for each due time"
            fail("no-latencies", *self.line.lines, f"right are {right} seconds", f"yours are {got!r}", hint=why)
        return [round(value, 2) for value in got]


@open_loop.case("every request is sent when it is due")
async def _(answer):
    service = Service(lambda number: 0.01)
    await service.run(answer, [0.5, 1.0, 2.0])
    await asyncio.sleep(0.1)  # whether it waits for its last task is another case's question
    lines = [*service.line.lines, "three requests were due, at 0.5, 1.0 and 2.0 s"]
    if len(service.sent) != 3:
        fail("wrong-count", *lines, hint="one request for each time")
    if service.sent == [0, 0, 0]:
        fail("ignores-the-schedule", *lines, hint="sleep until each is due")
    if [round(at, 3) for at in service.sent] != [0.5, 1.0, 2.0]:
        fail("off-schedule", *lines, hint="due times count from the start: how long is it from now() until then?")


@open_loop.case("a slow answer does not hold up the next request")
async def _(answer):
    service = Service(lambda number: 1.5 if number == 1 else 0.01)
    await service.run(answer, [0.0, 0.5, 1.0, 2.0])
    await asyncio.sleep(2.0)  # the same here
    lines = [*service.line.lines, "requests were due at 0.0, 0.5, 1.0 and 2.0 s"]
    if service.sent[1] >= 1.5:
        why = "start the request as a task (asyncio.create_task) and go on to the next due time; await the tasks at the end"
        fail("waits-for-the-answer", *lines, hint=why)
    if [round(at, 3) for at in service.sent] != [0.0, 0.5, 1.0, 2.0]:
        fail("off-schedule", *lines, hint="sleep until the due time, each time")


@open_loop.case("it returns when the last answer is in, not before")
async def _(answer):
    service = Service(lambda number: 0.7)
    await service.run(answer, [0.0, 0.1])
    service.line.add("open_loop returned")
    if len(service.answered) < 2:
        why = "after the last request is sent, wait for every task that you started"
        fail("returns-too-early", *service.line.lines, hint=why)


@open_loop.case("one latency for each request, from its due time, in the order of the due times")
async def _(answer):
    service, right = Service(lambda number: (0.6, 0.1, 0.2)[number - 1]), [0.6, 0.1, 0.2]
    got = service.latencies(await service.run(answer, [0.0, 0.2, 0.3]), right)
    tell = [*service.line.lines, "due were 0.0, 0.2 and 0.3 s", f"right are {right} seconds", f"yours are {got}"]
    if got == sorted(right):
        why = "the first answer to arrive need not belong to the first request: asyncio.gather keeps the order"
        fail("in-order-of-arrival", *tell, hint=why)
    if got != right:
        known = {(0.6, 0.3, 0.5): "tells-the-time", (600, 100, 200): "wrong-unit", (0, 0, 0): "stops-at-sending"}
        why = "now() when the answer is in, minus the due time"
        fail(known.get(tuple(got), "wrong-latency"), *tell, hint=why)


@open_loop.case("a request that is sent late still counts from its due time")
async def _(answer):
    service, right = Service(lambda number: 0.1, computes=0.5), [0.6, 0.5, 0.4]
    got = service.latencies(await service.run(answer, [0.0, 0.1, 0.2]), right)
    tell = [*service.line.lines, "due were 0.0, 0.1 and 0.2 s; request 1 kept the processor busy for 0.5 s"]
    if service.sent[2] > 0.55:
        why = "what is overdue is sent at once: how long is it from now() until it is due?"
        fail("slips-behind", *tell, hint=why)
    if got != right:
        why = "due is when it should have been sent; do not start the stopwatch when you get around to sending"
        fail("counts-from-sending", *tell, f"right are {right} seconds", f"yours are {got}", hint=why)


@open_loop.case("over real sockets, too: a real server, held up by the link for a moment, is asked on time", real=True)
async def _(answer):
    from labs import clients

    async with launch("http_polling") as server, clients.session() as http:
        asked, answers = [], []

        async def send():
            asked.append(len(answers))
            async with http.get(f"{server.url}/healthz") as response:
                answers.append(response.status)

        async def resume_when_all_are_out():
            while len(asked) < 6 and now() < 3:
                await asyncio.sleep(0.01)
            server.link.resume()

        loop = asyncio.get_running_loop()
        start = loop.time()
        now = lambda: loop.time() - start  # noqa: E731
        server.link.stall()  # no answer comes back until the last request is out
        resuming = asyncio.create_task(resume_when_all_are_out())
        got = await answer(send, [0.05 * number for number in range(6)], asyncio.sleep, now)
        await resuming
        if asked[-1] > 0 or len(asked) != 6:
            shown = "no answer came until the last of six requests was out; yours did not send them all meanwhile"
            fail("waits-for-the-answer", shown, hint="start each request as a task")
        if len(got) != 6 or answers != [200] * 6:
            fail("lost-answers", f"six requests, {len(answers)} answers, {len(got)} latencies", hint="await every task")
