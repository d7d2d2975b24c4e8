# %% [markdown]
# # 05 · Rooms
# *After this notebook you can put many clients on one server without any of them hurting the others, and you know what each message costs.*
#
# So far every reader had a feed, and no reader knew of another. Most products are not like that. People are in a *room* together, they see who else is there, what one says is heard by all, and one of them has just closed the lid of a laptop. This notebook starts from the chat server of every tutorial and repairs it until one would dare to leave
# it alone over a weekend.
#
# Two questions run through it. What can one client do to the others, by being slow, by talking too much, or by being gone? And what does it cost to say one thing to five hundred people?

# %% tags=["setup"]
import sys

sys.path.insert(0, "..")
import asyncio, inspect, json
from functools import partial
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from labs import charts, clients, fanout, ledger, models, virtual
from labs.checks import check, claim
from labs.clock import now_ns
from labs.frames import Opcode, encode
from labs.launch import launch
from labs.link import Link
from labs.prose import say, table

# %% [markdown]
# ## The naive version first
# Here it is. Everybody who connects is put into a set, and whatever one of them says is sent to all.

# %%
everyone = set()


async def naive_chat(socket):
    everyone.add(socket)
    try:
        async for text in socket:
            for member in everyone:
                await member.send(text)
    except ConnectionClosed:
        pass
    finally:
        everyone.discard(socket)


# %% [markdown]
# It is clear, it works in every demonstration, and one person can stop it without knowing. Ada says something once a second, Ben listens, and Cy closes the lid of a laptop after five seconds. Cy's computer is asleep, the connection is still open, and nobody has told the server anything. In virtual time, so that a minute takes none:


# %%
async def moments(socket):
    """When each message arrived, in seconds from the start, until the connection ends."""
    start, heard = now_ns(), []
    try:
        async for _ in socket:
            heard.append((now_ns() - start) / 1e9)
    except ConnectionClosed:
        pass
    return heard


# %%
async def one_lid_is_closed(chat, seconds=60, size=10_000):
    quiet = {"compression": None, "ping_interval": None, "close_timeout": 1}
    async with serve(chat, "127.0.0.1", 0, **quiet) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with await Link.open(f"http://{address}") as cys_link:
            cy = await connect(cys_link.ws, proxy=None, **quiet)
            ada, ben = [
                await connect(f"ws://{address}", proxy=None, **quiet) for _ in range(2)
            ]
            listening = asyncio.create_task(moments(ben))
            for second in range(seconds):
                if second == 5:
                    cys_link.stall()
                talking = asyncio.create_task(ada.send("x" * size))
                await asyncio.sleep(1)
            talking.cancel()
            for one in (ada, ben, cy):
                one.transport.abort()
            return await listening


# %%
heard = virtual.run(one_lid_is_closed(naive_chat))
say(
    f"Ben heard {len(heard)} of 60 messages. The last one came after {heard[-1]:.0f} s, and "
    "then there was silence, for everybody."
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "5.c1",
    "in the naive chat one member who stops reading silences all the others",
    len(heard) < 30,
)

# %% [markdown]
# `await member.send(text)` waits when a connection's buffers are full. That is a good thing, it is called **backpressure**, and it keeps memory from growing. But here the wrong one feels it. Cy does not read, and *Ada* waits. The loop stands still at Cy, and whoever comes after Cy in the set misses this message. Of Ada's later ones nobody hears any, and whoever else speaks gets stuck in the same place.
#
# Ben heard some messages more after the lid was closed. They fit into the buffers on the way to Cy: less than a hundred kilobytes in this simulation, up to some megabytes on a real system, where the silence begins later. Pings are switched off here; with them the library gives Cy up after 20 to 40 seconds. But the exception is then raised where somebody is waiting to send, in *Ada's* handler, so that it is Ada who is thrown out.
#
# Three more faults are in these ten lines. The set may change while the loop waits, and Python then raises `RuntimeError: Set changed size during iteration`. Everybody hears everything, as there are no rooms. And whatever a client sends is passed on, be it a greeting or a novel. We take them in reverse order.
#
# ## Messages have types
# A client says more than one kind of thing: it joins a room, it leaves, it speaks. So a message gets a **type**, and the server a table that says what to do with each; looking it up is called **dispatch**. The course's rooms server speaks JSON, for example
#
# `{"type": "join", "room": "blue"}` · `{"type": "message", "room": "blue", "text": "hi"}` · `{"type": "leave", "room": "blue"}`
#
# and it answers with `joined`, `left`, `message`, `presence` and `error`. The art is in the last one. A client is a stranger, or an old version of your own program, and what it sends may be anything. A bad message deserves an answer that says what is wrong with it, and a connection that lives on.
#
# ### Exercise 5.1 · dispatch
# *Ten minutes.* A client may send anything. Write `dispatch(text, handlers)`: `text` is what came in, a `str`, or `bytes` if the frame was binary (`json.loads` takes both), and `handlers` maps the type of a message to a function that takes the message, a `dict`, and returns the reply. Return that reply, or `{"type": "error", "code": …, "detail": …}`, where the detail is a sentence for people. The codes are:
#
# - `bad_json`: the text is not JSON. Brackets that are nested 30,000 deep, and numbers of 5,000 digits, count as no JSON either; Python raises `RecursionError` and `ValueError` for them.
# - `bad_message`: it is JSON, but not an object, or has no `type`, or one that is not a string. Also when the handler raises `ValueError`; then the detail is the text of that.
# - `unknown_type`: no handler is there for it.
#
# Nothing that a client sends may make `dispatch` raise. A bug in a handler, a `KeyError` say, is another matter. It is not the client's fault, and you want to hear of it: let it pass.
#
# <details><summary>Hint</summary>
#
# Three steps can fail, each in its own way: reading the text, finding the handler, calling it. Let no <code>try</code> reach over more than one of them. And <code>["join"]</code> is a type, too, if a client says so; can it be looked up in a <code>dict</code>?
# </details>


# %% tags=["exercise"] exercise="5.1"
def dispatch(text, handlers):
    """The reply to what a client has sent; an error if it cannot be handled. Raises only what a buggy handler raises."""
    ### BEGIN SOLUTION
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return error("bad_json", "a message is one JSON object")
    kind = message.get("type") if isinstance(message, dict) else None
    if not isinstance(kind, str):
        return error("bad_message", "a message is an object with a type")
    if kind not in handlers:
        return error("unknown_type", f"the types are {', '.join(handlers)}")
    try:
        return handlers[kind](message)
    except ValueError as refusal:
        return error("bad_message", str(refusal))


def error(code, detail):
    return {"type": "error", "code": code, "detail": detail}
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("5.1", dispatch)

# %% [markdown]
# ## Who is where
# A **room** is nothing but a name and a set of connections. The course's server keeps them in `labs/rooms/registry.py`, which does no input and no output: it is told what a member said, and returns who is to be told what. So all of its rules can be tested without a socket. Yours is a little smaller.
#
# ### Exercise 5.2 · who is where
# *Fifteen minutes.* Write the class `Registry`, which knows who is in which room. It sends nothing. Each method that changes something returns those who are to be told, and telling them is the caller's business:
#
# - `join(room, member)` returns the others, who were there before. For a member who is in the room already it changes nothing, and nobody is to be told.
# - `leave(room, member)` returns those who remain. For a member who is not in the room nobody is to be told.
# - `leave_all(member)` is for a connection that has ended: out of every room. It returns a `dict` with those who remain in each of these rooms, by room, also for a room in which nobody remains.
# - `members(room)` says who is in a room, and `rooms(member)` in which rooms a member is. Both give a copy: while one loops over it, others come and go.
#
# A room's name is 1 to 64 of the characters `a` to `z`, `0` to `9` and `-`. The methods that take a room raise `ValueError` for any other name, and for what is not even text: it comes from a client. A member is an object that can stand in a set; two connections are two members, even if both are called `ada`. Who is to be told, and who is where, comes as a set, a list or
# a tuple, an empty one if it is nobody; the order is up to you. And what is over leaves nothing behind. Rooms are named by clients, so a server that remembers every room it has ever had can be filled up from outside.
#
# <details><summary>Hint</summary>
#
# Two dicts of sets: the members of each room, and the rooms of each member. When a set has become empty, its key goes. <code>re.fullmatch</code> looks at the whole name; <code>$</code> also matches before a line break at its end.
# </details>

# %% tags=["exercise"] exercise="5.2"
import re


class Registry:
    """Who is in which room."""

    def __init__(self):
        ### BEGIN SOLUTION
        self.by_room, self.by_member = {}, {}
        ### END SOLUTION

    def join(self, room, member):
        """Into the room; returns the others, who are to be told. Raises ValueError for a name that is none."""
        ### BEGIN SOLUTION
        others = self.members(room)
        if member in others:
            return set()
        self.by_room.setdefault(room, set()).add(member)
        self.by_member.setdefault(member, set()).add(room)
        return others
        ### END SOLUTION

    def leave(self, room, member):
        """Out of the room; returns those who remain, and are to be told."""
        ### BEGIN SOLUTION
        if member not in self.members(room):
            return set()
        for index, key, value in (
            (self.by_room, room, member),
            (self.by_member, member, room),
        ):
            index[key].discard(value)
            if not index[key]:
                del index[key]
        return self.members(room)
        ### END SOLUTION

    def leave_all(self, member):
        """Out of every room; returns who remains in each of them, by room."""
        ### BEGIN SOLUTION
        return {room: self.leave(room, member) for room in self.rooms(member)}
        ### END SOLUTION

    def members(self, room):
        """Who is in the room."""
        ### BEGIN SOLUTION
        if not isinstance(room, str) or not re.fullmatch("[a-z0-9-]{1,64}", room):
            raise ValueError(
                "a room's name is 1 to 64 of the characters a-z, 0-9 and hyphen"
            )
        return set(self.by_room.get(room, ()))
        ### END SOLUTION

    def rooms(self, member):
        """The rooms that the member is in."""
        ### BEGIN SOLUTION
        return set(self.by_member.get(member, ()))
        ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("5.2", Registry)

# %% [markdown]
# ## Try it
# Start the course's rooms server and open its page twice: here, and in a browser tab of its own, under another name. Join the same room in both, and talk. Close a tab, and look at the other. The page works by keyboard alone, and when its connection breaks it comes back by itself, after pauses that grow.

# %%
server = await launch("rooms")
server.page(height=560)

# %%
say(f"For the second tab: [{server.url}]({server.url})")

# %% [markdown]
# The same from here, with two clients that talk in JSON:


# %%
async def enter(server, name, room):
    """One more member: connected, and in the room."""
    socket = await connect(f"{server.ws}/rooms?name={name}", proxy=None, compression=None)
    await socket.send(json.dumps({"type": "join", "room": room}))
    while json.loads(await socket.recv())["type"] != "joined":
        pass
    return socket


ada, ben = await enter(server, "ada", "blue"), await enter(server, "ben", "blue")
await ben.send(json.dumps({"type": "message", "room": "blue", "text": "hi"}))
for _ in range(2):
    print(await ada.recv())

# %% [markdown]
# ## Being seen has a price
# That Ben has come is told to everybody in the room. This is **presence**, and it looks free. Let *n* people join one room one after the other, as they all do when a lesson begins, or when a server has been restarted. How many presence messages does the server send for 40 people?

# %%
my_guess_presence = 780  ### PREDICTION


# %%
async def presence_messages(launch, people):
    """How many messages about who is there a server sends while so many join."""
    async with launch("rooms", rate=0) as server:
        sockets = [await enter(server, f"p{number}", "blue") for number in range(people)]
        await asyncio.sleep(3)
        told = ledger.messages(server.link.chunks)
        await asyncio.gather(*(socket.close() for socket in sockets))
        return sum(b'"presence"' in message.body for message in told)


crowds = (10, 20, 40, 80, 160)
told = {n: virtual.run(presence_messages(virtual.launch, n)) for n in crowds}
table(
    ["people", "model: n(n − 1)/2", "counted"],
    *[[n, n * (n - 1) // 2, told[n]] for n in crowds],
)
say(
    "Your guess for 40 was "
    f"{'not made' if my_guess_presence is ... else my_guess_presence}."
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "5.c2",
    "up to 50 people, n who join cause n(n − 1)/2 presence messages",
    all(told[n] == n * (n - 1) // 2 for n in crowds if n <= 50),
)
claim(
    "5.c3",
    "above 50 the server counts instead of naming, and it sends far fewer",
    told[160] < 160 * 159 / 2 / 4,
)

# %% [markdown]
# Twice the people, four times the messages, and nobody has said a word yet. A room of a thousand would begin with half a million. So above 50 members this server stops naming people: it tells how many there are, once a second at most. Every product with presence has such a rule, or has learned why it needs one.
#
# ## Saying one thing to many
# Now the loop itself. If waiting for each member is wrong, then do not wait. Here is the obvious repair, and it is your next exercise.
#
# ### Exercise 5.3 · broadcast
# *Ten minutes.* Write `await broadcast(members, text, patience)`. Each member has `await member.send(text)`, which is usually done at once. It may also take its time, or forever, if the reader is slow, and it raises `ConnectionError` if the reader has gone. Call it once for each member, and return the set of the members that are to be dropped: those whose
# `send` failed, and those whose `send` was not done within `patience` seconds.
#
# - Nobody waits for anybody else: the healthy have the text at once, whoever else is slow or has failed.
# - `members` is the room itself, a set. While you wait, people join it and leave it.
# - When you return, nothing of yours still runs; a `send` that takes too long is cancelled.
# - Whoever cancels `broadcast` gets a `CancelledError`, and every `send` is cancelled with it.
#
# <details><summary>Hint</summary>
#
# Write a small coroutine for one member, which waits for <code>send</code> under <code>asyncio.timeout(patience)</code> and catches what may happen to this one. Then wait for all of them together: <code>asyncio.gather</code> gives their results, in order.
# </details>


# %% tags=["exercise"] exercise="5.3"
async def broadcast(members, text, patience):
    """Send the text to every member at once; returns those who are to be dropped."""

    ### BEGIN SOLUTION
    async def failed(member):
        try:
            async with asyncio.timeout(patience):
                await member.send(text)
        except (ConnectionError, TimeoutError):
            return member

    results = await asyncio.gather(*(failed(member) for member in members))
    return {member for member in results if member is not None}
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("5.3", broadcast)

# %% [markdown]
# That frees the healthy members from the slow one for this message; the next one still has to wait until `patience` is over. For a small room it is good enough. But it makes a task for each member and each message, and a task costs more than the message. There are more ways. The server `broadcast` knows five, and nothing else about them differs:

# %%
from labs.servers import broadcast as ways

for way in ways.WAYS.values():
    print(inspect.getsource(way))

# %% [markdown]
# `websockets.broadcast` writes into the connections' buffers and waits for none of them. The last way goes two steps further: the frame is **encoded once** for all, and whatever is posted within one turn of the event loop is **joined**, and written once for each member. A write costs some microseconds of the kernel's time, and little more for a few kilobytes than for a hundred bytes.
#
# With sixteen messages under way at once in a room of 500: how many times less CPU does the last way need for a delivery than the first?

# %%
my_guess_factor = 50  ### PREDICTION

# %%
points = {
    way: await fanout.latency_and_cpu(way, (10, 100, 500), seconds=0.2)
    for way in fanout.WAYS
}
every = [point for way in points.values() for point in way]
largest = {(point.way, point.in_flight): point for point in every if point.members == 500}

# %%
charts.fanout_latency(
    every,
    models=models,
    title="The last of 500 members waits for 500 writes",
    says="Median delay of the last member among 500, one message at a time: "
    + ", ".join(
        f"{way} {largest[way, 1].last.percentile(50):.1f} ms" for way in fanout.WAYS
    )
    + ".",
)

# %% [markdown]
# The lines are the server's CPU for one delivery times the members. The dots lie above them, because the members, who share one process, need time to count what they get (dashed), and because whatever else this machine does comes on top. Now the price of a delivery, and what joining does to it:

# %%
factor = largest["in_turn", 16].cpu_us / largest["joined", 16].cpu_us
charts.fanout_cpu(
    [point for point in every if point.members == 500],
    title="One write for sixteen messages costs not much more than for one",
    says=f"With sixteen messages under way, the first way needs {factor:.0f} times the CPU of the "
    f"last. Your guess was {'not made' if my_guess_factor is ... else my_guess_factor}.",
)

# %%
# NBVAL_CHECK_OUTPUT
cpu = lambda way, flight: largest[way, flight].cpu_us
claim(
    "5.c4",
    "with one message under way, encoding it once and waiting for nobody costs less than two "
    "thirds of awaiting each in turn; a task for each send costs more than it saves",
    cpu("joined", 1) < 0.67 * cpu("in_turn", 1)
    and cpu("in_turn", 1) < min(cpu("tasks", 1), cpu("gather", 1)),
)
claim(
    "5.c5",
    "with sixteen under way, joining makes a delivery at least four times cheaper, and at least "
    "five times cheaper than the library's broadcast",
    4 * cpu("joined", 16) < cpu("joined", 1)
    and 5 * cpu("joined", 16) < cpu("broadcast", 16),
)
claim(
    "5.c6",
    "the other four gain nothing from company",
    all(
        cpu(way, 16) > 0.5 * cpu(way, 1)
        for way in ("in_turn", "gather", "tasks", "broadcast")
    ),
)

# %% [markdown]
# ## The member who does not read
# Speed was the easier half. Now twenty members of one room get 500 messages of a kilobyte each second, and a twenty-first has stopped reading. For each way, three questions: what do the healthy notice, what does the server keep for the one who sleeps, and what becomes of that one in the end? (The server limits the system's send buffer to 128 KiB for each member. By itself it grows to megabytes, and would hide for many seconds what we want to see.)

# %%
runs = [await fanout.stalled(way, seconds=2.0) for way in fanout.WAYS]
calm = [await fanout.stalled(way, stall=False, seconds=1.0) for way in fanout.WAYS]
asleep = {run.way: run for run in runs}

# %%
charts.fanout_stall(
    runs + calm,
    models=models,
    kernel=asleep["broadcast"].in_system,
    title="Somebody pays for the one who does not read",
    says="With the first two ways the others wait; with the next two the server's memory grows; "
    "with the last one the member who does not read is told to go.",
)

# %%
table(
    [
        "way",
        "p99 of the healthy, ms",
        "without the sleeper",
        "held for one, KiB",
        "missing at the end",
        "the sleeper",
    ],
    *[
        [
            run.way,
            run.latency.percentile(99),
            other.latency.percentile(99),
            run.held / 1024,
            run.missing,
            f"closed with {run.closed}" if run.closed else "still a member",
        ]
        for run, other in zip(runs, calm)
    ],
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "5.c7",
    "who waits for each member, in turn or together, lets one sleeper silence the room",
    all(asleep[way].missing > asleep[way].expected / 2 for way in ("in_turn", "gather")),
)
claim(
    "5.c8",
    "who waits for nobody delivers everything to the healthy; but without a bound the "
    "library's broadcast holds twice as much for the sleeper, and goes on",
    all(asleep[way].missing == 0 for way in ("tasks", "broadcast", "joined"))
    and asleep["broadcast"].held > 2 * asleep["joined"].held,
)
claim(
    "5.c9",
    "the bounded outbox holds less than half a megabyte, and ends it with 1013",
    asleep["joined"].closed == 1013 and asleep["joined"].held < 500_000,
)

# %% [markdown]
# Nothing is free here, and something has to give: either the others wait, or the server's memory grows, or a member is told to go. Which one it is has to be *decided*, and a demonstration that does not decide has chosen the memory. A message that is quietly left out for a slow member would be the fourth possibility, and the worst, because it is a hole that nobody knows of.
# The outbox closes the connection with 1013, *try again later*, and the client comes back when it can. It knows that it has missed something, and in notebook 06 it will be able to ask for it. What the server still holds for it, with the close frame behind, goes when the connection is cut after five seconds.
#
# ### Exercise 5.4 · the outbox
# *Fifteen minutes.* A task for each member and message costs more than the message. Write the class `Outbox`, which needs none. `Outbox(transport, close, limit)` is made for each member, and `put(frame)` is called with every frame (`bytes`) for that member, and returns at once.
#
# - `transport.write(data)` gives bytes to the operating system, and keeps in the transport's own buffer what that does not take yet. `transport.get_write_buffer_size()` says how many bytes are there. Both are asyncio's, and neither waits.
# - A write costs the same for one frame and for twenty. So frames that are put within one turn of the event loop leave in one write, joined, in order, in the turn that follows: `asyncio.get_running_loop().call_soon(function)` calls a function then.
# - At most `limit` bytes may wait for this member: those in the transport's buffer, and those that you have not written yet. When a frame would make it more, the reader is too slow. No frame is ever skipped, so this is the end: call `close(1013)` ("try again later"), once. From then on write nothing, and keep nothing. `close` tells the others that this
#   member has left, and while it does, it may `put` a frame here, too.
#
# <details><summary>Hint</summary>
#
# The first frame of a turn asks for the write, and those that follow only join the list. What waits is the list's bytes and the transport's. When you close, a write may still be due: what will it find?
# </details>


# %% tags=["exercise"] exercise="5.4"
class Outbox:
    """What is on its way to one member: joined within a turn of the event loop, bounded, never skipped."""

    def __init__(self, transport, close, limit):
        ### BEGIN SOLUTION
        self.transport, self.close, self.limit = transport, close, limit
        self.frames, self.waiting, self.closed = [], 0, False
        ### END SOLUTION

    def put(self, frame):
        """Send this frame soon, or close a member that is too slow for it."""
        ### BEGIN SOLUTION
        if self.closed:
            return
        self.waiting += len(frame)
        if self.waiting + self.transport.get_write_buffer_size() > self.limit:
            self.closed, self.frames = True, []
            self.close(1013)
            return
        if not self.frames:
            asyncio.get_running_loop().call_soon(self.flush)
        self.frames.append(frame)

    def flush(self):
        frames, self.frames, self.waiting = self.frames, [], 0
        if frames:
            self.transport.write(b"".join(frames))
        ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("5.4", Outbox)

# %% [markdown]
# ## Break it: the member who vanished
# Cy's laptop was asleep, and a connection was there. This time the connection itself is gone, without a goodbye, as when a train enters a tunnel. Until somebody notices, Cy is in the list of those who are present. The server pings every five seconds in this run. How long does Ben see a ghost?


# %%
async def ghost(launch, ping_s=5):
    async with launch("rooms", ping_s=ping_s) as server:
        ben = await enter(server, "ben", "blue")
        link = await server.via()
        cy = await connect(f"{link.ws}/rooms?name=cy", proxy=None, ping_interval=None)
        await cy.send(json.dumps({"type": "join", "room": "blue"}))
        while json.loads(await ben.recv()).get("joined") != "cy":
            pass
        await asyncio.sleep(7)
        link.black_hole()
        start = now_ns()
        while json.loads(await ben.recv()).get("left") != "cy":
            pass
        return (now_ns() - start) / 1e9


seconds = virtual.run(ghost(virtual.launch))
say(f"Cy left without a word, and was still listed for {seconds:.1f} s.")

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "5.c10",
    "who vanishes is noticed by an unanswered ping, after two intervals at the latest",
    5 <= seconds <= 10,
)

# %% [markdown]
# ## Break it: the member who talks too much
# Cy comes back with a script that says a thousand things at once. The server allows twenty messages a second to each client, and five seconds' worth of them at once, for those who paste a poem. What is too much is answered with an error. Who does not listen to that is closed with 1008, after ten more seconds' worth. How many of the thousand does Ben hear?

# %%
my_guess_heard = 99  ### PREDICTION


# %%
async def a_thousand_at_once(launch, rate=20):
    """How many messages Ben hears, and Cy's close code."""
    async with launch("rooms", rate=rate) as server:
        ben, cy = await enter(server, "ben", "blue"), await enter(server, "cy", "blue")
        try:
            for number in range(1000):
                said = {"type": "message", "room": "blue", "text": str(number)}
                await cy.send(json.dumps(said))
            while True:
                await cy.recv()
        except ConnectionClosed as closed:
            code = closed.rcvd.code
        kinds = []
        while kinds[-1:] != ["left"]:
            message = json.loads(await ben.recv())
            kinds.append("left" if "left" in message else message["type"])
        return kinds.count("message"), code


heard_by_ben, code = virtual.run(a_thousand_at_once(virtual.launch))
say(
    f"Ben heard {heard_by_ben} of 1,000, and Cy was closed with {code}. Your guess was "
    f"{'not made' if my_guess_heard is ... else my_guess_heard}."
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "5.c11",
    "five seconds' worth of messages is let through, the join among them, and then the client is "
    "closed with 1008",
    (heard_by_ben, code) == (5 * 20 - 1, 1008),
)

# %% [markdown]
# ## Who are you?
# Until now a name was whatever the query said. That is fine for a lesson. A real server wants proof, and a WebSocket makes this harder than it looks: a browser's `new WebSocket(url)` cannot set a header of your choice, except for the list of subprotocols, which some products misuse for a token. Four ways are left.
#
# A **secret in the URL** works, and stands in every log from here to there. A **cookie** comes along by itself, from *any* page that the browser lets have it, as you saw in notebook 04. What is left is the **first message**, which says who one is before anything else is accepted, and the **ticket**: the page fetches a random word with an
# ordinary request, which can carry a header, and opens the socket with that word in the URL. It is good for one connection and thirty seconds, so whoever reads it in a log has nothing.


# %%
async def outcome(server, query, first=None):
    """What becomes of a connection: the first thing that it is told, or its close code."""
    async with connect(f"{server.ws}/rooms?{query}", proxy=None) as socket:
        try:
            if first is not None:
                await socket.send(json.dumps(first))
            else:
                await socket.send(json.dumps({"type": "join", "room": "blue"}))
            return json.loads(await socket.recv())["type"]
        except ConnectionClosed as closed:
            return f"closed with {closed.rcvd.code}"


async def ticket(server, secret):
    """A ticket, fetched by an ordinary request, whose header carries the secret."""
    bearer = {"Authorization": f"Bearer {secret}"}
    url = f"{server.url}/ticket"
    async with clients.session() as http, http.get(url, headers=bearer) as response:
        return (await response.json())["ticket"]


# %%
async def at_the_door(launch, secret="correct horse battery"):
    async with launch("rooms", auth={"ada": secret}) as server:
        old = await ticket(server, secret)
        await asyncio.sleep(40)
        fresh = await ticket(server, secret)
        return {
            "only a name in the query": await outcome(server, "name=ada"),
            "first message, wrong secret": await outcome(
                server, "", {"type": "auth", "secret": "open sesame"}
            ),
            "first message, right secret": await outcome(
                server, "", {"type": "auth", "secret": secret}
            ),
            "a ticket": await outcome(server, f"ticket={fresh}"),
            "the same ticket again": await outcome(server, f"ticket={fresh}"),
            "a ticket that is 40 s old": await outcome(server, f"ticket={old}"),
        }


door = virtual.run(at_the_door(virtual.launch))
table(["a client with", "is told"], *door.items())

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "5.c12",
    "a secret in the first message, or a fresh ticket, opens the door, and nothing else does",
    list(door.values())
    == ["closed with 4401"] * 2 + ["welcome", "joined"] + ["closed with 4401"] * 2,
)

# %% [markdown]
# ## The attack, where it hurts
# Of the four ways the cookie is the one that most sites use, since it is there already. Here is a room that does: `labs/servers/cookie_room.py` sets a cookie when one logs in, and whatever comes through
# a socket is said in the name that the cookie stands for. Ada logs in, and later, in another tab, opens a page of Mallory's. Its script opens a socket to the room and says something. It sees no
# cookie and needs none, because her browser adds the cookie by where the request goes. One thing that is often taken for protection does not help here: the cookie is `SameSite=Lax`, which keeps it
# from pages of other *sites*, but a site has no port. Two ports of one host are two origins and one site, and so are `chat.example.com` and `blog.example.com`. The cell below sends what her browser
# would send, to the room with `--trusting`, which does not look at `Origin`, and to the same room as it should be. Before you run it: in which of the four cases does Ben, who sits in the room, hear
# something?


# %%
async def browser(server, name, **page):
    """A socket as this person's browser opens it, after a login, with the cookie."""
    login = {"url": f"{server.url}/login?name={name}", "allow_redirects": False}
    async with clients.session() as http, http.get(**login) as answer:
        cookie = {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}
    return await connect(f"{server.ws}/room", additional_headers=cookie, proxy=None, **page)


async def overheard(server, origin):
    """What Ben hears when a page of this origin speaks in Ada's browser."""
    async with await browser(server, "ben") as in_the_room:
        try:
            async with await browser(server, "ada", origin=origin) as page:
                await page.send("I owe Mallory 1,024")
            return "{name}: {text}".format(**json.loads(await in_the_room.recv()))
        except InvalidStatus as refused:
            return f"{refused.response.status_code} {refused.response.reason_phrase}"


async with launch("cookie_room", "--trusting") as trusts, launch("cookie_room") as lists:
    ours = [await overheard(room, room.url) for room in (trusts, lists)]
    theirs = [await overheard(room, "http://127.0.0.1:8001") for room in (trusts, lists)]
table(["page of", "trusting", "with the list"], ["our own", *ours], ["foreign", *theirs])

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "5.c13",
    "a room that trusts every page hears a foreign one in Ada's name; with the list it is refused, and our own page is not",
    [*ours, *theirs] == ["ada: I owe Mallory 1,024"] * 3 + ["403 Forbidden"],
)

# %% [markdown]
# A foreign page is heard as Ada in the trusting room, and refused before the upgrade in the other; nothing but the comparison of `Origin` differs between the two. The attack is worse than a forged
# form, because a socket is open in both directions: Mallory's page also hears all that the room says from then on. A client of ours stood in for the browser in this cell. To see a real one do it,
# start `.venv/bin/python -m labs.servers.cookie_room --trusting`, open the page that it announces and log in, then serve Mallory's page from another port with `.venv/bin/python -m http.server -b
# 127.0.0.1 -d labs/pages 8001`, and open `http://127.0.0.1:8001/mallory.html?room=127.0.0.1:PORT`, with the room's port, in the same browser. Without `--trusting`, log in again: the page's socket
# never opens. The first message and the ticket of the section above do not have this hole, because the page itself has to know something that a browser does not add.
#
# ## A server that you would run
# The course's rooms server has what a workshop needs. `.venv/bin/python -m labs.servers.rooms --help` lists it: address and port, allowed origins, TLS with `--cert` and `--key`, authentication, limits for rooms, members, sizes and rates, and a log of one JSON object a line with `--log json`. And it tells what it is doing, in the format that Prometheus reads:

# %%
async with clients.session() as http, http.get(f"{server.origin}/metrics") as response:
    print(await response.text())

# %%
for socket in (ada, ben):
    await socket.close()
await server.stop()

# %% [markdown]
# ## Your own frames, at full speed
# The library has been good to us. But in notebook 04 you wrote a codec, and the rooms server can run on the course's own, which is of the same kind: `--engine raw` puts `labs/frames.py` under an `asyncio.Protocol`, with the same rooms and the same outbox above it. Here are both engines with 500 members in one room. Where will the difference be larger, in the CPU for a delivery or in the memory for a member?

# %%
my_guess = "memory"  ### PREDICTION: "CPU" or "memory"

# %%
points, memory = await fanout.engines(members=500)
engine = {(point.way, point.in_flight): point.cpu_us for point in points}
kib = {way: size / 1024 for way, size in memory.items()}
table(
    ["engine", "µs for a delivery, 1 under way", "16 under way", "KiB for an idle member"],
    *[[way, engine[way, 1], engine[way, 16], kib[way]] for way in ("websockets", "raw")],
)
say(f"Your guess was {'not made' if my_guess is ... else my_guess}.")

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "5.c14",
    "on our own frames a member who is silent needs less than a third of the memory",
    memory["raw"] < memory["websockets"] / 3,
)

# %% [markdown]
# The price of a delivery is about the same, since both share the outbox, which encodes once, joins what belongs together, has no task and no queue for each member, and writes straight to the kernel while nothing waits. What a protocol of your own saves is the memory of everything that a general library keeps for each connection, just in case; and against the raw server of notebook 04, which has a task and two streams for each, it saves those as well.
# The tests' README sets both beside Node and Bun, which people install for speed. You should use the library all the same, until a measurement of your own says that this is where your money goes.
#
# ## Your own rooms server
#
# ### Exercise 5.5 · your rooms server
# *Forty minutes, end to end.* Now put your pieces together. Write `make_chat()`, which returns an `async def chat(socket)`, the handler that the `websockets` library calls for each connection: `serve(make_chat(), "127.0.0.1", port, compression=None)`. What the connections share, a `Registry` for example, belongs inside of `make_chat`, so that every server begins empty. `Member` stands in the cell
# already: a member has a `name`, and an `outbox`, which is yours. `encode(Opcode.TEXT, payload)` from notebook 04 makes the frame to put into it: encode once, and put the same bytes into every outbox.
#
# - `async for text in socket` gives what the client sends. It ends when the client leaves, and raises `ConnectionClosedError` when the client vanishes.
# - `{"type": "join", "room": "blue"}` is answered with `{"type": "joined", "room": "blue", "members": […]}`, the names of all who are there, the newcomer's own too, in any order; who joins twice is answered again, and nobody else is told. The others are told `{"type": "presence", "room": "blue", "joined": "ada"}`.
# - `{"type": "leave", "room": "blue"}` is answered with `{"type": "left", "room": "blue"}`. The others are told `{"type": "presence", "room": "blue", "left": "ada"}`, and they are told the same when a connection ends, in whatever way.
# - `{"type": "message", "room": "blue", "text": "hi"}`: everyone in the room, the sender too, gets `{"type": "message", "room": "blue", "id": 7, "sender": "ada", "text": "hi", "at": now_ns()}`. In each room the ids are 1, 2, 3 and so on, and everyone gets them in that order. There is no other reply.
# - Whatever else comes is answered with an error, and the connection lives on: a text that is not a string, a room one is not in, and all that `dispatch` refuses.
#
# The check sends twenty clients that do not use the `websockets` library. One vanishes without a word, one sends rubbish, and the others must not notice. One stops reading, and is closed with 1013 when more than `100_000` bytes wait for it; your `Outbox` sees to that, and `Member.close`. At the end the check does the same on real sockets.
#
# <details><summary>Hint</summary>
#
# A handler for each type takes the member and the message; <code>functools.partial(join, member)</code> turns it into one that <code>dispatch</code> can call, and a handler without a reply returns <code>None</code>. <code>rooms.members(…)</code> already refuses a name that is none. Replies go through the outbox, too: what is sent past it overtakes what waits in it.
# </details>

# %% tags=["exercise", "uses-earlier"] exercise="5.5"
from urllib.parse import parse_qs, urlsplit
from websockets.protocol import State


class Member:
    """One connection: its name, what is on its way to it, and the transport for that."""

    def __init__(self, socket):
        self.socket = socket
        self.name = parse_qs(urlsplit(socket.request.path).query)["name"][0]
        self.outbox = Outbox(self, self.close, limit=100_000)

    def get_write_buffer_size(self):
        return self.socket.transport.get_write_buffer_size()

    def write(self, data):
        if (
            self.socket.state is State.OPEN
        ):  # after a close frame nothing may follow: RFC 6455 §5.5.1
            self.socket.transport.write(data)

    def close(self, code):
        """Say why, after what waits; a reader that does not even take that is cut off after five seconds."""
        asyncio.get_running_loop().call_later(5, self.socket.transport.abort)
        self.closing = asyncio.create_task(self.socket.close(code))


def make_chat():
    """A rooms server: the handler for its connections."""
    ### BEGIN SOLUTION
    rooms, last_ids = Registry(), {}

    def tell(members, message):
        frame = encode(Opcode.TEXT, json.dumps(message).encode())
        for member in members:
            member.outbox.put(frame)

    def join(member, message):
        room = message.get("room")
        presence = {"type": "presence", "room": room, "joined": member.name}
        tell(rooms.join(room, member), presence)
        names = sorted(one.name for one in rooms.members(room))
        return {"type": "joined", "room": room, "members": names}

    def leave(member, message):
        room = room_of(member, message)
        told_to_leave(member, room, rooms.leave(room, member))
        return {"type": "left", "room": room}

    def say(member, message):
        room, text = room_of(member, message), message.get("text")
        if not isinstance(text, str):
            raise ValueError("a message has a text")
        last_ids[room] = number = last_ids.get(room, 0) + 1
        stamp = {"id": number, "sender": member.name, "text": text, "at": now_ns()}
        tell(rooms.members(room), {"type": "message", "room": room, **stamp})

    def room_of(member, message):
        if member not in rooms.members(message.get("room")):
            raise ValueError("join the room first")
        return message["room"]

    def told_to_leave(member, room, others):
        tell(others, {"type": "presence", "room": room, "left": member.name})
        if not others:
            last_ids.pop(room, None)  # nobody is there any more

    async def chat(socket):
        member = Member(socket)
        handlers = {"join": join, "leave": leave, "message": say}
        handlers = {name: partial(handler, member) for name, handler in handlers.items()}
        try:
            async for text in socket:
                reply = dispatch(text, handlers)
                if reply:
                    tell([member], reply)
        except ConnectionClosedError:
            pass
        finally:
            for room, others in rooms.leave_all(member).items():
                told_to_leave(member, room, others)

    return chat
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("5.5", make_chat)

# %% [markdown]
# ## In the wild
# This function, rewritten here, tells a room that somebody has left. It ran for months. Then, one evening, one person left while another one's connection was broken, and the room was dead until the next deployment. Find out why before you unfold the answer.
#
# ```python
# async def on_disconnect(member):
#     room = rooms[member.room]
#     for other in room:
#         await other.send({"type": "left", "name": member.name})
#     room.remove(member)
# ```
#
# <details><summary>The faults</summary>
#
# The member is removed only after the others have been told, and one of them may raise, because its connection has just broken. Then the loop ends, nobody after it hears anything, and the one who left stays in the room forever. From then on every broadcast to this room meets a dead connection and fails in the same way. Remove first, then tell. Tell each one so that
# its failure stays its own. And do not iterate over a set that changes while you wait.
# </details>
#
# ## When is it right?
# One server is enough for longer than people think. You have just measured what a delivered message costs; divide a second by it, and you know how many deliveries a core can do. What one server cannot do is survive its own restart without anybody noticing, or be in two places at once. When you need that, you need the next notebook, and not before.
#
# ## What this does not show
# All members were on this machine, and they shared its two or more cores with the server. Over a real network a write costs the same, but a slow reader is slow in more interesting ways. There was no TLS in the measurements; it adds a copy and the encryption of every byte *for each member*, so that encoding once no longer saves all of it. And nothing was stored: who comes
# back to a room has missed what was said. The feed of the earlier notebooks has cursors for that, and rooms get them in notebook 06.
#
# ## Key points
# - Never await one member's send in a loop that serves the others.
# - A message has a type. What is wrong with it is answered, and the connection lives on; a bug of your own is not the client's fault.
# - Presence costs n². Above some size, count.
# - Encode once, join what belongs to one turn, write once for each member.
# - A slow member costs somebody: the others, your memory, or its own connection. Decide which, and say so.
# - A cookie also comes when a foreign page asks: compare `Origin`. The first message, or a ticket, come from your page alone.
#
# ## Five questions to take away
# <details><summary>Why does <code>asyncio.gather</code> over all sends not solve the problem of the slow member?</summary>
#
# The healthy ones get this message at once, but <code>gather</code> returns when the slowest is done, so the next message has to wait. With a time limit it does solve it, at the price of a task for each send.
# </details>
#
# <details><summary>What does <code>websockets.broadcast</code> do with a member who has stopped reading?</summary>
#
# It goes on writing into that connection's buffer in the server's memory, without a bound, until the ping finds out that nobody answers.
# </details>
#
# <details><summary>Your server names everybody in a room. What happens when it is restarted with 300 people in one room?</summary>
#
# All of them join again, and each is told about each who comes later: about 45,000 messages, before anybody has said a word.
# </details>
#
# <details><summary>Why is the ticket better than a token in the URL, although it stands in the URL as well?</summary>
#
# It has been used when anybody could read it in a log. It opens one connection, and it is too old after half a minute.
# </details>
#
# <details><summary>Which saves more: encoding a message once instead of five hundred times, or joining sixteen messages into one write?</summary>
#
# Joining, as soon as there is something to join: the write costs more than the encoding. With a single message under way there is nothing to join, and the encoding is what is left to save.
# </details>
#
# <details><summary><b>For instructors</b></summary>
#
# **Time.** The cells run for about a minute in total. Plan 90 minutes: 35 for reading, predicting and measuring, 55 for exercises 5.1 to 5.4; 5.5 is for afterwards. The minutes for people are our estimate; the seconds for machines were measured.
#
# **In class.** Start the rooms server on your own machine with `--host 0.0.0.0` and an `--origin` for the address that the class will use, and let everybody join one room from their browsers. Watch the presence messages on the projector as they come in. Then ask one person to put the laptop to sleep.
#
# **Where people stumble.** In 5.2 they leave the empty room behind. In 5.3 they iterate over the live set. In 5.4 the write that is still due after the closing. In 5.5 they send replies past the outbox, and overtake what waits in it.
#
# **Discuss.** What should a client do when it is closed with 1013, and what if all of them do it at the same moment?
# </details>
#
# **Next:** 06 · Redis fan-out
