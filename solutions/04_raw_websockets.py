# %% [markdown]
# # 04 · Raw WebSockets
# *After this notebook you can read a WebSocket byte by byte, you have written one yourself, and you can say with numbers when it is worth having.*
#
# In all that came before, the news flowed one way. A page that had something to say sent a `POST`, now and then, and that was the end of it. Now take two people who move pieces on the same board. Each of them talks as often as they listen. A **WebSocket** is made for them: one connection that both ends write to whenever they like,
# neither of them asking first. It is the tool that people reach for when they hear "real time", and often before they have a reason.
#
# We will count what the reason is worth. Then we open the box: a WebSocket is an HTTP request that stops being HTTP, followed by messages with a few bytes in front of each. You will read these bytes, write the code for them, and put it behind a real port.

# %% tags=["setup"]
import sys

sys.path.insert(0, "..")
import asyncio, inspect, json
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from labs import charts, clients, frames, ledger, measure, models, virtual
from labs.checks import check, claim
from labs.clock import now_ns
from labs.frames import Frame, Opcode, Violation
from labs.launch import launch
from labs.prose import say, table

# %% [markdown]
# ## The naive version first
# We have everything for a conversation already: server-sent events bring the news down, and a `POST` on a connection that stays open carries ours up. Start such a server, say one short thing, and look at what crossed the wire.

# %%
text = "knight to f3"
async with launch("sse") as server, clients.session() as http:
    await clients.publish(http, server.url, "warm-up: the connection is open now")
    start = now_ns()
    event = await clients.publish(http, server.url, text)
    said, heard_back = ledger.messages(server.link.trace(since=start))
print(said.text + "\n\n" + heard_back.text)

# %% [markdown]
# The move itself is twelve characters. Before you run the next cell: how many bytes did it take to say it, there and back, on a connection that was already open?

# %%
my_guess_bytes = 200  ### PREDICTION

# %%
host = server.url.removeprefix("http://")
as_predicted = (said.parts, heard_back.parts) == (
    models.publish_request(host, text),
    models.publish_response(event.to_json()),
)
post_bytes = said.size + heard_back.size
say(
    f"{said.size} bytes up and {heard_back.size} down: {post_bytes} bytes for {len(text)} "
    f"characters. Your guess was {'not made' if my_guess_bytes is ... else my_guess_bytes}."
)

# %%
# NBVAL_CHECK_OUTPUT
claim("4.c1", "both heads have exactly the predicted bytes", as_predicted)
claim(
    "4.c2",
    "a short message over HTTP costs more than ten times its own bytes",
    post_bytes > 10 * len(text),
)

# %% [markdown]
# Nobody is hurt by that once a minute. Sixty times a second and for a thousand players it is most of the traffic. And there is a second cost that bytes do not show: a response *belongs* to its request. Under HTTP/1.1, as browsers use it, whoever sends the next one before the last answer has come needs another connection, and then the order of the two is anybody's guess. (HTTP/2 carries many requests on one connection, still without an order between them; see notebook 07.)
#
# ## One request, and then no more HTTP
# A browser cannot simply open a TCP connection to wherever it likes: firewalls would refuse it, and servers that never expected a browser would be attacked through it. So a WebSocket begins as an HTTP request, on HTTP's port, and asks to become something else. Start the course's server that does it all by hand, and open the page.
# It is a console: connect, send, and see every frame.

# %%
server = await launch("raw_websocket")
server.page()

# %% [markdown]
# Now do the same from here, with a client that we did not write, through a link that keeps every byte:

# %%
link = await server.via(rtt_ms=40)
start = now_ns()
plain = {"proxy": None, "compression": None, "user_agent_header": None}
async with connect(f"{link.ws}/echo", **plain) as socket:
    await socket.send("hello")
    answer = await socket.recv()
    pong = await socket.ping()
    await pong
    await socket.send(b"\x00\x01\x02")
    await socket.recv()
wire = ledger.messages(link.chunks)
upgrade, accepted = wire[:2]
print(upgrade.raw_head.decode() + accepted.raw_head.decode())

# %% [markdown]
# This is the **upgrade**, and it is all the HTTP there will be. `Upgrade` names what the client wants to become. `Sec-WebSocket-Version` is 13 and will stay so. `Sec-WebSocket-Key` is sixteen random bytes in base64, new each time. The server proves that it has understood, and is not some web server that answers anything with anything: it appends a fixed
# text to the key, hashes the two, and sends that back. The status is 101, *Switching Protocols*. It only makes sure that nobody speaks WebSocket by accident.
#
# ### Exercise 4.1 · the accept key
# *Five minutes.* Write `accept_key(key)` (RFC 6455 §4.2.2): append the GUID to the key as it stands in the header, take the SHA-1
# digest of that, and return the digest in base64, as `str`. The RFC's own example: the key `dGhlIHNhbXBsZSBub25jZQ==` gets the answer `s3pPLMBiTxaQ9kYGzzhZRbK+xOo=`.
#
# <details><summary>Hint</summary>
#
# A digest is 20 bytes, <code>.digest()</code>; <code>.hexdigest()</code> is 40 letters that stand for them. <code>base64.b64encode</code> takes bytes and gives bytes.
# </details>

# %% tags=["exercise"] exercise="4.1"
import base64, hashlib

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_key(key: str) -> str:
    """The value of Sec-WebSocket-Accept that answers this Sec-WebSocket-Key."""
    ### BEGIN SOLUTION
    digest = hashlib.sha1((key + GUID).encode()).digest()
    return base64.b64encode(digest).decode()
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("4.1", accept_key)

# %% [markdown]
# ## Frames
# After the 101 the connection carries **frames**. Here is the first that our client sent, as it was captured, with the names of RFC 6455 above its bytes:

# %%
sent_frames = [chunk.data for chunk in link.chunks if chunk.direction == "up"][1:]
charts.frames(
    sent_frames[0],
    title="Six bytes in front of five: a masked text frame",
    says="The frame that carries 'hello' from the client: a byte that says last fragment and "
    "text, a byte that says masked and five bytes long, a key of four bytes, and the payload "
    "XORed with it.",
)

# %%
received_frames = [
    chunk.data
    for chunk in link.chunks
    if chunk.direction == "down" and chunk.data[0] >= 128
]
charts.frames(
    received_frames[0],
    title="The server's answer has two bytes in front, and no mask",
    says="The frame that carries 'hello' back: two bytes of header, then the five bytes of text.",
)

# %% [markdown]
# The first byte holds **FIN**, "this is the end of the message", three bits that are reserved, and the **opcode**: 1 is text, 2 is binary, 8 to 10 are *control frames*, which talk about the connection itself. The second byte holds the mask bit and the length. Seven bits are enough up to 125; 126 says that the length follows in two bytes, and 127 in eight.
# The shortest form that fits must be used.
#
# Then there is the **mask**. Every byte that a client sends is XORed with a key of four bytes, which stands in front of it in clear text. Whoever sees the frame can undo it, so what is it for? It protects the machines in between. A page may send whatever bytes it likes through a WebSocket, and a page of an attacker would choose bytes that look to an old proxy like an HTTP *request* for somebody else's script. The attacker's own server
# then sends something that looks like the response, and the proxy keeps that for everyone (RFC 6455, section 10.3). With a key that the page cannot choose, what travels cannot be chosen either. A proxy that has seen no request has nothing to file a response under, so a server's frames need no mask.
#
# ### Exercise 4.2 · the mask
# *Five minutes.* Everything that a client sends is masked: byte *i* of the payload is XORed with byte *i* mod 4 of a key that the client chooses anew for each frame (RFC 6455 §5.3). Write `mask(data, key)`, which returns the masked `bytes`. Doing it twice gives the data back, so the same function also removes the mask. Data has any length, even zero,
# and a megabyte should not take minutes.
#
# <details><summary>Hint</summary>
#
# <code>a ^ b</code> is XOR, <code>enumerate</code> counts, and <code>bytes(…)</code> takes numbers from 0 to 255. A loop that says <code>result += bytes([…])</code> copies all that it has so far, once for each byte.
# </details>


# %% tags=["exercise"] exercise="4.2"
def mask(data: bytes, key: bytes) -> bytes:
    """`data` with the mask of these four bytes put on, or taken off."""
    ### BEGIN SOLUTION
    return bytes(byte ^ key[i % 4] for i, byte in enumerate(data))
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("4.2", mask)

# %% [markdown]
# ### Exercise 4.3 · write a frame
# *Fifteen minutes.* Write `encode_frame(opcode, payload, fin=True, key=None)`, which returns one frame as `bytes` (RFC 6455 §5.2):
#
# - One byte: the top bit (`0x80`) is set if the frame ends its message (`fin`), the lower four bits are the opcode.
# - One byte: the top bit is set if there is a mask, the lower seven are the length of the payload if that is at most 125. They are 126 if the length follows in two more bytes, and 127 if it follows in eight, most significant byte first. The shortest form that fits is the only one that is allowed.
# - The four bytes of `key`, if there is one, and then the payload, which is masked with it (your `mask`).
#
# A control frame (opcode 8 or higher) has at most 125 bytes and is never fragmented, so that it can slip in between the fragments of anything. Raise `ValueError` for one that has more, or whose `fin` is false. Opcodes come as numbers or as members of `Opcode`, which are numbers, too.
#
# <details><summary>Hint</summary>
#
# <code>fin &lt;&lt; 7 | opcode</code> is the first byte. <code>struct.pack("!BBH", …)</code> makes two single bytes and one number of two bytes in network order; for eight bytes the letter is <code>Q</code>. A number does it by itself, too: <code>size.to_bytes(2, "big")</code>.
# </details>

# %% tags=["exercise", "uses-earlier"] exercise="4.3"
import struct


def encode_frame(
    opcode: int, payload: bytes, fin: bool = True, key: bytes | None = None
) -> bytes:
    """One frame as it travels; raises ValueError for a control frame that must not exist."""
    ### BEGIN SOLUTION
    size = len(payload)
    if opcode >= 8 and (size > 125 or not fin):
        raise ValueError("a control frame is short and in one piece")
    first, masked = fin << 7 | opcode, 0x80 if key else 0
    if size < 126:
        head = struct.pack("!BB", first, masked | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, masked | 126, size)
    else:
        head = struct.pack("!BBQ", first, masked | 127, size)
    return head + key + mask(payload, key) if key else head + payload
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("4.3", encode_frame)

# %% [markdown]
# ## Both at once
# Nothing about a frame says that the other side must answer. Here a client moves eight times in four tenths of a second, while eight pieces of news and its own moves, numbered, come down to it, over a link with a round trip of 200 ms. Look for the places where two arrows cross: something was on its way in each direction at the same time, on one connection.


# %%
async def both_at_once(server, rtt_ms=200, moves=8, every=0.05):
    link = await server.via(rtt_ms=rtt_ms)
    mark = await server.publish("mark")
    async with connect(f"{link.ws}/events?after={mark.cursor}", **plain) as socket:
        start = now_ns()
        for number in range(moves):
            await socket.send(f"move {number}")
            await server.publish(f"news {number}")
            await asyncio.sleep(every)
        heard = [await socket.recv() for _ in range(2 * moves)]
    return start, link, [json.loads(one)["data"] for one in heard]


start, link, heard = await both_at_once(server)

# %%
talk = [message for message in ledger.messages(link.chunks) if message.sent >= start]
texts = [message for message in talk if message.frame == "text"]
up = [message for message in texts if message.direction == "up"]
down = [message for message in texts if message.direction == "down"]
crossings = sum(a.sent < b.arrived and b.sent < a.arrived for a in up for b in down)
charts.duplex_ladder(
    link.chunks,
    start=start,
    seconds=0.9,
    title="Nobody waits for a turn",
    says=f"{len(up)} frames went up and {len(down)} came down. {crossings} pairs of them were "
    "under way at the same time, in opposite directions.",
)

# %%
# NBVAL_CHECK_OUTPUT
claim("4.c3", "messages cross on one connection: it is full duplex", crossings > 0)
claim(
    "4.c4",
    "each side's messages arrive in the order in which they were sent",
    all(
        [one for one in heard if one.startswith(kind)]
        == [f"{kind} {number}" for number in range(8)]
        for kind in ("move", "news")
    ),
)

# %% [markdown]
# ## Reading frames
# TCP delivers bytes, not frames. A frame may come in three pieces, and one piece may hold three frames and half of a fourth. You have met this in notebook 03, and the answer is the same: an incremental reader, tested at every cut. What is new is that the other side may be lying. A frame can *claim* to be nine million terabytes long in a header of fourteen bytes. A server that
# makes room for what a header promises can be ended by anyone with fourteen bytes, so the limit is checked against the header, before the payload is there.
#
# ### Exercise 4.4 · read frames
# *Twenty minutes.* TCP delivers a stream, not frames: a piece may end in the middle of a length, or hold ten frames and a half. Write the class `FrameReader`. A server makes one, `FrameReader(limit)`, for each client, and calls `feed(chunk)` with each piece that arrives. It returns the list of the frames that end in this piece, each a
# `Frame(opcode, payload, fin)` with its payload unmasked, and keeps what is unfinished until the rest comes.
#
# What a client must not send raises `Violation(code, reason)`; the reason is up to you. Do not wait for the payload with it: raise at the latest when the frame's header (up to its length, and the masking key if there is one) has come.
#
# - `Violation(1002, …)`: a frame without a mask; one of the three reserved bits (`0x70` in the first byte) is set; an opcode other than 0, 1, 2, 8, 9 and 10; a control frame that is longer than 125 bytes or not final; a length that a shorter form could have held; an eight-byte length with its top bit set.
# - `Violation(1009, …)`: a payload of more than `limit` bytes. Whoever believes a header that promises 2⁶² bytes runs out of memory; whoever looks first needs fourteen bytes.
#
# After a violation the connection ends, so nobody feeds this reader again. The check tries every rule, and then cuts every stream at every place. If yours fails, it shows the shortest stream that it fails on, with the cut marked ✂.
#
# <details><summary>Hint</summary>
#
# Keep all bytes that are not yet used in one buffer. Write a method that takes one whole frame from its start, or returns <code>None</code> and takes nothing if there are not enough bytes for it, and call it until it does. <code>int.from_bytes(…, "big")</code> reads a length.
# </details>


# %% tags=["exercise", "uses-earlier"] exercise="4.4"
class FrameReader:
    """Turns the bytes that one client sends into frames, in whatever pieces they come."""

    def __init__(self, limit: int):
        ### BEGIN SOLUTION
        self.limit, self.buffer = limit, b""
        ### END SOLUTION

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that end in this piece; raises Violation for what a client must not send."""
        ### BEGIN SOLUTION
        self.buffer += chunk
        frames = []
        while (frame := self.take()) is not None:
            frames.append(frame)
        return frames

    def take(self):
        buffer = self.buffer
        if len(buffer) < 2:
            return None
        fin, opcode, size = buffer[0] >= 0x80, buffer[0] & 0x0F, buffer[1] & 0x7F
        if buffer[0] & 0x70 or opcode not in (0, 1, 2, 8, 9, 10) or buffer[1] < 0x80:
            raise Violation(1002, "a reserved bit or opcode, or no mask")
        if opcode >= 8 and (size > 125 or not fin):
            raise Violation(1002, "a control frame is short and in one piece")
        width, shortest = {126: (2, 126), 127: (8, 65536)}.get(size, (0, 0))
        start = 2 + width + 4
        if len(buffer) < start:
            return None
        if width:
            size = int.from_bytes(buffer[2 : 2 + width], "big")
        if not shortest <= size < 2**63:
            raise Violation(1002, "not the shortest form of a length")
        if size > self.limit:
            raise Violation(1009, f"more than {self.limit} bytes")
        if len(buffer) < start + size:
            return None
        payload = mask(buffer[start : start + size], buffer[start - 4 : start])
        self.buffer = buffer[start + size :]
        return Frame(opcode, payload, fin)
        ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("4.4", FrameReader)

# %% [markdown]
# ## From frames to messages
# A sender who does not know yet how long a message will be can cut it into **fragments**: the first frame has the opcode and no FIN, the following ones the opcode 0, *continuation*, and the last one has FIN. Between two fragments a control frame may come, so that a ping need not wait for a large upload to end, and nothing else may. A character of the text may be
# cut in two by the end of a fragment.
#
# ### Exercise 4.5 · from frames to messages
# *Fifteen minutes.* A message may come in several frames: the first carries its opcode, the others are continuations (opcode 0), and the last has `fin` set. Control frames may stand in between (RFC 6455 §5.4). Write the class `Assembler`, made with `Assembler(limit)`, whose `add(frame)` is called with one frame after the other.
#
# - If the frame ends a message, `add` returns it: `(Opcode.TEXT, …)` with a `str`, or `(Opcode.BINARY, …)` with `bytes`. A control frame is returned at once, `(opcode, payload)`, and changes nothing about the message around it. As long as more is to come, `add` returns `None`.
# - A continuation when no message has begun, and a new message inside an unfinished one, are a `Violation(1002, …)`.
# - Text is UTF-8, and a character may be cut in two by the end of a frame. Text that is not UTF-8 is a `Violation(1007, …)`, at the latest when the message ends.
# - A message whose frames have more than `limit` bytes of payload together is a `Violation(1009, …)`, with the frame that makes it too many.
#
# <details><summary>Hint</summary>
#
# Keep two things on <code>self</code>: the opcode of the message that has begun, or <code>None</code>, and its bytes so far. Decode at the end; <code>UnicodeDecodeError</code> is what to catch. (Refusing bad text early, as our server does, needs <code>codecs.getincrementaldecoder</code>.)
# </details>


# %% tags=["exercise"] exercise="4.5"
class Assembler:
    """Turns the frames of one connection into messages."""

    def __init__(self, limit: int):
        ### BEGIN SOLUTION
        self.limit, self.opcode, self.data = limit, None, b""
        ### END SOLUTION

    def add(self, frame: Frame) -> tuple[Opcode, str | bytes] | None:
        """The message or the control frame that ends here, or None; raises Violation."""
        ### BEGIN SOLUTION
        if frame.opcode >= Opcode.CLOSE:
            return frame.opcode, frame.payload
        if (frame.opcode == Opcode.CONTINUATION) != (self.opcode is not None):
            raise Violation(1002, "nothing to continue, or something unfinished")
        self.opcode = frame.opcode or self.opcode
        self.data += frame.payload
        if len(self.data) > self.limit:
            raise Violation(1009, f"more than {self.limit} bytes")
        if not frame.fin:
            return None
        opcode, data, self.opcode, self.data = self.opcode, self.data, None, b""
        if opcode == Opcode.BINARY:
            return opcode, data
        try:
            return opcode, data.decode()
        except UnicodeDecodeError:
            raise Violation(1007, "text that is not UTF-8") from None
        ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("4.5", Assembler)

# %% [markdown]
# ## Is anybody there?
# Here is the trap of every connection that is meant to live long. Somewhere between you and the server a router forgets the connection: it restarts, or your phone changes from one network to another. No packet says so. On our link that is a black hole. What does the client know about it, after a minute?


# %%
async def in_a_black_hole(launch, ping_interval):
    async with launch("websocket") as server:
        settings = plain | {"ping_interval": ping_interval, "ping_timeout": ping_interval}
        async with connect(f"{server.ws}/events", close_timeout=1, **settings) as socket:
            await asyncio.sleep(1)
            server.link.black_hole()
            await socket.send("is anybody there?")
            for waited in range(60):
                await asyncio.sleep(1)
                if socket.state.name != "OPEN":
                    return f"{socket.state.name} after {waited + 1} s"
            return f"{socket.state.name} after {waited + 1} s"


# %%
unaware = virtual.run(in_a_black_hole(virtual.launch, None))
aware = virtual.run(in_a_black_hole(virtual.launch, 5))
table(["the client", "state"], ["never pings", unaware], ["pings every 5 s", aware])

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "4.c5",
    "without pings a dead connection stays OPEN for a minute and more, and sending into it raises no error",
    unaware.startswith("OPEN"),
)
claim(
    "4.c6",
    "a ping that gets no answer finds it, at the latest after two intervals",
    aware.startswith("CLOS") and int(aware.split()[2]) <= 11,
)

# %% [markdown]
# The state `OPEN`, like `readyState` in a browser, says that nobody has *said* goodbye. Only an answer shows that somebody is there. That is what **ping** is for: a control frame that the other side must answer with a **pong** that carries the same bytes. Either side may ping; a server pings its clients, and drops those that do not answer. (The client above is `CLOSING`: its close frame has gone into the hole, too, and it waits for an answer. Without pings, TCP itself gives up on data that nobody confirms after about a quarter of an hour, and a client that only listens never finds out.) Browsers answer pings by themselves but give a page
# no way to send one, so a page that wants to know has to agree on a message of its own with its server, or to notice that something which should come regularly does not.
#
# ## Saying goodbye
# A connection that ends well ends with a **close** frame in each direction: whoever wants to leave sends one, the other answers with one, and then the TCP connection is closed. It carries a code. These are the ones that you will meet:
#
# | code | what it says |
# |---|---|
# | 1000 | done |
# | 1001 | going away: the server stops, or the page is closed |
# | 1002 | you have broken the protocol |
# | 1003 | not this kind of message (binary, where text is expected) |
# | 1005 | never on the wire: a close frame came that had no code |
# | 1006 | never on the wire: the connection broke, and no close frame came |
# | 1007 | your text is not UTF-8 |
# | 1008 | against our rules; no more is said |
# | 1009 | your message is too large |
# | 1011 | the server has failed |
# | 1013 | try again later: too much going on |
# | 3000 to 3999 | registered by libraries |
# | 4000 to 4999 | yours; this course's servers say 4410 where HTTP says 410 Gone |
#
# ### Exercise 4.6 · answer a close
# *Five minutes.* A close frame has an empty payload, or a code of two bytes, most significant byte first, and after it a reason in UTF-8. Whoever receives one answers with one and is done (RFC 6455 §5.5.1). Write `answer_close(payload)`, which returns the payload of the answer:
#
# - The code that was received. You may repeat the reason, or leave it out. To an empty payload the answer is empty.
# - The code 1002, with a reason or without, if the payload has only one byte, or if its code must not be in a frame. Those that may are 1000 to 1003, 1007 to 1014, and 3000 to 4999. 1004 and 1016 to 2999 have no meaning yet. 1005, 1006 and 1015 are not for the wire: 1005 says "there was no code", 1006 "there was no close frame", 1015 "TLS failed", and they exist so that an API has something
#   to hand to you.
# - The code 1007, with a reason or without, if the reason is not UTF-8.
#
# <details><summary>Hint</summary>
#
# <code>int.from_bytes(payload[:2], "big")</code> and <code>code.to_bytes(2, "big")</code> go there and back.
# </details>


# %% tags=["exercise"] exercise="4.6"
def answer_close(payload: bytes) -> bytes:
    """The payload of the close frame that answers a close frame with this payload."""
    ### BEGIN SOLUTION
    if not payload:
        return b""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or not (
        1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
    ):
        code = 1002
    else:
        try:
            payload[2:].decode()
        except UnicodeDecodeError:
            code = 1007
    return code.to_bytes(2, "big")
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("4.6", answer_close)

# %% [markdown]
# ## One server, many clients
# Most frameworks tell you about a server in terms of two events: a *connection* comes in, and then *messages* come in on it. In Python with `asyncio` both are plain control flow. The server calls your function once for each connection, and the function lives as long as the connection does. The connection event is the first line of the function, each
# message is one turn of its loop, and the close is what comes after the loop. (In Node the same reads `server.on("connection", socket => { socket.on("message", data => socket.send(data)) })`.) Here is `/echo` of the course's other socket server, the one that uses the library `websockets`:

# %%
from labs.servers import raw_websocket, websocket

print(inspect.getsource(websocket.echo))

# %% [markdown]
# A variable in this function belongs to one client. What belongs to all of them, such as the list of who is there, lives outside it. Watch the server while clients come and go:


# %%
async def connections_held(server, clients_there=200):
    before = (await server.usage())["tasks"]
    sockets = await asyncio.gather(
        *(connect(f"{server.ws}/echo", **plain) for _ in range(clients_there))
    )
    for number, socket in enumerate(sockets):
        await socket.send(f"client {number}")
    answers = [await socket.recv() for socket in sockets]
    during = await measure.tasks_held(server, at_least=before + clients_there)
    await asyncio.gather(*(socket.close() for socket in sockets))
    return before, during, await measure.tasks_held(server, at_most=before + 2), answers


async with launch("websocket") as library:
    before, during, after, answers = await connections_held(library)
table(
    ["", "tasks in the server"],
    ["nobody", before],
    ["200 clients", during],
    ["they have left", after],
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "4.c7",
    "each client has a connection object and an answer of its own, and leaves nothing",
    answers == [f"client {number}" for number in range(200)] and after <= before + 2,
)

# %% [markdown]
# There are two tasks for each client: your function, and one in which the library pings.
#
# ## By hand, or with a library?
# The course has the same service twice. One is made of `labs/frames.py`, which is what you are writing here, and `asyncio`'s streams. The other one leaves all this to `websockets`.

# %%
lines = lambda module: len(inspect.getsource(module).splitlines())
from labs import handshake

table(
    ["server", "lines of its own", "lines of protocol under it, ours to maintain"],
    ["raw_websocket", lines(raw_websocket), lines(frames) + lines(handshake)],
    ["websocket", lines(websocket), 0],
)

# %% [markdown]
# Use the library. You write the protocol once in your life, to know what it does, and then you let somebody else keep it right. How right ours is has been judged by somebody else, too: the Autobahn test suite, which has tormented nearly every WebSocket implementation in the world, tries some three hundred cases on both servers in the repository's tests (`tests/test_autobahn.py`). Your own is next.
#
# ### Exercise 4.7 · your own WebSocket server
# *Twenty minutes, end to end.* Now put the pieces together. Write `echo(reader, writer)`, which serves one connection from its first byte to its last. `asyncio.start_server(echo, …)` calls it for each client, with the two ends of an asyncio stream:
#
# - Read the request up to its empty line (`await reader.readuntil(b"\r\n\r\n")` reads exactly that), find the key in it, and answer with the status line `HTTP/1.1 101 Switching Protocols`, the headers `Upgrade: websocket`, `Connection: Upgrade` and `Sec-WebSocket-Accept`, and an empty line. Names of headers may be in upper or lower case. The check sends only
#   requests for an upgrade; what a server owes to all others is in `labs/servers/raw_websocket.py`.
# - From then on, read (`await reader.read(65536)`; it gives `b""` when the client has gone), feed your `FrameReader`, and hand its frames to your `Assembler`. Let both have a limit of 2²⁰ bytes. Send each message back in one frame, text as text and binary as binary. A server's frames have no mask.
# - A ping is answered by a pong with the same payload. A pong is not answered.
# - A close frame is answered once, with `answer_close`. After that, nothing is sent any more: close the connection.
# - A `Violation` is told to the client by a close frame with its code, and then the connection is closed, too.
# - Clients vanish. Whatever happens, `writer.close()` is called, `echo` ends without an exception, no task stays behind, and other clients notice nothing.
#
# The check speaks to your server byte by byte, with what Autobahn and others use to bring servers down, and names the rule that is broken. Then it lets the `websockets` library talk to it, and at the end does so over a real socket. If one of the earlier exercises is not solved yet, the check says which one `echo` is waiting for.
#
# <details><summary>Hint</summary>
#
# One <code>try</code> around everything, with <code>finally: writer.close()</code>. Inside of it, <code>while chunk := await reader.read(65536)</code>, then <code>for frame in frames.feed(chunk)</code>, then look at what <code>add</code> returned. <code>await writer.drain()</code> in the loop makes a client that does not read wait, instead of your memory grow. A client that is
# gone shows as <code>ConnectionError</code>, or before the handshake as <code>asyncio.IncompleteReadError</code>.
# </details>

# %% tags=["exercise", "uses-earlier"] exercise="4.7"
import re

SWITCH = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: {}\r\n\r\n"
)


async def echo(reader, writer):
    """Serve one WebSocket connection: every message goes back to the client that sent it."""
    ### BEGIN SOLUTION
    try:
        request = await reader.readuntil(b"\r\n\r\n")
        key = re.search(rb"(?im)^sec-websocket-key:\s*(\S+)", request)[1].decode()
        writer.write(SWITCH.format(accept_key(key)).encode())
        frames, messages = FrameReader(2**20), Assembler(2**20)
        while chunk := await reader.read(65536):
            for frame in frames.feed(chunk):
                if (message := messages.add(frame)) is None:
                    continue
                opcode, data = message
                if opcode == Opcode.CLOSE:
                    writer.write(encode_frame(Opcode.CLOSE, answer_close(data)))
                    return
                if opcode == Opcode.PING:
                    writer.write(encode_frame(Opcode.PONG, data))
                if opcode == Opcode.TEXT:
                    writer.write(encode_frame(Opcode.TEXT, data.encode()))
                if opcode == Opcode.BINARY:
                    writer.write(encode_frame(Opcode.BINARY, data))
            await writer.drain()
    except Violation as violation:
        writer.write(encode_frame(Opcode.CLOSE, violation.code.to_bytes(2, "big")))
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # the client has gone
    finally:
        writer.close()
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
check("4.7", echo)


# %% [markdown]
# ## What it costs to open
# Before the first message can go, a TCP connection has to be made and the upgrade has to be answered. At a round trip of 100 ms: after how many milliseconds is a WebSocket open?

# %%
my_guess_ms = 200  ### PREDICTION


# %%
async def openings(launch, rtt_ms):
    async with launch("websocket") as socket, launch("sse") as http:
        opened = await measure.connect_times(http, socket, rtt_ms=rtt_ms, n=10)
        asked = await measure.echo_times(http, socket, rtt_ms=rtt_ms, n=10)
        return opened | asked


measured = await openings(launch, 100)
simulated = virtual.run(openings(virtual.launch, 100))
theory = models.connect_times(100) | models.echo_times(100)
median = lambda found, name: found[name].percentile(50)

# %%
table(
    ["at a round trip of 100 ms", "model", "simulated, median", "measured, median"],
    *[
        [name, theory[name], median(simulated, name), median(measured, name)]
        for name in measured
    ],
)
say(
    "Your guess for a socket until it is open was "
    f"{'not made' if my_guess_ms is ... else f'{my_guess_ms} ms'}."
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "4.c8",
    "simulated, everything takes exactly as many round trips as the model says",
    all(abs(median(simulated, name) - theory[name]) < 0.01 for name in measured),
)
claim(
    "4.c9",
    "on an open connection, asking over HTTP and over a socket takes the same time within a "
    "quarter",
    0.8
    < median(measured, "POST, kept connection") / median(measured, "WebSocket, echo")
    < 1.25,
)

# %% [markdown]
# Opening takes a round trip for TCP and one more for the upgrade, and the socket has said nothing yet; by then an HTTP request on a new connection has its answer. With TLS both take one more. Read the last two lines again before you replace an API by a socket "because it is faster". On an open connection a question over HTTP and one over a WebSocket take the same time, the round trip. What the socket saves is bytes, and the waiting for turns.
#
# ## What it costs to talk
# Back to the move on the chessboard, now in a frame, and answered with the same event as before:

# %%
async with launch("raw_websocket") as one:
    mark = await one.publish("mark")
    async with connect(f"{one.ws}/events?after={mark.cursor}", **plain) as socket:
        start = now_ns()
        await socket.send(text)
        same_event = await socket.recv()
    in_frames = [m for m in ledger.messages(one.link.chunks) if m.sent >= start][:2]
frame_bytes = sum(message.size for message in in_frames)
charts.ledger(
    {
        "POST, up": said.parts,
        "its answer, down": heard_back.parts,
        "frame, up": in_frames[0].parts,
        "its event, down": in_frames[1].parts,
    },
    title="The same move and the same answer, in a request and in a frame",
    caption=f"'{text}' on connections that were open already; counted at the link.",
    says=f"Over HTTP {post_bytes} bytes, there and back; in frames {frame_bytes}.",
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "4.c10",
    "both frames have exactly the predicted bytes",
    [message.parts for message in in_frames]
    == [models.frame(len(text), masked=True), models.frame(len(same_event.encode()))],
)
claim(
    "4.c11",
    "there and back, with the same answer, frames need less than a third of the bytes",
    3 * frame_bytes < post_bytes,
)

# %% [markdown]
# Ours is a lean client. A browser's `POST` carries several hundred bytes of headers more, with every request, and its frames do not.
#
# Now a thousand small messages from one client, each of which the server numbers and hands back. Once they go by `POST` on a connection that stays open, one after the other, and then six at once, which is what a browser would do. Then in frames: one after the other, and without waiting. The link has a round trip of 2 ms, as to a server in the same town.

# %%
async with launch("websocket") as socket, launch("sse") as http:
    flows = await measure.upstream(http, socket, messages=1000, rtt_ms=2)
table(
    ["way", "messages a second", "bytes for each, both ways", "median delay, ms"],
    *[
        [flow.way, flow.per_second, flow.bytes_each, flow.latency.percentile(50)]
        for flow in flows
    ],
)

# %%
# NBVAL_CHECK_OUTPUT
flow = {one.way: one for one in flows}
claim(
    "4.c12",
    "without waiting for answers a socket carries at least three times as many messages as "
    "six connections of HTTP",
    flow["frames, without waiting"].per_second > 3 * flow["POST, six at once"].per_second,
)
claim(
    "4.c13",
    "one after the other, the two take about the same time: both wait mostly for the round trip",
    0.5 < flow["frames, one by one"].per_second / flow["POST, one by one"].per_second < 3,
)

# %% [markdown]
# One after the other, both spend most of their time on the round trip. Six requests at once should then manage six times as many, and they do not: it is no longer the wire but the work for each request, in the client and in the server, that is the limit. Frames gain twice, as they wait for nothing and cost less work each. The price is in the last column: a thousand frames that are written at once queue up, and the median one is late.
#
# What does reading the frames cost? Here is our codec beside that of `websockets`, and beside `wsproto` if it is installed:

# %%
cost = measure.codec()
charts.codec(
    cost,
    title="A small frame costs microseconds; a megabyte shows who masks how",
    caption=f"Unmask and parse one frame from memory; medians. {measure.machine()}",
    says="Medians for 64 bytes: "
    + ", ".join(
        f"{name} {1000 * sizes[64].percentile(50):.0f} µs" for name, sizes in cost.items()
    )
    + "; for a megabyte: "
    + ", ".join(f"{1000 * sizes[2**20].percentile(50):,.0f} µs" for sizes in cost.values())
    + ".",
)

# %% [markdown]
# All of them leave the loop over the bytes to C in some form: `websockets` in an extension of its own, `wsproto` in `bytes.translate`, and ours in one XOR of two huge integers, for which the megabyte is copied several times.
#
# ## What it costs to be silent
# Sockets are opened to be there when something happens, and so most of them are idle most of the time. Each holds memory. How many kilobytes does the library's server need for one socket that says nothing?

# %%
my_guess_kib = 30  ### PREDICTION

# %%
idle = []
for name in ("sse", "websocket", "raw_websocket"):
    async with launch(name) as one:
        idle += await measure.idle_memory(one, counts=(1000,))
kib = {one.transport: one.bytes_each / 1024 for one in idle}
charts.bars(
    {charts.NAMES[name]: size for name, size in kib.items()},
    unit="KiB",
    title="An open connection that says nothing still costs",
    caption=f"Growth of the server's memory for each of 1,000 idle connections. {measure.machine()}",
    colors={charts.NAMES[name]: charts.COLORS[name] for name in kib},
    says=f"SSE {kib['sse']:.0f} KiB, the websockets library {kib['websocket']:.0f}, our own "
    f"{kib['raw_websocket']:.0f}. Your guess for the library was "
    f"{'not made' if my_guess_kib is ... else my_guess_kib}.",
)

# %% [markdown]
# With `counts=(1000, 5000)` the same call shows that each further socket costs as much. A million of them is another notebook, but you can multiply. Notice what is *not* in this figure: the kernel's own buffers for each connection, and everything that your program remembers about the person at the other end.
#
# ## Compression
# Two ends can agree to compress their messages (`permessage-deflate`, RFC 7692). A compressor is good because it remembers what it has seen, and that memory is held for every connection, for as long as it is open.

# %%
async with launch("websocket") as off, launch("websocket", "--compress") as on:
    squeezed = await measure.compression(
        {"off": off, "on": on}, messages=40, connections=200
    )
table(
    [
        "compression",
        "bytes of an event",
        "on the wire",
        "KiB of memory for each socket",
        "server CPU for each event, µs",
    ],
    *[
        [one.way, one.event_each, one.wire_each, one.memory_each / 1024, one.cpu_each]
        for one in squeezed
    ],
)

# %%
# NBVAL_CHECK_OUTPUT
without, within = squeezed
claim(
    "4.c14",
    "compression saves bytes on the wire",
    within.wire_each < without.wire_each,
)
claim(
    "4.c15",
    "and pays for them in the server's memory, for every connection that is open",
    within.memory_each > 2 * without.memory_each,
)

# %% [markdown]
# Events of one kind look alike, so that a compressor with a memory finds nearly all of an event in the ones before it; it costs the server some microseconds for each event, too. It is a trade, and which side is worth more depends on you: mobile clients on a metered line, or a server with a hundred thousand connections. The servers of this course have it off unless asked.
#
# ## Testing a server before there is a client
# The page does not exist yet, and the server should be tried. Start it in a terminal, in the course's folder, with a fixed port: `.venv/bin/python -m labs.servers.websocket --port 8765`. Then any of these will do. All talk to the same `/echo`.
#
# | tool | how |
# |---|---|
# | the console page | open `http://127.0.0.1:8765/`, choose `/echo`, connect, send; it lists every message and the close code |
# | `websockets` | `.venv/bin/python -m websockets ws://127.0.0.1:8765/echo`, then type; it is installed with the course |
# | `wscat` (Node) | `npx wscat -c ws://127.0.0.1:8765/echo`; with `-P` it also shows pings and pongs |
# | `websocat` | `websocat ws://127.0.0.1:8765/echo`; it reads and writes pipes, so it fits into scripts |
#
# With `curl` one sees the upgrade itself. After the 101 it waits for what will never be text, and that is right:
#
# ```sh
# curl -i -N --max-time 2 -H "Connection: Upgrade" -H "Upgrade: websocket" \
#      -H "Sec-WebSocket-Version: 13" -H "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==" http://127.0.0.1:8765/echo
# ```
#
# **Postman.** Its desktop version, or its page with the desktop agent running, since a page alone does not reach your machine.
#
# 1. *New*, then *WebSocket*; paste `ws://127.0.0.1:8765/echo`.
# 2. Headers and a subprotocol, if you need them, are set on the tabs below the address, before you connect.
# 3. *Connect*. Write into *Message*, choose *Text*, *JSON* or *Binary*, and *Send*.
# 4. The list below shows what went and what came. Stop the server, and it shows the close code.
#
# **Hoppscotch.** It is a page of a foreign origin, so start the server with `--origin https://hoppscotch.io`; without that it is refused with 403, which is worth trying first. (Safari refuses `ws://127.0.0.1` from an https page; Chromium may ask for leave to use the local network.)
#
# 1. *Realtime*, then *WebSocket*; the same address.
# 2. *Connect*, write, *Send*; the log shows both directions.
#
# Whichever you use, try five things: a message that comes back, one of more than a megabyte (close 1009; start the server with `--max-size 1000` to try it by hand), a wrong path (a plain 404), an upgrade with a foreign origin (403), and killing the server while connected (1001 if it stops in order, 1006 if it is killed).
#
# A mobile app is no different from these: every platform has a client library, and most of them speak exactly this protocol. Many send no `Origin`, and none obeys a browser's rules, which brings us to the last fault.
#
# ## In the wild: the socket that anybody's page can use
# A browser attaches cookies to an upgrade as it does to any request. (Today's browsers withhold many cookies from foreign sites; `SameSite=Lax` is the default in Chromium, others partition them. That helps until somebody sets `SameSite=None`, and never against another port or subdomain of your own site.) But the same-origin rule, which keeps one site's page from reading another site's answers, does **not** cover WebSockets. So this server, rewritten here from a bug that is found every year, gives Mallory's page everything that Ada's browser may see:

# %%
from websockets.asyncio.server import serve

SESSIONS = {"s3cret": "ada"}


async def account(socket):
    cookie = socket.request.headers.get("Cookie", "").removeprefix("session=")
    if name := SESSIONS.get(cookie):
        await socket.send(f"hello {name}, your balance is 1,024")


async def attempt(origin, **protection):
    """What a page of this origin gets, when Ada's browser opens it."""
    async with serve(account, "127.0.0.1", 0, **protection) as server:
        port = server.sockets[0].getsockname()[1]
        cookie = {"Cookie": "session=s3cret"}
        try:
            async with connect(
                f"ws://127.0.0.1:{port}/",
                origin=origin,
                additional_headers=cookie,
                proxy=None,
            ) as socket:
                return await socket.recv()
        except InvalidStatus as refused:
            return f"{refused.response.status_code} {refused.response.reason_phrase}"


# %%
ours, theirs = "https://bank.example", "https://mallory.example"
protected = {"origins": [ours]}
attacked = await attempt(theirs)
table(
    ["page of", "without a check", "with an allow-list"],
    [ours, await attempt(ours), await attempt(ours, **protected)],
    [theirs, attacked, await attempt(theirs, **protected)],
)

# %%
# NBVAL_CHECK_OUTPUT
claim(
    "4.c16",
    "without a check a foreign page reads what the victim's cookie opens",
    attacked.startswith("hello ada"),
)
claim(
    "4.c17",
    "with an allow-list of origins it is refused before the upgrade, and our own page is not",
    (await attempt(theirs, **protected)).startswith("403")
    and (await attempt(ours, **protected)).startswith("hello ada"),
)

# %% [markdown]
# The attack has a name, cross-site WebSocket hijacking. The repair is one line: compare `Origin` with a list, before the upgrade. All servers of this course do so. A program that is no browser can write any origin it likes, but it does not have Ada's cookie either. What must not happen is that a browser is talked into combining the two.
#
# ## When is it right?
# A WebSocket is right when both sides talk often, when messages are small and many or binary, and when the order of what each side says matters: games, shared editing, chat, trading, remote control. It is more than you need when news only flows down, for which SSE is the same speed, a few bytes more for each event, plain HTTP, and comes back by itself.
# What you take over with the socket is everything that HTTP did for you: reconnecting and resuming, deciding who may say what, limits, logging, caching, and a goodbye to every client when you deploy.
#
# ## What this does not show
# Loopback hides what a wireless network does to a connection that is open for hours. The servers here speak `ws://`; in production the same bytes travel inside TLS as `wss://`, which also keeps old proxies from touching them. WebSockets over HTTP/2 (RFC 8441) share one connection with everything else, and are placed in notebook 07. And all our clients read as fast as they could. What happens when one of
# them does not, and how one message reaches thousands, is the next notebook.
#
# ## Key points
# - An upgrade is one HTTP request and a 101; after it there is no HTTP.
# - A frame is 2 to 14 bytes and the payload; clients mask, servers do not.
# - Frames make messages; control frames may come in between; TCP's pieces have nothing to do with either.
# - Limits are checked against what a header claims, before there is anything to keep.
# - On an open connection HTTP and a socket answer in the same time; the socket saves bytes and turns.
# - OPEN means that nobody said goodbye. Ping, or you will not know.
# - Check the origin, or any page can use your user's socket.
#
# ## Five questions to take away
# <details><summary>Why does the server answer with a hash of the client's key, if anybody can compute it?</summary>
#
# To show that it speaks this protocol and read this request. It keeps a plain web server, or a cache, from being taken for a WebSocket server by mistake. It authenticates nobody.
# </details>
#
# <details><summary>Why is a client's frame masked, and a server's not?</summary>
#
# So that a page cannot choose the bytes that travel, and fool a proxy between it and the server with something that looks like an HTTP request. Without that fake request there is nothing that a server's bytes could be mistaken for an answer to.
# </details>
#
# <details><summary>A text message arrives in two fragments, and the first ends in the middle of a character. Is that an error?</summary>
#
# No. The message must be UTF-8, not each fragment. Decode incrementally, or only when all of it is there.
# </details>
#
# <details><summary>Your client says OPEN, and for ten minutes nothing has come. What do you know?</summary>
#
# That neither side has closed the connection, as far as this end has heard. Send a ping, or expect a heartbeat, and count the seconds.
# </details>
#
# <details><summary>A colleague wants to replace a REST call by a WebSocket message because it is faster. What do you ask?</summary>
#
# Whether its connection is kept open already. If so, both take one round trip, and what is saved are the bytes of the headers.
# </details>
#
# <details><summary><b>For instructors</b></summary>
#
# **Time.** The cells run for about a minute in total. Plan 90 minutes: 30 for reading, predicting and measuring, 60 for exercises 4.1 to 4.5; 4.6 and 4.7 are for afterwards. The minutes for people are our estimate; the seconds for machines were measured.
#
# **In class.** Open the console page on the projector and let one half of the room connect to it from their own laptops (start the server with `--host 0.0.0.0` and `--origin`). Then open the browser's network panel, choose the socket, and show its messages beside the frame view of this notebook.
#
# **Where people stumble.** In 4.4 a frame comes in pieces, and the mask goes on where it stood. The length 65535 takes two bytes and 65536 takes eight. In 4.5 they decode each fragment by itself. In 4.7 they close the connection before their close frame has left.
#
# **Discuss.** Which of your products' sockets only ever talk downward?
# </details>
#
# **Next:** 05 · Rooms
