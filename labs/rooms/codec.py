"""What clients say to a rooms server: JSON text, checked before anything is done with it.

parse('{"type": "message", "room": "blue", "text": "hi"}')      # Request("message", "blue", "hi"), or raises Refusal
"""

import json
import re
from typing import Any, NamedTuple

ROOM_NAME = re.compile(r"[a-z0-9-]{1,64}")
NAME_LIMIT = 32  # characters
to_json = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":")
).encode  # a message as it travels: compact, one line


class Refusal(Exception):
    """This cannot be done; the client is told why by `error`, `code` and `detail`."""

    def __init__(self, code: str, detail: str):
        super().__init__(detail)
        self.code, self.detail = code, detail

    def message(self) -> dict:
        """The error as the client gets it."""
        return {"type": "error", "code": self.code, "detail": self.detail}


class Request(NamedTuple):
    """What a client asks for: its type, the room, and for a message its text."""

    type: str
    room: str
    text: str = ""


def parse(text: str | bytes) -> Request:
    """What a client's frame asks for. Raises `Refusal`."""
    message = parse_object(text)
    kind, room, words = message.get("type"), message.get("room"), message.get("text", "")
    if kind not in ("join", "leave", "message"):
        raise Refusal("unknown_type", "the types are join, leave and message")
    if not isinstance(room, str) or not ROOM_NAME.fullmatch(room):
        raise Refusal("bad_room", "a room's name is 1 to 64 of the characters a-z, 0-9 and hyphen")
    if kind == "message" and not is_text(words):
        raise Refusal("bad_text", "a message has a text, and it is not empty")
    return Request(kind, room, words)


def parse_object(text: str | bytes) -> dict:
    """The JSON object that a frame holds. Raises `Refusal`."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):  # nested too deep, or a number of too many digits, is no JSON for us either
        message = None
    if not isinstance(message, dict):
        raise Refusal("bad_json", "a message is one JSON object")
    return message


def is_text(value: Any) -> bool:
    """Whether this is a string, not empty, and whole characters only: JSON can also spell halves of them."""
    try:
        return isinstance(value, str) and bool(value.encode())
    except UnicodeEncodeError:
        return False


def is_name(name: str) -> bool:
    """Whether people may call themselves so: 1 to 32 printable characters, no space at the ends."""
    return 0 < len(name) <= NAME_LIMIT and name.isprintable() and name == name.strip()
