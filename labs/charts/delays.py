"""How late: distributions of delays, and what a pause does to them."""

from collections.abc import Mapping

from labs.charts.look import COLORS, GREY, INK, NAMES, Chart, figure, in_style, number, plain


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
    _distributions(axes, runs, models, simulated)
    for place, run in enumerate(runs):
        height = 0.36 + min(0.2, 0.56 / max(1, len(runs) - 1)) * place
        at = max(FLOOR_MS, run.latency.percentile(100 * height))
        axes.annotate(
            f"{NAMES[run.reader]}: half within {number(round(run.latency.percentile(50)))} ms", (at, height), (10, -4),
            textcoords="offset points", color=COLORS[run.reader], fontweight="bold",
            bbox={"fc": "white", "ec": "none", "pad": 1, "alpha": 0.75}, zorder=7,
        )  # fmt: skip
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * 5)
    axes.set(
        xlabel="delay from publishing to arrival, milliseconds (log scale)",
        ylabel="share of messages that have arrived",
    )
    return Chart(drawn, says)


@in_style
def distances(groups, *, title: str, says: str, caption: str) -> Chart:
    """The same at several distances, one panel for each: `groups` is {label: (runs, models, simulated)}."""
    drawn, panels = figure(title, caption, width=11.5, height=4.8, columns=len(groups))
    for axes, (label, (runs, models, simulated)) in zip(panels, groups.items(), strict=True):
        _distributions(axes, runs, models, simulated)
        axes.set_title(label, fontsize=11)
        axes.set_xlabel("delay, ms (log scale)")
        axes.set_ylim(0, 1.04 + 0.075 * len(runs))  # above the lines, room for their names
        axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
        for place, run in enumerate(runs):
            half = number(round(run.latency.percentile(50)))
            axes.text(0.03, 1.03 + 0.075 * (len(runs) - 1 - place), f"{NAMES[run.reader]}: {half} ms", fontweight="bold",
                      transform=axes.get_yaxis_transform(), color=COLORS[run.reader], fontsize=9)  # fmt: skip
    panels[0].set_ylabel("share of messages that have arrived")
    return Chart(drawn, says)


FLOOR_MS = 0.5  # what a log axis cannot show lies here


def _distributions(axes, runs, models, simulated) -> None:
    for model in models:
        shares = [0.002 + 0.996 * i / 200 for i in range(201)]
        delays = [max(FLOOR_MS, model.quantile(share)) for share in shares]
        axes.plot([delays[0], *delays, delays[-1]], [0, *shares, 1], "--", color=INK, lw=1.1, zorder=5)
    for run in simulated:
        shares = [(i + 0.5) / run.latency.n for i in range(run.latency.n)]
        step = max(1, run.latency.n // 14)
        delays = [max(FLOOR_MS, ms) for ms in sorted(run.latency.ms)]
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
        left = (
            len(runs) - 1 - place
        )  # of five, the last three lie on each other: wide under narrow, so that all are seen
        width = 1.6 + 1.8 * left if len(runs) > 3 and left < 3 else 2.8
        _steps(axes, [max(FLOOR_MS, ms) for ms in run.latency.ms], COLORS[run.reader], width)
    axes.set_xscale("log")
    low = 0.7 * max(FLOOR_MS, min([*(min(run.latency.ms) for run in runs), *(model.low for model in models)]))
    high = 1.3 * max(run.latency.max for run in runs)
    axes.set(xlim=(low, high), ylim=(0, 1.02))
    ticks = (1, 10, 100, 1000) if high > 500 * low else (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
    plain(axes.xaxis, ticks=[t for t in ticks if low <= t <= high * 2])


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
