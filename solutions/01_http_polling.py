# %% [markdown]
# # 01 · HTTP polling
# *After this notebook you can say, for any product, whether asking every T seconds is good enough, and what that T costs.*
#
# A sensor on a roof reports whenever the wind changes. A page wants to show the wind as it is now. HTTP gives the page one move: ask, and be answered. The server
# cannot call the page, however urgent the news. So the page asks, and a second later it asks again, and that is **polling**: the oldest way to look live, still the most
# common, and often the right one. We will start it, watch it on the wire, and then work out exactly what it costs, so that every later notebook has something honest to beat.
#
# This is the first of the transports. What it gets wrong, notebooks 02 to 04 repair one by one. What it gets right, you will miss there.

# %% tags=["setup"]
import sys

sys.path.insert(0, "..")
import asyncio, math
import aiohttp
from labs import charts, clients, ledger, measure, models, virtual
from labs.checks import check, claim
from labs.clock import now_ns
from labs.feed import BadCursor, Event, Gone
from labs.launch import launch
from labs.prose import say, table

# %% [markdown]
# ## Watch it
# One line starts a server as a process of its own. The next one shows its live page. (If you read this without a running kernel, the page is blank.)

# %%
server = await launch("http_polling")
server.page()

# %% [markdown]
# The page asks for news once a second. Run the next cell and count in your head until the message appears above. Do it a few times. Sometimes it is there at once, sometimes
# you wait almost the full second. Nothing is slow. Your message simply arrives at a random moment between two questions.

# %%
event = await server.publish("wind 12 m/s, north-west")
event

# %% [markdown]
# Now look at the wire. A reader of our own asks once a second for four seconds, and one message is published in between. Every arrow below is a real request or a real answer,
# drawn to scale, time running downward.

# %%
link = await server.via()
start, reader = (
    now_ns(),
    asyncio.create_task(
        measure.watch(link.url, clients.polling, every=1.0, after=event.cursor)
    ),
)
await asyncio.sleep(1.35)
published = await server.publish("wind 15 m/s, north-west")
await asyncio.sleep(2.7)
reader.cancel()
wire = ledger.messages(link.chunks)

# %%
answers = [message for message in wire if message.direction == "down"]
with_news = sum(bool(message.events) for message in answers)
charts.ladder(
    wire,
    start=start,
    seconds=4,
    published=[published],
    title="Most questions are answered with nothing",
    says=f"{len(answers)} requests went out in four seconds. {len(answers) - with_news} "
    f"came back empty, {with_news} carried the message.",
)

# %% [markdown]
# The reader paid for all of them. And look at the pink line: the message was ready long before anybody asked for it.
#
# ## The server's side
# There is almost nothing to it. This is the whole handler, from `labs/servers/http_polling.py`, without the part about caching:
#
# ```python
# async def events(request):
#     newer = request.app[FEED].since(request.query.get("after"))
#     return web.Response(text="[" + ",".join(event.to_json() for event in newer) + "]", content_type="application/json")
# ```
#
# It answers at once with whatever is newer than the cursor, and forgets the reader. It keeps no connection open, no queue, no list of who is there. That is polling's great virtue: a
# server that remembers nobody has nobody to lose. Everything difficult stands in one word, `since`.
#
# ### Exercise 1.1 · since
# *Ten minutes.* Write `since(kept, epoch, cursor)`. `kept` is the list of events that the server still has, oldest first; their `.id` numbers have no gaps, and the oldest may be larger than 1, because old events are thrown
# away. `epoch` is the server's epoch, and a cursor is a text like `5eed0001-7`: an epoch, a hyphen, and the number of the last event that the reader has. `None` is the cursor of a new reader.
#
# Return the events after the cursor, oldest first. Raise `Gone` when the reader has missed events that are no longer kept, or when the cursor is from another epoch. Raise `BadCursor` for a text
# that is not a cursor at all: anyone can send anything.


# %% tags=["exercise"] exercise="1.1"
def since(kept: list[Event], epoch: str, cursor: str | None) -> list[Event]:
    """The kept events after the cursor; raises Gone or BadCursor."""
    ### BEGIN SOLUTION
    if cursor is None:
        return kept
    of_epoch, hyphen, number = cursor.partition("-")
    if not number.isdecimal():
        raise BadCursor("not a cursor")
    if of_epoch != epoch:
        raise Gone("another epoch")
    if kept and int(number) + 1 < kept[0].id:
        raise Gone("no longer kept")
    return [event for event in kept if event.id > int(number)]
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("1.1", since)

# %% [markdown]
# ## How late is the news?
# Before you run the next cells, decide. The page asks every **T = 1000 ms**. Messages are published at moments that have nothing to do with the page's clock. What is the *average*
# delay from publishing to arrival, in milliseconds?

# %%
my_guess_ms = 1000  ### PREDICTION

# %% [markdown]
# Two hundred messages, each at a random moment of its own slot, take eight seconds. The simulation beside it runs the same reader, link and server on a simulated clock.


# %%
async def one_reader(launch):
    async with launch("http_polling") as server:
        return await measure.polling(server, every_ms=1000)


run = await one_reader(launch)
simulated = virtual.run(one_reader(virtual.launch))

# %%
model = models.polling(every_ms=1000)
charts.latency(
    run,
    model=model,
    simulated=simulated,
    guess_ms=my_guess_ms,
    title="A message waits half an interval on average",
    says=f"Measured mean {run.latency.mean:.0f} ms, simulated "
    f"{simulated.latency.mean:.0f} ms, model {model.mean:.0f} ms. "
    f"The slowest of {run.latency.n} messages took {run.latency.max:.0f} ms.",
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "1.c1",
    "a message waits half an interval on average",
    abs(run.latency.mean / 500 - 1) < 0.1,
)
claim(
    "1.c2", "no message waits much longer than one interval", run.latency.max < 1.1 * 1000
)
claim("1.c3", "nothing was lost", run.lost == 0)

# %% [markdown]
# The curve is a straight line, and that is the whole story: any delay from nothing to a full interval is equally likely. If you guessed 1000, you answered the question "how late can
# it be?", which is the worst case. The mean is T/2.
#
# Why is it uniform? Think of the interval as a bus that leaves every T. You arrive at the stop without a timetable. You may just catch it or just miss it, and every wait in between is as likely as any other.
#
# ## Distance
# On a real network each trip takes time. Let the round trip be RTT, half of it each way. What does it add to the delay? The reader's question
# was under way *before* there was news; the wait ends when a question **reaches the server**, and from there the answer has one way to go. So the delay is uniform between RTT/2 and RTT/2 + T:
#
# $$\text{mean} = \frac{T}{2} + \frac{RTT}{2} \qquad \text{worst} = T + \frac{RTT}{2} \qquad \text{cost} = \frac{1}{T}\ \text{requests per second}$$
#
# The cost has no RTT in it and no messages either. It is paid whether or not anything happens. Multiply the wait by the cost, and T is gone:
#
# $$\text{mean wait} \times \text{request rate} = \tfrac12$$
#
# That product is the law of polling. Whatever T you choose, you can only move along one curve: half as late is twice as expensive.
#
# There is one more rule in it. A careful reader never has two requests open at once. When the round trip is longer than the interval, it has to let ticks pass, and its real interval
# is T rounded up to the next full tick that the answer is back by.
#
# ### Exercise 1.2 · the model
# *Five minutes.* Write the three formulas as a function. Mind the units, and the last rule.


# %% tags=["exercise"] exercise="1.2"
def polling_cost(every_ms: float, rtt_ms: float) -> tuple[float, float, float]:
    """Mean delay in ms, worst delay in ms, requests per second."""
    ### BEGIN SOLUTION
    interval = every_ms * max(1, math.ceil(rtt_ms / every_ms))
    return interval / 2 + rtt_ms / 2, interval + rtt_ms / 2, 1000 / interval
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("1.2", polling_cost)

# %% [markdown]
# Now measure all of it at once. Twelve readers follow the same two hundred messages: four intervals at three distances. Each has a link of its own, which
# delays its bytes.

# %%
sweep = await measure.polling_sweep(
    server, every_ms=(125, 250, 500, 1000), rtt_ms=(0, 40, 200)
)

# %%
charts.cost(
    sweep,
    models=models,
    title="Half as late is twice as expensive",
    caption=f"{sweep[0].latency.n} messages, {sweep[0].per_second:g} a second, 12 readers "
    f"at once; {sweep[0].machine}",
    says="Each point is one reader. Along a line only T changes: to the right the news is "
    "fresher and the requests are more. "
    "Distance puts a floor under the delay that no T can go below.",
)

# %%
rows = []
for one in sweep:
    predicted = models.polling(one.settings["every_ms"], one.rtt_ms)
    rows.append(
        [
            one.settings["every_ms"],
            one.rtt_ms,
            one.latency.mean,
            predicted.mean,
            f"{one.latency.mean / predicted.mean - 1:+.1%}",
            one.requests_per_second,
        ]
    )
table(
    ["T, ms", "RTT, ms", "mean, measured", "mean, model", "difference", "requests/s"], *rows
)

# %% [markdown]
# The measured means lie a little above the model. Is the model wrong, or does the machine need time that the model leaves out: for publishing, parsing, waking up? The simulated clock can tell, because on it computing takes no time at all. The
# same twelve readers, simulated:


# %%
async def twelve_readers(launch):
    async with launch("http_polling") as server:
        return await measure.polling_sweep(
            server, every_ms=(125, 250, 500, 1000), rtt_ms=(0, 40, 200)
        )


def excess_ms(runs):
    return [
        one.latency.mean - models.polling(one.settings["every_ms"], one.rtt_ms).mean
        for one in runs
    ]


measured_excess = excess_ms(sweep)
simulated_excess = excess_ms(virtual.run(twelve_readers(virtual.launch)))
say(
    f"Above the model: measured {sum(measured_excess) / 12:.1f} ms on average over the "
    f"twelve readers, from {min(measured_excess):.1f} to {max(measured_excess):.1f}; "
    f"simulated {sum(simulated_excess) / 12:.1f} ms, from {min(simulated_excess):.1f} to "
    f"{max(simulated_excess):.1f}."
)

# %% [markdown]
# In the simulation what is left scatters around zero, because two hundred messages are not infinitely many. So the model is right, and the rest is the machine. It matters only where T is small. And look at the two fastest readers at a
# distance of 200 ms: asking every 125 ms buys nothing over every 250 ms, because the answer is not back in time.

# %%
# NBVAL_CHECK_OUTPUT
slow = [one for one in sweep if one.settings["every_ms"] >= 500]
near = [
    abs(one.latency.mean / models.polling(one.settings["every_ms"], one.rtt_ms).mean - 1)
    for one in slow
]
claim(
    "1.c4",
    "at intervals of half a second and more the measured mean is within a fifth of the model",
    max(near) < 0.2,
)
claim(
    "1.c5",
    "where computing takes no time, the model holds within three percent of an interval",
    all(
        abs(more) < 0.03 * models.polling_interval(one.settings["every_ms"], one.rtt_ms)
        for more, one in zip(simulated_excess, sweep)
    ),
)
law = [
    (one.latency.mean - one.rtt_ms / 2)
    * models.polling_requests_per_s(one.settings["every_ms"], one.rtt_ms)
    / 1000
    for one in slow
]
claim(
    "1.c6",
    "and there mean wait times request rate is one half, at every distance",
    all(0.4 < product < 0.62 for product in law),
)

# %% [markdown]
# ## The reader's side
# The loop that asks looks trivial, and popular versions of it contain at least one of four mistakes: they lose the cursor, they drift, they overlap, or the first failure ends them.
#
# *Drift* deserves a picture. If you ask, wait for the answer, and then sleep for T, the interval is not T. It is T plus the time that the answer took. With an answer that takes 300 ms, a page that should ask
# 3600 times an hour asks 2769 times, and if a thousand pages were spread evenly over the second, slow answers herd them together. The repair is to count from the *schedule*: tick k is due at start + k × T.
#
# ### Exercise 1.3 · the polling client
# *Fifteen minutes.* Write `poll(fetch, handle, every, sleep, now)`, which runs until it is cancelled.
#
# - `await fetch(after)` returns the list of events after the cursor `after`; `None` asks for all of them. It raises `ConnectionError` when the request fails.
# - Call `handle(event)` once for each event, in order. The cursor of an event is `event.cursor`.
# - The first request goes out at once, the others every `every` seconds. If an answer takes 0.3 s of a 1 s interval, wait 0.7 s. If it takes longer than the interval, skip the ticks that have passed: no two requests at once, and no catching up.
# - After a failed request go on at the next tick, and ask for the same events again.
# - `await sleep(seconds)` waits, and `now()` says the time in seconds. The check runs your function in virtual time, where an hour of polling takes a moment.
#
# <details><summary>Hint</summary>
#
# Keep the time at which the next request is due in a variable. Once the answer is in, add <code>every</code> to it until it lies in the future.
# </details>


# %% tags=["exercise"] exercise="1.3"
async def poll(fetch, handle, every, sleep, now):
    """Ask on a fixed schedule for whatever came after the last handled event."""
    ### BEGIN SOLUTION
    after, due = None, now()
    while True:
        try:
            for event in await fetch(after):
                handle(event)
                after = event.cursor
        except ConnectionError:
            pass
        due += every
        while due < now():
            due += every
        await sleep(due - now())
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("1.3", poll)

# %% [markdown]
# ## What does it cost in bytes?
# Here are one request and one empty answer from the capture above, as they were on the wire:

# %%
question, empty = next((q, a) for q, a in zip(wire[::2], wire[1::2]) if not a.events)
print(question.text + empty.text)

# %% [markdown]
# Nothing in there is a surprise, so we can predict it. A request is a request line, a `Host` header and an empty line. An answer has a status line and four headers, and its body is a
# JSON array. `models.poll_request` and `models.poll_response` build each message as RFC 9112 describes it and count the bytes, without looking at any capture. They must hit every message exactly, or the ledger explains nothing.


# %%
def predicted(message):
    if message.direction == "up":
        return models.poll_request(
            message.headers["host"], message.start_line.partition("after=")[2].split(" ")[0]
        )
    body = message.body.decode()
    return models.poll_response([body[1:-1]] if message.events else [])


exact = [predicted(message) == message.parts for message in wire]
say(
    f"{sum(exact)} of {len(exact)} messages were predicted exactly, part by part: "
    f"{sum(message.size for message in wire)} bytes in all."
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "1.c7",
    "every request and every response has exactly the predicted bytes, part by part",
    all(exact),
)
claim(
    "1.c8",
    "and together they are all that crossed the link",
    sum(message.size for message in wire) == sum(link.bytes.values()),
)

# %% [markdown]
# Our reader sends as little as HTTP allows. A browser is more talkative. Below are the headers that Chromium sent from the live page, recorded once and counted by the same function.

# %%
news = next(message for message in answers if message.events)
browser = models.poll_request(
    question.headers["host"], event.cursor, models.CHROMIUM_HEADERS
)
rows = {
    "a browser's question": browser,
    "our reader's question": question.parts,
    "an empty answer": empty.parts,
    "an answer with news": news.parts,
}
charts.ledger(
    rows,
    title="The question costs more than the news",
    caption="One HTTP/1.1 exchange, on a connection that is kept open. The browser's "
    "headers were recorded from Chromium 156.",
    says=f"A browser asks with {sum(browser.values())} bytes, our reader with "
    f"{question.size}. Nothing new takes {empty.size} bytes to say, and one event "
    f"{news.size}, of which {news.parts['payload']} are the event.",
)

# %% [markdown]
# How many bytes cross the wire for each event that is *delivered*? Every poll costs the exchange, and each event adds its own bytes and a comma. So it depends on one number alone, the polls for each
# event, and the model is a straight line: *exchange × polls per event + event*. The twelve readers above were measured at up to a third of a poll for each message. For the rare end of the axis we would have to wait for days, and here the simulated clock pays off.


# %%
async def rare(launch, seconds_between):
    async with launch("http_polling") as server:
        return await measure.polling(
            server, every_ms=1000, events=20, per_second=1 / seconds_between
        )


rare_runs = {gap: virtual.run(rare(virtual.launch, gap)) for gap in (0.2, 1, 6, 60)}


# %%
def points(runs):
    return {
        one.requests / one.latency.n: sum(one.bytes.values()) / one.latency.n
        for one in runs
    }


exchange, one_event = (
    question.size + empty.size,
    sweep[0].bytes["payload"] / sweep[0].latency.n,
)
measured_points, simulated_points = points(sweep), points(rare_runs.values())
line = {
    x: models.bytes_per_event(exchange, one_event, x)
    for x in [0.03 * 1.3**i for i in range(30)]
    if x < 80
}
charts.bytes_per_event(
    measured_points,
    simulated_points,
    line,
    payload=one_event,
    title="Rare news is dear: each event pays for all the empty answers before it",
    caption="Orange: the sweep above. White: simulated, one message every "
    f"{', '.join(str(gap) for gap in rare_runs)} s, T = 1000 ms. Line: model.",
    says=f"With {max(simulated_points):.0f} polls for each event, an event of "
    f"{one_event:.0f} bytes costs {max(simulated_points.values()):,.0f} bytes.",
)

# %%
# NBVAL_CHECK_OUTPUT
off = [
    abs(y / models.bytes_per_event(exchange, one_event, x) - 1)
    for x, y in (measured_points | simulated_points).items()
]
claim(
    "1.c9",
    "one line explains the bytes for each event at every rate, within a tenth",
    max(off) < 0.1,
)

# %% [markdown]
# ## What does nothing cost?
# Nothing happens most of the time. Before you run the cell: one page polls once a second, for one hour, and there is no news at all. How many **kilobytes** cross the wire?

# %%
my_guess_kb = 100  ### PREDICTION


# %%
async def idle_hour(launch):
    async with launch("http_polling") as server:
        mark = await server.publish("the last news for an hour")
        link = await server.via()
        reader = asyncio.create_task(
            measure.watch(link.url, clients.polling, every=1.0, after=mark.cursor)
        )
        await asyncio.sleep(3599.5)
        reader.cancel()
        return link.bytes, mark.cursor, link.url.removeprefix("http://")


counted, cursor, host = virtual.run(idle_hour(virtual.launch))

# %%
hour = 3600 * (
    sum(models.poll_request(host, cursor).values()) + sum(models.poll_response([]).values())
)
browser_hour = 3600 * (
    sum(models.poll_request(host, cursor, models.CHROMIUM_HEADERS).values())
    + sum(models.poll_response([]).values())
)
table(
    ["one idle hour, T = 1 s", "kB"],
    ["predicted", hour / 1000],
    ["counted", sum(counted.values()) / 1000],
    ["the same from a browser", browser_hour / 1000],
    ["your guess", my_guess_kb],
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "1.c10", "an idle hour costs exactly the predicted bytes", sum(counted.values()) == hour
)

# %% [markdown]
# And it costs the server some work. The server process keeps account of its own CPU time, so we ask it before and after a few hundred empty polls.

# %%
cpu_ms = await measure.cpu_per_request(server)
pages = 1000 / cpu_ms
say(
    f"One empty poll costs the server {cpu_ms:.3f} ms of CPU. One core that did nothing "
    f"else could answer about {pages:,.0f} idle pages that each ask once a second."
)

# %% [markdown]
# ## The cheapest answer is "same as before"
# There is another way to ask. Leave out the cursor, get *everything*, and let HTTP say whether it has changed. The server labels its answer with an `ETag`. The reader sends the label back in `If-None-Match`, and when nothing has changed, the
# server answers `304 Not Modified` without a body (RFC 9110, section 13.1.2). Browsers and the caches of content networks do this by themselves. Here the feed holds fifty events, and nothing new happens:


# %%
async def three_ways(launch):
    async with launch("http_polling") as server, clients.session() as http:
        for number in range(50):
            last = await server.publish(f"reading {number}")
        for path, label in (
            ("/events", None),
            ("/events", f'"{last.cursor}"'),
            (f"/events?after={last.cursor}", None),
        ):
            async with http.get(
                server.url + path, headers={"If-None-Match": label} if label else {}
            ) as response:
                await response.read()
        return ledger.messages(server.link.chunks)


asked = await three_ways(launch)
names = ("everything, again", "everything, with ETag", "after a cursor")
rows = {
    name: ledger.total(asked[2 * place : 2 * place + 2]) for place, name in enumerate(names)
}

# %%
charts.ledger(
    rows,
    title="An ETag makes a whole document as cheap to poll as a cursor",
    caption="Question and answer when nothing has changed; the feed holds 50 events.",
    says=", ".join(f"{name}: {sum(parts.values())} bytes" for name, parts in rows.items())
    + ".",
)

# %%
# NBVAL_CHECK_OUTPUT
whole, tagged, cursored = (sum(parts.values()) for parts in rows.values())
claim(
    "1.c11",
    "both an ETag and a cursor cost less than a tenth of sending everything again",
    max(tagged, cursored) < whole / 10,
)

# %% [markdown]
# The two are about equal while nothing happens. When something does, the cursor sends only the news, and the ETag sends everything once more. But the ETag has a talent that the cursor lacks: **everybody's question is the same
# question**. A cache between a million pages and the server can answer all but one of them. When the document is small and changes rarely, such as a weather report, a build's status or a score, polling behind a cache is
# very hard to beat.
#
# ## Break it: the server restarts
# The server loses its memory and counts from 1 again. First a reader that has only *numbers*. Its server, written in one line, is the one that most tutorials show:


# %%
def naive_since(kept, number):
    return [event for event in kept if event > number]


before_restart, after_restart = [1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6, 7, 8]
seen = naive_since(before_restart, 0)
later = naive_since(after_restart, seen[-1])
print("before:", seen, " after:", later)

# %% [markdown]
# It was told nothing about events 1 to 5 of the new life, and neither were you. The reader went on looking healthy. Now the course's server, truly restarted behind the same address, with a reader that holds a
# cursor with an epoch:

# %%
story = []
for number in range(1, 6):
    mark = await server.publish(f"old {number}")
await server.restart()
for number in range(1, 9):
    await server.publish(f"new {number}")
async with clients.session() as http:
    try:
        await clients.fetch(http, server.url, mark.cursor)
    except Gone as gone:
        story.append(f"410 Gone: {gone}")
        story += [event.data for event in await clients.fetch(http, server.url)]
print("\n".join(story))

# %%
honest = [5 + int(text.removeprefix("new ")) for text in story if text.startswith("new ")]
charts.strip(
    {
        "numbers only": seen + [5 + number for number in later],
        "with an epoch": [1, 2, 3, 4, 5, *honest],
    },
    published=range(1, 14),
    marks={5.5: "the server restarts"},
    title="Without an epoch a restart swallows news in silence",
    caption="Events 1 to 5 before the restart, 6 to 13 after it, numbered through.",
    says=f"The reader with numbers misses {5 - len([n for n in later if n <= 5])} events "
    "and is not told. The reader with an epoch is told that there is a gap, and "
    "gets everything that the server still has.",
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "1.c12",
    "with numbers alone the events after a restart are skipped in silence",
    later[0] == 6,
)
claim(
    "1.c13",
    "with an epoch the reader is told, and then gets every event that is kept",
    len(honest) == 8 and story[0].startswith("410"),
)

# %% [markdown]
# ### Exercise 1.4 · a reader that survives
# *Fifteen minutes, end to end.* Write `follow(http, url, every, handle, gap)`, which follows a real server until it is cancelled. `http` is an `aiohttp.ClientSession` that gives every request two seconds.
#
# - `GET {url}/events` answers 200 with a JSON array of all that is kept, and `GET {url}/events?after=CURSOR` with what is newer. Each item has the fields of `Event`, so `Event(**item)` makes one.
# - Call `handle(event)` once for each event, and ask about every `every` seconds; `asyncio.sleep` will do.
# - Broken connections (`aiohttp.ClientError`) and time-outs (`TimeoutError`) cost time and nothing else.
# - On status 410 call `gap()`, once, because the user must know that something may be missing. Then start over without a cursor.
#
# The check runs your reader against the course's server, in virtual time with cuts, silence and restarts, and at the end against a real process.


# %% tags=["exercise"] exercise="1.4"
async def follow(http, url, every, handle, gap):
    """Follow a polling server through cuts, silence and restarts."""
    ### BEGIN SOLUTION
    after = None
    while True:
        try:
            async with http.get(
                f"{url}/events", params={"after": after} if after else {}
            ) as response:
                if response.status == 410:
                    gap()
                    after = None
                    continue
                for item in await response.json():
                    handle(Event(**item))
                    after = item["cursor"]
        except (aiohttp.ClientError, TimeoutError):
            pass
        await asyncio.sleep(every)
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("1.4", follow)

# %%
await server.stop()

# %% [markdown]
# ## In the wild
# This is how a chat tutorial might poll, rewritten here in Python. The server keeps messages with the time at which they were posted, and answers with those that are newer than `since_ms`. It works in every demonstration. In production, now and then, a message is never
# seen by anybody's page, and nobody can reproduce it.
#
# ```python
# async def refresh(fetch, show, place):
#     for message in await fetch(since_ms=place):   # messages that were posted after `place`
#         show(message)
#     return round(time.time() * 1000)              # next time: what came after now
# ```
#
# <details><summary>What is wrong with it?</summary>
#
# The place is noted by the reader's clock, after the answer has arrived. A message that was posted between the moment the server made the answer and the moment the reader looked at its clock is older than
# <code>place</code>, and was not in the answer. It is lost. If the two clocks disagree, whole seconds are lost. And two messages can have the same millisecond.
# </details>
#
# ### Exercise 1.5 · the repair
# *Ten minutes.* Repair `refresh(fetch, show, place)`. It is called again and again; the first time `place` is `None`, and later it is whatever your function returned the last time. The server can also be asked with `fetch(after_id=number)`, for messages
# with a larger number. `fetch()` gives all. A message is a dict with `id`, `at_ms` and `text`. Call `show(message)` once for each message, in order.


# %% tags=["exercise"] exercise="1.5"
async def refresh(fetch, show, place):
    """Show the messages that have not been shown yet; return the place to go on from."""
    ### BEGIN SOLUTION
    for message in await fetch(after_id=place or 0):
        show(message)
        place = message["id"]
    return place
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("1.5", refresh)

# %% [markdown]
# ## So when is polling right?
# You now have all the numbers for the decision. For each product below, T is chosen so that the mean wait is what its users would forgive, and the formula says what that costs for ten thousand pages that are open at once. The browser's headers are
# included; the CPU is what you measured.

# %%
per_poll = sum(browser.values()) + empty.size
products = {
    "weather page": 300,
    "build status": 10,
    "sports score": 5,
    "support chat": 1,
    "cursor of a co-editor": 0.1,
}
rows = []
for name, wait_s in products.items():
    per_s = 10_000 / (2 * wait_s)
    rows.append(
        [name, wait_s, 2 * wait_s, per_s, per_s * per_poll / 1e6, per_s * cpu_ms / 1000]
    )
table(["product", "forgiven wait, s", "T, s", "requests/s", "MB/s", "cores busy"], *rows)

# %% [markdown]
# The first rows are cheap and will be cheap for ever, and a cache makes them cheaper still. Toward the last row polling becomes absurd. In between lies the question that the rest of this course answers. **Polling is right when the wait that users forgive is long, when the same answer serves many, or when the
# network between is so hostile that nothing but short requests survives.** It is wrong when you would have to ask faster than things happen.
#
# ## What this does not show
# Loopback loses no packets. On a mobile network each poll may wake a radio, which costs a phone more than the bytes do. All measurements used one connection that was kept open; without keep-alive every poll pays a
# TCP handshake, and under TLS more. HTTP/2 compresses repeated headers to a few bytes, so that a browser's question shrinks to a fraction of what the ledger shows, and notebook 07 comes back to that. Our server has a single process and Python's speed; a faster one moves the CPU column and nothing else.
#
# ## Key points
# - The delay is uniform over one interval, plus one way. Mean T/2 + RTT/2.
# - The cost is 1/T requests a second, whether or not anything happens. Wait × rate = 1/2.
# - A cursor loses nothing and repeats nothing. Time stamps do both.
# - Count ticks from the schedule, never overlap, keep the cursor through failures.
# - An epoch turns a silent hole into an honest 410.
# - When everybody asks the same question, a cache answers it.
#
# ## Five questions to take away
# <details><summary>A page polls every 4 s over a network with a round trip of 100 ms. Mean delay? Worst?</summary>
#
# Mean 2000 + 50 = 2050 ms. Worst 4000 + 50 = 4050 ms.
# </details>
#
# <details><summary>Your users forgive a mean wait of 3 s. How often does each page ask?</summary>
#
# Once in 6 s: wait × rate = 1/2.
# </details>
#
# <details><summary>Why is "everything since the time I last asked" a wrong cursor?</summary>
#
# The answer was made before you looked at your clock, and the server's clock is another one. What falls in between is lost. Only what the server itself gave you, such as the number of the last event, says what you have.
# </details>
#
# <details><summary>The server restarts and the reader gets 410. Why not simply go on from the newest event without a word?</summary>
#
# Because something may be missing, and only the user or the application knows whether that matters. A hole that is said can be repaired, for instance by loading the whole document.
# </details>
#
# <details><summary>When does polling beat every push transport?</summary>
#
# When the forgiven wait is long compared with the cost of a request, above all when one answer can be cached for everybody. It needs no connection, no state on the server, and it passes every proxy.
# </details>
#
# <details><summary><b>For instructors</b></summary>
#
# **Time.** The cells run for about forty seconds in total, the two measurements nine seconds each. Plan 45 minutes: 20 for reading and predicting, 25 for exercises 1.1 to 1.3 in class, and leave 1.4 and 1.5 for homework, or plan 75 for all. The minutes for people are our estimate; the seconds for machines were measured.
#
# **In class.** Take predictions by show of hands for the mean delay, then run. Those who say 1000 are the majority, and the chart shows them their marker. After that, ask for the law: what would halve the delay, and what would it cost?
#
# **Where people stumble.** In 1.1 the comparison of "9" and "10" as text, and the edge of the window. In 1.3 the drift: most write `sleep(every)` first, and the timeline in the check makes the slip visible. In 1.4 the endless 410.
#
# **With thirty laptops** the measured means differ by a few milliseconds and the conclusions do not. Let two neighbors compare their tables: the model column is the same, the CPU column is not, and that is worth five minutes of talk.
# </details>
#
# **Next:** 02 · Long polling
