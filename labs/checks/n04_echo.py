"""The check of exercise 4.7: a WebSocket server on asyncio streams, judged byte by byte, and by the `websockets` library.

Every conversation is one connection. What the server must say is compared frame by frame, and at its end the server closes.
"""

import asyncio
from contextlib import asynccontextmanager, suppress

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from labs import frames
from labs.checks import Exercise, Failed, fail
from labs.checks.attempt import alone, said, where
from labs.checks.wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, bare, hexed, own_pieces, sent, short, told
from labs.frames import Violation

echo = Exercise("4.7", "echo", "reader, writer", awaited=True)
EXERCISES = {"4.7": echo}

REQUEST = (
    b"GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
BYE = sent(CLOSE, b"\x03\xe8")


class Connection:
    """One client's connection as the answer serves it."""

    def __init__(self, reader, writer):
        self.reader, self.writer, self.task, self.error = reader, writer, asyncio.current_task(), None

    def reset(self):
        """What a client that resets the connection looks like to its server; in memory it would only be an end."""
        self.reader.set_exception(ConnectionResetError("Connection reset by peer"))

    def raised(self):
        """What the answer raised, in words. What has a verdict of its own is raised again."""
        if isinstance(self.error, Failed | NotImplementedError | NameError):
            raise self.error
        return [*where(self.error), f"echo raised {said(self.error)}"] if self.error else []

    def left(self):
        """What is left of it, as diagnosis, words and hint; None if it is closed and done."""
        if not self.task.done():
            return "left-running", "echo has not ended", 'await reader.read(…) gives b"" when the client has gone'
        if not self.writer.is_closing():
            return "left-open", "writer.close() was not called", "`finally` is reached however a `try` ends"
        return None


@asynccontextmanager
async def hosting(answer):
    """The answer as a server. Gives its port, and its connections by the client's port."""
    connections = {}

    async def handle(reader, writer):
        connection = connections[writer.get_extra_info("peername")[1]] = Connection(reader, writer)
        notice_reading_on(reader)
        try:
            with own_pieces(echo):
                await answer(reader, writer)
        except (Exception, Failed) as error:
            connection.error = alone(error)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], connections
    finally:
        server.close()


def notice_reading_on(reader):
    """Let an answer fail that goes on reading after the end, which would keep the event loop busy for ever."""
    read, ends = reader.read, []

    async def watched(n=-1):
        chunk = await read(n)
        ends.extend([] if chunk else [n])
        if len(ends) > 100:
            shown = "the client has gone, and since then reader.read was called a hundred times"
            fail("reads-on-after-the-end", shown, hint='end the loop when read gives b"": nothing will come any more')
        return chunk

    reader.read = watched


async def talk(host, pieces, request=REQUEST):
    """All that the server says to a client that sends these pieces one by one, whether it closes then, what it raised."""
    port, connections = host
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = []
    listening = asyncio.create_task(listen(reader, heard))
    for piece in (request, *pieces):
        writer.write(piece)
        await asyncio.sleep(0.001)
    done, _ = await asyncio.wait([listening], timeout=10)
    listening.cancel()
    writer.close()
    await asyncio.sleep(0.001)
    return b"".join(heard), bool(done), connections[writer.get_extra_info("sockname")[1]].raised()


async def listen(reader, heard):
    """Read until the server closes, in whatever way."""
    with suppress(ConnectionError):
        while chunk := await reader.read(65536):
            heard.append(chunk)


def frames_in(heard):
    """The server's frames as (opcode, payload); of a close frame its code."""
    reader, found = frames.FrameReader(masked=False, limit=2**21), []
    try:
        for one in reader.feed(heard.partition(b"\r\n\r\n")[2]):
            data = (int.from_bytes(one.payload[:2], "big") or None) if one.opcode == CLOSE else one.payload
            found.append((int(one.opcode), data, *([] if one.fin else [False])))
    except Violation as violation:
        is_masked = reader.buffer[1] > 127
        why = "a server's frames have no mask" if is_masked else "encode_frame makes what may be written"
        slug = "masks-its-frames" if is_masked else "not-a-frame"
        fail(slug, f"the server sent  {told(found)}, and then {hexed(reader.buffer)}", violation.reason, hint=why)
    if reader.buffer:
        shown = f"the server sent  {told(found)}, and then only {hexed(reader.buffer)}"
        fail("not-a-frame", shown, hint="encode_frame makes what may be written")
    return found


async def converse(host, slug, hint, rule, pieces, right, request=REQUEST):
    """One conversation. Where what is right does not end in a close frame, the client closes at the end."""
    if not right or right[-1][0] != CLOSE:
        pieces, right = [*pieces, BYE], [*right, (CLOSE, 1000)]
    heard, closed, raised = await talk(host, pieces, request)
    got = frames_in(heard)
    shown = [f"rule   {rule}", f"sent   {cut(pieces)}", f"right  {told(right)}", f"yours  {told(got)}", *raised]
    if got == right:
        if raised:
            fail("raises-at-the-end", *shown, hint="when all has been said, `echo` simply ends")
        if not closed:
            fail("stays-open", *shown, hint="after its close frame a server closes the connection: writer.close()")
        return
    extra = got[len(right) :]
    if got[: len(right)] == right:
        slug = "closes-twice" if extra[0][0] == CLOSE else "talks-after-close"
        fail(slug, *shown, hint="one close frame, and nothing after it: `return`")
    if got == right[:-1]:
        fail("no-close-frame", *shown, hint="the last thing that a server says is a close frame, with its code")
    if {PING, PONG}.isdisjoint(one[0] for one in right) and [one[1] for one in got] == [one[1] for one in right]:
        fail("loses-the-type", *shown, hint="text goes back as text, binary as binary")
    fail(slug, *shown, hint=hint)


def cut(pieces):
    return " ✂ ".join(hexed(piece, 10) for piece in pieces[:6]) + " …" * (len(pieces) > 6)


def text(payload, fin=True):
    return sent(TEXT, payload, fin)


def more(payload, fin=False):
    return sent(CONTINUATION, payload, fin)


HI, HI_BACK = text(b"Hi"), (TEXT, b"Hi")
PINGS = [bytes([number]) for number in range(10)]
MUSIC = "𝄞".encode()
CONVERSATIONS = {  # a sentence: a diagnosis, a hint, conversations: the rule, what is sent, what must come back
    "messages come back, each with its type": (
        "wrong-echo", "encode_frame(opcode, payload), with the opcode that the message had", [
            ("§5.6 text", [HI], [HI_BACK]),
            ("§5.6 binary", [sent(BINARY, b"\xff\0")], [(BINARY, b"\xff\0")]),
            ("§5.6 no payload", [text(b""), sent(BINARY)], [(TEXT, b""), (BINARY, b"")]),
            ("§5.6 UTF-8", [text("grüß €".encode())], [(TEXT, "grüß €".encode())]),
            ("§5.2 a length of two bytes", [text(b"a" * 126)], [(TEXT, b"a" * 126)]),
            ("§5.4 three fragments", [text(b"a", False), more(b""), more(b"b", True)], [(TEXT, b"ab")]),
            ("§5.4 binary fragments", [sent(BINARY, b"a", False), more(b"b", True)], [(BINARY, b"ab")]),
            ("§5.6 a character in two fragments", [text(MUSIC[:2], False), more(MUSIC[2:], True)], [(TEXT, MUSIC)]),
        ],
    ),
    "however the bytes are cut": (
        "loses-bytes", "one FrameReader and one Assembler for the whole connection, and every frame that feed returns", [
            ("a frame in two pieces", [HI[:5], HI[5:]], [HI_BACK]),
            ("a frame together with the request", [], [HI_BACK], REQUEST + HI),
            ("a request in pieces", [REQUEST[20:-1], REQUEST[-1:] + HI], [HI_BACK], REQUEST[:20]),
            ("a frame and a half", [HI + HI[:1], HI[1:]], [HI_BACK, HI_BACK]),
            ("three frames in one piece", [HI * 3], [HI_BACK] * 3),
            ("byte by byte", [bytes([one]) for one in HI * 2], [HI_BACK] * 2),
        ],
    ),
    "a ping is answered by a pong": (
        "wrong-pong", "encode_frame(Opcode.PONG, …), with what the ping carried", [
            ("§5.5.2 the pong has the ping's payload", [sent(PING, b"\xff!")], [(PONG, b"\xff!")]),
            ("§5.5.2 no payload", [sent(PING)], [(PONG, b"")]),
            ("§5.5.2 125 bytes", [sent(PING, b"a" * 125)], [(PONG, b"a" * 125)]),
            ("§5.5.2 ten in one piece", [b"".join(sent(PING, one) for one in PINGS)], [(PONG, one) for one in PINGS]),
            ("§5.4 between fragments", [text(b"H", False), sent(PING, b"?"), more(b"i", True)], [(PONG, b"?"), HI_BACK]),
        ],
    ),
    "a pong is not": (
        "answers-pongs", "nobody waits for an answer to a pong", [
            ("§5.5.3 a pong that nobody asked for", [sent(PONG, b"!"), HI], [HI_BACK]),
            ("§5.5.3 between fragments", [text(b"H", False), sent(PONG), more(b"i", True)], [HI_BACK]),
        ],
    ),
    "a close frame is answered once": (
        "wrong-close", "encode_frame(Opcode.CLOSE, answer_close(payload)), and then close the connection", [
            ("§5.5.1 the code comes back", [BYE], [(CLOSE, 1000)]),
            ("§5.5.1 a code of your own, with a reason", [sent(CLOSE, b"\x0f\xa0bye")], [(CLOSE, 4000)]),
            ("§5.5.1 no code", [sent(CLOSE)], [(CLOSE, None)]),
            ("§5.5.1 inside of a message", [text(b"H", False), BYE], [(CLOSE, 1000)]),
            ("§5.5.1 nothing after it: a text", [BYE + HI], [(CLOSE, 1000)]),
            ("§5.5.1 nothing after it: a ping", [BYE + sent(PING)], [(CLOSE, 1000)]),
            ("§5.5.1 nothing after it: another close", [BYE + BYE], [(CLOSE, 1000)]),
            ("§5.5.1 half a code", [sent(CLOSE, b"\x03")], [(CLOSE, 1002)]),
            ("§7.4.1 1005 is not for the wire", [sent(CLOSE, b"\x03\xed")], [(CLOSE, 1002)]),
            ("§7.4.2 999 is not a code", [sent(CLOSE, b"\x03\xe7")], [(CLOSE, 1002)]),
            ("§5.5.1 a reason in UTF-8", [sent(CLOSE, b"\x03\xe8\xff")], [(CLOSE, 1007)]),
        ],
    ),
    "a violation is told by its code, and not a word more": (
        "wrong-violation", "except Violation as violation: a close frame with violation.code; both limits are 2**20", [
            (rule, [HI, bad, HI], [HI_BACK, (CLOSE, code)]) for code, rule, bad in (
                (1002, "§5.1 a client masks its frames", bare("8102") + b"Hi"),
                (1002, "§5.2 reserved bits are 0", b"\xc1" + HI[1:]),
                (1002, "§5.2 opcode 3 is reserved", b"\x83" + HI[1:]),
                (1002, "§5.2 opcode 11 is reserved", b"\x8b" + HI[1:]),
                (1002, "§5.2 the shortest form of a length", bare("81fe0002K") + HI[6:]),
                (1002, "§5.2 a length of less than 2**63", bare("82ffffffffffffffffffK")),
                (1002, "§5.5 a control frame has at most 125 bytes", sent(PING, bytes(126))),
                (1002, "§5.5 a control frame is final", sent(PING, b"", False)),
                (1002, "§5.4 a continuation of nothing", more(b"!", True)),
                (1002, "§5.4 a message inside another", text(b"H", False) + HI),
                (1007, "§8.1 no such byte", text(b"\xff")),
                (1007, "§8.1 a surrogate", text(b"\xed\xa0\x80")),
                (1007, "§8.1 half a character at the end", text(b"a", False) + more(MUSIC[:3], True)),
                (1009, "§7.4.1 a frame that promises 2**62 bytes", bare("82ff4000000000000000K")),
                (1009, "§7.4.1 one byte more than the limit", bare("82ff0000000000100001K")),
            )
        ],
    ),
}  # fmt: skip


async def converse_all(answer, slug, hint, conversations):
    """Conversations at the same time, which is faster; the first that is not right counts."""
    async with hosting(answer) as host:
        talks = [converse(host, slug, hint, *conversation) for conversation in conversations]
        for outcome in await asyncio.gather(*talks, return_exceptions=True):
            if outcome:
                raise outcome


async def shake_hands(host, request, slug, hint):
    """The answer to a request must be the right one."""
    heard, _, raised = await talk(host, [BYE], request)
    head, end, _ = heard.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    shown = [*(f"the server sent  {line}" for line in (status or "nothing", *lines)), *raised]
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if not heard:
        fail(slug, *shown, hint=hint)
    if not status.startswith("HTTP/1.1 101"):
        fail("not-101", *shown, hint="HTTP/1.1 101 Switching Protocols")
    if not end:
        fail("head-not-ended", *shown, hint="every line ends with \\r\\n, and after the headers comes an empty one")
    if headers.get("sec-websocket-accept") != ACCEPT:
        fail("wrong-accept", *shown, f"right is  Sec-WebSocket-Accept: {ACCEPT}", hint="accept_key(key), nothing else")
    if headers.get("upgrade", "").lower() != "websocket" or "upgrade" not in headers.get("connection", "").lower():
        fail("missing-headers", *shown, hint="Upgrade: websocket and Connection: Upgrade belong to every such answer")


@echo.case("the handshake")
async def _(answer):
    async with hosting(answer) as host:
        why = 'await reader.readuntil(b"\\r\\n\\r\\n") reads up to the empty line, and does not wait for more'
        await shake_hands(host, REQUEST, "no-handshake", why)
        name = b"Sec-WebSocket-Key"
        for other in (name.lower(), name.upper()):
            why = f"{other.decode()} is the same name"
            await shake_hands(host, REQUEST.replace(name, other), "wants-capitals", why)


@echo.case("a text comes back, whole and in pieces")
async def _(answer):
    for sentence, tried in (("messages come back, each with its type", 1), ("however the bytes are cut", 2)):
        slug, hint, conversations = CONVERSATIONS[sentence]
        for one in conversations[:tried]:
            await converse_all(answer, slug, hint, [one])


@echo.case("two clients, each in the middle of something, do not disturb each other")
async def _(answer):
    why = "one FrameReader and one Assembler for each connection: make them inside of echo"
    for pieces in ([HI[:5], HI[5:]], [text(b"H", False), more(b"i", True)]):
        clients = [("every connection for itself", pieces, [HI_BACK]), ("every connection for itself", [HI], [HI_BACK])]
        await converse_all(answer, "shares-state", why, clients)


for sentence, arguments in CONVERSATIONS.items():

    @echo.case(sentence)
    async def _(answer, arguments=arguments):
        await converse_all(answer, *arguments)


async def use_library(port, size):
    """A conversation with a client of the `websockets` library; gives the close code that it got."""
    url = f"ws://127.0.0.1:{port}/echo"
    async with asyncio.timeout(10), connect(url, compression=None, proxy=None, ping_interval=None) as client:
        for message in ("Hello", b"\0\xff", "", b"", "grüß € 𝄞", bytes(size), ["Hel", "", "lo"], [b"a", b"b"]):
            await client.send(message)
            got, right = await client.recv(), message[0][:0].join(message) if isinstance(message, list) else message
            if got != right:
                fail(
                    "wrong-echo", f"sent  {short(message)}", f"back  {short(got)}", hint="text as str, binary as bytes"
                )
        await (await client.ping(b"?"))
        await client.close(4321, "bye")
        return client.close_code


async def expect_library(answer, size):
    async with hosting(answer) as (port, connections):
        try:
            code = await use_library(port, size)
        except (WebSocketException, OSError, TimeoutError) as error:
            raised = [line for one in connections.values() for line in one.raised()]
            why = "what is different from the conversations above? 70,000 bytes need the longest form of a length"
            fail("no-conversation", f"the client says  {said(error)}", *raised, hint=why)
        if code != 4321:
            fail("wrong-close", f"the client closed with 4321 and got {code}", hint="answer_close repeats the code")
        await nothing_left([("the client has closed", one) for one in connections.values()])


async def nothing_left(clients):
    """Within a few seconds their connections must be closed and their handlers done, without an exception."""
    for _ in range(100):
        await asyncio.sleep(0.05)
        if all(connection.task.done() for _, connection in clients):
            break
    for what, connection in clients:
        if raised := connection.raised():
            why = "except (ConnectionError, asyncio.IncompleteReadError): pass"
            fail("dies-with-the-client", what, *raised, hint=why)
        if left := connection.left():
            slug, shown, why = left
            fail(slug, what, shown, hint=why)


@echo.case("the `websockets` library talks with it, also in fragments")
async def _(answer):
    await expect_library(answer, 300)


LEAVING = {  # when a client vanishes: what it has said, and whether it resets the connection instead of closing it
    "before it has asked": (b"", False),
    "in the middle of its request": (REQUEST[:40], False),
    "after the handshake": (REQUEST, False),
    "in the middle of a frame": (REQUEST + HI[:5], False),
    "in the middle of a message": (REQUEST + text(b"H", False), False),
    "by a reset": (REQUEST + HI, True),
    "by a reset in its request": (REQUEST[:40], True),
}


@echo.case("a client that vanishes, at whatever moment, leaves nothing behind")
async def _(answer):
    before = asyncio.all_tasks()
    async with hosting(answer) as (port, connections):
        clients = {}
        for when, (begun, _) in LEAVING.items():
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(begun)
            await asyncio.sleep(0.1)
            clients[when] = writer, connections[writer.get_extra_info("sockname")[1]]
        for when, (_, resets) in LEAVING.items():
            writer, connection = clients[when]
            if resets:
                connection.reset()
                await asyncio.sleep(0.1)
            writer.close()
        await nothing_left([(f"a client vanishes {when}", connection) for when, (_, connection) in clients.items()])
        if left := len(asyncio.all_tasks() - before):
            why = "what you start with create_task, you cancel when the connection ends"
            fail("left-running", f"{len(clients)} clients have vanished, and {left} tasks still run", hint=why)


@echo.case("the same over a real socket, with 70,000 bytes", real=True)
async def _(answer):
    await expect_library(answer, 70_000)
