"""How a WebSocket begins, without I/O: the head of an HTTP request in, the answer out (RFC 6455 §4, RFC 9112).

    found = read(received)             # (request, where its head ends), or None while there is more to come
    key = upgrade_key(request)         # the rules of the upgrade itself
    writer.write(switch(key))          # 101, and from here on both sides send frames

Design notes
  * Whatever is refused raises `Refusal`, which carries the status that says why, and the headers that tell what would do.
  * Limits hold while the head is still coming in, so that an endless line costs no more than its limit.
  * Strict where leniency has been abused: one space between the words of a request line, no space before a colon, no
    header on two lines, one Host.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl

from labs.frames import accept_key

LINE_LIMIT = 8 * 1024  # bytes of the request line, and of one header
HEADERS_LIMIT = 128  # how many headers
BEGINNING = re.compile(rb"[A-Z]{1,16}( |\Z)")  # of every request, however little of it has come
REQUEST_LINE = re.compile(r"([A-Z]+) ([!-~]+) HTTP/([0-9]\.[0-9])")
HEADER = re.compile(r"([-!#$%&'*+.^_`|~0-9A-Za-z]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")  # RFC 9110 §5.1 and §5.5
KEY = re.compile(r"[A-Za-z0-9+/]{22}==")  # 16 bytes in base64
AUTHORITY = re.compile(r"\Ahttps?://[^/?]*")  # of a target in absolute form, as a proxy would send it


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: its status, its body, and the headers besides those that every answer has."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, str]:
        """All its headers. It is the last answer on its connection."""
        size = str(len(self.body.encode()))
        common = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": size, "Connection": "close"}
        return common | self.headers

    @property
    def phrase(self) -> str:
        """The status in words."""
        return HTTPStatus(self.status).phrase

    def encode(self) -> bytes:
        """The answer as it travels."""
        return head(f"HTTP/1.1 {self.status} {self.phrase}", self.fields) + self.body.encode()


class Refusal(Exception):
    """A request that is not served; `answer` says so."""

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None):
        super().__init__(reason)
        self.answer = Answer(status, f"{reason}\n", headers or {})


@dataclass(frozen=True)
class Request:
    """A request without a body. Header names are in lower case; values of a repeated header are joined by a comma."""

    method: str
    target: str
    version: str
    headers: dict[str, str]

    @property
    def path(self) -> str:
        """The target without its query."""
        return AUTHORITY.sub("", self.target).partition("?")[0] or "/"

    @property
    def query(self) -> dict[str, str]:
        """The parameters in the target."""
        return query(self.target)

    def words(self, name: str) -> list[str]:
        """The values of a header that is a list of words in any case, here in lower case."""
        return [word.strip().lower() for word in self.headers.get(name, "").split(",")]


def query(target: str) -> dict[str, str]:
    """The parameters in a request's target."""
    return dict(parse_qsl(target.partition("?")[2], keep_blank_values=True))


def read(received: bytes) -> tuple[Request, int] | None:
    """The request that `received` begins with, and where its head ends; None while it is unfinished. Raises `Refusal`."""
    if received and not BEGINNING.match(received):
        raise Refusal(400, "this is not an HTTP request")
    text, found, _ = received.partition(b"\r\n\r\n")
    request_line, *headers = text.split(b"\r\n")
    if len(request_line) > LINE_LIMIT:
        raise Refusal(414, f"the request line is longer than {LINE_LIMIT} bytes")
    if len(headers) > HEADERS_LIMIT or any(len(line) > LINE_LIMIT for line in headers):
        raise Refusal(431, f"more than {HEADERS_LIMIT} headers, or one of more than {LINE_LIMIT} bytes")
    return (parse(text.decode("latin-1")), len(text) + 4) if found else None


def parse(text: str) -> Request:
    """A whole head, without the empty line at its end. Raises `Refusal`."""
    request_line, *lines = text.split("\r\n")
    if not (match := REQUEST_LINE.fullmatch(request_line)):
        raise Refusal(400, "the request line is not method, target and version")
    method, target, version = match.groups()
    if version not in ("1.0", "1.1"):
        raise Refusal(505, "this server speaks HTTP/1.1")
    headers: dict[str, str] = {}
    for line in lines:
        if not (match := HEADER.fullmatch(line)):
            raise Refusal(400, "a header is a name, a colon and a value")
        name, value = match[1].lower(), match[2]
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Request(method, target, version, headers)


def host(request: Request) -> str:
    """The name by which the server was asked, with its port if that was said (RFC 9112 §3.2). Raises `Refusal`."""
    name = request.headers.get("host", "" if request.version == "1.0" else None)
    if name is None or "," in name:
        raise Refusal(400, "a request names its host, once")
    return name


def upgrade_key(request: Request) -> str:
    """The key of a request that rightly asks for a WebSocket (RFC 6455 §4.2.1). Raises `Refusal`."""
    if request.method != "GET":
        raise Refusal(405, "a WebSocket begins with GET", {"Allow": "GET"})
    if "websocket" not in request.words("upgrade") or "upgrade" not in request.words("connection"):
        raise Refusal(426, "this path is a WebSocket's", {"Upgrade": "websocket", "Connection": "Upgrade, close"})
    if request.version != "1.1":
        raise Refusal(505, "a WebSocket begins with HTTP/1.1")
    if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        raise Refusal(400, "a WebSocket begins with a request without a body")
    if request.headers.get("sec-websocket-version") != "13":
        better = {"Upgrade": "websocket", "Connection": "Upgrade, close", "Sec-WebSocket-Version": "13"}
        raise Refusal(426, "this server speaks version 13 of the protocol", better)
    if not KEY.fullmatch(key := request.headers.get("sec-websocket-key", "")):
        raise Refusal(400, "Sec-WebSocket-Key is 16 bytes in base64")
    return key


def choose(request: Request, protocols: Sequence[str]) -> str | None:
    """The subprotocol to speak: the first of ours that the client offers, or none (RFC 6455 §4.2.2)."""
    offered = [name.strip() for name in request.headers.get("sec-websocket-protocol", "").split(",")]
    return next((protocol for protocol in protocols if protocol in offered), None)


def switch(key: str, protocol: str | None = None) -> bytes:
    """The answer 101: the connection is a WebSocket now."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept_key(key)}
    if protocol:
        headers["Sec-WebSocket-Protocol"] = protocol
    return head("HTTP/1.1 101 Switching Protocols", headers)


def head(start_line: str, headers: dict[str, str]) -> bytes:
    """A start line, headers, and the empty line after them."""
    return "\r\n".join([start_line, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode("latin-1")
