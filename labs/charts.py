"""Records and models in, figures out. Starts nothing, measures nothing.

Every chart has its finding as title, what was run as caption, labels on the lines instead of a legend, one color per
transport (Okabe and Ito's palette, told apart by readers with any color vision), points for what was measured, a thin line for
the model, and one sentence that says the same to those who cannot see it.
"""

import io
import math
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

COLORS = {
    "http_polling": "#D55E00",
    "long_polling": "#E69F00",
    "sse": "#009E73",
    "websocket": "#0072B2",
    "you": "#CC79A7",
}
NAMES = {"http_polling": "polling", "long_polling": "long polling", "sse": "SSE", "websocket": "WebSocket"}
PARTS = {  # of the byte ledger, darkest for what the reader wanted
    "payload": "#1b1e25",
    "framing": "#6b7080",
    "response headers": "#b4b9c1",
    "status line": "#c9cdd3",
    "request headers": "#dcdfe4",
    "request line": "#eceef1",
}
INK, GREY, SOFT = "#1b1e25", "#5f6673", "#b4b9c1"
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


def figure(title: str, caption: str, *, width: float = 8.6, height: float = 4.6, columns: int = 1):
    """An empty figure in the look of the course, and its axes. Needs no display and no pyplot state."""
    with mpl.rc_context(fname=STYLE):
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
    """A number for a label: three significant digits, thousands separated."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 3)}f}"


# The latency distribution.


def latency(runs, *, model=None, simulated=None, guess_ms: float | None = None, title: str, says: str) -> Chart:
    """The share of messages that have arrived within each delay: measured as steps, the model as a thin line over it."""
    runs = runs if isinstance(runs, list) else [runs]
    drawn, axes = figure(title, runs[0].caption)
    for run in runs:
        _steps(axes, run.latency.ms, COLORS[run.reader], 2.6)
        at = run.latency.percentile(62)
        axes.annotate(
            f"measured\nmean {number(run.latency.mean)} ms", (at, 0.62), (14, -30), textcoords="offset points",
            color=COLORS[run.reader], fontweight="bold",
        )  # fmt: skip
    if simulated is not None:
        share = [(number_ + 0.5) / simulated.latency.n for number_ in range(simulated.latency.n)]
        step = max(1, simulated.latency.n // 16)
        axes.plot(
            sorted(simulated.latency.ms)[::step], share[::step], "o", mfc="white", mec=INK, ms=5.5, mew=1.2, zorder=4
        )
        near = simulated.latency.percentile(30)
        axes.annotate("○ simulated", (near, 0.30), (14, -16), textcoords="offset points", color=INK, fontsize=9.5)
    if model is not None:
        high = model.high * 1.02
        axes.plot([0, model.low, model.high, high], [0, 0, 1, 1], "--", color=GREY, lw=1.3, zorder=5)
        axes.annotate(
            model.name,
            (model.quantile(0.86), 0.86),
            (-12, 4),
            textcoords="offset points",
            color=GREY,
            ha="right",
            fontsize=9.5,
        )
    if isinstance(guess_ms, int | float):
        axes.plot([guess_ms], [0.5], "v", color=COLORS["you"], ms=12, zorder=6)
        axes.annotate(
            "your guess\nfor the mean", (guess_ms, 0.5), (10, -6), textcoords="offset points", color=COLORS["you"]
        )
    axes.set(xlabel="delay from publishing to arrival, milliseconds", ylabel="share of messages that have arrived")
    axes.set_ylim(0, 1.02)
    axes.set_xlim(left=0)
    return Chart(drawn, says)


def _steps(axes, values, color, width=2.2):
    ordered = sorted(values)
    axes.plot(
        ordered, [(i + 1) / len(ordered) for i in range(len(ordered))], color=color, lw=width, drawstyle="steps-post"
    )


def floor(found: Mapping, *, title: str, says: str, caption: str) -> Chart:
    """One-way delays on the instrument's own parts, as distributions on a log axis in microseconds."""
    drawn, axes = figure(title, caption)
    colors = [SOFT, GREY, COLORS["websocket"], COLORS["http_polling"]]
    heights = (0.25, 0.45, 0.65, 0.85)
    for (name, delays), color, height in zip(found.items(), colors, heights, strict=False):
        _steps(axes, [ms * 1000 for ms in delays.ms], color, 2.6)
        label = f"{name}: half within {number(delays.percentile(50) * 1000)} µs"
        axes.annotate(
            label, (delays.percentile(height * 100) * 1000, height), (8, -4), textcoords="offset points", color=color,
            fontweight="bold", bbox={"fc": "white", "ec": "none", "pad": 1, "alpha": 0.8},
        )  # fmt: skip
    axes.set_xscale("log")
    low = min(min(delays.ms) for delays in found.values()) * 1000
    axes.set_xlim(low * 0.8, max(delays.percentile(99) for delays in found.values()) * 1000 * 12)
    plain(axes.xaxis, ticks=[t for t in (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000) if t >= low * 0.8])
    axes.set_ylim(0, 1.02)
    axes.set(xlabel="one-way delay, microseconds (log scale)", ylabel="share of messages")
    return Chart(drawn, says)


# One stall, measured in two ways.


def stall(closed, opened, *, pause_ms: float, after_ms: float, title: str, says: str, caption: str) -> Chart:
    """Each request as a dot at the time it was due: closed loop on the left, open loop on the right."""
    drawn, (left, right) = figure(title, caption, columns=2, width=9.4)
    for axes, samples, name in (
        (left, closed, "closed loop: ask, wait, ask again"),
        (right, opened, "open loop: ask on time"),
    ):
        axes.axvspan(after_ms, after_ms + pause_ms, color="#f3e3d8", zorder=0)
        axes.plot(
            [s.due for s in samples], [s.received - s.due for s in samples], ".", color=COLORS["http_polling"], ms=5
        )
        axes.set_title(name, fontsize=11)
        axes.set(xlabel="time at which the request was due, ms", ylim=(-0.04 * pause_ms, 1.18 * pause_ms))
        axes.text(after_ms + pause_ms / 2, 1.1 * pause_ms, "server pauses", ha="center", color=GREY, fontsize=9)
        many = f"{sum(s.received - s.due > 20 for s in samples)} of {len(samples)} requests\nwaited more than 20 ms"
        axes.text(after_ms + pause_ms * 1.1, 0.62 * pause_ms, many, color=COLORS["http_polling"], fontsize=9.5)
    right.plot([after_ms, after_ms + pause_ms], [pause_ms, 0], "--", color=GREY, lw=1.2)
    right.annotate("model: what is left\nof the pause", (after_ms + 0.18 * pause_ms, 0.82 * pause_ms), (12, 2),
                   textcoords="offset points", color=GREY, fontsize=9)  # fmt: skip
    left.set_ylabel("latency, ms")
    return Chart(drawn, says)


# The ladder.


def ladder(found, *, start: int, seconds: float, title: str, says: str, published: Iterable = ()) -> Chart:
    """Client and server lanes with every request and response of a captured run, to scale; time runs downward.

    `found` are ledger messages, `published` events (their `at` marks the server's lane), `start` monotonic nanoseconds.
    """
    drawn, axes = figure(
        title, "Captured on the wire by the link, to scale. Grey: empty answers.", height=1.4 + 0.95 * seconds
    )
    color = COLORS["http_polling"]
    pairs = _pairs(found)
    for request, response in pairs:
        news = response.events
        look = {
            "color": color if news else SOFT,
            "lw": 2.2 if news else 1.3,
            "shrinkA": 0,
            "shrinkB": 0,
            "arrowstyle": "-|>",
        }
        sent, reached = (request.sent - start) / 1e9, (request.arrived - start) / 1e9
        left, came = (response.sent - start) / 1e9, (response.arrived - start) / 1e9
        drop = max(0.04, reached - sent), max(0.04, came - left)  # loopback takes no visible time: slope it a little
        axes.annotate("", (1, sent + drop[0]), (0, sent), arrowprops=look)
        axes.annotate(
            "", (0, sent + drop[0] + max(0.0, left - reached) + drop[1]), (1, sent + drop[0]), arrowprops=look
        )
        text = {"ha": "center", "va": "center", "fontsize": 8.8, "color": color if news else GREY}
        box = {"fc": "white", "ec": "none", "pad": 0.6}
        axes.text(0.27, sent - 0.055, f"{_short(request.start_line)}   {request.size} bytes", bbox=box, **text)
        what = f"{len(news)} event{'s' * (len(news) != 1)}" if news else "[]"
        answer = f"{response.start_line.split(' ')[1]}  {what}   {response.size} bytes"
        axes.text(0.73, sent + sum(drop) + 0.075, answer, bbox=box, fontweight="bold" if news else "normal", **text)
    for event in published:
        at = (event.at - start) / 1e9
        fetched = min(
            ((r.arrived - start) / 1e9 for r, a in pairs if any(e["id"] == event.id for e in a.events)), default=at
        )
        axes.plot([1, 1], [at, fetched], color=COLORS["you"], lw=5, alpha=0.35, solid_capstyle="round")
        axes.plot([1], [at], "*", color=COLORS["you"], ms=14)
        axes.text(1.03, at, f"event {event.id} is published", color=COLORS["you"], va="center", fontsize=9.5)
        axes.text(1.03, (at + fetched) / 2 + 0.12, f"waits {fetched - at:.2f} s to be asked for", color=COLORS["you"], va="center",
                  fontsize=8.8)  # fmt: skip
    for x, name in ((0, "client"), (1, "server")):
        axes.axvline(x, color=INK, lw=1.6)
        axes.text(x, -0.16, name, ha="center", va="bottom", fontweight="bold")
    axes.set(xlim=(-0.12, 1.5), ylim=(seconds, -0.15), xticks=[])
    axes.set_yticks(range(int(seconds) + 1), [f"{s} s" for s in range(int(seconds) + 1)])
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    return Chart(drawn, says)


def _pairs(found):
    """Requests with their responses: on one connection, HTTP/1.1 answers in order."""
    waiting: dict[int, list] = {}
    pairs = []
    for message in sorted(found, key=lambda message: message.sent):
        if message.direction == "up":
            waiting.setdefault(message.connection, []).append(message)
        elif waiting.get(message.connection):
            pairs.append((waiting[message.connection].pop(0), message))
    return pairs


def _short(start_line: str) -> str:
    method, target, _ = start_line.split(" ")
    path, mark, cursor = target.partition("?after=")
    return f"{method} {path}{mark}" + (f"…{cursor[-3:]}" if mark else "")


# The byte ledger.


def ledger(
    rows: Mapping[str, Mapping[str, float]], *, title: str, says: str, caption: str, colors: Mapping = {}
) -> Chart:
    """Bytes by part, one stacked bar a row; the parts of a row add up to its total, which is written behind it."""
    drawn, axes = figure(title, caption, height=1.5 + 0.62 * len(rows))
    longest = max(sum(parts.values()) for parts in rows.values())
    for place, (_, parts) in enumerate(rows.items()):
        left = 0.0
        for part, fill in PARTS.items():
            size = parts.get(part, 0)
            axes.barh(place, size, left=left, color=fill, edgecolor="white", lw=0.8, height=0.62)
            left += size
        axes.text(left + longest * 0.012, place, f"{number(left)} B", va="center", fontweight="bold")
    axes.set_yticks(range(len(rows)), rows)
    for label, name in zip(axes.get_yticklabels(), rows, strict=True):
        label.set(fontweight="bold", color=colors.get(name, INK))
    axes.invert_yaxis()
    axes.set_xlim(0, longest * 1.16)
    axes.set_xlabel("bytes")
    axes.grid(axis="y", visible=False)
    used = [part for part in PARTS if any(parts.get(part) for parts in rows.values())]
    handles = [mpl.patches.Patch(fc=PARTS[part], ec=SOFT, lw=0.6, label=part) for part in used]
    axes.legend(handles=handles, ncols=len(used), loc="upper center", bbox_to_anchor=(0.5, -0.16 - 0.5 / len(rows)), fontsize=8.8,
                handlelength=1.1, columnspacing=1.3)  # fmt: skip
    return Chart(drawn, says)


# Cost against latency.


def cost(runs, *, title: str, says: str, caption: str, models) -> Chart:
    """Mean latency against requests per second for every interval and distance: measured points, model lines, log-log."""
    drawn, axes = figure(title, caption)
    trips = sorted({run.rtt_ms for run in runs})
    for rtt, shade in zip(trips, ("#D55E00", "#a54800", "#6e3000"), strict=False):
        mine = [run for run in runs if run.rtt_ms == rtt]
        axes.plot(
            [r.requests_per_second for r in mine], [r.latency.mean for r in mine], "o", color=shade, ms=8, zorder=4
        )
        every = [2000 * 0.93**i for i in range(60)]
        every = [t for t in every if t >= max(rtt, min(r.settings["every_ms"] for r in runs) * 0.8)]
        axes.plot([models.polling_requests_per_s(t, rtt) for t in every], [models.polling(t, rtt).mean for t in every],
                  color=GREY, lw=1.1, zorder=3)  # fmt: skip
        last = min(mine, key=lambda r: r.latency.mean)
        axes.annotate(f"round trip {rtt:g} ms", (last.requests_per_second, last.latency.mean), (12, 3), textcoords="offset points",
                      color=shade, fontweight="bold")  # fmt: skip
    axes.set_xscale("log"), axes.set_yscale("log")
    plain(axes.xaxis, ticks=(0.5, 1, 2, 5, 10, 20))
    plain(axes.yaxis, ticks=(20, 50, 100, 200, 500, 1000))
    axes.set(xlim=(0.45, 40), xlabel="requests per second and reader, whether or not anything happens (log scale)",
             ylabel="mean delay of a message, ms (log scale)")  # fmt: skip
    axes.text(0.5, 60, "thin lines: T/2 + RTT/2", color=GREY, fontsize=9.5)
    return Chart(drawn, says)


def curve(
    points: Mapping[float, float],
    line: Mapping[float, float],
    *,
    title,
    says,
    caption,
    xlabel,
    ylabel,
    label,
    floor=None,
):
    """Measured points over a model's curve on log-log axes, with an optional level that the curve can never go below."""
    drawn, axes = figure(title, caption)
    axes.plot(list(line), list(line.values()), color=GREY, lw=1.2, zorder=3)
    axes.plot(list(points), list(points.values()), "o", color=COLORS["http_polling"], ms=9, zorder=4)
    for x, y in points.items():
        axes.annotate(
            f"{number(y)}", (x, y), (8, 6), textcoords="offset points", color=COLORS["http_polling"], fontweight="bold"
        )
    if floor is not None:
        axes.axhline(floor, color=INK, lw=1.2, ls=":")
        axes.annotate(label, (max(line), floor), (-4, 5), textcoords="offset points", ha="right", fontsize=9.5)
    axes.set_xscale("log"), axes.set_yscale("log")
    plain(axes.xaxis), plain(axes.yaxis)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    return Chart(drawn, says)


def strip(
    rows: Mapping[str, Iterable[int]],
    *,
    published: Iterable[int],
    title: str,
    says: str,
    caption: str,
    marks: Mapping = {},
):
    """One row of squares per reader: filled where the event arrived, empty where it never did."""
    published = list(published)
    drawn, axes = figure(title, caption, height=1.35 + 0.6 * (len(rows) + 1))
    for place, got in enumerate((published, *rows.values())):
        got = list(got)
        for x in published:
            has = x in got
            fill = (INK if place == 0 else COLORS["http_polling"]) if has else "white"
            axes.plot([x], [place], "s", color=fill, mec=SOFT if not has else fill, ms=13)
            if not has:
                axes.text(x, place, "×", ha="center", va="center", color=COLORS["you"], fontweight="bold", fontsize=12)
    for x, text in marks.items():
        axes.axvline(x, color=COLORS["you"], lw=1.4)
        axes.text(x + 0.12, -0.55, text, color=COLORS["you"], fontsize=9.5, va="bottom")
    axes.set_yticks(range(len(rows) + 1), ["published", *rows])
    axes.set(ylim=(len(rows) + 0.5, -0.6), xlabel="events, in the order they were published")
    axes.set_xticks(published)
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    return Chart(drawn, says)
