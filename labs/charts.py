"""Records and models in, figures out. Starts nothing, measures nothing.

Every chart has its finding as title, what was run as caption, labels on the lines instead of a legend, one color per
transport (Okabe and Ito's palette, told apart by readers with any color vision), points for what was measured, a thin line for
the model, and one sentence that says the same to those who cannot see it.
"""

import functools
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


# The latency distribution.


@in_style
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


@in_style
def distributions(runs, *, models=(), simulated=(), title: str, says: str, caption: str | None = None) -> Chart:
    """The delays of several transports on one log axis: measured as steps, models as thin dashed lines, simulations as dots."""
    drawn, axes = figure(title, caption or runs[0].caption, height=5)
    floor_ms = 0.5
    for model in models:
        shares = [0.002 + 0.996 * i / 200 for i in range(201)]
        delays = [max(floor_ms, model.quantile(share)) for share in shares]
        axes.plot([delays[0], *delays, delays[-1]], [0, *shares, 1], "--", color=INK, lw=1.1, zorder=5)
    for run in simulated:
        shares = [(i + 0.5) / run.latency.n for i in range(run.latency.n)]
        step = max(1, run.latency.n // 14)
        delays = [max(floor_ms, ms) for ms in sorted(run.latency.ms)]
        axes.plot(
            delays[step // 2 :: step],
            shares[step // 2 :: step],
            "o",
            mfc="white",
            mec=COLORS[run.reader],
            ms=5.5,
            zorder=6,
        )
    for place, run in enumerate(runs):
        _steps(axes, [max(floor_ms, ms) for ms in run.latency.ms], COLORS[run.reader], 2.8)
        height = 0.36 + 0.2 * place
        at = run.latency.percentile(100 * height)
        axes.annotate(
            f"{NAMES[run.reader]}: half within {number(round(run.latency.percentile(50)))} ms", (max(floor_ms, at), height),
            (10, -4), textcoords="offset points", color=COLORS[run.reader], fontweight="bold",
            bbox={"fc": "white", "ec": "none", "pad": 1, "alpha": 0.75}, zorder=7,
        )  # fmt: skip
    axes.set_xscale("log")
    low = min(min(run.latency.ms) for run in runs)
    high = max(run.latency.max for run in runs)
    axes.set(xlim=(max(floor_ms, low) * 0.7, high * 6), ylim=(0, 1.02))
    plain(
        axes.xaxis,
        ticks=[
            t for t in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000) if max(floor_ms, low) * 0.7 <= t <= high * 2
        ],
    )
    axes.set(
        xlabel="delay from publishing to arrival, milliseconds (log scale)",
        ylabel="share of messages that have arrived",
    )
    return Chart(drawn, says)


def _steps(axes, values, color, width=2.2):
    ordered = sorted(values)
    axes.plot(
        ordered, [(i + 1) / len(ordered) for i in range(len(ordered))], color=color, lw=width, drawstyle="steps-post"
    )


@in_style
def spreads(found: Mapping, *, title: str, says: str, caption: str) -> Chart:
    """One row for each distribution: a dot at the median, a bar from the 5th to the 95th percentile. Log axis, microseconds."""
    drawn, axes = figure(title, caption, height=1.5 + 0.55 * len(found))
    for place, delays in enumerate(found.values()):
        low, half, high = (delays.percentile(p) * 1000 for p in (5, 50, 95))
        axes.plot([low, high], [place, place], color=COLORS["http_polling"], lw=6, alpha=0.35)
        axes.plot([half], [place], "o", color=COLORS["http_polling"], ms=9)
        axes.annotate(f"{number(half)} µs", (high, place), (10, -4), textcoords="offset points", fontweight="bold")
    axes.set_xscale("log")
    plain(axes.xaxis, ticks=(5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000))
    low, high = (f(delays.percentile(p) for delays in found.values()) * 1000 for f, p in ((min, 5), (max, 95)))
    axes.set(xlim=(low * 0.7, high * 2.2), ylim=(len(found) - 0.4, -0.6), xlabel="microseconds (log scale)")
    axes.set_yticks(range(len(found)), found)
    axes.grid(axis="y", visible=False)
    return Chart(drawn, says)


# One stall, measured in two ways.


@in_style
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


@in_style
def ladder(
    found, *, start: int, seconds: float, title: str, says: str, published: Iterable = (), color: str = "#D55E00"
) -> Chart:
    """Client and server lanes with every request and response of a captured run, to scale; time runs downward.

    `found` are ledger messages, `published` events (their `at` marks the server's lane), `start` monotonic nanoseconds.
    """
    drawn, axes = figure(
        title, "Captured on the wire by the link, to scale. Grey: empty answers.", height=1.4 + 0.95 * seconds
    )
    shown = [pair for pair in _pairs(found) if (pair[0].sent - start) / 1e9 < seconds - 0.1]
    for request, response in shown:
        _exchange(axes, request, response, start, color)
    for event in published:
        _publication(axes, event, start, shown)
    _lanes(axes, seconds)
    return Chart(drawn, says)


def _exchange(axes, request, response, start, color):
    """Two arrows, one there and one back. On loopback a trip takes no visible time, so each slopes by a little."""
    news = response.events
    color, weight = (color, 2.2) if news else (SOFT, 1.3)
    look = {"color": color, "lw": weight, "shrinkA": 0, "shrinkB": 0, "arrowstyle": "-|>"}
    sent, reached, left, came = (
        (t - start) / 1e9 for t in (request.sent, request.arrived, response.sent, response.arrived)
    )
    arrival = max(reached, sent + 0.04)
    answer = max(left, arrival)
    back = max(came, answer + 0.04)
    axes.annotate("", (1, arrival), (0, sent), arrowprops=look)
    axes.annotate("", (0, back), (1, answer), arrowprops=look)
    if answer - arrival > 0.1:  # the server holds the question
        axes.plot([1, 1], [arrival, answer], color=color, lw=5, alpha=0.45, solid_capstyle="butt")
    text = {"ha": "center", "textcoords": "offset points", "fontsize": 8.8, "color": color if news else GREY}
    asked = f"{_short(request.start_line)}   {request.size} bytes"
    axes.annotate(asked, (0.5, (sent + arrival) / 2), (0, 4), va="bottom", **text)
    what = f"{len(news)} event{'s' * (len(news) != 1)}" if news else "[]"
    said = f"{response.start_line.split(' ')[1]}   {what}   {response.size} bytes"
    axes.annotate(said, (0.5, (answer + back) / 2), (0, -4), va="top", fontweight="bold" if news else "normal", **text)


@in_style
def stream_ladder(chunks, *, start: int, seconds: float, title: str, says: str, published: Iterable = ()) -> Chart:
    """Client and server lanes of one endless answer: every piece of it that crossed the link, to scale."""
    drawn, axes = figure(
        title, "Captured on the wire by the link, to scale. Grey: no event in it.", height=1.4 + 0.95 * seconds
    )
    for event in published:
        axes.plot([1], [(event.at - start) / 1e9], "*", color=COLORS["you"], ms=14, zorder=5)
        axes.text(
            1.04,
            (event.at - start) / 1e9,
            f"event {event.id} is published",
            color=COLORS["you"],
            va="center",
            fontsize=9.5,
        )
    for chunk in chunks:
        sent = (chunk.sent - start) / 1e9
        news = chunk.data.count(b"data: {") if chunk.direction == "down" else 0
        color, weight = (COLORS["sse"], 2.2) if news else (SOFT, 1.3)
        ends = ((0, sent), (1, sent + 0.04)) if chunk.direction == "up" else ((1, sent + 0.05), (0, sent + 0.09))
        look = {"color": color, "lw": weight, "shrinkA": 0, "shrinkB": 0, "arrowstyle": "-|>"}
        axes.annotate("", ends[1], ends[0], arrowprops=look)
        up = chunk.direction == "up"
        axes.annotate(f"{_said(chunk, news)}   {chunk.size} bytes", (0.5, sent + 0.02 + 0.05 * (not up)), (0, 4 if up else -4),
                      textcoords="offset points", va="bottom" if up else "top", ha="center", fontsize=8.8,
                      color=color if news else GREY, fontweight="bold" if news else "normal")  # fmt: skip
    _lanes(axes, seconds)
    return Chart(drawn, says)


def _lanes(axes, seconds: float) -> None:
    for x, name in ((0, "client"), (1, "server")):
        axes.axvline(x, color=INK, lw=1.6)
        axes.text(x, -0.22, name, ha="center", va="bottom", fontweight="bold")
    axes.set(xlim=(-0.12, 1.5), ylim=(seconds, -0.2), xticks=[])
    axes.set_yticks(range(int(seconds) + 1), [f"{s} s" for s in range(int(seconds) + 1)])
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)


def _said(chunk, news: int) -> str:
    if chunk.direction == "up":
        return "GET /events"
    if chunk.data.startswith(b"HTTP/"):
        return "200, headers of an answer that will not end"
    return f"{news} event{'s' * (news != 1)}" if news else "heartbeat" if b"\n:\n" in chunk.data else "retry"


def _publication(axes, event, start, pairs):
    at = (event.at - start) / 1e9
    fetched = min(
        ((q.arrived - start) / 1e9 for q, a in pairs if any(e["id"] == event.id for e in a.events)), default=at
    )
    axes.plot([1], [at], "*", color=COLORS["you"], ms=14, zorder=5)
    axes.text(1.04, at, f"event {event.id} is published", color=COLORS["you"], va="center", fontsize=9.5)
    if fetched > at + 0.02:
        axes.plot([1, 1], [at, fetched], color=COLORS["you"], lw=5, alpha=0.35, solid_capstyle="round")
        waits = f"waits {fetched - at:.2f} s to be asked for"
        axes.text(1.04, at + max(0.17, (fetched - at) / 2), waits, color=COLORS["you"], va="center", fontsize=8.8)


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
    return f"{method} {path}{mark}" + (f"…-{cursor.rpartition('-')[2]}" if mark else "")


# The byte ledger.


@in_style
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


@in_style
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
        below = -10 if rtt == trips[0] else 3
        axes.annotate(f"round trip {rtt:g} ms", (last.requests_per_second, last.latency.mean), (12, below),
                      textcoords="offset points", color=shade, fontweight="bold")  # fmt: skip
    axes.set_xscale("log"), axes.set_yscale("log")
    plain(axes.xaxis, ticks=(0.5, 1, 2, 5, 10, 20))
    plain(axes.yaxis, ticks=(20, 50, 100, 200, 500, 1000))
    axes.set(xlim=(0.45, 22), xlabel="requests per second and reader, whether or not anything happens (log scale)",
             ylabel="mean delay of a message, ms (log scale)")  # fmt: skip
    axes.text(0.5, 60, "thin lines: T/2 + RTT/2", color=GREY, fontsize=9.5)
    return Chart(drawn, says)


@in_style
def bytes_per_event(
    measured: Mapping, simulated: Mapping, line: Mapping, *, payload: float, title: str, says: str, caption: str
):
    """Bytes for each delivered event against polls for each event: points over the model's line, and the event's own size."""
    drawn, axes = figure(title, caption)
    axes.plot(list(line), list(line.values()), color=GREY, lw=1.2, zorder=3)
    axes.plot(list(simulated), list(simulated.values()), "o", mfc="white", mec=INK, ms=8, zorder=4)
    axes.plot(list(measured), list(measured.values()), "o", color=COLORS["http_polling"], ms=8, zorder=5)
    for x, y in list(simulated.items())[:: max(1, len(simulated) // 4)]:
        axes.annotate(f"{number(y)} B", (x, y), (-8, 8), textcoords="offset points", ha="right", fontsize=9.5)
    axes.axhline(payload, color=INK, lw=1.2, ls=":")
    axes.annotate(
        f"the event itself: {number(payload)} B", (max(line), payload), (-4, 5), textcoords="offset points", ha="right"
    )
    x, y = max(measured.items())
    axes.annotate(
        "measured", (x, y), (12, -12), textcoords="offset points", color=COLORS["http_polling"], fontweight="bold"
    )
    x, y = max(simulated.items())
    axes.annotate("simulated", (x, y), (2, -20), textcoords="offset points", fontweight="bold")
    axes.set_xscale("log"), axes.set_yscale("log")
    plain(axes.xaxis), plain(axes.yaxis)
    axes.set(xlabel="polls for each event (log scale)", ylabel="bytes for each delivered event (log scale)")
    return Chart(drawn, says)


@in_style
def compare(
    rows, *, title: str, says: str, caption: str, xlabel: str, ylabel: str, logy: bool = True, ticks=None
) -> Chart:
    """Points over model lines, for several things at once: `rows` are (label, color key, measured, simulated, model) with
    x -> y for the last three, any of which may be empty. The x axis is logarithmic.
    """
    drawn, axes = figure(title, caption)
    for _, key, measured, simulated, line in rows:
        color = COLORS.get(key, INK)
        axes.plot(list(line), list(line.values()), color=color, lw=1.2, zorder=3)
        axes.plot(list(simulated), list(simulated.values()), "o", mfc="white", mec=color, ms=8, zorder=4)
        axes.plot(list(measured), list(measured.values()), "o", color=color, ms=8, zorder=5)
    axes.set_xscale("log")
    plain(axes.xaxis, ticks=ticks)
    if logy:
        axes.set_yscale("log")
        plain(axes.yaxis)
    else:
        axes.set_ylim(bottom=0)
    low, high = axes.get_xlim()
    axes.set(xlim=(low, high * (high / low) ** 0.28), ylim=axes.get_ylim(), xlabel=xlabel, ylabel=ylabel)
    _end_labels(axes, [(row[0], COLORS.get(row[1], INK), *max((row[4] or row[2] or row[3]).items())) for row in rows])
    return Chart(drawn, says)


def _end_labels(axes, labels) -> None:
    """Write each label behind the end of its line, and push apart those that would lie on each other."""
    height = -1.0
    to_axes = axes.transData + axes.transAxes.inverted()
    for label, color, x, y in sorted(labels, key=lambda label: label[3]):
        across, height = to_axes.transform((x, y))[0], max(height + 0.07, to_axes.transform((x, y))[1])
        axes.text(across + 0.015, height, label, transform=axes.transAxes, color=color, fontweight="bold", va="center")


@in_style
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
        axes.text(x + 0.12, -0.62, text, color=COLORS["you"], fontsize=9.5, va="center")
    axes.set_yticks(range(len(rows) + 1), ["published", *rows])
    axes.set(ylim=(len(rows) + 0.5, -0.6), xlabel="events, in the order they were published")
    axes.set_xticks(published)
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    return Chart(drawn, says)
