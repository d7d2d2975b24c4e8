"""Exercise 4.4: `FrameReader(limit)`, whose `feed(chunk)` gives the frames that end in a piece, however the stream is cut."""

import struct

from labs import frames
from labs.frames import Frame, Opcode, Violation, mask


class right_the_course(frames.FrameReader):
    def __init__(self, limit):
        super().__init__(masked=True, limit=limit)

    def feed(self, chunk):
        return list(super().feed(chunk))


class right_generator:
    """A coroutine in the old sense: it yields how many bytes it needs, and they are sent into it."""

    def __init__(self, limit):
        self.limit, self.buffer, self.frames = limit, bytearray(), []
        self.reading = self.read()
        self.need = next(self.reading)

    def feed(self, chunk):
        self.buffer += chunk
        while len(self.buffer) >= self.need:
            piece = bytes(self.buffer[: self.need])
            del self.buffer[: self.need]
            self.need = self.reading.send(piece)
        frames, self.frames = self.frames, []
        return frames

    def read(self):
        while True:
            first, second = yield 2
            fin, reserved, opcode = first >> 7, first >> 4 & 7, first & 15
            size = second & 127
            if size == 126:
                (size,) = struct.unpack("!H", (yield 2))
                self.expect(size > 125)
            elif size == 127:
                (size,) = struct.unpack("!Q", (yield 8))
                self.expect(65535 < size < 1 << 63)
            self.expect(second & 128 and not reserved and opcode in {0, 1, 2, 8, 9, 10})
            self.expect(opcode < 8 or (size < 126 and fin))
            if size > self.limit:
                raise Violation(1009, "too big")
            key = yield 4
            payload = (yield size) if size else b""
            self.frames.append(Frame(Opcode(opcode), mask(payload, key), fin == 1))

    def expect(self, holds):
        if not holds:
            raise Violation(1002, "not a frame")


class right_from_the_start:
    """Keeps the buffer, and tries each time to read it from the start; what is missing shows as an exception."""

    def __init__(self, limit):
        self.limit, self.data = limit, b""

    def feed(self, chunk):
        self.data, found = self.data + chunk, []
        try:
            while True:
                frame, self.data = self.split(self.data)
                found.append(frame)
        except EOFError:
            return found

    def split(self, data):
        (first, second), data = self.part(data, 2)
        control = bool(first & 8)
        if first & 0b01110000 or first & 7 > 2 or second < 128 or (control and (second > 128 + 125 or first < 128)):
            raise Violation(code=1002, reason="")
        size = second - 128
        if size > 125:
            length, data = self.part(data, 2 if size == 126 else 8)
            least, size = 126 if size == 126 else 65536, int.from_bytes(length, "big")
            if size < least or size >= 2**63:
                raise Violation(code=1002, reason="")
        if size > self.limit:
            raise Violation(code=1009, reason="")
        key, data = self.part(data, 4)
        payload, data = self.part(data, size)
        return Frame(Opcode(first & 15), mask(payload, key), first >= 128), data

    def part(self, data, size):
        if len(data) < size:
            raise EOFError
        return data[:size], data[size:]


class Wrong:
    """A right reader, as a start for wrong ones: the methods are what they get wrong."""

    def __init__(self, limit):
        self.limit, self.buffer = limit, b""

    def feed(self, chunk):
        self.buffer += chunk
        frames = []
        while (frame := self.take()) is not None:
            frames.append(frame)
        return frames

    def take(self):
        buffer = self.buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        self.check_header(first, second)
        width = {126: 2, 127: 8}.get(second & 127, 0)
        start = 2 + width + 4
        if len(buffer) < start:
            return None
        size = self.length(buffer[2 : 2 + width]) if width else second & 127
        self.check_size(width, size)
        if len(buffer) < start + size:
            return None
        self.buffer = buffer[start + size :]
        payload = self.unmask(buffer[start : start + size], buffer[start - 4 : start])
        return Frame(first & 15, payload, first >= 128)

    def check_header(self, first, second):
        control = first & 8
        self.refuse(first & 0x70 or first & 7 > 2 or second < 128 or (control and (second > 253 or first < 128)))

    def length(self, data):
        return int.from_bytes(data, "big")

    def check_size(self, width, size):
        self.refuse(not {0: 0, 2: 126, 8: 65536}[width] <= size < 2**63)
        self.refuse(size > self.limit, 1009)

    def unmask(self, payload, key):
        return mask(payload, key)

    def refuse(self, when, code=1002):
        if when:
            raise Violation(code, "")


class wrong_wrong_frame(Wrong):
    def unmask(self, payload, key):
        return mask(payload, key[::-1])


class wrong_wrong_frame__late(Wrong):
    def take(self):
        return super().take() if len(self.buffer) > 6 + (self.buffer[1] & 127) else None


class wrong_leaves_the_mask(Wrong):
    def unmask(self, payload, key):
        return payload


class wrong_drops_empty_frames(Wrong):
    def feed(self, chunk):
        return [frame for frame in super().feed(chunk) if frame.payload]


class wrong_wrong_first_byte(Wrong):
    def feed(self, chunk):
        return [Frame(frame.opcode, frame.payload) for frame in super().feed(chunk)]


class wrong_wrong_first_byte__opcode(Wrong):
    def feed(self, chunk):
        return [Frame(frame.opcode & 3, frame.payload, frame.fin) for frame in super().feed(chunk)]


class wrong_wrong_length(Wrong):
    def length(self, data):
        return int.from_bytes(data, "little")


class wrong_wrong_length__first_form_only(Wrong):
    def take(self):
        size = self.buffer[1] & 127 if len(self.buffer) > 1 else 0
        if len(self.buffer) < 6 + size:
            return None
        frame = Frame(self.buffer[0] & 15, mask(self.buffer[6 : 6 + size], self.buffer[2:6]), self.buffer[0] > 127)
        self.buffer = self.buffer[6 + size :]
        return frame if size or frame.opcode else None


class wrong_wrong_length__off_by_one(Wrong):
    def check_size(self, width, size):
        self.refuse(not {0: 0, 2: 127, 8: 65536}[width] <= size < 2**63)
        super().check_size(width, size)


class wrong_wrong_length__refuses_the_limit(Wrong):
    def check_size(self, width, size):
        super().check_size(width, size)
        self.refuse(size >= self.limit, 1009)


class wrong_one_frame_a_piece(Wrong):
    def feed(self, chunk):
        self.buffer += chunk
        frame = self.take()
        return [] if frame is None else [frame]


class wrong_one_frame_a_piece__drops_the_rest(Wrong):
    def feed(self, chunk):
        self.buffer += chunk
        frame = self.take()
        if frame is None:
            return []
        self.buffer = b""
        return [frame]


class wrong_shares_state:
    pieces = []  # noqa: RUF012  (that is what is wrong)

    def __init__(self, limit):
        self.limit = limit

    def feed(self, chunk):
        self.pieces.append(chunk)
        reader = Wrong(self.limit)
        try:
            frames = reader.feed(b"".join(self.pieces))
        except Violation:
            self.pieces.clear()
            raise
        self.pieces[:] = [reader.buffer]
        return frames


class wrong_tears_the_header(Wrong):
    def take(self):
        if len(self.buffer) == 1:
            self.buffer = b""
        return super().take()


class wrong_tears_the_header__index_error(Wrong):
    def take(self):
        if self.buffer:
            self.check_header(self.buffer[0], self.buffer[1])
        return super().take()


class wrong_tears_the_length(Wrong):
    def take(self):
        if len(self.buffer) > 1 and self.buffer[1] & 127 == 126:
            struct.unpack("!H", self.buffer[2:4])
        return super().take()


class wrong_tears_the_length__takes_what_is_there(Wrong):
    def take(self):
        if len(self.buffer) > 1 and self.buffer[1] & 127 == 126:
            self.check_size(2, self.length(self.buffer[2:4]))
        return super().take()


class wrong_tears_the_key(Wrong):
    """Does not count the key into what must be there."""

    def take(self):
        if 2 < len(self.buffer) < 6 and self.buffer[1] & 127 < 4 and len(self.buffer) >= 2 + (self.buffer[1] & 127):
            self.buffer = b""
        return super().take()


class wrong_tears_the_payload(Wrong):
    def feed(self, chunk):
        frames = super().feed(chunk)
        if len(self.buffer) > 8 and self.buffer[1] & 127 < 126:
            self.buffer = b""
        return frames


class wrong_restarts_the_mask(Wrong):
    """Takes the mask off each piece as it comes."""

    def __init__(self, limit):
        super().__init__(limit)
        self.frame, self.left = None, 0

    def feed(self, chunk):
        frames = []
        self.buffer += chunk
        while self.buffer or (self.frame and not self.left):
            if self.frame is None and not self.begin():
                break
            piece, self.buffer = self.buffer[: self.left], self.buffer[self.left :]
            self.payload += mask(piece, self.key)
            self.left -= len(piece)
            if self.left:
                break
            frames.append(Frame(self.frame & 15, self.payload, self.frame > 127))
            self.frame = None
        return frames

    def begin(self):
        width = {126: 2, 127: 8}.get(self.buffer[1] & 127, 0) if len(self.buffer) > 1 else 0
        if len(self.buffer) < 6 + width:
            return False
        self.left = self.length(self.buffer[2 : 2 + width]) if width else self.buffer[1] & 127
        self.key, self.payload, self.frame = self.buffer[2 + width : 6 + width], b"", self.buffer[0]
        self.buffer = self.buffer[6 + width :]
        return True


class wrong_fails_byte_by_byte(Wrong):
    """Takes a piece without anything in it for the end."""

    def feed(self, chunk):
        if not chunk:
            self.buffer = b""
        return super().feed(chunk)


class wrong_accepts_unmasked(Wrong):
    def check_header(self, first, second):
        super().check_header(first, second | 128)

    def take(self):
        if len(self.buffer) > 1 and self.buffer[1] < 126:
            size = self.buffer[1]
            if len(self.buffer) < 2 + size:
                return None
            frame, self.buffer = Frame(self.buffer[0] & 15, self.buffer[2 : 2 + size]), self.buffer[2 + size :]
            return frame
        return super().take()


class wrong_accepts_reserved_bits(Wrong):
    def check_header(self, first, second):
        super().check_header(first & 0x8F, second)


class wrong_accepts_reserved_bits__one_of_three(Wrong):
    def check_header(self, first, second):
        super().check_header(first & 0xDF, second)


class wrong_accepts_reserved_opcodes(Wrong):
    def check_header(self, first, second):
        super().check_header(first & 0xF8, second)


class wrong_raises_ValueError(Wrong):
    def check_header(self, first, second):
        Opcode(first & 15)
        super().check_header(first, second)


class wrong_accepts_long_pings(Wrong):
    def check_header(self, first, second):
        self.refuse(first & 0x70 or first & 7 > 2 or second < 128 or (first & 8 and first < 128))


class wrong_accepts_fragmented_pings(Wrong):
    def check_header(self, first, second):
        super().check_header(first | 128, second)


class wrong_accepts_longer_forms(Wrong):
    def check_size(self, width, size):
        self.refuse(size >= 2**63)
        self.refuse(size > self.limit, 1009)


class wrong_accepts_longer_forms__off_by_one(Wrong):
    def check_size(self, width, size):
        self.refuse(size < {0: 0, 2: 125, 8: 65535}[width] or size >= 2**63)
        self.refuse(size > self.limit, 1009)


class wrong_accepts_the_top_bit(Wrong):
    """Takes the top bit away, as if it were nothing."""

    def length(self, data):
        return super().length(data) & (2**63 - 1) if len(data) == 8 else super().length(data)

    def check_size(self, width, size):
        self.refuse(size > self.limit, 1009) if size > 5 else None
        self.refuse(size > 5 and not {0: 0, 2: 126, 8: 65536}[width] <= size)
        if width == 8 and size == 5:
            self.refuse(self.buffer[2] < 128)
        elif width and size < 6:
            self.refuse(True)


class wrong_wrong_code(Wrong):
    def check_size(self, width, size):
        self.refuse(size > self.limit, 1009)
        super().check_size(width, size)


class wrong_wrong_code__1002_for_all(Wrong):
    def refuse(self, when, code=1002):
        super().refuse(when)


class wrong_over_the_limit(Wrong):
    def check_size(self, width, size):
        self.refuse(not {0: 0, 2: 126, 8: 65536}[width] <= size < 2**63)


class wrong_waits_for_the_payload(Wrong):
    def feed(self, chunk):
        return super().feed(chunk)

    def take(self):
        before = self.buffer
        frame = self.unchecked()
        if frame is not None:
            super().check_header(before[0], before[1])
        return frame

    def unchecked(self):
        check = self.check_header
        self.check_header = lambda first, second: None
        try:
            return super().take()
        finally:
            self.check_header = check


class wrong_accepts_it_in_pieces(Wrong):
    """Looks at what is forbidden only when the whole header has come in one piece."""

    def feed(self, chunk):
        self.fresh = not self.buffer
        return super().feed(chunk)

    def refuse(self, when, code=1002):
        super().refuse(when and self.fresh, code)


class wrong_not_a_list_of_frames(Wrong):
    def feed(self, chunk):
        return [(frame.opcode, frame.payload, frame.fin) for frame in super().feed(chunk)]


class wrong_not_a_list_of_frames__generator(frames.FrameReader):
    def __init__(self, limit):
        super().__init__(masked=True, limit=limit)


class wrong_needs_a_piece(Wrong):
    def unmask(self, payload, key):
        return stub(payload, key)


def stub(data, key):
    raise NotImplementedError


stub.__code__ = stub.__code__.replace(co_name="mask", co_qualname="mask")
