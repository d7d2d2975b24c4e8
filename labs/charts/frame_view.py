"""One frame as captured: every byte under its field of RFC 6455 §5.2, and what it means.

Three rows: the bytes on the wire in hexadecimal; the bits of the first two bytes, and the payload without its mask; what
each field says. It reads the fields by itself, so that a frame is shown as it came, whether or not anybody may send it.
"""

from dataclasses import dataclass

from labs.charts.look import COLORS, GREY, INK, Chart, figure, in_style
from labs.frames import mask

OPCODES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
BYTE = 0.25  # inches; so wide is a byte, and so wide are the fields of the first two, for the words that go with them:
WIDTHS = {"FIN": 0.38, "RSV": 0.44, "opcode": 0.68, "MASK": 0.48, "length": 0.72}
EXTENDED = {126: 2, 127: 8}  # bytes of the length, where its first seven bits are these
GAP = 0.1  # between two fields of whole bytes
SHOWN = 24  # bytes; of a longer frame the last ones shown make room for what is left out
FILLS = {"head": "#e4eef6", "length": "#d3e5d9", "key": "#f7ead0", "payload": "#eceef1"}


@dataclass(frozen=True)
class Parsed:
    """The fields of one frame, which begin at these bytes; the payload is as it was before it was masked."""

    fin: bool
    rsv: int
    opcode: int
    masked: bool
    seven: int  # the length's first seven bits
    size: int  # of the payload
    key_at: int
    payload_at: int
    payload: bytes

    @property
    def kind(self) -> str:
        """What the opcode says."""
        return OPCODES.get(self.opcode, "reserved")


def parse(data: bytes) -> Parsed:
    """The fields of the frame that these bytes are. Raises `ValueError` if they are less or more than one."""
    if (end := frame_end(data)) != len(data):
        raise ValueError(f"{len(data)} bytes, and the frame that they begin with has {end}")
    seven, masked = data[1] & 127, data[1] > 127
    key_at = 2 + EXTENDED.get(seven, 0)
    at = key_at + 4 * masked
    payload = mask(data[at:], data[key_at:at]) if masked else data[at:]
    return Parsed(data[0] > 127, data[0] >> 4 & 7, data[0] & 15, masked, seven, len(payload), key_at, at, payload)


def frame_end(data: bytes) -> int:
    """How many bytes the frame has that begins here, as far as they tell; at least two."""
    if len(data) < 2:
        return 2
    seven, masked = data[1] & 127, data[1] > 127
    at = 2 + EXTENDED.get(seven, 0)
    return at + 4 * masked + (int.from_bytes(data[2:at], "big") if seven > 125 else seven)


def describe(data: bytes) -> str:
    """What the frame view shows, in one sentence."""
    one = parse(data)
    said = "not masked" if not one.masked else f"masked with the key {data[one.key_at : one.payload_at].hex(' ')}"
    part = "the last of its message" if one.fin else "with more of its message to come"
    bits = f", reserved bits {one.rsv:03b}" if one.rsv else ""
    what = {"text": f", which says “{_shortened(one.payload)}”", "close": f", with the code {_code(one.payload)}"}
    return (
        f"A {one.kind} frame of {len(data)} bytes, {part}{bits}, {said}: {one.payload_at} bytes of framing and "
        f"{one.size} of payload{what.get(one.kind, '')}."
    )


@in_style
def frames(
    data: bytes, *, title: str, says: str | None = None, caption: str = "One frame, as the link captured it."
) -> Chart:
    """The frame view of one frame's captured bytes. `says` is worked out from them if it is not given."""
    one = parse(data)
    drawn, axes = figure(title, caption, width=9.4, height=2.9)
    x = _first_bytes(axes, data, one)
    if one.seven > 125:
        x = _boxes(axes, x, data[2 : one.key_at], "length", "extended" if one.seven == 126 else "extended length")
        axes.text(x - GAP - BYTE * (one.key_at - 2) / 2, MEANING, f"{one.size:,}\nbytes", **CENTER)
    if one.masked:
        x = _boxes(axes, x, data[one.key_at : one.payload_at], "key", "masking key")
        axes.text(x - GAP - 2 * BYTE, MEANING, "random, new\nfor each frame", **CENTER | {"fontsize": 8.4})
    if one.size:
        x = _payload(axes, x, data, one)
    axes.set(xlim=(-0.15, max(8.4, x)), ylim=(2.2, -0.25), xticks=[])
    axes.set_yticks(
        [HEX, BELOW, MEANING], ["on the wire", "bits" if not one.masked else "bits, and\nunmasked", "means"]
    )
    _bare(axes)
    return Chart(drawn, says or describe(data))


NAME, HEX, BELOW, MEANING = 0.0, 0.45, 1.15, 1.85  # the rows
CENTER = {"ha": "center", "va": "center", "fontsize": 9}
MONO = CENTER | {"family": "DejaVu Sans Mono", "fontsize": 10}


def _first_bytes(axes, data: bytes, one: Parsed) -> float:
    """The two bytes that every frame has: five fields of single bits. Returns where they end."""
    bits = f"{data[0]:08b}{data[1]:08b}"
    length = f"{one.seven} byte{'s' * (one.seven != 1)}" if one.seven < 126 else f"in the next\n{one.key_at - 2} bytes"
    fields = {
        "FIN": (bits[0], "last" if one.fin else "not\nlast"), "RSV": (bits[1:4], "set" if one.rsv else "none"),
        "opcode": (bits[4:8], one.kind.replace("continuation", "continu-\nation")),
        "MASK": (bits[8], "yes" if one.masked else "no"), "length": (bits[9:], length),
    }  # fmt: skip
    x = 0.0
    for name, (digits, meaning) in fields.items():
        width = WIDTHS[name]
        _box(axes, x, width, BELOW, "head", digits)
        axes.text(x + width / 2, MEANING, meaning, **CENTER)
        axes.text(x + width / 2, NAME, name, **CENTER | {"color": GREY})
        x += width
    first = WIDTHS["FIN"] + WIDTHS["RSV"] + WIDTHS["opcode"]
    _box(axes, 0, first, HEX, "head", f"{data[0]:02x}")
    _box(axes, first, x - first, HEX, "head", f"{data[1]:02x}")
    return x + GAP


def _boxes(axes, x: float, data: bytes, field: str, name: str) -> float:
    """A field of whole bytes, one box each, under its name. Returns where it ends."""
    for place, byte in enumerate(data):
        _box(axes, x + place * BYTE, BYTE, HEX, field, f"{byte:02x}")
    axes.text(x + len(data) * BYTE / 2, NAME, name, **CENTER | {"color": GREY})
    return x + len(data) * BYTE + GAP


def _payload(axes, x: float, data: bytes, one: Parsed) -> float:
    """The payload as it travels, without its mask, and as what it says; a long one is cut short. Returns where it ends."""
    room = SHOWN - one.payload_at
    kept = one.size if one.size <= room else room - 3
    name = f"payload, {one.size:,} byte{'s' * (one.size != 1)}"
    end = _boxes(axes, x, data[one.payload_at : one.payload_at + kept], "payload", name)
    if one.masked:
        for place, byte in enumerate(one.payload[:kept]):
            _box(axes, x + place * BYTE, BYTE, BELOW, "payload", f"{byte:02x}")
    if one.kind == "binary" or one.rsv:
        axes.text(
            x + kept * BYTE / 2, MEANING, "any bytes" if not one.rsv else "what an extension has made of it", **CENTER
        )
    for place, width, said in _said(one, kept):
        look = {"fontweight": "bold", "color": COLORS["websocket"]}
        axes.text(x + (place + width / 2) * BYTE, MEANING, said, **CENTER | {"fontsize": 10.5} | look)
    if kept < one.size:
        axes.text(end, HEX, f"… {one.size - kept:,} more", ha="left", va="center", fontsize=9, color=GREY)
    return end + 0.95 * (kept < one.size)


def _said(one: Parsed, kept: int):
    """(first byte, bytes, text) of everything that the first `kept` bytes of the payload say."""
    if one.kind == "binary" or one.rsv:
        return
    start = 0
    if one.kind == "close" and one.size >= 2:
        yield 0, 2, str(_code(one.payload))
        start = 2
    for character in one.payload[start:kept].decode("utf-8", "surrogateescape"):  # half a character: byte by byte
        width = len(character.encode("utf-8", "surrogateescape"))
        yield start, width, "␣" if character == " " else character if character.isprintable() else "·"
        start += width


def _code(payload: bytes) -> int:
    return int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005


def _shortened(payload: bytes, room: int = 60) -> str:
    text = payload.decode("utf-8", "replace")
    return text if len(text) <= room else f"{text[:room]}…"


def _box(axes, x: float, width: float, y: float, field: str, text: str) -> None:
    axes.bar(x, 0.52, width, y - 0.26, align="edge", color=FILLS[field], edgecolor=INK, lw=0.8)
    axes.text(x + width / 2, y, text, **MONO if len(text) < 3 or width > 0.5 else MONO | {"fontsize": 9})


def _bare(axes) -> None:
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0, labelsize=9, labelcolor=GREY)
