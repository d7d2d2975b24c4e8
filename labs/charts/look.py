"""The one look of the course's charts: colors, style, the empty figure, and the sentence that goes with it."""

import functools
import io
import math
import textwrap
from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

INK, GREY, SOFT = "#1b1e25", "#5f6673", "#b4b9c1"

COLORS = {
    "http_polling": "#D55E00",
    "long_polling": "#E69F00",
    "sse": "#009E73",
    "websocket": "#0072B2",
    "raw_websocket": "#56B4E9",
    "socketio_feed": "#8C6D1F",  # no Okabe–Ito color is left that is told apart from these and can be read on white
    "webrtc_feed": "#882255",
    "http": GREY,  # a plain request, for comparison
    "you": "#CC79A7",
}

NAMES = {
    "http_polling": "polling",
    "long_polling": "long polling",
    "sse": "SSE",
    "websocket": "WebSocket",
    "raw_websocket": "raw WebSocket",
    "socketio_feed": "Socket.IO",
    "webrtc_feed": "WebRTC",
    "http": "HTTP",
}

STYLE = Path(__file__).with_name("course.mplstyle")


class Chart:
    """A figure and the sentence that says what it shows. Displays both; `save` writes the figure to a PNG file."""

    def __init__(self, figure: Figure, says: str):
        self.figure, self.says = figure, says

    def png(self) -> bytes:
        """The picture, as PNG bytes that are the same whenever the figure is."""
        buffer = io.BytesIO()
        with mpl.rc_context(fname=STYLE):
            self.figure.savefig(buffer, format="png", metadata={"Software": None}, bbox_inches="tight", pad_inches=0.15)
        return buffer.getvalue()

    def save(self, path: str | Path) -> None:
        """Write the picture to a file."""
        Path(path).write_bytes(self.png())

    def _ipython_display_(self) -> None:
        from IPython.display import Image, Markdown, display

        display(Image(data=self.png(), format="png", alt=self.says))
        display(Markdown(f"*{self.says}*"))


def in_style(draw):
    """Make a function draw in the look of the course."""

    @functools.wraps(draw)
    def styled(*args, **settings) -> Chart:
        with mpl.rc_context(fname=STYLE):
            return draw(*args, **settings)

    return styled


def figure(title: str, caption: str, *, width: float = 8.6, height: float = 4.6, columns: int = 1):
    """An empty figure and its axes. Needs no display and no pyplot state."""
    drawn = Figure(figsize=(width, height), layout="constrained")
    axes = drawn.subplots(1, columns)
    drawn.suptitle(title, x=0.012, ha="left", fontsize=14, fontweight="bold")
    text = "\n".join(textwrap.wrap(caption, round(width * 13)))
    drawn.supxlabel(text, x=0.012, ha="left", fontsize=8.8, color=GREY)
    return drawn, axes


def plain(axis, *, ticks: Iterable[float] | None = None) -> None:
    """Label a log axis with plain numbers."""
    if ticks is not None:
        axis.set_ticks(list(ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


def number(value: float) -> str:
    """A number for a label: three significant digits, thousands separated, whole numbers whole."""
    if value == round(value):
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 3)}f}"


def end_labels(axes, labels) -> None:
    """Write each label behind the end of its line, and push apart those that would lie on each other."""
    height = -1.0
    to_axes = axes.transData + axes.transAxes.inverted()
    for label, color, x, y in sorted(labels, key=lambda label: label[3]):
        across, height = to_axes.transform((x, y))[0], max(height + 0.07, to_axes.transform((x, y))[1])
        axes.text(across + 0.015, height, label, transform=axes.transAxes, color=color, fontweight="bold", va="center")
