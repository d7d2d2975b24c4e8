"""Event streams in bytes, and what WHATWG HTML §9.2.5 and §9.2.6 make of each: events, then the id to resume from.

One table for everybody who reads streams: our parser, a browser's EventSource, other people's clients.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stream:
    """What is on the wire; the (type, data, last event id) of every event; the id that a reader would resume with."""

    wire: bytes
    events: tuple[tuple[str, str, str], ...] = ()
    last_event_id: str = ""


def message(data: str, id: str = "") -> tuple[str, str, str]:
    return ("message", data, id)


STREAMS = {
    # lines and their ends
    "LF": Stream(b"data: a\n\ndata: b\n\n", (message("a"), message("b"))),
    "CR": Stream(b"data: a\r\rdata: b\r\r", (message("a"), message("b"))),
    "CRLF": Stream(b"data: a\r\n\r\ndata: b\r\n\r\n", (message("a"), message("b"))),
    "CR then CRLF": Stream(b"data: a\r\r\ndata: b\r\r\n", (message("a"), message("b"))),
    "LF then CR": Stream(b"data: a\n\rdata: b\n\r", (message("a"), message("b"))),
    "CRLF then LF": Stream(b"data: a\r\n\ndata: b\r\n\n", (message("a"), message("b"))),
    "mixed in one event": Stream(b"data: a\rdata: b\ndata: c\r\n\n", (message("a\nb\nc"),)),
    "only empty lines": Stream(b"\n\n\r\r\r\n\r\n"),
    "nothing": Stream(b""),
    "other separators are data": Stream(
        "data: a\x0bb\x0cc\x1cd\x1de\x1ef\x85g\u2028h\u2029i\n\n".encode(),
        (message("a\x0bb\x0cc\x1cd\x1de\x1ef\x85g\u2028h\u2029i"),),
    ),
    # the byte order mark
    "mark at the start": Stream(b"\xef\xbb\xbfdata: a\n\n", (message("a"),)),
    "mark twice": Stream(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", (message("b"),)),
    "mark later": Stream(b"data: a\n\n\xef\xbb\xbfdata: b\n\ndata: c\n\n", (message("a"), message("c"))),
    "mark in data": Stream(b"data: \xef\xbb\xbfa\n\n", (message("\ufeffa"),)),
    "mark before a line end": Stream(b"\xef\xbb\xbf\ndata: a\n\n", (message("a"),)),
    "a mark cut short": Stream(b"\xef\xbbdata: a\n\ndata: b\n\n", (message("b"),)),
    # colons and spaces
    "no space": Stream(b"data:a\n\n", (message("a"),)),
    "one space is not data": Stream(b"data: a\n\n", (message("a"),)),
    "two spaces": Stream(b"data:  a\n\n", (message(" a"),)),
    "a tab is data": Stream(b"data:\ta\n\n", (message("\ta"),)),
    "space at the end": Stream(b"data: a \n\n", (message("a "),)),
    "colons in the value": Stream(b"data: a:b: c\n\n", (message("a:b: c"),)),
    "space before the colon": Stream(b"data : a\n\ndata: b\n\n", (message("b"),)),
    "space before the name": Stream(b" data: a\n\ndata: b\n\n", (message("b"),)),
    "upper case": Stream(b"DATA: a\n\nData: b\n\ndata: c\n\n", (message("c"),)),
    "unknown fields": Stream(b"foo: bar\ndata: a\nxdata: b\nbaz\n\n", (message("a"),)),
    # comments
    "comments": Stream(b": one\ndata: a\n:two\n:\n\n:data: b\n\n", (message("a"),)),
    "comment between data": Stream(b"data: a\n: hello\ndata: b\n\n", (message("a\nb"),)),
    # data
    "data without a colon": Stream(b"data\n\n", (message(""),)),
    "data with nothing": Stream(b"data:\n\n", (message(""),)),
    "data with a space": Stream(b"data: \n\n", (message(""),)),
    "two empty lines of data": Stream(b"data\ndata\n\n", (message("\n"),)),
    "last line empty": Stream(b"data: a\ndata:\n\n", (message("a\n"),)),
    "first line empty": Stream(b"data:\ndata: a\n\n", (message("\na"),)),
    "the specification's second example": Stream(
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
        (message("first event", "1"), message("second event")),
    ),
    "the specification's third example": Stream(b"data\n\ndata\ndata\n\ndata:\n", (message(""), message("\n"))),
    "NUL in data": Stream(b"data: a\0b\n\n", (message("a\0b"),)),
    # event types
    "a type": Stream(b"event: add\ndata: a\n\ndata: b\n\n", (("add", "a", ""), message("b"))),
    "type after data": Stream(b"data: a\nevent: add\n\n", (("add", "a", ""),)),
    "the last type counts": Stream(b"event: add\nevent: remove\ndata: a\n\n", (("remove", "a", ""),)),
    "a type unset": Stream(b"event: add\nevent:\ndata: a\n\n", (message("a"),)),
    "a type without data is forgotten": Stream(b"event: add\n\ndata: a\n\n", (message("a"),)),
    "message by name": Stream(b"event: message\ndata: a\n\n", (message("a"),)),
    # ids
    "an id stays": Stream(b"id: 1\ndata: a\n\ndata: b\n\n", (message("a", "1"), message("b", "1")), "1"),
    "id after data": Stream(b"data: a\nid: 1\n\n", (message("a", "1"),), "1"),
    "the last id counts": Stream(b"id: 1\nid: 2\ndata: a\n\n", (message("a", "2"),), "2"),
    "an id without data": Stream(b"id: 1\n\ndata: a\n\n", (message("a", "1"),), "1"),
    "only an id": Stream(b"id: 7\n\n", (), "7"),
    "an empty id": Stream(b"id: 1\ndata: a\n\nid\ndata: b\n\n", (message("a", "1"), message("b"))),
    "an id with spaces": Stream(b"id:  1 \ndata: a\n\n", (message("a", " 1 "),), " 1 "),
    "an id beyond ASCII": Stream(
        "id: gr\u00fc\u00df\ndata: a\n\n".encode(), (message("a", "gr\u00fc\u00df"),), "gr\u00fc\u00df"
    ),
    "NUL in an id": Stream(b"id: 1\ndata: a\n\nid: 2\x003\ndata: b\n\n", (message("a", "1"), message("b", "1")), "1"),
    "only NUL as id": Stream(b"id: 1\n\nid: \0\ndata: a\n\n", (message("a", "1"),), "1"),
    # the end
    "an event cut off": Stream(b"data: a\n\ndata: b\n", (message("a"),)),
    "a line cut off": Stream(b"data: a\n\ndata: b", (message("a"),)),
    "an id cut off": Stream(b"id: 1\ndata: a\n\nid: 2\ndata: b\n", (message("a", "1"),), "1"),
    "a character cut off": Stream(b"data: a\n\ndata: \xe2\x82", (message("a"),)),
    # UTF-8
    "every length of character": Stream("data: aß€𐍈\n\n".encode(), (message("aß€𐍈"),)),
    "a stray continuation byte": Stream(b"data: a\x80b\n\n", (message("a\ufffdb"),)),
    "a character cut short by a letter": Stream(b"data: \xe2\x82b\n\n", (message("\ufffdb"),)),
    "a character cut short by the line": Stream(b"data: \xf0\x90\x8d\n\n", (message("\ufffd"),)),
    "an overlong slash": Stream(b"data: \xc0\xaf\n\n", (message("\ufffd\ufffd"),)),
    "a surrogate": Stream(b"data: \xed\xa0\x80\n\n", (message("\ufffd\ufffd\ufffd"),)),
    "beyond Unicode": Stream(b"data: \xf4\x90\x80\x80\n\n", (message("\ufffd" * 4),)),
    "bytes that are never UTF-8": Stream(b"data: \xfe\xff\n\n", (message("\ufffd\ufffd"),)),
    "an invalid field name": Stream(b"d\xffata: a\n\ndata: b\n\n", (message("b"),)),
    # reconnection times change no event
    "retry": Stream(b"retry: 400\ndata: a\n\n", (message("a"),)),
    "retry alone": Stream(b"retry: 400\n\ndata: a\n\n", (message("a"),)),
}

RETRIES = {  # a line, and the reconnection time in milliseconds that it sets
    b"retry: 300": 300,
    b"retry:300": 300,
    b"retry: 0": 0,
    b"retry: 007": 7,
    b"retry: 0000000000000000000000000000300": 300,
    b"retry:  300": None,
    b"retry: 300 ": None,
    b"retry: +300": None,
    b"retry: -300": None,
    b"retry: 1.5": None,
    b"retry: 1_500": None,
    b"retry: 1e3": None,
    b"retry: 0x10": None,
    b"retry:": None,
    b"retry": None,
    b"RETRY: 300": None,
    "retry: ٣٠٠".encode(): None,
    b"retry: " + b"9" * 5000: None,
}
