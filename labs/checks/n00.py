"""The checks of notebook 00: percentiles, latency from the due time, the byte ledger, an open loop."""

import asyncio
import math

from labs.checks import Exercise, Timeline, fail
from labs.launch import launch
from labs.measure import Sample

percentile = Exercise("0.1", "percentile")
latencies = Exercise("0.2", "latencies")
split = Exercise("0.3", "split")
open_loop = Exercise("0.4", "open_loop")
EXERCISES = {exercise.number: exercise for exercise in (percentile, latencies, split, open_loop)}


# 0.1 percentile(values, p)


def expect_percentile(answer, values, p, right, diagnosis, hint, extra=()):
    got = answer(list(values), p)
    if got != right:
        shown = [f"values = {values}", f"percentile(values, {p}) is {right}, yours says {got!r}", *extra]
        fail(diagnosis, *shown, hint=hint)


@percentile.case("the 50th percentile of five values is the third smallest")
def _(answer):
    why = "put the values in order first: the third in the list as it came is not the third smallest"
    expect_percentile(
        answer, [10, 20, 30, 40, 50], 50, 30, "wrong-rank", "how many values are half of five? round that up"
    )
    expect_percentile(answer, [50, 10, 40, 20, 30], 50, 30, "not-sorted", why)


@percentile.case("it is always one of the values, never something between two")
def _(answer):
    why = "nearest rank does not average neighbors: take the value at rank ceil(n × p / 100)"
    got = answer([10, 20, 30, 40], 50)
    if got not in (10, 20, 30, 40):
        fail("interpolates", "values = [10, 20, 30, 40]", f"percentile(values, 50) is 20, yours says {got!r}", hint=why)
    expect_percentile(
        answer, [10, 20, 30, 40], 50, 20, "off-by-one", "two of four values do not exceed 20: that is half already"
    )


@percentile.case("the 100th percentile is the largest, and a tiny one is the smallest")
def _(answer):
    expect_percentile(answer, [3, 1, 2], 100, 3, "misses-the-largest", "rank n is the last value; Python counts from 0")
    expect_percentile(answer, [3, 1, 2], 1, 1, "misses-the-smallest", "rank 1 is the first value; there is no rank 0")


@percentile.case("a fraction of a rank is rounded up")
def _(answer):
    values = list(range(1, 11))
    why = "at least p percent must not exceed it: nine of ten are only 90 percent"
    expect_percentile(answer, values, 91, 10, "rounds-down", why)
    expect_percentile(
        answer, values, 12, 2, "rounds-to-nearest", "ceil, not round: one of ten is only 10 percent, less than 12"
    )


@percentile.case("the caller's list stays as it was")
def _(answer):
    values = [5, 3, 4]
    answer(values, 50)
    if values != [5, 3, 4]:
        fail("sorts-in-place", "before: [5, 3, 4]", f"after:  {values}", hint="sorted(values) makes a new list")


# 0.2 latencies(samples)


def expect_latencies(answer, samples, right, diagnosis, hint):
    got = answer([Sample(*sample) for sample in samples])
    if (
        not isinstance(got, list | tuple)
        or len(got) != len(right)
        or any(g != r for g, r in zip(got, right, strict=True))
    ):
        lines = [f"due {due:>5}  sent {sent:>5}  received {received!s:>5}" for due, sent, received in samples]
        fail(diagnosis, *lines, f"latencies are {right}, yours say {got!r}", hint=hint)


@latencies.case("a request that left on time counts from then to its answer")
def _(answer):
    samples = [(0, 0, 5), (100, 100, 108)]
    expect_latencies(answer, samples, [5, 8], "not-the-answer-time", "one number for each sample: from when, to when?")


@latencies.case("a request that left late counts from when it was due")
def _(answer):
    samples = [(0, 0, 1000), (100, 1000, 1004), (200, 1004, 1007)]
    why = "the user pressed the button at the due time; that we sent later is our delay, not the user's"
    expect_latencies(answer, samples, [1000, 904, 807], "counts-from-sending", why)


@latencies.case("a request that was never answered counts as infinite, it is not left out")
def _(answer):
    samples = [(0, 0, 4), (100, 100, None), (200, 200, 203)]
    got = answer([Sample(*sample) for sample in samples])
    if list(got) == [4, 3]:
        why = "leaving out the worst answers makes any server look good: use math.inf"
        fail(
            "drops-the-unanswered",
            "due   100  sent   100  received  None",
            "this request is missing in yours",
            hint=why,
        )
    expect_latencies(
        answer, samples, [4, math.inf, 3], "unanswered-not-infinite", "no answer is later than any answer: math.inf"
    )


@latencies.case("the order of the samples is kept")
def _(answer):
    samples = [(0, 0, 900), (100, 100, 103)]
    expect_latencies(answer, samples, [900, 3], "reorders", "the first latency belongs to the first sample")


# 0.3 split(message)

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
WIND = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwind: 5 °".encode()


def expect_split(answer, message, right, diagnosis, hint):
    got = answer(message)
    got = tuple(got) if isinstance(got, list | tuple) else got
    if got != right:
        shown = [f"{part}" for part in message.decode("utf-8", "replace").replace("\r\n", "\\r\\n\n").split("\n")]
        fail(diagnosis, *shown, "", f"start line, headers, body are {right} bytes, yours say {got!r}", hint=hint)


@split.case("the three parts of a response add up to its size")
def _(answer):
    got = answer(RESPONSE)
    if isinstance(got, list | tuple) and len(got) == 3 and sum(got) != len(RESPONSE):
        lost = len(RESPONSE) - sum(got)
        shown = [f"the response is {len(RESPONSE)} bytes, your parts {tuple(got)} add up to {sum(got)}"]
        why = "every line ends in two bytes, CR and LF; the empty line that ends the head is two bytes too, and they are headers'"
        fail("does-not-add-up", *shown, f"{abs(lost)} bytes are {'missing' if lost > 0 else 'counted twice'}", hint=why)


@split.case("the start line ends with its own line ending; the empty line belongs to the headers")
def _(answer):
    why = "the first \\r\\n is the end of the start line; the first \\r\\n\\r\\n is the end of the headers"
    expect_split(answer, RESPONSE, (17, 47, 5), "wrong-border", why)


@split.case("a body may contain an empty line")
def _(answer):
    message = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\na\r\n\r\nb\r\n"
    why = "only the first empty line ends the head; what comes after it is body, whatever it looks like"
    expect_split(answer, message, (17, 21, 8), "splits-inside-the-body", why)


@split.case("a request without a body has a body of 0 bytes")
def _(answer):
    message = b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    expect_split(
        answer, message, (22, 19, 0), "no-body", "after the empty line there is nothing: 0 bytes, not an error"
    )


@split.case("bytes are counted, not characters")
def _(answer):
    right = (17, 21, 10)
    expect_split(
        answer, WIND, right, "counts-characters", "° is one character and two bytes: do not decode before you count"
    )


# 0.4 open_loop(send, due, sleep, now)


class Service:
    """Answers requests after a time that the case sets, and notes everything on a timeline."""

    def __init__(self, takes, broken=()):
        self.line, self.takes, self.broken, self.sent, self.answered = Timeline(), takes, broken, [], 0

    async def send(self):
        number = len(self.sent) + 1
        self.sent.append(self.line.now)
        self.line.add(f"request {number} is sent")
        await asyncio.sleep(self.takes(number))
        if number in self.broken:
            self.line.add(f"request {number} fails")
            raise ConnectionError("the connection broke")
        self.answered += 1
        self.line.add(f"request {number} is answered")

    async def run(self, answer, due):
        """The answer's samples, with the virtual clock that starts at 0 passed in."""
        start = self.line.start
        now = lambda: round(asyncio.get_running_loop().time() - start, 6)  # noqa: E731
        return await answer(self.send, due, asyncio.sleep, now)


@open_loop.case("every request is sent when it is due")
async def _(answer):
    service = Service(lambda number: 0.01)
    await service.run(answer, [0.5, 1.0, 2.0])
    if len(service.sent) != 3:
        fail(
            "wrong-count",
            *service.line.lines,
            "three requests were due, at 0.5, 1.0 and 2.0 s",
            hint="one request for each time",
        )
    if service.sent == [0, 0, 0]:
        fail("ignores-the-schedule", *service.line.lines, "due were 0.5, 1.0 and 2.0 s", hint="sleep until each is due")
    if [round(at, 3) for at in service.sent] != [0.5, 1.0, 2.0]:
        why = "due times count from the start: how long is it from now() until then?"
        fail("off-schedule", *service.line.lines, "due were 0.5, 1.0 and 2.0 s", hint=why)


@open_loop.case("a slow answer does not hold up the next request")
async def _(answer):
    service = Service(lambda number: 1.5 if number == 1 else 0.01)
    await service.run(answer, [0.0, 0.5, 1.0, 2.0])
    if service.sent[1] >= 1.5:
        why = "start the request as a task (asyncio.create_task) and go on to the next due time; await the tasks at the end"
        fail("waits-for-the-answer", *service.line.lines, "request 2 was due at 0.5 s", hint=why)
    if [round(at, 3) for at in service.sent] != [0.0, 0.5, 1.0, 2.0]:
        fail(
            "off-schedule",
            *service.line.lines,
            "due were 0.0, 0.5, 1.0 and 2.0 s",
            hint="sleep until the due time, each time",
        )


@open_loop.case("it returns when the last answer is in, not before")
async def _(answer):
    service = Service(lambda number: 0.7)
    await service.run(answer, [0.0, 0.1])
    service.line.add("open_loop returned")
    if service.answered < 2:
        fail(
            "returns-too-early",
            *service.line.lines,
            hint="after the last request is sent, wait for every task that you started",
        )


@open_loop.case("one latency for each request, from its due time, in the order of the due times")
async def _(answer):
    service = Service(lambda number: (0.5, 0.1, 0.2)[number - 1])
    got = await service.run(answer, [0.0, 0.2, 0.3])
    tell = ["right are [0.5, 0.1, 0.2] seconds", f"yours are {got!r}"]
    if not isinstance(got, list | tuple) or len(got) != 3:
        fail(
            "no-latencies", *service.line.lines, *tell, hint="return a list: one number, in seconds, for each due time"
        )
    got = [round(value, 3) for value in got]
    if got == sorted(got):
        why = "the first answer to arrive need not belong to the first request: asyncio.gather keeps the order"
        fail("in-order-of-arrival", *service.line.lines, *tell, hint=why)
    if got != [0.5, 0.1, 0.2]:
        fail("wrong-latency", *service.line.lines, *tell, hint="now() when the answer is in, minus the due time")


@open_loop.case("a request that is sent late still counts from its due time")
async def _(answer):
    service = Service(lambda number: 0.1)
    await asyncio.sleep(1.0)  # the loop starts a second late: all three are overdue
    got = [round(value, 3) for value in await service.run(answer, [0.0, 0.5, 0.8])]
    if got != [1.1, 0.6, 0.3]:
        why = "due is when it should have been sent; do not start the stopwatch when you get around to sending"
        fail("counts-from-sending", *service.line.lines, "due were 0.0, 0.5 and 0.8 s: latencies 1.1, 0.6 and 0.3 s",
             f"yours are {got}", hint=why)  # fmt: skip


@open_loop.case("over real sockets, too: a real server, held up by the link for a moment, is asked on time", real=True)
async def _(answer):
    from labs import clients

    async with launch("http_polling") as server, clients.session() as http:
        asked = []

        async def send():
            asked.append(len(answers))
            async with http.get(f"{server.url}/healthz") as response:
                answers.append(response.status)
            if len(asked) == 1:
                server.link.stall()  # from here on no answer comes back, until the last request is out

        answers: list[int] = []
        loop = asyncio.get_running_loop()
        start = loop.time()

        async def resume_when_all_are_out():
            while len(asked) < 6 and loop.time() < start + 5:
                await asyncio.sleep(0.01)
            server.link.resume()

        resuming = asyncio.create_task(resume_when_all_are_out())
        got = await answer(send, [0.05 * number for number in range(6)], asyncio.sleep, lambda: loop.time() - start)
        await resuming
        if asked[-1] > 1 or len(asked) != 6:
            shown = f"when the last request went out, {asked[-1]} answers were in; only the first should have been"
            fail("waits-for-the-answer", shown, hint="start each request as a task")
        if len(got) != 6 or answers != [200] * 6:
            fail("lost-answers", f"six requests, {len(answers)} answers, {len(got)} latencies", hint="await every task")
