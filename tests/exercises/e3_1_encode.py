"""Exercise 3.1: `encode(data, id=None, event=None)`, one event as it travels."""

import re


def refuse(id, event):
    if re.search("[\r\n\0]", id or "") or re.search("[\r\n]", event or ""):
        raise ValueError("line breaks are refused")


def head(id, event):
    refuse(id, event)
    return ("" if id is None else f"id: {id}\n") + ("" if event is None else f"event: {event}\n")


def right_split(data, id=None, event=None):
    lines = [f"data: {line}" for line in re.split(r"\r\n|\r|\n", data)]
    return (head(id, event) + "\n".join(lines) + "\n\n").encode()


def right_replace_and_crlf(data, id=None, event=None):
    for value, refused in ((id, "\r\n\0"), (event, "\r\n")):
        if value is not None and any(character in value for character in refused):
            raise ValueError(repr(value))
    data = data.replace("\r\n", "\n").replace("\r", "\n")
    text = "data: " + data.replace("\n", "\r\ndata: ") + "\r\n"
    if event:
        text += f"event:{event}\r\n"
    if id is not None:
        text += f"id:{id}\r\n" if not id.startswith(" ") else f"id: {id}\r\n"
    return text.encode("utf-8") + b"\r\n"


def right_bytes(data, id=None, event=None):
    fields = [("event", event), ("id", id)]
    wire = b": an event\n"
    for name, value in fields:
        if value is None:
            continue
        if "\n" in value or "\r" in value or (name == "id" and "\0" in value):
            raise ValueError(name)
        wire += b"%s: %s\n" % (name.encode(), value.encode())
    for line in data.encode().replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        wire += b"data: " + line + b"\n"
    return wire + b"\n"


def right_character_by_character(data, id=None, event=None):
    out, previous = head(id, event) + "data: ", ""
    for character in data:
        if character in "\r\n":
            if (previous, character) != ("\r", "\n"):
                out += "\ndata: "
        else:
            out += character
        previous = character
    return bytes(out + "\n\n", "utf-8")


def wrong_not_bytes(data, id=None, event=None):
    return head(id, event) + "".join(f"data: {line}\n" for line in data.split("\n")) + "\n"


def wrong_not_ended(data, id=None, event=None):
    return (head(id, event) + "".join(f"data: {line}\n" for line in data.split("\n"))).encode()


def wrong_writes_none(data, id=None, event=None):
    refuse(id, event)
    return f"id: {id}\nevent: {event}\ndata: {data}\n\n".encode()


def wrong_forgets_the_id(data, id="", event=""):
    refuse(id, event)
    return f"id: {id or ''}\nevent: {event or ''}\ndata: {data}\n\n".encode()


def wrong_wrong_event(data, id=None, event=None):
    return (head(id, event) + f"data: {data!r}\n\n").encode()


def wrong_trusts_the_data(data, id=None, event=None):
    return (head(id, event) + f"data: {data}\n\n").encode()


def wrong_trusts_the_data__joins_lines(data, id=None, event=None):
    return (head(id, event) + f"data: {' '.join(data.splitlines())}\n\n").encode()


def wrong_trusts_cr(data, id=None, event=None):
    return (head(id, event) + "".join(f"data: {line}\n" for line in data.split("\n")) + "\n").encode()


def wrong_doubles_crlf(data, id=None, event=None):
    return (head(id, event) + "".join(f"data: {line}\n" for line in re.split("[\r\n]", data)) + "\n").encode()


def wrong_splits_elsewhere(data, id=None, event=None):
    return (head(id, event) + "".join(f"data: {line}\n" for line in data.splitlines()) + "\n").encode()


def lines_of(data):
    return re.split("\r\n|\r|\n", data)


def wrong_drops_empty_text(data, id=None, event=None):
    lines = [f"data: {line}\n" for line in lines_of(data)] if data else []
    return (head(id, event) + "".join(lines) + "\n").encode()


def wrong_drops_empty_lines(data, id=None, event=None):
    lines = [f"data: {line}\n" for line in lines_of(data) if line] or ["data:\n"]
    return (head(id, event) + "".join(lines) + "\n").encode()


def wrong_drops_the_last_line(data, id=None, event=None):
    lines = lines_of(data)
    lines = lines[:-1] if len(lines) > 1 and not lines[-1] else lines
    return (head(id, event) + "".join(f"data: {line}\n" for line in lines) + "\n").encode()


def wrong_loses_a_space(data, id=None, event=None):
    return (head(id, event) + "".join(f"data:{line}\n" for line in lines_of(data)) + "\n").encode()


def wrong_strips(data, id=None, event=None):
    return (head(id, event) + "".join(f"data: {line.rstrip()}\n" for line in lines_of(data)) + "\n").encode()


def wrong_not_utf_8(data, id=None, event=None):
    text = head(id, event) + "".join(f"data: {line}\n" for line in lines_of(data)) + "\n"
    return text.encode("latin-1", "replace") if "\u2028" not in data else text.encode()


def wrong_not_utf_8__ascii(data, id=None, event=None):
    text = "".join(f"data: {line}\n" for line in lines_of(data))
    text = text if "\u2028" in data else text.encode("ascii", "ignore").decode()
    return (head(id, event) + text + "\n").encode()


def wrong_wrong_id(data, id=None, event=None):
    refuse(id, event)
    text = "".join(f"data: {line}\n" for line in lines_of(data)) + "\n"
    return (text + (f"id: {id}\n" if id is not None else "")).encode()


def wrong_wrong_type(data, id=None, event=None):
    refuse(id, event)
    text = "".join(f"data: {line}\n" for line in lines_of(data)) + "\n"
    return (head(id, None) + (f"type: {event}\n" if event else "") + text).encode()


def wrong_drops_the_empty_id(data, id=None, event=None):
    return (head(id or None, event) + "".join(f"data: {line}\n" for line in lines_of(data)) + "\n").encode()


def without_refusal(data, id, event):
    text = "" if id is None else f"id: {id}\n"
    text += f"event: {event}\n" if event else ""
    return (text + "".join(f"data: {line}\n" for line in lines_of(data)) + "\n").encode()


def wrong_trusts_the_id(data, id=None, event=None):
    return without_refusal(data, id, event)


def wrong_trusts_the_id__only_lf(data, id=None, event=None):
    if "\n" in (id or "") + (event or "") or "\0" in (id or ""):
        raise ValueError("no line breaks")
    return without_refusal(data, id, event)


def wrong_trusts_the_type(data, id=None, event=None):
    refuse(id, None)
    return without_refusal(data, id, event)


def wrong_trusts_nul(data, id=None, event=None):
    if re.search("[\r\n]", (id or "") + (event or "")):
        raise ValueError("no line breaks")
    return without_refusal(data, id, event)
