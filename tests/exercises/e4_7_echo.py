"""Exercise 4.7: `echo(reader, writer)`, a whole server for one WebSocket connection."""

import asyncio
import re
from contextlib import closing, suppress

from labs import frames
from labs.frames import Opcode, Violation, accept_key

LIMIT = 2**20
SWITCH = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n"
)
encode_frame = frames.encode


def FrameReader(limit):
    return frames.FrameReader(masked=True, limit=limit)


def Assembler(limit):
    return frames.Assembler(limit=limit)


def answer_close(payload):
    try:
        return payload and frames.encode_close(*frames.parse_close(payload))
    except Violation as violation:
        return violation.code.to_bytes(2, "big")


def key_of(request):
    return re.search(rb"(?im)^sec-websocket-key:\s*(\S+)", request)[1].decode()


async def right_as_the_text_says(reader, writer):
    try:
        request = await reader.readuntil(b"\r\n\r\n")
        writer.write(SWITCH.format(accept_key(key_of(request))).encode())
        reading, messages = FrameReader(LIMIT), Assembler(LIMIT)
        while chunk := await reader.read(65536):
            for frame in reading.feed(chunk):
                message = messages.add(frame)
                match message:
                    case (Opcode.TEXT, text):
                        writer.write(encode_frame(1, text.encode()))
                    case (Opcode.BINARY, data):
                        writer.write(encode_frame(2, data))
                    case (Opcode.PING, data):
                        writer.write(encode_frame(10, data))
                    case (Opcode.CLOSE, data):
                        writer.write(encode_frame(8, answer_close(data)))
                        return
            await writer.drain()
    except Violation as violation:
        writer.write(encode_frame(8, violation.code.to_bytes(2, "big")))
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


class right_object:
    """A connection as an object; the function only makes one."""

    def __new__(cls, reader, writer):
        self = super().__new__(cls)
        self.reader, self.writer, self.open = reader, writer, True
        return self.serve()

    async def serve(self):
        with closing(self.writer), suppress(OSError, EOFError):
            await self.shake_hands()
            async for opcode, data in self.messages():
                self.answer(opcode, data)
                await self.writer.drain()
                if not self.open:
                    break
            await self.writer.drain()

    async def shake_hands(self):
        headers = {}
        await self.reader.readline()
        while (line := await self.reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            headers[name.title()] = value.strip()
        if "Sec-Websocket-Key" not in headers:
            raise EOFError
        self.writer.write(SWITCH.format(accept_key(headers["Sec-Websocket-Key"])).encode())

    async def messages(self):
        reading, messages = FrameReader(LIMIT), Assembler(LIMIT)
        try:
            while chunk := await self.reader.read(1000):
                for frame in reading.feed(chunk):
                    if message := messages.add(frame):
                        yield message
        except Violation as violation:
            yield Opcode.CLOSE, violation.code.to_bytes(2, "big")

    def answer(self, opcode, data):
        answers = {Opcode.PING: Opcode.PONG, Opcode.PONG: None}
        if opcode == Opcode.CLOSE:
            data, self.open = answer_close(data), False
        if answers.get(opcode, opcode):
            data = data.encode() if isinstance(data, str) else data
            self.writer.write(encode_frame(answers.get(opcode, opcode), data))


async def right_task_and_queue(reader, writer):
    """One task reads, another answers; readexactly, one frame at a time."""
    queue = asyncio.Queue()
    try:
        request = await reader.readuntil(b"\r\n\r\n")
        writer.write(SWITCH.format(accept_key(key_of(request))).encode())
        reading = asyncio.create_task(read_all(reader, queue))
        try:
            while (wire := await queue.get()) is not None:
                writer.write(wire)
                await writer.drain()
        finally:
            reading.cancel()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


async def read_all(reader, queue):
    reading, messages = FrameReader(LIMIT), Assembler(LIMIT)
    try:
        while True:
            for frame in reading.feed(await reader.readexactly(1)):
                opcode, data = messages.add(frame) or (Opcode.PONG, b"")
                if opcode == Opcode.PING:
                    await queue.put(encode_frame(Opcode.PONG, data))
                elif opcode == Opcode.CLOSE:
                    await queue.put(encode_frame(Opcode.CLOSE, answer_close(data)))
                    return
                elif opcode != Opcode.PONG:
                    await queue.put(encode_frame(opcode, data if opcode == 2 else data.encode()))
    except Violation as violation:
        await queue.put(encode_frame(Opcode.CLOSE, frames.encode_close(violation.code, violation.reason)))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        await queue.put(None)


class Wrong:
    """A right server, as a start for wrong ones: the methods and attributes are what they get wrong."""

    switch, gone = SWITCH, (ConnectionError, asyncio.IncompleteReadError)

    def __new__(cls, reader, writer):
        self = super().__new__(cls)
        self.reader, self.writer = reader, writer
        return self.serve()

    async def serve(self):
        try:
            await self.shake_hands()
            self.frames, self.messages = FrameReader(LIMIT), Assembler(LIMIT)
            await self.work()
        except Violation as violation:
            self.refuse(violation)
        except self.gone:
            pass
        finally:
            self.close()

    async def shake_hands(self):
        key = self.key(await self.reader.readuntil(b"\r\n\r\n"))
        self.writer.write(self.switch.format(accept_key(key)).encode())

    def key(self, request):
        return key_of(request)

    async def work(self):
        while chunk := await self.reader.read(65536):
            for frame in self.frames.feed(chunk):
                message = self.messages.add(frame)
                if message and self.answer(*message):
                    return
            await self.writer.drain()

    def answer(self, opcode, data):
        if opcode == Opcode.CLOSE:
            return self.on_close(data)
        if opcode == Opcode.PING:
            self.on_ping(data)
        elif opcode == Opcode.PONG:
            self.on_pong(data)
        else:
            self.on_message(opcode, data.encode() if opcode == Opcode.TEXT else data)

    def on_close(self, data):
        self.send(Opcode.CLOSE, answer_close(data))
        return True

    def on_ping(self, data):
        self.send(Opcode.PONG, data)

    def on_pong(self, data):
        pass

    def on_message(self, opcode, data):
        self.send(opcode, data)

    def refuse(self, violation):
        self.send(Opcode.CLOSE, violation.code.to_bytes(2, "big"))

    def send(self, opcode, data):
        self.writer.write(encode_frame(opcode, data))

    def close(self):
        self.writer.close()


class wrong_no_handshake(Wrong):
    """Waits for the end of a stream that does not end."""

    async def shake_hands(self):
        self.writer.write(SWITCH.format(accept_key(key_of(await self.reader.read()))).encode())


class wrong_not_101(Wrong):
    switch = SWITCH.replace("101 Switching Protocols", "200 OK")


class wrong_head_not_ended(Wrong):
    switch = SWITCH.removesuffix("\r\n")


class wrong_wrong_accept(Wrong):
    def key(self, request):
        return key_of(request).rstrip("=")


class wrong_wrong_accept__none(Wrong):
    switch = re.sub("Sec-WebSocket-Accept.*?\r\n", "", SWITCH)


class wrong_missing_headers(Wrong):
    switch = SWITCH.replace("Connection: Upgrade\r\n", "")


class wrong_wants_capitals(Wrong):
    def key(self, request):
        return re.search(rb"Sec-WebSocket-Key: (.*)\r", request)[1].decode()


class wrong_wrong_echo(Wrong):
    def on_message(self, opcode, data):
        self.send(opcode, b"You said: " + data)


class wrong_masks_its_frames(Wrong):
    def send(self, opcode, data):
        self.writer.write(encode_frame(opcode, data, key=b"mask"))


class wrong_not_a_frame(Wrong):
    def send(self, opcode, data):
        self.writer.write(data + b"\n")


class wrong_loses_the_type(Wrong):
    def on_message(self, opcode, data):
        self.send(Opcode.TEXT, data)


class wrong_shares_state(Wrong):
    reading, assembling = None, None

    async def work(self):
        if wrong_shares_state.reading is None:
            wrong_shares_state.reading, wrong_shares_state.assembling = FrameReader(LIMIT), Assembler(LIMIT)
        self.frames, self.messages = wrong_shares_state.reading, wrong_shares_state.assembling
        await super().work()

    def close(self):
        wrong_shares_state.reading = None
        super().close()


class wrong_wrong_pong(Wrong):
    def on_ping(self, data):
        self.send(Opcode.PING, data)


class wrong_wrong_pong__none(Wrong):
    def on_ping(self, data):
        pass


class wrong_wrong_pong__empty(Wrong):
    def on_ping(self, data):
        self.send(Opcode.PONG, b"")


class wrong_wrong_pong__as_a_message(Wrong):
    def on_ping(self, data):
        self.send(Opcode.BINARY, data)


class wrong_answers_pongs(Wrong):
    def on_pong(self, data):
        self.send(Opcode.PONG, data)


class wrong_loses_bytes(Wrong):
    """Makes a new reader for each piece."""

    async def work(self):
        while chunk := await self.reader.read(65536):
            for frame in FrameReader(LIMIT).feed(chunk):
                message = self.messages.add(frame)
                if message and self.answer(*message):
                    return


class wrong_loses_bytes__after_the_head(Wrong):
    """Reads the request with `read`, and drops what came with it."""

    async def shake_hands(self):
        head = await self.reader.read(65536)
        while b"\r\n\r\n" not in head:
            head += await self.reader.read(65536)
        self.writer.write(SWITCH.format(accept_key(key_of(head))).encode())


class wrong_loses_bytes__one_frame_a_piece(Wrong):
    async def work(self):
        while chunk := await self.reader.read(65536):
            found = list(self.frames.feed(chunk))
            message = self.messages.add(found[0]) if found else None
            if message and self.answer(*message):
                return


class wrong_wrong_close(Wrong):
    def on_close(self, data):
        self.send(Opcode.CLOSE, data)
        return True


class wrong_wrong_close__always_1000(Wrong):
    def on_close(self, data):
        self.send(Opcode.CLOSE, b"\x03\xe8")
        return True


class wrong_no_close_frame(Wrong):
    def on_close(self, data):
        return True


class wrong_no_close_frame__for_violations(Wrong):
    def refuse(self, violation):
        pass


class wrong_no_close_frame__violations_pass(Wrong):
    def refuse(self, violation):
        raise violation


class wrong_stays_open(Wrong):
    def close(self):
        pass


class wrong_talks_after_close(Wrong):
    """Ends when it has answered all that came together with the close frame."""

    async def work(self):
        closed = False
        while not closed and (chunk := await self.reader.read(65536)):
            for frame in self.frames.feed(chunk):
                message = self.messages.add(frame)
                closed |= bool(message and self.answer(*message))


class wrong_stays_open__until_the_client_closes(Wrong):
    def on_close(self, data):
        super().on_close(data)
        return False


class wrong_closes_twice(Wrong):
    """Says its own goodbye after the answer."""

    async def work(self):
        await super().work()
        self.send(Opcode.CLOSE, b"\x03\xe8")


class wrong_wrong_violation(Wrong):
    def refuse(self, violation):
        self.send(Opcode.CLOSE, b"\x03\xea")


class wrong_wrong_violation__reason_first(Wrong):
    def refuse(self, violation):
        self.send(Opcode.CLOSE, violation.reason.encode())


class wrong_raises_at_the_end(Wrong):
    def close(self):
        self.writer.close()
        raise RuntimeError("this connection is closed")


class wrong_reads_on_after_the_end(Wrong):
    async def work(self):
        while True:
            chunk = await self.reader.read(65536)
            for frame in self.frames.feed(chunk):
                message = self.messages.add(frame)
                if message and self.answer(*message):
                    return


class wrong_left_open(Wrong):
    """Closes where all goes well, and after violations."""

    def on_close(self, data):
        super().on_close(data)
        self.writer.close()
        return True

    def refuse(self, violation):
        super().refuse(violation)
        self.writer.close()

    def close(self):
        pass


class wrong_left_running(Wrong):
    async def serve(self):
        await super().serve()
        await asyncio.sleep(3600)


class wrong_left_running__a_task_of_its_own(Wrong):
    async def work(self):
        self.ticking = asyncio.create_task(self.tick())
        await super().work()

    async def tick(self):
        while True:
            await asyncio.sleep(60)


class wrong_dies_with_the_client(Wrong):
    gone = ()


class wrong_dies_with_the_client__connection_only(Wrong):
    gone = (ConnectionError,)


class wrong_dies_with_the_client__end_only(Wrong):
    gone = (asyncio.IncompleteReadError,)


class wrong_needs_a_piece(Wrong):
    def on_close(self, data):
        return stub(data)


def stub(payload):
    raise NotImplementedError


stub.__code__ = stub.__code__.replace(co_name="answer_close", co_qualname="answer_close")


def wrong_not_async(reader, writer):
    writer.close()
