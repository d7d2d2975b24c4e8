"""The check of exercise 5.5: a rooms server on the `websockets` library, driven by clients that are another library's.

A scenario is a list of steps: a client does something, and then all that all clients have heard is compared. What they
hear is noted in short: `joined blue: ada bob`, `blue: bob left`, `blue #1 ada: hi`, `error`.
"""

import asyncio
import inspect
import json
import logging
import re
import traceback
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

import aiohttp
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from labs import clients, frames
from labs.checks import Exercise, Timeline, fail
from labs.checks.attempt import alone, said, where
from labs.checks.n05_broadcast import short

make_chat = Exercise("5.5", "make_chat", "")
EXERCISES = {"5.5": make_chat}


class Errors(logging.Handler):
    """What the handlers raised, and what was raised in a callback."""

    def __init__(self):
        super().__init__()
        self.raised = []

    def emit(self, record):
        self.add(record.exc_info and record.exc_info[1])

    def add(self, error):
        if error and not isinstance(error, ConnectionClosed):
            self.raised.append(error)


class Client:
    """A client that is not `websockets`: aiohttp's. It reads what comes, and notes it in short."""

    def __init__(self, name, socket, line):
        self.name, self.socket, self.line = name, socket, line
        self.heard, self.arrived = [], {}
        self.reading = asyncio.create_task(self.read())

    async def read(self):
        async for frame in self.socket:
            if frame.type is not aiohttp.WSMsgType.TEXT:
                fail("not-text", f"{self.name} got a {frame.type.name} frame", hint="JSON travels as text: Opcode.TEXT")
            self.heard.append(brief(json.loads(frame.data)))
            self.arrived[self.heard[-1]] = asyncio.get_running_loop().time()

    async def say(self, text):
        """Send a request, such as "join blue" or "message blue hi all"; what is no request goes as it is."""
        kind, room, words = (*(text.split(" ", 2) if isinstance(text, str) else ()), "", "", "")[:3]
        self.line.add(f"{self.name:>5} → {text[:60] if isinstance(text, str) else short(text)}")
        if kind in ("join", "leave", "message"):
            text = json.dumps({"type": kind, "room": room} | ({"text": words} if kind == "message" else {}))
        await (self.socket.send_str if isinstance(text, str) else self.socket.send_bytes)(text)

    async def end(self, how):
        """Close the connection, or vanish without a word."""
        self.line.add(f"{self.name:>5}   {how}")
        self.reading.cancel()
        if how == "closes":
            await self.socket.close()
        else:
            self.socket._response.connection.transport.abort()


def brief(message):
    """A server's message in short; one that the contract does not know, as it is."""
    match message:
        case {"type": "joined", "room": str(room), "members": [*names]}:
            return f"joined {room}: {' '.join(sorted(map(str, names)))}"
        case {"type": "left", "room": str(room)}:
            return f"left {room}"
        case {"type": "presence", "room": str(room), "joined": str(name)}:
            return f"{room}: {name} joined"
        case {"type": "presence", "room": str(room), "left": str(name)}:
            return f"{room}: {name} left"
        case {"type": "message", "room": str(room), "id": int(id), "sender": str(name), "text": str(text), "at": int()}:
            return f"{room} #{id} {name}: {text[:40]}"
        case {"type": "error", "code": str(), "detail": str()}:
            return "error"
    return short(message)


KINDS = {  # what differs, where ME is the client that acted: the diagnosis, and a hint
    r"\AME misses error\Z": ("no-error", "if reply: tell([member], reply)"),
    r"ME gets \w+: ME joined": ("tells-the-newcomer", "the newcomer has its `joined`; presence is for the others"),
    r"ME gets \w+: ME left": ("tells-the-leaver", "presence is for those who remain"),
    r"ME gets joined \w+:(?!.* ME\b)": ("forgets-the-newcomer", "the newcomer is one of the members, too"),
    r"ME misses (joined|left)": ("no-answer", "whoever asks is answered, with what `joined` and `left` hold"),
    r"other misses \w+: ME joined": ("joins-in-silence", "rooms.join(…) returns those who are to be told"),
    r"other misses \w+: ME left": ("leaves-in-silence", "whoever goes is missed: tell those who remain"),
    r"(?m)ME gets {": ("not-the-contract", "compare the keys, and the types of their values, with the ones above"),
    r"(?s)ME misses \w+ #.*ME gets \w+ #": ("wrong-id", "each room has a count of its own, which begins at 1"),
    r"ME misses \w+ #": ("sender-hears-nothing", "the sender is one of the room's members, too"),
    r"other misses \w+ #": ("others-hear-nothing", "tell(rooms.members(room), …)"),
    r"ME gets \w+ #": ("hears-it-twice", "a message comes once: it needs no other reply"),
}
WHY = {
    "lets-outsiders-speak": "look whether the member is in the room: rooms.members(room)",
    "lets-outsiders-leave": "whoever is not in the room gets an error, and nobody hears of it",
    "counts-what-it-refused": "count when everything has been found to be right",
    "stays-when-closed": "`finally` is reached in whatever way a connection ends: rooms.leave_all(member)",
    "stays-when-vanished": "ConnectionClosedError is raised at the `async for`, and what stands after it is not reached",
}
LIFE = {  # a sentence, and steps: who does what, and then who hears what
    "who joins is told who is there, and those who are there hear of it": [
        ("ada join blue", "ada joined blue: ada"), ("bob join blue", "bob joined blue: ada bob; ada blue: bob joined"),
        ("zoë join blue", "zoë joined blue: ada bob zoë; ada blue: zoë joined; bob blue: zoë joined"),
        ("zoë join red", "zoë joined red: zoë"), ("ada join blue", "ada joined blue: ada bob zoë"),
    ],
    "who leaves is told so, and those who remain hear of it": [
        ("ada join blue", "ada joined blue: ada"), ("bob join blue", "bob joined blue: ada bob; ada blue: bob joined"),
        ("ada leave blue", "ada left blue; bob blue: ada left"), ("bob leave blue", "bob left blue"),
        ("ada join blue", "ada joined blue: ada"),
    ],
    "a message reaches everyone in its room, the sender too, and each room counts from 1": [
        ("ada join blue", "ada joined blue: ada"), ("bob join blue", "bob joined blue: ada bob; ada blue: bob joined"),
        ("bob join red", "bob joined red: bob"), ("eve join red", "eve joined red: bob eve; bob red: eve joined"),
        ("ada message blue hi", "ada blue #1 ada: hi; bob blue #1 ada: hi"),
        ("bob message red ho", "bob red #1 bob: ho; eve red #1 bob: ho"),
        ("bob message blue grüß dich 🎉", "ada blue #2 bob: grüß dich 🎉; bob blue #2 bob: grüß dich 🎉"),
    ],
    "whoever is not in a room says nothing in it": [
        ("ada join blue", "ada joined blue: ada"), ("bob message blue hi", "bob error", "lets-outsiders-speak"),
        ("bob leave blue", "bob error", "lets-outsiders-leave"),
        ("bob join blue", "bob joined blue: ada bob; ada blue: bob joined"),
        ("bob leave blue", "bob left blue; ada blue: bob left"),
        ("bob message blue hi", "bob error", "lets-outsiders-speak"),
        ("ada message blue hi", "ada blue #1 ada: hi", "counts-what-it-refused"),
    ],
    "when a connection ends, however it does, those who remain hear of it, once": [
        ("ada join blue", "ada joined blue: ada"), ("bob join blue", "bob joined blue: ada bob; ada blue: bob joined"),
        ("eve join blue", "eve joined blue: ada bob eve; ada blue: eve joined; bob blue: eve joined"),
        ("eve join red", "eve joined red: eve"), ("ada join red", "ada joined red: ada eve; eve red: ada joined"),
        ("bob closes", "ada blue: bob left; eve blue: bob left", "stays-when-closed"),
        ("eve vanishes", "ada blue: eve left; ada red: eve left", "stays-when-vanished"),
        ("ada message blue hi", "ada blue #1 ada: hi"), ("zoë join blue", "zoë joined blue: ada zoë; ada blue: zoë joined"),
    ],
}  # fmt: skip
RUBBISH = {
    "hello": "words", "[" * 30_000: "deep-json", "[1]": "a-list", b"\xff\xff": "bytes", '{"type":"shout"}': "an-unknown-type",
    '{"type":"join"}': "no-room", '{"type":"join","room":"Blue *"}': "a-bad-room", '{"type":"leave","room":["blue"]}': "a-bad-room",
    '{"type":"message","room":7,"text":"hi"}': "a-bad-room", '{"type":"message","room":"blue"}': "no-text",
    '{"type":"message","room":"blue","text":7}': "any-text",
}  # fmt: skip


NAMES = ["ada", "bob", "eve", "zoë"]


class Hall:
    """The answer's server, and the clients in front of it."""

    def __init__(self, http, url, errors):
        self.http, self.url, self.errors, self.line = http, url, errors, Timeline()
        self.clients, self.sockets = {}, []

    async def enter(self, name):
        """The client of this name; it comes when it is asked for first."""
        if name not in self.clients:
            socket = await self.http.ws_connect(f"{self.url}/rooms", params={"name": name})
            self.clients[name] = Client(name, socket, self.line)
        return self.clients[name]

    async def act(self, step):
        """Let a client do something: "ada join blue", "ada vanishes"."""
        name, what = step.split(" ", 1)
        client = await self.enter(name)
        await (client.end(what) if what in ("closes", "vanishes") else client.say(what))
        await asyncio.sleep(0.1)

    def expect(self, actor, right, slug="wrong-news"):
        """So much has been heard since the last time, and by nobody else."""
        self.tell()
        wanted = {}
        for name, message in (one.split(" ", 1) for one in right.split("; ") if one):
            wanted.setdefault(name, []).append(message)
        differs = []
        for name, client in sorted(self.clients.items()):
            heard, client.heard = sorted(client.heard), []
            for one in heard:
                self.line.add(f"{name:>5} ← {one}")
            more, less = Counter(heard), Counter(wanted.get(name, []))
            differs += [f"{name} misses {one}" for one in sorted((less - more).elements())]
            differs += [f"{name} gets {one}" for one in sorted((more - less).elements())]
        if differs:
            kind = kind_of(differs, actor)
            if kind is None or (slug in WHY and kind[0] != "no-error"):
                kind = slug, WHY.get(slug, "who should hear what?")
            slug, hint = kind
            fail(slug, *self.line.lines[-8:], *differs[:4], hint=hint)

    def tell(self):
        """Raise what the answer has raised."""
        for error in map(alone, self.errors.raised):
            with pieces():
                raise error


def kind_of(differs, actor):
    """What is known about such differences: a diagnosis and a hint."""
    lines = [re.sub(rf"\b{actor}\b", "ME", one) for one in differs]
    text = "\n".join(line if line.startswith("ME ") else f"other {line.split(' ', 1)[1]}" for line in lines)
    return next((kind for pattern, kind in KINDS.items() if re.search(pattern, text)), None)


@contextmanager
def pieces():
    """Where an earlier exercise is not written yet, say which."""
    try:
        yield
    except NotImplementedError as error:
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        name = frame.f_code.co_qualname.partition(".")[0]
        if name == make_chat.name:
            raise
        fail("needs-a-piece", f"{name} is not written yet", hint="this exercise builds on the ones before")


@asynccontextmanager
async def hosting(answer):
    """The answer's server on this event loop, simulated or real; yields the `Hall`."""
    errors, log = Errors(), logging.Logger("rooms", logging.ERROR)
    with pieces():
        chat = answer()
    if not callable(chat):
        fail("not-a-handler", f"make_chat() returned an object of type {type(chat).__name__}", hint="return chat")
    log.addHandler(errors)
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.add(context.get("exception")))

    async def handler(socket):
        hall.sockets.append(socket)
        serving = chat(socket)
        if not inspect.isawaitable(serving):
            fail("not-async", "chat(socket) cannot be awaited", hint="its first line is: async def chat(socket):")
        await serving

    options = {"compression": None, "ping_interval": None, "logger": log}
    async with serve(handler, "127.0.0.1", 0, **options) as server, clients.session(None) as http:
        hall = Hall(http, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", errors)
        try:
            yield hall
        finally:
            for socket in hall.sockets:
                socket.transport.abort()


@make_chat.case("every server begins empty")
async def _(answer):
    async with hosting(answer) as first, hosting(answer) as second:
        await first.act("ada join blue")
        await second.act("bob join blue")
        first.tell(), second.tell()
        if any("ada" in heard for heard in second.clients["bob"].heard):
            why = "what all connections share is made inside of make_chat, anew for each server"
            fail("shares-state", "two servers: somebody who joined at one is a member at the other", hint=why)


for sentence, steps in LIFE.items():

    @make_chat.case(sentence)
    async def _(answer, steps=steps):
        async with hosting(answer) as hall:
            await asyncio.gather(*map(hall.enter, sorted({step.split()[0] for step, *_ in steps})))
            for step, right, *slug in steps:
                await hall.act(step)
                hall.expect(step.split()[0], right, *slug)


@make_chat.case("what is no request is answered with an error, and the connection lives on")
async def _(answer):
    async with hosting(answer) as hall:
        await hall.act("ada join blue")
        hall.expect("ada", "ada joined blue: ada")
        for text, name in RUBBISH.items():
            ada = hall.clients["ada"]
            await ada.say(text)
            await asyncio.sleep(0.1)
            if ada.socket.closed or hall.errors.raised:
                shown = [line for error in hall.errors.raised[:1] for line in (*where(error), said(error))]
                why = "nothing that a client says may end its handler"
                fail(f"dies-of-{name}", *hall.line.lines[-3:], *shown, hint=why)
            if ada.heard != ["error"]:
                shown = f"right is an error, yours is {', '.join(ada.heard) or 'nothing'}"
                why = "raise ValueError(…), and dispatch makes the error"
                fail(f"takes-{name}", *hall.line.lines[-3:], shown, hint=why)
            ada.heard = []


@make_chat.case("all get a room's messages in one order, however fast they come")
async def _(answer):
    async with hosting(answer) as hall:
        await asyncio.gather(*map(hall.enter, NAMES))
        for name in NAMES:
            await hall.act(f"{name} join blue")
        await asyncio.gather(*(talk(hall.clients[name], range(5)) for name in NAMES))
        await asyncio.sleep(1)
        hall.tell()
        heard = [[one for one in client.heard if "#" in one] for client in hall.clients.values()]
        numbers = [[int(re.search(r"#(\d+)", one)[1]) for one in one_heard] for one_heard in heard]
        told = "4 clients said 5 things each, at once"
        for got in numbers:
            if sorted(got) != list(range(1, 21)):
                shown = f"one of them has heard {len(set(got))} different messages of 20"
                fail("loses-in-a-burst", told, shown, hint="everyone gets everything")
            if got != sorted(got) or heard[0] != heard[-1]:
                shown = "one of them has heard them in another order than that of their ids"
                why = "count, and put into every outbox, without waiting in between"
                fail("out-of-order", told, shown, hint=why)


async def talk(client, texts):
    for text in texts:
        await client.say(f"message blue {text}")


async def stop_reading(hall, name, room):
    """A client that joins a room and from then on takes nothing any more."""
    host, port = urlsplit(hall.url).hostname, urlsplit(hall.url).port
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, host, port)
    head = f"GET /rooms?name={name} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    transport.write(f"{head}Sec-WebSocket-Key: {'A' * 22}==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
    await asyncio.sleep(0.1)
    transport.write(frames.encode(frames.Opcode.TEXT, f'{{"type":"join","room":"{room}"}}'.encode(), key=b"mask"))
    await asyncio.sleep(0.1)
    transport.pause_reading()
    return transport


@make_chat.case("twenty clients: one vanishes, one sends rubbish, one stops reading, and the others do not notice")
async def _(answer):
    async with hosting(answer) as hall:
        names = [f"m{number:02}" for number in range(19)]
        await asyncio.gather(*map(hall.enter, names))
        for name in names:
            await hall.clients[name].say("join hall")
        await asyncio.sleep(0.1)
        joined = [f"hall: {name} joined" for name in names]
        for place, name in enumerate(names):
            right = [f"joined hall: {' '.join(names[: place + 1])}", *joined[place + 1 :]]
            if hall.clients[name].heard != right:
                hall.tell()
                shown = f"{name}, who came as number {place + 1}, has heard {len(hall.clients[name].heard)} messages"
                why = "what holds above for three holds for twenty, too"
                fail(
                    "wrong-among-twenty",
                    shown,
                    f"right are {len(right)}: the others' names, and who came later",
                    hint=why,
                )
        for name in names[:4]:
            await hall.clients[name].say("join blue")
        await stop_reading(hall, "zzz", "blue")
        await hall.clients["m18"].end("vanishes")
        peak, sent = 0, {}
        for number in range(10):
            text = f"no. {number:02}{'.' * 26_000}"
            await hall.clients["m17"].say("rubbish")
            sent[f"blue #{number + 1} m00: {text[:40]}"] = asyncio.get_running_loop().time()
            await hall.clients["m00"].say(f"message blue {text}")
            await asyncio.sleep(0.1)
            peak = max(peak, hall.sockets[-1].transport.get_write_buffer_size())
        await asyncio.sleep(20)
        hall.tell()
        for name in names[:4]:
            late = [hall.clients[name].arrived.get(text, 1e9) - at for text, at in sent.items()]
            if max(late) > 0.05:
                shown = "a room of five, one of whom has stopped reading: the others got messages late, or never"
                why = "who waits for the one that has stopped? An outbox never waits"
                fail("waits-for-the-slow", shown, hint=why)
        code = hall.sockets[-1].protocol.close_sent
        shown = f"one member has stopped reading; up to {peak:,} bytes waited for it in the transport"
        if peak > 150_000 or not code:
            fail("buffers-without-bound", shown, "it was not closed", hint="put every frame into the member's outbox")
        if code.code != 1013:
            fail("another-code", shown, f"it was closed with {code.code}", hint="1013, try again later")
        if not hall.sockets[-1].transport.is_closing():
            why = "what ends a reader that takes nothing?"
            fail("keeps-the-stopped", shown, "its connection is still open", hint=why)
        for farewell in ("blue: zzz left", "hall: m18 left"):
            if farewell not in hall.clients["m01"].arrived:
                why = "`finally` is reached in whatever way a connection ends"
                fail("stays-when-stopped", f"nobody was told: {farewell}", hint=why)


@make_chat.case("the same on real sockets", real=True)
async def _(answer):
    async with hosting(answer) as hall:
        names = [f"m{number:02}" for number in range(20)]
        await asyncio.gather(*map(hall.enter, names))
        for name in names:
            await hall.clients[name].say("join blue")
        await until(hall, "joined", lambda: len(hall.clients["m00"].heard) == 20)
        for name in names[:10]:
            await hall.clients[name].say("message blue hi")
        everyone = [hall.clients[name].heard for name in names]
        await until(hall, "spoken", lambda: all(sum("#" in one for one in heard) == 10 for heard in everyone))
        for place, name in enumerate(names[10:]):
            await hall.clients[name].end(("closes", "vanishes")[place % 2])
        await until(hall, "left", lambda: sum("left" in one for one in hall.clients["m00"].heard) == 10)


async def until(hall, what, holds):
    """Wait until it holds, which on real sockets takes its time."""
    for _ in range(500):
        hall.tell()
        if holds():
            return
        await asyncio.sleep(0.02)
    why = "what differs between this run and the ones above?"
    fail("differs-in-real-time", f"of twenty clients some have {what}, and not all have heard of it", hint=why)
