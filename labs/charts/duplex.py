"""A socket's whole life on two lanes: the upgrade, then frames that go both ways whenever they like."""

import json
from collections.abc import Iterable, Iterator

from labs import ledger
from labs.charts.look import COLORS, GREY, INK, Chart, figure, in_style

CONTROL = ("close", "ping", "pong")


def captions(chunks: Iterable) -> Iterator[tuple[ledger.Message, str]]:
    """Every head and frame in a trace that is whole, with what it is in a few words."""
    for message in ledger.messages(chunks):
        if message.finished and message.frame:
            said = f" {gist(message.body)}" if message.frame in ("text", "text …") else ""
            yield (
                message,
                f"{message.frame.removesuffix(' …')}{said}{', to be continued' * message.frame.endswith('…')}",
            )
        elif message.finished:
            method, target, version = message.start_line.split(" ", 2)
            is_answer = method.startswith("HTTP/")
            yield message, f"{target} {version}" if is_answer else f"{method} {target.partition('?')[0]}, Upgrade"


def gist(text: bytes) -> str:
    """What a text says: of an event its data, of a JSON message its type and text, of anything else its beginning."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict) and "data" in value:
        return f"event {value.get('id', '')} “{_shortened(str(value['data']), 20)}”"
    if isinstance(value, dict) and "type" in value:
        return f"{value['type']}" + (f" “{_shortened(str(value['text']), 16)}”" if "text" in value else "")
    return f"“{_shortened(text.decode('utf-8', 'replace'), 22)}”"


def _shortened(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[:room]}…"


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
    end = start + seconds * 1e9
    shown = [(message, text) for message, text in captions(chunks) if start <= message.sent < end]
    for message, _ in shown:
        sent = (message.sent - start) / 1e9
        came = max(sent + 0.01 * seconds, ((message.arrived or message.sent) - start) / 1e9)
        ends = ((0, sent), (1, came)) if message.direction == "up" else ((1, sent), (0, came))
        look = {"lw": 1.7, "shrinkA": 0, "shrinkB": 0, "arrowstyle": "-|>", "mutation_scale": 13}
        axes.annotate("", ends[1], ends[0], arrowprops=look | {"color": _color(message, color)})
    for direction, x, side in (("up", -0.03, "right"), ("down", 1.03, "left")):
        free = -1.0  # a label stands where its arrow begins, or a little below if another is there
        for message, text in shown:
            if message.direction == direction:
                y = max(free, (message.sent - start) / 1e9)
                free = y + 0.036 * seconds
                label = {"ha": side, "va": "center", "fontsize": 8.8, "color": _color(message, color)}
                axes.text(x, y, f"{text}   {message.size:,} B", **label)
    _two_lanes(axes, seconds)
    return Chart(drawn, says)


def _color(message: ledger.Message, color: str) -> str:
    return GREY if not message.frame else INK if message.frame.startswith(CONTROL) else color


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
