"""Exercise 3.2: `Reader`, whose `feed(chunk)` gives the events that end in a piece of a stream, however it is cut."""

import codecs
import re

from labs.sse_codec import Parser, SseEvent


class right_character_by_character:
    def __init__(self):
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self.line, self.previous = "", ""
        self.data, self.type, self.id = [], "", ""

    def feed(self, chunk):
        events = []
        for character in self.decoder.decode(chunk):
            if character not in "\r\n":
                self.line += character
            elif self.previous + character != "\r\n":
                line, self.line = self.line, ""
                events += self.end_of_line(line)
            self.previous = character
        return events

    def end_of_line(self, line):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self.data.append(value)
        elif name == "event":
            self.type = value
        elif name == "id" and "\0" not in value:
            self.id = value
        return [] if line else self.dispatch()

    def dispatch(self):
        data, type = self.data, self.type or "message"
        self.data, self.type = [], ""
        return [SseEvent(type, "\n".join(data), self.id)] if data else []


class right_bytes:
    """Cuts bytes into lines, and decodes whole lines."""

    def __init__(self):
        self.rest, self.begun, self.after_cr = b"", False, False
        self.fields, self.last_id = {}, ""

    def feed(self, chunk):
        events = []
        if self.after_cr and chunk:
            chunk, self.after_cr = chunk.removeprefix(b"\n"), False
        self.rest += chunk
        while match := re.search(rb"\r\n|\r|\n", self.rest):
            line, self.rest = self.rest[: match.start()], self.rest[match.end() :]
            self.after_cr = match[0] == b"\r" and not self.rest
            if not self.begun:
                line, self.begun = line.removeprefix(b"\xef\xbb\xbf"), True
            self.take(line.decode("utf-8", "replace"), events)
        return events

    def take(self, line, events):
        if line == "":
            if "data" in self.fields:
                data = "\n".join(self.fields["data"])
                events.append(SseEvent(self.fields.get("event") or "message", data, self.last_id))
            self.fields = {}
        elif not line.startswith(":"):
            name, value = re.fullmatch(r"([^:]*):? ?(.*)", line, re.DOTALL).groups()
            if name == "data":
                self.fields.setdefault("data", []).append(value)
            elif name == "id":
                self.last_id = self.last_id if "\0" in value else value
            else:
                self.fields[name] = value


class right_generator:
    """A coroutine in the old sense: lines are sent into it."""

    def __init__(self):
        self.decode = codecs.getincrementaldecoder("utf-8")().decode
        self.text, self.first, self.skip = "", True, False
        self.ready = []
        self.lines = self.collect()
        next(self.lines)

    def collect(self):
        id = ""
        while True:
            type, data = "message", None
            while line := (yield):
                match line.split(":", 1):
                    case ["data", *value]:
                        value = "".join(value).removeprefix(" ")
                        data = value if data is None else f"{data}\n{value}"
                    case ["event", *value]:
                        type = "".join(value).removeprefix(" ") or "message"
                    case ["id", *value] if "\0" not in line:
                        id = "".join(value).removeprefix(" ")
            if data is not None:
                self.ready.append(SseEvent(type, data, id))

    def feed(self, chunk):
        text = self.decode(chunk)
        if text and self.first:
            self.first, text = False, text.removeprefix("\ufeff")
        if text and self.skip:
            text = text.removeprefix("\n")
        if text:
            self.skip = text.endswith("\r")
        *lines, self.text = (self.text + text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for line in lines:
            self.lines.send(line)
        ready, self.ready = self.ready, []
        return ready


class right_the_course(Parser):
    pass


class Wrong(right_character_by_character):
    """A right reader, as a start for wrong ones: `fields` and `dispatch` are what most of them get wrong."""


class wrong_wrong_events(Wrong):
    def dispatch(self):
        data, self.data = self.data, []
        return [SseEvent("", "\n".join(data), self.id)] if data else []


class wrong_not_a_list_of_events(Wrong):
    def feed(self, chunk):
        return [(event.type, event.data, event.last_event_id) for event in super().feed(chunk)]


class wrong_not_a_list_of_events__one(Wrong):
    def feed(self, chunk):
        return next(iter(super().feed(chunk)), None)


class wrong_delivers_half(Wrong):
    def feed(self, chunk):
        events = super().feed(chunk)
        if self.line:
            events += self.end_of_line(self.line)
        return events + self.dispatch()


class wrong_shares_state:
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    line, previous, type, id = "", "", "", ""
    data = []  # noqa: RUF012  (that is what is wrong)

    feed, end_of_line = Wrong.feed, Wrong.end_of_line

    def dispatch(self):
        events = [SseEvent(self.type or "message", "\n".join(self.data), self.id)] if self.data else []
        self.data.clear()
        self.type = ""
        return events


class wrong_joins_wrongly(Wrong):
    def dispatch(self):
        self.data = ["".join(self.data)] if self.data else []
        return super().dispatch()


class wrong_joins_wrongly__last_wins(Wrong):
    def dispatch(self):
        self.data = self.data[-1:]
        return super().dispatch()


class wrong_drops_empty_data(Wrong):
    def dispatch(self):
        self.data = [line for line in self.data if line]
        return super().dispatch()


class wrong_events_of_nothing(Wrong):
    def dispatch(self):
        event = SseEvent(self.type or "message", "\n".join(self.data), self.id)
        self.data, self.type = [], ""
        return [event]


class wrong_events_of_nothing__keeps_the_type(Wrong):
    def dispatch(self):
        return super().dispatch() if self.data else []


class OfText:
    """A right reader but for the way that it makes lines of text, `lines(text)`."""

    def __init__(self):
        self.text, self.reader = "", Wrong()
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")

    def feed(self, chunk):
        self.text += self.decoder.decode(chunk)
        *lines, self.text = self.lines(self.text)
        return [event for line in lines for event in self.reader.end_of_line(line)]


class wrong_ignores_crlf(OfText):
    def lines(self, text):
        return text.split("\n")


class wrong_ignores_cr(OfText):
    def lines(self, text):
        return text.replace("\r\n", "\n").split("\n")


class wrong_splits_elsewhere(OfText):
    def lines(self, text):
        *lines, last = (text + "x").splitlines()
        return [*lines, last[:-1]]


class wrong_tears_crlf(OfText):
    def lines(self, text):
        return re.split("\r\n|\r|\n", text)


class wrong_late(OfText):
    """Waits for what comes after a carriage return."""

    def lines(self, text):
        return re.split("\r\n|\r(?=.)|\n", text, flags=re.DOTALL)


class Line(Wrong):
    """Changes a line before it is read."""

    def end_of_line(self, line):
        return super().end_of_line(self.change(line))


class wrong_needs_a_space(Line):
    def change(self, line):
        return line if not line or ": " in line or line == "data:" else ": nothing"


class wrong_strips(Line):
    def change(self, line):
        name, _, value = line.partition(":")
        return f"{name}:{value.strip()}" if line else ""


class wrong_splits_at_every_colon(Line):
    def change(self, line):
        return ":".join(line.split(":")[:2])


class wrong_reads_comments(Line):
    def change(self, line):
        return line.lstrip(":")


class wrong_reads_comments__ends_the_event(Line):
    def change(self, line):
        return "" if line.startswith(":") else line


class wrong_reads_unknown_fields(Line):
    def change(self, line):
        return re.sub("^[^:]*data:", "data:", line)


class wrong_ignores_the_type(Line):
    def change(self, line):
        return line if not line.startswith("event") else ":"


class wrong_keeps_the_type(Wrong):
    def dispatch(self):
        kept = self.type if self.data else ""
        events = super().dispatch()
        self.type = kept
        return events


class wrong_forgets_the_id(Wrong):
    def dispatch(self):
        events = super().dispatch()
        self.id = ""
        return events


class wrong_ignores_the_empty_id(Line):
    def change(self, line):
        return line if line != "id:" else ":"


class wrong_takes_nul(Line):
    def change(self, line):
        if line.startswith("id:"):
            self.id = line[3:].removeprefix(" ")
            return ":"
        return line


class wrong_reads_the_mark(Wrong):
    def __init__(self):
        super().__init__()
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")


class wrong_drops_every_mark(Line):
    def change(self, line):
        return line.replace("\ufeff", "")


class wrong_not_utf_8(Wrong):
    def __init__(self):
        super().__init__()
        self.begun = False

    def feed(self, chunk):
        marked, self.decoder = chunk.startswith(b"\xef\xbb\xbf"), codecs.getincrementaldecoder("latin-1")()
        return super().feed(chunk.removeprefix(b"\xef\xbb\xbf") if marked and not self.begun else chunk)

    def end_of_line(self, line):
        self.begun = True
        return super().end_of_line(
            re.sub("ï»¿", "\ufeff", line).replace("\xc2\x85", "\x85").replace("â\x80¨", "\u2028")
        )


class wrong_forgets_half_an_event(Wrong):
    def feed(self, chunk):
        events = super().feed(chunk)
        self.data, self.type = [], ""
        return events


class wrong_forgets_half_an_event__whole_reader(Wrong):
    def feed(self, chunk):
        return Wrong().feed(chunk)


class wrong_forgets_half_a_line(Wrong):
    def feed(self, chunk):
        events = super().feed(chunk)
        self.line = ""
        return events


class wrong_forgets_half_a_line__takes_it_for_whole(Wrong):
    def feed(self, chunk):
        events = super().feed(chunk)
        if self.line:
            line, self.line = self.line, ""
            events += self.end_of_line(line)
        return events


class Decoded(right_bytes):
    """Decodes each piece by itself."""

    def feed(self, chunk):
        return super().feed(chunk.decode("utf-8", self.errors).encode())


class wrong_tears_characters(Decoded):
    errors = "replace"


class wrong_tears_characters__raises(Decoded):
    errors = "strict"


class wrong_tears_characters__drops(Decoded):
    errors = "ignore"


class wrong_tears_the_mark(Wrong):
    def __init__(self):
        super().__init__()
        self.decoder, self.begun = codecs.getincrementaldecoder("utf-8")("replace"), False

    def feed(self, chunk):
        if not self.begun:
            chunk, self.begun = chunk.removeprefix(b"\xef\xbb\xbf"), True
        return super().feed(chunk)


class wrong_changed_by_nothing(right_generator):
    def feed(self, chunk):
        events = super().feed(chunk)
        if not chunk:
            self.skip = False
        return events
