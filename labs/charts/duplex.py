"""A socket's whole life on two lanes: the upgrade, then frames that go both ways whenever they like."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from labs.charts.frame_view import describe_short, one_frame
from labs.charts.look import COLORS, GREY, INK, Chart, figure, in_style


@dataclass(frozen=True)
class Piece:
    """One head or frame as captured. Times in monotonic nanoseconds."""

    direction: str
    sent: int
    arrived: int | None
    size: int
    text: str
    color: str


def pieces(chunks: Iterable, color: str) -> list[Piece]:
    """The heads and frames in a trace, in the order their last byte was sent; what is unfinished is left out."""
    ways: dict[tuple, list] = {}
    for chunk in chunks:
        ways.setdefault((chunk.connection, chunk.direction), []).append(chunk)
    found = [piece for way in ways.values() for piece in _cut(way, color)]
    return sorted(found, key=lambda piece: piece.sent)


def _cut(way: list, color: str) -> Iterator[Piece]:
    """What one side of one connection sent: a head, and then frames."""
    data = b"".join(chunk.data for chunk in way)
    ends, at, start = list(accumulate(chunk.size for chunk in way)), 0, 0
    while at < len(data):
        if at == 0:
            at = data.find(b"\r\n\r\n") + 4
            text, tone = _head(data[:at]), GREY
        else:
            at += len(frame := one_frame(data[at:]))
            text, control = describe_short(frame) if frame else ("", False)
            tone = INK if control else color
        if at < 4 or at == start:
            return
        last = way[bisect_left(ends, at)]
        yield Piece(last.direction, last.sent, last.arrived, at - start, text, tone)
        start = at


def _head(head: bytes) -> str:
    line = head.partition(b"\r\n")[0].decode("latin-1")
    if line.startswith("HTTP/"):
        return line.partition(" ")[2]
    method, target, _ = line.split(" ")
    return f"{method} {target.partition('?')[0]}, Upgrade"


@in_style
def duplex_ladder(
    chunks,
    *,
    start: int,
    seconds: float,
    title: str,
    says: str,
    caption: str = "Captured on the wire by the link, to scale.",
    color: str = COLORS["websocket"],
    height: float = 5.4,
) -> Chart:
    """Client and server lanes of sockets: upgrade and frames, both ways, to scale; `start` in monotonic nanoseconds.

    What the client sent is written beside its lane, what the server sent beside the other, so that arrows may cross.
    """
    drawn, axes = figure(title, caption, width=9.4, height=height)
    shown = [piece for piece in pieces(chunks, color) if start <= piece.sent < start + seconds * 1e9]
    for piece in shown:
        sent = (piece.sent - start) / 1e9
        came = max(sent + 0.01 * seconds, ((piece.arrived or piece.sent) - start) / 1e9)
        ends = ((0, sent), (1, came)) if piece.direction == "up" else ((1, sent), (0, came))
        look = {"color": piece.color, "lw": 1.7, "shrinkA": 0, "shrinkB": 0, "arrowstyle": "-|>", "mutation_scale": 13}
        axes.annotate("", ends[1], ends[0], arrowprops=look)
    for direction, x, side in (("up", -0.03, "right"), ("down", 1.03, "left")):
        _labels(axes, [piece for piece in shown if piece.direction == direction], x, side, start, seconds)
    _two_lanes(axes, seconds)
    return Chart(drawn, says)


def _labels(axes, shown, x: float, side: str, start: int, seconds: float) -> None:
    """One label for each piece at the height where its arrow begins, or a little below if another is there."""
    free = -1.0
    for piece in shown:
        y = max(free, (piece.sent - start) / 1e9)
        free = y + 0.036 * seconds
        axes.text(x, y, f"{piece.text}   {piece.size} B", ha=side, va="center", fontsize=8.8, color=piece.color)


def _two_lanes(axes, seconds: float) -> None:
    for x, name in ((0, "client"), (1, "server")):
        axes.plot([x, x], [0, seconds], color=INK, lw=1.6)
        axes.text(x, -0.025 * seconds, name, ha="center", va="bottom", fontweight="bold")
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60) if seconds / step <= 8)
    ticks = [step * number for number in range(int(seconds / step + 1e-9) + 1)]
    axes.set_yticks(ticks, [f"{tick:g} s" if step >= 1 else f"{tick * 1000:.0f} ms" for tick in ticks])
    axes.set(xlim=(-0.85, 1.85), ylim=(seconds * 1.02, -0.06 * seconds), xticks=[])
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0, labelcolor=GREY)
