# %% [markdown]
# # 06 · Redis fan-out
# *After this notebook you can put a second server beside the first, and you can say of every message what happens to it when something breaks.*
#
# One server has been enough so far. There comes a day when it is not: it is full, or it has to be restarted while people are talking, or it stands in Dublin and half of the people in Singapore. So you start a second one, and the first thing that happens is that people in the same room no longer hear each other.
#
# Joining servers is easy. Saying what "delivered" means afterwards is not, and that is what this notebook is about. It uses a real Redis all the way, several real server processes, and real kills.

# %% tags=["setup"]
import sys

sys.path.insert(0, "..")
import asyncio, json
import redis.asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from labs import charts, measure, models, scaling, two_rooms
from labs.bus import delivery, redis_process
from labs.balancer import Balancer
from labs.checks import check, claim
from labs.bus.cluster_loss import cluster_loss
from labs.clock import now_ns
from labs.feed import Gone
from labs.launch import launch
from labs.prose import say, table

# %% [markdown]
# ## The naive version first
# Two servers, one room. Ada is connected to the first one, Ben to the second. Ada says hello, and after two seconds we ask Ben what he has heard.


# %%
async def enter(server, name, room="blue"):
    """One more member: connected, and in the room."""
    socket = await connect(f"{server.ws}/rooms?name={name}", proxy=None, compression=None)
    await socket.send(json.dumps({"type": "join", "room": room}))
    while json.loads(await socket.recv())["type"] != "joined":
        pass
    return socket


async def talk(socket, text, room="blue"):
    await socket.send(json.dumps({"type": "message", "room": room, "text": text}))


async def heard(socket, seconds=2.0):
    """The texts that arrive within so many seconds."""
    texts = []
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = json.loads(await socket.recv())
                if message["type"] == "message":
                    texts.append(message["text"])
    except TimeoutError:
        return texts


# %%
async def until(holds, seconds=10):
    """Wait until something holds, for so long at most."""
    for _ in range(round(seconds / 0.02)):
        if holds():
            return
        await asyncio.sleep(0.02)


# %%
async with launch("rooms") as first, launch("rooms") as second:
    ada, ben = await enter(first, "ada"), await enter(second, "ben")
    await talk(ada, "hello?")
    alone = {"ada": await heard(ada), "ben": await heard(ben)}
alone

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "6.c1",
    "two servers that do not know of each other are two different rooms",
    alone == {"ada": ["hello?"], "ben": []},
)

# %% [markdown]
# Each server has a room called blue, in its own memory. What is missing is a place outside of both, to which a server can say something so that the others hear it.
#
# ## Redis in one minute
# **Redis** is a server that keeps simple data structures in memory and does one thing after the other, very quickly. It is used as three things, and you will meet all of them: as a loudspeaker (**publish and subscribe**), as a **queue**, and as **memory that several servers share**. The next cell starts one: yours, if there is a `redis-server` on this machine, or else
# the one that was installed with the course. It keeps nothing on disk, and it ends with this notebook.

# %%
store = await redis_process.redis()
one, other = redis.asyncio.from_url(store.url), redis.asyncio.from_url(store.url)
ear = other.pubsub()
await ear.subscribe("room:blue")
print(await ear.get_message(timeout=1))
print("receivers:", await one.publish("room:blue", "hello?"))
print(await ear.get_message(timeout=1))

# %% [markdown]
# Three things in these lines matter later. A subscription is **confirmed**: the first thing that comes is of type `subscribe`, and whatever was published before it is gone for this reader. `PUBLISH` answers with the **number of receivers**, which may be none. And Redis forgets a message as soon as it has been handed out. There is no "since" here, as our feeds have; who was not
# listening has missed it.

# %%
await ear.unsubscribe("room:blue")
print("receivers:", await one.publish("room:blue", "is nobody there?"))
await ear.aclose(), await one.aclose(), await other.aclose()
# %% [markdown]
# ## One subscription for each room and server
# Every server could subscribe to everything and throw away what nobody on it wants. With two servers that is fine. With twenty, each of them reads all the traffic of all. So a server subscribes to a room when the first of its members joins it, and unsubscribes when the last one has left. That sounds like two lines, and it is the place where most implementations lose messages.
#
# ### Exercise 6.1 · the first member and the last
# *Fifteen minutes.* A server subscribes to a room for the first of its members there, and unsubscribes after the last. Write the class `Subscriptions`. It is given two functions: `await subscribe(room)` and `await unsubscribe(room)` return when Redis has confirmed it, which takes a while, and meanwhile others come and go.
#
# - `await join(room, member)` returns when the room is subscribed and the member is counted in. Not earlier: a member that has joined must miss nothing that is said from then on. This also holds for the second member, who comes while the subscription for the first is still on its way.
# - `await leave(room, member)` takes the member out. If it was the last, the room is unsubscribed when this returns. Who is not in the room can leave without effect, and who has joined twice leaves once.
# - Each subscription is made once, however many come at the same moment. Two calls for the same room that are on their way together may take effect in any order. So a join that comes while `unsubscribe` is on its way has to wait for that, and then subscribes anew.
# - `subscribe` may fail, or be cancelled because the client has gone. Then this `join` has failed and raises the same, and nothing is left half done: whoever joins next, or has been waiting meanwhile, does not rely on a subscription that is not there. `unsubscribe` does not fail.
# - Rooms do not wait for one another, and what is over leaves nothing behind.
#
# <details><summary>Hint</summary>
#
# One <code>asyncio.Lock</code> for each room, held over the whole of <code>join</code> and <code>leave</code>, puts everything in line. Put a member in only after <code>subscribe</code> has returned. In a <code>weakref.WeakValueDictionary()</code> a lock stays as long as somebody holds it or waits for it, and then goes by itself; <code>locks.setdefault(room, asyncio.Lock())</code> is the room's lock.
# </details>

# %% tags=["exercise"] exercise="6.1"
from weakref import WeakValueDictionary


class Subscriptions:
    """Keeps a room subscribed for as long as it has a member on this server."""

    def __init__(self, subscribe, unsubscribe):
        ### BEGIN SOLUTION
        self.subscribe, self.unsubscribe = subscribe, unsubscribe
        self.members, self.locks = {}, WeakValueDictionary()
        ### END SOLUTION

    async def join(self, room, member):
        """Into the room; when this returns, the room is subscribed. Raises what `subscribe` raises."""
        ### BEGIN SOLUTION
        async with self.locks.setdefault(room, asyncio.Lock()):
            if room not in self.members:
                await self.subscribe(room)
            self.members.setdefault(room, set()).add(member)
        ### END SOLUTION

    async def leave(self, room, member):
        """Out of the room; when this returns and nobody is left, the room is unsubscribed."""
        ### BEGIN SOLUTION
        async with self.locks.setdefault(room, asyncio.Lock()):
            members = self.members.get(room, set())
            if members == {member}:
                del self.members[room]
                await self.unsubscribe(room)
            members.discard(member)
        ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("6.1", Subscriptions)

# %% [markdown]
# ## Joined
# The course's server `redis_fanout` is the rooms server of the last notebook with a bus behind it. Start two, and ask Ben again:

# %%
channel = ("--redis", store.url, "--rate", "0")
first, second = [await launch("redis_fanout", *channel) for _ in range(2)]
ada, ben = await enter(first, "ada"), await enter(second, "ben")
await talk(ada, "hello?")
joined = {"ada": await heard(ada), "ben": await heard(ben)}
joined

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "6.c2",
    "joined by Redis, they are one room, and each member hears a message once",
    joined == {"ada": ["hello?"], "ben": ["hello?"]},
)

# %% [markdown]
# How much later does Ben hear it than somebody on Ada's own server? A message now travels from the server to Redis and back, foreverybody, Ada included. On this machine that is a few hops over loopback, and what they cost is mostly waking up another process. Guess the added median in milliseconds:

# %%
my_guess_ms = 1.0  ### PREDICTION


# %%
async def one_way(speaker, listener, messages=300):
    """Milliseconds from speaking to hearing, one message at a time."""
    delays = []
    for number in range(messages):
        sent = now_ns()
        await talk(speaker, f"{sent}")
        while True:
            message = json.loads(await listener.recv())
            if message["type"] == "message" and message["text"] == f"{sent}":
                break
        delays.append((now_ns() - sent) / 1e6)
        await asyncio.sleep(0.002)
    return measure.Latencies(tuple(delays))


async with launch("rooms", "--rate", "0") as single:
    amy, bo = await enter(single, "amy"), await enter(single, "bo")
    local = await one_way(amy, bo)
across = await one_way(ada, ben)
table(
    ["", "median, ms", "p99, ms"],
    ["one server, no Redis", local.percentile(50), local.percentile(99)],
    ["two servers, through Redis", across.percentile(50), across.percentile(99)],
)
say(
    f"The hop adds {across.percentile(50) - local.percentile(50):.2f} ms; your guess was "
    f"{'not made' if my_guess_ms is ... else f'{my_guess_ms} ms'}."
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "6.c3",
    "going through Redis takes longer than staying in one process, and not a tenth of a second",
    local.percentile(50) < across.percentile(50) < 100,
)

# %% [markdown]
# ## Once, and in one order
# There is a shortcut that many take. A server that has received Ada's message could tell its own members at once, and leave only the others to Redis. It would save them the hop. It also tells them twice, because Redis sends a message to all that have subscribed, and the server is one of them. And even if that is repaired, something remains that is harder to see.
#
# ### Exercise 6.2 · once, and everywhere in the same order
# *Ten minutes.* What a server publishes, Redis sends to all that are subscribed, and that server is one of them. So a server that hands a message to its own members at once, and also what comes from Redis, tells them twice. Skipping what comes back would repair the count and leave another fault: when two people speak at the same moment on two servers, each server's members hear their own
# first. Two members of one room then remember two different conversations, and in a game or an auction that is a dispute. Here the order must be the same everywhere, and there is one place that all messages pass, one after the other: Redis. Write the class `Relay`:
#
# - `Relay(server_id, publish, deliver)`: `await publish(payload)` sends a text to all servers through Redis, to this one too. `deliver(room, text)`, a plain function, hands a message to the members here.
# - `await say(room, text)`: a member here has said something. The payload is JSON, `{"from": server_id, "room": room, "text": text}`; other programs read it, too.
# - `received(payload)`, a plain function, is called with every payload that comes from Redis, in order. Not all of it need be good, and an exception here would end the reading forevery room: what is not such an object changes nothing. Room and text are strings; a `from` may be missing or be anything.
# - When `publish` raises, let it pass, and do nothing else about it: nobody knows whether the message has gone out.
#
# Somebody may well say the same thing twice, and that is two messages.
#
# <details><summary>Hint</summary>
#
# If everything is delivered in the order in which it comes from Redis, who may deliver, and when? Then both methods are short.
# </details>


# %% tags=["exercise"] exercise="6.2"
class Relay:
    """Between the members on this server and all servers of the conversation."""

    def __init__(self, server_id, publish, deliver):
        ### BEGIN SOLUTION
        self.server_id, self.publish, self.deliver = server_id, publish, deliver
        ### END SOLUTION

    async def say(self, room, text):
        """Tell everyone in the room, on all servers. Raises what `publish` raises."""
        ### BEGIN SOLUTION
        message = {"from": self.server_id, "room": room, "text": text}
        await self.publish(json.dumps(message))
        ### END SOLUTION

    def received(self, payload):
        """Redis has sent this: hand it to the members here if it is a message."""
        ### BEGIN SOLUTION
        try:
            message = json.loads(payload)
            room, text = message["room"], message["text"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return
        if isinstance(room, str) and isinstance(text, str):
            self.deliver(room, text)
        ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("6.2", Relay)

# %% [markdown]
# ## Break it: Redis is gone for a second
# Everything now hangs on one more process. The next cell says a number every ten milliseconds on one server, and a reader on the other one counts. After a second Redis is killed, with `kill -9`, and half a second later it is started again, empty. How many of 300 messages are not heard in time, that is, not within a tenth of a second, or never?

# %%
my_guess_missing = 50  ### PREDICTION


# %%
async def through_a_restart(delivery, messages=300):
    """Speak every 10 ms while Redis is killed and restarted: what arrived, and how often a gap was told."""
    async with redis_process.redis(durable=delivery == "streams") as own:
        options = ("--redis", own.url, "--delivery", delivery, "--rate", "0")
        left, right = [await launch("redis_fanout", *options) for _ in range(2)]
        speaker, listener = await enter(left, "ada"), await enter(right, "ben")
        listening = asyncio.create_task(collect(listener))
        for number in range(messages):
            await talk(speaker, f"{number} {now_ns()}")
            await asyncio.sleep(0.01)
            if number == 100:
                await own.kill()
            if number == 150:
                await own.restart()
        await asyncio.sleep(2)
        listening.cancel()
        arrived, gaps = await listening
        await left.stop(), await right.stop()
        return arrived, gaps


# %%
async def collect(socket):
    """Until cancelled: each number with its delay in seconds, and how often there was word of a gap."""
    arrived, gaps = [], 0
    try:
        while True:
            message = json.loads(await socket.recv())
            if message["type"] == "message":
                number, sent = map(int, message["text"].split())
                arrived.append((number, (now_ns() - sent) / 1e9))
            gaps += message["type"] == "gap"
    except asyncio.CancelledError:
        return arrived, gaps


arrived, gaps = await through_a_restart("pubsub")
numbers = [number for number, _ in arrived]
in_time = [number for number, delay in arrived if delay < 0.1]
say(
    f"{300 - len(in_time)} of 300 were not heard in time, and of these {300 - len(numbers)} "
    f"never. The reader was told of {gaps} gap{'s' * (gaps != 1)}. Your guess was "
    f"{'not made' if my_guess_missing is ... else my_guess_missing}."
)

# %%
shown = range(70, 190, 5)
charts.strip(
    {
        "heard in time": [number for number in shown if number in in_time],
        "heard at all": [number for number in shown if number in numbers],
    },
    published=shown,
    title="While Redis is away, nobody hears anybody",
    caption="Every fifth message around the restart; Redis killed after 100, started after 150.",
    says=f"Not heard in time: {300 - len(in_time)} of 300. Never heard: {300 - len(numbers)}.",
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "6.c4",
    "while Redis is away, what is said arrives late or never",
    sum(number in in_time for number in range(105, 150)) < 25,
)
claim("6.c5", "the reader is told that there is a gap", gaps >= 1)
claim(
    "6.c6",
    "what does arrive is in order, and nothing comes twice",
    numbers == sorted(set(numbers)),
)

# %% [markdown]
# Run it a few times, and the middle number changes. The speaker's server keeps for a while what it could not send, and sends it when Redis is back. Whether anybody hears it *then* depends on who has come back first, the speaker or the listener. Redis itself keeps nothing for those who are not there.
#
# Losing messages is a decision that one can live with; a chat is not a bank. **Not knowing** that they were lost is another matter, and it is what most programs do: the library reconnects, subscribes again, and says nothing. Two things give the loss away. A subscription that is confirmed a *second* time tells that there was a break in between. And a `PUBLISH` that is answered with
# 0 receivers, when there should be at least one, tells the other side. The course's bus watches both, and the server passes it on to the clients as a message of type `gap`.
#
# Try it by hand. Here are two chat pages on two servers, with one switch for the Redis between them. Talk, kill it, talk, start it again, and look for the mark that says that messages may be missing:

# %%
stage = await redis_process.redis(ours=True)
pair = [await launch("redis_fanout", "--redis", stage.url) for _ in range(2)]
board = await two_rooms.show(pair, stage)
board.page()

# %% [markdown]
# With `"--delivery", "streams"` in the second line, and `durable=True` instead of `ours=True` in the first, the same pages miss nothing, and no mark appears.
#
# ## A list that remembers
# A Redis **Stream** is a list to which one appends (`XADD`), from which one reads ranges (`XRANGE`), and at whose end one can wait (`XREAD`). Its entries have ids that grow, it is cut off at a length, and it is written to disk if Redis has been told so. You know this thing. It is the feed of notebook 01, with cursor and epoch, in another process:

# %%
text = redis.asyncio.from_url(store.url, decode_responses=True)
for said in ("one", "two", "three"):
    await text.xadd("demo", {"m": said})
entries = await text.xrange("demo")
print(entries)
print(await text.xread({"demo": entries[0][0]}))
await text.aclose()

# %%
arrived, gaps = await through_a_restart("streams")
numbers = [number for number, _ in arrived]
say(
    f"Over Streams {300 - len(set(numbers))} of 300 messages were lost and "
    f"{len(numbers) - len(set(numbers))} came twice, with the same kill."
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "6.c7",
    "over Streams, on a Redis that writes to disk, nothing is lost and nothing comes twice",
    numbers == list(range(300)),
)

# %% [markdown]
# It costs something. Each message is kept, and written; the reader has to hold a position; and somebody has to say *Gone* when the position is no longer there.
#
# ### Exercise 6.3 · snapshot, then follow
# *Fifteen minutes.* A Redis Stream keeps the newest entries of a room under numbers without holes. Somebody comes back with the id of the last entry that they have, or for the first time with none. Write the async generator `snapshot_then_follow(stream, cursor)`, which yields each entry that the reader does not have, in order, and then goes on with what comes. Nothing may fall into the gap between the two,
# and at every `await` somebody may be speaking.
#
# - An id has an `epoch`, a random word which a Redis that has lost its memory replaces by another, and a `number`. `cursor` is such an id, or `None`. Entries have a `number` and a `text`.
# - `await stream.last_id()` is the id of the newest entry that there has ever been in this epoch, even if it is no longer kept.
# - `await stream.range(after, until)` is the list of those kept entries whose number is greater than `after` and at most `until`. It does not wait.
# - `await stream.read(after)` waits until there is an entry whose number is greater than `after`, and returns the list of those that are kept.
#
# Redis never says that something is missing; it gives what it has. You are the one who notices. If the cursor is of another epoch, or if an entry that the reader should get is no longer kept, raise `Gone` instead of skipping it, and raise it at once, not when the next entry happens to come. This also goes for a reader who is so slow while following that entries have gone before they were read. A reader without a cursor has missed
# nothing yet, and begins with the oldest entry that is kept.
#
# <details><summary>Hint</summary>
#
# Ask for the newest id first: everything up to it is the snapshot, and everything after it is yours to follow, whatever happens meanwhile. Numbers have no holes, so you know how many entries a range must have, and which number comes next.
# </details>


# %% tags=["exercise"] exercise="6.3"
async def snapshot_then_follow(stream, cursor):
    """Yield the entries after the cursor, and then the new ones as they come. Raises Gone if one is missing."""
    ### BEGIN SOLUTION
    newest = await stream.last_id()
    if cursor and cursor.epoch != newest.epoch:
        raise Gone("this Redis knows nothing of that cursor")
    last = cursor.number if cursor else 0
    missed = await stream.range(last, newest.number)
    if cursor and len(missed) < newest.number - last:
        raise Gone("some of it is no longer kept")
    for entry in missed:
        yield entry
    last = newest.number
    while True:
        for entry in await stream.read(last):
            last += 1
            if entry.number != last:
                raise Gone("some of it was no longer kept when it was read")
            yield entry
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("6.3", snapshot_then_follow)

# %% [markdown]
# ## The same thing twice
# Why was nothing doubled? It could have been. When Redis died, some message had just been appended, and its answer was still on the way. The publisher knows only that no answer came. If it does not send again, it may lose a message, and if it does, it may double one. There is no third way: this is what **at least once** means. *Exactly once* is at least once, plus a reader who recognizes
# copies. For that a message needs an id of its own that its *client* has given it, since an id that Redis gives is another one each time.
#
# ### Exercise 6.4 · seen before
# *Ten minutes.* A publisher that gets no answer cannot know whether its message was lost or only the answer. So it sends it again, with the same id, and whoever reads drops the copy. For that the reader has to remember ids, and it cannot remember all of them. Write the class `Seen`: `Seen(limit)`, and `first(sender, id)`, which returns `True` for a message that is new, and `False` for a copy.
#
# - Each client numbers its own messages, so `("ada", "1")` and `("bob", "1")` are different messages. Both parts are text, and any text.
# - A message is known for as long as fewer than `limit` new ones have come after it, whoever sent them. Copies are not counted: they push nothing out.
# - After that it may be forgotten, and in all no more than two times `limit` ids are remembered, however many messages and however many senders there are. A message that has never been there is always new.
# - It is asked forevery message, so it should not search through everything that it remembers.
#
# <details><summary>Hint</summary>
#
# A <code>set</code> finds quickly and has no order; a list has an order and finds slowly. A <code>collections.OrderedDict</code> does both: <code>popitem(last=False)</code> takes out the oldest.
# </details>

# %% tags=["exercise"] exercise="6.4"
from collections import OrderedDict


class Seen:
    """The last messages, so that copies of them are found out."""

    def __init__(self, limit):
        ### BEGIN SOLUTION
        self.limit, self.known = limit, OrderedDict()
        ### END SOLUTION

    def first(self, sender, id):
        """Whether this message has not been there before, as far as is remembered."""
        ### BEGIN SOLUTION
        if (sender, id) in self.known:
            return False
        self.known[sender, id] = None
        if len(self.known) > self.limit:
            self.known.popitem(last=False)
        return True
        ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("6.4", Seen)

# %% [markdown]
# ## The delivery ladder
# All of it together. One script of faults, four ways to join the servers: answers that are lost on the way, so that publishers send again; Redis killed, with the publishers back before the readers; a reader that stops for so long that Redis drops it, because its output buffer has reached its limit. Every step of the script waits for the one before it, so what happens to
# each message can be predicted. Look at the first row before you run the cell, and fill in the others in your head.

# %%
records = await delivery.ladder(seed=1)
numbers_of = lambda counts: [
    counts.lost,
    counts.doubled,
    counts.reordered,
    counts.undetected,
]
table(
    [
        "rung",
        "published",
        "lost",
        "doubled",
        "reordered",
        "lost and not told",
        "as predicted",
    ],
    *[
        [
            record.rung,
            record.published,
            *numbers_of(record.counted),
            "yes" if record.counted == record.predicted else "no",
        ]
        for record in records
    ],
)

# %%
# NBVAL_CHECK_OUTPUT
rung = {record.rung: record.counted for record in records}
claim(
    "6.c8",
    "every rung loses, doubles and reorders exactly what the script predicts",
    all(record.counted == record.predicted for record in records),
)
claim(
    "6.c9",
    "Pub/Sub loses, and tells of it only if somebody watches for it",
    rung["Pub/Sub"].undetected > 0
    and rung["Pub/Sub, gaps told"].lost > 0
    and rung["Pub/Sub, gaps told"].undetected == 0,
)
claim(
    "6.c10",
    "Streams lose nothing and double something; with copies dropped, nothing is wrong",
    rung["Streams"].lost == 0
    and rung["Streams"].doubled > 0
    and numbers_of(rung["Streams, copies dropped"]) == [0, 0, 0, 0],
)

# %% [markdown]
# Read the table as a price list. Each rung costs more than the one before it, in Redis' memory, in writes to a disk, in code. A typing indicator lives well on the first rung. A chat with a history in a database lives on the second, and asks the database when it is told of a gap. Money does not live here at all.
#
# Where does *reordered* come from? From a publisher that starts a task for each message, since tasks that wait for a connection are woken in an order that nobody promised:

# %%
order = await delivery.overtaking(messages=100)
table(
    ["publishing by", "of 100 messages overtaken"],
    *[[way, counts.reordered] for way, counts in order.items()],
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "6.c11",
    "a task for each message reorders; one line of messages does not",
    [counts.reordered > 0 for counts in order.values()] == [True, False],
)

# %% [markdown]
# One task that writes everything, in order, without waiting for each answer, is also the fastest, because what has piled up goes out in one write. You have seen this twice now.
#
# ## A server is killed, and its people move
# Ada's server is killed with `kill -9`, while people talk. Her client connects to the other server and says what it has seen last. With Streams the position is good on every server, because it is Redis that keeps the list:


# %%
async def killed_while_talking(messages=120):
    async with redis_process.redis(durable=True) as own:
        options = ("--redis", own.url, "--delivery", "streams", "--rate", "0")
        async with (
            launch("redis_fanout", *options) as left,
            launch("redis_fanout", *options) as right,
        ):
            speaker, listener = await enter(right, "ben"), await enter(left, "ada")
            numbers, cursor = [], None
            for number in range(messages):
                await talk(speaker, str(number))
                await asyncio.sleep(0.005)
                if number == messages // 2:
                    left.host.popen.kill()
            async with asyncio.timeout(10):
                while len(numbers) < messages:
                    try:
                        message = json.loads(await listener.recv())
                    except ConnectionClosed:
                        listener = await connect(f"{right.ws}/rooms?name=ada", proxy=None)
                        again = {"type": "join", "room": "blue", "after": cursor}
                        await listener.send(json.dumps(again))
                        continue
                    cursor = message.get("cursor", cursor)
                    if message["type"] == "message":
                        numbers.append(int(message["text"]))
            return numbers


numbers = await killed_while_talking()

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "6.c12",
    "whose server is killed goes on at another one: nothing lost, nothing twice, in order",
    numbers == list(range(120)),
)

# %% [markdown]
# ## The other two uses of Redis
# A **queue** is for work that one of many workers should do, once. A list would do, but a worker that takes an item and dies takes the item along. A Stream with a **consumer group** hands out each entry to one worker and remembers it until that worker acknowledges it; what is not acknowledged can be claimed by another.

# %%
from labs.bus.work_queue import Queue

client = redis.asyncio.from_url(store.url, decode_responses=True)
tasks = [f"task {number}" for number in range(10)]


async def from_a_list(done, dies_at=None):
    """A worker that takes from a plain list, and may be killed in the middle of a task."""
    while task := await client.lpop("list"):
        if len(done) == dies_at:
            return
        done.append(task)


await client.rpush("list", *tasks)
by_list = []
await from_a_list(by_list, dies_at=3)
await from_a_list(by_list)

# %%
queue, by_group = Queue(client, "tasks", patience_s=0.5), []


async def dies_at_three(task):
    if len(by_group) == 3:
        await asyncio.sleep(60)  # … and in the middle of this, it is killed
    by_group.append(task)


async def healthy(task):
    by_group.append(task)


for task in tasks:
    await queue.put(task)
first_worker = asyncio.create_task(queue.work("worker 1", dies_at_three))
await until(lambda: len(by_group) == 3)
first_worker.cancel()
second_worker = asyncio.create_task(queue.work("worker 2", healthy))
await until(lambda: len(by_group) == 10)
second_worker.cancel()
table(
    ["ten tasks, and a worker killed in the fourth", "done"],
    ["a list", len(set(by_list))],
    ["a consumer group", len(set(by_group))],
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "6.c13", "a list loses the task that a killed worker had taken", len(set(by_list)) == 9
)
claim(
    "6.c14",
    "a consumer group hands it to the next worker: all ten are done",
    sorted(set(by_group)) == tasks,
)

# %% [markdown]
# **Shared memory** is for the small facts that all servers need: who is present, how often, how many. Each of them is one command, and one command is one step foreverybody. And each carries an **expiry**, because the server that wrote it may be killed before it can clean up.

# %%
from labs.bus.shared_memory import Presence, RateLimit, count

dublin, singapore = [Presence(client, name, ttl_s=1.0) for name in ("dublin", "singapore")]
await dublin.say({("green", "ada"): True})
await singapore.say({("green", "ben"): True})
at_first = sorted(await dublin.read("green"))
for _ in range(8):  # Dublin is killed, and Singapore goes on saying who is there
    await asyncio.sleep(0.25)
    await singapore.say({("green", "ben"): True})
later = sorted(await singapore.read("green"))


# %%
async def careless(key):
    value = int(await client.get(key) or 0)
    await client.set(key, value + 1)


await asyncio.gather(*(careless("by hand") for _ in range(100)))
numbers = await asyncio.gather(*(count(client, "by INCR") for _ in range(100)))
limit = RateLimit(client, "sms", most=3, per_s=60)
allowed = [await limit.allow("ada") for _ in range(5)]
table(
    ["", ""],
    ["present at first", ", ".join(at_first)],
    ["two seconds after Dublin was killed", ", ".join(later)],
    ["counted to 100 by reading, adding and writing", await client.get("by hand")],
    ["counted to 100 by INCR", max(numbers)],
    [
        "three messages a minute, five tries",
        ", ".join("yes" if one else "no" for one in allowed),
    ],
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "6.c15",
    "what a killed server has said of its members expires by itself",
    (at_first, later) == (["ada", "ben"], ["ben"]),
)
claim(
    "6.c16",
    "one command is one step: INCR counts everybody once; reading, adding and writing do not",
    sorted(numbers) == list(range(1, 101)) and int(await client.get("by hand")) < 100,
)
claim(
    "6.c17",
    "a limit that stands in Redis holds for all servers together",
    allowed == [True, True, True, False, False],
)
await client.aclose()

# %% [markdown]
# ## More servers
# Members do not choose a server; they have one address, and something behind it deals out connections. Here it is a small relay in this notebook. In production it is a load balancer, which also ends TLS, asks each server for its health, and lets a server drain before it is stopped. On one machine Linux can do without any relay: several processes listen on one port (`SO_REUSEPORT`), and the kernel picks one of them by a hash of the addresses. That is by chance and not in turn, and a process that dies takes along the connections that were waiting for it.

# %%
async with Balancer.open([first.origin, second.origin]) as front:
    people = [await enter(front, f"p{number}") for number in range(6)]
    dealt = sorted(front.counts.values())
    await talk(people[0], "who is with me?")
    reached = [await heard(one, 0.5) for one in people]
    for one in people:
        await one.close()
say(
    f"Six members behind one address: {dealt[0]} went to one server and {dealt[1]} to the other."
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "6.c18",
    "behind one address members are dealt out evenly, and still hear each other",
    dealt == [3, 3] and reached == [["who is with me?"]] * 6,
)

# %% [markdown]
# Do two servers carry twice as much? The next cell sends messages into a small room and into a large one, spread over one, two and four servers, and asks each process for its own CPU time. Each message is delivered once to each member, however many servers there are, so one could expect the sum to stay the same. Does it?

# %%
my_guess_small_room = (
    1.0  ### PREDICTION: four servers' CPU for a message, in units of one server's
)

# %%
points = await scaling.run()
by = {(point.servers, point.members): point for point in points}
charts.scaling(
    points,
    models=models,
    title="Each server must hear each message; only the deliveries are divided",
    says="In a small room four servers together need "
    f"{by[4, 8].servers_us / by[1, 8].servers_us:.1f} times the CPU of one for a message, in a "
    f"large room {by[4, 500].servers_us / by[1, 500].servers_us:.1f} times. Your guess for the "
    f"small one was {'not made' if my_guess_small_room is ... else my_guess_small_room}.",
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "6.c19",
    "for a small room more servers are more work: four need at least half as much again as one",
    by[4, 8].servers_us > 1.5 * by[1, 8].servers_us,
)
claim(
    "6.c20",
    "in a large room, where deliveries count, four servers share the work: each has less than "
    "0.8 of what one alone had",
    max(by[4, 500].server_us) < 0.8 * by[1, 500].servers_us,
)

# %% [markdown]
# Every server that has a member of a room must hear every message of that room, read it, and find its members, and that price is paid once for each server. What is divided is the deliveries. So servers help a room of thousands, and they help many rooms of which each is on few servers; a small room that is spread over many servers is more work than it was. That is why large systems try to
# keep a room's members together.
#
# ## More Redis
# One Redis does one thing after the other, on one core. You have just seen what a message costs it: a few microseconds for each server that listens. When one core of that is not enough, a **cluster** divides the names among several. With *sharded* Pub/Sub a room's messages go only through the node to which the room belongs. What happens if one of three is killed?

# %%
losses = await cluster_loss()
table(
    ["room", "its node", "published", "lost", "told of a gap", "silent for, s"],
    *[
        [
            loss.room,
            "killed" if loss.killed else "alive",
            loss.published,
            loss.lost,
            loss.gaps,
            loss.silent_s if loss.killed else 0.0,
        ]
        for loss in losses
    ],
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "6.c21",
    "a third of the rooms is silent and loses messages, the others notice nothing",
    all((loss.lost > 0) == loss.killed for loss in losses)
    and sum(loss.killed for loss in losses) == len(losses) / 3,
)
claim(
    "6.c22",
    "the readers of these rooms are told, and the publisher is answered that nobody heard it",
    all(
        loss.undetected == 0 and (loss.gaps > 0 and loss.unheard > 0) == loss.killed
        for loss in losses
    ),
)

# %% [markdown]
# (What the readers miss is made definite here: they come back after the publisher, as in the ladder.) In production each node has a replica, which is promoted when its node has been silent for some seconds. The rooms are silent for that long, and whatever had not been copied is lost.

# %%
await board.stop()
for one in (first, second, *pair):
    await one.stop()
await stage.stop(), await store.stop()
# %% [markdown]
# ## Your own bus
#
# ### Exercise 6.5 · your bus
# *Twenty-five minutes, end to end.* Now join two servers. `Bus(url, deliver, gap)` is what one server needs: the address of a Redis, and two plain functions. `deliver(room, text)` is called for each message of a room that has members here, and `gap(room)` when messages of this room may have been lost. Use your `Subscriptions` and your `Seen`.
#
# - A room is the channel `room:` and its name, and there is one subscription for each room that has members here. `await join(room, member)` and `await leave(room, member)` are as in 6.1. After the last `leave`, nothing of the room is delivered.
# - `await publish(room, text)` sends `KEY text`: a key without spaces that no other message has, on any server, then a space, then the text. Of messages with the same key only the first is delivered. What is published first arrives first, even when `publish` is called twenty times at once: each command of redis-py takes whatever connection is free, so let one follow the other.
# - When the connection to Redis breaks, the bus tries again and again, a few times a second, and when Redis is back it subscribes to all its rooms again and calls `gap` for each of them, once. While Redis is away, `join`, `leave` and `publish` may raise a `RedisError`, and the first `publish` afterwards may do so, too: only then redis-py finds that its connection has died.
# - `await close()` ends it: no connection and no task is left.
#
# Of redis-py you need `client = Redis.from_url(url, decode_responses=True)`, `await client.publish(channel, payload)`, `pubsub = client.pubsub()`, `await pubsub.subscribe(channel)`, `await pubsub.unsubscribe(channel)` and, to end them, `aclose()` of both. `subscribe` only sends the request. The confirmation comes to whoever reads: after the first `subscribe`, `await pubsub.get_message(timeout=None)` gives one thing after the other, as a dict.
# Its `type` is `subscribe` for a confirmation, `unsubscribe`, or `message`; it has a `channel`, and a message has its `data`. When the connection breaks, it raises a `RedisError`. Called again, it connects and subscribes anew by itself, without a word. But Redis confirms each subscription once on every connection, and so a second confirmation tells you what has happened.
#
# The check lets two of your buses, and other programs, speak through a Redis in virtual time that is slow, repeats itself, dies and comes back. At the end a real Redis is killed and restarted, and your bus talks with the course's own.
#
# <details><summary>Hint</summary>
#
# One task reads. For each room keep an <code>asyncio.Event</code>: the first confirmation sets it, and your <code>subscribe</code> waits for that; if it is set already, there was a gap. An <code>asyncio.Lock</code> lets those who wait for it go in the order in which they came.
# </details>

# %% tags=["exercise", "uses-earlier"] exercise="6.5"
from itertools import count
from secrets import token_hex
from redis import RedisError
from redis.asyncio import Redis


class Bus:
    """One server's part of a conversation that goes over many, through Redis."""

    def __init__(self, url, deliver, gap):
        ### BEGIN SOLUTION
        self.deliver, self.gap = deliver, gap
        self.client = Redis.from_url(url, decode_responses=True)
        self.pubsub, self.reading = self.client.pubsub(), None
        self.rooms = Subscriptions(self.subscribe, self.unsubscribe)
        self.confirmed, self.seen = {}, Seen(10_000)
        self.name, self.numbers, self.turn = token_hex(4), count(1), asyncio.Lock()
        ### END SOLUTION

    async def join(self, room, member):
        """Into the room; when this returns, Redis has confirmed the subscription."""
        ### BEGIN SOLUTION
        await self.rooms.join(room, member)

    async def subscribe(self, room):
        self.confirmed[room] = asyncio.Event()
        await self.pubsub.subscribe(f"room:{room}")
        self.reading = self.reading or asyncio.create_task(self.read())
        await self.confirmed[room].wait()
        ### END SOLUTION

    async def leave(self, room, member):
        """Out of the room; the last one ends the subscription."""
        ### BEGIN SOLUTION
        await self.rooms.leave(room, member)

    async def unsubscribe(self, room):
        del self.confirmed[room]
        await self.pubsub.unsubscribe(f"room:{room}")
        ### END SOLUTION

    async def publish(self, room, text):
        """Send to all members of the room, on every server, in order."""
        ### BEGIN SOLUTION
        async with self.turn:
            key = f"{self.name}-{next(self.numbers)}"
            await self.client.publish(f"room:{room}", f"{key} {text}")

    async def read(self):
        while True:
            try:
                self.take(await self.pubsub.get_message(timeout=None))
            except RedisError:
                await asyncio.sleep(0.2)

    def take(self, said):
        room = said["channel"].removeprefix("room:")
        if room not in self.confirmed:
            return
        if said["type"] == "message":
            key, _, text = said["data"].partition(" ")
            if self.seen.first(room, key):
                self.deliver(room, text)
        elif said["type"] == "subscribe":
            if self.confirmed[room].is_set():
                self.gap(room)
            self.confirmed[room].set()
        ### END SOLUTION

    async def close(self):
        """End it; nothing of it stays."""
        ### BEGIN SOLUTION
        if self.reading:
            self.reading.cancel()
        await self.pubsub.aclose()
        await self.client.aclose()
        ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("6.5", Bus)

# %% [markdown]
# ## In the wild
# This bridge between a server and Redis, rewritten here, was in production for a year. Once every few weeks somebody complained that messages were missing, and nobody could see why. Find four reasons before you unfold the answer.
#
# ```python
# async def bridge(room):
#     pubsub = client.pubsub()
#     asyncio.create_task(pubsub.subscribe(room.name))
#     async for message in pubsub.listen():
#         if message["type"] == "message":
#             for member in room.members:
#                 asyncio.create_task(member.send(message["data"]))
#
#
# async def say(room, text):
#     asyncio.create_task(client.publish(room.name, text))
# ```
#
# <details><summary>The faults</summary>
#
# Nobody waits for the subscription to be confirmed, so whoever joins and speaks at once may not hear themselves. When the connection to Redis breaks, the library reconnects and subscribes again by itself, and what was said in between is missing without a word. A task for each <code>publish</code> lets messages overtake each other, and nobody looks at the answer, the number of receivers.
# A task for each <code>send</code> does the same at the other end, and keeps without bound what a slow member does not read.
# </details>
#
# ## When is it right?
# Use one server for as long as it will do, and know the number at which it will not; you measured it in notebook 05. With two, begin with Pub/Sub and gaps that are told, and give clients a way to fetch what they have missed from wherever it is stored anyway. Take Streams when there is no such place, or when the clients must be able to go on exactly where they were. And before you
# climb further, ask what the person in front of the screen would notice.
#
# ## What this does not show
# All processes were on one machine, so a network between them, which is slow or split in two, was not there; a cluster that is split has failures that no kill shows. Redis was alone: with a replica that takes over when the first one dies, what has not been copied yet is lost, and `WAIT` only makes that less likely. Kafka, NATS and others do the same jobs with other prices. And our servers trust their Redis;
# yours should ask for a password and speak TLS.
#
# ## Key points
# - Two servers are two rooms, until something outside of both joins them.
# - Wait until a subscription is confirmed, and take the second confirmation for what it is: a gap.
# - Deliver only what comes back, and the order is the same everywhere.
# - Pub/Sub forgets; Streams remember, and somebody has to hold a position.
# - At least once, and a reader who recognizes copies by the sender's own ids.
# - One ordered writer: a task for each message reorders.
# - Whatever a server writes for others carries an expiry.
#
# ## Five questions to take away
# <details><summary>A publish is answered with 0. What has happened to the message?</summary>
#
# Nobody was subscribed at that moment, and it is gone. If you know that somebody should have been, this is a gap that you can tell of.
# </details>
#
# <details><summary>Why is a position in a Stream useless without an epoch?</summary>
#
# A Redis that comes back empty begins to number again. The old position would look like one in the new list, and everything up to it would be skipped in silence.
# </details>
#
# <details><summary>Why is it not enough to give each message the id that Redis returns?</summary>
#
# A message that is sent again gets another one. Only an id that its client chose, before it was sent for the first time, is the same in both copies.
# </details>
#
# <details><summary>Ada's own server shows her message at once and sends it to Redis afterwards. What can go wrong, apart from doubling?</summary>
#
# If Ben speaks at the same moment on another server, each of them sees their own message first. The two servers' members remember different orders.
# </details>
#
# <details><summary>A worker takes a task from a Redis list with LPOP and is killed. How does a consumer group help?</summary>
#
# The entry stays in the list of what has been handed out and not been acknowledged. After a while another worker claims it.
# </details>
#
# <details><summary><b>For instructors</b></summary>
#
# **Time.** The cells run for about a minute in total. Plan 120 minutes: 50 for reading, predicting and measuring, 70 for exercises 6.1 to 6.4; 6.5 is for afterwards. The minutes for people are our estimate; the seconds for machines were measured.
#
# **In class.** Start two servers and one Redis on your machine, let half of the class join each, and kill Redis while they talk. Ask who has missed something, and how they know.
#
# **Where people stumble.** In 6.1 the second member who comes while the subscription for the first is still on its way. In 6.3 they follow from the wrong id. In 6.4 copies push out what is new. In 6.5 they forget that the first confirmation is no gap.
#
# **Discuss.** Which of your company's messages live on which rung, and does anybody know?
# </details>
#
# **Next:** 07 · Choosing
