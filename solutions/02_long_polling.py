# %% [markdown]
# # 02 · Long polling
# *After this notebook you can say what it gains you when the server holds the question, and you have the four things right that it asks of you in return.*
#
# A polling page asks "is there anything new?" and hears "no" most of the time. The server answers at once because that is what servers do. But nothing in HTTP says that it must. Suppose the server **keeps the question** and
# answers when there is something to say. The page hears the news the moment it happens, and the empty answers are gone. That is long polling. It needs nothing but HTTP/1.1, it passes every proxy, and it carried the first chats and the first
# collaborative editors of the web. It is still what many libraries fall back on when everything else is blocked.
#
# It also turns a server that remembers nobody into one that has people waiting. That is where its mistakes live, and you will make none of them.

# %% tags=["setup"]
import sys

sys.path.insert(0, "..")
import asyncio
from aiohttp import web
from labs import charts, clients, ledger, measure, models, virtual
from labs.checks import check, claim
from labs.clock import now_ns
from labs.feed import BadCursor, Gone
from labs.launch import launch
from labs.prose import say, table

# %% [markdown]
# ## The naive version first
# Many first attempts look like this. A request waits for the *next* message, and the next message wakes everyone who waits. It is short, and in a demonstration it works:


# %%
class NaiveServer:
    def __init__(self):
        self.message = asyncio.get_running_loop().create_future()

    def publish(self, text):
        self.message.set_result(text)  # wakes all that wait now
        self.message = asyncio.get_running_loop().create_future()  # the next one

    async def answer(self):
        return await self.message


# %% [markdown]
# Let one reader follow it through a network with a round trip of 40 ms: ask, be answered, ask again. Two hundred messages come at random moments, 25 a second. How many will the reader see? The simulated clock answers at once.


# %%
async def follow_naively(messages=200, per_second=25, one_way=0.020):
    server, seen = NaiveServer(), []

    async def reader():
        while True:
            await asyncio.sleep(one_way)  # the question travels
            text = await server.answer()
            await asyncio.sleep(one_way)  # the answer travels
            seen.append(text)

    reading, start = asyncio.create_task(reader()), asyncio.get_running_loop().time()
    for number, due in enumerate(measure.poisson(messages, per_second)):
        await asyncio.sleep(max(0, start + due - asyncio.get_running_loop().time()))
        server.publish(f"message {number}")
    await asyncio.sleep(1)
    reading.cancel()
    return len(seen)


# %%
seen = virtual.run(follow_naively())
say(
    f"Of 200 messages the reader saw **{seen}**. The others were published while no "
    "question of its was waiting, and are gone."
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "2.c1",
    "a server that answers only with the next message loses some of the others",
    0 < seen < 200,
)

# %% [markdown]
# While an answer is on its way to the reader and the next question on its way back, nobody is waiting at the server. That time is called **the gap**, it is one round trip long, and every answer opens one. Whatever happens in it is lost, unless the
# reader can say what it has seen and the server still has the rest. You know the repair: a cursor, and a feed that keeps events.
#
# ## Watch it
# The course's server holds a question until there is an event after its cursor, or until 25 seconds have passed. The page below shows one question parked at the server. Publish something, and see how soon it moves.

# %%
server = await launch("long_polling")
server.page()

# %%
event = await server.publish("wind 12 m/s, north-west")
event

# %% [markdown]
# On the wire: a reader of our own, who is given answers after two seconds at the latest, and one message in between. The thick line on the server's lane is a question that is being held.

# %%
link = await server.via()
start, reader = (
    now_ns(),
    asyncio.create_task(
        measure.watch(link.url, clients.long_polling, wait=2.0, after=event.cursor)
    ),
)
await asyncio.sleep(1.35)
published = await server.publish("wind 15 m/s, north-west")
await asyncio.sleep(3.0)
reader.cancel()
wire = ledger.messages(link.chunks)

# %%
answers = [message for message in wire if message.direction == "down" and message.finished]
charts.ladder(
    wire,
    start=start,
    seconds=4,
    published=[published],
    color=charts.COLORS["long_polling"],
    title="The server keeps the question until it has an answer",
    says=f"{len(answers)} answers in four seconds: one left the moment the event was "
    "published, the other after two seconds without news.",
)

# %% [markdown]
# The message left in the very moment it was published. And when two seconds passed without news, the server said `[]`, and the reader asked again at once. That **empty answer is not an error**. It tells both sides, and every proxy between them that
# counts idle seconds, that the other one is still there.
#
# ## The server's side
# The whole handler is five lines long, because `feed.wait` does the difficult part (from `labs/servers/long_polling.py`):
#
# ```python
# async with at_most(wait_s(request), request.app):
#     newer = await feed.wait(after)
# except TimeoutError:
#     newer = feed.since(after)
# ```
#
# The difficult part is waiting without a hole. Look first, then wait: between the two nothing may happen that you miss. Wake *every* reader, not one. Hand over *everything* that is new, not the one message that woke you. And when a reader leaves
# while it waits, nothing of it may stay behind.
#
# %% [markdown]
# ### Exercise 2.1 · the server's wait
# *Fifteen minutes.* Write a class `Board`. `publish(text)` keeps a text and wakes whoever waits. `await wait(after, seconds)` returns the list of the texts after the first `after` ones: at once if there are any, else in the very moment
# when there are, and `[]` when `seconds` have passed without. (`after` is what the reader has, so it is never larger than the number of texts.)
#
# Everybody who waits is woken, and what is published in one burst arrives whole. Between two calls of `wait` a reader is not there, and it must miss nothing all the same. A reader may also vanish while it waits: its task is cancelled. It then leaves nothing
# behind, no task and no entry in a list, not even until the next text is published, and the same holds when its time is up.
#
# <details><summary>Hint</summary>
#
# An <code>asyncio.Event</code> wakes all who wait for it. When it has been set, who clears it, and when? A new one for the next text needs no clearing. And between looking at what is there and beginning to wait, let there be no <code>await</code>.
# </details>


# %% tags=["exercise"] exercise="2.1"
class Board:
    """Texts that are kept, and readers who wait for the next ones."""

    def __init__(self):
        ### BEGIN SOLUTION
        self.texts, self.news = [], asyncio.Event()
        ### END SOLUTION

    def publish(self, text: str) -> None:
        """Keep a text and wake everybody who waits."""
        ### BEGIN SOLUTION
        self.texts.append(text)
        self.news.set()
        self.news = asyncio.Event()
        ### END SOLUTION

    async def wait(self, after: int, seconds: float) -> list[str]:
        """The texts after the first `after` ones, as soon as there are any; [] when the time is up."""
        ### BEGIN SOLUTION
        try:
            async with asyncio.timeout(seconds):
                while not self.texts[after:]:
                    await self.news.wait()
        except TimeoutError:
            pass
        return self.texts[after:]
        ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("2.1", Board)

# %% [markdown]
# ## How late is the news?
# A message that finds a question parked takes one trip. A message that falls into the gap has to wait for the next question, up to one round trip more. So **distance decides**: on loopback there is no gap to speak of, and far away it is long.
#
# Put our reader at a round trip of 100 ms and let messages come at random moments, 5 a second. Each answer opens a gap of 100 ms. What **share** of the messages, in percent, will fall into one?

# %%
my_guess_percent = 10  ### PREDICTION

# %% [markdown]
# Here is how to work it out. In one gap *r* = rate × RTT messages come on average. If none comes, which happens with probability $e^{-r}$, the next message finds the question parked. So for each gap, *r* messages wait and $e^{-r}$ do not:
#
# $$\text{share in the gap} = \frac{r}{r + e^{-r}} \qquad \text{mean delay} = \frac{RTT}{2} + \text{share} \times \frac{RTT}{2}$$
#
# For rare news the share is about *r*, which is small. For frequent news it goes to one: every message waits for the next question, half a round trip on average. Then long polling has become **polling with T = RTT**.
#
# We can count the share exactly, since the link knows when each question reached the server and each event carries the moment at which it was published. An event fell into the gap if it was there before the question that fetched it.


# %%
async def at_rate(launch, per_second, messages):
    async with launch("long_polling") as server:
        return (
            await measure.deliver(
                server,
                [measure.long_poller(100)],
                events=messages,
                per_second=per_second,
                plan=measure.poisson,
            )
        )[0]


rates = {2: 20, 5: 45, 20: 180, 80: 600}
runs = await asyncio.gather(
    *(at_rate(launch, rate, messages) for rate, messages in rates.items())
)
simulated = [virtual.run(at_rate(virtual.launch, rate, 600)) for rate in rates]

# %%
curve = [0.5 * 1.2**i for i in range(32)]
held = {rate: models.long_polling(100, rate).mean for rate in curve}
polled, one_way = (
    dict.fromkeys(curve, models.polling(100, 100).mean),
    dict.fromkeys(curve, 50),
)
means = lambda some: {run.per_second: run.latency.mean for run in some}

# %%
charts.compare(
    [
        ("long polling", "long_polling", means(runs), means(simulated), held),
        ("polling, T = RTT", "http_polling", {}, {}, polled),
        ("one way", "", {}, {}, one_way),
    ],
    title="The busier the feed, the more long polling becomes polling",
    logy=False,
    ticks=(0.5, 1, 2, 5, 10, 20, 50, 100),
    xlabel="messages a second, at random moments (log scale)",
    ylabel="mean delay, milliseconds",
    caption="Round trip 100 ms. Dots: measured, "
    f"{', '.join(str(n) for n in rates.values())} messages. Circles: simulated, "
    f"600 each. Lines: models. {measure.machine()}",
    says=f"Mean delay from {runs[0].latency.mean:.0f} ms at {runs[0].per_second} messages "
    f"a second to {runs[-1].latency.mean:.0f} ms at {runs[-1].per_second}.",
)

# %%
rows = [
    [
        r.per_second,
        100 * models.gap_share(r.per_second, 100),
        100 * s.late_share,
        100 * r.late_share,
        models.long_polling(100, r.per_second).mean,
        s.latency.mean,
        r.latency.mean,
    ]
    for r, s in zip(runs, simulated)
]
table(
    [
        "messages/s",
        "in the gap, % (model)",
        "simulated",
        "measured",
        "mean delay, ms (model)",
        "simulated",
        "measured",
    ],
    *rows,
)
say(
    f"At 5 messages a second the model says {100 * models.gap_share(5, 100):.0f} percent; "
    f"your prediction was {'not made' if my_guess_percent is ... else my_guess_percent}."
)

# %%
# NBVAL_CHECK_OUTPUT
shares = [(models.gap_share(s.per_second, 100), s.late_share) for s in simulated]
claim(
    "2.c2",
    "the simulated share of messages in the gap is the model's, within five percentage "
    "points",
    all(abs(m - s) < 0.05 for m, s in shares),
)
claim(
    "2.c3",
    "the share in the gap grows with the rate",
    all(a.late_share < b.late_share for a, b in zip(simulated, simulated[1:])),
)
claim(
    "2.c4",
    "the measured mean delay grows with the rate, by more than a seventh",
    runs[-1].latency.mean > 1.15 * runs[0].latency.mean,
)

# %% [markdown]
# Measured in the same way as in notebook 01, on one schedule and through the same link, polling and long polling look like this. Polling asks once a second.


# %%
async def both(launch, rtt):
    readers = {
        "http_polling": measure.poller(1000, rtt),
        "long_polling": measure.long_poller(rtt),
    }
    found = []
    for name, reader in readers.items():
        async with launch(name) as one:
            found += await measure.deliver(
                one, [reader], events=60, per_second=10, plan=measure.poisson
            )
    return found


measured = await both(launch, 40)
theory = [models.polling(1000, 40), models.long_polling(40, 10)]
charts.distributions(
    measured,
    models=theory,
    simulated=virtual.run(both(virtual.launch, 40)),
    title="Holding the question turns half a second into one trip",
    says=f"Half of the messages arrive within {measured[0].latency.percentile(50):.0f} ms "
    f"by polling and {measured[1].latency.percentile(50):.0f} ms by long polling.",
    caption=f"{measured[0].caption}. Steps: measured; circles: simulated; dashes: model.",
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "2.c5",
    "half of the messages arrive at least five times sooner than by polling once a second",
    measured[1].latency.percentile(50) * 5 < measured[0].latency.percentile(50),
)

# %% [markdown]
# ## The reader's side
# The loop is simpler than polling's, since there is no schedule. Ask, handle, ask again at once. What makes it hard is everything that is not an ordinary answer, and there are three such things, each with a meaning of its own. An **empty answer** means "nothing yet": ask again,
# at once, and do not count it as a failure. **410** means that the cursor is worth nothing any more: say so, and start over. A **failure** means that the server may be in trouble, and a thousand readers who all ask again at once would keep it there: wait, longer each time.
#
# %% [markdown]
# ### Exercise 2.2 · the client's loop
# *Fifteen minutes.* Write `long_poll(fetch, handle, gap, sleep)`, which runs until it is cancelled.
#
# - `await fetch(after)` asks for the events after the cursor `after`, or for all of them with `None`. It returns a list, after up to 25 seconds, which is empty when nothing has happened.
# - Call `handle(event)` once for each event, in order. After an answer ask again at once, whether or not it was empty: the server does the waiting.
# - `fetch` raises `ConnectionError` or `TimeoutError` when it fails. Then `await sleep(…)` for 1 s, after the next failure in a row for 2 s, then 4, 8, 16, and from then on always 30 s. Any answer, even an empty one, sets the pause back to 1 s.
# - `fetch` raises `Gone` when what came after the cursor is no longer kept. Call `gap()`, and at once ask without a cursor. A `Gone` although no cursor was sent is a failure like the others: a broken server must not be hammered.
#
# <details><summary>Hint</summary>
#
# Two variables are enough, the cursor and the next pause. Decide for each of the four outcomes (events, nothing, failure, Gone) what becomes of either.
# </details>


# %% tags=["exercise"] exercise="2.2"
async def long_poll(fetch, handle, gap, sleep):
    """Ask again and again for whatever came after the last handled event."""
    ### BEGIN SOLUTION
    after, pause = None, 1
    while True:
        try:
            events = await fetch(after)
        except (Gone, ConnectionError, TimeoutError) as failure:
            if isinstance(failure, Gone) and after is not None:
                gap()
                after = None
            else:
                await sleep(pause)
                pause = min(2 * pause, 30)
            continue
        pause = 1
        for event in events:
            handle(event)
            after = event.cursor
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("2.2", long_poll)

# %% [markdown]
# ## What does it cost?
# The empty answers are nearly gone, but each event, or each burst of events, is still a whole request and a whole response. The bytes are predicted from the RFC as in notebook 01, and checked against every message that crossed the link.


# %%
def predicted(message):
    if message.direction == "up":
        query = message.start_line.split(" ")[1].partition("?")[2]
        return models.get(message.headers["host"], f"?{query}")
    return models.poll_response([message.body.decode()[1:-1]] if message.events else [])


exact = [predicted(message) == message.parts for message in wire if message.finished]
say(f"{sum(exact)} of {len(exact)} messages were predicted exactly, part by part.")

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "2.c6",
    "every finished request and response has exactly the predicted bytes",
    all(exact) and len(exact) > 3,
)
claim(
    "2.c7",
    "the ledger holds every byte that crossed the link",
    sum(message.size for message in wire) == sum(link.bytes.values()),
)

# %%
host, cursor = link.url.removeprefix("http://"), event.cursor
exchange = sum(models.long_poll_request(host, cursor).values()) + sum(
    models.poll_response([]).values()
)
poll_exchange = sum(models.poll_request(host, cursor).values()) + sum(
    models.poll_response([]).values()
)
table(
    ["one idle hour", "exchanges", "kB"],
    ["polling, T = 1 s", 3600, 3600 * poll_exchange / 1000],
    ["polling, T = 25 s", 144, 144 * poll_exchange / 1000],
    ["long polling, 25 s", 144, 144 * exchange / 1000],
)

# %% [markdown]
# Polling every 25 seconds and long polling cost the same when nothing happens. The difference is that the poller's news is 12.5 seconds old on average.
#
# What the server pays instead is **holding**. Two hundred readers who wait are two hundred open connections and two hundred suspended handlers. Ask the server process how many tasks it has before they come, while they wait, and after they have left without a word:


# %%
async def crowd(server, readers=200):
    before = (await server.usage())["tasks"]
    mark = await server.publish("the last for a while")
    tasks = [
        asyncio.create_task(
            measure.watch(server.origin, clients.long_polling, after=mark.cursor)
        )
        for _ in range(readers)
    ]
    during = await measure.tasks_held(server, at_least=before + readers)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return before, during, await measure.tasks_held(server, at_most=before + 2)


before, during, after = await crowd(server)
table(
    ["", "tasks in the server"],
    ["nobody waits", before],
    ["200 readers wait", during],
    ["they have left", after],
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "2.c8",
    "every reader who waits costs the server at least one task",
    during - before >= 200,
)
claim("2.c9", "readers who leave take everything with them", after <= before + 2)

# %% [markdown]
# The last line does not come by itself. A handler that only waits for news never looks at its connection, and the library has to be told to cancel it when the reader leaves. In aiohttp that is one option, `handler_cancellation=True`, which is off unless you ask for it. Without it, the
# server would hold every one of the two hundred until the next event.
#
# %% [markdown]
# ### Exercise 2.3 · every byte of it
# *Ten minutes.* Write `exchange_bytes(host, cursor, wait, events)`, which predicts how many bytes one question and its answer take: two whole numbers, for the request and for the response. `events` are the events of the answer as JSON texts.
#
# The request is the line `GET /events?after=CURSOR&wait=SECONDS HTTP/1.1` and the header `Host`. The response is the line `HTTP/1.1 200 OK` and the headers `Cache-Control: no-store`, `Content-Type: application/json; charset=utf-8`, `Content-Length` and `Date`,
# whose value always has 29 characters. Every line ends in `\r\n`, an empty line ends each head, and the body is a JSON array without any spaces between its events. The check compares with what really crossed the link.
#
# <details><summary>Hint</summary>
#
# Build both messages as text, with any 29 characters for the date, and count their bytes. You need the size of the body before you can write <code>Content-Length</code>.
# </details>


# %% tags=["exercise"] exercise="2.3"
def exchange_bytes(host: str, cursor: str, wait: int, events: list[str]) -> tuple[int, int]:
    """Bytes of the request and of the response."""
    ### BEGIN SOLUTION
    request = f"GET /events?after={cursor}&wait={wait} HTTP/1.1\r\nHost: {host}\r\n\r\n"
    body = f"[{','.join(events)}]".encode()
    headers = [
        "Cache-Control: no-store",
        "Content-Type: application/json; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Date: " + 29 * "x",
    ]
    head = "\r\n".join(["HTTP/1.1 200 OK", *headers, "", ""])
    return len(request), len(head) + len(body)
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("2.3", exchange_bytes)

# %% [markdown]
# ## Break it: the connection that is only half there
# A router between reader and server restarts and forgets the connection. Neither side is told. The reader believes that its question is parked; the server believes that somebody is waiting; and the next answer goes nowhere. This is a *half-open* connection, and for long
# polling it is the natural state of things: silence looks exactly like "no news yet".
#
# The link can do it: `black_hole()`. The network is repaired a second later, but that connection stays dead. How long until the reader notices? Here are three readers who differ in one number, the time after which the server must have answered.


# %%
async def half_open(launch, wait_s):
    async with launch("long_polling") as server:
        mark, seen = await server.publish("mark"), []

        async def reader():
            async for event in clients.long_polling(
                server.url, after=mark.cursor, wait=wait_s
            ):
                seen.append(asyncio.get_running_loop().time())

        reading, loop = asyncio.create_task(reader()), asyncio.get_running_loop()
        await asyncio.sleep(1)
        server.link.black_hole()
        await asyncio.sleep(1)
        server.link.heal()
        published = loop.time()
        await server.publish("are you there?")
        await asyncio.sleep(100)
        reading.cancel()
        return seen[0] - published


# %%
rows = [
    [
        wait_s,
        virtual.run(half_open(virtual.launch, wait_s)),
        3600 / wait_s * exchange / 1000,
    ]
    for wait_s in (5, 25, 60)
]
table(
    ["server answers within, s", "the news is late by, s", "idle cost, kB an hour"], *rows
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "2.c10",
    "the shorter the server holds, the sooner a dead connection is noticed",
    rows[0][1] < rows[1][1] < rows[2][1],
)
claim("2.c11", "and the more an idle hour costs", rows[0][2] > rows[1][2] > rows[2][2])

# %% [markdown]
# The reader gives a request as long as the server may hold it, plus five seconds. When that time is up, it takes the connection for dead and asks again with its cursor, so the message is late and not lost. **Without a time-out in the reader it would wait for ever**, and the user would look at a page that is
# perfectly calm. The holding time is therefore a choice between two costs, and 25 seconds is a usual one, also because many proxies cut a connection after 30 or 60 seconds of silence.
#
# A restarted server is the other classic. You have met it in notebook 01, and here it is even more likely that somebody has a question open at that moment. Our server answers all parked questions before it stops, and the old cursors get 410:

# %%
story = []


async def survivor():
    after = published.cursor
    while True:
        try:
            async for one in clients.long_polling(server.url, after=after):
                story.append(one.data)
        except Gone as gone:
            story.append(f"410: {gone}")
            after = None


async def is_told():
    return story[-1:] == ["first news after the restart"]


surviving = asyncio.create_task(survivor())
await asyncio.sleep(0.3)
await server.restart()
await server.publish("first news after the restart")
await measure.until(is_told)
surviving.cancel()
await server.stop()
print("\n".join(story))

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "2.c12",
    "after a restart the reader is told, and then reads on",
    story[-1] == "first news after the restart"
    and any(line.startswith("410") for line in story),
)

# %% [markdown]
# ## The whole server, yours
# You have both halves now. The last exercise puts yours in front of a reader that you did not write.
#
# %% [markdown]
# ### Exercise 2.4 · a server of your own
# *Twenty minutes, end to end.* Write `make_app(feed)`, which returns an aiohttp application with one route, `GET /events?after=CURSOR&wait=SECONDS`. `feed` is the course's `Feed`: `feed.since(after)` returns the events after a cursor, and `await feed.wait(after)` does the same,
# but if there are none yet it waits until there are. Both raise `Gone` and `BadCursor`. Without `after`, everything that is kept is the answer.
#
# - News is status 200 with a JSON array of the events, in the moment of publication. `event.to_json()` is the text of one element.
# - When `wait` seconds have passed without news: status 200 with `[]`.
# - `Gone` is status 410 and `BadCursor` is 400, at any time, each with a JSON body `{"error": "why"}`.
# - When a reader leaves, aiohttp cancels its handler. Nothing else may go on running for it then, nor after its time is up.
#
# The check publishes into the feed itself. It reads your server with the course's client through cuts, in virtual time, and at the end on real sockets with Python's own HTTP client.
#
# <details><summary>Hint</summary>
#
# <code>app = web.Application()</code>, <code>app.router.add_get("/events", handler)</code>, <code>web.json_response(…, status=…)</code>, and <code>asyncio.timeout(…)</code> around the waiting. What a query holds is text.
# </details>


# %% tags=["exercise"] exercise="2.4"
def make_app(feed):
    """An application that answers GET /events?after=CURSOR&wait=SECONDS by long polling."""

    ### BEGIN SOLUTION
    async def events(request):
        after = request.query.get("after")
        try:
            async with asyncio.timeout(float(request.query["wait"])):
                newer = await feed.wait(after)
        except TimeoutError:
            newer = []
        except (Gone, BadCursor) as refusal:
            return web.json_response({"error": str(refusal)}, status=refusal.status)
        body = "[" + ",".join(event.to_json() for event in newer) + "]"
        return web.Response(text=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/events", events)
    return app
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("2.4", make_app)

# %% [markdown]
# ## In the wild
# This reader, rewritten here in Python, stands in many tutorials. The server behind it answers with "the messages since the last request", which it remembers for each client address. What goes wrong, and for whom?
#
# ```python
# while True:
#     try:
#         for message in await fetch("/poll"):
#             show(message)
#     except Exception:
#         await asyncio.sleep(1)
# ```
#
# <details><summary>What goes wrong</summary>
#
# The reader has no cursor, so the server has to remember what each reader has seen, and it can only know what it has <i>sent</i>. An answer that is lost on the way counts as seen: whatever was in it is gone. Two tabs of the same user, or two colleagues behind one office router, share an address and steal each
# other's messages. And after a restart the server remembers nobody, and nobody is told. The cursor belongs to the reader, because only the reader knows what has arrived.
# </details>
#
# ## When is it right?
# Long polling is right when news is rare compared with the round trip, when it must arrive at once, and when you cannot rely on anything newer passing through: corporate proxies, old devices, a framework that knows only requests and responses. It is wrong for a busy feed, where each burst costs a full exchange and the gap
# makes it polling again. The next notebook removes the gap by simply not ending the answer.
#
# ## What this does not show
# A browser opens no more than six connections to one origin under HTTP/1.1, and a parked request occupies one of them; with several tabs that runs out quickly, and the next notebook measures it. Our server's readers are tasks in one process, which is cheap; in a server with one thread or process for each request, two hundred parked
# readers are two hundred threads, and long polling is ruled out before you begin. The model assumes messages at independent random moments. If yours come in bursts, they fall into the gap together, and the burst comes whole with the next answer.
#
# ## Key points
# - The server holds the question until it has an answer, or until the time is up. An empty answer is not an error.
# - Every answer opens a gap of one round trip. A cursor makes messages in the gap late instead of lost.
# - The share in the gap is r / (r + e⁻ʳ) with r = rate × RTT. A busy feed turns long polling into polling with T = RTT.
# - Look and wait without a hole; wake everyone; answer with everything; leave nothing behind.
# - Silence looks like "no news". Only a time-out in the reader tells them apart.
#
# ## Five questions to take away
# <details><summary>Messages come at random moments, one every 10 s on average; the round trip is 100 ms. What share of them waits longer than one trip?</summary>
#
# r = 0.1 × 0.1 = 0.01, so about one percent.
# </details>
#
# <details><summary>Why must the answer hold everything that is newer than the cursor, and not only the message that woke the handler?</summary>
#
# Between waking and answering more may have been published, and what came in the gap is waiting, too. With one message for each answer a busy feed would fall further behind with every round trip.
# </details>
#
# <details><summary>The server closes an idle question after 60 s, and a proxy between cuts connections after 30 s of silence. What does the reader see?</summary>
#
# A broken connection every 30 s, which looks like a failure, and with backoff a reader who is away for a while after each. The holding time must be shorter than the shortest patience on the way.
# </details>
#
# <details><summary>Who should keep the cursor, and why?</summary>
#
# The reader. The server knows what it has sent, and only the reader knows what has arrived.
# </details>
#
# <details><summary>At what message rate does long polling's mean delay come within a tenth of polling with T = RTT?</summary>
#
# The mean delays are RTT/2 × (1 + share) and RTT/2 × 2. They differ by a tenth when the share is 0.8, which is at r of about 1.2: with a round trip of 100 ms, twelve messages a second.
# </details>
#
# <details><summary><b>For instructors</b></summary>
#
# **Time.** The cells run for about fifty seconds in total. Plan 60 minutes: 25 for reading, predicting and measuring, 35 for exercises 2.1 and 2.2, and give 2.3 and 2.4 for afterwards. The minutes for people are our estimate; the seconds for machines were measured.
#
# **In class.** Let the class act it out: one is the server, two are readers, and messages are slips of paper. A reader may only take slips while standing at the desk. The gap needs no further explanation.
#
# **Where people stumble.** In 2.1 the Event that is set and cleared, and the reader who was cancelled. In 2.2 a time-out that is treated as a failure, so that a quiet feed makes the reader sleepier and sleepier.
#
# **Discuss.** Your proxy in production has an idle time-out. Who knows how long it is?
# </details>
#
# **Next:** 03 · Server-sent events
