"""Exercise 4.5: `Assembler(limit)`, whose `add(frame)` gives the message that a frame ends."""

import codecs

from labs import frames
from labs.frames import Frame, Opcode, Violation


class right_the_course(frames.Assembler):
    def __init__(self, limit):
        super().__init__(limit=limit)


class right_parts:
    """Keeps the frames, and joins them at the end."""

    def __init__(self, limit):
        self.limit = limit
        self.parts: list[Frame] = []

    def add(self, frame):
        if frame.opcode in (8, 9, 10):
            return Opcode(frame.opcode), frame.payload
        if bool(self.parts) is not (frame.opcode == 0):
            raise Violation(1002, "out of place")
        self.parts.append(frame)
        if sum(len(part.payload) for part in self.parts) > self.limit:
            raise Violation(1009, "too long")
        return self.finish() if frame.fin else None

    def finish(self):
        parts, self.parts = self.parts, []
        data = b"".join(part.payload for part in parts)
        if parts[0].opcode == 2:
            return Opcode.BINARY, data
        try:
            return Opcode.TEXT, str(data, "utf-8")
        except UnicodeError as error:
            raise Violation(1007, str(error)) from error


class right_early:
    """Decodes as the frames come, and so refuses bad text early."""

    def __init__(self, limit):
        self.limit, self.decode = limit, None

    def add(self, frame):
        match frame.opcode, self.decode:
            case (8 | 9 | 10) as opcode, _:
                return opcode, frame.payload
            case (0, None):
                raise Violation(1002, "nothing to continue")
            case (1 | 2) as opcode, None:
                self.begin(opcode)
            case ((1 | 2), _):
                raise Violation(1002, "still busy")
        self.left -= len(frame.payload)
        if self.left < 0:
            raise Violation(1009, "too long")
        try:
            self.data += self.decode(frame.payload, frame.fin)
        except UnicodeDecodeError:
            raise Violation(1007, "not UTF-8") from None
        if frame.fin:
            self.decode = None
            return self.opcode, self.data

    def begin(self, opcode):
        self.opcode, self.left = opcode, self.limit
        if opcode == 1:
            self.data, self.decode = "", codecs.getincrementaldecoder("utf-8")().decode
        else:
            self.data, self.decode = b"", lambda data, final: data


class Wrong:
    """A right assembler, as a start for wrong ones."""

    def __init__(self, limit):
        self.limit, self.opcode, self.data = limit, None, b""

    def add(self, frame):
        if frame.opcode >= Opcode.CLOSE:
            return self.control(frame)
        self.check_order(frame)
        self.opcode = frame.opcode or self.opcode
        self.data += frame.payload
        self.check_size(frame)
        return self.finish() if frame.fin else None

    def control(self, frame):
        return frame.opcode, frame.payload

    def check_order(self, frame):
        self.refuse((frame.opcode == 0) != (self.opcode is not None), 1002)

    def check_size(self, frame):
        self.refuse(len(self.data) > self.limit, 1009)

    def finish(self):
        opcode, data = self.opcode, self.data
        self.opcode, self.data = None, b""
        return (opcode, self.decoded(data)) if opcode == 1 else (opcode, data)

    def decoded(self, data):
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise Violation(1007, "") from None

    def refuse(self, when, code):
        if when:
            raise Violation(code, "")


class wrong_wrong_message(Wrong):
    def finish(self):
        return super().finish()[1]


class wrong_wrong_message__list(Wrong):
    def finish(self):
        return list(super().finish())


class wrong_wrong_message__latin_1(Wrong):
    def decoded(self, data):
        return data.decode("latin-1")


class wrong_not_decoded(Wrong):
    def decoded(self, data):
        return data


class wrong_drops_empty_messages(Wrong):
    def add(self, frame):
        message = super().add(frame)
        return message if message and (message[1] or frame.opcode >= 8) else None


class wrong_drops_empty_messages__falsy(Wrong):
    def finish(self):
        opcode, data = super().finish()
        return (opcode, data) if data else None


class wrong_wrong_fragments(Wrong):
    """Every frame is a message."""

    def add(self, frame):
        return self.control(frame) if frame.opcode not in (1,) else (frame.opcode, self.decoded(frame.payload))


class wrong_wrong_fragments__keeps_the_last(Wrong):
    def add(self, frame):
        if frame.opcode < 8:
            self.data = b""
        return super().add(frame)


class wrong_keeps_continuation(Wrong):
    def add(self, frame):
        message = super().add(frame)
        return (frame.opcode, message[1]) if message and frame.opcode < 8 else message


class wrong_mixes_messages(Wrong):
    def finish(self):
        data = self.data
        message = super().finish()
        self.data = data if self.fragments else b""
        return message

    def add(self, frame):
        self.fragments = frame.opcode == 0
        return super().add(frame)


class wrong_accepts_stray_continuations__keeps_the_opcode(Wrong):
    """Forgets to forget the opcode; checks only for new messages inside of others."""

    def __init__(self, limit):
        super().__init__(limit)
        self.busy = False

    def check_order(self, frame):
        self.refuse(frame.opcode != 0 and self.busy, 1002)
        self.busy = not frame.fin

    def finish(self):
        opcode = self.opcode or 1
        message = super().finish()
        self.opcode = opcode
        return opcode, message[1] if isinstance(message[1], str) or opcode == 2 else self.decoded(message[1])


class wrong_shares_state(Wrong):
    begun = []  # noqa: RUF012  (that is what is wrong)

    def check_order(self, frame):
        if (frame.opcode == 0) != bool(self.begun):
            self.begun.clear()
            raise Violation(1002, "")
        self.begun.append(frame)

    def finish(self):
        self.begun.clear()
        return super().finish()


class wrong_wrong_control(Wrong):
    def control(self, frame):
        return None


class wrong_wrong_control__decodes_it(Wrong):
    def control(self, frame):
        return frame.opcode, frame.payload.decode()


class wrong_wrong_control__close_only(Wrong):
    def control(self, frame):
        return (frame.opcode, frame.payload) if frame.opcode == 8 else None


class wrong_disturbed_by_control(Wrong):
    def control(self, frame):
        self.opcode, self.data = None, b""
        return frame.opcode, frame.payload


class wrong_disturbed_by_control__keeps_its_payload(Wrong):
    def control(self, frame):
        self.data += frame.payload if self.opcode else b""
        return frame.opcode, frame.payload


class wrong_accepts_stray_continuations(Wrong):
    def check_order(self, frame):
        self.refuse(frame.opcode != 0 and self.opcode is not None, 1002)

    def finish(self):
        self.opcode = self.opcode or Opcode.TEXT
        return super().finish()


class wrong_accepts_interleaving(Wrong):
    def check_order(self, frame):
        self.refuse(frame.opcode == 0 and self.opcode is None, 1002)
        if frame.opcode:
            self.data = b""


class wrong_accepts_interleaving__looks_at_the_data(Wrong):
    """Takes an empty first fragment for none."""

    def check_order(self, frame):
        self.refuse(frame.opcode == 0 and self.opcode is None, 1002)
        self.refuse(frame.opcode != 0 and self.data, 1002)


class wrong_tears_characters(Wrong):
    """Decodes each fragment by itself."""

    def add(self, frame):
        if frame.opcode == 1 or (frame.opcode == 0 and self.opcode == 1):
            self.decoded(frame.payload)
        return super().add(frame)


class wrong_accepts_bad_text(Wrong):
    def decoded(self, data):
        return data.decode("utf-8", "replace")


class wrong_accepts_bad_text__surrogates(Wrong):
    def decoded(self, data):
        try:
            return data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise Violation(1007, "") from None


class wrong_accepts_half_a_character(Wrong):
    """An incremental decoder that is never told that the text has ended."""

    def decoded(self, data):
        try:
            return codecs.getincrementaldecoder("utf-8")().decode(data)
        except UnicodeDecodeError:
            raise Violation(1007, "") from None


class wrong_not_a_violation(Wrong):
    def decoded(self, data):
        return data.decode()


class wrong_wrong_code(Wrong):
    def decoded(self, data):
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise Violation(1002, "") from None


class wrong_refuses_the_limit(Wrong):
    def check_size(self, frame):
        self.refuse(len(self.data) >= self.limit, 1009)


class wrong_over_the_limit(Wrong):
    def check_size(self, frame):
        pass


class wrong_limit_for_each_frame(Wrong):
    def check_size(self, frame):
        self.refuse(len(frame.payload) > self.limit, 1009)


class wrong_limit_at_the_end(Wrong):
    def check_size(self, frame):
        self.refuse(frame.fin and len(self.data) > self.limit, 1009)


class wrong_counts_characters(Wrong):
    def check_size(self, frame):
        self.refuse(len(self.data.decode(errors="ignore") if self.opcode == 1 else self.data) > self.limit, 1009)


class wrong_counts_for_ever(Wrong):
    total = 0

    def check_size(self, frame):
        self.total += len(frame.payload)
        self.refuse(self.total > self.limit, 1009)


class wrong_counts_control_frames(Wrong):
    def control(self, frame):
        self.refuse(self.opcode and len(self.data) + len(frame.payload) > self.limit, 1009)
        return super().control(frame)
