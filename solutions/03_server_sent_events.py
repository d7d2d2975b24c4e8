# %% [markdown]
# # 03 · Server-sent events
# *After this notebook you can say when one endless response is enough, and you can write both ends of it.*
#
# Long polling ends each answer in order to begin the next, and pays for it with a request, a response and a gap. So do not end it. The reader asks **once**, the server answers `200 OK`, and then it goes on answering for as long as both of them live, one event after another, down the same open response. That is all
# there is to **server-sent events**, SSE for short. The format is a few lines of text, browsers have had a reader for it built in since about 2010, and it comes with the thing that every other transport leaves to you: after a broken connection the browser comes back by itself and says where it left off.
#
# It is the most underrated transport in this course. It is also one that a well-meaning proxy can silence completely, and you will see both.

# %% tags=["setup"]
import sys

sys.path.insert(0, "..")
import asyncio, json
import aiohttp
from labs import charts, clients, ledger, measure, models, virtual
from labs.checks import check, claim
from labs.clock import now_ns
from labs.feed import Event
from labs.launch import launch
from labs.prose import say, table
from labs.proxy import Proxy
from labs.sse_codec import Parser, SseEvent

# %% [markdown]
# ## The naive version first
# A stream of text needs a rule for where one message ends and the next begins. The SSE rule is almost too simple: each line of a message begins with `data: `, and an empty line ends it. So the first version that everybody writes is this one:


# %%
def naive_encode(text: str) -> bytes:
    return f"data: {text}\n\n".encode()


naive_encode("wind 12 m/s, north-west")

# %% [markdown]
# It works in every demonstration. Then a user of the chat writes a message with an empty line in it. Here is such a message, and what a reader that follows the specification makes of it:

# %%
message = "hello\n\nevent: reset\ndata: you have been logged out"
Parser().feed(naive_encode(message))

# %% [markdown]
# One message has become two, and the second one is an event of a type that this user should never be able to send. This is an **injection**, just like SQL injection: text from outside has been taken for structure. The format has an answer for the data. Every line of it gets a `data: ` of its own, and the reader puts
# the lines together again. For an event's type and id there is no such answer. A line break in them has to be refused.

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "3.c1",
    "without care one user's text becomes another user's event",
    [e.type for e in Parser().feed(naive_encode(message))] == ["message", "reset"],
)

# %% [markdown]
# ### Exercise 3.1 · encode
# *Ten minutes.* Write `encode(data, id=None, event=None)`, which returns one event as `bytes` in UTF-8: a `data:` line for each line of the text, an `id:` line and an `event:` line if they are given, and the empty line that ends it. In `data`, `\n`, `\r` and `\r\n` are
# line breaks, each of them one, and nothing else is. Empty text is an event, too. A reader takes away one space after a colon, so text that begins with a space needs care. An empty `id` is written, because it makes the reader forget the one that it had; `None` is not.
#
# Raise `ValueError` for a line break in `id` or `event`, and for the character NUL (`"\0"`) in `id`, which readers ignore. The order of the lines and their ends are up to you: the check hands your bytes to the course's parser and compares what comes out.
#
# <details><summary>Hint</summary>
#
# <code>re.split(r"\r\n|\r|\n", data)</code> looks for the longest line break first. <code>str.splitlines</code> knows too many, and drops the last line if it is empty.
# </details>

# %% tags=["exercise"] exercise="3.1"
import re


def encode(data: str, id: str | None = None, event: str | None = None) -> bytes:
    """One event as it travels; raises ValueError for what would break out of its line."""
    ### BEGIN SOLUTION
    if re.search(r"[\r\n\0]", id or "") or re.search(r"[\r\n]", event or ""):
        raise ValueError("an id or a type is one line")
    lines = [f"data: {line}" for line in re.split(r"\r\n|\r|\n", data)]
    if event is not None:
        lines.append(f"event: {event}")
    if id is not None:
        lines.append(f"id: {id}")
    return ("\n".join(lines) + "\n\n").encode()
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("3.1", encode)

# %% [markdown]
# ## Watch it
# The course's server speaks it. Publish something, and look at the page: nothing ever travels upward but the first question.

# %%
server = await launch("sse", "--heartbeat", "2")
server.page()

# %%
event = await server.publish("wind 12 m/s, north-west")
event

# %%
link = await server.via()
start, reader = (
    now_ns(),
    asyncio.create_task(measure.watch(link.url, clients.sse, after=event.cursor)),
)
await asyncio.sleep(1.0)
first = await server.publish("wind 15 m/s, north-west")
await asyncio.sleep(0.5)
second = await server.publish("wind 18 m/s, gusts")
await asyncio.sleep(2.5)
reader.cancel()
wire = ledger.messages(link.chunks)

# %%
pieces = [chunk for chunk in link.chunks if chunk.direction == "down"]
charts.stream_ladder(
    link.chunks,
    start=start,
    seconds=4,
    published=[first, second],
    title="One question, and an answer that does not end",
    says=f"One request of {wire[0].size} bytes went up. {len(pieces)} pieces came down: "
    "the headers with a line about reconnecting, two events, and a heartbeat in the "
    "silence.",
)

# %% [markdown]
# And this is what it says, byte for byte, as a browser would read it:

# %%
print(wire[1].raw_head.decode() + wire[1].body.decode())

# %% [markdown]
# Four things can stand in a stream. `retry:` says how long to wait before coming back after a break, in milliseconds. `id:` names the event; the reader remembers the last one, and ours is the feed's cursor. `data:` is the event. And a line that begins with a colon is a **comment**, which every reader skips. The server sends one when
# there has been nothing to say for a while. This **heartbeat** is to SSE what the empty answer is to long polling: it shows that the other side is alive, and keeps proxies from hanging up.
#
# Around the text stands HTTP's own framing. A response whose length nobody knows is sent in *chunks*, each with its size in front (RFC 9112, section 7.1). Our server puts each event into one chunk.
#
# ## The reader's side
# Reading looks easier than it is, since bytes arrive in pieces that have nothing to do with lines. A piece can end in the middle of a line, of a line ending (`\r` here, `\n` there), even in the middle of a character. A parser that takes such pieces is called **incremental**. It must give the same events however the stream is cut, and the only way to be sure
# is to try every cut.
#
# %% [markdown]
# ### Exercise 3.2 · an incremental reader
# *Fifteen minutes.* Write the class `Reader`. One is made, with `Reader()`, for each stream, and `feed(chunk)` is called with one piece of it after the other. It returns the list of the events that end in this piece, each an `SseEvent(type, data, last_event_id)`. These rules count, and no others:
#
# - The stream is UTF-8; a byte order mark (`"\ufeff"`) at its very start is skipped. A line ends at `\r\n`, `\r` or `\n`, and at nothing else. At `\r` act at once, and skip a `\n` that comes right after it.
# - A line is a field's name, a colon, and its value, without the one space that may follow the colon. A line that begins with a colon is a comment. Comments, and fields of other names than these three, are skipped:
# - `data`: one more line of the event's text. `event`: the type of this one event; without it, or if it is empty, the type is `"message"`. `id`: remembered for this event and all that follow, until there is another one, be it empty; one with NUL (`"\0"`) in it is ignored.
# - An empty line delivers the event, if it has a data line, even an empty one; its data lines are joined with `\n`. Without a data line nothing is delivered, and the type is forgotten.
# - What is unfinished when the stream ends is never delivered.
#
# The check tries every rule, and then cuts every stream at every place. If yours fails, it shows the shortest stream that it fails on, with the cut marked ✂.
#
# <details><summary>Hint</summary>
#
# <code>codecs.getincrementaldecoder("utf-8-sig")("replace")</code> keeps half a character, or half a byte order mark, until the rest comes. After it, go through the text character by character, and keep the line so far and the character before.
# </details>

# %% tags=["exercise"] exercise="3.2"
import codecs


class Reader:
    """Turns the bytes of one stream into events, in whatever pieces they come."""

    def __init__(self):
        ### BEGIN SOLUTION
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self.line, self.previous = "", ""
        self.data, self.type, self.id = [], "", ""
        ### END SOLUTION

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """The events that end in this piece of the stream."""
        ### BEGIN SOLUTION
        events = []
        for character in self.decoder.decode(chunk):
            if character not in "\r\n":
                self.line += character
            elif self.previous + character != "\r\n":
                line, self.line = self.line, ""
                if line:
                    self.take(line)
                else:
                    events += self.dispatch()
            self.previous = character
        return events

    def take(self, line):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self.data.append(value)
        elif name == "event":
            self.type = value
        elif name == "id" and "\0" not in value:
            self.id = value

    def dispatch(self):
        events = (
            [SseEvent(self.type or "message", "\n".join(self.data), self.id)]
            if self.data
            else []
        )
        self.data, self.type = [], ""
        return events
        ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("3.2", Reader)

# %% [markdown]
# ## What does it cost?
# The request and the response's headers are paid once. After that each event costs its own bytes, an `id:` line, the word `data:`, an empty line, and the chunk's size. We predict the whole stream, part by part, from the RFC and the specification:

# %%
stream = wire[1]
sent = [
    (json.dumps(one, ensure_ascii=False, separators=(",", ":")), one["cursor"])
    for one in stream.events
]
heartbeats = stream.body.count(b"\n:\n")
request_as_predicted = (
    models.sse_request(link.url.removeprefix("http://"), event.cursor) == wire[0].parts
)
stream_as_predicted = models.sse_response(sent, heartbeats) == stream.parts
table(
    ["part", "predicted", "counted"],
    *[
        [part, size, stream.parts[part]]
        for part, size in models.sse_response(sent, heartbeats).items()
    ],
)

# %%
# NBVAL_CHECK_OUTPUT
claim("3.c2", "the request has exactly the predicted bytes", request_as_predicted)
claim(
    "3.c3", "the stream has exactly the predicted bytes, part by part", stream_as_predicted
)
claim(
    "3.c4",
    "the ledger holds every byte that crossed the link",
    sum(message.size for message in wire) == sum(link.bytes.values()),
)

# %% [markdown]
# Now the three transports beside each other. For a feed of one event in ten seconds, how many bytes cross the wire for each event that is delivered? Before you run the cell: by what **factor** is SSE cheaper than polling once a second?

# %%
my_guess_factor = 10  ### PREDICTION

# %%
text, cursor = sent[0]
host = link.url.removeprefix("http://")


def sums(*parts):
    return {part: sum(one.get(part, 0) for one in parts) for part in ledger.PARTS}


nine_empty = [
    part
    for _ in range(9)
    for part in (models.poll_request(host, cursor), models.poll_response([]))
]
rows = {
    "polling, 1 s": sums(
        *nine_empty, models.poll_request(host, cursor), models.poll_response([text])
    ),
    "long polling": sums(
        models.long_poll_request(host, cursor), models.poll_response([text])
    ),
    "SSE": sums(models.sse_event(text, cursor)),
}
factor = sum(rows["polling, 1 s"].values()) / sum(rows["SSE"].values())

# %%
charts.ledger(
    rows,
    title="An event in a stream costs little more than itself",
    colors={
        "polling, 1 s": charts.COLORS["http_polling"],
        "long polling": charts.COLORS["long_polling"],
        "SSE": charts.COLORS["sse"],
    },
    caption="One event every ten seconds, on open connections; bytes for each delivered "
    "event, by the models that the captures confirmed. SSE's heartbeats come on "
    "top: one of 7 bytes in each 15 s of silence.",
    says=f"SSE is cheaper than polling once a second by a factor of {factor:.0f}; your "
    f"guess was {'not made' if my_guess_factor is ... else my_guess_factor}.",
)

# %%
# NBVAL_CHECK_OUTPUT
size = {name: sum(parts.values()) for name, parts in rows.items()}
claim(
    "3.c5",
    "for each event SSE costs less than long polling, and long polling less than polling",
    size["SSE"] < size["long polling"] < size["polling, 1 s"],
)
claim(
    "3.c6",
    "an event in a stream costs less than twice its own bytes",
    size["SSE"] < 2 * rows["SSE"]["payload"],
)

# %% [markdown]
# ## How late is the news?
# There is no interval and no gap. Whatever is published is written into the open response at once, and takes one trip: delay = RTT / 2, at any rate. Long polling, at rising rates, wanders from that toward polling with T = RTT. Both through the same link, with a round trip of 100 ms:


# %%
async def at_rate(launch, name, reader, per_second, messages):
    async with launch(name) as one:
        return (
            await measure.deliver(
                one, [reader], events=messages, per_second=per_second, plan=measure.poisson
            )
        )[0]


plan = {2: 16, 10: 80, 50: 300}


async def all_rates(launch, name, reader):
    return await asyncio.gather(
        *(at_rate(launch, name, reader, rate, messages) for rate, messages in plan.items())
    )


# %%
held, pushed = (
    await all_rates(launch, "long_polling", measure.long_poller(100)),
    await all_rates(launch, "sse", measure.streamer(100)),
)
held_simulated = virtual.run(
    all_rates(virtual.launch, "long_polling", measure.long_poller(100)), wall_limit_s=60
)
pushed_simulated = virtual.run(
    all_rates(virtual.launch, "sse", measure.streamer(100)), wall_limit_s=60
)

# %%
curve = [1.2**i for i in range(26)]
means = lambda runs: {run.per_second: run.latency.mean for run in runs}
charts.compare(
    [
        (
            "long polling",
            "long_polling",
            means(held),
            means(held_simulated),
            {rate: models.long_polling(100, rate).mean for rate in curve},
        ),
        (
            "SSE",
            "sse",
            means(pushed),
            means(pushed_simulated),
            {rate: models.pushed(100).mean for rate in curve},
        ),
    ],
    title="A stream takes one trip at any rate",
    logy=False,
    ticks=(1, 2, 5, 10, 20, 50, 100),
    xlabel="messages a second, at random moments (log scale)",
    ylabel="mean delay, milliseconds",
    caption=f"Round trip 100 ms; {', '.join(str(n) for n in plan.values())} messages. "
    f"Dots: measured; circles: simulated; lines: models. {measure.machine()}",
    says=f"At {pushed[-1].per_second} messages a second: SSE "
    f"{pushed[-1].latency.mean:.0f} ms, long polling {held[-1].latency.mean:.0f} ms "
    "on average.",
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "3.c7",
    "simulated, a stream takes exactly one way at every rate",
    all(abs(run.latency.mean - 50) < 0.01 for run in pushed_simulated),
)
claim(
    "3.c8",
    "at the highest rate the stream is at least a fifth faster than long polling",
    pushed[-1].latency.mean < 0.8 * held[-1].latency.mean,
)

# %% [markdown]
# And the whole course so far in one figure: the same messages, ten a second at random moments, at three distances. Polling asks once a second.

# %%
distances = (0, 40, 200)
readers = {
    "http_polling": lambda rtt: measure.poller(1000, rtt),
    "long_polling": lambda rtt: measure.long_poller(rtt),
    "sse": lambda rtt: measure.streamer(rtt),
}


async def everyone(launch, messages=80):
    async def one(name, reader):
        async with launch(name) as server:
            return await measure.deliver(
                server,
                [reader(rtt) for rtt in distances],
                events=messages,
                per_second=10,
                plan=measure.poisson,
            )

    by_transport = await asyncio.gather(
        *(one(name, reader) for name, reader in readers.items())
    )
    return {
        rtt: [runs[place] for runs in by_transport] for place, rtt in enumerate(distances)
    }


grand = await everyone(launch)
grand_simulated = virtual.run(everyone(virtual.launch))

# %%
theory = lambda rtt: [
    models.polling(1000, rtt),
    models.long_polling(rtt, 10),
    models.pushed(rtt),
]
groups = {
    f"round trip {rtt} ms": (grand[rtt], theory(rtt), grand_simulated[rtt])
    for rtt in distances
}
charts.distances(
    groups,
    title="Pushing takes one trip; polling waits half an interval on top",
    caption="80 messages, 10 a second at random moments. The number is the delay within which half "
    f"of them arrive. Steps: measured; circles: simulated; dashes: model. {measure.machine()}",
    says="Polling comes last at every distance. Long polling and the stream lie on each other "
    "where there is no distance; the longer the round trip, the further long polling falls behind.",
)

# %%
lines = []
for rtt in distances:
    for run, simulated, model in zip(grand[rtt], grand_simulated[rtt], theory(rtt)):
        lines.append(
            [
                rtt,
                charts.NAMES[run.reader],
                model.quantile(0.5),
                simulated.latency.percentile(50),
                run.latency.percentile(50),
                run.latency.percentile(50) - simulated.latency.percentile(50),
            ]
        )
table(
    [
        "RTT, ms",
        "transport",
        "median: model",
        "simulated",
        "measured",
        "measured − simulated, ms",
    ],
    *lines,
)

# %% [markdown]
# The simulation runs the same schedule, with computing taken out. For the two that push, the last column is therefore what this machine needed for publishing, parsing and waking up, and at a round trip of 0 ms it is everything there is. For polling it also holds luck: the reader's clock starts at another moment in each run, and eighty messages in eight intervals do not fill the curve evenly. That is also why its simulated median can lie beside the model's.

# %%
# NBVAL_CHECK_OUTPUT
p50 = lambda runs: [run.latency.percentile(50) for run in runs]
claim(
    "3.c9",
    "at every distance the stream is the fastest and polling the slowest",
    all(
        p50(grand_simulated[rtt])[2]
        <= p50(grand_simulated[rtt])[1]
        < p50(grand_simulated[rtt])[0]
        for rtt in distances
    ),
)
claim(
    "3.c10",
    "measured, half of the messages arrive by stream at least three times sooner than by "
    "polling",
    all(3 * p50(grand[rtt])[2] < p50(grand[rtt])[0] for rtt in distances),
)

# %% [markdown]
# ## Coming back
# Connections break. A browser's `EventSource` then waits for as long as `retry:` said, asks again, and sends the last `id:` that it saw in a header, `Last-Event-ID`. If ids are cursors, the server goes on exactly where the reader left off. Try it with the page above. Run the next cell a few times and watch its list: the connection is cut, two
# messages are published while it is away, and both appear.

# %%
server.link.cut()
for number in range(2):
    await server.publish(f"published while you were away: {number + 1}")

# %% [markdown]
# Now count instead of watching. A reader follows four hundred events through a link that is cut twenty times at random moments. In virtual time:


# %%
async def cut_and_resume(launch, seed):
    import random

    async with launch("sse") as server:
        mark, seen = await server.publish("mark"), []

        async def read():
            async for one in clients.sse(
                server.url, after=mark.cursor, rng=random.Random(seed)
            ):
                seen.append(one.id - mark.id)

        reading = asyncio.create_task(read())
        moments = random.Random(seed)
        for number in range(400):
            await server.publish(f"event {number}")
            await asyncio.sleep(0.1)
            if moments.random() < 0.05:
                server.link.cut()
        await asyncio.sleep(60)
        reading.cancel()
        return seen, sum(note.what == "cut" for note in server.link.notes)


seen, cuts = virtual.run(cut_and_resume(virtual.launch, seed=3))
say(
    f"{cuts} cuts. Of 400 events {len(set(seen))} arrived, {len(seen) - len(set(seen))} "
    f"of them twice, {'in order' if seen == sorted(seen) else 'out of order'}."
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "3.c11",
    "through all cuts every event arrives once, in order",
    seen == list(range(1, 401)),
)

# %% [markdown]
# The server's half of this is called **replay, then follow**: first hand over what the reader has missed, then what is new. In between lies the gap of long polling once more, only smaller and inside your own server: an event that is published *while* the old ones are being replayed must come once, neither twice nor never.
#
# %% [markdown]
# ### Exercise 3.3 · replay, then follow
# *Fifteen minutes.* Write `replay_then_follow(feed, cursor)`, an async generator: an `async def` that yields each event after the cursor once, in order, first what was missed, and then what comes, without end. The feed offers three things:
#
# - `await feed.since(cursor)` returns the kept events after the cursor, oldest first. They are fetched from a database, so it takes a while, and meanwhile the world goes on. It raises `Gone` when something is missing; let that pass to your caller.
# - `feed.subscribe()` returns an `asyncio.Queue`, into which every event that is published from then on is put.
# - `feed.unsubscribe(queue)` ends that. Whatever happens, no subscription may stay behind: `Gone`, a reader who leaves, a cancellation.
#
# While you are replaying, and while the reader handles what you yield, events are published. The `id` of an event is a number that grows by one.
#
# <details><summary>Hint</summary>
#
# In which order do you subscribe and ask, so that nothing falls in between? That order gives you some events twice, and those you can recognize. A generator that its reader leaves gets an exception at its <code>yield</code>, so <code>finally</code> is reached.
# </details>


# %% tags=["exercise"] exercise="3.3"
async def replay_then_follow(feed, cursor):
    """Yield every event after the cursor once, in order, without end."""
    ### BEGIN SOLUTION
    queue, last = feed.subscribe(), 0
    try:
        for event in await feed.since(cursor):
            yield event
            last = event.id
        while True:
            event = await queue.get()
            if event.id > last:
                yield event
    finally:
        feed.unsubscribe(queue)
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("3.3", replay_then_follow)

# %% [markdown]
# ## Break it: a proxy that means well
# A proxy stands between most servers and most browsers. Many *buffer*: they collect a response until it is whole, or until some kilobytes have come, because for ordinary responses that is more efficient. A stream is never whole.


# %%
async def buffered(launch, size):
    async with launch("sse") as server:
        mark, seen = await server.publish("mark"), []
        server.link.buffer(size)
        reading = asyncio.create_task(
            collect(clients.sse(server.url, after=mark.cursor), seen)
        )
        for number in range(120):
            await asyncio.sleep(1)
            await server.publish(f"reading {number}")
        await asyncio.sleep(1)
        reading.cancel()
        return seen


async def collect(events, seen):
    async for one in events:
        seen.append(now_ns() / 1e9 - one.at / 1e9)


# %%
rows = []
for size in (0, 1024, 4096, 65536):
    seen = virtual.run(buffered(virtual.launch, size))
    rows.append([size, len(seen), max(seen, default="never")])
table(["the proxy holds, bytes", "arrived of 120 in two minutes", "latest by, s"], *rows)

# %% [markdown]
# With a large buffer nothing arrives at all, and the page shows an open, healthy connection. **SSE goes silent**, and no error is raised anywhere. Heartbeats do not help, since they are swallowed, too; but a reader that *expects* them notices that they are missing, and ours reconnects. The repair is to tell the proxy. nginx and those that learned from it
# honor `X-Accel-Buffering: no` in the response, and our server sends it. For others there is a setting, and a test in production.
#
# A *compressing* proxy does the same damage in another way. A compressor keeps what it is given until it has enough to compress well. Here is one that gzips for readers who accept it, as browsers do:


# %%
async def compressed(launch, flush):
    async with (
        launch("sse") as server,
        Proxy.open(server.url) as proxy,
        clients.session(timeout=None) as http,
    ):
        proxy.flush = flush
        seen, parser = [], Parser()

        async def read():
            async with http.get(
                f"{proxy.url}/events",
                headers={"Accept": "text/event-stream", "Accept-Encoding": "gzip"},
            ) as response:
                async for piece in response.content.iter_any():
                    seen.extend(parser.feed(piece))

        reading = asyncio.create_task(read())
        for number in range(120):
            await asyncio.sleep(1)
            await server.publish(f"reading {number}")
        await asyncio.sleep(1)
        reading.cancel()
        return len(seen)


# %%
silent = virtual.run(compressed(virtual.launch, False))
flushed = virtual.run(compressed(virtual.launch, True))
table(
    ["the compressor", "arrived of 120 in two minutes"],
    ["waits until it has enough", silent],
    ["gives out everything after each piece", flushed],
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "3.c12",
    "behind a large buffer nothing arrives, without any error",
    rows[-1][1] == 0 and rows[0][1] == 120,
)
claim(
    "3.c13",
    "behind a compressor that does not flush nothing arrives either",
    silent == 0 and flushed == 120,
)

# %% [markdown]
# Two repairs exist, and `labs/proxy.py` knows both. The proxy can flush its compressor after each piece, which costs some compression. Or the server can forbid it to touch the body, with `Cache-Control: no-transform`.
#
# ## Break it: six connections
# Under HTTP/1.1 a browser opens at most six connections to one origin, over all its tabs. A stream occupies one for as long as it lives. Here is a reader with a browser's limit, which has opened six streams in six tabs, and now wants one ordinary page:


# %%
async def seventh_tab(launch, tabs):
    async with launch("sse") as server, aiohttp.ClientSession(connector=limited(6)) as http:
        streams = [
            await http.get(f"{server.url}/events", headers={"Accept": "text/event-stream"})
            for _ in range(tabs)
        ]
        try:
            async with asyncio.timeout(2), http.get(f"{server.url}/healthz") as response:
                return f"{response.status}"
        except TimeoutError:
            return "still waiting after two seconds"
        finally:
            for stream in streams:
                stream.close()


def limited(connections):
    return aiohttp.TCPConnector(limit_per_host=connections)


answers = [await seventh_tab(launch, tabs) for tabs in (5, 6)]
table(["tabs with a stream", "an ordinary request"], [5, answers[0]], [6, answers[1]])

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "3.c14",
    "with six streams open an ordinary request to the same origin waits for ever",
    answers == ["200", "still waiting after two seconds"],
)

# %% [markdown]
# HTTP/2 carries a hundred and more streams over one connection and does away with this limit, which is the best reason to put an HTTP/2 proxy in front of an SSE server. Without one, let one tab hold the stream and tell the others (`BroadcastChannel`, or a shared worker). Parked long polls have the same problem.
#
# ## Break it: the reader who left
# A push handler has nothing to read. It waits for the feed, and if the feed is silent, it never writes, and so never finds out that its reader has gone. Count: a hundred readers come, leave a silent feed, and the server says what it still holds.


# %%
async def leave_a_silent_feed(server, readers=100):
    before = (await server.usage())["tasks"]
    mark = await server.publish("the last for a while")
    tasks = [
        asyncio.create_task(measure.watch(server.origin, clients.sse, after=mark.cursor))
        for _ in range(readers)
    ]
    during = await measure.tasks_held(server, at_least=before + readers)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return before, during, await measure.tasks_held(server, at_most=before + 2)


before, during, after = await leave_a_silent_feed(server)
table(
    ["", "tasks in the server"],
    ["no reader", before],
    ["100 readers", during],
    ["they have left", after],
)
await server.stop()

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "3.c15",
    "a hundred readers who leave a silent feed leave nothing behind",
    during - before >= 100 and after <= before + 2,
)

# %% [markdown]
# It holds here because the server cancels a handler when its connection is lost. In many frameworks you have to ask for that, and heartbeats are the second line of defense: sooner or later the server writes one, and writing fails.
#
# ## Your own reader
# %% [markdown]
# ### Exercise 3.4 · a client that comes back
# *Fifteen minutes, end to end.* Write `listen(http, url, handle, gap)`, which reads the course's SSE server until it is cancelled. `http` is an `aiohttp.ClientSession` without a time limit, and `Parser` is the course's parser (or take your own from 3.2): a new one for each connection.
#
# - `GET {url}/events` answers with a stream that never ends; `async for chunk in response.content.iter_any()` reads it as it comes.
# - An event of type `message` has the JSON text of an `Event` as its data: call `handle(Event(**json.loads(event.data)))` once for each, in order.
# - The connection breaks (`aiohttp.ClientError`), or the stream simply ends. Wait about a second and ask again, with the last event's id in the header `Last-Event-ID`. That must cost nothing but time.
# - An event of type `reset` means that the server cannot go on from there. Call `gap()` for it. The same stream then goes on with all that is kept. The reset carries an empty id: with an empty id you send no header.
#
# The check runs your client against the course's server, in virtual time with cuts and restarts, and at the end against a real process.
#
# <details><summary>Hint</summary>
#
# <code>event.last_event_id</code> is what to send the next time. Remember it after every event, of whatever type, also if it is empty.
# </details>


# %% tags=["exercise"] exercise="3.4"
async def listen(http, url, handle, gap):
    """Read an event stream through cuts and restarts."""
    ### BEGIN SOLUTION
    last = ""
    while True:
        parser = Parser()
        try:
            async with http.get(
                f"{url}/events", headers={"Last-Event-ID": last} if last else {}
            ) as response:
                async for chunk in response.content.iter_any():
                    for event in parser.feed(chunk):
                        if event.type == "reset":
                            gap()
                        else:
                            handle(Event(**json.loads(event.data)))
                        last = event.last_event_id
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(1)
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("3.4", listen)

# %% [markdown]
# ## In the wild
# This handler, rewritten here, streams the lines of a log to whoever watches. It runs, and it has passed a code review. It has four faults that you have met in this notebook and the one before. Find them before you unfold the answer.
#
# ```python
# async def stream(request):
#     response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
#     await response.prepare(request)
#     queue = asyncio.Queue()
#     watchers.append(queue)
#     while True:
#         line = await queue.get()
#         await response.write(f"data: {line}\n\n".encode())
# ```
#
# <details><summary>The faults</summary>
#
# There is no <code>id:</code>, so a reader that reconnects gets only what comes from then on, and the break is a silent hole. The queue has no bound: a reader who is slow, or has stopped reading, makes the server's memory grow with every line. The queue is never removed from <code>watchers</code>, so readers who have left go on
# collecting lines for ever. And a line of the log that contains a line break, which anyone can cause who gets their text logged, becomes events of its own.
# </details>
#
# ## When is it right?
# SSE is right whenever the news flows one way, from the server to many readers: prices, scores, progress, notifications, logs, dashboards, the words of a language model as they come. It is plain HTTP, so authentication, logging, load balancers and `curl` work as they always do. Readers who also have something to say, now and then, simply `POST` it. It
# is wrong when the client talks as often as the server does, when the messages are binary, or when a proxy that you do not control swallows streams. Then you want a socket, and that is the next notebook.
#
# ## What this does not show
# The browser's own `EventSource` is tested against this course's parser and server in the repository's tests, on the same streams, and the live page above uses it. It sends no headers of your choice, so a token has to travel in a cookie or in the URL. Our measurements read with one connection each; HTTP/2, which removes the limit of six, is placed in notebook 07. A slow reader costs our server
# nothing but its cursor, as in every notebook so far; how that changes when each message goes to thousands of sockets is the subject of notebook 05.
#
# ## Key points
# - One request, one response that does not end, events divided by empty lines.
# - Text from outside is never structure: split data into lines, refuse line breaks in types and ids.
# - A parser must give the same events however the stream is cut.
# - One trip at any rate, and little more than the event's own bytes.
# - Ids are cursors. The browser reconnects and says where it was; replay, then follow, without a gap and without doubles.
# - Buffering and compressing proxies silence a stream without an error. Heartbeats make the silence visible.
#
# ## Five questions to take away
# <details><summary>Why does the specification have comments, and what are they used for?</summary>
#
# A line that begins with a colon is skipped by every reader. Sent as a heartbeat it shows that the connection lives, keeps proxies from hanging up, and lets a server find out that its reader has gone.
# </details>
#
# <details><summary>A stream ends in the middle of an event. What does the reader do with the half that it has?</summary>
#
# It throws it away, and does not remember its id. When it comes back, the server sends the event again, whole.
# </details>
#
# <details><summary>Which is larger under HTTP/1.1, the cost of an event by long polling or by SSE, and by what?</summary>
#
# Long polling's, by a request head and a response head for each answer. SSE adds an id line, the word data, an empty line and the size of a chunk.
# </details>
#
# <details><summary>Your stream works on your laptop, and in production events arrive in bursts of about thirty. Where do you look first?</summary>
#
# At the proxies: one of them buffers or compresses. Thirty events of a hundred bytes are about three kilobytes, which is a usual buffer.
# </details>
#
# <details><summary>Why is it not enough to subscribe after the replay?</summary>
#
# What is published between the last replayed event and the subscription is in neither. Subscribe first, then replay, then skip what came twice.
# </details>
#
# <details><summary><b>For instructors</b></summary>
#
# **Time.** The cells run for about one minute in total. Plan 60 minutes: 25 for reading, predicting and measuring, 35 for exercises 3.1 and 3.2; 3.3 and 3.4 are for afterwards. The minutes for people are our estimate; the seconds for machines were measured.
#
# **In class.** Open the live page on the projector, run the cell that cuts the connection, and let the class count the messages. Then open the browser's network panel and show the one request that never ends.
#
# **Where people stumble.** In 3.2 the carriage return at the end of a piece. Most parsers pass all tests but one, and the check shows the cut that breaks them. In 3.3 people subscribe after the replay; let them find the schedule that loses an event before they see the check's.
#
# **Discuss.** Which of your company's pages poll, and which of them would be simpler as a stream?
# </details>
#
# **Next:** 04 · Raw WebSockets
