# %% [markdown]
# # 00 · Start here
# *After this notebook you can say whether a number that your machine shows you can be believed, and you know how the rest of the course works.*
#
# This course is about one question: something has happened on a server, so how does everybody who cares get to know? There are half a dozen good
# answers. They differ in how late the news arrives, in how many bytes it costs, and in what happens when a network or a server misbehaves. People have
# strong opinions about them. We will have measurements, made by you, on the machine in front of you.
#
# Every notebook works the same way. You **predict** a number. You **start a real server** and **measure** it. You look at your prediction, the
# measurement and the theory on one chart. Then you **write or repair code** until a check passes. Nothing here needs a network connection, and
# nothing that you start is left running when you close the notebook.
#
# Run a cell with Shift+Enter. The first one loads the course's own package, `labs`, which stands beside this folder. Every notebook begins with such a
# cell, and every exercise works as soon as that one cell has run, so you can come back tomorrow and go straight to where you were.

# %% tags=["setup"]
import sys

sys.path.insert(0, "..")
import asyncio, math
from labs import charts, clients, ledger, measure, models, virtual
from labs.checks import check, claim
from labs.clock import now_ns
from labs.feed import Feed
from labs.launch import launch
from labs.prose import say, table

# %% [markdown]
# | notebook | the decision it prepares you for |
# |---|---|
# | **00 Start here** | can I trust what this machine measures? |
# | 01 HTTP polling | is asking every T seconds good enough, and what does T cost? |
# | 02 Long polling | what do I gain by holding the request, and what must I now get right? |
# | 03 Server-sent events | when is one endless response enough? |
# | 04 Raw WebSockets | what does a WebSocket really give me, and when is it worth it? |
# | 05 Rooms | how do many clients share one server without hurting each other? |
# | 06 Redis fan-out | what changes when one server is no longer enough? |
# | 07 Choosing | which transport for which job, with numbers? |
#
# ## Is this machine ready?
# The doctor looks at everything that the notebooks rely on and says what to do where something is missing. A ✗ stops this notebook and the next one. A –
# is worth knowing and stops nothing yet.

# %%
from labs import doctor

for finding in doctor.examine():
    print(finding)

# %% [markdown]
# ## The thing that is served
# A *feed* is a list of events that only ever grows. Each event has a number, counted from 1 without gaps. All the servers in this course serve
# a feed, so that nothing differs between them except the way the news travels. A feed needs no network, so you can hold one in your hand:

# %%
feed = Feed()
feed.publish("wind 9 m/s, west")
feed.publish("wind 12 m/s, north-west")
[(event.id, event.data) for event in feed.since()]

# %% [markdown]
# A reader who has seen the first event and wants the rest does not have to be remembered by the server. It holds a *cursor*, a short text that
# came with the last event it saw, and hands it back. The server answers with whatever is newer.

# %%
first, second = feed.since()
print("the cursor of the first event:", first.cursor)
print("what came after it:", [event.data for event in feed.since(first.cursor)])

# %% [markdown]
# The cursor has two parts. After the hyphen stands the event's number. Before it stands the feed's *epoch*, a random word that is chosen
# when the server starts. It is there because a restarted server counts from 1 again, and a reader that comes back with an old number must
# not be told "nothing new" when in truth everything is. You will break exactly that in notebook 01.
#
# The feed is about seventy lines long, comments included, and it is meant to be read: `labs/feed.py`. Two of its sentences carry much of this course. *The feed
# keeps events, not readers*, so a slow reader costs it nothing. And *what cannot be delivered is said aloud*: there is an answer called `Gone`, and never a
# silent hole.
#
# ## One request and its every byte
# Now the same feed behind HTTP. `launch` starts a server as a process of its own and puts a *link* in front of it. The link is a
# small relay, our network in a box. Everything that you send to `server.url` passes through it. It can delay, count, cut and
# swallow what passes, and for now it only counts.

# %%
server = await launch("http_polling")
event = await server.publish("wind 12 m/s, north-west")
async with clients.session() as http:
    await clients.fetch(http, server.url)
request, response = ledger.messages(server.link.chunks)
print(request.text)

# %% [markdown]
# That is one whole HTTP request, exactly as it crossed the wire. The first line says what is wanted. Header lines follow, and an empty line ends them. A
# browser would have sent ten times as many headers. Here is what the server said:

# %%
print(response.text)

# %% [markdown]
# Again a first line, headers, an empty line, and then the *body*: a JSON array with one event in it. The `at` is the moment of publication in
# nanoseconds, on a clock that we will come to. A **byte ledger** says what each of those bytes was for:

# %%
rows = {"request": request.parts, "response": response.parts}
share = response.parts["payload"] / (request.size + response.size)
charts.ledger(
    rows,
    title="Most of what crosses the wire is not the news",
    caption="One GET and its answer, counted by the link. Payload is the event as JSON; "
    f"{measure.machine()}",
    says=f"The request takes {request.size} bytes and the response {response.size}; "
    f"{share:.0%} of all that is the event itself.",
)

# %% [markdown]
# A ledger is only worth something if it closes, to the byte: the parts must add up to what the link counted, with nothing left over. This is
# the first *claim* of the course. A claim is a sentence that is printed only if the measurement bears it out, and the title of a chart is
# always one that was claimed or can be counted on the chart.

# %%
# NBVAL_CHECK_OUTPUT
counted = sum(server.link.bytes.values())
claim(
    "0.c1",
    "the parts of the ledger add up to every byte that the link counted",
    request.size + response.size == counted,
)
claim("0.c2", "less than half of the bytes are the event itself", share < 0.5)

# %% [markdown]
# ### Exercise 0.1 · the parts of a message
# *Five minutes.* Write `split(message)`. It gets the bytes of one HTTP message and returns three sizes in bytes: of the start line, of the headers, and of
# the body. Each line includes the two bytes that end it, `\r\n`. The empty line that ends the headers belongs to the headers. The three must add
# up to `len(message)`.
#
# What you see under the check is the target: it is what a right answer prints. Run the two cells to see what yours prints.


# %% tags=["exercise"] exercise="0.1"
def split(message: bytes) -> tuple[int, int, int]:
    """Bytes of the start line, the headers (with the empty line), and the body."""
    ### BEGIN SOLUTION
    head, _, body = message.partition(b"\r\n\r\n")
    start_line = message.index(b"\r\n") + 2
    return start_line, len(head) + 4 - start_line, len(body)
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("0.1", split)

# %% [markdown]
# A check shows the first thing that does not hold, the smallest example of it, and a hint. It never marks style, and it does not mind how you do it. Checks
# run your code on a simulated clock, in a thread with a time limit, so that an answer that waits for ever is told so at once.
#
# ## One clock
# Latency is the time from one event to another, here from publishing to arrival. If two clocks are involved, it is meaningless until you know
# how far they are apart. So publisher and readers live in this one process, and the server stamps events with `time.monotonic_ns()`, which
# on one machine counts from the same start for all processes. Look:

# %%
before = now_ns()
event = await server.publish("what time is it?")
after = now_ns()
say(
    f"The server's stamp lies {(event.at - before) / 1e6:.2f} ms after we began to "
    f"publish and {(after - event.at) / 1e6:.2f} ms before we were done."
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "0.c3",
    "the server's stamp falls between our two readings of the clock",
    before < event.at < after,
)

# %% [markdown]
# ## What the instrument costs
# Every instrument adds something of its own to what it measures, and an honest one says how much. Here 16 bytes travel one way, a thousand times, over ever
# more machinery: a bare pair of sockets, a TCP connection over loopback, and the same through the link.

# %%
floor = await measure.floor()
medians = {name: delays.percentile(50) * 1000 for name, delays in floor.items()}
charts.spreads(
    floor,
    title="The link adds microseconds",
    caption=f"16 bytes one way, {floor['TCP'].n} times each; {measure.machine()}",
    says=f"Half of the messages arrive within {medians['socket pair']:.0f} µs over a "
    f"socket pair, {medians['TCP']:.0f} µs over TCP, "
    f"and {medians['TCP through the link']:.0f} µs over TCP through the link. Dots are "
    "medians, bars run from the 5th to the 95th percentile.",
)

# %% [markdown]
# Whatever we measure later can be no finer than this. It is a thousand times finer than the delays that tell transports apart, which are tens and
# hundreds of milliseconds. Loopback hides something, too: nothing has to travel. Where distance matters, we switch it on in the link.

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "0.c4",
    "the way through the link is longer than the bare socket pair",
    medians["TCP through the link"] > medians["socket pair"],
)

# %% [markdown]
# ## Averages and percentiles
# One number never describes a set of delays. Take ten requests, nine of which take 2 ms and one takes 1000 ms. The average says 102 ms, which is what *nobody*
# experienced. A **percentile** is the delay of some real request: the 90th is a delay that at least 90 percent of the requests did not exceed. We use the
# *nearest rank* definition. Put the n values in order, and take the one at rank n × p / 100, rounded up, counting from 1.

# %%
ten = measure.Latencies((2, 2, 2, 2, 1000, 2, 2, 2, 2, 2))
table(
    ["", "ms"],
    ["average", ten.mean],
    ["50th percentile", ten.percentile(50)],
    ["90th", ten.percentile(90)],
    ["99th", ten.percentile(99)],
)

# %% [markdown]
# ### Exercise 0.2 · percentile
# *Five minutes.* Write `percentile(values, p)` by nearest rank, for 0 < p ≤ 100. The values come in any order, and the caller's list must stay as it was.


# %% tags=["exercise"] exercise="0.2"
def percentile(values: list, p: float) -> float:
    """The smallest of the values that at least p percent of them do not exceed."""
    ### BEGIN SOLUTION
    rank = math.ceil(len(values) * p / 100)
    return sorted(values)[rank - 1]
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("0.2", percentile)

# %% [markdown]
# ## How to measure a server that pauses
# Servers pause. A garbage collector runs, a disk is slow, a neighbor on the same machine has something to do. Let us take one that answers in about a
# millisecond, except that in a run of four seconds it says nothing for one whole second. (The link does it: it holds all answers back from second one to second
# two. To the client that is the same.)
#
# The obvious way to measure it is a *closed loop*: send a request, wait for the answer, send the next one when its time has come. We ask 100 times a second.


# %%
async def ask():
    async with http.get(f"{server.url}/healthz") as response:
        await response.read()


async with clients.session() as http, measure.pause(server.link, after_s=1, for_s=1):
    closed = await measure.closed_loop(ask, per_second=100, seconds=4)

# %% [markdown]
# Before you look: the server was silent for a quarter of the time. What will the **99th percentile** of those latencies be, in milliseconds?

# %%
my_guess_ms = 750  ### PREDICTION

# %%
closed_ms = measure.Latencies(tuple(sample.received - sample.sent for sample in closed))
table(
    ["closed loop", "ms"],
    ["average", closed_ms.mean],
    ["99th percentile", closed_ms.percentile(99)],
    ["your guess", my_guess_ms],
)

# %% [markdown]
# If that looks far too good, you are right to be suspicious. A server that is dead for a quarter of the time gets a splendid report. What happened? As soon as
# one answer failed to come, the loop stopped asking. One single request waited out the whole pause. All the others that users *would* have sent
# in that second were never sent, so nobody measured them. The load generator and the server had coordinated. This is called **coordinated omission**, and it
# is the most common mistake in published benchmarks.
#
# An *open loop* does what users do. It asks when a request is due, whether or not the last answer has come.

# %%
async with clients.session() as http, measure.pause(server.link, after_s=1, for_s=1):
    opened = await measure.open_loop(ask, per_second=100, seconds=4)
open_ms = measure.Latencies(tuple(sample.received - sample.due for sample in opened))
model = models.Stall(pause_ms=1000, total_ms=4000, per_s=100)

# %%
charts.stall(
    closed,
    opened,
    pause_ms=1000,
    after_ms=1000,
    title="A closed loop asks less when the server is slow, so it hides the pause",
    caption="100 requests a second for 4 s; the link holds all answers back from 1 s to "
    f"2 s; {measure.machine()}",
    says=f"The closed loop reports a 99th percentile of {closed_ms.percentile(99):.0f} "
    f"ms, the open loop {open_ms.percentile(99):.0f} ms, "
    "on the same server with the same pause. On the right every request that fell due in "
    "the pause waited for what was left of it.",
)

# %%
table(
    ["", "requests", "average, ms", "99th percentile, ms", "model: average", "model: 99th"],
    [
        "closed loop",
        closed_ms.n,
        closed_ms.mean,
        closed_ms.percentile(99),
        model.closed_mean,
        "an ordinary answer",
    ],
    [
        "open loop",
        open_ms.n,
        open_ms.mean,
        open_ms.percentile(99),
        model.open_mean,
        model.open_quantile(0.99),
    ],
)

# %% [markdown]
# The model is a short one. In the open loop a quarter of all requests fall into the pause, and they wait for half of it on average, so the mean is one quarter of
# 500 ms. All requests in the pause wait for what is left of it, so the slowest hundredth of all requests are those that fell due at its very beginning. In the closed loop the one
# long wait is spread over all the requests that were sent.

# %%
# NBVAL_CHECK_OUTPUT
slow = [sum(value > 100 for value in delays.ms) for delays in (closed_ms, open_ms)]
claim(
    "0.c5",
    "the closed loop sees the pause in no more than three requests, the open loop in more "
    "than sixty",
    slow[0] <= 3 and slow[1] > 60,
)
claim(
    "0.c6",
    "the closed loop's 99th percentile hides the pause and the open loop's shows it",
    closed_ms.percentile(99) < 250 < 750 < open_ms.percentile(99),
)

# %% [markdown]
# ### Exercise 0.3 · latency
# *Five minutes.* You get samples with three times each: `due`, when the request should have been sent; `sent`, when it was; `received`, when its answer was there, or
# `None` when there never was one. Write `latencies(samples)`, which returns one latency for each sample, in the same order, as a user would feel it.


# %% tags=["exercise"] exercise="0.3"
def latencies(samples: list) -> list[float]:
    """One latency for each sample; math.inf for a request that was never answered."""
    ### BEGIN SOLUTION
    return [
        math.inf if sample.received is None else sample.received - sample.due
        for sample in samples
    ]
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("0.3", latencies)

# %% [markdown]
# ### Exercise 0.4 · an open loop
# *Fifteen minutes.* Write the load generator itself. `open_loop(send, due, sleep, now)` calls `await send()` at each of the times in the list `due`, in seconds on
# the clock `now()`. A slow answer must not hold up the next request. When the last answer is in, return the latencies in seconds, each from its due time, in the order
# of `due`. Wait with `await sleep(seconds)`. The check hands you a simulated clock at first, and at the end a real server.
#
# <details><summary>Hint</summary>
#
# <code>asyncio.create_task(coroutine)</code> starts something without waiting for it, and <code>asyncio.gather(*tasks)</code> waits for all and keeps their order.
# </details>


# %% tags=["exercise"] exercise="0.4"
async def open_loop(send, due, sleep, now) -> list[float]:
    """One request at each due time, answered or not; one latency in seconds for each."""

    ### BEGIN SOLUTION
    async def request(at):
        await send()
        return now() - at

    tasks = []
    for at in due:
        await sleep(max(0.0, at - now()))
        tasks.append(asyncio.create_task(request(at)))
    return await asyncio.gather(*tasks)
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("0.4", open_loop)

# %% [markdown]
# ## The same, without waiting
# Much of this course happens twice: once in real time, on real sockets, because that is what can be believed, and once on a **simulated clock**, where time passes
# only when every task is waiting, and then at once. The servers, the clients and the link are the very same code. Only the event loop underneath is
# another one. So `launch` becomes `virtual.launch`, and four seconds take a moment:


# %%
async def experiment(launch):
    async with (
        launch("http_polling") as server,
        clients.session() as http,
        measure.pause(server.link, after_s=1, for_s=1),
    ):

        async def ask():
            async with http.get(f"{server.url}/healthz") as response:
                await response.read()

        return await measure.open_loop(ask, per_second=100, seconds=4)


started = now_ns()
simulated = virtual.run(experiment(virtual.launch))
took_ms = (now_ns() - started) / 1e6
simulated_ms = measure.Latencies(
    tuple(sample.received - sample.due for sample in simulated)
)
say(
    f"Four simulated seconds took {took_ms:.0f} ms. Average: {simulated_ms.mean:.2f} ms "
    f"simulated, {model.open_mean:.2f} ms by the model, {open_ms.mean:.2f} ms measured."
)

# %% [markdown]
# The simulation is exact: it gives the same numbers on every machine and in every run. It differs from the formula only because there are 100 requests in the pause and not
# infinitely many. The measurement differs from both, because a real machine has other things to do. Where the three agree, we have understood something. Where they do
# not, we have learned something, and we will say which.

# %%
# NBVAL_CHECK_OUTPUT
again = virtual.run(experiment(virtual.launch))
claim(
    "0.c7",
    "two simulated runs give the same times to the microsecond",
    [s.received for s in again] == [s.received for s in simulated],
)
claim(
    "0.c8",
    "simulation and model agree on the average within two percent",
    abs(simulated_ms.mean / model.open_mean - 1) < 0.02,
)

# %% [markdown]
# ## Break it: a server that is not there, and one that says nothing
# Two kinds of failure look alike in a diagram and feel quite different. When a *process* has died, its machine says so, and the client knows within a millisecond. When
# the *network* swallows everything, nobody says anything, and the client waits until its own patience ends. Here is the second kind, at the flick of a switch, with a client that
# is patient for one second:

# %%
async with clients.session(timeout=1.0) as http:
    server.link.black_hole()
    asked = now_ns()
    try:
        await clients.fetch(http, server.url)
    except clients.FAILURES as failure:
        silence_ms, silence = (now_ns() - asked) / 1e6, type(failure).__name__
server.link.heal()

# %%
await server.stop()
async with clients.session(timeout=1.0) as http:
    asked = now_ns()
    try:
        await clients.fetch(http, server.url)
    except clients.FAILURES as failure:
        refusal_ms = (now_ns() - asked) / 1e6
        say(
            f"A network that swallows everything: {silence} after {silence_ms:.0f} ms. A "
            f"server that has been stopped: {type(failure).__name__} after "
            f"{refusal_ms:.1f} ms."
        )

# %% [markdown]
# Silence is the expensive failure. Every transport in this course will be asked the same question: when the network goes silent, who notices, and after how long?
#
# The cell above has also stopped our server. A notebook never leaves one running. If you interrupt or restart the kernel at any point, its servers notice that their standard input has ended, and stop.
#
# ## In the wild
# This is how a benchmark in a blog post might measure a web server. It is short, it runs, and it has at least three flaws that you now know by name. Find them before you unfold the answer.
#
# ```python
# times = []
# for _ in range(1000):
#     started = time.time()
#     requests.get("http://localhost:8000/events")
#     times.append(time.time() - started)
# print("average latency:", sum(times) / len(times))
# ```
#
# <details><summary>The flaws</summary>
#
# It is a closed loop: when the server is slow it asks less, and a pause counts once. It reports only an average, which is not the latency of anybody. It times with `time.time()`, a clock that may be
# set back or forward while you measure; a stopwatch needs a monotonic one. The first requests, with their connections and caches still cold, are mixed in with the rest. Each call opens
# a new connection, so it measures connecting as much as answering. It says nothing about the machine or the number of clients. And the load it makes is whatever the server happens to allow, so two servers
# measured in this way were not given the same job.
# </details>
#
# ## What this does not show
# Everything here ran on one machine over loopback, where a byte has no distance to go and nothing is lost. Publisher, reader and link share one Python process, so the instrument itself is busy
# while it measures, and at some thousand messages a second it would become the thing measured. The ledger counts bytes that applications write. Below them TCP and IP add about 40 bytes to every packet,
# and encryption adds more. The simulation knows waiting, and it knows nothing of computing: in virtual time every line of code takes no time at all.
#
# ## Key points
# - A feed keeps events, and a reader keeps a cursor. What cannot be delivered is said aloud.
# - A byte ledger must close exactly, or it explains nothing.
# - Stamp both ends with one clock, and know what the instrument itself adds.
# - Percentiles are delays of real requests, and an average need not be anybody's.
# - Count latency from when a request was due, and keep asking while the server is slow.
#
# ## Five questions to take away
# <details><summary>Why does a cursor carry an epoch, and not only a number?</summary>
#
# A restarted server counts from 1 again. Without the epoch an old number would be taken for a new one, and events would be skipped in silence.
# </details>
#
# <details><summary>Of 200 latencies, which one is the 99th percentile by nearest rank?</summary>
#
# The 198th in ascending order: 200 × 99 / 100 = 198.
# </details>
#
# <details><summary>What is coordinated omission?</summary>
#
# The load generator waits for a slow server before it sends the next request, so that the requests that would have suffered are never sent, and never counted.
# </details>
#
# <details><summary>A server is asked 50 times a second for ten seconds and pauses once, for two seconds. What is the mean latency in an open loop?</summary>
#
# One fifth of the requests fall into the pause and wait one second on average, so the mean is about 200 ms. The formula is pause² / (2 × total).
# </details>
#
# <details><summary>Why can a simulated clock not tell you how many requests a second a server can answer?</summary>
#
# In virtual time only waiting takes time. Computing takes none, and what limits a server is computing.
# </details>
#
# <details><summary><b>For instructors</b></summary>
#
# **Time.** The cells run for about twenty seconds in total. Plan 20 minutes for reading and running, and 25 more for the four exercises; 0.4 takes half of that. Without exercises the notebook is a good first half hour of a workshop,
# since it proves that thirty laptops are ready. The minutes for people are our estimate; the seconds for machines were measured.
#
# **Before class.** Have everybody run `make lab` at home, since it downloads about 150 MB. In class nothing is downloaded. On a machine with a ✗ in the doctor's list, do what its second line says.
#
# **Where people stumble.** The 99th percentile of the closed loop is the moment of surprise. Collect guesses on the board before anybody runs the cell; most lie between 500 and 1000. In 0.4 many write `await send()` inside the loop, which is
# the closed loop again. The check shows it on a timeline, so let them read it.
#
# **Discuss.** Which dashboards in your own company are fed by closed-loop measurements? How would you know?
# </details>
#
# **Next:** [01 · HTTP polling](01_http_polling.ipynb)
